"""The ten patients of the ward: eight networks with one fault each, two that are well.

A patient is a plan (see `treatments`) and a task, small enough to be trained in a second or two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import keras
import numpy as np

from course_lib import data
from course_lib.checks import Registry, positive_int
from course_lib.models import tasks
from course_lib.models.treatments import TREATMENTS, Plan, network

__all__ = ["WARD", "Patient", "Samples"]

TRAINING, FRESH = 2048, 512  # sequences that are drawn; the digits are 1437 and 360

Array = np.ndarray
Built = tuple[keras.Model, Array, Array]


# ------------------------------------------------------------------------------------- the tasks


@dataclass(frozen=True, eq=False)
class Samples:
    """What a network learns from, and what it is scored on: inputs and labels of both."""

    x: Array
    y: Array
    x_new: Array
    y_new: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one input."""
        return self.x.shape[1:]

    @property
    def classes(self) -> int:
        """How many labels there are."""
        return int(self.y.max()) + 1

    @property
    def trivial(self) -> float:
        """The score of the answer that is most frequent in training, given to every sample."""
        return float(np.mean(self.y_new == np.bincount(self.y).argmax()))

    def scaled(self) -> Samples:
        """Return them with every column at mean 0 and deviation 1, by the training figures."""
        axes = tuple(range(self.x.ndim - 1))
        mean, deviation = self.x.mean(axes), self.x.std(axes)
        deviation = np.where(deviation > 0, deviation, 1)
        x, x_new = ((part - mean) / deviation for part in (self.x, self.x_new))
        return Samples(x.astype("float32"), self.y, x_new.astype("float32"), self.y_new)


def _digits(rng: np.random.Generator) -> Samples:
    return Samples(*data.load_digits(standardize=True))


def _digits_with_their_time(rng: np.random.Generator) -> Samples:
    """Return the digits, and beside the pixels the milliseconds at which each was scanned."""
    x, y, x_new, y_new = data.load_digits(standardize=True)
    x, x_new = (
        np.hstack([part, rng.uniform(0, 60_000, (len(part), 1))]).astype("float32")
        for part in (x, x_new)
    )
    return Samples(x, y, x_new, y_new)


def _twice(draw: Callable[[int], tuple[Array, Array]]) -> Samples:
    (x, y), (x_new, y_new) = draw(TRAINING), draw(FRESH)
    return Samples(x, y, x_new, y_new)


def _recall(rng: np.random.Generator) -> Samples:
    """Return one of four symbols, and then 59 steps of a faint noise; the label is the first.

    Without any noise there would be four sequences in all, and none of them new.
    """

    def draw(count: int) -> tuple[Array, Array]:
        x, y = tasks.first_symbol_recall(count, 60, rng)
        x[:, 1:] = 0
        noise = rng.normal(scale=0.001, size=x.shape)
        return np.add(x, noise, dtype="float32", casting="unsafe"), y

    return _twice(draw)


def _noise(length: int) -> Callable[[np.random.Generator], Samples]:
    """Return sequences of noise in four columns; the label is the column whose mean is 1, not 0."""

    def samples(rng: np.random.Generator) -> Samples:
        def draw(count: int) -> tuple[Array, Array]:
            y = rng.integers(4, size=count)
            x = rng.normal(size=(count, length, 4)) + np.eye(4)[y][:, None, :]
            return x.astype("float32"), y

        return _twice(draw)

    return samples


def _messages(rng: np.random.Generator) -> Samples:
    """Return messages of 6 to 12 words, padded with 0.

    A word that stands there once or twice tells the label; how long a message is tells nothing.
    """
    longest = 12

    def draw(count: int) -> tuple[Array, Array]:
        y, rows = rng.integers(4, size=count), np.arange(count)
        x = rng.integers(8, 24, (count, longest))
        for _ in range(2):
            x[rows, rng.integers(0, longest // 2, count)] = 1 + y
        x[np.arange(longest) >= rng.integers(longest // 2, longest + 1, (count, 1))] = 0
        return x, y

    return _twice(draw)


# ----------------------------------------------------------------------------------- the patients


@dataclass(frozen=True)
class Patient:
    """A network in the ward.

    Attributes
    ----------
    name : str
        "patient A" … "patient J"; it tells nothing.
    story : str
        What its owner says.
    fault : str or None
        What is wrong, None for one that is well.
    finding : str or None
        The kind of the fault that `gradient_flow.diagnose` should name.
    remedies : tuple of str
        The treatments that cure it, the one that takes the fault itself away first.
    plan : Plan
    draw : function
        From a generator to the samples of its task.
    steps : int
        Steps of its training.
    """

    name: str
    story: str
    fault: str | None
    finding: str | None
    remedies: tuple[str, ...]
    plan: Plan = field(repr=False)
    draw: Callable[[np.random.Generator], Samples] = field(repr=False)
    steps: int = field(repr=False, default=200)

    @property
    def healthy(self) -> bool:
        """Whether nothing is wrong."""
        return self.fault is None

    @property
    def twin(self) -> Plan:
        """The plan of the same network without the fault."""
        plan = self.plan
        for name in self.remedies[:1]:
            changed = TREATMENTS[name].change(plan)
            assert isinstance(changed, Plan)
            plan = changed
        return plan

    def samples(self, seed: int = 1) -> Samples:
        """Return what it learns from and what it is scored on; the same for the same seed."""
        return _samples(self.name, positive_int("seed", seed, minimum=0))

    def build(self, seed: int = 1) -> Built:
        """Return the compiled model, and the inputs and labels of its training.

        The weights and the samples are the same for the same seed, and no generator but their own
        is moved.
        """
        samples = self.samples(seed)
        model = network(self.plan, samples.shape, samples.classes, seed)
        return model, samples.x.copy(), samples.y.copy()


_PATIENTS = [
    Patient(
        "patient A",
        "It reads digits, I gave it all I had about every picture, and it guesses.",
        "unscaled input",
        "scale of the input",
        ("scale the inputs",),
        Plan("Dense", layers=2, activation="tanh", start="glorot_normal", optimizer="SGD",
             learning_rate=0.02),
        _digits_with_their_time,
    ),
    Patient(
        "patient B",
        "It reads twenty steps, and next to nothing of its gradient arrives at the first: I worry.",
        None,
        None,
        (),
        Plan("GRU", units=24, start="glorot_normal", learning_rate=0.01),
        _noise(20),
    ),
    Patient(
        "patient C",
        "Six layers, drawn as the book says, and two hundred steps later the loss stands still.",
        "sigmoid depth",
        "vanishing in depth",
        ("ReLU instead of sigmoid", "skip connections", "Batch Norm that learns its statistics"),
        Plan("Dense", layers=6, activation="sigmoid", start="glorot_normal", optimizer="SGD",
             learning_rate=0.02),
        _digits,
    ),
    Patient(
        "patient D",
        "It sorts short messages into four folders, and whatever a message says, it guesses.",
        "wrong mask",
        "mask that hides data",
        ("mask only the padding",),
        Plan("GRU", units=24, start="glorot_normal", mask="data", learning_rate=0.01),
        _messages,
    ),
    Patient(
        "patient E",
        "Its loss jumps about, and in the end all digits are the same to it.",
        "learning rate",
        "learning rate too high",
        ("learning rate / 100",),
        Plan("Dense", layers=3, optimizer="SGD", learning_rate=2.0),
        _digits,
    ),
    Patient(
        "patient F",
        "A few steps went well, and then the loss was no number any more.",
        "exploding recurrence without clipping",
        "exploding in time",
        ("clip the global norm",),
        Plan("SimpleRNN", units=32, start="glorot_normal", recurrent_gain=1.8, optimizer="SGD",
             learning_rate=0.03),
        _noise(30),
    ),
    Patient(
        "patient G",
        "Its gradient is larger at the input than at the output, and a colleague shook his head.",
        None,
        None,
        (),
        Plan("Dense", layers=6, batch_norm="learning", optimizer="SGD", learning_rate=0.02),
        _digits,
    ),
    Patient(
        "patient H",
        "One like it served us well on other pictures; on these digits nothing moves.",
        "Batch Norm in the wrong mode",
        "Batch Norm in the wrong mode",
        ("Batch Norm that learns its statistics", "skip connections"),
        Plan("Dense", layers=3, batch_norm="foreign", optimizer="SGD", learning_rate=0.02),
        _digits,
    ),
    Patient(
        "patient I",
        "It should keep one symbol for sixty steps, and is no better than a guess.",
        "forget bias -3",
        "vanishing in time",
        ("forget bias +3",),
        Plan("LSTM", units=24, start="glorot_normal", forget_bias=-3.0, learning_rate=0.01),
        _recall,
    ),
    Patient(
        "patient J",
        "Its loss begins at 2.303, the logarithm of ten, and has stayed there ever since.",
        "bad initialisation",
        "vanishing in depth",
        ("He or Glorot initialisation", "skip connections",
         "Batch Norm that learns its statistics"),
        Plan("Dense", layers=6, start="normal", stddev=0.02, optimizer="SGD", learning_rate=0.02),
        _digits,
    ),
]  # fmt: skip
WARD = Registry("patient", {patient.name: patient for patient in _PATIENTS})


@lru_cache(maxsize=8)
def _samples(name: str, seed: int) -> Samples:
    patient = WARD[name]
    return patient.draw(np.random.default_rng([seed, list(WARD).index(name)]))
