"""`python -m course_lib reset NN`: the chapter is as it was, and the reader's version is kept."""

import subprocess

import pytest

from course_lib.commands import chapters, environment, reset

ORIGINAL = b'{"cells": []}\n'
NAME = "01_where_gradients_go.ipynb"


def git(root, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments],
        cwd=root, check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture
def course(tmp_path):
    """A clone with one committed chapter."""
    root = tmp_path / "course"
    (root / "notebooks").mkdir(parents=True)
    (root / "notebooks" / NAME).write_bytes(ORIGINAL)
    git(root, "init", "-q")
    git(root, "add", "notebooks")
    git(root, "commit", "-q", "-m", "The course")
    return root


@pytest.fixture
def unpacked(tmp_path):
    """The same from an archive, without git, after set-up."""
    root = tmp_path / "unpacked"
    (root / "notebooks").mkdir(parents=True)
    (root / "notebooks" / NAME).write_bytes(ORIGINAL)
    reset.keep_originals(root)
    return root


def versions_of_the_reader(root):
    return sorted((root / "notebooks").glob("*-mine-*.ipynb"))


@pytest.mark.parametrize("number", ["01", "1"])
def test_a_chapter_comes_back_from_git_and_the_readers_version_stays(course, number):
    place = course / "notebooks" / NAME
    place.write_bytes(b"mine")
    sentence = reset.restore(number, course)
    assert place.read_bytes() == ORIGINAL
    (mine,) = versions_of_the_reader(course)
    assert mine.read_bytes() == b"mine"
    assert sentence.startswith(f"notebooks/{NAME} is restored from git; your version is kept as ")
    assert mine.name in sentence


def test_what_was_staged_comes_back_too(course):
    (course / "notebooks" / NAME).write_bytes(b"mine")
    git(course, "add", "notebooks")
    reset.restore("01", course)
    assert (course / "notebooks" / NAME).read_bytes() == ORIGINAL


def test_a_deleted_chapter_comes_back(course):
    (course / "notebooks" / NAME).unlink()
    assert "your version" not in reset.restore("01", course)
    assert (course / "notebooks" / NAME).read_bytes() == ORIGINAL


def test_an_untouched_chapter_is_left_alone(course):
    assert reset.restore("01", course).endswith("is as it was: nothing to do.")
    assert versions_of_the_reader(course) == []


def test_without_git_it_comes_from_the_copy_that_set_up_kept_and_says_so(unpacked):
    place = unpacked / "notebooks" / NAME
    place.write_bytes(b"mine")
    reset.keep_originals(unpacked)  # a later set-up must not take the reader's version for it
    assert "the copy that set-up kept (there is no git here)" in reset.restore("01", unpacked)
    assert place.read_bytes() == ORIGINAL
    assert len(versions_of_the_reader(unpacked)) == 1


def test_a_clone_keeps_no_copies(course):
    reset.keep_originals(course)
    assert not (course / reset.ORIGINALS).exists()


def test_a_folder_inside_somebody_elses_repository_is_not_restored_from_there(course):
    inner = course / "downloads" / "gradients"
    (inner / "notebooks").mkdir(parents=True)
    (inner / "notebooks" / NAME).write_bytes(b"another course")
    reset.keep_originals(inner)
    (inner / "notebooks" / NAME).write_bytes(b"mine")
    reset.restore("01", inner)
    assert (inner / "notebooks" / NAME).read_bytes() == b"another course"


@pytest.mark.parametrize("number", ["7", "xx", "", "../01", "0"])
def test_an_unknown_chapter_gets_the_list(course, number, monkeypatch, capsys):
    monkeypatch.setattr(environment, "ROOT", course)
    assert reset.main([number]) == 1
    said = capsys.readouterr().out
    assert said == f"There is no chapter {number!r} to restore; git or .originals has: 01.\n"


def test_several_chapters_at_once(course, monkeypatch, capsys):
    monkeypatch.setattr(environment, "ROOT", course)
    (course / "notebooks" / NAME).write_bytes(b"mine")
    assert reset.main(["99", "01"]) == 1
    assert (course / "notebooks" / NAME).read_bytes() == ORIGINAL
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_the_readers_version_is_no_chapter_and_git_ignores_it(course):
    (course / "notebooks" / NAME).write_bytes(b"mine")
    reset.restore("01", course)
    (mine,) = versions_of_the_reader(course)
    assert not chapters.NAME.fullmatch(mine.name)
    assert not reset.CHAPTER.fullmatch(mine.name)
    ignored = (environment.ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "*-mine-*.ipynb" in ignored
