"""Watch the gradient while a model trains, without touching the training.

>>> monitor = GradientMonitor(x[:64], y[:64], every=50)
>>> model.fit(x, y, epochs=5, callbacks=[monitor])
>>> monitor.history["factor_per_layer"]

A Keras callback never sees the batch that is trained on, nor its gradients. So the monitor has a
batch of its own, the same at every look, and what changes from one look to the next is the network.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.checks import function, instance, positive_int, shown
from course_lib.models.batches import as_tensors, check_batch
from course_lib.models.layer_flow import LayerFlow
from course_lib.models.objectives import objective_of
from course_lib.models.recording import unchanged
from course_lib.models.time_steps import by_time_step
from course_lib.models.traced_flow import COLUMNS, TracedFlow

__all__ = ["GradientMonitor"]

PER_LOOK = ("steps", "loss", "factor_per_layer")


class GradientMonitor(keras.callbacks.Callback):
    """Measure the gradient flow every so many steps of a training.

    It goes into ``callbacks=[…]`` of ``model.fit`` and of ``course_lib.models.training.fit``. At
    the start, after every `every` steps and at the end, it runs the network on the probe batch and
    differentiates the loss by every record, as `gradient_flow.by_layer` does. The model is put
    back bit for bit (weights, seeds of dropout, averages of Batch Norm, states, metrics), so the
    training goes as it would without a monitor. A model that is not built yet is first looked at
    after its first step.

    Unlike `by_layer` it shows what training sees: an entry of the gradient that underflowed is 0.

    Parameters
    ----------
    x, y : arrays, or lists or dicts of arrays
        The probe batch, as for ``model.fit``; about as large as a training batch, for its size is
        what a look costs.
    every : int
        Steps from one look to the next; 50 unless given.
    loss : str, keras.losses.Loss or function of (y_true, y_pred), optional
        Instead of the loss that the model is trained with.
    sample_weight : array, shape (batch,), optional
    training : bool
        Whether layers behave as in training when they are measured.
    time_steps : bool
        Whether to measure the gradient by time step of every recurrent layer too, as
        `gradient_flow.by_time_step` does; a look then costs about twice as much.
    probes : dict of str to function, optional
        What else to measure at every look: each function takes the model and returns a number or
        an array, always of the same shape. It may run the model, which is put back afterwards.
    log_dir : str or path, optional
        A folder for TensorBoard; every figure of `history` becomes a scalar there.

    Attributes
    ----------
    names : list of str
        The records, from the model's input to its output, as `LayerFlow` has them.
    depth, entries : ndarray, shape (records,)
        Distance from the loss, in layers with weights; numbers in the layer's output.
    dtype : str
        The narrowest number format of all records.
    history : dict of ndarray
        What was measured; see there.
    listeners : list of function
        Each is called with the monitor after every look, and at the end of the training.
    is_training : bool
        Whether a training is under way.
    planned_steps : int
        Where the training will end that is under way or was the last; 0 where nobody knows.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, in one sentence; what only the model can tell, at the
        beginning of the training.
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        *,
        every: int = 50,
        loss: Any = None,
        sample_weight: Any = None,
        training: bool = False,
        time_steps: bool = False,
        probes: dict[str, Callable[[keras.Model], Any]] | None = None,
        log_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self.every = positive_int("every", every)
        as_tensors("x", x)
        if y is not None:
            as_tensors("y", y)
        for name, value in (("training", training), ("time_steps", time_steps)):
            if not isinstance(value, bool | np.bool_):
                raise TypeError(f"`{name}` is {shown(value)}; it takes True or False.")
        self._probe, self._loss, self._training = (x, y, sample_weight), loss, bool(training)
        self._time_steps = bool(time_steps)
        self._probes = _checked_probes(probes)
        self._log_dir = None if log_dir is None else _checked_folder(log_dir)
        self.listeners: list[Callable[[GradientMonitor], object]] = []
        self.is_training = False
        self._watched: keras.Model | None = None
        self._forget()

    def _forget(self) -> None:
        self._flow: TracedFlow | None = None
        self._signature: Any = None
        self._writer: Any = None
        self._step = 0  # updates made so far
        self.planned_steps = 0
        self._looks: list[dict[str, np.ndarray]] = []
        self._records: list[str] = []  # that were measured at those looks
        self._before: list[list[tf.Tensor]] | None = (
            None  # weights, when the next step changes them
        )

    @property
    def names(self) -> list[str]:
        """The records, from the model's input to its output; empty before the first look."""
        return list(self._flow.names) if self._flow else []

    @property
    def depth(self) -> np.ndarray:
        """Distance from the loss, shape (records,); NaN where no path leads to it."""
        return self._flow.depth if self._flow else np.empty(0)

    @property
    def entries(self) -> np.ndarray:
        """Numbers in each layer's output, batch included, shape (records,)."""
        return self._flow.entries if self._flow else np.empty(0, dtype=int)

    @property
    def dtype(self) -> str:
        """The narrowest number format of all records."""
        return self._flow.dtype if self._flow else "float32"

    @property
    def history(self) -> dict[str, np.ndarray]:
        """What was measured, as plain arrays, one row a look.

        - ``steps``, shape (looks,): updates made before the look;
        - ``loss``, shape (looks,): of the probe batch;
        - ``factor_per_layer``, shape (looks,): as `LayerFlow` defines it;
        - ``activation_norms``, ``weight_norms``, shape (looks, records): ‖∂𝓛/∂h‖ and ‖∂𝓛/∂W‖;
        - ``update_ratios``, shape (looks, records): ‖ΔW‖/‖W‖ of the step after the look, whatever
          the optimiser; NaN for layers without trainable weights and after the last step;
        - ``dead``, shape (looks, records): the share of units of a ReLU that are 0 for the whole
          probe batch, at every place of a picture or sequence; NaN for other layers;
        - ``saturated``, shape (looks, records): the share of entries where a sigmoid, tanh, hard
          sigmoid, hard tanh or softsign has less than 2 % of its largest slope left; NaN for
          other layers, so for the gates of an LSTM or a GRU, and where activations are not finite;
        - ``time_steps/NAME``, shape (looks, time), if `time_steps`: ‖∂𝓛/∂h_t‖ over batch and units
          of each recurrent layer, in the order of time, as `TimeStepFlow.norms` has them: nothing
          underflows there;
        - what `probes` measured, by their names, shape (looks, …).
        """
        if self._looks:
            return {name: np.array([look[name] for look in self._looks]) for name in self._looks[0]}
        per_record = {name: np.empty((0, len(self.names))) for name in (*COLUMNS, "update_ratios")}
        per_look = {name: np.empty(0) for name in PER_LOOK} | {"steps": np.empty(0, dtype=int)}
        return per_look | per_record

    def flow(self, look: int = -1) -> LayerFlow:
        """Return one look as a `LayerFlow`, for tables and for ``show.gradient_picture``.

        Raises
        ------
        IndexError
            If there was no such look.
        """
        if not -len(self._looks) <= look < len(self._looks) or self._flow is None:
            raise IndexError(f"`look` is {look}; there were {len(self._looks)} so far.")
        return self._flow.as_layer_flow(self._looks[look])

    # --- what Keras calls ---------------------------------------------------------------------

    def on_train_begin(self, logs: Any = None) -> None:
        """Take the model in; one that was watched before goes on where it stopped.

        One that was compiled anew since then, perhaps with layers frozen, is looked at anew. What
        was measured before is kept as long as the layers are the same.
        """
        if getattr(self.model, "steps_per_execution", 1) != 1:
            raise ValueError(
                f"the model makes {self.model.steps_per_execution} steps at a time "
                "(`steps_per_execution`); a monitor looks between steps and takes 1."
            )
        if self.model is not self._watched:
            self._forget()
            self._watched = self.model
        self.is_training = True
        params = self.params or {}
        self.planned_steps = (params.get("steps") or 0) * params.get("epochs", 1)
        if self.planned_steps:
            self.planned_steps += self._step
        if self.model.built:
            self._prepare()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Look, if it is time to; and see what the step after the last look has changed."""
        if not self.is_training:
            return
        self._finish_update()
        is_traced = self._flow is not None and bool(self._flow.names)
        is_due = self._step % self.every == 0 or not is_traced
        is_new = not self._looks or self._looks[-1]["steps"] != self._step
        if self.model.built and is_due:
            if is_new or not is_traced:
                self._look()
            self._before = self._flow.weights() if self._flow else None
        self._step += 1

    def on_train_end(self, logs: Any = None) -> None:
        """Look once more, at what the training has led to."""
        self._finish_update()
        if self.model.built and (not self._looks or self._looks[-1]["steps"] != self._step):
            self._look()
        self.is_training = False
        if self._writer is not None:
            self._writer.flush()
        self._tell()

    # ------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Get ready to measure this model; what was traced for it before still holds."""
        loss = self._loss_of_training()
        signature = (
            loss,
            getattr(self.model, "loss", None),
            getattr(self.model, "_compile_loss", None),  # a new one with every `compile`
            [id(variable) for variable in self.model.trainable_variables],
        )
        if self._flow is not None and signature == self._signature:
            return
        x, y, sample_weight = self._probe
        batch = check_batch(self.model, x, y, sample_weight)
        objective = objective_of(self.model, loss, batch)
        self._flow = TracedFlow(self.model, batch, objective, self._training)
        self._signature, self._before = signature, None

    def _look(self) -> None:
        if self._flow is None:
            self._prepare()
        assert self._flow is not None
        measured = self._flow()
        norms = measured["activation_norms"]
        look = {
            "steps": np.array(self._step),
            "factor_per_layer": np.array(self._flow.factor_per_layer(norms)),
            **measured,
            "update_ratios": np.full(len(norms), np.nan),
        }
        if self._time_steps:
            look |= self._by_time_step()
        if self._probes:
            with unchanged(self.model):
                look |= {
                    name: np.asarray(probe(self.model)) for name, probe in self._probes.items()
                }
        if self._records != self._flow.names:  # a layer was added or taken away
            self._looks, self._records = [], list(self._flow.names)
        if self._looks and self._looks[-1]["steps"] == self._step:  # compiled anew since then
            self._looks.pop()
        self._looks.append(look)
        self._log(look)
        self._tell()

    def _by_time_step(self) -> dict[str, np.ndarray]:
        x, y, sample_weight = self._probe
        flows = by_time_step(
            self.model,
            x,
            y,
            loss=self._loss_of_training(),
            sample_weight=sample_weight,
            training=self._training,
        )
        return {f"time_steps/{name}": np.asarray(flow.norms) for name, flow in flows.items()}

    def _loss_of_training(self) -> Any:
        """Return the loss to measure, None for the one that the model is compiled with."""
        return self._loss if self._loss is not None else (self.params or {}).get("loss")

    def _finish_update(self) -> None:
        """Compare the weights with those before the step that followed the last look."""
        if self._before is None or self._flow is None:
            return
        look = self._looks[-1]
        if self._step > look["steps"]:
            look["update_ratios"] = self._flow.change_since(self._before)
            self._log(look, only=("update_ratios",))
        self._before = None

    def _tell(self) -> None:
        for listener in list(self.listeners):
            listener(self)

    def _log(self, look: dict[str, np.ndarray], only: tuple[str, ...] | None = None) -> None:
        """Write scalars for TensorBoard, as its own package would, which need not be there."""
        if self._log_dir is None:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._log_dir))
        with self._writer.as_default(step=int(look["steps"])):
            for name in only or [name for name in look if name not in ("steps", "update_ratios")]:
                for tag, value in _scalars(name, look[name], self.names):
                    tf.summary.write(tag, tf.constant(value, tf.float32), metadata=_SCALAR)


_SCALAR = tf.compat.v1.SummaryMetadata(
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"), data_class=1
)


def _scalars(name: str, values: np.ndarray, records: list[str]) -> list[tuple[str, float]]:
    """Return (tag, number) of every entry that is a number."""
    if values.ndim == 0:
        named = [(name, float(values))]
    else:
        parts = records if values.shape == (len(records),) else [*map(str, range(values.size))]
        named = [
            (f"{name}/{part}", float(v)) for part, v in zip(parts, values.ravel(), strict=True)
        ]
    return [(tag, value) for tag, value in named if not np.isnan(value)]


def _checked_probes(probes: Any) -> dict[str, Callable[[keras.Model], Any]]:
    takes = "a dictionary of functions of the model by name"
    checked = dict(instance("probes", {} if probes is None else probes, dict, takes))
    taken = {*PER_LOOK, *COLUMNS, "update_ratios"}
    for name, probe in checked.items():
        if not isinstance(name, str) or name in taken or name.startswith("time_steps/"):
            raise ValueError(
                f"`probes` has the name {shown(name)}; it takes names that `history` has not yet."
            )
        function(f"probes[{name!r}]", probe, "a function of the model")
    return checked


def _checked_folder(log_dir: Any) -> Path:
    if not isinstance(log_dir, str | os.PathLike):
        raise TypeError(f"`log_dir` is {shown(log_dir)}; it takes the path of a folder.")
    folder = Path(log_dir)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`log_dir` is {shown(str(folder))}, a file; it takes a folder.")
    return folder
