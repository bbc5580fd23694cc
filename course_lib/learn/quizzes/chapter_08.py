"""Quiz questions of chapter 08, how far back an RNN can learn."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="08-ceiling-above",
        question="A sigmoid RNN has s_max(W_h) = 3. What follows for 100 steps?",
        options=[
            Option(
                "Its gradient vanishes, whatever the input",
                "Right: κ is ¼, so κ s_max = 0.75, and at most 0.75 to the power of 100 is left.",
                right=True,
            ),
            Option(
                "It explodes, as s_max is above 1",
                "Above 1 would be necessary, not sufficient; and it is κ s_max that counts.",
            ),
            Option(
                "Nothing, without the eigenvalues",
                "The ceiling needs no eigenvalue. It stands at 0.75 a step here.",
            ),
        ],
    ),
    Quiz(
        id="08-short-memory",
        question="An RNN's long-lag gradients have vanished. Its task has a near half and a far "
        "half. What do you see in training?",
        options=[
            Option(
                "The loss does not move at all",
                "The near terms are as large as ever, and they make up nearly all of the gradient.",
            ),
            Option(
                "It learns what lies near, and its loss stays at what the far part costs",
                "Right: in this chapter ln 4 was left, the price of one symbol out of four.",
                right=True,
            ),
            Option(
                "It learns everything, only more slowly",
                "The far part waits for a gradient that is many decades smaller than the near one.",
            ),
        ],
    ),
    Quiz(
        id="08-stored-bit",
        question="One unit has held the same bit for a thousand steps, though something pushed it "
        "a little at each. Its gradient over them?",
        options=[
            Option(
                "About 1, or it would have forgotten",
                "With a factor of 1 every little push would stay for ever, and wash the bit out.",
            ),
            Option(
                "Vanished: what shakes the unit a little is shaken off",
                "Right. The unit is robust because its factor is below 1, and for the same reason "
                "it cannot learn from what it stored.",
                right=True,
            ),
            Option(
                "Exploded: a thousand steps add up",
                "They multiply, and each factor is below 1 at a stable fixed point.",
            ),
        ],
    ),
]
