"""Central differences: right on what is known, and honest about what they cannot take."""

import numpy as np
import pytest

from course_lib.maths.differences import central_differences


def test_a_cubic():
    gradient = central_differences(lambda x: np.sum(x**3), np.array([1.0, -2.0]))
    np.testing.assert_allclose(gradient, [3.0, 12.0], rtol=1e-9)


def test_several_arrays_and_the_point_unchanged():
    A, b = np.arange(6.0).reshape(2, 3), np.ones(3)
    d_A, d_b = central_differences(lambda point: np.sum((point[0] @ point[1]) ** 2), [A, b])
    residual = A @ b
    np.testing.assert_allclose(d_A, 2 * np.outer(residual, b), rtol=1e-8)
    np.testing.assert_allclose(d_b, 2 * A.T @ residual, rtol=1e-8)
    np.testing.assert_array_equal(A, np.arange(6.0).reshape(2, 3))


def test_a_wrong_gradient_would_be_noticed():
    gradient = central_differences(lambda x: np.sum(np.tanh(x)), np.array([0.3]))
    assert abs(gradient[0] - 1 / np.cosh(0.3)) > 1e-3  # the square forgotten


@pytest.mark.parametrize("step", [0, -1e-5, "small", float("nan")])
def test_step_must_be_positive(step):
    with pytest.raises((ValueError, TypeError), match="`step`"):
        central_differences(np.sum, np.ones(2), step=step)


def test_the_function_must_return_one_number():
    with pytest.raises(ValueError, match="returns one number"):
        central_differences(lambda x: x, np.ones(2))


@pytest.mark.parametrize(
    ("point", "error", "sentence"),
    [
        (np.array([1.0, np.nan]), ValueError, "`point`"),
        (np.array([1.0 + 1j]), TypeError, "`point`"),
        (np.empty(0), ValueError, "`point`"),
        ([np.ones(2), np.array([np.inf])], ValueError, r"`point\[1\]`"),
        (3.0, TypeError, "`point` is 3.0; it takes an array, or a list of arrays."),
    ],
)
def test_the_point_must_be_numbers(point, error, sentence):
    with pytest.raises(error, match=sentence):
        central_differences(lambda x: float(np.sum(x)), point)


@pytest.mark.parametrize("answer", [None, "3"])
def test_what_is_no_number_is_not_taken_for_one(answer):
    with pytest.raises(ValueError, match=f"`function` returned {answer!r}; it takes a function"):
        central_differences(lambda x: answer, np.ones(2))
