"""A recurrent unit unrolled in time, and the terms of its gradient."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from course_lib import show

ARRAYS = {
    "x": [1.0, 0.5, -1.0],
    "h": [0.0, 0.76, -0.2, 0.95],
    "delta": [0.0003, -0.42, 1.0],
    "factor": [0.25, -0.42],
    "error": [0.0, 0.0, 1.0],
    "reached": 6,
}


@pytest.fixture
def axes():
    return Figure().add_subplot()


@pytest.fixture
def picture(axes):
    return show.UnrolledPicture(axes, longest=4)


def words(axes):
    return [text.get_text() for text in axes.texts if text.get_text()]


def arrows(axes):
    return [p for p in axes.patches if isinstance(p, FancyArrowPatch) and p.get_visible()]


def test_all_numbers_stand_there_when_both_passes_are_done(axes, picture):
    picture.update(ARRAYS)
    expected = ["0.76", "−0.20", "0.95", "3e−4", "−0.42", "1.00", "×0.25", "×−0.42", "e = 1"]
    assert set(expected) <= set(words(axes))
    assert "t = 3" in words(axes)
    assert "t = 4" not in words(axes)
    assert len(arrows(axes)) == 3 + 3 + 2 + 1  # up, onward, back, from the loss


def test_nothing_is_told_before_it_is_reached(axes, picture):
    picture.update(ARRAYS | {"reached": 2})
    assert "−0.20" in words(axes)
    assert not {"0.95", "1.00", "×0.25", "e = 1"} & set(words(axes))
    assert len(arrows(axes)) == 4


@pytest.mark.parametrize(
    ("reached", "sentence"),
    [
        (0, "3 steps, nothing computed yet"),
        (2, "Forward to step 2 of 3: h = −0.20"),
        (4, "Back to step 3 of 3: δ = 1.00"),
        (6, "Back to step 1 of 3: δ = 3e−4"),
    ],
)
def test_the_title_says_which_box_was_filled_last(axes, picture, reached, sentence):
    arrays = ARRAYS | {"reached": reached}
    picture.update(arrays)
    assert axes.get_title(loc="left") + axes.get_title() == sentence
    assert picture.tell(arrays) == sentence


def test_the_gradient_comes_back_box_by_box(axes, picture):
    picture.update(ARRAYS | {"reached": 5})
    assert {"1.00", "−0.42", "×−0.42"} <= set(words(axes))
    assert not {"3e−4", "×0.25"} & set(words(axes))


def test_a_factor_of_zero_is_called_a_cut(axes, picture):
    picture.update(ARRAYS | {"factor": [0.0, -0.42]})
    assert "cut" in words(axes)
    assert len(arrows(axes)) == 8


def test_the_color_follows_the_number_and_the_ink_the_color(axes, picture):
    picture.update(ARRAYS)
    boxes = [p for p in axes.patches if not isinstance(p, FancyArrowPatch)]
    negative, positive = boxes[2].get_facecolor(), boxes[3].get_facecolor()
    assert negative[0] > negative[2]  # orange
    assert positive[2] > positive[0]  # violet
    ink = {text.get_text(): text.get_color() for text in axes.texts}
    assert ink["0.95"] == show.COLORS["paper"]
    assert ink["−0.20"] == show.COLORS["ink"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": [1.0]}, "`x` has 1 steps; it takes 2 to 4"),
        ({"x": [1.0] * 5}, "`x` has 5 steps; it takes 2 to 4"),
        ({"h": [0.0, 1.0]}, r"`h` has shape \(2,\)"),
        ({"delta": [0.0, np.nan, 1.0]}, "`delta`"),
        ({"factor": [1.0]}, r"`factor` has shape \(1,\)"),
        ({"reached": 7}, "`reached` is 7"),
        ({"reached": 1.5}, "`reached` is 1.5"),
    ],
)
def test_bad_numbers_are_refused(picture, change, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        picture.update(ARRAYS | change)


def test_bad_axes_and_lengths_are_refused(axes):
    with pytest.raises(TypeError, match="`axes`"):
        show.UnrolledPicture("axes", 4)
    with pytest.raises(ValueError, match="`longest`"):
        show.UnrolledPicture(axes, 1)


def terms(**change):
    sizes = np.tril(np.full((3, 3), 1e-2))
    sizes[2, 2] = 1.0
    return {"sizes": sizes, "kept": np.eye(3), "title": "three of six"} | change


def test_terms_are_powers_of_ten_and_what_is_dropped_is_covered():
    picture = show.TermsPicture(Figure(), 3)
    picture.update(terms())
    (image,) = picture.axes.images
    shown = np.asarray(image.get_array())
    scale, paper = image.get_cmap(), np.array(to_rgba(show.COLORS["paper"]))
    np.testing.assert_allclose(shown[2, 2], scale(1.0))  # the largest, kept
    np.testing.assert_allclose(shown[1, 1], scale(0.6))  # two of five decades below
    np.testing.assert_allclose(shown[1, 0], 0.2 * np.array(scale(0.6)) + 0.8 * paper)  # dropped
    np.testing.assert_allclose(shown[0, 1], paper)  # no loss reaches a later use
    assert picture.axes.get_title(loc="left") + picture.axes.get_title() == "three of six"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sizes": np.zeros((3, 3))}, "no term above 0"),
        ({"sizes": np.ones((2, 2))}, r"`sizes` has shape \(2, 2\)"),
        ({"sizes": np.full((3, 3), np.nan)}, "`sizes`"),
        ({"kept": np.ones(3)}, r"`kept` has shape \(3,\)"),
    ],
)
def test_bad_terms_are_refused(change, sentence):
    picture = show.TermsPicture(Figure(), 3)
    with pytest.raises(ValueError, match=sentence):
        picture.update(terms(**change))


def test_bad_figures_and_lengths_are_refused():
    with pytest.raises(TypeError, match="`figure`"):
        show.TermsPicture("figure", 3)
    with pytest.raises(ValueError, match="`length`"):
        show.TermsPicture(Figure(), 0)
