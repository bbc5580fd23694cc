"""A diagnosis names what is wrong, leaves the model as it was, and refuses what makes no sense."""

import random
from contextlib import nullcontext

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.models import clinic, diagnosis, gradient_flow
from course_lib.models.gradient_flow import diagnose

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

# The quick ones of every kind; all of them, with several seeds, are in `clinic.calibration`.
QUICK = [
    "digits, two ReLU layers",
    "regression",
    "a picture of itself",
    "digits, already trained",
    "pixels that it scales itself",
    "large weights, deep",
    "an RNN that runs away",
    "dead from the start",
    "tanh, far out",
    "a weight that is no number",
    "the logarithm of 0",
    "raw numbers",
    "too fast",
    "too slow",
    "a softmax over one",
    "a ReLU at the end",
]


def kinds(found):
    return [finding.kind for finding in found.faults]


def test_layers_that_no_gradient_reaches_are_named_and_no_fault():
    stop = K.Lambda(keras.ops.stop_gradient)
    x, y = batch()
    model = stacked(K.Dense(8, name="first"), K.Dense(8, name="second"), stop, K.Dense(3))
    found = diagnose(model, x, y)
    assert found.healthy
    assert [(f.kind, f.severity, f.where) for f in found.findings] == [
        ("no gradient", "note", "first")
    ]
    assert "first (and 1 other)" in found.findings[0].sentence


def test_a_layer_used_twice_and_one_that_is_frozen_are_not_cut_off():
    x, y = batch()
    inputs = keras.Input((8,))
    shared, frozen = K.Dense(8, name="shared"), K.Dense(8, trainable=False)
    aside = K.Lambda(keras.ops.stop_gradient)(frozen(shared(inputs)))
    model = keras.Model(inputs, K.Dense(3)(shared(inputs) + aside))
    model.compile("adam", LOGITS)
    assert diagnose(model, x, y, steps=30).examination.cut_off == []


@pytest.mark.parametrize(
    "x", [np.zeros((64, 8)), np.ones((64, 8)), np.tile(np.linspace(-1, 1, 8), (64, 1))]
)
def test_samples_that_are_all_the_same(x):
    _, y = batch()
    found = diagnose(stacked(K.Dense(32, activation="relu"), K.Dense(3)), x, y, steps=60)
    assert kinds(found) == ["constant input"]
    assert "scale of the input" not in [finding.kind for finding in found.findings]


def test_samples_that_are_the_same_to_the_first_layer():
    x, y = batch()
    found = diagnose(stacked(K.Rescaling(0.0), K.Dense(3, name="read")), x, y, steps=60)
    constant = [finding for finding in found.findings if finding.kind == "constant input"]
    assert [finding.where for finding in constant] == ["read"]


def test_targets_that_are_all_the_same_prove_nothing():
    x, _ = batch()
    model = stacked(K.Dense(1, activation="sigmoid"), loss="binary_crossentropy")
    found = diagnose(model, x, np.ones(64))
    assert [(f.kind, f.severity) for f in found.findings] == [("constant targets", "warning")]
    assert "was not put to the test" in found.summary()
    assert "constant targets" not in str(diagnose(model, x, (x[:, 0] > 0) * 1.0, steps=30))


def test_a_rare_class_is_among_the_samples():
    y = np.zeros(1000, int)
    even = np.linspace(0, 999, 64).astype(int)
    y[np.setdiff1d(np.arange(1000), even)[::100]] = 1  # of those taken evenly none has it
    rows = diagnosis._with_every_class(even, tf.constant(y))
    assert y[rows].sum() == 64 // 8
    assert len(set(rows)) == 64
    model = stacked(K.Dense(1, activation="sigmoid"), loss="binary_crossentropy")
    x, _ = batch(1000)
    assert diagnose(model, x, y, steps=30).examination.target_varies


@pytest.mark.parametrize(
    "y",
    [
        np.arange(1000) % 10,  # every class is there
        np.arange(1000),  # as many classes as samples: a number to predict
        np.linspace(0, 1, 1000),
        np.eye(4)[np.arange(1000) % 4],
        np.array(list("ab") * 500),
    ],
)
def test_other_targets_leave_the_samples_even(y):
    even = np.linspace(0, 999, 64).astype(int)
    np.testing.assert_array_equal(diagnosis._with_every_class(even, tf.constant(y)), even)


def test_of_few_samples_no_unit_is_called_dead():
    x, y = batch(2)
    found = diagnose(stacked(K.Dense(32, activation="relu"), K.Dense(3)), x, y, steps=30)
    assert "2 samples cannot show much" in found.summary()
    model = stacked(K.Dense(8, activation="relu", bias_initializer=Far()), K.Dense(3))
    assert "dead units" in str(diagnose(model, *batch(8), steps=30))
    assert "dead units" not in str(diagnose(model, *batch(7), steps=30))


class Far(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.ops.full(shape, -50.0, dtype)
