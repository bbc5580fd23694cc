"""British English in prose, Keras's American in names, and no typing errors in either."""

import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.commands import chapters, spelling

SURNAMES = "pinter,tung"
NOT_WRITTEN_BY_US = ("LICENSE", "LICENSE-TEXT", "requirements.txt", "tests/requirements.txt")


def test_prose_is_british_and_names_are_american():
    here = chapters.ROOT / "tests" / "quality" / "test_spelling.py"  # its examples are misspelt
    paths = [path for path in chapters.tracked_files() if path != here]
    found = [finding for path in paths for finding in spelling.findings(path)]
    lines = [
        f"{path.relative_to(chapters.ROOT)}:{line}: {word}: write {better}"
        for path, line, word, better in found
    ]
    assert not lines, "\n".join(lines)


def test_no_typing_errors():
    names = [path.relative_to(chapters.ROOT).as_posix() for path in chapters.tracked_files()]
    kinds = (".py", ".md", ".ipynb", ".toml", ".cff", ".css", ".js", ".csv")
    names = [
        name
        for name in names
        if name.endswith(kinds)
        and name not in NOT_WRITTEN_BY_US
        and not name.startswith("data/texts/")  # the spelling of 1813
    ]
    command = [sys.executable, "-m", "codespell_lib", f"--ignore-words-list={SURNAMES}", *names]
    done = subprocess.run(command, cwd=chapters.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("We normalize the color.", ["normalise", "colour"]),
        ("Vectorized, quantized and tokenized", ["Vectorised", "quantised", "tokenised"]),
        ("It analyzes the behavior of neighbors.", ["analyses", "behaviour", "neighbours"]),
        ("the size of a prize, resized", []),
        ("a story about a water meter in this program", []),
        ("`color` and `keras.initializers` and https://example.org/color", []),
        ("Ioffe & Szegedy, “Batch Normalization”, 2015", []),
        ("keras.initializers.HeNormal(seed=1), normalize(x), color=red", []),
        ("initializer : str\n    What the layer begins with.", []),
    ],
)
def test_american_in_prose_is_found_and_code_is_not(text, expected):
    found = [better.lower() for _, _, better in spelling.american_in_prose(text)]
    assert found == [word.lower() for word in expected]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("line_colour", ["color"]),
        ("NormalisedLayer", ["normalized"]),
        ("initialisation", ["initialization"]),
        ("03_initialization.ipynb", []),
        ("noise_otherwise_precise", []),
        ("course_lib.maths", []),
    ],
)
def test_british_in_a_name_is_found(name, expected):
    assert [better for _, better in spelling.british_in_name(name)] == expected


def test_a_file_is_read_as_what_it_is(tmp_path):
    python = tmp_path / "module.py"
    python.write_text(
        '"""Normalize it."""\n\n# the color of it\ncolour = "the behavior of a reader"\n'
        'style = "color: #222"\ncolor = "gray"\n'
    )
    found = [(line, word) for _, line, word, _ in spelling.findings(python)]
    assert sorted(found) == [(1, "Normalize"), (3, "color"), (4, "behavior"), (4, "colour")]


def test_a_notebook_is_read_up_to_its_references(tmp_path):
    cells = [
        new_markdown_cell("Normalize `color`, see [Batch Normalization](https://example.org)."),
        new_code_cell("colour = 1  # the color"),
        new_markdown_cell("## References", metadata={"tags": ["references"]}),
        new_markdown_cell("Optimization"),
    ]
    path = tmp_path / "01_example.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    found = [(cell, word) for _, cell, word, _ in spelling.findings(path)]
    assert found == [(0, "Normalize"), (1, "color"), (1, "colour")]
