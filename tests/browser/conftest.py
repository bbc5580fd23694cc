"""One JupyterLab and one headless browser for all tests of this folder.

Fixtures
--------
lab
    A running JupyterLab (`course_lib.commands.browsing.Lab`). It serves a temporary folder with the
    course's `data` and pictures in it; notebooks to be opened are written into `lab.notebooks`.
chromium
    A headless browser (playwright's `Browser`). `chromium.new_page(...)` gives a page.
open_notebook
    `with open_notebook(name, notebook) as running:` writes an nbformat notebook, opens it, runs all
    of its cells, waits until the kernel is idle, and shuts the kernel down at the end. `running` is
    a `course_lib.commands.browsing.Notebook`: `.errors()`, `.cells()`, `.explorers()`, `.page`.
notebook_of
    `notebook_of(source, source, ...)` makes a notebook of code cells.

A machine without a browser skips them; `python -m course_lib test` says so, and fails in CI.
"""

from contextlib import contextmanager

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.commands import browsing, chapters
from course_lib.commands.browser import find_browser

KERNEL = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """Run one JupyterLab."""
    if find_browser() is None:
        pytest.skip("no browser here; `python -m course_lib test` counts that as a failure in CI")
    folder = tmp_path_factory.mktemp("lab")
    browsing.copy_course(chapters.ROOT, folder)
    variables = {"COURSE_DATA": str(folder / "data"), "COURSE_STRICT": "0", "CI": "true"}
    with browsing.jupyterlab(folder, **variables) as running:
        yield running


@pytest.fixture(scope="session")
def chromium(lab):
    """Run one browser."""
    with browsing.chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def open_notebook(lab, chromium):
    """Give a context manager that opens and runs a notebook."""

    @contextmanager
    def opened(name, notebook, seconds=browsing.CELL_SECONDS, **page_options):
        path = lab.notebooks / f"{name}.ipynb"
        nbformat.write(notebook, path)
        options = {"viewport": {"width": 1200, "height": 900}} | page_options
        page = chromium.new_page(**options)
        try:
            running = lab.open(page, path)
            running.run_all(seconds)
            yield running
            running.shut_down()
        finally:
            page.close()

    return opened


@pytest.fixture(scope="session")
def notebook_of():
    """Give a function that makes a notebook of code cells."""

    def make(*sources):
        return new_notebook(cells=[new_code_cell(source) for source in sources], metadata=KERNEL)

    return make
