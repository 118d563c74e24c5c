"""An OTLP collector, where one is installed: rotel, from PyPI."""

from __future__ import annotations

import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

from huddle_otel.cli.stack.processes import free_port, listens, server


@cache
def program() -> Path | None:
    """Return rotel's program; None where it is not installed or cannot run, as where Python has no shared library."""
    spec = find_spec("rotel")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).with_name("rotel-agent")
    done = subprocess.run([found, "--version"], capture_output=True, check=False)  # noqa: S603 - an installed package's program
    return None if done.returncode else found


@contextmanager
def collecting(folder: Path, *, longest: float) -> Generator[str | None]:
    """Run rotel until the block ends; it counts in its log what it receives, and keeps nothing.

    Args:
        folder: For its log.
        longest: Seconds after which it has ended.

    Returns:
        The endpoint for OTLP over HTTP; None where there is no rotel that runs.

    Raises:
        StackError: It does not start.
    """
    rotel = program()
    if rotel is None:
        yield None
        return
    grpc, http = free_port(), free_port()
    command = [
        str(rotel),
        *("start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log", "metrics"),
        *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"),
    ]
    with server("rotel", command, log=folder / "rotel.log", ready=partial(listens, http), longest=longest):
        yield f"http://127.0.0.1:{http}"
