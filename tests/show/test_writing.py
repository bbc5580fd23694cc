"""What a language model expects and writes, as a picture."""

import pytest
from matplotlib.figure import Figure

from course_lib import show
from course_lib.show import writing as writing_module

ARRAYS = {
    "characters": [" ", "e", "\n", "$"],
    "probabilities": [0.5, 0.25, 0.125, 0.125],
    "text": "the $x$ of\n  the " + "long " * 200,
    "bits": 1.75,
}


@pytest.fixture
def picture():
    with show.house_style():
        figure = Figure()
        yield show.WritingPicture(figure), figure


def test_bars_names_and_text_follow(picture):
    writing, figure = picture
    writing.update(ARRAYS)
    bars, page = figure.axes
    assert [bar.get_width() for bar in bars.patches[:5]] == [0.5, 0.25, 0.125, 0.125, 0]
    assert [label.get_text() for label in bars.get_yticklabels()][:4] == [
        "space", "e", "line end", "$",
    ]  # fmt: skip
    assert bars.get_title(loc="left") == "1.8 bits expected"
    lines = page.texts[0].get_text().split("\n")
    assert lines[0].startswith("the $x$ of the long")
    assert len(lines) == 7
    figure.draw_without_rendering()


POEM = {
    "characters": ["月", " "],
    "probabilities": [0.4, 0.1],
    "bits": 5.0,
    "text": "床前明月光，" * 40,
}


def test_without_a_font_for_them_characters_have_their_numbers(monkeypatch):
    monkeypatch.setattr(writing_module, "HAN", ())
    figure = Figure()
    show.WritingPicture(figure).update(POEM)
    bars, page = figure.axes
    assert [label.get_text() for label in bars.get_yticklabels()][:2] == ["U+6708", "space"]
    assert "No font" in page.texts[0].get_text()


def test_no_character_is_drawn_as_a_box(recwarn):
    figure = Figure()
    writing = show.WritingPicture(figure)
    writing.update(POEM | {"after": "举头"})
    figure.draw_without_rendering()
    assert not [warning for warning in recwarn if "missing from" in str(warning.message)]


def test_it_says_what_it_goes_on_from(picture):
    writing, figure = picture
    writing.update(ARRAYS | {"after": "of the"})
    assert figure.axes[1].get_title(loc="left") == "after “of the”"


def test_it_is_told_in_words():
    said = show.WritingPicture.tell(ARRAYS)
    assert "1.8 bits" in said
    assert "space with 0.50" in said
    assert "the $x$ of the" in said


def test_no_figure_is_refused():
    with pytest.raises(TypeError, match="`figure` is 3"):
        show.WritingPicture(3)
