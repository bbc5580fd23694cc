"""Gates step by step, and what arrives beside what gates alone let through."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from course_lib import show
from course_lib.maths.gates import GRU, LSTM
from course_lib.show.explore import exercise

STEPS, UNITS = 6, 3


def arrays(cell="lstm", steps=STEPS, units=UNITS, seed=71, **change):
    """What an explorer computes: a real layer over a real sequence."""
    rng = np.random.default_rng(seed)
    layer = {"lstm": LSTM, "gru": GRU}[cell].random(1, units, rng)
    x = rng.uniform(-1, 1, steps)
    trace = layer.forward(x[None, :, None])
    gates = {name: values[0] for name, values in trace.gates.items()}
    return {"x": x, **gates, "state": trace.outputs[0], "title": "a finding"} | change


@pytest.fixture(params=["lstm", "gru"])
def cell(request):
    return request.param


@pytest.fixture
def picture(cell):
    return show.GatePicture(Figure(), cell, 8)


def lines(picture):
    """Every named line of the picture by the first word at its end."""
    found = [*picture.gates.get_lines(), *picture.memory.get_lines()]
    named = [line for line in found if not line.get_label().startswith("_")]
    return {line.get_label().split()[0]: line for line in named}


def fans(axes):
    return [c.get_segments() for c in axes.collections if isinstance(c, LineCollection)]


def title(axes):
    return axes.get_title(loc="left") + axes.get_title()


def test_each_gate_is_a_line_over_the_steps_in_the_panel_where_it_belongs(cell, picture):
    shown = arrays(cell)
    picture.update(shown)
    named = lines(picture)
    assert set(named) == set(shown) - {"x", "title"}
    for name, line in named.items():
        expected = np.column_stack([np.arange(1, STEPS + 1), shown[name][:, 0]])
        np.testing.assert_array_equal(line.get_xydata(), expected)
        below = name in ("candidate", "cell", "state")
        assert line.axes is (picture.memory if below else picture.gates)
    assert title(picture.inputs) == "a finding"


def test_the_other_units_are_faint_lines_and_one_unit_has_none(cell, picture):
    shown = arrays(cell)
    picture.update(shown)
    name = {"lstm": "forget", "gru": "update"}[cell]
    (fan, *_) = fans(picture.gates)
    assert len(fan) == UNITS - 1
    np.testing.assert_array_equal(fan[1][:, 1], shown[name][:, 2])
    picture.update(arrays(cell, units=1))
    assert not any(map(len, fans(picture.gates) + fans(picture.memory)))


def test_an_array_without_units_is_that_of_one_unit(picture, cell):
    shown = arrays(cell, units=1)
    flat = {name: v[:, 0] if np.ndim(v) == 2 else v for name, v in shown.items()}
    picture.update(shown)
    before = [line.get_xydata().copy() for line in lines(picture).values()]
    picture.update(flat)
    for line, points in zip(lines(picture).values(), before, strict=True):
        np.testing.assert_array_equal(line.get_xydata(), points)
    assert picture.tell(flat) == picture.tell(shown)


def test_the_sequence_stands_as_bars_around_its_steps(cell, picture):
    picture.update(arrays(cell, steps=2, x=[0.5, -1.0]))
    (bars,) = picture.inputs.patches
    np.testing.assert_array_equal(bars.get_data().values, [0.5, -1.0])
    np.testing.assert_array_equal(bars.get_data().edges, [0.5, 1.5, 2.5])


def test_the_axis_of_the_memory_grows_with_it_and_the_others_stay():
    picture = show.GatePicture(Figure(), "lstm", 8)
    for largest, reach in ((0.3, 1), (1.0, 1), (1.2, 2), (24.0, 30), (0.3, 1)):
        picture.update(arrays(units=1) | {"cell": np.full(STEPS, -largest)})
        assert picture.memory.get_yticks().tolist() == [-reach, 0, reach]
        low, high = picture.memory.get_ylim()
        assert low < -largest <= largest < high
        assert picture.gates.get_ylim() == (-0.03, 1.03)
        assert picture.inputs.get_xlim() == (0.5, 8.5)


def test_gates_have_the_colors_of_the_house_style_and_differ_by_dash():
    shown = {name: show.gate_style(name) for name in ("input", "forget", "candidate", "output")}
    colors = [to_hex(style["color"]).upper() for style in shown.values()]
    assert colors == ["#0072B2", "#009E73", "#CC79A7", "#E69F00"]
    assert len({str(style["linestyle"]) for style in shown.values()}) == 4
    gru = [show.gate_style(name)["color"] for name in ("update", "reset", "candidate")]
    assert [to_hex(color).upper() for color in gru] == colors[:3]
    shown["input"]["color"] = "red"  # a copy
    assert show.gate_style("input")["color"] == colors[0]


def test_the_words_say_between_which_numbers_each_line_lies(cell):
    shown = arrays(cell, steps=2, units=1, x=[1.0, 1.0])
    name = {"lstm": "forget", "gru": "update"}[cell]
    memory = {"lstm": "cell", "gru": "state"}[cell]
    shown |= {name: [0.25, 0.75], memory: [-0.001, -0.5]}
    told = show.GatePicture.tell(shown)
    assert told.startswith("2 steps; ")
    assert f"{name} 0.25 to 0.75" in told
    assert f"{memory} −0.50 to 0.00" in told
    assert told.endswith(f"the {memory} ends at −0.50")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": np.ones(9)}, "`x` has 9 steps; it takes up to 8"),
        ({"x": np.ones((6, 2))}, r"`x` has shape \(6, 2\)"),
        ({"x": np.full(6, np.nan)}, "`x`"),
        ({"candidate": np.ones(5)}, r"`candidate` has shape \(5,\)"),
        ({"state": np.ones((6, 2, 2))}, r"`state` has shape \(6, 2, 2\)"),
        ({"state": "h"}, "`state` is 'h'"),
    ],
)
def test_bad_arrays_are_refused(cell, picture, change, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        picture.update(arrays(cell, **change))


def test_a_pre_activation_is_no_gate(cell, picture):
    name = {"lstm": "forget", "gru": "update"}[cell]
    for wrong in (-2.0, 1.5):
        with pytest.raises(ValueError, match=rf"`{name}` holds {wrong:g}; it takes 0 to 1"):
            picture.update(arrays(cell, **{name: [0.5, wrong, 0.5, 0.5, 0.5, 0.5]}))


def test_what_is_missing_is_named():
    shown = arrays()
    del shown["output"]
    with pytest.raises(ValueError, match="`arrays` has no 'output'"):
        show.GatePicture(Figure(), "lstm", 8).update(shown)
    with pytest.raises(ValueError, match="`arrays` has no 'update'"):
        show.GatePicture(Figure(), "gru", 8).update(arrays("lstm"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: show.GatePicture("figure", "lstm", 8), "`figure`"),
        (lambda: show.GatePicture(Figure(), "rnn", 8), "`cell` is 'rnn'"),
        (lambda: show.GatePicture(Figure(), "gru", 1), "`length` is 1"),
        (lambda: show.GatePicture(Figure(), "gru", 8, inputs=1), "`inputs` has shape"),
        (lambda: show.gate_style("forgett"), "perhaps forget"),
        (lambda: show.MemoryPicture(None, {"LSTM": "∏f"}, **ENDS), "`axes`"),
        (lambda: show.MemoryPicture(Figure().add_subplot(), ["LSTM"], **ENDS), "`names`"),
        (lambda: show.MemoryPicture(Figure().add_subplot(), {}, **ENDS), "`names`"),
        (
            lambda: show.MemoryPicture(Figure().add_subplot(), {"a": "∏f", "b": "∏f"}, **ENDS),
            "no two of the same name",
        ),
    ],
)
def test_bad_arguments_are_refused(make, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence):
        make()


def test_a_gate_picture_holds_up_in_an_explorer():
    """Corners and random settings, drawn quickly as they are drawn anew."""

    def compute(forget, units, length):
        layer = LSTM.random(1, units, np.random.default_rng(72)).with_bias(forget=forget)
        x = np.ones(length)
        trace = layer.forward(x[None, :, None])
        gates = {name: values[0] for name, values in trace.gates.items()}
        return {"x": x, **gates, "state": trace.outputs[0], "title": f"b = {forget}"}

    explorer = show.explore(
        compute,
        lambda figure: show.GatePicture(figure, "lstm", 12).update,
        alt=show.GatePicture.tell,
        figsize=(7, 4.6),
        forget=show.slider("forget bias", -2, 8, 1, step=0.5),
        units=show.integers("units", 1, 4, 2),
        length=show.integers("steps", 2, 12, 12),
    )
    assert len(exercise(explorer, np.random.default_rng(73), settings=20)) > 20
    explorer.set(forget=0)  # from here on the cell stays below 1: nothing but lines moves
    before = explorer.canvas.full_draws
    for forget in (-0.5, -1, -1.5, -2):
        explorer.set(forget=forget)
    assert explorer.canvas.full_draws == before


# Memory

ENDS = {"distance": 2, "decades": (-6, 2)}


@pytest.fixture
def memory():
    names = {"LSTM, b = 1": "∏f", "LSTM, b = 3": None, "GRU": "∏z"}
    return show.MemoryPicture(Figure().add_subplot(), names, **ENDS)


def drawn(picture):
    """The heights of all lines that are there and have no edge to stand at."""
    found = [line for line in picture.axes.get_lines() if len(line.get_xydata()) == 3]
    return {tuple(np.round(line.get_ydata(), 9)): line for line in found}


def test_a_direct_path_is_a_thin_line_of_theory_beside_its_own(memory):
    memory.update(
        {"LSTM, b = 1": [1e-2, 0.1, 1.0], "GRU": [10.0, 100.0, 1.0]},
        {"LSTM, b = 1": [1e-4, 1e-2, 1.0]},
        title="a finding",
    )
    found = drawn(memory)
    assert set(found) == {(0, -1, -2), (0, -2, -4), (0, 2, 1)}
    thin, full = found[0, -2, -4], found[0, -1, -2]
    assert thin.get_color() == show.COLORS["theory"]
    assert full.get_color() == show.COLORS["lstm"]
    assert thin.get_linewidth() < full.get_linewidth()
    assert thin.get_zorder() < full.get_zorder()
    assert found[0, 2, 1].get_color() == show.COLORS["gru"]
    assert title(memory.axes) == "a finding"


def test_what_is_not_given_any_more_is_hidden(memory):
    memory.update({"GRU": [1.0, 1.0, 1.0]}, {"GRU": [0.1, 1.0, 1.0]}, title="both")
    assert title(memory.axes) == "both"
    memory.update({"LSTM, b = 3": [10.0, 1.0, 1.0]}, title="one")
    assert set(drawn(memory)) == {(0, 0, 1)}


def test_it_shows_what_a_layer_computes():
    """With a recurrent kernel of 0 the two lines are one."""
    layer = LSTM.random(1, 4, np.random.default_rng(74), recurrent=np.zeros((4, 16)))
    trace = layer.forward(np.ones((1, 2, 1)))
    whole = np.linalg.norm(layer.full_path(trace)[0, :, 4:, 4:], axis=(1, 2))
    direct = np.linalg.norm(layer.cell_path(trace)[0], axis=1)
    picture = show.MemoryPicture(
        Figure().add_subplot(), {"LSTM": "∏f"}, ylabel="log₁₀ of what c sends", **ENDS
    )
    picture.update({"LSTM": whole}, {"LSTM": direct}, title="one line")
    assert len(drawn(picture)) == 1
    assert picture.axes.get_ylabel() == "log₁₀ of what c sends"


@pytest.mark.parametrize(
    ("full", "direct", "sentence"),
    [
        ({"rnn": [1.0, 1.0]}, None, "`full` is 'rnn'"),
        ({"GRU": [1.0, 1.0]}, {"LSTM, b = 3": [1.0, 1.0]}, "`direct` is 'LSTM, b = 3'"),
        ({"∏f": [1.0, 1.0]}, None, "`full` is '∏f'"),
        ({"GRU": [-1.0, 1.0]}, None, "numbers from 0 upwards"),
        ({"GRU": [1.0, 0.0]}, None, "finite norm above 0"),
    ],
)
def test_bad_lines_are_refused(memory, full, direct, sentence):
    with pytest.raises(ValueError, match=sentence):
        memory.update(full, direct, title="refused")
