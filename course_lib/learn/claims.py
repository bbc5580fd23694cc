"""Claims: a sentence, the figure that was measured for it, and whether it holds.

Nothing is believed, everything is measured: each quantitative sentence of a chapter is a claim
cell. A claim is *exact* (no seed in it), a *bound* (holds for every seed that was tried, with
room) or a *rate* ("10 of 10 runs", the seeds inside the cell).
"""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from course_lib import checks
from course_lib.learn import page

CLAIM_KINDS = ("exact", "bound", "rate")

_measured: dict[str, Measured] = {}  # what this kernel has measured, by claim
_file_name = f"{uuid.uuid4().hex}.jsonl"  # one file a process


class ClaimFailed(AssertionError):  # noqa: N818 -- named as a reader would say it
    """A claim does not hold, and `COURSE_STRICT=1` asks for that to be an error."""


@dataclass(frozen=True)
class Measured:
    """One claim as this kernel measured it."""

    id: str
    sentence: str
    measured: float | int | bool | str
    condition: str
    kind: str
    holds: bool
    settles: tuple[str, ...]
    limits: tuple[float | None, float | None] = (None, None)  # below and above it
    room: float | None = None  # the factor by which it is inside them, where there is one


def seed() -> int:
    """Return the seed of the whole course: `COURSE_SEED`, or 1."""
    text = os.environ.get("COURSE_SEED", "1")
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not 0 <= value < 2**32:
        raise ValueError(f"COURSE_SEED is {text!r}; it takes a whole number from 0 to 4294967295.")
    return value


def claim(
    id: str,
    sentence: str,
    measured: float | int | bool | str,
    *,
    below: float | None = None,
    above: float | None = None,
    between: tuple[float, float] | None = None,
    equals: float | int | bool | str | None = None,
    tolerance: float | None = None,
    kind: str = "exact",
    settles: str | Sequence[str] = (),
) -> None:
    """Print a sentence with the figure measured for it, a tick, and the ledger items it settles.

    Where it does not hold, as when a reader has changed the parameters, it says so kindly; under
    `COURSE_STRICT=1` it raises. Exactly one of `below`, `above`, `between` and `equals` is given.

    Parameters
    ----------
    id : str
        Number of the chapter and a name, "01-sigmoid-30-layers", used once in the course.
    sentence : str
        One sentence with one number and its condition; `{measured}` (or `{measured:.2f}`) stands
        for the figure. Without it the figure is added in brackets.
    measured : number, bool or str
        What this notebook has measured. A text or a bool goes with `equals` alone.
    below, above : float
        `measured < below`, `measured > above`.
    between : (float, float)
        `low <= measured <= high`.
    equals, tolerance : optional
        `|measured - equals| <= tolerance · |equals|` (absolute where `equals` is 0); without a
        tolerance they must be equal.
    kind : str
        "exact" (no random number in it), "bound" (holds for every seed) or "rate" (a count).
    settles : str or sequence of str
        The ids of the ledger items that this claim settles.

    Raises
    ------
    ClaimFailed
        Under `COURSE_STRICT=1`, when it does not hold.
    TypeError, ValueError
        When an argument is no good.
    """
    page.check_id("id", id)
    page.check_text("sentence", sentence)
    checks.one_of("kind", kind, CLAIM_KINDS)
    value = one_figure("measured", measured)
    holds, condition = _judge(value, below, above, between, equals, tolerance)
    low, high = (above, below) if between is None else between
    limits = (_plain(low), _plain(high))
    result = Measured(
        id,
        page.fill_in(sentence, value),
        value,
        condition,
        kind,
        holds,
        _ledger_ids(settles),
        limits,
        _room(value, limits),
    )
    _measured[id] = result
    _append(result)
    if holds:
        page.show_line("holds", result.sentence, small=", ".join(result.settles))
        return
    complaint = (
        f"This does not hold here: “{result.sentence}” "
        f"Measured: {page.figure_text(value)}; needed: {condition}."
    )
    if page.is_strict():
        raise ClaimFailed(f"{id}: {complaint}")
    page.show_line(
        "fails",
        f"{complaint} If you have changed a parameter, that is what they are for, and you have "
        "found where the sentence ends. With the parameter put back it holds again.",
        small=", ".join(result.settles),
    )


def measured_claims() -> list[Measured]:
    """Return what this kernel has measured so far, in the order of the cells run."""
    return list(_measured.values())


def forget() -> None:
    """Forget every figure that this kernel has measured."""
    _measured.clear()


def one_figure(name: str, value: object) -> float | int | bool | str:
    """Return `value` as a plain Python number, bool or text, or say that it is not one."""
    if isinstance(value, bool | int | float | str):
        return value
    try:
        array = np.asarray(value)
    except Exception:  # ragged lists, symbolic tensors: whatever NumPy cannot read
        array = np.empty(0)
    if array.size != 1 or array.dtype.kind not in "biufU":
        raise TypeError(
            f"`{name}` is {checks.shown(value)}; it takes one figure, such as the largest entry "
            "of an array."
        )
    return array.reshape(()).item()


def _judge(
    value: float | int | bool | str,
    below: float | None,
    above: float | None,
    between: tuple[float, float] | None,
    equals: float | int | bool | str | None,
    tolerance: float | None,
) -> tuple[bool, str]:
    """Return whether the one condition that is given holds, and that condition in words."""
    conditions = {"below": below, "above": above, "between": between, "equals": equals}
    given = [name for name, limit in conditions.items() if limit is not None]
    if len(given) != 1:
        got = page.listed(f"`{name}`" for name in given) or "none"
        raise ValueError(
            f"a claim takes exactly one of `below`, `above`, `between` and `equals`; it got {got}."
        )
    if tolerance is not None and equals is None:
        raise ValueError("`tolerance` goes with `equals`.")
    text = page.figure_text
    if equals is not None:
        wanted = one_figure("equals", equals)
        if tolerance is None:
            return value == wanted and _is_number(value) == _is_number(wanted), f"{text(wanted)}"
        target, number = _number("equals", wanted), _number("measured", value, nan=True)
        allowed = _number("tolerance", tolerance) * (abs(target) or 1.0)
        near = number == target or abs(number - target) <= allowed
        return near, f"{text(wanted)}, give or take {text(allowed)}"
    number = _number("measured", value, nan=True)
    if below is not None:
        return number < _number("below", below), f"below {text(below)}"
    if above is not None:
        return number > _number("above", above), f"above {text(above)}"
    try:
        low, high = (_number("between", limit) for limit in between)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        low, high = 1.0, 0.0
    if low > high:
        raise ValueError(f"`between` is {checks.shown(between)}; it takes a pair (low, high).")
    return low <= number <= high, f"between {text(low)} and {text(high)}"


def _room(
    value: float | int | bool | str, limits: tuple[float | None, float | None]
) -> float | None:
    """Return the factor by which a figure is inside its limits, below 1 where it is outside.

    None where there is no limit, or no finite factor leads to it, as where one of the two is not
    positive.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    low, high = limits
    ratios = [(high, value)] if high is not None else []
    ratios += [(value, low)] if low is not None else []
    if not ratios or not all(a > 0 and b > 0 for a, b in ratios):
        return None
    room = min(a / b for a, b in ratios)
    return room if math.isfinite(room) else None


def _plain(limit: float | None) -> float | None:
    return None if limit is None else float(limit)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(name: str, value: object, *, nan: bool = False) -> float:
    """Return `value` as a float; infinity is one, NaN only where it may be measured."""
    figure = one_figure(name, value)
    if not _is_number(figure) or (math.isnan(float(figure)) and not nan):
        raise TypeError(f"`{name}` is {checks.shown(value)}; it takes a number.")
    return float(figure)


def _ledger_ids(settles: str | Sequence[str]) -> tuple[str, ...]:
    """Return the ids of ledger items, each of which exists."""
    ids = (settles,) if isinstance(settles, str) else tuple(settles)
    if ids:
        from course_lib.learn.ledger import ledger  # reads a file: only where it is needed

        known = ledger()
        for item in ids:
            if item not in known:
                raise ValueError(f"`settles` has {item!r}; the ledger has no item of that id.")
    return ids


def _append(result: Measured) -> None:
    """Append the claim to the folder that `COURSE_CLAIMS` names, if it does."""
    folder = os.environ.get("COURSE_CLAIMS")
    if not folder:
        return
    row = asdict(result) | {"seconds": round(time.time(), 3)}
    if isinstance(row["measured"], float) and not math.isfinite(row["measured"]):
        row["measured"] = str(row["measured"])  # JSON has no inf and no NaN
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (Path(folder) / _file_name).open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
