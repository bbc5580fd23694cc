r"""Training a deep stack as a classifier: SGD with momentum, in NumPy.

Four hundred steps of an eight-layer network take a fifth of a second, so a chapter can train
ten seeds of each variant while the reader waits, and every gradient is one derived by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from course_lib.checks import as_array, generator, number, positive_int, positive_number
from course_lib.data import load_digits
from course_lib.maths.activations import Activation, as_activation, bare

__all__ = [
    "StackRun",
    "accuracy_by_rate",
    "classify",
    "softmax_cross_entropy",
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
    weights, biases : list of ndarray
        The parameters at the end; the last pair makes the logits.
    start : list of ndarray
        The weights before the first step.
    """

    losses: np.ndarray
    weights: list[np.ndarray]
    biases: list[np.ndarray]
    start: list[np.ndarray]
    activation: Activation

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

    def accuracy(self, x: np.ndarray, labels: np.ndarray) -> float:
        """Share of the rows of `x`, shape (batch, features), given their label; 0 … 1."""
        return float(np.mean(classify(x, self.weights, self.biases, self.activation) == labels))


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
) -> StackRun:
    r"""Train a deep stack with a softmax on top by SGD with momentum.

    Each step draws a batch with replacement and moves every parameter by
    V ← momentum · V − learning_rate · ∂𝓛/∂W,  W ← W + V  (Keras's `SGD` without Nesterov).
    Biases start at 0. A run whose loss is no longer finite stops there, and says so in `.diverged`.

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

    Raises
    ------
    ValueError
        If a shape, a label, a name or a number does not fit; the sentence names the argument.
    """
    x = as_array("x", x, ndim=2)
    phi_of = as_activation(activation)
    weights = _checked_weights(weights, features=x.shape[1])
    labels = _checked_labels(labels, batch=len(x), classes=weights[-1].shape[1])
    positive_number("learning_rate", learning_rate)
    number("momentum", momentum, minimum=0)
    generator("rng", rng)
    positive_int("steps", steps)
    positive_int("batch_size", batch_size)
    if weight_limit is not None:
        positive_number("weight_limit", weight_limit)
    biases = [np.zeros(W.shape[1]) for W in weights]
    start = [W.copy() for W in weights]
    parameters = weights + biases
    velocities = [np.zeros_like(p) for p in parameters]
    losses = np.full(steps, np.nan)
    phi, phi_prime = bare(phi_of.function), bare(phi_of.derivative)
    with np.errstate(over="ignore", invalid="ignore"):  # an explosion is a result here
        for step in range(steps):
            rows = rng.integers(0, len(x), batch_size)
            loss, gradients = _loss_and_gradients(
                x[rows], labels[rows], weights, biases, phi, phi_prime
            )
            if not np.isfinite(loss):
                break
            losses[step] = loss
            for p, velocity, gradient in zip(parameters, velocities, gradients, strict=True):
                velocity *= momentum
                velocity -= learning_rate * gradient
                p += velocity
            if weight_limit is not None:
                for W in weights:
                    np.clip(W, -weight_limit, weight_limit, out=W)
    return StackRun(losses, weights, biases, start, phi_of)


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
                ).accuracy(x, labels)
                for seed in seeds
            ]
            for rate in rates
        ]
    )


def classify(
    x: np.ndarray, weights: list[np.ndarray], biases: list[np.ndarray], activation: str | Activation
) -> np.ndarray:
    """Return the class with the largest logit for each row of `x`, shape (batch,)."""
    phi = bare(as_activation(activation).function)
    h = x
    with np.errstate(over="ignore", invalid="ignore"):  # the weights of a run that diverged
        for W, b in zip(weights[:-1], biases[:-1], strict=True):
            h = phi(h @ W + b)
        return np.argmax(h @ weights[-1] + biases[-1], axis=1)


def _loss_and_gradients(x, labels, weights, biases, phi, phi_prime):
    """Loss of one batch, and its gradients in the order weights + biases.

    The chain rule of `propagation`, without its checks: this runs thousands of times.
    """
    h, a = [x], []
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        a.append(h[-1] @ W + b)
        h.append(phi(a[-1]))
    loss, d_a = _softmax_cross_entropy(h[-1] @ weights[-1] + biases[-1], labels)
    d_weights, d_biases = [h[-1].T @ d_a], [d_a.sum(axis=0)]
    for W, a_l, h_before in zip(weights[:0:-1], a[::-1], h[-2::-1], strict=True):
        d_a = (d_a @ W.T) * phi_prime(a_l)
        d_weights.insert(0, h_before.T @ d_a)
        d_biases.insert(0, d_a.sum(axis=0))
    return loss, d_weights + d_biases


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
