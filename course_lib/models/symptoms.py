"""What can be read off a network before it is trained: the figures that a diagnosis goes by.

Every function takes the records of one forward run (see `recording.Recording`) and returns
figures, one a layer; what they mean is for `diagnosis` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from course_lib.maths import recurrent
from course_lib.models.recording import Record, all_layers
from course_lib.models.units import FLAT, SLOPES, dead_share, saturated_share

__all__ = [
    "Scale",
    "alike_units",
    "dead_shares",
    "gate_shares",
    "saturated_shares",
    "scales",
    "variation",
]

CELLS = {
    keras.layers.SimpleRNN: recurrent.SimpleRNN,
    keras.layers.LSTM: recurrent.LSTM,
    keras.layers.GRU: recurrent.GRU,
}
GATES = {keras.layers.LSTMCell: 4, keras.layers.GRUCell: 3}  # side by side in one kernel
Shares = dict[str, float]  # by name of the record, 0 ... 1

ROUNDING = 1e-3  # of the largest change of a matrix: less does not tell two units apart
FEW = 16  # samples whose gates are looked at: each holds as many values as it has steps


def dead_shares(records: Iterable[Record]) -> Shares:
    """Return the share of dead units of every layer that ends with a ReLU: `units.dead_share`."""
    return _known(dead_share, records)


def saturated_shares(records: Iterable[Record]) -> Shares:
    """Return the share of saturated entries of every layer: `units.saturated_share`."""
    return _known(saturated_share, records)


def _known(share_of: Callable[[Record], Any], records: Iterable[Record]) -> Shares:
    """Return the shares that there are; a recurrent layer's are in `gate_shares`."""
    shares = {
        record.name: share_of(record)
        for record in records
        if not isinstance(record.layer, keras.layers.RNN)
    }
    return {name: float(share) for name, share in shares.items() if share is not None}


def alike_units(
    model: keras.Model, start: Mapping[int, np.ndarray] | None = None
) -> dict[keras.Layer, int]:
    """Return the layers whose units all have the same weights to train, and how many they are.

    With `start`, the weights of before by their ``id``: the layers whose units have changed by the
    same, but for rounding. The units of a recurrent layer are compared gate by gate, and by what
    they read of the input alone.
    """
    found, seen = {}, set()  # a recurrent layer and its cell have one kernel
    for layer in all_layers(model):
        cell = getattr(layer, "cell", layer)
        kernel = getattr(cell, "kernel", None)
        if not isinstance(kernel, keras.Variable) or not kernel.trainable or id(kernel) in seen:
            continue
        seen.add(id(kernel))
        values = np.asarray(keras.ops.convert_to_numpy(kernel), dtype=np.float64)
        slack = 0.0
        if start is not None:
            values = values - start.get(id(kernel), values)
            slack = ROUNDING * np.abs(values).max()
        units = values.shape[-1] // GATES.get(type(cell), 1)
        if units > 1 and np.ptp(values.reshape(-1, units), axis=-1).max() <= slack:
            found[layer] = units
    return found


def gate_shares(records: Iterable[Record]) -> dict[str, Shares]:
    """Return, for every recurrent layer, the share of saturated entries of each gate.

    A forget gate that is open does what it is for: of this one only the closed side counts. The
    state of a SimpleRNN with tanh appears as "state".
    """
    shares: dict[str, Shares] = {}
    for record in records:
        gates = _gates(record)
        if gates:
            shares[record.name] = {name: _saturated(name, gate) for name, gate in gates.items()}
    return shares


@dataclass(frozen=True)
class Scale:
    """How large the numbers are that enter a layer with a matrix straight from the input.

    Attributes
    ----------
    rms, largest : float
        Root mean square, and largest absolute value.
    offset : float
        |mean| / standard deviation, over everything.
    spread : float
        The largest standard deviation of a column over the median one; 1 where there are fewer
        than two columns that vary.
    column : int
        The column that varies most.
    varies : bool
        Whether any entry differs from sample to sample.
    """

    rms: float
    largest: float
    offset: float
    spread: float
    column: int
    varies: bool


def scales(records: list[Record]) -> dict[str, Scale]:
    """Return the scale of what the first layers with a matrix take in, by their names.

    First: no other layer with a matrix lies between it and the input of the model. A layer that
    scales or normalises has done so by then.
    """
    before = [record.layer is None for record in records]  # nothing with a matrix up to here
    found = {}
    for i, record in enumerate(records):
        if record.layer is None:
            continue
        is_early = bool(record.parents) and all(before[parent] for parent in record.parents)
        has_matrix = any(len(weight.shape) > 1 for weight in record.layer.weights)
        before[i] = is_early and not has_matrix
        takes_numbers = not isinstance(record.layer, keras.layers.Embedding)  # it takes names
        if is_early and has_matrix and takes_numbers and record.sources:
            found[record.name] = _scale(_double(record.sources[0]))
    return found


def variation(outputs: Any) -> float:
    """Return how far the outputs differ between samples: 0 where all samples get the same.

    The root mean square of what is left after the mean over the batch, relative to the root mean
    square of everything; the largest, of several outputs.
    """
    return max(
        (_variation_of_one(_double(output)) for output in keras.tree.flatten(outputs)), default=0.0
    )


def _variation_of_one(values: np.ndarray) -> float:
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan")
    whole = _rms(values)
    return _rms(values - values.mean(axis=0)) / whole if whole else 0.0


def _scale(x: np.ndarray) -> Scale:
    columns = x.reshape(-1, x.shape[-1])
    deviations = columns.std(axis=0)
    varying = deviations[deviations > 1e-7 * np.abs(columns).max(initial=1e-300)]
    spread = float(varying.max() / np.median(varying)) if varying.size > 1 else 1.0
    deviation = float(x.std())
    return Scale(
        rms=_rms(x),
        largest=float(np.abs(x).max()),
        offset=abs(float(x.mean())) / deviation if deviation else float("inf"),
        spread=spread,
        column=int(deviations.argmax()),
        varies=len(x) < 2 or bool(np.any(x != x[:1])),
    )


def _gates(record: Record) -> dict[str, np.ndarray]:
    """Return every gate of a recurrent layer by name, each of shape (batch, time, units).

    They are computed anew in NumPy, from the layer's inputs and weights; nothing for a layer that
    computes other equations than those of `maths.recurrent`.
    """
    layer: Any = record.layer
    kind = next((ours for kind, ours in CELLS.items() if type(layer) is kind), None)
    if kind is None or not record.sources or record.sources[0].shape.rank != 3:
        return {}
    gate = getattr(layer, "recurrent_activation", keras.activations.sigmoid)
    if layer.activation is not keras.activations.tanh or gate is not keras.activations.sigmoid:
        return {}
    weights = [_double(weight) for weight in layer.weights]
    options = {"reset_after": layer.reset_after} if kind is recurrent.GRU else {}
    x = _double(record.sources[0][:FEW])
    trace = kind(*weights, **options).forward(x[:, ::-1] if layer.go_backwards else x)
    if kind is recurrent.SimpleRNN:
        return {"state": trace.outputs}
    return {name: gate for name, gate in trace.gates.items() if name != "cell"}


def _saturated(name: str, gate: np.ndarray) -> float:
    if name in ("candidate", "state"):  # a tanh
        return _flat(SLOPES["tanh"](gate))
    if name == "forget":  # at 1 it keeps the cell, and the gradient with it
        return float((gate < FLAT / 4).mean())
    return _flat(SLOPES["sigmoid"](gate))


def _flat(slopes: np.ndarray) -> float:
    return float((slopes < FLAT).mean())


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _double(value: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(value), dtype=np.float64)
