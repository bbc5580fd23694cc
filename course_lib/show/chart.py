"""The chart at the foot of a bed: everything that was measured in a network, a look at a time.

>>> from course_lib import show
>>> chart = show.chart(diagnosis, "gradient by layer")

A look is either lines over a distance or a step, or bars with names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from course_lib import checks
from course_lib.show.gradients import relative
from course_lib.show.style import COLORS

__all__ = ["LOOKS", "ChartPicture", "chart"]

Array = NDArray[np.float64]
Bars = Iterator[tuple[str, float]]

LOOKS = (
    "gradient by layer",
    "gradient by time step",
    "units and gates",
    "inputs",
    "masks and Batch Norm",
    "first losses",
)
SMALLEST = 1e-6  # where the bars on a logarithmic axis begin
MOST_BARS = 12


def chart(diagnosis: Any, look: str) -> dict[str, Any]:
    """Return what one look at a network shows.

    Parameters
    ----------
    diagnosis : Diagnosis
        What `gradient_flow.diagnose` returned, with its examination.
    look : str
        One of `LOOKS`.

    Returns
    -------
    dict
        ``"look"``; ``"x"``, ``"y"``: one line, with its gaps left out; ``"names"``, ``"sizes"``:
        bars; ``"level"``: what to compare with; ``"says"``: a sentence with the figures. Of a
        network that has nothing to look at, lines and bars are empty.

    Raises
    ------
    TypeError, ValueError
        If it is no such diagnosis, or the look is unknown.
    """
    checks.one_of("look", look, LOOKS)
    if getattr(diagnosis, "examination", None) is None:
        raise TypeError(
            f"`diagnosis` is {checks.shown(diagnosis)}; it takes what `gradient_flow.diagnose` "
            "returned."
        )
    shown = _LOOKED[look](diagnosis)
    empty = np.empty(0)
    return {
        "look": look,
        "x": empty,
        "y": empty,
        "names": [],
        "sizes": empty,
        "level": 0.0,
        **shown,
    }


def _by_layer(diagnosis: Any) -> dict[str, Any]:
    flow = diagnosis.flow
    rms = np.asarray(flow.activation_norms) / np.sqrt(np.maximum(flow.entries, 1))
    known = np.flatnonzero((flow.depth >= 0) & np.isfinite(rms))
    order = sorted(known, key=lambda i: (flow.depth[i], -i))
    return _arriving(np.asarray(flow.depth)[order], rms[order], "layer")


def _by_time_step(diagnosis: Any) -> dict[str, Any]:
    for flow in diagnosis.time_flows.values():
        rms = np.asarray(flow.rms_by_distance)
        return _arriving(np.arange(float(len(rms))), rms, "step")
    return {"says": "It has no recurrent layer."}


def _arriving(distance: Array, rms: Array, unit: str) -> dict[str, Any]:
    known = np.isfinite(rms)
    distance, rms = distance[known].astype(float), rms[known]
    if not (rms > 0).any():
        what = "is 0 everywhere" if len(rms) else "is no number anywhere"
        return {"says": f"Its gradient {what}; there is nothing to compare."}
    nearest = np.argmax(rms > 0)  # a loss may read a step before the last
    distance, rms = distance[nearest:], rms[nearest:]
    if len(rms) < 2:
        return {"says": f"Its gradient reads one {unit} only; there is nothing to compare."}
    _, height = relative(rms[::-1])
    seen = np.isfinite(height)
    return {
        "x": distance[seen],
        "y": height[seen],
        "says": f"Of the gradient at the last {unit} {rms[-1] / rms[0]:.2g} arrives at the far "
        "end.",
    }


def _units(diagnosis: Any) -> dict[str, Any]:
    seen = diagnosis.examination
    return _bars([*_shares(seen)], "share", "It has no units whose silence is counted here.")


def _shares(seen: Any) -> Bars:
    for name, share in seen.dead.items():
        yield f"{name}, dead", share
    for name, share in seen.saturated.items():
        yield f"{name}, saturated", share
    for shares in seen.gates.values():
        for gate, share in shares.items():
            yield f"{gate}, {'shut' if gate == 'forget' else 'saturated'}", share


def _inputs(diagnosis: Any) -> dict[str, Any]:
    def sizes() -> Bars:
        for scale in diagnosis.examination.scales.values():
            yield "root mean square", scale.rms
            yield "|mean| / deviation", scale.offset
            yield "widest / median column", scale.spread

    return _bars([*sizes()], "size", "It reads words: numbers without a size.")


def _masks(diagnosis: Any) -> dict[str, Any]:
    seen = diagnosis.examination

    def sizes() -> Bars:
        for hidden in seen.masks.values():
            yield "steps that are masked", hidden.steps
            yield "of these: with data", hidden.data
            yield "samples left without a step", hidden.blind
        for name, made in seen.statistics.items():
            yield f"{name}: deviation", made.spread

    return _bars([*sizes()], "size", "No mask, and no Batch Norm that holds its statistics.")


def _bars(named: list[tuple[str, float]], what: str, nothing: str) -> dict[str, Any]:
    named = [(name, float(size)) for name, size in named if np.isfinite(size)][:MOST_BARS]
    says = "; ".join(f"{name} {size:.2g}" for name, size in named) + "."
    return {
        "names": [name for name, _ in named],
        "sizes": np.array([size for _, size in named]),
        "level": 1.0 if what == "size" else 0.0,
        "says": says if named else nothing,
    }


def _losses(diagnosis: Any) -> dict[str, Any]:
    trial = diagnosis.trial
    if trial is None:
        return {"says": "It was not tried."}
    losses = np.asarray(trial.losses, dtype=np.float64)
    known = np.isfinite(losses)
    has_answer = np.isfinite(trial.baseline)
    answer = f"; always the same answer has {trial.baseline:.3g}" if has_answer else ""
    has_logarithm = min(losses[known].min(initial=np.inf), trial.reference) > 0
    lost = "" if known.all() else f", and from step {int(np.argmin(known)) + 1} on is no number"
    says = (
        f"The loss goes from {losses[0]:.3g} to {losses[known][-1]:.3g} in "
        f"{int(known.sum())} steps{lost}{answer}."
    )
    if not has_logarithm:
        return {"says": f"{says} It is not above 0 throughout, so no logarithm of it is drawn."}
    return {
        "x": 1.0 + np.flatnonzero(known),
        "y": np.log10(losses[known]),
        "level": float(np.log10(trial.reference)),
        "says": says,
    }


_LOOKED = dict(
    zip(LOOKS, (_by_layer, _by_time_step, _units, _inputs, _masks, _losses), strict=True)
)
AXES = {
    "gradient by layer": ("distance from the loss (layers)", "log₁₀ of what arrives"),
    "gradient by time step": ("distance from the loss (steps)", "log₁₀ of what arrives"),
    "units and gates": ("share of units or entries", ""),
    "inputs": ("size, logarithmic; the line is 1", ""),
    "masks and Batch Norm": ("size, logarithmic; the line is 1", ""),
    "first losses": ("step of a trial", "log₁₀ of the loss"),
}


class ChartPicture:
    """One look at one network, for an explorer: a line, or bars with their numbers.

    Parameters
    ----------
    figure : Figure

    Raises
    ------
    TypeError
        If it is no figure.
    """

    def __init__(self, figure: Figure) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        figure.set_layout_engine("none")  # each kind of picture has its place
        self._line = figure.add_axes((0.12, 0.19, 0.84, 0.68))
        self._bars = figure.add_axes((0.36, 0.19, 0.60, 0.68))

    def update(self, shown: Mapping[str, Any]) -> None:
        """Draw what `chart` returned; where there is nothing to draw, its sentence."""
        across, upwards = AXES[checks.one_of("look", shown["look"], LOOKS)]
        has_bars = len(shown["names"]) > 0
        for axes, is_seen in ((self._line, not has_bars), (self._bars, has_bars)):
            axes.clear()
            axes.set_visible(is_seen)
        axes = self._bars if has_bars else self._line
        axes.set(xlabel=across, ylabel=upwards, title=shown.get("title", ""))
        if has_bars:
            self._draw_bars(axes, shown)
        elif len(shown["x"]):
            self._draw_line(axes, shown)
        else:
            axes.set_axis_off()
            axes.text(
                0.5,
                0.5,
                shown["says"],
                ha="center",
                va="center",
                transform=axes.transAxes,
                color=COLORS["ink"],
            )

    @staticmethod
    def _draw_line(axes: Any, shown: Mapping[str, Any]) -> None:
        x, y = shown["x"], shown["y"]
        is_loss = shown["look"] == "first losses"
        axes.plot(x, y, color=COLORS["ink"], marker="." if is_loss else "o", markersize=4)
        axes.axhline(shown["level"], color=COLORS["theory"], linestyle="--" if is_loss else "-")
        axes.set_axis_on()
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        low, high = min(y.min(), shown["level"]), max(y.max(), shown["level"])
        least = 0.5 if is_loss else 3.0
        middle, half = (low + high) / 2, max(high - low, least) * 0.55
        axes.set_ylim(middle - half, middle + half)

    @staticmethod
    def _draw_bars(axes: Any, shown: Mapping[str, Any]) -> None:
        names, sizes, is_share = shown["names"], shown["sizes"], shown["level"] == 0
        places = np.arange(len(names))[::-1]
        start = 0.0 if is_share else 1.0
        ends = sizes if is_share else np.maximum(sizes, SMALLEST)
        axes.barh(places, ends - start, left=start, height=0.6, color=COLORS["lstm"])
        if is_share:
            axes.set_xlim(0, 1.15)
        else:
            axes.set_xscale("log")
            axes.set_xlim(min(ends.min(), 0.1) / 30, max(ends.max(), 10.0) * 30)
            axes.axvline(1.0, color=COLORS["theory"])
        for place, size, end in zip(places, sizes, ends, strict=True):
            to_the_left = not is_share and end < 1
            axes.annotate(f"{size:.2g}", (end, place), xytext=(-4 if to_the_left else 4, 0),
                          textcoords="offset points", va="center", color=COLORS["ink"],
                          ha="right" if to_the_left else "left")  # fmt: skip
        axes.set_yticks(places, names)
