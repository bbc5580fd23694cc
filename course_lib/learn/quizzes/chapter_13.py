"""Quiz questions of chapter 13, sequence models."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="13-shared-rate",
        question="Two cells are trained at a rate of 0.01. One needs 0.3 bits less than the other. "
        "What follows?",
        options=[
            Option(
                "It is the better cell for this text",
                "In this chapter's table (windows of 20, one seed) such a gap shrank to a tenth "
                "when each cell had its own rate.",
            ),
            Option(
                "Nothing yet: 0.01 may be the best rate of one and not of the other",
                "Right: give each the best of the same grid, the same steps and the same weights, "
                "and ask more than one seed.",
                right=True,
            ),
            Option(
                "The other one has too few weights",
                "Perhaps; here both had the same number, and the gap was there all the same.",
            ),
        ],
    ),
    Quiz(
        id="13-padding",
        question="Sentences of ten words are filled up to forty with zeros, behind, without a "
        "mask. The weights are fresh, the loss reads the last step. What reaches the words of the "
        "gradient?",
        options=[
            Option(
                "What would reach them without the zeros: zeros add nothing",
                "A step that reads a zero is a step: it has an embedding and a Jacobian.",
            ),
            Option(
                "Less: it passes thirty more Jacobians before it meets a word",
                "Right. With a mask these steps hand the state on as it is, a factor of exactly 1. "
                "(Training may change that: weights that keep their state let more through.)",
                right=True,
            ),
            Option(
                "Nothing at all",
                "It is a product of thirty factors, in fresh weights below 1: small, not 0.",
            ),
        ],
    ),
    Quiz(
        id="13-cold",
        question="Of two samples of the same model one has 99 % known words, the other 85 %. Which "
        "was drawn at the lower temperature, and is it the better text?",
        options=[
            Option(
                "The first, and yes: more of its words exist",
                "It may well be “the the the”. Count the different words, or the repetitions, too.",
            ),
            Option(
                "The first, and that share alone does not say it is better",
                "Right: cold samples keep to the few most frequent words, which all exist.",
                right=True,
            ),
            Option(
                "The second: hot text has more known words",
                "A higher temperature makes unlikely characters more likely, so words break.",
            ),
        ],
    ),
]
