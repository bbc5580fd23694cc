"""Paths on a surface: contour lines seen from above, and where each optimiser went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import contourpy
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from course_lib import checks
from course_lib.show.style import COLORS, OTHERS, line_style

PATH_MARKERS = "os^DvPX"
CONTOURS = np.linspace(0.05, 0.95, 10) ** 2  # shares of the area that lie below each line


def path_styles(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return colour, marker and dash of each path, as keyword arguments of `Axes.plot`.

    Every second line is dashed, so that the one below shows where two take the same way.

    Parameters
    ----------
    names : sequence of str
        Seven at most.

    Raises
    ------
    ValueError
        If there are none or too many.
    """
    if not 1 <= len(names) <= len(PATH_MARKERS):
        raise ValueError(f"`names` has {len(names)} names; it takes 1 to {len(PATH_MARKERS)}.")
    return {
        name: {"color": color, "marker": marker, "linestyle": "--" if i % 2 else "-"}
        for i, (name, color, marker) in enumerate(zip(names, OTHERS, PATH_MARKERS, strict=False))
    }


class PathPicture:
    """A surface as contour lines, with one path for each name; for an explorer or a figure.

    The surface may change from update to update: its lines are moved like every other.

    Parameters
    ----------
    axes : Axes
    names : sequence of str
        What the paths are called, seven at most; each keeps its colour and its end marker.
    box : (float, float)
        The plane is shown from `box[0]` to `box[1]` in both directions.

    Attributes
    ----------
    styles : dict of str to dict
        Colour, marker and dash of each name, as `path_styles` gives them.

    Raises
    ------
    TypeError, ValueError
        If these are no axes, there are too many names, or the box is empty.
    """

    def __init__(self, axes: Axes, names: Sequence[str], box: tuple[float, float]) -> None:
        checks.instance("axes", axes, Axes, "matplotlib axes")
        low, high = box
        if not low < high:
            raise ValueError(f"`box` is ({low}, {high}); it takes the lower end first.")
        self.box = (low, high)
        self.styles = path_styles(names)
        (self._contours,) = axes.plot([], [], color=COLORS["theory"], linewidth=0.7, zorder=1)
        self._paths = {
            name: axes.plot([], [], label=name, markevery=[-1], linewidth=1.3, **style)[0]
            for name, style in self.styles.items()
        }
        (self._minima,) = axes.plot([], [], "+", color=COLORS["ink"], markersize=11, zorder=3)
        axes.set(xlim=box, ylim=box, aspect="equal", xlabel="θ₁", ylabel="θ₂")

    def update(
        self, heights: ArrayLike, paths: Mapping[str, ArrayLike], minima: ArrayLike = ()
    ) -> None:
        """Show a surface and the paths on it; a name without a path shows none.

        Parameters
        ----------
        heights : array of shape (rows, columns)
            The surface on an even grid over the box: θ₂ grows with the row, θ₁ with the column.
        paths : dict of str to array of shape (steps + 1, 2)
            Points in the order they were visited; the part beyond a gap or a masked point is cut.
        minima : array of shape (count, 2), optional
            The lowest points, each marked by a cross.

        Raises
        ------
        TypeError, ValueError
            If the heights are no finite table, a name is unknown, or a path is none in the plane.
        """
        surface = checks.as_array("heights", heights, ndim=2)
        for name in paths:
            checks.one_of("name", name, self._paths)
        lowest = np.zeros((0, 2)) if np.size(minima) == 0 else checks.as_array("minima", minima)
        if lowest.ndim != 2 or lowest.shape[1] != 2:
            raise ValueError(f"`minima` has shape {lowest.shape}; it takes (count, 2).")
        self._minima.set_data(*lowest.T)
        rows, columns = (np.linspace(*self.box, count) for count in surface.shape)
        lines = contourpy.contour_generator(
            columns, rows, surface, line_type=contourpy.LineType.ChunkCombinedNan
        )
        pieces = [_contour(lines, level) for level in np.quantile(surface, CONTOURS)]
        self._contours.set_data(*np.concatenate(pieces).T)
        for name, line in self._paths.items():
            line.set_data(*_visible(name, paths[name], self.box).T if name in paths else ([], []))


class RacePicture:
    """Paths on a surface, and beside them how high each still stands: for an explorer.

    The title on the right names who stands lowest, in the mean of the last ten steps.

    Parameters
    ----------
    figure : matplotlib Figure
    names : sequence of str
        What the paths are called, seven at most.
    box : (float, float)
        The plane is shown from `box[0]` to `box[1]` in both directions.
    steps : int
        How many steps each path has.
    decades : (float, float)
        The powers of ten at the lower and upper end of the heights.

    Raises
    ------
    TypeError, ValueError
        As for `PathPicture`, and if it is no figure or `steps` no whole number above 0.
    """

    def __init__(
        self,
        figure: Figure,
        names: Sequence[str],
        *,
        box: tuple[float, float],
        steps: int,
        decades: tuple[float, float] = (-9, 4),
    ) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        steps = checks.positive_int("steps", steps)
        left, self._right = figure.subplots(1, 2)
        self._picture = PathPicture(left, names, box)
        self._lines = {
            name: self._right.semilogy(range(steps + 1), np.ones(steps + 1), label=name, **style)[0]
            for name, style in self._picture.styles.items()
        }
        for line in self._lines.values():
            line.set_markevery(max(steps // 5, 1))
        low, high = (10.0**power for power in decades)
        self._right.set(xlim=(0, steps), ylim=(low, high))
        self._right.set(xlabel="step", ylabel="height above the minimum")
        self._right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show another race.

        Parameters
        ----------
        arrays : dict
            `surface` as for `PathPicture.update`; `paths`, shape (names, steps + 1, 2); `heights`,
            shape (names, steps + 1), masked where a path has left; `minima`, if any, as there.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """
        self._picture.update(
            arrays["surface"],
            dict(zip(self._lines, arrays["paths"], strict=True)),
            arrays.get("minima", ()),
        )
        heights: Any = np.ma.masked_invalid(arrays["heights"])
        for line, height in zip(self._lines.values(), heights, strict=True):
            line.set_ydata(height)
        lowest = list(self._lines)[lowest_at_the_end(heights)]
        is_there = bool(np.ma.count(heights[:, -1]))
        title = f"Lowest over the last ten steps: {lowest}" if is_there else "All have left"
        self._right.set_title(title)


def lowest_at_the_end(heights: ArrayLike) -> int:
    """Return which row of `heights` has the lowest mean over its last ten entries.

    Parameters
    ----------
    heights : array of shape (paths, steps + 1)
        A row that ends masked or not finite has lost.
    """
    masked: Any = np.ma.asarray(heights, dtype=np.float64)
    table = np.ma.filled(masked, np.inf)
    ends = table[:, -10:].mean(axis=1)
    return int(np.argmin(np.where(np.isfinite(ends), ends, np.inf)))


class StepPicture:
    """How long each of a series of steps is, on a logarithmic axis of steps: for an explorer.

    A thin line marks a step of length 1, in units of the learning rate.

    Parameters
    ----------
    figure : matplotlib Figure
    count : int
        How many steps.
    title : str
        May hold `{first}`, `{longest}` and `{short}`: the first length, the largest, and how many
        are below 0.5.
    limits : (float, float)
        The lower and upper end of the lengths; logarithmic if the lower one is above 0.

    Raises
    ------
    TypeError, ValueError
        If it is no figure, `count` no whole number above 0, or the limits are empty.
    """

    def __init__(
        self, figure: Figure, count: int, title: str, limits: tuple[float, float] = (0, 8)
    ) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        count = checks.positive_int("count", count)
        self._title = checks.instance("title", title, str, "a line of text")
        low, high = limits
        if not 0 <= low < high:
            raise ValueError(f"`limits` is ({low}, {high}); it takes 0 or more, then a larger one.")
        self._axes = figure.add_subplot()
        style: Any = line_style("theory")
        self._axes.axhline(1, **style)
        (self._line,) = self._axes.plot(range(1, count + 1), np.ones(count), color=OTHERS[4])
        self._count = count
        self._axes.set(xscale="log", yscale="log" if low > 0 else "linear", ylim=(low, high))
        self._axes.set(xlim=(1, count), xlabel="step t", ylabel="length of the step, in α")

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show other steps.

        Parameters
        ----------
        arrays : dict
            `lengths`, shape (count,).

        Raises
        ------
        TypeError, ValueError
            If there are more or fewer, or one is not finite.
        """
        steps = checks.as_array("lengths", arrays["lengths"], shape=(self._count,))
        self._line.set_ydata(steps)
        short = int(np.sum(steps < 0.5))
        first, longest = f"{steps[0]:.2f}", f"{steps.max():.2f}"
        self._axes.set_title(self._title.format(first=first, longest=longest, short=f"{short:,}"))


def _contour(lines: contourpy.ContourGenerator, level: float) -> np.ndarray:
    """Return one contour line as points, its pieces parted by NaN and with a NaN at the end."""
    points = lines.lines(level)[0][0]
    gap = np.full((1, 2), np.nan)
    return gap if points is None else np.concatenate([points, gap])


def _visible(name: str, path: ArrayLike, box: tuple[float, float]) -> np.ndarray:
    """Return the path up to where it is far outside the box, which has no place on the paper."""
    points = np.ma.filled(np.ma.asarray(path, dtype=np.float64), np.nan)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"The path of {name!r} has shape {points.shape}; it takes (steps + 1, 2).")
    far = 10 * max(abs(box[0]), abs(box[1]))
    with np.errstate(invalid="ignore"):
        lost = ~(np.abs(points) <= far).all(axis=1)
    return points[: np.argmax(lost)] if lost.any() else points
