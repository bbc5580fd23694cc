"""What a `GradientMonitor` costs, as a share of the training that it watches."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from course_lib.models.monitor import GradientMonitor
from course_lib.models.networks import dense_stack

__all__ = ["monitor_cost"]

BATCH = 64


def monitor_cost(*, repeats: int = 5, looks: int = 2, seed: int = 1) -> dict[str, Any]:
    """Measure how much longer a training takes with a monitor at its default interval.

    The seconds inside the monitor are set against the other seconds of the same training, so that
    whatever else the computer does slows both. The same model is also trained with and without,
    in turns: that holds what a monitor costs outside its own code too, and needs a quiet computer.
    The first turn, in which everything is traced, does not count. The probe is as large as a
    training batch.

    Returns
    -------
    dict
        ``"ratio"`` (the largest of all cases), ``"limit"`` (1.1), and ``"cases"``: by the name of
        the model the median seconds of a step and of a look, the median ``"ratio"`` from the
        seconds inside the monitor, and ``"in_turns"``, that of the trainings turn by turn.
    """
    rng = np.random.default_rng(seed)
    steps = looks * GradientMonitor(np.zeros((1, 1)), None).every
    cases = {
        "3 ReLU layers of 64": (dense_stack(3, 64, "relu", seed=seed), (64,)),
        "20 ReLU layers of 256": (dense_stack(20, 256, "relu", seed=seed), (64,)),
        "4 convolutions": (_convolutions(), (12, 12, 3)),
        "LSTM of 32 over 30 steps": (_recurrent(), (30, 8)),
    }
    results = {}
    for name, (model, shape) in cases.items():
        x = rng.normal(size=(BATCH * steps, *shape)).astype(np.float32)
        results[name] = _compare(model, x, rng.integers(10, size=len(x)), repeats)
    return {
        "ratio": max(case["ratio"] for case in results.values()),
        "limit": 1.1,
        "cases": results,
    }


class _Timed(GradientMonitor):
    """A monitor that adds up the seconds it takes."""

    seconds = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        start = time.perf_counter()
        super().on_train_batch_begin(batch, logs)
        self.seconds += time.perf_counter() - start

    def on_train_end(self, logs: Any = None) -> None:
        start = time.perf_counter()
        super().on_train_end(logs)
        self.seconds += time.perf_counter() - start


def _compare(model: keras.Model, x: np.ndarray, y: np.ndarray, repeats: int) -> dict[str, float]:
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss)
    monitor = _Timed(x[:BATCH], y[:BATCH])

    def seconds(callbacks: Sequence[keras.callbacks.Callback]) -> float:
        start = time.perf_counter()
        model.fit(x, y, batch_size=BATCH, callbacks=list(callbacks), verbose=0)
        return time.perf_counter() - start

    turns = []
    for _ in range(repeats + 1):
        without, before = seconds([]), monitor.seconds
        watched = seconds([monitor])
        turns.append((without, watched, monitor.seconds - before))
    steps = len(x) // BATCH
    return {
        "step_seconds": statistics.median(without for without, _, _ in turns[1:]) / steps,
        "look_seconds": statistics.median(own for _, _, own in turns[1:]) * monitor.every / steps,
        "ratio": statistics.median(watched / (watched - own) for _, watched, own in turns[1:]),
        "in_turns": statistics.median(watched / without for without, watched, _ in turns[1:]),
    }


def _convolutions() -> keras.Model:
    layers: list[keras.Layer] = [keras.Input((12, 12, 3))]
    for _ in range(4):
        layers += [keras.layers.Conv2D(16, 3, padding="same"), keras.layers.ReLU()]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def _recurrent() -> keras.Model:
    return keras.Sequential([keras.Input((30, 8)), keras.layers.LSTM(32), keras.layers.Dense(10)])
