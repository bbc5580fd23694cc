"""Stacks that normalise and skip: own backward pass = central differences = tape; known cases."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest

from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.normalization import MovingAverages, batch_norm_inference
from course_lib.maths.propagation import (
    _own_generator,
    deep_stack,
    deep_stack_backward,
    factor_per_layer,
    make_stack,
)
from course_lib.maths.stacks import Layer, StackForm, backward, forward, make_layers, stack_pass

WIDTHS = (5, 7, 7, 7, 3)  # two layers that can skip between two that cannot
NORMS, SKIPS = (None, "batch", "layer"), (None, 1.0, 0.3)
EVERY_FORM = pytest.mark.parametrize(
    ("normalization", "skip"), [(norm, skip) for norm in NORMS for skip in SKIPS]
)


def problem(form, seed=51, widths=WIDTHS):
    """Layers with all their parameters drawn, an input, and a gradient at the top."""
    rng = np.random.default_rng(seed)
    layers = []
    for n, m in pairwise(widths):
        norm = (rng.uniform(0.5, 2, m), rng.standard_normal(m)) if form.normalization else ()
        layers.append(Layer(rng.standard_normal((n, m)) * 0.7, rng.standard_normal(m) * 0.3, *norm))
    x, d_output = rng.standard_normal((6, widths[0])), rng.standard_normal((6, widths[-1]))
    return x, layers, d_output


def form_of(normalization, skip, activation="tanh"):
    return StackForm(ACTIVATIONS[activation], normalization, skip)


def arrays_of(layers):
    return [array for layer in layers for array in layer if array is not None]


def written_out(x, layers, form):
    """Return every h_l by the equations, in NumPy without `stacks` and `normalization`."""
    h = [x]
    for layer in layers:
        u = np.einsum("bi,io->bo", h[-1], layer.weights) + layer.bias
        if form.normalization is not None:
            axis = 0 if form.normalization == "batch" else 1
            u = (u - u.mean(axis, keepdims=True)) / np.sqrt(u.var(axis, keepdims=True) + 1e-3)
            u = layer.scale * u + layer.offset
        branch = form.activation.function(u)
        skips = form.skip is not None and h[-1].shape == branch.shape
        h.append(h[-1] + form.skip * branch if skips else branch)
    return h


@EVERY_FORM
@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_the_forward_pass_is_the_equations(normalization, skip, name):
    form = form_of(normalization, skip, name)
    x, layers, _ = problem(form)
    expected = written_out(x, layers, form)
    traces = forward(x, layers, form)
    assert len(traces) == len(layers)
    for layer, trace in enumerate(traces):
        np.testing.assert_allclose(trace.inputs, expected[layer], rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(trace.output, expected[layer + 1], rtol=1e-11, atol=1e-13)


@EVERY_FORM
@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_the_gradients_are_central_differences(
    normalization, skip, name, central_differences, largest_error
):
    form = form_of(normalization, skip, name)
    x, layers, d_output = problem(form)
    deltas, gradients = backward(forward(x, layers, form), layers, form, d_output)
    own, parameters = [deltas[0], *arrays_of(gradients)], [x, *arrays_of(layers)]
    reference = central_differences(
        lambda: float(np.sum(written_out(x, layers, form)[-1] * d_output)), parameters
    )
    assert [g.shape for g in own] == [p.shape for p in parameters]
    scale = max(np.linalg.norm(g) for g in reference)
    for ours, theirs in zip(own, reference, strict=True):
        # A bias before batch norm has gradient 0, so errors are compared with the largest norm.
        assert np.linalg.norm(ours - theirs) < 1e-8 * scale


@EVERY_FORM
@pytest.mark.parametrize("layer", range(len(WIDTHS)))
def test_every_layers_gradient_is_that_of_the_stack_above_it(
    normalization, skip, layer, central_differences, largest_error
):
    form = form_of(normalization, skip)
    x, layers, d_output = problem(form)
    deltas, _ = backward(forward(x, layers, form), layers, form, d_output)
    h = written_out(x, layers, form)[layer].copy()
    reference = central_differences(
        lambda: float(np.sum(written_out(h, layers[layer:], form)[-1] * d_output)), [h]
    )
    assert largest_error([deltas[layer]], reference) < 1e-8


@pytest.mark.parametrize(
    "fault",
    [None, "skip forgotten", "s forgotten", "s on the skip too", "norm forgotten", "norm after φ"],
)
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_the_comparison_notices_a_faulty_backward_pass(
    normalization, fault, central_differences, largest_error
):
    """Negative controls: four square layers with skips, the classic mistakes one at a time."""
    from course_lib.maths.normalization import normalize_backward

    form = form_of(normalization, 0.3)
    x, layers, d_output = problem(form, widths=(4, 4, 4, 4, 4))
    d_h = d_output
    for layer, trace in zip(reversed(layers), reversed(forward(x, layers, form)), strict=True):
        slope = form.activation.derivative(trace.normalized)
        d_a = d_h * slope * (1 if fault == "s forgotten" else 0.3)
        if fault == "norm after φ":
            d_a = normalize_backward(trace.norm, 0.3 * d_h).inputs * slope
        elif fault != "norm forgotten":
            d_a = normalize_backward(trace.norm, d_a).inputs
        through = {"skip forgotten": 0, "s on the skip too": 0.3}.get(fault, 1) * d_h
        d_h = d_a @ layer.weights.T + through
    reference = central_differences(
        lambda: float(np.sum(written_out(x, layers, form)[-1] * d_output)), [x]
    )
    error = largest_error([d_h], reference)
    assert error < 1e-8 if fault is None else error > 1e-2


# --- stack_pass ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_plain_pass_is_the_deep_stack(name):
    rng = np.random.default_rng(52)
    weights = [rng.standard_normal(shape) for shape in pairwise(WIDTHS)]
    x, d_output = rng.standard_normal((6, 5)), rng.standard_normal((6, 3))
    activations, norms = stack_pass(x, weights, name, d_output=d_output)
    trace = deep_stack(x, weights, name)
    for own, theirs in zip(activations, trace.activations, strict=True):
        np.testing.assert_array_equal(own, theirs)
    np.testing.assert_allclose(norms, deep_stack_backward(trace, d_output), rtol=1e-14)


@EVERY_FORM
def test_a_pass_is_forward_and_backward_at_the_start(normalization, skip):
    rng = np.random.default_rng(53)
    weights = [rng.standard_normal(shape) for shape in pairwise(WIDTHS)]
    x = rng.standard_normal((6, 5))
    form = form_of(normalization, skip)
    layers = make_layers(weights, form, 0.5)
    for layer in layers:
        assert not layer.bias.any()
        assert normalization is None or (layer.scale == 0.5).all()
        assert normalization is None or not layer.offset.any()
    d_output = _own_generator(9).standard_normal((6, 3))
    deltas, _ = backward(forward(x, layers, form), layers, form, d_output)
    options = {"normalization": normalization, "skip": skip, "norm_scale": 0.5}
    activations, norms = stack_pass(x, weights, "tanh", **options, seed=9)
    np.testing.assert_allclose(norms, [np.linalg.norm(delta) for delta in deltas], rtol=1e-13)
    np.testing.assert_allclose(activations[-1], written_out(x, layers, form)[-1], rtol=1e-11)
    _, given = stack_pass(x, weights, "tanh", **options, d_output=d_output)
    np.testing.assert_array_equal(given, norms)


@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_a_branch_that_starts_at_0_passes_the_whole_gradient(normalization):
    """h_l = h_{l−1} exactly, forward; and each W, which nothing moves yet, gets no gradient."""
    rng = np.random.default_rng(54)
    weights = make_stack(50, 16, "normal", rng, stddev=1.0)
    activations, norms = stack_pass(
        rng.standard_normal((8, 16)), weights, "tanh",
        normalization=normalization, skip=1.0, norm_scale=0.0,
    )  # fmt: skip
    for h in activations:
        np.testing.assert_array_equal(h, activations[0])
    np.testing.assert_array_equal(norms, norms[-1])


def test_a_skip_of_weight_0_is_the_identity_wherever_the_widths_agree():
    rng = np.random.default_rng(55)
    weights = [rng.standard_normal(shape) for shape in pairwise((5, 7, 7, 7))]
    activations, norms = stack_pass(rng.standard_normal((6, 5)), weights, "relu", skip=0.0)
    np.testing.assert_array_equal(activations[-1], activations[1])
    assert norms[1] == norms[-1]


def test_a_layer_that_changes_the_width_has_no_skip():
    rng = np.random.default_rng(56)
    weights = [rng.standard_normal(shape) for shape in ((5, 7), (7, 6), (6, 3))]
    x = rng.standard_normal((6, 5))
    plain, skipping = stack_pass(x, weights, "tanh"), stack_pass(x, weights, "tanh", skip=1.0)
    np.testing.assert_array_equal(skipping[0][-1], plain[0][-1])
    np.testing.assert_array_equal(skipping[1], plain[1])


@pytest.mark.parametrize("initializer", ["he_normal", "glorot_normal", "orthogonal"])
def test_deep_batch_norm_makes_a_relu_gradient_explode_by_1_21_a_layer(initializer):
    """√(π/(π − 1)) per layer whatever the weights' scale (Yang et al. 2019), approached slowly."""
    theory = math.sqrt(math.pi / (math.pi - 1))
    rng = np.random.default_rng(57)
    weights = make_stack(100, 128, initializer, rng)
    x = rng.standard_normal((128, 128))
    _, norms = stack_pass(x, weights, "relu", normalization="batch")
    assert 1.15 < factor_per_layer(norms) < theory * 1.01
    assert factor_per_layer(norms[:51]) == pytest.approx(theory, rel=0.03)
    _, plain = stack_pass(x, weights, "relu")
    assert factor_per_layer(plain) < 1.1


def test_the_scale_of_the_weights_does_not_matter_to_a_stack_with_a_norm():
    """Up to ε. Ten layers only: a hundred would enlarge the last bit 10¹⁰ times, like anything."""
    rng = np.random.default_rng(60)
    weights = make_stack(10, 32, "he_normal", rng)
    x = rng.standard_normal((16, 32))
    for normalization in ("batch", "layer"):
        options = {"normalization": normalization, "norm_epsilon": 1e-13}
        once, louder = (stack_pass(x, [c * W for W in weights], "relu", **options) for c in (1, 5))
        np.testing.assert_allclose(louder[0][-1], once[0][-1], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(louder[1], once[1], rtol=1e-8)


def test_a_pass_that_overflows_has_no_gradient_and_warns_of_nothing():
    weights = [np.full((3, 3), 1e200)] * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        activations, norms = stack_pass(np.ones((2, 3)), weights, "relu", skip=1.0)
    assert not np.isfinite(activations[-1]).all()
    assert np.isnan(norms).all()


def test_nothing_that_is_passed_in_is_changed():
    rng = np.random.default_rng(58)
    weights, x = [rng.standard_normal((4, 4)) for _ in range(3)], rng.standard_normal((5, 4))
    copies = [W.copy() for W in [*weights, x]]
    stack_pass(x, weights, "tanh", normalization="batch", skip=0.3)
    for array, copy in zip([*weights, x], copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_after_training_batch_norm_uses_its_averages():
    form = form_of("batch", 0.3)
    x, layers, _ = problem(form)
    rng = np.random.default_rng(59)
    averages = [MovingAverages(len(layer.bias)) for layer in layers]
    for average in averages:
        average.mean, average.variance = rng.standard_normal((2, average.units)) ** 2
    traces = forward(x, layers, form, averages)
    for trace, layer, average in zip(traces, layers, averages, strict=True):
        a = trace.inputs @ layer.weights + layer.bias
        u = batch_norm_inference(a, average, layer.scale, layer.offset)
        np.testing.assert_allclose(trace.normalized, u, rtol=1e-13)
    alone = forward(x[[2]], layers, form, averages)[-1].output
    np.testing.assert_allclose(alone, traces[-1].output[[2]], rtol=1e-12)


# --- TensorFlow and Keras -----------------------------------------------------------------------


@pytest.mark.tensorflow
@EVERY_FORM
def test_gradients_are_those_of_the_tape(normalization, skip, tf):
    form = form_of(normalization, skip)
    x, layers, d_output = problem(form)
    tensors = [tf.Variable(array) for array in [x, *arrays_of(layers)]]
    with tf.GradientTape() as tape:
        h, rest = tensors[0], iter(tensors[1:])
        for layer in layers:
            u = h @ next(rest) + next(rest)
            if normalization is not None:
                axis = 0 if normalization == "batch" else 1
                mean = tf.reduce_mean(u, axis, keepdims=True)
                variance = tf.reduce_mean((u - mean) ** 2, axis, keepdims=True)
                u = next(rest) * (u - mean) / tf.sqrt(variance + 1e-3) + next(rest)
            skips = skip is not None and layer.weights.shape[0] == layer.weights.shape[1]
            h = h + skip * tf.tanh(u) if skips else tf.tanh(u)
        loss = tf.reduce_sum(h * d_output)
    theirs = [g.numpy() for g in tape.gradient(loss, tensors)]
    deltas, gradients = backward(forward(x, layers, form), layers, form, d_output)
    scale = max(np.linalg.norm(g) for g in theirs)
    for ours, reference in zip([deltas[0], *arrays_of(gradients)], theirs, strict=True):
        assert np.linalg.norm(ours - reference) < 1e-12 * scale
