"""n-gram models of characters: what a network has to beat, and how that is measured.

An n-gram model looks at the n − 1 characters before and counts what followed them in a text. The
counts of order n are mixed with those of order n − 1 as Witten and Bell (1991) do it, in the form
of Chen and Goodman (1999, equation 17),

    p_n(c | h) = (N(h c) + T(h) p_{n−1}(c | h′)) / (N(h) + T(h)),

with N(h) how often the context h was followed by anything, T(h) by how many different characters,
and h′ = h without its first character. p_0 = 1/K. Nothing is tuned, and no character is impossible.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import as_array, function, generator, number, positive_int
from course_lib.models.characters import Codes, as_codes

__all__ = [
    "NGrams",
    "baselines",
    "bits_per_character",
    "kneser_ney_pairs",
    "perplexity",
    "sample",
    "tempered",
]

NAMES = ("uniform", "unigram", "bigram", "trigram")


class Counts(NamedTuple):
    """How often each n-gram of one order stands in a text, as sorted keys and their counts."""

    grams: Codes
    gram_counts: Codes
    contexts: Codes
    context_counts: Codes  # N(h)
    followers: Codes  # T(h)


class NGrams:
    """An n-gram model, counted in a text.

    Parameters
    ----------
    codes : int array, shape (n,)
        The text to count.
    order : int
        n: 1 for single characters, 2 for pairs, 0 for all characters equally likely.
    size : int
        K, the number of characters in the vocabulary.

    Raises
    ------
    TypeError, ValueError
        If `codes` are no codes below `size`, or fewer than `order`; if a number is out of range.
    """

    def __init__(self, codes: Any, order: int, size: int) -> None:
        self.size = positive_int("size", size)
        self.order = positive_int("order", order, minimum=0, maximum=_highest_order(self.size))
        codes = as_codes("codes", codes, self.size, shortest=max(1, self.order))
        self._counts = [self._count(codes, n) for n in range(1, self.order + 1)]

    def probabilities(self, context: Any) -> NDArray[np.float64]:
        """Return the probability of each character after `context`, shape (size,).

        Parameters
        ----------
        context : int array, shape (any,)
            The codes so far; the last order − 1 of them are looked at.
        """
        context = as_codes("context", context, self.size, shortest=0)
        seen = context[max(0, len(context) - self.order + 1) :] if self.order > 1 else context[:0]
        grams = np.column_stack([np.tile(seen, (self.size, 1)), np.arange(self.size)])
        return self._probability(grams)

    def predict(self, codes: Any) -> NDArray[np.float64]:
        """Return the logarithms of `probabilities`, as `sample` takes them."""
        return np.log(self.probabilities(codes))

    def nats(self, codes: Any, *, after: Any = ()) -> NDArray[np.float64]:
        """Return −ln p of each character of a text given those before, shape (n,).

        Parameters
        ----------
        codes : int array, shape (n,)
        after : int array
            What stands before it. Without that the first characters have a shorter context.
        """
        codes = as_codes("codes", codes, self.size, shortest=1)
        before = as_codes("after", after, self.size)[-max(1, self.order - 1) :]
        whole = np.concatenate([before, codes])
        width = min(max(1, self.order), len(whole))
        begin = [self._probability(whole[None, : i + 1]) for i in range(width - 1)]
        grams = np.lib.stride_tricks.sliding_window_view(whole, width)
        p = np.concatenate([*begin, self._probability(grams)])
        return -np.log(p[len(before) :])

    def __repr__(self) -> str:
        return f"<NGrams of order {self.order}, {self.size} characters>"

    def _probability(self, grams: Codes) -> NDArray[np.float64]:
        """Return the probability of each row's last code given those before it, shape (rows,)."""
        p = np.full(len(grams), 1 / self.size)
        for n, counts in enumerate(self._counts[: grams.shape[1]], start=1):
            part = grams[:, grams.shape[1] - n :]
            context = self._keys(part[:, :-1])
            N_gram = _looked_up(self._keys(part), counts.grams, counts.gram_counts)
            N = _looked_up(context, counts.contexts, counts.context_counts)
            T = _looked_up(context, counts.contexts, counts.followers)
            known = N > 0  # elsewhere nothing was ever seen after this context
            p[known] = (N_gram[known] + T[known] * p[known]) / (N[known] + T[known])
        return p

    def _count(self, codes: Codes, n: int) -> Counts:
        keys = self._keys(np.lib.stride_tricks.sliding_window_view(codes, n))
        grams, gram_counts = np.unique(keys, return_counts=True)
        contexts, first = np.unique(grams // self.size, return_index=True)
        totals = np.add.reduceat(gram_counts, first)
        followers = np.diff(np.append(first, len(grams)))
        return Counts(grams, gram_counts, contexts, totals, followers)

    def _keys(self, grams: Codes) -> Codes:
        """Return one whole number for each row: its codes as the digits of a number to base K."""
        keys = np.zeros(len(grams), dtype=np.int64)
        for column in grams.T:
            keys = keys * self.size + column
        return keys


def baselines(
    train: Any, test: Any, *, size: int | None = None, order: int = 3
) -> dict[str, float]:
    """Return the bits per character that n-gram models need, counted in `train`, for `test`.

    Parameters
    ----------
    train, test : int arrays
        As `Text.split` gives them. The models judge `test` with the end of `train` before it.
    size : int, optional
        K, the number of characters in the vocabulary; unless given, the largest code + 1.
    order : int
        The longest n-grams that are tried.

    Returns
    -------
    dict
        "uniform", "unigram", "bigram", "trigram", "4-gram" … to bits per character: the mean of
        −log₂ p over `test`, uniform being log₂ K.

    Raises
    ------
    TypeError, ValueError
        If an array holds no codes below `size`, or `train` fewer than `order`; if a number is
        out of range.
    """
    size = None if size is None else positive_int("size", size)
    train = as_codes("train", train, size, shortest=1)
    test = as_codes("test", test, size, shortest=1)
    K = size or 1 + int(max(train.max(), test.max()))
    orders = range(positive_int("order", order, minimum=0, maximum=_highest_order(K)) + 1)
    nats = {n: NGrams(train, n, K).nats(test, after=train).mean() for n in orders}
    names = [*NAMES, *(f"{n}-gram" for n in orders[len(NAMES) :])]
    return {name: bits_per_character(nats[n]) for name, n in zip(names, orders, strict=False)}


def kneser_ney_pairs(train: Any, test: Any, *, size: int) -> float:
    """Return the bits per character that a table of pairs by Kneser and Ney needs for `test`.

    In the interpolated form of Chen and Goodman (1999, section 2.7): with N(h c) the counts of
    pairs in `train`, N(h) their sum over c, T(h) the number of different characters after h,

        p(c | h) = (max(N(h c) − d, 0) + d T(h) p(c)) / N(h),

    where p(c) counts not how often c stands in the text but after how many different characters,
    discounted in the same way and mixed with 1 / K. The discount is d = n₁ / (n₁ + 2 n₂), with n₁
    and n₂ the number of pairs that stand there once and twice: nothing is tuned.

    Parameters
    ----------
    train, test : int arrays
        As `Text.split` gives them; `test` is judged with the end of `train` before it.
    size : int
        K, the number of characters in the vocabulary.

    Raises
    ------
    TypeError, ValueError
        If an array holds no codes below `size`, `train` fewer than two, or no pair that stands
        there once.
    """
    size = positive_int("size", size)
    train = as_codes("train", train, size, shortest=2)
    test = as_codes("test", test, size, shortest=1)
    grams, counts = np.unique(train[:-1] * size + train[1:], return_counts=True)
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    if not once:
        raise ValueError("`train` has no pair that stands there once; it takes a longer text.")
    d = once / (once + 2 * twice)
    after_h = np.bincount(grams // size, minlength=size)  # T(h)
    before_c = np.bincount(grams % size, minlength=size)
    spare = d * (before_c > 0).sum() / len(grams)
    p_c = np.maximum(before_c - d, 0) / len(grams) + spare / size
    h, c = np.append(train[-1], test[:-1]), test
    N_h = np.bincount(train[:-1], minlength=size)[h]
    N_hc = _looked_up(h * size + c, grams, counts)
    mixed = (np.maximum(N_hc - d, 0) + d * after_h[h] * p_c[c]) / np.maximum(N_h, 1)
    return bits_per_character(-np.log(np.where(N_h > 0, mixed, p_c[c])).mean())


def bits_per_character(nats: Any) -> Any:
    """Return nats / ln 2: a mean cross-entropy in nats, as Keras has it, in bits.

    Parameters
    ----------
    nats : float or array of them
        0 or more.
    """
    return _of_nats(nats, lambda value: value / np.log(2))


def perplexity(nats: Any) -> Any:
    """Return e^nats: among how many equally likely characters one would be as unsure.

    Parameters
    ----------
    nats : float or array of them
        A mean cross-entropy, 0 or more.
    """
    return _of_nats(nats, np.exp)


def tempered(logits: Any, temperature: float) -> NDArray[np.float64]:
    """Return softmax(logits / temperature) over the last axis.

    Parameters
    ----------
    logits : array of numbers, last axis the characters
        Up to a constant the logarithms of probabilities.
    temperature : float
        1 leaves the probabilities as they are, less sharpens and more flattens them; 0 gives all
        to the largest.

    Returns
    -------
    float64 array of the same shape
        Sums to 1 over the last axis.

    Raises
    ------
    TypeError, ValueError
        If `logits` are no finite numbers, or `temperature` is below 0.
    """
    logits = as_array("logits", logits, takes="numbers, the last axis the characters")
    if not logits.ndim:
        raise ValueError("`logits` is one number; it takes one for each character.")
    below = logits - logits.max(axis=-1, keepdims=True)
    if number("temperature", temperature, minimum=0) == 0:
        weights = (below == 0).astype(float)
    else:
        with np.errstate(over="ignore"):  # −∞, of which the exponential is 0
            weights = np.exp(below / temperature)
    return weights / weights.sum(axis=-1, keepdims=True)


def sample(
    predict: Callable[[Codes], Any],
    codes: Any,
    length: int,
    temperature: float,
    rng: np.random.Generator,
) -> Codes:
    """Write `length` characters, each drawn from what the model expects after those before.

    Parameters
    ----------
    predict : function
        Gets all codes so far, int64 of shape (n,), and returns the logits of the next character,
        shape (size,): `NGrams.predict`, or a network's.
    codes : int array, shape (n,)
        What the text begins with; it may be empty if `predict` can begin with nothing.
    length : int
    temperature : float
        See `tempered`.
    rng : numpy.random.Generator

    Returns
    -------
    int64 array, shape (length,)
        Without the beginning.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit, or `predict` returns something else than finite logits.
    """
    function("predict", predict, "a function from codes to the logits of the next character")
    begin = as_codes("codes", codes, shortest=0)
    length = positive_int("length", length)
    generator("rng", rng)
    number("temperature", temperature, minimum=0)
    written = np.append(begin, np.zeros(length, dtype=np.int64))
    for n in range(len(begin), len(written)):
        logits = as_array("predict(codes)", predict(written[:n].copy()), ndim=1)
        written[n] = draw(logits, temperature, rng)
    return written[len(begin) :]


def draw(logits: Any, temperature: float, rng: np.random.Generator) -> int:
    """Return one code, drawn with the probabilities `tempered(logits, temperature)`."""
    edges = np.cumsum(tempered(logits, temperature))
    return int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))


def _of_nats(nats: Any, convert: Callable[[Any], Any]) -> Any:
    values = as_array("nats", nats, takes="a mean cross-entropy in nats, or several")
    if values.min() < 0:
        raise ValueError(f"`nats` holds {values.min()}; a cross-entropy is 0 or more.")
    converted = convert(values)
    return converted if values.ndim else float(converted)


def _looked_up(keys: Codes, known: Codes, values: Codes) -> Codes:
    """Return the value that belongs to each key, 0 for those that are not known."""
    place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.where(known[place] == keys, values[place], 0)


def _highest_order(size: int) -> int:
    """Return the longest n-gram whose key fits into 64 bits."""
    return int(63 // max(1.0, np.log2(size)))
