"""Theory over measurement, and theory over figures known from elsewhere.

The bounds are at least twice the largest deviation seen over 40 groups of five seeds (12 groups
for the wide stacks).
"""

import math

import numpy as np
import pytest

from course_lib.maths.initializers import variance
from course_lib.maths.propagation import (
    deep_stack,
    deep_stack_backward,
    expected_factor,
    factor_per_layer,
    make_stack,
    signal_theory,
)

UNITS, DEPTH, BATCH = 128, 30, 16


def _measured(activation, initializer, **scale):
    """Return the norms of five stacks, the seeds 0 to 4."""
    norms = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weights = make_stack(DEPTH, UNITS, initializer, rng, **scale)
        trace = deep_stack(rng.standard_normal((BATCH, UNITS)), weights, activation)
        norms.append(deep_stack_backward(trace, rng.standard_normal((BATCH, UNITS))))
    return norms


SETTINGS = [
    ("sigmoid", "glorot_normal", {}, 0.234, 0.015),
    ("sigmoid", "normal", {"stddev": 1.0}, None, 0.06),
    ("tanh", "glorot_normal", {}, 0.937, 0.015),
    ("tanh", "normal", {"stddev": 1.0}, None, 0.1),
    ("relu", "he_normal", {}, 0.999, 0.03),
    ("relu", "glorot_normal", {}, 0.706, 0.03),
    ("relu", "normal", {"stddev": 0.01}, None, 0.03),
    ("leaky_relu", "he_normal", {}, None, 0.03),
    ("elu", "lecun_normal", {}, None, 0.015),
    ("linear", "glorot_normal", {}, None, 0.015),
    ("gelu", "glorot_normal", {}, 0.512, 0.015),
]


@pytest.mark.parametrize(("activation", "initializer", "scale", "recorded", "bound"), SETTINGS)
def test_the_factor_per_layer_is_the_one_predicted(activation, initializer, scale, recorded, bound):
    stddev = math.sqrt(variance(initializer, (UNITS, UNITS), **scale))
    theory = factor_per_layer(signal_theory(activation, stddev, UNITS, DEPTH).norms)
    norms = _measured(activation, initializer, **scale)
    measured = np.median([factor_per_layer(run) for run in norms])
    assert measured == pytest.approx(theory, rel=bound)
    if recorded is not None:  # the course's catalogue of measurements, M01
        assert measured == pytest.approx(recorded, rel=bound)


@pytest.mark.parametrize("wrong", [0.9, 1.1])
@pytest.mark.parametrize(
    ("activation", "initializer", "scale", "bound"),
    [(a, i, scale, bound) for a, i, scale, _, bound in SETTINGS if bound <= 0.03],
)
def test_a_scale_ten_per_cent_off_would_be_noticed(activation, initializer, scale, bound, wrong):
    """Negative control: the prediction for slightly other weights is outside the bound."""
    stddev = wrong * math.sqrt(variance(initializer, (UNITS, UNITS), **scale))
    theory = factor_per_layer(signal_theory(activation, stddev, UNITS, DEPTH).norms)
    norms = _measured(activation, initializer, **scale)
    measured = np.median([factor_per_layer(run) for run in norms])
    assert measured != pytest.approx(theory, rel=bound)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_the_whole_line_lies_under_the_dots(activation):
    """Layer by layer, in wide stacks: second moments and the gradient on its way down."""
    units, depth = 512, 20
    theory = signal_theory(activation, math.sqrt(1 / units), units, depth)
    moments, falls = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weights = make_stack(depth, units, "glorot_normal", rng)
        trace = deep_stack(rng.standard_normal((8, units)), weights, activation)
        norms = deep_stack_backward(trace, rng.standard_normal((8, units)))
        moments.append([np.mean(a**2) for a in trace.pre_activations])
        falls.append(np.log(norms / norms[-1]))
    np.testing.assert_allclose(np.mean(moments, axis=0), theory.second_moments, rtol=0.17)
    np.testing.assert_allclose(np.median(falls, axis=0), np.log(theory.norms), atol=0.22)


def test_biases_are_part_of_the_theory():
    """Random biases keep tanh away from 0, where it would pass everything on."""
    units, depth = 512, 20
    theory = signal_theory("tanh", math.sqrt(1.3 / units), units, depth, bias_stddev=0.5)
    factors, moments = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weights = make_stack(depth, units, "normal", rng, stddev=math.sqrt(1.3 / units))
        biases = [0.5 * rng.standard_normal(units) for _ in range(depth)]
        trace = deep_stack(rng.standard_normal((8, units)), weights, "tanh", biases)
        norms = deep_stack_backward(trace, rng.standard_normal((8, units)))
        factors.append(factor_per_layer(norms))
        moments.append(np.mean(trace.pre_activations[-1] ** 2))
    without = signal_theory("tanh", math.sqrt(1.3 / units), units, depth)
    assert np.median(factors) == pytest.approx(factor_per_layer(theory.norms), rel=0.015)
    assert np.median(factors) != pytest.approx(factor_per_layer(without.norms), rel=0.015)
    assert np.mean(moments) == pytest.approx(theory.second_moments[-1], rel=0.17)


def test_width_does_not_matter_when_the_variance_is_scaled():
    for activation, n_var in (("sigmoid", 1.0), ("tanh", 1.0), ("relu", 2.0)):
        factors = [expected_factor(activation, math.sqrt(n_var / n), n) for n in (16, 64, 512)]
        np.testing.assert_allclose(factors, factors[0], rtol=1e-12)


@pytest.mark.parametrize("units", [16, 64, 256, 512])
def test_relu_with_unit_weights_grows_by_the_root_of_half_the_width(units):
    assert expected_factor("relu", 1.0, units) == pytest.approx(math.sqrt(units / 2), rel=1e-14)


def test_closed_forms():
    assert expected_factor("linear", 0.1, 100) == pytest.approx(1, rel=1e-14)
    assert expected_factor("relu", math.sqrt(2 / 7), 7) == pytest.approx(1, rel=1e-14)  # He15
    assert expected_factor("relu", 1.0, 2, q=1e-200) == pytest.approx(1, rel=1e-14)
    leaky = math.sqrt((1 + 0.01**2) / 2)
    assert expected_factor("leaky_relu", 1.0, 1) == pytest.approx(leaky, rel=1e-14)
    assert expected_factor("sigmoid", 1.0, 1, q=0) == pytest.approx(1 / 4, rel=1e-14)
    assert expected_factor("sigmoid", 1.0, 1, q=1) ** 2 == pytest.approx(0.044836, abs=5e-7)
    assert signal_theory("tanh", 1.0, 1, 2).second_moments[1] == pytest.approx(0.394294, abs=5e-7)
    assert signal_theory("relu", 1.0, 1, 2).second_moments[1] == pytest.approx(1 / 2, rel=1e-14)


@pytest.mark.parametrize(
    ("var_w", "var_b", "chi", "digits"),
    [(1.7610, 0.05, 1.0, 5e-5), (1.3, 0.05, 0.8802, 5e-5), (2.5, 0.05, 1.1335, 5e-5)],
)
def test_the_edge_of_chaos(var_w, var_b, chi, digits):
    """χ = γ² of tanh at known places of the phase diagram [Poole16; Schoenholz17]."""
    factor = expected_factor("tanh", math.sqrt(var_w), 1, bias_stddev=math.sqrt(var_b))
    assert factor**2 == pytest.approx(chi, abs=digits)


def test_the_settled_second_moment_is_where_the_recursion_ends():
    for activation, stddev in (("sigmoid", 1.5), ("tanh", 1.4), ("tanh", 0.5), ("elu", 0.8)):
        deep = signal_theory(activation, stddev, 1, 400, bias_stddev=0.2)
        settled = expected_factor(activation, stddev, 1, bias_stddev=0.2)
        assert settled == pytest.approx(deep.factors[-1], rel=1e-8)


def test_narrow_derivatives_are_resolved():
    """At q = 230, a sigmoid of width 512 with N(0, 1) weights, φ′ is a spike of width 1/15."""
    z = (np.arange(-200_000, 200_000) + 0.5) / 20_000
    weight = np.exp(-(z**2) / 2)
    for q in (1.0, 230.0, 2500.0):
        slope = 1 / (2 + 2 * np.cosh(math.sqrt(q) * z))
        exact = math.sqrt(weight @ slope**2 / weight.sum())
        assert expected_factor("sigmoid", 1.0, 1, q=q) == pytest.approx(exact, rel=1e-7)


def test_shapes_and_ends_of_the_theory():
    theory = signal_theory("tanh", 0.1, 100, 7, q0=0.25, bias_stddev=0.5)
    assert theory.second_moments.shape == theory.factors.shape == (7,)
    assert theory.second_moments[0] == pytest.approx(0.5)
    assert theory.norms.shape == (8,)
    assert theory.norms[-1] == 1
    assert theory.norms[0] == pytest.approx(np.prod(theory.factors))


def test_what_leaves_float64_stays_infinite():
    for name in ("relu", "gelu", "elu", "linear"):
        theory = signal_theory(name, 1.0, 512, 200)
        first = int(np.argmax(np.isinf(theory.second_moments)))
        assert first > 100
        assert np.isinf(theory.second_moments[first:]).all()
        assert np.isfinite(theory.factors).all()


def test_gelu_with_he_weights_is_the_exception():
    """Its factor depends on q, and at width 128 q wanders: the theory says too little."""
    theory = factor_per_layer(signal_theory("gelu", math.sqrt(2 / UNITS), UNITS, DEPTH).norms)
    norms = _measured("gelu", "he_normal")
    assert theory == pytest.approx(0.812, abs=0.001)
    assert np.median([factor_per_layer(run) for run in norms]) > theory * 1.01


@pytest.mark.parametrize(("name", "width"), [("tanh", 4 / 3), ("sigmoid", 1 / 6)])
@pytest.mark.parametrize("q", [2.4e3, 2.6e3, 1e5, 1e9, 1e20])
def test_a_slope_far_narrower_than_the_bell_is_resolved(name, width, q):
    """Then 𝔼[φ′(√q z)²] is the bell's height, 1/√(2π), times ∫φ′² / √q."""
    expected = np.sqrt(100 * width / np.sqrt(2 * np.pi * q))
    assert expected_factor(name, 1.0, 100, q=q) == pytest.approx(expected, rel=max(3 / q, 1e-10))


@pytest.mark.parametrize("q", [2.6e3, 1e9, 1e20])
def test_relu_keeps_a_half_at_any_size(q):
    assert expected_factor("relu", 0.1, 200, q=q) == pytest.approx(1, rel=1e-12)
