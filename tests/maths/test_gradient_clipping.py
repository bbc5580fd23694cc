"""Gradient clipping: the three equations, Keras's three arguments, and what is not finite."""

import numpy as np
import pytest

from course_lib.maths.clipping import (
    clip_by_global_norm,
    clip_by_norm,
    clip_by_value,
    global_norm,
)

CLOSE = {"rtol": 1e-12, "atol": 0}
INF, NAN = np.inf, np.nan


def gradients(scale=1.0, seed=61):
    rng = np.random.default_rng(seed)
    return [scale * rng.standard_normal(shape) for shape in ((2, 3), (3, 3), (3,))]


def cosine(a, b):
    a, b = (np.concatenate([array.ravel() for array in arrays]) for arrays in (a, b))
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def test_by_hand():
    G = np.array([3.0, -4.0])
    np.testing.assert_array_equal(clip_by_value(G, 3.5), [3.0, -3.5])
    np.testing.assert_allclose(clip_by_norm(G, 1), [0.6, -0.8], **CLOSE)
    (first, second), norm = clip_by_global_norm([G, np.array([12.0])], 6.5)
    assert norm == 13
    np.testing.assert_allclose(first, [1.5, -2.0], **CLOSE)
    np.testing.assert_allclose(second, [6.0], **CLOSE)
    np.testing.assert_array_equal(G, [3.0, -4.0])


@pytest.mark.parametrize("limit", [0.1, 1.0, 2.0])
def test_the_norm_after_clipping_is_the_limit_and_the_direction_is_kept(limit):
    before = gradients()
    after, norm = clip_by_global_norm(before, limit)
    assert norm > 2
    assert norm == pytest.approx(np.linalg.norm(np.concatenate([G.ravel() for G in before])))
    assert global_norm(after) == pytest.approx(limit, rel=1e-12)
    assert cosine(before, after) == pytest.approx(1, abs=1e-14)
    for G in clip_by_norm(gradients(10), limit):
        assert np.linalg.norm(G) == pytest.approx(limit, rel=1e-12)


def test_by_norm_and_by_value_turn_the_step():
    before = gradients(10)
    before[0] *= 100
    assert cosine(before, clip_by_norm(before, 1)) < 0.8
    assert cosine(before, clip_by_value(before, 1)) < 0.8
    for G, clipped in zip(before, clip_by_norm(before, 1), strict=True):
        assert cosine([G], [clipped]) == pytest.approx(1, abs=1e-14)  # but not within an array


@pytest.mark.parametrize("clip", [clip_by_value, clip_by_norm, clip_by_global_norm])
def test_what_is_short_enough_stays_as_it_is(clip):
    before = gradients()
    after = clip(before, 100.0)
    after = after[0] if clip is clip_by_global_norm else after
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)
        assert a is not b


@pytest.mark.parametrize("clip", [clip_by_value, clip_by_norm, clip_by_global_norm])
def test_zeros_stay_zeros(clip):
    after = clip([np.zeros(3)], 1.0)
    after = after[0] if clip is clip_by_global_norm else after
    np.testing.assert_array_equal(after[0], np.zeros(3))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_type_is_kept(dtype):
    G = np.ones(4, dtype)
    assert clip_by_value(G, 0.5).dtype == dtype
    assert clip_by_norm(G, 0.5).dtype == dtype
    assert clip_by_global_norm([G], 0.5)[0][0].dtype == dtype


# What is not finite

CASES = {
    "finite": [[3.0, -4.0], [12.0]],
    "inf": [[INF, -4.0, 1.0], [12.0]],
    "minus inf": [[3.0, -INF], [12.0, 0.5]],
    "nan": [[NAN, -4.0], [12.0]],
    "both": [[INF, NAN], [0.0]],
    "zeros": [[0.0, 0.0], [0.0]],
    "squares overflow": [[1e200, 1.0], [2.0]],
    "squares underflow": [[1e-200, 0.0], [2e-200]],
}


def test_by_value_makes_infinity_the_limit_and_leaves_nan():
    np.testing.assert_array_equal(
        clip_by_value(np.array([INF, -INF, NAN, 5.0]), 1), [1, -1, NAN, 1]
    )


def test_by_norm_makes_an_array_with_infinity_nan_and_zeros():
    first, second = clip_by_norm([np.array([INF, -4.0, 1.0]), np.array([12.0])], 1)
    np.testing.assert_array_equal(first, [NAN, 0, 0])
    np.testing.assert_array_equal(second, [1.0])  # the other array is untouched by it
    np.testing.assert_array_equal(clip_by_norm(np.array([NAN, 1.0]), 1), [NAN, NAN])


@pytest.mark.parametrize("bad", [INF, -INF, NAN])
def test_by_global_norm_one_bad_entry_makes_every_array_nan(bad):
    clipped, norm = clip_by_global_norm([np.array([bad, 1.0]), np.array([1.0])], 1)
    assert not np.isfinite(norm)
    assert all(np.isnan(G).all() for G in clipped)


def test_squares_that_overflow_count_as_infinite():
    G = np.array([2e19, 1.0], "float32")
    assert np.isfinite(G).all()
    np.testing.assert_array_equal(clip_by_norm(G, 1), [0, 0])
    clipped, norm = clip_by_global_norm([G], 1)
    assert norm == INF
    assert np.isnan(clipped[0]).all()
    assert global_norm([G.astype("float64")]) == pytest.approx(2e19)


# TensorFlow and Keras


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", CASES)
def test_equals_tensorflow_finite_or_not(case, tf):
    arrays = [np.array(values) for values in CASES[case]]
    tensors = [tf.constant(array) for array in arrays]
    for G, tensor in zip(arrays, tensors, strict=True):
        np.testing.assert_allclose(clip_by_value(G, 2.0), tf.clip_by_value(tensor, -2, 2), **CLOSE)
        np.testing.assert_allclose(clip_by_norm(G, 2.0), tf.clip_by_norm(tensor, 2.0), **CLOSE)
    clipped, norm = clip_by_global_norm(arrays, 2.0)
    expected, expected_norm = tf.clip_by_global_norm(tensors, 2.0)
    np.testing.assert_allclose(norm, expected_norm, **CLOSE)
    for a, b in zip(clipped, expected, strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


@pytest.mark.tensorflow
@pytest.mark.parametrize("argument", ["clipvalue", "clipnorm", "global_clipnorm"])
def test_is_what_an_optimizer_of_keras_does(argument, keras):
    """SGD with learning rate 1 from 0: the parameters move by minus the clipped gradient."""
    before = gradients(10)
    clip = {
        "clipvalue": clip_by_value,
        "clipnorm": clip_by_norm,
        "global_clipnorm": lambda G, limit: clip_by_global_norm(G, limit)[0],
    }
    variables = [keras.Variable(np.zeros(G.shape), dtype="float64") for G in before]
    optimizer = keras.optimizers.SGD(learning_rate=1.0, **{argument: 1.5})
    optimizer.apply([keras.ops.convert_to_tensor(G) for G in before], variables)
    for name, own in clip.items():
        errors = [
            np.abs(G + v.numpy()).max() for G, v in zip(own(before, 1.5), variables, strict=True)
        ]
        assert max(errors) < 1e-12 if name == argument else max(errors) > 0.01


@pytest.mark.parametrize(
    ("kind", "entry", "limit"),
    [("float16", 100.0, 1000.0), ("float32", 10.0, 1e38), ("float64", 100.0, 1e307)],
)
def test_a_short_gradient_stays_as_it_is_under_any_limit(kind, entry, limit):
    gradient = np.array([entry, -entry], kind)
    clipped = clip_by_norm(gradient, limit)
    assert clipped.dtype == kind
    np.testing.assert_array_equal(clipped, gradient)
