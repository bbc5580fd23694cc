"""The trials of one model that a diagnosis may ask for, each made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import keras

from course_lib.models.batch_norms import normalized_by_batch
from course_lib.models.batches import Batch
from course_lib.models.masks import without_masks
from course_lib.models.objectives import counted, objective_of
from course_lib.models.recording import unchanged
from course_lib.models.targets import standardized, taking_logits
from course_lib.models.trial import (
    Trial,
    Trials,
    can_be_made_anew,
    constant_loss,
    weight_decay,
)

__all__ = ["FEWEST", "TrialRoom"]

FEWEST = 8  # samples: of fewer, many a unit of a healthy layer is 0 for each
MILLIONTH = 1e-6  # what a rate of 0 is raised from


class TrialRoom:
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
        self.decay = weight_decay(self.optimizer) if self.optimizer is not None else 0.0
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
        return self._run("inputs brought to scale", x=self._scaled())

    def targets_to_scale(self, *, inputs_too: bool = False) -> Trial:
        """Return the trial with every column of the targets at mean 0 and standard deviation 1."""
        x = self._scaled() if inputs_too else self.batch.x
        batch = replace(self.batch, x=x, y=standardized(self.batch.y))
        name = f"{'inputs and ' * inputs_too}targets brought to scale"
        return self._once(name, lambda: self._made(batch=batch).run())

    def without_masks(self) -> Trial:
        """Return the trial with every step of a sequence read."""
        return self._with("every step read", without_masks)

    def normalized_by_batch(self) -> Trial:
        """Return the trial with every Batch Norm normalising by the batch."""
        return self._with("Batch Norm by the batch", normalized_by_batch)

    def without_regularization(self) -> Trial:
        """Return the trial by the loss alone, without what layers add to it or weight decay."""
        return self._once("no regularisation", lambda: self._made(regularized=False).run())

    def added(self) -> float:
        """Return what layers add to the loss before any training."""
        with unchanged(self.model):
            self.model(self.batch.x)
            return self._added()

    def _added(self) -> float:
        return sum(float(keras.ops.sum(extra)) for extra in self.model.losses)

    def on_logits(self) -> Trial | None:
        """Return the trial with a loss that takes the outputs for logits, if it can be made."""
        own = taking_logits(self.model.loss if self.loss is None else self.loss)
        if own is None:
            return None
        return self._once("outputs taken for logits", lambda: self._made(own).run())

    def _run(self, name: str, **changes: Any) -> Trial:
        """Return the trial on the graph that all share."""

        def run() -> Trial:
            if self._trials is None:
                self._trials = self._made()
            return self._trials.run(**changes)

        return self._once(name, run)

    def _with(
        self, name: str, change: Callable[[keras.Model], AbstractContextManager[None]]
    ) -> Trial:
        """Return a trial of the model with some of its calls changed: it needs a graph anew."""

        def run() -> Trial:
            with change(self.model):
                return self._made().run()

        return self._once(name, run)

    def _once(self, name: str, run: Callable[[], Trial]) -> Trial:
        if name not in self.done:
            self.done[name] = run()
        return self.done[name]

    def _scaled(self) -> Any:
        """Return the inputs with every column at mean 0 and standard deviation 1, but tokens."""
        return keras.tree.map_structure(
            lambda x: standardized(x) if x.dtype.is_floating else x, self.batch.x
        )

    def _made(
        self, loss: Any = None, batch: Batch | None = None, regularized: bool = True
    ) -> Trials:
        batch = batch or self.batch
        objective = objective_of(self.model, self.loss if loss is None else loss, batch)
        with unchanged(self.model):
            outputs = self.model(batch.x)
            baseline = constant_loss(objective, outputs, batch.y) - self._added()
        return Trials(
            self.model,
            batch.x,
            objective,
            baseline=baseline,
            optimizer=self.optimizer or keras.optimizers.Adam(1e-3),
            regularized=regularized,
            steps=self.steps,
            seconds=self.seconds,
        )
