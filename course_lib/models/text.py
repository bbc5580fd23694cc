"""Text for a network: files read with care, characters as whole numbers, windows and streams.

`load_text` reads a text that comes with the course, or the reader's own file. A `Text` knows its
characters, in the order of their code points; the place of a character is its code. Nothing is
downloaded. What counts n-grams is in ``models.ngrams``, what counts words in ``models.words``;
their public names are here as well.
"""

from __future__ import annotations

import codecs
import contextlib
import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from course_lib import data
from course_lib.checks import generator, number, one_of, positive_int, shown
from course_lib.models.characters import Codes, as_codes
from course_lib.models.ngrams import (
    NGrams,
    baselines,
    bits_per_character,
    kneser_ney_pairs,
    perplexity,
    sample,
    tempered,
)
from course_lib.models.words import (
    Sentences,
    bag_of_words,
    encode_words,
    known_runs,
    known_words,
    known_words_by_chance,
    load_sentences,
    word_vocabulary,
    words,
)

__all__ = [
    "TEXTS",
    "UNKNOWN",
    "NGrams",
    "Sentences",
    "Text",
    "bag_of_words",
    "baselines",
    "bits_per_character",
    "encode_words",
    "kneser_ney_pairs",
    "known_runs",
    "known_words",
    "known_words_by_chance",
    "load_sentences",
    "load_text",
    "perplexity",
    "sample",
    "streams",
    "tempered",
    "windows",
    "word_vocabulary",
    "words",
]

Rng = np.random.Generator

TEXTS = ("northanger_abbey", "tang_poems")  # those that come with the course, in data/texts
UNKNOWN = "\N{REPLACEMENT CHARACTER}"  # stands for every character that is too rare
LARGEST = 20_000_000  # bytes of a file: more than a course's network can read in an evening
GUESSES = ("utf-8", "gb18030", "latin-1")  # latin-1 last: it can read everything, also wrongly


@dataclass(frozen=True, eq=False, repr=False)
class Text:
    """A text and its alphabet.

    Attributes
    ----------
    name : str
    text : str
        As it was read, lines ended by one line feed.
    characters : str
        The vocabulary: `characters[k]` is the character with the code k. The first one is
        `UNKNOWN` if rare characters were folded into it.
    """

    name: str
    text: str
    characters: str

    @cached_property
    def codes(self) -> Codes:
        """The whole text as whole numbers, int64 of shape (characters of the text,)."""
        return self.encode(self.text)

    def encode(self, text: str) -> Codes:
        """Return the codes of the characters of `text`, int64 of shape (len(text),).

        Raises
        ------
        TypeError, ValueError
            If `text` is no text, or has a character that is not in the vocabulary and the
            vocabulary has no `UNKNOWN`.
        """
        if not isinstance(text, str):
            raise TypeError(f"`text` is {shown(text)}; it takes a text.")
        place = self._places
        if UNKNOWN in place:
            return np.array([place.get(character, 0) for character in text], dtype=np.int64)
        for where, character in enumerate(text):
            if character not in place:
                raise ValueError(
                    f"`text` has {character!r} at place {where}, which never stands in "
                    f"{self.name}; it takes characters of that text, such as {self._common!r}."
                )
        return np.array([place[character] for character in text], dtype=np.int64)

    def decode(self, codes: Any) -> str:
        """Return the text of `codes`, whole numbers from 0 to len(characters) − 1."""
        return "".join(self.characters[code] for code in as_codes("codes", codes, self.size))

    def split(self, held_out: float = 0.1) -> tuple[Codes, Codes]:
        """Return the codes of the beginning, to train on, and of the end, to judge by.

        Parameters
        ----------
        held_out : float
            The share that is held out, above 0 and below 1.

        Returns
        -------
        train, test : int64 arrays
            Together the whole text.
        """
        takes = "a share above 0 and below 1"
        if not 0 < number("held_out", held_out, takes=takes) < 1:
            raise ValueError(f"`held_out` is {shown(held_out)}; it takes {takes}.")
        end = round(len(self.text) * (1 - held_out))
        if not 0 < end < len(self.text):
            raise ValueError(
                f"`held_out` is {shown(held_out)}; of {len(self.text)} characters that leaves "
                "none on one side."
            )
        return self.codes[:end].copy(), self.codes[end:].copy()

    @property
    def size(self) -> int:
        """K, the number of characters in the vocabulary."""
        return len(self.characters)

    def __len__(self) -> int:
        return len(self.text)

    def __repr__(self) -> str:
        return f"<Text {self.name}: {len(self.text)} characters, {self.size} different ones>"

    @cached_property
    def _places(self) -> dict[str, int]:
        return {character: code for code, character in enumerate(self.characters)}

    @property
    def _common(self) -> str:
        printed = Counter(character for character in self.text if not character.isspace())
        return "".join(character for character, _ in printed.most_common(8))


def load_text(
    name_or_path: str | os.PathLike[str],
    *,
    encoding: str = "utf-8",
    minimum: int = 1,
    shortest: int = 1000,
) -> Text:
    """Return a text of the course, or one that the reader has in a file.

    Parameters
    ----------
    name_or_path : str or path
        `"northanger_abbey"` (Jane Austen, 433 kB), `"tang_poems"` (Chinese, 70 kB), or the path
        of a text file in any script.
    encoding : str
        How the file's bytes stand for characters: ``"utf-8"``, for older Chinese files often
        ``"gb18030"``, for older Western ones ``"latin-1"``.
    minimum : int
        Characters that stand in the text less often are all read as `UNKNOWN`, one symbol.
    shortest : int
        A text with fewer characters is refused: there would be nothing to learn.

    Raises
    ------
    TypeError, ValueError
        In one sentence, if there is no such file, if it is a folder, empty, too short, larger
        than 20 MB, binary, or written in another encoding; the first byte that does not fit is
        named, and the encoding to try.
    """
    minimum, shortest = positive_int("minimum", minimum), positive_int("shortest", shortest)
    encoding = _known_encoding(encoding)
    name, path = _find(name_or_path)
    text = _decoded(name, _bytes(name, path), encoding)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ValueError(f"{name} is empty; it takes a file with a text in it.")
    if len(text) < shortest:
        raise ValueError(
            f"{name} has {len(text)} characters; it takes {shortest} or more, "
            "or a smaller `shortest`."
        )
    return Text(name, text, _vocabulary(text, minimum))


def windows(codes: Any, length: int, batch: int, rng: Rng) -> tuple[Codes, Codes]:
    """Draw windows at random places; the answer at each step is the next character.

    Parameters
    ----------
    codes : int array, shape (n,)
        Of a text, n > length.
    length, batch : int
        Steps of a window, and how many windows: a batch, or a whole training set.
    rng : numpy.random.Generator

    Returns
    -------
    x, y : int64 arrays, shape (batch, length)
        `y[:, t]` stands right after `x[:, t]`, so that `y[:, :-1]` is `x[:, 1:]`.

    Raises
    ------
    TypeError, ValueError
        If `codes` is no vector of codes or too short, or a count is no whole number above 0.
    """
    codes = as_codes("codes", codes)
    length, batch = positive_int("length", length), positive_int("batch", batch)
    if len(codes) <= length:
        raise ValueError(
            f"`codes` has {len(codes)} characters; windows of {length} and the character after "
            f"them take {length + 1} or more."
        )
    starts = generator("rng", rng).integers(0, len(codes) - length, batch)
    places = starts[:, None] + np.arange(length)
    return codes[places], codes[places + 1]


def streams(codes: Any, length: int, batch: int) -> tuple[Codes, Codes]:
    """Cut a text into `batch` long streams, and these into pieces that follow one another.

    Row b of piece k + 1 goes on where row b of piece k ended, so that the state of a recurrent
    network can be carried from piece to piece: truncated backpropagation through time.

    Parameters
    ----------
    codes : int array, shape (n,)
    length, batch : int
        Steps of a piece, and streams that are read side by side. What is left over at the end,
        at most length · batch characters, is not used.

    Returns
    -------
    x, y : int64 arrays, shape (pieces, batch, length)
        `for x, y in zip(*streams(codes, 50, 16))` goes through them in order.

    Raises
    ------
    TypeError, ValueError
        If `codes` is no vector of codes or too short, or a count is no whole number above 0.
    """
    codes = as_codes("codes", codes)
    length, batch = positive_int("length", length), positive_int("batch", batch)
    pieces = (len(codes) - 1) // (length * batch)
    if not pieces:
        raise ValueError(
            f"`codes` has {len(codes)} characters; {batch} streams of {length} steps take "
            f"{length * batch + 1} or more."
        )
    used = pieces * length * batch
    shape = (batch, pieces, length)
    x, y = codes[:used].reshape(shape), codes[1 : used + 1].reshape(shape)
    return x.swapaxes(0, 1).copy(), y.swapaxes(0, 1).copy()


def _find(name_or_path: str | os.PathLike[str]) -> tuple[str, Path]:
    """Return what to call the text, and where it is."""
    if isinstance(name_or_path, str) and name_or_path in TEXTS:
        return name_or_path, data.path(f"texts/{name_or_path}.txt")
    if not isinstance(name_or_path, str | os.PathLike) or not str(name_or_path):
        raise TypeError(
            f"`name_or_path` is {shown(name_or_path)}; it takes one of {', '.join(TEXTS)}, or the "
            "path of a text file."
        )
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        raise ValueError(f"`name_or_path` is {str(path)!r}, a folder; it takes a text file.")
    if not path.exists():
        sentence = f"`name_or_path` is {str(path)!r}, and there is no such file"
        if path.suffix or len(path.parts) > 1:
            raise ValueError(f"{sentence} in {Path.cwd()}.")
        try:
            one_of("name_or_path", str(path), TEXTS)
        except ValueError as error:
            raise ValueError(f"{str(error).removesuffix('.')}, or the path of a file.") from None
    return path.name, path


def _bytes(name: str, path: Path) -> bytes:
    try:
        size = path.stat().st_size
        raw = path.read_bytes() if size <= LARGEST else b""
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error.strerror}.") from None
    if size > LARGEST:
        raise ValueError(f"{name} has {size} bytes; it takes {LARGEST} or fewer: cut a part out.")
    return raw


def _known_encoding(encoding: str) -> str:
    try:
        "a".encode(codecs.lookup(encoding).name)
        return codecs.lookup(encoding).name
    except (LookupError, TypeError, UnicodeError):
        raise ValueError(
            f"`encoding` is {shown(encoding)}; it takes the name of one, such as "
            f"{', '.join(repr(guess) for guess in GUESSES)}."
        ) from None


def _decoded(name: str, raw: bytes, encoding: str) -> str:
    if 0 in raw and not encoding.startswith(("utf-16", "utf-32")):
        raise ValueError(
            f"{name} holds a zero byte (byte {raw.index(0)}), which no text has: it is a picture, "
            "a word processor's file or the like, or a text in UTF-16 (`encoding='utf-16'`)."
        )
    try:
        return raw.decode(encoding)
    except UnicodeError as error:
        place = getattr(error, "start", 0)
        line = raw[:place].count(b"\n") + 1
        raise ValueError(
            f"{name} is not in {encoding}: byte {place} (0x{raw[place]:02x}, line {line}) does not "
            f"fit; try `encoding={_another(raw)!r}`."
        ) from None


def _another(raw: bytes) -> str:
    """Name an encoding in which the bytes can be read."""
    for guess in GUESSES:
        with contextlib.suppress(UnicodeDecodeError):
            raw.decode(guess)
            return guess
    raise AssertionError("latin-1 reads every byte")


def _vocabulary(text: str, minimum: int) -> str:
    counts = Counter(text)
    kept = "".join(sorted(c for c, count in counts.items() if count >= minimum and c != UNKNOWN))
    return kept if len(kept) == len(counts) else UNKNOWN + kept
