"""The gates of an LSTM or a GRU, step by step; and what arrives beside what gates let through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from course_lib import checks
from course_lib.show.gradients import GradientPicture
from course_lib.show.pictures import label_ends
from course_lib.show.style import COLORS, DASHES, line_style

Array = NDArray[np.float64]

# By colour and dash in Keras's order, i f g o and z r h̃; what they make in ink and in grey.
LOOKS = ("#0072B2", "-"), ("#009E73", "--"), ("#CC79A7", "-."), ("#E69F00", DASHES["leaky_relu"])
GATES: dict[str, dict[str, Any]] = {
    name: {"color": LOOKS[place][0], "linestyle": LOOKS[place][1]}
    for name, place in (
        ("input", 0), ("forget", 1), ("candidate", 2), ("output", 3), ("update", 0), ("reset", 1)
    )
} | {
    "cell": {"color": COLORS["ink"], "linestyle": "-", "linewidth": 2.2},
    "state": {"color": COLORS["limit"], "linestyle": (0, (3, 1.5))},
}  # fmt: skip

PANELS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "lstm": (
        {"forget": "forget f", "input": "input i", "output": "output o"},
        {"candidate": "candidate g", "cell": "cell c", "state": "state h"},
    ),
    "gru": (
        {"update": "update z", "reset": "reset r"},
        {"candidate": "candidate h̃", "state": "state h"},
    ),
}
PALE: dict[str, Any] = {"color": COLORS["theory"], "alpha": 0.5, "fill": True}
FAINT: dict[str, Any] = {"linewidths": 0.7, "alpha": 0.45, "zorder": 1.8}
ROUND = np.outer(10.0 ** np.arange(300), (1, 2, 3, 5)).ravel()  # where the axis of the cell may end
BESIDE = -0.07  # of the axes' width: the names of the axes stay there when numbers get longer


def gate_style(name: str) -> dict[str, Any]:
    """Return the keyword arguments of `Axes.plot` for a gate, the candidate, the cell or the state.

    Parameters
    ----------
    name : str
        As in a trace: "input", "forget", "candidate", "output", "cell", "update", "reset";
        or "state".

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    return dict(GATES[checks.one_of("name", name, GATES)])


class GatePicture:
    """A sequence, the gates that read it and the memory that they make, for an explorer.

    Three panels share the steps: x_t as bars, the gates from 0 to 1, and below candidate and
    memory, whose axis grows with them. Of several units the first is drawn boldly, so that one can
    be followed from panel to panel, and the others faintly.

    Parameters
    ----------
    figure : Figure
        About 7 × 4.6 in.
    cell : "lstm" or "gru"
    length : int
        The largest number of steps.
    inputs : (float, float)
        The ends of the axis of x.

    Attributes
    ----------
    inputs, gates, memory : Axes

    Raises
    ------
    TypeError, ValueError
        If this is no figure, the cell is unknown, or a number does not fit.
    """

    def __init__(
        self,
        figure: Figure,
        cell: str,
        length: int,
        *,
        inputs: tuple[float, float] = (-1.2, 1.2),
    ) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        gates, memory = PANELS[checks.one_of("cell", cell, PANELS)]
        self._length = length = checks.positive_int("length", length, minimum=2)
        takes = "the lower and the upper end of the axis of x"
        low, high = checks.as_array("inputs", inputs, shape=(2,), takes=takes)
        panels = figure.subplots(3, 1, sharex=True, height_ratios=(1, 2, 2))
        self.inputs, self.gates, self.memory = panels
        for axes, name in zip(panels, ("x", "gates", "memory"), strict=True):
            axes.set_ylabel(name)
            axes.yaxis.set_label_coords(BESIDE, 0.5)
            axes.axhline(0, color=COLORS["frame"], linewidth=1.0, zorder=1.0)
        self.inputs.set_ylim(low, high)
        self.gates.set(ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
        self.memory.set(xlabel="step t", xlim=(0.5, length + 0.5))
        self.memory.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        self._bars = self.inputs.stairs([0.0], [0.5, 1.5], **PALE)
        self._gates = [_Series(self.gates, name, label) for name, label in gates.items()]
        self._memory = [_Series(self.memory, name, label) for name, label in memory.items()]
        for axes in (self.gates, self.memory):
            label_ends(axes)
        self._reach = 0.0

    def update(self, arrays: Mapping[str, Any]) -> None:
        """Move the picture to another sequence.

        Parameters
        ----------
        arrays : dict
            `x`, shape (time,); by their names in a trace the gates, the candidate, of an LSTM also
            the "cell", and h as "state", shapes (time,) or (time, units); `title`.

        Raises
        ------
        TypeError, ValueError
            If an array is missing, does not fit, or a gate leaves 0 to 1.
        """
        x = checks.as_array("x", arrays["x"], ndim=1, takes="one number for each step")
        if len(x) > self._length:
            raise ValueError(f"`x` has {len(x)} steps; it takes up to {self._length}.")
        gates = [_units(series.name, arrays, len(x)) for series in self._gates]
        for series, values in zip(self._gates, gates, strict=True):
            if values.min() < 0 or values.max() > 1:
                outside = values.flat[np.argmax(np.abs(values - 0.5))]
                raise ValueError(f"`{series.name}` holds {outside:.3g}; it takes 0 to 1.")
        memory = [_units(series.name, arrays, len(x)) for series in self._memory]
        self._bars.set_data(x, np.arange(len(x) + 1) + 0.5)
        for series, values in zip(self._gates + self._memory, gates + memory, strict=True):
            series.move(values)
        self._hold(max(np.abs(values).max() for values in memory))
        self.inputs.set_title(arrays["title"])

    def _hold(self, largest: float) -> None:
        """Let the axis of the memory end at 1, 2, 3, 5, 10, …, the first that holds the largest."""
        reach = float(ROUND[np.searchsorted(ROUND, largest)])
        if reach != self._reach:
            self.memory.set(ylim=(-1.06 * reach, 1.06 * reach), yticks=(-reach, 0, reach))
            self._reach = reach

    @staticmethod
    def tell(arrays: Mapping[str, Any]) -> str:
        """Return the picture in words: between which numbers each line of the first unit lies.

        Parameters
        ----------
        arrays : dict
            As `update` takes them.
        """
        length = len(arrays["x"])
        told = [f"{length} steps"]
        for name in GATES:
            if name in arrays:
                unit = _units(name, arrays, length)[:, 0]
                told.append(f"{name} {_two_digits(unit.min())} to {_two_digits(unit.max())}")
        memory = "cell" if "cell" in arrays else "state"
        last = _two_digits(_units(memory, arrays, length)[-1, 0])
        return f"{'; '.join(told)}; the {memory} ends at {last}".replace("-", "−")


class MemoryPicture:
    """The picture of the course over time: full Jacobians, and direct paths as thin grey lines.

    Parameters
    ----------
    axes : Axes
    names : dict of str to str or None
        For each line what is written at its end ("lstm, b = 3"; a name of the course gives it its
        colour), and what is written at the end of its direct path ("∏f"), None where there is none.
    distance : float
        The largest number of steps.
    decades : (float, float)
        The powers of ten at the lower and upper end.
    ylabel : str, optional
        That of the picture of the course unless given.

    Attributes
    ----------
    axes : Axes

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or two lines share a name.
    """

    def __init__(
        self,
        axes: Axes,
        names: Mapping[str, str | None],
        *,
        distance: float,
        decades: tuple[float, float],
        ylabel: str | None = None,
    ) -> None:
        takes = "a dictionary from each line to its direct path, or None"
        self._direct = dict(checks.instance("names", names, Mapping, takes))  # type: ignore[type-abstract]
        paths = [path for path in self._direct.values() if path is not None]
        lines = [*self._direct, *paths]
        if not lines or len(set(lines)) < len(lines):
            raise ValueError(f"`names` holds {lines}; it takes lines, no two of the same name.")
        ends: dict[str, Any] = {"distance": distance, "decades": decades, "unit": "steps"}
        self._picture = GradientPicture(axes, lines, **ends)
        self.axes = self._picture.axes
        if ylabel is not None:
            self.axes.set_ylabel(ylabel)
        for path in paths:
            self._picture.lines[path].set(**line_style("theory"))

    def update(
        self,
        full: Mapping[str, ArrayLike],
        direct: Mapping[str, ArrayLike] | None = None,
        *,
        title: str,
    ) -> None:
        """Move the lines; what is not given any more is hidden.

        Parameters
        ----------
        full : dict of str to array of shape (time + 1,)
            The size of what goes from each step to the last, such as ‖∂s_T/∂s_t‖, the earliest
            step first, by the names of the lines.
        direct : dict of str to array of shape (time + 1,), optional
            The size of their direct paths, such as the mean of `LSTM.cell_path`, by the names of
            the lines too.
        title : str
            The finding.

        Raises
        ------
        TypeError, ValueError
            If a line was not announced, or a size is no number from 0 upwards.
        """
        known = [name for name, path in self._direct.items() if path is not None]
        paths = {
            str(self._direct[checks.one_of("direct", name, known)]): values
            for name, values in (direct or {}).items()
        }
        for name in full:
            checks.one_of("full", name, self._direct)
        self._picture.update({**full, **paths})
        self.axes.set_title(title)


class _Series:
    """One gate, or a part of the memory: its first unit, and the others faintly."""

    def __init__(self, axes: Axes, name: str, label: str) -> None:
        self.name = name
        style = gate_style(name)
        self._fan = LineCollection([], colors=style["color"], **FAINT)
        axes.add_collection(self._fan, autolim=False)
        (self._line,) = axes.plot([], [], label=label, **style)

    def move(self, values: Array) -> None:
        """Show other values, shape (time, units)."""
        steps = np.arange(1, len(values) + 1)
        first, *others = values.T
        self._line.set_data(steps, first)
        self._fan.set_segments([np.column_stack([steps, unit]) for unit in others])


def _units(name: str, arrays: Mapping[str, Any], length: int) -> Array:
    """Return an array of this name as (time, units), or refuse what does not go with x."""
    if name not in arrays:
        raise ValueError(f"`arrays` has no {name!r}; it takes one number for each step and unit.")
    takes = f"shape ({length},) or ({length}, units), to go with `x`"
    values = checks.as_array(name, arrays[name], takes=takes)
    if values.ndim not in (1, 2) or len(values) != length:
        raise ValueError(f"`{name}` has shape {values.shape}; it takes {takes}.")
    return values.reshape(length, -1)


def _two_digits(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # without the sign of −0.0
