"""`fit`, its progress line and its interruption, and recorded experiments."""

import _thread
import json
import threading

import keras
import numpy as np
import pytest

from course_lib import data
from course_lib.models import training
from course_lib.models.networks import dense_stack

RNG = np.random.default_rng(1)
X = RNG.normal(size=(200, 8)).astype("float32")
Y = (X @ RNG.normal(size=(8, 3))).argmax(axis=1)


def small(seed=1):
    return dense_stack(2, 16, "tanh", inputs=8, outputs=3, seed=seed)


def test_learns_the_digits():
    x, y, x_test, y_test = data.load_digits()
    model = dense_stack(3, 32, "relu", "he_normal")
    assert training.accuracy(model, x_test, y_test) < 0.3
    history = training.fit(model, x, y, steps=300, learning_rate=0.05)
    assert history.steps == 300
    assert history.final_loss < 0.2
    assert training.accuracy(model, x_test, y_test) > 0.9


def test_is_sgd_with_momentum():
    """Three steps by hand: velocity = momentum · velocity − rate · gradient."""
    import tensorflow as tf

    model, own = small(), small()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    training.fit(model, X, Y, steps=3, batch_size=200, learning_rate=0.1, momentum=0.8)
    velocities = [0.0] * len(own.weights)
    for _ in range(3):  # all samples in each batch, so that their order does not matter
        with tf.GradientTape() as tape:
            value = loss(Y, own(X))
        gradients = tape.gradient(value, own.trainable_weights)
        velocities = [0.8 * v - 0.1 * g for v, g in zip(velocities, gradients, strict=True)]
        for weight, velocity in zip(own.trainable_weights, velocities, strict=True):
            weight.assign_add(velocity)
    for a, b in zip(model.get_weights(), own.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("activation", "traces"), [("tanh", 1), (keras.layers.PReLU(), 2)])
def test_a_step_is_traced_once_if_all_its_variables_are_there(activation, traces):
    """A PReLU that is an activation is built in the first step, and the optimiser after it."""
    cross_entropy, traced = keras.losses.SparseCategoricalCrossentropy(from_logits=True), []

    def counted(y_true, y_pred):
        traced.append(1)
        return cross_entropy(y_true, y_pred)

    hidden = keras.layers.Dense(4, activation=activation)
    model = keras.Sequential([keras.Input((8,)), hidden, keras.layers.Dense(3)])
    history = training.fit(model, X, Y, steps=4, optimizer=keras.optimizers.Adam(), loss=counted)
    assert history.steps == 4
    assert len(traced) == traces


def test_the_seed_decides_the_order():
    runs = [training.fit(small(), X, Y, steps=5, seed=seed).losses for seed in (1, 1, 2)]
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_who_begins_anew_knows_nothing_of_the_run_before():
    """The same losses as a model and an optimiser that were never used, dropout's masks too."""

    def made(seed, rate=0.01):
        keras.utils.set_random_seed(seed)
        layers = [keras.Input((8,)), keras.layers.Dense(9), keras.layers.BatchNormalization()]
        layers += [keras.layers.Dropout(0.5), keras.layers.Dense(3)]
        return keras.Sequential(layers), keras.optimizers.Adam(rate)

    def losses(model):
        return [float(model.train_on_batch(X[i : i + 20], Y[i : i + 20])) for i in (0, 20, 40)]

    def compiled(pair):
        pair[0].compile(pair[1], keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return pair

    first, optimizer = compiled(made(1))
    before = losses(first)
    training.begin_anew(first, optimizer, *made(2, rate=0.1))
    assert losses(first) == losses(compiled(made(2, rate=0.1))[0]) != before
    training.begin_anew(first, optimizer, *made(1))
    assert losses(first) == before


def test_who_begins_anew_takes_only_its_like():
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(small().trainable_variables)
    wider = dense_stack(2, 17, "tanh", inputs=8, outputs=3, seed=1)
    with pytest.raises(ValueError, match="`newborn` has variables of shapes"):
        training.begin_anew(small(), optimizer, wider, keras.optimizers.Adam(0.1))
    with pytest.raises(ValueError, match="`unused` has variables of shapes"):
        training.begin_anew(small(), optimizer, small(), keras.optimizers.SGD(0.1))
    with pytest.raises(TypeError, match="`newborn` is 3"):
        training.begin_anew(small(), optimizer, 3, keras.optimizers.Adam(0.1))


def test_epochs_visit_every_sample_once():
    rows = np.concatenate([*training.batches(200, 50, 8, seed=3)])
    assert rows.shape == (400,)
    assert np.array_equal(np.sort(rows[:200]), np.arange(200))
    assert np.array_equal(np.sort(rows[200:]), np.arange(200))
    assert not np.array_equal(rows[:200], rows[200:])
    history = training.fit(small(), X, Y, epochs=2, batch_size=64)
    assert history.steps == 2 * (200 // 64)
    assert training.fit(small(), X, Y, epochs=2, batch_size=1000).steps == 2


def test_another_optimizer_and_another_loss():
    regularized = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(3, kernel_regularizer="l2")]
    )
    start = regularized.get_weights()[0]
    history = training.fit(
        regularized,
        X,
        np.zeros((200, 3), "float32"),
        steps=1,
        batch_size=200,
        optimizer=keras.optimizers.Adam(0.01),
        loss=keras.losses.MeanSquaredError(),
    )
    assert history.config["optimizer"] == "Adam"
    assert history.config["learning_rate"] == pytest.approx(0.01)
    # Adam's first step is the learning rate, whatever the gradient
    assert np.abs(regularized.get_weights()[0] - start).max() == pytest.approx(0.01, rel=1e-3)


def test_the_added_loss_is_in_the_loss():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, kernel_regularizer="l2")])
    penalty = 0.01 * float(np.sum(model.get_weights()[0] ** 2))
    fit = float(
        keras.losses.SparseCategoricalCrossentropy(from_logits=True)(Y, np.asarray(model(X)))
    )
    history = training.fit(model, X, Y, steps=1, batch_size=200)
    assert history.losses[0] == pytest.approx(fit + penalty, rel=1e-5)


def test_stops_when_the_loss_is_not_finite():
    history = training.fit(
        small(),
        X,
        1e3 * X[:, :3],
        steps=500,
        learning_rate=1e6,
        loss=keras.losses.MeanSquaredError(),
    )
    assert history.diverged
    assert history.steps < 500
    assert not np.isfinite(history.losses[-1])
    assert np.isfinite(history.losses[:-1]).all()


# --- interruption -----------------------------------------------------------------------------


def test_an_interruption_returns_what_was_reached(monkeypatch, capsys):
    def interrupt(self, losses):
        if len(losses) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(training.Progress, "show", interrupt)
    model = small()
    history = training.fit(model, X, Y, steps=100)
    assert history.interrupted
    assert history.steps == 5
    said = capsys.readouterr().out
    assert said.startswith("Stopped after 5 of 100 steps, at a loss of ")
    assert "the model keeps what it has learnt so far" in said
    assert said.endswith("`history = fit(model, x, y, resume=history)` goes on.\n")
    assert said.count("\n") == 1
    monkeypatch.undo()
    five = training.fit(again := small(), X, Y, steps=5)
    assert np.array_equal(five.losses, history.losses)
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(a, b)
    assert training.fit(model, X, Y, steps=3).steps == 3  # and it trains on


def test_a_real_interruption(capsys):
    model = small()
    training.fit(model, X, Y, steps=1)
    timer = threading.Timer(1.5, _thread.interrupt_main)
    timer.start()
    history = training.fit(model, X, Y, steps=10**7)
    timer.join()
    assert history.interrupted
    assert 0 < history.steps < 10**7
    assert np.isfinite(np.asarray(model(X))).all()
    assert "Stopped after" in capsys.readouterr().out


def halving(losses):
    """Yield 1/2, 1/4, … and keep each as its loss."""
    value = 1.0
    while True:
        value /= 2
        losses.append(value)
        yield value


def test_watched_keeps_what_its_stops_reached():
    path, losses = halving(losses := []), losses
    assert training.watched(path, (4, 1), losses) == {1: 0.5, 4: 1 / 16}
    assert len(losses) == 4  # and not a step more
    assert next(path) == 1 / 32


def test_watched_shows_the_last_loss_and_clears_the_line(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    monkeypatch.setattr(training.Progress, "INTERVAL", 0.0)
    said = []
    monkeypatch.setattr(training, "_in_terminal", lambda: lambda text, share: said.append(text))
    losses = []
    training.watched(halving(losses), [3], losses, label="ours")
    assert said[1].startswith("ours: step 2 of 3, loss 0.25, ")
    assert said[-1] == ""


def test_watched_ends_after_the_step_in_which_it_was_interrupted(capsys):
    losses = []

    def path():
        for step, value in enumerate(halving(losses), start=1):
            if step == 3:
                _thread.interrupt_main()
            yield value

    running = path()
    kept = training.watched(running, [2, 10], losses)
    assert list(kept) == [2, 3]
    assert capsys.readouterr().out == "Stopped after 3 of 10 steps, at a loss of 0.125.\n"
    assert next(running) == 1 / 16


@pytest.mark.parametrize("path", [None, [1, 2], 3])
def test_watched_takes_an_iterator(path):
    with pytest.raises(TypeError, match=r"`path` is .*; it takes an iterator"):
        training.watched(path, [1], [])


@pytest.mark.parametrize("stops", [[], [0], [1.5]])
def test_watched_refuses_wrong_stops(stops):
    with pytest.raises((TypeError, ValueError), match="`stops` is"):
        training.watched(iter(()), stops, [])


def test_interrupted_before_the_first_step(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "batches", interrupt)
    history = training.fit(small(), X, Y, steps=10)
    assert history.steps == 0
    assert np.isnan(history.final_loss)
    assert capsys.readouterr().out.startswith("Stopped after 0 of 10 steps; the model")


def noisy(seed=1):
    """A model with seeds, averages and momenta that a resumed run has to find again."""
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(16), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    return keras.Sequential(
        [keras.Input((8,)), *layers, keras.layers.Dropout(0.3, seed=seed), keras.layers.Dense(3)]
    )


def stop_after(steps):
    """Return a callback that presses Ctrl-C while step number `steps` is under way."""

    class Stop(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch + 1 == steps:
                _thread.interrupt_main()

    return Stop()


@pytest.mark.parametrize(
    "make_optimizer",
    [
        None,
        lambda: keras.optimizers.Adam(0.01),
        lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)),
    ],
)
def test_interrupted_and_resumed_is_the_uninterrupted_run(make_optimizer, bits, capsys):
    """Bit for bit, over the end of an epoch, stopped twice."""
    options = {"steps": 17, "batch_size": 32, "seed": 3}
    if make_optimizer:
        whole_options = {**options, "optimizer": make_optimizer()}
        options["optimizer"] = make_optimizer()
    else:
        whole_options = options
    whole = training.fit(expected := noisy(), X, Y, **whole_options)
    model = noisy()
    history = training.fit(model, X, Y, **options, callbacks=[stop_after(5)])
    assert (history.steps, history.interrupted) == (5, True)
    assert f"Stopped after 5 of 17 steps, at a loss of {history.losses[-1]:.3g}" in (
        capsys.readouterr().out
    )
    history = training.fit(model, X, Y, resume=history, callbacks=[stop_after(11)])
    assert (history.steps, history.interrupted) == (11, True)
    history = training.fit(model, X, Y, resume=history)
    assert (history.steps, history.interrupted) == (17, False)
    assert history.losses.tobytes() == whole.losses.tobytes()
    assert bits(model)[0] == bits(expected)[0]
    assert history.config == whole.config
    state, expected_state = history.state.optimizer, whole.state.optimizer
    for a, b in zip(state.variables, expected_state.variables, strict=True):
        assert np.array_equal(a, b)
    assert 0 < history.seconds < 600


def test_control_a_run_that_begins_again_is_another_one(bits):
    model = noisy()
    training.fit(model, X, Y, steps=5, batch_size=32)
    training.fit(model, X, Y, steps=12, batch_size=32)
    training.fit(expected := noisy(), X, Y, steps=17, batch_size=32)
    assert bits(model)[0] != bits(expected)[0]


def test_a_complete_run_goes_on_when_more_steps_are_asked_for(bits):
    history = training.fit(model := noisy(), X, Y, epochs=1, batch_size=64)
    history = training.fit(model, X, Y, epochs=3, resume=history)
    whole = training.fit(expected := noisy(), X, Y, epochs=3, batch_size=64)
    assert history.losses.tobytes() == whole.losses.tobytes()
    assert bits(model)[0] == bits(expected)[0]
    assert history.config == whole.config
    again = training.fit(model, X, Y, resume=history)
    assert again.steps == history.steps


def test_the_handler_of_interruptions_is_put_back():
    import signal

    before = signal.getsignal(signal.SIGINT)
    training.fit(small(), X, Y, steps=2)
    training.fit(small(), X, Y, steps=20, callbacks=[stop_after(2)])
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interruption_is_immediate_and_cannot_be_resumed():
    class Stuck(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 3:
                _thread.interrupt_main()
                for _ in range(10**5):  # a step that does not end
                    pass
                _thread.interrupt_main()
                for _ in range(10**5):
                    pass
                raise AssertionError("the second one should have got here")

    model = small()
    history = training.fit(model, X, Y, steps=20, callbacks=[Stuck()])
    assert (history.steps, history.interrupted) == (3, True)
    with pytest.raises(ValueError, match="`resume` was stopped in the middle of a step"):
        training.fit(model, X, Y, resume=history)


def test_it_trains_in_another_thread_too():
    histories = []
    thread = threading.Thread(target=lambda: histories.append(training.fit(small(), X, Y, steps=3)))
    thread.start()
    thread.join()
    assert histories[0].steps == 3


def test_callbacks_hear_of_every_batch():
    heard = []

    class Listener(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            heard.append((self.params["steps"], self.model is model))

        def on_train_batch_begin(self, batch, logs=None):
            heard.append(("begins", batch))

        def on_train_batch_end(self, batch, logs=None):
            heard.append(("ends", batch, logs["loss"]))

        def on_train_end(self, logs=None):
            heard.append("over")

    history = training.fit(model := small(), X, Y, steps=2, callbacks=[Listener()])
    first, second = history.losses
    assert heard == [
        (2, True),
        ("begins", 0),
        ("ends", 0, first),
        ("begins", 1),
        ("ends", 1, second),
        "over",
    ]


@pytest.fixture(scope="module")
def ended():
    model = noisy()
    return model, training.fit(model, X, Y, steps=5, batch_size=32, learning_rate=0.1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 4}, "`steps` is 4, and `resume` has made 5; it takes all steps of the run"),
        ({"batch_size": 16}, "`batch_size` is 16, and the run to go on has 32; a resumed run"),
        ({"seed": 2}, "`seed` is 2, and the run to go on has 1"),
        ({"learning_rate": 0.2}, "`learning_rate` is 0.2, and the run to go on has 0.1"),
        ({"momentum": 0.5}, "`momentum` is 0.5, and the run to go on has 0.9"),
        ({"optimizer": keras.optimizers.Adam()}, r"`optimizer` is an? Adam.*, and the run to go"),
        ({"loss": keras.losses.MeanSquaredError()}, "`loss` is a .*, and the run to go on has"),
        ({"steps": 9, "epochs": 3}, "`steps` is 9 and `epochs` is 3; one of them takes"),
        ({"callbacks": keras.callbacks.Callback()}, "`callbacks` is a Callback; it takes a list"),
        ({"callbacks": [3]}, r"`callbacks\[0\]` is 3; it takes a Keras callback"),
        ({"resume": 3}, "`resume` is 3; it takes the history that `fit` returned"),
    ],
)
def test_resume_refuses(ended, options, sentence):
    model, history = ended
    with pytest.raises((TypeError, ValueError), match=sentence) as caught:
        training.fit(model, X, Y, **{"resume": history, **options})
    assert "\n" not in str(caught.value)
    assert training.fit(model, X, Y, resume=history, batch_size=32, seed=1).steps == 5


def test_resume_takes_the_same_model_the_same_samples_and_the_same_state(ended):
    model, history = ended
    with pytest.raises(ValueError, match="`resume` is the history of another model"):
        training.fit(noisy(), X, Y, resume=history)
    with pytest.raises(ValueError, match=r"`x` and `y` have the shapes .* the same samples"):
        training.fit(model, X[:50], Y[:50], resume=history)
    moved = noisy()
    before = training.fit(moved, X, Y, steps=2)
    moved(X, training=True)  # moves Batch Norm's averages and the seed of dropout
    with pytest.raises(ValueError, match="the model has changed since the run of `resume`"):
        training.fit(moved, X, Y, steps=4, resume=before)


def test_resume_refuses_a_run_that_diverged():
    options = {"learning_rate": 1e6, "loss": keras.losses.MeanSquaredError()}
    history = training.fit(model := small(), X, 1e3 * X[:, :3], steps=500, **options)
    with pytest.raises(ValueError, match="`resume` ended with a loss that is not finite"):
        training.fit(model, X, 1e3 * X[:, :3], resume=history)


# --- progress ---------------------------------------------------------------------------------


def test_quiet_under_ci(monkeypatch, capfd):
    for variable in ("CI", "COURSE_STRICT"):
        monkeypatch.delenv("CI", raising=False)
        monkeypatch.delenv("COURSE_STRICT", raising=False)
        monkeypatch.setenv(variable, "1")
        training.fit(small(), X, Y, steps=3)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


class Terminal:
    def __init__(self):
        self.text = ""

    def isatty(self):
        return True

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_a_terminal_gets_one_line_rewritten(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    monkeypatch.setattr(training.Progress, "INTERVAL", 0.0)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    training.fit(small(), X, Y, steps=4, label="tanh")
    showings = terminal.text.split("\r\x1b[K")[1:]
    assert showings[0].startswith("tanh: step 1 of 4, loss ")
    assert showings[0].endswith("s left")
    assert showings[-1].startswith("tanh: 4 steps in ")
    assert terminal.text.count("\n") == 1


def test_the_time_left_of_a_resumed_run_counts_only_its_own_steps(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    monkeypatch.setattr(training.Progress, "INTERVAL", 0.0)
    said = []
    monkeypatch.setattr(training, "_in_terminal", lambda: lambda text, share: said.append(text))
    now = iter([100.0, 103.0])
    monkeypatch.setattr(training.time, "perf_counter", lambda: next(now))
    progress = training.Progress("resumed", 20, done=10)
    progress.show([1.0] * 11)  # one step in 3 s, 9 to go
    assert said == ["resumed: step 11 of 20, loss 1, 27 s left"]


def test_a_notebook_gets_a_bar_with_a_text_beside_it(monkeypatch):
    import IPython.display

    shown = []

    class Handle:
        def update(self, bar):
            shown.append((repr(bar), bar._repr_html_()))

    class Shell:
        kernel = object()

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("COURSE_STRICT", raising=False)
    monkeypatch.setattr(training.Progress, "INTERVAL", 0.0)
    monkeypatch.setattr("IPython.get_ipython", Shell)
    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: Handle())
    training.fit(small(), X, Y, steps=4)
    text, page = shown[1]
    assert text.startswith("training: step 2 of 4, loss ")
    assert "<progress value='0.500' max='1' aria-label=" in page
    assert text in page
    assert "<progress" not in shown[-1][1]


# --- recorded ---------------------------------------------------------------------------------


@pytest.fixture
def data_folder(tmp_path, monkeypatch):
    (tmp_path / "MANIFEST.json").write_text('{"files": {}}')
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.delenv("COURSE_RECOMPUTE", raising=False)
    return tmp_path


CONFIG = {"depths": [10, 20], "width": 32, "seeds": (1, 2)}


def compute(depths, width, seeds):
    losses = np.array([[1 / 3, np.nan, np.inf] for _ in seeds])
    return {"losses": losses, "best": np.float32(0.25), "names": ["a", "b"], "depths": depths}


def test_recorded_round_trip(data_folder):
    fresh = training.recorded("03-width", compute, CONFIG, recompute=True)
    read = training.recorded("03-width", None, CONFIG)
    np.testing.assert_array_equal(read["losses"], compute(**CONFIG)["losses"])
    np.testing.assert_array_equal(fresh["losses"], read["losses"])
    assert read["best"] == 0.25
    assert read["names"] == ["a", "b"]
    np.testing.assert_array_equal(read["depths"], [10, 20])
    record = json.loads((data_folder / "results" / "03-width.json").read_text())
    assert record["config"] == {"depths": [10, 20], "width": 32, "seeds": [1, 2]}
    assert record["seeds"] == [1, 2]
    assert set(record["versions"]) == {"python", "numpy", "tensorflow", "keras", "machine"}
    assert record["seconds"] >= 0
    assert "results/03-width.json" in data.manifest()


def test_the_environment_recomputes(data_folder, monkeypatch):
    monkeypatch.setenv("COURSE_RECOMPUTE", "1")
    assert training.recorded("01-loss", lambda seed: {"loss": seed}, {"seed": 4}) == {"loss": 4}
    monkeypatch.setenv("COURSE_RECOMPUTE", "0")
    assert training.recorded("01-loss", None, {"seed": 4}) == {"loss": 4}


def test_a_missing_record_names_the_command(data_folder):
    with pytest.raises(training.RecordError, match="run `python -m course_lib recompute 03`"):
        training.recorded("03-width", compute, CONFIG)


def test_another_config_says_what_differs(data_folder):
    training.recorded("03-width", compute, CONFIG, recompute=True)
    with pytest.raises(training.RecordError) as info:
        training.recorded("03-width", compute, CONFIG | {"width": 64})
    text = str(info.value)
    assert "width = 32 (here 64)" in text
    assert "depths" not in text
    assert "`python -m course_lib recompute 03`" in text


def test_a_damaged_record_is_named(data_folder):
    training.recorded("03-width", compute, CONFIG, recompute=True)
    place = data_folder / "results" / "03-width.json"
    place.write_text(place.read_text().replace("0.25", "0.26"))
    with pytest.raises(data.DataError, match=r"results/03-width\.json"):
        training.recorded("03-width", compute, CONFIG)


def test_a_failed_experiment_leaves_the_old_record(data_folder):
    training.recorded("03-width", compute, CONFIG, recompute=True)

    def fails(**_):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        training.recorded("03-width", fails, CONFIG, recompute=True)
    assert training.recorded("03-width", compute, CONFIG)["best"] == 0.25


@pytest.mark.parametrize(
    ("name", "compute", "config", "expected"),
    [
        ("width", dict, {}, "`name` is 'width'; it takes the chapter's number"),
        ("../03-width", dict, {}, "it takes the chapter's number"),
        ("03-width", dict, [1], r"`config` is .*; it takes a dict of plain values"),
        ("03-width", dict, {"model": object()}, "`config` holds something other than"),
        ("03-width", lambda: 3, {}, "`compute` returned 3; it takes a dict"),
        ("03-width", lambda: {"f": print}, {}, "a record cannot hold"),
    ],
)
def test_recorded_refuses(data_folder, name, compute, config, expected):
    with pytest.raises((TypeError, ValueError), match=expected):
        training.recorded(name, compute, config, recompute=True)
    assert not list(data_folder.glob("results/*"))
