"""A real app on a bad day, for tests of what is told of its calls, and by a real Prometheus."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from huddle_otel.cli.prometheus import Prometheus
from huddle_otel.gateway import Gateway
from tests.cli.bad_day import RULES
from tests.client.support import KEY

ROOT: Final = Path(__file__).parents[2]
PATIENCE: Final = 20.0


@contextmanager
def bad_day(ledger: Path, *exporters: str, **environment: object) -> Iterator[None]:
    """Run the app beside a gateway until the end of the block; it has made its calls, and waits."""
    with Gateway(RULES, key=KEY) as gateway:
        variables = {
            "APP_EXPORTERS": ",".join(("ledger", *exporters)),
            "HUDDLE_API_KEY": KEY,
            "HUDDLE_OTEL_BASE_URL": gateway.url,
            "HUDDLE_OTEL_LEDGER": ledger,
            "HUDDLE_OTEL_RETRY_BASE": "0.01",
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.bad_day"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        )
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "done\n":
                process.kill()
                raise AssertionError(process.communicate()[1])
            yield
        finally:
            process.communicate(timeout=30)


def eventually(server: Prometheus, query: str) -> None:
    """Ask until there is something."""
    until = time.monotonic() + PATIENCE
    while not server.instant(query, time=time.time()):
        assert time.monotonic() < until, query
        time.sleep(0.1)
