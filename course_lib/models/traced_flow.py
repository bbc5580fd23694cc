"""`by_layer` again and again on one batch: traced once, then a few milliseconds a time.

`gradient_flow.by_layer` runs eagerly, keeps every gradient, and repeats the backward pass where an
entry underflowed: right for a look, too slow for every fiftieth step of a training. Here the same
recording is made once, inside a ``tf.function``, and only norms come out. They are what training
sees: an entry that underflowed counts as the 0 that it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.models.backward import FORMATS
from course_lib.models.batches import Batch
from course_lib.models.layer_flow import LayerFlow, geometric_mean, longest_paths
from course_lib.models.objectives import in_one_sentence
from course_lib.models.recording import (
    Record,
    Recording,
    all_variables,
    unchanged,
    value_of,
)
from course_lib.models.units import dead_share, saturated_share

__all__ = ["COLUMNS", "TracedFlow"]

# What is measured of every record; see `GradientMonitor.history`.
COLUMNS = ("activation_norms", "weight_norms", "dead", "saturated")

_Key = tuple[int, ...]  # stands for a layer: the ids of its weights


class TracedFlow:
    """The gradient flow of one model on one batch, to be measured often.

    Parameters
    ----------
    model : keras.Model
        Built.
    batch : Batch
    objective : callable
        From the model's outputs to the loss, as `objectives.objective_of` makes it.
    training : bool
        Whether layers behave as in training.

    Attributes
    ----------
    names : list of str
    depth, entries : ndarray, shape (records,)
    dtype : str
        As `LayerFlow` has them; known after the first call.
    traces : int
        How often the model was traced.
    """

    def __init__(
        self,
        model: keras.Model,
        batch: Batch,
        objective: Callable[[Any], tf.Tensor],
        training: bool,
    ) -> None:
        self.model, self.batch, self.objective, self.training = model, batch, objective, training
        self.names: list[str] = []
        self.depth = self.entries = np.empty(0)
        self.dtype = "float32"
        self.traces = 0
        self._layers: list[list[keras.Variable]] = []
        self._layer_of: list[int] = []  # by record: its place in `_layers`, −1 without weights
        self._variables: list[keras.Variable] | None = None
        self._measure = self._forward_and_back
        if not model.run_eagerly:
            self._measure = tf.function(self._forward_and_back, autograph=False)
        self._change = tf.function(self._squares_of_change, autograph=False)

    def __call__(self) -> dict[str, np.ndarray]:
        """Measure now; the model is the same afterwards, bit for bit.

        Returns
        -------
        dict of ndarray
            ``"loss"``, shape (), and each of `COLUMNS`, shape (records,), in float64.
        """
        with (
            unchanged(self.model, self._variables),
            in_one_sentence(f"the model cannot be run on `x`, of shape {self.batch.x_shapes}"),
        ):
            found = self._measure()
        if self._variables is None:
            self._variables = all_variables(self.model)
        self.entries = np.asarray(found.pop("entries"))
        return {name: np.asarray(value, dtype=np.float64) for name, value in found.items()}

    def weights(self) -> list[list[tf.Tensor]]:
        """Return the trainable weights as they are now, by layer; nothing is copied."""
        return [[value_of(weight) for weight in layer] for layer in self._layers]

    def change_since(self, before: list[list[tf.Tensor]]) -> np.ndarray:
        """Return ‖ΔW‖/‖W‖ of each record's layer since `before`, NaN where it has no weights."""
        squares = np.asarray(self._change(before, self.weights())) if self._layers else np.empty(0)
        ratios = np.full(len(self.names), np.nan)
        for i, layer in enumerate(self._layer_of):
            if layer >= 0 and squares[layer, 1]:
                ratios[i] = np.sqrt(squares[layer, 0] / squares[layer, 1])
        return ratios

    def as_layer_flow(self, measured: dict[str, np.ndarray]) -> LayerFlow:
        """Return what one call measured in the form of `by_layer`, for pictures and tables."""
        norms = measured["activation_norms"]
        zeros = np.zeros(len(norms), dtype=int)
        return LayerFlow(
            names=list(self.names),
            activation_norms=norms,
            weight_norms=measured["weight_norms"],
            depth=self.depth,
            factor_per_layer=self.factor_per_layer(norms),
            earliest=self._earliest,
            latest=self._latest,
            layers_between=self._layers_between,
            entries=self.entries,
            underflowed=zeros,
            true_zeros=zeros,
            unresolved=zeros,
            dtype=self.dtype,
            loss=float(measured["loss"]),
            passes=1,
        )

    def factor_per_layer(self, norms: np.ndarray) -> float:
        """Return the factor per layer, as `LayerFlow` defines it, from the norms by record."""
        rms = norms / np.sqrt(self.entries)
        return geometric_mean(rms[self._earliest], rms[self._latest], self._layers_between)

    def _forward_and_back(self) -> dict[str, tf.Tensor]:
        self.traces += 1
        recording = Recording(self.model)
        x = keras.tree.map_structure(tf.identity, self.batch.x)
        loss = recording.run(x, self.training, self.objective)
        records = recording.records
        layers = {_key(record): record.weights for record in records if record.weights}
        found, by_weights = recording.tape.gradient(
            loss, [[record.tensors for record in records], [*layers.values()]]
        )
        gradients = [[part for part in parts if part is not None] for parts in found]
        self._note(recording, layers, gradients)
        weight_norms = [_norm([part for part in parts if part is not None]) for parts in by_weights]
        by_record = {
            "activation_norms": [
                _norm(gradient) if self._is_defined(i, bool(gradient)) else _NAN
                for i, gradient in enumerate(gradients)
            ],
            "weight_norms": [
                weight_norms[layer] if layer >= 0 else _NAN for layer in self._layer_of
            ],
            "dead": [_if_finite(record, dead_share(record)) for record in records],
            "saturated": [_if_finite(record, saturated_share(record)) for record in records],
        }
        return {
            "loss": tf.cast(loss, tf.float64),
            "entries": tf.stack([*map(_entries, records, gradients)]),
            **{name: tf.stack(values) for name, values in by_record.items()},
        }

    def _is_defined(self, i: int, is_connected: bool) -> bool:
        """Whether there is a gradient by record `i`: none by whole numbers that enter the model."""
        whole = self.batch.whole_numbers
        return is_connected or not (i < len(whole) and whole[i])

    def _note(
        self,
        recording: Recording,
        layers: dict[_Key, list[keras.Variable]],
        gradients: list[list[tf.Tensor]],
    ) -> None:
        """Keep what is the same at every measurement: names and distances."""
        records = recording.records
        connected = np.array([bool(gradient) for gradient in gradients])
        self.names = [record.name for record in records]
        self.depth, path = longest_paths(recording, connected)
        self._earliest, self._latest = path[0], path[-1]
        self._layers_between = sum(records[i].has_weights for i in path[1:])
        self.dtype = max(
            (record.dtype for record in records if record.is_floating),
            key=lambda dtype: FORMATS[dtype].smallest,
        )
        self._layers = [*layers.values()]
        places = {layer: i for i, layer in enumerate(layers)}
        self._layer_of = [places.get(_key(record), -1) for record in records]

    def _squares_of_change(
        self, before: list[list[tf.Tensor]], now: list[list[tf.Tensor]]
    ) -> tf.Tensor:
        """Return ‖ΔW‖² and ‖W‖² of every layer, W before the change; shape (layers, 2)."""
        return tf.stack(
            [
                [
                    _squares([_double(b) - _double(a) for a, b in zip(*pair, strict=True)]),
                    _squares([_double(a) for a in pair[0]]),
                ]
                for pair in zip(before, now, strict=True)
            ]
        )


_NAN = tf.constant(np.nan, tf.float64)


def _key(record: Record) -> _Key:
    return tuple(id(weight) for weight in record.weights)


def _double(tensor: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(tensor), tf.float64)


def _squares(parts: list[tf.Tensor]) -> tf.Tensor:
    return tf.add_n([tf.reduce_sum(part * part) for part in parts])


def _entries(record: Record, gradient: list[Any]) -> tf.Tensor:
    """Return how many numbers a gradient has, which a layer may decide only when it runs."""
    parts = gradient or record.tensors
    return tf.add_n([tf.size(part, out_type=tf.int64) for part in parts])


def _norm(gradient: list[Any]) -> tf.Tensor:
    """Return the Frobenius norm in float64, where no square of a float32 is lost; 0 of nothing.

    Squares of a float64 may be: those are divided by the largest entry first.
    """
    if not gradient:
        return tf.constant(0.0, tf.float64)
    if all(part.dtype != tf.float64 for part in gradient):
        return tf.sqrt(_squares([_double(part) for part in gradient]))
    parts = [_double(part) for part in gradient]
    largest = tf.reduce_max([tf.reduce_max(tf.abs(part)) for part in parts])
    return largest * tf.sqrt(_squares([tf.math.divide_no_nan(part, largest) for part in parts]))


def _if_finite(record: Record, share: tf.Tensor | None) -> tf.Tensor:
    """Return `share`; NaN where there is none, or the record is not all finite numbers."""
    if share is None:
        return _NAN
    return tf.where(tf.reduce_all(tf.math.is_finite(record.tensors[0])), share, _NAN)
