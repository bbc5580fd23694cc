"""What `learn` puts on the page: one line or one box, as HTML with a plain-text twin.

Colours are inherited from the page, so that every line reads in the light and in the dark theme;
what a colour says, a sign and a word say too.
"""

from __future__ import annotations

import html
import math
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from course_lib import checks
from course_lib.checks import inline

HIDDEN = (
    "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap"
)
MUTED = "opacity:.8;font-size:.9em"


class Kind(NamedTuple):
    """How one kind of line looks and what a screen reader calls it."""

    sign: str
    word: str
    color: str


KINDS = {
    "right": Kind("✓", "Right", "#009E73"),
    "holds": Kind("✓", "Holds", "#009E73"),
    "fails": Kind("✗", "Does not hold", "#D55E00"),
    "wrong": Kind("→", "Not yet", "#E69F00"),
    "open": Kind("○", "Open", "#8A8A8A"),
    "hint": Kind("?", "Hint", "#56B4E9"),
    "note": Kind("·", "Note", "#8A8A8A"),
}


def is_strict() -> bool:
    """Say whether a claim that does not hold must fail (`COURSE_STRICT=1`, as in CI)."""
    return os.environ.get("COURSE_STRICT", "").strip().lower() not in ("", "0", "false", "no")


def show_line(kind: str, text: str, *, small: str = "") -> None:
    """Display one sentence with its sign, as HTML and as plain text.

    Parameters
    ----------
    kind : str
        A key of `KINDS`.
    text : str
        The sentence; `code` in backticks is set as code.
    small : str
        A muted addition on the same line.
    """
    plain = f"{KINDS[kind].sign} {text}" + (f"  [{small}]" if small else "")
    display_both(line_html(kind, text, small=small, role="status"), plain)


def line_html(kind: str, text: str, *, small: str = "", role: str = "") -> str:
    """Return the HTML of one line; see `show_line`."""
    sign, word, color = KINDS[kind]
    role = role and f' role="{role}"'
    addition = f' <span style="{MUTED}">{inline(small)}</span>' if small else ""
    return (
        f'<div{role} class="course-line" style="border-left:4px solid {color};'
        'padding:.3em .8em;margin:.3em 0;line-height:1.5">'
        f'<span aria-hidden="true" style="font-weight:bold">{sign}</span>'
        f'<span style="{HIDDEN}">{word}:</span> {inline(text)}{addition}</div>'
    )


CELL = (
    "text-align:left;vertical-align:top;white-space:normal;line-height:1.4;padding:.4em .7em;"
    "border-bottom:1px solid #8A8A8A66;"
)


def table(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, tall: str = ""
) -> str:
    """Return the HTML of a table in a box that scrolls; the first column names the row.

    Parameters
    ----------
    name : str
        What a screen reader calls it.
    columns : sequence of str
    rows : iterable of sequences of str
        Cells as HTML, escaped where they come from a reader or a file.
    tall : str
        The most the box may be high, such as "32em"; as high as the table unless given.
    """
    head = "".join(
        f'<th scope="col" style="{CELL}font-weight:bold">{column}</th>' for column in columns
    )
    body = "".join(
        f'<tr><th scope="row" style="{CELL}font-weight:normal">{first}</th>'
        + "".join(f'<td style="{CELL}">{other}</td>' for other in others)
        + "</tr>"
        for first, *others in rows
    )
    box = f"max-height:{tall};overflow:auto" if tall else "overflow-x:auto"
    return (
        f'<div style="{box}" tabindex="0" role="region" aria-label="{html.escape(name)}">'
        '<table style="border-collapse:collapse;text-align:left">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def folded_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a `table` under a line that stays visible when it is folded, and opens it."""
    return (
        f'<details class="course-table"><summary style="cursor:pointer">{inline(title)}</summary>'
        f"{table(title, columns, rows)}</details>"
    )


def display_both(as_html: str, plain: str, widget: Any = None) -> None:
    """Display a widget or HTML where a page can show it, and print the text where none is."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        print(plain)
        return
    if get_ipython() is None:
        print(plain)
        return
    bundle: dict[str, Any] = {"text/html": as_html, "text/plain": plain}
    if widget is not None:
        bundle["application/vnd.jupyter.widget-view+json"] = {
            "model_id": widget.model_id,
            "version_major": 2,
            "version_minor": 0,
        }
    display(bundle, raw=True)


def show_code(lead: str, code: str) -> None:
    """Display a sentence and some Python code below it, coloured where Pygments is there."""
    try:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import PythonLexer

        # classes are what JupyterLab colours by, in its light and in its dark theme
        colored = highlight(code, PythonLexer(), HtmlFormatter(cssclass="highlight"))
    except ImportError:
        colored = f"<pre>{html.escape(code)}</pre>"
    display_both(line_html("note", lead) + colored, f"{lead}\n\n{code}")


def figure_text(value: object, spec: str = "") -> str:
    """Return a measured figure as a sentence shows it: 3 significant digits unless `spec` says."""
    if isinstance(value, np.generic):
        value = value.item()
    if spec:
        return format(value, spec)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"


def fill_in(sentence: str, measured: object) -> str:
    """Put the figure where the sentence says `{measured}` or `{measured:.2e}`, else at its end."""
    placeholder = re.compile(r"\{measured(?::([^{}]*))?\}")
    if isinstance(measured, bool) or placeholder.search(sentence):
        return placeholder.sub(lambda found: figure_text(measured, found[1] or ""), sentence)
    body, stop = (sentence[:-1], ".") if sentence.endswith(".") else (sentence, "")
    return f"{body} (here {figure_text(measured)}){stop}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return "a", "a and b" or "a, b and c"."""
    words = list(words)
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def check_text(name: str, value: object) -> str:
    """Return `value` if it is a text with something in it."""
    if not isinstance(value, str) or not value.strip():
        raise TypeError(f"`{name}` is {checks.shown(value)}; it takes some words.")
    return value


def check_id(name: str, value: object) -> str:
    """Return `value` if it is an id of the course, such as "01-chain-rule"."""
    if not isinstance(value, str) or not re.fullmatch(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*", value):
        raise ValueError(
            f"`{name}` is {checks.shown(value)}; it takes the number of the chapter, a dash and a "
            'name in lower case, such as "01-chain-rule".'
        )
    return value
