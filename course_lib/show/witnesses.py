"""Two witnesses of one gradient, entry by entry: what agrees lies on a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from course_lib import checks
from course_lib.show.style import COLORS, OTHERS

Array = NDArray[np.float64]

STYLES = tuple(zip("osx^v", (COLORS["ink"], *OTHERS), strict=False))
EDGE = 1.6  # where the axes end: so many times the largest true entry
AGREED = 1e-4  # a difference, as a share of the largest true entry, that nobody sees


class WitnessPicture:
    """The entries of several gradients, as one witness has them and as another, for an explorer.

    Each entry is a point: to the right what `true` says of it, upwards what our code says, both as
    shares of the largest true entry of that gradient. On the line both say the same. What is
    beyond the axes is shown at their edge.

    Parameters
    ----------
    figure : Figure
    names : sequence of str
        What the gradients are called, at most five.

    Raises
    ------
    TypeError, ValueError
        If it is no figure, or there are no names, or too many.
    """

    def __init__(self, figure: Figure, names: Sequence[str]) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        if isinstance(names, str) or not 1 <= len(names) <= len(STYLES):
            takes = f"one to {len(STYLES)} names"
            raise ValueError(f"`names` is {checks.shown(names)}; it takes {takes}.")
        self._axes = figure.add_subplot(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), aspect="equal")
        self._axes.set(xlabel="by finite differences", ylabel="by our code")
        self._axes.axline((0, 0), slope=1, color=COLORS["theory"], linewidth=1)
        self._dots = {
            name: self._axes.plot([], [], marker, color=color, label=name, fillstyle="none")[0]
            for name, (marker, color) in zip(names, STYLES, strict=False)
        }
        self._axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show other gradients; the title names those that are off the line.

        Parameters
        ----------
        arrays : dict
            `true` and `ours`, each a dict of name to array; one of ours that is a single number
            stands for as many as the true one has.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit, or a true one is 0 in every entry.
        """
        pairs = _pairs(arrays)
        for name, dots in self._dots.items():
            true, ours = pairs.get(name, ([], []))
            dots.set_data(true, np.clip(ours, -EDGE, EDGE))
        self._axes.set_title(self.tell(arrays))

    @staticmethod
    def tell(arrays: Mapping[str, Any]) -> str:
        """Return which gradients are off the line, as the title and the alt text have it."""
        pairs = _pairs(arrays).items()
        off = [name for name, (true, ours) in pairs if np.abs(ours - true).max() > AGREED]
        return f"Off the line: {', '.join(off)}" if off else "All on the line"


def _pairs(arrays: Mapping[str, Any]) -> dict[str, tuple[Array, Array]]:
    """Return what is true and what is ours of each gradient, flat, the largest true entry 1."""
    pairs = {}
    for name, value in arrays["true"].items():
        true = checks.as_array(f"true[{name!r}]", value)
        ours = checks.as_array(f"ours[{name!r}]", arrays["ours"][name])
        if ours.shape not in (true.shape, ()):
            takes = f"{true.shape}, or one number"
            raise ValueError(f"`ours[{name!r}]` has shape {ours.shape}; it takes {takes}.")
        largest = np.abs(true).max(initial=0.0)
        if not largest:
            raise ValueError(f"`true[{name!r}]` is 0 in every entry; it takes one that is not.")
        ours = np.broadcast_to(ours, true.shape)
        pairs[name] = (true.ravel() / largest, ours.ravel() / largest)
    return pairs
