"""A report as a table on the terminal, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Final

from rich.console import Console

from huddle_otel.cli.output import console, plain, seconds, table
from huddle_otel.cli.report.columns import COLUMNS, WASTES, Column, known_waste, record, wasted
from huddle_otel.cli.report.figures import Group, Key, Report
from huddle_otel.spend import format_usd

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
_MOST: Final = 50
"""Groups that people are shown, the others summed up in one row; programs get all."""
_WIDE: Final = 240
_LONGEST: Final = 60
"""Characters of a name on a terminal."""


def as_table(report: Report, *, wide: bool = False) -> None:
    """Print for people: as 80 columns hold it, or everything when wide."""
    screen = console()
    if wide:
        screen.width = _WIDE
    screen.print(plain(f"{when(report.period.since)} to {when(report.period.until)} UTC\n"))
    if report.groups:
        _print_groups(screen, report, [column for column in COLUMNS if wide or not column.wide])
    else:
        screen.print(plain("No calls in this period."))
    for line in sentences(report):
        screen.print(plain(line))
    if rows := waste(report):
        wastes = table("\nPaid for without a whole answer", "how", *WASTE_HEADINGS[1:])
        for row in rows:
            wastes.add_row(*map(plain, row))
        screen.print(wastes)
    if report.top:
        dear = table("\nDearest calls", "when", "model", "outcome", "spend", "took", "tries", left=3)
        for call in report.top:
            dear.add_row(
                when(call.started),
                plain(_name(call.model)),
                plain(_name(call.outcome)),
                format_usd(call.cost),
                f"{seconds(call.duration)} s",
                str(call.attempts),
            )
        screen.print(dear)


def _print_groups(screen: Console, report: Report, columns: Sequence[Column]) -> None:
    keys = [_name(name) for name in report.by] or [""]
    shown, rest = foremost(report)
    rows = [([_name(each) for each in key or ("all",)], group, "") for key, group in shown]
    if rest is not None:
        rows.append(([f"{len(report.groups) - len(shown):,} more", *[""] * (len(keys) - 1)], rest, "dim"))
    if len(report.groups) > 1:
        rows.append((["all", *[""] * (len(keys) - 1)], report.total, "bold"))
    longest = screen.width // 2 // len(keys) - 1
    names = [[_cut(name, longest) for name in each] for each in (keys, *(row[0] for row in rows))]
    room = screen.width - sum(max(map(len, column)) + 1 for column in zip(*names, strict=True))
    columns = _fitting(columns, [cells(group, columns, report) for _, group, _ in rows], room)
    made = table(None, *names[0], *(column.heading for column in columns), left=len(keys), gap=1)
    for texts, (_, group, style) in zip(names[1:], rows, strict=True):
        if group is report.total:
            made.add_section()
        made.add_row(*map(plain, texts), *cells(group, columns, report), style=style)
    screen.print(made)


def _fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int) -> list[Column]:
    """Return the columns that fit whole, the most important ones first."""
    wanted = {
        column: max(len(column.heading), *map(len, texts)) + 1
        for column, texts in zip(columns, zip(*rows, strict=True), strict=True)
    }
    fitting: set[Column] = set()
    for column, width in sorted(wanted.items(), key=lambda item: item[0].rank):
        room -= width
        if room < 0:
            break
        fitting.add(column)
    return [column for column in columns if column in fitting]


def foremost(report: Report) -> tuple[list[tuple[Key, Group]], Group | None]:
    """Return the groups that people are shown, and the sum of the others, if there are any."""
    groups = list(report.groups.items())
    if len(groups) <= _MOST:
        return groups, None
    return groups[:_MOST], Group.of(group for _, group in groups[_MOST:])


def as_markdown(report: Report) -> None:
    """Print a Markdown document."""
    keys = report.by or ("",)
    shown, rest = foremost(report)
    out = [f"# Calls, {when(report.period.since)} to {when(report.period.until)} UTC", ""]
    out += _markdown((*map(_clean, keys), *(column.heading for column in COLUMNS)), len(keys))
    for key, group in shown:
        out.append(_markdown_row([*map(_clean, key or ("all",)), *cells(group, COLUMNS, report)]))
    if rest is not None:
        others = f"{len(report.groups) - len(shown):,} more"
        out.append(_markdown_row([others, *[""] * (len(keys) - 1), *cells(rest, COLUMNS, report)]))
    out += ["", *(f"* {line}" for line in sentences(report))]
    if rows := waste(report):
        out += ["", *_markdown(WASTE_HEADINGS, 1), *map(_markdown_row, rows)]
    print("\n".join(out))


def as_json(report: Report) -> None:
    """Print one JSON object. Money is in nano-dollars, times are in seconds."""
    json.dump(
        {
            "since": _iso(report.period.since),
            "until": _iso(report.period.until),
            "by": report.by,
            "groups": [
                {"key": dict(zip(report.by, key, strict=True)), **record(group, report.unknown)}
                for key, group in report.groups.items()
            ],
            "total": record(report.total, report.unknown),
            "previous": record(report.previous, report.unknown),
            "top": [asdict(call) for call in report.top],
            "forecast": asdict(report.forecast) if report.forecast else None,
            "future": report.future,
        },
        sys.stdout,
        indent=2,
    )
    print()


def as_csv(report: Report) -> None:
    """Print a row per group. A cell that a spreadsheet would run as a formula begins with an apostrophe."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*map(cell, report.by), *record(Group())])
    for key, group in report.groups.items():
        writer.writerow([*map(cell, key), *record(group, report.unknown).values()])


def as_advice(lines: Sequence[str]) -> None:
    """Print advice for people."""
    screen = console()
    for line in lines or [
        "Nothing stands out: no saving here would be a hundredth of the spend, and nothing fails often."
    ]:
        screen.print(plain(f"* {_clean(line)}"))


FORMS: Final[dict[str, Callable[[Report], None]]] = {
    "table": as_table,
    "wide": partial(as_table, wide=True),
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}
"""Name of a form -> what prints it on standard output."""


def sentences(report: Report) -> list[str]:
    """Say what a report comes to, a sentence for each thing worth knowing."""
    total, before = report.total, report.previous
    spend, calls = _change(total.cost, before.cost), _change(total.calls, before.calls)
    against = " In brackets: against the period before." if spend or calls else ""
    told = [f"Spend: {format_usd(total.known_cost)}{spend}"] if "cost" not in report.unknown else []
    told += [f"calls: {total.calls:,}{calls}"] if "calls" not in report.unknown else []
    first = "; ".join(told)
    lines = [f"{first[:1].upper()}{first[1:]}.{against}"] if report.groups and told else []
    if total.unpriced:
        lines.append(f"Not in it: {count(total.unpriced, 'call')} that cost something nobody could price.")
    if total.wasted_calls or total.wasted_unpriced or total.wasted:
        calls = "calls" if "waste_calls" in report.unknown else count(total.wasted_calls, "call")
        unknown = f", {total.wasted_unpriced:,} of them at an unknown price" if total.wasted_unpriced else ""
        lines.append(f"Wasted: {wasted(total)} on {calls} without a whole answer{unknown}.")
    if total.double_billing:
        doubled = count(total.double_billing, "call")
        lines.append(f"Possibly billed twice: {doubled}; the second bill is not known here.")
    if total.compared:
        lines.append(
            f"Reported by the gateway minus our estimate: {format_usd(total.difference)}, "
            f"over {count(total.compared, 'call')} that have both."
        )
    if report.forecast is not None:
        month = report.forecast
        lines.append(
            f"This month: {format_usd(month.so_far)} so far, {format_usd(month.expected)} expected at its end "
            f"(95 %: {format_usd(month.low)} to {format_usd(month.high)}; from {month.days} whole days)."
        )
    if report.future:
        lines.append(f"{count(report.future, 'call')} of the ledger dated after now: a clock was wrong; see --until.")
    return lines


WASTE_HEADINGS: Final = ("how", "calls", "spend", "at unknown price")


def waste(report: Report) -> list[tuple[str, str, str, str]]:
    """Return a row for each way in which calls cost without a whole answer."""
    total = report.total

    def told(field: str, outcome: str) -> str:
        return "?" if field in report.unknown else f"{getattr(total, field)[outcome]:,}"

    outcomes = dict.fromkeys((*WASTES, *total.waste_calls))
    rows = [
        (
            outcome,
            told("waste_calls", outcome),
            format_usd(known_waste(total, outcome)),
            told("waste_unpriced", outcome),
        )
        for outcome in outcomes
        if total.waste_calls[outcome] or total.waste_unpriced[outcome] or total.waste[outcome]
    ]
    if total.double_billing:
        doubled = f"{total.double_billing:,}"
        rows.append(("perhaps billed twice", doubled, "unknown", doubled))
    return rows


def cells(group: Group, columns: Sequence[Column], report: Report) -> list[str]:
    """Write a group's figures for people; `?` is what their source cannot tell."""
    return ["?" if column.of in report.unknown else column.cell(group) for column in columns]


def _clean(value: object) -> str:
    """Return a value as text without what would move the cursor, whatever an upstream or an app put into it."""
    return "-" if value is None else "".join(each if each.isprintable() else " " for each in str(value))


def _name(value: object) -> str:
    """Return the same, short enough for a terminal."""
    return _cut(_clean(value), _LONGEST)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def cell(value: object) -> object:
    """Return a cell of CSV of which a spreadsheet runs nothing: a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _markdown(headings: Sequence[str], left: int) -> list[str]:
    rule = ["---"] * left + ["---:"] * (len(headings) - left)
    return [_markdown_row(headings), _markdown_row(rule)]


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _change(now: int, before: int) -> str:
    return f" ({(now - before) / before:+.0%})" if before > 0 else ""


def count(number: int, noun: str) -> str:
    """Return `1 call`, `2 calls`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def when(moment: float) -> str:
    """Write a Unix time, s, to the minute, in UTC."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
