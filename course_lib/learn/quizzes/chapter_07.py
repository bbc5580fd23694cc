"""Quiz questions of chapter 07, recurrent networks."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="07-shared",
        question="The same RNN reads sequences twice as long. What about the gradient of W_h?",
        options=[
            Option(
                "It becomes a matrix with twice as many rows",
                "The weights are shared over time: W_h has units × units entries at any length.",
            ),
            Option(
                "It is a sum over twice as many uses, in the same matrix",
                "Right: one term for each use of W_h, and each use collects from all later losses.",
                right=True,
            ),
            Option(
                "It is the mean over twice as many terms, so it stays as it is",
                "A sum, not a mean: the copies of W_h are tied together and move at once. (A loss "
                "that is a mean over time divides by T, which is another matter.)",
            ),
        ],
    ),
    Quiz(
        id="07-truncated",
        question="A gradient is truncated to ten states. Can the answer depend on step t − 50?",
        options=[
            Option(
                "No: what is cut cannot be known",
                "The gradient is cut, the state is not. Forward it goes on from step to step.",
            ),
            Option(
                "Yes: the state may hold it, though no loss asked for it to be kept",
                "Right. Ten steps of gradient may even teach a habit of keeping that lasts fifty.",
                right=True,
            ),
            Option(
                "Yes, and its input gets a gradient, but a small one",
                "It gets exactly 0, as you saw in our lines and in Keras.",
            ),
        ],
    ),
    Quiz(
        id="07-control",
        question="An RNN with one-step gradients recalls 8 steps back. What has been shown?",
        options=[
            Option(
                "That one-step gradients learn to store",
                "Not before the same network has failed with everything frozen but the read-out. "
                "With an orthogonal start it does not fail.",
            ),
            Option(
                "Nothing yet: train the read-out alone, and compare",
                "Right. A random matrix that keeps lengths is a memory before it is ever trained.",
                right=True,
            ),
            Option(
                "That the gradient does not vanish over 8 steps",
                "It was not carried over any step. Forward memory and backward gradient are two "
                "things.",
            ),
        ],
    ),
]
