"""The ledger: every item of the five documents that the course walks through, with its verdict.

`data/ledger.csv` has one row an item. Its column `claims` is filled in from the notebooks by
`fill_in_claims`, so that nobody has to keep the two in step by hand.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType

from course_lib import data

FILE = "ledger.csv"
CHAPTER = re.compile(r"\d\d_[a-z0-9_]+\.ipynb")

# The verdict of the ledger, and how a reader meets it (see `Item.wording`).
VERDICTS = {
    "correct": "holds",
    "correct with limits": "holds if",
    "wrong": "does not hold",
    "ambiguous": "depends on what is meant",
    "not reproducible": "cannot be reproduced as printed",
    "heading": "where it is treated",
}
# Why no claim of a notebook settles an item, and how a reader meets that.
REASONS = {
    "definition": "Cannot be tested here: it says what a word or a sign stands for.",
    "opinion": "Cannot be tested here: it is a matter of judgement.",
    "by reading": "Settled by reading the document or the papers, not by an experiment.",
    "not measurable here": "Cannot be tested here: no experiment of this size could settle it.",
}


@dataclass(frozen=True)
class Item:
    """One row of the ledger.

    `id` is "D0-3.1-C2": document 0, section 3.1, second claim; `chapter` is the two digits of the
    one chapter that treats it; `claims` are the ids of the claims that settle it, or `reason`
    says why there is none.
    """

    id: str
    document: str
    section: str
    kind: str
    statement: str
    verdict: str
    correction: str
    chapter: str
    claims: tuple[str, ...]
    reason: str

    @property
    def wording(self) -> str:
        """The verdict in the words of the course."""
        if self.verdict == "not reproducible" and self.kind == "structure":
            return "no source"
        return VERDICTS[self.verdict]


def ledger() -> MappingProxyType[str, Item]:
    """Return all items of the ledger by id, in the order of the documents.

    Raises
    ------
    course_lib.data.DataError
        When the file is missing or damaged.
    """
    return _read(str(data.path(FILE)))


@cache
def _read(place: str) -> MappingProxyType[str, Item]:
    text = Path(place).read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    items = (Item(**(row | {"claims": tuple(row["claims"].split())})) for row in rows)
    return MappingProxyType({item.id: item for item in items})


@dataclass(frozen=True)
class Written:
    """A call `learn.claim("id", …, settles=…)` as it is written in a notebook."""

    id: str
    settles: tuple[str, ...]


def written_claims(source: str) -> list[Written]:
    """Return the claims (`claim`, `agree`) that some code writes down, read without running it.

    Raises
    ------
    ValueError
        When an id or `settles` is anything but a literal.
    """
    found = []
    for call in _calls(source, "claim", "agree"):
        arguments = {keyword.arg: keyword.value for keyword in call.keywords}
        settles = _texts(arguments["settles"]) if "settles" in arguments else ()
        (name,) = _texts(call.args[0] if call.args else arguments["id"])
        found.append(Written(name, settles))
    return found


def written_sources(source: str) -> list[str]:
    """Return the ids of the ledger items that calls of `learn.sources` in some code name."""
    return [
        item for call in _calls(source, "sources") for argument in call.args
        for item in _texts(argument)
    ]  # fmt: skip


def code_of(notebook: Path) -> Iterator[tuple[str, str]]:
    """Yield the id and the source of each code cell of a notebook, magics left out."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            lines = "".join(cell["source"]).splitlines()
            code = ("" if line.lstrip().startswith(("%", "!")) else line for line in lines)
            yield cell["id"], "\n".join(code)


def notebooks() -> list[Path]:
    """Return the course's chapters, in order; none where only the package is installed."""
    return _chapters_in(data.folder().parent / "notebooks")


def _chapters_in(folder: Path) -> list[Path]:
    """Return the chapters in a folder, in order, and not what `reset` has kept beside them."""
    return sorted(path for path in folder.glob("*.ipynb") if CHAPTER.fullmatch(path.name))


def fill_in_claims(folder: Path | None = None) -> list[str]:
    """Write into the ledger which claims of the notebooks settle each item; return what changed.

    The manifest is refreshed with it. Where there is no notebook at all, nothing is touched.

    Parameters
    ----------
    folder : Path, optional
        Where the chapters are; the course's own unless given.

    Raises
    ------
    ValueError
        When a claim cannot be read without running it; the sentence names the notebook.
    """
    place = data.folder() / FILE
    chapters = _chapters_in(folder) if folder else notebooks()
    if not chapters:
        return []
    settled: dict[str, list[str]] = {}
    for notebook in chapters:
        try:
            made = [claim for _, source in code_of(notebook) for claim in written_claims(source)]
        except (SyntaxError, ValueError) as error:
            raise ValueError(f"{notebook.name}: {error}") from None
        for claim in made:
            for item in claim.settles:
                settled.setdefault(item, []).append(claim.id)
    rows = list(csv.DictReader(io.StringIO(place.read_text(encoding="utf-8"))))
    changed = []
    for row in rows:
        claims = " ".join(dict.fromkeys(settled.get(row["id"], [])))
        if claims != row["claims"]:
            row["claims"] = claims
            changed.append(row["id"])
    if changed:
        out = io.StringIO()
        writer = csv.DictWriter(out, [field.name for field in fields(Item)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        temporary = place.with_suffix(".new")
        temporary.write_text(out.getvalue(), encoding="utf-8", newline="\n")
        temporary.replace(place)
        _read.cache_clear()
    data.refresh_manifest()
    return changed


def _calls(source: str, *names: str) -> Iterator[ast.Call]:
    """Yield the calls of `learn.NAME` and of `NAME` in some code, for each of these names."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
            if called in names:
                yield node


def _texts(node: ast.expr) -> tuple[str, ...]:
    """Return the strings that a literal stands for."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        raise ValueError(
            f"line {node.lineno}: `{ast.unparse(node)}` must be written out, so that the claims "
            "of a chapter can be read without running it."
        ) from None
    return (value,) if isinstance(value, str) else tuple(value)
