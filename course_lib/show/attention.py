"""Attention: where an answer looked, what the root does to a softmax, where a token stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from numpy.typing import ArrayLike

from course_lib import checks
from course_lib.show.style import COLORS

WORTH_A_NUMBER = 0.05  # weights below it are drawn and not written


class AlignmentPicture:
    """Attention weights as a map, text across, answer down, and one row of it as bars with numbers.

    Light is much, dark is little (cividis, which is read without colours too). A frame marks the
    row that the bars show. Beside the map stands how probable each character of the answer was.

    Parameters
    ----------
    figure : Figure
        About 7 × 5 in.
    answer, text : int
        The number of characters, or tokens, of the answers, and the largest number of the texts.

    Attributes
    ----------
    map, row, sure : Axes

    Raises
    ------
    TypeError, ValueError
        If this is no figure, or a number does not fit.
    """

    def __init__(self, figure: Figure, answer: int, text: int) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        rows, columns = checks.positive_int("answer", answer), checks.positive_int("text", text)
        self._shape = rows, columns
        places = figure.subplot_mosaic(
            [["map", "sure"], ["row", "scale"]], width_ratios=(6, 1), height_ratios=(2, 1)
        )
        self.map, self.row, self.sure = (places[name] for name in ("map", "row", "sure"))
        self._image = self.map.imshow(
            np.zeros(self._shape), cmap="cividis", vmin=0.0, vmax=1.0, aspect="auto",
            interpolation="nearest",
        )  # fmt: skip
        scale = places["scale"]
        scale.set_box_aspect(0.2)
        bar = figure.colorbar(self._image, cax=scale, orientation="horizontal", label="weight")
        bar.set_ticks([0, 1])
        bar.outline.set_visible(False)
        self.map.spines[:].set_visible(False)
        frame: dict[str, Any] = {
            "fill": False,
            "edgecolor": COLORS["rnn"],
            "linewidth": 2.2,
            "clip_on": False,
        }
        self._frame = Rectangle((-0.5, -0.5), columns, 1, **frame)
        self.map.add_patch(self._frame)
        self._bars = self.row.bar(range(columns), np.zeros(columns), color=COLORS["limit"])
        self._numbers = [self.row.text(i, 0, "", ha="center", va="bottom", fontsize=10)
                         for i in range(columns)]  # fmt: skip
        self._chances = self.sure.barh(range(rows), np.zeros(rows), color=COLORS["limit"])
        self._write_names(rows, columns)
        self.map.set(xticks=[], yticks=[])
        self.map.set_xlabel("text", labelpad=22)
        self.map.set_ylabel("answer", labelpad=16)
        self.row.set(ylim=(0, 1.2), yticks=(0, 0.5, 1), ylabel="weight", xlim=(-0.5, columns - 0.5))
        self.row.set(xticks=[])
        self.sure.set(xlim=(0, 1), ylim=(rows - 0.5, -0.5), xticks=(0, 1), yticks=[])
        self.sure.set_xlabel("probability")

    def _write_names(self, rows: int, columns: int) -> None:
        """Write what ticks would say as texts: these move without the axes drawn anew."""
        below: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 10}
        beside: dict[str, Any] = {"va": "center", "fontsize": 10}
        self._columns = [
            [axes.text(i, -0.03, "", transform=axes.get_xaxis_transform(), **below)
             for i in range(columns)]
            for axes in (self.map, self.row)
        ]  # fmt: skip
        self._rows = [self.map.text(-0.02, i, "", ha="right", **beside,
                                    transform=self.map.get_yaxis_transform())
                      for i in range(rows)]  # fmt: skip
        self._probabilities = [self.sure.text(1.06, i, "", ha="left", **beside)
                               for i in range(rows)]  # fmt: skip

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move the picture to other weights.

        Parameters
        ----------
        arrays : dict
            `weights`, shape (answer, text), rows that sum to 1; `answer` and `text`, as many
            characters or tokens; `sure`, shape (answer,), the probability of each character of the
            answer; `row`, counted from 1; `title`.

        Raises
        ------
        TypeError, ValueError
            If an array is missing or does not fit.
        """
        weights, answer, text, sure, row = _checked(arrays, *self._shape)
        columns = self._shape[1]
        padded = np.zeros(self._shape)
        padded[:, : len(text)] = weights
        empty = np.arange(columns) >= len(text)  # paper, not a weight of 0
        self._image.set_data(np.ma.masked_array(padded, np.broadcast_to(empty, self._shape)))
        names = [*map(_seen, text), *[""] * (columns - len(text))]
        for texts in self._columns:
            _write(texts, names)
        _write(self._rows, map(_seen, answer))
        self._frame.set_y(row - 1.5)
        for bar, number, weight in zip(self._bars, self._numbers, padded[row - 1], strict=True):
            bar.set_height(weight)
            number.set(y=weight + 0.02, text=f"{weight:.2f}" if weight >= WORTH_A_NUMBER else "")
        for bar, chance in zip(self._chances, sure, strict=True):
            bar.set_width(chance)
        _write(self._probabilities, (f"{chance:.2f}" for chance in sure))
        self.map.set_title(arrays["title"])
        self.row.set_title(f"Character {row} of the answer, “{answer[row - 1]}”", fontsize=10.5)

    @staticmethod
    def tell(arrays: Mapping[str, Any]) -> str:
        """Return the picture in words: where each character of the answer looks most.

        Parameters
        ----------
        arrays : dict
            As `update` takes them.
        """
        weights, answer, text, sure, row = _checked(arrays)
        least = int(np.argmin(sure))
        most = [
            f"{character} at {_named(text[place])} ({place + 1}), {weight:.2f}"
            for character, place, weight in zip(
                answer, weights.argmax(axis=1), weights.max(axis=1), strict=True
            )
        ]
        return (
            f"“{''.join(text)}” becomes “{''.join(answer)}”. The largest weights: "
            f"{'; '.join(most)}. Bars: character {row}. The least probable character is "
            f"number {least + 1}, “{answer[least]}”, {sure[least]:.2f}."
        )


class SharpnessPicture:
    """The largest weights of one query, unscaled and scaled, and a figure of both against d_k.

    Parameters
    ----------
    figure : Figure
    widths : sequence of int
        The d_k at which the lines are known.
    ranks : int
        How many weights of the query are shown, the largest first.

    Attributes
    ----------
    weights, line : Axes

    Raises
    ------
    TypeError, ValueError
        If this is no figure, or `ranks` no whole number above 0.
    """

    LOOKS: ClassVar[dict[str, dict[str, Any]]] = {
        "unscaled": {"color": COLORS["rnn"], "marker": "o", "linestyle": "--"},
        "scaled": {"color": COLORS["lstm"], "marker": "s"},
    }

    def __init__(self, figure: Figure, widths: ArrayLike, ranks: int = 10) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        places = np.arange(1, checks.positive_int("ranks", ranks) + 1)
        widths = checks.as_array("widths", widths, ndim=1, takes="the d_k of the lines")
        self.weights, self.line = figure.subplots(1, 2)
        self._lines = [
            axes.plot(x, np.zeros(len(x)), label=name, **look)[0]
            for axes, x in ((self.weights, places), (self.line, widths))
            for name, look in self.LOOKS.items()
        ]
        self._here = self.line.axvline(1, color=COLORS["limit"], linewidth=1)
        self.weights.set(ylim=(-0.03, 1.03), xlabel="rank of the key", ylabel="weight")
        self.weights.legend()
        self.line.set_xscale("log", base=2)
        self.line.set_xlabel("width of the query, d_k (log)")

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move the picture.

        Parameters
        ----------
        arrays : dict
            `largest`, shape (2, ranks), the weights of the query, and `lines`, shape (2, widths),
            of each the unscaled first; `d_k`; `now`, the two figures there; `name` of the figure,
            and `highest`, the top of its axis, one for each name: a new name draws the axes anew.
        """
        for line, y in zip(self._lines, [*arrays["largest"], *arrays["lines"]], strict=True):
            line.set_ydata(y)
        self._here.set_xdata([arrays["d_k"]] * 2)
        axis = {"ylim": (0.0, float(arrays["highest"])), "ylabel": f"{arrays['name']}, median"}
        if (self.line.get_ylim(), self.line.get_ylabel()) != tuple(axis.values()):
            self.line.set(**axis)
        self.weights.set_title(f"d_k = {arrays['d_k']}")
        unscaled, scaled = arrays["now"]
        self.line.set_title(f"unscaled {unscaled:.2g}, scaled {scaled:.2g}")

    @staticmethod
    def tell(arrays: Mapping[str, Any]) -> str:
        """Return the picture in words."""
        (unscaled, scaled), (first, second) = arrays["now"], (of[0] for of in arrays["largest"])
        return (
            f"d_k = {arrays['d_k']}, {arrays['name']}, median: unscaled {unscaled:.2g}, scaled "
            f"{scaled:.2g}. The largest weight of this query is {first:.2f} unscaled and "
            f"{second:.2f} scaled."
        )


class ClockPicture:
    """One pair of a positional encoding as the hand of a clock, and how well positions fit.

    Parameters
    ----------
    figure : Figure
    length : int
        The number of positions.

    Attributes
    ----------
    clock, line : Axes

    Raises
    ------
    TypeError, ValueError
        If this is no figure, or `length` no whole number above 0.
    """

    LOOKS = (("t", COLORS["lstm"], "s"), ("t + n", COLORS["rnn"], "o"))

    def __init__(self, figure: Figure, length: int) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        length = checks.positive_int("length", length)
        self.clock, self.line = figure.subplots(1, 2, width_ratios=(1, 2))
        angle = np.linspace(0, 2 * np.pi, 200)
        self.clock.plot(np.cos(angle), np.sin(angle), color=COLORS["frame"])
        self.clock.set(aspect="equal", xticks=[], yticks=[], xlim=(-1.2, 1.2), ylim=(-1.2, 1.2))
        self.clock.spines[:].set_visible(False)
        self._hands, self._dots = [], []
        for name, color, marker in self.LOOKS:
            look: dict[str, Any] = {"color": color, "marker": marker}
            self._hands += self.clock.plot([], [], label=name, markevery=[1], **look)
            self._dots += self.line.plot([], [], label=name, linestyle="", zorder=3, **look)
        (self._curve,) = self.line.plot([], [], color=COLORS["ink"])
        self.line.set(xlim=(0, length - 1), ylim=(-1.05, 1.15), xlabel="position")
        self.line.set_ylabel("PE · PE at t, per pair")
        self.line.legend(loc="upper right", ncols=2)

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move the picture.

        Parameters
        ----------
        arrays : dict
            `fit`, shape (length,); `t` and `there`, two positions; `hands`, shape (2, 2), sine and
            cosine of both; `turned`, degrees; `title`.
        """
        places = (arrays["t"], arrays["there"])
        for hand, (sine, cosine) in zip(self._hands, arrays["hands"], strict=True):
            hand.set_data([0, sine], [0, cosine])  # from twelve, clockwise
        for dot, place in zip(self._dots, places, strict=True):
            dot.set_data([place], [arrays["fit"][place]])
        self._curve.set_data(np.arange(len(arrays["fit"])), arrays["fit"])
        self.clock.set_title(f"turned by {arrays['turned']:.0f}°")
        self.line.set_title(arrays["title"])


def _checked(arrays: Mapping[str, Any], *shape: int) -> tuple[Any, Any, Any, Any, int]:
    """Return weights, answer, text, sure and row, if they fit each other and the picture."""
    for name in ("weights", "answer", "text", "sure", "row"):
        if name not in arrays:
            raise ValueError(
                f"`arrays` has no {name!r}; it takes weights, answer, text, sure and row."
            )
    answer, text = arrays["answer"], arrays["text"]
    needed = (len(answer), len(text))
    takes = f"one weight for each pair of answer and text, shape {needed}"
    weights = checks.as_array("weights", arrays["weights"], shape=needed, takes=takes)
    if shape and (needed[0] != shape[0] or needed[1] > shape[1]):
        raise ValueError(f"`weights` has shape {needed}; it takes {shape[0]} rows, and up to "
                         f"{shape[1]} columns.")  # fmt: skip
    each = f"a probability for each character of the answer, shape {needed[:1]}"
    sure = checks.as_array("sure", arrays["sure"], shape=needed[:1], takes=each)
    row = checks.positive_int("row", arrays["row"], maximum=needed[0])
    return weights, answer, text, sure, row


def _write(texts: Iterable[Text], words: Iterable[str]) -> None:
    for text, word in zip(texts, words, strict=True):
        text.set_text(word)


def _seen(token: str) -> str:
    """Return a token as a tick shows it: a space has to be seen."""
    return "␣" if token == " " else token


def _named(token: str) -> str:
    return {" ": "the space", ",": "the comma", ".": "the full stop"}.get(token, f"“{token}”")
