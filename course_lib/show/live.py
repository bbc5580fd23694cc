"""A picture of the gradient that grows while a network trains.

The monitor of `models` calls back after every look. The picture follows once in a while, so that
drawing takes no more than a small share of the time. In JupyterLab it is one view that swaps
decoded pictures, as that of an explorer does, so nothing flickers. When the cell has run, a
finished figure takes its place: a notebook that is saved shows how the training ended.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from course_lib import checks
from course_lib.show import encoding
from course_lib.show.canvas import Canvas
from course_lib.show.explore import PictureView
from course_lib.show.gradients import (
    MOST_MARKERS,
    UNDERFLOW,
    GradientPicture,
    _layer_flow_curve,
    arrival,
)
from course_lib.show.pictures import figure_bundle
from course_lib.show.style import COLORS, PIXELS_PER_INCH, house_style

__all__ = ["Live", "LivePicture", "live"]

FIGSIZE = (7.0, 5.4)
SHARE = 0.05  # of the time, for drawing
SHORTEST, LONGEST = 0.2, 3.0  # seconds from one picture to the next
TALL = 50.0  # a loss that spans more than this factor takes a logarithmic axis
IDLE: dict[str, dict[str, Any]] = {
    "dead": {"color": COLORS["rnn"], "marker": "^"},
    "saturated": {"color": COLORS["lstm"], "marker": "s", "dashes": (6, 1.5)},
}
NEEDED = ("names", "depth", "history", "flow", "listeners", "planned_steps", "is_training")


class Span:
    """The limits of one axis, which only ever widen: every other picture is cheap to draw."""

    def __init__(self, setter: Any) -> None:
        self._set = setter
        self.low, self.high = np.inf, -np.inf

    def hold(self, low: float, high: float) -> None:
        """Widen the limits until they hold `low` and `high`."""
        if low < self.low or high > self.high:
            self.low, self.high = min(low, self.low), max(high, self.high)
            self._set(self.low, self.high)


class LivePicture:
    """The figure: what arrives at each layer, now and at the start; the loss; idle units.

    Parameters
    ----------
    figure : Figure
        Without axes.
    monitor : GradientMonitor
        It has looked at least once.

    Attributes
    ----------
    gradient, loss, idle : Axes
        The picture of the course; the loss of the probe batch, and the share of dead and of
        saturated units in the layer where it is largest, by steps.
    """

    def __init__(self, figure: Figure, monitor: Any) -> None:
        checks.instance("figure", figure, Figure, "a matplotlib figure")
        self.monitor = monitor
        grid = figure.add_gridspec(2, 2, height_ratios=[1.4, 1])
        distance = max(1.0, float(np.nanmax(monitor.depth, initial=1.0)))
        self.gradient = figure.add_subplot(grid[0, :])
        self._lines = GradientPicture(
            self.gradient, ["at the start", "now"], distance=distance, decades=(-2.0, 1.0)
        )
        self._lines.lines["at the start"].set(color=COLORS["theory"], marker="", linewidth=1.0)
        self._lines.lines["now"].set(color=COLORS["ink"], linestyle="-", marker="o", markersize=4)
        for line in self.gradient.lines:
            line.set_in_layout(False)  # one without points would ask for room at the lower left
            if line not in self._lines.lines.values():
                line.set_markeredgecolor(COLORS["ink"])  # what is 0, at the lower edge
        self._limit = self.gradient.axhline(
            0.0, color=COLORS["limit"], dashes=(5, 4), linewidth=1.0, visible=False
        )
        self.loss = figure.add_subplot(grid[1, 0], ylabel="loss")
        self.idle = figure.add_subplot(grid[1, 1], ylabel="worst layer")
        self.idle.set_ylim(-0.03, 1.2)
        self.idle.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        for axes in (self.loss, self.idle):
            axes.set_xlabel("steps")
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        self._steps = [Span(axes.set_xlim) for axes in (self.loss, self.idle)]
        self._decades, self._height = Span(self.gradient.set_ylim), Span(self.loss.set_ylim)
        self._decades.hold(-2.0, 1.0)
        (self._losses,) = self.loss.plot([], [], color=COLORS["ink"], marker=".")
        self._shares = {
            kind: self.idle.plot([], [], label=kind, markersize=4, **look)[0]
            for kind, look in IDLE.items()
        }
        self.idle.legend(loc="upper left", ncols=2, borderaxespad=0.0, handlelength=2.5)

    def update(self) -> None:
        """Move everything to the monitor's last look."""
        history = self.monitor.history
        self._update_gradient()
        steps = history["steps"]
        end = max(self.monitor.planned_steps, steps[-1]) or _round_up(steps[-1])
        for span in self._steps:
            span.hold(0.0, float(end))
        self._update_loss(steps, history["loss"])
        for kind, line in self._shares.items():
            line.set_data(steps, largest(history[kind]))
        for line in (self._losses, *self._shares.values()):
            line.set_markevery(max(1, len(steps) // MOST_MARKERS))
        self.idle.set_title(_idle_title(self.monitor), fontsize=10.5)

    def _update_gradient(self) -> None:
        looks = {"at the start": 0, "now": -1}
        flows = {name: self.monitor.flow(look) for name, look in looks.items()}
        shown = {name: flow for name, flow in flows.items() if arrives_at_loss(flow)}
        if shown:
            self._lines.update(shown)
            heights = [line.get_ydata() for line in self._lines.lines.values()]
            finite = np.concatenate([np.asarray(h, float) for h in heights])
            finite = finite[np.isfinite(finite)]
            self._decades.hold(np.floor(finite.min() - 0.3), np.ceil(finite.max() + 0.3))
        self._update_limit(flows["now"])
        self.gradient.set_title(f"Step {_last(self.monitor)}: {finding(flows['now'])}")

    def _update_limit(self, flow: Any) -> None:
        """Move the dashed line to where the format of this run underflows, if that is in view."""
        if flow.dtype not in UNDERFLOW or not arrives_at_loss(flow):
            return
        height = _layer_flow_curve("flow", flow, None).limits[flow.dtype]
        low, high = self.gradient.get_ylim()
        self._limit.set_visible(low < height < high)
        self._limit.set_ydata([height, height])

    def _update_loss(self, steps: NDArray[np.int_], losses: NDArray[np.float64]) -> None:
        finite = losses[np.isfinite(losses)]
        self._losses.set_data(steps, losses)
        if not finite.size:
            return
        low, high = finite.min(), finite.max()
        if low > 0 and high > TALL * low:
            if self.loss.get_yscale() != "log":
                self.loss.set_yscale("log")
                self._height = Span(self.loss.set_ylim)
            self._height.hold(low / 1.5, high * 1.5)
        else:
            self._height.hold(min(0.0, low), high + 0.08 * (high - min(0.0, low)) or 1.0)
        end = f"{losses[0]:.3g} → {losses[-1]:.3g}" if np.isfinite(losses[-1]) else "not finite"
        self.loss.set_title(f"loss {end}", fontsize=10.5)


class Live:
    """A picture that follows a training; made by `live`.

    Attributes
    ----------
    monitor : GradientMonitor
    alt : str
        The picture in words, as it stands.
    pictures : int
        How many were sent to the page.
    finished : bool
        Whether the finished figure is shown.
    """

    def __init__(self, monitor: Any) -> None:
        self.monitor = monitor
        self.alt, self.pictures, self.finished = "", 0, False
        self._looked = False
        self._shell = _notebook()
        self._view: PictureView | None = None
        self._handle: Any = None
        self._picture: LivePicture | None = None
        self._canvas: Canvas | None = None
        self._next = 0.0  # when the next picture may be drawn
        monitor.listeners.append(self._on_look)
        if self._shell is not None:
            self._shell.events.register("post_run_cell", self._on_cell_end)
            if not _is_quiet():
                self._open_view()

    def figure(self) -> Figure:
        """Return the picture of the last look as a new figure.

        Raises
        ------
        ValueError
            If the monitor has not looked yet.
        """
        if not len(self.monitor.history["steps"]):
            raise ValueError("the monitor has not looked yet: train with `callbacks=[monitor]`.")
        with house_style():
            figure = Figure(figsize=FIGSIZE)
            LivePicture(figure, self.monitor).update()
        return figure

    def close(self) -> None:
        """Put the finished figure in place of the moving one, and stop following."""
        self._stop()
        if self.finished or not len(self.monitor.history["steps"]):
            return
        self.alt = describe(self.monitor)
        if self._shell is not None:
            data, metadata = figure_bundle(self.figure(), self.alt)
            if self._handle is None:
                display(data, raw=True, metadata=metadata)
            else:
                self._handle.display(data, raw=True, metadata=metadata, update=True)
        self.finished = True

    def _open_view(self) -> None:
        self._view = PictureView(width=round(FIGSIZE[0] * PIXELS_PER_INCH))
        bundle, _ = self._view._repr_mimebundle_() or ({}, {})
        bundle["text/plain"] = "[Picture: the gradient while the network trains]"
        self._handle = display(bundle, raw=True, display_id=True)

    def _on_look(self, monitor: Any) -> None:
        """Draw, unless the last picture is too recent; a picture must never stop a training."""
        self._looked = True
        now = time.perf_counter()
        if self._view is None or (now < self._next and monitor.is_training):
            return
        try:
            self._draw(self._view)
        except Exception as error:
            self._view.error = f"No picture at step {_last(monitor)}: {error}"
        done = time.perf_counter()
        cost = done - now if self.pictures > 1 else 0.0  # the first one also lays the axes out
        self._next = done + min(max(SHORTEST, cost / SHARE), LONGEST)

    def _draw(self, view: PictureView) -> None:
        with house_style():
            if self._picture is None:
                figure = Figure(figsize=FIGSIZE)
                self._picture = LivePicture(figure, self.monitor)
                self._picture.update()
                self._canvas = Canvas(figure)
            self._picture.update()
            assert self._canvas is not None
            picture = encoding.png(self._canvas.pixels())
        self.alt = describe(self.monitor)
        self.pictures += 1
        with view.hold_sync():
            view.picture, view.ratio, view.alt = picture, 0.0, self.alt
            view.error, view.frame = "", self.pictures

    def _on_cell_end(self, *_: Any) -> None:
        if self._looked:  # what the monitor saw before this view was opened does not count
            self.close()

    def _stop(self) -> None:
        if self._on_look in self.monitor.listeners:
            self.monitor.listeners.remove(self._on_look)
        if self._shell is not None and self._on_cell_end in self._shell.events.callbacks.get(
            "post_run_cell", []
        ):
            self._shell.events.unregister("post_run_cell", self._on_cell_end)

    def __repr__(self) -> str:
        return f"<Live: {self.alt or 'no look yet'}>"

    def _ipython_display_(self) -> None:
        """Show nothing more: the picture has a place of its own already."""


def live(monitor: Any) -> Live:
    """Show the gradient while a network trains: in a cell before the training, or in its cell.

    >>> monitor = gradient_flow.GradientMonitor(x[:64], y[:64], every=20)
    >>> show.live(monitor)
    >>> model.fit(x, y, epochs=5, callbacks=[monitor])

    Above, the picture of the course: what arrives at each layer, now and at the start. Below, the
    loss of the probe batch, and the share of dead units (a ReLU that is 0 for the whole batch) and
    of saturated ones, in the layer where it is largest. Drawing takes about a twentieth of the
    time. When the cell has run, a finished figure with alt text stays.

    Where the environment variable ``CI`` or ``COURSE_STRICT`` is set, only the finished figure is
    shown; outside a notebook, nothing.

    Parameters
    ----------
    monitor : GradientMonitor

    Returns
    -------
    Live
        `figure()` gives the picture as a figure; `alt` is its text.

    Raises
    ------
    TypeError
        If it is no monitor.
    """
    missing = [name for name in NEEDED if not hasattr(monitor, name)]
    if missing:
        raise TypeError(
            f"`monitor` is {checks.shown(monitor)}; it takes a `GradientMonitor`, such as "
            "`gradient_flow.GradientMonitor(x, y)`."
        )
    return Live(monitor)


def describe(monitor: Any) -> str:
    """Say in words what the picture of a monitor's last look shows."""
    history = monitor.history
    sentences = [
        f"The gradient by layer at step {_last(monitor)} of a training: "
        f"{finding(monitor.flow(-1))}; at the start: {finding(monitor.flow(0))}.",
        f"The loss of the probe batch goes from {history['loss'][0]:.3g} to "
        f"{history['loss'][-1]:.3g}.",
    ]
    shares = [_worst(monitor, kind) for kind in IDLE]
    known = [
        f"{kind} units: at most {100 * share:.0f} %, in {layer}"
        for kind, (share, layer) in zip(IDLE, shares, strict=True)
        if layer
    ]
    if known:
        words = ". ".join(known)
        sentences.append(f"{words[0].upper()}{words[1:]}.")
    return " ".join(sentences)


def finding(flow: Any) -> str:
    """Return what a look at the gradient shows, in a few words."""
    if not np.isfinite(flow.loss):
        return "the loss is no longer finite"
    if not arrives_at_loss(flow):
        return "no gradient leaves the loss"
    return arrival(flow)


def arrives_at_loss(flow: Any) -> bool:
    """Whether there is a finite gradient above 0 at the loss, to which others can be compared."""
    known = np.isfinite(flow.depth) & ~np.isnan(flow.activation_norms)
    if not known.any():
        return False
    at_loss = flow.activation_norms[known][flow.depth[known] == flow.depth[known].min()]
    return bool(np.isfinite(at_loss).all() and (at_loss > 0).all())


def largest(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest share of each look, NaN where no layer has one; shape (looks,)."""
    known = np.where(np.isnan(shares), -1.0, shares).max(axis=1, initial=-1.0)
    return np.where(known < 0, np.nan, known)


def _worst(monitor: Any, kind: str) -> tuple[float, str]:
    """Return the largest share at the last look, and the layer that has it; "" if there is none."""
    shares = monitor.history[kind][-1]
    if np.isnan(shares).all():
        return np.nan, ""
    worst = int(np.nanargmax(shares))
    return float(shares[worst]), monitor.names[worst]


def _idle_title(monitor: Any) -> str:
    known = [(share, kind, layer) for kind in IDLE for share, layer in [_worst(monitor, kind)]]
    known = [entry for entry in known if entry[2]]
    if not known:
        is_finite = np.isfinite(monitor.history["loss"][-1])
        return "no ReLU, sigmoid or tanh" if is_finite else "nothing finite to count"
    share, kind, layer = max(known)
    if share == 0:
        return "all units work"
    return f"{100 * share:.0f} % {kind}" + (f" in {layer}" if len(layer) < 20 else "")


def _last(monitor: Any) -> int:
    return int(monitor.history["steps"][-1])


def _round_up(step: float) -> float:
    """Return 1, 2 or 5 times a power of ten, the next one above: an axis that seldom moves."""
    power = 10.0 ** np.floor(np.log10(max(step, 1.0)))
    return float(next(digit * power for digit in (1, 2, 5, 10) if digit * power >= step))


def _is_quiet() -> bool:
    return bool(os.environ.get("CI") or os.environ.get("COURSE_STRICT", "0") not in ("", "0"))


def _notebook() -> Any:
    """Return IPython's shell if there is a notebook that can show something, else None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell if shell is not None and hasattr(shell, "kernel") else None
