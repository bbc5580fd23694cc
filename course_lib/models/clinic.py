"""The clinic: small networks that are well, and networks that are ill in a known way.

`PATIENTS` is what `gradient_flow.diagnose` was calibrated on. Each patient is built by a function
of a seed, and comes compiled, with data of its own; `what` says in words what is wrong with it.
The bounds of the diagnosis were set on most of them, with seeds 1 and 2; the rest (`held_out`) were
built after the bounds had been fixed. Then all of them were diagnosed with seeds 3 and 4. "Right"
is that fault and no other; for a network that is well, no fault. The patients the bounds were set
on, with seeds that they were not set on:

what is wrong                  right  instead
well                        37 of 38  learning rate too high (1)
vanishing in depth            8 of 8
exploding in depth            4 of 4
vanishing in time             4 of 4
exploding in time             4 of 4
dead units                    4 of 4
saturated units               4 of 4
saturated gates               4 of 4
non-finite numbers            4 of 4
scale of the input            6 of 6
learning rate too high        4 of 4
learning rate too low         4 of 4
constant output               4 of 4

The patients held out:

what is wrong                  right  instead
well                        12 of 12
vanishing in depth            2 of 2
exploding in depth            2 of 2
vanishing in time             2 of 2
exploding in time             0 of 2  learning rate too high (1), well (1)
dead units                    2 of 2
saturated units               2 of 2
saturated gates               2 of 2
non-finite numbers            2 of 2
scale of the input            2 of 2
learning rate too high        2 of 2
learning rate too low         2 of 2
constant output               2 of 2

The LSTM that is well and was not called so is one whose loss leaps for a step or two in the trial.
The GRU that was missed is a warning to whoever builds patients: nothing is out of range at its
start, and with one seed of two it learns.

Two kinds came later, masks that hide data and Batch Norm in the wrong mode; who has these is in the
`ward`.

>>> from course_lib.models import clinic, gradient_flow
>>> model, x, y = clinic.PATIENTS["sigmoids, twenty deep"].build(seed=1)
>>> print(gradient_flow.diagnose(model, x, y))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from course_lib import data
from course_lib.checks import Registry, positive_int
from course_lib.models.diagnosis import diagnose
from course_lib.models.networks import dense_stack
from course_lib.models.training import recorded

__all__ = ["PATIENTS", "Patient", "as_text", "calibration", "confusion", "examine"]

WELL = "well"
CONFIG = {"seeds": [3, 4], "steps": 150}  # the bounds were set on seeds 1 and 2

Built = tuple[keras.Model, np.ndarray, np.ndarray]
layers = keras.layers
Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD
LOGITS = keras.losses.SparseCategoricalCrossentropy


@dataclass(frozen=True)
class Patient:
    """A network of which it is known what is wrong with it.

    Attributes
    ----------
    name : str
    what : str
        What is wrong, in a sentence; what might mislead, for one that is well.
    kind : str
        The kind of fault that a diagnosis should find, "" for a network that is well.
    held_out : bool
        Whether it was built after the bounds had been fixed, to test them.
    make : function
        From a seed to (model, x, y).
    """

    name: str
    what: str
    kind: str
    held_out: bool
    make: Callable[[int], Built]

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return not self.kind

    def build(self, seed: int = 1) -> Built:
        """Return the compiled model, its inputs and its targets; the same for the same seed."""
        seed = positive_int("seed", seed, minimum=0)
        keras.utils.set_random_seed(seed)
        return self.make(seed)


_PATIENTS: dict[str, Patient] = {}


def _well(name: str, what: str, *, held_out: bool = False) -> Callable[[Any], Any]:
    return _ill(name, "", what, held_out=held_out)


def _ill(name: str, kind: str, what: str, *, held_out: bool = False) -> Callable[[Any], Any]:
    def enter(make: Callable[[int], Built]) -> Callable[[int], Built]:
        _PATIENTS[name] = Patient(name, what, kind, held_out, make)
        return make

    return enter


# ------------------------------------------------------------------------------------- data


def _digits(samples: int = 512, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y, _, _ = data.load_digits(standardize=True, **options)
    return x[:samples], y[:samples]


def _pictures(samples: int = 256) -> tuple[np.ndarray, np.ndarray]:
    x, y = _digits(samples)
    return x.reshape(-1, 8, 8, 1), y


def _rows(seed: int, samples: int = 512, features: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return a table of numbers, and a target that a small network can learn from it."""
    rng = np.random.default_rng([seed, 1])
    x = rng.normal(size=(samples, features))
    y = np.tanh(x @ rng.normal(size=(features, 1))) + 0.1 * rng.normal(size=(samples, 1))
    return x.astype("float32"), y.astype("float32")


def _tokens(seed: int, length: int, words: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of word numbers; half of them hold, anywhere, a few words of a small set."""
    rng = np.random.default_rng([seed, 2])
    x = rng.integers(50, words, size=(256, length))
    y = rng.integers(2, size=256)
    places = rng.random((256, length)) < 0.1
    x[places & (y == 1)[:, None]] = rng.integers(1, 25)
    x[places & (y == 0)[:, None]] = rng.integers(25, 50)
    return x, y.astype("float32")


def _first_symbol(seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return one of four symbols at the first step, silence after it; the target is the symbol."""
    y = np.random.default_rng([seed, 3]).integers(4, size=256)
    x = np.zeros((256, length, 4), "float32")
    x[np.arange(256), 0, y] = 1.0
    return x, y


def _means(seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return noise around one of three means; which one shows at every step."""
    rng = np.random.default_rng([seed, 4])
    y = rng.integers(3, size=256)
    x = rng.normal(size=(256, length, 4)) + np.eye(4)[y][:, None, :]
    return x.astype("float32"), y


def _waves(seed: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sines of any phase and frequency; the target is the next value at every step."""
    rng = np.random.default_rng([seed, 5])
    frequency, phase = rng.uniform(0.1, 0.5, (256, 1)), rng.uniform(0, 2 * np.pi, (256, 1))
    wave = np.sin(frequency * np.arange(length + 1) + phase).astype("float32")
    return wave[:, :-1, None], wave[:, 1:, None]


def _classifier(*hidden: Any, shape: tuple[int, ...] = (64,), classes: int = 10) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *hidden, layers.Dense(classes)])


def _compiled(model: keras.Model, optimizer: Any, loss: Any = None) -> keras.Model:
    model.compile(optimizer, LOGITS(from_logits=True) if loss is None else loss)
    return model


# --------------------------------------------------------------------------- those that are well


@_well("digits, two ReLU layers", "The plainest network of the course.")
def _two_relu_layers(seed: int) -> Built:
    hidden = [layers.Dense(64, activation="relu", kernel_initializer="he_normal") for _ in range(2)]
    return _compiled(_classifier(*hidden), Adam(1e-3)), *_digits()


@_well("digits, tanh and momentum", "Gradient descent with momentum, no Adam.")
def _tanh_and_momentum(seed: int) -> Built:
    hidden = [layers.Dense(64, activation="tanh") for _ in range(2)]
    return _compiled(_classifier(*hidden), SGD(0.02, momentum=0.9)), *_digits()


@_well("twenty ReLU layers, He", "Deep and plain, with the start that fits.")
def _twenty_relu_layers(seed: int) -> Built:
    return _compiled(dense_stack(20, 64, "relu", "he_normal", seed=seed), Adam(1e-3)), *_digits()


@_well("convolutions", "Convolutions and pooling on pictures.")
def _convolution_network(seed: int) -> Built:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return _compiled(model, Adam(1e-3), "sparse_categorical_crossentropy"), *_pictures()


@_well("batch norm, twelve layers", "Its gradient grows layer by layer, and it trains.")
def _batch_norm_stack(seed: int) -> Built:
    hidden = []
    for _ in range(12):
        hidden += [layers.Dense(64, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    return _compiled(_classifier(*hidden), Adam(1e-3)), *_digits()


@_well("LSTM, two hundred steps", "Of what leaves the last step, 1e-15 arrives at the first.")
def _long_lstm(seed: int) -> Built:
    model = keras.Sequential(
        [
            keras.Input((200,)),
            layers.Embedding(2000, 32),
            layers.LSTM(64),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    return _compiled(model, "adam", "binary_crossentropy"), *_tokens(seed, 200)


@_well("GRU on noise", "What it looks for shows at every step.")
def _gru_on_noise(seed: int) -> Built:
    model = _classifier(layers.GRU(32), shape=(30, 4), classes=3)
    return _compiled(model, Adam(3e-3)), *_means(seed, 30)


@_well("the next value of a sine", "A loss at every step.")
def _next_value(seed: int) -> Built:
    model = keras.Sequential(
        [keras.Input((50, 1)), layers.SimpleRNN(32, return_sequences=True), layers.Dense(1)]
    )
    return _compiled(model, Adam(3e-3), "mse"), *_waves(seed, 50)


@_well("regression", "A table of numbers, squared error.")
def _regression(seed: int) -> Built:
    x, y = _rows(seed)
    hidden = layers.Dense(32, activation="relu")
    return _compiled(_classifier(hidden, shape=(8,), classes=1), SGD(0.05), "mse"), x, y


@_well("an LSTM that keeps", "Its forget gates stand at 0.993, which is what they are for.")
def _lstm_that_keeps(seed: int) -> Built:
    bias = np.concatenate([np.zeros(32), np.full(32, 5.0), np.zeros(64)])
    lstm = layers.LSTM(
        32, unit_forget_bias=False, bias_initializer=keras.initializers.Constant(bias)
    )
    model = _classifier(lstm, shape=(100, 4), classes=4)
    return _compiled(model, Adam(1e-2)), *_first_symbol(seed, 100)


@_well("digits, already trained", "It has little left to learn, and many quiet units.")
def _already_trained(seed: int) -> Built:
    model, x, y = _two_relu_layers(seed)
    model.fit(x, y, batch_size=32, epochs=15, verbose=0, shuffle=False)
    return model, x, y


@_well("one-hot labels and dropout", "Dropout, softmax, labels as rows of 0 and 1.")
def _one_hot(seed: int) -> Built:
    x, y = _digits()
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(64, activation="elu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    return _compiled(model, "rmsprop", "categorical_crossentropy"), x, np.eye(10)[y]


@_well("residual blocks", "Sixty layers, batch norm in the branches.")
def _residual_blocks(seed: int) -> Built:
    inputs = keras.Input((64,))
    h = layers.Dense(32)(inputs)
    for _ in range(20):
        branch = layers.ReLU()(layers.BatchNormalization()(layers.Dense(32)(h)))
        h = h + layers.Dense(32, kernel_initializer="zeros")(branch)
    model = keras.Model(inputs, layers.Dense(10)(h))
    return _compiled(model, SGD(0.05, momentum=0.9)), *_digits()


@_well("both directions, masked", "Rows of different lengths, padded with 0.")
def _both_directions(seed: int) -> Built:
    x, y = _tokens(seed, 40)
    x[np.arange(40) >= np.random.default_rng(seed).integers(10, 41, (256, 1))] = 0
    model = keras.Sequential(
        [
            keras.Input((40,)),
            layers.Embedding(2000, 16, mask_zero=True),
            layers.Bidirectional(layers.LSTM(16, return_sequences=True)),
            layers.GRU(16),
            layers.Dense(1),
        ]
    )
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    return _compiled(model, Adam(5e-3), loss), x, y


@_well("a Transformer block", "Attention, layer norm, gelu.")
def _transformer_block(seed: int) -> Built:
    inputs = keras.Input((20, 4))
    h = layers.Dense(32)(inputs)
    z = layers.LayerNormalization()(h)
    h = h + layers.MultiHeadAttention(2, 16)(z, z)
    z = layers.LayerNormalization()(h)
    h = h + layers.Dense(32)(layers.Dense(64, activation="gelu")(z))
    model = keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(h)))
    return _compiled(model, keras.optimizers.AdamW(1e-3)), *_means(seed, 20)


@_well("a picture of itself", "An autoencoder: pixels from 0 to 1, sigmoid output.")
def _autoencoder(seed: int) -> Built:
    x, _, _, _ = data.load_digits()
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(32, activation="selu", kernel_initializer="lecun_normal"),
            layers.Dense(12, activation="tanh"),
            layers.Dense(32, activation="relu"),
            layers.Dense(64, activation="sigmoid"),
        ]
    )
    return _compiled(model, Adam(3e-3), "mse"), x[:512], x[:512]


class Branches(keras.Model):
    """A model written as a class, with its layers in a list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = layers.Dense(32)
        self.hidden = [layers.Dense(32, activation="tanh") for _ in range(4)]
        self.last = layers.Dense(1)

    def call(self, x: Any) -> Any:
        """Return one number a sample."""
        h = self.first(x)
        for layer in self.hidden:
            h = h + layer(h) / 2
        return self.last(h)


@_well("a class of its own", "Subclassed, with an absolute error.")
def _class_of_its_own(seed: int) -> Built:
    return _compiled(Branches(), Adam(1e-3), "mae"), *_rows(seed)


@_well("identity and ReLU", "A plain RNN that starts as the identity.")
def _identity_rnn(seed: int) -> Built:
    rnn = layers.SimpleRNN(
        32,
        activation="relu",
        recurrent_initializer=keras.initializers.Identity(),
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.1),
    )
    model = _classifier(rnn, shape=(60, 4), classes=4)
    return _compiled(model, Adam(3e-3)), *_first_symbol(seed, 60)


@_well("pixels that it scales itself", "Pixels from 0 to 255, and a layer that divides.")
def _rescaled_pixels(seed: int) -> Built:
    x, y, _, _ = data.load_digits()
    hidden = [layers.Rescaling(1 / 127.5, offset=-1), layers.Dense(64, activation="relu")]
    return _compiled(_classifier(*hidden), SGD(0.05, momentum=0.9)), 255 * x[:512], y[:512]


# ---------------------------------------------------------------------------- those that are ill


@_ill("sigmoids, twenty deep", "vanishing in depth", "Each layer passes a sixth of its gradient.")
def _deep_sigmoids(seed: int) -> Built:
    return _compiled(dense_stack(20, 64, "sigmoid", seed=seed), SGD(0.1, momentum=0.9)), *_digits()


@_ill("small weights, deep", "vanishing in depth", "Its first weights are far too small.")
def _small_weights(seed: int) -> Built:
    model = dense_stack(15, 64, "tanh", "normal", stddev=0.02, seed=seed)
    return _compiled(model, Adam(1e-3)), *_digits()


@_ill("large weights, deep", "exploding in depth", "Its first weights are twice too large.")
def _large_weights(seed: int) -> Built:
    model = dense_stack(20, 64, "relu", "normal", stddev=0.5, seed=seed)
    return _compiled(model, SGD(0.01)), *_digits()


@_ill("an RNN that forgets", "vanishing in time", "Its recurrent weights shrink what they hold.")
def _rnn_that_forgets(seed: int) -> Built:
    rnn = layers.SimpleRNN(
        32, recurrent_initializer=keras.initializers.Orthogonal(gain=0.5), use_bias=False
    )
    model = _classifier(rnn, shape=(100, 4), classes=4)
    return _compiled(model, Adam(1e-2)), *_first_symbol(seed, 100)


@_ill("an RNN that runs away", "exploding in time", "ReLU, and recurrent weights that grow.")
def _rnn_that_runs_away(seed: int) -> Built:
    rnn = layers.SimpleRNN(
        32, activation="relu", recurrent_initializer=keras.initializers.RandomNormal(stddev=0.5)
    )
    model = _classifier(rnn, shape=(60, 4), classes=3)
    return _compiled(model, SGD(0.01)), *_means(seed, 60)


@_ill("dead from the start", "dead units", "The second layer's biases hold all of it at 0.")
def _dead_from_the_start(seed: int) -> Built:
    hidden = [
        layers.Dense(64, activation="relu"),
        layers.Dense(64, activation="relu", bias_initializer=keras.initializers.Constant(-8.0)),
    ]
    return _compiled(_classifier(*hidden), SGD(0.05, momentum=0.9)), *_digits()


@_ill("tanh, far out", "saturated units", "Large weights hold every unit at -1 or 1.")
def _far_out(seed: int) -> Built:
    large = keras.initializers.RandomNormal(stddev=5.0)
    hidden = [layers.Dense(64, activation="tanh", kernel_initializer=large) for _ in range(3)]
    return _compiled(_classifier(*hidden), SGD(0.02, momentum=0.9)), *_digits()


@_ill("closed gates", "saturated gates", "The input gates are shut.")
def _closed_gates(seed: int) -> Built:
    bias = np.concatenate([np.full(32, -10.0), np.ones(32), np.zeros(64)])
    lstm = layers.LSTM(
        32, unit_forget_bias=False, bias_initializer=keras.initializers.Constant(bias)
    )
    model = _classifier(lstm, shape=(30, 4), classes=3)
    return _compiled(model, SGD(0.05, momentum=0.9)), *_means(seed, 30)


@_ill("a weight that is no number", "non-finite numbers", "One weight of the first layer is NaN.")
def _nan_weight(seed: int) -> Built:
    model, x, y = _two_relu_layers(seed)
    kernel, bias = model.layers[0].get_weights()
    kernel[3, 5] = np.nan
    model.layers[0].set_weights([kernel, bias])
    return model, x, y


@_ill("raw numbers", "scale of the input", "One column in the ten thousands, the others near 1.")
def _raw_numbers(seed: int) -> Built:
    x, y = _rows(seed)
    x[:, 0] = 30_000 + 8_000 * x[:, 0]
    hidden = layers.Dense(32, activation="tanh")
    return _compiled(_classifier(hidden, shape=(8,), classes=1), Adam(1e-3), "mse"), x, y


@_ill("raw pixels", "scale of the input", "Pixels from 0 to 255, as they come.")
def _raw_pixels(seed: int) -> Built:
    x, y, _, _ = data.load_digits()
    hidden = [layers.Dense(64, activation="tanh") for _ in range(2)]
    return _compiled(_classifier(*hidden), SGD(0.1)), 255 * x[:512], y[:512]


@_ill("too fast", "learning rate too high", "A rate a thousand times too high for Adam.")
def _too_fast(seed: int) -> Built:
    model, x, y = _two_relu_layers(seed)
    return _compiled(model, Adam(1.0)), x, y


@_ill("too slow", "learning rate too low", "A rate of 1e-8.")
def _too_slow(seed: int) -> Built:
    model, x, y = _two_relu_layers(seed)
    return _compiled(model, Adam(1e-8)), x, y


@_ill("a softmax over one", "constant output", "A softmax over a single unit is always 1.")
def _softmax_over_one(seed: int) -> Built:
    x, y = _rows(seed)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(1, activation="softmax"),
        ]
    )
    return _compiled(model, Adam(1e-3), "binary_crossentropy"), x, (y > 0).astype("float32")


@_ill("thin and deep", "vanishing in depth", "Thirty sigmoid layers of 32, Adam.")
def _thin_and_deep(seed: int) -> Built:
    model = dense_stack(30, 32, "sigmoid", "he_normal", seed=seed)
    return _compiled(model, Adam(1e-3)), *_digits()


@_ill("lecun ReLU, forty deep", "vanishing in depth", "ReLU halves what LeCun's start keeps.")
def _lecun_relu(seed: int) -> Built:
    model = dense_stack(40, 64, "relu", "lecun_normal", seed=seed)
    return _compiled(model, SGD(0.01, momentum=0.9)), *_digits()


@_ill("branches that add up", "exploding in depth", "Sixty residual blocks without a norm.")
def _branches_that_add_up(seed: int) -> Built:
    inputs = keras.Input((64,))
    h = inputs
    for _ in range(30):
        h = h + layers.Dense(64, activation="relu", kernel_initializer="he_normal")(h)
    model = keras.Model(inputs, layers.Dense(10)(h))
    return _compiled(model, SGD(0.01, momentum=0.9)), *_digits()


@_ill("an LSTM that forgets", "vanishing in time", "Forget gates near 0.")
def _lstm_that_forgets(seed: int) -> Built:
    bias = np.concatenate([np.zeros(32), np.full(32, -2.0), np.zeros(64)])
    lstm = layers.LSTM(
        32, unit_forget_bias=False, bias_initializer=keras.initializers.Constant(bias)
    )
    model = _classifier(lstm, shape=(100, 4), classes=4)
    return _compiled(model, Adam(1e-3)), *_first_symbol(seed, 100)


@_ill("a sum that grows", "exploding in time", "Linear units that gain at every step.")
def _sum_that_grows(seed: int) -> Built:
    rnn = layers.SimpleRNN(
        24, activation="linear", recurrent_initializer=keras.initializers.Orthogonal(gain=1.3)
    )
    x, y = _waves(seed, 80)
    model = keras.Sequential([keras.Input((80, 1)), rnn, layers.Dense(1)])
    return _compiled(model, SGD(0.01), "mse"), x, y[:, -1]


@_ill("below 0 for every picture", "dead units", "Inputs above 0, weights below.")
def _below_zero(seed: int) -> Built:
    x, y, _, _ = data.load_digits()
    hidden = [
        layers.Dense(
            64,
            activation="relu",
            kernel_initializer=keras.initializers.RandomUniform(-0.2, 0.01),
        ),
        layers.Dense(32, activation="tanh"),
    ]
    return _compiled(_classifier(*hidden), Adam(1e-3)), x[:512], y[:512]


@_ill("sigmoids that decide too early", "saturated units", "Biases of ±12.")
def _decided_too_early(seed: int) -> Built:
    rng = np.random.default_rng([seed, 6])
    hidden = [
        layers.Dense(
            48,
            activation="sigmoid",
            bias_initializer=keras.initializers.Constant(rng.choice([-12.0, 12.0], 48)),
        )
        for _ in range(2)
    ]
    return _compiled(_classifier(*hidden), Adam(1e-3)), *_digits()


@_ill("a GRU that never writes", "saturated gates", "The update gates keep the old.")
def _gru_never_writes(seed: int) -> Built:
    def bias(shape: Any, dtype: Any = None) -> Any:
        values = np.zeros(shape, "float32")
        values[0, :32] = 10.0
        return keras.ops.convert_to_tensor(values)

    model = _classifier(layers.GRU(32, bias_initializer=bias), shape=(40, 4), classes=3)
    return _compiled(model, Adam(1e-3)), *_means(seed, 40)


@_ill("the logarithm of 0", "non-finite numbers", "A layer takes a logarithm of a ReLU.")
def _logarithm_of_zero(seed: int) -> Built:
    inputs = keras.Input((64,))
    h = layers.Dense(32, activation="relu")(inputs)
    h = layers.Lambda(keras.ops.log, name="logarithm")(h)
    model = keras.Model(inputs, layers.Dense(10)(h))
    return _compiled(model, Adam(1e-3)), *_digits()


@_ill("years", "scale of the input", "Years near 2000, seen by a sigmoid.")
def _years(seed: int) -> Built:
    x, y = _rows(seed)
    x = (2000 + 10 * x).astype("float32")
    hidden = layers.Dense(16, activation="sigmoid")
    return _compiled(_classifier(hidden, shape=(8,), classes=1), SGD(0.05), "mse"), x, y


@_ill("a leap every step", "learning rate too high", "Momentum and a rate of 5.")
def _leap_every_step(seed: int) -> Built:
    x, y = _pictures()
    model, _, _ = _convolution_network(seed)
    optimizer = SGD(5.0, momentum=0.9)
    return _compiled(model, optimizer, "sparse_categorical_crossentropy"), x, y


@_ill("hardly a step", "learning rate too low", "Gradient descent at 1e-6.")
def _hardly_a_step(seed: int) -> Built:
    model, x, y = _gru_on_noise(seed)
    return _compiled(model, SGD(1e-6)), x, y


@_ill("a ReLU at the end", "constant output", "Targets below 0, and a ReLU as the output.")
def _relu_at_the_end(seed: int) -> Built:
    x, y = _rows(seed)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, activation="tanh"),
            layers.Dense(1, activation="relu", bias_initializer=keras.initializers.Constant(-4.0)),
        ]
    )
    return _compiled(model, Adam(1e-3), "mse"), x, y - 3


# ---------------------------------------------------- held out: the bounds were fixed without them


@_well("SELU and RMSProp", "Eight self-normalising layers.", held_out=True)
def _selu(seed: int) -> Built:
    options = {"activation": "selu", "kernel_initializer": "lecun_normal"}
    hidden = [layers.Dense(48, **options) for _ in range(8)]
    return _compiled(_classifier(*hidden), "rmsprop"), *_digits()


@_well("a residual picture network", "Convolutions, batch norm, skip connections.", held_out=True)
def _residual_pictures(seed: int) -> Built:
    inputs = keras.Input((8, 8, 1))
    h = layers.Conv2D(12, 3, padding="same")(inputs)
    for _ in range(4):
        z = layers.ReLU()(layers.BatchNormalization()(h))
        h = h + layers.Conv2D(12, 3, padding="same")(z)
    h = layers.GlobalAveragePooling2D()(h)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(h))
    return _compiled(model, Adam(3e-3), "sparse_categorical_crossentropy"), *_pictures()


@_well("two LSTMs, one on the other", "The first hands on every step.", held_out=True)
def _two_lstms(seed: int) -> Built:
    hidden = [layers.LSTM(24, return_sequences=True), layers.LSTM(24)]
    return _compiled(_classifier(*hidden, shape=(30, 4), classes=3), Adam(5e-3)), *_means(seed, 30)


@_well("an orthogonal memory", "A tanh RNN that keeps a symbol for thirty steps.", held_out=True)
def _orthogonal_memory(seed: int) -> Built:
    model = _classifier(layers.SimpleRNN(32), shape=(30, 4), classes=4)
    return _compiled(model, Adam(1e-3)), *_first_symbol(seed, 30)


@_well("clipped and scheduled", "A rate that decays, gradients that are clipped.", held_out=True)
def _clipped(seed: int) -> Built:
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 500)
    optimizer = SGD(schedule, momentum=0.9, global_clipnorm=1.0)
    hidden = [layers.Dense(48, activation="gelu") for _ in range(3)]
    return _compiled(_classifier(*hidden), optimizer), *_digits()


@_well("two classes, few of one", "One sample in ten is of the second class.", held_out=True)
def _few_of_one(seed: int) -> Built:
    x, y = _rows(seed)
    y = (y > np.quantile(y, 0.9)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(32, activation="relu"),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    return _compiled(model, Adam(1e-2), "binary_crossentropy"), x, y


@_ill("tanh, too tame", "vanishing in depth", "Weights of half the right size.", held_out=True)
def _too_tame(seed: int) -> Built:
    model = dense_stack(24, 48, "tanh", "orthogonal", gain=0.5, seed=seed)
    return _compiled(model, SGD(0.05, momentum=0.9)), *_digits()


@_ill("ELU, too wild", "exploding in depth", "Weights of twice the right size.", held_out=True)
def _too_wild(seed: int) -> Built:
    model = dense_stack(24, 48, "elu", "orthogonal", gain=2.5, seed=seed)
    return _compiled(model, SGD(0.01)), *_digits()


@_ill("a sigmoid RNN", "vanishing in time", "Its slope is a quarter at most.", held_out=True)
def _sigmoid_rnn(seed: int) -> Built:
    model = _classifier(layers.SimpleRNN(32, activation="sigmoid"), shape=(60, 4), classes=4)
    return _compiled(model, Adam(3e-3)), *_first_symbol(seed, 60)


@_ill(
    "a GRU that shouts",
    "exploding in time",
    "A linear candidate: it runs away later, if at all.",
    held_out=True,
)
def _gru_that_shouts(seed: int) -> Built:
    gru = layers.GRU(
        24,
        activation="linear",
        recurrent_initializer=keras.initializers.Orthogonal(gain=3.0),
        reset_after=False,
    )
    model = _classifier(gru, shape=(60, 4), classes=3)
    return _compiled(model, SGD(0.01)), *_means(seed, 60)


@_ill("dead filters", "dead units", "Convolutions whose biases are -3.", held_out=True)
def _dead_filters(seed: int) -> Built:
    x, y = _pictures()
    low = keras.initializers.Constant(-6.0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu", bias_initializer=low),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )
    return _compiled(model, Adam(1e-3)), x, y


@_ill("sigmoids at the edge", "saturated units", "First weights a hundred wide.", held_out=True)
def _at_the_edge(seed: int) -> Built:
    wide = keras.initializers.RandomUniform(-100, 100)
    hidden = [
        layers.Dense(32, activation="sigmoid", kernel_initializer=wide),
        layers.Dense(32, activation="tanh"),
    ]
    return _compiled(_classifier(*hidden), Adam(1e-3)), *_digits()


@_ill("an output gate that is shut", "saturated gates", "Nothing leaves the cell.", held_out=True)
def _shut_output(seed: int) -> Built:
    bias = np.concatenate([np.zeros(24), np.ones(24), np.zeros(24), np.full(24, -12.0)])
    lstm = layers.LSTM(
        24, unit_forget_bias=False, bias_initializer=keras.initializers.Constant(bias)
    )
    model = _classifier(lstm, shape=(20, 4), classes=3)
    return _compiled(model, Adam(1e-3)), *_means(seed, 20)


@_ill(
    "a square root below 0", "non-finite numbers", "A root of what may be negative.", held_out=True
)
def _root_below_zero(seed: int) -> Built:
    inputs = keras.Input((8,))
    h = layers.Dense(16, activation="tanh")(inputs)
    h = layers.Lambda(keras.ops.sqrt, name="root")(h)
    x, y = _rows(seed)
    return _compiled(keras.Model(inputs, layers.Dense(1)(h)), Adam(1e-3), "mse"), x, y


@_ill(
    "a column in cents", "scale of the input", "One column is 1e5 times the others.", held_out=True
)
def _in_cents(seed: int) -> Built:
    x, y = _rows(seed)
    x[:, 3] *= 1e5
    hidden = [layers.Dense(32, activation="sigmoid"), layers.Dense(16, activation="tanh")]
    return _compiled(_classifier(*hidden, shape=(8,), classes=1), Adam(1e-3), "mse"), x, y


@_ill("far too fast", "learning rate too high", "RMSProp at 3.", held_out=True)
def _far_too_fast(seed: int) -> Built:
    hidden = [layers.Dense(48, activation="relu") for _ in range(3)]
    return _compiled(_classifier(*hidden), keras.optimizers.RMSprop(3.0)), *_digits()


@_ill("far too slow", "learning rate too low", "Momentum at 1e-7.", held_out=True)
def _far_too_slow(seed: int) -> Built:
    x, y = _rows(seed)
    hidden = layers.Dense(32, activation="gelu")
    model = _classifier(hidden, shape=(8,), classes=1)
    return _compiled(model, SGD(1e-7, momentum=0.9), "mse"), x, y


@_ill("hard zeros", "constant output", "The output layer starts at 0 and is frozen.", held_out=True)
def _hard_zeros(seed: int) -> Built:
    x, y = _digits()
    model = _classifier(layers.Dense(32, activation="relu"))
    model.layers[-1].set_weights([np.zeros((32, 10)), np.zeros(10)])
    model.layers[-1].trainable = False
    return _compiled(model, Adam(1e-3)), x, y


PATIENTS = Registry("patient", _PATIENTS)


# --------------------------------------------------------------------------------- the record


def examine(seeds: list[int], steps: int) -> dict[str, Any]:
    """Diagnose every patient with every seed; what `calibration` records.

    Returns
    -------
    dict
        By patient: the kinds of the faults that were found, one list a seed; and ``"seconds"``,
        the median over everything of what one diagnosis took.
    """
    found: dict[str, Any] = {}
    seconds = []
    for name, patient in PATIENTS.items():
        found[name] = []
        for seed in seeds:
            diagnosis = diagnose(*patient.build(seed), steps=steps, seconds=600.0)
            found[name].append([finding.kind for finding in diagnosis.faults])
            seconds.append(diagnosis.seconds)
            keras.backend.clear_session()
    return {"found": found, "seconds": float(np.median(seconds))}


def calibration() -> dict[str, Any]:
    """Return the recorded result of `examine`: what was found in every patient.

    It is recorded in ``data/results/17-diagnosis.json``, with seeds that the bounds of the
    diagnosis were not set on. ``python -m course_lib.models.clinic`` runs it again, in some ten
    minutes of a quiet computer.
    """
    return recorded("17-diagnosis", examine, CONFIG)


def confusion(found: Mapping[str, Any], *, held_out: bool | None = None) -> list[dict[str, Any]]:
    """Return the confusion matrix, kind by kind, one row for each kind that patients have.

    Parameters
    ----------
    found : dict
        As `examine` returns under ``"found"``.
    held_out : bool, optional
        Only patients that the bounds were set without (True) or with (False).

    Returns
    -------
    list of dict
        ``"kind"`` ("well" for patients that are), ``"diagnoses"`` (patients times seeds),
        ``"right"`` (that fault and no other), and ``"instead"``: the other answers and how often.
    """
    rows: dict[str, dict[str, Any]] = {}
    for name, answers in found.items():
        patient = PATIENTS[name]
        if held_out is not None and patient.held_out is not held_out:
            continue
        kind = patient.kind or WELL
        row = rows.setdefault(kind, {"kind": kind, "diagnoses": 0, "right": 0, "instead": {}})
        for answer in answers:
            said = " and ".join(answer) or WELL
            row["diagnoses"] += 1
            row["right"] += said == kind
            if said != kind:
                row["instead"][said] = row["instead"].get(said, 0) + 1
    return list(rows.values())


def as_text(rows: list[dict[str, Any]]) -> str:
    """Return a confusion matrix as a table in plain text."""
    lines = [f"{'what is wrong':24}{'right':>12}  instead"]
    for row in rows:
        instead = ", ".join(f"{kind} ({n})" for kind, n in row["instead"].items())
        right = f"{row['right']} of {row['diagnoses']}"
        lines.append(f"{row['kind']:24}{right:>12}  {instead}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    recorded("17-diagnosis", examine, CONFIG, recompute=True)
    for part in (False, True):
        print(
            "held out" if part else "set on",
            as_text(confusion(calibration()["found"], held_out=part)),
            sep="\n",
        )
