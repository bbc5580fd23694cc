"""Pictures of clipped gradients."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show
from course_lib.show.canvas import Canvas

LIMITS = [0.1, 1.0, 10.0]
WAYS = ["by value", "by norm"]
W, B = np.linspace(4, 5, 5), np.linspace(-3, -2, 4)
SURFACE = np.add.outer(B, W)


def title(axes):
    return axes.get_title(loc="left") or axes.get_title()


def test_the_arrow_its_square_and_its_circle():
    figure = Figure()
    picture = show.ClipPicture(figure, 5)
    picture.update({"gradient": [4.0, 1.0], "by_value": [1, 1], "by_norm": [0.8, 0.2], "limit": 1})
    circle, square, gradient, by_value, by_norm = figure.axes[0].get_lines()
    np.testing.assert_allclose(np.hypot(*circle.get_xydata().T), 1)
    np.testing.assert_allclose(np.abs(square.get_xydata()).max(axis=1), 1)
    for line, end in ((gradient, [4, 1]), (by_value, [1, 1]), (by_norm, [0.8, 0.2])):
        np.testing.assert_allclose(line.get_xydata(), [[0, 0], end])
    assert title(figure.axes[0]) == "By value it turns by 31°, by norm by 0°"


def test_angles_over_the_limit_and_at_the_chosen_one():
    figure = Figure()
    picture = show.AnglePicture(figure, LIMITS, WAYS)
    picture.update({"c": 2.0, "by value": [30.0, 20, 0, 12], "by norm": [5.0, 4, 0, 3]})
    value, norm, dots = figure.axes[0].get_lines()
    assert value.get_ydata().tolist() == [30, 20, 0]
    assert norm.get_ydata().tolist() == [5, 4, 0]
    assert dots.get_xydata().tolist() == [[2, 12], [2, 3]]
    assert title(figure.axes[0]) == "by value 12°, by norm 3°"


def test_two_walks_on_the_surface_and_their_losses():
    figure = Figure()
    picture = show.WallPicture(figure, W, B, SURFACE, ["without", "clipped"])
    walks = np.array([[[4.5, -2.5], [7.5, 1.5]], [[4.5, -2.5], [4.53, -2.46]]])
    picture.update({"walks": walks, "losses": [[0.1, 0.09], [0.1, 0.0]]})
    left, right = figure.axes[:2]
    for line, points in zip(left.get_lines(), walks, strict=True):
        np.testing.assert_allclose(line.get_xydata(), points)
    assert right.get_lines()[0].get_ydata().tolist() == [0.1, 0.09]
    assert right.get_lines()[1].get_ydata()[1] > 0  # a loss of 0 has a place on the paper
    assert title(left) == "First step: 5 long without, 0.05 with clipping"


def test_walks_of_as_many_steps_leave_the_axes_as_they_are():
    """New limits draw the whole figure again, which takes ten times as long."""
    walks = np.array([[[4.5, -2.5], [7.5, 1.5]], [[4.5, -2.5], [4.53, -2.46]]])
    with show.house_style():
        figure = Figure(figsize=(8.5, 3.8))
        picture = show.WallPicture(figure, W, B, SURFACE, ["without", "clipped"])
        canvas = Canvas(figure)
        for end in (0.1, 0.2):
            picture.update({"walks": walks, "losses": [[0.1, end], [0.1, 0.0]]})
            canvas.pixels()
        drawn = canvas.full_draws
        picture.update({"walks": walks, "losses": [[0.3, 0.1], [0.3, 0.2]]})
        assert np.array_equal(canvas.pixels().copy(), canvas.redrawn())
        assert canvas.full_draws == drawn
        picture.update({"walks": np.repeat(walks, 2, axis=1), "losses": np.full((2, 4), 0.1)})
        assert np.array_equal(canvas.pixels().copy(), canvas.redrawn())
        assert canvas.full_draws == drawn + 1
        assert figure.axes[1].get_xlim() == (0, 3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda f: show.ClipPicture(f, 0), "`reach`"),
        (lambda f: show.ClipPicture("no figure", 1), "`figure`"),
        (lambda f: show.AnglePicture(f, [1.0], WAYS), "`limits`"),
        (lambda f: show.AnglePicture(f, [1.0, 0.1], WAYS), "`limits`"),
        (lambda f: show.AnglePicture(f, LIMITS, "by value"), "`names`"),
        (lambda f: show.AnglePicture(f, LIMITS, list("abcde")), "`names`"),
        (lambda f: show.WallPicture(f, W, B, SURFACE.T, ["a", "b"]), "`surface`"),
        (lambda f: show.WallPicture(f, W, B, SURFACE, ["a"]), "`names`"),
    ],
)
def test_what_does_not_fit_is_refused(make, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        make(Figure())


def test_a_gradient_without_direction_is_refused():
    picture = show.ClipPicture(Figure(), 5)
    nothing = {"gradient": [0.0, 0.0], "by_value": [0, 0], "by_norm": [0, 0], "limit": 1}
    with pytest.raises(ValueError, match="no direction"):
        picture.update(nothing)
