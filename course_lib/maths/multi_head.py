"""Multi-head attention, forward and backward, with weights in Keras's layout.

Each head h looks for something of its own: it maps the inputs to queries, keys and values of its
own width d_k, and attends with them as in `dot_product`. The outputs of all heads are mapped once
more and added up (Vaswani et al. 2017, 3.2.2, where they stand side by side before one W_O, which
is the same). x_q, x_k and x_v are the inputs, one and the same x in self-attention:

    Q^h      = x_q W_Q^h + b_Q^h, and so K^h of x_k, V^h of x_v              (9)     forward
    y^h, p^h = attention of Q^h, K^h, V^h by (1) to (3)                      (10)
    y        = Σ_h y^h W_O^h + b_O                                           (11)

    ∂𝓛/∂W_O^h = Σ (y^h)ᵀ ∂𝓛/∂y ,   ∂𝓛/∂y^h = ∂𝓛/∂y (W_O^h)ᵀ                  (12)    backward
    ∂𝓛/∂W_Q^h = Σ x_qᵀ ∂𝓛/∂Q^h, where ∂𝓛/∂Q^h comes by (5) to (8)            (13)
    ∂𝓛/∂x_q   = Σ_h ∂𝓛/∂Q^h (W_Q^h)ᵀ                                         (14)

and so for K and V; the sums in (12) and (13) run over batch and positions, as do those by the
biases. b_K gets no gradient: it adds the same q_i · b_K to all scores of a query, and a softmax
does not see what it adds to all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from course_lib.checks import as_array, instance, positive_int, shown
from course_lib.maths.dot_product import (
    Array,
    AttentionTrace,
    Mask,
    attend,
    attend_backward,
    checked_mask,
)
from course_lib.maths.initializers import INITIALIZERS
from course_lib.maths.recurrent_layer import sum_of_products

__all__ = ["MultiHeadAttention", "MultiHeadGradients", "MultiHeadTrace", "multi_head_attention"]


class MultiHeadTrace(NamedTuple):
    """What multi-head attention leaves behind: x_q, x_k, x_v, the trace of all heads, and y."""

    queries: Array
    keys: Array
    values: Array
    heads: AttentionTrace
    output: Array

    @property
    def weights(self) -> Array:
        """All the heads' weights p, shape (batch, heads, queries, keys)."""
        return self.heads.weights

    def __repr__(self) -> str:
        batch, heads, queries, keys = self.weights.shape
        return f"<MultiHeadTrace: batch {batch}, {heads} heads, {queries} queries, {keys} keys>"


@dataclass(frozen=True, eq=False, repr=False)
class MultiHeadGradients:
    """The gradient of the loss by everything in multi-head attention.

    Attributes
    ----------
    kernels, biases : tuples of four arrays
        By those for query, key, value and output, shaped as they are; `biases` is None where the
        layer has none.
    queries, keys, values : arrays, shape (batch, time, features)
        (14), by x_q, x_k and x_v. In self-attention x has the sum of the three.
    """

    kernels: tuple[Array, ...]
    biases: tuple[Array, ...] | None
    queries: Array
    keys: Array
    values: Array

    @property
    def weights(self) -> list[Array]:
        """The gradients in the order of `MultiHeadAttention.weights`."""
        return _in_keras_order(self.kernels, self.biases)

    def __repr__(self) -> str:
        norms = ", ".join(
            f"‖∂𝓛/∂W_{name}‖ = {np.linalg.norm(kernel):.3g}"
            for name, kernel in zip("QKVO", self.kernels, strict=True)
        )
        return f"<MultiHeadGradients: {norms}>"


class MultiHeadAttention:
    """Multi-head attention, equations (9) to (14): what `keras.layers.MultiHeadAttention` computes.

    Parameters
    ----------
    kernels : sequence of four arrays
        W_Q, W_K and W_V of all heads, shape (features, heads, d_k), for W_V (features, heads, d_v),
        and W_O, shape (heads, d_v, units).
    biases : sequence of four arrays, optional
        b_Q and b_K, shape (heads, d_k), b_V, shape (heads, d_v), and b_O, shape (units,).

    Attributes
    ----------
    kernels, biases : tuples of four arrays
        As given, in float64; `biases` may be None.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit the others, or a number is not finite.
    """

    def __init__(
        self, kernels: Sequence[ArrayLike], biases: Sequence[ArrayLike] | None = None
    ) -> None:
        W_Q, W_K, W_V, W_O = (
            as_array(
                name, kernel, ndim=3, takes="an array of three axes, of which one is the heads"
            )
            for name, kernel in _four("kernels", kernels)
        )
        heads, d_k = W_Q.shape[1:]
        d_v = W_V.shape[2]
        _check_shape("kernels[1]", W_K, (len(W_K), heads, d_k), "(features, heads, d_k)")
        _check_shape("kernels[2]", W_V, (len(W_V), heads, d_v), "(features, heads, d_v)")
        _check_shape("kernels[3]", W_O, (heads, d_v, W_O.shape[2]), "(heads, d_v, units)")
        self.kernels: tuple[Array, ...] = (W_Q, W_K, W_V, W_O)
        self.biases: tuple[Array, ...] | None = None
        if biases is not None:
            self.biases = tuple(
                as_array(name, bias, shape=shape)
                for (name, bias), shape in zip(
                    _four("biases", biases), self._bias_shapes, strict=True
                )
            )

    @property
    def heads(self) -> int:
        """How many heads there are."""
        return self.kernels[0].shape[1]

    @property
    def weights(self) -> list[Array]:
        """Kernel and bias of query, key, value and output: what `set_weights` of Keras takes."""
        return _in_keras_order(self.kernels, self.biases)

    @property
    def _bias_shapes(self) -> list[tuple[int, ...]]:
        *heads, W_O = self.kernels
        return [*(kernel.shape[1:] for kernel in heads), W_O.shape[2:]]

    @classmethod
    def from_keras(cls, layer: Any) -> Self:
        """Return the layer with the weights, in float64, of a `keras.layers.MultiHeadAttention`.

        Dropout is left out, as Keras leaves it out outside training.

        Raises
        ------
        TypeError, ValueError
            If `layer` is another one, is not built, or has a gate, a sliding window, an output of
            several axes, or attention over other axes than time.
        """
        names = {base.__name__ for base in type(layer).__mro__}
        if "MultiHeadAttention" not in names or isinstance(layer, MultiHeadAttention):
            raise TypeError(
                f"`layer` is {shown(layer)}; it takes a `keras.layers.MultiHeadAttention`."
            )
        if not layer.built:
            raise ValueError("`layer` is not built; it takes one that has been called on an input.")
        config = layer.get_config()
        for name, needed in (("use_gate", (False, None)), ("sliding_window", (None,))):
            if config.get(name) not in needed:
                raise ValueError(f"`layer` has {name}={config[name]!r}; it takes one without.")
        if config["attention_axes"] not in (None, (1,), [1]):
            raise ValueError(
                f"`layer` has attention_axes={config['attention_axes']}; it takes time alone, (1,)."
            )
        dense = (layer.query_dense, layer.key_dense, layer.value_dense, layer.output_dense)
        kernels = [np.array(part.kernel.numpy(), dtype=np.float64) for part in dense]
        biases = [
            np.array(part.bias.numpy(), dtype=np.float64) for part in dense if part.bias is not None
        ]
        return cls(kernels, biases or None)

    @classmethod
    def random(
        cls,
        features: int,
        heads: int,
        rng: np.random.Generator,
        *,
        key_dim: int | None = None,
        initializer: str = "glorot_uniform",
        bias: bool = True,
    ) -> Self:
        """Draw a layer for self-attention as Keras starts one: Glorot kernels, biases 0.

        A kernel is drawn as a matrix (features, heads · key_dim), all heads side by side.

        Parameters
        ----------
        features : int
            Of each token, before and after.
        heads : int
        rng : numpy.random.Generator
        key_dim : int, optional
            d_k = d_v; features / heads unless given.
        initializer : str
            A name in `INITIALIZERS`.
        bias : bool
            Whether there are biases.

        Raises
        ------
        TypeError, ValueError
            If an argument does not fit; the sentence names it.
        """
        features, heads = positive_int("features", features), positive_int("heads", heads)
        if key_dim is None and features % heads:
            raise ValueError(
                f"`heads` is {heads}; without `key_dim` it takes a divisor of `features`, "
                f"{features}."
            )
        width = features // heads if key_dim is None else positive_int("key_dim", key_dim)
        draw, wide = INITIALIZERS[initializer], (features, heads * width)
        kernels = [draw(wide, rng).reshape(features, heads, width) for _ in range(3)]
        layer = cls([*kernels, draw(wide[::-1], rng).reshape(heads, width, features)])
        if instance("bias", bias, bool, "True or False"):
            layer.biases = tuple(np.zeros(shape) for shape in layer._bias_shapes)
        return layer

    def forward(
        self,
        q: ArrayLike,
        k: ArrayLike | None = None,
        v: ArrayLike | None = None,
        mask: ArrayLike | None = None,
    ) -> MultiHeadTrace:
        """Attend with all heads and keep everything on the way: (9) to (11).

        Parameters
        ----------
        q : array, shape (batch, queries, features)
            x_q. With nothing else this is self-attention.
        k, v : arrays, shape (batch, keys, features), optional
            x_k is x_q unless given, x_v is x_k unless given. Keras takes them in the order q, v, k.
        mask : array of bool, optional
            True where a query may look at a key, for all heads (batch, queries, keys) or fewer
            axes, or for each its own (batch, heads, queries, keys).

        Returns
        -------
        MultiHeadTrace
            `.output`, shape (batch, queries, units), and `.weights`, shape (batch, heads, queries,
            keys).

        Raises
        ------
        TypeError, ValueError
            If an array is not finite or does not fit the layer.
        """
        W_Q, W_K, W_V, _ = self.kernels
        x_q = _checked_tokens("q", q, "any", "queries", len(W_Q))
        x_k = _checked_tokens("k", x_q if k is None else k, len(x_q), "keys", len(W_K))
        x_v = _checked_tokens("v", x_k if v is None else v, len(x_q), x_k.shape[1], len(W_V))
        shape = (len(x_q), self.heads, x_q.shape[1], x_k.shape[1])
        return self.run(x_q, x_k, x_v, mask_for_all_heads(mask, shape))

    def backward(self, trace: MultiHeadTrace, d_output: ArrayLike) -> MultiHeadGradients:
        """Return the gradients (12) to (14) by everything in the layer.

        Parameters
        ----------
        trace : MultiHeadTrace
            What `forward` returned.
        d_output : array, shape (batch, queries, units)
            ∂𝓛/∂y.

        Raises
        ------
        TypeError, ValueError
            If `trace` is none of this layer's, or `d_output` is not finite or not shaped like y.
        """
        instance("trace", trace, MultiHeadTrace, "what `forward` returns")
        if _kernel_shapes(trace) != [kernel.shape for kernel in self.kernels]:
            raise ValueError(
                "`trace` is that of a layer with other shapes; it takes what this layer's "
                "`forward` returned."
            )
        shape = trace.output.shape
        takes = f"one gradient for each entry of the output, shape {shape}"
        return self.run_backward(trace, as_array("d_output", d_output, shape=shape, takes=takes))

    def run(self, q: Array, k: Array, v: Array, mask: Mask | None = None) -> MultiHeadTrace:
        """Do what `forward` does without checks; a mask has its axis of heads."""
        *kernels, W_O = self.kernels
        *biases, b_O = self.biases or (None,) * 4
        with np.errstate(over="ignore", invalid="ignore"):
            Q, K, V = map(_to_heads, (q, k, v), kernels, biases)  # (9)
            heads = attend(Q, K, V, mask)  # (10)
            output = _side_by_side(heads.output) @ _as_matrix(W_O)  # (11)
        return MultiHeadTrace(q, k, v, heads, output if b_O is None else output + b_O)

    def run_backward(self, trace: MultiHeadTrace, d_output: Array) -> MultiHeadGradients:
        """Do what `backward` does without checks: what is not finite passes through."""
        *kernels, W_O = self.kernels
        inputs = (trace.queries, trace.keys, trace.values)
        with np.errstate(over="ignore", invalid="ignore"):
            d_W_O = sum_of_products(_side_by_side(trace.heads.output), d_output)  # (12)
            d_y = _split(d_output @ _as_matrix(W_O).T, self.heads)
            heads = attend_backward(trace.heads, d_y)
            d_QKV = [_side_by_side(d) for d in (heads.queries, heads.keys, heads.values)]
            d_kernels = [*map(sum_of_products, inputs, d_QKV), d_W_O]  # (13)
            d_x = [d @ W.reshape(len(W), -1).T for d, W in zip(d_QKV, kernels, strict=True)]  # (14)
        return MultiHeadGradients(
            tuple(d.reshape(W.shape) for d, W in zip(d_kernels, self.kernels, strict=True)),
            self._bias_gradients([*d_QKV, d_output]),
            *d_x,
        )

    def _bias_gradients(self, gradients: Sequence[Array]) -> tuple[Array, ...] | None:
        """Return the sums over batch and positions, one for each bias."""
        if self.biases is None:
            return None
        pairs = zip(gradients, self.biases, strict=True)
        return tuple(d.sum(axis=(0, 1)).reshape(b.shape) for d, b in pairs)

    def __repr__(self) -> str:
        features, heads, d_k = self.kernels[0].shape
        return f"<MultiHeadAttention: {features} features, {heads} heads of {d_k}>"


def multi_head_attention(
    q: ArrayLike,
    k: ArrayLike,
    v: ArrayLike,
    layer: MultiHeadAttention,
    mask: ArrayLike | None = None,
) -> tuple[Array, Array]:
    """Attend with all heads of a layer: (9) to (11).

    Parameters
    ----------
    q : array, shape (batch, queries, features)
    k, v : arrays, shape (batch, keys, features)
        Keras takes the three in the order q, v, k.
    layer : MultiHeadAttention
        The weights, `MultiHeadAttention.from_keras(...)` or `.random(...)`.
    mask : array of bool, optional
        True where a query may look at a key; shapes as for `MultiHeadAttention.forward`.

    Returns
    -------
    output : array, shape (batch, queries, units)
    weights : array, shape (batch, heads, queries, keys)

    Raises
    ------
    TypeError, ValueError
        If an array is not finite or does not fit the layer.
    """
    instance("layer", layer, MultiHeadAttention, "a MultiHeadAttention, which holds the weights")
    trace = layer.forward(q, k, v, mask)
    return trace.output, trace.weights


def mask_for_all_heads(mask: ArrayLike | None, shape: tuple[int, int, int, int]) -> Mask | None:
    """Return a mask that fits `shape`, with an axis of 1 for the heads unless it has its own.

    Raises
    ------
    TypeError, ValueError
        If it holds anything but True and False, or does not fit (batch, heads, queries, keys).
    """
    batch, _, queries, keys = shape
    if getattr(mask, "ndim", 0) == 4:
        return checked_mask(mask, shape)
    checked = checked_mask(mask, (batch, queries, keys))
    return checked[:, None] if checked is not None and checked.ndim == 3 else checked


def _kernel_shapes(trace: MultiHeadTrace) -> list[tuple[int, ...]]:
    """Return the shapes of the four kernels that made a trace."""
    inputs = (trace.queries, trace.keys, trace.values)
    heads = (trace.heads.queries, trace.heads.keys, trace.heads.values)
    shapes = [(x.shape[2], *h.shape[1::2]) for x, h in zip(inputs, heads, strict=True)]
    return [*shapes, (*trace.heads.output.shape[1::2], trace.output.shape[2])]


def _to_heads(x: Array, kernel: Array, bias: Array | None) -> Array:
    """Equation (9) for all heads at once, shape (batch, heads, time, width)."""
    wide = x @ kernel.reshape(len(kernel), -1)
    return _split(wide if bias is None else wide + bias.reshape(-1), kernel.shape[1])


def _split(wide: Array, heads: int) -> Array:
    """(batch, time, heads · width) to (batch, heads, time, width)."""
    return wide.reshape(*wide.shape[:2], heads, -1).swapaxes(1, 2)


def _side_by_side(heads: Array) -> Array:
    """(batch, heads, time, width) to (batch, time, heads · width)."""
    batch, _, time, _ = heads.shape
    return heads.swapaxes(1, 2).reshape(batch, time, -1)


def _as_matrix(W_O: Array) -> Array:
    return W_O.reshape(-1, W_O.shape[2])


def _in_keras_order(kernels: Sequence[Array], biases: Sequence[Array] | None) -> list[Array]:
    if biases is None:
        return list(kernels)
    return [array for pair in zip(kernels, biases, strict=True) for array in pair]


def _four(name: str, arrays: Any) -> list[tuple[str, Any]]:
    """Return four arrays with the names by which a sentence calls them."""
    takes = "four arrays, for query, key, value and output"
    if not isinstance(arrays, Sequence) or isinstance(arrays, str):
        raise TypeError(f"`{name}` is {shown(arrays)}; it takes {takes}.")
    if len(arrays) != 4:
        raise ValueError(f"`{name}` has {len(arrays)} entries; it takes {takes}.")
    return [(f"{name}[{i}]", array) for i, array in enumerate(arrays)]


def _check_shape(name: str, array: Array, shape: tuple[int, ...], axes: str) -> None:
    if array.shape != shape:
        raise ValueError(
            f"`{name}` has shape {array.shape}; beside the others it takes {shape}, {axes}."
        )


def _checked_tokens(
    name: str, x: ArrayLike, batch: int | str, time: int | str, features: int
) -> Array:
    """Return x as an array (batch, time, features); a word stands for any number."""
    takes = f"an array of shape ({'batch' if batch == 'any' else batch}, {time}, {features})"
    array = as_array(name, x, ndim=3, takes=takes)
    fits = all(
        isinstance(needed, str) or n == needed
        for n, needed in zip(array.shape, (batch, time, features), strict=True)
    )
    if not fits:
        raise ValueError(f"`{name}` has shape {array.shape}; it takes {takes}.")
    return array
