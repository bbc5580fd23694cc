"""The command line before anything is installed: a sentence for every Python, no traceback."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib import __main__ as command_line
from course_lib import __version__
from course_lib.commands import environment

ROOT = environment.ROOT
OLD = ("2.7", "3.6", "3.7", "3.8", "3.9", "3.10", "3.14")
READ_BY_ALL = (
    "course_lib/__init__.py",
    "course_lib/__main__.py",
    "course_lib/commands/__init__.py",
)


def find_python(version):
    """Return a Python of that version on this computer, or skip the test."""
    versions = Path.home() / ".pyenv" / "versions"
    places = [*versions.glob(f"{version}.*/bin/python"), shutil.which(f"python{version}")]
    for place in filter(None, places):
        done = subprocess.run([place, "--version"], capture_output=True, text=True)
        if f"Python {version}." in done.stdout + done.stderr:
            return str(place)
    return pytest.skip(f"there is no Python {version} on this computer")


def call(python, *arguments, **options):
    return subprocess.run(
        [python, "-B", "-m", "course_lib", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **options,
    )


@pytest.mark.parametrize("version", OLD)
def test_a_python_that_is_too_old_or_too_new_is_answered_with_one_sentence(version):
    done = call(find_python(version), "lab", "--no-browser")
    assert done.returncode == 2
    assert done.stdout == ""
    sentence = done.stderr.strip()
    assert sentence.startswith(
        "The course needs Python 3.11, 3.12 or 3.13; this is Python " + version
    )
    assert "https://www.python.org/downloads/" in sentence
    assert sentence.endswith("then run `python3.12 -m course_lib lab`.")
    assert "\n" not in sentence


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9), (3, 13, 1)])
def test_a_python_that_fits_is_not_complained_about(version):
    assert command_line.wrong_python(version, "lab") is None


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 10, 13), (3, 14, 0), (4, 0, 0)])
def test_the_sentence_names_version_remedy_and_command(version):
    sentence = command_line.wrong_python(version, "test", windows=True)
    assert "this is Python {}.{}.{}".format(*version) in sentence
    assert sentence.endswith("run `py -3.12 -m course_lib test`.")
    assert ("no build for it yet" in sentence) == (version > (3, 13, 99))


def modern_syntax(source):
    """Return the names of what Python 2.7 and 3.6 could not both read."""
    tree = ast.parse(source)
    modern = (ast.JoinedStr, ast.AnnAssign, ast.NamedExpr, ast.Starred, ast.AsyncFunctionDef)
    modern += (ast.Nonlocal, ast.YieldFrom, ast.Match, ast.TryStar)
    found = [type(node).__name__ for node in ast.walk(tree) if isinstance(node, modern)]
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments) and (node.kwonlyargs or node.posonlyargs):
            found.append("keyword-only")
        if isinstance(node, ast.arg) and node.annotation:
            found.append("annotation")
        if isinstance(node, ast.FunctionDef) and node.returns:
            found.append("annotation")
        if isinstance(node, ast.Raise) and node.cause:
            found.append("raise from")
    return found


@pytest.mark.parametrize("path", READ_BY_ALL)
def test_what_an_old_python_reads_first_is_written_for_it(path):
    source = (ROOT / path).read_text(encoding="utf-8")
    assert source.isascii()  # Python 2.7 wants a declaration otherwise
    assert modern_syntax(source) == []


@pytest.mark.parametrize(
    "source",
    ["f'{x}'", "x: int = 1", "[*x]", "f(*x, y, *z)", "def f(*, x): 0", "def f(x: int): 0",
     "def f() -> int: 0", "(x := 1)"],
)  # fmt: skip
def test_control_modern_syntax_is_noticed(source):
    assert modern_syntax(source)


def test_the_command_line_stays_short():
    assert len((ROOT / "course_lib/__main__.py").read_text(encoding="utf-8").splitlines()) <= 150


def test_set_up_needs_nothing_but_the_standard_library():
    names = (
        "course_lib.__main__",
        *(f"course_lib.commands.{name}" for name, _ in command_line.COMMANDS),
    )
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {', '.join(names)}"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    control = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import numpy"], capture_output=True
    )
    assert control.returncode != 0


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"]])
def test_help_names_every_command(arguments, capsys):
    assert command_line.main(arguments) == 0
    shown = capsys.readouterr().out
    for name, _ in command_line.COMMANDS:
        assert f"\n  {name} " in shown


@pytest.mark.parametrize("arguments", [[], ["lob"], ["--port"]])
def test_an_unknown_command_gets_the_list(arguments, capsys):
    assert command_line.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "python -m course_lib lab" in captured.err
    assert all(f"There is no command `{name}`" in captured.err for name in arguments)


def test_version(capsys):
    assert command_line.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("name", [name for name, _ in command_line.COMMANDS])
def test_every_command_explains_itself_without_an_environment(name, capsys):
    with pytest.raises(SystemExit) as caught:
        command_line.main([name, "--help"])
    assert caught.value.code == 0
    assert f"python -m course_lib {name}" in capsys.readouterr().out


def test_what_stops_the_set_up_becomes_a_sentence_and_an_exit_code(monkeypatch, capsys):
    def stop(error):
        def ensure(dev):
            raise error

        monkeypatch.setattr(environment, "ensure", ensure)
        return command_line.main(["lab"])

    assert stop(environment.SetupError("The disk is full.")) == 1
    assert capsys.readouterr().err == "The disk is full.\n"
    assert stop(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err.strip() == "Interrupted. The same command takes it up again."


def test_a_command_that_needs_packages_runs_in_the_environment(monkeypatch, tmp_path):
    python = tmp_path / "bin" / "python"
    seen = {}

    def run(argv, **options):
        seen.update(argv=argv, course_env=options["env"]["COURSE_ENV"])
        return 7

    monkeypatch.setattr(environment, "ensure", lambda dev: python)
    monkeypatch.setattr(environment, "run", run)
    assert command_line.main(["lock", "--check"]) == 7
    assert seen["argv"] == [python, "-m", "course_lib", "lock", "--check"]
    assert seen["course_env"] == "current"  # the child must not set up again


@pytest.mark.skipif(os.name == "nt", reason="a permission that Windows does not have")
def test_nothing_is_written_where_python_is_wrong(tmp_path):
    python = find_python("3.10")
    shutil.copytree(ROOT / "course_lib", tmp_path / "course_lib")
    done = subprocess.run(
        [python, "-B", "-m", "course_lib", "lab"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 2
    assert [place.name for place in tmp_path.iterdir()] == ["course_lib"]
