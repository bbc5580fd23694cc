"""Clipped gradients: the arrow beside its circle and its square, and walks beside a wall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib import checks
from course_lib.show.pictures import label_ends
from course_lib.show.style import COLORS, OTHERS, line_style

Array = NDArray[np.float64]

CIRCLE = np.linspace(0, 2 * np.pi, 121)
SQUARE = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]], dtype=np.float64)
WALKS: tuple[dict[str, Any], ...] = (
    {"color": COLORS["ink"], "marker": "o", "linewidth": 0.8, "markersize": 2.5},
    {"color": OTHERS[2], "marker": "s", "linewidth": 0.8, "markersize": 2.5, "linestyle": "--"},
)


class ClipPicture:
    """A gradient of two entries as an arrow, and what two ways of clipping leave of it.

    The circle holds all gradients of norm c, the square those whose entries are at most c.

    Parameters
    ----------
    figure : Figure
    reach : float
        The plane is shown from −reach to reach in both directions.

    Raises
    ------
    TypeError, ValueError
        If it is no figure, or `reach` is not above 0.
    """

    def __init__(self, figure: Figure, reach: float) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        reach = checks.positive_number("reach", reach)
        self._axes = figure.add_subplot(aspect="equal", xlabel="g₁", ylabel="g₂")
        self._axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        self._axes.set_xticks(self._axes.get_yticks()[1:-1])
        thin: Any = line_style("theory")
        (self._circle,) = self._axes.plot([], [], **thin)
        (self._square,) = self._axes.plot([], [], **thin)
        ink = COLORS["ink"]
        (self._gradient,) = self._axes.plot(
            [], [], "^-", color=ink, linewidth=1, zorder=4, label="gradient"
        )
        (self._by_value,) = self._axes.plot([], [], "s--", color=OTHERS[0], label="by value")
        (self._by_norm,) = self._axes.plot([], [], "o-", color=OTHERS[1], label="by norm")
        for line in (self._gradient, self._by_value, self._by_norm):
            line.set_markevery([-1])
        self._axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show another gradient.

        Parameters
        ----------
        arrays : dict
            `gradient`, `by_value` and `by_norm`, shape (2,) each; the `limit`, a number.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """
        limit = checks.positive_number("limit", float(arrays["limit"]))
        self._circle.set_data(limit * np.cos(CIRCLE), limit * np.sin(CIRCLE))
        self._square.set_data(*(limit * SQUARE).T)
        arrows = {"gradient": self._gradient, "by_value": self._by_value, "by_norm": self._by_norm}
        ends = {name: checks.as_array(name, arrays[name], shape=(2,)) for name in arrows}
        for name, line in arrows.items():
            line.set_data([0, ends[name][0]], [0, ends[name][1]])
        turned = angle_between(ends["gradient"], ends["by_value"])
        self._axes.set_title(f"By value it turns by {turned:.0f}°, by norm by 0°")


def angle_between(one: ArrayLike, other: ArrayLike) -> float:
    """Return the angle between two arrays of one shape, taken as vectors, in degrees.

    Raises
    ------
    TypeError, ValueError
        If they are not finite, differ in shape, or one is 0.
    """
    a = checks.as_array("one", one)
    b = checks.as_array("other", other, shape=a.shape)
    lengths = np.linalg.norm(a) * np.linalg.norm(b)
    if lengths == 0:
        raise ValueError("An array of zeros has no direction; both take an entry that is not 0.")
    return float(np.degrees(np.arccos(np.clip(np.sum(a * b) / lengths, -1, 1))))


class WallPicture:
    """Walks on a surface with a wall, seen from above, and the loss after each of their steps.

    Parameters
    ----------
    figure : Figure
    first, second : arrays of shape (columns,) and (rows,)
        The values of the two parameters on an even grid.
    surface : array of shape (rows, columns)
        The loss there.
    names : sequence of two names
        What the walks are called.
    xlabel, ylabel : str
        What the parameters are called.

    Raises
    ------
    TypeError, ValueError
        If it is no figure, an array does not fit, or there are not two names.
    """

    def __init__(
        self,
        figure: Figure,
        first: ArrayLike,
        second: ArrayLike,
        surface: ArrayLike,
        names: Sequence[str],
        *,
        xlabel: str = "w",
        ylabel: str = "b",
    ) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        columns = checks.as_array("first", first, ndim=1)
        rows = checks.as_array("second", second, ndim=1)
        heights = checks.as_array("surface", surface, shape=(len(rows), len(columns)))
        if isinstance(names, str) or len(names) != 2:
            raise ValueError(f"`names` is {checks.shown(names)}; it takes two names.")
        left, self._right = figure.subplots(1, 2, width_ratios=(3, 2))
        filled = left.contourf(columns, rows, heights, levels=12, alpha=0.45)
        filled.set_rasterized(True)  # as pixels, also where the rest is lines
        bar = figure.colorbar(filled, ax=left)
        bar.outline.set_visible(False)
        bar.ax.set_xlabel("loss")
        left.set(xlim=columns[[0, -1]], ylim=rows[[0, -1]], xlabel=xlabel, ylabel=ylabel)
        self._left = left
        self._walks: list[Any] = []
        self._losses: list[Any] = []
        for name, style in zip(names, WALKS, strict=True):
            (walk,) = left.plot([], [], **style)
            (loss,) = self._right.semilogy([], [], label=name, **style)
            self._walks.append(walk)
            self._losses.append(loss)
        self._right.set(xlabel="step", ylim=(1e-5, 1), title="Loss after each step")
        self._right.set_xlim(0, 1)
        self._right.locator_params(axis="x", integer=True)
        label_ends(self._right)

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show other walks.

        Parameters
        ----------
        arrays : dict
            `walks`, shape (2, steps + 1, 2): the points of each, first and second parameter;
            `losses`, shape (2, steps + 1).

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """
        losses = checks.as_array("losses", arrays["losses"], ndim=2)
        walks = checks.as_array("walks", arrays["walks"], shape=(2, losses.shape[1], 2))
        for walk, points in zip(self._walks, walks, strict=True):
            walk.set_data(*points.T)
        for line, values in zip(self._losses, losses, strict=True):
            line.set_data(range(len(values)), np.maximum(values, 1e-5))
        if self._right.get_xlim() != (0, losses.shape[1] - 1):  # new ticks: all is drawn again
            self._right.set_xlim(0, losses.shape[1] - 1)
        away = np.linalg.norm(walks[:, 1] - walks[:, 0], axis=1)
        self._left.set_title(f"First step: {away[0]:.2g} long without, {away[1]:.2g} with clipping")


class AnglePicture:
    """How far each way of clipping turns a gradient, over the limit, for an explorer.

    Parameters
    ----------
    figure : Figure
    limits : array of shape (points,)
        The limits c, rising, above 0; the axis is logarithmic.
    names : sequence of up to four names
        The ways of clipping; `update` finds their angles under these names.

    Raises
    ------
    TypeError, ValueError
        If it is no figure, a limit is not above 0, or there are too many names or none.
    """

    def __init__(self, figure: Figure, limits: ArrayLike, names: Sequence[str]) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        limits = checks.as_array("limits", limits, ndim=1)
        if len(limits) < 2 or limits[0] <= 0 or (np.diff(limits) <= 0).any():
            raise ValueError("`limits` takes two numbers or more above 0, each above the last.")
        dashes = ("--", "-.", "-", ":")
        if isinstance(names, str) or not 1 <= len(names) <= len(dashes):
            raise ValueError(f"`names` is {checks.shown(names)}; it takes one to four names.")
        self._axes = figure.add_subplot(xscale="log", xlim=limits[[0, -1]], ylim=(-3, 93))
        self._axes.set(xlabel="limit c", ylabel="angle to the gradient (degrees)")
        self._lines = {
            name: self._axes.plot(limits, 0 * limits, dash, label=name)[0]
            for name, dash in zip(names, dashes, strict=False)
        }
        (self._dots,) = self._axes.plot([], [], "o", color=COLORS["ink"])
        self._axes.legend(loc="upper right")

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show other angles.

        Parameters
        ----------
        arrays : dict
            Under each name the angles in degrees, shape (points + 1,): at each limit, and at last
            at the chosen one; the chosen limit under `c`.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """
        ends = {}
        for name, line in self._lines.items():
            angles = checks.as_array(name, arrays[name], shape=(np.size(line.get_xdata()) + 1,))
            line.set_ydata(angles[:-1])
            ends[name] = angles[-1]
        self._dots.set_data([arrays["c"]] * len(ends), list(ends.values()))
        self._axes.set_title(", ".join(f"{name} {angle:.0f}°" for name, angle in ends.items()))
