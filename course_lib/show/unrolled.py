"""A recurrent network unrolled in time: a unit, step by step, and the terms of its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.text import Text
from numpy.typing import NDArray

from course_lib import checks
from course_lib.show.pictures import heat_map
from course_lib.show.style import COLORS

FORWARD, INPUT, BACKWARD = 2.35, 1.25, 0.0  # the heights of the three rows
WIDTH, HEIGHT = 0.66, 0.62  # of a box; one step is 1 wide
LUMA, DARK = (0.30, 0.59, 0.11), 0.55  # below this brightness a number stands in light ink
COVERED = 0.8  # how much of a dropped term is covered


class UnrolledPicture:
    """One recurrent unit, unrolled: boxes h_0 … h_T above, boxes δ_T … δ_1 below.

    A box takes the colour of its number, from −1 (orange) to 1 (violet). Arrows to the right carry
    h on, arrows to the left carry δ back, each with the factor by which it is multiplied.

    Parameters
    ----------
    axes : Axes
    longest : int
        The largest number of steps.

    Attributes
    ----------
    axes : Axes

    Raises
    ------
    TypeError, ValueError
        If these are no axes, or `longest` is no whole number from 2 upwards.
    """

    def __init__(self, axes: Axes, longest: int) -> None:
        self.axes = checks.instance("axes", axes, Axes, "matplotlib axes")
        self.longest = longest = checks.positive_int("longest", longest, minimum=2)
        axes.set(xlim=(-0.95, longest + 0.75), ylim=(-0.95, FORWARD + 0.75))
        axes.axis("off")
        steps = range(1, longest + 1)
        for height, name in ((FORWARD, "h"), (INPUT, "x"), (BACKWARD, "δ")):
            axes.text(-0.9, height, name, va="center", fontsize=12)
        self._states = [_Box(axes, t, FORWARD) for t in range(longest + 1)]
        self._deltas = [_Box(axes, t, BACKWARD) for t in steps]
        self._inputs = [_words(axes, t, INPUT) for t in steps]
        self._numbers = [_words(axes, t, FORWARD + 0.52, color=COLORS["limit"]) for t in steps]
        self._up = [_arrow(axes, (t, INPUT + 0.2), (t, FORWARD - HEIGHT / 2)) for t in steps]
        self._onward = [_between(axes, t - 1, t, FORWARD) for t in steps]
        self._back = [_between(axes, t + 1, t, BACKWARD) for t in steps[:-1]]
        self._factors = [_words(axes, t + 0.5, BACKWARD + 0.47) for t in steps[:-1]]
        self._from_loss = [_arrow(axes, (t, -0.72), (t, -HEIGHT / 2)) for t in steps]
        self._errors = [_words(axes, t, -0.84) for t in steps]

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move the picture to new numbers, and to how far the two passes have come.

        Parameters
        ----------
        arrays : dict
            `x` of shape (T,); `h` of shape (T + 1,), h_0 first; `delta` of shape (T,), δ_1 first;
            `factor` of shape (T − 1,): what δ_{t+1} is multiplied by on its way to δ_t, for
            t = 1 … T − 1; `error` of shape (T,), what the loss adds at each step; `reached`, the
            number of boxes filled so far, 0 to 2 T: first h_1 … h_T, then δ_T … δ_1.

        Raises
        ------
        TypeError, ValueError
            If an array has another shape or is not finite, or `reached` is out of range.
        """
        x = checks.as_array("x", arrays["x"], ndim=1, takes="one number for each step")
        length = len(x)
        if not 2 <= length <= self.longest:
            raise ValueError(f"`x` has {length} steps; it takes 2 to {self.longest}.")
        h = _steps("h", arrays, length + 1)
        delta, error = _steps("delta", arrays, length), _steps("error", arrays, length)
        factor = _steps("factor", arrays, length - 1)
        reached = checks.positive_int("reached", arrays["reached"], minimum=0, maximum=2 * length)
        forward, first = min(reached, length), 2 * length - reached  # h up to, δ after this step
        for t, box in enumerate(self._states):
            box.show(h[t] if t <= forward else None, visible=t <= length)
        for t in range(1, self.longest + 1):
            inside, known = t <= length, first < t <= length
            self._deltas[t - 1].show(delta[t - 1] if known else None, visible=inside)
            _write(self._inputs[t - 1], f"{x[t - 1]:.2g}" if inside else "")
            _write(self._numbers[t - 1], f"t = {t}" if inside else "")
            self._up[t - 1].set_visible(t <= forward)
            self._onward[t - 1].set_visible(t <= forward)
            loss = known and error[t - 1] != 0
            self._from_loss[t - 1].set_visible(loss)
            _write(self._errors[t - 1], f"e = {error[t - 1]:.2g}" if loss else "")
        for t in range(1, self.longest):
            known = first < t < length
            self._back[t - 1].set_visible(known and factor[t - 1] != 0)
            _write(self._factors[t - 1], _factor(factor[t - 1]) if known else "")
        self.axes.set_title(self.tell(arrays))

    @staticmethod
    def tell(arrays: Mapping[str, Any]) -> str:
        """Return the picture in words: which box was filled last, and with what.

        Parameters
        ----------
        arrays : dict
            As `update` takes them.
        """
        length, reached = len(arrays["x"]), arrays["reached"]
        if reached == 0:
            return f"{length} steps, nothing computed yet"
        if reached <= length:
            value = _short(arrays["h"][reached])
            return f"Forward to step {reached} of {length}: h = {value}".replace("-", "−")
        t = 2 * length - reached + 1
        value = _short(arrays["delta"][t - 1])
        return f"Back to step {t} of {length}: δ = {value}".replace("-", "−")


class TermsPicture:
    """The terms of ∂𝓛/∂W_h by the loss they come from and the use of W_h they go to.

    Rows are losses, columns uses; a loss reaches no later use, so there is a triangle. Colours are
    powers of ten below the largest term; what is not kept is covered.

    Parameters
    ----------
    figure : Figure
    length : int
        The number of steps.
    decades : int
        How many powers of ten the colours span.

    Attributes
    ----------
    axes : Axes

    Raises
    ------
    TypeError, ValueError
        If this is no figure, or a number is no whole number from 1 upwards.
    """

    def __init__(self, figure: Figure, length: int, *, decades: int = 5) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        self._length = length = checks.positive_int("length", length)
        self._lowest = -float(checks.positive_int("decades", decades))
        self.axes = figure.add_subplot()
        self._terms = heat_map(
            self.axes,
            np.full((length, length), self._lowest),
            rows=range(1, length + 1),
            columns=range(1, length + 1),
            label="log₁₀ of the term, largest 0",
            limits=(self._lowest, 0.0),
            numbers=False,
        )
        self._paper = np.array(mpl.colors.to_rgba(COLORS["paper"]))
        self.axes.set(xlabel="use of W_h at step t", ylabel="loss of step s")
        self.axes.tick_params(length=0)  # a mark would reach into the cell beside it

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move the picture to new terms.

        Parameters
        ----------
        arrays : dict
            `sizes` of shape (length, length), the norm of each term, at least one above 0;
            `kept` of the same shape, whether it is kept; `title`.

        Raises
        ------
        TypeError, ValueError
            If an array has another shape or is not finite, or no term is above 0.
        """
        shape = (self._length, self._length)
        sizes = checks.as_array("sizes", arrays["sizes"], shape=shape)
        kept = checks.as_array("kept", arrays["kept"], shape=shape) != 0
        if not sizes.max() > 0:
            raise ValueError("`sizes` has no term above 0; it takes one that others stand below.")
        with np.errstate(divide="ignore"):
            height = np.log10(np.maximum(sizes, 0)) - np.log10(sizes.max())
        possible = np.tri(self._length, dtype=bool)
        cover = np.where(possible, np.where(kept, 0.0, COVERED), 1.0)[..., np.newaxis]
        colors = self._terms.to_rgba(np.maximum(height, self._lowest))
        self._terms.set_data((1 - cover) * colors + cover * self._paper)
        self.axes.set_title(arrays["title"])


class _Box:
    """One box with its number and the number's colour; empty while its number is not known."""

    def __init__(self, axes: Axes, step: float, height: float) -> None:
        corner = (step - WIDTH / 2, height - HEIGHT / 2)
        self._box = Rectangle(corner, WIDTH, HEIGHT, edgecolor=COLORS["limit"])
        axes.add_patch(self._box)
        self._number = _words(axes, step, height)

    def show(self, value: float | None, *, visible: bool) -> None:
        self._box.set_visible(visible)
        if not visible or value is None:
            self._box.set_facecolor(COLORS["paper"])
            _write(self._number, "")
            return
        share = float(np.clip(value, -1, 1))
        color = mpl.colormaps["PuOr"]((1 + share) / 2)
        self._box.set_facecolor(color)
        self._number.set_color(COLORS["paper" if np.dot(color[:3], LUMA) < DARK else "ink"])
        _write(self._number, _short(value))


def _steps(name: str, arrays: Mapping[str, Any], length: int) -> NDArray[np.float64]:
    """Return the array of this name, one finite number for each of `length` places, or refuse."""
    takes = f"shape ({length},), to go with `x`"
    return checks.as_array(name, arrays[name], shape=(length,), takes=takes)


def _words(axes: Axes, step: float, height: float, color: str = COLORS["ink"]) -> Text:
    return axes.text(step, height, "", ha="center", va="center", fontsize=10, color=color)


def _write(text: Text, words: str) -> None:
    text.set_text(words.replace("-", "−"))


def _short(value: float) -> str:
    """Return three digits where they fit into a box, else the power of ten."""
    if value == 0 or 0.01 <= abs(value) < 100:
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.0f}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def _factor(value: float) -> str:
    return f"×{_short(value)}" if value else "cut"


def _between(axes: Axes, start: int, end: int, height: float) -> FancyArrowPatch:
    """Return an arrow from the box of one step to the next one's."""
    half = WIDTH / 2 if end > start else -WIDTH / 2
    return _arrow(axes, (start + half, height), (end - half, height))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> FancyArrowPatch:
    arrow = FancyArrowPatch(
        start, end, arrowstyle="-|>", mutation_scale=9, color=COLORS["limit"], shrinkA=0, shrinkB=1
    )
    axes.add_patch(arrow)
    return arrow
