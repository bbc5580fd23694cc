"""`python -m course_lib lock`: write the lists of packages, and the checksums of the course's data.

`requirements.txt` is the lock for learners: one list for Linux, macOS and Windows and for Python
3.11 to 3.13; its first line installs the course itself. `tests/requirements.txt` is the lock for
what only work on the course needs. The second line of the first, and the first of the second, is
a hash of the tables of `pyproject.toml` that the list was made from; `--check` compares it without
a network. A lock that is fresh is left alone, unless `--upgrade` asks for newer versions.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from course_lib.commands import environment

if TYPE_CHECKING:
    from packaging.markers import Marker
    from packaging.requirements import Requirement

ROOT = environment.ROOT
COURSE = "-e ."
HASH = "# made by `python -m course_lib lock` from pyproject.toml; sha256 of its tables: "
COMPILE = (
    "--universal",
    "--python-version=3.11",
    "--fork-strategy=fewest",  # one version of a package for all three Pythons where there is one
    "--no-annotate",
    "--no-header",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--quiet",
)
# The environments for which every requirement must be met by exactly one line of a lock.
TARGETS = tuple(
    {
        "python_version": version,
        "python_full_version": f"{version}.4",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "nt" if system == "win32" else "posix",
        "sys_platform": system,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[system],
        "platform_machine": machine,
    }
    for version in ("3.11", "3.12", "3.13")
    for system, machine in (
        ("linux", "x86_64"),
        ("linux", "aarch64"),
        ("darwin", "arm64"),
        ("win32", "AMD64"),
    )
)


def main(arguments: Sequence[str]) -> int:
    """Write what is stale, or with `--check` only say so; return 1 when something is stale."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib lock",
        description="Write the locks from pyproject.toml where they are stale, and the checksums "
        "of the course's own data.",
    )
    parser.add_argument("--check", action="store_true", help="write nothing, need no network")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    chosen = parser.parse_args(arguments)
    from course_lib import data
    from course_lib.learn.ledger import fill_in_claims

    if chosen.check:
        wrong = [*problems(ROOT), *data.problems(), *data.unlisted()]
        print("\n".join(wrong) or "Both locks and all checksums are fresh.")
        return 1 if wrong else 0
    if chosen.upgrade or problems(ROOT):
        write(ROOT, chosen.upgrade)
        print("Wrote " + " and ".join(environment.LOCKS.values()) + ".")
        for sentence in (wrong := problems(ROOT)):
            print(sentence)
        if wrong:
            return 1
    else:
        print("Both locks are fresh (`--upgrade` looks for newer versions).")
    changed, settled = data.refresh_manifest(), fill_in_claims()
    strangers = data.unlisted()
    print(f"Checksums: {', '.join(changed) if changed else 'nothing has changed'}.")
    print(f"Ledger: {', '.join(settled) if settled else 'its claims are those of the chapters'}.")
    print("\n".join(strangers), end="\n" if strangers else "")
    return 1 if strangers else 0


def tables(root: Path) -> dict[str, dict]:
    """Return, for each lock, the parts of `pyproject.toml` that it is made from."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    learn = {
        key: project["project"][key]
        for key in ("requires-python", "dependencies", "optional-dependencies")
    }
    return {"learn": learn, "test": {**learn, "dev": project["dependency-groups"]["dev"]}}


def hash_of(table: dict) -> str:
    """Return the hash of a part of `pyproject.toml`; order within a list does not matter."""
    ordered = {
        key: sorted(value) if isinstance(value, list) else value for key, value in table.items()
    }
    return hashlib.sha256(json.dumps(ordered, sort_keys=True).encode()).hexdigest()


def problems(root: Path) -> list[str]:
    """Return one sentence for each way in which a lock is stale; needs no network."""
    wrong, locked = [], {}
    for name, table in tables(root).items():
        path = environment.LOCKS[name]
        try:
            lines = (root / path).read_text(encoding="utf-8").splitlines()
        except OSError:
            wrong.append(f"{path} is missing: run `python -m course_lib lock`.")
            continue
        if name == "learn" and lines[:1] != [COURSE]:
            wrong.append(f"{path}: the first line must be `{COURSE}`, it is {lines[:1]}.")
        if HASH + hash_of(table) not in lines[:2]:
            wrong.append(f"{path} is older than pyproject.toml: run `python -m course_lib lock`.")
        if any(re.search(r"://|--index|--find-links|file:|^/", line) for line in lines):
            wrong.append(
                f"{path} names an address or a path: it must hold names and versions only."
            )
        locked[name] = pins(lines)
    for name, wanted in (("learn", wanted_by_learners(root)), ("test", wanted_by_tests(root))):
        available = locked.get("learn", []) + (locked.get("test", []) if name == "test" else [])
        wrong += unmet(wanted, available, environment.LOCKS[name])
    wrong += disagreements(locked.get("learn", []), locked.get("test", []))
    return wrong


def pins(lines: Sequence[str]) -> list[Requirement]:
    """Return the lines `name==version ; marker` of a lock."""
    return [_requirement(line) for line in lines if line and not line.startswith(("#", "-"))]


def wanted_by_learners(root: Path) -> list[Requirement]:
    """Return what the course itself needs, TensorFlow included."""
    learn = tables(root)["learn"]
    lines = learn["dependencies"] + learn["optional-dependencies"]["tensorflow"]
    return [_requirement(line) for line in lines]


def wanted_by_tests(root: Path) -> list[Requirement]:
    """Return what only work on the course needs."""
    return [_requirement(line) for line in tables(root)["test"]["dev"]]


def unmet(wanted: Sequence[Requirement], locked: Sequence[Requirement], path: str) -> list[str]:
    """Return a sentence for each requirement that some Python or system would not find met."""
    wrong = []
    for requirement in wanted:
        for target in TARGETS:
            if not _applies(requirement.marker, target):
                continue
            versions = {
                version_of(pin)
                for pin in locked
                if _name(pin) == _name(requirement) and _applies(pin.marker, target)
            }
            if len(versions) != 1 or not requirement.specifier.contains(versions.pop()):
                where = f"{target['sys_platform']} {target['platform_machine']}"
                wrong.append(
                    f"{path} does not meet `{requirement}` on Python {target['python_version']}, "
                    f"{where}: run `python -m course_lib lock`."
                )
                break
    return wrong


def disagreements(learn: Sequence[Requirement], test: Sequence[Requirement]) -> list[str]:
    """Return a sentence for each package that the two locks pin differently.

    An environment of `lab` that `test` completes must only gain packages.
    """
    wrong = []
    for name in sorted({_name(pin) for pin in learn} & {_name(pin) for pin in test}):
        for target in TARGETS:
            first, second = (
                {
                    version_of(pin)
                    for pin in pins
                    if _name(pin) == name and _applies(pin.marker, target)
                }
                for pins in (learn, test)
            )
            if first and second and first != second:
                wrong.append(
                    f"{name} is {first.pop()} in {environment.LOCKS['learn']} and {second.pop()} "
                    f"in {environment.LOCKS['test']}: run `python -m course_lib lock`."
                )
                break
    return wrong


def version_of(pin: Requirement) -> str:
    """Return the version that a line of a lock names; `none` unless it names exactly one."""
    only, *others = [*pin.specifier] or [None]
    return only.version if only and not others and only.operator == "==" else "none"


def write(root: Path, upgrade: bool) -> None:
    """Resolve both locks anew; versions that still fit stay, unless `upgrade`.

    Raises
    ------
    environment.SetupError
        When uv finds no set of versions, or no network; the sentence says which.
    """
    project = tables(root)
    sources = {"learn": ["pyproject.toml", "--extra=tensorflow"], "test": ["--group=dev"]}
    bounds: list[str] = []  # the second lock agrees with the first
    for name, source in sources.items():
        lock = root / environment.LOCKS[name]
        lines = bounds = _compile(source, [] if upgrade else _old_pins(lock), bounds, root)
        head = [COURSE] if name == "learn" else []
        text = "\n".join([*head, HASH + hash_of(project[name]), *lines]) + "\n"
        lock.write_text(text, encoding="utf-8", newline="\n")


def _old_pins(lock: Path) -> list[str]:
    return environment.lines_of(lock) if lock.is_file() else []


def _compile(source: list[str], old: list[str], bounds: list[str], root: Path) -> list[str]:
    """Return the lines that uv resolves; it prefers the old ones that it finds in its output."""
    with tempfile.TemporaryDirectory() as folder:
        output, constraints = Path(folder) / "lock.txt", Path(folder) / "constraints.txt"
        output.write_text("\n".join(old), encoding="utf-8")
        constraints.write_text("\n".join(bounds), encoding="utf-8")
        argv = [sys.executable, "-m", "uv", "pip", "compile", *source, *COMPILE]
        argv += [f"--constraints={constraints}", f"--output-file={output}"]
        done = subprocess.run(argv, cwd=root, capture_output=True, text=True)
        if done.returncode:
            raise environment.SetupError(environment.explain(done.stdout + done.stderr))
        return environment.lines_of(output)


def _requirement(line: str) -> Requirement:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(line)
    except InvalidRequirement:
        raise environment.SetupError(f"`{line}` is no requirement that Python can read.") from None


def _applies(marker: Marker | None, target: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(target)


def _name(requirement: Requirement) -> str:
    return re.sub(r"[-_.]+", "-", requirement.name).lower()
