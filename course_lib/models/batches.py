"""One batch for a Keras model: checked, with one sentence for what does not fit, and as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.checks import shown
from course_lib.models.objectives import in_one_sentence
from course_lib.models.recording import all_layers

__all__ = ["Batch", "as_tensors", "build_on", "check_batch", "has_fixed_batch"]


@dataclass(frozen=True)
class Batch:
    """A batch as tensors: each one tensor, or a list or dict of them.

    `whole_numbers` says of each part of `x` whether it came as whole numbers (token numbers, but
    also pixels), even where the model takes floats.
    """

    x: Any
    y: Any
    sample_weight: Any
    whole_numbers: tuple[bool, ...]

    @property
    def x_shapes(self) -> Any:
        """Shape of `x`, or the list of shapes of its parts."""
        return _shapes(self.x)

    @property
    def y_shapes(self) -> Any:
        """Shape of `y`, or the list of shapes of its parts."""
        return _shapes(self.y)


def check_batch(model: keras.Model, x: Any, y: Any, sample_weight: Any = None) -> Batch:
    """Return x, y and sample weights as tensors, in the types that `model` takes.

    Raises
    ------
    TypeError
        For a data set in place of one batch, and for what is not numbers.
    ValueError
        For NaN, shapes that the model does not take, and parts of different length.
    """
    x = as_tensors("x", x)
    y = None if y is None else as_tensors("y", y)
    weight = None if sample_weight is None else as_tensors("sample_weight", sample_weight)
    sizes = [
        (name, int(part.shape[0]))
        for name, value in (("x", x), ("y", y), ("sample_weight", weight))
        if value is not None
        for part in keras.tree.flatten(value)
    ]
    (_, samples), *others = sizes
    for name, size in others:
        if size != samples:
            other = "the first part of `x`" if name == "x" else "`x`"
            raise ValueError(
                f"`{name}` has {size} samples and {other} has {samples}; they take the same batch."
            )
    whole_numbers = tuple(not part.dtype.is_floating for part in keras.tree.flatten(x))
    return Batch(_as_the_model_takes(model, x), y, weight, whole_numbers)


def build_on(model: keras.Model, batch: Batch) -> None:
    """Build a model that is not yet built, by running the batch; its states stay as they begin.

    Raises
    ------
    FlowError (a ValueError)
        If the model cannot be run on the batch.
    """
    if model.built:
        return
    with in_one_sentence(f"the model cannot be run on `x`, of shape {batch.x_shapes}"):
        model(batch.x)
    for layer in all_layers(model):
        if getattr(layer, "stateful", False) and hasattr(layer, "reset_state"):
            layer.reset_state()


def has_fixed_batch(model: keras.Model) -> bool:
    """Whether a model reads batches of one size only.

    A Sequential model without `keras.Input` keeps the size of its first batch in its inputs, and
    takes others; unless a layer keeps a state for each sample.
    """
    inputs = getattr(model, "inputs", None) or []
    if all(tensor.shape[0] is None for tensor in inputs):
        return False
    is_stateful = any(getattr(layer, "stateful", False) for layer in all_layers(model))
    return is_stateful or not isinstance(model, keras.Sequential)


def as_tensors(name: str, value: Any) -> Any:
    """Turn arrays, lists of numbers and structures of arrays into tensors."""
    if isinstance(value, Mapping):
        return {key: _tensor(f"{name}[{key!r}]", part) for key, part in value.items()}
    if isinstance(value, list | tuple) and any(hasattr(part, "shape") for part in value):
        return [_tensor(f"{name}[{i}]", part) for i, part in enumerate(value)]
    return _tensor(name, value)


def _tensor(name: str, value: Any) -> tf.Tensor:
    takes = "an array of one batch, first dimension batch"
    if isinstance(value, tf.data.Dataset | keras.utils.PyDataset) or hasattr(value, "__next__"):
        raise TypeError(
            f"`{name}` is {shown(value)}; it takes one batch of it, such as `next(iter(data))`."
        )
    if value is None or isinstance(value, keras.KerasTensor):
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.")
    try:
        array = np.asarray(value)
    except Exception:
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.") from None
    is_text = array.dtype.kind in "US" or (
        array.dtype.kind == "O" and isinstance(value, tf.Tensor) and value.dtype == tf.string
    )
    # bfloat16 is of kind "V": a type that NumPy itself does not know
    if not is_text and array.dtype.kind not in "biufV":
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.")
    if array.ndim == 0 or array.size == 0:
        raise ValueError(f"`{name}` has shape {array.shape}; it takes {takes}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = int(np.count_nonzero(~np.isfinite(array)))
        raise ValueError(
            f"`{name}` holds NaN or infinity ({bad} of {array.size} entries); "
            "it takes finite numbers."
        )
    return value if isinstance(value, tf.Tensor) else tf.convert_to_tensor(array)


def _as_the_model_takes(model: keras.Model, x: Any) -> Any:
    """Cast `x` as ``model.fit`` would, before the tape looks, so that its gradient is by `x`."""
    parts = keras.tree.flatten(x)
    inputs = getattr(model, "inputs", None) or []
    if not inputs:
        kinds = [model.variable_dtype if part.dtype.is_floating else None for part in parts]
        return _cast(x, kinds)
    if len(parts) != len(inputs):
        raise ValueError(
            f"`x` has {_count(len(parts), 'part')}, the model has "
            f"{_count(len(inputs), 'input')}; it takes one array for each."
        )
    ordered = inputs
    if isinstance(x, dict):  # flattened by sorted keys; match by name where the names agree
        by_name = {tensor.name: tensor for tensor in inputs}
        if set(by_name) == set(x):
            ordered = [by_name[key] for key in sorted(x)]
    for part, tensor in zip(parts, ordered, strict=True):
        if not _fits(tuple(part.shape), tuple(tensor.shape)):
            takes = ", ".join("batch" if n is None else str(n) for n in tensor.shape)
            raise ValueError(f"`x` has shape {tuple(part.shape)}; the model takes ({takes}).")
        if part.dtype == tf.string and tensor.dtype != "string":
            raise TypeError(f"`x` holds text; the model takes {tensor.dtype}.")
    return _cast(x, [tensor.dtype for tensor in ordered])


def _cast(x: Any, dtypes: list[str | None]) -> Any:
    parts = keras.tree.flatten(x)
    cast = [
        part if dtype in (None, "string") or part.dtype == dtype else tf.cast(part, dtype)
        for part, dtype in zip(parts, dtypes, strict=True)
    ]
    return keras.tree.pack_sequence_as(x, cast)


def _fits(shape: tuple[int, ...], takes: tuple[int | None, ...]) -> bool:
    """Whether Keras takes this shape; it adds or drops a last dimension of 1 by itself.

    The batch may have any size: a Sequential model that is built by its first batch keeps the size
    of that one in its inputs, and takes others.
    """
    takes = (None, *takes[1:])
    if len(shape) == len(takes) - 1 and takes[-1] == 1:
        takes = takes[:-1]
    if len(shape) == len(takes) + 1 and shape[-1] == 1:
        shape = shape[:-1]
    return len(shape) == len(takes) and all(
        size is None or size == given for given, size in zip(shape, takes, strict=True)
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _shapes(value: Any) -> Any:
    if value is None:
        return None
    shapes = [tuple(part.shape) for part in keras.tree.flatten(value)]
    return shapes[0] if len(shapes) == 1 else shapes
