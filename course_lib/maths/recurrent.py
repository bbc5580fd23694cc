"""Recurrent layers, forward and backward through time: the simple RNN; LSTM and GRU from `gates`.

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

from course_lib.checks import as_matrix
from course_lib.maths.activations import Activation, as_activation, bare
from course_lib.maths.gates import GRU, LSTM
from course_lib.maths.recurrent_layer import (
    Array,
    RecurrentGradients,
    RecurrentLayer,
    RecurrentTrace,
    Start,
    check_keras_layer,
    keras_activation,
    keras_weights,
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
        return cls._drawn(features, units, rng, kernel, recurrent, bias, activation=activation)

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

    def _jacobians(self, trace: RecurrentTrace) -> Array:
        return self.recurrent_kernel * self._slopes(trace)[:, :, None, :]  # W_h diag(φ′(a_t))

    def _slopes(self, trace: RecurrentTrace) -> Array:
        """φ′(a_t) of all steps."""
        with np.errstate(over="ignore", invalid="ignore"):
            return bare(self.activation.derivative)(trace.pre_activations)

    def _details(self) -> str:
        return f", {self.activation.name}"


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
