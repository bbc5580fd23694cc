"""Clipping: what is cut off when a number is too large.

A gradient G that is too long is shortened before the step. With c for `limit` there are three ways:

    by value         entry by entry, g ← min(max(g, −c), c)                     (1)
    by norm          G ← G · c / max(‖G‖, c), each array by itself              (2)
    by global norm   the same with N = √(Σ ‖G‖²) over all arrays, for all       (3)

Only (3) keeps the direction of the step: (2) keeps that of each array, and changes how long one is
beside the other; (1) turns every gradient that it touches, but along the axes. (3) is the one of
Pascanu, Mikolov & Bengio (2013, algorithm 1), (1) that of Mikolov (2012). In Keras they are the
optimisers' `clipvalue`, `clipnorm` and `global_clipnorm`.

Infinity and NaN are not refused here, and no way of clipping repairs them. As in TensorFlow:

    an entry is     by value             by norm                         by global norm
    ±∞              ±c, as if large      NaN, the array's others 0       NaN everywhere
    NaN             NaN there alone      NaN in the whole array          NaN everywhere

A finite gradient whose squares overflow, in float32 from entries of 1.8e19 on, counts as infinite:
by norm it becomes 0, by global norm NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import as_array, positive_number, shown

__all__ = ["clip_by_global_norm", "clip_by_norm", "clip_by_value", "clip_weights", "global_norm"]

Array = NDArray[Any]


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


@overload
def clip_by_value(gradient: Array, limit: float) -> Array: ...
@overload
def clip_by_value(gradient: Sequence[Array], limit: float) -> list[Array]: ...
def clip_by_value(gradient: Array | Sequence[Array], limit: float) -> Array | list[Array]:
    """Return the gradient with every entry moved into [−limit, limit]: equation (1).

    Parameters
    ----------
    gradient : array, or list of arrays
        Left as it is; the result is new, a list for a list. float16 and float32 stay what they
        are. Infinity becomes ±limit, NaN stays NaN.
    limit : float
        c, above 0.

    Raises
    ------
    TypeError, ValueError
        If `gradient` holds no numbers, or `limit` is not above 0.
    """
    limit = positive_number("limit", limit)
    return _each(lambda G: np.clip(G, -limit, limit), gradient)


@overload
def clip_by_norm(gradient: Array, limit: float) -> Array: ...
@overload
def clip_by_norm(gradient: Sequence[Array], limit: float) -> list[Array]: ...
def clip_by_norm(gradient: Array | Sequence[Array], limit: float) -> Array | list[Array]:
    """Return each array shortened to the norm `limit` if it is longer: equation (2).

    Parameters
    ----------
    gradient : array, or list of arrays
        Each array has a norm of its own, over all its entries. Left as it is; the result is new,
        a list for a list. What becomes of infinity and NaN the module says.
    limit : float
        c, above 0.

    Raises
    ------
    TypeError, ValueError
        If `gradient` holds no numbers, or `limit` is not above 0.
    """
    limit = positive_number("limit", limit)

    def shortened(G: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):  # inf / inf
            norm = np.maximum(np.sqrt(np.sum(G * G)), limit)
            product = G * limit  # which a half-precision number may not hold
            return product / norm if np.isfinite(product).all() else G * (limit / norm)

    return _each(shortened, gradient)


def clip_by_global_norm(gradients: Sequence[Array], limit: float) -> tuple[list[Array], float]:
    """Return all arrays shortened by one factor, and the norm N that they had: equation (3).

    Parameters
    ----------
    gradients : list of arrays
        All gradients of one step, such as those of kernel, recurrent kernel and bias. Left as they
        are.
    limit : float
        c, above 0.

    Returns
    -------
    clipped : list of arrays
        The gradients times c / max(N, c); all NaN where N is infinite or NaN.
    norm : float
        N, before clipping.

    Raises
    ------
    TypeError, ValueError
        If `gradients` is no list of arrays of numbers, or `limit` is not above 0.
    """
    limit = positive_number("limit", limit)
    norm = global_norm(gradients)
    factor = limit / max(norm, limit) if np.isfinite(norm) else np.nan
    return [factor * _as_gradient(f"gradients[{i}]", G) for i, G in enumerate(gradients)], norm


def global_norm(gradients: Sequence[Array]) -> float:
    """Return N = √(Σ ‖G‖²), the length of all arrays taken as one long vector.

    Raises
    ------
    TypeError, ValueError
        If `gradients` is no list of arrays of numbers.
    """
    if not isinstance(gradients, (list, tuple)):
        raise TypeError(f"`gradients` is {shown(gradients)}; it takes a list of arrays.")
    if not gradients:
        raise ValueError(f"`gradients` is {shown(gradients)}; it takes one array or more.")
    arrays = [_as_gradient(f"gradients[{i}]", G) for i, G in enumerate(gradients)]
    with np.errstate(over="ignore"):
        return float(np.sqrt(sum(np.sum(G * G) for G in arrays)))


def _each(clip: Callable[[Array], Array], gradient: Array | Sequence[Array]) -> Any:
    """Clip one array, or each of a list."""
    if not isinstance(gradient, (list, tuple)):
        return clip(_as_gradient("gradient", gradient))
    if not gradient:
        raise ValueError(f"`gradient` is {shown(gradient)}; it takes one array or more.")
    return [clip(_as_gradient(f"gradient[{i}]", G)) for i, G in enumerate(gradient)]


def _as_gradient(name: str, value: object) -> Array:
    return as_array(name, value, finite=False, dtype=None)
