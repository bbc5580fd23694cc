"""A short trial: whether the loss falls when a model is trained for a moment on a few samples.

A network that can learn at all learns a few dozen samples by heart within some hundred steps, and
so gets below the loss of the best constant answer, which needs no gradient but the last layer's
bias. One that cannot, stays there. That is the evidence of harm for a diagnosis: a ratio of
gradients alone says little, for many a network with a bad one trains.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.models.recording import unchanged
from course_lib.models.symptoms import variation

__all__ = ["Trial", "Trials", "constant_loss"]

LEARNS = 0.9  # of the best constant answer's loss: below it, the input has been used
DIVERGES = 3.0  # times the loss at the start: once above it, the steps do harm
SMOOTH = 5  # steps whose mean loss is compared
EARLIEST = 20  # steps before a trial may end
FIRST = 10  # steps over which the size of an update is measured


@dataclass(frozen=True, eq=False)
class Trial:
    """What became of the loss in a short training on one batch, all of it in every step.

    Attributes
    ----------
    losses : ndarray, shape (steps,)
        The loss before each update, without what layers add to it (regularisation).
    baseline : float
        The loss of the best constant answer; the first loss where that is unknown.
    update_ratio : float
        ‖ΔW‖ / ‖W‖, W as it was at the start, of the matrix that moves most in a step; the median
        of the first steps. NaN without any matrix.
    variation : float
        How far the outputs differ between samples afterwards, see `symptoms.variation`.
    optimizer : str
        Name of its class.
    learning_rate : float
        At the first step.
    seconds : float
        Without the first step, which also builds the graph.
    cut_short : bool
        Whether it was stopped because it took too long.
    """

    losses: np.ndarray
    baseline: float
    update_ratio: float
    variation: float
    optimizer: str
    learning_rate: float
    seconds: float
    cut_short: bool

    @property
    def first(self) -> float:
        """The loss before the first update."""
        return float(self.losses[0])

    @property
    def last(self) -> float:
        """Mean loss of the last few steps."""
        return float(np.mean(self.losses[-SMOOTH:]))

    @property
    def outcome(self) -> str:
        """``"learns"``, ``"stalls"``, ``"diverges"``, or ``"unfinished"`` if it was cut short."""
        if not np.isfinite(self.losses).all():
            return "diverges"
        goal = self.baseline - (1 - LEARNS) * abs(self.baseline)
        limit = max(self.first, self.baseline)
        if np.max(self.losses) > limit + (DIVERGES - 1) * abs(limit):
            return "diverges"
        if self.last <= goal:
            return "learns"
        if self.first <= goal:
            return "diverges"
        return "unfinished" if self.cut_short else "stalls"

    def __repr__(self) -> str:
        return (
            f"<Trial: {self.outcome}, loss {self.first:.3g} to {self.last:.3g} in "
            f"{len(self.losses)} steps, constant answer {self.baseline:.3g}>"
        )


class Trials:
    """Trainings of one model on one batch, each from the weights that it has now.

    The model is trained itself, not a copy, for a subclassed model cannot be copied, and is given
    back bit for bit after each trial. Its own optimiser is not touched: the trials have a new one,
    made from its configuration.

    Parameters
    ----------
    model : keras.Model
        Built.
    x : tensor, or list or dict of tensors
    objective : function
        From the model's outputs to the loss.
    baseline : float
        The loss of the best constant answer, NaN where it is unknown.
    optimizer : keras.optimizers.Optimizer
        Read, not used.
    steps : int
        At most; a trial ends as soon as the loss is clearly below the baseline.
    seconds : float
        After which a trial is cut short.
    """

    def __init__(
        self,
        model: keras.Model,
        x: Any,
        objective: Callable[[Any], tf.Tensor],
        *,
        baseline: float,
        optimizer: keras.optimizers.Optimizer,
        steps: int,
        seconds: float,
    ) -> None:
        self.model, self.x, self.objective = model, x, objective
        self.baseline, self.steps, self.seconds = baseline, steps, seconds
        self.optimizer = _constant_rate(optimizer)
        self.weights = list(model.trainable_variables)
        self.optimizer.build(self.weights)
        self._matrices = [
            weight for weight in self.weights if len(weight.shape) > 1 and np.any(weight)
        ]
        self._sizes = [
            float(np.linalg.norm(keras.ops.convert_to_numpy(weight))) for weight in self._matrices
        ]
        self._fresh = [
            keras.ops.convert_to_numpy(variable) for variable in self.optimizer.variables
        ]
        self._step = self._make_step()

    def run(self, *, factor: float = 1.0, x: Any = None) -> Trial:
        """Train from the weights that the model had at first, and put them back.

        Parameters
        ----------
        factor : float
            On the optimiser's learning rate.
        x : tensor or structure of tensors, optional
            In place of the batch, of the same shape.
        """
        x = self.x if x is None else x
        losses: list[float] = []
        ratios: list[float] = []
        cut_short = False
        start = time.perf_counter()
        for variable, value in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        rate = float(self.optimizer.learning_rate) * factor
        self.optimizer.learning_rate.assign(rate)
        with unchanged(self.model):
            while len(losses) < self.steps:
                loss, ratio = self._step(x)
                losses.append(float(loss))
                ratios.append(float(ratio))
                if not np.isfinite(losses[-1]) or self._is_over(losses):
                    break
                if len(losses) == 1:
                    start = time.perf_counter()  # the first step also builds the graph
                elif time.perf_counter() - start > self.seconds:
                    cut_short = len(losses) < self.steps
                    break
            varies = variation(self.model(x))
        known = np.array(ratios[:FIRST])
        known = known[np.isfinite(known)]
        return Trial(
            losses=np.array(losses),
            baseline=self.baseline if np.isfinite(self.baseline) else losses[0],
            update_ratio=float(np.median(known)) if known.size else float("nan"),
            variation=varies,
            optimizer=type(self.optimizer).__name__,
            learning_rate=rate,
            seconds=time.perf_counter() - start,
            cut_short=cut_short,
        )

    def _is_over(self, losses: list[float]) -> bool:
        if len(losses) < EARLIEST:
            return False
        baseline = self.baseline if np.isfinite(self.baseline) else losses[0]
        return bool(np.mean(losses[-SMOOTH:]) <= baseline - 2 * (1 - LEARNS) * abs(baseline))

    def _make_step(self) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor]]:
        """Return the function of one update; it returns the loss and the largest ‖ΔW‖ / ‖W‖."""
        model, weights, matrices = self.model, self.weights, self._matrices
        training = {"training": True} if "training" in model.call_signature_parameters else {}

        def step(x: Any) -> tuple[tf.Tensor, tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([weight.value for weight in weights])
                total = self.objective(model(x, **training))
                scaled = self.optimizer.scale_loss(total)  # in half precision; `apply` scales back
            gradients = tape.gradient(
                scaled,
                [w.value for w in weights],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            before = [tf.identity(tf.convert_to_tensor(weight)) for weight in matrices]
            added = sum(map(tf.reduce_sum, model.losses)) if model.losses else 0.0
            self.optimizer.apply(gradients, weights)
            ratios = [
                tf.norm(tf.cast(weight - old, tf.float32)) / size
                for weight, old, size in zip(matrices, before, self._sizes, strict=True)
            ]
            largest = tf.reduce_max(tf.stack(ratios)) if ratios else tf.constant(np.nan)
            return total - tf.cast(added, total.dtype), largest

        return step if model.run_eagerly else tf.function(step, reduce_retracing=True)


def _constant_rate(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return a new optimiser of the same configuration.

    In place of a schedule it has the largest rate of the schedule's next thousand steps.
    """
    config = optimizer.get_config()
    if isinstance(config.get("learning_rate"), dict):
        schedule = keras.optimizers.schedules.deserialize(config["learning_rate"])
        now = int(optimizer.iterations)
        config["learning_rate"] = max(float(schedule(now + k)) for k in range(0, 1001, 25))
    return type(optimizer).from_config(config)


def constant_loss(objective: Callable[[Any], tf.Tensor], outputs: Any, y: Any) -> float:
    """Return the loss of the best constant answer, or NaN where it cannot be found.

    Tried are the mean and the median of the targets, the shares of the classes, and their
    logarithms and log-odds for losses that take logits; the lowest loss counts. That is the
    entropy of the labels for a cross-entropy and their variance for a squared error.

    Parameters
    ----------
    objective : function
        From outputs to the loss, for the batch that `y` belongs to.
    outputs, y : tensors
        One output, shape (batch, …, k), and its targets.
    """
    if not isinstance(outputs, tf.Tensor) or not isinstance(y, tf.Tensor):
        return float("nan")
    if not np.any(np.asarray(y) != np.asarray(y)[:1]):
        return float("nan")  # nothing to learn from targets that are all the same
    losses = []
    for answer in _constant_answers(np.asarray(y), tuple(outputs.shape)):
        constant = np.broadcast_to(answer, outputs.shape)
        try:
            losses.append(float(objective(tf.constant(constant, outputs.dtype))))
        except Exception:  # a loss of the reader's own may take no such answer
            return float("nan")
    finite = [loss for loss in losses if np.isfinite(loss)]
    return min(finite) if finite else float("nan")


def _constant_answers(y: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
    classes = shape[-1]
    if y.dtype.kind not in "biuf":
        return []
    targets = y.astype(float)
    if classes == 1 and targets.shape == shape[:-1]:
        targets = targets[..., None]
    is_labels = classes > 1 and targets.shape in (shape[:-1], (*shape[:-1], 1))
    if (
        is_labels
        and (targets == targets.round()).all()
        and 0 <= targets.min() <= targets.max() < classes
    ):
        targets = np.eye(classes)[targets.reshape(shape[:-1]).astype(int)]
    if targets.shape != shape:
        return []
    rows = targets.reshape(-1, classes)
    mean, median = rows.mean(axis=0), np.median(rows, axis=0)
    answers = [mean, median]
    if mean.min() >= 0 and mean.max() <= 1:
        share = np.clip(mean, 1e-6, 1 - 1e-6)
        answers += [np.log(share), np.log(share / (1 - share))]
    per_place = targets.mean(axis=0)  # a constant picture or sequence, one for every sample
    return [*answers, per_place] if per_place.ndim > 1 else answers
