"""An outage, played: a real app on the real openai client, Prometheus, Alertmanager, and a receiver of their alerts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.dashboards import Check, validate
from huddle_otel.cli.stack.local import Plan, Stack, running
from huddle_otel.cli.stack.processes import free_port, listens
from huddle_otel.cli.stack.receiver import Notice, Receiver
from huddle_otel.gateway import Gateway, Model, Rule, faults
from huddle_otel_dashboards.alerts import Intervals
from huddle_otel_dashboards.limits import Limits
from tests.exporters.collector import Metric

TREE: Final = Path(__file__).parents[3]
KEY: Final = "sk-huddle-lab"
INTERVALS: Final = Intervals(scale=1 / 60, shortest=4, evaluation=0.5)
"""An hour is a minute, and 5 minutes are 5 s."""
LIMITS: Final = Limits(p95=0.7, first_chunk=0.64, budget_usd_day=1, minimum=8)
HEALTHY: Final = "gpt-4.1"
_PRICED: Final = Decimal(1)
_DEAR: Final = Decimal(50_000)
"""USD per 1M tokens: 10 tokens of an answer come to half a dollar."""
_FAULTS: Final = {
    "down": faults.status(503),
    "locked": faults.expired_key(),
    "broke": faults.insufficient_quota(),
    "starved": faults.rate_limited(),
    "slow": faults.slow_success(1.0),
    "stream-slow": faults.slow_success(0.9),
}
_SOMETIMES: Final = {
    "limited": (faults.rate_limited(), 0.6),
    "stream-hanging": (faults.hang(), 0.2),
    "stream-stalling": (faults.stall(after=2), 0.2),
    "stream-cut": (faults.cut(after=2), 0.2),
}
"""Model -> fault, and the share of its requests; too small a share to open a circuit, or a fault that never does."""
_APPS: Final = {"shop": 60.0, "batch": 1.0, "odd": 60.0}
"""Job -> seconds between two pushes of its metrics; it is scraped as well."""
_QUIET: Final = 10.0
_PATIENCE: Final = 60.0
"""Seconds for each part of the story; an idle machine needs about half."""
FAILING: Final = (*_FAULTS, *_SOMETIMES, "flapping", "dear", "house-llama")
"""Models of the outage, one trouble each, so that each alert names the one it is about."""
ODD: Final = ("talkative", "limited", "typo")
"""What the third app does: its telemetry fails, its retries have no budget, it has too many model names for metrics."""


def models() -> list[Model]:
    priced = (HEALTHY, *_FAULTS, *_SOMETIMES, "flapping", "talkative")
    dear, unpriced = Model("dear", _DEAR, _DEAR), Model("house-llama")
    return [*(Model(name, _PRICED, _PRICED) for name in priced), dear, unpriced]


def rules() -> list[Rule]:
    return [
        *(Rule(fault, model=model) for model, fault in _FAULTS.items()),
        *(Rule(fault, model=model, rate=rate) for model, (fault, rate) in _SOMETIMES.items()),
        *(Rule(faults.status(500), model="flapping", after=5.0 * turn, until=5.0 * turn + 2.5) for turn in range(20)),
    ]


@dataclass(frozen=True, slots=True)
class Expected:
    """An alert of the outage."""

    labels: dict[str, str]
    quiet: bool = False
    """Alertmanager keeps it quiet, since a graver one tells of the same."""
    lasts: bool = False
    """Its windows are longer than this test waits for its end."""

    def __str__(self) -> str:
        return " ".join(self.labels.values())


def alert(name: str, model: str = "", *, quiet: bool = False, lasts: bool = False, **labels: str) -> Expected:
    about = {"job": "shop", "model": model} if model else {"job": "shop"}
    return Expected({"alertname": f"Huddle{name}", **about, **labels}, quiet, lasts)


EXPECTED: Final = (
    alert("ErrorBudgetBurn", burn="14.4"),
    alert("ErrorBudgetBurn", burn="6"),
    alert("ErrorBudgetBurn", burn="3", quiet=True, lasts=True),
    alert("ErrorBudgetBurn", burn="1", quiet=True, lasts=True),
    alert("CircuitOpen", "down"),
    alert("AuthenticationFailing", "locked"),
    alert("QuotaExhausted", "broke"),
    alert("CircuitFlapping", "flapping"),
    alert("Timeouts", "stream-hanging", result="first_token_timeout"),
    alert("RateLimited", "limited"),
    alert("RateLimited", "broke", quiet=True),
    alert("RetryBudgetEmpty", "starved"),
    alert("RetryBudgetEmpty", "down", quiet=True),
    alert("Amplification", "limited", job="odd"),
    alert("LatencyHigh", "slow"),
    alert("FirstTokenSlow", "stream-slow"),
    alert("StreamsStalling", "stream-stalling"),
    alert("StreamsCutShort", "stream-cut"),
    alert("BudgetUsed", budget="total", lasts=True),
    alert("DailyBudgetUsed", lasts=True),
    alert("BudgetNearlyUsed", budget="last 24 h", quiet=True, lasts=True),
    alert("SpendRateHigh", lasts=True),
    alert("UnpricedModel", "house-llama", lasts=True),
    alert("ScrapeDown", job="batch"),
    alert("TelemetryAbsent", job="batch", quiet=True),
    alert("TelemetryDropped", job="odd", component="content", lasts=True),
    alert("ModelsOverflow", job="odd", lasts=True),
)
"""All but `SpendAnomaly`, which compares with a day of history, and that is 24 minutes here."""


class Told(Receiver):
    """What Alertmanager told, to be asked about an alert."""

    def first(self, status: str, expected: Expected, since: float) -> Notice | None:
        """Return the first notice of an alert since a moment, s since the epoch."""
        return next((each for each in self.of(expected) if each.status == status and each.at >= since), None)

    def is_over(self, expected: Expected) -> bool:
        """Tell whether an alert was told, and then that it is over."""
        return [each.status for each in self.of(expected)][-1:] == ["resolved"]

    def of(self, expected: Expected) -> list[Notice]:
        """Return every notice of an alert."""
        return [each for each in list(self.told) if expected.labels.items() <= each.labels.items()]


class App:
    """The app as a process."""

    def __init__(self, job: str, gateway: Gateway, *, otlp: str, interval: float) -> None:
        self.port = free_port()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "HUDDLE_OTEL_"))},
            "PYTHONPATH": str(TREE),
            "LAB_GATEWAY": gateway.url,
            "LAB_KEY": KEY,
            "OTEL_SERVICE_NAME": job,
            "OTEL_EXPORTER_PROMETHEUS_PORT": str(self.port),
            "OTEL_METRIC_EXPORT_INTERVAL": f"{interval * 1_000:.0f}",
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


@dataclass(slots=True)
class Story:
    """What happened, to be asked about afterwards."""

    receiver: Told
    quiet: tuple[float, float] = (0.0, 0.0)
    """When all was well, s since the epoch."""
    began: float = 0.0
    recovered: float = 0.0
    pushed: list[Metric] = field(default_factory=list[Metric])
    """What an OTLP collector received."""
    scraped: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    """Labels of every series of `batch`, as Prometheus has scraped it."""
    checks: list[Check] = field(default_factory=list[Check])
    """What came of every query of boards and rules, while all was failing."""
    history: list[tuple[dict[str, str], list[float]]] = field(default_factory=list[tuple[dict[str, str], list[float]]])
    """Labels of each alert in Prometheus, its state among them, and the moments it was in it, s since the epoch."""

    def moments(self, state: str, labels: dict[str, str]) -> list[float]:
        wanted = {**labels, "alertstate": state}.items()
        return sorted(at for series, times in self.history if wanted <= series.items() for at in times)


def plan(apps: Mapping[str, App], receiver: Receiver, **more: Any) -> Plan:
    """Watch apps, and tell a receiver."""
    targets = {job: app.port for job, app in apps.items()}
    always: Any = {"limits": LIMITS, "intervals": INTERVALS, "scrape": 1, "longest": 300}
    return Plan(targets=targets, webhook=receiver.url, **always, **more)


def play(gateway: Gateway, otlp: str, folder: Path) -> Story:
    """Play ten quiet seconds, an outage, and the recovery."""
    apps = {job: App(job, gateway, otlp=otlp, interval=every) for job, every in _APPS.items()}
    with ExitStack() as stack:
        story = Story(Told())
        stack.enter_context(story.receiver.listening())
        for app in apps.values():
            stack.callback(app.kill)
            app.start()
            app.call(HEALTHY)
        wait_for(lambda: all(listens(app.port) for app in apps.values()))
        local = stack.enter_context(running(plan(apps, story.receiver), folder))
        _play(story, apps, gateway, local)
    return story


def _play(story: Story, apps: dict[str, App], gateway: Gateway, stack: Stack) -> None:
    wait_for(lambda: len(stack.ask("query", query="huddle_client_calls_total > 2")["result"]) == len(apps))
    story.quiet = time.time(), time.time() + _QUIET
    wait_for(lambda: time.time() > story.quiet[1])
    story.scraped = stack.ask("series", **{"match[]": '{job="batch", otel_scope_name="huddle_otel"}'})
    gateway.script(rules())
    story.began = time.time()
    apps["shop"].call(HEALTHY, *FAILING)
    apps["odd"].call(HEALTHY, *ODD)
    apps["batch"].kill()
    loud = [each for each in EXPECTED if not each.quiet]
    wait_for(lambda: all(story.receiver.first("firing", each, story.began) for each in loud))
    silent = [each for each in EXPECTED if each.quiet]
    wait_for(lambda: all(_firing(stack, each) for each in silent))
    story.checks = validate(stack.prometheus, seconds=120, scrape=1)
    gateway.script([])
    story.recovered = time.time()
    apps["shop"].call(HEALTHY, "down", "locked", "limited", "starved", "flapping")
    apps["odd"].call(HEALTHY)
    apps["batch"].start()
    apps["batch"].call(HEALTHY)
    brief = [each for each in loud if not each.lasts]
    wait_for(lambda: all(story.receiver.is_over(each) for each in brief))
    found = stack.ask("query_range", query="ALERTS", start=story.quiet[0], end=time.time(), step=0.5)["result"]
    story.history = [(each["metric"], [float(at) for at, _ in each["values"]]) for each in found]


def _firing(stack: Stack, expected: Expected) -> bool:
    matchers = ", ".join(f'{label}="{value}"' for label, value in expected.labels.items())
    return bool(stack.ask("query", query=f'ALERTS{{alertstate="firing", {matchers}}}')["result"])


def wait_for(condition: Callable[[], Any]) -> None:
    """Wait for something; who has waited in vain says of what, in the tests below."""
    until = time.monotonic() + _PATIENCE
    while not condition() and time.monotonic() < until:
        time.sleep(0.1)
