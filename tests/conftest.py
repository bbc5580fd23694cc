"""What every test gets: one thread, and an example chapter that keeps every rule of form."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from nbformat import NotebookNode

for variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("COURSE_STRICT", "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector eleven thousand tests: none of them dies before the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


ALT = "A straight line that falls from 0 to -4: every layer passes a tenth of what reaches it."

SETUP = """\
import matplotlib.pyplot as plt
import numpy as np

from course_lib import learn, show"""

PICTURE = f"""\
factor = 0.1
arrives = factor ** np.arange(5)
figure, axes = plt.subplots(figsize=(7, 3.5))
axes.plot(np.log10(arrives), marker="o")
axes.set(title="A tenth a layer", xlabel="distance from the loss", ylabel="log₁₀ of what arrives")
show.figure(figure, alt="{ALT}")"""

EXPLORER = """\
def powers(factor):
    return {"arrives": np.log10(factor) * np.arange(5)}


def draw(figure):
    axes = figure.subplots()
    (line,) = axes.plot(np.zeros(5), marker="o")
    axes.set(ylim=(-5, 1), xlabel="distance from the loss", ylabel="log₁₀ of what arrives")

    def update(arrays):
        line.set_ydata(arrays["arrives"])

    return update


show.explore(
    powers,
    draw,
    alt=lambda arrays: f"After 4 layers 10^{arrays['arrives'][-1]:.1f} is left.",
    factor=show.slider("γ", 0.1, 1.0, 0.5, step=0.1),
)"""

CLAIM = """\
learn.claim(
    "01-tenth",
    "Four layers that pass a tenth each leave {measured} of the gradient.",
    arrives[-1],
    equals=1e-4,
    tolerance=1e-12,
    settles=["D1-1-C1"],
)"""

HEADER = """\
# 01 · An example

![A line that falls by a decade a layer, from 0 at the loss to -4 at the input](figures/01.svg)

**How much of the gradient arrives?**

Afterwards you will be able to say what four layers leave. It needs [chapter 00](00_before.ipynb);
45 minutes to read, 2 seconds to run."""


def example_chapter() -> NotebookNode:
    """Return a chapter of kind derivation in which every rule of form holds."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    from course_lib.commands import chapters

    cells: list[NotebookNode] = []

    def prose(text: str, *tags: str) -> None:
        cells.append(new_markdown_cell(text, metadata={"tags": list(tags)} if tags else {}))

    def code(source: str, before: str = "The next cell shows it.", *tags: str) -> None:
        prose(before)
        cells.append(new_code_cell(source, metadata={"tags": list(tags)} if tags else {}))

    prose(HEADER, "header")
    code(SETUP)
    code('learn.predict("01-guess", "What is left after four layers?")')
    prose("## A product", "derive")
    prose("Why does it fall? " + "Each layer multiplies once more. " * 60)
    prose("## A power", "build")
    code(PICTURE, "Four layers, a tenth each.", "header-picture")
    prose("### By the table", "check")
    code(CLAIM)
    prose("## Move it", "explore")
    for _ in range(2):
        code(EXPLORER)
    prose("## What is left", "measure")
    code('learn.reveal("01-guess", arrives[-1])')
    for _ in range(8):
        prose("What do you see? " + "The line is as steep as its factor is small. " * 15)
    prose("## Back to the sources", "sources")
    code('learn.sources("D1-1-C1")')
    prose("## Exercises", "exercises")
    for name in ("a", "b", "c"):
        code(f'learn.check("01-{name}", None)')
    prose("## In one minute", "one-minute")
    for name in ("d", "e"):
        code(f'learn.quiz("01-{name}")')
    prose("## References", "references")
    prose(
        "Back to [the power](#A-power), and to [the chapter before](00_before.ipynb#Before-that)."
    )

    notebook = new_notebook(cells=cells)
    for index, cell in enumerate(cells):
        cell.id = f"cell-{index}"
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "course": {
            "chapter": "01",
            "kind": "derivation",
            "title": "An example",
            "question": "How much of the gradient arrives?",
            "minutes": 45,
            "seconds": 2,
            "needs": ["00"],
            "figure": {"path": "figures/01.svg", "code_hash": ""},
        },
    }
    notebook = nbformat.from_dict(notebook)
    notebook.metadata.course.figure.code_hash = chapters.code_hash(notebook)
    return notebook


class Example:
    """A folder like the course's, with one chapter in it."""

    def __init__(self, root: Path) -> None:
        import nbformat
        from nbformat.v4 import new_markdown_cell, new_notebook

        self.root = root
        self.path = root / "notebooks" / "01_example.ipynb"
        (root / "notebooks" / "figures").mkdir(parents=True)
        (root / "notebooks" / "figures" / "01.svg").write_text(
            "<svg xmlns='http://www.w3.org/2000/svg'/>"
        )
        before = new_notebook(cells=[new_markdown_cell("# 00 · Before\n\n## Before that")])
        nbformat.write(before, root / "notebooks" / "00_before.ipynb")
        (root / "data").mkdir()
        (root / "data" / "ledger.csv").write_text("id,chapter\nD1-1-C1,01\nD1-1-C2,02\n")
        self.notebook = example_chapter()

    def problems(self, rule) -> list[str]:
        """Return what `rule` says of the notebook as it is now."""
        from course_lib.commands import chapters, form

        text = chapters.canonical(self.notebook)
        return list(rule(form.Chapter(self.path, text, self.root)))

    def tagged(self, tag: str) -> NotebookNode:
        """Return the first cell with a tag."""
        return next(cell for cell in self.notebook.cells if tag in cell.metadata.get("tags", []))

    def containing(self, text: str) -> NotebookNode:
        """Return the first cell that contains `text`."""
        return next(cell for cell in self.notebook.cells if text in cell.source)


@pytest.fixture
def example(tmp_path: Path) -> Example:
    """Give an example chapter in a folder of its own."""
    return Example(tmp_path / "course")
