"""The quiz question of chapter 00."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="00-picture",
        question="In the picture of the course a line ends at −3, twenty layers from the loss. "
        "What does the first layer receive?",
        options=[
            Option(
                "A thousandth of the gradient that left the loss",
                "Right: 10⁻³ of it.",
                right=True,
            ),
            Option("A gradient of −3", "The height is a logarithm; sizes are never negative."),
            Option(
                "Nothing that matters",
                "A thousandth may be enough to learn from, slowly. Chapter 01 finds the limit.",
            ),
        ],
    ),
]
