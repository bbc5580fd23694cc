"""The page of a diagnosis: whole, escaped, alone, and never written over what is no report."""

import os
import re
import stat
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from course_lib import show


@dataclass
class Flow:
    """What a report reads of a `LayerFlow`."""

    names: list = field(default_factory=lambda: ["input", "<b>hidden</b>", "logits"])
    activation_norms: np.ndarray = field(default_factory=lambda: np.array([1e-4, 1e-2, 1.0]))
    depth: np.ndarray = field(default_factory=lambda: np.array([2.0, 1.0, 0.0]))
    entries: np.ndarray = field(default_factory=lambda: np.array([64, 64, 64]))
    dtype: str = "float32"
    factor_per_layer: float = 0.01
    latest: int = 2
    earliest: int = 0

    def table(self):
        rows = zip(self.names, self.depth, self.activation_norms, strict=True)
        return [
            {
                "layer": name,
                "distance": float(depth),
                "activation_norm": float(norm),
                "weight_norm": float("nan"),
                "underflowed": 3,
                "true_zeros": 0,
            }
            for name, depth, norm in rows
        ]


@dataclass
class Trial:
    losses: np.ndarray = field(default_factory=lambda: np.linspace(2.3, 2.2, 30))
    baseline: float = 2.2
    outcome: str = "stalls"
    first: float = 2.3
    last: float = 2.2
    optimizer: str = "SGD"
    learning_rate: float = 0.1
    spoilt: bool = False


@dataclass
class Finding:
    kind: str = "vanishing in depth"
    severity: str = "fault"
    where: str = "<b>hidden</b>"
    sentence: str = "Little arrives at <b>hidden</b>."
    evidence: dict = field(default_factory=lambda: {"what arrives": 1e-4})
    advice: str = "Another start."
    chapter: str = "01_where_gradients_go"


@dataclass
class Diagnosis:
    model: str = "<script>alert(1)</script>"
    findings: list = field(default_factory=lambda: [Finding()])
    flow: Flow = field(default_factory=Flow)
    time_flows: dict = field(default_factory=dict)
    trial: Trial | None = field(default_factory=Trial)
    cures: dict = field(default_factory=dict)
    samples: int = 64
    seconds: float = 2.0
    healthy: bool = False

    def summary(self):
        return f"{self.model}: vanishing in depth."


class Page(HTMLParser):
    """Checks that tags are closed, and collects tags, attributes and text."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture
def page(tmp_path):
    place = show.report(Diagnosis(), tmp_path / "report.html")
    return Page(place.read_text(encoding="utf-8"))


def test_it_says_what_was_found(page):
    words = " ".join(page.words)
    for part in (
        "vanishing in depth",
        "Another start.",
        "01_where_gradients_go",
        "0.0001",
        "stalls",
    ):
        assert part in words


def test_names_are_escaped(page):
    assert not page.all("script")
    assert "<script>alert(1)</script>" in " ".join(page.words)
    assert "<b>hidden</b>" in " ".join(page.words)


def test_it_loads_nothing_and_every_picture_has_words(page):
    pictures = page.all("img")
    assert len(pictures) == 2  # the gradient and the loss
    assert all(picture["src"].startswith("data:image/png;base64,") for picture in pictures)
    assert all(len(picture["alt"]) > 40 for picture in pictures)
    loaded = [attributes for name, attributes in page.tags if {"href", "src"} & set(attributes)]
    assert len(loaded) == len(pictures)


def test_it_names_its_language_title_and_both_color_schemes(page, tmp_path):
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "url(" not in text


def test_without_a_trial_or_a_gradient_there_are_words(tmp_path):
    flow = Flow(activation_norms=np.array([np.nan, np.nan, np.nan]))
    found = Diagnosis(flow=flow, trial=None, findings=[])
    page = Page(show.report(found, tmp_path / "a.html").read_text(encoding="utf-8"))
    assert not page.all("img")
    assert "no finite gradient" in " ".join(page.words)


def test_a_loss_that_ran_away_at_once_is_said(tmp_path):
    trial = Trial(losses=np.array([1e9, np.nan]), outcome="diverges", last=float("nan"))
    place = show.report(Diagnosis(trial=trial), tmp_path / "a.html")
    assert "ran away at once" in place.read_text(encoding="utf-8")


def test_a_trial_that_was_cut_short_is_said(tmp_path):
    trial = Trial(losses=np.array([5.94, 5.93]), outcome="unfinished", last=5.93)
    page = show.report(Diagnosis(trial=trial), tmp_path / "a.html").read_text(encoding="utf-8")
    assert "is known at two steps at most" in page
    assert "ran away" not in page


def test_a_loss_that_still_falls_and_an_answer_that_is_not_known_have_words(tmp_path):
    falls = Trial(outcome="falls", baseline=1.0)
    page = show.report(Diagnosis(trial=falls), tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<td>falls</td>" in page
    assert "the best constant answer has 1." in page
    for outcome in ("learns", "stalls"):
        unknown = Trial(outcome=outcome, baseline=float("nan"))
        place = show.report(Diagnosis(trial=unknown), tmp_path / "a.html")
        assert "constant answer" not in place.read_text(encoding="utf-8")


def test_a_report_is_replaced_and_nothing_else_is(tmp_path):
    place = tmp_path / "report.html"
    assert show.report(Diagnosis(), place) == place
    show.report(Diagnosis(), place)
    other = tmp_path / "page.html"
    other.write_text("<p>mine</p>")
    with pytest.raises(ValueError, match="no report; choose another name"):
        show.report(Diagnosis(), other)
    assert other.read_text() == "<p>mine</p>"
    other.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="no report"):
        show.report(Diagnosis(), other)
    show.report(Diagnosis(), other, overwrite=True)
    assert "Diagnosis of" in other.read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "report.html"]


def test_a_text_and_a_relative_path_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert show.report(Diagnosis(), "report.html") == tmp_path / "report.html"


BAD = {
    "": (ValueError, 'ends in ".html"'),
    "report": (ValueError, 'ends in ".html"'),
    "report.txt": (ValueError, 'ends in ".html"'),
    "a\0.html": (ValueError, 'ends in ".html"'),
    "folder.html": (ValueError, "a folder"),
    "nowhere/report.html": (ValueError, "in a folder that does not exist"),
    3: (TypeError, "`path` is 3"),
    None: (TypeError, "`path` is None"),
    b"report.html": (TypeError, "`path` is b'report.html'"),
}


@pytest.mark.parametrize("path", BAD, ids=repr)
def test_a_path_that_makes_no_sense_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.html").mkdir()
    kind, says = BAD[path]
    with pytest.raises(kind, match=re.escape(says)) as info:
        show.report(Diagnosis(), path)
    assert str(info.value).endswith(".")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.html"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_is_locked_is_said(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ValueError, match="nothing can be written"):
        show.report(Diagnosis(), tmp_path / "report.html")


def test_a_disk_that_is_full_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(ValueError, match="nothing can be written: No space left"):
        show.report(Diagnosis(), tmp_path / "report.html")
    assert not list(tmp_path.iterdir())


def test_what_is_no_diagnosis_is_refused(tmp_path):
    with pytest.raises(
        TypeError, match=r"`diagnosis` is 3; it takes what `gradient_flow\.diagnose`"
    ):
        show.report(3, tmp_path / "report.html")
    with pytest.raises(TypeError, match="`overwrite` is 1"):
        show.report(Diagnosis(), tmp_path / "report.html", overwrite=1)
