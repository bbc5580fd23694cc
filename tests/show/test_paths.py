"""Paths on a surface."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show

GRID = np.linspace(-2, 2, 41)
BOWL = GRID[:, None] ** 2 + GRID**2


@pytest.fixture
def axes():
    return Figure().add_subplot()


@pytest.fixture
def picture(axes):
    return show.PathPicture(axes, ["Adam", "momentum"], box=(-2, 2))


def title(axes):
    return axes.get_title(loc="left") or axes.get_title()  # in the house style, and without it


def points(axes, number):
    return axes.get_lines()[number].get_xydata()


def test_contour_lines_of_a_bowl_are_circles(axes, picture):
    picture.update(BOWL, {})
    contours = points(axes, 0)
    gaps = np.flatnonzero(np.isnan(contours[:, 0]))
    first = contours[: gaps[0]]
    radii = np.hypot(*first.T)
    assert np.ptp(radii) < 0.05
    assert len(gaps) >= 8


def test_the_row_of_a_height_is_the_second_parameter(axes, picture):
    picture.update(np.repeat(GRID[:, None], 41, axis=1) ** 2, {})  # a valley along θ₁
    contours = points(axes, 0)
    first = contours[: np.flatnonzero(np.isnan(contours[:, 0]))[0]]
    assert np.ptp(first[:, 1]) < 1e-9 < np.ptp(first[:, 0])


def test_a_path_is_drawn_as_it_was_walked_and_marked_at_its_end(axes, picture):
    walked = np.array([[2.0, 1.0], [1.0, 0.5], [0.0, 0.0]])
    picture.update(BOWL, {"momentum": walked})
    np.testing.assert_array_equal(points(axes, 2), walked)
    assert axes.get_lines()[2].get_markevery() == [-1]
    assert len(points(axes, 1)) == 0


@pytest.mark.parametrize("lost", [np.inf, np.nan, 1e6])
def test_a_path_that_leaves_is_cut_where_it_leaves(axes, picture, lost):
    picture.update(BOWL, {"Adam": [[1.0, 1.0], [5.0, 5.0], [lost, 0.0], [0.0, 0.0]]})
    np.testing.assert_array_equal(points(axes, 1), [[1, 1], [5, 5]])


def test_a_masked_point_ends_a_path(axes, picture):
    path = np.ma.masked_greater([[1.0, 1.0], [3.0, 0.0]], 2)
    picture.update(BOWL, {"Adam": path})
    np.testing.assert_array_equal(points(axes, 1), [[1, 1]])


def test_each_name_has_its_own_color_and_marker(picture):
    styles = [tuple(style.values()) for style in picture.styles.values()]
    assert picture.styles == show.path_styles(["Adam", "momentum"])
    for values in zip(*styles, strict=True):  # colours, markers, dashes
        assert len(set(values)) == 2


def test_the_lowest_points_are_marked(axes, picture):
    picture.update(BOWL, {}, minima=[[0.0, 1.0], [0.5, -1.0]])
    crosses = axes.get_lines()[-1]
    np.testing.assert_array_equal(crosses.get_xydata(), [[0, 1], [0.5, -1]])
    assert crosses.get_marker() == "+"
    picture.update(BOWL, {})
    assert len(crosses.get_xydata()) == 0


def test_a_flat_surface_has_no_contour_lines_and_is_no_error(axes, picture):
    picture.update(np.zeros((5, 5)), {})
    assert np.isnan(points(axes, 0)).all()


def test_wrong_arguments_are_refused_in_words(axes, picture):
    with pytest.raises(TypeError, match="matplotlib axes"):
        show.PathPicture("here", ["Adam"], box=(0, 1))
    with pytest.raises(ValueError, match="`names` has 8 names"):
        show.PathPicture(axes, list("abcdefgh"), box=(0, 1))
    with pytest.raises(ValueError, match="lower end first"):
        show.PathPicture(axes, ["Adam"], box=(1, 0))
    with pytest.raises(ValueError, match="Adagrad"):
        picture.update(BOWL, {"Adagrad": np.zeros((2, 2))})
    with pytest.raises(ValueError, match=r"\(3,\)"):
        picture.update(BOWL, {"Adam": np.zeros(3)})
    with pytest.raises(ValueError, match=r"`minima` has shape \(3,\)"):
        picture.update(BOWL, {}, minima=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="heights"):
        picture.update(np.full((3, 3), np.nan), {})


def race(heights):
    names = ["Adam", "momentum"]
    figure = Figure()
    picture = show.RacePicture(figure, names, box=(-2, 2), steps=20)
    paths = np.ones((2, 21, 2))
    picture.update({"surface": BOWL, "paths": paths, "heights": heights})
    return figure.axes


def test_a_race_shows_paths_and_heights_and_names_the_lowest():
    heights = np.ones((2, 21)) * [[1e-3], [1e-5]]
    left, right = race(heights)
    assert len(left.get_lines()) == 4  # contours, two paths, the lowest points
    np.testing.assert_array_equal(points(right, 1)[:, 1], heights[1])
    assert title(right).endswith("momentum")
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["Adam", "momentum"]


def test_where_all_have_left_nobody_has_won():
    heights = np.ma.array(np.ones((2, 21)), mask=False)
    heights[:, 5:] = np.ma.masked
    _, right = race(heights)
    assert title(right) == "All have left"


def test_who_has_left_has_lost():
    heights = np.ma.array(np.ones((2, 21)) * [[1e-3], [1e-5]], mask=False)
    heights[1, 15:] = np.ma.masked
    _, right = race(heights)
    assert title(right).endswith("Adam")


@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_the_last_ten_heights_decide_and_not_one_lucky_step(end):
    heights = np.ones((3, 30))
    heights[0, -1], heights[1, -10:], heights[2, -1] = 1e-9, 0.5, end
    assert show.lowest_at_the_end(heights) == 1


def test_a_race_refuses_what_does_not_fit():
    with pytest.raises(TypeError, match="matplotlib figure"):
        show.RacePicture("here", ["Adam"], box=(0, 1), steps=3)
    with pytest.raises(ValueError, match="steps"):
        show.RacePicture(Figure(), ["Adam"], box=(0, 1), steps=0)


def test_steps_are_drawn_and_summed_up_in_the_title():
    figure = Figure()
    picture = show.StepPicture(figure, 4, "{first}, {longest}, {short}", limits=(1e-3, 10))
    picture.update({"lengths": [1.0, 3.16, 0.2, 0.4]})
    (axes,) = figure.axes
    np.testing.assert_array_equal(points(axes, 1)[:, 1], [1.0, 3.16, 0.2, 0.4])
    assert title(axes) == "1.00, 3.16, 2"
    assert axes.get_xscale() == axes.get_yscale() == "log"


def test_steps_refuse_what_does_not_fit():
    with pytest.raises(TypeError, match="matplotlib figure"):
        show.StepPicture("here", 3, "steps")
    with pytest.raises(ValueError, match="count"):
        show.StepPicture(Figure(), 0, "steps")
    with pytest.raises(ValueError, match="limits"):
        show.StepPicture(Figure(), 3, "steps", limits=(2, 1))
    with pytest.raises(ValueError, match="lengths"):
        show.StepPicture(Figure(), 3, "steps").update({"lengths": [1.0, 2.0]})
