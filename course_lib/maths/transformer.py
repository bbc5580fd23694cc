"""Transformer blocks, one on another: one pass up, one pass down, and what arrives at each weight.

A block is attention of all tokens to all, then a small network for each token alone, FFN. Around
each of the two there may be a layer norm, LN, and a skip, x + … (Vaswani et al. 2017, 3.1; the two
places of the norm are compared by Xiong et al. 2020). With the tokens h_0 coming in, l = 1 … D:

    FFN(u)   = φ(u W_1 + b_1) W_2 + b_2                                      (1)
    u_l      = h_{l−1} + MHA(h_{l−1}),       h_l = u_l + FFN(u_l)            (2a)    no LN
    u_l      = h_{l−1} + MHA(LN(h_{l−1})),   h_l = u_l + FFN(LN(u_l))        (2b)    pre-LN
    u_l      = LN(h_{l−1} + MHA(h_{l−1})),   h_l = LN(u_l + FFN(u_l))        (2c)    post-LN
    y        = h_D, after pre-LN blocks LN(h_D)                              (3)

Without skips the summands h_{l−1} and u_l are left out. With F for MHA or FFN, a gradient g that
arrives at x + F(LN(x)) or at x + F(x) goes down both ways; after LN(x + F(x)) it first goes through
the norm, as in `normalization`:

    ∂𝓛/∂x    = g + (∂(F ∘ LN)/∂x)ᵀ g, without the skip the second part alone       (4)

MHA is that of `multi_head`, so self-attention adds up what comes by queries, keys and values.
`transformer_stack` shows what such a stack does to tokens and gradients at the start of training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from course_lib.checks import (
    as_array,
    as_matrix,
    generator,
    instance,
    one_of,
    positive_int,
    positive_number,
    shown,
)
from course_lib.maths.activations import Activation, as_activation, bare
from course_lib.maths.dot_product import Array, Mask
from course_lib.maths.initializers import INITIALIZERS
from course_lib.maths.multi_head import (
    MultiHeadAttention,
    MultiHeadGradients,
    MultiHeadTrace,
    mask_for_all_heads,
)
from course_lib.maths.normalization import NormGradients, NormTrace, normalize, normalize_backward
from course_lib.maths.propagation import _frobenius_norm, _own_generator
from course_lib.maths.recurrent_layer import sum_of_products

__all__ = [
    "BlockGradients",
    "BlockTrace",
    "EncoderBlock",
    "TransformerForm",
    "TransformerPass",
    "backward",
    "block_backward",
    "block_forward",
    "forward",
    "make_blocks",
    "token_diversity",
    "transformer_stack",
]


@dataclass(frozen=True)
class TransformerForm:
    """What the blocks of a stack have in common.

    Attributes
    ----------
    normalization : None, "pre" or "post"
        Where the layer norms stand: nowhere, before MHA and FFN, or after the sums.
    skip : bool
        Whether there are skips.
    activation : Activation
        φ of the FFN.
    norm_epsilon : float
        ε under the root of the layer norm; 1e-3 in Keras.
    """

    normalization: str | None
    skip: bool
    activation: Activation
    norm_epsilon: float = 1e-3

    def __post_init__(self) -> None:
        one_of("normalization", self.normalization, (None, "pre", "post"))
        instance("skip", self.skip, bool, "True or False")
        instance("activation", self.activation, Activation, "an Activation, as in `ACTIVATIONS`")
        positive_number("norm_epsilon", self.norm_epsilon)


@dataclass(frozen=True, eq=False, repr=False)
class EncoderBlock:
    """The parameters of one block.

    Attributes
    ----------
    attention : MultiHeadAttention
        W_Q, W_K, W_V, W_O and their biases; as many units come out as features go in.
    W_1, b_1 : arrays, shapes (units, hidden), (hidden,)
    W_2, b_2 : arrays, shapes (hidden, units), (units,)
        The FFN of (1).
    scales, offsets : pairs of arrays, shape (units,)
        Of the norm at the attention and of that at the FFN.

    Raises
    ------
    TypeError, ValueError
        If a shape does not fit the others, or a number is not finite.
    """

    attention: MultiHeadAttention
    W_1: Array
    b_1: Array
    W_2: Array
    b_2: Array
    scales: tuple[Array, Array]
    offsets: tuple[Array, Array]

    def __post_init__(self) -> None:
        takes = "a MultiHeadAttention, which holds the weights"
        W_Q, W_K, W_V, W_O = instance(
            "attention", self.attention, MultiHeadAttention, takes
        ).kernels
        units = len(W_Q)
        if not len(W_K) == len(W_V) == W_O.shape[2] == units:
            raise ValueError(
                f"`attention` has {len(W_Q)}, {len(W_K)} and {len(W_V)} features and "
                f"{W_O.shape[2]} units; a block takes one with as many units as features."
            )
        hidden = as_matrix("W_1", self.W_1).shape[1]
        arrays = [("W_1", (units, hidden)), ("b_1", (hidden,))]
        arrays += [("W_2", (hidden, units)), ("b_2", (units,))]
        for name, shape in arrays:
            object.__setattr__(self, name, as_array(name, getattr(self, name), shape=shape))
        for name in ("scales", "offsets"):
            object.__setattr__(self, name, _pair(name, getattr(self, name), units))

    @property
    def units(self) -> int:
        """How many numbers a token has."""
        return len(self.W_1)

    @classmethod
    def from_keras(
        cls, attention: Any, dense_1: Any, dense_2: Any, norm_1: Any = None, norm_2: Any = None
    ) -> Self:
        """Return the block made of built Keras layers, in float64.

        Parameters
        ----------
        attention : keras.layers.MultiHeadAttention
        dense_1, dense_2 : keras.layers.Dense
            With biases; φ is the stack's, not the block's.
        norm_1, norm_2 : keras.layers.LayerNormalization, optional
            At the attention and at the FFN; scales 1 and offsets 0 unless given.

        Raises
        ------
        TypeError, ValueError
            If a layer is another one, is not built, or its weights do not fit the others.
        """
        W_1, b_1 = _keras_pair("dense_1", dense_1, "Dense", "kernel", "bias")
        W_2, b_2 = _keras_pair("dense_2", dense_2, "Dense", "kernel", "bias")
        units = W_2.shape[1]
        norms = [
            _keras_pair(name, norm, "LayerNormalization", "gamma", "beta")
            if norm is not None
            else (np.ones(units), np.zeros(units))
            for name, norm in (("norm_1", norm_1), ("norm_2", norm_2))
        ]
        scales, offsets = zip(*norms, strict=True)
        return cls(MultiHeadAttention.from_keras(attention), W_1, b_1, W_2, b_2, scales, offsets)

    def __repr__(self) -> str:
        hidden = len(self.b_1)
        return f"<EncoderBlock: {self.units} units, {self.attention.heads} heads, hidden {hidden}>"


class BlockTrace(NamedTuple):
    """What one block leaves behind: MHA, a and φ(a) of the FFN, the two norms, u_l and h_l."""

    attention: MultiHeadTrace
    ffn_inputs: Array
    pre_activation: Array
    hidden: Array
    norms: tuple[NormTrace | None, NormTrace | None]
    middle: Array
    output: Array


class BlockGradients(NamedTuple):
    """The gradients by h_{l−1} and by all parameters of a block; `norms` are None without LN."""

    inputs: Array
    attention: MultiHeadGradients
    W_1: Array
    b_1: Array
    W_2: Array
    b_2: Array
    norms: tuple[NormGradients | None, NormGradients | None]

    @property
    def kernels(self) -> dict[str, Array]:
        """∂𝓛/∂W by name: W_Q, W_K, W_V, W_O, W_1 and W_2."""
        attention = zip(("W_Q", "W_K", "W_V", "W_O"), self.attention.kernels, strict=True)
        return {**dict(attention), "W_1": self.W_1, "W_2": self.W_2}


@dataclass(frozen=True, eq=False, repr=False)
class TransformerPass:
    """What a stack of blocks did to the tokens that went up and to the gradient that came down.

    Attributes
    ----------
    tokens : list of D + 1 arrays, shape (batch, tokens, units)
        h_0 … h_D.
    output : array, shape (batch, tokens, units)
        y of (3).
    weights : list of D arrays, shape (batch, heads, tokens, tokens)
        Whom the tokens looked at.
    norms : array, shape (D + 1,)
        ‖∂𝓛/∂h_0‖ … ‖∂𝓛/∂h_D‖, the input first.
    kernel_norms : dict of arrays, shape (D,)
        ‖∂𝓛/∂W‖ in every block, for W_Q, W_K, W_V, W_O, W_1 and W_2.
    diversity : array, shape (D + 1,)
        `token_diversity` of h_0 … h_D.
    """

    tokens: list[Array]
    output: Array
    weights: list[Array]
    norms: Array
    kernel_norms: dict[str, Array]
    diversity: Array

    def summary(self) -> dict[str, Any]:
        """Return what tells a healthy stack from one that has collapsed, in a dictionary.

        Returns
        -------
        dict
            ``kernels``, the `kernel_norms`; ``tokens``, the `diversity` after each block; and
            numbers: ``arrived``, ‖∂𝓛/∂h_0‖ / ‖∂𝓛/∂h_D‖; ``diversity``, that of the last tokens;
            of the last block ``last W_Q`` and ``last W_V``, the norms of these gradients, ``W_Q of
            W_V``, their ratio, and ``largest p``, the largest weight of a row, mean of all rows.
        """
        W_Q, W_V = (float(self.kernel_norms[name][-1]) for name in ("W_Q", "W_V"))
        return {
            "kernels": self.kernel_norms,
            "tokens": self.diversity,
            "arrived": float(self.norms[0] / self.norms[-1]),
            "diversity": float(self.diversity[-1]),
            "last W_Q": W_Q,
            "last W_V": W_V,
            "W_Q of W_V": W_Q / W_V if W_V else np.nan,
            "largest p": float(self.weights[-1].max(axis=-1).mean()),
        }

    def __repr__(self) -> str:
        return (
            f"<TransformerPass: {len(self.weights)} blocks, ‖δ_0‖ = {self.norms[0]:.3g}, "
            f"diversity {self.diversity[0]:.2g} → {self.diversity[-1]:.2g}>"
        )


def transformer_stack(
    x: ArrayLike,
    blocks: Sequence[EncoderBlock],
    *,
    normalization: str | None = "post",
    skip: bool = True,
    activation: str | Activation = "relu",
    norm_epsilon: float = 1e-3,
    mask: ArrayLike | None = None,
    d_output: ArrayLike | Callable[[Array], ArrayLike] | None = None,
    seed: int = 1,
) -> TransformerPass:
    """Send tokens up a stack of blocks, and a gradient down it.

    Parameters
    ----------
    x : array, shape (batch, tokens, units)
        h_0, with the positions already added.
    blocks : sequence of D EncoderBlock
        From `make_blocks`; `blocks[:depth]` is a stack too.
    normalization : None, "pre" or "post"
        Where the layer norms stand: (2a), (2b) or (2c).
    skip : bool
        Whether there are skips.
    activation : str or Activation
        φ of the FFN: a name in `ACTIVATIONS`, or such an object.
    norm_epsilon : float
        ε of the layer norms.
    mask : array of bool, optional
        True where a token may look at another; shapes as for `MultiHeadAttention.forward`.
    d_output : array, shape (batch, tokens, units), or a function of y that returns it, optional
        ∂𝓛/∂y. Unless given it is drawn from N(0, 1), so that it favours no direction.
    seed : int
        Of that draw.

    Returns
    -------
    TransformerPass
        All gradients are NaN where the tokens left the range of float64.

    Raises
    ------
    TypeError, ValueError
        If a shape, a name or a number does not fit; the sentence names the argument.
    """
    form = TransformerForm(normalization, skip, as_activation(activation), norm_epsilon)
    _check_blocks(blocks)
    takes = f"an array of shape (batch, tokens, {blocks[0].units}), as wide as the blocks"
    h = as_array("x", x, ndim=3, takes=takes)
    if h.shape[2] != blocks[0].units:
        raise ValueError(f"`x` has shape {h.shape}; it takes {takes}.")
    if normalization is not None and h.shape[2] < 2:
        raise ValueError(f"`x` has shape {h.shape}; a layer norm takes 2 units or more.")
    batch, length, _ = h.shape
    masks = [
        mask_for_all_heads(mask, (batch, block.attention.heads, length, length)) for block in blocks
    ]
    rng = _own_generator(seed)
    with np.errstate(over="ignore", invalid="ignore"):  # an explosion is a result here
        traces, norm = forward(h, blocks, form, masks)
        output = traces[-1].output if norm is None else norm.normalized
        d_y = _checked_gradient(d_output, output, rng)
        deltas, gradients = backward(traces, norm, blocks, form, d_y)
        tokens = [h, *(trace.output for trace in traces)]
        return TransformerPass(
            tokens,
            output,
            [trace.attention.weights for trace in traces],
            np.array([_norm(delta) for delta in deltas]),
            _kernel_norms(gradients),
            np.array([_diversity(t) for t in tokens]),
        )


def make_blocks(
    depth: int,
    units: int,
    heads: int,
    rng: np.random.Generator,
    *,
    hidden: int | None = None,
    initializer: str = "glorot_uniform",
) -> list[EncoderBlock]:
    """Draw the blocks of a stack: Glorot kernels, biases 0, scales 1.

    Q, K and V are drawn as matrices (units, units). So does Keras 3.15; older
    versions count fans over three axes and start them smaller by √((heads + d_k)/2), with
    4 heads of 8 by √6.

    Block after block is drawn, so that a deeper stack begins with the blocks of a shallower one.

    Parameters
    ----------
    depth, units, heads : int
        `heads` divides `units`.
    rng : numpy.random.Generator
    hidden : int, optional
        The width of the FFN; 4 · units unless given.
    initializer : str
        A name in `INITIALIZERS`.

    Returns
    -------
    list of EncoderBlock

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the sentence names it.
    """
    depth, units = positive_int("depth", depth), positive_int("units", units)
    if units % positive_int("heads", heads):
        raise ValueError(f"`heads` is {heads}; it takes a divisor of `units`, {units}.")
    wide = 4 * units if hidden is None else positive_int("hidden", hidden)
    generator("rng", rng)
    draw, ones, zeros = INITIALIZERS[initializer], np.ones(units), np.zeros(units)
    return [
        EncoderBlock(
            MultiHeadAttention.random(units, heads, rng, initializer=initializer),
            draw((units, wide), rng),
            np.zeros(wide),
            draw((wide, units), rng),
            zeros,
            (ones, ones),
            (zeros, zeros),
        )
        for _ in range(depth)
    ]


def token_diversity(x: ArrayLike) -> float:
    """Return how much the tokens of a sequence differ: ‖x − mean over tokens‖ / ‖x‖, 0 … 1.

    At 0 all tokens are one and the same vector, of rank 1, which is what attention alone makes of
    them (Dong, Cordonnier & Loukas 2021). T unrelated tokens of mean 0 have √(1 − 1/T).

    Parameters
    ----------
    x : array, shape (tokens, units) or (batch, tokens, units)
        Of a batch it is the mean over the sequences.

    Returns
    -------
    float
        0 for a sequence of zeros. Below about 1e-15 it measures the rounding.

    Raises
    ------
    TypeError, ValueError
        If `x` is not finite or has other axes.
    """
    takes = "an array of shape (tokens, units) or (batch, tokens, units)"
    array = as_array("x", x, takes=takes)
    if array.ndim not in (2, 3):
        raise ValueError(f"`x` has shape {array.shape}; it takes {takes}.")
    return _diversity(array)


def forward(
    x: Array,
    blocks: Sequence[EncoderBlock],
    form: TransformerForm,
    masks: Sequence[Mask | None] | None = None,
) -> tuple[list[BlockTrace], NormTrace | None]:
    """Run `x` up the blocks, (1) to (3), without checks; the norm is that of (3), or None."""
    h, traces = x, []
    for block, mask in zip(blocks, masks or [None] * len(blocks), strict=True):
        traces.append(block_forward(h, block, form, mask))
        h = traces[-1].output
    if form.normalization != "pre":
        return traces, None
    units = x.shape[2]
    return traces, normalize(h, -1, np.ones(units), np.zeros(units), form.norm_epsilon)[1]  # (3)


def backward(
    traces: Sequence[BlockTrace],
    norm: NormTrace | None,
    blocks: Sequence[EncoderBlock],
    form: TransformerForm,
    d_output: Array,
) -> tuple[list[Array], list[BlockGradients]]:
    """Run ∂𝓛/∂y down the blocks, (4), without checks.

    Returns
    -------
    deltas : list of D + 1 arrays
        ∂𝓛/∂h_0 … ∂𝓛/∂h_D.
    gradients : list of D BlockGradients
    """
    deltas = [d_output if norm is None else normalize_backward(norm, d_output).inputs]
    gradients = []
    for block, trace in zip(reversed(blocks), reversed(traces), strict=True):
        gradients.append(block_backward(trace, block, form, deltas[-1]))
        deltas.append(gradients[-1].inputs)
    return deltas[::-1], gradients[::-1]


def block_forward(
    h: Array, block: EncoderBlock, form: TransformerForm, mask: Mask | None = None
) -> BlockTrace:
    """Run the tokens h_{l−1} through one block, (1) and (2), without checks."""
    x, norm_before = _before(h, block, 0, form)
    attention = block.attention.run(x, x, x, mask)
    u, norm_after = _after(h, attention.output, block, 0, form)
    norm_1 = norm_before or norm_after

    x, norm_before = _before(u, block, 1, form)
    a = x @ block.W_1 + block.b_1
    hidden = bare(form.activation.function)(a)
    h, norm_after = _after(u, hidden @ block.W_2 + block.b_2, block, 1, form)
    return BlockTrace(attention, x, a, hidden, (norm_1, norm_before or norm_after), u, h)


def block_backward(
    trace: BlockTrace, block: EncoderBlock, form: TransformerForm, d_h: Array
) -> BlockGradients:
    """Run ∂𝓛/∂h_l down one block, (4), without checks."""
    g, norm_2 = _through(trace.norms[1], d_h, form, "post")
    d_a = g @ block.W_2.T * bare(form.activation.derivative)(trace.pre_activation)
    d_W_1, d_W_2 = sum_of_products(trace.ffn_inputs, d_a), sum_of_products(trace.hidden, g)
    d_x, norm_before = _through(trace.norms[1], d_a @ block.W_1.T, form, "pre")
    d_u = d_x + g if form.skip else d_x  # (4)
    norm_2, b_1, b_2 = norm_2 or norm_before, d_a.sum(axis=(0, 1)), g.sum(axis=(0, 1))

    g, norm_1 = _through(trace.norms[0], d_u, form, "post")
    attention = block.attention.run_backward(trace.attention, g)
    d_x = attention.queries + attention.keys + attention.values
    d_x, norm_before = _through(trace.norms[0], d_x, form, "pre")
    d_h = d_x + g if form.skip else d_x  # (4)
    norms = (norm_1 or norm_before, norm_2)
    return BlockGradients(d_h, attention, d_W_1, b_1, d_W_2, b_2, norms)


def _before(
    x: Array, block: EncoderBlock, i: int, form: TransformerForm
) -> tuple[Array, NormTrace | None]:
    """Return LN(x) in a pre-LN block, x in others."""
    if form.normalization != "pre":
        return x, None
    return normalize(x, -1, block.scales[i], block.offsets[i], form.norm_epsilon)


def _after(
    x: Array, branch: Array, block: EncoderBlock, i: int, form: TransformerForm
) -> tuple[Array, NormTrace | None]:
    """Return x + branch, and in a post-LN block LN of it."""
    y = x + branch if form.skip else branch
    if form.normalization != "post":
        return y, None
    return normalize(y, -1, block.scales[i], block.offsets[i], form.norm_epsilon)


def _through(
    norm: NormTrace | None, d_y: Array, form: TransformerForm, place: str
) -> tuple[Array, NormGradients | None]:
    """Send a gradient through the norm, if one stands in this place."""
    if norm is None or form.normalization != place:
        return d_y, None
    gradients = normalize_backward(norm, d_y)
    return gradients.inputs, gradients


def _norm(x: Array) -> float:
    """√(Σ x²), the fast way where no square is lost."""
    norm = float(np.sqrt(np.vdot(x, x)))
    return norm if 1e-100 < norm < 1e150 else _frobenius_norm(x)


def _kernel_norms(gradients: Sequence[BlockGradients]) -> dict[str, Array]:
    kernels = [block.kernels for block in gradients]
    return {name: np.array([_norm(block[name]) for block in kernels]) for name in kernels[0]}


def _diversity(x: Array) -> float:
    """`token_diversity` without checks; NaN where x is not finite."""
    largest = np.abs(x).max(axis=(-1, -2), keepdims=True)
    x = x / np.where(largest == 0, 1, largest)  # so that no square is lost
    size = np.linalg.norm(x, axis=(-1, -2))
    left = np.linalg.norm(x - x.mean(axis=-2, keepdims=True), axis=(-1, -2))
    return float(np.mean(left / np.where(size == 0, 1, size)))


def _pair(name: str, arrays: Any, units: int) -> tuple[Array, Array]:
    takes = f"two vectors of {units}, for the norm at the attention and for that at the FFN"
    if not isinstance(arrays, tuple | list):
        raise TypeError(f"`{name}` is {shown(arrays)}; it takes {takes}.")
    if len(arrays) != 2:
        raise ValueError(f"`{name}` has {len(arrays)} entries; it takes {takes}.")
    first, second = (
        as_array(f"{name}[{i}]", array, shape=(units,)) for i, array in enumerate(arrays)
    )
    return first, second


def _keras_pair(name: str, layer: Any, kind: str, *weights: str) -> tuple[Array, ...]:
    """Return two weights of a built Keras layer."""
    takes = (
        f"a `keras.layers.{kind}` that has been called on an input, with {' and '.join(weights)}"
    )
    if kind not in {base.__name__ for base in type(layer).__mro__}:
        raise TypeError(f"`{name}` is {shown(layer)}; it takes {takes}.")
    found: list[Any] = [getattr(layer, weight, None) for weight in weights]
    if any(weight is None for weight in found):
        raise ValueError(f"`{name}` has no {' or no '.join(weights)}; it takes {takes}.")
    return tuple(np.array(weight.numpy(), dtype=np.float64) for weight in found)


def _check_blocks(blocks: Any) -> None:
    takes = "a list of EncoderBlock, as `make_blocks` returns it"
    if not isinstance(blocks, list | tuple):
        raise TypeError(f"`blocks` is {shown(blocks)}; it takes {takes}.")
    if not blocks:
        raise ValueError(f"`blocks` has no entry; it takes {takes}.")
    for i, block in enumerate(blocks):
        instance(f"blocks[{i}]", block, EncoderBlock, "an EncoderBlock")
        if block.units != blocks[0].units:
            raise ValueError(
                f"`blocks[{i}]` has {block.units} units; beside the first it takes "
                f"{blocks[0].units}."
            )


def _checked_gradient(d_output: Any, output: Array, rng: np.random.Generator) -> Array:
    """Return ∂𝓛/∂y: given, computed from y, or drawn; NaN where y is no number."""
    if not np.isfinite(output).all():  # the loss is no number, so neither is its gradient
        return np.full_like(output, np.nan)
    if d_output is None:
        return rng.standard_normal(output.shape)
    takes = f"one gradient for each entry of the output, shape {output.shape}"
    found = d_output(output.copy()) if callable(d_output) else d_output
    return as_array("d_output", found, shape=output.shape, takes=takes)
