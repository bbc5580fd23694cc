"""The reader's own model from a file: opened without running anything that is in it.

A `.keras` file is a zip archive: weights, and a `config.json` that names every class and function
the model is made of. Loading calls what is named there, so a file can be written that runs
anything. Here the names are read first, and only layers, losses, optimisers and the like that
Keras itself has are let through; Keras's own `safe_mode` is on besides.

>>> from course_lib.models import saved
>>> model = saved.load_model("model.keras")
"""

from __future__ import annotations

import json
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from course_lib.checks import shown
from course_lib.models.objectives import in_one_sentence

__all__ = ["UnsafeFileError", "load_model"]

# What a saved model may be made of: classes of Keras that descend from one of these …
PARTS = (
    keras.Operation,  # layers, models, and x + y between them
    keras.DTypePolicy,
    keras.constraints.Constraint,
    keras.initializers.Initializer,
    keras.losses.Loss,
    keras.metrics.Metric,
    keras.optimizers.Optimizer,
    keras.optimizers.schedules.LearningRateSchedule,
    keras.random.SeedGenerator,
    keras.regularizers.Regularizer,
)
# … but for layers that bring code, or a further file, with them …
FOREIGN = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
# … and functions of these modules. Numbers in the description are written as if they were objects.
FUNCTIONS = (keras.activations, keras.losses, keras.metrics)
NUMBERS = (
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__bytes__",
    "__complex__",
    "__slice__",
    "__ellipsis__",
)

LONGEST = 20_000_000  # bytes of a description, unpacked
DAMAGED = (  # or encrypted, or packed in another way
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    RuntimeError,  # and so RecursionError and NotImplementedError
)
NOT_READABLE = (*DAMAGED, KeyError, ValueError)  # or no description

INSTEAD = "build the model in Python, where you can read what runs, and pass the model itself"


class UnsafeFileError(ValueError):
    """A saved model holds code, or names something that a model need not be made of."""


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Return the model of a `.keras` file, compiled as it was saved; no code in it is run.

    Parameters
    ----------
    path : str or path
        A file that ``model.save("model.keras")`` made.

    Raises
    ------
    UnsafeFileError (a ValueError)
        If the file holds a `Lambda` layer or another one that brings its code along, a class or
        function of somebody's own, or reads a further file.
    TypeError, ValueError, FileNotFoundError
        If there is no such file, or it is no saved model that this version of Keras can read.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f'`path` is {shown(path)}; it takes the name of a file, "model.keras".')
    file = Path(path)
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "does not exist"
        raise FileNotFoundError(f"`path` is {str(path)!r}, which {what}; it takes a saved model.")
    if file.name.lower().endswith((".h5", ".hdf5")):
        raise ValueError(
            f"`path` is {file.name!r}, of the older HDF5 format, where code cannot be told from "
            'weights; it takes a file made by `model.save("model.keras")`.'
        )
    if not file.name.endswith(".keras"):
        raise ValueError(
            f"`path` is {file.name!r}; it takes a file whose name ends with .keras, made by "
            '`model.save("model.keras")`.'
        )
    for described in _objects(_description(file)):
        reason = _refused(described)
        if reason:
            raise UnsafeFileError(f"`path` is {file.name!r}, which {reason}; {INSTEAD}.")
    cannot_read = f"`path` is {file.name!r}, which Keras {keras.__version__} cannot read"
    try:
        with in_one_sentence(cannot_read):
            return keras.saving.load_model(file, safe_mode=True)
    except (*DAMAGED, OSError) as error:
        raise ValueError(f"{cannot_read}: it is damaged, or was not stored whole.") from error


def _description(file: Path) -> Any:
    """Return `config.json` of the archive."""
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.getinfo("config.json").file_size > LONGEST:
                raise ValueError("no description is as long as that")
            return json.loads(archive.read("config.json"))
    except NOT_READABLE:
        raise ValueError(
            f"`path` is {file.name!r}, which is no saved model; it takes a file made by "
            '`model.save("model.keras")`.'
        ) from None


def _objects(described: Any) -> Iterator[dict[str, Any]]:
    """Yield everything in a description that names a class, from the outside inwards."""
    waiting = [described]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            if "class_name" in here:
                yield here
            waiting.extend(here.values())
        elif isinstance(here, list):
            waiting.extend(here)


def _refused(described: dict[str, Any]) -> str:
    """Say why one named object is not let through, or nothing."""
    module, name, config = (described.get(key) for key in ("module", "class_name", "config"))
    if not isinstance(name, str):
        return "names a class by something that is no name"
    if name == "__lambda__":
        return "holds a lambda, code that would run here"
    if name == "function":
        known = any(callable(getattr(place, str(config), None)) for place in FUNCTIONS)
        if known:
            return ""
        return f"calls the function {shown(config)}, which this loader does not let through"
    if name in NUMBERS and module is None:
        return ""
    if name in FOREIGN:
        return f"holds a layer of type {name}, which brings code of its own"
    registered = described.get("registered_name") or name
    if registered != name or not _is_part_of_keras(module, name):  # Keras looks it up by both
        return f"holds an object of type {registered}, which this loader does not let through"
    if isinstance(config, dict) and isinstance(config.get("vocabulary"), str):
        return f"would read the file {shown(config['vocabulary'])}"
    return ""


def _is_part_of_keras(module: Any, name: str) -> bool:
    """Return whether a name stands for a class a model is made of; nothing is imported for it."""
    if not isinstance(module, str) or module.partition(".")[0] != "keras":
        return False
    found = getattr(sys.modules.get(module), name, None)
    return isinstance(found, type) and issubclass(found, PARTS)
