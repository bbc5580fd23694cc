"""`jacobian_products` against the maths floor, against a tape, and against `by_time_step`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.maths import recurrent
from course_lib.models import gradient_flow

K = keras.layers


def sequences(batch=3, steps=6, features=2, seed=1):
    return np.random.default_rng(seed).normal(size=(batch, steps, features))


def made(make):
    keras.utils.set_random_seed(1)
    return make()


def by_tape(layer, x, lag):
    """∂s_T/∂s_{T−lag} by one tape over a loop in Python; rows are the state before."""
    steps = range(x.shape[1])[:: -1 if layer.go_backwards else 1]
    states = keras.tree.map_structure(tf.convert_to_tensor, layer.get_initial_state(len(x)))
    like = states
    sizes = [s.shape[1] for s in keras.tree.flatten(states)]
    with tf.GradientTape() as tape:
        for left, t in zip(reversed(range(x.shape[1])), steps, strict=True):
            _, states = layer.cell(x[:, t], states)
            if left == lag:
                start = tf.concat(keras.tree.flatten(states), axis=1)
                tape.watch(start)
                states = keras.tree.pack_sequence_as(like, tf.split(start, sizes, axis=1))
        end = tf.concat(keras.tree.flatten(states), axis=1)
    return np.asarray(tape.batch_jacobian(end, start)).swapaxes(1, 2)


LAYERS = {
    "SimpleRNN": lambda: K.SimpleRNN(4, dtype="float64"),
    "LSTM": lambda: K.LSTM(3, dtype="float64"),
    "GRU": lambda: K.GRU(4, dtype="float64"),
    "backwards": lambda: K.GRU(4, go_backwards=True, return_sequences=True, dtype="float64"),
    "a stack of cells": lambda: K.RNN(
        K.StackedRNNCells(
            [K.LSTMCell(2, dtype="float64"), K.GRUCell(3, dtype="float64")], dtype="float64"
        ),
        dtype="float64",
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_equals_a_tape_over_a_loop(name):
    layer, x = made(LAYERS[name]), sequences()
    found = gradient_flow.jacobian_products(layer, x, singular_lags=6)
    np.testing.assert_array_equal(found.singular_lags, range(6))
    for lag in range(6):
        expected = by_tape(layer, x, lag)
        norms = np.linalg.norm(expected, axis=(1, 2))
        np.testing.assert_allclose(10 ** found.log10_norms[:, lag], norms, rtol=1e-9)
        values = np.linalg.svd(expected, compute_uv=False)
        np.testing.assert_allclose(
            found.singular_values[:, lag], values, rtol=1e-6, atol=1e-12 * values.max()
        )
        if name == "LSTM":
            h = np.linalg.norm(expected[:, :3, :3], axis=(1, 2))
            c = np.linalg.norm(expected[:, 3:, :3], axis=(1, 2))
            np.testing.assert_allclose(found.norms[:, lag], h, rtol=1e-9)
            with np.errstate(divide="ignore"):
                np.testing.assert_allclose(found.log10_cell_norms[:, lag], np.log10(c), atol=1e-9)
        elif name == "a stack of cells":
            h = np.linalg.norm(expected[:, 4:, 4:], axis=(1, 2))
            np.testing.assert_allclose(found.norms[:, lag], h, rtol=1e-9)
        else:
            np.testing.assert_allclose(found.norms[:, lag], norms, rtol=1e-9)
            assert found.log10_cell_norms is None


def test_equals_the_products_of_the_maths_floor_over_many_steps():
    layer, x = made(lambda: K.SimpleRNN(5, dtype="float64")), sequences(2, 300)
    usual = gradient_flow.jacobian_products(layer, x)
    kernel, recurrent_kernel, bias = layer.get_weights()
    layer.set_weights([kernel, 0.02 * recurrent_kernel, bias])
    weak = gradient_flow.jacobian_products(layer, x)
    rnn = recurrent.SimpleRNN(*layer.get_weights())
    jacobians = rnn.jacobians(rnn.forward(x))
    product, log = np.eye(5), np.zeros(2)
    for t in range(299, 0, -1):
        product = jacobians[:, t] @ product
        size = np.linalg.norm(product, axis=(1, 2))
        product, log = product / size[:, None, None], log + np.log10(size)
    np.testing.assert_allclose(weak.log10_norms[:, -1], log, rtol=1e-9)
    assert (log < -400).all()  # beyond float64
    mean_square = 2 * log[0] + np.log10(np.mean(10 ** (2 * (log - log[0])))) - np.log10(5)
    np.testing.assert_allclose(weak.factor_per_step, 10 ** (mean_square / 2 / 299), rtol=1e-9)
    assert usual.factor_per_step > weak.factor_per_step


def test_bounds_what_by_time_step_finds():
    """‖∂𝓛/∂h_t‖ ≤ ‖∂𝓛/∂h_T‖ s_max(∂h_T/∂h_t), sample by sample."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8, 2)), K.GRU(4), K.Dense(3)])
    x = sequences(4, 8).astype("float32")
    (flow,) = gradient_flow.by_time_step(model, x, np.zeros((4, 3)), loss="mse").values()
    found = gradient_flow.jacobian_products(model.layers[0], x, singular_lags=8)
    sizes = np.linalg.norm(flow.gradients, axis=2)[:, ::-1]
    bound = sizes[:, :1] * found.singular_values[..., 0]
    assert (sizes <= bound * (1 + 1e-5)).all()
    assert (sizes[:, 1:] > 1e-3 * bound[:, 1:]).all()


def test_an_orthogonal_linear_network_passes_all_on():
    layer = made(lambda: K.SimpleRNN(6, activation="linear"))
    found = gradient_flow.jacobian_products(layer, sequences(2, 50))
    np.testing.assert_allclose(found.singular_values, 1, rtol=1e-5)
    np.testing.assert_allclose(found.factor_per_step, 1, rtol=1e-6)


def test_the_layer_is_unchanged(bits):
    model = keras.Sequential(
        [keras.Input(batch_shape=(3, 6, 2)), K.LSTM(3, stateful=True, dropout=0.5, seed=1)]
    )
    model(sequences().astype("float32"))
    before = bits(model)
    gradient_flow.jacobian_products(model.layers[0], sequences())
    assert bits(model) == before
    model(sequences().astype("float32"), training=True)  # no mask of a trace was left behind


def test_it_starts_from_the_states_of_a_stateful_layer():
    layer = made(lambda: K.SimpleRNN(4, stateful=True, dtype="float64"))
    x = sequences()
    layer(x)
    warm = gradient_flow.jacobian_products(layer, x).log10_norms
    layer.reset_state()
    assert not np.allclose(warm, gradient_flow.jacobian_products(layer, x).log10_norms)


def test_text_and_tables():
    found = gradient_flow.jacobian_products(made(lambda: K.GRU(3, name="<g>")), sequences(2, 40))
    assert "3 states over 40 steps, 2 samples" in found.summary()
    assert "whatever the loss reads" in str(found)
    assert "&lt;g&gt;" in found._repr_html_()
    assert repr(found).startswith("<JacobianProducts <g>: 40 steps, factor per step 0.")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((K.Dense(3), sequences()), "`layer` is a Dense.*it takes a recurrent layer of Keras"),
        ((None, sequences()), "`layer` is None"),
        (
            (K.Bidirectional(K.GRU(2)), sequences()),
            "one of its two, such as `layer.forward_layer`.$",
        ),
        ((K.GRU(2), np.ones((3, 4))), r"`x` has shape \(3, 4\); it takes what the layer reads"),
        ((K.GRU(2), np.full((3, 4, 2), np.inf)), r"`x` holds inf at \[0, 0, 0\]"),
        ((K.GRU(2), "text"), "`x` is 'text'"),
        ((K.SimpleRNN(2000), sequences()), "state of 2000 numbers a sample"),
    ],
)
def test_it_refuses_in_one_sentence(arguments, expected):
    with pytest.raises((TypeError, ValueError), match=expected) as info:
        gradient_flow.jacobian_products(*arguments)
    text = str(info.value)
    assert text.endswith(".")
    assert "\n" not in text


def test_a_layer_that_takes_other_features_is_refused():
    layer = made(lambda: K.GRU(2))
    gradient_flow.jacobian_products(layer, sequences(features=2))
    with pytest.raises(ValueError, match=r"cannot be run on `x`, of shape \(3, 6, 5\)"):
        gradient_flow.jacobian_products(layer, sequences(features=5))
    with pytest.raises(ValueError, match="`singular_lags` is 0"):
        gradient_flow.jacobian_products(layer, sequences(), singular_lags=0)
