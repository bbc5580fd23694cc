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
from course_lib.models.time_steps import TimeStepFlow, by_time_step

__all__ = ["Examination", "examine"]

RUNAWAY = 1e6  # outputs as large as this are on their way out of float32


@dataclass(frozen=True, eq=False)
class Examination:
    """The figures of a network before anything is tried."""

    flow: LayerFlow
    time_flows: dict[str, TimeStepFlow]
    dead: dict[str, float]
    saturated: dict[str, float]
    gates: dict[str, dict[str, float]]
    scales: dict[str, symptoms.Scale]
    masks: dict[str, Hidden]
    held: Held | None  # the Batch Norm that uses the batch in use too
    statistics: dict[str, Statistics]  # of Batch Norms that do not use it in training
    not_finite: dict[str, int]  # weights and outputs that are not, by name, in order
    runaway: str  # the kind of explosion that made them, "" if none did
    largest: float  # the largest output before them


def examine(model: keras.Model, batch: Batch, x: Any, y: Any, loss: Any) -> Examination:
    """Measure what can be seen without training; `x` and `y` are those of the batch.

    The layers behave as in training: batch normalisation uses the batch, dropout drops.
    """
    from course_lib.models.gradient_flow import by_layer  # which is above, and names `diagnose`

    flow = by_layer(model, x, y, loss=loss, training=True)
    not_finite = _bad_weights(model)
    objective = objective_of(model, loss, batch)
    with unchanged(model):
        recording = Recording(model)
        recording.run(batch.x, True, objective)
    records = recording.records
    hidden = [record for i, record in enumerate(records) if i not in recording.exits]
    runaway, largest = "", 0.0
    if not not_finite:
        not_finite, runaway, largest = _bad_outputs(records)
        if not not_finite and not np.isfinite(flow.loss):
            not_finite["loss"] = 1
            runaway = "exploding in depth" if largest > RUNAWAY else ""
    has_time = not not_finite and any(
        isinstance(record.layer, keras.layers.RNN) for record in records
    )
    return Examination(
        flow=flow,
        time_flows=by_time_step(model, x, y, loss=loss, training=True) if has_time else {},
        dead=symptoms.dead_shares(hidden),
        saturated=symptoms.saturated_shares(hidden),
        gates={} if not_finite else symptoms.gate_shares(records),
        scales=symptoms.scales(records),
        masks=hidden_by_masks(records),
        held=None if not_finite else held_in_training(model, batch, objective),
        statistics={} if not_finite else foreign_statistics(records),
        not_finite=not_finite,
        runaway=runaway,
        largest=largest,
    )


def _bad_outputs(records: list[Record]) -> tuple[dict[str, int], str, float]:
    """Return how many numbers of each output are not finite, what made them, and what was before.

    What made them: "exploding in time" where a recurrent layer comes first, "exploding in depth"
    where the numbers had grown large before, else "".
    """
    found: dict[str, int] = {}
    runaway, largest = "", 0.0
    for record in records:
        for tensor in record.tensors if record.is_floating else []:
            values = np.abs(np.asarray(keras.ops.convert_to_numpy(tensor), dtype=np.float64))
            bad = int(np.count_nonzero(~np.isfinite(values)))
            if bad and not found:
                is_loop = isinstance(record.layer, keras.layers.RNN)
                large = "exploding in depth" if largest > RUNAWAY else ""
                runaway = "exploding in time" if is_loop else large
            if bad:
                found[f"output of {record.name}"] = bad
            elif not found and values.size:
                largest = max(largest, float(values.max()))
    return found, runaway, largest


def _bad_weights(model: keras.Model) -> dict[str, int]:
    found = {}
    for weight in model.weights:
        values = np.asarray(keras.ops.convert_to_numpy(weight))
        bad = values.size - int(np.isfinite(values).sum()) if values.dtype.kind in "fV" else 0
        if bad:
            found[f"weights {weight.path}"] = bad
    return found
