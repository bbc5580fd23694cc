"""Exercises of chapter 02, activation functions."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake
from course_lib.learn.exercises.arrival import through_sigmoids


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


def swish_slope(a):
    """Return dh/da of h = a σ(a), by the product rule."""
    sigma = 1 / (1 + np.exp(-a))
    return sigma + a * sigma * (1 - sigma)


SWISH = Exercise(
    id="02-swish",
    task="Differentiate Swish, h = a σ(a).",
    reference=swish_slope,
    inputs=lambda rng: (3 * rng.standard_normal((3, 5)),),
    mistakes=[
        Mistake(
            "second term forgotten",
            lambda a: _sigmoid(a),
            "This treats σ(a) as a constant. It moves with a as well: the product rule has two "
            "terms.",
        ),
        Mistake(
            "first term forgotten",
            lambda a: a * _sigmoid(a) * (1 - _sigmoid(a)),
            "This treats the factor a as a constant. At a = 0 the slope is a half, not nothing.",
        ),
        Mistake(
            "product of the derivatives",
            lambda a: _sigmoid(a) * (1 - _sigmoid(a)),
            "The derivative of a product is not the product of the derivatives.",
        ),
        Mistake(
            "the function itself",
            lambda a: a * _sigmoid(a),
            "This is Swish. The question is how steep it is.",
        ),
    ],
    hints=(
        "A product of a and σ(a): which rule?",
        "First factor's derivative times the second, plus the other way round.",
        "σ + a · σ (1 − σ).",
    ),
    afterword="Like GELU it exceeds 1 for a stretch: 1.0998 at its steepest.",
)


def dead_units(a):
    """Return the share of the columns of `a` without a positive entry."""
    return np.mean((a <= 0).all(axis=0))


def dead_inputs(rng):
    """Return pre-activations of 20 images, some units of which are dead."""
    a = rng.standard_normal((20, 30))
    a[:, : int(rng.integers(3, 15))] -= 10
    return (a,)


DEAD_UNITS = Exercise(
    id="02-dead-units",
    task="Compute the share of dead units from the pre-activations of a layer.",
    reference=dead_units,
    inputs=dead_inputs,
    mistakes=[
        Mistake(
            "share of zero outputs",
            lambda a: np.mean(a <= 0),
            "This is the share of outputs that are 0. Every healthy ReLU unit is off for about "
            "half of the images; a dead one is off for all of them.",
        ),
        Mistake(
            "some image",
            lambda a: np.mean((a <= 0).any(axis=0)),
            "This counts units that are off for *some* image, which nearly every unit is.",
        ),
        Mistake(
            "images instead of units",
            lambda a: np.mean((a <= 0).all(axis=1)),
            "This asks of each image whether it switches no unit on: rows are images, columns "
            "are units.",
        ),
        Mistake(
            "the living",
            lambda a: np.mean((a > 0).any(axis=0)),
            "These are the units that some image switches on: the living ones.",
        ),
    ],
    hints=(
        "Which entries of a are off? For which units is that so in all rows?",
        "(a <= 0) is a table of True and False; `.all` takes an axis.",
        "np.mean of a row of True and False is the share of True.",
    ),
)


def my_spread():
    """Return a spread at which the matrices make up for slope and saturation, found by trying.

    √128 · σ_w · √𝔼[σ′²] is 1 near σ_w = 0.93: the mean square slope is about 0.009, not 1/16, for
    three quarters of the units are saturated by then.
    """
    return 0.93


def judge_spread(spread):
    """Try a spread on real stacks of 30 sigmoid layers of width 128."""
    spread = float(spread)
    if not np.isfinite(spread) or spread <= 0:
        return f"A spread is a number above 0; this one is {spread:g}."
    return through_sigmoids(spread, depth=30, chosen=f"{spread:g}")


SPREAD = Exercise(
    id="02-spread",
    task="Find the spread at which a gradient arrives through 30 sigmoid layers of width 128.",
    reference=my_spread,
    judge=judge_spread,
    mistakes=[
        Mistake(
            "1/√n",
            float(1 / np.sqrt(128)),
            "1/√n is right where the slope is 1. A sigmoid's is a quarter at best.",
        ),
        Mistake(
            "4/√n",
            float(4 / np.sqrt(128)),
            "4/√n would pay for a slope of exactly a quarter, as in the network that was held at "
            "0.5. Here nothing holds the outputs there, so most slopes are smaller.",
        ),
        Mistake(
            "4",
            4.0,
            "4 was the size of an orthogonal matrix as a whole; this is the spread of one weight, "
            "of which 128 add up.",
        ),
    ],
    hints=(
        "Smaller than 1/√n · 4 vanishes, 2 explodes: somewhere in between.",
        "A layer multiplies by about √128 · σ_w · √𝔼[σ′²], and the last factor falls as σ_w grows.",
        "Try 0.5, then 1.5, and halve the interval.",
    ),
    afterword="The window is narrow, and it is another one for every width and depth.",
)


def what_happens():
    """Return what is left of the factor without the saturated units: nearly all of it.

    Nine units in ten are frozen, but a slope of 0.02 squared is 0.0004: they carried about a
    twentieth of the energy. The factor falls by a few per cent.
    """
    return "nearly the same"


FROZEN = Exercise(
    id="02-frozen",
    task="What happens to the factor per layer without the saturated units?",
    reference=what_happens,
    options=("much smaller", "nearly the same", "larger", "exactly 0"),
    mistakes=[
        Mistake(
            "counts units instead of energy",
            "much smaller",
            "Nine in ten units are gone, but how much of the gradient went through them?",
        ),
        Mistake(
            "thinks they brake",
            "larger",
            "They pass little, but what they pass is not subtracted from anything.",
        ),
        Mistake(
            "forgets the rest",
            "exactly 0",
            "One unit in ten is left, and each entry of the next gradient still adds up many of "
            "them.",
        ),
    ],
    hints=(
        "What share of the energy did the claim above give the saturated units?",
        "If a twentieth of the squared size is missing, how much of the size is?",
        "√(1 − 0.05) is 0.97.",
    ),
)

EXERCISES = [SWISH, DEAD_UNITS, SPREAD, FROZEN]
