"""Exercises of chapter 12, which GRU it is."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def to_keras(weight):
    """Blocks z, r, h̃ side by side, out of r, z, n one below the other."""
    r, z, n = np.split(weight, 3, axis=0)
    return np.concatenate([z, r, n], axis=0).T


def torch_inputs(rng):
    """Return a kernel as PyTorch stores it, (3 · units, features)."""
    units, features = int(rng.integers(2, 5)), int(rng.integers(2, 6))
    return (rng.standard_normal((3 * units, features)),)


def _blocks(weight):
    return np.split(weight, 3, axis=0)


TO_KERAS = Exercise(
    id="12-to-keras",
    task="Turn a GRU kernel of PyTorch into one of Keras.",
    reference=to_keras,
    inputs=torch_inputs,
    mistakes=[
        Mistake(
            "transposed only",
            lambda weight: weight.T.copy(),
            "It has the right shape. But the first block is still r, and Keras reads it as z.",
        ),
        Mistake(
            "the sign of z turned",
            lambda weight: (
                np.concatenate(
                    [-_blocks(weight)[1], _blocks(weight)[0], _blocks(weight)[2]], axis=0
                ).T
            ),
            "Blocks and shape are right, and the sign of z is turned. That would be needed from a "
            "book with (4); which of the two does PyTorch have?",
        ),
        Mistake(
            "reshaped instead of transposed",
            lambda weight: np.concatenate(
                [_blocks(weight)[1], _blocks(weight)[0], _blocks(weight)[2]], axis=0
            ).reshape(weight.shape[::-1]),
            "`reshape` pours the same row of numbers into another shape; rows and columns do not "
            "change places.",
        ),
        Mistake(
            "not transposed",
            lambda weight: np.concatenate(
                [_blocks(weight)[1], _blocks(weight)[0], _blocks(weight)[2]], axis=0
            ),
            "The order of the blocks is right. But Keras multiplies x @ kernel, so a kernel has a "
            "row for each feature.",
        ),
        Mistake(
            "the columns split",
            lambda weight: np.concatenate(np.array_split(weight.T, 3, axis=0)[::-1], axis=0),
            "After the transposition the blocks stand side by side, on axis 1.",
        ),
    ],
    hints=(
        "Two things differ: rows and columns, and the order of the blocks.",
        "`np.split(weight, 3, axis=0)` gives r, z, n. PyTorch keeps the old state where z is 1.",
        "np.concatenate([z, r, n], axis=0).T",
    ),
    afterword="The recurrent kernel goes the same way, and the two biases become the two rows of "
    "Keras's: PyTorch resets after the product.",
)


def bias_for(steps):
    """σ(b)^steps = ½, solved for b."""
    return -np.log(2 ** (1 / steps) - 1)


BIAS_FOR = Exercise(
    id="12-bias-for",
    task="Find the bias of z with which half of the state is left after so many steps.",
    reference=bias_for,
    inputs=lambda rng: (float(rng.integers(2, 300)),),
    mistakes=[
        Mistake(
            "the other book's sign",
            lambda steps: np.log(2 ** (1 / steps) - 1),
            "The size is right, the sign is that of the other book: by (3), z is what is kept.",
        ),
        Mistake(
            "the gate instead of its bias",
            lambda steps: 2 ** (-1 / steps),
            "That is z itself, the factor of one step. Which b has σ(b) = z?",
        ),
        Mistake(
            "a share of 1/e",
            lambda steps: -np.log(np.exp(1 / steps) - 1),
            "After these steps 1/e is left, not one half.",
        ),
        Mistake(
            "a rate instead of a product",
            lambda steps: np.log(steps / np.log(2)),
            "Near, for many steps: it takes 1 − z for ln 2 / k. Over a few steps that is too much.",
        ),
        Mistake(
            "the logarithm of the steps",
            np.log,
            "ln k is near, and a good rule of thumb: it leaves about 1/e after k steps. Asked for "
            "is one half.",
        ),
    ],
    hints=(
        "After k steps (8) leaves σ(b)^k.",
        "z = 2^(−1/k) is what a step keeps, and σ(b) = z means b = ln(z / (1 − z)).",
        "-np.log(2 ** (1 / steps) - 1)",
    ),
    afterword="`course_lib.maths.gates.half_life` goes the other way.",
)


def my_latch():
    """Rows: signal, mark, h, bias; columns: z, r, h̃. z keeps, and the mark makes it write."""
    return np.array([[0.0, 0.0, 2.0], [-20.0, 0.0, 0.0], [0.0, 0.0, 0.0], [10.0, 0.0, 0.0]])


def judge_latch(unit):
    """Run the unit over sequences of 60 signals, ±1, two of them marked."""
    unit = np.asarray(unit, dtype=float)
    if unit.shape != (4, 3):
        return f"Your unit has shape {unit.shape}; asked for is (4, 3)."
    if not np.isfinite(unit).all():
        return "Your unit holds a number that is not finite."
    rng = np.random.default_rng(12)
    signal, marked = rng.choice([-1.0, 1.0], (200, 60)), np.zeros((200, 60))
    for row in marked:
        row[rng.choice(40, 2, replace=False)] = 1.0
    last = 59 - marked[:, ::-1].argmax(axis=1)
    wanted, h = signal[np.arange(200), last], np.zeros(200)
    gates: list[np.ndarray] = []
    with np.errstate(over="ignore"):
        for t in range(60):
            from_x = np.stack([signal[:, t], marked[:, t]], axis=1) @ unit[:2] + unit[3]
            z, r = 1 / (1 + np.exp(-(from_x[:, :2] + h[:, None] * unit[2, :2]))).T
            candidate = np.tanh(from_x[:, 2] + r * h * unit[2, 2])
            h, gates = z * h + (1 - z) * candidate, [*gates, z]
    right, left = np.mean(np.sign(h) == wanted), np.abs(h).min()
    if right == 1 and left > 0.5:
        return None  # also where r, not z, is what holds
    z = np.stack(gates, axis=1)
    at_marks, elsewhere = z[marked == 1].mean(), z[marked == 0].mean()
    if elsewhere < 0.5:
        return f"At steps without a mark z is {elsewhere:.2f} on average: too little is kept."
    if at_marks > 0.5:
        return f"At marked steps z is {at_marks:.2f} on average: nothing is let in."
    if right < 1:
        return f"It writes where it should, and h has the right sign in {right:.2f} of them."
    return f"Every sign is right, but of one of them {left:.2f} is left."


LATCH = Exercise(
    id="12-latch",
    task="Give a GRU of one unit the weights with which it holds what was marked.",
    reference=my_latch,
    judge=judge_latch,
    mistakes=[
        Mistake(
            "the other book",
            np.array([[0.0, 0, 2], [20, 0, 0], [0, 0, 0], [-10, 0, 0]]),
            "At steps without a mark z is 0.00 on average: too little is kept.",
        ),
        Mistake(
            "a bias alone",
            np.array([[0.0, 0, 2], [0, 0, 0], [0, 0, 0], [10, 0, 0]]),
            "At marked steps z is 1.00 on average: nothing is let in.",
        ),
        Mistake(
            "a bias of 3",
            np.array([[0.0, 0, 2], [-6, 0, 0], [0, 0, 0], [3, 0, 0]]),
            "It writes where it should, and h has the right sign in 0.84 of them.",
        ),
        Mistake(
            "the sign of the signal",
            np.array([[0.0, 0, -2], [-20, 0, 0], [0, 0, 0], [10, 0, 0]]),
            "It writes where it should, and h has the right sign in 0.00 of them.",
        ),
    ],
    hints=(
        "Three numbers are enough: signal to h̃, mark to z, and the bias of z.",
        "Without a mark z must be near 1 for 60 steps; with one it must be near 0.",
        "A bias of 10 and a weight of −20 for the mark, both in the column of z.",
    ),
    afterword="A gate that moves: this is what training has to find.",
)


def my_reason():
    """Return "bias": Keras starts one of the two gates at σ(1), the other at σ(0)."""
    return "bias"


REASON = Exercise(
    id="12-reason",
    task="Why does Keras's LSTM pass more of a gradient than its GRU, at the start?",
    reference=my_reason,
    options=("cell", "gates", "bias", "size"),
    mistakes=[
        Mistake(
            "cell",
            "cell",
            "A part of it: at a bias of 3 the cell carries far more. But at bias 0, with its cell, "
            "the LSTM is usually last. What differs between the two starts?",
        ),
        Mistake(
            "gates",
            "gates",
            "The LSTM had its third gate also at bias 0, and was no better than the GRU.",
        ),
        Mistake(
            "size",
            "size",
            "In that experiment it had as many more at bias 0, and was no better than the GRU.",
        ),
    ],
    hints=(
        "What did you change in the explorer to bring the two lines together?",
        "Neither the weights nor the number of units.",
        "σ(1) is 0.73, σ(0) is 0.5.",
    ),
    afterword="Along the direct way that would be (0.73 / 0.5) to the power of 100, 3e16, if the "
    "gates stood still; measured it is 15 decades, and of the whole, with what goes through the "
    "matrices, ten or eleven.",
)

EXERCISES = [TO_KERAS, BIAS_FOR, LATCH, REASON]
