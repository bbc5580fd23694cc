"""The form of a chapter: one function a rule, each yielding a sentence for what is wrong.

`check` runs all of them on what git would commit of a notebook, and
`python -m course_lib.commands.form 01` prints what it found. The rules say what a chapter looks
like, never what it teaches.
"""

from __future__ import annotations

import ast
import csv
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from course_lib.commands import chapters
from course_lib.commands.chapters import Notebook, tags

FRAME = ("header", "sources", "exercises", "one-minute", "references")
MIDDLE = {
    "derivation": ("derive", "build", "check", "explore", "measure"),
    "investigation": ("symptom", "hypotheses", "experiment", "verdict"),
    "project": ("goal", "data", "baseline", "model", "measurement", "next"),
    "map": (),
}
HEADER_FIELDS: dict[str, type | tuple[type, ...]] = {
    "chapter": str,
    "kind": str,
    "title": str,
    "question": str,
    "minutes": int,
    "seconds": (int, float),
    "needs": list,
    "figure": dict,
}
CELLS = (35, 60)
WORDS = (1500, 3000)
LONGEST_CELL, MEAN_CELL = 25, 10
PICTURE_BYTES = 150_000
SUMMARY_CHAPTER = "18"  # the one that shows every ledger item again
LEDGER_ID = re.compile(r"\bD\d+-[\w.]+-[A-Z]+\d*[a-z]?\b")


@dataclass(frozen=True)
class Chapter:
    """One notebook as the rules see it: its place and its text as git would commit it."""

    path: Path
    text: str
    root: Path = chapters.ROOT

    @cached_property
    def notebook(self) -> Notebook:
        """The parsed notebook."""
        return chapters.parse(self.text)

    @property
    def cells(self) -> list[Notebook]:
        """All cells."""
        return self.notebook.cells

    @property
    def code(self) -> list[Notebook]:
        """The code cells."""
        return chapters.code_cells(self.notebook)

    @property
    def prose(self) -> list[Notebook]:
        """The markdown cells."""
        return [cell for cell in self.cells if cell.cell_type == "markdown"]

    @property
    def course(self) -> dict:
        """The field `course` of the notebook's metadata."""
        return self.notebook.metadata.get("course", {})

    @property
    def number(self) -> str:
        """The chapter's number, from its file name."""
        return self.path.name[:2]

    @property
    def kind(self) -> str:
        """The kind of its middle."""
        return str(self.course.get("kind", ""))

    @property
    def is_map(self) -> bool:
        """Whether this chapter only orients, so that most limits do not hold for it."""
        return self.kind == "map"

    @cached_property
    def calls(self) -> list[tuple[Notebook, ast.Call]]:
        """Every call in the code cells, with its cell. Cells that do not parse have none."""
        return [(cell, node) for cell in self.code for node in ast.walk(_tree(cell.source))
                if isinstance(node, ast.Call)]  # fmt: skip

    def calls_of(self, name: str) -> list[tuple[Notebook, ast.Call]]:
        """Return the calls of `name`, written as in the chapter, such as ``"learn.claim"``."""
        return [(cell, call) for cell, call in self.calls if _dotted(call.func) == name]

    def where(self, cell: Notebook) -> str:
        """Return how to find a cell: its place and its first words."""
        place = next(index for index, other in enumerate(self.cells) if other is cell)
        first = next((line for line in cell.source.splitlines() if line.strip()), "empty")
        return f"cell {place} ({first.strip()[:40]})"


def load(path: Path, root: Path = chapters.ROOT) -> Chapter:
    """Return the chapter at `path` as git would commit it."""
    return Chapter(path, chapters.committed(path, root), root)


# ---------------------------------------------------------------- the file


def is_canonical(chapter: Chapter) -> Iterator[str]:
    """Require JSON written in one way, valid nbformat 4.5, so that a difference is a change."""
    import nbformat

    notebook = chapter.notebook
    if (notebook.nbformat, notebook.nbformat_minor) != (4, 5):
        yield f"it is nbformat {notebook.nbformat}.{notebook.nbformat_minor}; the course uses 4.5"
        return
    try:
        nbformat.validate(notebook)
    except nbformat.ValidationError as problem:
        yield f"it is not a valid notebook: {str(problem).splitlines()[0]}"
    if chapter.text != chapters.canonical(notebook):
        yield "its JSON is not written as nbformat writes it: open and save it in JupyterLab"
    extra = set(notebook.metadata) - {"course", "kernelspec", "jupytext"}
    if extra:
        yield f"its metadata has fields the course does not use: {', '.join(sorted(extra))}"
    if notebook.metadata.get("kernelspec", {}).get("name") != "python3":
        yield "its kernelspec is not python3"


def has_no_outputs(chapter: Chapter) -> Iterator[str]:
    """Forbid stored outputs: they spoil the predictions and make every difference unreadable."""
    for cell in chapter.code:
        if cell.get("outputs") or cell.get("execution_count") is not None:
            yield f"{chapter.where(cell)} has a stored output or an execution count"
    for cell in chapter.prose:
        if cell.get("attachments"):
            yield f"{chapter.where(cell)} has an attachment; pictures live in notebooks/figures"


# ---------------------------------------------------------------- frame and kind


def has_header(chapter: Chapter) -> Iterator[str]:
    """Require that metadata and first cell say what the chapter is, asks, needs and costs."""
    course = chapter.course
    for field, kind in HEADER_FIELDS.items():
        if not isinstance(course.get(field), kind) or course[field] == "":
            yield f"metadata field course.{field} is missing or of the wrong type"
            return
    if course["chapter"] != chapter.number:
        yield f"course.chapter is {course['chapter']!r}, the file is number {chapter.number!r}"
    if course["kind"] not in MIDDLE:
        yield f"course.kind is {course['kind']!r}; it is one of {', '.join(MIDDLE)}"
    if any(need >= chapter.number for need in course["needs"]):
        yield f"course.needs names a chapter that comes later: {course['needs']}"
    first = chapter.cells[0]
    if first.cell_type != "markdown" or "header" not in tags(first):
        yield "its first cell is not a markdown cell tagged `header`"
        return
    title = f"# {chapter.number} · {course['title']}"
    if first.source.splitlines()[0] != title:
        yield f"its first line is not {title!r}"
    expected = {
        f"the picture figures/{chapter.number}.svg": f"figures/{chapter.number}.svg",
        "the question of course.question": course["question"],
        "what the reader will be able to do (“able to”)": "able to",
        f"{course['minutes']} minutes": f"{course['minutes']} minutes",
        f"{course['seconds']} seconds": f"{course['seconds']} seconds",
    }
    text = " ".join(re.sub(r"[*_]", "", first.source).split())
    for what, words in expected.items():
        if " ".join(re.sub(r"[*_]", "", words).split()) not in text:
            yield f"its header does not show {what}"
    for need in course["needs"]:
        if not re.search(rf"\]\({need}_\w+\.ipynb", first.source):
            yield f"its header does not link to chapter {need}, which it needs"


def has_frame(chapter: Chapter) -> Iterator[str]:
    """Require header, sources, exercises, one minute, references: once, in order, on headings."""
    wanted = [tag for tag in FRAME if not (chapter.is_map and tag in ("sources", "exercises"))]
    found = [tag for cell in chapter.cells for tag in tags(cell) if tag in FRAME]
    for tag in wanted:
        if found.count(tag) != 1:
            yield f"tag `{tag}` is on {found.count(tag)} cells, not on one"
    order = [FRAME.index(tag) for tag in found]
    if order != sorted(order):
        yield f"its frame is out of order: {', '.join(found)}"
    for cell in chapter.cells:  # what closes the section before may stand above a heading
        known = [tag for tag in tags(cell) if tag in (*FRAME, *MIDDLE.get(chapter.kind, ()))]
        if known and not (cell.cell_type == "markdown" and _headings_of(cell.source)):
            yield f"{chapter.where(cell)} has tag `{known[0]}` but is no heading"


def has_middle(chapter: Chapter) -> Iterator[str]:
    """Require all steps of its kind, each beginning after the one before it has begun."""
    steps = MIDDLE.get(chapter.kind, ())
    found = [tag for cell in chapter.cells for tag in tags(cell) if tag in steps]
    missing = [step for step in steps if step not in found]
    if missing:
        yield f"it lacks steps of its kind ({', '.join(steps)}); missing: {', '.join(missing)}"
    firsts = list(dict.fromkeys(found))
    if not missing and firsts != list(steps):
        yield f"its steps begin in the order {', '.join(firsts)}, not {', '.join(steps)}"
    places = [(tag, index) for index, cell in enumerate(chapter.cells) for tag in tags(cell)]
    sources = min((index for tag, index in places if tag == "sources"), default=len(chapter.cells))
    for tag, index in places:
        if tag in steps and index > sources:
            yield f"step `{tag}` comes after the sources"


def predicts_early(chapter: Chapter) -> Iterator[str]:
    """Require a prediction in the first five cells, and each prediction to be revealed."""
    places = [chapter.cells.index(cell) for cell, _ in chapter.calls_of("learn.predict")]
    if not places or min(places) > 4:
        yield "no `learn.predict(` stands in its first five cells"
    asked = {_first_text(call) for _, call in chapter.calls_of("learn.predict")}
    shown = {_first_text(call) for _, call in chapter.calls_of("learn.reveal")}
    for name in sorted(asked ^ shown, key=str):
        yield f"prediction {name!r} is asked and never revealed, or revealed and never asked"


def has_exercises(chapter: Chapter) -> Iterator[str]:
    """Require three to five exercises, two or three quiz questions, two explorers or more."""
    exercises = {_first_text(call) for _, call in chapter.calls_of("learn.check")}
    quizzes = {_first_text(call) for _, call in chapter.calls_of("learn.quiz")}
    if chapter.is_map:
        if len(exercises) > 1:
            yield f"it has {len(exercises)} exercises; a map has at most one"
        return
    if not 3 <= len(exercises) <= 5:
        yield f"it has {len(exercises)} exercises; a chapter has three to five"
    if not 2 <= len(quizzes) <= 3:
        yield f"it has {len(quizzes)} quiz questions; a chapter has two or three"
    explorers = len(chapter.calls_of("show.explore"))
    if chapter.kind == "derivation" and explorers < 2:
        yield f"it has {explorers} explorers; a derivation has two or more"


# ---------------------------------------------------------------- size and rhythm


def has_size(chapter: Chapter) -> Iterator[str]:
    """Require that a chapter fits one sitting, and a code cell one breath."""
    lengths = [_lines(cell) for cell in chapter.code]
    for cell, length in zip(chapter.code, lengths, strict=True):
        if length > LONGEST_CELL:
            yield f"{chapter.where(cell)} has {length} lines; {LONGEST_CELL} is the most"
    mean = sum(map(_lines_of_code, chapter.code)) / max(len(lengths), 1)
    if mean > MEAN_CELL:
        yield f"its code cells have {mean:.1f} lines on average; {MEAN_CELL} is the most"
    if chapter.is_map:
        return
    counts = {
        "cells": (len(chapter.cells), CELLS),
        "words": (sum(len(cell.source.split()) for cell in chapter.prose), WORDS),
    }
    for what, (count, (least, most)) in counts.items():
        if not least <= count <= most:
            yield f"it has {count} {what}; a chapter has {least} to {most}"


def prose_before_code(chapter: Chapter) -> Iterator[str]:
    """Require a paragraph before each code cell, which says what we are about to see."""
    before = [None, *chapter.cells]
    for previous, cell in zip(before, chapter.cells, strict=False):
        if cell.cell_type != "code":
            continue
        if previous is None or previous.cell_type != "markdown" or not _paragraphs(previous.source):
            yield f"{chapter.where(cell)} has no paragraph before it"


def headings_are_a_tree(chapter: Chapter) -> Iterator[str]:
    """Require one title and no level skipped, so that outline and screen reader can follow."""
    levels = [level for level, _ in _headings(chapter)]
    if levels.count(1) != 1:
        yield f"it has {levels.count(1)} titles (`#`), not one"
    for level, following in pairwise(levels):
        if following > level + 1:
            yield f"a heading of level {following} follows one of level {level}"


def code_is_plain_python(chapter: Chapter) -> Iterator[str]:
    """Require that every cell parses, without magics, and that none is empty."""
    for cell in chapter.cells:
        if not cell.source.strip():
            yield f"{chapter.where(cell)} is empty"
    for cell in chapter.code:
        try:
            ast.parse(cell.source)
        except SyntaxError as problem:
            yield f"{chapter.where(cell)} is not plain Python: {problem.msg}"
    for cell, _ in chapter.calls_of("plt.show"):
        yield f"{chapter.where(cell)} calls plt.show(); end with show.figure(fig, alt=…)"


# ---------------------------------------------------------------- links and pictures


def links_resolve(chapter: Chapter) -> Iterator[str]:
    """Require that a link leads to a file of the course, a heading, or a page with https."""
    for cell in chapter.prose:
        for target in _targets(cell.source):
            problem = _broken(chapter, target)
            if problem:
                yield f"{chapter.where(cell)} links to {target}: {problem}"


def pictures_have_alt_text(chapter: Chapter) -> Iterator[str]:
    """Require that every picture, figure and explorer says in words what it shows."""
    for cell in chapter.prose:
        for target, alt in _pictures(cell.source):
            if len(alt.strip()) < 20:
                yield f"{chapter.where(cell)}: {target} has no alt text that says what it shows"
    for cell, call in chapter.calls_of("show.figure"):
        words = _argument(call, "alt", 1)
        if words is None or (isinstance(words, ast.Constant) and len(str(words.value)) < 20):
            yield f"{chapter.where(cell)}: show.figure has no alt text that says what it shows"
    for cell, call in chapter.calls_of("show.explore"):
        words = _argument(call, "alt")
        if words is None or isinstance(words, ast.Constant):
            yield f"{chapter.where(cell)}: show.explore has no `alt=`, a function of the arrays"


def plots_are_shown(chapter: Chapter) -> Iterator[str]:
    """Require that a cell that makes a figure also ends it, with its alt text."""
    makers = {"plt.figure", "plt.subplots", "plt.subplot_mosaic"}
    for cell in chapter.code:
        calls = {_dotted(node.func) for node in _at_top_level(_tree(cell.source))
                 if isinstance(node, ast.Call)}  # fmt: skip
        if calls & makers and "show.figure" not in calls:
            yield f"{chapter.where(cell)} makes a figure and does not end with show.figure"


def header_picture_is_fresh(chapter: Chapter) -> Iterator[str]:
    """Require that the committed picture comes from the code as it stands."""
    sources = [cell for cell in chapter.code if "header-picture" in tags(cell)]
    if len(sources) != 1:
        yield f"{len(sources)} code cells are tagged `header-picture`, not one"
    figure = chapter.course.get("figure", {})
    remedy = f"run `python -m course_lib figures {chapter.number}`"
    path = chapter.path.parent / str(figure.get("path"))
    if figure.get("path") != f"figures/{chapter.number}.svg" or not path.is_file():
        yield f"its header picture notebooks/figures/{chapter.number}.svg is missing: {remedy}"
        return
    if figure.get("code_hash") != chapters.code_hash(chapter.notebook):
        yield f"its header picture is older than its code: {remedy}"
    if path.stat().st_size > PICTURE_BYTES:
        yield f"its header picture has {path.stat().st_size} bytes; {PICTURE_BYTES} is the most"
    if "<svg" not in path.read_text(encoding="utf-8")[:2000]:
        yield "its header picture is not an SVG"


# ---------------------------------------------------------------- claims and ledger


def claims_are_named(chapter: Chapter) -> Iterator[str]:
    """Require names of claims and predictions to begin with the number, and none to stand twice."""
    for function in ("learn.claim", "learn.predict"):
        names = [_first_text(call) for _, call in chapter.calls_of(function)]
        for name in names:
            if name is not None and not name.startswith(f"{chapter.number}-"):
                yield f"{function}({name!r}) does not begin with {chapter.number}-"
        for name in sorted({name for name in names if name and names.count(name) > 1}):
            yield f"{function}({name!r}) stands twice"


def ledger_is_walked_through(chapter: Chapter) -> Iterator[str]:
    """Require every ledger item of this chapter in its code, and none of another chapter's."""
    home = _ledger(chapter.root)
    own = {item for item, number in home.items() if number == chapter.number}
    inside = {item for cell in chapter.code for item in LEDGER_ID.findall(cell.source)}
    for item in sorted(own - inside):
        yield f"ledger item {item} belongs to it and is not in its code"
    everywhere = inside | {
        item for cell in chapter.prose for item in LEDGER_ID.findall(cell.source)
    }
    for item in sorted(everywhere - own):
        if item not in home:
            yield f"{item} looks like a ledger item and is not in data/ledger.csv"
        elif chapter.number != SUMMARY_CHAPTER:
            yield f"ledger item {item} belongs to chapter {home[item]}"


RULES: tuple[Callable[[Chapter], Iterator[str]], ...] = (
    is_canonical,
    has_no_outputs,
    has_header,
    has_frame,
    has_middle,
    predicts_early,
    has_exercises,
    has_size,
    prose_before_code,
    headings_are_a_tree,
    code_is_plain_python,
    links_resolve,
    pictures_have_alt_text,
    plots_are_shown,
    header_picture_is_fresh,
    claims_are_named,
    ledger_is_walked_through,
)


def check(path: Path, root: Path = chapters.ROOT) -> list[str]:
    """Return one sentence for each thing that is wrong with the form of the chapter at `path`."""
    chapter = load(path, root)
    return [f"{path.name}: {problem}" for rule in RULES for problem in rule(chapter)]


# ---------------------------------------------------------------- reading code


def _tree(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError:  # code_is_plain_python reports it
        return ast.Module([], [])


def _dotted(node: ast.expr) -> str:
    """Return `show.figure` for the expression ``show.figure``; empty for anything less plain."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (rest := _dotted(node.value)):
        return f"{rest}.{node.attr}"
    return ""


def _argument(call: ast.Call, name: str, place: int | None = None) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[place] if place is not None and len(call.args) > place else None


def _first_text(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _at_top_level(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes that run when the cell runs: not those inside functions and lambdas."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        yield node
        yield from _at_top_level(node)


def _lines(cell: Notebook) -> int:
    """Return how many lines a reader reads: blank lines and lone brackets only give them air."""
    return sum(any(map(str.isalnum, line)) for line in cell.source.splitlines())


def _lines_of_code(cell: Notebook) -> int:
    """Return how many of them are code: a `learn.claim(...)` is a sentence, and counts as one."""
    inside: set[int] = set()
    for node in ast.walk(_tree(cell.source)):
        if isinstance(node, ast.Call) and (_dotted(node.func) or "").startswith("learn."):
            inside.update(range(node.lineno, node.end_lineno or node.lineno))
    lines = cell.source.splitlines()
    return sum(
        any(map(str.isalnum, line)) for number, line in enumerate(lines) if number not in inside
    )


# ---------------------------------------------------------------- reading prose


@cache
def markdown() -> Any:
    """Return the parser of what JupyterLab renders: CommonMark, tables and mathematics."""
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    return MarkdownIt("commonmark").enable("table").use(dollarmath_plugin)


def _inline(source: str) -> Iterator:
    for token in markdown().parse(source):
        yield from token.children or ()


def _html(source: str) -> str:
    blocks = [token.content for token in markdown().parse(source) if token.type == "html_block"]
    return "\n".join(
        [*blocks, *(token.content for token in _inline(source) if token.type == "html_inline")]
    )


def _paragraphs(source: str) -> bool:
    """Return whether the text has more than headings."""
    tokens = markdown().parse(source)
    return any(
        token.type == "inline" and before.type != "heading_open"
        for before, token in pairwise(tokens)
    )


def _targets(source: str) -> list[str]:
    links = [token.attrGet("href") for token in _inline(source) if token.type == "link_open"]
    pictures = [token.attrGet("src") for token in _inline(source) if token.type == "image"]
    html = re.findall(r"""(?:href|src)\s*=\s*["']([^"']*)["']""", _html(source))
    return [str(target) for target in [*links, *pictures, *html]]


def _pictures(source: str) -> list[tuple[str, str]]:
    plain = [(str(t.attrGet("src")), t.content) for t in _inline(source) if t.type == "image"]
    html = []
    for picture in re.findall(r"<img\b[^>]*>", _html(source)):
        fields = dict(re.findall(r"""(\w+)\s*=\s*["']([^"']*)["']""", picture))
        html.append((fields.get("src", ""), fields.get("alt", "")))
    return plain + html


def _headings(chapter: Chapter) -> list[tuple[int, str]]:
    return [heading for cell in chapter.prose for heading in _headings_of(cell.source)]


def _headings_of(source: str) -> list[tuple[int, str]]:
    """Return the level and the plain text of every heading."""
    tokens = markdown().parse(source)
    found = []
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            parts = [
                child.content for child in inline.children or () if child.type != "html_inline"
            ]
            found.append((int(token.tag[1]), "".join(parts)))
    return found


def notebook_anchor(heading: str) -> str:
    """Return the anchor that JupyterLab (and nbconvert, and so GitHub) gives a heading."""
    return heading.strip().replace(" ", "-")


def page_anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading of a markdown page."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _broken(chapter: Chapter, target: str) -> str | None:
    """Return what is wrong with a link, or None."""
    if re.match(r"[a-z]+:", target):
        return (
            None if re.match(r"https://[\w.-]+\.\w+(/|$)", target) else "use a full https address"
        )
    name, _, anchor = unquote(target).partition("#")
    path = (chapter.path.parent / name).resolve() if name else chapter.path.resolve()
    if not path.is_relative_to(chapter.root.resolve()):
        return "this lies outside the course"
    if name and not path.exists():
        return "there is no such file"
    if not anchor:
        return None if name else "the link is empty"
    if path == chapter.path.resolve():
        anchors = [notebook_anchor(text) for _, text in _headings(chapter)]
    elif path.suffix == ".ipynb":
        other = Chapter(path, path.read_text(encoding="utf-8"), chapter.root)
        anchors = [notebook_anchor(text) for _, text in _headings(other)]
    else:
        anchors = [page_anchor(text) for _, text in _headings_of(path.read_text(encoding="utf-8"))]
    if anchor not in anchors:
        return f"there is no heading {anchor!r} in {path.name}"
    return "two headings have this anchor" if anchors.count(anchor) > 1 else None


@cache
def _ledger(root: Path) -> dict[str, str]:
    """Return the chapter of every ledger item."""
    with (root / "data" / "ledger.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    column = "chapter" if "chapter" in rows[0] else "notebook"
    return {row["id"]: row[column] for row in rows}


def main(numbers: list[str]) -> int:
    """Print what is wrong with the form of the chapters named, or of all."""
    paths = [chapters.find(number) for number in numbers] or chapters.all_chapters()
    problems = [problem for path in paths for problem in check(path)]
    print(*problems, sep="\n" if problems else "")
    print(f"{len(problems)} problems of form in {len(paths)} chapters")
    return min(len(problems), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
