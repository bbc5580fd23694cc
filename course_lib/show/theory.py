"""Theory under measurement: a thin grey line, and what was measured as dots on it or around it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib import checks
from course_lib.show.gradients import gradient_axes, relative
from course_lib.show.style import COLORS, line_style

BAND_COLOR = "#0072B2"


def theory_lines(axes: Axes, norms: Mapping[str, ArrayLike]) -> None:
    """Draw what theory says as thin grey lines; the lines that are there become dots on them.

    Parameters
    ----------
    axes : Axes
        As `gradient_picture` made them, with what was measured.
    norms : dict of str to array of shape (depth + 1,)
        ‖∂L/∂h‖ as theory has it, the input first and the loss last; its size at the loss is free.

    Raises
    ------
    TypeError, ValueError
        If these are no axes, or the norms are not numbers from 0 upwards.
    """
    checks.instance("axes", axes, Axes, "matplotlib axes")
    curves = [relative(values) for values in norms.values()]
    for line in axes.get_lines():
        if line.get_marker() not in (None, "None", "", " "):
            line.set_linestyle("")
    style: dict[str, Any] = line_style("theory")
    for distance, height in curves:
        axes.plot(distance, height, **style)


class TheoryPicture:
    """Dots on a line of theory, for an explorer: both begin at 0 and are moved together.

    Parameters
    ----------
    axes : Axes
    distance : float
        The largest number of layers or steps, where the axis to the right ends.
    decades : (float, float)
        The powers of ten at the lower and upper end.
    what : str
        What is measured, as the title calls it.
    xlabel, ylabel : str, optional
        For another quantity than the gradient: those of the picture of the course unless given.

    Attributes
    ----------
    axes : Axes
    """

    def __init__(
        self,
        axes: Axes,
        *,
        distance: float,
        decades: tuple[float, float],
        what: str = "gradient",
        xlabel: str | None = None,
        ylabel: str | None = None,
    ) -> None:
        self.axes = gradient_axes(axes, distance=distance, decades=decades)
        self.what = checks.instance("what", what, str, "what is measured, in a word")
        if xlabel is not None:
            axes.set_xlabel(xlabel)
        if ylabel is not None:
            axes.set_ylabel(ylabel)
        style: dict[str, Any] = line_style("theory")
        (self._line,) = axes.plot([], [], **style)
        (self._dots,) = axes.plot([], [], "o", markersize=4, color=COLORS["ink"])

    def update(self, measured: ArrayLike, theory: ArrayLike) -> None:
        """Move dots and line; the title says how many times its first size what was measured has.

        Parameters
        ----------
        measured, theory : arrays of shape (depth + 1,)
            Numbers from 0 upwards in the order of ‖∂L/∂h‖, where the way begins last; each is
            shown relative to its own last entry.
        """
        distance, height = _finite("measured", measured)
        self._dots.set_data(distance, height)
        self._line.set_data(*_finite("theory", theory))
        ratio = f"{10 ** height[-1]:.2g}" if np.isfinite(height[-1]) else "0 or infinite"
        self.axes.set_title(f"{self.what} × {ratio}")


class UpDownPicture:
    """The signal on its way up beside the gradient on its way down, for an explorer.

    Parameters
    ----------
    figure : Figure
    distance, decades
        As in `TheoryPicture`, for both.
    xlabel, ylabel : str
        Of the signal's picture, on the left.

    Attributes
    ----------
    left, right : TheoryPicture
    """

    def __init__(
        self,
        figure: Figure,
        *,
        distance: float,
        decades: tuple[float, float],
        xlabel: str,
        ylabel: str,
    ) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        left, right = figure.subplots(1, 2)
        ends: dict[str, Any] = {"distance": distance, "decades": decades}
        self.left = TheoryPicture(left, what="signal", xlabel=xlabel, ylabel=ylabel, **ends)
        self.right = TheoryPicture(right, **ends)

    def update(
        self,
        up: ArrayLike,
        down: ArrayLike,
        *,
        up_theory: ArrayLike | None = None,
        down_theory: ArrayLike | None = None,
    ) -> None:
        """Move both; where no theory is given its line is level.

        Parameters
        ----------
        up, down, up_theory, down_theory : arrays of shape (depth + 1,)
            As in `TheoryPicture.update`; the way up begins last, too.
        """
        for picture, measured, theory in (
            (self.left, up, up_theory),
            (self.right, down, down_theory),
        ):
            picture.update(measured, np.ones(np.size(measured)) if theory is None else theory)


class FanPicture:
    """Many networks at once, a faint line each, and the band in which theory expects them.

    Parameters
    ----------
    axes : Axes
    distance : float
        The largest distance from the loss.
    decades : (float, float)
        The powers of ten at the lower and upper end.
    """

    def __init__(self, axes: Axes, *, distance: float, decades: tuple[float, float]) -> None:
        self.axes = gradient_axes(axes, distance=distance, decades=decades)
        self._fan = LineCollection([], colors=COLORS["ink"], linewidths=0.7, alpha=0.3)
        axes.add_collection(self._fan)
        self._edges = [axes.plot([], [], color=BAND_COLOR, linewidth=2)[0] for _ in range(2)]

    def update(self, heights: ArrayLike, band: ArrayLike) -> None:
        """Move the lines; the title says where the middle nine tenths of them end.

        Parameters
        ----------
        heights : array of shape (networks, depth + 1)
            log10 of what arrives in each network, the loss first.
        band : array of shape (2, depth + 1)
            The lower and the upper edge.
        """
        lines = checks.as_array("heights", heights, ndim=2, takes="one row a network")
        layers = np.arange(lines.shape[1])
        edges = checks.as_array("band", band, shape=(2, len(layers)), takes="two rows as long")
        self._fan.set_segments([np.column_stack([layers, line]) for line in lines])
        for edge, height in zip(self._edges, edges, strict=True):
            edge.set_data(layers, height)
        low, high = 10 ** np.quantile(lines[:, -1], [0.05, 0.95])
        self.axes.set_title(f"Nine of ten networks pass between {low:.2g} and {high:.2g}")


def _finite(name: str, values: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the points to draw; what is 0 or infinite leaves a gap."""
    try:
        distance, height = relative(values)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("`norms`", f"`{name}`", 1)) from None
    return distance, np.where(np.isfinite(height), height, np.nan)
