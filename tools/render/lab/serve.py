"""Run a command while Prometheus serves a recording.

python -m tools.render.lab.serve FOLDER COMMAND ...     # {url} and {end} stand for its URL and its last moment
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.dashboards.server import prometheus

SCRAPE: Final = 5
"""Seconds between scrapes: fine enough for pictures of ten minutes."""
_FLAGS: Final = ("--enable-feature=exemplar-storage", "--storage.tsdb.retention.time=10y")


@contextmanager
def serving(folder: Path, *, target: str = "", rules: Sequence[Path] = ()) -> Iterator[str]:
    """Run Prometheus over a folder of data that outlives it.

    Args:
        folder: Made when missing.
        target: Address to scrape, for the job `shop`; empty: only what is stored is served.
        rules: Files of alert and recording rules.

    Yields:
        Its URL.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what ends us ends Prometheus too
    files = ", ".join(f'"{path.resolve()}"' for path in rules)
    jobs = f'[{{job_name: shop, static_configs: [{{targets: ["{target}"]}}]}}]' if target else "[]"
    config = (
        f"global: {{scrape_interval: {SCRAPE}s, scrape_timeout: {SCRAPE}s, evaluation_interval: {SCRAPE}s}}\n"
        f"rule_files: [{files}]\nscrape_configs: {jobs}\n"
    )
    with prometheus(folder, config, *_FLAGS) as url:
        yield url


def main() -> int:
    """Run the command; returns its exit code."""
    folder, *command = sys.argv[1:]
    end = (Path(folder) / "end").read_text().strip()
    with serving(Path(folder)) as url:
        filled = [part.format(url=url, end=end) for part in command]
        return subprocess.run(filled, check=False).returncode  # noqa: S603 - the command is the caller's own


if __name__ == "__main__":
    sys.exit(main())
