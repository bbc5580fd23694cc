"""Own equations = TensorFlow's tape = Keras, in float64.

TensorFlow keeps two constants in float32 even for float64 tensors: Leaky ReLU's slope, and the
√½ inside GELU. So Keras's GELU(a) is GELU(s a) / s with s = 1 + 2e-8. The tape is therefore asked
twice: for the formulas written out, and for Keras's own with these two constants put into ours.
"""

import math
from itertools import pairwise

import numpy as np
import pytest

from course_lib.maths.activations import ACTIVATIONS, Activation
from course_lib.maths.initializers import INITIALIZERS, variance
from course_lib.maths.propagation import deep_stack, deep_stack_gradients

pytestmark = pytest.mark.tensorflow

WIDTHS = (5, 7, 6, 6, 3)
GRID = np.concatenate([np.linspace(-12, 12, 2001) + 1e-3, [0.0]])


def _written_out(tf, name):
    """Return the formula in TensorFlow's operations, every constant in float64."""
    return {
        "sigmoid": tf.sigmoid,
        "tanh": tf.tanh,
        "relu": tf.nn.relu,
        "leaky_relu": lambda a: tf.where(a > 0, a, 0.01 * a),
        "prelu": lambda a: tf.where(a > 0, a, 0.01 * a),
        "elu": tf.nn.elu,
        "gelu": lambda a: a * tf.math.erfc(-a / math.sqrt(2)) / 2,
        "linear": tf.identity,
    }[name]


def _in_keras(keras, name):
    if name in ("leaky_relu", "prelu"):
        return lambda a: keras.activations.leaky_relu(a, negative_slope=0.01)
    return keras.activations.get(name)


def _with_keras_constants(name):
    """Return our activation, its constants rounded to float32 where TensorFlow's are."""
    own = ACTIVATIONS[name]
    if name in ("leaky_relu", "prelu"):
        return own.with_slope(float(np.float32(0.01)))
    if name == "gelu":
        s = float(np.float32(math.sqrt(0.5))) * math.sqrt(2)
        return Activation(
            "gelu", lambda a: own.function(s * a) / s, lambda a: own.derivative(s * a), 1.13
        )
    return own


def _stack(seed=21):
    rng = np.random.default_rng(seed)
    shapes = list(pairwise(WIDTHS))
    weights = [rng.standard_normal(shape) * 0.7 for shape in shapes]
    biases = [rng.standard_normal(n) * 0.3 for n in WIDTHS[1:]]
    return rng.standard_normal((4, WIDTHS[0])), weights, biases, rng.standard_normal((4, 3))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_and_their_derivatives(name, tf, keras):
    a = tf.constant(GRID)
    for theirs, own in (
        (_written_out(tf, name), ACTIVATIONS[name]),
        (_in_keras(keras, name), _with_keras_constants(name)),
    ):
        with tf.GradientTape() as tape:
            tape.watch(a)
            values = theirs(a)
        slopes = tape.gradient(values, a).numpy()
        np.testing.assert_allclose(own.function(GRID), values.numpy(), rtol=1e-14, atol=1e-14)
        np.testing.assert_allclose(own.derivative(GRID), slopes, rtol=1e-14, atol=1e-14)


def test_prelu_is_keras_layer_with_the_slope_learnt(tf, keras):
    layer = keras.layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25), dtype="float64")
    a = tf.constant(GRID[:, None])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(a))
    prelu = ACTIVATIONS["prelu"].with_slope(0.25)
    np.testing.assert_allclose(layer(a).numpy()[:, 0], prelu.function(GRID), rtol=1e-14)
    theirs = tape.gradient(loss, layer.trainable_variables)[0]
    assert float(theirs[0]) == pytest.approx(prelu.slope_derivative(GRID).sum(), rel=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_those_of_the_tape(name, tf, largest_error):
    x, weights, biases, d_output = _stack()
    activation = _written_out(tf, name)
    tensors = [tf.Variable(array) for array in [x, *weights, *biases]]
    W, b = tensors[1 : len(WIDTHS)], tensors[len(WIDTHS) :]
    with tf.GradientTape() as tape:
        pre, post = [], [tensors[0]]
        for W_l, b_l in zip(W, b, strict=True):
            pre.append(post[-1] @ W_l + b_l)
            post.append(activation(pre[-1]))
        loss = tf.reduce_sum(post[-1] * d_output)
    theirs = [g.numpy() for g in tape.gradient(loss, tensors + pre + post[1:])]
    own = deep_stack_gradients(deep_stack(x, weights, name, biases), d_output)
    ours = [own.activations[0], *own.weights, *own.biases, *own.pre_activations]
    assert largest_error([*ours, *own.activations[1:]], theirs) < 1e-13


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradients_are_those_of_keras_dense_layers(name, tf, keras, largest_error):
    x, weights, biases, d_output = _stack(22)
    layers = [
        keras.layers.Dense(n, activation=_in_keras(keras, name), dtype="float64")
        for n in WIDTHS[1:]
    ]
    model = keras.Sequential([keras.Input((WIDTHS[0],), dtype="float64"), *layers])
    for layer, W, b in zip(layers, weights, biases, strict=True):
        layer.set_weights([W, b])
    with tf.GradientTape() as tape:
        output = model(tf.constant(x))
        loss = tf.reduce_sum(output * d_output)
    theirs = tape.gradient(loss, model.trainable_variables)
    trace = deep_stack(x, weights, _with_keras_constants(name), biases)
    own = deep_stack_gradients(trace, d_output)
    ours = [g for pair in zip(own.weights, own.biases, strict=True) for g in pair]
    np.testing.assert_allclose(trace.output, output.numpy(), rtol=1e-13, atol=1e-14)
    assert largest_error(ours, [g.numpy() for g in theirs]) < 1e-13


@pytest.mark.parametrize("shape", [(400, 300), (300, 400)])
@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "normal"])
def test_keras_initializers_have_the_same_variance(name, shape, keras):
    """Sample variances within five of their standard errors, √(2/N) of themselves."""
    theirs = np.asarray(keras.initializers.get(name)(shape), dtype=float)
    error = 5 * math.sqrt(2 / theirs.size)
    assert theirs.shape == shape
    assert theirs.var() == pytest.approx(variance(name, shape), rel=error)
    own = INITIALIZERS[name](shape, np.random.default_rng(23))
    assert own.var() == pytest.approx(theirs.var(), rel=2 * error)


def test_plain_normal_is_random_normal_and_not_truncated(keras):
    theirs = np.asarray(keras.initializers.RandomNormal(seed=1)((400, 300)), dtype=float)
    assert theirs.std() == pytest.approx(math.sqrt(variance("normal", (400, 300))), rel=0.02)
    assert np.abs(theirs).max() > 3 * 0.05


@pytest.mark.parametrize("name", ["glorot_normal", "he_normal", "lecun_normal"])
def test_keras_truncates_its_normal_weights_and_rescales_them(name, keras):
    """Nothing beyond two standard deviations, divided by 0.8796 so that the variance is right."""
    shape = (400, 300)
    target = math.sqrt(variance(name, shape))
    theirs = np.abs(np.asarray(keras.initializers.get(name)(shape), dtype=float)).max()
    own = np.abs(INITIALIZERS[name](shape, np.random.default_rng(24))).max()
    assert theirs / target == pytest.approx(2 / 0.87962566, rel=2e-3)
    assert own / target > 3.5


@pytest.mark.parametrize("name", ["glorot_uniform", "he_uniform"])
def test_keras_uniform_weights_have_the_same_limit(name, keras):
    theirs = np.abs(np.asarray(keras.initializers.get(name)((400, 300)), dtype=float)).max()
    limit = math.sqrt(3 * variance(name, (400, 300)))
    assert 0.999 * limit < theirs <= limit * (1 + 1e-6)


def test_keras_orthogonal_has_the_same_singular_values(keras):
    theirs = np.asarray(keras.initializers.Orthogonal(gain=1.5)((8, 3)), dtype=float)
    np.testing.assert_allclose(np.linalg.svd(theirs, compute_uv=False), 1.5, rtol=1e-6)
