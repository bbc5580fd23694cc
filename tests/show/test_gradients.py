"""The picture of the course: heights, limits, labels, and what it refuses."""

from dataclasses import dataclass, field

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from course_lib import show
from course_lib.show.gradients import UNDERFLOW, relative, underflow_height
from course_lib.show.labels import EndLabels, spread

NORMS = np.array([2e-9, 2e-6, 2e-3, 2.0])  # input first, loss last: a thousandth a layer


@pytest.fixture
def axes():
    with show.house_style():
        yield Figure().add_subplot()
    plt.close("all")


@dataclass
class Flow:
    """What `gradient_flow.by_layer` returns, as far as the picture knows it."""

    activation_norms: np.ndarray
    depth: np.ndarray
    entries: np.ndarray
    dtype: str = "float32"
    names: list = field(default_factory=list)


def lines(axes):
    return [line for line in axes.lines if len(line.get_xdata()) > 2]


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_heights_are_decades_below_what_left_the_loss():
    distance, height = relative(NORMS)
    np.testing.assert_array_equal(distance, [0, 1, 2, 3])
    np.testing.assert_allclose(height, [0, -3, -6, -9], atol=1e-12)


def test_zero_and_infinity_have_heights_of_their_own():
    _, height = relative([0.0, np.inf, 1.0])
    np.testing.assert_array_equal(height, [0, np.inf, -np.inf])


@pytest.mark.parametrize(
    ("dtype", "smallest"),
    [
        ("float16", 5.96e-8),
        ("float32", 1.1755e-38),
        ("float32 (NumPy)", 1.4013e-45),
        ("float64", 2.2251e-308),
        ("bfloat16", 1.1755e-38),
    ],
)
def test_the_underflow_line_is_where_the_rms_entry_underflows(dtype, smallest):
    entries, norm = 64 * 128, 0.25
    height = underflow_height(dtype, entries, norm)
    np.testing.assert_allclose(10.0**height, smallest * np.sqrt(entries) / norm, rtol=1e-4)


def test_an_entry_at_the_limit_survives_and_one_below_does_not():
    """The limits, from the formats themselves: NumPy's for float16 and with subnormals."""
    for name, kind in [
        ("float16", "float16"),
        ("float32 (NumPy)", "float32"),
        ("float64 (NumPy)", "float64"),
    ]:
        limit = UNDERFLOW[name]
        assert np.array(limit).astype(kind) > 0
        assert np.array(limit * 0.49).astype(kind) == 0
    assert UNDERFLOW["float32"] == np.finfo(np.float32).tiny
    assert UNDERFLOW["float64"] == np.finfo(np.float64).tiny


def test_an_array_is_drawn_from_the_loss_to_the_input(axes):
    show.gradient_picture(NORMS, axes)
    (line,) = lines(axes)
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2, 3])
    np.testing.assert_allclose(line.get_ydata(), [0, -3, -6, -9], atol=1e-12)
    title = axes.get_title(loc="left")
    assert title == "1e-9 of the gradient arrives: a factor of 0.001 a layer"


def test_what_is_zero_or_infinite_is_marked_at_the_edge(axes):
    show.gradient_picture([0.0, 1e-3, np.inf, 1.0], axes)
    marks = {line.get_marker(): line for line in axes.lines if line.get_linestyle() == "None"}
    np.testing.assert_array_equal(marks["x"].get_xdata(), [3])
    np.testing.assert_array_equal(marks["^"].get_xdata(), [1])
    assert axes.get_title(loc="left").startswith("nothing arrives")


def test_limits_are_drawn_where_they_are_and_named_where_they_lie_below(axes):
    show.gradient_picture(NORMS, axes, limits=["float16", "float32"], entries=100)
    dashed = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.is_dashed()]
    np.testing.assert_allclose(dashed[0].get_ydata()[0], underflow_height("float16", 100, 2.0))
    assert "float16 underflows" in words(axes)
    assert "↓ float32 underflows at −37" in words(axes)


def test_a_layer_flow_brings_its_own_format_and_distances(axes):
    flow = Flow(
        activation_norms=np.array([1e-3, np.nan, 1e-2, 0.5e-1, 1.0]),
        depth=np.array([2.0, np.nan, 1.0, 1.0, 0.0]),
        entries=np.array([10, 10, 100, 100, 50]),
        dtype="float16",
    )
    show.gradient_picture(flow, axes)
    (line,) = lines(axes)
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 1, 2])  # loss first, and no NaN
    np.testing.assert_allclose(line.get_ydata(), np.log10([1, 0.5e-1, 1e-2, 1e-3]))
    height = underflow_height("float16", 50, 1.0)
    assert any(np.allclose(dashed.get_ydata(), height) for dashed in axes.lines)


def test_real_axes_are_those_of_every_picture(axes):
    show.gradient_picture({"relu": NORMS, "tanh": NORMS}, axes)
    assert axes.get_xlabel() == "distance from the loss (layers)"
    assert "log₁₀" in axes.get_ylabel()
    low, high = axes.get_ylim()
    assert low < -9 < 0 < high


def test_fixed_axes_stay_fixed(axes):
    show.gradient_axes(axes, distance=50, decades=(-40, 5), unit="steps")
    assert axes.get_ylim() == (-40, 5)
    assert axes.get_xlim() == (-1, 51)
    assert axes.get_xlabel() == "distance from the loss (steps)"


def test_an_explorer_s_picture_hides_the_lines_it_is_not_given(axes):
    picture = show.GradientPicture(axes, ["relu", "tanh"], distance=3, decades=(-10, 1))
    picture.update({"relu": NORMS, "tanh": NORMS})
    assert len(lines(axes)) == 2
    picture.update({"tanh": NORMS})
    assert len(lines(axes)) == 1


def label_boxes(figure):
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    labels = next(a for a in figure.axes[0].get_children() if isinstance(a, EndLabels))
    return [text.get_window_extent(renderer) for text in labels.texts if text.get_text()]


@pytest.mark.parametrize("spacing", [0.0, 0.01, 0.3, 2.0])
def test_labels_at_line_ends_do_not_overlap_and_stay_in_the_picture(spacing):
    with show.house_style():
        figure = plt.figure()
        steps = range(6)
        many = {f"line {i}": 10.0 ** -np.array([spacing * i + 3, 2, 1, 0]) for i in steps}
        show.gradient_picture(many, figure.add_subplot())
        boxes = label_boxes(figure)
    plt.close(figure)
    assert len(boxes) == 6
    for i, one in enumerate(boxes):
        assert figure.bbox.contains(one.xmin, one.ymin)
        assert figure.bbox.contains(one.xmax, one.ymax)
        for other in boxes[i + 1 :]:
            assert not one.overlaps(other)


def test_labels_follow_moving_lines_by_themselves():
    with show.house_style():
        figure = plt.figure()
        axes = figure.add_subplot(xlim=(0, 10), ylim=(0, 10))
        (line,) = axes.plot([0, 5], [1, 1], label="here")
        show.label_ends(axes)
        (before,) = label_boxes(figure)
        line.set_data([0, 5], [9, 9])
        (after,) = label_boxes(figure)
        line.set_visible(False)
        figure.draw_without_rendering()
    plt.close(figure)
    assert after.ymin > before.ymax


def test_spread_moves_no_more_than_it_must():
    apart = np.array([30.0, 10.0, 50.0])
    np.testing.assert_array_equal(spread(apart, 10, 0, 100), apart)
    np.testing.assert_allclose(spread(np.array([50.0, 50.0]), 10, 0, 100), [45, 55])
    np.testing.assert_allclose(spread(np.array([99.0, 100.0]), 10, 0, 100), [90, 100])
    np.testing.assert_allclose(spread(np.array([0.0, 0.0, 11.0]), 10, 0, 100), [0, 10, 20])


def test_spread_keeps_its_promise_for_random_heights():
    rng = np.random.default_rng(1)
    for _ in range(300):
        heights = rng.uniform(0, 100, rng.integers(1, 9))
        placed = spread(heights, 10, 0, 100)
        assert np.all(np.diff(np.sort(placed)) >= 10 - 1e-9)
        assert placed.min() >= -1e-9
        assert placed.max() <= 100 + 1e-9
        assert np.array_equal(np.argsort(placed), np.argsort(heights, kind="stable"))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda ax: show.gradient_picture([1.0, -1.0, 1.0], ax), "`flow` holds -1.0; it takes nor"),
        (lambda ax: show.gradient_picture([np.nan, 1.0], ax), "`flow` holds nan; it takes norms"),
        (lambda ax: show.gradient_picture([1.0, 0.0], ax), "`flow` ends with 0.0; it takes a fin"),
        (lambda ax: show.gradient_picture("norms", ax), "`flow` is 'norms'"),
        (lambda ax: show.gradient_picture(np.eye(3), ax), "`flow` has shape (3, 3)"),
        (lambda ax: show.gradient_picture({}, ax), "`flow` is empty; it takes at least one line"),
        (lambda ax: show.gradient_picture({"a": [0.0]}, ax), "`flow['a']` ends with 0.0"),
        (lambda ax: show.gradient_picture(NORMS, 3), "`ax` is 3; it takes matplotlib axes"),
        (lambda ax: show.gradient_picture(NORMS, ax, limits=["float33"]), "'float33'; it takes on"),
        (lambda ax: show.gradient_picture(NORMS, ax, limits=["float16"]), "`entries` is missing"),
        (lambda ax: show.gradient_axes(3, distance=1, decades=(0, 1)), "`axes` is 3; it takes ma"),
        (lambda ax: show.gradient_axes(ax, distance=0, decades=(0, 1)), "`distance` is 0; it tak"),
        (lambda ax: show.gradient_axes(ax, distance=1, decades=(1, 0)), "`decades` is (1, 0); it"),
        (lambda ax: show.underflow_line(ax, "int8"), "`dtype` is 'int8'; it takes one of float16"),
        (lambda ax: show.underflow_line(ax, "float16", entries=0), "`entries` is 0; it takes a w"),
        (lambda ax: show.label_ends(ax), "`axes` has no line with a label"),
        (lambda ax: show.label_ends(None), "`axes` is None; it takes matplotlib axes"),
    ],
)
def test_bad_input_gets_one_sentence(axes, call, sentence):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(axes)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@dataclass
class TimeFlow:
    """What `gradient_flow.by_time_step` returns, as far as the picture knows it."""

    rms_by_distance: np.ndarray
    dtype: str = "float32"


def test_a_flow_over_time_counts_steps_from_the_last_one(axes):
    show.gradient_picture(TimeFlow(np.array([2.0, 0.2, 0.02])), axes)
    (line,) = lines(axes)
    np.testing.assert_allclose(line.get_xdata(), [0, 1, 2])
    np.testing.assert_allclose(line.get_ydata(), [0, -1, -2], atol=1e-12)
    assert axes.get_xlabel() == "distance from the loss (steps)"
    title = axes.get_title(loc="left")
    assert title == "0.01 of the gradient arrives: a factor of 0.1 a step"
    assert "↓ float32 underflows at −38" in words(axes)


def test_a_loss_on_an_earlier_step_starts_the_line_there(axes):
    show.gradient_picture(TimeFlow(np.array([0.0, 0.0, 2.0, 0.2, 0.02])), axes)
    (line,) = lines(axes)
    np.testing.assert_allclose(line.get_xdata(), [2, 3, 4])
    assert axes.get_title(loc="left").endswith("a factor of 0.1 a step")


def test_products_of_jacobians_are_drawn_as_they_are(axes):
    @dataclass
    class Products:
        log10_rms_by_lag: np.ndarray

    show.gradient_picture({"a": Products(np.array([0.0, -1.0, -3.0]))}, axes)
    (line,) = lines(axes)
    np.testing.assert_allclose(line.get_ydata(), [0, -1, -3])
    assert axes.get_xlabel() == "distance from the loss (steps)"


@pytest.mark.parametrize("rms", [[0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_a_flow_over_time_without_a_gradient_is_refused(axes, rms):
    with pytest.raises(ValueError, match="`flow` has no finite gradient above 0 at any step"):
        show.gradient_picture(TimeFlow(np.array(rms)), axes)
