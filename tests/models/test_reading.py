"""Language models side by side: bits, a race, the price of windows, words in disorder."""

import keras
import numpy as np
import pytest
import tensorflow as tf

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


def test_a_short_text_is_one_piece(model):
    codes = np.random.default_rng(1).integers(0, 7, 41)
    whole = reading.bits(model, codes[None, :40], codes[None, 1:])
    assert reading.judged(model, codes) == pytest.approx(whole[0, 20:].mean())


def test_run_ups_count_the_same_characters(model):
    codes = np.random.default_rng(1).integers(0, 7, 61)
    x, y = codes[:60].reshape(2, 30), codes[1:].reshape(2, 30)
    none, all_of_them = reading.run_ups(model, codes, (0, 20), counted=10)
    assert none == pytest.approx(reading.bits(model, x[:, 20:], y[:, 20:]).mean())
    assert all_of_them == pytest.approx(reading.bits(model, x, y)[:, 20:].mean())
    assert none != pytest.approx(all_of_them, abs=1e-6)


@pytest.mark.parametrize("cell", ["RNN", "GRU"])
def test_pieces_change_nothing_forward_and_end_the_gradient(cell):
    model = build(cell, 10, 5, 1)
    x, reach = np.random.default_rng(1).permutation(10)[None], {}
    for every in (10, 4):
        cut = reading.in_pieces(model, 10, every)
        assert np.allclose(cut(x), model(x), atol=1e-6)
        with tf.GradientTape() as tape:
            last_guess = tf.reduce_sum(cut(x)[:, -1] ** 2)
        rows = tf.convert_to_tensor(tape.gradient(last_guess, model.layers[0].weights[0]))
        reach[every] = np.abs(rows).max(axis=1)[x[0]] > 0  # each character stands there once
    assert reach[10].all()
    assert reach[4].tolist() == [False] * 8 + [True] * 2


def test_a_race_of_cuts_trains_what_it_judges():
    how = {"name": "tang_poems", "cell": "RNN", "units": 4, "rate": 0.05, "seeds": [0, 1],
           "steps": 12, "characters": 50}  # fmt: skip
    found = reading.cut_race(build, variants=[(10, 10), (10, 5)], **how)["held_out"]
    assert found.shape == (2, 2)
    plain, unread = reading.train(
        build, "RNN", "tang_poems", 4, 10, 0.05, 0, steps=12, characters=50
    )
    assert reading.judged(plain, unread) == pytest.approx(found[0, 0], abs=1e-3)
    assert not np.allclose(found[0], found[1], atol=1e-5), "the cut changes nothing"


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


def test_a_state_is_handed_on_and_the_gradient_is_not():
    model = build("RNN", 7, 5, 1)
    first, second = np.random.default_rng(1).integers(0, 7, (2, 3, 6))
    moved, linked, stateful = reading.hand_over(model, first, second)
    assert stateful is None
    assert linked.shape == (3, 6, 4)
    assert np.abs(linked[:, -1]).max() > 0
    whole = model.layers[1](model.layers[0](np.hstack([first, second])))[:, 6:]
    other = first.copy()
    other[:, -1] = (other[:, -1] + 1) % 7
    changed = model.layers[1](model.layers[0](np.hstack([other, second])))[:, 6:]
    assert moved == pytest.approx(np.sqrt(np.mean((changed - whole) ** 2, axis=(0, 2))), abs=1e-6)
    assert moved[0] > 0.01


def test_a_training_step_trains():
    model = build("RNN", 7, 5, 1)
    x, y = np.random.default_rng(1).integers(0, 7, (2, 3, 6))
    before = [weight.copy() for weight in model.get_weights()]
    reading.training_step(model)(x, y)
    changed = zip(before, model.get_weights(), strict=True)
    assert all(np.any(old != new) for old, new in changed)


def test_a_page_names_the_likeliest():
    text = load_text("tang_poems", minimum=5)
    expected = np.zeros(text.size)
    expected[[3, 8]] = 0.75, 0.25
    page = reading.page(text, [3, 8, 8], expected, most=2)
    assert page["characters"] == [text.characters[3], text.characters[8]]
    assert page["text"] == text.decode([3, 8, 8])
    assert page["probabilities"].tolist() == [0.75, 0.25]
    assert page["bits"] == pytest.approx(0.75 * np.log2(4 / 3) + 0.5)


def test_a_bag_of_few_is_counted_in_few_texts():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 200)
    bags = rng.poisson(np.array([[2.0, 1, 1], [1, 1, 2]])[labels])
    few, all_of_them = (
        reading.bag_of_few(bags, labels, bags, labels, few=few, seeds=range(3)) for few in (8, 200)
    )
    log_p = reading.naive_bayes(bags, labels)
    assert all_of_them == np.mean((bags @ log_p.T).argmax(axis=1) == labels)
    assert 0.5 < few <= all_of_them
    with pytest.raises(ValueError, match="`few` is 300"):
        reading.bag_of_few(bags, labels, bags, labels, few=300, seeds=[1])


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
    assert reading.nearest(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: reading.bits("m", [[1]], [[1]]), "`model` is"),
        (lambda m: reading.in_disorder([1, 2], np.random.default_rng(1)), "`x` has shape"),
        (lambda m: reading.in_disorder([[1, 2]], 3), "`rng` is"),
        (lambda m: reading.naive_bayes([[1, 2]], [0, 1]), "`labels` has shape"),
        (lambda m: reading.in_pieces(3, 4, 2), "`model` is"),
        (lambda m: reading.in_pieces(m, 0, 2), "`length` is 0"),
        (lambda m: reading.in_pieces(keras.Sequential(m.layers[:2]), 4, 2), "`model` has the lay"),
        (lambda m: reading.run_ups(m, [1] * 99, (0, -1)), "`lengths` is -1"),
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
