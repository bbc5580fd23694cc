"""Data for a model whose own data are not at hand: random, of the right shapes and kinds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from course_lib.checks import instance, positive_int, shown
from course_lib.models.batches import has_fixed_batch
from course_lib.models.objectives import function_of
from course_lib.models.recording import all_layers

__all__ = ["made_up_data"]

# What the losses of Keras take as a target, by function: neither name nor alias is to be trusted.
CLASSES = (  # the number of a class
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.categorical_generalized_cross_entropy,
    keras.losses.circle,
)
SHARES = (  # one class of several, one-hot
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.categorical_hinge,
    keras.losses.kl_divergence,
)
YES_OR_NO = (  # 0 or 1
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.dice,
    keras.losses.hinge,
    keras.losses.squared_hinge,
    keras.losses.tversky,
)
POSITIVE = (keras.losses.poisson, keras.losses.mean_squared_logarithmic_error)
NUMBERS = (
    keras.losses.cosine_similarity,
    keras.losses.huber,
    keras.losses.log_cosh,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_error,
)


def made_up_data(
    model: keras.Model, *, samples: int = 64, length: int = 20, seed: int = 1
) -> tuple[Any, Any]:
    """Return inputs and targets that fit a model.

    Numbers are drawn from N(0, 1), symbols evenly from those that the embedding knows (0 left
    out, which may mean padding), classes evenly. With them the way of the gradient at the start
    can be examined, and whether the model can learn a few samples by heart; not what it is like
    on the reader's own data, whose scale is often the fault.

    Parameters
    ----------
    model : keras.Model
        With known inputs, and compiled with a loss.
    samples : int
    length : int
        The size of every axis but the first that the model leaves open.
    seed : int

    Returns
    -------
    x, y : arrays, or lists or dicts of arrays, as ``model.fit`` takes them

    Raises
    ------
    TypeError, ValueError
        If the model's inputs are not known, or it is not compiled with a loss of Keras's own for
        each output: what others take as a target cannot be known.
    """
    instance("model", model, keras.Model, "a Keras model, such as `keras.Sequential([...])`")
    samples = positive_int("samples", samples, minimum=2)
    length = positive_int("length", length)
    rng = np.random.default_rng(positive_int("seed", seed, minimum=0))
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"`model` ({model.name}) does not say what it reads; it takes one with `keras.Input`."
        )
    if getattr(model, "loss", None) is None:
        raise ValueError(
            f"`model` ({model.name}) is not compiled with a loss; it takes one that is, as by "
            '`model.compile(loss="mse")`.'
        )

    is_fixed = has_fixed_batch(model)

    def shape_of(tensor: Any) -> tuple[int, ...]:
        sizes = (length if size is None else int(size) for size in tensor.shape[1:])
        return ((is_fixed and tensor.shape[0]) or samples, *sizes)

    def drawn(tensor: Any) -> np.ndarray:
        return _input(rng, shape_of(tensor), tensor.dtype, _symbols(model, tensor))

    reads = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    x = keras.tree.map_structure(drawn, reads)
    outputs = model(x, training=False)
    losses = _losses(model, outputs)
    shapes = [np.shape(output) for output in keras.tree.flatten(outputs)]
    y = [_target(rng, loss, shape) for loss, shape in zip(losses, shapes, strict=True)]
    return x, keras.tree.pack_sequence_as(outputs, y)


def _input(
    rng: np.random.Generator, shape: tuple[int, ...], dtype: str, symbols: int | None
) -> np.ndarray:
    if symbols is not None:
        return rng.integers(min(1, symbols - 1), symbols, shape).astype(dtype)
    if dtype == "string":
        raise ValueError("`model` reads text; it takes one that reads numbers or symbols.")
    if not keras.backend.is_float_dtype(dtype):
        return rng.integers(0, 2, shape).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


def _symbols(model: keras.Model, tensor: Any) -> int | None:
    """Return how many symbols an input may have: as the embeddings that read it know."""
    embeddings = [of for of in all_layers(model) if isinstance(of, keras.layers.Embedding)]
    reading = [layer for layer in embeddings if getattr(layer, "input", None) is tensor]
    within = embeddings if not keras.backend.is_float_dtype(tensor.dtype) else []
    return min((layer.input_dim for layer in reading or within), default=None)


def _losses(model: keras.Model, outputs: Any) -> list[Any]:
    """Return one loss for each output, in the order in which they are flattened."""
    if isinstance(model.loss, dict):
        names = sorted(outputs) if isinstance(outputs, dict) else model.output_names
        return [model.loss.get(name) for name in names]
    if isinstance(model.loss, list | tuple):
        return list(model.loss)
    return [model.loss] * len(keras.tree.flatten(outputs))


def _target(rng: np.random.Generator, loss: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return targets of the kind that a loss takes, for outputs of a shape."""
    takes = function_of(loss)
    if takes in CLASSES:
        return rng.integers(0, shape[-1], shape[:-1])
    if takes in SHARES:
        return np.eye(shape[-1], dtype="float32")[rng.integers(0, shape[-1], shape[:-1])]
    if takes in YES_OR_NO:
        return rng.integers(0, 2, shape).astype("float32")
    if takes in NUMBERS + POSITIVE:
        numbers = rng.normal(size=shape).astype("float32")
        return np.abs(numbers) if takes in POSITIVE else numbers
    raise ValueError(
        f"`model` has an output with the loss {shown(loss)}, whose targets cannot be made up; it "
        "takes a loss of Keras's own for each output, or pass data of your own instead."
    )
