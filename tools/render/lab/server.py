"""A Prometheus of one's own on loopback, over a folder of data that outlives it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

SCRAPE: Final = 5
"""Seconds between scrapes: fine enough for pictures of ten minutes."""
_PATIENCE: Final = 30.0
_CONFIG: Final = """\
global: {{scrape_interval: {scrape}s, scrape_timeout: {scrape}s, evaluation_interval: {scrape}s}}
rule_files: [{rules}]
scrape_configs:
"""


@contextmanager
def prometheus(
    data: Path, *, targets: Mapping[str, Sequence[str]] | None = None, rules: Sequence[Path] = (), scrape: int = SCRAPE
) -> Generator[str]:
    """Run Prometheus until the block ends, and give its URL.

    Args:
        data: Folder of its blocks; made when missing, kept afterwards.
        targets: Job -> addresses to scrape.
        rules: Files of alert and recording rules.
        scrape: Seconds between scrapes and evaluations.

    Raises:
        FileNotFoundError: Prometheus is not installed.
        RuntimeError: It ended, or was not ready in time; the message has the end of its log.
    """
    if shutil.which("prometheus") is None:
        raise FileNotFoundError("prometheus is not on the PATH. On Debian: apt-get install prometheus")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that who ends us ends Prometheus too
    data.mkdir(parents=True, exist_ok=True)
    config, log, port = data / "prometheus.yml", data / "prometheus.log", free_port()
    config.write_text(_configuration(targets or {}, rules, scrape))
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={data / 'tsdb'}",
                "--storage.tsdb.retention.time=10y",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=exemplar-storage",
            ],
            stdout=output,
            stderr=output,
        )
        try:
            _until_ready(url, process, log)
            yield url
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration(targets: Mapping[str, Sequence[str]], rules: Sequence[Path], scrape: int) -> str:
    head = _CONFIG.format(scrape=scrape, rules=", ".join(f'"{path.resolve()}"' for path in rules))
    jobs = [
        f'  - {{job_name: "{job}", static_configs: [{{targets: [{", ".join(f"{each!r}" for each in addresses)}]}}]}}\n'
        for job, addresses in targets.items()
    ]
    return head + "".join(jobs)


def _until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/-/ready"):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"Prometheus is not ready:\n{log.read_text()[-2000:]}")
