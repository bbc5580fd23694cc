"""Exercises of chapter 08, how far back an RNN can learn."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def step_jacobian(a, W_h, derivative):
    """Equation (2): the slopes on the rows of the transposed matrix."""
    return derivative(a)[:, None] * W_h.T


def jacobian_inputs(rng):
    """Return the pre-activations of one sample, a square matrix and tanh's derivative."""
    n = int(rng.integers(3, 7))
    a, W_h = rng.standard_normal(n), rng.standard_normal((n, n))
    return a, W_h, lambda a: 1 - np.tanh(a) ** 2


JACOBIAN = Exercise(
    id="08-jacobian",
    task="Write down the Jacobian of one step.",
    reference=step_jacobian,
    inputs=jacobian_inputs,
    mistakes=[
        Mistake(
            "W_h not transposed",
            lambda a, W_h, derivative: derivative(a)[:, None] * W_h,
            "The slopes stand where they belong. But the matrix that carried h forward carries δ "
            "back transposed.",
        ),
        Mistake(
            "the slopes on the columns",
            lambda a, W_h, derivative: W_h.T * derivative(a),
            "NumPy has put the slopes on the *columns*: δ would pass the matrix first and the "
            "slope afterwards. Going back, φ′ comes first.",
        ),
        Mistake(
            "the transpose of the whole",
            lambda a, W_h, derivative: W_h * derivative(a),
            "This is the transpose: it carries a small change of h *forward*, `dh @ J`. Asked for "
            "is the matrix that carries δ back, `delta @ J`.",
        ),
        Mistake(
            "the slopes forgotten",
            lambda a, W_h, derivative: W_h.T.copy(),
            "That is the Jacobian of a linear network. Where has φ gone?",
        ),
    ],
    hints=(
        "Row i of J is multiplied by entry i of δ. What does that entry meet first?",
        "The slope φ′(a_i), then row i of the transposed matrix.",
        "derivative(a)[:, None] * W_h.T",
    ),
    afterword="Multiply T of them and you know what becomes of every gradient, not of one.",
)


def ceiling(W_h, kappa, steps):
    """Equation (4): κ times the largest singular value, to the power of the steps."""
    return (kappa * np.linalg.norm(W_h, 2)) ** steps


def ceiling_inputs(rng):
    """Return a square matrix, κ and a number of steps."""
    n = int(rng.integers(3, 7))
    W_h = rng.standard_normal((n, n)) / np.sqrt(n)
    return W_h, float(rng.choice([0.25, 1.0])), int(rng.integers(2, 12))


CEILING = Exercise(
    id="08-ceiling",
    task="Compute the ceiling of equation (4).",
    reference=ceiling,
    inputs=ceiling_inputs,
    mistakes=[
        Mistake(
            "the spectral radius",
            lambda W_h, kappa, steps: (kappa * np.abs(np.linalg.eigvals(W_h)).max()) ** steps,
            "This takes the largest eigenvalue. It is no ceiling: equation (6) has ρ = 0.",
        ),
        Mistake(
            "the Frobenius norm",
            lambda W_h, kappa, steps: (kappa * np.linalg.norm(W_h)) ** steps,
            "`np.linalg.norm` of a matrix is, unless told otherwise, the root of the sum of all "
            "squares. That is a ceiling too, but a higher one than (4).",
        ),
        Mistake(
            "κ only once",
            lambda W_h, kappa, steps: kappa * np.linalg.norm(W_h, 2) ** steps,
            "Every step passes an activation, so κ is in every factor.",
        ),
        Mistake(
            "steps times the factor",
            lambda W_h, kappa, steps: kappa * np.linalg.norm(W_h, 2) * steps,
            "Factors multiply: a power, not a multiple.",
        ),
    ],
    hints=(
        "Which number says how far a matrix can stretch a vector at most?",
        "`np.linalg.norm(W_h, 2)` is the largest singular value.",
        "(kappa * np.linalg.norm(W_h, 2)) ** steps",
    ),
    afterword="Below 1 it forces the gradient to vanish; above 1 it promises nothing.",
)


def far_share(terms, k):
    """Return ‖Σ over lags ≥ k‖ / ‖Σ over all lags‖: sums first, sizes afterwards."""
    return np.linalg.norm(terms[k:].sum(axis=0)) / np.linalg.norm(terms.sum(axis=0))


def share_inputs(rng):
    """Return terms that shrink with the lag, and a lag."""
    steps, n = int(rng.integers(6, 12)), int(rng.integers(2, 5))
    shrinking = 0.8 ** np.arange(steps)[:, None, None]
    return shrinking * rng.standard_normal((steps, n, n)), int(rng.integers(2, 5))


FAR_SHARE = Exercise(
    id="08-far-share",
    task="Measure the share of the far lags in the gradient of the recurrent weights.",
    reference=far_share,
    inputs=share_inputs,
    mistakes=[
        Mistake(
            "sizes added instead of terms",
            lambda terms, k: (
                np.linalg.norm(terms[k:], axis=(1, 2)).sum()
                / np.linalg.norm(terms, axis=(1, 2)).sum()
            ),
            "This adds the *sizes* of the terms. The gradient is the sum of the terms themselves, "
            "and they may point against one another: add first, measure afterwards.",
        ),
        Mistake(
            "the near part",
            lambda terms, k: (
                np.linalg.norm(terms[:k].sum(axis=0)) / np.linalg.norm(terms.sum(axis=0))
            ),
            "This is the part *before* lag k, the near one.",
        ),
        Mistake(
            "counted from the other end",
            lambda terms, k: (
                np.linalg.norm(terms[: len(terms) - k].sum(axis=0))
                / np.linalg.norm(terms.sum(axis=0))
            ),
            "The terms come in the order of the lag: `terms[0]` is the last step. Here they are "
            "counted from the other end.",
        ),
        Mistake(
            "one lag too late",
            lambda terms, k: (
                np.linalg.norm(terms[k + 1 :].sum(axis=0)) / np.linalg.norm(terms.sum(axis=0))
            ),
            "“From lag k on” includes lag k itself.",
        ),
        Mistake(
            "all entries as one number",
            lambda terms, k: abs(terms[k:].sum()) / abs(terms.sum()),
            "`.sum()` without an axis adds all entries up to one number. Sum over the lags only.",
        ),
    ],
    hints=(
        "Two sums over axis 0, and the size of each.",
        "The far part is `terms[k:].sum(axis=0)`, a matrix; `np.linalg.norm` gives its size.",
        "np.linalg.norm(terms[k:].sum(axis=0)) / np.linalg.norm(terms.sum(axis=0))",
    ),
    afterword="In the chapter's network the share from lag 20 on was less than a hundredth.",
)


def my_matrix():
    """Return a matrix with eigenvalues ½ and a large entry that only the transient sees."""
    return np.array([[0.5, 200.0], [0.0, 0.5]])


def judge_matrix(W):
    """Look at the eigenvalues and at the third power."""
    if np.iscomplexobj(W):
        return "Your matrix has complex entries; the recurrent weights of a network are real."
    W = np.asarray(W, dtype=float)
    if W.shape != (2, 2):
        return f"Your matrix has shape {W.shape}; asked for is (2, 2)."
    if not np.isfinite(W).all():
        return "Your matrix holds a number that is not finite."
    radius = np.abs(np.linalg.eigvals(W)).max()
    stretch = np.linalg.norm(np.linalg.matrix_power(W, 3), 2)
    # A double eigenvalue is found to the root of the rounding error only, times the matrix's size.
    rounding = min(0.01, 2 * np.sqrt(np.finfo(float).eps) * np.linalg.norm(W))
    if radius > 0.6 + 1e-6 + rounding:
        return f"Its largest eigenvalue has size {radius:.6g}, which is more than 0.6."
    if stretch < 100:
        return f"Eigenvalues of at most {radius:.3g}: good. But three steps stretch {stretch:.3g}×."
    return None


STRETCH = Exercise(
    id="08-stretch",
    task="Find a matrix of small eigenvalues that stretches a gradient a hundredfold in 3 steps.",
    reference=my_matrix,
    judge=judge_matrix,
    mistakes=[
        Mistake(
            "a multiple of the identity",
            0.6 * np.eye(2),
            "Eigenvalues of at most 0.6: good. But three steps stretch 0.216×.",
        ),
        Mistake(
            "large eigenvalues",
            5.0 * np.eye(2),
            "Its largest eigenvalue has size 5, which is more than 0.6.",
        ),
        Mistake(
            "equation (6)",
            np.array([[4.0, 4.0], [-4.0, -4.0]]),
            "Eigenvalues of at most 0: good. But three steps stretch 0×.",
        ),
        Mistake(
            "the example with a 10",
            np.array([[0.5, 10.0], [0.0, 0.5]]),
            "Eigenvalues of at most 0.5: good. But three steps stretch 7.5×.",
        ),
    ],
    hints=(
        "Of a triangular matrix the eigenvalues stand on the diagonal. What is free?",
        "The third power of [[λ, c], [0, λ]] has 3 λ² c in its corner.",
        "np.array([[0.5, 200.0], [0.0, 0.5]])",
    ),
    afterword="And thirty steps later it has forgotten all of it: ρ does rule the long run.",
)


def my_reason():
    """Return "singular": κ·s_max < 1 forces the gradient to stay small, ρ < 1 does not."""
    return "singular"


REASON = Exercise(
    id="08-reason",
    task="Does a spectral radius below 1 keep a tanh RNN from exploding?",
    reference=my_reason,
    options=("safe", "singular", "slope", "never"),
    mistakes=[
        Mistake(
            "safe",
            "safe",
            "With ρ = 0.8 and much above its blocks, the tanh network of this chapter exploded.",
        ),
        Mistake(
            "slope",
            "slope",
            "Slopes below 1 made (6) explode: they can spoil a cancellation.",
        ),
        Mistake(
            "never",
            "never",
            "Their *states* stay between −1 and 1. Their gradients have no such bounds.",
        ),
    ],
    hints=(
        "Which condition of this chapter is sufficient, though not necessary, whatever the slopes?",
        "Equation (4) does not mention an eigenvalue.",
        "κ s_max < 1, and tanh has κ = 1.",
    ),
    afterword="For a normal matrix, such as a rotation, ρ and s_max are the same number.",
)

EXERCISES = [JACOBIAN, CEILING, FAR_SHARE, STRETCH, REASON]
