"""From dates as people write them to ISO dates: one GRU reads, one writes and may look back.

"sunday, 4 july 1976" becomes "1976-07-04", character by character. With x_1 … x_T the text, y_i the
answer and h_j, s_i the states of two GRUs of equal width:

    h_j = GRU(x_j, h_{j−1}),   s_i = GRU(y_{i−1}, s_{i−1}),   s_0 = h_T           (1)
    q_i = s_i W_q,   k_j = h_j W_k                                                (2)
    c_i = Σ_j p_ij h_j,   p_ij the softmax over j of how well q_i and k_j fit     (3)
    logits of y_i = [s_i, c_i] V + b                                              (4)

"dot" compares by q · k / √units (Vaswani et al. 2017), "additive" by v · tanh(q + k) (Bahdanau,
Cho & Bengio 2015). As in Luong, Pham & Manning (2015, section 3.1) the writer takes its step first
and looks back then. "none" leaves (2) and (3) out: all it has of the text is s_0 = h_T, as in
Sutskever, Vinyals & Le (2014). Two controls: "unscaled dot" compares by q · k, as Luong et al. did,
and "mean" leaves (2) out: its p_ij are equal for all characters of the text.

Everything is NumPy, so each gradient is one derived by hand; `Translator.to_keras` is the same
network of Keras's layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np
from keras import layers, ops
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import generator, instance, one_of, positive_int, positive_number, shown
from course_lib.maths.attention import masked_softmax
from course_lib.maths.clipping import clip_by_global_norm
from course_lib.maths.dot_product import attend, attend_backward, softmax_backward
from course_lib.maths.gates import GRU
from course_lib.maths.initializers import INITIALIZERS
from course_lib.maths.optimizers import Adam
from course_lib.maths.recurrent_layer import RecurrentTrace, sum_of_products
from course_lib.maths.training import softmax_cross_entropy
from course_lib.models.tasks import (
    ALPHABET,
    LONGEST,
    OUTPUT_ALPHABET,
    DateTask,
    dates,
    encode_date,
)

__all__ = [
    "ATTENTIONS",
    "DateRun",
    "Translation",
    "Translator",
    "TranslatorGradients",
    "TranslatorTrace",
    "train_translator",
]

Array = NDArray[np.float64]
Codes = NDArray[Any]  # whole numbers

ATTENTIONS = ("none", "mean", "dot", "unscaled dot", "additive")
NO_QUERIES = ("none", "mean")
READS, WRITES = len(ALPHABET) - 1, len(OUTPUT_ALPHABET)  # padding has no number of its own
ANSWER = len("1976-07-04")
NOTHING = -1  # what stands before the first character of an answer
ONE_HOT_TEXT = np.eye(READS + 1)[:, 1:]  # padding: a row of zeros
ONE_HOT_ANSWER = np.eye(WRITES + 1)[:, :-1]  # its last row, that of NOTHING: zeros


@dataclass(frozen=True, eq=False, repr=False)
class TranslatorTrace:
    """What a forward pass leaves behind.

    Attributes
    ----------
    reader, writer : RecurrentTrace
        Of the two GRUs; `.outputs` are h_j and s_i.
    logits : array, shape (batch, 10, 11)
        (4).
    weights : array, shape (batch, 10, time), or None
        p_ij of (3), 0 at the padding; None without attention.
    """

    reader: RecurrentTrace
    writer: RecurrentTrace
    logits: Array
    weights: Array | None
    read_out: Array  # [s_i, c_i]
    compared: Any  # the AttentionTrace of a dot product, or tanh(q + k) of "additive"

    def __repr__(self) -> str:
        return f"<TranslatorTrace: {len(self.logits)} dates>"


@dataclass(frozen=True, eq=False, repr=False)
class TranslatorGradients:
    """The gradient of the loss.

    Attributes
    ----------
    parameters : list of arrays
        In the order of `Translator.parameters`.
    states : array, shape (batch, time, units)
        ∂𝓛/∂h_j, all that arrives at the states of the reader.
    looked_at : array, shape (batch, time, units)
        The part of it that comes straight from attention, by (2) and (3); the rest comes through
        h_{j+1}. Zeros without attention.
    """

    parameters: list[Array]
    states: Array
    looked_at: Array

    def __repr__(self) -> str:
        return f"<TranslatorGradients: {len(self.parameters)} arrays>"


@dataclass(frozen=True, eq=False, repr=False)
class Translation:
    """Dates as a translator wrote them, each character chosen after the ones before it.

    Attributes
    ----------
    texts, answers : tuples of str
    weights : array, shape (texts, 10, 28), or None
        How much each character of the answer looked at each character of its text, which begins in
        column 0; None without attention.
    logits : array, shape (texts, 10, 11)
    """

    texts: tuple[str, ...]
    answers: tuple[str, ...]
    weights: Array | None
    logits: Array

    @property
    def probabilities(self) -> Array:
        """How probable each character that was written was, shape (texts, 10)."""
        return masked_softmax(self.logits, None).max(axis=2)

    def __repr__(self) -> str:
        return f"<Translation: {self.texts[0]!r} → {self.answers[0]!r}, {len(self.texts)} in all>"


class Translator:
    """A reader, a writer, and a way to look back: equations (1) to (4).

    Parameters
    ----------
    attention : "none", "mean", "dot", "unscaled dot" or "additive"
    reader, writer : GRU
        Of equal units.
    compare : list of arrays
        W_q and W_k, of "additive" also v; empty for "none" and "mean".
    V, b : arrays
        The read-out (4).
    """

    def __init__(
        self,
        attention: str,
        reader: GRU,
        writer: GRU,
        compare: Sequence[Array],
        V: Array,
        b: Array,
    ) -> None:
        self.attention = one_of("attention", attention, ATTENTIONS)
        self.reader, self.writer = reader, writer
        self.compare, self.V, self.b = list(compare), V, b

    @classmethod
    def random(cls, attention: str, units: int, rng: np.random.Generator) -> Self:
        """Draw a translator as Keras starts its layers: Glorot, orthogonal, biases 0.

        Parameters
        ----------
        attention : "none", "mean", "dot", "unscaled dot" or "additive"
        units : int
            Of each GRU.
        rng : numpy.random.Generator

        Raises
        ------
        TypeError, ValueError
            If `attention` is unknown, or `units` no whole number above 0.
        """
        one_of("attention", attention, ATTENTIONS)
        units, glorot = positive_int("units", units), INITIALIZERS["glorot_uniform"]
        reader = GRU.random(READS, units, generator("rng", rng))
        writer = GRU.random(WRITES, units, rng)
        compare: list[Array] = []
        if attention not in NO_QUERIES:
            compare = [glorot((units, units), rng) for _ in "qk"]
        if attention == "additive":
            compare.append(glorot((units, 1), rng)[:, 0])
        wide = units if attention == "none" else 2 * units
        return cls(
            attention, reader, writer, compare, glorot((wide, WRITES), rng), np.zeros(WRITES)
        )

    @property
    def units(self) -> int:
        """How wide each GRU is."""
        return self.reader.units

    @property
    def parameters(self) -> list[Array]:
        """Everything that is learnt: the arrays themselves."""
        return [*self.reader.weights, *self.writer.weights, *self.compare, self.V, self.b]

    @property
    def size(self) -> int:
        """How many numbers are learnt."""
        return sum(parameter.size for parameter in self.parameters)

    def run(
        self, codes: Codes, before: Codes, hidden: NDArray[np.bool_] | None = None
    ) -> TranslatorTrace:
        """Read, write and look back: (1) to (4), without checks.

        Parameters
        ----------
        codes : int array, shape (batch, time)
            The texts as `at_the_end` gives them: padding, 0, comes first.
        before : int array, shape (batch, answer)
            For each character of the answer the one before it; −1 before the first.
        hidden : array of bool that broadcasts to (batch, answer, time), optional
            True where the writer may not look, beside the padding. The reader reads all.
        """
        reader = self.reader.run(ONE_HOT_TEXT[codes], self._silence(codes))
        writer = self.writer.run(ONE_HOT_ANSWER[before], reader.outputs[:, -1])
        return self._look_back(reader, writer, codes, hidden)

    def _silence(self, codes: Codes) -> Array:
        return np.zeros((len(codes), self.units))

    def _look_back(
        self,
        reader: RecurrentTrace,
        writer: RecurrentTrace,
        codes: Codes,
        hidden: NDArray[np.bool_] | None = None,
    ) -> TranslatorTrace:
        h, read_out = reader.outputs, writer.outputs
        weights: Any = None
        compared: Any = None
        if self.attention != "none":
            mask = (codes != 0)[:, None]
            if hidden is not None:
                mask = mask & ~hidden
            weights, compared = self._shares(read_out, h, mask)
            read_out = np.concatenate([read_out, weights @ h], axis=2)  # (3)
        logits = read_out @ self.V + self.b  # (4)
        return TranslatorTrace(reader, writer, logits, weights, read_out, compared)

    def _shares(self, s: Array, h: Array, mask: NDArray[np.bool_]) -> tuple[Array, Any]:
        """Return p_ij of (3), and what its way back needs."""
        if self.attention == "mean":
            alike = np.zeros((len(h), s.shape[1], h.shape[1]))
            return masked_softmax(alike, mask), None
        q, k = s @ self.compare[0], h @ self.compare[1]  # (2)
        if self.attention == "additive":
            bent = q[:, :, None] + k[:, None]
            np.tanh(bent, out=bent)  # in place: most of the time goes into these arrays
            return masked_softmax(bent @ self.compare[2], mask), bent
        trace = attend(q, k, h, mask, scale=None if self.attention == "dot" else 1.0)
        return trace.weights, trace

    def run_backward(self, trace: TranslatorTrace, d_logits: Array) -> TranslatorGradients:
        """Return all gradients, without checks.

        Parameters
        ----------
        trace : TranslatorTrace
            What `run` returned.
        d_logits : array, shape (batch, answer, 11)
        """
        d_V, d_b = sum_of_products(trace.read_out, d_logits), d_logits.sum(axis=(0, 1))
        d_s, d_c = np.split(d_logits @ self.V.T, [self.units], axis=2)
        d_h = np.zeros_like(trace.reader.outputs)
        d_compare: list[Array] = []
        if self.attention != "none":
            by_query, d_h, d_compare = self._look_back_backward(trace, d_c)
            d_s = d_s + by_query
        writer = self.writer.run_backward(trace.writer, d_s)
        looked_at = d_h.copy()
        d_h[:, -1] += writer.initial_state  # s_0 = h_T
        reader = self.reader.run_backward(trace.reader, d_h)
        parameters = [*reader.weights, *writer.weights, *d_compare, d_V, d_b]
        return TranslatorGradients(parameters, reader.states, looked_at)

    def _look_back_backward(
        self, trace: TranslatorTrace, d_c: Array
    ) -> tuple[Array, Array, list[Array]]:
        """Return the gradients by s_i as queries, by h_j as values and keys, and by `compare`."""
        h, s, p = trace.reader.outputs, trace.writer.outputs, np.asarray(trace.weights)
        d_h = p.swapaxes(1, 2) @ d_c
        if not self.compare:
            return np.zeros_like(s), d_h, []
        d_q, d_k, *d_v = self._compare_backward(trace, d_c)
        d_compare = [sum_of_products(s, d_q), sum_of_products(h, d_k), *d_v]
        return d_q @ self.compare[0].T, d_h + d_k @ self.compare[1].T, d_compare

    def _compare_backward(self, trace: TranslatorTrace, d_c: Array) -> tuple[Array, ...]:
        """Return the gradients by q and k; of "additive" also by v."""
        if self.attention != "additive":
            of = attend_backward(trace.compared, d_c)
            return of.queries, of.keys
        hidden, h = trace.compared, trace.reader.outputs
        d_scores = softmax_backward(np.asarray(trace.weights), d_c @ h.swapaxes(1, 2))
        d_hidden, slope = d_scores[..., None] * self.compare[2], hidden**2
        d_hidden *= np.subtract(1, slope, out=slope)
        return d_hidden.sum(axis=2), d_hidden.sum(axis=1), np.tensordot(d_scores, hidden, axes=3)

    def loss_and_gradients(self, codes: Codes, y: Codes) -> tuple[float, TranslatorGradients]:
        """Return the mean cross-entropy in nats of each next character, and its gradients.

        Parameters
        ----------
        codes : int array, shape (batch, time)
            As for `run`.
        y : int array, shape (batch, 10)
            The answers; each character is guessed from the right ones before it.
        """
        trace = self.run(codes, shifted(y))
        loss, d_logits = _of_characters(trace.logits, y)
        return loss, self.run_backward(trace, d_logits)

    def translate(self, texts: str | Sequence[str]) -> Translation:
        """Write the ISO date of each text, every character after the ones chosen before it.

        Parameters
        ----------
        texts : str, or list of str
            Such as "4 July 1976"; at most 28 letters, digits, spaces, commas and full stops.

        Raises
        ------
        TypeError, ValueError
            If a text is none that a date can be written with.
        """
        texts = (texts,) if isinstance(texts, str) else tuple(texts)
        if not texts:
            raise ValueError("`texts` is empty; it takes at least one date.")
        answers, weights, logits = self._write(at_the_end(encode_date(list(texts))))
        if weights is not None:
            lengths = [len(text) for text in texts]
            weights = np.stack(
                [np.roll(w, n, axis=1) for w, n in zip(weights, lengths, strict=True)]
            )
        written = ("".join(OUTPUT_ALPHABET[code] for code in row) for row in answers)
        return Translation(texts, tuple(written), weights, logits)

    def _write(self, codes: Codes) -> tuple[Codes, Array | None, Array]:
        """Return answers, weights and logits for texts in codes, padding first."""
        reader = self.reader.run(ONE_HOT_TEXT[codes], self._silence(codes))
        s, last = reader.outputs[:, -1], np.full((len(codes), 1), NOTHING)
        answers: list[Codes] = []
        weights: list[Any] = []
        logits: list[Array] = []
        for _ in range(ANSWER):
            writer = self.writer.run(ONE_HOT_ANSWER[last], s)
            trace = self._look_back(reader, writer, codes)
            s, last = writer.outputs[:, -1], trace.logits.argmax(axis=2)
            answers.append(last)
            weights.append(trace.weights)
            logits.append(trace.logits)
        looked = None if self.attention == "none" else np.concatenate(weights, axis=1)
        return np.concatenate(answers, axis=1), looked, np.concatenate(logits, axis=1)

    def loss(self, task: DateTask) -> float:
        """Return the mean cross-entropy of each character, the right ones before it given; nats.

        Raises
        ------
        TypeError
            If `task` is no task of dates.
        """
        instance("task", task, DateTask, "what `tasks.dates` returns")
        return _of_characters(self.run(at_the_end(task.x), shifted(task.y)).logits, task.y)[0]

    def exact(self, task: DateTask) -> float:
        """Return the share of dates of which all ten characters are right, 0 … 1.

        Raises
        ------
        TypeError
            If `task` is no task of dates.
        """
        instance("task", task, DateTask, "what `tasks.dates` returns")
        return float(np.mean((self._write(at_the_end(task.x))[0] == task.y).all(axis=1)))

    def to_keras(self) -> keras.Model:
        """Return the same network of Keras's layers, with these weights, in float64.

        Returns
        -------
        keras.Model
            From int codes (batch, 28), padding first, and (batch, 10), the characters before, to
            logits (batch, 10, 11).
        """
        wide: dict[str, Any] = {"dtype": "float64"}
        text = keras.Input((LONGEST,), dtype="int32", name="text")
        before = keras.Input((ANSWER,), dtype="int32", name="before")
        reader = layers.GRU(self.units, return_sequences=True, return_state=True, **wide)
        writer = layers.GRU(self.units, return_sequences=True, **wide)
        h, last = reader(ops.one_hot(text - 1, READS, dtype="float64"))
        s = writer(ops.one_hot(before, WRITES, dtype="float64"), initial_state=last)
        built: list[Any] = [reader, writer]
        if self.attention != "none":
            q, k, look, its_own = self._keras_comparison(s, h)
            built += its_own
            c = look([q, h, k], mask=[None, ops.not_equal(text, 0)])
            s = layers.Concatenate(**wide)([s, c])
        answer = layers.Dense(WRITES, **wide)
        model = keras.Model([text, before], answer(s), name=f"dates_{self.attention}")
        ours = [self.reader.weights, self.writer.weights, *([part] for part in self.compare)]
        for layer, weights in zip([*built, answer], [*ours, [self.V, self.b]], strict=True):
            layer.set_weights(weights)
        return model

    def _keras_comparison(self, s: Any, h: Any) -> tuple[Any, Any, Any, list[Any]]:
        """Return queries, keys, the layer that compares them, and the layers that are learnt."""
        look = layers.Attention(dtype="float64")  # q · k; with q = 0 its weights are all alike
        if self.attention == "mean":
            return 0 * s, h, look, []
        queries, keys = (layers.Dense(self.units, use_bias=False, dtype="float64") for _ in "qk")
        q, k = queries(s), keys(h)
        if self.attention == "additive":
            look = layers.AdditiveAttention(dtype="float64")
            return q, k, look, [queries, keys, look]
        q = q / self.units**0.5 if self.attention == "dot" else q
        return q, k, look, [queries, keys]

    def __repr__(self) -> str:
        return f"<Translator: attention {self.attention}, {self.units} units, {self.size} weights>"


@dataclass(frozen=True, eq=False, repr=False)
class DateRun:
    """What a training run leaves behind.

    Attributes
    ----------
    translator : Translator
        As it is at the end.
    losses : array, shape (steps,)
        Of each batch before its update, in nats a character; every date is seen once.
    """

    translator: Translator
    losses: Array

    def __repr__(self) -> str:
        return f"<DateRun: {self.translator!r}, {len(self.losses)} steps>"


def train_translator(
    attention: str,
    *,
    units: int = 32,
    steps: int = 400,
    batch: int = 32,
    learning_rate: float = 0.01,
    clip: float = 1.0,
    frozen_reader: bool = False,
    seed: int = 0,
) -> DateRun:
    """Train a translator on fresh dates: Adam with a rate that falls to 0 in a straight line.

    Parameters
    ----------
    attention : "none", "mean", "dot", "unscaled dot" or "additive"
    units, steps, batch : int
    learning_rate : float
        Of the first step.
    clip : float
        The largest global norm that the gradients may have.
    frozen_reader : bool
        Whether the reader stays as it was drawn, a control: then all but it is learnt.
    seed : int
        Of the first weights and, on its own, of the dates: with one seed all see the same dates.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the sentence names it.
    """
    steps, batch = positive_int("steps", steps), positive_int("batch", batch)
    rate, clip = positive_number("learning_rate", learning_rate), positive_number("clip", clip)
    for_start, for_dates = np.random.default_rng(positive_int("seed", seed, minimum=0)).spawn(2)
    translator = Translator.random(attention, units, for_start)
    frozen = (
        len(translator.reader.weights)
        if instance("frozen_reader", frozen_reader, bool, "True or False")
        else 0
    )
    learnt = translator.parameters[frozen:]
    rules = [Adam(lambda t: rate * (1 - (t - 1) / steps)) for _ in learnt]
    losses = np.empty(steps)
    for step in range(steps):
        task = dates(batch, for_dates)
        losses[step], gradients = translator.loss_and_gradients(at_the_end(task.x), task.y)
        clipped, _ = clip_by_global_norm(gradients.parameters[frozen:], clip)
        for parameter, rule, gradient in zip(learnt, rules, clipped, strict=True):
            parameter += rule.change(gradient)
    return DateRun(translator, losses)


def at_the_end(codes: ArrayLike) -> Codes:
    """Return texts with their padding moved to the front, so that the last step has read all.

    Parameters
    ----------
    codes : int array, shape (batch, time)
        As `tasks.dates` has them: 0 after the end.

    Raises
    ------
    TypeError, ValueError
        If these are no whole numbers of `ALPHABET` in two axes.
    """
    takes = f"whole numbers 0 … {READS}, shape (batch, time)"
    array = np.asarray(codes)
    if array.dtype.kind not in "iu":
        raise TypeError(f"`codes` is {shown(codes)}; it takes {takes}.")
    if array.ndim != 2 or array.size == 0 or array.min() < 0 or array.max() > READS:
        raise ValueError(f"`codes` is {shown(codes)}; it takes {takes}.")
    order = np.argsort(array != 0, axis=1, kind="stable")
    return np.take_along_axis(array, order, axis=1).astype(np.int64)


def shifted(y: Codes) -> Codes:
    """Return for each character of an answer the one before it: −1, y_1, …, y_9."""
    return np.concatenate([np.full((len(y), 1), NOTHING), y[:, :-1]], axis=1)


def _of_characters(logits: Array, y: Codes) -> tuple[float, Array]:
    """Return the mean cross-entropy of all characters and its gradient by the logits."""
    loss, d_logits = softmax_cross_entropy(logits.reshape(-1, WRITES), y.ravel())
    return loss, d_logits.reshape(logits.shape)
