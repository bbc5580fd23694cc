"""Small tables and notes for a cell's output, in the colours of the page, light or dark."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import checks

# kind -> (its role for screen readers, the colour of the bar at its left)
NOTE_KINDS: dict[str, tuple[str, str]] = {
    "info": ("status", "#0072B2"),
    "good": ("status", "#009E73"),
    "hint": ("status", "#E69F00"),
    "problem": ("alert", "#D55E00"),
}

_TEXT = "color:var(--jp-content-font-color1,inherit)"
_LINE = "1px solid var(--jp-border-color2,#c8c8c8)"


@dataclass(frozen=True)
class Table:
    """Rows of text under a header; a notebook shows it as HTML, a terminal as plain text."""

    rows: tuple[tuple[str, ...], ...]
    header: tuple[str, ...]
    caption: str
    numeric: tuple[bool, ...]

    def _repr_html_(self) -> str:
        align = ["right" if numeric else "left" for numeric in self.numeric]
        head = _html_row("th", self.header, align, ' scope="col"') if self.header else ""
        body = "".join(_html_row("td", row, align) for row in self.rows)
        caption = (
            f'<caption style="caption-side:top;text-align:left;padding:0 0 6px 0;{_TEXT}">'
            f"{html.escape(self.caption)}</caption>"
            if self.caption
            else ""
        )
        head = f"<thead>{head}</thead>" if head else ""
        return (
            f'<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:4px 0;'
            f'font-size:14px;{_TEXT}">{caption}{head}<tbody>{body}</tbody></table></div>'
        )

    def __str__(self) -> str:
        lines = [self.header, *self.rows] if self.header else list(self.rows)
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        text = [
            "  ".join(
                cell.rjust(width) if numeric else cell.ljust(width)
                for cell, width, numeric in zip(line, widths, self.numeric, strict=True)
            ).rstrip()
            for line in lines
        ]
        if self.header:
            text.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([self.caption, *text] if self.caption else text)

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True)
class Note:
    """A boxed remark; a notebook shows its HTML, a terminal its text."""

    text: str
    body: str
    kind: str

    def _repr_html_(self) -> str:
        role, color = NOTE_KINDS[self.kind]
        return (
            f'<div role="{role}" style="border-left:4px solid {color};border-radius:3px;'
            "padding:8px 12px;margin:4px 0;max-width:760px;line-height:1.45;"
            f'background:var(--jp-layout-color2,#f5f5f5);{_TEXT}">{self.body}</div>'
        )

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text


def table(
    rows: Iterable[Sequence[object]] | Iterable[dict[str, object]],
    header: Sequence[object] | None = None,
    caption: str | None = None,
) -> Table:
    """Return rows as a small table, to be a cell's last value.

    Parameters
    ----------
    rows : iterable of sequences, or of dictionaries with the same keys
        What stands in the cells; floats are written with four significant digits, columns of
        numbers are set flush right.
    header : sequence, optional
        The names of the columns; the dictionaries' keys unless given.
    caption : str, optional
        What the table shows.

    Raises
    ------
    TypeError, ValueError
        If there is no row, or a row has not as many cells as the others.
    """
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise TypeError(f"`rows` is {checks.shown(rows)}; it takes a list of rows.")
    listed: list[Any] = list(rows)
    if not listed:
        raise ValueError("`rows` is empty; a table takes at least one row.")
    if all(isinstance(row, dict) for row in listed):
        header = list(listed[0]) if header is None else header
        listed = [[row.get(key, "") for key in listed[0]] for row in listed]
    columns = len(listed[0]) if isinstance(listed[0], Sequence | np.ndarray) else 0
    for index, row in enumerate(listed):
        if isinstance(row, str) or not isinstance(row, Sequence | np.ndarray):
            raise TypeError(f"`rows[{index}]` is {checks.shown(row)}; it takes a list of cells.")
        if len(row) != columns:
            raise ValueError(
                f"`rows[{index}]` has {len(row)} cells; it takes {columns}, as many as the first."
            )
    names = tuple(str(name) for name in header) if header is not None else ()
    if names and len(names) != columns:
        raise ValueError(f"`header` has {len(names)} names; it takes {columns}, one a column.")
    numeric = tuple(all(_is_number(row[i]) for row in listed) for i in range(columns))
    cells = tuple(tuple(_cell(value) for value in row) for row in listed)
    return Table(cells, names, caption or "", numeric)


def note(text: str, kind: str = "info", *, body: str | None = None) -> Note:
    """Return a boxed remark, to be a cell's last value or to be displayed.

    Parameters
    ----------
    text : str
        What it says; shown as it is, with every `<` a `<`.
    kind : {"info", "good", "hint", "problem"}
        A problem is announced by screen readers at once, the others when there is a pause.
    body : str, optional
        The same as HTML, where it takes more than plain text.

    Raises
    ------
    TypeError, ValueError
        If the text is no text, or the kind is unknown.
    """
    checks.instance("text", text, str, "the words of the note")
    checks.one_of("kind", kind, NOTE_KINDS)
    return Note(text, html.escape(text).replace("\n", "<br>") if body is None else body, kind)


def _html_row(tag: str, cells: Sequence[str], align: Sequence[str], attributes: str = "") -> str:
    style = f"padding:3px 14px 3px 0;vertical-align:top;border-bottom:{_LINE};text-align:"
    row = "".join(
        f'<{tag}{attributes} style="{style}{side}">{html.escape(cell)}</{tag}>'
        for cell, side in zip(cells, align, strict=True)
    )
    return f'<tr style="background:transparent">{row}</tr>'


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _cell(value: object) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    return "" if value is None else str(value)
