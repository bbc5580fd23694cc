"""`python -m course_lib figures`: make the picture in a chapter's header from the chapter itself.

The chapter is executed up to its cell tagged `header-picture`, and the figure that this cell shows
is stored as `notebooks/figures/NN.svg`. Beside it, in the notebook's metadata, stands the hash of
the code cells: the picture is fresh as long as that is the hash of the code.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from course_lib.commands import chapters
from course_lib.commands.chapters import Notebook, code_cells, code_hash, tags

TAG = "header-picture"
CELL_SECONDS = 120

# Runs in the chapter's kernel right before the tagged cell: what it shows is stored as well. Text
# becomes outlines, so that every computer shows the same letters; two runs give the same bytes.
STORE = """\
def _store_header_picture(path):
    from course_lib import show
    import matplotlib

    display = show.figure

    def figure(fig, *arguments, **keywords):
        with matplotlib.rc_context({{"svg.fonttype": "path", "svg.hashsalt": "course"}}):
            fig.savefig(path, format="svg", metadata={{"Date": None, "Creator": None}})
        return display(fig, *arguments, **keywords)

    show.figure = figure


_store_header_picture({path!r})
"""


class PictureError(RuntimeError):
    """A chapter has no cell for its header picture, or that cell showed no figure."""


def is_fresh(path: Path) -> bool:
    """Return whether the picture of the chapter at `path` is there and as new as its code."""
    notebook = chapters.parse(path.read_text(encoding="utf-8"))
    figure = notebook.metadata.get("course", {}).get("figure", {})
    there = (path.parent / f"figures/{path.name[:2]}.svg").is_file()
    return there and figure.get("code_hash") == code_hash(notebook)


def make(path: Path) -> Path:
    """Execute the chapter at `path` as far as its picture, store it, and note the hash of the code.

    Raises
    ------
    PictureError
        No cell is tagged `header-picture`, or it does not end with ``show.figure(fig, alt=…)``.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = chapters.parse(path.read_text(encoding="utf-8"))
    picture = path.parent / "figures" / f"{path.name[:2]}.svg"
    picture.parent.mkdir(exist_ok=True)
    unfinished = picture.with_suffix(".new.svg")
    part = up_to_the_picture(notebook, unfinished, path.name)
    here = {"metadata": {"path": str(path.parent)}}
    try:
        client = NotebookClient(part, timeout=CELL_SECONDS, kernel_name="python3", resources=here)
        client.execute(stderr=subprocess.DEVNULL)  # the kernel's own start-up remarks
        if not unfinished.is_file():
            raise PictureError(f"{path.name}: the cell tagged `{TAG}` does not call show.figure.")
        unfinished.replace(picture)
    except CellExecutionError as problem:
        raise PictureError(f"{path.name}: a cell before the picture fails.\n{problem}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    course = notebook.metadata.setdefault("course", {})
    course["figure"] = {
        "path": f"figures/{picture.name}",
        "code_hash": code_hash(notebook),
    }
    path.write_text(chapters.canonical(notebook), encoding="utf-8", newline="\n")
    return picture


def up_to_the_picture(notebook: Notebook, picture: Path, name: str) -> Notebook:
    """Return a notebook with the code cells as far as the tagged one, which stores its figure."""
    from nbformat.v4 import new_code_cell, new_notebook

    cells = code_cells(notebook)
    places = [index for index, cell in enumerate(cells) if TAG in tags(cell)]
    if len(places) != 1:
        raise PictureError(f"{name}: {len(places)} code cells are tagged `{TAG}`; one has to be.")
    store = new_code_cell(STORE.format(path=str(picture)))
    copies = [new_code_cell(cell.source) for cell in cells[: places[0] + 1]]
    return new_notebook(cells=[*copies[:-1], store, copies[-1]])


def main(arguments: Sequence[str]) -> int:
    """Make the pictures of the chapters named, or the stale ones; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib figures",
        description="Make the pictures in the chapters' headers.",
    )
    parser.add_argument(
        "numbers", nargs="*", metavar="NN", help="chapters; without any: stale ones"
    )
    parser.add_argument("--check", action="store_true", help="only say which pictures are stale")
    options = parser.parse_args(arguments)
    try:
        named = [chapters.find(number) for number in options.numbers]
    except ValueError as problem:
        parser.error(str(problem))
    paths = named or chapters.all_chapters()
    if options.check or not named:
        paths = [path for path in paths if not is_fresh(path)]
    if options.check:
        for path in paths:
            print(f"{path.name}: stale; run `python -m course_lib figures {path.name[:2]}`")
        print(f"{len(paths)} header pictures are stale.")
        return min(len(paths), 1)
    for path in paths:
        try:
            picture = make(path)
        except PictureError as problem:
            print(problem, file=sys.stderr)
            return 1
        print(f"{path.name}: {picture.name}, {picture.stat().st_size / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
