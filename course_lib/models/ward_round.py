"""A reader's prescriptions carried out: every patient trained with what was prescribed for it.

>>> from course_lib.models.ward_round import treated
>>> learn.check("17-prescriptions", treated({"patient C": "skip connections"}))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from course_lib.checks import shown
from course_lib.models.treatments import TREATMENTS
from course_lib.models.ward import NOTHING, WARD, treat

__all__ = ["NOTHING", "Treated", "treated"]

GAPS = (None, ..., "", "...")  # what stands where nobody has prescribed yet


class Treated(dict):
    """Prescriptions, by patient, with what came of them.

    Attributes
    ----------
    recovered : dict of str to float
        From 0, the trivial answer, to 1, the healthy twin; 0 where a treatment does not apply.
    """

    def __init__(self, prescriptions: dict[str, str], recovered: dict[str, float]) -> None:
        super().__init__(prescriptions)
        self.recovered = recovered


def treated(prescriptions: Any, *, seed: int = 1, say: Callable[[str], None] = print) -> Any:
    """Train every patient with what is prescribed for it, and say in a sentence how it does.

    Parameters
    ----------
    prescriptions : dict
        By patient a name in `TREATMENTS`, or "nothing". What stands in `GAPS` is
        left out; what names no patient or no treatment is said, and left out too.
    seed : int
        As in `ward.treat`.
    say : function
        Gets one sentence a patient, when it is done.

    Returns
    -------
    Treated, or None where nothing is prescribed; whatever else came in, if it is no dict.
    """
    if not isinstance(prescriptions, dict):
        return prescriptions
    kept: dict[str, str] = {}
    recovered: dict[str, float] = {}
    for name, treatment in _readable(prescriptions, say):
        recovery = treat(name, treatment, seed)
        kept[name], recovered[name] = treatment, recovery.recovered
        if treatment == NOTHING:
            say(
                f"{name}, nothing: {recovery.untreated:.0%} of fresh samples are right, "
                f"{recovery.twin:.0%} for the healthy twin. Recovered: {recovery.recovered:.2f}."
            )
        else:
            mark = "✓" if recovery.cured else "·"
            say(f"{mark} {recovery}")
    return Treated(kept, recovered) if kept else None


def _readable(prescriptions: dict[Any, Any], say: Callable[[str], None]) -> Iterator[Any]:
    for name, treatment in prescriptions.items():
        if treatment is None or treatment is ... or _is_gap(treatment):
            continue
        if not isinstance(name, str) or name not in WARD:
            say(f"{shown(name)} is no patient here; there are {', '.join(WARD)}.")
        elif not isinstance(treatment, str) or treatment not in (*TREATMENTS, NOTHING):
            say(f"{name}: {shown(treatment)} is not on the list of treatments.")
        else:
            yield name, treatment


def _is_gap(treatment: Any) -> bool:
    return isinstance(treatment, str) and treatment in GAPS
