"""The figures of a report from a Prometheus server, for calls of many machines: the same `Report`, so every form works.

What the metrics do not carry is unknown, not zero. Sums are as exact as `increase()` is: where calls were made while
the server watched, to about a scrape's share of the period.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf, isfinite
from typing import Final

from huddle_otel.cli.prometheus import Labels, Prometheus
from huddle_otel.cli.report.figures import DAY, TIMES, Group, Key, Report, ReportError, forecast, ordered, step_of
from huddle_otel.cli.report.period import Period
from huddle_otel.spend.money import NANO
from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric
from huddle_otel_dashboards.series import label, series

_LENGTHS: Final = {"hour": 3600, "day": DAY}
_LABELS: Final = {
    "model": (contract.MODEL, contract.REQUEST_MODEL),
    "response_model": (contract.RESPONSE_MODEL,),
    "operation": (contract.OPERATION,),
    "provider": (contract.PROVIDER,),
    "host": (contract.SERVER_ADDRESS,),
    "outcome": (contract.OUTCOME,),
    "error": (contract.ERROR_TYPE,),
    "source": ("source",),
    "stream": (),
    "finish_reason": (),
}
"""Name of a grouping -> attributes that mean it. Any other name is a tag."""
_MOST: Final = 100
"""Hours or days in one report: each is asked for by itself."""
_MONTH: Final = 31


@dataclass(frozen=True, slots=True)
class _Source:
    """A metric, and the fields of `Group` it tells."""

    metric: Metric
    fields: tuple[str, ...]
    kind: str = ""
    """The attribute that tells its series apart."""


_SOURCES: Final = (
    _Source(contract.CALLS, ("calls", "ok"), contract.OUTCOME),
    _Source(contract.ATTEMPTS_MADE, ("attempts",)),
    _Source(contract.TOKENS_USED, ("tokens",), "type"),
    _Source(contract.COST_USD, ("cost", "sources"), "source"),
    _Source(contract.COST_UNKNOWN, ("unpriced", "waste_unpriced"), contract.OUTCOME),
    _Source(contract.COST_WASTE, ("waste",), contract.OUTCOME),
    _Source(contract.DOUBLE_BILLINGS, ("double_billing",)),
    _Source(contract.DURATION, ("durations",), "le"),
    _Source(contract.FIRST_CHUNK, ("first_chunks",), "le"),
)
_NOWHERE: Final = frozenset({"parts", "split", "waste_calls", "compared", "difference"})
"""Fields that no counter tells."""


def read(server: Prometheus, period: Period, *, by: tuple[str, ...], now: float) -> Report:
    """Ask for a period's figures.

    Args:
        server: Whom to ask.
        period: Which calls count.
        by: What to group by; a tag only if the app lists it in `tag_metrics`.
        now: Unix time, s.

    Raises:
        PrometheusError: There is no answer.
        ReportError: There is no data, or the metrics cannot be grouped so.
    """
    names = tuple(name for name in by if name not in TIMES)
    told = [source for source in _SOURCES if _groups_by(source.metric, names)]
    if not told:
        raise ReportError(f"Prometheus cannot group by {', '.join(names)}: no metric has {_all(names)}; a ledger can")
    groups: dict[Key, Group] = {}
    for slot, times in _slots(period, by):
        for key, group in _groups(server, slot, told, names).items():
            groups[_placed(by, times, dict(zip(names, key, strict=True)))] = group
    if not groups:
        raise ReportError(f"{server.url}: has no calls of huddle_otel in this period")
    _check_tags(names, groups, by)
    known = {field for source in told for field in source.fields}
    return Report(
        period=period,
        by=by,
        groups=ordered(groups, by),
        total=Group.of(groups.values()),
        previous=_groups(server, period.previous, told, ()).get((), Group()),
        top=(),
        forecast=forecast(_daily(server, now), now=now),
        unknown=_NOWHERE | {field for source in _SOURCES for field in source.fields} - known,
    )


def _attribute(metric: Metric, name: str) -> str | None:
    """Return the label by which a metric is grouped, if it can be."""
    if name in _LABELS:
        return next((label(each) for each in _LABELS[name] if each in metric.attributes), None)
    return label(name) if "tags" in metric.attributes else None


def _groups_by(metric: Metric, names: tuple[str, ...]) -> bool:
    return all(_attribute(metric, name) for name in names)


def _all(names: tuple[str, ...]) -> str:
    return "it" if len(names) == 1 else "all of them"


def _check_tags(names: tuple[str, ...], groups: dict[Key, Group], by: tuple[str, ...]) -> None:
    for name in names:
        if name not in _LABELS and all(key[by.index(name)] is None for key in groups):
            raise ReportError(f"Prometheus has no label {label(name)}: list the tag in instrument(tag_metrics=...)")


def _slots(period: Period, by: tuple[str, ...]) -> Iterator[tuple[Period, dict[str, str]]]:
    """Cut a period into the hours or days it is grouped by, with what a ledger's report calls them."""
    length = min((_LENGTHS[name] for name in by if name in TIMES), default=None)
    if length is None:
        yield period, {}
        return
    first, last = int(period.since // length), int(-(-period.until // length))
    if last - first > _MOST:
        raise ReportError(f"more than {_MOST} hours or days of one report: name a later --since, or --by day")
    for number in range(first, last):
        begun = datetime.fromtimestamp(number * length, UTC)
        times = {"hour": f"{begun:%Y-%m-%d %H}:00", "day": f"{begun:%Y-%m-%d}"}
        yield Period(max(period.since, number * length), min(period.until, (number + 1) * length)), times


def _placed(by: tuple[str, ...], times: dict[str, str], key: dict[str, str | int | float | None]) -> Key:
    return tuple(times[name] if name in TIMES else key[name] for name in by)


def _groups(server: Prometheus, period: Period, told: list[_Source], names: tuple[str, ...]) -> dict[Key, Group]:
    groups: defaultdict[Key, Group] = defaultdict(Group)
    for source in told:
        labels = [_attribute(source.metric, name) or "" for name in names]
        kind = label(source.kind) if source.kind else ""
        found: defaultdict[Key, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        suffix = "_bucket" if kind == "le" else ""
        for told_labels, value in _increase(server, f"{series(source.metric)}{suffix}", period, [*labels, kind]):
            found[tuple(told_labels.get(each) for each in labels)][told_labels.get(kind, "")] += value
        for key, values in found.items():
            _take(groups[key], source, values)
    return {key: group for key, group in groups.items() if group != Group()}


def _increase(server: Prometheus, name: str, period: Period, labels: list[str]) -> list[tuple[Labels, float]]:
    """Return by how much counters grew, with what a series had when it appeared, which `increase()` does not see."""
    length = f"{max(1, round((period.until - period.since) * 1000))}ms"
    grown = f"increase({name}[{length}])"
    new = f"(min_over_time({name}[{length}]) unless last_over_time({name}[1d] offset {length}))"
    expression = f"sum by ({', '.join(filter(None, labels))}) (({grown} + {new}) or {grown} or {new})"
    return [(told, value) for told, value in server.instant(expression, time=period.until) if isfinite(value)]


def _take(group: Group, source: _Source, values: Mapping[str, float]) -> None:
    """Put a metric's values into a group."""
    whole = Counter({name: round(value) for name, value in values.items() if round(value)})
    nano = Counter({name: round(value * NANO) for name, value in values.items() if round(value * NANO)})
    match source.fields[0]:
        case "calls":
            group.calls, group.ok = whole.total(), whole["ok"]
        case "tokens":
            group.tokens = Counter({f"{kind}_tokens": count for kind, count in whole.items()})
        case "cost":
            group.cost, group.sources = nano.total(), Counter(gateway=nano["gateway"])
            group.sources["estimate"] = group.cost - nano["gateway"]
            group.sources = +group.sources  # without what is 0
        case "unpriced":
            group.unpriced = whole.total()
            group.waste_unpriced = whole - Counter(ok=whole["ok"])
        case "waste":
            group.waste = nano
        case "durations" | "first_chunks" as field:
            setattr(group, field, _steps(values))
        case field:
            setattr(group, field, whole.total())


def _steps(values: Mapping[str, float]) -> Counter[int]:
    """Spread cumulative buckets evenly over steps, as `histogram_quantile()` takes their content to be spread."""
    counts: Counter[int] = Counter()
    below, told, low = 0.0, 0, 0.0
    for high, cumulative in sorted((float(edge), value) for edge, value in values.items()):
        inside = cumulative - below
        first, last = step_of(low), step_of(low if high == inf else high)
        for step in range(first, last + 1):
            upto = round(below + inside * (step - first + 1) / (last - first + 1))
            if upto > told:
                counts[step] += upto - told
                told = upto
        below, low = max(below, cumulative), high
    return counts


def _daily(server: Prometheus, now: float) -> dict[int, int]:
    """Return spend by day since 1970 (UTC), of a month."""
    today = int(now // DAY)
    daily: dict[int, int] = {}
    for day in range(today - _MONTH, today + 1):
        slot = Period(day * DAY, min(now, (day + 1) * DAY))
        if slot.until > slot.since and (rows := _increase(server, series(contract.COST_USD), slot, [])):
            daily[day] = round(sum(value for _, value in rows) * NANO)
    return daily
