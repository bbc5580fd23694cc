"""Transformers of Keras are those of `maths.transformer`; they start, and refuse, as they say."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.maths.attention import positional_encoding
from course_lib.maths.transformer import transformer_stack
from course_lib.models import transformers


def keras_block(normalization, skip, causal):
    h = keras.Input((None, 8), dtype="float64")
    y = transformers.encoder_block(
        h,
        2,
        hidden=12,
        normalization=normalization,
        skip=skip,
        causal=causal,
        dtype="float64",
    )
    model = keras.Model(h, y)
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0.3, 0.5, w.shape) for w in model.get_weights()])
    return model


@pytest.mark.parametrize("normalization", [None, "pre", "post"])
@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("causal", [True, False])
def test_block_and_its_gradient_are_those_of_numpy(normalization, skip, causal):
    h = keras.Input((None, 8), dtype="float64")
    model = keras_block(normalization or "pre", skip, causal)
    if normalization is None:  # the same weights, without the norms
        y = transformers.encoder_block(
            h, 2, hidden=12, normalization=None, skip=skip, causal=causal, dtype="float64"
        )
        without = keras.Model(h, y)
        for layer in without.layers[1:]:
            if layer.weights:
                layer.set_weights(model.get_layer(layer.name).get_weights())
        blocks, model = transformers.blocks_of(model), without
    else:
        blocks = transformers.blocks_of(model)
    x, g = np.random.default_rng(4).standard_normal((2, 3, 5, 8))
    mask = np.tril(np.ones((5, 5), bool)) if causal else None
    of = transformer_stack(
        x, blocks, normalization=normalization, skip=skip, mask=mask, d_output=np.zeros_like(x)
    )
    with tf.GradientTape() as tape:
        tensor = tf.constant(x)
        tape.watch(tensor)
        y = model(tensor)
        loss = tf.reduce_sum(g * y)
    np.testing.assert_allclose(y, of.tokens[1], atol=1e-12)
    if normalization != "pre":  # whose y of (3) has one norm more
        of = transformer_stack(
            x, blocks, normalization=normalization, skip=skip, mask=mask, d_output=g
        )
        size = np.linalg.norm(tape.gradient(loss, tensor))
        assert of.norms[0] == pytest.approx(size, rel=1e-9)


def test_decoder_sees_no_later_character():
    model = transformers.decoder_model(11, 8, 2, 2)
    x = np.random.default_rng(1).integers(0, 11, (2, 9))
    other = x.copy()
    other[:, 6] = (x[:, 6] + 1) % 11
    before, after = (np.array(model(codes)) for codes in (x, other))
    assert np.array_equal(before[:, :6], after[:, :6])
    assert np.abs(before[:, 6:] - after[:, 6:]).max() > 1e-3


def test_encoder_answers_at_the_last_token_and_sees_all():
    model = transformers.encoder_model(4, 3, 8, 2, 1, normalization="post")
    x = np.random.default_rng(1).standard_normal((2, 7, 4)).astype("float32")
    assert model(x).shape == (2, 3)
    other = x.copy()
    other[:, 0] += 1
    assert np.abs(np.array(model(x)) - np.array(model(other))).max() > 1e-4


def test_each_matrix_begins_as_another_one_and_a_seed_repeats_it():
    first, same, other = (transformers.decoder_model(11, 8, 2, 2, seed=s) for s in (5, 5, 6))
    for a, b in zip(first.get_weights(), same.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert not np.array_equal(first.get_weights()[0], other.get_weights()[0])
    W_Q, W_K, W_V, _ = transformers.blocks_of(first)[0].attention.kernels
    assert np.abs(W_Q - W_K).min() > 0
    assert np.abs(W_K - W_V).min() > 0
    assert np.var(W_Q) == pytest.approx(2 / 16, rel=0.5)  # Glorot's, of a matrix of 8 x 8


def test_keras_with_one_seed_starts_three_matrices_alike():
    """What the start here avoids: a layer copies the start that it is given, seed and all."""
    start = keras.initializers.GlorotUniform(1)
    layer = keras.layers.MultiHeadAttention(2, 4, kernel_initializer=start)
    x = np.ones((1, 2, 8), "float32")
    layer(x, x)
    assert np.array_equal(layer.query_dense.kernel, layer.key_dense.kernel)


def test_positions_are_added_at_any_length():
    x = np.zeros((2, 13, 6), "float32")
    added = np.array(transformers.Positions()(x))
    np.testing.assert_allclose(added[0], positional_encoding(13, 6), atol=1e-6)


def test_models_are_saved_and_read(tmp_path):
    model = transformers.decoder_model(11, 8, 2, 1)
    model.save(tmp_path / "decoder.keras")
    x = np.random.default_rng(1).integers(0, 11, (2, 9))
    read = keras.models.load_model(tmp_path / "decoder.keras")
    assert np.array_equal(model(x), read(x))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: transformers.decoder_model(11, 8, 3, 1), "`heads` is 3; it takes a divisor"),
        (lambda: transformers.decoder_model(11, 8, 2, 0), "`depth` is 0"),
        (lambda: transformers.decoder_model(0, 8, 2, 1), "`characters` is 0"),
        (lambda: transformers.decoder_model(11, 8, 2, 1, normalization="mid"), "`normalization`"),
        (lambda: transformers.decoder_model(11, 8, 2, 1, hidden=0), "`hidden` is 0"),
        (lambda: transformers.encoder_model(4, 3, 8, 2, 1, seed=-1), "`seed` is -1"),
        (
            lambda: transformers.blocks_of(keras.Sequential([keras.Input((3,))])),
            "block_1_attention",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(make, words):
    with pytest.raises((TypeError, ValueError)) as error:
        make()
    assert words in str(error.value)
    assert "\n" not in str(error.value)
