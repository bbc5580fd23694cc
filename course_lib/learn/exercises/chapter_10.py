"""Exercises of chapter 10, debugging an RNN."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def gradient_of_W_x(x, h, d_h):
    """Return every product of an input and what arrives at a pre-activation."""
    return np.outer(x, d_h * (1 - h**2))


def row_inputs(rng):
    """Return one row, its states and the gradient by them."""
    features, units = 3, int(rng.integers(4, 7))
    h = np.tanh(rng.standard_normal(units))
    return rng.standard_normal(features), h, rng.standard_normal(units)


REPAIR = Exercise(
    id="10-repair",
    task="Repair the gradient of W_x.",
    reference=gradient_of_W_x,
    inputs=row_inputs,
    mistakes=[
        Mistake(
            "tanh(h) for the slope",
            lambda x, h, d_h: np.outer(x, d_h * np.tanh(h)),
            "That is the slope of the listing, tanh(h). The derivative of tanh, written with h, "
            "is another.",
        ),
        Mistake(
            "transposed",
            lambda x, h, d_h: np.outer(d_h * (1 - h**2), x),
            "All products are there, but transposed: rows belong to features, columns to units.",
        ),
        Mistake(
            "no slope",
            lambda x, h, d_h: np.outer(x, d_h),
            "`d_h` is what arrives at h. W_x stands before the tanh, so the slope is missing.",
        ),
        Mistake(
            "the slope of a pre-activation",
            lambda x, h, d_h: np.outer(x, d_h * (1 - np.tanh(h) ** 2)),
            "`h` has passed the tanh already; this takes it a second time.",
        ),
    ],
    hints=(
        "First from h back to the pre-activation, then one product for each entry of W_x.",
        "The slope of tanh is 1 − h². `np.outer` makes every product.",
        "np.outer(x, d_h * (1 - h**2))",
    ),
    afterword="For a batch, the same products summed: `x.T @ d_a`.",
)


def bits_per_character(p, following):
    """Return the mean of −log₂ of the probability of what came."""
    right = np.take_along_axis(p, following[..., None], axis=2)
    return -np.log2(right).mean()


def bits_inputs(rng):
    """Return probabilities, shape (batch, time, characters), and the codes that came."""
    batch, length, characters = (int(n) for n in rng.integers(3, 7, 3))
    p = rng.dirichlet(np.ones(characters), (batch, length)) * 0.98 + 0.02 / characters
    return p, rng.integers(0, characters, (batch, length))


def of_those_that_came(p, following):
    """Return the probabilities of the characters that came."""
    return np.take_along_axis(p, following[..., None], axis=2)


BITS = Exercise(
    id="10-bits",
    task="Compute bits per character.",
    reference=bits_per_character,
    inputs=bits_inputs,
    mistakes=[
        Mistake(
            "nats",
            lambda p, following: -np.log(of_those_that_came(p, following)).mean(),
            "That is in nats, with the natural logarithm. Bits are counted with log₂.",
        ),
        Mistake(
            "the logarithm of the mean",
            lambda p, following: -np.log2(of_those_that_came(p, following).mean()),
            "First the logarithm, then the mean: one character that was held impossible costs "
            "much, and a mean of probabilities would forgive it.",
        ),
        Mistake(
            "the sum",
            lambda p, following: -np.log2(of_those_that_came(p, following)).sum(),
            "That is what the whole text costs. Asked for is the cost of one character.",
        ),
        Mistake(
            "the entropy of the answers",
            lambda p, following: -(p * np.log2(p)).sum(axis=2).mean(),
            "That is how unsure the network says it is, and does not ask what came. Use "
            "`following`.",
        ),
    ],
    hints=(
        "Only one probability a step counts: that of the character that came.",
        "`np.take_along_axis(p, following[..., None], axis=2)` picks them.",
        "-np.log2(np.take_along_axis(p, following[..., None], axis=2)).mean()",
    ),
    afterword="Two to that power is the perplexity: among how many even choices it would be as "
    "unsure.",
)


def reach(network, x):
    """Return for each step how far the last answer moves if its input does."""
    moves = []
    for t in range(x.shape[1]):
        moved = x.copy()
        moved[:, t] += 1
        moves.append(np.abs(network(moved) - network(x))[:, -1].max())
    return np.array(moves)


def network_inputs(rng):
    """Return a small RNN that hears some steps back, and a batch."""
    W_x, W_h = rng.standard_normal((3, 4)), 0.4 * rng.standard_normal((4, 4))
    W_y = rng.standard_normal((4, 2))

    def network(x):
        h, answers = np.zeros((len(x), 4)), []
        for t in range(x.shape[1]):
            h = np.tanh(x[:, t] @ W_x + h @ W_h)
            answers.append(h @ W_y)
        return np.stack(answers, axis=1)

    return network, rng.standard_normal((3, 5, 3))


def reach_as(network, x, last, add=None):
    """Return what `reach` would with another reading of the answers, or another move."""
    moves = []
    for t in range(x.shape[1]):
        moved = x.copy()
        if add is None:
            moved[:, t] += 1
        else:
            add(moved, t)
        moves.append(last(network(moved) - network(x), t))
    return np.array(moves)


def shift_up_to(moved, t):
    """Add 1 at step t and at every step before it."""
    moved[:, : t + 1] += 1


REACH = Exercise(
    id="10-reach",
    task="Measure which inputs the last answer depends on.",
    reference=reach,
    inputs=network_inputs,
    mistakes=[
        Mistake(
            "all answers",
            lambda network, x: reach_as(network, x, lambda d, t: np.abs(d).max()),
            "This looks at all answers. The one at step t itself moves even without a memory: "
            "look at the last alone.",
        ),
        Mistake(
            "without absolute values",
            lambda network, x: reach_as(network, x, lambda d, t: d[:, -1].max()),
            "An answer may also fall. How far it moves is the absolute value.",
        ),
        Mistake(
            "never put back",
            lambda network, x: reach_as(
                network, x, lambda d, t: np.abs(d[:, -1]).max(), shift_up_to
            ),
            "The inputs that were moved before stay moved: take a fresh copy of `x` for each step.",
        ),
        Mistake(
            "the mean",
            lambda network, x: reach_as(network, x, lambda d, t: np.abs(d[:, -1]).mean()),
            "This is the mean over batch and outputs. Asked for is how far it moves at most.",
        ),
    ],
    hints=(
        "A loop over the steps, with a copy of `x` for each.",
        "`moved = x.copy()`, then `moved[:, t] += 1`, then compare `network(moved)[:, -1]`.",
        "np.abs(network(moved) - network(x))[:, -1].max() for each t",
    ),
    afterword="Where it is 0, nothing of that step reaches the last answer, at these weights.",
)


def my_suspect():
    """Return "carried back": right for one step, wrong for more, and the forward pass remembers."""
    return "carried back"


SUSPECT = Exercise(
    id="10-suspect",
    task="Name the line from what the checks say.",
    reference=my_suspect,
    options=("slope", "read-out", "carried back", "handed on"),
    mistakes=[
        Mistake(
            "slope",
            "slope",
            "A wrong slope is wrong at the first step already, and there the check found nothing.",
        ),
        Mistake(
            "read-out",
            "read-out",
            "The gradients of the read-out are right: nothing stands between them and the loss.",
        ),
        Mistake(
            "handed on",
            "handed on",
            "The last answer moves when the first input does, so the state is handed on. And the "
            "gradient check would be blind to that.",
        ),
    ],
    hints=(
        "What does a sequence of six steps have that a single step has not?",
        "The forward pass remembers, says the shake. And the way back?",
        "Whatever takes the gradient from a step to the one before.",
    ),
    afterword="It may be missing, or stand there untransposed: the check names the line, not the "
    "error in it.",
)

EXERCISES = [REPAIR, BITS, REACH, SUSPECT]
