"""Quiz questions of chapter 15, the Transformer."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="15-no-recurrence",
        question="“No recurrence, hence no vanishing gradient.” What is right in it?",
        options=[
            Option(
                "All of it: only a recurrent matrix can be multiplied many times",
                "Depth multiplies as well: 24 blocks with Glorot weights and neither skips nor "
                "norms pass almost nothing.",
            ),
            Option(
                "Along the tokens there is no product over the distance; down the blocks there is",
                "Right. And a token's share at the start falls like 1/T.",
                right=True,
            ),
            Option(
                "Nothing: attention is a product over the distance too",
                "The last output reads every token directly: one step, whatever the distance.",
            ),
        ],
    ),
    Quiz(
        id="15-flash",
        question="What does attention block by block, with a running softmax, save?",
        options=[
            Option(
                "The quadratic number of multiplications",
                "Every query still meets every key: as many multiplications as before.",
            ),
            Option(
                "The table of T × T numbers in memory; the output is the same",
                "Right: the same numbers to rounding.",
                right=True,
            ),
            Option(
                "Both, for a small error in the output",
                "There is no error but rounding, and no multiplication is saved. Linear attention "
                "saves the square, and is another function.",
            ),
        ],
    ),
    Quiz(
        id="15-pre-post",
        question="Which way does a gradient have in a pre-LN stack that it has not in post-LN?",
        options=[
            Option(
                "From the top to the input through additions alone",
                "Right: the norms stand inside the branches. (The one at the very end is passed "
                "once.)",
                right=True,
            ),
            Option(
                "Through the FFN without passing attention",
                "Skips around attention are in both.",
            ),
            Option(
                "Directly into W_Q, past the softmax",
                "W_Q is heard through the softmax in both. But in pre-LN tokens stay apart.",
            ),
        ],
    ),
]
