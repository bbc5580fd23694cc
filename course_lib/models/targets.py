"""Whether the output and the targets fit: what a loss takes, and what an activation can reach.

A wrong pair trains without an error. A cross-entropy that is given logits for probabilities cuts
them off at 0 and 1; one that is given -1 and 1 for labels has no lowest value; a sigmoid never
comes to 50.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.models.made_up import NUMBERS
from course_lib.models.objectives import function_of

__all__ = ["Misfit", "TargetScale", "misfit", "standardized", "taking_logits", "target_scale"]

BINARY = (keras.losses.binary_crossentropy, keras.losses.binary_focal_crossentropy)
CROSS_ENTROPIES = (
    *BINARY,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
)
DISTANCES = (  # losses that go by how far an answer is from its target, in the target's unit
    keras.losses.huber,
    keras.losses.log_cosh,
    keras.losses.mean_absolute_error,
    keras.losses.mean_squared_error,
)
REACH = {  # what a bounded activation can put out
    "sigmoid": (0.0, 1.0),
    "hard_sigmoid": (0.0, 1.0),
    "softmax": (0.0, 1.0),
    "tanh": (-1.0, 1.0),
    "hard_tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
}
HALF_PRECISION = 1e-2  # a softmax in 16 bits may end so far above 1


@dataclass(frozen=True)
class Misfit:
    """An output and targets that do not fit.

    Attributes
    ----------
    what : str
        "logits" where probabilities are taken; "labels" that are not 0 and 1; or "reach".
    sentence : str
    figures : dict of str to float
        The ends of what was found, and for "reach" the lowest loss that can be reached.
    """

    what: str
    sentence: str
    figures: dict[str, float]


def misfit(
    loss: Any, outputs: Any, y: Any, activation: str, objective: Callable[[Any], tf.Tensor]
) -> Misfit | None:
    """Return what does not fit, None where all does or nothing is sure.

    Parameters
    ----------
    loss : str, keras.losses.Loss or function; None, or several of them, are not judged
    outputs, y : tensor
        Several of them are not judged.
    activation : str
        Of the output layer, "" where it is not known.
    objective : function
        From outputs to the loss.
    """
    if not _is_one(loss, outputs, y):
        return None
    (loss,) = keras.tree.flatten(loss)
    function, takes_logits = function_of(loss), _takes_logits(loss)
    answers, targets = _ends(outputs), _ends(y)
    if function in CROSS_ENTROPIES and not takes_logits and _is_outside(answers, (0.0, 1.0)):
        return Misfit(
            "logits",
            f"The loss takes probabilities, and the outputs go from {answers[0]:.2g} to "
            f"{answers[1]:.2g}.",
            {"lowest output": answers[0], "highest output": answers[1]},
        )
    if function in BINARY and _is_outside(targets, (0.0, 1.0)):
        return Misfit(
            "labels",
            f"The loss takes labels from 0 to 1, and the targets go from {targets[0]:.2g} to "
            f"{targets[1]:.2g}: so it has no lowest value.",
            {"lowest target": targets[0], "highest target": targets[1]},
        )
    reach = REACH.get(activation)
    if function in NUMBERS and reach is not None and _is_outside(targets, reach):
        nearest = tf.clip_by_value(tf.cast(y, outputs.dtype), *reach)
        nearest = tf.broadcast_to(tf.reshape(nearest, _as_wide(nearest, outputs)), outputs.shape)
        lowest = float(objective(nearest))
        return Misfit(
            "reach",
            f"The targets go from {targets[0]:.2g} to {targets[1]:.2g}, and a {activation} puts "
            f"out {reach[0]:g} to {reach[1]:g}: the loss cannot come below {lowest:.3g}.",
            {"lowest target": targets[0], "highest target": targets[1], "lowest loss": lowest},
        )
    return None


@dataclass(frozen=True)
class TargetScale:
    """Where the targets of one output lie.

    Attributes
    ----------
    mean : float
        Of the column whose mean is farthest from 0.
    deviation : float
        The largest standard deviation of a column.
    """

    mean: float
    deviation: float


def target_scale(loss: Any, outputs: Any, y: Any) -> TargetScale | None:
    """Return where the targets lie, None where the loss does not go by distances from them.

    Parameters
    ----------
    loss, outputs, y
        As for `misfit`.
    """
    if not _is_one(loss, outputs, y) or function_of(*keras.tree.flatten(loss)) not in DISTANCES:
        return None
    values = np.asarray(y, dtype=np.float64)
    means, deviation = np.ravel(values.mean(_rows(values))), float(values.std(_rows(values)).max())
    return TargetScale(float(means[np.abs(means).argmax()]), deviation) if deviation else None


def standardized(values: tf.Tensor) -> tf.Tensor:
    """Return numbers with every column at mean 0 and standard deviation 1.

    A column that is always the same is 0 then. A vector is one column.
    """
    numbers = np.asarray(values, dtype=np.float64)
    axes = _rows(numbers)
    mean, deviation = numbers.mean(axes, keepdims=True), numbers.std(axes, keepdims=True)
    deviation = np.where(deviation > 0, deviation, 1.0)
    dtype = values.dtype if values.dtype.is_floating else tf.float32
    return tf.constant((numbers - mean) / deviation, dtype)


def _rows(numbers: np.ndarray) -> tuple[int, ...]:
    """Return all axes but the last, which numbers the columns."""
    return tuple(range(max(numbers.ndim - 1, 1)))


def _is_one(loss: Any, outputs: Any, y: Any) -> bool:
    """Return whether there is one loss, of one output and one tensor of numbers."""
    losses = keras.tree.flatten(loss)
    return (
        len(losses) == 1
        and losses[0] is not None
        and all(isinstance(one, tf.Tensor) and one.dtype.name != "string" for one in (outputs, y))
    )


def taking_logits(loss: Any) -> Any:
    """Return the same cross-entropy, for outputs that are logits; None if that cannot be made."""
    loss = keras.losses.get(keras.tree.flatten(loss)[0])
    if isinstance(loss, keras.losses.Loss):
        try:
            return type(loss).from_config(loss.get_config() | {"from_logits": True})
        except Exception:  # whatever the constructor of somebody's own class may raise
            return None
    return partial(loss, from_logits=True)


def _takes_logits(loss: Any) -> bool:
    """Return whether a cross-entropy takes logits; by name, or as a function, it does not."""
    if not isinstance(loss, keras.losses.Loss) or function_of(loss) not in CROSS_ENTROPIES:
        return False
    return bool(loss.get_config().get("from_logits", False))


def _ends(values: tf.Tensor) -> tuple[float, float]:
    numbers = np.asarray(values, dtype=np.float64)
    return float(numbers.min()), float(numbers.max())


def _is_outside(ends: tuple[float, float], reach: tuple[float, float]) -> bool:
    slack = HALF_PRECISION * (reach[1] - reach[0])
    return ends[0] < reach[0] - slack or ends[1] > reach[1] + slack


def _as_wide(y: tf.Tensor, outputs: tf.Tensor) -> tuple[int, ...]:
    """Return the shape of the targets with the axis that Keras adds where one number is meant."""
    shape = tuple(y.shape)
    return (*shape, 1) if len(shape) == len(outputs.shape) - 1 else shape
