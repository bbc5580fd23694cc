"""Two language models on one novel: the same characters, equal weights, equal steps, equal time.

A graph of a Transformer takes TensorFlow seconds to build, so `Trainer` builds one step and runs it
with many rates and seeds. `duel` is the experiment: each model at its best rate, judged as it
learns, and what a step costs.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter, process_time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from course_lib.checks import function, instance, positive_int, positive_number
from course_lib.models.language import character_model
from course_lib.models.reading import bits
from course_lib.models.text import load_text, streams, windows
from course_lib.models.transformers import decoder_model

__all__ = [
    "Trainer",
    "batches",
    "duel",
    "judged_after",
    "language_models",
    "replay",
    "seconds_in_turns",
    "with_peak_memory",
]

Array = NDArray[np.float64]
Build = Callable[[int], keras.Model]


class Trainer:
    """One step of training, built once: Adam, the global norm of the gradient clipped to 1.

    Parameters
    ----------
    build : function
        ``build(seed)`` returns a language model, always of the same shapes.
    """

    def __init__(self, build: Build) -> None:
        self.build = function("build", build, "a function of a seed that returns a model")
        self.model = instance("build(0)", build(0), keras.Model, "a Keras model")
        self.optimizer = keras.optimizers.Adam(0.001, global_clipnorm=1.0)
        self.optimizer.build(self.model.trainable_variables)
        self._fresh = [variable.numpy() for variable in self.optimizer.variables]
        self._step = tf.function(self._update, reduce_retracing=True)

    def start(self, rate: float, seed: int) -> None:
        """Begin anew, with the weights that `seed` draws and an optimiser that knows nothing."""
        self.model.set_weights(self.build(seed).get_weights())
        for variable, value in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        self.optimizer.learning_rate.assign(positive_number("rate", rate))

    def step(self, x: Any, y: Any) -> float:
        """Make one step; return the loss before it, in nats per character."""
        return float(self._step(tf.constant(x, tf.int32), tf.constant(y, tf.int32)))

    def _update(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits = self.model(x, training=True)
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
            )
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss


def language_models(characters: int, sizes: Mapping[str, Any]) -> dict[str, Build]:
    """Return how the two models are made: an LSTM as in chapter 13, and a decoder.

    Parameters
    ----------
    characters : int
    sizes : dict
        ``"LSTM"``: `units` and `embedding`; ``"Transformer"``: `units`, `heads`, `depth`, `hidden`.
    """
    return {
        "LSTM": lambda seed: character_model("lstm", characters, seed=seed, **sizes["LSTM"]),
        "Transformer": lambda seed: decoder_model(characters, seed=seed, **sizes["Transformer"]),
    }


def judged_after(model: keras.Model, codes: Any, length: int, uncounted: int) -> float:
    """Return the bits per character of an unread text, in pieces that each begin with nothing.

    Parameters
    ----------
    model : keras.Model
    codes : int array
    length, uncounted : int
        Characters of a piece, and those at its beginning that are not counted.
    """
    x, y = streams(codes, length, max(1, (len(codes) - 1) // length))
    return float(bits(model, x[0], y[0])[:, uncounted:].mean())


def duel(
    *,
    text: str,
    sizes: Mapping[str, Mapping[str, int]],
    length: int,
    batch: int,
    uncounted: int,
    rates: Sequence[float],
    rate_steps: int,
    rate_seed: int,
    seeds: Sequence[int],
    steps: int,
    every: int,
) -> dict[str, Any]:
    """Train both models on the same windows, each at its best rate.

    Parameters
    ----------
    text : str
        As `load_text` takes it; nine tenths are read, the rest judges.
    sizes : dict
        See `language_models`.
    length, batch : int
        Characters of a window, and windows of a step.
    uncounted : int
        See `judged_after`, in pieces as long as a window: a Transformer that was trained on 80
        positions knows no other.
    rates, rate_steps, rate_seed
        A model's rate is the best of `rates` after so many steps, with a seed of its own.
    seeds, steps, every
        What is reported: bits per character after every so many steps.

    Returns
    -------
    dict
        ``tuned``, shape (models, rates), and ``held_out``, (models, seeds, steps / every), in bits
        per character; ``losses``, (models, seeds, steps), in nats; ``parameters`` and ``seconds``
        of processor time for a step, measured in turns, (models,).
    """
    loaded = load_text(text)
    codes, unread = loaded.split()
    makers = language_models(loaded.size, sizes)
    trainers = {name: Trainer(build) for name, build in makers.items()}

    def train(trainer: Trainer, rate: float, seed: int, count: int) -> tuple[list[float], Array]:
        x, y = batches(codes, length, batch, count, seed)
        trainer.start(rate, seed)
        losses, judged = [], []
        for at in range(count):
            losses.append(trainer.step(x[at], y[at]))
            if (at + 1) % every == 0:
                judged.append(judged_after(trainer.model, unread, length, uncounted))
        return losses, np.array(judged)

    tuned, held_out, curves = [], [], []
    for trainer in trainers.values():
        tuned.append([train(trainer, rate, rate_seed, rate_steps)[1][-1] for rate in rates])
        best = rates[int(np.nanargmin(tuned[-1]))]
        runs = [train(trainer, best, seed, steps) for seed in seeds]
        curves.append([losses for losses, _ in runs])
        held_out.append([judged for _, judged in runs])
    return {
        "tuned": tuned,
        "held_out": np.array(held_out),
        "losses": np.array(curves),
        "parameters": [trainer.model.count_params() for trainer in trainers.values()],
        "seconds": step_costs(list(trainers.values()), *batches(codes, length, batch, 1, 0)),
    }


def batches(codes: Any, length: int, batch: int, steps: int, seed: int) -> tuple[Any, Any]:
    """Return the windows of all steps, x and y of shape (steps, batch, length)."""
    steps, batch = positive_int("steps", steps), positive_int("batch", batch)
    x, y = windows(codes, length, steps * batch, np.random.default_rng(seed))
    return x.reshape(steps, batch, length), y.reshape(steps, batch, length)


def step_costs(trainers: list[Trainer], x: Any, y: Any, turns: int = 20) -> Array:
    """Return the median processor time of a step of each trainer, measured in turns."""
    seconds = np.empty((turns, len(trainers)))
    for turn, which in np.ndindex(seconds.shape):
        began = process_time()
        trainers[which].step(x[0], y[0])
        seconds[turn, which] = process_time() - began
    return np.median(seconds, axis=0)


def seconds_in_turns(
    ways: Mapping[str, Callable[[Any], Any]], inputs: Sequence[Any], turns: int = 5
) -> dict[str, Array]:
    """Return how long each way takes on each input, the best of some turns, in seconds.

    All of them come in turns, so that whatever else the machine does meets all alike.

    Parameters
    ----------
    ways : dict of str to function of an input
    inputs : sequence
    turns : int
    """
    seconds = np.full((positive_int("turns", turns), len(ways), len(inputs)), np.inf)
    for turn in range(turns):
        for i, way in enumerate(ways.values()):
            for j, x in enumerate(inputs):
                began = perf_counter()
                way(x)
                seconds[turn, i, j] = perf_counter() - began
    return dict(zip(ways, seconds.min(axis=0), strict=True))


def with_peak_memory(way: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """Return what ``way(*arguments)`` returns, and the most bytes that it held meanwhile."""
    function("way", way, "a function")
    tracemalloc.start()
    try:
        found = way(*arguments)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def replay(record: Mapping[str, Any], config: Mapping[str, Any], seed: int, steps: int) -> Array:
    """Make the first steps of the recorded Transformer again; return its losses, in nats.

    Parameters
    ----------
    record, config : dicts
        What `duel` returned, and what it was called with.
    seed : int
        One of the config's `seeds`.
    steps : int
    """
    text = load_text(config["text"])
    trainer = Trainer(language_models(text.size, config["sizes"])["Transformer"])
    trainer.start(config["rates"][int(np.nanargmin(record["tuned"][1]))], seed)
    codes, _ = text.split()
    x, y = batches(codes, config["length"], config["batch"], config["steps"], seed)
    return np.array([trainer.step(x[at], y[at]) for at in range(positive_int("steps", steps))])
