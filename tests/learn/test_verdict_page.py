"""The page of all verdicts: complete, filtered as asked, and every link leads to its claim."""

import json
from html.parser import HTMLParser

import pytest

from course_lib.learn import verdict_page as module
from course_lib.learn.ledger import ledger, notebooks, written_claims
from course_lib.learn.verdict_page import evidence, selected, tally, verdicts


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.rows = [], 0

    def handle_starttag(self, tag, attributes):
        self.rows += tag == "tr"
        if tag == "a":
            self.found.append(dict(attributes)["href"])


def cells():
    return {
        (path.name, cell["id"]): "".join(cell["source"])
        for path in notebooks()
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    }


def test_every_claim_is_found_in_the_cell_that_makes_it():
    code = cells()
    found = evidence()
    assert len(found) > 200
    for one in found.values():
        made = written_claims(code[one.notebook, one.cell])
        assert one.claim in [claim.id for claim in made]


def test_a_cell_that_a_reader_left_half_written_does_no_harm(monkeypatch):
    whole = evidence()
    read = module.code_of

    def with_a_slip(notebook):
        yield from read(notebook)
        yield "new", "def my_answer(x:"
        yield "newer", "learn.claim(name, 'A.', 1)"

    monkeypatch.setattr(module, "code_of", with_a_slip)
    assert evidence() == whole


def test_every_link_of_the_page_leads_to_a_cell():
    links = Links()
    links.feed(module._as_html(selected(), evidence()))
    assert links.rows == len(ledger()) + 1
    known = {f"{name}#cell-id={cell}" for name, cell in cells()}
    assert links.found
    assert set(links.found) <= known


def test_each_item_has_its_evidence_or_says_why_not():
    claims = evidence()
    for item in ledger().values():
        told = module._told(item, claims)
        assert told
        if item.claims:
            assert [one.claim for one in told] == list(item.claims)


def test_the_filters_take_what_they_are_asked_for_and_all_of_it():
    everything = list(ledger().values())
    assert selected() == everything
    wrong = selected(verdict="does not hold")
    assert [item for item in everything if item.verdict == "wrong"] == wrong
    parts = [selected(document=name) for name in ("D0", "D1", "D2", "D3", "D4")]
    assert sum(map(len, parts)) == 310
    both = selected(document="D4", chapter="10", verdict="does not hold")
    assert both
    assert {(i.document, i.chapter, i.verdict) for i in both} == {("D4", "10", "wrong")}


def test_words_are_searched_for_in_any_case_and_all_of_them():
    found = selected(containing="ADAM momentum")
    assert found
    for item in found:
        text = f"{item.id} {item.statement} {item.correction}".lower()
        assert "adam" in text
        assert "momentum" in text
    assert selected(containing="no such words anywhere") == []
    assert "take one of them back" in module._as_html([], {})


def test_the_tally_counts_each_checkable_item_once():
    rows = tally()
    assert sum(row["together"] for row in rows) == 234
    assert sum(row["holds"] for row in rows) == 55
    for row in rows:
        counts = [n for name, n in row.items() if name not in ("document", "together")]
        assert sum(counts) == row["together"]


@pytest.mark.parametrize(
    ("filters", "sentence"),
    [
        ({"document": "D9"}, r"`document` is 'D9'; it takes"),
        ({"verdict": "wrong"}, r"`verdict` is 'wrong'; it takes"),
        ({"chapter": "99"}, r"`chapter` is '99'; it takes"),
    ],
)
def test_an_unknown_filter_is_refused_with_a_sentence(filters, sentence):
    with pytest.raises(ValueError, match=sentence):
        selected(**filters)


def test_without_a_page_the_whole_table_is_printed(capsys):
    verdicts()
    out = capsys.readouterr().out
    assert out.startswith("310 of 310 items")
    assert all(item.id in out for item in ledger().values())


def with_audit(monkeypatch, item):
    row = {"claim": item.claims[0], "sentence": "It is 4 < 5.", "held": 39, "runs": 40}
    monkeypatch.setattr(module, "audited", lambda: {item.chapter: {"claims": [row]}})


def test_a_measured_sentence_and_its_seeds_stand_beside_the_link(monkeypatch):
    item = next(item for item in ledger().values() if item.claims)
    with_audit(monkeypatch, item)
    shown = module._as_html([item], evidence())
    assert f">{item.claims[0]}</a>: It is 4 &lt; 5. (39 of 40 seeds)" in shown
    told = module._as_text([item], evidence())
    assert f"\n  {item.claims[0]}: It is 4 < 5. (39 of 40 seeds)" in told


def test_no_evidence_is_left_blank_where_no_audit_has_seen_it(monkeypatch):
    monkeypatch.setattr(module, "audited", dict)
    text = module._as_text(selected(), evidence())
    assert not [line for line in text.splitlines() if line.rstrip().endswith(":")]
    assert text.count(f": {module.NOT_AUDITED}") > 200


def test_the_page_is_written_once_at_its_start(monkeypatch):
    written, write = [], module._as_html
    monkeypatch.setattr(module.page, "display_both", lambda *parts: None)
    monkeypatch.setattr(module, "_as_html", lambda *parts: written.append(1) or write(*parts))
    verdicts()
    assert len(written) == 1


def test_the_controls_change_the_table():
    widgets = pytest.importorskip("ipywidgets")
    shown = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.page, "display_both", lambda *parts: shown.append(parts[2]))
        verdicts()
    (first, second, table) = shown[0].children
    assert isinstance(table, widgets.HTML)
    assert "310 of 310 items" in table.value
    document, verdict = first.children
    document.value = "D1"
    verdict.value = "does not hold"
    second.children[1].value = "adam"
    expected = selected("D1", "does not hold", "all", "adam")
    assert f"{len(expected)} of 310 items" in table.value
    assert [item.id for item in expected if item.id not in table.value] == []
