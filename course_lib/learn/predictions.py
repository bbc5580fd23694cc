"""Predictions: commit to an answer first, then see what the measurement says."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from course_lib.learn import page
from course_lib.learn.claims import one_figure
from course_lib.learn.progress import load, record
from course_lib.learn.question import Question

_choices: dict[str, tuple[str, ...]] = {}  # what this kernel has asked, by prediction
_answers: dict[str, float | str] = {}  # what the reader has predicted in it


def predict(
    id: str, question: str, *, choices: Sequence[str] | None = None, unit: str | None = None
) -> None:
    """Ask for a prediction: a number, or one of some choices.

    Parameters
    ----------
    id : str
        "01-thirty-layers"; `reveal` names it again.
    question : str
        One question.
    choices : sequence of str, optional
        Two to six answers to choose from; without it a number is asked for.
    unit : str, optional
        What stands after the field for the number.
    """
    page.check_id("id", id)
    page.check_text("question", question)
    if choices is not None and (isinstance(choices, str) or not 2 <= len(choices) <= 6):
        raise ValueError(f"`choices` is {choices!r}; it takes two to six texts.")
    ask(id, question, [str(choice) for choice in choices or ()], unit or "").show()


def ask(id: str, question: str, choices: Sequence[str] = (), unit: str = "") -> Question:
    """Return the widget that asks for a prediction and notes each answer that it gets."""
    _choices[id] = tuple(choices)
    asked = Question(question, choices=choices, unit=unit)
    earlier = _prediction(id)
    if earlier is not None:
        asked.say("note", f"Earlier you predicted {_told(earlier)}. You may change your mind.")

    def take(answer: Any) -> None:
        prediction = choices[answer] if choices else parse_number(answer)
        if prediction is None:
            asked.say("wrong", f"“{answer}” is no number: write it as 0.25 or as 1e-19.")
            return
        _answers[id] = prediction
        record(id, "predictions", answer=prediction)
        asked.say("note", f"Noted: {_told(prediction)}. Read on; the measurement will tell.")

    asked.on_answer(take)
    return asked


def reveal(id: str, measured: float | str, explanation: str | None = None) -> None:
    """Show the reader's prediction beside the measurement, and kindly how far off it was.

    Parameters
    ----------
    id : str
        The id that `predict` was given.
    measured : number or str
        What was measured; for a prediction with choices the right choice, as it was worded.
    explanation : str, optional
        One or two sentences to add.
    """
    page.check_id("id", id)
    value = one_figure("measured", measured)
    choices = _choices.get(id, ())
    if choices and value not in choices:
        raise ValueError(f"`measured` is {value!r}; the choices were {page.listed(choices)}.")
    prediction, kind = _prediction(id), "note"
    if prediction is None:
        sentence = f"Measured: {_told(value)}. You made no prediction this time."
    elif isinstance(value, str) or isinstance(prediction, str):
        kind = "right" if prediction == value else "note"
        agree = "and so it is" if prediction == value else f"the measurement says {value}"
        sentence = f"You predicted {prediction}; {agree}."
    else:
        kind, distance = how_far(prediction, value)
        sentence = f"You predicted {_told(prediction)}, measured is {_told(value)}: {distance}."
    page.show_line(kind, " ".join(filter(None, [sentence, explanation])))


def parse_number(text: Any) -> float | None:
    """Return the number that a reader typed: 0.25, 0,25, 1e-19, 10^-19, 4 %, 1/4; or None."""
    text = str(text).strip().replace("−", "-").replace(" ", "").replace("**", "^")
    text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    percent = text.endswith("%")
    text = text.rstrip("%")
    try:
        power = re.fullmatch(r"(?:([-+]?[\d.]+)[x*×·])?10\^\(?([-+]?\d+)\)?", text)
        if power:
            value = float(power[1] or 1) * 10.0 ** int(power[2])
        elif "/" in text:
            above, below = text.split("/")
            value = float(above) / float(below)
        else:
            value = float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    if math.isnan(value):
        return None
    return value / 100 if percent else value


def how_far(prediction: float, measured: float) -> tuple[str, str]:
    """Return the kind of line, and in words how far a prediction is from a measurement."""
    if prediction == measured:
        return "right", "spot on"
    if prediction < 0 < measured or measured < 0 < prediction:
        return "note", "the sign is the other way round"
    if 0 in (prediction, measured) or not math.isfinite(prediction) or not math.isfinite(measured):
        return "note", "further apart than a factor can say"
    decades = math.log10(abs(prediction)) - math.log10(abs(measured))
    way = "too large" if decades > 0 else "too small"
    if abs(decades) >= 3:
        return "note", f"{abs(decades):.0f} powers of ten {way}, which is what products do"
    times = max(prediction / measured, measured / prediction)
    if times <= 1.1:
        return "right", "as close as one can ask for"
    if times <= 2:
        return "right", f"close, {page.figure_text(float(f'{times:.2g}'))} times {way}"
    return "note", f"{page.figure_text(float(f'{times:.2g}'))} times {way}"


def _prediction(id: str) -> float | str | None:
    """Return what the reader predicted, in this kernel or an earlier one."""
    if id in _answers:
        return _answers[id]
    return load(id[:2])["predictions"].get(id, {}).get("answer")


def _told(value: float | str) -> str:
    return page.figure_text(value)
