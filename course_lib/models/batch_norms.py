"""Whether Batch Norm normalises by what it should: by the batch in training, by its record in use.

A layer that is held in one of the two modes is wrong in the other. One that normalises by the batch
in use, too, gives a sample an answer that depends on the samples beside it. One that normalises by
its moving statistics in training, too, because it is frozen or called with ``training=False``, is
right as long as they are those of the data: that is how a network trained before is used again.

In a functional model of Keras 3 ``training=`` written into the model gives way to that of ``fit``
and ``predict``; in a class of the reader's own it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from course_lib.models.batches import Batch
from course_lib.models.recording import Record, Recording, all_layers, calls_changed, unchanged

__all__ = [
    "Held",
    "Statistics",
    "as_in_training",
    "foreign_statistics",
    "held_in_training",
    "learning_norms",
    "normalized_by_batch",
]

Array = np.ndarray
BatchNorm = keras.layers.BatchNormalization


@dataclass(frozen=True)
class Statistics:
    """What comes of values that are normalised by moving statistics: ideally 0 and 1.

    Attributes
    ----------
    offset : float
        Root mean square, over the channels, of their means.
    spread : float
        Median of their standard deviations, of those channels that vary.
    """

    offset: float
    spread: float


@dataclass(frozen=True)
class Held:
    """A layer that normalises by the batch even in use.

    Attributes
    ----------
    name : str
        The first such layer.
    count : int
        How many there are.
    shift : float
        By how much an answer changes, relative to its size, when the other samples of the batch
        are replaced by copies of the one.
    """

    name: str
    count: int
    shift: float


def foreign_statistics(records: list[Record]) -> dict[str, Statistics]:
    """Return, of each Batch Norm that does not use the batch in training, what it makes of it.

    Parameters
    ----------
    records : list of Record
        Of a run with ``training=True``.
    """
    return {
        record.name: _statistics(record)
        for record in records
        if isinstance(record.layer, BatchNorm) and record.sources and not _uses_batch(record)
    }


def held_in_training(
    model: keras.Model, batch: Batch, objective: Callable[[Any], Any]
) -> Held | None:
    """Return the Batch Norm that uses the batch even with ``training=False``, None without any.

    Parameters
    ----------
    model : keras.Model
        Given back as it was.
    batch : Batch
    objective : function
        From the model's outputs to the loss.
    """
    if not any(isinstance(layer, BatchNorm) for layer in all_layers(model)):
        return None
    with unchanged(model):
        recording = Recording(model)
        recording.run(batch.x, False, objective)
    names = [record.name for record in recording.records if _uses_batch(record)]
    return Held(names[0], len(names), _shift(model, batch)) if names else None


@contextmanager
def normalized_by_batch(model: keras.Model) -> Iterator[None]:
    """Let every Batch Norm of a model normalise by the batch while the block runs."""
    norms = [layer for layer in all_layers(model) if isinstance(layer, BatchNorm)]
    with calls_changed({layer: _by_batch(layer) for layer in norms}):
        yield


@contextmanager
def as_in_training(model: keras.Model) -> Iterator[None]:
    """Let every Batch Norm that is not frozen normalise by the batch in use, too."""
    with calls_changed({layer: _by_batch(layer) for layer in learning_norms(model)}):
        yield


def learning_norms(model: keras.Model) -> list[keras.layers.Layer]:
    """Return every Batch Norm that is not frozen, and so learns its moving statistics."""
    norms = [layer for layer in all_layers(model) if isinstance(layer, BatchNorm)]
    return [layer for layer in norms if layer.trainable]


def _uses_batch(record: Record) -> bool:
    layer = record.layer
    if not isinstance(layer, BatchNorm):
        return False
    return bool(record.given.get("training")) and layer.trainable


def _statistics(record: Record) -> Statistics:
    layer: Any = record.layer
    x = np.moveaxis(_array(record.sources[0]), layer.axis, -1)
    columns = x.reshape(-1, x.shape[-1])
    mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
    normalized = (columns - mean) / np.sqrt(variance + layer.epsilon)
    offsets, deviations = normalized.mean(axis=0), normalized.std(axis=0)
    varying = deviations[deviations > 0]
    return Statistics(
        offset=float(np.sqrt(np.mean(offsets**2))),
        spread=float(np.median(varying)) if varying.size else 1.0,
    )


def _shift(model: keras.Model, batch: Batch) -> float:
    """Compare answers in the batch with those in company of copies; of two samples, the larger."""
    whole = _answers(model, batch.x)
    shifts = []
    for row in {0, len(whole[0]) // 2}:
        copies = keras.tree.map_structure(
            lambda part, row=row: keras.ops.repeat(part[row : row + 1], part.shape[0], axis=0),
            batch.x,
        )
        for among, alone in zip(whole, _answers(model, copies), strict=True):
            size = np.sqrt(np.mean(among[row] ** 2)) or 1.0
            shifts.append(float(np.sqrt(np.mean((among[row] - alone[row]) ** 2)) / size))
    return max(shifts)


def _answers(model: keras.Model, x: Any) -> list[Array]:
    options = {"training": False} if "training" in model.call_signature_parameters else {}
    with unchanged(model):
        return [_array(output) for output in keras.tree.flatten(model(x, **options))]


def _by_batch(layer: Any) -> Callable[..., Any]:
    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        x = keras.ops.cast(inputs, "float32")
        axes = [axis for axis in range(len(x.shape)) if axis != layer.axis % len(x.shape)]
        mean, variance = keras.ops.moments(x, axes)
        outputs = keras.ops.batch_normalization(
            x,
            mean,
            variance,
            layer.axis,
            offset=layer.beta if layer.center else None,
            scale=layer.gamma if layer.scale else None,
            epsilon=layer.epsilon,
        )
        return keras.ops.cast(outputs, layer.compute_dtype)

    return call


def _array(value: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(value), dtype=np.float64)
