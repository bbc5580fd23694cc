"""What the chapters claimed while they ran, against the ledger.

`python -m course_lib test` runs this right after the chapters, with two variables set:
COURSE_CLAIMS, the folder that their claims went to, and COURSE_RUN, the numbers of the chapters
that ran to the end. The name of this file keeps it out of every other run.
"""

import os
import warnings
from collections import Counter
from pathlib import Path

import pytest

from course_lib.commands import audit
from course_lib.commands.test import read_claims
from course_lib.learn.ledger import ledger

CHAPTERS = os.environ["COURSE_RUN"].split(",")
CLAIMS = read_claims(Path(os.environ["COURSE_CLAIMS"]))


def made_in(chapter):
    return [claim for claim in CLAIMS if claim["id"].startswith(f"{chapter}-")]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_claim_holds_and_is_made_once(chapter):
    assert not [claim["id"] for claim in made_in(chapter) if not claim["holds"]]
    twice = [
        name
        for name, count in Counter(claim["id"] for claim in made_in(chapter)).items()
        if count > 1
    ]
    assert not twice


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_the_ledger_names_exactly_the_claims_that_settle_its_items(chapter):
    settled = {(claim["id"], item) for claim in made_in(chapter) for item in claim["settles"]}
    items = [item for item in ledger().values() if item.chapter == chapter]
    named = {(claim, item.id) for item in items for claim in item.claims}
    own = {item.id for item in items}
    assert named == {(claim, item) for claim, item in settled if item in own}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_item_of_the_chapter_is_settled_or_says_why_not(chapter):
    made = {claim["id"] for claim in made_in(chapter)}
    for item in ledger().values():
        if item.chapter == chapter and item.kind != "heading":
            assert item.reason or set(item.claims) & made, item.id


def test_chapters_newer_than_their_audit_are_named():
    """No failure: forty seeds take hours. But whoever runs the tests is told."""
    newer = [number for number in audit.stale() if number in CHAPTERS]
    if newer:
        warnings.warn(
            "these chapters have changed since they were run with many seeds, or never were: "
            f"{', '.join(newer)}; `python -m course_lib audit` does it",
            stacklevel=1,
        )
