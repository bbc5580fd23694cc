"""Exercises of chapter 15, the Transformer."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def skip_back(x, W, g):
    """Back through the norm first, then both ways around the branch."""
    s = x + x @ W
    deviation = s - s.mean(axis=1, keepdims=True)
    spread = np.sqrt((deviation**2).mean(axis=1, keepdims=True))
    s_hat = deviation / spread
    along = (g * s_hat).mean(axis=1, keepdims=True)
    d_s = (g - g.mean(axis=1, keepdims=True) - s_hat * along) / spread
    return d_s + d_s @ W.T


def skip_inputs(rng):
    """Return a few tokens, the matrix of the branch, and a gradient."""
    tokens, units = int(rng.integers(2, 6)), int(rng.integers(4, 8))
    x, g = rng.normal(size=(2, tokens, units))
    return x, rng.normal(size=(units, units)), g


def through_the_norm(s, g, axis=1):
    """Back through a layer norm of s without scale, offset and ε."""
    deviation = s - s.mean(axis=axis, keepdims=True)
    spread = np.sqrt((deviation**2).mean(axis=axis, keepdims=True))
    s_hat = deviation / spread
    along = (g * s_hat).mean(axis=axis, keepdims=True)
    return (g - g.mean(axis=axis, keepdims=True) - s_hat * along) / spread


def branch_alone(x, W, g):
    """Leave out the way of the identity."""
    return through_the_norm(x + x @ W, g) @ W.T


def as_if_pre(x, W, g):
    """Send the identity around the norm, as in pre-LN."""
    return g + through_the_norm(x + x @ W, g) @ W.T


def not_turned(x, W, g):
    """Multiply by W where its transpose belongs."""
    d_s = through_the_norm(x + x @ W, g)
    return d_s + d_s @ W


def over_the_tokens(x, W, g):
    """Take the norm over the tokens instead of the units."""
    d_s = through_the_norm(x + x @ W, g, axis=0)
    return d_s + d_s @ W.T


def spread_as_constant(x, W, g):
    """Divide by the spread and nothing else."""
    s = x + x @ W
    d_s = g / s.std(axis=1, keepdims=True)
    return d_s + d_s @ W.T


SKIP_BACK = Exercise(
    id="15-skip-back",
    task="Send a gradient back through one post-LN half.",
    reference=skip_back,
    inputs=skip_inputs,
    mistakes=[
        Mistake(
            "the branch alone",
            branch_alone,
            "The way through W is right. But x also went straight on: identity *and* branch.",
        ),
        Mistake(
            "the identity around the norm",
            as_if_pre,
            "Here g itself jumps over the norm. That is pre-LN; in post-LN the norm stands on the "
            "main road, and both ways begin behind it.",
        ),
        Mistake(
            "W not transposed",
            not_turned,
            "Forward it was x W; backward it is g Wᵀ.",
        ),
        Mistake(
            "the norm over the tokens",
            over_the_tokens,
            "Mean and spread were taken over the tokens. A layer norm takes them over the units "
            "of each token.",
        ),
        Mistake(
            "mean and spread as constants",
            spread_as_constant,
            "Mean and spread depend on x as well: two terms of the backward pass are missing.",
        ),
    ],
    hints=(
        "Write s = x + x W. First back through LN from y to s, then from s to x.",
        "Through LN: (g − mean(g) − ŝ · mean(g ŝ)) / spread, means over the units.",
        "d_s = (g - g.mean(1, keepdims=True) - s_hat * along) / spread; return d_s + d_s @ W.T",
    ),
    afterword="In pre-LN the first summand would be g itself, untouched by any norm.",
)


def crossing(d, hidden):
    """4 T d² + 2 T d · hidden = 2 T² d, divided by 2 T d."""
    return 2 * d + hidden


def crossing_inputs(rng):
    """Return units, and the width of an FFN that is not four times as wide."""
    d = int(rng.integers(4, 600))
    return d, int(rng.integers(1, 3000)) + 5 * d


CROSSING = Exercise(
    id="15-crossing",
    task="Find the length at which the quadratic part is as large as the others together.",
    reference=crossing,
    inputs=crossing_inputs,
    mistakes=[
        Mistake(
            "the FFN of the text",
            lambda d, hidden: 6 * d,
            "That is the answer for an FFN of 4d. Two matrices of d · hidden cost 2 T d · hidden.",
        ),
        Mistake(
            "against the projections alone",
            lambda d, hidden: 2 * d,
            "That is where it passes the projections. The FFN is to be paid as well.",
        ),
        Mistake(
            "against the FFN alone",
            lambda d, hidden: hidden,
            "That is where it passes the FFN. The four projections are to be paid as well.",
        ),
        Mistake(
            "one matrix of the FFN",
            lambda d, hidden: 2 * d + hidden / 2,
            "An FFN has two matrices, W_1 and W_2.",
        ),
    ],
    hints=(
        "Write down the three costs: 4 T d², the FFN with `hidden`, 2 T² d.",
        "The FFN costs 2 T d · hidden. Divide the equation by 2 T d.",
        "2 * d + hidden",
    ),
    afterword="With d = 4096 and 4d it is 24,576 tokens: below, the square is the lesser part.",
)


def my_reason():
    """Return "alike": by (6) a query whose values all agree hears nothing."""
    return "alike"


STARVED = Exercise(
    id="15-starved",
    task="Why does W_Q get nothing where W_V gets enough?",
    reference=my_reason,
    options=("depth", "softmax", "alike", "root"),
    mistakes=[
        Mistake(
            "depth",
            "depth",
            "Then W_V of the same block would starve as well; and it is the *last* block, next to "
            "the loss.",
        ),
        Mistake(
            "softmax",
            "softmax",
            "A saturated softmax starves W_Q too. But with equal tokens all scores of a query are "
            "equal: this softmax is as flat as can be.",
        ),
        Mistake(
            "root",
            "root",
            "The root changes scores by a factor. Equal scores stay equal.",
        ),
    ],
    hints=(
        "Look at (6): what does it compare?",
        "In the table of stacks: which column beside that of W_Q is rounding in this row?",
        "Without skips attention makes all tokens the same; then all values are the same.",
    ),
    afterword="Nothing is small on the way. There is nothing to choose between.",
)

EXERCISES = [SKIP_BACK, CROSSING, STARVED]
