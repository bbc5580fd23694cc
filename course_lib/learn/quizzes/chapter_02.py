"""Quiz questions of chapter 02, activation functions."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="02-half",
        question="A deep sigmoid network with Glorot weights: all outputs near 0.5. Its gradient?",
        options=[
            Option(
                "Arrives, nothing is saturated",
                "Nothing is saturated, and each slope is as large as it gets: a quarter. A quarter "
                "thirty times is 10⁻¹⁸.",
            ),
            Option(
                "Vanishes, although nothing is saturated",
                "Right. The quarter is enough, since the weights do not make up for it.",
                right=True,
            ),
            Option(
                "Vanishes, because outputs near 0.5 pass least",
                "They pass most. Held at 0.5 with larger matrices the gradient arrived.",
            ),
        ],
    ),
    Quiz(
        id="02-company",
        question="You move one slider and see A and B change together. What do you know?",
        options=[
            Option(
                "A causes B",
                "Perhaps; or B causes A, or the slider moves both, as the weights moved outputs "
                "and gradient here.",
            ),
            Option(
                "That they keep each other company",
                "Right, and no more. A question that separates them has to move one alone.",
                right=True,
            ),
            Option("Nothing at all", "They do go together; that is a fact worth explaining."),
        ],
    ),
    Quiz(
        id="02-leak",
        question="Half of your ReLU units are dead, accuracy is poor. What do you try first?",
        options=[
            Option(
                "Leaky ReLU with slope 0.01",
                "At the rate that killed them a leaky network diverges instead, and at a slope of "
                "0.01 the way back takes a hundred times as long.",
            ),
            Option(
                "A smaller learning rate, from fresh weights",
                "Right. The rate killed them, and what is dead stays dead, so start anew.",
                right=True,
            ),
            Option(
                "A smaller learning rate, from where you are",
                "Too late for the dead: their gradient is exactly 0, at any rate.",
            ),
        ],
    ),
]
