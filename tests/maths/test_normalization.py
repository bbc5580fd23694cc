"""Batch norm and layer norm = tape = central differences = Keras, in training and afterwards."""

import numpy as np
import pytest

from course_lib.maths.normalization import (
    MovingAverages,
    NormGradients,
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    layer_norm,
    layer_norm_backward,
)

BOTH = {"batch": (batch_norm, batch_norm_backward), "layer": (layer_norm, layer_norm_backward)}
SHAPES = [("batch", (6, 4)), ("batch", (2, 3)), ("layer", (6, 4)), ("layer", (1, 2))]
SHAPES += [("layer", (5,)), ("layer", (3, 5, 4)), ("layer", (2, 3, 2, 4))]
EVERY_SHAPE = pytest.mark.parametrize(("kind", "shape"), SHAPES)


def problem(shape, seed=31):
    """Input (not centred, columns of different size), scale, offset and upstream gradient."""
    rng = np.random.default_rng(seed)
    units = shape[-1]
    x = 3 + rng.standard_normal(shape) * np.arange(1, units + 1)
    scale, offset = rng.uniform(0.5, 2, units), rng.standard_normal(units)
    return x, scale, offset, rng.standard_normal(shape)


def averaged_axis(kind):
    return 0 if kind == "batch" else -1


@EVERY_SHAPE
def test_the_forward_pass_is_the_equations(kind, shape):
    x, scale, offset, _ = problem(shape)
    axis = averaged_axis(kind)
    y, trace = BOTH[kind][0](x, scale, offset, epsilon=0.1)
    mean, variance = x.mean(axis, keepdims=True), x.var(axis, keepdims=True)
    x_hat = (x - mean) / np.sqrt(variance + 0.1)
    np.testing.assert_allclose(y, scale * x_hat + offset, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(trace.normalized, x_hat, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(trace.mean, np.squeeze(mean, 0) if axis == 0 else mean, rtol=1e-14)
    assert trace.count == x.shape[axis]
    assert trace.mean.shape == trace.variance.shape == trace.inverse_stddev.shape


@EVERY_SHAPE
def test_the_gradients_are_central_differences(kind, shape, central_differences, largest_error):
    """ε = 0.1: with less, two numbers get so little gradient that rounding is all one sees."""
    x, scale, offset, d_y = problem(shape)
    forward, backward = BOTH[kind]
    own = backward(forward(x, scale, offset, epsilon=0.1)[1], d_y)
    reference = central_differences(
        lambda: float(np.sum(forward(x, scale, offset, epsilon=0.1)[0] * d_y)), [x, scale, offset]
    )
    assert own.inputs.shape == x.shape
    assert largest_error([own.inputs, own.scale, own.offset], reference) < 1e-8


def _faulty_backward(trace, d_y, fault):
    """Return (6) to (8) with one classic mistake in them; with `fault` None there is none."""
    axis, x_hat = trace.axis, trace.normalized
    g = d_y if fault == "scale forgotten" else trace.scale * d_y
    g_mean = g.mean(axis, keepdims=True)
    along_x_hat = (g * x_hat).mean(axis, keepdims=True) * x_hat
    if fault == "mean held fixed":
        g_mean = 0
    if fault == "variance held fixed":
        along_x_hat = 0
    if fault == "sum instead of mean":
        g_mean = g.sum(axis, keepdims=True)
    d_x = (g - g_mean - along_x_hat) * trace.inverse_stddev
    if fault == "divided by the variance":
        d_x *= trace.inverse_stddev
    samples = tuple(range(d_y.ndim - 1))
    d_scale = d_y.sum(samples) if fault == "x̂ forgotten" else (d_y * x_hat).sum(samples)
    d_offset = d_y.mean(samples) if fault == "mean over the batch" else d_y.sum(samples)
    return NormGradients(d_x, d_scale, d_offset)


@pytest.mark.parametrize(
    "fault",
    [
        None,
        "scale forgotten",
        "mean held fixed",
        "variance held fixed",
        "sum instead of mean",
        "divided by the variance",
        "x̂ forgotten",
        "mean over the batch",
    ],
)
@pytest.mark.parametrize("kind", BOTH)
def test_the_comparison_notices_a_faulty_backward_pass(
    kind, fault, central_differences, largest_error
):
    x, scale, offset, d_y = problem((6, 4))
    forward, _ = BOTH[kind]
    wrong = _faulty_backward(forward(x, scale, offset)[1], d_y, fault)
    reference = central_differences(
        lambda: float(np.sum(forward(x, scale, offset)[0] * d_y)), [x, scale, offset]
    )
    error = largest_error([wrong.inputs, wrong.scale, wrong.offset], reference)
    assert error < 1e-8 if fault is None else error > 1e-2


@EVERY_SHAPE
def test_no_gradient_goes_where_the_norm_takes_the_signal_away(kind, shape):
    """Σ ∂𝓛/∂x = 0 for any ε; Σ ∂𝓛/∂x · x̂ is Σ g · x̂ times ε/(v + ε), over the spread."""
    x, scale, offset, d_y = problem(shape)
    axis = averaged_axis(kind)
    for epsilon in (0.0, 1e-3, 1.0):
        _, trace = BOTH[kind][0](x, scale, offset, epsilon=epsilon)
        d_x = BOTH[kind][1](trace, d_y).inputs
        np.testing.assert_allclose(d_x.sum(axis), 0, atol=1e-13)
        along_x_hat = (scale * d_y * trace.normalized).sum(axis, keepdims=True)
        left = along_x_hat * epsilon / (trace.variance + epsilon) * trace.inverse_stddev
        found = (d_x * trace.normalized).sum(axis, keepdims=True)
        np.testing.assert_allclose(found, left, atol=1e-13)
        assert epsilon == 0 or np.abs(found).max() > 1e-6  # ε is what is left over


@EVERY_SHAPE
def test_what_comes_out_is_standardized(kind, shape):
    x, _, _, _ = problem(shape)
    axis = averaged_axis(kind)
    y, trace = BOTH[kind][0](x, epsilon=0.1)
    np.testing.assert_allclose(y.mean(axis), 0, atol=1e-14)
    variance = np.squeeze(trace.variance, axis) if axis == -1 else trace.variance
    np.testing.assert_allclose(y.var(axis), variance / (variance + 0.1), rtol=1e-12)


@EVERY_SHAPE
def test_scale_and_shift_of_the_input_do_not_matter(kind, shape):
    """norm(c x + k) = norm(x), and its gradient by x is 1/c of it: a steeper slope, less of it."""
    x, scale, offset, d_y = problem(shape)
    forward, backward = BOTH[kind]
    y, trace = forward(x, scale, offset, epsilon=0)
    y_scaled, trace_scaled = forward(7 * x - 5, scale, offset, epsilon=0)
    np.testing.assert_allclose(y_scaled, y, rtol=1e-11, atol=1e-13)
    own, scaled = backward(trace, d_y), backward(trace_scaled, d_y)
    np.testing.assert_allclose(scaled.inputs, own.inputs / 7, rtol=1e-9, atol=1e-13)
    y_turned, _ = forward(-x, epsilon=0)
    np.testing.assert_allclose(y_turned, -forward(x, epsilon=0)[0], rtol=1e-11, atol=1e-13)


def test_weights_before_a_batch_norm_have_no_gradient_along_themselves():
    """BN(x (cW)) = BN(x W), so ⟨∂𝓛/∂W, W⟩ = 0 column by column (Ioffe & Szegedy 2015, 3.3)."""
    rng = np.random.default_rng(32)
    x, W, d_y = (
        rng.standard_normal((9, 5)),
        rng.standard_normal((5, 4)),
        rng.standard_normal((9, 4)),
    )
    _, trace = batch_norm(x @ W, epsilon=0)
    d_W = x.T @ batch_norm_backward(trace, d_y).inputs
    np.testing.assert_allclose((d_W * W).sum(axis=0), 0, atol=1e-13)
    assert np.abs(d_W).max() > 0.1
    _, trace = batch_norm(x @ (3 * W), epsilon=0)
    d_3W = x.T @ batch_norm_backward(trace, d_y).inputs
    np.testing.assert_allclose(d_3W, d_W / 3, rtol=1e-10, atol=1e-14)


def test_the_gradient_is_shorter_by_what_is_taken_out():
    """‖∂𝓛/∂x‖² = (scale/s)² (‖d_y‖² − ⟨1, d_y⟩²/N − ⟨x̂, d_y⟩²/N): Santurkar et al. 2018, thm 4.1.

    There it is a bound, for any loss; with the same d_y on both sides it is an equality.
    """
    x, scale, offset, d_y = problem((12, 4))
    _, trace = batch_norm(x, scale, offset, epsilon=0)
    own = (batch_norm_backward(trace, d_y).inputs ** 2).sum(axis=0)
    left = (d_y**2).sum(axis=0) - d_y.sum(axis=0) ** 2 / 12
    left -= (trace.normalized * d_y).sum(axis=0) ** 2 / 12
    np.testing.assert_allclose(own, (scale * trace.inverse_stddev) ** 2 * left, rtol=1e-11)


def test_layer_norm_treats_every_sample_alone_and_batch_norm_does_not():
    x, scale, offset, d_y = problem((6, 4))
    y, trace = layer_norm(x, scale, offset)
    d_x = layer_norm_backward(trace, d_y).inputs
    for i in range(6):
        y_i, trace_i = layer_norm(x[i], scale, offset)
        np.testing.assert_allclose(y[i], y_i, rtol=1e-13)
        np.testing.assert_allclose(
            d_x[i], layer_norm_backward(trace_i, d_y[i]).inputs, rtol=1e-11, atol=1e-14
        )
    changed = x.copy()
    changed[0] += 10
    assert np.abs(layer_norm(changed)[0][1:] - layer_norm(x)[0][1:]).max() == 0
    assert np.abs(batch_norm(changed)[0][1:] - batch_norm(x)[0][1:]).max() > 0.1


def test_layer_norm_is_batch_norm_of_the_transposed_matrix():
    x, _, _, d_y = problem((6, 4))
    y, trace = layer_norm(x)
    y_T, trace_T = batch_norm(x.T)
    np.testing.assert_allclose(y, y_T.T, rtol=1e-13)
    d_x, d_x_T = layer_norm_backward(trace, d_y), batch_norm_backward(trace_T, d_y.T)
    np.testing.assert_allclose(d_x.inputs, d_x_T.inputs.T, rtol=1e-12, atol=1e-14)


def test_a_batch_of_two_knows_only_who_is_larger():
    """x̂ = ±1 whatever the two numbers were, so nothing comes back (ε = 0)."""
    x, _, _, d_y = problem((2, 3))
    y, trace = batch_norm(x, epsilon=0)
    np.testing.assert_allclose(y[0], np.sign(x[0] - x[1]), rtol=1e-12)
    np.testing.assert_allclose(batch_norm_backward(trace, d_y).inputs, 0, atol=1e-13)


def test_epsilon_is_what_a_small_input_meets():
    """Layer norm of ±0.01 is ±0.3015 with Keras's ε = 1e-3, not ±1."""
    y, _ = layer_norm([-0.01, 0.01])
    np.testing.assert_allclose(y, [-0.01 / np.sqrt(1.1e-3), 0.01 / np.sqrt(1.1e-3)], rtol=1e-12)
    assert y[1] == pytest.approx(0.3015, abs=1e-4)
    constant, _ = batch_norm(np.full((4, 2), 3.0), offset=[1.0, -1.0])
    np.testing.assert_array_equal(constant, [[1.0, -1.0]] * 4)


def test_nothing_that_is_passed_in_is_changed():
    x, scale, offset, d_y = problem((6, 4))
    copies = [array.copy() for array in (x, scale, offset, d_y)]
    for forward, backward in BOTH.values():
        _, trace = forward(x, scale, offset)
        backward(trace, d_y)
    averages = MovingAverages(4)
    averages.update(batch_norm(x)[1])
    batch_norm_inference(x, averages, scale, offset)
    for array, copy in zip((x, scale, offset, d_y), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_moving_averages_are_geometric():
    """m_k = momentum^k m_0 + (1 − momentum) Σ momentum^(k−j) μ_j, by hand for three batches."""
    batches = [problem((5, 3), seed)[0] for seed in (1, 2, 3)]
    averages = MovingAverages(3, momentum=0.8)
    np.testing.assert_array_equal(averages.mean, np.zeros(3))
    np.testing.assert_array_equal(averages.variance, np.ones(3))
    for x in batches:
        averages.update(batch_norm(x)[1])
    weights = 0.2 * 0.8 ** np.array([2, 1, 0])
    means, variances = (np.array([f(x, axis=0) for x in batches]) for f in (np.mean, np.var))
    np.testing.assert_allclose(averages.mean, weights @ means, rtol=1e-13)
    np.testing.assert_allclose(averages.variance, 0.8**3 + weights @ variances, rtol=1e-13)
    assert averages.units == 3


def test_the_unbiased_variance_is_larger_by_bessels_factor():
    x, _, _, _ = problem((5, 3))
    biased, unbiased = MovingAverages(3, 0.0), MovingAverages(3, 0.0, unbiased=True)
    for averages in (biased, unbiased):
        averages.update(batch_norm(x)[1])
    np.testing.assert_allclose(biased.variance, x.var(axis=0), rtol=1e-13)
    np.testing.assert_allclose(unbiased.variance, x.var(axis=0, ddof=1), rtol=1e-13)


def test_momentum_1_never_moves_and_0_forgets_all():
    x, _, _, _ = problem((5, 3))
    fixed, forgetful = MovingAverages(3, momentum=1), MovingAverages(3, momentum=0)
    for averages in (fixed, forgetful):
        averages.update(batch_norm(x + 100)[1])
        averages.update(batch_norm(x)[1])
    np.testing.assert_array_equal(fixed.mean, np.zeros(3))
    np.testing.assert_allclose(forgetful.mean, x.mean(axis=0), rtol=1e-13)


def test_inference_is_linear_and_treats_every_sample_alone():
    x, scale, offset, _ = problem((6, 4))
    averages = MovingAverages(4, momentum=0)
    y, trace = batch_norm(x, scale, offset)
    averages.update(trace)
    np.testing.assert_allclose(batch_norm_inference(x, averages, scale, offset), y, rtol=1e-12)
    alone = [batch_norm_inference(x[[i]], averages, scale, offset) for i in range(6)]
    np.testing.assert_allclose(np.concatenate(alone), y, rtol=1e-12)
    middle = batch_norm_inference(x[[0]] / 2 + x[[1]] / 2, averages, scale, offset)
    np.testing.assert_allclose(middle, (alone[0] + alone[1]) / 2, rtol=1e-12)


def test_results_print_in_one_line():
    x, _, _, d_y = problem((6, 4))
    _, trace = batch_norm(x)
    printed = [repr(trace), repr(batch_norm_backward(trace, d_y)), repr(MovingAverages(4))]
    printed.append(repr(layer_norm(x)[1]))
    assert "batch norm" in printed[0]
    assert "layer norm" in printed[-1]
    for text in printed:
        assert len(text) < 100
        assert "array(" not in text


# --- TensorFlow and Keras -----------------------------------------------------------------------


def keras_layer(keras, kind, scale, offset, **options):
    """Return Keras's layer with this scale and offset, built for as many units, in float64."""
    maker = {
        "batch": keras.layers.BatchNormalization,
        "layer": keras.layers.LayerNormalization,
    }[kind]
    layer = maker(dtype="float64", **options)
    layer.build((None, len(scale)))
    layer.gamma.assign(scale)
    layer.beta.assign(offset)
    return layer


@pytest.mark.tensorflow
@EVERY_SHAPE
def test_gradients_are_those_of_the_tape(kind, shape, tf, largest_error):
    x, scale, offset, d_y = problem(shape)
    tensors = [tf.Variable(array) for array in (x, scale, offset)]
    axis = averaged_axis(kind)
    with tf.GradientTape() as tape:
        mean = tf.reduce_mean(tensors[0], axis, keepdims=True)
        variance = tf.reduce_mean((tensors[0] - mean) ** 2, axis, keepdims=True)
        x_hat = (tensors[0] - mean) / tf.sqrt(variance + 1e-3)
        loss = tf.reduce_sum((tensors[1] * x_hat + tensors[2]) * d_y)
    theirs = [g.numpy() for g in tape.gradient(loss, tensors)]
    forward, backward = BOTH[kind]
    own = backward(forward(x, scale, offset)[1], d_y)
    assert largest_error([own.inputs, own.scale, own.offset], theirs) < 1e-11


@pytest.mark.tensorflow
@pytest.mark.parametrize("epsilon", [1e-3, 1e-5])
@pytest.mark.parametrize(("kind", "shape"), [("batch", (6, 4)), ("layer", (6, 4))])
def test_keras_layers_give_the_same_outputs_and_gradients(
    kind, shape, epsilon, tf, keras, largest_error
):
    x, scale, offset, d_y = problem(shape)
    layer = keras_layer(keras, kind, scale, offset, epsilon=epsilon)
    options = {"training": True} if kind == "batch" else {}
    tensor = tf.Variable(x)
    with tf.GradientTape() as tape:
        theirs = layer(tensor, **options)
        loss = tf.reduce_sum(theirs * d_y)
    gradients = tape.gradient(loss, [tensor, layer.gamma.value, layer.beta.value])
    forward, backward = BOTH[kind]
    y, trace = forward(x, scale, offset, epsilon=epsilon)
    own = backward(trace, d_y)
    np.testing.assert_allclose(y, theirs.numpy(), rtol=1e-11, atol=1e-13)
    assert largest_error([own.inputs, own.scale, own.offset], [g.numpy() for g in gradients]) < 1e-9


@pytest.mark.tensorflow
def test_layer_norm_of_a_sequence_is_that_of_keras(keras):
    x, scale, offset, _ = problem((3, 5, 4))
    theirs = keras_layer(keras, "layer", scale, offset)(x).numpy()
    np.testing.assert_allclose(layer_norm(x, scale, offset)[0], theirs, rtol=1e-11, atol=1e-13)


@pytest.mark.tensorflow
def test_keras_epsilons_and_momentum_are_our_defaults(keras):
    batch, layer = keras.layers.BatchNormalization(), keras.layers.LayerNormalization()
    assert batch.epsilon == layer.epsilon == batch_norm.__kwdefaults__["epsilon"]
    assert layer_norm.__kwdefaults__ == batch_norm_inference.__kwdefaults__ == {"epsilon": 1e-3}
    assert batch.momentum == MovingAverages(1).momentum


@pytest.mark.tensorflow
def test_moving_averages_and_inference_are_those_of_keras(keras):
    """After each of five updates: the averages, and what they make of another batch."""
    x, scale, offset, _ = problem((7, 4))
    layer = keras_layer(keras, "batch", scale, offset, momentum=0.9)
    averages = MovingAverages(4, momentum=0.9)
    for seed in range(5):
        batch = problem((6, 4), seed)[0]
        theirs = layer(batch, training=True).numpy()
        y, trace = batch_norm(batch, scale, offset)
        averages.update(trace)
        np.testing.assert_allclose(y, theirs, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(averages.mean, layer.moving_mean.numpy(), rtol=1e-12)
        np.testing.assert_allclose(averages.variance, layer.moving_variance.numpy(), rtol=1e-12)
        np.testing.assert_allclose(
            batch_norm_inference(x, averages, scale, offset),
            layer(x, training=False).numpy(),
            rtol=1e-11,
            atol=1e-13,
        )


@pytest.mark.tensorflow
def test_keras_averages_the_biased_variance(keras):
    """Negative control: PyTorch's convention is 20 % off for a batch of six, and noticed."""
    x, scale, offset, _ = problem((6, 4))
    layer = keras_layer(keras, "batch", scale, offset, momentum=0.0)
    layer(x, training=True)
    averages = MovingAverages(4, 0.0, unbiased=True)
    averages.update(batch_norm(x)[1])
    np.testing.assert_allclose(averages.variance, 6 / 5 * layer.moving_variance.numpy(), rtol=1e-12)


@pytest.mark.parametrize("value", [1.0, 0.1, 1.1])
def test_without_epsilon_numbers_that_are_all_alike_are_refused(value):
    for forward, shape in ((batch_norm, (6, 2)), (layer_norm, (2, 6))):
        with pytest.raises(ValueError, match="`epsilon` is 0; where numbers are all alike it take"):
            forward(np.full(shape, value), epsilon=0)
