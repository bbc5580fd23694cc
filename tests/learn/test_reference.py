"""The document map and the glossary are made from the data, and say all of it."""

from course_lib import data
from course_lib.learn.ledger import ledger
from course_lib.learn.reference import document_map, glossary


def test_every_section_of_every_document_is_on_the_map(capsys):
    document_map()
    lines = capsys.readouterr().out.splitlines()
    headings = [item for item in ledger().values() if item.kind == "heading"]
    assert sum(line.startswith("  §") for line in lines) == len(headings)
    assert [line[:12] for line in lines if line.startswith("Document")] == [
        f"Document 00{n}" for n in range(5)
    ]
    assert all(line.rpartition(": ")[2] for line in lines if line.startswith("  §"))


def test_the_glossary_has_both_languages_for_every_term(capsys):
    glossary()
    out = capsys.readouterr().out
    terms = data.load_table("glossary.csv")
    assert len(terms) >= 80
    for term in terms:
        assert term["chinese"]
        assert term["english"]
        assert term["meaning"].endswith(".")
        assert f"{term['chinese']} · {term['english']}" in out
    assert len({term["english"] for term in terms}) == len(terms)
