"""Controls: their ranges, their steps, and what they refuse."""

import numpy as np
import pytest

from course_lib import show
from course_lib.show.controls import _round_step

ALL = {
    "slider": show.slider("x", 0.2, 3.0, 0.9),
    "fine slider": show.slider("x", -1, 1, 0, step=0.001),
    "short last step": show.slider("x", 0, 1, 0.5, step=0.3),
    "log slider": show.log_slider("x", -3, 1, 0.3),
    "integers": show.integers("x", 1, 100, 30),
    "every fourth": show.integers("x", 2, 20, 5, step=4),
    "choice": show.choice("x", ["a", "b", "c"], "b"),
    "named numbers": show.choice("x", {"few": 3, "many": 300}),
    "toggle": show.toggle("x", True),
}


@pytest.mark.parametrize("control", ALL.values(), ids=ALL)
def test_every_value_a_control_offers_is_one_a_reader_can_set(control):
    rng = np.random.default_rng(1)
    values = [control.value, *control.corners(), *(control.random(rng) for _ in range(200))]
    for value in values:
        assert control.checked("x", value) == value
        widget = control.widget()
        widget.value = value
        assert widget.value == value


@pytest.mark.parametrize("name", ["slider", "fine slider", "log slider", "integers"])
def test_random_values_reach_both_ends(name):
    rng, control = np.random.default_rng(1), ALL[name]
    values = np.array([control.random(rng) for _ in range(20_000)])
    assert values.min() == control.corners()[0]
    assert values.max() == control.corners()[1]


@pytest.mark.parametrize(
    ("control", "value", "nearest"),
    [
        (ALL["slider"], 0.93, 0.95),
        (ALL["slider"], 0.5, 0.5),
        (ALL["short last step"], 0.97, 1.0),
        (ALL["short last step"], 0.92, 0.9),
        (ALL["every fourth"], 7, 6),
        (ALL["every fourth"], 20, 20),
        (ALL["log slider"], 0.3, 10**-0.5),
    ],
)
def test_a_value_between_two_steps_moves_to_the_nearest(control, value, nearest):
    assert control.checked("x", value) == nearest


@pytest.mark.parametrize(
    ("span", "step"),
    [(1, 0.02), (2.8, 0.05), (10, 0.2), (100, 2), (3, 0.05), (1e-4, 2e-6), (7e5, 1e4)],
)
def test_steps_are_round_numbers_near_a_fiftieth(span, step):
    assert _round_step(span) == step


@pytest.mark.parametrize(
    ("control", "shown"),
    [
        (show.slider("x", 0.2, 3, 0.9), ".2f"),
        (show.slider("x", 0, 100, 50), ".0f"),
        (show.slider("x", 0, 1, 0, step=0.125), ".2f"),
        (show.slider("x", 0, 1e-3, 0), ".5f"),
    ],
)
def test_a_slider_shows_every_step(control, shown):
    assert control.widget().readout_format == shown


def test_a_dictionary_shows_its_keys_and_gives_its_values():
    widget = ALL["named numbers"].widget()
    assert [label for label, _ in widget.options] == ["few", "many"]
    assert widget.value == 3


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: show.slider("", 0, 1, 0), "`label` is ''; it takes the words that stand before"),
        (lambda: show.slider(3, 0, 1, 0), "`label` is 3; it takes the words"),
        (lambda: show.slider("x", 1, 0, 0), "`minimum` is 1.0 and `maximum` is 0.0; it must be"),
        (lambda: show.slider("x", 0, 1, 2), "`value` is 2; it takes a finite number from 0.0 to"),
        (lambda: show.slider("x", 0, np.inf, 2), "`maximum` is inf; it takes a finite number"),
        (lambda: show.slider("x", 0, 1, 0, step=0), "`step` is 0; it takes a finite number above"),
        (lambda: show.slider("x", "0", 1, 0), "`minimum` is '0'; it takes a finite number"),
        (lambda: show.log_slider("x", -2, 1, 0), "`value` is 0; it takes a finite number from 0.0"),
        (lambda: show.log_slider("x", 2, 1, 50), "`min_exponent` is 2.0 and `max_exponent` is 1"),
        (lambda: show.log_slider("x", -999, 1, 1), "`min_exponent` is -999; it takes a finite"),
        (lambda: show.integers("x", 1, 5, 2.5), "`value` is 2.5; it takes a whole number"),
        (lambda: show.integers("x", 5, 1, 2), "`minimum` is 5 and `maximum` is 1; it must be bel"),
        (lambda: show.integers("x", 1, 5, 2, step=0), "`step` is 0; it takes a whole number"),
        (lambda: show.choice("x", "abc"), "`options` is 'abc'; it takes a list or a dictionary"),
        (lambda: show.choice("x", ["a"]), "`options` has 1 entries; a choice takes at least two"),
        (lambda: show.choice("x", ["a", "b"], "c"), "`value` is 'c'; it takes one of a, b"),
        (lambda: show.toggle("x", 1), "`value` is 1; it takes True or False"),
    ],
)
def test_bad_input_gets_one_sentence(make, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        make()
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
