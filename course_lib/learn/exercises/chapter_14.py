"""Exercises of chapter 14, attention: masked, backward, turned, and read with care."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def safe_attention(q, k, v, mask):
    """Equations (2) to (4); a query that may look nowhere gets zeros."""
    scores = np.where(mask, q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    top = scores.max(axis=1, keepdims=True)
    e = np.exp(scores - np.where(np.isfinite(top), top, 0))
    total = e.sum(axis=1, keepdims=True)
    return e / np.where(total == 0, 1, total) @ v


def attention_inputs(rng):
    """Return a few queries, keys and values, and a mask with one empty row."""
    queries, keys, d_k, d_v = (int(n) for n in rng.integers(4, 9, 4))
    q, k = rng.standard_normal((queries, d_k)), rng.standard_normal((keys, d_k))
    mask = rng.random((queries, keys)) < 0.6
    mask[:, 0], mask[0] = True, True
    mask[0, -1] = mask[-1] = False
    return q, k, rng.standard_normal((keys, d_v)), mask


def _shares(scores, axis=1):
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def masked_afterwards(q, k, v, mask):
    """Multiply the finished weights by the mask."""
    return (mask * _shares(q @ k.T / np.sqrt(q.shape[1]))) @ v


def large_negative(q, k, v, mask):
    """Hide with −1e9, which an empty row does not notice."""
    return _shares(np.where(mask, q @ k.T / np.sqrt(q.shape[1]), -1e9)) @ v


ATTENTION = Exercise(
    id="14-attention",
    task="Write attention with a mask, safe where a query may look nowhere.",
    reference=safe_attention,
    inputs=attention_inputs,
    mistakes=[
        Mistake(
            "the root forgotten",
            lambda q, k, v, mask: safe_attention(q * np.sqrt(q.shape[1]), k, v, mask),
            "The scores are q · k. Equation (2) divides them by the root of the width of a query.",
        ),
        Mistake(
            "True hides",
            lambda q, k, v, mask: safe_attention(q, k, v, ~mask),
            "Your mask hides where it is True. Here, as in Keras, True may look.",
        ),
        Mistake(
            "the mask after the softmax",
            masked_afterwards,
            "Your rows do not sum to 1: the hidden keys still stand below the fraction. "
            "The mask acts on the scores.",
        ),
        Mistake(
            "a large negative number",
            large_negative,
            "All is right but the empty row: where all scores are −1e9 the softmax is even, and "
            "mixes what is forbidden. Asked for are zeros.",
        ),
        Mistake(
            "the mask forgotten",
            lambda q, k, v, mask: safe_attention(q, k, v, np.ones_like(mask)),
            "That is attention without the mask: every query looks everywhere.",
        ),
    ],
    hints=(
        "A score of −∞ becomes exp(−∞) = 0. In an empty row the largest score is −∞ too: what is "
        "−∞ − (−∞)?",
        "Take off the largest score only where it is finite, and divide by 1 where the sum is 0.",
        "total = e.sum(axis=1, keepdims=True); return e / np.where(total == 0, 1, total) @ v",
    ),
    afterword="Zeros are what `course_lib` gives; Keras's layers do not all agree with one "
    "another here.",
)


def _through(p, d_p):
    return p * (d_p - (p * d_p).sum(axis=1, keepdims=True))


def scores_backward(s, mask, d_p):
    """Equation (6): the Jacobian of the masked softmax, row by row, times ∂𝓛/∂p."""
    e = np.where(mask, np.exp(s - s.max(axis=1, keepdims=True)), 0)
    total = e.sum(axis=1, keepdims=True)
    p = e / np.where(total == 0, 1, total)
    return p * (d_p - (p * d_p).sum(axis=1, keepdims=True))


def _masked_shares(s, mask):
    e = mask * np.exp(s)
    total = e.sum(axis=1, keepdims=True)
    return e / np.where(total == 0, 1, total)


def softmax_inputs(rng):
    """Return the scores of a few queries, a mask with one empty row, and a gradient."""
    queries, keys = (int(n) for n in rng.integers(4, 8, 2))
    mask = rng.random((queries, keys)) < 0.6
    mask[:, :2], mask[0, -1], mask[-1] = True, False, False
    shape = mask.shape
    return rng.standard_normal(shape), mask, rng.standard_normal(shape)


SOFTMAX_BACK = Exercise(
    id="14-softmax-back",
    task="Send a gradient back through a masked softmax.",
    reference=scores_backward,
    inputs=softmax_inputs,
    mistakes=[
        Mistake(
            "the mask at the end",
            lambda s, mask, d_p: mask * _through(_shares(s), d_p),
            "The hidden places get 0, but your p still gives them a share, so the others have too "
            "little. The mask acts on the scores, before p.",
        ),
        Mistake(
            "the mask forgotten",
            lambda s, mask, d_p: _through(_shares(s), d_p),
            "That is (6) without the mask: hidden scores get a gradient.",
        ),
        Mistake(
            "the diagonal alone, as for a sigmoid",
            lambda s, mask, d_p: (p := _masked_shares(s, mask)) * (1 - p) * d_p,
            "p(1 − p) is the diagonal of J. But a score also changes the weights of all other "
            "keys: they share one sum.",
        ),
        Mistake(
            "the first term alone",
            lambda s, mask, d_p: _masked_shares(s, mask) * d_p,
            "That is diag(p) times the gradient. The second part of J, −p pᵀ, is missing.",
        ),
        Mistake(
            "a sum without the weights",
            lambda s, mask, d_p: _masked_shares(s, mask) * (d_p - d_p.sum(axis=1, keepdims=True)),
            "What is taken off is a mean of ∂𝓛/∂p weighted by p; yours is a plain sum.",
        ),
        Mistake(
            "the sum over the queries",
            lambda s, mask, d_p: (
                (p := _masked_shares(s, mask)) * (d_p - (p * d_p).sum(axis=0, keepdims=True))
            ),
            "You have summed over the queries. Each query has a softmax of its own, over its keys.",
        ),
    ],
    hints=(
        "First p, as in exercise 1, zeros in an empty row. Then J = diag(p) − p pᵀ for each row: "
        "what is J times a vector, without building J?",
        "diag(p) d = p ⊙ d, and p pᵀ d = p times one number, p · d. Where p is 0, so is all of it.",
        "return p * (d_p - (p * d_p).sum(axis=1, keepdims=True)), with p of the masked scores",
    ),
    afterword="Each row of it sums to 0: adding a number to all scores changes nothing. With n "
    "keys it takes about 4n steps a query; J alone has n² entries.",
)


def clock_rotation(omega, n):
    """Equation (10) for one pair: rows [sin, cos], so that the row stands on the left."""
    sin, cos = np.sin(omega * n), np.cos(omega * n)
    return np.array([[cos, -sin], [sin, cos]])


def clock_inputs(rng):
    """Return a frequency and a shift."""
    return float(rng.uniform(0.1, 1.0)), int(rng.integers(1, 9))


ROTATION = Exercise(
    id="14-rotation",
    task="Write the matrix that turns one clock by n positions.",
    reference=clock_rotation,
    inputs=clock_inputs,
    mistakes=[
        Mistake(
            "turned back",
            lambda omega, n: clock_rotation(omega, -n),
            "This turns the other way, from t to t − n. (Or the row stands on the right, R x: "
            "here it stands on the left.)",
        ),
        Mistake(
            "one step",
            lambda omega, n: clock_rotation(omega, 1) * (1 + 0 * n),
            "This turns by one position. The angle is ω · n.",
        ),
        Mistake(
            "sine and cosine in one another's place",
            lambda omega, n: clock_rotation(omega, n)[::-1],
            "The rows have changed places: the first one multiplies the sine.",
        ),
        Mistake(
            "multiplied instead of turned",
            lambda omega, n: n * clock_rotation(omega, 1),
            "n times a rotation by one step is longer, not further: a rotation keeps lengths.",
        ),
    ],
    hints=(
        "sin(a + b) = sin a cos b + cos a sin b. With a = ωt and b = ωn that is a row times "
        "the first column.",
        "cos(a + b) = cos a cos b − sin a sin b: the second column.",
        "np.array([[cos, -sin], [sin, cos]]) with cos and sin of omega * n",
    ),
    afterword="It does not depend on t: a distance is a rotation.",
)


def my_next_step():
    """Return "compare": hide other words too, and see how often the answer changes then."""
    return "compare"


NEXT_STEP = Exercise(
    id="14-next-step",
    task="A bright word was hidden, and the answer changed. Is the word the reason?",
    reference=my_next_step,
    options=("believe", "compare", "sharpen", "sum"),
    mistakes=[
        Mistake(
            "believe",
            "believe",
            'It may be right. But if the answer also changes without "the", hiding breaks '
            'something in any case, and says nothing of "not". What do you hold it against?',
        ),
        Mistake(
            "sharpen",
            "sharpen",
            "With another divisor it is another network, and 0.99 says where that one reads. Our "
            "dates were read as brightly where nothing hung on it.",
        ),
        Mistake(
            "sum",
            "sum",
            "More weights say more about where it reads. Whether the answer depends on it, no "
            "sum of weights tells.",
        ),
    ],
    hints=(
        "A change after a treatment: what does one need beside it?",
        "In the figure of the chapter there are bars, and there are black squares.",
        "Hide other words, one at a time: a control.",
    ),
    afterword="With the dates, hiding another place changed next to nothing, so the test meant "
    "something. And a true answer would still say what was needed, not what for.",
)

EXERCISES = [ATTENTION, SOFTMAX_BACK, ROTATION, NEXT_STEP]
