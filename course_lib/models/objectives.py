"""The number that is differentiated: the loss of a batch, as training would compute it.

Also the sentences for a model, a batch and a loss that do not fit together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from course_lib.checks import shown

__all__ = ["FlowError", "counted", "function_of", "in_one_sentence", "objective_of"]


class FlowError(ValueError):
    """A model, a batch and a loss do not fit together; the message is one sentence."""


@contextmanager
def in_one_sentence(sentence: str) -> Iterator[None]:
    """Turn what Keras or TensorFlow says of shapes that do not fit into one sentence."""
    try:
        yield
    except FlowError:
        raise
    except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
        raise FlowError(f"{sentence}: {_reason(error)}.") from error


def objective_of(model: keras.Model, loss: Any, batch: Any) -> Callable[[Any], tf.Tensor]:
    """Return the function from the model's outputs to the scalar that training would minimise.

    Parameters
    ----------
    model : keras.Model
    loss : str, keras.losses.Loss, function, or a list or dict of them; or None
        None stands for the loss that the model is compiled with.
    batch : Batch

    Raises
    ------
    TypeError, ValueError
        If `loss` is no loss. What the returned function raises is a `FlowError`.
    """
    y, weight = batch.y, batch.sample_weight
    own = type(model).compute_loss is not keras.Model.compute_loss
    names = list(getattr(model, "output_names", None) or ())

    def as_compiled(outputs: Any) -> tf.Tensor:
        if not own and getattr(model, "loss", None) is None and not model.losses:
            raise FlowError(
                "`model` is not compiled with a loss, so there is nothing to differentiate; "
                'pass one, such as `loss="mse"`.'
            )
        return model.compute_loss(x=batch.x, y=y, y_pred=outputs, sample_weight=weight)

    def as_given(outputs: Any) -> tf.Tensor:
        total = sum(
            _loss_object(one)(target, output, sample_weight=of_samples)
            for one, target, output, of_samples in _pairs(loss, y, outputs, weight, names)
        )
        return sum(map(keras.ops.sum, model.losses), total)

    def objective(outputs: Any) -> tf.Tensor:
        if y is None and (loss is not None or getattr(model, "loss", None) is not None):
            raise FlowError("`y` is None; the loss takes one target a sample.")
        if (loss is not None or not own) and _holds_text(y):
            raise FlowError(
                "`y` holds text; a loss takes numbers, so give each class one, as "
                "`keras.layers.StringLookup` does."
            )
        shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(outputs)]
        with in_one_sentence(
            f"the loss cannot be computed from `y`, of shape {batch.y_shapes}, and the model's "
            f"output, of shape {shapes[0] if len(shapes) == 1 else shapes}"
        ):
            value = as_compiled(outputs) if loss is None else as_given(outputs)
        if not isinstance(value, tf.Tensor) or value.shape.rank != 0:
            raise FlowError(f"the loss is {shown(value)}; it has to be one number for the batch.")
        return value

    if loss is not None:
        for one in keras.tree.flatten(loss):
            _loss_object(one)
    return objective


class _Function(keras.losses.Loss):
    """A function of (y_true, y_pred) with the batch mean and the sample weights of a Keras loss."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__(name="loss")  # Keras's own choice begins with "_", which no graph takes
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)


def _loss_object(loss: Any) -> keras.losses.Loss:
    takes = 'a name such as "mse", a `keras.losses` object or a function of (y_true, y_pred)'
    if isinstance(loss, str):
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            raise ValueError(
                f"`loss` is {shown(loss)}, which Keras does not know; it takes {takes}."
            ) from None
    if isinstance(loss, keras.losses.Loss):
        return loss
    if isinstance(loss, type) or not callable(loss):
        raise TypeError(f"`loss` is {shown(loss)}; it takes {takes}.")
    return _Function(loss)


def function_of(loss: Any) -> Any:
    """Return the function that computes a loss: an object of Keras's holds it."""
    loss = keras.losses.get(loss)
    return getattr(loss, "fn", loss)


def _holds_text(y: Any) -> bool:
    return any(getattr(part, "dtype", None) == tf.string for part in keras.tree.flatten(y))


def _pairs(
    loss: Any, y: Any, outputs: Any, weight: Any, names: list[str]
) -> list[tuple[Any, Any, Any, Any]]:
    """Return (loss, y, output, sample weights) for each output of the model.

    Dicts go by the names of the outputs; outputs in a list have those of their layers, `names`.
    """
    if isinstance(outputs, dict):
        names, parts = [*outputs], [*outputs.values()]
        if not isinstance(y, dict):
            raise _not_by_name("y", y, names)
        loss = loss if isinstance(loss, dict) else dict.fromkeys(names, loss)
    else:
        parts = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    if isinstance(weight, dict):
        weight = dict.fromkeys(names) | weight  # where there is none, all samples count alike
    losses = loss if isinstance(loss, list | tuple | dict) else [loss] * len(parts)
    weights = weight if isinstance(weight, list | tuple | dict) else [weight] * len(parts)
    targets = y if isinstance(y, list | tuple | dict) else [y]
    return list(
        zip(
            _in_order("loss", losses, names, len(parts)),
            _in_order("y", targets, names, len(parts)),
            parts,
            _in_order("sample_weight", weights, names, len(parts)),
            strict=True,
        )
    )


def _in_order(name: str, values: Any, names: list[str], outputs: int) -> list[Any]:
    """Return one value for each output, from a list or by their names."""
    if isinstance(values, dict):
        if not names:
            raise FlowError(
                f"`{name}` is {shown(values)}, and the model's outputs have no names; it takes a "
                "list, one for each output."
            )
        if set(values) != set(names):
            raise _not_by_name(name, values, names)
        return [values[output] for output in names]
    if len(values) != outputs:
        raise FlowError(
            f"`{name}` has {counted(len(values), 'part')}, the model has "
            f"{counted(outputs, 'output')}; it takes one for each."
        )
    return list(values)


def _not_by_name(name: str, value: Any, names: list[str]) -> FlowError:
    return FlowError(
        f"`{name}` is {shown(value)}; it takes a dict with the names of the model's outputs, "
        f"{', '.join(names)}."
    )


def _reason(error: Exception) -> str:
    """Return the line that says what is wrong, without Keras's frame and colours."""
    noise = r"\x1b\[\d*m|\{\{.*?\}\} ?| ?\[Op:.*"
    text = re.sub(noise, "", str(getattr(error, "message", error)))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith("Exception encountered")]
    return said[0].rstrip(" .:") if said else type(error).__name__


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return "1 layer", "3 layers"; `many` for a plural that takes more than an s."""
    return f"{number} {one if number == 1 else many or one + 's'}"
