"""Exercises of chapter 11, what the gates of an LSTM do."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def sigmoid(a):
    """Return the logistic function of moderate numbers."""
    return 1 / (1 + np.exp(-a))


def lstm_step(a, c):
    """Equations (2) to (4): four blocks, the new cell state, and what of it shows."""
    a_i, a_f, a_g, a_o = np.split(a, 4, axis=1)
    i, f, o = (1 / (1 + np.exp(-block)) for block in (a_i, a_f, a_o))
    c = f * c + i * np.tanh(a_g)
    return o * np.tanh(c), c


def step_inputs(rng):
    """Return the four blocks of pre-activations of a few samples, and their cell states."""
    batch, n = int(rng.integers(2, 5)), int(rng.integers(2, 6))
    return rng.normal(size=(batch, 4 * n)), 1.5 * rng.normal(size=(batch, n))


def without_a_cell(a, c):
    """Do what the listing does, with c for its only state."""
    a_i, a_f, a_g, _ = np.split(a, 4, axis=1)
    h = np.tanh(sigmoid(a_f) * c + sigmoid(a_i) * np.tanh(a_g))
    return h, h


def other_order(a, c):
    """Take the blocks in the order i, f, o, g."""
    a_i, a_f, a_o, a_g = np.split(a, 4, axis=1)
    c = sigmoid(a_f) * c + sigmoid(a_i) * np.tanh(a_g)
    return sigmoid(a_o) * np.tanh(c), c


def squashed_candidate(a, c):
    """Treat the candidate as a fourth gate."""
    i, f, g, o = np.split(sigmoid(a), 4, axis=1)
    c = f * c + i * g
    return o * np.tanh(c), c


def cell_shown_straight(a, c):
    """Leave out the tanh of (4)."""
    _, c = lstm_step(a, c)
    return sigmoid(a[:, -c.shape[1] :]) * c, c


STEP = Exercise(
    id="11-step",
    task="Write the step of an LSTM, from its pre-activations to h and c.",
    reference=lstm_step,
    inputs=step_inputs,
    mistakes=[
        Mistake(
            "no cell",
            without_a_cell,
            "This is the listing again: one state, bent by tanh at each step, and an output gate "
            "that nobody uses.",
        ),
        Mistake(
            "the pair turned round",
            lambda a, c: lstm_step(a, c)[::-1],
            "Both are right, but they come as (c, h). Asked for is (h, c), as in Keras's state.",
        ),
        Mistake(
            "the blocks in the order i, f, o, g",
            other_order,
            "Candidate and output gate have changed places. Keras's order is i, f, g, o.",
        ),
        Mistake(
            "the candidate through σ",
            squashed_candidate,
            "The candidate is no gate: it is a tanh, and may take away from the cell.",
        ),
        Mistake(
            "h without the tanh of (4)",
            cell_shown_straight,
            "c is right. But h shows the tanh of it, by (4).",
        ),
    ],
    hints=(
        "Four blocks side by side: `np.split(a, 4, axis=1)`. Three of them are gates.",
        "First c, by (3), with the old c in it; then h from the new c, by (4).",
        "c = f * c + i * np.tanh(a_g); return o * np.tanh(c), c",
    ),
    afterword="Nothing bends c on its way from step to step. That is the whole invention.",
)


def direct_path(f):
    """Equation (8) for every t: the products of the gates from step t + 1 to the last."""
    backwards = np.cumprod(f[::-1], axis=0)[::-1]
    return np.vstack([backwards, np.ones_like(f[:1])])


def path_inputs(rng):
    """Return forget gates of a few steps and units."""
    return (rng.uniform(0.2, 1.0, (int(rng.integers(3, 8)), int(rng.integers(1, 5)))),)


DIRECT_PATH = Exercise(
    id="11-direct-path",
    task="Multiply the forget gates from every step to the last.",
    reference=direct_path,
    inputs=path_inputs,
    mistakes=[
        Mistake(
            "multiplied from the first step on",
            lambda f: np.vstack([np.ones_like(f[:1]), np.cumprod(f, axis=0)]),
            "This multiplies from step 1 *forwards*: the path from c_0 to each c_t. Asked for is "
            "the path from each c_t to the last.",
        ),
        Mistake(
            "in the order of the lag",
            lambda f: direct_path(f)[::-1],
            "The right numbers in the order of the lag. Asked for is the order of time: row t is "
            "c_t, and the last row is all ones.",
        ),
        Mistake(
            "added",
            lambda f: np.vstack([np.cumsum(f[::-1], axis=0)[::-1], np.ones_like(f[:1])]),
            "Factors on a path multiply; it is ways that add up.",
        ),
        Mistake(
            "the gate of step t as well",
            lambda f: np.vstack([np.prod(f, axis=0, keepdims=True), direct_path(f)[:-1]]),
            "Each row has one gate too many: f_t has done its work when c_t is there, so the path "
            "from c_t begins with the gate of step t + 1.",
        ),
        Mistake(
            "the row of c_T forgotten",
            lambda f: direct_path(f)[:-1],
            "T gates, but T + 1 cell states: c_0 … c_T. From c_T to c_T the factor is 1.",
        ),
    ],
    hints=(
        "`np.cumprod` multiplies from the first row on. You want it from the last row on.",
        "Turn `f` round, multiply, turn it back; then add a row of ones.",
        "np.vstack([np.cumprod(f[::-1], axis=0)[::-1], np.ones_like(f[:1])])",
    ),
    afterword="It is `LSTM.cell_path` in course_lib. Where h is heard it is a part of the truth.",
)


def my_settings():
    """Return (b_i, b_f, u): open at first, shut by what is stored, and hardly forgetting."""
    return 3.0, 8.0, -12.0


def first_pulse_only(b_i, b_f, u):
    """Return the cell state of `one_cell`, a pulse of 1 at step 3 and of −1 at step 20."""
    x = np.zeros(40)
    x[2], x[19] = 1.0, -1.0
    h, c, cells = 0.0, 0.0, []
    for x_t in x:
        i, f, o = sigmoid(b_i + u * h), sigmoid(b_f), sigmoid(4.0)
        c = f * c + i * np.tanh(2 * x_t)
        h = o * np.tanh(c)
        cells.append(c)
    return np.array(cells)


def judge_settings(settings):
    """Run the cell, and say what it does not keep or does write."""
    if np.iscomplexobj(settings):
        return "Your settings are complex numbers; biases and weights are real."
    settings = np.asarray(settings, dtype=float)
    if settings.shape != (3,):
        return f"Your settings have shape {settings.shape}; asked for are three: (b_i, b_f, u)."
    if not np.isfinite(settings).all():
        return "One of your settings is not finite."
    with np.errstate(over="ignore"):
        c = first_pulse_only(*settings)
    written = abs(c[19] - sigmoid(settings[1]) * c[18])
    if c[2] < 0.8:
        return f"At step 3 c is {c[2]:.2f}: so little of the first pulse is written."
    if written > 0.01:
        return f"The first pulse is in, but the second one writes {written:.2f} over it."
    if c[-1] < 0.8:
        return f"The second pulse is kept out, but at step 40 c is {c[-1]:.2f}: it forgets."
    return None


SETTINGS = Exercise(
    id="11-settings",
    task="Set a cell that writes the first pulse and no other.",
    reference=my_settings,
    judge=judge_settings,
    mistakes=[
        Mistake(
            "the preset",
            (2.0, 6.0, -8.0),
            "The first pulse is in, but the second one writes 0.03 over it.",
        ),
        Mistake(
            "nobody listens",
            (4.0, 8.0, 0.0),
            "The first pulse is in, but the second one writes 0.95 over it.",
        ),
        Mistake(
            "shut from the beginning",
            (-6.0, 8.0, -8.0),
            "At step 3 c is 0.00: so little of the first pulse is written.",
        ),
        Mistake(
            "a forget bias of 3",
            (4.0, 3.0, -40.0),
            "The second pulse is kept out, but at step 40 c is 0.15: it forgets.",
        ),
    ],
    hints=(
        "Start from the preset. Which of its three numbers makes the input gate shut tighter?",
        "A more negative u shuts it once h is there; a larger b_i opens it before.",
        "(3.0, 8.0, -12.0)",
    ),
    afterword="A gate that listens makes writing depend on what is there: a bias alone cannot.",
)


def my_reason():
    """Return "around": h carries further terms, and W_h may be as large as it likes."""
    return "around"


REASON = Exercise(
    id="11-reason",
    task="Why may an LSTM with open forget gates diverge?",
    reference=my_reason,
    options=("product", "around", "output", "tanh"),
    mistakes=[
        Mistake(
            "product",
            "product",
            "Each f is below 1, whatever its bias, and so is every product of them.",
        ),
        Mistake(
            "output",
            "output",
            "On the cell's way back the output gate does not appear. And it is below 1 as well.",
        ),
        Mistake(
            "tanh",
            "tanh",
            "tanh of a large number is 1. Only a tanh made of exponentials overflows.",
        ),
    ],
    hints=(
        "In the table of this chapter, at b_f = 5: which column is above 1?",
        "Compare “along the cell” with “by all ways”.",
        "What goes from the cell to h and through W_h has no ceiling of 1.",
    ),
    afterword="So LSTMs, too, are trained with clipping (chapter 09).",
)

EXERCISES = [STEP, DIRECT_PATH, SETTINGS, REASON]
