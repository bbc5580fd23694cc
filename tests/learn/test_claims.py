"""Claims: what holds, what does not, what is refused, and what is kept."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from course_lib.learn import claims
from course_lib.learn.claims import ClaimFailed, claim, measured_claims, seed


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    claims.forget()
    monkeypatch.delenv("COURSE_CLAIMS", raising=False)
    monkeypatch.setenv("COURSE_STRICT", "1")
    yield
    claims.forget()


HOLD = [
    (0.2, {"below": 0.25}),
    (0.3, {"above": 0.25}),
    (math.inf, {"above": 1e300}),
    (-math.inf, {"below": 0}),
    (0.25, {"between": (0.25, 0.25)}),
    (0.25, {"between": np.array([0.2, 0.3])}),
    (10, {"equals": 10, "kind": "rate"}),
    (10.0, {"equals": 10}),
    (np.float32(0.25), {"equals": 0.25}),
    (np.array([[0.25]]), {"equals": 0.25}),
    (0.25 + 1e-12, {"equals": 0.25, "tolerance": 1e-9}),
    (1e-12, {"equals": 0, "tolerance": 1e-9}),
    (1e-30, {"equals": 1.05e-30, "tolerance": 0.1}),
    (math.inf, {"equals": math.inf, "tolerance": 0.1}),
    ("float32", {"equals": "float32"}),
    (True, {"equals": True}),
    (np.bool_(True), {"equals": True}),
]
FAIL = [
    (0.25, {"below": 0.25}),
    (0.25, {"above": 0.25}),
    (math.nan, {"below": 0.25}),
    (math.nan, {"above": 0.25}),
    (math.nan, {"between": (0, 1)}),
    (math.nan, {"equals": 0.25}),
    (math.nan, {"equals": 0.25, "tolerance": 1}),
    (math.inf, {"equals": 1, "tolerance": 1}),
    (0.31, {"between": (0.2, 0.3)}),
    (9, {"equals": 10}),
    (0.25 + 1e-12, {"equals": 0.25}),
    (1e-30, {"equals": 2e-30, "tolerance": 0.1}),
    ("float64", {"equals": "float32"}),
    (False, {"equals": True}),
    (True, {"equals": 1}),
    (1, {"equals": True}),
    ("1", {"equals": 1}),
]


@pytest.mark.parametrize(("measured", "condition"), HOLD)
def test_a_claim_that_holds_prints_a_tick_and_its_figure(measured, condition, capsys):
    claim("01-test", "It is {measured}.", measured, **condition)
    said = capsys.readouterr().out
    assert said.startswith("✓ It is ")
    assert said.count("\n") == 1
    (kept,) = measured_claims()
    assert kept.holds


@pytest.mark.parametrize(("measured", "condition"), FAIL)
def test_a_claim_that_does_not_hold_fails_in_ci(measured, condition):
    with pytest.raises(ClaimFailed, match=r"01-test: This does not hold here: “It is .*needed: "):
        claim("01-test", "It is {measured}.", measured, **condition)


@pytest.mark.parametrize(("measured", "condition"), FAIL)
def test_and_tells_a_reader_kindly(measured, condition, capsys, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "0")
    claim("01-test", "It is {measured}.", measured, **condition)
    said = capsys.readouterr().out
    assert said.startswith("✗ This does not hold here")
    assert "If you have changed a parameter, that is what they are for" in said
    (kept,) = measured_claims()
    assert not kept.holds


def test_claim_failed_is_an_assertion():
    assert issubclass(ClaimFailed, AssertionError)


def test_the_line_names_the_ledger_items(capsys):
    claim("01-a", "A.", 1, equals=1, settles=["D0-1-C3", "D1-1-C2"])
    assert capsys.readouterr().out == "✓ A (here 1).  [D0-1-C3, D1-1-C2]\n"
    claim("01-b", "B.", 1, equals=1, settles="D0-1-C3")
    assert capsys.readouterr().out == "✓ B (here 1).  [D0-1-C3]\n"


@pytest.mark.parametrize(
    ("sentence", "measured", "said"),
    [
        ("Less than 4e-19 (here {measured}).", 1.234e-19, "Less than 4e-19 (here 1.2e-19)."),
        ("It is {measured:.3f} of it.", 0.25, "It is 0.250 of it."),
        ("About {measured:.0%}.", 0.25, "About 25%."),
        ("Of h_{l} it is {measured}.", 0.5, "Of h_{l} it is 0.5."),
        ("Nothing is said", 0.5, "Nothing is said (here 0.5)"),
        ("Nothing is said.", 0.5, "Nothing is said (here 0.5)."),
        ("{measured} runs.", 10, "10 runs."),
    ],
)
def test_the_figure_stands_in_the_sentence(sentence, measured, said, capsys):
    claim("01-a", sentence, measured, above=0)
    assert capsys.readouterr().out == f"✓ {said}\n"


def test_a_truth_is_not_repeated_as_a_figure(capsys):
    claim("01-a", "They are equal.", True, equals=True)
    assert capsys.readouterr().out == "✓ They are equal.\n"


@pytest.mark.parametrize(
    ("arguments", "options", "error", "said"),
    [
        (("a", "A.", 1), {"equals": 1}, ValueError, "`id` is 'a'; it takes the number of"),
        (("01-A", "A.", 1), {"equals": 1}, ValueError, "`id` is '01-A'"),
        ((1, "A.", 1), {"equals": 1}, ValueError, "`id` is 1"),
        (("01-a", "", 1), {"equals": 1}, TypeError, "`sentence` is ''"),
        (("01-a", None, 1), {"equals": 1}, TypeError, "`sentence` is None"),
        (("01-a", "A.", 1), {}, ValueError, "exactly one of .* it got none"),
        (("01-a", "A.", 1), {"below": 2, "above": 0}, ValueError, "got `below` and `above`"),
        (("01-a", "A.", 1), {"below": 2, "tolerance": 1}, ValueError, "goes with `equals`"),
        (("01-a", "A.", 1), {"equals": 1, "kind": "maybe"}, ValueError, "`kind` is 'maybe'"),
        (
            ("01-a", "A.", [1, 2]),
            {"below": 2},
            TypeError,
            "`measured` is \\[1, 2\\]; it takes one figure",
        ),
        (("01-a", "A.", np.ones(3)), {"below": 2}, TypeError, "an array of shape \\(3,\\)"),
        (("01-a", "A.", None), {"below": 2}, TypeError, "`measured` is None"),
        (("01-a", "A.", "1"), {"below": 2}, TypeError, "`measured` is '1'; it takes a number"),
        (("01-a", "A.", True), {"below": 2}, TypeError, "`measured` is True"),
        (("01-a", "A.", 1), {"below": math.nan}, TypeError, "`below` is nan"),
        (("01-a", "A.", 1), {"below": "2"}, TypeError, "`below` is '2'"),
        (("01-a", "A.", 1), {"between": (3, 2)}, ValueError, "takes a pair \\(low, high\\)"),
        (("01-a", "A.", 1), {"between": 3}, ValueError, "takes a pair"),
        (("01-a", "A.", 1), {"between": (1, 2, 3)}, ValueError, "takes a pair"),
        (("01-a", "A.", "b"), {"equals": "b", "tolerance": 1}, TypeError, "`equals` is 'b'"),
        (("01-a", "A.", 1), {"equals": 1, "settles": "D9-1-C1"}, ValueError, "no item of that id"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments, options, error, said, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "0")  # they are mistakes of whoever writes the chapter
    with pytest.raises(error, match=said):
        claim(*arguments, **options)
    assert measured_claims() == []


def test_each_process_appends_to_a_file_of_its_own(tmp_path, monkeypatch):
    folder = tmp_path / "claims"
    monkeypatch.setenv("COURSE_CLAIMS", str(folder))
    claim("01-a", "It is {measured}.", 0.5, below=1, settles=["D0-1-C3"], kind="bound")
    claim("01-b", "It is {measured}.", math.inf, above=1)
    code = "from course_lib import learn; learn.claim('01-c', 'C.', 1, equals=1)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    files = sorted(folder.iterdir())
    assert len(files) == 2
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    by_id = {row["id"]: row for row in rows}
    assert sorted(by_id) == ["01-a", "01-b", "01-c"]
    assert by_id["01-a"]["measured"] == 0.5
    assert by_id["01-a"]["holds"] is True
    assert by_id["01-a"]["settles"] == ["D0-1-C3"]
    assert by_id["01-a"]["kind"] == "bound"
    assert by_id["01-b"]["measured"] == "inf"


def test_a_failed_claim_is_written_down_before_it_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CLAIMS", str(tmp_path))
    with pytest.raises(ClaimFailed):
        claim("01-a", "It is {measured}.", 0.5, below=0)
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text())["holds"] is False


def test_measured_again_counts_once():
    for value in (1, 2):
        claim("01-a", "It is {measured}.", value, below=3)
    (kept,) = measured_claims()
    assert kept.measured == 2


def test_the_seed_of_the_course(monkeypatch):
    monkeypatch.delenv("COURSE_SEED", raising=False)
    assert seed() == 1
    monkeypatch.setenv("COURSE_SEED", "7")
    assert seed() == 7
    for text in ("seven", "-1", "1.5", "4294967296"):
        monkeypatch.setenv("COURSE_SEED", text)
        with pytest.raises(ValueError, match=r"COURSE_SEED is .*; it takes a whole number"):
            seed()


@pytest.mark.parametrize(
    ("measured", "bound", "room"),
    [
        (2.0, {"below": 8.0}, 4.0),
        (8.0, {"above": 2.0}, 4.0),
        (3.0, {"between": (1.0, 6.0)}, 2.0),
        (16.0, {"below": 8.0}, 0.5),
        (-1.0, {"below": 8.0}, None),
        (math.inf, {"above": 2.0}, None),
        (3.0, {"equals": 3.0}, None),
    ],
)
def test_the_room_to_a_bound_is_a_finite_factor_or_none(measured, bound, room, monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "0")  # one of the figures is outside its bound
    claim("01-room", "It is {measured}.", measured, **bound)
    assert measured_claims()[-1].room == room


@pytest.mark.parametrize(
    ("bound", "limits"),
    [
        ({"below": np.float32(8)}, (None, 8.0)),
        ({"above": 2}, (2.0, None)),
        ({"between": [1, 6]}, (1.0, 6.0)),
        ({"equals": 3}, (None, None)),
    ],
)
def test_the_limits_of_a_claim_are_plain_numbers(bound, limits):
    claim("01-limits", "It is {measured}.", 3, **bound)
    assert measured_claims()[-1].limits == limits
