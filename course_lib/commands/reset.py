"""`python -m course_lib reset NN`: put a chapter back as it was, and keep the reader's version.

Standard library alone. The chapter comes from git; where the course was unpacked from an archive
there is no git, and set-up kept a copy of each chapter in `.originals` before it was opened.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from course_lib.commands import environment

ORIGINALS = ".originals"
CHAPTER = re.compile(r"(\d\d)_[a-z0-9_]+\.ipynb")


def main(arguments: Sequence[str]) -> int:
    """Restore the chapters that are named; return 0 when all of them could be."""
    parser = argparse.ArgumentParser(
        prog="python -m course_lib reset",
        description="Put chapters back as they were; your versions are kept beside them.",
    )
    parser.add_argument("chapters", nargs="+", metavar="NN", help="a chapter's number, such as 01")
    worst = 0
    for number in parser.parse_args(arguments).chapters:
        try:
            print(restore(number))
        except LookupError as error:
            print(error.args[0])
            worst = 1
    return worst


def restore(number: str, root: Path | None = None) -> str:
    """Put one chapter back and return a sentence that says what was done.

    Raises
    ------
    LookupError
        When there is no such chapter, or nothing to restore it from.
    """
    root = root or environment.ROOT
    known = originals(root)
    wanted = number.zfill(2)
    names = [name for name in known if name.startswith(wanted + "_")]
    if not names:
        chapters = ", ".join(sorted(name[:2] for name in known)) or "none"
        raise LookupError(
            f"There is no chapter {number!r} to restore; git or {ORIGINALS} has: {chapters}."
        )
    name = names[0]
    place, (source, original) = root / "notebooks" / name, known[name]
    if place.is_file() and place.read_bytes() == original:
        return f"notebooks/{name} is as it was: nothing to do."
    kept = ""
    if place.is_file():
        mine = place.with_name(f"{place.stem}-mine-{time.strftime('%Y-%m-%d-%H%M%S')}.ipynb")
        shutil.copy2(place, mine)
        kept = f"; your version is kept as notebooks/{mine.name}"
    temporary = place.with_name(name + ".new")
    place.parent.mkdir(exist_ok=True)
    temporary.write_bytes(original)
    temporary.replace(place)
    return f"notebooks/{name} is restored from {source}{kept}. Reload the page if it is open."


def originals(root: Path) -> dict[str, tuple[str, bytes]]:
    """Return, for each chapter, where its original is and its bytes."""
    listed = _git(root, "ls-tree", "-r", "--name-only", "HEAD", "notebooks/")
    if listed is not None:
        names = [Path(line).name for line in listed.decode().splitlines()]
        return {
            name: ("git", _git(root, "show", f"HEAD:notebooks/{name}") or b"")
            for name in names
            if CHAPTER.fullmatch(name)
        }
    kept = sorted((root / ORIGINALS).glob("*.ipynb"))
    source = "the copy that set-up kept (there is no git here)"
    return {place.name: (source, place.read_bytes()) for place in kept}


def keep_originals(root: Path) -> None:
    """Where there is no git, keep each chapter as it came; a copy that is there stays as it is."""
    if _git(root, "ls-tree", "HEAD", "notebooks/") is not None:
        return
    for place in (root / "notebooks").glob("*.ipynb"):
        copy = root / ORIGINALS / place.name
        if CHAPTER.fullmatch(place.name) and not copy.exists():
            copy.parent.mkdir(exist_ok=True)
            shutil.copy2(place, copy)


def _git(root: Path, *arguments: str) -> bytes | None:
    """Return what git prints, or None where git is missing or the folder is not a clone itself."""
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout
