"""Lines of the picture: a thing keeps its colour, its variants differ by marker and dash."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib.show.gradients import GradientPicture, gradient_picture
from course_lib.show.style import COLORS

NORMS = np.geomspace(1e-3, 1, 5)


@pytest.fixture
def axes():
    return Figure().add_subplot()


def lines_of(axes):
    return [line for line in axes.lines if len(line.get_xdata()) == len(NORMS)]


def title_of(axes):
    """The title, wherever the style of the moment puts it."""
    return axes.get_title("left") or axes.get_title()


def test_variants_of_one_activation_share_its_color_and_differ_otherwise(axes):
    gradient_picture({"ReLU, He": NORMS, "ReLU, Glorot": NORMS / 2, "tanh, Glorot": NORMS}, axes)
    he, glorot, tanh = lines_of(axes)
    assert he.get_color() == glorot.get_color() == COLORS["relu"]
    assert tanh.get_color() == COLORS["tanh"]
    assert he.get_marker() != glorot.get_marker()
    assert he.get_linestyle() != glorot.get_linestyle()


def test_lines_drawn_one_by_one_look_as_if_drawn_together(axes):
    together = Figure().add_subplot()
    gradient_picture({"tanh, a": NORMS, "tanh, b": NORMS}, together)
    gradient_picture(NORMS, axes, label="tanh, a")
    gradient_picture(NORMS, axes, label="tanh, b")
    for one, other in zip(lines_of(axes), lines_of(together), strict=True):
        assert one.get_marker() == other.get_marker()
        assert one.get_linestyle() == other.get_linestyle()


def test_a_moving_picture_says_what_arrives(axes):
    picture = GradientPicture(axes, ["sigmoid"], distance=4, decades=(-5, 5), limits=["float16"])
    picture.update({"sigmoid": NORMS})
    assert title_of(axes) == "0.001 of the gradient arrives: a factor of 0.178 a layer"
    picture.update({"sigmoid": NORMS[::-1]})
    assert title_of(axes) == "1000 times the gradient arrives: a factor of 5.62 a layer"


def test_a_picture_without_its_line_is_refused(axes):
    picture = GradientPicture(axes, ["sigmoid"], distance=4, decades=(-5, 5))
    with pytest.raises(ValueError, match="`norms`"):
        picture.update({"tanh": NORMS})
