"""What can be prescribed in the ward: the plan of a network, and what changes one thing in it.

A `Plan` is everything that a small classifier is built and trained by. A treatment is a plan with
one thing changed, so that a patient before and after it differ in nothing else: the same data, the
same seed, the same number of steps.

>>> from course_lib.models.treatments import TREATMENTS, Plan, network
>>> plan = Plan("Dense", layers=8, activation="sigmoid", start="glorot_normal")
>>> model = network(TREATMENTS["ReLU instead of sigmoid"].change(plan), (64,), 10, seed=1)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from course_lib.checks import Registry, instance, positive_int
from course_lib.models.networks import CourseInitializer

__all__ = ["TREATMENTS", "Plan", "Treatment", "network"]

GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}  # matrices side by side in a recurrent kernel
WORDS, WIDTH = 24, 16  # tokens that an embedding knows, 0 for the padding; its width
FOREIGN = (0.0, 1e4)  # mean and variance that an older network had met, in other units

keras_layers = keras.layers
Tensor = Any


@dataclass(frozen=True)
class Plan:
    """What a network of the ward is built and trained by.

    Attributes
    ----------
    cell : str
        "Dense", "SimpleRNN", "LSTM" or "GRU".
    layers, units : int
        Hidden layers, and units in each.
    activation : str
        Of the hidden layers; an LSTM and a GRU have their own.
    start : str
        "he_normal", "glorot_normal" or "normal" (with `stddev`): what kernels are drawn by.
    stddev : float
        For "normal".
    recurrent_gain : float
        The recurrent kernel is orthogonal, times this.
    forget_bias : float
        What the biases of an LSTM's forget gate start at.
    batch_norm : str
        "none", "learning" (as Keras has it) or "foreign": frozen (``trainable=False``), with the
        moving statistics of another network on other data.
    skip : bool
        Whether every hidden layer is added to what it reads, where the widths are the same.
    dropout : float
        After every hidden layer.
    mask : str
        "none" for inputs that are numbers. For tokens padded with 0: "padding" (0 is masked) or
        "data" (everything else is).
    scaled : bool
        Whether every column of the input is brought to mean 0 and standard deviation 1 first.
    optimizer : str
        "SGD", with momentum 0.9, or "Adam".
    learning_rate : float
    clip : float or None
        For the global norm of the gradient.
    """

    cell: str
    layers: int = 1
    units: int = 64
    activation: str = "relu"
    start: str = "he_normal"
    stddev: float = 0.05
    recurrent_gain: float = 1.0
    forget_bias: float = 1.0
    batch_norm: str = "none"
    skip: bool = False
    dropout: float = 0.0
    mask: str = "none"
    scaled: bool = False
    optimizer: str = "Adam"
    learning_rate: float = 1e-3
    clip: float | None = None

    @property
    def is_recurrent(self) -> bool:
        """Whether it reads sequences."""
        return self.cell != "Dense"

    @property
    def graph(self) -> Plan:
        """The plan without what only sets numbers: networks of equal graphs can share one."""
        same = Plan(self.cell)
        return replace(
            self,
            start=same.start,
            stddev=same.stddev,
            recurrent_gain=same.recurrent_gain,
            forget_bias=same.forget_bias,
            scaled=same.scaled,
            learning_rate=same.learning_rate,
        )


# ------------------------------------------------------------------------------------ the network


def network(plan: Plan, shape: tuple[int, ...], classes: int, seed: int) -> keras.Model:
    """Build and compile the network of a plan; the same weights for the same seed.

    Parameters
    ----------
    plan : Plan
    shape : tuple of int
        Of a sample: (features,), (time, features), or (time,) for tokens.
    classes : int
        The last layer puts out as many logits.
    seed : int
        Every layer draws from a generator of its own, made from it; no other generator is moved.

    Returns
    -------
    keras.Model
        Compiled with cross-entropy of whole-number labels.
    """
    instance("plan", plan, Plan, 'a plan, such as `Plan("Dense", layers=2)`')
    classes = positive_int("classes", classes, minimum=2)
    seed = positive_int("seed", seed, minimum=0)
    inputs = keras.Input(shape, dtype="float32" if plan.mask == "none" else "int32")
    build = _recurrent if plan.is_recurrent else _dense
    h = build(plan, inputs, seed)
    last = CourseInitializer("glorot_normal", seed, 0)
    model = keras.Model(inputs, keras_layers.Dense(classes, kernel_initializer=last)(h))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(_optimizer(plan), loss)
    return model


def _dense(plan: Plan, h: Tensor, seed: int) -> Tensor:
    for number in range(1, plan.layers + 1):
        start = _start(plan, seed, number)
        if plan.batch_norm == "none":
            z = keras_layers.Dense(plan.units, plan.activation, kernel_initializer=start)(h)
        else:
            z = keras_layers.Dense(plan.units, kernel_initializer=start)(h)
            z = keras_layers.Activation(plan.activation)(_batch_norm(plan)(z))
        if plan.dropout:
            z = keras_layers.Dropout(plan.dropout, seed=seed + number)(z)
        h = h + z if plan.skip and h.shape == z.shape else z
    return h


def _batch_norm(plan: Plan) -> keras.Layer:
    """Return one that learns its statistics, within a training as short as the ward's."""
    if plan.batch_norm == "learning":
        return keras_layers.BatchNormalization(momentum=0.9)
    mean, variance = (keras.initializers.Constant(value) for value in FOREIGN)
    return keras_layers.BatchNormalization(
        moving_mean_initializer=mean, moving_variance_initializer=variance, trainable=False
    )


def _recurrent(plan: Plan, inputs: Tensor, seed: int) -> Tensor:
    h, masked = inputs, {}
    if plan.mask != "none":
        uniform = keras.initializers.RandomUniform(-0.5, 0.5, seed=seed)
        h = keras_layers.Embedding(WORDS, WIDTH, embeddings_initializer=uniform)(inputs)
        compare = {"padding": keras.ops.not_equal, "data": keras.ops.equal}[plan.mask]
        masked = {"mask": compare(inputs, 0)}
    for number in range(1, plan.layers + 1):
        options: dict[str, Any] = {
            "kernel_initializer": _start(plan, seed, number),
            "recurrent_initializer": _orthogonal(plan, seed, number),
            "return_sequences": number < plan.layers,
            "seed": seed,
        }
        if plan.cell == "SimpleRNN":
            options["activation"] = plan.activation
        if plan.cell == "LSTM":
            options |= {"unit_forget_bias": False, "bias_initializer": _forget_bias(plan)}
        h = getattr(keras_layers, plan.cell)(plan.units, **options)(h, **masked)
        if plan.dropout:
            h = keras_layers.Dropout(plan.dropout, seed=seed + number)(h)
    return h


def _start(plan: Plan, seed: int, number: int) -> CourseInitializer:
    scale = {"stddev": plan.stddev} if plan.start == "normal" else {}
    return CourseInitializer(plan.start, seed, number, **scale)


def _orthogonal(plan: Plan, seed: int, number: int) -> Callable[..., Tensor]:
    """Return an initialiser that draws one orthogonal matrix for every gate."""
    gates = range(GATES[plan.cell])
    drawn = [
        CourseInitializer("orthogonal", seed, 100 * number + gate, gain=plan.recurrent_gain)
        for gate in gates
    ]

    def start(shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        square = (shape[0], shape[1] // len(drawn))
        return keras.ops.concatenate([draw(square, dtype) for draw in drawn], axis=1)

    return start


def _forget_bias(plan: Plan) -> keras.initializers.Initializer:
    """Return an initialiser of an LSTM's biases; Keras has input, forget, candidate, output."""
    bias = np.zeros((4, plan.units))
    bias[1] = plan.forget_bias
    return keras.initializers.Constant(bias.ravel())


def _optimizer(plan: Plan) -> keras.optimizers.Optimizer:
    options = {} if plan.clip is None else {"global_clipnorm": plan.clip}
    if plan.optimizer == "SGD":
        return keras.optimizers.SGD(plan.learning_rate, momentum=0.9, **options)
    return keras.optimizers.Adam(plan.learning_rate, **options)


# --------------------------------------------------------------------------------- the treatments


@dataclass(frozen=True)
class Treatment:
    """One thing that can be changed.

    Attributes
    ----------
    name : str
    words : str
        What it does, in a sentence.
    make : function
        From a plan to the changed plan, or to the reason, in a sentence, why there is nothing to
        change.
    """

    name: str
    words: str
    make: Callable[[Plan], Plan | str]

    def change(self, plan: Plan) -> Plan | str:
        """Return the treated plan, or the sentence that says why it does not apply."""
        changed = self.make(plan)
        return "It is so already." if changed == plan else changed


def _start_that_fits(plan: Plan) -> Plan:
    is_relu = plan.activation == "relu" and plan.cell in ("Dense", "SimpleRNN")
    return replace(plan, start="he_normal" if is_relu else "glorot_normal")


def _orthogonal_kernel(plan: Plan) -> Plan | str:
    return replace(plan, recurrent_gain=1.0) if plan.is_recurrent else "It has no recurrent layer."


def _forget(bias: float) -> Callable[[Plan], Plan | str]:
    def make(plan: Plan) -> Plan | str:
        has = plan.cell == "LSTM"
        return replace(plan, forget_bias=bias) if has else "It has no LSTM, so no forget gate."

    return make


def _scale(plan: Plan) -> Plan | str:
    return replace(plan, scaled=True) if plan.mask == "none" else "It reads words, not numbers."


def _relu(plan: Plan) -> Plan | str:
    if plan.cell in ("LSTM", "GRU"):
        return "Its sigmoids are gates, which have to lie between 0 and 1."
    if plan.activation != "sigmoid":
        return "None of its layers has a sigmoid."
    return replace(plan, activation="relu")


def _feed_forward(**change: Any) -> Callable[[Plan], Plan | str]:
    def make(plan: Plan) -> Plan | str:
        if plan.is_recurrent:
            return "Here it is prescribed for feed-forward networks only."
        return replace(plan, **change)

    return make


def _mask(plan: Plan) -> Plan | str:
    return replace(plan, mask="padding") if plan.mask != "none" else "Its inputs have no padding."


_ALL = [
    Treatment(
        "He or Glorot initialisation",
        "Draw the kernels anew: He's variance 2 / fan-in before a ReLU, else Glorot's.",
        _start_that_fits,
    ),
    Treatment(
        "orthogonal recurrent kernel",
        "Start the recurrent kernel as an orthogonal matrix, which keeps every length.",
        _orthogonal_kernel,
    ),
    Treatment(
        "forget bias +1",
        "Start an LSTM's forget gate at σ(1) = 0.73, as Keras does by itself.",
        _forget(1.0),
    ),
    Treatment(
        "forget bias +3",
        "Start an LSTM's forget gate at σ(3) = 0.95, which keeps half of the cell for 14 steps.",
        _forget(3.0),
    ),
    Treatment(
        "clip the global norm",
        "Shorten the gradient of all weights together to length 1 where it is longer.",
        lambda plan: replace(plan, clip=1.0),
    ),
    Treatment(
        "scale the inputs",
        "Bring every column to mean 0 and standard deviation 1, by the training set's figures.",
        _scale,
    ),
    Treatment(
        "learning rate / 100",
        "Take steps of a hundredth.",
        lambda plan: replace(plan, learning_rate=plan.learning_rate / 100),
    ),
    Treatment(
        "learning rate x 100",
        "Take steps a hundred times as large.",
        lambda plan: replace(plan, learning_rate=plan.learning_rate * 100),
    ),
    Treatment(
        "ReLU instead of sigmoid",
        "Give every hidden layer a ReLU where it has a sigmoid; the weights stay as they are.",
        _relu,
    ),
    Treatment(
        "skip connections",
        "Add to what every hidden layer puts out what it has read: h + F(h).",
        _feed_forward(skip=True),
    ),
    Treatment(
        "Batch Norm that learns its statistics",
        "Normalise before every activation, by the batch in training, by moving averages in use.",
        _feed_forward(batch_norm="learning"),
    ),
    Treatment(
        "mask only the padding",
        "Let the recurrent layer skip the steps that are padding, and no others.",
        _mask,
    ),
    Treatment(
        "more units",
        "Make every hidden layer twice as wide.",
        lambda plan: replace(plan, units=2 * plan.units),
    ),
    Treatment(
        "more layers",
        "Add a hidden layer of the same kind.",
        lambda plan: replace(plan, layers=plan.layers + 1),
    ),
    Treatment(
        "dropout",
        "Leave out three in ten units of every hidden layer, others at every step.",
        lambda plan: replace(plan, dropout=0.3),
    ),
]
TREATMENTS = Registry("treatment", {treatment.name: treatment for treatment in _ALL})
