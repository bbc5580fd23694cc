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
        assert timing.usual_ratio > timing.ratio > 0
        assert "x the floor" in str(timing)


def test_the_training_around_an_explorer_is_left_out(example):
    part = bench_widgets.with_yardsticks(example.notebook)
    sources = [cell.source for cell in chapters.code_cells(part)]
    assert not any("learn.claim" in source for source in sources)
    assert sum("show.explore(" in source for source in sources) == 2
