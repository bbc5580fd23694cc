"""The quickly drawn picture is the one that drawing everything anew gives, whatever has changed."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show
from course_lib.show.canvas import Canvas

X = np.linspace(0, 10, 60)


class Everything:
    """A figure with one of each kind of artist, still ones above moving ones and below."""

    def __init__(self):
        with show.house_style():
            self.figure = Figure(figsize=(5, 4))
            grid = self.figure.subplots(2, 2)
            self.lines, self.bars, self.map, self.dots = grid.ravel()
            (self.line,) = self.lines.plot(X, np.sin(X), label="moves")
            self.lines.plot(X, np.cos(X), color="black", zorder=3, label="stays above")
            self.lines.axhline(0, zorder=1)
            self.legend = self.lines.legend(loc="upper right")
            self.note = self.lines.annotate("here", (2, 0.5), (4, 0.8), arrowprops={"width": 1})
            self.lines.set(xlim=(0, 10), ylim=(-2, 2), title="sine")
            self.rectangles = self.bars.bar(range(5), [1, 2, 3, 4, 5])
            self.band = self.bars.fill_between([0, 4], [1, 1], [2, 2], alpha=0.4, color="red")
            self.bars.set(ylim=(0, 8), xlabel="x", ylabel="y")
            self.image = self.map.imshow(np.eye(8), vmin=-1, vmax=1)
            self.map.plot([0, 7], [0, 7], color="white")  # a still line on a moving image
            self.bar = self.figure.colorbar(self.image, ax=self.map)
            self.points = self.dots.scatter(X, np.sin(X), s=20)
            self.other = self.dots.twinx()
            (self.second,) = self.other.plot(X, X**2)
            self.inset = self.dots.inset_axes([0.6, 0.6, 0.35, 0.35])
            (self.small,) = self.inset.plot(X, -X)
            self.above = self.figure.suptitle("four panels")


@pytest.fixture
def everything():
    return Everything()


@pytest.fixture
def canvas(everything):
    with show.house_style():
        canvas = Canvas(everything.figure)
        everything.line.set_ydata(np.sin(X))  # as an explorer does: it shows what it moves
        canvas.pixels()
        yield canvas


def same(canvas, ratio=1.0):
    quick = canvas.pixels(ratio).copy()
    return np.array_equal(quick, canvas.redrawn(ratio))


BLITS = {
    "a line": lambda e: e.line.set_ydata(np.cos(3 * X)),
    "a title": lambda e: e.lines.set_title("something else"),
    "a longer title": lambda e: e.lines.set_title("two lines\nof words"),
    "a line and a title": lambda e: (e.line.set_ydata(-X), e.lines.set_title("falls")),
    "nothing": lambda e: None,
}
ANY = {
    "limits": lambda e: e.lines.set_xlim(2, 5),
    "autoscaling": lambda e: (e.line.set_ydata(9 * X), e.lines.relim(), e.lines.autoscale()),
    "a logarithmic scale": lambda e: e.bars.set_yscale("symlog"),
    "ticks": lambda e: e.bars.set_xticks([0, 2, 4], ["a", "b", "c"]),
    "a label": lambda e: e.bars.set_xlabel("other words"),
    "a legend's words": lambda e: e.legend.get_texts()[0].set_text("still moves"),
    "a legend": lambda e: e.lines.legend(loc="lower left"),
    "a new line": lambda e: e.lines.plot(X, -X / 5),
    "a removed line": lambda e: e.line.remove(),
    "a cleared panel": lambda e: (e.bars.clear(), e.bars.plot([1, 2])),
    "paper": lambda e: e.bars.set_facecolor("#eeeeff"),
    "a spine": lambda e: e.bars.spines["left"].set_color("red"),
    "hiding": lambda e: e.line.set_visible(False),
    "the order": lambda e: e.line.set_zorder(9),
    "a color": lambda e: e.line.set_color("red"),
    "a note": lambda e: (e.note.set_position((6, -1)), e.note.set_text("there")),
    "bars": lambda e: [bar.set_height(5 - i) for i, bar in enumerate(e.rectangles)],
    "a band": lambda e: e.band.set_alpha(0.8),
    "an image": lambda e: e.image.set_data(-np.eye(8)),
    "an image's limits": lambda e: e.image.set_clim(-3, 3),
    "dots": lambda e: e.points.set_offsets(np.c_[X, np.cos(X)]),
    "a line on twin axes": lambda e: e.second.set_ydata(100 - X**2),
    "a line in an inset": lambda e: e.small.set_ydata(X**2 - 10),
    "the title above all": lambda e: e.above.set_text("five panels"),
    "all axes off": lambda e: e.bars.set_axis_off(),
}


@pytest.mark.parametrize("change", BLITS.values(), ids=BLITS)
def test_what_moves_is_drawn_alone(canvas, everything, change):
    full = canvas.full_draws
    change(everything)
    quick = canvas.pixels().copy()
    assert canvas.full_draws == full
    assert np.array_equal(quick, canvas.redrawn())


@pytest.mark.parametrize("change", ANY.values(), ids=ANY)
def test_the_quick_picture_is_the_right_one(canvas, everything, change):
    change(everything)
    canvas.pixels()
    everything.line.set_ydata(np.sin(2 * X))  # something moves afterwards
    everything.lines.set_title("moved on")
    assert same(canvas)


def test_many_changes_one_after_another(canvas, everything):
    rng = np.random.default_rng(1)
    names = [name for name in BLITS | ANY if "removed" not in name]
    for name in rng.choice(names, 40):
        (BLITS | ANY)[name](everything)
        assert same(canvas), name


@pytest.mark.parametrize("name", ["a line", "limits", "a note", "an image"])
def test_fine_pictures_are_right_too_and_disturb_nothing(canvas, everything, name):
    (BLITS | ANY)[name](everything)
    coarse = canvas.pixels().copy()
    assert same(canvas, 2.0)
    assert canvas.pixels(2.0).shape == (800, 1000, 4)
    assert np.array_equal(canvas.pixels(), coarse)


def test_a_fine_picture_keeps_the_coarse_background(canvas, everything):
    canvas.pixels(2.0)
    full = canvas.full_draws
    for k in range(5):
        everything.line.set_ydata(np.sin(k * X))
        canvas.pixels()
        canvas.pixels(2.0)
    assert canvas.full_draws == full


def test_of_many_zooms_the_moving_one_and_the_last_are_kept(canvas, everything):
    first = canvas.pixels().copy()
    for ratio in (1.1, 1.25, 1.5, 2.0):
        canvas.pixels(ratio)
    assert list(canvas._sheets) == [1.0, 2.0]
    assert all(sheet.other is None for sheet in canvas._sheets.values())
    np.testing.assert_array_equal(canvas.pixels(), first)


def test_the_yardstick_leaves_what_was_kept(canvas, everything):
    full = canvas.full_draws
    for k in range(3):
        everything.line.set_ydata(np.sin(k * X))
        assert same(canvas)
    assert canvas.full_draws == full


def test_the_panels_stay_where_they_are(canvas, everything):
    before = everything.bars.get_position().bounds
    everything.bars.set_ylim(0, 1_000_000)
    canvas.pixels()
    assert everything.bars.get_position().bounds == before


def test_the_check_would_notice_a_forgotten_change(canvas, everything):
    everything.line.set_ydata(np.cos(X))
    stale = canvas.pixels().copy()
    everything.bars.set_xlim(-3, 3)
    everything.figure.stale = False  # as if matplotlib had not told
    assert np.array_equal(canvas.pixels(), stale)
    assert not np.array_equal(stale, canvas.redrawn())
