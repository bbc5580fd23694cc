"""The backward pass, and further passes for gradients too small for the number format.

TensorFlow writes 0 for a float32 below 1.2e-38 (and for a float16 below 6e-8), and no logarithm
afterwards brings it back. But the backward pass is linear: with the loss times 2^k every gradient
is larger by exactly 2^k, as long as nothing overflows. So where an entry is exactly 0, the pass
is repeated, scaled: what is no longer 0 was an underflow, what stays 0 *is* 0.

Most zeros are those of a ReLU, a maximum or a dropped unit, and to see that they are true it is
enough to repeat the step through that one layer; then no second pass is needed.

One scaled pass shows some 50 decades more of float32. A gradient that falls further is followed
by passes that start anew, scaled anew, from a record through which every way to the loss leads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import tensorflow as tf

from course_lib.models.recording import Record, Recording

__all__ = ["FORMATS", "Backward", "differentiate"]


@dataclass(frozen=True)
class Format:
    """What a number format can hold, as powers of two.

    Attributes
    ----------
    smallest, largest : int
        Of a number that TensorFlow does not write as 0 or as infinity. It drops subnormal
        float32, and keeps subnormal float16.
    reserve : int
        Bits that a scaled pass leaves free below `largest`, for sums inside a layer.
    exact : int
        A gradient whose largest entry stands this far above `smallest` has an exact norm:
        what it may have lost is smaller by as much.
    """

    smallest: int
    largest: int
    reserve: int = 24
    exact: int = 24


FORMATS = {
    "float16": Format(-24, 15, reserve=4, exact=12),
    "bfloat16": Format(-126, 127),
    "float32": Format(-126, 127),
    "float64": Format(-1022, 1023),
}


@dataclass(frozen=True)
class Backward:
    """The gradients of one recording, one entry a record.

    Attributes
    ----------
    activation_norms, weight_norms : ndarray of float64, shape (records,)
        Frobenius norms; NaN where there is nothing to differentiate by: whole numbers, or no
        trainable weights.
    underflowed : ndarray of int, shape (records,)
        Entries that were 0 and are not 0 in a scaled pass.
    true_zeros : ndarray of int, shape (records,)
        Entries that are 0 at every scale.
    unresolved : ndarray of int, shape (records,)
        Entries that are 0, of which no pass could say why; as a rule none.
    connected : ndarray of bool, shape (records,)
        Whether a way leads from the record to the loss that a gradient can go.
    entries : ndarray of int, shape (records,)
        Numbers in the output, without the states of a layer that nothing reads.
    passes : int
        Backward passes that were made.
    """

    activation_norms: np.ndarray
    weight_norms: np.ndarray
    underflowed: np.ndarray
    true_zeros: np.ndarray
    unresolved: np.ndarray
    connected: np.ndarray
    entries: np.ndarray
    passes: int


def differentiate(recording: Recording, loss: tf.Tensor) -> Backward:
    """Differentiate `loss` by every record and by the trainable weights of every layer."""
    return _Passes(recording, loss).run()


@dataclass(eq=False)
class _Gradient:
    """A gradient in parts (one array per tensor), times 2^exponent."""

    parts: list[np.ndarray]
    exponent: int

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @cached_property
    def zeros(self) -> int:
        return sum(int(np.count_nonzero(part == 0)) for part in self.parts)

    @cached_property
    def top(self) -> float:
        """The power of two of the largest entry: −inf if all are 0, NaN if one is not finite."""
        largest = max(
            (max(float(part.max()), -float(part.min())) for part in self.parts if part.size),
            default=0.0,
        )
        if not math.isfinite(largest):
            return math.nan
        return math.frexp(largest)[1] if largest else -math.inf

    def norm(self) -> float:
        """Return the Frobenius norm over all parts, without the factor 2^exponent."""
        squares = sum(map(_sum_of_squares, self.parts))
        if 1e-280 < squares < 1e280 or not math.isfinite(self.top):
            return float(np.ldexp(math.sqrt(squares), -self.exponent))
        top = int(self.top)  # the squares leave float64, the norm does not
        squares = sum(_sum_of_squares(np.ldexp(part, -top)) for part in self.parts)
        return float(np.ldexp(math.sqrt(squares), top - self.exponent))


_Key = tuple[int, ...]  # stands for a layer: the ids of its weights
_Gradients = dict[int, _Gradient]  # by number of the record
_WeightGradients = dict[_Key, _Gradient]


class _Passes:
    """The backward passes over one recording, and what the best of them showed."""

    def __init__(self, recording: Recording, loss: tf.Tensor) -> None:
        self.recording, self.loss = recording, loss
        self.records = recording.records
        self.count = 0
        # Uses of one layer share their weights, and so the gradient by them.
        self.layers = {_key(record): record for record in self.records if record.weights}
        self.uses: dict[_Key, list[int]] = {layer: [] for layer in self.layers}
        for i, record in enumerate(self.records):
            if record.weights:
                self.uses[_key(record)].append(i)

    def run(self) -> Backward:
        floating = [i for i, record in enumerate(self.records) if record.is_floating]
        self.activations, self.weights = self._pass_from_loss(0, floating, self.layers)
        zeros = {i: gradient.zeros for i, gradient in self.activations.items()}
        unexplained = self._unexplained_by_one_step({i for i in zeros if zeros[i]})
        if unexplained or self._weak_layers():
            unexplained = self._scaled_passes(unexplained)

        size = len(self.records)
        norms, weight_norms = np.full(size, np.nan), np.full(size, np.nan)
        underflowed, true_zeros, unresolved = (np.zeros(size, dtype=int) for _ in range(3))
        for i in floating:
            if i not in self.activations:  # no way to the loss
                norms[i], true_zeros[i] = 0.0, self.records[i].entries
                continue
            gradient = self.activations[i]
            norms[i] = gradient.norm()
            underflowed[i] = zeros[i] - gradient.zeros
            (unresolved if i in unexplained else true_zeros)[i] = gradient.zeros
        for layer, uses in self.uses.items():
            weight_norms[uses] = self.weights[layer].norm() if layer in self.weights else 0.0
        return Backward(
            activation_norms=norms,
            weight_norms=weight_norms,
            underflowed=underflowed,
            true_zeros=true_zeros,
            unresolved=unresolved,
            connected=np.isin(np.arange(size), [*self.activations]),
            entries=np.array(
                [
                    self.activations[i].size if i in self.activations else record.entries
                    for i, record in enumerate(self.records)
                ]
            ),
            passes=self.count,
        )

    def _unexplained_by_one_step(self, zeros: set[int]) -> set[int]:
        """Drop the records whose zeros stay when the one step from the records above is scaled.

        That step goes through layers without a matrix. What arrives from above has to be exact.
        """
        left = set(zeros)
        for i in sorted(zeros, reverse=True):
            above = [j for j in self._children[i] if self.activations[j].top != -math.inf]
            if i in self.recording.exits or left.intersection(self._children[i]):
                continue
            if not all(self._is_exact(j) for j in above):
                continue
            if not above or self._zeros_after_a_scaled_step(i, above) == self.activations[i].zeros:
                left.discard(i)
        return left

    def _zeros_after_a_scaled_step(self, i: int, above: list[int]) -> int | None:
        """Return the zeros of record `i` when what arrives from the records `above` is scaled."""
        gradients = [self.activations[j] for j in above]
        if any(len(gradient.parts) != 1 for gradient in (self.activations[i], *gradients)):
            return None
        format = FORMATS[self.records[above[0]].dtype]
        extra = format.largest - format.reserve - max(int(gradient.top) for gradient in gradients)
        arriving = {
            j: np.ldexp(gradient.parts[0], extra)
            for j, gradient in zip(above, gradients, strict=True)
        }
        scaled = self.recording.step_down(i, arriving)
        if scaled is None or not np.isfinite(scaled).all():
            return None
        return int(np.count_nonzero(scaled == 0))

    def _is_exact(self, i: int) -> bool:
        """Whether a gradient stands so far above the limit that what it lost does not count."""
        return self.activations[i].top >= self._format(i).smallest + self._format(i).exact

    def _scaled_passes(self, unexplained: set[int]) -> set[int]:
        """Repeat the pass, scaled, until every 0 is explained; return the records left over.

        The first repetition starts at the loss. Each further one starts nearer to the input, at
        a record that all ways from the unexplained ones to the loss lead through, and whose
        gradient the pass before showed exactly.
        """
        known = [*self.activations], [*self.weights]
        result = self._until_finite(
            lambda exponent: self._pass_from_loss(exponent, *known), self._room()
        )
        start: int | None = len(self.records)
        while result and start is not None:
            activations, weights = result
            self._take(activations, weights, unexplained)
            unexplained = self._still_unexplained(unexplained, activations)
            before, start = start, self._next_start(unexplained, activations)
            if start is None or start >= before:
                break
            make = partial(self._pass_from_record, start, activations[start])
            format = self._format(start)
            result = self._until_finite(make, format.largest - format.reserve)
        return unexplained

    def _until_finite(
        self, make: Callable[[int], tuple[_Gradients, _WeightGradients]], exponent: int
    ) -> tuple[_Gradients, _WeightGradients] | None:
        """Make a scaled pass; scale less when something between the records overflows."""
        step = min(format.reserve for format in map(self._format, self.activations))
        for _ in range(4):
            activations, weights = make(exponent)
            overflowed = any(
                math.isnan(activations[i].top) and not math.isnan(self.activations[i].top)
                for i in activations
            )
            if not overflowed:
                return activations, weights
            exponent -= step
        return None

    def _pass_from_loss(
        self, exponent: int, indices: Iterable[int], layers: Iterable[_Key]
    ) -> tuple[_Gradients, _WeightGradients]:
        """Differentiate the loss times 2^exponent by records and by layers' weights."""
        seed = tf.constant(2.0**exponent, self.loss.dtype)
        return self._pass(self.loss, seed, exponent, indices, layers)

    def _pass_from_record(
        self, start: int, gradient: _Gradient, top: int
    ) -> tuple[_Gradients, _WeightGradients]:
        """Go on from the gradient at one record, scaled until its largest entry is 2^top."""
        extra = top - int(gradient.top)
        seed = np.ldexp(gradient.parts[0], extra)
        exponent = gradient.exponent + extra
        tensor = self.records[start].tensors[0]
        below = [i for i in self.activations if i != start and start in self._gates[i]]
        layers = [
            layer
            for layer in self.weights
            if all(start in self._gates[i] for i in self.uses[layer])
        ]
        activations, weights = self._pass(
            tensor, tf.constant(seed, tensor.dtype), exponent, below, layers
        )
        return {**activations, start: _Gradient([seed], exponent)}, weights

    def _pass(
        self, target: Any, seed: tf.Tensor, exponent: int, indices: Any, layers: Any
    ) -> tuple[_Gradients, _WeightGradients]:
        self.count += 1
        found = self.recording.tape.gradient(
            target,
            [
                [self.records[i].tensors for i in indices],
                [self.layers[layer].weights for layer in layers],
            ],
            output_gradients=seed,
        )
        activations, weights = (
            {
                key: _Gradient([_as_array(part) for part in parts if part is not None], exponent)
                for key, parts in zip(keys, groups, strict=True)
                if any(part is not None for part in parts)
            }
            for keys, groups in zip((indices, layers), found, strict=True)
        )
        return activations, weights

    def _take(
        self, activations: _Gradients, weights: _WeightGradients, unexplained: set[int]
    ) -> None:
        """Keep what a scaled pass shows where the passes before showed zeros."""
        for i in unexplained & activations.keys():
            if activations[i].zeros < self.activations[i].zeros:
                self.activations[i] = activations[i]
        for layer in self._weak_layers() & weights.keys():
            if not math.isnan(weights[layer].top):
                self.weights[layer] = weights[layer]

    def _still_unexplained(self, unexplained: set[int], activations: _Gradients) -> set[int]:
        """Drop the records whose zeros are true: what arrived there was large enough.

        Large enough is an entry of 1/2 or more: times any number of the format it is not 0.
        """
        left = {i for i in unexplained if self.activations[i].zeros}

        def is_clear(j: int) -> bool:
            if activations[j].top == -math.inf:
                return j not in left  # nothing arrives from j, and that is explained
            return activations[j].top >= 0

        for i in sorted(left, reverse=True):
            if all(is_clear(j) for j in self._children[i]):
                left.discard(i)
        return left

    def _next_start(self, unexplained: set[int], activations: _Gradients) -> int | None:
        """Return the record from which one more pass would show more, if there is one."""
        wanted = unexplained.union(*(self.uses[layer] for layer in self._weak_layers()))
        if not wanted or not self.recording.complete:
            return None
        common = set.intersection(*(self._gates[i] for i in wanted)) - unexplained
        return min(
            (
                i
                for i in common & activations.keys()
                if len(self.records[i].tensors) == 1
                and activations[i].top >= self._format(i).smallest + self._format(i).exact
            ),
            default=None,
        )

    def _weak_layers(self) -> set[_Key]:
        """Return the layers whose weight gradient is so small that its norm may be wrong."""
        return {
            layer
            for layer, gradient in self.weights.items()
            if gradient.top < self._layer_format(layer).smallest + self._layer_format(layer).exact
        }

    def _room(self) -> int:
        """Return the k for which the largest gradient times 2^k is well below overflow."""
        formats = [self._format(i) for i in self.activations]
        formats += [self._layer_format(layer) for layer in self.weights]
        tops = [gradient.top for gradient in (*self.activations.values(), *self.weights.values())]
        rooms = [
            format.largest - format.reserve - int(top)
            for format, top in zip(formats, tops, strict=True)
            if math.isfinite(top)
        ]
        highest = FORMATS[self.loss.dtype.name].largest - 1  # 2^k itself has to be a number
        return max(0, min([*rooms, highest]))

    def _format(self, i: int) -> Format:
        return FORMATS[self.records[i].dtype]

    def _layer_format(self, layer: _Key) -> Format:
        return FORMATS[self.layers[layer].dtype]

    @cached_property
    def _children(self) -> dict[int, list[int]]:
        """The records made directly from each record, as far as they lead to the loss."""
        children: dict[int, list[int]] = {i: [] for i in range(len(self.records))}
        for j, record in enumerate(self.records):
            for i in record.parents:
                if j in self.activations:
                    children[i].append(j)
        return children

    @cached_property
    def _gates(self) -> dict[int, set[int]]:
        """For each record, those (itself included) that all its ways to the loss lead through."""
        gates: dict[int, set[int]] = {}
        for i in reversed(range(len(self.records))):
            ways = [gates[j] for j in self._children[i]]
            if i in self.recording.exits:
                ways.append(set())
            gates[i] = {i}.union(set.intersection(*ways) if ways else set())
        return gates


def _key(record: Record) -> _Key:
    return tuple(id(weight) for weight in record.weights)


def _as_array(gradient: tf.Tensor | tf.IndexedSlices) -> np.ndarray:
    """Return a gradient as an array of float32 or float64; the shorter formats fit exactly."""
    array = np.asarray(tf.convert_to_tensor(gradient))  # no copy, unlike `.numpy()`
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)


def _sum_of_squares(array: np.ndarray) -> float:
    """Sum in float64, in blocks that stay in the processor's cache."""
    flat, block = array.ravel(), 8192
    parts = (flat[i : i + block].astype(np.float64) for i in range(0, flat.size, block))
    return float(sum(part @ part for part in parts))
