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
        question="What does one mask for all steps of a sequence save that new masks at each "
        "step lose?",
        options=[
            Option(
                "Time: fewer random numbers are drawn",
                "Hardly any of it: the products with W_h cost far more.",
            ),
            Option(
                "What a kept unit carries: it can stay for as many steps as it likes",
                "Right, where all that is carried goes through the mask: with new ones it comes "
                "through T steps with a chance of (1 − p)ᵀ. An LSTM's cell is not masked.",
                right=True,
            ),
            Option(
                "The sameness of sentences: all drop the same units",
                "Each sentence has its own mask, and in an LSTM each gate has.",
            ),
        ],
    ),
]
