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

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from course_lib.checks import as_matrix, instance, number, one_of, shown
from course_lib.maths.activations import Activation, as_activation, bare
from course_lib.maths.recurrent_layer import (
    Array,
    RecurrentGradients,
    RecurrentLayer,
    RecurrentTrace,
    Start,
    State,
    blocks_of,
    check_keras_layer,
    drawn_kernels,
    keras_activation,
    keras_weights,
    sum_of_products,
    unless_cut,
)

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

sigmoid = bare(as_activation("sigmoid").function)


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
        check_keras_layer(layer, "SimpleRNN")
        kernel, recurrent_kernel, bias = keras_weights(layer)
        return cls(kernel, recurrent_kernel, bias, keras_activation(layer))

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
        W_x, W_h = drawn_kernels(features, units, 1, rng, kernel, recurrent)
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
            from_later = unless_cut(t in cuts, d_a[:, t] @ W_h.T)
        return self._gathered(trace, d_a, states, from_later)

    def jacobians(self, trace: RecurrentTrace) -> Array:
        """Return the one-step Jacobians J_t = ∂h_t/∂h_{t−1} = W_h diag(φ′(a_t)).

        Parameters
        ----------
        trace : RecurrentTrace
            What `forward` returned.

        Returns
        -------
        array, shape (batch, time, units, units)
            `[b, t − 1, i, j]` is ∂h_t[j] / ∂h_{t−1}[i] of sample b: a row for each entry of the
            state before, a column for each of the state after. Then dh_t = dh_{t−1} J_t, the
            product from h_s to h_t reads in the order of time, J_{s+1} J_{s+2} … J_t, and
            δ_{t−1} = δ_t J_tᵀ. A tape's Jacobian is the transpose of each.

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

    Two gradients go back from step to step: δ_t = ∂𝓛/∂h_t as in (3) and, along the cell,

        ∂𝓛/∂c_t = δ_t ⊙ o_t ⊙ (1 − tanh² c_t) + ∂𝓛/∂c_{t+1} ⊙ f_{t+1}      (13)

    Its first term is the way through h_t, its second `cells` of the gradients, and both together
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
        check_keras_layer(layer, "LSTM")
        return cls(*keras_weights(layer))

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
        W_x, W_h = drawn_kernels(features, units, 4, rng, kernel, recurrent)
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
            a_i, a_f, a_g, a_o = blocks_of(a, 4)
            i, f, g, o = sigmoid(a_i), sigmoid(a_f), np.tanh(a_g), sigmoid(a_o)  # (10)
            c = f * c + i * g  # (11)
            h = o * np.tanh(c)  # (12)
            steps.append((a, i, f, g, o, c, h))
        a, i, f, g, o, c, h = (np.stack(arrays, axis=1) for arrays in zip(*steps, strict=True))
        gates = dict(zip(self.BLOCKS, (i, f, g, o), strict=True)) | {"cell": c}
        return RecurrentTrace(x, h, a, state, gates, c)

    def _run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, cuts: set[int]
    ) -> RecurrentGradients:
        i, f, g, o = (trace.gates[name] for name in self.BLOCKS)
        tanh_c = np.tanh(np.asarray(trace.cells))
        c_by_a_i, c_by_a_f = g * i * (1 - i), trace.previous_cells * f * (1 - f)  # ∂c_t/∂a_i, …
        c_by_a_g, h_by_a_o = i * (1 - g**2), tanh_c * o * (1 - o)
        h_by_c = o * (1 - tanh_c**2)
        d_a = np.empty_like(trace.pre_activations)
        states, cells, total_cells = (np.empty_like(d_outputs) for _ in range(3))
        d_h_later = d_c_later = np.zeros_like(d_outputs[:, 0])
        for t in reversed(range(trace.length)):
            states[:, t] = d_h = d_outputs[:, t] + d_h_later  # (3)
            cells[:, t] = d_c_later
            total_cells[:, t] = d_c = d_h * h_by_c[:, t] + d_c_later  # (13)
            a_i, a_f, a_g, a_o = blocks_of(d_a[:, t], 4)  # views: what is written here is in d_a
            a_i[:], a_f[:] = d_c * c_by_a_i[:, t], d_c * c_by_a_f[:, t]
            a_g[:], a_o[:] = d_c * c_by_a_g[:, t], d_h * h_by_a_o[:, t]
            d_h_later = unless_cut(t in cuts, d_a[:, t] @ self.recurrent_kernel.T)
            d_c_later = unless_cut(t in cuts, d_c * f[:, t])
        start = d_h_later, d_c_later
        return self._gathered(trace, d_a, states, start, cells=cells, total_cells=total_cells)

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
        check_keras_layer(layer, "GRU")
        kernel, recurrent_kernel, bias = keras_weights(layer)
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
        W_x, W_h = drawn_kernels(features, units, 3, rng, kernel, recurrent)
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
        from_inputs = self._from_inputs(x)
        U, u = self.recurrent_kernel, self._recurrent_bias
        U_gates, u_gates = self._gates_and_candidate(U)[0], self._gates_and_candidate(u)[0]
        h = state
        steps = []
        for t in range(x.shape[1]):
            x_gates, x_candidate = self._gates_and_candidate(from_inputs[:, t])
            a_gates = x_gates + h @ U_gates + u_gates
            z, r = blocks_of(sigmoid(a_gates), 2)  # (14)
            a_candidate = x_candidate + self._to_candidate(h, r)
            candidate = np.tanh(a_candidate)  # (15) or (17)
            kept = self._kept(z)
            h = kept * h + (1 - kept) * candidate  # (16)
            steps.append((np.concatenate([a_gates, a_candidate], axis=1), z, r, candidate, h))
        a, z, r, candidate, h = (np.stack(arrays, axis=1) for arrays in zip(*steps, strict=True))
        gates = dict(zip(self.BLOCKS, (z, r, candidate), strict=True))
        return RecurrentTrace(x, h, a, state, gates)

    def _run_backward(
        self, trace: RecurrentTrace, d_outputs: Array, cuts: set[int]
    ) -> RecurrentGradients:
        z, r, candidate = (trace.gates[name] for name in self.BLOCKS)
        kept, h_before = self._kept(z), trace.previous_outputs
        sign = 1 if self.keeps == "old" else -1
        h_by_a_z = sign * (h_before - candidate) * z * (1 - z)  # ∂h_t/∂a_z
        h_by_a_candidate = (1 - kept) * (1 - candidate**2)
        U_gates, _ = self._gates_and_candidate(self.recurrent_kernel)
        d_a, states = np.empty_like(trace.pre_activations), np.empty_like(d_outputs)
        from_later = np.zeros_like(d_outputs[:, 0])
        for t in reversed(range(trace.length)):
            states[:, t] = d_h = d_outputs[:, t] + from_later  # (3)
            a_z, a_r, a_candidate = blocks_of(d_a[:, t], 3)  # views: what is written is in d_a
            a_z[:], a_candidate[:] = d_h * h_by_a_z[:, t], d_h * h_by_a_candidate[:, t]
            d_r, d_h_before = self._from_candidate(a_candidate, h_before[:, t], r[:, t])
            a_r[:] = d_r * r[:, t] * (1 - r[:, t])
            d_gates, _ = self._gates_and_candidate(d_a[:, t])
            from_later = d_h * kept[:, t] + d_h_before + d_gates @ U_gates.T
            from_later = unless_cut(t in cuts, from_later)
        return self._gathered(trace, d_a, states, from_later)

    def _kept(self, z: Array) -> Array:
        """Return the share of h_{t−1} that stays in (16)."""
        return z if self.keeps == "old" else 1 - z

    def _to_candidate(self, h: Array, r: Array) -> Array:
        """Return what h_{t−1} sends to the candidate, in (17) or in (15)."""
        _, U = self._gates_and_candidate(self.recurrent_kernel)
        _, u = self._gates_and_candidate(self._recurrent_bias)
        return r * (h @ U + u) if self.reset_after else (r * h) @ U

    def _from_candidate(self, d_a: Array, h: Array, r: Array) -> tuple[Array, Array]:
        """Return what the candidate sends back to r_t and to h_{t−1}."""
        _, U = self._gates_and_candidate(self.recurrent_kernel)
        _, u = self._gates_and_candidate(self._recurrent_bias)
        if self.reset_after:
            return d_a * (h @ U + u), (d_a * r) @ U.T
        d_product = d_a @ U.T  # by r_t ⊙ h_{t−1}
        return d_product * h, d_product * r

    def _sums_over_time(self, trace: RecurrentTrace, d_a: Array) -> tuple[Array, Array]:
        """Equations (6) and (7): where r stands decides what U and its bias have seen."""
        h_before, r = trace.previous_outputs, trace.gates["reset"]
        d_gates, d_candidate = self._gates_and_candidate(d_a)
        if self.reset_after:
            d_from_state = np.concatenate([d_gates, r * d_candidate], axis=2)
            d_bias = np.stack([d_a.sum(axis=(0, 1)), d_from_state.sum(axis=(0, 1))])
            return sum_of_products(h_before, d_from_state), d_bias
        d_U_gates = sum_of_products(h_before, d_gates)
        d_U_candidate = sum_of_products(r * h_before, d_candidate)
        return np.concatenate([d_U_gates, d_U_candidate], axis=1), d_a.sum(axis=(0, 1))

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
