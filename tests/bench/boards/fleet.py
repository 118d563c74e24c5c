"""A fleet's metrics, made up: what each process would expose, and what rules would record of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Kind, Metric
from huddle_otel_dashboards.alerts.fleet import AGGREGATES, RATE, Fleet
from huddle_otel_dashboards.alerts.money import COST
from huddle_otel_dashboards.alerts.objective import BAD, VALID, ratio
from huddle_otel_dashboards.series import label, series

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
_TOGETHER: Final[Mapping[str, Callable[[list[float]], float]]] = {
    RATE: sum,
    "sum": sum,
    "max": max,
    "min": min,
    "count": len,
}
"""Operation of what is recorded -> what it makes of the processes' values."""
_NOISE: Final = 0.2
_WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large a fleet is."""

    models: int
    instances: int
    each: int
    """Models that each instance calls."""
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series, and how it goes."""

    name: str
    labels: Mapping[str, str]
    per_second: float = 0.0
    """Growth of a counter; 0 for a gauge and for what never happens."""
    level: float = 0.0
    """Value at the start."""
    noise: float = 0.0
    """Share by which values differ from one to the next: a level that stays costs Prometheus next to nothing."""

    def text(self, times: range, begin: int) -> str:
        """Return a sample for each time, as OpenMetrics."""
        inside = ",".join(f'{label(key)}="{value}"' for key, value in self.labels.items() if value)
        name, rate, level = f"{self.name}{{{inside}}}", self.per_second, self.level
        if self.noise:
            random = Random(f"{name}{times.start}")
            values = [level * random.uniform(1 - self.noise, 1 + self.noise) for _ in times]
        else:
            values = [level + rate * (at - begin) for at in times]
        return "".join([f"{name} {value:.6g} {at}\n" for value, at in zip(values, times, strict=True)])


def exposed(fleet: Size) -> list[Line]:
    """Return every series of every process."""
    random = Random(fleet.seed)
    found: list[Line] = []
    for number in range(fleet.instances):
        target = {"job": "shop", "instance": f"10.0.0.{number}:9464"}
        found += _of_process(target)
        for turn in range(fleet.each):
            model = f"vendor/model-{(number * fleet.each + turn) % fleet.models:02}"
            for metric in contract.METRICS:
                found += _of_model(metric, target, model, calls=random.uniform(0.02, 2.0))
    return found


def _of_process(target: dict[str, str]) -> Iterator[Line]:
    yield Line(name="up", labels=target, level=1)
    for component in _VALUES["component"]:
        yield Line(name=series(contract.TELEMETRY_ERRORS), labels={**target, "component": component})
    for metric, level in ((contract.BUDGET_USED, 31.0), (contract.BUDGET_LIMIT, 50.0)):
        yield Line(name=series(metric), labels={**target, "budget": "day"}, level=level)


def _of_model(metric: Metric, target: dict[str, str], model: str, *, calls: float) -> Iterator[Line]:
    if metric in {contract.TELEMETRY_ERRORS, contract.BUDGET_USED, contract.BUDGET_LIMIT}:
        return
    if metric is contract.CALLS:
        for outcome, cause, share in _OUTCOMES:
            labels = {contract.OPERATION: "chat", contract.MODEL: model, contract.OUTCOME: outcome}
            cause_of = {**target, **labels, contract.ERROR_TYPE: cause}
            yield Line(name=series(metric), labels=cause_of, per_second=calls * share)
        return
    for labels in _combinations(metric, model):
        if metric.kind is Kind.HISTOGRAM:
            yield from _histogram(metric, {**target, **labels}, calls)
        else:
            level = 0.0 if metric is contract.BREAKER else 2.0  # circuits are closed
            how = {"per_second": calls / 100} if metric.kind is Kind.COUNTER else {"level": level}
            yield Line(name=series(metric), labels={**target, **labels}, **how)


def _histogram(metric: Metric, labels: dict[str, str], calls: float) -> Iterator[Line]:
    name, bounds = series(metric), [*map(str, metric.buckets), "+Inf"]
    for index, bound in enumerate(bounds):
        reached = min(1.0, (index + 1) / (len(bounds) - 3))
        yield Line(name=f"{name}_bucket", labels={**labels, "le": bound}, per_second=calls * reached)
    yield Line(name=f"{name}_count", labels=labels, per_second=calls)
    yield Line(name=f"{name}_sum", labels=labels, per_second=calls * 2.5)


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


def objective(fleet: Size) -> Iterator[Line]:
    """Yield what every fleet's rules record."""
    for number in range(fleet.models):
        labels = {"job": "shop", "model": f"vendor/model-{number:02}"}
        for name, level in ((VALID, 250.0), (BAD, 2.0), (COST, 0.2)):
            yield Line(name=name, labels=labels, level=level, noise=_NOISE)
    for window in _WINDOWS:
        yield Line(name=ratio(window), labels={"job": "shop"}, level=0.008, noise=_NOISE)


def recorded(exposed: Iterable[Line]) -> Iterator[Line]:
    """Yield what the rules for a fleet's boards would make of what is exposed."""
    by_name: defaultdict[str, list[Line]] = defaultdict(list)
    for line in exposed:
        by_name[line.name].append(line)
    for each in AGGREGATES:
        groups: defaultdict[tuple[tuple[str, str], ...], list[float]] = defaultdict(list)
        for line in by_name[f"{series(each.metric)}{each.part}"]:
            labels = {label(name): value for name, value in line.labels.items() if value}
            key = tuple((name, labels[name]) for name in each.labels(Fleet()) if name in labels)
            groups[key].append(line.per_second if each.operation == RATE else line.level)
        for key, values in groups.items():
            yield Line(name=each.name, labels=dict(key), level=_TOGETHER[each.operation](values), noise=_NOISE)
