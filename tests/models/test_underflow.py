"""An underflow is told from a true zero, and what underflowed is recovered."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.models import backward, gradient_flow
from course_lib.models.networks import dense_stack

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def batch():
    rng = np.random.default_rng(1)
    return rng.normal(size=(32, 64)), rng.integers(10, size=32)


@pytest.fixture
def one_pass(monkeypatch):
    """Measure as if there were no scaled passes."""

    def measure(*arguments, **keywords):
        with monkeypatch.context() as patch:
            patch.setattr(backward._Passes, "_scaled_passes", lambda _, unexplained: unexplained)
            return gradient_flow.by_layer(*arguments, **keywords)

    return measure


def twin(make, policy, *arguments, **keywords):
    """The same network in float64: `dense_stack` draws the same weights."""
    with policy("float64"):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return gradient_flow.by_layer(make(), *arguments, loss=loss, **keywords)


def test_seventy_sigmoid_layers(batch, one_pass, policy):
    def make():
        return dense_stack(70, 32, "sigmoid")

    model = make()
    plain = one_pass(model, *batch, loss=LOGITS)
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS)
    lost = plain.activation_norms == 0
    assert lost.sum() >= 10  # what a tape alone would show
    assert np.all(flow.activation_norms > 0)
    assert flow.passes == 2
    whole = flow.underflowed == 0
    assert 20 < whole.sum() < 70
    assert np.array_equal(flow.activation_norms[whole], plain.activation_norms[whole])
    assert not flow.true_zeros.any()
    assert not flow.unresolved.any()
    assert np.all(flow.underflowed[lost] == flow.entries[lost])
    truth = twin(make, policy, *batch)
    np.testing.assert_allclose(flow.activation_norms, truth.activation_norms, rtol=1e-4)
    np.testing.assert_allclose(flow.weight_norms[1:], truth.weight_norms[1:], rtol=1e-4)
    assert flow.factor_per_layer == pytest.approx(truth.factor_per_layer, rel=1e-6)
    assert "float32 writes gradients below 1.2e-38 as 0" in flow.summary()


def test_further_than_one_scaled_pass_reaches(batch, policy):
    def make():
        return dense_stack(160, 16, "sigmoid")

    flow = gradient_flow.by_layer(make(), *batch, loss=LOGITS)
    truth = twin(make, policy, *batch)
    assert flow.activation_norms[0] < 1e-90
    assert flow.passes > 2
    assert not flow.unresolved.any()
    np.testing.assert_allclose(flow.activation_norms, truth.activation_norms, rtol=1e-4)
    np.testing.assert_allclose(flow.weight_norms[1:], truth.weight_norms[1:], rtol=1e-4)


def test_mixed_float16(batch, one_pass, policy):
    with policy("mixed_float16"):
        model = dense_stack(24, 32, "sigmoid")
    plain = one_pass(model, *batch, loss=LOGITS)
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS)
    truth = gradient_flow.by_layer(dense_stack(24, 32, "sigmoid"), *batch, loss=LOGITS)
    assert flow.dtype == "float16"
    assert flow.limit == 2.0**-24
    lost = plain.activation_norms == 0
    assert lost.sum() > 5
    assert truth.passes == 1
    assert np.all(flow.underflowed[lost] > 0)
    assert not flow.unresolved.any()
    np.testing.assert_allclose(flow.activation_norms, truth.activation_norms, rtol=0.02)
    np.testing.assert_allclose(flow.weight_norms[1:], truth.weight_norms[1:], rtol=0.02)


def test_a_fall_within_a_branch(batch, one_pass):
    inputs = keras.Input((64,))
    h = K.Dense(16, name="first")(inputs)
    branch = h
    for i in range(70):
        branch = K.Dense(16, activation="sigmoid", name=f"branch_{i}")(branch)
    model = keras.Model(inputs, K.Dense(10)(K.Add()([h, branch])))
    plain = one_pass(model, *batch, loss=LOGITS)
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS)
    assert plain.activation_norms[flow.names.index("branch_0")] == 0
    assert flow.activation_norms[flow.names.index("branch_0")] > 0
    assert not flow.unresolved.any()
    i = flow.names.index("first")
    assert flow.activation_norms[i] == plain.activation_norms[i]


def test_one_tiny_matrix_is_an_underflow_though_what_arrives_is_large():
    inputs = keras.Input((3,))
    tiny = K.Dense(3, kernel_initializer=keras.initializers.Constant(1e-30))
    model = keras.Model(inputs, K.Dense(2)(tiny(inputs)) * 1e-10)
    x, y = np.ones((4, 3)), np.ones((4, 2))
    flow = gradient_flow.by_layer(model, x, y, loss="mse")
    assert flow.activation_norms[0] > 0
    assert flow.underflowed[0] == 12
    assert flow.true_zeros[0] == 0


def test_dead_units_are_true_zeros(batch, policy):
    """Half of the units of one layer are dead below thirty sigmoid layers: both kinds of zero."""

    def make():
        inputs = keras.Input((64,))
        bias = keras.initializers.Constant(0.0)
        h = K.Dense(16, name="before", bias_initializer=bias)(inputs)
        h = K.Activation("relu", name="relu")(h)
        return keras.Model(inputs, dense_stack(60, 16, "sigmoid", inputs=16)(h))

    model = make()
    dead = np.zeros(16, "float32")
    dead[:8] = -1e3
    model.get_layer("before").bias.assign(dead)
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS)
    hidden = keras.Model(model.input, model.get_layer("before").output)
    off = int(np.sum(np.asarray(hidden(batch[0])) <= 0))
    i = flow.names.index("before")
    assert off >= 8 * 32
    assert flow.true_zeros[i] == off
    assert flow.underflowed[i] == flow.entries[i] - off
    assert flow.true_zeros[flow.names.index("relu")] == 0


@pytest.mark.parametrize("deep", [False, True])
def test_a_wholly_dead_layer(batch, deep):
    inputs = keras.Input((64,))
    h = K.Dense(8, name="silent")(inputs)
    h = K.Dense(8, activation="relu", bias_initializer=keras.initializers.Constant(-1e3))(h)
    above = dense_stack(60 if deep else 1, 8, "sigmoid", inputs=8)
    model = keras.Model(inputs, above(h))
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS)
    for name in ("input", "silent"):
        i = flow.names.index(name)
        assert flow.activation_norms[i] == 0
        assert flow.true_zeros[i] == flow.entries[i]
        assert flow.underflowed[i] == 0
    assert flow.weight_norms[flow.names.index("silent")] == 0
    assert not flow.unresolved.any()
    assert flow.factor_per_layer == 0
    assert "Nothing arrives at input, silent" in flow.summary()


def test_stop_gradient_is_a_true_zero(batch):
    inputs = keras.Input((64,))
    h = K.Dense(8, name="before")(inputs)
    h = K.Lambda(tf.stop_gradient, name="stop")(h)
    model = keras.Model(inputs, K.Dense(10)(h))
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS)
    i = flow.names.index("before")
    assert flow.activation_norms[i] == 0
    assert flow.true_zeros[i] == flow.entries[i]
    assert np.isnan(flow.depth[i])
    assert flow.activation_norms[flow.names.index("stop")] > 0
    assert flow.names[flow.earliest] == "stop"


def test_an_unused_branch_is_a_true_zero(batch):
    class Unused(keras.Model):
        def __init__(self):
            super().__init__()
            self.used, self.unused = K.Dense(10), K.Dense(4, name="unused")

        def call(self, x):
            self.unused(x)
            return self.used(x)

    flow = gradient_flow.by_layer(Unused(), *batch, loss=LOGITS)
    i = flow.names.index("unused")
    assert flow.activation_norms[i] == 0
    assert flow.weight_norms[i] == 0
    assert flow.true_zeros[i] == flow.entries[i] == 32 * 4
    assert np.isnan(flow.depth[i])


def test_no_second_pass_without_zeros(batch):
    assert gradient_flow.by_layer(dense_stack(3, 16, "tanh"), *batch, loss=LOGITS).passes == 1


@pytest.mark.parametrize("training", [False, True])
def test_zeros_of_a_relu_need_no_second_pass(batch, training):
    """One scaled step through the ReLU (and the normalisation below it) explains them."""
    layers = [keras.Input((64,))]
    for seed in range(3):
        layers += [K.Dense(16), K.BatchNormalization(), K.ReLU(), K.Dropout(0.5, seed=seed)]
    model = keras.Sequential([*layers, K.Dense(10)])
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS, training=training)
    assert flow.passes == 1
    i = flow.names.index(model.layers[-4].name)
    assert model.layers[-4].__class__ is K.BatchNormalization
    off = np.asarray(keras.Sequential(model.layers[:-3])(batch[0], training=False)) <= 0
    if training:  # what is dropped gets nothing either
        assert flow.true_zeros[i] > 0.6 * flow.entries[i]
    else:
        assert flow.true_zeros[i] == off.sum()
    assert not flow.underflowed.any()


def test_a_step_that_underflows_is_not_taken_for_true_zeros(batch):
    """The one step above has an underflow beside true zeros: the second pass finds both."""

    class Uneven(K.Layer):
        def call(self, x):
            scale = tf.constant([2e-38] * 4 + [0.0] * 4 + [1.0] * 8)
            return x * scale

    model = keras.Sequential([keras.Input((64,)), K.Dense(16), Uneven(), K.Dense(10)])
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS)
    assert flow.passes == 2
    assert flow.underflowed[1] == 32 * 4
    assert flow.true_zeros[1] == 32 * 4


def test_a_way_past_the_records_ends_the_search(batch):
    """A loss that a layer adds from inside could be reached past any record: no further pass."""

    class AddsLoss(K.Layer):
        def build(self, shape):
            self.kernel = self.add_weight(shape=(8, 8), initializer="identity")

        def call(self, x):
            self.add_loss(1e-3 * tf.reduce_mean(x))
            return x @ self.kernel

    deep = dense_stack(160, 8, "sigmoid", inputs=8)
    model = keras.Sequential([keras.Input((64,)), K.Dense(8), AddsLoss(), *deep.layers])
    flow = gradient_flow.by_layer(model, *batch, loss=LOGITS)
    assert flow.unresolved.any()
    assert "could not be explained" in flow.summary()
    assert np.all(flow.activation_norms[:2] > 1e-6)


def test_limits_are_those_of_tensorflow():
    for name, limits in backward.FORMATS.items():
        if name in ("float16", "bfloat16"):
            continue
        smallest = tf.constant(2.0**limits.smallest, name)
        assert float(smallest * 1.0) > 0
        assert float(smallest / 2 * 1.0) == 0
        assert np.isfinite(float(tf.constant(2.0**limits.largest, name)))
    half = tf.constant(2.0**-24, "float16")
    assert float(half * tf.constant(1.0, "float16")) > 0
    assert float(half * tf.constant(0.25, "float16")) == 0


def test_scaling_the_loss_is_exact(batch):
    """The ground of the second pass: times 2^k changes no bit but the exponent."""
    model, (x, y) = dense_stack(10, 16, "tanh"), batch
    with tf.GradientTape(persistent=True) as tape:
        loss = LOGITS(y, model(tf.constant(x, "float32")))
    weights = model.trainable_weights
    plain = tape.gradient(loss, weights)
    scaled = tape.gradient(loss, weights, output_gradients=tf.constant(2.0**60))
    for a, b in zip(plain, scaled, strict=True):
        assert np.array_equal(np.ldexp(np.asarray(a), 60), np.asarray(b))
