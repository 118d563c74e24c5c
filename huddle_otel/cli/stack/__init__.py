"""`huddle-otel demo --stack`: the demo's traffic, watched by Prometheus and Alertmanager on this machine."""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console

from huddle_otel.cli.demo import run, scenario
from huddle_otel.cli.environment import without
from huddle_otel.cli.output import plain
from huddle_otel.cli.stack.collector import collecting
from huddle_otel.cli.stack.local import Plan, Stack, running
from huddle_otel.cli.stack.processes import StackError, free_port
from huddle_otel.cli.stack.receiver import Notice, Receiver
from huddle_otel_dashboards.alerts import Intervals
from huddle_otel_dashboards.limits import Limits
from huddle_otel_exporters import Pipeline, set_up

__all__ = ["StackError", "show"]

_ROUND: Final = 60.0
"""About the length of the demo's script, s; it is played again and again."""
_INTERVALS: Final = Intervals(scale=1 / 20, shortest=5, evaluation=1)
"""An hour of the rules is three minutes, so that alerts come and go while one looks."""
_GRACE: Final = 60.0
"""Seconds that servers may outlive the traffic, should this process be killed."""
_WHERE: Final = """\
Prometheus     {prometheus}/alerts
               {prometheus}/graph?g0.expr={expr}&g0.tab=0&g0.range_input=10m
Alertmanager   {alertmanager}
OTLP collector {collector}
The app        http://127.0.0.1:{port}/metrics

An hour of the alerts' windows is 3 minutes here. Ends by itself in {minutes:g} min, or
with Ctrl-C, and leaves nothing behind. Grafana with our boards: stack/README.md
"""
_EXPR: Final = "sum%20by%20(model%2C%20huddle_outcome)%20(rate(huddle_client_calls_total%5B15s%5D))"


def show(console: Console, *, seconds: float, seed: int) -> int:
    """Run everything, print where to look and each alert as it comes. Returns the exit code.

    Args:
        console: To print on.
        seconds: How long.
        seed: Of the traffic.

    Raises:
        StackError: A server is not installed, or does not start.
    """
    receiver, port = Receiver(), free_port()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="huddle-otel-")))
        stack.enter_context(receiver.listening())
        collector = stack.enter_context(collecting(folder, longest=seconds + _GRACE))
        plan = Plan(
            targets={"demo": port},
            limits=Limits(budget_usd_day=1, minimum=10),
            intervals=_INTERVALS,
            scrape=1,
            webhook=receiver.url,
            longest=seconds + _GRACE,
        )
        local = stack.enter_context(running(plan, folder))
        pipeline = _pipeline(port, collector)  # only now: what it sets for the process, nothing can take back
        stack.callback(pipeline.shutdown)
        console.print(plain(_where(local, collector, port, seconds)), soft_wrap=True)  # addresses stay whole
        _play(console, receiver, pipeline, seconds, seed)
    return 0


def _pipeline(port: int, collector: str | None) -> Pipeline:
    """Set up the exporters, whatever the environment says."""
    names, given = ["prometheus"], {"OTEL_EXPORTER_PROMETHEUS_PORT": str(port), "OTEL_SERVICE_NAME": "demo"}
    if collector is not None:
        names.append("otlp")
        given["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector
    with without("OTEL_"):
        os.environ.update(given)
        try:
            return set_up(names)
        finally:
            for name in given:
                del os.environ[name]


def _where(local: Stack, collector: str | None, port: int, seconds: float) -> str:
    return _WHERE.format(
        prometheus=local.prometheus,
        alertmanager=local.alertmanager,
        collector=collector or "not installed (pip install rotel), or without Python's shared library",
        port=port,
        expr=_EXPR,
        minutes=round(seconds / 60, 1),
    )


def _play(console: Console, receiver: Receiver, pipeline: Pipeline, seconds: float, seed: int) -> None:
    """Play the demo's script until the time is up; print what Alertmanager tells meanwhile."""
    began, read, phase = time.monotonic(), 0, ""
    known: dict[str, str] = {}
    rounds = max(round(seconds / _ROUND), 1)
    length = seconds / rounds

    def tick(moment: float, _results: object) -> None:
        nonlocal read, phase
        at = time.monotonic() - began
        now = scenario.phase_at(moment, length)
        if now.name != phase:
            phase = now.name
            console.print(plain(f"{at:6.1f} s  {phase:<13} {now.story}", "dim"))
        for notice in receiver.told[read:]:
            read += 1
            name = _name(notice)
            if known.get(name) != notice.status:  # Alertmanager tells all of a group when one of it changes
                known[name] = notice.status
                line = f"{at:6.1f} s  {notice.status:<9}{notice.receiver:<7}{name}"
                console.print(plain(line, _STYLES[notice.status]))

    for _ in range(rounds):
        run.instrumented(length, seed=seed, telemetry=pipeline, tick=tick)


_STYLES: Final = {"firing": "red", "resolved": "green"}


def _name(notice: Notice) -> str:
    """Return the alert's name and what it is about."""
    about = (notice.labels.get(label, "") for label in ("model", "burn", "budget"))
    return " ".join((notice.labels["alertname"], *filter(None, about)))
