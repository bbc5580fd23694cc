"""What a reader looks up: which chapter treats which section, and the words of the field."""

from __future__ import annotations

import html

from course_lib import data
from course_lib.checks import inline
from course_lib.learn import page
from course_lib.learn.ledger import Item, ledger, notebooks

__all__ = ["document_map", "glossary"]


# What each document is about, in a few words of our own.
ABOUT = {
    "D0": "vanishing gradients in language processing",
    "D1": "exploding and vanishing gradients, and Adam",
    "D2": "tricks and practice for recurrent language models",
    "D3": "exploding and vanishing gradients, causes and cures",
    "D4": "the vanishing gradient of recurrent networks",
}


def document_map() -> None:
    """Show, folded by document, which chapters treat each section of the five documents."""
    links = _chapter_links()
    parts, plain = [], []
    for document in sorted({item.document for item in ledger().values()}):
        rows = [
            (
                f"§{heading.section}",
                inline(heading.statement),
                ", ".join(links.get(chapter, chapter) for chapter in chapters),
            )
            for heading, chapters in _sections(document)
        ]
        title = f"Document 00{document[1:]} · {ABOUT[document]}"
        parts.append(page.folded_table(title, ("section", "about", "chapters"), rows))
        plain += [
            title,
            *(f"  §{h.section} {h.statement}: {', '.join(c)}" for h, c in _sections(document)),
        ]
    page.display_both("".join(parts), "\n".join(plain))


def glossary() -> None:
    """Show, folded, the terms of the field in Chinese and English with one line on each."""
    terms = data.load_table("glossary.csv")
    columns = ("Chinese", "English", "meaning", "in the documents")
    rows = [tuple(html.escape(value) for value in term.values()) for term in terms]
    title = f"The {len(terms)} terms, Chinese and English (click to open)"
    plain = [title, *(f"{t['chinese']} · {t['english']}: {t['meaning']}" for t in terms)]
    page.display_both(page.folded_table(title, columns, rows), "\n".join(plain))


def _sections(document: str) -> list[tuple[Item, list[str]]]:
    """Return the headings of a document, each with the chapters that treat its items."""
    items = [item for item in ledger().values() if item.document == document]
    return [
        (heading, sorted({item.chapter for item in items if item.section == heading.section}))
        for heading in items
        if heading.kind == "heading"
    ]


def _chapter_links() -> dict[str, str]:
    """Return a link to each chapter that is written, by its two digits."""
    return {path.name[:2]: f'<a href="{path.name}">{path.name[:2]}</a>' for path in notebooks()}
