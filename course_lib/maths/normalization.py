"""Batch norm and layer norm, forward and backward: shift and scale, so that the signal fits.

Both take numbers that belong together, subtract their mean and divide by their spread, and let
the network learn a new spread and mean, `scale` and `offset` (γ and β in the papers). Batch norm
compares the samples of a batch, one unit at a time (Ioffe & Szegedy 2015, algorithm 1); layer norm
compares the units, one sample at a time (Ba, Kiros & Hinton 2016, eq. 4). With N numbers x_i:

    μ     = (1/N) Σ x_i                                     (1)
    v     = (1/N) Σ (x_i − μ)²                              (2)    biased: N, not N − 1
    s     = √(v + ε)                                        (3)
    x̂_i   = (x_i − μ) / s                                   (4)
    y_i   = scale · x̂_i + offset                            (5)

μ and s depend on every x_i. With g_i = scale · ∂𝓛/∂y_i, what comes back is therefore

    ∂𝓛/∂x_i     = (g_i − mean(g) − x̂_i · mean(g ⊙ x̂)) / s   (6)
    ∂𝓛/∂scale   = Σ over the samples of ∂𝓛/∂y · x̂           (7)
    ∂𝓛/∂offset  = Σ over the samples of ∂𝓛/∂y               (8)

From (6), Σ ∂𝓛/∂x_i = 0, and Σ ∂𝓛/∂x_i · x̂_i = 0 but for ε: the two directions that the
normalisation takes out of x get no gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import as_array, instance, number, positive_int

__all__ = [
    "MovingAverages",
    "NormGradients",
    "NormTrace",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "layer_norm",
    "layer_norm_backward",
    "normalize",
    "normalize_backward",
    "normalize_with",
]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class NormTrace:
    """What a normalisation leaves behind for its backward pass.

    Attributes
    ----------
    normalized : array, shaped like the input
        x̂ of (4): mean 0, and variance v / (v + ε), a little below 1.
    mean, variance, inverse_stddev : arrays
        μ, v and 1/s: shape (units,) for batch norm, (..., 1) for layer norm.
    scale, offset : arrays, shape (units,)
    axis : int
        The axis that was averaged over: 0 for batch norm, −1 for layer norm.
    """

    normalized: Array
    mean: Array
    variance: Array
    inverse_stddev: Array
    scale: Array
    offset: Array
    axis: int

    @property
    def count(self) -> int:
        """N, how many numbers each mean was taken over."""
        return self.normalized.shape[self.axis]

    def __repr__(self) -> str:
        kind = "batch norm" if self.axis == 0 else "layer norm"
        return f"<NormTrace: {kind} of an array of shape {self.normalized.shape}>"


@dataclass(frozen=True, eq=False, repr=False)
class NormGradients:
    """The gradient of the loss by what went into a normalisation.

    Attributes
    ----------
    inputs : array, shaped like the input
        ∂𝓛/∂x of (6).
    scale, offset : arrays, shape (units,)
        (7) and (8).
    """

    inputs: Array
    scale: Array
    offset: Array

    def __repr__(self) -> str:
        return f"<NormGradients: ‖∂𝓛/∂x‖ = {np.linalg.norm(self.inputs):.3g}>"


class MovingAverages:
    """Mean and variance of each unit, averaged over training: what batch norm uses afterwards.

    They start at 0 and 1. Each `update` keeps `momentum` of the old average and takes 1 − momentum
    of the batch's own, as Keras does. PyTorch calls 1 − momentum "momentum" (its default 0.1 is 0.9
    here), and averages the unbiased variance, N/(N − 1) times as large: `unbiased=True`.

    Parameters
    ----------
    units : int
    momentum : float, 0 … 1
        After k updates momentum^k of the start is left: 37 % after 100 with 0.99.
    unbiased : bool
        Whether the variance is divided by N − 1, as in algorithm 2 of the paper and in PyTorch.

    Attributes
    ----------
    mean, variance : arrays, shape (units,)

    Raises
    ------
    TypeError, ValueError
        If `units` is no whole number above 0, or `momentum` no number from 0 to 1.
    """

    def __init__(self, units: int, momentum: float = 0.99, *, unbiased: bool = False) -> None:
        units = positive_int("units", units)
        self.momentum = number("momentum", momentum, minimum=0, maximum=1)
        self.unbiased = instance("unbiased", unbiased, bool, "True or False")
        self.mean, self.variance = np.zeros(units), np.ones(units)

    @property
    def units(self) -> int:
        """How many units are averaged."""
        return len(self.mean)

    def update(self, trace: NormTrace) -> None:
        """Take in the mean and variance of one more batch, from what `batch_norm` left behind.

        Raises
        ------
        TypeError, ValueError
            If `trace` is not that of a batch norm over as many units.
        """
        _of_batch_norm(trace)
        if trace.mean.shape != self.mean.shape:
            raise ValueError(
                f"`trace` has {len(trace.mean)} units; these averages take one of {self.units}."
            )
        bessel = trace.count / (trace.count - 1) if self.unbiased else 1
        self.mean = self.momentum * self.mean + (1 - self.momentum) * trace.mean
        self.variance = (
            self.momentum * self.variance + (1 - self.momentum) * bessel * trace.variance
        )

    def __repr__(self) -> str:
        return f"<MovingAverages: {self.units} units, momentum {self.momentum:g}>"


def batch_norm(
    x: ArrayLike,
    scale: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> tuple[Array, NormTrace]:
    """Normalise each unit over the batch, as in training: (1) to (5) down every column.

    Parameters
    ----------
    x : array, shape (batch, units)
        Two samples or more: one alone is its own mean, and nothing of it would be left.
    scale, offset : arrays, shape (units,), optional
        Ones and zeros unless given.
    epsilon : float, 0 or more
        ε under the root; 1e-3 in Keras, 1e-5 in PyTorch.

    Returns
    -------
    y : array, shape (batch, units)
    trace : NormTrace
        For `batch_norm_backward` and `MovingAverages.update`.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or has the wrong shape, the batch has one sample only, or
        `epsilon` is negative, or 0 where a column is constant.
    """
    takes = "a matrix of shape (batch, units) with 2 samples or more, to compare them"
    x = _rows_to_compare(x, ndim=2, axis=0, takes=takes)
    scale, offset = _scale_and_offset(scale, offset, x.shape[1])
    return _checked(x, 0, scale, offset, epsilon)


def batch_norm_backward(trace: NormTrace, d_y: ArrayLike) -> NormGradients:
    """Return the gradients (6) to (8) by the input, scale and offset of a batch norm.

    Parameters
    ----------
    trace : NormTrace
        What `batch_norm` returned.
    d_y : array, shape (batch, units)
        ∂𝓛/∂y.

    Raises
    ------
    TypeError, ValueError
        If `trace` is not that of a batch norm, or `d_y` is not finite or not shaped like y.
    """
    _of_batch_norm(trace)
    return normalize_backward(trace, _shaped_like_y(trace, d_y))


def batch_norm_inference(
    x: ArrayLike,
    averages: MovingAverages,
    scale: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> Array:
    """Normalise each unit with the averages of training: no sample depends on the others.

    y = scale · (x − averages.mean) / √(averages.variance + ε) + offset, which is linear in x
    (Ioffe & Szegedy 2015, algorithm 2).

    Parameters
    ----------
    x : array, shape (batch, units)
        One sample is enough.
    averages : MovingAverages
    scale, offset, epsilon
        As for `batch_norm`.

    Returns
    -------
    array, shape (batch, units)

    Raises
    ------
    TypeError, ValueError
        If an array is not finite, or has the wrong shape, or `epsilon` is negative.
    """
    instance("averages", averages, MovingAverages, "the MovingAverages of the training")
    takes = f"a matrix of shape (batch, {averages.units}), as many units as `averages`"
    x = as_array("x", x, ndim=2, takes=takes)
    if x.shape[1] != averages.units:
        raise ValueError(f"`x` has shape {x.shape}; it takes {takes}.")
    scale, offset = _scale_and_offset(scale, offset, averages.units)
    epsilon = number("epsilon", epsilon, minimum=0)
    if not (averages.variance + epsilon).all():
        raise ValueError("`epsilon` is 0; where a moving variance is 0 it takes one above 0.")
    return normalize_with(averages, x, scale, offset, epsilon)


def layer_norm(
    x: ArrayLike,
    scale: ArrayLike | None = None,
    offset: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
) -> tuple[Array, NormTrace]:
    """Normalise each sample, or each time step, over its units: (1) to (5) along the last axis.

    It is the same in training and afterwards, and for a batch of one.

    Parameters
    ----------
    x : array, shape (..., units)
        (batch, units), (batch, time, units), or any number of axes before the last.
    scale, offset : arrays, shape (units,), optional
        Ones and zeros unless given.
    epsilon : float, 0 or more
        ε under the root; 1e-3 in Keras, 1e-5 in PyTorch.

    Returns
    -------
    y : array, shaped like `x`
    trace : NormTrace
        For `layer_norm_backward`.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or has the wrong shape, there is one unit only, or `epsilon` is
        negative, or 0 where all units of a sample agree.
    """
    takes = "an array of shape (..., units) with 2 units or more, to compare them"
    x = _rows_to_compare(x, ndim=None, axis=-1, takes=takes)
    scale, offset = _scale_and_offset(scale, offset, x.shape[-1])
    return _checked(x, -1, scale, offset, epsilon)


def layer_norm_backward(trace: NormTrace, d_y: ArrayLike) -> NormGradients:
    """Return the gradients (6) to (8) by the input, scale and offset of a layer norm.

    Parameters
    ----------
    trace : NormTrace
        What `layer_norm` returned.
    d_y : array, shaped like y
        ∂𝓛/∂y.

    Raises
    ------
    TypeError, ValueError
        If `trace` is not that of a layer norm, or `d_y` is not finite or not shaped like y.
    """
    instance("trace", trace, NormTrace, "the NormTrace that `layer_norm` returns")
    if trace.axis != -1:
        raise ValueError("`trace` is that of a batch norm; it takes what `layer_norm` returned.")
    return normalize_backward(trace, _shaped_like_y(trace, d_y))


def normalize(
    x: Array, axis: int, scale: Array, offset: Array, epsilon: float
) -> tuple[Array, NormTrace]:
    """Equations (1) to (5) without checks, for loops that train.

    `axis` 0 is batch norm, −1 layer norm.
    """
    keep = axis == -1  # so that a mean stands beside the sample that it is of
    mean = x.mean(axis, keepdims=keep)  # (1)
    centered = x - mean
    variance = (centered**2).mean(axis, keepdims=keep)  # (2)
    inverse_stddev = 1 / np.sqrt(variance + epsilon)  # (3)
    normalized = centered * inverse_stddev  # (4)
    y = scale * normalized + offset  # (5)
    return y, NormTrace(normalized, mean, variance, inverse_stddev, scale, offset, axis)


def normalize_backward(trace: NormTrace, d_y: Array) -> NormGradients:
    """Equations (6) to (8) without checks, for loops that train."""
    x_hat, axis, keep = trace.normalized, trace.axis, trace.axis == -1
    g = trace.scale * d_y
    g_mean = g.mean(axis, keepdims=keep)
    g_x_hat_mean = (g * x_hat).mean(axis, keepdims=keep)
    d_x = (g - g_mean - x_hat * g_x_hat_mean) * trace.inverse_stddev  # (6)
    samples = tuple(range(d_y.ndim - 1))
    d_scale, d_offset = (d_y * x_hat).sum(samples), d_y.sum(samples)  # (7), (8)
    return NormGradients(d_x, d_scale, d_offset)


def normalize_with(
    averages: MovingAverages, x: Array, scale: Array, offset: Array, epsilon: float
) -> Array:
    """`batch_norm_inference` without checks, for runs that may have diverged."""
    s = np.sqrt(averages.variance + epsilon)
    return scale * (x - averages.mean) / s + offset


def _rows_to_compare(x: ArrayLike, *, ndim: int | None, axis: int, takes: str) -> Array:
    x = as_array("x", x, ndim=ndim, takes=takes)
    if x.ndim == 0 or x.shape[axis] < 2:
        raise ValueError(f"`x` has shape {x.shape}; it takes {takes}.")
    return x


def _scale_and_offset(
    scale: ArrayLike | None, offset: ArrayLike | None, units: int
) -> tuple[Array, Array]:
    takes = f"a vector of {units}, one number for each unit"
    return (
        np.ones(units) if scale is None else as_array("scale", scale, shape=(units,), takes=takes),
        np.zeros(units)
        if offset is None
        else as_array("offset", offset, shape=(units,), takes=takes),
    )


def _checked(
    x: Array, axis: int, scale: Array, offset: Array, epsilon: float
) -> tuple[Array, NormTrace]:
    """Normalise, and refuse a spread that is 0 or beyond the range of float64."""
    epsilon = number("epsilon", epsilon, minimum=0)
    with np.errstate(all="ignore"):
        y, trace = normalize(x, axis, scale, offset, epsilon)
    if not np.isfinite(trace.variance).all():
        raise ValueError("`x` is so large that its squares overflow; it takes numbers below 1e150.")
    # The mean of numbers that are all alike is rounded, so their v may be not quite 0.
    if epsilon == 0 and ((np.ptp(x, axis) == 0).any() or np.isinf(trace.inverse_stddev).any()):
        raise ValueError("`epsilon` is 0; where numbers are all alike it takes one above 0.")
    return y, trace


def _of_batch_norm(trace: object) -> None:
    trace = instance("trace", trace, NormTrace, "the NormTrace that `batch_norm` returns")
    if trace.axis != 0:
        raise ValueError("`trace` is that of a layer norm; it takes what `batch_norm` returned.")


def _shaped_like_y(trace: NormTrace, d_y: ArrayLike) -> Array:
    shape = trace.normalized.shape
    takes = f"one gradient for each entry of y, shape {shape}"
    return as_array("d_y", d_y, shape=shape, takes=takes)
