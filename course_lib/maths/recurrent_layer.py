"""What recurrent layers have in common: traces, gradients, checks, and how a layer starts.

The layers themselves are in `recurrent` and `gates`, with the equations (1) to (20).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import (
    as_array,
    as_matrix,
    generator,
    instance,
    one_of,
    positive_int,
    shown,
)
from course_lib.maths.initializers import INITIALIZERS
from course_lib.maths.propagation import _frobenius_norm

__all__ = ["RecurrentGradients", "RecurrentLayer", "RecurrentTrace"]

Array = NDArray[np.float64]
State = Array | tuple[Array, Array]
Start = str | ArrayLike | Callable[[tuple[int, int], np.random.Generator], ArrayLike]


@dataclass(frozen=True, eq=False, repr=False)
class RecurrentTrace:
    """What a forward pass leaves behind for the backward pass.

    Attributes
    ----------
    inputs : array, shape (batch, time, features)
        x_1 … x_T.
    outputs : array, shape (batch, time, units)
        h_1 … h_T: `outputs[:, t - 1]` is h_t.
    pre_activations : array, shape (batch, time, k · units)
        a_1 … a_T, before φ or before the gates; k = 1, 4 (LSTM) or 3 (GRU) blocks in Keras's order.
    gates : dict of arrays, shape (batch, time, units)
        By name: LSTM "input", "forget", "candidate", "output" and "cell", the state c_t that they
        make; GRU "update", "reset", "candidate"; empty for a simple RNN.
    initial_state : array, shape (batch, units)
        h_0; for an LSTM the pair (h_0, c_0).
    cells : array, shape (batch, time, units), or None
        c_1 … c_T of an LSTM.
    """

    inputs: Array
    outputs: Array
    pre_activations: Array
    initial_state: State
    gates: dict[str, Array] = field(default_factory=dict)
    cells: Array | None = None

    @property
    def length(self) -> int:
        """T, the number of steps."""
        return self.inputs.shape[1]

    @property
    def previous_outputs(self) -> Array:
        """h_0 … h_{T−1}, shape (batch, time, units): what each step reads."""
        h_0 = self.initial_state[0] if self.cells is not None else self.initial_state
        return one_step_earlier(h_0, self.outputs)

    @property
    def previous_cells(self) -> Array:
        """c_0 … c_{T−1} of an LSTM, shape (batch, time, units)."""
        if self.cells is None:
            raise ValueError(
                "`cells` is None in this trace; `previous_cells` takes that of an LSTM."
            )
        return one_step_earlier(self.initial_state[1], self.cells)

    @property
    def final_state(self) -> State:
        """h_T, or (h_T, c_T) of an LSTM: the initial state of a sequence that goes on from here."""
        h = self.outputs[:, -1].copy()
        return h if self.cells is None else (h, self.cells[:, -1].copy())

    @property
    def overflowed(self) -> int | None:
        """The first step t at which h_t has left the range of float64, or None."""
        gone = np.flatnonzero(~np.isfinite(self.outputs).all(axis=(0, 2)))
        return int(gone[0]) + 1 if gone.size else None

    def __repr__(self) -> str:
        batch, length, units = self.outputs.shape
        gates = f", gates {', '.join(self.gates)}" if self.gates else ""
        return f"<RecurrentTrace: batch {batch}, {length} steps, {units} units{gates}>"


@dataclass(frozen=True, eq=False, repr=False)
class RecurrentGradients:
    """The gradient of the loss by everything in a recurrent layer.

    Attributes
    ----------
    kernel, recurrent_kernel, bias : arrays
        Shaped like the layer's own; `bias` is None where the layer has none.
    inputs : array, shape (batch, time, features)
        ∂𝓛/∂x_t.
    states : array, shape (batch, time, units)
        δ_t = ∂𝓛/∂h_t, all of it: what the loss adds at step t and what comes from later steps.
    pre_activations : array, shape (batch, time, k · units)
        ∂𝓛/∂a_t. The terms of the sum (6) are `previous_outputs[:, t].T @ pre_activations[:, t]`.
    initial_state : array, shape (batch, units)
        ∂𝓛/∂h_0; for an LSTM the pair by h_0 and c_0.
    cells : array, shape (batch, time, units), or None
        Of an LSTM: ∂𝓛/∂c_t with h_t held fixed, what c_{t+1} sends back along the cell. At t = T
        it is 0.
    total_cells : array, shape (batch, time, units), or None
        Of an LSTM: ∂𝓛/∂c_t with the way through h_t as well, as a tape has it.
    """

    kernel: Array
    recurrent_kernel: Array
    bias: Array | None
    inputs: Array
    states: Array
    pre_activations: Array
    initial_state: State
    cells: Array | None = None
    total_cells: Array | None = None

    @property
    def weights(self) -> list[Array]:
        """The gradients by kernel, recurrent kernel and bias, in the order of `layer.weights`."""
        return _present(self.kernel, self.recurrent_kernel, self.bias)

    @property
    def norms(self) -> Array:
        """‖δ_1‖ … ‖δ_T‖, shape (time,): how much arrives at each step, the first step first."""
        return np.array([_frobenius_norm(self.states[:, t]) for t in range(self.states.shape[1])])

    def __repr__(self) -> str:
        first, last = self.norms[0], self.norms[-1]
        return f"<RecurrentGradients: ‖δ_1‖ = {first:.3g}, ‖δ_{len(self.norms)}‖ = {last:.3g}>"


class RecurrentLayer(ABC):
    """What the three layers have in common; each defines its own steps forward and backward.

    Attributes
    ----------
    kernel : array, shape (features, k · units)
        W_x; k blocks side by side, k = 1 for a simple RNN, 4 for an LSTM, 3 for a GRU.
    recurrent_kernel : array, shape (units, k · units)
        W_h.
    bias : array, shape (k · units,), or None
        b; for a GRU with `reset_after` shape (2, k · units).
    """

    BLOCKS: ClassVar[tuple[str, ...]]

    kernel: Array
    recurrent_kernel: Array
    bias: Array | None

    def __init__(
        self, kernel: ArrayLike, recurrent_kernel: ArrayLike, bias: ArrayLike | None = None
    ) -> None:
        k = len(self.BLOCKS)
        takes = f"a matrix of shape (units, {k} · units)" if k > 1 else "a square matrix"
        # Arrays of its own: a matrix given twice, or changed later, is nobody else's.
        self.recurrent_kernel = as_matrix("recurrent_kernel", recurrent_kernel, takes=takes).copy()
        if self.recurrent_kernel.shape != (self.units, k * self.units):
            raise ValueError(
                f"`recurrent_kernel` has shape {self.recurrent_kernel.shape}; it takes {takes}."
            )
        takes = f"a matrix of shape (features, {k * self.units}), as wide as `recurrent_kernel`"
        self.kernel = as_matrix("kernel", kernel, takes=takes).copy()
        if self.kernel.shape[1] != k * self.units:
            raise ValueError(f"`kernel` has shape {self.kernel.shape}; it takes {takes}.")
        self.bias = None if bias is None else as_array("bias", bias, shape=self._bias_shape).copy()

    @property
    def units(self) -> int:
        """n, the size of the state."""
        return len(self.recurrent_kernel)

    @property
    def features(self) -> int:
        """Entries of one x_t."""
        return len(self.kernel)

    @property
    def weights(self) -> list[Array]:
        """Kernel, recurrent kernel and bias if there is one: what `set_weights` of Keras takes."""
        return _present(self.kernel, self.recurrent_kernel, self.bias)

    @property
    def _bias_shape(self) -> tuple[int, ...]:
        return (len(self.BLOCKS) * self.units,)

    @property
    def _b(self) -> Array:
        """The bias, or zeros."""
        return np.zeros(self._bias_shape) if self.bias is None else self.bias

    @classmethod
    def _drawn(
        cls,
        features: int,
        units: int,
        rng: np.random.Generator,
        kernel: Start,
        recurrent: Start,
        bias: bool,
        **options: Any,
    ) -> Self:
        """Return a layer with drawn kernels, and with biases of 0 or none."""
        W_x, W_h = _drawn_kernels(features, units, len(cls.BLOCKS), rng, kernel, recurrent)
        layer = cls(W_x, W_h, None, **options)
        if instance("bias", bias, bool, "True or False"):
            layer.bias = np.zeros(layer._bias_shape)
        return layer

    def forward(self, x: ArrayLike, state: Any = None) -> RecurrentTrace:
        """Run over a batch of sequences and keep everything on the way.

        Parameters
        ----------
        x : array, shape (batch, time, features)
        state : array, shape (batch, units), optional
            h_0; for an LSTM the pair (h_0, c_0). Zeros unless given.

        Returns
        -------
        RecurrentTrace

        Raises
        ------
        TypeError, ValueError
            If an array is not finite or does not fit the layer.
        """
        x = self._checked_inputs(x)
        return self.run(x, self._checked_state(state, len(x)))

    def backward(
        self, trace: RecurrentTrace, d_outputs: ArrayLike, *, truncate: int | None = None
    ) -> RecurrentGradients:
        """Send the gradient of a loss back through all the steps.

        Parameters
        ----------
        trace : RecurrentTrace
            What `forward` returned.
        d_outputs : array, shape (batch, time, units)
            d_t, what the loss adds directly at each h_t; zeros where it does not read h_t.
        truncate : int, optional
            Cut the chain: the steps form groups of `truncate`, counted from the last, and no
            gradient crosses from one group into the one before it. With a loss at the last step
            alone the sums (5) to (7) keep their last `truncate` terms.

        Returns
        -------
        RecurrentGradients
            All NaN if the forward pass overflowed, since then the loss is no number either.

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's, `d_outputs` is not finite or not shaped like the
            outputs, or `truncate` is no whole number above 0.
        """
        self._check_trace(trace)
        shape = trace.outputs.shape
        takes = f"one gradient for each h_t, shape {shape}, with zeros where the loss reads none"
        d_outputs = as_array("d_outputs", d_outputs, shape=shape, takes=takes)
        if truncate is not None:
            truncate = positive_int("truncate", truncate)
        if trace.overflowed:
            d_outputs = np.full(shape, np.nan)
        return self.run_backward(trace, d_outputs, truncate)

    def jacobians(self, trace: RecurrentTrace) -> Array:
        """Return the one-step Jacobians J_t = ∂s_t/∂s_{t−1}; s is h, of an LSTM h and c together.

        Parameters
        ----------
        trace : RecurrentTrace
            What `forward` returned.

        Returns
        -------
        array, shape (batch, time, n, n)
            `[b, t − 1, i, j]` is ∂s_t[j] / ∂s_{t−1}[i] of sample b: a row for each entry of the
            state before, a column for each of the state after. Then ds_t = ds_{t−1} J_t and
            δ_{t−1} = δ_t J_tᵀ. A tape's Jacobian is the transpose of each. n is `units`, of an
            LSTM twice that: first h, then c.

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's.
        """
        self._check_trace(trace)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._jacobians(trace)

    def full_path(self, trace: RecurrentTrace) -> Array:
        """Return ∂s_T/∂s_t = J_{t+1} J_{t+2} … J_T, all ways from step t to the last.

        Parameters
        ----------
        trace : RecurrentTrace
            What `forward` returned.

        Returns
        -------
        array, shape (batch, time + 1, n, n)
            `[:, t]` goes from s_t to s_T for t = 0 … T, rows and columns as in `jacobians`. At
            t = T it is the identity.

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's.
        """
        J = self.jacobians(trace)
        path = np.empty((len(J), trace.length + 1, *J.shape[2:]))
        path[:, -1] = np.eye(J.shape[2])
        with np.errstate(over="ignore", invalid="ignore"):
            for t in reversed(range(trace.length)):
                path[:, t] = J[:, t] @ path[:, t + 1]
        return path

    def run(self, x: Array, state: State | None = None) -> RecurrentTrace:
        """Do what `forward` does without checks, for loops that go through many batches."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._run(x, self._zero_state(len(x)) if state is None else state)

    def run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, truncate: int | None = None
    ) -> RecurrentGradients:
        """Do what `backward` does without checks: what is not finite passes through."""
        cuts = _cuts(trace.length, truncate)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._run_backward(trace, d_outputs, cuts)

    @abstractmethod
    def _run(self, x: Array, state: Any) -> RecurrentTrace:
        """Go through the steps."""

    @abstractmethod
    def _run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, cuts: set[int]
    ) -> RecurrentGradients:
        """Go back through the steps; those in `cuts` send nothing to the step before them."""

    @abstractmethod
    def _jacobians(self, trace: RecurrentTrace) -> Array:
        """Return ∂s_t/∂s_{t−1} of all steps, rows for the state before."""

    def _gathered(
        self, trace: RecurrentTrace, d_a: Array, states: Array, initial_state: State, **cells: Array
    ) -> RecurrentGradients:
        """Return all gradients, those of the weights summed over the steps: (5) to (8)."""
        d_W_h, d_b = self._sums_over_time(trace, d_a)
        return RecurrentGradients(
            kernel=sum_of_products(trace.inputs, d_a),  # (5)
            recurrent_kernel=d_W_h,
            bias=None if self.bias is None else d_b,
            inputs=d_a @ self.kernel.T,  # (8)
            states=states,
            pre_activations=d_a,
            initial_state=initial_state,
            **cells,
        )

    def _sums_over_time(self, trace: RecurrentTrace, d_a: Array) -> tuple[Array, Array]:
        """Equations (6) and (7): the gradients by W_h and by b."""
        return sum_of_products(trace.previous_outputs, d_a), d_a.sum(axis=(0, 1))

    def _from_inputs(self, x: Array) -> Array:
        """x_t W_x + b for all steps at once: no step has to wait for it."""
        return x @ self.kernel + self._b

    def _zero_state(self, batch: int) -> State:
        return np.zeros((batch, self.units))

    def _checked_inputs(self, x: ArrayLike) -> Array:
        x = as_array("x", x, takes="an array of shape (batch, time, features)")
        if x.ndim != 3:
            hint = ", so for one feature write `x[..., None]`" if x.ndim == 2 else ""
            raise ValueError(
                f"`x` has shape {x.shape}; a recurrent layer needs (batch, time, features){hint}."
            )
        if x.shape[2] != self.features:
            raise ValueError(
                f"`x` has shape {x.shape}; `kernel` has {self.features} rows, so it takes "
                f"(batch, time, {self.features})."
            )
        return x

    def _checked_state(self, state: Any, batch: int) -> State:
        if state is None:
            return self._zero_state(batch)
        return self._checked_state_array("state", state, batch)

    def _checked_state_array(self, name: str, state: Any, batch: int) -> Array:
        shape = (batch, self.units)
        return as_array(name, state, shape=shape, takes=f"one state for each sample, shape {shape}")

    def _check_trace(self, trace: object) -> None:
        trace = instance("trace", trace, RecurrentTrace, "what `forward` of this layer returned")
        blocks = tuple(name for name in trace.gates if name != "cell")
        found = (trace.inputs.shape[2], trace.outputs.shape[2], blocks)
        gates = self.BLOCKS if len(self.BLOCKS) > 1 else ()
        if found != (self.features, self.units, gates):
            raise ValueError(f"`trace` is {trace!r}; it takes what `forward` of {self!r} returned.")

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind}: {self.features} features, {self.units} units{self._details()}>"

    def _details(self) -> str:
        return ""


def one_step_earlier(first: Any, steps: Array) -> Array:
    """Return `first` and all of the steps but the last: what each step reads."""
    return np.concatenate([first[:, None], steps[:, :-1]], axis=1)


def _present(*arrays: Array | None) -> list[Array]:
    return [array for array in arrays if array is not None]


def blocks_of(a: Array, count: int) -> list[Array]:
    """Return views of the `count` blocks that stand side by side in `a`, shape (batch, columns)."""
    n = a.shape[1] // count
    return [a[:, k * n : (k + 1) * n] for k in range(count)]


def _cuts(length: int, truncate: int | None) -> set[int]:
    """Return the steps, counted from 0, that send no gradient to the step before them."""
    return set() if truncate is None else set(range(length - truncate, 0, -truncate))


def unless_cut(cut: bool, gradient: Array) -> Array:
    """Return what goes on to the step before, or zeros where the chain is cut."""
    return np.zeros_like(gradient) if cut else gradient


def sum_of_products(left: Array, d_a: Array) -> Array:
    """Σ_t left_tᵀ d_a_t, over the steps and the batch: one product of two tall matrices."""
    return left.reshape(-1, left.shape[2]).T @ d_a.reshape(-1, d_a.shape[2])


def _drawn_kernels(
    features: int,
    units: int,
    blocks: int,
    rng: np.random.Generator,
    kernel: Start,
    recurrent: Start,
) -> tuple[Array, Array]:
    """Return W_x and W_h, drawn in this order."""
    features, units = positive_int("features", features), positive_int("units", units)
    generator("rng", rng)
    width = blocks * units
    return (
        _start("kernel", kernel, (features, width), rng),
        _start("recurrent", recurrent, (units, width), rng),
    )


def _start(name: str, start: Start, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Return the matrix that `start` names, makes or is."""
    if isinstance(start, str):
        start = INITIALIZERS[start]
    matrix = start(shape, rng) if callable(start) else start
    takes = f"the name of an initialiser, a function that makes one, or a matrix of shape {shape}"
    return as_array(name, matrix, shape=shape, takes=takes).copy()


def check_keras_layer(layer: Any, kind: str) -> None:
    """Refuse what is no `keras.layers.<kind>`, or does not compute what this module does."""
    if kind not in {base.__name__ for base in type(layer).__mro__}:
        raise TypeError(f"`layer` is {shown(layer)}; it takes a `keras.layers.{kind}`.")
    if not layer.built:
        raise ValueError("`layer` is not built; it takes one that has been called on an input.")
    if layer.go_backwards:
        raise ValueError(
            "`layer` has go_backwards=True; it takes one that reads forwards, so build it without "
            "and pass `x[:, ::-1]`."
        )
    for name, needed in (("activation", "tanh"), ("recurrent_activation", "sigmoid")):
        found = getattr(getattr(layer, name, None), "__name__", needed)
        if kind != "SimpleRNN" and found != needed:
            raise ValueError(f"`layer` has {name}={found!r}; it takes {needed!r}.")


def keras_weights(layer: Any) -> tuple[Array, Array, Array | None]:
    """Return kernel, recurrent kernel and bias (None if there is none), copied into float64."""
    cell = layer.cell
    bias = None if cell.bias is None else np.array(cell.bias.numpy(), dtype=np.float64)
    kernel, recurrent_kernel = (
        np.array(weight.numpy(), dtype=np.float64)
        for weight in (cell.kernel, cell.recurrent_kernel)
    )
    return kernel, recurrent_kernel, bias


def keras_activation(layer: Any) -> str:
    """Return the name of φ where it means the same here (Keras's Leaky ReLU has another slope)."""
    name = getattr(layer.activation, "__name__", shown(layer.activation))
    return one_of("layer.activation", name, ("tanh", "relu", "sigmoid", "linear", "elu", "gelu"))
