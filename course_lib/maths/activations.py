"""Activation functions φ and their derivatives φ′, with the largest slope each of them has.

`ACTIVATIONS["tanh"].function(a)` is φ(a) and `.derivative(a)` is φ′(a), element by element, for an
array of any shape. float16 and float32 stay what they are; everything else becomes float64.
What is not finite raises `ValueError`, what is no array of real numbers `TypeError`.

At the kink of ReLU, Leaky ReLU and PReLU (a = 0) the derivative from the left is used,
as TensorFlow does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import Registry, as_array, function, instance, number, positive_number

Formula = Callable[..., Any]


@dataclass(frozen=True)
class Activation:
    """An activation function, its derivative and the bound κ on its slope.

    Attributes
    ----------
    name : str
        Keras's name.
    function, derivative : callable
        φ(a) and φ′(a), element by element; Leaky ReLU and PReLU also take `slope`.
    max_slope : float
        κ = sup |φ′|: the most by which the activation alone can enlarge a gradient.
    slope : float or None
        The slope for a < 0 where it is a parameter (Leaky ReLU, PReLU), else None.
    slope_derivative : callable or None
        ∂φ/∂slope where the slope is learnt (PReLU), else None.
    """

    name: str
    function: Formula
    derivative: Formula
    max_slope: float
    slope: float | None = None
    slope_derivative: Formula | None = None

    def __post_init__(self) -> None:
        instance("name", self.name, str, "a name, as a string")
        function("function", self.function, "a function of `a`, element by element")
        function("derivative", self.derivative, "a function of `a`, element by element")
        positive_number("max_slope", self.max_slope)

    def with_slope(self, slope: float) -> Activation:
        """Return the same activation with another slope for a < 0.

        Raises
        ------
        TypeError
            If the activation has no slope to choose, or `slope` is no number.
        """
        if self.slope is None:
            raise TypeError(f"`{self.name}` has no slope; only leaky_relu and prelu take one.")
        slope = number("slope", slope)
        return replace(
            self,
            function=elementwise(partial(bare(self.function), slope=slope)),
            derivative=elementwise(partial(bare(self.derivative), slope=slope)),
            max_slope=max(1.0, abs(slope)),
            slope=slope,
        )


def elementwise(formula: Formula) -> Formula:
    """Check `a` (and `slope`) before the formula sees it."""

    @wraps(formula)
    def checked(a: ArrayLike, *slope: float, **named: float) -> Any:
        a = as_array("a", a, dtype=None)
        slope = tuple(number("slope", value) for value in slope)
        named = {name: number(name, value) for name, value in named.items()}
        return formula(a, *slope, **named)[()]  # [()]: a number for a number

    return checked


def bare(function: Formula) -> Formula:
    """Return the formula without its check: inside a deep stack infinity and NaN pass through."""
    return getattr(function, "__wrapped__", function)


@elementwise
def linear(a: NDArray[Any]) -> Any:
    """φ(a) = a."""
    return a


@elementwise
def linear_derivative(a: NDArray[Any]) -> Any:
    """φ′(a) = 1."""
    return np.ones_like(a)


@elementwise
def sigmoid(a: NDArray[Any]) -> Any:
    """σ(a) = 1 / (1 + e^−a), the logistic function.

    Where a < 0 both sides of the fraction are multiplied by e^a, so that nothing overflows.
    """
    e = np.exp(-np.abs(a))
    return np.where(a >= 0, 1, e) / (1 + e)


@elementwise
def sigmoid_derivative(a: NDArray[Any]) -> Any:
    """σ′(a) = σ(a) (1 − σ(a)); the largest, 1/4, is at a = 0.

    Since 1 − σ(a) = σ(−a), it is e^−|a| / (1 + e^−|a|)², which keeps its digits far from 0.
    """
    e = np.exp(-np.abs(a))
    return e / (1 + e) ** 2


@elementwise
def tanh(a: NDArray[Any]) -> Any:
    """φ(a) = tanh a = 2 σ(2a) − 1."""
    return np.tanh(a)


@elementwise
def tanh_derivative(a: NDArray[Any]) -> Any:
    """φ′(a) = 1 − tanh² a; the largest, 1, is at a = 0."""
    return 1 - np.tanh(a) ** 2


@elementwise
def relu(a: NDArray[Any]) -> Any:
    """φ(a) = max(a, 0)."""
    return np.maximum(a, 0)


@elementwise
def relu_derivative(a: NDArray[Any]) -> Any:
    """φ′(a) = 1 where a > 0, else 0."""
    return (a > 0).astype(a.dtype)  # a third of the time of np.heaviside


@elementwise
def leaky_relu(a: NDArray[Any], slope: float = 0.01) -> Any:
    """φ(a) = a where a > 0, else slope · a; Keras's function has slope 0.2 unless told."""
    return np.where(a > 0, a, slope * a)


@elementwise
def leaky_relu_derivative(a: NDArray[Any], slope: float = 0.01) -> Any:
    """φ′(a) = 1 where a > 0, else slope."""
    return np.where(a > 0, np.ones_like(a), slope)


@elementwise
def prelu_slope_derivative(a: NDArray[Any], slope: float = 0.01) -> Any:
    """∂φ/∂slope = a where a < 0, else 0: how PReLU learns its slope (He et al. 2015)."""
    return np.minimum(a, 0)


@elementwise
def elu(a: NDArray[Any]) -> Any:
    """φ(a) = a where a > 0, else e^a − 1 (ELU with α = 1)."""
    return np.where(a > 0, a, np.expm1(np.minimum(a, 0)))


@elementwise
def elu_derivative(a: NDArray[Any]) -> Any:
    """φ′(a) = 1 where a > 0, else e^a."""
    return np.exp(np.minimum(a, 0))


@elementwise
def gelu(a: NDArray[Any]) -> Any:
    """φ(a) = a Φ(a), Φ the normal distribution function (Hendrycks & Gimpel 2016)."""
    return (a * _normal_cdf(a)).astype(a.dtype)


@elementwise
def gelu_derivative(a: NDArray[Any]) -> Any:
    """φ′(a) = Φ(a) + a Φ′(a); the largest, 1.129, is at a = √2, so GELU can enlarge a gradient."""
    return (_normal_cdf(a) + a * _normal_density(a)).astype(a.dtype)


def _normal_density(a: NDArray[Any]) -> Any:
    """Φ′(a) = e^(−a²/2) / √(2π)."""
    return np.exp(-(a**2) / 2) / math.sqrt(2 * math.pi)


# Φ = ½ (1 + erf(a/√2)) at 4,609 points; beyond ±9 it is 0 or 1 to the last bit of float64.
_STEP = 1 / 256
_POINTS = np.arange(-9, 9 + _STEP, _STEP)
_CDF = np.array([(1 + math.erf(c / math.sqrt(2))) / 2 for c in _POINTS])
_DENSITY = _normal_density(_POINTS)


def _normal_cdf(a: NDArray[Any]) -> Any:
    """Φ(a) to 2e-16: Taylor's series, of order 5, about the nearest tabulated point c.

    NumPy has no erf, and `math.erf` in a loop is three times slower. The derivatives of Φ at c are
    the density there times a Hermite polynomial: 1, −c, c² − 1, −(c³ − 3c), c⁴ − 6c² + 3.
    """
    a = np.clip(a, -9, 9).astype(np.float64)
    nearest = np.rint((a + 9) / _STEP).astype(np.intp)
    c, cdf, density = (table.take(nearest, mode="clip") for table in (_POINTS, _CDF, _DENSITY))
    d, c2 = a - c, c * c
    return cdf + density * d * (
        1 - d / 2 * (c - d / 3 * (c2 - 1 - d / 4 * (c * (c2 - 3) - d / 5 * (c2 * (c2 - 6) + 3))))
    )


_GELU_MAX_SLOPE = (1 + math.erf(1)) / 2 + math.exp(-1) / math.sqrt(math.pi)  # φ′(√2)

ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    {
        activation.name: activation
        for activation in (
            Activation("sigmoid", sigmoid, sigmoid_derivative, 1 / 4),
            Activation("tanh", tanh, tanh_derivative, 1.0),
            Activation("relu", relu, relu_derivative, 1.0),
            Activation("leaky_relu", leaky_relu, leaky_relu_derivative, 1.0, 0.01),
            Activation(
                "prelu", leaky_relu, leaky_relu_derivative, 1.0, 0.01, prelu_slope_derivative
            ),
            Activation("elu", elu, elu_derivative, 1.0),
            Activation("gelu", gelu, gelu_derivative, _GELU_MAX_SLOPE),
            Activation("linear", linear, linear_derivative, 1.0),
        )
    },
)


def as_activation(activation: str | Activation) -> Activation:
    """Return the activation of that name; an `Activation` is returned as it is.

    Raises
    ------
    ValueError
        If no activation has that name.
    """
    return activation if isinstance(activation, Activation) else ACTIVATIONS[activation]
