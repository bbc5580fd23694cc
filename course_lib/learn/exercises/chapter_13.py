"""Exercises of chapter 13, sequence models."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake


def log_softmax(logits):
    """Return the logarithms of the probabilities; only the typical wrong answers need it."""
    below = logits - logits.max(axis=-1, keepdims=True)
    return below - np.log(np.exp(below).sum(axis=-1, keepdims=True))


def text_perplexity(logits, codes):
    """Equation (2): the mean of −ln p over the text first, the exponential afterwards."""
    below = logits - logits.max(axis=1, keepdims=True)
    log_p = below - np.log(np.exp(below).sum(axis=1, keepdims=True))
    return np.exp(-log_p[np.arange(len(codes)), codes].mean())


def perplexity_inputs(rng):
    """Return logits of a short text and the codes that came."""
    length, size = int(rng.integers(5, 12)), int(rng.integers(4, 9))
    return 2 * rng.standard_normal((length, size)), rng.integers(0, size, length)


def _prices(logits, codes):
    return -log_softmax(logits)[np.arange(len(codes)), codes]


PERPLEXITY = Exercise(
    id="13-perplexity",
    task="Compute the perplexity of a text from the logits of its characters.",
    reference=text_perplexity,
    inputs=perplexity_inputs,
    mistakes=[
        Mistake(
            "the mean of the perplexities",
            lambda logits, codes: np.exp(_prices(logits, codes)).mean(),
            "This is the mean of 1/p. Average the logarithms first, then take the exponential: one "
            "unlikely character would rule the mean otherwise.",
        ),
        Mistake(
            "2 to the power of nats",
            lambda logits, codes: 2.0 ** _prices(logits, codes).mean(),
            "The price is in nats (natural logarithm), the power has base 2. Take both with e, or "
            "both with 2.",
        ),
        Mistake(
            "logits taken for logarithms of probabilities",
            lambda logits, codes: np.exp(-logits[np.arange(len(codes)), codes].mean()),
            "Logits are logarithms of probabilities only up to a constant, another one at each "
            "step: the softmax is missing.",
        ),
        Mistake(
            "the sum instead of the mean",
            lambda logits, codes: np.exp(_prices(logits, codes).sum()),
            "This is 1 / p of the whole text. Perplexity is per character: the mean, not the sum.",
        ),
        Mistake(
            "the cross-entropy itself",
            lambda logits, codes: _prices(logits, codes).mean(),
            "That is the cross-entropy in nats. One step is missing to the perplexity.",
        ),
    ],
    hints=(
        "Softmax, the probability of the character that came, minus its logarithm, mean. And then?",
        "`log_p[np.arange(len(codes)), codes]` picks one entry of each row.",
        "np.exp(-log_p[np.arange(len(codes)), codes].mean())",
    ),
    afterword="An even guess among K characters has a perplexity of K, whatever the text.",
)


def masked_mean(loss, x):
    """Return the sum over real words, divided by how many there are in the whole batch."""
    real = x > 0
    return loss[real].sum() / real.sum()


def masked_inputs(rng):
    """Return losses and codes of sentences of different lengths."""
    batch, length = int(rng.integers(3, 6)), int(rng.integers(6, 10))
    words = rng.integers(1, length, batch)
    words[0] = length
    words[1] = 1
    x = np.where(np.arange(length) < words[:, None], rng.integers(1, 50, (batch, length)), 0)
    return rng.random((batch, length)) + 0.1, x


MASKED_MEAN = Exercise(
    id="13-masked-mean",
    task="Average a loss over all real words of a batch.",
    reference=masked_mean,
    inputs=masked_inputs,
    mistakes=[
        Mistake(
            "over the padding too",
            lambda loss, x: loss.mean(),
            "This is the mean over the padding too: nobody wanted those answers.",
        ),
        Mistake(
            "divided by all places",
            lambda loss, x: (loss * (x > 0)).mean(),
            "The padding counts 0 in the sum, as it should, but the division is by all places.",
        ),
        Mistake(
            "a mean of means",
            lambda loss, x: ((loss * (x > 0)).sum(axis=1) / (x > 0).sum(axis=1)).mean(),
            "The mean of each sentence, then the mean of those: a word in a short sentence weighs "
            "more than one in a long sentence. Asked for is the mean over words.",
        ),
        Mistake(
            "the sum",
            lambda loss, x: (loss * (x > 0)).sum(),
            "That is the sum. It grows with the batch.",
        ),
    ],
    hints=(
        "`x > 0` tells words from padding.",
        "Sum the losses of the words, and divide by their number.",
        "loss[x > 0].mean()",
    ),
    afterword="Keras does this by itself where a mask reaches the loss of `model.fit`.",
)


def my_reason():
    """Return "window": carrying a state extends the memory, not what the gradient sees."""
    return "window"


CARRIED = Exercise(
    id="13-carried",
    task="What does a stateful network learn from windows of 20?",
    reference=my_reason,
    options=("any", "window", "reset", "batch"),
    mistakes=[
        Mistake(
            "any",
            "any",
            "The state is carried, and it may hold much. But no gradient tells an earlier window "
            "what to put into it.",
        ),
        Mistake(
            "reset",
            "reset",
            "That would be `stateful=False`. Here the state goes on.",
        ),
        Mistake(
            "batch",
            "batch",
            "The batch size says how many streams run side by side, not how far back a gradient "
            "goes.",
        ),
    ],
    hints=(
        "Two ways are open to a state: forward and back. Which of them does a window cut?",
        "In this chapter the tape found no way back into the window before.",
        "Williams and Peng's truncation ends what the gradient sees.",
    ),
    afterword="It may all the same keep something longer: what it learnt to hold for 20 steps, it "
    "may hold for 30. But nothing told it to.",
)

EXERCISES = [PERPLEXITY, MASKED_MEAN, CARRIED]
