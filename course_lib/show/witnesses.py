"""Two witnesses of one gradient, entry by entry: what agrees lies on a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from course_lib import checks
from course_lib.show.style import COLORS, OTHERS

STYLES = tuple(zip("osx^v", (COLORS["ink"], *OTHERS), strict=False))
ROOM = 1.6  # the axes reach this much farther than the largest true entry
AGREED = 1e-4  # a difference, as a share of the largest true entry, that nobody sees


class WitnessPicture:
    """The entries of several gradients, as one witness has them and as another, for an explorer.

    Each entry is a point: to the right what `true` says of it, upwards what our code says. On the
    line both say the same. What is beyond the axes is shown at their edge.

    Parameters
    ----------
    figure : Figure
    true : dict of name to array
        At most five gradients, not all 0: those of finite differences, say.

    Raises
    ------
    TypeError, ValueError
        If it is no figure, or `true` holds no such arrays.
    """

    def __init__(self, figure: Figure, true: Mapping[str, ArrayLike]) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        if not isinstance(true, Mapping) or not 1 <= len(true) <= len(STYLES):
            takes = f"a dictionary of one to {len(STYLES)} gradients"
            raise TypeError(f"`true` is {checks.shown(true)}; it takes {takes}.")
        self._true = {name: checks.as_array(f"true[{name!r}]", of) for name, of in true.items()}
        self._largest = max(np.abs(of).max(initial=0.0) for of in self._true.values())
        if not self._largest:
            raise ValueError("`true` is 0 in every entry; it takes gradients that are not.")
        self._edge = ROOM * self._largest
        self._axes = figure.add_subplot(xlim=(-self._edge, self._edge), aspect="equal")
        self._axes.set(ylim=(-self._edge, self._edge), ylabel="by our code")
        self._axes.set_xlabel("by finite differences")
        self._axes.axline((0, 0), slope=1, color=COLORS["theory"], linewidth=1)
        self._dots = {}
        for (name, array), (marker, color) in zip(self._true.items(), STYLES, strict=False):
            (self._dots[name],) = self._axes.plot(
                array.ravel(), array.ravel(), marker, color=color, label=name, fillstyle="none"
            )
        self._axes.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Show another gradient beside the true one; the title names what is off the line.

        Parameters
        ----------
        arrays : dict
            `ours`, a dict of name to array as `true`; an array that has one number only stands
            for as many as `true` has.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """
        off = []
        for name, true in self._true.items():
            ours = checks.as_array(f"ours[{name!r}]", arrays["ours"][name])
            if ours.shape not in (true.shape, ()):
                raise ValueError(
                    f"`ours[{name!r}]` has shape {ours.shape}; it takes {true.shape}, or one "
                    "number."
                )
            ours = np.broadcast_to(ours, true.shape)
            self._dots[name].set_ydata(np.clip(ours, -self._edge, self._edge).ravel())
            if np.abs(ours - true).max() > AGREED * self._largest:
                off.append(name)
        self._axes.set_title(f"Off the line: {', '.join(off)}" if off else "All on the line")
