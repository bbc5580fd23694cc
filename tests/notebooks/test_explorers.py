"""Every explorer of every chapter: all its corners, 50 random settings, errors in words.

The cells that an explorer needs are run here, in this process, and nothing else of the chapter: no
training unless the explorer is about it.
"""

import itertools
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
from IPython.display import display

from course_lib import show
from course_lib.commands import chapters, excerpt
from course_lib.show.explore import exercise

MOST_CORNERS = 128  # of all controls together


def explorers_of(notebook, folder, monkeypatch):
    """Run what the explorers of a chapter need, in its folder, and return them."""
    found = []

    def collect(*arguments, **keywords):
        found.append(make(*arguments, **keywords))
        return found[-1]

    make = show.explore
    monkeypatch.setattr(show, "explore", collect)
    monkeypatch.chdir(folder)
    namespace = {"__name__": "__main__", "display": display}  # as a notebook has it
    cells = excerpt.needed(notebook.cells, lambda cell: excerpt.calls(cell, "show.explore"))
    with redirect_stdout(StringIO()):
        for cell in cells:
            exec(compile(cell.source, str(folder / f"cell {cell.id}"), "exec"), namespace)
    return found


@pytest.fixture(
    scope="module",
    params=chapters.all_chapters(chapters.chosen()),
    ids=lambda path: path.stem,
)
def explorers(request):
    """Give the explorers of one chapter."""
    notebook = chapters.parse(chapters.committed(request.param))
    with pytest.MonkeyPatch.context() as patch:
        yield explorers_of(notebook, request.param.parent, patch)


@pytest.fixture
def example_explorer(example, monkeypatch):
    """Give an explorer of the example chapter."""
    return explorers_of(example.notebook, example.path.parent, monkeypatch)[0]


def visit_all_corners(explorer):
    """Set every combination of the ends of all controls; each has a picture and finite numbers."""
    corners = [control.corners() for control in explorer.descriptions.values()]
    for values in itertools.islice(itertools.product(*corners), MOST_CORNERS):
        explorer.set(**dict(zip(explorer.descriptions, values, strict=True)))
        assert not explorer.error, explorer.error
    explorer.reset()


def breaks_in_words(explorer):
    """Let `compute` fail: one sentence, the old picture, and a new picture at the next value."""
    compute, before = explorer.compute, explorer.image
    name, control = next(iter(explorer.descriptions.items()))
    other = next(value for value in control.corners() if value != explorer.values[name])

    def fails(**values):
        raise ValueError("`x` is too large; it takes at most 3.")

    explorer.compute = fails
    explorer.set(**{name: other})
    assert explorer.error.startswith("No picture for ")
    assert explorer.error.endswith("`x` is too large; it takes at most 3.")
    assert np.array_equal(explorer.image, before)
    explorer.compute = lambda **values: {"a": np.array([np.nan])}
    explorer.set(**{name: control.value})
    assert "`a`" in explorer.error
    explorer.compute = compute
    explorer.set(**{name: other}).reset()
    assert not explorer.error, explorer.error


def ends_in_the_last_picture(explorer, rng):
    """Move one control twenty times in a row; the picture is that of its last value."""
    name, control = next(iter(explorer.descriptions.items()))
    values = [control.random(rng) for _ in range(20)]
    for value in values:
        explorer.controls[name].value = value
    after = explorer.image
    explorer.reset().set(**{name: values[-1]})
    assert np.array_equal(after, explorer.image)
    explorer.reset()


def test_every_corner_has_a_picture(explorers):
    for explorer in explorers:
        visit_all_corners(explorer)


def test_fifty_random_settings_change_the_picture(explorers):
    for explorer in explorers:
        exercise(explorer, np.random.default_rng(1), settings=50)


def test_errors_are_said_in_words_and_the_explorer_recovers(explorers):
    for explorer in explorers:
        breaks_in_words(explorer)


def test_twenty_quick_steps_end_in_the_last_picture(explorers):
    for explorer in explorers:
        ends_in_the_last_picture(explorer, np.random.default_rng(2))


# ---------------------------------------------------------------- the checks themselves


def test_the_example_explorer_passes(example_explorer):
    visit_all_corners(example_explorer)
    exercise(example_explorer, np.random.default_rng(1), settings=20)
    breaks_in_words(example_explorer)
    ends_in_the_last_picture(example_explorer, np.random.default_rng(2))


def test_a_corner_without_a_finite_number_is_caught(example_explorer):
    compute = example_explorer.compute

    def infinite(factor):
        return {"arrives": compute(factor)["arrives"] / (1 - (factor == 0.1))}

    example_explorer.compute = infinite
    with pytest.raises(AssertionError, match=r"No picture for factor = 0\.1"):
        visit_all_corners(example_explorer)


def test_a_picture_that_does_not_change_is_caught(example_explorer):
    compute = example_explorer.compute
    example_explorer.compute = lambda factor: compute(0.5)
    with pytest.raises(AssertionError, match="does not change the picture"):
        exercise(example_explorer, np.random.default_rng(1), settings=1)


def test_an_explorer_that_lags_behind_is_caught(example_explorer):
    compute, seen = example_explorer.compute, []

    def late(factor):
        seen.append(factor)
        return compute(seen[-2] if len(seen) > 1 else factor)

    example_explorer.compute = late
    with pytest.raises(AssertionError):  # the last value but one is not the first one, 0.5
        ends_in_the_last_picture(example_explorer, np.random.default_rng(3))
