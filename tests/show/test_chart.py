"""The chart of a network: every look at it as arrays, and as a picture."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show


def a_diagnosis(**changes):
    flow = SimpleNamespace(
        names=["input", "hidden", "output"],
        activation_norms=np.array([np.nan, 1e-4, 1e-1]),
        entries=np.array([8, 4, 4]),
        depth=np.array([2.0, 1.0, 0.0]),
    )
    steps = SimpleNamespace(rms_by_distance=np.array([1.0, 0.1, 0.01, np.nan]))
    examination = SimpleNamespace(
        dead={"dense": 0.25},
        saturated={},
        gates={"lstm": {"input": 0.0, "forget": 0.9}},
        scales={"dense": SimpleNamespace(rms=2.0, offset=0.5, spread=1e4)},
        masks={"lstm": SimpleNamespace(steps=0.5, data=np.nan, blind=0.1)},
        statistics={"batch_norm": SimpleNamespace(spread=0.01)},
    )
    trial = SimpleNamespace(
        losses=np.array([2.0, 1.0, np.inf, np.nan]), baseline=10.0, reference=10.0
    )
    made = {
        "flow": flow,
        "time_flows": {"lstm": steps},
        "examination": examination,
        "trial": trial,
    }
    return SimpleNamespace(**(made | changes))


def empty_examination():
    names = ("dead", "saturated", "gates", "scales", "masks", "statistics")
    return SimpleNamespace(**{name: {} for name in names})


def test_a_gradient_is_relative_to_the_one_nearest_the_loss_and_without_gaps():
    by_layer = show.chart(a_diagnosis(), "gradient by layer")
    np.testing.assert_allclose(by_layer["x"], [0, 1])
    np.testing.assert_allclose(by_layer["y"], [0, -3])
    by_step = show.chart(a_diagnosis(), "gradient by time step")
    np.testing.assert_allclose(by_step["x"], [0, 1, 2])
    np.testing.assert_allclose(by_step["y"], [0, -1, -2])
    assert "0.01 arrives" in by_step["says"]


def test_a_loss_that_reads_an_earlier_step_is_where_its_gradient_begins():
    steps = SimpleNamespace(rms_by_distance=np.array([0.0, 0.0, 0.5, 0.05]))
    found = show.chart(a_diagnosis(time_flows={"rnn": steps}), "gradient by time step")
    np.testing.assert_allclose(found["x"], [2, 3])
    np.testing.assert_allclose(found["y"], [0, -1])


@pytest.mark.parametrize(
    ("rms", "words"),
    [
        ([0.0, 0.0], "is 0 everywhere"),
        ([np.nan, np.inf], "is no number anywhere"),
        ([0.0, 0.5], "reads one step only"),
    ],
)
def test_a_gradient_with_nothing_to_compare_says_why(rms, words):
    steps = SimpleNamespace(rms_by_distance=np.array(rms))
    found = show.chart(a_diagnosis(time_flows={"rnn": steps}), "gradient by time step")
    assert words in found["says"]
    assert not len(found["x"])


@pytest.mark.parametrize("losses", [[-0.3, -0.4, -0.5], [0.5, 0.0, 0.1]])
def test_a_loss_without_a_logarithm_is_told_and_not_drawn(losses):
    trial = SimpleNamespace(losses=np.array(losses), baseline=1.0, reference=1.0)
    found = show.chart(a_diagnosis(trial=trial), "first losses")
    assert f"goes from {losses[0]:.3g} to {losses[-1]:.3g}" in found["says"]
    assert "not above 0 throughout" in found["says"]
    assert not len(found["x"])


def test_bars_have_names_and_what_is_no_number_is_left_out():
    units = show.chart(a_diagnosis(), "units and gates")
    assert units["names"] == ["dense, dead", "input, saturated", "forget, shut"]
    np.testing.assert_allclose(units["sizes"], [0.25, 0, 0.9])
    masks = show.chart(a_diagnosis(), "masks and Batch Norm")
    assert "of these: with data" not in masks["names"]
    assert masks["names"][-1] == "batch_norm: deviation"
    inputs = show.chart(a_diagnosis(), "inputs")
    np.testing.assert_allclose(inputs["sizes"], [2.0, 0.5, 1e4])


def test_a_loss_that_is_no_number_any_more_ends_there_and_says_so():
    losses = show.chart(a_diagnosis(), "first losses")
    np.testing.assert_allclose(losses["y"], np.log10([2.0, 1.0]))
    assert losses["level"] == pytest.approx(1.0)
    assert "from step 3 on is no number; always the same answer has 10" in losses["says"]
    trial = SimpleNamespace(losses=np.array([2.0, 1.0]), baseline=np.nan, reference=2.0)
    losses = show.chart(a_diagnosis(trial=trial), "first losses")
    assert losses["level"] == pytest.approx(np.log10(2.0))
    assert losses["says"] == "The loss goes from 2 to 1 in 2 steps."


@pytest.mark.parametrize("look", show.LOOKS)
def test_every_look_has_a_picture_and_says_what_it_shows(look):
    figure = Figure()
    picture = show.ChartPicture(figure)
    for diagnosis in (a_diagnosis(), a_diagnosis(time_flows={}, examination=empty_examination())):
        shown = show.chart(diagnosis, look)
        picture.update(shown | {"title": "a title"})
        (axes,) = [one for one in figure.axes if one.get_visible()]
        assert shown["says"].endswith(".")
        drawn = len(shown["x"]) or len(shown["names"])
        assert bool(axes.texts and axes.texts[0].get_text() == shown["says"]) != bool(drawn)


def test_bars_are_as_long_as_their_numbers():
    figure = Figure()
    show.ChartPicture(figure).update(show.chart(a_diagnosis(), "units and gates"))
    (axes,) = [one for one in figure.axes if one.get_visible()]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [0.25, 0, 0.9])
    assert [text.get_text() for text in axes.texts] == ["0.25", "0", "0.9"]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: show.chart(a_diagnosis(), "gradient"), "`look` is 'gradient'; it takes one of"),
        (lambda: show.chart(3, "inputs"), "`diagnosis` is 3; it takes what"),
        (lambda: show.ChartPicture("none"), "`figure` is 'none'; it takes a matplotlib figure"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        make()
