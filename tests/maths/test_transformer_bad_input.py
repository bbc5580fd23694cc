"""Transformer blocks answer each wrong argument with one sentence that names it."""

import dataclasses
import inspect

import numpy as np
import pytest

from course_lib.maths import transformer
from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.attention import MultiHeadAttention
from course_lib.maths.transformer import (
    EncoderBlock,
    TransformerForm,
    make_blocks,
    token_diversity,
    transformer_stack,
)

RNG = np.random.default_rng(1)
X, BLOCKS = np.ones((2, 3, 4)), make_blocks(2, 4, 2, RNG)
WIDER = make_blocks(1, 6, 2, RNG)
NOT_A_COUNT = (0, -1, 2.5, "3", None, True)
FIELDS = {f.name: getattr(BLOCKS[0], f.name) for f in dataclasses.fields(EncoderBlock)}
NARROW = MultiHeadAttention([*BLOCKS[0].attention.kernels[:3], np.ones((2, 2, 3))])


def _call(function, words, *args, **kwargs):
    return pytest.param(
        lambda: function(*args, **kwargs), words, function, id=function.__qualname__
    )


CASES = [
    *[
        _call(transformer_stack, "`x`", wrong, BLOCKS)
        for wrong in (1.0, X[0], np.ones((2, 3, 5)), "x", None, X * np.nan, X * 1j)
    ],
    _call(transformer_stack, "2 units", X[..., :1], make_blocks(1, 1, 1, RNG)),
    *[
        _call(transformer_stack, "`blocks", X, wrong)
        for wrong in (None, [], BLOCKS[0], "blocks", [None], [BLOCKS[0], X], [*BLOCKS, *WIDER], 3)
    ],
    *[
        _call(transformer_stack, "pre, post", X, BLOCKS, normalization=wrong)
        for wrong in ("layer", True, 0, "Pre")
    ],
    *[_call(transformer_stack, "`skip`", X, BLOCKS, skip=wrong) for wrong in (1, None, "yes", 0.5)],
    *[
        _call(transformer_stack, "`activation`", X, BLOCKS, activation=wrong)
        for wrong in ("swish", None, np.tanh)
    ],
    *[
        _call(transformer_stack, "`norm_epsilon`", X, BLOCKS, norm_epsilon=wrong)
        for wrong in (0, -1, np.nan, "1", None)
    ],
    *[
        _call(transformer_stack, "`mask`", X, BLOCKS, mask=wrong)
        for wrong in (1, "causal", np.ones((3, 3)), np.ones((2, 3), bool), np.ones((4, 4), bool))
    ],
    *[
        _call(transformer_stack, "`d_output`", X, BLOCKS, d_output=wrong)
        for wrong in (1.0, X[0], X * np.nan, "ones", lambda y: None, lambda y: y[0])
    ],
    *[_call(transformer_stack, "`seed`", X, BLOCKS, seed=wrong) for wrong in (-1, 1.5, None)],
    *[_call(make_blocks, "`depth`", wrong, 4, 2, RNG) for wrong in NOT_A_COUNT],
    *[_call(make_blocks, "`units`", 2, wrong, 1, RNG) for wrong in NOT_A_COUNT],
    *[_call(make_blocks, "`heads`", 2, 4, wrong, RNG) for wrong in (*NOT_A_COUNT, 3)],
    *[_call(make_blocks, "`rng`", 2, 4, 2, wrong) for wrong in (1, None, np.random)],
    *[_call(make_blocks, "`hidden`", 2, 4, 2, RNG, hidden=wrong) for wrong in (0, 1.5, "8")],
    _call(make_blocks, "`initializer`", 2, 4, 2, RNG, initializer="xavier"),
    *[
        _call(token_diversity, "`x`", wrong)
        for wrong in (1.0, np.ones(3), np.ones((1, 2, 3, 4)), "x", None, X * np.inf)
    ],
    *[_call(TransformerForm, "pre, post", wrong, True, ACTIVATIONS["relu"]) for wrong in ("x", 1)],
    _call(TransformerForm, "`skip`", None, 1, ACTIVATIONS["relu"]),
    _call(TransformerForm, "`activation`", None, True, "relu"),
    _call(TransformerForm, "`norm_epsilon`", None, True, ACTIVATIONS["relu"], 0),
    *[
        _call(EncoderBlock, "`attention`", **{**FIELDS, "attention": wrong})
        for wrong in (None, BLOCKS[0], NARROW)
    ],
    *[
        _call(EncoderBlock, f"`{name}`", **{**FIELDS, name: wrong})
        for name in ("W_1", "b_1", "W_2", "b_2")
        for wrong in (None, 1.0, np.ones((3, 3)), FIELDS[name] * np.nan)
    ],
    *[
        _call(EncoderBlock, f"`{name}", **{**FIELDS, name: wrong})
        for name in ("scales", "offsets")
        for wrong in (None, np.ones(4), [np.ones(4)], [np.ones(4), np.ones(3)], [np.ones(4), None])
    ],
    *[_call(EncoderBlock.from_keras, "`dense_1`", None, wrong, None) for wrong in (None, X)],
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


def test_no_public_function_is_missing_from_the_table():
    tested = {getattr(case.values[2], "__func__", case.values[2]) for case in CASES}
    # Called by modules, not by readers, and what functions return:
    others = {transformer.forward, transformer.backward}
    others |= {transformer.block_forward, transformer.block_backward}
    others |= {transformer.BlockTrace, transformer.BlockGradients, transformer.TransformerPass}
    for name, value in vars(transformer).items():
        ours = getattr(value, "__module__", "") == transformer.__name__
        if ours and callable(value) and not name.startswith("_") and value not in others:
            assert value in tested, name
            if inspect.isclass(value):
                for method, function in vars(value).items():
                    if isinstance(function, classmethod) and not method.startswith("_"):
                        assert function.__func__ in tested, method
