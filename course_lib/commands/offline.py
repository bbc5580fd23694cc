"""Run notebooks without a network, so that no chapter can come to depend on one.

Two walls, one behind the other. On Linux the whole run gets a network namespace of its own, in
which only the loopback device exists. Everywhere, a guard in the kernel refuses every Python socket
that leaves this computer, with a sentence that says so; it is the only wall where namespaces are
refused.

Standard library only. As a program (`python -m course_lib.commands.offline COMMAND …`) it brings
loopback up inside a fresh namespace and becomes the command.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Runs in every kernel before the first cell. An audit hook cannot be taken out again by a notebook.
GUARD = '''\
"""Refuse sockets that leave this computer."""

import ipaddress
import sys


def _stays_here(host):
    if host in (None, "", b"", "localhost", b"localhost"):
        return True
    try:
        text = host.decode() if isinstance(host, bytes) else str(host)
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback
    except ValueError:  # any other name is looked up in a network
        return False


def _guard(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else None  # a path is a Unix socket
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    else:
        return
    if not _stays_here(host):
        raise PermissionError(f"chapters run without a network, and this one asked for {host!r}")


sys.addaudithook(_guard)
'''


def guard_kernels(folder: Path) -> dict[str, str]:
    """Write the guard into `folder`; return the environment variables that make kernels load it.

    The folder becomes IPython's own, so that nobody's private start-up files change a test either.
    """
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00-no-network.py").write_text(GUARD, encoding="utf-8")
    plain = "c.InteractiveShell.colors = 'nocolor'\n"  # tracebacks are read in a log
    (startup.parent / "ipython_kernel_config.py").write_text(plain, encoding="utf-8")
    return {"IPYTHONDIR": str(folder)}


def namespace(python: str = sys.executable) -> list[str]:
    """Return the words that run a command in a namespace of its own; none where that fails."""
    unshare = shutil.which("unshare")
    if not sys.platform.startswith("linux") or unshare is None:
        return []
    words = [unshare, "--net", "--map-root-user", python, "-m", "course_lib.commands.offline"]
    trial_command = [*words, python, "-c", "pass"]
    try:
        trial = subprocess.run(trial_command, cwd=ROOT, capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return words if trial.returncode == 0 else []


def bring_loopback_up() -> None:
    """Switch on the loopback device of this network namespace; kernels talk through it."""
    import fcntl

    read_flags, write_flags, up = 0x8913, 0x8914, 0x1  # SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(control, read_flags, request))[1]
        fcntl.ioctl(control, write_flags, struct.pack("16sH14s", b"lo", flags | up, b""))


if __name__ == "__main__":
    bring_loopback_up()
    os.execvp(sys.argv[1], sys.argv[1:])
