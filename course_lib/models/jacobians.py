"""How a recurrent layer passes a change of its state on, whatever the loss: products of Jacobians.

J_t = ∂s_t/∂s_{t−1}, s_t the state after step t (of an LSTM, h_t and c_t together). By the chain
rule ∂s_T/∂s_t = J_{t+1} ⋯ J_T, and its norm decides how much of a gradient at the last step can
arrive at step t (Pascanu, Mikolov & Bengio, 2013, eq. 5; arXiv:1211.5063).

All one-step Jacobians are independent once the states are known. So the steps stand in the batch
axis, one backward pass gives many of them, and only the small matrices are multiplied in turn: in
float64 and with their sizes as logarithms, so that nothing underflows.
"""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from course_lib.checks import as_array, positive_int, shown
from course_lib.models.measurements import attributes_put_back
from course_lib.models.objectives import FlowError, counted, in_one_sentence
from course_lib.models.probes import Replacements
from course_lib.models.recording import unchanged

__all__ = ["JacobianProducts", "jacobian_products"]

Array = NDArray[np.float64]
LARGEST_STATE = 1024
CHUNK = 2**21  # numbers in the tiled states of one backward pass


@dataclass(frozen=True, eq=False, repr=False)
class JacobianProducts:
    """What `jacobian_products` measured, by lag: the number of steps k from s_{T−k} to s_T.

    Attributes
    ----------
    name : str
        The layer's name.
    log10_norms : ndarray, shape (batch, time)
        log₁₀ ‖∂s_T/∂s_{T−k}‖ (Frobenius) for k = 0 … T − 1; at k = 0 it is ½ log₁₀ n. A
        logarithm, for the norm itself may leave float64; −inf where it is 0.
    log10_output_norms, log10_cell_norms : ndarray, shape (batch, time)
        The same for the parts ∂h_T/∂h_{T−k} and ∂h_T/∂c_{T−k} (the other state held fixed). The
        second is None for a layer with one state.
    singular_lags : ndarray of int, shape (lags,)
        The lags at which singular values were computed.
    log10_singular_values : ndarray, shape (batch, lags, n)
        log₁₀ of the singular values of ∂s_T/∂s_{T−k}, the largest first. What lies 15 decades
        below the largest is rounding.
    size : int
        n, the numbers in the state of one sample.
    """

    name: str
    log10_norms: Array
    log10_output_norms: Array
    log10_cell_norms: Array | None
    singular_lags: NDArray[np.int_]
    log10_singular_values: Array
    size: int

    @property
    def steps(self) -> int:
        """Steps of the input."""
        return self.log10_norms.shape[1]

    @property
    def norms(self) -> Array:
        """‖∂h_T/∂h_{T−k}‖ for k = 0 … T − 1, shape (batch, time); 0 below 1e-308."""
        return np.power(10.0, self.log10_output_norms)

    @property
    def singular_values(self) -> Array:
        """Singular values of ∂s_T/∂s_{T−k} at `singular_lags`, shape (batch, lags, n)."""
        return np.power(10.0, self.log10_singular_values)

    @cached_property
    def log10_rms_by_lag(self) -> Array:
        """log₁₀ of the factor by which a change in a random direction is passed on, shape (time,).

        For a direction δ of length 1, E‖δ ∂s_T/∂s_t‖² = ‖∂s_T/∂s_t‖²/n; root mean square over
        the batch.
        """
        squares = 2 * self.log10_norms - np.log10(self.size)
        largest = squares.max(axis=0)
        shift = np.where(np.isfinite(largest), largest, 0.0)
        with np.errstate(divide="ignore"):
            return 0.5 * (shift + np.log10(np.mean(10.0 ** (squares - shift), axis=0)))

    @property
    def factor_per_step(self) -> float:
        """The factor of a change in a random direction, per step: over the longest lag."""
        if self.steps < 2:
            return float("nan")
        return float(10.0 ** (self.log10_rms_by_lag[-1] / (self.steps - 1)))

    def summary(self) -> str:
        """Say in words what was measured."""
        return (
            f"{self.name}: products of the one-step Jacobians of {counted(self.size, 'state')} "
            f"over {counted(self.steps, 'step')}, {counted(len(self.log10_norms), 'sample')}. "
            f"Factor per step: {self.factor_per_step:.3g} for a change in a random direction, "
            "whatever the loss reads."
        )

    def _rows(self) -> list[list[str]]:
        largest = self.log10_singular_values[..., 0].max(axis=0)
        return [
            [str(lag), f"{self.log10_rms_by_lag[lag]:.2f}", f"{largest[i]:.2f}"]
            for i, lag in enumerate(self.singular_lags)
        ]

    def __str__(self) -> str:
        rows = [list(_HEADER), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        return "\n".join([*lines, self.summary()])

    def __repr__(self) -> str:
        return (
            f"<JacobianProducts {self.name}: {counted(self.steps, 'step')}, "
            f"factor per step {self.factor_per_step:.3g}>"
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{html.escape(title)}</th>" for title in _HEADER)
        body = "".join(
            f"<tr><th scope='row'>{row[0]}</th><td>{row[1]}</td><td>{row[2]}</td></tr>"
            for row in self._rows()
        )
        caption = html.escape(self.summary())
        return (
            f"<table><caption style='text-align:left'>{caption}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


_HEADER = ("lag", "log₁₀ rms factor", "log₁₀ largest singular value")


def jacobian_products(
    layer: keras.layers.RNN, x: Any, *, singular_lags: int = 16
) -> JacobianProducts:
    """Measure how a recurrent layer passes a change of its state on from step to step.

    Unlike `by_time_step` this knows no loss and nothing that follows: it is the layer's own part
    of what vanishes or explodes, also where a loss reads every step.

    Parameters
    ----------
    layer : keras.layers.RNN
        SimpleRNN, LSTM, GRU, or any cell in `keras.layers.RNN`; for a `Bidirectional` layer pass
        its ``forward_layer`` or ``backward_layer``. One that is not built yet is built by `x`.
    x : array, shape (batch, time, features)
        What the *layer* reads: for the second layer of a model, the output of the first.
    singular_lags : int
        At how many lags, evenly spaced and with the longest, singular values are computed.

    Returns
    -------
    JacobianProducts
        Norms at every lag, singular values at some.

    Raises
    ------
    TypeError, ValueError, FlowError (a ValueError)
        When an argument does not fit, in one sentence.
    """
    if not isinstance(layer, keras.layers.RNN):
        inner = isinstance(layer, keras.layers.Bidirectional)
        hint = (
            "one of its two, such as `layer.forward_layer`"
            if inner
            else "such as `model.layers[0]`"
        )
        raise TypeError(f"`layer` is {shown(layer)}; it takes a recurrent layer of Keras, {hint}.")
    count = positive_int("singular_lags", singular_lags)
    takes = "what the layer reads, of shape (batch, time, features)"
    array = as_array("x", x, ndim=3, dtype=None, takes=takes)
    sequences = tf.convert_to_tensor(array, layer.compute_dtype)
    with in_one_sentence(f"the layer cannot be run on `x`, of shape {array.shape}"):
        if not layer.built:
            layer(sequences)
        with unchanged(layer), attributes_put_back(layer):
            return _measured(layer, sequences, count)


class _Cell:
    """The cell of a layer, from and to one vector that holds all its states."""

    def __init__(self, layer: keras.layers.RNN, initial: Any) -> None:
        self._cell = layer.cell
        takes = getattr(self._cell, "call_signature_parameters", ())
        self._options = {"training": False} if "training" in takes else {}
        self._like = initial
        self._shapes = [tuple(state.shape[1:]) for state in keras.tree.flatten(initial)]
        self.sizes = [math.prod(shape) for shape in self._shapes]

    def __call__(self, x: tf.Tensor, states: Any) -> tuple[tf.Tensor, Any]:
        """Put out the vector, within Keras's own loop over the steps."""
        _, new = self._cell(x, states, **self._options)
        return self.joined(new), new

    def step(self, x: tf.Tensor, vector: tf.Tensor) -> tf.Tensor:
        """Return s_t, shape (batch, n), from x_t and s_{t−1}."""
        parts = tf.split(vector, self.sizes, axis=1)
        states = [
            tf.reshape(part, (-1, *shape)) for part, shape in zip(parts, self._shapes, strict=True)
        ]
        return self(x, keras.tree.pack_sequence_as(self._like, states))[0]

    def joined(self, states: Any) -> tf.Tensor:
        """Return states as one vector a sample, shape (batch, n)."""
        parts = zip(keras.tree.flatten(states), self.sizes, strict=True)
        return tf.concat([tf.reshape(state, (-1, size)) for state, size in parts], axis=1)

    @property
    def output(self) -> slice:
        """Where h stands in the vector: the first state, of the last cell of a stack."""
        stack = isinstance(self._cell, keras.layers.StackedRNNCells)
        last = keras.tree.flatten(self._cell.cells[-1].state_size) if stack else self.sizes
        start = sum(self.sizes[: len(self.sizes) - len(last)])
        return slice(start, start + self.sizes[len(self.sizes) - len(last)])

    @property
    def second(self) -> slice | None:
        """Where c stands in the vector, for a single cell with two states or more."""
        if len(self.sizes) < 2 or isinstance(self._cell, keras.layers.StackedRNNCells):
            return None
        return slice(self.sizes[0], sum(self.sizes[:2]))


def _measured(layer: keras.layers.RNN, sequences: tf.Tensor, count: int) -> JacobianProducts:
    states = layer.states if layer.stateful else layer.get_initial_state(len(sequences))
    initial = keras.tree.map_structure(tf.convert_to_tensor, list(states))
    cell = _Cell(layer, initial)
    size, steps = sum(cell.sizes), sequences.shape[1]
    if size > LARGEST_STATE:
        raise FlowError(
            f"`layer` has a state of {size} numbers a sample; its Jacobians are too large, "
            f"this takes at most {LARGEST_STATE}."
        )
    before = _states_before(layer, cell, sequences, initial)
    reading = tf.reverse(sequences, [1]) if layer.go_backwards else sequences
    lags = np.unique(np.r_[1, np.linspace(0, steps - 1, count).round()].astype(int))
    lags = lags[lags < steps]
    parts = [slice(None), cell.output] + ([] if cell.second is None else [cell.second])
    norms, singular = [], []
    for lag, (product, exponent) in enumerate(_products(cell, reading, before)):
        norms.append(
            [_log10_norm(product[:, rows, _columns(cell, rows)]) + exponent for rows in parts]
        )
        if lag in lags:
            values = np.linalg.svd(product, compute_uv=False)
            singular.append(_log10(values) + exponent[:, None])
    by_part = [np.stack(part, axis=1) for part in zip(*norms, strict=True)]
    return JacobianProducts(
        name=layer.name,
        log10_norms=by_part[0],
        log10_output_norms=by_part[1],
        log10_cell_norms=by_part[2] if len(by_part) > 2 else None,
        singular_lags=lags,
        log10_singular_values=np.stack(singular, axis=1),
        size=size,
    )


def _columns(cell: _Cell, rows: slice) -> slice:
    """Return the columns that belong to some rows: all for all, else those of h_T."""
    return rows if rows == slice(None) else cell.output


def _states_before(
    layer: keras.layers.RNN, cell: _Cell, sequences: tf.Tensor, initial: Any
) -> tf.Tensor:
    """Return s_{t−1} for every step t, shape (batch, time, n), in the order of reading."""

    @functools.partial(tf.function, autograph=False)
    def states(sequences: tf.Tensor, initial: Any) -> tf.Tensor:
        with attributes_put_back(layer), Replacements() as replace:
            replace(layer, "cell", cell)
            replace(layer, "return_sequences", True)
            return keras.layers.RNN.inner_loop(layer, sequences, initial, None)[1]

    after = states(sequences, initial)
    return tf.concat([cell.joined(initial)[:, None], after[:, :-1]], axis=1)


def _products(cell: _Cell, inputs: tf.Tensor, before: tf.Tensor) -> Iterator[tuple[Array, Array]]:
    """Yield ∂s_T/∂s_{T−k} for k = 0 … T − 1, as a matrix of size 1 and log₁₀ of its size.

    The matrix has shape (batch, n, n), with a row for each entry of the state before and a column
    for each of the state after, and its largest entry is 1 (0 where all are).
    """
    batch, steps, size = before.shape
    product = np.broadcast_to(np.eye(size), (batch, size, size))
    exponent = np.zeros(batch)
    yield product, exponent
    at_once = max(1, CHUNK // (batch * size * max(size, math.prod(inputs.shape[2:]))))
    one_step = tf.function(functools.partial(_one_step_jacobians, cell), autograph=False)
    for end in range(steps, 1, -at_once):
        start = max(1, end - at_once)
        jacobians = one_step(inputs[:, start:end], before[:, start:end])
        for jacobian in np.asarray(jacobians, np.float64)[:, ::-1].swapaxes(0, 1):
            product = jacobian @ product
            largest = np.abs(product).max(axis=(1, 2))
            scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
            product = product / scale[:, None, None]
            exponent = exponent + np.log10(scale)
            yield product, exponent


def _one_step_jacobians(cell: _Cell, inputs: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
    """Return ∂s_t[j]/∂s_{t−1}[i] at [sample, step, i, j], from one backward pass.

    Each step stands in the batch axis n times, and the j-th copy is differentiated by its j-th
    entry.
    """
    batch, steps, size = before.shape
    copies = batch * steps * size
    x = tf.repeat(tf.reshape(inputs, (batch * steps, *inputs.shape[2:])), size, axis=0)
    states = tf.repeat(tf.reshape(before, (batch * steps, size)), size, axis=0)
    chosen = tf.tile(tf.eye(size, dtype=before.dtype), (batch * steps, 1))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(states)
        after = cell.step(x, states)
    by_copy = tape.gradient(after, states, output_gradients=chosen, unconnected_gradients="zero")
    by_copy = tf.ensure_shape(by_copy, (copies, size))
    return tf.transpose(tf.reshape(by_copy, (batch, steps, size, size)), (0, 1, 3, 2))


def _log10_norm(matrices: Array) -> Array:
    return _log10(np.sqrt(np.square(matrices).sum(axis=(1, 2))))


def _log10(values: NDArray[Any]) -> Array:
    with np.errstate(divide="ignore"):
        return np.log10(values)
