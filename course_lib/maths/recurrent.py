"""Recurrent layers, forward and backward through time: simple RNN, LSTM and GRU.

Rows are samples, t = 1 … T counts the steps, h_0 is the state before the first (zeros unless
given). Arrays count from 0: step t is `x[:, t - 1]`. The simple RNN (Elman 1990), as in Keras:

    a_t      = x_t W_x + h_{t−1} W_h + b                   (1)    forward, t = 1 … T
    h_t      = φ(a_t)                                      (2)

δ_t = ∂𝓛/∂h_t is all that arrives at h_t. The loss adds d_t to it directly, where it reads h_t, and
the rest comes through h_{t+1}. That is backpropagation through time (Werbos 1990):

    δ_t      = d_t + ∂𝓛/∂a_{t+1} W_hᵀ                      (3)    backward, t = T … 1
    ∂𝓛/∂a_t  = δ_t ⊙ φ′(a_t)                               (4)
    ∂𝓛/∂W_x  = Σ_t x_tᵀ ∂𝓛/∂a_t                            (5)    one kernel for all steps: a sum
    ∂𝓛/∂W_h  = Σ_t h_{t−1}ᵀ ∂𝓛/∂a_t                        (6)
    ∂𝓛/∂b    = Σ_t Σ over the batch of ∂𝓛/∂a_t             (7)
    ∂𝓛/∂x_t  = ∂𝓛/∂a_t W_xᵀ                                (8)

From step to step a gradient is multiplied by the Jacobian J_t = ∂h_t/∂h_{t−1} (Pascanu, Mikolov &
Bengio 2013, eq. 5). Since states are rows, dh_t = dh_{t−1} J_t and δ_{t−1} = δ_t J_tᵀ + d_{t−1},
where J_t = W_h diag(φ′(a_t)); with columns for states it would be the transpose.

Nothing is raised when a number leaves the range of float64 on the way: entries become infinite,
then NaN, as they would in any network, and `RecurrentTrace.overflowed` names the step.
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
    number,
    one_of,
    positive_int,
    shown,
)
from course_lib.maths.activations import Activation, as_activation, bare
from course_lib.maths.initializers import INITIALIZERS

__all__ = [
    "GRU",
    "LSTM",
    "RecurrentGradients",
    "RecurrentLayer",
    "RecurrentTrace",
    "SimpleRNN",
    "largest_singular_value",
    "spectral_radius",
]

Array = NDArray[np.float64]
State = Array | tuple[Array, Array]
Start = str | ArrayLike | Callable[[tuple[int, int], np.random.Generator], ArrayLike]

_sigmoid = bare(as_activation("sigmoid").function)  # Keras's gates: σ, whatever φ is


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
        By name: LSTM "input", "forget", "candidate", "output"; GRU "update", "reset", "candidate";
        empty for a simple RNN.
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
        return _one_step_earlier(h_0, self.outputs)

    @property
    def previous_cells(self) -> Array:
        """c_0 … c_{T−1} of an LSTM, shape (batch, time, units)."""
        if self.cells is None:
            raise ValueError(
                "`cells` is None in this trace; `previous_cells` takes that of an LSTM."
            )
        return _one_step_earlier(self.initial_state[1], self.cells)

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
        return np.sqrt((self.states**2).sum(axis=(0, 2)))

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
        self.recurrent_kernel = as_matrix("recurrent_kernel", recurrent_kernel, takes=takes)
        if self.recurrent_kernel.shape != (self.units, k * self.units):
            raise ValueError(
                f"`recurrent_kernel` has shape {self.recurrent_kernel.shape}; it takes {takes}."
            )
        takes = f"a matrix of shape (features, {k * self.units}), as wide as `recurrent_kernel`"
        self.kernel = as_matrix("kernel", kernel, takes=takes)
        if self.kernel.shape[1] != k * self.units:
            raise ValueError(f"`kernel` has shape {self.kernel.shape}; it takes {takes}.")
        self.bias = None if bias is None else as_array("bias", bias, shape=self._bias_shape)

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

    def run(self, x: Array, state: State | None = None) -> RecurrentTrace:
        """Do what `forward` does without checks, for loops that train."""
        with np.errstate(over="ignore", invalid="ignore"):
            return self._run(x, self._zero_state(len(x)) if state is None else state)

    def run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, truncate: int | None = None
    ) -> RecurrentGradients:
        """Do what `backward` does without checks, for loops that train."""
        cuts = _cuts(trace.length, truncate)
        with np.errstate(over="ignore", invalid="ignore"):
            return self._run_backward(trace, d_outputs, cuts)

    @abstractmethod
    def _run(self, x: Array, state: Any) -> RecurrentTrace: ...

    @abstractmethod
    def _run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, cuts: set[int]
    ) -> RecurrentGradients: ...

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
        found = (trace.inputs.shape[2], trace.outputs.shape[2], tuple(trace.gates))
        gates = self.BLOCKS if len(self.BLOCKS) > 1 else ()
        if found != (self.features, self.units, gates):
            raise ValueError(f"`trace` is {trace!r}; it takes what `forward` of {self!r} returned.")

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"<{kind}: {self.features} features, {self.units} units{self._details()}>"

    def _details(self) -> str:
        return ""


class SimpleRNN(RecurrentLayer):
    """The simple recurrent layer, h_t = φ(x_t W_x + h_{t−1} W_h + b): equations (1) to (8).

    Parameters
    ----------
    kernel : array, shape (features, units)
        W_x.
    recurrent_kernel : array, shape (units, units)
        W_h.
    bias : array, shape (units,), optional
        b.
    activation : str or Activation
        φ: a name in `ACTIVATIONS`, or such an object.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit, a number is not finite, or the name is unknown.
    """

    BLOCKS = ("state",)

    def __init__(
        self,
        kernel: ArrayLike,
        recurrent_kernel: ArrayLike,
        bias: ArrayLike | None = None,
        activation: str | Activation = "tanh",
    ) -> None:
        super().__init__(kernel, recurrent_kernel, bias)
        self.activation = as_activation(activation)

    @classmethod
    def from_keras(cls, layer: Any) -> Self:
        """Return the layer with the weights, in float64, and φ of a `keras.layers.SimpleRNN`.

        Raises
        ------
        TypeError, ValueError
            If `layer` is another one, is not built, reads backwards, or has a φ of its own.
        """
        _check_keras_layer(layer, "SimpleRNN")
        kernel, recurrent_kernel, bias = _keras_weights(layer)
        return cls(kernel, recurrent_kernel, bias, _keras_activation(layer))

    @classmethod
    def random(
        cls,
        features: int,
        units: int,
        rng: np.random.Generator,
        *,
        kernel: Start = "glorot_uniform",
        recurrent: Start = "orthogonal",
        activation: str | Activation = "tanh",
        bias: bool = True,
    ) -> Self:
        """Draw a layer as Keras starts one: a Glorot kernel, an orthogonal W_h, biases 0.

        Parameters
        ----------
        features, units : int
        rng : numpy.random.Generator
        kernel, recurrent : str, array or callable
            A name in `INITIALIZERS`, the matrix itself, or a function of shape and `rng`, such as
            `functools.partial(INITIALIZERS["orthogonal"], gain=1.1)`.
        activation : str or Activation
        bias : bool
            Whether there is a bias.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the sentence names it.
        """
        W_x, W_h = _drawn(features, units, 1, rng, kernel, recurrent)
        b = np.zeros(units) if instance("bias", bias, bool, "True or False") else None
        return cls(W_x, W_h, b, activation)

    def _run(self, x: Array, state: Array) -> RecurrentTrace:
        W_h, phi = self.recurrent_kernel, bare(self.activation.function)
        from_inputs = self._from_inputs(x)
        a, outputs = np.empty_like(from_inputs), np.empty_like(from_inputs)
        h = state
        for t in range(x.shape[1]):
            a[:, t] = from_inputs[:, t] + h @ W_h  # (1)
            outputs[:, t] = h = phi(a[:, t])  # (2)
        return RecurrentTrace(x, outputs, a, state)

    def _run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, cuts: set[int]
    ) -> RecurrentGradients:
        W_h, slopes = self.recurrent_kernel, self._slopes(trace)
        states, d_a = np.empty_like(d_outputs), np.empty_like(d_outputs)
        from_later = np.zeros_like(d_outputs[:, 0])
        for t in reversed(range(trace.length)):
            states[:, t] = d_outputs[:, t] + from_later  # (3)
            d_a[:, t] = states[:, t] * slopes[:, t]  # (4)
            from_later = _unless_cut(t in cuts, d_a[:, t] @ W_h.T)
        return RecurrentGradients(
            kernel=_sum_of_products(trace.inputs, d_a),  # (5)
            recurrent_kernel=_sum_of_products(trace.previous_outputs, d_a),  # (6)
            bias=None if self.bias is None else d_a.sum(axis=(0, 1)),  # (7)
            inputs=d_a @ self.kernel.T,  # (8)
            states=states,
            pre_activations=d_a,
            initial_state=from_later,
        )

    def jacobians(self, trace: RecurrentTrace) -> Array:
        """Return the one-step Jacobians J_t = ∂h_t/∂h_{t−1} = W_h diag(φ′(a_t)).

        Parameters
        ----------
        trace : RecurrentTrace
            What `forward` returned.

        Returns
        -------
        array, shape (batch, time, units, units)
            `[b, t − 1, i, j]` is ∂h_t[j] / ∂h_{t−1}[i] of sample b: rows are what is moved, columns
            what moves. States are rows too, so dh_t = dh_{t−1} J_t, from h_s to h_t the product
            reads in the order of time, J_{s+1} J_{s+2} … J_t, and δ_{t−1} = δ_t J_tᵀ.

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's.
        """
        self._check_trace(trace)
        return self.recurrent_kernel * self._slopes(trace)[:, :, None, :]

    def _slopes(self, trace: RecurrentTrace) -> Array:
        """φ′(a_t) of all steps."""
        with np.errstate(over="ignore", invalid="ignore"):
            return bare(self.activation.derivative)(trace.pre_activations)

    def _details(self) -> str:
        return f", {self.activation.name}"


class LSTM(RecurrentLayer):
    """Long short-term memory with a forget gate, as in Keras: no peepholes, gates i, f, g, o.

    Hochreiter & Schmidhuber (1997) with the forget gate of Gers, Schmidhuber & Cummins (2000):

        a_t = x_t W_x + h_{t−1} W_h + b, in four blocks              (9)
        i_t, f_t, o_t = σ(a_i), σ(a_f), σ(a_o)    g_t = tanh(a_g)   (10)
        c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t                             (11)
        h_t = o_t ⊙ tanh(c_t)                                       (12)

    Two gradients go back from step to step, δ_t = ∂𝓛/∂h_t as in (3) and, along the cell,

        ∂𝓛/∂c_t = δ_t ⊙ o_t ⊙ (1 − tanh² c_t) + ∂𝓛/∂c_{t+1} ⊙ f_{t+1}    (13)

    Its first term is the way through h_t, the second `RecurrentGradients.cells`, and both together
    `total_cells`.

    Parameters
    ----------
    kernel : array, shape (features, 4 · units)
        Side by side the kernels of input gate, forget gate, candidate and output gate.
    recurrent_kernel : array, shape (units, 4 · units)
    bias : array, shape (4 · units,), optional

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit or a number is not finite.
    """

    BLOCKS = ("input", "forget", "candidate", "output")

    @classmethod
    def from_keras(cls, layer: Any) -> Self:
        """Return the layer with the weights, in float64, of a `keras.layers.LSTM`.

        Raises
        ------
        TypeError, ValueError
            If `layer` is another one, is not built, reads backwards, or has other activations.
        """
        _check_keras_layer(layer, "LSTM")
        return cls(*_keras_weights(layer))

    @classmethod
    def random(
        cls,
        features: int,
        units: int,
        rng: np.random.Generator,
        *,
        kernel: Start = "glorot_uniform",
        recurrent: Start = "orthogonal",
        forget_bias: float = 1.0,
        bias: bool = True,
    ) -> Self:
        """Draw a layer as Keras starts one: Glorot, orthogonal, and a bias of 1 at the forget gate.

        The recurrent kernel is orthogonal as a whole, (units, 4 · units); its four square blocks
        are not.

        Parameters
        ----------
        features, units : int
        rng : numpy.random.Generator
        kernel, recurrent : str, array or callable
            As for `SimpleRNN.random`, of shape (features, 4 · units) and (units, 4 · units).
        forget_bias : float
            Bias of the forget gate, whose other biases are 0 (Gers et al. 2000; Jozefowicz et al.
            2015 recommend 1).
        bias : bool
            Whether there is a bias; without one `forget_bias` counts for nothing.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the sentence names it.
        """
        W_x, W_h = _drawn(features, units, 4, rng, kernel, recurrent)
        forget_bias = number("forget_bias", forget_bias)
        if not instance("bias", bias, bool, "True or False"):
            return cls(W_x, W_h)
        b = np.zeros(4 * units)
        b[units : 2 * units] = forget_bias
        return cls(W_x, W_h, b)

    def _run(self, x: Array, state: tuple[Array, Array]) -> RecurrentTrace:
        from_inputs = self._from_inputs(x)
        h, c = state
        steps = []
        for t in range(x.shape[1]):
            a = from_inputs[:, t] + h @ self.recurrent_kernel  # (9)
            a_i, a_f, a_g, a_o = _blocks(a, 4)
            i, f, o = _sigmoid(a_i), _sigmoid(a_f), _sigmoid(a_o)  # (10)
            g = np.tanh(a_g)
            c = f * c + i * g  # (11)
            h = o * np.tanh(c)  # (12)
            steps.append((a, i, f, g, o, c, h))
        a, i, f, g, o, c, h = (np.stack(arrays, axis=1) for arrays in zip(*steps, strict=True))
        gates = dict(zip(self.BLOCKS, (i, f, g, o), strict=True))
        return RecurrentTrace(x, h, a, state, gates, c)

    def _run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, cuts: set[int]
    ) -> RecurrentGradients:
        i, f, g, o = (trace.gates[name] for name in self.BLOCKS)
        c_before, tanh_c = trace.previous_cells, np.tanh(np.asarray(trace.cells))
        d_a = np.empty_like(trace.pre_activations)
        states, cells, total_cells = (np.empty_like(d_outputs) for _ in range(3))
        d_h_later = d_c_later = np.zeros_like(d_outputs[:, 0])
        for t in reversed(range(trace.length)):
            states[:, t] = d_h = d_outputs[:, t] + d_h_later  # (3)
            cells[:, t] = d_c_later
            through_h = d_h * o[:, t] * (1 - tanh_c[:, t] ** 2)
            total_cells[:, t] = d_c = through_h + d_c_later  # (13)
            a_i, a_f, a_g, a_o = _blocks(d_a[:, t], 4)  # views: what is written here is in d_a
            a_i[:] = d_c * g[:, t] * i[:, t] * (1 - i[:, t])
            a_f[:] = d_c * c_before[:, t] * f[:, t] * (1 - f[:, t])
            a_g[:] = d_c * i[:, t] * (1 - g[:, t] ** 2)
            a_o[:] = d_h * tanh_c[:, t] * o[:, t] * (1 - o[:, t])
            d_h_later = _unless_cut(t in cuts, d_a[:, t] @ self.recurrent_kernel.T)
            d_c_later = _unless_cut(t in cuts, d_c * f[:, t])
        return RecurrentGradients(
            kernel=_sum_of_products(trace.inputs, d_a),
            recurrent_kernel=_sum_of_products(trace.previous_outputs, d_a),
            bias=None if self.bias is None else d_a.sum(axis=(0, 1)),
            inputs=d_a @ self.kernel.T,
            states=states,
            pre_activations=d_a,
            initial_state=(d_h_later, d_c_later),
            cells=cells,
            total_cells=total_cells,
        )

    def _zero_state(self, batch: int) -> State:
        return np.zeros((batch, self.units)), np.zeros((batch, self.units))

    def _checked_state(self, state: Any, batch: int) -> State:
        if state is None:
            return self._zero_state(batch)
        if not isinstance(state, (list, tuple)) or len(state) != 2:
            raise TypeError(f"`state` is {shown(state)}; an LSTM takes a pair (h_0, c_0).")
        h_0, c_0 = (
            self._checked_state_array(f"state[{i}]", array, batch) for i, array in enumerate(state)
        )
        return h_0, c_0


class GRU(RecurrentLayer):
    """Gated recurrent unit, as in Keras; gates z, r and the candidate h̃.

    Cho et al. (2014, eq. 5 to 8), which is `reset_after=False`:

        z_t, r_t = σ(x_t W_z + h_{t−1} U_z + b_z), σ(x_t W_r + h_{t−1} U_r + b_r)    (14)
        h̃_t = tanh(x_t W_h̃ + (r_t ⊙ h_{t−1}) U_h̃ + b_h̃)                             (15)
        h_t = z_t ⊙ h_{t−1} + (1 − z_t) ⊙ h̃_t                                       (16)

    With `reset_after=True`, Keras's default, the reset gate acts after the product, and that has a
    bias of its own: h̃_t = tanh(x_t W_h̃ + b_h̃ + r_t ⊙ (h_{t−1} U_h̃ + u_h̃))           (17)

    Parameters
    ----------
    kernel : array, shape (features, 3 · units)
        Side by side the kernels W of update gate, reset gate and candidate.
    recurrent_kernel : array, shape (units, 3 · units)
        The kernels U.
    bias : array, shape (3 · units,), optional
        With `reset_after` shape (2, 3 · units): b beside the inputs, and u beside h_{t−1} U.
    reset_after : bool
    keeps : "old" or "new"
        What z = 1 means: "old" keeps h_{t−1}, as in (16), Keras and PyTorch; "new" takes h̃_t, as
        in Chung et al. (2014), who write 1 − z for z.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit, a number is not finite, or `keeps` is neither.
    """

    BLOCKS = ("update", "reset", "candidate")

    def __init__(
        self,
        kernel: ArrayLike,
        recurrent_kernel: ArrayLike,
        bias: ArrayLike | None = None,
        reset_after: bool = True,
        *,
        keeps: str = "old",
    ) -> None:
        self.reset_after = instance("reset_after", reset_after, bool, "True or False")
        self.keeps = one_of("keeps", keeps, ("old", "new"))
        super().__init__(kernel, recurrent_kernel, bias)

    @classmethod
    def from_keras(cls, layer: Any) -> Self:
        """Return the layer with the weights, in float64, of a `keras.layers.GRU`.

        Raises
        ------
        TypeError, ValueError
            If `layer` is another one, is not built, reads backwards, or has other activations.
        """
        _check_keras_layer(layer, "GRU")
        kernel, recurrent_kernel, bias = _keras_weights(layer)
        return cls(kernel, recurrent_kernel, bias, bool(layer.reset_after))

    @classmethod
    def random(
        cls,
        features: int,
        units: int,
        rng: np.random.Generator,
        *,
        kernel: Start = "glorot_uniform",
        recurrent: Start = "orthogonal",
        reset_after: bool = True,
        keeps: str = "old",
        bias: bool = True,
    ) -> Self:
        """Draw a layer as Keras starts one: a Glorot kernel, an orthogonal one, biases 0.

        Parameters
        ----------
        features, units : int
        rng : numpy.random.Generator
        kernel, recurrent : str, array or callable
            As for `SimpleRNN.random`, of shape (features, 3 · units) and (units, 3 · units).
        reset_after, keeps
            As for `GRU`.
        bias : bool
            Whether there is a bias.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the sentence names it.
        """
        W_x, W_h = _drawn(features, units, 3, rng, kernel, recurrent)
        layer = cls(W_x, W_h, reset_after=reset_after, keeps=keeps)
        if instance("bias", bias, bool, "True or False"):
            layer.bias = np.zeros(layer._bias_shape)
        return layer

    @property
    def _bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    @property
    def _input_bias(self) -> Array:
        """What stands beside the inputs: b."""
        return self._b[0] if self.reset_after else self._b

    @property
    def _recurrent_bias(self) -> Array:
        """What stands beside h_{t−1} U: u, or zeros unless `reset_after`."""
        return self._b[1] if self.reset_after else np.zeros(3 * self.units)

    def _from_inputs(self, x: Array) -> Array:
        return x @ self.kernel + self._input_bias

    def _run(self, x: Array, state: Array) -> RecurrentTrace:
        from_inputs, u = self._from_inputs(x), self._recurrent_bias
        U_zr, U_candidate = self._gates_and_candidate(self.recurrent_kernel)
        u_zr, u_candidate = self._gates_and_candidate(u)
        x_zr, x_candidate = self._gates_and_candidate(from_inputs)
        h = state
        steps = []
        for t in range(x.shape[1]):
            a_zr = x_zr[:, t] + h @ U_zr + u_zr
            z, r = _blocks(_sigmoid(a_zr), 2)  # (14)
            if self.reset_after:
                from_state = r * (h @ U_candidate + u_candidate)  # (17)
            else:
                from_state = (r * h) @ U_candidate  # (15)
            a_candidate = x_candidate[:, t] + from_state
            candidate = np.tanh(a_candidate)
            kept = z if self.keeps == "old" else 1 - z
            h = kept * h + (1 - kept) * candidate  # (16)
            steps.append((np.concatenate([a_zr, a_candidate], axis=1), z, r, candidate, h))
        a, z, r, candidate, h = (np.stack(arrays, axis=1) for arrays in zip(*steps, strict=True))
        gates = dict(zip(self.BLOCKS, (z, r, candidate), strict=True))
        return RecurrentTrace(x, h, a, state, gates)

    def _run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, cuts: set[int]
    ) -> RecurrentGradients:
        z, r, candidate = (trace.gates[name] for name in self.BLOCKS)
        kept, sign = (z, 1) if self.keeps == "old" else (1 - z, -1)
        U_zr, U_candidate = self._gates_and_candidate(self.recurrent_kernel)
        _, u_candidate = self._gates_and_candidate(self._recurrent_bias)
        h_before = trace.previous_outputs
        d_a, states = np.empty_like(trace.pre_activations), np.empty_like(d_outputs)
        from_later = np.zeros_like(d_outputs[:, 0])
        for t in reversed(range(trace.length)):
            states[:, t] = d_h = d_outputs[:, t] + from_later  # (3)
            a_z, a_r, a_candidate = _blocks(d_a[:, t], 3)  # views: what is written here is in d_a
            d_z = sign * d_h * (h_before[:, t] - candidate[:, t])
            a_z[:] = d_z * z[:, t] * (1 - z[:, t])
            a_candidate[:] = d_h * (1 - kept[:, t]) * (1 - candidate[:, t] ** 2)
            if self.reset_after:
                d_r = a_candidate * (h_before[:, t] @ U_candidate + u_candidate)
                through_candidate = (a_candidate * r[:, t]) @ U_candidate.T
            else:
                d_product = a_candidate @ U_candidate.T  # by r_t ⊙ h_{t−1}
                d_r = d_product * h_before[:, t]
                through_candidate = d_product * r[:, t]
            a_r[:] = d_r * r[:, t] * (1 - r[:, t])
            d_zr, _ = self._gates_and_candidate(d_a[:, t])
            from_later = d_h * kept[:, t] + through_candidate + d_zr @ U_zr.T
            from_later = _unless_cut(t in cuts, from_later)
        d_recurrent_kernel, d_bias = self._sums_over_time(trace, d_a)
        return RecurrentGradients(
            kernel=_sum_of_products(trace.inputs, d_a),
            recurrent_kernel=d_recurrent_kernel,
            bias=None if self.bias is None else d_bias,
            inputs=d_a @ self.kernel.T,
            states=states,
            pre_activations=d_a,
            initial_state=from_later,
        )

    def _sums_over_time(self, trace: RecurrentTrace, d_a: Array) -> tuple[Array, Array]:
        """Return the gradients by U and by the biases: where r stands decides what U sees."""
        h_before, r = trace.previous_outputs, trace.gates["reset"]
        d_zr, d_candidate = self._gates_and_candidate(d_a)
        if self.reset_after:
            d_from_state = np.concatenate([d_zr, r * d_candidate], axis=2)
            d_bias = np.stack([d_a.sum(axis=(0, 1)), d_from_state.sum(axis=(0, 1))])
            return _sum_of_products(h_before, d_from_state), d_bias
        d_U_zr = _sum_of_products(h_before, d_zr)
        d_U_candidate = _sum_of_products(r * h_before, d_candidate)
        return np.concatenate([d_U_zr, d_U_candidate], axis=1), d_a.sum(axis=(0, 1))

    def _gates_and_candidate(self, array: Array) -> tuple[Array, Array]:
        """Split the last axis into the blocks of z and r, and the block of h̃."""
        return array[..., : 2 * self.units], array[..., 2 * self.units :]

    def _details(self) -> str:
        return f", reset {'after' if self.reset_after else 'before'} the product"


def spectral_radius(W: ArrayLike) -> float:
    """Return ρ(W), the largest absolute value of an eigenvalue of a square matrix.

    ‖Wᵏ‖^(1/k) tends to it for large k (Gelfand); what a few steps do, it does not say.

    Raises
    ------
    TypeError, ValueError
        If `W` is no square matrix of finite numbers.
    """
    W = as_matrix("W", W, takes="a square matrix")
    if W.shape[0] != W.shape[1]:
        raise ValueError(f"`W` has shape {W.shape}; it takes a square matrix.")
    return float(np.abs(np.linalg.eigvals(W)).max())


def largest_singular_value(W: ArrayLike) -> float:
    """Return s_max(W), the most by which a matrix can lengthen a vector; at least ρ(W).

    Raises
    ------
    TypeError, ValueError
        If `W` is no matrix of finite numbers.
    """
    return float(np.linalg.norm(as_matrix("W", W), 2))


def _one_step_earlier(first: Any, steps: Array) -> Array:
    return np.concatenate([first[:, None], steps[:, :-1]], axis=1)


def _present(*arrays: Array | None) -> list[Array]:
    return [array for array in arrays if array is not None]


def _blocks(a: Array, count: int) -> list[Array]:
    """Return views of the `count` blocks that stand side by side in `a`, shape (batch, …)."""
    n = a.shape[1] // count
    return [a[:, k * n : (k + 1) * n] for k in range(count)]


def _cuts(length: int, truncate: int | None) -> set[int]:
    """Return the steps, counted from 0, that send no gradient to the step before them."""
    return set() if truncate is None else set(range(length - truncate, 0, -truncate))


def _unless_cut(cut: bool, gradient: Array) -> Array:
    return np.zeros_like(gradient) if cut else gradient


def _sum_of_products(left: Array, d_a: Array) -> Array:
    """Σ_t left_tᵀ d_a_t, over the steps and the batch: one product of two tall matrices."""
    return left.reshape(-1, left.shape[2]).T @ d_a.reshape(-1, d_a.shape[2])


def _drawn(
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


def _check_keras_layer(layer: Any, kind: str) -> None:
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


def _keras_weights(layer: Any) -> tuple[Array, Array, Array | None]:
    """Return kernel, recurrent kernel and bias (None if there is none), copied into float64."""
    cell = layer.cell
    bias = None if cell.bias is None else np.array(cell.bias.numpy(), dtype=np.float64)
    kernel, recurrent_kernel = (
        np.array(weight.numpy(), dtype=np.float64)
        for weight in (cell.kernel, cell.recurrent_kernel)
    )
    return kernel, recurrent_kernel, bias


def _keras_activation(layer: Any) -> str:
    """Return the name of φ where it means the same here (Keras's Leaky ReLU has another slope)."""
    name = getattr(layer.activation, "__name__", shown(layer.activation))
    return one_of("layer.activation", name, ("tanh", "relu", "sigmoid", "linear", "elu", "gelu"))
