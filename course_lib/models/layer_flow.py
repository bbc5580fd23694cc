"""The result of `gradient_flow.by_layer`, and how far each record of it is from the loss."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib.models.backward import FORMATS
from course_lib.models.objectives import counted
from course_lib.models.recording import Record, Recording

__all__ = ["LayerFlow", "geometric_mean", "longest_paths"]


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
            sentences.append(
                "Some gradients are not finite: the network explodes, or a slope is infinite "
                "(√0, log 0)."
            )
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


def longest_paths(recording: Recording, connected: np.ndarray) -> tuple[np.ndarray, list[int]]:
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


def geometric_mean(first: float, last: float, steps: int) -> float:
    """Return (first/last)^(1/steps), by logarithms: the ratio itself may leave float64."""
    if not steps or not np.isfinite([first, last]).all() or last == 0:
        return float("nan")
    return float(np.exp((np.log(first) - np.log(last)) / steps)) if first else 0.0


def _norm(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3e}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
