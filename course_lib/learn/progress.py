"""What a reader has done so far: one small file a chapter, in `.progress/`, on this machine only.

Git ignores the folder; delete it and the course starts afresh. In CI, under `COURSE_STRICT=1` and
where the folder cannot be written, nothing is kept and everything works without.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from course_lib.learn import page
from course_lib.show.tables import table

FOLDER = ".progress"
PARTS = ("exercises", "quizzes", "predictions")
HEADER = ("Chapter", "Exercises right", "Quiz questions right", "Predictions made")


def progress() -> None:
    """Show how far the reader has come, chapter by chapter."""
    place = _folder()
    if place is None:
        page.show_line("note", "Nothing is kept here, so there is no progress to show.")
        return
    rows = [row for chapter in _chapters(place) if any((row := _row(chapter))[1:])]
    if not rows:
        page.show_line("note", "Nothing yet: answer a prediction, a quiz or an exercise first.")
        return
    overview = table(rows, HEADER, "What you have done so far")
    page.display_both(overview._repr_html_(), str(overview))


def record(id: str, part: str, **facts: Any) -> None:
    """Keep what the reader did with one prediction, quiz or exercise, if it can be kept.

    Parameters
    ----------
    id : str
        "01-factor-per-layer".
    part : str
        "exercises", "quizzes" or "predictions".
    **facts
        What to keep. `right=True` stays, once it was reached.
    """
    place = _folder()
    if place is None or not _is_kept():
        return
    chapter = load(id[:2])
    entry = chapter[part].setdefault(id, {"tries": 0})
    entry["tries"] = entry.get("tries", 0) + 1
    if entry.get("right"):
        facts.pop("right", None)
    entry.update(facts)
    with contextlib.suppress(OSError):  # a read-only folder: nothing is kept
        _replace(_file(place, id[:2]), chapter)


def load(chapter: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Return what is kept of a chapter ("01"); a damaged file is set aside and said so."""
    empty: dict[str, dict[str, dict[str, Any]]] = {part: {} for part in PARTS}
    place = _folder()
    if place is None or not _is_kept():
        return empty
    file = _file(place, chapter)
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return {part: {id: dict(entry) for id, entry in kept[part].items()} for part in PARTS}
    except OSError:  # none yet, or none that may be read
        return empty
    except (ValueError, KeyError, TypeError, AttributeError):
        _set_aside(file)
        return empty


def _is_kept() -> bool:
    return not os.environ.get("CI") and not page.is_strict()


def _folder() -> Path | None:
    """Return the folder for progress, beside the notebooks and the data of the course."""
    here = Path.cwd().resolve()
    for place in (here, *here.parents):
        if (place / "notebooks").is_dir() and (place / "data" / "MANIFEST.json").is_file():
            return place / FOLDER
    return None


def _file(place: Path, chapter: str) -> Path:
    return place / f"chapter-{chapter}.json"


def _replace(file: Path, content: dict) -> None:
    """Write a file so that it is there as a whole or not at all."""
    file.parent.mkdir(exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.stem, suffix=".new")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            json.dump(content, out, ensure_ascii=False, indent=1, sort_keys=True)
        os.replace(temporary, file)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _set_aside(file: Path) -> None:
    aside = file.with_name(f"{file.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    with contextlib.suppress(OSError):
        os.replace(file, aside)
        page.show_line(
            "note",
            f"The file `{FOLDER}/{file.name}` could not be read. It is kept as `{aside.name}`, and "
            "your progress in this chapter counts from here.",
        )


def _chapters(place: Path) -> list[str]:
    return sorted(file.stem[-2:] for file in place.glob("chapter-[0-9][0-9].json"))


def _row(chapter: str) -> tuple[str, str, str, str]:
    """Return the cells of one chapter: what was done, out of how many."""
    from course_lib.learn.exercises import exercises_of
    from course_lib.learn.quizzes import quizzes_of

    kept = load(chapter)
    right = {part: sum(bool(entry.get("right")) for entry in kept[part].values()) for part in PARTS}
    return (
        chapter,
        _of(right["exercises"], len(exercises_of(chapter))),
        _of(right["quizzes"], len(quizzes_of(chapter))),
        str(len(kept["predictions"]) or ""),
    )


def _of(done: int, all_of_them: int) -> str:
    return f"{done} of {max(done, all_of_them)}" if done or all_of_them else ""
