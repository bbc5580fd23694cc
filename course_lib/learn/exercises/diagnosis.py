"""Compare an answer with the reference, and say in a sentence how they differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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
    wanted, got = parts(reference), parts(value)
    if wanted is None or got is None or wanted.keys() != got.keys():
        return math.inf
    return max(_distance(got[key], wanted[key], each_entry) for key in wanted)


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
    """Say whether a value consists of real numbers, none of them NaN."""
    arrays = parts(value)
    return arrays is not None and not any(np.isnan(array).any() for array in arrays.values())


def what_it_is(value: Any) -> str:
    """Return "an array of shape (3, 4)", "a text ('abc')": what a sentence calls a value."""
    if isinstance(value, str):
        return f"a text ({value[:40]!r})"
    if callable(value):
        return f"the function `{getattr(value, '__name__', 'without a name')}`"
    if isinstance(value, dict):
        return f"a dict with {page.listed(f'`{key}`' for key in value)}"
    array = _as_array(value)
    if isinstance(value, tuple) or (isinstance(value, list) and array is None):
        return f"a {type(value).__name__} of {len(value)}"
    if array is None:
        return f"of type {type(value).__name__}"
    if array.ndim == 0:
        return f"the number {page.figure_text(array.item())}"
    return f"an array of shape {array.shape}"


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


def explain(trials: Sequence[tuple], names: Sequence[str], each_entry: bool = False) -> str:
    """Say in one sentence how an answer differs from the reference.

    Parameters
    ----------
    trials : sequence of (arguments, value, reference)
        What the answer and the reference gave for the same arguments.
    names : sequence of str
        What the arguments are called.
    each_entry : bool
        As in `difference`.
    """
    subject = "Your result" if names else "Your answer"
    for arguments, value, reference in trials:
        wanted, got = parts(reference), parts(value)
        if isinstance(reference, str) or wanted is None:
            return f"{subject} is {what_it_is(value)}, and that is not it."
        if got is None or got.keys() != wanted.keys():
            return (
                f"{subject} is {what_it_is(value)}; it needs to be {what_it_is(reference)}"
                f"{with_inputs('for', arguments, names)}."
            )
    wrong = [
        name
        for name in parts(trials[0][2]) or ()
        if any(_distance(_part(v, name), _part(r, name), each_entry) > CLOSE for _, v, r in trials)
    ]
    name = (wrong or list(parts(trials[0][2]) or ()))[0]
    if name:
        subject = f"`{name}`" if isinstance(trials[0][2], dict) else name.capitalize()
    pairs = [(_part(value, name), _part(reference, name)) for _, value, reference in trials]
    right = len(parts(trials[0][2]) or ()) - len(wrong)
    rest = f" ({right} of {right + len(wrong)} results are right.)" if right and wrong else ""
    return f"{subject} {_pattern(pairs, [a for a, _, _ in trials], names)}{rest}"


def _pattern(pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    """Return what the first pattern says that fits every trial."""
    return (
        _wrong_shape(pairs, inputs, names)
        or _not_finite(pairs, inputs, names)
        or _known_slip(pairs)
        or _factor_of_a_size(pairs, inputs, names)
        or _first_difference(pairs)
    )


def _wrong_shape(pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    for (value, wanted), arguments in zip(pairs, inputs, strict=True):
        if value.shape == wanted.shape:
            continue
        needed = f"it needs shape {wanted.shape}{with_inputs('for', arguments, names)}"
        if value.ndim == 2 and all(_fits(v.T, w) for v, w in pairs):
            return f"is transposed: it has shape {value.shape}, and {needed}."
        if not value.ndim:
            return f"is one number; {needed}. Was a sum or a mean taken over everything?"
        if not wanted.ndim:
            return f"has shape {value.shape}; one number is asked for."
        if all(v.size == w.size and _fits(v.reshape(w.shape), w) for v, w in pairs):
            return f"has the right entries, but in shape {value.shape}; {needed}."
        turned = ": is it transposed?" if value.shape == wanted.shape[::-1] else "."
        return f"has shape {value.shape}; {needed}{turned}"
    return ""


def _not_finite(pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    for (value, wanted), arguments in zip(pairs, inputs, strict=True):
        bad = np.argwhere(~np.isfinite(value) & np.isfinite(wanted))
        if len(bad):
            place = tuple(int(i) for i in bad[0])
            what = "NaN" if np.isnan(value[place]) else "infinite"
            return (
                f"is {what}{_at(place)}, where the reference has "
                f"{page.figure_text(float(wanted[place]))}{with_inputs('for', arguments, names)}: "
                "is something divided by 0, or too large?"
            )
    return ""


def _known_slip(pairs: list[Pair]) -> str:
    """Look for what can be seen in the entries alone."""
    if not any(v.any() for v, _ in pairs):
        if not pairs[0][1].ndim:
            return "is 0."
        return "is all zeros: is something overwritten where it should be added?"
    if _is_always_the_same(pairs):
        return "is the same whatever goes in: is a number written down that should be computed?"
    with np.errstate(all="ignore"):
        for transform, sentence in _TRANSFORMS:
            if all(_fits(v, transform(w)) for v, w in pairs):
                return sentence
    ratio = _common([_ratio(v, w) for v, w in pairs])
    if ratio is not None:
        return _says_ratio(ratio, "" if not pairs[0][1].ndim else " in each entry")
    shift = _common([_shift(v, w) for v, w in pairs])
    if shift is not None and len(pairs) * pairs[0][1].size > 1:
        way = "too large" if shift > 0 else "too small"
        return f"is {way} by the same {page.figure_text(abs(shift))} everywhere."
    return ""


def _factor_of_a_size(pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    """Look for a factor that is the size of an input: a mean instead of a sum, or a sum instead."""
    ratios = [_ratio(v, w) for v, w in pairs]
    if any(ratio is None for ratio in ratios):
        return ""
    for i, name in enumerate(names):
        for axis in range(3):
            sizes = [_size(arguments, i, axis) for arguments in inputs]
            if None in sizes:
                continue
            what = f"the size of axis {axis} of `{name}` (here {sizes[0]})"
            if _all_close(ratios, [1 / s for s in sizes]):
                return f"is too small by a factor, {what}: a mean where a sum belongs?"
            if _all_close(ratios, sizes):
                return f"is too large by a factor, {what}: a sum where a mean belongs?"
            if _all_close(ratios, [s**-0.5 for s in sizes]):
                return f"is too small by the square root of {what}."
            if _all_close(ratios, [s**0.5 for s in sizes]):
                return f"is too large by the square root of {what}."
    return ""


def _first_difference(pairs: list[Pair]) -> str:
    right = [_fits(v, w) for v, w in pairs]
    value, wanted = pairs[right.index(False) if False in right else 0]
    of = f"{sum(right)} of {len(right)} inputs"
    some = f"is right for {of}; for another it " if any(right) else ""
    off = ~np.isclose(value, wanted, rtol=CLOSE, atol=0, equal_nan=True)
    if not off.any():
        off = value != wanted
    place = tuple(int(i) for i in np.argwhere(off)[0])
    entries = f" ({int(off.sum())} of {off.size} entries differ)" if off.size > 1 else ""
    return (
        f"{some}is {page.figure_text(float(value[place]))}{_at(place)}, where the reference has "
        f"{page.figure_text(float(wanted[place]))}{entries}."
    )


def _at(place: tuple[int, ...]) -> str:
    return f" at {list(place)}" if place else ""


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


def _says_ratio(ratio: float, where: str) -> str:
    if math.isclose(ratio, math.log(10), rel_tol=CLOSE):
        return "is 2.303 times too large, and 2.303 is ln 10: should it be `log10`?"
    size = abs(ratio) if abs(ratio) >= 1 else 1 / abs(ratio)
    way = "large" if abs(ratio) >= 1 else "small"
    sign = ", and has the wrong sign" if ratio < 0 else ""
    if size < 1.01:
        return f"is {ratio:.6g} of what it should be{where}: near, and more than rounding."
    return f"is {float(f'{size:.3g}'):g} times too {way}{where}{sign}."


def _is_always_the_same(pairs: list[Pair]) -> bool:
    """Say whether all answers are one, though the references differ."""
    (first, wanted), *rest = pairs
    return any(not _fits(w, wanted) for _, w in rest) and all(_fits(v, first) for v, _ in rest)


def _ratio(value: NDArray, wanted: NDArray) -> float | None:
    """Return the one factor between two arrays, or None where there is none."""
    used = wanted != 0
    if not used.any() or value[~used].any():
        return None
    ratios = value[used] / wanted[used]
    middle = float(np.median(ratios))
    return middle if middle and _fits(value, middle * wanted) else None


def _shift(value: NDArray, wanted: NDArray) -> float | None:
    middle = float(np.median(value - wanted))
    return middle if _fits(value, wanted + middle) else None


def _common(numbers: Sequence[float | None]) -> float | None:
    """Return the number that all are, or None."""
    first = numbers[0]
    if first is None or None in numbers:
        return None
    return first if _all_close(numbers, [first] * len(numbers)) else None


def _all_close(numbers: Sequence[float | None], others: Sequence[float]) -> bool:
    return bool(np.allclose(np.array(numbers, float), np.array(others, float), rtol=CLOSE, atol=0))


def _size(arguments: tuple, index: int, axis: int) -> int | None:
    if index >= len(arguments):
        return None
    argument = arguments[index]
    if isinstance(argument, list) and axis == 0:
        return len(argument)
    if isinstance(argument, np.ndarray) and axis < argument.ndim:
        return argument.shape[axis]
    return None


def _fits(value: NDArray, wanted: NDArray) -> bool:
    return _distance(value, wanted, each_entry=False) <= CLOSE


def _distance(value: NDArray, wanted: NDArray, each_entry: bool) -> float:
    """Return the largest difference relative to `wanted`; infinity where they do not match."""
    if value.shape != wanted.shape:
        return math.inf
    if not value.size:
        return 0.0
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
    scale = np.where(scale > 0, scale, 1.0)
    return float((apart / scale).max())


def _part(value: Any, name: str) -> NDArray:
    found = parts(value)
    return np.array(np.nan) if found is None or name not in found else found[name]


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
