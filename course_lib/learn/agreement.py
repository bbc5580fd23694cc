"""Several witnesses, one gradient, and by how much they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import positive_number
from course_lib.learn import page
from course_lib.learn.claims import claim

__all__ = ["agree", "largest_difference"]


def agree(
    id: str,
    what: str,
    witnesses: Mapping[str, Any],
    *,
    tolerance: float = 1e-6,
    settles: str | Sequence[str] = (),
) -> None:
    """Print how far each witness is from the first, in one line, and claim that it is not far.

    Parameters
    ----------
    id : str
        Of the claim, such as "01-backward-checked".
    what : str
        What the witnesses were asked: "The gradient of every weight".
    witnesses : mapping of name to array, or to a list of arrays
        At least two, all of the same shapes. The first is the one in question.
    tolerance : float
        The largest difference allowed, relative to the largest entry of the first witness.
    settles : str or sequence of str
        The ids of the ledger items that this settles.

    Raises
    ------
    ClaimFailed
        Under `COURSE_STRICT=1`, when they do not agree.
    TypeError, ValueError
        When there is nothing to compare; the sentence names the witness.
    """
    if not isinstance(witnesses, Mapping) or len(witnesses) < 2:
        raise ValueError(
            "`witnesses` takes a dictionary with at least two, such as "
            '{"ours": gradient, "the tape": tape.gradient(loss, W)}.'
        )
    positive_number("tolerance", tolerance)
    (first, reference), *others = witnesses.items()
    differences = {
        name: largest_difference(first, reference, name, answer) for name, answer in others
    }
    worst = max(differences, key=lambda name: differences[name])
    agreeing = [
        f"{name} to " + ("{measured:.1e}" if name == worst else f"{difference:.1e}")
        for name, difference in differences.items()
    ]
    claim(
        id,
        f"{what}: {first} equals {page.listed(agreeing)}, relative to the largest entry.",
        differences[worst],
        below=tolerance,
        kind="exact",
        settles=settles,
    )


def largest_difference(first: str, reference: Any, name: str, answer: Any) -> float:
    """Return max|answer − reference| / max|reference| over all entries of all arrays.

    0 where both are exactly 0 everywhere; infinite where an entry is not finite in one only.

    Raises
    ------
    TypeError, ValueError
        When the shapes differ or an entry is no number.
    """
    expected, got = _arrays(first, reference), _arrays(name, answer)
    if [e.shape for e in expected] != [g.shape for g in got]:
        raise ValueError(
            f"“{name}” has shapes {_shapes(got)} and “{first}” has {_shapes(expected)}; "
            "they take the same shapes in the same order."
        )
    scale = max((np.abs(e).max(initial=0.0) for e in expected), default=0.0)
    difference = max(
        (np.abs(g - e).max(initial=0.0) for g, e in zip(got, expected, strict=True)), default=0.0
    )
    if not np.isfinite(scale) or not np.isfinite(difference):
        return float("inf")
    if difference == 0:
        return 0.0
    return float(difference / scale) if scale else float("inf")


def _arrays(name: str, answer: Any) -> list[NDArray[np.float64]]:
    """Return one array, or a list of them, as float64 arrays."""
    parts = answer if isinstance(answer, list | tuple) else [answer]
    try:
        return [np.asarray(part, dtype=np.float64) for part in parts]
    except (TypeError, ValueError):
        raise TypeError(
            f"“{name}” has an entry that is no array of numbers; "
            "it takes an array or a list of arrays."
        ) from None


def _shapes(arrays: list[NDArray[np.float64]]) -> str:
    return page.listed(str(array.shape) for array in arrays)
