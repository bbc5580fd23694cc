"""Quiz questions of chapter 09, gradient clipping."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="09-keras-names",
        question="Keras, `clipnorm=1`: a kernel's gradient has norm 100, its bias's norm 1. Then?",
        options=[
            Option(
                "Both are divided by 100",
                "That is `global_clipnorm`. `clipnorm` looks at each variable by itself.",
            ),
            Option(
                "Both have norm 1: beside its kernel the bias counts a hundred times more",
                "Right: each variable has a limit of its own, so the direction of the whole "
                "changes although that of each variable does not.",
                right=True,
            ),
            Option(
                "Each entry lies between −1 and 1, the norms can be anything",
                "That is what `clipvalue` does, entry by entry.",
            ),
        ],
    ),
    Quiz(
        id="09-under-adam",
        question="Adam's steps are about α long anyway. What best explains why clipping helps?",
        options=[
            Option(
                "It made the steps shorter",
                "Adam divides a common factor out again, by (10).",
            ),
            Option(
                "It kept the spikes out of v, which remembers them for thousands of steps",
                "Right: a spike makes the steps that follow it too short.",
                right=True,
            ),
            Option(
                "It brought back the gradient of the first steps",
                "Nothing that vanished comes back: all shares stay what they are.",
            ),
        ],
    ),
    Quiz(
        id="09-not-finite",
        question="The global norm of one batch's gradient is `inf`. What to do?",
        options=[
            Option(
                "Clip by value: it makes every entry finite",
                "Finite, yes. But where an entry was infinite nobody knows what it should have "
                "been, and a NaN stays one.",
            ),
            Option(
                "Lower the limit",
                "c/∞ is 0 for every c, and 0 · ∞ is NaN.",
            ),
            Option(
                "Take no step with it, count it, and look for what overflowed",
                "Right. One skipped step costs little; one NaN in a weight ends the run.",
                right=True,
            ),
        ],
    ),
]
