"""What `check` says of an answer that no listed mistake fits."""

import numpy as np
import pytest

from course_lib.learn.exercises import Exercise, Mistake, judge


def product(x, W):
    return x @ W


def inputs(rng):
    return rng.normal(size=(rng.integers(3, 9), 4)), rng.normal(size=(4, 4))


def never(*arguments):
    return np.zeros(99)


def exercise(reference=product, inputs=inputs, **options):
    return Exercise(
        id="99-test",
        task="Multiply.",
        reference=reference,
        inputs=inputs,
        mistakes=[Mistake(name, never, name) for name in ("one", "two", "three")],
        hints=("one", "two", "three"),
        **options,
    )


def lost_one(x, W):
    result = x @ W
    result[1, 2] = 0
    return result


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x, W: 3 * x @ W, "Your result is 3 times too large in each entry."),
        (lambda x, W: -x @ W / 4, "4 times too small in each entry, and has the wrong sign."),
        (lambda x, W: x @ W * np.log(10), "2.303 is ln 10"),
        (lambda x, W: 1.001 * x @ W, "is 1.001 of what it should be"),
        (lambda x, W: -(x @ W), "has the wrong sign, and is right otherwise."),
        (lambda x, W: 0 * x @ W, "is all zeros: is something overwritten"),
        (lambda x, W: x @ W + 0.5, "is too large by the same 0.5 everywhere."),
        (lambda x, W: x @ W / len(x), "too small by a factor, the size of axis 0 of `x` (here"),
        (lambda x, W: x @ W * len(x), "too large by a factor, the size of axis 0 of `x` (here"),
        (lambda x, W: x @ W / len(x) ** 0.5, "too small by the square root of the size of axis 0"),
        (lambda x, W: (x @ W).T, "is transposed: it has shape (4, "),
        (lambda x, W: (x @ W)[::-1], "is in reverse order."),
        (lambda x, W: 1 / (x @ W), "is upside down"),
        (lambda x, W: (x @ W) ** 2, "is the square of what it should be"),
        (lambda x, W: np.abs(x @ W), "has lost its signs"),
        (lambda x, W: np.exp(x @ W), "is the exponential"),
        (lambda x, W: (x @ W).ravel(), "has the right entries, but in shape ("),
        (lambda x, W: (x @ W).sum(), "is one number; it needs shape ("),
        (lambda x, W: W @ x.T, "shape (4, "),
        (lambda x, W: np.ones((2, 9)), "has shape (2, 9); it needs shape ("),
        (lambda x, W: (x @ W) / 0, "is infinite at [0, 0], where the reference has"),
        (lambda x, W: x @ W * np.nan, "is NaN at [0, 0], where the reference has"),
        (lambda x, W: (x @ W).astype(np.float32), "not near enough here: was it rounded?"),
        (lambda x, W: (x @ W, W), "is a tuple of 2; it needs to be an array of shape ("),
        (lambda x, W: {"y": x @ W}, "is a dict with `y`; it needs to be an array"),
        (
            lambda x, W: 1j * x @ W,
            "is an array of complex numbers; it needs to be an array of shape",
        ),
        (lost_one, "is 0 at [1, 2], where the reference has"),
        (lost_one, "(1 of "),
        (lambda x, W: x + 1, "is "),
    ],
)
def test_the_difference_is_named(answer, said):
    for seed in range(3, 10):
        verdict = judge(exercise(tolerance=1e-8), answer, np.random.default_rng(seed))
        assert verdict.state == "wrong"
        assert said in verdict.sentence, verdict.sentence


def test_an_answer_that_ignores_its_input_is_told_so():
    square = exercise(inputs=lambda rng: (rng.normal(size=(3, 4)), rng.normal(size=(4, 4))))
    verdict = judge(square, lambda x, W: np.full((3, 4), 0.3))
    assert "is the same whatever goes in" in verdict.sentence


def test_an_answer_that_is_right_for_some_inputs_is_told_for_how_many():
    lengths = iter([3, 4, 3, 4, 3])
    alternating = exercise(
        inputs=lambda rng: (rng.normal(size=(next(lengths), 4)), rng.normal(size=(4, 4)))
    )
    verdict = judge(alternating, lambda x, W: x @ (W if len(x) == 3 else W.T))
    assert "is right for 3 of 5 inputs; for another it is " in verdict.sentence


def gradients(x, W):
    return {"dW": x.T @ x @ W, "db": x.sum(axis=0)}


def both(x, W):
    return x.T @ x @ W, x.sum(axis=0)


def test_the_part_that_is_wrong_is_named():
    several = exercise(gradients)
    assert judge(several, gradients).state == "right"
    swapped = judge(several, lambda x, W: {"db": x.sum(axis=0), "dW": x.T @ x @ W})
    assert swapped.state == "right"
    verdict = judge(several, lambda x, W: {"dW": x.T @ x @ W, "db": x.mean(axis=0)})
    assert verdict.sentence.startswith("`db` is too small by a factor, the size of axis 0 of `x`")
    assert verdict.sentence.endswith("(1 of 2 results are right.)")
    verdict = judge(several, lambda x, W: {"dW": x.T @ x @ W})
    assert "is a dict with `dW`; it needs to be a dict with `dW` and `db`" in verdict.sentence


def test_a_tuple_may_be_a_list_and_its_parts_are_counted():
    several = exercise(both)
    assert judge(several, lambda x, W: list(both(x, W))).state == "right"
    verdict = judge(several, lambda x, W: (both(x, W)[0], -both(x, W)[1]))
    assert verdict.sentence.startswith("Result 2 of 2 has the wrong sign")


def test_infinite_references_can_be_met():
    def logarithm(x, W):
        return np.full(3, -np.inf)

    assert judge(exercise(logarithm), lambda x, W: np.full(3, -np.inf)).state == "right"
    assert judge(exercise(logarithm), lambda x, W: np.zeros(3)).state == "wrong"
