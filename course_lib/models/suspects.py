"""What may keep a network from learning: figures out of range, in the order they are asked.

Each suspect says what was measured, and what would prove that it is the cause. `diagnosis` judges
them; here is nothing but what is measured, its bound, and the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np

from course_lib.models.batch_norms import Statistics
from course_lib.models.examination import Examination
from course_lib.models.findings import Finding
from course_lib.models.layer_flow import geometric_mean
from course_lib.models.masks import Hidden
from course_lib.models.objectives import counted
from course_lib.models.symptoms import Scale
from course_lib.models.trial import CONSTANT, LEARNS, Trial
from course_lib.models.trial_room import FEWEST, TrialRoom
from course_lib.models.units import FLAT

__all__ = ["BOUNDS", "Suspect", "suspects"]

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
    "target offset": 10.0,  # |mean| of the targets
    "target size": 10.0,  # their standard deviation, or 1 / it
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
FLOAT32 = 1e-6  # outputs that differ by less than this are the same
LOWER, HIGHER = (0.1, 0.01, 0.001), (30.0, 1e3, 3e4, 1e6)  # learning rates that are tried instead


@dataclass(frozen=True)
class Suspect:
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
        """Return it as a finding, with a sentence more where there is one to say."""
        sentence = f"{self.sentence} {also}".strip()
        return Finding(self.kind, severity, self.where, sentence, self.evidence)


def suspects(seen: Examination, room: TrialRoom) -> list[Suspect]:
    """Return what is out of range; the first that explains the harm is the cause."""
    trial = room.own()
    return [
        *_bad_gradient(seen, trial),
        *_constant_input(seen, room),
        *_misfit(seen, trial, room),
        *_scale(seen, trial, room),
        *_target_scale(seen, trial, room),
        *_masks(seen, room),
        *_batch_norm(seen, room),
        *_alike(seen, trial),
        *_dead(seen, room),
        *_saturated(seen),
        *_exploding(seen, trial),
        *_regularization(trial, room),
        *_rate(seen, trial, room),
        *_blocked(seen, trial),
        *_vanishing(seen),
        *_constant(trial),
        *_cut_off(seen),
    ]


def _bad_gradient(seen: Examination, trial: Trial) -> Iterator[Suspect]:
    bad = seen.bad_gradient
    if bad is None:
        return
    before = f" The numbers had grown to {bad.largest:.1e} before." if "expl" in bad.kind else ""
    yield Suspect(
        bad.kind,
        f"gradient through {bad.made_by}",
        f"{counted(bad.count, 'number')} of the gradient at {bad.where} "
        f"{'is' if bad.count == 1 else 'are'} NaN or infinite, though the loss is finite: it comes "
        f"through {bad.made_by}.{before}",
        {"numbers that are not finite": float(bad.count), "largest finite number": bad.largest},
        convicts=lambda: "In the trial the weights become so, too." if trial.spoilt else "",
    )


def _constant_input(seen: Examination, room: TrialRoom) -> Iterator[Suspect]:
    if not seen.input_varies:
        yield Suspect(
            "constant input",
            "the input of the model",
            f"All {counted(room.samples, 'sample')} are the same, so no answer can tell them "
            "apart.",
            {"samples": float(room.samples)},
            harmful=seen.target_varies,
        )
    elif seen.scales and not any(scale.varies for scale in seen.scales.values()):
        name = next(iter(seen.scales))
        yield Suspect(
            "constant input",
            name,
            f"The samples differ, and what enters {name} is the same for all of them.",
            {"samples": float(room.samples)},
            convicts=lambda: "",
        )


def _misfit(seen: Examination, trial: Trial, room: TrialRoom) -> Iterator[Suspect]:
    found = seen.misfit
    if found is None:
        return

    def proven() -> str:
        if found.what == "labels":
            return "yes"
        if found.what == "logits":
            instead = None if trial.outcome == "learns" else room.on_logits()
            learns = instead is not None and instead.outcome == "learns"
            return "Taken for logits, it learns." if learns else ""
        constant = trial.baseline
        if found.figures["lowest loss"] > LEARNS * constant:
            return f"The best constant number has {constant:.3g}."
        return ""

    yield Suspect(
        "output that does not fit",
        "the output layer",
        found.sentence,
        found.figures,
        harmful=found.what == "labels",
        convicts=proven,
        has_cure=True,
    )


def _scale(seen: Examination, trial: Trial, room: TrialRoom) -> Iterator[Suspect]:
    for name, scale in seen.scales.items():
        remarks = _out_of_scale(scale)
        if not remarks:
            continue

        def cured() -> str:
            if trial.outcome == "learns":
                return "Its units are saturated or dead from it."
            if room.to_scale().outcome == "learns":
                return "With every column brought to mean 0 and standard deviation 1 it learns."
            return ""

        shares = (seen.saturated.get(name, 0), seen.dead.get(name, 0))
        yield Suspect(
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


def _out_of_scale(scale: Scale) -> list[str]:
    """Return what is out of range in what enters a network, in words."""
    remarks = []
    if not scale.varies:
        return []
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
    return remarks


def _target_scale(seen: Examination, trial: Trial, room: TrialRoom) -> Iterator[Suspect]:
    """Yield a suspect that only a trial can convict: many a network learns such targets."""
    found = seen.target_scale
    if found is None:
        return
    size = max(found.deviation, 1 / found.deviation)
    if abs(found.mean) <= BOUNDS["target offset"] and size <= BOUNDS["target size"]:
        return

    def cured() -> str:
        brought = "brought to mean 0 and standard deviation 1 it learns."
        if room.targets_to_scale().outcome == "learns":
            return f"With targets {brought}"
        if any(map(_out_of_scale, seen.scales.values())):
            learns = room.targets_to_scale(inputs_too=True).outcome == "learns"
            return f"With both inputs and targets {brought}" if learns else ""
        return ""

    yield Suspect(
        "scale of the targets",
        "the targets",
        f"The targets have a mean of {found.mean:.2g} and a standard deviation of "
        f"{found.deviation:.2g}; a network starts with answers near 0, about 1 apart.",
        {"mean": found.mean, "standard deviation": found.deviation},
        convicts=cured,
        needs_proof=True,
        has_cure=True,
        is_mild=trial.outcome == "falls",
    )


def _masks(seen: Examination, room: TrialRoom) -> Iterator[Suspect]:
    for name, hidden in seen.masks.items():
        remarks = []
        if hidden.blind:
            remarks.append(f"of {hidden.blind:.0%} of the samples nothing is left")
        if hidden.data > 0:
            remarks.append(f"at least {hidden.data:.0%} of the masked steps are no padding")
        if hidden.inside:
            remarks.append(f"{hidden.inside:.0%} of them lie between two that are read")
        if remarks:
            yield Suspect(
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


def _guilt_of_a_mask(hidden: Hidden, room: TrialRoom) -> str:
    if hidden.inverted:
        return "What it lets through is the same at every step."
    if hidden.blind >= BOUNDS["blind"]:
        return "yes"
    cured = room.own().outcome != "learns" and room.without_masks().outcome == "learns"
    return "With every step read it learns." if cured else ""


def _batch_norm(seen: Examination, room: TrialRoom) -> Iterator[Suspect]:
    held = seen.held
    if held is not None:
        is_harmful = held.shift > BOUNDS["company"]
        yield Suspect(
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

        yield Suspect(
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


def _alike(seen: Examination, trial: Trial) -> Iterator[Suspect]:
    alike = {layer: units for layer, units in seen.alike.items() if layer in trial.alike}
    if alike and trial.moved:
        layer, units = next(iter(alike.items()))
        yield Suspect(
            "units that stay alike",
            layer.name,
            f"All {units} units of {layer.name}{_and_others(len(alike))} start with the same "
            "weights and have the same after the trial: together they are worth one.",
            {"units": float(units)},
            harmful=True,
        )


def _dead(seen: Examination, room: TrialRoom) -> Iterator[Suspect]:
    name, share = _highest(seen.dead)
    if share >= BOUNDS["many"] and room.samples >= FEWEST:
        harmful = share >= BOUNDS["dead"]
        yield Suspect(
            "dead units",
            name,
            f"{share:.0%} of the units of {name} are 0 for every sample, so no gradient reaches "
            "their weights.",
            {"share of dead units": share},
            harmful=harmful,
            convicts=lambda: "yes" if harmful else "",
        )


def _saturated(seen: Examination) -> Iterator[Suspect]:
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


def _flat(kind: str, where: str, share: float, sentence: str, **more: bool) -> Suspect:
    """Suspect units of which a share lies where nothing passes; nearly all of them convict."""
    proof = "yes" if share >= BOUNDS["saturated"] else ""
    told = f"{share:.0%} of {sentence}"
    return Suspect(kind, where, told, {"share saturated": share}, convicts=lambda: proof, **more)


def _exploding(seen: Examination, trial: Trial) -> Iterator[Suspect]:
    for layer, flow in seen.time_flows.items():
        rms = flow.rms_by_distance
        growth = float(rms.max() / rms[0]) if rms[0] > 0 else 0.0
        if growth > BOUNDS["exploding"]:
            steps = counted(int(rms.argmax()), "step")
            # With a loss at every step, the last may have the smallest gradient by itself.
            proof = "yes" if flow.last_step_only or trial.outcome == "diverges" else ""
            yield Suspect(
                "exploding in time",
                f"{layer}, {steps} before the last",
                f"The gradient grows by {growth:.2g} over {steps}.",
                {"growth": growth, "factor per step": flow.factor_per_step},
                convicts=partial(str, proof),
                needs_proof=not flow.last_step_only,
            )
    largest = max(_arrivals(seen), key=lambda arrival: arrival.share, default=None)
    if largest and largest.share > BOUNDS["exploding"]:
        yield Suspect(
            "exploding in depth",
            f"{seen.flow.names[seen.flow.latest]} back to {largest.name}",
            f"The gradient grows by {largest.share:.2g} on its way to {largest.name}, a factor of "
            f"{largest.factor_per_layer:.3g} per layer with weights.",
            {"growth": largest.share, "factor per layer": largest.factor_per_layer},
        )


def _vanishing(seen: Examination) -> Iterator[Suspect]:
    path = _arrivals(seen)
    if path and path[0].share < BOUNDS["vanishing"]:
        first = path[0]
        gone = next(one.name for one in reversed(path) if one.share < BOUNDS["vanishing"])
        yield Suspect(
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
            yield Suspect(
                "vanishing in time",
                f"{name}, step {flow.steps - lost} of {flow.steps} and before",
                f"Of the gradient at the last step, {rms[-1] / rms[0]:.2g} arrives "
                f"{counted(len(rms) - 1, 'step')} before it, and less than a thousandth after "
                f"{counted(lost, 'step')}.",
                {"what arrives": float(rms[-1] / rms[0]), "factor per step": flow.factor_per_step},
            )


def _regularization(trial: Trial, room: TrialRoom) -> Iterator[Suspect]:
    """Yield a suspect that only a trial without it can convict.

    No trial is asked of a loss that is nothing but what layers add to it.
    """
    added, share = room.added(), room.decay * trial.learning_rate
    if not (added > 0 or share > 0) or not abs(trial.first) > FLOAT32 * added:
        return

    def cured() -> str:
        learns = room.without_regularization().outcome == "learns"
        return "Without it the network learns." if learns else ""

    adds = f"Layers add {added:.3g} to a loss of {trial.first:.3g}. " if added > 0 else ""
    decays = f"{trial.optimizer} takes {share:.2g} of every weight at a step. " if share > 0 else ""
    yield Suspect(
        "regularisation too strong",
        "the whole network",
        f"{adds}{decays}".strip(),
        {"added to the loss": added, "weight decay at a step": share},
        convicts=cured,
        needs_proof=True,
        has_cure=True,
        is_mild=trial.outcome == "falls",
    )


def _rate(seen: Examination, trial: Trial, room: TrialRoom) -> Iterator[Suspect]:
    if room.optimizer is None:
        return
    ratio = trial.update_ratio
    figures = {"learning rate": trial.learning_rate, "update / weight": ratio}
    moved = (
        f"A step of {trial.optimizer} at {trial.learning_rate:.2g} moves the weights of the layer "
        f"that moves most by {ratio:.2g} of their size."
        if np.isfinite(ratio)
        else f"{trial.optimizer} steps at {trial.learning_rate:.2g}."
    )
    stands_still = not trial.moved and bool(np.any(seen.flow.weight_norms > 0))
    is_unknown = bool(np.isnan(ratio))  # no matrix began at anything but 0
    can_move = ratio > 0 or stands_still or (is_unknown and trial.moved)
    if stands_still:
        moved = _why_nothing_moves(trial, room.model)

    def learns_at(factors: Iterable[float]) -> str:
        for factor in factors:
            other = room.at_rate(factor)
            if other.outcome == "learns":
                instead = "it learns in as many steps" if falls else "the loss falls"
                return f"At {other.learning_rate:.2g} {instead}."
        return ""

    def suspect(
        kind: str, factors: Iterable[float], *, is_plain: bool, is_mild: bool = False
    ) -> Suspect:
        return Suspect(
            kind,
            trial.optimizer,
            moved,
            figures,
            convicts=lambda: learns_at(factors),
            needs_proof=not is_plain,
            has_cure=True,
            is_mild=is_mild,
        )

    is_leap, is_creep = ratio > BOUNDS["leap"], can_move and ratio < BOUNDS["creep"]
    diverges, falls = trial.outcome == "diverges", trial.outcome == "falls"
    is_behind = trial.outcome == "stalls" or falls
    if is_leap or diverges or (is_behind and ratio > BOUNDS["stride"]):
        yield suspect("learning rate too high", LOWER, is_plain=is_leap)
    if is_behind:
        known = 0.0 if is_unknown else ratio
        higher = HIGHER if known < BOUNDS["slow"] else HIGHER[:1] if falls else ()
        sensible = [factor for factor in higher if can_move and known * factor < BOUNDS["leap"]]
        is_mild = falls or not is_creep
        yield suspect("learning rate too low", sensible, is_plain=is_creep, is_mild=is_mild)


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


def _blocked(seen: Examination, trial: Trial) -> Iterator[Suspect]:
    """Yield the output layer where it lets no gradient through and so answers always the same."""
    below = [arrival.share for arrival in _arrivals(seen)[:-1]]
    if below and not any(below) and trial.variation < FLOAT32:
        yield from _constant(trial)


def _constant(trial: Trial) -> Iterator[Suspect]:
    if trial.outcome in ("learns", "stalls") and trial.variation < BOUNDS["constant"]:
        differ = f"{trial.variation:.1g} of their size" if trial.variation else "nothing"
        yield Suspect(
            "constant output",
            "the output layer",
            "After the trial the model still answers the same, whatever the sample: its outputs "
            f"differ by {differ}.",
            {"variation of the outputs": trial.variation},
            harmful=trial.variation < FLOAT32,
        )


def _cut_off(seen: Examination) -> Iterator[Suspect]:
    if seen.cut_off:
        name = seen.cut_off[0]
        others = _and_others(len(seen.cut_off))
        yield Suspect(
            "no gradient",
            name,
            f"No path leads from {name}{others} to the loss: no gradient arrives at the weights, "
            "and they stay as they are.",
            {"layers without a gradient": float(len(seen.cut_off))},
            convicts=lambda: "",
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
