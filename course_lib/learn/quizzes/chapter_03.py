"""Quiz questions of chapter 03, initialisation."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="03-half",
        question="Why does He's rule for ReLU have twice the variance of LeCun's?",
        options=[
            Option(
                "Because half of the units are dead",
                "A dead unit is off for every sample. Here each unit is off for about half of "
                "them.",
            ),
            Option(
                "Because ReLU removes half of the mean square",
                "Right, on the way up and on the way down alike.",
                right=True,
            ),
            Option(
                "Because ReLU's largest slope is twice the others'",
                "Its slope is 1 or 0; it is the zeros that cost.",
            ),
        ],
    ),
    Quiz(
        id="03-wider",
        question="A ReLU network with He weights, twice as wide and twice as deep. Its luck?",
        options=[
            Option("Worse, it is deeper", "Deeper alone would be worse; wider alone, better."),
            Option("Better, it is wider", "Wider alone would be better; deeper alone, worse."),
            Option(
                "About the same",
                "Right: what scatters from seed to seed goes like depth over width.",
                right=True,
            ),
        ],
    ),
    Quiz(
        id="03-limit",
        question="Every weight of a network is kept within ±c. What does that promise?",
        options=[
            Option(
                "That the gradient does not vanish",
                "Nothing keeps it from vanishing: all weights may be 0, and 0 is within ±c.",
            ),
            Option(
                "That no layer stretches a gradient by more than slope · c √(fan_in · fan_out)",
                "Right: a ceiling. There is no floor.",
                right=True,
            ),
            Option(
                "That the gradient does not explode",
                "Only if the ceiling is below 1; with c = 1 and 128 units it is 128.",
            ),
        ],
    ),
]
