"""`python -m course_lib bench`: speed and memory, as ratios of two measurements in one run.

A computer's seconds say little about another's; a ratio within one run says more. So each thing is
measured beside its own yardstick, the two taking turns. Nothing here can fail: the bounds that the
course aims at are printed beside what was measured.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from course_lib.commands import chapters
from course_lib.commands.recompute import last_line

if TYPE_CHECKING:
    import psutil
    from nbclient import NotebookClient

IMPORT_BOUND = 2.5
BY_LAYER_BOUND = 2.0
CHAPTER_SECONDS, MEAN_SECONDS = 45, 30
# So that thirty readers fit on one server of 24 GB: what their kernels share is there once.
PRIVATE_GB, RESIDENT_GB = 0.6, 1.0
LOOK_SECONDS = 0.2  # between two looks at a kernel's memory

TIME_AN_IMPORT = """
import sys, time
began = time.perf_counter()
import {names}
print(time.perf_counter() - began, "tensorflow" in sys.modules)
"""


def main(arguments: Sequence[str]) -> int:
    """Measure what is asked for, everything by default, and print one line for each figure."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib bench",
        description="Measure speed and memory, as ratios within one run.",
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (all unless named)"
    )
    parts = parser.parse_args(arguments).parts or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    for part in parts:
        print(f"\n{part}", flush=True)
        for line in PARTS[part]():
            print("  " + line, flush=True)
    return 0


def verdict(name: str, ratio: float, bound: float, unit: str = "x") -> str:
    """Return a line such as `by_layer / a weight gradient: 1.4 x (aim: at most 2.0 x)`."""
    mark = "" if ratio <= bound else "  MORE THAN AIMED AT"
    return f"{name}: {ratio:.2f} {unit} (aim: at most {bound:g} {unit}){mark}"


def imports(rounds: int = 15) -> list[str]:
    """Import the maths floor, all its modules, beside NumPy alone; a fresh Python each time."""
    import course_lib.maths

    modules = [
        f"course_lib.maths.{module.name}"
        for module in pkgutil.iter_modules(course_lib.maths.__path__)
    ]
    numpy, maths, loaded = [], [], False
    for _ in range(rounds):
        numpy.append(_import_seconds("numpy")[0])
        seconds, tensorflow = _import_seconds(", ".join(modules))
        maths.append(seconds)
        loaded = loaded or tensorflow
    return [
        verdict("course_lib.maths / numpy", median(maths) / median(numpy), IMPORT_BOUND),
        f"medians of {rounds}: {1000 * median(maths):.0f} ms and {1000 * median(numpy):.0f} ms; "
        f"TensorFlow was {'LOADED, which it must not be' if loaded else 'not loaded'}",
    ]


def _import_seconds(names: str) -> tuple[float, bool]:
    done = subprocess.run(
        [sys.executable, "-c", TIME_AN_IMPORT.format(names=names)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, tensorflow = done.stdout.split()
    return float(seconds), tensorflow == "True"


def by_layer() -> list[str]:
    """`gradient_flow.by_layer` beside a plain gradient by the weights of the same model."""
    from course_lib.models import gradient_flow

    cases = gradient_flow.cost_ratio()["cases"]
    return [
        verdict(f"by_layer / a weight gradient, {name}", case["ratio"], BY_LAYER_BOUND)
        + f"; {case['passes']} backward passes"
        for name, case in cases.items()
    ]


def monitor() -> list[str]:
    """`model.fit` with a `GradientMonitor` at its default interval beside the same without."""
    from course_lib.models import monitor_cost

    measured = monitor_cost.monitor_cost()
    return [
        verdict(f"fit with a monitor / without, {name}", case["ratio"], measured["limit"])
        + f"; a look costs {case['look_seconds'] / case['step_seconds']:.1f} steps"
        for name, case in measured["cases"].items()
    ]


def by_time_step() -> Iterable[str]:
    """`gradient_flow.by_time_step` beside a plain gradient, a tape a step, and an eager loop."""
    from course_lib.models import step_cost

    for name, case in step_cost.step_cost_ratio().items():
        yield (
            verdict(f"by_time_step / a weight gradient, {name}", case["ratio"], step_cost.LIMIT)
            + f"; {case['tape_a_step']:.0f} x cheaper than a tape a step, "
            f"{case['eager_loop']:.0f} x than an eager loop"
        )


def explorers() -> Iterable[str]:
    """Key press to new pixels beside a bare slider, in a browser."""
    from course_lib.commands import bench_widgets

    return bench_widgets.report()


def notebooks() -> Iterator[str]:
    """Execute each chapter; its seconds, and the memory of its kernel at the highest."""
    every = []
    for path in chapters.all_chapters():
        seconds, memory, failure = _execute(path)
        every.append(seconds)
        figures = (seconds, memory.private, memory.resident)
        aims = (CHAPTER_SECONDS, PRIVATE_GB, RESIDENT_GB)
        much = any(figure > aim for figure, aim in zip(figures, aims, strict=True))
        what = f"stopped: {failure}" if failure else str(memory)
        yield f"{path.stem}: {seconds:.1f} s, {what}{'  MORE THAN AIMED AT' * much}"
    if every:
        yield verdict("mean", sum(every) / len(every), MEAN_SECONDS, "s")
    else:
        yield "there is no chapter yet"


@dataclass
class Memory:
    """The most memory that a kernel has had, in GB."""

    private: float = 0.0  # without what is read from files, which many kernels have in common
    resident: float = 0.0

    def __str__(self) -> str:
        return f"{self.private:.2f} GB private, {self.resident:.2f} GB resident"


@contextmanager
def watched(client: NotebookClient) -> Iterator[Memory]:
    """Look at the memory of a client's kernel again and again while the block runs."""
    import psutil

    memory, is_over = Memory(), threading.Event()

    def look() -> None:
        while not is_over.wait(LOOK_SECONDS):
            pid = getattr(getattr(client.km, "provisioner", None), "pid", None)
            if pid is None:
                continue  # the kernel has not begun
            with suppress(psutil.Error):  # or it has ended
                private, resident = _memory_of(psutil.Process(pid))
                memory.private = max(memory.private, private)
                memory.resident = max(memory.resident, resident)

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield memory
    finally:
        is_over.set()
        watcher.join()


def _memory_of(process: psutil.Process) -> tuple[float, float]:
    """Return the private and the resident memory of a process, in GB.

    What only one process has read from a file counts as its own, so the libraries' code would be
    private as long as one kernel runs alone: Linux tells it apart.
    """
    now = process.memory_info()
    files = getattr(now, "shared", None)
    private = process.memory_full_info().uss if files is None else now.rss - files
    return private / 1e9, now.rss / 1e9


def _execute(path: Path) -> tuple[float, Memory, str]:
    """Return the seconds from kernel start to end, the memory at most, and what stopped it."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

    notebook = chapters.parse(path.read_text(encoding="utf-8"))
    where = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=where)
    began, failure = time.perf_counter(), ""
    with watched(client) as memory:
        try:
            client.execute(env={**os.environ, "CI": "true"})
        except (CellExecutionError, DeadKernelError) as error:
            failure = last_line(error)
    return time.perf_counter() - began, memory, failure


PARTS: dict[str, Callable[[], Iterable[str]]] = {
    "imports": imports,
    "by_layer": by_layer,
    "by_time_step": by_time_step,
    "monitor": monitor,
    "explorers": explorers,
    "notebooks": notebooks,
}
