"""Exercises of chapter 16, regularisation."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def kept(validation, patience):
    """Return the place of the weights to keep: the best before patience ran out."""
    best = 0
    for time, loss in enumerate(validation):
        if loss < validation[best]:
            best = time
        elif time - best == patience:
            break
    return best


def validation_inputs(rng):
    """Return a loss that falls, rises for longer than patience, and falls again below all."""
    patience, first = int(rng.integers(2, 5)), int(rng.integers(3, 6))
    down = np.linspace(1.0, 0.6, first)
    down[1] = 1.05  # one measurement of bad luck, which patience has to bear
    up = 0.7 + 0.3 * rng.random(patience + int(rng.integers(1, 3)))
    return np.concatenate([down, up, [0.5, 0.55]]), patience


def _stopped_at(validation, patience):
    """Where training ends; only a typical wrong answer needs it."""
    best = 0
    for time, loss in enumerate(validation):
        if loss < validation[best]:
            best = time
        elif time - best == patience:
            return time
    return len(validation) - 1


EARLY = Exercise(
    id="16-early",
    task="Which of the measured weights does early stopping keep?",
    reference=kept,
    inputs=validation_inputs,
    mistakes=[
        Mistake(
            "the weights of the last step",
            _stopped_at,
            "That is where training ends. The weights to keep are those of the best measurement, "
            "`patience` measurements before (`restore_best_weights=True` in Keras).",
        ),
        Mistake(
            "the best of all",
            lambda validation, patience: np.argmin(validation),
            "That is the lowest loss of the whole run. Training has ended before it: patience had "
            "run out.",
        ),
        Mistake(
            "no patience",
            lambda validation, patience: np.argmax(np.diff(validation) > 0),
            "This stops at the first rise. A measurement has bad luck now and then; that is what "
            "patience is for.",
        ),
    ],
    hints=(
        "Go through the measurements in order; keep the place of the best one so far.",
        "Stop when `time - best` has reached `patience`. What do you return then?",
        "if loss < validation[best]: best = time\nelif time - best == patience: break",
    ),
    afterword="In this chapter all runs go on to the end, so that you see what was to be avoided.",
)


def last_state(x, W_x, W_h, keep, p):
    """Gal and Ghahramani: one mask for all steps, survivors divided by 1 − p."""
    h = np.zeros(len(W_h))
    for x_t in x:
        h = np.tanh(x_t @ W_x + (h * keep / (1 - p)) @ W_h)
    return h


def recurrent_inputs(rng):
    """Return a short sequence, weights, one mask with both kinds of entries, and p."""
    units, p = int(rng.integers(4, 7)), float(rng.choice([0.25, 0.4, 0.6]))
    x, W_x, W_h = (rng.standard_normal(shape) for shape in ((5, 3), (3, units), (units, units)))
    keep = np.arange(units) % 2 == 0
    return x, 0.4 * W_x, 0.4 * W_h, keep.astype(float), p


def _last_state(x, W_x, W_h, before, after=1.0):
    h = np.zeros(len(W_h))
    for x_t in x:
        h = np.tanh(x_t @ W_x + (h * before) @ W_h) * after
    return h


ONE_MASK = Exercise(
    id="16-one-mask",
    task="Run a recurrent layer with recurrent dropout.",
    reference=last_state,
    inputs=recurrent_inputs,
    mistakes=[
        Mistake(
            "not rescaled",
            lambda x, W_x, W_h, keep, p: _last_state(x, W_x, W_h, keep),
            "The survivors are not rescaled: without dropout, on new sentences, the units would "
            "hear more than in training.",
        ),
        Mistake(
            "divided by p",
            lambda x, W_x, W_h, keep, p: _last_state(x, W_x, W_h, keep / p),
            "p is the share that is dropped; divide by the share that is kept.",
        ),
        Mistake(
            "mask on what leaves",
            lambda x, W_x, W_h, keep, p: _last_state(x, W_x, W_h, 1.0, keep / (1 - p)),
            "This masks the new state, so the read-out sees the mask as well. Recurrent dropout "
            "masks what the next step's W_h gets.",
        ),
        Mistake(
            "no mask",
            lambda x, W_x, W_h, keep, p: _last_state(x, W_x, W_h, 1.0),
            "Here no mask is used: this is the layer outside training.",
        ),
    ],
    hints=(
        "h = tanh(x_t W_x + h W_h), with one change at one place.",
        "The change is at the h that goes into W_h, at every step the same.",
        "h = np.tanh(x_t @ W_x + (h * keep / (1 - p)) @ W_h)",
    ),
    afterword="Keras does this in `SimpleRNN`; in `LSTM` and `GRU` each gate has a mask of its "
    "own.",
)


def weights_of_lstm(units, features):
    """Return the entries of four W_x, four W_h and four biases."""
    return 4 * (features * units + units * units + units)


COUNT = Exercise(
    id="16-count",
    task="How many weights has an LSTM?",
    reference=weights_of_lstm,
    inputs=lambda rng: (int(rng.integers(2, 40)), int(rng.integers(2, 40))),
    mistakes=[
        Mistake(
            "one gate",
            lambda units, features: features * units + units * units + units,
            "These are the weights of a `SimpleRNN`. An LSTM has four such sets.",
        ),
        Mistake(
            "no biases",
            lambda units, features: 4 * (features * units + units * units),
            "The biases are missing, one number for each unit of each gate.",
        ),
        Mistake(
            "no recurrent weights",
            lambda units, features: 4 * (features * units + units),
            "The recurrent weights are missing, the part that grows with the square.",
        ),
    ],
    hints=(
        "A gate has W_x, W_h and b. How many gates?",
        "W_x is (features, units), W_h is (units, units), b is (units,).",
        "4 * (features * units + units**2 + units)",
    ),
    afterword="For many units the square rules: twice the units, four times the recurrent weights.",
)


def my_objection():
    """Return "chosen": the same sentences chose the rate and judged it."""
    return "chosen"


CHOSEN = Exercise(
    id="16-chosen",
    task="What is wrong with this comparison?",
    reference=my_objection,
    options=("nothing", "chosen", "seeds", "rates"),
    mistakes=[
        Mistake(
            "nothing",
            "nothing",
            "Nine attempts against one, and the luckiest is reported: luck was counted as skill.",
        ),
        Mistake(
            "seeds",
            "seeds",
            "Five seeds each are given. With a hundred, the sentences that chose the rate would "
            "still be those that judge it.",
        ),
        Mistake(
            "rates",
            "rates",
            "More rates on the same sentences would make it worse: more chances to be lucky.",
        ),
    ],
    hints=(
        "How often were the test sentences looked at for either side?",
        "What did the nine attempts have that the one had not?",
        "The third part of the sentences is there for this.",
    ),
    afterword="Choose on validation sentences, look at the test sentences once.",
)

EXERCISES = [EARLY, ONE_MASK, COUNT, CHOSEN]
