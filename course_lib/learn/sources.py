"""Back to the sources: what a reader may have read elsewhere, and what this chapter measured."""

from __future__ import annotations

from collections.abc import Iterable

from course_lib.checks import inline
from course_lib.learn import page
from course_lib.learn.claims import measured_claims
from course_lib.learn.ledger import REASONS, Item, ledger

COLUMNS = ("Item", "You may have read", "Verdict", "What we found", "Measured here")
NOT_YET = "run the chapter's cells above to fill this in"


def sources(*ids: str, title: str | None = None) -> None:
    """Show items of the ledger as a folded table, with the figures that this kernel has measured.

    Parameters
    ----------
    *ids : str
        Ids of the ledger, "D0-1-C3".
    title : str, optional
        The line that stays visible when the table is folded.

    Raises
    ------
    ValueError
        When the ledger has no such item, or one is named twice.
    """
    if not ids:
        raise ValueError('`sources` takes the ids of ledger items, such as "D0-1-C3"; it got none.')
    known = ledger()
    for item in ids:
        if not isinstance(item, str) or item not in known:
            raise ValueError(f"`sources` has {item!r}; the ledger has no item of that id.")
    if len(set(ids)) < len(ids):
        twice = next(item for item in ids if ids.count(item) > 1)
        raise ValueError(f"`sources` names {twice} twice; each item stands in the table once.")
    items = [known[item] for item in ids]
    if title is None:
        title = "One item, with what was measured" if len(items) == 1 else (
            f"All {len(items)} items of this chapter, with what was measured"
        )  # fmt: skip
    page.display_both(_as_html(items, title), _as_text(items, title))


def figures_for(item: Item) -> list[str]:
    """Return the sentences of this kernel's claims that settle an item, figures included."""
    return [
        f"{'✓' if claim.holds else '✗ does not hold with these settings:'} {claim.sentence}"
        for claim in measured_claims()
        if item.id in claim.settles
    ]


def _measured(item: Item) -> list[str]:
    if item.kind == "heading":
        return [f"chapter {item.chapter}"]
    return figures_for(item) or [REASONS.get(item.reason, NOT_YET)]


def cells(item: Item, evidence: Iterable[str]) -> tuple[str, ...]:
    """Return the HTML of an item's row, column by column; `evidence` is HTML already."""
    return (
        f'<code style="white-space:nowrap">{item.id}</code>',
        inline(item.statement),
        f"<em>{item.wording}</em>",
        inline(item.correction),
        "<br>".join(evidence),
    )


def paragraph(item: Item, evidence: Iterable[str]) -> str:
    """Return an item as plain text, with a line for each piece of evidence."""
    found = f"{item.wording}. {item.correction}".rstrip()
    return "\n  ".join([f"{item.id} · {item.statement}", found, *evidence])


def _as_html(items: list[Item], title: str) -> str:
    rows = (cells(item, map(inline, _measured(item))) for item in items)
    return page.folded_table(title, COLUMNS, rows)


def _as_text(items: list[Item], title: str) -> str:
    return "\n".join([title, *(paragraph(item, _measured(item)) for item in items)])
