"""The picture of two witnesses of one gradient."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show

TRUE = {"W": np.array([[1.0, -2.0], [0.5, 0.0]]), "b": np.array([3.0, -1.0])}


def drawn(ours):
    figure = Figure()
    picture = show.WitnessPicture(figure, list(TRUE))
    arrays = {"true": TRUE, "ours": TRUE | ours}
    picture.update(arrays)
    axes = figure.axes[0]
    dots = {line.get_label(): line for line in axes.get_lines() if line.get_label() in TRUE}
    title = axes.get_title(loc="left") or axes.get_title()
    assert title == show.WitnessPicture.tell(arrays)
    return title, dots


def test_a_gradient_that_is_no_longer_given_leaves_the_paper():
    figure = Figure()
    picture = show.WitnessPicture(figure, list(TRUE))
    off = {name: value + 1 for name, value in TRUE.items()}
    picture.update({"true": TRUE, "ours": off})
    first = next(iter(TRUE))
    picture.update({"true": {first: TRUE[first]}, "ours": {first: TRUE[first]}})
    seen = [len(line.get_xdata()) for line in figure.axes[0].lines if line.get_label() in TRUE]
    assert seen == [np.size(TRUE[first]), *[0] * (len(TRUE) - 1)]


def test_what_agrees_is_on_the_line():
    title, dots = drawn({})
    assert title == "All on the line"
    for name, line in dots.items():
        share = TRUE[name].ravel() / np.abs(TRUE[name]).max()
        np.testing.assert_allclose(line.get_xdata(), share)
        np.testing.assert_allclose(line.get_ydata(), share)


@pytest.mark.parametrize(
    ("ours", "title"),
    [
        ({"W": -TRUE["W"]}, "Off the line: W"),
        ({"b": np.float64(0.3)}, "Off the line: b"),
        ({"W": 0.9 * TRUE["W"], "b": 2 * TRUE["b"]}, "Off the line: W, b"),
        ({"b": TRUE["b"] + 1e-9}, "All on the line"),
    ],
)
def test_the_title_names_what_is_off_it(ours, title):
    assert drawn(ours)[0] == title


def test_a_single_number_stands_for_all_and_the_far_ones_stay_on_the_paper():
    assert drawn({"b": np.float64(0.3)})[1]["b"].get_ydata() == pytest.approx([0.1, 0.1])
    heights = drawn({"W": 100 * TRUE["W"]})[1]["W"].get_ydata()
    assert np.abs(heights).max() == pytest.approx(1.6)


def updated(figure, true, ours):
    arrays = {"true": TRUE | true, "ours": TRUE | ours}
    show.WitnessPicture(figure, list(TRUE)).update(arrays)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda f: show.WitnessPicture("no figure", ["W"]), "`figure`"),
        (lambda f: show.WitnessPicture(f, "W"), "`names`"),
        (lambda f: show.WitnessPicture(f, []), "`names`"),
        (lambda f: show.WitnessPicture(f, list("abcdef")), "`names`"),
        (lambda f: updated(f, {"b": [0.0, 0.0]}, {}), "`true['b']` is 0 in every entry"),
        (lambda f: updated(f, {"b": [np.nan, 1.0]}, {}), "true['b']"),
        (lambda f: updated(f, {}, {"b": np.ones(3)}), "has shape (3,); it takes (2,)"),
    ],
)
def test_bad_input_is_named(make, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        make(Figure())
    assert sentence in str(caught.value)
