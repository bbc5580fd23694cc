"""The eigenvalues of a recurrent matrix on the unit circle, beside what arrives of a gradient."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from numpy.typing import ArrayLike

from course_lib import checks
from course_lib.show.gradients import GradientPicture
from course_lib.show.style import COLORS

GUIDES: dict[str, str] = {"ceiling": "--", "eigenvalues": ":"}
STEEPEST = 1e-3  # a guide that falls faster leaves every picture at once, as one of 0 would
PLANE, GRADIENT = (0.08, 0.16, 0.30, 0.66), (0.50, 0.16, 0.36, 0.74)  # left, bottom, width, height


class BoundedPicture:
    """The picture of the course with two guides, for an explorer: a ceiling, and ρ to the power k.

    Parameters
    ----------
    axes : Axes
    names : sequence of str
        One a line, as `GradientPicture` takes them.
    distance : float
        The largest number of steps.
    decades : (float, float)
        The powers of ten at the lower and upper end.

    Attributes
    ----------
    axes : Axes
    """

    def __init__(
        self, axes: Any, names: Iterable[str], *, distance: float, decades: tuple[float, float]
    ) -> None:
        names = [*names, *GUIDES]
        self._picture = GradientPicture(
            axes, names, distance=distance, decades=decades, unit="steps"
        )
        self.axes = self._picture.axes
        for name, dash in GUIDES.items():
            line = self._picture.lines[name]
            line.set(color=COLORS["limit"], linestyle=dash, linewidth=1.2, marker="", zorder=1.6)

    def update(
        self, norms: Mapping[str, ArrayLike], *, ceiling: float, rate: float, title: str
    ) -> None:
        """Move the lines and the guides.

        Parameters
        ----------
        norms : dict of str to array of shape (steps + 1,)
            ‖δ‖ by the names of the lines, the earliest step first.
        ceiling, rate : float
            The largest factor that a step can have, and the factor that the eigenvalues foretell.
        title : str
        """
        steps = max(len(np.atleast_1d(values)) for values in norms.values())
        lag = np.arange(steps - 1, -1, -1.0)
        factors = {"ceiling": ceiling, "eigenvalues": rate}
        guides = {name: max(factor, STEEPEST) ** lag for name, factor in factors.items()}
        self._picture.update({**norms, **guides})
        self.axes.set_title(title)


class SpectrumPicture:
    """Eigenvalues beside the unit circle, and beside them what arrives, for an explorer.

    Parameters
    ----------
    figure : Figure
    names : sequence of str
        One a line of the right-hand picture, as `GradientPicture` takes them.
    distance : float
        The largest number of steps.
    decades : (float, float)
        The powers of ten at the lower and upper end.
    reach : float
        Where the axes of the eigenvalues end, on both sides of 0.

    Attributes
    ----------
    plane, axes : Axes
        Of the eigenvalues, and of the gradient.
    """

    def __init__(
        self,
        figure: Figure,
        names: Iterable[str],
        *,
        distance: float,
        decades: tuple[float, float],
        reach: float = 2.5,
    ) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        reach = checks.positive_number("reach", reach)
        figure.set_layout_engine("none")  # fixed places: a square, and room for names on the right
        self.plane, axes = figure.add_axes(PLANE), figure.add_axes(GRADIENT)
        self._right = BoundedPicture(axes, names, distance=distance, decades=decades)
        self.axes = self._right.axes
        self.plane.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        self.plane.set(xlabel="real part", ylabel="imaginary part")
        self.plane.add_patch(Circle((0, 0), 1, fill=False, color=COLORS["theory"]))
        for line in (self.plane.axhline, self.plane.axvline):
            line(0, color=COLORS["frame"], linewidth=1.0, zorder=1.0)
        (self._dots,) = self.plane.plot([], [], "o", markersize=4, color=COLORS["rnn"])

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move dots and lines.

        Parameters
        ----------
        arrays : dict
            `eigenvalues`, complex; `norms`, `ceiling`, `rate` and `title` as `BoundedPicture`
            takes them; `spectrum`, the title over the eigenvalues.
        """
        values = np.asarray(arrays["eigenvalues"])
        self._dots.set_data(values.real, values.imag)
        self.plane.set_title(arrays["spectrum"])
        self._right.update(
            arrays["norms"],
            ceiling=arrays["ceiling"],
            rate=arrays["rate"],
            title=arrays["title"],
        )
