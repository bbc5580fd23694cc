"""A zoo of small Keras models, and a gradient at one place by one tape, made another way."""

from contextlib import contextmanager

import keras
import numpy as np
import pytest
import tensorflow as tf

import course_lib.models  # noqa: F401 - the backend rule

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/models" in item.path.as_posix():
            item.add_marker(pytest.mark.tensorflow)


@pytest.fixture(autouse=True)
def _the_same_start_in_any_order():
    """A layer draws its seed when it is made: no test depends on those that ran before it."""
    keras.utils.set_random_seed(1)


class ListOfLayers(keras.Model):
    """Skip connections added by hand, layers in a list."""

    def __init__(self):
        super().__init__()
        self.first = K.Dense(6)
        self.hidden = [K.Dense(6, activation="tanh") for _ in range(3)]
        self.drop = K.Dropout(0.4, seed=3)
        self.last = K.Dense(3)

    def call(self, x, training=None):
        x = self.first(x)
        for layer in self.hidden:
            x = x + layer(self.drop(x, training=training))
        return self.last(x) / 2.0


class Block(K.Layer):
    """A Transformer block: a layer that holds layers."""

    def __init__(self, units):
        super().__init__()
        self.attention = K.MultiHeadAttention(2, units // 2)
        self.norms = [K.LayerNormalization(), K.LayerNormalization()]
        self.mlp = keras.Sequential([K.Dense(2 * units, activation="gelu"), K.Dense(units)])

    def call(self, x):
        z = self.norms[0](x)
        x = x + self.attention(z, z)
        return x + self.mlp(self.norms[1](x))


class Scale(K.Layer):
    """Own weights and a layer inside: what comes out is neither's alone."""

    def __init__(self):
        super().__init__()
        self.inner = K.Dense(5, activation="sigmoid")

    def build(self, shape):
        self.scale = self.add_weight(shape=(5,), initializer="ones")
        super().build(shape)

    def call(self, x):
        return self.inner(x) * self.scale


def _vectors(rng):
    return rng.normal(size=(7, 5)).astype("float32"), rng.integers(3, size=7)


def _sequences(rng):
    return rng.normal(size=(6, 3, 4)).astype("float32"), rng.integers(3, size=6)


def _images(rng):
    return rng.normal(size=(4, 8, 8, 2)).astype("float32"), rng.integers(3, size=4)


def sequential(rng):
    model = keras.Sequential([keras.Input((5,)), K.Dense(6, activation="tanh"), K.Dense(3)])
    return model, *_vectors(rng), LOGITS


def branches(rng):
    inputs = keras.Input((5,))
    left = K.Dense(4, activation="relu")(inputs)
    right = K.Dense(4, activation="sigmoid")(K.Dense(6)(inputs))
    joined = K.Concatenate()([K.Add()([left, right]), left])
    return keras.Model(inputs, K.Dense(3)(joined)), *_vectors(rng), LOGITS


def raw_operations(rng):
    inputs = keras.Input((5,))
    h = K.Dense(4)(inputs)
    h = h + keras.ops.tanh(K.Dense(4)(h)) * 0.5
    return keras.Model(inputs, keras.ops.relu(K.Dense(3)(h)) - 0.1), *_vectors(rng), LOGITS


def shared_layer(rng):
    inputs = keras.Input((5,))
    shared = K.Dense(5, activation="tanh")
    return keras.Model(inputs, K.Dense(3)(shared(shared(shared(inputs))))), *_vectors(rng), LOGITS


def list_of_layers(rng):
    return ListOfLayers(), *_vectors(rng), LOGITS


def several_inputs(rng):
    left, right = keras.Input((5,), name="left"), keras.Input((2,), name="right")
    h = K.Multiply()([K.Dense(4)(left), K.Dense(4, activation="tanh")(right)])
    x, y = _vectors(rng)
    both = {"left": x, "right": rng.normal(size=(7, 2)).astype("float32")}
    return keras.Model({"left": left, "right": right}, K.Dense(3)(h)), both, y, LOGITS


def several_outputs(rng):
    inputs = keras.Input((5,))
    h = K.Dense(4, activation="tanh")(inputs)
    early, late = K.Dense(2, name="early")(h), K.Dense(3, name="late")(K.Dense(4)(h))
    x, y = _vectors(rng)
    targets = [rng.normal(size=(7, 2)).astype("float32"), y]
    return keras.Model(inputs, [early, late]), x, targets, ["mse", LOGITS]


def named_outputs(rng):
    inputs = keras.Input((5,))
    h = K.Dense(4, activation="tanh")(inputs)
    outputs = {"a": K.Dense(2, name="a")(h), "b": K.Dense(3, name="b")(h)}
    x, y = _vectors(rng)
    return keras.Model(inputs, outputs), x, {"a": x[:, :2], "b": y}, {"a": "mse", "b": LOGITS}


def nested(rng):
    encoder = keras.Sequential([K.Dense(6, activation="relu"), K.Dense(4)], name="encoder")
    inputs = keras.Input((5,))
    head = keras.Model(h := keras.Input((4,)), K.Dense(3)(K.Activation("tanh")(h)), name="head")
    return keras.Model(inputs, head(encoder(inputs))), *_vectors(rng), LOGITS


def norm_and_dropout(rng):
    layers = []
    for unit in range(2):
        layers += [K.Dense(6), K.BatchNormalization(), K.ReLU(), K.Dropout(0.3, seed=unit)]
    noise = K.GaussianNoise(0.2, seed=9)
    model = keras.Sequential([keras.Input((5,)), *layers, noise, K.Dense(3)])
    return model, *_vectors(rng), LOGITS


def convolutions(rng):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            K.Conv2D(4, 3, padding="same"),
            K.BatchNormalization(),
            K.ReLU(),
            K.MaxPooling2D(),
            K.SpatialDropout2D(0.2, seed=4),
            K.Flatten(),
            K.Dense(3),
        ]
    )
    return model, *_images(rng), LOGITS


def stateful(rng):
    inputs = keras.Input(batch_shape=(6, 3, 4))
    h = K.LSTM(4, stateful=True, return_sequences=True)(inputs)
    return keras.Model(inputs, K.Dense(3)(K.GRU(3, stateful=True)(h))), *_sequences(rng), LOGITS


def both_directions(rng):
    inputs = keras.Input((3, 4))
    h = K.Bidirectional(K.LSTM(3, return_sequences=True))(inputs)
    h = K.TimeDistributed(K.Dense(4, activation="tanh"))(h)
    cells = [K.GRUCell(3), K.SimpleRNNCell(3)]
    return keras.Model(inputs, K.Dense(3)(K.RNN(cells)(h))), *_sequences(rng), LOGITS


def states_returned(rng):
    inputs = keras.Input((3, 4))
    sequence, h, _ = K.LSTM(3, return_sequences=True, return_state=True, name="reader")(inputs)
    joined = K.Concatenate()([K.GlobalAveragePooling1D()(sequence), h])
    return keras.Model(inputs, K.Dense(3)(joined)), *_sequences(rng), LOGITS


def masked_tokens(rng):
    model = keras.Sequential(
        [keras.Input((4,)), K.Embedding(9, 4, mask_zero=True), K.Dropout(0.2), K.GRU(3), K.Dense(3)]
    )
    return model, rng.integers(9, size=(5, 4)), rng.integers(3, size=5), LOGITS


def attention(rng):
    inputs = keras.Input((3, 4))
    h = Block(4)(inputs)
    return keras.Model(inputs, K.Dense(3)(K.GlobalMaxPooling1D()(h))), *_sequences(rng), LOGITS


def own_weights(rng):
    activations = [K.PReLU(), K.LeakyReLU(negative_slope=0.1)]
    hidden = [K.Dense(5, activation=activation) for activation in activations]
    model = keras.Sequential([keras.Input((5,)), Scale(), *hidden, K.Dense(3)])
    return model, *_vectors(rng), LOGITS


def spectral(rng):
    model = keras.Sequential(
        [keras.Input((5,)), K.SpectralNormalization(K.Dense(6, activation="tanh")), K.Dense(3)]
    )
    return model, *_vectors(rng), LOGITS


def regularized(rng):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            K.Dense(6, activity_regularizer="l2", kernel_regularizer="l2", activation="tanh"),
            K.ActivityRegularization(l1=0.1),
            K.Dense(3, kernel_regularizer="l1"),
        ]
    )
    return model, *_vectors(rng), LOGITS


def frozen(rng):
    model = keras.Sequential([keras.Input((5,)), *(K.Dense(4) for _ in range(2)), K.Dense(3)])
    model.layers[1].trainable = False
    return model, *_vectors(rng), LOGITS


def recomputed(rng):
    with keras.RematScope(mode="full"):
        layers = [K.Dense(6, activation="tanh"), K.Dense(6, activation="relu")]
    return keras.Sequential([keras.Input((5,)), *layers, K.Dense(3)]), *_vectors(rng), LOGITS


ZOO = {
    maker.__name__: maker
    for maker in (
        sequential,
        branches,
        raw_operations,
        shared_layer,
        list_of_layers,
        several_inputs,
        several_outputs,
        named_outputs,
        nested,
        norm_and_dropout,
        convolutions,
        stateful,
        both_directions,
        states_returned,
        masked_tokens,
        attention,
        own_weights,
        spectral,
        regularized,
        frozen,
        recomputed,
    )
}


@pytest.fixture(params=ZOO)
def animal(request):
    """A model with x, y and a loss."""
    keras.utils.set_random_seed(1)
    return ZOO[request.param](np.random.default_rng(1))


@pytest.fixture
def zoo():
    """One model of the zoo by name, with x, y and a loss."""

    def get(name):
        keras.utils.set_random_seed(1)
        return ZOO[name](np.random.default_rng(1))

    return get


@contextmanager
def _policy(name):
    before, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_dtype_policy(name)
    if name == "float64":
        keras.config.set_floatx(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
        keras.config.set_floatx(floatx)


@pytest.fixture
def policy():
    """Make models under another dtype policy, within a `with`."""
    return _policy


def every_layer(model):
    """All layers of a model by name, the ones inside layers too."""
    return {layer.name: layer for layer in model._flatten_layers()}


def _everything(model):
    states = [
        state
        for layer in model._flatten_layers()
        for state in keras.tree.flatten(getattr(layer, "states", None))
        if state is not None
    ]
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    return [*model.variables, *states, *metrics]


@pytest.fixture
def bits():
    """Everything about a model that a measurement might move, as comparable values."""

    def of(model):
        layers = every_layer(model).values()
        return (
            [np.asarray(tf.identity(v.value)).tobytes() for v in _everything(model)],
            [sorted(name for name in vars(layer) if name != "_losses") for layer in layers],
            [vars(layer).get("call") for layer in layers],
            [getattr(layer, "_remat_mode", None) for layer in layers],
            [len(layer._inbound_nodes) + len(layer._outbound_nodes) for layer in layers],
        )

    return of


@pytest.fixture
def one_tape():
    """∂𝓛/∂h at one use of one layer, by one tape: add a zero there, differentiate by the zero.

    Independent of the course's recording: it changes one layer and keeps nothing of the rest.
    """

    def at(model, layer, use, x, loss_of, training=False, by_weights=False):
        before = [(v, np.asarray(tf.identity(v.value))) for v in _everything(model)]
        original, uses, zeros = layer.call, [0], []
        tape = tf.GradientTape()

        def probed(*args, **kwargs):
            outputs = original(*args, **kwargs)
            uses[0] += 1
            if uses[0] != use:
                return outputs

            def add(tensor):
                zero = tf.zeros_like(tensor)
                tape.watch(zero)
                zeros.append(zero)
                return tensor + zero

            return keras.tree.map_structure(add, outputs)

        vars(layer)["call"] = probed
        remat, layer._remat_mode = layer._remat_mode, None  # or the zero would be out of sight
        try:
            with tape:
                outputs = model(x, training=training)
                loss = loss_of(outputs) + sum(map(tf.reduce_sum, model.losses))
            wanted = layer.trainable_weights if by_weights else zeros
            found = tape.gradient(loss, wanted, unconnected_gradients="zero")
        finally:
            del vars(layer)["call"]
            layer._remat_mode = remat
            for variable, value in before:
                variable.assign(value)
        return [np.asarray(tf.convert_to_tensor(g)).astype("float64") for g in found]

    return at
