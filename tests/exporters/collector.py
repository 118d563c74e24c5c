"""A real OTLP collector, rotel, that prints what it receives; and what it printed, as data."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.stack.collector import program

_ATTRIBUTE: Final = re.compile(r" +-> (?P<name>[^:]+): (?P<kind>\w+)\((?P<value>.*)\)$")
_PATIENCE: Final = 15.0


@dataclass(slots=True)
class Point:
    """One point of a metric; of a histogram, its count."""

    attributes: dict[str, str]
    resource: dict[str, str]
    value: float = 0.0


@dataclass(slots=True)
class Metric:
    """One metric as it was received once."""

    name: str = ""
    unit: str = ""
    kind: str = ""
    monotonic: bool = False
    points: list[Point] = field(default_factory=list)


@dataclass(slots=True)
class Span:
    """One span as it was received."""

    resource: dict[str, str]
    name: str = ""
    identifier: str = ""
    scope: str = ""
    attributes: dict[str, str] = field(default_factory=dict)


class Rotel:
    """The collector as a subprocess, on two free ports of 127.0.0.1."""

    def __init__(self, folder: Path, *, grpc: int, http: int) -> None:
        agent = program()
        assert agent is not None
        self.grpc, self.http = f"http://127.0.0.1:{grpc}", f"http://127.0.0.1:{http}"
        self._log = folder / "rotel.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    agent,
                    *("start", "--exporter", "blackhole", "--debug-log-verbosity", "detailed"),
                    *("--debug-log", "traces", "--debug-log", "metrics"),
                    *("--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.wait_for(lambda: "Starting Rotel" in self._log.read_text())

    def stop(self) -> None:
        """End the collector."""
        self._process.terminate()
        self._process.wait(_PATIENCE)

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until something has come in."""
        until = time.monotonic() + _PATIENCE
        while not condition():
            assert self._process.poll() is None, self._log.read_text()[:2000]
            assert time.monotonic() < until, self._log.read_text()[-3000:]
            time.sleep(0.02)

    @property
    def spans(self) -> list[Span]:
        """Every span so far."""
        return self._received()[0]

    @property
    def calls(self) -> list[Span]:
        """Every span of a call so far."""
        return [span for span in self.spans if span.scope == "huddle_otel"]

    @property
    def metrics(self) -> list[Metric]:
        """Every metric so far, once for each time it came."""
        return self._received()[1]

    def last(self, name: str) -> dict[str, float]:
        """Latest sum of a cumulative metric's points, by the instance it came from."""
        latest: dict[str, float] = {}
        for metric in self.metrics:
            if metric.name == name:
                sums: dict[str, float] = {}
                for point in metric.points:
                    instance = point.resource["service.instance.id"]
                    sums[instance] = sums.get(instance, 0) + point.value
                latest |= sums
        return latest

    def _received(self) -> tuple[list[Span], list[Metric]]:  # noqa: C901 - a branch for each kind of line
        spans: list[Span] = []
        metrics: list[Metric] = []
        resource: dict[str, str] = {}
        attributes: dict[str, str] = {}
        scope = ""
        for line in self._log.read_text().splitlines():
            key, _, value = (part.strip() for part in line.partition(": "))
            if found := _ATTRIBUTE.match(line):
                attributes[found["name"]] = found["value"]
            elif line.startswith(("ResourceSpans #", "ResourceMetrics #")):
                resource = attributes = {}
            elif line.startswith("InstrumentationScope "):
                scope = line.split()[1]
                attributes = {}
            elif line.startswith("Span #"):
                spans.append(Span(resource, scope=scope))
                attributes = spans[-1].attributes
            elif line.startswith("SpanEvent"):
                attributes = {}
            elif line.startswith("Metric #"):
                metrics.append(Metric())
            elif "DataPoints #" in line:
                attributes = {}
                metrics[-1].points.append(Point(attributes, resource))
            elif spans and key in {"Name", "ID"} and not line.startswith("     ->"):
                setattr(spans[-1], {"Name": "name", "ID": "identifier"}[key], value)
            elif metrics and key in {"-> Name", "-> Unit", "-> DataType"}:
                setattr(metrics[-1], {"-> Name": "name", "-> Unit": "unit", "-> DataType": "kind"}[key], value)
            elif metrics and key == "-> IsMonotonic":
                metrics[-1].monotonic = value == "true"
            elif metrics and metrics[-1].points and key in {"Value", "Count"}:
                metrics[-1].points[-1].value = float(value)
        return spans, metrics
