"""`by_time_step` against one tape a step, and against arithmetic."""

import re

import keras
import numpy as np
import pytest

from course_lib.models import gradient_flow
from course_lib.models.probes import recurrent_layers

K = keras.layers
LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def place(model, name):
    """The layer, the number of its use, and the number of its cell, by the name in a result."""
    path, use = re.fullmatch(r"(.*?)(?: \(use (\d+)\))?", name).groups()
    layers = {known: layer for layer, known in recurrent_layers(model).items()}
    if path in layers:
        return layers[path], int(use or 1), 0
    path, cell = path.rsplit("/", 1)
    cells = [one.name for one in layers[path].cell.cells]
    return layers[path], int(use or 1), cells.index(cell)


def assert_equal(found, expected, mask):
    """Equal to a millionth of the largest entry of all steps, and NaN where masked."""
    read = np.ones(found.shape[:2], bool) if mask is None else mask
    assert np.isnan(found[~read]).all()
    np.testing.assert_allclose(
        found[read], expected[read], rtol=1e-6, atol=1e-6 * np.abs(expected).max()
    )


def check(model, x, y, one_tape_a_step, bits, training=False):
    """Compare every layer of a model with one tape a step, and the model with itself."""
    model(x)
    before = bits(model)
    flows = gradient_flow.by_time_step(model, x, y, loss=LOGITS, training=training)
    assert bits(model) == before
    assert flows
    for name, flow in flows.items():
        layer, use, cell = place(model, name)
        options = {"use": use, "cell": cell, "training": training}
        expected = one_tape_a_step(model, layer, x, y, **options)
        assert np.abs(expected).max() > 1e-6
        assert_equal(flow.gradients, expected, flow.mask)
        if flow.cell_gradients is not None:
            expected = one_tape_a_step(model, layer, x, y, state=1, **options)
            assert_equal(flow.cell_gradients, expected, flow.mask)


def test_equals_one_tape_a_step(recurrent, one_tape_a_step, bits):
    check(*recurrent, one_tape_a_step, bits)


@pytest.mark.parametrize("name", ["dropout", "stateful", "subclassed", "masked, both directions"])
def test_equals_one_tape_a_step_in_training(name, recurrent_zoo, one_tape_a_step, bits):
    check(*recurrent_zoo(name), one_tape_a_step, bits, training=True)
