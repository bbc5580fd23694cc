"""φ and φ′ against their definitions, central differences and each other."""

import math

import numpy as np
import pytest

from course_lib.maths.activations import ACTIVATIONS, Activation

NAMES = ("sigmoid", "tanh", "relu", "leaky_relu", "prelu", "elu", "gelu", "linear")
GRID = np.linspace(-12, 12, 4801) + 1e-3  # no point on a kink


def test_the_registry_holds_the_names_of_the_course():
    assert tuple(ACTIVATIONS) == NAMES
    assert all(ACTIVATIONS[name].name == name for name in NAMES)


def _definition(name, a):
    return {
        "sigmoid": lambda: 1 / (1 + math.exp(-a)),
        "tanh": lambda: (math.exp(a) - math.exp(-a)) / (math.exp(a) + math.exp(-a)),
        "relu": lambda: max(a, 0),
        "leaky_relu": lambda: a if a > 0 else 0.01 * a,
        "prelu": lambda: a if a > 0 else 0.01 * a,
        "elu": lambda: a if a > 0 else math.exp(a) - 1,
        "gelu": lambda: a * 0.5 * (1 + math.erf(a / math.sqrt(2))),
        "linear": lambda: a,
    }[name]()


@pytest.mark.parametrize("name", NAMES)
def test_the_function_is_its_definition(name):
    own = ACTIVATIONS[name].function(GRID)
    expected = [_definition(name, float(a)) for a in GRID]
    np.testing.assert_allclose(own, expected, rtol=1e-14, atol=2e-15)


@pytest.mark.parametrize("name", NAMES)
def test_the_derivative_is_the_central_difference(name):
    activation, step = ACTIVATIONS[name], 1e-5
    slope = (activation.function(GRID + step) - activation.function(GRID - step)) / (2 * step)
    np.testing.assert_allclose(activation.derivative(GRID), slope, atol=3e-10)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "linear"])
def test_another_activations_derivative_would_be_noticed(name):
    """The negative control of the test above: φ′ of a neighbour, or φ itself, is far outside."""
    step = 1e-5
    function = ACTIVATIONS[name].function
    slope = (function(GRID + step) - function(GRID - step)) / (2 * step)
    wrong = [other for other in NAMES if {name, other} != {"leaky_relu", "prelu"} and other != name]
    for derivative in [ACTIVATIONS[other].derivative for other in wrong] + [function]:
        assert np.abs(derivative(GRID) - slope).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_max_slope_is_reached_and_not_exceeded(name):
    slopes = np.abs(ACTIVATIONS[name].derivative(np.linspace(-20, 20, 400_001)))
    assert slopes.max() == pytest.approx(ACTIVATIONS[name].max_slope, rel=1e-9)
    assert slopes.max() <= ACTIVATIONS[name].max_slope * (1 + 1e-15)


def test_known_values():
    sigmoid, tanh = ACTIVATIONS["sigmoid"], ACTIVATIONS["tanh"]
    assert sigmoid.derivative(0.0) == 1 / 4
    assert sigmoid.derivative(5.0) == pytest.approx(0.0066481, abs=5e-8)
    assert sigmoid.derivative(-5.0) == sigmoid.derivative(5.0)
    assert tanh.derivative(0.0) == 1
    assert ACTIVATIONS["gelu"].max_slope == pytest.approx(1.1289, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "at_zero"),
    [("relu", 0), ("leaky_relu", 0.01), ("prelu", 0.01), ("elu", 1), ("gelu", 0.5)],
)
def test_the_derivative_at_the_kink(name, at_zero):
    assert ACTIVATIONS[name].derivative(0.0) == at_zero


def test_the_sigmoid_keeps_its_digits_far_out():
    """1 / (1 + e^−a) overflows at −710 and σ(1 − σ) is 0 from 37 on; ours do neither."""
    sigmoid = ACTIVATIONS["sigmoid"]
    far = np.array([-700.0, -40.0, 40.0, 700.0])
    with np.errstate(all="raise", under="ignore"):
        values, slopes = sigmoid.function(far), sigmoid.derivative(far)
    np.testing.assert_allclose(slopes, np.exp(-np.abs(far)), rtol=1e-13)
    np.testing.assert_allclose(values[:2], np.exp(far[:2]), rtol=1e-13)


def test_gelu_is_exact_in_the_tails():
    gelu = ACTIVATIONS["gelu"]
    a = np.array([-1e6, -30.0, -9.0, 9.0, 30.0, 1e6])
    np.testing.assert_allclose(gelu.function(a), np.maximum(a, 0), atol=1e-15)
    np.testing.assert_allclose(gelu.derivative(a), a > 0, atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_type_of_float_stays(name, dtype):
    a = np.linspace(-3, 3, 12).reshape(3, 4)
    activation = ACTIVATIONS[name]
    for function in (activation.function, activation.derivative):
        own = function(a.astype(dtype))
        assert own.dtype == dtype
        assert own.shape == a.shape
        tolerance = 4 * np.finfo(dtype).eps
        np.testing.assert_allclose(own, function(a.astype(dtype).astype(float)), atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_whole_numbers_lists_and_single_numbers_will_do(name):
    activation = ACTIVATIONS[name]
    assert activation.function([-1, 0, 2]).dtype == np.float64
    assert np.ndim(activation.function(2)) == 0
    assert f"{activation.derivative(0.5):.3f}"


@pytest.mark.parametrize("name", ["leaky_relu", "prelu"])
def test_a_slope_can_be_chosen(name):
    activation = ACTIVATIONS[name].with_slope(0.3)
    assert activation.function(-2.0) == pytest.approx(-0.6)
    assert activation.derivative(-2.0) == 0.3
    assert activation.derivative(2.0) == 1
    assert ACTIVATIONS[name].function(-2.0, slope=0.3) == activation.function(-2.0)
    assert activation.with_slope(0.2).derivative(-1.0) == 0.2
    assert ACTIVATIONS[name].with_slope(-1.5).max_slope == 1.5


def test_prelu_learns_its_slope():
    prelu, step = ACTIVATIONS["prelu"], 1e-6
    assert ACTIVATIONS["leaky_relu"].slope_derivative is None
    difference = (prelu.function(GRID, 0.25 + step) - prelu.function(GRID, 0.25 - step)) / (
        2 * step
    )
    np.testing.assert_allclose(prelu.slope_derivative(GRID), difference, atol=1e-8)


def test_an_activation_of_ones_own():
    sine = Activation("sine", np.sin, np.cos, 1.0)
    assert sine.function(0.5) == np.sin(0.5)
