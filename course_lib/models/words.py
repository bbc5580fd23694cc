"""Words: those that a network writes, and sentences whose book it is to name.

A word is a run of letters, with the apostrophes inside it, in small letters. Chinese has no spaces
between words; there `known_runs` of two characters is the better question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from course_lib import data
from course_lib.checks import as_array, generator, instance, positive_int, shown

__all__ = [
    "PADDING",
    "UNKNOWN_WORD",
    "Sentences",
    "bag_of_words",
    "encode_words",
    "known_runs",
    "known_words",
    "known_words_by_chance",
    "load_sentences",
    "word_vocabulary",
    "words",
]

PADDING, UNKNOWN_WORD = "", "[unknown]"  # the words with the codes 0 and 1
HELD_OUT = 5  # every fifth chapter is for testing

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Labeled(NamedTuple):
    """Texts and the class of each, int64 of shape (texts,); unpacks into the two."""

    texts: tuple[str, ...]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Sentences:
    """Sentences from books, and which book each is from.

    Attributes
    ----------
    train, test : texts and labels
        `texts, labels = sentences.train`; `labels[i]` is the place of a book in `classes`.
    classes : tuple of str
        The titles.
    """

    train: Labeled
    test: Labeled
    classes: tuple[str, ...]

    @property
    def chance(self) -> float:
        """The accuracy on the test sentences of naming the more frequent book always."""
        return float(np.bincount(self.test.labels).max() / len(self.test.labels))

    def __repr__(self) -> str:
        return (
            f"<Sentences: {len(self.train.texts)} to train, {len(self.test.texts)} to test, from "
            f"{' and '.join(self.classes)}>"
        )


def words(text: str) -> list[str]:
    """Return the words of `text` in their order, in small letters."""
    return _WORD.findall(instance("text", text, str, "a text").lower())


def known_words(generated: str, text: str, *, shortest: int = 1) -> float:
    """Return which share of the words of `generated` stand in `text`, 0 … 1.

    Parameters
    ----------
    generated : str
        What a network wrote, with one such word at least.
    text : str
        What it had read. Characters drawn at random hit short words too: see
        `known_words_by_chance`.
    shortest : int
        Only words of this many letters or more are counted.

    Raises
    ------
    TypeError, ValueError
        If an argument is no text, or has no such word.
    """
    shortest = positive_int("shortest", shortest)
    written, known = _long_words("generated", generated, shortest), set(words(text))
    if not known:
        raise ValueError("`text` has no words; it takes a text to look words up in.")
    return sum(word in known for word in written) / len(written)


def known_words_by_chance(
    text: str, rng: np.random.Generator, *, length: int = 20_000, shortest: int = 1
) -> float:
    """Return `known_words` of characters that are drawn one by one, as frequent as in `text`.

    Parameters
    ----------
    text : str
    rng : numpy.random.Generator
    length : int
        How many characters are drawn.
    shortest : int
        As in `known_words`.

    Raises
    ------
    TypeError, ValueError
        If `text` is no text or empty, or no such word was drawn.
    """
    if not instance("text", text, str, "a text"):
        raise ValueError("`text` is empty; it takes a text to draw characters from.")
    places = generator("rng", rng).integers(0, len(text), positive_int("length", length))
    return known_words("".join(text[place] for place in places), text, shortest=shortest)


def known_runs(generated: str, text: str, length: int) -> float:
    """Return which share of the runs of `length` characters of `generated` stand in `text`.

    Two characters ask whether it writes pairs of the language, also where words have no spaces
    between them; thirty ask whether it copies.

    Raises
    ------
    TypeError, ValueError
        If an argument is no text, or `generated` is shorter than `length`.
    """
    length = positive_int("length", length)
    instance("generated", generated, str, "a text")
    known = set(_runs(instance("text", text, str, "a text"), length))
    runs = _runs(generated, length)
    if not runs:
        raise ValueError(
            f"`generated` has {len(generated)} characters; it takes {length} or more, as many as "
            "a run."
        )
    return sum(run in known for run in runs) / len(runs)


def load_sentences() -> Sentences:
    """Return 3200 sentences of Jane Austen, half from Emma, half from Pride and Prejudice.

    They have 8 to 40 words. Those of every fifth chapter are for testing, so that no scene is in
    both parts: 2652 to train and 548 to test.

    Returns
    -------
    Sentences

    Raises
    ------
    course_lib.data.DataError
        If the file is missing or damaged.
    """
    rows = data.load_table("texts/sentences.csv")
    classes = tuple(sorted({row["book"] for row in rows}))
    parts: dict[bool, list[dict[str, str]]] = {True: [], False: []}
    for row in rows:
        parts[int(row["chapter"]) % HELD_OUT == 0].append(row)
    train, test = (_labeled(parts[is_test], classes) for is_test in (False, True))
    return Sentences(train, test, classes)


def word_vocabulary(texts: Sequence[str], size: int) -> tuple[str, ...]:
    """Return the words that a network is to tell apart, the most frequent ones of `texts`.

    Parameters
    ----------
    texts : sequence of str
        Those to train on.
    size : int, 3 or more
        How many words at most, with the two that stand for none: `vocabulary[0]` is the padding,
        `vocabulary[1]` stands for every word that is not in the vocabulary. Words that are
        equally frequent come in the order of the alphabet.

    Raises
    ------
    TypeError, ValueError
        If `texts` are no texts or have no words, or `size` is no whole number above 2.
    """
    size = positive_int("size", size, minimum=3)
    counts = Counter(word for text in _texts(texts) for word in words(text))
    if not counts:
        raise ValueError("`texts` have no words; it takes texts with words in them.")
    by_frequency = sorted(counts, key=lambda word: (-counts[word], word))
    return (PADDING, UNKNOWN_WORD, *by_frequency[: size - 2])


def encode_words(texts: Sequence[str], vocabulary: Sequence[str], length: int) -> NDArray[np.int64]:
    """Return the codes of the words of each text, filled up with 0.

    Parameters
    ----------
    texts : sequence of str
    vocabulary : sequence of str
        As `word_vocabulary` gives it.
    length : int
        Words of a row: what is longer loses its end, what is shorter ends in 0, which
        ``Embedding(mask_zero=True)`` passes over.

    Returns
    -------
    int64 array, shape (len(texts), length)

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    length = positive_int("length", length)
    place = _places(vocabulary)
    codes = np.zeros((len(_texts(texts)), length), dtype=np.int64)
    for row, text in zip(codes, texts, strict=True):
        kept = [place.get(word, 1) for word in words(text)[:length]]
        row[: len(kept)] = kept
    return codes


def bag_of_words(codes: Any, size: int) -> NDArray[np.float64]:
    """Return how often each word stands in each row: what is left when the order is lost.

    Parameters
    ----------
    codes : int array, shape (texts, length)
        As `encode_words` gives them.
    size : int
        Of the vocabulary.

    Returns
    -------
    float64 array, shape (texts, size)
        The column of the padding is 0.

    Raises
    ------
    TypeError, ValueError
        If `codes` is no matrix of whole numbers from 0 to `size` − 1.
    """
    size = positive_int("size", size)
    takes = f"codes of words, whole numbers from 0 to {size - 1}, of shape (texts, length)"
    as_array("codes", codes, ndim=2, takes=takes)
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise TypeError(f"`codes` is {shown(codes)}; it takes {takes}.")
    if codes.min() < 0 or codes.max() >= size:
        wrong = codes.max() if codes.max() >= size else codes.min()
        raise ValueError(f"`codes` holds {wrong}; it takes {takes}.")
    bags = np.stack([np.bincount(row, minlength=size) for row in codes]).astype(float)
    bags[:, 0] = 0
    return bags


def _texts(texts: Sequence[str]) -> Sequence[str]:
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        raise TypeError(f"`texts` is {shown(texts)}; it takes a list of texts.")
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"`texts[{i}]` is {shown(text)}; it takes a text.")
    return texts


def _places(vocabulary: Sequence[str]) -> dict[str, int]:
    takes = "what `word_vocabulary` returns"
    if isinstance(vocabulary, str) or not isinstance(vocabulary, Sequence):
        raise TypeError(f"`vocabulary` is {shown(vocabulary)}; it takes {takes}.")
    if tuple(vocabulary[:2]) != (PADDING, UNKNOWN_WORD):
        raise ValueError(f"`vocabulary` is {shown(vocabulary)}; it takes {takes}.")
    return {word: code for code, word in enumerate(vocabulary)}


def _long_words(name: str, text: str, shortest: int) -> list[str]:
    found = [word for word in words(instance(name, text, str, "a text")) if len(word) >= shortest]
    if not found:
        raise ValueError(f"`{name}` is {shown(text)}; no word in it has {shortest} letters.")
    return found


def _runs(text: str, length: int) -> list[str]:
    return [text[i : i + length] for i in range(len(text) - length + 1)]


def _labeled(rows: list[dict[str, str]], classes: tuple[str, ...]) -> Labeled:
    labels = np.array([classes.index(row["book"]) for row in rows], dtype=np.int64)
    return Labeled(tuple(row["sentence"] for row in rows), labels)
