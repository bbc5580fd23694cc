"""The pictures of attention: they move, say what they show, and refuse what does not fit."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show
from course_lib.show.canvas import Canvas


def title_of(axes):
    return axes.get_title(loc="left") + axes.get_title()  # wherever the style puts it


def arrays(text="4 jul 76", row=3):
    weights = np.full((10, len(text)), 0.1 / (len(text) - 1))
    weights[:, 6] = 0.9
    return {"weights": weights, "text": text, "answer": "1976-07-04", "row": row, "title": "found",
            "sure": np.linspace(0.5, 0.95, 10)}  # fmt: skip


def texts_in(axes):
    return "".join(text.get_text() for text in axes.texts)


def test_alignment_shows_weights_names_and_the_numbers_of_one_row():
    picture = show.AlignmentPicture(Figure((7, 5)), 10, 28)
    picture.update(arrays())
    assert title_of(picture.map) == "found"
    assert texts_in(picture.map) == "4␣jul␣761976-07-04"
    image = picture.map.get_images()[0].get_array()
    assert image.shape == (10, 28)
    assert image[0, 6] == 0.9
    assert image.mask[:, 8:].all()
    assert not image.mask[:, :8].any()
    assert texts_in(picture.row) == "0.904␣jul␣76"
    assert "Character 3 of the answer, “7”" in title_of(picture.row)


def test_alignment_shows_how_probable_each_character_was():
    picture = show.AlignmentPicture(Figure((7, 5)), 10, 28)
    picture.update(arrays())
    widths = [bar.get_width() for bar in picture.sure.patches]
    np.testing.assert_allclose(widths, np.linspace(0.5, 0.95, 10))
    assert texts_in(picture.sure).startswith("0.500.55")
    assert "least probable character is number 1, “1”, 0.50" in picture.tell(arrays())


def test_alignment_moves_without_its_axes_drawn_anew():
    figure = Figure((7, 5))
    picture = show.AlignmentPicture(figure, 10, 28)
    picture.update(arrays())
    canvas = Canvas(figure)
    for change in ({}, {"text": "4 jul 1976"}, {"row": 7}):
        picture.update(arrays(**change))
        canvas.pixels()
    assert (canvas.full_draws, canvas.blits) == (1, 2)


def test_alignment_in_words_says_where_the_weight_lies():
    told = show.AlignmentPicture.tell(arrays())
    assert "“4 jul 76” becomes “1976-07-04”" in told
    assert "1 at “7” (7), 0.90" in told


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"weights": np.zeros((10, 3))}, "`weights` has shape (10, 3)"),
        ({"row": 11}, "`row` is 11"),
        ({"sure": np.ones(3)}, "`sure` has shape (3,)"),
        ({"answer": "1976", "weights": np.ones((4, 8))}, "takes 10 rows"),
    ],
)
def test_alignment_refuses_what_does_not_fit(change, part):
    picture = show.AlignmentPicture(Figure((7, 5)), 10, 28)
    with pytest.raises(ValueError, match=part.replace("(", r"\(").replace(")", r"\)")):
        picture.update(arrays() | change)
    missing = arrays()
    del missing["text"]
    with pytest.raises(ValueError, match="no 'text'"):
        picture.update(missing)


def test_sharpness_moves_its_lines():
    picture = show.SharpnessPicture(Figure((7, 3.5)), [1, 2, 4], ranks=2)
    of = {"largest": [[0.9, 0.1], [0.6, 0.4]], "lines": np.arange(6.0).reshape(2, 3), "d_k": 4,
          "now": [2.0, 5.0], "name": "entropy", "highest": 6.0}  # fmt: skip
    picture.update(of)
    np.testing.assert_array_equal(picture.line.get_lines()[1].get_ydata(), [3, 4, 5])
    np.testing.assert_array_equal(picture.weights.get_lines()[0].get_ydata(), [0.9, 0.1])
    assert "unscaled 2, scaled 5" in picture.tell(of)
    with pytest.raises(TypeError, match="`figure`"):
        show.SharpnessPicture(None, [1])


def test_clock_moves_its_hands():
    picture = show.ClockPicture(Figure((7, 3.5)), 5)
    picture.update({"fit": np.arange(5.0) / 5, "t": 1, "there": 3, "turned": 90.0, "title": "fit",
                    "hands": [[0.0, 1.0], [1.0, 0.0]]})  # fmt: skip
    assert title_of(picture.clock) == "turned by 90°"
    first, second = picture.clock.get_lines()[1:]
    np.testing.assert_array_equal(first.get_xydata()[1], [0, 1])
    np.testing.assert_array_equal(second.get_xydata()[1], [1, 0])
    with pytest.raises(ValueError, match="`length` is 0"):
        show.ClockPicture(Figure(), 0)
