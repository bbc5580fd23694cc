"""What the weights start as: matrices drawn so that the signal keeps its size, or does not.

`INITIALIZERS["he_normal"](shape, rng)` draws a matrix W of shape (fan_in, fan_out) for a layer
h_l = φ(h_{l−1} W + b) whose rows are samples. All have mean 0; `variance` says how large the
entries are. Normal ones are not truncated here; Keras truncates at two standard deviations and
rescales, so that the variance is the same and the largest weights are missing.

Each takes a pair of whole numbers and a `numpy.random.Generator`, else it raises `TypeError`;
a number that is not above 0 raises `ValueError`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import Registry, generator, positive_int, positive_number, shown

Shape = tuple[int, int]
Matrix = NDArray[np.float64]


def glorot_normal(shape: Shape, rng: np.random.Generator) -> Matrix:
    """Draw normal numbers with Var(w) = 2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 12)."""
    return _normal(shape, rng, variance("glorot_normal", shape))


def glorot_uniform(shape: Shape, rng: np.random.Generator) -> Matrix:
    """Draw uniform numbers in ±√6 / √(fan_in + fan_out) (Glorot & Bengio 2010, eq. 16).

    The variance is that of `glorot_normal`: a uniform number in ±c has variance c²/3.
    """
    return _uniform(shape, rng, variance("glorot_uniform", shape))


def he_normal(shape: Shape, rng: np.random.Generator) -> Matrix:
    """Draw normal numbers with Var(w) = 2 / fan_in (He et al. 2015, eq. 10).

    That keeps the signal of a ReLU layer; fan_out instead of fan_in keeps its gradient (eq. 14).
    """
    return _normal(shape, rng, variance("he_normal", shape))


def he_uniform(shape: Shape, rng: np.random.Generator) -> Matrix:
    """Draw uniform numbers in ±√(6 / fan_in): again Var(w) = 2 / fan_in."""
    return _uniform(shape, rng, variance("he_uniform", shape))


def lecun_normal(shape: Shape, rng: np.random.Generator) -> Matrix:
    """Draw normal numbers with Var(w) = 1 / fan_in, which keeps the signal of a linear layer."""
    return _normal(shape, rng, variance("lecun_normal", shape))


def orthogonal(shape: Shape, rng: np.random.Generator, gain: float = 1.0) -> Matrix:
    """Draw a random rotation times `gain` (Saxe et al. 2014): every singular value of W is `gain`.

    For a shape that is not square, the shorter side's vectors are orthogonal.
    """
    fan_in, fan_out = _fans(shape)
    gain = positive_number("gain", gain)
    tall = generator("rng", rng).standard_normal((max(shape), min(shape)))
    q, r = np.linalg.qr(tall)
    q *= np.sign(np.diag(r))  # QR chooses signs by rule; this makes all rotations equally likely
    return gain * (q if fan_in >= fan_out else q.T)


def normal(shape: Shape, rng: np.random.Generator, stddev: float = 0.05) -> Matrix:
    """Draw normal numbers of the standard deviation given, whatever the width."""
    return _normal(shape, rng, variance("normal", shape, stddev=stddev))


def variance(name: str, shape: Shape, *, stddev: float = 0.05, gain: float = 1.0) -> float:
    """Return the variance of one weight, Var(w), that the initialiser `name` aims at.

    Parameters
    ----------
    name : str
        A name in `INITIALIZERS`.
    shape : (fan_in, fan_out)
    stddev, gain : float
        As for `normal` and `orthogonal`; the others take no notice.

    Raises
    ------
    ValueError, TypeError
        If the name is unknown, `shape` is no pair of whole numbers, or a scale is not above 0.
    """
    fan_in, fan_out = _fans(shape)
    variances = Registry(
        "initializer",
        {
            "glorot_normal": 2 / (fan_in + fan_out),
            "glorot_uniform": 2 / (fan_in + fan_out),
            "he_normal": 2 / fan_in,
            "he_uniform": 2 / fan_in,
            "lecun_normal": 1 / fan_in,
            "orthogonal": positive_number("gain", gain) ** 2 / max(fan_in, fan_out),
            "normal": positive_number("stddev", stddev) ** 2,
        },
    )
    return variances[name]


def _fans(shape: Any) -> Shape:
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        error = ValueError if isinstance(shape, (tuple, list)) else TypeError
        raise error(f"`shape` is {shown(shape)}; it takes a pair (fan_in, fan_out).")
    return positive_int("shape[0]", shape[0]), positive_int("shape[1]", shape[1])


def _normal(shape: Shape, rng: np.random.Generator, var: float) -> Matrix:
    return math.sqrt(var) * generator("rng", rng).standard_normal(_fans(shape))


def _uniform(shape: Shape, rng: np.random.Generator, var: float) -> Matrix:
    limit = math.sqrt(3 * var)
    return generator("rng", rng).uniform(-limit, limit, _fans(shape))


INITIALIZERS: Registry[Callable[..., Matrix]] = Registry(
    "initializer",
    {
        "glorot_normal": glorot_normal,
        "glorot_uniform": glorot_uniform,
        "he_normal": he_normal,
        "he_uniform": he_uniform,
        "lecun_normal": lecun_normal,
        "orthogonal": orthogonal,
        "normal": normal,
    },
)
