"""Importing the floor fixes the backend, whatever a reader's own settings say."""

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def run(tmp_path):
    """Run Python in a home folder whose ``keras.json`` asks for something else."""
    (tmp_path / ".keras").mkdir()
    wishes = {"backend": "numpy", "floatx": "float64", "image_data_format": "channels_first"}
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps(wishes))
    names = ("KERAS_HOME", "KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "COURSE_GPU")
    clean = {key: value for key, value in os.environ.items() if key not in names}

    def start(code, **variables):
        environment = clean | {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path)} | variables
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )

    return start


def test_tensorflow_and_float32_whatever_the_settings_say(run):
    code = """
import course_lib.models, keras, json, numpy as np, tensorflow as tf
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
model(np.ones((1, 3)))
print(json.dumps([
    keras.config.backend(), keras.config.floatx(), keras.config.dtype_policy().name,
    keras.config.image_data_format(), str(model.weights[0].dtype),
    len(tf.config.get_visible_devices("GPU")),
]))
"""
    done = run(code, KERAS_BACKEND="numpy")
    assert done.returncode == 0, done.stderr
    said = ["tensorflow", "float32", "float32", "channels_last", "float32", 0]
    assert json.loads(done.stdout) == said
    assert done.stderr == ""  # nothing of TensorFlow's start-up log


def test_another_backend_before_is_one_sentence(run):
    code = """
import sys, types
sys.modules["keras"] = types.ModuleType("keras")  # as a Keras on JAX would look from here
sys.modules["keras"].config = types.SimpleNamespace(backend=lambda: "jax")
try:
    import course_lib.models
except ImportError as error:
    print(error)
print("tensorflow" in sys.modules)
"""
    done = run(code)
    assert done.stdout == (
        "Keras was imported before and runs on jax, the course needs it on TensorFlow: "
        "restart the kernel and import `course_lib.models` before `keras`.\nFalse\n"
    ), done.stderr


def test_a_mixed_policy_that_a_program_chose_stays(run):
    code = """
import keras
keras.config.set_dtype_policy("mixed_float16")
import course_lib.models
print(keras.config.dtype_policy().name)
"""
    done = run(code, KERAS_BACKEND="tensorflow")
    assert done.stdout == "mixed_float16\n", done.stderr


def test_whoever_asks_for_tensorflows_log_gets_it(run):
    code = """
import os
import course_lib.models
os.write(2, b"after\\n")
"""
    done = run(code, TF_CPP_MIN_LOG_LEVEL="3")
    assert done.stderr == "after\n"
    code = "import course_lib.models, tensorflow as tf; tf.ones(2) + 1"
    assert "This TensorFlow binary" in run(code, TF_CPP_MIN_LOG_LEVEL="0").stderr


def test_only_the_greeting_is_held_back(run):
    code = """
import os
from course_lib.models import _without_the_greeting
with _without_the_greeting():
    os.write(2, b"I0000 00:00 port.cc:153] oneDNN custom operations are on.\\n")
    os.write(2, b"E0000 a real error\\n")
try:
    with _without_the_greeting():
        os.write(2, b"before it broke\\n")
        raise ImportError("no library")
except ImportError as error:
    print(error)
"""
    done = run(code)
    assert done.stderr == "E0000 a real error\nbefore it broke\n"
    assert done.stdout == "no library\n"


def test_without_a_standard_error_it_loads_all_the_same(run):
    done = run("import os; os.close(2); import course_lib.models; print('loaded')")
    assert done.stdout == "loaded\n"
