r"""Central differences: the derivative as its definition has it, to question every other one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from course_lib.checks import as_array, positive_number, shown

__all__ = ["central_differences"]


def central_differences(
    function: Callable[..., float],
    point: np.ndarray | Sequence[np.ndarray],
    *,
    step: float = 1e-5,
) -> np.ndarray | list[np.ndarray]:
    r"""Gradient of a scalar function, one entry at a time.

    ∂f/∂x_i ≈ (f(x + step·e_i) − f(x − step·e_i)) / (2·step); the error is of order step² from the
    formula and of order 10⁻¹⁶/step from rounding, so 1e-5 leaves about 1e-10 for f and x near 1.

    Parameters
    ----------
    function : callable
        Takes `point`, in the form given here, and returns one number.
    point : ndarray or sequence of ndarray
        Where to differentiate. It is not changed.
    step : float
        How far to move each entry, in the units of the entry.

    Returns
    -------
    ndarray or list of ndarray, as `point`, in float64

    Raises
    ------
    TypeError, ValueError
        If `point` holds anything but finite numbers, `step` is not positive, or `function` returns
        anything but one number.
    """
    positive_number("step", step)
    single = isinstance(point, np.ndarray)
    if not single and not isinstance(point, list | tuple):
        raise TypeError(f"`point` is {shown(point)}; it takes an array, or a list of arrays.")
    parts = {"point": point} if single else {f"point[{i}]": one for i, one in enumerate(point)}
    arrays = [as_array(name, part).copy() for name, part in parts.items()]

    def value() -> float:
        result = np.asarray(function(arrays[0] if single else arrays))
        if result.size != 1 or result.dtype.kind not in "biuf":
            what = f"an array of shape {result.shape}" if result.size != 1 else shown(result.item())
            raise ValueError(
                f"`function` returned {what}; it takes a function "
                "that returns one number, such as a loss."
            )
        return float(result.reshape(()))

    gradients = [np.empty_like(array) for array in arrays]
    for array, gradient in zip(arrays, gradients, strict=True):
        for index in np.ndindex(array.shape):
            here = array[index]
            array[index] = here + step
            above = value()
            array[index] = here - step
            gradient[index] = (above - value()) / (2 * step)
            array[index] = here
    return gradients[0] if single else gradients
