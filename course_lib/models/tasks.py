"""Memory tasks: sequences whose answer needs something that was read many steps ago.

Each function draws a fresh batch and returns a `Task`, which unpacks into its two arrays:
`x, y = adding(32, 50, rng)`. With it comes what a network can reach that remembers nothing, so
that a loss can be told from no learning at all. The same generator in the same state draws the same
batch.

    task                     one must               without memory
    first_symbol_recall      keep one symbol        ln K
    adding                   keep a number          1/6
    copying                  keep ten symbols       10 ln 8 / (lag + 20)
    temporal_order           keep two, in order     ln 4
    dates                    translate              the entropy of each character

Losses are mean cross-entropies in nats, or mean squares. Formulas and sources stand with each task.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import generator, positive_int, shown

__all__ = [
    "DateTask",
    "Task",
    "adding",
    "copying",
    "dates",
    "first_symbol_recall",
    "temporal_order",
]

Rng = np.random.Generator


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """A batch of sequences with their answers, and how good an answer without memory is.

    Attributes
    ----------
    name : str
    x : float64 array, shape (batch, time, features)
        The sequences.
    y : array
        The answers: labels, int64 of shape (batch,) after the last step or (batch, time) at every
        step; or numbers, float64 of shape (batch, 1).
    outputs : int
        How many numbers a network has to give: one for each class, or 1.
    loss : "cross-entropy" or "squared"
    baseline : float
        The smallest loss without memory, in nats or as a mean square.
    chance : float or None
        The accuracy that goes with it, 0 … 1; None where the answer is a number.
    """

    name: str
    x: NDArray[np.generic]
    y: NDArray[np.generic]
    outputs: int
    loss: str
    baseline: float
    chance: float | None = None

    @property
    def length(self) -> int:
        """T, the number of steps."""
        return self.x.shape[1]

    def __iter__(self) -> Iterator[NDArray[np.generic]]:
        """Unpack into x and y."""
        return iter((self.x, self.y))

    def __repr__(self) -> str:
        return (
            f"<Task {self.name}: x {self.x.shape}, y {self.y.shape}, {self.loss}, "
            f"{self.baseline:.4f} without memory>"
        )


@dataclass(frozen=True, eq=False, repr=False)
class DateTask(Task):
    """Dates as people write them, and as ISO 8601 does; see `dates`.

    Attributes
    ----------
    texts, answers : tuples of str
        What was drawn: "sunday, 4 july 1976" and "1976-07-04".
    alphabet, output_alphabet : str
        `alphabet[i]` is the character that `x` calls i, `output_alphabet[i]` that of `y`.
    """

    texts: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()
    alphabet: str = ""
    output_alphabet: str = ""


def first_symbol_recall(batch: int, length: int, rng: Rng, symbols: int = 4) -> Task:
    """Draw sequences of random symbols; the answer, after the last step, is the first of them.

    All symbols are equally likely at every step, so nothing but the first step tells the answer
    and it must be carried over length − 1 steps. Without it every class has probability 1/K:
    the loss is ln K and the accuracy 1/K. It is a plain form of the latching problem of Bengio,
    Simard & Frasconi (1994).

    Parameters
    ----------
    batch, length : int
    rng : numpy.random.Generator
    symbols : int, 2 or more
        K.

    Returns
    -------
    Task
        `x` one-hot, shape (batch, length, symbols); `y` labels 0 … symbols − 1, shape (batch,).

    Raises
    ------
    TypeError, ValueError
        If a count is no whole number in its range, or `rng` no generator.
    """
    batch, length = positive_int("batch", batch), positive_int("length", length)
    K = positive_int("symbols", symbols, minimum=2)
    drawn = generator("rng", rng).integers(0, K, (batch, length))
    return Task(
        "first-symbol recall",
        _one_hot(drawn, K),
        drawn[:, 0].copy(),
        outputs=K,
        loss="cross-entropy",
        baseline=float(np.log(K)),
        chance=1 / K,
    )


def adding(batch: int, length: int, rng: Rng) -> Task:
    """Draw sequences of numbers, two of them marked; the answer is the sum of these two.

    One mark is in the first half, one in the second, each anywhere with equal probability
    (Hochreiter & Schmidhuber 1997, experiment 4, in the form of Arjovsky, Shah & Bengio 2016).
    Who has read no number does best to say 1, and is wrong by Var(u₁ + u₂) = 2/12 = 1/6 in the
    mean square, u uniform in 0 … 1.

    Parameters
    ----------
    batch : int
    length : int, 2 or more
    rng : numpy.random.Generator

    Returns
    -------
    Task
        `x` of shape (batch, length, 2): the numbers, uniform in 0 … 1, and the marks, 1 or 0;
        `y` the sums, shape (batch, 1).

    Raises
    ------
    TypeError, ValueError
        If a count is no whole number in its range, or `rng` no generator.
    """
    batch, length = positive_int("batch", batch), positive_int("length", length, minimum=2)
    numbers = generator("rng", rng).uniform(0, 1, (batch, length))
    half, rows = length // 2, np.arange(batch)
    first, second = rng.integers(0, half, batch), rng.integers(half, length, batch)
    marks = np.zeros((batch, length))
    marks[rows, first] = marks[rows, second] = 1
    sums = numbers[rows, first] + numbers[rows, second]
    x = np.stack([numbers, marks], axis=2)
    return Task("adding", x, sums[:, None], outputs=1, loss="squared", baseline=1 / 6)


def copying(batch: int, lag: int, rng: Rng, symbols: int = 8, to_copy: int = 10) -> Task:
    """Draw symbols to be kept over a pause and then repeated.

    With S symbols 0 … S − 1, a blank S and a signal S + 1, the input is `to_copy` random symbols,
    lag − 1 blanks, the signal, and `to_copy` blanks. The answer, at every step, is lag + to_copy
    blanks and then the symbols in their order (Arjovsky, Shah & Bengio 2016, section 5.1). Who has
    forgotten the symbols knows the blanks and guesses at the last to_copy steps: the loss, a mean
    over the steps, is to_copy · ln S / (lag + 2 · to_copy); with 8 symbols, 10 to copy and lag 100
    it is 0.173.

    Parameters
    ----------
    batch : int
    lag : int
        Steps from the last symbol to the signal.
    rng : numpy.random.Generator
    symbols : int, 2 or more
        S.
    to_copy : int

    Returns
    -------
    Task
        `x` one-hot, shape (batch, lag + 2 · to_copy, symbols + 2); `y` labels 0 … symbols, shape
        (batch, lag + 2 · to_copy).

    Raises
    ------
    TypeError, ValueError
        If a count is no whole number in its range, or `rng` no generator.
    """
    batch, lag = positive_int("batch", batch), positive_int("lag", lag)
    S, n = positive_int("symbols", symbols, minimum=2), positive_int("to_copy", to_copy)
    blank, signal, length = S, S + 1, lag + 2 * n
    drawn = generator("rng", rng).integers(0, S, (batch, n))
    read, write = np.full((batch, length), blank), np.full((batch, length), blank)
    read[:, :n] = write[:, -n:] = drawn
    read[:, n + lag - 1] = signal
    return Task(
        "copying",
        _one_hot(read, S + 2),
        write,
        outputs=S + 1,
        loss="cross-entropy",
        baseline=float(n * np.log(S) / length),
        chance=(lag + n + n / S) / length,
    )


def temporal_order(batch: int, length: int, rng: Rng) -> Task:
    """Draw sequences with two symbols, X or Y, among distractors; the answer is their order.

    The first stands in the second tenth of the sequence, the second in the sixth; everywhere else
    is one of four distractors, at random. The classes are 0 for X X, 1 for X Y, 2 for Y X and
    3 for Y Y, equally likely: without memory the loss is ln 4 and the accuracy 1/4. Hochreiter &
    Schmidhuber (1997, experiment 6a), in the form of Pascanu, Mikolov & Bengio (2013).

    Parameters
    ----------
    batch : int
    length : int, 10 or more
    rng : numpy.random.Generator

    Returns
    -------
    Task
        `x` one-hot, shape (batch, length, 6): X, Y and the distractors; `y` labels 0 … 3, shape
        (batch,).

    Raises
    ------
    TypeError, ValueError
        If a count is no whole number in its range, or `rng` no generator.
    """
    batch, length = positive_int("batch", batch), positive_int("length", length, minimum=10)
    drawn = generator("rng", rng).integers(2, 6, (batch, length))
    first, second = rng.integers(0, 2, (2, batch))
    rows = np.arange(batch)
    drawn[rows, rng.integers(length // 10, 2 * length // 10, batch)] = first
    drawn[rows, rng.integers(5 * length // 10, 6 * length // 10, batch)] = second
    return Task(
        "temporal order",
        _one_hot(drawn, 6),
        2 * first + second,
        outputs=4,
        loss="cross-entropy",
        baseline=float(np.log(4)),
        chance=1 / 4,
    )


FIRST_DAY, LAST_DAY = date(1950, 1, 1), date(2049, 12, 31)  # a century: "76" is one year only
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
FORMATS = (
    "{day} {month} {year}",
    "{month} {day}, {year}",
    "{weekday}, {day} {month} {year}",
    "{day} {month:.3} {short_year}",
    "{month:.3} {day} {year}",
    "{day:02}.{number:02}.{year}",
)
PADDING = "\0"
ALPHABET = PADDING + " ,.0123456789abcdefghijklmnopqrstuvwxyz"
OUTPUT_ALPHABET = "0123456789-"
LONGEST = len("wednesday, 10 september 1950")


def dates(count: int, rng: Rng) -> DateTask:
    """Draw dates as people write them; the answer is the same date as ISO 8601 has it.

    "sunday, 4 july 1976", "july 4, 1976", "4 jul 76" and "04.07.1976" are all "1976-07-04". Days
    are drawn evenly from 1 January 1950 to 31 December 2049, so that two digits name one year; the
    six ways of writing are equally likely. Who has not read the date guesses each character by how
    often it stands in its place: the loss is the entropy of that, averaged over the ten places.

    Parameters
    ----------
    count : int
        How many dates.
    rng : numpy.random.Generator

    Returns
    -------
    DateTask
        `x` int64, shape (count, 28): the places of the characters in `alphabet`, 0 after the end;
        `y` labels 0 … 10, shape (count, 10): those in `output_alphabet`.

    Raises
    ------
    TypeError, ValueError
        If `count` is no whole number above 0, or `rng` no generator.
    """
    count = positive_int("count", count)
    days = generator("rng", rng).integers(0, (LAST_DAY - FIRST_DAY).days + 1, count)
    drawn = [FIRST_DAY + timedelta(days=int(day)) for day in days]
    styles = rng.integers(0, len(FORMATS), count)
    texts = tuple(_written(day, FORMATS[style]) for day, style in zip(drawn, styles, strict=True))
    answers = tuple(day.isoformat() for day in drawn)
    baseline, chance = _guessing_each_character()
    return DateTask(
        "dates",
        encode_date(texts),
        _indices(answers, OUTPUT_ALPHABET),
        outputs=len(OUTPUT_ALPHABET),
        loss="cross-entropy",
        baseline=baseline,
        chance=chance,
        texts=texts,
        answers=answers,
        alphabet=ALPHABET,
        output_alphabet=OUTPUT_ALPHABET,
    )


def encode_date(texts: str | tuple[str, ...] | list[str]) -> NDArray[np.int64]:
    """Return written dates, such as a reader's own, as `dates` has them in its `x`.

    Parameters
    ----------
    texts : str, or list of str
        Capitals are made small.

    Returns
    -------
    int64 array, shape (count, 28); one row for one text

    Raises
    ------
    TypeError, ValueError
        If a text is longer than 28 characters or has one that no date is written with.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    for i, text in enumerate(texts):
        takes = f"a date of at most {LONGEST} letters, digits, spaces, commas and full stops"
        if not isinstance(text, str):
            raise TypeError(f"`texts[{i}]` is {shown(text)}; it takes {takes}.")
        if not text or len(text) > LONGEST or set(text.lower()) - set(ALPHABET[1:]):
            raise ValueError(f"`texts[{i}]` is {shown(text)}; it takes {takes}.")
    return _indices([text.lower().ljust(LONGEST, PADDING) for text in texts], ALPHABET)


def _one_hot(indices: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    return np.eye(classes)[indices]


def _indices(texts: tuple[str, ...] | list[str], alphabet: str) -> NDArray[np.int64]:
    place = {character: i for i, character in enumerate(alphabet)}
    return np.array([[place[character] for character in text] for text in texts], dtype=np.int64)


def _written(day: date, style: str) -> str:
    return style.format(
        day=day.day,
        month=MONTHS[day.month - 1],
        number=day.month,
        year=day.year,
        short_year=f"{day.year % 100:02}",
        weekday=WEEKDAYS[day.weekday()],
    )


@cache
def _guessing_each_character() -> tuple[float, float]:
    """Entropy and largest share of each place's characters over all days, averaged over places."""
    days = range((LAST_DAY - FIRST_DAY).days + 1)
    answers = [(FIRST_DAY + timedelta(days=day)).isoformat() for day in days]
    columns = _indices(answers, OUTPUT_ALPHABET).T
    shares = [np.unique(column, return_counts=True)[1] / len(days) for column in columns]
    entropies = [-np.sum(share * np.log(share)) for share in shares]
    return float(np.mean(entropies)), float(np.mean([share.max() for share in shares]))
