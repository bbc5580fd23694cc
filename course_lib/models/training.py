"""Train a network while somebody watches, and keep what takes too long to watch.

`fit` is stochastic gradient descent with momentum in a loop that can be read; it shows the loss
and the time left, may be interrupted, and goes on where it stopped. `recorded` reads an experiment
that was run once.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import platform
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from course_lib import data
from course_lib.checks import function, instance, number, positive_int, positive_number, shown
from course_lib.models.batches import check_batch
from course_lib.models.recording import all_layers, all_variables, network_variables, value_of

__all__ = [
    "History",
    "RecordError",
    "accuracy",
    "batches",
    "begin_anew",
    "fit",
    "recorded",
    "watched",
]

BATCH_SIZE = 64  # samples of a step, unless there are fewer


@dataclass(frozen=True, eq=False)
class State:
    """What a run needs to go on: `History` carries it, and `fit` reads it again.

    Attributes
    ----------
    model : keras.Model
    optimizer : keras.optimizers.Optimizer
        With its momenta, and whatever else it remembers.
    loss : function of (y_true, y_pred)
    shapes : tuple
        Of the samples and of the targets.
    fingerprint : str
        Of every variable of the model and of the optimiser when the run stopped; empty when that
        was in the middle of a step.
    """

    model: keras.Model
    optimizer: Any
    loss: Callable[[Any, Any], Any]
    shapes: tuple[Any, Any]
    fingerprint: str


@dataclass(frozen=True, eq=False)
class History:
    """What a training run leaves behind.

    Attributes
    ----------
    losses : ndarray, shape (steps,)
        The loss of each step's batch, before that step's update.
    steps, steps_planned : int
        Steps that were made, and that should have been.
    seconds : float
        Over all parts of a run that was interrupted and went on.
    interrupted, diverged : bool
        Whether the reader stopped it; whether it stopped because the loss was not finite.
    config : dict
        Batch size, learning rate, momentum, seed: what to print beside a result.
    """

    losses: np.ndarray
    steps_planned: int
    seconds: float
    interrupted: bool
    diverged: bool
    config: dict[str, Any]
    state: State = field(repr=False)

    @property
    def steps(self) -> int:
        """Steps that were made."""
        return len(self.losses)

    @property
    def final_loss(self) -> float:
        """Mean loss of the last tenth of the steps: one batch alone says little."""
        last = self.losses[-max(1, self.steps // 10) :]
        return float(np.mean(last)) if self.steps else float("nan")

    def __repr__(self) -> str:
        end = "interrupted" if self.interrupted else "diverged" if self.diverged else "complete"
        return f"<History: {self.steps} steps, loss {self.final_loss:.3g}, {end}>"


def fit(
    model: keras.Model,
    x: Any,
    y: Any,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
    loss: Callable[[Any, Any], Any] | None = None,
    seed: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    resume: History | None = None,
    label: str = "training",
) -> History:
    """Train `model` by SGD with momentum, showing the loss and the time left.

    Interrupting it (the square button, Ctrl-C) ends it in good order, after the step that is under
    way: the model keeps what it has learnt so far, and the history says how far it came. It also
    ends when the loss is no longer finite. Nothing is shown where the environment variable ``CI``
    or ``COURSE_STRICT`` is set.

    ``history = fit(model, x, y, resume=history)`` goes on where a run stopped, with the same order
    of the samples and what the optimiser remembers: interrupted and resumed, however often, it
    ends with the same weights as without, bit for bit.

    Parameters
    ----------
    model : keras.Model
        Trained in place; its own ``compile`` is not needed and not used.
    x, y : arrays, or a list or dict of arrays as `x`
        All training samples, first dimension sample.
    steps, epochs : int
        How long; one of them. An epoch is as many whole batches as the samples make. A resumed
        run goes on to the end that was planned, unless one of them is given: all steps count, also
        those made before.
    batch_size : int
        Samples of a step, 64 unless given; all of them if there are fewer.
    learning_rate, momentum : float
        Of the optimiser, unless `optimizer` is given; 0.02 and 0.9.
    optimizer : keras.optimizers.Optimizer, optional
        Another one, new: it is used up by the run.
    loss : function of (y_true, y_pred), optional
        Cross-entropy of whole-number labels and logits unless given. What layers add to the loss
        is added.
    seed : int
        For the order of the samples, 1 unless given. The first weights have the seeds they were
        made with.
    callbacks : sequence of keras.callbacks.Callback
        Such as a `GradientMonitor`. They hear when the training and each batch begins and ends,
        not of epochs; their ``params`` hold ``"steps"``, those to be made, and ``"loss"``.
    resume : History, optional
        Of an earlier run of the same model on the same samples, to go on from there. All settings
        are those of that run; another one is refused.
    label : str
        What the progress line calls the run.

    Returns
    -------
    History
        Of the whole run, with the part that is resumed.

    Raises
    ------
    TypeError, ValueError
        When an argument does not fit, in one sentence.
    """
    instance("model", model, keras.Model, "a Keras model")
    callbacks = _checked_callbacks(callbacks)
    samples = check_batch(model, x, y)
    if samples.y is None:
        raise TypeError("`y` is None; it takes one target a sample.")
    shapes = (samples.x_shapes, samples.y_shapes)
    size = int(keras.tree.flatten(samples.x)[0].shape[0])
    given: dict[str, Any] = {
        "batch_size": None if batch_size is None else positive_int("batch_size", batch_size),
        "seed": None if seed is None else positive_int("seed", seed, minimum=0),
        "learning_rate": learning_rate,
        "momentum": momentum,
    }
    if resume is None:
        config, optimizer, loss = _new_run(given, size, optimizer, loss)
        losses, seconds = [], 0.0
    else:
        config, optimizer, loss = _resumed_run(resume, model, shapes, given, optimizer, loss, size)
        losses, seconds = resume.losses.tolist(), resume.seconds
        if steps is None and epochs is None:
            steps = resume.steps_planned
    steps = config["steps"] = _planned(steps, epochs, size // config["batch_size"])
    if steps < len(losses):
        raise ValueError(
            f"`steps` is {steps}, and `resume` has made {len(losses)}; it takes all steps of the "
            "run, with those made before."
        )

    step = _step(model, samples.x, samples.y, loss, optimizer)
    progress = Progress(label, steps, done=len(losses))
    requests: list[int] = []
    start = time.perf_counter()
    try:
        with _interruption_between_steps() as requests:
            _tell(callbacks, "set_params", {"steps": steps - len(losses), "loss": loss})
            _tell(callbacks, "set_model", model)
            _tell(callbacks, "on_train_begin")
            path = batches(size, config["batch_size"], steps, config["seed"])
            for rows in islice(path, len(losses), None):
                if requests:
                    raise KeyboardInterrupt
                _tell(callbacks, "on_train_batch_begin", len(losses))
                losses.append(float(step(tf.constant(rows))))
                _tell(callbacks, "on_train_batch_end", len(losses) - 1, {"loss": losses[-1]})
                progress.show(losses)
                if not np.isfinite(losses[-1]):
                    break
        interrupted = False
    except KeyboardInterrupt:
        interrupted = True
    _tell(callbacks, "on_train_end")
    is_whole = len(requests) < 2
    history = History(
        losses=np.array(losses),
        steps_planned=steps,
        seconds=seconds + time.perf_counter() - start,
        interrupted=interrupted,
        diverged=bool(losses) and not np.isfinite(losses[-1]),
        config=config,
        state=State(model, optimizer, loss, shapes, _fingerprint(model, optimizer) * is_whole),
    )
    progress.close(history)
    return history


def watched(
    path: Iterator[Any], stops: Iterable[int], losses: Sequence[float], *, label: str = "training"
) -> dict[int, Any]:
    """Run a training loop of the reader's own under a progress line; keep where it came by.

    Parameters
    ----------
    path : iterator
        Makes one step each time it is asked, and yields what that step reached, such as the
        weights. It is asked no further than the last stop.
    stops : whole numbers
        The steps after which to keep what was reached, in any order.
    losses : list of float
        To which `path` adds the loss of each step; the progress line shows the last one.
    label : str
        What the progress line calls the run.

    Returns
    -------
    dict
        From step to what it reached. After an interruption the last one is the step that was
        being made; `path` can still be asked for more.

    Raises
    ------
    TypeError, ValueError
        If `path` is no iterator, or a stop no whole number above 0.
    """
    if not isinstance(path, Iterator):
        takes = "an iterator, such as a generator that yields after each step"
        raise TypeError(f"`path` is {shown(path)}; it takes {takes}.")
    kept_after = {positive_int("stops", stop) for stop in stops}
    if not kept_after:
        raise ValueError("`stops` is empty; it takes the steps after which to keep the weights.")
    steps, kept = max(kept_after), {}
    progress = Progress(label, steps)
    with _interruption_between_steps() as requests:
        for step, reached in enumerate(islice(path, steps), start=1):
            if step in kept_after or requests:
                kept[step] = reached
            if requests:
                print(f"Stopped after {step} of {steps} steps, at a loss of {losses[-1]:.3g}.")
                break
            progress.show(list(losses[-step:]))
    progress.clear()
    return kept


def begin_anew(
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    newborn: keras.Model,
    unused: keras.optimizers.Optimizer,
) -> None:
    """Give a model and its optimiser every number of new ones: a step that is built trains anew.

    Building a step takes TensorFlow seconds. What is copied is all that a run may write to:
    weights, moving averages, states, seeds of dropout; of the optimiser its momenta, its count of
    steps and its learning rate.

    Parameters
    ----------
    model : keras.Model
    optimizer : keras.optimizers.Optimizer
        What the step was built with; `optimizer` has its variables.
    newborn : keras.Model
        Made like `model`, with another seed or other settings.
    unused : keras.optimizers.Optimizer
        Made like `optimizer`; it gets its variables here.

    Raises
    ------
    TypeError, ValueError
        If one of them is of the wrong kind, or does not have the variables of its counterpart.
    """
    instance("newborn", newborn, keras.Model, "a Keras model")
    instance("unused", unused, keras.optimizers.Optimizer, "a Keras optimiser")
    unused.build(newborn.trainable_variables)
    pairs = {
        "newborn": (network_variables(model), network_variables(newborn)),
        "unused": (optimizer.variables, unused.variables),
    }
    for name, (ours, new) in pairs.items():
        shapes, others = [tuple(v.shape) for v in ours], [tuple(v.shape) for v in new]
        if shapes != others:
            raise ValueError(
                f"`{name}` has variables of shapes {shown(others)}; it takes those of its "
                f"counterpart, {shown(shapes)}."
            )
    for ours, new in pairs.values():
        for variable, value in zip(ours, new, strict=True):
            variable.assign(value)


def accuracy(model: keras.Model, x: Any, y: Any) -> float:
    """Return the share of samples whose largest output is their label, 0 … 1.

    Parameters
    ----------
    model : keras.Model
        With outputs of shape (batch, classes).
    x : array of samples
    y : array of whole numbers, shape (batch,)
    """
    instance("model", model, keras.Model, "a Keras model")
    samples = check_batch(model, x, y)
    labels = np.asarray(samples.y)
    guesses = np.argmax(np.asarray(model(samples.x)), axis=-1)
    if guesses.shape != labels.shape:
        raise ValueError(
            f"`y` has shape {labels.shape}; it takes one label a sample, {guesses.shape}."
        )
    return float(np.mean(guesses == labels))


def recorded(
    name: str,
    compute: Callable[..., Mapping[str, Any]],
    config: Mapping[str, Any],
    *,
    recompute: bool | None = None,
) -> dict[str, Any]:
    """Return the results of an experiment that is too long for a notebook.

    They are read from ``data/results/NAME.json``, where they stand with the configuration, the
    seeds, the versions and the seconds they took. ``python -m course_lib recompute NN`` runs the
    experiment again, and so does the environment variable ``COURSE_RECOMPUTE=1``.

    Parameters
    ----------
    name : str
        The chapter and a word or two: ``"03-width"``.
    compute : function
        Called as ``compute(**config)``; returns a dict of numbers, texts and arrays.
    config : dict
        All that the results depend on, seeds included (``seed`` or ``seeds``), in plain values.
    recompute : bool, optional
        Run it now; unless given, as the environment says.

    Returns
    -------
    dict
        What `compute` returned, lists as arrays.

    Raises
    ------
    RecordError
        When there is no record, or one of another configuration; it names the command to run.
    """
    if not isinstance(name, str) or not re.fullmatch(r"\d\d-[a-z0-9-]+", name):
        raise ValueError(
            f"`name` is {shown(name)}; it takes the chapter's number and a word, like '03-width'."
        )
    config = _plain_config(config)
    if recompute is None:
        recompute = os.environ.get("COURSE_RECOMPUTE", "") not in ("", "0")
    if recompute:
        _record(name, compute, config)
    record = _read_record(name)
    command = f"`python -m course_lib recompute {name[:2]}`"
    if record is None:
        raise RecordError(f"the experiment {name} has not been recorded yet: run {command}.")
    if record["config"] != config:
        raise RecordError(
            f"the experiment {name} was recorded with {_difference(record['config'], config)}: "
            f"run {command}, which took {record['seconds']:.0f} s last time, or go back to the "
            "recorded values."
        )
    return {key: _from_json(value) for key, value in record["results"].items()}


class RecordError(RuntimeError):
    """There is no record of an experiment that fits; the message says which command makes it."""


class Progress:
    """A line with the loss and the time left, rewritten in place.

    A bar in a notebook, text in a terminal, nothing in a script or in CI.

    Parameters
    ----------
    label : str
    steps, done : int
        Steps of the whole run, and those made before it was resumed.
    """

    INTERVAL = 0.2  # seconds between two showings

    def __init__(self, label: str, steps: int, done: int = 0) -> None:
        self.label, self.steps, self._before = label, steps, done
        self._start = self._last = time.perf_counter()
        self._show = _quiet if _is_quiet() else _in_notebook() or _in_terminal()

    def show(self, losses: list[float]) -> None:
        """Show how far the run is, if the last showing is long enough ago."""
        now, done = time.perf_counter(), len(losses)
        if now - self._last < self.INTERVAL or done == self.steps:
            return
        self._last = now
        left = (now - self._start) / (done - self._before) * (self.steps - done)
        self._show(
            f"{self.label}: step {done} of {self.steps}, loss {losses[-1]:.3g}, {left:.0f} s left",
            done / self.steps,
        )

    def clear(self) -> None:
        """Take the progress line away."""
        self._show("", 1.0)

    def close(self, history: History) -> None:
        """Show how the run ended; an interruption is always said."""
        done = f"{self.label}: {history.steps} steps in {history.seconds:.1f} s"
        if history.interrupted:
            reached = f", at a loss of {history.losses[-1]:.3g}" if history.steps else ""
            self.clear()
            print(
                f"Stopped after {history.steps} of {history.steps_planned} steps{reached}; "
                "the model keeps what it has learnt so far, and "
                "`history = fit(model, x, y, resume=history)` goes on."
            )
        elif history.diverged:
            self._show(f"{done}, then the loss was no longer finite.", 1.0)
        else:
            self._show(f"{done}, loss {history.final_loss:.3g}.", 1.0)


class _Bar:
    """What a notebook shows: a bar where there is HTML, the text where there is none."""

    def __init__(self, text: str, share: float) -> None:
        self.text, self.share = text, share

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        if not self.text:
            return ""
        bar = f"<progress value='{self.share:.3f}' max='1' aria-label='progress'></progress> "
        return f"<div>{bar if self.share < 1 else ''}{html.escape(self.text)}</div>"


def _quiet(text: str, share: float) -> None:
    """Show nothing."""


def _is_quiet() -> bool:
    return bool(os.environ.get("CI") or os.environ.get("COURSE_STRICT"))


def _in_notebook() -> Callable[[str, float], None] | None:
    """Return a function that rewrites one output of the cell, or None outside a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import display

    handle = display(_Bar("", 0.0), display_id=True)
    return lambda text, share: handle.update(_Bar(text, share))


def _in_terminal() -> Callable[[str, float], None]:
    if not sys.stderr.isatty():
        return _quiet

    def show(text: str, share: float) -> None:
        end = "\n" if text and share == 1 else ""
        print(f"\r\x1b[K{text}", end=end, file=sys.stderr, flush=True)

    return show


def _new_run(
    given: dict[str, Any], size: int, optimizer: Any, loss: Any
) -> tuple[dict[str, Any], Any, Any]:
    """Return the configuration, the optimiser and the loss of a run that begins."""
    config: dict[str, Any] = {
        "steps": 0,
        "batch_size": min(given["batch_size"] or BATCH_SIZE, size),
        "seed": 1 if given["seed"] is None else given["seed"],
    }
    if optimizer is None:
        rate = 0.02 if given["learning_rate"] is None else given["learning_rate"]
        momentum = 0.9 if given["momentum"] is None else given["momentum"]
        config["learning_rate"] = positive_number("learning_rate", rate)
        config["momentum"] = number("momentum", momentum, minimum=0, maximum=1)
        optimizer = keras.optimizers.SGD(config["learning_rate"], momentum=config["momentum"])
    else:
        instance("optimizer", optimizer, keras.optimizers.Optimizer, "a Keras optimiser")
        config["optimizer"] = type(optimizer).__name__
        config["learning_rate"] = float(optimizer.learning_rate)
    if loss is None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return config, optimizer, function("loss", loss, "a function of (y_true, y_pred)")


def _resumed_run(
    resume: History,
    model: keras.Model,
    shapes: tuple[Any, Any],
    given: dict[str, Any],
    optimizer: Any,
    loss: Any,
    size: int,
) -> tuple[dict[str, Any], Any, Any]:
    """Return the configuration, the optimiser and the loss of a run that goes on."""
    instance("resume", resume, History, "the history that `fit` returned")
    state, config = resume.state, dict(resume.config)
    if state.model is not model:
        raise ValueError("`resume` is the history of another model; it takes one of this model.")
    if state.shapes != shapes:
        raise ValueError(
            f"`x` and `y` have the shapes {shapes}, the run to go on had {state.shapes}; it takes "
            "the same samples."
        )
    if resume.diverged:
        raise ValueError("`resume` ended with a loss that is not finite; no step leads on there.")
    if given["batch_size"] is not None:
        given["batch_size"] = min(given["batch_size"], size)
    given |= {"optimizer": optimizer, "loss": loss}
    before = {**config, "optimizer": state.optimizer, "loss": state.loss}
    for name, value in given.items():
        if value is not None and value is not before.get(name) and value != before.get(name):
            raise ValueError(
                f"`{name}` is {shown(value)}, and the run to go on has "
                f"{shown(before.get(name))}; a resumed run keeps its settings."
            )
    if not state.fingerprint:
        raise ValueError("`resume` was stopped in the middle of a step; it takes a whole number.")
    if _fingerprint(model, state.optimizer) != state.fingerprint:
        raise ValueError(
            "the model has changed since the run of `resume` stopped; to go on it takes the "
            "weights, and the state of the optimiser, of that moment."
        )
    return config, state.optimizer, state.loss


def _planned(steps: int | None, epochs: int | None, batches: int) -> int:
    """Return the steps of the whole run."""
    if (steps is None) == (epochs is None):
        raise ValueError(
            f"`steps` is {steps} and `epochs` is {epochs}; one of them takes a whole number."
        )
    if steps is None:
        steps = positive_int("epochs", epochs) * batches
    return positive_int("steps", steps)


def _checked_callbacks(callbacks: Any) -> list[keras.callbacks.Callback]:
    takes = "a list of Keras callbacks, such as `[GradientMonitor(x, y)]`"
    if isinstance(callbacks, keras.callbacks.Callback) or not isinstance(callbacks, Iterable):
        raise TypeError(f"`callbacks` is {shown(callbacks)}; it takes {takes}.")
    listed = list(callbacks)
    for i, callback in enumerate(listed):
        instance(f"callbacks[{i}]", callback, keras.callbacks.Callback, "a Keras callback")
    return listed


def _tell(callbacks: list[keras.callbacks.Callback], event: str, *arguments: Any) -> None:
    for callback in callbacks:
        getattr(callback, event)(*arguments)


@contextmanager
def _interruption_between_steps() -> Iterator[list[int]]:
    """Let Ctrl-C wait until a step is done: half a step could not be resumed.

    Gives the list of those that were pressed. The second one, for a step that does not end, is
    raised at once. Only the main thread can be interrupted.
    """
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield requests
        return

    def wait(number: int, frame: Any) -> None:
        requests.append(number)
        if len(requests) > 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, wait)
    try:
        yield requests
    finally:
        signal.signal(signal.SIGINT, before)


def _fingerprint(model: keras.Model, optimizer: Any) -> str:
    """Return a digest of every variable that a step may write."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in [*all_variables(model), *optimizer.variables]:
        digest.update(np.ascontiguousarray(value_of(variable)).tobytes())
    return digest.hexdigest()


def _step(
    model: keras.Model, x: Any, y: Any, loss: Any, optimizer: Any
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function of one update; it takes the rows of a batch and returns its loss."""
    if all(layer.built for layer in (model, *all_layers(model))) and not optimizer.built:
        optimizer.build(model.trainable_variables)  # else the first step is traced twice for it

    @tf.function(reduce_retracing=True)
    def step(rows: tf.Tensor) -> tf.Tensor:
        batch_x, batch_y = keras.tree.map_structure(lambda part: tf.gather(part, rows), (x, y))
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(loss(batch_y, model(batch_x, training=True)))
            value += sum(map(tf.reduce_sum, model.losses))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return value

    return step


def batches(size: int, batch: int, steps: int, seed: int) -> Iterator[np.ndarray]:
    """Yield the rows of `steps` batches of whole epochs, each in a new random order.

    Parameters
    ----------
    size, batch, steps, seed : int
        A batch is no larger than the `size` samples.
    """
    batch = min(positive_int("batch", batch), positive_int("size", size))
    rng, made = np.random.default_rng(seed), 0
    while made < steps:
        order = rng.permutation(size)
        for first in range(0, size - batch + 1, batch):
            if made < steps:
                yield order[first : first + batch]
                made += 1


def _plain_config(config: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(config, Mapping):
        raise TypeError(f"`config` is {shown(config)}; it takes a dict of plain values.")
    try:
        return json.loads(json.dumps(_to_json(dict(config)), allow_nan=False))
    except (TypeError, ValueError):
        raise TypeError(
            "`config` holds something other than numbers, texts and lists of them; "
            "a record has to be able to write it down."
        ) from None


def _record(name: str, compute: Callable[..., Any], config: dict[str, Any]) -> None:
    """Run the experiment and write its record, in one go at the end."""
    start = time.perf_counter()
    results = compute(**config)
    if not isinstance(results, Mapping):
        raise TypeError(f"`compute` returned {shown(results)}; it takes a dict of results.")
    record = {
        "name": name,
        "config": config,
        "seeds": config.get("seeds", config.get("seed")),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "machine": platform.machine(),
        },
        "seconds": round(time.perf_counter() - start, 1),
        "results": {str(key): _to_json(value) for key, value in results.items()},
    }
    folder = data.folder() / "results"
    folder.mkdir(exist_ok=True)
    temporary = folder / f"{name}.json.new"
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    temporary.write_text(text + "\n", encoding="utf-8", newline="\n")
    temporary.replace(folder / f"{name}.json")
    data.refresh_manifest()


def _read_record(name: str) -> dict[str, Any] | None:
    """Return the record, None where there is none; a damaged one is named by `data.path`."""
    file = f"results/{name}.json"
    if file not in data.manifest() and not (data.folder() / file).is_file():
        return None
    return json.loads(data.path(file).read_text(encoding="utf-8"))


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Name the values in which two configurations differ."""
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    parts = [
        f"{key} = {before.get(key, 'nothing')} (here {now.get(key, 'nothing')})" for key in keys
    ]
    return ", ".join(parts)


def _to_json(value: Any) -> Any:
    """Return `value` as JSON can hold it; NaN and infinity as texts, which JSON has no number for.

    Raises `TypeError` for what is neither a number nor a text, a list or a dict of them.
    """
    if isinstance(value, tf.Tensor | np.ndarray | np.generic):
        value = np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a record cannot hold {shown(value)}; it takes numbers, texts and arrays.")


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _from_json(item) for key, item in value.items()}
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    if isinstance(value, list):
        items = [_from_json(item) for item in value]
        try:
            array = np.array(items)
        except ValueError:  # rows of different length
            return items
        return array if array.dtype.kind in "biuf" else items
    return value
