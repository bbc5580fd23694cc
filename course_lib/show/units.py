"""Activations and the units of a layer: bends with their slopes, and shares as bars."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from course_lib import checks
from course_lib.show.labels import EndLabels
from course_lib.show.pictures import label_ends
from course_lib.show.style import COLORS

Bend = tuple[Callable[[Any], Any], Callable[[Any], Any]]

PALE: dict[str, Any] = {"color": COLORS["theory"], "alpha": 0.5, "fill": True}
DASHED: dict[str, Any] = {"color": COLORS["limit"], "linestyle": "--"}


def bend_panels(bends: Mapping[str, Bend], *, limit: float = 4.0) -> Figure:
    """Draw each activation dashed and its slope solid, in panels with common axes.

    Parameters
    ----------
    bends : dict of name to (function, slope)
        Both of an array, element by element.
    limit : float
        Pre-activations from −limit to limit.

    Returns
    -------
    Figure
        Each panel's title names κ, the largest slope in it.

    Raises
    ------
    TypeError, ValueError
        If there is no bend, or a function does not return one finite number for each.
    """
    if not isinstance(bends, Mapping) or not bends:
        takes = "a dictionary of name to (function, slope)"
        raise TypeError(f"`bends` is {checks.shown(bends)}; it takes {takes}.")
    limit = checks.positive_number("limit", limit)
    a = np.linspace(-limit, limit, 801)
    columns = min(3, len(bends))
    rows = -(-len(bends) // columns)
    figure = plt.figure(figsize=(7, 0.6 + 1.7 * rows))
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    takes = "one finite number for each of them"
    for axes, (name, (bend, slope)) in zip(panels.flat, bends.items(), strict=False):
        steepness = checks.as_array(f"bends[{name!r}][1](a)", slope(a), shape=a.shape, takes=takes)
        height = checks.as_array(f"bends[{name!r}][0](a)", bend(a), shape=a.shape, takes=takes)
        axes.plot(a, height, **DASHED)
        axes.plot(a, steepness, color=COLORS["ink"])
        axes.set(ylim=(-1.2, 2.2), title=f"{name}, κ = {np.abs(steepness).max():.3g}")
    for axes in panels.flat[len(bends) :]:
        axes.set_visible(False)
    figure.supxlabel("pre-activation a", fontsize="medium")
    return figure


class BendPicture:
    """Where the pre-activations of a layer lie on its activation, for an explorer.

    Parameters
    ----------
    figure : Figure
    edges : array of shape (bars + 1,)
        Where the bars of the pre-activations begin and end; lines stand on the same points.
    """

    def __init__(self, figure: Figure, edges: ArrayLike) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        self._edges = edges = _edges(edges)
        self.axes = figure.add_subplot(xlim=(edges[0], edges[-1]), ylim=(-1.1, 2.1))
        self.axes.set_xlabel("pre-activation a")
        self._bars = self.axes.stairs(np.zeros(len(edges) - 1), edges, **PALE)
        (self._bend,) = self.axes.plot(edges, edges, label="φ", **DASHED)
        (self._slope,) = self.axes.plot(edges, edges, color=COLORS["ink"], label="φ′")
        self._labels: EndLabels = label_ends(self.axes)

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move bars and lines: `counts` (highest 1), `φ` and `φ′` at the edges, and `title`."""
        self._bars.set_data(arrays["counts"])
        self._bend.set_ydata(arrays["φ"])
        self._slope.set_ydata(arrays["φ′"])
        self.axes.set_title(arrays["title"])


class SharePicture:
    """One or two series of shares as bars and as an outline, for an explorer.

    Parameters
    ----------
    figure : Figure
    edges : array of shape (bars + 1,)
    names : sequence of one or two names
        What the bars are, and what the outline is; `update` finds them under these names.
    xlabel : str
    ylabel : str, optional
    top : float
        Where the axis of the shares ends.
    """

    def __init__(
        self,
        figure: Figure,
        edges: ArrayLike,
        names: Sequence[str],
        *,
        xlabel: str,
        ylabel: str = "share",
        top: float = 1.02,
    ) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        edges = _edges(edges)
        if isinstance(names, str) or len(names) not in (1, 2):
            raise ValueError(f"`names` is {checks.shown(names)}; it takes one or two names.")
        self.axes = figure.add_subplot(xlim=(edges[0], edges[-1]), ylim=(0, top))
        self.axes.set(xlabel=xlabel, ylabel=ylabel)
        styles: list[dict[str, Any]] = [PALE, {"color": COLORS["sigmoid"], "linewidth": 2.5}]
        flat = np.zeros(len(edges) - 1)
        self._series = {
            name: self.axes.stairs(flat, edges, label=name, **style)
            for name, style in zip(names, styles, strict=False)
        }
        if len(names) > 1:
            self.axes.legend(loc="upper center")

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move the series to the shares under their names, and write `title`."""
        for name, series in self._series.items():
            series.set_data(arrays[name])
        self.axes.set_title(arrays["title"])


class ResidualPicture:
    """Points, a straight line through them, and what the line leaves of each, for an explorer.

    Parameters
    ----------
    axes : Axes
        Its limits are kept.
    """

    def __init__(self, axes: Axes) -> None:
        self.axes = checks.instance("axes", axes, Axes, "matplotlib axes")
        self._line, self._gaps = axes.plot([], [], "-", [], [], ":", color=COLORS["theory"])
        (self._points,) = axes.plot([], [], "o", color=COLORS["ink"], fillstyle="none")
        (self._residuals,) = axes.plot([], [], "s", color=COLORS["lstm"], markersize=4)

    def update(self, x: ArrayLike, y: ArrayLike, left: ArrayLike) -> None:
        """Move them; the title says which share of the points' length is left.

        Parameters
        ----------
        x, y, left : arrays of shape (points,)
            Where the points are, and how far each is above the line: the line goes through
            (x, y − left).
        """
        x, y, left = (
            checks.as_array(name, values, ndim=1, takes="one number for each point")
            for name, values in (("x", x), ("y", y), ("left", left))
        )
        if not len(x) == len(y) == len(left):
            raise ValueError(
                f"`x`, `y` and `left` have {len(x)}, {len(y)} and {len(left)} numbers; "
                "they take one for each point."
            )
        self._line.set_data(x, y - left)
        gaps = np.column_stack([y, y - left, np.full(len(y), np.nan)])
        self._gaps.set_data(np.repeat(x, 3), gaps.ravel())
        self._points.set_data(x, y)
        self._residuals.set_data(x, left)
        length = np.linalg.norm(y)
        self.axes.set_title(f"{np.linalg.norm(left) / length if length else 0:.1%} of g is left")


def _edges(edges: ArrayLike) -> np.ndarray:
    """Return two rising numbers or more, or refuse."""
    takes = "two or more rising numbers"
    edges = checks.as_array("edges", edges, ndim=1, takes=takes)
    if len(edges) < 2 or np.any(np.diff(edges) <= 0):
        raise ValueError(f"`edges` has shape {edges.shape} and does not rise; it takes {takes}.")
    return edges
