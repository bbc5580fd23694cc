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
    if wanted is None or got is None or list(wanted) != list(got):
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


def with_inputs(arguments: Sequence[Any], names: Sequence[str]) -> str:
    """Return " with `x` of shape (3, 4) and `depth` = 5"."""
    told = []
    for name, argument in zip(names, arguments, strict=False):
        if isinstance(argument, np.ndarray) and argument.ndim:
            told.append(f"`{name}` of shape {argument.shape}")
        elif isinstance(argument, int | float | str | np.generic):
            told.append(f"`{name}` = {page.figure_text(argument)}")
        elif isinstance(argument, list | tuple):
            told.append(f"`{name}` a {type(argument).__name__} of {len(argument)}")
    return f" with {page.listed(told)}" if told else ""


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
    for arguments, value, reference in trials:
        wanted, got = parts(reference), parts(value)
        if isinstance(reference, str) or wanted is None:
            return f"The answer is {what_it_is(value)}, and that is not it."
        if got is None:
            return f"The answer is {what_it_is(value)}; it needs to be {what_it_is(reference)}."
        if list(wanted) != list(got):
            return (
                f"The answer is {what_it_is(value)}; it needs to be {what_it_is(reference)}"
                f"{with_inputs(arguments, names)}."
            )
    wrong = [
        name for name in parts(trials[0][2]) or ()
        if any(_distance(_part(v, name), _part(r, name), each_entry) > CLOSE for _, v, r in trials)
    ]  # fmt: skip
    name = (wrong or [""])[0]
    pairs = [(_part(value, name), _part(reference, name)) for _, value, reference in trials]
    subject = f"`{name}`" if name and " " not in name else name.capitalize() or "The answer"
    others = len(parts(trials[0][2]) or ()) - len(wrong)
    rest = f" ({others} of {others + len(wrong)} results are right.)" if others and name else ""
    return _pattern(subject, pairs, [arguments for arguments, _, _ in trials], names) + rest


def _pattern(subject: str, pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    """Return the first pattern that fits every trial."""
    for look in (_wrong_shape, _not_finite, _flat_patterns, _sizes):
        sentence = look(pairs, inputs, names)
        if sentence:
            return f"{subject} {sentence}"
    return f"{subject} {_first_difference(pairs)}"


def _wrong_shape(pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    for (value, wanted), arguments in zip(pairs, inputs, strict=True):
        if value.shape == wanted.shape:
            continue
        given = with_inputs(arguments, names)
        if value.ndim == 2 and all(_fits(v.T, w) for v, w in pairs):
            return f"is transposed: it has shape {value.shape} and needs {wanted.shape}{given}."
        if not value.ndim:
            return (
                f"is one number; it needs shape {wanted.shape}{given}. Was a sum or a mean taken "
                "over everything?"
            )
        if not wanted.ndim:
            return f"has shape {value.shape}; one number is asked for{given}."
        if all(v.size == w.size and _fits(v.reshape(w.shape), w) for v, w in pairs):
            return f"has the right entries in shape {value.shape}; it needs {wanted.shape}{given}."
        turned = ": is it transposed?" if value.shape == wanted.shape[::-1] else "."
        return f"has shape {value.shape}; it needs shape {wanted.shape}{given}{turned}"
    return ""


def _not_finite(pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    for (value, wanted), arguments in zip(pairs, inputs, strict=True):
        bad = np.argwhere(~np.isfinite(value) & np.isfinite(wanted))
        if len(bad):
            place = tuple(int(i) for i in bad[0])
            what = "NaN" if np.isnan(value[place]) else "infinity"
            at = f" at {list(place)}" if place else ""
            return (
                f"is {what}{at} where the reference has {page.figure_text(wanted[place])}"
                f"{with_inputs(arguments, names)}: is something divided by 0, or too large?"
            )
    return ""


def _flat_patterns(pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    """Patterns that need no more than the entries."""
    if not any(v.any() for v, _ in pairs):
        return "is all zeros: is something overwritten where it should be added?"
    if _constant_answer(pairs):
        return "is the same whatever goes in: is a number written down that should be computed?"
    with np.errstate(all="ignore"):
        for transform, sentence in _TRANSFORMS:
            if all(_fits(v, transform(w)) for v, w in pairs):
                return sentence
    ratio = _common([_ratio(v, w) for v, w in pairs])
    if ratio is not None:
        return _says_ratio(ratio) + "."
    shift = _common([_shift(v, w) for v, w in pairs])
    if shift is not None:
        way = "too large" if shift > 0 else "too small"
        return f"is {way} by the same {page.figure_text(abs(shift))} everywhere."
    return ""


def _sizes(pairs: list[Pair], inputs: list[tuple], names: Sequence[str]) -> str:
    """Look for a factor that is the size of an input: a mean instead of a sum, or a sum instead."""
    ratios = [_ratio(v, w) for v, w in pairs]
    if any(ratio is None for ratio in ratios):
        return ""
    for i, name in enumerate(names):
        for axis, noun in enumerate(("rows", "columns", "entries along its last axis")):
            sizes = [_size(arguments, i, axis) for arguments in inputs]
            if None in sizes:
                continue
            what = f"the number of {noun} of `{name}` (here {sizes[0]})"
            if _all_close(ratios, [1 / s for s in sizes]):
                return f"is too small by a factor that is {what}: a mean where a sum belongs?"
            if _all_close(ratios, sizes):
                return f"is too large by a factor that is {what}: a sum where a mean belongs?"
            if _all_close(ratios, [s**-0.5 for s in sizes]):
                return f"is too small by the square root of {what}."
            if _all_close(ratios, [s**0.5 for s in sizes]):
                return f"is too large by the square root of {what}."
    return ""


def _first_difference(pairs: list[Pair]) -> str:
    right = [_fits(v, w) for v, w in pairs]
    value, wanted = pairs[right.index(False) if False in right else 0]
    some = f"is right on {sum(right)} of {len(right)} inputs; elsewhere it " if any(right) else ""
    scale = float(np.abs(wanted[np.isfinite(wanted)]).max(initial=0)) or 1.0
    off = ~np.isclose(value, wanted, rtol=CLOSE, atol=CLOSE * scale * 1e-3, equal_nan=True)
    if not off.any():
        off = value != wanted
    place = tuple(int(i) for i in np.argwhere(off)[0])
    entries = f" ({int(off.sum())} of {off.size} entries differ)" if off.size > 1 else ""
    at = f" at {list(place)}" if place else ""
    return (
        f"{some}is {page.figure_text(value[place])}{at} where the reference has "
        f"{page.figure_text(wanted[place])}{entries}."
    )


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


def _says_ratio(ratio: float) -> str:
    if math.isclose(ratio, math.log(10), rel_tol=CLOSE):
        return "is 2.303 times too large, and 2.303 is ln 10: `log10` where there is `log`?"[:-1]
    size = abs(ratio) if abs(ratio) >= 1 else 1 / abs(ratio)
    way = "large" if abs(ratio) >= 1 else "small"
    sign = ", and has the wrong sign" if ratio < 0 else ""
    return f"is {page.figure_text(float(f'{size:.4g}'))} times too {way} in each entry{sign}"


def _constant_answer(pairs: list[Pair]) -> bool:
    (first, wanted), *rest = pairs
    return bool(rest) and all(
        v.shape == first.shape and _fits(v, first) for v, _ in rest
    ) and not all(w.shape == wanted.shape and _fits(w, wanted) for _, w in rest)  # fmt: skip


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
