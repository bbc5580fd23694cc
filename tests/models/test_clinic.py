"""The patients of the clinic, and what the record says of their diagnoses."""

import inspect

import numpy as np
import pytest

from course_lib.models import clinic, diagnosis

KINDS = {patient.kind for patient in clinic.PATIENTS.values()} - {""}


def test_there_are_enough_of_every_kind():
    healthy = [patient for patient in clinic.PATIENTS.values() if patient.healthy]
    assert len(healthy) >= 10
    assert len(clinic.PATIENTS) - len(healthy) >= 10
    in_the_ward = {"mask that hides data", "Batch Norm in the wrong mode"}  # see test_ward
    by_themselves = {
        "no progress", "no gradient", "constant input", "constant targets",
        "output that does not fit", "scale of the targets", "units that stay alike",
        "regularisation too strong",
    }  # fmt: skip
    assert set(diagnosis.KINDS) - by_themselves - in_the_ward == KINDS  # those: test_diagnosis
    for kind in ("", *KINDS):
        held_out = [p.held_out for p in clinic.PATIENTS.values() if p.kind == kind]
        assert set(held_out) == {True, False}, kind


@pytest.mark.parametrize(
    "name", ["regression", "raw numbers", "closed gates", "an RNN that forgets"]
)
def test_a_seed_builds_the_same_patient_again(name):
    patient = clinic.PATIENTS[name]
    (one, x, y), (two, x_again, y_again) = patient.build(7), patient.build(7)
    assert np.array_equal(x, x_again)
    assert np.array_equal(y, y_again)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        assert np.array_equal(a, b)
    other = patient.build(8)[0].get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(one.get_weights(), other, strict=True))


def test_an_unknown_patient_is_answered_with_the_names():
    with pytest.raises(KeyError, match=r"`patient` is 'too fats'; it takes one of .*too fast"):
        clinic.PATIENTS["too fats"]


def test_a_confusion_matrix_counts_right_answers_and_the_others():
    found = {
        "regression": [[], ["dead units"]],
        "too fast": [["learning rate too high"], []],
        "raw numbers": [["scale of the input", "saturated units"], ["scale of the input"]],
    }
    rows = {row["kind"]: row for row in clinic.confusion(found)}
    assert rows["well"] == {
        "kind": "well",
        "diagnoses": 2,
        "right": 1,
        "instead": {"dead units": 1},
    }
    assert rows["learning rate too high"]["instead"] == {"well": 1}
    assert rows["scale of the input"]["instead"] == {"scale of the input and saturated units": 1}
    assert clinic.confusion({"too fast": [[]]}, held_out=True) == []
    assert "1 of 2  dead units (1)" in clinic.as_text(clinic.confusion(found))


def test_the_record_covers_every_patient_and_seed():
    found = clinic.calibration()["found"]
    assert set(found) == set(clinic.PATIENTS)
    assert all(len(answers) == len(clinic.CONFIG["seeds"]) for answers in found.values())


@pytest.mark.parametrize("held_out", [False, True])
def test_the_documentation_prints_the_recorded_matrix(held_out):
    rows = clinic.confusion(clinic.calibration()["found"], held_out=held_out)
    assert clinic.as_text(rows) in inspect.cleandoc(clinic.__doc__)


def test_few_who_are_well_are_called_ill_and_few_who_are_ill_are_missed():
    for held_out in (False, True):
        rows = clinic.confusion(clinic.calibration()["found"], held_out=held_out)
        well = [row for row in rows if row["kind"] == "well"]
        ill = [row for row in rows if row["kind"] != "well"]
        assert sum(row["right"] for row in well) >= 0.9 * sum(row["diagnoses"] for row in well)
        missed = sum(row["instead"].get("well", 0) for row in ill)
        assert missed <= 0.1 * sum(row["diagnoses"] for row in ill)
        right = sum(row["right"] for row in ill)
        assert right >= 0.8 * sum(row["diagnoses"] for row in ill)
