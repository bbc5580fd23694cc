"""What every test of the maths floor holds its formulas against: two yardsticks, and Keras."""

import numpy as np
import pytest


def _central_differences(function, arrays, step=1e-5):
    """∂function/∂array for each array, entry by entry; `function()` reads the arrays itself."""
    gradients = []
    for array in arrays:
        gradient = np.empty_like(array)
        for index in np.ndindex(array.shape):
            here = array[index]
            array[index] = here + step
            above = function()
            array[index] = here - step
            below = function()
            array[index] = here
            gradient[index] = (above - below) / (2 * step)
        gradients.append(gradient)
    return gradients


def _largest_error(own, reference):
    """The largest ‖own − reference‖ / ‖reference‖ over two lists of arrays."""
    return max(
        np.linalg.norm(np.asarray(a) - np.asarray(b)) / np.linalg.norm(b)
        for a, b in zip(own, reference, strict=True)
    )


@pytest.fixture
def central_differences():
    return _central_differences


@pytest.fixture
def largest_error():
    return _largest_error


@pytest.fixture(scope="session")
def tf():
    return pytest.importorskip("tensorflow")


@pytest.fixture(scope="session")
def keras(tf):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("Keras runs on another backend here.")
    return keras
