"""What a learner's function may do without stopping the notebook."""

import _thread
import inspect
import threading
import warnings

import numpy as np
import pytest

from course_lib.learn import page
from course_lib.learn.exercises import Exercise, Mistake, check, judge, running


def doubled(x):
    return 2 * x


DOUBLE = Exercise(
    id="99-double",
    task="Double it.",
    reference=doubled,
    inputs=lambda rng: (rng.normal(size=4),),
    mistakes=[
        Mistake("nothing", lambda x: x, "That is the input."),
        Mistake("tripled", lambda x: 3 * x, "That is three times it."),
        Mistake("squared", lambda x: x**2, "That is its square."),
    ],
    hints=("Once more.", "Add it to itself.", "2 * x"),
)


def says(answer):
    return judge(DOUBLE, answer).sentence


def stops_on_its_second_line(x):
    y = 2 * x
    return y.shape[7]


def helper(x):
    return x @ np.ones(3)


def stops_in_a_helper(x):
    return helper(x)


def line_of(function, offset):
    return inspect.getsourcelines(function)[1] + offset


def test_an_exception_is_named_with_the_line_where_it_happened():
    line = line_of(stops_on_its_second_line, 2)
    sentence = says(stops_on_its_second_line)
    assert f"at line {line} (`return y.shape[7]`) with IndexError: tuple index" in sentence
    assert "It was called with `x` of shape (4,)." in sentence
    sentence = says(stops_in_a_helper)
    assert f"at line {line_of(helper, 1)} (`return x @ np.ones(3)`) with ValueError" in sentence


def test_long_messages_are_cut():
    def shouts(x):
        raise RuntimeError("a" * 5000)

    assert len(says(shouts)) < 400


def test_a_forgotten_return_is_told_from_a_stub():
    def forgot(x):
        y = 2 * x  # noqa: F841

    def begun(x):
        """Double it."""

    assert "does its last line `return`?" in says(forgot)
    assert judge(DOUBLE, begun).state == "open"


def test_an_endless_loop_can_be_interrupted_and_the_notebook_goes_on(capsys, monkeypatch):
    monkeypatch.setattr("course_lib.learn.exercises.find", lambda id: DOUBLE)

    def loops(x):
        while True:
            pass

    timer = threading.Timer(0.3, _thread.interrupt_main)
    timer.start()
    check("99-double", loops)
    timer.join()
    assert "You stopped it, and the notebook goes on" in capsys.readouterr().out


def test_who_waits_is_told_how_to_stop(capsys, monkeypatch):
    monkeypatch.setattr(running, "PATIENCE", 0.05)
    done = threading.Event()
    monkeypatch.setattr(page, "show_line", lambda kind, text: (print(text), done.set()))
    with running.notice_when_slow():
        assert done.wait(5)
    assert "has been running for 0.05 seconds. To stop it" in capsys.readouterr().out
    with running.notice_when_slow():
        pass
    assert capsys.readouterr().out == ""


def test_what_it_prints_is_shown_up_to_a_limit(capsys):
    def chatters(x):
        print("x" * 700)
        return 2 * x

    sentence = says(chatters)
    assert capsys.readouterr().out.count("x") == 999  # and one end of line
    assert sentence.endswith("(Your function printed 2505 characters more than are shown here.)")
    assert sentence.startswith("Right")


def test_a_function_that_changes_its_input_is_told_so():
    def in_place(x):
        x *= 2
        return x

    sentence = says(in_place)
    assert sentence.startswith("The values are right, but your function changes its argument `x`")


def test_warnings_stay_out_of_the_way(capsys):
    def divides(x):
        warnings.warn("careful", stacklevel=1)
        np.ones(3) / 0
        return 2 * x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert says(divides).startswith("Right")
    assert capsys.readouterr().err == ""


def test_lists_of_weights_are_watched_too():
    def inputs(rng):
        return ([rng.normal(size=(3, 3)) for _ in range(2)],)

    def total(weights):
        return weights[0] + weights[1]

    def in_place(weights):
        weights[0] += weights[1]
        return weights[0].copy()

    exercise = Exercise(
        **(vars(DOUBLE) | {"reference": total, "inputs": inputs, "mistakes": DOUBLE.mistakes})
    )
    assert (
        "changes its argument `weights`"
        in judge(Exercise(**(vars(exercise) | {"mistakes": ()})), in_place).sentence
    )


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda: 1, "takes no argument; it is called as `doubled(x)`"),
        (lambda x, y: 1, "takes x, y; it is called as `doubled(x)`"),
        (2.0, "hand over the function `doubled(x)` itself, without calling it"),
        (np.array, "is "),
    ],
)
def test_what_is_no_function_of_these_arguments_is_refused(answer, said):
    assert said in says(answer)


def test_optional_arguments_do_no_harm():
    assert says(lambda x, factor=2: factor * x).startswith("Right")
    assert says(lambda *args, **kwargs: 2 * args[0]).startswith("Right")
