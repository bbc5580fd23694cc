"""`GradientMonitor`: what it measures is right, and the training does not notice it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from course_lib import show
from course_lib.models import gradient_flow, training
from course_lib.models.monitor import GradientMonitor
from course_lib.models.networks import dense_stack

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RNG = np.random.default_rng(1)
X = RNG.normal(size=(96, 8)).astype("float32")
Y = (X @ RNG.normal(size=(8, 3))).argmax(axis=1)


def small(seed=1):
    return dense_stack(2, 16, "relu", inputs=8, outputs=3, seed=seed)


def compiled(model, loss=LOGITS, **options):
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss, **options)
    return model


def run(model, x, y, callbacks=(), epochs=3, batch_size=4):
    return model.fit(
        x, y, epochs=epochs, batch_size=batch_size, callbacks=[*callbacks], verbose=0, shuffle=True
    )


# ---------------------------------------------------------------- the figures are right


@pytest.mark.parametrize("training", [False, True])
def test_a_look_is_what_by_layer_measures_and_leaves_the_model_as_it_was(animal, training, bits):
    model, x, y, loss = animal
    if not model.built:
        model(x)
    expected = gradient_flow.by_layer(model, x, y, loss=loss, training=training)
    monitor = GradientMonitor(x, y, loss=loss, training=training)
    before = bits(model)
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_train_batch_begin(0)
    monitor.on_train_batch_begin(1)
    assert bits(model) == before
    flow = monitor.flow()
    assert flow.names == monitor.names == expected.names
    assert flow.dtype == expected.dtype
    for name in ("depth", "entries"):
        np.testing.assert_array_equal(getattr(flow, name), getattr(expected, name))
    for name in ("activation_norms", "weight_norms", "factor_per_layer", "loss"):
        np.testing.assert_allclose(getattr(flow, name), getattr(expected, name), rtol=1e-4)


def test_it_is_traced_once_however_often_it_looks():
    model = compiled(small())
    monitor = GradientMonitor(X[:32], Y[:32], every=2)
    run(model, X, Y, [monitor])
    run(model, X, Y, [monitor])
    assert len(monitor.history["steps"]) == 2 * 3 * 24 // 2 + 1
    assert monitor._flow.traces == 1


def test_each_look_shows_the_weights_of_its_step():
    """Negative control of a kept trace: a figure that never changes would be wrong."""
    model = compiled(small())
    monitor = GradientMonitor(X, Y, every=10)
    run(model, X, Y, [monitor])
    expected = gradient_flow.by_layer(model, X, Y)
    np.testing.assert_allclose(
        monitor.history["activation_norms"][-1], expected.activation_norms, rtol=1e-4
    )
    assert monitor.history["loss"][-1] == pytest.approx(expected.loss, rel=1e-5)
    assert len(np.unique(monitor.history["loss"])) == len(monitor.history["loss"])


def test_underflow_is_shown_as_training_sees_it():
    model = dense_stack(70, 8, "sigmoid", inputs=8, outputs=3)
    monitor = GradientMonitor(X, Y, loss=LOGITS)
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_train_batch_begin(0)
    flow = gradient_flow.by_layer(model, X, Y, loss=LOGITS)
    assert flow.underflowed[0] > 0
    assert monitor.history["activation_norms"][0, 0] < flow.activation_norms[0]
    top = flow.depth < 20
    np.testing.assert_allclose(
        monitor.history["activation_norms"][0, top], flow.activation_norms[top], rtol=1e-4
    )


def test_small_float64_gradients_keep_their_norms(policy):
    with policy("float64"):
        model = dense_stack(2, 8, "tanh", inputs=8, outputs=3)
        tiny = lambda y, p: 1e-200 * tf.reduce_sum(p**2)  # noqa: E731
        monitor = GradientMonitor(X, Y, loss=tiny)
        expected = gradient_flow.by_layer(model, X, Y, loss=tiny)
        monitor.set_model(model)
        monitor.on_train_begin()
        monitor.on_train_batch_begin(0)
    norms = monitor.history["activation_norms"][0]
    assert 0 < norms[-1] < 1e-180
    np.testing.assert_allclose(norms, expected.activation_norms, rtol=1e-10)


def test_the_update_ratio_is_that_of_one_step_of_any_optimizer():
    model = compiled(small())
    monitor = GradientMonitor(X[:32], Y[:32], every=5)
    weights = []

    class Snapshots(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            weights.append([w.copy() for w in self.model.get_weights()])

        def on_train_end(self, logs=None):
            weights.append([w.copy() for w in self.model.get_weights()])

    run(model, X, Y, [monitor, Snapshots()], epochs=1)
    ratios = monitor.history["update_ratios"]
    assert np.isnan(ratios[:, 0]).all()  # the input has no weights
    assert np.isnan(ratios[-1]).all()  # nothing was changed after the end
    for look, step in enumerate(monitor.history["steps"][:-1]):
        for layer in range(3):
            before, after = (
                np.concatenate([w.ravel() for w in weights[s][2 * layer : 2 * layer + 2]]).astype(
                    float
                )
                for s in (step, step + 1)
            )
            expected = np.linalg.norm(after - before) / np.linalg.norm(before)
            assert ratios[look, layer + 1] == pytest.approx(expected, rel=1e-9)


def test_dead_units_are_counted():
    model = keras.Sequential(
        [keras.Input((8,)), K.Dense(10, activation="relu"), K.Dense(6), K.ReLU(), K.Dense(3)]
    )
    bias = np.zeros(10, "float32")
    bias[:3] = -1e6
    model.layers[0].bias.assign(bias)
    model.layers[1].bias.assign([-1e6] * 6)
    monitor = GradientMonitor(X, Y, loss=LOGITS)
    training.fit(model, X, Y, steps=1, callbacks=[monitor])
    dead, saturated = monitor.history["dead"][0], monitor.history["saturated"]
    h = np.maximum(X @ model.layers[0].kernel.numpy() * 0, 0)  # shapes only
    assert h.shape == (96, 10)
    np.testing.assert_array_equal(dead[[1, 3]], [0.3, 1.0])
    assert np.isnan(dead[[0, 2, 4]]).all()
    assert np.isnan(saturated).all()


@pytest.mark.parametrize(
    ("activation", "limit"), [("tanh", np.arctanh(np.sqrt(0.98))), ("sigmoid", 5.288)]
)
def test_saturated_entries_are_counted(activation, limit):
    model = keras.Sequential([keras.Input((8,)), K.Dense(20, activation=activation), K.Dense(3)])
    model.layers[0].kernel.assign(3 * RNG.normal(size=(8, 20)))
    a = X.astype(float) @ np.asarray(model.layers[0].kernel)
    monitor = GradientMonitor(X, Y, loss=LOGITS)
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_train_batch_begin(0)
    share = monitor.history["saturated"][0, 1]
    assert 0.02 < share < 0.98
    assert share == pytest.approx(np.mean(np.abs(a) > limit), abs=0.003)
    assert np.isnan(monitor.history["dead"]).all()


def test_activations_that_are_told_apart():
    """A logit below a sigmoid is none of its outputs, and an LSTM's h is no tanh of anything."""
    inputs = keras.Input((4, 2))
    h = K.SimpleRNN(5, return_sequences=True)(inputs)
    h = K.LSTM(4)(h)
    h = K.Dense(4, activation=K.LeakyReLU())(h)
    h = K.Dense(4, activation=K.ReLU())(h)
    model = keras.Model(inputs, K.Dense(1, activation="sigmoid")(h))
    x = RNG.normal(size=(8, 4, 2)).astype("float32")
    monitor = GradientMonitor(x, np.ones((8, 1)), loss=keras.losses.BinaryCrossentropy())
    monitor.set_model(model)
    monitor.on_train_begin()
    monitor.on_train_batch_begin(0)
    known = {name: i for i, name in enumerate(monitor.names)}
    dead = {n for n, i in known.items() if np.isfinite(monitor.history["dead"][0, i])}
    saturated = {n for n, i in known.items() if np.isfinite(monitor.history["saturated"][0, i])}
    assert dead == {model.layers[4].name}
    assert saturated == {model.layers[1].name}


# ---------------------------------------------------------------- when it looks


def test_it_looks_at_the_start_every_so_often_and_at_the_end():
    monitor = GradientMonitor(X[:32], Y[:32], every=10)
    run(compiled(small()), X, Y, [monitor], epochs=1)
    history = monitor.history
    np.testing.assert_array_equal(history["steps"], [0, 10, 20, 24])
    for name in ("activation_norms", "weight_norms", "update_ratios", "dead", "saturated"):
        assert history[name].shape == (4, 4)
    for name in ("loss", "factor_per_layer"):
        assert history[name].shape == (4,)
    assert monitor.names == ["input", "hidden_1", "hidden_2", "logits"]
    np.testing.assert_array_equal(monitor.depth, [3, 2, 1, 0])


def test_history_before_the_first_look_is_empty():
    history = GradientMonitor(X, Y).history
    assert history["steps"].shape == (0,)
    assert history["activation_norms"].shape == (0, 0)
    with pytest.raises(IndexError, match="`look` is -1; there were 0 so far"):
        GradientMonitor(X, Y).flow()


def test_a_second_fit_goes_on_counting_and_another_model_starts_anew():
    monitor = GradientMonitor(X[:32], Y[:32], every=20)
    model = compiled(small())
    run(model, X, Y, [monitor], epochs=1)
    run(model, X, Y, [monitor], epochs=1)
    np.testing.assert_array_equal(monitor.history["steps"], [0, 20, 24, 40, 48])
    assert np.isfinite(monitor.history["update_ratios"][0, 1:]).all()
    run(compiled(small()), X, Y, [monitor], epochs=1)
    np.testing.assert_array_equal(monitor.history["steps"], [0, 20, 24])


@pytest.mark.parametrize(("every", "steps"), [(1, [0, 1, 2, 3, 4]), (20, [0, 2, 4])])
def test_layers_that_are_frozen_between_two_fits(every, steps, tmp_path):
    """Of the look between the two there is one, of the model as it was compiled last."""
    model = compiled(small())
    monitor = GradientMonitor(X[:32], Y[:32], every=every, log_dir=tmp_path)
    picture = show.live(monitor)
    run(model, X, Y, [monitor], epochs=1, batch_size=48)
    model.layers[0].trainable = False
    run(compiled(model), X, Y, [monitor], epochs=1, batch_size=48)
    history = monitor.history
    np.testing.assert_array_equal(history["steps"], steps)
    seam = steps.index(2)
    hidden = monitor.names.index("hidden_1")
    assert (history["update_ratios"][:seam, hidden] > 0).all()
    assert np.isnan(history["update_ratios"][seam:, hidden]).all()
    assert np.isnan(history["weight_norms"][seam:, hidden]).all()
    assert (history["update_ratios"][seam:-1, -1] > 0).all()
    assert picture.figure().axes


def test_another_layer_between_two_fits_starts_the_history_anew():
    model = keras.Sequential([keras.Input((8,)), K.Dense(4, activation="relu"), K.Dense(3)])
    monitor = GradientMonitor(X, Y, every=1)
    run(compiled(model), X, Y, [monitor], epochs=1, batch_size=48)
    model.pop()
    model.add(K.Dense(5, activation="relu"))
    model.add(K.Dense(3))
    run(compiled(model), X, Y, [monitor], epochs=1, batch_size=48)
    np.testing.assert_array_equal(monitor.history["steps"], [2, 3, 4])
    assert monitor.history["dead"].shape == (3, 4)


def test_a_model_that_is_not_built_is_looked_at_after_its_first_step():
    model = keras.Sequential([K.Dense(4, activation="relu"), K.Dense(3)])
    monitor = GradientMonitor(X, Y, every=2)
    training.fit(model, X, Y, steps=4, callbacks=[monitor])
    np.testing.assert_array_equal(monitor.history["steps"], [1, 2, 4])


def test_listeners_hear_of_every_look():
    heard = []
    monitor = GradientMonitor(X, Y, every=2)
    monitor.listeners.append(lambda m: heard.append((int(m.history["steps"][-1]), m.is_training)))
    training.fit(small(), X, Y, steps=4, callbacks=[monitor])
    assert heard == [(0, True), (2, True), (4, True), (4, False)]


def test_own_probes_are_measured_and_leave_no_trace(bits):
    model = compiled(small())

    def largest(model):
        model.layers[0].kernel.assign_add(tf.ones_like(model.layers[0].kernel))  # is put back
        return np.array([np.abs(model(X)).max(), 1.0])

    monitor = GradientMonitor(X[:32], Y[:32], every=12, probes={"largest": largest})
    run(model, X, Y, [monitor], epochs=1)
    assert monitor.history["largest"].shape == (3, 2)
    plain = compiled(small())
    keras.utils.set_random_seed(1)
    other = compiled(small())
    run(other, X, Y, [GradientMonitor(X, Y, every=12, probes={"largest": largest})], epochs=1)
    keras.utils.set_random_seed(1)
    run(plain, X, Y, epochs=1)
    assert bits(plain)[0] == bits(other)[0]


def recurrent():
    keras.utils.set_random_seed(1)
    layers = [
        K.LSTM(4, return_sequences=True, name="lstm"),
        K.Bidirectional(K.GRU(3, dropout=0.2, recurrent_dropout=0.2, seed=1), name="both"),
    ]
    model = keras.Sequential([keras.Input((8, 1)), *layers, K.Dropout(0.2, seed=1), K.Dense(3)])
    return compiled(model)


def test_time_steps_are_measured_when_asked_for(bits):
    x = X[..., None]
    run(plain := recurrent(), x, Y, epochs=1)
    monitor = GradientMonitor(x[:16], Y[:16], every=10, time_steps=True)
    run(model := recurrent(), x, Y, [monitor], epochs=1)
    assert bits(model)[0] == bits(plain)[0]
    expected = gradient_flow.by_time_step(model, x[:16], Y[:16])
    names = {f"time_steps/{name}" for name in expected}
    assert names == {name for name in monitor.history if name.startswith("time_steps/")}
    assert "time_steps/lstm" in names
    for name, flow in expected.items():
        measured = monitor.history[f"time_steps/{name}"]
        assert measured.shape == (4, 8)
        np.testing.assert_allclose(measured[-1], flow.norms, rtol=1e-5)
    assert not any(name.startswith("time") for name in GradientMonitor(x, Y).history)


# ---------------------------------------------------------------- the training does not notice


def test_a_fit_with_and_without_a_monitor_is_the_same_bit_for_bit(animal, request, bits, zoo):
    """Measured as in training, where Batch Norm, dropout and spectral norm write."""
    name = request.node.callspec.params["animal"]
    results = []
    for watched in (False, True):
        model, x, y, loss = zoo(name)
        if not model.built:
            model(x)
        # Keras recomputes layers in the backward pass only where TensorFlow computes at once.
        compiled(model, loss, jit_compile=False, run_eagerly=name == "recomputed")
        monitor = GradientMonitor(x, y, every=2, training=True)
        batch_size = len(keras.tree.flatten(x)[0]) if name == "stateful" else 3
        keras.utils.set_random_seed(2)
        callbacks = [monitor] if watched else []
        history = run(model, x, y, callbacks, epochs=3, batch_size=batch_size)
        optimizer = [np.asarray(v).tobytes() for v in model.optimizer.variables]
        results.append((bits(model)[0], optimizer, history.history["loss"]))
    assert results[0] == results[1]
    assert np.isfinite(monitor.history["loss"]).all()


def test_the_course_s_fit_is_the_same_with_and_without_a_monitor(animal, request, bits):
    zoo = request.getfixturevalue("zoo")
    name = request.node.callspec.params["animal"]
    if name in ("several_outputs", "named_outputs"):
        pytest.skip("`training.fit` takes one target")
    if name == "recomputed":
        pytest.skip("Keras recomputes layers only where TensorFlow computes at once")
    results = []
    for watched in (False, True):
        model, x, y, loss = zoo(name)
        if not model.built:
            model(x)
        monitor = GradientMonitor(x, y, every=2)
        size = len(keras.tree.flatten(x)[0]) if name == "stateful" else 3
        history = training.fit(
            model, x, y, steps=5, batch_size=size, loss=loss, callbacks=[monitor] if watched else ()
        )
        results.append((bits(model)[0], history.losses.tobytes()))
    assert results[0] == results[1]
    assert len(monitor.history["steps"]) == 4


def test_compiled_training_is_the_same_too(bits):
    results = []
    for callbacks in ([], [GradientMonitor(X[:32], Y[:32], every=3)]):
        keras.utils.set_random_seed(1)
        layers = [K.Dense(16), K.BatchNormalization(), K.ReLU(), K.Dropout(0.3, seed=1), K.Dense(3)]
        model = compiled(keras.Sequential([keras.Input((8,)), *layers]), jit_compile=True)
        run(model, X, Y, callbacks)
        results.append(bits(model)[0])
    assert results[0] == results[1]


def test_control_a_callback_that_does_disturb_is_noticed(bits):
    class Careless(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch % 3 == 0:
                self.model(X, training=True)  # moves Batch Norm's averages and dropout's seeds

    results = []
    for callbacks in ([], [Careless()]):
        keras.utils.set_random_seed(1)
        layers = [K.Dense(16), K.BatchNormalization(), K.ReLU(), K.Dropout(0.3, seed=1), K.Dense(3)]
        model = compiled(keras.Sequential([keras.Input((8,)), *layers]))
        run(model, X, Y, callbacks)
        results.append(bits(model)[0])
    assert results[0] != results[1]


def test_an_eager_model_can_be_watched():
    model = compiled(small(), run_eagerly=True)
    monitor = GradientMonitor(X[:32], Y[:32], every=12)
    run(model, X, Y, [monitor], epochs=1)
    expected = gradient_flow.by_layer(model, X[:32], Y[:32])
    np.testing.assert_allclose(
        monitor.history["activation_norms"][-1], expected.activation_norms, rtol=1e-5
    )


def test_it_says_nothing(capfd):
    run(compiled(small()), X, Y, [GradientMonitor(X[:32], Y[:32])], epochs=1)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


def test_what_a_look_costs_is_measured():
    """That it measures; how much it is, `bench` reports, on a computer that is not busy."""
    from course_lib.models.monitor_cost import _compare

    x = np.concatenate([X] * 4)
    case = _compare(small(), x, np.concatenate([Y] * 4), 1)
    assert case["step_seconds"] > 0
    assert case["look_seconds"] > 0
    assert 1 < case["ratio"] < 10
    assert case["in_turns"] > 0


# ---------------------------------------------------------------- TensorBoard


def test_tensorboard_gets_scalars(tmp_path):
    model = compiled(small())
    monitor = GradientMonitor(X[:32], Y[:32], every=12, log_dir=tmp_path / "logs")
    run(model, X, Y, [monitor], epochs=1)
    found = {}
    for file in (tmp_path / "logs").iterdir():
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                assert value.metadata.plugin_data.plugin_name in ("scalars", "")
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    history = monitor.history
    for look, step in enumerate(history["steps"]):
        assert found["loss", step] == pytest.approx(history["loss"][look])
        for i, name in enumerate(monitor.names):
            assert found[f"activation_norms/{name}", step] == pytest.approx(
                history["activation_norms"][look, i]
            )
    assert found["update_ratios/hidden_1", 12] == pytest.approx(history["update_ratios"][1, 1])
    assert ("dead/hidden_1", 0) in found
    assert ("dead/logits", 0) not in found


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"every": 0}, "`every` is 0; it takes a whole number, 1 or more"),
        ({"every": 2.5}, "`every` is 2.5; it takes a whole number"),
        ({"training": "yes"}, "`training` is 'yes'; it takes True or False"),
        ({"time_steps": 3}, "`time_steps` is 3; it takes True or False"),
        ({"probes": {"time_steps/mine": len}}, "`probes` has the name 'time_steps/mine'"),
        ({"probes": [max]}, r"`probes` is \[.*\]; it takes a dictionary of functions"),
        ({"probes": {"dead": len}}, "`probes` has the name 'dead'; it takes names that"),
        ({"probes": {"mine": 3}}, r"`probes\['mine'\]` is 3; it takes a function of the model"),
        ({"log_dir": 3}, "`log_dir` is 3; it takes the path of a folder"),
        ({"log_dir": __file__}, "`log_dir` is '.*', a file; it takes a folder"),
    ],
)
def test_refuses_at_once(options, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        GradientMonitor(X, Y, **options)
    assert "\n" not in str(caught.value)


def test_refuses_data_that_is_no_batch():
    with pytest.raises(ValueError, match="`x` holds NaN or infinity"):
        GradientMonitor(np.full((4, 8), np.nan), Y[:4])
    with pytest.raises(TypeError, match=r"`x` is .*; it takes one batch of it"):
        GradientMonitor(tf.data.Dataset.from_tensor_slices(X), Y)
    with pytest.raises(TypeError, match=r"`y` is .*; it takes an array of one batch"):
        GradientMonitor(X, object())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: GradientMonitor(X[:, :5], Y), r"`x` has shape \(96, 5\); the model takes"),
        (lambda: GradientMonitor(X, Y[:5]), "`y` has 5 samples and `x` has 96"),
        (lambda: GradientMonitor(X, Y, loss="mxe"), "`loss` is 'mxe', which Keras does not know"),
        (lambda: GradientMonitor(X, np.zeros((96, 7)), loss="mse"), "the loss cannot be computed"),
    ],
)
def test_refuses_when_training_begins_what_the_model_does_not_take(make, sentence):
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        run(compiled(small()), X, Y, [make()])
    assert "\n" not in str(caught.value)


def test_refuses_several_steps_at_a_time():
    model = compiled(small(), steps_per_execution=4)
    with pytest.raises(ValueError, match="the model makes 4 steps at a time"):
        run(model, X, Y, [GradientMonitor(X, Y)])


def test_compiled_anew_with_other_loss_weights_it_is_measured_anew():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, [K.Dense(3)(inputs), K.Dense(3)(inputs)])
    monitor = GradientMonitor(X, [Y, Y])
    losses = []
    for weight in (1.0, 100.0):
        still = keras.optimizers.SGD(0.0)
        model.compile(still, [LOGITS, LOGITS], loss_weights=[weight, weight])
        run(model, X, [Y, Y], [monitor], epochs=1, batch_size=96)
        losses.append(monitor.history["loss"][-1])
    assert losses[1] == pytest.approx(100 * losses[0], rel=1e-5)


class EveryEntryKept(K.Layer):
    """Its output has a size that is known only when it runs."""

    def call(self, inputs):
        return tf.reshape(tf.boolean_mask(inputs, tf.ones_like(inputs, tf.bool)), (-1, 8))


def test_a_size_that_is_known_only_at_run_time_is_measured():
    model = compiled(keras.Sequential([keras.Input((8,)), EveryEntryKept(), K.Dense(3)]))
    monitor = GradientMonitor(X, Y)
    run(model, X, Y, [monitor], epochs=1, batch_size=96)
    expected = gradient_flow.by_layer(model, X, Y)
    np.testing.assert_array_equal(monitor.entries, expected.entries)
    np.testing.assert_allclose(
        monitor.history["activation_norms"][-1], expected.activation_norms, rtol=1e-5
    )
