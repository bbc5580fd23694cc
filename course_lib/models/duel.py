"""Two language models on one novel: the same characters, equal weights, equal steps, equal time.

A graph of a Transformer takes TensorFlow seconds to build, so `Trainer` builds one step and runs it
with many rates and seeds. `duel` is the experiment: each model at its best rate, judged as it
learns, and what a step costs.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from time import process_time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from course_lib.checks import function, instance, positive_int, positive_number
from course_lib.models.language import character_model
from course_lib.models.reading import bits
from course_lib.models.text import load_text, streams, windows
from course_lib.models.training import begin_anew
from course_lib.models.transformers import decoder_model

__all__ = [
    "Trainer",
    "batches",
    "duel",
    "judged_after",
    "language_models",
    "products_for_a_character",
    "replay",
    "seconds_in_turns",
    "seconds_of_a_step",
    "trainers_for",
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
        self.optimizer = _unused_optimizer(0.001)
        self.optimizer.build(self.model.trainable_variables)
        self._step = tf.function(self._update, reduce_retracing=True)

    def start(self, rate: float, seed: int) -> None:
        """Begin anew, with the weights that `seed` draws and an optimiser that knows nothing."""
        unused = _unused_optimizer(positive_number("rate", rate))
        begin_anew(self.model, self.optimizer, self.build(seed), unused)

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


def _unused_optimizer(rate: float) -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(rate, global_clipnorm=1.0)


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


def trainers_for(text: str, sizes: Mapping[str, Any]) -> dict[str, Trainer]:
    """Return the trainers of both language models, for the characters of a text.

    Parameters
    ----------
    text : str
        As `load_text` takes it.
    sizes : dict
        See `language_models`.
    """
    makers = language_models(load_text(text).size, sizes)
    return {name: Trainer(build) for name, build in makers.items()}


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
    codes, unread = load_text(text).split()
    trainers = trainers_for(text, sizes)

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
    x, y = batches(codes, length, batch, 1, 0)
    return {
        "tuned": tuned,
        "held_out": np.array(held_out),
        "losses": np.array(curves),
        "parameters": [trainer.model.count_params() for trainer in trainers.values()],
        "seconds": seconds_of_a_step(trainers, x[0], y[0]),
    }


def batches(codes: Any, length: int, batch: int, steps: int, seed: int) -> tuple[Any, Any]:
    """Return the windows of all steps, x and y of shape (steps, batch, length)."""
    steps, batch = positive_int("steps", steps), positive_int("batch", batch)
    x, y = windows(codes, length, steps * batch, np.random.default_rng(seed))
    return x.reshape(steps, batch, length), y.reshape(steps, batch, length)


def seconds_in_turns(
    ways: Mapping[str, Callable[[Any], Any]], inputs: Sequence[Any], turns: int = 20
) -> dict[str, Array]:
    """Return how long each way takes on each input: the median of some turns, in seconds.

    All of them come in turns, so that whatever else the machine does meets all alike, and it is
    the processor's time that counts. What is left depends on the machine: look at ratios.

    Parameters
    ----------
    ways : dict of str to function of an input
    inputs : sequence
    turns : int

    Returns
    -------
    dict of str to array, shape (inputs,)
    """
    seconds = np.empty((positive_int("turns", turns), len(ways), len(inputs)))
    for turn in range(turns):
        for i, way in enumerate(ways.values()):
            for j, x in enumerate(inputs):
                began = process_time()
                way(x)
                seconds[turn, i, j] = process_time() - began
    return dict(zip(ways, np.median(seconds, axis=0), strict=True))


def seconds_of_a_step(trainers: Mapping[str, Trainer], x: Any, y: Any, turns: int = 20) -> Array:
    """Return what a step on the windows x with the answers y costs each trainer, measured in turns.

    Parameters
    ----------
    trainers : dict of str to Trainer
        They learn meanwhile.
    x, y : int arrays, shape (batch, length)
    turns : int

    Returns
    -------
    array, shape (trainers,)
        Seconds of processor time.
    """
    for trainer in trainers.values():
        trainer.step(x, y)  # the first call builds the step
    ways = {name: lambda of, t=trainer: t.step(*of) for name, trainer in trainers.items()}
    return np.concatenate([*seconds_in_turns(ways, [(x, y)], turns).values()])


def products_for_a_character(trainers: Mapping[str, Trainer], length: int) -> dict[str, int]:
    """Return how many products of two numbers a model makes for each character, forwards.

    Each number of a matrix is used once. A Transformer of d units also uses each of the `length`
    weights of a character in each block 2 d times, in the scores and in the mixing. Not counted
    are products of vectors: gates, norms, the softmax.

    Parameters
    ----------
    trainers : dict of str to Trainer
        Of `language_models`.
    length : int
        Characters of a window.
    """
    length, products = positive_int("length", length), {}
    for name, trainer in trainers.items():
        layers = [of for of in trainer.model.layers if not isinstance(of, keras.layers.Embedding)]
        kernels = [w for of in layers for w in of.weights if w.name.endswith("kernel")]
        matrices = sum(int(np.prod(w.shape)) for w in kernels)
        looks = [of for of in layers if isinstance(of, keras.layers.MultiHeadAttention)]
        products[name] = matrices + sum(2 * length * of.num_heads * of.key_dim for of in looks)
    return products


def with_peak_memory(way: Callable[..., Any], *arguments: Any) -> tuple[Any, int]:
    """Return what ``way(*arguments)`` returns, and the most bytes that it held meanwhile."""
    function("way", way, "a function")
    tracemalloc.start()
    try:
        found = way(*arguments)
        return found, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def replay(
    record: Mapping[str, Any], config: Mapping[str, Any], trainer: Trainer, seed: int, steps: int
) -> Array:
    """Make the first steps of the recorded Transformer again; return its losses, in nats.

    Parameters
    ----------
    record, config : dicts
        What `duel` returned, and what it was called with.
    trainer : Trainer
        The Transformer's, of `trainers_for`.
    seed : int
        One of the config's `seeds`.
    steps : int
    """
    trainer.start(config["rates"][int(np.nanargmin(record["tuned"][1]))], seed)
    codes, _ = load_text(config["text"]).split()
    x, y = batches(codes, config["length"], config["batch"], config["steps"], seed)
    return np.array([trainer.step(x[at], y[at]) for at in range(positive_int("steps", steps))])
