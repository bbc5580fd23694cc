"""Linear recurrences: loop = rounds = Keras; gradient = tape = differences; one way back."""

import numpy as np
import pytest

from course_lib.maths import linear_recurrence as module
from course_lib.maths.dot_product import attention_trace, causal_mask
from course_lib.maths.gates import GRU
from course_lib.maths.linear_recurrence import (
    MinGRU,
    linear_attention,
    scan,
    scan_backward,
    scan_in_parallel,
    zero_order_hold,
)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.fixture
def recurrence(rng):
    """Gates, inputs and a start: 2 samples, 13 steps (no power of two), 3 units."""
    return rng.uniform(-1.2, 1.2, (2, 13, 3)), rng.normal(size=(2, 13, 3)), rng.normal(size=(2, 3))


@pytest.fixture
def layer(rng):
    return MinGRU(rng.normal(size=(4, 6)), rng.normal(size=6))


@pytest.fixture
def x(rng):
    return rng.normal(size=(2, 9, 4))


# ---------------------------------------------------------------- the scan


def test_the_scan_by_hand():
    a, b = np.array([2.0, 3.0, 0.5]), np.array([1.0, -1.0, 4.0])
    h = scan(a.reshape(1, 3, 1), b.reshape(1, 3, 1), [[10.0]])
    np.testing.assert_allclose(h[0, :, 0], [21.0, 62.0, 35.0])


@pytest.mark.parametrize("length", [1, 2, 3, 8, 13, 64, 65])
def test_rounds_give_what_the_loop_gives(rng, length):
    a, b = rng.uniform(-1, 1, (3, length, 2)), rng.normal(size=(3, length, 2))
    start = rng.normal(size=(3, 2))
    np.testing.assert_allclose(scan_in_parallel(a, b, start), scan(a, b, start), atol=1e-12)
    np.testing.assert_allclose(scan_in_parallel(a, b), scan(a, b), atol=1e-12)


class Counted(np.ndarray):
    """An array that counts its products, and the calls that make them."""

    products = calls = 0

    def __mul__(self, other):
        product = np.multiply(np.asarray(self), np.asarray(other))
        Counted.products += product.size
        Counted.calls += 1
        return product.view(Counted)


@pytest.mark.parametrize(("length", "rounds"), [(2, 1), (8, 3), (13, 4), (64, 6), (65, 7)])
def test_the_rounds_and_their_products_are_as_many_as_the_docstring_says(
    monkeypatch, length, rounds
):
    monkeypatch.setattr(module, "as_array", lambda name, x, **_: np.array(x).view(Counted))
    Counted.products = Counted.calls = 0
    scan_in_parallel(np.ones((1, length, 1)), np.ones((1, length, 1)))
    with_start = 1  # the product of the first gate and h_0, which the loop has too
    assert Counted.calls - with_start == 2 * rounds
    assert Counted.products - with_start == 2 * length * rounds - 2 * (2**rounds - 1)
    Counted.products = 0
    scan(np.ones((1, length, 1)), np.ones((1, length, 1)))
    assert Counted.products == length


def test_the_arguments_are_left_alone(recurrence):
    before = [array.copy() for array in recurrence]
    scan(*recurrence), scan_in_parallel(*recurrence)
    for array, copy in zip(recurrence, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_joining_two_steps_is_associative_and_does_not_commute(rng):
    def join(first, second):
        return second[0] * first[0], second[0] * first[1] + second[1]  # (3)

    one, two, three = rng.normal(size=(3, 2))
    np.testing.assert_allclose(join(join(one, two), three), join(one, join(two, three)))
    assert not np.allclose(join(one, two), join(two, one))


def test_the_scan_is_that_of_keras(keras, recurrence):
    a, b, _ = recurrence

    def join(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    _, h = keras.ops.associative_scan(join, (a, b), axis=1)
    np.testing.assert_allclose(scan(a, b), np.asarray(h), atol=1e-12)


def test_the_gradient_of_the_scan_is_that_of_differences(
    recurrence, rng, central_differences, largest_error
):
    a, b, start = recurrence
    d = rng.normal(size=b.shape)
    own = scan_backward(a, scan(a, b, start), d, start)
    numeric = central_differences(lambda: np.sum(scan(a, b, start) * d), [a, b, start])
    assert largest_error([own.gates, own.inputs, own.start], numeric) < 1e-8
    assert own.states is own.inputs


def test_one_gate_too_early_is_another_gradient(
    recurrence, rng, central_differences, largest_error
):
    a, b, start = recurrence
    d = rng.normal(size=b.shape)
    wrong = scan(a[:, ::-1], d[:, ::-1])[
        :, ::-1
    ]  # δ_t = d_t + a_t δ_{t+1}: the gate of its own step
    numeric = central_differences(lambda: np.sum(scan(a, b, start) * d), [b])
    assert largest_error([wrong], numeric) > 0.1


def test_the_only_way_back_is_the_product_of_the_gates(recurrence, central_differences):
    """(2): measured by moving h_0, and by moving what step 5 adds."""
    a, b, start = recurrence
    d = np.zeros_like(b)
    d[:, -1] = 1
    own = scan_backward(a, scan(a, b, start), d, start)
    np.testing.assert_allclose(own.start, a.prod(axis=1))
    np.testing.assert_allclose(own.states[:, 4], a[:, 5:].prod(axis=1))
    (moved,) = central_differences(lambda: scan(a, b, start)[:, -1].sum(), [start])
    np.testing.assert_allclose(moved, a.prod(axis=1), atol=1e-9)  # rounding ÷ 1e-5


# ---------------------------------------------------------------- state spaces


def test_holding_an_input_is_what_many_short_steps_do():
    A, step, n = -0.7, 1.3, 200_000
    a, b = zero_order_hold(A, step)
    h = 2.0
    for _ in range(n):
        h += step / n * (A * h + 3.0)
    assert a * 2.0 + b * 3.0 == pytest.approx(h, rel=1e-5)


def test_a_step_of_softplus_is_a_gate():
    s = np.linspace(-30, 30, 13)
    a, b = zero_order_hold(-1.0, np.logaddexp(0, s))  # softplus
    np.testing.assert_allclose(a, 1 / (1 + np.exp(s)), rtol=1e-10)
    np.testing.assert_allclose(b, 1 / (1 + np.exp(-s)), rtol=1e-10)


def test_a_short_step_keeps_its_digits():
    _, b = zero_order_hold(-2.0, 1e-13)
    assert b == pytest.approx(1e-13, rel=1e-12)


# ---------------------------------------------------------------- minGRU


def test_min_gru_is_a_gru_that_does_not_read_its_state(layer, x):
    n = layer.units
    W_z, W_h = layer.kernel[:, :n], layer.kernel[:, n:]
    kernel = np.hstack([W_z, np.zeros_like(W_z), W_h])
    bias = np.concatenate([layer.bias[:n], np.zeros(n), layer.bias[n:]])
    gru = GRU(kernel, np.zeros((n, 3 * n)), bias, reset_after=False)
    trace, other = layer.forward(x), gru.forward(x)
    np.testing.assert_array_equal(trace.gates["update"], other.gates["update"])
    assert not np.allclose(trace.outputs, other.outputs)  # a GRU has its tanh
    np.testing.assert_allclose(np.tanh(trace.gates["candidate"]), other.gates["candidate"])


def test_min_gru_is_keras_s_gru_without_recurrence_and_tanh(keras, layer, x):
    n = layer.units
    like = keras.layers.GRU(
        n, activation="linear", reset_after=False, return_sequences=True, dtype="float64"
    )
    like.build(x.shape)
    W_z, W_h = layer.kernel[:, :n], layer.kernel[:, n:]
    bias = np.concatenate([layer.bias[:n], np.zeros(n), layer.bias[n:]])
    like.set_weights([np.hstack([W_z, 0 * W_z, W_h]), np.zeros((n, 3 * n)), bias])
    np.testing.assert_allclose(layer.forward(x).outputs, np.asarray(like(x)), atol=1e-12)


@pytest.mark.parametrize("parallel", [False, True])
def test_the_gradient_of_min_gru_is_that_of_differences(
    layer, x, rng, parallel, central_differences, largest_error
):
    state, d = rng.normal(size=(2, 3)), rng.normal(size=(2, 9, 3))
    trace = layer.forward(x, state, parallel=parallel)
    own = layer.backward(trace, d)
    numeric = central_differences(
        lambda: np.sum(layer.forward(x, state, parallel=parallel).outputs * d),
        [layer.kernel, layer.bias, x, state],
    )
    assert largest_error([own.kernel, own.bias, own.inputs, own.initial_state], numeric) < 1e-8


def test_the_gradient_of_min_gru_is_that_of_the_tape(tf, layer, x, rng, largest_error):
    d, n = rng.normal(size=(2, 9, 3)), layer.units
    kernel, bias, inputs = (tf.Variable(array) for array in (layer.kernel, layer.bias, x))
    with tf.GradientTape() as tape:
        a = inputs @ kernel + bias
        z, candidate = tf.sigmoid(a[..., :n]), a[..., n:]
        h, loss = tf.zeros((2, n), tf.float64), 0.0
        for t in range(9):
            h = z[:, t] * h + (1 - z[:, t]) * candidate[:, t]
            loss += tf.reduce_sum(h * d[:, t])
    own = layer.backward(layer.forward(x), d)
    reference = [g.numpy() for g in tape.gradient(loss, [kernel, bias, inputs])]
    assert largest_error([own.kernel, own.bias, own.inputs], reference) < 1e-12


def test_what_arrives_is_the_product_of_the_gates_exactly(layer, x):
    trace = layer.forward(x)
    d = np.zeros_like(trace.outputs)
    d[:, -1] = 1
    path = layer.direct_path(trace)
    np.testing.assert_allclose(layer.backward(trace, d).states, path[:, 1:], rtol=1e-12)
    np.testing.assert_allclose(path[:, 0], trace.gates["update"].prod(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(path[:, -1], 1)


def test_a_drawn_layer_has_the_bias_it_was_asked_for():
    layer = MinGRU.random(4, 5, np.random.default_rng(0), update_bias=3.0)
    np.testing.assert_array_equal(layer.bias, [3.0] * 5 + [0.0] * 5)
    assert layer.kernel.shape == (4, 10)
    assert np.abs(layer.kernel).max() <= np.sqrt(6 / 9)  # Glorot by block
    again = MinGRU.random(4, 5, np.random.default_rng(0))
    np.testing.assert_array_equal(layer.kernel, again.kernel)
    assert repr(layer) == "<MinGRU: 4 features, 5 units>"


# ---------------------------------------------------------------- linear attention


@pytest.mark.parametrize("d_v", [1, 4, 6])
def test_linear_attention_is_attention_with_another_similarity(rng, d_v):
    (q, k), v = rng.normal(size=(2, 2, 7, 4)), rng.normal(size=(2, 7, d_v))
    phi_q, phi_k = (np.where(a > 0, a + 1, np.exp(np.minimum(a, 0))) for a in (q, k))
    similarity = np.where(causal_mask(7), phi_q @ phi_k.swapaxes(1, 2), 0)
    weights = similarity / similarity.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(linear_attention(q, k, v), weights @ v, rtol=1e-9, atol=1e-12)


def test_linear_attention_is_not_softmax_attention(rng):
    q, k, v = rng.normal(size=(3, 2, 7, 4))
    softmax = attention_trace(q, k, v, causal_mask(7)).output
    assert np.abs(linear_attention(q, k, v) - softmax)[:, 1:].max() > 0.05
    np.testing.assert_allclose(linear_attention(q, k, v)[:, 0], v[:, 0])  # one token: no choice


def test_linear_attention_is_a_scan_with_a_matrix_as_its_state(rng):
    (q, k), v = rng.normal(size=(2, 2, 7, 4)), rng.normal(size=(2, 7, 3))
    phi_q, phi_k = (np.where(a > 0, a + 1, np.exp(np.minimum(a, 0))) for a in (q, k))
    outer = (phi_k[..., :, None] * v[..., None, :]).reshape(2, 7, 12)
    S = scan(np.ones_like(outer), outer).reshape(2, 7, 4, 3)
    n = scan(np.ones_like(phi_k), phi_k)
    y = np.einsum("btk,btkv->btv", phi_q, S) / np.sum(phi_q * n, axis=2, keepdims=True)
    np.testing.assert_allclose(linear_attention(q, k, v), y, rtol=1e-10)


def test_no_token_of_linear_attention_sees_a_later_one(rng):
    q, k, v = rng.normal(size=(3, 1, 7, 4))
    before = linear_attention(q, k, v)
    k[:, 5] += 1
    v[:, 5] += 1
    np.testing.assert_array_equal(linear_attention(q, k, v)[:, :5], before[:, :5])
    assert not np.allclose(linear_attention(q, k, v)[:, 5:], before[:, 5:])


# ---------------------------------------------------------------- bad input

SHAPE = (2, 5, 3)
ONES = np.ones(SHAPE)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: scan(ONES[0], ONES), r"`a` has shape \(5, 3\); it takes an array of shape"),
        (lambda: scan(ONES, ONES[:, :4]), r"`b` has shape \(2, 4, 3\); it takes an array shaped"),
        (lambda: scan(ONES, ONES, np.ones(3)), r"`start` has shape \(3,\)"),
        (lambda: scan_in_parallel(ONES, ONES * np.nan), r"`b` .*; it takes finite numbers"),
        (lambda: scan_backward(ONES, ONES[:, 1:], ONES), r"`h` has shape \(2, 4, 3\)"),
        (lambda: scan_backward(ONES, ONES, ONES[:1]), r"`d_outputs` has shape \(1, 5, 3\)"),
        (lambda: zero_order_hold(0.0, 1.0), r"`A` is 0 somewhere; it takes rates"),
        (lambda: zero_order_hold(-1.0, [1.0, 0.0]), r"`step` is 0 somewhere; it takes times above"),
        (lambda: zero_order_hold([-1.0, -2.0], np.ones(3)), r"`step` has shape \(3,\)"),
        (lambda: MinGRU(np.ones((4, 5))), r"`kernel` has shape \(4, 5\); it takes a matrix"),
        (lambda: MinGRU(np.ones((4, 6)), np.ones(3)), r"`bias` has shape \(3,\)"),
        (lambda: MinGRU(np.ones((4, 6))).forward(np.ones((2, 4))), r"`x` has shape \(2, 4\)"),
        (lambda: MinGRU(np.ones((4, 6))).forward(np.ones((2, 5, 3))), r"`x` has shape \(2, 5, 3\)"),
        (lambda: MinGRU(np.ones((3, 6))).forward(ONES, np.ones(3)), r"`state` has shape \(3,\)"),
        (lambda: MinGRU.random(0, 3, np.random.default_rng(0)), r"`features` is 0"),
        (lambda: linear_attention(ONES, ONES[:, :4], ONES), r"`k` has shape \(2, 4, 3\)"),
        (lambda: linear_attention(ONES, ONES, ONES[:, :4]), r"`v` has shape \(2, 4, 3\)"),
        (lambda: linear_attention(ONES[0], ONES, ONES), r"`q` has shape \(5, 3\)"),
        (lambda: linear_attention(-800 * ONES, ONES, ONES), r"`q` and `k` are so far below 0"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: scan("gates", ONES),
        lambda: MinGRU(np.ones((3, 6))).forward(ONES, parallel="yes"),
        lambda: MinGRU(np.ones((3, 6))).backward("trace", ONES),
        lambda: MinGRU.random(3, 3, 1),
    ],
)
def test_a_wrong_type_is_refused_with_a_sentence(call):
    with pytest.raises(TypeError, match=r"`\w+` is .*; it takes "):
        call()


def test_the_trace_of_another_layer_is_refused(layer, x):
    gru = GRU.random(4, 3, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"`trace` is .*; it takes what `forward` of <MinGRU"):
        layer.backward(gru.forward(x), np.zeros((2, 9, 3)))
