"""Does the gradient arrive? How exercises that choose the weights of a stack are judged."""

import numpy as np

from course_lib.maths.propagation import random_pass


def through_sigmoids(spread: float, *, depth: int, chosen: str) -> str | None:
    """Try a spread of the weights on five stacks of sigmoid layers of width 128.

    None where between a tenth and ten times the gradient arrives, by the median; otherwise a
    sentence on what becomes of it, beginning with what was `chosen`.
    """
    shares = []
    for seed in range(5):
        weights = list(spread * np.random.default_rng(seed).standard_normal((depth, 128, 128)))
        norms = random_pass(weights, "sigmoid", seed=seed)[1].norms
        shares.append(norms[0] / norms[-1])
    share = float(np.median(shares))
    if 0.1 < share < 10:
        return None
    word = "vanishes" if share < 1 else "explodes"
    return f"With {chosen} about {share:.0e} of the gradient arrives; it {word}."
