"""The environment of the course: `.venv`, made once, mended when something interrupted it.

Standard library alone, because it runs before anything is installed. Which Python is used:

1. `COURSE_ENV=current`: the Python that runs the command, as it is.
2. An active virtual or conda environment that has everything the course needs.
3. `.venv` in the course's folder, or the folder that `COURSE_ENV` names; made when missing.

A stamp inside `.venv`, written last, says what was installed, with which Python, and where. It
is removed before anything changes, so whatever breaks off in between starts afresh the next time.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import tomllib
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCKS = {"learn": "requirements.txt", "test": "tests/requirements.txt"}
STAMP = "course_lib.json"
PROMPT = "course"  # in pyvenv.cfg; tells the course's own environment from somebody else's
GIGABYTE = 10**9
DISK_NEEDED = 3.5 * GIGABYTE  # 2.2 GB installed, plus the downloads while they are unpacked
LONGEST_NAME = 165  # characters below site-packages, a header of TensorFlow 2.21
WINDOWS_LIMIT = 259
TENSORFLOWS = ("tensorflow", "tensorflow-cpu", "tensorflow-rocm", "tensorflow-intel", "tf-nightly")
WITH_TENSORFLOW = {  # sys.platform -> platform.machine() that TensorFlow has wheels for
    "linux": ("x86_64", "amd64", "aarch64", "arm64"),
    "darwin": ("arm64",),
    "win32": ("amd64", "x86_64"),
}


class SetupError(Exception):
    """The environment cannot be made; the message is one sentence that says what to do."""


def ensure(dev: bool = False) -> Path:
    """Return the Python of an environment that has all the course needs, making it if necessary.

    Parameters
    ----------
    dev : bool
        Also install what only work on the course needs (`tests/requirements.txt`).

    Raises
    ------
    SetupError
        With one sentence that says why it cannot be made and what to do.
    """
    if os.environ.get("COURSE_ENV") == "current":
        return Path(sys.executable)
    venv = location()
    if in_an_environment() and not is_inside(venv) and not missing(dev):
        return Path(sys.executable)
    if stamp_is_fresh(venv, dev):
        return python_of(venv)
    if is_foreign(venv):
        return _adopt(venv, dev)
    _refuse_what_cannot_work(venv)
    _make(venv, dev)
    return python_of(venv)


def run(argv: Sequence[str | os.PathLike], **options: Any) -> int:
    """Run a command to its end with the environment's programs first on PATH; return its exit code.

    The child shares terminal and standard input. Ctrl-C reaches it from the terminal; this
    process waits for its goodbye. Without a terminal an interrupt or a termination is passed on.
    """
    argv = [os.fspath(part) for part in argv]
    options.setdefault("env", environment_variables(Path(argv[0])))
    sys.stdout.flush()
    try:
        child = subprocess.Popen(argv, **options)
    except OSError as error:
        raise SetupError(f"{argv[0]} does not start ({error.strerror}).") from None
    with _handing_termination_to(child):
        while True:
            try:
                code = child.wait()
                return code if code >= 0 else 128 - code
            except KeyboardInterrupt:
                if not _has_terminal() and os.name == "posix":
                    child.send_signal(signal.SIGINT)


def is_this(python: Path) -> bool:
    """Tell whether `python` is the one that is running now."""
    folders = (Path(python).parent, Path(sys.executable).parent)
    return len({os.path.normcase(folder) for folder in folders}) == 1


def is_inside(venv: Path) -> bool:
    """Tell whether the running Python is that environment's."""
    return Path(sys.prefix).resolve() == venv.resolve()


def location() -> Path:
    """Return the folder of the course's own environment."""
    chosen = os.environ.get("COURSE_ENV")
    return Path(chosen).expanduser().absolute() if chosen else ROOT / ".venv"


def python_of(venv: Path) -> Path:
    """Return the path of an environment's Python."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def environment_variables(python: Path) -> dict[str, str]:
    """Return the variables that a child sees, as if its environment had been activated."""
    variables = dict(os.environ)
    venv = python.parent.parent
    if (venv / "pyvenv.cfg").is_file():
        variables["VIRTUAL_ENV"] = str(venv)
        variables["PATH"] = str(python.parent) + os.pathsep + variables.get("PATH", "")
        variables.pop("PYTHONHOME", None)
    return variables


# --- is it there? ---------------------------------------------------------------------------


def stamp_is_fresh(venv: Path, dev: bool) -> bool:
    """Tell whether the environment was finished, for these locks, this Python and this place."""
    stamp, now = _read_stamp(venv), _stamp(venv, dev)
    return all(stamp.get(key) == now[key] for key in now) and python_of(venv).exists()


def _stamp(venv: Path, dev: bool) -> dict[str, str]:
    stamp = {"python": "{}.{}".format(*sys.version_info), "folder": str(venv), "course": str(ROOT)}
    for name in ("learn", "test") if dev else ("learn",):
        stamp[name] = _hash_of(ROOT / LOCKS[name])
    return stamp


def _read_stamp(venv: Path) -> dict:
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _hash_of(lock: Path) -> str:
    try:
        text = "\n".join(lines_of(lock))  # lines: Windows may end them otherwise
    except OSError:
        raise SetupError(
            f"{lock.name} is not in {lock.parent}: run the command inside the course's folder, "
            "as it was cloned or unpacked."
        ) from None
    return hashlib.sha256(text.encode()).hexdigest()


def in_an_environment() -> bool:
    """Tell whether this Python belongs to a virtual or conda environment."""
    return sys.prefix != sys.base_prefix or (Path(sys.prefix) / "conda-meta").is_dir()


def is_foreign(venv: Path) -> bool:
    """Tell whether the folder holds an environment that somebody else made."""
    try:
        settings = (venv / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        if venv.is_dir() and location() != ROOT / ".venv" and any(venv.iterdir()):
            raise SetupError(
                f"COURSE_ENV names {venv}, which has files of something else in it: "
                "name a new folder, or unset it."
            ) from None
        return False
    return not re.search(rf"^prompt *= *['\"]?{PROMPT}['\"]?\s*$", settings, re.MULTILINE)


def requirements(dev: bool) -> list[str]:
    """Return what `pyproject.toml` asks for, TensorFlow included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = list(project["project"]["dependencies"])
    wanted += project["project"]["optional-dependencies"]["tensorflow"]
    return wanted + (project["dependency-groups"]["dev"] if dev else [])


def missing(dev: bool) -> list[str]:
    """Return what the running Python lacks of the course's requirements, empty when nothing.

    Any build of TensorFlow will do, so that nobody's GPU build is in the way.
    """
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging"]
    # The working directory may hold the traces of an installation that belongs to another Python.
    places = [place for place in sys.path if place and Path(place).resolve() != ROOT]
    found = {
        _normal(dist.name): dist
        for dist in reversed(list(importlib.metadata.distributions(path=places)))
        if dist.name
    }
    lacking = [] if _is_installed_from_here(found.get("course-lib")) else ["course-lib (`-e .`)"]
    for line in requirements(dev):
        wanted = Requirement(line)
        if wanted.marker and not wanted.marker.evaluate():
            continue
        names = TENSORFLOWS if wanted.name in TENSORFLOWS else (wanted.name,)
        versions = [found[_normal(name)].version for name in names if _normal(name) in found]
        if not any(wanted.specifier.contains(version, prereleases=True) for version in versions):
            have = f" (has {versions[0]})" if versions else ""
            lacking.append(f"{wanted.name}{wanted.specifier}{have}")
    return lacking


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _is_installed_from_here(dist: importlib.metadata.Distribution | None) -> bool:
    if dist is None:
        return False
    try:
        url = json.loads(dist.read_text("direct_url.json") or "{}").get("url", "")
    except ValueError:
        return False
    place = urllib.request.url2pathname(urllib.parse.urlsplit(url).path)
    return bool(place) and Path(place).resolve() == ROOT


def _adopt(venv: Path, dev: bool) -> Path:
    """Use an environment that somebody else made, if it has everything; never change it."""
    python = python_of(venv)
    argv = [str(python), "-m", "course_lib.commands.environment"] + (["dev"] if dev else [])
    try:
        asked = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
        lacking = asked.stdout.split("\n")[0] if asked.returncode in (0, 1) else "a working Python"
        if asked.returncode == 0:
            return python
    except OSError:
        lacking = "a working Python"
    locks = " -r ".join(LOCKS[name] for name in (("learn", "test") if dev else ("learn",)))
    raise SetupError(
        f"{venv} is an environment that the course did not make, and it lacks {lacking}: "
        f"rename or delete it, or run `{python} -m pip install -r {locks}`, then try again."
    )


# --- what cannot work -----------------------------------------------------------------------


def _refuse_what_cannot_work(venv: Path) -> None:
    complaint = (
        wrong_machine(sys.platform, platform.machine(), sys.maxsize > 2**32)
        or wrong_interpreter(platform.python_implementation(), platform.libc_ver()[0])
        or too_deep(venv, sys.platform == "win32", _long_paths_enabled)
        or (None if _uv() else no_venv(sys.version_info))
        or disk_full(venv)
    )
    if complaint:
        raise SetupError(complaint)


def wrong_machine(system: str, machine: str, is_64_bit: bool = True) -> str | None:
    """Return the sentence for a machine that TensorFlow has no build for, or None."""
    if not is_64_bit:
        return (
            "This Python has 32 bits, and TensorFlow needs 64: "
            "install the 64-bit Python 3.12 from https://www.python.org/downloads/."
        )
    machines = WITH_TENSORFLOW.get(system)
    if machines and machine.lower() in machines:
        return None
    if system == "darwin":
        return (
            "TensorFlow has no build for Macs with an Intel processor, nor for an Intel Python on "
            "Apple silicon: install Python's universal build from "
            "https://www.python.org/downloads/ on Apple silicon, or run the course on Linux, "
            "for example in a virtual machine or in a cloud notebook."
        )
    if system == "win32" and machine.lower() == "arm64":
        return (
            "TensorFlow has no build for Windows on ARM: install the Python 3.12 for Windows that "
            "says 64-bit (x64), which runs there too."
        )
    return (
        f"TensorFlow has no build for {system} on {machine or 'this processor'}: run the course "
        "on Linux (x86-64 or ARM), macOS (Apple silicon) or Windows (x86-64)."
    )


def wrong_interpreter(implementation: str, libc: str) -> str | None:
    """Return the sentence for an interpreter that TensorFlow does not work with, or None."""
    if implementation != "CPython":
        return (
            f"TensorFlow runs on CPython, and this is {implementation}: "
            "install Python 3.12 from https://www.python.org/downloads/."
        )
    if sys.platform == "linux" and libc and libc != "glibc":
        return f"TensorFlow needs glibc, and this Linux has {libc}: use Debian, Ubuntu or Fedora."
    return None


def too_deep(venv: Path, windows: bool, long_paths: Callable[[], bool]) -> str | None:
    """Return the sentence for a folder below which Windows cannot name TensorFlow's files."""
    length = len(str(venv)) + len("\\Lib\\site-packages\\") + LONGEST_NAME
    if not windows or length <= WINDOWS_LIMIT or long_paths():
        return None
    return (
        f"Windows takes paths of {WINDOWS_LIMIT} characters, and below {venv} some would have "
        f"{length}: move the course to a shorter folder such as C:\\course, or switch long paths "
        "on (https://docs.python.org/3/using/windows.html#removing-the-max-path-limitation)."
    )


def _long_paths_enabled() -> bool:
    if sys.platform != "win32":
        return False
    import winreg

    try:
        place = r"SYSTEM\CurrentControlSet\Control\FileSystem"
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, place) as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except OSError:
        return False


def no_venv(version: Sequence, find: Callable = importlib.util.find_spec) -> str | None:
    """Return the sentence for a Python that cannot make environments (Debian splits it off)."""
    if find("venv") and find("ensurepip"):
        return None
    return (
        "This Python cannot make environments (venv or ensurepip is missing): on Debian or Ubuntu "
        f"run `sudo apt install python{version[0]}.{version[1]}-venv`, elsewhere install Python "
        "from https://www.python.org/downloads/, then try again."
    )


def disk_full(venv: Path, usage: Callable = shutil.disk_usage) -> str | None:
    """Return the sentence for a disk without room for the environment, or None."""
    place = next((folder for folder in (venv, *venv.parents) if folder.is_dir()), ROOT)
    free = usage(place).free
    if free >= DISK_NEEDED:
        return None
    return (
        f"The disk of {place} has {free / GIGABYTE:.1f} GB free, and setting up needs "
        f"{DISK_NEEDED / GIGABYTE:.1f} GB: free some, or set COURSE_ENV to a folder on a larger "
        "disk, then try again."
    )


# --- make it --------------------------------------------------------------------------------


def _uv() -> str | None:
    """Return the reader's own uv: the one inside `.venv` would saw off the branch it sits on."""
    own = (location().resolve(), Path(sys.prefix).resolve())
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    others = (folder for folder in folders if Path(folder).resolve().parent not in own)
    return shutil.which("uv", path=os.pathsep.join(others))


def _make(venv: Path, dev: bool) -> None:
    """Make the environment, or bring a finished one up to date; the stamp comes last."""
    stamp, now = _read_stamp(venv), _stamp(venv, dev)
    whole = python_of(venv).exists() and all(
        stamp.get(key) == now[key] for key in ("python", "folder", "course")
    )
    stale = [name for name in LOCKS if name in now and not (whole and stamp.get(name) == now[name])]
    began = time.monotonic()
    print(_why(venv, stamp, now, whole), file=sys.stderr)
    try:
        (venv / STAMP).unlink(missing_ok=True)
        if not whole:
            _remove(venv)
            _carry_out(_creation(venv), "Making the environment", began)
        wanted = [LOCKS[name] for name in stale]
        _carry_out(_installation(venv, wanted), "Installing", began, total=_count(wanted))
        _prepare_notebooks(python_of(venv), dev)
        (venv / (STAMP + ".new")).write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        (venv / (STAMP + ".new")).replace(venv / STAMP)
    except OSError as error:
        raise SetupError(explain(str(error), error.errno)) from None
    print(f"Ready after {time.monotonic() - began:.0f} s.", file=sys.stderr)


def _creation(venv: Path) -> list[str]:
    """Return the command that makes an empty environment."""
    if uv := _uv():
        return [uv, "venv", "--seed", "--python", _base_python(), "--prompt", PROMPT, str(venv)]
    return [_base_python(), "-m", "venv", "--prompt", PROMPT, str(venv)]


def _installation(venv: Path, locks: Sequence[str]) -> list[str]:
    """Return the command that installs what the locks list."""
    if uv := _uv():
        argv = [uv, "pip", "install", "--compile-bytecode", "--python", str(python_of(venv))]
    else:
        argv = [str(python_of(venv)), "-m", "pip", "install", "--progress-bar", "off"]
        argv += ["--no-input", "--disable-pip-version-check", "--retries", "2"]
    return argv + [word for lock in locks for word in ("-r", lock)]


def _prepare_notebooks(python: Path, dev: bool) -> None:
    """Keep the chapters for `reset` where there is no git; else have git store no outputs."""
    from course_lib.commands import chapters, reset

    reset.keep_originals(ROOT)
    if dev and (ROOT / ".git").exists():  # not the git of some folder above
        chapters.install_filter(python, ROOT)


def _why(venv: Path, stamp: dict, now: dict, whole: bool) -> str:
    if whole and stamp.get("learn") == now["learn"]:
        return "Adding what the tests need."
    if whole:
        return "The list of packages has changed: bringing the environment up to date."
    if not venv.exists():
        return f"Setting up the course in {venv}: once, about two minutes."
    if not stamp:
        return "The last set-up did not finish: starting it afresh."
    if stamp.get("python") != now["python"]:
        was, is_now = stamp.get("python"), now["python"]
        return f"The environment was made with Python {was}, this is {is_now}: making it anew."
    if stamp.get("folder") != now["folder"] or stamp.get("course") != now["course"]:
        return "The course's folder has moved: making the environment anew."
    return "The environment has lost its Python: making it anew."


def _base_python() -> str:
    """Return the Python to make an environment from: never one inside the folder to be removed."""
    inside = is_inside(location())
    if inside and os.name == "nt":
        raise SetupError(
            "The environment must be made anew, and Windows does not remove one that is in use: "
            "type `deactivate`, then run the same command with `py -3.12`."
        )
    base = getattr(sys, "_base_executable", None)
    return base if inside and base else sys.executable


def _remove(venv: Path) -> None:
    """Remove an environment; pyvenv.cfg goes first, so that half of one is nobody else's."""
    if venv.is_symlink() or venv.is_file():
        venv.unlink()
    elif venv.exists():
        (venv / "pyvenv.cfg").unlink(missing_ok=True)
        shutil.rmtree(venv)


def _count(wanted: list[str]) -> int:
    return sum(";" not in line for name in wanted for line in lines_of(ROOT / name))


def lines_of(lock: Path) -> list[str]:
    """Return the lines of a lock that name a package and its version."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if re.match(r"[A-Za-z0-9]", line)]


def _carry_out(argv: list[str], title: str, began: float, total: int = 0) -> None:
    """Run one step of the set-up quietly, with a line of progress; its words only if it fails."""
    variables = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    for name in ("PYTHONHOME", "PIP_REQUIRE_VIRTUALENV", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"):
        variables.pop(name, None)
    child = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    progress = Progress(title, began, total)
    reader = threading.Thread(target=progress.read, args=(child.stdout,), daemon=True)
    reader.start()
    try:
        while True:
            try:
                child.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                progress.show()
        reader.join(timeout=5)
    except BaseException:
        child.terminate()
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
        raise
    finally:
        progress.end()
    if child.returncode:
        raise SetupError(explain("\n".join(progress.lines)))


class Progress:
    """One line that says what is being installed and for how long; a line every 15 s in a log."""

    def __init__(self, title: str, began: float, total: int) -> None:
        self.title, self.began, self.total = title, began, total
        self.lines: collections.deque[str] = collections.deque(maxlen=400)
        self.seen, self.doing = 0, ""
        self.terminal = sys.stderr.isatty()
        self.next = time.monotonic() + (0 if self.terminal else 15)

    def read(self, stream: Iterable[str]) -> None:
        """Take in what the installer says."""
        for line in stream:
            self.lines.append(line.rstrip())
            self.notice(line.strip())

    def notice(self, line: str) -> None:
        """Read off one line of pip or uv how far it is."""
        if match := re.match(r"Collecting ([\w.-]+)", line):
            self.seen, self.doing = self.seen + 1, match[1]
        elif match := re.match(r"(?:Downloading|Using cached) (\S+?)-\d\S* (\(.+\))", line):
            self.doing = f"{match[1]} {match[2]}"
        elif match := re.match(r"Downloading ([\w.-]+) (\(.+\))", line):
            self.doing = f"{match[1]} {match[2]}"  # uv
        elif line.startswith(("Installing collected", "Prepared")):
            self.seen, self.doing = 0, "unpacking"

    def show(self) -> None:
        """Write the line, if it is time."""
        if time.monotonic() < self.next:
            return
        self.next = time.monotonic() + (0 if self.terminal else 15)
        seconds = int(time.monotonic() - self.began)
        count = f" {min(self.seen, self.total)} of {self.total}" if self.seen and self.total else ""
        doing = f", {self.doing}" if self.doing else ""
        text = f"{self.title}{count}{doing} ... {seconds // 60}:{seconds % 60:02d}"
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + text[:width].ljust(width), end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self.terminal:
            width = shutil.get_terminal_size().columns - 1
            print("\r" + " " * width + "\r", end="", file=sys.stderr, flush=True)


NO_NETWORK = (
    "NewConnectionError|Failed to establish a new connection|name resolution|"
    "Name or service not known|nodename nor servname|getaddrinfo failed|ConnectTimeoutError|"
    "Network is unreachable|ProxyError|Connection refused|dns error|tcp connect error|"
    "error sending request|Failed to fetch|Read timed out|ConnectionResetError|No route to host"
)
SENTENCES = (
    # what an installer's output holds, what to say
    (
        r"No space left on device|Errno 28|not enough space on the disk|Disk quota exceeded",
        "The disk is full: setting up needs "
        f"{DISK_NEEDED / GIGABYTE:.1f} GB; free some, or set COURSE_ENV to a folder on a larger "
        "disk (and TMPDIR, where the temporary folder is small), then try again.",
    ),
    (
        r"Windows Long Path|WinError 206|File name too long",
        "A path became too long: move the course to a shorter folder such as C:\\course, or "
        "switch Windows' long paths on, then try again.",
    ),
    (
        r"ensurepip is not available|No module named '?(ensurepip|venv)",
        "This Python cannot make environments: on Debian or Ubuntu run "
        "`sudo apt install python{}.{}-venv`, then try again.".format(*sys.version_info),
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate|UnknownIssuer",
        "The package index answered with a certificate that this Python does not know, as behind "
        "a company's proxy: set PIP_CERT and SSL_CERT_FILE to the file of its certificate, then "
        "try again.",
    ),
    (
        NO_NETWORK,
        "The package index cannot be reached: connect to the network (behind a proxy set "
        "HTTPS_PROXY), then try again; only setting up needs it.",
    ),
)


def explain(output: str, number: int | None = None) -> str:
    """Return one sentence for why a step of the set-up failed.

    Parameters
    ----------
    output : str
        What pip, uv or venv printed.
    number : int, optional
        The `errno` of an OSError of our own.
    """
    if number in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        output = "No space left on device"
    for pattern, sentence in SENTENCES:
        if re.search(pattern, output):
            return sentence
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(ERROR|error|Error|×|╰─▶)", line)]
    last = (errors or lines or ["no message"])[-1].rstrip(".")
    return f"Setting up failed: {last}. The same command starts it again."


def _has_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):
        return False


@contextlib.contextmanager
def _handing_termination_to(child: subprocess.Popen) -> Iterator[None]:
    """While a child runs, SIGTERM is for the child. Only the main thread may set this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":  # asked by another Python whether this one has everything
    lacking = missing(dev="dev" in sys.argv)
    print(", ".join(lacking))
    sys.exit(1 if lacking else 0)
