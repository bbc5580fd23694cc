"""The picture of the course: how much of the gradient arrives, always on the same axes.

Distance from the loss to the right, log10(‖δ‖ / ‖δ at the loss‖) upwards. The line begins at 0 and
is straight where each layer passes the same factor; where it meets a dashed line, a number format
can no longer hold it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from course_lib import checks
from course_lib.show.labels import EndLabels
from course_lib.show.style import COLORS, DASHES, MARKERS, OTHERS, house_style, line_style

# The smallest magnitude that survives, by the name of the number format. TensorFlow, like most
# GPUs, rounds what lies below the smallest *normal* float32 to 0; NumPy goes on to the smallest
# subnormal one. float16 is computed in float32 and then stored, so its subnormals survive.
UNDERFLOW: dict[str, float] = {
    "float16": 2.0**-24,
    "bfloat16": 2.0**-126,
    "float32": 2.0**-126,
    "float32 (NumPy)": 2.0**-149,
    "float64": 2.0**-1022,
    "float64 (NumPy)": 2.0**-1074,
}

DISTANCE_MARGIN = 0.02  # of the axis, so that a marker at either end is whole
MOST_MARKERS = 25  # on one line
BEHIND = 1.2  # below the lines: what stays where it is costs nothing when they move
EMPTY = np.empty(0)


@dataclass(frozen=True)
class Curve:
    """One line of the picture.

    Attributes
    ----------
    distance : array of shape (records,)
        Distance from the loss, 0 first.
    height : array of shape (records,)
        log10(‖δ‖ / ‖δ at the loss‖); −inf where nothing arrives, +inf where it overflowed.
    limits : dict
        The height at which the root-mean-square entry underflows, by the name of the format.
    """

    distance: NDArray[np.float64]
    height: NDArray[np.float64]
    limits: dict[str, float]


class GradientPicture:
    """The picture of the course for an explorer: its lines are made once and then moved.

    Parameters
    ----------
    axes : Axes
    names : sequence of str
        One a line. A name of the course ("relu", "lstm") gives the line its colour and marker.
    distance : float
        The largest distance from the loss.
    decades : (float, float)
        The powers of ten at the lower and upper end.
    unit : str
        What the distance counts: "layers" or "steps".
    limits : sequence of str, optional
        Number formats whose underflow is drawn, for a gradient of size 1 at the loss.

    Attributes
    ----------
    axes : Axes
    lines : dict of str to Line2D
    """

    def __init__(
        self,
        axes: Axes,
        names: Iterable[str],
        *,
        distance: float,
        decades: tuple[float, float],
        unit: str = "layers",
        limits: Iterable[str] = (),
    ) -> None:
        self.axes = gradient_axes(axes, distance=distance, decades=decades, unit=unit)
        self._unit = unit
        for limit in limits:
            underflow_line(axes, limit)
        self.lines: dict[str, Line2D] = {}
        self._edges: dict[str, tuple[Line2D, Line2D]] = {}
        for name in names:
            look = _look(name, list(self.lines))
            self.lines[name], self._edges[name] = _make_line(axes, look)
        axes.add_artist(EndLabels(list(self.lines.values()), list(self.lines)))

    def update(self, norms: Mapping[str, Any]) -> None:
        """Move the lines to new norms, the input first and the loss last; others are hidden.

        The title says what arrives; set another one afterwards where there is more to say.

        Parameters
        ----------
        norms : dict of str to array of shape (depth + 1,), or to LayerFlow
            ‖∂L/∂h‖ by the names of the lines.
        """
        for name in norms:
            checks.one_of("norms", name, self.lines)
        curves = {name: _curve(name, values, (), None) for name, values in norms.items()}
        for name, line in self.lines.items():
            curve = curves.get(name, Curve(EMPTY, EMPTY, limits={}))
            _move_line(line, self._edges[name], curve.distance, curve.height)
        self.axes.set_title(_finding(curves, self._unit))


def gradient_axes(
    axes: Axes, *, distance: float, decades: tuple[float, float], unit: str = "layers"
) -> Axes:
    """Give axes the fixed form of the picture of the course.

    Parameters
    ----------
    axes : Axes
    distance : float
        The largest distance from the loss, where the axis to the right ends.
    decades : (float, float)
        The powers of ten at the lower and upper end; the lower one below 0.
    unit : str
        What the distance counts: "layers" or "steps".

    Returns
    -------
    Axes
        The same, with labels, limits, and a thin line at 0, where everything would arrive.

    Raises
    ------
    TypeError, ValueError
        If these are no axes, or an end is no number.
    """
    checks.instance("axes", axes, Axes, "matplotlib axes")
    distance = checks.positive_number("distance", distance)
    takes = "the powers of ten at the lower and upper end"
    low, high = checks.as_array("decades", decades, shape=(2,), takes=takes)
    if not low < high:
        raise ValueError(f"`decades` is ({low:g}, {high:g}); it takes the lower end first.")
    margin = DISTANCE_MARGIN * distance
    axes.set_xlabel(f"distance from the loss ({unit})")
    axes.set_ylabel("log₁₀ of what arrives\n‖δ‖ / ‖δ at the loss‖")
    axes.set_xlim(-margin, distance + margin)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    axes.axhline(0.0, color=COLORS["frame"], linewidth=1.0, zorder=1.0)
    return axes


def underflow_line(
    axes: Axes, dtype: str, *, entries: int = 1, norm_at_loss: float = 1.0
) -> Line2D:
    """Draw the height at which the root-mean-square entry underflows, a dashed line with its name.

    Parameters
    ----------
    axes : Axes
        As `gradient_axes` or `gradient_picture` made them, with their limits set.
    dtype : str
        A name in `UNDERFLOW`, such as "float32".
    entries : int
        How many numbers δ holds, batch times units; 1 for a single number.
    norm_at_loss : float
        ‖δ at the loss‖.
    """
    checks.instance("axes", axes, Axes, "matplotlib axes")
    return _dashed(axes, dtype, underflow_height(dtype, entries, norm_at_loss))


def underflow_height(dtype: str, entries: int, norm_at_loss: float) -> float:
    """Return the height at which the root-mean-square entry of δ underflows.

    log10(smallest magnitude · √entries / ‖δ at the loss‖): a norm counts all its entries together,
    so it is larger than the root-mean-square entry by √entries.

    Parameters
    ----------
    dtype : str
        A name in `UNDERFLOW`, such as "float32".
    entries : int
        How many numbers δ holds: batch times units.
    norm_at_loss : float
        ‖δ at the loss‖.

    Raises
    ------
    TypeError, ValueError
        If the format is unknown, or a number is not above 0.
    """
    smallest = UNDERFLOW[checks.one_of("dtype", dtype, UNDERFLOW)]
    entries = checks.positive_int("entries", entries)
    norm = checks.positive_number("norm_at_loss", norm_at_loss)
    return float(np.log10(smallest) + 0.5 * np.log10(entries) - np.log10(norm))


def relative(norms: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return norms of the gradient as the picture of the course plots them.

    Parameters
    ----------
    norms : array of shape (depth + 1,)
        ‖∂L/∂h‖, the input first, the layer at the loss last.

    Returns
    -------
    distance, height : arrays of shape (depth + 1,)
        Distance from the loss, 0 first, and log10(‖δ‖ / ‖δ at the loss‖); −inf where nothing
        arrives, +inf where it overflowed.

    Raises
    ------
    TypeError, ValueError
        If `norms` are not numbers from 0 upwards, or the last one is 0.
    """
    backwards = checks.as_array("norms", norms, ndim=1, finite=False)[::-1]
    bad = backwards[~(backwards >= 0)]
    if bad.size:
        raise ValueError(f"`norms` holds {bad[0]}; it takes norms, numbers from 0 upwards.")
    if not 0 < backwards[0] < np.inf:
        raise ValueError(
            f"`norms` ends with {backwards[0]}; it takes a finite norm above 0 at the loss, to "
            "which the others are compared."
        )
    with np.errstate(divide="ignore"):
        height = np.log10(backwards) - np.log10(backwards[0])
    return np.arange(len(backwards), dtype=np.float64), height


def gradient_picture(
    flow: Any,
    ax: Axes | None = None,
    *,
    label: str | None = None,
    color: str | None = None,
    marker: str | None = None,
    limits: Sequence[str] | None = None,
    entries: int | None = None,
    distance: float | None = None,
    decades: tuple[float, float] | None = None,
    unit: str | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the picture of the course: how much of the gradient arrives, layer by layer.

    Distance from the loss to the right, log10(‖δ‖ / ‖δ at the loss‖) upwards: 0 at the loss, and
    a straight line where each layer passes the same factor. A dashed line marks the height at
    which the root-mean-square entry underflows; where it lies far below, words say how far.

    Parameters
    ----------
    flow : LayerFlow, TimeStepFlow, JacobianProducts, array, or dict
        A result of `gradient_flow.by_layer`; one of `by_time_step` or `jacobian_products`, whose
        distance counts the steps from the last one of each sample; or norms of shape
        (depth + 1,), the input first and the loss last; or a dictionary from a name to any of
        them, for several lines.
    ax : Axes, optional
        Where to draw, beside the lines of earlier calls; a new figure unless given.
    label, color, marker : str, optional
        For a single line: what stands at its end, and how it looks. A name of the course ("relu",
        "lstm") gives the line its colour and marker.
    limits : sequence of str, optional
        Number formats whose underflow is drawn, names in `UNDERFLOW`; unless given, the format
        of the run where `flow` knows it.
    entries : int, optional
        How many numbers δ holds (batch times units), where `flow` does not say.
    distance, decades : optional
        The ends of the axes, as `gradient_axes` takes them; chosen to hold the lines unless given.
    unit : str, optional
        What the distance counts: "layers", or "steps" where the flow is one over time, unless
        given.
    title : str, optional
        The finding in words; a sentence with the figures unless given.

    Returns
    -------
    Axes

    Raises
    ------
    TypeError, ValueError
        If the norms are not numbers from 0 upwards, a limit is unknown or needs `entries`.
    """
    flows = dict(flow) if isinstance(flow, Mapping) else {label or "": flow}
    if not flows:
        raise ValueError("`flow` is empty; it takes at least one line.")
    curves = {str(name): _curve(name, one, limits, entries) for name, one in flows.items()}
    if unit is None:
        unit = "steps" if any(map(_is_over_time, flows.values())) else "layers"
    with house_style():
        ax = _new_axes() if ax is None else checks.instance("ax", ax, Axes, "matplotlib axes")
        names = _labels_of(ax)
        for name, curve in curves.items():
            look = _look(name, [text.get_text() for text in names.texts], color, marker)
            line, edges = _make_line(ax, look)
            _move_line(line, edges, curve.distance, curve.height)
            names.add(line, name)
        shown = [line.get_xydata() for line in names.lines]
        everything = np.concatenate([np.asarray(points) for points in shown] + [np.zeros((1, 2))])
        farthest = max(float(everything[:, 0].max()), 1.0) if distance is None else distance
        low, high = _view(everything[:, 1]) if decades is None else decades
        gradient_axes(ax, distance=farthest, decades=(low, high), unit=unit)
        _draw_limits(ax, curves)
        ax.set_title(_finding(curves, unit) if title is None else title)
    return ax


def _new_axes() -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


def _labels_of(axes: Axes) -> EndLabels:
    """Return the names at the ends of this picture's lines, new ones unless it has some."""
    for artist in axes.get_children():
        if isinstance(artist, EndLabels) and artist.get_gid() == "gradient":
            return artist
    labels = EndLabels([], [])
    labels.set_gid("gradient")
    axes.add_artist(labels)
    return labels


def _curve(name: object, flow: Any, limits: Sequence[str] | None, entries: int | None) -> Curve:
    """Return one line's numbers, whatever it comes from."""
    argument = f"flow[{name!r}]" if name else "flow"
    for limit in limits or ():
        checks.one_of("limits", limit, UNDERFLOW)
    if hasattr(flow, "activation_norms"):
        return _layer_flow_curve(argument, flow, limits)
    if _is_over_time(flow):
        return _time_curve(argument, flow, limits)
    try:
        distance, height = relative(flow)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).replace("`norms`", f"`{argument}`", 1)) from None
    if limits and entries is None:
        raise ValueError(
            "`entries` is missing; to draw where plain norms underflow it takes the number of "
            "entries of δ, batch times units."
        )
    norm = float(np.asarray(flow, dtype=np.float64)[-1])
    known = {limit: underflow_height(limit, entries or 1, norm) for limit in limits or ()}
    return Curve(distance, height, known)


def _layer_flow_curve(argument: str, flow: Any, limits: Sequence[str] | None) -> Curve:
    """Return the numbers of a `LayerFlow`, the records in order of their distance from the loss."""
    norms, depth = np.asarray(flow.activation_norms), np.asarray(flow.depth, dtype=np.float64)
    known = np.isfinite(depth) & ~np.isnan(norms)
    order = np.lexsort((-np.arange(len(depth)), depth))  # by distance, then from loss to input
    order = order[known[order]]
    if not order.size or not 0 < norms[order[0]] < np.inf:
        raise ValueError(
            f"`{argument}` has no finite gradient above 0 at the loss; it takes one to which the "
            "others can be compared."
        )
    at_loss = order[0]
    with np.errstate(divide="ignore"):
        height = np.log10(norms[order]) - np.log10(norms[at_loss])
    formats = [str(flow.dtype)] if limits is None else limits
    entries, norm = int(flow.entries[at_loss]), float(norms[at_loss])
    return Curve(
        depth[order],
        height,
        {name: underflow_height(name, entries, norm) for name in formats if name in UNDERFLOW},
    )


def _is_over_time(flow: Any) -> bool:
    return hasattr(flow, "rms_by_distance") or hasattr(flow, "log10_rms_by_lag")


def _time_curve(argument: str, flow: Any, limits: Sequence[str] | None) -> Curve:
    """Return the numbers of a `TimeStepFlow` or of `JacobianProducts`, from the last step back.

    Where the loss reads an earlier step, the line begins at the last one where something arrives.
    """
    if hasattr(flow, "log10_rms_by_lag"):
        height = np.asarray(flow.log10_rms_by_lag)
        return Curve(np.arange(len(height), dtype=np.float64), height, {})
    rms = np.asarray(flow.rms_by_distance)
    arriving = np.flatnonzero(rms)
    if not arriving.size or not np.isfinite(rms[arriving[0]]):
        raise ValueError(
            f"`{argument}` has no finite gradient above 0 at any step; it takes one to which the "
            "others can be compared."
        )
    first = int(arriving[0])
    with np.errstate(divide="ignore"):
        height = np.log10(rms[first:]) - np.log10(rms[first])
    formats = [str(flow.dtype)] if limits is None else limits
    known = {
        name: underflow_height(name, 1, float(rms[first])) for name in formats if name in UNDERFLOW
    }
    return Curve(np.arange(first, len(rms), dtype=np.float64), height, known)


def _look(
    name: str, before: Sequence[str], color: str | None = None, marker: str | None = None
) -> dict[str, Any]:
    """Return how a line looks: a thing of the course in its colour, or the next free colour.

    "relu", "ReLU" and "ReLU, He" are all ReLU: what stands before the first comma names the thing.
    Attention has the colour of the Transformer.
    Variants of one thing share its colour and differ by marker and dash.
    """
    markers, dashes = "osv^DPX", list(DASHES.values())[:4]
    thing = _thing(name)
    if thing in MARKERS:
        look: dict[str, Any] = dict(line_style(thing))
        variant = sum(_thing(other) == thing for other in before)
        if variant:
            first = markers.find(str(look["marker"]))
            look["marker"] = markers[(first + variant) % len(markers)]
            look["linestyle"] = [d for d in dashes if d != look["linestyle"]][(variant - 1) % 3]
    else:
        index = len(before)
        look = {
            "color": OTHERS[index % len(OTHERS)],
            "marker": markers[index % len(markers)],
            "linestyle": dashes[index % len(dashes)],
        }
    look |= {} if color is None else {"color": COLORS.get(color, color)}
    return look | ({} if marker is None else {"marker": marker})


def _thing(name: str) -> str:
    thing = name.split(",")[0].strip().lower().replace(" ", "_")
    return "transformer" if thing == "attention" else thing


def _make_line(axes: Axes, look: dict[str, Any]) -> tuple[Line2D, tuple[Line2D, Line2D]]:
    """Return a line without points, and the marks of what is 0 or infinite, at the edges."""
    (line,) = axes.plot(EMPTY, EMPTY, **look)
    edge = {"linestyle": "", "color": look["color"], "transform": axes.get_xaxis_transform()}
    (zeros,) = axes.plot(EMPTY, EMPTY, marker="x", clip_on=False, **edge)
    (infinities,) = axes.plot(EMPTY, EMPTY, marker="^", clip_on=False, **edge)
    return line, (zeros, infinities)


def _move_line(
    line: Line2D,
    edges: tuple[Line2D, Line2D],
    distance: NDArray[np.float64],
    height: NDArray[np.float64],
) -> None:
    line.set_data(distance, np.where(np.isfinite(height), height, np.nan))
    line.set_markevery(max(1, -(-len(distance) // MOST_MARKERS)))
    zeros, infinities = edges
    zeros.set_data(distance[height == -np.inf], np.full((height == -np.inf).sum(), 0.02))
    infinities.set_data(distance[height == np.inf], np.full((height == np.inf).sum(), 0.98))


def _view(heights: NDArray[np.float64]) -> tuple[float, float]:
    """Return limits that hold every height, in whole powers of ten."""
    low, high = np.nanmin(heights), np.nanmax(heights)
    room = max(0.06 * (high - low), 0.25)
    return float(min(np.floor(low - room), -2.0)), float(max(np.ceil(high + room), 1.0))


def _draw_limits(axes: Axes, curves: dict[str, Curve]) -> None:
    """Draw each format's limit once, at the mean over the lines, or say how far below it lies."""
    low, high = axes.get_ylim()
    below = []
    for name in sorted({limit for curve in curves.values() for limit in curve.limits}):
        heights = [curve.limits[name] for curve in curves.values() if name in curve.limits]
        height = float(np.mean(heights))
        if low < height < high:
            _dashed(axes, name, height)
        else:
            below.append(f"{name} underflows at {height:.0f}".replace("-", "−"))
    if below:
        axes.annotate(
            f"↓ {', '.join(below)}",
            (0.0, 0.0),
            xycoords="axes fraction",
            xytext=(5, 4),
            textcoords="offset points",
            fontsize=10,
            color=COLORS["limit"],
            zorder=BEHIND,
        )


def _dashed(axes: Axes, name: str, height: float) -> Line2D:
    line = axes.axhline(height, color=COLORS["limit"], dashes=(5, 4), linewidth=1.0, zorder=BEHIND)
    axes.annotate(
        f"{name} underflows",
        (1.0, height),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-5, 3),
        textcoords="offset points",
        ha="right",
        fontsize=10,
        color=COLORS["limit"],
        zorder=BEHIND,
    )
    return line


def _finding(curves: dict[str, Curve], unit: str) -> str:
    """Say what arrives: of one line with its factor, of several at the best and the worst."""
    if len(curves) == 1:
        (curve,) = curves.values()
        left, depth = curve.height[-1], curve.distance[-1] - curve.distance[0]
        factor = 10.0 ** (left / depth) if depth else 1.0
        one = unit.removesuffix("s")
        return f"{_arriving(left)} arrives: a factor of {factor:.3g} a {one}"
    heights = {name: curve.height[-1] for name, curve in curves.items()}
    names = sorted(heights, key=lambda name: -heights[name])
    if len(names) > 3:
        names = [names[0], names[-1]]
    return (
        ", ".join(f"{name} {_share(heights[name])}" for name in names) + " of the gradient arrives"
    )


def arrival(flow: Any) -> str:
    """Say what arrives of one gradient, with its factor: the title of a picture with one line."""
    return _finding({"": _curve("", flow, (), None)}, "layers")


def _arriving(height: float) -> str:
    """Return what 10^height of the gradient is in words."""
    if not np.isfinite(height):
        return _share(height)
    return (
        f"{_share(height)} of the gradient"
        if height <= 0
        else f"{_share(height)} times the gradient"
    )


def _share(height: float) -> str:
    """Return 10^height as a reader would write it."""
    if not np.isfinite(height):
        return "nothing" if height < 0 else "more than can be stored"
    return f"10^{height:.0f}" if abs(height) > 300 else _short_number(10.0**height)


def _short_number(value: float) -> str:
    """Return two significant digits, "0.042", "120" or "1.2e-19"."""
    if 1e-3 <= value < 1e4:
        return f"{value:.2g}" if value < 99.5 else f"{value:.0f}"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
