"""Exercises of chapter 06, optimisers and Adam."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def adam_steps(gradients, alpha):
    """Equations (7) and (8): what Adam adds to θ at each of T steps."""
    m = v = 0.0
    steps = []
    for t, g in enumerate(gradients, start=1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        steps.append(-alpha * m_hat / (np.sqrt(v_hat) + 1e-8))
    return np.array(steps)


def _adam_steps(
    gradients, alpha, *, first=1, m_corrected=True, v_corrected=True, power=2, root=0.5
):
    """Adam with one thing wrong: the first t, a correction, the square or the root."""
    m = v = 0.0
    steps = []
    for t, g in enumerate(gradients, start=first):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * np.abs(g) ** power
        m_hat = m / (1 - 0.9**t if m_corrected else 1)
        v_hat = v / (1 - 0.999**t if v_corrected else 1)
        steps.append(-alpha * m_hat / (v_hat**root + 1e-8))
    return np.array(steps)


def adam_inputs(rng):
    """Return gradients, far above ε, and a learning rate."""
    return rng.normal(0.5, 1.0, rng.integers(20, 60)), float(rng.uniform(0.001, 0.1))


ADAM_STEPS = Exercise(
    id="06-adam-steps",
    task="Turn a series of gradients into the steps that Adam takes.",
    reference=adam_steps,
    inputs=adam_inputs,
    mistakes=[
        Mistake(
            "no bias correction",
            lambda g, alpha: _adam_steps(g, alpha, m_corrected=False, v_corrected=False),
            "The bias correction is missing: m and v begin at 0, so your first step is "
            "0.1/√0.001 = 3.16 times too long.",
        ),
        Mistake(
            "only m corrected",
            lambda g, alpha: _adam_steps(g, alpha, v_corrected=False),
            "m is corrected and v is not: v begins at 0 too, so your first step is 32 times too "
            "long.",
        ),
        Mistake(
            "only v corrected",
            lambda g, alpha: _adam_steps(g, alpha, m_corrected=False),
            "v is corrected and m is not: your first step is a tenth of what it should be.",
        ),
        Mistake(
            "t one too large",
            lambda g, alpha: _adam_steps(g, alpha, first=2),
            "The correction is that of the next step: at the first gradient t is 1.",
        ),
        Mistake(
            "uphill",
            lambda g, alpha: -adam_steps(g, alpha),
            "These steps go uphill: the gradient points to where the loss grows.",
        ),
        Mistake(
            "the root forgotten",
            lambda g, alpha: _adam_steps(g, alpha, root=1.0),
            "You divide by the mean *square*. Without its root the step would depend on the scale "
            "of the gradient, upside down.",
        ),
        Mistake(
            "no square",
            lambda g, alpha: _adam_steps(g, alpha, power=1, root=1.0),
            "You divide by the mean of |g|. v averages g², and its root is taken afterwards.",
        ),
    ],
    hints=(
        "Keep m and v from step to step; both begin at 0.",
        "At step t, divide m by 1 − 0.9ᵗ and v by 1 − 0.999ᵗ, without changing what you keep.",
        "for t, g in enumerate(gradients, start=1): … steps.append(-alpha * m_hat / …).",
    ),
    afterword="Multiply all gradients by a thousand and the steps stay the same.",
)


def largest_rate(H):
    """Equation (2): every factor 1 − αλ stays above −1 while α < 2 / λ_max."""
    return 2 / np.linalg.eigvalsh(H).max()


def matrix_inputs(rng):
    """Return a symmetric matrix with positive eigenvalues of different sizes."""
    size = int(rng.integers(2, 6))
    axes = np.linalg.qr(rng.standard_normal((size, size)))[0]
    return (axes @ np.diag(rng.uniform(0.5, 20, size)) @ axes.T,)


LARGEST_RATE = Exercise(
    id="06-largest-rate",
    task="Find the largest learning rate at which gradient descent converges on a quadratic.",
    reference=largest_rate,
    inputs=matrix_inputs,
    mistakes=[
        Mistake(
            "1 / λ_max",
            lambda H: 1 / np.linalg.eigvalsh(H).max(),
            "At this rate the steepest direction is done in one step. It may overshoot, as long as "
            "it comes back nearer than it was.",
        ),
        Mistake(
            "2 / λ_min",
            lambda H: 2 / np.linalg.eigvalsh(H).min(),
            "The flattest direction would bear this rate; the steepest one flies off long before.",
        ),
        Mistake(
            "the best rate",
            lambda H: 2 / (np.linalg.eigvalsh(H).max() + np.linalg.eigvalsh(H).min()),
            "This is the *best* rate, that of (3). The largest is a little larger.",
        ),
        Mistake(
            "2 / trace",
            lambda H: 2 / np.trace(H),
            "The trace is the sum of all eigenvalues, and no direction is as steep as all "
            "together: this rate is safe, and not the largest.",
        ),
        Mistake(
            "the largest entry",
            lambda H: 2 / np.abs(H).max(),
            "The largest entry of H is its steepest curvature only if no other direction is "
            "steeper; look at the eigenvalues.",
        ),
    ],
    hints=(
        "Which direction sets the limit in (2)?",
        "|1 − αλ| < 1 must hold for the largest eigenvalue of H.",
        "np.linalg.eigvalsh(H) gives the eigenvalues of a symmetric matrix.",
    ),
    afterword="Just below it the steepest direction swings from side to side almost for ever.",
)


def steps_to_recover(size, beta_2):
    """Equation (9): 1 + (1 − β₂)(S² − 1) β₂ᵏ < 4, the first whole number k."""
    return int(np.floor(np.log((1 - beta_2) * (size**2 - 1) / 3) / -np.log(beta_2))) + 1


def _first_k(excess, beta_2):
    return int(np.floor(np.log(excess / 3) / -np.log(beta_2))) + 1


def spike_inputs(rng):
    """Return the size of a spike that counts, and β₂."""
    return float(10 ** rng.uniform(2.5, 6)), float(rng.choice([0.99, 0.999, 0.9999]))


RECOVER = Exercise(
    id="06-recover",
    task="How many steps after a spike is v below 4 again?",
    reference=steps_to_recover,
    inputs=spike_inputs,
    tolerance=1e-9,
    mistakes=[
        Mistake(
            "the length of the memory",
            lambda size, beta_2: round(1 / (1 - beta_2)),
            "In 1/(1 − β₂) steps the excess falls to 37 %, whatever it was. Here it has to fall "
            "from (1 − β₂) S² to 3.",
        ),
        Mistake(
            "the spike not squared",
            lambda size, beta_2: _first_k((1 - beta_2) * (size - 1), beta_2),
            "v averages squares: the spike enters it as S².",
        ),
        Mistake(
            "the weight forgotten",
            lambda size, beta_2: _first_k(size**2 - 1, beta_2),
            "S² enters v with the weight 1 − β₂ only.",
        ),
        Mistake(
            "rounded down",
            lambda size, beta_2: steps_to_recover(size, beta_2) - 1,
            "After that many steps v is still a little above 4; the next whole number is the first "
            "below.",
        ),
        Mistake(
            "below 1 more",
            lambda size, beta_2: _first_k(3 * (1 - beta_2) * (size**2 - 1), beta_2),
            "Your k is that of an excess of 1, so of v = 2. The step is α/2 where √v = 2.",
        ),
    ],
    hints=(
        "What of (9) is left of v after k steps? Set it to 4.",
        "(1 − β₂)(S² − 1) β₂ᵏ < 3. Take logarithms, and mind that log β₂ is negative.",
        "k > log((1 − β₂)(S² − 1)/3) / −log β₂, and the next whole number.",
    ),
    afterword="Ten times the spike costs only ln(100)/(1 − β₂) steps more.",
)


def to_blame():
    """Return which part: the gradients have fallen to where ε is no longer small beside √v̂."""
    return "epsilon"


EXPLAIN = Exercise(
    id="06-explain",
    task="Which part of Adam minds that the loss was divided by a hundred million?",
    reference=to_blame,
    options=("alpha", "epsilon", "momentum", "correction"),
    mistakes=[
        Mistake(
            "alpha",
            "alpha",
            "α multiplies m̂/√v̂, and there the hundred million divides out, as long as nothing "
            "else stands beside √v̂.",
        ),
        Mistake(
            "momentum",
            "momentum",
            "m shrinks with the gradients, and so does √v: their ratio stays.",
        ),
        Mistake(
            "correction",
            "correction",
            "The correction depends on t alone and knows nothing of the size of the gradients.",
        ),
    ],
    hints=(
        "Divide every g in (7) and (8) by 10⁸. What cancels, and what does not?",
        "m̂ and √v̂ both shrink by 10⁸. What is added to √v̂ does not.",
        "Gradients of 0.01 become 10⁻¹⁰, and Keras adds 10⁻⁷.",
    ),
    afterword="A smaller ε would undo it.",
)

EXERCISES = [ADAM_STEPS, LARGEST_RATE, RECOVER, EXPLAIN]
