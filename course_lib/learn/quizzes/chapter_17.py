"""Quiz questions of chapter 17, the gradient clinic."""

from course_lib.learn.quizzes import Option, Quiz

QUIZZES = [
    Quiz(
        id="17-stands-still",
        question="A loss has not moved for two hundred steps. What do you know?",
        options=[
            Option(
                "The learning rate is too small",
                "It may be. In the ward most losses stood still, and none for that reason.",
            ),
            Option(
                "That it does not learn; look further",
                "Right. Inputs, masks, norms, gates, starting weights: all of them end in the same "
                "flat line.",
                right=True,
            ),
            Option(
                "The gradient vanishes",
                "It does for some. Patient A's inputs are out of scale; E's gradient arrives.",
            ),
        ],
    ),
    Quiz(
        id="17-luck",
        question="You prescribe something, and the network learns. Was the diagnosis right?",
        options=[
            Option(
                "Yes: it has been cured",
                "A weaker dose, or another seed, may have done it. Some cures in our record work "
                "with one seed and not with the next.",
            ),
            Option(
                "Perhaps: try other seeds, and the network without it",
                "Right. And ask what else the cure has changed: a skip connection cures three "
                "patients with three different faults, and so names none of them.",
                right=True,
            ),
            Option(
                "No: one never knows",
                "One can know a good deal with eight seeds and a healthy twin.",
            ),
        ],
    ),
    Quiz(
        id="17-a-file",
        question="Somebody sends you a .keras file. Why does `load_model` read the names in it "
        "before it opens it?",
        options=[
            Option(
                "Loading calls what is named there, so a file can run code",
                "Right. A Lambda brings its code along; a class of somebody's own brings more.",
                right=True,
            ),
            Option(
                "To know the shape of the input",
                "That it learns afterwards, from the model.",
            ),
            Option(
                "Weights may be damaged",
                "Then loading fails and nothing else happens. The names are about code.",
            ),
        ],
    ),
]
