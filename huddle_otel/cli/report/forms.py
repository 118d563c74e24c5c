"""A report as a table on the terminal, JSON, CSV or Markdown."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from huddle_otel.cli.output import console, plain, seconds, table
from huddle_otel.cli.report.figures import Group, Report
from huddle_otel.spend import format_usd

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
_HEADINGS: Final = ("calls", "ok", "spend", "wasted", "tokens", "p50 s", "p95 s", "p99 s")


def as_table(report: Report) -> None:
    """Print for people."""
    screen = console()
    screen.print(plain(f"{_when(report.period.since)} to {_when(report.period.until)} UTC\n"))
    if not report.total.calls:
        screen.print(plain("No calls in this period."))
        return
    keys = report.by or ("",)
    rows = table(None, *keys, *_HEADINGS, left=len(keys), gap=1)
    for key, group in report.groups.items():
        rows.add_row(*(plain(_key(each)) for each in key or ("all",)), *_cells(group))
    if len(report.groups) > 1:
        rows.add_section()
        rows.add_row(plain("all"), *[""] * (len(keys) - 1), *_cells(report.total), style="bold")
    screen.print(rows)
    for line in _lines(report):
        screen.print(plain(line))
    if report.top:
        dear = table("\nDearest calls", "when", "model", "outcome", "spend", "took", "tries", left=3)
        for call in report.top:
            dear.add_row(
                _when(call.started),
                plain(_key(call.model)),
                plain(call.outcome),
                format_usd(call.cost),
                f"{call.duration:.2f} s",
                str(call.attempts),
            )
        screen.print(dear)


def as_markdown(report: Report) -> None:
    """Print a Markdown document."""
    keys = report.by or ("",)
    out = [f"# Calls, {_when(report.period.since)} to {_when(report.period.until)} UTC", ""]
    out += _markdown((*keys, *_HEADINGS), len(keys))
    for key, group in report.groups.items():
        out.append(_markdown_row([*map(_key, key or ("all",)), *_cells(group)]))
    out += ["", *(f"* {line}" for line in _lines(report))]
    print("\n".join(out))


def as_json(report: Report) -> None:
    """Print one JSON object. Money is in nano-dollars, times are in seconds."""
    json.dump(
        {
            "since": _iso(report.period.since),
            "until": _iso(report.period.until),
            "by": report.by,
            "groups": [
                {"key": dict(zip(report.by, key, strict=True)), **_record(g)} for key, g in report.groups.items()
            ],
            "total": _record(report.total),
            "previous": _record(report.previous),
            "top": [asdict(call) for call in report.top],
            "forecast": asdict(report.forecast) if report.forecast else None,
        },
        sys.stdout,
        indent=2,
    )
    print()


def as_csv(report: Report) -> None:
    """Print a row per group. A cell that a spreadsheet would run as a formula begins with an apostrophe."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*map(_cell, report.by), *_record(Group())])
    for key, group in report.groups.items():
        writer.writerow([*map(_cell, key), *("" if value is None else value for value in _record(group).values())])


def as_advice(lines: Sequence[str]) -> None:
    """Print advice for people."""
    screen = console()
    for line in lines or ["Nothing stands out: no saving here would be a hundredth of the spend."]:
        screen.print(plain(f"* {_one_line(line)}"))


FORMS: Final[dict[str, Callable[[Report], None]]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
    "md": as_markdown,
}
"""Name of a form -> what prints it on standard output."""


def _lines(report: Report) -> list[str]:
    total, before = report.total, report.previous
    spend, calls = _change(total.cost, before.cost), _change(total.calls, before.calls)
    against = " In brackets: against the period before." if spend or calls else ""
    lines = [f"Spend: {format_usd(total.cost)}{spend}; calls: {total.calls:,}{calls}.{against}"]
    if total.unpriced:
        lines.append(f"Not in it: {count(total.unpriced, 'call')} that cost something nobody could price.")
    if total.wasted_calls:
        unknown = f", {total.wasted_unpriced:,} of them at an unknown price" if total.wasted_unpriced else ""
        amount = _known(total.wasted, total.wasted_calls - total.wasted_unpriced)
        lines.append(f"Wasted: {amount} on {count(total.wasted_calls, 'call')} without a whole answer{unknown}.")
    if total.double_billing:
        lines.append(
            f"Possibly billed twice: {count(total.double_billing, 'call')}; the second bill is not known here."
        )
    if total.difference:
        lines.append(f"Reported by the gateway minus our estimate: {format_usd(total.difference)}.")
    if report.forecast is not None:
        month = report.forecast
        lines.append(
            f"This month: {format_usd(month.so_far)} so far, {format_usd(month.expected)} expected at its end "
            f"(95 %: {format_usd(month.low)} to {format_usd(month.high)}; from {month.days} whole days)."
        )
    return lines


def _cells(group: Group) -> list[str]:
    return [
        f"{group.calls:,}",
        f"{group.ok / group.calls:.0%}" if group.calls else "-",
        _known(group.cost, group.calls - group.unpriced),
        _known(group.wasted, group.wasted_calls - group.wasted_unpriced) if group.wasted_calls else "-",
        _short(group.input_tokens + group.output_tokens),
        *(seconds(group.percentile(share)) for share in (0.5, 0.95, 0.99)),
    ]


def _record(group: Group) -> dict[str, Any]:
    sums = {name: getattr(group, name) for name in Group.__slots__ if name != "durations"}
    return {**sums, "p50": group.percentile(0.5), "p95": group.percentile(0.95), "p99": group.percentile(0.99)}


def _one_line(text: str) -> str:
    """Return a text without what would move the cursor, whatever an upstream or an app put into it."""
    return "".join(each if each.isprintable() else " " for each in text)


def _key(value: object) -> str:
    return "-" if value is None else _one_line(str(value))


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _markdown(headings: Sequence[str], left: int) -> list[str]:
    rule = ["---"] * left + ["---:"] * (len(headings) - left)
    return [_markdown_row(headings), _markdown_row(rule)]


def _markdown_row(cells: Sequence[str]) -> str:
    escaped = (cell.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def _change(now: int, before: int) -> str:
    return f" ({(now - before) / before:+.0%})" if before > 0 else ""


def _short(count: int) -> str:
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def _known(amount: int, priced: int) -> str:
    """Return a sum over this many calls of known price: over none, it is unknown."""
    return format_usd(amount if priced else None)


def count(number: int, noun: str) -> str:
    """Return `1 call`, `2 calls`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M")


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
