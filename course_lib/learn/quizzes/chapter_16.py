"""Quiz questions of chapter 16, regularisation."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="16-worse-than-a-coin",
        question="A classifier with two classes names 60 % of new sentences rightly, and its "
        "cross-entropy on them is 3 bits. Is that possible?",
        options=[
            Option(
                "No: who is right more often than a coin has less than 1 bit",
                "A coin is never surer than a half. This one is nearly certain each time, also "
                "where it is wrong.",
            ),
            Option(
                "Yes: it is certain where it is wrong",
                "Right. −log₂ p has no upper end: a few certain errors cost more than all the "
                "rest.",
                right=True,
            ),
            Option(
                "Only if the code has a fault",
                "Ours did just that, and the same code finds 0 bits on what it has learnt.",
            ),
        ],
    ),
    Quiz(
        id="16-adamw",
        question="Somebody moves from SGD to Adam and keeps `kernel_regularizer=L2(λ)`. What does "
        "Adam do with the pull towards 0?",
        options=[
            Option(
                "The same as SGD: the loss is the same",
                "The loss is; the step is not. Adam divides each gradient by its own size.",
            ),
            Option(
                "It divides it by the size of the gradient, like the rest",
                "Right: weights with large gradients are pulled less. AdamW takes the pull out of "
                "the division.",
                right=True,
            ),
            Option(
                "Nothing: Adam leaves penalties out",
                "The penalty is part of the loss, so its gradient is in Adam's.",
            ),
        ],
    ),
    Quiz(
        id="16-new-mask",
        question="Why does Gal and Ghahramani's recurrent dropout take the same mask at every "
        "step?",
        options=[
            Option(
                "Because it is faster",
                "It saves some random numbers. That is not the reason.",
            ),
            Option(
                "So that what a kept unit carries can stay for as many steps as it likes",
                "Right. With a new mask at each step it is kept with (1 − p)ᵀ after T steps.",
                right=True,
            ),
            Option(
                "So that the same units are dropped in all sentences",
                "Each sentence has its own mask, and in an LSTM each gate has.",
            ),
        ],
    ),
]
