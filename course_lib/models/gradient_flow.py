"""How much of the gradient arrives, at every layer of any Keras model.

>>> from course_lib.models import gradient_flow
>>> flow = gradient_flow.by_layer(model, x, y)
>>> print(flow)

The measure is the one of the whole course: ‖∂𝓛/∂h‖ at the output of each layer, and its geometric
mean factor from one layer to the next. A factor of 1 arrives, below 1 vanishes, above 1 explodes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib.checks import instance, shown
from course_lib.models.backward import FORMATS, differentiate
from course_lib.models.batches import build_on, check_batch
from course_lib.models.diagnosis import Diagnosis, Finding, diagnose
from course_lib.models.jacobians import JacobianProducts, jacobian_products
from course_lib.models.layer_flow import LayerFlow, geometric_mean, longest_paths
from course_lib.models.monitor import GradientMonitor
from course_lib.models.objectives import FlowError, in_one_sentence, objective_of
from course_lib.models.recording import Recording, unchanged
from course_lib.models.time_steps import TimeStepFlow, by_time_step

__all__ = [
    "Diagnosis",
    "Finding",
    "FlowError",
    "GradientMonitor",
    "JacobianProducts",
    "LayerFlow",
    "TimeStepFlow",
    "by_layer",
    "by_time_step",
    "cost_ratio",
    "diagnose",
    "jacobian_products",
]


def by_layer(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    loss: Any = None,
    sample_weight: Any = None,
    training: bool = False,
) -> LayerFlow:
    """Measure how much of the gradient arrives at every layer of a Keras model.

    The model runs once, and the loss is differentiated by the output of every layer and by all
    trainable weights in one backward pass. Where an entry is exactly 0, the step that made it, or
    else the whole pass, is repeated with the gradient times 2^k (which is exact): that tells an
    underflow from a true 0. The model is the same afterwards, bit for bit: weights, moving
    averages, seeds, states, metrics.

    Recorded is every layer that puts out real numbers, also inside nested models, lists of layers
    and composite layers; not what a recurrent layer or `TimeDistributed` calls in its loop, nor
    what runs inside a ``tf.function``. Where Keras takes a cross-entropy from the logits below a
    softmax or sigmoid, the record holds the logits, and its name says so.

    Parameters
    ----------
    model : keras.Model
        Functional, Sequential or subclassed; one that is not built yet is built by `x`.
    x, y : arrays, or lists or dicts of arrays
        One batch as for ``model.fit``: first dimension batch, at most some thousand samples.
    loss : str, keras.losses.Loss or function of (y_true, y_pred), optional
        For a model that is not compiled, or instead of its own loss; a list or dict of them for
        several outputs. What layers add to the loss (regularisation) is added in either case.
    sample_weight : array, shape (batch,), optional
        As for ``model.fit``.
    training : bool
        Whether layers behave as in training (dropout drops, batch normalisation uses the batch).

    Returns
    -------
    LayerFlow
        Norms by record, and their mean factor per layer.

    Raises
    ------
    TypeError, ValueError, FlowError (a ValueError)
        When an argument does not fit, in one sentence.
    """
    instance("model", model, keras.Model, "a Keras model, such as `keras.Sequential([...])`")
    if not isinstance(training, bool | np.bool_):
        raise TypeError(f"`training` is {shown(training)}; it takes True or False.")
    batch = check_batch(model, x, y, sample_weight)
    objective = objective_of(model, loss, batch)
    cannot_run = f"the model cannot be run on `x`, of shape {batch.x_shapes}"
    build_on(model, batch)
    with unchanged(model):
        recording = Recording(model)
        with in_one_sentence(cannot_run):
            value = recording.run(batch.x, bool(training), objective)
        gradients = differentiate(recording, value)
    for i, is_whole in enumerate(batch.whole_numbers):
        if is_whole and not gradients.connected[i]:  # an embedding: nothing to differentiate by
            gradients.activation_norms[i], gradients.true_zeros[i] = np.nan, 0
    records = recording.records
    depth, path = longest_paths(recording, gradients.connected)
    earliest, latest = path[0], path[-1]
    layers_between = sum(records[i].has_weights for i in path[1:])
    rms = gradients.activation_norms / np.sqrt(gradients.entries)
    narrowest = max(
        (record.dtype for record in records if record.is_floating),
        key=lambda dtype: FORMATS[dtype].smallest,
    )
    return LayerFlow(
        names=[record.name for record in records],
        activation_norms=gradients.activation_norms,
        weight_norms=gradients.weight_norms,
        depth=depth,
        factor_per_layer=geometric_mean(rms[earliest], rms[latest], layers_between),
        earliest=earliest,
        latest=latest,
        layers_between=layers_between,
        entries=gradients.entries,
        underflowed=gradients.underflowed,
        true_zeros=gradients.true_zeros,
        unresolved=gradients.unresolved,
        dtype=narrowest,
        loss=float(value),
        passes=gradients.passes,
    )


def cost_ratio(*, repeats: int = 7, seed: int = 1) -> dict[str, Any]:
    """Measure what `by_layer` costs, as a multiple of a plain gradient by the weights.

    Both run eagerly on the same model and batch, in turns: a forward run and ``tape.gradient`` by
    all trainable weights, and `by_layer` with whatever passes it needs.

    Returns
    -------
    dict
        ``"ratio"`` (the largest of all cases), ``"limit"`` (2.0), and ``"cases"``: by the name of
        the model the two medians in seconds, the median of the ratios turn by turn, and the
        number of backward passes.
    """
    from course_lib.models.networks import dense_stack

    rng = np.random.default_rng(seed)
    images = rng.normal(size=(64, 64)).astype(np.float32)
    pictures = rng.normal(size=(32, 24, 24, 3)).astype(np.float32)
    cases = {
        "70 sigmoid layers of 32": (dense_stack(70, 32, "sigmoid", seed=seed), images),
        "20 ReLU layers of 512": (dense_stack(20, 512, "relu", seed=seed), images),
        "20 residual blocks, batch norm, ReLU": (_residual_blocks(), images),
        "8 convolutions, batch norm, ReLU": (_convolutions(), pictures),
    }
    results = {}
    for name, (model, x) in cases.items():
        y = rng.integers(10, size=len(x))
        results[name] = _compare(model, x, y, repeats)
    return {
        "ratio": max(case["ratio"] for case in results.values()),
        "limit": 2.0,
        "cases": results,
    }


def _compare(model: keras.Model, x: np.ndarray, y: np.ndarray, repeats: int) -> dict[str, Any]:
    x_tensor, y_tensor = tf.constant(x), tf.constant(y)
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    def plain() -> None:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=y_tensor, y_pred=model(x_tensor, training=False))
        tape.gradient(loss, model.trainable_variables)

    def seconds(measured: Callable[[], Any]) -> float:
        start = time.perf_counter()
        measured()
        return time.perf_counter() - start

    pairs = [(seconds(plain), seconds(lambda: by_layer(model, x, y))) for _ in range(repeats + 1)]
    plain_seconds, flow_seconds = zip(*pairs[1:], strict=True)  # the first pair warms up
    return {
        "plain_seconds": statistics.median(plain_seconds),
        "by_layer_seconds": statistics.median(flow_seconds),
        "ratio": statistics.median(b / a for a, b in pairs[1:]),
        "passes": by_layer(model, x, y).passes,
    }


def _convolutions() -> keras.Model:
    layers: list[keras.Layer] = [keras.Input((24, 24, 3))]
    for _ in range(8):
        layers += [
            keras.layers.Conv2D(32, 3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential(layers)


def _residual_blocks() -> keras.Model:
    inputs = keras.Input((64,))
    h = keras.layers.Dense(64)(inputs)
    for _ in range(20):
        branch = keras.layers.BatchNormalization()(keras.layers.Dense(64)(h))
        h = h + keras.layers.ReLU()(branch)
    return keras.Model(inputs, keras.layers.Dense(10)(h))
