"""The exercise of chapter 18: two steps of a linear recurrence in one."""

from course_lib.learn.exercises import Exercise, Mistake


def join(a, b, a_next, b_next):
    """Put h₁ = a h + b into a_next h₁ + b_next, and collect what stands before h."""
    return a_next * a, a_next * b + b_next


JOIN = Exercise(
    id="18-join",
    task="Two steps of a linear recurrence are one step: which gate has it, and what does it add?",
    reference=join,
    inputs=lambda rng: tuple(rng.uniform(0.2, 2.0, (4, 3))),
    mistakes=[
        Mistake(
            "the additions only added",
            lambda a, b, a_next, b_next: (a_next * a, b + b_next),
            "The gate is right. But what the first step adds goes through the second gate too.",
        ),
        Mistake(
            "the wrong gate on the first addition",
            lambda a, b, a_next, b_next: (a_next * a, a * b + b_next),
            "The gate is right. What the first step adds has its own gate behind it already; "
            "which one still lies before it?",
        ),
        Mistake(
            "joined in the other order",
            lambda a, b, a_next, b_next: (a * a_next, a * b_next + b),
            "That is the second step first, and then the first one. The gates do not mind, the "
            "additions do.",
        ),
        Mistake(
            "the gates added",
            lambda a, b, a_next, b_next: (a + a_next, a_next * b + b_next),
            "What is added is right. But h is multiplied by one gate, and then by the other.",
        ),
        Mistake(
            "the two results exchanged",
            lambda a, b, a_next, b_next: (a_next * b + b_next, a_next * a),
            "Both are there. Return the gate first, then what is added.",
        ),
    ],
    hints=(
        "Write the first step as h₁ = a h + b, and put it into the second, h₂ = a′ h₁ + b′.",
        "h₂ = a′ (a h + b) + b′. What stands before h, and what is left?",
        "return a_next * a, a_next * b + b_next",
    ),
    afterword="Joining three steps in either grouping gives the same, but exchanging two does not. "
    "The first makes rounds possible, the second is why the order has to be kept.",
)

EXERCISES = [JOIN]
