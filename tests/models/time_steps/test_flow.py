"""What `by_time_step` returns and says; how it is kept; what it refuses."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.maths import recurrent
from course_lib.models import gradient_flow, measurements, step_cost
from course_lib.models.time_steps import TimeStepFlow

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
CELLS = {"SimpleRNN": K.SimpleRNN, "LSTM": K.LSTM, "GRU": K.GRU}


def reader(cell, length=5, units=4, **options):
    keras.utils.set_random_seed(2)
    dtype = options.get("dtype")
    layers = [cell(units, name="reader", **options), K.Dense(3, dtype=dtype)]
    return keras.Sequential([keras.Input((length, 2), dtype=dtype or "float32"), *layers])


def batch(length=5, size=6, seed=3):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(size, length, 2)).astype("float32"), rng.integers(3, size=size)


def entering(model, x, y):
    """∂𝓛/∂h_T by a tape on what follows the recurrent layer."""
    h = model.layers[0](x)
    with tf.GradientTape() as tape:
        tape.watch(h)
        loss = LOGITS(y, model.layers[1](h))
    return np.asarray(tape.gradient(loss, h), "float64")


@pytest.mark.parametrize("name", CELLS)
def test_equals_the_derivation_by_hand_in_float64(name):
    """The maths floor knows nothing of Keras's loop, nor of a tape."""
    model = reader(CELLS[name], dtype="float64")
    x, y = batch()
    flow = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    layer = getattr(recurrent, name).from_keras(model.layers[0])
    trace = layer.forward(x.astype("float64"))
    d_outputs = np.zeros_like(trace.outputs)
    d_outputs[:, -1] = entering(model, x.astype("float64"), y)
    expected = layer.backward(trace, d_outputs)
    np.testing.assert_allclose(flow.gradients, expected.states, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(flow.norms, np.linalg.norm(expected.states, axis=(0, 2)), rtol=1e-9)
    if name == "LSTM":
        np.testing.assert_allclose(flow.cell_norms[-1], 0)
        np.testing.assert_allclose(flow.cell_gradients, expected.cells, rtol=1e-9, atol=1e-15)
    else:
        assert flow.cell_gradients is None


def vanishing(dtype, length=300):
    """A sigmoid network, whose gradient falls by a factor of about 0.2 a step."""
    model = reader(K.SimpleRNN, length, units=8, activation="sigmoid", dtype=dtype)
    return model, *batch(length)


def test_what_float32_cannot_hold_is_recovered_and_counted():
    model, x, y = vanishing("float32")
    flow = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    exact, *_ = vanishing("float64")
    exact.set_weights(model.get_weights())
    expected = gradient_flow.by_time_step(exact, x, y, loss=LOGITS)["reader"]
    assert expected.norms[0] < 1e-100
    np.testing.assert_allclose(flow.norms, expected.norms, rtol=1e-3)
    np.testing.assert_allclose(flow.factor_per_step, expected.factor_per_step, rtol=1e-5)
    small = (np.abs(expected.gradients) < 2.0**-126).sum(axis=(0, 2))
    assert np.abs(flow.underflowed - small).sum() <= 0.001 * small.sum()
    assert not flow.true_zeros.any()
    assert not flow.unresolved.any()
    assert "Training sees those zeros" in flow.summary()
    assert not expected.underflowed.any()


def test_control_a_tape_in_float32_sees_zeros_there():
    model, x, y = vanishing("float32")
    cell, head = model.layers[0].cell, model.layers[1]
    states = model.layers[0].get_initial_state(len(x))
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for t in range(x.shape[1]):
            h, states = cell(x[:, t], states)
            if t == 0:
                first = h
                tape.watch(first)
        loss = LOGITS(y, head(h))
    assert not np.asarray(tape.gradient(loss, first)).any()


def test_rescaling_changes_no_digit():
    """The gradient is the same bit for bit where it fits the format without it."""
    model, x, y = vanishing("float32", length=60)
    names = ("reader",)
    found = []
    for rescaled in (False, True):
        options = {"rescaled": rescaled}
        data = gradient_flow.check_batch(model, x, y)
        measured = measurements.Measurement(model, names, LOGITS, False, **options)(data, 60)
        counts = measured.counts[0]
        scale = 1.0 if counts is None else 2.0 ** (-64.0 * counts)
        found.append(measured.gradients[0][0].astype("float64") * scale)
    assert counts.max() >= 1
    np.testing.assert_array_equal(found[0][:, 30:], found[1][:, 30:])
    assert (found[1] != 0).all()


def test_a_gradient_lost_between_two_layers_is_found_in_float64():
    """A stack of narrow layers between two recurrent ones, so weak that nothing comes through."""
    keras.utils.set_random_seed(4)
    tiny = keras.initializers.Constant(1e-20)
    inputs = keras.Input((4, 2))
    h = K.SimpleRNN(3, return_sequences=True, name="below")(inputs)
    for _ in range(4):
        h = K.Dense(3, kernel_initializer=tiny)(h)
    model = keras.Model(inputs, K.Dense(3)(K.GRU(3, name="above")(h)))
    x, y = batch(4)
    flows = gradient_flow.by_time_step(model, x, y, loss=LOGITS)
    assert flows["below"].passes > 1
    norms = flows["below"].norms
    assert (norms > 0).all()
    assert (norms < 1e-75).all()
    assert flows["below"].underflowed.sum() == flows["below"].gradients.size


def test_a_true_zero_stays_one():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((5, 2))
    h = K.GRU(4, return_sequences=True, name="reader")(inputs)
    model = keras.Model(inputs, K.Dense(3)(h[:, 2]))
    flow = gradient_flow.by_time_step(model, *batch(), loss=LOGITS)["reader"]
    np.testing.assert_array_equal(flow.norms[3:], 0)
    np.testing.assert_array_equal(flow.true_zeros, [0, 0, 0, 24, 24])
    expected = (flow.norms[0] / flow.norms[2]) ** (1 / 2)
    np.testing.assert_allclose(flow.factor_per_step, expected, rtol=1e-12)


def test_half_precision_is_measured_below_its_limit(policy):
    with policy("mixed_float16"):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [keras.Input((40, 2)), K.SimpleRNN(6, activation="sigmoid"), K.Dense(3)]
        )
        (flow,) = gradient_flow.by_time_step(model, *batch(40), loss=LOGITS).values()
    assert flow.dtype == "float16"
    assert flow.limit == 2.0**-24
    assert (flow.norms > 0).all()
    assert flow.norms[0] < 1e-12
    assert flow.underflowed[0] == 36


def test_an_exploding_gradient_is_reported():
    model = reader(K.SimpleRNN, 80, activation="linear")
    weights = model.layers[0].get_weights()
    model.layers[0].set_weights([weights[0] * 0, 4 * weights[1], weights[2]])
    flow = gradient_flow.by_time_step(model, *batch(80), loss=LOGITS)["reader"]
    assert not np.isfinite(flow.norms[0])
    assert "Some gradients are not finite: the network explodes." in flow.summary()


def flow_of(gradients, **options):
    values = {
        "name": "reader",
        "gradients": np.asarray(gradients, float),
        "cell_gradients": None,
        "mask": None,
        "backwards": False,
        "last_step_only": True,
        "joined": True,
        "zeros_are_sure": True,
        "dtype": "float32",
        "loss": 1.0,
        "passes": 1,
    }
    return TimeStepFlow(**{**values, **options})


def test_norms_and_factor_by_hand():
    flow = flow_of([[[3.0, 4.0], [6.0, 8.0], [12.0, 16.0]]])
    np.testing.assert_allclose(flow.norms, [5, 10, 20])
    np.testing.assert_allclose(flow.factor_per_step, 0.5)
    np.testing.assert_array_equal(flow.distances, [[2, 1, 0]])
    np.testing.assert_allclose(flow.rms_by_distance, np.array([20, 10, 5]) / np.sqrt(2))
    assert [row["distance"] for row in flow.table()] == [2, 1, 0]


def test_a_backward_layer_counts_the_other_way():
    flow = flow_of([[[12.0], [6.0], [3.0]]], backwards=True)
    np.testing.assert_array_equal(flow.distances, [[0, 1, 2]])
    np.testing.assert_allclose(flow.factor_per_step, 0.5)
    assert "read from the last step to the first" in flow.summary()
    assert [row["distance"] for row in flow.table()] == [0, 1, 2]


def test_masked_steps_count_for_nothing():
    nan = np.nan
    gradients = [[[2.0], [nan], [4.0], [8.0]], [[100.0], [1.0], [nan], [nan]]]
    mask = ~np.isnan(np.array(gradients)[..., 0])
    flow = flow_of(gradients, mask=mask)
    np.testing.assert_array_equal(flow.distances, [[2, -1, 1, 0], [1, 0, -1, -1]])
    np.testing.assert_allclose(flow.norms, [np.hypot(2, 100), 1, 4, 8])
    np.testing.assert_allclose(flow.factor_per_step, 0.5)  # of the longest sample
    assert "3 masked steps of 8" in flow.summary()


def test_norms_beyond_what_squares_can_hold():
    flow = flow_of([[[3e-200, 4e-200], [3.0, 4.0], [3e200, 4e200]]])
    np.testing.assert_allclose(flow.norms, [5e-200, 5, 5e200], rtol=1e-12)
    np.testing.assert_allclose(flow.factor_per_step, 1e-200, rtol=1e-9)


def test_the_text_says_when_the_factor_means_something():
    warning = "stands for one product of Jacobians only if the loss reads the last step alone"
    gradients = [[[1.0], [2.0]]]
    assert warning not in flow_of(gradients).summary()
    assert warning in flow_of(gradients, last_step_only=False).summary()
    assert "holds h_t fixed" in flow_of(gradients, cell_gradients=np.ones((1, 2, 1))).summary()
    assert "is not its state" in flow_of(gradients, joined=False).summary()
    assert np.isnan(flow_of([[[1.0]]]).factor_per_step)
    assert "Nothing arrives at any step." in flow_of([[[0.0], [0.0]]]).summary()


def test_tables():
    flow = flow_of(np.ones((1, 50, 2)), name="<b>", cell_gradients=np.ones((1, 50, 2)))
    lines = str(flow).splitlines()
    assert len(lines) < 30
    assert "‖∂L/∂c_t‖, h_t fixed" in lines[0]
    assert len(flow.table()) == 50
    page = flow._repr_html_()
    assert "<b>:" not in page
    assert "&lt;b&gt;: norms" in page
    assert repr(flow) == "<TimeStepFlow <b>: 50 steps, factor per step 1>"


def test_a_compiled_model_weights_and_another_loss():
    model = reader(K.GRU)
    x, y = batch()
    model.compile(loss=LOGITS)
    by_own = gradient_flow.by_time_step(model, x, y)["reader"]
    given = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    np.testing.assert_allclose(by_own.gradients, given.gradients, rtol=1e-6)
    np.testing.assert_allclose(by_own.loss, float(LOGITS(y, model(x))), rtol=1e-6)
    weight = np.array([1.0, 0, 0, 0, 0, 0])
    one = gradient_flow.by_time_step(model, x, y, sample_weight=weight)["reader"]
    assert not one.gradients[1:].any()
    np.testing.assert_allclose(one.gradients[0], by_own.gradients[0], rtol=1e-5)


def test_only_the_layer_that_is_asked_for():
    keras.utils.set_random_seed(1)
    both = K.Bidirectional(K.SimpleRNN(3, return_sequences=True, name="rnn"), name="both")
    model = keras.Sequential([keras.Input((5, 2)), both, K.GRU(3, name="last"), K.Dense(3)])
    x, y = batch()
    everything = gradient_flow.by_time_step(model, x, y, loss=LOGITS)
    assert [*everything] == ["both/forward_rnn", "both/backward_rnn", "last"]
    for layer, names in {
        "last": ["last"],
        "both": ["both/forward_rnn", "both/backward_rnn"],
        "forward_rnn": ["both/forward_rnn"],
        "both/backward_rnn": ["both/backward_rnn"],
        both: ["both/forward_rnn", "both/backward_rnn"],
        both.backward_layer: ["both/backward_rnn"],
    }.items():
        some = gradient_flow.by_time_step(model, x, y, loss=LOGITS, layer=layer)
        assert [*some] == names
        for name in names:
            expected = everything[name].gradients
            np.testing.assert_allclose(some[name].gradients, expected, rtol=1e-6, atol=1e-12)
    assert not everything["both/forward_rnn"].backwards
    assert everything["both/backward_rnn"].backwards


@pytest.fixture
def traces(monkeypatch):
    """How often the model was run in Python: once a trace, or once a call without one."""
    runs = []
    measure = measurements.Measurement._measure

    def counted(self, *arguments):
        runs.append(self)
        return measure(self, *arguments)

    monkeypatch.setattr(measurements.Measurement, "_measure", counted)
    return runs


def test_a_trace_is_kept_and_follows_the_weights(traces):
    model, (x, y) = reader(K.LSTM), batch()
    first = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    model.set_weights([2 * weight for weight in model.get_weights()])
    second = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    assert len(traces) == 1
    assert not np.allclose(first.gradients, second.gradients, rtol=1e-2)
    np.testing.assert_allclose(second.loss, float(LOGITS(y, model(x))), rtol=1e-6)
    model.compile("sgd", loss=LOGITS)
    gradient_flow.by_time_step(model, x, y)
    model.fit(x, y, verbose=0)
    before = len(traces)
    gradient_flow.by_time_step(model, x, y)
    assert len(traces) == before


def test_a_model_that_was_changed_is_traced_anew(traces):
    model, (x, y) = reader(K.SimpleRNN), batch()
    first = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    model.layers[0].cell.activation = keras.activations.linear
    second = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    model.layers[0].go_backwards = True
    third = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    assert len(traces) == 3
    assert second.loss != first.loss
    assert third.backwards
    np.testing.assert_allclose(second.loss, float(LOGITS(y, reader_like(model, x, False))), 1e-6)


def reader_like(model, x, backwards):
    model.layers[0].go_backwards = backwards
    return model(x)


def test_nothing_kept_holds_a_model(traces):
    model, (x, y) = reader(K.GRU), batch()
    gradient_flow.by_time_step(model, x, y, loss=LOGITS)
    traces.clear()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


class Untraceable(keras.Model):
    """A model that reads a number out of a tensor."""

    def __init__(self):
        super().__init__()
        self.reader = K.LSTM(3, name="reader")
        self.head = K.Dense(3)

    def call(self, x):
        factor = 2.0 if float(keras.ops.sum(x).numpy()) > 1e9 else 1.0
        return factor * self.head(self.reader(x))


def test_a_model_that_cannot_be_traced_runs_step_by_step():
    keras.utils.set_random_seed(1)
    model, (x, y) = Untraceable(), batch()
    model(x)
    flow = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    same = keras.Sequential([model.reader, model.head])
    expected = gradient_flow.by_time_step(same, x, y, loss=LOGITS)["reader"]
    np.testing.assert_allclose(flow.gradients, expected.gradients, rtol=1e-5, atol=1e-9)


def test_no_tensor_of_the_trace_stays_behind():
    """What a layer added to the loss can still be read, and so can what it keeps itself."""
    model = reader(K.LSTM, activity_regularizer="l2")
    x, y = batch()
    model(x)
    before = [float(value) for value in model.losses]
    gradient_flow.by_time_step(model, x, y, loss=LOGITS)
    assert [float(value) for value in model.losses] == before


def test_a_model_that_is_not_built_is_built():
    model = keras.Sequential([K.GRU(3, name="reader"), K.Dense(3)])
    flows = gradient_flow.by_time_step(model, *batch(), loss=LOGITS)
    assert flows["reader"].gradients.shape == (6, 5, 3)


def test_the_loop_that_the_cost_is_compared_with_gives_the_same():
    model, (x, y) = reader(K.LSTM), batch()
    found = step_cost._eager_gradient(model, tf.constant(x), tf.constant(y), LOGITS, range(5))
    flow = gradient_flow.by_time_step(model, x, y, loss=LOGITS)["reader"]
    expected = flow.gradients.swapaxes(0, 1)
    np.testing.assert_allclose(np.stack(found), expected, rtol=1e-5, atol=1e-8)


def test_the_cost_is_measured_beside_its_yardsticks():
    cases = step_cost.step_cost_ratio(lengths=[3], repeats=1)
    assert [*cases] == ["SimpleRNN, T = 3", "LSTM, T = 3", "GRU, T = 3"]
    for case in cases.values():
        assert case["ratio"] > 0
        assert case["tape_a_step"] > case["eager_loop"] > 0


def one_sentence(info):
    text = str(info.value)
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 400
    return text


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": None}, "`model` is None; it takes a Keras model"),
        ({"model": K.LSTM(3)}, "`model` is a.? LSTM.*it takes a Keras model"),
        ({"x": np.ones((6, 5, 7))}, r"`x` has shape \(6, 5, 7\); the model takes \(batch, 5, 2\)"),
        ({"x": np.ones((6, 5))}, r"`x` has shape \(6, 5\); the model takes \(batch, 5, 2\)"),
        ({"x": np.full((6, 5, 2), np.nan)}, "`x` holds NaN"),
        ({"y": np.zeros(5)}, "`y` has 5 samples and `x` has 6"),
        ({"y": None}, "`y` is None; the loss takes one target a sample"),
        ({"y": np.full(6, 9)}, "the loss cannot be computed from `y`"),
        ({"loss": None}, r"not compiled with a loss.*pass one, such as `loss=\"mse\"`"),
        ({"loss": "mean square"}, "`loss` is 'mean square', which Keras does not know"),
        ({"training": 1}, "`training` is 1; it takes True or False"),
        ({"layer": "raeder"}, r"`layer` is 'raeder', no recurrent layer.*; it takes reader\.$"),
        ({"layer": K.LSTM(3, name="other")}, "`layer` is 'other', no recurrent layer"),
        ({"layer": 0}, "`layer` is 0; it takes a recurrent layer of the model or its name"),
        ({"sample_weight": np.ones(5)}, "`sample_weight` has 5 samples"),
    ],
)
def test_it_refuses_in_one_sentence(change, expected):
    x, y = batch()
    arguments = {"model": reader(K.SimpleRNN), "x": x, "y": y, "loss": LOGITS} | change
    model, x, y = (arguments.pop(name) for name in ("model", "x", "y"))
    with pytest.raises((TypeError, ValueError), match=expected) as info:
        gradient_flow.by_time_step(model, x, y, **arguments)
    one_sentence(info)


def test_a_model_without_a_recurrent_layer_is_refused():
    model = keras.Sequential([keras.Input((4,)), K.Dense(3)], name="dense")
    with pytest.raises(ValueError, match=r"`model` \(dense\) has no recurrent layer") as info:
        gradient_flow.by_time_step(model, np.ones((2, 4)), np.zeros(2), loss=LOGITS)
    one_sentence(info)


class Hidden(keras.Model):
    """A recurrent layer inside a function of its own graph."""

    def __init__(self):
        super().__init__()
        self.reader = K.SimpleRNN(3, name="reader")
        self.head = K.Dense(3)
        self.inner = tf.function(lambda x: self.reader(x), autograph=False)

    def call(self, x):
        return self.head(self.inner(x))


def test_a_layer_out_of_sight_is_named():
    model, (x, y) = Hidden(), batch()
    model(x)
    with pytest.raises(ValueError, match="no step of the layer reader can be seen") as info:
        gradient_flow.by_time_step(model, x, y, loss=LOGITS)
    one_sentence(info)
