"""Clipping: what is cut off when a number is too large."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import as_array, positive_number, shown

Array = NDArray[np.float64]


@overload
def clip_weights(weights: Array, limit: float) -> Array: ...
@overload
def clip_weights(weights: Sequence[Array], limit: float) -> list[Array]: ...
def clip_weights(weights: Array | Sequence[Array], limit: float) -> Array | list[Array]:
    """Return the weights with every entry moved into [−limit, limit], as WGAN does.

    Arjovsky et al. (2017) do so after every step, to bound how steep their network can be. For a
    matrix of shape (fan_in, fan_out) the largest singular value is then at most
    limit · √(fan_in · fan_out): a ceiling on what a layer passes, and no floor.

    Parameters
    ----------
    weights : array, or list of arrays
        Left as they are; the result is new, a list for a list.
    limit : float
        The largest absolute value that a weight may keep, above 0.

    Raises
    ------
    TypeError, ValueError
        If the weights are not finite numbers, or `limit` is not above 0.
    """
    limit = positive_number("limit", limit)
    if not isinstance(weights, (list, tuple)):
        return np.clip(as_array("weights", weights), -limit, limit)
    if not weights:
        raise ValueError(f"`weights` is {shown(weights)}; it takes one array or more.")
    return [
        np.clip(as_array(f"weights[{layer}]", W), -limit, limit) for layer, W in enumerate(weights)
    ]
