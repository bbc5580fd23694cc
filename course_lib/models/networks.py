"""The networks that chapters train, written as Keras's own guides write them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from course_lib.checks import positive_int
from course_lib.maths.activations import ACTIVATIONS
from course_lib.maths.initializers import INITIALIZERS

__all__ = ["CourseInitializer", "activation_layer", "dense_stack"]

SLOPE = 0.01  # of Leaky ReLU, and of PReLU before it has learnt, as in `maths.activations`


def dense_stack(
    depth: int,
    units: int,
    activation: str,
    initializer: str = "glorot_normal",
    *,
    inputs: int = 64,
    outputs: int = 10,
    output_initializer: str = "glorot_normal",
    seed: int = 1,
    **scale: float,
) -> keras.Model:
    """Return a classifier of `depth` equal hidden layers, h_l = φ(h_{l−1} W_l + b_l).

    The weights are those that `INITIALIZERS[initializer]` of ``maths`` draws, so that a network
    of Keras and its counterpart in NumPy can be the same to the last digit. The last layer is
    linear (logits) and is drawn by `output_initializer`. Biases start at 0.

    Parameters
    ----------
    depth, units : int
        Hidden layers, and units in each.
    activation : str
        A name in ``maths.activations.ACTIVATIONS``.
    initializer, output_initializer : str
        Names in ``maths.initializers.INITIALIZERS``.
    inputs, outputs : int
        Features of a sample, and classes; as they are, for the digits.
    seed : int
        Each layer draws from a generator of its own, made from `seed` and the layer's number.
    **scale : float
        ``stddev`` for `initializer` "normal", ``gain`` for "orthogonal".

    Returns
    -------
    keras.Model
        Not compiled. The layers are called ``hidden_1`` … and ``logits``.

    Raises
    ------
    TypeError, ValueError
        If a number is not whole and above 0, or a name is unknown.
    """
    depth, units = positive_int("depth", depth), positive_int("units", units)
    inputs, outputs = positive_int("inputs", inputs), positive_int("outputs", outputs)
    layers: list[keras.Layer] = [keras.Input((inputs,))]
    for number in range(1, depth + 1):
        layers.append(
            keras.layers.Dense(
                units,
                activation=activation_layer(activation),
                kernel_initializer=CourseInitializer(initializer, seed, number, **scale),
                name=f"hidden_{number}",
            )
        )
    last = CourseInitializer(output_initializer, seed, depth + 1)
    layers.append(keras.layers.Dense(outputs, kernel_initializer=last, name="logits"))
    return keras.Sequential(layers)


def activation_layer(name: str) -> Any:
    """Return what a Keras layer takes as ``activation=`` for an activation function of the course.

    Keras's names stand for the same functions (its GELU is the exact one unless told otherwise),
    but its Leaky ReLU and PReLU have other slopes.
    """
    if ACTIVATIONS[name].name == "leaky_relu":
        return keras.layers.LeakyReLU(negative_slope=SLOPE)
    if name == "prelu":
        return keras.layers.PReLU(alpha_initializer=keras.initializers.Constant(SLOPE))
    return name


@keras.saving.register_keras_serializable("course_lib")
class CourseInitializer(keras.initializers.Initializer):
    """The initialiser `name` of ``maths.initializers`` in the form that a Keras layer takes.

    Parameters
    ----------
    name : str
        A name in ``INITIALIZERS``.
    seed, number : int
        The generator is ``np.random.default_rng([seed, number])``: each layer has its own, and
        draws the same numbers each time.
    **scale : float
        ``stddev`` or ``gain``, where the initialiser takes it.
    """

    def __init__(self, name: str, seed: int, number: int, **scale: float) -> None:
        self.name = name
        self.seed = positive_int("seed", seed, minimum=0)
        self.number = positive_int("number", number, minimum=0)
        self.scale = scale
        _ = INITIALIZERS[name]  # an unknown name is refused here, not when the layer is built
        unknown = set(scale) - {"normal": {"stddev"}, "orthogonal": {"gain"}}.get(name, set())
        if unknown:
            raise TypeError(f"`{unknown.pop()}` is no argument of the initialiser {name}.")

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Any:
        """Draw a matrix of `shape` (fan_in, fan_out)."""
        rng = np.random.default_rng([self.seed, self.number])
        matrix = INITIALIZERS[self.name](tuple(shape), rng, **self.scale)
        return keras.ops.convert_to_tensor(matrix, dtype=dtype)

    def get_config(self) -> dict[str, Any]:
        """Return what Keras needs to save and to clone it."""
        return {"name": self.name, "seed": self.seed, "number": self.number, **self.scale}
