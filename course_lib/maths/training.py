r"""Training a deep stack as a classifier, in NumPy: plain, normalised, with skips.

Four hundred steps of an eight-layer network take a quarter of a second, so a chapter can train
ten seeds of each variant while the reader waits, and every gradient is one derived by hand.
Layers and their gradients are those of `stacks`, the steps those of `optimizers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from course_lib.checks import (
    as_array,
    generator,
    number,
    one_of,
    positive_int,
    positive_number,
    shown,
)
from course_lib.data import load_digits
from course_lib.maths.activations import Activation, as_activation
from course_lib.maths.normalization import MovingAverages
from course_lib.maths.optimizers import Momentum, Optimizer
from course_lib.maths.propagation import _biases, _frobenius_norm
from course_lib.maths.stacks import Layer, StackForm, backward, forward, make_layers, stack_pass

__all__ = [
    "StackRun",
    "accuracy_by_rate",
    "softmax_cross_entropy",
    "stack_pass",
    "train_on_digits",
    "train_stack",
]


@dataclass(frozen=True)
class StackRun:
    """What one training run leaves behind.

    Attributes
    ----------
    losses : ndarray, shape (steps,)
        Cross-entropy of each step's batch, in nats, before that step's update; NaN from the step
        on at which it left the range of float64.
    layers : list of Layer
        The parameters at the end; the last layer makes the logits.
    start : list of ndarray
        The weights before the first step.
    form : StackForm
        Activation, normalisation and skip of the hidden layers.
    averages : list of MovingAverages
        The means and variances of the batches, one for each hidden layer; empty without batch norm.
    """

    losses: np.ndarray
    layers: list[Layer]
    start: list[np.ndarray]
    form: StackForm
    averages: list[MovingAverages] = field(default_factory=list)

    @property
    def weights(self) -> list[np.ndarray]:
        """The weights at the end, input first."""
        return [layer.weights for layer in self.layers]

    @property
    def biases(self) -> list[np.ndarray]:
        """The biases at the end."""
        return [layer.bias for layer in self.layers]

    @property
    def scales(self) -> list[np.ndarray]:
        """The scales of the normalisation at the end, of each hidden layer; empty without one."""
        return [layer.scale for layer in self.layers if layer.scale is not None]

    @property
    def offsets(self) -> list[np.ndarray]:
        """The offsets of the normalisation at the end, of each hidden layer; empty without one."""
        return [layer.offset for layer in self.layers if layer.offset is not None]

    @property
    def activation(self) -> Activation:
        """φ of the hidden layers."""
        return self.form.activation

    @property
    def diverged(self) -> bool:
        """Whether the loss left the range of float64 and training stopped."""
        return not np.isfinite(self.losses).all()

    @property
    def movement(self) -> np.ndarray:
        """‖W_end − W_start‖ / ‖W_start‖ of each layer, input first: who has learnt."""
        return np.array(
            [
                np.linalg.norm(end - start) / np.linalg.norm(start)
                for end, start in zip(self.weights, self.start, strict=True)
            ]
        )

    def logits(self, x: np.ndarray, *, statistics: str = "moving") -> np.ndarray:
        """Return the logits of the rows of `x`, shape (batch, classes).

        Parameters
        ----------
        x : ndarray, shape (batch, features)
        statistics : "moving" or "batch"
            What batch norm subtracts and divides by: the moving averages of the training, or the
            mean and variance of `x` itself. Without batch norm they are the same.

        Raises
        ------
        TypeError, ValueError
            If `x` does not fit, or `statistics` is neither.
        """
        one_of("statistics", statistics, ("moving", "batch"))
        x = self._checked_rows(x)
        own = self.form.normalization == "batch" and statistics == "batch"
        if own and len(x) < 2:
            raise ValueError(f"`x` has shape {x.shape}; batch norm takes 2 samples or more.")
        *hidden, top = self.layers
        with np.errstate(over="ignore", invalid="ignore"):  # the weights of a run that diverged
            h = forward(x, hidden, self.form, None if own else self.averages)[-1].output
            return h @ top.weights + top.bias

    def units_on(self, x: np.ndarray) -> list[np.ndarray]:
        """Share of the rows of `x` that switch each hidden unit on: its φ gets more than 0.

        A ReLU unit with share 0 is dead: its slope is 0 for every row. With batch norm the moving
        averages are used.

        Parameters
        ----------
        x : ndarray, shape (batch, features)

        Returns
        -------
        list of ndarray, shape (units,)
            One for each hidden layer, entries 0 … 1.

        Raises
        ------
        TypeError, ValueError
            If `x` does not fit.
        """
        x = self._checked_rows(x)
        with np.errstate(over="ignore", invalid="ignore"):  # the weights of a run that diverged
            traces = forward(x, self.layers[:-1], self.form, self.averages)
            return [np.mean(trace.normalized > 0, axis=0) for trace in traces]

    def gradient_pass(
        self, x: np.ndarray, labels: np.ndarray
    ) -> tuple[list[np.ndarray], np.ndarray]:
        """Send rows up the trained network, and the gradient of their cross-entropy down it.

        What `stack_pass` says of a start, this says of the end. Batch norm takes mean and variance
        of `x` itself, as in training.

        Parameters
        ----------
        x : ndarray, shape (batch, features)
        labels : ndarray of int, shape (batch,)

        Returns
        -------
        activations : list of D + 1 arrays
            h_0 … h_D, shape (batch, units), for D hidden layers.
        norms : ndarray, shape (D + 1,)
            ‖∂𝓛/∂h_0‖ … ‖∂𝓛/∂h_D‖, the input first. All NaN where the logits left the range of
            float64: then the loss is no number, and neither is its gradient.

        Raises
        ------
        TypeError, ValueError
            If `x` or `labels` do not fit.
        """
        x = self._checked_rows(x)
        *hidden, top = self.layers
        labels = _checked_labels(labels, batch=len(x), classes=top.weights.shape[1])
        if self.form.normalization == "batch" and len(x) < 2:
            raise ValueError(f"`x` has shape {x.shape}; batch norm takes 2 samples or more.")
        with np.errstate(over="ignore", invalid="ignore"):  # the weights of a run that diverged
            traces = forward(x, hidden, self.form)
            _, d_logits = _softmax_cross_entropy(traces[-1].output @ top.weights + top.bias, labels)
            deltas, _ = backward(traces, hidden, self.form, d_logits @ top.weights.T)
            norms = np.array([_frobenius_norm(delta) for delta in deltas])
        return [x, *(t.output for t in traces)], norms

    def _checked_rows(self, x: np.ndarray) -> np.ndarray:
        """Return `x` as a matrix of rows that the first layer takes, or refuse."""
        takes = f"a matrix of shape (batch, {len(self.layers[0].weights)})"
        x = as_array("x", x, ndim=2, takes=takes)
        if x.shape[1] != len(self.layers[0].weights):
            raise ValueError(f"`x` has shape {x.shape}; it takes {takes}.")
        return x

    def accuracy(self, x: np.ndarray, labels: np.ndarray, *, statistics: str = "moving") -> float:
        """Share of the rows of `x`, shape (batch, features), given their label; 0 … 1.

        A run that diverged answers every row with class 0, whatever its NaN logits are.

        `statistics` is what batch norm uses, as in `logits`.
        """
        logits = self.logits(x, statistics=statistics)
        labels = _checked_labels(labels, batch=len(logits), classes=logits.shape[1])
        return float(np.mean(np.argmax(logits, axis=1) == labels))


def softmax_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    r"""Mean cross-entropy of softmax(logits) and its gradient by the logits.

    𝓛 = −(1/B) Σ_n log p_{n, labels_n},  ∂𝓛/∂logits = (p − onehot(labels)) / B.

    Parameters
    ----------
    logits : ndarray, shape (batch, classes)
    labels : ndarray of int, shape (batch,), each in 0 … classes − 1

    Returns
    -------
    loss : float, in nats
    d_logits : ndarray, shape (batch, classes)

    Raises
    ------
    ValueError
        If the shapes do not fit, or a label names no class.
    """
    logits = as_array("logits", logits, ndim=2)
    labels = _checked_labels(labels, batch=len(logits), classes=logits.shape[1])
    return _softmax_cross_entropy(logits, labels)


def _softmax_cross_entropy(logits, labels):
    shifted = logits - logits.max(axis=1, keepdims=True)  # the same softmax, and no overflow
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(labels))
    d_logits = np.exp(log_p)
    d_logits[rows, labels] -= 1
    return float(-log_p[rows, labels].mean()), d_logits / len(labels)


def train_stack(
    x: np.ndarray,
    labels: np.ndarray,
    weights: list[np.ndarray],
    activation: str | Activation,
    *,
    learning_rate: float,
    rng: np.random.Generator,
    momentum: float = 0.9,
    steps: int = 400,
    batch_size: int = 64,
    weight_limit: float | None = None,
    normalization: str | None = None,
    skip: float | None = None,
    optimizer: Callable[..., Optimizer] | None = None,
    norm_scale: float = 1.0,
    norm_epsilon: float = 1e-3,
    norm_momentum: float = 0.99,
    biases: Sequence[np.ndarray] | None = None,
) -> StackRun:
    r"""Train a deep stack with a softmax on top, by SGD with momentum unless told otherwise.

    Each step draws a batch with replacement and moves every parameter by
    V ← momentum · V − learning_rate · ∂𝓛/∂W,  W ← W + V  (Keras's `SGD` without Nesterov).
    A run whose loss is no longer finite stops there, and says so in `.diverged`.

    Parameters
    ----------
    x : ndarray, shape (samples, features)
    labels : ndarray of int, shape (samples,)
    weights : list of ndarray
        Where training starts, input first; the last matrix makes the logits and has no activation.
        The list is not changed.
    activation : str or Activation
        A name in `ACTIVATIONS`, or such an object.
    learning_rate, momentum : float
    rng : numpy.random.Generator
        Draws the batches.
    weight_limit : float, optional
        After each step every weight, but no bias, is moved into [−limit, limit] [Arjovsky17].
    normalization : None, "batch" or "layer"
        What stands between the linear map and φ in every hidden layer, with a scale and an offset
        that are learnt.
    skip : float, optional
        s: h_l = h_{l−1} + s φ(norm(h_{l−1} W_l + b_l)) in every hidden layer as wide as the one
        below it. No skips unless given.
    optimizer : callable, optional
        Makes the optimiser of each parameter from `learning_rate=`, such as the class `Adam` or
        `functools.partial(Adam, beta_2=0.9)`, instead of SGD with `momentum`.
    norm_scale : float
        Where the scale of the normalisation starts. At 0 a branch beside a skip starts at 0; with
        ReLU it stays there, since φ′(0) = 0 and its scale and offset get no gradient.
    norm_epsilon, norm_momentum : float
        ε of the normalisation, and the momentum of batch norm's moving averages.
    biases : list of ndarray, optional
        Where the biases start, one vector for each matrix of `weights`; all 0 unless given. The
        list is not changed.

    Raises
    ------
    TypeError, ValueError
        If a shape, a label, a name or a number does not fit; the sentence names the argument.
    """
    x = as_array("x", x, ndim=2)
    form = StackForm(as_activation(activation), normalization, skip, norm_epsilon)
    weights = _checked_weights(weights, features=x.shape[1])
    labels = _checked_labels(labels, batch=len(x), classes=weights[-1].shape[1])
    positive_number("learning_rate", learning_rate)
    number("momentum", momentum, minimum=0)
    generator("rng", rng)
    number("norm_momentum", norm_momentum, minimum=0, maximum=1)
    positive_int("steps", steps)
    positive_int("batch_size", batch_size)
    if normalization == "batch" and batch_size < 2:
        raise ValueError("`batch_size` is 1; batch norm takes 2 samples or more, to compare them.")
    if weight_limit is not None:
        positive_number("weight_limit", weight_limit)
    start = [W.copy() for W in weights]
    *hidden_biases, top_bias = [b.copy() for b in _biases(biases, weights, np.dtype(np.float64))]
    hidden = [
        layer._replace(bias=b)
        for layer, b in zip(make_layers(weights[:-1], form, norm_scale), hidden_biases, strict=True)
    ]
    top = Layer(weights[-1], top_bias)
    averages = []
    if normalization == "batch":
        averages = [MovingAverages(W.shape[1], norm_momentum) for W in weights[:-1]]
    parameters = _arrays([*hidden, top])
    if optimizer is not None and momentum != 0.9:
        raise ValueError(
            f"`momentum` is {momentum}, which an optimiser of your own does not see; it takes "
            f"its place as `optimizer=functools.partial(Momentum, momentum={momentum})`."
        )
    make_optimizer = partial(Momentum, momentum=momentum) if optimizer is None else optimizer
    rules = [_made_optimizer(make_optimizer, learning_rate) for _ in parameters]
    losses = np.full(steps, np.nan)
    with np.errstate(over="ignore", invalid="ignore"):  # an explosion is a result here
        for step in range(steps):
            rows = rng.integers(0, len(x), batch_size)
            loss, gradients, traces = _loss_and_gradients(x[rows], labels[rows], hidden, top, form)
            if not np.isfinite(loss):
                break
            losses[step] = loss
            for p, rule, gradient in zip(parameters, rules, _arrays(gradients), strict=True):
                p += rule.change(gradient)
            if weight_limit is not None:
                for W in weights:
                    np.clip(W, -weight_limit, weight_limit, out=W)
            for average, trace in zip(averages, traces, strict=False):  # none without batch norm
                average.update(trace.norm)
    return StackRun(losses, [*hidden, top], start, form, averages)


def train_on_digits(
    activation: str | Activation,
    spread: float | Callable[[int], float],
    *,
    seed: int = 0,
    depth: int = 8,
    units: int = 32,
    **options: Any,
) -> StackRun:
    """Train a stack on the handwritten digits from normal first weights of a given spread.

    Parameters
    ----------
    activation : str or Activation
        A name in `ACTIVATIONS`, or such an object.
    spread : float, or callable
        Standard deviation of the first weights; a callable takes each layer's fan-in n.
    seed : int
        Of the first weights and of the batches.
    depth, units : int
        Hidden layers, and units in each; ten logits follow.
    **options
        For `train_stack`; `learning_rate` is 0.02 unless given.

    Raises
    ------
    TypeError, ValueError
        If a name or a number does not fit; the sentence names the argument.
    """
    depth, units = positive_int("depth", depth), positive_int("units", units)
    rng = np.random.default_rng(positive_int("seed", seed, minimum=0))
    x, labels, _, _ = load_digits(dtype="float64")
    sizes = [x.shape[1], *[units] * depth, 10]
    weights = []
    for n, m in pairwise(sizes):
        stddev = positive_number("spread", spread(n) if callable(spread) else spread)
        weights.append(stddev * rng.standard_normal((n, m)))
    return train_stack(x, labels, weights, activation, rng=rng, **{"learning_rate": 0.02} | options)


def accuracy_by_rate(
    activation: str,
    spread: float | Callable[[int], float],
    *,
    rates: Sequence[float],
    seeds: Sequence[int],
    statistics: str = "moving",
    **options: Any,
) -> np.ndarray:
    """Train on the digits once for each learning rate and seed; every variant gets its best rate.

    Parameters
    ----------
    activation, spread, **options
        As for `train_on_digits`.
    rates : sequence of float
        Learning rates.
    seeds : sequence of int
    statistics : "moving" or "batch"
        What batch norm uses when the accuracy is taken, as in `StackRun.logits`.

    Returns
    -------
    ndarray, shape (rates, seeds)
        Accuracy on the training images, 0 … 1.

    Raises
    ------
    TypeError, ValueError
        If a list is empty, or an argument does not fit.
    """
    rates = as_array("rates", rates, ndim=1, takes="a list of learning rates").tolist()
    seeds = [positive_int(f"seeds[{i}]", seed, minimum=0) for i, seed in enumerate(seeds)]
    if not seeds:
        raise ValueError("`seeds` is empty; it takes a list of whole numbers.")
    x, labels, _, _ = load_digits(dtype="float64")
    return np.array(
        [
            [
                train_on_digits(
                    activation, spread, seed=seed, learning_rate=rate, **options
                ).accuracy(x, labels, statistics=statistics)
                for seed in seeds
            ]
            for rate in rates
        ]
    )


def _loss_and_gradients(x, labels, hidden, top, form):
    """Loss of one batch, its gradients layer by layer, and what the forward pass left behind."""
    traces = forward(x, hidden, form)
    h = traces[-1].output
    loss, d_logits = _softmax_cross_entropy(h @ top.weights + top.bias, labels)
    _, gradients = backward(traces, hidden, form, d_logits @ top.weights.T)
    return loss, [*gradients, Layer(h.T @ d_logits, d_logits.sum(axis=0))], traces


def _arrays(layers: list[Layer]) -> list[np.ndarray]:
    """Return all the arrays of all the layers, in one order for parameters and gradients."""
    return [array for layer in layers for array in layer if array is not None]


def _made_optimizer(make: Callable[..., Optimizer], learning_rate: float) -> Optimizer:
    """Return the optimiser that `make` makes for one parameter, or refuse."""
    takes = "a class such as `Adam`, or a function of `learning_rate` that makes an optimiser"
    if not callable(make):
        raise TypeError(f"`optimizer` is {shown(make)}; it takes {takes}.")
    made = make(learning_rate=learning_rate)
    if not isinstance(made, Optimizer):
        raise TypeError(f"`optimizer` is a maker of {shown(made)}; it takes {takes}.")
    return made


def _checked_labels(labels, batch: int, classes: int) -> np.ndarray:
    """Return `labels` as integers of shape (batch,) that each name a class, or refuse."""
    labels = np.asarray(labels)
    if labels.shape != (batch,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"`labels` has shape {labels.shape} and type {labels.dtype}; "
            f"it takes {batch} integers, one for each row."
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= classes:
        raise ValueError(
            f"`labels` runs from {labels.min()} to {labels.max()}; "
            f"with {classes} logits it takes 0 to {classes - 1}."
        )
    return labels


def _checked_weights(weights, features: int) -> list[np.ndarray]:
    """Return copies of matrices that fit one another and the input, or refuse."""
    weights = [as_array(f"weights[{i}]", W, ndim=2).copy() for i, W in enumerate(weights)]
    if len(weights) < 2:
        raise ValueError(
            f"`weights` holds {len(weights)} matrices; it takes at least one hidden layer's "
            "and the one that makes the logits."
        )
    for i, W in enumerate(weights):
        if W.shape[0] != features:
            raise ValueError(
                f"`weights[{i}]` has shape {W.shape}; {features} numbers come in from below, "
                f"so it takes ({features}, units)."
            )
        features = W.shape[1]
    return weights
