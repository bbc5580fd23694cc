"""Back to the sources: the folded table, in the words of the course."""

import html
import re

import pytest

from course_lib.learn import claims, page, sources
from course_lib.learn.ledger import ledger
from course_lib.learn.sources import NOT_YET as NOT_YET_AS_TEXT

NOT_YET = html.escape(NOT_YET_AS_TEXT)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "0")
    claims.forget()
    yield
    claims.forget()


@pytest.fixture
def shown(monkeypatch):
    found = []
    monkeypatch.setattr(page, "display_both", lambda *both: found.append(both))

    def show(*ids, **options):
        sources(*ids, **options)
        return found.pop()

    return show


def test_every_item_of_the_ledger_can_be_shown(shown):
    as_html, plain = shown(*ledger())
    assert as_html.count('<th scope="row"') == 310
    for item in ledger().values():
        assert item.wording in as_html
        assert item.id in plain


def test_the_table_is_folded_has_headers_and_a_name(shown):
    as_html, _ = shown("D0-1-C3", "D1-2-H")
    assert as_html.startswith('<details class="course-table"><summary')
    assert " open" not in as_html.split(">")[0]
    assert "All 2 items of this chapter" in as_html
    assert as_html.count('scope="col"') == 5
    assert 'role="region" aria-label="All 2 items' in as_html
    assert "My title" in shown("D0-1-C3", title="My title")[0]


@pytest.mark.parametrize(
    ("item", "wording"),
    [
        ("D1-2.2-C1", "holds"),
        ("D0-1-C4", "holds if"),
        ("D0-1-C3", "does not hold"),
        ("D4-3.2-S3", "depends on what is meant"),
        ("D3-4.1-X1", "cannot be reproduced as printed"),
        ("D0-6-R", "no source"),
        ("D1-2-H", "where it is treated"),
    ],
)
def test_verdicts_read_in_the_words_of_the_course(shown, item, wording):
    as_html, plain = shown(item)
    assert f"<em>{wording}</em>" in as_html
    assert f"  {wording}." in plain


def test_the_figures_of_this_kernel_stand_beside_their_item(shown):
    assert NOT_YET in shown("D0-1-C3")[0]
    claims.claim("01-a", "It is {measured}.", 0.25, below=1, settles="D0-1-C3")
    claims.claim("01-b", "It is {measured} too.", 0.5, above=1, settles="D0-1-C3")
    as_html, plain = shown("D0-1-C3", "D1-1-C2")
    assert "✓ It is 0.25." in as_html
    assert "✗ does not hold with these settings: It is 0.5 too." in as_html
    assert as_html.count(NOT_YET) == 1
    assert "  ✓ It is 0.25." in plain


def test_what_cannot_be_tested_says_why(shown):
    assert "Cannot be tested here: it is a matter of judgement." in shown("D3-5-C0")[0]
    assert "Cannot be tested here: it says what a word" in shown("D4-1-C4")[0]
    assert NOT_YET not in shown("D3-5-C0")[0]
    assert "Settled by reading the document or the papers" in shown("D4-7-C1")[0]


def test_a_heading_says_where_it_is_treated(shown):
    assert "chapter 01" in shown("D1-2-H")[0]


def test_signs_of_html_are_shown_as_they_are(shown):
    as_html, _ = shown("D1-4-F1", "D0-2.2-C3")
    assert "&lt; 1" in as_html
    assert not re.search(
        r"<(?!/?(details|summary|div|table|thead|tbody|tr|th|td|em|code|br)\b)", as_html
    )


def test_unknown_and_repeated_items_are_refused():
    with pytest.raises(ValueError, match="has 'D9-1-C1'; the ledger has no item"):
        sources("D9-1-C1")
    with pytest.raises(ValueError, match="has 3; the ledger"):
        sources(3)
    with pytest.raises(ValueError, match="takes the ids of ledger items"):
        sources()
    with pytest.raises(ValueError, match="names D0-1-C3 twice"):
        sources("D0-1-C3", "D1-1-C2", "D0-1-C3")
