"""Explorers: sliders on the left hand, a picture that follows on the right.

An explorer is a pure `compute(**parameters) -> arrays`, a `draw(figure) -> update` that makes the
axes and artists once and returns a function that moves them, and the thin shell of this module,
which turns sliders into calls. Whatever goes wrong is said in one sentence inside the explorer.

While a slider moves, the kernel answers each message with a small JPEG; the page asks for a sharp
PNG when no picture has followed for a quarter of a second. Nothing runs beside the kernel's own
loop, so there is nothing to race with: messages are answered in order, the front end merges the
slider's messages while the kernel is busy, and the last value wins.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets
from matplotlib.figure import Figure

from course_lib import checks
from course_lib.show import encoding
from course_lib.show.canvas import Canvas, Pixels
from course_lib.show.controls import (
    Control,
    choice,
    integers,
    log_slider,
    slider,
    toggle,
)
from course_lib.show.style import PIXELS_PER_INCH, STYLE, house_style

__all__ = [
    "Explorer",
    "choice",
    "exercise",
    "explore",
    "integers",
    "log_slider",
    "slider",
    "toggle",
]

Arrays = dict[str, Any]
PRINT_RATIO = 2.0  # pixels per CSS pixel of the picture that stands in where no kernel runs
UPDATE = "a `draw` that returns a function `update(arrays)`, which moves what it made"
SLIDER_WIDTH = 190  # CSS pixels at least, for a slider and its number
_HERE = Path(__file__).parent


class PictureView(anywidget.AnyWidget):
    """The picture in the page, with its alt text and, when something went wrong, its sentence."""

    _esm = _HERE / "explore.js"
    _css = _HERE / "explore.css"

    picture = traitlets.Bytes(b"").tag(sync=True)
    format = traitlets.Unicode("image/png").tag(sync=True)
    ratio = traitlets.Float(0.0).tag(sync=True)  # pixels per CSS pixel; 0 while a slider moves
    frame = traitlets.Int(0).tag(sync=True)
    width = traitlets.Int(0).tag(sync=True)
    alt = traitlets.Unicode("").tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)


class Explorer:
    """A picture that follows its controls; made by `explore`, shown as a cell's last value.

    Attributes
    ----------
    values : dict
        What each control is set to.
    arrays : dict
        What `compute` returned for the picture that is shown.
    image : array of shape (height, width, 4), or None
        The pixels of the last picture without an error, one per CSS pixel.
    alt : str
        The picture in words.
    error : str
        What went wrong at these values, in one sentence; empty when nothing did.
    controls : dict
        The ipywidgets widget of each control.
    widget : ipywidgets.VBox
        All of it, to be placed inside another widget.
    """

    def __init__(
        self,
        compute: Callable[..., Arrays],
        draw: Callable[[Figure], Callable[[Arrays], object]],
        alt: Callable[[Arrays], str],
        controls: Mapping[str, Control],
        presets: Mapping[str, Mapping[str, Any]],
        figsize: tuple[float, float],
    ) -> None:
        self.compute, self.draw, self.figsize = compute, draw, figsize
        self.descriptions = dict(controls)
        self.presets = {"Reset": {}, **presets}
        self.start = {name: control.value for name, control in controls.items()}
        self.arrays: Arrays = {}
        self.image: Pixels | None = None
        self.alt = self.error = ""
        self._describe = alt
        self._update: Callable[[Arrays], object] | None = None
        self._canvas: Canvas | None = None
        self._together = False
        self._view = PictureView(width=round(figsize[0] * PIXELS_PER_INCH))
        self._view.on_msg(self._on_message)
        self.controls = {name: control.widget() for name, control in controls.items()}
        self.widget = self._lay_out()
        self._follow()
        for control in self.controls.values():
            control.observe(self._on_value, names="value")

    @property
    def values(self) -> dict[str, Any]:
        """What each control is set to."""
        return {name: control.value for name, control in self.controls.items()}

    @property
    def canvas(self) -> Canvas:
        """What draws the picture; it counts its full draws and its blits.

        Raises
        ------
        RuntimeError
            If no picture could be drawn yet.
        """
        if self._canvas is None:
            raise RuntimeError(self.error)
        return self._canvas

    def set(self, **values: Any) -> Explorer:
        """Set controls by name, all of them at once, and let the picture follow once.

        Raises
        ------
        TypeError, ValueError
            If a name is unknown or a value is none that the control can take.
        """
        checked = {}
        for name, value in values.items():
            checks.one_of("name", name, self.controls)
            checked[name] = self.descriptions[name].checked(name, value)
        before = self.values
        self._together = True
        try:
            for name, value in checked.items():
                self.controls[name].value = value
        finally:
            self._together = False
        if self.values != before:
            self._follow()
        return self

    def reset(self) -> Explorer:
        """Put every control back to where it began."""
        return self.set(**self.start)

    def preset(self, name: str) -> Explorer:
        """Set the controls as one of the buttons does: its values, everything else as at first."""
        return self.set(**{**self.start, **self.presets[checks.one_of("name", name, self.presets)]})

    def sharpen(self, ratio: float = 1.0) -> None:
        """Send the page the present picture as a PNG, with `ratio` pixels per CSS pixel."""
        if self._canvas is not None and not self.error:
            self._send(encoding.png(self._pixels(ratio)), "image/png", ratio)

    def _follow(self) -> None:
        """Compute and draw for the present values, or say why that cannot be done."""
        values = self.values
        try:
            with np.errstate(all="ignore"):  # what is not finite is reported in words, below
                arrays = self.compute(**values)
            _check_arrays(arrays)
            alt = self._describe(arrays)
            checks.instance("alt(arrays)", alt, str, "a sentence that says what the picture shows")
            with house_style():
                self._move_artists(arrays)
                pixels = self.canvas.pixels()
        except Exception as error:  # whatever a reader's own functions may raise
            self._fail(values, error)
            return
        self.arrays, self.image, self.alt, self.error = arrays, np.array(pixels), alt, ""
        if self._view.frame == 0:
            self._send(encoding.png(pixels), "image/png", 1.0)
        else:
            self._send(encoding.jpeg(pixels), "image/jpeg", 0.0)

    def _move_artists(self, arrays: Arrays) -> None:
        """Move what `draw` made; make it first, unless that has been done."""
        if self._canvas is not None and self._update is not None:
            self._update(arrays)
            return
        figure = Figure(figsize=self.figsize)
        self._update = checks.function("draw(figure)", self.draw(figure), UPDATE)
        self._update(arrays)
        self._canvas = Canvas(figure)
        self._update(arrays)  # once more, so that it shows which artists it moves

    def _pixels(self, ratio: float = 1.0) -> Pixels:
        with house_style():
            return self.canvas.pixels(ratio)

    def _send(self, picture: bytes, file_format: str, ratio: float) -> None:
        view = self._view
        with view.hold_sync():  # one message, so that the page never sees half of it
            view.picture, view.format, view.ratio = picture, file_format, ratio
            view.alt, view.error, view.frame = self.alt, self.error, view.frame + 1

    def _fail(self, values: dict[str, Any], error: Exception) -> None:
        setting = ", ".join(f"{name} = {_short(value)}" for name, value in values.items())
        self.error = f"No picture for {setting}: {_sentence(error)}"
        self._view.error = self.error

    def _on_value(self, change: object) -> None:
        if not self._together:
            self._follow()

    def _on_message(self, view: object, content: dict, buffers: object) -> None:
        if content.get("type") == "sharpen":
            self.sharpen(float(content["ratio"]))

    def _lay_out(self) -> ipywidgets.VBox:
        width = max(len(control.label) for control in self.descriptions.values()) + 1
        for control in self.controls.values():
            control.layout.width = "auto"
            control.style.description_width = f"{width}ch"
        columns = f"repeat(auto-fit, minmax(calc({width}ch + {SLIDER_WIDTH}px), 1fr))"
        controls = ipywidgets.GridBox(
            list(self.controls.values()), layout={"grid_template_columns": columns}
        )
        buttons = ipywidgets.HBox([self._button(name) for name in self.presets])
        buttons.layout.flex_flow = "row wrap"
        explorer = ipywidgets.VBox([buttons, controls, self._view])
        explorer.layout.max_width = f"{self._view.width}px"
        explorer.add_class("course-explorer")
        controls.add_class("course-controls")
        buttons.add_class("course-buttons")
        return explorer

    def _button(self, name: str) -> ipywidgets.Button:
        button = ipywidgets.Button(description=name, layout={"width": "auto"})
        button.on_click(lambda _: self.preset(name))
        return button

    def _repr_mimebundle_(self, **_: object) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the widget, and for where none can run a picture with its alt text."""
        bundle = dict(self.widget._repr_mimebundle_())
        words = self.error or self.alt
        bundle["text/plain"] = f"{words} (An explorer: run this cell, then move its sliders.)"
        metadata: dict[str, Any] = {}
        if self.image is not None:
            pixels = self.image if self.error else self._pixels(PRINT_RATIO)
            bundle["image/png"] = encoding.base64_text(encoding.png(pixels))
            height = round(self.figsize[1] * PIXELS_PER_INCH)
            size = {"width": self._view.width, "height": height}
            metadata["image/png"] = {"alt": words, **size}
        return bundle, metadata


def explore(
    compute: Callable[..., Arrays],
    draw: Callable[[Figure], Callable[[Arrays], object]],
    /,
    *,
    alt: Callable[[Arrays], str],
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    figsize: tuple[float, float] | None = None,
    **controls: Control,
) -> Explorer:
    """Let a reader move the parameters of a computation and see its picture follow.

    Parameters
    ----------
    compute : callable
        `compute(**parameters) -> arrays`: a dictionary of arrays, numbers and names. It answers
        within 20 ms and keeps nothing. Numbers that are not finite are refused in words; for a gap
        that is meant return a masked array.
    draw : callable
        `draw(figure) -> update`: makes axes and artists once. `update(arrays)` only moves them
        (`set_data`, `set_text`, `set_title`). What it touches is found out and drawn alone; where
        it changes limits, ticks or a legend, everything is drawn again, ten times as slowly.
    alt : callable
        `alt(arrays) -> str`: what the picture shows and its finding, with numbers.
    presets : dict, optional
        Interesting cases: the name on a button, and the values it sets. What it does not name goes
        back to its first value.
    figsize : (float, float), optional
        Width and height in inches, 7 x 3.5 unless given; an inch is 100 CSS pixels.
    **controls
        One for each parameter of `compute`, under its name: `slider`, `log_slider`, `integers`,
        `choice` or `toggle`.

    Returns
    -------
    Explorer
        To be a cell's last value.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong kind, the controls are not the parameters of `compute`, or a
        preset sets what its control cannot take. Under `COURSE_STRICT=1` also if the first picture
        fails, which a reader is told inside the explorer.
    """
    checks.function("compute", compute, "a function of the controls that returns a dictionary")
    checks.function("draw", draw, "a function of a figure that returns `update(arrays)`")
    checks.function("alt", alt, "a function of the arrays that returns a sentence")
    _check_controls(compute, controls)
    explorer = Explorer(
        compute, draw, alt, controls, _checked_presets(presets, controls), _checked_size(figsize)
    )
    if explorer.error and os.environ.get("COURSE_STRICT") == "1":
        raise ValueError(explorer.error)
    return explorer


def exercise(
    explorer: Explorer, rng: np.random.Generator, settings: int = 50
) -> list[dict[str, Any]]:
    """Drive an explorer to its corners and to random settings; raise where it does not hold up.

    At every setting it must draw without an error, from finite numbers, and say in words what it
    shows. Every control must change the picture between its corners, and the quickly drawn picture
    must be the one that drawing everything anew gives.

    Parameters
    ----------
    explorer : Explorer
    rng : numpy.random.Generator
        Where the random settings come from.
    settings : int
        How many of them.

    Returns
    -------
    list of dict
        The settings that were tried.

    Raises
    ------
    AssertionError
        With one sentence that names the setting and what went wrong there.
    """
    tried: list[dict[str, Any]] = []

    def visit(**values: Any) -> Pixels:
        explorer.set(**values)
        assert not explorer.error, explorer.error
        assert explorer.alt.strip(), f"No alt text for {explorer.values}."
        tried.append(explorer.values)
        assert explorer.image is not None
        return explorer.image

    for name, control in explorer.descriptions.items():
        explorer.reset()
        pictures = [visit(**{name: corner}) for corner in control.corners()]
        assert any(not np.array_equal(pictures[0], other) for other in pictures[1:]), (
            f"`{name}` does not change the picture between {_short(control.corners()[0])} "
            f"and {_short(control.corners()[-1])}."
        )
    for name in explorer.presets:
        explorer.preset(name)
        assert not explorer.error, explorer.error
    for number in range(settings):
        controls = explorer.descriptions.items()
        picture = visit(**{name: control.random(rng) for name, control in controls})
        if number % 10 == 0:
            with house_style():
                anew = explorer.canvas.redrawn()
            assert np.array_equal(picture, anew), (
                f"The quick picture is not the one drawn anew at {explorer.values}."
            )
    explorer.reset()
    return tried


def _check_controls(compute: Callable[..., Any], controls: Mapping[str, object]) -> None:
    if not controls:
        raise ValueError("`controls` is empty; an explorer takes at least one, such as `slider`.")
    for name, control in controls.items():
        takes = "one of `slider`, `log_slider`, `integers`, `choice`, `toggle`"
        checks.instance(name, control, Control, takes)
    try:
        inspect.signature(compute).bind(**controls)
    except TypeError as error:
        parameters = ", ".join(inspect.signature(compute).parameters)
        raise TypeError(
            f"`compute` takes ({parameters}), the controls are ({', '.join(controls)}): {error}."
        ) from None


def _checked_presets(
    presets: Mapping[str, Mapping[str, Any]] | None, controls: Mapping[str, Control]
) -> dict[str, dict[str, Any]]:
    takes = "a dictionary from the name on the button to the values it sets"
    checked: dict[str, dict[str, Any]] = {}
    for button, values in checks.instance("presets", presets or {}, dict, takes).items():
        checks.instance(f"presets[{button!r}]", values, dict, "a dictionary of values by name")
        checked[str(button)] = {}
        for name, value in values.items():
            checks.one_of(f"presets[{button!r}]", name, controls)
            checked[str(button)][name] = controls[name].checked(name, value)
    return checked


def _checked_size(figsize: tuple[float, float] | None) -> tuple[float, float]:
    size = STYLE["figure.figsize"] if figsize is None else figsize
    width, height = checks.as_array("figsize", size, shape=(2,), takes="width and height in inches")
    if not (1 <= width <= 20 and 1 <= height <= 20):
        raise ValueError(f"`figsize` is {width} x {height}; it takes 1 to 20 inches each way.")
    return float(width), float(height)


def _check_arrays(arrays: object) -> None:
    takes = "a dictionary of arrays by name"
    for name, value in checks.instance("compute(...)", arrays, dict, takes).items():
        _check_finite(str(name), value)


def _check_finite(name: str, value: object) -> None:
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_finite(f"{name}[{index}]", item)
    elif isinstance(value, np.ma.MaskedArray):
        _check_finite(name, value.compressed())
    elif isinstance(value, (float, np.ndarray, np.floating)):
        array = np.asarray(value)
        if array.dtype.kind == "f" and array.size:
            checks.as_array(name, array)


def _sentence(error: Exception) -> str:
    """Return an exception as one sentence: its own text if it was written to be read."""
    lines = str(error).strip().splitlines()
    text = lines[0].strip() if lines else ""
    if not isinstance(error, (ValueError, TypeError)) or not text:
        text = f"{type(error).__name__}{': ' if text else ''}{text}"
    return text if text[-1] in ".?" else f"{text}."


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
