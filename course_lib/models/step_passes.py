"""The backward pass through time, and what has to be done where a gradient is still too small.

The pass begins with the loss times 2^k. Where an entry comes out as 0, or nearly, it is repeated
and rescaled as it goes (`course_lib.models.rescaling`). Both are exact, and undone here in
float64, so what is 0 then is 0 at every scale, as a rule. What is left are gradients that fall out
of the format between two layers: there one more pass computes in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.models.backward import FORMATS
from course_lib.models.measurements import Measured, Place, Plan
from course_lib.models.rescaling import RESCALING

__all__ = ["StepGradient", "all_passes", "steps_left"]

Array = NDArray[np.float64]
FIRST_EXPONENT = 60  # the loss is multiplied by 2^this, until more is known
MOST_ROOM = 120
ROOM_WORTH_A_PASS = 16


@dataclass(eq=False)
class StepGradient:
    """What all passes together showed at one place.

    Attributes
    ----------
    place : Place
    mask : ndarray of bool, shape (batch, time), or None
    parts : list of ndarray, each of shape (batch, time, units)
        The gradient by h, and by the second state where there is one; NaN at masked steps.
    sure : bool
        Whether a 0 is one at every scale.
    """

    place: Place
    mask: NDArray[np.bool_] | None
    parts: list[Array]
    sure: bool = True


def all_passes(
    plan: Plan, measure: Callable[[int, bool], Measured], in_float64: Callable[[int], Any]
) -> tuple[float, list[StepGradient], int]:
    """Return the loss, the gradient at every place, and the number of passes.

    Parameters
    ----------
    plan : Plan
        How to begin; it is brought up to date for the next time.
    measure : callable
        One pass, with the loss times two to the power of its first argument; the second says
        whether it is rescaled as it goes.
    in_float64 : callable
        One rescaled pass in float64, or None where the model cannot compute in it.
    """
    passes = 0

    def one(exponent: int, rescaled: bool) -> Measured:
        nonlocal passes
        passes += 1
        return measure(exponent, rescaled)

    best = one(FIRST_EXPONENT if plan.exponent is None else plan.exponent, plan.rescaled)
    if best.exponent and not best.is_finite:
        best = one(0, plan.rescaled)
    if not plan.rescaled and best.is_finite and _is_faint(best):
        if _room(best) > best.exponent + ROOM_WORTH_A_PASS:
            best = one(_room(best), False)
        if not best.is_finite or _is_faint(best):
            plan.rescaled = True
            best = one(FIRST_EXPONENT, True)
            best = best if best.is_finite else one(0, True)
    plan.exponent = _room(best)
    found = [_gradient(best, i) for i in range(len(best.places))]
    doubtful = _doubtful(found, best.exponent)
    if doubtful and best.is_finite:
        wide = in_float64(FIRST_EXPONENT)
        passes += wide is not None
        for i in doubtful:
            found[i].sure = wide is not None and wide.is_finite
            if found[i].sure:
                _take(found[i], _gradient(wide, i), best.exponent)
    return best.loss, found, passes


def steps_left(
    mask: NDArray[np.bool_] | None, shape: tuple[int, int], backwards: bool
) -> NDArray[np.int_]:
    """Return how many steps each sample still reads after each step; −1 at masked steps."""
    read = np.ones(shape, bool) if mask is None else mask
    order = slice(None) if backwards else slice(None, None, -1)
    after = np.cumsum(read[:, order], axis=1)[:, order] - 1
    return np.where(read, after, -1)


def _is_faint(measured: Measured) -> bool:
    """Whether an entry is 0, or so small that digits may be lost, where a gradient could be."""
    for place, parts, mask in zip(measured.places, measured.gradients, measured.masks, strict=True):
        format = FORMATS[place.dtype]
        limit = math.ldexp(1.0, format.smallest)
        for i, part in enumerate(parts):
            sizes = np.abs(part)
            small = (sizes < limit).any(axis=tuple(range(2, part.ndim)))
            small |= sizes.max(axis=tuple(range(2, part.ndim))) < limit * 2.0**format.exact
            if i:  # c does not act at the last step but through h
                small[steps_left(mask, small.shape, place.backwards) == 0] = False
            if place.connected and (small if mask is None else small & mask).any():
                return True
    return False


def _room(measured: Measured) -> int:
    """Return the k for which the largest gradient times 2^k is well below overflow."""
    rooms = [MOST_ROOM if measured.is_finite else 0]
    for place, largest in zip(measured.places, measured.largest, strict=True):
        format = FORMATS[place.dtype]
        if 0 < largest < math.inf:
            top = math.frexp(largest)[1] - measured.exponent
            rooms.append(format.largest - format.reserve - top)
    return max(0, min(rooms))


def _gradient(measured: Measured, i: int) -> StepGradient:
    """Return the gradient at place i in float64, with every scale undone."""
    place, mask, counts = measured.places[i], measured.masks[i], measured.counts[i]
    parts = []
    for part in measured.gradients[i]:
        gradient = np.multiply(part, math.ldexp(1.0, -measured.exponent), dtype=np.float64)
        if counts is not None:
            shape = (*counts.shape[:2], *[1] * (part.ndim - 2))
            quanta = RESCALING[place.dtype].quantum * counts.reshape(shape).astype(int)
            gradient = _times_power_of_two(gradient, -quanta)
        if mask is not None:
            gradient[~mask] = np.nan
        parts.append(gradient)
    return StepGradient(place, mask, parts)


def _times_power_of_two(values: Array, exponents: NDArray[np.int_]) -> Array:
    """Return values · 2^exponents; in two steps, for 2^−1500 is no number of its own."""
    half = exponents // 2
    values *= np.ldexp(1.0, half)
    values *= np.ldexp(1.0, exponents - half)
    return values


def _doubtful(found: list[StepGradient], exponent: int) -> list[int]:
    """Return the places where something may have been lost on the way from another layer.

    There a gradient entered that was too small for the format: nothing arrives at all, or another
    layer handed on what is out of range.
    """
    doubtful = []
    for i, gradient in enumerate(found):
        others = [other for j, other in enumerate(found) if j != i]
        if not gradient.place.connected:
            continue
        if not (np.abs(gradient.parts[0]) > 0).any() or any(
            _is_out_of_range(other, exponent) for other in others
        ):
            doubtful.append(i)
    return doubtful


def _is_out_of_range(gradient: StepGradient, exponent: int) -> bool:
    format = FORMATS[gradient.place.dtype]
    sizes = np.abs(gradient.parts[0])
    limit = math.ldexp(1.0, format.smallest + format.exact - exponent)
    return bool(((sizes < limit) & (sizes > 0)).any())


def _take(gradient: StepGradient, wide: StepGradient, exponent: int) -> None:
    """Take over from a pass in float64 what was too small in the first one."""
    format = FORMATS[gradient.place.dtype]
    limit = math.ldexp(1.0, format.smallest + format.exact - exponent)
    for part, better in zip(gradient.parts, wide.parts, strict=True):
        np.copyto(part, better, where=np.abs(part) < limit)
