"""A model that ends in a softmax or a sigmoid: Keras takes the loss from the logits below it."""

import keras
import numpy as np
import pytest

from course_lib.models import gradient_flow

K = keras.layers
BATCH, CLASSES = 8, 3
X = np.random.default_rng(1).normal(size=(BATCH, 5)).astype(np.float32)
Y = np.arange(BATCH) % CLASSES


class Own(keras.Model):
    """Applies the softmax itself, outside of any layer."""

    def __init__(self):
        super().__init__()
        self.last = K.Dense(CLASSES)

    def call(self, x):
        return keras.activations.softmax(self.last(x))


def softmax_ends():
    return {
        "in the layer": keras.Sequential([K.Dense(CLASSES, activation="softmax", name="last")]),
        "layer as activation": keras.Sequential(
            [K.Dense(CLASSES, activation=K.Softmax(), name="last")]
        ),
        "activation layer": keras.Sequential(
            [K.Dense(CLASSES, name="last"), K.Activation("softmax")]
        ),
        "softmax layer": keras.Sequential([K.Dense(CLASSES, name="last"), K.Softmax()]),
        "dropout before": keras.Sequential(
            [K.Dense(CLASSES, name="last"), K.Dropout(0.5), K.Softmax()]
        ),
        "nested": keras.Sequential(
            [keras.Sequential([K.Dense(CLASSES, activation="softmax", name="last")])]
        ),
        "own call": Own(),
    }


def probabilities(model):
    return np.asarray(model(X), dtype=np.float64)


@pytest.mark.parametrize("end", softmax_ends())
def test_a_softmax_under_cross_entropy_sends_p_minus_y_into_the_logits(end):
    model = softmax_ends()[end]
    model.build((None, 5)) if end != "own call" else model(X)
    flow = gradient_flow.by_layer(model, X, Y, loss="sparse_categorical_crossentropy")
    expected = (probabilities(model) - np.eye(CLASSES)[Y]) / BATCH
    np.testing.assert_allclose(flow.activation_norms[-1], np.linalg.norm(expected), rtol=1e-5)
    assert flow.depth[-1] == 0
    assert (flow.depth >= 0).all()
    assert np.isfinite(flow.factor_per_layer)
    assert (flow.true_zeros == 0).all()
    (kernel,) = (w for w in model.trainable_weights if len(w.shape) == 2)
    by_weights = np.hypot(np.linalg.norm(X.T @ expected), np.linalg.norm(expected.sum(0)))
    assert kernel.shape == (5, CLASSES)
    np.testing.assert_allclose(np.nanmax(flow.weight_norms), by_weights, rtol=1e-5)


def test_the_record_says_that_it_holds_logits_and_only_then():
    ends = softmax_ends()
    flow = gradient_flow.by_layer(
        ends["in the layer"], X, Y, loss="sparse_categorical_crossentropy"
    )
    assert flow.names == ["input", "last (logits)"]
    flow = gradient_flow.by_layer(
        ends["softmax layer"], X, Y, loss="sparse_categorical_crossentropy"
    )
    assert flow.names == ["input", "last"]


def test_a_sigmoid_under_binary_cross_entropy():
    model = keras.Sequential([K.Dense(4, activation="tanh"), K.Dense(1, activation="sigmoid")])
    y = (Y > 0).astype(np.float32)[:, None]
    flow = gradient_flow.by_layer(model, X, y, loss="binary_crossentropy")
    expected = (probabilities(model) - y) / BATCH
    np.testing.assert_allclose(flow.activation_norms[-1], np.linalg.norm(expected), rtol=1e-5)
    assert flow.depth.tolist() == [2, 1, 0]


def test_the_loss_is_the_one_that_keras_trains_with():
    model = softmax_ends()["softmax layer"]
    model.compile(loss="sparse_categorical_crossentropy")
    saturated = 40 * X  # a logarithm of these probabilities would be cut off at 1e-7
    flow = gradient_flow.by_layer(model, saturated, Y)
    assert flow.loss == pytest.approx(model.evaluate(saturated, Y, verbose=0), rel=1e-6)


@pytest.mark.parametrize("loss", ["mse", "own"])
def test_control_a_loss_of_the_output_itself_stays_with_the_output(loss):
    model = keras.Sequential([K.Dense(CLASSES, activation="softmax", name="last")])
    target = np.eye(CLASSES, dtype=np.float32)[Y]
    function = loss if loss == "mse" else (lambda t, p: keras.ops.mean((p - t) ** 2, axis=-1))
    flow = gradient_flow.by_layer(model, X, target, loss=function)
    expected = 2 * (probabilities(model) - target) / (BATCH * CLASSES)
    assert flow.names == ["input", "last"]
    np.testing.assert_allclose(flow.activation_norms[-1], np.linalg.norm(expected), rtol=1e-5)


def test_a_softmax_in_the_middle_keeps_its_record():
    model = keras.Sequential([K.Dense(6, activation="softmax", name="inner"), K.Dense(CLASSES)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    flow = gradient_flow.by_layer(model, X, Y, loss=loss)
    assert flow.names[1] == "inner"
    assert flow.depth.tolist() == [2, 1, 0]


def test_two_heads_one_with_a_softmax_of_its_own():
    inputs = keras.Input((5,))
    h = K.Dense(6, activation="tanh", name="h")(inputs)
    kinds = K.Softmax(name="kinds")(K.Dense(CLASSES, name="scores")(h))
    size = K.Dense(1, name="size")(h)
    model = keras.Model(inputs, [kinds, size])
    losses = ["sparse_categorical_crossentropy", "mse"]
    flow = gradient_flow.by_layer(model, X, [Y, X[:, :1]], loss=losses)
    assert sorted(flow.names[2:]) == ["scores", "size"]
    depth = dict(zip(flow.names, flow.depth, strict=True))
    assert depth["scores"] == depth["size"] == 0
    assert depth["h"] == 1


def test_one_output_returned_twice():
    inputs = keras.Input((5,))
    p = K.Dense(CLASSES, activation="softmax", name="last")(inputs)
    model = keras.Model(inputs, [p, p])
    flow = gradient_flow.by_layer(model, X, [Y, Y], loss=["sparse_categorical_crossentropy"] * 2)
    expected = 2 * (np.asarray(model(X)[0]) - np.eye(CLASSES)[Y]) / BATCH
    assert flow.names == ["input", "last (logits)"]
    np.testing.assert_allclose(flow.activation_norms[-1], np.linalg.norm(expected), rtol=1e-5)
