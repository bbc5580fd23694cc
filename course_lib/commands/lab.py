"""`python -m course_lib lab`: set up, then open the course in JupyterLab."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from course_lib.commands import environment

FIRST = "notebooks/00_start_here.ipynb"


def command(python: str | Path, arguments: Sequence[str]) -> list[str]:
    """Return the command that opens JupyterLab; what it does not know itself it hands on."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib lab",
        description="Set up the course if need be, and open it in JupyterLab.",
        epilog="Every other argument is handed to JupyterLab.",
        allow_abbrev=False,
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    parser.add_argument("--port", type=int, metavar="N", help="the port to listen on (8888)")
    chosen, others = parser.parse_known_args(arguments)
    argv = [
        str(python),
        "-m",
        "jupyterlab",
        f"--ServerApp.root_dir={environment.ROOT}",
        f"--LabApp.default_url=/lab/tree/{FIRST}",
        # Nothing leaves the machine: no question about news, no look for a newer version.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    if chosen.no_browser:
        argv.append("--no-browser")
    if chosen.port is not None:
        argv.append(f"--port={chosen.port}")
    return argv + others


def main(arguments: Sequence[str]) -> int:
    """Open the course; return JupyterLab's exit code."""
    command("python", arguments)  # a mistyped argument is answered before anything is installed
    python = environment.ensure(dev=False)
    return environment.run(command(python, arguments), cwd=environment.ROOT)
