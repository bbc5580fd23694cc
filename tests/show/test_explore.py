"""Explorers without a page: what is computed, drawn, sent, and said when something goes wrong."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from course_lib import show
from course_lib.show.explore import Explorer, exercise

CONTROLS = {
    "depth": show.integers("depth D", 1, 30, 10),
    "scale": show.log_slider("weight scale", -2, 1, 1.0),
    "kind": show.choice("activation φ", ["relu", "sigmoid"]),
    "mirrored": show.toggle("mirrored"),
}


def compute(depth, scale, kind, mirrored):
    layers = np.arange(depth + 1.0)
    sign = -1 if mirrored else 1
    return {"layers": layers, "height": sign * layers * (np.log10(scale) - 0.1), "kind": kind}


def draw(figure):
    axes = figure.add_subplot(xlim=(0, 30), ylim=(-70, 70))
    (line,) = axes.plot([], [], marker="o", label="relu")
    names = show.label_ends(axes)

    def update(arrays):
        line.set_data(arrays["layers"], arrays["height"])
        names.set_names([arrays["kind"]])
        axes.set_title(f"It ends at {arrays['height'][-1]:.2f}")

    return update


def alt(arrays):
    return f"The line ends at {arrays['height'][-1]:.2f} after {len(arrays['layers']) - 1} layers."


def make(**changes) -> Explorer:
    options = {"compute": compute, "draw": draw, "alt": alt, **CONTROLS, **changes}
    return show.explore(options.pop("compute"), options.pop("draw"), **options)


def simple(compute, draw=draw, **changes):
    """Return an explorer with one slider, whose compute is given."""
    return show.explore(compute, draw, alt=alt, x=show.integers("x", 0, 9, 0), **changes)


def fails_at(bad, error):
    def compute_x(x):
        if x == bad:
            raise error
        return {"layers": np.arange(3.0), "height": np.arange(3.0) * x, "kind": "relu"}

    return compute_x


@pytest.fixture
def explorer():
    return make()


@pytest.fixture
def lenient(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "0")


def sent(explorer):
    """Return the picture that the page has got."""
    return Image.open(io.BytesIO(explorer.widget.children[-1].picture))


# ---------------------------------------------------------------- what follows a control


def test_the_picture_follows_a_control(explorer):
    before = explorer.image
    explorer.controls["depth"].value = 20
    assert explorer.values["depth"] == 20
    assert len(explorer.arrays["layers"]) == 21
    assert explorer.alt == "The line ends at -2.00 after 20 layers."
    assert not np.array_equal(explorer.image, before)


def test_moving_costs_no_full_draw(explorer):
    full = explorer.canvas.full_draws
    for depth in range(11, 30):
        explorer.set(depth=depth)  # the line, its label and the title move
    assert explorer.canvas.full_draws == full
    assert explorer.canvas.blits >= 19


def test_several_controls_at_once_are_one_computation():
    calls = []

    def counted(**values):
        calls.append(values)
        return compute(**values)

    explorer = make(compute=counted)
    calls.clear()
    explorer.set(depth=3, scale=0.1, kind="sigmoid")
    assert calls == [{"depth": 3, "scale": 0.1, "kind": "sigmoid", "mirrored": False}]
    explorer.set(depth=3)
    assert len(calls) == 1


def test_twenty_quick_steps_end_in_the_last_picture(explorer):
    for depth in range(1, 21):
        explorer.controls["depth"].value = depth
    moved = explorer.image
    assert np.array_equal(moved, make(depth=show.integers("depth D", 1, 30, 20)).image)


def test_reset_and_presets():
    presets = {"deep": {"depth": 30}, "small": {"scale": 0.01, "mirrored": True}}
    explorer = make(presets=presets)
    first = explorer.image
    buttons = {button.description: button for button in explorer.widget.children[0].children}
    assert list(buttons) == ["Reset", "deep", "small"]
    buttons["deep"].click()
    assert explorer.values["depth"] == 30
    buttons["small"].click()
    assert explorer.values == {"depth": 10, "scale": 0.01, "kind": "relu", "mirrored": True}
    buttons["Reset"].click()
    assert np.array_equal(explorer.image, first)


def test_exercise_finds_nothing_wrong(explorer):
    tried = exercise(explorer, np.random.default_rng(1), settings=20)
    assert len(tried) == 2 + 2 + 2 + 2 + 20
    assert explorer.values == explorer.start


# ---------------------------------------------------------------- what the page gets


def test_jpeg_while_it_moves_and_png_when_it_rests(explorer):
    view = explorer.widget.children[-1]
    assert (sent(explorer).format, sent(explorer).size, view.ratio) == ("PNG", (700, 350), 1.0)
    explorer.set(depth=11)
    assert (sent(explorer).format, sent(explorer).size, view.ratio) == ("JPEG", (700, 350), 0.0)
    frame = view.frame
    view._handle_custom_msg({"type": "sharpen", "ratio": 2.0}, [])  # as the page asks for it
    assert (sent(explorer).format, sent(explorer).size, view.ratio) == ("PNG", (1400, 700), 2.0)
    assert view.frame == frame + 1


def test_the_sharp_picture_is_exact_and_the_quick_one_near(explorer):
    explorer.set(depth=17)
    exact = explorer.image[..., :3].astype(float)
    quick = np.asarray(sent(explorer).convert("RGB"), dtype=float)
    assert np.abs(quick - exact).mean() < 2.0
    explorer.sharpen()
    assert np.array_equal(np.asarray(sent(explorer)), exact)


def test_picture_alt_text_and_error_come_in_one_message(explorer, monkeypatch):
    view, messages = explorer.widget.children[-1], []
    monkeypatch.setattr(view, "send_state", lambda key=None: messages.append(set(key)))
    explorer.set(depth=12)
    assert [sorted(keys) for keys in messages] == [["alt", "format", "frame", "picture", "ratio"]]


def test_the_bundle_has_a_picture_with_alt_text_where_no_widget_can_be(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == explorer.widget.model_id
    assert metadata["image/png"] == {"alt": explorer.alt, "width": 700, "height": 350}
    assert bundle["text/plain"].startswith(explorer.alt)
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.size == (1400, 700)


def test_the_reader_s_own_style_does_not_change_it(explorer):
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 30, "axes.facecolor": "black", "figure.dpi": 50}):
        assert np.array_equal(make().image, explorer.image)


def test_importing_show_loads_no_pyplot_figure(explorer):
    import matplotlib.pyplot as plt

    assert not plt.get_fignums()


# ---------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("`x` is 3; it takes less."), "`x` is 3; it takes less."),
        (ValueError("two lines\nof text"), "two lines."),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero."),
        (KeyError("W"), "KeyError: 'W'."),
        (RecursionError(), "RecursionError."),
        (MemoryError(), "MemoryError."),
    ],
)
def test_an_error_in_compute_is_one_sentence_and_passes(error, said):
    explorer = simple(fails_at(3, error))
    explorer.set(x=2)
    before, frame = explorer.image, explorer.widget.children[-1].frame
    explorer.controls["x"].value = 3
    assert explorer.error == f"No picture for x = 3: {said}"
    assert explorer.widget.children[-1].error == explorer.error
    assert explorer.widget.children[-1].frame == frame  # the old picture stays in the page
    assert np.array_equal(explorer.image, before)
    explorer.controls["x"].value = 4
    assert explorer.error == explorer.widget.children[-1].error == ""
    assert np.array_equal(explorer.image, simple(fails_at(3, error)).set(x=4).image)


def test_an_error_half_way_through_update_leaves_the_old_picture():
    def draw_badly(figure):
        update = draw(figure)

        def update_badly(arrays):
            update(arrays)
            if arrays["height"][-1] == 6:
                raise RuntimeError("the second half")

        return update_badly

    explorer = simple(fails_at(None, None), draw_badly).set(x=2)
    before = explorer.image
    explorer.set(x=3)
    assert explorer.error == "No picture for x = 3: RuntimeError: the second half."
    assert np.array_equal(explorer.image, before)
    explorer.sharpen()  # the page asks although the picture is half moved
    assert explorer.widget.children[-1].error
    assert explorer._repr_mimebundle_()[0]["text/plain"].startswith(explorer.error)
    good = simple(fails_at(None, None)).set(x=4)
    assert np.array_equal(explorer.set(x=4).image, good.image)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"a": np.array([1.0, np.nan, np.inf])}, r"`a` holds nan at \[1\] \(2 of 3 entries"),
        ({"a": float("inf")}, "`a` is inf"),
        ({"a": [np.zeros(2), np.full((2, 2), -np.inf)]}, r"`a\[1\]` holds -inf at \[0, 0\]"),
        ([1, 2], r"`compute.*` is \[1, 2\]; it takes a dictionary"),
        (None, "`compute.*` is None"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_words(arrays, said, lenient):
    explorer = simple(lambda x: arrays)
    with pytest.raises(ValueError, match=said):
        raise ValueError(explorer.error)


def test_a_masked_array_is_a_gap_that_is_meant():
    gap = np.ma.masked_invalid([0.0, np.nan, 1.0])
    explorer = simple(lambda x: {"layers": np.arange(3.0), "height": gap + x, "kind": "relu"})
    assert not explorer.error


def test_numpy_warns_nobody(recwarn):
    def overflows(x):
        with_inf = np.exp(np.array([1e4]))
        return {"layers": np.arange(2.0), "height": np.zeros(2) + np.isinf(with_inf), "kind": "a"}

    assert not simple(overflows).error
    assert not recwarn.list


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda figure: None, r"`draw\(figure\)` is None; it takes a `draw` that returns a func"),
        (lambda figure: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda figure: lambda arrays: arrays["missing"], "KeyError: 'missing'"),
    ],
)
def test_a_draw_that_fails_is_said_inside_the_explorer(broken, said, lenient):
    explorer = simple(fails_at(None, None), broken)
    assert explorer.image is None
    with pytest.raises(ValueError, match=said):
        raise ValueError(explorer.error)
    bundle, metadata = explorer._repr_mimebundle_()
    assert "image/png" not in bundle
    assert not metadata


def test_the_first_picture_can_come_later(lenient):
    explorer = simple(fails_at(0, ValueError("not at 0")))
    assert explorer.image is None
    assert not explorer.set(x=1).error
    assert sent(explorer).format == "PNG"
    good = simple(fails_at(None, None)).set(x=1)
    assert np.array_equal(explorer.image, good.image)


def test_under_strict_a_first_picture_that_fails_stops_the_notebook(monkeypatch):
    monkeypatch.setenv("COURSE_STRICT", "1")
    with pytest.raises(ValueError, match="No picture for x = 0: not at 0"):
        simple(fails_at(0, ValueError("not at 0")))


def test_alt_must_be_words(lenient):
    explorer = show.explore(
        fails_at(None, None), draw, alt=lambda arrays: None, x=show.integers("x", 0, 9, 0)
    )
    assert "`alt(arrays)` is None" in explorer.error


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"compute": 3}, "`compute` is 3; it takes a function of the controls"),
        ({"draw": None}, "`draw` is None; it takes a function of a figure"),
        ({"alt": "words"}, "`alt` is 'words'; it takes a function of the arrays"),
        ({"depth": 3}, "`depth` is 3; it takes one of `slider`"),
        ({"width": show.toggle("w")}, r"`compute` takes \(depth, scale, kind, mirrored\), the con"),
        ({"presets": ["deep"]}, r"`presets` is \['deep'\]; it takes a dictionary"),
        ({"presets": {"deep": 3}}, r"`presets\['deep'\]` is 3; it takes a dictionary"),
        ({"presets": {"deep": {"dept": 3}}}, r"'dept'; it takes one of depth, .*perhaps depth"),
        ({"presets": {"deep": {"depth": 99}}}, "`depth` is 99; it takes a whole number from 1 to"),
        ({"figsize": (7,)}, r"`figsize` has shape \(1,\); it takes width and height in inches"),
        ({"figsize": (700, 350)}, "`figsize` is 700.0 x 350.0; it takes 1 to 20 inches"),
    ],
)
def test_explore_refuses(changes, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        make(**changes)
    assert "\n" not in str(caught.value)


def test_explore_takes_at_least_one_control():
    with pytest.raises(ValueError, match="`controls` is empty"):
        show.explore(lambda: {}, draw, alt=alt)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"width": 3}, "`name` is 'width'; it takes one of depth, scale, kind, mirrored"),
        ({"depth": 31}, "`depth` is 31; it takes a whole number from 1 to 30"),
        ({"depth": 2.5}, "`depth` is 2.5; it takes a whole number"),
        ({"scale": 0}, "`scale` is 0; it takes a finite number from 0.01 to 10"),
        ({"scale": np.nan}, "`scale` is nan; it takes a finite number"),
        ({"kind": "tanh"}, "`kind` is 'tanh'; it takes one of relu, sigmoid"),
        ({"mirrored": 1}, "`mirrored` is 1; it takes True or False"),
    ],
)
def test_set_refuses_and_changes_nothing(explorer, values, sentence):
    before = explorer.values
    with pytest.raises((TypeError, ValueError), match=sentence):
        explorer.set(**{"depth": 5, **values})
    assert explorer.values == before


def test_an_unknown_preset_is_refused(explorer):
    with pytest.raises(ValueError, match="`name` is 'deep'; it takes one of Reset"):
        explorer.preset("deep")


# ---------------------------------------------------------------- exercise itself


def broken_explorer(compute=compute, draw=draw):
    return show.explore(compute, draw, alt=alt, **CONTROLS)


def test_exercise_catches_a_corner_that_fails():
    def infinite(depth, scale, kind, mirrored):
        arrays = compute(depth, scale, kind, mirrored)
        return arrays | {"height": arrays["height"] / (scale > 0.011)}

    with pytest.raises(AssertionError, match=r"No picture for .*scale = 0\.01"):
        exercise(broken_explorer(infinite), np.random.default_rng(1), settings=2)


def test_exercise_catches_a_control_without_effect():
    def deaf(depth, scale, kind, mirrored):
        return compute(depth, scale, kind, False)

    with pytest.raises(AssertionError, match="`mirrored` does not change the picture"):
        exercise(broken_explorer(deaf), np.random.default_rng(1), settings=2)


def test_exercise_catches_missing_words():
    explorer = show.explore(compute, draw, alt=lambda arrays: " ", **CONTROLS)
    with pytest.raises(AssertionError, match="No alt text"):
        exercise(explorer, np.random.default_rng(1), settings=2)


def test_exercise_catches_a_change_that_nobody_was_told_of():
    def draw_secretly(figure):
        update = draw(figure)
        paper = figure.axes[0].patch

        def update_secretly(arrays):
            update(arrays)
            share = len(arrays["layers"]) / 40
            paper._facecolor = (share, share, 1, 1)  # behind matplotlib's back

        return update_secretly

    with pytest.raises(AssertionError, match="not the one drawn anew"):
        exercise(broken_explorer(draw=draw_secretly), np.random.default_rng(1), settings=11)
