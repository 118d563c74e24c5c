"""An outage, played: a real app on the real openai client, Prometheus, Alertmanager, and a receiver of their alerts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.stack.local import Plan, Stack
from huddle_otel.gateway import Gateway, Model, Rule, faults
from huddle_otel_dashboards.alerts import Intervals
from huddle_otel_dashboards.limits import Limits

TREE: Final = Path(__file__).parents[3]
KEY: Final = "sk-huddle-lab"
INTERVALS: Final = Intervals(scale=1 / 90, shortest=3, evaluation=0.5)
"""An hour is 40 s, and 5 minutes are 3.3 s."""
LIMITS: Final = Limits(p95=0.7, first_chunk=0.64, budget_usd_day=1, minimum=8)
HEALTHY: Final = "gpt-4.1"
_PRICED: Final = Decimal(1)
_DEAR: Final = Decimal(50_000)
"""USD per 1M tokens: 10 tokens of an answer come to half a dollar."""
_FAULTS: Final = {
    "down": faults.status(503),
    "locked": faults.expired_key(),
    "broke": faults.insufficient_quota(),
    "slow": faults.slow_success(1.0),
    "stream-slow": faults.slow_success(0.9),
}
_SOMETIMES: Final = {
    "limited": faults.rate_limited(),
    "stream-hanging": faults.hang(),
    "stream-stalling": faults.stall(after=2),
    "stream-cut": faults.cut(after=2),
}
FAILING: Final = (*_FAULTS, *_SOMETIMES, "flapping", "dear", "house-llama")
"""Models of the outage, one trouble each, so that each alert names the one it is about."""
ODD: Final = ("talkative", "typo")
"""What the third app does: its telemetry fails, and it has more model names than metrics keep apart."""


def models() -> list[Model]:
    priced = (HEALTHY, *_FAULTS, *_SOMETIMES, "flapping", "talkative")
    dear, unpriced = Model("dear", _DEAR, _DEAR), Model("house-llama")
    return [*(Model(name, _PRICED, _PRICED) for name in priced), dear, unpriced]


def rules() -> list[Rule]:
    return [
        *(Rule(fault, model=model) for model, fault in _FAULTS.items()),
        *(Rule(fault, model=model, rate=0.4) for model, fault in _SOMETIMES.items()),
        *(Rule(faults.status(500), model="flapping", after=4.0 * turn, until=4.0 * turn + 1.5) for turn in range(20)),
    ]


@dataclass(frozen=True, slots=True)
class Told:
    """One alert of one notification."""

    at: float
    """When it came, s since the epoch."""
    severity: str
    """Which receiver it was for, by the webhook's path."""
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def name(self) -> str:
        return "/".join(self.labels[label] for label in ("alertname", "burn") if label in self.labels)


@dataclass(slots=True)
class Receiver:
    """An HTTP server that Alertmanager's webhooks post to."""

    told: list[Told] = field(default_factory=list[Told])
    url: str = ""

    @contextmanager
    def listening(self) -> Generator[None]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.told += [
                    Told(time.time(), self.path.strip("/"), each["status"], each["labels"], each["annotations"])
                    for each in document["alerts"]
                ]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            self.url = f"http://127.0.0.1:{server.server_port}"
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            yield
            server.shutdown()

    def has(self, status: str, name: str, since: float = 0.0, **labels: str) -> Told | None:
        """Return the first such alert since a moment."""
        wanted = labels.items()
        return next(
            (
                each
                for each in list(self.told)
                if each.status == status and each.name == name and each.at >= since and wanted <= each.labels.items()
            ),
            None,
        )


class App:
    """The app as a process."""

    def __init__(self, gateway: Gateway, port: int, *, otlp: str) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "HUDDLE_OTEL_"))},
            "PYTHONPATH": str(TREE),
            "LAB_GATEWAY": gateway.url,
            "LAB_KEY": KEY,
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(port),
            "OTEL_METRIC_EXPORT_INTERVAL": "1000",
            "OTEL_EXPORTER_OTLP_ENDPOINT": otlp,
        }
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("app.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=self._environment, cwd=TREE)

    def call(self, *names: str) -> None:
        """Call these models from now on, and no others."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(names) + "\n")
        self._process.stdin.flush()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def plan(targets: dict[str, int], webhook: str) -> Plan:
    return Plan(targets=targets, limits=LIMITS, intervals=INTERVALS, scrape=0.5, webhook=webhook, longest=300)


def wait_for(condition: Callable[[], Any], patience: float, what: str, stack: Stack) -> None:
    """Wait until something holds."""
    until = time.monotonic() + patience
    while not condition():
        if time.monotonic() > until:
            firing = [each["metric"] for each in stack.ask("query", query="ALERTS")["result"]]
            raise AssertionError(f"not within {patience} s: {what}; in Prometheus: {firing}")
        time.sleep(0.05)
