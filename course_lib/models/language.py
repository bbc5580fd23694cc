"""Networks that read characters or words: built, trained, judged, and asked to write.

A language model says at each step which character it expects next. It is trained on windows of a
text (`models.text.windows`) and judged by its mean cross-entropy on the part that was held out:
`bits_per_character(evaluate(model, test))` stands beside the n-grams of `models.text.baselines`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.checks import Registry, instance, one_of, positive_int, positive_number, shown
from course_lib.models.characters import Codes, as_codes
from course_lib.models.text import Text, sample, windows
from course_lib.models.training import History, fit

__all__ = [
    "CELLS",
    "StepByStep",
    "character_model",
    "evaluate",
    "generate",
    "sentence_classifier",
    "train_character_model",
]

CELLS = Registry(
    "cell",
    {"rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU},
)
BAG = "bag"  # the mean of the embeddings: no order


def character_model(
    cell: str, characters: int, units: int, *, embedding: int | None = None, seed: int = 1
) -> keras.Model:
    """Return a language model: from codes to the logits of the next character at every step.

    Parameters
    ----------
    cell : "rnn", "lstm" or "gru"
        Keras's layers as they are by default; `rnn` is SimpleRNN with tanh.
    characters : int
        K, the size of the vocabulary.
    units : int
        Of the recurrent layer.
    embedding : int, optional
        Numbers that stand for a character and are learnt; unless given, one-hot vectors do.
    seed : int
        Of the first weights.

    Returns
    -------
    keras.Model
        From int codes (batch, time) to logits (batch, time, characters), for any time.

    Raises
    ------
    TypeError, ValueError
        If `cell` is unknown, or a number is not whole and above 0.
    """
    characters, units = positive_int("characters", characters), positive_int("units", units)
    seeds = _seeds(seed)
    codes = keras.Input((None,), dtype="int32", name="codes")
    if embedding is None:
        x = keras.ops.one_hot(codes, characters)
    else:
        x = _embedding(characters, positive_int("embedding", embedding), seeds)(codes)
    h = _recurrent(cell, units, seeds, return_sequences=True)(x)
    logits = _dense(characters, seeds)(h)
    return keras.Model(codes, logits, name=f"{cell}_language_model")


def sentence_classifier(
    cell: str,
    vocabulary: int,
    classes: int,
    *,
    embedding: int = 32,
    units: int = 32,
    seed: int = 1,
) -> keras.Model:
    """Return a classifier of sentences: words, embeddings, one recurrent layer, logits.

    The padding, code 0, is masked: the recurrent layer keeps its state where a sentence has ended.

    Parameters
    ----------
    cell : "rnn", "lstm", "gru" or "bag"
        "bag" takes the mean of the embeddings instead: it knows the words, and not their order.
    vocabulary, classes : int
        How many words there are, padding and unknown ones with them, and how many classes.
    embedding, units : int
        Numbers that stand for a word; units of the recurrent layer.
    seed : int
        Of the first weights.

    Returns
    -------
    keras.Model
        From int codes (batch, time) to logits (batch, classes), for any time.

    Raises
    ------
    TypeError, ValueError
        If `cell` is unknown, or a number is not whole and large enough.
    """
    one_of("cell", cell, [*CELLS, BAG])
    vocabulary = positive_int("vocabulary", vocabulary, minimum=2)
    classes, units = positive_int("classes", classes, minimum=2), positive_int("units", units)
    seeds = _seeds(seed)
    codes = keras.Input((None,), dtype="int32", name="codes")
    embedding = positive_int("embedding", embedding)
    x = _embedding(vocabulary, embedding, seeds, mask_zero=True)(codes)
    h = _mean_of_words(x, codes) if cell == BAG else _recurrent(cell, units, seeds)(x)
    logits = _dense(classes, seeds)(h)
    return keras.Model(codes, logits, name=f"{cell}_classifier")


def train_character_model(
    model: keras.Model,
    codes: Any,
    *,
    steps: int,
    length: int = 64,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    clip: float = 1.0,
    seed: int = 1,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    label: str = "language model",
) -> History:
    """Train a language model on random windows of a text, by Adam with a clipped global norm.

    Each step has windows of its own, so that the same `seed`, `steps`, `length` and `batch_size`
    show every model the same characters in the same order.

    Parameters
    ----------
    model : keras.Model
        As `character_model` makes it.
    codes : int array, shape (n,)
        Of the text to train on.
    steps, length, batch_size : int
        Updates, and the steps and the windows of each: the gradient goes back over `length` steps.
    learning_rate, clip : float
        Of Adam, and the largest global norm of a gradient.
    seed : int
        For the places of the windows.
    callbacks : sequence of keras.callbacks.Callback
        See `training.fit`.
    label : str
        What the progress line calls the run.

    Returns
    -------
    History
        Losses in nats per character.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    size = _characters(model)
    steps, batch_size = positive_int("steps", steps), positive_int("batch_size", batch_size)
    rng = np.random.default_rng(positive_int("seed", seed, minimum=0))
    x, y = windows(as_codes("codes", codes, size), length, steps * batch_size, rng)
    optimizer = keras.optimizers.Adam(
        positive_number("learning_rate", learning_rate),
        global_clipnorm=positive_number("clip", clip),
    )
    return fit(
        model,
        x,
        y,
        steps=steps,
        batch_size=batch_size,
        optimizer=optimizer,
        seed=seed,
        callbacks=callbacks,
        label=label,
    )


def evaluate(model: keras.Model, codes: Any, *, streams: int = 50) -> float:
    """Return the mean of −ln p over a text, in nats per character.

    The text is cut into `streams` long pieces that are read side by side, each from its beginning
    to its end with one state. Only the first characters of a piece lack what stood before.

    Parameters
    ----------
    model : keras.Model
        As `character_model` makes it.
    codes : int array, shape (n,)
        Of a text that was held out, n > streams.
    streams : int
        Pieces. A few characters at the end, fewer than there are streams, are not judged.

    Raises
    ------
    TypeError, ValueError
        If `model` is no language model, or `codes` are no codes of its characters.
    """
    streams = positive_int("streams", streams)
    codes = as_codes("codes", codes, _characters(model), shortest=streams + 1)
    used = (len(codes) - 1) // streams * streams
    x, y = codes[:used].reshape(streams, -1), codes[1 : used + 1].reshape(streams, -1)

    def mean_cross_entropy(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        logits = tf.cast(model(x, training=False), tf.float64)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))

    return float(_compiled(mean_cross_entropy, tf.constant(x), tf.constant(y))(x, y))


class StepByStep:
    """A language model that reads one character at a time and keeps its state in between.

    Asking the model for a whole text after each new character would take a time that grows with
    the square of the length. This takes the same time for each.

    Parameters
    ----------
    model : keras.Model
        A chain of layers, of which only the recurrent ones look back: embedding or one-hot
        vectors, recurrent layers, dense layers.

    Raises
    ------
    TypeError, ValueError
        If `model` is no such model.
    """

    def __init__(self, model: keras.Model) -> None:
        self.size = _characters(model)
        self._layers = [layer for layer in _operations(model) if not _is_input(layer)]
        for layer in self._layers:
            if not isinstance(layer, keras.layers.RNN) and not _looks_at_one_step(layer):
                raise ValueError(
                    f"`model` has the layer {layer.name} ({type(layer).__name__}); step by step go "
                    "embeddings, one-hot vectors, recurrent and dense layers."
                )
        self.reset()
        self._step = _compiled(self._one_step, tf.constant([0]), self._states)

    def reset(self) -> None:
        """Forget everything that was read."""
        recurrent = [layer for layer in self._layers if isinstance(layer, keras.layers.RNN)]
        self._read: Codes = np.zeros(0, dtype=np.int64)
        self._states = [_as_list(layer.cell.get_initial_state(batch_size=1)) for layer in recurrent]
        self._logits: Any = None

    def predict(self, codes: Any) -> np.ndarray:
        """Return the logits of the character after `codes`, float64 of shape (characters,).

        What begins with the codes of the last call is read from there on only.

        Parameters
        ----------
        codes : int array, shape (n,), n ≥ 1
            All codes so far, as `sample` hands them over.
        """
        codes = as_codes("codes", codes, self.size, shortest=1)
        known = len(self._read)
        if len(codes) < known or not np.array_equal(codes[:known], self._read):
            self.reset()
        for code in codes[len(self._read) :]:
            self._logits, self._states = self._step(tf.constant([code]), self._states)
        self._read = codes
        return self._logits.numpy()[0].astype(np.float64)

    def _one_step(self, x: Any, states: list[list[Any]]) -> tuple[Any, list[list[Any]]]:
        before, after = iter(states), []
        for layer in self._layers:
            if isinstance(layer, keras.layers.RNN):
                x, state = layer.cell(x, next(before), training=False)
                after.append(_as_list(state))
            else:
                x = layer(x)
        return x, after


def generate(
    model: keras.Model,
    text: Text,
    prompt: str,
    length: int = 300,
    temperature: float = 1.0,
    seed: int = 1,
) -> str:
    """Let a language model write on.

    Parameters
    ----------
    model : keras.Model
        As `character_model` makes it, for the characters of `text`.
    text : Text
        What it was trained on.
    prompt : str
        What it reads first, one character or more.
    length : int
        Characters to write.
    temperature : float
        See `models.text.tempered`: 0 always takes the likeliest character.
    seed : int
        For the characters that are drawn.

    Returns
    -------
    str
        The characters that were written, without the prompt.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    instance("text", text, Text, "a Text, as `load_text` returns it")
    if _characters(model) != text.size:
        raise ValueError(
            f"`model` knows {_characters(model)} characters and {text.name} has {text.size}; it "
            "takes a model of the same characters."
        )
    if not instance("prompt", prompt, str, "a text"):
        raise ValueError("`prompt` is empty; it takes one character or more to begin with.")
    rng = np.random.default_rng(positive_int("seed", seed, minimum=0))
    predict = StepByStep(model).predict
    return text.decode(sample(predict, text.encode(prompt), length, temperature, rng))


def _recurrent(cell: str, units: int, seeds: Any, **keywords: Any) -> keras.Layer:
    return CELLS[cell](
        units,
        kernel_initializer=keras.initializers.GlorotUniform(next(seeds)),
        recurrent_initializer=keras.initializers.Orthogonal(seed=next(seeds)),
        name=cell,
        **keywords,
    )


def _embedding(size: int, units: int, seeds: Any, **keywords: Any) -> keras.Layer:
    start = keras.initializers.RandomUniform(-0.05, 0.05, seed=next(seeds))
    return keras.layers.Embedding(
        size, units, embeddings_initializer=start, name="embedding", **keywords
    )


def _mean_of_words(x: Any, codes: Any) -> Any:
    """Return the mean over the words that are no padding, 0 where there are none."""
    is_word = keras.ops.cast(codes[:, :, None] != 0, x.dtype)
    number_of_words = keras.ops.maximum(keras.ops.sum(is_word, axis=1), 1)
    return keras.ops.sum(x * is_word, axis=1) / number_of_words


def _dense(units: int, seeds: Any) -> keras.Layer:
    start = keras.initializers.GlorotUniform(next(seeds))
    return keras.layers.Dense(units, kernel_initializer=start, name="logits")


def _seeds(seed: int) -> Any:
    """Yield a seed for each matrix: two of the same shape must not begin alike."""
    sequence = np.random.SeedSequence(positive_int("seed", seed, minimum=0))
    return (int(number) for number in sequence.generate_state(8))


def _characters(model: keras.Model) -> int:
    """Return how many characters a language model tells apart."""
    takes = "a language model, from codes (batch, time) to logits (batch, time, characters)"
    instance("model", model, keras.Model, takes)
    shape = getattr(model, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 3 or len(model.input_shape) != 2:
        raise ValueError(f"`model` is {shown(model.name)}, with outputs {shape}; it takes {takes}.")
    return shape[-1]


def _compiled(function: Any, *arguments: Any) -> Any:
    """Return `function` as one graph: called step by step from Python it would be slow."""
    return tf.function(function).get_concrete_function(*arguments)


def _operations(model: keras.Model) -> list[Any]:
    """Return the layers of a model with the operations between them, such as one_hot."""
    return getattr(model, "operations", model.layers)


def _is_input(layer: keras.Layer) -> bool:
    return isinstance(layer, keras.layers.InputLayer)


def _looks_at_one_step(layer: Any) -> bool:
    one_step = keras.layers.Embedding | keras.layers.Dense | keras.layers.Dropout
    return isinstance(layer, one_step) or type(layer).__name__ == "OneHot"


def _as_list(state: Any) -> list[Any]:
    return list(state) if isinstance(state, list | tuple) else [state]
