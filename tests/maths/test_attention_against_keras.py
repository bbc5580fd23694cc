"""Attention: own outputs, weights and gradients = TensorFlow's tape = Keras, in float64 to 1e-9.

Keras rounds 1/√d_k to float32 whatever its dtype, which costs it up to 6e-8. So d_k is 4 or 16
here, where 1/√d_k is exact; one test shows that the rounding is all there is between the two.
"""

import numpy as np
import pytest

from course_lib.maths.attention import (
    MultiHeadAttention,
    additive_attention,
    attention_trace,
    causal_mask,
    multi_head_attention,
    padding_mask,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
)

pytestmark = pytest.mark.tensorflow

BATCH, QUERIES, KEYS, UNITS, D_K = 3, 4, 6, 5, 4
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
EVERY_MASK = pytest.mark.parametrize("kind", ["none", "padding", "causal", "both"])


def problem(seed=91):
    rng = np.random.default_rng(seed)
    shapes = ((QUERIES, UNITS), (KEYS, UNITS), (KEYS, 2), (QUERIES, 2))
    return [rng.standard_normal((BATCH, *shape)) for shape in shapes]


def masks(kind):
    """Return our mask, and what Keras's layers take: a mask of the values, and whether causal."""
    tokens = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0]]
    padding, causal = padding_mask(tokens), causal_mask(QUERIES, KEYS)
    own = {"none": None, "padding": padding, "causal": causal, "both": padding & causal}[kind]
    return own, padding[:, 0] if kind in ("padding", "both") else None, kind in ("causal", "both")


def tape(tf, layer, inputs, d_output, parameters, **options):
    """Return output, weights and the tape's gradients by the parameters and the inputs."""
    tensors = [tf.constant(x) for x in inputs]
    with tf.GradientTape() as recorded:
        recorded.watch(tensors)
        output, weights = layer(tensors, **options)
        loss = tf.reduce_sum(output * d_output)
    return output, weights, recorded.gradient(loss, [*parameters, *tensors])


@pytest.mark.parametrize("use_scale", [True, False])
@EVERY_MASK
def test_the_dot_product_equals_keras_attention(kind, use_scale, tf, keras):
    q, k, v, d_output = problem()
    own_mask, value_mask, causal = masks(kind)
    layer = keras.layers.Attention(use_scale=use_scale, dtype="float64")
    layer.build([q.shape, v.shape, k.shape])
    if use_scale:
        layer.set_weights([np.array(0.7)])
    scale = 0.7 if use_scale else 1.0

    output, weights, (d_q, d_v, d_k) = tape(
        tf, layer, [q, v, k], d_output, [], return_attention_scores=True, use_causal_mask=causal,
        mask=[None, None if value_mask is None else tf.constant(value_mask)],
    )  # fmt: skip
    trace = attention_trace(q, k, v, own_mask, scale=scale)
    own = scaled_dot_product_attention_backward(trace, d_output)
    np.testing.assert_allclose(trace.output, output, **CLOSE)
    np.testing.assert_allclose(trace.weights, weights, **CLOSE)
    for a, b in zip((own.queries, own.keys, own.values), (d_q, d_k, d_v), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
    wrong = scaled_dot_product_attention(q, k, v, own_mask)[0]  # the control: scaled by 1/√d_k
    assert np.abs(wrong - output).max() > 1e-3


@EVERY_MASK
def test_the_scaled_dot_product_equals_keras_ops(kind, keras):
    q, k, v, _ = problem()
    q, k = q[..., :D_K], k[..., :D_K]
    own_mask, _, _ = masks(kind)
    output, _ = scaled_dot_product_attention(q, k, v, own_mask)
    if own_mask is not None:
        own_mask = np.broadcast_to(own_mask, (BATCH, QUERIES, KEYS))[:, None]
    heads = [keras.ops.convert_to_tensor(array[:, :, None]) for array in (q, k, v)]
    theirs = keras.ops.dot_product_attention(*heads, mask=own_mask, scale=0.5)
    np.testing.assert_allclose(output, theirs[:, :, 0], **CLOSE)


@pytest.mark.parametrize("use_scale", [True, False])
@EVERY_MASK
def test_additive_attention_equals_keras(kind, use_scale, tf, keras):
    q, k, v, _ = problem()
    own_mask, value_mask, causal = masks(kind)
    layer = keras.layers.AdditiveAttention(use_scale=use_scale, dtype="float64")
    layer.build([q.shape, v.shape, k.shape])
    scale = np.random.default_rng(92).standard_normal(UNITS) if use_scale else None
    if use_scale:
        layer.set_weights([scale])
    theirs = layer(
        [q, v, k], mask=[None, None if value_mask is None else tf.constant(value_mask)],
        return_attention_scores=True, use_causal_mask=causal,
    )  # fmt: skip
    for a, b in zip(additive_attention(q, k, v, own_mask, scale=scale), theirs, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def keras_layer(
    keras, *, bias=True, key_dim=D_K, value_dim=3, output_shape=None, seed=93, **options
):
    """Return a built Keras layer with random weights, biases included."""
    layer = keras.layers.MultiHeadAttention(
        3, key_dim, value_dim=value_dim, use_bias=bias, output_shape=output_shape, dtype="float64",
        **options,
    )  # fmt: skip
    layer.build((BATCH, QUERIES, UNITS), (BATCH, KEYS, 2), (BATCH, KEYS, UNITS))
    rng = np.random.default_rng(seed)
    layer.set_weights([0.7 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize(
    "options",
    [{}, {"bias": False}, {"value_dim": None}, {"output_shape": 7}, {"dropout": 0.4}],
    ids=["default", "no bias", "value_dim", "output_shape", "dropout"],
)
@EVERY_MASK
def test_several_heads_equal_keras(kind, options, tf, keras):
    layer = keras_layer(keras, **options)
    q, k, v, _ = problem()
    own_mask, _, _ = masks(kind)
    d_output = np.random.default_rng(94).standard_normal(layer(q, v, k).shape)
    if own_mask is not None:
        keras_mask = np.broadcast_to(own_mask, (BATCH, QUERIES, KEYS))

    def call(tensors, **more):
        x_q, x_k, x_v = tensors
        return layer(x_q, x_v, x_k, return_attention_scores=True, **more)

    more = {} if own_mask is None else {"attention_mask": keras_mask}
    output, weights, found = tape(tf, call, [q, k, v], d_output, layer.trainable_weights, **more)
    own = MultiHeadAttention.from_keras(layer)
    trace = own.forward(q, k, v, own_mask)
    gradients = own.backward(trace, d_output)
    np.testing.assert_allclose(trace.output, output, **CLOSE)
    np.testing.assert_allclose(trace.weights, weights, **CLOSE)
    mine = [*gradients.weights, gradients.queries, gradients.keys, gradients.values]
    assert len(mine) == len(found)
    for a, b in zip(mine, found, strict=True):
        assert a.shape == tuple(b.shape)
        np.testing.assert_allclose(a, b, **CLOSE)
    for a, b in zip(own.weights, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("causal", [True, False])
def test_self_attention_equals_keras_on_its_fast_path_too(causal, keras):
    """Without weights asked for, Keras takes another way, `ops.dot_product_attention`."""
    layer = keras.layers.MultiHeadAttention(2, D_K, dtype="float64")
    x = np.random.default_rng(95).standard_normal((BATCH, 6, UNITS))
    theirs = layer(x, x, use_causal_mask=causal)
    own = MultiHeadAttention.from_keras(layer)
    output, _ = multi_head_attention(x, x, x, own, causal_mask(6) if causal else None)
    np.testing.assert_allclose(output, theirs, **CLOSE)


def test_where_one_over_root_d_k_is_not_exact_keras_rounds_it_to_float32(keras):
    layer = keras_layer(keras, key_dim=2)
    q, k, v, _ = problem()
    theirs, _ = layer(q, v, k, return_attention_scores=True)
    own = MultiHeadAttention.from_keras(layer)
    error = np.abs(own.forward(q, k, v).output - theirs).max()
    assert 1e-9 < error < 1e-6
    rounding = float(np.float32(2**-0.5)) * 2**0.5
    rounded = MultiHeadAttention(
        [rounding * own.kernels[0], *own.kernels[1:]], [rounding * own.biases[0], *own.biases[1:]]
    )
    np.testing.assert_allclose(rounded.forward(q, k, v).output, theirs, **CLOSE)


def test_a_query_that_may_look_at_nothing_is_as_the_module_says(keras):
    """Zeros, as in Keras with the weights asked for; without, Keras shows it what is forbidden."""
    layer = keras_layer(keras)
    q, k, v, _ = problem()
    mask = np.ones((BATCH, QUERIES, KEYS), bool)
    mask[0, 1] = False
    own = MultiHeadAttention.from_keras(layer)
    trace = own.forward(q, k, v, mask)
    output, weights = layer(q, v, k, attention_mask=mask, return_attention_scores=True)
    np.testing.assert_allclose(trace.output, output, **CLOSE)
    np.testing.assert_allclose(trace.weights, weights, **CLOSE)
    np.testing.assert_allclose(trace.output[0, 1], own.biases[3], rtol=1e-14)

    unasked = np.array(layer(q, v, k, attention_mask=mask))
    blind = (trace.heads.values[0].mean(axis=1)[:, None] @ own.kernels[3]).sum(axis=(0, 1))
    np.testing.assert_allclose(unasked[0, 1], blind + own.biases[3], rtol=1e-9)
    unasked[0, 1] = trace.output[0, 1]
    np.testing.assert_allclose(trace.output, unasked, **CLOSE)  # all other queries agree

    plain = keras.layers.Attention(dtype="float64")
    hidden = [None, np.array([[False] * KEYS, [True] * KEYS, [True] * KEYS])]
    _, ignored = plain([q, v, k], mask=hidden, return_attention_scores=True)
    _, unmasked = scaled_dot_product_attention(q, k, v, scale=1.0)
    np.testing.assert_allclose(ignored[0], unmasked[0], rtol=1e-5)


def test_kernels_are_drawn_as_keras_draws_them(keras):
    layer = keras.layers.MultiHeadAttention(4, 16, dtype="float64")
    layer.build((1, 5, 64), (1, 5, 64))
    own = MultiHeadAttention.random(64, 4, np.random.default_rng(96))
    for a, b in zip(own.weights, layer.get_weights(), strict=True):
        assert a.shape == b.shape
        assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.02)


def test_what_computes_something_else_is_refused(keras):
    with pytest.raises(TypeError, match=r"takes a `keras\.layers\.MultiHeadAttention`\."):
        MultiHeadAttention.from_keras(keras.layers.Attention())
    with pytest.raises(ValueError, match="is not built"):
        MultiHeadAttention.from_keras(keras.layers.MultiHeadAttention(2, 2))
    for option, words in (
        ({"use_gate": True}, "use_gate"),
        ({"sliding_window": 2}, "sliding_window"),
        ({"output_shape": (2, 3)}, r"kernels\[3\]"),
    ):
        with pytest.raises(ValueError, match=words):
            MultiHeadAttention.from_keras(keras_layer(keras, **option))
    images = keras.layers.MultiHeadAttention(2, 2)
    images.build((1, 3, 3, 4), (1, 3, 3, 4))
    with pytest.raises(ValueError, match="attention_axes"):
        MultiHeadAttention.from_keras(images)
