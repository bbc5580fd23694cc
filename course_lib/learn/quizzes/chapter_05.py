"""Quiz questions of chapter 05, skip connections."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="05-plus-one",
        question="What does the + 1 in (2) promise, whatever the weights become?",
        options=[
            Option(
                "That the gradient cannot vanish",
                "F(x) = −x takes away all that the trunk brings, in one block.",
            ),
            Option(
                "A floor, but only where the branch is small",
                "Right: 1 − s κ s_max is above 0 only if s κ s_max is below 1.",
                right=True,
            ),
            Option(
                "That a deep network can be trained",
                "The ReLU network of this chapter has its + 1 in every block, and explodes.",
            ),
        ],
    ),
    Quiz(
        id="05-same-direction",
        question="A hundred blocks, s = 1/√100, each branch ending in a ReLU. The signal?",
        options=[
            Option(
                "Stays level, grows by √e at most",
                "That is the rule for branches with mean 0, which stand square to one another.",
            ),
            Option(
                "Grows by far more: the branches point the same way",
                "Right: a hundred steps of a tenth in one direction are a way of ten, and each "
                "step is measured by what is already there.",
                right=True,
            ),
            Option(
                "Vanishes like 0.1 to the power of 100",
                "The trunk is not multiplied by s. What came in is still there at the top.",
            ),
        ],
    ),
    Quiz(
        id="05-one-block-less",
        question="A block is taken out of a trained residual network, and it still works. Why?",
        options=[
            Option(
                "The paths that matter most are short, and few of them pass this block",
                "Right. By number half of all paths pass it; weighted by what they carry it is one "
                "in five (tanh, as drawn). In a plain network the only path passes every layer.",
                right=True,
            ),
            Option(
                "The other blocks learn to replace it",
                "They had no time to: nothing was trained after the block was removed.",
            ),
            Option(
                "Tanh blocks are linear, so one more or less is no matter",
                "Behind a trunk that grows, tanh saturates: far from linear. And without the "
                "trunk, the same tanh layers cannot spare one.",
            ),
        ],
    ),
]
