"""The picture of a stack of blocks: lines by matrix, and what has no number or is rounding."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from course_lib import show
from course_lib.show.blocks import KERNELS, LOWEST


@pytest.fixture
def picture():
    figure = plt.figure()
    yield show.BlockPicture(figure, 24)
    plt.close(figure)


def test_each_matrix_has_its_line(picture):
    norms = {name: 10.0 ** np.arange(-i, 3 - i) for i, name in enumerate(KERNELS)}
    picture.update(norms, [1.0, 0.1, 0.01, 0.001], title="a finding")
    for i, line in enumerate(picture.gradients.get_lines()):
        assert line.get_xdata().tolist() == [1, 2, 3]
        np.testing.assert_allclose(line.get_ydata(), [-i, 1 - i, 2 - i], atol=1e-12)
    np.testing.assert_allclose(picture.diversity.get_lines()[0].get_ydata(), [0, -1, -2, -3])
    titles = [picture.gradients.get_title(loc=place) for place in ("left", "center")]
    assert "a finding" in titles


def test_nothing_is_drawn_as_rounding_and_no_number_as_a_gap(picture):
    norms = {name: [0.0, np.nan, 1e-30] for name in KERNELS}
    picture.update(norms, [1.0, np.inf, 0.0, 1e-3], title="")
    heights = picture.gradients.get_lines()[0].get_ydata()
    assert heights[0] == heights[2] == LOWEST
    assert np.isnan(heights[1])
    assert np.isnan(picture.diversity.get_lines()[0].get_ydata()[1])


@pytest.mark.parametrize(
    ("norms", "words"),
    [
        ({"W_Q": [1.0]}, "`kernel_norms`"),
        ({name: [1.0, 2.0] for name in KERNELS}, "shape"),
    ],
)
def test_what_does_not_fit_is_refused(picture, norms, words):
    with pytest.raises((TypeError, ValueError), match=words):
        picture.update(norms, [1.0, 1.0], title="")


def test_a_picture_takes_a_figure():
    with pytest.raises(TypeError, match="`figure`"):
        show.BlockPicture(None, 3)
