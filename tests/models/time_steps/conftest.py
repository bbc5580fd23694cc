"""A zoo of small recurrent Keras models, and the gradient by each state, one tape a step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import course_lib.models  # noqa: F401 - the backend rule

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
BATCH, TIME, FEATURES = 5, 4, 4


class LeakyCell(K.Layer):
    """h_t = 0.7 h_{t−1} + 0.3 tanh(x W + h_{t−1} U): a cell of one's own."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.state_size = units

    def build(self, shape):
        self.W = self.add_weight(shape=(shape[-1], self.state_size))
        self.U = self.add_weight(shape=(self.state_size, self.state_size))
        super().build(shape)

    def call(self, x, states):
        (h,) = states
        h = 0.7 * h + 0.3 * keras.ops.tanh(x @ self.W + h @ self.U)
        return h, [h]


class ReadoutCell(LeakyCell):
    """A cell whose output is computed from its state, within the step."""

    def build(self, shape):
        super().build(shape)
        self.V = self.add_weight(shape=(self.state_size, self.state_size))

    def call(self, x, states):
        h, states = super().call(x, states)
        return h @ self.V, states


class PlainCell:
    """No layer at all: an object with a `call` and a `state_size`."""

    state_size = 3
    compute_dtype = "float32"
    built = True

    def __call__(self, x, states):
        return self.call(x, states)

    def call(self, x, states):
        h = keras.ops.tanh(x[:, :3] + 0.5 * keras.ops.roll(states[0], 1, axis=-1))
        return h, [h]


class Reader(keras.Model):
    """A subclassed model with recurrent layers in a list, and states handed on by hand."""

    def __init__(self):
        super().__init__()
        self.readers = [K.GRU(4, return_sequences=True, name="lower"), K.LSTM(3, name="upper")]
        self.norm = K.BatchNormalization()
        self.head = K.Dense(3)

    def call(self, x, training=None):
        for reader in self.readers:
            x = reader(x)
        return self.head(self.norm(x, training=training))


class Translator(keras.Model):
    """An encoder whose last states start the decoder."""

    def __init__(self):
        super().__init__()
        self.encoder = K.LSTM(4, return_state=True, name="encoder")
        self.decoder = K.LSTM(4, return_sequences=True, name="decoder")
        self.head = K.Dense(3)

    def call(self, x):
        _, h, c = self.encoder(x)
        return keras.ops.mean(self.head(self.decoder(x[:, :3], initial_state=[h, c])), axis=1)


def _sequences(rng):
    return rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32"), rng.integers(3, size=BATCH)


def _tokens(rng):
    """Token numbers, 0 at the end, of different lengths; one sample is empty but for a token."""
    x = rng.integers(1, 9, size=(BATCH, TIME))
    for sample, length in enumerate((TIME, 4, 2, 1, 3)):
        x[sample, length:] = 0
    return x, rng.integers(3, size=BATCH)


def _of(*layers):
    def make(rng):
        inputs = keras.Input((TIME, FEATURES))
        return keras.Sequential([inputs, *(layer() for layer in layers), K.Dense(3)]), *_sequences(
            rng
        )

    return make


def _masked(*layers):
    def make(rng):
        embedding = K.Embedding(9, FEATURES, mask_zero=True)
        made = [layer() for layer in layers]
        return keras.Sequential([keras.Input((TIME,)), embedding, *made, K.Dense(3)]), *_tokens(rng)

    return make


def stateful(rng):
    inputs = keras.Input(batch_shape=(BATCH, TIME, FEATURES))
    h = K.LSTM(4, stateful=True, return_sequences=True)(inputs)
    model = keras.Model(inputs, K.Dense(3)(K.GRU(3, stateful=True)(h)))
    x, y = _sequences(rng)
    model(x)  # so that the states are not 0
    return model, x, y


def nested(rng):
    encoder = keras.Sequential([K.LSTM(4, return_sequences=True), K.Dense(3)], name="encoder")
    inner = keras.Sequential([encoder, K.GRU(3, name="reader")], name="inner")
    inputs = keras.Input((TIME, FEATURES))
    return keras.Model(inputs, K.Dense(3)(inner(inputs))), *_sequences(rng)


def shared(rng):
    left, right = keras.Input((TIME, FEATURES)), keras.Input((TIME, FEATURES))
    reader = K.LSTM(4, name="reader")
    model = keras.Model([left, right], K.Dense(3)(K.Subtract()([reader(left), reader(right)])))
    x, y = _sequences(rng)
    return model, [x, x[::-1].copy()], y


def shared_in_a_row(rng):
    reader = K.GRU(4, return_sequences=True, name="reader")
    inputs = keras.Input((TIME, FEATURES))
    h = keras.ops.mean(reader(reader(inputs)), axis=1)
    return keras.Model(inputs, K.Dense(3)(h)), *_sequences(rng)


def states_returned(rng):
    inputs = keras.Input((TIME, FEATURES))
    sequence, h, c = K.LSTM(4, return_sequences=True, return_state=True)(inputs)
    joined = K.Concatenate()([K.GlobalMaxPooling1D()(sequence), h, c])
    return keras.Model(inputs, K.Dense(3)(joined)), *_sequences(rng)


def over_sentences(rng):
    inputs = keras.Input((3, 4, FEATURES))
    h = K.TimeDistributed(K.LSTM(3), name="words")(inputs)
    x = rng.normal(size=(BATCH, 3, 4, FEATURES)).astype("float32")
    return keras.Model(inputs, K.Dense(3)(K.GRU(3)(h))), x, rng.integers(3, size=BATCH)


def filmed(rng):
    inputs = keras.Input((4, 5, 5, 2))
    h = K.ConvLSTM2D(3, 3, strides=2, return_sequences=True)(inputs)
    h = K.Flatten()(K.ConvLSTM2D(2, 2, padding="same")(h))
    x = rng.normal(size=(BATCH, 4, 5, 5, 2)).astype("float32")
    return keras.Model(inputs, K.Dense(3)(h)), x, rng.integers(3, size=BATCH)


def middle_step(rng):
    inputs = keras.Input((TIME, FEATURES))
    h = K.GRU(4, return_sequences=True)(inputs)
    return keras.Model(inputs, K.Dense(3)(h[:, 2])), *_sequences(rng)


def masked_before(rng):
    x, y = _sequences(rng)
    x[0, :2], x[1, :1], x[2, 1:3] = 0, 0, 0  # at the start, and in the middle
    inputs = keras.Input((TIME, FEATURES))
    h = K.LSTM(4, return_sequences=True)(K.Masking()(inputs))
    return keras.Model(inputs, K.Dense(3)(K.SimpleRNN(3)(h))), x, y


def every_step(rng):
    inputs = keras.Input((TIME, FEATURES))
    h = K.SimpleRNN(4, return_sequences=True)(inputs)
    x, _ = _sequences(rng)
    return keras.Model(inputs, K.Dense(3)(h)), x, rng.integers(3, size=(BATCH, TIME))


def subclassed(rng):
    return Reader(), *_sequences(rng)


def translator(rng):
    return Translator(), *_sequences(rng)


ZOO = {
    "SimpleRNN": _of(lambda: K.SimpleRNN(4)),
    "LSTM": _of(lambda: K.LSTM(4)),
    "GRU": _of(lambda: K.GRU(4)),
    "GRU, reset before": _of(lambda: K.GRU(4, reset_after=False)),
    "ReLU and L2": _of(lambda: K.SimpleRNN(4, activation="relu", activity_regularizer="l2")),
    "stacked": _of(
        lambda: K.LSTM(4, return_sequences=True),
        lambda: K.SimpleRNN(3, return_sequences=True),
        lambda: K.GRU(3),
    ),
    "unrolled": _of(lambda: K.LSTM(4, unroll=True)),
    "backwards": _of(
        lambda: K.LSTM(4, go_backwards=True, return_sequences=True),
        lambda: K.GRU(3, go_backwards=True),
    ),
    "both directions": _of(lambda: K.Bidirectional(K.LSTM(4))),
    "both directions, stacked": _of(
        lambda: K.Bidirectional(K.GRU(3, return_sequences=True), merge_mode="sum"),
        lambda: K.Bidirectional(K.SimpleRNN(3)),
    ),
    "dropout": _of(
        lambda: K.LSTM(4, dropout=0.3, recurrent_dropout=0.3, seed=5, return_sequences=True),
        lambda: K.GRU(4, dropout=0.4, seed=6),
        lambda: K.Dropout(0.2, seed=7),
    ),
    "own cell": _of(lambda: K.RNN(LeakyCell(4))),
    "own cell with a readout": _of(lambda: K.RNN(ReadoutCell(4))),
    "no layer as a cell": _of(lambda: K.RNN(PlainCell())),
    "stacked cells": _of(
        lambda: K.RNN([K.LSTMCell(3), K.GRUCell(4), LeakyCell(3)], return_sequences=True),
        lambda: K.RNN(K.StackedRNNCells([K.SimpleRNNCell(3), K.SimpleRNNCell(4)])),
    ),
    "masked": _masked(lambda: K.LSTM(4)),
    "masked, stacked": _masked(lambda: K.GRU(4, return_sequences=True), lambda: K.SimpleRNN(3)),
    "masked, unrolled": _masked(lambda: K.SimpleRNN(4, unroll=True)),
    "masked, backwards": _masked(lambda: K.GRU(4, go_backwards=True)),
    "masked, both directions": _masked(
        lambda: K.Bidirectional(K.LSTM(3, return_sequences=True)), lambda: K.Bidirectional(K.GRU(3))
    ),
    "masked, stacked cells": _masked(lambda: K.RNN([K.LSTMCell(3), K.SimpleRNNCell(3)])),
    **{
        maker.__name__: maker
        for maker in (
            stateful,
            nested,
            shared,
            shared_in_a_row,
            states_returned,
            over_sentences,
            filmed,
            middle_step,
            masked_before,
            every_step,
            subclassed,
            translator,
        )
    },
}


def _get(name):
    keras.utils.set_random_seed(1)
    return ZOO[name](np.random.default_rng(1))


@pytest.fixture(params=ZOO)
def recurrent(request):
    """A recurrent model with x and y."""
    return _get(request.param)


@pytest.fixture
def recurrent_zoo():
    """One model of the zoo by name, with x and y."""
    return _get


@pytest.fixture
def one_tape_a_step():
    """∂𝓛/∂(state t) by one run and one tape for each t."""
    return _one_tape_a_step


def _variables(model):
    """All that a run may write to."""
    states = [
        state
        for layer in model._flatten_layers()
        for state in keras.tree.flatten(getattr(layer, "states", None))
        if state is not None
    ]
    return [*model.variables, *states]


def _one_tape_a_step(model, layer, x, y, *, use=1, cell=0, state=0, loss=LOGITS, training=False):
    """∂𝓛/∂(state t) for each t, one run and one tape for each: shape (batch, time, units).

    Independent of the course's way: the loop over time is written out in Python, and so are the
    mask and the stack of cells.
    """
    before = [(v, np.asarray(tf.identity(v.value))) for v in _variables(model)]
    x = keras.tree.map_structure(tf.convert_to_tensor, x)
    found, t, steps = [], 0, 1
    while t < steps:
        loop = _Loop(layer, use, cell, state, t)
        vars(layer)["call"] = loop.call
        try:
            with loop.tape:
                outputs = model(x, training=training)
                value = tf.reduce_mean(loss(y, outputs)) + sum(map(tf.reduce_sum, model.losses))
            found.append(loop.tape.gradient(value, loop.zero, unconnected_gradients="zero"))
        finally:
            del vars(layer)["call"]
            for variable, content in before:
                variable.assign(content)
        t, steps = t + 1, loop.steps
    return np.stack([np.asarray(one, "float64") for one in found], axis=1)


class _Loop:
    """A recurrent layer's call, with a zero at one step of one of its uses."""

    def __init__(self, layer, use, cell, state, t):
        self.layer, self.uses_left, self.cell, self.state, self.t = layer, use, cell, state, t
        self.tape = tf.GradientTape()

    def call(self, sequences, initial_state=None, mask=None, training=False):
        layer = self.layer
        self.uses_left -= 1
        steps = sequences.shape[1]
        if self.uses_left == 0:
            self.steps = steps
        states = initial_state
        if states is None:
            states = layer.states if layer.stateful else layer.get_initial_state(len(sequences))
        states = [tf.convert_to_tensor(s) for s in keras.tree.flatten(states)]
        order = range(steps)[::-1] if layer.go_backwards else range(steps)
        outputs, previous = [], None
        for t in order:
            output, new = self._step(sequences[:, t], states, training, t)
            if mask is not None:
                read = mask[:, t]
                old = tf.zeros_like(output)
                if previous is not None and not layer.zero_output_for_mask:
                    old = previous
                output = _where(read, output, old)
                new = [_where(read, a, b) for a, b in zip(new, states, strict=True)]
            states, previous = new, output
            outputs.append(output)
        for cell in self._cells():
            if hasattr(cell, "reset_dropout_mask"):
                cell.reset_dropout_mask()
                cell.reset_recurrent_dropout_mask()
        if layer.stateful:
            for variable, state in zip(keras.tree.flatten(layer.states), states, strict=True):
                variable.assign(state)
        output = tf.stack(outputs, axis=1) if layer.return_sequences else outputs[-1]
        return (output, *states) if layer.return_state else output

    def _cells(self):
        cell = self.layer.cell
        return cell.cells if isinstance(cell, K.StackedRNNCells) else [cell]

    def _step(self, x, states, training, t):
        new = []
        for i, cell in enumerate(self._cells()):
            several = len(self._cells()) > 1
            count = len(keras.tree.flatten(cell.state_size)) if several else len(states)
            own, states = states[:count], states[count:]
            takes = "training" in getattr(cell, "call_signature_parameters", ())
            x_new, out = cell(x, own, **({"training": training} if takes else {}))
            out = keras.tree.flatten(out)
            is_output = x_new is out[0]
            if self.uses_left == 0 and i == self.cell and t == self.t:
                self.zero = tf.zeros_like(out[self.state])
                self.tape.watch(self.zero)
                out[self.state] = out[self.state] + self.zero
            x = out[0] if is_output else x_new
            new += out
        return x, new


def _where(read, new, old):
    return tf.where(tf.reshape(read, [-1] + [1] * (len(new.shape) - 1)), new, old)
