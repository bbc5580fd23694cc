"""How often each sentence of the course held: the table of the last audit, on a page.

`python -m course_lib audit` runs every chapter under many seeds and writes `data/audit.json`. Here
it is read and shown, beside the code that the chapters have now.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from course_lib import data
from course_lib.checks import inline
from course_lib.learn import page
from course_lib.learn.ledger import code_of, notebooks

__all__ = ["audit", "audited", "changed"]

Row = tuple[str, ...]

TABLE = "audit.json"
MISSING = (
    "No audit is stored yet: `python -m course_lib audit` runs every chapter under 40 seeds, which "
    "takes hours, and writes it to `data/audit.json`."
)
CHAPTERS = ("Chapter", "Code cells", "Seeds", "Sentences", "Held with every seed", "Little room")
CLAIMS = ("Claim", "Sentence", "Needs", "Held", "Worst seed", "It measured", "Room", "In spans")


def audited() -> dict[str, dict[str, Any]]:
    """Return the table of the last audit by chapter, as the command wrote it; empty without one.

    Raises
    ------
    course_lib.data.DataError
        When the file is damaged, or not listed in the manifest.
    """
    if not (data.folder() / TABLE).is_file():
        return {}
    return _read(str(data.path(TABLE)))


def changed() -> list[str]:
    """Return the chapters whose code cells are others than those of the audit, or new since."""
    of_audit = {number: chapter["code_hash"] for number, chapter in audited().items()}
    return [number for number, code in _hashes().items() if of_audit.get(number) != code]


def audit() -> None:
    """Show how often each claim held: a line a chapter, and below it, folded, a line a claim.

    Room is the factor by which the worst seed is inside its bound; in spans, how many times what
    the seeds differ by fits between it and the bound. A bound has little room where the first is
    below 2 (half a decade, where the seeds span decades) and the second below a half. Chapters
    whose code cells have changed since are named; where there is no audit, a sentence says how to
    make one.
    """
    tables = audited()
    if not tables:
        page.show_line("note", MISSING)
        return
    late = changed()
    lines = [("note", _lead(tables))] + ([("open", _warning(late))] if late else [])
    chapters = [_of_chapter(number, tables[number], late) for number in tables]
    claims = {
        f"Chapter {number}, sentence by sentence": [
            _of_claim(row) for row in tables[number]["claims"]
        ]
        for number in tables
    }
    page.display_both(_as_html(lines, chapters, claims), _as_text(lines, chapters, claims))


@cache
def _read(place: str) -> dict[str, dict[str, Any]]:
    with open(place, encoding="utf-8") as file:
        return json.load(file)


def _hashes() -> dict[str, str]:
    """Return the hash of the code cells that each chapter has now."""
    return {
        notebook.name[:2]: data.code_hash(source for _, source in code_of(notebook))
        for notebook in notebooks()
    }


def _lead(tables: dict[str, dict[str, Any]]) -> str:
    claims = [row for chapter in tables.values() for row in chapter["claims"]]
    always = sum(row["held"] == row["runs"] for row in claims)
    return (
        f"{always} of {len(claims)} sentences held with every seed that was tried; "
        f"{len(tables)} chapters were run."
    )


def _warning(late: list[str]) -> str:
    one = len(late) == 1
    return (
        f"The code of {'chapter' if one else 'chapters'} {page.listed(late)} is newer than its "
        f"audit: `python -m course_lib audit{f' --notebook {late[0]}' if one else ''}` runs it "
        "again."
    )


def _of_chapter(number: str, chapter: dict[str, Any], late: list[str]) -> Row:
    """Return a chapter's row: its code, its seeds, how many claims held, which with little room."""
    claims = chapter["claims"]
    always = sum(row["held"] == row["runs"] for row in claims)
    lowest = min((row["held"] / row["runs"] for row in claims), default=1.0)
    return (
        number,
        chapter["code_hash"] + (", changed since" if number in late else ""),
        f"{chapter['seeds']}",
        f"{len(claims)}",
        f"{always}" + ("" if always == len(claims) else f" (lowest share {lowest:.2f})"),
        page.listed(row["claim"] for row in claims if row["has_little_room"]) or "none",
    )


def _of_claim(row: dict[str, Any]) -> Row:
    def times(key: str) -> str:
        return "" if row[key] is None else f"{page.figure_text(row[key])} times"

    return (
        row["claim"],
        row["sentence"],
        row["needs"],
        f"{row['held']} of {row['runs']}",
        f"{row['worst_seed']}",
        page.figure_text(row["worst"]),
        times("room"),
        times("spans"),
    )


def _as_html(
    lines: list[tuple[str, str]], chapters: list[Row], claims: dict[str, list[Row]]
) -> str:
    def escaped(rows: list[Row]) -> list[list[str]]:
        return [[inline(cell) for cell in row] for row in rows]

    return "".join([
        *(page.line_html(kind, text) for kind, text in lines),
        page.table("Chapters of the audit", CHAPTERS, escaped(chapters)),
        *(page.folded_table(title, CLAIMS, escaped(rows)) for title, rows in claims.items()),
    ])  # fmt: skip


def _as_text(
    lines: list[tuple[str, str]], chapters: list[Row], claims: dict[str, list[Row]]
) -> str:
    text = [sentence for _, sentence in lines] + [" · ".join(row) for row in [CHAPTERS, *chapters]]
    for title, rows in claims.items():
        text += [title, *(" · ".join(row) for row in rows)]
    return "\n".join(text)
