"""The maths floor is light: NumPy and nothing heavier, within 2.5 × `import numpy`."""

import json
import pkgutil
import subprocess
import sys

import pytest

import course_lib.maths

MODULES = [
    f"course_lib.maths.{module.name}" for module in pkgutil.iter_modules(course_lib.maths.__path__)
]
HEAVY = ("tensorflow", "keras", "torch", "jax", "matplotlib", "IPython", "ipywidgets", "scipy")

MEASURE = """
import sys
from time import perf_counter
start = perf_counter()
import numpy
after_numpy = perf_counter()
import {modules}
seconds = [after_numpy - start, perf_counter() - start]
import json
print(json.dumps({{"seconds": seconds, "modules": sorted(sys.modules)}}))
"""


def _fresh_interpreter(modules):
    code = MEASURE.format(modules=modules)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", ["course_lib.checks", "course_lib.maths", *MODULES])
def test_no_heavy_library_is_loaded(module):
    loaded = {name.partition(".")[0] for name in _fresh_interpreter(module)["modules"]}
    assert not loaded.intersection(HEAVY)
    assert "numpy" in loaded


def test_the_whole_floor_loads_within_two_and_a_half_times_numpy(record_property):
    """The best of five ratios, each taken inside one interpreter, so that load cancels out."""
    runs = [_fresh_interpreter(", ".join(MODULES))["seconds"] for _ in range(5)]
    ratio = min(whole / numpy for numpy, whole in runs)
    record_property("import_ratio", round(ratio, 2))
    print(f"importing course_lib.maths and all its modules: {ratio:.2f} × import numpy")
    assert ratio <= 2.5
