"""An OTLP collector, where one is installed: rotel, from PyPI."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from huddle_otel.cli.stack.processes import free_port, listens, server


@contextmanager
def collecting(folder: Path, *, longest: float) -> Generator[str | None]:
    """Run rotel until the block ends; it counts in its log what it receives, and keeps nothing.

    Args:
        folder: For its log.
        longest: Seconds after which it has ended.

    Returns:
        The endpoint for OTLP over HTTP; None where rotel is not installed.

    Raises:
        StackError: It does not start.
    """
    spec = find_spec("rotel")
    if spec is None or spec.origin is None:
        yield None
        return
    grpc, http = free_port(), free_port()
    command = [
        str(Path(spec.origin).with_name("rotel-agent")),
        *("start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log", "metrics"),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"),
    ]
    with server("rotel", command, log=folder / "rotel.log", ready=partial(listens, http), longest=longest):
        yield f"http://127.0.0.1:{http}"
