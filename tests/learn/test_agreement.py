"""`agree` says by how much witnesses differ, and fails when they do."""

import numpy as np
import pytest

from course_lib.learn.agreement import agree, largest_difference
from course_lib.learn.claims import ClaimFailed, forget, measured_claims


@pytest.fixture(autouse=True)
def _fresh():
    forget()


def test_equal_arrays_differ_by_nothing():
    assert largest_difference("a", [np.ones(3), np.eye(2)], "b", [np.ones(3), np.eye(2)]) == 0
    assert largest_difference("a", np.zeros(3), "b", np.zeros(3)) == 0


def test_the_difference_is_relative_to_the_largest_entry():
    assert largest_difference("a", [100.0, 1.0], "b", [100.0, 2.0]) == pytest.approx(0.01)


def test_a_gradient_against_zeros_or_nan_is_infinitely_far():
    assert largest_difference("a", np.zeros(2), "b", np.ones(2)) == np.inf
    assert largest_difference("a", np.ones(2), "b", np.array([1.0, np.nan])) == np.inf


def test_agreement_is_an_exact_claim_with_one_line(capsys):
    agree("01-test", "The gradient", {"ours": np.ones(2), "the tape": np.ones(2) + 1e-12})
    (result,) = measured_claims()
    assert result.holds
    assert result.kind == "exact"
    assert result.measured == pytest.approx(1e-12, rel=1e-3)
    assert len(capsys.readouterr().out.strip().splitlines()) == 1


def test_a_transposed_gradient_is_caught(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    dW = np.random.default_rng(0).standard_normal((3, 3))
    with pytest.raises(ClaimFailed, match="the tape"):
        agree("01-test", "The gradient", {"ours": dW, "the tape": dW.T})


@pytest.mark.parametrize(
    ("witnesses", "sentence"),
    [
        ({"ours": np.ones(2)}, "at least two"),
        ([np.ones(2), np.ones(2)], "at least two"),
        ({"ours": np.ones(2), "the tape": np.ones(3)}, "“the tape” has shapes"),
        ({"ours": np.ones(2), "the tape": [np.ones(2), np.ones(2)]}, "“the tape” has shapes"),
        ({"ours": np.ones(2), "the tape": None}, "“the tape”"),
        ({"ours": np.ones(2), "the tape": "gradient"}, "“the tape”"),
    ],
)
def test_nothing_to_compare_is_said_in_a_sentence(witnesses, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        agree("01-test", "The gradient", witnesses)
    assert "\n" not in str(caught.value)
