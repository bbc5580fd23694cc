"""Quiz questions of chapter 12, which GRU it is."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="12-which-book",
        question="A paper with h_t = (1 − z) h_{t−1} + z h̃ starts the bias of z at −3. What do you "
        "set in Keras for the same start?",
        options=[
            Option(
                "−3: a bias is a bias",
                "In Keras that would keep 5 % of the state at each step. In the paper it keeps "
                "95 %.",
            ),
            Option(
                "3",
                "Right: 1 − σ(−3) = σ(3). The weights of z turn their sign too, and as they are "
                "random, nobody can tell.",
                right=True,
            ),
            Option(
                "There is no such thing, as Keras resets after the product",
                "Where r stands has nothing to do with what z means.",
            ),
        ],
    ),
    Quiz(
        id="12-tied",
        question="One unit shall keep all it has and write something new on top, at each step. "
        "Which cell can?",
        options=[
            Option(
                "Both: that is what gates are for",
                "In (3) what is kept and what is written add up to 1.",
            ),
            Option(
                "An LSTM's cell, with f = 1 and i = 1; a GRU cannot",
                "Right. It can count, and it can run away. A GRU's state stays between −1 and 1.",
                right=True,
            ),
            Option(
                "A GRU, with z = 1 and r = 1",
                "With z = 1 nothing is written at all, whatever r says.",
            ),
        ],
    ),
    Quiz(
        id="12-saturated",
        question="Thirty steps with random labels at a rate of 0.3: of a tanh RNN's gradient "
        "next to nothing is left after 40 steps, of a GRU's more than a tenth. Both have "
        "saturated. Why the difference?",
        options=[
            Option(
                "A saturated tanh has no slope; an update gate saturated at 1 passes everything",
                "Right: along the direct way the factor is z itself, not a slope.",
                right=True,
            ),
            Option(
                "The GRU has learnt something",
                "From random labels there is nothing to learn.",
            ),
            Option(
                "A GRU's candidate has no tanh",
                "It has. But where z is 1 the candidate is not asked.",
            ),
        ],
    ),
]
