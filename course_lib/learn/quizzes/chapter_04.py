"""Quiz questions of chapter 04, batch normalisation."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="04-two",
        question="A batch of two, Batch Norm in each layer, ε = 0. What can the first layer learn?",
        options=[
            Option(
                "As much as ever, only with more noise",
                "Noise is not the trouble here. Two numbers always become +1 and −1: their slope "
                "is 0.",
            ),
            Option(
                "Nothing",
                "Right: of B directions B − 2 are left, and that is none.",
                right=True,
            ),
            Option(
                "Half as much",
                "It would be so if one of the two directions were taken. Mean and spread take "
                "both.",
            ),
        ],
    ),
    Quiz(
        id="04-validation",
        question="99 % in training, 40 % on the very same images in use. What is the likely cause?",
        options=[
            Option(
                "Overfitting",
                "An overfitted network is good on the images it was trained with. These are they.",
            ),
            Option(
                "Moving averages that are too young",
                "Right. The weights are the same in both; only the mean and the spread differ.",
                right=True,
            ),
            Option(
                "A learning rate that is too small",
                "Then the batches would not show 99 % either.",
            ),
        ],
    ),
    Quiz(
        id="04-deeper",
        question="Somebody takes half of He's spread against the growth of a deep BN-ReLU stack.",
        options=[
            Option(
                "It halves the factor per layer",
                "Without Batch Norm it would. Here s is halved as well, and the two cancel.",
            ),
            Option(
                "It changes nothing",
                "Right: 1.21 a layer, as long as s² is far above ε.",
                right=True,
            ),
            Option(
                "It makes the gradient vanish",
                "By (15) the factor is never below 1 at the start.",
            ),
        ],
    ),
]
