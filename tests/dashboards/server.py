"""A real Prometheus on loopback, for as long as a `with` block lasts."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

PATIENCE: Final = 30.0
"""Seconds until the server must be ready."""


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def prometheus(folder: Path, config: str, *flags: str) -> Iterator[str]:
    """Run Prometheus.

    Args:
        folder: Where its configuration, log and, in `data`, its blocks are.
        config: The text of its configuration.
        flags: Further command line flags.

    Yields:
        Its URL.

    Raises:
        RuntimeError: It does not become ready; the message is the end of its log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, log = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(config)
    url = f"http://127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={url.removeprefix('http://')}", *flags]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        _wait(url, process, log)
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=1):  # noqa: S310 - on 127.0.0.1
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"Prometheus is not ready: {log.read_text()[-2000:]}")
