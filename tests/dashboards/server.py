"""A real Prometheus on loopback, and an app for it to watch, for as long as a `with` block lasts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from huddle_otel.cli.stack.processes import answers, free_port, server
from tests.exporters.conftest import ROOT

_LONGEST: Final = 1_800.0
"""Seconds after which it ends by itself."""


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
        StackError: It does not become ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, address = folder / "prometheus.yml", f"127.0.0.1:{free_port()}"
    file.write_text(config)
    command = ["prometheus", f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}"]
    command += [f"--web.listen-address={address}", *flags]
    ready = partial(answers, f"http://{address}/-/ready")
    with server("Prometheus", command, log=folder / "prometheus.log", ready=ready, longest=_LONGEST):
        yield f"http://{address}"


@contextmanager
def playing(port: int, seconds: float) -> Iterator[Future[str]]:
    """Run the app of `tests.dashboards.app`, to be scraped at a port; yield what it says once its calls are over."""
    command = [sys.executable, "-m", "tests.dashboards.app", str(seconds)]
    environment = {**os.environ, "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
    with (
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment
        ) as app,
        ThreadPoolExecutor(1) as listening,
    ):
        assert app.stdout is not None
        yield listening.submit(app.stdout.readline)
        app.communicate()
