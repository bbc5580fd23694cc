"""Every quiz question that a chapter registers, and the widget that asks it."""

import re

import pytest

from course_lib.learn import progress, quiz
from course_lib.learn.question import CSS, ESM, Question
from course_lib.learn.quizzes import Option, Quiz, all_quizzes, ask, find, quizzes_of

ALL = all_quizzes()

every_quiz = pytest.mark.parametrize("asked", ALL, ids=lambda asked: asked.id)


@every_quiz
def test_a_question_is_well_formed(asked):
    assert asked.question.strip().endswith(("?", ".", ":"))
    texts = [option.text for option in asked.options]
    assert len(set(texts)) == len(texts)
    explanations = [option.explanation for option in asked.options]
    assert len(set(explanations)) == len(explanations)
    for option in asked.options:
        assert option.text.strip() == option.text != ""
        assert len(option.explanation.split()) >= 4  # an explanation, right or wrong
        assert not re.match(r"(Wrong|Correct|False|No|Yes)[.!]?$", option.explanation)


@every_quiz
def test_it_is_found_in_the_module_of_its_chapter(asked):
    assert find(asked.id) is asked
    assert asked in quizzes_of(asked.id[:2])


@every_quiz
def test_whatever_is_chosen_is_explained(asked):
    question = ask(asked)
    assert question.status == ""
    for i, option in enumerate(asked.options):
        question.answer = i  # what a click or a key does
        first_words = option.explanation.split("`")[0].split("’")[0].split("'")[0][:15]
        assert first_words in question.status
        assert (">Right:<" in question.status) == option.right
        assert (">Not yet:<" in question.status) == (not option.right)


@every_quiz
def test_without_widgets_the_question_can_be_read(asked, capsys):
    quiz(asked.id)
    said = capsys.readouterr().out
    assert asked.question in said
    assert all(option.text in said for option in asked.options)


def test_ids_are_unique():
    ids = [asked.id for asked in ALL]
    assert len(set(ids)) == len(ids)
    assert ids


def test_an_unknown_question_is_answered_in_a_sentence():
    with pytest.raises(ValueError, match="there is no quiz '99-nothing': chapter 99 has none"):
        quiz("99-nothing")


RIGHT = Option("yes", "It is, because it is.", right=True)
WRONG = Option("no", "It is not, because it is not.")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([RIGHT], "has 1; it takes 2 to 6"),
        ([RIGHT, *[WRONG] * 6], "has 7; it takes 2 to 6"),
        ([WRONG, WRONG], "0 options are right; exactly one must be"),
        ([RIGHT, RIGHT], "2 options are right"),
    ],
)
def test_bad_definitions_are_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Quiz("99-test", "Is it?", options)


def test_answers_are_kept(tmp_path, monkeypatch):
    for name in ("CI", "COURSE_STRICT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "MANIFEST.json").touch()
    monkeypatch.chdir(tmp_path)
    question = ask(Quiz("99-test", "Is it?", [RIGHT, WRONG]))
    question.answer = 1
    question.answer = 0
    from course_lib.learn.progress import load

    assert load("99")["quizzes"] == {"99-test": {"tries": 2, "right": True}}
    assert callable(progress)


def test_signs_of_html_do_no_harm():
    question = Question("Is 1 < 2 & `a<b`?", choices=["<b>yes</b>", "no"])
    assert question.question == "Is 1 &lt; 2 &amp; <code>a&lt;b</code>?"
    assert question.choices == ["&lt;b&gt;yes&lt;/b&gt;", "no"]
    question.say("note", "1 < 2")
    assert "1 &lt; 2" in question.status


def test_the_widget_is_made_of_native_controls_with_names():
    for piece in ("<fieldset><legend>", 'role="status"', 'createElement("button")', "label"):
        assert piece in ESM
    assert "aria-pressed" in ESM
    assert "focus-visible" in CSS
    # the text takes the colour of the page, so that it reads in both themes
    assert not re.search(r"(?<!-)\bcolor: (?!inherit|var)", CSS)
