"""Language models side by side: bits, a race, the price of windows, words in disorder."""

import keras
import numpy as np
import pytest

from course_lib.models import reading
from course_lib.models.ngrams import bits_per_character
from course_lib.models.text import load_text


def build(cell, characters, units, seed):
    keras.utils.set_random_seed(seed)
    cells = {"RNN": keras.layers.SimpleRNN, "GRU": keras.layers.GRU}
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(characters, 4),
            cells[cell](units, return_sequences=True),
            keras.layers.Dense(characters),
        ]
    )


@pytest.fixture(scope="module")
def model():
    return build("RNN", 7, 5, 1)


def test_bits_are_the_cross_entropy_of_keras(model):
    x, y = np.random.default_rng(1).integers(0, 7, (2, 3, 6))
    loss = keras.losses.sparse_categorical_crossentropy(y, model(x), from_logits=True)
    assert reading.bits(model, x, y) == pytest.approx(bits_per_character(np.asarray(loss)), 1e-5)


def test_an_even_guess_costs_the_logarithm_of_the_characters():
    even = build("RNN", 8, 5, 1)
    even.set_weights([0 * weight for weight in even.get_weights()])
    codes = np.random.default_rng(1).integers(0, 8, 1000)
    assert reading.judged(even, codes) == pytest.approx(3.0)


def test_the_warm_up_is_read_and_not_counted(model):
    codes = np.random.default_rng(1).integers(0, 7, 301)
    whole = reading.bits(model, codes[None, :300], codes[None, 1:])
    assert reading.judged(model, codes) == pytest.approx(whole[0, 50:].mean())


def test_the_last_guess_alone_is_judged(model):
    x, y = np.random.default_rng(1).integers(0, 7, (2, 3, 6))
    other = y.copy()
    other[:, :-1] = 0
    logits = model(x)
    assert np.array_equal(reading.last_guess(y, logits), reading.last_guess(other, logits))


def test_a_race_gives_each_cell_its_best_rate():
    result = reading.race(
        build,
        units={"tang_poems": {"RNN": 4, "GRU": 3}},
        rates=[1e-5, 0.05],
        rate_length=5,
        rate_seed=9,
        lengths=[5, 10],
        seeds=[0],
        steps={"tang_poems": 12},
        characters=50,
    )
    assert result["tuned"].shape == (1, 2, 2)
    assert result["held_out"].shape == (1, 2, 2, 1)
    assert np.shape(result["by_place"]) == np.shape(result["arrived"]) == (2, 10)
    slow, fast = result["tuned"][0].T
    assert np.all(fast < slow)
    assert np.all(result["held_out"][0] < slow[:, None, None]), "not the best rate"
    again, unread = reading.train(
        build, "RNN", "tang_poems", 4, 5, 0.05, 0, steps=12, characters=50
    )
    assert reading.judged(again, unread) == pytest.approx(result["held_out"][0, 0, 0, 0], abs=1e-3)
    assert len(unread) == len(load_text("tang_poems").split()[1])


def test_windows_are_timed_on_the_same_number_of_characters():
    shapes = []
    ratios = reading.price_of_windows(
        lambda x, y: shapes.append(x.shape), np.arange(500), [5, 20], characters=100, repeats=3
    )
    assert shapes == [(20, 5), (5, 20)] * 3
    assert ratios[0] == 1
    assert ratios.shape == (2,)


def test_disorder_keeps_the_words_and_the_padding():
    rng = np.random.default_rng(1)
    x = np.where(np.arange(12) < rng.integers(1, 13, (40, 1)), rng.integers(1, 99, (40, 12)), 0)
    mixed = reading.in_disorder(x, rng)
    assert np.array_equal(np.sort(mixed), np.sort(x))
    assert np.array_equal(mixed == 0, x == 0)
    assert not np.array_equal(mixed, x)


def test_naive_bayes_counts_and_adds_one():
    log_p = reading.naive_bayes([[2, 0, 1], [1, 0, 0], [0, 3, 0]], [0, 0, 1])
    assert np.exp(log_p) == pytest.approx(np.array([[4, 1, 2], [1, 4, 1]]) / [[7], [6]])


def test_the_nearest_row_is_another_one_in_the_same_direction():
    assert reading.nearest([[1.0, 0.0], [9.0, 1.0], [0.0, 2.0], [-1.0, 5.0]]).tolist() == [
        1, 0, 3, 2,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: reading.bits("m", [[1]], [[1]]), "`model` is"),
        (lambda m: reading.in_disorder([1, 2], np.random.default_rng(1)), "`x` has shape"),
        (lambda m: reading.in_disorder([[1, 2]], 3), "`rng` is"),
        (lambda m: reading.naive_bayes([[1, 2]], [0, 1]), "`labels` has shape"),
        (lambda m: reading.nearest([1, 2]), "`rows` has shape"),
        (lambda m: reading.price_of_windows(3, [1, 2], [1], characters=2), "`step` is"),
        (
            lambda m: reading.train(
                build, "RNN", "tang_poems", 4, 0, 0.1, 1, steps=1, characters=9
            ),
            "`length` is 0",
        ),
    ],
)
def test_bad_input_is_refused_in_one_sentence(model, call, words):
    with pytest.raises((TypeError, ValueError)) as problem:
        call(model)
    assert words in str(problem.value)
    assert "\n" not in str(problem.value)
