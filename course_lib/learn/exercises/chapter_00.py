"""The practice exercise of chapter 00."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def decades(start, end):
    """Powers of ten from `start` to `end`: negative when something is lost."""
    return np.log10(end / start)


EXERCISES = [
    Exercise(
        id="00-decades",
        task="By how many powers of ten does a gradient change from `start` to `end`?",
        reference=decades,
        inputs=lambda rng: tuple(float(10**exponent) for exponent in rng.uniform(-9, 9, 2)),
        mistakes=[
            Mistake(
                "upside down",
                lambda start, end: np.log10(start / end),
                "The right size, but the sign says it grew when it shrank: the gradient goes from "
                "`start` to `end`.",
            ),
            Mistake(
                "natural logarithm",
                lambda start, end: np.log(end / start),
                "This counts powers of e = 2.718…; the picture counts powers of ten.",
            ),
            Mistake(
                "no logarithm",
                lambda start, end: end / start,
                "This is the factor. How many tens have to be multiplied to make it?",
            ),
            Mistake(
                "difference",
                lambda start, end: end - start,
                "A difference says how much was lost, not how many times smaller it is: from 1 to "
                "0.1 and from 1 to 0.001 are nearly the same difference.",
            ),
        ],
        hints=(
            "From 100 to 1: which factor, and what is its logarithm?",
            "The factor is end / start.",
            "np.log10 of the factor.",
        ),
        afterword="That is the height of a point in the picture of the course.",
    ),
]
