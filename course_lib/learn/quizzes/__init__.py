'''Quizzes: one module a chapter, `chapter_NN.py`, with a list `QUIZZES`.

To add a question, write each option with what makes it right or wrong; the reader sees the
explanation of whatever they chose. Exactly one option is right.

    """Quiz questions of chapter 01."""

    from course_lib.learn.quizzes import Option, Quiz

    QUIZZES = [
        Quiz(
            id="01-one-factor",
            question="Each of 30 layers passes 0.9 of the gradient. What arrives?",
            options=[
                Option("about 4 %", "Yes: 0.9 to the power 30 is 0.042.", right=True),
                Option("about 90 %", "That is one layer; the factors multiply."),
                Option("nothing", "Little, but far from nothing: 0.042 is a trainable gradient."),
            ],
        ),
    ]

The chapter then has a cell `learn.quiz("01-one-factor")`.
'''

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from course_lib.learn import page
from course_lib.learn.progress import record
from course_lib.learn.question import Question
from course_lib.learn.registry import chapters_in, entries, find_by_id


@dataclass(frozen=True)
class Option:
    """One answer to choose: its text, why it is right or wrong, and whether it is right."""

    text: str
    explanation: str
    right: bool = False


@dataclass(frozen=True)
class Quiz:
    """A question with two to six options, exactly one of them right."""

    id: str
    question: str
    options: Sequence[Option]

    def __post_init__(self) -> None:
        page.check_id("id", self.id)
        if not 2 <= len(self.options) <= 6:
            raise ValueError(f"{self.id}: `options` has {len(self.options)}; it takes 2 to 6.")
        right = sum(option.right for option in self.options)
        if right != 1:
            raise ValueError(f"{self.id}: {right} options are right; exactly one must be.")


def quiz(id: str) -> None:
    """Show a question with its options; whatever is chosen is explained.

    Raises
    ------
    ValueError
        When there is no question of that id.
    """
    ask(find(id)).show()


def ask(asked: Quiz) -> Question:
    """Return the widget of a question, which explains each answer that it gets."""
    question = Question(asked.question, choices=[option.text for option in asked.options])

    def explain(answer: int) -> None:
        option = asked.options[answer]
        record(asked.id, "quizzes", right=option.right)
        question.say("right" if option.right else "wrong", option.explanation)

    question.on_answer(explain)
    return question


def quizzes_of(chapter: str) -> tuple[Quiz, ...]:
    """Return the questions of a chapter ("01"), none where it has no module."""
    return entries(f"{__name__}.chapter_{chapter}", "QUIZZES")


def all_quizzes() -> tuple[Quiz, ...]:
    """Return every question of the course, chapter by chapter."""
    return tuple(q for chapter in chapters_in(__path__) for q in quizzes_of(chapter))


def find(id: str) -> Quiz:
    """Return the question of that id, or say which there are."""
    page.check_id("id", id)
    return find_by_id(id, quizzes_of(id[:2]), "quiz")
