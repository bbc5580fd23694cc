"""Each wrong argument is answered by one sentence: the argument, what it got, what it takes."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.models import gradient_flow, networks, training

K = keras.layers
X, Y = np.ones((6, 4), "float32"), np.zeros(6, "int64")


@pytest.fixture(scope="module")
def model():
    return keras.Sequential([keras.Input((4,)), K.Dense(5, activation="tanh"), K.Dense(3)])


@pytest.fixture(scope="module")
def compiled():
    model = keras.Sequential([keras.Input((4,)), K.Dense(3)])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.fixture(scope="module")
def two_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, [K.Dense(2)(inputs), K.Dense(3)(inputs)])


@pytest.fixture(scope="module")
def named_outputs():
    inputs = keras.Input((4,))
    return keras.Model(inputs, {"a": K.Dense(2, name="a")(inputs), "b": K.Dense(3)(inputs)})


def nan():
    x = X.copy()
    x[2, 1] = np.nan
    return x


def one_sentence(info):
    text = str(info.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 400
    return text


BATCHES = {
    "x is text": ((np.full((6, 4), "a"), Y), r"`x` holds text; the model takes float32"),
    "x is None": ((None, Y), r"`x` is None; it takes an array"),
    "x has NaN": ((nan(), Y), r"`x` holds NaN or infinity \(1 of 24 entries\)"),
    "x is empty": ((np.ones((0, 4)), Y), r"`x` has shape \(0, 4\)"),
    "x is a number": ((1.0, Y), r"`x` has shape \(\)"),
    "x is complex": ((X * 1j, Y), r"`x` is an array of shape"),
    "x is a data set": (
        (tf.data.Dataset.from_tensor_slices((X, Y)), Y),
        r"`x` is .* it takes one batch of it, such as `next\(iter\(data\)\)`",
    ),
    "x is a generator": (((part for part in X), Y), r"it takes one batch of it"),
    "x has too many features": (
        (np.ones((6, 5)), Y),
        r"`x` has shape \(6, 5\); the model takes \(batch, 4\)",
    ),
    "x has too many dimensions": ((np.ones((6, 3, 4)), Y), r"`x` has shape \(6, 3, 4\)"),
    "x in two parts": (
        ([X, X], Y),
        r"`x` has 2 parts, the model has 1 input; it takes one array for each",
    ),
    "y of another length": ((X, Y[:5]), r"`y` has 5 samples and `x` has 6"),
    "y is None": ((X, None), r"`y` is None; the loss takes one target a sample"),
    "y has NaN": ((X, np.full(6, np.nan)), r"`y` holds NaN"),
    "y of another shape": ((X, np.zeros((6, 7, 2))), r"`y`, of shape \(6, 7, 2\)"),
    "y is text": ((X, np.array(list("abcabc"))), r"`y` holds text; a loss takes numbers"),
    "y is objects": ((X, [object()] * 6), r"`y` is"),
}


@pytest.mark.parametrize("case", BATCHES)
def test_by_layer_refuses_a_batch(model, case):
    (x, y), expected = BATCHES[case]
    with pytest.raises((ValueError, TypeError)) as info:
        gradient_flow.by_layer(model, x, y, loss="sparse_categorical_crossentropy")
    assert re.search(expected, one_sentence(info)), str(info.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"loss": "mean square"}, r"`loss` is 'mean square', which Keras does not know"),
        ({"loss": 3}, r"`loss` is 3; it takes a name such as"),
        ({"loss": keras.losses.MeanSquaredError}, r"`loss` is .*; it takes a name"),
        ({"loss": "mse"}, r"output, of shape \(6, 3\): Incompatible shapes: \[6\] vs. \[6,3\]\.$"),
        ({"loss": lambda y, p: None}, r"the loss cannot be computed from `y`, of shape \(6,\)"),
        ({}, r"`model` is not compiled with a loss.*pass one, such as `loss=\"mse\"`"),
        ({"loss": "mse", "training": "yes"}, r"`training` is 'yes'; it takes True or False"),
        ({"loss": "mse", "sample_weight": np.ones(5)}, r"`sample_weight` has 5 samples"),
        ({"loss": "mse", "sample_weight": np.full(6, np.inf)}, r"`sample_weight` holds NaN"),
    ],
)
def test_by_layer_refuses_an_option(model, arguments, expected):
    with pytest.raises((ValueError, TypeError)) as info:
        gradient_flow.by_layer(model, X, Y, **arguments)
    assert re.search(expected, one_sentence(info)), str(info.value)


@pytest.mark.parametrize("wrong", [None, "model", K.Dense(3), keras.Model])
def test_by_layer_refuses_what_is_no_model(wrong):
    with pytest.raises(TypeError, match="it takes a Keras model") as info:
        gradient_flow.by_layer(wrong, X, Y, loss="mse")
    one_sentence(info)


def test_compiled_model_with_labels_out_of_range(compiled):
    with pytest.raises(ValueError, match="the loss cannot be computed from `y`") as info:
        gradient_flow.by_layer(compiled, X, Y + 7)
    one_sentence(info)


@pytest.mark.parametrize(
    ("y", "loss", "expected"),
    [
        (Y, "mse", "`y` has 1 part, the model has 2 outputs"),
        ([X[:, :2], X[:, :3]], ["mse"], "`loss` has 1 part, the model has 2 outputs"),
    ],
)
def test_several_outputs(two_outputs, y, loss, expected):
    with pytest.raises(ValueError, match=expected) as info:
        gradient_flow.by_layer(two_outputs, X, y, loss=loss)
    one_sentence(info)


def test_named_outputs(named_outputs):
    y = {"a": X[:, :2], "c": X[:, :3]}
    with pytest.raises(ValueError, match="the names of the model's outputs, a, b") as info:
        gradient_flow.by_layer(named_outputs, X, y, loss="mse")
    one_sentence(info)


def test_text_for_a_model_that_does_not_say_what_it_reads():
    model = keras.Sequential([K.Dense(3)])
    with pytest.raises(ValueError, match=r"cannot be run on `x`.*string to float") as info:
        gradient_flow.by_layer(model, np.full((6, 4), "a"), Y, loss="mse")
    one_sentence(info)


def test_outputs_in_a_list_by_names_that_are_not_theirs(two_outputs):
    y = [X[:, :2], X[:, :3]]
    with pytest.raises(ValueError, match=r"`loss` is .*; it takes a dict with the names") as info:
        gradient_flow.by_layer(two_outputs, X, y, loss={"a": "mse", "b": "mse"})
    one_sentence(info)


def test_a_subclassed_model_says_what_does_not_fit():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = K.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Own()
    model(X)
    with pytest.raises(ValueError, match=r"cannot be run on `x`, of shape \(6, 7\)") as info:
        gradient_flow.by_layer(model, np.ones((6, 7)), Y, loss="mse")
    assert "axis" in one_sentence(info)  # Keras's own reason


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, 8, "tanh"), "`depth` is 0; it takes a whole number, 1 or more"),
        ((2, 1.5, "tanh"), "`units` is 1.5"),
        ((2, 8, "swish"), "swish.*it takes one of sigmoid, tanh"),
        ((2, 8, "tanh", "xavier"), "xavier.*it takes one of glorot_normal"),
    ],
)
def test_dense_stack(arguments, expected):
    with pytest.raises((ValueError, TypeError), match=expected) as info:
        networks.dense_stack(*arguments)
    one_sentence(info)


def test_dense_stack_refuses_a_scale_that_does_not_belong():
    with pytest.raises(TypeError, match="`stddev` is no argument of the initialiser he_normal"):
        networks.dense_stack(2, 8, "relu", "he_normal", stddev=0.1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "`steps` is None and `epochs` is None; one of them takes a whole number"),
        ({"steps": 3, "epochs": 2}, "`steps` is 3 and `epochs` is 2"),
        ({"steps": 0}, "`steps` is 0"),
        ({"steps": 2, "batch_size": -1}, "`batch_size` is -1"),
        ({"steps": 2, "learning_rate": "fast"}, "`learning_rate` is 'fast'"),
        ({"steps": 2, "momentum": 2}, "`momentum` is 2; it takes a finite number from 0 to 1"),
        ({"steps": 2, "optimizer": "sgd"}, "`optimizer` is 'sgd'; it takes a Keras optimiser"),
        ({"steps": 2, "seed": -3}, "`seed` is -3"),
        ({"steps": 2, "loss": 3}, "`loss` is 3; it takes a function"),
    ],
)
def test_fit(model, arguments, expected):
    with pytest.raises((ValueError, TypeError), match=expected) as info:
        training.fit(model, X, Y, **arguments)
    one_sentence(info)


def test_fit_and_accuracy_refuse_data(model):
    with pytest.raises(TypeError, match="`model` is 3; it takes a Keras model"):
        training.fit(3, X, Y, steps=1)
    with pytest.raises(TypeError, match="`y` is None; it takes one target a sample"):
        training.fit(model, X, None, steps=1)
    with pytest.raises(ValueError, match="`x` holds NaN"):
        training.fit(model, nan(), Y, steps=1)
    with pytest.raises(ValueError, match=r"`y` has shape \(6, 3\); it takes one label a sample"):
        training.accuracy(model, X, np.zeros((6, 3)))


def test_every_part_has_as_many_samples():
    inputs = [keras.Input((3,)), keras.Input((4,))]
    model = keras.Model(inputs, K.Dense(2)(K.concatenate(inputs)))
    model.compile("sgd", "mse")
    x = [np.ones((10, 3), "float32"), np.ones((20, 4), "float32")]
    with pytest.raises(ValueError, match="`x` has 20 samples and the first part of `x` has 10;"):
        gradient_flow.diagnose(model, x, np.ones((20, 2), "float32"))
