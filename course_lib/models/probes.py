"""Run a Keras model once with a zero added to every state of its recurrent layers.

h_t = cell(x_t, h_{t−1}) + ε_t with ε_t = 0 changes nothing, and ∂𝓛/∂ε_t *is* ∂𝓛/∂h_t: by h_t as
the loss reads it now, and as every later step reads it. So one gradient by all of ε, in one
backward pass, replaces one tape a step.

Each recurrent layer keeps its own cell, mask, initial state, direction and dropout. Only its
``inner_loop`` is replaced for the duration (``vars(layer)["inner_loop"]``, taken out again
afterwards, also after an error): the loop that Keras runs over the steps then gets ε_t beside x_t.
"""

from __future__ import annotations

import functools
import itertools
from collections import namedtuple
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from course_lib.models.recording import all_layers, layers_inside
from course_lib.models.rescaling import hand_back_rescaled, hand_back_unscaled

__all__ = ["ProbedRun", "Replacements", "Use", "recurrent_layers"]

_ABSENT = object()


@functools.cache
def _steps_type(zeros: int) -> type:
    """Return the named tuple of what a step of the loop gets: the input and so many zeros.

    Keras's loop takes a flat one, and reads the number of steps from its shape.
    """
    fields = namedtuple("Steps", ["inputs", *(f"zero_{i}" for i in range(zeros))])  # type: ignore[misc]
    return type("Steps", (fields,), {"shape": property(lambda steps: steps.inputs.shape)})


@dataclass(eq=False)
class Use:
    """One use of one recurrent cell.

    Attributes
    ----------
    name : str
        Of the layer, after the names of what holds it; of the cell too, where a layer has several.
    layer : keras.layers.RNN
    zeros : list of tf.Tensor, each of shape (batch, time, units)
        ε for h, and for the second state (an LSTM's c) where there is one.
    count : tf.Tensor, shape (batch, time, 1), or None
        The zero whose gradient is the count of the rescaling.
    mask : tf.Tensor of bool, shape (batch, time), or None
        False where a step is skipped.
    joined : bool
        Whether the output of the cell is its first state, as in every cell of Keras. If not, ε is
        added to the state alone, and the output of the same step is held fixed.
    """

    name: str
    layer: keras.layers.RNN
    zeros: list[tf.Tensor] = field(default_factory=list)
    count: tf.Tensor | None = None
    mask: tf.Tensor | None = None
    joined: bool = True


class ProbedRun:
    """One forward run of a model with a zero at every step of its recurrent layers.

    Parameters
    ----------
    layers : dict of keras.layers.RNN to str
        The layers to look into, with their names.
    rescaled : bool
        Whether the backward pass is kept in range (`course_lib.models.rescaling`).

    Attributes
    ----------
    uses : list of Use
        In the order in which the layers ran.
    out_of_sight : list of str
        Layers that ran inside a ``tf.function`` or a loop of the model's own, where no tape sees
        them.
    tape : tf.GradientTape
        It watched every zero.
    """

    def __init__(self, layers: dict[keras.layers.RNN, str], rescaled: bool = False) -> None:
        self.rescaled = rescaled
        self.uses: list[Use] = []
        self.out_of_sight: list[str] = []
        self.tape = tf.GradientTape(watch_accessed_variables=False)
        self._layers = layers
        self._place = _place()

    def run(self, model: keras.Model, x: Any, training: bool, objective: Any) -> tf.Tensor:
        """Run `model` on `x` and return ``objective(outputs)``, a scalar on the tape."""
        takes = "training" in model.call_signature_parameters
        options = {"training": training} if takes else {}
        with self.tape:
            with self._loops_replaced(model):
                outputs = model(x, **options)
            return objective(outputs)

    @contextmanager
    def _loops_replaced(self, model: keras.Model) -> Iterator[None]:
        """Let each recurrent layer run the loop with the zeros while the block runs."""
        with Replacements() as replace:
            for layer in self._layers:
                replace(layer, "inner_loop", self._probing(layer, layer.inner_loop))
            for layer in {model, *all_layers(model)}:
                # The fused kernel of a graphics card has no steps to look into.
                if getattr(layer, "use_cudnn", False):
                    replace(layer, "use_cudnn", False)
                # A layer that is recomputed in the backward pass is hidden from the tape.
                if getattr(layer, "_remat_mode", None):
                    replace(layer, "_remat_mode", None)
            yield

    def _probing(self, layer: keras.layers.RNN, inner_loop: Callable[..., Any]) -> Any:
        def probing(sequences: Any, initial_state: Any, mask: Any, training: bool = False) -> Any:
            if _place() is not self._place:
                self.out_of_sight.append(self._layers[layer])
                return inner_loop(sequences, initial_state, mask, training)
            mask = mask[0] if keras.tree.is_nested(mask) else mask
            if not keras.tree.is_nested(initial_state):
                initial_state = [initial_state]
            initial_state = keras.tree.map_structure(tf.convert_to_tensor, initial_state)
            probe = _Probe(layer.cell, initial_state, sequences, training, self._layers[layer])
            if not probe.uses:  # states that are whole numbers
                return inner_loop(sequences, initial_state, mask, training)
            is_first = not self.uses
            for use in probe.uses:
                use.layer, use.mask = layer, _as_booleans(mask)
            self.uses += probe.uses
            loop: Any = probe
            if self.rescaled:
                # With its last states handed on, gradient enters at the last step in two ways.
                several = layer.return_sequences or layer.return_state
                loop = _RescalingCell(probe, several, is_first, sequences)
                initial_state = loop.first_states(initial_state)
            zeros = loop.all_zeros
            self.tape.watch(zeros)
            steps = _steps_type(len(zeros))(sequences, *zeros)
            with Replacements() as replace:
                replace(layer, "cell", loop)
                last, outputs, states = keras.layers.RNN.inner_loop(
                    layer, steps, initial_state, mask, training
                )
            return last, outputs, list(states)[:-1] if self.rescaled else states

        return probing


class _Probe:
    """A cell that adds a zero to each new state of the layer's own cell."""

    def __init__(
        self, cell: Any, states: Any, sequences: tf.Tensor, training: bool, name: str
    ) -> None:
        self.cell, self.training = cell, training
        self.inner: list[_Probe] = []
        if isinstance(cell, keras.layers.StackedRNNCells):
            self.inner = [
                _Probe(one, state, sequences, training, f"{name}/{one.name}")
                for one, state in zip(cell.cells, states, strict=True)
            ]
            self.zeros: list[Any] = [probe.zeros for probe in self.inner]
            self.uses: list[Use] = [use for probe in self.inner for use in probe.uses]
        else:
            first = keras.tree.flatten(states)[:2]
            floating = itertools.takewhile(lambda state: state.dtype.is_floating, first)
            self.zeros = [_zeros_over_time(state, sequences) for state in floating]
            self.uses = [Use(name, None, self.zeros)] if self.zeros else []

    @property
    def all_zeros(self) -> list[tf.Tensor]:
        """ε as a flat list, which the loop gets."""
        return keras.tree.flatten(self.zeros)

    def __call__(self, steps: Any, states: Any) -> tuple[Any, Any]:
        inputs, *zeros = steps
        return self.step(inputs, keras.tree.pack_sequence_as(self.zeros, zeros), states)

    def step(self, inputs: Any, zeros: Any, states: Any) -> tuple[Any, Any]:
        takes = getattr(self.cell, "call_signature_parameters", ())
        options = {"training": self.training} if "training" in takes else {}
        if self.inner:
            return self._stacked(inputs, zeros, states, options)
        output, states = self.cell(inputs, states, **options)
        new = keras.tree.flatten(states)
        joined = output is new[0]
        for i, zero in enumerate(zeros):
            new[i] = new[i] + zero
        for use in self.uses:
            use.joined = joined
        output = new[0] if joined else output
        return output, keras.tree.pack_sequence_as(states, new)

    def _stacked(
        self, inputs: Any, zeros: Any, states: Any, options: dict[str, bool]
    ) -> tuple[Any, Any]:
        """Let each cell of a stack add its own zero, so that the next one reads it."""

        def with_zero(probe: _Probe, own: Any) -> Callable[..., Any]:
            return lambda inputs, states: probe.step(inputs, own, states)

        cells = [with_zero(*pair) for pair in zip(self.inner, zeros, strict=True)]
        with Replacements() as replace:
            replace(self.cell, "cells", cells)
            return self.cell(inputs, states, **options)


class _RescalingCell:
    """A probed cell that keeps the gradient in range: see `course_lib.models.rescaling`."""

    def __init__(
        self, probe: _Probe, every_step: bool, is_first: bool, sequences: tf.Tensor
    ) -> None:
        self._probe, self._every_step = probe, every_step
        self._is_first = is_first  # then nobody asks for a gradient by what comes in
        state = probe.uses[0].zeros[0][:, 0]
        self._first_count = tf.zeros_like(tf.reshape(state, (tf.shape(state)[0], -1))[:, :1])
        zero_count = _zeros_over_time(self._first_count, sequences)
        self.all_zeros = [*probe.all_zeros, zero_count]
        for use in probe.uses:
            use.count = zero_count

    def first_states(self, states: Any) -> list[Any]:
        """Return the states before the first step, with the count as one more."""
        count, flat = self._first_count, keras.tree.flatten(states)
        if not self._is_first:
            count, flat = self._for_floats(hand_back_unscaled, count, flat)
        return [*keras.tree.pack_sequence_as(states, flat), count]

    def __call__(self, steps: Any, states: Any) -> tuple[Any, Any]:
        inputs, *zeros, zero_count = steps
        *states, count = states
        if not self._is_first:
            count, (inputs,) = self._for_floats(hand_back_unscaled, count, [inputs])
        zeros = keras.tree.pack_sequence_as(self._probe.zeros, zeros)
        output, states = self._probe.step(inputs, zeros, states)

        def rescaled(count: tf.Tensor, tensors: list[tf.Tensor]) -> Any:
            count, first, rest = hand_back_rescaled(
                count, tensors[0], tensors[1:], self._every_step
            )
            return count, [first, *rest]

        states = states if keras.tree.is_nested(states) else [states]
        flat = [output, *keras.tree.flatten(states)]
        count, (output, *flat) = self._for_floats(rescaled, count + zero_count, flat)
        return output, [*keras.tree.pack_sequence_as(states, flat), count]

    @staticmethod
    def _for_floats(
        operation: Callable[..., Any], count: tf.Tensor, tensors: list[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Apply an operation to the tensors that can have a gradient."""
        floats = [i for i, tensor in enumerate(tensors) if tensor.dtype.is_floating]
        count, results = operation(count, [tensors[i] for i in floats])
        for i, result in zip(floats, results, strict=True):
            tensors[i] = result
        return count, tensors


def recurrent_layers(model: keras.Model) -> dict[keras.layers.RNN, str]:
    """Return every recurrent layer of a model with its name, after the names of what holds it."""
    paths: dict[keras.layers.RNN, str] = {}
    seen = {model}

    def visit(layer: keras.Layer, prefix: str) -> None:
        wraps = isinstance(layer, keras.layers.TimeDistributed)
        for child in [layer.layer] if wraps else layers_inside(layer):
            if child in seen:
                continue
            seen.add(child)
            if isinstance(child, keras.layers.RNN):
                paths[child] = prefix + child.name
            else:
                visit(child, f"{prefix}{child.name}/")

    visit(model, "")
    return paths


class Replacements:
    """Replaces attributes within a ``with``, past Keras's own tracking, and puts them back."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> Callable[[Any, str, Any], None]:
        return self._replace

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        self._before.append((owner, name, vars(owner).get(name, _ABSENT)))
        vars(owner)[name] = value

    def __exit__(self, *_: Any) -> None:
        for owner, name, value in reversed(self._before):
            if value is _ABSENT:
                vars(owner).pop(name, None)
            else:
                vars(owner)[name] = value


def _zeros_over_time(state: tf.Tensor, sequences: tf.Tensor) -> tf.Tensor:
    """Return zeros of shape (batch, time, units…) for a state of shape (batch, units…)."""
    state_shape = tf.shape(state)
    shape = tf.concat([state_shape[:1], tf.shape(sequences)[1:2], state_shape[1:]], axis=0)
    zeros = tf.zeros(shape, state.dtype)
    zeros.set_shape([state.shape[0], sequences.shape[1], *state.shape[1:]])
    return zeros


def _as_booleans(mask: tf.Tensor | None) -> tf.Tensor | None:
    if mask is None:
        return None
    mask = tf.cast(mask, tf.bool)
    return mask[..., 0] if mask.shape.rank == 3 else mask


def _place() -> Any:
    """Return the graph that is being built, or None where TensorFlow computes at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
