"""Which units of a layer are silent: dead ReLUs, and sigmoids or tanhs where they are flat.

Each share is a tensor, so that it can be taken from a single forward run or inside a
``tf.function``, again and again during a training.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from course_lib.models.recording import Record

__all__ = ["FLAT", "SLOPES", "activation_of", "dead_share", "saturated_share"]

RECTIFIERS = ("relu", "relu6")
FLAT = 0.02  # of its largest slope: less, and a sigmoid or tanh passes next to nothing

# The slope of a bounded activation, relative to its largest, from what the activation put out.
SLOPES: dict[str, Callable[[Any], Any]] = {
    "sigmoid": lambda h: 4 * h * (1 - h),
    "tanh": lambda h: 1 - h**2,
    "hard_sigmoid": lambda h: tf.cast((h > 0) & (h < 1), h.dtype),
    "hard_tanh": lambda h: tf.cast(tf.abs(h) < 1, h.dtype),
    "softsign": lambda h: (1 - tf.abs(h)) ** 2,
}


def dead_share(record: Record) -> tf.Tensor | None:
    """Return the share of dead units of a layer that ends with a ReLU, None for another.

    A unit, one entry of the last axis, is dead if it is 0 for every sample, and every place of a
    picture or sequence: then no gradient reaches its weights. (Lu et al. 2020, "Dying ReLU and
    initialization", section 1.)
    """
    if activation_of(record) not in RECTIFIERS:
        return None
    (h,) = record.tensors
    silent = tf.reduce_all(h == 0, axis=list(range(len(h.shape) - 1)))
    return tf.reduce_mean(tf.cast(silent, tf.float64))


def saturated_share(record: Record) -> tf.Tensor | None:
    """Return the share of saturated entries of a layer that ends with a sigmoid or a tanh.

    Saturated: the slope there is less than 2 % of the largest, beyond ±5.3 for a sigmoid and
    ±2.6 for a tanh. None for another layer.
    """
    slope = SLOPES.get(activation_of(record))
    if slope is None:
        return None
    h = tf.cast(record.tensors[0], tf.float64)
    return tf.reduce_mean(tf.cast(slope(h) < FLAT, tf.float64))


def activation_of(record: Record) -> str:
    """Return the name of the activation that a layer ends with, "" where that is not sure."""
    layer: Any = record.layer
    if len(record.tensors) != 1 or record.name.endswith("(logits)"):
        return ""
    if isinstance(layer, keras.layers.RNN) and not isinstance(layer, keras.layers.SimpleRNN):
        return ""  # what a gate lets out is not what an activation put out
    if isinstance(getattr(layer, "activation", None), keras.Layer):
        layer = layer.activation
    if isinstance(layer, keras.layers.ReLU):
        return "relu" if not float(layer.negative_slope) else ""
    return getattr(getattr(layer, "activation", None), "__name__", "")
