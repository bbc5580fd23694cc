"""Stacks whose layers may normalise and may skip: one pass up, one pass down.

With the input h_0, rows as samples, and s the weight of a branch that stands beside a skip:

    a_l      = h_{l−1} W_l + b_l                                  (1)    up, l = 1 … D
    u_l      = norm(a_l), or a_l where nothing normalises         (2)
    h_l      = φ(u_l)                                             (3a)   plain
    h_l      = h_{l−1} + s φ(u_l), wherever the widths agree      (3b)   with a skip
    ∂𝓛/∂u_l  = s δ_l ⊙ φ′(u_l), s = 1 in a plain layer            (4)    down, l = D … 1
    δ_{l−1}  = ∂𝓛/∂a_l W_lᵀ, and with a skip + δ_l                (5)

δ_l is ∂𝓛/∂h_l; from ∂𝓛/∂u_l to ∂𝓛/∂a_l it goes through the normalisation, batch norm or layer norm,
as in `normalization`. Without normalisation and skip this is the stack of `propagation`.

`stack_pass` shows what such a stack does to a signal and its gradient. `forward` and `backward` are
the same without checks, for `training`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import as_array, instance, number, one_of, positive_number
from course_lib.maths.activations import Activation, as_activation, bare
from course_lib.maths.normalization import (
    MovingAverages,
    NormTrace,
    normalize,
    normalize_backward,
    normalize_with,
)
from course_lib.maths.propagation import _frobenius_norm, _own_generator, _weights

__all__ = ["Layer", "LayerTrace", "StackForm", "backward", "forward", "make_layers", "stack_pass"]

Array = NDArray[np.float64]


class Layer(NamedTuple):
    """The parameters of one layer, or the gradients by them; no scale and offset without a norm."""

    weights: Array
    bias: Array
    scale: Any = None
    offset: Any = None


@dataclass(frozen=True)
class StackForm:
    """What the layers of a stack have in common.

    Attributes
    ----------
    activation : Activation
        φ.
    normalization : None, "batch" or "layer"
        What stands between the linear map and φ.
    skip : float or None
        s of (3b), or None for plain layers.
    norm_epsilon : float
        ε under the root of the normalisation.
    """

    activation: Activation
    normalization: str | None = None
    skip: float | None = None
    norm_epsilon: float = 1e-3

    def __post_init__(self) -> None:
        instance("activation", self.activation, Activation, "an Activation, as in `ACTIVATIONS`")
        one_of("normalization", self.normalization, (None, "batch", "layer"))
        if self.skip is not None:
            number("skip", self.skip, takes="a finite number, or None")
        positive_number("norm_epsilon", self.norm_epsilon)

    @property
    def axis(self) -> int:
        """The axis that is averaged over: 0, the samples, or −1, the units."""
        return 0 if self.normalization == "batch" else -1

    def skip_of(self, W: Array) -> float | None:
        """Return s of the layer with these weights, or None: its widths have to agree."""
        return self.skip if W.shape[0] == W.shape[1] else None


class LayerTrace(NamedTuple):
    """What one layer leaves behind: h_{l−1}, u_l, the trace of its normalisation, and h_l."""

    inputs: Array
    normalized: Array
    norm: NormTrace | None
    output: Array


def stack_pass(
    x: ArrayLike,
    weights: Sequence[ArrayLike],
    activation: str | Activation,
    *,
    normalization: str | None = None,
    skip: float | None = None,
    norm_scale: float = 1.0,
    norm_epsilon: float = 1e-3,
    d_output: ArrayLike | None = None,
    seed: int = 1,
) -> tuple[list[Array], Array]:
    """Send `x` up a stack as it stands at the start of training, and a gradient down it.

    Every layer has φ, the last too; biases and offsets are 0.

    Parameters
    ----------
    x : array, shape (batch, features)
    weights : sequence of D matrices, shape (fan_in, fan_out)
    activation : str or Activation
        A name in `ACTIVATIONS`, or such an object.
    normalization : None, "batch" or "layer"
        What stands between the linear map and φ.
    skip : float, optional
        s: h_l = h_{l−1} + s φ(u_l) wherever fan_in = fan_out. Plain layers unless given.
    norm_scale, norm_epsilon : float
        Scale and ε of the normalisation.
    d_output : array, shape (batch, units of the last layer), optional
        δ_D. Unless given it is drawn from N(0, 1), so that it favours no direction.
    seed : int
        Of that draw.

    Returns
    -------
    activations : list of D + 1 arrays
        h_0 … h_D, shape (batch, units).
    norms : array, shape (D + 1,)
        ‖δ_0‖ … ‖δ_D‖, the input first. All NaN where the signal left the range of float64.

    Raises
    ------
    TypeError, ValueError
        If a shape, a name or a number does not fit; the sentence names the argument.
    """
    form = StackForm(as_activation(activation), normalization, skip, norm_epsilon)
    h = as_array("x", x, ndim=2, takes="a matrix of shape (batch, features)")
    if normalization == "batch" and len(h) < 2:
        raise ValueError(f"`x` has shape {h.shape}; batch norm takes 2 samples or more.")
    layers = make_layers(_weights(weights, h.shape[1], np.dtype(float)), form, norm_scale)
    rng = _own_generator(seed)
    with np.errstate(over="ignore", invalid="ignore"):  # an explosion is a result here
        traces = forward(h, layers, form)
        output = traces[-1].output
        if d_output is None:
            d_h: Array = rng.standard_normal(output.shape)
        else:
            takes = f"one gradient for each entry of the output, shape {output.shape}"
            d_h = as_array("d_output", d_output, shape=output.shape, takes=takes)
        if not np.isfinite(output).all():  # the loss is no number, so neither is its gradient
            d_h = np.full_like(d_h, np.nan)
        deltas, _ = backward(traces, layers, form, d_h)
    return [h, *(t.output for t in traces)], np.array([_frobenius_norm(delta) for delta in deltas])


def make_layers(weights: Sequence[Array], form: StackForm, norm_scale: float = 1.0) -> list[Layer]:
    """Return layers with these weights, biases and offsets 0, and scale `norm_scale`.

    Raises
    ------
    TypeError, ValueError
        If `norm_scale` is no number, or a layer norm would have one unit to compare.
    """
    norm_scale = number("norm_scale", norm_scale)
    layers = []
    for i, W in enumerate(weights):
        units = W.shape[1]
        if form.normalization is None:
            layers.append(Layer(W, np.zeros(units)))
            continue
        if form.normalization == "layer" and units < 2:
            raise ValueError(
                f"`weights[{i}]` has shape {W.shape}; layer norm compares the units, "
                "so it takes 2 columns or more."
            )
        layers.append(Layer(W, np.zeros(units), np.full(units, norm_scale), np.zeros(units)))
    return layers


def forward(
    x: Array,
    layers: Sequence[Layer],
    form: StackForm,
    averages: Sequence[MovingAverages] | None = None,
) -> list[LayerTrace]:
    """Run `x` up the layers: (1) to (3), without checks.

    With `averages`, one for each layer, batch norm uses them instead of the batch's own mean and
    variance, as it does after training; an empty list is none.
    """
    phi = bare(form.activation.function)
    h, traces = x, []
    for i, layer in enumerate(layers):
        u = h @ layer.weights + layer.bias  # (1)
        norm = None
        if averages:  # (2)
            u = normalize_with(averages[i], u, layer.scale, layer.offset, form.norm_epsilon)
        elif form.normalization is not None:
            u, norm = normalize(u, form.axis, layer.scale, layer.offset, form.norm_epsilon)
        output = phi(u)  # (3a)
        s = form.skip_of(layer.weights)
        if s is not None:
            output = h + s * output  # (3b)
        traces.append(LayerTrace(h, u, norm, output))
        h = output
    return traces


def backward(
    traces: Sequence[LayerTrace], layers: Sequence[Layer], form: StackForm, d_output: Array
) -> tuple[list[Array], list[Layer]]:
    """Run ∂𝓛/∂h_D down the layers: (4) and (5), without checks.

    Returns
    -------
    deltas : list of D + 1 arrays
        δ_0 … δ_D.
    gradients : list of D Layers
        The gradients by weights, bias, scale and offset of each layer.
    """
    phi_prime = bare(form.activation.derivative)
    deltas, gradients = [d_output], []
    for layer, trace in zip(reversed(layers), reversed(traces), strict=True):
        d_h = deltas[-1]
        s = form.skip_of(layer.weights)
        d_a = (d_h if s is None else s * d_h) * phi_prime(trace.normalized)  # (4)
        d_norm: tuple[Any, ...] = ()
        if trace.norm is not None:
            norm = normalize_backward(trace.norm, d_a)
            d_a, d_norm = norm.inputs, (norm.scale, norm.offset)
        gradients.append(Layer(trace.inputs.T @ d_a, d_a.sum(axis=0), *d_norm))
        d_below = d_a @ layer.weights.T  # (5)
        deltas.append(d_below if s is None else d_below + d_h)
    return deltas[::-1], gradients[::-1]
