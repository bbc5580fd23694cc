"""Spelling: British English where the course speaks, Keras's American where it names things.

Prose is what markdown, docstrings, comments and sentences in strings say; code spans, addresses,
quotations and the titles of papers are left alone. Names are identifiers and file names. The word
list is codespell's own British-to-American dictionary, read in both directions.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

from course_lib.commands import chapters
from course_lib.commands.chapters import tags

# American spellings that British English has too, often for something else: a water meter, a story.
BRITISH_TOO = """
acknowledgment acknowledgments analog biased dialog dialogs donut donuts focused focuses
focusing judgment judgments license licensed licenses licensing meter meters overwritable
practice practices program refocused refocuses refocusing routing salable specialties specialty
story stories tidbit tidbits writable
"""
MORE_AMERICAN = {
    "fiber": "fibre",
    "fibers": "fibres",
    "leveled": "levelled",
    "offense": "offence",
    "theater": "theatre",
    "traveled": "travelled",
    "traveling": "travelling",
    "unlabeled": "unlabelled",
}
# -ize, -ization, -yze: every one is American here, but for words that are no suffix.
AMERICAN_ENDING = re.compile(r"[a-z]{2,}(?:i|y)z(?:e[drs]?|ers|es|ing|able|ations?)")
NO_SUFFIX = re.compile(r"[a-z]*si[z][a-z]*|(?:ap)?priz[a-z]*|seiz[a-z]*|bapti[a-z]*")
BRITISH_ENDING = re.compile(r"[a-z]{2,}isations?")
NAMES_KEPT = frozenset({"maths"})  # the floor of that name

WORD = re.compile(r"(?<![\w.`/\\#@-])[A-Za-z]{3,}(?![\w`(=]|\.\w|/\w)")
LEFT_ALONE = re.compile(
    r"```.*?```|``[^`]*``|`[^`]*`|https?://\S+|“[^”]*”|\"[^\"]*\"|\$[^$]*\$|<[^>]*>|\{[^}]*\}"
    r"|^[ ]*\*{0,2}\w[\w, *]* :(?= )",  # the names of parameters in a docstring
    re.S | re.M,
)

Finding = tuple[Path, int, str, str]  # file, line (or cell), what stands there, what to write


@cache
def american() -> dict[str, str]:
    """Return American spellings and the British ones to write in prose."""
    words = {american: british for british, american in _pairs()}
    return {w: b for w, b in words.items() if w not in BRITISH_TOO.split()} | MORE_AMERICAN


@cache
def british() -> dict[str, str]:
    """Return British spellings and the American ones to write in names."""
    return {word: better for word, better in _pairs() if word not in NAMES_KEPT}


@cache
def _pairs() -> tuple[tuple[str, str], ...]:
    dictionary = resources.files("codespell_lib") / "data" / "dictionary_en-GB_to_en-US.txt"
    lines = dictionary.read_text(encoding="utf-8").splitlines()
    return tuple(
        (word, better.split(",")[0]) for word, better in (x.split("->") for x in lines if x)
    )


def american_in_prose(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the offset, the word and the British spelling of every American word in `text`."""
    plain = LEFT_ALONE.sub(lambda found: re.sub(r"\S", " ", found[0]), text)
    for found in WORD.finditer(plain):
        word = found[0].lower()
        if word in american():
            yield found.start(), found[0], american()[word]
        elif AMERICAN_ENDING.fullmatch(word) and not NO_SUFFIX.fullmatch(word):
            yield found.start(), found[0], re.sub(r"z(?=[a-z]{1,6}$)", "s", word)


def british_in_name(name: str) -> Iterator[tuple[str, str]]:
    """Yield each British word in an identifier or a file name, and its American spelling."""
    for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name):
        word = part.lower()
        if word in british():
            yield part, british()[word]
        elif BRITISH_ENDING.fullmatch(word):
            yield part, word.replace("isation", "ization")


# ---------------------------------------------------------------- where prose and names stand


def prose_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of every docstring, comment and sentence in a string."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")
    tree = ast.parse(source)
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                docstrings.add(first.value)
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if node in docstrings or _is_sentence(node.value):
            yield node.lineno, node.value


def _is_sentence(text: str) -> bool:
    """Return whether a string is read by a reader: words, and no code, style or markup."""
    words = re.findall(r"(?<!\S)[A-Za-z]{2,}[,.:;?]?(?!\S)", text)
    code = re.search(r"[;{}]\s*$|^\s*[<#.@]|\bimport \w|\bdef \w|: ?#[0-9a-f]{3}", text, re.M)
    return len(words) >= 4 and not code


def prose_of_markdown(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of markdown, without code, mathematics and outside links."""
    from course_lib.commands.form import markdown

    for token in markdown().parse(source):
        if token.type == "html_block":
            yield token.map[0] + 1, token.content
        if token.type != "inline":
            continue
        outside = False
        for child in token.children:
            if child.type == "link_open":
                outside = child.attrGet("href").startswith("http")
            elif child.type == "link_close":
                outside = False
            elif child.type in ("text", "image") and not outside:
                yield token.map[0] + 1, child.content


def names_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of every identifier."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME:
            yield token.start[0], token.string


def findings(path: Path) -> Iterator[Finding]:
    """Yield what is spelt the wrong way in one file, for the kinds of file that people write."""
    for word, better in british_in_name(path.name):
        yield path, 0, word, better
    if path.suffix == ".ipynb":
        yield from _notebook_findings(path)
    elif path.suffix == ".py":
        text = path.read_text(encoding="utf-8")
        yield from _python_findings(path, text)
    elif path.suffix in (".md", ".toml", ".cff"):
        text = path.read_text(encoding="utf-8")
        pieces = prose_of_markdown(text) if path.suffix == ".md" else _comments(text)
        yield from _prose_findings(path, pieces)


def _comments(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        if found := re.search(r"(?:^|\s)#\s(.*)", line):
            yield number, found[1]


def _python_findings(path: Path, text: str) -> Iterator[Finding]:
    yield from _prose_findings(path, prose_of_python(text))
    for line, name in names_of_python(text):
        for word, better in british_in_name(name):
            yield path, line, word, better


def _prose_findings(path: Path, pieces: Iterator[tuple[int, str]]) -> Iterator[Finding]:
    for line, text in pieces:
        for offset, word, better in american_in_prose(text):
            yield path, line + text.count("\n", 0, offset), word, better


def _notebook_findings(path: Path) -> Iterator[Finding]:
    """Yield findings with the place of their cell instead of a line; references are quoted."""
    notebook = chapters.parse(path.read_text(encoding="utf-8"))
    for place, cell in enumerate(notebook.cells):
        if "references" in tags(cell):
            return
        if cell.cell_type == "markdown":
            found = _prose_findings(path, prose_of_markdown(cell.source))
        else:
            found = _python_findings(path, cell.source)
        yield from ((file, place, word, better) for file, _, word, better in found)


def main(names: list[str]) -> int:
    """Print what is spelt the wrong way in the files named, or in every file that git tracks."""
    paths = [Path(name) for name in names] or chapters.tracked_files()
    found = [finding for path in paths for finding in findings(path)]
    for path, line, word, better in found:
        print(f"{path}:{line}: {word}: write {better}")
    print(f"{len(found)} spellings to change in {len(paths)} files")
    return min(len(found), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
