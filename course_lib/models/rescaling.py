"""Keep a gradient through time in the range of its number format, by powers of two.

Below 1.2e-38 TensorFlow writes a float32 as 0, and a gradient through time falls that far within
some hundred steps as a rule. The backward pass is linear, so each step may multiply what it hands
back by a power of two, exactly, if somebody counts. The count k travels with it: as the gradient
of one more state, which is 0 and which nobody reads. What stands at step t is then
∂𝓛/∂h_t · 2^(quantum · k), for each sample its own k.

Where gradient also enters by the output of a step, it comes unscaled; there the count goes back
to 0, for beside it nothing from further on is too small to see.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

__all__ = ["RESCALING", "hand_back_rescaled", "hand_back_unscaled"]


@dataclass(frozen=True)
class Rescaling:
    """When to multiply, and by what, as powers of two.

    Attributes
    ----------
    below : int
        A sample whose largest entry is below 2^below is multiplied.
    quantum : int
        By 2^quantum.
    """

    below: int
    quantum: int


RESCALING = {
    "float16": Rescaling(-6, 10),
    "bfloat16": Rescaling(-40, 64),
    "float32": Rescaling(-40, 64),
    "float64": Rescaling(-400, 512),
}


def hand_back_rescaled(
    count: tf.Tensor, output: tf.Tensor, states: list[tf.Tensor], every_step: bool
) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
    """Return count, output and states as they are; in the backward pass, rescale.

    Parameters
    ----------
    count : tensor, shape (batch, 1)
        Zeros, whose gradient is the count k.
    output : tensor, shape (batch, units)
        What the step puts out, where gradient enters unscaled.
    states : list of tensors, each of shape (batch, units…)
        What the next step reads: what comes back from there is times 2^(quantum · k).
    every_step : bool
        Whether gradient may enter at every step, and not at the last one alone, where k = 0.
    """
    rule = RESCALING[count.dtype.name]

    @tf.custom_gradient
    def identity(count: tf.Tensor, output: tf.Tensor, *states: tf.Tensor) -> Any:
        def backward(k: tf.Tensor, entering: tf.Tensor, *returning: tf.Tensor) -> Any:
            largest = _largest(returning[0])
            for more in returning[1:]:
                largest = tf.maximum(largest, _largest(more))
            small = (largest < 2.0**rule.below) & (largest > 0)
            if every_step:
                enters = _largest(entering) > 0
                small = small & ~enters
                factor = tf.where(enters, _unscaled(k, rule), 1.0)
                k = tf.where(enters, tf.zeros_like(k), k)
                factor = tf.where(small, tf.constant(2.0**rule.quantum, k.dtype), factor)
            else:
                factor = tf.where(small, tf.constant(2.0**rule.quantum, k.dtype), 1.0)
                entering = entering * _like(factor, entering)
            k = k + tf.cast(small, k.dtype)
            return (k, entering, *(one * _like(factor, one) for one in returning))

        return tuple(tf.identity(one) for one in (count, output, *states)), backward

    count, output, *states = identity(count, output, *states)
    return count, output, states


def hand_back_unscaled(
    count: tf.Tensor, tensors: list[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Return count and tensors as they are; in the backward pass, undo the scale."""
    rule = RESCALING[count.dtype.name]

    @tf.custom_gradient
    def identity(count: tf.Tensor, *tensors: tf.Tensor) -> Any:
        def backward(k: tf.Tensor, *gradients: tf.Tensor) -> Any:
            factor = _unscaled(k, rule)
            return (k, *(one * _like(factor, one) for one in gradients))

        return tuple(tf.identity(one) for one in (count, *tensors)), backward

    count, *tensors = identity(count, *tensors)
    return count, tensors


def _unscaled(k: tf.Tensor, rule: Rescaling) -> tf.Tensor:
    """Return 2^(−quantum · k), and 0 for two quanta and more, where it leaves the format."""
    one = tf.where(k < 1.5, tf.constant(2.0**-rule.quantum, k.dtype), 0.0)
    return tf.where(k < 0.5, tf.ones_like(k), one)


def _largest(tensor: tf.Tensor) -> tf.Tensor:
    """Return the largest size of an entry of each sample, shape (batch, 1)."""
    size = tf.abs(tensor)
    largest = tf.reduce_max(size, axis=list(range(1, tensor.shape.rank)), keepdims=True)
    return tf.reshape(largest, (-1, 1)) if tensor.shape.rank != 2 else largest


def _like(factor: tf.Tensor, tensor: tf.Tensor) -> tf.Tensor:
    """Return a factor of shape (batch, 1) with the rank and type of `tensor`."""
    factor = tf.cast(factor, tensor.dtype)
    rank = tensor.shape.rank
    return factor if rank == 2 else tf.reshape(factor, [-1] + [1] * (rank - 1))
