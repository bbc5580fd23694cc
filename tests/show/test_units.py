"""Bends with their slopes, and shares as bars."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show

EDGES = np.linspace(-2, 2, 5)


def title_of(axes):
    return axes.get_title(loc="left") + axes.get_title()


def test_each_bend_has_a_panel_with_its_slope_and_the_largest():
    bends = {
        "square": (lambda a: a**2 / 8, lambda a: a / 4),
        "tanh": (np.tanh, lambda a: 1 - np.tanh(a) ** 2),
        "half": (lambda a: -a / 2, lambda a: np.full_like(a, -0.5)),
        "flat": (np.zeros_like, np.zeros_like),
    }
    figure = show.bend_panels(bends, limit=3)
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [title_of(axes) for axes in panels] == [
        "square, κ = 0.75", "tanh, κ = 1", "half, κ = 0.5", "flat, κ = 0",
    ]  # fmt: skip
    bend, slope = panels[1].get_lines()
    np.testing.assert_allclose(bend.get_ydata(), np.tanh(bend.get_xdata()))
    np.testing.assert_allclose(slope.get_ydata(), 1 - np.tanh(slope.get_xdata()) ** 2)
    assert bend.get_xdata()[[0, -1]].tolist() == [-3, 3]
    assert bend.get_linestyle() == "--"
    plt.close(figure)


@pytest.mark.parametrize(
    ("bends", "sentence"),
    [
        ({}, "`bends` is"),
        ([np.tanh], "`bends` is"),
        ({"sum": (np.tanh, np.sum)}, r"`bends\['sum'\]\[1\]\(a\)`"),
        ({"root": (lambda a: a * np.nan, np.tanh)}, r"`bends\['root'\]\[0\]\(a\)`"),
    ],
)
def test_what_is_no_bend_is_named(bends, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        show.bend_panels(bends)
    plt.close("all")


def test_a_layer_on_its_bend_moves_as_it_is_told():
    picture = show.BendPicture(Figure(), EDGES)
    arrays = {"counts": [0, 1, 0.5, 0], "φ": np.tanh(EDGES), "φ′": EDGES**2, "title": "0.23"}
    picture.update(arrays)
    bend, slope = picture.axes.get_lines()
    np.testing.assert_allclose(bend.get_ydata(), np.tanh(EDGES))
    np.testing.assert_allclose(slope.get_ydata(), EDGES**2)
    np.testing.assert_allclose(picture.axes.patches[0].get_data().values, [0, 1, 0.5, 0])
    assert title_of(picture.axes) == "0.23"


def test_shares_stand_under_their_names():
    picture = show.SharePicture(Figure(), EDGES, ["units", "energy"], xlabel="output h", top=0.6)
    picture.update({"units": [1, 0, 0, 0], "energy": [0, 0, 0.2, 0.8], "title": "few carry most"})
    bars, outline = picture.axes.patches
    np.testing.assert_allclose(bars.get_data().values, [1, 0, 0, 0])
    np.testing.assert_allclose(outline.get_data().values, [0, 0, 0.2, 0.8])
    assert bars.get_fill()
    assert not outline.get_fill()
    assert picture.axes.get_ylim() == (0, 0.6)
    assert title_of(picture.axes) == "few carry most"
    assert [text.get_text() for text in picture.axes.get_legend().get_texts()] == [
        "units", "energy",
    ]  # fmt: skip


def test_one_series_needs_no_legend():
    assert show.SharePicture(Figure(), EDGES, ["on"], xlabel="units").axes.get_legend() is None


@pytest.mark.parametrize(
    ("edges", "names", "sentence"),
    [
        ([0.0], ["a"], "`edges` has shape"),
        ([0.0, 0.0], ["a"], "`edges` has shape"),
        (EDGES, [], "`names` is"),
        (EDGES, ["a", "b", "c"], "`names` is"),
        (EDGES, "ab", "`names` is"),
    ],
)
def test_bad_edges_and_names_are_refused(edges, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        show.SharePicture(Figure(), edges, names, xlabel="x")


def test_residuals_hang_on_the_line():
    axes = Figure().add_subplot()
    picture = show.ResidualPicture(axes)
    picture.update([-1.0, 0.0, 1.0], [1.0, 0.0, 2.0], [0.5, -1.0, 0.5])
    line, gaps, points, residuals = axes.get_lines()
    np.testing.assert_allclose(line.get_ydata(), [0.5, 1.0, 1.5])
    np.testing.assert_allclose(points.get_ydata(), [1.0, 0.0, 2.0])
    np.testing.assert_allclose(residuals.get_ydata(), [0.5, -1.0, 0.5])
    np.testing.assert_allclose(gaps.get_ydata()[:3], [1.0, 0.5, np.nan])
    assert title_of(axes) == "54.8% of g is left"
    picture.update([0.0], [0.0], [0.0])
    assert title_of(axes) == "0.0% of g is left"


def test_residuals_refuse_what_does_not_fit():
    picture = show.ResidualPicture(Figure().add_subplot())
    with pytest.raises(ValueError, match="have 2, 1 and 2 numbers"):
        picture.update([0.0, 1.0], [1.0], [1.0, 1.0])
    with pytest.raises(TypeError, match="`axes`"):
        show.ResidualPicture(Figure())
