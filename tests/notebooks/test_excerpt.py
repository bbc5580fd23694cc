"""Which cells a cell needs."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.commands import excerpt


def needed(wanted, *sources):
    cells = [new_code_cell(source) for source in sources]
    return [cell.source for cell in excerpt.needed(cells, lambda cell: wanted in cell.source)]


@pytest.mark.parametrize(
    ("sources", "kept"),
    [
        (["import numpy as np", "unrelated = 1", "show(np.pi)"], [0, 2]),
        (["a = 1", "b = a", "c = 2", "show(b)"], [0, 1, 3]),
        (["def f(x):\n    return g(x)", "def g(x):\n    return x", "show(f(1))"], [0, 1, 2]),
        (["rows = []", "rows.append(1)", "other = []", "show(rows)"], [0, 1, 3]),
        (["table = {}", "table['a'] = 1", "show(table)"], [0, 1, 2]),
        (["n = 1", "n = n + 1", "show(n)", "n = 3"], [0, 1, 2]),
        (["n = 1", "train(n)", "n = 2", "show(n)"], [2, 3]),
        (["x = 1", "def f(x):\n    return x", "show(f(2))"], [1, 2]),
        (["x = 1", "y = [x for x in range(3)]", "show(y)"], [1, 2]),
        (["w = 1", "y = [w for _ in range(3)]", "show(y)"], [0, 1, 2]),
        (["key = len", "y = sorted([], key=lambda a: key(a))", "show(y)"], [0, 1, 2]),
        (["class Net:\n    rate = base", "show(Net)"], [0, 1]),
        (["base = 1", "class Net:\n    rate = base", "show(Net)"], [0, 1, 2]),
        (["for width in range(3):\n    last = width", "show(last)"], [0, 1]),
        (["net = make()", "net.rate = 2", "show(net)"], [0, 1, 2]),
        (["def f():\n    return rate", "rate = 1", "show(f())"], [0, 1, 2]),
        (["rate = 1", "show(rate)", "rate = 2", "train(rate)"], [0, 1]),
        (["show(1)", "a = 1"], [0]),
        (["a = 1"], []),
    ],
)
def test_a_cell_keeps_what_it_needs_and_nothing_else(sources, kept):
    assert needed("show", *sources) == [sources[index] for index in kept]


def test_the_explorers_of_a_chapter_run_without_its_claims(example):
    wanted = lambda cell: excerpt.calls(cell, "show.explore")  # noqa: E731
    cells = excerpt.needed(example.notebook.cells, wanted)
    text = "\n".join(cell.source for cell in cells)
    assert "import numpy" in text
    assert "show.explore" in text
    assert "learn.claim" not in text


def test_calls_are_found_in_code_and_not_in_prose():
    assert excerpt.calls(new_code_cell("x = show.explore(f)"), "learn.quiz", "show.explore")
    assert not excerpt.calls(new_code_cell("show.figure(f)"), "show.explore")
    assert not excerpt.calls(new_markdown_cell("`show.explore(f)`"), "show.explore")
