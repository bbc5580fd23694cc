"""`python -m course_lib doctor`: look at everything the course needs, and say what to do.

The first part runs on the Python that was called and makes the environment if need be; the second
part, `main(["--inside"])`, runs inside the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_lib.commands import environment

MEMORY_NEEDED = 2 * environment.GIGABYTE  # a kernel with TensorFlow takes 0.6 to 0.9
DISK_WANTED = 0.5 * environment.GIGABYTE  # once set up: notebooks, progress, temporary files
SLOW_IMPORT = 30  # seconds
KERNEL_SECONDS = 60
CODE_OF_NO_AVX = (-4, 132, 3221225501)  # SIGILL on POSIX, illegal instruction on Windows

IMPORT_TENSORFLOW = """
import json, os, time
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"
began = time.perf_counter()
import tensorflow, keras
seconds = time.perf_counter() - began
float(tensorflow.reduce_sum(tensorflow.ones((2, 2)) @ tensorflow.ones((2, 2))))
print(json.dumps([tensorflow.__version__, keras.__version__, seconds]))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    what: str
    says: str
    remedy: str = ""  # empty: all is well
    needed: bool = True  # False: the course runs without it

    @property
    def well(self) -> bool:
        """Whether nothing has to be done."""
        return not self.remedy

    def __str__(self) -> str:
        """Return `OK what says`, or `!! what says: remedy`, wrapped."""
        mark = "OK" if self.well else "!!" if self.needed else "--"
        text = self.says if self.well else f"{self.says}: {self.remedy}"
        first = f"{mark} {self.what:<12} "
        return textwrap.fill(
            text,
            100,
            initial_indent=first,
            subsequent_indent=" " * len(first),
            break_on_hyphens=False,
        )


def main(arguments: Sequence[str]) -> int:
    """Report; return 0 when everything that the course needs is well."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib doctor",
        description="Look at Python, packages, TensorFlow, kernel, memory, disk and data.",
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    if parser.parse_args(arguments).inside:
        return report(INSIDE)
    if worst := report(OUTSIDE):
        return worst
    try:
        interpreter = environment.ensure(dev=False)
    except environment.SetupError as error:
        print(Finding("environment", "could not be made", str(error)))
        return 1
    variables = {**environment.environment_variables(interpreter), "COURSE_ENV": "current"}
    argv = [str(interpreter), "-m", "course_lib", "doctor", "--inside"]
    return environment.run(argv, env=variables, cwd=environment.ROOT)


def here() -> None:
    """Report from inside the environment that runs this: what a notebook asks."""
    report(INSIDE)


def report(checks: Sequence[Callable[[], Finding]]) -> int:
    """Print the finding of each check as it comes; return 1 if one that matters is not well."""
    worst = 0
    for check in checks:
        try:
            finding = check()
        except Exception as error:  # whatever is broken, the other checks are still of use
            says = f"cannot be looked at ({type(error).__name__}: {error})"
            finding = Finding(check.__name__, says, _make_it_again())
        print(finding, flush=True)
        if finding.needed and not finding.well:
            worst = 1
    return worst


def _make_it_again() -> str:
    return f"delete {environment.location()} and run the command again"


def python() -> Finding:
    """Which Python was called."""
    return Finding("Python", f"{platform.python_version()} ({sys.executable})")


def machine() -> Finding:
    """Whether TensorFlow has a build for this machine."""
    says = f"{platform.system()} on {platform.machine()}, {os.cpu_count()} processors"
    complaint = environment.wrong_machine(sys.platform, platform.machine(), sys.maxsize > 2**32)
    complaint = complaint or environment.wrong_interpreter(
        platform.python_implementation(), platform.libc_ver()[0]
    )
    return Finding("machine", says, complaint or "")


def packages() -> Finding:
    """Whether the installed packages are those of the lock."""
    import importlib.metadata

    from packaging.requirements import Requirement

    lacking = environment.missing(dev=False)
    if lacking:
        command = f"{sys.executable} -m pip install -r {environment.LOCKS['learn']}"
        return Finding("packages", f"{', '.join(lacking)} missing", f"run `{command}`")
    others, count = [], 0
    lock = environment.ROOT / environment.LOCKS["learn"]
    for line in environment.lines_of(lock):
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        count += 1
        try:
            have = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            have = "none"
        if not wanted.specifier.contains(have if have != "none" else "0", prereleases=True):
            others.append(f"{wanted.name} {have} (tested with {wanted.specifier})")
    where = f"in {sys.prefix}"
    if not others:
        return Finding("packages", f"{count} {where}, all as in {environment.LOCKS['learn']}")
    # Another version within the course's own bounds is somebody's choice and no fault.
    return Finding(
        "packages",
        f"{count} {where}, within the course's bounds; other than locked: " + ", ".join(others),
    )


def tensorflow() -> Finding:
    """Whether TensorFlow can be imported and can multiply two matrices."""
    done = _python(IMPORT_TENSORFLOW)
    if done.returncode == 0:
        version, keras, seconds = json.loads(done.stdout.splitlines()[-1])
        says = f"{version} with Keras {keras}, imported in {seconds:.1f} s"
        slow = "a virus scanner may read every file of .venv: tell it to leave the folder alone"
        return Finding("TensorFlow", says, slow if seconds > SLOW_IMPORT else "", needed=False)
    return Finding("TensorFlow", *why_no_tensorflow(done.returncode, done.stderr))


def why_no_tensorflow(code: int, stderr: str) -> tuple[str, str]:
    """Return what happened and what to do, from the exit code and the words of a failed import."""
    again = _make_it_again()
    if code in CODE_OF_NO_AVX:
        return "cannot run", (
            "this processor lacks an instruction (AVX) that TensorFlow's builds use, so run the "
            "course on a newer computer or in a cloud notebook"
        )
    if re.search("DLL load failed|msvcp140", stderr, re.IGNORECASE):
        return "cannot be loaded", (
            "install Microsoft's Visual C++ Redistributable (x64) from "
            "https://aka.ms/vs/17/release/vc_redist.x64.exe, then try again"
        )
    last = (stderr.strip().splitlines() or [f"exit code {code}"])[-1]
    return f"cannot be imported ({last})", again


def kernel() -> Finding:
    """Whether a notebook's kernel starts, answers, and finds the course."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    began, quiet = time.perf_counter(), subprocess.DEVNULL
    try:
        # away from the course's folder, where `import course_lib` would need no installation
        manager.start_kernel(cwd=tempfile.gettempdir(), stdout=quiet, stderr=quiet)
        client = manager.client()
        client.start_channels()
        try:
            client.wait_for_ready(timeout=KERNEL_SECONDS)
            said: list[str] = []
            reply = client.execute_interactive(
                "import sys, course_lib; print(sys.prefix, course_lib.__file__, sep='\\n')",
                timeout=KERNEL_SECONDS,
                output_hook=lambda message: said.append(message["content"].get("text", "")),
            )
        finally:
            client.stop_channels()
    except Exception as error:  # whatever a kernel can do wrong, the reader gets a line for it
        return Finding(
            "kernel",
            f"does not start ({type(error).__name__}: {error})",
            "a firewall or virus scanner may block connections inside this computer (127.0.0.1); "
            "allow them for Python, then try again",
        )
    finally:
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
    return judge_kernel(reply["content"], "".join(said), time.perf_counter() - began)


def judge_kernel(reply: dict, said: str, seconds: float) -> Finding:
    """Return the finding for what the kernel answered."""
    if reply["status"] != "ok":
        what = f"{reply.get('ename')}: {reply.get('evalue')}"
        remedy = _make_it_again()
        return Finding("kernel", f"does not find the course ({what})", remedy)
    prefix, found = [*said.split("\n"), "", ""][:2]
    if Path(prefix).resolve() != Path(sys.prefix).resolve():
        return Finding(
            "kernel",
            f"belongs to another Python ({prefix})",
            "remove the kernel named python3 that `jupyter kernelspec list` shows there",
        )
    if environment.ROOT not in Path(found).resolve().parents:
        return Finding(
            "kernel",
            f"imports another copy of the course ({found})",
            f"run `{sys.executable} -m pip install -e .` in {environment.ROOT}",
        )
    return Finding("kernel", f"starts and answers in {seconds:.1f} s")


def memory() -> Finding:
    """Whether a notebook with TensorFlow fits into memory."""
    import psutil

    have = psutil.virtual_memory()
    says = f"{have.available / 1e9:.1f} of {have.total / 1e9:.1f} GB available"
    few = "close other programs and notebooks: a chapter that trains takes up to 1 GB"
    return Finding("memory", says, few if have.available < MEMORY_NEEDED else "")


def disk() -> Finding:
    """Whether there is room to write."""
    free = shutil.disk_usage(environment.ROOT).free
    says = f"{free / 1e9:.1f} GB free"
    if free < DISK_WANTED:
        return Finding("disk", says, "free some, so that notebooks can be saved")
    if not os.access(environment.ROOT, os.W_OK):
        says = f"{environment.ROOT} cannot be written to"
        return Finding("disk", says, "copy the course to a folder of your own")
    return Finding("disk", says)


def notebooks() -> Finding:
    """Whether the chapters are there."""
    from course_lib.commands import chapters

    there = (environment.ROOT / "notebooks").glob("*.ipynb")
    count = sum(bool(chapters.NAME.fullmatch(path.name)) for path in there)
    remedy = "the course's folder is incomplete; clone or unpack it again"
    return Finding("notebooks", f"{count} chapters", "" if count else remedy)


def data_files() -> Finding:
    """Whether every file in `data/` is there and undamaged."""
    from course_lib import data

    try:
        wrong = data.problems()
        count = len(data.manifest())
    except data.DataError as error:
        return Finding("data", "not found", str(error))
    if wrong:
        return Finding("data", f"{len(wrong)} of {count} files", " ".join(wrong))
    return Finding("data", f"{count} files, each as its checksum says")


def browser() -> Finding:
    """Whether the browser tests can run; the course itself takes any browser."""
    from course_lib.commands.browser import find_browser

    only = "only the browser tests of `python -m course_lib test` need it"
    try:
        path = find_browser()
    except FileNotFoundError as error:
        return Finding("browser", "not found", str(error), needed=False)
    if path is None:
        return Finding(
            "browser", "no Chromium for tests", f"{only}; install Chromium", needed=False
        )
    return Finding("browser", f"{path} ({only})")


def _python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, errors="replace"
    )


OUTSIDE: tuple[Callable[[], Finding], ...] = (python, machine)
INSIDE = (packages, tensorflow, kernel, memory, disk, notebooks, data_files, browser)
