"""The controls of an explorer: each a label with symbol and unit, a range, and a first value.

A control is described here and made into an ipywidgets widget by the explorer. The description is
a frozen dataclass, so that tests can ask it for its corners and for random values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np

from course_lib import checks

SLIDER_STEPS = 50  # a key press moves a slider by 1/50 of its range, which can be seen


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
        """Return `value` if a reader could set it, else raise with one sentence."""
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
        steps = int((self.maximum - self.minimum) / self.step * (1 + 1e-9))
        return min(self.minimum + self.step * int(rng.integers(0, steps + 1)), self.maximum)

    def checked(self, name: str, value: Any) -> float:
        """Return `value` as a float within the range."""
        return checks.number(name, value, minimum=self.minimum, maximum=self.maximum)


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
        steps = int((self.max_exponent - self.min_exponent) / self.step * (1 + 1e-9))
        exponent = self.min_exponent + self.step * int(rng.integers(0, steps + 1))
        return 10.0 ** min(exponent, self.max_exponent)

    def checked(self, name: str, value: Any) -> float:
        """Return `value` as a float within the range."""
        low, high = self.corners()
        return checks.number(name, value, minimum=low, maximum=high)


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
        return int(rng.choice(np.arange(self.minimum, self.maximum + 1, self.step)))

    def checked(self, name: str, value: Any) -> int:
        """Return `value` as an int within the range."""
        return checks.positive_int(name, value, minimum=self.minimum, maximum=self.maximum)


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
        return ipywidgets.Checkbox(value=self.value, description=self.label, indent=False)

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
        The ends of its range, and where it begins.
    step : float, optional
        How far one key press moves it; a fiftieth of the range unless given.

    Raises
    ------
    TypeError, ValueError
        If the label is empty, the range is, or the value lies outside it.
    """
    _check_label(label)
    minimum, maximum = checks.number("minimum", minimum), checks.number("maximum", maximum)
    _check_range("minimum", minimum, "maximum", maximum)
    value = checks.number("value", value, minimum=minimum, maximum=maximum)
    step = (maximum - minimum) / SLIDER_STEPS if step is None else step
    return Slider(label, value, minimum, maximum, checks.positive_number("step", step))


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
        Where it begins: the number itself, not its exponent.
    step : float, optional
        How far one key press moves the exponent; a fiftieth of the range unless given.

    Raises
    ------
    TypeError, ValueError
        If the label is empty, the range is, or the value lies outside it.
    """
    _check_label(label)
    low = checks.number("min_exponent", min_exponent, minimum=-300, maximum=300)
    high = checks.number("max_exponent", max_exponent, minimum=-300, maximum=300)
    _check_range("min_exponent", low, "max_exponent", high)
    value = checks.number("value", value, minimum=10.0**low, maximum=10.0**high)
    step = (high - low) / SLIDER_STEPS if step is None else step
    return LogSlider(label, value, low, high, checks.positive_number("step", step))


def integers(label: str, minimum: int, maximum: int, value: int, step: int = 1) -> Integers:
    """Describe a slider for a whole number; the arguments are those of `slider`."""
    _check_label(label)
    lowest = -(10**9)
    minimum = checks.positive_int("minimum", minimum, minimum=lowest)
    maximum = checks.positive_int("maximum", maximum, minimum=lowest)
    _check_range("minimum", minimum, "maximum", maximum)
    value = checks.positive_int("value", value, minimum=minimum, maximum=maximum)
    return Integers(label, value, minimum, maximum, checks.positive_int("step", step))


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


def _decimals(step: float, *numbers: float) -> int:
    """Return how many decimals show every step: exactly where it takes few, else two digits."""
    enough = max(0, 1 - math.floor(math.log10(step)))
    exact = (all(round(x, n) == x for x in (step, *numbers)) for n in range(enough))
    return next((n for n, all_exact in enumerate(exact) if all_exact), enough)
