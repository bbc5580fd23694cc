"""A network that learns few sentences by heart, and what is said to help against it.

A sentence is from one of two novels; a small LSTM reads it and names the book. Sentences come in
three parts: those to train on, those by which a setting is chosen (validation), and those by which
the chosen one is judged (test). They are from different chapters of the books, so that no scene is
in two parts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from course_lib.models.time_steps import by_time_step
from course_lib.models.training import batches, begin_anew
from course_lib.models.words import bag_of_words, encode_words, word_vocabulary

__all__ = [
    "SETTINGS",
    "FreshMaskCell",
    "Parts",
    "Reader",
    "Sample",
    "arriving",
    "bag_of_words_runs",
    "batches",
    "classifier",
    "complete",
    "cost_at",
    "descended",
    "endings",
    "few_of",
    "logistic_regression",
    "logits_of",
    "present",
    "rows",
    "runs",
    "score",
    "stopped_early",
    "stretch_of",
    "temperature",
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
    "dropout_readout": 0.0,  # of the last state, before the read-out
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
            keras.layers.Dropout(of["dropout_readout"]),
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
        self._optimizer = self._unused_optimizer()
        self._optimizer.build(self.model.trainable_variables)
        self.model.compile(self._optimizer, keras.losses.BinaryCrossentropy(from_logits=True))

    def learn(
        self, parts: Parts, seed: int, *, measured: Sequence[int], batch: int = 32
    ) -> tuple[keras.Model, Array]:
        """Train on a few sentences and measure on the way.

        Parameters
        ----------
        parts : Parts
        seed : int
            Of the weights, of the masks, of the choice of sentences and of their order.
        measured : sequence of int
            After which steps, from 0 on and increasing; training ends with the last of them.
        batch : int
            Sentences of a step.

        Returns
        -------
        model : keras.Model
        curves : array, shape (times, 3, 2)
            Of the sentences trained on, of validation and test: bits, and the share that is right.

        Notes
        -----
        Keras's cells draw their dropout masks when they predict as well, and do not use them: with
        other `measured` steps other masks follow.
        """
        instance("parts", parts, Parts, "what `three_parts` returns")
        times = [positive_int("measured", step, minimum=0) for step in measured]
        if not times or sorted(set(times)) != times:
            raise ValueError(f"`measured` is {shown(measured)}; it takes steps that increase.")
        samples = self.samples(parts, seed)
        newborn = classifier(self._words, seed, **self._settings)
        begin_anew(self.model, self._optimizer, newborn, self._unused_optimizer())
        (x, y), curves = samples[0], []
        for step, rows in enumerate(batches(len(x), batch, times[-1], seed)):
            if step in times:
                curves.append(self._scores(samples))
            self.model.train_on_batch(x[rows], y[rows, None].astype("float32"))
        return self.model, np.array([*curves, self._scores(samples)])

    def samples(self, parts: Parts, seed: int) -> tuple[Sample, Sample, Sample]:
        """Return the sentences that it trains on with this seed, and those of the other parts."""
        few = few_of(parts.train, int(self.of["sentences"]), seed)
        return few, parts.validation, parts.test

    def _unused_optimizer(self) -> keras.optimizers.Optimizer:
        rate, decay = self.of["rate"], self.of["decay"]
        if decay:
            optimizer = keras.optimizers.AdamW(rate, weight_decay=decay)
            optimizer.exclude_from_weight_decay(var_names=["bias"])  # as the penalties do
            return optimizer
        return keras.optimizers.Adam(rate)

    def _scores(self, samples: Sequence[Sample]) -> list[tuple[float, float]]:
        logits = logits_of(self.model, samples)
        return [score(z, sample.y) for z, sample in zip(logits, samples, strict=True)]


def logits_of(model: keras.Model, samples: Sequence[Sample]) -> list[Array]:
    """Return the logits of a `classifier` for each sample, shape (sentences,)."""
    logits = model.predict_on_batch(np.concatenate([sample.x for sample in samples]))[:, 0]
    return np.split(logits, np.cumsum([len(sample.x) for sample in samples])[:-1])


def temperature(logits: Any, y: Any) -> float:
    """Return the T by which logits are best divided, in bits, to 6 % (Guo et al., 2017).

    Parameters
    ----------
    logits : array, shape (sentences,)
        Of validation sentences.
    y : int array, shape (sentences,)

    Returns
    -------
    float
        From 0.1 to 1000.
    """
    z = as_array("logits", logits, ndim=1)
    return float(min(np.geomspace(0.1, 1000, 161), key=lambda T: score(z / T, y)[0]))


def runs(
    parts: Parts,
    *,
    variants: Sequence[Mapping[str, float]],
    seeds: Sequence[int],
    measured: Sequence[int],
) -> dict[str, Any]:
    """Train each variant with each seed.

    Parameters
    ----------
    parts : Parts
    variants : sequence of dict
        What differs from `SETTINGS`.
    seeds : sequence of int
    measured : sequence of int
        See `Reader.learn`.

    Returns
    -------
    dict
        Arrays whose first dimensions are (variants, seeds). ``bits`` and ``right``, (…, times, 3
        parts). Of the end: ``T``, the `temperature` that the validation sentences choose;
        ``tempered``, (…, 3 parts), the bits with it; ``stretch``, the largest singular value of
        W_h, mean of its gates; ``zeros``, as `zeros_of`.
    """
    found: list[dict[str, Any]] = []
    for variant in variants:
        reader = Reader(parts.words, **variant)
        for seed in seeds:
            model, curves = reader.learn(parts, seed, measured=measured)
            samples = reader.samples(parts, seed)
            logits = logits_of(model, samples)
            T = temperature(logits[1], parts.validation.y)
            found.append(
                {
                    "bits": curves[..., 0].round(3),
                    "right": curves[..., 1].round(3),
                    "T": round(T, 3),
                    "tempered": [
                        round(score(z / T, sample.y)[0], 4)
                        for z, sample in zip(logits, samples, strict=True)
                    ],
                    "stretch": round(stretch_of(model), 3),
                    "zeros": round(zeros_of(model, samples[0].x), 4),
                }
            )
    shape = len(variants), len(seeds)
    return {
        key: np.reshape([run[key] for run in found], (*shape, *np.shape(found[0][key])))
        for key in found[0]
    }


def rows(variants: Sequence[Mapping[str, float]], found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the end of `runs` as rows of a table, without the test sentences.

    Parameters
    ----------
    variants : sequence of dict
    found : dict
        What `runs` returned for them.
    """
    bits, right = (np.asarray(found[name])[:, :, -1] for name in ("bits", "right"))
    return [
        {
            "": ", ".join(f"{name} {value:g}" for name, value in variant.items()) or "none",
            "train, bits": f"{cost[:, 0].mean():.2f}",
            "validation, bits": f"{cost[:, 1].mean():.2f}",
            "validation, right": f"{share[:, 1].mean():.3f}",
            "train, each seed": ", ".join(f"{of_seed:.2f}" for of_seed in cost[:, 0]),
        }
        for variant, cost, share in zip(variants, bits, right, strict=True)
    ]


def stretch_of(model: keras.Model) -> float:
    """Return the largest singular value of W_h of a `classifier`, mean of its four gates."""
    W_h = instance("model", model, keras.Model, "a `classifier`").layers[1].cell.recurrent_kernel
    return float(np.mean([np.linalg.norm(W, 2) for W in np.split(W_h.numpy(), 4, axis=1)]))


def zeros_of(model: keras.Model, codes: Any) -> float:
    """Return which share of a classifier's weights in use is below 0.001 in size.

    Parameters
    ----------
    model : keras.Model
        A `classifier`.
    codes : int array
        Of the sentences that it was trained on: the features of other words are not in use.
    """
    instance("model", model, keras.Model, "a `classifier`")
    features, *others = (w for w in model.get_weights() if np.ndim(w) == 2)
    used = [features[np.unique(codes)], *others]
    return float(np.mean(np.abs(np.concatenate([w.ravel() for w in used])) < 1e-3))


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


def endings(bits: Any, right: Any, tempered: Any) -> dict[str, tuple[Array, Array]]:
    """Return what runs cost, and which share is right, by three ways to end them.

    Parameters
    ----------
    bits, right : array, shape (..., times, 3)
    tempered : array, shape (..., 3)
        All as `runs` returns them.

    Returns
    -------
    dict
        Two arrays of shape (..., 3) each: ``"at the end"``; ``"with a temperature"``, which
        changes no answer; ``"stopped early"``, each run at its place of `stopped_early`.
    """
    bits, right, tempered = (np.asarray(of, float) for of in (bits, right, tempered))
    early = stopped_early(bits)[..., None, None]
    at_end, stopped = right[..., -1, :], np.take_along_axis(right, early, axis=-2)[..., 0, :]
    return {
        "at the end": (bits[..., -1, :], at_end),
        "with a temperature": (tempered, at_end),
        "stopped early": (np.take_along_axis(bits, early, axis=-2)[..., 0, :], stopped),
    }


def cost_at(bits: Any, level: float) -> Array:
    """Return the test bits at the time when those in training first come down to `level`.

    Between two measurements by a straight line; NaN for a run that never comes so far.

    Parameters
    ----------
    bits : array, shape (..., times, 3)
        As `runs` returns it.
    level : float
        Of the bits in training.

    Returns
    -------
    array, shape (...)
    """
    bits, level = as_array("bits", bits), number("level", level)
    if bits.ndim < 2 or bits.shape[-1] != len(PARTS):
        raise ValueError(f"`bits` has shape {bits.shape}; it takes (..., times, 3 parts).")

    def of_run(curve: Array) -> float:
        train, test = curve[:, 0], curve[:, 2]
        below = np.flatnonzero(train <= level)
        if not below.size:
            return np.nan
        ends = slice(max(below[0] - 1, 0), below[0] + 1)
        return float(np.interp(-level, -train[ends], test[ends]))

    found = [of_run(curve) for curve in bits.reshape(-1, *bits.shape[-2:])]
    return np.reshape(found, bits.shape[:-2])


def arriving(model: keras.Model, sample: Sample, share: float) -> float:
    """Return ‖∂𝓛/∂c‖ at the first step of a `classifier`, h held fixed, with `share` of its W_h.

    Parameters
    ----------
    model : keras.Model
        A `classifier`, compiled; it is the same afterwards.
    sample : Sample
        Of which the first 200 sentences without padding are taken: all begin at the first step.
    share : float
        By which W_h is multiplied.
    """
    cell = instance("model", model, keras.Model, "a `classifier`").layers[1].cell
    share = number("share", share)
    rows = np.flatnonzero(sample.x.min(axis=1) > 0)[:200]
    if not rows.size:
        raise ValueError("`sample` has no sentence without padding; it takes at least one.")
    W_h = cell.recurrent_kernel.numpy()
    try:
        cell.recurrent_kernel.assign(share * W_h)
        (flow,) = by_time_step(
            model, sample.x[rows], sample.y[rows, None].astype("float32")
        ).values()
    finally:
        cell.recurrent_kernel.assign(W_h)
    return float(np.asarray(flow.cell_norms)[0])


def descended(
    x: Any,
    y: Any,
    steps: int,
    optimizer: keras.optimizers.Optimizer,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    shrink: float = 0.0,
) -> Array:
    """Return the weights of a logistic regression after `steps` of an optimiser, from zeros.

    Parameters
    ----------
    x : array, shape (samples, features)
    y : int array, shape (samples,)
        0 or 1.
    steps : int
    optimizer : keras.optimizers.Optimizer
        An unused one.
    l1, l2 : float
        λ of λ Σ|w| and of λ Σ w² in the loss: their gradients are λ sign(w) and 2 λ w.
    shrink : float
        By which each weight moves towards 0 after each step, and not beyond: with rate · λ the
        proximal step of L1 (Parikh and Boyd, 2014, 6.5.2).
    """
    x, y = as_array("x", x, ndim=2), np.asarray(y)
    if y.shape != (len(x),):
        raise ValueError(f"`y` has shape {y.shape}; it takes ({len(x)},), one label a sample.")
    instance("optimizer", optimizer, keras.optimizers.Optimizer, "one of Keras's")
    w = keras.Variable(np.zeros(x.shape[1]), dtype="float64")
    for _ in range(positive_int("steps", steps)):
        now = w.numpy()
        g = x.T @ (1 / (1 + np.exp(-x @ now)) - y) / len(x) + l1 * np.sign(now) + 2 * l2 * now
        optimizer.apply([keras.ops.convert_to_tensor(g)], [w])
        w.assign(np.sign(w) * np.maximum(np.abs(w) - shrink, 0))
    return w.numpy()


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
