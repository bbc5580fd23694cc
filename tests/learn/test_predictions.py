"""Predictions: asked, noted, and laid beside the measurement."""

import math

import pytest

from course_lib.learn import predict, predictions, reveal
from course_lib.learn.predictions import ask, how_far, parse_number


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(predictions, "_choices", {})
    monkeypatch.setattr(predictions, "_answers", {})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0.25", 0.25),
        ("0,25", 0.25),
        (".25", 0.25),
        ("-3", -3.0),
        ("−3", -3.0),
        ("+3", 3.0),
        ("1e-19", 1e-19),
        ("1E-19", 1e-19),
        ("10^-19", 1e-19),
        ("10**-19", 1e-19),
        ("2·10^-19", 2e-19),
        ("2 x 10^(-19)", 2e-19),
        ("2*10^5", 2e5),
        ("25 %", 0.25),
        ("25%", 0.25),
        ("1/4", 0.25),
        ("inf", math.inf),
    ],
)
def test_numbers_are_read_as_people_write_them(text, number):
    assert parse_number(text) == pytest.approx(number)


@pytest.mark.parametrize(
    "text", ["", "abc", "1/0", "1/2/3", "nan", "10^", "%", "1 or 2", "10^999", None]
)
def test_what_is_no_number_is_none(text):
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("prediction", "measured", "said"),
    [
        (0.25, 0.25, "spot on"),
        (0, 0, "spot on"),
        (0.26, 0.25, "as close as one can ask for"),
        (0.4, 0.25, "close, 1.6 times too large"),
        (0.01, 0.25, "25 times too small"),
        (0.5, 1.2e-19, "19 powers of ten too large, which is what products do"),
        (1e-30, 1.0, "30 powers of ten too small"),
        (-0.25, 0.25, "the sign is the other way round"),
        (0, 0.25, "further apart than a factor can say"),
        (0.25, 0, "further apart than a factor can say"),
        (math.inf, 1, "further apart than a factor can say"),
        (0.25, math.nan, "further apart than a factor can say"),
        (-0.4, -0.25, "close, 1.6 times too large"),
        (-1e-200, 1e-200, "the sign is the other way round"),
        (1e-323, 30.0, "324 powers of ten too small"),
        (1e300, 1e-300, "600 powers of ten too large"),
        (2e-200, 1e-200, "close, 2 times too large"),
    ],
)
def test_how_far_is_said_kindly(prediction, measured, said):
    kind, words = how_far(prediction, measured)
    assert said in words
    assert kind in ("right", "note")


def test_a_number_is_predicted_and_revealed(capsys):
    asked = ask("99-test", "How much is left?")
    asked.answer = "0.5"
    assert "Noted: 0.5." in asked.status
    reveal("99-test", 1.2e-19, "Thirty factors of 0.234.")
    assert capsys.readouterr().out == (
        "· You predicted 0.5, measured is 1.2e-19: 19 powers of ten too large, which is what "
        "products do. Thirty factors of 0.234.\n"
    )


def test_what_is_no_number_is_asked_for_again(capsys):
    asked = ask("99-test", "How much is left?")
    asked.answer = "a lot"
    assert "“a lot” is no number" in asked.status
    reveal("99-test", 0.5)
    assert "You made no prediction this time." in capsys.readouterr().out
    asked.answer = "0.5"
    reveal("99-test", 0.5)
    assert "spot on" in capsys.readouterr().out


def test_a_choice_is_predicted_and_revealed(capsys):
    asked = ask("99-test", "Which?", ["relu", "tanh"])
    asked.answer = 1
    assert "Noted: tanh." in asked.status
    reveal("99-test", "relu")
    assert capsys.readouterr().out == "· You predicted tanh; the measurement says relu.\n"
    asked.answer = 0
    reveal("99-test", "relu", "By far.")
    assert capsys.readouterr().out == "✓ You predicted relu; and so it is. By far.\n"


@pytest.mark.parametrize("measured", [0.25, "relu", 3])
def test_an_unanswered_prediction_is_revealed_too(measured, capsys):
    reveal("99-never-asked", measured)
    said = capsys.readouterr().out
    assert said == f"· Measured: {measured}. You made no prediction this time.\n"


def test_a_prediction_survives_a_new_kernel(tmp_path, monkeypatch, capsys):
    for name in ("CI", "COURSE_STRICT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "MANIFEST.json").touch()
    monkeypatch.chdir(tmp_path)
    ask("99-test", "How much?").answer = "0.5"
    predictions._answers.clear()  # a new kernel
    reveal("99-test", 0.5)
    assert "spot on" in capsys.readouterr().out
    assert "Earlier you predicted 0.5. You may change your mind." in ask("99-test", "?").status


def test_the_question_can_be_read_without_widgets(capsys):
    predict("99-test", "Which?", choices=["relu", "tanh"])
    assert capsys.readouterr().out == "Which?\n  ( ) relu\n  ( ) tanh\n"
    predict("99-number", "How much?", unit="per layer")
    assert capsys.readouterr().out == "How much?\n"


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="`id` is 'x'"):
        predict("x", "Which?")
    with pytest.raises(TypeError, match="`question` is ''"):
        predict("99-test", "")
    for choices in (["one"], list("abcdefg"), "ab"):
        with pytest.raises(ValueError, match="takes two to six"):
            predict("99-test", "Which?", choices=choices)
    predict("99-test", "Which?", choices=["relu", "tanh"])
    with pytest.raises(ValueError, match="`measured` is 'gelu'; the choices were relu and tanh"):
        reveal("99-test", "gelu")
    with pytest.raises(TypeError, match="`measured` is None"):
        reveal("99-test", None)
    with pytest.raises(ValueError, match="`id` is 3"):
        reveal(3, 1)
