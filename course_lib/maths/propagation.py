"""A signal goes up through a deep stack of layers, and its gradient comes down.

With the input h_0, rows as samples, and δ_l = ∂𝓛/∂h_l for what arrives at layer l:

    a_l      = h_{l−1} W_l + b_l            (1)    up, l = 1 … D
    h_l      = φ(a_l)                       (2)
    ∂𝓛/∂a_l  = δ_l ⊙ φ′(a_l)                (3)    down, l = D … 1
    δ_{l−1}  = ∂𝓛/∂a_l W_lᵀ                 (4)
    ∂𝓛/∂W_l  = h_{l−1}ᵀ ∂𝓛/∂a_l             (5)
    ∂𝓛/∂b_l  = Σ over the batch of ∂𝓛/∂a_l  (6)

The factor per layer γ is how much of ‖δ‖ one layer passes on towards the input: below 1 the
gradient vanishes, above 1 it explodes. `deep_stack` and `deep_stack_backward` measure it;
`signal_theory` and `expected_factor` predict it from the width and the scale of the weights.

Nothing is raised when a number leaves the range of its type, for that is what chapter 01 shows:
entries become infinite and then NaN, or 0, as they would in any network, and
`StackTrace.overflowed` names the layer. What needs finite numbers says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from course_lib.checks import (
    as_array,
    generator,
    instance,
    number,
    one_of,
    positive_int,
    positive_number,
    shown,
)
from course_lib.maths.activations import Activation, as_activation, bare
from course_lib.maths.initializers import INITIALIZERS

Array = NDArray[Any]


@dataclass(frozen=True, eq=False, repr=False)
class StackTrace:
    """What a forward pass leaves behind for the backward pass.

    Attributes
    ----------
    inputs : array, shape (batch, features)
        h_0.
    weights, biases : lists of D arrays
        W_1 … W_D, shape (fan_in, fan_out), and b_1 … b_D, shape (fan_out,).
    activation : Activation
    pre_activations : list of D arrays
        a_1 … a_D, shape (batch, units): `pre_activations[l - 1]` is a_l.
    activations : list of D + 1 arrays
        h_0 … h_D: `activations[l]` is h_l.
    """

    inputs: Array
    weights: list[Array]
    biases: list[Array]
    activation: Activation
    pre_activations: list[Array]
    activations: list[Array]

    @property
    def depth(self) -> int:
        """D, the number of layers."""
        return len(self.weights)

    @property
    def output(self) -> Array:
        """h_D, shape (batch, units of the last layer)."""
        return self.activations[-1]

    @property
    def overflowed(self) -> int | None:
        """The first layer l whose a_l has left the range of its type, or None."""
        for layer, a in enumerate(self.pre_activations, start=1):
            if not np.isfinite(a).all():
                return layer
        return None

    def __repr__(self) -> str:
        shape = " → ".join(str(n) for n in dict.fromkeys(h.shape[1] for h in self.activations))
        return (
            f"<StackTrace: {self.depth} {self.activation.name} layers, units {shape}, "
            f"batch {len(self.inputs)}, {self.inputs.dtype}>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class StackGradients:
    """The gradient of the loss by everything in a `StackTrace`, each shaped like its quantity.

    Attributes
    ----------
    activations : list of D + 1 arrays
        δ_0 … δ_D, the gradients by h_0 … h_D.
    pre_activations : list of D arrays
        The gradients by a_1 … a_D.
    weights, biases : lists of D arrays
        The gradients by W_1 … W_D and b_1 … b_D.
    norms : float64 array, shape (D + 1,)
        ‖δ_0‖ … ‖δ_D‖, the input first.
    """

    activations: list[Array]
    pre_activations: list[Array]
    weights: list[Array]
    biases: list[Array]
    norms: NDArray[np.float64]

    def __repr__(self) -> str:
        first, last = self.norms[0], self.norms[-1]
        return f"<StackGradients: ‖δ_0‖ = {first:.3g}, ‖δ_{len(self.weights)}‖ = {last:.3g}>"


@dataclass(frozen=True, eq=False)
class SignalTheory:
    """What mean-field theory predicts for a deep stack, layer by layer.

    Attributes
    ----------
    second_moments : float64 array, shape (D,)
        q_l, the mean square of an entry of a_l, l = 1 … D.
    factors : float64 array, shape (D,)
        ‖δ_{l−1}‖ / ‖δ_l‖, l = 1 … D.
    """

    second_moments: NDArray[np.float64]
    factors: NDArray[np.float64]

    @property
    def norms(self) -> NDArray[np.float64]:
        """‖δ_l‖ / ‖δ_D‖ for l = 0 … D, the input first: the line to draw under the dots."""
        from_loss = np.cumprod(np.append(1.0, self.factors[::-1]))
        return from_loss[::-1]


def deep_stack(
    x: ArrayLike,
    weights: Sequence[ArrayLike],
    activation: str | Activation,
    biases: Sequence[ArrayLike] | None = None,
    *,
    dtype: DTypeLike = np.float64,
) -> StackTrace:
    """Run `x` up through a stack of dense layers and keep everything on the way.

    Parameters
    ----------
    x : array, shape (batch, features)
    weights : sequence of D matrices, shape (fan_in, fan_out)
    activation : str or Activation
        A name in `ACTIVATIONS`, or such an object.
    biases : sequence of D vectors, shape (fan_out,), optional
        Zeros unless given.
    dtype : float16, float32 or float64
        The type in which the stack computes, forward and backward. Products of float16 matrices
        are summed in float32 and rounded once; NumPy keeps subnormal numbers.

    Returns
    -------
    StackTrace

    Raises
    ------
    TypeError, ValueError
        If an array is not finite, a shape does not fit the layer below, or a name is unknown.
    """
    dtype = _float_type(dtype)
    activation = as_activation(activation)
    h = as_array("x", x, ndim=2, dtype=dtype, takes="a matrix of shape (batch, features)")
    weights = _weights(weights, h.shape[1], dtype)
    biases = _biases(biases, weights, dtype)

    phi = bare(activation.function)
    pre_activations, activations = [], [h]
    with np.errstate(over="ignore", invalid="ignore"):
        for W, b in zip(weights, biases, strict=True):
            a = _matmul(h, W) + b  # (1)
            h = phi(a)  # (2)
            pre_activations.append(a)
            activations.append(h)
    return StackTrace(activations[0], weights, biases, activation, pre_activations, activations)


def deep_stack_backward(trace: StackTrace, d_output: ArrayLike) -> NDArray[np.float64]:
    """Return ‖δ_l‖, l = 0 … D: how much of the gradient arrives at each layer, the input first.

    Parameters
    ----------
    trace : StackTrace
        What `deep_stack` returned; its type of float is kept.
    d_output : array, shape (batch, units)
        δ_D = ∂𝓛/∂h_D, the gradient that leaves the loss.

    Returns
    -------
    float64 array, shape (D + 1,)
        Frobenius norms over batch and units, taken in float64. All NaN if the forward pass
        overflowed, since then the loss is no number either.

    Raises
    ------
    TypeError, ValueError
        If `trace` is no StackTrace, or `d_output` is not finite or not shaped like the output.
    """
    d_activations, _ = _deltas(trace, d_output)
    return np.array([_frobenius_norm(d_h) for d_h in d_activations])


def deep_stack_gradients(trace: StackTrace, d_output: ArrayLike) -> StackGradients:
    """Return the gradient of the loss by every activation, weight and bias of the stack.

    Parameters, overflow and errors are those of `deep_stack_backward`.
    """
    d_activations, d_pre_activations = _deltas(trace, d_output)
    with np.errstate(over="ignore", invalid="ignore"):
        d_weights = [
            _matmul(h.T, d_a)  # (5)
            for h, d_a in zip(trace.activations[:-1], d_pre_activations, strict=True)
        ]
        d_biases = [_column_sums(d_a) for d_a in d_pre_activations]  # (6)
    norms = np.array([_frobenius_norm(d_h) for d_h in d_activations])
    return StackGradients(d_activations, d_pre_activations, d_weights, d_biases, norms)


def random_pass(
    weights: Sequence[ArrayLike],
    activation: str | Activation,
    biases: Sequence[ArrayLike] | None = None,
    *,
    samples: int = 16,
    seed: int = 1,
) -> tuple[StackTrace, StackGradients]:
    """Send a random input up a stack and a random gradient down it, to see what it passes.

    Input and gradient at the top are drawn from N(0, 1), so that they favour no direction.

    Parameters
    ----------
    weights, activation, biases
        As for `deep_stack`.
    samples : int
        Rows of the input.
    seed : int
        Of input and gradient. The numbers are others than `default_rng(seed)` draws, so that they
        know nothing of weights drawn from there.

    Returns
    -------
    trace : StackTrace
    gradients : StackGradients

    Raises
    ------
    TypeError, ValueError
        As `deep_stack` does, or if a count is no whole number.
    """
    samples = positive_int("samples", samples)
    rng = _own_generator(seed)
    _list_of_matrices(weights)
    matrices = [as_array(f"weights[{i}]", W, ndim=2) for i, W in enumerate(weights)]
    x = rng.standard_normal((samples, matrices[0].shape[0]))
    top = rng.standard_normal((samples, matrices[-1].shape[1]))
    trace = deep_stack(x, matrices, activation, biases)
    return trace, deep_stack_gradients(trace, top)


def make_stack(
    depth: int, units: int, initializer: str, rng: np.random.Generator, **scale: float
) -> list[NDArray[np.float64]]:
    """Draw the weights of `depth` layers of `units` units each.

    Parameters
    ----------
    depth, units : int
        D and n.
    initializer : str
        A name in `INITIALIZERS`.
    rng : numpy.random.Generator
    **scale
        For the initialiser: `stddev` for "normal", `gain` for "orthogonal".

    Returns
    -------
    list of D arrays, shape (units, units)

    Raises
    ------
    TypeError, ValueError
        If a count is no whole number above 0, the name is unknown, or the initialiser takes no
        such scale.
    """
    depth, units = positive_int("depth", depth), positive_int("units", units)
    draw = INITIALIZERS[initializer]
    generator("rng", rng)
    return [draw((units, units), rng, **scale) for _ in range(depth)]


def factor_per_layer(norms: ArrayLike, *, widths: Sequence[int] | None = None) -> float:
    """Return γ = (‖δ_0‖ / ‖δ_D‖)^(1/D), the geometric mean of what a layer passes on.

    Parameters
    ----------
    norms : array, shape (D + 1,)
        As `deep_stack_backward` returns them, the input first.
    widths : sequence of D + 1 ints, optional
        Units of h_0 … h_D. With them the root mean square of an entry is compared instead of the
        norm, so that a change of width is not taken for a change of gradient.

    Raises
    ------
    ValueError
        If a norm is 0 or not finite: the gradient underflowed, overflowed or met dead units only.
    """
    takes = "D + 1 norms, for the input and each of D layers"
    norms = as_array("norms", norms, ndim=1, finite=False, takes=takes)
    if len(norms) < 2:
        raise ValueError(f"`norms` has shape {norms.shape}; it takes {takes}.")
    for layer, norm in enumerate(norms):
        if not (np.isfinite(norm) and norm > 0):
            raise ValueError(
                f"`norms` holds {norm} at [{layer}]; a geometric mean takes finite norms above 0, "
                "so leave out the layers that nothing measurable reaches."
            )
    log_norms = np.log(norms)
    if widths is not None:
        log_norms -= np.log(_widths(widths, len(norms))) / 2
    return float(np.exp((log_norms[0] - log_norms[-1]) / (len(norms) - 1)))


def expected_factor(
    activation: str | Activation,
    weight_stddev: float,
    units: int,
    q: float | None = None,
    *,
    bias_stddev: float = 0.0,
) -> float:
    """Return the factor per layer that mean-field theory predicts.

    γ = σ_w √(n 𝔼[φ′(√q z)²]) with z ~ N(0, 1): one layer multiplies a gradient by W, which
    stretches it by σ_w √n on average, and by φ′ at pre-activations of mean square q. γ² is the χ
    of Poole et al. (2016) and Schoenholz et al. (2017).

    Parameters
    ----------
    activation : str or Activation
    weight_stddev : float
        σ_w, the standard deviation of one weight.
    units : int
        n, the width.
    q : float, optional
        Mean square of a_l. Unless given, the value at which it settles in a deep stack.
    bias_stddev : float
        σ_b, of the biases; only matters while q is to be found.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown or a number out of range.
    """
    activation = as_activation(activation)
    gain = positive_number("weight_stddev", weight_stddev) ** 2 * positive_int("units", units)
    bias_variance = number("bias_stddev", bias_stddev, minimum=0) ** 2
    if q is None:
        q = _settled_second_moment(activation, gain, bias_variance)
    return _factor(activation, gain, number("q", q, minimum=0))


def signal_theory(
    activation: str | Activation,
    weight_stddev: float,
    units: int,
    depth: int,
    q0: float = 1.0,
    bias_stddev: float = 0.0,
) -> SignalTheory:
    """Predict the size of signal and gradient at each layer, without running a network.

    In a wide stack of independent weights the entries of a_l are nearly normal with mean 0, so
    their mean square q_l says everything (Poole et al. 2016, Schoenholz et al. 2017):

        q_1     = n σ_w² q_0             + σ_b²
        q_{l+1} = n σ_w² 𝔼[φ(√q_l z)²]   + σ_b²        z ~ N(0, 1)
        γ_l     = √(n σ_w² 𝔼[φ′(√q_l z)²])

    For ReLU both expectations are a half of what they are for a linear layer, whence He's
    variance 2/n (He et al. 2015, eq. 10 and 14). The theory is for n much larger than D: where γ
    depends steeply on q (GELU with He's variance), a stack of width 128 and depth 30 passes on
    0.84 to 0.99 per layer and the theory says 0.81.

    Parameters
    ----------
    activation : str or Activation
    weight_stddev, bias_stddev : float
        σ_w above 0, σ_b 0 or more.
    units, depth : int
        n and D; all layers have the same width.
    q0 : float
        Mean square of an entry of the input, above 0.

    Returns
    -------
    SignalTheory
        A second moment that leaves float64 is infinite (or 0) from that layer on.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown or a number out of range.
    """
    activation = as_activation(activation)
    gain = positive_number("weight_stddev", weight_stddev) ** 2 * positive_int("units", units)
    bias_variance = number("bias_stddev", bias_stddev, minimum=0) ** 2
    depth = positive_int("depth", depth)

    q = gain * positive_number("q0", q0) + bias_variance
    second_moments, factors = np.empty(depth), np.empty(depth)
    for layer in range(depth):
        second_moments[layer] = q
        factors[layer] = _factor(activation, gain, q)
        q = _next_second_moment(activation, gain, bias_variance, q)
    return SignalTheory(second_moments, factors)


def _deltas(trace: StackTrace, d_output: ArrayLike) -> tuple[list[Array], list[Array]]:
    """Return the gradients by h_0 … h_D and by a_1 … a_D."""
    instance("trace", trace, StackTrace, "the StackTrace that `deep_stack` returns")
    output = trace.output
    d_h = as_array(
        "d_output",
        d_output,
        shape=output.shape,
        dtype=output.dtype,
        takes=f"one gradient for each entry of the output, shape {output.shape}",
    )
    if trace.overflowed:  # the loss is no number, so neither is its gradient
        d_h = np.full_like(d_h, np.nan)

    phi_prime = bare(trace.activation.derivative)
    d_activations, d_pre_activations = [d_h], []
    with np.errstate(over="ignore", invalid="ignore"):
        for W, a in zip(reversed(trace.weights), reversed(trace.pre_activations), strict=True):
            d_a = d_h * phi_prime(a)  # (3)
            d_h = _matmul(d_a, W.T)  # (4)
            d_pre_activations.append(d_a)
            d_activations.append(d_h)
    return d_activations[::-1], d_pre_activations[::-1]


def _matmul(left: Array, right: Array) -> Array:
    """Return left @ right. NumPy has no fast product in float16, so it is rounded to that once."""
    if left.dtype != np.float16:
        return left @ right
    return (left.astype(np.float32) @ right.astype(np.float32)).astype(np.float16)


def _column_sums(x: Array) -> Array:
    """Return the sum over the rows. In float16 a sum of ones stays at 2048: it is rounded once."""
    if x.dtype != np.float16:
        return x.sum(axis=0)
    return x.sum(axis=0, dtype=np.float32).astype(np.float16)


def _frobenius_norm(x: Array) -> float:
    """√(Σ x²) in float64, divided by the largest entry first so that no square is lost."""
    x = x.astype(np.float64, copy=False)
    largest = np.max(np.abs(x))
    if largest == 0 or not np.isfinite(largest):
        return float(largest)
    return float(largest * np.sqrt(np.sum((x / largest) ** 2)))


# 𝔼 over z ~ N(0, 1) is a sum over a fine even grid. Gauss–Hermite nodes lie too far apart for a
# narrow φ′(√q z): at q = 230 a hundred of them make a sigmoid's factor 42 % too small.
_Z = (np.arange(-900, 900) + 0.5) / 100
_DENSITY = np.exp(-(_Z**2) / 2)
_DENSITY /= _DENSITY.sum()
_FINE_ENOUGH = 2500.0  # up to this q; beyond it φ′(√q z) is as narrow as the grid


def _mean_square(function: Any, q: float) -> float:
    """𝔼[function(√q z)²], z ~ N(0, 1)."""
    z, density = (_Z, _DENSITY) if q <= _FINE_ENOUGH else _grid_towards_0(min(q, 1e300))
    with np.errstate(over="ignore", invalid="ignore"):
        return float(density @ function(np.sqrt(q) * z) ** 2)


def _grid_towards_0(q: float) -> tuple[Array, Array]:
    """Return as many points of z, even in t where √q z = sinh t, and their weights."""
    t = _Z / _Z[-1] * np.arcsinh(9 * np.sqrt(q))
    z = np.sinh(t) / np.sqrt(q)
    density = np.exp(-(z**2) / 2) * np.cosh(t)
    return z, density / density.sum()


def _factor(activation: Activation, gain: float, q: float) -> float:
    q = min(max(q, 1e-300), 1e300)  # φ′ has reached its limits long before
    return float(np.sqrt(gain * _mean_square(bare(activation.derivative), q)))


def _next_second_moment(
    activation: Activation, gain: float, bias_variance: float, q: float
) -> float:
    following = gain * _mean_square(bare(activation.function), q) + bias_variance
    return following if np.isfinite(following) else np.inf


def _settled_second_moment(activation: Activation, gain: float, bias_variance: float) -> float:
    """Follow q from 1 until it moves by less than 1e-10 of itself, at most 1,000 layers."""
    q = 1.0
    for _ in range(1000):
        before, q = q, _next_second_moment(activation, gain, bias_variance, q)
        if not 1e-30 < q < 1e30 or abs(q - before) < 1e-10 * q:
            break
    return min(q, 1e30)  # φ′ reaches its limits long before either end


def _float_type(dtype: DTypeLike) -> np.dtype[Any]:
    try:
        name: object = np.dtype(dtype).name
    except TypeError:  # no type at all
        name = dtype
    return np.dtype(one_of("dtype", name, ("float16", "float32", "float64")))


def _own_generator(seed: int) -> np.random.Generator:
    """Return a generator whose numbers know nothing of weights drawn from `default_rng(seed)`."""
    return np.random.default_rng([positive_int("seed", seed, minimum=0), 1])


def _list_of_matrices(weights: object) -> None:
    if not isinstance(weights, (list, tuple)) or not weights:
        raise TypeError(
            f"`weights` is {shown(weights)}; it takes a list of matrices (fan_in, fan_out), "
            "one for each layer."
        )


def _weights(weights: Sequence[ArrayLike], features: int, dtype: np.dtype[Any]) -> list[Array]:
    _list_of_matrices(weights)
    checked, below = [], "the columns of `x`"
    for layer, W in enumerate(weights):
        takes = f"a matrix of {features} rows, as many as {below}"
        W = as_array(f"weights[{layer}]", W, ndim=2, dtype=dtype, takes=takes)
        if len(W) != features:
            raise ValueError(f"`weights[{layer}]` has shape {W.shape}; it takes {takes}.")
        checked.append(W)
        features, below = W.shape[1], f"the columns of `weights[{layer}]`"
    return checked


def _biases(
    biases: Sequence[ArrayLike] | None, weights: list[Array], dtype: np.dtype[Any]
) -> list[Array]:
    if biases is None:
        return [np.zeros(W.shape[1], dtype) for W in weights]
    _one_for_each("biases", biases, len(weights), "vector for each layer")
    return [
        as_array(
            f"biases[{layer}]",
            b,
            shape=(W.shape[1],),
            dtype=dtype,
            takes=f"a vector of {W.shape[1]}, one for each column of `weights[{layer}]`",
        )
        for layer, (W, b) in enumerate(zip(weights, biases, strict=True))
    ]


def _widths(widths: Sequence[int], count: int) -> NDArray[np.float64]:
    _one_for_each("widths", widths, count, "whole number for each norm")
    return np.array([positive_int(f"widths[{i}]", n) for i, n in enumerate(widths)], dtype=float)


def _one_for_each(name: str, values: object, count: int, what: str) -> None:
    if not isinstance(values, (list, tuple)):
        raise TypeError(f"`{name}` is {shown(values)}; it takes a list, one {what}.")
    if len(values) != count:
        raise ValueError(f"`{name}` has length {len(values)}; it takes one {what}, {count} in all.")
