"""The ten patients of the ward: what they are, how they are treated, and that they recover."""

import dataclasses
import inspect
import random

import keras
import numpy as np
import pytest

from course_lib.models import diagnosis, treatments, ward
from course_lib.models.gradient_flow import diagnose
from course_lib.models.treatments import TREATMENTS, Plan, network
from course_lib.models.ward import WARD, treat

SICK = [name for name, patient in WARD.items() if not patient.healthy]
FEED_FORWARD = [name for name, patient in WARD.items() if not patient.plan.is_recurrent]
FAULTS = {
    "bad initialisation",
    "exploding recurrence without clipping",
    "sigmoid depth",
    "wrong mask",
    "Batch Norm in the wrong mode",
    "forget bias -3",
    "learning rate",
    "unscaled input",
}


def test_there_are_eight_faults_and_two_who_are_well():
    assert list(WARD) == [f"patient {letter}" for letter in "ABCDEFGHIJ"]
    assert {patient.fault for patient in WARD.values()} == FAULTS | {None}
    well = [patient for patient in WARD.values() if patient.healthy]
    assert sorted(patient.plan.is_recurrent for patient in well) == [False, True]
    assert 12 <= len(TREATMENTS) <= 15


def test_a_patient_that_is_ill_has_a_remedy_and_a_finding_that_exist():
    for patient in WARD.values():
        assert set(patient.remedies) <= set(TREATMENTS)
        assert patient.healthy == (not patient.remedies) == (patient.finding is None)
        assert patient.healthy or patient.finding in diagnosis.KINDS
        assert patient.story.endswith(".")
        words = patient.story.lower()
        assert not any(word in words for word in ("mask", "clip", "bias", "sigmoid", "batch norm"))


def test_a_patient_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        WARD["patient A"].fault = None


@pytest.mark.parametrize("name", WARD)
def test_a_seed_builds_the_same_patient_again_and_moves_no_other_generator(name):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global generator is what must not move
    states = random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    (one, x, y), (two, x_again, y_again) = WARD[name].build(7), WARD[name].build(7)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert np.array_equal(x, x_again)
    assert np.array_equal(y, y_again)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        assert np.array_equal(a, b)
    other = WARD[name].build(8)[0].get_weights()
    assert any(not np.array_equal(a, b) for a, b in zip(one.get_weights(), other, strict=True))
    assert one(x[:3]).shape == (3, y.max() + 1)


def test_what_a_caller_writes_into_the_samples_does_not_come_back():
    _, x, y = WARD["patient C"].build(1)
    x[:], y[:] = 0, 0
    assert WARD["patient C"].build(1)[1].any()


@pytest.mark.parametrize("name", WARD)
def test_fresh_samples_are_other_samples_of_the_same_task(name):
    samples = WARD[name].samples(1)
    assert samples.x.shape[1:] == samples.x_new.shape[1:]
    assert set(samples.y_new) <= set(samples.y)
    rows = {row.tobytes() for row in samples.x}
    assert not rows & {row.tobytes() for row in samples.x_new}


@pytest.mark.parametrize("name", SICK)
def test_each_has_one_fault(name):
    """The twin differs in what the first remedy changes, and in nothing else."""
    patient = WARD[name]
    differ = [
        field.name
        for field in dataclasses.fields(Plan)
        if getattr(patient.plan, field.name) != getattr(patient.twin, field.name)
    ]
    assert len(differ) == 1


def test_every_treatment_changes_one_thing_or_says_why_not():
    for patient in WARD.values():
        for treatment in TREATMENTS.values():
            changed = treatment.change(patient.plan)
            if isinstance(changed, str):
                assert changed.endswith(".")
                continue
            before, after = dataclasses.asdict(patient.plan), dataclasses.asdict(changed)
            assert sum(before[key] != after[key] for key in before) == 1


@pytest.mark.parametrize("name", WARD)
def test_plans_of_the_same_graph_have_the_same_variables(name):
    patient, samples = WARD[name], WARD[name].samples(1)
    assert patient.plan.graph.graph == patient.plan.graph
    one, two = (
        network(plan, samples.shape, samples.classes, 1)
        for plan in (patient.plan, patient.plan.graph)
    )
    assert [v.shape for v in one.variables] == [v.shape for v in two.variables]


def test_a_network_of_another_seed_in_the_same_graph_learns_as_it_would_in_its_own():
    """What the shared graph returns is what Keras's own step makes of a network by itself."""
    patient = WARD["patient A"]
    shared = ward._trained(patient.name, patient.twin, 3)
    samples = patient.samples(3).scaled()
    model = network(patient.twin, samples.shape, samples.classes, 3)
    rows = ward._rows(np.random.default_rng([3, 0]), len(samples.x), patient.steps)
    losses = [float(model.train_on_batch(samples.x[r], samples.y[r])) for r in rows[:1]]
    for r in rows[1:]:
        model.train_on_batch(samples.x[r], samples.y[r])
    answers = model.predict(samples.x_new, verbose=0).argmax(axis=1)
    assert losses[0] == pytest.approx(shared.loss_before, rel=1e-5)
    assert np.mean(answers == samples.y_new) == pytest.approx(shared.score, abs=0.02)


@pytest.mark.parametrize("name", ["patient A", "patient C", "patient E", "patient H", "patient J"])
def test_who_is_treated_rightly_recovers_and_who_is_not_does_not(name):
    patient = WARD[name]
    right = treat(name, patient.remedies[0], seed=21)
    wrong = treat(name, "more units", seed=21)
    assert right.cured, str(right)
    assert right.recovered == pytest.approx(1)
    assert right.loss_after < right.loss_before / 2
    assert not wrong.cured, str(wrong)
    assert wrong.recovered < 0.3
    assert right.untreated < right.trivial + 0.1


def test_a_recurrent_patient_recovers():
    right = treat("patient D", "mask only the padding", seed=21)
    assert right.cured, str(right)
    assert right.untreated < 0.4


def test_the_same_treatment_twice_gives_the_same():
    one = treat("patient C", "dropout", seed=5)
    ward._trained.cache_clear()
    two = treat("patient C", "dropout", seed=5)
    assert (one.score, one.loss_before) == (two.score, two.loss_before)


def test_one_that_does_not_apply_says_so():
    recovery = treat(WARD["patient A"], "forget bias +3", seed=1)
    assert not recovery.applies
    assert not recovery.cured
    assert recovery.score == recovery.untreated
    assert str(recovery) == (
        "patient A: forget bias +3 does not apply. It has no LSTM, so no forget gate."
    )


def test_who_is_well_is_its_own_twin():
    recovery = treat("patient G", "forget bias +1", seed=1)
    assert recovery.untreated == recovery.twin > 0.8
    assert recovery.recovered == 1


BAD = {
    "patient": (("patient Z", "dropout", 1), "`patient` is 'patient Z'; it takes one of patient A"),
    "kind": ((3, "dropout", 1), "`patient` is 3; it takes a name such as 'patient A'"),
    "treatment": (("patient A", "leeches", 1), "`treatment` is 'leeches'; it takes one of He or"),
    "seed": (("patient A", "dropout", -1), "`seed` is -1"),
    "half a seed": (("patient A", "dropout", 1.5), "`seed` is 1.5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_in_a_sentence(case):
    arguments, says = BAD[case]
    with pytest.raises((ValueError, TypeError, KeyError), match=says) as info:
        treat(*arguments)
    assert str(info.value).endswith(".")
    assert "\n" not in str(info.value)


def test_a_network_takes_a_plan():
    with pytest.raises(TypeError, match="`plan` is 'Dense'; it takes a plan"):
        network("Dense", (4,), 3, 1)
    with pytest.raises(ValueError, match="`classes` is 1"):
        network(Plan("Dense"), (4,), 1, 1)


@pytest.mark.parametrize("name", FEED_FORWARD)
def test_the_diagnosis_finds_the_fault_of_feed_forward_patients(name):
    patient = WARD[name]
    found = diagnose(*patient.build(seed=21), seconds=120)
    expected = [] if patient.healthy else [patient.finding]
    assert [finding.kind for finding in found.faults] == expected, str(found)


def test_gates_stand_in_the_order_of_keras():
    """The bias that is meant for the forget gate is where Keras puts its own."""
    ours = network(Plan("LSTM", units=3, forget_bias=1.0), (4, 2), 2, 1).layers[1]
    theirs = keras.layers.LSTM(3)
    theirs.build((None, 4, 2))
    assert np.array_equal(ours.cell.bias, theirs.cell.bias)
    kernel = np.asarray(ours.cell.recurrent_kernel)
    for gate in np.split(kernel, 4, axis=1):
        assert np.allclose(gate @ gate.T, np.eye(3), atol=1e-6)


def test_the_record_covers_every_patient_treatment_and_seed():
    results = ward.matrix()
    assert list(results["recovered"]) == list(results["found"]) == list(WARD)
    for name, patient in WARD.items():
        assert list(results["recovered"][name]) == list(TREATMENTS)
        for treatment, shares in results["recovered"][name].items():
            applies = isinstance(TREATMENTS[treatment].change(patient.plan), Plan)
            assert len(shares) == applies * len(ward.CONFIG["seeds"])


def test_the_documentation_prints_the_recorded_rates():
    assert ward.as_text(ward.rates(ward.matrix())) in inspect.cleandoc(ward.__doc__)


TOO_SMALL_A_DOSE = ("patient I", "forget bias +1")  # of what is right: the chapter says so


def test_every_right_treatment_cures_and_no_wrong_one_does_so_often():
    for row in ward.rates(ward.matrix()):
        patient, seeds = WARD[row["patient"]], row["seeds"]
        assert row["diagnosed"] >= 0.75 * row["diagnoses"], row["patient"]
        if patient.healthy:
            continue
        for treatment, cured in row["cured"].items():
            if treatment in patient.remedies:
                assert cured >= 0.8 * seeds, (row["patient"], treatment)
            elif (row["patient"], treatment) == TOO_SMALL_A_DOSE:
                assert 0 < cured < 0.5 * seeds
            else:
                assert cured <= 0.25 * seeds, (row["patient"], treatment)
        assert row["untreated"] < 0.4


def test_a_rate_counts_seeds_that_recovered():
    shares = {name: [] for name in TREATMENTS} | {"dropout": [0.79, 0.8, 1.0]}
    score = {"untreated": [0.1, 0.1, 0.1], "twin": [0.9, 0.8, 0.7], "trivial": [0.1, 0.1, 0.1]}
    found = [["scale of the input"], [], ["scale of the input", "dead units"]]
    results = {
        "recovered": dict.fromkeys(WARD, shares),
        "score": dict.fromkeys(WARD, score),
        "found": dict.fromkeys(WARD, found),
    }
    first, second, *_ = ward.rates(results)
    assert first["cured"] == {"dropout": 2}
    assert (first["diagnosed"], second["diagnosed"], first["diagnoses"]) == (1, 1, 3)
    assert first["twin"] == pytest.approx(0.8)
    table = ward.as_text([first, second])
    assert "patient A    1 of 3        10%   80%  dropout 2 of 3" in table
    assert "well; stays so, but for: dropout 2 of 3" in table


def test_words_say_what_each_treatment_does():
    for treatment in treatments.TREATMENTS.values():
        assert treatment.words.endswith(".")
        assert len(treatment.words) < 120
