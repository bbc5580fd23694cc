"""Real networks: Keras on TensorFlow, on the processor, in float32.

Importing this floor settles three things, so that every reader sees the same numbers:

- Keras runs on TensorFlow, whatever ``~/.keras/keras.json`` or ``KERAS_BACKEND`` says;
- layers compute in float32, unless a program has chosen a mixed policy itself;
- graphics cards stay unused, unless the environment variable ``COURSE_GPU`` is ``1``.

TensorFlow takes some seconds to load. The floor below, ``course_lib.maths``, never needs it.
"""

import contextlib
import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator

BACKEND = "tensorflow"
GREETING = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog")


def _refuse_another_backend() -> None:
    """Say in one sentence what to do when Keras is already running on something else."""
    keras = sys.modules.get("keras")
    if keras is None or not hasattr(keras, "config"):
        return
    if keras.config.backend() != BACKEND:
        raise ImportError(
            f"Keras was imported before and runs on {keras.config.backend()}, the course needs it "
            "on TensorFlow: restart the kernel and import `course_lib.models` before `keras`."
        )


@contextlib.contextmanager
def _without_the_greeting() -> Iterator[None]:
    """Hold back what TensorFlow's libraries say before they have read ``TF_CPP_MIN_LOG_LEVEL``.

    They write to the file behind standard error, past Python: on processors with AVX-512 that
    they have switched oneDNN on, twice, in red above a reader's first figure. Every other line is
    passed on.
    """
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":  # whoever asks for everything gets it
        yield
        return
    try:
        standard_error = os.dup(2)
    except OSError:  # a program without a console
        yield
        return
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(standard_error, 2)
            said.seek(0)
            for line in said:
                if not GREETING.match(line):
                    os.write(standard_error, line)
            os.close(standard_error)


def _settle_float32() -> None:
    """Undo a `floatx` from ``keras.json``; a mixed policy that a program chose stays."""
    import keras

    if keras.config.dtype_policy().name == keras.config.floatx():
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")


def _hide_graphics_cards() -> None:
    """Float32 sums run in another order there, and small networks run slower."""
    import tensorflow as tf

    if os.environ.get("COURSE_GPU") == "1":
        return
    with contextlib.suppress(RuntimeError):  # TensorFlow has already started: they stay as they are
        tf.config.set_visible_devices([], "GPU")


def _quiet_retracing() -> None:
    """Keep TensorFlow from taking many models, each traced once, for one that is traced often."""
    logging.getLogger("tensorflow").addFilter(
        lambda record: "triggered tf.function retracing" not in record.getMessage()
    )


_refuse_another_backend()
os.environ["KERAS_BACKEND"] = BACKEND
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow loads, or it is too late
with _without_the_greeting():
    _settle_float32()
    _hide_graphics_cards()
_quiet_retracing()
