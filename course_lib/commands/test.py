"""`python -m course_lib test`: every test, every notebook and every widget, in four stages.

quality
    ruff, spelling, types, the locks, imports (`tests/quality`).
unit
    everything else under `tests/` that needs no browser.
notebooks
    every chapter executed from its first cell to its last by nbval, on a copy, without a network.
browser
    every chapter opened in JupyterLab in a headless browser (`tests/browser`).

Each stage is a run of pytest and prints its closing line; a stage that fails does not stop the
next. Standard library only: pytest runs in the course's own environment, as a child.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

from course_lib.commands import chapters, environment, offline
from course_lib.commands.browser import find_browser

ROOT = chapters.ROOT
CELL_SECONDS = 120
SLOW_CHAPTER, SLOW_MEAN = 45, 30  # seconds; reported, never a failure: computers differ
PARALLEL = ("-n", "2", "--dist", "loadfile")
MOST_NAMES = 12  # failed tests that the summary names again
STOPPED, NO_TESTS = 2, 5  # pytest's exit codes: interrupted or not collected; nothing selected
INTERRUPTED = 130

NO_BROWSER = """\
The browser tests were LEFT OUT: no Chromium, Chrome or Edge was found on this computer, so nothing
has opened a chapter in JupyterLab or moved a slider there. Install Chromium (Debian, Ubuntu:
`sudo apt-get install chromium`), or set COURSE_BROWSER to the path of a browser, and run
`python -m course_lib test --stage browser`."""


@dataclass
class Outcome:
    """What one stage came to: pytest's counts, its seconds, and lines to report below it."""

    stage: str
    exit_code: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: bool = False
    interrupted: bool = False

    @property
    def failed(self) -> bool:
        """Whether anything in this stage went wrong."""
        return self.exit_code != 0

    def add(self, other: Outcome) -> None:
        """Count a further run of pytest into this stage."""
        self.exit_code = self.exit_code or other.exit_code
        self.seconds += other.seconds
        self.counts += other.counts
        self.failures += other.failures


@dataclass(frozen=True)
class Options:
    """What was asked for on the command line."""

    stages: tuple[str, ...]
    notebook: str | None = None
    everything: bool = False
    pytest: tuple[str, ...] = ()
    python: str = sys.executable


# ---------------------------------------------------------------- the stages


def quality(options: Options, folder: Path) -> Outcome:
    """Lint, format, spelling, types, locks and the direction of imports."""
    return run_pytest("quality", ["tests/quality", *options.pytest], options.python, folder)


def unit(options: Options, folder: Path) -> Outcome:
    """Every test that needs neither a browser nor a whole chapter."""
    places = ["tests", "--ignore=tests/browser", "--ignore=tests/quality"]
    if options.notebook:
        places = ["tests/notebooks"]
    arguments = [*PARALLEL, *places, *options.pytest]
    return run_pytest("unit", arguments, options.python, folder, _about(options))


def notebooks(options: Options, folder: Path) -> Outcome:
    """Execute every chapter and look at the claims that it made."""
    paths = chapters.all_chapters(options.notebook)
    if not paths:
        return Outcome("notebooks", notes=["git tracks no chapter yet, so none was executed"])
    outcome, rows = run_notebooks(paths, options.python, folder, options.pytest)
    outcome.notes += report_notebooks(rows)
    whole = [row["number"] for row in rows if not row["failed"]]
    if whole and not options.pytest and not outcome.interrupted:
        variables = {"COURSE_CLAIMS": str(folder / "claims"), "COURSE_RUN": ",".join(whole)}
        arguments = ["tests/notebooks/claims_of_a_run.py"]
        outcome.add(run_pytest("claims", arguments, options.python, folder, variables))
    return outcome


def browser(options: Options, folder: Path) -> Outcome:
    """Open the chapters in JupyterLab and use them."""
    try:
        path = find_browser()
    except FileNotFoundError as error:
        return Outcome("browser", 1, notes=[str(error)])
    if path is None:
        strict = os.environ.get("CI", "").lower() in ("1", "true", "yes")
        note = NO_BROWSER + ("\nUnder CI that is a failure." if strict else "")
        return Outcome("browser", int(strict), notes=note.splitlines(), left_out=True)
    places = ["tests/browser/test_chapters.py" if options.notebook else "tests/browser"]
    variables = {**_about(options), "COURSE_BROWSER": path}
    return run_pytest("browser", [*places, *options.pytest], options.python, folder, variables)


STAGES = {"quality": quality, "unit": unit, "notebooks": notebooks, "browser": browser}


def _about(options: Options) -> dict[str, str]:
    """Return the variables that tell the tests which chapters they are about."""
    about = {"COURSE_NOTEBOOK": options.notebook, "COURSE_ALL": "1" if options.everything else None}
    return {name: value for name, value in about.items() if value}


# ---------------------------------------------------------------- running pytest


def run_pytest(
    name: str,
    arguments: Sequence[str],
    python: str,
    folder: Path,
    variables: Mapping[str, str] | None = None,
    before: Sequence[str] = (),
) -> Outcome:
    """Run pytest as a child and return its counts; it prints for itself.

    `before` are words to put in front of the command. Ctrl-C reaches the child, which says what it
    had done so far; the outcome is then marked as interrupted.
    """
    report = folder / f"{name}.xml"
    report.unlink(missing_ok=True)
    options = [f"--junitxml={report}", "-o", "junit_family=xunit2", *arguments]
    command = [*before, python, "-m", "pytest", *options]
    began = time.monotonic()
    everything = {**clean_environment(python), **(variables or {})}
    exit_code = environment.run(command, cwd=ROOT, env=everything)
    seconds = time.monotonic() - began
    counts, failures = read_report(report)
    interrupted = exit_code == STOPPED and not _was_not_collected(report)
    if exit_code == NO_TESTS and not counts:
        exit_code = 0  # -k selected nothing in this stage; `run` sees to it that something ran
    return Outcome(name, exit_code, seconds, counts, failures, interrupted=interrupted)


def clean_environment(python: str) -> dict[str, str]:
    """Return the variables of `python`'s environment, strict and with one thread each."""
    mine = {
        name: value
        for name, value in environment.environment_variables(Path(python)).items()
        if name
        not in ("COURSE_SEED", "COURSE_CLAIMS", "COURSE_NOTEBOOK", "COURSE_ALL", "MPLBACKEND")
    }
    one_thread = (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
    )
    return {
        **mine,
        **dict.fromkeys(one_thread, "1"),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "COURSE_STRICT": "1",
        "PYTHONUTF8": "1",
    }


def read_report(report: Path) -> tuple[Counter[str], list[str]]:
    """Return from pytest's own report how many tests ended how, and the names of the bad ones."""
    counts: Counter[str] = Counter()
    failures = []
    for case in _cases(report):
        kinds = {child.tag for child in case}
        kind = next((k for k in ("error", "failure", "skipped") if k in kinds), "passed")
        counts[kind] += 1
        if kind in ("error", "failure"):
            failures.append(f"{case.get('classname')}::{case.get('name')}")
    return counts, failures


def _was_not_collected(report: Path) -> bool:
    errors = (case.find("error") for case in _cases(report))
    return any(error is not None and "collection" in error.get("message", "") for error in errors)


def _cases(report: Path) -> list[ElementTree.Element]:
    try:
        return list(ElementTree.parse(report).iter("testcase"))
    except (OSError, ElementTree.ParseError):  # interrupted, or pytest did not start
        return []


# ---------------------------------------------------------------- chapters


def run_notebooks(
    paths: Sequence[Path],
    python: str,
    folder: Path,
    extra: Sequence[str] = (),
    *,
    isolate: bool = True,
) -> tuple[Outcome, list[dict]]:
    """Execute copies of notebooks without a network; return the outcome, and one row a notebook.

    A row has `number`, `name`, `seconds`, `cells`, `failed`, `promised` (the header's own seconds)
    and `claims`. `isolate=False` leaves out the namespace, so that the guard stands alone.
    """
    copies = folder / "notebooks"
    copies.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copy(path, copies)
    claims = folder / "claims"
    claims.mkdir(exist_ok=True)
    variables = {
        **offline.guard_kernels(folder / "ipython"),
        "COURSE_DATA": str(ROOT / "data"),
        "COURSE_CLAIMS": str(claims),
    }
    nbval = ["--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
    where = ["-c", str(ROOT / "pyproject.toml"), f"--rootdir={folder}", "-p", "no:cacheprovider"]
    color = [] if sys.stdout.isatty() else ["--color=no"]
    before = offline.namespace(python) if isolate else []
    outcome = run_pytest(
        "notebooks",
        [*nbval, *PARALLEL, *where, *color, *extra, str(copies)],
        python,
        folder,
        variables,
        before,
    )
    rows = read_rows(paths, folder / "notebooks.xml", claims)
    if isolate and not before:
        outcome.notes.append("no network namespace here: only the guard in the kernel was tested")
    return outcome, rows


def read_rows(paths: Sequence[Path], report: Path, claims: Path) -> list[dict]:
    """Return one row a notebook from nbval's report and the claims that the chapters wrote."""
    made = Counter(claim["id"][:2] for claim in read_claims(claims))
    cases: dict[str, list[ElementTree.Element]] = {path.stem: [] for path in paths}
    for case in _cases(report):
        for stem in cases:
            if stem in case.get("classname", ""):
                cases[stem].append(case)
    rows = []
    for path in paths:
        mine = cases[path.stem]
        bad = [
            case
            for case in mine
            if case.find("failure") is not None or case.find("error") is not None
        ]
        course = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("course", {})
        rows.append(
            {
                "number": path.stem[:2],
                "name": path.stem,
                "seconds": sum(float(case.get("time", 0)) for case in mine),
                "cells": len(mine),
                "failed": len(bad),
                "promised": course.get("seconds"),
                "claims": made[path.stem[:2]],
            }
        )
    return rows


def read_claims(folder: Path) -> list[dict]:
    """Return every claim that chapters wrote into `folder`, one JSON object a line."""
    files = sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return [json.loads(line) for line in lines if line.strip()]


def report_notebooks(rows: Sequence[dict]) -> list[str]:
    """Return the table of seconds and claims, as lines."""
    lines = ["chapter                        seconds   header says   cells   claims"]
    for row in rows:
        failed = f"   {row['failed']} FAILED" if row["failed"] else ""
        promised = f"{row['promised']} s" if row["promised"] is not None else "–"
        slow = "   slow" if row["seconds"] > SLOW_CHAPTER else ""
        lines.append(
            f"{row['name']:<28}{row['seconds']:8.1f} s{promised:>12}{row['cells']:>10}"
            f"{row['claims']:>9}{failed}{slow}"
        )
    mean = sum(row["seconds"] for row in rows) / max(len(rows), 1)
    slow = f", above the {SLOW_MEAN} s that the course allows itself" if mean > SLOW_MEAN else ""
    return [*lines, f"mean {mean:.1f} s a chapter{slow}"]


# ---------------------------------------------------------------- the command


def summary(outcomes: Sequence[Outcome]) -> str:
    """Return the closing report; its last line is like pytest's own."""
    lines = [""]
    for outcome in outcomes:
        verdict = "left out" if outcome.left_out else "passed"
        verdict = "FAILED" if outcome.failed else verdict
        verdict = "stopped" if outcome.interrupted else verdict
        counts = words(outcome.counts)
        lines.append(f"{outcome.stage:<10} {verdict:<9} {outcome.seconds:6.0f} s   {counts}")
        lines += [f"           {note}" for note in outcome.notes]
        lines += [f"           FAILED {name}" for name in outcome.failures[:MOST_NAMES]]
        more = len(outcome.failures) - MOST_NAMES
        lines += [f"           and {more} more, above"] if more > 0 else []
    total: Counter[str] = sum((outcome.counts for outcome in outcomes), Counter())
    seconds = sum(outcome.seconds for outcome in outcomes)
    left_out = [f", {outcome.stage} LEFT OUT" for outcome in outcomes if outcome.left_out]
    minutes, rest = divmod(round(seconds), 60)
    line = f" {words(total)}{''.join(left_out)} in {seconds:.2f}s ({minutes} min {rest} s) "
    return "\n".join([*lines, "", line.center(100, "=")])


def words(counts: Mapping[str, int]) -> str:
    """Return counts as pytest words them, the bad ones first."""
    names = {"failure": "failed", "error": "errors", "passed": "passed", "skipped": "skipped"}
    return (
        ", ".join(f"{counts[k]} {name}" for k, name in names.items() if counts.get(k)) or "0 tests"
    )


def parse(arguments: Sequence[str]) -> Options:
    """Return what the command line asks for; unknown arguments are handed to pytest."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib test",
        description="Run every test, every notebook and every widget of the course.",
        epilog="All other arguments go to pytest, for example: --stage unit -k clipping -x",
    )
    parser.add_argument(
        "--stage",
        action="append",
        choices=list(STAGES),
        help="run only this stage (may be given more than once)",
    )
    parser.add_argument(
        "--notebook",
        metavar="NN",
        help="only what concerns this chapter: its form, its explorers, its run, its page",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="also what runs at night: every chapter whole in the browser",
    )
    known, rest = parser.parse_known_args(arguments)
    if known.notebook is not None:
        try:
            known.notebook = chapters.find(known.notebook).name[:2]
        except ValueError as problem:
            parser.error(str(problem))
    usual = ("unit", "notebooks", "browser") if known.notebook else tuple(STAGES)
    stages = tuple(stage for stage in STAGES if stage in (known.stage or usual))
    rest = [word for word in rest if word != "--"]
    return Options(stages, known.notebook, known.all, tuple(rest))


def main(arguments: Sequence[str]) -> int:
    """Make sure of the environment, run the stages, report; return the exit code."""
    options = parse(arguments)
    python = environment.ensure(dev=True)
    chapters.install_filter(python)  # so that a reader's outputs are no change to the course
    return run(replace(options, python=str(python)))


def run(options: Options) -> int:
    """Run the stages one after the other and report; return 0 when everything passed."""
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="course-test-", ignore_cleanup_errors=True) as folder:
        for stage in options.stages:
            print(f"\n{f' {stage} ':-^100}", flush=True)
            place = Path(folder) / stage
            place.mkdir()
            outcomes.append(STAGES[stage](options, place))
            if outcomes[-1].interrupted:
                break
    print(summary(outcomes), flush=True)
    if outcomes[-1].interrupted:
        print("Interrupted: the stages after this were not run.")
        return INTERRUPTED
    if options.pytest and not any(outcome.counts for outcome in outcomes):
        print(f"No test matches {' '.join(options.pytest)}.")
        return NO_TESTS
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
