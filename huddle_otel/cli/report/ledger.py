"""Reading figures out of the ledger: SQLite adds up, in slices of time on two threads, and the slices are merged."""

from __future__ import annotations

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.report.figures import DAY, STEPS, Call, Group, Key, Report, forecast
from huddle_otel.cli.report.period import Period
from huddle_otel.spend.money import NANO
from huddle_otel_exporters.ledger import reading

KEYS: Final = {
    "model": "model",
    "response_model": "response_model",
    "operation": "operation",
    "provider": "provider",
    "host": "host",
    "outcome": "outcome",
    "error": "error_type",
    "source": "cost_source",
    "stream": "stream",
    "hour": "strftime('%Y-%m-%d %H:00', started, 'unixepoch')",
    "day": "strftime('%Y-%m-%d', started, 'unixepoch')",
}
"""Name of a grouping -> SQL. Any other name is a tag."""
_BILLED: Final = "(answered OR double_billing)"
WASTED: Final = f"(outcome <> 'ok' AND {_BILLED})"
"""SQL for a call that may have cost something and has no whole answer."""


def _money(expression: str) -> str:
    """Return SQL for an exact sum in two parts, since SQLite's own fails past 64 bits."""
    return f"ifnull(sum(({expression}) / {NANO}), 0), ifnull(sum(({expression}) % {NANO}), 0)"


_SUMS: Final = ", ".join(
    [
        "count(*)",
        "sum(outcome = 'ok')",
        "sum(attempts)",
        "total(input_tokens)",
        "total(output_tokens)",
        "total(cache_read_tokens)",
        _money("cost"),
        f"sum(cost IS NULL AND {_BILLED})",
        _money(f"CASE WHEN {WASTED} THEN cost END"),
        f"sum({WASTED})",
        f"sum({WASTED} AND cost IS NULL)",
        "sum(double_billing)",
        "total(CASE WHEN cost_source = 'gateway' THEN cost - cost_estimate END)",
    ]
)
_THREADS: Final = 2
_MONTH: Final = 31
IN: Final = "WHERE started >= ? AND started < ?"
"""SQL for a period's calls; takes its two ends."""


def read(path: Path, period: Period, *, by: tuple[str, ...], top: int, now: float) -> Report:
    """Add up a period of a ledger.

    Raises:
        LedgerError: There is none, or it cannot be read.
    """
    groups: defaultdict[Key, Group] = defaultdict(Group)
    with ThreadPoolExecutor(_THREADS) as threads:
        slices = [threads.submit(_groups, path, each, by=by) for each in _slices(path, period)]
        previous = threads.submit(_groups, path, period.previous, by=())
        dearest = threads.submit(_top, path, period, top)
        daily = threads.submit(_daily, path, now)
        for found in slices:
            for key, group in found.result().items():
                groups[key].add(group)
    total = Group()
    for group in groups.values():
        total.add(group)
    ordered = sorted(groups.items(), key=lambda item: (-item[1].cost, -item[1].calls, str(item[0])))
    return Report(
        period=period,
        by=by,
        groups=dict(ordered),
        total=total,
        previous=previous.result().get((), Group()),
        top=dearest.result(),
        forecast=forecast(daily.result(), now=now),
    )


def _slices(path: Path, period: Period) -> list[Period]:
    """Cut a period in two where its calls are."""
    with reading(path) as connection:
        span = (period.since, period.until)
        query = f"SELECT min(started), max(started) FROM calls {IN}"  # noqa: S608 - SQL of ours
        first, last = connection.execute(query, span).fetchone()
    if first is None:
        return [period]
    return [Period(*each) for each in pairwise((period.since, (first + last) / 2, period.until))]


def _groups(path: Path, period: Period, *, by: tuple[str, ...]) -> dict[Key, Group]:
    keys = [KEYS.get(name, "json_extract(tags, ?)") for name in by]
    paths = [f'$."{name}"' for name in by if name not in KEYS]
    columns = ", ".join([*keys, STEPS])
    numbers = ", ".join(str(number) for number in range(1, len(keys) + 2))
    query = f"SELECT {columns}, {_SUMS} FROM calls {IN} GROUP BY {numbers}"  # noqa: S608 - SQL of ours; names are bound
    groups: defaultdict[Key, Group] = defaultdict(Group)
    with reading(path) as connection:
        for row in connection.execute(query, (*paths, period.since, period.until)):
            groups[tuple(row[: len(keys)])].add(_group(*row[len(keys) :]))
    return dict(groups)


def _group(step: int | None, *sums: Any) -> Group:
    calls, ok, attempts, tokens_in, tokens_out, cached, dollars, nanos, unpriced, *rest = sums
    wasted_dollars, wasted_nanos, wasted_calls, wasted_unpriced, doubled, difference = rest
    return Group(
        calls=calls,
        ok=ok,
        attempts=attempts or 0,
        input_tokens=int(tokens_in),
        output_tokens=int(tokens_out),
        cache_read_tokens=int(cached),
        cost=dollars * NANO + nanos,
        unpriced=unpriced or 0,
        wasted=wasted_dollars * NANO + wasted_nanos,
        wasted_calls=wasted_calls or 0,
        wasted_unpriced=wasted_unpriced or 0,
        double_billing=doubled or 0,
        difference=round(difference),
        durations=Counter({step: calls}) if step is not None else Counter(),
    )


def _top(path: Path, period: Period, count: int) -> tuple[Call, ...]:
    columns = "started, model, outcome, cost, duration, attempts, input_tokens, output_tokens, request_id"
    query = f"SELECT {columns} FROM calls {IN} AND cost IS NOT NULL ORDER BY cost DESC, started DESC LIMIT ?"  # noqa: S608 - SQL of ours
    with reading(path) as connection:
        return tuple(Call(*row) for row in connection.execute(query, (period.since, period.until, count)))


def _daily(path: Path, now: float) -> dict[int, int]:
    query = f"SELECT CAST(started / {DAY} AS INT), {_money('cost')} FROM calls {IN} GROUP BY 1"  # noqa: S608 - SQL of ours
    with reading(path) as connection:
        rows = connection.execute(query, ((now // DAY - _MONTH) * DAY, now))
        return {day: dollars * NANO + nanos for day, dollars, nanos in rows}
