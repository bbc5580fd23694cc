"""What other tools say of the course: ruff, mypy, and the locks."""

import subprocess
import sys

import pytest

from course_lib.commands import chapters

TOOLS = {
    "lint": ("ruff", "check", "--output-format=concise", "--quiet"),
    "format": ("ruff", "format", "--check"),
    "types": ("mypy",),
    "locks": ("course_lib", "lock", "--check"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_finds_nothing(tool):
    command = [sys.executable, "-m", *TOOLS[tool]]
    done = subprocess.run(command, cwd=chapters.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    ("tool", "source"),
    [
        ("lint", "import os\n"),
        ("lint", "def test_nothing():\n    1 == 2\n"),  # a test that cannot fail
        ("format", "x = {  'a':1 }\n"),
        ("types", "def half(x: int) -> str:\n    return x / 2\n"),
    ],
)
def test_would_find_something(tool, source, tmp_path):
    path = tmp_path / "module.py"
    path.write_text(source)
    command = [sys.executable, "-m", *TOOLS[tool], str(path)]
    config = chapters.ROOT / "pyproject.toml"
    option = "--config-file" if tool == "types" else "--config"
    done = subprocess.run([*command, option, str(config)], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
