"""Dots on a line of theory, and many networks in a band."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show


@pytest.fixture
def axes():
    return Figure().add_subplot()


def heights(line):
    return line.get_xydata()[:, 1]


def test_theory_is_a_line_and_what_was_measured_becomes_dots_on_it(axes):
    show.gradient_picture({"ReLU, He": [1e-3, 1e-2, 1.0]}, axes)
    show.theory_lines(axes, {"ReLU, He": [1e-4, 1e-2, 1.0]})
    dots = [line for line in axes.get_lines() if line.get_marker() == "^" and len(heights(line))]
    assert [dot.get_linestyle() for dot in dots] == ["None"]
    np.testing.assert_allclose(heights(dots[0]), [0, -2, -3])
    theory = axes.get_lines()[-1]
    np.testing.assert_allclose(heights(theory), [0, -2, -4])
    assert theory.get_color() == show.COLORS["theory"]
    assert theory.get_zorder() < dots[0].get_zorder()


def test_the_line_of_theory_starts_at_the_loss_whatever_its_size_there(axes):
    show.gradient_picture({"ReLU, He": [1.0, 1.0]}, axes)
    show.theory_lines(axes, {"ReLU, He": [5.0, 50.0]})
    np.testing.assert_allclose(heights(axes.get_lines()[-1]), [0, -1])


def test_dots_and_line_move_together(axes):
    picture = show.TheoryPicture(axes, distance=3, decades=(-4, 1), ylabel="log₁₀ of the signal")
    picture.update([0.001, 0.1, 10.0], [1.0, 10.0, 100.0])
    line, dots = axes.get_lines()[-2:]
    np.testing.assert_allclose(heights(dots), [0, -2, -4])
    np.testing.assert_allclose(heights(line), [0, -1, -2])
    assert axes.get_title(loc="left") + axes.get_title() == "gradient × 0.0001"
    assert axes.get_ylabel() == "log₁₀ of the signal"
    assert axes.get_xlabel() == "distance from the loss (layers)"


def test_up_and_down_stand_side_by_side_and_are_level_without_theory():
    figure = plt.figure()
    picture = show.UpDownPicture(
        figure, distance=3, decades=(-4, 1), xlabel="layer", ylabel="log₁₀ of the spread"
    )
    picture.update([0.1, 1.0, 10.0], [100.0, 10.0, 1.0], down_theory=[4.0, 2.0, 1.0])
    left, right = figure.axes
    assert (picture.left.axes, picture.right.axes) == (left, right)
    assert (left.get_xlabel(), left.get_ylabel()) == ("layer", "log₁₀ of the spread")
    np.testing.assert_allclose(heights(left.get_lines()[-1]), [0, -1, -2])
    np.testing.assert_allclose(heights(left.get_lines()[-2]), [0, 0, 0])
    np.testing.assert_allclose(heights(right.get_lines()[-1]), [0, 1, 2])
    np.testing.assert_allclose(heights(right.get_lines()[-2]), np.log10([1, 2, 4]))
    plt.close(figure)
    with pytest.raises(TypeError, match="`figure`"):
        show.UpDownPicture(left, distance=3, decades=(-4, 1), xlabel="", ylabel="")


def test_what_vanished_entirely_leaves_a_gap(axes):
    picture = show.TheoryPicture(axes, distance=3, decades=(-4, 1))
    picture.update([0.0, 1.0], [1.0, 1.0])
    assert np.isnan(heights(axes.get_lines()[-1])[1])


def test_a_bad_entry_is_named(axes):
    picture = show.TheoryPicture(axes, distance=3, decades=(-4, 1))
    with pytest.raises(ValueError, match=r"`theory` holds -1\.0; it takes norms"):
        picture.update([1.0, 1.0], [-1.0, 1.0])


def test_a_fan_has_a_line_for_each_network_and_two_edges(axes):
    picture = show.FanPicture(axes, distance=2, decades=(-3, 1))
    picture.update([[0, -1, -2], [0, 0.5, 1]], [[0, -1, -1.5], [0, 1, 1.5]])
    (fan,) = axes.collections
    np.testing.assert_allclose([s[:, 1] for s in fan.get_segments()], [[0, -1, -2], [0, 0.5, 1]])
    np.testing.assert_allclose(heights(axes.get_lines()[-1]), [0, 1, 1.5])
    assert "between 0.014 and 7.1" in axes.get_title(loc="left") + axes.get_title()
    with pytest.raises(ValueError, match="`band` has shape"):
        picture.update([[0, -1, -2]], [[0, 1], [0, 1]])


def test_a_fan_is_drawn_quickly_as_it_would_be_anew():
    def compute(slope):
        rows = np.outer([1, -1, 2], np.arange(4)) * slope
        return {"heights": rows, "band": rows[:2]}

    def draw(figure):
        picture = show.FanPicture(figure.add_subplot(), distance=3, decades=(-9, 9))
        return lambda arrays: picture.update(**arrays)

    explorer = show.explore(
        compute, draw, alt=lambda a: "three lines", slope=show.slider("slope", 0.0, 1.0, 0.5)
    )
    for slope in (0.1, 0.9):
        quick = explorer.set(slope=slope).image
        with show.house_style():
            assert np.array_equal(quick, explorer.canvas.redrawn())
    assert explorer.canvas.blits
