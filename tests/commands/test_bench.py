"""`python -m course_lib bench` and `recompute`: what they measure, run and report."""

import re
import sys
from types import SimpleNamespace

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_lib import data
from course_lib.commands import bench, chapters, recompute


@pytest.fixture
def chapter(tmp_path):
    """Return a function that writes a chapter with the given code cells."""

    def write(*cells, name="01_x.ipynb"):
        path = tmp_path / name
        nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
        return path

    return write


def test_a_ratio_beyond_its_aim_is_marked():
    assert bench.verdict("a / b", 1.234, 2.5) == "a / b: 1.23 x (aim: at most 2.5 x)"
    assert bench.verdict("a / b", 2.6, 2.5).endswith("MORE THAN AIMED AT")


def test_the_maths_floor_is_imported_beside_numpy_and_without_tensorflow():
    ratio, details = bench.imports(rounds=3)
    assert ratio.startswith("course_lib.maths / numpy: ")
    assert details.endswith("TensorFlow was not loaded")


def test_control_a_floor_that_loads_tensorflow_would_be_noticed(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    seconds, loaded = bench._import_seconds("json, tensorflow")
    assert loaded
    assert 0 < seconds < 60
    assert not bench._import_seconds("json")[1]


def test_seconds_and_memory_of_a_chapter(chapter, monkeypatch):
    paths = [
        chapter("x = bytearray(300_000_000)", "import time; time.sleep(1)"),
        chapter("1 / 0", name="02_y.ipynb"),
    ]
    before = paths[0].read_bytes()
    monkeypatch.setattr(chapters, "all_chapters", lambda: paths)
    good, bad, mean = bench.notebooks()
    seconds, private, resident = map(float, re.findall(r"[0-9.]+(?= s,| GB)", good))
    assert good == f"01_x: {seconds:.1f} s, {private:.2f} GB private, {resident:.2f} GB resident"
    assert 0 < seconds < 60
    assert 0.3 < private < resident < 0.6
    assert "02_y" in bad
    assert "ZeroDivisionError" in bad
    assert mean.startswith("mean: ")
    assert paths[0].read_bytes() == before


def test_parts_can_be_chosen_and_unknown_ones_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(bench, "PARTS", {"imports": lambda: ["1.0 x"], "by_layer": pytest.fail})
    assert bench.main(["imports"]) == 0
    assert capsys.readouterr().out == "\nimports\n  1.0 x\n"
    with pytest.raises(SystemExit):
        bench.main(["import"])
    assert "there is no part 'import'; there are imports, by_layer" in capsys.readouterr().err


def test_by_layer_is_reported_model_by_model(monkeypatch):
    cases = {"70 layers": {"ratio": 1.5, "passes": 2}, "wide": {"ratio": 2.4, "passes": 1}}
    fake = SimpleNamespace(gradient_flow=SimpleNamespace(cost_ratio=lambda: {"cases": cases}))
    monkeypatch.setitem(sys.modules, "course_lib.models", fake)
    first, second = bench.by_layer()
    assert first == (
        "by_layer / a weight gradient, 70 layers: 1.50 x (aim: at most 2 x); 2 backward passes"
    )
    assert "MORE THAN AIMED AT" in second


def test_the_monitor_is_reported_model_by_model(monkeypatch):
    case = {"step_seconds": 0.002, "look_seconds": 0.005, "ratio": 1.05}
    measured = {"limit": 1.1, "cases": {"deep": case, "small": case | {"ratio": 1.2}}}
    fake = SimpleNamespace(monitor_cost=SimpleNamespace(monitor_cost=lambda: measured))
    monkeypatch.setitem(sys.modules, "course_lib.models", fake)
    first, second = bench.monitor()
    assert first == (
        "fit with a monitor / without, deep: 1.05 x (aim: at most 1.1 x); a look costs 2.5 steps"
    )
    assert "MORE THAN AIMED AT" in second


def test_by_time_step_is_reported_beside_what_it_replaces(monkeypatch):
    case = {"ratio": 1.25, "tape_a_step": 840.4, "eager_loop": 12.3}
    slow = {"ratio": 2.5, "tape_a_step": 9.0, "eager_loop": 1.0}
    fake = SimpleNamespace(
        step_cost=SimpleNamespace(LIMIT=2.0, step_cost_ratio=lambda: {"LSTM": case, "GRU": slow})
    )
    monkeypatch.setitem(sys.modules, "course_lib.models", fake)
    first, second = bench.by_time_step()
    assert first == (
        "by_time_step / a weight gradient, LSTM: 1.25 x (aim: at most 2 x); "
        "840 x cheaper than a tape a step, 12 x than an eager loop"
    )
    assert "MORE THAN AIMED AT" in second


STORE = """\
import json, os
from course_lib import data
assert os.environ["COURSE_RECOMPUTE"] == "1"
path = data.folder() / "results" / "flow.json"
path.parent.mkdir(exist_ok=True)
path.write_text(json.dumps([1, 2]))
"""


@pytest.fixture
def own_data(tmp_path, monkeypatch):
    place = tmp_path / "data"
    (place / "results").mkdir(parents=True)
    (place / data.MANIFEST).write_text('{"files": {}}')
    (place / "digits.npz").write_bytes(b"")
    monkeypatch.setenv("COURSE_DATA", str(place))
    return place


def test_a_chapter_records_anew_and_its_checksum_follows(chapter, own_data, capsys):
    assert recompute.recompute(chapter(STORE)) == 0
    assert capsys.readouterr().out.startswith("01_x.ipynb: flow.json (")
    assert data.path("results/flow.json").read_text() == "[1, 2]"
    assert recompute.recompute(chapter("1 + 1")) == 0
    assert "records no experiment" in capsys.readouterr().out


def test_a_chapter_that_stops_is_reported(chapter, own_data, capsys, monkeypatch):
    monkeypatch.delenv("COURSE_RECOMPUTE", raising=False)
    assert recompute.recompute(chapter("1 / 0")) == 1
    assert "01_x.ipynb stopped: ZeroDivisionError: division by zero" in capsys.readouterr().out
    assert "COURSE_RECOMPUTE" not in recompute.os.environ


def test_an_unknown_chapter_is_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        recompute.main(["77"])
    assert caught.value.code == 2
    assert "77" in capsys.readouterr().err
