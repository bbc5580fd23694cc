"""The figures of a network before anything is tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from course_lib.models import symptoms
from course_lib.models.batch_norms import Held, Statistics, foreign_statistics, held_in_training
from course_lib.models.batches import Batch
from course_lib.models.layer_flow import LayerFlow
from course_lib.models.masks import Hidden, hidden_by_masks
from course_lib.models.objectives import objective_of
from course_lib.models.recording import Record, Recording, unchanged
from course_lib.models.targets import Misfit, TargetScale, misfit, target_scale
from course_lib.models.time_steps import TimeStepFlow, by_time_step
from course_lib.models.units import activation_of

__all__ = ["Examination", "examine"]

RUNAWAY = 1e6  # outputs as large as this are on their way out of float32


@dataclass(frozen=True)
class BadGradient:
    """A gradient that is not all finite numbers, though the loss is: the first from the loss on.

    Attributes
    ----------
    kind : str
        "exploding in time" or "in depth", or "non-finite numbers".
    where, made_by : str
        The layer whose gradient it is, and what it came through.
    count : int
        Its numbers that are not finite.
    largest : float
        The largest number of the gradients before it.
    """

    kind: str
    where: str
    made_by: str
    count: int
    largest: float


@dataclass(frozen=True, eq=False)
class Examination:
    """The figures of a network before anything is tried."""

    flow: LayerFlow
    time_flows: dict[str, TimeStepFlow]
    dead: dict[str, float]
    saturated: dict[str, float]
    gates: dict[str, dict[str, float]]
    alike: dict[keras.Layer, int]  # hidden layers whose units start alike, and how many they are
    scales: dict[str, symptoms.Scale]
    masks: dict[str, Hidden]
    held: Held | None  # the Batch Norm that uses the batch in use too
    statistics: dict[str, Statistics]  # of Batch Norms that do not use it in training
    not_finite: dict[str, int]  # weights and outputs that are not, by name, in order
    runaway: str  # the kind of explosion that made them, "" if none did
    largest: float  # the largest output before them
    bad_gradient: BadGradient | None  # the first, where all outputs are finite
    cut_off: list[str]  # layers with weights to train that no gradient of the loss reaches
    input_varies: bool  # from sample to sample
    target_varies: bool
    misfit: Misfit | None  # of the output and the targets
    target_scale: TargetScale | None  # where the loss goes by distances from the targets
    unread: frozenset[int]  # records with nothing to train at them or before: no weight reads them


def examine(model: keras.Model, batch: Batch, x: Any, y: Any, loss: Any) -> Examination:
    """Measure what can be seen without training; `x` and `y` are those of the batch.

    The layers behave as in training: batch normalisation uses the batch, dropout drops.
    """
    from course_lib.models.gradient_flow import by_layer  # which is above, and names `diagnose`

    flow = by_layer(model, x, y, loss=loss, training=True)
    not_finite = _bad_weights(model)
    objective = objective_of(model, loss, batch)
    own_loss = getattr(model, "loss", None) if loss is None else loss
    with unchanged(model):
        recording = Recording(model)
        value = recording.run(batch.x, True, objective)
    records = recording.records
    hidden = [record for i, record in enumerate(records) if i not in recording.exits]
    runaway, largest = "", 0.0
    if not not_finite:
        not_finite, runaway, largest = _bad_outputs(records)
        if not not_finite and not np.isfinite(flow.loss):
            not_finite["loss"] = 1
            runaway = _explosion([], largest)
    has_time = not not_finite and any(
        isinstance(record.layer, keras.layers.RNN) for record in records
    )
    return Examination(
        flow=flow,
        time_flows=by_time_step(model, x, y, loss=loss, training=True) if has_time else {},
        dead=symptoms.dead_shares(hidden),
        saturated=symptoms.saturated_shares(hidden),
        gates={} if not_finite else symptoms.gate_shares(records),
        alike=_alike(model, recording),
        scales=symptoms.scales(records),
        masks=hidden_by_masks(records),
        held=None if not_finite else held_in_training(model, batch, objective),
        statistics={} if not_finite else foreign_statistics(records),
        not_finite=not_finite,
        runaway=runaway,
        largest=largest,
        bad_gradient=None if not_finite else _bad_gradient(recording, value, flow),
        cut_off=_cut_off(records, flow),
        input_varies=_varies(batch.x),
        target_varies=_varies(batch.y),
        misfit=None if not_finite else _misfit(own_loss, batch, recording, objective),
        target_scale=None if not_finite else target_scale(own_loss, recording.outputs, batch.y),
        unread=_before_weights(records),
    )


def _alike(model: keras.Model, recording: Recording) -> dict[keras.Layer, int]:
    """Return the layers whose units start alike, from the input on, but for the outputs.

    Units of an output have targets of their own.
    """
    exits = [recording.records[i].layer for i in recording.exits]
    alike = symptoms.alike_units(model)
    in_order = [*(record.layer for record in recording.records), *alike]
    return {one: alike[one] for one in in_order if one in alike and one not in exits}


def _misfit(loss: Any, batch: Batch, recording: Recording, objective: Any) -> Misfit | None:
    """Return what does not fit between the one output of a model and its targets."""
    exits = [recording.records[i] for i in recording.exits]
    activation = activation_of(exits[0]) if len(exits) == 1 else ""
    return misfit(loss, recording.outputs, batch.y, activation, objective)


def _before_weights(records: list[Record]) -> frozenset[int]:
    """Return the records, by number, with no trainable weight at them or before them.

    The inputs, and what only brings them to scale: its gradient is in the inverse units.
    """
    found: set[int] = set()
    for i, record in enumerate(records):
        if not record.weights and found.issuperset(record.parents):
            found.add(i)
    return frozenset(found)


def _bad_outputs(records: list[Record]) -> tuple[dict[str, int], str, float]:
    """Return how many numbers of each output are not finite, what made them, and what was before.

    What made them is said by `_explosion`.
    """
    found: dict[str, int] = {}
    runaway, largest = "", 0.0
    for record in records:
        for tensor in record.tensors if record.is_floating else []:
            values = _sizes(tensor)
            bad = int(np.count_nonzero(~np.isfinite(values)))
            if bad and not found:
                runaway = _explosion([record], largest)
            if bad:
                found[f"output of {record.name}"] = bad
            elif not found and values.size:
                largest = max(largest, float(values.max()))
    return found, runaway, largest


def _bad_gradient(recording: Recording, value: Any, flow: LayerFlow) -> BadGradient | None:
    records = recording.records
    of_layers = [bool(record.weights) for record in records]
    if (
        np.isfinite(flow.activation_norms[flow.depth >= 0]).all()
        and np.isfinite(flow.weight_norms[of_layers]).all()
    ):
        return None
    by_outputs, by_weights = recording.tape.gradient(
        value,
        [
            [record.tensors if record.is_floating else [] for record in records],
            [record.weights for record in records],
        ],
    )
    largest = 0.0
    for i in reversed(range(len(records))):
        above = [record for record in records if i in record.parents]
        for gradients, through in ((by_outputs[i], above), (by_weights[i], [records[i]])):
            numbers = [_sizes(part) for part in gradients if part is not None]
            bad = sum(int(np.count_nonzero(~np.isfinite(part))) for part in numbers)
            if bad:
                kind = _explosion(through, largest) or "non-finite numbers"
                made_by = " and ".join(record.name for record in through) or "the loss"
                return BadGradient(kind, records[i].name, made_by, bad, largest)
            largest = max([largest, *(float(part.max(initial=0.0)) for part in numbers)])
    return None


def _explosion(through: list[Record], largest: float) -> str:
    """Return the kind of explosion that numbers come from that are not finite, "" if from none.

    "exploding in time" where they come through a recurrent layer, "exploding in depth" where the
    `largest` number before them had grown large.
    """
    if any(isinstance(record.layer, keras.layers.RNN) for record in through):
        return "exploding in time"
    return "exploding in depth" if largest > RUNAWAY else ""


def _sizes(tensor: Any) -> np.ndarray:
    return np.abs(np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64))


def _cut_off(records: list[Record], flow: LayerFlow) -> list[str]:
    """Return the layers with weights to train from which no path leads to the loss."""
    reached = {
        id(weight)
        for record, norm, depth in zip(records, flow.weight_norms, flow.depth, strict=True)
        for weight in record.weights
        if norm > 0 or depth >= 0  # read by another layer too, or used at another place
    }
    return [
        record.name
        for record in records
        if record.weights and not any(id(weight) in reached for weight in record.weights)
    ]


def _varies(value: Any) -> bool:
    """Whether samples differ in anything; one alone, and none, cannot tell."""
    parts = [np.asarray(part) for part in keras.tree.flatten(value) if part is not None]
    return any(len(part) < 2 or bool(np.any(part != part[:1])) for part in parts) or not parts


def _bad_weights(model: keras.Model) -> dict[str, int]:
    found = {}
    for weight in model.weights:
        values = np.asarray(keras.ops.convert_to_numpy(weight))
        bad = values.size - int(np.isfinite(values).sum()) if values.dtype.kind in "fV" else 0
        if bad:
            found[f"weights {weight.path}"] = bad
    return found
