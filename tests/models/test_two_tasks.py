"""A second task beside the first: losses, angles and runs."""

import numpy as np
import pytest
import tensorflow as tf

from course_lib.models import two_tasks
from course_lib.models.reading import in_disorder

X = np.array([[3, 4, 5, 0], [6, 7, 0, 0], [3, 3, 3, 3]])
Y = np.array([0, 1, 1])


def sentences(count, rng):
    """Return sentences whose class is told by their first word."""
    x = rng.integers(2, 20, (count, 6))
    return x, x[:, 0] % 2


def test_the_word_that_follows():
    assert two_tasks.following(X).tolist() == [[4, 5, 0, 0], [7, 0, 0, 0], [3, 3, 3, 0]]


def test_losses_leave_the_padding_out():
    model, _ = two_tasks.two_tasks(8, 2, 1, units=3, embedding=3)
    book, word = (np.array(out) for out in model([X, X]))
    after = two_tasks.following(X)
    main, auxiliary = two_tasks.losses([Y, after], [book, word])
    log_p = [of - np.log(np.exp(of).sum(-1, keepdims=True)) for of in (book, word)]
    asked = after > 0
    mine = -np.take_along_axis(log_p[1], after[..., None], -1)[..., 0][asked].mean()
    assert float(main) == pytest.approx(-log_p[0][np.arange(3), Y].mean(), rel=1e-5)
    assert float(auxiliary) == pytest.approx(mine, rel=1e-5)
    word[~asked] += 100 * np.random.default_rng(1).random(word[~asked].shape).astype("float32")
    assert float(two_tasks.losses([Y, after], [book, word])[1]) == pytest.approx(mine, rel=1e-5)


def test_the_class_is_read_from_the_last_word_not_from_the_padding():
    model, _ = two_tasks.two_tasks(8, 2, 1, units=3, embedding=3)
    longer = np.pad(X, ((0, 0), (0, 5)))
    assert np.allclose(model([X, X])[0], model([longer, longer])[0], atol=1e-6)


def test_the_tasks_share_embeddings_and_cell_alone():
    model, shared = two_tasks.two_tasks(8, 2, 1, units=3, embedding=3)
    assert [v.shape for v in shared] == [(8, 3), (3, 9), (3, 9), (2, 9)]
    assert len(model.trainable_variables) == 8


def test_the_gradient_of_a_weighted_sum_is_that_sum_of_gradients():
    model, shared = two_tasks.two_tasks(8, 2, 1, units=3, embedding=3)
    y = [Y, two_tasks.following(X)]
    with tf.GradientTape(persistent=True) as tape:
        main, auxiliary = two_tasks.losses(y, model([X, X]))
        both = main + 0.3 * auxiliary
    of_both, of_main, of_auxiliary = (
        [tf.convert_to_tensor(part).numpy() for part in tape.gradient(loss, shared)]
        for loss in (both, main, auxiliary)
    )
    for whole, first, second in zip(of_both, of_main, of_auxiliary, strict=True):
        assert np.allclose(whole, first + 0.3 * second, atol=1e-7)
        assert np.abs(second).max() > 1e-4, "the second task reaches no shared weight"


def test_a_cosine():
    assert two_tasks.cosine([3.0, 0.0], [2.0, 0.0]) == pytest.approx(1)
    assert two_tasks.cosine([3.0, 0.0], [0.0, -2.0]) == 0
    assert two_tasks.cosine([1.0, 1.0], [-1.0, -1.0]) == pytest.approx(-1)
    assert two_tasks.cosine([1.0, 0.0], [1.0, 1.0]) == pytest.approx(0.5**0.5)


def test_runs_learn_repeat_and_measure():
    rng = np.random.default_rng(1)
    how = {"vocabulary": 20, "labels": 100, "rate": 0.02, "steps": 61, "every": 30}
    parts = sentences(300, rng), sentences(200, rng)
    runs = two_tasks.auxiliary_runs(*parts, variants=[(0.0, False), (1.0, True)], seeds=[1], **how)
    assert runs["right"].shape == (2, 1, 3, 2)
    assert runs["cosines"].shape == (2, 1, 3, 2)
    begin, end = runs["right"][0, 0, [0, -1]]
    assert np.all(end > 0.8)
    assert np.all(begin < 0.7), "measured before training, too"
    assert np.all(np.abs(runs["cosines"]) <= 1 + 1e-6)
    again, cosines = two_tasks.auxiliary_run(*parts, weight=0.0, dealt=False, seed=1, **how)
    assert np.array_equal(again, runs["right"][0, 0])
    assert np.allclose(cosines, runs["cosines"][0, 0])


def test_disorder_leaves_a_bag_as_it_is():
    mixed = in_disorder(X, np.random.default_rng(1))
    assert np.array_equal(np.sort(mixed), np.sort(X))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: two_tasks.following([1, 2]), "`x` has shape"),
        (lambda: two_tasks.cosine([1.0], [1.0, 2.0]), "`b` has shape"),
        (lambda: two_tasks.cosine([0.0], [1.0]), "no direction"),
        (lambda: two_tasks.two_tasks(0, 2, 1), "`vocabulary` is 0"),
        (
            lambda: two_tasks.auxiliary_run(
                (X, Y), (X, Y), vocabulary=8, weight=0.0, dealt=False, seed=1, labels=3,
                rate=0.1, steps=1,
            ),
            "`labels` is 3",
        ),
        (
            lambda: two_tasks.auxiliary_run(
                (X, Y), (X, Y), vocabulary=8, weight=-1.0, dealt=False, seed=1, labels=2,
                rate=0.1, steps=1,
            ),
            "`weight` is -1",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(call, words):
    with pytest.raises((TypeError, ValueError)) as problem:
        call()
    assert words in str(problem.value)
    assert "\n" not in str(problem.value)
