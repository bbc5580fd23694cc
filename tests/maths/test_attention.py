"""Attention = its equations = central differences; masks hide, softmaxes shift, positions turn."""

import itertools
import math
import warnings

import numpy as np
import pytest

from course_lib.maths.attention import (
    MultiHeadAttention,
    additive_attention,
    attention_trace,
    causal_mask,
    entropy,
    multi_head_attention,
    padding_mask,
    position_rotation,
    positional_encoding,
    scaled_dot_product_attention,
    scaled_dot_product_attention_backward,
    softmax,
    softmax_jacobian,
)

BATCH, QUERIES, KEYS, D_K, D_V = 2, 4, 5, 3, 6
LEADING = pytest.mark.parametrize("leading", [(), (2,), (2, 3)], ids=["one", "batch", "heads"])
MASKS = ("none", "padding", "causal", "some", "a row of none")
EVERY_MASK = pytest.mark.parametrize("kind", MASKS)
SCALES = pytest.mark.parametrize("scale", [None, 1.0, -0.3])


def mask_of(kind, leading=(BATCH,)):
    """Return a mask for QUERIES and KEYS."""
    if kind == "none":
        return None
    if kind == "padding":
        return np.arange(KEYS) < 3
    if kind == "causal":
        return causal_mask(QUERIES, KEYS)
    mask = np.random.default_rng(71).random((*leading, QUERIES, KEYS)) < 0.6
    mask[..., 2] = True
    if kind == "a row of none":
        mask[..., 1, :] = False
    return mask


def problem(leading=(BATCH,), seed=72):
    rng = np.random.default_rng(seed)
    shapes = ((QUERIES, D_K), (KEYS, D_K), (KEYS, D_V), (QUERIES, D_V))
    return [rng.standard_normal((*leading, *shape)) for shape in shapes]


def written_out(scores, v, mask):
    """Return output and weights by (2) and (3), without a shift, and 0 where all is masked."""
    e = np.exp(scores) * (1 if mask is None else mask)
    total = np.einsum("...ij->...i", e)[..., None]
    weights = np.divide(e, total, out=np.zeros_like(e), where=total > 0)
    return np.einsum("...ij,...jd->...id", weights, v), weights


def dot_scores(q, k, scale):
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    return factor * np.einsum("...id,...jd->...ij", q, k)


# --- scaled dot product --------------------------------------------------------------------------


@SCALES
@EVERY_MASK
@LEADING
def test_the_forward_pass_is_the_equations(leading, kind, scale):
    q, k, v, _ = problem(leading)
    mask = mask_of(kind, leading)
    output, weights = scaled_dot_product_attention(q, k, v, mask, scale=scale)
    expected, expected_weights = written_out(dot_scores(q, k, scale), v, mask)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(output, expected, rtol=1e-11, atol=1e-13)
    trace = attention_trace(q, k, v, mask, scale=scale)
    np.testing.assert_array_equal(trace.output, output)
    np.testing.assert_allclose(trace.scores, dot_scores(q, k, scale), rtol=1e-12, atol=1e-14)


@SCALES
@EVERY_MASK
@LEADING
def test_the_gradients_are_central_differences(
    leading, kind, scale, central_differences, largest_error
):
    q, k, v, d_output = problem(leading)
    mask = mask_of(kind, leading)
    own = scaled_dot_product_attention_backward(
        attention_trace(q, k, v, mask, scale=scale), d_output
    )
    reference = central_differences(
        lambda: float(np.sum(written_out(dot_scores(q, k, scale), v, mask)[0] * d_output)),
        [q, k, v],
    )
    assert [g.shape for g in (own.queries, own.keys, own.values)] == [q.shape, k.shape, v.shape]
    assert largest_error([own.queries, own.keys, own.values], reference) < 1e-9


@EVERY_MASK
def test_the_gradients_by_scores_and_weights_are_central_differences(
    kind, central_differences, largest_error
):
    q, k, v, d_output = problem()
    mask = mask_of(kind)
    trace = attention_trace(q, k, v, mask)
    own = scaled_dot_product_attention_backward(trace, d_output)
    scores, weights = trace.scores.copy(), trace.weights.copy()
    by_scores, by_weights = (
        central_differences(function, [point])
        for function, point in (
            (lambda: float(np.sum(written_out(scores, v, mask)[0] * d_output)), scores),
            (lambda: float(np.sum((weights @ v) * d_output)), weights),
        )
    )
    assert largest_error([own.scores], by_scores) < 1e-9
    assert largest_error([own.weights], by_weights) < 1e-9


FAULTS = (
    None,
    "scale forgotten",
    "scale by d_k instead of its root",
    "diagonal of the Jacobian only",
    "sum over queries instead of keys",
    "Jacobian forgotten",
    "keys and queries exchanged",
    "mask forgotten",
    "weights not transposed",
)


def _faulty_backward(trace, g, fault):
    """Return (5) to (8) with one classic mistake in them; with `fault` None there is none."""
    q, k, v = trace.queries, trace.keys, trace.values
    p = written_out(trace.scores, v, None if fault == "mask forgotten" else trace.mask)[1]
    scale = {"scale forgotten": 1, "scale by d_k instead of its root": 1 / q.shape[-1]}.get(
        fault, trace.scale
    )
    d_v = np.einsum("bij,bjd->bid" if fault == "weights not transposed" else "bij,bid->bjd", p, g)
    d_p = np.einsum("bid,bjd->bij", g, v)
    along = (p * d_p).sum(1 if fault == "sum over queries instead of keys" else 2, keepdims=True)
    d_s = p * (d_p - along)
    if fault == "diagonal of the Jacobian only":
        d_s = p * (1 - p) * d_p
    if fault == "Jacobian forgotten":
        d_s = d_p
    d_q, d_k = (
        scale * np.einsum("bij,bjd->bid", d_s, k),
        scale * np.einsum("bij,bid->bjd", d_s, q),
    )
    return [d_k, d_q, d_v] if fault == "keys and queries exchanged" else [d_q, d_k, d_v]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_comparison_notices_a_faulty_backward_pass(fault, central_differences, largest_error):
    rng = np.random.default_rng(73)
    q, k, v, d_output = rng.standard_normal((4, 2, 5, 3))  # all shapes alike, so that none refuses
    mask = causal_mask(5)
    wrong = _faulty_backward(attention_trace(q, k, v, mask), d_output, fault)
    reference = central_differences(
        lambda: float(np.sum(written_out(dot_scores(q, k, None), v, mask)[0] * d_output)), [q, k, v]
    )
    error = largest_error(wrong, reference)
    assert error < 1e-9 if fault is None else error > 1e-2


def test_no_gradient_arrives_at_what_is_hidden_or_sees_nothing():
    q, k, v, d_output = problem()
    mask = np.ones((BATCH, QUERIES, KEYS), bool)
    mask[:, :, 3] = False  # nobody looks at key 3
    mask[1, 2] = False  # query 2 of the second sample looks at nothing
    trace = attention_trace(q, k, v, mask)
    own = scaled_dot_product_attention_backward(trace, d_output)
    for array in (own.keys[:, 3], own.values[:, 3], own.queries[1, 2], own.scores[1, 2]):
        assert not array.any()
    assert not trace.weights[:, :, 3].any()
    assert not trace.weights[1, 2].any()
    assert not trace.output[1, 2].any()
    assert own.keys[:, :3].all()
    np.testing.assert_allclose(own.scores.sum(-1), 0, atol=1e-14)  # a shift changes nothing


def test_what_is_hidden_changes_nothing_exactly():
    q, k, v, d_output = problem()
    mask = np.arange(KEYS) < 3
    changed_k, changed_v = k.copy(), v.copy()
    changed_k[:, 3:], changed_v[:, 3:] = 1e5, -1e7
    for attention in (scaled_dot_product_attention, additive_attention):
        before, after = attention(q, k, v, mask), attention(q, changed_k, changed_v, mask)
        for a, b in zip(before, after, strict=True):
            np.testing.assert_array_equal(a, b)
        assert np.abs(attention(q, changed_k, changed_v)[0] - before[0]).max() > 1  # the control
    own, other = (
        scaled_dot_product_attention_backward(attention_trace(q, *kv, mask), d_output)
        for kv in ((k, v), (changed_k, changed_v))
    )
    np.testing.assert_array_equal(own.queries, other.queries)


@pytest.mark.parametrize("t", range(1, 7))
def test_a_later_token_changes_no_earlier_output_exactly(t):
    """Dot product, additive and several heads; without the mask every output changes."""
    rng = np.random.default_rng(74)
    x = rng.standard_normal((2, 7, 4))
    changed = x.copy()
    changed[:, t:] = 100 * rng.standard_normal(changed[:, t:].shape)
    layer = MultiHeadAttention.random(4, 2, rng)
    for attention in (
        scaled_dot_product_attention,
        additive_attention,
        lambda q, k, v, mask=None: multi_head_attention(q, k, v, layer, mask),
    ):
        (before, p), (after, p_after) = (attention(s, s, s, causal_mask(7)) for s in (x, changed))
        np.testing.assert_array_equal(before[:, :t], after[:, :t])
        np.testing.assert_array_equal(p[..., :t, :], p_after[..., :t, :])
        assert not p[..., :t, t:].any()
        assert (before[:, t:] != after[:, t:]).any(axis=-1).all()
        unmasked = attention(changed, changed, changed)[0] - attention(x, x, x)[0]
        assert np.abs(unmasked[:, :t]).max(axis=-1).min() > 1e-3


def test_without_positions_attention_does_not_see_the_order():
    """f(P x) = P f(x), M17 of the findings; a causal mask or an encoding breaks it."""
    rng = np.random.default_rng(75)
    x, order = rng.standard_normal((1, 6, 4)), rng.permutation(6)
    layer = MultiHeadAttention.random(4, 2, rng)

    def outputs(x, mask=None):
        return layer.forward(x, mask=mask).output

    np.testing.assert_allclose(outputs(x[:, order]), outputs(x)[:, order], atol=1e-14)
    masked = outputs(x[:, order], causal_mask(6)) - outputs(x, causal_mask(6))[:, order]
    placed = x + positional_encoding(6, 4)
    encoded = outputs(x[:, order] + positional_encoding(6, 4)) - outputs(placed)[:, order]
    assert np.abs(masked).max() > 0.1
    assert np.abs(encoded).max() > 0.1


def test_the_variance_of_q_k_is_d_k_and_scaling_keeps_the_softmax_open():
    """Vaswani et al. 2017, footnote 4; M17: unscaled, the raw Jacobian is larger up to d_k = 16."""
    found = {}
    for d_k in (4, 16, 64, 1024):
        q, k = np.random.default_rng(76).standard_normal((2, 400, d_k))
        v = np.zeros((32, 1))
        scores = (q @ k.T).ravel()
        assert scores.var() / d_k == pytest.approx(1, abs=0.06)
        for scale in (1.0, None):
            p = scaled_dot_product_attention(q, k[:32], v, scale=scale)[1]
            norms = np.linalg.norm(softmax_jacobian(p), axis=(1, 2))
            found[d_k, scale] = (p.max(axis=1).mean(), np.median(norms))
    assert found[4, 1.0][1] > found[4, None][1]
    assert found[64, 1.0][1] < found[64, None][1]
    assert found[1024, 1.0][0] > 0.9
    assert found[1024, 1.0][1] < 1e-2
    for d_k in (4, 16, 64, 1024):
        assert 0.14 < found[d_k, None][0] < 0.2
        assert 0.2 < found[d_k, None][1] < 0.27


# --- softmax -------------------------------------------------------------------------------------


def test_softmax_is_its_definition_and_its_shift():
    scores = np.random.default_rng(77).standard_normal((3, 4, 5))
    p = softmax(scores)
    np.testing.assert_allclose(p, np.exp(scores) / np.exp(scores).sum(-1, keepdims=True))
    np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-15)
    eighths = np.round(8 * scores) / 8  # so that the sum is exact
    np.testing.assert_array_equal(softmax(eighths + 2.0**40), softmax(eighths))
    np.testing.assert_allclose(softmax(scores + 700), p, rtol=1e-12)


def test_softmax_of_large_scores_neither_overflows_nor_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(softmax([1e308, -1e308, 1e308]), [0.5, 0, 0.5])
        np.testing.assert_allclose(softmax([1000.0, 1001.0]), softmax([0.0, 1.0]))
        np.testing.assert_array_equal(softmax([-1e4, -1e308], [False, True]), [0, 1])
        np.testing.assert_array_equal(softmax([[1.0, 2.0]], [[False, False]]), [[0, 0]])
        output, _ = scaled_dot_product_attention(np.full((2, 2), 1e200), np.eye(2), np.eye(2))
        assert np.isfinite(output).all()
        output, _ = scaled_dot_product_attention([[1e200]], [[1e200]], [[1.0]])
        assert np.isnan(output).all()  # q · k is beyond float64, so nothing after it is a number


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 4)])
def test_the_jacobian_is_central_differences(shape, central_differences, largest_error):
    scores = np.random.default_rng(78).standard_normal(shape)
    own = softmax_jacobian(softmax(scores))
    assert own.shape == (*shape, shape[-1])
    for i in range(shape[-1]):
        reference = central_differences(lambda i=i: float(softmax(scores)[..., i].sum()), [scores])
        assert largest_error([own[..., i, :]], reference) < 1e-9


def test_the_jacobian_is_symmetric_its_rows_sum_to_0_and_its_eigenvalues_stay_below_a_half():
    p = softmax(3 * np.random.default_rng(79).standard_normal((200, 6)))
    J = softmax_jacobian(p)
    np.testing.assert_array_equal(J, J.swapaxes(1, 2))
    np.testing.assert_allclose(J.sum(-1), 0, atol=1e-15)
    eigenvalues = np.linalg.eigvalsh(J)
    assert eigenvalues.min() > -1e-15
    assert eigenvalues.max() <= 0.5
    np.testing.assert_allclose(np.linalg.eigvalsh(softmax_jacobian([0.5, 0.5])), [0, 0.5])
    assert not softmax_jacobian([0.0, 1.0, 0.0]).any()  # saturated: nothing passes
    assert not softmax_jacobian(softmax([1.0, 2.0], [False, False])).any()


def test_the_backward_pass_multiplies_by_the_jacobian():
    q, k, v, d_output = problem()
    trace = attention_trace(q, k, v, mask_of("some"))
    own = scaled_dot_product_attention_backward(trace, d_output)
    through = np.einsum("bijm,bim->bij", softmax_jacobian(trace.weights), own.weights)
    np.testing.assert_allclose(own.scores, through, atol=1e-15)


def test_entropy_counts_the_keys_that_are_looked_at():
    p = softmax(np.random.default_rng(97).standard_normal((3, 4, 6)))
    expected = [[-sum(x * math.log(x) for x in row) for row in sample] for sample in p]
    np.testing.assert_allclose(entropy(p), expected, rtol=1e-13)
    assert np.exp(entropy(np.full(8, 1 / 8))) == pytest.approx(8)
    assert np.exp(entropy([0.5, 0, 0.5, 0])) == pytest.approx(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(entropy([[0.0, 1.0], [0.0, 0.0]]), 0)
    assert 0 < entropy(softmax([0.0, 700.0])) < 1e-300


# --- masks ---------------------------------------------------------------------------------------


def test_true_means_may_look():
    np.testing.assert_array_equal(
        causal_mask(3), [[True, False, False], [True, True, False], [True, True, True]]
    )
    assert causal_mask(2, 4).tolist() == [[True, False, False, False], [True, True, False, False]]
    tokens = [[5, 2, 0, 0], [7, 1, 3, 0]]
    mask = padding_mask(tokens)
    assert mask.shape == (2, 1, 4)
    assert mask.dtype == bool
    assert mask[:, 0].tolist() == [[True, True, False, False], [True, True, True, False]]
    np.testing.assert_array_equal(padding_mask(np.array(tokens) - 1, padding=-1), mask)
    both = mask & causal_mask(4)
    assert both.shape == (2, 4, 4)
    assert both[0].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0]]
    x = np.random.default_rng(80).standard_normal((2, 4, 3))
    _, weights = scaled_dot_product_attention(x, x, x, both)
    np.testing.assert_array_equal(weights > 0, both)


# --- additive ------------------------------------------------------------------------------------


@pytest.mark.parametrize("scaled", [True, False])
@EVERY_MASK
@LEADING
def test_additive_attention_is_its_equation(leading, kind, scaled):
    q, k, v, _ = problem(leading)
    scale = np.random.default_rng(81).standard_normal(D_K) if scaled else None
    scores = np.zeros((*leading, QUERIES, KEYS))
    for i, j, u in itertools.product(range(QUERIES), range(KEYS), range(D_K)):
        weight = scale[u] if scaled else 1
        scores[..., i, j] += weight * np.tanh(q[..., i, u] + k[..., j, u])
    mask = mask_of(kind, leading)
    output, weights = additive_attention(q, k, v, mask, scale=scale)
    expected, expected_weights = written_out(scores, v, mask)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(output, expected, rtol=1e-11, atol=1e-13)


# --- several heads -------------------------------------------------------------------------------


def layer_and_inputs(*, bias=True, self_attention=False, seed=82):
    """A layer whose inputs, heads and output all have different widths, unless x is all three."""
    rng = np.random.default_rng(seed)
    f_q, f_k, f_v, units = (4, 4, 4, 5) if self_attention else (4, 3, 2, 5)
    heads, d_k, d_v = 3, 2, 6
    shapes = ((f_q, heads, d_k), (f_k, heads, d_k), (f_v, heads, d_v), (heads, d_v, units))
    kernels = [rng.standard_normal(shape) for shape in shapes]
    biases = [rng.standard_normal((heads, d)) for d in (d_k, d_k, d_v)]
    layer = MultiHeadAttention(kernels, [*biases, rng.standard_normal(units)] if bias else None)
    x = [
        rng.standard_normal((BATCH, time, f))
        for time, f in ((QUERIES, f_q), (KEYS, f_k), (KEYS, f_v))
    ]
    d_output = rng.standard_normal((BATCH, QUERIES, units))
    return layer, x[:1] if self_attention else x, d_output


def heads_written_out(layer, x_q, x_k, x_v, mask=None):
    """Return output and weights by (9) to (11), one head at a time."""
    W_Q, W_K, W_V, W_O = layer.kernels
    b_Q, b_K, b_V, b_O = layer.biases or (np.zeros((len(W_O), 1)),) * 3 + (0,)
    output, weights = b_O, []
    for h in range(len(W_O)):
        Q, K, V = (
            np.einsum("btf,fd->btd", x, W[:, h]) + b[h]
            for x, W, b in ((x_q, W_Q, b_Q), (x_k, W_K, b_K), (x_v, W_V, b_V))
        )
        y, p = written_out(dot_scores(Q, K, None), V, mask)
        output = output + np.einsum("btd,du->btu", y, W_O[h])
        weights.append(p)
    return output, np.stack(weights, axis=1)


@pytest.mark.parametrize("bias", [True, False])
@EVERY_MASK
def test_several_heads_are_their_equations(kind, bias):
    layer, x, _ = layer_and_inputs(bias=bias)
    mask = mask_of(kind)
    output, weights = multi_head_attention(*x, layer, mask)
    expected, expected_weights = heads_written_out(layer, *x, mask)
    assert weights.shape == (BATCH, 3, QUERIES, KEYS)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-11, atol=1e-15)
    np.testing.assert_allclose(output, expected, rtol=1e-11, atol=1e-12)


def test_the_defaults_are_self_attention_and_values_from_where_the_keys_are():
    layer, (x,), _ = layer_and_inputs(self_attention=True)
    memory = np.random.default_rng(83).standard_normal((BATCH, 7, 4))
    for short, long in (((x,), (x, x, x)), ((x, memory), (x, memory, memory))):
        np.testing.assert_array_equal(layer.forward(*short).output, layer.forward(*long).output)


def test_each_head_can_have_a_mask_of_its_own():
    layer, x, _ = layer_and_inputs()
    masks = np.random.default_rng(84).random((BATCH, 3, QUERIES, KEYS)) < 0.6
    masks[..., 0] = True
    weights = layer.forward(*x, mask=masks).weights
    np.testing.assert_array_equal(weights > 0, masks)
    for h in range(3):
        alike = layer.forward(*x, mask=masks[:, h]).weights
        np.testing.assert_array_equal(alike[:, h], weights[:, h])
        assert (alike[:, (h + 1) % 3] != weights[:, (h + 1) % 3]).any()


@pytest.mark.parametrize("bias", [True, False])
@EVERY_MASK
def test_the_gradients_of_several_heads_are_central_differences(kind, bias, central_differences):
    layer, x, d_output = layer_and_inputs(bias=bias)
    mask = mask_of(kind)
    own = layer.backward(layer.forward(*x, mask=mask), d_output)
    parameters = [*layer.weights, *x]
    reference = central_differences(
        lambda: float(np.sum(heads_written_out(layer, *x, mask)[0] * d_output)), parameters
    )
    mine = [*own.weights, own.queries, own.keys, own.values]
    assert [g.shape for g in mine] == [p.shape for p in parameters]
    scale = max(np.linalg.norm(g) for g in reference)
    for ours, theirs in zip(mine, reference, strict=True):
        # b_K has gradient 0, so errors are compared with the largest norm.
        assert np.linalg.norm(ours - theirs) < 1e-9 * scale


def test_the_gradient_by_the_input_of_self_attention_is_the_sum_of_three(
    central_differences, largest_error
):
    layer, (x,), d_output = layer_and_inputs(self_attention=True)
    own = layer.backward(layer.forward(x, mask=causal_mask(QUERIES)), d_output)
    reference = central_differences(
        lambda: float(
            np.sum(heads_written_out(layer, x, x, x, causal_mask(QUERIES))[0] * d_output)
        ),
        [x],
    )
    assert largest_error([own.queries + own.keys + own.values], reference) < 1e-9
    assert largest_error([own.queries], reference) > 0.1


def test_the_bias_of_the_keys_gets_no_gradient_and_does_nothing():
    layer, x, d_output = layer_and_inputs()
    trace = layer.forward(*x)
    gradients = layer.backward(trace, d_output).biases
    assert np.abs(gradients[1]).max() < 1e-13 * np.abs(gradients[0]).max()
    moved = MultiHeadAttention(layer.kernels, [b + (i == 1) for i, b in enumerate(layer.biases)])
    np.testing.assert_allclose(moved.forward(*x).output, trace.output, rtol=1e-10)


def test_one_head_that_changes_nothing_is_the_dot_product():
    x = np.random.default_rng(85).standard_normal((2, 5, 3))
    eye = np.eye(3)[:, None]
    layer = MultiHeadAttention([eye, eye, eye, eye.swapaxes(0, 1)])
    output, weights = multi_head_attention(x, x, x, layer)
    expected, expected_weights = scaled_dot_product_attention(x, x, x)
    np.testing.assert_allclose(output, expected, rtol=1e-14)
    np.testing.assert_allclose(weights[:, 0], expected_weights, rtol=1e-14)


def test_a_random_layer_has_the_shapes_and_the_spread_it_promises():
    layer = MultiHeadAttention.random(64, 4, np.random.default_rng(86))
    assert [W.shape for W in layer.kernels] == [(64, 4, 16)] * 3 + [(4, 16, 64)]
    assert sum(W.size for W in layer.weights) == 16640  # 4 (d² + d)
    for W in layer.kernels:
        assert 0.99 < np.abs(W).max() / math.sqrt(6 / 128) <= 1
    assert not any(b.any() for b in layer.biases)
    narrow = MultiHeadAttention.random(6, 4, np.random.default_rng(87), key_dim=2, bias=False)
    assert [W.shape for W in narrow.weights] == [(6, 4, 2)] * 3 + [(4, 2, 6)]
    again = MultiHeadAttention.random(6, 4, np.random.default_rng(87), key_dim=2, bias=False)
    for a, b in zip(narrow.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_that_is_passed_in_is_changed():
    layer, x, d_output = layer_and_inputs()
    mask = mask_of("some")
    arrays = [*layer.weights, *x, d_output, mask]
    copies = [array.copy() for array in arrays]
    layer.backward(layer.forward(*x, mask=mask), d_output)
    additive_attention(x[0], x[0], x[0])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# --- positions -----------------------------------------------------------------------------------


def test_positions_are_pairs_of_sine_and_cosine():
    encoding = positional_encoding(20, 8)
    assert encoding.shape == (20, 8)
    for t, i in itertools.product(range(20), range(4)):
        angle = t / 10000 ** (2 * i / 8)
        assert encoding[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-14)
        assert encoding[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-14)


def test_positions_of_512_units_have_the_known_figures():
    encoding = positional_encoding(50, 512)
    np.testing.assert_allclose(encoding[1, :4], [0.841471, 0.540302, 0.821856, 0.569695], atol=5e-7)
    np.testing.assert_allclose((encoding**2).sum(axis=1), 256, rtol=1e-13)
    assert encoding[0] @ encoding[7] == pytest.approx(187.86500, abs=5e-6)


@pytest.mark.parametrize("units", [2, 6, 64])
def test_a_shift_is_a_rotation_wherever_it_starts(units):
    encoding = positional_encoding(60, units)
    for shift in (0, 1, 7, 40, -3, -20):
        R = position_rotation(shift, units)
        start, end = max(0, -shift), min(60, 60 - shift)
        shifted = encoding[start + shift : end + shift]
        np.testing.assert_allclose(encoding[start:end] @ R, shifted, atol=1e-12)
        np.testing.assert_allclose(R @ R.T, np.eye(units), atol=1e-14)
        np.testing.assert_allclose(R @ position_rotation(-shift, units), np.eye(units), atol=1e-14)
        assert np.linalg.det(R) == pytest.approx(1)
        if shift:  # the control: the transpose turns the other way
            assert np.abs(encoding[start:end] @ R.T - shifted).max() > 0.1


def test_positions_at_equal_distances_have_equal_products():
    products = positional_encoding(30, 16) @ positional_encoding(30, 16).T
    for distance in range(30):
        diagonal = np.diagonal(products, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-12)
