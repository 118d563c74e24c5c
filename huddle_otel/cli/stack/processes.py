"""Servers as processes of this machine: found, started, waited for, and ended, whatever happens meanwhile."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_PATIENCE: Final = 20.0
"""Seconds for a server to be ready; Prometheus and Alertmanager need half a second on an idle machine."""
_FAREWELL: Final = 5.0
"""Seconds for a server to end by itself before it is killed."""
_POLL: Final = 0.05


class StackError(Exception):
    """A server is not installed, or does not start; the message says what to do."""


def find(names: Sequence[str], package: str) -> str:
    """Return the path of the first of these programs that is installed.

    Raises:
        StackError: None is.
    """
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    raise StackError(f"{names[0]} is not installed. On Debian and Ubuntu: apt-get install {package}")


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(
    name: str, command: Sequence[str], *, log: Path, ready: Callable[[], bool], longest: float
) -> Generator[None]:
    """Run a server until the block ends.

    Args:
        name: For messages.
        command: Program and arguments.
        log: File for what it prints.
        ready: Tells whether it can be used.
        longest: Seconds after which it is ended even if this process is killed, where there is coreutils' `timeout`.

    Raises:
        StackError: It ended at once, or is not ready in time; the message has the end of its log.
    """
    limit = shutil.which("timeout")
    bounded = [limit, f"{longest:.0f}", *command] if limit is not None else list(command)
    with log.open("wb") as out:
        # a session of its own: Ctrl-C is for us, who then end it in order
        process = subprocess.Popen(bounded, stdout=out, stderr=out, start_new_session=True)  # noqa: S603 - our own command
    try:
        _wait(name, process, log, ready)
        yield
    finally:
        process.terminate()
        try:
            process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Tell whether somebody answers there, and well."""
    try:
        with urllib.request.urlopen(url, timeout=_FAREWELL) as answer:  # noqa: S310 - http on loopback
            return bool(answer.status < 400)  # noqa: PLR2004 - HTTP status
    except OSError:
        return False


def listens(port: int) -> bool:
    """Tell whether somebody accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(name: str, process: subprocess.Popen[bytes], log: Path, ready: Callable[[], bool]) -> None:
    until = time.monotonic() + _PATIENCE
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise StackError(f"{name} did not start:\n{log.read_text(errors='replace')[-1_500:]}")
        time.sleep(_POLL)
