"""Every exercise that a chapter registers: its reference, its mistakes, and nonsense answers."""

import inspect
import time

import numpy as np
import pytest

from course_lib.learn.exercises import (
    HINTS,
    Exercise,
    Mistake,
    all_exercises,
    check,
    exercises_of,
    find,
    hint,
    judge,
    solution,
)

ALL = all_exercises()
SEEDS = range(20)

every_exercise = pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)


def right_answer(exercise):
    return exercise.reference if exercise.wants_function else exercise.reference()


def mistaken_answer(exercise, mistake):
    """The mistake as a learner would hand it over: a function, or the value it leads to."""
    if callable(mistake.answer) and not exercise.wants_function:
        return mistake.answer()
    return mistake.answer


def wrong_with(exercise):
    """Say what is wrong with an exercise, as a list of sentences: empty for a good one."""
    found = []
    for seed in SEEDS:
        verdict = judge(exercise, right_answer(exercise), np.random.default_rng(seed))
        if verdict.state != "right":
            found.append(f"the reference is not right: {verdict.sentence}")
        for mistake in exercise.mistakes:
            answer = mistaken_answer(exercise, mistake)
            verdict = judge(exercise, answer, np.random.default_rng(seed))
            if verdict.mistake is not mistake:
                found.append(f"{mistake.name!r} is met with: {verdict.sentence}")
    messages = [mistake.message for mistake in exercise.mistakes]
    if len(set(messages)) < len(messages):
        found.append("two mistakes have the same message")
    if len(messages) < 3:
        found.append(f"{len(messages)} mistakes are too few")
    if len(set(exercise.hints)) < HINTS:
        found.append("a hint stands twice")
    for text in (exercise.task, *messages, *exercise.hints):
        if not text.strip() or "…" in text[-1:] or text != text.strip():
            found.append(f"no finished sentence: {text!r}")
    return found


@every_exercise
def test_the_reference_is_right_and_each_mistake_gets_its_own_message(exercise):
    assert wrong_with(exercise) == []


@every_exercise
def test_the_solution_runs_as_it_is_shown_and_is_right(exercise):
    notebook = {"np": np}
    exec(exercise.solution_source(), notebook)
    answer = notebook[exercise.name]
    verdict = judge(exercise, answer if exercise.wants_function else answer())
    assert verdict.state == "right", verdict.sentence


OTHER_RIGHT_ANSWERS = {
    "12-latch, held by the reset gate": [[0, 0, 10], [0, -20, 0], [0, 0, 100], [-20, 10, 0]],
    "12-latch, with larger weights": [[0, 0, 5], [-30, 4, 0], [0, 0, 0], [12, -4, 0]],
}


@pytest.mark.parametrize("name", OTHER_RIGHT_ANSWERS)
def test_a_right_answer_of_another_kind_is_right(name):
    verdict = judge(find(name.split(",")[0]), np.array(OTHER_RIGHT_ANSWERS[name], dtype=float))
    assert verdict.state == "right", verdict.sentence


@every_exercise
def test_every_wrong_option_of_a_choice_has_its_message(exercise):
    right = {exercise.reference()} if exercise.options else set()
    caught = {mistake.answer for mistake in exercise.mistakes} if exercise.options else set()
    assert caught == set(exercise.options) - right


def returns(value):
    return lambda *arguments: value


def raises(error):
    def answer(*arguments):
        raise error

    return answer


def recurses(*arguments):
    return recurses(*arguments)


def is_interrupted(*arguments):
    raise KeyboardInterrupt  # what an endless loop turns into when the reader stops it


def yields(*arguments):
    yield 1


async def waits(*arguments):
    return 1


def has_a_gap(*arguments):
    gap = ...
    return gap + 1


class Hostile:
    def __array__(self, *arguments, **options):
        raise RuntimeError("no array")

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


def stub(*arguments):
    """Return the answer, one day."""
    ...


def stub_that_passes(*arguments):
    pass


STUBS = {
    "stub": stub,
    "stub that passes": stub_that_passes,
    "returns ...": returns(...),
    "returns two ...": returns((..., ...)),
    "not implemented": raises(NotImplementedError),
    "a gap in the middle": has_a_gap,
}
UNANSWERED = {"None": None, "...": ..., "text of dots": "...", **STUBS}
NONSENSE = {
    "empty text": "",
    "text": "forty-two",
    "bytes": b"bytes",
    "NaN": np.nan,
    "infinity": np.inf,
    "odd number": -12345.698,
    "complex": 1j,
    "empty list": [],
    "empty dict": {},
    "ragged list": [1, [2, 3]],
    "NaN of a wrong shape": np.full((3, 4, 5), np.nan),
    "array of texts": np.array(["a", "b"]),
    "object": object(),
    "hostile object": Hostile(),
    "type": int,
    "module": np,
    "returns nothing": returns(None),
    "returns a text": returns("a text"),
    "returns NaN": returns(np.nan),
    "returns a wrong shape": returns(np.zeros((7, 7, 7))),
    "returns an empty array": returns(np.zeros(0)),
    "returns a dict": returns({"a": 1}),
    "returns a mixture": returns([np.ones(3), "a"]),
    "returns a hostile object": returns(Hostile()),
    "returns a complex number": returns(1j),
    "raises": raises(ValueError("with a message")),
    "raises without a message": raises(KeyError()),
    "ends the program": raises(SystemExit(3)),
    "recurses without end": recurses,
    "is interrupted": is_interrupted,
    "yields": yields,
    "waits": waits,
    "takes nothing": lambda: 1,
    "takes too much": lambda one, two, three, four, five, six, seven: 1,
    "builtin": print,
}

every_answer = pytest.mark.parametrize("answer", [*UNANSWERED, *NONSENSE])


@every_exercise
@every_answer
def test_no_answer_stops_the_notebook_and_each_gets_a_sentence(exercise, answer, capsys):
    check(exercise.id, (UNANSWERED | NONSENSE)[answer])
    said = capsys.readouterr().out.strip()
    assert "Right" not in said
    assert len(said) > 30
    assert "Traceback" not in said
    assert " object at 0x" not in said


@pytest.mark.parametrize(
    ("exercise", "answer"),
    [(e, name) for e in ALL for name in UNANSWERED if e.wants_function or name not in STUBS],
    ids=lambda value: getattr(value, "id", value),
)
def test_an_unanswered_exercise_says_so(exercise, answer):
    assert judge(exercise, UNANSWERED[answer]).state == "open"


@every_exercise
def test_it_is_found_by_its_id_in_the_module_of_its_chapter(exercise):
    assert find(exercise.id) is exercise
    assert exercise in exercises_of(exercise.id[:2])


@every_exercise
def test_checking_does_not_keep_the_reader_waiting(exercise):
    start = time.process_time()
    judge(exercise, right_answer(exercise))
    assert time.process_time() - start < 2


@every_exercise
def test_hints_come_one_by_one_and_then_the_solution(exercise, capsys):
    for given in exercise.hints:
        hint(exercise.id)
        assert given.replace("`", "") in capsys.readouterr().out.replace("`", "")
    hint(exercise.id)
    assert "learn.solution" in capsys.readouterr().out
    solution(exercise.id)
    assert inspect.getsource(exercise.reference).strip() in capsys.readouterr().out


def test_ids_are_unique():
    ids = [exercise.id for exercise in ALL]
    assert len(set(ids)) == len(ids)
    assert ids


def test_an_unknown_id_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean '01-factor'"):
        check("01-faktor", 1)
    with pytest.raises(ValueError, match="it takes the number of the chapter"):
        check("factor", 1)
    with pytest.raises(ValueError, match="chapter 99 has none"):
        hint("99-factor")


# ------------------------------------------------------------ controls: these must be found out


def doubled(x):
    return 2 * x


def doubled_inputs(rng):
    return (rng.normal(size=4),)


def an_exercise(**changes):
    given = {
        "id": "99-double",
        "task": "Double it.",
        "reference": doubled,
        "inputs": doubled_inputs,
        "mistakes": [
            Mistake("nothing", lambda x: x, "That is the input."),
            Mistake("tripled", lambda x: 3 * x, "That is three times it."),
            Mistake("squared", lambda x: x**2, "That is its square."),
        ],
        "hints": ("Once more.", "Add it to itself.", "2 * x"),
    }
    return Exercise(**(given | changes))


def test_a_good_exercise_has_nothing_wrong_with_it():
    assert wrong_with(an_exercise()) == []


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        (
            {
                "mistakes": [
                    *an_exercise().mistakes,
                    Mistake("right", lambda x: x + x, "No mistake."),
                ]
            },
            "'right' is met with: Right",
        ),
        (
            {
                "mistakes": [
                    *an_exercise().mistakes,
                    Mistake("tripled again", lambda x: x + x + x, "The same as another."),
                ]
            },
            "'tripled again' is met with: That is three times it.",
        ),
        (
            {
                "mistakes": [
                    *an_exercise().mistakes[:2],
                    Mistake("squared", lambda x: x**2, "That is the input."),
                ]
            },
            "two mistakes have the same message",
        ),
        ({"mistakes": an_exercise().mistakes[:2]}, "2 mistakes are too few"),
        ({"hints": ("Once more.", "Once more.", "2 * x")}, "a hint stands twice"),
    ],
)
def test_a_bad_exercise_is_found_out(changes, found):
    assert any(sentence.startswith(found) for sentence in wrong_with(an_exercise(**changes)))


def test_bad_definitions_are_refused():
    with pytest.raises(TypeError, match="takes a function made with `def`"):
        an_exercise(reference=lambda x: x)
    with pytest.raises(ValueError, match="takes exactly 3"):
        an_exercise(hints=("one", "two"))
    with pytest.raises(ValueError, match="has no `inputs`"):
        an_exercise(options=("a", "b"))
    with pytest.raises(ValueError, match="chapter, a dash"):
        an_exercise(id="double")


# ------------------------------------------------------------------- the other kinds of answer


def seven():
    return 7.0


def one_to_three():
    return np.array([1.0, 2.0, 3.0])


def the_word():
    return "relu"


A_NUMBER = an_exercise(
    reference=seven,
    inputs=None,
    mistakes=[Mistake(f"{wrong}", wrong, f"Not {wrong}.") for wrong in (1, 2, 3)],
    tolerance=0.01,
)
AN_ARRAY = an_exercise(
    reference=one_to_three,
    inputs=None,
    mistakes=[
        Mistake(f"{wrong}", wrong, f"Not {wrong}.") for wrong in ([1, 1, 1], [0, 1, 2], [5, 6, 8])
    ],
)
A_CHOICE = an_exercise(
    reference=the_word,
    inputs=None,
    options=("relu", "tanh", "sigmoid", "elu"),
    mistakes=[Mistake(w, w, f"Not {w}.") for w in ("tanh", "sigmoid", "elu")],
)


def my_pair():
    return 5, 7


A_PAIR = an_exercise(
    reference=my_pair,
    inputs=None,
    judge=lambda pair: None if pair[0] < pair[1] else f"{pair[0]} comes first.",
    mistakes=[Mistake(f"{wrong}", (wrong, 0), f"Not {wrong}.") for wrong in (1, 2, 3)],
)
A_JUDGED = an_exercise(
    reference=seven,
    inputs=None,
    judge=lambda x: None if x > 5 else f"{x} is 5 or less.",
    mistakes=[Mistake(f"{wrong}", wrong, f"Not {wrong}.") for wrong in (1, 2, 3)],
)


@pytest.mark.parametrize("exercise", [A_NUMBER, AN_ARRAY, A_CHOICE, A_JUDGED])
def test_values_have_references_and_mistakes_too(exercise):
    assert wrong_with(exercise) == []


@pytest.mark.parametrize(
    ("exercise", "answer", "state", "said"),
    [
        (A_NUMBER, 7, "right", "Right: it equals the reference to the last digit"),
        (A_NUMBER, 7.05, "right", "Right: it equals the reference to 7e-03"),
        (A_NUMBER, 7.1, "wrong", "Your answer is too large."),
        (A_NUMBER, -7, "wrong", "wrong sign"),
        (A_NUMBER, 0, "wrong", "is 0"),
        (A_NUMBER, 1 / 7, "wrong", "upside down"),
        (A_NUMBER, 7000, "wrong", "far too large"),
        (A_NUMBER, np.float32(7), "right", "Right"),
        (A_NUMBER, "7", "wrong", "a text ('7')"),
        (A_NUMBER, np.nan, "wrong", "NaN"),
        (A_NUMBER, [7], "wrong", "one number is asked for"),
        (A_NUMBER, seven, "wrong", "the function `seven`"),
        (AN_ARRAY, [1, 2, 3], "right", "Right"),
        (AN_ARRAY, [3, 2, 1], "wrong", "reverse order"),
        (AN_ARRAY, [[1], [2], [3]], "wrong", "right entries, but in shape (3, 1)"),
        (A_CHOICE, " ReLU", "right", "Right: relu."),
        (A_CHOICE, "gelu", "wrong", 'it takes "relu", "tanh", "sigmoid" or "elu"'),
        (A_CHOICE, 3, "wrong", "the number 3"),
        (A_JUDGED, 6, "right", "Right: it does what was asked."),
        (A_JUDGED, 4, "wrong", "4 is 5 or less."),
        (A_JUDGED, np.nan, "wrong", "of another kind"),
        (A_JUDGED, "six", "wrong", "of another kind"),
        (A_JUDGED, [6, 6], "wrong", "of another kind"),
        (A_PAIR, (1, 3), "right", "Right: it does what was asked."),
        (A_PAIR, ("a", 7), "wrong", "a tuple of 2 with a text ('a') in it; a right one"),
        (A_PAIR, (np.nan, 7), "wrong", "a tuple of 2 numbers, not all of them finite; a right"),
        (A_PAIR, (3, "b"), "wrong", "of another kind: a tuple of 2 numbers."),
    ],
)
def test_a_value_is_judged_in_words(exercise, answer, state, said):
    verdict = judge(exercise, answer)
    assert (verdict.state, said in verdict.sentence) == (state, True), verdict.sentence


@pytest.mark.parametrize(
    "exercise",
    [e for e in (*ALL, A_NUMBER, A_JUDGED) if not e.inputs and not e.options],
    ids=lambda exercise: exercise.name,
)
@pytest.mark.parametrize("answer", NONSENSE)
def test_no_sentence_gives_a_value_away(exercise, answer):
    value = exercise.reference()
    is_one = np.ndim(value) == 0 and not isinstance(value, dict)
    secret = f"{value:.3g}" if is_one else str(value)
    assert secret not in judge(exercise, NONSENSE[answer]).sentence


def test_entries_that_span_decades_are_compared_one_by_one():
    norms = np.array([1.0, 1e-10, 1e-20])
    exercise = an_exercise(reference=doubled, inputs=lambda rng: (norms * rng.uniform(1, 2),))
    last_one_lost = lambda x: 2 * x * [1, 1, 0]  # noqa: E731
    assert judge(exercise, last_one_lost).state == "right"  # relative to the largest entry
    strict = an_exercise(reference=doubled, inputs=exercise.inputs, each_entry=True)
    verdict = judge(strict, last_one_lost)
    assert verdict.state == "wrong"
    assert "is 0 at [2], where the reference has" in verdict.sentence


def test_float32_answers_are_right_and_told_how_near_they_are():
    verdict = judge(an_exercise(), lambda x: 2 * x.astype(np.float32))
    assert verdict.state == "right"
    assert "e-08 on 5 fresh inputs" in verdict.sentence


def test_inputs_are_fresh_at_each_check():
    seen = []

    def remember(x):
        seen.append(x.copy())
        return 2 * x

    judge(an_exercise(), remember)
    judge(an_exercise(), remember)
    assert len(seen) == 10
    assert len({x.tobytes() for x in seen}) == 10
