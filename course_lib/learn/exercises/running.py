"""Run a learner's function so that nothing it does can stop the notebook."""

from __future__ import annotations

import contextlib
import contextvars
import copy
import dis
import inspect
import io
import linecache
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import numpy as np

from course_lib.learn import page
from course_lib.learn.exercises.diagnosis import what_it_is, with_inputs

INTERRUPTED = (
    "You stopped it, and the notebook goes on: your function was still running. Does its loop "
    "come to an end?"
)
PATIENCE = 10  # seconds after which the reader is told how to stop
SHOWN_CHARACTERS = 1000  # of what a learner's function prints


@dataclass(frozen=True)
class Outcome:
    """What came of one call: a value, or a complaint in one sentence."""

    value: Any = None
    complaint: str = ""
    unanswered: bool = False
    changed: str = ""


class Printed(io.TextIOBase):
    """Pass on the first characters that a function prints, and count the others."""

    def __init__(self) -> None:
        self.shown = self.left_out = 0
        self.target: TextIO = sys.stdout

    def write(self, text: str) -> int:
        """Pass on what there is room for."""
        room = SHOWN_CHARACTERS - self.shown
        if room > 0:
            self.target.write(text[:room])
        self.shown += min(len(text), max(room, 0))
        self.left_out += max(len(text) - max(room, 0), 0)
        return len(text)

    def note(self) -> str:
        """Say how much was left out, if anything was."""
        if not self.left_out:
            return ""
        return f"(Your function printed {self.left_out} characters more than are shown here.)"

    @contextlib.contextmanager
    def redirected(self) -> Iterator[None]:
        """Catch what is printed inside a `with` block."""
        self.target = sys.stdout
        with contextlib.redirect_stdout(self), contextlib.redirect_stderr(self):
            yield


def run(
    function: Callable[..., Any], arguments: tuple, names: Sequence[str], printed: Printed
) -> Outcome:
    """Call a learner's function on copies of some arguments, and say what came of it.

    Parameters
    ----------
    function : callable
        The learner's answer.
    arguments : tuple
        What it is called with; the function gets copies.
    names : sequence of str
        What the arguments are called in a sentence.
    printed : Printed
        Where the function's output goes.
    """
    own = copies(arguments)
    try:
        with printed.redirected(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with np.errstate(all="ignore"):
                value = function(*own)
    except KeyboardInterrupt:
        raise
    except NotImplementedError:
        return Outcome(unanswered=True)
    except BaseException as error:  # SystemExit too: an answer must not end the notebook
        where = _where(error, function)
        if "ellipsis" in str(error):
            return Outcome(unanswered=True, complaint=f"there is still a `...`, met{where}")
        return Outcome(complaint=_complaint(error, where, arguments, names))
    if inspect.iscoroutine(value):
        value.close()
        return Outcome(complaint="Your function is an `async def`; a plain `def` is wanted here.")
    if inspect.isgenerator(value):
        return Outcome(complaint="Your function uses `yield`; it is to `return` its result.")
    if value is None and not _is_stub(function):
        return Outcome(complaint="Your function returns nothing: does its last line `return`?")
    if is_unanswered(value):
        return Outcome(unanswered=True)
    return Outcome(value, changed=_changed(arguments, own, names))


def copies(arguments: tuple) -> tuple:
    """Return copies of some arguments, so that whoever gets them may change them."""
    return copy.deepcopy(arguments)


def is_unanswered(value: Any) -> bool:
    """Say whether a value is what a stub leaves: None, `...`, or something with `...` in it.

    A dict of which a part is filled in is an answer where its gaps are texts, "" or "...".
    """
    if value is None or value is Ellipsis or value is NotImplemented:
        return True
    if isinstance(value, str):
        return value.strip() in ("", "...", "…")
    if isinstance(value, dict):
        value = list(value.values())
        if value and all(isinstance(one, str) and is_unanswered(one) for one in value):
            return True
    return isinstance(value, list | tuple) and any(entry is Ellipsis for entry in value)


def not_a_function(answer: Any, name: str, names: Sequence[str]) -> str:
    """Say in one sentence why an answer is not a function of these arguments, or return ""."""
    called = f"`{name}({', '.join(names)})`"
    if not callable(answer):
        return (
            f"The answer is {what_it_is(answer)}; hand over the function {called} itself, "
            f"without calling it."
        )
    try:
        inspect.signature(answer).bind(*names)
    except TypeError:
        taken = ", ".join(inspect.signature(answer).parameters) or "no argument"
        return f"Your function takes {taken}; it is called as {called}."
    except ValueError:  # a builtin that does not tell its signature
        pass
    return ""


@contextlib.contextmanager
def notice_when_slow() -> Iterator[None]:
    """Tell the reader how to stop a function that runs and runs."""

    def notice() -> None:
        page.show_line(
            "note",
            f"Your function has been running for {PATIENCE} seconds. To stop it press ■ above the "
            "notebook, or the key I twice.",
        )

    timer = threading.Timer(PATIENCE, contextvars.copy_context().run, [notice])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _complaint(error: BaseException, where: str, arguments: tuple, names: Sequence[str]) -> str:
    """Say in one sentence which exception stopped the learner's function, and where."""
    if isinstance(error, RecursionError):
        return f"Your function calls itself without end{where}: which call should be the last?"
    if isinstance(error, MemoryError):
        return f"Your function asks for more memory than there is{where}: are the sizes meant?"
    if isinstance(error, SystemExit):
        return f"Your function ends the program{where}: let it `return` instead."
    text = " ".join(str(error).split())
    text = text if len(text) <= 200 else text[:197] + "..."
    kind, called = type(error).__name__, with_inputs("with", arguments, names)
    return (
        f"Your function stops{where} with {kind}{': ' + text if text else ''}"
        f"{'' if text.endswith('.') else '.'}{called and f' It was called{called}.'}"
    )


def _where(error: BaseException, function: Callable[..., Any]) -> str:
    """Return " at line 3 (`a = x @ W`)": the last line of the notebook's own that ran."""
    own = getattr(function, "__globals__", None)
    for frame, number in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_globals is own:
            line = linecache.getline(frame.f_code.co_filename, number).strip()
            return f" at line {number}" + (f" (`{line}`)" if line else "")
    return ""


def _is_stub(function: Callable[..., Any]) -> bool:
    """Say whether a function's body does nothing at all."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    nothing = {"RESUME", "NOP", "POP_TOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE"}
    return all(instruction.opname in nothing for instruction in dis.get_instructions(code))


def _changed(before: tuple, after: tuple, names: Sequence[str]) -> str:
    """Say which argument a function changed, or return ""."""
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if not _equal(old, new):
            name = names[i] if i < len(names) else f"argument {i + 1}"
            return (
                f"your function changes its argument `{name}`, and whoever called it is left "
                f"with other numbers: work on a copy, such as `{name}.copy()`."
            )
    return ""


def _equal(old: Any, new: Any) -> bool:
    """Say whether an argument is what it was; random generators may move on."""
    if isinstance(old, np.ndarray):
        return isinstance(new, np.ndarray) and np.array_equal(old, new, equal_nan=True)
    if isinstance(old, list | tuple):
        return len(old) == len(new) and all(map(_equal, old, new))
    if isinstance(old, dict):
        return old.keys() == new.keys() and all(_equal(old[key], new[key]) for key in old)
    return True
