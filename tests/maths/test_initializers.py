"""Each initialiser draws the matrix that its formula promises.

Sample variances of N entries scatter by √(2/N) of themselves for a normal distribution and less
for a uniform one; the bounds are five of these, whatever the seed.
"""

import math

import numpy as np
import pytest

from course_lib.maths.initializers import INITIALIZERS, variance

NAMES = (
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "orthogonal",
    "normal",
)
SHAPES = [(400, 300), (300, 400), (350, 350)]


def test_the_registry_holds_the_names_of_the_course():
    assert tuple(INITIALIZERS) == NAMES


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_shape_mean_and_variance(name, shape):
    W = INITIALIZERS[name](shape, np.random.default_rng(1))
    expected = variance(name, shape)
    assert W.shape == shape
    assert W.dtype == np.float64
    assert abs(W.mean()) < 5 * math.sqrt(expected / W.size)
    assert W.var() == pytest.approx(expected, rel=5 * math.sqrt(2 / W.size))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("glorot_normal", 2 / 700),
        ("glorot_uniform", 2 / 700),
        ("he_normal", 2 / 400),
        ("he_uniform", 2 / 400),
        ("lecun_normal", 1 / 400),
        ("orthogonal", 1 / 400),
        ("normal", 0.05**2),
    ],
)
def test_variances_by_hand(name, expected):
    assert variance(name, (400, 300)) == pytest.approx(expected, rel=1e-15)


def test_fan_in_and_fan_out_are_not_exchanged():
    """Negative control: with the shape turned round He's variance misses by a third."""
    W = INITIALIZERS["he_normal"]((400, 300), np.random.default_rng(1))
    assert W.var() != pytest.approx(variance("he_normal", (300, 400)), rel=0.2)


@pytest.mark.parametrize(("name", "six_over"), [("glorot_uniform", 700), ("he_uniform", 400)])
def test_uniform_limits(name, six_over):
    W = INITIALIZERS[name]((400, 300), np.random.default_rng(2))
    limit = math.sqrt(6 / six_over)
    assert 0.999 * limit < np.abs(W).max() <= limit


@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 8)])
def test_orthogonal_has_one_singular_value(shape):
    W = INITIALIZERS["orthogonal"](shape, np.random.default_rng(3), gain=1.5)
    np.testing.assert_allclose(np.linalg.svd(W, compute_uv=False), 1.5, rtol=1e-14)
    assert np.mean(W**2) == pytest.approx(variance("orthogonal", shape, gain=1.5))


def test_orthogonal_prefers_no_direction():
    """Without the correction of QR's signs the mean of the first entry is far from 0."""
    rng = np.random.default_rng(4)
    first = [INITIALIZERS["orthogonal"]((2, 2), rng)[0, 0] for _ in range(2000)]
    assert abs(np.mean(first)) < 5 * math.sqrt(0.5 / 2000)


def test_scales_are_used():
    rng = np.random.default_rng(5)
    assert INITIALIZERS["normal"]((300, 300), rng, stddev=2.0).std() == pytest.approx(2, rel=0.02)
    assert variance("normal", (3, 3), stddev=2.0) == 4


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_draws_the_same_matrix(name):
    draw = INITIALIZERS[name]
    first, again, other = (draw((4, 6), np.random.default_rng(seed)) for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
