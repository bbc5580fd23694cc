"""Exercises of chapter 03, initialisation."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake
from course_lib.learn.exercises.arrival import through_sigmoids
from course_lib.maths.activations import ACTIVATIONS


def mean_square(phi, q):
    """Equation (2): the mean square of φ(√q z), z standard normal, on a fine grid."""
    z = np.linspace(-8, 8, 4001)
    bell = np.exp(-(z**2) / 2)
    return np.sum(bell * phi(np.sqrt(q) * z) ** 2) / np.sum(bell)


def _average(phi, q, power=2, root=np.sqrt):
    z = np.linspace(-8, 8, 4001)
    bell = np.exp(-(z**2) / 2)
    return np.sum(bell * phi(root(q) * z) ** power) / np.sum(bell)


def mean_square_inputs(rng):
    """Return an activation and a mean square."""
    name = str(rng.choice(["relu", "tanh", "sigmoid", "elu"]))
    return ACTIVATIONS[name].function, float(rng.uniform(0.3, 4.0))


MEAN_SQUARE = Exercise(
    id="03-mean-square",
    task="Compute equation (2) for any activation.",
    reference=mean_square,
    inputs=mean_square_inputs,
    tolerance=0.03,
    mistakes=[
        Mistake(
            "q instead of its root",
            lambda phi, q: _average(phi, q, root=lambda q: q),
            "q is the mean *square* of a; what stretches z is its root.",
        ),
        Mistake(
            "the mean, not the mean square",
            lambda phi, q: _average(phi, q, power=1),
            "This averages φ itself; (1) and (2) need the average of its square.",
        ),
        Mistake(
            "squared after averaging",
            lambda phi, q: _average(phi, q, power=1) ** 2,
            "Square first, then average: the mean of a ReLU's output squared is not the mean of "
            "its squares.",
        ),
        Mistake(
            "q ignored",
            lambda phi, q: _average(phi, 1.0),
            "This is right for q = 1; for other q the bell curve is wider or narrower.",
        ),
    ],
    hints=(
        "a = √q · z with z standard normal. Which numbers do you average?",
        "Draw many z, or take a grid of z with weights exp(−z²/2).",
        "np.mean(phi(np.sqrt(q) * z) ** 2) with z = rng.standard_normal(1_000_000).",
    ),
    afterword="For ReLU it is q / 2, which is where He's factor comes from.",
)


def leaky_spread(fan_in, slope):
    """Return σ_w with n σ_w² (1 + slope²) / 2 = 1: half of the squares come from each side."""
    return np.sqrt(2 / ((1 + slope**2) * fan_in))


LEAKY = Exercise(
    id="03-leaky",
    task="Find the spread that keeps the signal level under a Leaky ReLU.",
    reference=leaky_spread,
    inputs=lambda rng: (int(rng.integers(20, 500)), float(rng.uniform(0.1, 0.9))),
    mistakes=[
        Mistake(
            "He's rule",
            lambda fan_in, slope: np.sqrt(2 / fan_in),
            "That is He's rule, for slope 0. The negative side gives something back here.",
        ),
        Mistake(
            "variance instead of spread",
            lambda fan_in, slope: 2 / ((1 + slope**2) * fan_in),
            "This is the variance σ_w². The question asks for its root.",
        ),
        Mistake(
            "slope not squared",
            lambda fan_in, slope: np.sqrt(2 / ((1 + slope) * fan_in)),
            "The negative half is multiplied by the slope, so its *squares* are multiplied by the "
            "slope squared.",
        ),
        Mistake(
            "half forgotten",
            lambda fan_in, slope: np.sqrt(1 / ((1 + slope**2) * fan_in)),
            "Each side of the bell holds half of the squares: mind the factor 2.",
        ),
    ],
    hints=(
        "What is the mean square behind a Leaky ReLU, in terms of q?",
        "Half of the squares stay, half are multiplied by slope².",
        "n σ_w² (1 + slope²) / 2 = 1.",
    ),
    afterword="Slope 1 is a linear layer and gives 1/√n, slope 0 gives He's rule.",
)


def my_gain():
    """Return g near 10: the spread must pay for a slope of a quarter and for saturation."""
    return 10.5


def judge_gain(gain):
    """Try a gain on real stacks of 20 sigmoid layers of width 128."""
    gain = float(gain)
    if not np.isfinite(gain) or gain <= 0:
        return f"A gain is a number above 0; this one is {gain:g}."
    return through_sigmoids(gain / np.sqrt(128), depth=20, chosen=f"g = {gain:g}")


GAIN = Exercise(
    id="03-sigmoid-gain",
    task="Find a gain at which a gradient arrives through 20 sigmoid layers of width 128.",
    reference=my_gain,
    judge=judge_gain,
    mistakes=[
        Mistake(
            "Glorot",
            1.0,
            "g = 1 levels a layer whose slope is 1. A sigmoid's is a quarter at best.",
        ),
        Mistake(
            "He",
            float(np.sqrt(2)),
            "√2 makes up for the half that ReLU throws away; a sigmoid loses far more.",
        ),
        Mistake(
            "4",
            4.0,
            "4 would pay for a slope of exactly a quarter. But larger weights push units to where "
            "the slope is smaller still.",
        ),
    ],
    hints=(
        "More than 4, for the reason that 4 itself does not do.",
        "Use `mean_field`: for which g does its last factor come near 1?",
        "Try 8 and 15, and halve the interval.",
    ),
    afterword="It costs most units their slope: they sit near 0 and 1.",
)


def my_explanation():
    """Return which it is: 0.003 is less than 1/256 = 0.0039, and ReLU's slope is at most 1.

    By (8) no matrix stretches by more than c · n = 0.77, so every layer must lose at least 23 %.
    """
    return "certain"


EXPLAIN = Exercise(
    id="03-explain",
    task="What has clipping at c = 0.003 done to a ReLU network of width 256?",
    reference=my_explanation,
    options=("certain", "likely", "rate", "nothing"),
    mistakes=[
        Mistake(
            "likely",
            "likely",
            "From a random start it does, and by far. But work out the ceiling (8): c · n is "
            "below 1 here.",
        ),
        Mistake(
            "rate",
            "rate",
            "A larger rate makes larger steps, and the next clipping takes them back: no weight "
            "leaves ±0.003.",
        ),
        Mistake("nothing", "nothing", "The lower layers have stopped learning, so something has."),
    ],
    hints=(
        "What is the largest singular value that a 256 × 256 matrix with entries up to c can have?",
        "c √(256 · 256) = 256 c.",
        "256 · 0.003 is 0.768, and the slopes of ReLU are at most 1.",
    ),
)

EXERCISES = [MEAN_SQUARE, LEAKY, GAIN, EXPLAIN]
