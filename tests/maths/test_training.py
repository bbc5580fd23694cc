"""The NumPy trainer: its gradient, its steps against Keras, and its refusals."""

from functools import partial

import numpy as np
import pytest

from course_lib.data import load_digits
from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.differences import central_differences
from course_lib.maths.optimizers import (
    Adam,
    AMSGrad,
    GradientDescent,
    Momentum,
    Nesterov,
    RMSProp,
)
from course_lib.maths.stacks import Layer, StackForm
from course_lib.maths.training import (
    StackRun,
    accuracy_by_rate,
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


def test_accuracy_takes_the_largest_logit():
    layers = [Layer(np.eye(2), np.zeros(2)), Layer(np.eye(2), np.zeros(2))]
    run = StackRun(np.array([]), layers, [], StackForm(ACTIVATIONS["linear"]))
    np.testing.assert_array_equal(np.argmax(run.logits(np.eye(2)), axis=1), [0, 1])
    assert run.accuracy(np.eye(2), np.array([0, 1])) == 1


def refuses(problem, change, sentence):
    """Assert that one changed argument of `train_stack` is refused in one line."""
    x, labels, weights = problem
    arguments = {
        "x": x, "labels": labels, "weights": weights, "activation": "tanh",
        "learning_rate": 0.1, "rng": np.random.default_rng(0), "steps": 1,
    } | change  # fmt: skip
    with pytest.raises((ValueError, TypeError), match=sentence) as caught:
        train_stack(**arguments)
    assert "\n" not in str(caught.value)


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
        ({"biases": 0.0}, "`biases` is 0.0; it takes a list, one vector for each layer"),
        ({"biases": [np.zeros(5), np.zeros(4)]}, "`biases` has length 2; it takes one vector"),
        ({"biases": [np.zeros(5), np.zeros(4), np.zeros(4)]}, r"`biases\[2\]`"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(change, sentence):
    refuses(small_problem(), change, sentence)


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


def sigmoid_twin(weights):
    """Weights and biases of the sigmoid network that computes what this tanh network does.

    tanh a = 2 σ(2a) − 1, so each h of the tanh network is 2h − 1 of this one: the first layer's
    pre-activations are doubled, the others' also undo the shift, and so do the logits.
    """
    first, *middle, top = weights
    twins = [2 * first, *(4 * W for W in middle), 2 * top]
    shifts = [np.zeros(first.shape[1]), *(-2 * W.sum(axis=0) for W in middle), -top.sum(axis=0)]
    return twins, shifts


def test_biases_start_where_they_are_put_and_are_left_alone():
    """A tanh network and its twin of sigmoids: the same loss, but only with these biases."""
    x, labels, weights = small_problem()
    arguments = {"learning_rate": 0.1, "steps": 40}
    tanh = train_stack(x, labels, weights, "tanh", rng=np.random.default_rng(2), **arguments)
    twins, biases = sigmoid_twin(weights)
    before = [b.copy() for b in biases]
    twin = train_stack(
        x, labels, twins, "sigmoid", rng=np.random.default_rng(2), biases=biases, **arguments
    )
    bare = train_stack(x, labels, twins, "sigmoid", rng=np.random.default_rng(2), **arguments)
    assert twin.losses[0] == pytest.approx(tanh.losses[0], rel=1e-12)
    assert abs(bare.losses[0] - tanh.losses[0]) > 1e-3
    for b, unchanged, end in zip(biases, before, twin.biases, strict=True):
        np.testing.assert_array_equal(b, unchanged)
        assert not np.array_equal(end, b)


def test_units_on_counts_the_rows_that_switch_a_unit_on():
    x, labels, weights = small_problem()
    weights[0][:, 1] = -np.abs(weights[0][:, 1])
    positive = np.abs(x)  # so that unit 1 of the first layer is off for every row
    run = train_stack(
        positive, labels, weights, "relu", learning_rate=0.1, rng=np.random.default_rng(2), steps=9
    )
    first, second = run.units_on(positive)
    a1 = positive @ run.weights[0] + run.biases[0]
    a2 = np.maximum(a1, 0) @ run.weights[1] + run.biases[1]
    np.testing.assert_array_equal(first, (a1 > 0).sum(axis=0) / 40)
    np.testing.assert_array_equal(second, (a2 > 0).sum(axis=0) / 40)
    assert first[1] == 0
    assert 0 < first.max() <= 1
    with pytest.raises(ValueError, match=r"`x` has shape \(2, 5\); it takes a matrix"):
        run.units_on(np.ones((2, 5)))


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_units_on_looks_behind_the_norm(normalization):
    x, labels, weights = small_problem()
    run = train_stack(
        x, labels, weights, "relu", learning_rate=0.1, rng=np.random.default_rng(2), steps=30,
        normalization=normalization,
    )  # fmt: skip
    assert [on.shape for on in run.units_on(x)] == [(5,), (4,)]
    assert all(np.all((on >= 0) & (on <= 1)) for on in run.units_on(x))
    plain = np.mean(x @ run.weights[0] + run.biases[0] > 0, axis=0)
    assert not np.array_equal(run.units_on(x)[0], plain)


def test_biases_of_0_are_what_is_used_unless_given():
    x, labels, weights = small_problem()
    zeros = [np.zeros(W.shape[1]) for W in weights]
    runs = [
        train_stack(
            x, labels, weights, "relu", learning_rate=0.1, rng=np.random.default_rng(2), steps=20,
            normalization=normalization, biases=biases,
        )
        for normalization in (None, "batch") for biases in (None, zeros)
    ]  # fmt: skip
    np.testing.assert_array_equal(runs[0].losses, runs[1].losses)
    np.testing.assert_array_equal(runs[2].losses, runs[3].losses)


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


# --- normalisation, skips, optimisers -----------------------------------------------------------

EVERY_FORM = pytest.mark.parametrize(
    ("normalization", "skip"),
    [(norm, skip) for norm in (None, "batch", "layer") for skip in (None, 1.0, 0.3)],
)


def square_problem():
    """A problem whose second hidden layer can skip, and whose first cannot."""
    rng = np.random.default_rng(7)
    shapes = ((6, 5), (5, 5), (5, 5), (5, 3))
    weights = [rng.standard_normal(shape) / np.sqrt(shape[0]) for shape in shapes]
    return rng.standard_normal((40, 6)), rng.integers(0, 3, 40), weights


def trained(problem, activation="tanh", seed=5, **options):
    defaults = {"learning_rate": 0.1, "steps": 1, "batch_size": 16}
    return train_stack(*problem, activation, rng=np.random.default_rng(seed), **defaults | options)


@EVERY_FORM
@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_first_step_of_every_form_follows_the_gradient_of_the_loss(normalization, skip, activation):
    """All parameters, 𝓛 written out here and differentiated by central differences.

    Not with ReLU: a sample for which a whole layer is dead stands on the kink of the next.
    """
    x, labels, weights = square_problem()
    rows = np.random.default_rng(5).integers(0, len(x), 16)
    depth = len(weights) - 1

    def loss(parameters):
        h, rest = x[rows], iter(parameters)
        for W in [next(rest) for _ in range(depth)]:
            u = h @ W + next(rest)
            if normalization is not None:
                axis = 0 if normalization == "batch" else 1
                u = (u - u.mean(axis, keepdims=True)) / np.sqrt(u.var(axis, keepdims=True) + 1e-3)
                u = next(rest) * u + next(rest)
            branch = ACTIVATIONS[activation].function(u)
            h = h + skip * branch if skip is not None and len(W) == W.shape[1] else branch
        return softmax_cross_entropy(h @ next(rest) + next(rest), labels[rows])[0]

    start = [W.copy() for W in weights[:depth]]
    for W in weights[:depth]:
        start.append(np.zeros(W.shape[1]))
        if normalization is not None:
            start += [np.full(W.shape[1], 0.7), np.zeros(W.shape[1])]
    start += [weights[-1].copy(), np.zeros(3)]

    run = trained((x, labels, weights), activation, normalization=normalization, skip=skip,
                  norm_scale=0.7)  # fmt: skip
    end = list(run.weights[:depth])
    for layer in run.layers[:depth]:
        end += [array for array in layer[1:] if array is not None]
    end += [run.weights[-1], run.biases[-1]]
    assert run.losses[0] == pytest.approx(loss(start), rel=1e-12)
    for after, before, gradient in zip(end, start, central_differences(loss, start), strict=True):
        np.testing.assert_allclose(after - before, -0.1 * gradient, atol=1e-9)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_without_the_new_arguments_a_run_is_the_plain_loop_bit_for_bit(activation):
    """The loop that chapters 00 to 03 were measured with, written out."""
    x, labels, start = square_problem()
    run = trained((x, labels, start), activation, steps=30)
    weights = [W.copy() for W in start]
    biases = [np.zeros(W.shape[1]) for W in weights]
    velocities = [np.zeros_like(p) for p in weights + biases]
    phi, phi_prime = ACTIVATIONS[activation].function, ACTIVATIONS[activation].derivative
    rng = np.random.default_rng(5)
    for step in range(30):
        rows = rng.integers(0, len(x), 16)
        h, a = [x[rows]], []
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            a.append(h[-1] @ W + b)
            h.append(phi(a[-1]))
        loss, d_a = softmax_cross_entropy(h[-1] @ weights[-1] + biases[-1], labels[rows])
        d_weights, d_biases = [h[-1].T @ d_a], [d_a.sum(axis=0)]
        for W, a_l, h_before in zip(weights[:0:-1], a[::-1], h[-2::-1], strict=True):
            d_a = (d_a @ W.T) * phi_prime(a_l)
            d_weights.insert(0, h_before.T @ d_a)
            d_biases.insert(0, d_a.sum(axis=0))
        for p, velocity, gradient in zip(
            weights + biases, velocities, d_weights + d_biases, strict=True
        ):
            velocity *= 0.9
            velocity -= 0.1 * gradient
            p += velocity
        assert run.losses[step] == loss
    for own, theirs in zip(run.weights + run.biases, weights + biases, strict=True):
        np.testing.assert_array_equal(own, theirs)
    assert (run.scales, run.offsets, run.averages) == ([], [], [])
    h = x
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        h = phi(h @ W + b)
    classes = np.argmax(h @ weights[-1] + biases[-1], axis=1)
    assert run.accuracy(x, labels) == np.mean(classes == labels)


def test_an_optimizer_moves_every_parameter_on_its_own():
    """Adam's first step is α for each, in whatever layer; SGD with momentum is the default."""
    problem = square_problem()
    run = trained(problem, optimizer=Adam, learning_rate=0.001, normalization="batch")
    assert run.form.normalization == "batch"
    for end, start in zip(run.weights, run.start, strict=True):
        np.testing.assert_allclose(np.abs(end - start), 0.001, rtol=1e-2)
    for scale in run.scales:
        np.testing.assert_allclose(np.abs(scale - 1), 0.001, rtol=1e-2)
    default = trained(problem, steps=20)
    same = trained(problem, steps=20, optimizer=Momentum)
    np.testing.assert_array_equal(same.losses, default.losses)
    other = trained(problem, steps=20, optimizer=partial(Momentum, momentum=0.5))
    assert abs(other.losses[-1] - default.losses[-1]) > 1e-6


@pytest.mark.parametrize("optimizer", [GradientDescent, Momentum, Nesterov, RMSProp, Adam, AMSGrad])
def test_every_optimizer_learns(optimizer):
    x, _, weights = square_problem()
    labels = (x[:, 0] > 0).astype(int)
    rate = 0.01 if issubclass(optimizer, (RMSProp, Adam)) else 0.1
    run = trained((x, labels, weights), optimizer=optimizer, learning_rate=rate, steps=300)
    assert run.accuracy(x, labels) == 1.0


@EVERY_FORM
def test_every_form_learns_and_leaves_its_input_alone(normalization, skip):
    x, _, weights = square_problem()
    labels = (x[:, 0] > 0).astype(int)
    before = [W.copy() for W in weights]
    run = trained((x, labels, weights), steps=400, normalization=normalization, skip=skip)
    assert run.accuracy(x, labels, statistics="batch") == 1.0
    assert run.losses[-20:].mean() < 0.1 * run.losses[0]
    for now, then in zip(weights, before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.tensorflow
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_twenty_steps_with_norm_and_skip_equal_keras(normalization):
    """Weights, scales, moving averages, and the logits in training and afterwards.

    Rates that float32 holds exactly, since Keras passes them through it.
    """
    import keras

    x, labels, weights = square_problem()
    run = trained(
        (x, labels, weights), normalization=normalization, skip=0.25, steps=20,
        learning_rate=1 / 16, momentum=7 / 8, norm_momentum=0.75,
    )  # fmt: skip
    make_norm = {
        "batch": lambda: keras.layers.BatchNormalization(momentum=0.75, dtype="float64"),
        "layer": lambda: keras.layers.LayerNormalization(dtype="float64"),
    }[normalization]
    h = inputs = keras.Input((6,), dtype="float64")
    dense, norms = [], []
    for W in weights[:-1]:
        dense.append(keras.layers.Dense(W.shape[1], dtype="float64"))
        norms.append(make_norm())
        branch = keras.layers.Activation("tanh", dtype="float64")(norms[-1](dense[-1](h)))
        skips = len(W) == W.shape[1]
        h = h + 0.25 * branch if skips else branch
    dense.append(keras.layers.Dense(3, dtype="float64"))
    model = keras.Model(inputs, dense[-1](h))
    for layer, W in zip(dense, weights, strict=True):
        layer.set_weights([W, np.zeros(W.shape[1])])
    model.compile(
        keras.optimizers.SGD(1 / 16, momentum=7 / 8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64"),
    )
    rng = np.random.default_rng(5)
    for _ in range(20):
        rows = rng.integers(0, len(x), 16)
        model.train_on_batch(x[rows], labels[rows])
    for own, layer in zip(run.layers, dense, strict=True):
        np.testing.assert_allclose(own.weights, layer.get_weights()[0], atol=1e-10)
    for own, norm in zip(run.layers, norms, strict=False):
        np.testing.assert_allclose(own.scale, norm.gamma.numpy(), atol=1e-10)
        np.testing.assert_allclose(own.offset, norm.beta.numpy(), atol=1e-10)
    for own, norm in zip(run.averages, norms, strict=False):
        np.testing.assert_allclose(own.mean, norm.moving_mean.numpy(), atol=1e-10)
        np.testing.assert_allclose(own.variance, norm.moving_variance.numpy(), atol=1e-10)
    for statistics, training in (("moving", False), ("batch", True)):
        theirs = model(x, training=training).numpy()
        np.testing.assert_allclose(run.logits(x, statistics=statistics), theirs, atol=1e-9)
    assert len(run.averages) == (3 if normalization == "batch" else 0)


def test_batch_norm_after_training_uses_its_averages_unless_told():
    x, labels, weights = square_problem()
    run = trained((x, labels, weights), normalization="batch", steps=5)
    moving, batch = run.logits(x), run.logits(x, statistics="batch")
    assert np.abs(moving - batch).max() > 0.1  # 0.99^5: the averages have hardly left the start
    np.testing.assert_allclose(run.logits(x[[3]]), moving[[3]], rtol=1e-12)
    assert np.abs(run.logits(x[:20], statistics="batch") - batch[:20]).max() > 1e-3
    settled = trained((x, labels, weights), normalization="batch", steps=5, norm_momentum=0.0)
    np.testing.assert_array_equal(settled.losses, run.losses)  # they take no part in training
    layer = trained((x, labels, weights), normalization="layer", steps=5)
    np.testing.assert_array_equal(layer.logits(x), layer.logits(x, statistics="batch"))


def test_a_relu_branch_whose_scale_starts_at_0_never_begins_and_a_tanh_branch_does():
    x, labels, weights = square_problem()
    options = {"normalization": "batch", "skip": 1.0, "norm_scale": 0.0, "steps": 20}
    dead = trained((x, labels, weights), "relu", **options)
    np.testing.assert_array_equal(np.array(dead.scales), 0)
    np.testing.assert_array_equal(dead.movement[:-1], 0)
    alive = trained((x, labels, [W[:, :5] for W in weights]), "tanh", **options)
    assert np.abs(np.array(alive.scales[1:])).max() > 1e-3
    assert alive.movement[1] > 1e-4


def test_divergence_with_every_part_is_reported_without_warnings():
    import warnings

    x, labels, weights = square_problem()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for optimizer in (None, Adam, RMSProp):
            run = trained(
                (x, labels, [1e100 * W for W in weights]), "relu",
                normalization="layer", skip=1e300, optimizer=optimizer, steps=50,
                learning_rate=1e200,
            )  # fmt: skip
            assert run.diverged
            assert run.accuracy(x, labels) == np.mean(labels == 0)  # NaN logits: always class 0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"normalization": "group"}, "`normalization` is 'group'; it takes one of None, batch"),
        ({"normalization": True}, "`normalization`"),
        ({"skip": "yes"}, "`skip` is 'yes'"),
        ({"skip": float("nan")}, "`skip`"),
        ({"skip": True}, "`skip`"),
        ({"optimizer": "adam"}, "`optimizer` is 'adam'; it takes a class such as `Adam`"),
        ({"optimizer": Adam(0.1)}, "`optimizer` is an Adam; it takes a class"),
        ({"optimizer": lambda learning_rate: None}, "`optimizer` is a maker of None"),
        ({"optimizer": Adam, "momentum": 0.5}, "`momentum` is 0.5, which an optimiser"),
        ({"norm_scale": float("inf")}, "`norm_scale`"),
        ({"norm_epsilon": 0}, "`norm_epsilon`"),
        ({"norm_momentum": 1.5}, "`norm_momentum`"),
        ({"normalization": "batch", "batch_size": 1}, "`batch_size` is 1; batch norm takes 2"),
        (
            {"normalization": "layer", "weights": [np.ones((6, 1)), np.ones((1, 3))]},
            r"`weights\[0\]` has shape \(6, 1\); layer norm compares",
        ),
    ],
)
def test_bad_norms_skips_and_optimizers_are_refused_in_one_sentence(change, sentence):
    refuses(square_problem(), change, sentence)


@pytest.mark.parametrize(
    ("arguments", "options", "sentence"),
    [
        ((np.ones((4, 5)), np.zeros(4, int)), {}, r"`x` has shape \(4, 5\); it takes a matrix"),
        ((np.ones(6), np.zeros(1, int)), {}, "`x`"),
        ((np.full((4, 6), np.nan), np.zeros(4, int)), {}, "`x`"),
        ((np.ones((4, 6)), np.zeros(3, int)), {}, "`labels`"),
        ((np.ones((4, 6)), np.zeros(4, int)), {"statistics": "own"}, "`statistics` is 'own'"),
        ((np.ones((1, 6)), np.zeros(1, int)), {"statistics": "batch"}, "batch norm takes 2"),
    ],
)
def test_accuracy_refuses_in_one_sentence(arguments, options, sentence):
    run = trained(square_problem(), normalization="batch")
    with pytest.raises((ValueError, TypeError), match=sentence):
        run.accuracy(*arguments, **options)


def test_training_on_digits_and_its_table_pass_everything_on():
    options = {
        "depth": 2, "units": 8, "steps": 20, "normalization": "batch", "skip": 0.5,
        "optimizer": Adam,
    }  # fmt: skip
    run = train_on_digits("relu", lambda n: n**-0.5, seed=4, learning_rate=0.01, **options)
    assert run.form.skip == 0.5
    assert len(run.averages) == 2
    x, labels, _, _ = load_digits(dtype="float64")
    for statistics in ("moving", "batch"):
        table = accuracy_by_rate(
            "relu", lambda n: n**-0.5, rates=[0.01], seeds=[4], statistics=statistics, **options
        )
        assert table[0, 0] == run.accuracy(x, labels, statistics=statistics)
    with pytest.raises(ValueError, match="`statistics`"):
        accuracy_by_rate("tanh", 0.1, rates=[0.1], seeds=[1], statistics="own", steps=1)


@EVERY_FORM
def test_gradient_pass_follows_the_loss_of_the_trained_network(normalization, skip):
    x, labels, weights = square_problem()
    run = trained((x, labels, weights), "tanh", normalization=normalization, skip=skip, steps=5)

    def loss(parts):
        return softmax_cross_entropy(run.logits(parts[0], statistics="batch"), labels)[0]

    activations, norms = run.gradient_pass(x, labels)
    by_input = central_differences(loss, [x])[0]
    assert norms[0] == pytest.approx(np.linalg.norm(by_input), rel=1e-6)
    _, d_logits = softmax_cross_entropy(run.logits(x, statistics="batch"), labels)
    assert norms[-1] == pytest.approx(np.linalg.norm(d_logits @ run.weights[-1].T), rel=1e-12)
    assert len(activations) == len(norms) == len(weights)
    top = activations[-1] @ run.weights[-1] + run.biases[-1]
    np.testing.assert_array_equal(top, run.logits(x, statistics="batch"))


def test_gradient_pass_of_a_run_that_diverged_is_no_number():
    x, labels, weights = square_problem()
    run = trained((1e150 * x, labels, [1e150 * W for W in weights]), "relu", steps=3)
    assert run.diverged
    assert np.isnan(run.gradient_pass(1e150 * x, labels)[1]).all()


def test_gradient_pass_refuses_in_one_sentence():
    x, labels, weights = square_problem()
    run = trained((x, labels, weights), "tanh", normalization="batch")
    with pytest.raises(ValueError, match=r"`x` has shape \(2, 1\); it takes a matrix"):
        run.gradient_pass(np.ones((2, 1)), labels[:2])
    with pytest.raises(ValueError, match="`labels`"):
        run.gradient_pass(x, labels[:3])
    with pytest.raises(ValueError, match="batch norm takes 2 samples or more"):
        run.gradient_pass(x[:1], labels[:1])


def test_a_gradient_whose_squares_underflow_is_no_0():
    x, labels = np.ones((3, 2)), np.array([0, 1, 0])
    weights = [*[1e-60 * np.eye(2)] * 4, np.eye(2)]
    rng = np.random.default_rng(1)
    run = train_stack(x, labels, weights, "linear", learning_rate=1e-300, rng=rng, steps=1)
    _, norms = run.gradient_pass(x, labels)
    np.testing.assert_allclose(norms[:-1] / norms[1:], 1e-60, rtol=1e-6)
