"""Finished figures with their alt text, and the picture of the course: how much arrives."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from course_lib import checks
from course_lib.show import encoding
from course_lib.show.labels import EndLabels
from course_lib.show.style import COLORS, DASHES, MARKERS, PIXELS_PER_INCH, house_style, line_style

# The smallest magnitude that survives, by the name of the number format. TensorFlow, like most
# GPUs, rounds what lies below the smallest *normal* float32 to 0; NumPy goes on to the smallest
# subnormal one. float16 is computed in float32 and stored, so its subnormals survive.
UNDERFLOW: dict[str, float] = {
    "float16": 2.0**-24,
    "bfloat16": 2.0**-126,
    "float32": 2.0**-126,
    "float32 (NumPy)": 2.0**-149,
    "float64": 2.0**-1022,
    "float64 (NumPy)": 2.0**-1074,
}

PRINT_RATIO = 2  # pixels per CSS pixel of a finished figure: sharp on fine screens and in print
_latest: tuple[Figure, str] | None = None


def figure(figure: Figure, alt: str, caption: str | None = None) -> None:
    """Show a finished figure below its cell, with alt text, and close it.

    Parameters
    ----------
    figure : matplotlib Figure
        The figure, finished.
    alt : str
        What it shows and its finding, with numbers, for who cannot see it.
    caption : str, optional
        A line below the picture, for what alt text cannot carry ("recorded on ...").

    Raises
    ------
    TypeError, ValueError
        If it is no figure, or the alt text is empty.
    """
    global _latest
    checks.instance("figure", figure, Figure, "a matplotlib figure")
    checks.instance("alt", alt, str, "a sentence that says what the picture shows")
    if not alt.strip():
        raise ValueError("`alt` is empty; it takes a sentence that says what the picture shows.")
    if caption is not None:
        checks.instance("caption", caption, str, "a line of text")
    with house_style():
        picture = _png(figure)
    width, height = (round(side * PIXELS_PER_INCH) for side in figure.get_size_inches())
    data = {
        "text/html": _figure_html(picture, alt, caption, width),
        "image/png": encoding.base64_text(picture),
        "text/plain": f"[Picture: {alt}]" + (f"\n{caption}" if caption else ""),
    }
    display(data, raw=True, metadata={"image/png": {"alt": alt, "width": width, "height": height}})
    _close(figure)
    _latest = figure, alt


def save_latest(path: str | Path) -> str:
    """Save the figure that `figure` showed last as an SVG file, and return its alt text.

    Raises
    ------
    ValueError
        If none has been shown yet.
    """
    if _latest is None:
        raise ValueError("No figure has been shown yet: `show.figure(fig, alt)` comes first.")
    shown, alt = _latest
    with house_style():
        shown.savefig(path, format="svg", metadata={"Date": None, "Description": alt})
    return alt


def gradient_axes(
    axes: Axes,
    *,
    depth: float,
    ylim: tuple[float, float],
    unit: str = "layers",
) -> Axes:
    """Give axes the form of the picture of the course, fixed, for lines that will move on it.

    Parameters
    ----------
    axes : Axes
    depth : float
        The largest distance from the loss, where the axis to the right ends.
    ylim : (float, float)
        The lowest and highest power of ten.
    unit : str
        What the distance counts: "layers" or "steps".

    Returns
    -------
    Axes
        The same, with labels, limits, and a thin line at 0, where everything would arrive.
    """
    checks.instance("axes", axes, Axes, "matplotlib axes")
    axes.set_xlabel(f"distance from the loss ({unit})")
    axes.set_ylabel("log₁₀ of what arrives\n‖δ‖ / ‖δ at the loss‖")
    margin = 0.02 * depth
    axes.set_xlim(-margin, depth + margin)
    axes.set_ylim(*ylim)
    axes.axhline(0.0, color=COLORS["frame"], linewidth=1.0, zorder=1.0)
    return axes


def arrives(norms: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
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
    if np.isnan(backwards).any() or (backwards < 0).any():
        bad = backwards[np.isnan(backwards) | (backwards < 0)][0]
        raise ValueError(f"`norms` holds {bad}; it takes norms, numbers from 0 upwards.")
    if not (np.isfinite(backwards[0]) and backwards[0] > 0):
        raise ValueError(
            f"`norms` ends with {backwards[0]}; it takes a finite norm above 0 at the loss, "
            "to which the others are compared."
        )
    with np.errstate(divide="ignore"):
        height = np.log10(backwards) - np.log10(backwards[0])
    return np.arange(len(backwards), dtype=np.float64), height


def underflow_height(limit: str, entries: int, norm_at_loss: float) -> float:
    """Return the height at which the root-mean-square entry of δ underflows.

    log10(smallest magnitude · sqrt(entries) / ‖δ at the loss‖): a norm counts all its entries
    together, so it is larger by sqrt(entries) than the entries are.

    Parameters
    ----------
    limit : str
        A name in `UNDERFLOW`, such as "float32".
    entries : int
        How many numbers δ holds: batch times units.
    norm_at_loss : float
        ‖δ at the loss‖.
    """
    smallest = UNDERFLOW[checks.one_of("limit", limit, UNDERFLOW)]
    entries = checks.positive_int("entries", entries)
    norm = checks.positive_number("norm_at_loss", norm_at_loss)
    return float(np.log10(smallest) + 0.5 * np.log10(entries) - np.log10(norm))


def gradient_picture(
    flow: Any,
    ax: Axes | None = None,
    *,
    label: str | None = None,
    color: str | None = None,
    marker: str | None = None,
    limits: Sequence[str] | None = None,
    entries: int | None = None,
    ylim: tuple[float, float] | None = None,
    unit: str = "layers",
    title: str | None = None,
) -> Axes:
    """Draw the picture of the course: how much of the gradient arrives, layer by layer.

    Distance from the loss to the right, log10(‖δ‖ / ‖δ at the loss‖) upwards: 0 at the loss, and
    a straight line where each layer passes the same factor. A dashed line marks the height at
    which the root-mean-square entry underflows; where it lies far below, an arrow says how far.

    Parameters
    ----------
    flow : LayerFlow, array, or dict
        A result of `gradient_flow.by_layer`; or norms of shape (depth + 1,), the input first and
        the loss last; or a dictionary from a name to either, for several lines.
    ax : Axes, optional
        Where to draw; a new figure unless given.
    label, color, marker : str, optional
        For a single line: what stands at its end, and how it looks. A name of the course ("relu",
        "lstm") gives the line its colour and marker.
    limits : sequence of str, optional
        Number formats whose underflow is drawn, names in `UNDERFLOW`; unless given, the format
        of the run.
    entries : int, optional
        How many numbers δ holds (batch times units), where `flow` does not say.
    ylim : (float, float), optional
        Powers of ten at the ends of the axis; chosen to hold the lines unless given.
    unit : str
        What the distance counts.
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
    curves = {str(name): _curve(name, one, entries, limits) for name, one in flows.items()}
    with house_style():
        return _draw_picture(ax, curves, color, marker, ylim, unit, title)


def _draw_picture(
    ax: Axes | None,
    curves: dict[str, dict[str, Any]],
    color: str | None,
    marker: str | None,
    ylim: tuple[float, float] | None,
    unit: str,
    title: str | None,
) -> Axes:
    ax = _new_axes() if ax is None else ax
    checks.instance("ax", ax, Axes, "matplotlib axes")
    drawn = [
        line for line in ax.get_lines() if line.get_gid() == "gradient"
    ]  # an earlier call's lines stay in view
    heights = np.concatenate(
        [curve["height"] for curve in curves.values()] + [line.get_ydata() for line in drawn]
    )
    low, high = _view(heights[np.isfinite(heights)]) if ylim is None else ylim
    depth = max(
        [curve["distance"][-1] for curve in curves.values()]
        + [float(line.get_xdata()[-1]) for line in drawn]
    )
    gradient_axes(ax, depth=max(depth, 1.0), ylim=(low, high), unit=unit)
    looks = [_look(name, i, color, marker) for i, name in enumerate(curves)]
    lines = [
        _draw_curve(ax, curve, look) for curve, look in zip(curves.values(), looks, strict=True)
    ]
    if any(curves):
        ax.add_artist(EndLabels(lines, list(curves)))
    _draw_limits(ax, curves, low, high)
    ax.set_title(_finding(curves, unit) if title is None else title)
    return ax


def end_labels(axes: Axes, lines: Sequence[Line2D], names: Sequence[str]) -> EndLabels:
    """Write each line's name at its right end, instead of a legend, and keep the names apart.

    The names follow when the lines move: they find their places whenever they are drawn.

    Parameters
    ----------
    axes : Axes
    lines : sequence of Line2D
    names : sequence of str
        One a line, in the same order.
    """
    checks.instance("axes", axes, Axes, "matplotlib axes")
    lines, names = list(lines), [str(name) for name in names]
    for index, line in enumerate(lines):
        checks.instance(f"lines[{index}]", line, Line2D, "a line, as `axes.plot` returns")
    if len(lines) != len(names):
        raise ValueError(
            f"`names` has {len(names)} entries; it takes one for each of the {len(lines)} lines."
        )
    labels = EndLabels(lines, names)
    axes.add_artist(labels)
    return labels


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=PIXELS_PER_INCH * PRINT_RATIO)
    return file.getvalue()


def _figure_html(picture: bytes, alt: str, caption: str | None, width: int) -> str:
    image = (
        f'<img src="data:image/png;base64,{encoding.base64_text(picture)}" '
        f'alt="{html.escape(alt, quote=True)}" width="{width}" '
        f'style="max-width:100%;height:auto;box-sizing:border-box;border-radius:3px;'
        f'border:1px solid {COLORS["frame"]};background:{COLORS["paper"]}">'
    )
    below = (
        '<figcaption style="font-size:14px;padding-top:4px;'
        f'color:var(--jp-content-font-color1,inherit)">{html.escape(caption)}</figcaption>'
        if caption
        else ""
    )
    return f'<figure style="margin:0">{image}{below}</figure>'


def _close(figure: Figure) -> None:
    """Take the figure out of pyplot's list, or the notebook would show it a second time."""
    import matplotlib.pyplot as plt

    plt.close(figure)


def _new_axes() -> Axes:
    import matplotlib.pyplot as plt

    return plt.subplots()[1]


def _curve(
    name: object, flow: Any, entries: int | None, limits: Sequence[str] | None
) -> dict[str, Any]:
    """Return one line's numbers: distance, height, and the underflow heights by limit's name."""
    norms = getattr(flow, "activation_norms", flow)
    try:
        distance, height = arrives(norms)
    except (TypeError, ValueError) as error:
        place = f"`flow[{name!r}]`" if name else "`flow`"
        raise type(error)(str(error).replace("`norms`", place, 1)) from None
    if hasattr(flow, "activation_norms"):
        limits = [str(flow.dtype)] if limits is None else limits
        entries = int(np.atleast_1d(flow.entries)[-1]) if entries is None else entries
    for limit in limits or ():
        checks.one_of("limits", limit, UNDERFLOW)
    if limits and entries is None:
        raise ValueError(
            "`entries` is missing; to draw the underflow of plain norms it takes the number of "
            "entries of δ, batch times units."
        )
    norm_at_loss = float(np.asarray(norms, dtype=np.float64)[-1])
    return {
        "distance": distance,
        "height": height,
        "limits": {
            limit: underflow_height(limit, int(entries or 1), norm_at_loss)
            for limit in limits or ()
        },
    }


def _view(heights: NDArray[np.float64]) -> tuple[float, float]:
    """Return limits that hold the line at 0 and every height, in whole powers of ten."""
    low, high = min(heights.min(), 0.0), max(heights.max(), 0.0)
    room = max(0.06 * (high - low), 0.25)
    return float(min(np.floor(low - room), -2.0)), float(max(np.ceil(high + room), 1.0))


def _look(name: str, index: int, color: str | None, marker: str | None) -> dict[str, Any]:
    if name in MARKERS:
        look = dict(line_style(name))
    else:
        colors = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#222222"]
        markers, dashes = "osv^DPX", list(DASHES.values())[:4]
        look = {
            "color": colors[index % len(colors)],
            "marker": markers[index % len(markers)],
            "linestyle": dashes[index % len(dashes)],
        }
    look |= {} if color is None else {"color": COLORS.get(color, color)}
    return look | ({} if marker is None else {"marker": marker})


def _draw_curve(ax: Axes, curve: dict[str, Any], look: dict[str, Any]) -> Line2D:
    distance, height = curve["distance"], curve["height"]
    every = max(1, len(distance) // 25)
    (line,) = ax.plot(
        distance,
        np.where(np.isfinite(height), height, np.nan),
        markevery=every,
        gid="gradient",
        **look,
    )
    across = ax.get_xaxis_transform()  # what is 0 or infinite stands at the edge of the picture
    for infinite, edge, symbol in ((height == -np.inf, 0.02, "x"), (height == np.inf, 0.98, "^")):
        if infinite.any():
            ax.plot(
                distance[infinite],
                np.full(infinite.sum(), edge),
                linestyle="",
                marker=symbol,
                color=look["color"],
                transform=across,
                clip_on=False,
            )
    return line


def _draw_limits(ax: Axes, curves: dict[str, dict[str, Any]], low: float, high: float) -> None:
    """Draw each limit once, at the mean of its heights, or say how far below the picture it is."""
    names = {limit for curve in curves.values() for limit in curve["limits"]}
    below = []
    for name in sorted(names):
        heights = [curve["limits"][name] for curve in curves.values() if name in curve["limits"]]
        height = float(np.mean(heights))
        if low < height < high:
            ax.axhline(height, color=COLORS["limit"], linestyle=DASHES["limit"], linewidth=1.0)
            ax.annotate(
                f"{name} underflows",
                (0.0, height),
                xycoords=ax.get_yaxis_transform(),
                xytext=(4, 3),
                textcoords="offset points",
                fontsize=10,
                color=COLORS["limit"],
            )
        else:
            below.append(f"{name} at {height:.0f}")
    if below:
        ax.annotate(
            f"underflow lies below: {', '.join(below)} ↓",
            (0.0, 0.0),
            xycoords="axes fraction",
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=10,
            color=COLORS["limit"],
        )


def _finding(curves: dict[str, dict[str, Any]], unit: str) -> str:
    one = unit.removesuffix("s")
    if len(curves) == 1:
        (curve,) = curves.values()
        left, depth = curve["height"][-1], curve["distance"][-1]
        factor = 10.0 ** (left / depth) if depth else 1.0
        return f"{_power(left)} of the gradient arrives: a factor of {factor:.3g} a {one}"
    ordered = sorted(curves, key=lambda name: curves[name]["height"][-1])
    least, most = ordered[0], ordered[-1]
    return (
        f"{most}: {_power(curves[most]['height'][-1])} of the gradient arrives; "
        f"{least}: {_power(curves[least]['height'][-1])}"
    )


def _power(height: float) -> str:
    """Return 10^height as a reader would write it."""
    if height == -np.inf:
        return "nothing"
    if not np.isfinite(height):
        return "more than can be stored"
    return f"{10.0**height:.2g}" if abs(height) < 300 else f"10^{height:.0f}"
