"""Eigenvalues beside the unit circle, and what arrives beside its two guides."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from course_lib import show


@pytest.fixture
def picture():
    return show.SpectrumPicture(Figure(), ["tanh", "relu"], distance=4, decades=(-4, 4), reach=3)


def arrays(**more):
    eigenvalues = np.array([0.5 + 0.5j, 0.5 - 0.5j])
    return {
        "eigenvalues": eigenvalues, "norms": {"tanh": [0.01, 0.1, 1.0]}, "ceiling": 10.0,
        "rate": 0.1, "title": "a finding", "spectrum": "ρ = 0.71",
    } | more  # fmt: skip


def shown(axes):
    return [line.get_xydata() for line in axes.get_lines() if len(line.get_xydata()) == 3]


def test_the_eigenvalues_stand_in_the_plane_with_the_unit_circle(picture):
    picture.update(arrays())
    dots = picture.plane.get_lines()[-1].get_xydata()
    np.testing.assert_allclose(dots, [[0.5, 0.5], [0.5, -0.5]])
    (circle,) = [patch for patch in picture.plane.patches if isinstance(patch, Circle)]
    assert circle.radius == 1
    assert picture.plane.get_xlim() == picture.plane.get_ylim() == (-3, 3)
    assert picture.plane.get_title(loc="left") + picture.plane.get_title() == "ρ = 0.71"


def test_ceiling_and_eigenvalues_are_powers_of_their_factor_from_the_loss_on(picture):
    picture.update(arrays())
    heights = sorted(line[-1, 1] for line in shown(picture.axes))
    np.testing.assert_allclose(heights, [-2, -2, 2], atol=1e-12)
    assert all(line[0, 1] == 0 for line in shown(picture.axes))
    assert picture.axes.get_title(loc="left") + picture.axes.get_title() == "a finding"


def test_what_is_not_given_any_more_is_hidden(picture):
    picture.update(arrays())
    picture.update(arrays(norms={"relu": [1.0, 1.0, 1.0]}))
    assert len(shown(picture.axes)) == 3


def test_it_takes_a_figure_and_a_reach_above_zero():
    with pytest.raises(TypeError, match=r"`figure`.*a matplotlib figure"):
        show.SpectrumPicture(None, ["tanh"], distance=4, decades=(-4, 4))
    with pytest.raises(ValueError, match=r"`reach`.*above 0"):
        show.SpectrumPicture(Figure(), ["tanh"], distance=4, decades=(-4, 4), reach=0)


def test_a_line_must_have_been_announced(picture):
    with pytest.raises(ValueError, match="gru"):
        picture.update(arrays(norms={"gru": [1.0, 1.0, 1.0]}))
