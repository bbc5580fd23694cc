"""Quiz questions of chapter 11, what the gates of an LSTM do."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="11-which-path",
        question="When is ∂c_T/∂c_0 exactly ∏f?",
        options=[
            Option(
                "Always: the cell is only ever multiplied by f",
                "The cell also makes h, and h makes the next gates and candidates.",
            ),
            Option(
                "Where no gate and no candidate hears h, W_h = 0",
                "Right. Then the cell is the only way from step to step.",
                right=True,
            ),
            Option(
                "Where the forget bias is large",
                "At b_f = 5 all ways together carried more than ten times what ∏f did.",
            ),
        ],
    ),
    Quiz(
        id="11-half-time",
        question="A unit's forget gate is 0.99 at every step. How long is its half-life?",
        options=[
            Option(
                "About 7 steps", "0.99 to the power of 7 is still 0.93: its half-life is longer."
            ),
            Option(
                "About 69 steps",
                "Right: ln ½ / ln 0.99 = 69. Its time constant, 1/(1 − f), is 100.",
                right=True,
            ),
            Option(
                "About 100 steps",
                "That is its time constant, 1/(1 − 0.99); by then 0.37 is left, less than half.",
            ),
        ],
    ),
    Quiz(
        id="11-race",
        question="At a shared learning rate of 0.001 an LSTM and a tanh RNN have both stayed at "
        "the baseline. What do you know?",
        options=[
            Option(
                "That LSTMs have no advantage on this task",
                "At its own best rate the LSTM solved it in the same number of steps.",
            ),
            Option(
                "That the task is too hard for both",
                "Both got further: one with another rate, the other with more steps.",
            ),
            Option(
                "Next to nothing: each needs the best of a grid, and the same steps",
                "Right. And a control: what does a read-out alone make of the start?",
                right=True,
            ),
        ],
    ),
]
