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
        question="At a large rate half of your ReLU units died, and accuracy is poor. What do you "
        "try first?",
        options=[
            Option(
                "Leaky ReLU with slope 0.1, at the same rate",
                "It brings back the dead at a good rate; at a rate that is far too large its loss "
                "overflows. A slope of 0.01 would keep more units alive, at a rate still bad.",
            ),
            Option(
                "A smaller learning rate, from fresh weights",
                "Right. The rate killed them; in the first layer the dead stay dead: start anew.",
                right=True,
            ),
            Option(
                "A smaller learning rate, from where you are",
                "Higher up some may wake. In the first layer it is too late: there the gradient of "
                "the dead is exactly 0, at any rate, and their inputs never change.",
            ),
        ],
    ),
]
