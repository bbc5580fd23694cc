"""What is the matter with this network? Figures out of range, and evidence that they do harm.

>>> from course_lib.models import gradient_flow
>>> diagnosis = gradient_flow.diagnose(model, x, y)
>>> print(diagnosis)

A ratio of gradients alone is no illness: a default LSTM of 64 units over 200 steps passes 1e-15 of
its gradient to the first step, and trains. So a figure out of range is a *note*. It is a *fault*
only with evidence of harm: in a short trial on a few samples the loss does not get below that of
the best constant answer, and falls no more, or once stood at three times where it began; or most
units of a layer are dead or saturated, or all
are alike; or numbers are not finite. Where a cure can be tried, it is: another learning rate,
inputs or targets brought to scale, every step of a sequence read, Batch Norm by the batch, no
regularisation. The fault is the one whose cure works.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.checks import instance, positive_int, positive_number
from course_lib.models.batches import Batch, build_on, check_batch, has_fixed_batch
from course_lib.models.examination import Examination, examine
from course_lib.models.findings import KINDS, SEVERITIES, Diagnosis, Finding, course_of
from course_lib.models.objectives import FlowError, counted, objective_of
from course_lib.models.suspects import BOUNDS, suspects
from course_lib.models.trial_room import TrialRoom

__all__ = ["BOUNDS", "KINDS", "Diagnosis", "Finding", "diagnose"]


def diagnose(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    samples: int = 64,
    steps: int = 150,
    seconds: float = 20.0,
) -> Diagnosis:
    """Look for what keeps a Keras model from learning.

    Measured are the gradient by layer and by time step, dead and saturated units and gates, the
    scale of the inputs, what masks hide, what Batch Norm normalises by in training and in use,
    whether all numbers are finite (gradients too), whether samples, targets and the units of a
    layer differ at all, and which layers no gradient reaches. Then the model is trained for a
    moment on the same few samples with a copy of its optimiser: a network that can learn gets below
    the loss of the best constant answer. If it does not, the cures that can be tried are: other
    learning rates, inputs or targets brought to scale, no masks, Batch Norm by the batch, no
    regularisation. The model is the same afterwards, bit for bit, its optimiser and its seeds too.

    Parameters
    ----------
    model : keras.Model
        Functional, Sequential or subclassed. One that is not compiled, or has an optimiser that
        cannot be made anew from its ``get_config``, is tried with Adam at 0.001, and nothing is
        said about learning rates.
    x, y : arrays, or lists or dicts of arrays
        As for ``model.fit``: a batch, or all of the training set.
    loss : str, keras.losses.Loss or function of (y_true, y_pred), optional
        For a model that is not compiled, or instead of its own loss.
    samples : int
        Samples that are looked at, taken evenly from `x`, of each class some where `y` numbers
        classes; all of them if there are fewer.
    steps : int
        Steps of a trial at most; it ends when the loss is clearly below the best constant answer's.
        A loss that is still falling then shows no harm, and only a cure that works shows a fault.
    seconds : float
        After which a single trial is cut short; one that had not learnt by then shows no harm.
        TensorFlow builds the trial's graph before, which is not counted and is most of the waiting
        in a deep network: some half a minute at 100 layers.

    Returns
    -------
    Diagnosis
        ``.healthy`` (no fault), ``.findings``, and all that was measured.

    Raises
    ------
    TypeError, ValueError, FlowError (a ValueError)
        When an argument does not fit, in one sentence.

    Notes
    -----
    What it does not see: a network that learns its few samples by heart but not what the task is
    about (too far back in time, overfitting), wrong labels, a ``train_step`` of the reader's own
    (in place of which the loss alone is tried, and the summary says so).
    """
    start = time.perf_counter()
    instance("model", model, keras.Model, "a Keras model, such as `keras.Sequential([...])`")
    samples = positive_int("samples", samples, minimum=2)
    steps = positive_int("steps", steps, minimum=30)
    seconds = positive_number("seconds", seconds)
    x, y = _evenly(model, check_batch(model, x, y), samples)
    batch = check_batch(model, x, y)
    objective_of(model, loss, batch)  # refuses a wrong loss before anything runs
    build_on(model, batch)
    if not model.trainable_weights:
        raise FlowError(f"`model` ({model.name}) has no trainable weights; it takes one to train.")
    examination = examine(model, batch, x, y, loss)
    room = TrialRoom(model, batch, loss, steps, seconds)
    findings = [] if examination.not_finite else [*_judge(examination, room)]
    findings = [
        *_non_finite(examination),
        *_constant_targets(examination, room),
        *findings,
    ]
    order = sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
    return Diagnosis(
        model=model.name,
        findings=order,
        flow=examination.flow,
        time_flows=examination.time_flows,
        trial=room.done.get(""),
        cures={name: trial for name, trial in room.done.items() if name},
        examination=examination,
        samples=room.samples,
        seconds=time.perf_counter() - start,
        remarks=tuple(room.remarks) if room.done else (),
    )


def _evenly(model: keras.Model, batch: Batch, samples: int) -> tuple[Any, Any]:
    """Return so many samples, evenly from the whole; all where the model's batch size is fixed."""
    size = int(keras.tree.flatten(batch.x)[0].shape[0])
    if size <= samples or has_fixed_batch(model):
        return batch.x, batch.y
    rows = _with_every_class(_spread(np.arange(size), samples), batch.y)
    chosen_x, chosen_y = (
        None if part is None else keras.tree.map_structure(lambda one: tf.gather(one, rows), part)
        for part in (batch.x, batch.y)
    )
    return chosen_x, chosen_y


def _with_every_class(rows: np.ndarray, y: Any) -> np.ndarray:
    """Return as many rows, with at least a quarter of its even share of every class.

    Only where `y` holds one whole number a sample, and far fewer classes than rows: a class of one
    in a hundred would be missing among 64.
    """
    labels = np.asarray(y).reshape(-1) if isinstance(y, tf.Tensor) else np.empty(0)
    if labels.dtype.kind not in "biuf" or len(labels) != len(y) or (labels % 1).any():
        return rows
    classes = np.unique(labels)
    if len(classes) > len(rows) // 4:
        return rows
    share = len(rows) // (4 * len(classes))
    for one in classes:
        of_class = np.flatnonzero(labels == one)
        wanted = min(share, len(of_class))
        missing = wanted - int(np.count_nonzero(labels[rows] == one))
        if missing > 0:
            values, counts = np.unique(labels[rows], return_counts=True)
            crowd = rows[labels[rows] == values[counts.argmax()]]
            others = rows[(labels[rows] != one) & (labels[rows] != values[counts.argmax()])]
            kept = [_spread(crowd, len(crowd) - missing), others, _spread(of_class, wanted)]
            rows = np.sort(np.concatenate(kept))
    return rows


def _spread(rows: np.ndarray, count: int) -> np.ndarray:
    """Return so many of the rows, evenly."""
    return rows[np.linspace(0, len(rows) - 1, count).astype(int)]


# --------------------------------------------------------------------------------- the judgement


def _judge(seen: Examination, room: TrialRoom) -> Iterator[Finding]:
    """Yield the findings; the first figure that explains the harm is the fault."""
    trial = room.own()
    learns = trial.outcome in ("learns", "unfinished", "falls")  # or nothing speaks against it
    found = False
    named: set[tuple[str, str]] = set()
    for suspect in suspects(seen, room):
        if (suspect.kind, suspect.where) in named:
            continue
        named.add((suspect.kind, suspect.where))
        is_harm = not learns or suspect.harmful or (trial.outcome == "falls" and suspect.has_cure)
        proof = suspect.convicts() if is_harm and not found else ""
        if proof:
            found = True
            mild = "note" if learns else "warning"
            severity = mild if suspect.is_mild else "fault"
            yield suspect.finding(severity, proof if proof != "yes" else "")
        elif not suspect.needs_proof:
            may_follow = "This may follow from what was found before." if found else ""
            yield suspect.finding("note" if learns else "warning", may_follow)
    if not found and not learns:
        figures = {"loss before": trial.first, "loss after": trial.last}
        sentence = course_of(trial, room.samples)
        yield Finding("no progress", "warning", "the whole network", sentence, figures)


def _constant_targets(seen: Examination, room: TrialRoom) -> Iterator[Finding]:
    """Yield the finding that the trial showed nothing: any bias learns one answer."""
    if not seen.target_varies:
        yield Finding(
            "constant targets",
            "warning",
            "the targets",
            f"Every target of the {counted(room.samples, 'sample')} is the same: the last bias "
            "alone learns it, so the trial says nothing of the rest.",
            {"samples": float(room.samples)},
        )


def _non_finite(seen: Examination) -> Iterator[Finding]:
    """Yield the one finding that comes before all others: numbers that are none."""
    if not seen.not_finite:
        return
    name, count = next(iter(seen.not_finite.items()))
    more = len(seen.not_finite) - 1
    rest = f", and {counted(more, 'place')} after it" if more else ""
    kind = seen.runaway or "non-finite numbers"
    grown = f" They had grown to {seen.largest:.1e} before." if seen.runaway else ""
    yield Finding(
        kind,
        "fault",
        name,
        f"{counted(count, 'number')} of the {name} {'is' if count == 1 else 'are'} NaN or "
        f"infinite{rest}.{grown}",
        {"numbers that are not finite": float(count), "largest finite number": seen.largest},
    )
