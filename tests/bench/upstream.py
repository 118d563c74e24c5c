"""The embedded gateway in a process of its own, so that its CPU time is not the client's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

KEY = "sk-huddle-bench"
_SERVE = f"""
import sys
from decimal import Decimal
from huddle_otel.gateway import Gateway, Model
model = Model(id="gpt-4.1", input_per_1m=Decimal(2), output_per_1m=Decimal(8), chunks=int(sys.argv[1]))
with Gateway(models=[model], key={KEY!r}) as gateway:
    print(gateway.url, flush=True)
    sys.stdin.read()  # ends when the parent does
"""


@contextmanager
def upstream(chunks: int) -> Iterator[str]:
    """Serve answers, streams in `chunks` content chunks; yields the base URL."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(chunks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
