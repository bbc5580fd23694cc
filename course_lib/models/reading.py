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
import tensorflow as tf
from numpy.typing import NDArray

from course_lib.checks import as_array, function, generator, instance, positive_int
from course_lib.models.gradient_flow import by_time_step
from course_lib.models.language import train_character_model
from course_lib.models.text import Text, load_text, streams, tempered, windows

__all__ = [
    "bag_of_few",
    "bits",
    "cut_race",
    "hand_over",
    "in_disorder",
    "in_pieces",
    "judged",
    "last_guess",
    "naive_bayes",
    "nearest",
    "page",
    "price_of_windows",
    "race",
    "run_ups",
    "train",
    "training_step",
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
    """Return the bits per character of an unread text, in pieces of 300, 50 of them warming up.

    A text that is shorter than a piece is one piece, and at most half of it warms up.
    """
    piece = max(1, min(PIECE, len(codes) - 1))
    x, y = streams(codes, piece, max(1, (len(codes) - 1) // piece))
    return float(bits(model, x[0], y[0])[:, min(WARM_UP, piece // 2) :].mean())


def page(text: Text, written: Any, expected: Any, *, most: int = 10) -> dict[str, Any]:
    """Return what `show.WritingPicture` shows of a text that a model has written.

    Parameters
    ----------
    text : Text
        Whose characters the model knows.
    written : int array, shape (length,)
    expected : array, shape (characters,)
        The probabilities of the first character of `written`.
    most : int
        How many of the likeliest characters are named.
    """
    p = as_array("expected", expected, ndim=1)
    likeliest = np.argsort(p)[::-1][: positive_int("most", most)]
    return {
        "characters": list(instance("text", text, Text, "a `Text`").decode(likeliest)),
        "probabilities": p[likeliest],
        "text": text.decode(written),
        "bits": float(-(p * np.log2(np.maximum(p, 1e-300))).sum()),
    }


def run_ups(model: keras.Model, codes: Any, lengths: Sequence[int], *, counted: int = 20) -> Array:
    """Return what the same characters cost after run-ups of several lengths, in bits.

    Parameters
    ----------
    model : keras.Model
        A language model.
    codes : int array, shape (n,)
        Of an unread text.
    lengths : sequence of int
        How many characters are read before those that are counted; 0 begins with nothing.
    counted : int
        How many are counted at the end of each piece of the text.
    """
    lengths = [positive_int("lengths", length, minimum=0) for length in lengths]
    longest, counted = max(lengths), positive_int("counted", counted)
    x, y = streams(codes, longest + counted, max(1, (len(codes) - 1) // (longest + counted)))
    return np.array(
        [bits(model, x[0, :, longest - n :], y[0, :, longest - n :])[:, n:].mean() for n in lengths]
    )


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


def in_pieces(model: keras.Model, length: int, every: int) -> keras.Model:
    """Return a model with the same weights whose gradient ends after every `every` steps.

    Windows of `length` are read in pieces, and each piece begins with the last state of the one
    before as a constant: forward nothing changes, back no gradient crosses from piece to piece.

    Parameters
    ----------
    model : keras.Model
        Three layers: embedding, a recurrent layer whose output is its whole state (SimpleRNN,
        GRU), read-out.
    length, every : int
        Of a window, and of a piece; the last piece may be shorter.
    """
    layers = instance("model", model, keras.Model, "a language model of Keras").layers
    length, every = positive_int("length", length), positive_int("every", every)
    if len(layers) != 3 or not isinstance(layers[1], keras.layers.SimpleRNN | keras.layers.GRU):
        names = ", ".join(type(layer).__name__ for layer in layers)
        raise ValueError(f"`model` has the layers {names}; it takes Embedding, SimpleRNN, Dense.")
    embedding, cell, read_out = layers
    x = keras.Input((length,), dtype="int32")
    read, states, last = embedding(x), [], None
    for begin in range(0, length, every):
        states.append(cell(read[:, begin : begin + every], initial_state=last))
        last = keras.ops.stop_gradient(states[-1][:, -1])
    h = states[0] if len(states) == 1 else keras.ops.concatenate(states, axis=1)
    return keras.Model(x, read_out(h))


def hand_over(model: keras.Model, first: Any, second: Any) -> tuple[Array, Array, Any]:
    """Return what a window does to the next one whose state goes on from it, and what comes back.

    Parameters
    ----------
    model : keras.Model
        Embedding, SimpleRNN, read-out.
    first, second : int arrays, shape (batch, time)
        Two windows, the second right behind the first.

    Returns
    -------
    moved : array, shape (time,)
        Root mean square by which the states of the second window move, step by step, if another
        character stands at the end of the first.
    linked : array, shape (batch, time, embedding)
        Gradient of the sum of the second window's states by what the first has read, with the
        state given as ``initial_state``.
    stateful : None or array
        The same with the state kept by a layer with ``stateful=True``; None where the tape finds
        no way.
    """
    embedding, cell, _ = instance("model", model, keras.Model, "a language model of Keras").layers
    kept = type(cell).from_config(cell.get_config() | {"stateful": True})
    read, behind = embedding(first), embedding(second)
    kept.build(read.shape)
    kept.set_weights(cell.get_weights())
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(read)
        last = kept(read)[:, -1]
        carried = kept(behind)
        states = cell(behind, initial_state=last)
    other = np.array(first)
    other[:, -1] = (other[:, -1] + 1) % embedding.input_dim
    difference = cell(behind, initial_state=cell(embedding(other))[:, -1]) - carried
    moved = np.sqrt(np.mean(np.square(difference), axis=(0, 2)))
    return moved, np.asarray(tape.gradient(states, read)), tape.gradient(carried, read)


def cut_race(
    build: Callable[..., keras.Model],
    *,
    name: str,
    cell: str,
    units: int,
    rate: float,
    variants: Sequence[tuple[int, int]],
    seeds: Sequence[int],
    steps: int,
    characters: int,
) -> dict[str, Any]:
    """Train one cell on windows whose gradient is cut within, to see whether its reach helps.

    Parameters
    ----------
    build : function
        See `train`.
    name, cell, units, rate, steps, characters
        See `train`.
    variants : sequence of (int, int)
        Length of a window, and of the pieces that the gradient stays in.
    seeds : sequence of int

    Returns
    -------
    dict
        ``held_out``, bits per character of the unread text, shape (variants, seeds).
    """

    def one(length: int, every: int, seed: int) -> float:
        whole: list[keras.Model] = []

        def cut(*what: Any) -> keras.Model:
            whole.append(build(*what))
            return in_pieces(whole[0], length, every)

        _, unread = train(
            cut, cell, name, units, length, rate, seed, steps=steps, characters=characters
        )
        return judged(whole[0], unread)

    found = [[one(*variant, seed) for seed in seeds] for variant in variants]
    return {"held_out": np.array(found)}


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


def training_step(model: keras.Model) -> Callable[[Any, Any], Any]:
    """Return Keras's own training step of a language model, for `price_of_windows`.

    It changes the weights.
    """
    instance("model", model, keras.Model, "a language model of Keras")
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model.train_on_batch


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


def bag_of_few(
    bags: Any, labels: Any, bags_test: Any, labels_test: Any, *, few: int, seeds: Sequence[int]
) -> float:
    """Return which share of the test texts `naive_bayes` names, counted in a few texts only.

    Parameters
    ----------
    bags, bags_test : arrays, shape (texts, words)
    labels, labels_test : int arrays, shape (texts,)
        0, 1, … for the classes.
    few : int
        How many texts are counted.
    seeds : sequence of int
        Each draws other ones; the mean is returned.
    """
    few, shares = positive_int("few", few, maximum=len(bags)), []
    for seed in seeds:
        rows = np.random.default_rng(seed).permutation(len(bags))[:few]
        log_p = naive_bayes(np.asarray(bags)[rows], np.asarray(labels)[rows])
        shares.append(np.mean((bags_test @ log_p.T).argmax(axis=1) == labels_test))
    return float(np.mean(shares))


def nearest(rows: Any) -> NDArray[np.int64]:
    """Return for each row the number of the most similar other row, by the cosine.

    Parameters
    ----------
    rows : array, shape (rows, entries)
        None of them all zeros.
    """
    if np.shape(rows)[:1] == (0,):  # a text without these characters
        return np.zeros(0, dtype=np.int64)
    vectors = as_array("rows", rows, ndim=2)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (unit @ unit.T - 2 * np.eye(len(unit))).argmax(axis=1)
