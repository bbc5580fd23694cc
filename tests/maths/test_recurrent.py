"""Recurrent layers: own gradients = central differences, and what each term of them means."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from course_lib.maths import recurrent
from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.initializers import INITIALIZERS
from course_lib.maths.recurrent import (
    GRU,
    LSTM,
    SimpleRNN,
    largest_singular_value,
    spectral_radius,
)

BATCH, LENGTH, FEATURES, UNITS = 3, 5, 2, 4
LAYERS = {
    **{f"rnn {name}": partial(SimpleRNN, activation=name) for name in ACTIVATIONS},
    "lstm": LSTM,
    "gru": GRU,
    "gru before": partial(GRU, reset_after=False),
    "gru keeps new": partial(GRU, keeps="new"),
    "gru before keeps new": partial(GRU, reset_after=False, keeps="new"),
}
EVERY_LAYER = pytest.mark.parametrize("kind", LAYERS)


def make(kind, *, bias=True, seed=41):
    """Return a layer whose weights are random, biases included."""
    rng = np.random.default_rng(seed)
    blocks = {"rnn": 1, "lstm": 4, "gru": 3}[kind.split()[0]]
    width = blocks * UNITS
    both = kind.startswith("gru") and "before" not in kind
    b = 0.5 * rng.standard_normal((2, width) if both else width) if bias else None
    W_x, W_h = rng.standard_normal((FEATURES, width)), rng.standard_normal((UNITS, width))
    return LAYERS[kind](W_x, 0.6 * W_h, b)


def problem(kind, *, last_step=False, seed=42):
    """Input, initial state and the gradient that the loss adds at each step, or at the last."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((BATCH, LENGTH, FEATURES))
    h_0, c_0 = rng.standard_normal((2, BATCH, UNITS))
    d_outputs = rng.standard_normal((BATCH, LENGTH, UNITS))
    if last_step:
        d_outputs[:, :-1] = 0
    return x, (h_0, c_0) if kind == "lstm" else h_0, d_outputs


def arrays_of(layer, x, state):
    return [*layer.weights, x, *(state if isinstance(state, tuple) else [state])]


def gradients_of(gradients):
    start = gradients.initial_state
    return [*gradients.weights, gradients.inputs, *(start if isinstance(start, tuple) else [start])]


def assert_equal_to_differences(own, reference):
    """To 1e-8 of each entry, and to 1e-9: differences of a loss near 10 know no more digits.

    A relative bound alone would ask for digits of what vanishes on the way to the first step.
    """
    for a, b in zip(own, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("last_step", [True, False], ids=["last step", "every step"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@EVERY_LAYER
def test_the_gradients_are_central_differences(kind, bias, last_step, central_differences):
    layer = make(kind, bias=bias)
    x, state, d_outputs = problem(kind, last_step=last_step)
    own = layer.backward(layer.forward(x, state), d_outputs)
    reference = central_differences(
        lambda: float(np.sum(layer.forward(x, state).outputs * d_outputs)),
        arrays_of(layer, x, state),
    )
    assert_equal_to_differences(gradients_of(own), reference)


def _nudged_outputs(layer, x, state, nudges, cell_nudges):
    """Outputs when a number is added to each new h_t, and to each new c_t with h_t held fixed."""
    outputs = []
    for t in range(x.shape[1]):
        trace = layer.forward(x[:, t : t + 1], state)
        h = trace.outputs[:, 0] + nudges[:, t]
        state = h if trace.cells is None else (h, trace.cells[:, 0] + cell_nudges[:, t])
        outputs.append(h)
    return np.stack(outputs, axis=1)


@EVERY_LAYER
def test_what_arrives_at_each_state_is_the_effect_of_nudging_it(kind, central_differences):
    """δ_t = ∂𝓛/∂h_t, total; `cells` = ∂𝓛/∂c_t with h_t held fixed, 0 at the last step."""
    layer = make(kind)
    x, state, d_outputs = problem(kind)
    own = layer.backward(layer.forward(x, state), d_outputs)
    nudges, cell_nudges = np.zeros((2, BATCH, LENGTH, UNITS))
    by_state, by_cell = central_differences(
        lambda: float(np.sum(_nudged_outputs(layer, x, state, nudges, cell_nudges) * d_outputs)),
        [nudges, cell_nudges],
    )
    assert_equal_to_differences([own.states], [by_state])
    if kind == "lstm":
        assert_equal_to_differences([own.cells], [by_cell])
        assert not own.cells[:, -1].any()
        assert np.abs(own.total_cells - own.cells).max() > 0.01
    else:
        assert own.cells is None
        assert own.total_cells is None
    np.testing.assert_allclose(own.norms, np.linalg.norm(by_state, axis=(0, 2)), rtol=1e-7)


@EVERY_LAYER
def test_the_pre_activations_are_those_of_the_equations(kind):
    """∂𝓛/∂a_t summed against what a_t reads is the gradient of the kernel, step by step."""
    layer = make(kind)
    x, state, d_outputs = problem(kind)
    trace = layer.forward(x, state)
    own = layer.backward(trace, d_outputs)
    terms = [trace.inputs[:, t].T @ own.pre_activations[:, t] for t in range(LENGTH)]
    np.testing.assert_allclose(sum(terms), own.kernel, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(own.inputs, own.pre_activations @ layer.kernel.T, atol=1e-12)
    assert trace.pre_activations.shape == (BATCH, LENGTH, layer.kernel.shape[1])


def test_the_forward_pass_of_a_simple_rnn_is_its_equation():
    layer = make("rnn tanh")
    x, h, _ = problem("rnn tanh")
    trace = layer.forward(x, h)
    for t in range(LENGTH):
        a = x[:, t] @ layer.kernel + h @ layer.recurrent_kernel + layer.bias
        h = np.tanh(a)
        np.testing.assert_allclose(trace.pre_activations[:, t], a, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(trace.outputs[:, t], h, rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(trace.previous_outputs[:, 1:], trace.outputs[:, :-1])


def test_the_gates_of_an_lstm_make_its_cells():
    layer = make("lstm")
    x, (h_0, c_0), _ = problem("lstm")
    trace = layer.forward(x, (h_0, c_0))
    i, f, g, o = (trace.gates[name] for name in ("input", "forget", "candidate", "output"))
    assert all(gate.shape == (BATCH, LENGTH, UNITS) for gate in trace.gates.values())
    np.testing.assert_array_equal(trace.gates["cell"], trace.cells)
    np.testing.assert_array_equal(trace.previous_cells[:, 0], c_0)
    np.testing.assert_allclose(trace.cells, f * trace.previous_cells + i * g, rtol=1e-13)
    np.testing.assert_allclose(trace.outputs, o * np.tanh(trace.cells), rtol=1e-13)
    a_i = trace.pre_activations[:, :, :UNITS]
    np.testing.assert_allclose(i, 1 / (1 + np.exp(-a_i)), rtol=1e-13)


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind.startswith("gru")])
def test_the_gates_of_a_gru_make_its_state(kind):
    layer = make(kind)
    x, h_0, _ = problem(kind)
    trace = layer.forward(x, h_0)
    z, candidate = trace.gates["update"], trace.gates["candidate"]
    kept = z if layer.keeps == "old" else 1 - z
    expected = kept * trace.previous_outputs + (1 - kept) * candidate
    np.testing.assert_allclose(trace.outputs, expected, rtol=1e-13)


@EVERY_LAYER
def test_a_sequence_may_be_run_in_two_halves(kind):
    layer = make(kind)
    x, state, _ = problem(kind)
    whole = layer.forward(x, state)
    first = layer.forward(x[:, :2], state)
    second = layer.forward(x[:, 2:], first.final_state)
    halves = np.concatenate([first.outputs, second.outputs], axis=1)
    np.testing.assert_allclose(halves, whole.outputs, rtol=1e-12, atol=1e-15)


@EVERY_LAYER
def test_without_a_state_it_starts_at_zero(kind):
    layer = make(kind)
    x, state, _ = problem(kind)
    zeros = (0 * state[0], 0 * state[1]) if kind == "lstm" else 0 * state
    np.testing.assert_array_equal(layer.forward(x).outputs, layer.forward(x, zeros).outputs)


@EVERY_LAYER
def test_nothing_that_is_passed_in_is_changed(kind):
    layer = make(kind)
    x, state, d_outputs = problem(kind)
    arrays = [*arrays_of(layer, x, state), d_outputs]
    copies = [array.copy() for array in arrays]
    layer.backward(layer.forward(x, state), d_outputs)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# Jacobians


def states_of(trace):
    """s_0 … s_T, of an LSTM h and c side by side: shape (batch, T + 1, n)."""
    h = np.concatenate([trace.previous_outputs[:, :1], trace.outputs], axis=1)
    if trace.cells is None:
        return h
    c = np.concatenate([trace.previous_cells[:, :1], trace.cells], axis=1)
    return np.concatenate([h, c], axis=2)


def last_state(layer, x, s):
    """The state to which a layer comes from s, in the same form."""
    state = (s[:, :UNITS], s[:, UNITS:]) if isinstance(layer, LSTM) else s
    return states_of(layer.forward(x, state))[:, -1]


def nudged(layer, x, s, central_differences):
    """∂(last state)/∂s by central differences: rows for s, columns for the last state."""
    s = s.copy()
    columns = [
        central_differences(lambda j=j: float(last_state(layer, x, s)[:, j].sum()), [s])[0]
        for j in range(s.shape[1])
    ]
    return np.stack(columns, axis=2)


@EVERY_LAYER
def test_a_jacobian_is_the_effect_of_nudging_the_state_before(kind, central_differences):
    layer = make(kind)
    x, state, _ = problem(kind)
    trace = layer.forward(x, state)
    states, J = states_of(trace), layer.jacobians(trace)
    size = states.shape[2]
    assert J.shape == (BATCH, LENGTH, size, size)
    for t in range(LENGTH):
        by_nudging = nudged(layer, x[:, t : t + 1], states[:, t], central_differences)
        np.testing.assert_allclose(J[:, t], by_nudging, atol=1e-9)


@EVERY_LAYER
def test_a_full_path_is_the_effect_on_the_last_state(kind, central_differences):
    layer = make(kind)
    x, state, _ = problem(kind)
    trace = layer.forward(x, state)
    states, path = states_of(trace), layer.full_path(trace)
    assert path.shape == (BATCH, LENGTH + 1, *2 * states.shape[2:])
    np.testing.assert_array_equal(path[1, -1], np.eye(states.shape[2]))
    np.testing.assert_array_equal(path[:, -2], layer.jacobians(trace)[:, -1])
    for t in (0, 2):
        by_nudging = nudged(layer, x[:, t:], states[:, t], central_differences)
        np.testing.assert_allclose(path[:, t], by_nudging, rtol=1e-7, atol=1e-9)


@EVERY_LAYER
def test_gradients_go_back_through_transposed_jacobians(kind):
    """δ_t = δ_T (J_{t+1} … J_T)ᵀ; of an LSTM by h_t and by c_t, each with the other held fixed."""
    layer = make(kind)
    x, state, d_outputs = problem(kind, last_step=True)
    trace = layer.forward(x, state)
    own, path = layer.backward(trace, d_outputs), layer.full_path(trace)
    d_last = d_outputs[:, -1]
    if kind == "lstm":
        found = np.concatenate([own.states, own.cells], axis=2)
        start = np.concatenate(own.initial_state, axis=1)
        d_last = np.concatenate([d_last, 0 * d_last], axis=1)
    else:
        found, start = own.states, own.initial_state
    found = np.concatenate([start[:, None], found], axis=1)
    expected = np.einsum("bj,btij->bti", d_last, path)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def test_a_linear_orthogonal_rnn_passes_exactly_its_gain_to_the_power_of_the_steps():
    """0.9⁵⁰ = 0.0051538 and 1.1⁵⁰ = 117.39 of the gradient reach the first step."""
    rng = np.random.default_rng(3)
    for gain in (0.9, 1.0, 1.1):
        start = partial(INITIALIZERS["orthogonal"], gain=gain)
        layer = SimpleRNN.random(2, 6, rng, recurrent=start, activation="linear")
        trace = layer.forward(rng.standard_normal((4, 51, 2)))
        d_outputs = np.zeros_like(trace.outputs)
        d_outputs[:, -1] = rng.standard_normal((4, 6))
        norms = layer.backward(trace, d_outputs).norms
        assert norms[0] / norms[-1] == pytest.approx(gain**50, rel=1e-10)


# Truncation


@EVERY_LAYER
def test_truncation_keeps_the_terms_of_the_last_steps(kind):
    """With a loss at the last step: what a run of the last k steps from h_{T−k} would get."""
    layer = make(kind)
    x, state, d_outputs = problem(kind, last_step=True)
    own = layer.backward(layer.forward(x, state), d_outputs, truncate=2)
    earlier = layer.forward(x[:, :-2], state).final_state
    tail = layer.backward(layer.forward(x[:, -2:], earlier), d_outputs[:, -2:])
    for truncated, last in zip(own.weights, tail.weights, strict=True):
        np.testing.assert_allclose(truncated, last, rtol=1e-10, atol=1e-13)
    assert not own.states[:, :-2].any()
    assert own.states[:, -2].all()


@EVERY_LAYER
def test_truncation_cuts_into_groups_from_the_end(kind):
    layer = make(kind)
    x, state, d_outputs = problem(kind)
    own = layer.backward(layer.forward(x, state), d_outputs, truncate=2)
    sums = [np.zeros_like(array) for array in layer.weights]
    for start, stop in ((0, 1), (1, 3), (3, 5)):  # 5 steps: 1 + 2 + 2
        trace = layer.forward(x[:, start:stop], state)
        state = trace.final_state
        group = layer.backward(trace, d_outputs[:, start:stop])
        np.testing.assert_allclose(own.states[:, start:stop], group.states, atol=1e-13)
        for total, part in zip(sums, group.weights, strict=True):
            total += part
    for truncated, total in zip(own.weights, sums, strict=True):
        np.testing.assert_allclose(truncated, total, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("truncate", [LENGTH, LENGTH + 3])
@EVERY_LAYER
def test_truncation_beyond_the_first_step_cuts_nothing(kind, truncate):
    layer = make(kind)
    x, state, d_outputs = problem(kind)
    trace = layer.forward(x, state)
    whole = gradients_of(layer.backward(trace, d_outputs))
    cut = gradients_of(layer.backward(trace, d_outputs, truncate=truncate))
    for a, b in zip(whole, cut, strict=True):
        np.testing.assert_array_equal(a, b)


# Faults that the comparisons notice


def _faulty(layer, trace, d_outputs, fault):
    """Return (3) to (7) with one classic mistake in them; with `fault` None there is none."""
    W_h = layer.recurrent_kernel.T if fault == "W_h not transposed" else layer.recurrent_kernel
    dW_x, dW_h, db = (np.zeros_like(array) for array in layer.weights)
    from_later = np.zeros((BATCH, UNITS))
    for t in reversed(range(LENGTH)):
        delta = d_outputs[:, t] + from_later
        if fault == "later steps forgotten":
            delta = d_outputs[:, t]
        if fault == "own loss forgotten" and t < LENGTH - 1:
            delta = from_later
        slope = 1 if fault == "slope forgotten" else 1 - trace.outputs[:, t] ** 2
        d_a = delta * slope
        read = trace.outputs[:, t] if fault == "h_t for h_t−1" else trace.previous_outputs[:, t]
        if fault == "overwritten":
            dW_x, dW_h, db = trace.inputs[:, t].T @ d_a, read.T @ d_a, d_a.sum(axis=0)
        else:
            dW_x, dW_h, db = (
                dW_x + trace.inputs[:, t].T @ d_a,
                dW_h + read.T @ d_a,
                db + d_a.sum(axis=0),
            )
        from_later = d_a @ W_h.T
    if fault == "mean over time":
        dW_x, dW_h, db = dW_x / LENGTH, dW_h / LENGTH, db / LENGTH
    return [dW_x, dW_h, db]


@pytest.mark.parametrize(
    "fault",
    [
        None,
        "W_h not transposed",
        "later steps forgotten",
        "own loss forgotten",
        "slope forgotten",
        "h_t for h_t−1",
        "overwritten",
        "mean over time",
    ],
)
def test_the_comparison_notices_a_faulty_backward_pass(fault, central_differences, largest_error):
    layer = make("rnn tanh")
    x, h_0, d_outputs = problem("rnn")
    wrong = _faulty(layer, layer.forward(x, h_0), d_outputs, fault)
    reference = central_differences(
        lambda: float(np.sum(layer.forward(x, h_0).outputs * d_outputs)), layer.weights
    )
    errors = [largest_error([a], [b]) for a, b in zip(wrong, reference, strict=True)]
    assert max(errors) < 1e-8 if fault is None else max(errors) > 1e-2


@pytest.mark.parametrize("kind", ["lstm", "gru", "gru before"])
@pytest.mark.parametrize("truncate", [1, 2, 4])
def test_the_comparison_notices_a_chain_that_is_cut(
    kind, truncate, central_differences, largest_error
):
    layer = make(kind)
    x, state, d_outputs = problem(kind)
    cut = layer.backward(layer.forward(x, state), d_outputs, truncate=truncate)
    reference = central_differences(
        lambda: float(np.sum(layer.forward(x, state).outputs * d_outputs)), layer.weights
    )
    assert largest_error(cut.weights, reference) > 1e-3


def _gate_upside_down(trace, name):
    return replace(trace, gates={**trace.gates, name: 1 - trace.gates[name]})


def _cells_one_step_late(trace):
    """c_t where c_{t−1} belongs."""
    h_0, _ = trace.initial_state
    return replace(trace, initial_state=(h_0, trace.cells[:, 0]))


LSTM_FAULTS = {
    **{name: partial(_gate_upside_down, name=name) for name in LSTM.BLOCKS},
    "cells": _cells_one_step_late,
}
GRU_FAULTS = {name: partial(_gate_upside_down, name=name) for name in GRU.BLOCKS}
FAULTS = [("lstm", fault) for fault in LSTM_FAULTS.items()]
FAULTS += [(kind, fault) for kind in ("gru", "gru before") for fault in GRU_FAULTS.items()]


@pytest.mark.parametrize(("kind", "fault"), FAULTS, ids=lambda value: value[0])
def test_the_comparison_notices_a_gate_that_is_read_wrongly(
    kind, fault, central_differences, largest_error
):
    layer = make(kind)
    x, state, d_outputs = problem(kind)
    wrong = layer.backward(fault[1](layer.forward(x, state)), d_outputs)
    reference = central_differences(
        lambda: float(np.sum(layer.forward(x, state).outputs * d_outputs)), layer.weights
    )
    assert largest_error(wrong.weights, reference) > 1e-2


@pytest.mark.parametrize(("kind", "fault"), FAULTS, ids=lambda value: value[0])
def test_jacobians_with_a_gate_that_is_read_wrongly_are_noticed(kind, fault):
    layer = make(kind)
    x, state, _ = problem(kind)
    trace = layer.forward(x, state)
    assert np.abs(layer.jacobians(fault[1](trace)) - layer.jacobians(trace)).max() > 1e-2


@EVERY_LAYER
def test_the_transposed_jacobian_is_another_one(kind):
    layer = make(kind)
    x, state, _ = problem(kind)
    J = layer.jacobians(layer.forward(x, state))
    assert np.abs(J - np.swapaxes(J, 2, 3)).max() > 1e-2


def test_reset_before_and_after_are_different_layers():
    """Equal weights, no bias: the outputs differ, so a wrong flag is seen."""
    after, before = (make(kind, bias=False) for kind in ("gru", "gru before"))
    x, h_0, _ = problem("gru")
    np.testing.assert_array_equal(after.kernel, before.kernel)
    assert np.abs(after.forward(x, h_0).outputs - before.forward(x, h_0).outputs).max() > 0.01


# Leaving the range of float64


def test_an_explosion_is_named_by_its_step_and_its_gradient_is_no_number():
    layer = SimpleRNN([[1.0]], [[1e200]], activation="linear")
    trace = layer.forward(np.ones((1, 4, 1)))
    assert trace.overflowed == 3  # 1, 1e200, 1e400
    assert np.isnan(layer.backward(trace, np.ones((1, 4, 1))).kernel).all()
    assert layer.forward(np.ones((1, 2, 1))).overflowed is None


def test_a_gradient_may_overflow_although_the_signal_does_not():
    layer = SimpleRNN([[1.0]], [[1e200]], activation="linear")
    trace = layer.forward(np.zeros((1, 3, 1)))
    gradients = layer.backward(trace, np.ones((1, 3, 1)))
    assert trace.overflowed is None
    assert np.isinf(gradients.states[0, 0, 0])


def test_norms_keep_what_squares_would_lose():
    layer = SimpleRNN([[1.0]], [[1e-100]], activation="linear")
    d_outputs = np.array([[[0.0], [0.0], [0.0], [1.0]]])
    gradients = layer.backward(layer.forward(np.ones((1, 4, 1))), d_outputs)
    np.testing.assert_allclose(gradients.norms, [1e-300, 1e-200, 1e-100, 1], rtol=1e-12)


# Starts


def test_a_random_layer_starts_as_keras_starts_one():
    rng = np.random.default_rng(5)
    rnn, lstm, gru = (kind.random(3, 8, rng) for kind in (SimpleRNN, LSTM, GRU))
    for layer in (rnn, lstm, gru):
        W = layer.recurrent_kernel
        np.testing.assert_allclose(W @ W.T, np.eye(8), atol=1e-13)
        limit = np.sqrt(6 / sum(layer.kernel.shape))
        assert 0.8 * limit < np.abs(layer.kernel).max() <= limit
    assert not rnn.bias.any()
    assert gru.bias.shape == (2, 24)
    assert not gru.bias.any()
    np.testing.assert_array_equal(lstm.bias, np.repeat([0.0, 1.0, 0.0, 0.0], 8))
    assert LSTM.random(3, 8, rng, forget_bias=5.0).bias[8] == 5.0
    assert GRU.random(3, 8, rng, reset_after=False).bias.shape == (24,)
    for kind in (SimpleRNN, LSTM, GRU):
        assert kind.random(3, 8, rng, bias=False).bias is None


def test_a_start_may_be_a_name_a_function_or_a_matrix():
    rng = np.random.default_rng(6)
    gain = partial(INITIALIZERS["orthogonal"], gain=1.5)
    assert largest_singular_value(
        SimpleRNN.random(1, 5, rng, recurrent=gain).recurrent_kernel
    ) == pytest.approx(1.5)
    identity = np.eye(5)
    layer = SimpleRNN.random(1, 5, rng, recurrent=identity, activation="relu", kernel="he_normal")
    np.testing.assert_array_equal(layer.recurrent_kernel, identity)
    layer.recurrent_kernel += 1
    assert identity[0, 1] == 0  # a copy


def test_the_same_seed_draws_the_same_layer():
    for kind in (SimpleRNN, LSTM, GRU):
        first, second, other = (kind.random(2, 3, np.random.default_rng(s)) for s in (7, 7, 8))
        for a, b in zip(first.weights, second.weights, strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.array_equal(first.kernel, other.kernel)


# The two sizes of a matrix


def test_spectral_radius_and_largest_singular_value():
    W = np.array([[0.5, 10.0], [0.0, 0.5]])
    assert spectral_radius(W) == pytest.approx(0.5)
    assert largest_singular_value(W) == pytest.approx(10.0249, abs=1e-4)
    rotation = np.array([[0.0, 1.0], [-1.0, 0.0]])  # eigenvalues ± i
    assert spectral_radius(rotation) == pytest.approx(1)
    assert largest_singular_value(np.ones((2, 3))) == pytest.approx(np.sqrt(6))


# What they print


def test_layers_traces_and_gradients_say_what_they_are():
    rng = np.random.default_rng(8)
    lstm = LSTM.random(2, 3, rng)
    trace = lstm.forward(np.ones((4, 6, 2)))
    assert repr(lstm) == "<LSTM: 2 features, 3 units>"
    assert repr(SimpleRNN.random(2, 3, rng)) == "<SimpleRNN: 2 features, 3 units, tanh>"
    assert "reset after the product" in repr(GRU.random(2, 3, rng))
    assert repr(trace) == (
        "<RecurrentTrace: batch 4, 6 steps, 3 units, gates input, forget, candidate, output, cell>"
    )
    assert repr(lstm.backward(trace, np.ones((4, 6, 3)))).startswith("<RecurrentGradients: ‖δ_1‖ =")
    assert set(recurrent.__all__) <= set(dir(recurrent))
