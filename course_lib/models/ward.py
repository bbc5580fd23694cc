"""The ward of chapter 17: ten networks, eight of them with one fault each, and their treatment.

Every patient is built from a plan, and every treatment changes one thing in that plan. The treated
network learns the same task for as many steps, from the same seed, and is scored on samples that
neither it nor the untreated one has seen.

>>> from course_lib.models.ward import WARD, treat
>>> print(WARD["patient C"].story)
>>> print(treat("patient C", "more units", seed=1))

The record `matrix` has every treatment of every patient, with eight seeds that no patient was
chosen by, but for patient I, whose task was made harder after a look at the first four of them.
Cured is who recovers 0.8 or more of the way from the trivial answer to the healthy twin. Of who is
ill, all treatments are named that cured at least once; the others never did. Diagnosed is who was
found to have that fault and no other, or, of who is well, none. The mean scores are shares of fresh
samples.

patient    diagnosed  untreated  twin  cured by
patient A    8 of 8        10%   89%  scale the inputs 8 of 8
patient B    8 of 8        99%   99%  well; stays so, but for: learning rate / 100 0 of 8,
                                      learning rate x 100 0 of 8
patient C    8 of 8        10%   89%  ReLU instead of sigmoid 8 of 8, skip connections 8 of 8,
                                      Batch Norm that learns its statistics 8 of 8
patient D    8 of 8        25%  100%  mask only the padding 8 of 8
patient E    8 of 8         9%   91%  learning rate / 100 8 of 8
patient F    7 of 8         0%   95%  clip the global norm 8 of 8
patient G    8 of 8        92%   92%  well; stays so, but for: learning rate / 100 0 of 8,
                                      learning rate x 100 0 of 8
patient H    8 of 8        10%   92%  skip connections 8 of 8, Batch Norm that learns its
                                      statistics 8 of 8
patient I    6 of 8        25%   97%  forget bias +1 3 of 8, forget bias +3 8 of 8, more units 1
                                      of 8
patient J    8 of 8        10%   90%  He or Glorot initialisation 8 of 8, skip connections 8 of 8,
                                      Batch Norm that learns its statistics 8 of 8
"""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.checks import instance, positive_int
from course_lib.models.diagnosis import diagnose
from course_lib.models.training import begin_anew, recorded
from course_lib.models.treatments import TREATMENTS, Plan, network
from course_lib.models.ward_patients import WARD, Patient

__all__ = [
    "CURED",
    "NOTHING",
    "TREATMENTS",
    "WARD",
    "Patient",
    "Recovery",
    "as_text",
    "examine",
    "matrix",
    "rates",
    "treat",
]

BATCH = 32
NOTHING = "nothing"  # what the healthy are prescribed
CURED = 0.8  # of the way from the trivial answer to the healthy twin
CONFIG = {"seeds": list(range(11, 19))}

Array = np.ndarray


# ---------------------------------------------------------------------------------- the treatment


@dataclass(frozen=True)
class Recovery:
    """How a patient does after a treatment.

    Attributes
    ----------
    patient, treatment : str
    seed : int
    applies : bool
        Whether the treatment changes anything in this network; if not, all figures are those of
        the untreated one.
    remark : str
        Why it does not apply, "" where it does.
    loss_before, loss_after : float
        Of the first batch, and mean of the last tenth of the steps; infinite or NaN where it grew
        out of bounds.
    score : float
        Share of fresh samples that get their label; an answer that is no number is none.
    untreated, twin, trivial : float
        The score, on the same samples, of the untreated network, of the healthy twin (the fault
        itself taken away), and of always the same answer.
    batch, steps : int
        Samples of a step, and steps.
    seconds : float
        That all of it took.
    """

    patient: str
    treatment: str
    seed: int
    applies: bool
    remark: str
    loss_before: float
    loss_after: float
    score: float
    untreated: float
    twin: float
    trivial: float
    batch: int
    steps: int
    seconds: float

    @property
    def recovered(self) -> float:
        """From 0, the trivial answer or worse, to 1, the healthy twin or better."""
        share = (self.score - self.trivial) / (self.twin - self.trivial)
        return float(np.clip(share, 0, 1))

    @property
    def cured(self) -> bool:
        """Whether it applies, and is most of the way there: `CURED`."""
        return self.applies and self.recovered >= CURED

    def __str__(self) -> str:
        if not self.applies:
            return f"{self.patient}: {self.treatment} does not apply. {self.remark}"
        return (
            f"{self.patient}, {self.treatment}: {self.score:.0%} of fresh samples are right, "
            f"{self.untreated:.0%} without it, {self.twin:.0%} for the healthy twin and "
            f"{self.trivial:.0%} for always the same answer. Recovered: {self.recovered:.2f}."
        )


def treat(patient: str | Patient, treatment: str, seed: int = 1) -> Recovery:
    """Change one thing in a patient, train it anew, and score it on fresh samples.

    The first call for a patient also trains the untreated network and the healthy twin, by the
    same seed; their scores are kept.

    Parameters
    ----------
    patient : str or Patient
        A name in `WARD`, or one of its patients.
    treatment : str
        A name in `TREATMENTS`, or "nothing": the untreated network, which is not trained twice.
    seed : int
        For the weights, the order of the samples and, of sequences, the samples themselves.

    Returns
    -------
    Recovery

    Raises
    ------
    TypeError, ValueError, KeyError
        For an unknown patient or treatment, with the names that there are, and a wrong seed.
    """
    start = time.perf_counter()
    if isinstance(patient, str):
        patient = WARD[patient]
    instance("patient", patient, Patient, "a name such as 'patient A', or a patient of `WARD`")
    seed = positive_int("seed", seed, minimum=0)
    plan = patient.plan
    changed = plan if treatment == NOTHING else TREATMENTS[treatment].change(plan)
    applies = isinstance(changed, Plan)
    untreated = _trained(patient.name, plan, seed)
    twin = _trained(patient.name, patient.twin, seed)
    treated = _trained(patient.name, changed, seed) if isinstance(changed, Plan) else untreated
    return Recovery(
        patient=patient.name,
        treatment=treatment,
        seed=seed,
        applies=applies,
        remark="" if isinstance(changed, Plan) else changed,
        loss_before=treated.loss_before,
        loss_after=treated.loss_after,
        score=treated.score,
        untreated=untreated.score,
        twin=twin.score,
        trivial=patient.samples(seed).trivial,
        batch=BATCH,
        steps=patient.steps,
        seconds=time.perf_counter() - start,
    )


@dataclass(frozen=True)
class _Outcome:
    loss_before: float
    loss_after: float
    score: float


@lru_cache(maxsize=256)
def _trained(name: str, plan: Plan, seed: int) -> _Outcome:
    patient = WARD[name]
    samples = patient.samples(seed)
    if plan.scaled:
        samples = samples.scaled()
    training = _training(plan.graph, samples.shape, samples.classes)
    training.begin(network(plan, samples.shape, samples.classes, seed))
    rng = np.random.default_rng([seed, 0])
    losses = training.learn(samples.x, samples.y, _rows(rng, len(samples.x), patient.steps))
    return _Outcome(
        loss_before=float(losses[0]),
        loss_after=float(np.mean(losses[-max(1, len(losses) // 10) :])),
        score=training.score(samples.x_new, samples.y_new),
    )


def _rows(rng: np.random.Generator, size: int, steps: int) -> Array:
    """Return the rows of every batch, shape (steps, BATCH): all samples in turn, newly mixed."""
    rounds = -(-steps * BATCH // size)
    order = np.concatenate([rng.permutation(size) for _ in range(rounds)])
    return order[: steps * BATCH].reshape(steps, BATCH)


@lru_cache(maxsize=12)
def _training(graph: Plan, shape: tuple[int, ...], classes: int) -> _Training:
    return _Training(network(graph, shape, classes, seed=0))


class _Training:
    """All steps of a training in one TensorFlow graph, for every network of the same graph."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        model.optimizer.build(model.trainable_variables)
        x = tf.TensorSpec((None, *model.inputs[0].shape[1:]), model.inputs[0].dtype)
        y, rows = tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None, BATCH), tf.int64)
        self._learn = tf.function(self._steps).get_concrete_function(x, y, rows)
        self._answer = tf.function(self._outputs).get_concrete_function(x)

    def begin(self, newborn: keras.Model) -> None:
        """Take over every number of a network of the same graph, and of its optimiser."""
        begin_anew(self.model, self.model.optimizer, newborn, newborn.optimizer)

    def learn(self, x: Array, y: Array, rows: Array) -> Array:
        """Return the loss of every step's batch, before the step."""
        return np.asarray(self._learn(self._inputs(x), tf.constant(y), tf.constant(rows)))

    def score(self, x: Array, y: Array) -> float:
        """Return the share of labels that are right."""
        outputs = np.asarray(self._answer(self._inputs(x)))
        is_number = np.isfinite(outputs).all(axis=1)
        return float(np.mean((outputs.argmax(axis=1) == y) & is_number))

    def _inputs(self, x: Array) -> tf.Tensor:
        return tf.cast(x, self.model.inputs[0].dtype)

    def _outputs(self, x: tf.Tensor) -> tf.Tensor:
        return self.model(x, training=False)

    def _steps(self, x: tf.Tensor, y: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
        model, weights = self.model, self.model.trainable_variables
        count = tf.shape(rows)[0]
        losses = tf.TensorArray(tf.float32, size=count)
        for step in tf.range(count):
            batch_x, batch_y = tf.gather(x, rows[step]), tf.gather(y, rows[step])
            with tf.GradientTape() as tape:
                loss = model.loss(batch_y, model(batch_x, training=True))
            model.optimizer.apply(tape.gradient(loss, weights), weights)
            losses = losses.write(step, loss)
        return losses.stack()


# ------------------------------------------------------------------------------------- the record


def examine(seeds: list[int]) -> dict[str, Any]:
    """Treat every patient with every treatment and seed, and diagnose it; what `matrix` records.

    Parameters
    ----------
    seeds : list of int
        Each of them for every patient: its treatments, and its diagnosis.

    Returns
    -------
    dict
        ``"recovered"``, by patient and treatment: one share a seed, none where the treatment does
        not apply; ``"score"``, by patient: that of "untreated", "twin" and "trivial", one a seed;
        ``"found"``, by patient: the kinds of the faults that `diagnose` found, one list a seed;
        ``"seconds"``, the median of a treatment with its two companions.
    """
    parts = {name: _examined(name, seeds) for name in WARD}
    by_result = {
        key: {name: part[key] for name, part in parts.items()}
        for key in ("recovered", "score", "found")
    }
    seconds = [second for part in parts.values() for second in part["seconds"]]
    return {**by_result, "seconds": float(np.median(seconds))}


def _examined(name: str, seeds: list[int]) -> dict[str, Any]:
    rows = {treatment: [treat(name, treatment, seed) for seed in seeds] for treatment in TREATMENTS}
    every = rows["more units"]  # which applies to all
    faults = [diagnose(*WARD[name].build(seed), seconds=600.0).faults for seed in seeds]
    return {
        "recovered": {
            treatment: [recovery.recovered for recovery in row if recovery.applies]
            for treatment, row in rows.items()
        },
        "score": {
            kind: [getattr(recovery, kind) for recovery in every]
            for kind in ("untreated", "twin", "trivial")
        },
        "found": [[finding.kind for finding in found] for found in faults],
        "seconds": [recovery.seconds for row in rows.values() for recovery in row],
    }


def matrix() -> dict[str, Any]:
    """Return the recorded result of `examine`, see above for its seeds.

    It is recorded in ``data/results/17-ward.json``; ``python -m course_lib.models.ward`` makes it
    again, in some ten minutes of a quiet computer.
    """
    return recorded("17-ward", examine, CONFIG)


def rates(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return how often each patient was cured, by what; one row for each.

    Parameters
    ----------
    results : dict
        As `examine` returns.

    Returns
    -------
    list of dict
        ``"patient"``; ``"diagnosed"`` and ``"diagnoses"``: how often that fault and no other was
        found, of how many; ``"untreated"``, ``"twin"``: their mean scores; ``"seeds"``; and
        ``"cured"``: how many seeds recovered (see `CURED`), by the treatments that apply.
    """
    rows = []
    for name, patient in WARD.items():
        right = [] if patient.finding is None else [patient.finding]
        found, score = results["found"][name], results["score"][name]
        recovered = results["recovered"][name]
        rows.append(
            {
                "patient": name,
                "diagnosed": sum(list(kinds) == right for kinds in found),
                "diagnoses": len(found),
                "untreated": float(np.mean(score["untreated"])),
                "twin": float(np.mean(score["twin"])),
                "seeds": len(score["twin"]),
                "cured": {
                    treatment: int(np.sum(np.asarray(shares) >= CURED))
                    for treatment, shares in recovered.items()
                    if len(shares)
                },
            }
        )
    return rows


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return `rates` as a table in plain text.

    Of a patient that is ill it names every treatment that cured it at least once, of one that is
    well every treatment that did not leave it so each time.
    """
    lines = ["patient    diagnosed  untreated  twin  cured by"]
    for row in rows:
        well, seeds = WARD[row["patient"]].healthy, row["seeds"]
        named = [
            f"{treatment} {count} of {seeds}"
            for treatment, count in row["cured"].items()
            if (count < seeds if well else count > 0)
        ]
        start = (
            f"{row['patient']}  {row['diagnosed']:>3} of {row['diagnoses']}"
            f"{row['untreated']:>11.0%}{row['twin']:>6.0%}  "
        )
        text = ("well; stays so, but for: " if well else "") + ", ".join(named)
        lines += textwrap.wrap(text, 98, initial_indent=start, subsequent_indent=" " * len(start))
    return "\n".join(lines)


if __name__ == "__main__":
    from course_lib.models import ward  # the very module that others import, not a second one

    print(ward.as_text(ward.rates(recorded("17-ward", ward.examine, CONFIG, recompute=True))))
