"""Quiz questions of chapter 14, attention."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="14-far-away",
        question="A query puts weight 0.2 on the value of the last step and 0.2 on that of the "
        "first, 99 steps earlier. How do the gradients compare that these two values get from it?",
        options=[
            Option(
                "The first gets 0.2 to the power of 99 of it",
                "That would be a product over steps, as in a recurrent network. Equation (5) "
                "has none.",
            ),
            Option(
                "They are equal",
                "Right: by (5) each value gets its weight times the gradient of the mixture.",
                right=True,
            ),
            Option(
                "The first gets less, since positions are encoded",
                "An encoding may change the weight. Once the weights are equal, so are the two "
                "gradients.",
            ),
        ],
    ),
    Quiz(
        id="14-masked-late",
        question="Somebody multiplies the finished weights by a mask of 0 and 1. What is wrong?",
        options=[
            Option(
                "Nothing: the hidden values have weight 0",
                "They have, but they took part in the sum below the fraction: the other weights "
                "are too small, and depend on what is hidden.",
            ),
            Option(
                "The rows no longer sum to 1, and hidden scores still change the others",
                "Right. The mask belongs before the softmax, as a score of −∞.",
                right=True,
            ),
            Option(
                "The gradient of the hidden values is not 0",
                "Their weight is 0, so by (5) it is. The hidden scores are the trouble.",
            ),
        ],
    ),
    Quiz(
        id="14-without-root",
        question="A network with d_k = 8 and 20 random keys has lost its division by √d_k. At the "
        "start the Jacobian of its softmax is not smaller than before. Why?",
        options=[
            Option(
                "The softmax does not depend on the size of the scores",
                "It does: large scores make it all or nothing. A sum of scores would not.",
            ),
            Option(
                "At this width unscaled scores are about ±3, far from all or nothing",
                "Right: at the start the Jacobian is even a little larger. At 512 it would be "
                "another matter.",
                right=True,
            ),
            Option(
                "Keras divides once more inside its layers",
                "MultiHeadAttention does, Attention does not; and this network has lost it.",
            ),
        ],
    ),
]
