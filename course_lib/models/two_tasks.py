"""A second task beside the first: one recurrent layer, two read-outs, and the angle between them.

The first task names the class of a sentence, the second its next words; they share embeddings and
recurrent layer (Caruana, 1997; for language models beside labels Rei, 2017). The loss is
``main + weight · auxiliary``. Whether the second task pulls the shared weights the same way is the
cosine of the two gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from course_lib.checks import as_array, number, positive_int, shown
from course_lib.models.training import fit

__all__ = [
    "Angles",
    "Marks",
    "auxiliary_run",
    "auxiliary_runs",
    "cosine",
    "following",
    "losses",
    "two_tasks",
]

Codes = NDArray[np.int64]


def two_tasks(
    vocabulary: int, classes: int, seed: int, *, units: int = 24, embedding: int = 24
) -> tuple[keras.Model, list[keras.Variable]]:
    """Return a model with two inputs and two outputs, and the weights that both tasks share.

    Parameters
    ----------
    vocabulary, classes : int
        Words with the padding 0, and classes of a sentence.
    seed : int
    units, embedding : int
        Of the GRU and of the embeddings.

    Returns
    -------
    model : keras.Model
        From [sentences, sentences] as codes of shape (batch, time) to the logits of the class of
        the first, (batch, classes), and of each next word of the second, (batch, time, vocabulary).
    shared : list of keras.Variable
    """
    vocabulary, classes = positive_int("vocabulary", vocabulary), positive_int("classes", classes)
    keras.utils.set_random_seed(positive_int("seed", seed, minimum=0))
    words = keras.layers.Embedding(vocabulary, embedding, mask_zero=True)
    cell = keras.layers.GRU(units, return_sequences=True)
    sentence, other = (keras.Input((None,), dtype="int32") for _ in range(2))
    which_class = keras.layers.Dense(classes)(cell(words(sentence))[:, -1])
    next_word = keras.layers.Dense(vocabulary)(cell(words(other)))
    model = keras.Model([sentence, other], [which_class, next_word])
    return model, [*words.weights, *cell.weights]


def following(x: Any) -> Codes:
    """Return for each word the one that follows it, 0 behind the last; shape (batch, time)."""
    codes = as_array("x", x, ndim=2, takes="codes of words, of shape (batch, time)")
    return np.pad(codes[:, 1:], ((0, 0), (0, 1))).astype(np.int64)


def losses(y: Any, outputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the cross-entropy of a sentence, and that of a next word that is no padding.

    Parameters
    ----------
    y : labels of shape (batch,), next words of shape (batch, time)
    outputs : what the model of `two_tasks` gives
    """
    one = keras.losses.sparse_categorical_crossentropy
    asked = tf.cast(tf.convert_to_tensor(y[1]) > 0, tf.float32)
    words = tf.reduce_sum(asked * one(y[1], outputs[1], from_logits=True))
    main = tf.reduce_mean(one(y[0], outputs[0], from_logits=True))
    return main, words / tf.reduce_sum(asked)


def cosine(a: Any, b: Any) -> float:
    """Return the cosine of the angle between two vectors, −1 … 1."""
    a, b = as_array("a", a, ndim=1), as_array("b", b, ndim=1)
    if a.shape != b.shape:
        raise ValueError(f"`b` has shape {b.shape}; it takes that of `a`, {a.shape}.")
    length = np.linalg.norm(a) * np.linalg.norm(b)
    if not length:
        raise ValueError("a vector of length 0 has no direction; both take another one.")
    return float(a @ b / length)


class Angles(keras.callbacks.Callback):
    """Measure during training how the shared gradients of the two tasks stand to one another.

    Parameters
    ----------
    shared : list of keras.Variable
    draw : function
        Returns x, y and the following words of a fresh batch of sentences.
    every : int
        Steps from one measurement to the next.

    Attributes
    ----------
    cosines : list of (float, float)
        Of the main gradient with the auxiliary one on the same sentences, and with itself on
        others: as alike as the first could be.
    """

    def __init__(
        self, shared: list[keras.Variable], draw: Callable[[], tuple[Any, Any, Any]], every: int
    ) -> None:
        super().__init__()
        self._shared, self._draw, self._every = shared, draw, every
        self._gradients = tf.function(self._both)
        self.cosines: list[tuple[float, float]] = []

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        """Measure, at every `every`-th step."""
        if step % self._every == 0:
            (main, auxiliary), (again, _) = (self._gradients(*self._draw()) for _ in range(2))
            self.cosines.append((cosine(main, auxiliary), cosine(main, again)))

    def _both(self, x: tf.Tensor, y: tf.Tensor, after: tf.Tensor) -> list[tf.Tensor]:
        """Return the gradients of the two losses, one long vector each."""
        with tf.GradientTape(persistent=True) as tape:
            both = losses([y, after], self.model([x, x]))
        return [_flat(tape.gradient(loss, self._shared)) for loss in both]


class Marks(keras.callbacks.Callback):
    """Measure during training which share of the sentences of each set has its class named.

    Parameters
    ----------
    sets : sequence of (codes of shape (sentences, time), labels of shape (sentences,))
    every : int
        Steps from one measurement to the next.

    Attributes
    ----------
    right : list of lists of float
        0 … 1, for each measurement and each set.
    """

    def __init__(self, sets: Sequence[tuple[Any, Any]], every: int) -> None:
        super().__init__()
        self._sets, self._every = sets, every
        codes = tf.TensorSpec((None, None), tf.int64)  # one trace for all sets
        self._named = tf.function(
            lambda x: tf.argmax(self.model([x, x])[0], axis=-1), input_signature=[codes]
        )
        self.right: list[list[float]] = []

    def on_train_batch_begin(self, step: int, logs: Any = None) -> None:
        """Measure, at every `every`-th step."""
        if step % self._every == 0:
            shares = (np.mean(self._named(np.int64(x)).numpy() == y) for x, y in self._sets)
            self.right.append(list(map(float, shares)))


def auxiliary_run(
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    vocabulary: int,
    weight: float,
    dealt: bool,
    seed: int,
    labels: int,
    rate: float,
    steps: int,
    every: int = 15,
) -> tuple[list[list[float]], list[tuple[float, float]]]:
    """Train both tasks at once, few sentences with a label and all of them without.

    Parameters
    ----------
    train, test : (codes of shape (sentences, time), labels of shape (sentences,))
    vocabulary : int
    weight : float
        λ; 0 trains the main task alone.
    dealt : bool
        Whether the next words are dealt out at random: a second task with nothing to learn but how
        frequent words are.
    seed : int
        Of the weights, the order of the sentences, and which of them have a label.
    labels : int
        How many sentences have one.
    rate : float
        Of Adam, the global norm of the gradient clipped to 1; batches of 32.
    steps, every : int
        Updates, and updates from one measurement to the next; the first is before training.

    Returns
    -------
    right : list of [float, float]
        See `Marks`: of the sentences whose label is trained on, and of the test sentences.
    cosines : list of (float, float)
        See `Angles`, each on 300 sentences whose label is not trained on.
    """
    x, y = train
    rng = np.random.default_rng(positive_int("seed", seed, minimum=0))
    labels = positive_int("labels", labels)
    if labels >= len(x):
        raise ValueError(f"`labels` is {shown(labels)}; it takes fewer than all {len(x)}.")
    weight = number("weight", weight, minimum=0)
    order = rng.permutation(len(x))
    x, y = x[order], y[order]
    after, few = following(x), np.arange(len(x)) % labels
    if dealt:
        after[after > 0] = rng.permutation(after[after > 0])
    model, shared = two_tasks(vocabulary, len(np.unique(y)), seed)

    def unseen() -> tuple[Any, Any, Any]:
        rows = rng.choice(np.arange(labels, len(x)), min(300, len(x) - labels), replace=False)
        return x[rows], y[rows], after[rows]

    def both(y: Any, outputs: Any) -> tf.Tensor:
        main, auxiliary = losses(y, outputs)
        return main + weight * auxiliary

    every = positive_int("every", every)
    angles, marks = Angles(shared, unseen, every), Marks([(x[:labels], y[:labels]), test], every)
    fit(
        model,
        [x[few], x],
        [y[few], after],
        steps=steps,
        batch_size=32,
        seed=seed,
        loss=both,
        optimizer=keras.optimizers.Adam(rate, global_clipnorm=1.0),
        callbacks=[angles, marks],
        label=f"λ = {weight:g}",
    )
    return marks.right, angles.cosines


def auxiliary_runs(
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    variants: Sequence[tuple[float, bool]],
    seeds: Sequence[int],
    **how: Any,
) -> dict[str, Any]:
    """Return what `auxiliary_run` found for each variant, (weight, dealt), and each seed.

    Returns
    -------
    dict
        ``right``, the shares named of the sentences with a label and of the test sentences, and
        ``cosines``, both of shape (variants, seeds, times, 2).
    """
    runs = [
        auxiliary_run(train, test, weight=weight, dealt=dealt, seed=seed, **how)
        for (weight, dealt), seed in product(variants, seeds)
    ]
    right, cosines = zip(*runs, strict=True)
    shape = len(variants), len(seeds), -1, 2
    return {"right": np.reshape(right, shape), "cosines": np.reshape(cosines, shape)}


def _flat(gradients: list[Any]) -> tf.Tensor:
    """Return one long vector; an embedding's gradient is made dense."""
    return tf.concat([tf.reshape(tf.convert_to_tensor(part), [-1]) for part in gradients], axis=0)
