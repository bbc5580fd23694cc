"""Outputs and targets that do not fit are named, and those that do are not."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.models.gradient_flow import diagnose
from course_lib.models.targets import misfit, standardized, taking_logits, target_scale

K = keras.layers
KIND = "output that does not fit"
SCALE = "scale of the targets"
SPARSE, BINARY = "sparse_categorical_crossentropy", "binary_crossentropy"

rng = np.random.default_rng(1)
X = rng.normal(size=(64, 8)).astype("float32")
CLASS = (X @ rng.normal(size=(8, 3))).argmax(axis=1)
NUMBER = X[:, :1]


def network(units, activation=None, loss="mse", **last):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [K.Dense(16, activation="relu"), K.Dense(units, activation=activation, **last)]
    )
    model.compile(keras.optimizers.Adam(0.01), loss)
    return model


def found(model, y):
    return {finding.kind: finding for finding in diagnose(model, X, y).findings}


def test_logits_where_probabilities_are_taken():
    below_0 = network(3, loss=SPARSE, bias_initializer=keras.initializers.Constant(-5.0))
    finding = found(below_0, CLASS)[KIND]
    assert finding.severity == "fault"
    assert "The loss takes probabilities, and the outputs go from -" in finding.sentence
    assert finding.sentence.endswith("Taken for logits, it learns.")


def test_labels_that_are_not_yes_and_no():
    finding = found(network(1, "sigmoid", BINARY), np.sign(NUMBER))[KIND]
    assert finding.severity == "fault"
    assert "the targets go from -1 to 1: so it has no lowest value." in finding.sentence


def test_targets_out_of_reach():
    finding = found(network(1, "sigmoid"), 50 + 10 * NUMBER)[KIND]
    assert finding.severity == "fault"
    assert "a sigmoid puts out 0 to 1: the loss cannot come below" in finding.sentence
    lowest = finding.evidence["lowest loss"]
    assert lowest == pytest.approx(np.mean((49 + 10 * NUMBER) ** 2), rel=1e-3)
    assert "The best constant number has" in finding.sentence


def test_a_few_targets_out_of_reach_are_a_note():
    finding = found(network(1, "tanh"), np.clip(NUMBER, -1.2, 1.2))[KIND]
    assert finding.severity == "note"


@pytest.mark.parametrize(
    ("units", "activation", "loss", "y"),
    [
        (3, "softmax", SPARSE, CLASS),
        (3, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True), CLASS),
        (3, "softmax", "categorical_crossentropy", np.eye(3)[CLASS]),
        (1, "sigmoid", BINARY, NUMBER > 0),
        (1, None, keras.losses.BinaryCrossentropy(from_logits=True), NUMBER > 0),
        (1, "tanh", "mse", np.sign(NUMBER)),
        (1, "tanh", "hinge", np.sign(NUMBER)),
        (1, None, "mse", NUMBER),
        (1, None, lambda y, answer: tf.abs(y - answer), NUMBER),
    ],
)
def test_what_fits_is_not_named(units, activation, loss, y):
    assert KIND not in found(network(units, activation, loss), np.asarray(y, "float32"))


def objective(outputs):
    return tf.reduce_mean((outputs - 5.0) ** 2)


def test_the_lowest_loss_is_that_of_the_nearest_answers():
    y = tf.constant([0.5, 5.0])
    seen = misfit("mse", tf.constant([[0.1], [0.2]]), y, "sigmoid", objective)
    assert seen.what == "reach"
    assert seen.figures["lowest loss"] == pytest.approx((4.5**2 + 4**2) / 2)


@pytest.mark.parametrize(
    ("loss", "outputs", "y"),
    [
        (None, tf.constant([[3.0]]), tf.constant([[3.0]])),
        (["mse", "mse"], [tf.constant([[3.0]])] * 2, [tf.constant([[3.0]])] * 2),
        ("mse", tf.constant([[0.5]]), None),
        (SPARSE, tf.constant([[1.001, -0.001]], tf.float16), tf.constant([0])),
    ],
)
def test_what_is_not_sure_is_not_judged(loss, outputs, y):
    assert misfit(loss, outputs, y, "sigmoid", objective) is None


@pytest.mark.parametrize(
    "loss",
    [
        SPARSE,
        [SPARSE],
        keras.losses.SparseCategoricalCrossentropy(),
        keras.losses.SparseCategoricalCrossentropy(ignore_class=7),
    ],
)
def test_a_loss_that_takes_logits(loss):
    y, logits = tf.constant([0, 1]), tf.constant([[2.0, -1.0], [0.5, 0.1]])
    wanted = -np.mean(np.log(tf.nn.softmax(logits).numpy()[[0, 1], [0, 1]]))
    assert float(tf.reduce_mean(taking_logits(loss)(y, logits))) == pytest.approx(wanted, rel=1e-5)


def a_regression(size=1.0, offset=0.0, optimizer=None, loss="mse", inputs=1.0):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(64, 8))
    y = size * (x @ rng.normal(size=(8, 1)) + np.sin(3 * x[:, :1])) + offset
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((8,)), K.Dense(32, "relu"), K.Dense(32, "relu"), K.Dense(1)]
    )
    model.compile(optimizer or keras.optimizers.Adam(1e-3), loss)
    return model, (inputs * x).astype("float32"), y.astype("float32")


@pytest.mark.parametrize(
    ("size", "offset", "optimizer", "loss"),
    [
        (1e5, 3e5, None, "mse"),  # the price of a house
        (1e4, 0, None, "mae"),
        (1.0, 1e3, None, keras.losses.Huber()),  # a year, a temperature in kelvin
        (100.0, 0, keras.optimizers.SGD(0.01), "mse"),
    ],
)
def test_targets_far_from_what_a_network_starts_with_are_named(size, offset, optimizer, loss):
    found = diagnose(*a_regression(size, offset, optimizer, loss))
    (fault,) = found.faults
    assert (fault.kind, fault.where) == (SCALE, "the targets")
    assert fault.sentence.endswith(
        "With targets brought to mean 0 and standard deviation 1 it learns."
    )
    y = a_regression(size, offset)[2]
    assert fault.evidence == pytest.approx(
        {"mean": y.mean(), "standard deviation": y.std()}, rel=1e-4
    )
    assert found.cures["targets brought to scale"].baseline < 1.01  # its own best constant answer


def test_inputs_and_targets_out_of_scale_are_tried_together():
    model, x, y = a_regression(1e5)
    x[:, 0] *= 1e3
    found = diagnose(model, x, y)
    assert SCALE in [fault.kind for fault in found.faults]
    assert "With both inputs and targets brought to" in str(found)


def test_targets_that_a_network_learns_as_they_are_are_well():
    assert diagnose(*a_regression(20.0)).healthy
    assert not diagnose(*a_regression()).cures


def test_small_targets_that_it_still_comes_to_are_a_note():
    found = diagnose(*a_regression(1e-4))
    assert [(one.kind, one.severity) for one in found.findings] == [(SCALE, "note")]


@pytest.mark.parametrize(
    ("loss", "outputs", "y"),
    [
        ("sparse_categorical_crossentropy", np.zeros((4, 3)), [0, 1, 2, 1]),
        ("cosine_similarity", np.zeros((4, 1)), [[5.0], [6.0], [7.0], [8.0]]),
        (["mse", "mse"], np.zeros((4, 1)), [[5.0], [6.0], [7.0], [8.0]]),
        ("mse", np.zeros((4, 1)), [[5.0], [5.0], [5.0], [5.0]]),
        (None, np.zeros((4, 1)), [[5.0], [6.0], [7.0], [8.0]]),
    ],
)
def test_the_scale_of_targets_is_not_judged(loss, outputs, y):
    assert target_scale(loss, tf.constant(outputs), tf.constant(y)) is None


def test_the_scale_of_targets_is_that_of_the_largest_column():
    y = np.array([[1.0, 70.0, 0.1], [1.002, 90.0, 0.1]])
    found = target_scale("mse", tf.zeros((2, 3)), tf.constant(y))
    assert (found.mean, found.deviation) == (80.0, 10.0)


def test_numbers_are_standardized_by_column_and_a_vector_is_one():
    np.testing.assert_allclose(standardized(tf.constant([1, 3])), [-1, 1])
    y = tf.constant([[[1.0, 5.0]], [[3.0, 5.0]]])
    np.testing.assert_allclose(standardized(y), [[[-1, 0]], [[1, 0]]])
