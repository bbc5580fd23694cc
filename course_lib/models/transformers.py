"""Transformers in Keras: the block of `maths.transformer` made of Keras's layers, and two models.

`encoder_block` is one block, `decoder_model` a language model of such blocks, `encoder_model` one
that reads a sequence and answers at its last token. They begin with the weights that
`maths.transformer.make_blocks` draws, so that a model of Keras and its counterpart in NumPy are
the same: Glorot's variance for each kernel as a matrix, as in Xiong et al. (2020).
(Older versions of Keras's own MultiHeadAttention take its kernels of three axes for
convolutions, and start them smaller; with one `seed` for the layer it starts W_Q, W_K and W_V as
one and the same matrix.)
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from course_lib.checks import instance, one_of, positive_int, shown
from course_lib.maths.initializers import INITIALIZERS
from course_lib.maths.transformer import EncoderBlock, make_blocks

__all__ = [
    "Positions",
    "blocks_of",
    "decoder_model",
    "encoder_block",
    "encoder_model",
]

PARTS = ("attention", "ffn_1", "ffn_2", "norm_1", "norm_2")  # of a block, by the ends of names
NORMALIZATIONS = (None, "pre", "post")


def encoder_block(
    h: Any,
    heads: int,
    *,
    hidden: int | None = None,
    normalization: str | None = "pre",
    skip: bool = True,
    causal: bool = False,
    name: str = "block_1",
    dtype: str | None = None,
) -> Any:
    """Put one block on the tokens h: (1) and (2) of `maths.transformer`, with ReLU.

    Parameters
    ----------
    h : Keras tensor, shape (batch, time, units)
    heads : int
        A divisor of `units`.
    hidden : int, optional
        The width of the FFN; 4 · units unless given.
    normalization : None, "pre" or "post"
        Where the layer norms stand: (2a), (2b) or (2c).
    skip : bool
        Whether there are skips.
    causal : bool
        Whether a token sees itself and earlier ones alone, as in a decoder.
    name : str
        The layers are called ``{name}_attention``, ``{name}_ffn_1`` …; see `blocks_of`.
    dtype : str, optional
        Of the layers; "float32" unless given.

    Returns
    -------
    Keras tensor, shape (batch, time, units)

    Raises
    ------
    TypeError, ValueError
        If a number is not whole and above 0, `heads` no divisor, or a name unknown.
    """
    one_of("normalization", normalization, NORMALIZATIONS)
    units, heads = int(h.shape[-1]), positive_int("heads", heads)
    if units % heads:
        raise ValueError(f"`heads` is {heads}; it takes a divisor of the {units} units of `h`.")
    wide = 4 * units if hidden is None else positive_int("hidden", hidden)

    def of(layer: Any, part: str, *arguments: Any, **keywords: Any) -> Any:
        return layer(*arguments, name=f"{name}_{part}", dtype=dtype, **keywords)

    layers = keras.layers
    attention = of(layers.MultiHeadAttention, "attention", heads, units // heads)
    ffn_1 = of(layers.Dense, "ffn_1", wide, activation="relu")
    ffn_2 = of(layers.Dense, "ffn_2", units)
    norms = [of(layers.LayerNormalization, f"norm_{i}") for i in (1, 2)]

    def attend(x: Any) -> Any:
        return attention(x, x, use_causal_mask=causal)

    def ffn(x: Any) -> Any:
        return ffn_2(ffn_1(x))

    for branch, norm in zip((attend, ffn), norms, strict=True):
        y = branch(norm(h) if normalization == "pre" else h)
        h = h + y if skip else y
        h = norm(h) if normalization == "post" else h
    return h


def decoder_model(
    characters: int,
    units: int,
    heads: int,
    depth: int,
    *,
    hidden: int | None = None,
    normalization: str | None = "pre",
    seed: int = 1,
) -> keras.Model:
    """Return a language model: causal blocks over embeddings with their positions, and logits.

    Parameters
    ----------
    characters : int
        K, the size of the vocabulary.
    units, heads, depth : int
        Numbers of a token, heads of each block, and blocks.
    hidden : int, optional
    normalization : None, "pre" or "post"
        See `encoder_block`. After pre-LN blocks comes one more norm, (3).
    seed : int
        Of the first weights. Embeddings begin as N(0, 1): of the size of the positions' sines.

    Returns
    -------
    keras.Model
        From int codes (batch, time) to logits (batch, time, characters), for any time. At a
        position that training never came to, its answers are untrained too.

    Raises
    ------
    TypeError, ValueError
        See `encoder_block`.
    """
    characters = positive_int("characters", characters)
    codes = keras.Input((None,), dtype="int32", name="codes")
    h = keras.layers.Embedding(characters, positive_int("units", units), name="embedding")(codes)
    h = Positions(name="positions")(h)
    h = _blocks(h, heads, depth, hidden, normalization, causal=True)
    logits = keras.layers.Dense(characters, name="logits")(h)
    return _started(keras.Model(codes, logits, name="transformer_language_model"), seed)


def encoder_model(
    features: int,
    outputs: int,
    units: int,
    heads: int,
    depth: int,
    *,
    hidden: int | None = None,
    normalization: str | None = "pre",
    seed: int = 1,
) -> keras.Model:
    """Return a model that reads a sequence and answers at its last token.

    Parameters
    ----------
    features, outputs : int
        Numbers of a token that comes in, and of the answer.
    units, heads, depth, hidden, seed : int
    normalization : None, "pre" or "post"
        See `decoder_model`; here every token sees all.

    Returns
    -------
    keras.Model
        From (batch, time, features) to logits (batch, outputs), for any time.

    Raises
    ------
    TypeError, ValueError
        See `encoder_block`.
    """
    x = keras.Input((None, positive_int("features", features)), name="tokens")
    h = keras.layers.Dense(positive_int("units", units), name="embedding")(x)
    h = Positions(name="positions")(h)
    h = _blocks(h, heads, depth, hidden, normalization, causal=False)
    logits = keras.layers.Dense(positive_int("outputs", outputs), name="logits")(h[:, -1])
    return _started(keras.Model(x, logits, name="transformer"), seed)


def blocks_of(model: keras.Model) -> list[EncoderBlock]:
    """Return the blocks of a model for `maths.transformer`, in float64.

    Parameters
    ----------
    model : keras.Model
        Made of blocks by `encoder_block`, which are called ``block_1``, ``block_2`` …

    Raises
    ------
    TypeError, ValueError
        If `model` is no Keras model, or has no such blocks.
    """
    return [EncoderBlock.from_keras(*parts) for parts in _parts_of(model)]


@keras.saving.register_keras_serializable("course_lib")
class Positions(keras.layers.Layer):
    """Add the sinusoidal encoding of its position to each token, (16) of `maths.attention`."""

    def call(self, x: Any) -> Any:
        """Add to x, of shape (batch, time, units)."""
        units = x.shape[-1]
        frequencies = 10000.0 ** (-np.arange(0, units, 2) / units)
        t = keras.ops.cast(keras.ops.arange(keras.ops.shape(x)[1]), x.dtype)
        angles = t[:, None] * keras.ops.cast(frequencies, x.dtype)
        pairs = keras.ops.stack([keras.ops.sin(angles), keras.ops.cos(angles)], axis=-1)
        return x + keras.ops.reshape(pairs, (-1, units))


def _blocks(
    h: Any, heads: int, depth: int, hidden: int | None, normalization: str | None, *, causal: bool
) -> Any:
    for number in range(1, positive_int("depth", depth) + 1):
        h = encoder_block(
            h,
            heads,
            hidden=hidden,
            normalization=normalization,
            causal=causal,
            name=f"block_{number}",
        )
    if normalization == "pre":
        h = keras.layers.LayerNormalization(name="last_norm")(h)
    return h


def _parts_of(model: keras.Model) -> list[list[keras.Layer]]:
    """Return the layers of each block, in the order of `PARTS`."""
    layers = {
        layer.name: layer for layer in instance("model", model, keras.Model, "a model").layers
    }
    depth = 0
    while f"block_{depth + 1}_{PARTS[0]}" in layers:
        depth += 1
    if not depth:
        raise ValueError(
            f"`model` is {shown(model.name)}, without a layer block_1_attention; it takes a model "
            "made of blocks by `encoder_block`."
        )
    return [[layers[f"block_{block}_{part}"] for part in PARTS] for block in range(1, depth + 1)]


def _started(model: keras.Model, seed: int) -> keras.Model:
    """Give the model its first weights, each matrix of its own."""
    rng = np.random.default_rng(positive_int("seed", seed, minimum=0))
    parts = _parts_of(model)
    heads, units = parts[0][0].num_heads, parts[0][2].units
    blocks = make_blocks(len(parts), units, heads, rng, hidden=parts[0][1].units)
    for (attention, ffn_1, ffn_2, *_), block in zip(parts, blocks, strict=True):
        attention.set_weights(block.attention.weights)
        ffn_1.set_weights([block.W_1, block.b_1])
        ffn_2.set_weights([block.W_2, block.b_2])
    draw = INITIALIZERS["glorot_uniform"]
    first, last = model.get_layer("embedding"), model.get_layer("logits")
    if isinstance(first, keras.layers.Embedding):
        first.set_weights([rng.standard_normal(first.embeddings.shape)])
    else:
        first.set_weights([draw(tuple(first.kernel.shape), rng), np.zeros(units)])
    last.set_weights([draw(tuple(last.kernel.shape), rng), np.zeros(last.units)])
    return model
