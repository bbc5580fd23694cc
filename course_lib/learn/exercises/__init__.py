'''Exercises that check themselves: one module a chapter, `chapter_NN.py`, with a list `EXERCISES`.

To add one, write the right answer as a function with a `def`, the wrong answers that learners
typically give, and three hints, each saying more than the one before:

    """Exercises of chapter 01."""

    import numpy as np

    from course_lib.learn.exercises import Exercise, Mistake


    def factor_per_layer(norms):
        """Return the geometric mean of the factor from one layer to the next."""
        return (norms[0] / norms[-1]) ** (1 / (len(norms) - 1))


    def inputs(rng):
        return (np.exp(rng.normal(size=rng.integers(4, 12))),)


    EXERCISES = [
        Exercise(
            id="01-factor-per-layer",
            task="Write `factor_per_layer(norms)`: …",
            reference=factor_per_layer,
            inputs=inputs,
            mistakes=[
                Mistake(
                    "counted the layers, not the steps between them",
                    lambda norms: (norms[0] / norms[-1]) ** (1 / len(norms)),
                    "D + 1 norms have D steps between them: the root is one too high.",
                ),
                Mistake("upside down", lambda norms: …, "…"),
                Mistake("forgot the root", lambda norms: …, "…"),
            ],
            hints=("…", "…", "…"),
        ),
    ]

The chapter then has a cell with a stub and a check, and `hint` and `solution` on request:

    def factor_per_layer(norms):
        return ...

    learn.check("01-factor-per-layer", factor_per_layer)

What happens then: answer and reference run on the same five fresh random inputs. Equal: a true
sentence with the largest difference. Equal to one of the `mistakes`: its message. Else whatever
can be said of the difference in general (a constant factor, a sign, a transposed matrix, zeros).
Nothing that an answer does stops the notebook.

An answer may also be a number, an array, a text or a choice: then `reference` takes no argument
and returns it, a mistake holds the wrong value (or computes it), and there are no `inputs`.
With `options=(…)` the answer is one of four words or more, and every wrong one needs its mistake.
Where many answers are right ("find weights that explode"), give `judge(answer, *inputs)`: it
returns None, or one sentence that says what is wrong; `reference` is then one right answer.

`solution` shows the source of `reference` as it stands in the module, so keep it as you would
want it read: standard names, no helper outside NumPy but those that `setup` imports.
`tests/learn/test_exercises.py` runs over every exercise that is registered this way.
'''

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from course_lib.learn import page
from course_lib.learn.exercises import running
from course_lib.learn.exercises.diagnosis import (
    difference,
    explain,
    is_number,
    kind_of,
    same,
    what_it_is,
)
from course_lib.learn.progress import record
from course_lib.learn.registry import chapters_in, entries, find_by_id

FRESH_INPUTS = 5
HINTS = 3


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that learners typically give, and what to say to it.

    Parameters
    ----------
    name : str
        What went wrong, in a few words ("mean over time instead of the sum").
    answer : callable or value
        The wrong implementation, called with the same inputs as the reference; or the wrong value.
    message : str
        One or two kind sentences to the learner that say what is wrong, not what is right.
    """

    name: str
    answer: Any
    message: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One exercise; the docstring of this module shows how to write it.

    Parameters
    ----------
    id : str
        "01-factor-per-layer".
    task : str
        The task in one sentence, as the chapter puts it.
    reference : callable
        The right answer, defined with `def`; its source is the solution. It takes `inputs`, or
        nothing where the answer is a value.
    mistakes : sequence of Mistake
        At least three.
    hints : sequence of str
        Exactly three, each saying more than the one before.
    inputs : callable, optional
        `inputs(rng)` returns a tuple of arguments, new at each call. Without it the answer is a
        value and no function.
    options : sequence of str
        The words to choose from, where the answer is a choice; four or more.
    judge : callable, optional
        `judge(answer, *inputs)` returns None when the answer is right, else one sentence; for
        exercises with many right answers. For a function, `answer` is what it returned.
    tolerance : float
        Largest difference allowed, relative to the largest entry of the reference.
    each_entry : bool
        Whether `tolerance` is relative to each single entry: for arrays that span decades.
    afterword : str
        What to say after a right answer: one true sentence worth knowing.
    setup : str
        Code that the solution needs before it (imports); NumPy as `np` is there already.
    """

    id: str
    task: str
    reference: Callable[..., Any]
    mistakes: Sequence[Mistake]
    hints: Sequence[str]
    inputs: Callable[[np.random.Generator], tuple] | None = None
    options: Sequence[str] = ()
    judge: Callable[..., str | None] | None = None
    tolerance: float = 1e-6
    each_entry: bool = False
    afterword: str = ""
    setup: str = ""

    def __post_init__(self) -> None:
        page.check_id("id", self.id)
        if getattr(self.reference, "__name__", "<lambda>") == "<lambda>":
            raise TypeError(f"{self.id}: `reference` takes a function made with `def`.")
        if len(self.hints) != HINTS:
            raise ValueError(f"{self.id}: `hints` has {len(self.hints)}; it takes exactly {HINTS}.")
        if self.options and self.wants_function:
            raise ValueError(f"{self.id}: an exercise with `options` has no `inputs`.")

    @property
    def wants_function(self) -> bool:
        """Whether the answer is a function; else it is a value."""
        return self.inputs is not None

    @property
    def parameters(self) -> list[str]:
        """The names of the arguments that the answer takes."""
        return list(inspect.signature(self.reference).parameters)

    @property
    def name(self) -> str:
        """What the answer is called in the notebook."""
        return self.reference.__name__

    def arguments(self, rng: np.random.Generator) -> tuple:
        """Return one set of fresh arguments."""
        return () if self.inputs is None else tuple(self.inputs(rng))

    def solution_source(self) -> str:
        """Return the solution as code that runs where `np` is NumPy."""
        source = textwrap.dedent(inspect.getsource(self.reference)).rstrip()
        return "\n\n\n".join(filter(None, [self.setup.strip(), source])) + "\n"


@dataclass(frozen=True)
class Verdict:
    """What `check` found: its sentence, and which mistake it recognised, if one."""

    state: str  # "right", "wrong" or "open"
    sentence: str
    mistake: Mistake | None = None


def check(id: str, answer: Any = None) -> None:
    """Check an answer and say in one sentence whether it is right, or what is wrong with it.

    The answer is compared with the reference on fresh random inputs. An unanswered, broken or
    nonsensical answer gets a sentence too; nothing that it does stops the notebook.

    Parameters
    ----------
    id : str
        The id of the exercise.
    answer : function, number, array or str
        Whatever the exercise asks for: a function is handed over, not called.

    Raises
    ------
    ValueError
        When there is no exercise of that id.
    """
    exercise = find(id)
    try:
        with running.notice_when_slow():
            verdict = judge(exercise, answer)
    except KeyboardInterrupt:
        verdict = Verdict("wrong", running.INTERRUPTED)
    small = f'`learn.hint("{id}")` helps' if verdict.state == "wrong" else ""
    page.show_line(verdict.state, verdict.sentence, small=small)
    if verdict.state != "open":
        record(id, "exercises", right=verdict.state == "right")


def hint(id: str) -> None:
    """Show the next of three hints; each call says more.

    Raises
    ------
    ValueError
        When there is no exercise of that id.
    """
    exercise = find(id)
    level = min(_hints_shown.get(id, 0) + 1, HINTS)
    _hints_shown[id] = level
    then = "" if level < HINTS else f'the last one; `learn.solution("{id}")` shows an answer'
    page.show_line(
        "hint", exercise.hints[level - 1], small=f"hint {level} of {HINTS}" + (then and f", {then}")
    )


def solution(id: str) -> None:
    """Show a right answer: the very code that `check` compares with.

    Raises
    ------
    ValueError
        When there is no exercise of that id.
    """
    exercise = find(id)
    if exercise.wants_function:
        lead = "One right answer, the one that `check` compares yours with:"
    else:
        lead = f"One way to get there, which gives {page.figure_text(exercise.reference())}:"
    page.show_code(lead, exercise.solution_source())


_hints_shown: dict[str, int] = {}


def judge(exercise: Exercise, answer: Any, rng: np.random.Generator | None = None) -> Verdict:
    """Return what `check` would say, without saying it; see `check`."""
    rng = rng or np.random.default_rng()  # fresh each time: no stored random number to memorise
    refusal = _refusal(exercise, answer)
    if refusal:
        return refusal
    if not exercise.wants_function:
        answer = _option(exercise, answer) if exercise.options else answer
        return _compare(exercise, [((), answer, exercise.reference())])
    trials, printed, changed = [], running.Printed(), ""
    for _ in range(FRESH_INPUTS):
        arguments = exercise.arguments(rng)
        outcome = running.run(answer, arguments, exercise.parameters, printed)
        if outcome.unanswered:
            return _unanswered(exercise, outcome.complaint)
        if outcome.complaint:
            return Verdict("wrong", outcome.complaint)
        changed = changed or outcome.changed
        reference = exercise.reference(*running.copies(arguments))
        trials.append((arguments, outcome.value, reference))
    verdict = _compare(exercise, trials)
    if verdict.state == "right" and changed:
        return Verdict("wrong", f"The values are right, but {changed}")
    return replace(verdict, sentence=" ".join(filter(None, [verdict.sentence, printed.note()])))


def exercises_of(chapter: str) -> tuple[Exercise, ...]:
    """Return the exercises of a chapter ("01"), none where it has no module."""
    return entries(f"{__name__}.chapter_{chapter}", "EXERCISES")


def all_exercises() -> tuple[Exercise, ...]:
    """Return every exercise of the course, chapter by chapter."""
    return tuple(e for chapter in chapters_in(__path__) for e in exercises_of(chapter))


def find(id: str) -> Exercise:
    """Return the exercise of that id, or say which there are."""
    page.check_id("id", id)
    return find_by_id(id, exercises_of(id[:2]), "exercise")


def _refusal(exercise: Exercise, answer: Any) -> Verdict | None:
    """Return the verdict on an answer that is missing or of the wrong kind."""
    if running.is_unanswered(answer):
        return _unanswered(exercise)
    if exercise.wants_function:
        sentence = running.not_a_function(answer, exercise.name, exercise.parameters)
        return Verdict("wrong", sentence) if sentence else None
    if callable(answer):
        sentence = f"The answer is {what_it_is(answer)}; this exercise asks for what it gives."
        return Verdict("wrong", sentence)
    if exercise.options and _option(exercise, answer) is None:
        words = page.listed((f'"{option}"' for option in exercise.options), "or")
        return Verdict("wrong", f"The answer is {what_it_is(answer)}; it takes {words}.")
    return None


def _option(exercise: Exercise, answer: Any) -> str | None:
    """Return the option that was meant, whatever its capitals, or None."""
    meant = str(answer).strip().casefold()
    return next((option for option in exercise.options if option.casefold() == meant), None)


def _unanswered(exercise: Exercise, where: str = "") -> Verdict:
    return Verdict(
        "open",
        f"Not answered yet: {where or 'replace the `...`'}. Then run this cell again. "
        f'`learn.hint("{exercise.id}")` gives a first hint; the chapter goes on without it.',
    )


def _compare(exercise: Exercise, trials: list[tuple]) -> Verdict:
    """Return the verdict on what an answer gave, beside what the reference gave."""
    sentence = _judged(exercise, trials)
    if sentence is None:
        return Verdict("right", _praise(exercise, trials))
    for mistake in exercise.mistakes:
        if all(_same(exercise, v, _answer_of(mistake, a)) for a, v, _ in trials):
            return Verdict("wrong", mistake.message, mistake)
    return Verdict("wrong", sentence)


def _judged(exercise: Exercise, trials: list[tuple]) -> str | None:
    """Return None where the answer is right, else what can be said of it in general."""
    if exercise.judge is None:
        if all(_same(exercise, value, reference) for _, value, reference in trials):
            return None
        return explain(trials, exercise.parameters, exercise.tolerance, exercise.each_entry)
    for arguments, value, reference in trials:
        try:
            foreseen = is_number(value) or not is_number(reference)
            sentence = exercise.judge(value, *running.copies(arguments)) if foreseen else None
        except Exception:  # of what a learner may hand over, a judge foresees a part
            foreseen = False
        if not foreseen:
            return (
                f"The answer is {what_it_is(value)}; a right one is of another kind: "
                f"{kind_of(reference)}."
            )
        if sentence is not None:
            return sentence
    return None


def _same(exercise: Exercise, value: Any, reference: Any) -> bool:
    return same(value, reference, exercise.tolerance, exercise.each_entry)


def _answer_of(mistake: Mistake, arguments: tuple) -> Any:
    if not callable(mistake.answer):
        return mistake.answer
    return mistake.answer(*running.copies(arguments))


def _praise(exercise: Exercise, trials: list[tuple]) -> str:
    on = f" on {len(trials)} fresh inputs" if exercise.wants_function else ""
    if exercise.judge is not None:
        sentence = f"Right: it does what was asked{on}."
    elif exercise.options:
        sentence = f"Right: {trials[0][1]}."
    else:
        distance = max(difference(v, r, exercise.each_entry) for _, v, r in trials)
        how = "to the last digit" if distance == 0 else f"to {distance:.0e}"
        sentence = f"Right: it equals the reference {how}{on}."
    return f"{sentence} {exercise.afterword}".rstrip()
