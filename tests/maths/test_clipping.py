"""Clipped weights: the entries, the ceiling on a layer, and what that does to a deep stack."""

import math

import numpy as np
import pytest

from course_lib.maths.clipping import clip_weights
from course_lib.maths.propagation import deep_stack, deep_stack_backward, make_stack


def test_every_entry_is_moved_into_the_range():
    W = np.array([[-3.0, 0.2], [0.5, 0.7]])
    np.testing.assert_array_equal(clip_weights(W, 0.5), [[-0.5, 0.2], [0.5, 0.5]])
    np.testing.assert_array_equal(W, [[-3.0, 0.2], [0.5, 0.7]])


def test_a_list_gives_a_list():
    weights = [np.ones((2, 3)), -np.ones(3)]
    clipped = clip_weights(weights, 0.1)
    assert isinstance(clipped, list)
    assert [W.shape for W in clipped] == [(2, 3), (3,)]
    assert np.abs(np.concatenate([W.ravel() for W in clipped])).max() == 0.1


def test_the_ceiling_on_the_largest_singular_value():
    rng = np.random.default_rng(1)
    ceiling = 0.05 * math.sqrt(20 * 30)
    W = clip_weights(rng.standard_normal((20, 30)), 0.05)
    assert np.linalg.norm(W, 2) < ceiling
    assert np.linalg.norm(np.full((20, 30), 0.05), 2) == pytest.approx(ceiling)


@pytest.mark.parametrize("seed", range(5))
def test_clipping_makes_a_gradient_vanish_that_arrived(seed):
    """He ReLU, 30 layers, width 128: of a gradient that arrives, 1e-12 is left at limit 0.05."""
    rng = np.random.default_rng(seed)
    weights = make_stack(30, 128, "he_normal", rng)
    x, d_output = rng.standard_normal((2, 16, 128))
    free, clipped = (
        deep_stack_backward(deep_stack(x, stack, "relu"), d_output)
        for stack in (weights, clip_weights(weights, 0.05))
    )
    assert free[0] / free[-1] > 0.1
    assert clipped[0] / clipped[-1] < 1e-12


@pytest.mark.parametrize("activation", ["relu", "tanh", "linear"])
def test_below_one_over_the_width_vanishing_is_certain(activation):
    """|w| ≤ c and |φ′| ≤ 1 give ‖δ_0‖ ≤ (c n)^D ‖δ_D‖, whatever the weights were."""
    rng = np.random.default_rng(2)
    weights = clip_weights(make_stack(10, 32, "normal", rng, stddev=5.0), 0.5 / 32)
    trace = deep_stack(rng.standard_normal((8, 32)), weights, activation)
    norms = deep_stack_backward(trace, rng.standard_normal((8, 32)))
    assert norms[0] <= 0.5**10 * norms[-1]
