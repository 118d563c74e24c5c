"""What the live page shows beside single calls. Each function is one question to the ledger, for a window of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from huddle_otel.cli.page import Chart, Table, Tile, shown
from huddle_otel.cli.report import charts, series
from huddle_otel.cli.report.columns import COLUMNS
from huddle_otel.cli.report.figures import DAY, Group, Key, forecast, ordered
from huddle_otel.cli.report.forms import count
from huddle_otel.cli.report.ledger import IN, sum_up
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.report.snapshot import snapshot
from huddle_otel.cli.serve.days import Day
from huddle_otel.spend import format_usd
from huddle_otel_exporters.ledger import reading

WINDOWS: Final = {"15m": 900.0, "1h": 3600.0, "6h": 21_600.0, "24h": 86_400.0, "7d": 604_800.0, "30d": 2_592_000.0}
"""Name of a window -> seconds."""
RECENT: Final = 300.0
"""Seconds that count as now."""
REFUSING: Final = 600.0
"""Seconds for which a circuit that refused a call is shown."""
_MODELS: Final = 30
"""Rows of the table by model; the rest is added up."""
_COLUMNS: Final = tuple(column for column in COLUMNS if not column.wide)
_CIRCUITS: Final = 50
_LATE: Final = 0.05
"""Share of calls not answered from which the figure is shown as bad."""
_REFUSALS: Final = f"""
SELECT host, model, operation,
    sum(error_type = 'breaker_open'),
    max(CASE WHEN error_type = 'breaker_open' THEN started END),
    max(CASE WHEN outcome = 'ok' THEN started END)
FROM calls {IN}
GROUP BY 1, 2, 3 HAVING sum(error_type = 'breaker_open') ORDER BY 5 DESC LIMIT {_CIRCUITS}
"""  # noqa: S608 - SQL of ours


def now_tiles(path: Path, now: float) -> list[Tile]:
    """Return the last five minutes in figures.

    Raises:
        LedgerError: As everywhere here, the ledger cannot be read.
    """
    with reading(path) as connection:
        group = sum_up(connection, Period(now - RECENT, now), by=(), everything=False).get((), Group())
    lost = group.calls - group.ok
    share = lost / group.calls if group.calls else 0.0
    p95 = group.percentile(0.95)
    return [
        Tile(name="Calls a minute", value=f"{group.calls / (RECENT / 60):,.1f}", note="mean of the last 5 minutes"),
        Tile(
            name="Not answered",
            value=f"{share:.1%}" if group.calls else "-",
            note=f"{count(lost, 'call')} of {group.calls:,}",
            tone="bad" if share >= _LATE else "ink",
        ),
        Tile(name="p95", value="-" if p95 is None else f"{p95:.2f} s", note="whole calls, last 5 minutes"),
        Tile(
            name="Spend a minute",
            value=_per_minute(group.known_cost) if group.calls else "-",
            note=_not_in_it(group.unpriced) or "mean of the last 5 minutes",
        ),
    ]


def circuits(path: Path, now: float) -> Table:
    """Return the circuits that refused calls lately. Their state is in the processes; the ledger has the refusals."""
    with reading(path) as connection:
        rows = connection.execute(_REFUSALS, (now - REFUSING, now)).fetchall()
    return Table(
        title="Refused by open circuits, last 10 minutes",
        headings=("host", "model", "operation", "refused", "last refusal", "last answer"),
        rows=tuple(
            (shown(host), shown(model or None), shown(operation), f"{refused:,}", _ago(now, last), _ago(now, answered))
            for host, model, operation, refused, last, answered in rows
        ),
        left=3,
    )


def over_time(path: Path, window: str, now: float) -> tuple[tuple[Chart, ...], Table]:
    """Return a window's charts over time, and its figures by model: the same calls, added up once."""
    period = Period(now - WINDOWS[window], now)
    with snapshot(path, threads=1) as moment:  # the other processors are the app's, whoever looks at the page
        slots = series.slots(moment, period)
    groups: defaultdict[Key, Group] = defaultdict(Group)
    for slot in slots:
        for (model, _), group in slot.items():
            groups[(model,)].add(group)
    return charts.over_time(series.timeline(period, slots)), _models(groups)


def _models(found: Mapping[Key, Group]) -> Table:
    """Return figures by model, dearest first."""
    groups = list(ordered(found, ("model",)).items())
    rest = Group.of(group for _, group in groups[_MODELS:])
    rows = [(shown(model or None), *_figures(group)) for (model,), group in groups[:_MODELS]]
    if rest.calls:
        rows.append((f"{len(groups) - _MODELS:,} other models", *_figures(rest)))
    return Table(title="By model", headings=("model", *(column.heading for column in _COLUMNS)), rows=tuple(rows))


def month(days: dict[int, Day], now: float) -> tuple[list[Tile], tuple[Chart, ...]]:
    """Return today's and this month's spend, the forecast, and its chart."""
    today = int(now // DAY)
    first = today - datetime.fromtimestamp(now, UTC).day + 1
    costs = {day: figures.cost for day, figures in days.items()}
    so_far = sum((figures for day, figures in days.items() if first <= day <= today), Day())
    day = days.get(today, Day())
    foreseen = forecast(costs, now=now)
    tiles = [
        Tile(name="Spend today", value=format_usd(day.known_cost), note=_not_in_it(day.unpriced) or "UTC"),
        Tile(
            name="This month",
            value=format_usd(so_far.known_cost),
            note=_not_in_it(so_far.unpriced) or "so far",
        ),
        Tile(
            name="This month, expected",
            value=format_usd(foreseen.expected) if foreseen else "-",
            note=f"95 %: {format_usd(foreseen.low)} to {format_usd(foreseen.high)}"
            if foreseen
            else "after 3 whole days",
        ),
    ]
    return tiles, (charts.month(costs, foreseen, now=now),) if foreseen else ()


def _figures(group: Group) -> tuple[str, ...]:
    return tuple(column.cell(group) for column in _COLUMNS)


def _per_minute(cost: int | None) -> str:
    return format_usd(None if cost is None else round(cost / (RECENT / 60)))


def _not_in_it(unpriced: int) -> str:
    return f"and {count(unpriced, 'call')} of unknown cost" if unpriced else ""


def _ago(now: float, moment: float | None) -> str:
    if moment is None:
        return "-"
    seconds = max(0, round(now - moment))
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"  # noqa: PLR2004 - seconds
