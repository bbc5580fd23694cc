"""What a language model expects next, and what it writes: one picture for an explorer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any
from unicodedata import east_asian_width

from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font

from course_lib import checks
from course_lib.show.style import COLORS

BARS, COLUMNS, LINES = 10, 40, 7
NAMES = {"\n": "line end", " ": "space"}
LATIN = "DejaVu Sans Mono"  # comes with matplotlib
HAN = (  # fonts with Chinese characters, of which a machine may have one
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC",
    "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Microsoft YaHei", "SimHei", "PingFang SC",
    "Hiragino Sans GB", "Heiti TC", "Arial Unicode MS",
)  # fmt: skip
NOT_DRAWN = "[No font of this machine has these characters in it.]"


class WritingPicture:
    """Bars for the likeliest next characters, beside them the text that is written on.

    Chinese characters are drawn where the machine has a font for them. A character that no font
    knows has its number in place of its name, such as U+6708, and instead of a text that is full
    of them stands a sentence that says so.

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
        look = {"va": "top", "linespacing": 1.5, "parse_math": False}
        look["family"] = self._families = [LATIN, *[name for name in HAN if name in _installed()]]
        self._text = page.text(0.0, 1.0, "", transform=page.transAxes, **look)
        self._after = page.set_title("", loc="left", family=self._families, parse_math=False)

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show other expectations and another text.

        Parameters
        ----------
        arrays : mapping
            ``"characters"``, the likeliest ones first, ``"probabilities"`` of theirs, ``"text"``,
            ``"bits"``, how much surprise is to be expected, and, if you like, ``"after"``, what
            it goes on from.
        """
        names, p = arrays["characters"], arrays["probabilities"]
        for place, bar in enumerate(self._bars):
            bar.set_width(p[place] if place < len(p) else 0.0)
        shown = [self._name(name) for name in names[:BARS]]
        self._expects.set_yticklabels(
            shown + [""] * (BARS - len(shown)), family=self._families, parse_math=False
        )
        self._expects.set_title(f"{arrays['bits']:.1f} bits expected")
        self._after.set_text(self._drawn(f"after “{arrays['after']}”") if "after" in arrays else "")
        self._text.set_text(self._drawn(arrays["text"]))

    def _name(self, character: str) -> str:
        """Return what stands beside a bar."""
        if character in NAMES or self._knows(character):
            return NAMES.get(character, character)
        return f"U+{ord(character):04X}"

    def _drawn(self, text: str) -> str:
        """Return the lines of a text, or why they cannot be drawn."""
        text = " ".join(text.split())
        unknown = sum(not self._knows(character) for character in text)
        if unknown > len(text) / 4:
            return "\n".join(textwrap.wrap(NOT_DRAWN, COLUMNS))
        wide = sum(east_asian_width(character) in "WF" for character in text)
        columns = COLUMNS // 2 if wide > len(text) / 4 else COLUMNS
        return "\n".join(textwrap.wrap(text, columns)[:LINES])

    def _knows(self, character: str) -> bool:
        return any(_has(family, character) for family in self._families)

    @staticmethod
    def tell(arrays: Mapping[str, Any]) -> str:
        """Return the picture in words."""
        first = NAMES.get(arrays["characters"][0], arrays["characters"][0])
        return (
            f"{arrays['bits']:.1f} bits of surprise expected; likeliest next: {first} with "
            f"{arrays['probabilities'][0]:.2f}. It writes: {' '.join(arrays['text'].split())}"
        )


@cache
def _installed() -> frozenset[str]:
    return frozenset(font.name for font in fontManager.ttflist)


@cache
def _has(family: str, character: str) -> bool:
    """Return whether a font of this family has a sign for the character."""
    return get_font(findfont(family)).get_char_index(ord(character)) != 0
