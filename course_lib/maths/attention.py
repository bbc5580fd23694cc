"""Attention: a soft look-up. Dot-product and multi-head, additive; where a token stands.

Scaled dot-product attention and the masks, equations (1) to (8), are in `dot_product`, attention
with several heads, (9) to (14), in `multi_head`; both can be imported from here.

Additive attention lets a hidden layer of tanh compare query and key (Bahdanau, Cho & Bengio 2015,
A.1.2). There q_i = W_a s_{i−1} and k_j = U_a h_j; (2) and (3) then go on from

    s_ij          = Σ_u scale_u tanh(q_iu + k_ju)                            (15)

Attention does not see in which order the keys stand. So the position t = 0, 1, … is added to each
token as an encoding of pairs of sine and cosine (Vaswani et al. 2017, 3.5):

    PE_t[2i]      = sin(ω_i t),   PE_t[2i+1] = cos(ω_i t),   ω_i = 10000^(−2i/units)    (16)
    PE_{t+shift}  = PE_t R(shift)                                            (17)

R turns every pair by the angle ω_i · shift, wherever t is: a distance is a rotation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from course_lib.checks import as_array, positive_int
from course_lib.maths.dot_product import (
    Array,
    AttentionGradients,
    AttentionTrace,
    attention_trace,
    causal_mask,
    checked_inputs,
    entropy,
    masked_softmax,
    padding_mask,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
    softmax,
    softmax_jacobian,
)
from course_lib.maths.multi_head import (
    MultiHeadAttention,
    MultiHeadGradients,
    MultiHeadTrace,
    multi_head_attention,
)

__all__ = [
    "AttentionGradients",
    "AttentionTrace",
    "MultiHeadAttention",
    "MultiHeadGradients",
    "MultiHeadTrace",
    "additive_attention",
    "attention_trace",
    "causal_mask",
    "entropy",
    "multi_head_attention",
    "padding_mask",
    "position_rotation",
    "positional_encoding",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
    "softmax",
    "softmax_jacobian",
]


def additive_attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    scale: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Mix the values, compared by (15): what `keras.layers.AdditiveAttention` computes.

    Parameters
    ----------
    q : array, shape (..., queries, units)
    k : array, shape (..., keys, units)
    v : array, shape (..., keys, d_v)
        The axes before the last two agree in all three. Keras takes them in the order q, v, k.
    mask : array of bool that broadcasts to (..., queries, keys), optional
        True where a query may look at a key; everywhere unless given.
    scale : array, shape (units,), optional
        What Keras calls `scale` and the paper v_a; ones unless given (`use_scale=False`).

    Returns
    -------
    output : array, shape (..., queries, d_v)
    weights : array, shape (..., queries, keys)

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or does not fit the others, or a mask holds anything but True and
        False.
    """
    q, k, v, mask = checked_inputs(q, k, v, mask)
    units = q.shape[-1]
    takes = f"a vector of {units}, one number for each unit"
    scale = (
        np.ones(units) if scale is None else as_array("scale", scale, shape=(units,), takes=takes)
    )
    hidden = np.tanh(q[..., :, None, :] + k[..., None, :, :])
    weights = masked_softmax(hidden @ scale, mask)  # (15), (2)
    return weights @ v, weights  # (3)


def positional_encoding(length: int, units: int) -> Array:
    """Return the sinusoidal encoding (16) of the positions 0 … length − 1.

    Every row has the norm √(units/2), and PE_t · PE_u depends on t − u alone.

    Parameters
    ----------
    length, units : int
        How many positions, and numbers for each; `units` is even, two for each frequency.

    Returns
    -------
    array, shape (length, units)

    Raises
    ------
    TypeError, ValueError
        If a count is no whole number above 0, or `units` is odd.
    """
    angles = np.outer(np.arange(positive_int("length", length)), _frequencies(units))
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, units)


def position_rotation(shift: int, units: int) -> Array:
    """Return R of (17): `positional_encoding(...)[t] @ R` is the encoding of position t + shift.

    Parameters
    ----------
    shift : int
        How many positions further; below 0 it is back.
    units : int
        An even number.

    Returns
    -------
    array, shape (units, units)
        Orthogonal; blocks of 2 × 2 on the diagonal, one for each frequency.

    Raises
    ------
    TypeError, ValueError
        If `shift` is no whole number, or `units` no even one above 0.
    """
    shift = positive_int("shift", shift, minimum=-(2**31), maximum=2**31)
    angles = shift * _frequencies(units)
    sin, cos = np.sin(angles), np.cos(angles)
    R = np.zeros((units, units))
    even, odd = np.arange(0, units, 2), np.arange(1, units, 2)
    R[even, even], R[even, odd] = cos, -sin  # sin(a + b) = sin a cos b + cos a sin b
    R[odd, even], R[odd, odd] = sin, cos  # cos(a + b) = cos a cos b − sin a sin b
    return R


def _frequencies(units: int) -> Array:
    """ω_i of (16), from 1 down to nearly 1/10000."""
    if positive_int("units", units, minimum=2) % 2:
        raise ValueError(f"`units` is {units}; it takes an even number, two for each frequency.")
    return 10000.0 ** (-np.arange(0, units, 2) / units)
