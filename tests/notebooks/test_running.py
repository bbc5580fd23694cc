"""Chapters are executed strictly and without a network: what must not pass does not pass."""

import shutil
import socket
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_lib.commands import offline, test

OUTSIDE = "203.0.113.1"  # an address that RFC 5737 reserves for examples

DATAGRAM = f"""\
import socket

plug = socket.socket(type=socket.SOCK_DGRAM)
plug.sendto(b"", ({OUTSIDE!r}, 9))"""

FAILED_CLAIM = """\
from course_lib import learn

learn.claim("03-wrong", "Two and two are {measured}.", 4, equals=5)"""


def write(folder: Path, name: str, *cells: str) -> Path:
    """Write a notebook of code cells."""
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    notebook.metadata["course"] = {"seconds": 1}
    path = folder / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def run(folder: Path, paths: list[Path], **options) -> dict[str, dict]:
    """Execute notebooks one after the other and return their rows by name."""
    place = folder / "run"
    _, rows = test.run_notebooks(paths, sys.executable, place, ("-n", "0"), **options)
    report = (place / "notebooks.xml").read_text(encoding="utf-8")
    return {row["name"]: row | {"report": report} for row in rows}


@pytest.fixture(scope="module")
def server():
    """Listen on this computer, outside of any namespace; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def connect(host: str, port: int) -> str:
    """Return a cell that opens a socket."""
    return f"import socket\n\nsocket.create_connection(({host!r}, {port}), timeout=5).close()"


@pytest.fixture(scope="module")
def rows(tmp_path_factory, server):
    """Execute one right notebook and four wrong ones, in a namespace where there is one."""
    folder = tmp_path_factory.mktemp("chapters")
    paths = [
        write(folder, "01_good", "import os\n\nassert os.environ['COURSE_STRICT'] == '1'", "1 + 1"),
        write(folder, "02_broken", "1 + 1", "1 / 0", "2 + 2"),
        write(folder, "03_failed_claim", FAILED_CLAIM),
        write(folder, "04_outside", connect(OUTSIDE, 80)),
        write(folder, "05_other_namespace", connect("127.0.0.1", server)),
    ]
    yield run(folder, paths)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def guarded_rows(tmp_path_factory, server):
    """Execute sockets under the guard alone, as where namespaces are refused."""
    folder = tmp_path_factory.mktemp("guarded")
    paths = [
        write(folder, "04_outside", connect(OUTSIDE, 80)),
        write(folder, "05_name", connect("example.org", 80)),
        write(folder, "06_here", connect("127.0.0.1", server), connect("localhost", server)),
        write(folder, "07_datagram", DATAGRAM),
    ]
    yield run(folder, paths, isolate=False)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_good_notebook_passes_and_its_seconds_are_reported(rows):
    row = rows["01_good"]
    assert (row["failed"], row["cells"], row["promised"]) == (0, 2, 1)
    assert 0 < row["seconds"] < 100
    assert any(
        "01_good" in line and " s" in line for line in test.report_notebooks(list(rows.values()))
    )


def test_a_broken_cell_fails(rows):
    assert rows["02_broken"]["failed"] == 1
    assert "ZeroDivisionError" in rows["02_broken"]["report"]


def test_a_failed_claim_fails_and_is_collected(rows):
    row = rows["03_failed_claim"]
    assert (row["failed"], row["claims"]) == (1, 1)
    assert "Two and two are 4." in row["report"]


def test_an_outside_socket_fails(rows):
    assert rows["04_outside"]["failed"] == 1


def test_a_namespace_shuts_out_even_this_computer(rows):
    if not offline.namespace():
        pytest.skip("network namespaces are refused here")
    assert rows["05_other_namespace"]["failed"] == 1


@pytest.mark.parametrize("name", ["04_outside", "05_name", "07_datagram"])
def test_the_guard_alone_refuses_an_outside_socket_in_words(name, guarded_rows):
    assert guarded_rows[name]["failed"] == 1
    assert "chapters run without a network, and this one asked for" in guarded_rows[name]["report"]


def test_the_guard_alone_leaves_this_computer_alone(guarded_rows):
    assert guarded_rows["06_here"]["failed"] == 0
    assert guarded_rows["06_here"]["cells"] == 2
