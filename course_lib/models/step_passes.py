"""Further backward passes for gradients by a state that the number format wrote as 0.

As for layers (`course_lib.models.backward`): the backward pass is linear, so with the loss times
2^k every gradient is larger by exactly 2^k. One such pass shows some 30 decades more of float32.
A gradient through time often falls by hundreds; the third pass then computes in float64, down to
2e-308.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from course_lib.models.backward import FORMATS, Format
from course_lib.models.measurements import Measured, Measurement, Place

__all__ = ["StepGradient", "all_passes", "steps_left"]

Array = NDArray[np.float64]
CLEAR = 0.5  # times any number of the format it is not 0


@dataclass(eq=False)
class StepGradient:
    """What all passes together showed at one place.

    Attributes
    ----------
    parts : list of ndarray, each of shape (batch, time, units)
        The gradient by h, and by the second state where there is one; NaN at masked steps.
    left : ndarray of int, shape (batch, time)
        Steps that the sample still reads; −1 at masked steps.
    lost, unexplained : ndarray of bool, shape (batch, time, units)
        Entries of the first part that were 0 in the first pass; those that still are, and of
        which no pass could say why.
    """

    place: Place
    mask: NDArray[np.bool_] | None
    parts: list[Array]
    left: NDArray[np.int_]
    lost: NDArray[np.bool_]
    unexplained: NDArray[np.bool_]

    def count(self, entries: NDArray[np.bool_]) -> NDArray[np.int_]:
        """Count entries by step."""
        return entries.sum(axis=(0, *range(2, entries.ndim)))

    @property
    def zeros(self) -> NDArray[np.bool_]:
        """Entries of the first part that are 0."""
        return self.parts[0] == 0


def all_passes(
    measurement: Measurement,
    measure: Callable[[int], Measured],
    in_float64: Callable[[], Measured | None],
) -> tuple[float, list[StepGradient], int]:
    """Return the loss, the gradient at every place, and the number of passes.

    Parameters
    ----------
    measurement : Measurement
    measure : callable
        One pass, with the loss times two to the power of its argument.
    in_float64 : callable
        One pass in float64, or None where the model cannot compute in it.
    """
    first = measure(0)
    found = [
        _first_look(place, parts, mask)
        for place, parts, mask in zip(measurement.places, first.gradients, first.masks, strict=True)
    ]
    passes = 1
    if not any(map(_is_faint, found)) or not all(map(_is_finite, found)):
        return first.loss, found, passes
    scaled, more = _scaled_pass(measurement, measure, found)
    passes += more
    if scaled is not None:
        for gradient, parts in zip(found, scaled.gradients, strict=True):
            _take(gradient, parts, scaled.exponent, FORMATS[gradient.place.dtype])
    if any(gradient.unexplained.any() for gradient in found):
        wide = in_float64()
        if wide is not None:
            passes += 1
            for gradient, parts in zip(found, wide.gradients, strict=True):
                _take(gradient, parts, 0, FORMATS["float64"], below=_exact_above(gradient, scaled))
    return first.loss, found, passes


def steps_left(
    mask: NDArray[np.bool_] | None, shape: tuple[int, int], backwards: bool
) -> NDArray[np.int_]:
    """Return how many steps each sample still reads after each step; −1 at masked steps."""
    read = np.ones(shape, bool) if mask is None else mask
    order = slice(None) if backwards else slice(None, None, -1)
    after = np.cumsum(read[:, order], axis=1)[:, order] - 1
    return np.where(read, after, -1)


def _first_look(
    place: Place, parts: list[np.ndarray], mask: NDArray[np.bool_] | None
) -> StepGradient:
    gradients = [part.astype(np.float64) for part in parts]
    if mask is not None:
        for gradient in gradients:
            gradient[~mask] = np.nan
    batch, time = gradients[0].shape[:2]
    lost = gradients[0] == 0
    return StepGradient(
        place=place,
        mask=mask,
        parts=gradients,
        left=steps_left(mask, (batch, time), place.backwards),
        lost=lost,
        unexplained=lost.copy() if place.connected else np.zeros_like(lost),
    )


def _is_finite(gradient: StepGradient) -> bool:
    return all(np.isfinite(part[gradient.left >= 0]).all() for part in gradient.parts)


def _is_faint(gradient: StepGradient) -> bool:
    """Whether an entry is 0 though a way leads to the loss, or so small that digits are lost."""
    if not gradient.place.connected:
        return False
    format = FORMATS[gradient.place.dtype]
    for i, part in enumerate(gradient.parts):
        read = gradient.left >= (0 if i == 0 else 1)  # c_T does not act but through h_T
        if (np.abs(part[read]) < math.ldexp(1.0, format.smallest)).any():
            return True
        by_step = np.where(read, np.abs(part).max(axis=tuple(range(2, part.ndim))), np.nan)
        if (by_step < math.ldexp(1.0, format.smallest + format.exact)).any():
            return True
    return False


def _scaled_pass(
    measurement: Measurement, measure: Callable[[int], Measured], found: list[StepGradient]
) -> tuple[Measured | None, int]:
    """Repeat the pass with the largest scale at which nothing overflows, in at most four tries."""
    formats = [FORMATS[gradient.place.dtype] for gradient in found]
    rooms = [
        format.largest - format.reserve - math.frexp(largest)[1]
        for format, gradient in zip(formats, found, strict=True)
        for largest in [max(float(np.nanmax(np.abs(part), initial=0)) for part in gradient.parts)]
        if largest > 0
    ]
    highest = FORMATS[measurement.loss_dtype].largest - 1  # 2^k itself has to be a number
    exponent = min([*rooms, highest])
    for tries in range(1, 5):
        if exponent <= 0:
            return None, tries - 1
        scaled = measure(exponent)
        if all(
            np.isfinite(part[gradient.left >= 0]).all()
            for gradient, parts in zip(found, scaled.gradients, strict=True)
            for part in parts
        ):
            return scaled, tries
        exponent -= min(format.reserve for format in formats)
    return None, 4


def _exact_above(gradient: StepGradient, scaled: Measured | None) -> float:
    """Return the size above which the passes so far showed all digits."""
    format = FORMATS[gradient.place.dtype]
    exponent = 0 if scaled is None else scaled.exponent
    return math.ldexp(1.0, format.smallest + format.exact - exponent)


def _take(
    gradient: StepGradient,
    parts: list[np.ndarray],
    exponent: int,
    format: Format,
    below: float | None = None,
) -> None:
    """Take over what a further pass shows of entries that were too small, and explain zeros."""
    own = FORMATS[gradient.place.dtype]
    below = math.ldexp(1.0, own.smallest + own.exact) if below is None else below
    for part, wider in zip(gradient.parts, parts, strict=True):
        better = np.ldexp(wider.astype(np.float64), -exponent)
        np.copyto(part, better, where=np.abs(part) < below)
    gradient.unexplained &= gradient.zeros
    gradient.unexplained &= ~_is_true_zero(gradient, np.abs(parts[0]), format)


def _is_true_zero(gradient: StepGradient, sizes: np.ndarray, format: Format) -> NDArray[np.bool_]:
    """Return, entry by entry, whether a 0 of this pass has to be a true one.

    It is where a clearly larger gradient arrived at the step that the sample reads next, or where
    nothing has arrived at any later step, though something has at other places.
    """
    by_step = sizes.max(axis=tuple(range(2, sizes.ndim)))  # (batch, time)
    by_step = np.where(gradient.left >= 0, by_step, 0.0)
    batch, longest = len(by_step), int(gradient.left.max()) + 1
    aligned = np.zeros((batch, longest + 1))  # by steps left, shifted: what arrives from there
    rows, columns = np.nonzero(gradient.left >= 0)
    aligned[rows, gradient.left[rows, columns] + 1] = by_step[rows, columns]
    clear = CLEAR if format is not FORMATS["float64"] else math.ldexp(1.0, -500)
    nothing_yet = np.cumsum(aligned[:, :-1], axis=1) == 0
    is_true = (aligned[:, :-1] >= clear) | (nothing_yet & bool(aligned.any()))
    if format is FORMATS["float64"]:
        is_true |= not aligned.any()
    result = np.zeros(by_step.shape, bool)
    result[rows, columns] = is_true[rows, gradient.left[rows, columns]]
    return result.reshape(*result.shape, *[1] * (sizes.ndim - 2))
