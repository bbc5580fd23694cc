"""`python -m course_lib lab`: what JupyterLab is told, and that it serves the course."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from course_lib.commands import environment, lab

HOST = "127.0.0.1"


def test_the_first_chapter_is_opened_and_nothing_leaves_the_machine():
    argv = lab.command("python", [])
    assert argv[:3] == ["python", "-m", "jupyterlab"]
    assert f"--LabApp.default_url=/lab/tree/{lab.FIRST}" in argv
    assert "--LabApp.news_url=None" in argv
    assert "--no-browser" not in argv
    assert not any(word.startswith("--port") for word in argv)


def test_options_are_understood_and_others_handed_on():
    argv = lab.command("python", ["--port", "9999", "--no-browser", "--ip=0.0.0.0", "--debug"])
    assert argv[-4:] == ["--no-browser", "--port=9999", "--ip=0.0.0.0", "--debug"]


def test_a_port_that_is_no_number_is_refused_before_anything_is_installed(monkeypatch, capsys):
    monkeypatch.setattr(environment, "ensure", lambda dev: pytest.fail("too early"))
    with pytest.raises(SystemExit) as caught:
        lab.main(["--port", "eight"])
    assert caught.value.code == 2
    assert "'eight'" in capsys.readouterr().err


def test_jupyterlab_runs_in_the_courses_folder_and_its_exit_code_counts(monkeypatch, tmp_path):
    seen = {}

    def run(argv, **options):
        seen.update(argv=argv, **options)
        return 9

    monkeypatch.setattr(environment, "ensure", lambda dev: tmp_path / "python")
    monkeypatch.setattr(environment, "run", run)
    assert lab.main(["--no-browser"]) == 9
    assert seen["argv"][0] == str(tmp_path / "python")
    assert seen["cwd"] == environment.ROOT


@pytest.mark.skipif(os.name == "nt", reason="ends the server with a POSIX signal")
def test_jupyterlab_answers_and_ends_when_asked(tmp_path):
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    variables = {**os.environ, "JUPYTER_CONFIG_DIR": str(tmp_path), "COURSE_ENV": "current"}
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "course_lib", "lab", "--no-browser", "--port", str(port),
             f"--ip={HOST}", "--allow-root", "--IdentityProvider.token=secret"],
            cwd=environment.ROOT, env=variables, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        address = f"http://{HOST}:{port}/api/contents/notebooks?token=secret"
        answer = ask(address, process)
        assert answer["type"] == "directory"  # the server's root is the course's folder
        assert re.search(rf"http://[^ ]*:{port}/lab/tree/{lab.FIRST}\?token=", log.read_text())
    finally:
        process.terminate()
        code = process.wait(timeout=30)
    assert code in (0, 143)
    with pytest.raises(OSError, match=r".*"):  # the server has gone with its parent
        urllib.request.urlopen(address, timeout=2)


def ask(address, process, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as reply:
                return json.load(reply)
        except OSError:
            assert process.poll() is None, "JupyterLab ended too early"
            assert time.monotonic() < end, "JupyterLab does not answer"
            time.sleep(0.3)
