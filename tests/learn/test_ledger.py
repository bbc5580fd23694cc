"""The ledger is complete, and it and the chapters say the same."""

import re
from collections import Counter

import pytest

from course_lib import data
from course_lib.learn import ledger as module
from course_lib.learn.ledger import (
    REASONS,
    VERDICTS,
    Written,
    code_of,
    fill_in_claims,
    ledger,
    written_claims,
    written_sources,
)

ITEMS = list(ledger().values())
NOTEBOOKS = sorted((data.folder().parent / "notebooks").glob("[0-9][0-9]_*.ipynb"))
FINISHED = {notebook.name[:2]: notebook for notebook in NOTEBOOKS}

FILL_IN = "python -c 'from course_lib.learn import ledger; print(ledger.fill_in_claims())'"

each_finished_chapter = pytest.mark.parametrize("chapter", FINISHED)


def test_every_item_of_the_five_documents_is_there_once():
    rows = data.load_table("ledger.csv")
    assert len(rows) == 310
    assert len(ITEMS) == 310  # a dict would have swallowed a second one
    assert {item.document for item in ITEMS} == {"D0", "D1", "D2", "D3", "D4"}


def test_the_verdicts_are_known_and_as_many_as_were_given():
    counts = Counter(item.verdict for item in ITEMS)
    assert set(counts) == set(VERDICTS)
    assert counts["heading"] == 76
    assert 310 - counts["heading"] == 234
    assert counts["correct"] == 55


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_an_item_is_well_formed(item):
    assert item.id.startswith(f"{item.document}-{item.section}-")
    assert re.fullmatch(r"D[0-4]-[\d.]+-(H|R|S|Q|[CFXKDSQ]\d*[a-d]?)", item.id)
    assert re.fullmatch(r"0[1-9]|1[0-8]", item.chapter)
    assert (item.verdict == "heading") == (item.kind == "heading")
    assert item.statement.strip() == item.statement != ""
    assert item.correction.strip() == item.correction
    assert item.correction or item.verdict in ("heading", "correct")
    assert item.reason in ("", *REASONS)
    assert not (item.claims and item.reason)


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_a_reader_meets_no_mark_of_the_workshop(item):
    text = f"{item.statement} {item.correction}"
    assert not re.search(
        r"\bM\d\d\b|\[[A-Z]\w+\d\d|\bEq\. ?\d|Alg\. ?\d|doc 00\d|\[[MSKk]\??\]", text
    )
    assert not re.search(r"[\u4e00-\u9fff]{14}", text)  # short terms alone, no sentences
    assert "∣" not in text


def items_of(chapter):
    return [item for item in ITEMS if item.chapter == chapter and item.kind != "heading"]


def code_of_chapter(chapter):
    return "\n".join(source for _, source in code_of(FINISHED[chapter]))


@each_finished_chapter
def test_each_item_of_a_finished_chapter_is_settled_or_says_why_not(chapter):
    left = [item.id for item in items_of(chapter) if not item.claims and not item.reason]
    assert left == []


@each_finished_chapter
def test_the_ledger_names_the_claims_that_the_chapter_makes(chapter):
    made = written_claims(code_of_chapter(chapter))
    twice = [name for name, count in Counter(claim.id for claim in made).items() if count > 1]
    assert twice == []
    named = {(claim, item.id) for item in ITEMS for claim in item.claims}
    named = {pair for pair in named if pair[0][:2] == chapter}
    settled = {(claim.id, item) for claim in made for item in claim.settles}
    assert named == settled, f"fill it in: {FILL_IN}"


@each_finished_chapter
def test_a_chapter_settles_its_own_items_alone(chapter):
    code = code_of_chapter(chapter)
    own = {item.id for item in ITEMS if item.chapter == chapter}
    if chapter == "18":
        return  # it gathers them all
    for claim in written_claims(code):
        assert set(claim.settles) <= own, claim.id
    assert set(written_sources(code)) <= own


def test_claims_of_chapters_not_yet_written_are_empty():
    for item in ITEMS:
        for claim in item.claims:
            assert claim[:2] in FINISHED, f"{item.id} names {claim}"


# ------------------------------------------------------------------- reading without running


def test_claims_are_read_from_code_without_running_it():
    source = """
learn.claim("01-a", "A.", 1 / 0, equals=1, settles=["D0-1-C3", "D1-1-C2"])
claim(id="01-b", sentence="B.", measured=1, equals=1, settles="D0-1-C3")
learn.agree("01-c", "C", witnesses)
x = learn.claim("01-d", "D.", 1, equals=1, settles=("D0-1-C4",))
"""
    assert sorted(written_claims(source), key=lambda claim: claim.id) == [
        Written("01-a", ("D0-1-C3", "D1-1-C2")),
        Written("01-b", ("D0-1-C3",)),
        Written("01-c", ()),
        Written("01-d", ("D0-1-C4",)),
    ]
    assert written_sources('learn.sources("D0-1-C3", "D1-1-C2")') == ["D0-1-C3", "D1-1-C2"]


@pytest.mark.parametrize(
    "source", ['learn.claim(name, "A.", 1)', 'learn.claim("01-a", "A.", 1, settles=items)']
)
def test_what_is_not_written_out_cannot_be_read(source):
    with pytest.raises(ValueError, match="must be written out"):
        written_claims(source)


@pytest.fixture
def workshop(tmp_path, monkeypatch):
    """A course of its own, with one notebook and the real ledger, claims left out."""
    import json
    import shutil

    (tmp_path / "notebooks").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("ledger.csv", "MANIFEST.json", "digits.npz"):
        shutil.copy(data.folder() / name, tmp_path / "data" / name)
    cell = ["%matplotlib inline\n", 'learn.claim("01-a", "A.", 1, equals=1, settles="D0-1-C3")']
    text = {"cell_type": "markdown", "source": ['learn.claim("01-z", "Z.", 1, settles="D9")']}
    cells = [text, {"cell_type": "code", "id": "a1", "source": cell}]
    (tmp_path / "notebooks" / "01_a.ipynb").write_text(json.dumps({"cells": cells}))
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    module._read.cache_clear()
    yield tmp_path
    module._read.cache_clear()


def test_the_column_of_claims_is_filled_in_from_the_notebooks(workshop):
    before = ledger()
    assert "D0-1-C3" in fill_in_claims()
    after = ledger()  # which checks the file against the manifest
    assert after["D0-1-C3"].claims == ("01-a",)
    assert {item for item in after if after[item].claims} == {"D0-1-C3"}
    for item in after:
        assert after[item].statement == before[item].statement
        assert after[item].correction == before[item].correction
    assert fill_in_claims() == []


def test_a_copy_that_reset_has_kept_is_no_chapter(workshop):
    fill_in_claims()
    copy = workshop / "notebooks" / "01_a-mine-20260101-120000.ipynb"
    copy.write_text('{"damaged": ')
    assert module.notebooks() == [workshop / "notebooks" / "01_a.ipynb"]
    assert fill_in_claims() == []


def test_nothing_is_touched_where_there_are_no_notebooks(workshop):
    fill_in_claims()
    (workshop / "notebooks" / "01_a.ipynb").unlink()
    assert fill_in_claims() == []
    assert ledger()["D0-1-C3"].claims == ("01-a",)


def test_a_claim_that_cannot_be_read_names_its_notebook(workshop):
    place = workshop / "notebooks" / "01_a.ipynb"
    place.write_text(place.read_text().replace('settles=\\"D0-1-C3\\"', "settles=items"))
    with pytest.raises(ValueError, match=r"01_a.ipynb: line 2: `items` must be written out"):
        fill_in_claims()


def test_a_damaged_ledger_is_reported_by_name(workshop):
    with (workshop / "data" / "ledger.csv").open("a") as file:
        file.write("one more line\n")
    with pytest.raises(data.DataError, match=r"data/ledger.csv is damaged"):
        ledger()


# ------------------------------------------------------------------- the page of answers


def answers():
    """Return the ids and the chapters that each row of the last chapter's answers names."""
    import json

    cells = json.loads(FINISHED["18"].read_text(encoding="utf-8"))["cells"]
    lines = "".join("".join([*cell["source"], "\n"]) for cell in cells).splitlines()
    start = lines.index("| question | answer | items, and where measured |")
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return
        where = line.strip("| ").split(" | ")[-1]
        own = {"18"} if "this chapter" in where else set()
        yield (
            re.findall(r"\bD\d-[\w.]+-Q\d?[a-d]?", where),
            own | set(re.findall(r"\]\((\d\d)_", where)),
        )


def test_every_question_of_the_documents_is_answered_once():
    asked = [item.id for item in ITEMS if item.kind == "FAQ"]
    assert len(asked) == 29
    assert sorted(item for items, _ in answers() for item in items) == sorted(asked)


def test_an_answer_names_the_chapters_that_treat_its_questions():
    treated = ledger()
    for items, chapters in answers():
        assert {treated[item].chapter for item in items} <= chapters, items
