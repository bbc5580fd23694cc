"""Training a recurrent layer: its gradients, its steps beside Keras's, and that it learns."""

import warnings
from functools import partial

import numpy as np
import pytest

from course_lib.maths import recurrent_training
from course_lib.maths.clipping import clip_by_global_norm, clip_by_norm
from course_lib.maths.optimizers import Adam, GradientDescent, Momentum
from course_lib.maths.recurrent import GRU, LSTM, SimpleRNN
from course_lib.maths.recurrent_training import Readout, train_recurrent

CELLS = {"rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


def recall(rng, batch=32, length=5, symbols=3):
    drawn = rng.integers(0, symbols, (batch, length))
    return np.eye(symbols)[drawn], drawn[:, 0]


def echo(rng, batch=16, length=6, symbols=3):
    """At every step the symbol of the step before; 0 at the first."""
    drawn = rng.integers(0, symbols, (batch, length))
    y = np.concatenate([np.zeros((batch, 1), int), drawn[:, :-1]], axis=1)
    return np.eye(symbols)[drawn], y


def last_number(rng, batch=16, length=4):
    x = rng.uniform(-1, 1, (batch, length, 1))
    return x, x[:, -1]


def running_mean(rng, batch=16, length=4):
    x = rng.uniform(-1, 1, (batch, length, 1))
    return x, np.cumsum(x, axis=1) / np.arange(1, length + 1)[:, None]


DRAWS = {
    "labels, last step": (recall, "cross-entropy", 3),
    "labels, every step": (echo, "cross-entropy", 3),
    "numbers, last step": (last_number, "squared", 1),
    "numbers, every step": (running_mean, "squared", 1),
}
EVERY_LOSS = pytest.mark.parametrize(("draw", "loss", "outputs"), DRAWS.values(), ids=DRAWS)


def weights_of(run):
    return [*run.cell.weights, run.readout.kernel, run.readout.bias]


# Gradients


@pytest.mark.parametrize("cell", CELLS)
@EVERY_LOSS
def test_the_gradients_are_central_differences(draw, loss, outputs, cell, central_differences):
    rng = np.random.default_rng(1)
    x, y = draw(rng, batch=3)
    layer = CELLS[cell].random(x.shape[2], 4, rng)
    readout = Readout(rng.standard_normal((4, outputs)), rng.standard_normal(outputs), y.ndim > 1)
    if loss == "squared":
        readout = Readout(readout.kernel, readout.bias, y.ndim > 2)

    def both():
        return recurrent_training._loss_and_gradients(layer, readout, x, y, loss, None)

    reference = central_differences(
        lambda: both()[0], [*layer.weights, readout.kernel, readout.bias]
    )
    for a, b in zip(both()[1], reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_the_comparison_notices_a_chain_that_is_cut(central_differences):
    rng = np.random.default_rng(1)
    x, y = recall(rng, batch=3)
    layer = SimpleRNN.random(3, 4, rng)
    readout = Readout(rng.standard_normal((4, 3)), np.zeros(3), False)

    def both(truncate):
        return recurrent_training._loss_and_gradients(
            layer, readout, x, y, "cross-entropy", truncate
        )

    (reference,) = central_differences(lambda: both(None)[0], [layer.recurrent_kernel])
    assert np.abs(both(1)[1][1] - reference).max() > 1e-3
    assert np.abs(both(5)[1][1] - reference).max() < 1e-9


# Steps


@pytest.mark.tensorflow
@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("cell", CELLS)
@EVERY_LOSS
def test_ten_steps_are_those_of_keras(draw, loss, outputs, cell, clip, keras):
    """SGD with rate 1/8, which float32 holds exactly: Keras keeps its rate there."""
    rng = np.random.default_rng(2)
    batches = [draw(rng) for _ in range(10)]
    x, y = batches[0]
    start = CELLS[cell].random(x.shape[2], 5, rng)
    replay = iter(batches)
    run = train_recurrent(
        lambda rng: next(replay),
        cell=start, outputs=outputs, steps=10, loss=loss, clip=clip,
        optimizer=lambda: GradientDescent(0.125),
    )  # fmt: skip

    every_step = y.ndim > (1 if loss == "cross-entropy" else 2)
    kind = {"rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}[cell]
    layer = getattr(keras.layers, kind)(5, return_sequences=every_step, dtype="float64")
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), layer, keras.layers.Dense(outputs, dtype="float64")]
    )
    first = train_recurrent(
        lambda rng: batches[0], cell=start, outputs=outputs, steps=1, loss=loss,
        optimizer=lambda: GradientDescent(1e-300),
    )  # fmt: skip
    model.set_weights(weights_of(first))
    keras_loss = keras.losses.MeanSquaredError(dtype="float64")
    if loss == "cross-entropy":
        keras_loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")
    model.compile(
        keras.optimizers.SGD(0.125, global_clipnorm=clip), loss=keras_loss, jit_compile=False
    )
    for x, y in batches:
        model.train_on_batch(x, y)
    for a, b in zip(weights_of(run), model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)
    assert clip is None or (run.gradient_norms > clip).all()


def test_a_step_moves_every_parameter_by_its_clipped_gradient():
    norms = []
    options = {"outputs": 3, "units": 6, "optimizer": lambda: GradientDescent(1.0), "seed": 3}

    def watch(gradients):
        norms.append(np.sqrt(sum(np.sum(G**2) for G in gradients)))
        return clip_by_global_norm(gradients, 0.01)

    before = train_recurrent(recall, steps=1, clip=lambda g: [0 * G for G in g], **options)
    after = train_recurrent(recall, steps=1, clip=watch, **options)
    moved = [a - b for a, b in zip(weights_of(after), weights_of(before), strict=True)]
    assert np.sqrt(sum(np.sum(m**2) for m in moved)) == pytest.approx(0.01, rel=1e-10)
    assert after.gradient_norms[0] == pytest.approx(norms[0], rel=1e-12)
    assert norms[0] > 0.01


def test_a_number_clips_by_the_global_norm():
    options = {"outputs": 3, "units": 6, "steps": 5, "seed": 3}
    by_number = train_recurrent(recall, clip=0.1, **options)
    by_function = train_recurrent(recall, clip=partial(clip_by_global_norm, limit=0.1), **options)
    by_norm = train_recurrent(recall, clip=partial(clip_by_norm, limit=0.1), **options)
    np.testing.assert_array_equal(by_number.losses, by_function.losses)
    assert np.abs(by_number.losses - by_norm.losses).max() > 1e-6


# Seeds


@pytest.mark.parametrize("cell", CELLS)
def test_the_same_seed_makes_the_same_run(cell):
    one, again, other = (
        train_recurrent(recall, cell=cell, outputs=3, units=5, steps=4, seed=seed)
        for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one.losses, again.losses)
    assert not np.array_equal(one.losses, other.losses)


def test_every_variant_of_a_seed_sees_the_same_batches():
    seen = {}
    for cell in CELLS:
        seen[cell] = []

        def draw(rng, batches=seen[cell]):
            batches.append(recall(rng))
            return batches[-1]

        train_recurrent(draw, cell=cell, outputs=3, units=4, steps=3, seed=6)
    for batches in seen.values():
        assert len(batches) == 3
        for (x, _), (first, _) in zip(batches, seen["rnn"], strict=True):
            np.testing.assert_array_equal(x, first)


def test_a_layer_that_is_given_is_copied_and_a_maker_is_called():
    start = SimpleRNN.random(3, 7, np.random.default_rng(1))
    copies = [W.copy() for W in start.weights]
    run = train_recurrent(recall, cell=start, outputs=3, steps=3)
    for W, copy in zip(start.weights, copies, strict=True):
        np.testing.assert_array_equal(W, copy)
    assert run.cell.units == 7
    assert np.abs(run.cell.kernel - start.kernel).max() > 0
    made = train_recurrent(
        recall, cell=partial(LSTM.random, forget_bias=5.0), outputs=3, units=4, steps=1
    )
    np.testing.assert_allclose(made.cell.bias[4:8], 5, atol=0.011)  # one step of Adam(0.01)


# Learning


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("cell", ["rnn", "lstm"])
def test_five_steps_are_remembered(cell, seed):
    """Chance is 1/3 and ln 3 = 1.0986; 300 steps of Adam are enough for every seed."""
    run = train_recurrent(recall, cell=cell, outputs=3, units=12, clip=1.0, seed=seed)
    x, y = recall(np.random.default_rng([seed, 1]), batch=300)
    assert run.accuracy(x, y) > 0.9
    assert run.loss(x, y) < 0.3
    assert not run.diverged
    assert run.losses.shape == run.gradient_norms.shape == (300,)


def test_what_cannot_be_known_is_not_learnt():
    """Labels drawn beside the sequence: the loss stays at ln 3, whatever is trained."""

    def draw(rng):
        x, _ = recall(rng)
        return x, rng.integers(0, 3, len(x))

    run = train_recurrent(draw, outputs=3, units=12)
    x, _ = draw(np.random.default_rng(8))
    assert run.losses[-50:].mean() > np.log(3) - 0.05
    labels = np.random.default_rng(9).integers(0, 3, 640)
    assert run.accuracy(np.tile(x, (20, 1, 1)), labels) < 0.45


@pytest.mark.parametrize("seed", range(3))
def test_labels_at_every_step_are_learnt(seed):
    run = train_recurrent(echo, outputs=3, units=12, seed=seed)
    x, y = echo(np.random.default_rng([seed, 1]), batch=100)
    assert run.predict(x).shape == (100, 6, 3)
    assert run.accuracy(x, y) > 0.95


@pytest.mark.parametrize("draw", [last_number, running_mean])
def test_numbers_are_learnt(draw):
    run = train_recurrent(draw, outputs=1, units=12, loss="squared")
    x, y = draw(np.random.default_rng(10), batch=200)
    assert run.predict(x).shape == y.shape
    assert run.loss(x, y) < np.var(y) / 10


# Divergence


def test_an_explosion_ends_the_run_and_clipping_prevents_it():
    """A ReLU layer that triples its state at each of 20 steps, a rate of 1."""
    cell = partial(SimpleRNN.random, recurrent=3 * np.eye(8), activation="relu")
    options = {"cell": cell, "outputs": 1, "units": 8, "steps": 60, "loss": "squared"}
    options |= {"optimizer": lambda: GradientDescent(1.0)}
    draw = partial(last_number, length=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        free = train_recurrent(draw, **options)
        clipped = train_recurrent(draw, clip=1e-3, **options)
    assert free.diverged
    stopped = int(np.isfinite(free.losses).sum())
    assert 0 < stopped < 60
    assert np.isnan(free.losses[stopped:]).all()
    assert "then diverged" in repr(free)
    assert not clipped.diverged
    assert np.isfinite(clipped.losses).all()


def test_truncation_leaves_less_of_the_gradient():
    options = {"outputs": 3, "units": 6, "steps": 1, "seed": 3}
    whole = train_recurrent(recall, **options)
    cut = train_recurrent(recall, truncate=1, **options)
    assert cut.losses[0] == whole.losses[0]
    assert cut.gradient_norms[0] != whole.gradient_norms[0]
    same = train_recurrent(recall, truncate=5, **options)
    assert same.gradient_norms[0] == whole.gradient_norms[0]


# What it prints, and what it refuses


def test_runs_say_what_they_are():
    run = train_recurrent(recall, outputs=3, units=4, steps=2)
    assert repr(run).startswith("<RecurrentRun: <SimpleRNN: 3 features, 4 units, tanh>, 2 steps, ")
    assert repr(run.readout) == "<Readout: 4 units, 3 outputs after the last step>"


def train(draw=recall, outputs=3, **options):
    return train_recurrent(draw, outputs=outputs, **{"units": 4, "steps": 2} | options)


ONE_ADAM = Adam(0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: train(None), "`draw` is None"),
        (lambda: train(lambda rng: 3), "a pair (x, y)"),
        (lambda: train(lambda rng: (1, 2, 3)), "a pair (x, y)"),
        (lambda: train(lambda rng: (np.ones((3, 4)), np.zeros(3, int))), "`x` has shape (3, 4)"),
        (lambda: train(lambda rng: (np.ones((3, 4, 1)), np.zeros(3))), "whole numbers 0 … 2"),
        (lambda: train(lambda rng: (np.ones((3, 4, 1)), np.zeros(4, int))), "shape (3,)"),
        (lambda: train(lambda rng: (np.ones((3, 4, 1)), np.zeros((3, 1), int))), "shape (3, 4)"),
        (lambda: train(lambda rng: (np.ones((3, 4, 1)), np.full(3, 3))), "labels 3 … 3"),
        (lambda: train(lambda rng: (np.ones((3, 4, 1)), 1)), "(batch,) or (batch, time)"),
        (lambda: train(lambda rng: (np.full((3, 4, 1), np.nan), np.zeros(3, int))), "`x` holds"),
        (lambda: train(last_number, loss="squared"), "shape (16, 3)"),
        (lambda: train(recall, 1, loss="squared"), "(batch, outputs) or"),
        (lambda: train(loss="mse"), "`loss` is 'mse'"),
        (lambda: train(cell="RNN"), "`cell` is 'RNN'"),
        (lambda: train(cell=None), "`cell` is None"),
        (lambda: train(cell=lambda features, units, rng: None), "a recurrent layer"),
        (lambda: train(cell="lstm", activation="relu"), "`activation` is 'relu'"),
        (lambda: train(activation="tanhh"), "`activation` is 'tanhh'"),
        (lambda: train(recurrent="orthogonally"), "`initializer` is 'orthogonally'"),
        (lambda: train(cell=SimpleRNN.random(2, 3, np.random.default_rng(1))), "`x` has shape"),
        *[(lambda bad=bad: train(units=bad), "`units` is") for bad in (0, 2.5, "4")],
        *[(lambda bad=bad: train(steps=bad), "`steps` is") for bad in (0, -1, None)],
        *[(lambda bad=bad: train(outputs=bad), "`outputs` is") for bad in (0, 2.0)],
        *[(lambda bad=bad: train(seed=bad), "`seed` is") for bad in (-1, 0.5, None)],
        *[(lambda bad=bad: train(truncate=bad), "`truncate` is") for bad in (0, 1.5, "3")],
        *[(lambda bad=bad: train(clip=bad), "`clip` is") for bad in (0, -1, "1", [1])],
        (lambda: train(clip=lambda gradients: None), "`clip` is a function that returned None"),
        (lambda: train(clip=lambda gradients: gradients[:1]), "`clip` is a function"),
        *[
            (lambda bad=bad: train(optimizer=bad), "`optimizer` is")
            for bad in (Adam, 0.01, "adam", Adam(0.01), lambda: None, lambda: ONE_ADAM)
        ],
        (lambda: train(last_number, 1, loss="squared").accuracy([[[1.0]]], [0]), "`loss` is squ"),
        (lambda: train().predict(np.ones((3, 4))), "`x` has shape (3, 4)"),
        (lambda: train().accuracy(np.ones((2, 4, 3)), [0.0, 1.0]), "`y` is"),
        (lambda: train().loss(np.ones((2, 4, 3)), [0]), "`y` has shape (1,)"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(call, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.startswith("`"), sentence
    assert " is " in sentence or " has " in sentence or " holds " in sentence, sentence
    assert " take" in sentence or " needs " in sentence, sentence
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 200, sentence


def test_any_optimizer_will_do():
    for make in (lambda: Momentum(0.1), partial(Adam, 0.01, beta_2=0.9)):
        assert not train(optimizer=make).diverged


def test_the_arrays_that_a_cell_is_made_of_are_left_as_they_are():
    kernel, recurrent_kernel = np.full((1, 2), 0.1), np.eye(2) / 2
    x, y = np.ones((4, 3, 1)), np.ones((4, 2))
    train_recurrent(
        lambda rng: (x, y), outputs=2, steps=3, loss="squared",
        cell=lambda features, units, rng: SimpleRNN(kernel, recurrent_kernel),
    )  # fmt: skip
    np.testing.assert_array_equal(kernel, 0.1)
    np.testing.assert_array_equal(recurrent_kernel, np.eye(2) / 2)


@pytest.mark.parametrize("kind", [SimpleRNN, LSTM, GRU])
def test_many_samples_are_answered_as_few_are(kind):
    rng = np.random.default_rng(5)
    run = train_recurrent(
        lambda rng: (np.ones((4, 3, 2)), np.zeros(4, int)), outputs=2, steps=1,
        cell=kind.random(2, 3, rng),
    )  # fmt: skip
    x = rng.normal(size=(150, 6, 2))
    one_by_one = np.concatenate([run.predict(sample[None]) for sample in x])
    np.testing.assert_allclose(run.predict(x), one_by_one, rtol=1e-12, atol=1e-14)
