"""The measurement of key press to picture measures; how fast it is, `bench` reports."""

import pytest

from course_lib.commands import bench_widgets, chapters

pytestmark = pytest.mark.browser


def test_a_chapter_s_explorers_are_measured_beside_floor_and_interact(example, lab, chromium):
    timings = bench_widgets.measure(lab, chromium, example.notebook, "01_example", bursts=1)
    assert len(timings) == 2
    for timing in timings:
        assert list(timing.sliders) == ["γ"]
        assert len(timing.sliders["γ"]) == len(timing.floor) == bench_widgets.PRESSES
        assert len(timing.usual) == bench_widgets.USUAL_PRESSES
        assert min(timing.floor + timing.usual + timing.sliders["γ"]) > 0
        assert "x the floor" in str(timing)


def test_a_timing_tells_the_slowest_slider_beside_the_floor():
    sliders = {"γ": [30.0, 900.0, 20.0], "depth": [40.0, 50.0, 60.0]}
    timing = bench_widgets.Timing("01, explorer 1", [20.0, 500.0, 10.0], [200.0, 300.0], sliders)
    assert (timing.slowest, timing.ratio, timing.usual_ratio) == ("depth", 2.5, 12.5)
    assert str(timing) == (
        "01, explorer 1, `depth`: 50 ms (95 %: 60), 2.50 x the floor of 20 ms; with interact 12.5 x"
    )


def test_the_training_around_an_explorer_is_left_out(example):
    part = bench_widgets.with_yardsticks(example.notebook)
    sources = [cell.source for cell in chapters.code_cells(part)]
    assert not any("learn.claim" in source for source in sources)
    assert sum("show.explore(" in source for source in sources) == 2
