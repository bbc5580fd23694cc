"""What `by_time_step` costs: beside a plain gradient, a tape a step, and a loop in Python."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.models.time_steps import by_time_step

__all__ = ["LIMIT", "step_cost_ratio"]

LIMIT = 2.0
BATCH, FEATURES, UNITS = 32, 16, 64
CELLS = {"SimpleRNN": keras.layers.SimpleRNN, "LSTM": keras.layers.LSTM, "GRU": keras.layers.GRU}


def step_cost_ratio(
    *, lengths: Iterable[int] = (100, 400), repeats: int = 9, seed: int = 1
) -> dict[str, dict[str, Any]]:
    """Measure what `by_time_step` costs, as a multiple of a plain gradient by the weights.

    Both run traced, after a first run that traces, on the same model and batch and in turns. The
    two ways that need no probe run eagerly, as one would write them: a loop over the cell in
    Python with one tape that watches every state; and such a run with a tape of its own for each
    step, measured at two of the steps and multiplied by their number.

    Returns
    -------
    dict
        By the name of the case: ``"ratio"``, by_time_step / the plain gradient, the median of the
        ratios turn by turn; ``"eager_loop"`` and ``"tape_a_step"``, each / by_time_step;
        ``"seconds"`` of by_time_step, the median; ``"passes"``.
    """
    rng = np.random.default_rng(seed)
    results = {}
    for length in lengths:
        for name, cell in CELLS.items():
            keras.utils.set_random_seed(seed)
            layers = [keras.Input((length, FEATURES)), cell(UNITS), keras.layers.Dense(10)]
            x = rng.normal(size=(BATCH, length, FEATURES)).astype(np.float32)
            y = rng.integers(10, size=BATCH)
            results[f"{name}, T = {length}"] = _compare(keras.Sequential(layers), x, y, repeats)
    return results


def _compare(model: keras.Model, x: np.ndarray, y: np.ndarray, repeats: int) -> dict[str, Any]:
    x_tensor, y_tensor = tf.constant(x), tf.constant(y)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(autograph=False)
    def plain(x: tf.Tensor, y: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=False))
        return tape.gradient(value, model.trainable_variables)

    def probed() -> Any:
        return by_time_step(model, x, y, loss=loss)

    plain(x_tensor, y_tensor)
    (flow,) = probed().values()
    pairs = [
        (_seconds(lambda: plain(x_tensor, y_tensor)), _seconds(probed)) for _ in range(repeats)
    ]
    ours = statistics.median(pair[1] for pair in pairs)
    steps = x.shape[1]

    def eager(watched: Iterable[int]) -> float:
        return _seconds(lambda: _eager_gradient(model, x_tensor, y_tensor, loss, watched))

    one_step = statistics.mean(eager([t]) for t in (steps // 4, 3 * steps // 4))
    return {
        "ratio": statistics.median(b / a for a, b in pairs),
        "eager_loop": eager(range(steps)) / ours,
        "tape_a_step": steps * one_step / ours,
        "seconds": ours,
        "passes": flow.passes,
    }


def _eager_gradient(
    model: keras.Model, x: tf.Tensor, y: tf.Tensor, loss: Any, watched: Iterable[int]
) -> list[tf.Tensor]:
    """Return ∂𝓛/∂h_t for the watched steps, by a loop over the cell in Python and one tape."""
    layer, head = model.layers
    states = layer.get_initial_state(len(x))
    wanted, found = set(watched), []
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for t in range(x.shape[1]):
            h, states = layer.cell(x[:, t], states)
            if t in wanted:
                tape.watch(h)
                found.append(h)
        value = loss(y, head(h))
    return tape.gradient(value, found)


def _seconds(measured: Callable[[], Any]) -> float:
    start = time.perf_counter()
    measured()
    return time.perf_counter() - start
