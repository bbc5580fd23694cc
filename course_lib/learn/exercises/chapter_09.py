"""Exercises of chapter 09, gradient clipping."""

import itertools

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def clip_globally(gradients, limit):
    """Equation (3): one norm for all arrays, one factor for all."""
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    return [g * (limit / max(norm, limit)) for g in gradients]


SCALES = itertools.cycle([30.0, 0.1, 0.0])  # so that every check sees all three


def gradient_lists(rng):
    """Return three arrays, in turn longer than the limit, shorter, and zeros, and a limit."""
    scale = next(SCALES)
    return [scale * rng.standard_normal(n) for n in [(2, 3), (4,), (3, 3)]], rng.uniform(2, 3)


def stretch_to_the_limit(gradients, limit):
    """Return the gradient with norm `limit`, also where it was shorter."""
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    with np.errstate(divide="ignore", invalid="ignore"):
        return [g * (limit / norm) for g in gradients]


def divide_by_the_norm(gradients, limit):
    """Return (3), but NaN for a gradient of zeros."""
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    with np.errstate(divide="ignore", invalid="ignore"):
        return [g * (limit / norm) * (norm > limit) + g * (norm <= limit) for g in gradients]


GLOBAL_NORM = Exercise(
    id="09-global-norm",
    task="Clip a list of arrays by global norm.",
    reference=clip_globally,
    inputs=gradient_lists,
    mistakes=[
        Mistake(
            "each variable by itself",
            lambda gradients, limit: [
                g * (limit / max(np.linalg.norm(g), limit)) for g in gradients
            ],
            "Each array is clipped by its own norm here: that is (2), Keras's `clipnorm`. (3) has "
            "one norm for all of them.",
        ),
        Mistake(
            "norms added instead of squares",
            lambda gradients, limit: [
                g * (limit / max(sum(np.linalg.norm(v) for v in gradients), limit))
                for g in gradients
            ],
            "The norms were added. N is the length of all entries in one long vector: squares add "
            "up, and the root comes last.",
        ),
        Mistake(
            "the root forgotten",
            lambda gradients, limit: [
                g * (limit / max(sum(np.sum(v**2) for v in gradients), limit)) for g in gradients
            ],
            "This divides by N². The root is missing.",
        ),
        Mistake(
            "always stretched to the limit",
            stretch_to_the_limit,
            "A gradient shorter than the limit has been made longer. Clipping leaves it as it is.",
        ),
        Mistake(
            "NaN from zeros",
            divide_by_the_norm,
            "A gradient of zeros has become NaN: limit / norm is infinite there, and 0 · ∞ is NaN.",
        ),
        Mistake(
            "by value",
            lambda gradients, limit: [np.clip(g, -limit, limit) for g in gradients],
            "Each entry was cut by itself: that is (1), and it turns the gradient.",
        ),
    ],
    hints=(
        "First one number for the whole list, then one factor for all arrays.",
        "N is the root of the sum of all squares; the factor is 1 where N is below the limit.",
        "factor = limit / max(norm, limit), with norm = np.sqrt(sum(np.sum(g**2) for g in …))",
    ),
    afterword="With max(norm, limit) below the line, a gradient of zeros needs no case of its own.",
)


def value_cosine(g, limit):
    """Return g · u / (‖g‖ ‖u‖), where u is g clipped by value."""
    u = np.clip(g, -limit, limit)
    return np.sum(g * u) / (np.linalg.norm(g) * np.linalg.norm(u))


VALUE_COSINE = Exercise(
    id="09-value-cosine",
    task="Find the cosine between a gradient and what clipping by value makes of it.",
    reference=value_cosine,
    inputs=lambda rng: (3 * rng.standard_normal((4, 5)), float(rng.uniform(0.2, 1.5))),
    mistakes=[
        Mistake(
            "not divided by the lengths",
            lambda g, limit: np.sum(g * np.clip(g, -limit, limit)),
            "This is g · u. A cosine is divided by both lengths, and never above 1.",
        ),
        Mistake(
            "divided by the square of g's length",
            lambda g, limit: np.sum(g * np.clip(g, -limit, limit)) / np.sum(g**2),
            "Divided by ‖g‖ twice. One of the two lengths is that of u.",
        ),
        Mistake(
            "how much shorter it is",
            lambda g, limit: np.linalg.norm(np.clip(g, -limit, limit)) / np.linalg.norm(g),
            "This says how much shorter u is than g, and nothing of where it points.",
        ),
        Mistake(
            "only clipped above",
            lambda g, limit: (
                np.sum(g * np.minimum(g, limit))
                / (np.linalg.norm(g) * np.linalg.norm(np.minimum(g, limit)))
            ),
            "Large negative entries have passed: the limit holds on both sides of 0.",
        ),
    ],
    hints=(
        "Clip first; then it is the cosine of two vectors.",
        "g · u is the sum of the products of their entries; divide by both norms.",
        "u = np.clip(g, -limit, limit), then np.sum(g * u) over two np.linalg.norm",
    ),
    afterword="By global norm the same function gives 1, whatever the limit.",
)


def my_gradient():
    """Return one entry that is far longer than three equal small ones."""
    return np.array([1000.0, 1.0, 1.0, 1.0])


def judge_gradient(g):
    """Clip it at 1 and measure the angle."""
    g = np.asarray(g, dtype=float)
    if g.shape != (4,):
        return f"Your gradient has shape {g.shape}; it takes four entries, shape (4,)."
    if not np.isfinite(g).all() or not g.any():
        return "It takes finite entries that are not all 0, or there is no direction to turn."
    if np.abs(g).max() <= 1:
        return "No entry is above 1, so nothing is clipped and nothing turns."
    direction = g / np.abs(g).max()  # squares of 1e200 are infinite
    clipped = np.clip(g, -1, 1)
    cosine = direction @ clipped / (np.linalg.norm(direction) * np.linalg.norm(clipped))
    angle = np.degrees(np.arccos(min(cosine, 1.0)))
    return (
        None if angle > 55 else f"Clipping at 1 turns it by {angle:.0f}°; it takes more than 55°."
    )


TURN_IT = Exercise(
    id="09-turn-it",
    task="Find a gradient of four entries that clipping by value at 1 turns by more than 55°.",
    reference=my_gradient,
    judge=judge_gradient,
    mistakes=[
        Mistake(
            "all entries alike",
            np.full(4, 1000.0),
            "Clipping at 1 turns it by 0°; it takes more than 55°.",
        ),
        Mistake(
            "all alike, and their squares infinite",
            np.full(4, 1e200),
            "However long they are, four equal entries end in one corner: it turns by 0°.",
        ),
        Mistake(
            "nothing to clip",
            np.array([1.0, 0.1, 0.1, 0.1]),
            "No entry is above 1, so nothing is clipped and nothing turns.",
        ),
        Mistake(
            "two large entries",
            np.array([1000.0, 1000.0, 1.0, 1.0]),
            "Clipping at 1 turns it by 45°; it takes more than 55°.",
        ),
    ],
    hints=(
        "How far can clipping turn four entries at most? Put n = 4 into (5).",
        "All four at the limit is the corner (1, 1, 1, 1). Which entries are far from there?",
        "One entry that is large and three that are just 1: 60° is the most there is, by (5).",
    ),
    afterword="By (5) the cosine never falls below 1/√4, so 60° is never reached.",
)


def choose_limit(norms):
    """Return the norm that nine finite steps in ten do not exceed."""
    norms = np.asarray(norms)
    return np.quantile(norms[np.isfinite(norms)], 0.9)


def norm_histories(rng):
    """Return the norms of a run, with spikes, ten infinities and one NaN."""
    norms = np.exp(rng.standard_normal(rng.integers(70, 120)))
    norms[rng.integers(0, 50, 3)] *= 1000
    norms[50:60], norms[65] = np.inf, np.nan
    return (norms,)


def judge_limit(limit, norms):
    """Count the finite steps that it would have clipped; a tenth, give or take one step."""
    finite = norms[np.isfinite(norms)]
    count = np.sum(finite > limit)
    if abs(count - len(finite) / 10) <= 1 + 1e-9:
        return None
    share = count / len(finite)
    return f"As limit, {limit:.3g} would have clipped {share:.0%} of the finite steps, not 10%."


CHOOSE_LIMIT = Exercise(
    id="09-choose-limit",
    task="From the norms of a run, find a limit that clips one finite step in ten.",
    reference=choose_limit,
    judge=judge_limit,
    inputs=norm_histories,
    mistakes=[
        Mistake(
            "the mean",
            lambda norms: np.mean(norms[np.isfinite(norms)]),
            "This is the mean of the finite norms, and three spikes have made it: it would clip "
            "hardly anything.",
        ),
        Mistake(
            "one step in ten left alone",
            lambda norms: np.quantile(norms[np.isfinite(norms)], 0.1),
            "With this limit nine steps in ten are clipped, not one.",
        ),
        Mistake(
            "the infinite one counted",
            lambda norms: np.quantile(norms[~np.isnan(norms)], 0.9),
            "The infinite norms were counted as steps. Theirs are skipped, whatever the limit.",
        ),
        Mistake(
            "the largest",
            lambda norms: np.max(norms[np.isfinite(norms)]),
            "The largest finite norm as limit: nothing would have been clipped.",
        ),
    ],
    hints=(
        "First leave out what is not finite.",
        "A tenth of the norms should lie above the limit: a quantile.",
        "np.quantile(norms[np.isfinite(norms)], 0.9)",
    ),
    afterword="It is a first guess: under Adam the limit may be far off, under SGD tune it with α.",
)


def what_changes():
    """Return "nothing": clipped at 1, every gradient is a tenth of what it is clipped at 10."""
    return "nothing"


LOWER_LIMIT = Exercise(
    id="09-lower-limit",
    task="Adam, clipped by global norm, N always between 50 and 60, the limit lowered from 10 to "
    "1: what changes?",
    reference=what_changes,
    options=("nothing", "shorter", "safer", "direction"),
    mistakes=[
        Mistake(
            "shorter",
            "shorter",
            "So it would be with SGD. What does (10) say of one factor for all steps?",
        ),
        Mistake(
            "safer",
            "safer",
            "All steps were clipped to norm 10 before, and are clipped to norm 1 now. Adam divides "
            "by the size of what it gets.",
        ),
        Mistake(
            "direction",
            "direction",
            "By global norm the direction stays what it is, for any limit.",
        ),
    ],
    hints=(
        "How many of the steps were clipped before, and how many are now?",
        "All of them, both times. So each gradient is a tenth of what it was.",
        "Put s = 1/10 into equation (10).",
    ),
    afterword="Until ε counts: with gradients of 10⁻⁶ and Keras's ε the limit would matter.",
)

EXERCISES = [GLOBAL_NORM, VALUE_COSINE, TURN_IT, CHOOSE_LIMIT, LOWER_LIMIT]
