"""Quiz questions of chapter 01, where gradients go."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="01-ceiling",
        question="In every layer of a network κ · s_max(W) is 3. What follows for its gradient?",
        options=[
            Option(
                "It explodes, by at least 3 a layer",
                "3 is a ceiling, and nobody has to live at the ceiling: along other directions the "
                "matrix shrinks, and where φ is flat next to nothing passes.",
            ),
            Option(
                "It can explode, but need not",
                "Right. The ceiling (6) says “at most 3”. Explosion needs it above 1, and does not "
                "follow from it.",
                right=True,
            ),
            Option(
                "It vanishes",
                "It may: a ceiling above 1 promises nothing either way. It is certain only where "
                "the ceiling stays below some number smaller than 1.",
            ),
        ],
    ),
    Quiz(
        id="01-who-moves",
        question="SGD trains an eight-layer sigmoid network. After 400 steps, what has moved?",
        options=[
            Option(
                "Nothing, the gradient has vanished",
                "Not everywhere: at the top it has not travelled yet, and the last layer moved by "
                "a good part of its own size.",
            ),
            Option(
                "All layers about equally, but too little",
                "That would be a learning rate that is too small. Here each layer moves several "
                "times as far as the one below it.",
            ),
            Option(
                "The top layers, and yet its accuracy is that of guessing",
                "Right. What reaches the top is nearly the same for every image, so that moving it "
                "teaches it nothing.",
                right=True,
            ),
        ],
    ),
    Quiz(
        id="01-formats",
        question="tf.norm of a float32 gradient prints 0.0. What do you know?",
        options=[
            Option(
                "The gradient is exactly zero",
                "It may be. But squares of entries below 10⁻¹⁹ are below what float32 can hold, "
                "and their sum prints as 0 although the gradient is there.",
            ),
            Option(
                "It is zero, or it is smaller than float32 can show",
                "Right. Measure in float64, or scale the loss up first; then you know which.",
                right=True,
            ),
            Option(
                "The network has converged",
                "At a minimum the gradient is small in every layer. Look at the layers: a vanished "
                "one is large at the top.",
            ),
        ],
    ),
]
