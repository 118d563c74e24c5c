"""Reading figures out of the ledger: SQLite adds up, in slices of time on two threads, and the slices are merged."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.report.figures import DAY, STEPS, Call, Group, Key, Report, ReportError, forecast, ordered, steps
from huddle_otel.cli.report.period import Period
from huddle_otel.events import Outcome
from huddle_otel.spend.money import NANO
from huddle_otel_exporters.ledger import COLUMNS, reading

KEYS: Final = {
    "model": "model",
    "response_model": "response_model",
    "operation": "operation",
    "provider": "provider",
    "host": "host",
    "outcome": "outcome",
    "error": "error_type",
    "finish_reason": "finish_reason",
    "source": "cost_source",
    "stream": "stream",
    "hour": "strftime('%Y-%m-%d %H:00', started, 'unixepoch')",
    "day": "strftime('%Y-%m-%d', started, 'unixepoch')",
}
"""Name of a grouping -> SQL. Any other name is a tag."""
TOKENS: Final = tuple(name for name in COLUMNS if name.endswith("_tokens"))
PARTS: Final = tuple(name for name in COLUMNS if name.startswith("cost_") and f"{name[5:]}_tokens" in TOKENS)
"""Columns of the cost of a kind of tokens."""
BILLED: Final = "(answered OR double_billing)"
"""SQL for a call that may have cost something: some of an answer came, or the upstream may have worked on one."""
WASTED: Final = f"(outcome <> 'ok' AND {BILLED})"
"""SQL for a call that may have cost something and has no whole answer."""
IN: Final = "WHERE started >= ? AND started < ?"
"""SQL for a period's calls; takes its two ends."""
_OUTCOMES: Final = tuple(map(str, Outcome))
_KINDS: Final = 4 * (len(_OUTCOMES) + 1)
_KIND: Final = (
    f"ifnull({STEPS}, -1) * {_KINDS}"
    f" + CASE outcome {' '.join(f'WHEN {name!r} THEN {4 * code}' for code, name in enumerate(_OUTCOMES))}"
    f" ELSE {4 * len(_OUTCOMES)} END + ifnull(cost_source = 'gateway', 0) * 2 + ifnull({BILLED}, 0)"
)
"""SQL for a call's step and how it ended, in one number: sorting by four columns takes a sixth longer."""
MOST: Final = 100_000
"""Groups of one report: more than anyone reads, and less than memory holds."""
_ADDED: Final = ("attempts", "double_billing", "cost", "cost - cost_estimate", *TOKENS, *PARTS)
_SUMS: Final = (
    *("count(*)", "count(cost)", "count(cost_input)", "count(cost - cost_estimate)"),
    *(f"ifnull(sum({each}), 0)" for each in _ADDED),
)
_THREADS: Final = 2
_SLICES: Final = 8
"""A part of a million calls sorts faster than the whole: it stays within a processor's cache. More gain nothing."""
_MONTH: Final = 31


def read(path: Path, period: Period, *, by: tuple[str, ...], top: int, now: float, first_chunks: bool = True) -> Report:
    """Add up a period of a ledger.

    Args:
        path: The ledger.
        period: Which calls count.
        by: What to group by: names in `KEYS`, others are tags.
        top: How many of the dearest calls to list.
        now: Unix time, s.
        first_chunks: Tell times to the first content too, which takes a third longer.

    Raises:
        LedgerError: There is none, or it cannot be read.
        ReportError: There are more groups than `MOST`.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        slices = [
            threads.submit(sum_up, path, each, by=by, first_chunks=first_chunks) for each in _slices(path, period)
        ]
        previous = threads.submit(sum_up, path, period.previous, by=(), first_chunks=first_chunks)
        dearest = threads.submit(_top, path, period, top)
        daily = threads.submit(per_day, path, now)
        try:
            groups = _merged((each.result() for each in slices), by=by)
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    total = Group()
    for group in groups.values():
        total.add(group)
    return Report(
        period=period,
        by=by,
        groups=ordered(groups, by),
        total=total,
        previous=previous.result().get((), Group()),
        top=dearest.result(),
        forecast=forecast(daily.result(), now=now),
        future=_future(path, now),
    )


def _merged(slices: Iterable[dict[Key, Group]], *, by: tuple[str, ...]) -> dict[Key, Group]:
    groups: defaultdict[Key, Group] = defaultdict(Group)
    for each in slices:
        for key, group in each.items():
            groups[key].add(group)
        if len(groups) > MOST:
            raise ReportError(f"--by {','.join(by)} makes more than {MOST:,} groups; name fewer or coarser ones")
    return groups


def _slices(path: Path, period: Period) -> list[Period]:
    """Cut a period where its calls are."""
    with reading(path) as connection:
        query = f"SELECT min(started), max(started) FROM calls {IN}"  # noqa: S608 - SQL of ours
        first, last = connection.execute(query, (period.since, period.until)).fetchone()
    if first is None:
        return [period]
    cuts = (first + (last - first) * number / _SLICES for number in range(1, _SLICES))
    return [Period(*each) for each in pairwise((period.since, *cuts, period.until))]


def sum_up(path: Path, period: Period, *, by: tuple[str, ...], first_chunks: bool) -> dict[Key, Group]:
    """Add up a period in one go; arguments and errors are those of `read`."""
    keys, values = _keys(by)
    groups: defaultdict[Key, Group] = defaultdict(Group)
    classes: defaultdict[tuple[Key, int], list[int]] = defaultdict(lambda: [0] * len(_SUMS))
    span: tuple[str | float, ...] = (*values, period.since, period.until)
    with reading(path) as connection:
        for row in grouped(connection, [_KIND, *keys], _SUMS, span):
            (step, kind), key, sums = divmod(row[0], _KINDS), row[1 : len(by) + 1], row[len(by) + 1 :]
            held = classes[key, kind]
            held[:] = map(add, held, sums)
            if step >= 0:
                groups[key].durations[step] += sums[0]
            if len(groups) > MOST:
                break
        if first_chunks:
            streams = f"{IN} AND first_chunk IS NOT NULL"
            for row in grouped(connection, [steps("first_chunk"), *keys], ["count(*)"], span, streams):
                groups[row[1:-1]].first_chunks[row[0]] += row[-1]
    for (key, kind), held in classes.items():
        groups[key].add(_group(kind, *held))
    return groups


def _keys(by: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """Return SQL for groupings, and the values it takes."""
    return (
        [KEYS.get(name, "json_extract(tags, ?)") for name in by],
        [f'$."{name}"' for name in by if name not in KEYS],
    )


def grouped(
    connection: sqlite3.Connection,
    keys: list[str],
    sums: Iterable[str],
    values: Sequence[str | float],
    where: str = IN,
) -> list[tuple[Any, ...]]:
    """Return a row for every group, its keys first."""
    columns = ", ".join([*keys, *sums])
    numbers = ", ".join(str(number) for number in range(1, len(keys) + 1))
    query = f"SELECT {columns} FROM calls {where} GROUP BY {numbers}"  # noqa: S608 - SQL of ours; names are bound
    try:
        return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if "overflow" not in str(error):
            raise
        return connection.execute(f"{query}, id", values).fetchall()  # absurd amounts one by one; Python adds them


def _group(kind: int, *sums: int) -> Group:
    """Return calls that ended alike, see `_KIND`, as a group."""
    outcome, reported, billed = (*_OUTCOMES, "other")[kind // 4], bool(kind & 2), bool(kind & 1)
    calls, priced, split, compared, attempts, doubled, cost, difference, *counts = (int(each) for each in sums)
    unpriced = calls - priced if billed else 0
    group = Group(
        calls=calls,
        ok=calls if outcome == "ok" else 0,
        attempts=attempts,
        tokens=Counter(dict(zip(TOKENS, counts, strict=False))),
        cost=cost,
        sources=Counter({"gateway" if reported else "estimate": cost} if priced else {}),
        parts=Counter(dict(zip(PARTS, counts[len(TOKENS) :], strict=True))),
        split=split,
        unpriced=unpriced,
        double_billing=doubled,
        compared=compared if reported else 0,
        difference=difference if reported else 0,
    )
    if billed and outcome != "ok":
        group.waste_calls[outcome], group.waste_unpriced[outcome], group.waste[outcome] = calls, unpriced, cost
    return group


def _top(path: Path, period: Period, count: int) -> tuple[Call, ...]:
    columns = "started, model, outcome, cost, duration, attempts, input_tokens, output_tokens, request_id"
    query = f"SELECT {columns} FROM calls {IN} AND typeof(cost) = 'integer' ORDER BY cost DESC, started DESC LIMIT ?"  # noqa: S608 - SQL of ours
    with reading(path) as connection:
        return tuple(Call(*row) for row in connection.execute(query, (period.since, period.until, count)))


def per_day(path: Path, now: float) -> dict[int, int]:
    """Return day since 1970 (UTC) -> cost, for the days that the current month's forecast rests on."""
    with reading(path) as connection:
        rows = grouped(
            connection,
            [f"CAST(started / {DAY} AS INT)"],
            [f"sum(cost / {NANO}), sum(cost % {NANO})"],  # in two parts, since SQLite's own sum fails past 64 bits
            ((now // DAY - _MONTH) * DAY, now),
            f"{IN} AND cost IS NOT NULL",
        )
    return {day: dollars * NANO + nanos for day, dollars, nanos in rows}


def _future(path: Path, now: float) -> int:
    with reading(path) as connection:
        (count,) = connection.execute("SELECT count(*) FROM calls WHERE started > ?", (now,)).fetchone()
    return int(count)
