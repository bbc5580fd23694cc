"""Every chapter has the form of a chapter, on what git would commit of it."""

import pytest

from course_lib.commands import chapters, form

CHAPTERS = chapters.all_chapters(chapters.chosen())


@pytest.fixture(scope="module", params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return form.load(request.param)


@pytest.mark.parametrize("rule", form.RULES, ids=lambda rule: rule.__name__)
def test_chapter_keeps(rule, chapter):
    problems = list(rule(chapter))
    assert not problems, f"{chapter.path.name}:\n  " + "\n  ".join(problems)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_clean_clone_has_no_outputs_and_canonical_json(path):
    text = chapters.staged(path)
    if text is None:
        pytest.skip(f"git does not track {path.name}")
    clone = form.Chapter(path, text)
    assert not [*form.has_no_outputs(clone), *form.is_canonical(clone)]
