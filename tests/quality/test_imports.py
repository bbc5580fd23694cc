"""Imports run downwards only, and the floors that promise it work without TensorFlow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.commands import chapters

PACKAGE = chapters.ROOT / "course_lib"
# Each floor with the floors that it may import besides itself.
GROUND = {"checks", "data"}
BELOW = {
    "checks": set(),
    "data": {"checks"},
    "maths": GROUND,
    "models": GROUND | {"maths"},
    "show": GROUND | {"maths"},
    "learn": GROUND | {"maths", "show"},
    "commands": GROUND | {"maths", "models", "show", "learn"},
    "__init__": set(),
    "__main__": {"commands"},
}
HEAVY = ("tensorflow", "keras")


def floor_of(path: Path) -> str:
    """Return the floor that a file of the package stands on."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_names(source: str) -> set[str]:
    """Return the modules that a source imports anywhere in it, `from a import b` as `a.b`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the whole name, not a relative one"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_floors(source: str) -> set[str]:
    """Return the floors that a source imports."""
    ours = (name.split(".") for name in imported_names(source))
    return {parts[1] for parts in ours if parts[0] == "course_lib" and len(parts) > 1} & set(BELOW)


MODULES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards(path):
    floor = floor_of(path)
    upwards = imported_floors(path.read_text(encoding="utf-8")) - BELOW[floor] - {floor}
    assert not upwards, f"{floor} imports {', '.join(sorted(upwards))}"


def test_every_floor_is_known():
    assert {floor_of(path) for path in MODULES} <= set(BELOW)


@pytest.mark.parametrize(
    ("source", "floors"),
    [
        ("from course_lib import models", {"models"}),
        ("from course_lib.show.style import COLORS", {"show"}),
        ("def late():\n    import course_lib.learn.claims", {"learn"}),
        ("import numpy", set()),
    ],
)
def test_an_import_of_any_form_is_seen(source, floors):
    assert imported_floors(source) == floors


@pytest.mark.parametrize("floor", ["maths", "show", "learn", "data", "checks"])
def test_a_floor_names_no_tensorflow(floor):
    paths = [path for path in MODULES if floor_of(path) == floor]
    names = {name for path in paths for name in imported_names(path.read_text(encoding="utf-8"))}
    assert not {name for name in names if name.split(".")[0] in HEAVY}


@pytest.mark.parametrize("floor", ["maths", "show", "learn"])
def test_a_floor_loads_without_tensorflow(floor):
    modules = [
        ".".join(("course_lib", *path.relative_to(PACKAGE).with_suffix("").parts))
        for path in MODULES
        if floor_of(path) == floor
    ]
    names = ", ".join(modules).replace(".__init__", "")
    program = f"import sys, {names}; sys.exit(any(name in sys.modules for name in {HEAVY!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "TensorFlow was imported"


@pytest.mark.parametrize("name", ["__init__", "__main__"])
def test_the_first_two_files_need_no_environment(name):
    names = {
        module.split(".")[0]
        for module in imported_names((PACKAGE / f"{name}.py").read_text(encoding="utf-8"))
    }
    assert names <= {*sys.stdlib_module_names, "course_lib"}


def imports_in_order(source: str) -> list[str]:
    """Return the modules that a source imports, in the order of its lines."""
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Import | ast.ImportFrom)]
    found = []
    for node in sorted(nodes, key=lambda node: node.lineno):
        prefix = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        found += [prefix + alias.name for alias in node.names]
    return found


def loads_keras_first(sources) -> bool:
    """Return whether Keras or TensorFlow is imported before `course_lib.models` settles them."""
    for name in (name for source in sources for name in imports_in_order(source)):
        if name.startswith("course_lib.models"):
            return False
        if name.split(".")[0] in HEAVY:
            return True
    return False


@pytest.mark.parametrize("path", chapters.all_chapters(), ids=lambda path: path.stem)
def test_a_chapter_imports_the_models_before_keras(path):
    """They choose the backend and float32, and keep TensorFlow from talking in the first cell."""
    notebook = chapters.parse(path.read_text(encoding="utf-8"))
    assert not loads_keras_first(cell.source for cell in chapters.code_cells(notebook))


def test_control_keras_before_the_models_would_be_seen():
    assert loads_keras_first(["import numpy", "import keras\nfrom course_lib.models import text"])
    assert loads_keras_first(["from tensorflow import nn"])
    assert not loads_keras_first(["from course_lib import models\nimport keras", "import keras"])
