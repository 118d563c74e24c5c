"""Prometheus with our rules, and Alertmanager with our routing, on loopback: what a cluster would run, for a while."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.stack.processes import answers, find, free_port, server
from huddle_otel_dashboards.alerts import Intervals, render_routing, render_rules
from huddle_otel_dashboards.alerts.model import duration
from huddle_otel_dashboards.alerts.yaml import Value, dump
from huddle_otel_dashboards.limits import Limits

_HOST: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to watch, and how closely."""

    targets: Mapping[str, int]
    """Job -> port on which its process serves `/metrics`."""
    limits: Limits = field(default_factory=Limits)
    intervals: Intervals = field(default_factory=Intervals)
    scrape: float = 15.0
    """Seconds between two scrapes."""
    webhook: str
    """Where Alertmanager tells of alerts: base URL."""
    longest: float = 900.0
    """Seconds after which everything has ended."""
    prometheus: str = "prometheus"
    """The program."""
    options: tuple[str, ...] = ()
    """Further ones for Prometheus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Addresses of what runs."""

    prometheus: str
    alertmanager: str

    def ask(self, path: str, **arguments: str | float) -> Any:
        """Ask Prometheus' API, and return the `data` of its answer.

        Raises:
            OSError: Nobody answers, or the answer is an error.
        """
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/{path}?{query}") as answer:  # noqa: S310 - on loopback
            return json.load(answer)["data"]


@contextmanager
def running(plan: Plan, folder: Path) -> Generator[Stack]:
    """Run Prometheus and Alertmanager until the block ends.

    Args:
        plan: What to watch.
        folder: For configuration, data and logs; the caller removes it.

    Raises:
        StackError: One of them is not installed, or does not start.
    """
    prometheus = find([plan.prometheus], "prometheus")
    alertmanager = find(["alertmanager", "prometheus-alertmanager"], "prometheus-alertmanager")
    ports = {"prometheus": free_port(), "alertmanager": free_port()}
    _configure(plan, folder, ports["alertmanager"])
    urls = {name: f"http://{_HOST}:{port}" for name, port in ports.items()}
    commands = {
        "alertmanager": [
            alertmanager,
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'alertmanager'}",
            f"--web.listen-address={_HOST}:{ports['alertmanager']}",
            "--cluster.listen-address=",
        ],
        "prometheus": [
            prometheus,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={_HOST}:{ports['prometheus']}",
            "--enable-feature=exemplar-storage",
            *plan.options,
        ],
    }
    with ExitStack() as servers:
        for name, command in commands.items():
            ready = partial(answers, f"{urls[name]}/-/ready")
            log = folder / f"{name}.log"
            servers.enter_context(server(name, command, log=log, ready=ready, longest=plan.longest))
        yield Stack(**urls)


def _configure(plan: Plan, folder: Path, alertmanager: int) -> None:
    """Write the three files of configuration."""
    jobs: list[Value] = [
        {"job_name": job, "static_configs": [{"targets": [f"{_HOST}:{port}"]}]} for job, port in plan.targets.items()
    ]
    config: dict[str, Value] = {
        "global": {
            "scrape_interval": duration(plan.scrape),
            "scrape_timeout": duration(plan.scrape),
            "evaluation_interval": duration(plan.intervals.evaluation),
        },
        "rule_files": ["alerts.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"{_HOST}:{alertmanager}"]}]}]},
        "scrape_configs": jobs,
    }
    (folder / "prometheus.yml").write_text(dump(config), encoding="utf-8")
    (folder / "alerts.yml").write_text(render_rules(plan.limits, intervals=plan.intervals), encoding="utf-8")
    routing = render_routing(webhook=plan.webhook, intervals=plan.intervals)
    (folder / "alertmanager.yml").write_text(routing, encoding="utf-8")
