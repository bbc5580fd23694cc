"""How much of the gradient arrives at every time step of any recurrent layer.

>>> from course_lib.models import gradient_flow
>>> flows = gradient_flow.by_time_step(model, x, y)
>>> print(flows["lstm"])

The measure is ∂𝓛/∂h_t, h_t the state of the layer after step t: the sum over all ways from h_t to
the loss, through its own output and through all later steps (backpropagation through time; Werbos,
1990, doi:10.1109/5.58337).
"""

from __future__ import annotations

import difflib
import html
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from course_lib.checks import instance, shown
from course_lib.models.backward import FORMATS
from course_lib.models.batches import build_on, check_batch
from course_lib.models.layer_flow import geometric_mean
from course_lib.models.measurements import Measured, Measurement
from course_lib.models.objectives import FlowError, counted, in_one_sentence, objective_of
from course_lib.models.probes import recurrent_layers
from course_lib.models.step_passes import StepGradient, all_passes, steps_left

__all__ = ["TimeStepFlow", "by_time_step"]

Array = NDArray[np.float64]
MOST_ROWS = 21  # of a printed table


@dataclass(frozen=True, eq=False, repr=False)
class TimeStepFlow:
    """What `by_time_step` measured at one recurrent layer: the gradient by its state, by step.

    Steps are in the order of the input, also in a layer that reads backwards. Norms are Frobenius
    norms over batch and units of the gradient of the batch-mean loss, in float64.

    Attributes
    ----------
    name : str
        The layer's name, after the names of the models and layers that hold it.
    gradients : ndarray, shape (batch, time, units)
        ∂𝓛/∂h_t. NaN at masked steps.
    norms : ndarray, shape (time,)
        ‖∂𝓛/∂h_t‖ over the samples that read step t; NaN where all are masked.
    cell_gradients : ndarray, shape (batch, time, units), or None
        ∂𝓛/∂c_t with h_t held fixed, for a layer with a second state, such as an LSTM: what arrives
        along the cell alone. It is 0 at the last step, where the loss reads h_t only.
    mask : ndarray of bool, shape (batch, time), or None
        False where a step is skipped.
    distances : ndarray of int, shape (batch, time)
        Steps that the sample still reads after this one: 0 at its last step; −1 at masked steps.
    backwards : bool
        Whether the layer reads from the last step to the first.
    last_step_only : bool
        Whether the layer hands on its last state only, so that all of the gradient enters there.
    joined : bool
        Whether the cell's output is its state h_t. If not, the gradient is by the state alone,
        with the output of the same step held fixed.
    underflowed, true_zeros, unresolved : ndarray of int, shape (time,)
        Entries of ∂𝓛/∂h_t that the format writes as 0, and that were recovered by scaling;
        entries that are 0 at every scale; entries that are 0 and may have been lost on the way
        from another layer, as a rule none.
    zeros_are_sure : bool
        Whether every 0 is one at every scale, so that none is unresolved.
    dtype : str
        The format that the layer computes in.
    loss : float
        The loss that was differentiated.
    passes : int
        Backward passes: 1, and more where a gradient left the range of the format, at the large
        end or between two layers.
    """

    name: str
    gradients: Array
    cell_gradients: Array | None
    mask: NDArray[np.bool_] | None
    backwards: bool
    last_step_only: bool
    joined: bool
    zeros_are_sure: bool
    dtype: str
    loss: float
    passes: int

    @property
    def steps(self) -> int:
        """Steps of the input, masked ones included."""
        return self.gradients.shape[1]

    @cached_property
    def norms(self) -> Array:
        """‖∂𝓛/∂h_t‖ by step, shape (time,)."""
        return _norms(self.gradients)

    @cached_property
    def cell_norms(self) -> Array | None:
        """‖∂𝓛/∂c_t‖ with h_t held fixed by step, shape (time,), or None."""
        return None if self.cell_gradients is None else _norms(self.cell_gradients)

    @cached_property
    def distances(self) -> NDArray[np.int_]:
        """Steps that each sample still reads after each step, shape (batch, time)."""
        batch, time = self.gradients.shape[:2]
        return steps_left(self.mask, (batch, time), self.backwards)

    @cached_property
    def rms_by_distance(self) -> Array:
        """Root mean square of ∂𝓛/∂h by the distance from a sample's last step, 0 first.

        Shape (steps of the longest sample,). Each over the samples that are this long: a shorter
        one has no step there.
        """
        return self._rms(self.distances)

    def _rms(self, distances: NDArray[np.int_]) -> Array:
        return np.array(
            [_rms(self.gradients[distances == left]) for left in range(distances.max() + 1)]
        )

    @cached_property
    def factor_per_step(self) -> float:
        """(rms of ∂𝓛/∂h at the first step / rms at the last)^(1/steps between).

        Over the longest samples of the batch. It starts at the last step where something arrives,
        and is NaN for fewer than two steps.
        """
        ends = self._ends
        return math.nan if ends is None else geometric_mean(*ends)

    @cached_property
    def _ends(self) -> tuple[float, float, int] | None:
        """The rms of the gradient of the longest samples at both ends, and the steps between."""
        longest = self.distances.max(axis=1, keepdims=True) == self.distances.max()
        rms = self._rms(np.where(longest, self.distances, -1))
        arriving = np.flatnonzero(rms)
        if not arriving.size or arriving[0] == len(rms) - 1:
            return None
        return rms[-1], rms[arriving[0]], len(rms) - 1 - int(arriving[0])

    @cached_property
    def underflowed(self) -> NDArray[np.int_]:
        """Entries by step that the format writes as 0, and that were recovered by scaling."""
        return self._counted((np.abs(self.gradients) < self.limit) & (self.gradients != 0))

    @cached_property
    def true_zeros(self) -> NDArray[np.int_]:
        """Entries by step that are 0 at every scale."""
        return self._counted((self.gradients == 0) & self.zeros_are_sure)

    @cached_property
    def unresolved(self) -> NDArray[np.int_]:
        """Entries by step that are 0 and may have been lost on the way from another layer."""
        return self._counted((self.gradients == 0) & (not self.zeros_are_sure))

    def _counted(self, entries: NDArray[np.bool_]) -> NDArray[np.int_]:
        return entries.sum(axis=(0, *range(2, entries.ndim)))

    @property
    def limit(self) -> float:
        """The smallest number that TensorFlow does not write as 0 in `dtype`."""
        return 2.0 ** FORMATS[self.dtype].smallest

    def table(self) -> list[dict[str, Any]]:
        """Return one dict a step, with plain numbers; `step` counts from 1."""
        rows = [
            {
                "step": t + 1,
                "distance": self.steps - 1 - t if not self.backwards else t,
                "norm": float(self.norms[t]),
                "underflowed": int(self.underflowed[t]),
                "true_zeros": int(self.true_zeros[t]),
            }
            for t in range(self.steps)
        ]
        if self.cell_norms is not None:
            for row, norm in zip(rows, self.cell_norms, strict=True):
                row["cell_norm"] = float(norm)
        return rows

    def summary(self) -> str:
        """Say in words what was measured, and what stands out."""
        return " ".join(self._sentences())

    def _sentences(self) -> list[str]:
        sentences = [
            f"{self.name}: norms of the gradient by the state (∂L/∂h_t) at "
            f"{counted(self.steps, 'step')}, for a batch-mean loss of {self.loss:.3g}, "
            f"in {self.dtype}{', read from the last step to the first' * self.backwards}."
        ]
        if not self.joined:
            sentences.append(
                "The cell's output is not its state: the gradient is by the state, with the "
                "output of the same step held fixed."
            )
        if self._ends is not None:
            sentences.append(self._factor_sentence())
        if self.cell_gradients is not None:
            sentences.append("∂L/∂c_t holds h_t fixed.")
        if self.mask is not None and not self.mask.all():
            sentences.append(
                f"{counted(int((~self.mask).sum()), 'masked step')} of {self.mask.size} "
                "(NaN): nothing is read there."
            )
        if not np.isfinite(self.loss):
            sentences.append("The loss is not finite, so no gradient means anything.")
        elif not np.isfinite(self.gradients[self.distances >= 0]).all():
            sentences.append("Some gradients are not finite: the network explodes.")
        if self.underflowed.any():
            sentences.append(
                f"{self.dtype} writes gradients below {self.limit:.1e} as 0: it lost "
                f"{counted(int(self.underflowed.sum()), 'entry', 'entries')} at "
                f"{counted(int((self.underflowed > 0).sum()), 'step')}. Training sees those "
                "zeros; a rescaled backward pass recovered the norms shown here."
            )
        if not np.nan_to_num(self.gradients, nan=0.0).any():
            sentences.append("Nothing arrives at any step.")
        if self.unresolved.any():
            sentences.append(
                f"{counted(int(self.unresolved.sum()), 'zero')} could not be explained: they may "
                "have been lost on the way from another layer."
            )
        return sentences

    def _factor_sentence(self) -> str:
        assert self._ends is not None
        sentence = (
            f"Factor per step: {self.factor_per_step:.3g}, over "
            f"{counted(self._ends[2], 'step')} (rms of ∂L/∂h_t; 1 arrives, below 1 vanishes, "
            "above 1 explodes)."
        )
        if self.last_step_only:
            return sentence
        return (
            f"{sentence} It stands for one product of Jacobians only if the loss reads the last "
            "step alone; this layer hands on every step, so gradient may enter at each "
            "(`jacobian_products` tells the layer's own factor)."
        )

    def _rows(self) -> list[list[str]]:
        return [
            [
                str(row["step"]),
                str(row["distance"]),
                *(_shown(row[key]) for key in ("norm", "cell_norm") if key in row),
                str(row["underflowed"]),
                str(row["true_zeros"]),
            ]
            for row in _thinned(self.table())
        ]

    def _header(self) -> list[str]:
        cell = [] if self.cell_gradients is None else ["‖∂L/∂c_t‖, h_t fixed"]
        return ["step", "distance", "‖∂L/∂h_t‖", *cell, "underflowed", "zero"]

    def __str__(self) -> str:
        rows = [self._header(), *self._rows()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]
        return "\n".join([*lines, *self._sentences()])

    def __repr__(self) -> str:
        return (
            f"<TimeStepFlow {self.name}: {counted(self.steps, 'step')}, "
            f"factor per step {self.factor_per_step:.3g}>"
        )

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{html.escape(title)}</th>" for title in self._header())
        body = "".join(
            f"<tr><th scope='row'>{row[0]}</th>"
            + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
            + "</tr>"
            for row in self._rows()
        )
        caption = html.escape(self.summary())
        return (
            f"<table><caption style='text-align:left'>{caption}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def by_time_step(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    layer: str | keras.layers.Layer | None = None,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
) -> dict[str, TimeStepFlow]:
    """Measure how much of the gradient arrives at every time step of the recurrent layers.

    The model runs once, with a zero added to every state, and one backward pass by all the zeros
    gives ∂𝓛/∂h_t for all steps of all recurrent layers: SimpleRNN, LSTM, GRU, `keras.layers.RNN`
    with any cells, ConvLSTM, within `Bidirectional`, `TimeDistributed`, nested and subclassed
    models. The run is traced once and kept for the next call with the same model and shapes, as
    Keras keeps that of ``model.fit``. The model is the same afterwards, bit for bit: weights,
    moving averages, seeds, states, metrics.

    A gradient through time soon leaves the range of its format. The backward pass is therefore
    rescaled as it goes, by powers of two, which is exact: the result does not underflow, and says
    which of its entries training would have read as 0.

    Parameters
    ----------
    model : keras.Model
        Functional, Sequential or subclassed; one that is not built yet is built by `x`.
    x, y : arrays, or lists or dicts of arrays
        One batch as for ``model.fit``: first dimension batch, at most some thousand samples.
    layer : str or keras layer, optional
        A recurrent layer, or a layer or nested model that holds some; all of the model's unless
        given. The other layers are then left out of the result and of its cost.
    loss : str, keras.losses.Loss or function of (y_true, y_pred), optional
        For a model that is not compiled, or instead of its own loss; a list or dict of them for
        several outputs.
    sample_weight : array, shape (batch,), optional
        As for ``model.fit``.
    training : bool
        Whether layers behave as in training (dropout drops, batch normalisation uses the batch).

    Returns
    -------
    dict of str to TimeStepFlow
        By the name of the layer, after the names of what holds it ("bidirectional/forward_lstm");
        the name of the cell is added where a layer has several, the number of the use where a
        layer is used more than once. In the order in which the layers ran.

    Raises
    ------
    TypeError, ValueError, FlowError (a ValueError)
        When an argument does not fit, in one sentence.
    """
    instance("model", model, keras.Model, "a Keras model, such as `keras.Sequential([...])`")
    if not isinstance(training, bool | np.bool_):
        raise TypeError(f"`training` is {shown(training)}; it takes True or False.")
    batch = check_batch(model, x, y, sample_weight)
    objective_of(model, loss, batch)  # refuses a wrong loss before anything runs
    cannot_run = f"the model cannot be run on `x`, of shape {batch.x_shapes}"
    build_on(model, batch)
    names = _chosen(model, layer)
    options = (model, names, loss, bool(training), batch)
    plain = Measurement.of(*options)

    def one_pass(exponent: int, rescaled: bool) -> Measured:
        measurement = Measurement.of(*options, rescaled=True) if rescaled else plain
        with in_one_sentence(cannot_run):
            return measurement(batch, exponent)

    def in_float64(exponent: int) -> Measured | None:
        wide = Measurement.of(*options, rescaled=True, wide=True)
        return wide.if_possible(batch, exponent)

    value, found, passes = all_passes(plain.plan, one_pass, in_float64)
    return {one.place.name: _result(one, value, passes) for one in found}


def _result(found: StepGradient, loss: float, passes: int) -> TimeStepFlow:
    return TimeStepFlow(
        name=found.place.name,
        gradients=found.parts[0],
        cell_gradients=found.parts[1] if len(found.parts) > 1 else None,
        mask=found.mask,
        backwards=found.place.backwards,
        last_step_only=not found.place.every_step,
        joined=found.place.joined,
        zeros_are_sure=found.sure,
        dtype=found.place.dtype,
        loss=loss,
        passes=passes,
    )


def _chosen(model: keras.Model, layer: Any) -> tuple[str, ...]:
    """Return the names of the recurrent layers that are asked for."""
    names = recurrent_layers(model)
    if not names:
        raise FlowError(
            f"`model` ({model.name}) has no recurrent layer; it takes a model with one, such as "
            "`keras.layers.LSTM`."
        )
    if layer is None:
        return tuple(names.values())
    wanted = layer.name if isinstance(layer, keras.Layer) else layer
    if not isinstance(wanted, str):
        raise TypeError(
            f"`layer` is {shown(layer)}; it takes a recurrent layer of the model or its name."
        )
    if isinstance(layer, keras.layers.RNN):
        found = [name for one, name in names.items() if one is layer]
    else:
        found = [name for name in names.values() if wanted == name] or [
            name for name in names.values() if f"/{wanted}/" in f"/{name}/"
        ]
    if not found:
        known = [*names.values()]
        close = difflib.get_close_matches(wanted, known, n=1) if len(known) > 1 else []
        raise FlowError(
            f"`layer` is {shown(wanted)}, no recurrent layer of this model; it takes "
            f"{'one of ' * (len(known) > 1)}{', '.join(known)}"
            f"{f' (perhaps {close[0]})' if close else ''}."
        )
    return tuple(found)


def _norms(gradients: Array) -> Array:
    """Return the Frobenius norms by step of an array (batch, time, …); NaN where all is NaN."""
    by_step = [gradients[:, t][~np.isnan(gradients[:, t])] for t in range(gradients.shape[1])]
    return np.array([math.sqrt(one.size) * _rms(one) for one in by_step])


def _rms(values: Array) -> float:
    """Return the root mean square; squares of what is small or large would leave float64."""
    if not values.size:
        return math.nan
    largest = float(np.abs(values).max())
    if not 0 < largest < math.inf:
        return largest
    return largest * math.sqrt(np.square(values / largest).mean())


def _shown(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3e}"


def _thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most some twenty rows, evenly spaced, the first and the last among them."""
    if len(rows) <= MOST_ROWS:
        return rows
    chosen = np.unique(np.linspace(0, len(rows) - 1, MOST_ROWS).round().astype(int))
    return [rows[i] for i in chosen]
