"""The NumPy trainer: its gradient, its steps against Keras, and its refusals."""

import numpy as np
import pytest

from course_lib.data import load_digits
from course_lib.maths.differences import central_differences
from course_lib.maths.training import (
    accuracy_by_rate,
    classify,
    softmax_cross_entropy,
    train_on_digits,
    train_stack,
)


def small_problem(activation_gain=1.0):
    rng = np.random.default_rng(3)
    x = rng.standard_normal((40, 6))
    labels = rng.integers(0, 3, 40)
    weights = [
        activation_gain * rng.standard_normal(shape) / np.sqrt(shape[0])
        for shape in ((6, 5), (5, 4), (4, 3))
    ]
    return x, labels, weights


def test_cross_entropy_gradient_equals_central_differences():
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((7, 4)), rng.integers(0, 4, 7)
    _, d_logits = softmax_cross_entropy(logits, labels)
    expected = central_differences(lambda z: softmax_cross_entropy(z, labels)[0], logits)
    np.testing.assert_allclose(d_logits, expected, atol=1e-9)


def test_cross_entropy_of_a_uniform_guess_is_log_classes():
    loss, _ = softmax_cross_entropy(np.zeros((5, 10)), np.arange(5))
    assert loss == pytest.approx(np.log(10), rel=1e-15)


def test_cross_entropy_does_not_overflow():
    loss, d_logits = softmax_cross_entropy(np.array([[1e4, -1e4]]), np.array([1]))
    assert loss == 2e4
    np.testing.assert_array_equal(d_logits, [[1.0, -1.0]])


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu"])
def test_first_step_follows_the_gradient_of_the_loss(activation):
    """W_1 − W_0 = −learning_rate · ∂𝓛/∂W, the gradient taken by central differences."""
    x, labels, weights = small_problem()
    rows = np.random.default_rng(5).integers(0, len(x), 16)

    def loss(parameters):
        h = x[rows]
        from course_lib.maths.activations import ACTIVATIONS

        for W in parameters[:-1]:
            h = ACTIVATIONS[activation].function(h @ W)
        return softmax_cross_entropy(h @ parameters[-1], labels[rows])[0]

    run = train_stack(
        x, labels, weights, activation,
        learning_rate=0.1, rng=np.random.default_rng(5), steps=1, batch_size=16,
    )  # fmt: skip
    for end, start, gradient in zip(
        run.weights, weights, central_differences(loss, weights), strict=True
    ):
        np.testing.assert_allclose(end - start, -0.1 * gradient, atol=1e-9)


@pytest.mark.tensorflow
def test_twenty_steps_equal_keras_sgd_with_momentum():
    import keras

    x, labels, weights = small_problem()
    run = train_stack(
        x, labels, weights, "tanh",
        learning_rate=0.1, rng=np.random.default_rng(1), steps=20, batch_size=8,
    )  # fmt: skip
    model = keras.Sequential(
        [keras.layers.Input((6,), dtype="float64")]
        + [keras.layers.Dense(W.shape[1], "tanh", dtype="float64") for W in weights[:-1]]
        + [keras.layers.Dense(3, dtype="float64")]
    )
    model.set_weights([array for W in weights for array in (W, np.zeros(W.shape[1]))])
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    rng = np.random.default_rng(1)
    for _ in range(20):
        rows = rng.integers(0, len(x), 8)
        model.train_on_batch(x[rows], labels[rows])
    # Keras passes learning rate and momentum through float32, so 1e-6 is as far as it agrees.
    for ours, theirs in zip(run.weights, model.get_weights()[::2], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_training_learns_and_leaves_its_input_alone():
    x, _, weights = small_problem()
    labels = (x[:, 0] > 0).astype(int)
    before = [W.copy() for W in weights]
    run = train_stack(x, labels, weights, "tanh", learning_rate=0.1, rng=np.random.default_rng(0))
    assert run.accuracy(x, labels) == 1.0
    assert not run.diverged
    assert run.losses[-20:].mean() < 0.1 * run.losses[0]
    for now, then in zip(weights, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_divergence_stops_the_run_and_is_reported():
    x, labels, weights = small_problem(activation_gain=1e60)
    run = train_stack(x, labels, weights, "relu", learning_rate=1e200, rng=np.random.default_rng(0))
    assert run.diverged
    assert np.isnan(run.losses[-1])


def test_a_layer_that_no_gradient_reaches_does_not_move():
    x, labels, weights = small_problem()
    weights[0] -= 100  # with inputs of 1 every unit of the first layer is dead
    run = train_stack(
        np.ones_like(x), labels, weights, "relu",
        learning_rate=0.1, rng=np.random.default_rng(0), steps=5,
    )  # fmt: skip
    assert run.movement[0] == 0
    assert run.movement[-1] == 0  # its inputs are 0, so only the biases of the logits learn


def test_classify_takes_the_largest_logit():
    labels = classify(np.eye(2), [np.eye(2), np.eye(2)], [np.zeros(2), np.zeros(2)], "linear")
    np.testing.assert_array_equal(labels, [0, 1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"x": np.zeros(6)}, "`x`"),
        ({"labels": np.zeros(40)}, "`labels`"),
        ({"labels": np.full(40, 3)}, "0 to 2"),
        ({"labels": np.zeros(39, int)}, "40 integers"),
        ({"weights": [np.zeros((6, 3))]}, "`weights`"),
        ({"weights": [np.zeros((5, 4)), np.zeros((4, 3))]}, r"`weights\[0\]`"),
        ({"activation": "swish"}, "activation"),
        ({"learning_rate": -1.0}, "`learning_rate`"),
        ({"learning_rate": "fast"}, "`learning_rate`"),
        ({"momentum": float("nan")}, "`momentum`"),
        ({"steps": 0}, "`steps`"),
        ({"batch_size": 2.5}, "`batch_size`"),
        ({"rng": 3}, "`rng`"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, sentence):
    x, labels, weights = small_problem()
    arguments = {
        "x": x, "labels": labels, "weights": weights, "activation": "tanh",
        "learning_rate": 0.1, "rng": np.random.default_rng(0), "steps": 1,
    } | change  # fmt: skip
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        train_stack(**arguments)
    assert "\n" not in str(caught.value)


def test_weight_limit_clips_after_each_step_and_leaves_biases_alone():
    x, labels, weights = small_problem()
    arguments = {"learning_rate": 0.5, "steps": 1, "momentum": 0.0, "batch_size": 16}
    free = train_stack(x, labels, weights, "tanh", rng=np.random.default_rng(2), **arguments)
    limited = train_stack(
        x, labels, weights, "tanh", rng=np.random.default_rng(2), weight_limit=0.2, **arguments
    )
    assert max(np.abs(W).max() for W in free.weights) > 0.2
    for W, W_limited in zip(free.weights, limited.weights, strict=True):
        np.testing.assert_array_equal(W_limited, np.clip(W, -0.2, 0.2))
    for b, b_limited in zip(free.biases, limited.biases, strict=True):
        np.testing.assert_array_equal(b_limited, b)


def test_weight_limit_must_be_above_0():
    x, labels, weights = small_problem()
    with pytest.raises(ValueError, match="`weight_limit` is 0; it takes a finite number above 0"):
        train_stack(
            x, labels, weights, "tanh",
            learning_rate=0.1, rng=np.random.default_rng(2), weight_limit=0,
        )  # fmt: skip


def test_training_on_digits_starts_where_it_says():
    run = train_on_digits("relu", lambda n: np.sqrt(2 / n), seed=4, depth=2, units=16, steps=1)
    assert [W.shape for W in run.start] == [(64, 16), (16, 16), (16, 10)]
    expected = np.sqrt(2 / 64) * np.random.default_rng(4).standard_normal((64, 16))
    np.testing.assert_array_equal(run.start[0], expected)


def test_a_plain_number_is_the_spread_of_every_layer():
    same = train_on_digits("tanh", lambda n: 0.1, depth=1, units=4, steps=3)
    run = train_on_digits("tanh", 0.1, depth=1, units=4, steps=3)
    np.testing.assert_array_equal(run.losses, same.losses)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"spread": -1}, "`spread`"),
        ({"spread": lambda n: float("nan")}, "`spread`"),
        ({"depth": 0}, "`depth`"),
        ({"seed": -1}, "`seed`"),
        ({"activation": "swish"}, "activation"),
    ],
)
def test_training_on_digits_refuses_in_one_sentence(change, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        train_on_digits(**{"activation": "tanh", "spread": 0.1, "steps": 1} | change)


def test_an_activation_with_a_slope_of_its_own_trains_as_that():
    from course_lib.maths.activations import ACTIVATIONS

    options = {"spread": 0.1, "depth": 1, "units": 4, "steps": 3}
    leaky = ACTIVATIONS["leaky_relu"]
    named = train_on_digits("leaky_relu", **options)
    same = train_on_digits(leaky.with_slope(0.01), **options)
    steeper = train_on_digits(leaky.with_slope(0.5), **options)
    np.testing.assert_array_equal(named.losses, same.losses)
    assert abs(steeper.losses[-1] - named.losses[-1]) > 1e-6
    assert steeper.activation.slope == 0.5


def test_accuracy_by_rate_holds_one_run_for_each_rate_and_seed():
    table = accuracy_by_rate(
        "tanh", lambda n: n**-0.5, rates=[0.02, 0.05], seeds=[3, 4, 5], depth=1, units=8, steps=20
    )
    assert table.shape == (2, 3)
    x, labels, _, _ = load_digits(dtype="float64")
    run = train_on_digits(
        "tanh", lambda n: n**-0.5, learning_rate=0.05, seed=4, depth=1, units=8, steps=20
    )
    assert table[1, 1] == run.accuracy(x, labels)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rates": []}, "`rates` is empty"),
        ({"seeds": []}, "`seeds` is empty; it takes a list of whole numbers"),
        ({"seeds": [1, 2.5]}, r"`seeds\[1\]` is 2\.5; it takes a whole number"),
        ({"rates": [0.1, -1]}, "`learning_rate` is -1"),
    ],
)
def test_accuracy_by_rate_refuses_in_words(change, sentence):
    arguments = {"rates": [0.1], "seeds": [1], "depth": 1, "units": 4, "steps": 2} | change
    with pytest.raises((TypeError, ValueError), match=sentence):
        accuracy_by_rate("tanh", 0.1, **arguments)
