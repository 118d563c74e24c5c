"""Reading figures out of the ledger: SQLite adds up, in slices of time on a few threads, and the slices are merged."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Any, Final

from huddle_otel.cli.report.figures import (
    DAY,
    STEPS,
    Call,
    Group,
    Key,
    Report,
    ReportError,
    forecast,
    ordered,
    steps,
)
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.report.snapshot import Snapshot, snapshot
from huddle_otel.events import Outcome
from huddle_otel.spend.money import NANO
from huddle_otel_exporters.ledger import COLUMNS

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
_ADDED: Final = ("cost", "double_billing", "input_tokens", "output_tokens")
_DETAILED: Final = ("attempts", *PARTS, *(name for name in TOKENS if name not in _ADDED))
_SUMS: Final = {
    "calls": "count(*)",
    "priced": "count(cost)",
    "compared": "count(cost - cost_estimate)",
    "difference": "ifnull(sum(cost - cost_estimate), 0)",
    **{name: f"ifnull(sum({name}), 0)" for name in _ADDED},
}
"""Figure -> SQL, of what 80 columns hold."""
_DETAILS: Final = {"split": "count(cost_input)", **{name: f"ifnull(sum({name}), 0)" for name in _DETAILED}}
"""Of what else there is; each column that SQLite carries while it sorts takes time."""
NO_DETAILS: Final = frozenset({"attempts", "split", "parts", "first_chunks"})
"""Fields of `Group` that stand for nothing without them; `tokens` are the input's and the output's alone."""
_SLICES: Final = 4
"""Enough to keep the threads busy to the end; every one more gives rows again for the same groups."""
_ENDS: Final = f"SELECT (SELECT min(started) FROM calls {IN}), (SELECT max(started) FROM calls {IN})"  # noqa: S608 - SQL of ours
"""Two questions: SQLite answers each from an end of the index, and both at once by reading all of it."""
_MONTH: Final = 31


def read(path: Path, period: Period, *, by: tuple[str, ...], top: int, now: float, everything: bool = True) -> Report:
    """Add up a period of a ledger, as it is at this moment.

    Args:
        path: The ledger.
        period: Which calls count.
        by: What to group by: names in `KEYS`, others are tags.
        top: How many of the dearest calls to list.
        now: Unix time, s.
        everything: Tell more than 80 columns hold, which takes twice as long.

    Raises:
        LedgerError: There is none, or it cannot be read.
        ReportError: There are more groups than `MOST`.
    """
    with snapshot(path) as moment:
        return add_up(moment, period, by=by, top=top, now=now, everything=everything)


def add_up(
    moment: Snapshot, period: Period, *, by: tuple[str, ...], top: int, now: float, everything: bool = True
) -> Report:
    """Add up a period of a ledger at a moment; arguments and errors are those of `read`."""
    dearest = moment.ask(_top, period, top)
    daily = moment.ask(per_day, now)
    cuts = moment.ask(slices, period).result()
    asked = [moment.ask(sum_up, each, by=by, everything=everything) for each in cuts]
    previous = moment.ask(sum_up, period.previous, by=(), everything=everything)
    future = moment.ask(_future, now)
    groups = _merged((each.result() for each in asked), by=by)
    return Report(
        period=period,
        by=by,
        groups=ordered(groups, by),
        total=Group.of(groups.values()),
        previous=previous.result().get((), Group()),
        top=dearest.result(),
        forecast=forecast(daily.result(), now=now),
        future=future.result(),
        unknown=frozenset() if everything else NO_DETAILS,
    )


def _merged(parts: Iterable[dict[Key, Group]], *, by: tuple[str, ...]) -> dict[Key, Group]:
    groups: defaultdict[Key, Group] = defaultdict(Group)
    for each in parts:
        for key, group in each.items():
            groups[key].add(group)
        if len(groups) > MOST:
            raise ReportError(f"--by {','.join(by)} makes more than {MOST:,} groups; name fewer or coarser ones")
    return groups


def slices(connection: sqlite3.Connection, period: Period) -> list[Period]:
    """Cut a period where its calls are."""
    bounds = (period.since, period.until)
    first, last = connection.execute(_ENDS, (*bounds, *bounds)).fetchone()
    if first is None:
        return [period]
    cuts = (first + (last - first) * number / _SLICES for number in range(1, _SLICES))
    return [Period(*each) for each in pairwise((period.since, *cuts, period.until))]


def sum_up(
    connection: sqlite3.Connection, period: Period, *, by: tuple[str, ...], everything: bool
) -> dict[Key, Group]:
    """Add up a period in one go; arguments are those of `read`."""
    keys, values = _keys(by)
    sums = _SUMS | _DETAILS if everything else _SUMS
    groups: defaultdict[Key, Group] = defaultdict(Group)
    classes: defaultdict[tuple[Key, int], list[int]] = defaultdict(lambda: [0] * len(sums))
    span: tuple[str | float, ...] = (*values, period.since, period.until)
    for row in grouped(connection, [_KIND, *keys], sums.values(), span):
        (step, kind), key, found = divmod(row[0], _KINDS), row[1 : len(by) + 1], row[len(by) + 1 :]
        held = classes[key, kind]
        held[:] = map(add, held, found)
        if step >= 0:
            groups[key].durations[step] += found[0]
        if len(groups) > MOST:
            break
    if everything:
        streams = f"{IN} AND first_chunk IS NOT NULL"
        for row in grouped(connection, [steps("first_chunk"), *keys], ["count(*)"], span, streams):
            groups[row[1:-1]].first_chunks[row[0]] += row[-1]
    for (key, kind), held in classes.items():
        groups[key].add(_group(kind, dict(zip(sums, map(int, held), strict=True))))
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


def _group(kind: int, told: Mapping[str, int]) -> Group:
    """Return calls that ended alike, see `_KIND`, as a group."""
    outcome, reported, billed = (*_OUTCOMES, "other")[kind // 4], bool(kind & 2), bool(kind & 1)
    calls, priced, cost = told["calls"], told["priced"], told["cost"]
    unpriced = calls - priced if billed else 0
    group = Group(
        calls=calls,
        ok=calls if outcome == "ok" else 0,
        attempts=told.get("attempts", 0),
        tokens=Counter({name: told[name] for name in TOKENS if name in told}),
        cost=cost,
        sources=Counter({"gateway" if reported else "estimate": cost} if priced else {}),
        parts=Counter({name: told[name] for name in PARTS if name in told}),
        split=told.get("split", 0),
        unpriced=unpriced,
        double_billing=told["double_billing"],
        compared=told["compared"] if reported else 0,
        difference=told["difference"] if reported else 0,
    )
    if billed and outcome != "ok":
        group.waste_calls[outcome], group.waste_unpriced[outcome], group.waste[outcome] = calls, unpriced, cost
    return group


def _top(connection: sqlite3.Connection, period: Period, count: int) -> tuple[Call, ...]:
    columns = "started, model, outcome, cost, duration, attempts, input_tokens, output_tokens, request_id"
    query = f"SELECT {columns} FROM calls {IN} AND typeof(cost) = 'integer' ORDER BY cost DESC, started DESC LIMIT ?"  # noqa: S608 - SQL of ours
    return tuple(Call(*row) for row in connection.execute(query, (period.since, period.until, count)))


def per_day(connection: sqlite3.Connection, now: float) -> dict[int, int]:
    """Return day since 1970 (UTC) -> cost, for the days that the current month's forecast rests on."""
    # in two parts, since SQLite's own sum fails past 64 bits; a question for each day, since one for all would sort
    query = f"SELECT sum(cost / {NANO}), sum(cost % {NANO}) FROM calls {IN} AND cost IS NOT NULL"  # noqa: S608 - SQL of ours
    today = int(now // DAY)
    slots = {day: (day * DAY, min((day + 1) * DAY, now)) for day in range(today - _MONTH, today + 1)}
    found = {day: connection.execute(query, slot).fetchone() for day, slot in slots.items()}
    return {day: dollars * NANO + nanos for day, (dollars, nanos) in found.items() if dollars is not None}


def _future(connection: sqlite3.Connection, now: float) -> int:
    (count,) = connection.execute("SELECT count(*) FROM calls WHERE started > ?", (now,)).fetchone()
    return int(count)
