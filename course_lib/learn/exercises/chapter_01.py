"""Exercises of chapter 01, where gradients go."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake
from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.propagation import deep_stack, deep_stack_backward


def one_step_back(delta, a, W, derivative):
    """Equation (2): δ_l, shape (batch, n_out), to δ_{l−1}, shape (batch, n_in)."""
    return (delta * derivative(a)) @ W.T


def step_inputs(rng):
    """Return δ_l, a_l, a square W_l (so that a forgotten transpose has the right shape) and φ′."""
    name = rng.choice(["sigmoid", "tanh", "elu"])
    delta, a = rng.standard_normal((2, 4, 5))
    return delta, a, rng.standard_normal((5, 5)), ACTIVATIONS[str(name)].derivative


ONE_STEP_BACK = Exercise(
    id="01-one-step",
    task="Take δ one layer back, equation (2).",
    reference=one_step_back,
    inputs=step_inputs,
    mistakes=[
        Mistake(
            "no transpose",
            lambda delta, a, W, derivative: (delta * derivative(a)) @ W,
            "Right shape, wrong numbers: going back, every weight is used from the other end. "
            "Which matrix maps n_out numbers to n_in?",
        ),
        Mistake(
            "slope forgotten",
            lambda delta, a, W, derivative: delta @ W.T,
            "This is the step through the matrix alone: the gradient also passes the activation, "
            "entry by entry, before it meets the matrix.",
        ),
        Mistake(
            "slope applied after the matrix",
            lambda delta, a, W, derivative: (delta @ W.T) * derivative(a),
            "The two factors stand in the wrong order: φ was the last thing that happened on the "
            "way up, so φ′ is the first thing on the way down.",
        ),
        Mistake(
            "slope taken at δ",
            lambda delta, a, W, derivative: derivative(delta) @ W.T,
            "The slope belongs to where the network stood, a_l, and it multiplies δ_l; here it "
            "was taken at δ_l.",
        ),
    ],
    hints=(
        "Two things happened on the way up: a matrix, then φ. Undo them in the other order.",
        "Through φ: multiply δ entry by entry with derivative(a).",
        "Through the matrix: what has n_out columns must end with n_in, so `@ W.T`.",
    ),
    afterword="Thirty of these in a row are the whole chapter.",
)


def my_factor(norms):
    """Equation (5): the geometric mean of what a layer passes on; norms run from input to loss."""
    return (norms[0] / norms[-1]) ** (1 / (len(norms) - 1))


FACTOR = Exercise(
    id="01-factor",
    task="Compute the factor per layer of equation (5) from ‖δ_0‖ … ‖δ_D‖, the input first.",
    reference=my_factor,
    inputs=lambda rng: (np.exp(2 * rng.standard_normal(int(rng.integers(4, 12)))),),
    mistakes=[
        Mistake(
            "one root too many",
            lambda norms: (norms[0] / norms[-1]) ** (1 / len(norms)),
            "D + 1 norms have D layers between them: the root is one too high.",
        ),
        Mistake(
            "upside down",
            lambda norms: (norms[-1] / norms[0]) ** (1 / (len(norms) - 1)),
            "Upside down: the gradient starts at the loss, norms[-1], and arrives at the input, "
            "norms[0].",
        ),
        Mistake(
            "no root",
            lambda norms: norms[0] / norms[-1],
            "This is what all layers together pass on; the question is what one does, in the "
            "geometric mean.",
        ),
        Mistake(
            "arithmetic mean",
            lambda norms: np.mean(norms[:-1] / norms[1:]),
            "The arithmetic mean of the ratios: but layers multiply, and ½ followed by 2 is 1, "
            "not 1.25.",
        ),
    ],
    hints=(
        "What fraction of the gradient is left after all layers?",
        "norms[0] / norms[-1] is left after D layers. Which number, multiplied D times, gives it?",
        "The D-th root, with D = len(norms) − 1.",
    ),
    afterword="Only the two ends count: whatever happens in between cancels.",
)


def layers_until(start, factor, limit):
    """Return the first whole l with start · factor^l < limit."""
    return int(np.floor(np.log(limit / start) / np.log(factor))) + 1


def layers_inputs(rng):
    """Return a start, a factor below 1 and a limit below the start."""
    return (
        float(rng.uniform(0.1, 10)),
        float(rng.uniform(0.1, 0.95)),
        float(10 ** rng.uniform(-40, -3)),
    )


LAYERS_UNTIL = Exercise(
    id="01-layers-until",
    task="After how many whole layers is a shrinking gradient smaller than a limit?",
    reference=layers_until,
    inputs=layers_inputs,
    tolerance=1e-12,
    mistakes=[
        Mistake(
            "one layer too few",
            lambda start, factor, limit: int(np.floor(np.log(limit / start) / np.log(factor))),
            "One layer too early: after that many it is still at the limit or above.",
        ),
        Mistake(
            "not whole",
            lambda start, factor, limit: np.log(limit / start) / np.log(factor),
            "The right place, but between two layers: a network has whole ones. Round, and mind "
            "the direction.",
        ),
        Mistake(
            "start forgotten",
            lambda start, factor, limit: int(np.floor(np.log(limit) / np.log(factor))) + 1,
            "That would be right for a gradient that starts at 1; this one starts at `start`.",
        ),
        Mistake(
            "subtracts instead of multiplies",
            lambda start, factor, limit: int(np.ceil((start - limit) / (1 - factor))),
            "This loses the same amount in each layer; a factor takes the same share.",
        ),
    ],
    hints=(
        "After l layers start · factor^l is left. When is that smaller than limit?",
        "Take the logarithm on both sides, and mind that log(factor) is negative.",
        "l > log(limit / start) / log(factor): the next whole number above it.",
    ),
    afterword="With 0.234 a layer and float32's smallest number it gives the table above, to "
    "a layer.",
)


def my_stddev():
    """Equation (2) without φ: each layer multiplies ‖δ‖² by n σ² on average, so σ = 1/√n."""
    return 1 / np.sqrt(100)


def judge_stddev(stddev):
    """Try a standard deviation on a real stack of 40 linear layers of width 100."""
    stddev = float(stddev)
    if not np.isfinite(stddev) or stddev <= 0:
        return f"A spread is a number above 0; this one is {stddev:g}."
    rng = np.random.default_rng()
    weights = stddev * rng.standard_normal((40, 100, 100))
    x, top = rng.standard_normal((2, 16, 100))
    norms = deep_stack_backward(deep_stack(x, list(weights), "linear"), top)
    share = norms[0] / norms[-1]
    if 0.1 < share < 10:
        return None
    direction = (
        "vanishes: the weights are too small" if share < 1 else "explodes: they are too large"
    )
    return f"With {stddev:g} the input receives {share:.1e} of the gradient; it {direction}."


STDDEV = Exercise(
    id="01-stddev",
    task="Find the spread of the weights at which the gradient arrives.",
    reference=my_stddev,
    judge=judge_stddev,
    mistakes=[
        Mistake(
            "1/n",
            1 / 100,
            "1/n is the right *variance*. The question asks for the standard deviation, and a "
            "hundred independent terms add up like √100.",
        ),
        Mistake(
            "N(0, 1)",
            1.0,
            "With N(0, 1) every entry of the new gradient is a sum of 100 terms of size 1: about "
            "10 times too large, in each of 40 layers.",
        ),
        Mistake(
            "He for a linear layer",
            float(np.sqrt(2 / 100)),
            "√(2/n) is right for ReLU, which throws half of the gradient away. Nothing is thrown "
            "away here, so each layer makes it √2 times as large.",
        ),
        Mistake(
            "the sigmoid's 4",
            4 / np.sqrt(100),
            "The 4 would make up for a sigmoid's slope of ¼; a linear layer has slope 1.",
        ),
    ],
    hints=(
        "Each entry of δ_{l−1} is a sum of 100 products of a gradient and a weight.",
        "A sum of n independent terms of spread σ has spread √n · σ.",
        "It should be as large as one term was before: √n · σ = 1.",
    ),
    afterword="Chapter 03 makes a rule of it.",
)


def explain():
    """Return the rate that would give the bottom layer an ordinary step, in steps of the top one.

    The bottom receives 10⁻⁶ of the gradient, so only a rate 10⁶ times as large moves it as far as
    the top layer moves now. But there is one rate for all layers: the top one would then step 10⁶
    times as far, and be destroyed at once. A factor per layer cannot be undone by a factor for all.
    """
    return "the top layer"


EXPLAIN = Exercise(
    id="01-explain",
    task="What breaks when the learning rate is raised until the bottom layer moves?",
    reference=explain,
    options=("the bottom layer", "the top layer", "nothing", "the data"),
    mistakes=[
        Mistake(
            "bottom",
            "the bottom layer",
            "The bottom layer is the one that gets a reasonable step now. Who gets the same rate "
            "with a gradient a million times as large?",
        ),
        Mistake(
            "nothing",
            "nothing",
            "One rate serves all layers. What does the top do with a rate a million times as "
            "large?",
        ),
        Mistake("data", "the data", "The data stay what they are; the weights step too far."),
    ],
    hints=(
        "One learning rate serves all layers.",
        "Write down the step of the bottom and of the top layer before and after: rate × gradient.",
        "If the bottom's step is right at last, how much too large is the top's?",
    ),
)

EXERCISES = [ONE_STEP_BACK, FACTOR, LAYERS_UNTIL, STDDEV, EXPLAIN]
