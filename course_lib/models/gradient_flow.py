"""How much of the gradient arrives, at every layer of any Keras model.

>>> from course_lib.models import gradient_flow
>>> flow = gradient_flow.by_layer(model, x, y)
>>> print(flow)

The measure is the one of the whole course: ‖∂𝓛/∂h‖ at the output of each layer, and its geometric
mean factor from one layer to the next. A factor of 1 arrives, below 1 vanishes, above 1 explodes.
"""

from __future__ import annotations

import html
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.checks import instance, shown
from course_lib.models.backward import FORMATS, differentiate
from course_lib.models.batches import check_batch
from course_lib.models.objectives import FlowError, counted, in_one_sentence, objective_of
from course_lib.models.recording import Record, Recording, unchanged

__all__ = ["FlowError", "LayerFlow", "by_layer", "cost_ratio"]


@dataclass(frozen=True, eq=False, repr=False)
class LayerFlow:
    """What `by_layer` measured: one entry a record, from the model's input to the loss.

    A record is one use of one layer; a layer used twice has two. Norms are Frobenius norms of the
    gradient of the batch-mean loss, over all entries of the batch, in float64.

    Attributes
    ----------
    names : list of str
        Record 0 is the model's input; the last one is its output.
    activation_norms : ndarray, shape (records,)
        ‖∂𝓛/∂h‖, h the layer's output. NaN for inputs that are whole numbers.
    weight_norms : ndarray, shape (records,)
        ‖∂𝓛/∂W‖, all trainable weights of the layer together (over all its uses, at each of
        them). NaN for a layer without any.
    depth : ndarray, shape (records,)
        Distance from the loss: the layers with weights after this record, on the longest path.
        NaN where no path leads to the loss.
    factor_per_layer : float
        (rms of ∂𝓛/∂h at `earliest` / rms at `latest`)^(1/`layers_between`). The root mean square,
        so that a change of width is not taken for a change of gradient.
    earliest, latest, layers_between : int
        The two ends of the longest path (numbers of records), and the layers with weights on it
        after the first end; `layers_between` is 0, and the factor NaN, when there are none.
    entries : ndarray of int, shape (records,)
        Numbers in the layer's output, batch included; states that nothing reads do not count.
    underflowed : ndarray of int, shape (records,)
        Entries of ∂𝓛/∂h that the format wrote as 0 and a scaled backward pass recovered. The
        norms contain them.
    true_zeros, unresolved : ndarray of int, shape (records,)
        Entries that are 0 at every scale (a dead unit, no path to the loss); entries that are 0
        and of which no pass could say why, as a rule none.
    dtype : str
        The format the gradients were computed in, the narrowest of all records.
    loss : float
        The loss that was differentiated.
    passes : int
        Backward passes: 1, and 1 more where entries were exactly 0 and not the work of the one
        layer above, such as a ReLU (further ones when a gradient falls by more than some 50
        decades, or 7 in float16).
    """

    names: list[str]
    activation_norms: np.ndarray
    weight_norms: np.ndarray
    depth: np.ndarray
    factor_per_layer: float
    earliest: int
    latest: int
    layers_between: int
    entries: np.ndarray
    underflowed: np.ndarray
    true_zeros: np.ndarray
    unresolved: np.ndarray
    dtype: str
    loss: float
    passes: int

    @property
    def limit(self) -> float:
        """The smallest number that TensorFlow does not write as 0 in `dtype`."""
        return 2.0 ** FORMATS[self.dtype].smallest

    def table(self) -> list[dict[str, Any]]:
        """Return one dict a record, with plain numbers."""
        columns = {
            "distance": self.depth,
            "activation_norm": self.activation_norms,
            "weight_norm": self.weight_norms,
            "entries": self.entries,
            "underflowed": self.underflowed,
            "true_zeros": self.true_zeros,
        }
        return [
            {"layer": name, **{column: values[i].item() for column, values in columns.items()}}
            for i, name in enumerate(self.names)
        ]

    def summary(self) -> str:
        """Say in words what was measured, and what stands out."""
        return " ".join(self._sentences())

    def _sentences(self) -> list[str]:
        sentences = [
            f"Norms of the gradient by the activations (∂L/∂h) and by the weights (∂L/∂W), "
            f"for a batch-mean loss of {self.loss:.3g}, in {self.dtype}."
        ]
        if self.layers_between:
            sentences.append(
                f"Factor per layer: {self.factor_per_layer:.3g}, from {self.names[self.earliest]} "
                f"to {self.names[self.latest]}, {counted(self.layers_between, 'layer')} with "
                f"weights (rms of ∂L/∂h by activations; 1 arrives, below 1 vanishes, above 1 "
                "explodes)."
            )
        if not np.isfinite(self.loss):
            sentences.append("The loss is not finite, so no gradient means anything.")
        elif (~np.isfinite(self.activation_norms[self.depth >= 0])).any():
            sentences.append("Some gradients are not finite: the network explodes.")
        if self.underflowed.any():
            sentences.append(
                f"{self.dtype} writes gradients below {self.limit:.1e} as 0: it lost "
                f"{counted(int(self.underflowed.sum()), 'entry', 'entries')} in "
                f"{counted(int((self.underflowed > 0).sum()), 'record')}. Training sees those "
                "zeros; a scaled backward pass recovered the norms shown here."
            )
        silent = [
            name
            for name, zeros, entries in zip(self.names, self.true_zeros, self.entries, strict=True)
            if zeros == entries
        ]
        if silent:
            sentences.append(f"Nothing arrives at {_listed(silent)}: 0 at every scale.")
        if self.unresolved.any():
            sentences.append(
                f"{counted(int(self.unresolved.sum()), 'zero')} could not be explained: "
                "an underflow inside a branch or a custom loss."
            )
        return sentences

    def _rows(self) -> list[list[str]]:
        return [
            [
                "–" if np.isnan(row["distance"]) else f"{row['distance']:.0f}",
                row["layer"],
                _norm(row["activation_norm"]),
                _norm(row["weight_norm"]),
                str(row["entries"]),
                str(row["underflowed"]),
                str(row["true_zeros"]),
            ]
            for row in self.table()
        ]

    def __str__(self) -> str:
        rows = [list(_HEADER), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if column == 1 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *self._sentences()])

    def __repr__(self) -> str:
        return (
            f"<LayerFlow: {len(self.names)} records, factor per layer {self.factor_per_layer:.3g}>"
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{html.escape(title)}</th>" for title in _HEADER)
        body = "".join(
            "<tr>"
            + "".join(
                f"<th scope='row'>{html.escape(cell)}</th>"
                if column == 1
                else f"<td>{html.escape(cell)}</td>"
                for column, cell in enumerate(row)
            )
            + "</tr>"
            for row in self._rows()
        )
        caption = html.escape(self.summary())
        return (
            f"<table><caption style='text-align:left'>{caption}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


_HEADER = (
    "distance",
    "layer",
    "‖∂L/∂h‖ activations",
    "‖∂L/∂W‖ weights",
    "entries",
    "underflowed",
    "zero",
)


def by_layer(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
) -> LayerFlow:
    """Measure how much of the gradient arrives at every layer of a Keras model.

    The model runs once, and the loss is differentiated by the output of every layer and by all
    trainable weights in one backward pass. Where an entry is exactly 0, the step that made it, or
    else the whole pass, is repeated with the gradient times 2^k (which is exact): that tells an
    underflow from a true 0. The model is the same afterwards, bit for bit: weights, moving
    averages, seeds, states, metrics.

    Recorded is every layer that puts out real numbers, also inside nested models, lists of layers
    and composite layers; not what a recurrent layer or `TimeDistributed` calls in its loop, nor
    what runs inside a ``tf.function``. Where Keras takes a cross-entropy from the logits below a
    softmax or sigmoid, the record holds the logits, and its name says so.

    Parameters
    ----------
    model : keras.Model
        Functional, Sequential or subclassed; one that is not built yet is built by `x`.
    x, y : arrays, or lists or dicts of arrays
        One batch as for ``model.fit``: first dimension batch, at most some thousand samples.
    loss : str, keras.losses.Loss or function of (y_true, y_pred), optional
        For a model that is not compiled, or instead of its own loss; a list or dict of them for
        several outputs. What layers add to the loss (regularisation) is added in either case.
    sample_weight : array, shape (batch,), optional
        As for ``model.fit``.
    training : bool
        Whether layers behave as in training (dropout drops, batch normalisation uses the batch).

    Returns
    -------
    LayerFlow
        Norms by record, and their mean factor per layer.

    Raises
    ------
    TypeError, ValueError, FlowError (a ValueError)
        When an argument does not fit, in one sentence.
    """
    instance("model", model, keras.Model, "a Keras model, such as `keras.Sequential([...])`")
    if not isinstance(training, bool | np.bool_):
        raise TypeError(f"`training` is {shown(training)}; it takes True or False.")
    batch = check_batch(model, x, y, sample_weight)
    objective = objective_of(model, loss, batch)
    cannot_run = f"the model cannot be run on `x`, of shape {batch.x_shapes}"
    if not model.built:
        with in_one_sentence(cannot_run):
            model(batch.x)
    with unchanged(model):
        recording = Recording(model)
        with in_one_sentence(cannot_run):
            value = recording.run(batch.x, bool(training), objective)
        gradients = differentiate(recording, value)
    for i, is_whole in enumerate(batch.whole_numbers):
        if is_whole and not gradients.connected[i]:  # an embedding: nothing to differentiate by
            gradients.activation_norms[i], gradients.true_zeros[i] = np.nan, 0
    records = recording.records
    depth, path = _longest_paths(recording, gradients.connected)
    earliest, latest = path[0], path[-1]
    layers_between = sum(records[i].has_weights for i in path[1:])
    rms = gradients.activation_norms / np.sqrt(gradients.entries)
    narrowest = max(
        (record.dtype for record in records if record.is_floating),
        key=lambda dtype: FORMATS[dtype].smallest,
    )
    return LayerFlow(
        names=[record.name for record in records],
        activation_norms=gradients.activation_norms,
        weight_norms=gradients.weight_norms,
        depth=depth,
        factor_per_layer=_geometric_mean(rms[earliest], rms[latest], layers_between),
        earliest=earliest,
        latest=latest,
        layers_between=layers_between,
        entries=gradients.entries,
        underflowed=gradients.underflowed,
        true_zeros=gradients.true_zeros,
        unresolved=gradients.unresolved,
        dtype=narrowest,
        loss=float(value),
        passes=gradients.passes,
    )


def cost_ratio(*, repeats: int = 7, seed: int = 1) -> dict[str, Any]:
    """Measure what `by_layer` costs, as a multiple of a plain gradient by the weights.

    Both run eagerly on the same model and batch, in turns: a forward run and ``tape.gradient`` by
    all trainable weights, and `by_layer` with whatever passes it needs.

    Returns
    -------
    dict
        ``"ratio"`` (the largest of all cases), ``"limit"`` (2.0), and ``"cases"``: by the name of
        the model the two medians in seconds, the median of the ratios turn by turn, and the
        number of backward passes.
    """
    from course_lib.models.networks import dense_stack

    rng = np.random.default_rng(seed)
    images = rng.normal(size=(64, 64)).astype(np.float32)
    pictures = rng.normal(size=(32, 24, 24, 3)).astype(np.float32)
    cases = {
        "70 sigmoid layers of 32": (dense_stack(70, 32, "sigmoid", seed=seed), images),
        "20 ReLU layers of 512": (dense_stack(20, 512, "relu", seed=seed), images),
        "20 residual blocks, batch norm, ReLU": (_residual_blocks(), images),
        "8 convolutions, batch norm, ReLU": (_convolutions(), pictures),
    }
    results = {}
    for name, (model, x) in cases.items():
        y = rng.integers(10, size=len(x))
        results[name] = _compare(model, x, y, repeats)
    return {
        "ratio": max(case["ratio"] for case in results.values()),
        "limit": 2.0,
        "cases": results,
    }


def _compare(model: keras.Model, x: np.ndarray, y: np.ndarray, repeats: int) -> dict[str, Any]:
    x_tensor, y_tensor = tf.constant(x), tf.constant(y)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def plain() -> None:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=y_tensor, y_pred=model(x_tensor, training=False))
        tape.gradient(loss, model.trainable_variables)

    def seconds(measured: Callable[[], Any]) -> float:
        start = time.perf_counter()
        measured()
        return time.perf_counter() - start

    pairs = [(seconds(plain), seconds(lambda: by_layer(model, x, y))) for _ in range(repeats + 1)]
    plain_seconds, flow_seconds = zip(*pairs[1:], strict=True)  # the first pair warms up
    return {
        "plain_seconds": statistics.median(plain_seconds),
        "by_layer_seconds": statistics.median(flow_seconds),
        "ratio": statistics.median(b / a for a, b in pairs[1:]),
        "passes": by_layer(model, x, y).passes,
    }


def _convolutions() -> keras.Model:
    layers: list[keras.Layer] = [keras.Input((24, 24, 3))]
    for _ in range(8):
        layers += [
            keras.layers.Conv2D(32, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def _residual_blocks() -> keras.Model:
    inputs = keras.Input((64,))
    h = keras.layers.Dense(64)(inputs)
    for _ in range(20):
        branch = keras.layers.BatchNormalization()(keras.layers.Dense(64)(h))
        h = h + keras.layers.ReLU()(branch)
    return keras.Model(inputs, keras.layers.Dense(10)(h))


def _longest_paths(recording: Recording, connected: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Return each record's distance from the loss, and the longest path of all.

    The distance counts the layers with weights after a record, along parents and children.
    """
    records: list[Record] = recording.records
    depth = np.full(len(records), np.nan)
    following: dict[int, int] = {}
    depth[[i for i in recording.exits if connected[i]]] = 0
    for j in reversed(range(len(records))):
        if np.isnan(depth[j]):
            continue
        for i in filter(connected.__getitem__, records[j].parents):
            length = depth[j] + records[j].has_weights
            if np.isnan(depth[i]) or length >= depth[i]:
                depth[i], following[i] = length, j
    if np.isnan(depth).all():
        return depth, [len(records) - 1]
    path = [int(np.nanargmax(depth))]
    while path[-1] in following:
        path.append(following[path[-1]])
    return depth, path


def _geometric_mean(first: float, last: float, steps: int) -> float:
    """Return (first/last)^(1/steps), by logarithms: the ratio itself may leave float64."""
    if not steps or not np.isfinite([first, last]).all() or last == 0:
        return float("nan")
    return float(np.exp((np.log(first) - np.log(last)) / steps)) if first else 0.0


def _norm(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3e}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
