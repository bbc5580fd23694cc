"""Words that are known, and sentences as codes."""

import numpy as np
import pytest

from course_lib.models.text import (
    bag_of_words,
    encode_words,
    known_runs,
    known_words,
    known_words_by_chance,
    load_sentences,
    load_text,
    word_vocabulary,
    words,
)

TEXTS = ["The cat sat.", "The dog sat; the cat didn't.", "A cat!"]
VOCABULARY = ("", "[unknown]", "cat", "the", "sat", "a", "didn't", "dog")


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


def test_words_are_runs_of_letters():
    assert words("It's 'Emma'--CHAPTER 12, o’clock_x") == [
        "it's",
        "emma",
        "chapter",
        "o’clock",
        "x",
    ]
    assert words("Où est l'été? 白日依山盡，") == ["où", "est", "l'été", "白日依山盡"]
    assert words("12 --") == []
    refuses(TypeError, lambda: words(None), "`text` is None")


def test_known_words_are_counted_each_time_they_stand_there():
    assert known_words("the cat the xyzzy", "The cat.") == 0.75
    assert known_words("the cat the xyzzy", "The cat.", shortest=4) == 0
    assert known_words("THE", "the") == 1
    refuses(ValueError, lambda: known_words("12 34", "the"), "`generated` is '12 34'")
    refuses(ValueError, lambda: known_words("the", "the", shortest=4), "has 4 letters")
    refuses(ValueError, lambda: known_words("the", "12"), "`text` has no words")
    refuses(TypeError, lambda: known_words(["the"], "the"), "`generated` is ['the']")
    refuses(ValueError, lambda: known_words("the", "the", shortest=0), "`shortest` is 0")


def test_a_book_knows_its_own_words_and_few_of_those_that_chance_writes():
    book = load_text("northanger_abbey").text
    assert known_words(book[: book.index("CHAPTER 2")], book) == 1
    by_chance = known_words_by_chance(book, rng())
    assert by_chance == known_words_by_chance(book, rng())
    assert 0.02 < by_chance < 0.2  # "a", "I" and the like
    assert known_words_by_chance(book, rng(), shortest=4) < 0.02
    refuses(ValueError, lambda: known_words_by_chance("", rng()), "`text` is empty")
    refuses(TypeError, lambda: known_words_by_chance(book, 71), "`rng` is 71")


def test_known_runs():
    assert known_runs("abcx", "xabc", 2) == pytest.approx(2 / 3)
    assert known_runs("abcx", "xabc", 1) == 1
    assert known_runs("abcx", "xabc", 4) == 0
    refuses(ValueError, lambda: known_runs("abc", "abcdef", 4), "3 characters", "4 or more")
    refuses(ValueError, lambda: known_runs("abc", "abc", 0), "`length` is 0")
    refuses(TypeError, lambda: known_runs(b"abc", "abc", 2), "`generated` is b'abc'")


# Sentences


def test_the_sentences_are_split_by_chapter_and_the_classes_are_of_similar_size():
    sentences = load_sentences()
    assert sentences.classes == ("Emma", "Pride and Prejudice")
    assert [len(part.texts) for part in (sentences.train, sentences.test)] == [2652, 548]
    for texts, labels in (sentences.train, sentences.test):
        assert len(texts) == len(labels)
        assert labels.dtype == np.int64
        assert 0.45 < labels.mean() < 0.55
    assert not set(sentences.train.texts) & set(sentences.test.texts)
    assert sentences.chance == max(np.bincount(sentences.test.labels)) / 548
    assert "2652 to train" in repr(sentences)


def test_a_bag_of_words_does_well_but_not_perfectly():
    """Naive Bayes (Laplace's add-one), counted in the training sentences."""
    sentences = load_sentences()
    vocabulary = word_vocabulary(sentences.train.texts, 2000)
    train, test = (
        bag_of_words(encode_words(part.texts, vocabulary, 40), len(vocabulary))
        for part in (sentences.train, sentences.test)
    )
    counts = np.stack([train[sentences.train.labels == k].sum(axis=0) + 1 for k in (0, 1)])
    scores = test @ np.log(counts / counts.sum(axis=1, keepdims=True)).T
    accuracy = np.mean(scores.argmax(axis=1) == sentences.test.labels)
    assert 0.7 < accuracy < 0.9
    assert accuracy > sentences.chance + 0.15


def test_the_vocabulary_is_ordered_by_frequency_and_then_by_the_alphabet():
    assert word_vocabulary(TEXTS, 100) == VOCABULARY
    assert word_vocabulary(TEXTS, 4) == VOCABULARY[:4]


def test_sentences_become_rows_that_end_in_0():
    assert encode_words(TEXTS, VOCABULARY[:6], 5).tolist() == [
        [3, 2, 4, 0, 0],
        [3, 1, 4, 3, 2],  # "dog" is unknown, "didn't" is cut off
        [5, 2, 0, 0, 0],
    ]
    assert encode_words([""], VOCABULARY, 2).tolist() == [[0, 0]]


def test_a_bag_counts_words_and_no_padding():
    codes = encode_words(TEXTS, VOCABULARY, 9)
    bags = bag_of_words(codes, len(VOCABULARY))
    assert bags.tolist() == [
        [0, 0, 1, 1, 1, 0, 0, 0],
        [0, 0, 1, 2, 1, 0, 1, 1],
        [0, 0, 1, 0, 0, 1, 0, 0],
    ]
    assert np.array_equal(bag_of_words(codes[:, ::-1], len(VOCABULARY)), bags)  # order is lost


def test_bad_texts_vocabularies_and_codes_are_refused():
    refuses(TypeError, lambda: word_vocabulary("The cat", 9), "`texts` is 'The cat'", "list")
    refuses(TypeError, lambda: word_vocabulary(["a", 3], 9), "`texts[1]` is 3")
    refuses(ValueError, lambda: word_vocabulary(["12"], 9), "`texts` have no words")
    refuses(ValueError, lambda: word_vocabulary(TEXTS, 2), "`size` is 2")
    refuses(ValueError, lambda: encode_words(TEXTS, ["the", "cat"], 9), "`word_vocabulary`")
    refuses(TypeError, lambda: encode_words(TEXTS, "the", 9), "`vocabulary` is 'the'")
    refuses(TypeError, lambda: encode_words(TEXTS, None, 9), "`vocabulary` is None")
    refuses(TypeError, lambda: encode_words("The cat", VOCABULARY, 9), "`texts` is 'The cat'")
    refuses(ValueError, lambda: encode_words(TEXTS, VOCABULARY, 0), "`length` is 0")
    refuses(ValueError, lambda: bag_of_words([[8]], 8), "`codes` holds 8", "0 to 7")
    refuses(ValueError, lambda: bag_of_words([[-1]], 8), "`codes` holds -1")
    refuses(ValueError, lambda: bag_of_words([1, 2], 8), "`codes` has shape (2,)")
    refuses(TypeError, lambda: bag_of_words([[1.5]], 8), "`codes`", "whole numbers")
