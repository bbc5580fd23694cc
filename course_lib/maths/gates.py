"""Recurrent layers with gates, LSTM and GRU: forward, backward, and what their gates let through.

What both have in common with the simple RNN, equations (1) to (8), is in `recurrent`. A gate is a
number from 0 to 1 for each unit and step, σ of its own pre-activation. Where a gate multiplies what
a unit held before, one factor of the way back is the gate itself, whatever the weights are:

    LSTM, along the cell (11)    c_T by c_t:  f_{t+1} ⊙ f_{t+2} ⊙ … ⊙ f_T              (18)
    GRU, along the state (16)    h_T by h_t:  z_{t+1} ⊙ z_{t+2} ⊙ … ⊙ z_T              (19)

This is the direct path. It is the whole Jacobian where neither gates nor candidate read h
(recurrent kernel 0). Elsewhere the ways through h_{t+1}, h_{t+2}, … add to it, and the sum may be
smaller or larger. With a gate of σ(b) at every step half is left after

    k = ln ½ / ln σ(b) steps                                                           (20)
"""

from __future__ import annotations

import copy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from course_lib.checks import as_array, generator, instance, number, one_of, positive_int, shown
from course_lib.maths.activations import as_activation, bare
from course_lib.maths.recurrent_layer import (
    Array,
    RecurrentGradients,
    RecurrentLayer,
    RecurrentTrace,
    Start,
    State,
    blocks_of,
    check_keras_layer,
    keras_weights,
    sum_of_products,
    unless_cut,
)

__all__ = ["GRU", "LSTM", "GatedLayer", "chrono_bias", "half_life", "products_to_the_last"]

sigmoid = bare(as_activation("sigmoid").function)


class GatedLayer(RecurrentLayer):
    """What LSTM and GRU have in common: gates whose biases can be set by name."""

    def with_bias(self, **biases: ArrayLike) -> Self:
        """Return a copy with other biases, such as `layer.with_bias(forget=3.0, input=-3.0)`.

        Parameters
        ----------
        **biases : float, or array of shape (units,)
            By the name of the gate or candidate, as in `BLOCKS`; the other biases stay. With
            `reset_after` b takes the number and u, beside h_{t−1} U, becomes 0 there, so that the
            gate's bias is the number itself.

        Raises
        ------
        TypeError, ValueError
            If there is no such gate, or the bias is neither one number nor one a unit.
        """
        layer = copy.deepcopy(self)
        layer.bias = layer._b
        for gate, value in biases.items():
            b_and_u = np.atleast_2d(layer.bias)[:, self._columns(gate)]  # a view; u may be absent
            b_and_u[0], b_and_u[1:] = self._checked_bias(gate, value), 0
        return layer

    def with_gate_of(self, other: Self, gate: str) -> Self:
        """Return a copy in which one gate, or the candidate, has the weights of another layer.

        Parameters
        ----------
        other : layer of the same class and shapes; a GRU that keeps the same, "old" or "new"
        gate : str
            Its name, as in `BLOCKS`.

        Raises
        ------
        TypeError, ValueError
            If `other` is another kind of layer or does not fit, or there is no such gate.
        """
        instance("other", other, type(self), f"a layer of class {type(self).__name__}")
        columns = self._columns(gate)
        layer = copy.deepcopy(self)
        shapes, others = ([weight.shape for weight in of.weights] for of in (self, other))
        if shapes != others:
            raise ValueError(f"`other` has weights of shapes {others}; it takes shapes {shapes}.")
        keeps, other_keeps = (getattr(of, "keeps", "old") for of in (self, other))
        if keeps != other_keeps:
            raise ValueError(f"`other` has keeps={other_keeps!r}; it takes one with {keeps!r}.")
        for weight, theirs in zip(layer.weights, other.weights, strict=True):
            weight[..., columns] = theirs[..., columns]
        return layer

    def _columns(self, gate: str) -> slice:
        """Return where the weights of a gate stand."""
        block = self.BLOCKS.index(one_of("gate", gate, self.BLOCKS))
        return slice(block * self.units, (block + 1) * self.units)

    def _checked_bias(self, gate: str, value: ArrayLike) -> Array:
        takes = f"one number, or one for each of the {self.units} units"
        value = as_array(gate, value, takes=takes)
        if value.shape not in ((), (self.units,)):
            raise ValueError(f"`{gate}` has shape {value.shape}; it takes {takes}.")
        return value


class LSTM(GatedLayer):
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
        layer = cls._drawn(features, units, rng, kernel, recurrent, bias)
        forget_bias = number("forget_bias", forget_bias)
        return layer.with_bias(forget=forget_bias) if bias else layer

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
        f = trace.gates["forget"]
        (c_by_a_i, c_by_a_f, c_by_a_g), h_by_a_o, h_by_c = self._slopes(trace)
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

    def _slopes(self, trace: RecurrentTrace) -> tuple[tuple[Array, Array, Array], Array, Array]:
        """Return ∂c_t/∂a of i, f and g, and ∂h_t/∂a_o and ∂h_t/∂c_t: the slopes within a step."""
        i, f, g, o = (trace.gates[name] for name in self.BLOCKS)
        tanh_c = np.tanh(np.asarray(trace.cells))
        c_by_a = g * i * (1 - i), trace.previous_cells * f * (1 - f), i * (1 - g**2)
        return c_by_a, tanh_c * o * (1 - o), o * (1 - tanh_c**2)

    def _jacobians(self, trace: RecurrentTrace) -> Array:
        U_i, U_f, U_g, U_o = blocks_of(self.recurrent_kernel, 4)
        slopes, h_by_a_o, h_by_c = self._slopes(trace)
        by_a_i, by_a_f, by_a_g = slopes
        c_by_h = _scaled(U_i, by_a_i) + _scaled(U_f, by_a_f) + _scaled(U_g, by_a_g)
        h_by_h = _scaled(c_by_h, h_by_c) + _scaled(U_o, h_by_a_o)
        c_by_c = _scaled(np.eye(self.units), trace.gates["forget"])
        return np.block([[h_by_h, c_by_h], [_scaled(c_by_c, h_by_c), c_by_c]])

    def cell_path(self, trace: RecurrentTrace) -> Array:
        """Return f_{t+1} ⊙ … ⊙ f_T, what the cell alone carries from step t to the last: (18).

        Parameters
        ----------
        trace : RecurrentTrace
            What `forward` returned.

        Returns
        -------
        array, shape (batch, time + 1, units)
            `[:, t]` is the diagonal of the direct path from c_t to c_T for t = 0 … T; 1 at t = T.
            The whole of it, with the ways through h, is `full_path(trace)[:, t, units:, units:]`.

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's.
        """
        self._check_trace(trace)
        return products_to_the_last(trace.gates["forget"])

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


class GRU(GatedLayer):
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
        options = {"reset_after": reset_after, "keeps": keeps}
        return cls._drawn(features, units, rng, kernel, recurrent, bias, **options)

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
        h_before, r = trace.previous_outputs, trace.gates["reset"]
        h_by_a_z, h_by_a_candidate, kept = self._slopes(trace)
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

    def _slopes(self, trace: RecurrentTrace) -> tuple[Array, Array, Array]:
        """Return ∂h_t/∂a_z, ∂h_t/∂a_h̃ and the share of h_{t−1} that stays."""
        z, _, candidate = (trace.gates[name] for name in self.BLOCKS)
        kept, sign = self._kept(z), 1 if self.keeps == "old" else -1
        h_by_a_z = sign * (trace.previous_outputs - candidate) * z * (1 - z)
        return h_by_a_z, (1 - kept) * (1 - candidate**2), kept

    def _jacobians(self, trace: RecurrentTrace) -> Array:
        h_by_a_z, h_by_a_candidate, kept = self._slopes(trace)
        U_z, _, _ = blocks_of(self.recurrent_kernel, 3)
        through_candidate = _scaled(self._candidate_by_state(trace), h_by_a_candidate)
        return _scaled(np.eye(self.units), kept) + _scaled(U_z, h_by_a_z) + through_candidate

    def _candidate_by_state(self, trace: RecurrentTrace) -> Array:
        """Return ∂a_h̃/∂h_{t−1} of all steps, through (17) or through (15)."""
        _, U_r, U = blocks_of(self.recurrent_kernel, 3)
        h, r = trace.previous_outputs, trace.gates["reset"]
        _, u = self._gates_and_candidate(self._recurrent_bias)
        reset = h @ U + u if self.reset_after else h  # what r_t scales
        through_r = _scaled(U_r, reset * r * (1 - r))
        if self.reset_after:
            return _scaled(U, r) + through_r
        return (_scaled(np.eye(self.units), r) + through_r) @ U

    def direct_path(self, trace: RecurrentTrace) -> Array:
        """Return the product of what the update gate keeps from step t to the last: (19).

        Parameters
        ----------
        trace : RecurrentTrace
            What `forward` returned.

        Returns
        -------
        array, shape (batch, time + 1, units)
            `[:, t]` is z_{t+1} ⊙ … ⊙ z_T for t = 0 … T, of 1 − z where `keeps` is "new"; 1 at
            t = T. The whole Jacobian is `full_path(trace)[:, t]`.

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's.
        """
        self._check_trace(trace)
        return products_to_the_last(self._kept(trace.gates["update"]))

    def converted(self) -> Self:
        """Return the same function in the other convention of z: "old" ↔ "new".

        1 − σ(a) = σ(−a), so kernel, recurrent kernel and bias of z change their sign, and `keeps`
        its meaning. All outputs and states stay; the update gate becomes 1 − z.
        """
        layer = copy.deepcopy(self)
        layer.keeps = "new" if self.keeps == "old" else "old"
        for weight in layer.weights:
            weight[..., : self.units] *= -1
        return layer

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


def chrono_bias(units: int, longest: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Draw biases with which the units of an LSTM remember for 2 to `longest` steps, each its own.

    b_f = ln u with u uniform in [1, longest − 1], and b_i = −b_f: with σ(b_f) at every step a unit
    has a time constant of 1 / (1 − σ(b_f)) = 1 + u steps (Tallec & Ollivier 2018, "Can recurrent
    neural networks warp time?", arXiv:1804.11188).

    Parameters
    ----------
    units : int
    longest : int
        T_max, the number of steps over which something is to be remembered; 3 or more.
    rng : numpy.random.Generator

    Returns
    -------
    input, forget : arrays of shape (units,)
        For `LSTM.with_bias(input=…, forget=…)`. The second suits a GRU's update gate where it
        keeps "old", the first where it keeps "new".

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the sentence names it.
    """
    units, longest = positive_int("units", units), positive_int("longest", longest, minimum=3)
    forget = np.log(generator("rng", rng).uniform(1, longest - 1, units))
    return -forget, forget


def half_life(bias: ArrayLike) -> Array:
    """Return after how many steps half is left where a gate of σ(bias) multiplies each time: (20).

    Parameters
    ----------
    bias : array of any shape, or a number
        b, all that the gate reads: where inputs and states add to it, the gate is another one.

    Returns
    -------
    array of the same shape, a number for a number
        Steps; ln 2 / ln(1 + e^−b), which is infinite in float64 for b above 710.

    Raises
    ------
    TypeError, ValueError
        If `bias` is no array of finite numbers.
    """
    b = as_array("bias", bias)
    with np.errstate(divide="ignore", over="ignore", under="ignore"):
        return np.log(2) / np.logaddexp(0, -b)


def products_to_the_last(kept: ArrayLike) -> Array:
    """Return for t = 0 … T what is left of step t at the last one: the product of (18) and (19).

    Parameters
    ----------
    kept : array, shape (batch, time, units)
        What each step keeps of the one before it.

    Returns
    -------
    array, shape (batch, time + 1, units)
        `[:, t]` is the product of `kept` over the steps t + 1 … T; 1 at t = T.

    Raises
    ------
    TypeError, ValueError
        If `kept` is no such array of finite numbers.
    """
    kept = as_array("kept", kept, ndim=3, takes="an array of shape (batch, time, units)")
    backwards = np.cumprod(kept[:, ::-1], axis=1)
    return np.concatenate([backwards[:, ::-1], np.ones_like(kept[:, :1])], axis=1)


def _scaled(matrix: Array, columns: Array) -> Array:
    """Return matrix · diag(columns), for each sample and step: (batch, time, n, n)."""
    return matrix * columns[:, :, None, :]
