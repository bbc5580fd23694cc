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

from course_lib.models.batch_norms import as_in_training, learning_norms
from course_lib.models.recording import unchanged
from course_lib.models.symptoms import alike_units, variation

__all__ = [
    "Trial",
    "Trials",
    "can_be_made_anew",
    "constant_loss",
    "constant_rate",
    "weight_decay",
]

LEARNS = 0.9  # of the best constant answer's loss: below it, the input has been used
DIVERGES = 3.0  # times the loss at the start: once above it, the steps do harm
FALLS = 0.95  # of the loss in the third of the steps before: below it, the last third still falls
CONSTANT = 1e-4  # outputs that vary by less are the same: what falls then is the bias's share
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
        The loss of the best constant answer, NaN where that is unknown.
    update_ratio : float
        ‖ΔW‖ / ‖W‖, W as it was at the start, of the matrix that moves most in a step; the median
        of the first steps that move one, 0 if none does. NaN without any matrix.
    variation : float
        How far the outputs differ between samples afterwards, see `symptoms.variation`: in use, or
        with Batch Norm by the batch as in training if that is more, for its moving statistics take
        longer to learn than a trial.
    moved : bool
        Whether any weight was another afterwards, biases too.
    alike : frozenset of keras.Layer
        Those whose units all changed by the same.
    spoilt : bool
        Whether the loss or a weight became NaN or infinite. The loss need not show it: a ReLU may
        make 0 of NaN, which depends on the processor.
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
    moved: bool
    alike: frozenset[keras.Layer]
    spoilt: bool
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
    def reference(self) -> float:
        """The loss to get below: the best constant answer's, the first where that is unknown."""
        return reference_of(self.baseline, self.first)

    @property
    def outcome(self) -> str:
        """What became of the loss, in a word.

        ``"learns"``: clearly below `reference`; ``"diverges"``; ``"unfinished"``:
        cut short; ``"falls"``: lower than at first, still falling in the last third of the steps,
        and not by answering the same whatever the sample; ``"stalls"``.
        """
        if self.spoilt:
            return "diverges"
        limit = max(self.first, self.reference)
        if np.max(self.losses) > limit + (DIVERGES - 1) * abs(limit):
            return "diverges"
        if _is_below(self.last, LEARNS, self.reference):
            return "learns"
        if _is_below(self.first, LEARNS, self.reference):
            return "diverges"
        if self.cut_short:
            return "unfinished"
        return "falls" if self._still_falls else "stalls"

    @property
    def _still_falls(self) -> bool:
        third = len(self.losses) // 3
        if not third or not self.variation > CONSTANT:
            return False
        middle, end = np.mean(self.losses[third:-third]), np.mean(self.losses[-third:])
        return _is_below(self.last, LEARNS, self.first) and _is_below(end, FALLS, middle)

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
    regularized : bool
        Whether to train with what layers add to the loss, and with the optimiser's weight decay.
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
        regularized: bool = True,
        steps: int,
        seconds: float,
    ) -> None:
        self.model, self.x, self.objective = model, x, objective
        self.baseline, self.steps, self.seconds = baseline, steps, seconds
        self.optimizer, self.regularized = constant_rate(optimizer), regularized
        if not regularized:
            _own(self.optimizer).weight_decay = None
        self.weights = list(model.trainable_variables)
        self.optimizer.build(self.weights)
        self._matrices = [weight for weight in self.weights if _is_matrix(weight)]
        self._sizes = [
            float(np.linalg.norm(keras.ops.convert_to_numpy(weight))) for weight in self._matrices
        ]
        self._fresh = [
            keras.ops.convert_to_numpy(variable) for variable in self.optimizer.variables
        ]
        self._step = self._make_step()

    def run(self, *, rate: float | None = None, x: Any = None) -> Trial:
        """Train from the weights that the model had at first, and put them back.

        Parameters
        ----------
        rate : float, optional
            In place of the optimiser's learning rate.
        x : tensor or structure of tensors, optional
            In place of the batch, of the same shape.
        """
        x = self.x if x is None else x
        losses: list[float] = []
        ratios: list[float] = []
        cut_short = spoilt = False
        start = time.perf_counter()
        for variable, value in zip(self.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        rate = float(self.optimizer.learning_rate) if rate is None else rate
        self.optimizer.learning_rate.assign(rate)
        with unchanged(self.model):
            before = [keras.ops.convert_to_numpy(weight) for weight in self.weights]
            while len(losses) < self.steps:
                loss, ratio, are_finite = self._step(x)
                losses.append(float(loss))
                ratios.append(float(ratio))
                spoilt = not (np.isfinite(losses[-1]) and are_finite)
                if spoilt or self._is_over(losses):
                    break
                if len(losses) == 1:
                    start = time.perf_counter()  # the first step also builds the graph
                elif time.perf_counter() - start > self.seconds:
                    cut_short = len(losses) < self.steps
                    break
            moved = any(map(_differ, before, self.weights))
            start_of = dict(zip(map(id, self.weights), before, strict=True))
            alike = frozenset(alike_units(self.model, start_of))
            varies = variation(self.model(x))
            if learning_norms(self.model):
                with as_in_training(self.model):
                    varies = max(varies, variation(self.model(x)))
        return Trial(
            losses=np.array(losses),
            baseline=self.baseline,
            update_ratio=_typical(ratios),
            variation=varies,
            moved=moved,
            alike=alike,
            spoilt=spoilt,
            optimizer=type(self.optimizer).__name__,
            learning_rate=rate,
            seconds=time.perf_counter() - start,
            cut_short=cut_short,
        )

    def _is_over(self, losses: list[float]) -> bool:
        if len(losses) < EARLIEST:
            return False
        goal = reference_of(self.baseline, losses[0])
        return _is_below(float(np.mean(losses[-SMOOTH:])), 2 * LEARNS - 1, goal)

    def _make_step(self) -> Callable[[Any], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        """Return the function of one update.

        It returns the loss, the largest ‖ΔW‖ / ‖W‖, and whether all weights are finite afterwards.
        """
        model, weights, matrices = self.model, self.weights, self._matrices
        training = {"training": True} if "training" in model.call_signature_parameters else {}

        def step(x: Any) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([weight.value for weight in weights])
                total = self.objective(model(x, **training))
                added = sum(map(tf.reduce_sum, model.losses)) if model.losses else 0.0
                loss = total - tf.cast(added, total.dtype)
                goal = total if self.regularized else loss
                scaled = self.optimizer.scale_loss(goal)  # in half precision; `apply` scales back
            gradients = tape.gradient(
                scaled,
                [w.value for w in weights],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            before = [tf.identity(tf.convert_to_tensor(weight)) for weight in matrices]
            self.optimizer.apply(gradients, weights)
            ratios = [
                tf.norm(tf.cast(weight - old, tf.float32)) / size
                for weight, old, size in zip(matrices, before, self._sizes, strict=True)
            ]
            largest = tf.reduce_max(tf.stack(ratios)) if ratios else tf.constant(np.nan)
            are_finite = tf.reduce_all(
                [tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(w))) for w in weights]
            )
            return loss, largest, are_finite

        return step if model.run_eagerly else tf.function(step, reduce_retracing=True)


def _differ(before: np.ndarray, weight: keras.Variable) -> bool:
    return bool(np.any(before != keras.ops.convert_to_numpy(weight)))


def reference_of(baseline: float, first: float) -> float:
    """Return the loss that has to be got below."""
    return baseline if np.isfinite(baseline) else first


def _typical(ratios: list[float]) -> float:
    """Return the median of the first ratios that are not 0; 0 if all are, NaN without any."""
    known = [ratio for ratio in ratios if np.isfinite(ratio)]
    if not known:
        return float("nan")
    moved = [ratio for ratio in known if ratio > 0]
    return float(np.median(moved[:FIRST])) if moved else 0.0


def _is_matrix(weight: keras.Variable) -> bool:
    """Return whether a weight has a size to compare a step with: no bias, which starts at 0.

    Those of a GRU and of an attention have two dimensions, too, and are tiny at first.
    """
    is_bias = weight.name.endswith("bias")
    return len(weight.shape) > 1 and not is_bias and bool(np.any(weight))


def _is_below(loss: float, share: float, other: float) -> bool:
    """Return whether a loss is at most this share of another; of losses below 0, as much lower."""
    return bool(loss <= other - (1 - share) * abs(other))


def constant_rate(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return a new optimiser of the same configuration, with one learning rate.

    In place of a schedule it has the largest rate of the schedule's next thousand steps, in place
    of a function the rate of now. Neither need be one that Keras can write down: the configuration
    is read while a number stands in its place.
    """
    holder = vars(_own(optimizer))
    theirs = holder["_learning_rate"]
    holder["_learning_rate"] = tf.constant(_largest_rate(optimizer, theirs), tf.float32)
    try:
        return type(optimizer).from_config(optimizer.get_config())
    finally:
        holder["_learning_rate"] = theirs


def _own(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimiser itself, where one for half precision is wrapped around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def weight_decay(optimizer: keras.optimizers.Optimizer) -> float:
    """Return the share of a weight that is taken away at a step, by learning rate."""
    return float(getattr(_own(optimizer), "weight_decay", None) or 0.0)


def can_be_made_anew(optimizer: keras.optimizers.Optimizer) -> bool:
    """Return whether trials can have a new optimiser of the same configuration."""
    try:
        return hasattr(constant_rate(optimizer).learning_rate, "assign")
    except Exception:  # one of the reader's own may have no `get_config`, and say so in any way
        return False


def _largest_rate(optimizer: keras.optimizers.Optimizer, rate: Any) -> float:
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return float(optimizer.learning_rate)
    now = optimizer.iterations
    return max(float(rate(tf.constant(int(now) + k, now.dtype))) for k in range(0, 1001, 25))


def constant_loss(objective: Callable[[Any], tf.Tensor], outputs: Any, y: Any) -> float:
    """Return the loss of the best constant answer, or NaN where it cannot be found.

    Tried are the mean and the median of the targets, the shares of the classes, and their
    logarithms and log-odds for losses that take logits; the lowest loss counts. That is the
    entropy of the labels for a cross-entropy and their variance for a squared error. Of several
    outputs, one after the other gets its best answer, for their losses add up.

    Parameters
    ----------
    objective : function
        From outputs to the loss, for the batch that `y` belongs to.
    outputs, y : tensors, or lists or dicts of them
        Outputs of shape (batch, …, k), and the targets of each, in the same structure.
    """
    answers, targets = keras.tree.flatten(outputs), keras.tree.flatten(y)
    if not _are_paired(outputs, y, answers, targets):
        return float("nan")
    values = [np.asarray(target) for target in targets]
    if not any(np.any(target != target[:1]) for target in values):
        return float("nan")  # nothing to learn from targets that are all the same
    lowest = float("nan")
    for place, target in enumerate(values):
        shape, dtype = tuple(answers[place].shape), answers[place].dtype
        losses = {}
        for answer in _constant_answers(target, shape):
            answers[place] = tf.constant(np.broadcast_to(answer, shape), dtype)
            try:
                loss = float(objective(keras.tree.pack_sequence_as(outputs, answers)))
            except Exception:  # a loss of the reader's own may take no such answer
                return float("nan")
            if np.isfinite(loss):
                losses[loss] = answers[place]
        if not losses:
            return float("nan")
        lowest = min(losses)
        answers[place] = losses[lowest]
    return lowest


def _are_paired(outputs: Any, y: Any, answers: list[Any], targets: list[Any]) -> bool:
    """Return whether it is clear which targets are whose; names are in the same order then."""
    if len(answers) != len(targets):
        return False
    if not all(isinstance(tensor, tf.Tensor) for tensor in [*answers, *targets]):
        return False
    names = [set(part) if isinstance(part, dict) else None for part in (outputs, y)]
    return names[0] == names[1]


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
