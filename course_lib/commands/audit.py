"""`python -m course_lib audit`: run the chapters under many seeds, and keep a table of all claims.

A chapter runs with one seed, the reader's and CI's. That its claims hold for others too is shown
here: every chapter is executed in a kernel of its own with `COURSE_SEED` 1 … 40, and each claim
writes down what it measured. The table, `data/audit.json`, says of every claim how often it held,
with which seed it came nearest to its bound, and how much room was left; and from which code
cells, by their hash, so that `python -m course_lib test` can say when the table is older.

Nineteen chapters times forty seeds are hours. A run that is interrupted takes up where it was
left: what is finished lies in `.audit/`, one small file a run. `--dask ADDRESS` hands the runs to
a Dask cluster whose workers have the course installed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.commands import chapters
from course_lib.commands.recompute import last_line
from course_lib.commands.test import clean_environment, read_claims

TABLE = "audit.json"
FINISHED = chapters.ROOT / ".audit"
SEEDS = 40

# A bound shall hold with room to spare for the worst seed: a factor of two, or half of what the
# seeds differ by; where their figures span decades, half a decade.
ROOM, DECADES_ROOM, SPANS_ROOM = 2.0, 10**0.5, 0.5
CELL_SECONDS = 1200
SCHEDULER_SECONDS = 10  # how long a Dask scheduler may take to answer

Run = dict[str, Any]  # one chapter with one seed: seconds, claims, errors


@dataclass(frozen=True)
class Job:
    """One chapter to be run with one seed."""

    number: str
    code_hash: str
    text: str
    seed: int

    @property
    def file(self) -> Path:
        """Where the finished run is kept."""
        return FINISHED / f"{self.number}-{self.code_hash}-{self.seed}.json"


# Called with a function and the jobs, it yields (job, run) as they end.
Compute = Callable[[Callable[[Job], Run], Iterable[Job]], Iterator[tuple[Job, Run]]]


def main(arguments: Sequence[str]) -> int:
    """Run what is missing, write the table, report; return 0 when every cell ran and claim held."""
    options = parse(arguments)
    before = stored()
    paths = [chapters.find(number) for number in options.notebook] or chapters.all_chapters()
    jobs = [job for path in paths for job in jobs_of(path, options.seeds)]
    if options.again:
        for job in jobs:
            job.file.unlink(missing_ok=True)
    missing = [job for job in jobs if not is_finished(job)]
    if len(missing) < len(jobs):
        taken = len(jobs) - len(missing)
        print(f"{taken} of {len(jobs)} runs are taken from {FINISHED.name}; --again runs them anew")
    with workers(options.dask, options.jobs) as compute:
        for done, (job, run) in enumerate(compute(run_job, missing), 1):
            keep(job, run)
            print(progress(done, len(missing), job, run), flush=True)
    tables = {
        number: table([job for job in jobs if job.number == number])
        for number in sorted({job.number for job in jobs})
    }
    longer = [number for number, made in tables.items() if is_longer(before.get(number), made)]
    write({number: made for number, made in tables.items() if number not in longer})
    print("\n".join(report(tables)))
    for number in longer:
        print(f"chapter {number}: the table of {before[number]['seeds']} seeds stays as it is")
    failed = [
        row for made in tables.values() for row in made["claims"] if row["held"] < row["runs"]
    ]
    return int(bool(failed) or any(made["errors"] for made in tables.values()))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib audit",
        description="Run chapters under many seeds; a table says how far each claim held.",
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N", help="seeds 1 to N")
    parser.add_argument(
        "--notebook", action="append", default=[], metavar="NN", help="only this chapter"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="runs at a time")
    parser.add_argument("--dask", metavar="ADDRESS", help="hand the runs to this Dask scheduler")
    parser.add_argument("--again", action="store_true", help="forget the runs that are finished")
    options = parser.parse_args(arguments)
    for name in ("seeds", "jobs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} is {getattr(options, name)}; it takes a whole number from 1.")
    try:
        numbers = [chapters.find(number).name[:2] for number in options.notebook]
    except ValueError as problem:
        parser.error(str(problem))
    options.notebook = list(dict.fromkeys(numbers))
    return options


def jobs_of(path: Path, seeds: int) -> list[Job]:
    """Return one job a seed for the chapter at `path`, as git would commit it."""
    text = chapters.committed(path)
    code_hash = chapters.code_hash(chapters.parse(text))
    return [Job(path.name[:2], code_hash, text, seed) for seed in range(1, seeds + 1)]


# ---------------------------------------------------------------- running


def workers(dask: str | None, jobs: int) -> AbstractContextManager[Compute]:
    """Return how to compute many jobs: on this computer, or on a Dask cluster."""
    return nullcontext(_here(jobs)) if dask is None else _cluster(dask)


def _here(jobs: int) -> Compute:
    def compute(function: Callable[[Job], Run], todo: Iterable[Job]) -> Iterator[tuple[Job, Run]]:
        from joblib import Parallel, delayed

        # Threads will do: each of them waits for a kernel, which is a process of its own.
        both = (delayed(lambda job: (job, function(job)))(job) for job in todo)
        yield from Parallel(n_jobs=jobs, prefer="threads", return_as="generator_unordered")(both)

    return compute


@contextmanager
def _cluster(address: str) -> Iterator[Compute]:
    """Hold a connection to a Dask cluster that exists already, for the time of one audit."""
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise SystemExit(
            "--dask needs the package `distributed`: install it with "
            "`pip install distributed`, here and where the workers are."
        ) from None
    try:
        client = Client(address, timeout=SCHEDULER_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise SystemExit(
            f"--dask is {address!r}, where no Dask scheduler answers ({error}); it takes an "
            "address such as tcp://192.168.1.10:8786."
        ) from None

    def compute(function: Callable[[Job], Run], todo: Iterable[Job]) -> Iterator[tuple[Job, Run]]:
        futures = {client.submit(function, job, pure=False): job for job in todo}
        for future in as_completed(futures):
            yield futures[future], future.result()

    with client:
        yield compute


def run_job(job: Job) -> Run:
    """Execute a chapter with one seed, and return its claims and the errors of its cells."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    notebook = chapters.parse(job.text)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="course-audit-") as folder:
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            allow_errors=True,
            resources={"metadata": {"path": folder}},
        )
        errors = []
        try:
            client.execute(env=variables(job.seed, Path(folder)), stderr=subprocess.DEVNULL)
        except (CellTimeoutError, DeadKernelError) as error:
            errors.append(last_line(error))
        claims = read_claims(Path(folder) / "claims")
    for cell in chapters.code_cells(notebook):
        errors += [
            f"{output.ename}: {output.evalue}"
            for output in cell.outputs
            if output.output_type == "error"
        ]
    return {"seconds": time.perf_counter() - began, "claims": claims, "errors": errors}


def variables(seed: int, folder: Path) -> dict[str, str]:
    """Return the environment of a kernel: one seed, one thread, quiet, claims into `folder`."""
    from course_lib import data

    return {
        **clean_environment(sys.executable),
        "CI": "1",
        "COURSE_CLAIMS": str(folder / "claims"),
        "COURSE_DATA": str(data.folder()),
        "COURSE_SEED": str(seed),
        "COURSE_STRICT": "0",  # a claim that fails is a result here, and the next cell still runs
    }


def keep(job: Job, run: Run) -> None:
    """Write down a finished run, at once or not at all."""
    FINISHED.mkdir(exist_ok=True)
    unfinished = job.file.with_suffix(".new")
    unfinished.write_text(json.dumps(run), encoding="utf-8", newline="\n")
    unfinished.replace(job.file)


def is_finished(job: Job) -> bool:
    """Return whether the run is kept, whole, and without the error of a cell or of a kernel."""
    try:
        run = json.loads(job.file.read_text(encoding="utf-8"))
        return not run["errors"] and {"seconds", "claims"} <= run.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


# ---------------------------------------------------------------- the table


def table(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return what the finished runs of one chapter say of each of its claims."""
    runs = {job.seed: json.loads(job.file.read_text(encoding="utf-8")) for job in jobs}
    made: dict[str, dict[int, dict]] = {}
    for seed, run in runs.items():
        for claim in run["claims"]:
            made.setdefault(claim["id"], {})[seed] = claim
    return {
        "code_hash": jobs[0].code_hash,
        "seeds": len(jobs),
        "seconds": round(sum(run["seconds"] for run in runs.values()) / len(runs), 1),
        "errors": {str(seed): run["errors"] for seed, run in runs.items() if run["errors"]},
        "claims": [row(name, by_seed, len(jobs)) for name, by_seed in sorted(made.items())],
    }


def row(name: str, by_seed: dict[int, dict], runs: int) -> dict[str, Any]:
    """Return one line of the table: how often a claim held, and where it came nearest."""

    def nearness(seed: int) -> tuple[bool, float]:
        return by_seed[seed]["holds"], distance(by_seed[seed])

    worst, own = min(by_seed, key=nearness), min(by_seed)
    claim, figures = by_seed[worst], [figure(each) for each in by_seed.values()]
    return {
        "claim": name,
        "sentence": by_seed[own]["sentence"],  # as a reader sees it, with the course's own seed
        "kind": claim["kind"],
        "needs": claim["condition"],
        "held": sum(claim["holds"] for claim in by_seed.values()),
        "runs": runs,
        "worst_seed": worst,
        "worst": claim["measured"],
        "room": claim["room"],
        "spans": spans(claim, figures),
        "has_little_room": has_little_room(claim, figures),
    }


def figure(claim: dict[str, Any]) -> float:
    """Return what was measured as a number; NaN where it is a text or a truth value."""
    measured = claim["measured"]
    if isinstance(measured, str) and measured not in ("inf", "-inf"):  # JSON has no infinity
        return math.nan
    return math.nan if isinstance(measured, bool) else float(measured)


def distance(claim: dict[str, Any]) -> float:
    """Return how far a figure is inside its limits, in its own unit; infinite without a limit."""
    low, high = claim["limits"]
    value = figure(claim)
    return min(
        math.inf if low is None else value - low,
        math.inf if high is None else high - value,
    )


def spans(worst: dict[str, Any], figures: Sequence[float]) -> float | None:
    """Return how far the worst seed is from the bound, by how far the seeds lie apart.

    None where there is no bound, or the seeds measure one and the same.
    """
    apart = max(figures) - min(figures)
    share = distance(worst) / apart if apart else math.nan
    return share if math.isfinite(share) else None


def has_little_room(worst: dict[str, Any], figures: Sequence[float]) -> bool:
    """Return whether a bound is near for the worst seed."""
    if worst["kind"] != "bound" or math.isinf(distance(worst)):
        return False
    lowest, highest = min(figures), max(figures)
    if worst["room"] is not None and 0 < 10 * lowest < highest:  # decades: only a factor counts
        return worst["room"] < DECADES_ROOM
    if worst["room"] is not None and worst["room"] >= ROOM:
        return False
    share = spans(worst, figures)
    return distance(worst) < 0 if share is None else share < SPANS_ROOM


def write(tables: dict[str, dict[str, Any]]) -> None:
    """Put the tables of the chapters that ran into `data/audit.json`, and renew its checksum."""
    from course_lib import data

    text = json.dumps(dict(sorted({**stored(), **tables}.items())), indent=1, ensure_ascii=False)
    (data.folder() / TABLE).write_text(text + "\n", encoding="utf-8", newline="\n")
    data.refresh_manifest()


def stored() -> dict[str, dict[str, Any]]:
    """Return the tables of `data/audit.json`, by the chapter's number; none before an audit."""
    from course_lib import data

    place = data.folder() / TABLE
    try:
        return json.loads(place.read_text(encoding="utf-8")) if place.is_file() else {}
    except ValueError as error:
        raise SystemExit(f"{place.name} cannot be read ({error}); restore it from git.") from None


def is_longer(before: dict[str, Any] | None, now: dict[str, Any]) -> bool:
    """Return whether a table of the same code under more seeds is there already."""
    if before is None or before["code_hash"] != now["code_hash"]:
        return False
    return bool(before["seeds"] > now["seeds"])


def stale() -> list[str]:
    """Return the chapters whose code is newer than the table, or that it does not have."""
    audited = stored()
    return [
        path.name[:2]
        for path in chapters.all_chapters()
        if audited.get(path.name[:2], {}).get("code_hash")
        != chapters.code_hash(chapters.parse(chapters.committed(path)))
    ]


# ---------------------------------------------------------------- reporting


def progress(done: int, total: int, job: Job, run: Run) -> str:
    """Return one line for a run that has ended."""
    bar = "█" * round(20 * done / total)
    failed = [claim["id"] for claim in run["claims"] if not claim["holds"]]
    words = ", ".join(failed + run["errors"][:1]) or "all claims hold"
    return (
        f"{bar:░<20} {done}/{total}  chapter {job.number}, seed {job.seed}, "
        f"{run['seconds']:.0f} s: {words}"
    )


def report(tables: dict[str, dict[str, Any]]) -> list[str]:
    """Return what a reader of the table looks for first: what failed, and what is near failing."""
    from course_lib.learn.page import figure_text

    lines = [""]
    for number, chapter in tables.items():
        rows = chapter["claims"]
        failed = [claim for claim in rows if claim["held"] < claim["runs"]]
        lines.append(
            f"chapter {number}: {len(rows) - len(failed)} of {len(rows)} claims held with all of "
            f"{chapter['seeds']} seeds"
        )
        for claim in failed:
            lines.append(
                f"  {claim['claim']}: {claim['held']} of {claim['runs']}; seed "
                f"{claim['worst_seed']} measured {figure_text(claim['worst'])}, "
                f"needed: {claim['needs']}"
            )
        for claim in rows:
            if claim["has_little_room"] and claim not in failed:
                lines.append(
                    f"  {claim['claim']}: held, but seed {claim['worst_seed']} has little room: "
                    f"it measured {figure_text(claim['worst'])}, needed: {claim['needs']}"
                )
        lines += [f"  seed {seed}: {errors[0]}" for seed, errors in chapter["errors"].items()]
    return lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
