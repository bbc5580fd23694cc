"""`python -m course_lib test`: what it runs, what it prints, and when it fails."""

import sys
from collections import Counter

import pytest

from course_lib.commands import browser, test


def stub(monkeypatch, **outcomes):
    """Replace stages by functions that return an outcome."""
    for name in test.STAGES:
        result = outcomes.get(name, test.Outcome(name, counts=Counter(passed=1)))

        monkeypatch.setitem(test.STAGES, name, lambda options, folder, result=result: result)


def everything(*arguments):
    return test.parse(arguments)


def test_all_stages_run_by_default():
    assert everything().stages == ("quality", "unit", "notebooks", "browser")


def test_stages_keep_their_order():
    assert everything("--stage", "browser", "--stage", "unit").stages == ("unit", "browser")


def test_unknown_arguments_go_to_pytest():
    assert everything("--stage", "unit", "-k", "clip", "--", "-x").pytest == ("-k", "clip", "-x")


def test_an_unknown_stage_and_an_unknown_chapter_are_refused(capsys):
    with pytest.raises(SystemExit):
        everything("--stage", "lint")
    assert "quality" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        everything("--notebook", "98")
    assert "There is no chapter '98'" in capsys.readouterr().err


def test_a_failing_stage_does_not_stop_the_next(monkeypatch, capsys):
    bad = test.Outcome("unit", 1, 2.0, Counter(passed=3, failure=1), ["tests.unit::test_a"])
    stub(monkeypatch, unit=bad)
    assert test.run(everything()) == 1
    printed = capsys.readouterr().out
    assert "browser" in printed
    assert "FAILED tests.unit::test_a" in printed
    assert printed.splitlines()[-1].strip("= ").startswith("1 failed, 6 passed in 2.00s")


def test_the_closing_line_counts_everything(monkeypatch, capsys):
    stub(monkeypatch, quality=test.Outcome("quality", counts=Counter(passed=2, skipped=1)))
    assert test.run(everything()) == 0
    assert "5 passed, 1 skipped in 0.00s" in capsys.readouterr().out.splitlines()[-1]


def test_an_interrupt_reports_what_was_done(monkeypatch, capsys):
    stopped = test.Outcome("unit", test.STOPPED, counts=Counter(passed=3), interrupted=True)
    stub(monkeypatch, unit=stopped)
    assert test.run(everything()) == test.INTERRUPTED
    printed = capsys.readouterr().out
    assert "quality    passed" in printed
    assert "unit       stopped" in printed
    assert "4 passed" in printed
    assert "Interrupted" in printed
    assert "browser " not in printed


def test_a_selection_that_selects_nothing_is_no_success(monkeypatch, capsys):
    stub(monkeypatch, **{name: test.Outcome(name) for name in test.STAGES})
    assert test.run(everything("-k", "nothing_has_this_name")) != 0
    assert "No test matches" in capsys.readouterr().out


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("false", 0), ("true", 1), ("1", 1)])
def test_without_a_browser_it_says_so_and_fails_under_ci(ci, code, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(test, "find_browser", lambda: None)
    stub(monkeypatch)
    monkeypatch.setitem(test.STAGES, "browser", test.browser)
    assert test.run(everything()) == code
    printed = capsys.readouterr().out
    assert "LEFT OUT" in printed
    assert "no Chromium, Chrome or Edge was found" in printed
    assert "browser LEFT OUT" in printed.splitlines()[-1]


def test_a_browser_that_was_chosen_and_is_not_there_fails_its_stage(monkeypatch, capsys):
    stub(monkeypatch)
    monkeypatch.setenv("COURSE_BROWSER", "no-such-browser")
    monkeypatch.setitem(test.STAGES, "browser", test.browser)
    assert test.run(everything()) == 1
    assert "no-such-browser" in capsys.readouterr().out


def test_a_browser_that_was_chosen_and_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("COURSE_BROWSER", "no-such-browser")
    with pytest.raises(FileNotFoundError, match="no-such-browser"):
        browser.find_browser()


def test_a_chosen_browser_is_taken(monkeypatch):
    monkeypatch.setenv("COURSE_BROWSER", sys.executable)
    assert browser.find_browser() == sys.executable


def test_pytest_runs_as_a_child_and_is_counted(tmp_path):
    (tmp_path / "test_three.py").write_text(
        "import pytest\n\ndef test_a(): pass\n\ndef test_b(): assert 0\n\n"
        "def test_c(): pytest.skip('later')\n\n"
        "@pytest.fixture\ndef broken(): 1 / 0\n\ndef test_d(broken): pass\n"
    )
    outcome = test.run_pytest("three", [str(tmp_path), "-q"], sys.executable, tmp_path)
    assert outcome.counts == {"passed": 1, "failure": 1, "skipped": 1, "error": 1}
    assert outcome.failed
    assert [name.rpartition("::")[2] for name in outcome.failures] == ["test_b", "test_d"]


def test_an_interrupted_run_is_told_from_one_that_was_not_collected(tmp_path):
    (tmp_path / "test_stopped.py").write_text(
        "def test_a(): pass\n\ndef test_b(): raise KeyboardInterrupt\n"
    )
    outcome = test.run_pytest("stopped", [str(tmp_path), "-q"], sys.executable, tmp_path)
    assert outcome.interrupted
    assert outcome.counts["passed"] >= 1
    (tmp_path / "test_stopped.py").write_text("import no_such_module\n")
    outcome = test.run_pytest("broken", [str(tmp_path), "-q"], sys.executable, tmp_path)
    assert outcome.failed
    assert not outcome.interrupted


def test_children_are_strict_seeded_and_have_one_thread(monkeypatch):
    monkeypatch.setenv("COURSE_SEED", "7")
    environment = test.clean_environment(sys.executable)
    assert "COURSE_SEED" not in environment
    assert environment["COURSE_STRICT"] == environment["TF_NUM_INTRAOP_THREADS"] == "1"
