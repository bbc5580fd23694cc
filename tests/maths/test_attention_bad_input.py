"""Attention answers each wrong argument with one sentence that names it."""

import inspect

import numpy as np
import pytest

from course_lib.maths import attention, dot_product, multi_head
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

RNG = np.random.default_rng(1)
Q, K, V = np.ones((2, 4, 3)), np.ones((2, 5, 3)), np.ones((2, 5, 6))
TRACE = attention_trace(Q, K, V)
LAYER = MultiHeadAttention.random(6, 2, RNG)
OTHER = MultiHeadAttention.random(6, 3, RNG)
X = np.ones((2, 4, 6))
HEADS = LAYER.forward(X)
KERNELS, BIASES = LAYER.kernels, LAYER.biases
NOT_A_COUNT = (0, -1, 2.5, "3", None, True)
NOT_A_MASK = (1, "causal", np.ones((4, 5)), [[True], [True, False]], [[1, 0, 1, 0, 1]])


def _call(function, words, *args, **kwargs):
    return pytest.param(
        lambda: function(*args, **kwargs), words, function, id=function.__qualname__
    )


CASES = [
    *[
        _call(function, "`q`", wrong, K, V)
        for function in (scaled_dot_product_attention, attention_trace, additive_attention)
        for wrong in (1.0, np.ones(3), "q", None, Q * np.nan, Q * 1j, np.ones((0, 3)))
    ],
    *[
        _call(function, "`k`", Q, wrong, V)
        for function in (scaled_dot_product_attention, attention_trace, additive_attention)
        for wrong in (
            1.0,
            np.ones((2, 5, 4)),
            np.ones((3, 5, 3)),
            np.ones((5, 3)),
            None,
            K * np.inf,
        )
    ],
    *[
        _call(function, "`v`", Q, K, wrong)
        for function in (scaled_dot_product_attention, attention_trace, additive_attention)
        for wrong in (1.0, np.ones((2, 4, 6)), np.ones((5, 6)), "v", None, V * np.nan)
    ],
    *[
        _call(function, "True where it may look", Q, K, V, wrong)
        for function in (scaled_dot_product_attention, attention_trace, additive_attention)
        for wrong in (*NOT_A_MASK, np.ones((5, 4), bool), np.ones((2, 2, 4, 5), bool))
    ],
    _call(scaled_dot_product_attention, "`mask[:, None]`", Q, K, V, np.ones((2, 5), bool)),
    *[
        _call(function, "`scale`", Q, K, V, scale=wrong)
        for function in (scaled_dot_product_attention, attention_trace)
        for wrong in ("1", np.nan, [1.0], True)
    ],
    *[
        _call(additive_attention, "`scale`", Q, K, V, scale=wrong)
        for wrong in (1.0, np.ones(4), np.ones((1, 3)), "ones", [np.nan, 1, 1])
    ],
    *[
        _call(scaled_dot_product_attention_backward, "`trace`", wrong, V)
        for wrong in (None, TRACE.output, HEADS, (1, 2))
    ],
    *[
        _call(scaled_dot_product_attention_backward, "`d_output`", TRACE, wrong)
        for wrong in (1.0, Q, np.full((2, 4, 6), np.nan), "ones", None)
    ],
    *[_call(softmax, "`scores`", wrong) for wrong in (1.0, "s", None, [np.nan], [np.inf], [])],
    *[_call(softmax, "`mask`", [1.0, 2.0], wrong) for wrong in ([1, 0], [True] * 3, "m")],
    *[
        _call(function, "`p`", wrong)
        for function in (softmax_jacobian, entropy)
        for wrong in (1.0, [0.5, 0.6], [1.5, -0.5], [np.nan, 1], "p", None, [[0.5, 0.5], [1, 2]])
    ],
    *[_call(causal_mask, "`queries`", wrong) for wrong in NOT_A_COUNT],
    *[_call(causal_mask, "`keys`", 3, wrong) for wrong in (0, -1, 2.5, "3", True)],
    *[
        _call(padding_mask, "`tokens`", wrong)
        for wrong in ([1, 2], 3, "abc", None, [[1.5, 2]], [[np.nan]], [[1], [1, 2]])
    ],
    *[_call(padding_mask, "`padding`", [[1]], padding=wrong) for wrong in (None, "0", 0.0, -2)],
    *[_call(positional_encoding, "`length`", wrong, 4) for wrong in NOT_A_COUNT],
    *[_call(positional_encoding, "`units`", 4, wrong) for wrong in (*NOT_A_COUNT, 1, 5)],
    *[_call(position_rotation, "`shift`", wrong, 4) for wrong in (1.5, "1", None, True, 2**40)],
    *[_call(position_rotation, "`units`", 1, wrong) for wrong in (*NOT_A_COUNT, 1, 5)],
    # several heads
    *[
        _call(MultiHeadAttention, "`kernels`", wrong)
        for wrong in (None, KERNELS[:3], "QKVO", 4, np.ones((4, 6, 2, 3)))
    ],
    *[
        _call(MultiHeadAttention, f"`kernels[{i}]`", [*KERNELS[:i], wrong, *KERNELS[i + 1 :]])
        for i in range(4)
        for wrong in (None, np.ones((6, 6)), KERNELS[i] * np.nan)
    ],
    _call(MultiHeadAttention, "(6, 2, 3)", [KERNELS[0], OTHER.kernels[1], *KERNELS[2:]]),
    _call(MultiHeadAttention, "`kernels[2]`", [*KERNELS[:2], OTHER.kernels[2], KERNELS[3]]),
    _call(MultiHeadAttention, "`kernels[3]`", [*KERNELS[:3], OTHER.kernels[3]]),
    *[
        _call(MultiHeadAttention, "`biases", KERNELS, wrong)
        for wrong in (4, BIASES[:3], [None] * 4, [*BIASES[:3], np.ones(5)], "bias")
    ],
    *[_call(MultiHeadAttention.random, "`features`", wrong, 2, RNG) for wrong in NOT_A_COUNT],
    *[_call(MultiHeadAttention.random, "`heads`", 6, wrong, RNG) for wrong in (*NOT_A_COUNT, 4)],
    *[_call(MultiHeadAttention.random, "`rng`", 6, 2, wrong) for wrong in (1, None, np.random)],
    *[
        _call(MultiHeadAttention.random, "`key_dim`", 6, 2, RNG, key_dim=wrong)
        for wrong in (0, 1.5, "3")
    ],
    _call(MultiHeadAttention.random, "`initializer`", 6, 2, RNG, initializer="xavier"),
    *[_call(MultiHeadAttention.random, "`bias`", 6, 2, RNG, bias=wrong) for wrong in (1, None)],
    *[
        _call(MultiHeadAttention.from_keras, "keras.layers.MultiHeadAttention", wrong)
        for wrong in (None, LAYER, "layer")
    ],
    *[
        _call(LAYER.forward, "`q`", wrong)
        for wrong in (X[0], np.ones((2, 4, 5)), "x", None, X * np.nan)
    ],
    *[
        _call(LAYER.forward, "`k`", X, wrong)
        for wrong in (X[0], X[:1], np.ones((2, 4, 5)), "x", X * np.nan)
    ],
    *[
        _call(LAYER.forward, "`v`", X, X, wrong)
        for wrong in (X[0], X[:, :3], np.ones((2, 4, 5)), "x", X * np.nan)
    ],
    *[
        _call(LAYER.forward, "`mask`", X, mask=wrong)
        for wrong in (
            *NOT_A_MASK,
            np.ones((2, 3), bool),
            np.ones((3, 4, 4), bool),
            np.ones((2, 3, 4, 4), bool),
            np.ones((2, 2, 4, 4)),
        )
    ],
    *[_call(LAYER.backward, "`trace`", wrong, X) for wrong in (None, TRACE, OTHER.forward(X))],
    *[
        _call(LAYER.backward, "`d_output`", HEADS, wrong)
        for wrong in (1.0, X[0], X * np.nan, "ones", None)
    ],
    *[
        _call(multi_head_attention, "`layer`", X, X, X, wrong)
        for wrong in (None, KERNELS, "layer", MultiHeadAttention)
    ],
    _call(multi_head_attention, "`k`", X, X[0], X, LAYER),
    _call(multi_head_attention, "`mask`", X, X, X, LAYER, np.ones((4, 4))),
]


@pytest.mark.parametrize(("call", "words", "function"), CASES)
def test_it_is_refused_in_one_sentence(call, words, function):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.startswith("`"), sentence  # which argument
    assert " is " in sentence or " has " in sentence or " holds " in sentence, sentence  # what
    assert " take" in sentence, sentence  # what it takes
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 200, sentence


@pytest.mark.parametrize("module", [attention, dot_product, multi_head])
def test_no_public_function_is_missing_from_the_table(module):
    tested = {getattr(case.values[2], "__func__", case.values[2]) for case in CASES}
    # Called by modules, not by readers, and what functions return:
    unchecked = {dot_product.attend, dot_product.attend_backward, dot_product.masked_softmax}
    unchecked |= {
        dot_product.softmax_backward,
        dot_product.checked_inputs,
        dot_product.checked_mask,
    }
    unchecked |= {multi_head.mask_for_all_heads}
    unchecked |= {MultiHeadAttention.run, MultiHeadAttention.run_backward}
    results = {dot_product.AttentionTrace, dot_product.AttentionGradients}
    results |= {multi_head.MultiHeadTrace, multi_head.MultiHeadGradients}
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
            continue
        if callable(value) and value not in unchecked | results:
            assert value in tested, name
        if inspect.isclass(value) and value not in results:
            for method, function in vars(value).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    assert function in tested | unchecked, method
