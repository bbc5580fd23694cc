"""Quiz questions of chapter 06, optimisers and Adam."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="06-fair",
        question="Adam and SGD train the same network, both at α = 0.001, and Adam wins. So?",
        options=[
            Option(
                "Adam is better for this network",
                "Perhaps. 0.001 is a length for Adam and a multiple of the slope for SGD: the two "
                "rates have not even the same unit.",
            ),
            Option(
                "Nothing yet",
                "Right: give each the best of its own grid first, and print the grid.",
                right=True,
            ),
            Option(
                "SGD needs more steps",
                "Perhaps, or a larger α. At one rate you cannot tell the two apart.",
            ),
        ],
    ),
    Quiz(
        id="06-turned",
        question="A long valley is turned by 45°. Why does Adam mind and momentum does not?",
        options=[
            Option(
                "The valley becomes narrower",
                "Turning changes no distance and no curvature; κ stays what it was.",
            ),
            Option(
                "Adam scales each parameter, and the valley's axes are no longer parameters",
                "Right: both parameters see the steep and the flat direction mixed, so both get "
                "the same scale.",
                right=True,
            ),
            Option(
                "Momentum adapts its rate to the angle",
                "Momentum adapts nothing. Sums and multiples of gradients turn with the surface.",
            ),
        ],
    ),
    Quiz(
        id="06-repair",
        question="Weights near the input get gradients of 10⁻²⁰. What does Adam with ε = 10⁻³⁰ do?",
        options=[
            Option(
                "Hardly moves them",
                "With Keras's ε it would not move them at all. With this one √v̂ is 10⁻²⁰ too, and "
                "ε is small beside it.",
            ),
            Option(
                "Moves them by steps of about α; whether they learn is another matter",
                "Right: the length is repaired. What the gradient no longer knows stays unknown.",
                right=True,
            ),
            Option(
                "Moves them, and so they learn",
                "Our sixteen sigmoid layers moved by more than their own size and learnt next to "
                "nothing.",
            ),
        ],
    ),
]
