"""The environment: made once, mended after an interruption, each obstacle told in a sentence."""

import errno
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_lib.commands import environment, reset

ROOT = environment.ROOT
GIGABYTE = environment.GIGABYTE
posix_only = pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")


def is_one_sentence(text):
    return "\n" not in text and text.endswith(".") and 20 < len(text) < 400


# --- obstacles ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "machine", "is_64_bit", "word"),
    [
        ("darwin", "x86_64", True, "Intel"),
        ("win32", "ARM64", True, "x64"),
        ("win32", "x86", False, "32 bits"),
        ("linux", "armv7l", False, "32 bits"),
        ("linux", "ppc64le", True, "linux on ppc64le"),
        ("freebsd14", "amd64", True, "freebsd14 on amd64"),
    ],
)
def test_a_machine_without_tensorflow_is_told_so(system, machine, is_64_bit, word):
    sentence = environment.wrong_machine(system, machine, is_64_bit)
    assert word in sentence
    assert "TensorFlow" in sentence
    assert is_one_sentence(sentence)


@pytest.mark.parametrize(
    ("system", "machine"),
    [("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"), ("win32", "AMD64")],
)
def test_a_machine_with_tensorflow_is_not_complained_about(system, machine):
    assert environment.wrong_machine(system, machine) is None


def test_other_interpreters_and_other_c_libraries(monkeypatch):
    assert environment.wrong_interpreter("CPython", "glibc") is None
    assert "this is PyPy" in environment.wrong_interpreter("PyPy", "glibc")
    monkeypatch.setattr(sys, "platform", "linux")
    assert "this Linux has musl" in environment.wrong_interpreter("CPython", "musl")


@pytest.mark.parametrize("lost", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_which_package_to_install(lost):
    sentence = environment.no_venv((3, 12, 4), lambda name: None if name == lost else object())
    assert "`sudo apt install python3.12-venv`" in sentence
    assert is_one_sentence(sentence)


def test_a_python_with_venv_is_not_complained_about():
    assert environment.no_venv(sys.version_info) is None


def test_a_full_disk_is_noticed_before_anything_is_made(tmp_path):
    venv = tmp_path / "not" / "there" / ".venv"
    sentence = environment.disk_full(venv, lambda place: SimpleNamespace(free=1.2 * GIGABYTE))
    assert "has 1.2 GB free" in sentence
    assert "COURSE_ENV" in sentence
    assert environment.disk_full(venv, lambda place: SimpleNamespace(free=90 * GIGABYTE)) is None


def test_a_folder_too_deep_for_windows_is_noticed():
    deep = Path(
        "D:/everything/that/somebody/keeps/courses/in spring/gradients/how-much-arrives/.venv"
    )
    sentence = environment.too_deep(deep, windows=True, long_paths=lambda: False)
    assert "C:\\course" in sentence
    assert is_one_sentence(sentence)
    assert environment.too_deep(deep, windows=True, long_paths=lambda: True) is None
    assert environment.too_deep(deep, windows=False, long_paths=lambda: False) is None
    assert environment.too_deep(Path("C:/course/.venv"), True, lambda: False) is None


def test_the_longest_name_that_is_reckoned_with_is_long_enough():
    place = Path(importlib.metadata.distribution("keras").locate_file(""))
    names = (len(str(file.relative_to(place))) for file in place.rglob("*.h"))
    assert max(names) <= environment.LONGEST_NAME


OUTPUTS = {
    "network": [
        "WARNING: Retrying (Retry(total=1, connect=None)) after connection broken by "
        "'NewConnectionError('<...>: Failed to establish a new connection: [Errno 111] Connection "
        "refused')': /simple/setuptools/\nERROR: Could not find a version that satisfies the "
        "requirement setuptools>=77 (from versions: none)",
        "error: Failed to fetch: `https://index/simple/numpy/`\n  Caused by: dns error",
        "[Errno -3] Temporary failure in name resolution",
        "socket.gaierror: [Errno 11001] getaddrinfo failed",
    ],
    "disk": [
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
        "error: failed to write to file: There is not enough space on the disk. (os error 112)",
        "OSError: [Errno 122] Disk quota exceeded",
    ],
    "long": [
        "ERROR: Could not install packages due to an OSError: [Errno 2] No such file or directory: "
        "'D:\\\\deep'\nHINT: This error might have occurred since this system does not have "
        "Windows Long Path support enabled.",
        "[WinError 206] The filename or extension is too long",
    ],
    "venv": [
        "The virtual environment was not created successfully because ensurepip is not available.",
        "/usr/bin/python3: No module named venv",
    ],
    "certificate": [
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify "
        "failed')) - Could not fetch URL: Failed to establish a new connection",
    ],
}
WORDS = {
    "network": "connect to the network",
    "disk": "The disk is full",
    "long": "A path became too long",
    "venv": "-venv`",
    "certificate": "PIP_CERT",
}


@pytest.mark.parametrize(
    ("kind", "output"), [(kind, output) for kind, outputs in OUTPUTS.items() for output in outputs]
)
def test_what_an_installer_says_becomes_one_sentence(kind, output):
    sentence = environment.explain("Collecting numpy\n" + output + "\n")
    assert WORDS[kind] in sentence
    assert is_one_sentence(sentence)


def test_of_an_unknown_failure_the_last_useful_line_is_shown():
    output = """\
        Collecting numpy==2.4.6
        ERROR: Could not find a version that satisfies the requirement numpy==2.4.6
        ERROR: No matching distribution found for numpy==2.4.6

        [notice] A new release of pip is available"""
    sentence = environment.explain(output)
    assert "No matching distribution found for numpy==2.4.6." in sentence
    assert "notice" not in sentence
    assert is_one_sentence(sentence)
    assert is_one_sentence(environment.explain(""))


def test_an_error_of_the_system_is_explained_by_its_number():
    assert "disk is full" in environment.explain("schijf vol", errno.ENOSPC)


# --- making, completing, mending ------------------------------------------------------------


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course folder in which commands are noted instead of carried out."""
    root = tmp_path / "course"
    (root / "tests").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "requirements.txt").write_text("-e .\n# a remark\nnumpy==2.4.6\nkeras==3.15.1\n")
    (root / "tests" / "requirements.txt").write_text("pytest==9.2.0\n")
    monkeypatch.setattr(environment, "ROOT", root)
    monkeypatch.delenv("COURSE_ENV", raising=False)
    monkeypatch.setattr(environment, "in_an_environment", lambda: False)
    monkeypatch.setattr(environment, "_uv", lambda: None)
    steps = []

    def carry_out(argv, title, began, total=0):
        steps.append([str(word) for word in argv])
        if "--prompt" in argv:
            python = environment.python_of(Path(argv[-1]))
            python.parent.mkdir(parents=True)
            python.touch()
            (Path(argv[-1]) / "pyvenv.cfg").write_text(
                f"home = /usr\nprompt = {environment.PROMPT}\n"
            )

    monkeypatch.setattr(environment, "_carry_out", carry_out)
    return SimpleNamespace(root=root, venv=root / ".venv", steps=steps, carry_out=carry_out)


def locks_of(step):
    return [word for word in step if word.endswith(".txt")]


def test_a_new_environment_is_made_installed_and_stamped(course, capsys):
    python = environment.ensure()
    assert python == environment.python_of(course.venv)
    creation, installation = course.steps
    assert creation[1:3] == ["-m", "venv"]
    assert installation[0] == str(python)
    assert locks_of(installation) == ["requirements.txt"]
    assert "once, about two minutes" in capsys.readouterr().err
    assert json.loads((course.venv / environment.STAMP).read_text())["folder"] == str(course.venv)


def test_the_second_call_does_nothing_and_is_quick(course, capsys):
    environment.ensure()
    del course.steps[:]
    capsys.readouterr()
    began = time.perf_counter()
    environment.ensure()
    assert time.perf_counter() - began < 0.5
    assert course.steps == []
    assert capsys.readouterr() == ("", "")


def test_tests_are_added_to_what_is_there_and_only_once(course):
    environment.ensure()
    del course.steps[:]
    environment.ensure(dev=True)
    assert [locks_of(step) for step in course.steps] == [["tests/requirements.txt"]]
    del course.steps[:]
    environment.ensure(dev=True)
    environment.ensure(dev=False)
    assert course.steps == []


def test_for_tests_both_lists_are_installed_in_one_go(course):
    environment.ensure(dev=True)
    assert locks_of(course.steps[1]) == ["requirements.txt", "tests/requirements.txt"]


def test_uv_is_used_when_it_is_there_and_compiles(course, monkeypatch):
    monkeypatch.setattr(environment, "_uv", lambda: "/opt/uv")
    python = environment.ensure()
    creation, installation = course.steps
    assert creation[:2] == ["/opt/uv", "venv"]
    assert "--seed" in creation  # so that the reader finds pip inside
    assert installation[:4] == ["/opt/uv", "pip", "install", "--compile-bytecode"]
    assert installation[installation.index("--python") + 1] == str(python)


def test_uv_inside_the_environment_does_not_saw_off_its_branch(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_ENV", str(tmp_path / ".venv"))
    name = "uv.exe" if os.name == "nt" else "uv"
    for folder in (tmp_path / ".venv" / "bin", tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
        (folder / name).write_text("")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / ".venv" / "bin"))
    assert environment._uv() is None
    monkeypatch.setenv("PATH", os.pathsep.join([os.environ["PATH"], str(tmp_path / "elsewhere")]))
    assert environment._uv() == str(tmp_path / "elsewhere" / name)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), environment.SetupError("No network.")])
def test_an_interrupted_installation_leaves_no_stamp_and_is_made_afresh(
    course, monkeypatch, capsys, error
):
    def breaks_off(argv, title, began, total=0):
        course.carry_out(argv, title, began)
        if "install" in argv:
            raise error

    monkeypatch.setattr(environment, "_carry_out", breaks_off)
    with pytest.raises(type(error)):
        environment.ensure()
    assert not (course.venv / environment.STAMP).exists()
    (course.venv / "half-installed").touch()
    monkeypatch.setattr(environment, "_carry_out", course.carry_out)
    capsys.readouterr()
    environment.ensure()
    assert "did not finish" in capsys.readouterr().err
    assert not (course.venv / "half-installed").exists()
    assert (course.venv / environment.STAMP).exists()


def test_a_completion_that_breaks_off_leaves_no_stamp_either(course, monkeypatch):
    environment.ensure()

    def breaks_off(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "_carry_out", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        environment.ensure(dev=True)
    assert not (course.venv / environment.STAMP).exists()


def test_a_moved_folder_is_mended(course, monkeypatch, capsys):
    environment.ensure()
    moved = course.root.with_name("moved")
    course.root.rename(moved)
    monkeypatch.setattr(environment, "ROOT", moved)
    del course.steps[:]
    capsys.readouterr()
    assert environment.ensure() == environment.python_of(moved / ".venv")
    assert "has moved" in capsys.readouterr().err
    assert len(course.steps) == 2


def test_another_python_makes_it_anew(course, monkeypatch, capsys):
    environment.ensure()
    del course.steps[:]
    capsys.readouterr()
    monkeypatch.setattr(sys, "version_info", (3, 13, 0, "final", 0))
    stamp = json.loads((course.venv / environment.STAMP).read_text())
    stamp["python"] = "3.12"
    (course.venv / environment.STAMP).write_text(json.dumps(stamp))
    environment.ensure()
    assert "made with Python 3.12, this is 3.13" in capsys.readouterr().err
    assert len(course.steps) == 2


def test_a_lost_python_makes_it_anew(course):
    environment.python_of(environment.ensure().parents[1]).unlink()
    del course.steps[:]
    environment.ensure()
    assert len(course.steps) == 2


@pytest.mark.parametrize("stamp", ["", "[]", "{", "null", '{"python": 3}'])
def test_a_damaged_stamp_counts_as_none(course, stamp):
    environment.ensure()
    (course.venv / environment.STAMP).write_text(stamp)
    del course.steps[:]
    environment.ensure()
    assert len(course.steps) == 2


def test_a_changed_list_is_installed_in_place(course, capsys):
    environment.ensure(dev=True)
    del course.steps[:]
    (course.root / "requirements.txt").write_text("-e .\nnumpy==2.4.7\n")
    capsys.readouterr()
    environment.ensure()
    assert [locks_of(step) for step in course.steps] == [["requirements.txt"]]
    assert "has changed" in capsys.readouterr().err
    del course.steps[:]
    environment.ensure(dev=True)  # the tests' packages may have been moved along
    assert [locks_of(step) for step in course.steps] == [["tests/requirements.txt"]]


def test_remarks_and_line_ends_are_no_change(course):
    environment.ensure()
    del course.steps[:]
    (course.root / "requirements.txt").write_bytes(b"-e .\r\nnumpy==2.4.6\r\nkeras==3.15.1\r\n")
    environment.ensure()
    assert course.steps == []


def test_a_missing_lock_is_named(course):
    (course.root / "requirements.txt").unlink()
    with pytest.raises(environment.SetupError, match=r"^requirements\.txt is not in .*"):
        environment.ensure()


def test_an_obstacle_stops_before_anything_is_made(course, monkeypatch):
    monkeypatch.setattr(environment.platform, "machine", lambda: "sparc64")
    with pytest.raises(environment.SetupError, match="sparc64"):
        environment.ensure()
    assert course.steps == []
    assert not course.venv.exists()


def test_a_disk_that_fills_up_on_the_way_is_explained(course, monkeypatch):
    def fills_up(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(environment, "_carry_out", fills_up)
    with pytest.raises(environment.SetupError, match="The disk is full"):
        environment.ensure()


def test_course_env_names_another_folder(course, monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_ENV", str(tmp_path / "elsewhere"))
    assert environment.ensure() == environment.python_of(tmp_path / "elsewhere")
    assert not course.venv.exists()


def test_course_env_never_removes_a_folder_with_something_else_in_it(course, monkeypatch, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("…", encoding="utf-8")
    monkeypatch.setenv("COURSE_ENV", str(tmp_path / "thesis"))
    with pytest.raises(environment.SetupError, match="something else in it"):
        environment.ensure()
    assert (tmp_path / "thesis" / "chapter.tex").exists()


# --- somebody else's environment ------------------------------------------------------------


def test_course_env_current_takes_this_python_as_it_is(course, monkeypatch):
    monkeypatch.setenv("COURSE_ENV", "current")
    assert environment.ensure(dev=True) == Path(sys.executable)
    assert course.steps == []


def test_an_active_environment_that_has_everything_is_used(course, monkeypatch):
    monkeypatch.setattr(environment, "in_an_environment", lambda: True)
    monkeypatch.setattr(environment, "missing", lambda dev: [])
    assert environment.ensure() == Path(sys.executable)
    monkeypatch.setattr(environment, "missing", lambda dev: ["keras"])
    assert environment.ensure() == environment.python_of(course.venv)


def foreign(course):
    course.venv.mkdir()
    (course.venv / "pyvenv.cfg").write_text("home = /usr\nprompt = mine\n")
    (course.venv / "keepsake").touch()


def test_a_venv_that_somebody_else_made_is_never_changed(course):
    foreign(course)
    with pytest.raises(environment.SetupError) as caught:
        environment.ensure()
    assert "did not make" in str(caught.value)
    assert "rename or delete it" in str(caught.value)
    assert (course.venv / "keepsake").exists()
    assert course.steps == []


def test_a_venv_that_somebody_else_made_is_used_if_it_has_everything(course, monkeypatch):
    foreign(course)
    answers = iter([(1, "keras>=3.12\n"), (0, "\n")])

    def ask(argv, **_):
        assert argv[1:] == ["-m", "course_lib.commands.environment"]
        code, said = next(answers)
        return SimpleNamespace(returncode=code, stdout=said)

    monkeypatch.setattr(environment.subprocess, "run", ask)
    with pytest.raises(environment.SetupError, match=r"it lacks keras>=3\.12"):
        environment.ensure()
    assert environment.ensure() == environment.python_of(course.venv)


def test_here_nothing_is_missing():
    assert environment.missing(dev=True) == []


INSTALLED = {
    environment._normal(dist.name): dist.version for dist in importlib.metadata.distributions()
}


class Fake:
    """An installed distribution."""

    def __init__(self, name, version, url=None):
        self.name, self.version, self.url = name, version, url

    def read_text(self, name):
        return json.dumps({"url": self.url}) if self.url and name == "direct_url.json" else None


def installed(monkeypatch, **changes):
    """Pretend that just what the course needs is installed, with changes."""
    every = {**INSTALLED, "course-lib": None, **changes}
    fakes = [Fake(name, version) for name, version in every.items() if version]
    fakes.append(Fake("course-lib", "0.1.0", ROOT.as_uri()))
    monkeypatch.setattr(environment.importlib.metadata, "distributions", lambda **_: iter(fakes))
    return fakes


def test_control_a_package_that_is_not_there_or_too_old_is_missing(monkeypatch):
    installed(monkeypatch, keras=None, numpy="1.26.4")
    assert [lacking.split()[0] for lacking in environment.missing(dev=False)] == [
        "numpy<3,>=2.0",
        "keras<4,>=3.12",
    ]


@pytest.mark.parametrize("build", ["tensorflow", "tensorflow-cpu", "tensorflow-rocm"])
def test_any_build_of_tensorflow_will_do(monkeypatch, build):
    without = {"tensorflow": None, "tensorflow-cpu": None}
    installed(monkeypatch, **without)
    assert len(environment.missing(dev=False)) == 1
    installed(monkeypatch, **{**without, build: "2.21.0"})
    assert environment.missing(dev=False) == []


def test_a_course_installed_from_elsewhere_is_missing(monkeypatch, tmp_path):
    fakes = installed(monkeypatch)
    fakes[-1].url = tmp_path.as_uri()
    assert environment.missing(dev=False) == ["course-lib (`-e .`)"]
    fakes[-1].url = None  # from a package index, or a wheel
    assert environment.missing(dev=False) == ["course-lib (`-e .`)"]


# --- running a child ------------------------------------------------------------------------


def test_run_returns_the_childs_exit_code():
    assert environment.run([sys.executable, "-c", "raise SystemExit(5)"]) == 5
    assert environment.run([sys.executable, "-c", "pass"]) == 0


def test_run_says_when_a_program_is_not_there(tmp_path):
    with pytest.raises(environment.SetupError, match="does not start"):
        environment.run([tmp_path / "nothing"])


def test_a_child_sees_the_environment_as_if_it_were_active():
    seen = environment.environment_variables(Path(sys.executable))
    assert seen["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert seen["VIRTUAL_ENV"] == sys.prefix


PARENT = """
import sys
sys.path.insert(0, {root!r})
from course_lib.commands import environment
print("code", environment.run([sys.executable, "-c", {child!r}]), flush=True)
"""
CHILD = """
import signal, sys, time
def goodbye(number, frame):
    time.sleep(0.5)
    print("goodbye", signal.Signals(number).name, flush=True)
    sys.exit(3)
signal.signal(signal.SIGINT, goodbye)
signal.signal(signal.SIGTERM, goodbye)
print("ready", flush=True)
time.sleep(30)
"""


def start_parent(child=CHILD):
    code = PARENT.format(root=str(ROOT), child=child)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    return process


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_for_the_parent_reaches_the_child_and_its_goodbye_is_waited_for(number):
    process = start_parent()
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert said == f"goodbye {number.name}\ncode 3\n"


@posix_only
def test_ctrl_c_in_a_terminal_reaches_both_once():
    """The terminal itself signals the whole group; the parent passes nothing on a second time."""
    import pty

    code = PARENT.format(root=str(ROOT), child=CHILD.replace("sys.exit(3)", "count.append(number)")
                         .replace("time.sleep(30)", "time.sleep(2); print(len(count)); sys.exit(3)")
                         .replace("import signal", "count = []\nimport signal", 1)
                         .replace("time.sleep(0.5)", "pass"))  # fmt: skip
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"\x03")
    try:
        while more := os.read(terminal, 1000):
            said += more
    except OSError:  # the terminal closes with its last process
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    assert said.count(b"goodbye SIGINT") == 1
    assert b"\r\n1\r\n" in said
    assert b"code 3" in said


@posix_only
def test_a_child_killed_by_a_signal_has_the_shells_exit_code():
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert environment.run([sys.executable, "-c", code]) == 128 + signal.SIGKILL


# --- progress -------------------------------------------------------------------------------

PIP = """\
    Obtaining file:///course
    Collecting absl-py==2.5.1 (from -r requirements.txt (line 2))
      Using cached absl_py-2.5.1-py3-none-any.whl (141 kB)
    Collecting numpy==2.4.6
      Downloading numpy-2.4.6-cp312-cp312-manylinux_2_28_x86_64.whl (16.9 MB)
    Installing collected packages: numpy, absl-py"""
UV = """\
    Resolved 133 packages in 65ms
    Downloading tensorflow-cpu (261.6MiB)
    Prepared 131 packages in 21s"""


def doings(text):
    progress = environment.Progress("Installing", time.monotonic(), 100)
    for line in textwrap.dedent(text).splitlines():
        progress.notice(line.strip())
        yield progress.seen, progress.doing


def test_progress_is_read_off_what_pip_and_uv_say():
    assert list(doings(PIP)) == [
        (0, ""),
        (1, "absl-py"),
        (1, "absl_py (141 kB)"),
        (2, "numpy"),
        (2, "numpy (16.9 MB)"),
        (0, "unpacking"),
    ]
    assert list(doings(UV)) == [
        (0, ""), (0, "tensorflow-cpu (261.6MiB)"), (0, "unpacking"),
    ]  # fmt: skip


def test_progress_is_one_line_of_text(capsys):
    progress = environment.Progress("Installing", time.monotonic() - 65, 100)
    progress.next = 0
    progress.notice("Collecting numpy==2.4.6")
    progress.show()
    assert capsys.readouterr().err.strip() == "Installing 1 of 100, numpy ... 1:05"
    progress.show()  # too early for another
    assert capsys.readouterr().err == ""


def test_the_installers_words_are_kept_back_unless_it_fails(capfd):
    began = time.monotonic()
    environment._carry_out([sys.executable, "-c", "print('noise')"], "Trying", began)
    assert capfd.readouterr() == ("", "")
    code = "import sys; print('ERROR: no such wheel', file=sys.stderr); sys.exit(1)"
    with pytest.raises(environment.SetupError, match="Setting up failed: ERROR: no such wheel"):
        environment._carry_out([sys.executable, "-c", code], "Trying", began)


# --- for real, without a network ------------------------------------------------------------


@pytest.fixture
def offline_clone(tmp_path, monkeypatch):
    """A copy of the course, and variables under which no index can be reached."""
    root = tmp_path / "clone"
    shutil.copytree(
        ROOT / "course_lib", root / "course_lib", ignore=shutil.ignore_patterns("__pycache__")
    )
    (root / "tests").mkdir()
    for name in ("pyproject.toml", "requirements.txt", "tests/requirements.txt", "README.md"):
        shutil.copy(ROOT / name, root / name)
    host = "127.0.0.1:9"  # the port of `discard`, where nobody listens
    nowhere = f"http://{host}/simple"
    cleared = {name: value for name, value in os.environ.items()
               if not name.upper().startswith(("PIP_", "UV_", "COURSE_", "VIRTUAL_ENV"))
               and not name.lower().endswith("_proxy")}  # fmt: skip
    variables = {
        **cleared,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": nowhere,
        "PIP_NO_CACHE_DIR": "1",
        "UV_DEFAULT_INDEX": nowhere,
        "UV_NO_CONFIG": "1",
        "UV_HTTP_RETRIES": "0",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
    }
    return SimpleNamespace(root=root, variables=variables)


def base_python():
    return getattr(sys, "_base_executable", None) or sys.executable


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_without_a_network_one_sentence_says_so(offline_clone, installer, tmp_path):
    clone = offline_clone
    if environment.disk_full(clone.root):
        pytest.skip("the temporary folder has too little room to set up the course in")
    folders = [folder for folder in clone.variables["PATH"].split(os.pathsep)
               if not (Path(folder) / "uv").exists()]  # fmt: skip
    if installer == "uv":
        uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
        if uv is None:
            pytest.skip("there is no uv on this computer")
        (tmp_path / "bin").mkdir()
        shutil.copy(uv, tmp_path / "bin")
        folders.insert(0, str(tmp_path / "bin"))
    clone.variables["PATH"] = os.pathsep.join(folders)
    done = subprocess.run(
        [base_python(), "-m", "course_lib", "lab"],
        cwd=clone.root, env=clone.variables, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    first, *_, last = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert first.startswith("Setting up the course in ")
    assert last.startswith("The package index cannot be reached: connect to the network")
    assert "Traceback" not in done.stderr + done.stdout
    assert not (clone.root / ".venv" / environment.STAMP).exists()


def test_without_git_the_chapters_are_kept_for_reset(course):
    (course.root / "notebooks").mkdir()
    (course.root / "notebooks" / "01_x.ipynb").write_text("original")
    environment.ensure()
    assert (course.root / reset.ORIGINALS / "01_x.ipynb").read_text() == "original"
