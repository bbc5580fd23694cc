"""JupyterLab in a headless browser, for the tests in `tests/browser` and for `bench`.

    with jupyterlab(folder) as lab, chromium() as browser:
        notebook = lab.open(browser.new_page(), path)
        notebook.run_all()
        assert not notebook.errors()

The server has configuration, workspaces and runtime files of its own in a temporary folder, so the
reader's are neither used nor changed. Playwright and Chromium are needed here only.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib.commands.browser import find_browser

# What lets Chromium run without a screen, without a sandbox (as root, in a container), and without
# asking the network for anything.
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
LIGHT, DARK = "JupyterLab Light", "JupyterLab Dark"

# Every cell is in the page at once (cells far down would not be attached otherwise), and nothing
# asks for news, updates or a second opinion.
SETTINGS: dict[str, dict[str, Any]] = {
    "notebook-extension/tracker": {"windowingMode": "none", "recordTiming": False},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
# Computers differ, and a busy one may stand still for a while: none of this is a measurement.
START_SECONDS = 180
ANSWER_SECONDS = 60  # from a key press to what follows
CELL_SECONDS = 180


@dataclass
class Lab:
    """A running JupyterLab.

    Attributes
    ----------
    url, token : str
        Where it answers, and what it wants to be told.
    folder : Path
        What it serves.
    """

    url: str
    token: str
    folder: Path

    @property
    def notebooks(self) -> Path:
        """The folder in it for notebooks, beside `data` as in the course."""
        return self.folder / "notebooks"

    def open(self, page: Any, path: Path) -> Notebook:
        """Open the notebook at `path`, inside the folder, in `page`; its kernel is ready after."""
        name = path.resolve().relative_to(self.folder.resolve()).as_posix()
        page.set_default_timeout(ANSWER_SECONDS * 1000)
        page.set_default_navigation_timeout(START_SECONDS * 1000)
        page.goto(f"{self.url}/lab/tree/{name}?token={self.token}&reset")
        page.wait_for_selector(".jp-NotebookPanel .jp-Cell", timeout=START_SECONDS * 1000)
        page.evaluate("async () => { await window.jupyterapp.restored; }")  # it takes the focus
        notebook = Notebook(page)
        notebook.wait_until_idle()
        return notebook


class Notebook:
    """A notebook that is open in a page.

    Attributes
    ----------
    page : playwright Page
    """

    def __init__(self, page: Any) -> None:
        self.page = page

    def run_all(self, seconds: float = CELL_SECONDS) -> None:
        """Run every cell, up to one that fails, and wait until the kernel is idle.

        Raises
        ------
        TimeoutError
            If the kernel is still busy after `seconds`.
        """
        run = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
        self.page.evaluate(f"void {run}")
        self.page.wait_for_function(
            "() => { const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells]"
            ".filter(cell => cell.type === 'code' && cell.sharedModel.source.trim());"
            "const hasFailed = cell => cell.outputs.toJSON()"
            ".some(output => output.output_type === 'error');"
            "return cells.some(hasFailed) || cells.every(cell => cell.executionCount); }",
            timeout=seconds * 1000,
        )
        self.wait_until_idle(seconds)

    def wait_until_idle(self, seconds: float = CELL_SECONDS) -> None:
        """Wait until the kernel has answered everything it was asked."""
        self.page.wait_for_function(
            "() => { const context = window.jupyterapp.shell.currentWidget?.sessionContext;"
            "return context?.session?.kernel?.status === 'idle' && !context.hasPendingInput; }",
            timeout=seconds * 1000,
        )

    def shut_down(self) -> None:
        """Shut the notebook's kernel down."""
        self.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    def focus(self) -> str:
        """Return the HTML of what has the focus, shortened: where a key press went."""
        return str(self.page.evaluate("() => document.activeElement?.outerHTML ?? ''"))[:200]

    def cells(self) -> list[dict[str, Any]]:
        """Return the cells as they are now, in the format of a notebook file."""
        return self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.context.model.toJSON().cells"
        )

    def errors(self) -> list[str]:
        """Return every error output, every line on stderr, and every widget that did not appear."""
        found = []
        for number, cell in enumerate(self.cells()):
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    found.append(f"cell {number}: {output['ename']}: {output['evalue']}")
                if output.get("name") == "stderr":
                    found.append(f"cell {number}, stderr: {''.join(output['text'])}")
        for text in self.page.locator(".jupyter-widgets-error-widget").all_inner_texts():
            found.append(f"widget: {text}")
        return found

    def explorers(self) -> list[Explorer]:
        """Return the explorers in the page, in order."""
        found = self.page.locator(".course-explorer")
        return [Explorer(self, found.nth(i)) for i in range(found.count())]

    def sliders(self) -> list[Any]:
        """Return the handles of all sliders in the page, in order."""
        return self.page.locator(".noUi-handle").all()


class Explorer:
    """An explorer in the page.

    Attributes
    ----------
    root : playwright Locator
        The box around its controls and its picture.
    """

    def __init__(self, notebook: Notebook, root: Any) -> None:
        self.notebook, self.root = notebook, root

    @property
    def picture(self) -> Any:
        """The `<img>`, a playwright Locator."""
        return self.root.locator(".course-picture img")

    @property
    def handles(self) -> list[Any]:
        """The handles of its sliders."""
        return self.root.locator(".noUi-handle").all()

    @property
    def frame(self) -> int:
        """The number of the picture that is shown; it grows with every new one."""
        return int(self.root.locator(".course-picture").get_attribute("data-frame") or 0)

    @property
    def alt(self) -> str:
        """The picture's alt text."""
        return self.picture.get_attribute("alt") or ""

    @property
    def problem(self) -> str:
        """What the explorer says went wrong; empty when nothing did."""
        return self.root.locator(".course-picture [role=alert]").inner_text()

    def press(self, handle: Any, key: str, times: int = 1) -> None:
        """Press a key on the handle of a slider and wait for the picture that follows."""
        before = self.frame
        handle.focus()
        for _ in range(times):
            self.notebook.page.keyboard.press(key)
        self.wait_for_picture_after(before)

    def wait_for_picture_after(self, frame: int, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until a later picture than number `frame` is shown, or a problem is said."""
        self._wait(
            "([root, frame]) => Number(root.querySelector('.course-picture').dataset.frame) > frame"
            " || root.querySelector('.course-picture [role=alert]').textContent !== ''",
            frame,
            seconds,
        )

    def wait_until_sharp(self, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until the slider rests: the picture is a PNG as fine as the screen."""
        self._wait(
            "([root]) => root.querySelector('.course-picture').dataset.sharp === 'true'",
            0,
            seconds,
        )

    def wait_until_fine(self, width: int, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until the picture that is shown has `width` pixels."""
        self._wait(
            "([root, width]) => root.querySelector('.course-picture img').naturalWidth === width",
            width,
            seconds,
        )

    def wait_for_alt(self, alt: str, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until the picture's alt text is `alt`."""
        self._wait(
            "([root, alt]) => root.querySelector('.course-picture img').alt === alt", alt, seconds
        )

    def wait_for_problem(self, seconds: float = ANSWER_SECONDS) -> None:
        """Wait until the explorer says that something went wrong."""
        self._wait(
            "([root]) => root.querySelector('.course-picture [role=alert]').textContent !== ''",
            0,
            seconds,
        )

    def pixels(self) -> bytes:
        """Return the bytes of the picture that is shown."""
        coded = self.picture.evaluate(
            "async image => { const reader = new FileReader();"
            "reader.readAsDataURL(await (await fetch(image.src)).blob());"
            "await new Promise(resolve => { reader.onload = resolve; });"
            "return reader.result.split(',')[1]; }"
        )
        return base64.b64decode(coded)

    def _wait(self, condition: str, value: object, seconds: float) -> None:
        element = self.root.element_handle()
        self.notebook.page.wait_for_function(
            condition, arg=[element, value], timeout=seconds * 1000, polling=20
        )


@contextmanager
def jupyterlab(folder: Path, theme: str = LIGHT, **variables: str) -> Iterator[Lab]:
    """Run a JupyterLab that serves `folder`, until the `with` block ends.

    Parameters
    ----------
    folder : Path
    theme : str
        `LIGHT` or `DARK`.
    **variables : str
        Environment variables of the server and its kernels.

    Raises
    ------
    RuntimeError
        If it ends or does not answer, with the last lines that it wrote.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as own:
        home, token, port = Path(own), secrets.token_hex(16), _free_port()
        log = home / "jupyterlab.log"
        command = [sys.executable, "-m", "jupyter", "lab"]
        command += ["--no-browser", "--expose-app-in-browser"]
        command += [f"--port={port}", "--ip=127.0.0.1", "--ServerApp.port_retries=0"]
        command += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}"]
        command += ["--LabApp.news_url=", "--allow-root"] if os.name == "posix" else []
        with log.open("wb") as written:
            server = subprocess.Popen(
                command,
                cwd=folder,
                env=_environment(home, theme) | variables,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
        url = f"http://127.0.0.1:{port}"
        try:
            _wait_for(server, f"{url}/api/status?token={token}", log)
            yield Lab(url, token, folder)
        finally:
            _stop(server, url, token)


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a headless Chromium until the `with` block ends; yield playwright's `Browser`.

    Raises
    ------
    FileNotFoundError
        If there is no browser of that family on this computer.
    """
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        raise FileNotFoundError("There is no Chromium, Chrome or Edge on this computer.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(home: Path, theme: str) -> dict[str, str]:
    """Return an environment in which JupyterLab keeps everything of its own in `home`."""
    settings = {**SETTINGS, "apputils-extension/themes": {"theme": theme}}
    for plugin, values in settings.items():
        file = home / "settings" / "@jupyterlab" / f"{plugin}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    for name in ("config", "data", "runtime", "workspaces", "ipython"):
        (home / name).mkdir()
    # A test run has a backend that shows no figure, and quiets what a reader would see.
    theirs = ("JUPYTER", "MPLBACKEND", "TF_CPP")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(theirs)}
    return kept | {
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
        "PYTHONUNBUFFERED": "1",
    }


def _wait_for(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    last = log.read_text(errors="replace").splitlines()[-12:]
    raise RuntimeError("JupyterLab did not start:\n" + "\n".join(last))


def _stop(server: subprocess.Popen[bytes], url: str, token: str) -> None:
    """Ask the server to stop, with its kernels, and see that it does."""
    try:
        request = urllib.request.Request(
            f"{url}/api/shutdown", method="POST", headers={"Authorization": f"token {token}"}
        )
        with urllib.request.urlopen(request, timeout=10):
            pass
        server.wait(timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def copy_course(root: Path, folder: Path) -> Path:
    """Copy what a chapter needs beside it, the pictures and the data, into `folder`."""
    for part in ("notebooks/figures", "data"):
        if (root / part).is_dir():
            shutil.copytree(root / part, folder / part)
    (folder / "notebooks").mkdir(exist_ok=True)
    return folder / "notebooks"
