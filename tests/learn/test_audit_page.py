"""The table of the last audit: read as the command writes it, and honest about its age."""

import json
import shutil

import pytest

from course_lib import data
from course_lib.commands import chapters
from course_lib.commands.audit import row, stored
from course_lib.learn import audit, audit_page, ledger, page

CODE = {"01": ["x = 1\n"], "02": ["x = 2\n", "y = 3\n"], "03": []}


def measured(seed, value, *, room, holds=True, kind="bound"):
    return {
        "id": "01-a", "sentence": f"It is {value} < 5.", "measured": value, "condition": "below 5",
        "kind": kind, "holds": holds, "room": room, "settles": [], "seed": seed,
        "limits": [None, None if room is None else 5.0],
    }  # fmt: skip


CLAIMS = [
    row("01-a", {1: measured(1, 2.0, room=2.5), 2: measured(2, 4.0, room=1.25)}, 2),
    row("01-b", {1: measured(1, 2.0, room=2.5), 2: measured(2, 8.0, room=0.625, holds=False)}, 2),
    row("01-c", {seed: measured(seed, 7, room=None) for seed in (1, 2)}, 2),
    row("01-d", {seed: measured(seed, 4.9, room=0.1, kind="exact") for seed in (1, 2)}, 2),
]


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of three chapters, with an audit of two of them; returns its folder `data`."""
    place = tmp_path / "data"
    place.mkdir()
    (tmp_path / "notebooks").mkdir()
    for name in ("ledger.csv", "MANIFEST.json", "digits.npz"):
        shutil.copy(data.folder() / name, place / name)
    monkeypatch.setenv("COURSE_DATA", str(place))
    for number, sources in CODE.items():
        cells = [{"cell_type": "code", "id": f"c{i}", "source": [s]} for i, s in enumerate(sources)]
        path = tmp_path / "notebooks" / f"{number}_a.ipynb"
        path.write_text(json.dumps({"cells": cells}), encoding="utf-8")
    tables = {
        number: {
            "code_hash": data.code_hash(CODE[number]), "seeds": 2, "seconds": 1.0, "errors": {},
            "claims": claims,
        } for number, claims in (("01", CLAIMS), ("02", []))
    }  # fmt: skip
    (place / "audit.json").write_text(json.dumps(tables), encoding="utf-8")
    data.refresh_manifest()
    audit_page._read.cache_clear()
    yield place
    audit_page._read.cache_clear()


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(page, "display_both", lambda *both: found.append(both))
    return found


def test_every_claim_stands_there_with_how_often_it_held(course, shown):
    audit()
    as_html, plain = shown[0]
    assert "3 of 4 sentences held with every seed that was tried; 2 chapters were run." in plain
    for line in (
        "01-a · It is 2.0 < 5. · below 5 · 2 of 2 · 2 · 4 · 1.25 times · 0.5 times",
        "01-b · It is 2.0 < 5. · below 5 · 1 of 2 · 2 · 8 · 0.625 times · -0.5 times",
        "01-c · It is 7 < 5. · below 5 · 2 of 2 · 1 · 7 ·  · ",
    ):
        assert line in plain
    for words in ("It is 2.0 &lt; 5.", "1 of 2", "1.25 times", "0.5 times"):
        assert words in as_html
    assert as_html.count("<details") == 2


def test_a_chapter_has_its_code_its_share_and_what_has_little_room(course, shown):
    audit()
    _, plain = shown[0]
    first, second = data.code_hash(CODE["01"]), data.code_hash(CODE["02"])
    assert f"01 · {first} · 2 · 4 · 3 (lowest share 0.50) · 01-b" in plain
    assert f"02 · {second} · 2 · 0 · 0 · none" in plain


def test_chapters_whose_cells_have_changed_since_are_named(course, shown):
    assert audit_page.changed() == ["03"]  # it was never run
    place = course.parent / "notebooks" / "02_a.ipynb"
    place.write_text(place.read_text(encoding="utf-8").replace("x = 2", "x = 4"), encoding="utf-8")
    assert audit_page.changed() == ["02", "03"]
    audit()
    as_html, plain = shown[0]
    assert "The code of chapters 02 and 03 is newer than its audit" in plain
    assert f"{data.code_hash(CODE['02'])}, changed since" in as_html


def test_space_and_outputs_are_no_change(course):
    place = course.parent / "notebooks" / "01_a.ipynb"
    notebook = json.loads(place.read_text(encoding="utf-8"))
    notebook["cells"][0] |= {"source": ["x = 1\n", "\n"], "outputs": [{"name": "stdout"}]}
    place.write_text(json.dumps(notebook), encoding="utf-8")
    assert audit_page.changed() == ["03"]


def test_without_an_audit_one_sentence_says_how_to_make_it(course, shown):
    (course / "audit.json").unlink()
    data.refresh_manifest()
    assert audit_page.audited() == {}
    audit()
    as_html, plain = shown[0]
    assert "`python -m course_lib audit` runs every chapter under 40 seeds" in plain
    assert "<table" not in as_html


def test_a_damaged_audit_is_reported_by_name(course):
    (course / "audit.json").write_text("{}", encoding="utf-8")
    with pytest.raises(data.DataError, match=r"data/audit.json is damaged"):
        audit()


def test_it_reads_what_the_command_stores(course):
    assert audit_page.audited() == stored()


@pytest.mark.parametrize("path", ledger.notebooks(), ids=lambda path: path.name[:2])
def test_the_code_of_a_chapter_has_one_hash(path):
    here = data.code_hash(source for _, source in ledger.code_of(path))
    assert here == chapters.code_hash(chapters.parse(path.read_text(encoding="utf-8")))
