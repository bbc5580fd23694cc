"""Refuse bad input with one sentence: the argument, what it got, what it takes.

Every floor of the course uses these helpers, so that a wrong argument is answered in the same
words everywhere: "`depth` is 2.5; it takes a whole number, 1 or more." A value of the wrong kind
raises `TypeError`, a wrong value of the right kind `ValueError`. For a page, `inline` sets what
stands in backticks as code. NumPy only.
"""

from __future__ import annotations

import html
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

T = TypeVar("T")

_SHOWN_BY_VALUE = (type(None), bool, int, float, complex, str, bytes, list, tuple, dict, set)
_BY_NDIM = {0: "a number", 1: "a vector of numbers", 2: "a matrix of numbers"}


class UnknownNameError(KeyError, ValueError):
    """A name that a `Registry` does not hold; its text is the sentence, without quotes."""

    def __str__(self) -> str:
        return str(self.args[0])


class Registry(Mapping[str, T]):
    """A read-only dictionary that answers an unknown name with the names it knows.

    Parameters
    ----------
    argument : str
        What a name stands for, as the sentence should call it ("activation").
    entries : mapping
        The objects by name.
    """

    def __init__(self, argument: str, entries: Mapping[str, T]) -> None:
        self._argument = argument
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[one_of(self._argument, name, self._entries)]
        except ValueError as error:
            raise UnknownNameError(str(error)) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<{self._argument}: {', '.join(self)}>"


def shown(value: object) -> str:
    """Return `value` as a sentence can show it: on one line, short, its type if that says more."""
    if isinstance(value, np.ndarray) and value.ndim:
        return f"an array of shape {value.shape} and type {value.dtype}"
    if isinstance(value, (np.generic, np.ndarray)):
        return str(value)
    if isinstance(value, _SHOWN_BY_VALUE):
        return " ".join(reprlib.repr(value).split())
    name = getattr(value, "__name__", None)
    return _a(type(value).__name__) + (f" ({name})" if name else "")


def inline(text: str) -> str:
    """Return `text` as HTML: escaped, with what stands in backticks set as code."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # an unpaired backtick is a backtick
        return html.escape(text)
    return "".join(
        f"<code>{html.escape(piece)}</code>" if i % 2 else html.escape(piece)
        for i, piece in enumerate(pieces)
    )


def as_array(
    name: str,
    value: object,
    *,
    ndim: int | None = None,
    shape: tuple[int, ...] | None = None,
    finite: bool = True,
    dtype: DTypeLike | None = np.float64,
    takes: str | None = None,
) -> NDArray[Any]:
    """Return `value` as an array of floats, or say what is wrong with it.

    Parameters
    ----------
    name : str
        The argument's name.
    value : array_like of numbers
        What the caller passed. Strings, complex numbers and ragged lists are refused.
    ndim, shape : optional
        The number of dimensions, or the whole shape, that it must have.
    finite : bool
        Whether NaN and infinity are refused.
    dtype : optional
        The type of the result; ``None`` keeps float16, float32 and float64 as they are.
    takes : str, optional
        What the sentence says after "it takes", e.g. "a matrix of shape (batch, units)".

    Raises
    ------
    TypeError
        If `value` does not consist of real numbers.
    ValueError
        If it is empty, has the wrong shape, or is not finite.
    """
    takes = takes or _default_takes(ndim, shape)
    try:
        array = np.asarray(value)
    except Exception:  # ragged lists, symbolic tensors: whatever NumPy cannot read
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.") from None
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.")
    if dtype is None:
        dtype = array.dtype if array.dtype in (np.float16, np.float32) else np.float64
    wrong_shape = shape is not None and array.shape != tuple(shape)
    if wrong_shape or (ndim is not None and array.ndim != ndim):
        raise ValueError(f"`{name}` has shape {array.shape}; it takes {takes}.")
    if array.size == 0:
        raise ValueError(f"`{name}` is empty, of shape {array.shape}; it takes {takes}.")
    if finite and not np.isfinite(array).all():
        raise ValueError(f"`{name}` {_what_is_not_finite(array)}; it takes finite numbers.")
    with np.errstate(over="ignore"):  # 1e6 as float16 is inf, as it would be in the network
        return array.astype(dtype, copy=False)


def as_matrix(
    name: str,
    value: object,
    *,
    ndim: int | None = None,
    finite: bool = True,
    takes: str | None = None,
) -> NDArray[np.float64]:
    """Return `value` as a float64 matrix, or as an array of `ndim` dimensions; see `as_array`."""
    return as_array(name, value, ndim=2 if ndim is None else ndim, finite=finite, takes=takes)


def number(
    name: str,
    value: object,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    takes: str | None = None,
) -> float:
    """Return `value` as a float if it is one finite number from `minimum` to `maximum`.

    Raises
    ------
    TypeError
        If `value` is no real number (`True` is none, a 0-d array of one number is).
    ValueError
        If it is NaN, infinite or outside the range.
    """
    takes = takes or "a finite number" + _range(minimum, maximum)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.")
    try:
        result = float(value)
    except OverflowError:  # a whole number beyond 1e308
        result = np.inf
    if not (np.isfinite(result) and minimum <= result <= maximum):
        raise ValueError(f"`{name}` is {shown(value)}; it takes {takes}.")
    return result


def positive_number(name: str, value: object) -> float:
    """Return `value` as a float if it is one finite number above 0."""
    takes = "a finite number above 0"
    result = number(name, value, takes=takes)
    if result <= 0:
        raise ValueError(f"`{name}` is {shown(value)}; it takes {takes}.")
    return result


def positive_int(name: str, value: object, *, minimum: int = 1, maximum: int | None = None) -> int:
    """Return `value` as an int if it is a whole number from `minimum` to `maximum`.

    Raises
    ------
    TypeError
        If `value` is no integer (2.0 and `True` are none, NumPy's integers are).
    ValueError
        If it is outside the range.
    """
    upper = np.inf if maximum is None else maximum
    takes = "a whole number" + _range(minimum, upper)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.")
    if not minimum <= int(value) <= upper:
        raise ValueError(f"`{name}` is {shown(value)}; it takes {takes}.")
    return int(value)


def one_of(name: str, value: object, options: Iterable[T]) -> T:
    """Return `value` if it is one of `options`, else say which there are and which was meant."""
    known = list(options)
    if isinstance(value, np.str_):  # an entry of an array of names
        value = str(value)
    for option in known:
        if type(option) is type(value) and option == value:
            return option
    listed = ", ".join(str(option) for option in known)
    raise ValueError(f"`{name}` is {shown(value)}; it takes one of {listed}{_meant(value, known)}.")


def function(name: str, value: object, takes: str = "a function") -> Callable[..., Any]:
    """Return `value` if it can be called."""
    if not callable(value):
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.")
    return value


def generator(name: str, value: object) -> np.random.Generator:
    """Return `value` if it is a NumPy random generator."""
    if not isinstance(value, np.random.Generator):
        raise TypeError(
            f"`{name}` is {shown(value)}; it takes a NumPy generator, "
            "such as `np.random.default_rng(1)`."
        )
    return value


def instance(name: str, value: object, kind: type[T], takes: str) -> T:
    """Return `value` if it is an instance of `kind`; `takes` says in words what that is."""
    if not isinstance(value, kind):
        raise TypeError(f"`{name}` is {shown(value)}; it takes {takes}.")
    return value


def _a(noun: str) -> str:
    return f"an {noun}" if noun[:1] in set("AEIOaeio") else f"a {noun}"


def _default_takes(ndim: int | None, shape: tuple[int, ...] | None) -> str:
    if shape is not None:
        return f"numbers of shape {tuple(shape)}"
    if ndim is None:
        return "numbers, in an array of any shape"
    return _BY_NDIM.get(ndim, f"an array of numbers with {ndim} dimensions")


def _range(minimum: float, maximum: float) -> str:
    if np.isfinite(minimum) and np.isfinite(maximum):
        return f" from {minimum} to {maximum}"
    if np.isfinite(minimum):
        return f", {minimum} or more"
    if np.isfinite(maximum):
        return f", {maximum} or less"
    return ""


def _what_is_not_finite(array: NDArray[Any]) -> str:
    if array.ndim == 0:
        return f"is {array}"
    where = np.argwhere(~np.isfinite(array))
    first = tuple(int(i) for i in where[0])
    place = ", ".join(map(str, first))
    return f"holds {array[first]} at [{place}] ({len(where)} of {array.size} entries not finite)"


def _meant(value: object, known: list[Any]) -> str:
    import difflib  # only when something went wrong: it is slow to import

    names = [option for option in known if isinstance(option, str)]
    if not isinstance(value, str) or not names:
        return ""
    close = difflib.get_close_matches(value.lower(), names, n=1)
    return f" (perhaps {close[0]})" if close else ""
