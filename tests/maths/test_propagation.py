"""Own backward pass = central differences; what leaves the range of a float is reported."""

import warnings
from itertools import pairwise

import numpy as np
import pytest

from course_lib.maths.activations import ACTIVATIONS, Activation
from course_lib.maths.propagation import (
    deep_stack,
    deep_stack_backward,
    deep_stack_gradients,
    factor_per_layer,
    make_stack,
    random_pass,
)

WIDTHS = (5, 7, 6, 6, 3)  # no two neighbours alike but one pair, where a transposed W would fit


@pytest.fixture
def problem():
    """Weights, biases, input and upstream gradient of a small stack."""
    rng = np.random.default_rng(11)
    weights = [rng.standard_normal(shape) * 0.7 for shape in pairwise(WIDTHS)]
    biases = [rng.standard_normal(n) * 0.3 for n in WIDTHS[1:]]
    x, d_output = rng.standard_normal((4, WIDTHS[0])), rng.standard_normal((4, WIDTHS[-1]))
    return x, weights, biases, d_output


def _loss(x, weights, activation, biases, d_output):
    return float(np.sum(deep_stack(x, weights, activation, biases).output * d_output))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_forward_pass_is_the_equations(problem, name):
    x, weights, biases, _ = problem
    trace = deep_stack(x, weights, name, biases)
    h = x
    for layer, (W, b) in enumerate(zip(weights, biases, strict=True)):
        a = np.einsum("bi,io->bo", h, W) + b
        np.testing.assert_allclose(trace.pre_activations[layer], a, rtol=1e-13, atol=1e-14)
        h = ACTIVATIONS[name].function(a)
        np.testing.assert_allclose(trace.activations[layer + 1], h, rtol=1e-13, atol=1e-14)
    assert trace.depth == len(weights)
    assert trace.output is trace.activations[-1]
    np.testing.assert_array_equal(trace.activations[0], x)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_gradients_are_central_differences(problem, name, central_differences, largest_error):
    x, weights, biases, d_output = problem
    own = deep_stack_gradients(deep_stack(x, weights, name, biases), d_output)
    reference = central_differences(
        lambda: _loss(x, weights, name, biases, d_output), [x, *weights, *biases]
    )
    assert largest_error([own.activations[0], *own.weights, *own.biases], reference) < 1e-8


def test_a_chosen_slope_and_an_activation_of_ones_own(problem, central_differences, largest_error):
    x, weights, biases, d_output = problem
    for activation in (
        ACTIVATIONS["prelu"].with_slope(0.25),
        Activation("sine", np.sin, np.cos, 1.0),
    ):
        own = deep_stack_gradients(deep_stack(x, weights, activation, biases), d_output)
        reference = central_differences(
            lambda activation=activation: _loss(x, weights, activation, biases, d_output),
            [x, *weights],
        )
        assert largest_error([own.activations[0], *own.weights], reference) < 1e-8


@pytest.mark.parametrize("layer", range(len(WIDTHS)))
def test_every_layers_gradient_is_that_of_the_stack_above_it(
    problem, layer, central_differences, largest_error
):
    """δ_l = ∂𝓛/∂h_l: start at h_l and differentiate what the remaining layers make of it."""
    x, weights, biases, d_output = problem
    trace = deep_stack(x, weights, "tanh", biases)
    own = deep_stack_gradients(trace, d_output)
    h = trace.activations[layer].copy()

    def loss():
        if layer == len(weights):
            return float(np.sum(h * d_output))
        return _loss(h, weights[layer:], "tanh", biases[layer:], d_output)

    assert largest_error([own.activations[layer]], central_differences(loss, [h])) < 1e-8
    assert own.norms[layer] == pytest.approx(np.linalg.norm(own.activations[layer]), rel=1e-14)


def test_the_gradient_by_a_is_that_by_b_for_each_sample(problem):
    x, weights, biases, d_output = problem
    own = deep_stack_gradients(deep_stack(x, weights, "gelu", biases), d_output)
    for d_a, d_b in zip(own.pre_activations, own.biases, strict=True):
        np.testing.assert_allclose(d_a.sum(axis=0), d_b, rtol=1e-14)
    by_one = [
        deep_stack_gradients(deep_stack(x[[i]], weights, "gelu", biases), d_output[[i]])
        for i in range(len(x))
    ]
    for layer in range(len(weights)):
        rows = np.concatenate([sample.pre_activations[layer] for sample in by_one])
        np.testing.assert_allclose(own.pre_activations[layer], rows, rtol=1e-12)


def _faulty_backward(trace, d_output, fault):
    """The backward pass with one classic mistake in it; with `fault` None there is none."""
    d_h, d_weights, d_biases = d_output, [], []
    for layer in reversed(range(trace.depth)):
        W, a, h = trace.weights[layer], trace.pre_activations[layer], trace.activations[layer]
        if fault == "derivative of h instead of a":
            a = trace.activations[layer + 1]
        d_a = d_h if fault == "no derivative" else d_h * trace.activation.derivative(a)
        if fault == "mean over the batch":
            d_weights.insert(0, h.T @ d_a / len(h))
        elif fault == "output instead of input":
            d_weights.insert(0, trace.activations[layer + 1].T @ d_a)
        else:
            d_weights.insert(0, h.T @ d_a)
        d_biases.insert(0, d_a[0] if fault == "no sum over the batch" else d_a.sum(axis=0))
        d_h = d_a @ (W if fault == "transposed" else W.T)
    return [d_h, *d_weights, *d_biases]


@pytest.mark.parametrize(
    "fault",
    [
        None,
        "transposed",
        "no derivative",
        "derivative of h instead of a",
        "mean over the batch",
        "output instead of input",
        "no sum over the batch",
    ],
)
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "gelu"])
def test_the_comparison_notices_a_faulty_backward_pass(
    name, fault, central_differences, largest_error
):
    """Negative controls: square weights, so that every mistake still has the right shapes."""
    rng = np.random.default_rng(12)
    weights = [rng.standard_normal((4, 4)) for _ in range(3)]
    biases = [rng.standard_normal(4) * 0.3 for _ in range(3)]
    x, d_output = rng.standard_normal((3, 4)), rng.standard_normal((3, 4))
    wrong = _faulty_backward(deep_stack(x, weights, name, biases), d_output, fault)
    reference = central_differences(
        lambda: _loss(x, weights, name, biases, d_output), [x, *weights, *biases]
    )
    error = largest_error(wrong, reference)
    assert error < 1e-8 if fault is None else error > 1e-2


def test_norms_alone_are_the_norms_of_the_gradients(problem):
    x, weights, biases, d_output = problem
    trace = deep_stack(x, weights, "elu", biases)
    norms = deep_stack_backward(trace, d_output)
    assert norms.shape == (len(WIDTHS),)
    np.testing.assert_array_equal(norms, deep_stack_gradients(trace, d_output).norms)
    assert norms[-1] == pytest.approx(np.linalg.norm(d_output))


def test_biases_are_zero_unless_given(problem):
    x, weights, _, _ = problem
    trace = deep_stack(x, weights, "tanh")
    zeros = deep_stack(x, weights, "tanh", [np.zeros(n) for n in WIDTHS[1:]])
    np.testing.assert_array_equal(trace.output, zeros.output)


def test_a_relu_net_is_homogeneous_in_each_weight():
    """⟨W_l, ∂𝓛/∂W_l⟩ is the same in every layer of a ReLU stack without biases: Euler."""
    rng = np.random.default_rng(13)
    weights = make_stack(10, 16, "he_normal", rng)
    weights[3] *= 5
    trace = deep_stack(rng.standard_normal((8, 16)), weights, "relu")
    d_output = rng.standard_normal((8, 16))
    d_weights = deep_stack_gradients(trace, d_output).weights
    products = [np.sum(W * d_W) for W, d_W in zip(weights, d_weights, strict=True)]
    np.testing.assert_allclose(products, np.sum(trace.output * d_output), rtol=1e-10)


def test_rotations_pass_every_bit():
    rng = np.random.default_rng(14)
    weights = make_stack(60, 32, "orthogonal", rng)
    trace = deep_stack(rng.standard_normal((8, 32)), weights, "linear")
    norms = deep_stack_backward(trace, rng.standard_normal((8, 32)))
    np.testing.assert_allclose(norms, norms[-1], rtol=1e-12)
    assert factor_per_layer(norms) == pytest.approx(1, abs=1e-13)


def test_make_stack():
    weights = make_stack(3, 8, "normal", np.random.default_rng(1), stddev=2.0)
    assert [W.shape for W in weights] == [(8, 8)] * 3
    same = make_stack(3, 8, "normal", np.random.default_rng(1), stddev=4.0)
    np.testing.assert_allclose(np.array(same), 2 * np.array(weights), rtol=1e-15)


def test_factor_per_layer():
    assert factor_per_layer([1e-3, 0.2, 1.0]) == pytest.approx(1e-3**0.5)
    assert factor_per_layer(2.0 ** np.arange(-1000, 1001)[::-1]) == pytest.approx(2)
    # 4 units feed 16: the norm doubles though the size of an entry stays
    assert factor_per_layer([1.0, 2.0], widths=[4, 16]) == pytest.approx(1)
    assert factor_per_layer([1.0, 2.0]) == pytest.approx(0.5)


def test_a_norm_survives_where_its_squares_do_not():
    """Entries of 1e-200 have squares below the range of float64, yet their norm is 2e-200."""
    trace = deep_stack(np.ones((2, 2)), [np.eye(2) * 1e-200], "linear")
    norms = deep_stack_backward(trace, np.ones((2, 2)))
    assert norms[0] == pytest.approx(2e-200, rel=1e-14)


@pytest.mark.parametrize("dtype", ["float16", "float32", np.float32, np.dtype("float16")])
def test_a_stack_computes_in_the_type_asked_for(problem, dtype):
    x, weights, biases, d_output = problem
    trace = deep_stack(x, weights, "tanh", biases, dtype=dtype)
    own = deep_stack_gradients(trace, d_output)
    arrays = [trace.inputs, *trace.weights, *trace.biases, *trace.pre_activations]
    arrays += [*trace.activations, *own.activations, *own.weights, *own.biases]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}
    assert own.norms.dtype == np.float64
    exact = deep_stack_backward(deep_stack(x, weights, "tanh", biases), d_output)
    np.testing.assert_allclose(own.norms, exact, rtol=20 * np.finfo(dtype).eps)


def _chain(factor, depth, dtype, activation="linear"):
    """Norms of a stack that multiplies by `factor` at each layer, exactly."""
    trace = deep_stack(np.ones((1, 1)), [np.full((1, 1), factor)] * depth, activation, dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return trace, deep_stack_backward(trace, np.ones((1, 1)))


@pytest.mark.parametrize(("dtype", "last"), [("float16", 24), ("float32", 149), ("float64", 1074)])
def test_underflow_ends_at_the_smallest_subnormal(dtype, last):
    """½^k is exact down to 2^−24, 2^−149 and 2^−1074, and 0 after that."""
    trace, norms = _chain(0.5, last + 2, dtype)
    from_loss = norms[::-1]
    assert trace.overflowed is None
    np.testing.assert_array_equal(from_loss[: last + 1], 0.5 ** np.arange(last + 1))
    np.testing.assert_array_equal(from_loss[last + 1 :], 0)


@pytest.mark.parametrize(("dtype", "last"), [("float16", 15), ("float32", 127), ("float64", 1023)])
def test_overflow_is_named_and_makes_the_gradient_no_number(dtype, last):
    """2^k is finite up to 2^15, 2^127 and 2^1023."""
    trace, norms = _chain(2.0, last, dtype)
    assert trace.overflowed is None
    np.testing.assert_array_equal(norms[::-1], 2.0 ** np.arange(last + 1))
    trace, norms = _chain(2.0, last + 3, dtype)
    assert trace.overflowed == last + 1
    assert np.isnan(norms).all()
    gradients = deep_stack_gradients(trace, np.ones((1, 1)))
    assert all(np.isnan(d_W).all() for d_W in gradients.weights)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_overflow_never_looks_like_a_gradient(name):
    """Whatever φ does with infinity: no warning, and finite norms only for a finite signal."""
    rng = np.random.default_rng(15)
    weights = [2e4 * W for W in make_stack(12, 64, "normal", rng, stddev=1.0)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trace = deep_stack(np.ones((2, 64)), weights, name, dtype="float16")
        norms = deep_stack_backward(trace, np.ones((2, 64)))
    assert trace.overflowed
    assert np.isnan(norms).all()


def test_the_backward_pass_alone_can_overflow():
    """tanh keeps the signal in ±1, so only the gradient explodes."""
    rng = np.random.default_rng(16)
    trace = deep_stack(
        rng.standard_normal((8, 64)),
        make_stack(40, 64, "normal", rng, stddev=1.0),
        "tanh",
        dtype="float16",
    )
    norms = deep_stack_backward(trace, rng.standard_normal((8, 64)))
    assert trace.overflowed is None
    assert np.isfinite(norms[-1])
    assert not np.isfinite(norms[0])


def test_results_print_in_one_line(problem):
    x, weights, biases, d_output = problem
    trace = deep_stack(x, weights, "tanh", biases)
    for text in (repr(trace), repr(deep_stack_gradients(trace, d_output))):
        assert len(text) < 100
        assert "array(" not in text


def test_a_random_pass_is_the_stack_run_on_its_own_draws():
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((4, 6)), rng.standard_normal((6, 3))]
    trace, gradients = random_pass(weights, "tanh", samples=5, seed=7)
    top = gradients.activations[-1]
    again, _ = random_pass(weights, "tanh", samples=5, seed=7)
    np.testing.assert_array_equal(trace.inputs, again.inputs)
    np.testing.assert_array_equal(
        gradients.norms, deep_stack_backward(deep_stack(trace.inputs, weights, "tanh"), top)
    )


def test_a_random_pass_draws_nothing_that_the_weights_were_drawn_from():
    W = np.random.default_rng(7).standard_normal((8, 8))
    trace, gradients = random_pass([W], "linear", samples=8, seed=7)
    for drawn in (trace.inputs, gradients.activations[-1]):
        assert np.abs(np.corrcoef(drawn.ravel(), W.ravel())[0, 1]) < 0.5


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": []}, r"`weights` is \[\]"),
        ({"weights": [np.ones(3)]}, r"`weights\[0\]` has shape"),
        ({"samples": 0}, "`samples`"),
        ({"seed": -1}, "`seed`"),
        ({"activation": "swish"}, "activation"),
    ],
)
def test_a_random_pass_refuses_in_one_sentence(change, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        random_pass(**{"weights": [np.eye(3)], "activation": "tanh"} | change)


def test_bias_gradients_in_float16_are_rounded_once():
    x = np.ones((4096, 8))
    trace = deep_stack(x, [np.eye(8)], "linear", dtype="float16")
    (d_bias,) = deep_stack_gradients(trace, x).biases
    assert d_bias.dtype == np.float16
    np.testing.assert_array_equal(d_bias, 4096)
