"""Recurrences that are linear in their state: the scan, minGRU, state spaces, linear attention.

Where neither the gate nor what is added reads the state, nothing bends on the way back:

    h_t  = a_t ⊙ h_{t−1} + b_t                                              (1)
    ∂h_T/∂h_t = diag(a_{t+1} ⊙ a_{t+2} ⊙ … ⊙ a_T)                           (2)

The direct path, (19) of `gates`, is the whole Jacobian here. Two steps one after the other are a
step of the same kind,

    (a, b), then (a′, b′), are (a′ ⊙ a, a′ ⊙ b + b′)                         (3)

and joining is associative, so T steps need no loop over T: ⌈log₂ T⌉ rounds are enough (Kogge &
Stone 1973; for networks Martin & Cundy 2018). Backward it is a recurrence of the same kind that
starts at the end; d_t is what the loss adds at h_t:

    δ_t  = d_t + a_{t+1} ⊙ δ_{t+1}                                          (4)
    ∂𝓛/∂b_t = δ_t ,   ∂𝓛/∂a_t = δ_t ⊙ h_{t−1} ,   ∂𝓛/∂h_0 = a_1 ⊙ δ_1       (5)

minGRU (Feng et al. 2024, 3.1) is the GRU, (16) of `gates`, without h in its gate, without a reset
gate and without the tanh; they write 1 − z for z, and also give a form in logarithms, with a
positive candidate, which is not this one:

    z_t  = σ(x_t W_z + b_z) ,   h̃_t = x_t W_h̃ + b_h̃                         (6)
    h_t  = z_t ⊙ h_{t−1} + (1 − z_t) ⊙ h̃_t                                  (7)

A state space of one number a unit, dh/dτ = A h + B x, becomes (1) where x is held for a time Δ
(zero-order hold; Gu & Dao 2023, eq. 4):

    a    = exp(Δ A) ,   b = (exp(Δ A) − 1) / A · B x                        (8)

Causal attention whose exp(q · k) is replaced by φ(q) · φ(k) sums over the past once for all
queries, and so becomes (1) with a = 1 and a matrix as its state (Katharopoulos et al. 2020):

    S_t  = S_{t−1} + φ(k_t)ᵀ v_t ,   n_t = n_{t−1} + φ(k_t)                 (9)
    y_t  = φ(q_t) S_t / (φ(q_t) · n_t) ,   φ(x) = elu(x) + 1                (10)
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from course_lib.checks import as_array, as_matrix, generator, instance, positive_int
from course_lib.maths.activations import as_activation, bare
from course_lib.maths.gates import products_to_the_last
from course_lib.maths.initializers import INITIALIZERS
from course_lib.maths.recurrent_layer import (
    Array,
    RecurrentTrace,
    one_step_earlier,
    sum_of_products,
)

__all__ = [
    "MinGRU",
    "MinGRUGradients",
    "ScanGradients",
    "linear_attention",
    "scan",
    "scan_backward",
    "scan_in_parallel",
    "zero_order_hold",
]

SEQUENCES = "an array of shape (batch, time, units)"
sigmoid = bare(as_activation("sigmoid").function)


class ScanGradients(NamedTuple):
    """The gradient of the loss by what goes into (1): shapes as there."""

    gates: Array
    inputs: Array
    start: Array

    @property
    def states(self) -> Array:
        """δ_t = ∂𝓛/∂h_t of (4); by (5) it is also the gradient by b_t."""
        return self.inputs


class MinGRUGradients(NamedTuple):
    """The gradient of the loss by everything in a minGRU; `states` is δ_t = ∂𝓛/∂h_t."""

    kernel: Array
    bias: Array
    inputs: Array
    states: Array
    initial_state: Array


# ---------------------------------------------------------------- the scan


def scan(a: ArrayLike, b: ArrayLike, start: ArrayLike | None = None) -> Array:
    """Return h_1 … h_T of (1), one step after the other.

    Parameters
    ----------
    a, b : arrays, shape (batch, time, units)
        What is kept of h_{t−1}, and what is added.
    start : array, shape (batch, units), optional
        h_0; zeros unless given.

    Returns
    -------
    array, shape (batch, time, units)

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or the shapes do not fit.
    """
    a, b, h = _checked(a, b, start)
    outputs = np.empty_like(b)
    for t in range(b.shape[1]):
        h = outputs[:, t] = a[:, t] * h + b[:, t]  # (1)
    return outputs


def scan_in_parallel(a: ArrayLike, b: ArrayLike, start: ArrayLike | None = None) -> Array:
    """Return the same h_1 … h_T in ⌈log₂ T⌉ rounds; each joins all the steps at once, (3).

    After round r the t-th pair stands for the last 2^r steps up to t. No step waits for the one
    before it, but R rounds multiply more often: 2 T R − 2 (2^R − 1) times a unit, the loop T times.

    Parameters, result and errors are those of `scan`.
    """
    a, b, h_0 = _checked(a, b, start)
    a, b = a.copy(), b.copy()
    b[:, 0] += a[:, 0] * h_0  # the first step takes h_0 in, and is whole from then on
    reach = 1
    while reach < b.shape[1]:
        b[:, reach:] = a[:, reach:] * b[:, :-reach] + b[:, reach:]  # (3): the right side is read
        a[:, reach:] = a[:, reach:] * a[:, :-reach]  # whole before anything is written
        reach *= 2
    return b


def scan_backward(
    a: ArrayLike, h: ArrayLike, d_outputs: ArrayLike, start: ArrayLike | None = None
) -> ScanGradients:
    """Send a gradient back through (1): (4) and (5).

    Parameters
    ----------
    a : array, shape (batch, time, units)
        As in `scan`.
    h : array, shape (batch, time, units)
        h_1 … h_T, what `scan` returned.
    d_outputs : array, shape (batch, time, units)
        What the loss adds directly at each h_t.
    start : array, shape (batch, units), optional
        h_0; zeros unless given.

    Returns
    -------
    ScanGradients

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or the shapes do not fit.
    """
    a, h, h_0 = _checked(a, h, start, name="h")
    d = as_array("d_outputs", d_outputs, shape=h.shape)
    kept_later = np.concatenate([a[:, 1:], np.ones_like(a[:, :1])], axis=1)  # a_{t+1}
    deltas = scan(kept_later[:, ::-1], d[:, ::-1])[:, ::-1]  # (4) is (1), read from the end
    return ScanGradients(deltas * one_step_earlier(h_0, h), deltas, a[:, 0] * deltas[:, 0])  # (5)


def zero_order_hold(A: ArrayLike, step: ArrayLike) -> tuple[Array, Array]:
    """Return exp(Δ A) and (exp(Δ A) − 1) / A, the two factors of (8).

    With A = −1 and Δ = softplus(s) they are 1 − σ(s) and σ(s): a state space whose step reads the
    input is a gated recurrence (Gu & Dao 2023, Theorem 1).

    Parameters
    ----------
    A : array of shape (units,), or a number
        The rate at which the state decays (below 0) or grows, by unit of time; not 0.
    step : array that broadcasts with A
        Δ, how long an input is held, above 0.

    Raises
    ------
    TypeError, ValueError
        If A is 0 somewhere, a step is not positive, or the shapes do not broadcast.
    """
    A, step = as_array("A", A, takes="rates"), as_array("step", step, takes="times above 0")
    if not A.all():
        raise ValueError("`A` is 0 somewhere; it takes rates below or above 0.")
    if step.min() <= 0:
        raise ValueError(f"`step` is {step.min():.3g} somewhere; it takes times above 0.")
    try:
        exponent = step * A
    except ValueError:
        raise ValueError(
            f"`step` has shape {step.shape}; it takes one that broadcasts with `A`, {A.shape}."
        ) from None
    return np.exp(exponent), np.expm1(exponent) / A  # expm1 is exact where the step is short


# ---------------------------------------------------------------- minGRU


class MinGRU:
    """A GRU whose gate and candidate read the input alone: (6) and (7).

    Parameters
    ----------
    kernel : array, shape (features, 2 · units)
        Side by side the kernels W of update gate and candidate.
    bias : array, shape (2 · units,), optional
        Zeros unless given.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit or a number is not finite.
    """

    def __init__(self, kernel: ArrayLike, bias: ArrayLike | None = None) -> None:
        takes = "a matrix of shape (features, 2 · units)"
        self.kernel = as_matrix("kernel", kernel, takes=takes)
        columns = self.kernel.shape[1]
        if columns % 2:
            raise ValueError(f"`kernel` has shape {self.kernel.shape}; it takes {takes}.")
        self.bias = np.zeros(columns) if bias is None else as_array("bias", bias, shape=(columns,))

    @property
    def units(self) -> int:
        """n, the size of the state."""
        return self.kernel.shape[1] // 2

    @property
    def features(self) -> int:
        """Entries of one x_t."""
        return len(self.kernel)

    @classmethod
    def random(
        cls, features: int, units: int, rng: np.random.Generator, *, update_bias: float = 0.0
    ) -> Self:
        """Draw a layer: Glorot kernels, a bias for all update gates, 0 for the candidate.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the sentence names it.
        """
        features, units = positive_int("features", features), positive_int("units", units)
        rng = generator("rng", rng)
        kernels = [INITIALIZERS["glorot_uniform"]((features, units), rng) for _ in range(2)]
        update = as_array("update_bias", update_bias, shape=(), takes="a number")
        return cls(np.hstack(kernels), np.repeat([update, 0.0], units))

    def forward(
        self, x: ArrayLike, state: ArrayLike | None = None, *, parallel: bool = False
    ) -> RecurrentTrace:
        """Run over a batch of sequences: (6) for all steps at once, then the scan (7).

        Parameters
        ----------
        x : array, shape (batch, time, features)
        state : array, shape (batch, units), optional
            h_0; zeros unless given.
        parallel : bool
            Whether the scan goes in parallel.

        Returns
        -------
        RecurrentTrace
            Its gates are "update" and "candidate".

        Raises
        ------
        TypeError, ValueError
            If an array is not finite or does not fit the layer.
        """
        takes = f"an array of shape (batch, time, {self.features})"
        x = as_array("x", x, ndim=3, takes=takes)
        if x.shape[2] != self.features:
            raise ValueError(f"`x` has shape {x.shape}; it takes {takes}.")
        shape = (len(x), self.units)
        h_0 = np.zeros(shape) if state is None else as_array("state", state, shape=shape)
        instance("parallel", parallel, bool, "True or False")
        a = x @ self.kernel + self.bias
        z, candidate = sigmoid(a[..., : self.units]), a[..., self.units :]  # (6)
        through = scan_in_parallel if parallel else scan
        h = through(z, (1 - z) * candidate, h_0)  # (7)
        return RecurrentTrace(x, h, a, h_0, {"update": z, "candidate": candidate})

    def backward(self, trace: RecurrentTrace, d_outputs: ArrayLike) -> MinGRUGradients:
        """Send the gradient of a loss back through all the steps.

        Parameters
        ----------
        trace : RecurrentTrace
            What `forward` returned.
        d_outputs : array, shape (batch, time, units)
            What the loss adds directly at each h_t.

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's, or `d_outputs` does not fit it.
        """
        z, candidate = self._gates(trace)
        d = scan_backward(z, trace.outputs, d_outputs, trace.initial_state)
        d_z = d.gates - d.inputs * candidate  # (7): z keeps h_{t−1}, and 1 − z lets h̃ in
        d_a = np.concatenate([d_z * z * (1 - z), d.inputs * (1 - z)], axis=2)
        return MinGRUGradients(
            kernel=sum_of_products(trace.inputs, d_a),
            bias=d_a.sum(axis=(0, 1)),
            inputs=d_a @ self.kernel.T,
            states=d.states,
            initial_state=d.start,
        )

    def direct_path(self, trace: RecurrentTrace) -> Array:
        """Return z_{t+1} ⊙ … ⊙ z_T for t = 0 … T, which is all of ∂h_T/∂h_t: (2).

        Returns
        -------
        array, shape (batch, time + 1, units)

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's.
        """
        z, _ = self._gates(trace)
        return products_to_the_last(z)

    def _gates(self, trace: object) -> tuple[Array, Array]:
        trace = instance("trace", trace, RecurrentTrace, "what `forward` of this layer returned")
        shape = (trace.inputs.shape[2], trace.outputs.shape[2])
        if tuple(trace.gates) != ("update", "candidate") or shape != (self.features, self.units):
            raise ValueError(f"`trace` is {trace!r}; it takes what `forward` of {self!r} returned.")
        return trace.gates["update"], trace.gates["candidate"]

    def __repr__(self) -> str:
        return f"<MinGRU: {self.features} features, {self.units} units>"


# ---------------------------------------------------------------- linear attention


def linear_attention(q: ArrayLike, k: ArrayLike, v: ArrayLike) -> Array:
    """Return causal linear attention, (9) and (10): each token looks at itself and the past.

    Its work is T · d_k · d_v where softmax attention has T² (d_k + d_v). But it is another
    function, not a faster way to the same numbers. Here all S_t are made at once, T · d_k · d_v
    numbers; a loop over the tokens needs one S at a time.

    Parameters
    ----------
    q, k : arrays, shape (batch, tokens, d_k)
    v : array, shape (batch, tokens, d_v)

    Returns
    -------
    array, shape (batch, tokens, d_v)

    Raises
    ------
    TypeError, ValueError
        If an array is not finite, the shapes do not fit, or φ underflows so that a token has
        nothing to look at (entries of q and k below −370, all of them).
    """
    q = as_array("q", q, ndim=3, takes="an array of shape (batch, tokens, d_k)")
    k = as_array("k", k, shape=q.shape, takes=f"an array shaped like `q`, {q.shape}")
    v = as_array("v", v, ndim=3, takes="an array of shape (batch, tokens, d_v)")
    if v.shape[:2] != k.shape[:2]:
        raise ValueError(f"`v` has shape {v.shape}; it takes {(*k.shape[:2], 'd_v')}.")
    q, k = _positive(q), _positive(k)
    S = np.cumsum(k[..., :, None] * v[..., None, :], axis=1)  # (9)
    n = np.cumsum(k, axis=1)
    together = np.sum(q * n, axis=2, keepdims=True)
    if not together.all():
        raise ValueError(
            "`q` and `k` are so far below 0 that φ(q) · φ(k) is 0 wherever a token may look; "
            "φ(x) = exp(x) takes entries above −370."
        )
    return np.einsum("btk,btkv->btv", q, S) / together  # (10)


def _positive(x: Array) -> Array:
    """Return φ(x) = elu(x) + 1: above 0, until exp(x) underflows near −745."""
    return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))


def _checked(
    a: ArrayLike, b: ArrayLike, start: ArrayLike | None, name: str = "b"
) -> tuple[Array, Array, Array]:
    a = as_array("a", a, ndim=3, takes=SEQUENCES)
    b = as_array(name, b, shape=a.shape, takes=f"an array shaped like `a`, {a.shape}")
    shape = (a.shape[0], a.shape[2])
    h_0 = np.zeros(shape) if start is None else as_array("start", start, shape=shape)
    return a, b, h_0
