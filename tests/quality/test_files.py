"""What may stand in a file of the course, and how long it may be."""

import ast
import re
import socket
from pathlib import Path

import pytest

from course_lib.commands import chapters

ROOT = chapters.ROOT
FILES = chapters.tracked_files()
TEXTS = [path for path in FILES if path.suffix not in (".npz", ".png", ".gz")]
PACKAGE = [p for p in FILES if p.suffix == ".py" and p.is_relative_to(ROOT / "course_lib")]

# Folders of somebody's computer, and hosts that only one network knows.
MACHINE = re.compile(
    r"(?<![\w.~}>])/(?:home|Users|root|work)/\w"
    r"|\b[A-Z]:\\{1,2}(?:Users|Documents)\b"
    r"|--(?:extra-index-url|index-url|find-links|trusted-host)[ =]+\w"
    r"|https?://[\w.-]+\.(?:internal|local|lan|corp)\b"
)
LIMITS = {  # bytes, by ending; where a file is larger, something is stored that should be made
    ".py": 40_000,
    ".ipynb": 120_000,
    ".svg": 150_000,
    ".md": 40_000,
    ".npz": 120_000,
    ".csv": 400_000,
    ".txt": 500_000,  # a novel
    ".json": 200_000,
}
DATA_LIMIT = 3_000_000


def name(path: Path) -> str:
    """Return a file's name within the course."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_no_machine_and_no_private_host_is_named(path):
    text = path.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if MACHINE.search(line)]
    assert not lines, f"{name(path)} names a machine: {lines[0].strip()[:200]}"


def test_this_computer_is_not_named():
    host, home = socket.gethostname(), str(Path.home())
    places = [str(ROOT), *([home] if len(Path(home).parts) > 2 else [])]
    places += [host] if len(host) > 6 and not host.startswith("localhost") else []
    for path in TEXTS:
        text = path.read_text(encoding="utf-8")
        assert not [place for place in places if place in text], name(path)


@pytest.mark.parametrize(
    "text",
    [
        "open('{}home/ada/data.csv')",
        "PATH={}Users/ada/bin",
        "C:" + "\\Users\\ada",
        "--index-url" + " https://example.org",
        "http://builder" + ".internal/simple",
    ],
)
def test_a_machine_would_be_seen(text):
    assert MACHINE.search(text.format("/"))


@pytest.mark.parametrize(
    "text", ["a/home/page", "~/.keras/keras.json", "https://example.org/home/"]
)
def test_an_address_is_no_machine(text):
    assert not MACHINE.search(text)


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_file_is_not_too_large(path):
    assert path.stat().st_size <= LIMITS.get(path.suffix, 60_000)


def test_the_data_are_small():
    data = [path for path in FILES if path.is_relative_to(ROOT / "data")]
    assert sum(path.stat().st_size for path in data) <= DATA_LIMIT


def test_the_command_line_is_short():
    lines = (ROOT / "course_lib" / "__main__.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150


def public_parts(tree: ast.AST, inside: str = "") -> list[tuple[str, ast.AST]]:
    """Return the public functions, classes and methods of a module, with their dotted names."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        overload = any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list)
        if node.name.startswith("_") or overload:
            continue
        found.append((inside + node.name, node))
        if isinstance(node, ast.ClassDef):
            found += public_parts(node, f"{inside}{node.name}.")
    return found


@pytest.mark.parametrize("path", PACKAGE, ids=name)
def test_whatever_is_public_has_a_docstring(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [part for part, node in public_parts(tree) if not ast.get_docstring(node)]
    assert ast.get_docstring(tree), f"{name(path)} has no docstring"
    assert not bare, f"{name(path)}: no docstring: {', '.join(bare)}"


TYPED = [
    path
    for path in PACKAGE
    if path.name != "__main__.py"  # parses on every Python since 2.7
    and path.parent.name != "exercises"  # written as a reader would write it in a notebook
]


@pytest.mark.parametrize("path", TYPED, ids=name)
def test_whatever_is_public_has_types(path):
    bare = []
    for part, node in public_parts(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            continue
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        untyped = [
            a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")
        ]
        if untyped or node.returns is None:
            bare.append(part)
    assert not bare, f"{name(path)}: no type hints: {', '.join(bare)}"


@pytest.mark.parametrize("path", chapters.all_chapters(), ids=name)
def test_a_chapter_is_linked_to_from_where_a_reader_begins(path):
    """README and chapter 00 list the chapters; one that is written is no mere word there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"(notebooks/{path.name})" in readme, f"README.md does not link to {path.name}"
    first = chapters.all_chapters()[0]
    if path != first:
        text = first.read_text(encoding="utf-8")
        assert f"]({path.name})" in text, f"{first.name} does not link to {path.name}"
