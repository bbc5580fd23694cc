"""Transformer blocks = their equations = central differences = tape = Keras; known figures."""

import dataclasses
import math
import warnings

import numpy as np
import pytest

from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.attention import MultiHeadAttention, causal_mask, padding_mask
from course_lib.maths.propagation import _own_generator
from course_lib.maths.transformer import (
    EncoderBlock,
    TransformerForm,
    backward,
    block_forward,
    forward,
    make_blocks,
    token_diversity,
    transformer_stack,
)

BATCH, LENGTH, UNITS, HEADS, HIDDEN, DEPTH = 2, 4, 6, 2, 5, 3
FORMS = [(norm, skip) for norm in (None, "pre", "post") for skip in (True, False)]
EVERY_FORM = pytest.mark.parametrize(("normalization", "skip"), FORMS)
FINE = 3e-6  # two norms in a row are so curved that steps of 1e-5 are 1e-9 off
KERNELS = ("W_Q", "W_K", "W_V", "W_O", "W_1", "W_2")


def form_of(normalization, skip, activation="tanh", norm_epsilon=1e-3):
    return TransformerForm(normalization, skip, ACTIVATIONS[activation], norm_epsilon)


def problem(depth=DEPTH, seed=101):
    """Blocks with all their parameters drawn, tokens, and a gradient at the top."""
    rng = np.random.default_rng(seed)
    d = UNITS // HEADS
    blocks = []
    for _ in range(depth):
        kernels = [0.4 * rng.standard_normal((UNITS, HEADS, d)) for _ in range(3)]
        kernels.append(0.4 * rng.standard_normal((HEADS, d, UNITS)))
        biases = [0.3 * rng.standard_normal((HEADS, d)) for _ in range(3)]
        biases.append(0.3 * rng.standard_normal(UNITS))
        blocks.append(
            EncoderBlock(
                MultiHeadAttention(kernels, biases),
                0.4 * rng.standard_normal((UNITS, HIDDEN)),
                0.3 * rng.standard_normal(HIDDEN),
                0.4 * rng.standard_normal((HIDDEN, UNITS)),
                0.3 * rng.standard_normal(UNITS),
                tuple(rng.uniform(0.5, 2, (2, UNITS))),
                tuple(0.3 * rng.standard_normal((2, UNITS))),
            )
        )
    x, d_output = rng.standard_normal((2, BATCH, LENGTH, UNITS))
    return x, blocks, d_output


def arrays_of(block):
    """All parameters of a block, the key's bias last: its gradient is 0."""
    b_Q, b_K, b_V, b_O = block.attention.biases
    ffn = [block.W_1, block.b_1, block.W_2, block.b_2]
    return [*block.attention.kernels, b_Q, b_V, b_O, *ffn, *block.scales, *block.offsets, b_K]


def gradients_of(gradients):
    """The gradients in the same order; zeros for the norms where there are none."""
    b_Q, b_K, b_V, b_O = gradients.attention.biases
    ffn = [gradients.W_1, gradients.b_1, gradients.W_2, gradients.b_2]
    none = np.zeros(UNITS)
    scales = [norm.scale if norm else none for norm in gradients.norms]
    offsets = [norm.offset if norm else none for norm in gradients.norms]
    return [*gradients.attention.kernels, b_Q, b_V, b_O, *ffn, *scales, *offsets, b_K]


def norm_written_out(x, scale=1, offset=0, epsilon=1e-3):
    centered = x - x.mean(-1, keepdims=True)
    return scale * centered / np.sqrt((centered**2).mean(-1, keepdims=True) + epsilon) + offset


def attention_written_out(layer, x, mask=None):
    W_Q, W_K, W_V, W_O = layer.kernels
    b_Q, b_K, b_V, b_O = layer.biases
    Q, K, V = (
        np.einsum("btf,fhd->bhtd", x, W) + b[:, None]
        for W, b in ((W_Q, b_Q), (W_K, b_K), (W_V, b_V))
    )
    e = np.exp(np.einsum("bhid,bhjd->bhij", Q, K) / math.sqrt(Q.shape[-1]))
    e = e if mask is None else e * mask
    p = e / e.sum(-1, keepdims=True)
    return np.einsum("bhij,bhjd,hdu->biu", p, V, W_O) + b_O


def written_out(x, blocks, form, mask=None):
    """Return h_0 … h_D and y by (1) to (3), without the modules of the course."""
    phi, h = form.activation.function, [x]
    for block in blocks:

        def attention(z, block=block):
            return attention_written_out(block.attention, z, mask)

        def ffn(z, block=block):
            return phi(z @ block.W_1 + block.b_1) @ block.W_2 + block.b_2

        z = h[-1]
        for i, inner in enumerate((attention, ffn)):
            norm = (block.scales[i], block.offsets[i], form.norm_epsilon)
            branch = inner(norm_written_out(z, *norm) if form.normalization == "pre" else z)
            z = z + branch if form.skip else branch
            z = norm_written_out(z, *norm) if form.normalization == "post" else z
        h.append(z)
    last = norm_written_out(h[-1], epsilon=form.norm_epsilon)
    return h, last if form.normalization == "pre" else h[-1]


@EVERY_FORM
@pytest.mark.parametrize("name", ["tanh", "relu", "gelu"])
def test_the_forward_pass_is_the_equations(normalization, skip, name):
    form = form_of(normalization, skip, name)
    x, blocks, d_output = problem()
    mask = causal_mask(LENGTH)
    expected, y = written_out(x, blocks, form, mask)
    found = transformer_stack(
        x, blocks, normalization=normalization, skip=skip, activation=name, mask=mask,
        d_output=d_output,
    )  # fmt: skip
    for own, theirs in zip(found.tokens, expected, strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(found.output, y, rtol=1e-10, atol=1e-12)


@EVERY_FORM
@pytest.mark.parametrize("name", ["tanh", "gelu"])
def test_the_gradients_are_central_differences(normalization, skip, name, central_differences):
    form = form_of(normalization, skip, name)
    x, blocks, d_output = problem(depth=2)
    traces, norm = forward(x, blocks, form)
    deltas, gradients = backward(traces, norm, blocks, form, d_output)
    own = [deltas[0], *(g for block in gradients for g in gradients_of(block))]
    parameters = [x, *(array for block in blocks for array in arrays_of(block))]
    reference = central_differences(
        lambda: float(np.sum(written_out(x, blocks, form)[1] * d_output)), parameters, FINE
    )
    assert [g.shape for g in own] == [p.shape for p in parameters]
    scale = max(np.linalg.norm(g) for g in reference)
    for ours, theirs in zip(own, reference, strict=True):
        # b_K has gradient 0, so errors are compared with the largest norm.
        assert np.linalg.norm(ours - theirs) < 1e-9 * scale


@EVERY_FORM
@pytest.mark.parametrize("layer", range(DEPTH + 1))
def test_every_blocks_gradient_is_that_of_the_stack_above_it(
    normalization, skip, layer, central_differences, largest_error
):
    form = form_of(normalization, skip)
    x, blocks, d_output = problem()
    traces, norm = forward(x, blocks, form)
    deltas, _ = backward(traces, norm, blocks, form, d_output)
    h = written_out(x, blocks, form)[0][layer].copy()
    reference = central_differences(
        lambda: float(np.sum(written_out(h, blocks[layer:], form)[1] * d_output)), [h], FINE
    )
    assert largest_error([deltas[layer]], reference) < 1e-8


@pytest.mark.parametrize(
    "fault", [None, "other place", "no last norm", "skip forgotten", "queries alone", "no norm"]
)
def test_the_comparison_notices_a_faulty_backward_pass(fault, central_differences, largest_error):
    """Negative controls: a pre-LN stack sent back through the wrong form, or a part of it."""
    form = form_of("pre", True)
    x, blocks, d_output = problem()
    traces, norm = forward(x, blocks, form)
    back = form
    if fault == "other place":
        back = dataclasses.replace(form, normalization="post")
    if fault == "no norm":
        back = dataclasses.replace(form, normalization=None)
    if fault == "skip forgotten":
        back = dataclasses.replace(form, skip=False)
    if fault == "no last norm":
        norm = None
    if fault == "queries alone":
        blocks = [dataclasses.replace(b, attention=_QueriesAlone(b.attention)) for b in blocks]
    wrong = backward(traces, norm, blocks, back, d_output)[0][0]
    reference = central_differences(
        lambda: float(np.sum(written_out(x, blocks, form)[1] * d_output)), [x]
    )
    error = largest_error([wrong], reference)
    assert error < 1e-8 if fault is None else error > 1e-2


class _QueriesAlone(MultiHeadAttention):
    """Self-attention that forgets what comes back by keys and values."""

    def __init__(self, layer):
        super().__init__(layer.kernels, layer.biases)

    def run_backward(self, trace, d_output):
        own = super().run_backward(trace, d_output)
        return dataclasses.replace(own, keys=0 * own.keys, values=0 * own.values)


# --- transformer_stack ---------------------------------------------------------------------------


@EVERY_FORM
def test_a_pass_is_forward_and_backward(normalization, skip):
    x, blocks, _ = problem()
    form = form_of(normalization, skip)
    d_y = _own_generator(9).standard_normal(x.shape)
    traces, norm = forward(x, blocks, form)
    deltas, gradients = backward(traces, norm, blocks, form, d_y)
    options = {"normalization": normalization, "skip": skip, "activation": "tanh"}
    found = transformer_stack(x, blocks, **options, seed=9)
    np.testing.assert_allclose(found.norms, [np.linalg.norm(d) for d in deltas], rtol=1e-13)
    assert tuple(found.kernel_norms) == KERNELS
    kernels = [(*g.attention.kernels, g.W_1, g.W_2) for g in gradients]
    for i, name in enumerate(KERNELS):
        expected = [np.linalg.norm(block[i]) for block in kernels]
        np.testing.assert_allclose(found.kernel_norms[name], expected, rtol=1e-13)
    np.testing.assert_allclose(
        found.diversity, [token_diversity(t) for t in found.tokens], rtol=1e-14
    )
    of = found.summary()
    first, *_, last = (np.linalg.norm(d) for d in deltas)
    np.testing.assert_allclose(of["arrived"], first / last, rtol=1e-13)
    assert of["diversity"] == of["tokens"][-1] == found.diversity[-1]
    assert of["W_Q of W_V"] == found.kernel_norms["W_Q"][-1] / found.kernel_norms["W_V"][-1]
    p = found.weights[-1]
    largest = [max(row) for row in p.reshape(-1, p.shape[-1])]
    np.testing.assert_allclose(of["largest p"], np.mean(largest), rtol=1e-14)
    assert [w.shape for w in found.weights] == [(BATCH, HEADS, LENGTH, LENGTH)] * DEPTH
    for given in (d_y, lambda y: d_y, lambda y: (y.fill(0), d_y)[1]):
        again = transformer_stack(x, blocks, **options, d_output=given)
        np.testing.assert_array_equal(again.norms, found.norms)
        np.testing.assert_array_equal(again.output, found.output)


def test_a_gradient_can_depend_on_the_output():
    """∂(½‖y‖²)/∂y = y."""
    x, blocks, _ = problem()
    output = transformer_stack(x, blocks).output
    by_function = transformer_stack(x, blocks, d_output=lambda y: y)
    np.testing.assert_array_equal(
        by_function.norms, transformer_stack(x, blocks, d_output=output).norms
    )


@EVERY_FORM
def test_with_a_causal_mask_a_later_token_changes_no_earlier_output_exactly(normalization, skip):
    x, blocks, d_output = problem()
    options = {"normalization": normalization, "skip": skip}
    for t in range(1, LENGTH):
        changed = x.copy()
        changed[:, t:] *= -3
        masked = [
            transformer_stack(z, blocks, mask=causal_mask(LENGTH), **options) for z in (x, changed)
        ]
        for before, after in zip(*(stack.tokens for stack in masked), strict=True):
            np.testing.assert_array_equal(before[:, :t], after[:, :t])
        unmasked = [transformer_stack(z, blocks, **options).output for z in (x, changed)]
        assert np.abs(unmasked[0][:, :t] - unmasked[1][:, :t]).max() > 1e-3
        # And back: a loss that reads the first t tokens sends nothing to later ones.
        form = form_of(normalization, skip)
        traces, norm = forward(x, blocks, form, [causal_mask(LENGTH)] * DEPTH)
        early = d_output.copy()
        early[:, t:] = 0
        assert not backward(traces, norm, blocks, form, early)[0][0][:, t:].any()


def test_what_is_padding_changes_nothing_exactly():
    x, blocks, _ = problem()
    mask = padding_mask([[1, 1, 1, 0], [1, 1, 0, 0]])
    changed = np.where(mask[:, 0, :, None], x, 7 * x)
    before, after = (transformer_stack(z, blocks, mask=mask).output for z in (x, changed))
    np.testing.assert_array_equal(before[mask[:, 0]], after[mask[:, 0]])
    assert (before[~mask[:, 0]] != after[~mask[:, 0]]).all()


def test_blocks_start_as_promised_and_a_deeper_stack_begins_with_a_shallower_one():
    deep = make_blocks(5, 12, 3, np.random.default_rng(102))
    shallow = make_blocks(2, 12, 3, np.random.default_rng(102))
    for block, same in zip(deep, shallow, strict=False):
        for a, b in zip(arrays_of(block), arrays_of(same), strict=True):
            np.testing.assert_array_equal(a, b)
    assert (deep[0].W_1 != deep[1].W_1).all()
    block = deep[0]
    assert block.W_1.shape == (12, 48)
    assert block.attention.kernels[0].shape == (12, 3, 4)
    for zero in (*block.attention.biases, block.b_1, block.b_2, *block.offsets):
        assert not zero.any()
    assert all((scale == 1).all() for scale in block.scales)
    narrow = make_blocks(1, 12, 3, np.random.default_rng(1), hidden=7, initializer="orthogonal")[0]
    np.testing.assert_allclose(narrow.W_1.T @ narrow.W_1, np.eye(7), atol=1e-13)
    np.testing.assert_allclose(
        narrow.attention.kernels[0].reshape(12, 12) @ narrow.attention.kernels[0].reshape(12, 12).T,
        np.eye(12),
        atol=1e-13,
    )


def test_a_stack_that_overflows_has_no_gradient_and_warns_of_nothing():
    blocks = make_blocks(3, 4, 2, np.random.default_rng(103))
    blocks = [dataclasses.replace(b, W_1=1e100 * b.W_1, W_2=1e100 * b.W_2) for b in blocks]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = transformer_stack(np.ones((1, 3, 4)), blocks, normalization=None)
        assert not np.isfinite(found.output).all()
        for norms in (found.norms, *found.kernel_norms.values()):
            assert np.isnan(norms).all()
        x = np.random.default_rng(111).standard_normal((1, 3, 4))
        large = transformer_stack(x, blocks[:1], normalization=None)
        assert 1e195 < large.norms[0] < 1e205  # its squares are out of range, it is not
        assert 0.1 < large.diversity[-1] < 1


def test_nothing_that_is_passed_in_is_changed():
    x, blocks, d_output = problem()
    arrays = [x, d_output, *(array for block in blocks for array in arrays_of(block))]
    copies = [array.copy() for array in arrays]
    for normalization, skip in FORMS:
        transformer_stack(x, blocks, normalization=normalization, skip=skip, d_output=d_output)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# --- how alike the tokens are --------------------------------------------------------------------


def test_diversity_is_1_for_opposite_tokens_and_0_for_equal_ones():
    x = np.random.default_rng(104).standard_normal((5, 7))
    assert token_diversity(np.concatenate([x, -x])) == pytest.approx(1, abs=1e-15)
    assert token_diversity(np.tile(x[0], (5, 1))) < 1e-15
    assert token_diversity(np.zeros((5, 7))) == 0
    assert token_diversity(3e200 * x) == pytest.approx(token_diversity(x), rel=1e-13)
    assert token_diversity(3e-200 * x) == pytest.approx(token_diversity(x), rel=1e-13)
    one, two = token_diversity(x), token_diversity(x + 3)
    assert two < one
    assert token_diversity(np.stack([x, x + 3])) == pytest.approx((one + two) / 2, rel=1e-13)
    assert token_diversity(np.stack([x, 1e-180 * x])) == pytest.approx(one, rel=1e-13)
    many = np.random.default_rng(105).standard_normal((200, 16, 64))
    assert token_diversity(many) == pytest.approx(math.sqrt(1 - 1 / 16), abs=2e-3)


def test_diversity_is_the_cosine_of_tokens_of_one_length():
    """With ‖x_t‖ = 1: diversity² = (1 − 1/T)(1 − mean cosine between different tokens)."""
    x = np.random.default_rng(106).standard_normal((5, 7)) + 1
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    cosine = ((x @ x.T).sum() - 5) / 20
    assert token_diversity(x) ** 2 == pytest.approx((1 - 1 / 5) * (1 - cosine), rel=1e-12)


# --- published and recorded figures --------------------------------------------------------------


def at_the_start(depth, normalization, skip, seed, units=64):
    """M18 and M19 of the findings: 16 tokens, batch 4, one head, FFN 256, 50 classes, Glorot."""
    rng = np.random.default_rng(seed)
    blocks = make_blocks(depth, units, 1, rng, hidden=256)
    x = rng.standard_normal((4, 16, units))
    W = rng.standard_normal((units, 50)) * math.sqrt(2 / (units + 50))
    right = np.eye(50)[rng.integers(50, size=(4, 16))]

    def cross_entropy_gradient(y):
        z = y @ W
        e = np.exp(z - z.max(-1, keepdims=True))
        return (e / e.sum(-1, keepdims=True) - right) @ W.T / 64

    return transformer_stack(
        x, blocks, normalization=normalization, skip=skip, d_output=cross_entropy_gradient
    )


def test_pre_ln_gradients_shrink_with_depth_and_post_ln_ones_do_not():
    """Xiong et al. 2020, theorem 1: the last FFN gets O(1) after post-LN, O(1/√D) after pre-LN.

    From 2 blocks to 24 that would be 1 and 0.29; over twenty seeds it was 1.5 (0.9 to 2.3) and
    0.38 (0.26 to 0.53).
    """
    ratio = {}
    for norm in ("pre", "post"):
        last = [
            [at_the_start(depth, norm, True, seed).kernel_norms["W_2"][-1] for depth in (2, 24)]
            for seed in range(5)
        ]
        ratio[norm] = math.exp(np.mean([math.log(deep / shallow) for shallow, deep in last]))
    assert 0.8 < ratio["post"] < 2.5
    assert 0.22 < ratio["pre"] < 0.6


def test_post_ln_tokens_collapse_and_their_queries_starve():
    """In the comments: what twenty seeds gave."""
    for seed in range(3):
        post, pre = (at_the_start(24, norm, True, seed) for norm in ("post", "pre"))
        assert post.diversity[-1] < 3e-3  # 4e-4 to 1.2e-3
        assert pre.diversity[-1] > 0.13  # 0.27 to 0.41
        assert post.kernel_norms["W_Q"][-1] < 1e-5  # 2e-7 to 1.2e-6
        assert pre.kernel_norms["W_Q"][-1] > 2e-3  # 6e-3 to 2.7e-2
        assert post.kernel_norms["W_V"][-1] > 0.3  # 0.66 to 1.8: W_V misses nothing
        assert 0.02 < post.norms[0] < 0.6  # 0.06 to 0.25


def test_without_skips_all_tokens_become_one_within_six_blocks():
    """Dong et al. 2021: rank 1, doubly exponentially; what is left is rounding."""
    for normalization in ("pre", "post"):
        found = at_the_start(6, normalization, False, 0)
        assert found.diversity[-1] < 1e-14
        assert found.kernel_norms["W_Q"][-1] < 1e-18
        assert 0.03 < found.norms[0] < 0.8  # 0.06 to 0.36: and yet the input gets its gradient


def test_without_norms_the_gradient_vanishes_without_skips_and_explodes_with_them():
    assert at_the_start(24, None, False, 0).norms[0] < 1e-6  # 7e-9 to 1e-7 over twenty seeds
    assert at_the_start(24, None, True, 0).norms[0] > 1e5  # 5e5 to 2e8


# --- TensorFlow and Keras ------------------------------------------------------------------------


def keras_layers(keras, seed):
    """Return the five built layers of a block, all their weights drawn."""
    layers = [
        keras.layers.MultiHeadAttention(HEADS, 4, dtype="float64"),
        keras.layers.Dense(HIDDEN, activation="tanh", dtype="float64"),
        keras.layers.Dense(UNITS, dtype="float64"),
        keras.layers.LayerNormalization(dtype="float64"),
        keras.layers.LayerNormalization(dtype="float64"),
    ]
    tokens = (BATCH, LENGTH, UNITS)
    layers[0].build(tokens, tokens)
    for layer, width in zip(layers[1:], (UNITS, HIDDEN, UNITS, UNITS), strict=True):
        layer.build((BATCH, LENGTH, width))
    rng = np.random.default_rng(seed)
    for layer in layers:
        layer.set_weights([0.6 * rng.standard_normal(w.shape) for w in layer.get_weights()])
    return layers


@pytest.mark.tensorflow
@pytest.mark.parametrize("causal", [True, False])
@EVERY_FORM
def test_equals_keras_and_the_tape(normalization, skip, causal, tf, keras):
    stack = [keras_layers(keras, seed) for seed in (107, 108)]
    x, _, d_output = problem()
    last = keras.layers.LayerNormalization(center=False, scale=False, dtype="float64")

    tensor = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        h = tensor
        for attention, dense_1, dense_2, norm_1, norm_2 in stack:
            for norm, inner in (
                (norm_1, lambda z, layer=attention: layer(z, z, use_causal_mask=causal)),
                (norm_2, lambda z, one=dense_1, two=dense_2: two(one(z))),
            ):
                branch = inner(norm(h) if normalization == "pre" else h)
                h = h + branch if skip else branch
                h = norm(h) if normalization == "post" else h
        y = last(h) if normalization == "pre" else h
        loss = tf.reduce_sum(y * d_output)
    used = 3 if normalization is None else 5
    variables = [weight for layers in stack for layer in layers[:used] for weight in layer.weights]
    found = tape.gradient(loss, [tensor, *variables])

    blocks = [EncoderBlock.from_keras(*layers) for layers in stack]
    form = form_of(normalization, skip)
    traces, norm = forward(x, blocks, form, [causal_mask(LENGTH) if causal else None] * 2)
    deltas, gradients = backward(traces, norm, blocks, form, d_output)
    output = traces[-1].output if norm is None else norm.normalized
    np.testing.assert_allclose(output, y, rtol=1e-9, atol=1e-12)
    own = [deltas[0]]
    for g in gradients:
        own += [*g.attention.weights, g.W_1, g.b_1, g.W_2, g.b_2]
        own += [array for n in g.norms if n is not None for array in (n.scale, n.offset)]
    scale = max(np.linalg.norm(g) for g in found)
    for ours, theirs in zip(own, found, strict=True):
        assert ours.shape == tuple(theirs.shape)
        assert np.linalg.norm(ours - theirs) < 1e-9 * scale


@pytest.mark.tensorflow
def test_a_block_without_norms_has_scales_1_and_offsets_0(keras):
    attention, dense_1, dense_2, norm, _ = keras_layers(keras, 109)
    block = EncoderBlock.from_keras(attention, dense_1, dense_2, norm_2=norm)
    assert (block.scales[0] == 1).all()
    assert not block.offsets[0].any()
    np.testing.assert_array_equal(block.scales[1], norm.gamma)
    x = problem()[0]
    trace = block_forward(x, block, form_of(None, True))
    u = x + np.array(attention(x, x))
    np.testing.assert_allclose(trace.middle, u, rtol=1e-9)
    np.testing.assert_allclose(trace.output, u + dense_2(dense_1(u)), rtol=1e-9)


@pytest.mark.tensorflow
def test_layers_that_are_no_block_are_refused(keras):
    attention, dense_1, dense_2, norm, _ = keras_layers(keras, 110)
    for layers, words in (
        ((dense_1, dense_1, dense_2), r"`layer` is a Dense"),
        ((attention, norm, dense_2), r"`dense_1` is a LayerNormalization"),
        ((attention, keras.layers.Dense(4), dense_2), "`dense_1` has no kernel"),
        ((attention, dense_2, dense_1), "`W_"),
        ((attention, dense_1, dense_2, dense_1), r"`norm_1` is a Dense"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            EncoderBlock.from_keras(*layers)
