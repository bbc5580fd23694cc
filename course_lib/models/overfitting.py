"""A network that learns few sentences by heart, and what is said to help against it.

A sentence is from one of two novels; a small LSTM reads it and names the book. Sentences come in
three parts: those to train on, those by which a setting is chosen (validation), and those by which
the chosen one is judged (test). They are from different chapters of the books, so that no scene is
in two parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray

from course_lib import data
from course_lib.checks import (
    as_array,
    instance,
    number,
    one_of,
    positive_int,
    positive_number,
    shown,
)
from course_lib.models.words import bag_of_words, encode_words, word_vocabulary

__all__ = [
    "SETTINGS",
    "FreshMaskCell",
    "Parts",
    "Reader",
    "Sample",
    "bag_of_words_runs",
    "batches",
    "classifier",
    "complete",
    "few_of",
    "logistic_regression",
    "present",
    "runs",
    "score",
    "stopped_early",
    "stretch_of",
    "three_parts",
    "zeros_of",
]

Array = NDArray[np.float64]
VALIDATION, TEST = 1, 0  # a chapter's number, divided by five, leaves this
EMBEDDING = 16  # features of a word
PARTS = ("train", "validation", "test")

SETTINGS: Mapping[str, float] = {
    "units": 16,  # of the LSTM
    "sentences": 200,  # to train on
    "rate": 0.01,  # of Adam
    "l1": 0.0,  # λ Σ|w| over all matrices is added to the loss
    "l2": 0.0,  # λ Σ w², likewise
    "recurrent_l2": 0.0,  # λ Σ w² over W_h alone
    "decay": 0.0,  # AdamW: w loses the share rate · decay at each step
    "dropout_input": 0.0,  # share of the features of a word that is dropped, one mask a sentence
    "dropout_between": 0.0,  # of the last state, before the read-out
    "dropout_recurrent": 0.0,  # of the state that a gate sees, one mask a sentence
    "dropout_each_step": 0.0,  # likewise, another mask at each step
}


class Sample(NamedTuple):
    """Sentences as codes of words, int64 of shape (sentences, time), and the book of each."""

    x: NDArray[np.int64]
    y: NDArray[np.int64]


class Parts(NamedTuple):
    """The three parts of the sentences; `words` is the size of the vocabulary."""

    train: Sample
    validation: Sample
    test: Sample
    words: int


def three_parts(words: int = 1000, length: int = 20) -> Parts:
    """Return the sentences of `data/texts/sentences.csv`, split by chapters into three parts.

    Chapters 1, 6, 11, … are for validation, 5, 10, 15, … for the test, all others to train on. The
    vocabulary is that of the sentences to train on, which takes no labels.

    Parameters
    ----------
    words : int, 3 or more
        Size of the vocabulary, with padding (0) and unknown words (1).
    length : int
        Words of a sentence that are read; the rest is cut off.

    Returns
    -------
    Parts
    """
    rows = data.load_table("texts/sentences.csv")
    books = sorted({row["book"] for row in rows})
    of_part: dict[str, list[dict[str, str]]] = {name: [] for name in PARTS}
    for row in rows:
        left = int(row["chapter"]) % 5
        name = "validation" if left == VALIDATION else "test" if left == TEST else "train"
        of_part[name].append(row)
    vocabulary = word_vocabulary([row["sentence"] for row in of_part["train"]], words)
    train, validation, test = (
        Sample(
            encode_words([row["sentence"] for row in of], vocabulary, length),
            np.array([books.index(row["book"]) for row in of], dtype=np.int64),
        )
        for of in of_part.values()
    )
    return Parts(train, validation, test, len(vocabulary))


def few_of(sample: Sample, sentences: int, seed: int) -> Sample:
    """Return the first `sentences` of `sample` in a random order: more hold all of fewer.

    Parameters
    ----------
    sample : Sample
    sentences : int
    seed : int
        Of the order.
    """
    sentences = positive_int("sentences", sentences, maximum=len(sample.x))
    order = np.random.default_rng(positive_int("seed", seed, minimum=0)).permutation(len(sample.x))
    return Sample(*(of[order[:sentences]] for of in sample))


class FreshMaskCell(keras.layers.LSTMCell):
    """An LSTM whose recurrent dropout takes another mask at each step, unlike Keras's own."""

    def get_recurrent_dropout_mask(self, step_input: Any) -> Any:
        """Return one new mask for each of the four gates."""
        return self._create_dropout_mask(step_input, self.recurrent_dropout)


def classifier(words: int, seed: int, **settings: float) -> keras.Model:
    """Return a small LSTM from codes of words, (batch, time), to one logit, (batch, 1).

    Parameters
    ----------
    words : int
        Size of the vocabulary; 0 is padding and is passed over.
    seed : int
        Of the weights and of the dropout masks.
    **settings
        Those of `SETTINGS` that differ.

    Notes
    -----
    ``dropout_recurrent`` is Gal and Ghahramani's (2016), as in Keras: one mask a sentence, another
    one for each gate. Their dropout of whole words is another one than ``dropout_input``.
    """
    words, of = positive_int("words", words, minimum=2), complete(settings)
    keras.utils.set_random_seed(positive_int("seed", seed, minimum=0))
    l1, l2 = of["l1"], of["l2"]

    def penalty(more: float = 0.0) -> Any:
        return keras.regularizers.L1L2(l1, l2 + more) if l1 + l2 + more else None

    one_mask, each_step = of["dropout_recurrent"], of["dropout_each_step"]
    cell = (FreshMaskCell if each_step else keras.layers.LSTMCell)(
        int(of["units"]),
        dropout=of["dropout_input"],
        recurrent_dropout=each_step or one_mask,
        kernel_regularizer=penalty(),
        recurrent_regularizer=penalty(of["recurrent_l2"]),
    )
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(
                words, EMBEDDING, mask_zero=True, embeddings_regularizer=penalty()
            ),
            keras.layers.RNN(cell),
            keras.layers.Dropout(of["dropout_between"]),
            keras.layers.Dense(1, kernel_regularizer=penalty()),
        ]
    )


def complete(settings: Mapping[str, float]) -> dict[str, float]:
    """Return all settings, those that are not given as in `SETTINGS`.

    Raises
    ------
    TypeError, ValueError
        For an unknown setting, and for a value that it does not take.
    """
    for name, value in settings.items():
        if one_of("setting", name, tuple(SETTINGS)) in ("units", "sentences"):
            positive_int(name, value)
        elif name == "rate":
            positive_number(name, value)
        elif name.startswith("dropout") and number(name, value, minimum=0) >= 1:
            raise ValueError(f"`{name}` is {shown(value)}; it takes a share from 0 to below 1.")
        else:
            number(name, value, minimum=0)
    of = {**SETTINGS, **settings}
    if of["dropout_recurrent"] and of["dropout_each_step"]:
        raise ValueError(
            "`dropout_recurrent` and `dropout_each_step` are both above 0; one of them is taken."
        )
    return of


def score(logits: Any, y: Any) -> tuple[float, float]:
    """Return the cross-entropy in bits, and which share is right, of one logit a sentence.

    Parameters
    ----------
    logits : array, shape (sentences,)
    y : int array, shape (sentences,)
        0 or 1.
    """
    z, y = as_array("logits", logits, ndim=1), np.asarray(y)
    if y.shape != z.shape:
        raise ValueError(f"`y` has shape {y.shape}; it takes that of `logits`, {z.shape}.")
    sign = 2 * y - 1
    return float(np.logaddexp(0, -sign * z).mean() / np.log(2)), float(np.mean(sign * z > 0))


class Reader:
    """A classifier with its optimiser, compiled once, that can begin again with another seed.

    Parameters
    ----------
    words : int
        Size of the vocabulary.
    **settings
        Those of `SETTINGS` that differ. With `decay` the optimiser is AdamW, else Adam.
    """

    def __init__(self, words: int, **settings: float) -> None:
        self._words, self._settings, self.of = words, settings, complete(settings)
        self.model = classifier(words, 0, **settings)
        rate, decay = self.of["rate"], self.of["decay"]
        self._optimizer = (
            keras.optimizers.AdamW(rate, weight_decay=decay)
            if decay
            else keras.optimizers.Adam(rate)
        )
        self._optimizer.build(self.model.trainable_variables)
        self._fresh = [variable.numpy() for variable in self._optimizer.variables]
        self.model.compile(self._optimizer, keras.losses.BinaryCrossentropy(from_logits=True))

    def learn(
        self, parts: Parts, seed: int, *, steps: int, every: int, batch: int = 32
    ) -> tuple[keras.Model, Array]:
        """Train on a few sentences and measure at every `every`-th step.

        Parameters
        ----------
        parts : Parts
        seed : int
            Of the weights, of the masks, of the choice of sentences and of their order.
        steps, every, batch : int
            Updates, updates from one measurement to the next, sentences of an update.

        Returns
        -------
        model : keras.Model
        curves : array, shape (times, 3, 2)
            Of the sentences trained on, of validation and test: bits, and the share that is right.
        """
        steps, every = positive_int("steps", steps), positive_int("every", every)
        instance("parts", parts, Parts, "what `three_parts` returns")
        train = few_of(parts.train, int(self.of["sentences"]), seed)
        newborn = classifier(self._words, seed, **self._settings)
        for ours, new in zip(self.model.variables, newborn.variables, strict=True):
            ours.assign(new)
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        samples, curves = (train, parts.validation, parts.test), []
        for step, rows in enumerate(batches(len(train.x), batch, steps, seed)):
            if step % every == 0:
                curves.append(self._scores(samples))
            self.model.train_on_batch(train.x[rows], train.y[rows, None].astype("float32"))
        return self.model, np.array([*curves, self._scores(samples)])

    def _scores(self, samples: Sequence[Sample]) -> list[tuple[float, float]]:
        logits = self.model.predict_on_batch(np.concatenate([sample.x for sample in samples]))
        ends = np.cumsum([len(sample.x) for sample in samples])[:-1]
        pieces = np.split(logits[:, 0], ends)
        return [score(z, sample.y) for z, sample in zip(pieces, samples, strict=True)]


def batches(size: int, batch: int, steps: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of `steps` batches of whole epochs, each in a new random order.

    Parameters
    ----------
    size, batch, steps, seed : int
        A batch is no larger than the `size` samples.
    """
    batch = min(positive_int("batch", batch), positive_int("size", size))
    rng, made = np.random.default_rng(seed), 0
    while made < steps:
        order = rng.permutation(size)
        for first in range(0, size - batch + 1, batch):
            if made < steps:
                yield order[first : first + batch]
                made += 1


def runs(
    parts: Parts,
    *,
    variants: Sequence[Mapping[str, float]],
    seeds: Sequence[int],
    steps: int,
    every: int,
) -> dict[str, Any]:
    """Train each variant with each seed.

    Parameters
    ----------
    parts : Parts
    variants : sequence of dict
        What differs from `SETTINGS`.
    seeds : sequence of int
    steps, every : int
        See `Reader.learn`.

    Returns
    -------
    dict
        ``bits`` and ``right``, shape (variants, seeds, times, 3 parts), and of the end, shape
        (variants, seeds): ``stretch``, the largest singular value of W_h, mean of the four gates,
        and ``zeros``, the share of all weights that are below 0.001.
    """
    curves, stretch, zeros = [], [], []
    for variant in variants:
        reader = Reader(parts.words, **variant)
        for seed in seeds:
            model, curve = reader.learn(parts, seed, steps=steps, every=every)
            curves.append(curve)
            stretch.append(stretch_of(model))
            zeros.append(zeros_of(model))
    found = np.reshape(curves, (len(variants), len(seeds), -1, 3, 2)).round(3)
    shape = len(variants), len(seeds)
    return {
        "bits": found[..., 0],
        "right": found[..., 1],
        "stretch": np.reshape(stretch, shape).round(3),
        "zeros": np.reshape(zeros, shape).round(4),
    }


def stretch_of(model: keras.Model) -> float:
    """Return the largest singular value of W_h of a `classifier`, mean of its four gates."""
    W_h = instance("model", model, keras.Model, "a `classifier`").layers[1].cell.recurrent_kernel
    return float(np.mean([np.linalg.norm(W, 2) for W in np.split(W_h.numpy(), 4, axis=1)]))


def zeros_of(model: keras.Model) -> float:
    """Return which share of the entries of the matrices of a model is below 0.001 in size."""
    matrices = [w.ravel() for w in model.get_weights() if np.ndim(w) == 2]
    return float(np.mean(np.abs(np.concatenate(matrices)) < 1e-3))


def stopped_early(bits: Any) -> NDArray[np.int64]:
    """Return at which of the measured times the validation loss is lowest, the first such one.

    Parameters
    ----------
    bits : array, shape (..., times, 3)
        As `runs` returns it.

    Returns
    -------
    int array, shape (...)
    """
    return np.asarray(bits)[..., 1].argmin(axis=-1)


def logistic_regression(x: Any, y: Any, l2: float, *, most: int = 50) -> Array:
    """Return the weights w that minimise the mean cross-entropy in nats plus `l2` Σ w².

    By Newton's method (iteratively reweighted least squares; Bishop, 2006, 4.3.3) for w = xᵀa: as
    many unknowns as samples, not as words.

    Parameters
    ----------
    x : array, shape (samples, features)
        With a column of ones if there shall be a bias, which is then penalised too.
    y : int array, shape (samples,)
        0 or 1.
    l2 : float
        Above 0: without it separable samples have no minimum.
    most : int
        Of Newton's steps.

    Raises
    ------
    RuntimeError
        If it has not converged after `most` steps.
    """
    x, y = as_array("x", x, ndim=2), np.asarray(y)
    if y.shape != (len(x),):
        raise ValueError(f"`y` has shape {y.shape}; it takes ({len(x)},), one label a sample.")
    c, K = 2 * len(x) * positive_number("l2", l2), x @ x.T
    a = np.zeros(len(x))
    for _ in range(positive_int("most", most)):
        z = K @ a
        p = 1 / (1 + np.exp(-z))
        slope = p * (1 - p)
        following = np.linalg.solve(slope[:, None] * K + c * np.eye(len(x)), slope * z + y - p)
        done = np.abs(K @ (following - a)).max() < 1e-6
        a = following
        if done:
            return x.T @ a
    raise RuntimeError(f"Newton's method has not converged in {most} steps; take a larger `l2`.")


def bag_of_words_runs(
    parts: Parts, *, sentences: Sequence[int], l2: Sequence[float], seeds: Sequence[int]
) -> dict[str, Any]:
    """Let logistic regression name the book from which words stand in a sentence, not their order.

    Parameters
    ----------
    parts : Parts
    sentences : sequence of int
        To train on: the same ones as `Reader.learn` takes.
    l2 : sequence of float
        Of `logistic_regression`.
    seeds : sequence of int

    Returns
    -------
    dict
        ``bits`` and ``right``, shape (sentences, l2, seeds, 3 parts).
    """
    instance("parts", parts, Parts, "what `three_parts` returns")
    found = []
    for count, penalty, seed in product(sentences, l2, seeds):
        samples = (few_of(parts.train, count, seed), parts.validation, parts.test)
        bags = [present(sample.x, parts.words) for sample in samples]
        w = logistic_regression(bags[0], samples[0].y, penalty)
        found.append([score(x @ w, sample.y) for x, sample in zip(bags, samples, strict=True)])
    shape = len(sentences), len(l2), len(seeds), 3, 2
    both = np.reshape(found, shape).round(4)
    return {"bits": both[..., 0], "right": both[..., 1]}


def present(codes: Any, words: int) -> Array:
    """Return 1 where a word stands in a sentence, else 0, with a last column of ones."""
    return np.c_[np.minimum(bag_of_words(codes, words), 1), np.ones(len(codes))]
