"""Exercises of chapter 07, recurrent networks."""

from itertools import cycle

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def recurrent_gradient(h, delta, slope):
    """Equation (7): the sum over time of h_{t−1}ᵀ (δ_t ⊙ φ′(a_t))."""
    d_a = delta * slope
    return sum(h[:, t].T @ d_a[:, t] for t in range(delta.shape[1]))


def gradient_inputs(rng):
    """Return states h_0 … h_T, δ_1 … δ_T and slopes, more steps than samples and units."""
    batch, units = rng.integers(2, 5, 2)
    length = int(rng.integers(5, 9))
    h = rng.standard_normal((batch, length + 1, units))
    delta = rng.standard_normal((batch, length, units))
    return h, delta, rng.uniform(0.1, 1.0, delta.shape)


def mean_over_time(h, delta, slope):
    """Divide by T, as a mean would."""
    return recurrent_gradient(h, delta, slope) / delta.shape[1]


RECURRENT_GRADIENT = Exercise(
    id="07-recurrent-gradient",
    task="Write the gradient of the recurrent weights.",
    reference=recurrent_gradient,
    inputs=gradient_inputs,
    mistakes=[
        Mistake(
            "the mean over time",
            mean_over_time,
            "Right direction, T times too small: did you take the mean over time where the sum "
            "belongs?",
        ),
        Mistake(
            "one step written over the others",
            lambda h, delta, slope: h[:, 0].T @ (delta * slope)[:, 0],
            "This is the first step's part alone: did the loop, running backwards, overwrite "
            "`dW_h` where it should add?",
        ),
        Mistake(
            "the last step alone",
            lambda h, delta, slope: h[:, -2].T @ (delta * slope)[:, -1],
            "This is the last step's part alone. The same matrix was used at every step.",
        ),
        Mistake(
            "h_t in place of h_{t−1}",
            lambda h, delta, slope: recurrent_gradient(h[:, 1:], delta, slope),
            "W_h met the state *before* the step. You took the one after it; remember that `h` "
            "begins with h_0.",
        ),
        Mistake(
            "the slope forgotten",
            lambda h, delta, slope: recurrent_gradient(h, delta, np.ones_like(slope)),
            "δ is the gradient by h. W_h stands before φ, so δ has to pass the slope first.",
        ),
        Mistake(
            "transposed",
            lambda h, delta, slope: recurrent_gradient(h, delta, slope).T,
            "The right numbers, transposed: rows belong to h_{t−1}, columns to a_t.",
        ),
    ],
    hints=(
        "The same matrix was used T times. What does the loss feel when it moves?",
        "A sum over t of (state before the step)ᵀ (δ ⊙ slope). Which index of `h` is h_{t−1}?",
        "sum(h[:, t].T @ (delta * slope)[:, t] for t in range(delta.shape[1]))",
    ),
    afterword="For T = 1 it is equation (7) of chapter 01.",
)


def cut_back(e_last, slope, W_h, reach):
    """Equation (5) from the last step on, with 0 for all states beyond the reach."""
    delta = np.zeros_like(slope)
    delta[:, -1] = e_last
    length = slope.shape[1]
    for t in range(length - 2, length - 1 - min(reach, length), -1):
        delta[:, t] = (delta[:, t + 1] * slope[:, t + 1]) @ W_h.T
    return delta


# Five fresh inputs judge an answer, so each answer meets all of these; None is the whole length.
REACHES = cycle((1, 2, 3, 5, None))


def cut_inputs(rng):
    """Return a gradient at the last of eight to eleven steps, and the next of `REACHES`."""
    batch, units = rng.integers(2, 5, 2)
    length = int(rng.integers(8, 12))
    slope = rng.uniform(0.1, 1.0, (batch, length, units))
    e_last, W_h = rng.standard_normal((batch, units)), rng.standard_normal((units, units))
    return e_last, slope, W_h, next(REACHES) or length


def slope_of_the_state_below(e_last, slope, W_h, reach):
    """Take φ′(a_t) in place of φ′(a_{t+1}): one step too early."""
    return cut_back(e_last, np.roll(slope, 1, axis=1), W_h, reach)


CUT_BACK = Exercise(
    id="07-cut-back",
    task="Carry the last step's gradient back to a given number of states.",
    reference=cut_back,
    inputs=cut_inputs,
    mistakes=[
        Mistake(
            "one state too far",
            lambda e_last, slope, W_h, reach: cut_back(e_last, slope, W_h, reach + 1),
            "One state too many gets something: the last state counts as the first of `reach`.",
        ),
        Mistake(
            "one state too few",
            lambda e_last, slope, W_h, reach: cut_back(e_last, slope, W_h, reach - 1),
            "One state too few: the last one is the first of `reach`, and `reach` − 1 follow.",
        ),
        Mistake(
            "always a step back",
            lambda e_last, slope, W_h, reach: cut_back(e_last, slope, W_h, max(reach, 2)),
            "Right but for `reach` = 1: there only the last row is not 0.",
        ),
        Mistake(
            "nothing cut",
            lambda e_last, slope, W_h, reach: cut_back(e_last, slope, W_h, slope.shape[1]),
            "This is the whole gradient. Beyond `reach` states δ has to be exactly 0.",
        ),
        Mistake(
            "the slope of the wrong step",
            slope_of_the_state_below,
            "Between h_t and h_{t+1} stands φ at step t + 1. You took the slope of step t.",
        ),
        Mistake(
            "W_h not transposed",
            lambda e_last, slope, W_h, reach: cut_back(e_last, slope, W_h.T, reach),
            "The matrix that carried h forward carries δ back transposed.",
        ),
    ],
    hints=(
        "Start with zeros shaped like `slope`, and put `e_last` where the loss reads.",
        "One step back is (delta[:, t + 1] * slope[:, t + 1]) @ W_h.T. How many are there?",
        "`reach` − 1 steps: for t in range(length - 2, length - 1 - reach, -1).",
    ),
    afterword="Forward nothing changed: the state still holds what came before the cut.",
)


def my_weight():
    """Return w with w¹⁹ = 1/1000: nineteen factors lie between h_20 and h_1."""
    return 1000 ** (-1 / 19)


THOUSANDTH = Exercise(
    id="07-thousandth",
    task="Find the recurrent weight with which a thousandth of δ₂₀ arrives at step 1.",
    reference=my_weight,
    tolerance=2e-3,
    mistakes=[
        Mistake(
            "twenty factors",
            1000 ** (-1 / 20),
            "Twenty states have nineteen steps between them.",
        ),
        Mistake(
            "explodes",
            1000 ** (1 / 19),
            "With this one a *thousand times* δ₂₀ arrives. Upside down.",
        ),
        Mistake(
            "divided, not multiplied",
            1 / 1000,
            "One step with a thousandth would do it. There are more, and each multiplies.",
        ),
    ],
    hints=(
        "By which factor is δ multiplied from one step to the one before? How many such steps?",
        "w to the power of 19 is 1/1000.",
        "1000 ** (-1 / 19)",
    ),
    afterword="A weight that loses less than a third a step, and a thousandth is left.",
)


def my_reason():
    """Return "store": the loss at t reaches the use of W_h at t and none before it."""
    return "store"


REASON = Exercise(
    id="07-reason",
    task="Why have one-step gradients from W_h = 0 hardly learnt lag 4?",
    reference=my_reason,
    options=("store", "forward", "vanish", "rate"),
    mistakes=[
        Mistake(
            "forward",
            "forward",
            "Truncation cuts the gradient alone. Whatever a state holds, the next one receives.",
        ),
        Mistake(
            "vanish",
            "vanish",
            "One-step gradients carry nothing back at all, so nothing fades on its way.",
        ),
        Mistake(
            "rate",
            "rate",
            "The same rates learn lag 2, mostly. At lag 4 the longest steps (0.03) get no farther "
            "than 0.58.",
        ),
    ],
    hints=(
        "Follow the bit: at which step has it to be kept, and which loss asks for it?",
        "It has to be kept at three steps before the one where it is said. Which of them does a "
        "one-step gradient reach?",
        "No loss tells them to keep it. Which word says so?",
    ),
    afterword="From an orthogonal start it works: there the storing is done for nothing.",
)

EXERCISES = [RECURRENT_GRADIENT, CUT_BACK, THOUSANDTH, REASON]
