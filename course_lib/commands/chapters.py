"""The chapters as files: which there are, what git would commit of them, the hash of their code.

Everything here works on the text of a notebook; nothing is executed. Finding chapters needs the
standard library alone; reading them needs nbformat.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
NAME = re.compile(r"(?P<number>\d\d)_[a-z0-9_]+\.ipynb")

# The filter between a working file and git: outputs and the kernel's version are not the course's.
STRIP = (
    "-m",
    "nbstripout",
    "--keep-id",
    "--extra-keys",
    "metadata.language_info cell.metadata.editable",
)

Notebook = Any  # nbformat's NotebookNode: a dict whose keys can be written as attributes


def git(*arguments: str, root: Path = ROOT, **options: Any) -> bytes | None:
    """Return what git prints, or None where git is missing, fails, or does not know the folder."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, check=True, **options
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout


def tracked_files(root: Path = ROOT) -> list[Path]:
    """Return every file that git tracks and that is still there; without git, every plain file."""
    listed = git("ls-files", "-z", root=root)
    if listed is not None:
        paths = [root / name for name in listed.decode().split("\0") if name]
        return [path for path in paths if path.is_file()]
    hidden = re.compile(r"(^|/)(\.[^/]+|__pycache__|build|dist|[^/]+\.egg-info)(/|$)")
    names = (path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    return sorted(root / name for name in names if not hidden.search(name))


def all_chapters(only: str | None = None, root: Path = ROOT) -> list[Path]:
    """Return the notebooks that belong to the course, in order.

    Parameters
    ----------
    only : str, optional
        Number of one chapter, such as ``"01"``. It is then found whether git tracks it or not.

    Raises
    ------
    ValueError
        No chapter has that number.
    """
    folder = root / "notebooks"
    if only is not None:
        return [find(only, root)]
    files = [path for path in tracked_files(root) if path.parent == folder]
    return sorted(path for path in files if NAME.fullmatch(path.name))


def chosen() -> str | None:
    """Return the chapter of `python -m course_lib test --notebook NN`, or None for all."""
    return os.environ.get("COURSE_NOTEBOOK") or None


def find(number: str, root: Path = ROOT) -> Path:
    """Return the notebook of chapter `number` (``"1"`` and ``"01"`` are the same chapter)."""
    wanted = f"{int(number):02d}" if number.isdigit() else number
    files = sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    own = [path for path in files if NAME.fullmatch(path.name)]  # and not a reader's copy
    there = {path.name[:2]: path for path in [*own, *all_chapters(root=root)]}
    if wanted not in there:
        numbers = ", ".join(there) or "none yet"
        raise ValueError(f"There is no chapter {number!r}; the chapters here are: {numbers}.")
    return there[wanted]


def committed(path: Path, root: Path = ROOT) -> str:
    """Return the text that git would commit for `path`: the file after git's own clean filter.

    A reader who has run a cell has outputs in the working file, and none in what this returns. In a
    folder without git the same filter (nbstripout) is applied directly.

    Where the file is what git has, byte for byte, nothing is filtered: `git diff` would start the
    filter for every notebook whose time stamp proves nothing, as all of a fresh clone's.
    """
    if (text := staged(path, root)) is not None and text.encode("utf-8") == path.read_bytes():
        return text
    name = path.resolve().relative_to(root.resolve()).as_posix()
    objects = git("rev-parse", "--git-path", "objects", root=root)
    if objects is None:
        return _strip(path.read_bytes())
    with tempfile.TemporaryDirectory() as folder:  # the object is for us, not for the repository
        store = {
            **os.environ,
            "GIT_OBJECT_DIRECTORY": folder,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str((root / objects.decode().strip()).resolve()),
        }
        key = git("hash-object", "-w", "--path", name, str(path), root=root, env=store)
        blob = git("cat-file", "blob", key.decode().strip(), root=root, env=store) if key else None
    if blob is None:
        raise OSError(f"git could not say what it would commit for {name}.")
    return blob.decode("utf-8")


def staged(path: Path, root: Path = ROOT) -> str | None:
    """Return the text of `path` in git's index, which a clean clone gets; None if untracked."""
    name = path.resolve().relative_to(root.resolve()).as_posix()
    blob = git("show", f":{name}", root=root)
    return None if blob is None else blob.decode("utf-8")


def _strip(raw: bytes) -> str:
    command = [sys.executable, *STRIP]
    return subprocess.run(command, input=raw, capture_output=True, check=True).stdout.decode(
        "utf-8"
    )


def install_filter(python: Path, root: Path = ROOT) -> None:
    """Tell this clone's git how to strip notebooks, as `.gitattributes` asks; twice does no harm.

    Git runs a filter in the top folder, so the path of the environment's Python can be a relative
    one and survives a moved folder.
    """
    inside = python.is_relative_to(root)
    executable = python.relative_to(root).as_posix() if inside else python.as_posix()
    words = [executable, *STRIP]
    command = " ".join(f'"{word}"' if " " in word or word is executable else word for word in words)
    if git("config", "--local", "filter.nbstripout.clean", root=root) != f"{command}\n".encode():
        git("config", "--local", "filter.nbstripout.clean", command, root=root)


def parse(text: str) -> Notebook:
    """Return the notebook written in `text`."""
    import nbformat

    return nbformat.reads(text, as_version=nbformat.NO_CONVERT)


def canonical(notebook: Notebook) -> str:
    """Return the one way to write `notebook`: nbformat's, with one newline at the end."""
    import nbformat

    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def code_cells(notebook: Notebook) -> list[Notebook]:
    """Return the code cells of a notebook, in order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell: Notebook) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.metadata.get("tags", []))


def code_hash(notebook: Notebook) -> str:
    """Return a short SHA-256 of the code cells, without white space at the ends of a cell."""
    from course_lib import data

    return data.code_hash(cell.source for cell in code_cells(notebook))
