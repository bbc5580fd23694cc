"""Progress: kept as a whole or not at all, in one folder, and only for readers."""

import json
import os
import tempfile
from pathlib import Path

import pytest

from course_lib.learn import progress as show_progress
from course_lib.learn.progress import FOLDER, load, record


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course folder with a reader inside it, in `notebooks`."""
    for name in ("CI", "COURSE_STRICT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "MANIFEST.json").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def kept(course):
    return sorted(path.name for path in (course / FOLDER).iterdir())


def test_what_was_done_is_kept_in_one_file_a_chapter(course):
    record("01-a", "exercises", right=False)
    record("01-a", "exercises", right=True)
    record("01-a", "exercises", right=False)
    record("01-p", "predictions", answer=0.5)
    record("02-q", "quizzes", right=True)
    assert kept(course) == ["chapter-01.json", "chapter-02.json"]
    assert load("01") == {
        "exercises": {"01-a": {"tries": 3, "right": True}},  # once right stays right
        "quizzes": {},
        "predictions": {"01-p": {"tries": 1, "answer": 0.5}},
    }
    assert load("03") == {"exercises": {}, "quizzes": {}, "predictions": {}}


@pytest.mark.parametrize("variable", ["CI", "COURSE_STRICT"])
def test_nothing_is_kept_in_ci(course, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    record("01-a", "exercises", right=True)
    assert not (course / FOLDER).exists()


def test_nothing_is_kept_outside_a_course(tmp_path, monkeypatch, capsys):
    for name in ("CI", "COURSE_STRICT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    record("01-a", "exercises", right=True)
    assert list(tmp_path.iterdir()) == []
    show_progress()
    assert "Nothing is kept here" in capsys.readouterr().out


def test_an_interrupted_write_leaves_the_old_file_whole(course, monkeypatch):
    record("01-a", "exercises", right=True)
    before = (course / FOLDER / "chapter-01.json").read_bytes()

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fails)
    record("01-b", "exercises", right=True)  # which is no error for the reader
    assert (course / FOLDER / "chapter-01.json").read_bytes() == before
    assert kept(course) == ["chapter-01.json"]  # no temporary file is left


def test_a_write_goes_through_a_temporary_file_in_the_same_folder(course, monkeypatch):
    seen = []
    replace = os.replace

    def watch(source, target):
        assert json.loads(
            Path(source).read_text(encoding="utf-8")
        )  # whole before it takes its place
        seen.append((os.path.dirname(source), str(target)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    record("01-a", "exercises", right=True)
    folder = course / FOLDER
    assert seen == [(str(folder), str(folder / "chapter-01.json"))]


def test_a_folder_that_cannot_be_written_is_no_error(course):
    (course / FOLDER).write_text("a file is in the way")
    record("01-a", "exercises", right=True)
    assert load("01")["exercises"] == {}


def test_a_read_only_folder_is_no_error(course, monkeypatch):
    def refuses(*_, **__):
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(tempfile, "mkstemp", refuses)
    record("01-a", "exercises", right=True)
    assert kept(course) == []


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"exercises": 3}', '{"exercises": {}}', "\x00\xff"]
)
def test_a_damaged_file_is_set_aside_and_said_so_once(course, damage, capsys):
    (course / FOLDER).mkdir()
    file = course / FOLDER / "chapter-01.json"
    file.write_text(damage, encoding="latin-1")
    record("01-a", "exercises", right=True)
    said = capsys.readouterr().out
    assert said.count("could not be read. It is kept as `chapter-01.json.damaged-") == 1
    assert load("01")["exercises"] == {"01-a": {"tries": 1, "right": True}}
    assert capsys.readouterr().out == ""
    (aside,) = [path for path in (course / FOLDER).iterdir() if "damaged" in path.name]
    assert aside.read_text(encoding="latin-1") == damage


def test_the_overview_counts(course, capsys):
    show_progress()
    assert "Nothing yet" in capsys.readouterr().out
    record("01-factor", "exercises", right=True)
    record("01-one-step", "exercises", right=False)
    record("02-p", "predictions", answer="relu")
    show_progress()
    said = capsys.readouterr().out
    assert "Exercises right" in said
    lines = {line.split()[0]: line for line in said.splitlines() if line[:1] == "0"}
    assert sorted(lines) == ["01", "02"]
    assert "1 of " in lines["01"]
    assert lines["02"].rstrip().endswith("1")


def test_git_ignores_the_folder():
    from course_lib.commands.chapters import ROOT

    assert f"{FOLDER}/" in (ROOT / ".gitignore").read_text().splitlines()
