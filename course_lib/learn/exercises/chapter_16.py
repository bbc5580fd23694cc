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
    """Return a loss whose rests are just short of patience, then just long enough to end it.

    One bad measurement, then `patience` − 1, then `patience`; what comes after is better twice.
    """
    patience = int(rng.integers(3, 6))
    falls = np.linspace(1.0, 0.5, 6) + 0.02 * rng.random(6)

    def worse(count):
        return 1.1 + 0.3 * rng.random(count)

    return np.concatenate(
        [
            falls[:1],
            worse(1),
            falls[1:2],
            worse(patience - 1),
            falls[2:4],
            worse(patience),
            falls[4:5],
            worse(patience + 1),
            falls[5:],
        ]
    ), patience


def _stopped_at(validation, patience):
    """Return where training ends, which only a typical wrong answer needs."""
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
            "one too patient",
            lambda validation, patience: kept(validation, patience + 1),
            "This waits for one measurement more than `patience`. Count those since the best one: "
            "`time - best` is 1 at the first of them.",
        ),
        Mistake(
            "one too few",
            lambda validation, patience: kept(validation, patience - 1),
            "This ends one measurement too early: `patience` of them must have been no better, and "
            "only then it ends.",
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


def honest_gain(validation, test):
    """Choose a setting by the validation means; return what it gains over setting 0 in the test."""
    chosen = validation.mean(axis=1).argmax()
    return test[chosen].mean() - test[0].mean()


def settings_inputs(rng):
    """Return right answers of seven settings and five seeds whose favourites differ by part."""
    validation, test = 0.6 + 0.02 * rng.standard_normal((2, 7, 5))
    by_validation, by_test, lucky = 1 + rng.permutation(6)[:3]
    validation[by_validation] += 0.06
    test[by_test] += 0.06
    validation[lucky] -= 0.02  # but one of its seeds is the best of all
    validation[lucky, int(rng.integers(5))] = validation.max() + 0.01
    return validation, test


def _gain(of, chosen):
    return of[chosen].mean() - of[0].mean()


CHOSEN = Exercise(
    id="16-chosen",
    task="Choose a setting by one part, judge it by another.",
    reference=honest_gain,
    inputs=settings_inputs,
    mistakes=[
        Mistake(
            "chosen by the test",
            lambda validation, test: _gain(test, test.mean(axis=1).argmax()),
            "The test sentences chose it and judge it: the luckiest of seven is reported, and luck "
            "counts as skill.",
        ),
        Mistake(
            "judged by validation",
            lambda validation, test: _gain(validation, validation.mean(axis=1).argmax()),
            "The choice is right; but the sentences that chose it judge it as well.",
        ),
        Mistake(
            "the best single run",
            lambda validation, test: _gain(test, validation.max(axis=1).argmax()),
            "One lucky seed chose the setting. Take the mean over seeds before you choose.",
        ),
        Mistake(
            "no comparison",
            lambda validation, test: test[validation.mean(axis=1).argmax()].mean(),
            "That is how many are right with the chosen setting. How many more than with 0?",
        ),
    ],
    hints=(
        "Two steps: choose with `validation` alone, then look at `test`.",
        "`validation.mean(axis=1).argmax()` is the chosen setting.",
        "test[chosen].mean() - test[0].mean()",
    ),
    afterword="Nine settings that all do nothing, five seeds each, which differ by 0.012: the best "
    "of nine by the test gains 0.008 on average. Chosen by other sentences it gains nothing.",
)

EXERCISES = [EARLY, ONE_MASK, CHOSEN]
