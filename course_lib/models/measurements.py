"""The probed run of a model as one traced function, kept for the next call.

To trace a loop over time costs as much as some hundred runs of it, so the function is kept, as
Keras keeps that of ``model.fit``. It is used again only while everything in the model that Python
could read at tracing is the same: the attributes of all layers, by value or by identity. Nothing
here keeps a model alive.
"""

from __future__ import annotations

import operator
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.models.batches import Batch
from course_lib.models.objectives import FlowError, objective_of
from course_lib.models.probes import ProbedRun, Use, recurrent_layers
from course_lib.models.recording import all_layers, unchanged

__all__ = ["Measured", "Measurement", "Place", "Plan", "attributes_put_back"]

KEPT = 8  # traced functions a model
_kept: weakref.WeakKeyDictionary[keras.Model, list[tuple[Any, Measurement]]] = (
    weakref.WeakKeyDictionary()
)

# What a run or a fit writes to a layer, and no run reads.
_VOLATILE = {
    "_inbound_nodes",
    "_outbound_nodes",
    "_losses",
    "_loss_ids",
    "_called",
    "built",
    "_eval_epoch_iterator",
    "history",
    "stop_training",
    "optimizer",
    "train_function",
    "test_function",
    "predict_function",
    "_dropout_mask",
    "_recurrent_dropout_mask",
}


@dataclass(frozen=True)
class Place:
    """Where gradients were taken: one use of one recurrent cell.

    Attributes
    ----------
    name : str
    dtype : str
        The format of the state.
    backwards : bool
        Whether the layer reads from the last step to the first.
    every_step : bool
        Whether the layer hands on its output at every step.
    joined : bool
        Whether the cell's output is its first state.
    connected : bool
        Whether a way leads to the loss that a gradient can go.
    """

    name: str
    dtype: str
    backwards: bool
    every_step: bool
    joined: bool
    connected: bool


@dataclass
class Plan:
    """How the last measurement succeeded, and how the next one begins.

    Attributes
    ----------
    exponent : int or None
        The loss is multiplied by 2^exponent; None before the first time.
    rescaled : bool
        Whether the backward pass has to be kept in range.
    """

    exponent: int | None = None
    rescaled: bool = False


@dataclass(frozen=True, eq=False)
class Measured:
    """The arrays of one run and one backward pass.

    Attributes
    ----------
    loss : float
    exponent : int
        The loss was multiplied by 2^exponent.
    places : list of Place
        In the order in which the layers ran.
    gradients : list of list of ndarray, each (batch, time, units)
        For each place by h, and by the second state where there is one, times 2^exponent, and
        times 2^(quantum · count) besides.
    counts : list of (ndarray, shape (batch, time, 1), or None)
        For each place how often the gradient was rescaled.
    masks : list of (ndarray of bool, shape (batch, time), or None)
        For each place.
    """

    loss: float
    exponent: int
    places: list[Place]
    gradients: list[list[np.ndarray]]
    counts: list[np.ndarray | None]
    masks: list[np.ndarray | None]

    @cached_property
    def largest(self) -> list[float]:
        """The size of the largest entry at each place, with all scales in it; NaN if one is."""
        return [max(float(np.abs(part).max()) for part in parts) for parts in self.gradients]

    @property
    def is_finite(self) -> bool:
        """Whether every entry is a finite number."""
        return bool(np.isfinite(self.largest).all())


class Measurement:
    """The gradient by every state of some recurrent layers of a model, as often as wanted.

    Parameters
    ----------
    model : keras.Model
    names : tuple of str
        Which recurrent layers, named as by `recurrent_layers`.
    loss, training
        As for `by_time_step`.
    rescaled : bool
        Whether the backward pass is kept in range (`course_lib.models.rescaling`).
    wide : bool
        Whether the layers compute in float64.

    Attributes
    ----------
    places : list of Place
        In the order in which the layers ran, after the first call.
    plan : Plan
        How to begin the next time.
    """

    def __init__(
        self,
        model: keras.Model,
        names: tuple[str, ...],
        loss: Any,
        training: bool,
        rescaled: bool = False,
        wide: bool = False,
    ) -> None:
        self.places: list[Place] = []
        self.plan = Plan()
        self._model = weakref.ref(model)
        self._names, self._training = names, training
        self._rescaled, self._wide = rescaled, wide
        self._loss = loss
        self._traced: Any = None
        self._eager = bool(getattr(model, "run_eagerly", False))

    @classmethod
    def of(
        cls,
        model: keras.Model,
        names: tuple[str, ...],
        loss: Any,
        training: bool,
        batch: Batch,
        rescaled: bool = False,
        wide: bool = False,
    ) -> Measurement:
        """Return the measurement kept from an earlier call, or a new one."""
        kept = _kept.setdefault(model, [])
        key = (
            names,
            training,
            (rescaled, wide),
            _signature(batch),
            tuple(_token(one) for one in keras.tree.flatten(loss)),
            _fingerprint(model),
        )
        found = [entry for entry in kept if entry[0] == key]
        entry = found[0] if found else (key, cls(model, names, loss, training, rescaled, wide))
        kept[:] = [*(other for other in kept if other is not entry), entry][-KEPT:]
        measurement = entry[1]
        measurement._loss = loss
        return measurement

    def __call__(self, batch: Batch, exponent: int = 0) -> Measured:
        """Run the model and differentiate the loss times 2^exponent; the model is unchanged."""
        model = self._model()
        assert model is not None
        arguments = (batch.x, batch.y, batch.sample_weight, tf.constant(2.0**exponent, tf.float64))
        with unchanged(model):
            loss, gradients, masks = self._run(*arguments)
        arrays = [[_as_array(part) for part in parts] for parts in gradients]
        self._loss = None  # kept functions hold nothing of the reader's
        return Measured(
            loss=float(loss),
            exponent=exponent,
            places=self.places,
            gradients=[parts[:-1] if self._rescaled else parts for parts in arrays],
            counts=[parts[-1] if self._rescaled else None for parts in arrays],
            masks=[None if mask is None else np.asarray(mask) for mask in masks],
        )

    def if_possible(self, batch: Batch, exponent: int) -> Measured | None:
        """Run as a call does; None where the model cannot, or would not be the same model."""
        model = self._model()
        assert model is not None
        if self._training and any(hasattr(layer, "seed_generator") for layer in all_layers(model)):
            return None  # other numbers would be drawn
        if any(layer.quantization_mode for layer in all_layers(model)):
            return None
        try:
            return self(batch, exponent)
        except Exception:
            return None

    def _run(self, *arguments: Any) -> Any:
        if not self._eager:
            if self._traced is None:
                self._traced = tf.function(self._measure, autograph=False)
            try:
                return self._traced(*arguments)
            except FlowError:
                raise
            except Exception:  # a model that only runs step by step in Python, or a real mistake
                self._traced, self._eager = None, True
        return self._measure(*arguments)

    def _measure(self, x: Any, y: Any, weight: Any, seed: tf.Tensor) -> tuple[Any, Any, Any]:
        model = self._model()
        assert model is not None
        objective = objective_of(model, self._loss, Batch(x, y, weight, ()))
        layers = {
            layer: name for layer, name in recurrent_layers(model).items() if name in self._names
        }
        run = ProbedRun(layers, self._rescaled)
        with attributes_put_back(model), _computing_in_float64(model, self._wide):
            loss = run.run(model, x, self._training, objective)
        if run.out_of_sight or not run.uses:
            name = (run.out_of_sight or self._names)[0]
            raise FlowError(
                f"no step of the layer {name} can be seen: the model does not run it, or runs it "
                "inside a `tf.function` or a loop of its own; choose others with `layer=`."
            )
        seed = tf.cast(seed, loss.dtype)
        zeros = [[*use.zeros, *([use.count] if self._rescaled else [])] for use in run.uses]
        found = run.tape.gradient(loss, zeros, output_gradients=seed)
        gradients = [
            [tf.zeros_like(z) if g is None else g for z, g in zip(*pair, strict=True)]
            for pair in zip(zeros, found, strict=True)
        ]
        self.places = [
            Place(
                name=name,
                dtype=use.zeros[0].dtype.name,
                backwards=use.layer.go_backwards,
                every_step=use.layer.return_sequences,
                joined=use.joined,
                connected=any(gradient is not None for gradient in gradients[: len(use.zeros)]),
            )
            for name, use, gradients in zip(_numbered(run.uses), run.uses, found, strict=True)
        ]
        return loss, gradients, [use.mask for use in run.uses]


def _numbered(uses: list[Use]) -> list[str]:
    """Return the names, with the number of the use where a layer is used more than once."""
    total = Counter(use.name for use in uses)
    seen: Counter[str] = Counter()
    names = []
    for use in uses:
        seen[use.name] += 1
        several = total[use.name] > 1
        names.append(f"{use.name} (use {seen[use.name]})" if several else use.name)
    return names


def _as_array(gradient: tf.Tensor) -> np.ndarray:
    array = np.asarray(gradient)
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


@contextmanager
def _computing_in_float64(model: keras.Model, wide: bool) -> Iterator[None]:
    """Let every layer cast its inputs and weights to float64, or do nothing."""
    layers = {model, *all_layers(model)} if wide else set()
    before = [(layer, layer.dtype_policy) for layer in layers]
    try:
        for layer, policy in before:
            layer.dtype_policy = _InFloat64(policy.variable_dtype)
        yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy


class _InFloat64(keras.DTypePolicy):
    """Weights as they are, computing in float64."""

    @property
    def compute_dtype(self) -> str:
        return "float64"


@contextmanager
def attributes_put_back(model: keras.Model) -> Iterator[None]:
    """Leave no tensor of a traced run behind, in a list of losses or an attribute."""
    before = [
        (vars(layer), dict(vars(layer)), _contents(layer)) for layer in {model, *all_layers(model)}
    ]
    try:
        yield
    finally:
        for now, attributes, containers in before:
            if now.keys() != attributes.keys() or any(
                now[name] is not value for name, value in attributes.items()
            ):
                now.clear()
                now.update(attributes)
            for container, contents in containers:
                _put_back(container, contents)


def _contents(layer: keras.Layer) -> list[tuple[Any, Any]]:
    """Return the lists, dicts and sets of a layer, Keras's own kinds too, and what they hold."""
    return [
        (value, dict(value) if isinstance(value, dict) else list(value))
        for value in vars(layer).values()
        if isinstance(value, list | dict | set)
    ]


def _put_back(container: Any, contents: Any) -> None:
    if all(map(operator.is_, _flat(container), _flat(contents))) and len(container) == len(
        contents
    ):
        return
    container.clear()
    (container.extend if isinstance(container, list) else container.update)(contents)


def _flat(container: Any) -> list[Any]:
    return [*container, *container.values()] if isinstance(container, dict) else [*container]


def _signature(batch: Batch) -> Any:
    parts = (batch.x, batch.y, batch.sample_weight)
    structure = keras.tree.map_structure(lambda part: 0, parts)
    kinds = [
        None if part is None else (tuple(part.shape), part.dtype.name)
        for part in keras.tree.flatten(parts)
    ]
    return repr(structure), kinds


class _Same:
    """Stands for one object, by identity, without keeping it alive."""

    def __init__(self, value: Any) -> None:
        self._reference = weakref.ref(value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Same):
            return False
        mine = self._reference()
        return mine is not None and mine is other._reference()

    __hash__ = object.__hash__


def _fingerprint(model: keras.Model) -> tuple[Any, ...]:
    """Return what a trace of the model may have read: the attributes of all its layers."""
    layers = [model, *sorted(all_layers(model), key=id)]
    return tuple(
        (_Same(layer), name, _token(value))
        for layer in layers
        for name, value in vars(layer).items()
        if name not in _VOLATILE and not name.startswith("_self_")
    )


def _token(value: Any, depth: int = 0) -> Any:
    """Return something that is equal for an equal value, or for the same object only."""
    if depth > 8:  # a list that holds itself
        return type(value), id(value)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return type(value), value
    if isinstance(value, dict):
        return type(value), tuple(
            (_token(key, depth + 1), _token(one, depth + 1)) for key, one in value.items()
        )
    if isinstance(value, list | tuple):
        return type(value), tuple(_token(one, depth + 1) for one in value)
    if isinstance(value, set | frozenset):
        return type(value), tuple(sorted(map(id, value)))
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    try:
        return _Same(value)
    except TypeError:
        return type(value), id(value)
