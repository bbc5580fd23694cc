"""The files in `data/`: find them, check them against `data/MANIFEST.json`, load them.

The folder is looked for in this order: the environment variable `COURSE_DATA`; a `data` folder
with a manifest in the working directory or any folder above it; beside the package.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

MANIFEST = "MANIFEST.json"
TRAINING_IMAGES = 1437  # of 1797: the first four fifths in the file's own order

# Files that a command writes: they enter the manifest by themselves.
MADE_BY_COMMANDS = {
    "results/*.json": "Recorded by `python -m course_lib recompute`; configuration, seeds and "
    "versions are inside.",
    "audit.json": "Measured by `python -m course_lib audit`; the hash of each chapter's code cells "
    "is inside.",
}


class DataError(RuntimeError):
    """A file of the course is missing, damaged or not listed; the message names it."""


def folder() -> Path:
    """Return the folder `data/` of the course.

    Raises
    ------
    DataError
        When there is none; the sentence says how to point at one.
    """
    chosen = os.environ.get("COURSE_DATA")
    if chosen:
        if not (Path(chosen) / MANIFEST).is_file():
            raise DataError(
                f"COURSE_DATA is {chosen!r}, where there is no {MANIFEST}: "
                "set it to the folder `data` of the course, or unset it."
            )
        return Path(chosen).resolve()
    here = Path.cwd().resolve()
    beside_the_package = Path(__file__).resolve().parent.parent
    for place in (here, *here.parents, beside_the_package):
        # digits.npz too, because other projects have a data/MANIFEST.json of their own
        if (place / "data" / MANIFEST).is_file() and (place / "data" / "digits.npz").is_file():
            return place / "data"
    raise DataError(
        f"the course's folder `data` is neither in {here} nor above it: start from inside the "
        "course's folder, or set COURSE_DATA to its folder `data`."
    )


def manifest() -> dict[str, dict]:
    """Return what `data/MANIFEST.json` says of each file: licence, origin, bytes, sha256."""
    place = folder() / MANIFEST
    try:
        return json.loads(place.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"data/{MANIFEST} cannot be read ({error}): restore it with "
            f"`git checkout -- data/{MANIFEST}`."
        ) from None


def path(name: str) -> Path:
    """Return the path of one file of `data/`, after its bytes were checked.

    Parameters
    ----------
    name : str
        As the manifest lists it: `"digits.npz"`, `"results/NAME.json"`.

    Raises
    ------
    DataError
        When the file is missing, damaged, or not listed; the sentence names it.
    """
    if not isinstance(name, str):
        raise TypeError(f"`name` is {name!r}; it takes the name of a file in `data`.")
    listed = manifest()
    if name not in listed:
        raise DataError(f"`data` has no file {name!r}; it has {', '.join(sorted(listed))}.")
    place = folder() / name
    complaint = _complaint(place, name, listed[name])
    if complaint:
        raise DataError(complaint)
    return place


def problems() -> list[str]:
    """Return one sentence for each file of the manifest that is missing or damaged."""
    place = folder()
    sentences = (_complaint(place / name, name, entry) for name, entry in manifest().items())
    return [sentence for sentence in sentences if sentence]


def unlisted() -> list[str]:
    """Return one sentence for each file in `data/` of which the manifest says nothing."""
    place, listed = folder(), manifest()
    names = (file.relative_to(place).as_posix() for file in place.rglob("*") if file.is_file())
    return [
        f"data/{name} is not in data/{MANIFEST}: add its licence and origin there, and "
        '`"ours": true` if the course made it, then run `python -m course_lib lock`.'
        for name in sorted(names)
        if name not in listed and name != MANIFEST and "/." not in f"/{name}"
    ]


def code_hash(sources: Iterable[str]) -> str:
    """Return a short SHA-256 of code cells, without white space at the ends of a cell."""
    cells = (source.strip() for source in sources)
    return hashlib.sha256("\n\0\n".join(cells).encode()).hexdigest()[:16]


def load_digits(
    *, standardize: bool = False, dtype: str = "float32"
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the handwritten digits, split into training and test set.

    1797 grey images of 8 × 8 pixels: the test set of the UCI data set "Optical Recognition of
    Handwritten Digits" (Alpaydin and Kaynak, 1998, CC BY 4.0). The first 1437 images are for
    training and the last 360 for testing, in the file's own order, so that the split depends
    on no random number.

    Parameters
    ----------
    standardize : bool
        False: pixels from 0 (paper) to 1 (ink). True: shifted and scaled by one mean and one
        standard deviation, over all pixels of the training set, so that the mean square of
        an input is 1, as the theory of signal propagation takes it to be.
    dtype : str
        `"float32"` or `"float64"`.

    Returns
    -------
    x_train, y_train, x_test, y_test
        Images of shape (1437, 64) and (360, 64), labels 0 … 9 of shape (1437,) and (360,), int64.
    """
    if not isinstance(standardize, bool | np.bool_):
        raise TypeError(f"`standardize` is {standardize!r}; it takes True or False.")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"`dtype` is {dtype!r}; it takes 'float32' or 'float64'.")
    images, labels = _digits(str(path("digits.npz")))
    x = images.reshape(len(images), -1) / 16.0
    if standardize:
        x = (x - x[:TRAINING_IMAGES].mean()) / x[:TRAINING_IMAGES].std()
    x, y = x.astype(dtype), labels.astype(np.int64)
    return x[:TRAINING_IMAGES], y[:TRAINING_IMAGES], x[TRAINING_IMAGES:], y[TRAINING_IMAGES:]


def load_table(name: str) -> list[dict[str, str]]:
    """Return the rows of a CSV file of `data/`, each a dict from column to text."""
    with path(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def refresh_manifest() -> list[str]:
    """Write size and SHA-256 of the course's own files into the manifest; return what changed.

    Only files that the course made itself (`"ours": true`) are refreshed; a file from elsewhere
    keeps the checksum it arrived with. New recorded results are added, vanished ones removed.
    """
    place, listed = folder(), manifest()
    for pattern, origin in MADE_BY_COMMANDS.items():
        for made in sorted(place.glob(pattern)):
            entry = {"licence": "CC BY 4.0", "origin": origin, "ours": True}
            listed.setdefault(made.relative_to(place).as_posix(), entry)
    changed = []
    for name, entry in list(listed.items()):
        if not entry.get("ours"):
            continue
        if not (place / name).is_file():
            if name.startswith("results/"):
                del listed[name]
                changed.append(name)
            continue
        now = {"bytes": (place / name).stat().st_size, "sha256": _sha256(place / name)}
        if any(entry.get(key) != value for key, value in now.items()):
            entry.update(now)
            changed.append(name)
    if changed:
        text = json.dumps({"files": dict(sorted(listed.items()))}, indent=2, ensure_ascii=False)
        temporary = place / (MANIFEST + ".new")
        temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
        temporary.replace(place / MANIFEST)
    return changed


@cache
def _digits(place: str) -> tuple[np.ndarray, np.ndarray]:
    with np.load(place, allow_pickle=False) as file:
        return file["images"], file["labels"]


def _sha256(place: Path) -> str:
    return hashlib.sha256(place.read_bytes()).hexdigest()


def _complaint(place: Path, name: str, entry: dict) -> str | None:
    """Say in one sentence what is wrong with a file, or return None."""
    remedy = f"restore it with `git checkout -- data/{name}`"
    if entry.get("ours"):
        remedy += ", or, if you changed it yourself, run `python -m course_lib lock`"
    if not place.is_file():
        return f"data/{name} is missing: {remedy}."
    try:
        size, digest = place.stat().st_size, _sha256(place)
    except OSError as error:
        return f"data/{name} cannot be read ({error.strerror}): {remedy}."
    if size != entry.get("bytes"):
        return f"data/{name} is damaged ({size} bytes instead of {entry.get('bytes')}): {remedy}."
    if digest != entry.get("sha256"):
        return f"data/{name} is damaged (its SHA-256 is not the manifest's): {remedy}."
    return None
