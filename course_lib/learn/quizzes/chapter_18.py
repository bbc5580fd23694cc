"""The quiz questions of chapter 18."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="18-what-decides",
        question="A colleague says: “I take a selective state-space model, so my gradient cannot "
        "vanish through time.” What do you answer?",
        options=[
            Option(
                "Within one layer it is a product of the layer's own factors; how near to 1 they "
                "start says how fast it falls",
                "Right. The product is clean, so you can compute it before training, and set it. "
                "Where several such layers are stacked, the depth multiplies too.",
                right=True,
            ),
            Option(
                "You are right, it has no recurrence",
                "It has one, h_t = a_t ⊙ h_{t−1} + b_t. Only the bend is gone, not the product.",
            ),
            Option(
                "You are wrong, it vanishes as fast as in a tanh RNN",
                "It may, and it need not: with factors of 0.9975 more than 0.88 is left after 50 "
                "steps. The start decides.",
            ),
        ],
    ),
    Quiz(
        id="18-rounds-or-steps",
        question="1024 steps of a linear recurrence with 2048 numbers each, on one core. Which is "
        "quicker, step by step or in ten rounds?",
        options=[
            Option(
                "Step by step",
                "Right. The rounds multiply 18 times as often, and here nobody shares the work; "
                "what they save is waiting.",
                right=True,
            ),
            Option(
                "In rounds: ten are fewer than 1024",
                "Ten calls are fewer than 1024, but each handles all steps at once, and together "
                "they multiply 18 times as often. One core has to do all of it.",
            ),
            Option(
                "Equally quick: the numbers are the same",
                "The results are the same. The work is not: 18 products a step instead of one.",
            ),
        ],
    ),
]
