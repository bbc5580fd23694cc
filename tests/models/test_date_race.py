"""The race of the translators of dates: the same dates for all, the best rate for each."""

import numpy as np
import pytest

from course_lib.models.date_race import date_race, learn_dates
from course_lib.models.dates import train_translator

SMALL = {"units": {"none": 5, "mean": 4, "dot, reader frozen": 4}, "steps": 20, "batch": 4}


def test_a_way_is_an_attention_and_its_seed_makes_it_again():
    run, loss, exact = learn_dates("mean", 0.02, 3, **SMALL)
    same = train_translator("mean", units=4, steps=20, batch=4, learning_rate=0.02, seed=3)
    np.testing.assert_array_equal(run.losses, same.losses)
    assert 0 < loss < 3
    assert 0 <= exact <= 1


def test_a_frozen_reader_stays_as_it_was_drawn():
    run, *_ = learn_dates("dot, reader frozen", 0.02, 3, **SMALL)
    other, *_ = learn_dates("dot, reader frozen", 0.01, 3, **SMALL)
    for ours, theirs in zip(
        run.translator.reader.weights, other.translator.reader.weights, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert (run.translator.V != other.translator.V).any()


def test_each_way_runs_with_the_rate_that_has_the_lowest_loss():
    rates = [1e-5, 0.03]
    race = date_race(["none", "mean"], rates, [9], [0, 1, 2], 40, **SMALL)
    assert {name: of.shape for name, of in race.items()} == {
        "grid": (2, 2, 1), "exact": (2, 3), "curves": (2, 3, 1), "late": (3,)}  # fmt: skip
    assert (race["grid"][:, 1] < race["grid"][:, 0]).all()
    for way, curves in zip(("none", "mean"), race["curves"], strict=True):
        run, *_ = learn_dates(way, rates[1], 2, **SMALL)
        np.testing.assert_array_equal(curves[2], [run.losses.mean()])


@pytest.mark.parametrize(
    ("change", "part"),
    [({"way": "men"}, "`way` is 'men'"), ({"way": "dot"}, "`units` has no 'dot'"),
     ({"seed": -1}, "`seed` is -1"), ({"rate": 0.0}, "`learning_rate` is 0")],
)  # fmt: skip
def test_bad_input_is_refused_in_one_sentence(change, part):
    with pytest.raises(ValueError, match=part):
        learn_dates(**{"way": "none", "rate": 0.02, "seed": 0} | SMALL | change)
