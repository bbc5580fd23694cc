"""What is the matter with this network? Figures out of range, and evidence that they do harm.

>>> from course_lib.models import gradient_flow
>>> diagnosis = gradient_flow.diagnose(model, x, y)
>>> print(diagnosis)

A ratio of gradients alone is no illness: a default LSTM of 64 units over 200 steps passes 1e-15 of
its gradient to the first step, and trains. So a figure out of range is a *note*. It is a *fault*
only with evidence of harm: in a short trial on a few samples the loss does not get below that of
the best constant answer, and falls no more; or most units of a layer are dead or saturated; or
numbers are not finite. Where a cure can be tried, it is: another learning rate, inputs brought to
scale, every step of a sequence read, Batch Norm by the batch. The fault is the one whose cure
works.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.checks import instance, positive_int, positive_number
from course_lib.models.batch_norms import Statistics, normalized_by_batch
from course_lib.models.batches import Batch, check_batch
from course_lib.models.examination import Examination, examine
from course_lib.models.findings import KINDS, SEVERITIES, Diagnosis, Finding, course_of
from course_lib.models.layer_flow import geometric_mean
from course_lib.models.masks import Hidden, without_masks
from course_lib.models.objectives import FlowError, counted, in_one_sentence, objective_of
from course_lib.models.recording import unchanged
from course_lib.models.trial import CONSTANT, Trial, Trials, can_be_made_anew, constant_loss
from course_lib.models.units import FLAT

__all__ = ["BOUNDS", "KINDS", "Diagnosis", "Finding", "diagnose"]

# A figure beyond its bound is out of range. The bounds were set on those patients of `clinic` that
# are not held out, and confirmed on the others: see `clinic.confusion`.
BOUNDS = {
    "vanishing": 1e-3,  # rms of the gradient at the far end / at the near one
    "exploding": 1e2,
    "dead": 0.9,  # share of a layer's units
    "saturated": 0.9,  # share of a layer's entries
    "many": 0.5,  # dead or saturated: worth a note
    "large": 20.0,  # rms of what enters the first matrix
    "small": 1e-3,  # its largest entry
    "offset": 10.0,  # |mean| / standard deviation
    "spread": 100.0,  # standard deviation of the widest column / of the median one
    "leap": 0.3,  # ‖ΔW‖ / ‖W‖ of one step
    "stride": 0.02,  # a network that stalls is also tried at lower rates from here on
    "slow": 1e-3,  # and at higher ones up to here
    "creep": 1e-5,
    "constant": CONSTANT,  # how far outputs differ between samples
    "blind": 0.5,  # share of samples that a mask hides altogether
    "company": 0.1,  # by how much an answer in use may depend on the samples beside it
    "off centre": 3.0,  # |mean| of what a frozen Batch Norm puts out, before its scale
    "out of shape": 10.0,  # its standard deviation, or 1 / it
}
FEWEST = 8  # samples: of fewer, many a unit of a healthy layer is 0 for each
FLOAT32 = 1e-6  # outputs that differ by less than this are the same
MILLIONTH = 1e-6  # what a rate of 0 is raised from
LOWER, HIGHER = (0.1, 0.01, 0.001), (30.0, 1e3, 3e4, 1e6)  # learning rates that are tried instead


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
    whether all numbers are finite (gradients too), whether samples and targets differ at all, and
    which layers no gradient reaches. Then the model is trained for a moment on the same few samples
    with a copy of its optimiser: a network that can learn gets below the loss of the best constant
    answer. If it does not, the cures that can be tried are: other learning rates, inputs brought
    to scale, no masks, Batch Norm by the batch. The model is the same afterwards, bit for bit, its
    optimiser and its seeds too.

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
    if not model.built:
        with in_one_sentence(f"the model cannot be run on `x`, of shape {batch.x_shapes}"):
            model(batch.x)
    if not model.trainable_weights:
        raise FlowError(f"`model` ({model.name}) has no trainable weights; it takes one to train.")
    examination = examine(model, batch, x, y, loss)
    room = _TrialRoom(model, batch, loss, steps, seconds)
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
    inputs = getattr(model, "inputs", None) or []
    if size <= samples or any(tensor.shape[0] is not None for tensor in inputs):
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


class _TrialRoom:
    """The trials of one model, each made when it is first asked for."""

    def __init__(
        self, model: keras.Model, batch: Batch, loss: Any, steps: int, seconds: float
    ) -> None:
        self.model, self.batch, self.loss = model, batch, loss
        self.steps, self.seconds = steps, seconds
        self.remarks: list[str] = []
        if type(model).train_step is not keras.Model.train_step:
            self.remarks.append(
                "It was trained here by its loss alone, not by the `train_step` of "
                f"{type(model).__name__}."
            )
        self.optimizer = getattr(model, "optimizer", None)
        if self.optimizer is not None and not can_be_made_anew(self.optimizer):
            self.remarks.append(
                f"The trial had Adam at 0.001, for {type(self.optimizer).__name__} cannot be made "
                "anew from its `get_config`; nothing is said of its learning rate."
            )
            self.optimizer = None
        self.samples = int(keras.tree.flatten(batch.x)[0].shape[0])
        if self.samples < FEWEST:
            self.remarks.append(f"{counted(self.samples, 'sample')} cannot show much; pass more.")
        self.done: dict[str, Trial] = {}
        self._trials: Trials | None = None

    def own(self) -> Trial:
        """Return the trial with nothing changed."""
        return self._run("")

    def at_rate(self, factor: float) -> Trial:
        """Return the trial at so many times the learning rate; of 0, at so many millionths."""
        own = self.own().learning_rate
        rate = factor * (own or MILLIONTH)
        name = f"{factor:g} times the learning rate" if own else f"a learning rate of {rate:g}"
        return self._run(name, rate=rate)

    def to_scale(self) -> Trial:
        """Return the trial with every column of the input at mean 0 and standard deviation 1."""
        return self._run(
            "inputs brought to scale", x=keras.tree.map_structure(_standardized, self.batch.x)
        )

    def without_masks(self) -> Trial:
        """Return the trial with every step of a sequence read."""
        return self._with("every step read", without_masks)

    def normalized_by_batch(self) -> Trial:
        """Return the trial with every Batch Norm normalising by the batch."""
        return self._with("Batch Norm by the batch", normalized_by_batch)

    def _run(self, name: str, **changes: Any) -> Trial:
        if name not in self.done:
            if self._trials is None:
                self._trials = self._made()
            self.done[name] = self._trials.run(**changes)
        return self.done[name]

    def _with(
        self, name: str, change: Callable[[keras.Model], AbstractContextManager[None]]
    ) -> Trial:
        """Return a trial of the model with some of its calls changed: it needs a graph anew."""
        if name not in self.done:
            with change(self.model):
                self.done[name] = self._made().run()
        return self.done[name]

    def _made(self) -> Trials:
        objective = objective_of(self.model, self.loss, self.batch)
        with unchanged(self.model):
            outputs = self.model(self.batch.x)
            added = sum(float(keras.ops.sum(extra)) for extra in self.model.losses)
            baseline = constant_loss(objective, outputs, self.batch.y) - added
        return Trials(
            self.model,
            self.batch.x,
            objective,
            baseline=baseline,
            optimizer=self.optimizer or keras.optimizers.Adam(1e-3),
            steps=self.steps,
            seconds=self.seconds,
        )


def _standardized(x: tf.Tensor) -> tf.Tensor:
    if not x.dtype.is_floating:
        return x
    values = np.asarray(x, dtype=np.float64)
    axes = tuple(range(values.ndim - 1))
    mean, deviation = values.mean(axes, keepdims=True), values.std(axes, keepdims=True)
    deviation = np.where(deviation > 0, deviation, 1.0)  # a column that is always the same
    return tf.constant((values - mean) / deviation, x.dtype)


# --------------------------------------------------------------------------------- the judgement


@dataclass(frozen=True)
class _Suspect:
    """A figure out of range, and what would show that it is the cause.

    `harmful` says that it is a fault even where the loss falls; `convicts` is asked when there is
    harm, may make a trial of its own, and returns the proof in words. With `has_cure` this trial is
    the proof, and is made where the loss falls and the network has not learnt yet, too. With
    `is_mild` it explains the harm and is no fault: a network that is only slow. With `needs_proof`
    it is not mentioned without one.
    """

    kind: str
    where: str
    sentence: str
    evidence: dict[str, float]
    harmful: bool = False
    convicts: Callable[[], str] = lambda: "yes"
    needs_proof: bool = False
    has_cure: bool = False
    is_mild: bool = False

    def finding(self, severity: str, also: str = "") -> Finding:
        sentence = f"{self.sentence} {also}".strip()
        return Finding(self.kind, severity, self.where, sentence, self.evidence)


def _judge(seen: Examination, room: _TrialRoom) -> Iterator[Finding]:
    """Yield the findings; the first figure that explains the harm is the fault."""
    trial = room.own()
    learns = trial.outcome in ("learns", "unfinished", "falls")  # or nothing speaks against it
    suspects = [
        *_bad_gradient(seen, trial),
        *_constant_input(seen, room),
        *_scale(seen, trial, room),
        *_masks(seen, room),
        *_batch_norm(seen, room),
        *_dead(seen, room),
        *_saturated(seen),
        *_exploding(seen, trial),
        *_rate(seen, trial, room),
        *_blocked(seen, trial),
        *_vanishing(seen),
        *_constant(trial),
        *_cut_off(seen),
    ]
    found = False
    named: set[tuple[str, str]] = set()
    for suspect in suspects:
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


def _bad_gradient(seen: Examination, trial: Trial) -> Iterator[_Suspect]:
    bad = seen.bad_gradient
    if bad is None:
        return
    spoilt = trial.outcome == "diverges" and not np.isfinite(trial.last)
    before = f" The numbers had grown to {bad.largest:.1e} before." if "expl" in bad.kind else ""
    yield _Suspect(
        bad.kind,
        f"gradient through {bad.made_by}",
        f"{counted(bad.count, 'number')} of the gradient at {bad.where} "
        f"{'is' if bad.count == 1 else 'are'} NaN or infinite, though the loss is finite: it comes "
        f"through {bad.made_by}.{before}",
        {"numbers that are not finite": float(bad.count), "largest finite number": bad.largest},
        convicts=lambda: "In the trial the weights become so, too." if spoilt else "",
    )


def _constant_input(seen: Examination, room: _TrialRoom) -> Iterator[_Suspect]:
    if not seen.input_varies:
        yield _Suspect(
            "constant input",
            "the input of the model",
            f"All {counted(room.samples, 'sample')} are the same, so no answer can tell them "
            "apart.",
            {"samples": float(room.samples)},
            harmful=seen.target_varies,
        )
    elif seen.scales and not any(scale.varies for scale in seen.scales.values()):
        name = next(iter(seen.scales))
        yield _Suspect(
            "constant input",
            name,
            f"The samples differ, and what enters {name} is the same for all of them.",
            {"samples": float(room.samples)},
            convicts=lambda: "",
        )


def _scale(seen: Examination, trial: Trial, room: _TrialRoom) -> Iterator[_Suspect]:
    for name, scale in seen.scales.items():
        remarks = []
        if not scale.varies:
            continue
        if scale.rms > BOUNDS["large"]:
            remarks.append(f"its root mean square is {scale.rms:.3g}")
        if scale.largest < BOUNDS["small"]:
            remarks.append(f"its largest entry is {scale.largest:.2g}")
        if scale.spread > BOUNDS["spread"]:
            remarks.append(
                f"column {scale.column} varies {scale.spread:.3g} times as much as the median one"
            )
        elif scale.offset > BOUNDS["offset"]:
            remarks.append(f"its mean is {scale.offset:.3g} times its standard deviation")
        if not remarks:
            continue

        def cured() -> str:
            if trial.outcome == "learns":
                return "Its units are saturated or dead from it."
            if room.to_scale().outcome == "learns":
                return "With every column brought to mean 0 and standard deviation 1 it learns."
            return ""

        shares = (seen.saturated.get(name, 0), seen.dead.get(name, 0))
        yield _Suspect(
            "scale of the input",
            name,
            f"What enters {name} is out of scale: {', '.join(remarks)}.",
            {
                "rms": scale.rms,
                "largest entry": scale.largest,
                "mean / standard deviation": scale.offset,
                "widest column / median column": scale.spread,
            },
            harmful=max(shares) >= BOUNDS["dead"],
            convicts=cured,
            has_cure=True,
        )


def _masks(seen: Examination, room: _TrialRoom) -> Iterator[_Suspect]:
    for name, hidden in seen.masks.items():
        remarks = []
        if hidden.blind:
            remarks.append(f"of {hidden.blind:.0%} of the samples nothing is left")
        if hidden.data > 0:
            remarks.append(f"{hidden.data:.0%} of the masked steps are no padding")
        if hidden.inside:
            remarks.append(f"{hidden.inside:.0%} of them lie between two that are read")
        if remarks:
            yield _Suspect(
                "mask that hides data",
                name,
                f"The mask of {name} hides {hidden.steps:.0%} of the steps: {', '.join(remarks)}.",
                {
                    "masked steps": hidden.steps,
                    "of these, inside": hidden.inside,
                    "of these, no padding": hidden.data,
                    "samples of which nothing is left": hidden.blind,
                },
                harmful=hidden.inverted or hidden.blind >= BOUNDS["blind"],
                convicts=partial(_guilt_of_a_mask, hidden, room),
                has_cure=True,
            )


def _guilt_of_a_mask(hidden: Hidden, room: _TrialRoom) -> str:
    if hidden.inverted:
        return "What it lets through is the same at every step."
    if hidden.blind >= BOUNDS["blind"]:
        return "yes"
    cured = room.own().outcome != "learns" and room.without_masks().outcome == "learns"
    return "With every step read it learns." if cured else ""


def _batch_norm(seen: Examination, room: _TrialRoom) -> Iterator[_Suspect]:
    held = seen.held
    if held is not None:
        is_harmful = held.shift > BOUNDS["company"]
        yield _Suspect(
            "Batch Norm in the wrong mode",
            held.name,
            f"{held.name}{_and_others(held.count)} normalises by the batch with `training=False` "
            f"too: beside other samples, the answer to one changes by {held.shift:.0%} of its "
            "size.",
            {"change of an answer": held.shift},
            harmful=is_harmful,
            convicts=lambda: "yes" if is_harmful else "",
        )
    strange = {name: found for name, found in seen.statistics.items() if not _fits(found)}
    if strange:
        name, found = next(iter(strange.items()))

        def cured() -> str:
            learns = room.normalized_by_batch().outcome == "learns"
            return "When it normalises by the batch, the network learns." if learns else ""

        yield _Suspect(
            "Batch Norm in the wrong mode",
            name,
            f"{name}{_and_others(len(strange))} normalises by moving statistics that are not those "
            f"of the data, and does not learn them: what comes of it has means of "
            f"{found.offset:.2g} and a standard deviation of {found.spread:.2g}, not 0 and 1.",
            {"mean": found.offset, "standard deviation": found.spread},
            convicts=cured,
            has_cure=True,
        )


def _fits(found: Statistics) -> bool:
    bound = BOUNDS["out of shape"]
    return found.offset <= BOUNDS["off centre"] and 1 / bound <= found.spread <= bound


def _and_others(count: int) -> str:
    return f" (and {counted(count - 1, 'other')})" if count > 1 else ""


def _dead(seen: Examination, room: _TrialRoom) -> Iterator[_Suspect]:
    name, share = _highest(seen.dead)
    if share >= BOUNDS["many"] and room.samples >= FEWEST:
        harmful = share >= BOUNDS["dead"]
        yield _Suspect(
            "dead units",
            name,
            f"{share:.0%} of the units of {name} are 0 for every sample, so no gradient reaches "
            "their weights.",
            {"share of dead units": share},
            harmful=harmful,
            convicts=lambda: "yes" if harmful else "",
        )


def _saturated(seen: Examination) -> Iterator[_Suspect]:
    less = f"at less than {FLAT:.0%} of its largest slope"
    name, share = _highest(seen.saturated)
    if share >= BOUNDS["many"]:
        sentence = f"what {name} puts out lies where its activation is flat, {less}."
        harmful = share >= BOUNDS["saturated"]
        yield _flat("saturated units", name, share, sentence, harmful=harmful)
    name, share = _highest({name: of["state"] for name, of in seen.gates.items() if "state" in of})
    if share >= BOUNDS["many"]:
        sentence = f"the states of {name} lie where tanh is flat, {less}: "
        sentence += "nearly no gradient passes from step to step."
        yield _flat("saturated units", name, share, sentence)
    gates = {
        f"{name}, {gate}": share
        for name, of in seen.gates.items()
        for gate, share in of.items()
        if gate != "state"
    }
    name, share = _highest(gates)
    if share >= BOUNDS["many"]:
        sentence = f"the values of the {name.split(', ')[1]} gate lie where it is flat: "
        sentence += "the gate stands still, and nearly no gradient passes through it."
        yield _flat("saturated gates", f"{name} gate", share, sentence)


def _flat(kind: str, where: str, share: float, sentence: str, **more: bool) -> _Suspect:
    """Suspect units of which a share lies where nothing passes; nearly all of them convict."""
    proof = "yes" if share >= BOUNDS["saturated"] else ""
    told = f"{share:.0%} of {sentence}"
    return _Suspect(kind, where, told, {"share saturated": share}, convicts=lambda: proof, **more)


def _exploding(seen: Examination, trial: Trial) -> Iterator[_Suspect]:
    for layer, flow in seen.time_flows.items():
        rms = flow.rms_by_distance
        growth = float(rms.max() / rms[0]) if rms[0] > 0 else 0.0
        if growth > BOUNDS["exploding"]:
            steps = counted(int(rms.argmax()), "step")
            # With a loss at every step, the last may have the smallest gradient by itself.
            proof = "yes" if flow.last_step_only or trial.outcome == "diverges" else ""
            yield _Suspect(
                "exploding in time",
                f"{layer}, {steps} before the last",
                f"The gradient grows by {growth:.2g} over {steps}.",
                {"growth": growth, "factor per step": flow.factor_per_step},
                convicts=partial(str, proof),
                needs_proof=not flow.last_step_only,
            )
    largest = max(_arrivals(seen), key=lambda arrival: arrival.share, default=None)
    if largest and largest.share > BOUNDS["exploding"]:
        yield _Suspect(
            "exploding in depth",
            f"{seen.flow.names[seen.flow.latest]} back to {largest.name}",
            f"The gradient grows by {largest.share:.2g} on its way to {largest.name}, a factor of "
            f"{largest.factor_per_layer:.3g} per layer with weights.",
            {"growth": largest.share, "factor per layer": largest.factor_per_layer},
        )


def _vanishing(seen: Examination) -> Iterator[_Suspect]:
    path = _arrivals(seen)
    if path and path[0].share < BOUNDS["vanishing"]:
        first = path[0]
        gone = next(one.name for one in reversed(path) if one.share < BOUNDS["vanishing"])
        yield _Suspect(
            "vanishing in depth",
            f"{seen.flow.names[seen.flow.latest]} back to {first.name}",
            f"Of the gradient at {seen.flow.names[seen.flow.latest]}, {first.share:.2g} arrives at "
            f"{first.name}, a factor of {first.factor_per_layer:.3g} per layer with weights; less "
            f"than a thousandth is left at {gone}.",
            {"what arrives": first.share, "factor per layer": first.factor_per_layer},
        )
    for name, flow in seen.time_flows.items():
        rms = flow.rms_by_distance
        if flow.last_step_only and rms[0] > 0 and rms[-1] < BOUNDS["vanishing"] * rms[0]:
            lost = int(np.argmax(rms < BOUNDS["vanishing"] * rms[0]))
            yield _Suspect(
                "vanishing in time",
                f"{name}, step {flow.steps - lost} of {flow.steps} and before",
                f"Of the gradient at the last step, {rms[-1] / rms[0]:.2g} arrives "
                f"{counted(len(rms) - 1, 'step')} before it, and less than a thousandth after "
                f"{counted(lost, 'step')}.",
                {"what arrives": float(rms[-1] / rms[0]), "factor per step": flow.factor_per_step},
            )


def _rate(seen: Examination, trial: Trial, room: _TrialRoom) -> Iterator[_Suspect]:
    if room.optimizer is None:
        return
    ratio = trial.update_ratio
    figures = {"learning rate": trial.learning_rate, "update / weight": ratio}
    moved = (
        f"A step of {trial.optimizer} at {trial.learning_rate:.2g} moves the weights of the layer "
        f"that moves most by {ratio:.2g} of their size."
    )
    stands_still = not trial.moved and bool(np.any(seen.flow.weight_norms > 0))
    can_move = ratio > 0 or stands_still
    if stands_still:
        moved = _why_nothing_moves(trial, room.model)

    def learns_at(factors: Iterable[float]) -> str:
        for factor in factors:
            other = room.at_rate(factor)
            if other.outcome == "learns":
                instead = "it learns in as many steps" if falls else "the loss falls"
                return f"At {other.learning_rate:.2g} {instead}."
        return ""

    is_leap, is_creep = ratio > BOUNDS["leap"], can_move and ratio < BOUNDS["creep"]
    diverges, falls = trial.outcome == "diverges", trial.outcome == "falls"
    is_behind = trial.outcome == "stalls" or falls
    if is_leap or diverges or (is_behind and ratio > BOUNDS["stride"]):
        yield _Suspect(
            "learning rate too high",
            trial.optimizer,
            moved,
            figures,
            convicts=lambda: learns_at(LOWER),
            needs_proof=not is_leap,
            has_cure=True,
        )
    if is_behind:
        higher = HIGHER if ratio < BOUNDS["slow"] else HIGHER[:1] if falls else ()
        sensible = [factor for factor in higher if can_move and ratio * factor < BOUNDS["leap"]]
        yield _Suspect(
            "learning rate too low",
            trial.optimizer,
            moved,
            figures,
            convicts=lambda: learns_at(sensible),
            needs_proof=not is_creep,
            has_cure=True,
            is_mild=falls or not is_creep,
        )


def _why_nothing_moves(trial: Trial, model: keras.Model) -> str:
    if trial.learning_rate == 0:
        return f"The learning rate of {trial.optimizer} is 0: no weight moves."
    dtype = keras.backend.standardize_dtype(model.trainable_weights[0].dtype)
    is_half = dtype in ("float16", "bfloat16")
    wider = f" The policy mixed_{dtype} keeps weights in float32." if is_half else ""
    return (
        f"Gradients arrive and no weight moves: what {trial.optimizer} at "
        f"{trial.learning_rate:.2g} adds is rounded away in {dtype}.{wider}"
    )


def _blocked(seen: Examination, trial: Trial) -> Iterator[_Suspect]:
    """Yield the output layer where it lets no gradient through and so answers always the same."""
    below = [arrival.share for arrival in _arrivals(seen)[:-1]]
    if below and not any(below) and trial.variation < FLOAT32:
        yield from _constant(trial)


def _constant(trial: Trial) -> Iterator[_Suspect]:
    if trial.outcome in ("learns", "stalls") and trial.variation < BOUNDS["constant"]:
        differ = f"{trial.variation:.1g} of their size" if trial.variation else "nothing"
        yield _Suspect(
            "constant output",
            "the output layer",
            "After the trial the model still answers the same, whatever the sample: its outputs "
            f"differ by {differ}.",
            {"variation of the outputs": trial.variation},
            harmful=trial.variation < FLOAT32,
        )


def _cut_off(seen: Examination) -> Iterator[_Suspect]:
    if seen.cut_off:
        name = seen.cut_off[0]
        others = _and_others(len(seen.cut_off))
        yield _Suspect(
            "no gradient",
            name,
            f"No path leads from {name}{others} to the loss: no gradient arrives at the weights, "
            "and they stay as they are.",
            {"layers without a gradient": float(len(seen.cut_off))},
            convicts=lambda: "",
        )


def _constant_targets(seen: Examination, room: _TrialRoom) -> Iterator[Finding]:
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


@dataclass(frozen=True)
class _Arrival:
    """What arrives of the gradient at one record.

    `share` is its root mean square relative to the record nearest to the loss, `layers` the number
    of layers with weights between the two.
    """

    name: str
    share: float
    layers: int

    @property
    def factor_per_layer(self) -> float:
        return geometric_mean(self.share, 1.0, self.layers)


def _arrivals(seen: Examination) -> list[_Arrival]:
    """Return what arrives where a weight reads it: not at the inputs, nor at what only scales them.

    From the farthest from the loss to the nearest; empty where there is nothing to compare.
    """
    flow = seen.flow
    rms = flow.activation_norms / np.sqrt(np.maximum(flow.entries, 1))
    known = np.flatnonzero((flow.depth >= 0) & np.isfinite(rms))
    at_loss = rms[flow.latest]
    if not flow.layers_between or not np.isfinite(at_loss) or at_loss == 0:
        return []
    order = sorted(set(known) - seen.unread, key=lambda i: (-flow.depth[i], i))
    layers = flow.depth - flow.depth[flow.latest]
    return [_Arrival(flow.names[i], float(rms[i] / at_loss), int(layers[i])) for i in order]


def _highest(shares: Mapping[str, float]) -> tuple[str, float]:
    return max(shares.items(), key=lambda entry: entry[1], default=("", 0.0))
