"""Compare an answer with the reference, and say in a sentence how they differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.learn import page

Pair = tuple[NDArray, NDArray]  # what the answer gave and what the reference gave
CLOSE = 1e-5  # how well a pattern must fit before it is named


def same(value: Any, reference: Any, tolerance: float, each_entry: bool = False) -> bool:
    """Say whether a value equals the reference, part by part."""
    return difference(value, reference, each_entry) <= tolerance


def difference(value: Any, reference: Any, each_entry: bool = False) -> float:
    """Return the largest difference relative to the reference; infinity where they do not match.

    Relative to the largest entry of each part, or with `each_entry` to each single entry.
    """
    if isinstance(reference, str):
        return 0.0 if isinstance(value, str) and value.strip() == reference else math.inf
    if _holds_texts(reference):
        return 0.0 if _holds_texts(value) and dict(value) == reference else math.inf
    wanted, got = parts(reference), parts(value)
    if wanted is None or got is None or wanted.keys() != got.keys():
        return math.inf
    return max(_distance(got[key], wanted[key], each_entry) for key in wanted)


def _holds_texts(value: Any) -> bool:
    """Say whether a value is a dict of texts, which are compared as they are."""
    return isinstance(value, dict) and all(isinstance(one, str) for one in value.values())


def parts(value: Any) -> dict[str, NDArray] | None:
    """Return the arrays that a result consists of, by name, or None where it is no result.

    A number or an array is one part named ""; a tuple, a list of arrays or a dict has several.
    """
    if isinstance(value, dict):
        named = {str(key): entry for key, entry in value.items()}
    elif isinstance(value, tuple) or (isinstance(value, list) and _holds_arrays(value)):
        named = {f"result {i + 1} of {len(value)}": entry for i, entry in enumerate(value)}
    else:
        named = {"": value}
    arrays = {name: _as_array(entry) for name, entry in named.items()}
    return None if any(array is None for array in arrays.values()) else arrays  # type: ignore


def is_number(value: Any) -> bool:
    """Say whether a value consists of real and finite numbers."""
    arrays = parts(value)
    return arrays is not None and all(np.isfinite(array).all() for array in arrays.values())


def what_it_is(value: Any) -> str:
    """Return "an array of shape (3, 4)", "a text ('abc')": what a sentence calls a value."""
    if isinstance(value, str):
        return f"a text ({value[:40]!r})"
    if callable(value):
        return f"the function `{getattr(value, '__name__', 'without a name')}`"
    if isinstance(value, dict):
        if not value:
            return "an empty dict"
        return f"a dict with {page.listed(f'`{key}`' for key in value)}"
    array = _as_array(value)
    if isinstance(value, tuple) or (isinstance(value, list) and array is None):
        return f"a {type(value).__name__} of {len(value)}{_inside(value, array)}"
    if isinstance(value, np.ndarray) and value.dtype.kind == "c":
        return "an array of complex numbers"
    if array is None:
        return f"of type {type(value).__name__}"
    if array.ndim == 0:
        return f"the number {page.figure_text(array.item())}"
    return f"an array of shape {array.shape}"


def _inside(value: Sequence[Any], array: np.ndarray | None) -> str:
    """Return what to add about the entries of a tuple: " numbers", " with a text ('a') in it"."""
    if array is not None and array.ndim == 1:
        return " numbers" if np.isfinite(array).all() else " numbers, not all of them finite"
    texts = [entry for entry in value if isinstance(entry, str)]
    return f" with {what_it_is(texts[0])} in it" if texts else ""


def kind_of(value: Any) -> str:
    """Return what kind of thing a value is, without giving the value away."""
    array = _as_array(value)
    return "a number" if array is not None and array.ndim == 0 else what_it_is(value)


def with_inputs(preposition: str, arguments: Sequence[Any], names: Sequence[str]) -> str:
    """Return " with `x` of shape (3, 4) and `depth` = 5", or "" where there are no arguments."""
    told = []
    for name, argument in zip(names, arguments, strict=False):
        if isinstance(argument, np.ndarray) and argument.ndim:
            told.append(f"`{name}` of shape {argument.shape}")
        elif isinstance(argument, int | float | str | np.generic):
            told.append(f"`{name}` = {page.figure_text(argument)}")
        elif isinstance(argument, list | tuple):
            told.append(f"`{name}` a {type(argument).__name__} of {len(argument)}")
    return f" {preposition} {page.listed(told)}" if told else ""


def explain(
    trials: Sequence[tuple], names: Sequence[str], tolerance: float, each_entry: bool = False
) -> str:
    """Say in one sentence how an answer differs from the reference.

    Where the answer is a value and no function, the sentence does not give the value away.

    Parameters
    ----------
    trials : sequence of (arguments, value, reference)
        What the answer and the reference gave for the same arguments.
    names : sequence of str
        What the arguments are called; none where the answer is a value.
    tolerance, each_entry
        As in `same`.
    """
    subject = "Your result" if names else "Your answer"
    for arguments, value, reference in trials:
        wanted, got = parts(reference), parts(value)
        if wanted is None:
            return f"{subject} is {what_it_is(value)}, and that is not it."
        if got is None or got.keys() != wanted.keys():
            needed = what_it_is(reference) if names else kind_of(reference)
            given = with_inputs("for", arguments, names)
            return f"{subject} is {what_it_is(value)}; it needs to be {needed}{given}."
    in_parts = [(parts(value) or {}, parts(reference) or {}) for _, value, reference in trials]
    all_parts = list(in_parts[0][1])
    wrong = [
        part
        for part in all_parts
        if any(_distance(v[part], r[part], each_entry) > tolerance for v, r in in_parts)
    ]
    part = (wrong or all_parts)[0]
    if part:
        subject = f"`{part}`" if isinstance(trials[0][2], dict) else part.capitalize()
    evidence = _Evidence(
        pairs=[(v[part], r[part]) for v, r in in_parts],
        inputs=[arguments for arguments, _, _ in trials],
        names=names,
        each_entry=each_entry,
    )
    right = len(all_parts) - len(wrong)
    rest = f" ({right} of {len(all_parts)} results are right.)" if right and wrong else ""
    return f"{subject} {evidence.says()}{rest}"


@dataclass(frozen=True)
class _Evidence:
    """What an answer and the reference gave for one part of the result, and on which inputs."""

    pairs: list[Pair]
    inputs: list[tuple]
    names: Sequence[str]
    each_entry: bool

    def says(self) -> str:
        """Return what the first pattern says that fits every trial."""
        return (
            self.wrong_shape()
            or self.not_finite()
            or self.nearly_right()
            or self.known_slip()
            or self.factor_of_a_size()
            or self.first_difference()
        )

    def fit(self, wanted: Callable[[NDArray], NDArray]) -> bool:
        """Say whether the answer is, in every trial, this function of the reference."""
        with np.errstate(all="ignore"):
            return all(self.fits(v, wanted(w)) for v, w in self.pairs)

    def fits(self, value: NDArray, wanted: NDArray) -> bool:
        return _distance(value, wanted, self.each_entry) <= CLOSE

    def wrong_shape(self) -> str:
        for (value, wanted), arguments in zip(self.pairs, self.inputs, strict=True):
            if value.shape == wanted.shape:
                continue
            given = with_inputs("for", arguments, self.names)
            needed = f"it needs shape {wanted.shape}{given}"
            if not wanted.ndim:
                return f"has shape {value.shape}; one number is asked for."
            if not value.ndim:
                why = " Was a sum or a mean taken over everything?" if self.names else ""
                return f"is one number; {needed}.{why}"
            if value.ndim == 2 and all(self.fits(v.T, w) for v, w in self.pairs):
                return f"is transposed: it has shape {value.shape}, and {needed}."
            if all(v.size == w.size and self.fits(v.reshape(w.shape), w) for v, w in self.pairs):
                return f"has the right entries, but in shape {value.shape}; {needed}."
            turned = ": is it transposed?" if value.shape == wanted.shape[::-1] else "."
            return f"has shape {value.shape}; {needed}{turned}"
        return ""

    def not_finite(self) -> str:
        for (value, wanted), arguments in zip(self.pairs, self.inputs, strict=True):
            bad = np.argwhere(~np.isfinite(value) & np.isfinite(wanted))
            if not len(bad):
                continue
            place = tuple(int(i) for i in bad[0])
            what = f"is {'NaN' if np.isnan(value[place]) else 'infinite'}{_at(place)}"
            if not self.names:
                return f"{what}, and it should not be."
            return (
                f"{what}, where the reference has {page.figure_text(float(wanted[place]))}"
                f"{with_inputs('for', arguments, self.names)}: is something divided by 0, or too "
                "large?"
            )
        return ""

    def nearly_right(self) -> str:
        if not self.fit(lambda wanted: wanted):
            return ""
        distance = max(_distance(v, w, self.each_entry) for v, w in self.pairs)
        return f"is right to {distance:.0e}, which is not near enough here: was it rounded?"

    def known_slip(self) -> str:
        """Look for what can be seen in the entries alone."""
        wanted = self.pairs[0][1]
        if not any(v.any() for v, _ in self.pairs):
            if not wanted.ndim:
                return "is 0."
            return "is all zeros: is something overwritten where it should be added?"
        if self.is_always_the_same():
            return "is the same whatever goes in: is a number written down that must be computed?"
        for transform, sentence in _TRANSFORMS:
            if self.fit(transform):
                return sentence
        if not self.names and not wanted.ndim:
            return _too_large_or_small(*self.pairs[0])
        ratio = self.common([self.ratio(v, w) for v, w in self.pairs])
        if ratio is not None:
            return _says_ratio(ratio, "" if not wanted.ndim else " in each entry")
        shift = self.common([self.shift(v, w) for v, w in self.pairs])
        if shift is not None:
            way = "too large" if shift > 0 else "too small"
            return f"is {way} by the same {page.figure_text(abs(shift))} everywhere."
        return ""

    def factor_of_a_size(self) -> str:
        """Look for a factor that is the size of an input: a mean instead of a sum, or a sum."""
        ratios = [self.ratio(v, w) for v, w in self.pairs]
        if None in ratios:
            return ""
        for i, name in enumerate(self.names):
            for axis in range(3):
                sizes = [_size(arguments[i], axis) for arguments in self.inputs]
                if 0 in sizes:
                    continue
                what = f"the size of axis {axis} of `{name}` (here {sizes[0]})"
                for power, sentence in _POWERS.items():
                    if _all_close(ratios, [float(size) ** power for size in sizes]):
                        return sentence.format(what)
        return ""

    def first_difference(self) -> str:
        right = [self.fits(v, w) for v, w in self.pairs]
        value, wanted = self.pairs[right.index(False)]
        off = ~np.isclose(value, wanted, rtol=CLOSE, atol=0, equal_nan=True)
        place = tuple(int(i) for i in np.argwhere(off)[0])
        differ = f"{int(off.sum())} of {off.size} entries differ"
        if not self.names:
            return f"is not right: {differ}, the first{_at(place)}."
        some = f"{sum(right)} of {len(right)} inputs"
        return (
            (f"is right for {some}; for another it " if any(right) else "")
            + f"is {page.figure_text(float(value[place]))}{_at(place)}, where the reference has "
            + page.figure_text(float(wanted[place]))
            + (f" ({differ})." if off.size > 1 else ".")
        )

    def is_always_the_same(self) -> bool:
        """Say whether all answers are one, though the references differ."""
        (first, wanted), *rest = self.pairs
        return any(not self.fits(w, wanted) for _, w in rest) and all(
            self.fits(v, first) for v, _ in rest
        )

    def ratio(self, value: NDArray, wanted: NDArray) -> float | None:
        """Return the one factor between two arrays, or None where there is none."""
        used = wanted != 0
        if not used.any() or value[~used].any():
            return None
        middle = float(np.median(value[used] / wanted[used]))
        return middle if middle and self.fits(value, middle * wanted) else None

    def shift(self, value: NDArray, wanted: NDArray) -> float | None:
        """Return the one difference between two arrays, or None where there is none."""
        if value.size == 1 and len(self.pairs) == 1:
            return None
        middle = float(np.median(value - wanted))
        return middle if self.fits(value, wanted + middle) else None

    @staticmethod
    def common(numbers: Sequence[float | None]) -> float | None:
        """Return the number that all are, or None."""
        first = numbers[0]
        if first is None or None in numbers:
            return None
        return first if _all_close(numbers, [first] * len(numbers)) else None


_TRANSFORMS: tuple[tuple[Callable[[NDArray], NDArray], str], ...] = (
    (lambda w: -w, "has the wrong sign, and is right otherwise."),
    (lambda w: w.T if w.ndim == 2 else w * np.nan, "is transposed."),
    (lambda w: w[::-1] if w.ndim else w * np.nan, "is in reverse order."),
    (lambda w: 1 / w, "is upside down: one over what it should be."),
    (lambda w: w**2, "is the square of what it should be: is a square root missing?"),
    (np.sqrt, "is the square root of what it should be: is a square missing?"),
    (np.log, "is the logarithm of what it should be."),
    (np.exp, "is the exponential of what it should be."),
    (np.abs, "has lost its signs: an absolute value, or a square, too many?"),
)
_POWERS = {
    -1.0: "is too small by a factor, {}: a mean where a sum belongs?",
    1.0: "is too large by a factor, {}: a sum where a mean belongs?",
    -0.5: "is too small by the square root of {}.",
    0.5: "is too large by the square root of {}.",
}


def _says_ratio(ratio: float, where: str) -> str:
    if math.isclose(ratio, math.log(10), rel_tol=CLOSE):
        return "is 2.303 times too large, and 2.303 is ln 10: should it be `log10`?"
    size = abs(ratio) if abs(ratio) >= 1 else 1 / abs(ratio)
    if size < 1.01:
        return f"is {ratio:.6g} of what it should be{where}: near, and more than rounding."
    way = "large" if abs(ratio) >= 1 else "small"
    sign = ", and has the wrong sign" if ratio < 0 else ""
    return f"is {float(f'{size:.3g}'):g} times too {way}{where}{sign}."


def _too_large_or_small(value: NDArray, wanted: NDArray) -> str:
    """Say on which side of the reference a number is, without giving the reference away."""
    if value * wanted < 0:
        return "has the wrong sign."
    way = "large" if abs(value) > abs(wanted) else "small"
    ratio = float(value / wanted) if wanted else math.inf
    far = "far " if not 0.01 < ratio < 100 else ""
    return f"is {far}too {way}."


def _at(place: tuple[int, ...]) -> str:
    return f" at {list(place)}" if place else ""


def _all_close(numbers: Sequence[float | None], others: Sequence[float]) -> bool:
    return bool(np.allclose(np.array(numbers, float), np.array(others, float), rtol=CLOSE, atol=0))


def _size(argument: Any, axis: int) -> int:
    """Return the size of an argument along an axis, 0 where it has no such axis."""
    if isinstance(argument, list) and axis == 0:
        return len(argument)
    if isinstance(argument, np.ndarray) and axis < argument.ndim:
        return argument.shape[axis]
    return 0


def _distance(value: NDArray, wanted: NDArray, each_entry: bool) -> float:
    """Return the largest difference relative to `wanted`; infinity where they do not match."""
    if value.shape != wanted.shape:
        return math.inf
    finite = np.isfinite(wanted)
    if not np.array_equal(value[~finite], wanted[~finite], equal_nan=True):
        return math.inf
    value, wanted = value[finite], wanted[finite]
    if not value.size:
        return 0.0
    apart = np.abs(value - wanted)
    if not np.isfinite(apart).all():
        return math.inf
    scale = np.abs(wanted) if each_entry else np.abs(wanted).max()
    return float((apart / np.where(scale > 0, scale, 1.0)).max())


def _holds_arrays(values: Sequence[Any]) -> bool:
    return any(getattr(entry, "ndim", 0) for entry in values)


def _as_array(value: Any) -> NDArray | None:
    """Return a value as an array of floats, or None where it consists of no real numbers."""
    if value is None or isinstance(value, str | bytes):
        return None
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            return None
        return array.astype(np.float64)
    except Exception:  # whatever a learner may return: ragged lists, objects of any class
        return None
