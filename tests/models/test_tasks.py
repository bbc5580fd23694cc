"""The memory tasks: shapes, answers that can be read off the input, baselines that are reached."""

from collections import Counter
from datetime import date

import numpy as np
import pytest

from course_lib.maths.recurrent_training import train_recurrent
from course_lib.models import tasks
from course_lib.models.tasks import (
    adding,
    copying,
    dates,
    encode_date,
    first_symbol_recall,
    temporal_order,
)


def rng(seed=71):
    return np.random.default_rng(seed)


DRAWN = {
    "recall": lambda rng: first_symbol_recall(6, 12, rng),
    "adding": lambda rng: adding(6, 12, rng),
    "copying": lambda rng: copying(6, 12, rng),
    "order": lambda rng: temporal_order(6, 12, rng),
    "dates": lambda rng: dates(6, rng),
}
EVERY_TASK = pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)


@EVERY_TASK
def test_the_same_seed_draws_the_same_batch_and_the_next_batch_is_another(draw):
    one, again = draw(rng(1)), draw(rng(1))
    np.testing.assert_array_equal(one.x, again.x)
    np.testing.assert_array_equal(one.y, again.y)
    running = rng(1)
    assert not np.array_equal(draw(running).x, draw(running).x)


@EVERY_TASK
def test_it_unpacks_into_x_and_y_and_says_what_it_is(draw):
    task = draw(rng())
    x, y = task
    assert x is task.x
    assert y is task.y
    assert len(x) == len(y) == 6
    assert task.length == x.shape[1]
    assert task.name in repr(task)
    assert f"{task.baseline:.4f}" in repr(task)


# The answer is in the input


def test_first_symbol_recall():
    task = first_symbol_recall(50, 7, rng(), symbols=5)
    assert task.x.shape == (50, 7, 5)
    assert task.x.dtype == np.float64
    np.testing.assert_array_equal(task.x.sum(axis=2), 1)
    np.testing.assert_array_equal(task.x[:, 0].argmax(axis=1), task.y)
    assert task.outputs == 5
    assert (task.baseline, task.chance) == (pytest.approx(np.log(5)), 0.2)


def test_adding():
    task = adding(50, 9, rng())
    numbers, marks = task.x[..., 0], task.x[..., 1]
    assert task.y.shape == (50, 1)
    np.testing.assert_array_equal(marks[:, :4].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, 4:].sum(axis=1), 1)
    np.testing.assert_allclose((numbers * marks).sum(axis=1, keepdims=True), task.y, rtol=1e-14)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert task.chance is None


def test_copying():
    task = copying(20, 5, rng(), symbols=3, to_copy=2)
    read = task.x.argmax(axis=2)
    assert task.x.shape == (20, 9, 5)
    np.testing.assert_array_equal(read[:, :2], task.y[:, -2:])
    np.testing.assert_array_equal(read[:, 2:6], 3)  # lag − 1 blanks
    np.testing.assert_array_equal(read[:, 6], 4)  # the signal
    np.testing.assert_array_equal(read[:, 7:], 3)
    np.testing.assert_array_equal(task.y[:, :7], 3)
    assert task.outputs == 4
    assert task.y.max() <= 3


def test_copying_has_the_published_baselines():
    """10 ln 8 / (T + 20): Arjovsky, Shah & Bengio (2016), figure 1."""
    for lag, baseline in ((100, 0.17329), (200, 0.09452), (300, 0.06498), (500, 0.03999)):
        task = copying(1, lag, rng())
        assert task.length == lag + 20
        assert task.baseline == pytest.approx(baseline, abs=5e-6)


@pytest.mark.parametrize("length", [10, 11, 50, 99])
def test_temporal_order(length):
    task = temporal_order(200, length, rng())
    read = task.x.argmax(axis=2)
    for symbols, label in zip(read, task.y, strict=True):
        first, second = np.flatnonzero(symbols < 2)  # two, and no more
        assert length // 10 <= first < 2 * length // 10
        assert 5 * length // 10 <= second < 6 * length // 10
        assert label == 2 * symbols[first] + symbols[second]
    assert set(task.y) == {0, 1, 2, 3}


def test_dates():
    task = dates(300, rng())
    assert task.x.shape == (300, 28)
    assert task.y.shape == (300, 10)
    for text, answer, x, y in zip(task.texts, task.answers, *task, strict=True):
        assert "".join(task.alphabet[i] for i in x).rstrip("\0") == text
        assert "".join(task.output_alphabet[i] for i in y) == answer
        assert tasks.FIRST_DAY <= date.fromisoformat(answer) <= tasks.LAST_DAY
        assert str(int(answer[-2:])) in text
        assert answer[2:4] in text
    assert len({len(text) for text in task.texts}) > 5


def test_a_date_in_all_its_ways():
    written = [tasks._written(date(1976, 7, 4), style) for style in tasks.FORMATS]
    assert written == [
        "4 july 1976",
        "july 4, 1976",
        "sunday, 4 july 1976",
        "4 jul 76",
        "jul 4 1976",
        "04.07.1976",
    ]
    np.testing.assert_array_equal(encode_date("4 JUL 76"), encode_date(["4 jul 76"]))


def test_no_two_days_are_written_alike():
    """Every day of the century in every way: the text has one answer."""
    first, last = tasks.FIRST_DAY.toordinal(), tasks.LAST_DAY.toordinal()
    days = [date.fromordinal(n) for n in range(first, last + 1)]
    answers = {}
    for day in days:
        for style in tasks.FORMATS:
            text = tasks._written(day, style)
            assert answers.setdefault(text, day) == day, text
            assert len(text) <= tasks.LONGEST


# Baselines: what the best guess without memory reaches on many fresh sequences


@pytest.mark.parametrize(
    ("task", "classes"),
    [(first_symbol_recall(40_000, 2, rng()), 4), (temporal_order(40_000, 10, rng()), 4)],
)
def test_all_classes_are_equally_likely_whatever_comes_later(task, classes):
    """So 1/K is the best guess: by every later symbol the answers are still even (5 sigma)."""
    assert task.baseline == pytest.approx(np.log(classes))
    assert task.chance == 1 / classes
    shares = np.bincount(task.y, minlength=classes) / len(task.y)
    np.testing.assert_allclose(shares, 1 / classes, atol=5 * np.sqrt(3 / 16 / len(task.y)))
    last = task.x[:, -1].argmax(axis=1)
    for symbol in np.unique(last):
        given = task.y[last == symbol]
        shares = np.bincount(given, minlength=classes) / len(given)
        np.testing.assert_allclose(shares, 1 / classes, atol=5 * np.sqrt(3 / 16 / len(given)))


def test_the_best_constant_of_adding_is_one_and_its_error_a_sixth():
    """Var((u₁ + u₂ − 1)²) = 7/180, so the mean of 200,000 is within 0.0022 (5 sigma)."""
    task = adding(200_000, 4, rng())
    within = 5 * np.sqrt(7 / 180 / 200_000)
    assert np.mean((task.y - 1) ** 2) == pytest.approx(task.baseline, abs=within)
    assert task.baseline == 1 / 6
    for other in (0.9, 1.1):
        assert np.mean((task.y - other) ** 2) > task.baseline + 0.005


def test_guessing_at_the_end_of_copying_costs_the_baseline():
    task = copying(4000, 6, rng(), symbols=4, to_copy=3)
    guess = np.zeros((12, 5))
    guess[:9, 4] = 1
    guess[9:, :4] = 1 / 4
    given = np.take_along_axis(guess[None], task.y[..., None], axis=2)
    assert -np.mean(np.log(given)) == pytest.approx(task.baseline, rel=1e-12)
    right = np.mean(guess.argmax(axis=1) == task.y)
    assert right == pytest.approx(task.chance, abs=5 * np.sqrt(3 / 16 / 12_000) * 3 / 12)


def test_guessing_every_character_of_a_date_costs_the_baseline():
    task = dates(20_000, rng())
    entropies = []
    for column in np.array([list(answer) for answer in task.answers]).T:
        shares = np.array(list(Counter(column).values())) / len(column)
        entropies.append(-np.sum(shares * np.log(shares)))
    assert task.baseline == pytest.approx(np.mean(entropies), abs=0.01)
    assert 1 / 11 < task.chance < 1
    assert entropies[4] == entropies[7] == 0  # the hyphens cost nothing


def test_every_way_of_writing_is_as_likely_as_the_others():
    task = dates(6000, rng())
    dotted = np.mean(["." in text for text in task.texts])
    assert dotted == pytest.approx(1 / 6, abs=5 * np.sqrt(5 / 36 / 6000))


# Training on them


@pytest.mark.parametrize("kind", ["recall", "adding", "copying", "order"])
def test_a_task_is_what_a_training_run_draws(kind):
    draw = DRAWN[kind]
    task = draw(rng())
    run = train_recurrent(draw, outputs=task.outputs, loss=task.loss, units=5, steps=3)
    answers = run.predict(task.x)
    assert answers.shape[0] == 6
    assert answers.shape[-1] == task.outputs
    assert np.isfinite(run.losses).all()
    assert (run.accuracy(*task) <= 1) if task.chance else (run.loss(*task) > 0)


@pytest.mark.parametrize("seed", range(3))
def test_recall_over_ten_steps_is_learnt(seed):
    """An orthogonal tanh layer of 24 units, Adam 0.01, 300 steps: far above the chance of 1/4."""
    run = train_recurrent(
        lambda rng: first_symbol_recall(32, 10, rng), outputs=4, clip=1.0, seed=seed
    )
    assert run.accuracy(*first_symbol_recall(500, 10, rng(seed))) > 0.8


# Bad input


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "3", None, True])
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("batch", lambda wrong: first_symbol_recall(wrong, 5, rng())),
        ("length", lambda wrong: first_symbol_recall(3, wrong, rng())),
        ("symbols", lambda wrong: first_symbol_recall(3, 5, rng(), symbols=wrong)),
        ("batch", lambda wrong: adding(wrong, 5, rng())),
        ("length", lambda wrong: adding(3, wrong, rng())),
        ("batch", lambda wrong: copying(wrong, 5, rng())),
        ("lag", lambda wrong: copying(3, wrong, rng())),
        ("symbols", lambda wrong: copying(3, 5, rng(), symbols=wrong)),
        ("to_copy", lambda wrong: copying(3, 5, rng(), to_copy=wrong)),
        ("batch", lambda wrong: temporal_order(wrong, 10, rng())),
        ("length", lambda wrong: temporal_order(3, wrong, rng())),
        ("count", lambda wrong: dates(wrong, rng())),
    ],
)
def test_a_count_that_is_none_is_refused(name, call, wrong):
    with pytest.raises((TypeError, ValueError), match=f"^`{name}` is .*; it takes .*\\.$"):
        call(wrong)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: adding(3, 1, rng()), "2 or more"),
        (lambda: temporal_order(3, 9, rng()), "10 or more"),
        (lambda: first_symbol_recall(3, 5, rng(), symbols=1), "2 or more"),
        (lambda: copying(3, 5, rng(), symbols=1), "2 or more"),
        (lambda: encode_date("the fourth of july, in the year 1976"), "at most 28"),
        (lambda: encode_date(["4 july 1976", "4/7/1976"]), "`texts[1]`"),
        (lambda: encode_date([4]), "`texts[0]` is 4"),
        (lambda: encode_date(""), "`texts[0]` is ''"),
    ],
)
def test_other_bad_input_is_refused_in_one_sentence(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.startswith("`")
    assert sentence.endswith(".")
    assert "; it takes " in sentence


@pytest.mark.parametrize("wrong", [1, None, np.random])
@EVERY_TASK
def test_a_seed_is_no_generator(draw, wrong):
    with pytest.raises(TypeError, match=r"^`rng` is .*default_rng"):
        draw(wrong)
