"""`dense_stack`: the weights of the maths floor, in a model that Keras can save and clone."""

import keras
import numpy as np
import pytest

from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.initializers import INITIALIZERS
from course_lib.maths.propagation import deep_stack
from course_lib.models.networks import dense_stack


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_computes_what_the_maths_floor_computes(activation):
    x = np.random.default_rng(1).normal(size=(9, 64))
    model = dense_stack(3, 16, activation, "he_normal")
    kernels = [np.asarray(layer.kernel, dtype="float64") for layer in model.layers]
    hidden = deep_stack(x, kernels[:-1], activation).output
    outputs = np.asarray(model(x.astype("float32")))
    np.testing.assert_allclose(outputs, hidden @ kernels[-1], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("initializer", sorted(INITIALIZERS))
def test_draws_the_weights_of_the_maths_floor(initializer):
    model = dense_stack(2, 8, "tanh", initializer, inputs=5, seed=7)
    for number, shape in ((1, (5, 8)), (2, (8, 8))):
        own = INITIALIZERS[initializer](shape, np.random.default_rng([7, number]))
        assert np.array_equal(np.asarray(model.layers[number - 1].kernel), own.astype("float32"))


def test_scale_reaches_the_initializer_and_the_output_layer_has_its_own():
    wide = dense_stack(1, 400, "relu", "normal", stddev=1.0, inputs=400)
    assert np.std(np.asarray(wide.layers[0].kernel)) == pytest.approx(1.0, rel=0.01)
    # Glorot: the variance of 400 inputs and 10 outputs
    assert np.std(np.asarray(wide.layers[1].kernel)) == pytest.approx(np.sqrt(2 / 410), rel=0.05)
    rotation = np.asarray(dense_stack(2, 6, "tanh", "orthogonal", gain=3.0).layers[1].kernel)
    np.testing.assert_allclose(rotation @ rotation.T, 9 * np.eye(6), atol=1e-5)


def test_seeds_repeat_and_differ():
    def kernels(seed):
        return [np.asarray(layer.kernel) for layer in dense_stack(3, 8, "relu", seed=seed).layers]

    first, again, other = kernels(1), kernels(1), kernels(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[1], first[2])  # equal layers, different weights


def test_names_shapes_and_clone():
    model = dense_stack(2, 8, "prelu", inputs=5, outputs=3)
    assert [layer.name for layer in model.layers] == ["hidden_1", "hidden_2", "logits"]
    assert model.output_shape == (None, 3)
    copy = keras.models.clone_model(model)
    for a, b in zip(model.get_weights(), copy.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_saves_and_loads(tmp_path):
    model = dense_stack(2, 8, "leaky_relu", "normal", stddev=0.3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.ones((2, 64), "float32")
    assert np.array_equal(np.asarray(model(x)), np.asarray(loaded(x)))
