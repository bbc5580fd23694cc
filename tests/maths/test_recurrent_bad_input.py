"""Recurrent layers answer each wrong argument with one sentence that names it."""

import numpy as np
import pytest

from course_lib.maths.gates import GRU, LSTM, chrono_bias, half_life
from course_lib.maths.recurrent import (
    SimpleRNN,
    largest_singular_value,
    spectral_radius,
)

RNG = np.random.default_rng(1)
RNN, GATED, CELL = (kind.random(2, 3, RNG) for kind in (SimpleRNN, GRU, LSTM))
X = np.ones((4, 5, 2))
TRACE = RNN.forward(X)
D = np.ones((4, 5, 3))
NAN = np.full((4, 5, 2), np.nan)

CASES = [
    (lambda: RNN.forward(np.ones((32, 10))), ValueError, "so for one feature write `x[..., None]`"),
    (lambda: RNN.forward(np.ones(10)), ValueError, "needs (batch, time, features)"),
    (lambda: RNN.forward(np.ones((4, 5, 1))), ValueError, "it takes (batch, time, 2)"),
    (lambda: RNN.forward(np.ones((4, 0, 2))), ValueError, "`x` is empty"),
    (lambda: RNN.forward(NAN), ValueError, "not finite"),
    (lambda: RNN.forward("a sentence"), TypeError, "`x` is 'a sentence'"),
    (lambda: RNN.forward(X * 1j), TypeError, "`x`"),
    (lambda: RNN.forward(X, np.ones((4, 2))), ValueError, "shape (4, 3)"),
    (lambda: GATED.forward(X, np.ones(3)), ValueError, "`state`"),
    (lambda: CELL.forward(X, np.ones((4, 3))), TypeError, "a pair (h_0, c_0)"),
    (lambda: CELL.forward(X, (np.ones((4, 3)), np.ones((4, 2)))), ValueError, "`state[1]`"),
    (lambda: CELL.forward(X, (np.ones((4, 3)), None)), TypeError, "`state[1]`"),
    (lambda: RNN.backward(TRACE, D[:, -1]), ValueError, "zeros where the loss reads none"),
    (lambda: RNN.backward(TRACE, D * np.inf), ValueError, "`d_outputs` holds inf"),
    (lambda: RNN.backward(TRACE, None), TypeError, "`d_outputs` is None"),
    (lambda: RNN.backward(X, D), TypeError, "`trace`"),
    (lambda: CELL.backward(TRACE, D), ValueError, "`trace`"),
    (lambda: GATED.backward(CELL.forward(X), D), ValueError, "`trace`"),
    (lambda: SimpleRNN.random(2, 4, RNG).backward(TRACE, D), ValueError, "`trace`"),
    (lambda: RNN.backward(TRACE, D, truncate=0), ValueError, "`truncate` is 0"),
    (lambda: RNN.backward(TRACE, D, truncate=2.0), TypeError, "`truncate` is 2.0"),
    (lambda: RNN.jacobians(CELL.forward(X)), ValueError, "`trace`"),
    (lambda: CELL.jacobians(TRACE), ValueError, "`trace`"),
    (lambda: CELL.jacobians(LSTM.random(2, 4, RNG).forward(X)), ValueError, "`trace`"),
    (lambda: GATED.jacobians(X), TypeError, "`trace`"),
    (lambda: GATED.full_path(CELL.forward(X)), ValueError, "`trace`"),
    (lambda: CELL.full_path(None), TypeError, "`trace` is None"),
    (lambda: CELL.cell_path(GATED.forward(X)), ValueError, "`trace`"),
    (lambda: CELL.cell_path(X), TypeError, "`trace`"),
    (lambda: GATED.direct_path(CELL.forward(X)), ValueError, "`trace`"),
    (lambda: GATED.direct_path("trace"), TypeError, "`trace` is 'trace'"),
    (lambda: CELL.with_bias(forgot=1.0), ValueError, "perhaps forget"),
    (lambda: CELL.with_bias(update=1.0), ValueError, "`gate` is 'update'"),
    (lambda: GATED.with_bias(forget=1.0), ValueError, "update, reset, candidate"),
    (lambda: CELL.with_bias(forget=[1.0, 2.0]), ValueError, "each of the 3 units"),
    (lambda: CELL.with_bias(forget=np.ones((1, 3))), ValueError, "`forget` has shape (1, 3)"),
    (lambda: CELL.with_bias(input=np.nan), ValueError, "`input` is nan"),
    (lambda: GATED.with_bias(update="1"), TypeError, "`update` is '1'"),
    (lambda: GATED.with_bias(reset=None), TypeError, "`reset` is None"),
    (lambda: CELL.with_gate_of(CELL, "update"), ValueError, "`gate` is 'update'"),
    (lambda: CELL.with_gate_of(GATED, "input"), TypeError, "a layer of class LSTM"),
    (lambda: CELL.with_gate_of(LSTM.random(1, 3, RNG), "input"), ValueError, "`other` has weights"),
    (lambda: GATED.with_gate_of(GATED.converted(), "reset"), ValueError, "`other` has keeps="),
    (lambda: chrono_bias(0, 10, RNG), ValueError, "`units` is 0"),
    (lambda: chrono_bias(4.0, 10, RNG), TypeError, "`units` is 4.0"),
    (lambda: chrono_bias(4, 2, RNG), ValueError, "`longest` is 2"),
    (lambda: chrono_bias(4, "10", RNG), TypeError, "`longest` is '10'"),
    (lambda: chrono_bias(4, 10, 1), TypeError, "`rng` is 1"),
    (lambda: half_life("1"), TypeError, "`bias` is '1'"),
    (lambda: half_life(None), TypeError, "`bias` is None"),
    (lambda: half_life([1.0, np.inf]), ValueError, "`bias` holds inf"),
    (lambda: half_life([]), ValueError, "`bias` is empty"),
    (lambda: TRACE.previous_cells, ValueError, "an LSTM"),
    (lambda: SimpleRNN(np.ones((2, 3)), np.ones((3, 4))), ValueError, "a square matrix"),
    (lambda: SimpleRNN(np.ones((2, 4)), np.eye(3)), ValueError, "`kernel` has shape (2, 4)"),
    (lambda: SimpleRNN(np.ones(3), np.eye(3)), ValueError, "`kernel`"),
    (lambda: SimpleRNN(np.ones((2, 3)), np.eye(3), np.ones(2)), ValueError, "`bias`"),
    (lambda: SimpleRNN(np.ones((2, 3)), np.eye(3) * np.nan), ValueError, "`recurrent_kernel`"),
    (lambda: SimpleRNN(np.ones((2, 3)), np.eye(3), None, "tanhh"), ValueError, "perhaps tanh"),
    (lambda: LSTM(np.ones((2, 12)), np.eye(3)), ValueError, "(units, 4 · units)"),
    (lambda: GRU(np.ones((2, 9)), np.ones((3, 9)), np.ones(9)), ValueError, "(2, 9)"),
    (lambda: GRU(np.ones((2, 9)), np.ones((3, 9)), reset_after=1), TypeError, "`reset_after`"),
    (lambda: GRU(np.ones((2, 9)), np.ones((3, 9)), keeps="both"), ValueError, "old, new"),
    (lambda: SimpleRNN.random(2, 3, 1), TypeError, "`rng` is 1"),
    (lambda: SimpleRNN.random(2.0, 3, RNG), TypeError, "`features` is 2.0"),
    (lambda: LSTM.random(2, 0, RNG), ValueError, "`units` is 0"),
    (lambda: GRU.random(2, 3, RNG, kernel="glorot"), ValueError, "glorot_uniform"),
    (lambda: GRU.random(2, 3, RNG, recurrent=np.eye(3)), ValueError, "`recurrent`"),
    (lambda: SimpleRNN.random(2, 3, RNG, recurrent=None), TypeError, "`recurrent`"),
    (lambda: SimpleRNN.random(2, 3, RNG, recurrent=lambda shape, rng: "W"), TypeError, "`recurr"),
    (lambda: SimpleRNN.random(2, 3, RNG, bias=np.zeros(3)), TypeError, "`bias`"),
    (lambda: LSTM.random(2, 3, RNG, forget_bias="1"), TypeError, "`forget_bias`"),
    (lambda: spectral_radius(np.ones((2, 3))), ValueError, "a square matrix"),
    (lambda: spectral_radius(2.0), ValueError, "`W`"),
    (lambda: spectral_radius(np.full((2, 2), np.inf)), ValueError, "`W`"),
    (lambda: largest_singular_value(np.ones(3)), ValueError, "`W`"),
    (lambda: largest_singular_value("W"), TypeError, "`W`"),
]


@pytest.mark.parametrize(("call", "error", "words"), CASES)
def test_bad_input_is_answered_with_one_sentence(call, error, words):
    with pytest.raises(error) as caught:
        call()
    sentence = str(caught.value)
    assert words in sentence
    assert sentence.startswith("`"), sentence  # which argument
    assert " is " in sentence or " has " in sentence or " holds " in sentence, sentence  # what
    assert " take" in sentence or " needs " in sentence, sentence  # what it takes
    assert sentence.endswith(".")
    assert ". " not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 200, sentence


def test_the_refusal_of_the_shape_everybody_gets_wrong_first():
    with pytest.raises(ValueError, match="x") as caught:
        RNN.forward(np.ones((32, 10)))
    assert str(caught.value) == (
        "`x` has shape (32, 10); a recurrent layer needs (batch, time, features), "
        "so for one feature write `x[..., None]`."
    )
