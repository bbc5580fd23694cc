"""All verdicts on one page: each item of the ledger, with a link to the cell that settles it.

The figure beside an item is the sentence of its claim, as the last audit measured it with the
course's own seed (`data/audit.json`), and with how many seeds the claim held.
"""

from __future__ import annotations

import html
import json
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

from course_lib import data
from course_lib.checks import one_of
from course_lib.learn import page
from course_lib.learn.ledger import (
    REASONS,
    VERDICTS,
    Item,
    code_of,
    ledger,
    notebooks,
    written_claims,
)
from course_lib.learn.reference import ABOUT

__all__ = ["Evidence", "evidence", "selected", "tally", "verdicts"]

AUDIT = "audit.json"
ALL = "all"
COLUMNS = ("Item", "What is said", "Verdict", "What we found", "Evidence")
NOT_AUDITED = "open the cell and run it"
WRAP = "text-align:left;vertical-align:top;white-space:normal;padding:.4em .7em;"
WRAP += "border-bottom:1px solid #8A8A8A66;"


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


def evidence() -> dict[str, Evidence]:
    """Return every claim of the chapters by its id, with where it stands and what it measured."""
    measured = _audited()
    found = {}
    for notebook in notebooks():
        for cell, source in code_of(notebook):
            for claim in written_claims(source):
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
    table = widgets.HTML()

    def renew(change: Any = None) -> None:
        table.value = _as_html(selected(**{name: box.value for name, box in boxes.items()}), claims)

    for box in boxes.values():
        box.observe(renew, "value")
    renew()
    whole = selected()
    shown = widgets.VBox([widgets.HBox(list(boxes.values())[:2]),
                          widgets.HBox(list(boxes.values())[2:]), table])  # fmt: skip
    page.display_both(_as_html(whole, claims), _as_text(whole, claims), shown)


def _audited() -> dict[str, dict[str, Any]]:
    """Return the rows of the stored audit by claim, of all chapters."""
    place = data.folder() / AUDIT
    if not place.is_file():
        return {}
    return _rows(str(data.path(AUDIT)))


@cache
def _rows(place: str) -> dict[str, dict[str, Any]]:
    with open(place, encoding="utf-8") as file:
        return {
            row["claim"]: row for chapter in json.load(file).values() for row in chapter["claims"]
        }


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
    head = "".join(f'<th scope="col" style="{WRAP}">{name}</th>' for name in COLUMNS)
    body = "".join(_row(item, claims) for item in items)
    return (
        f'<p role="status">{len(items)} of {len(ledger())} items</p>'
        '<div style="max-height:32em;overflow:auto" tabindex="0" role="region" '
        'aria-label="Items of the ledger"><table style="border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(item: Item, claims: dict[str, Evidence]) -> str:
    cells = (
        page.inline(item.statement),
        f"<em>{item.wording}</em>",
        page.inline(item.correction),
        "<br>".join(_link(one) for one in _told(item, claims)),
    )
    row = "".join(f'<td style="{WRAP}">{cell}</td>' for cell in cells)
    name = f'<th scope="row" style="{WRAP}font-weight:normal;white-space:nowrap">'
    return f"<tr>{name}<code>{item.id}</code></th>{row}</tr>"


def _link(one: Evidence | str) -> str:
    if isinstance(one, str):
        return page.inline(one)
    address = html.escape(one.address, quote=True)
    sentence = page.inline(one.sentence) if one.sentence else NOT_AUDITED
    seeds = f" <small>({one.held} of {one.runs} seeds)</small>" if one.runs > 1 else ""
    return f'<a href="{address}">{one.notebook[:2]}</a>&nbsp;{sentence}{seeds}'


def _as_text(items: list[Item], claims: dict[str, Evidence]) -> str:
    blocks = []
    for item in items:
        lines = [f"{item.id} · {item.statement}", f"  {item.wording}. {item.correction}".rstrip()]
        for one in _told(item, claims):
            lines.append(f"  {one if isinstance(one, str) else f'{one.claim}: {one.sentence}'}")
        blocks.append("\n".join(lines))
    return "\n".join([f"{len(items)} of {len(ledger())} items", *blocks])
