"""n-gram models against counting by hand, and what they are for: judging and writing."""

import math
from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest

from course_lib.models.ngrams import draw
from course_lib.models.text import (
    NGrams,
    baselines,
    bits_per_character,
    kneser_ney_pairs,
    load_text,
    perplexity,
    sample,
    tempered,
)

CODES = np.array([0, 1, 2, 0, 1, 0, 0, 1, 2, 2, 0, 1, 1])
NAN = float("nan")


def rng(seed=71):
    return np.random.default_rng(seed)


def refuses(kind, call, *parts):
    """`call` raises `kind` with one sentence that has `parts` in it."""
    with pytest.raises(kind) as caught:
        call()
    sentence = str(caught.value)
    assert type(caught.value) is kind
    assert "\n" not in sentence
    assert sentence.endswith(".")
    for part in parts:
        assert part in sentence, sentence


def by_hand(codes, context, character, size):
    """Witten and Bell's mixture, with a dictionary and a recursion."""
    shorter = by_hand(codes, context[1:], character, size) if context else 1 / size
    after = Counter(
        codes[i + len(context)]
        for i in range(len(codes) - len(context))
        if tuple(codes[i : i + len(context)]) == context
    )
    if not after:
        return shorter
    total, followers = sum(after.values()), len(after)
    return (after[character] + followers * shorter) / (total + followers)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [3, 5])
def test_probabilities_are_those_counted_by_hand(order, size):
    model = NGrams(CODES, order, size)
    for context in product(range(size), repeat=order - 1):
        expected = [by_hand(CODES.tolist(), context, c, size) for c in range(size)]
        np.testing.assert_allclose(model.probabilities(context), expected, rtol=1e-13)
        np.testing.assert_allclose(model.probabilities((2, 0, *context)), expected, rtol=1e-13)
        np.testing.assert_allclose(model.predict(context), np.log(expected), rtol=1e-12)


@pytest.mark.parametrize("order", range(6))
@pytest.mark.parametrize("context", [[], [0], [4, 1, 2], [0, 1, 2, 0, 1, 4]])
def test_probabilities_sum_to_1_and_nothing_is_impossible(order, context):
    p = NGrams(CODES, order, 5).probabilities(context)
    assert p.shape == (5,)
    assert p.sum() == pytest.approx(1, abs=1e-14)
    assert p.min() > 0


@pytest.mark.parametrize("order", range(5))
@pytest.mark.parametrize("after", [[], [1], [0, 1], [2, 1, 0, 0, 1, 2]])
def test_nats_judge_each_character_by_those_before(order, after):
    model = NGrams(CODES, order, 4)
    test = [3, 0, 1, 2, 2, 0]
    expected = [-np.log(model.probabilities([*after, *test[:i]])[test[i]]) for i in range(6)]
    np.testing.assert_allclose(model.nats(test, after=after), expected, rtol=1e-13)
    np.testing.assert_allclose(model.nats(test[:1], after=after), expected[:1], rtol=1e-13)


def test_baselines_are_in_bits_and_begin_with_log2_K():
    text = load_text("northanger_abbey")
    train, test = text.split()
    bits = baselines(train, test, size=text.size, order=4)
    assert [*bits] == ["uniform", "unigram", "bigram", "trigram", "4-gram"]
    assert bits["uniform"] == pytest.approx(math.log2(text.size), rel=1e-12)
    share = np.bincount(train, minlength=text.size) / len(train)
    cross_entropy = -np.sum(np.bincount(test, minlength=text.size) * np.log2(share)) / len(test)
    assert bits["unigram"] == pytest.approx(cross_entropy, abs=1e-3)  # so much text: no smoothing
    assert 3 < bits["bigram"] < 4
    assert 2.5 < bits["trigram"] < 3
    assert bits["4-gram"] < 2.5
    assert [*baselines(train, test, order=0)] == ["uniform"]


def test_characters_at_random_cannot_be_guessed():
    train, test = rng().integers(0, 8, 20_000), rng(72).integers(0, 8, 5_000)
    bits = baselines(train, test)
    assert bits["uniform"] == 3
    assert all(2.99 < value < 3.1 for value in bits.values())


def test_a_text_that_repeats_itself_is_guessed_by_pairs():
    codes = np.tile([0, 1, 2, 3], 500)
    bits = baselines(codes[:1600], codes[1600:])
    assert bits["unigram"] == pytest.approx(2, abs=1e-3)
    assert bits["bigram"] < 0.01


def test_counts_and_codes_that_do_not_fit_are_refused():
    refuses(ValueError, lambda: NGrams(CODES, 2, 2), "`codes` holds 2", "0 to 1")
    refuses(ValueError, lambda: NGrams(CODES, -1, 3), "`order` is -1")
    refuses(ValueError, lambda: NGrams(CODES, 6, 2526), "`order` is 6", "5")
    refuses(ValueError, lambda: NGrams([], 1, 3), "`codes` has 0 characters")
    refuses(ValueError, lambda: NGrams([0, 1], 3, 3), "`codes` has 2 characters", "3 or more")
    refuses(TypeError, lambda: NGrams(CODES + 0.5, 2, 3), "`codes`")
    refuses(TypeError, lambda: NGrams(CODES, 2.0, 3), "`order` is 2.0")
    refuses(ValueError, lambda: NGrams(CODES, 2, 0), "`size` is 0")
    model = NGrams(CODES, 2, 3)
    refuses(ValueError, lambda: model.nats([3]), "`codes` holds 3")
    refuses(ValueError, lambda: model.nats([]), "0 characters")
    refuses(ValueError, lambda: model.nats([1], after=[-1]), "`after` holds -1")
    refuses(ValueError, lambda: model.probabilities([[1]]), "`context` has shape (1, 1)")
    refuses(ValueError, lambda: baselines(CODES, CODES, size=2), "`train` holds 2")
    refuses(ValueError, lambda: baselines(CODES, []), "`test` has 0 characters")
    refuses(ValueError, lambda: baselines(CODES, CODES, order=-1), "`order` is -1")
    refuses(TypeError, lambda: baselines("abc", CODES), "`train`")


# Bits, perplexity, temperature


def test_bits_and_perplexity():
    assert bits_per_character(math.log(8)) == pytest.approx(3, rel=1e-15)
    assert perplexity(math.log(8)) == pytest.approx(8, rel=1e-15)
    assert bits_per_character(0) == 0
    assert perplexity(0) == 1
    assert isinstance(perplexity(1.0), float)
    np.testing.assert_allclose(bits_per_character(np.log([2, 4])), [1, 2])
    np.testing.assert_allclose(2 ** bits_per_character(np.array([0.3, 2])), perplexity([0.3, 2]))


@pytest.mark.parametrize("convert", [bits_per_character, perplexity])
@pytest.mark.parametrize("nats", [-0.1, NAN, [1, -1], []])
def test_a_cross_entropy_below_0_is_none(convert, nats):
    refuses(ValueError, lambda: convert(nats), "`nats`")


def test_temperature_sharpens_and_flattens():
    p = np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(tempered(np.log(p), 1), p, rtol=1e-14)
    np.testing.assert_allclose(tempered(np.log(p), 0.5), p**2 / np.sum(p**2), rtol=1e-14)
    np.testing.assert_allclose(tempered(np.log(p), 0), [1, 0, 0])
    np.testing.assert_allclose(tempered(np.log(p), 1e-300), [1, 0, 0])
    np.testing.assert_allclose(tempered(np.log(p), 1e6), [1 / 3] * 3, atol=1e-6)
    np.testing.assert_allclose(tempered(np.log(p) + 1e4, 1), p, rtol=1e-10)
    np.testing.assert_allclose(tempered(np.log([p, p[::-1]]), 1), [p, p[::-1]], rtol=1e-14)
    np.testing.assert_allclose(tempered([2, 5, 5], 0), [0, 0.5, 0.5])


def test_temperatures_and_logits_that_are_none_are_refused():
    refuses(ValueError, lambda: tempered([1, 2], -1), "`temperature` is -1")
    refuses(ValueError, lambda: tempered([1, 2], NAN), "`temperature` is nan")
    refuses(TypeError, lambda: tempered([1, 2], "hot"), "`temperature` is 'hot'")
    refuses(ValueError, lambda: tempered([1, NAN], 1), "`logits` holds nan")
    refuses(ValueError, lambda: tempered(3.0, 1), "`logits` is one number")
    refuses(ValueError, lambda: tempered([], 1), "`logits` is empty")


# Writing


def test_characters_are_drawn_as_often_as_the_model_says():
    p = np.array([0.5, 0.3, 0.2, 0.0])
    with np.errstate(divide="ignore"):
        logits = np.maximum(np.log(p), -1e9)
    running = rng()
    drawn = [draw(logits, 1, running) for _ in range(20_000)]
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    assert shares[3] == 0
    assert np.abs(shares - p).max() < 0.02  # 5.7 standard deviations


def test_a_model_is_asked_with_everything_so_far():
    asked = []

    def predict(codes):
        asked.append(codes.tolist())
        return np.eye(5)[(codes[-1] + 1) % 5]

    written = sample(predict, [2], 4, 0, rng())
    assert written.tolist() == [3, 4, 0, 1]
    assert written.dtype == np.int64
    assert asked == [[2], [2, 3], [2, 3, 4], [2, 3, 4, 0]]


def test_the_same_seed_writes_the_same_text():
    model = NGrams(CODES, 3, 3)
    one, again = (sample(model.predict, [], 60, 1.0, rng()) for _ in range(2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, sample(model.predict, [], 60, 1.0, rng(72)))
    assert set(one) == {0, 1, 2}


def test_what_cannot_write_is_refused():
    model = NGrams(CODES, 2, 3)
    refuses(TypeError, lambda: sample("model", [0], 5, 1, rng()), "`predict` is 'model'")
    refuses(ValueError, lambda: sample(model.predict, [-3], 5, 1, rng()), "`codes` holds -3")
    refuses(ValueError, lambda: sample(model.predict, [0], 0, 1, rng()), "`length` is 0")
    refuses(ValueError, lambda: sample(model.predict, [0], 5, -1, rng()), "`temperature` is -1")
    refuses(TypeError, lambda: sample(model.predict, [0], 5, 1, 71), "`rng` is 71")
    refuses(ValueError, lambda: sample(lambda c: [NAN, 0], [0], 5, 1, rng()), "holds nan")
    refuses(ValueError, lambda: sample(lambda c: np.ones((1, 3)), [0], 5, 1, rng()), "(1, 3)")


def kneser_ney_by_hand(codes, h, c, size):
    pairs = Counter(pairwise(codes))
    times = Counter(pairs.values())
    d = times[1] / (times[1] + 2 * times[2])
    before = Counter(second for _, second in pairs)
    p_c = (max(before[c] - d, 0) + d * len(before) / size) / len(pairs)
    after = [count for (first, _), count in pairs.items() if first == h]
    if not after:
        return p_c
    return (max(pairs[h, c] - d, 0) + d * len(after) * p_c) / sum(after)


@pytest.mark.parametrize("size", [3, 5])
def test_kneser_ney_is_counted_by_hand_and_its_probabilities_sum_to_one(size):
    codes = CODES.tolist()
    for h in range(size):
        by_hand = [kneser_ney_by_hand(codes, h, c, size) for c in range(size)]
        assert sum(by_hand) == pytest.approx(1)
        found = [kneser_ney_pairs(CODES, [h, c], size=size) for c in range(size)]
        first = -math.log2(kneser_ney_by_hand(codes, codes[-1], h, size))
        assert 2 ** (first - 2 * np.array(found)) == pytest.approx(by_hand)


def test_on_few_characters_kneser_ney_beats_the_mixture_and_one_added():
    poems = load_text("tang_poems", minimum=5)
    train, test = poems.split()
    known = baselines(train, test, size=poems.size)
    assert kneser_ney_pairs(train, test, size=poems.size) < known["bigram"] - 0.1


def test_kneser_ney_refuses_what_it_cannot_count():
    refuses(ValueError, lambda: kneser_ney_pairs([0], [0], size=2), "`train`")
    refuses(ValueError, lambda: kneser_ney_pairs([0, 3], [0], size=2), "`train`")
    refuses(ValueError, lambda: kneser_ney_pairs([0, 0, 0], [0], size=2), "stands there once")
