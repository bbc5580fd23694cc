"""What git would commit of a chapter: no outputs, whatever a reader has run."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_lib.commands import chapters, form


def git(root, *arguments):
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def course(tmp_path):
    """Give a repository with one committed chapter and the course's own filter."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / ".gitattributes").write_text("*.ipynb filter=nbstripout\n")
    write(tmp_path, new_code_cell("1 + 1"))
    git(tmp_path, "init", "-q")
    chapters.install_filter(Path(sys.executable), tmp_path)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "One chapter")
    return tmp_path


def write(root, *cells):
    """Write a chapter."""
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    nbformat.write(new_notebook(cells=list(cells), metadata=metadata), chapter_in(root))


def chapter_in(root):
    return root / "notebooks" / "01_example.ipynb"


def has_outputs(text):
    return bool(list(form.has_no_outputs(form.Chapter(Path("01_example.ipynb"), text))))


def run_a_cell(root, source="1 + 1"):
    """Leave in the file what JupyterLab leaves there when a reader has run a cell."""
    result = new_output("execute_result", data={"text/plain": "2"}, execution_count=1)
    write(root, new_code_cell(source, outputs=[result], execution_count=1))
    path = chapter_in(root)
    content = json.loads(path.read_text())
    content["metadata"]["language_info"] = {"name": "python", "version": "3.12.1"}
    path.write_text(json.dumps(content))


def test_a_reader_who_ran_a_cell_has_changed_nothing(course):
    before = chapters.committed(chapter_in(course), course)
    run_a_cell(course)
    assert has_outputs(chapter_in(course).read_text())
    assert chapters.committed(chapter_in(course), course) == before
    assert not has_outputs(before)
    assert before == chapters.canonical(chapters.parse(before))


def test_a_reader_who_changed_a_cell_is_read_as_changed(course):
    run_a_cell(course, "1 + 2")
    text = chapters.committed(chapter_in(course), course)
    assert "1 + 2" in text
    assert not has_outputs(text)


def test_a_commit_made_without_the_filter_is_caught(course):
    git(course, "config", "--unset", "filter.nbstripout.clean")
    run_a_cell(course)
    assert has_outputs(chapters.committed(chapter_in(course), course))
    git(course, "commit", "-qam", "With outputs")
    chapters.install_filter(Path(sys.executable), course)
    assert has_outputs(chapters.staged(chapter_in(course), course))


def test_looking_leaves_nothing_in_the_repository(course):
    run_a_cell(course, "1 + 3")
    before = sorted((course / ".git" / "objects").rglob("*"))
    chapters.committed(chapter_in(course), course)
    assert sorted((course / ".git" / "objects").rglob("*")) == before


def test_without_git_the_same_filter_is_applied(tmp_path):
    (tmp_path / "notebooks").mkdir()
    run_a_cell(tmp_path)
    text = chapters.committed(chapter_in(tmp_path), tmp_path)
    assert not has_outputs(text)
    assert "language_info" not in text


def test_chapters_are_found_and_a_reader_s_own_notebooks_are_not(course):
    (course / "notebooks" / "my_notes.ipynb").write_text("{}")
    (course / "notebooks" / "02_mine.ipynb").write_text("{}")
    assert chapters.all_chapters(root=course) == [chapter_in(course)]
    assert chapters.all_chapters("1", root=course) == [chapter_in(course)]
    assert chapters.find("02", course).name == "02_mine.ipynb"
    copy = chapter_in(course).with_stem(f"{chapter_in(course).stem}_zz")
    copy.write_text("{}")
    assert chapters.find("01", course) == chapter_in(course)
    with pytest.raises(ValueError, match="the chapters here are: 01, 02"):
        chapters.find("07", course)


def test_the_filter_survives_a_moved_folder(tmp_path):
    git(tmp_path, "init", "-q")
    chapters.install_filter(tmp_path / ".venv" / "bin" / "python", tmp_path)
    line = chapters.git("config", "filter.nbstripout.clean", root=tmp_path).decode()
    assert line.startswith('".venv/bin/python" -m nbstripout')
    assert str(tmp_path) not in line
