"""Exercises of chapter 05, skip connections."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def block_back(delta, a, W, derivative, scale):
    """Equation (2): what arrives below a block came down the trunk and through the branch."""
    return delta + scale * (delta * derivative(a)) @ W.T


def block_inputs(rng):
    """Return δ, pre-activations, a square matrix, tanh's derivative and a scale."""
    batch, n = rng.integers(2, 6, 2)
    delta, a = rng.standard_normal((2, batch, n))
    W = rng.standard_normal((n, n))
    return delta, a, W, lambda a: 1 - np.tanh(a) ** 2, float(rng.uniform(0.2, 0.8))


BLOCK_BACK = Exercise(
    id="05-block-back",
    task="Take δ one residual block down.",
    reference=block_back,
    inputs=block_inputs,
    mistakes=[
        Mistake(
            "the trunk forgotten",
            lambda delta, a, W, derivative, scale: scale * (delta * derivative(a)) @ W.T,
            "This is what comes through the branch. The trunk brings something too: the + 1.",
        ),
        Mistake(
            "the scale forgotten",
            lambda delta, a, W, derivative, scale: delta + (delta * derivative(a)) @ W.T,
            "Right for a scale of 1. On the way up the branch was multiplied by `scale`; on the "
            "way down so is its gradient.",
        ),
        Mistake(
            "the trunk scaled as well",
            lambda delta, a, W, derivative, scale: scale * (delta + (delta * derivative(a)) @ W.T),
            "The scale stands before the branch alone. Here it multiplies the trunk too, and after "
            "fifty blocks nothing would be left.",
        ),
        Mistake(
            "the slope after the matrix",
            lambda delta, a, W, derivative, scale: delta + scale * (delta @ W.T) * derivative(a),
            "The shapes fit and the order does not: going down, φ′ comes first, then the matrix.",
        ),
        Mistake(
            "W not transposed",
            lambda delta, a, W, derivative, scale: delta + scale * (delta * derivative(a)) @ W,
            "The matrix that carried h up carries δ down transposed.",
        ),
    ],
    hints=(
        "Two ways lead down, and they are added.",
        "Along the trunk δ comes unchanged. Through the branch: scale, slope, matrix.",
        "delta + scale * (delta * derivative(a)) @ W.T",
    ),
    afterword="With a scale of 0 it is δ itself: a block that starts at zero passes everything.",
)


def branch_scale(depth, growth):
    """Return s with (1 + s²)^(L/2) = growth."""
    return np.sqrt(growth ** (2 / depth) - 1)


BRANCH_SCALE = Exercise(
    id="05-branch-scale",
    task="Find the branch scale at which the gradient grows by a given factor, by equation (4).",
    reference=branch_scale,
    inputs=lambda rng: (int(rng.integers(10, 200)), float(rng.uniform(1.2, 8.0))),
    mistakes=[
        Mistake(
            "1/√L",
            lambda depth, growth: 1 / np.sqrt(depth),
            "With 1/√L the gradient grows by √e = 1.65, whatever the depth. Which s gives "
            "`growth`?",
        ),
        Mistake(
            "the root of (4) forgotten",
            lambda depth, growth: np.sqrt(growth ** (1 / depth) - 1),
            "This makes the *square* of the gradient grow by `growth`. One block multiplies the "
            "gradient by the root √(1 + s²).",
        ),
        Mistake(
            "lengths added instead of squares",
            lambda depth, growth: growth ** (1 / depth) - 1,
            "This solves (1 + s)^L = growth. Trunk and branch are square to one another, and "
            "lengths do not add up then.",
        ),
        Mistake(
            "s² instead of s",
            lambda depth, growth: growth ** (2 / depth) - 1,
            "This is s². One root is missing.",
        ),
    ],
    hints=(
        "By (4) with γ = 1, what do L blocks do together?",
        "(1 + s²)^(L/2) = growth. Solve it for s.",
        "np.sqrt(growth ** (2 / depth) - 1)",
    ),
    afterword="For large L it is √(2 ln(growth) / L): the rule 1/√L, but for a constant.",
)


def my_killer():
    """Return −I: the branch takes away exactly what the trunk brings."""
    return -np.eye(4)


def judge_killer(W):
    """Send gradients down one linear block, h + h @ W, and see what is left."""
    W = np.asarray(W, dtype=float)
    if W.shape != (4, 4):
        return f"Your matrix has shape {W.shape}; the block has four units, so it takes (4, 4)."
    largest, *_, smallest = np.linalg.svd(np.eye(4) + W, compute_uv=False)
    if largest < 1e-9:
        return None
    if smallest < 1e-9:
        return "A part of the gradient is lost, but not all: some direction still passes."
    if np.allclose(W, 0):
        return "A branch that is 0 passes everything: all of it takes the trunk."
    if smallest > 1:
        return f"This block makes every gradient larger, at least {smallest:.2g} times."
    return f"Between {smallest:.2g} and {largest:.2g} of the gradient gets through."


KILLER = Exercise(
    id="05-killer",
    task="Find a branch that lets nothing through.",
    reference=my_killer,
    judge=judge_killer,
    mistakes=[
        Mistake(
            "zero",
            np.zeros((4, 4)),
            "A branch that is 0 passes everything: all of it takes the trunk.",
        ),
        Mistake(
            "the identity",
            np.eye(4),
            "With W = I the branch brings a second copy: I + I doubles every gradient.",
        ),
        Mistake(
            "half",
            -0.5 * np.eye(4),
            "Right sign, half the size: half of every gradient is still there.",
        ),
        Mistake(
            "minus one everywhere",
            -np.ones((4, 4)),
            "Minus one in every entry mixes the units: three directions still pass untouched.",
        ),
    ],
    hints=(
        "The block multiplies a gradient by the transpose of I + W. When is that 0?",
        "Every entry of I + W has to be 0.",
        "W = -np.eye(4)",
    ),
    afterword="So + 1 is no guarantee: training is free to move a branch there.",
)


def my_reason():
    """Return "slope": at a = 0 a ReLU's slope is 0, so (2) sends nothing into the branch."""
    return "slope"


REASON = Exercise(
    id="05-reason",
    task="Why does a ReLU branch that starts at W = 0 never learn?",
    reference=my_reason,
    options=("slope", "signal", "rate", "alike"),
    mistakes=[
        Mistake(
            "signal",
            "signal",
            "h comes up the trunk, unharmed; every branch sees it. What does it make of it?",
        ),
        Mistake(
            "rate",
            "rate",
            "The gradient of W is exactly 0, and no rate multiplies 0 into a step.",
        ),
        Mistake(
            "alike",
            "alike",
            "They are alike, but with tanh the same start does learn: h and δ differ from unit to "
            "unit.",
        ),
    ],
    hints=(
        "Write down ∂𝓛/∂W for this branch. Which of its factors is 0?",
        "It is h transposed times (δ ⊙ φ′(a)), and a = h W = 0 for every sample.",
        "What is the slope of a ReLU at 0, and what is tanh's?",
    ),
    afterword="Start a learnable scale at 0 instead, or the linear layer that ends the branch.",
)

EXERCISES = [BLOCK_BACK, BRANCH_SCALE, KILLER, REASON]
