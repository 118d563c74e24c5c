"""A real Prometheus on loopback, for as long as a `with` block lasts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from huddle_otel.cli.stack.processes import answers, free_port, server

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
