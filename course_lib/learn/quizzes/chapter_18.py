"""The quiz question of chapter 18."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="18-what-decides",
        question="A colleague says: “I take a state-space model, so my gradient cannot vanish.” "
        "What do you answer?",
        options=[
            Option(
                "Its gradient is a product of gates, and nothing else; how near to 1 they start "
                "says how fast it falls",
                "Right. The product is clean, so you can compute it before training, and set it.",
                right=True,
            ),
            Option(
                "You are right, it has no recurrence",
                "It has one, h_t = a_t ⊙ h_{t−1} + b_t. Only the bend is gone, not the product.",
            ),
            Option(
                "You are wrong, it vanishes as fast as in a tanh RNN",
                "It may, and it need not: with gates of 0.9975 more than 0.88 is left after 50 "
                "steps. The start decides.",
            ),
        ],
    ),
]
