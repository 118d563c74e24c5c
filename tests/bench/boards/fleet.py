"""A day of a fleet's metrics, made up: what each process would expose, as OpenMetrics."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO, Final

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Kind, Metric
from huddle_otel_dashboards.alerts.money import COST
from huddle_otel_dashboards.alerts.objective import BAD, VALID, ratio
from huddle_otel_dashboards.series import label, series

BLOCK: Final = 7_200
"""Seconds of a block of Prometheus."""
_OUTCOMES: Final = (
    ("ok", "", 0.97),
    *(("error", cause, 0.002) for cause in ("429", "500", "502", "503", "504", "connect_error", "read_timeout")),
    ("error", "first_token_timeout", 0.002),
    ("rejected", "breaker_open", 0.004),
    ("rejected", "bulkhead_full", 0.0),
    ("rejected", "rate_limited", 0.002),
    ("blocked", "budget_exceeded", 0.0),
)
"""Outcome, error.type, share of the calls: the series that every model has."""
_VALUES: Final = {
    "source": ("gateway",),
    "type": ("input", "output", "cache_read", "requests", "tokens"),
    "result": ("ok", "503", "429"),
    "class": ("",),
    "reason": ("breaker_open", "bulkhead_full", "rate_limited", "budget_exceeded"),
    "kind": ("truncated", "error_event", "disconnect", "stall", "malformed"),
    "component": ("spans", "metrics", "reading", "spend", "content", "ledger"),
    "budget": ("day",),
    contract.BREAKER_FROM: ("closed", "open", "half_open"),
    contract.TOKEN_TYPE: ("input", "output"),
}
"""Attribute -> the values it has in the made-up fleet; what is not here is set per process and model."""
_WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Its size, and how it is sampled."""

    models: int
    instances: int
    each: int
    """Models that each instance calls."""
    hours: int
    step: int
    """Seconds between two samples."""
    seed: int = 1

    @property
    def samples(self) -> int:
        """How many samples of one series there are."""
        return self.hours * 3_600 // self.step


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its name with labels, and how it goes."""

    name: str
    per_second: float
    """Growth of a counter; 0 for a gauge and for what never happens."""
    level: float = 0.0
    """Value at the start."""

    def write(self, file: IO[str], times: range, begin: int) -> None:
        """Write a sample for each time."""
        name, rate, level = self.name, self.per_second, self.level
        if rate:
            file.write("".join([f"{name} {level + rate * (at - begin):.6g} {at}\n" for at in times]))
        else:
            file.write("".join([f"{name} {level:g} {at}\n" for at in times]))


def lines(fleet: Fleet) -> list[Line]:
    """Return every series."""
    random = Random(fleet.seed)
    found: list[Line] = []
    for number in range(fleet.instances):
        target = {"job": "shop", "instance": f"10.0.0.{number}:9464"}
        found += _of_process(target)
        for turn in range(fleet.each):
            model = f"vendor/model-{(number * fleet.each + turn) % fleet.models:02}"
            for metric in contract.METRICS:
                found += _of_model(metric, target, model, calls=random.uniform(0.02, 2.0))
    return found + list(_recorded(fleet))


def _of_process(target: dict[str, str]) -> Iterator[Line]:
    yield Line(_name("up", target), 0, 1)
    for component in _VALUES["component"]:
        yield Line(_name(series(contract.TELEMETRY_ERRORS), {**target, "component": component}), 0)
    for metric, level in ((contract.BUDGET_USED, 31.0), (contract.BUDGET_LIMIT, 50.0)):
        yield Line(_name(series(metric), {**target, "budget": "day"}), 0, level)


def _of_model(metric: Metric, target: dict[str, str], model: str, *, calls: float) -> Iterator[Line]:
    if metric in {contract.TELEMETRY_ERRORS, contract.BUDGET_USED, contract.BUDGET_LIMIT}:
        return
    if metric is contract.CALLS:
        for outcome, cause, share in _OUTCOMES:
            labels = {contract.OPERATION: "chat", contract.MODEL: model, contract.OUTCOME: outcome}
            yield Line(_name(series(metric), {**target, **labels, contract.ERROR_TYPE: cause}), calls * share)
        return
    for labels in _combinations(metric, model):
        if metric.kind is Kind.HISTOGRAM:
            yield from _histogram(metric, {**target, **labels}, calls)
        else:
            growing = metric.kind is Kind.COUNTER
            yield Line(_name(series(metric), {**target, **labels}), calls / 100 if growing else 0, 0 if growing else 2)


def _histogram(metric: Metric, labels: dict[str, str], calls: float) -> Iterator[Line]:
    name, bounds = series(metric), [*map(str, metric.buckets), "+Inf"]
    for index, bound in enumerate(bounds):
        reached = min(1.0, (index + 1) / (len(bounds) - 3))
        yield Line(_name(f"{name}_bucket", {**labels, "le": bound}), calls * reached)
    yield Line(_name(f"{name}_count", labels), calls)
    yield Line(_name(f"{name}_sum", labels), calls * 2.5)


def _combinations(metric: Metric, model: str) -> list[dict[str, str]]:
    own = {
        contract.OPERATION: ("chat",),
        contract.PROVIDER: ("huddle01",),
        contract.MODEL: (model,),
        contract.REQUEST_MODEL: (model,),
        contract.RESPONSE_MODEL: (model,),
        contract.SERVER_ADDRESS: ("gateway.example",),
        contract.CIRCUIT: (f"gateway.example/{model}/chat",),
        contract.OUTCOME: ("error", "truncated", "cancelled", "abandoned"),
        contract.BREAKER_TO: ("open",),
        "tags": ("search",),
    }
    found: list[dict[str, str]] = [{}]
    for attribute in metric.attributes:
        values = own.get(attribute, _VALUES.get(attribute, ()))
        name = "team" if attribute == "tags" else attribute
        found = [{**labels, name: value} for labels in found for value in values or ("",)]
    return found


def _recorded(fleet: Fleet) -> Iterator[Line]:
    """Yield what the recording rules would have made of it."""
    for number in range(fleet.models):
        labels = {"job": "shop", "model": f"vendor/model-{number:02}"}
        for name, level in ((VALID, 250.0), (BAD, 2.0), (COST, 0.2)):
            yield Line(_name(name, labels), 0, level)
    for window in _WINDOWS:
        yield Line(_name(ratio(window), {"job": "shop"}), 0, 0.008)


def _name(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{label(key)}="{value}"' for key, value in labels.items() if value)
    return f"{name}{{{inside}}}"


def build(fleet: Fleet, folder: Path, end: int) -> int:
    """Make Prometheus' blocks of it, one after the other, so that no file grows large.

    Args:
        fleet: What to make.
        folder: Where Prometheus will look for its data.
        end: Unix time of the last sample, s, a multiple of `BLOCK`.

    Returns:
        How many series there are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    all_lines, begin = lines(fleet), end - fleet.hours * 3_600
    text = folder.with_suffix(".om")
    for start in range(begin, end, BLOCK):
        with text.open("w") as file:
            for line in all_lines:
                line.write(file, range(start, min(start + BLOCK, end), fleet.step), begin)
            file.write("# EOF\n")
        subprocess.run(
            ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, folder],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    text.unlink()
    return len(all_lines)
