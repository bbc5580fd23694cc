"""Codes: the characters of a text as whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import shown

Codes = NDArray[np.int64]


def as_codes(name: str, value: Any, size: int | None = None, *, shortest: int = 0) -> Codes:
    """Return `value` as a vector of codes from 0 to `size` − 1, or say what is wrong with it.

    Parameters
    ----------
    name : str
        The argument's name.
    value : array_like of whole numbers
    size : int, optional
        The number of characters there are; unless given, every code from 0 on will do.
    shortest : int
        How many codes there must be.
    """
    takes = "codes of characters, whole numbers in a vector"
    try:
        codes = np.asarray(value)
    except ValueError:
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.") from None
    if codes.dtype.kind not in "iu" and codes.size:
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.")
    if codes.ndim != 1:
        raise ValueError(f"`{name}` has shape {codes.shape}; it takes {takes}.")
    if len(codes) < shortest:
        raise ValueError(f"`{name}` has {len(codes)} characters; it takes {shortest} or more.")
    wrong = codes[(codes < 0) | (codes > (np.inf if size is None else size - 1))]
    if wrong.size:
        known = "0 or more" if size is None else f"0 to {size - 1}"
        raise ValueError(f"`{name}` holds {wrong[0]}; the codes are {known}.")
    return codes.astype(np.int64)
