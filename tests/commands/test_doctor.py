"""`python -m course_lib doctor`: all is well here, and what can be wrong has a remedy."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from course_lib import data
from course_lib.commands import browser, doctor, environment


@pytest.mark.tensorflow
def test_here_all_is_well():
    done = subprocess.run(
        [sys.executable, "-m", "course_lib", "doctor"],
        cwd=environment.ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if not line.startswith("  ")]
    assert "!!" not in done.stdout
    assert done.returncode == 0
    assert done.stderr == ""
    assert [line[3:16].strip() for line in lines] == [
        *("Python", "machine", "packages", "TensorFlow", "kernel", "memory", "disk"),
        *("notebooks", "data", "browser"),
    ]


def test_a_line_says_what_is_wrong_and_what_to_do():
    assert str(doctor.Finding("disk", "5.0 GB free")) == "OK disk         5.0 GB free"
    assert (
        str(doctor.Finding("disk", "5 B free", "free some"))
        == "!! disk         5 B free: free some"
    )
    assert str(doctor.Finding("browser", "none", "install one", needed=False)).startswith(
        "-- browser"
    )
    long = str(doctor.Finding("data", "word " * 60, "more " * 60))
    assert max(len(line) for line in long.splitlines()) <= 100


def test_the_exit_code_counts_only_what_is_needed(capsys):
    well = doctor.Finding("a", "fine")
    spare = doctor.Finding("b", "none", "install it", needed=False)
    wrong = doctor.Finding("c", "none", "install it")
    assert doctor.report([lambda: well, lambda: spare]) == 0
    assert doctor.report([lambda: wrong, lambda: well]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_check_that_cannot_be_made_is_a_finding_and_the_next_one_is_made(capsys):
    def memory():
        raise ModuleNotFoundError("No module named 'psutil'")

    assert doctor.report([memory, lambda: doctor.Finding("disk", "5.0 GB free")]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "memory cannot be looked at (ModuleNotFoundError: No module named 'psutil')" in said
    assert "OK disk" in said


def test_an_environment_that_cannot_be_made_is_a_finding(monkeypatch, capsys):
    def ensure(dev):
        raise environment.SetupError("The disk is full.")

    monkeypatch.setattr(environment, "ensure", ensure)
    assert doctor.main([]) == 1
    assert "!! environment  could not be made: The disk is full." in capsys.readouterr().out


def test_a_machine_without_tensorflow(monkeypatch, capsys):
    monkeypatch.setattr(doctor.platform, "machine", lambda: "sparc64")
    monkeypatch.setattr(environment, "ensure", lambda dev: pytest.fail("nothing to set up"))
    assert doctor.main([]) == 1
    assert "!! machine" in capsys.readouterr().out


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(environment, "missing", lambda dev: ["keras<4,>=3.12 (has 2.15.0)"])
    finding = doctor.packages()
    assert not finding.well
    assert "keras<4,>=3.12 (has 2.15.0) missing" in finding.says
    assert finding.remedy.endswith("-m pip install -r requirements.txt`")


def test_other_versions_within_the_bounds_are_told_but_no_fault(monkeypatch):
    import importlib.metadata

    real = importlib.metadata.version

    def version(name):
        return "2.99.0" if name == "numpy" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    finding = doctor.packages()
    assert finding.well
    assert "numpy 2.99.0 (tested with ==" in finding.says


@pytest.mark.parametrize(
    ("code", "stderr", "word"),
    [
        (-4, "", "AVX"),
        (132, "Illegal instruction", "AVX"),
        (1, "ImportError: DLL load failed while importing _pywrap_tensorflow", "vc_redist"),
        (1, "ModuleNotFoundError: No module named 'tensorflow'", "delete"),
        (-11, "", "delete"),
    ],
)
def test_why_tensorflow_cannot_be_imported(code, stderr, word):
    says, remedy = doctor.why_no_tensorflow(code, stderr)
    assert word in remedy
    assert says


def test_a_broken_tensorflow_is_a_fault_and_a_slow_one_a_remark(monkeypatch):
    def answers(code, out, error=""):
        done = SimpleNamespace(returncode=code, stdout=out, stderr=error)
        monkeypatch.setattr(doctor, "_python", lambda code: done)
        return doctor.tensorflow()

    assert answers(0, 'noise\n["2.21.0", "3.15.1", 4.0]\n').well
    slow = answers(0, '["2.21.0", "3.15.1", 99.0]')
    assert "virus scanner" in slow.remedy
    assert not slow.needed
    broken = answers(1, "", "Traceback\nImportError: broken")
    assert "ImportError: broken" in broken.says
    assert broken.needed


OK = {"status": "ok"}


def test_what_the_kernel_answers_is_judged():
    here = f"{sys.prefix}\n{environment.ROOT}/course_lib/__init__.py\n"
    assert doctor.judge_kernel(OK, here, 1.0).well
    other_python = doctor.judge_kernel(OK, "/opt/conda\n/x/course_lib/__init__.py", 1.0)
    assert "kernelspec" in other_python.remedy
    other_copy = doctor.judge_kernel(OK, f"{sys.prefix}\n/x/course_lib/__init__.py", 1.0)
    assert "pip install -e ." in other_copy.remedy
    failed = {"status": "error", "ename": "ModuleNotFoundError", "evalue": "No module course_lib"}
    assert "No module course_lib" in doctor.judge_kernel(failed, "", 1.0).says
    assert not doctor.judge_kernel(OK, "", 1.0).well


def test_a_kernel_that_does_not_start_is_a_finding(monkeypatch):
    from jupyter_client.manager import KernelManager

    def start_kernel(self, **_):
        raise OSError("Address family not supported")

    monkeypatch.setattr(KernelManager, "start_kernel", start_kernel)
    finding = doctor.kernel()
    assert "OSError: Address family not supported" in finding.says
    assert "127.0.0.1" in finding.remedy


def test_little_memory_and_little_disk(monkeypatch):
    import psutil

    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(available=0.4e9, total=4e9)
    )
    assert doctor.memory().says == "0.4 of 4.0 GB available"
    assert "close other programs" in doctor.memory().remedy
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: SimpleNamespace(free=1e6))
    assert "free some" in doctor.disk().remedy


def test_a_folder_that_cannot_be_written_to(monkeypatch):
    monkeypatch.setattr(doctor.os, "access", lambda place, mode: False)
    assert "cannot be written to" in doctor.disk().says


def test_damaged_data_is_named(monkeypatch):
    monkeypatch.setattr(data, "problems", lambda: ["data/digits.npz is missing: restore it."])
    assert "data/digits.npz is missing" in str(doctor.data_files())

    def no_folder():
        raise data.DataError("set COURSE_DATA to its folder `data`.")

    monkeypatch.setattr(data, "problems", no_folder)
    assert "set COURSE_DATA" in str(doctor.data_files())


def test_no_chapters_and_no_browser(monkeypatch, tmp_path):
    assert doctor.notebooks().well
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert "incomplete" in doctor.notebooks().remedy
    monkeypatch.setattr(browser, "find_browser", lambda: None)
    finding = doctor.browser()
    assert not finding.well
    assert not finding.needed
