"""The live picture: what it shows, when it draws, and what stays when the cell has run."""

import importlib
import io
import time
from types import SimpleNamespace

import numpy as np
import pytest
from IPython.core.events import EventManager
from matplotlib.figure import Figure
from PIL import Image

from course_lib import show
from course_lib.show.live import LivePicture

live = importlib.import_module("course_lib.show.live")  # `show.live` is the function


class Monitor:
    """What `GradientMonitor` offers, as far as the picture knows it, with figures of our own."""

    def __init__(self, **changes):
        self.names = ["input", "hidden_1", "hidden_2", "logits"]
        self.depth = np.array([3.0, 2.0, 1.0, 0.0])
        self.listeners, self.planned_steps, self.is_training = [], 100, False
        self.history = {
            "steps": np.zeros(0, int),
            "loss": np.zeros(0),
            "norms": np.zeros((0, 4)),
            "dead": np.zeros((0, 4)),
            "saturated": np.zeros((0, 4)),
        }
        self.dtype = "float32"

    def look(self, step, *, loss=1.0, norms=(0.001, 0.01, 0.1, 1.0), dead=(), saturated=()):
        nothing = (np.nan,) * 4
        new = {
            "steps": step,
            "loss": loss,
            "norms": norms,
            "dead": dead or nothing,
            "saturated": saturated or nothing,
        }
        self.history = {
            name: np.concatenate([values, [new[name]]]).astype(values.dtype)
            for name, values in self.history.items()
        }
        for listener in list(self.listeners):
            listener(self)

    def flow(self, look=-1):
        return SimpleNamespace(
            names=self.names,
            activation_norms=self.history["norms"][look],
            depth=self.depth,
            entries=np.full(4, 64),
            dtype=self.dtype,
            loss=float(self.history["loss"][look]),
        )


@pytest.fixture
def monitor():
    return Monitor()


def picture(monitor):
    with show.house_style():
        made = LivePicture(Figure(figsize=live.FIGSIZE), monitor)
        made.update()
    return made


def line(axes, color):
    return next(line for line in axes.lines if line.get_color() == color)


# ---------------------------------------------------------------- the picture


def test_it_shows_what_arrives_now_and_at_the_start(monitor):
    monitor.look(0)
    monitor.look(20, norms=(0.125, 0.25, 0.5, 1.0))
    axes = picture(monitor).gradient
    now, start = (line(axes, show.COLORS[name]) for name in ("ink", "theory"))
    np.testing.assert_array_equal(now.get_xdata(), [0, 1, 2, 3])
    np.testing.assert_allclose(now.get_ydata(), np.log10([1, 0.5, 0.25, 0.125]), atol=1e-12)
    np.testing.assert_allclose(start.get_ydata(), [0, -1, -2, -3], atol=1e-12)
    assert axes.get_title("left") == (
        "Step 20: 0.12 of the gradient arrives: a factor of 0.5 a layer"
    )
    assert axes.get_ylim() == (-4.0, 1.0)


def test_it_shows_loss_and_idle_units_by_steps(monitor):
    monitor.look(0, loss=2.0, dead=(np.nan, 0.1, 0.3, np.nan))
    monitor.look(20, loss=0.5, dead=(np.nan, 0.6, 0.2, np.nan))
    made = picture(monitor)
    losses = line(made.loss, show.COLORS["ink"])
    np.testing.assert_array_equal(losses.get_xydata(), [[0, 2], [20, 0.5]])
    dead, saturated = (line(made.idle, show.COLORS[name]) for name in ("rnn", "lstm"))
    np.testing.assert_array_equal(dead.get_xydata(), [[0, 0.3], [20, 0.6]])
    assert np.isnan(saturated.get_ydata()).all()
    assert made.loss.get_title("left") == "loss 2 → 0.5"
    assert made.idle.get_title("left") == "60 % dead in hidden_1"
    assert made.loss.get_xlim() == made.idle.get_xlim() == (0, 100)


@pytest.mark.parametrize(
    ("look", "title"),
    [
        ({}, "no ReLU, sigmoid or tanh"),
        ({"saturated": (np.nan, 0.0, 0.0, np.nan)}, "all units work"),
        (
            {"saturated": (np.nan, 0.25, 0.0, np.nan), "dead": (np.nan, np.nan, 0.1, np.nan)},
            "25 % saturated in hidden_1",
        ),
        ({"loss": np.nan}, "nothing finite to count"),
    ],
)
def test_the_title_says_which_units_are_idle(monitor, look, title):
    monitor.look(0, **look)
    assert picture(monitor).idle.get_title("left") == title


def test_what_is_zero_is_marked_at_the_edge(monitor):
    monitor.look(0, norms=(0.0, 0.0, 0.1, 1.0))
    axes = picture(monitor).gradient
    zeros = next(line for line in axes.lines if line.get_marker() == "x" and len(line.get_xdata()))
    np.testing.assert_array_equal(zeros.get_xdata(), [2, 3])
    assert "nothing arrives" in axes.get_title("left")


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({"loss": np.nan, "norms": (np.nan,) * 4}, "Step 9: the loss is no longer finite"),
        ({"norms": (0.0,) * 4}, "Step 9: no gradient leaves the loss"),
        ({"norms": (0.1, 0.1, 0.1, np.inf)}, "Step 9: no gradient leaves the loss"),
    ],
)
def test_a_training_that_breaks_down_still_has_a_picture(monitor, look, said):
    monitor.look(0)
    monitor.look(9, **look)
    made = picture(monitor)
    assert made.gradient.get_title("left") == said
    assert len(line(made.gradient, show.COLORS["theory"]).get_xdata()) == 4  # the start stays
    assert len(line(made.gradient, show.COLORS["ink"]).get_xdata()) == 0


def test_a_loss_over_decades_takes_a_logarithmic_axis(monitor):
    monitor.look(0, loss=2.0)
    made = picture(monitor)
    assert made.loss.get_yscale() == "linear"
    monitor.look(20, loss=0.01)
    made.update()
    assert made.loss.get_yscale() == "log"
    low, high = made.loss.get_ylim()
    assert low < 0.01 < 2.0 < high


def test_limits_widen_and_never_jump_back(monitor):
    monitor.look(0, loss=1.0)
    made = picture(monitor)
    monitor.look(20, norms=(1e-9, 1e-6, 1e-3, 1.0), loss=5.0)
    made.update()
    wide = made.gradient.get_ylim(), made.loss.get_ylim()
    monitor.look(40)
    made.update()
    assert (made.gradient.get_ylim(), made.loss.get_ylim()) == wide
    assert wide[0][0] <= -9


def test_without_a_plan_the_axis_of_steps_grows(monitor):
    monitor.planned_steps = 0
    monitor.look(30)
    made = picture(monitor)
    assert made.loss.get_xlim()[1] >= 30


def test_the_limit_of_the_format_is_drawn_where_it_is_in_view(monitor):
    monitor.look(0)
    made = picture(monitor)
    assert not made._limit.get_visible()
    monitor.look(20, norms=(0.0, 1e-38, 1e-20, 1.0))
    made.update()
    made.update()
    assert made._limit.get_visible()
    assert made._limit.get_ydata()[0] == pytest.approx(np.log10(2.0**-126 * 8))


def test_the_limit_stands_where_the_lines_begin(monitor):
    """An activation without weights lies as near to the loss as the layer it follows."""
    monitor.depth = np.array([2.0, 1.0, 0.0, 0.0])
    for step in (0, 20):
        monitor.look(step, norms=(0.0, 1e-38, 1e-3, 1.0))
    made = picture(monitor)
    made.update()
    assert made._limit.get_ydata()[0] == pytest.approx(np.log10(2.0**-126 * 8))


def test_the_axes_fill_the_figure(monitor):
    """Negative control of a layout that collapses: empty lines once asked for room."""
    monitor.look(0)
    with show.house_style():
        figure = Figure(figsize=live.FIGSIZE)
        LivePicture(figure, monitor).update()
        figure.draw_without_rendering()
    heights = [axes.get_position().height for axes in figure.axes]
    assert heights[0] > 0.35
    assert min(heights[1:]) > 0.2


def test_the_words_say_it_with_numbers(monitor):
    monitor.look(0, loss=2.0)
    monitor.look(20, norms=(0.125, 0.25, 0.5, 1.0), loss=0.5, dead=(np.nan, 0.6, 0.2, np.nan))
    assert live.describe(monitor) == (
        "The gradient by layer at step 20 of a training: 0.12 of the gradient arrives: a factor "
        "of 0.5 a layer; at the start: 0.001 of the gradient arrives: a factor of 0.1 a layer. "
        "The loss of the probe batch goes from 2 to 0.5. Dead units: at most 60 %, in hidden_1."
    )


# ---------------------------------------------------------------- in a notebook


class Shell:
    """As much of IPython's shell as the picture uses."""

    kernel = object()

    def __init__(self):
        self.events = EventManager(self, {"post_run_cell": lambda result: None})

    def end_cell(self):
        self.events.trigger("post_run_cell", None)


@pytest.fixture
def notebook(monkeypatch):
    """Give a shell, and the list of what was displayed in it."""
    shell, shown = Shell(), []

    class Handle:
        def display(self, data, **options):
            shown.append((data, options))

    def display(data, **options):
        shown.append((data, options))
        return Handle()

    monkeypatch.setattr(live, "_notebook", lambda: shell)
    monkeypatch.setattr(live, "display", display)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    return SimpleNamespace(shell=shell, shown=shown)


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def test_a_view_first_and_a_finished_figure_in_its_place(monitor, notebook):
    following = show.live(monitor)
    ((bundle, options),) = notebook.shown
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert options["display_id"] is True
    monitor.is_training = True
    monitor.look(0)
    assert following.pictures == 1
    picture = pixels(following._view.picture)
    assert picture.shape[:2] == (540, 700)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    assert following._view.alt == following.alt == live.describe(monitor)
    monitor.look(20)
    monitor.is_training = False
    notebook.shell.end_cell()
    final, options = notebook.shown[-1]
    assert options["update"] is True
    assert f'alt="{live.describe(monitor)}"' in final["text/html"]
    assert final["text/plain"] == f"[Picture: {live.describe(monitor)}]"
    assert options["metadata"]["image/png"]["alt"] == live.describe(monitor)
    assert following.finished
    assert not monitor.listeners
    assert len(notebook.shown) == 2
    notebook.shell.end_cell()
    monitor.look(40)
    assert len(notebook.shown) == 2


@pytest.mark.parametrize("before", [[], [0]], ids=["fresh", "used before"])
def test_a_cell_without_a_training_leaves_the_view_open(before, monitor, notebook):
    for step in before:
        monitor.look(step)
    following = show.live(monitor)
    notebook.shell.end_cell()
    assert not following.finished
    monitor.look(20)
    notebook.shell.end_cell()
    assert following.finished


@pytest.mark.parametrize("variable", ["CI", "COURSE_STRICT"])
def test_quiet_in_ci_but_for_the_finished_figure(monitor, notebook, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    following = show.live(monitor)
    monitor.look(0)
    assert not notebook.shown
    assert following.pictures == 0
    notebook.shell.end_cell()
    ((final, _),) = notebook.shown
    assert "widget" not in str(final.keys())
    assert "alt=" in final["text/html"]


def test_drawing_takes_a_small_share_of_the_time(monitor, notebook, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(live.time, "perf_counter", lambda: clock[0])
    following = show.live(monitor)
    draw = following._draw

    def slow(view):
        draw(view)
        clock[0] += 0.1

    monkeypatch.setattr(following, "_draw", slow)
    monitor.is_training = True
    for step in range(1000):
        monitor.look(step)
        clock[0] += 0.01
    assert 3 <= following.pictures <= 1 + 10 * live.SHARE / 0.1 + 2
    monitor.is_training = False
    before = following.pictures
    monitor.look(1000)  # the last one is drawn whenever it comes
    assert following.pictures == before + 1


def test_most_pictures_move_only_what_moved(monitor, notebook, monkeypatch):
    monkeypatch.setattr(live, "SHORTEST", 0.0)
    monkeypatch.setattr(live, "LONGEST", 0.0)
    following = show.live(monitor)
    monitor.is_training = True
    for step in range(20):
        monitor.look(step, norms=(0.001 + step * 1e-4, 0.01, 0.1, 1.0), loss=1.0 - step / 40)
    assert following.pictures == 20
    assert following._canvas.blits >= 15
    with show.house_style():
        assert np.array_equal(following._canvas.pixels(), following._canvas.redrawn())


def test_a_picture_that_fails_stops_no_training(monitor, notebook, monkeypatch):
    following = show.live(monitor)
    monkeypatch.setattr(live, "describe", lambda monitor: 1 / 0)
    monitor.look(0)
    assert following._view.error == "No picture at step 0: division by zero"


def test_nothing_is_displayed_outside_a_notebook(monitor, capsys):
    following = show.live(monitor)
    with pytest.raises(ValueError, match="the monitor has not looked yet"):
        following.figure()
    monitor.look(0)
    following.close()
    assert isinstance(following.figure(), Figure)
    assert following.alt.startswith("The gradient by layer at step 0")
    assert capsys.readouterr().out == ""
    assert repr(following).startswith("<Live: The gradient by layer")
    assert not monitor.listeners


@pytest.mark.parametrize("bad", [None, 3, SimpleNamespace(names=[])])
def test_refuses_what_is_no_monitor(bad):
    with pytest.raises(TypeError, match=r"`monitor` is .*; it takes a `GradientMonitor`") as caught:
        show.live(bad)
    assert "\n" not in str(caught.value)


def test_drawing_one_picture_is_quick_enough_to_be_watched(monitor):
    monitor.look(0)
    following = show.live(monitor)
    began = time.perf_counter()
    following.figure()
    assert time.perf_counter() - began < 20  # a loop that does not end would be noticed
