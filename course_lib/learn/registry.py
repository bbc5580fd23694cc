"""Find what the chapters registered: one module a chapter, one list in it."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def chapters_in(path: Iterable[str]) -> list[str]:
    """Return the chapters ("01") that have a module `chapter_NN` in a package's path."""
    names = (module.name for module in pkgutil.iter_modules(path))
    return sorted(name[-2:] for name in names if re.fullmatch(r"chapter_\d\d", name))


def entries(module: str, name: str) -> tuple[Any, ...]:
    """Return the list of that name in a module, or nothing where there is no such module."""
    if importlib.util.find_spec(module) is None:
        return ()
    return tuple(getattr(importlib.import_module(module), name))


def find_by_id(id: str, candidates: Sequence[T], noun: str) -> T:
    """Return the candidate with that id, or say in a sentence which was meant."""
    by_id = {candidate.id: candidate for candidate in candidates}  # type: ignore[attr-defined]
    if id in by_id:
        return by_id[id]
    close = difflib.get_close_matches(id, by_id, n=1, cutoff=0)
    meant = f"; did you mean {close[0]!r}?" if close else f": chapter {id[:2]} has none."
    raise ValueError(f"there is no {noun} {id!r}{meant}")
