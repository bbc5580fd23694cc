"""Run a Keras model once, keep what every layer puts out, and leave the model as it was.

Each layer's own ``call`` is replaced for the duration by one that notes the output
(``vars(layer)["call"]``, taken out again afterwards, also after an error). So every kind of model
can be read: functional and Sequential, shared layers, nested models, subclassed ones.

Two tapes run. The first is for the gradients of the loss. The second is in pieces, cut at every
record, and answers what happens from one record to the next: which records a tensor was made from,
where a model adds or slices by itself (``x + f(x)``), and what a layer without matrices does to a
gradient. Inside layers with a matrix it is stopped, for there it would cost as much as the first.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common.global_state import get_global_attribute

__all__ = [
    "Record",
    "Recording",
    "all_layers",
    "all_variables",
    "calls_changed",
    "layers_inside",
    "same_bits",
    "unchanged",
    "value_of",
]

_ABSENT = object()
_NODES = ("_inbound_nodes", "_outbound_nodes")  # long lists that hold no layer

# What they hold is called in a loop over time, where an output is no place in the network.
_LOOPS = (keras.layers.RNN, keras.layers.TimeDistributed)


@dataclass(eq=False)
class Record:
    """One use of one layer: what it put out, and where that came from.

    Attributes
    ----------
    name : str
        The layer's name, after the names of the models and layers that hold it.
    layer : keras.Layer or None
        None for an input of the model.
    tensors : list of tf.Tensor
        The output: one tensor as a rule, several for a layer that returns states.
    weights : list of keras.Variable
        The layer's own trainable weights, without those of layers recorded inside it.
    has_weights : bool
        Whether the layer has weights of its own, trainable or not.
    parents : list of int
        The records that a gradient goes to next from here, through no other record.
    given : dict
        What the layer was called with, by the names of its ``call``: ``training``, masks.
    """

    name: str
    layer: keras.Layer | None
    tensors: list[tf.Tensor]
    weights: list[keras.Variable] = field(default_factory=list)
    has_weights: bool = False
    parents: list[int] = field(default_factory=list)
    sources: list[tf.Tensor] = field(default_factory=list)
    made: list[tf.Tensor] = field(default_factory=list)  # `tensors`, on the second tape's piece
    given: dict[str, Any] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        """Numbers in the output, batch included."""
        return sum(int(np.prod(tensor.shape)) for tensor in self.tensors)

    @property
    def is_floating(self) -> bool:
        """Whether there is a gradient by this record: none by a token's number."""
        return self.tensors[0].dtype.is_floating

    @property
    def dtype(self) -> str:
        """Type of the output, such as ``"float32"``."""
        return self.tensors[0].dtype.name


class Recording:
    """The records of one forward run of `model`, from its input to its output.

    Attributes
    ----------
    records : list of Record
        In the order in which the layers finished; the inputs come first.
    outputs
        What the model returned.
    exits : set of int
        The records from which the loss is computed.
    complete : bool
        Whether `parents` and `exits` are sure to hold every way to the loss.
    tape : tf.GradientTape
        Persistent; it watched every record and every trainable weight.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self.records: list[Record] = []
        self.outputs: Any = None
        self.exits: set[int] = set()
        self.complete = True
        self.tape = tf.GradientTape(persistent=True)
        self._links = tf.GradientTape(persistent=True, watch_accessed_variables=False)
        self._owner: dict[int, int] = {}  # id of a tensor -> the record that holds it
        self._made: dict[int, tuple[tf.Tensor, list[tf.Tensor]]] = {}  # id -> it, its sources
        self._origins: dict[int, list[int]] = {}  # id of a tensor -> the records it is made from
        self._paths, self._inner = _layers_by_path(model)
        self._place = _place()

    def run(self, x: Any, training: bool, objective: Any) -> tf.Tensor:
        """Run the model on `x` and return ``objective(outputs)``, a scalar on the tape.

        Parameters
        ----------
        x : tensor, or list or dict of tensors
        training : bool
        objective : callable
            From the model's outputs to the loss.
        """
        with self.tape, self._links:
            self._keep_inputs(x)
            with self._calls_replaced():
                self.outputs = self.model(x, **self._training(training))
            with self._links.stop_recording():
                loss = objective(self.outputs)
        self._follow_logits(loss)
        self._find_links()
        self._number_repeated_names()
        return loss

    def _training(self, training: bool) -> dict[str, bool]:
        """Pass `training` on to a model whose ``call`` takes it, as Keras's own steps do."""
        return {"training": training} if "training" in self.model.call_signature_parameters else {}

    def _keep_inputs(self, x: Any) -> None:
        paths = keras.tree.flatten_with_path(x)
        for path, tensor in paths:
            name = "input" if len(paths) == 1 else f"input {'/'.join(map(str, path))}"
            self._keep(Record(name, None, [tensor]))

    def _keep(self, record: Record) -> None:
        for tensor in record.tensors:
            self._owner[id(tensor)] = len(self.records)
            if tensor.dtype.is_floating:
                self.tape.watch(tensor)
                self._links.watch(tensor)
        self.records.append(record)

    @contextmanager
    def _calls_replaced(self) -> Iterator[None]:
        """Let each layer's ``call`` note its output while the block runs."""
        replaced: list[tuple[Any, str, Any]] = []

        def replace(owner: Any, name: str, value: Any) -> None:
            replaced.append((owner, name, vars(owner).get(name, _ABSENT)))
            vars(owner)[name] = value

        try:
            for layer in self._paths:
                method = "quantized_call" if layer.quantization_mode else "call"
                replace(layer, method, self._noting(layer, getattr(layer, method)))
                # Recomputing a layer in the backward pass saves memory and changes no number,
                # but hides its output from the tape.
                if getattr(layer, "_remat_mode", None):
                    replace(layer, "_remat_mode", None)
            for operation in _operations(self._paths):
                replace(operation, "call", self._tracing(operation.call))
            yield
        finally:
            for owner, name, value in reversed(replaced):
                if value is _ABSENT:
                    vars(owner).pop(name, None)
                else:
                    vars(owner)[name] = value

    def _noting(self, layer: keras.Layer, call: Any) -> Any:
        """Return `call`, with its output kept as a record."""

        @functools.wraps(call)
        def noting(*args: Any, **kwargs: Any) -> Any:
            if _place() is not self._place:  # inside tf.function, tf.map_fn …: no tape sees it
                return call(*args, **kwargs)
            first = len(self.records)
            inputs = _floating(args) + _floating(kwargs)
            is_closed = self._is_closed(layer)
            with self._links.stop_recording() if is_closed else nullcontext():
                outputs = call(*args, **kwargs)
            kept = self._keep_outputs(layer, inputs, outputs, first)
            if len(self.records) > first and self.records[-1].layer is layer:
                self.records[-1].given = _modes(call, args, kwargs)
            return kept

        return noting

    def _is_closed(self, layer: keras.Layer) -> bool:
        """Whether the second tape stays out: a dense layer, a convolution, a loop over time."""
        if self._inner[layer]:
            return False
        return isinstance(layer, _LOOPS) or any(len(weight.shape) > 1 for weight in layer.weights)

    def _tracing(self, call: Any) -> Any:
        """Return the `call` of a plain operation, such as an addition, with its inputs noted."""

        @functools.wraps(call)
        def tracing(*args: Any, **kwargs: Any) -> Any:
            outputs = call(*args, **kwargs)
            if _place() is self._place:
                sources = _floating(args) + _floating(kwargs)
                for tensor in _floating(outputs):
                    self._made.setdefault(id(tensor), (tensor, sources))
            return outputs

        return tracing

    def _keep_outputs(
        self, layer: keras.Layer, inputs: list[tf.Tensor], outputs: Any, first: int
    ) -> Any:
        """Make a record of `outputs` and return them, perhaps as new tensors.

        A tensor that some other record holds, or that went in as it came out (dropout at
        inference), is copied: only a tensor of its own has a gradient of its own. So are the
        parts of a larger output, for an LSTM's sequence is made from its last state. A layer
        whose output is that of the last layer inside it needs no second record; if it has
        weights of its own, the record takes its name and its weights.
        """
        is_leaf = not self._inner[layer]
        produced = _floating(outputs)
        tensors: list[tf.Tensor] = []
        made: list[tf.Tensor] = []
        inside: list[Record] = []
        weights = _own_weights(layer, self._inner[layer])
        trainable = [weight for weight in weights if weight.trainable]
        is_closed = self._is_closed(layer)
        given = set(map(id, inputs))

        def own(tensor: Any) -> Any:
            if not _is_floating(tensor):
                return tensor
            holder = self._owner.get(id(tensor))
            if holder is not None and holder >= first:  # the last layer inside made this record
                inside.append(self.records[holder])
                return tensor
            made.append(tensor)
            is_other = holder is not None or id(tensor) in given
            if is_other or len(produced) > 1 or not is_closed:
                with self._links.stop_recording():
                    tensor = _copy(tensor)
            tensors.append(tensor)
            return tensor

        outputs = keras.tree.map_structure(own, outputs)
        if tensors:
            self._keep(
                Record(
                    name=self._paths[layer],
                    layer=layer,
                    tensors=tensors,
                    weights=trainable,
                    has_weights=bool(weights),
                    sources=list(inputs) if is_leaf else made,
                    made=[] if is_closed else made,
                )
            )
        elif inside and weights:  # a dense layer whose activation is a layer: one record for both
            record = inside[-1]
            record.name, record.layer, record.has_weights = self._paths[layer], layer, True
            record.weights = trainable + record.weights
        return outputs

    def step_down(self, i: int, arriving: dict[int, np.ndarray]) -> np.ndarray | None:
        """Return the gradient by record `i`, from the gradients by the records made from it.

        Parameters
        ----------
        i : int
            A record with one tensor.
        arriving : dict
            Gradients by number of the record.

        Returns
        -------
        ndarray or None
            None where a layer with a matrix, or one with several outputs, stands between.
        """
        above = [self.records[j] for j in arriving]
        if any(len(record.made) != 1 for record in above):
            return None
        targets = [record.made[0] for record in above]
        seeds = [
            tf.constant(gradient, target.dtype)
            for gradient, target in zip(arriving.values(), targets, strict=True)
        ]
        found = self._links.gradient(targets, self.records[i].tensors[0], output_gradients=seeds)
        return None if found is None else np.asarray(tf.convert_to_tensor(found))

    def _follow_logits(self, loss: tf.Tensor) -> None:
        """Where the loss read the logits below a softmax or sigmoid, let the record hold these.

        A logarithm of what a softmax puts out would lose digits, so Keras sends the logits along
        with it, and a cross-entropy takes them: then no gradient goes through the output itself.
        """
        for output in keras.tree.flatten(self.outputs):
            logits = getattr(output, "_keras_logits", None)
            index = self._owner.get(id(output))
            if logits is None or index is None or self.tape.gradient(loss, output) is not None:
                continue
            record, below = self.records[index], self._owner.get(id(logits))
            if record.tensors[0] is logits:  # an output that the model returns twice
                continue
            if below is None:
                record.name, record.tensors, record.made = f"{record.name} (logits)", [logits], []
            else:  # the logits are a layer's of their own, and the softmax has nothing to show
                del self.records[index]
                self._owner = {
                    key: holder - (holder > index)
                    for key, holder in self._owner.items()
                    if holder != index
                }
                self._owner[id(output)] = below

    def _find_links(self) -> None:
        """Find each record's `parents`, which come before it, and the `exits`."""
        for index, record in enumerate(self.records):
            above = {i for source in record.sources for i in self._origin(source, index)}
            record.parents = sorted(i for i in above if i < index)
        end = len(self.records)
        for output in keras.tree.flatten(self.outputs):
            if _is_floating(output):
                self.exits.update(self._origin(output, end))
        regularizers = sum(
            weight.regularizer is not None for weight in self.model.trainable_weights
        )
        added = self.model.losses
        for extra in added[: len(added) - regularizers]:  # `activity_regularizer`, `add_loss`
            origins = self._origin(extra, end) if _is_floating(extra) else []
            self.exits.update(origins)
            self.complete = self.complete and bool(origins)
        custom = type(self.model).compute_loss is not keras.Model.compute_loss
        self.complete = self.complete and not custom

    def _origin(self, tensor: tf.Tensor, before: int) -> list[int]:
        """Return the records that a gradient at `tensor` reaches first."""
        if id(tensor) not in self._origins:
            self._origins[id(tensor)] = self._find_origin(tensor, before)
        return self._origins[id(tensor)]

    def _find_origin(self, tensor: tf.Tensor, before: int) -> list[int]:
        holder = self._owner.get(id(tensor))
        if holder is not None:
            return [holder] if tensor.dtype.is_floating else []
        if id(tensor) in self._made:
            sources = self._made[id(tensor)][1]
            return sorted({i for source in sources for i in self._origin(source, before)})
        earlier = [
            (index, kept)
            for index, record in enumerate(self.records[:before])
            for kept in record.tensors
            if kept.dtype.is_floating
        ]
        gradients = self._links.gradient(tensor, [kept for _, kept in earlier])
        return [
            index
            for (index, _), gradient in zip(earlier, gradients, strict=True)
            if gradient is not None
        ]

    def _number_repeated_names(self) -> None:
        uses = Counter(record.name for record in self.records)
        seen: Counter[str] = Counter()
        for record in self.records:
            if uses[record.name] > 1:
                seen[record.name] += 1
                record.name += f" (use {seen[record.name]})"


@contextmanager
def unchanged(
    model: keras.Model, variables: Iterable[keras.Variable] | None = None
) -> Iterator[None]:
    """Give `model` back bit for bit: weights, moving averages, seeds, states and metrics.

    Nothing is copied beforehand: TensorFlow writes to a new place while an old value is held.

    Parameters
    ----------
    model : keras.Model
    variables : iterable of keras.Variable, optional
        What `all_variables` returned earlier, for who measures often.
    """
    if variables is None:
        variables = all_variables(model)
    before = {id(variable): (variable, value_of(variable)) for variable in variables}
    try:
        yield
    finally:
        for variable, value in before.values():
            if not same_bits(value, value_of(variable)):
                variable.assign(value)
        for metric in model.metrics:  # made by the first computation of a loss
            if any(id(variable) not in before for variable in metric.variables):
                metric.reset_state()


def all_variables(model: keras.Model) -> list[keras.Variable]:
    """Return all that a run may write to: the network's variables, and what its metrics hold.

    And the state of Keras's global generator, from which `keras.random.normal` draws without a
    seed. (`tf.random` keeps its own where nobody can put it back.)
    """
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    generator = get_global_attribute("global_seed_generator")
    dice = [] if generator is None else [generator.state]
    return _each_once([*network_variables(model), *metrics, *dice])


def network_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the variables of a network; states of recurrent layers are in no list of Keras's."""
    states = [
        state
        for layer in all_layers(model)
        for state in keras.tree.flatten(getattr(layer, "states", ()))
        if isinstance(state, keras.Variable)
    ]
    return _each_once([*model.variables, *states])


def _each_once(variables: list[keras.Variable]) -> list[keras.Variable]:
    return list({id(variable): variable for variable in variables}.values())


def all_layers(layer: keras.Layer) -> list[keras.Layer]:
    """Return every layer inside `layer`, those that are called in loops too.

    Each stands once, in an order that is the same for two models made alike.
    """
    found: dict[keras.Layer, None] = {}
    pending = [layer]
    while pending:
        children = [child for child in _held(pending.pop(), keras.Layer) if child not in found]
        found |= dict.fromkeys(children)
        pending.extend(dict.fromkeys(children))
    return list(found)


@contextmanager
def calls_changed(changes: dict[keras.Layer, Any]) -> Iterator[None]:
    """Let each layer's ``call`` be another function while the block runs."""
    before = {layer: vars(layer).get("call", _ABSENT) for layer in changes}
    try:
        for layer, call in changes.items():
            vars(layer)["call"] = call
        yield
    finally:
        for layer, call in before.items():
            if call is _ABSENT:
                vars(layer).pop("call", None)
            else:
                vars(layer)["call"] = call


def value_of(variable: keras.Variable) -> tf.Tensor:
    """Return the value as it is now; it stays that while it is held, whatever is written."""
    resource = variable.value  # the short way to its value, past several layers of conversion
    return tf.raw_ops.ReadVariableOp(resource=resource.handle, dtype=resource.dtype)


def same_bits(a: tf.Tensor, b: tf.Tensor) -> bool:
    """Compare bits, not values: NaN equals itself, 0 differs from −0."""
    left, right = np.asarray(a), np.asarray(b)
    if left.__array_interface__["data"] == right.__array_interface__["data"]:
        return True  # the very same memory
    return left.tobytes() == right.tobytes()


def _layers_by_path(
    model: keras.Model,
) -> tuple[dict[keras.Layer, str], dict[keras.Layer, list[keras.Layer]]]:
    """Return each layer's name with the names of its holders, and the layers inside each."""
    paths = {model: model.name}
    inner: dict[keras.Layer, list[keras.Layer]] = {}

    def visit(layer: keras.Layer, prefix: str) -> None:
        inner[layer] = layers_inside(layer)
        for child in inner[layer]:
            if child not in paths:
                paths[child] = prefix + child.name
                visit(child, f"{prefix}{child.name}/")

    visit(model, "")
    return paths, inner


def layers_inside(layer: keras.Layer) -> list[keras.Layer]:
    """Return the layers that `layer` holds directly and calls one by one."""
    if isinstance(layer, _LOOPS):
        return []
    if isinstance(layer, keras.Model):
        return [child for child in layer.layers if not isinstance(child, keras.layers.InputLayer)]
    return list(dict.fromkeys(child for child in _held(layer, keras.Layer) if child is not layer))


def _held(owner: Any, kind: type) -> Iterator[Any]:
    """Yield what `owner` holds of a kind, in its attributes and in lists and dicts of them."""
    pending = [value for name, value in vars(owner).items() if name not in _NODES]
    while pending:
        value = pending.pop()
        if isinstance(value, kind):
            yield value
        elif isinstance(value, list | tuple | set):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())


def _operations(layers: Iterable[keras.Layer]) -> list[keras.Operation]:
    """Return the operations of functional models that are no layers: ``x + y``, a reshape."""
    return [
        operation
        for model in layers
        for operation in getattr(model, "operations", ())
        if not isinstance(operation, keras.Layer) and type(operation).__name__ != "StopGradient"
    ]


def _own_weights(layer: keras.Layer, inner: list[keras.Layer]) -> list[keras.Variable]:
    theirs = {id(weight) for child in inner for weight in child.weights}
    return [weight for weight in layer.weights if id(weight) not in theirs]


def _modes(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return `training` and the masks that a layer is called with, by their names."""
    given = kwargs
    if len(args) > 1:
        with suppress(TypeError, ValueError):  # no signature to be read
            given = inspect.signature(call).bind(*args, **kwargs).arguments
    return {
        name: value for name, value in given.items() if name == "training" or name.endswith("mask")
    }


def _place() -> Any:
    """Return the graph that is being built, or None where TensorFlow computes at once."""
    return None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()


def _is_floating(value: Any) -> bool:
    return isinstance(value, tf.Tensor) and value.dtype.is_floating


def _floating(structure: Any) -> list[tf.Tensor]:
    return [value for value in keras.tree.flatten(structure) if _is_floating(value)]


def _copy(tensor: tf.Tensor) -> tf.Tensor:
    """Return an equal tensor, with the mask and the logits that Keras hung on it."""
    copy = tf.identity(tensor)
    for name in ("_keras_mask", "_keras_logits"):
        if getattr(tensor, name, None) is not None:
            setattr(copy, name, getattr(tensor, name))
    return copy
