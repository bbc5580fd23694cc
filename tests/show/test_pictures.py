"""Finished figures, heat maps, tables and notes: what the page gets, and what is refused."""

import base64
import html
import io
import re

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from course_lib import show
from course_lib.show import pictures, style

ALT = 'ReLU keeps 0.9 & "sigmoid" < 1e-18 of the gradient.'


@pytest.fixture
def shown(monkeypatch):
    """Give the list of what has been displayed: (data, metadata)."""
    displayed = []

    def display(data, raw, metadata):
        assert raw
        displayed.append((data, metadata))

    monkeypatch.setattr(pictures, "display", display)
    return displayed


def test_a_figure_reaches_the_page_with_its_alt_text(shown):
    figure, axes = plt.subplots(figsize=(7, 3.5))
    axes.plot([1, 2])
    show.figure(figure, alt=ALT, caption="recorded on 2 cores & 1 disk")
    (data, metadata) = shown[0]
    page = data["text/html"]
    assert html.unescape(re.search(r'alt="([^"]*)"', page)[1]) == ALT
    assert "recorded on 2 cores &amp; 1 disk</figcaption>" in page
    assert data["text/plain"].startswith(f"[Picture: {ALT}]")
    assert metadata["image/png"] == {"alt": ALT, "width": 700, "height": 350}
    inside = re.search(r"base64,([^\"]*)", page)[1]
    assert inside == data["image/png"]
    assert Image.open(io.BytesIO(base64.b64decode(inside))).size == (1400, 700)
    assert not plt.get_fignums()  # closed, or the notebook would show it twice


def test_a_figure_without_pyplot_can_be_shown_too(shown):
    show.figure(Figure(), alt="Nothing yet.")
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("plot", ALT), "`figure` is 'plot'; it takes a matplotlib figure."),
        ((Figure(), " "), "`alt` is empty; it takes a sentence"),
        ((Figure(), None), "`alt` is None; it takes a sentence"),
        ((Figure(), ALT, 3), "`caption` is 3; it takes a line of text"),
    ],
)
def test_figure_refuses(shown, arguments, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        show.figure(*arguments)
    assert sentence in str(caught.value)
    assert not shown


# ---------------------------------------------------------------- heat maps


def heat_map(values, **changes):
    axes = Figure().add_subplot()
    options = {"rows": [0.1, 0.01], "columns": ["a", "b", "c"], "label": "accuracy"} | changes
    return axes, show.heat_map(axes, values, **options)


def test_a_heat_map_names_rows_and_columns_and_writes_its_numbers():
    axes, image = heat_map([[0.1, 0.2, 0.3], [0.4, 0.5, 1.0]], limits=(0, 1))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.1", "0.01"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [text.get_text() for text in axes.texts] == [
        "0.10",
        "0.20",
        "0.30",
        "0.40",
        "0.50",
        "1.00",
    ]
    assert image.get_clim() == (0, 1)
    assert image.origin == "lower"  # the first row is the lowest, as on an axis


def test_numbers_contrast_with_their_cells():
    """Each number has 4.5 times the luminance of its cell, or the reverse, plus a bit (WCAG)."""
    axes, image = heat_map(np.linspace(0, 1, 6).reshape(2, 3))
    for text, value in zip(axes.texts, np.linspace(0, 1, 6), strict=True):
        one, other = luminance(text.get_color()), luminance(image.to_rgba(value)[:3])
        contrast = (max(one, other) + 0.05) / (min(one, other) + 0.05)
        assert contrast > 3.9, (value, contrast)


def luminance(color):
    channel = np.array(mpl.colors.to_rgb(color))
    linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize(
    ("values", "changes", "sentence"),
    [
        (np.eye(3), {}, "`values` has shape (3, 3); it takes finite numbers, 2 rows and 3 colu"),
        ([[1, 2, np.nan], [1, 2, 3]], {}, "`values` holds nan at [0, 2]"),
        (np.zeros((2, 3)), {"limits": (1, 0)}, "`limits` is (1, 0); it takes the lower value fir"),
    ],
)
def test_heat_map_refuses(values, changes, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        heat_map(values, **changes)
    assert sentence in str(caught.value)


# ---------------------------------------------------------------- style


def test_the_palette_is_okabe_and_ito_s():
    assert style.COLORS["rnn"] == "#D55E00"
    assert style.COLORS["lstm"] == "#0072B2"
    assert style.COLORS["gru"] == "#009E73"
    assert style.COLORS["transformer"] == "#CC79A7"
    assert style.COLORS["sigmoid"] == "#E69F00"
    assert style.COLORS["tanh"] == "#56B4E9"


def test_no_two_things_look_alike():
    looks = [
        (style.COLORS[name], style.MARKERS[name], str(style.DASHES[name])) for name in style.MARKERS
    ]
    assert len(set(looks)) == len(looks)
    markers = [style.MARKERS[name] for name in ("rnn", "lstm", "gru", "transformer")]
    assert len(set(markers)) == 4  # never colour alone


@pytest.mark.parametrize("name", style.MARKERS)
def test_every_line_can_be_seen_on_the_paper(name):
    """3 : 1 against the paper for the line or its dark edge (WCAG 1.4.11), theory lines apart."""
    look = style.line_style(name)
    edges = [effect._gc["foreground"] for effect in look.get("path_effects", [])[:1]]
    one, paper = luminance((edges or [look["color"]])[0]), luminance(style.COLORS["paper"])
    assert (paper + 0.05) / (one + 0.05) > 1.9


def test_text_in_figures_is_at_least_ten_points():
    with show.house_style():
        for name in ("font.size", "axes.labelsize", "xtick.labelsize", "legend.fontsize"):
            assert mpl.rcParams[name] >= 10


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"`name` is 'rrn'; it takes one of .*perhaps rnn"):
        show.line_style("rrn")


def test_the_house_style_stays_inside_its_block():
    before = dict(mpl.rcParams)
    with show.house_style():
        assert mpl.rcParams["figure.facecolor"] == style.COLORS["paper"]
    assert dict(mpl.rcParams) == before


# ---------------------------------------------------------------- tables and notes


def test_a_table_is_html_and_plain_text():
    table = show.table([["sigmoid", 0.012345, 4], ["a<b", 1e-19, 12]], ["name", "γ", "n"], "What")
    page = table._repr_html_()
    assert page.count("<tr") == 3
    assert "a&lt;b" in page
    assert 'scope="col"' in page
    assert "1e-19" in page
    assert str(table).splitlines() == [
        "What",
        "name           γ   n",
        "-------  -------  --",
        "sigmoid  0.01235   4",
        "a<b        1e-19  12",
    ]


def test_a_table_takes_dictionaries_zips_and_arrays():
    rows = [{"layer": "dense", "norm": 0.5}, {"layer": "out", "norm": 1.0}]
    assert show.table(rows).header == ("layer", "norm")
    assert len(show.table(zip("ab", [1, 2], strict=True)).rows) == 2
    assert show.table(np.eye(2)).rows == (("1", "0"), ("0", "1"))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: show.table([]), "`rows` is empty; a table takes at least one row."),
        (lambda: show.table("ab"), "`rows` is 'ab'; it takes a list of rows."),
        (lambda: show.table(3), "`rows` is 3; it takes a list of rows."),
        (lambda: show.table([1, 2]), "`rows[0]` is 1; it takes a list of cells."),
        (lambda: show.table([[1], [1, 2]]), "`rows[1]` has 2 cells; it takes 1, as many as"),
        (lambda: show.table([[1]], ["a", "b"]), "`header` has 2 names; it takes 1, one a column."),
        (lambda: show.note(3), "`text` is 3; it takes the words of the note."),
        (lambda: show.note("a", "warning"), "`kind` is 'warning'; it takes one of info, good"),
    ],
)
def test_tables_and_notes_refuse(call, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("kind", "role"), [("info", "status"), ("problem", "alert")])
def test_a_note_is_read_out_and_its_text_is_only_text(kind, role):
    note = show.note("a < b\nand c", kind)
    assert f'role="{role}"' in note._repr_html_()
    assert "a &lt; b<br>and c" in note._repr_html_()
    assert str(note) == "a < b\nand c"
