"""A Transformer that answers at its last token, trained in NumPy; recall races and warm-up.

`Reader` is a small Transformer of `maths.transformer`: tokens times a matrix, plus their positions,
blocks, and a linear read-out of the last token. `train_reader` trains it as `train_recurrent` of
``maths`` trains a recurrent layer: fresh batches, Adam, a clipped global norm. `recall_race` lets
both recall the first symbol over several distances, `warm_up_race` compares the places of the layer
norm with and without a learning rate that rises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from course_lib.checks import function, one_of, positive_int, positive_number
from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.attention import MultiHeadAttention, positional_encoding
from course_lib.maths.gates import LSTM, chrono_bias
from course_lib.maths.initializers import glorot_uniform
from course_lib.maths.optimizers import Adam, WarmUp
from course_lib.maths.recurrent import SimpleRNN
from course_lib.maths.recurrent_training import in_parts, train_recurrent
from course_lib.maths.training import softmax_cross_entropy
from course_lib.maths.transformer import (
    BlockGradients,
    EncoderBlock,
    TransformerForm,
    backward,
    forward,
    make_blocks,
)
from course_lib.models.tasks import first_symbol_recall

__all__ = [
    "Reader",
    "ReaderRun",
    "race_table",
    "read_out_alone",
    "recall_race",
    "recall_run",
    "train_reader",
    "untrained_answers",
    "warm_up_race",
    "warm_up_table",
]

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator], Any]
SOLVED = 0.98  # of fresh sequences answered


class Reader:
    """A Transformer that reads a sequence and answers at its last token, in NumPy.

    Parameters
    ----------
    features, outputs : int
        Numbers of a token that comes in, and of the answer.
    units, heads, depth, hidden : int
        As for `make_blocks`.
    rng : numpy.random.Generator
        Draws the first weights.
    normalization : None, "pre" or "post"
        Where the layer norms stand. The norm after pre-LN blocks has nothing to learn here.
    positions : bool
        Whether the tokens are told where they stand. Without it the answer is that of a bag of
        tokens and the last one.

    Attributes
    ----------
    theta : array, shape (parameters,)
        All parameters in one vector; those of the blocks are views of it.
    blocks : list of EncoderBlock
    """

    def __init__(
        self,
        features: int,
        outputs: int,
        units: int,
        heads: int,
        depth: int,
        hidden: int,
        rng: np.random.Generator,
        normalization: str | None = "pre",
        positions: bool = True,
    ) -> None:
        self._positions = positions
        self.form = TransformerForm(normalization, True, ACTIVATIONS["relu"])
        E = glorot_uniform((features, units), rng)
        blocks = make_blocks(depth, units, heads, rng, hidden=hidden)
        V = glorot_uniform((units, outputs), rng)
        arrays = [E, np.zeros(units)]
        for block in blocks:
            arrays += _arrays_of(block)
        arrays += [V, np.zeros(outputs)]
        self.theta = np.concatenate([array.ravel() for array in arrays])
        ends = np.cumsum([array.size for array in arrays])[:-1]
        views = [
            view.reshape(array.shape)
            for view, array in zip(np.split(self.theta, ends), arrays, strict=True)
        ]
        self.E, self.b, *inner, self.V, self.c = views
        each = len(inner) // depth
        self.blocks = [_block_of(inner[i : i + each]) for i in range(0, len(inner), each)]

    def tokens(self, x: Array) -> Array:
        """Return h_0: x E + b, with the positions added where there are any."""
        h = x @ self.E + self.b
        return h + positional_encoding(x.shape[1], len(self.b)) if self._positions else h

    def predict(self, x: Array) -> Array:
        """Return the logits, shape (batch, outputs)."""
        return self.states(x) @ self.V + self.c

    def states(self, x: Array) -> Array:
        """Return the last token at the end, shape (batch, units)."""
        traces, norm = forward(self.tokens(x), self.blocks, self.form)
        return (traces[-1].output if norm is None else norm.normalized)[:, -1]

    def weights(self, x: Array) -> list[Array]:
        """Return whom the tokens look at in each block, (batch, heads, queries, keys)."""
        return [t.attention.weights for t in forward(self.tokens(x), self.blocks, self.form)[0]]

    def loss_and_gradient(self, x: Array, y: NDArray[np.int64]) -> tuple[float, Array]:
        """Return the mean cross-entropy in nats and its gradient by `theta`.

        Both are NaN where the logits left the range of float64.
        """
        traces, norm = forward(self.tokens(x), self.blocks, self.form)
        out = traces[-1].output if norm is None else norm.normalized
        logits = out[:, -1] @ self.V + self.c
        if not np.isfinite(logits).all():
            return np.nan, np.full_like(self.theta, np.nan)
        loss, d_logits = softmax_cross_entropy(logits, y)
        d_out = np.zeros_like(out)
        d_out[:, -1] = d_logits @ self.V.T
        deltas, gradients = backward(traces, norm, self.blocks, self.form, d_out)
        parts = [np.tensordot(x, deltas[0], axes=([0, 1], [0, 1])), deltas[0].sum(axis=(0, 1))]
        for block in gradients:
            parts += [*block.attention.weights, block.W_1, block.b_1, block.W_2, block.b_2]
            parts += _norm_gradients(block, len(self.b))
        parts += [out[:, -1].T @ d_logits, d_logits.sum(axis=0)]
        return loss, np.concatenate([part.ravel() for part in parts])


@dataclass(frozen=True, eq=False, repr=False)
class ReaderRun:
    """What one training run leaves behind.

    Attributes
    ----------
    losses : array, shape (steps,)
        The loss of each step's batch before that step's update, in nats.
    reader : Reader
        The network at the end.
    """

    losses: Array
    reader: Reader

    def accuracy(self, x: Array, y: NDArray[np.int64]) -> float:
        """Share of the labels `y` that are answered, 0 … 1."""
        return float(np.mean(self.reader.predict(x).argmax(axis=1) == y))

    def __repr__(self) -> str:
        return f"<ReaderRun: {len(self.losses)} steps, loss {self.losses[-1]:.3g}>"


def train_reader(
    draw: Draw,
    *,
    outputs: int,
    units: int,
    heads: int,
    depth: int,
    hidden: int,
    steps: int,
    rate: float,
    warm_up: int = 1,
    clip: float | None = 1.0,
    normalization: str | None = "pre",
    positions: bool = True,
    seed: int = 0,
) -> ReaderRun:
    """Train a Transformer on fresh batches, the same that `train_recurrent` draws with this seed.

    Parameters
    ----------
    draw : callable
        `draw(rng)` returns one batch: x, shape (batch, time, features), and labels (batch,).
    outputs, units, heads, depth, hidden : int
    normalization : None, "pre" or "post"
    positions : bool
        See `Reader`.
    steps : int
    rate : float
        Of Adam.
    warm_up : int
        In how many steps the rate rises to `rate`, in a straight line; 1 is none.
    clip : float, optional
        The largest global norm that the gradient may have.
    seed : int
        Of the first weights and, on its own, of the batches.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    function("draw", draw, "a function of a generator that returns x and y")
    steps, warm_up = positive_int("steps", steps), positive_int("warm_up", warm_up)
    rate = positive_number("rate", rate)
    limit = np.inf if clip is None else positive_number("clip", clip)
    one_of("normalization", normalization, (None, "pre", "post"))
    for_start, for_batches = np.random.default_rng(positive_int("seed", seed, minimum=0)).spawn(2)
    x, y = draw(for_batches)
    sizes = x.shape[2], outputs, units, heads, depth, hidden
    reader = Reader(*sizes, for_start, normalization, positions)
    adam = Adam(WarmUp(rate, warm_up))
    losses = np.full(steps, np.nan)
    for step in range(steps):
        with np.errstate(over="ignore", invalid="ignore"):  # an explosion is a result here
            losses[step], gradient = reader.loss_and_gradient(x, y)
        norm = float(np.linalg.norm(gradient))
        if not np.isfinite(norm):
            break
        reader.theta += adam.change(gradient * min(1.0, limit / max(norm, 1e-300)))
        if step + 1 < steps:
            x, y = draw(for_batches)
    return ReaderRun(losses, reader)


def recall_run(
    way: str, length: int, rate: float, seed: int, *, sizes: Mapping[str, Any], **how: Any
) -> tuple[Array, float]:
    """Train one contestant to recall; return its losses and the share of fresh sequences answered.

    Parameters
    ----------
    way : "RNN", "LSTM", "LSTM, chrono", or a name that begins with "Transformer"
        With Keras's starts; "LSTM, chrono" has biases for T steps (Tallec & Ollivier 2018).
    length : int
        T: the first symbol is T − 1 steps back.
    rate : float
        Of Adam.
    seed : int
    sizes : dict
        By contestant: the units, of a Transformer a dict of `Reader`'s sizes, and of `positions`
        if it has none.
    **how
        `batch`, `steps`, `symbols`, `clip`.
    """
    draw = partial(_recall_batch, how["batch"], length, how["symbols"])
    common: dict[str, Any] = {"outputs": how["symbols"], "steps": how["steps"], "seed": seed}
    run: Any
    if way.startswith("Transformer"):
        run = train_reader(draw, rate=rate, clip=how["clip"], **common, **sizes[way])
    else:
        cell = "rnn" if way == "RNN" else partial(_lstm, length if way == "LSTM, chrono" else None)
        optimizer, units = partial(Adam, rate), sizes[way]
        run = train_recurrent(
            draw, cell=cell, units=units, clip=how["clip"], optimizer=optimizer, **common
        )
    fresh = np.random.default_rng(10_000 + seed)
    return run.losses, run.accuracy(*_recall_batch(1000, length, how["symbols"], fresh))


def recall_race(
    *,
    sizes: Mapping[str, Any],
    lengths: Sequence[int],
    rates: Sequence[float],
    rate_seeds: Sequence[int],
    seeds: Sequence[int],
    **how: Any,
) -> dict[str, Any]:
    """Let contestants recall the first of T symbols, each at its best rate for each T.

    Parameters
    ----------
    sizes, **how
        See `recall_run`.
    lengths, seeds : sequences of int
    rates, rate_seeds
        The rate of a contestant is the one of `rates` with the lowest loss, the mean of the last
        tenth of the steps and of these seeds. All batches are fresh.

    Returns
    -------
    dict
        ``tuned``, those losses in nats, shape (contestants, lengths, rates); ``right``, the share
        of a thousand fresh sequences that are answered, (contestants, lengths, seeds); ``losses``,
        means of ten steps each, (contestants, lengths, seeds, steps / 10).
    """
    tuned, right, losses = [], [], []
    for way in sizes:
        for length in lengths:
            run: Any = partial(recall_run, way, length, sizes=sizes, **how)
            found = [
                np.mean([run(rate, s)[0][-how["steps"] // 10 :] for s in rate_seeds])
                for rate in rates
            ]
            tuned.append(found)
            runs = [run(rates[int(np.nanargmin(found))], s) for s in seeds]
            right.append([share for _, share in runs])
            losses.append([curve.reshape(-1, 10).mean(axis=1) for curve, _ in runs])
    shape = len(sizes), len(lengths)
    return {
        "tuned": np.reshape(tuned, (*shape, -1)),
        "right": np.reshape(right, (*shape, -1)),
        "losses": np.reshape(losses, (*shape, len(seeds), -1)),
    }


def race_table(
    race: Mapping[str, Any], config: Mapping[str, Any]
) -> tuple[list[list[Any]], list[str]]:
    """Return the rows of a table of a recall race, and its header.

    Parameters
    ----------
    race, config : dicts
        What `recall_race` returned, and what it was called with.
    """
    names = [way.removeprefix("Transformer, ") for way in config["sizes"]]
    rows = [
        [way, length, " ".join(f"{of:.2f}" for of in runs), *(f"{loss:.2g}" for loss in tuned)]
        for way, shares, losses in zip(names, race["right"], race["tuned"], strict=True)
        for length, runs, tuned in zip(config["lengths"], shares, losses, strict=True)
    ]
    return rows, ["", "T", "answered", *map(str, config["rates"])]


def warm_up_race(
    *,
    places: Sequence[str],
    warm_ups: Sequence[int],
    rates: Sequence[float],
    seeds: Sequence[int],
    length: int,
    batch: int,
    symbols: int,
    **how: Any,
) -> dict[str, Any]:
    """Train deep Transformers to recall: each place of the norm, warm-up and rate.

    Returns
    -------
    dict
        ``final``, the mean loss of the last tenth of the steps in nats, NaN where it was not
        finite, shape (places, warm-ups, rates, seeds).
    """
    draw = partial(_recall_batch, batch, length, symbols)
    final = [
        train_reader(
            draw, outputs=symbols, normalization=place, warm_up=w, rate=rate, seed=seed, **how
        )
        .losses[-max(1, how["steps"] // 10) :]
        .mean()
        for place in places
        for w in warm_ups
        for rate in rates
        for seed in seeds
    ]
    return {"final": np.reshape(final, (len(places), len(warm_ups), len(rates), len(seeds)))}


def warm_up_table(final: Any, config: Mapping[str, Any]) -> tuple[list[list[Any]], list[str]]:
    """Return the rows of a table of a race with and without warm-up, and its header.

    Parameters
    ----------
    final : array, shape (places, warm-ups, rates, seeds)
        Of `warm_up_race`.
    config : dict
        What that was called with.
    """
    rows = [
        [
            "no norm" if place is None else f"{place}-LN",
            "none" if steps == 1 else f"{steps} steps",
            *(" ".join(f"{loss:.2f}" for loss in runs) for runs in by_rate),
        ]
        for place, by_steps in zip(config["places"], final, strict=True)
        for steps, by_rate in zip(config["warm_ups"], by_steps, strict=True)
    ]
    return rows, ["", "warm-up", *(f"rate {rate}" for rate in config["rates"])]


def read_out_alone(body: Callable[[Array], Array], x: Array, y: NDArray[np.int64]) -> float:
    """Return what a linear read-out of an untrained body answers: least squares on two thirds.

    Parameters
    ----------
    body : callable
        From sequences to the state that is read, shape (batch, units).
    x : array, shape (sequences, time, features)
    y : labels, shape (sequences,)

    Returns
    -------
    float
        The share of the last third that is answered, 0 … 1.
    """
    h, fit = np.column_stack([in_parts(body, x), np.ones(len(x))]), len(x) * 2 // 3
    V = np.linalg.lstsq(h[:fit], np.eye(y.max() + 1)[y[:fit]])[0]
    return float(np.mean((h[fit:] @ V).argmax(axis=1) == y[fit:]))


def untrained_answers(
    x: Array, y: NDArray[np.int64], sizes: Mapping[str, Any], rng: np.random.Generator
) -> dict[str, float]:
    """Return what untrained bodies hold of the answer, by `read_out_alone`.

    Parameters
    ----------
    x : array, shape (sequences, time, features)
    y : labels, shape (sequences,)
    sizes : dict
        As for `recall_run`; of ``"RNN"``, ``"LSTM"`` and ``"Transformer"``.
    rng : numpy.random.Generator
        Draws the bodies.

    Returns
    -------
    dict of str to float
        Shares, 0 … 1, by contestant; and of all tokens side by side, without any body.
    """
    features, outputs = x.shape[2], int(y.max()) + 1
    rnn, lstm = (
        kind.random(features, sizes[name], rng)
        for name, kind in (("RNN", SimpleRNN), ("LSTM", LSTM))
    )
    bodies = {
        "RNN": lambda part: rnn.run(part).outputs[:, -1],
        "LSTM": lambda part: lstm.run(part).outputs[:, -1],
        "Transformer": Reader(features, outputs, rng=rng, **sizes["Transformer"]).states,
        "all tokens side by side": lambda part: part.reshape(len(part), -1),
    }
    return {name: read_out_alone(body, x, y) for name, body in bodies.items()}


def _lstm(longest: int | None, features: int, units: int, rng: np.random.Generator) -> LSTM:
    """Return an LSTM as Keras starts it, or one with chrono biases."""
    lstm = LSTM.random(features, units, rng)
    if longest is None:
        return lstm
    b_i, b_f = chrono_bias(units, longest, rng)
    return lstm.with_bias(input=b_i, forget=b_f)


def _recall_batch(batch: int, length: int, symbols: int, rng: np.random.Generator) -> Any:
    return first_symbol_recall(batch, length, rng, symbols)


def _arrays_of(block: EncoderBlock) -> list[Array]:
    """Return copies of a block's parameters, in the order of `_block_of`."""
    arrays = [*block.attention.weights, block.W_1, block.b_1, block.W_2, block.b_2]
    return [array.copy() for array in (*arrays, *block.scales, *block.offsets)]


def _block_of(arrays: list[Array]) -> EncoderBlock:
    """Return a block of which these arrays are the parameters."""
    attention = MultiHeadAttention(arrays[0:8:2], arrays[1:8:2])
    W_1, b_1, W_2, b_2, scale_1, scale_2, offset_1, offset_2 = arrays[8:]
    return EncoderBlock(attention, W_1, b_1, W_2, b_2, (scale_1, scale_2), (offset_1, offset_2))


def _norm_gradients(block: BlockGradients, units: int) -> list[Array]:
    """Return the gradients by both scales and both offsets, 0 where there is no norm."""
    found = [
        (np.zeros(units), np.zeros(units)) if norm is None else (norm.scale, norm.offset)
        for norm in block.norms
    ]
    return [part[i] for i in (0, 1) for part in found]
