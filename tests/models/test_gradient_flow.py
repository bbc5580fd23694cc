"""`by_layer` against a tape for each record, against the maths floor, and against arithmetic."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib.maths.propagation import deep_stack, deep_stack_gradients
from course_lib.models import gradient_flow, networks
from course_lib.models.recording import Recording

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def norm(arrays):
    return np.sqrt(sum(float(np.sum(array**2)) for array in arrays))


def loss_of(y, loss):
    """The loss of a batch, computed by hand from Keras's own loss functions."""

    def total(outputs):
        if isinstance(outputs, dict):
            return sum(keras.losses.get(loss[k])(y[k], outputs[k]) for k in sorted(outputs))
        if not isinstance(outputs, list):
            return loss(y, outputs)
        parts = zip(loss, y, outputs, strict=True)
        return sum(tf.reduce_mean(keras.losses.get(f)(t, o)) for f, t, o in parts)

    def scalar(outputs):
        return tf.reduce_mean(total(outputs))

    if isinstance(y, dict):
        return lambda outputs: sum(
            tf.reduce_mean(keras.losses.get(loss[k])(y[k], outputs[k])) for k in outputs
        )
    return scalar


def places(model, flow):
    """The layer and the number of its use for each record after the inputs."""
    for i, name in enumerate(flow.names):
        if name.startswith("input"):
            continue
        path, use = re.fullmatch(r"(.*?)(?: \(use (\d+)\))?", name).groups()
        layer = model
        for part in [] if path == model.name else path.split("/"):
            held = layer._flatten_layers(include_self=False, recursive=False)
            inside = {child.name: child for child in held}
            functional = inside.pop("functional", None)  # what a Sequential model runs
            layer = inside[part] if part in inside else functional.get_layer(part)
        yield i, layer, int(use or 1)


def as_tensors(x):
    return keras.tree.map_structure(tf.convert_to_tensor, x)


@pytest.mark.parametrize("training", [False, True])
def test_equals_one_tape_per_record(animal, one_tape, training):
    model, x, y, loss = animal
    model(as_tensors(x))
    flow = gradient_flow.by_layer(model, x, y, loss=loss, training=training)
    for i, layer, use in places(model, flow):
        found = one_tape(model, layer, use, as_tensors(x), loss_of(y, loss), training)
        np.testing.assert_allclose(flow.activation_norms[i], norm(found), rtol=1e-6, atol=1e-30)


def test_inputs_and_weights_equal_a_tape(animal):
    model, x, y, loss = animal
    tensors = as_tensors(x)
    model(tensors)
    flow = gradient_flow.by_layer(model, x, y, loss=loss)
    parts = keras.tree.flatten(tensors)
    floating = [i for i, part in enumerate(parts) if part.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch([parts[i] for i in floating])
        total = loss_of(y, loss)(model(tensors, training=False))
        total += sum(map(tf.reduce_sum, model.losses))
    by_inputs, by_weights = tape.gradient(
        total, [[parts[i] for i in floating], model.trainable_weights]
    )
    assert flow.loss == pytest.approx(float(total), rel=1e-6)
    for i, part in enumerate(parts):
        assert flow.names[i].startswith("input")
        assert part.dtype.is_floating or np.isnan(flow.activation_norms[i])
    for i, found in zip(floating, by_inputs, strict=True):
        assert flow.activation_norms[i] == pytest.approx(norm([np.float64(found)]), rel=1e-6)
    # Every weight belongs to one layer: the squares of the layers add up to the whole.
    own = {layer: flow.weight_norms[i] for i, layer, _ in places(model, flow)}
    squares = [float(np.sum(np.float64(tf.convert_to_tensor(g)) ** 2)) for g in by_weights]
    assert np.nansum(np.square([*own.values()])) == pytest.approx(sum(squares), rel=1e-6)


@pytest.mark.parametrize(("training", "compiled"), [(True, False), (False, True)])
def test_leaves_the_model_unchanged(animal, bits, training, compiled):
    model, x, y, loss = animal
    model(as_tensors(x))
    if compiled:
        model.compile(loss=loss, optimizer="sgd")
    before = bits(model)
    output = keras.tree.flatten(model(as_tensors(x)))
    before = bits(model)
    gradient_flow.by_layer(model, x, y, loss=None if compiled else loss, training=training)
    assert bits(model)[1:] == before[1:]
    # metrics that the first loss makes are new, and empty
    assert bits(model)[0][: len(before[0])] == before[0]
    again = keras.tree.flatten(model(as_tensors(x)))
    if not any(getattr(layer, "stateful", False) for layer in model.layers):  # whose state moves on
        assert all(np.array_equal(a, b) for a, b in zip(output, again, strict=True))


def test_a_model_that_moves_would_be_noticed(bits):
    model = keras.Sequential([keras.Input((5,)), K.Dropout(0.5), K.BatchNormalization()])
    before = bits(model)
    model(np.ones((4, 5), "float32"), training=True)
    assert bits(model)[0] != before[0]


@pytest.mark.parametrize("name", ["sequential", "several_outputs", "named_outputs", "regularized"])
def test_compiled_and_given_loss_are_the_same(name, zoo):
    model, x, y, loss = zoo(name)
    given = gradient_flow.by_layer(model, x, y, loss=loss)
    model.compile(loss=loss)
    compiled = gradient_flow.by_layer(model, x, y)
    np.testing.assert_allclose(compiled.activation_norms, given.activation_norms, rtol=1e-6)
    np.testing.assert_allclose(compiled.weight_norms, given.weight_norms, rtol=1e-6)
    assert compiled.factor_per_layer == pytest.approx(given.factor_per_layer, nan_ok=True)


def test_model_that_trained_before_is_measured_and_trains_on():
    model = networks.dense_stack(2, 8, "tanh", inputs=5, outputs=3)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(32, 5)).astype("float32"), rng.integers(3, size=32)
    model.compile(optimizer="adam", loss=LOGITS, metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    tracked = [v.numpy() for metric in model.metrics for v in metric.variables]
    optimizer = [v.numpy() for v in model.optimizer.variables]
    gradient_flow.by_layer(model, x, y, training=True)
    after = [v.numpy() for metric in model.metrics for v in metric.variables]
    assert all(np.array_equal(a, b) for a, b in zip(tracked, after, strict=True))
    now = [v.numpy() for v in model.optimizer.variables]
    assert all(np.array_equal(a, b) for a, b in zip(optimizer, now, strict=True))
    model.fit(x, y, verbose=0)


# --- against the maths floor ------------------------------------------------------------------


# Keras makes a float64 slope from the float32 0.01, and TensorFlow's GELU the same with √2.
@pytest.mark.parametrize(
    ("activation", "tolerance"), [("tanh", 1e-12), ("relu", 1e-12), ("prelu", 1e-9), ("gelu", 1e-7)]
)
def test_equals_the_maths_floor(policy, activation, tolerance):
    rng = np.random.default_rng(3)
    x, weighting = rng.normal(size=(16, 12)), rng.normal(size=(16, 10))
    with policy("float64"):
        whole = networks.dense_stack(5, 10, activation, "lecun_normal", inputs=12)
        model = keras.Model(whole.inputs[0], whole.layers[-2].output)
        flow = gradient_flow.by_layer(
            model, x, weighting, loss=lambda y, h: tf.reduce_sum(y * h, axis=-1)
        )
    weights = [np.asarray(layer.kernel) for layer in whole.layers[:-1]]
    trace = deep_stack(x, weights, activation)
    own = deep_stack_gradients(trace, weighting / 16)
    assert flow.dtype == "float64"
    np.testing.assert_allclose(flow.activation_norms, own.norms, rtol=tolerance)
    if activation != "prelu":  # whose slope is a weight too
        own_weights = [
            np.hypot(np.linalg.norm(W), np.linalg.norm(b))
            for W, b in zip(own.weights, own.biases, strict=True)
        ]
        np.testing.assert_allclose(flow.weight_norms[1:], own_weights, rtol=tolerance)
    assert np.array_equal(flow.depth, [5, 4, 3, 2, 1, 0])


def test_equals_central_differences(policy, one_tape):
    """Along δ/‖δ‖ the loss rises by ‖δ‖, along any other direction by less."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(8, 6)), rng.integers(10, size=8)
    with policy("float64"):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model = networks.dense_stack(4, 7, "tanh", inputs=6)
        flow = gradient_flow.by_layer(model, x, y, loss=loss)
        layer = model.layers[1]
        (delta,) = one_tape(model, layer, 1, tf.constant(x), lambda out: loss(y, out))
        head = keras.Sequential(model.layers[2:])
        h = np.asarray(keras.Sequential(model.layers[:2])(x))

        def slope(direction, step=1e-5):
            up, down = (float(loss(y, head(h + s * direction))) for s in (step, -step))
            return (up - down) / (2 * step)

    i = flow.names.index("hidden_2")
    assert slope(delta / norm([delta])) == pytest.approx(flow.activation_norms[i], rel=1e-7)
    other = rng.normal(size=delta.shape)
    assert abs(slope(other / norm([other]))) < 0.9 * flow.activation_norms[i]


# --- the factor, the distance, the names ------------------------------------------------------


def test_factor_of_rotations_is_their_gain():
    model = networks.dense_stack(
        12, 32, "linear", "orthogonal", inputs=32, outputs=32, gain=0.7, output_initializer="normal"
    )
    model = keras.Model(model.inputs[0], model.layers[-2].output)
    rng = np.random.default_rng(1)
    flow = gradient_flow.by_layer(
        model, rng.normal(size=(8, 32)), rng.normal(size=(8, 32)), loss="mse"
    )
    assert flow.factor_per_layer == pytest.approx(0.7, rel=1e-5)
    assert flow.layers_between == 12


def test_factor_takes_the_rms_so_that_width_does_not_count():
    rng = np.random.default_rng(1)
    model = keras.Sequential([keras.Input((400,)), K.Dense(100), K.Dense(25)])
    x, y = rng.normal(size=(64, 400)), rng.normal(size=(64, 25))
    flow = gradient_flow.by_layer(model, x, y, loss="mse")
    rms = flow.activation_norms / np.sqrt(flow.entries)
    assert flow.factor_per_layer == pytest.approx(np.sqrt(rms[0] / rms[-1]), rel=1e-12)
    by_norm = np.sqrt(flow.activation_norms[0] / flow.activation_norms[-1])
    assert abs(by_norm - flow.factor_per_layer) > 0.1  # a norm would have said something else


def test_distance_is_the_longest_path():
    inputs = keras.Input((4,))
    short = K.Dense(4, name="short")(inputs)
    long = inputs
    for name in "abc":
        long = K.ReLU(name=f"relu_{name}")(K.Dense(4, name=name)(long))
    joined = K.Add(name="joined")([short, long])
    model = keras.Model(inputs, K.Dense(3, name="out")(joined))
    rng = np.random.default_rng(1)
    flow = gradient_flow.by_layer(
        model, rng.normal(size=(5, 4)), rng.integers(3, size=5), loss=LOGITS
    )
    depth = dict(zip(flow.names, flow.depth, strict=True))
    assert depth == {
        "input": 4, "short": 1, "a": 3, "relu_a": 3, "b": 2, "relu_b": 2, "c": 1, "relu_c": 1,
        "joined": 1, "out": 0,
    }  # fmt: skip
    assert (flow.names[flow.earliest], flow.names[flow.latest]) == ("input", "out")
    assert flow.layers_between == 4


@pytest.mark.parametrize(
    ("name", "depth", "between"),
    [
        ("sequential", [2, 1, 0], 2),
        ("shared_layer", [4, 3, 2, 1, 0], 4),
        ("masked_tokens", [np.nan, 2, 2, 1, 0], 2),
        ("several_inputs", [2, 2, 1, 1, 1, 0], 2),
        ("own_weights", [5, 4, 3, 2, 1, 0], 5),
        ("frozen", [3, 2, 1, 0], 3),
        ("list_of_layers", None, 5),
        ("raw_operations", None, 3),
        ("attention", None, 7),
        ("stateful", [3, 2, 1, 0], 3),
    ],
)
def test_depth_of_the_zoo(name, depth, between, zoo):
    model, x, y, loss = zoo(name)
    flow = gradient_flow.by_layer(model, x, y, loss=loss)
    if depth is not None:
        np.testing.assert_array_equal(flow.depth, depth)
    assert flow.layers_between == between


def test_a_shared_layer_has_a_record_for_each_use(zoo):
    model, x, y, loss = zoo("shared_layer")
    flow = gradient_flow.by_layer(model, x, y, loss=loss)
    shared = [i for i, name in enumerate(flow.names) if "(use" in name]
    assert len(shared) == 3
    assert [flow.names[i][-7:] for i in shared] == ["(use 1)", "(use 2)", "(use 3)"]
    assert len(set(flow.activation_norms[shared])) == 3
    assert len(set(flow.weight_norms[shared])) == 1  # one kernel, one gradient


def test_recurrent_cells_in_a_loop_are_no_records(zoo):
    model, x, y, loss = zoo("both_directions")
    flow = gradient_flow.by_layer(model, x, y, loss=loss)
    layers = [type(layer).__name__ for _, layer, _ in places(model, flow)]
    assert layers == ["LSTM", "LSTM", "Bidirectional", "TimeDistributed", "RNN", "Dense"]


def test_a_model_not_built_yet_is_built():
    model = keras.Sequential([K.Dense(4, activation="relu"), K.Dense(3)])
    rng = np.random.default_rng(1)
    flow = gradient_flow.by_layer(
        model, rng.normal(size=(5, 4)), rng.integers(3, size=5), loss=LOGITS
    )
    assert len(flow.names) == 3
    assert model.built


@pytest.mark.parametrize("by_name", ["loss", "y", "sample_weight", "all"])
def test_outputs_in_a_list_may_be_named(by_name):
    """Keras takes lists and dicts side by side; their names are those of the output layers."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(6, 4)).astype("float32")
    inputs = keras.Input((4,))
    outputs = [K.Dense(3, name="second")(inputs), K.Dense(1, name="first")(inputs)]
    model = keras.Model(inputs, outputs)
    lists = {
        "y": [rng.integers(3, size=6), x[:, :1]],
        "loss": [LOGITS, "mse"],
        "sample_weight": [np.arange(6.0, dtype="float32"), np.ones(6, "float32")],
    }
    named = {name: dict(zip(["second", "first"], lists[name], strict=True)) for name in lists}
    chosen = named if by_name == "all" else lists | {by_name: named[by_name]}
    found, expected = (
        gradient_flow.by_layer(
            model, x, of["y"], loss=of["loss"], sample_weight=of["sample_weight"]
        )
        for of in (chosen, lists)
    )
    np.testing.assert_array_equal(found.activation_norms, expected.activation_norms)
    model.compile(loss=chosen["loss"])
    compiled = gradient_flow.by_layer(
        model,
        x,
        chosen["y"],
        sample_weight=lists["sample_weight"],  # Keras takes no others here
    )
    np.testing.assert_allclose(compiled.activation_norms, expected.activation_norms, rtol=1e-6)


def test_sample_weights_count(zoo):
    model, x, y, loss = zoo("sequential")
    weight = np.array([0.0, 0, 0, 2, 0, 0, 0], "float32")
    flow = gradient_flow.by_layer(model, x, y, loss=loss, sample_weight=weight)
    alone = gradient_flow.by_layer(model, x[3:4], y[3:4], loss=loss)
    np.testing.assert_allclose(flow.activation_norms * 7 / 2, alone.activation_norms, rtol=1e-6)
    model.compile(loss=loss)
    compiled = gradient_flow.by_layer(model, x, y, sample_weight=weight)
    np.testing.assert_allclose(compiled.activation_norms, flow.activation_norms, rtol=1e-6)


def test_only_added_losses_need_no_target(zoo):
    model, x, _, _ = zoo("regularized")
    flow = gradient_flow.by_layer(model, x, None)
    assert flow.activation_norms[1] > 0
    assert flow.activation_norms[-1] == 0  # the output does not enter this loss


def test_an_own_compute_loss_is_used():
    class Twice(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return 2.0 * tf.reduce_mean(tf.square(y - y_pred))

    inputs = keras.Input((3,))
    model = Twice(inputs, K.Dense(2)(inputs))
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 3)).astype("float32"), rng.normal(size=(5, 2)).astype("float32")
    own = gradient_flow.by_layer(model, x, y)
    once = gradient_flow.by_layer(model, x, y, loss="mse")
    np.testing.assert_allclose(own.activation_norms, 2 * once.activation_norms, rtol=1e-6)


def test_a_layer_inside_tf_function_runs_but_is_no_record():
    class Compiled(K.Layer):
        def __init__(self):
            super().__init__()
            self.inner = K.Dense(3)

        @tf.function
        def apply(self, x):
            return self.inner(x)

        def call(self, x):
            return self.apply(x)

    model = keras.Sequential([Compiled(), K.Dense(2, name="out")])
    x, y = np.ones((4, 3), "float32"), np.ones((4, 2), "float32")
    for _ in range(2):
        flow = gradient_flow.by_layer(model, x, y, loss="mse")
        assert len(flow.names) == 3
        assert np.all(flow.activation_norms > 0)


# --- exceptions -------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, ValueError])
def test_the_model_is_restored_after_an_error(bits, error):
    class Fails(K.Layer):
        on = False

        def call(self, x):
            if self.on:
                raise error("in the middle")
            return x

    fails = Fails()
    model = keras.Sequential(
        [keras.Input((4,)), K.Dense(4), K.BatchNormalization(), K.Dropout(0.5), fails, K.Dense(2)]
    )
    before = bits(model)
    fails.on = True
    with pytest.raises(error, match="in the middle"):
        gradient_flow.by_layer(model, np.ones((3, 4)), np.ones((3, 2)), loss="mse", training=True)
    fails.on = False
    del fails.on
    assert bits(model) == before


def test_the_model_is_restored_after_an_error_of_the_loss(bits):
    def fails(y, prediction):
        raise RuntimeError("no loss today")

    model = keras.Sequential([keras.Input((4,)), K.BatchNormalization(), K.Dense(2)])
    before = bits(model)
    with pytest.raises(RuntimeError, match="no loss today"):
        gradient_flow.by_layer(model, np.ones((3, 4)), np.ones((3, 2)), loss=fails, training=True)
    assert bits(model) == before


def test_an_own_call_of_an_instance_is_given_back():
    model = keras.Sequential([keras.Input((4,)), K.Dense(2)])
    layer = model.layers[0]
    original = layer.call
    mine = lambda x, **_: original(x) * 2.0  # noqa: E731
    layer.call = mine
    plain = gradient_flow.by_layer(model, np.ones((3, 4)), np.ones((3, 2)), loss="mse")
    assert vars(layer)["call"] is mine
    del layer.call
    once = gradient_flow.by_layer(model, np.ones((3, 4)), np.ones((3, 2)), loss="mse")
    assert plain.loss != once.loss


# --- the result -------------------------------------------------------------------------------


def test_the_result_says_what_it_is(zoo):
    model, x, y, loss = zoo("sequential")
    flow = gradient_flow.by_layer(model, x, y, loss=loss)
    assert "by the activations" in flow.summary()
    assert "by the weights" in flow.summary()
    assert f"{flow.factor_per_layer:.3g}" in flow.summary()
    rows = flow.table()
    assert [row["layer"] for row in rows] == flow.names
    assert rows[1]["activation_norm"] == flow.activation_norms[1]
    assert all(type(value) in (str, float, int) for row in rows for value in row.values())
    assert all(name in str(flow) for name in flow.names)
    assert flow._repr_html_().count("<tr>") == len(flow.names) + 1
    assert "scope='row'" in flow._repr_html_()
    assert repr(flow).startswith("<LayerFlow: 3 records")


def test_names_are_escaped_in_html():
    model = keras.Sequential([keras.Input((4,)), K.Dense(2, name="a<b>")])
    flow = gradient_flow.by_layer(model, np.ones((3, 4)), np.ones((3, 2)), loss="mse")
    assert "a&lt;b&gt;" in flow._repr_html_()


def test_an_exploding_network_is_named():
    model = networks.dense_stack(60, 16, "linear", "normal", stddev=30.0, inputs=4)
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(4, 4)), rng.normal(size=(4, 10))
    flow = gradient_flow.by_layer(model, x, y, loss="mse")
    assert "not finite" in flow.summary()


def test_recording_finds_the_parents_of_tensors_added_by_hand(zoo):
    model, x, y, loss = zoo("list_of_layers")
    model(x)
    recording = Recording(model)
    recording.run(tf.constant(x), False, lambda outputs: loss(y, outputs))
    names = [record.name for record in recording.records]
    drops = [i for i, name in enumerate(names) if name.startswith("dropout")]
    first = next(i for i, record in enumerate(recording.records) if record.layer is model.first)
    # the second dropout reads first(x) + hidden_1(…): both are its parents, the input is not
    assert recording.records[drops[1]].parents == [first, drops[0] + 1]
    assert recording.complete
    assert recording.exits == {len(names) - 1}


def test_a_layer_that_passes_its_input_on_has_a_gradient_of_its_own(zoo):
    """Dropout at inference returns the very tensor; a skip connection goes around it."""
    model, x, y, loss = zoo("list_of_layers")
    flow = gradient_flow.by_layer(model, x, y, loss=loss)
    drop = next(i for i, name in enumerate(flow.names) if name.startswith("dropout"))
    assert flow.activation_norms[drop] != pytest.approx(flow.activation_norms[drop - 1], rel=1e-3)


def test_cost_ratio_reports_what_it_measured(monkeypatch):
    monkeypatch.setattr(gradient_flow, "_compare", lambda *_: {"ratio": 1.5, "passes": 2})
    result = gradient_flow.cost_ratio()
    assert result["ratio"] == 1.5
    assert len(result["cases"]) >= 3


def test_compare_measures_both():
    model = networks.dense_stack(3, 8, "relu")
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(8, 64)).astype("float32"), rng.integers(10, size=8)
    case = gradient_flow._compare(model, x, y, 2)
    assert case["plain_seconds"] > 0
    assert case["by_layer_seconds"] > 0
    assert 0.5 < case["ratio"] < 50


def test_a_stateful_model_that_is_not_built_begins_with_its_own_state():
    def made():
        keras.utils.set_random_seed(1)
        return keras.Sequential([K.SimpleRNN(2, stateful=True), K.Dense(1)])

    x, y = np.random.default_rng(1).normal(size=(4, 5, 3)).astype("float32"), np.ones((4, 1))
    unbuilt, built = made(), made()
    built(x)
    built.layers[0].reset_state()
    flows = [gradient_flow.by_layer(model, x, y, loss="mse") for model in (unbuilt, built)]
    np.testing.assert_array_equal(*(flow.activation_norms for flow in flows))
    np.testing.assert_array_equal(unbuilt.layers[0].states[0], np.zeros((4, 2)))


class Noise(keras.layers.Layer):
    """Draws without a seed of its own, from the generator of the whole process."""

    def call(self, inputs):
        return inputs + keras.random.normal(keras.ops.shape(inputs))


def test_the_generator_of_the_process_goes_on_as_if_nobody_had_looked():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), Noise(), K.Dense(1)])
    keras.random.normal((1,))
    expected = []
    for looks in (False, True):
        keras.utils.set_random_seed(7)
        keras.random.normal((1,))
        if looks:
            gradient_flow.by_layer(model, np.ones((4, 3)), np.ones((4, 1)), loss="mse")
        expected.append(np.asarray(keras.random.normal((3,))))
    np.testing.assert_array_equal(*expected)
