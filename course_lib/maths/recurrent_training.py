"""Training a recurrent layer in NumPy: draw a batch, go forward, back through time, step.

A layer of `recurrent` with a linear readout on top, y = h V + c, after the last step or at every
one. A run of 300 steps over 20 time steps takes less than a second, so a chapter can train ten
seeds of each variant while the reader waits, and every gradient is one derived by hand.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from course_lib.checks import (
    as_array,
    function,
    instance,
    one_of,
    positive_int,
    positive_number,
    shown,
)
from course_lib.maths.activations import Activation
from course_lib.maths.clipping import clip_by_global_norm
from course_lib.maths.initializers import glorot_uniform
from course_lib.maths.optimizers import Adam, Optimizer
from course_lib.maths.recurrent import GRU, LSTM, SimpleRNN
from course_lib.maths.recurrent_layer import RecurrentLayer, Start
from course_lib.maths.training import _softmax_cross_entropy

__all__ = ["Readout", "RecurrentRun", "in_parts", "train_recurrent"]

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Any]
LOSSES = ("cross-entropy", "squared")
PART = 64  # samples answered at a time


def in_parts(body: Callable[[Array], Array], x: Array) -> Array:
    """Return `body(x)`, computed 64 samples at a time.

    A run over a sequence remembers every gate of every step, for its gradient. Where only what
    comes out at the end is asked for, thousands of sequences would fill the memory for nothing.

    Parameters
    ----------
    body : callable
        From an array of shape (batch, ...) to one of shape (batch, ...).
    x : array, shape (samples, ...)

    Returns
    -------
    array, shape (samples, ...)
    """
    parts = np.split(x, range(PART, len(x), PART))
    return np.concatenate([body(part) for part in parts])


@dataclass(frozen=True, eq=False, repr=False)
class Readout:
    """The linear layer that answers, y = h V + c.

    Attributes
    ----------
    kernel, bias : arrays, shape (units, outputs) and (outputs,)
        V and c.
    every_step : bool
        Whether it reads every h_t, or h_T alone.
    """

    kernel: Array
    bias: Array
    every_step: bool

    def run(self, states: Array) -> Array:
        """Return the answers to h_1 … h_T, shape (batch, outputs) or (batch, time, outputs)."""
        return (states if self.every_step else states[:, -1]) @ self.kernel + self.bias

    def run_backward(self, states: Array, d_answers: Array) -> tuple[Array, Array, Array]:
        """Return ∂𝓛/∂V, ∂𝓛/∂c, and what the loss adds at each h_t: 0 where nothing is read."""
        d_states = np.zeros_like(states)
        read = slice(None) if self.every_step else slice(-1, None)
        d_answers = d_answers.reshape(len(states), -1, len(self.bias))
        d_states[:, read] = d_answers @ self.kernel.T
        d_kernel = np.tensordot(states[:, read], d_answers, axes=([0, 1], [0, 1]))
        return d_kernel, d_answers.sum(axis=(0, 1)), d_states

    def __repr__(self) -> str:
        where = "at every step" if self.every_step else "after the last step"
        return f"<Readout: {len(self.kernel)} units, {len(self.bias)} outputs {where}>"


@dataclass(frozen=True, eq=False, repr=False)
class RecurrentRun:
    """What one training run leaves behind.

    Attributes
    ----------
    losses : array, shape (steps,)
        The loss of each step's batch before that step's update, in nats or as a mean square; NaN
        from the step on at which it left the range of float64.
    gradient_norms : array, shape (steps,)
        The global norm of all gradients of each step, before clipping; NaN as above.
    cell : RecurrentLayer
        The layer at the end.
    readout : Readout
        The readout at the end.
    loss_name : "cross-entropy" or "squared"
    """

    losses: Array
    gradient_norms: Array
    cell: RecurrentLayer
    readout: Readout
    loss_name: str

    @property
    def diverged(self) -> bool:
        """Whether the loss left the range of float64 and training stopped.

        Float64 reaches to 1e308: a run may have blown up by 1e100 and not have got there, so look
        at `losses` as well.
        """
        return not np.isfinite(self.losses).all()

    def predict(self, x: ArrayLike) -> Array:
        """Return the answers to `x`: logits, or numbers.

        Parameters
        ----------
        x : array, shape (batch, time, features)

        Returns
        -------
        array, shape (batch, outputs), or (batch, time, outputs) if trained at every step

        Raises
        ------
        TypeError, ValueError
            If `x` does not fit the layer.
        """
        if isinstance(x, np.ndarray) and x.ndim == 3 and len(x) > PART:
            return in_parts(self.predict, x)
        states = self.cell.forward(x).outputs
        with np.errstate(over="ignore", invalid="ignore"):  # the weights of a run that diverged
            return self.readout.run(states)

    def accuracy(self, x: ArrayLike, y: ArrayLike) -> float:
        """Share of the labels `y`, shape (batch,) or (batch, time), that are answered; 0 … 1.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit, or the run was trained on numbers.
        """
        if self.loss_name == "squared":
            raise ValueError(
                "`loss` is squared in this run; `accuracy` takes one trained on labels, "
                "with cross-entropy."
            )
        answers = self.predict(x)
        y = _checked_answers(y, answers, self.loss_name)
        return float(np.mean(answers.argmax(axis=-1) == y))

    def loss(self, x: ArrayLike, y: ArrayLike) -> float:
        """Return the loss of the answers to `x`, such as sequences that training has not seen.

        Raises
        ------
        TypeError, ValueError
            If an array does not fit.
        """
        answers = self.predict(x)
        with np.errstate(over="ignore", invalid="ignore"):
            return _loss(answers, _checked_answers(y, answers, self.loss_name), self.loss_name)[0]

    def __repr__(self) -> str:
        trained = int(np.isfinite(self.losses).sum())
        last = f", loss {self.losses[trained - 1]:.4g}" if trained else ""
        stopped = ", then diverged" if self.diverged else ""
        return f"<RecurrentRun: {self.cell!r}, {trained} steps{last}{stopped}>"


def train_recurrent(
    draw: Draw,
    *,
    outputs: int,
    cell: str | RecurrentLayer | Callable[..., RecurrentLayer] = "rnn",
    units: int = 24,
    steps: int = 300,
    optimizer: Callable[[], Optimizer] | None = None,
    clip: float | Callable[[list[Array]], Any] | None = None,
    loss: str = "cross-entropy",
    activation: str | Activation = "tanh",
    recurrent: Start = "orthogonal",
    truncate: int | None = None,
    seed: int = 0,
) -> RecurrentRun:
    """Train a recurrent layer with a linear readout on fresh batches.

    Whether the readout answers after the last step or at every one is read off the answers that
    `draw` gives. A run whose loss is no longer finite stops there, and says so in `.diverged`.

    Parameters
    ----------
    draw : callable
        `draw(rng)` returns one batch: x, shape (batch, time, features), and its answers y. Labels
        have shape (batch,) or, at every step, (batch, time); numbers have one axis more. It
        decides how many sequences a step sees, and may return a `Task`.
    outputs : int
        Classes, or numbers to be answered.
    cell : "rnn", "lstm" or "gru", a layer, or callable
        A name makes a layer as Keras starts one. A layer is where training starts, and is not
        changed. A callable takes features, units and a generator, such as
        `functools.partial(LSTM.random, forget_bias=5.0)`.
    units : int
        Size of the state, unless `cell` is a layer.
    steps : int
    optimizer : callable, optional
        Makes a new optimiser, one for each array, such as `lambda: GradientDescent(0.02)`.
        Adam(0.01) unless given.
    clip : float or callable, optional
        The largest global norm that the gradients may have; or a function that takes the list of
        all gradients and returns as many (or what `clip_by_global_norm` returns).
    loss : "cross-entropy" or "squared"
        Mean over batch and steps, in nats, of softmax and labels; or the mean square of the error.
    activation : str or Activation
        φ of "rnn".
    recurrent : str, array or callable
        W_h of a named cell at the start, as in `SimpleRNN.random`.
    truncate : int, optional
        Cut backpropagation through time, as in `RecurrentLayer.backward`.
    seed : int
        Of the first weights and, on its own, of the batches: with one seed all variants see the
        same sequences.

    Returns
    -------
    RecurrentRun

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit; the sentence names it.
    """
    function("draw", draw, "a function of a generator that returns x and y")
    steps, outputs = positive_int("steps", steps), positive_int("outputs", outputs)
    one_of("loss", loss, LOSSES)
    if truncate is not None:
        truncate = positive_int("truncate", truncate)
    clip_gradients = _clipping(clip)
    for_start, for_batches = np.random.default_rng(positive_int("seed", seed, minimum=0)).spawn(2)

    x, y = _drawn_batch(draw, for_batches)
    layer = _first_layer(cell, x, units, for_start, activation, recurrent)
    readout = _first_readout(layer.units, outputs, y, loss, for_start)
    parameters = [*layer.weights, readout.kernel, readout.bias]
    rules = _made_optimizers(optimizer, len(parameters))
    losses, norms = np.full(steps, np.nan), np.full(steps, np.nan)
    with np.errstate(all="ignore"):  # an explosion is a result here
        for step in range(steps):
            value, gradients = _loss_and_gradients(layer, readout, x, y, loss, truncate)
            if not np.isfinite(value):
                break
            losses[step], norms[step] = value, _norm(gradients)
            clipped = clip_gradients(gradients)
            for p, rule, gradient in zip(parameters, rules, clipped, strict=True):
                p += rule.change(gradient)
            if step + 1 < steps:
                x, y = _drawn_batch(draw, for_batches)
    return RecurrentRun(losses, norms, layer, readout, loss)


def _loss_and_gradients(
    layer: RecurrentLayer, readout: Readout, x: Any, y: Any, loss: str, truncate: int | None
) -> tuple[float, list[Array]]:
    """Loss of one batch and its gradients, in the order of the parameters."""
    trace = layer.forward(x)
    answers = readout.run(trace.outputs)
    value, d_answers = _loss(answers, _checked_answers(y, answers, loss), loss)
    d_V, d_c, d_states = readout.run_backward(trace.outputs, d_answers)
    gradients = layer.run_backward(trace, d_states, truncate)
    return value, [*gradients.weights, d_V, d_c]


def _loss(answers: Array, y: NDArray[Any], loss: str) -> tuple[float, Array]:
    """Return the mean loss and its gradient by the answers."""
    if loss == "squared":
        error = answers - y
        return float(np.mean(error**2)), 2 * error / error.size
    value, d_logits = _softmax_cross_entropy(answers.reshape(-1, answers.shape[-1]), y.ravel())
    return value, d_logits.reshape(answers.shape)


def _norm(gradients: list[Array]) -> float:
    return float(np.sqrt(sum(np.sum(G * G) for G in gradients)))


def _drawn_batch(draw: Draw, rng: np.random.Generator) -> tuple[Any, Any]:
    batch = draw(rng)
    try:
        x, y = batch
    except (TypeError, ValueError):
        raise TypeError(
            f"`draw` is a function that returned {shown(batch)}; it takes one that returns "
            "a pair (x, y)."
        ) from None
    return x, y


def _first_layer(
    cell: Any,
    x: Any,
    units: int,
    rng: np.random.Generator,
    activation: str | Activation,
    recurrent: Start,
) -> RecurrentLayer:
    """Return a layer of our own to train: made, or copied."""
    if isinstance(cell, RecurrentLayer):
        return copy.deepcopy(cell)
    x = as_array("x", x, ndim=3, takes="an array of shape (batch, time, features)")
    features, units = x.shape[2], positive_int("units", units)
    if callable(cell):
        made = cell(features, units, rng)
        instance("cell(features, units, rng)", made, RecurrentLayer, "a recurrent layer")  # type: ignore[type-abstract]
        return copy.deepcopy(made)  # the caller may keep it
    kind = one_of("cell", cell, ("rnn", "lstm", "gru"))
    if kind == "rnn":
        return SimpleRNN.random(features, units, rng, recurrent=recurrent, activation=activation)
    if activation != "tanh":
        raise ValueError(f"`activation` is {shown(activation)}; {kind!r} takes tanh alone.")
    gated = LSTM if kind == "lstm" else GRU
    return gated.random(features, units, rng, recurrent=recurrent)


def _first_readout(
    units: int, outputs: int, y: Any, loss: str, rng: np.random.Generator
) -> Readout:
    """Draw a Glorot readout; the answers say whether it is to read every step."""
    last_step_axes = 1 if loss == "cross-entropy" else 2
    axes = as_array("y", y, takes="the answers, labels or numbers").ndim
    if axes not in (last_step_axes, last_step_axes + 1):
        shapes = "(batch,) or (batch, time)"
        if loss == "squared":
            shapes = "(batch, outputs) or (batch, time, outputs)"
        raise ValueError(f"`y` has shape {np.shape(y)}; with this `loss` it takes {shapes}.")
    kernel = glorot_uniform((units, outputs), rng)
    return Readout(kernel, np.zeros(outputs), every_step=axes > last_step_axes)


def _checked_answers(y: Any, answers: Array, loss: str) -> NDArray[Any]:
    """Return `y` if it can be compared with the answers, or refuse."""
    if loss == "squared":
        takes = f"one number for each answer, shape {answers.shape}"
        return as_array("y", y, shape=answers.shape, takes=takes)
    shape, classes = answers.shape[:-1], answers.shape[-1]
    takes = f"whole numbers 0 … {classes - 1}, one for each answer, shape {shape}"
    labels = np.asarray(y)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"`y` is {shown(y)}; it takes {takes}.")
    if labels.shape != shape:
        raise ValueError(f"`y` has shape {labels.shape}; it takes {takes}.")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"`y` has labels {labels.min()} … {labels.max()}; it takes {takes}.")
    return labels


def _clipping(clip: Any) -> Callable[[list[Array]], list[Array]]:
    """Return a function of the list of gradients, whatever way of clipping was asked for."""
    if clip is None:
        return lambda gradients: gradients
    if callable(clip):
        return partial(_clipped_by, clip)
    limit = positive_number("clip", clip)
    return lambda gradients: clip_by_global_norm(gradients, limit)[0]


def _clipped_by(clip: Callable[[list[Array]], Any], gradients: list[Array]) -> list[Array]:
    clipped = clip(gradients)
    if isinstance(clipped, tuple) and len(clipped) == 2 and np.ndim(clipped[1]) == 0:
        clipped = clipped[0]  # what `clip_by_global_norm` returns
    shapes = [np.shape(G) for G in gradients]
    if not isinstance(clipped, (list, tuple)) or [np.shape(G) for G in clipped] != shapes:
        raise TypeError(
            f"`clip` is a function that returned {shown(clipped)}; it takes one that returns "
            "a list of gradients, shaped like those it was given."
        )
    return list(clipped)


def _made_optimizers(make: Callable[[], Optimizer] | None, count: int) -> list[Optimizer]:
    """Return an optimiser of its own for each array of parameters."""
    takes = "a function without arguments that makes an optimiser, such as `lambda: Adam(0.01)`"
    make = partial(Adam, 0.01) if make is None else make
    if not callable(make) or isinstance(make, type):
        raise TypeError(f"`optimizer` is {shown(make)}; it takes {takes}.")
    made = [make() for _ in range(count)]
    if not all(isinstance(rule, Optimizer) for rule in made) or len(set(map(id, made))) < count:
        raise TypeError(f"`optimizer` is a maker of {shown(made[0])}; it takes {takes}.")
    return made
