"""Parts of a chapter that run on their own: some cells, and the earlier cells whose names they use.

Explorers, quizzes and exercises can so be tried without the training runs around them. Which cell
needs which is read from the names in the code: a cell is needed when it binds, or changes in place,
a name that a needed cell uses.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable

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
    if not chosen:
        return []
    end = max(chosen)
    code = {i: cell.source for i, cell in enumerate(cells[:end]) if cell.cell_type == "code"}
    binds = {place: bound(source) for place, source in code.items()}
    new = set(chosen)
    while new:
        found = set()
        for place in new:
            if cells[place].cell_type != "code":
                continue
            now, later = used(cells[place].source)
            found |= {i for i in binds if (i < place and binds[i] & now) or binds[i] & later}
        new = found - chosen
        chosen |= new
    return [cells[place] for place in sorted(chosen)]


def bound(source: str) -> set[str]:
    """Return the names that a cell binds or changes in place when it runs."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= _base(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            names |= _base(node.func) if node.func.attr in CHANGES_IN_PLACE else set()
    return names


def used(source: str) -> tuple[set[str], set[str]]:
    """Return the names that a cell reads when it runs, and those that its functions read later."""
    tree = ast.parse(source)
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    bodies = [node for node in ast.walk(tree) if isinstance(node, functions)]
    later = {node for body in bodies for node in ast.walk(body)}
    names = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    return {n.id for n in names if n not in later}, {n.id for n in names if n in later}


def _base(node: ast.expr) -> set[str]:
    while isinstance(node, ast.Subscript | ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return {node.id} if isinstance(node, ast.Name) else set()
