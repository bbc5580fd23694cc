"""A reader's prescriptions carried out, and the answers that chapter 17 compares with."""

import pytest

from course_lib.learn.exercises import chapter_17, find, judge
from course_lib.models import ward
from course_lib.models.ward import TREATMENTS, WARD
from course_lib.models.ward_round import GAPS, NOTHING, Treated, treated


def test_the_answers_of_the_exercises_are_those_of_the_ward():
    said, given = chapter_17.my_diagnoses(), chapter_17.my_prescriptions()
    assert said == {name: p.fault or chapter_17.HEALTHY for name, p in WARD.items()}
    assert given == {name: (*p.remedies, NOTHING)[0] for name, p in WARD.items()}
    assert {name: p.fault for name, p in WARD.items() if not p.healthy} == chapter_17.SICK
    assert set(chapter_17.WELL) == {name for name, p in WARD.items() if p.healthy}
    assert ward.CURED == chapter_17.CURED


def test_who_is_treated_is_trained_and_what_came_of_it_is_said():
    said = []
    result = treated({"patient A": "scale the inputs", "patient C": ""}, say=said.append)
    assert isinstance(result, Treated)
    assert result == {"patient A": "scale the inputs"}
    assert result.recovered["patient A"] == pytest.approx(1)
    (sentence,) = said
    assert sentence.startswith("✓ patient A, scale the inputs:")
    verdict = judge(find("17-prescriptions"), result)
    assert verdict.state == "wrong"
    assert verdict.sentence == "1 of 1 are well. The next one, patient C, is still waiting."


def test_nothing_is_a_prescription_and_does_not_help_the_sick():
    said = []
    result = treated({"patient A": NOTHING}, say=said.append)
    assert result.recovered["patient A"] < 0.2
    assert said[0].startswith("patient A, nothing:")
    assert "0 of 1 are well" in judge(find("17-prescriptions"), result).sentence


def test_what_was_measured_counts_and_not_what_is_expected():
    """Another cure than the first on the list, and one that did not work this time."""
    given = chapter_17.my_prescriptions() | {"patient C": "skip connections"}
    well = Treated(given, dict.fromkeys(WARD, 0.95))
    assert judge(find("17-prescriptions"), well).state == "right"
    ill = Treated(given, dict.fromkeys(WARD, 0.95) | {"patient H": 0.5})
    assert "patient H has come 0.50 of the way" in judge(find("17-prescriptions"), ill).sentence


@pytest.mark.parametrize("answer", [None, ..., 3, "dropout", ["dropout"]])
def test_what_is_no_dict_comes_back_as_it_is(answer):
    assert treated(answer) is answer


@pytest.mark.parametrize(
    ("prescriptions", "sentence"),
    [
        ({"patient Z": "dropout"}, "'patient Z' is no patient here"),
        ({3: "dropout"}, "3 is no patient here"),
        ({"patient A": "leeches"}, "patient A: 'leeches' is not on the list"),
        ({"patient A": ["dropout"]}, "is not on the list"),
    ],
)
def test_what_cannot_be_given_is_said(prescriptions, sentence):
    said = []
    assert treated(prescriptions, say=said.append) is None
    assert sentence in said[0]
    assert said[0].endswith(".")


@pytest.mark.parametrize("gap", GAPS)
def test_gaps_are_left_out(gap):
    said = []
    assert treated(dict.fromkeys(WARD, gap), say=said.append) is None
    assert said == []


def test_some_diagnoses_are_judged_and_none_is_unanswered():
    exercise = find("17-diagnoses")
    some = dict.fromkeys(WARD, "...") | {"patient C": "sigmoid depth"}
    assert judge(exercise, some).sentence.startswith("1 of 10 are right. None of yours is wrong")
    some["patient B"] = "forget bias -3"
    verdict = judge(exercise, some)
    assert verdict.sentence.startswith("1 of 10 are right. Look again at patient B")
    assert judge(exercise, dict.fromkeys(WARD, "")).state == "open"
    assert "not in the list" in judge(exercise, some | {"patient A": "flu"}).sentence


def test_the_cupboard_has_every_treatment_that_is_prescribed():
    assert set(chapter_17.my_prescriptions().values()) - {NOTHING} <= set(TREATMENTS)
