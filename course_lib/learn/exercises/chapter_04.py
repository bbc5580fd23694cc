"""Exercises of chapter 04, batch normalisation."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake
from course_lib.maths.activations import ACTIVATIONS


def layer_norm_input_gradient(delta, x, epsilon):
    """Equation (8) for the units of each sample: ∂𝓛/∂x, shaped like x."""
    mean = x.mean(axis=-1, keepdims=True)
    s = np.sqrt(np.mean((x - mean) ** 2, axis=-1, keepdims=True) + epsilon)
    x_hat = (x - mean) / s
    mean_delta = delta.mean(axis=-1, keepdims=True)
    mean_product = np.mean(delta * x_hat, axis=-1, keepdims=True)
    return (delta - mean_delta - x_hat * mean_product) / s


def _gradient(delta, x, epsilon, *, axis=-1, mean=True, along=True, power=1):
    centered = x - x.mean(axis, keepdims=True)
    s = np.sqrt(np.mean(centered**2, axis, keepdims=True) + epsilon)
    x_hat = centered / s
    left = delta.copy()
    if mean:
        left -= delta.mean(axis, keepdims=True)
    if along:
        left -= x_hat * np.mean(delta * x_hat, axis, keepdims=True)
    return left / s**power


def layer_norm_inputs(rng):
    """Return δ, x and an ε that is too large to be overlooked."""
    delta, x = rng.standard_normal((2, 4, 6))
    return delta, 2 * x + 1, float(rng.uniform(0.01, 0.1))


LAYER_NORM = Exercise(
    id="04-layer-norm",
    task="Derive Layer Norm's gradient by its input.",
    reference=layer_norm_input_gradient,
    inputs=layer_norm_inputs,
    mistakes=[
        Mistake(
            "over the batch",
            lambda delta, x, epsilon: _gradient(delta, x, epsilon, axis=0),
            "This is Batch Norm: your means run over the samples. Layer Norm compares the units "
            "of one sample.",
        ),
        Mistake(
            "mean and spread held fixed",
            lambda delta, x, epsilon: _gradient(delta, x, epsilon, mean=False, along=False),
            "This divides by s and stops. Mean and spread move with x as well, so two more terms "
            "come back.",
        ),
        Mistake(
            "spread held fixed",
            lambda delta, x, epsilon: _gradient(delta, x, epsilon, along=False),
            "The mean has been taken care of. The spread moves with x too: the part of δ along "
            "x̂ is missing.",
        ),
        Mistake(
            "mean held fixed",
            lambda delta, x, epsilon: _gradient(delta, x, epsilon, mean=False),
            "The part along x̂ is right. But the mean moves with x too, and takes the mean of δ.",
        ),
        Mistake(
            "divided by the variance",
            lambda delta, x, epsilon: _gradient(delta, x, epsilon, power=2),
            "This divides by s², the variance. A slope of x̂ = (x − μ)/s has one s below it.",
        ),
    ],
    hints=(
        "It is (8), with every mean over the last axis.",
        "x_hat = (x - mean) / s, with `axis=-1, keepdims=True` in all means.",
        "(delta - mean(delta) - x_hat * mean(delta * x_hat)) / s.",
    ),
    afterword="Each row of it sums to 0: no gradient can ask for what is subtracted.",
)


def steps_until(m, limit):
    """Return the first k with (1 − m)^k < limit: m is the share of the new batch."""
    return int(np.floor(np.log(limit) / np.log(1 - m))) + 1


def momentum_inputs(rng):
    """Return a PyTorch momentum and a limit for which the wrong answers differ."""
    return float(rng.uniform(0.02, 0.15)), float(rng.uniform(0.005, 0.05))


MOMENTUM = Exercise(
    id="04-momentum",
    task="After how many steps is less than `limit` of the start left in a PyTorch average?",
    reference=steps_until,
    inputs=momentum_inputs,
    tolerance=1e-9,
    mistakes=[
        Mistake(
            "read as Keras reads it",
            lambda m, limit: int(np.floor(np.log(limit) / np.log(m))) + 1,
            "This keeps the share m at each step, as Keras would. In PyTorch m is what is taken "
            "from the new batch.",
        ),
        Mistake(
            "one step short",
            lambda m, limit: int(np.floor(np.log(limit) / np.log(1 - m))),
            "One step too few: there the share is still above the limit.",
        ),
        Mistake(
            "not a whole number",
            lambda m, limit: np.log(limit) / np.log(1 - m),
            "This is where the curve crosses the limit. The question asks for the first whole "
            "step beyond it.",
        ),
        Mistake(
            "as if it fell in a straight line",
            lambda m, limit: int(np.ceil((1 - limit) / m)),
            "Each step takes a share of what is *left*, so what is left falls like a power, not "
            "along a straight line.",
        ),
    ],
    hints=(
        "Which share of the old average does a step of PyTorch keep?",
        "After k steps (1 − m)^k of the start is left. Solve for k with logarithms.",
        "int(np.floor(np.log(limit) / np.log(1 - m))) + 1.",
    ),
    afterword="Keras's 0.99 needs 459 steps to get below 1 %, PyTorch's 0.1 needs 44.",
)


def share_after(phi, phi_prime, depth):
    """Equation (13) to the power of the depth, on a fine grid of the bell curve."""
    z = np.linspace(-8, 8, 4000)
    bell = np.exp(-(z**2) / 2) / np.sum(np.exp(-(z**2) / 2))
    variance = bell @ phi(z) ** 2 - (bell @ phi(z)) ** 2
    return np.sqrt(bell @ phi_prime(z) ** 2 / variance) ** depth


_Z = np.linspace(-8, 8, 4000)
_BELL = np.exp(-(_Z**2) / 2) / np.sum(np.exp(-(_Z**2) / 2))


def _squared_factor(phi, phi_prime, *, centered=True, mean_first=False):
    mean = _BELL @ phi(_Z) if centered else 0.0
    above = (_BELL @ phi_prime(_Z)) ** 2 if mean_first else _BELL @ phi_prime(_Z) ** 2
    return above / (_BELL @ phi(_Z) ** 2 - mean**2)


def share_inputs(rng):
    """Return an activation whose outputs have a mean, its derivative and a depth."""
    activation = ACTIVATIONS[str(rng.choice(["relu", "gelu", "leaky_relu"]))]
    return activation.function, activation.derivative, int(rng.integers(5, 15))


FORETELL = Exercise(
    id="04-foretell",
    task="Predict what depth does to a gradient between layers with Batch Norm.",
    reference=share_after,
    inputs=share_inputs,
    tolerance=0.05,
    mistakes=[
        Mistake(
            "Layer Norm's factor",
            lambda phi, phi_prime, depth: (
                _squared_factor(phi, phi_prime, centered=False) ** (depth / 2)
            ),
            "This divides by the mean square of φ, as (16) does for Layer Norm. Batch Norm has "
            "subtracted the mean: what counts is the variance.",
        ),
        Mistake(
            "root forgotten",
            lambda phi, phi_prime, depth: _squared_factor(phi, phi_prime) ** depth,
            "This is the growth of the gradient's *square*. The root of (13) is missing.",
        ),
        Mistake(
            "one layer only",
            lambda phi, phi_prime, depth: _squared_factor(phi, phi_prime) ** 0.5,
            "This is one layer. D of them multiply.",
        ),
        Mistake(
            "added, not multiplied",
            lambda phi, phi_prime, depth: depth * _squared_factor(phi, phi_prime) ** 0.5,
            "Layers multiply; this adds their factors up.",
        ),
        Mistake(
            "averaged before squaring",
            lambda phi, phi_prime, depth: (
                _squared_factor(phi, phi_prime, mean_first=True) ** (depth / 2)
            ),
            "The slope is averaged first and squared afterwards here. (13) has the mean of the "
            "squares.",
        ),
    ],
    hints=(
        "Which two averages over the bell curve stand in (13)?",
        "Take z and bell as in the chapter; the variance is mean square minus squared mean.",
        "np.sqrt(bell @ phi_prime(z)**2 / (bell @ phi(z)**2 - (bell @ phi(z))**2)) ** depth.",
    ),
    afterword="It is never below 1, whatever φ you try: that is (15).",
)


def fold(W, mean, variance, scale, offset, epsilon):
    """Return W′ and b′ with h W′ + b′ = scale (h W − mean) / s + offset."""
    shrink = scale / np.sqrt(variance + epsilon)
    return W * shrink, offset - mean * shrink


def fold_inputs(rng):
    """Return a square matrix, so that rows and columns can be mixed up, and statistics."""
    mean, scale, offset = rng.standard_normal((3, 5))
    return rng.standard_normal((5, 5)), mean, rng.uniform(0.2, 3, 5), scale, offset, 0.01


FOLD = Exercise(
    id="04-fold",
    task="Fold a Batch Norm in use into the matrix before it.",
    reference=fold,
    inputs=fold_inputs,
    mistakes=[
        Mistake(
            "rows scaled, not columns",
            lambda W, mean, variance, scale, offset, epsilon: (
                W * (scale / np.sqrt(variance + epsilon))[:, None],
                offset - mean * scale / np.sqrt(variance + epsilon),
            ),
            "The bias is right. But each unit is a *column* of W, and you have scaled its rows.",
        ),
        Mistake(
            "bias forgets the mean",
            lambda W, mean, variance, scale, offset, epsilon: (
                W * scale / np.sqrt(variance + epsilon),
                offset,
            ),
            "The weights are right. The mean is subtracted from every pre-activation, so it "
            "belongs into the bias.",
        ),
        Mistake(
            "mean not scaled",
            lambda W, mean, variance, scale, offset, epsilon: (
                W * scale / np.sqrt(variance + epsilon),
                offset - mean,
            ),
            "The mean is subtracted *before* it is divided by s and multiplied by scale. In your "
            "bias it escapes both.",
        ),
        Mistake(
            "divided by the variance",
            lambda W, mean, variance, scale, offset, epsilon: (
                W * scale / (variance + epsilon),
                offset - mean * scale / (variance + epsilon),
            ),
            "This divides by the variance; s is its root.",
        ),
    ],
    hints=(
        "Write out scale · (h W − mean) / s + offset and collect what stands with h.",
        "Column j of W is multiplied by scale_j / s_j. What is left over is the bias.",
        "shrink = scale / np.sqrt(variance + epsilon); W * shrink and offset - mean * shrink.",
    ),
    afterword="Deployed networks are folded this way; the Batch Norm then costs nothing.",
)


def how_much():
    """Return which: the gradient is a tenth (11), and the step turns a vector ten times as long."""
    return "a hundredth"


EFFECTIVE_RATE = Exercise(
    id="04-effective-rate",
    task="Weights in front of a Batch Norm are multiplied by 10. How much does SGD turn them?",
    reference=how_much,
    options=("ten times as much", "as much", "a tenth", "a hundredth"),
    mistakes=[
        Mistake(
            "more",
            "ten times as much",
            "That is what happens to the outputs of a linear layer *without* Batch Norm.",
        ),
        Mistake(
            "as much",
            "as much",
            "The outputs are as before, but the gradient is not: look at (11).",
        ),
        Mistake(
            "a tenth",
            "a tenth",
            "The gradient is a tenth, right. And by which angle does a tenth of a step turn a "
            "vector ten times as long?",
        ),
    ],
    hints=(
        "By (11), how large is the gradient now?",
        "The step is at a right angle to w. The angle is the step over the length.",
        "A tenth, divided by ten.",
    ),
    afterword="This is why the effective rate goes like α/‖w‖².",
)

EXERCISES = [LAYER_NORM, MOMENTUM, FORETELL, FOLD, EFFECTIVE_RATE]
