"""`python -m course_lib audit`: many seeds, one table, resumed where it was left."""

import json

import nbformat
import pytest

from course_lib import data
from course_lib.commands import audit, chapters

SOURCE = """
from course_lib import learn
learn.claim("01-grows", "It is {measured}.", learn.seed(), below=40, kind="bound")
learn.claim("01-not-three", "It is not three.", learn.seed() != 3, equals=True)
"""


def chapter(*sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    return chapters.canonical(nbformat.v4.new_notebook(cells=cells))


def job(seed, *sources):
    return audit.Job("01", "0123456789abcdef", chapter(*sources), seed)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "FINISHED", tmp_path / ".audit")


def claim(name, measured, *, holds=True, room=None, kind="bound", limits=(None, 40)):
    return {
        "id": name,
        "measured": measured,
        "holds": holds,
        "sentence": f"It is {measured}.",
        "room": room,
        "kind": kind,
        "condition": "below 40",
        "limits": list(limits),
    }


def finished(*runs):
    jobs = [audit.Job("01", "0123456789abcdef", "", seed) for seed in range(1, len(runs) + 1)]
    for job, claims in zip(jobs, runs, strict=True):
        audit.keep(job, {"seconds": 2.0, "claims": claims, "errors": []})
    return jobs


def test_a_chapter_runs_with_its_seed_and_tells_its_claims():
    run = audit.run_job(job(3, SOURCE))
    assert [(c["id"], c["measured"], c["holds"]) for c in run["claims"]] == [
        ("01-grows", 3, True),
        ("01-not-three", False, False),
    ]
    assert run["claims"][0]["room"] == pytest.approx(40 / 3)
    assert not run["errors"]


def test_a_cell_that_fails_is_an_error_and_the_next_one_runs():
    run = audit.run_job(job(1, "1 / 0", SOURCE))
    assert run["errors"] == ["ZeroDivisionError: division by zero"]
    assert len(run["claims"]) == 2


def test_the_table_counts_and_names_the_worst_seed():
    jobs = finished(
        [claim("01-a", 4.0, room=10.0), claim("01-b", 1.0, room=40.0)],
        [claim("01-a", 20.0, room=2.0), claim("01-b", 50.0, room=0.8, holds=False)],
        [claim("01-a", 5.0, room=8.0), claim("01-b", 30.0, room=1.33)],
    )
    table = audit.table(jobs)
    assert table["seeds"] == 3
    by_claim = {row["claim"]: row for row in table["claims"]}
    assert (by_claim["01-a"]["held"], by_claim["01-a"]["worst_seed"]) == (3, 2)
    assert (by_claim["01-b"]["held"], by_claim["01-b"]["worst_seed"]) == (2, 2)
    assert by_claim["01-b"]["sentence"] == "It is 1.0."  # of the course's own seed, not the worst
    said = "\n".join(audit.report({"01": table}))
    assert "1 of 2 claims held with all of 3 seeds" in said
    assert "01-b: 2 of 3; seed 2 measured 50, needed: below 40" in said


def test_a_claim_that_a_run_did_not_reach_did_not_hold():
    jobs = finished([claim("01-a", 4.0, room=10.0)], [])
    assert audit.table(jobs)["claims"][0]["held"] == 1


def test_a_bound_with_little_room_is_named():
    jobs = finished([claim("01-a", 30.0, room=1.33)], [claim("01-a", 5.0, room=8.0)])
    said = "\n".join(audit.report({"01": audit.table(jobs)}))
    assert "01-a: held, but seed 1 has little room: it measured 30, needed: below 40" in said


BELOW, BETWEEN = (None, 40.0), (0.5, 2.0)


@pytest.mark.parametrize(
    ("figures", "limits", "little"),
    [
        ((20.0, 1.9), BELOW, True),  # decades: the worst is a factor of two away, not √10
        ((12.0, 1.0), BELOW, False),  # half a decade,
        ((20.0, 3.0), BELOW, False),  # no decades, and a factor of two
        ((30.0, 14.0), BELOW, False),  # more than half of what the seeds differ by is left
        ((30.0, 5.0), BELOW, True),
        ((39.0, 39.0), BELOW, False),  # all seeds alike
        ((1.02, 0.98), BETWEEN, False),
        ((1.7, 0.9), BETWEEN, True),
        ((-3.0, 9.0), (-4.0, None), True),  # no factor leads from -3 to -4
        ((-3.0, -2.0), (-4.0, None), False),
        ((float("inf"), 50.0), (40.0, None), True),
    ],
)
def test_room_is_a_factor_or_what_the_seeds_differ_by(figures, limits, little):
    def room(value):
        low, high = limits
        factors = [high / value] if high else []
        factors += [value / low] if low else []
        return min(factors) if min(factors) > 0 and value > 0 else None

    by_seed = {
        seed: claim("01-a", value, room=room(value), limits=limits)
        for seed, value in enumerate(figures, 1)
    }
    assert audit.row("01-a", by_seed, len(figures))["has_little_room"] == little


def test_an_exact_claim_needs_no_room():
    by_seed = {1: claim("01-a", 39.0, room=1.03, kind="exact"), 2: claim("01-a", 3.0, room=13.3)}
    assert not audit.row("01-a", by_seed, 2)["has_little_room"]


@pytest.fixture
def one_chapter(tmp_path, monkeypatch):
    """A course of one chapter, with a folder `data` of its own."""
    (tmp_path / "data").mkdir()
    manifest = {"files": {audit.TABLE: {"licence": "CC BY 4.0", "origin": "here", "ours": True}}}
    (tmp_path / "data" / "MANIFEST.json").write_text(json.dumps(manifest))
    monkeypatch.setattr(data, "folder", lambda: tmp_path / "data")
    monkeypatch.setattr(chapters, "find", lambda number: tmp_path / "01_x.ipynb")
    monkeypatch.setattr(chapters, "all_chapters", lambda: [tmp_path / "01_x.ipynb"])
    monkeypatch.setattr(chapters, "committed", lambda path: chapter(SOURCE))
    return tmp_path


def test_the_command_resumes_and_writes_the_table(one_chapter, monkeypatch, capsys):
    def run(job):
        ran.append(job.seed)
        return {"seconds": 1.0, "claims": [claim("01-a", 4.0, room=10.0)], "errors": []}

    monkeypatch.setattr(audit, "run_job", run)
    assert audit.stale() == ["01"]
    ran = []
    assert audit.main(["--notebook", "01", "--seeds", "2", "--jobs", "1"]) == 0
    assert ran == [1, 2]
    assert audit.main(["--notebook", "01", "--seeds", "4", "--jobs", "2"]) == 0
    assert sorted(ran) == [1, 2, 3, 4]
    assert "2/2  chapter 01" in capsys.readouterr().out
    assert json.loads((one_chapter / "data" / "audit.json").read_text())["01"]["seeds"] == 4
    assert audit.stale() == []


def test_a_run_with_an_error_is_the_exit_code_and_runs_again(one_chapter, monkeypatch, capsys):
    ends = iter([["RuntimeError: broken"], []])
    monkeypatch.setattr(
        audit, "run_job", lambda job: {"seconds": 1.0, "claims": [], "errors": next(ends)}
    )
    assert audit.main(["--seeds", "1"]) == 1
    assert "seed 1: RuntimeError: broken" in capsys.readouterr().out
    assert audit.main(["--seeds", "1"]) == 0
    assert "seed 1: RuntimeError" not in capsys.readouterr().out
    assert audit.main(["--seeds", "1"]) == 0
    assert "1 of 1 runs are taken from .audit; --again runs them anew" in capsys.readouterr().out


@pytest.mark.parametrize("record", ["", '{"seconds": 1.0}', '{"errors": []}', "[]"])
def test_a_damaged_record_is_run_again(record, one_chapter, monkeypatch):
    whole = {"seconds": 1.0, "claims": [claim("01-a", 4.0, room=10.0)], "errors": []}
    monkeypatch.setattr(audit, "run_job", lambda job: whole)
    assert audit.main(["--seeds", "1"]) == 0
    (kept,) = audit.FINISHED.iterdir()
    kept.write_text(record)
    assert audit.main(["--seeds", "1"]) == 0
    assert json.loads(kept.read_text()) == whole


def test_fewer_seeds_leave_a_longer_table_alone(one_chapter, monkeypatch, capsys):
    whole = {"seconds": 1.0, "claims": [claim("01-a", 4.0, room=10.0)], "errors": []}
    monkeypatch.setattr(audit, "run_job", lambda job: whole)
    audit.main(["--seeds", "3"])
    audit.main(["--seeds", "1", "--notebook", "01", "--notebook", "1"])
    said = capsys.readouterr().out
    assert "1 of 1 claims held with all of 1 seeds" in said
    assert "chapter 01: the table of 3 seeds stays as it is" in said
    assert audit.stored()["01"]["seeds"] == 3


def test_a_damaged_table_is_one_sentence(one_chapter):
    (one_chapter / "data" / audit.TABLE).write_text('{"01": ')
    with pytest.raises(SystemExit, match="cannot be read"):
        audit.main(["--seeds", "1"])


def test_a_claim_that_fails_is_the_exit_code(one_chapter, monkeypatch):
    bad = claim("01-a", 50.0, room=0.8, holds=False)
    monkeypatch.setattr(
        audit, "run_job", lambda job: {"seconds": 1.0, "claims": [bad], "errors": []}
    )
    assert audit.main(["--seeds", "1"]) == 1


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--jobs", "-1"], ["--notebook", "98"]])
def test_bad_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        audit.main(arguments)
    assert "takes a whole number" in (said := capsys.readouterr().err) or "no chapter" in said


def test_a_dask_cluster_takes_the_runs():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        audit.workers(cluster.scheduler_address, 1) as compute,
    ):
        found = {job.seed: run for job, run in compute(seed_of, [job(1), job(2)])}
    assert found == {1: 1, 2: 2}


def seed_of(job):
    return job.seed


def test_no_scheduler_is_one_sentence(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(audit, "SCHEDULER_SECONDS", 1)  # nobody will answer, however long we wait
    with pytest.raises(SystemExit, match="no Dask scheduler answers"):
        audit.workers("tcp://127.0.0.1:9", 1).__enter__()
