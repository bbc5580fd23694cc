"""Parts of a chapter that run on their own: some cells, and the earlier cells whose names they use.

Explorers, quizzes and exercises can so be tried without the training runs around them. Which cell
needs which is read from the names in the code: a cell is needed when it binds, or changes in place,
a name that a needed cell reads.
"""

from __future__ import annotations

import ast
import symtable
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from course_lib.commands.chapters import Notebook

CHANGES_IN_PLACE = frozenset(
    {"append", "add", "clear", "extend", "fill", "insert", "pop", "setdefault", "sort", "update"}
)


def calls(cell: Notebook, *functions: str) -> bool:
    """Return whether a code cell calls one of `functions`, written as ``"show.explore"``."""
    if cell.cell_type != "code":
        return False
    nodes = ast.walk(ast.parse(cell.source))
    return any(isinstance(n, ast.Call) and ast.unparse(n.func) in functions for n in nodes)


@dataclass(frozen=True)
class Names:
    """The global names of one cell, by what it does with them.

    `bound` are assigned, defined or imported; `changed` are changed in place (``rows.append``);
    `read` are needed when the cell runs; `read_later` only when a function of it is called.
    """

    bound: frozenset[str]
    changed: frozenset[str]
    read: frozenset[str]
    read_later: frozenset[str]


def needed(cells: Iterable[Notebook], wanted: Callable[[Notebook], bool]) -> list[Notebook]:
    """Return the wanted cells and all that they need, in order.

    Parameters
    ----------
    cells : iterable of cells
        Of a chapter; only code cells can be needed by others.
    wanted : callable
        `wanted(cell) -> bool`.
    """
    cells = list(cells)
    chosen = {place for place, cell in enumerate(cells) if wanted(cell)}
    names = {i: names_of(cell.source) for i, cell in enumerate(cells) if cell.cell_type == "code"}
    new = set(chosen)
    while new:
        found: set[int] = set()
        for place in new & names.keys():
            for name in names[place].read:
                found |= _makers(name, place, names)
            for name in names[place].read_later:  # by the time it is called any cell may have run
                found |= {i for i in names if i <= max(chosen) and name in names[i].bound}
                found |= {i for i in names if i <= max(chosen) and name in names[i].changed}
        new = found - chosen
        chosen |= new
    return [cells[place] for place in sorted(chosen)]


def _makers(name: str, place: int, names: dict[int, Names]) -> set[int]:
    """Return the cells that make what `name` stands for when the cell at `place` begins."""
    makers = set()
    for earlier in sorted((i for i in names if i < place), reverse=True):
        if name in names[earlier].changed | names[earlier].bound:
            makers.add(earlier)
        if name in names[earlier].bound:
            break
    return makers


def names_of(source: str) -> Names:
    """Return the global names that a cell binds, changes and reads."""
    top = symtable.symtable(source, "cell", "exec")
    bound = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    bound |= {s.get_name() for s in top.get_symbols() if s.is_namespace()}
    read = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    later = set()
    for table, is_called_later in _scopes(top):
        found = {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        if is_called_later:
            later |= found
        else:
            read |= found
    changed = _changed_in_place(source) & (bound | read | later)
    return Names(*map(frozenset, (bound, changed, read, later)))


def _scopes(table: symtable.SymbolTable, later: bool = False) -> Iterator[tuple]:
    """Yield every scope within a scope, and whether its code runs only when it is called."""
    for inner in table.get_children():
        at_once = inner.get_type() == "class" or inner.get_name().endswith(("comp", "genexpr"))
        yield inner, later or not at_once
        yield from _scopes(inner, later or not at_once)


def _changed_in_place(source: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= _base(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names |= _base(node.func) if node.func.attr in CHANGES_IN_PLACE else set()
    return names


def _base(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Subscript | ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()
