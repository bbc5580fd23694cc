"""Quiz questions of chapter 10, debugging an RNN."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="10-what-next",
        question="Gradient check: all right. One batch by heart: cannot be learnt. Units at their "
        "ends: none. Where do you look next?",
        options=[
            Option(
                "At the backward pass",
                "It agrees with differences of the loss. It is the right gradient of whatever the "
                "forward pass does.",
            ),
            Option(
                "At the forward pass: shake the first input",
                "Right: a state that is not handed on looks just like this.",
                right=True,
            ),
            Option(
                "At the labels",
                "Even random labels can be learnt by heart, four sequences of them, as long as "
                "their inputs differ.",
            ),
        ],
    ),
    Quiz(
        id="10-by-heart",
        question="A network learns one batch by heart, to a loss of almost 0. What do you know?",
        options=[
            Option(
                "That its gradient is right",
                "With nothing carried back through time ours did it too.",
            ),
            Option(
                "That there is something to learn in the data",
                "Random answers can be learnt by heart as well; only new data tell.",
            ),
            Option(
                "That what it has is enough to fit four sequences, and no more than that",
                "Right. It is a check that says much when it fails, and little when it passes.",
                right=True,
            ),
        ],
    ),
    Quiz(
        id="10-green-light",
        question="After a repair of the forward pass, gradients that were right are called wrong "
        "by the check. What now?",
        options=[
            Option(
                "Take the repair back",
                "Then the check is green, and the network does the wrong thing, correctly.",
            ),
            Option(
                "The backward pass has to follow the forward pass: repair it too",
                "Right. The check compares code with its own loss, and that has just changed.",
                right=True,
            ),
            Option(
                "Make the step of the differences smaller",
                "That changes an error of 1e-10, not one of a half.",
            ),
        ],
    ),
]
