"""The controls of an explorer: each a label with symbol and unit, a range, and a first value.

A control is described here and made into an ipywidgets widget by the explorer. The description is
a frozen dataclass, so that tests can ask it for its corners and for random values.

The page moves any value of a slider to the nearest step as soon as it shows it. So the same is done
here first: what `compute` gets never depends on whether somebody is looking.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import ipywidgets
import numpy as np

from course_lib import checks

SliderKind = TypeVar("SliderKind", "Slider", "LogSlider", "Integers")
SLIDER_STEPS = 50  # a key press moves a slider by about 1/50 of its range, which can be seen


@dataclass(frozen=True)
class Control:
    """What every control has: a label, as read by eye and by screen reader, and a first value."""

    label: str
    value: Any

    def widget(self) -> ipywidgets.ValueWidget:
        """Return a new ipywidgets widget for this control."""
        raise NotImplementedError

    def corners(self) -> list[Any]:
        """Return the values at the ends of the control, or all of them where they are few."""
        raise NotImplementedError

    def random(self, rng: np.random.Generator) -> Any:
        """Return a value drawn evenly from what a reader can set."""
        raise NotImplementedError

    def checked(self, name: str, value: Any) -> Any:
        """Return the nearest value that a reader can set, or raise with one sentence."""
        raise NotImplementedError


@dataclass(frozen=True)
class Slider(Control):
    """A number on an even scale."""

    minimum: float
    maximum: float
    step: float

    def widget(self) -> ipywidgets.ValueWidget:
        """Return a `FloatSlider`."""
        return ipywidgets.FloatSlider(
            value=self.value,
            min=self.minimum,
            max=self.maximum,
            step=self.step,
            description=self.label,
            readout_format=f".{_decimals(self.step, self.minimum, self.value)}f",
        )

    def corners(self) -> list[float]:
        """Return the two ends."""
        return [self.minimum, self.maximum]

    def random(self, rng: np.random.Generator) -> float:
        """Return a value on one of the slider's steps."""
        return _nearest(rng.uniform(self.minimum, self.maximum), *self._grid)

    def checked(self, name: str, value: Any) -> float:
        """Return the step nearest to `value`, which lies within the range."""
        value = checks.number(name, value, minimum=self.minimum, maximum=self.maximum)
        return _nearest(value, *self._grid)

    @property
    def _grid(self) -> tuple[float, float, float]:
        return self.minimum, self.maximum, self.step


@dataclass(frozen=True)
class LogSlider(Control):
    """A number above 0 on a logarithmic scale: from 10^min_exponent to 10^max_exponent."""

    min_exponent: float
    max_exponent: float
    step: float

    def widget(self) -> ipywidgets.ValueWidget:
        """Return a `FloatLogSlider`."""
        return ipywidgets.FloatLogSlider(
            value=self.value,
            base=10,
            min=self.min_exponent,
            max=self.max_exponent,
            step=self.step,
            description=self.label,
            readout_format=".3g",
        )

    def corners(self) -> list[float]:
        """Return the two ends."""
        return [10.0**self.min_exponent, 10.0**self.max_exponent]

    def random(self, rng: np.random.Generator) -> float:
        """Return a value whose exponent lies on one of the slider's steps."""
        exponent = rng.uniform(self.min_exponent, self.max_exponent)
        return 10.0 ** _nearest(exponent, *self._grid)

    def checked(self, name: str, value: Any) -> float:
        """Return the step nearest to `value`, which lies within the range."""
        low, high = self.corners()
        value = checks.number(name, value, minimum=low, maximum=high)
        return 10.0 ** _nearest(math.log10(value), *self._grid)

    @property
    def _grid(self) -> tuple[float, float, float]:
        return self.min_exponent, self.max_exponent, self.step


@dataclass(frozen=True)
class Integers(Control):
    """A whole number."""

    minimum: int
    maximum: int
    step: int

    def widget(self) -> ipywidgets.ValueWidget:
        """Return an `IntSlider`."""
        return ipywidgets.IntSlider(
            value=self.value,
            min=self.minimum,
            max=self.maximum,
            step=self.step,
            description=self.label,
        )

    def corners(self) -> list[int]:
        """Return the two ends."""
        return [self.minimum, self.maximum]

    def random(self, rng: np.random.Generator) -> int:
        """Return a value on one of the slider's steps."""
        value = rng.uniform(self.minimum, self.maximum)
        return int(_nearest(value, self.minimum, self.maximum, self.step))

    def checked(self, name: str, value: Any) -> int:
        """Return the step nearest to `value`, which lies within the range."""
        value = checks.positive_int(name, value, minimum=self.minimum, maximum=self.maximum)
        return int(_nearest(value, self.minimum, self.maximum, self.step))


@dataclass(frozen=True)
class Choice(Control):
    """One of a few names."""

    options: dict[str, Any]

    def widget(self) -> ipywidgets.ValueWidget:
        """Return a `Dropdown`."""
        return ipywidgets.Dropdown(
            options=list(self.options.items()), value=self.value, description=self.label
        )

    def corners(self) -> list[Any]:
        """Return all values."""
        return list(self.options.values())

    def random(self, rng: np.random.Generator) -> Any:
        """Return one of the values."""
        return self.corners()[int(rng.integers(len(self.options)))]

    def checked(self, name: str, value: Any) -> Any:
        """Return `value` if it is one of the options."""
        return checks.one_of(name, value, self.options.values())


@dataclass(frozen=True)
class Toggle(Control):
    """Yes or no."""

    def widget(self) -> ipywidgets.ValueWidget:
        """Return a `Checkbox`."""
        return ipywidgets.Checkbox(value=self.value, description=self.label)

    def corners(self) -> list[bool]:
        """Return both values."""
        return [False, True]

    def random(self, rng: np.random.Generator) -> bool:
        """Return one of both."""
        return bool(rng.integers(2))

    def checked(self, name: str, value: Any) -> bool:
        """Return `value` if it is True or False."""
        return checks.instance(name, value, bool, "True or False")


def slider(
    label: str, minimum: float, maximum: float, value: float, step: float | None = None
) -> Slider:
    """Describe a slider for a number.

    Parameters
    ----------
    label : str
        What stands before it: the thing, its symbol and its unit.
    minimum, maximum, value : float
        The ends of its range, and where it begins; moved to the nearest step.
    step : float, optional
        How far one key press moves it; a round number near a fiftieth of the range unless given.

    Raises
    ------
    TypeError, ValueError
        If the label is empty, the range is, or the value lies outside it.
    """
    _check_label(label)
    minimum, maximum = checks.number("minimum", minimum), checks.number("maximum", maximum)
    _check_range("minimum", minimum, "maximum", maximum)
    step = _round_step(maximum - minimum) if step is None else checks.positive_number("step", step)
    return _started(Slider(label, value, minimum, maximum, step))


def log_slider(
    label: str,
    min_exponent: float,
    max_exponent: float,
    value: float,
    step: float | None = None,
) -> LogSlider:
    """Describe a slider for a number above 0 on a logarithmic scale.

    Parameters
    ----------
    label : str
        What stands before it: the thing, its symbol and its unit.
    min_exponent, max_exponent : float
        The powers of ten at the ends of its range: -3 and 1 go from 0.001 to 10.
    value : float
        Where it begins: the number itself, not its exponent; moved to the nearest step.
    step : float, optional
        How far one key press moves the exponent; a round number near a fiftieth of the range
        unless given.

    Raises
    ------
    TypeError, ValueError
        If the label is empty, the range is, or the value lies outside it.
    """
    _check_label(label)
    low = checks.number("min_exponent", min_exponent, minimum=-300, maximum=300)
    high = checks.number("max_exponent", max_exponent, minimum=-300, maximum=300)
    _check_range("min_exponent", low, "max_exponent", high)
    step = _round_step(high - low) if step is None else checks.positive_number("step", step)
    return _started(LogSlider(label, value, low, high, step))


def integers(label: str, minimum: int, maximum: int, value: int, step: int = 1) -> Integers:
    """Describe a slider for a whole number; the arguments are those of `slider`, in steps of 1."""
    _check_label(label)
    lowest = -(10**9)
    minimum = checks.positive_int("minimum", minimum, minimum=lowest)
    maximum = checks.positive_int("maximum", maximum, minimum=lowest)
    _check_range("minimum", minimum, "maximum", maximum)
    step = checks.positive_int("step", step)
    return _started(Integers(label, value, minimum, maximum, step))


def choice(label: str, options: Iterable[Any] | dict[str, Any], value: Any = None) -> Choice:
    """Describe a list to choose one thing from.

    Parameters
    ----------
    label : str
        What stands before it.
    options : sequence of str, or dict
        What can be chosen; of a dictionary the reader sees the keys and `compute` gets the values.
    value : optional
        What is chosen at first; the first option unless given.

    Raises
    ------
    ValueError
        If there is nothing to choose from, or `value` is not among it.
    """
    _check_label(label)
    if isinstance(options, str) or not isinstance(options, Iterable):
        raise TypeError(f"`options` is {checks.shown(options)}; it takes a list or a dictionary.")
    named = dict(options) if isinstance(options, dict) else {str(item): item for item in options}
    if len(named) < 2:
        raise ValueError(f"`options` has {len(named)} entries; a choice takes at least two.")
    value = next(iter(named.values())) if value is None else value
    return Choice(label, checks.one_of("value", value, named.values()), named)


def toggle(label: str, value: bool = False) -> Toggle:
    """Describe a box to tick."""
    _check_label(label)
    return Toggle(label, checks.instance("value", value, bool, "True or False"))


def _check_label(label: object) -> None:
    if not isinstance(label, str) or not label.strip():
        raise ValueError(
            f"`label` is {checks.shown(label)}; it takes the words that stand before the control."
        )


def _check_range(low_name: str, low: float, high_name: str, high: float) -> None:
    if not low < high:
        raise ValueError(f"`{low_name}` is {low} and `{high_name}` is {high}; it must be below.")


def _started(control: SliderKind) -> SliderKind:
    """Return the control with its first value checked and on one of its steps."""
    return replace(control, value=control.checked("value", control.value))


def _round_step(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten, near to a fiftieth of the range."""
    rough = span / SLIDER_STEPS
    power = 10.0 ** math.floor(math.log10(rough))
    best = min((1.0, 2.0, 5.0, 10.0), key=lambda digit: abs(math.log(digit * power / rough)))
    return best * power if power >= 1 else best / round(1 / power)


def _nearest(value: float, low: float, high: float, step: float) -> float:
    """Return the step nearest to a value; the upper end is one even if the last step is short."""
    below = low + step * math.floor((value - low) / step + 1e-9)
    lower, upper = min(below, high), min(below + step, high)
    nearest = lower if value - lower <= upper - value else upper
    # 0.2 + 3 * 0.1 is 0.5 and not 0.5000000000000001: twelve digits are more than a slider shows
    digits = 12 - math.ceil(math.log10(max(abs(low), abs(high))))
    return round(nearest, digits)


def _decimals(step: float, *numbers: float) -> int:
    """Return how many decimals show every step: exactly where it takes few, else two digits."""
    enough = max(0, 1 - math.floor(math.log10(step)))
    exact = (all(round(x, n) == x for x in (step, *numbers)) for n in range(enough))
    return next((n for n, all_exact in enumerate(exact) if all_exact), enough)
