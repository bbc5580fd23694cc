"""`python -m course_lib recompute NN`: run the recorded experiments of a chapter again.

An experiment that is too long for a notebook is recorded once in `data/results/`. This executes
the chapter with `COURSE_RECOMPUTE=1`, which makes `models.training.recorded` compute and store
instead of reading, and then renews the checksums.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from course_lib.commands import chapters

VARIABLE = "COURSE_RECOMPUTE"


def main(arguments: Sequence[str]) -> int:
    """Recompute the chapters that are named; return 0 when all of them ran through."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib recompute",
        description="Run the recorded experiments of chapters again; this may take many minutes.",
    )
    parser.add_argument("chapters", nargs="+", metavar="NN", help="a chapter's number, such as 03")
    try:
        paths = [chapters.find(number) for number in parser.parse_args(arguments).chapters]
    except ValueError as problem:
        parser.error(str(problem))
    worst = 0
    for path in paths:
        worst = max(worst, recompute(path))
    return worst


def recompute(path: Path) -> int:
    """Execute one chapter so that it records anew, report what changed, return 0 or 1."""
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    from course_lib import data

    before, began = _times(), time.perf_counter()
    try:
        with _recording():
            execute(path)
    except (CellExecutionError, DeadKernelError) as error:
        print(f"{path.name} stopped: {last_line(error)}")
        return 1
    finally:
        data.refresh_manifest()
    now = _times()
    anew = sorted(name for name, stamp in now.items() if before.get(name) != stamp)
    seconds = f"{time.perf_counter() - began:.0f} s"
    print(f"{path.name}: {', '.join(anew) or 'records no experiment'} ({seconds}).")
    return 0


def execute(path: Path) -> None:
    """Execute every cell of a chapter, in its own folder; the file stays as it is."""
    from nbclient import NotebookClient

    notebook = chapters.parse(path.read_text(encoding="utf-8"))
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources=where).execute()


@contextmanager
def _recording() -> Iterator[None]:
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _times() -> dict[str, int]:
    from course_lib import data

    files = (data.folder() / "results").glob("*.json")
    return {file.name: file.stat().st_mtime_ns for file in files}


def last_line(error: Exception) -> str:
    """Return the last line of what a kernel said of an error, without the colours."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return (plain.strip().splitlines() or [type(error).__name__])[-1]
