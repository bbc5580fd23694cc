"""What a language model expects next, and what it writes: one picture for an explorer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from course_lib import checks
from course_lib.show.style import COLORS

BARS, COLUMNS, LINES = 10, 40, 7
NAMES = {"\n": "line end", " ": "space"}


class WritingPicture:
    """Bars for the likeliest next characters, beside them the text that is written on.

    Letters of a script that the figure's font does not know are drawn as boxes.

    Parameters
    ----------
    figure : matplotlib Figure

    Raises
    ------
    TypeError
        If it is no figure.
    """

    def __init__(self, figure: Figure) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        self._expects, page = figure.subplots(1, 2, width_ratios=[1, 2.2])
        self._bars = self._expects.barh(range(BARS), [0.0] * BARS, color=COLORS["rnn"])
        self._expects.set(xlim=(0, 1), ylim=(BARS - 0.4, -0.6), xlabel="probability")
        self._expects.set_yticks(range(BARS))
        page.set_axis_off()
        look = {"va": "top", "family": "monospace", "linespacing": 1.5, "parse_math": False}
        self._text = page.text(0.0, 1.0, "", transform=page.transAxes, **look)

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show other expectations and another text.

        Parameters
        ----------
        arrays : mapping
            ``"characters"``, the likeliest ones first, ``"probabilities"`` of theirs, ``"text"``,
            and ``"bits"``, how much surprise is to be expected.
        """
        names, p = arrays["characters"], arrays["probabilities"]
        for place, bar in enumerate(self._bars):
            bar.set_width(p[place] if place < len(p) else 0.0)
        shown = [NAMES.get(name, name) for name in names[:BARS]]
        self._expects.set_yticklabels(shown + [""] * (BARS - len(shown)), parse_math=False)
        self._expects.set_title(f"{arrays['bits']:.1f} bits expected")
        lines = textwrap.wrap(" ".join(arrays["text"].split()), COLUMNS)
        self._text.set_text("\n".join(lines[:LINES]))

    @staticmethod
    def tell(arrays: Mapping[str, Any]) -> str:
        """Return the picture in words."""
        first = NAMES.get(arrays["characters"][0], arrays["characters"][0])
        return (
            f"{arrays['bits']:.1f} bits of surprise expected; likeliest next: {first} with "
            f"{arrays['probabilities'][0]:.2f}. It writes: {' '.join(arrays['text'].split())}"
        )
