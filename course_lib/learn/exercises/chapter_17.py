"""Exercises of chapter 17, the gradient clinic."""

import numpy as np

from course_lib.learn.exercises import Exercise, Mistake

CURED = 0.8  # of the way from the trivial answer to the healthy twin
SICK = {
    "patient A": "unscaled input",
    "patient C": "sigmoid depth",
    "patient D": "wrong mask",
    "patient E": "learning rate",
    "patient F": "exploding recurrence without clipping",
    "patient H": "Batch Norm in the wrong mode",
    "patient I": "forget bias -3",
    "patient J": "bad initialisation",
}
WELL = ("patient B", "patient G")
HEALTHY = "healthy"
PATIENTS = tuple(sorted((*SICK, *WELL)))
NOBODY_HAS = ("clipping too tight", "dead units", "shuffled labels", "too few units")
FAULTS = tuple(sorted((*SICK.values(), *NOBODY_HAS, HEALTHY), key=str.lower))

WHERE_TO_LOOK = {
    "patient A": "Look at its inputs: one bar is not like the others.",
    "patient B": "Look at its first losses beside its gradient by time step.",
    "patient C": "Count its hidden layers, and what each of them passes.",
    "patient D": "Look at what is hidden from it.",
    "patient E": "Its gradient arrives. Then what happens in its first losses?",
    "patient F": "Its gradient by time step goes the other way.",
    "patient G": "Its gradient grows a little; look at its first losses.",
    "patient H": "Look at what its Batch Norms put out.",
    "patient I": "Look at its gradient by time step: what lets an LSTM keep something?",
    "patient J": "Its gradient vanishes, and none of its units is a sigmoid.",
}


def my_diagnoses():
    """Return the fault of every patient, "healthy" where there is none."""
    return {
        "patient A": "unscaled input",
        "patient B": "healthy",
        "patient C": "sigmoid depth",
        "patient D": "wrong mask",
        "patient E": "learning rate",
        "patient F": "exploding recurrence without clipping",
        "patient G": "healthy",
        "patient H": "Batch Norm in the wrong mode",
        "patient I": "forget bias -3",
        "patient J": "bad initialisation",
    }


def judge_diagnoses(said):
    """Say how many are right, and where to look again; nothing where all ten are."""
    if not isinstance(said, dict):
        return "It takes a dict: a fault for every patient."
    right = {name: _plain(fault) for name, fault in my_diagnoses().items()}
    given = {name: _plain(fault) for name, fault in said.items() if _plain(fault)}
    nobody = [name for name in given if name not in PATIENTS]
    if nobody:
        return f"{nobody[0]!r} is no patient; their names are 'patient A' to 'patient J'."
    known = {_plain(fault) for fault in FAULTS}
    strange = [said[name] for name in given if given[name] not in known]
    if strange:
        return f"{strange[0]!r} is not in the list of faults; copy a line of it as it stands."
    wrong = [name for name in PATIENTS if name in given and given[name] != right[name]]
    missing = [name for name in PATIENTS if name not in given]
    count = f"{len(given) - len(wrong)} of 10 are right."
    if wrong:
        return f"{count} Look again at {wrong[0]}: {WHERE_TO_LOOK[wrong[0]]}"
    if missing:
        return f"{count} None of yours is wrong; {missing[0]} is still waiting."
    return None


def _plain(fault):
    """Return what is said in small letters, without what stands around it; "" for a gap."""
    if fault is None or fault is ...:
        return ""
    return fault.strip(" .…").lower() if isinstance(fault, str) else str(fault)


def _all(fault):
    return dict.fromkeys(PATIENTS, fault)


DIAGNOSES = Exercise(
    id="17-diagnoses",
    task="Say of each of the ten patients what is wrong with it.",
    reference=my_diagnoses,
    judge=judge_diagnoses,
    mistakes=[
        Mistake(
            "everybody is healthy",
            lambda: _all(HEALTHY),
            "2 of 10 are right, and eight owners are disappointed. Look at the first losses: who "
            "is far below the dashed line within twenty steps?",
        ),
        Mistake(
            "everybody has a wrong rate",
            lambda: _all("learning rate"),
            "1 of 10 is right. It is the most frequent guess, and of the ten it fits one.",
        ),
        Mistake(
            "an odd figure taken for a fault",
            lambda: (
                my_diagnoses() | {"patient B": "forget bias -3", "patient G": "bad initialisation"}
            ),
            "8 of 10 are right. Two of them have a figure out of range, and learn: is that a "
            "fault?",
        ),
        Mistake(
            "the two that vanish in depth changed",
            lambda: (
                my_diagnoses() | {"patient C": "bad initialisation", "patient J": "sigmoid depth"}
            ),
            "8 of 10 are right. Two gradients fall alike in depth; look at the units of both.",
        ),
    ],
    hints=(
        "Begin with the first losses: two are far below the line within twenty steps, and well. A "
        "third gets below it slowly, and not far.",
        "One look tells A, D, F and H apart from the rest: inputs, masks, time steps, Batch Norm.",
        "C, I and J all lose their gradient: C has sigmoids, I has gates, J has neither. E's "
        "arrives. (The solution is a dict: what follows `return` goes behind `DIAGNOSES =`.)",
    ),
    afterword="The envelopes are opened below.",
)


def my_prescriptions():
    """Return one treatment for every patient; those who are well get nothing."""
    return {
        "patient A": "scale the inputs",
        "patient B": "nothing",
        "patient C": "ReLU instead of sigmoid",
        "patient D": "mask only the padding",
        "patient E": "learning rate / 100",
        "patient F": "clip the global norm",
        "patient G": "nothing",
        "patient H": "Batch Norm that learns its statistics",
        "patient I": "forget bias +3",
        "patient J": "He or Glorot initialisation",
    }


def judge_prescriptions(given):
    """Say who has not recovered; by what was measured, else by the first cure on the list."""
    measured = getattr(given, "recovered", {})
    cures = my_prescriptions()
    recovered = {
        name: measured.get(name, float(treatment == cures[name]))
        for name, treatment in dict(given).items()
        if name in cures and _plain(treatment)
    }
    strange = [name for name in given if name not in cures]
    if strange:
        return f"{strange[0]!r} is no patient; their names are 'patient A' to 'patient J'."
    if not recovered:
        return "Nobody has got anything yet."
    ill = [name for name, share in recovered.items() if share < CURED]
    count = f"{len(recovered) - len(ill)} of {len(recovered)} are well."
    if ill:
        share = recovered[ill[0]]
        return f"{count} With “{given[ill[0]]}” {ill[0]} has come {share:.2f} of the way."
    waiting = [name for name in SICK if name not in recovered]
    return f"{count} The next one, {waiting[0]}, is still waiting." if waiting else None


PRESCRIPTIONS = Exercise(
    id="17-prescriptions",
    task="Prescribe one treatment for every patient that is ill.",
    reference=my_prescriptions,
    judge=judge_prescriptions,
    mistakes=[
        Mistake(
            "nothing for anybody",
            lambda: _all("nothing"),
            "2 of 10 are well: those who were well before. The others have been trained as they "
            "are, and have learnt nothing.",
        ),
        Mistake(
            "clipping for everybody",
            lambda: _all("clip the global norm"),
            "Clipping helps where a gradient is too large. One patient in ten has that; for a "
            "gradient that does not arrive there is nothing to clip.",
        ),
        Mistake(
            "more layers for everybody",
            lambda: _all("more layers"),
            "A network that cannot learn is now a larger network that cannot learn.",
        ),
    ],
    hints=(
        "Name the fault first; most treatments say in their name which fault they take away.",
        "The two who are healthy get “nothing”. Several patients have more than one cure.",
        "A: its inputs. D: its mask. E: its rate. F: clipping. I: the forget bias, the larger "
        "dose. C, H and J: a skip connection, or Batch Norm that learns. (The solution is a dict: "
        "what follows `return` goes behind `PRESCRIPTIONS =`.)",
    ),
    afterword="Eight cures, each of one change.",
)


def recovered(score, trivial, twin):
    """Return how far a patient has come: 0 at the trivial answer or below, 1 at its twin."""
    return np.clip((score - trivial) / (twin - trivial), 0, 1)


def scores(rng):
    """Return three or more scores, one below the trivial answer and one above the twin."""
    trivial, twin = rng.uniform(0.05, 0.3), rng.uniform(0.8, 0.95)
    middle = rng.uniform(trivial, twin, int(rng.integers(2, 5)))
    return np.array([trivial - 0.03, *middle, twin + 0.03]), trivial, twin


RECOVERED = Exercise(
    id="17-recovered",
    task="Score a treatment between the trivial answer and the healthy twin.",
    reference=recovered,
    inputs=scores,
    mistakes=[
        Mistake(
            "the share of the twin's score",
            lambda score, trivial, twin: np.clip(score / twin, 0, 1),
            "This gives marks for guessing: always the same answer would get more than 0.",
        ),
        Mistake(
            "not cut off",
            lambda score, trivial, twin: (score - trivial) / (twin - trivial),
            "Below the trivial answer yours is negative, above the twin more than 1; 0 and 1 are "
            "the ends.",
        ),
        Mistake(
            "from 0 to the twin",
            lambda score, trivial, twin: np.clip((score - trivial) / twin, 0, 1),
            "The way begins at the trivial answer, so it is twin − trivial long.",
        ),
    ],
    hints=(
        "What is the length of the whole way, and how much of it lies behind?",
        "(score − trivial) / (twin − trivial); then cut it off at both ends.",
        "np.clip((score - trivial) / (twin - trivial), 0, 1)",
    ),
    afterword="It is `Recovery.recovered` in course_lib; cured is who reaches 0.8.",
)


def my_verdict():
    """Return "harm": a ratio is no illness by itself."""
    return "harm"


RATIO = Exercise(
    id="17-ratio",
    task="What has to be shown before a ratio of gradients is called a fault?",
    reference=my_verdict,
    options=("harm", "size", "steps", "nothing"),
    mistakes=[
        Mistake(
            "size",
            "size",
            "Then patient B would be ill: about a thousandth arrives at its first step before it "
            "is trained, and it is right in 99 of 100 cases afterwards.",
        ),
        Mistake(
            "steps",
            "steps",
            "A default LSTM over 200 steps passes less than any limit one could set, and learns "
            "what is near.",
        ),
        Mistake(
            "nothing",
            "nothing",
            "Then it is never one, and C, I and J stay ill. There is something that tells them "
            "from B.",
        ),
    ],
    hints=(
        "Patient B and patient I have the same kind of picture over time.",
        "What do their first losses do?",
        '"harm"',
    ),
    afterword="Then a cure that takes away the suspect and nothing else speaks for it. And not to "
    "learn is one harm of several: patient D's loss falls, and its data are hidden all the same.",
)

EXERCISES = [DIAGNOSES, PRESCRIPTIONS, RECOVERED, RATIO]
