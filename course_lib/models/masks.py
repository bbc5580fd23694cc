"""What a mask hides: only the padding at one end of a sequence, or data as well.

Keras's masks are True where a step is read. A layer that is given one skips the other steps, so a
mask that is wrong hides them without a word: one that is the wrong way round, as other libraries
have it, one of ``mask_zero=True`` where 0 is a word, one of ``Masking`` whose value the data have.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from course_lib.models.recording import Record, all_layers, calls_changed

__all__ = ["Hidden", "hidden_by_masks", "without_masks"]

Array = np.ndarray


@dataclass(frozen=True)
class Hidden:
    """What one mask hides; every figure is a share, 0 … 1.

    Attributes
    ----------
    steps : float
        Of all steps: those that are masked.
    inside : float
        Of the masked steps: those between two that are not.
    blind : float
        Of the samples: those of which nothing is left.
    data : float
        Of the masked steps: those at which the input is another than at most masked steps, and so
        no padding; NaN where no input of the model has as many steps.
    left : float
        Of the steps that are left: those at which the input is another than at most of them; 0
        where whatever is left is the same.
    """

    steps: float
    inside: float
    blind: float
    data: float
    left: float

    @property
    def inverted(self) -> bool:
        """Whether it hides data and lets nothing but padding through."""
        return self.data > 0 and self.left == 0


def hidden_by_masks(records: list[Record]) -> dict[str, Hidden]:
    """Return what is hidden by each mask that hides anything, by the layer that met it first.

    Parameters
    ----------
    records : list of Record
        Of one forward run, from `recording.Recording`; those of the model's inputs come first.
    """
    inputs = [_array(record.tensors[0]) for record in records if record.layer is None]
    found: dict[str, Hidden] = {}
    met: set[bytes] = set()
    for record in records:
        for mask in _masks(record):
            key = mask.tobytes()
            if key not in met and not mask.all():
                met.add(key)
                found.setdefault(record.name, _hidden(mask, inputs))
    return found


@contextmanager
def without_masks(model: keras.Model) -> Iterator[None]:
    """Let every layer of a model read every step while the block runs."""
    changes = {}
    for layer in all_layers(model):
        signature = inspect.signature(layer.call)
        if isinstance(layer, keras.layers.Masking):
            changes[layer] = _unchanged_input
        elif isinstance(layer, keras.layers.Softmax):  # in attention: its mask is one of pairs
            continue
        elif any(map(_hides_steps, signature.parameters)):
            changes[layer] = _unmasked(layer.call, signature)
    with calls_changed(changes):
        yield


def _unchanged_input(inputs: Any) -> Any:
    return inputs


def _unmasked(call: Callable[..., Any], signature: inspect.Signature) -> Callable[..., Any]:
    def unmasked(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        bound.arguments |= {name: None for name in bound.arguments if _hides_steps(name)}
        return call(*bound.args, **bound.kwargs)

    return unmasked


def _hides_steps(argument: str) -> bool:
    """Whether an argument is a mask of steps; one of pairs of steps is what attention is about."""
    return argument.endswith("mask") and argument not in ("attention_mask", "use_causal_mask")


def _masks(record: Record) -> list[Array]:
    """Return the masks that a layer was given, each of shape (batch, time)."""
    given = [value for name, value in record.given.items() if _hides_steps(name)]
    arrays = [_array(mask) for mask in keras.tree.flatten(given) if mask is not None]
    return [mask.astype(bool) for mask in arrays if mask.ndim == 2 and mask.shape[1] > 1]


def _hidden(mask: Array, inputs: list[Array]) -> Hidden:
    before = np.maximum.accumulate(mask, axis=1)
    after = np.maximum.accumulate(mask[:, ::-1], axis=1)[:, ::-1]
    masked = ~mask
    fitting = [x for x in inputs if x.shape[:2] == mask.shape]
    # Of several inputs that go step by step, the one that is most like padding where it is masked.
    shares = [(_unusual(x[masked]), _unusual(x[mask])) for x in fitting]
    data, left = min(shares, default=(float("nan"), float("nan")))
    return Hidden(
        steps=float(masked.mean()),
        inside=float((masked & before & after).sum() / masked.sum()),
        blind=float((~mask.any(axis=1)).mean()),
        data=data,
        left=left,
    )


def _unusual(steps: Array) -> float:
    """Return the share of steps at which the input is another than the most frequent one."""
    if not len(steps):
        return 0.0
    if steps.dtype == object:  # text: NumPy compares rows of numbers only
        steps = np.unique(steps, return_inverse=True)[1].reshape(steps.shape)
    _, counts = np.unique(steps.reshape(len(steps), -1), axis=0, return_counts=True)
    return float(1 - counts.max() / len(steps))


def _array(value: Any) -> Array:
    return np.asarray(keras.ops.convert_to_numpy(value))
