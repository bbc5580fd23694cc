"""What gates let through, biases by name, chrono biases, half-lives, and the GRU's conventions."""

import warnings
from functools import partial

import numpy as np
import pytest

from course_lib.maths.gates import GRU, LSTM, chrono_bias, half_life, products_to_the_last

BATCH, LENGTH, FEATURES, UNITS = 3, 6, 2, 4
GRUS = {
    "after, old": {},
    "before, old": {"reset_after": False},
    "after, new": {"keeps": "new"},
    "before, new": {"reset_after": False, "keeps": "new"},
}
EVERY_GRU = pytest.mark.parametrize("options", GRUS.values(), ids=GRUS)
EVERY_LAYER = pytest.mark.parametrize(
    "draw",
    [LSTM.random, *(partial(GRU.random, **options) for options in GRUS.values())],
    ids=["lstm", *GRUS],
)


def drawn(draw, seed=61):
    """Return a layer whose weights are all random, biases included."""
    rng = np.random.default_rng(seed)
    layer = draw(FEATURES, UNITS, rng)
    layer.bias += rng.standard_normal(layer.bias.shape)
    return layer


def inputs(length=LENGTH, seed=62):
    return np.random.default_rng(seed).standard_normal((BATCH, length, FEATURES))


def without_ways_through_h(layer):
    """The same layer with recurrent kernel 0 (of a GRU also u 0): nothing but biases and x."""
    layer.recurrent_kernel[:] = 0
    if layer.bias.ndim == 2:
        layer.bias[1] = 0
    return layer


def kept_in(layer, trace):
    """What (18) or (19) multiplies, written out."""
    if isinstance(layer, LSTM):
        return trace.gates["forget"]
    z = trace.gates["update"]
    return z if layer.keeps == "old" else 1 - z


def direct(layer, trace):
    return layer.cell_path(trace) if isinstance(layer, LSTM) else layer.direct_path(trace)


def full(layer, trace):
    """The whole of what the direct path is a part of: c_T by c_t, or h_T by h_t."""
    first = UNITS if isinstance(layer, LSTM) else 0
    return layer.full_path(trace)[:, :, first:, first:]


# Direct paths


@EVERY_LAYER
def test_a_direct_path_is_the_product_of_what_later_steps_keep(draw):
    layer = drawn(draw)
    trace = layer.forward(inputs())
    path, kept = direct(layer, trace), kept_in(layer, trace)
    assert path.shape == (BATCH, LENGTH + 1, UNITS)
    for t in range(LENGTH + 1):
        product = np.ones((BATCH, UNITS))
        for later in range(t, LENGTH):  # steps t + 1 … T, counted from 0
            product = product * kept[:, later]
        np.testing.assert_allclose(path[:, t], product, rtol=1e-13)


@EVERY_LAYER
def test_it_is_the_whole_jacobian_where_nothing_reads_h(draw):
    layer = without_ways_through_h(drawn(draw))
    trace = layer.forward(inputs())
    whole = full(layer, trace)
    np.testing.assert_allclose(whole, direct(layer, trace)[..., None] * np.eye(UNITS), rtol=1e-13)


@EVERY_LAYER
def test_elsewhere_it_is_a_part_of_the_jacobian(draw):
    """Off the diagonal it has nothing, and on the diagonal the ways through h add to it."""
    layer = drawn(draw)
    trace = layer.forward(inputs())
    whole, path = full(layer, trace), direct(layer, trace)
    assert np.abs(whole[:, 0] * (1 - np.eye(UNITS))).max() > 1e-3
    on_the_diagonal = np.diagonal(whole[:, 0], axis1=1, axis2=2)
    assert np.abs(on_the_diagonal - path[:, 0]).max() > 1e-3


def test_within_one_step_of_an_lstm_it_is_all_that_c_sends_to_c():
    layer = drawn(LSTM.random)
    trace = layer.forward(inputs())
    forget = layer.jacobians(trace)[:, :, UNITS:, UNITS:]
    np.testing.assert_array_equal(forget, trace.gates["forget"][..., None] * np.eye(UNITS))


@pytest.mark.parametrize(
    ("bias", "steps", "left"),
    [(0.0, 30, 9.3132e-10), (1.0, 30, 8.2902e-5), (5.0, 30, 0.817536), (1.0, 100, 2.5e-14)],
)
def test_what_a_cell_keeps_by_its_bias_alone(bias, steps, left):
    layer = without_ways_through_h(LSTM.random(1, 2, np.random.default_rng(63)))
    layer = layer.with_bias(forget=bias)
    trace = layer.forward(np.zeros((1, steps, 1)), (np.zeros((1, 2)), np.ones((1, 2))))
    np.testing.assert_allclose(
        layer.cell_path(trace)[0, 0], left, rtol=0.02 if steps > 30 else 1e-4
    )
    np.testing.assert_allclose(trace.cells[0, -1], layer.cell_path(trace)[0, 0], rtol=1e-12)


@pytest.mark.parametrize(("bias", "left"), [(0.0, 9.0949e-13), (2.0, 0.00623785)])
def test_what_a_gru_keeps_by_its_bias_alone(bias, left):
    layer = without_ways_through_h(GRU.random(1, 2, np.random.default_rng(64)))
    layer = layer.with_bias(update=bias)
    trace = layer.forward(np.zeros((1, 40, 1)), np.ones((1, 2)))
    np.testing.assert_allclose(layer.direct_path(trace)[0, 0], left, rtol=1e-4)
    np.testing.assert_allclose(trace.outputs[0, -1], layer.direct_path(trace)[0, 0], rtol=1e-12)


# Biases by name


@pytest.mark.parametrize("value", [3.0, [1.0, -2.0, 0.5, 7.0]], ids=["one", "one a unit"])
@EVERY_LAYER
def test_a_bias_is_what_its_gate_reads_beside_weights(draw, value):
    layer = drawn(draw)
    for block, name in enumerate(layer.BLOCKS):
        changed = layer.with_bias(**{name: value})
        trace = changed.forward(np.zeros((1, 1, FEATURES)))  # x = 0, h_0 = 0: the bias alone
        a = trace.pre_activations[0, 0].reshape(-1, UNITS)
        np.testing.assert_array_equal(a[block], np.broadcast_to(value, UNITS))
        others = np.delete(np.arange(layer.bias.shape[-1]).reshape(-1, UNITS), block, axis=0)
        np.testing.assert_array_equal(changed.bias[..., others], layer.bias[..., others])


def test_several_biases_are_set_at_once_in_keras_order():
    layer = LSTM.random(1, 2, np.random.default_rng(1)).with_bias(forget=[1, 5], input=-2)
    np.testing.assert_array_equal(layer.bias, [-2, -2, 1, 5, 0, 0, 0, 0])


@EVERY_LAYER
def test_the_layer_that_is_given_other_biases_stays_as_it_was(draw):
    layer = drawn(draw)
    before = [weight.copy() for weight in layer.weights]
    changed = layer.with_bias(candidate=9.0)
    changed.kernel[:] = 0
    for weight, copy in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, copy)
    assert repr(changed) == repr(layer)


@EVERY_LAYER
def test_a_layer_without_biases_gets_them(draw):
    layer = draw(FEATURES, UNITS, np.random.default_rng(65), bias=False)
    changed = layer.with_bias(candidate=9.0)
    assert layer.bias is None
    assert changed.bias.shape == drawn(draw).bias.shape
    assert changed.bias.sum() == 9 * UNITS


# A gate of another layer


@EVERY_LAYER
def test_a_layer_with_all_blocks_of_another_is_the_other(draw):
    layer, other = drawn(draw), draw(FEATURES, UNITS, np.random.default_rng(66))
    for gate in layer.BLOCKS:
        mixed = layer.with_gate_of(other, gate)
        assert any(map(np.any, map(np.subtract, mixed.weights, layer.weights))), gate
        layer = mixed
    for weight, theirs in zip(layer.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight, theirs)


@EVERY_LAYER
def test_only_the_gate_that_is_named_changes(draw):
    layer, other = drawn(draw), draw(FEATURES, UNITS, np.random.default_rng(66))
    before = [weight.copy() for weight in layer.weights]
    for block, gate in enumerate(layer.BLOCKS):
        mixed = layer.with_gate_of(other, gate)
        own = np.delete(np.arange(UNITS * len(layer.BLOCKS)).reshape(-1, UNITS), block, axis=0)
        for weight, old in zip(mixed.weights, before, strict=True):
            np.testing.assert_array_equal(weight[..., own], old[..., own])
    for weight, old in zip(layer.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


# Chrono biases and half-lives


def test_chrono_biases_give_time_constants_from_two_to_the_longest():
    """1 / (1 − σ(b)) = 1 + e^b is uniform in [2, T_max]: its quantiles lie on a straight line."""
    input_bias, forget_bias = chrono_bias(20_000, 100, np.random.default_rng(66))
    np.testing.assert_array_equal(input_bias, -forget_bias)
    times = np.sort(1 + np.exp(forget_bias))
    assert times[0] >= 2
    assert times[-1] <= 100
    line = 2 + 98 * (np.arange(20_000) + 0.5) / 20_000
    assert np.abs(times - line).max() < 98 * 1.63 / np.sqrt(20_000)  # Kolmogorov, 1 in 100


def test_uniform_biases_would_be_noticed():
    biases = np.random.default_rng(66).uniform(0, np.log(99), 20_000)  # the logarithm forgotten
    times = np.sort(1 + np.exp(biases))
    line = 2 + 98 * (np.arange(20_000) + 0.5) / 20_000
    assert np.abs(times - line).max() > 10


def test_chrono_biases_are_those_of_their_seed():
    first, second, other = (chrono_bias(5, 50, np.random.default_rng(s))[1] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert (chrono_bias(5, 3, np.random.default_rng(1))[1] >= 0).all()


def test_the_products_to_the_last_step_by_hand():
    kept = np.array([2.0, 3.0, 5.0]).reshape(1, 3, 1)
    np.testing.assert_array_equal(products_to_the_last(kept)[0, :, 0], [30, 15, 5, 1])
    with pytest.raises(ValueError, match=r"`kept` has shape \(3,\); it takes an array of shape"):
        products_to_the_last([2.0, 3.0, 5.0])


def test_the_half_life_of_the_default_bias():
    assert half_life(1.0) == pytest.approx(2.2127, abs=5e-5)  # ln ½ / ln 0.73106
    assert half_life(0.0) == 1  # σ(0) = ½


def test_no_bias_makes_the_half_life_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(half_life(709.0))
        assert half_life(711.0) == np.inf


def test_a_matrix_given_twice_is_turned_round_once():
    rng = np.random.default_rng(3)
    W = rng.normal(size=(2, 6))
    layer, x = GRU(W, W), rng.normal(size=(4, 5, 2))
    np.testing.assert_allclose(
        layer.converted().forward(x).outputs, layer.forward(x).outputs, atol=1e-14
    )


def test_a_matrix_given_twice_can_get_one_gate_of_another_layer():
    rng = np.random.default_rng(3)
    W, (W_x, W_h) = rng.normal(size=(2, 6)), rng.normal(size=(2, 2, 6))
    mixed = GRU(W, W).with_gate_of(GRU(W_x, W_h), "reset")
    for weight, own, theirs in zip(mixed.weights, (W, W), (W_x, W_h), strict=True):
        np.testing.assert_array_equal(weight[:, 2:4], theirs[:, 2:4])
        np.testing.assert_array_equal(np.delete(weight, [2, 3], 1), np.delete(own, [2, 3], 1))


def test_a_layer_has_arrays_of_its_own():
    rng = np.random.default_rng(3)
    weights = rng.normal(size=(3, 6)), rng.normal(size=(2, 6)), rng.normal(size=(2, 6))
    layer = GRU(*weights)
    for mine, given in zip(layer.weights, weights, strict=True):
        assert not np.shares_memory(mine, given)


def test_after_its_half_life_a_real_cell_has_half_left():
    for steps in (1, 3, 20):
        kept = 0.5 ** (1 / steps)
        bias = np.log(kept / (1 - kept))
        assert half_life(bias) == pytest.approx(steps, rel=1e-12)
        layer = LSTM(np.zeros((1, 4)), np.zeros((1, 4))).with_bias(forget=bias)
        trace = layer.forward(np.zeros((1, steps, 1)), (np.zeros((1, 1)), np.ones((1, 1))))
        assert trace.cells[0, -1, 0] == pytest.approx(0.5, rel=1e-12)


def test_half_lives_of_many_biases_and_of_extreme_ones():
    found = half_life([[-800.0, 0.0], [30.0, 800.0]])
    assert found.shape == (2, 2)
    np.testing.assert_allclose(found[0], [np.log(2) / 800, 1], rtol=1e-12)
    assert found[1, 0] == pytest.approx(np.log(2) * np.exp(30), rel=1e-9)
    assert found[1, 1] == np.inf


# The two conventions of a GRU


@EVERY_GRU
def test_a_converted_gru_is_the_same_function(options):
    layer = drawn(partial(GRU.random, **options))
    other = layer.converted()
    assert {layer.keeps, other.keeps} == {"old", "new"}
    x = inputs()
    trace, converted = layer.forward(x), other.forward(x)
    np.testing.assert_allclose(converted.outputs, trace.outputs, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(converted.gates["update"], 1 - trace.gates["update"], rtol=1e-12)
    for path in ("jacobians", "direct_path", "full_path"):
        np.testing.assert_allclose(
            getattr(other, path)(converted), getattr(layer, path)(trace), rtol=1e-9, atol=1e-14
        )


@EVERY_GRU
def test_its_gradients_are_those_of_the_other_with_the_update_gate_turned_round(options):
    layer = drawn(partial(GRU.random, **options))
    other, x = layer.converted(), inputs()
    d_outputs = np.random.default_rng(67).standard_normal((BATCH, LENGTH, UNITS))
    own = layer.backward(layer.forward(x), d_outputs)
    theirs = other.backward(other.forward(x), d_outputs)
    np.testing.assert_allclose(theirs.states, own.states, rtol=1e-10, atol=1e-14)
    for a, b in zip(own.weights, theirs.weights, strict=True):
        turned = np.concatenate([-b[..., :UNITS], b[..., UNITS:]], axis=-1)
        np.testing.assert_allclose(turned, a, rtol=1e-10, atol=1e-14)


@EVERY_GRU
def test_converting_twice_changes_nothing_and_converting_once_is_a_copy(options):
    layer = drawn(partial(GRU.random, **options))
    before = [weight.copy() for weight in layer.weights]
    twice = layer.converted().converted()
    assert twice.keeps == layer.keeps
    for weight, again, copy in zip(layer.weights, twice.weights, before, strict=True):
        np.testing.assert_array_equal(weight, copy)
        np.testing.assert_array_equal(again, copy)
    assert layer.converted().reset_after == layer.reset_after


@pytest.mark.parametrize("forgotten", ["kernel", "recurrent_kernel", "bias", "all"])
@EVERY_GRU
def test_the_comparison_notices_weights_that_were_not_negated(options, forgotten):
    layer = drawn(partial(GRU.random, **options))
    wrong = layer.converted()
    for name in ("kernel", "recurrent_kernel", "bias"):
        if forgotten in (name, "all"):
            setattr(wrong, name, getattr(layer, name))
    x = inputs()
    assert np.abs(wrong.forward(x).outputs - layer.forward(x).outputs).max() > 1e-2
