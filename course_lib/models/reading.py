"""Language models side by side: what a character costs them, which window, and at what price.

`judged` is the measure, `race` the experiment: each cell at the best of a grid of rates, with the
same steps and the same number of characters, on each text with windows of several lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from time import perf_counter
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from course_lib.checks import as_array, function, generator, instance, positive_int
from course_lib.models.gradient_flow import by_time_step
from course_lib.models.language import train_character_model
from course_lib.models.text import load_text, streams, tempered, windows

__all__ = [
    "bits",
    "in_disorder",
    "judged",
    "last_guess",
    "naive_bayes",
    "nearest",
    "price_of_windows",
    "race",
    "train",
]

Array = NDArray[np.float64]
PIECE, WARM_UP = 300, 50  # characters of a piece to judge by, and those that are not counted
RARE = {"tang_poems": 5}  # characters that stand there less often are read as one


def bits(model: keras.Model, x: Any, y: Any) -> Array:
    """Return −log₂ p of each character that came, shape (batch, time).

    Parameters
    ----------
    model : keras.Model
        From codes (batch, time) to logits (batch, time, characters).
    x, y : int arrays, shape (batch, time)
        What is read, and what comes next.
    """
    instance("model", model, keras.Model, "a language model of Keras")
    p = tempered(np.asarray(model(x)), 1.0)
    return -np.log2(np.take_along_axis(p, np.asarray(y)[..., None], axis=-1))[..., 0]


def judged(model: keras.Model, codes: Any) -> float:
    """Return the bits per character of an unread text, in pieces of 300, 50 of them warming up."""
    x, y = streams(codes, PIECE, max(1, (len(codes) - 1) // PIECE))
    return float(bits(model, x[0], y[0])[:, WARM_UP:].mean())


def train(
    build: Callable[..., keras.Model],
    cell: str,
    name: str,
    units: int,
    length: int,
    rate: float,
    seed: int,
    *,
    steps: int,
    characters: int,
) -> tuple[keras.Model, NDArray[np.int64]]:
    """Train one language model; return it, and the part of the text that it has not read.

    Parameters
    ----------
    build : function
        ``build(cell, characters, units, seed)`` returns a language model.
    cell, name : str
        A cell that `build` knows; a text, as `load_text` takes it.
    units, length : int
        Of the cell, and of a window.
    rate : float
        Of Adam, with the global norm of a gradient clipped to 1.
    seed : int
        Of the first weights and of the windows.
    steps, characters : int
        Updates, and characters of each.
    """
    function("build", build, "a function of cell, characters, units and seed")
    length, characters = positive_int("length", length), positive_int("characters", characters)
    text = load_text(name, minimum=RARE.get(name, 1))
    codes, unread = text.split()
    model = build(cell, text.size, units, seed)
    train_character_model(
        model,
        codes,
        steps=steps,
        length=length,
        batch_size=max(1, characters // length),
        learning_rate=rate,
        seed=seed,
        label=f"{cell}, windows of {length}",
    )
    return model, unread


def last_guess(y: Any, logits: Any) -> Any:
    """Return the cross-entropy of the last guess of each window alone, in nats."""
    loss = keras.losses.sparse_categorical_crossentropy
    return loss(y[:, -1], logits[:, -1], from_logits=True)


def race(
    build: Callable[..., keras.Model],
    *,
    units: Mapping[str, Mapping[str, int]],
    rates: Sequence[float],
    rate_length: int,
    rate_seed: int,
    lengths: Sequence[int],
    seeds: Sequence[int],
    steps: Mapping[str, int],
    characters: int,
) -> dict[str, Any]:
    """Let cells read texts with windows of several lengths, each cell at its best rate.

    Parameters
    ----------
    build : function
        See `train`.
    units : dict of text to dict of cell to units
    rates, rate_length, rate_seed
        The rate of a cell on a text is the best of `rates`, with windows of `rate_length`.
    lengths, seeds : sequences of int
    steps : dict of text to steps
    characters : int
        Of each step.

    Returns
    -------
    dict
        ``tuned``, bits per character, shape (texts, cells, rates); ``held_out``, shape (texts,
        cells, lengths, seeds). Of the longest windows with the first seed on the first text:
        ``by_place``, bits by the place in a window, and ``arrived``, ‖∂L/∂h_t‖ of the last guess,
        each of shape (cells, length).
    """

    def one(name: str, cell: str, length: int, rate: float, seed: int) -> Any:
        size, count = units[name][cell], steps[name]
        return train(
            build, cell, name, size, length, rate, seed, steps=count, characters=characters
        )

    tuned, held_out, by_place, arrived = [], [], [], []
    for name, cells in units.items():
        for cell in cells:
            trials = [one(name, cell, rate_length, rate, rate_seed) for rate in rates]
            tuned.append([judged(*trial) for trial in trials])
            best = rates[int(np.argmin(tuned[-1]))]
            for length, seed in product(lengths, seeds):
                model, unread = one(name, cell, length, best, seed)
                held_out.append(judged(model, unread))
                if (name, length, seed) == (next(iter(units)), lengths[-1], seeds[0]):
                    x, y = windows(unread, length, 300, np.random.default_rng(1))
                    by_place.append(bits(model, x, y).mean(axis=0))
                    (flow,) = by_time_step(model, x[:64], y[:64], loss=last_guess).values()
                    arrived.append(flow.norms)
    shape = len(units), -1
    return {
        "tuned": np.reshape(tuned, (*shape, len(rates))),
        "held_out": np.reshape(held_out, (*shape, len(lengths), len(seeds))),
        "by_place": by_place,
        "arrived": arrived,
    }


def price_of_windows(
    step: Callable[[Any, Any], Any],
    codes: Any,
    lengths: Sequence[int],
    *,
    characters: int,
    repeats: int = 15,
) -> Array:
    """Return how long `step` takes on windows of each length, the first of them 1.

    All lengths come in turns, with the same number of characters; medians of `repeats`.

    Parameters
    ----------
    step : function of x and y, both of shape (batch, time)
    codes : int array
    lengths : sequence of int
    characters : int
        Of a step: batch · length.
    """
    function("step", step, "a function of x and y")
    rng = np.random.default_rng(1)
    seconds = np.empty((positive_int("repeats", repeats), len(lengths)))
    for turn, column in np.ndindex(seconds.shape):
        x, y = windows(codes, lengths[column], max(1, characters // lengths[column]), rng)
        began = perf_counter()
        step(x, y)
        seconds[turn, column] = perf_counter() - began
    medians = np.median(seconds, axis=0)
    return medians / medians[0]


def in_disorder(x: Any, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the words of each sentence in a random order; the padding, 0, stays behind them.

    Parameters
    ----------
    x : int array, shape (sentences, time)
    rng : numpy.random.Generator
    """
    as_array("x", x, ndim=2, takes="codes of words, of shape (sentences, time)")
    codes = np.asarray(x)
    key = np.where(codes > 0, generator("rng", rng).random(codes.shape), 2.0)
    return np.take_along_axis(codes, key.argsort(axis=1), axis=1)


def naive_bayes(bags: Any, labels: Any) -> Array:
    """Return ln p(word | class), shape (classes, words), one added to every count.

    ``bags @ naive_bayes(...).T`` is, up to a constant, the logarithm of each class's probability
    if words came independently of one another and classes were equally likely.

    Parameters
    ----------
    bags : array, shape (texts, words)
        How often each word stands in each text.
    labels : int array, shape (texts,)
    """
    counts, classes = as_array("bags", bags, ndim=2), np.asarray(labels)
    if classes.shape != (len(counts),):
        raise ValueError(f"`labels` has shape {classes.shape}; it takes ({len(counts)},).")
    of = np.stack([counts[classes == label].sum(axis=0) + 1.0 for label in np.unique(classes)])
    return np.log(of / of.sum(axis=1, keepdims=True))


def nearest(rows: Any) -> NDArray[np.int64]:
    """Return for each row the number of the most similar other row, by the cosine.

    Parameters
    ----------
    rows : array, shape (two or more, entries)
        None of them all zeros.
    """
    vectors = as_array("rows", rows, ndim=2)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (unit @ unit.T - 2 * np.eye(len(unit))).argmax(axis=1)
