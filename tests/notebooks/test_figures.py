"""The picture in a chapter's header comes from the chapter, and knows which code it came from."""

import nbformat
import pytest

from course_lib.commands import chapters, figures


@pytest.fixture
def chapter(example):
    """Write the example chapter, without its picture."""
    (example.root / "notebooks" / "figures" / "01.svg").unlink()
    nbformat.write(example.notebook, example.path)
    return example.path


def test_the_picture_is_made_small_with_outlines_and_its_hash(chapter, example):
    assert not figures.is_fresh(chapter)
    picture = figures.make(chapter)
    svg = picture.read_text(encoding="utf-8")
    assert picture == example.root / "notebooks" / "figures" / "01.svg"
    assert "<svg" in svg
    assert "<text" not in svg
    assert "<path" in svg
    assert len(svg) < 150_000
    assert list(picture.parent.iterdir()) == [picture]
    assert figures.is_fresh(chapter)
    assert chapter.read_text(encoding="utf-8") == chapters.canonical(example.notebook)
    first = picture.read_bytes()
    assert figures.make(chapter).read_bytes() == first


def test_changed_code_makes_the_picture_stale(chapter, example):
    (example.root / "notebooks" / "figures" / "01.svg").write_text("<svg/>")
    assert figures.is_fresh(chapter)
    example.containing("import numpy").source += "\nx = 1"
    nbformat.write(example.notebook, chapter)
    assert not figures.is_fresh(chapter)


def test_a_cell_that_shows_nothing_is_named(chapter, example):
    cell = example.tagged("header-picture")
    cell.source = cell.source.partition("show.figure")[0]
    nbformat.write(example.notebook, chapter)
    with pytest.raises(figures.PictureError, match=r"does not call show\.figure"):
        figures.make(chapter)
    assert not list((chapter.parent / "figures").iterdir())


def test_a_cell_that_fails_is_shown(chapter, example):
    example.containing("import numpy").source = "1 / 0"
    nbformat.write(example.notebook, chapter)
    with pytest.raises(figures.PictureError, match="ZeroDivisionError"):
        figures.make(chapter)


def test_a_chapter_without_a_picture_cell_is_named(chapter, example):
    example.tagged("header-picture").metadata.tags = []
    nbformat.write(example.notebook, chapter)
    with pytest.raises(figures.PictureError, match="0 code cells are tagged"):
        figures.make(chapter)
