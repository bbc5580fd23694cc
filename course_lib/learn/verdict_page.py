"""All verdicts on one page: each item of the ledger, with a link to the cell that settles it.

The figure beside an item is the sentence of its claim, as the last audit measured it with the
course's own seed (`data/audit.json`), and with how many seeds the claim held.
"""

from __future__ import annotations

import html
from collections import Counter
from dataclasses import dataclass
from typing import Any

from course_lib.checks import inline, one_of
from course_lib.learn import page
from course_lib.learn.audit_page import audited
from course_lib.learn.ledger import (
    REASONS,
    VERDICTS,
    Item,
    Written,
    code_of,
    ledger,
    notebooks,
    written_claims,
)
from course_lib.learn.reference import ABOUT
from course_lib.learn.sources import cells, paragraph

__all__ = ["Evidence", "evidence", "selected", "tally", "verdicts"]

ALL = "all"
COLUMNS = ("Item", "What is said", "Verdict", "What we found", "Evidence")
NOT_AUDITED = "open the cell and run it"


@dataclass(frozen=True)
class Evidence:
    """A claim that settles an item: where it stands, and what it measured.

    `cell` is the id of its code cell, so that `notebook#cell-id=cell` leads there in JupyterLab;
    `sentence` is empty, and `held` and `runs` are 0, where no audit has seen the claim.
    """

    claim: str
    notebook: str
    cell: str
    sentence: str
    held: int
    runs: int

    @property
    def address(self) -> str:
        """Where a link from a notebook beside it has to point."""
        return f"{self.notebook}#cell-id={self.cell}"

    @property
    def told(self) -> str:
        """Its sentence, and how often it held; where no audit has seen it, what to do."""
        if not self.sentence:
            return NOT_AUDITED
        return self.sentence + (f" ({self.held} of {self.runs} seeds)" if self.runs > 1 else "")


def evidence() -> dict[str, Evidence]:
    """Return every claim of the chapters by its id, with where it stands and what it measured.

    A cell that a reader has left half written has none.
    """
    measured = {row["claim"]: row for chapter in audited().values() for row in chapter["claims"]}
    found = {}
    for notebook in notebooks():
        for cell, source in code_of(notebook):
            for claim in _claims_in(source):
                row = measured.get(claim.id, {})
                found[claim.id] = Evidence(
                    claim.id, notebook.name, cell,
                    row.get("sentence", ""), row.get("held", 0), row.get("runs", 0),
                )  # fmt: skip
    return found


def tally() -> list[dict[str, Any]]:
    """Return how many checkable items of each document have which verdict, a row a document."""
    items = [item for item in ledger().values() if item.kind != "heading"]
    wordings = list(
        dict.fromkeys(VERDICTS[verdict] for verdict in VERDICTS if verdict != "heading")
    )
    counted = Counter((item.document, _wording(item)) for item in items)
    return [
        {"document": f"00{document[1:]} {about}"}
        | {wording: counted[document, wording] for wording in wordings}
        | {"together": sum(counted[document, wording] for wording in wordings)}
        for document, about in ABOUT.items()
    ]


def selected(
    document: str = ALL, verdict: str = ALL, chapter: str = ALL, containing: str = ""
) -> list[Item]:
    """Return the items of the ledger, headings included, that pass every filter.

    Parameters
    ----------
    document : str
        "D0" to "D4", or "all".
    verdict : str
        As a reader meets it: "holds", "does not hold", …, or "all".
    chapter : str
        The two digits of the chapter that treats the item, or "all".
    containing : str
        Words that must all occur in its id, statement or correction; case does not count.

    Raises
    ------
    TypeError, ValueError
        If there is no such document, verdict or chapter.
    """
    items = list(ledger().values())
    document = one_of("document", document, [ALL, *ABOUT])
    verdict = one_of("verdict", verdict, [ALL, *VERDICTS.values()])
    chapter = one_of("chapter", chapter, [ALL, *sorted({item.chapter for item in items})])
    words = page.check_text("containing", containing).casefold().split() if containing else []
    return [
        item
        for item in items
        if document in (ALL, item.document)
        and verdict in (ALL, _wording(item))
        and chapter in (ALL, item.chapter)
        and all(word in _searched(item) for word in words)
    ]


def verdicts() -> None:
    """Show all items of the ledger, to be filtered by document, verdict, chapter and words.

    The controls act at once. Without widgets, as in a printed page, the whole table is shown.
    """
    import ipywidgets as widgets

    claims = evidence()
    titles = {path.name[:2]: path.stem[3:].replace("_", " ") for path in notebooks()}
    treated = sorted({item.chapter for item in ledger().values()})
    topics = [(f"{number} {titles.get(number, '')}".strip(), number) for number in treated]
    controls = {
        "document": [(f"00{name[1:]} {about}", name) for name, about in ABOUT.items()],
        "verdict": [(wording, wording) for wording in VERDICTS.values()],
        "chapter": topics,
    }
    boxes: dict[str, Any] = {
        name: widgets.Dropdown(options=[(ALL, ALL), *options], description=name)
        for name, options in controls.items()
    }
    boxes["containing"] = widgets.Text(
        description="containing", placeholder="words, such as: forget gate", continuous_update=True
    )
    whole = selected()
    as_html = _as_html(whole, claims)
    table = widgets.HTML(as_html)

    def renew(change: Any) -> None:
        table.value = _as_html(selected(**{name: box.value for name, box in boxes.items()}), claims)

    for box in boxes.values():
        box.observe(renew, "value")
    shown = widgets.VBox([widgets.HBox(list(boxes.values())[:2]),
                          widgets.HBox(list(boxes.values())[2:]), table])  # fmt: skip
    page.display_both(as_html, _as_text(whole, claims), shown)


def _claims_in(source: str) -> list[Written]:
    try:
        return written_claims(source)
    except (SyntaxError, ValueError):
        return []


def _wording(item: Item) -> str:
    """Return the verdict as the filters name it, which is one of `VERDICTS`."""
    return VERDICTS[item.verdict]


def _searched(item: Item) -> str:
    return f"{item.id} {item.statement} {item.correction}".casefold()


def _told(item: Item, claims: dict[str, Evidence]) -> list[Evidence | str]:
    """Return the evidence for an item, or in a sentence why there is none."""
    if item.kind == "heading":
        return [f"chapter {item.chapter}"]
    return [claims[name] for name in item.claims if name in claims] or [
        REASONS.get(item.reason, f"chapter {item.chapter} is not written yet")
    ]


def _as_html(items: list[Item], claims: dict[str, Evidence]) -> str:
    if not items:
        return '<p role="status">No item passes all of these filters; take one of them back.</p>'
    rows = (cells(item, map(_link, _told(item, claims))) for item in items)
    table = page.table("Items of the ledger", COLUMNS, rows, tall="32em")
    return f'<p role="status">{_count(items)}</p>{table}'


def _link(one: Evidence | str) -> str:
    if isinstance(one, str):
        return inline(one)
    address = html.escape(one.address, quote=True)
    name = f'<a href="{address}">{one.claim}</a>'
    return f"{name}: {inline(one.told)}"


def _as_text(items: list[Item], claims: dict[str, Evidence]) -> str:
    told = ((item, map(_line, _told(item, claims))) for item in items)
    return "\n".join([_count(items), *(paragraph(item, lines) for item, lines in told)])


def _line(one: Evidence | str) -> str:
    return one if isinstance(one, str) else f"{one.claim}: {one.told}"


def _count(items: list[Item]) -> str:
    return f"{len(items)} of {len(ledger())} items"
