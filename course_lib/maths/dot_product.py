"""Scaled dot-product attention, forward and backward; masks, the softmax, and its Jacobian.

Each query q_i is compared with every key k_j; the softmax of the comparisons says in what parts to
mix the values v_j (Vaswani et al. 2017, eq. 1). Rows are queries, keys and values; d_k is the
width of a query:

    s_ij     = q_i · k_j / √d_k                                 (1)    forward
    p_ij     = exp(s_ij) / Σ_m exp(s_im)                        (2)    m: keys that i may look at
    y_i      = Σ_j p_ij v_j                                     (3)

Let g_i = ∂𝓛/∂y_i arrive. The Jacobian of (2), for one query, is J = diag(p) − p pᵀ (4); (6) is
J times ∂𝓛/∂p_i:

    ∂𝓛/∂v_j  = Σ_i p_ij g_i ,   ∂𝓛/∂p_ij = g_i · v_j            (5)    backward
    ∂𝓛/∂s_ij = p_ij (∂𝓛/∂p_ij − Σ_m p_im ∂𝓛/∂p_im)              (6)
    ∂𝓛/∂q_i  = Σ_j ∂𝓛/∂s_ij k_j / √d_k                          (7)
    ∂𝓛/∂k_j  = Σ_i ∂𝓛/∂s_ij q_i / √d_k                          (8)

One convention for masks, as in Keras: **True means that the query may look at the key.** A mask
has the axes (..., queries, keys), or fewer that broadcast to them. Where it is False the weight is
0 exactly, and neither the key nor the value there changes anything. A query that may look at
nothing gets weights 0, an output of 0 and no gradient. So does Keras's MultiHeadAttention when
asked for its weights; when not asked, it gives such a query the mean of all values, the forbidden
ones too, and `keras.layers.Attention` ignores the mask for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import as_array, instance, number, positive_int, shown

__all__ = [
    "AttentionGradients",
    "AttentionTrace",
    "attend",
    "attend_backward",
    "attention_trace",
    "causal_mask",
    "entropy",
    "masked_softmax",
    "padding_mask",
    "scaled_dot_product_attention",
    "scaled_dot_product_attention_backward",
    "softmax",
    "softmax_backward",
    "softmax_jacobian",
]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class AttentionTrace:
    """What scaled dot-product attention leaves behind for its backward pass.

    Attributes
    ----------
    queries, keys, values : arrays, shapes (..., queries, d_k), (..., keys, d_k), (..., keys, d_v)
    mask : array of bool that broadcasts to (..., queries, keys), or None
    scale : float
        What q · k is multiplied by in (1).
    scores, weights : arrays, shape (..., queries, keys)
        s of (1), before the mask, and p of (2); each row of weights sums to 1.
    output : array, shape (..., queries, d_v)
        y of (3).
    """

    queries: Array
    keys: Array
    values: Array
    mask: Mask | None
    scale: float
    scores: Array
    weights: Array
    output: Array

    def __repr__(self) -> str:
        *_, queries, keys = self.weights.shape
        return f"<AttentionTrace: {queries} queries, {keys} keys, scale {self.scale:.3g}>"


@dataclass(frozen=True, eq=False, repr=False)
class AttentionGradients:
    """The gradient of the loss by what went into scaled dot-product attention.

    Attributes
    ----------
    queries, keys, values : arrays
        (7), (8) and (5), shaped as in the trace.
    scores, weights : arrays, shape (..., queries, keys)
        (6), and ∂𝓛/∂p_ij of (5).
    """

    queries: Array
    keys: Array
    values: Array
    scores: Array
    weights: Array

    def __repr__(self) -> str:
        norms = (np.linalg.norm(g) for g in (self.queries, self.keys, self.values))
        q, k, v = (f"{norm:.3g}" for norm in norms)
        return f"<AttentionGradients: ‖∂𝓛/∂q‖ = {q}, ‖∂𝓛/∂k‖ = {k}, ‖∂𝓛/∂v‖ = {v}>"


def scaled_dot_product_attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    scale: float | None = None,
) -> tuple[Array, Array]:
    """Mix the values, each query in its own parts: (1) to (3).

    Parameters
    ----------
    q : array, shape (..., queries, d_k)
    k : array, shape (..., keys, d_k)
    v : array, shape (..., keys, d_v)
        The axes before the last two agree in all three: none, the batch, or batch and heads.
    mask : array of bool that broadcasts to (..., queries, keys), optional
        True where a query may look at a key; everywhere unless given.
    scale : float, optional
        1/√d_k unless given. With 1.0 it is the plain dot product of Luong et al. (2015) and of
        `keras.layers.Attention`.

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
    trace = attention_trace(q, k, v, mask, scale=scale)
    return trace.output, trace.weights


def attention_trace(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    mask: ArrayLike | None = None,
    *,
    scale: float | None = None,
) -> AttentionTrace:
    """Do what `scaled_dot_product_attention` does, and keep everything on the way.

    Parameters and errors are the same.
    """
    q, k, v, mask = checked_inputs(q, k, v, mask)
    if scale is not None:
        scale = number("scale", scale, takes="a finite number, or None for 1/√d_k")
    return attend(q, k, v, mask, scale)


def scaled_dot_product_attention_backward(
    trace: AttentionTrace, d_output: ArrayLike
) -> AttentionGradients:
    """Return the gradients (5) to (8) by queries, keys and values.

    Parameters
    ----------
    trace : AttentionTrace
        What `attention_trace` returned.
    d_output : array, shape (..., queries, d_v)
        g, the gradient by the output.

    Raises
    ------
    TypeError, ValueError
        If `trace` is none, or `d_output` is not finite or not shaped like the output.
    """
    instance("trace", trace, AttentionTrace, "what `attention_trace` returns")
    shape = trace.output.shape
    takes = f"one gradient for each entry of the output, shape {shape}"
    return attend_backward(trace, as_array("d_output", d_output, shape=shape, takes=takes))


def attend(
    q: Array, k: Array, v: Array, mask: Mask | None = None, scale: float | None = None
) -> AttentionTrace:
    """Equations (1) to (3) without checks, for stacks: what is not finite passes through."""
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    with np.errstate(over="ignore", invalid="ignore"):
        scores = scale * (q @ k.swapaxes(-1, -2))  # (1)
        weights = masked_softmax(scores, mask)  # (2)
        output = weights @ v  # (3)
    return AttentionTrace(q, k, v, mask, scale, scores, weights, output)


def attend_backward(trace: AttentionTrace, d_output: Array) -> AttentionGradients:
    """Equations (5) to (8) without checks, for stacks: what is not finite passes through."""
    p = trace.weights
    with np.errstate(over="ignore", invalid="ignore"):
        d_v = p.swapaxes(-1, -2) @ d_output  # (5)
        d_p = d_output @ trace.values.swapaxes(-1, -2)
        d_s = softmax_backward(p, d_p)  # (6)
        d_q = trace.scale * (d_s @ trace.keys)  # (7)
        d_k = trace.scale * (d_s.swapaxes(-1, -2) @ trace.queries)  # (8)
    return AttentionGradients(d_q, d_k, d_v, d_s, d_p)


def masked_softmax(scores: Array, mask: Mask | None) -> Array:
    """Equation (2) without checks; a row without any allowed key is 0."""
    if mask is None:
        e = np.exp(scores - scores.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)
    scores = np.where(mask, scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    e = np.exp(scores - np.where(top == -np.inf, 0, top))
    total = e.sum(-1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def softmax_backward(p: Array, d_p: Array) -> Array:
    """Equation (6): the Jacobian of the softmax times ∂𝓛/∂p, without building it."""
    return p * (d_p - (p * d_p).sum(-1, keepdims=True))


def softmax(scores: ArrayLike, mask: ArrayLike | None = None) -> Array:
    """Return (2) along the last axis: numbers above 0 that sum to 1, whatever the scores.

    The largest score is taken off first, which changes nothing, since softmax(s + c) = softmax(s),
    but keeps exp from overflowing.

    Parameters
    ----------
    scores : array, shape (..., n)
    mask : array of bool that broadcasts to `scores`, optional
        False where the result is 0. A row of False gives a row of 0.

    Returns
    -------
    array, shaped like `scores`

    Raises
    ------
    TypeError, ValueError
        If the scores are not finite, or the mask does not fit.
    """
    takes = "finite numbers in an array of shape (..., n)"
    scores = as_array("scores", scores, takes=takes)
    if scores.ndim == 0:
        raise ValueError(f"`scores` has shape (); it takes {takes}.")
    with np.errstate(over="ignore"):  # of two scores 1e308 apart the lower has weight 0
        return masked_softmax(scores, checked_mask(mask, scores.shape))


def softmax_jacobian(p: ArrayLike) -> Array:
    """Return ∂p_i/∂s_j = p_i (δ_ij − p_j) of p = softmax(s): equation (4).

    It is symmetric, its rows sum to 0, and its eigenvalues lie from 0 to 1/2.

    Parameters
    ----------
    p : array, shape (..., n)
        What the softmax returned, not what went into it.

    Returns
    -------
    array, shape (..., n, n)

    Raises
    ------
    TypeError, ValueError
        If a row of `p` does not sum to 1 (or 0, with all keys masked), or an entry is below 0.
    """
    p = _checked_weights(p)
    return p[..., :, None] * (np.eye(p.shape[-1]) - p[..., None, :])  # (4)


def entropy(p: ArrayLike) -> Array:
    """Return −Σ p_j ln p_j of each row, in nats: 0 for one key alone, ln n for n keys alike.

    e to this power is how many keys a query looks at, in effect. 0 ln 0 is 0, its limit.

    Parameters
    ----------
    p : array, shape (..., n)
        What the softmax returned.

    Returns
    -------
    array, shape (...)
        0 for a row of zeros, with all keys masked.

    Raises
    ------
    TypeError, ValueError
        As for `softmax_jacobian`.
    """
    p = _checked_weights(p)
    return 0.0 - (p * np.log(np.where(p == 0, 1, p))).sum(-1)  # 0 − 0 is 0, −0 would be −0


def causal_mask(queries: int, keys: int | None = None) -> Mask:
    """Return the mask of a decoder: step t may look at the steps 1 … t, itself included.

    Parameters
    ----------
    queries, keys : int
        How many; as many keys as queries unless given.

    Returns
    -------
    array of bool, shape (queries, keys)
        True where the key is not later than the query.

    Raises
    ------
    TypeError, ValueError
        If a count is no whole number above 0.
    """
    queries = positive_int("queries", queries)
    keys = queries if keys is None else positive_int("keys", keys)
    return np.tri(queries, keys, dtype=bool)


def padding_mask(tokens: ArrayLike, *, padding: int = 0) -> Mask:
    """Return the mask that hides the filled-up ends of sequences, True at every real token.

    Combine it with a causal mask by `&`.

    Parameters
    ----------
    tokens : array of whole numbers, shape (batch, length)
    padding : int
        The number that stands for "nothing here"; 0 in Keras.

    Returns
    -------
    array of bool, shape (batch, 1, length)
        The axis of 1 is that of the queries: the keys are hidden from all of them.

    Raises
    ------
    TypeError, ValueError
        If `tokens` is no matrix of whole numbers.
    """
    takes = "a matrix of whole numbers, shape (batch, length)"
    padding = positive_int("padding", padding, minimum=-1)
    exact = as_array("tokens", tokens, ndim=2, takes=takes)
    if (exact != np.floor(exact)).any():
        raise ValueError(
            f"`tokens` holds {exact[exact != np.floor(exact)][0]:g}; it takes {takes}."
        )
    return (np.asarray(tokens) != padding)[:, None, :]


def checked_inputs(
    q: ArrayLike, k: ArrayLike, v: ArrayLike, mask: ArrayLike | None
) -> tuple[Array, Array, Array, Mask | None]:
    """Return queries, keys, values and mask as arrays that fit each other, or say what does not.

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or does not fit the others.
    """
    q, k, v = (as_array(name, value) for name, value in (("q", q), ("k", k), ("v", v)))
    if q.ndim < 2:
        raise ValueError(f"`q` has shape {q.shape}; it takes an array (..., queries, units).")
    _check_fit("k", k, (*q.shape[:-2], "keys", q.shape[-1]), "q", q)
    _check_fit("v", v, (*k.shape[:-1], "units of a value"), "k", k)
    return q, k, v, checked_mask(mask, (*q.shape[:-1], k.shape[-2]))


def checked_mask(mask: ArrayLike | None, shape: tuple[int, ...]) -> Mask | None:
    """Return `mask` as an array of bool if it broadcasts to `shape`, or say what is wrong with it.

    Raises
    ------
    TypeError, ValueError
        If it holds anything but True and False, or has another shape.
    """
    if mask is None:
        return None
    takes = f"True and False, True where it may look, in a shape that broadcasts to {shape}"
    try:
        array: NDArray[Any] = np.asarray(mask)
    except Exception:  # ragged lists, symbolic tensors
        raise TypeError(f"`mask` is {shown(mask)}; it takes {takes}.") from None
    if array.dtype != bool:
        raise TypeError(f"`mask` is {shown(mask)}; it takes {takes}.")
    if array.ndim > len(shape) or any(
        n not in (1, m) for n, m in zip(array.shape[::-1], shape[::-1], strict=False)
    ):
        hint = ", so one of (batch, keys) is written `mask[:, None]`" if array.ndim == 2 else ""
        raise ValueError(f"`mask` has shape {array.shape}; it takes {takes}{hint}.")
    return array


def _checked_weights(p: ArrayLike) -> Array:
    """Return `p` as an array if it can have come out of a softmax, or say what is wrong."""
    takes = "what `softmax` returned, rows that sum to 1"
    p = as_array("p", p, takes=takes)
    if p.ndim == 0:
        raise ValueError(f"`p` has shape (); it takes {takes}.")
    if p.min() < 0:
        raise ValueError(f"`p` holds {p.min():.3g}; it takes {takes}.")
    total = p.sum(-1)
    wrong = total[~(np.isclose(total, 1, atol=1e-6) | (total == 0))]
    if wrong.size:
        raise ValueError(f"`p` has a row that sums to {wrong[0]:.3g}; it takes {takes}.")
    return p


def _check_fit(
    name: str, array: Array, needed: tuple[int | str, ...], beside: str, b: Array
) -> None:
    """Refuse an array that does not have the shape `needed`, where a word stands for any number."""
    fits = array.ndim == len(needed) and all(
        isinstance(m, str) or n == m for n, m in zip(array.shape, needed, strict=True)
    )
    if not fits:
        shape = ", ".join(map(str, needed))
        raise ValueError(
            f"`{name}` has shape {array.shape}; beside `{beside}` of shape {b.shape} it takes "
            f"({shape})."
        )
