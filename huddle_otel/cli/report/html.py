"""A report as one HTML page that needs nothing else: no server, no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from huddle_otel.cli.page import Chart, Table, Tile, document, element, library, shown, static
from huddle_otel.cli.report import charts
from huddle_otel.cli.report.columns import COLUMNS, Column, wasted
from huddle_otel.cli.report.figures import Report
from huddle_otel.cli.report.forms import WASTE_HEADINGS, cells, count, foremost, sentences, waste, when
from huddle_otel.cli.report.ledger import add_up, per_day
from huddle_otel.cli.report.period import Period
from huddle_otel.cli.report.series import SHARES, slots, timeline
from huddle_otel.cli.report.snapshot import snapshot
from huddle_otel.spend import format_usd

_FOOT: Final = (
    "Made by huddle-otel report. Times are UTC. Spend is the gateway's figure where it gave one, else the price "
    "table's; a cost nobody knows is never counted as zero. Percentiles are the upper edge of a step: 5 ms wide up to "
    "a second, 50 ms up to ten, then a second."
)


def of_ledger(path: Path, period: Period, *, by: tuple[str, ...], top: int, now: float) -> str:
    """Return the page of a period of a ledger, all of it of one moment; arguments and errors as in `ledger.read`."""
    with snapshot(path) as moment:
        report = add_up(moment, period, by=by, top=top, now=now)
        drawn = charts.over_time(timeline(period, slots(moment, period))) if report.groups else ()
        if report.forecast is not None:
            drawn += (charts.month(moment.ask(per_day, now).result(), report.forecast, now=now),)
    return page(report, drawn)


def page(report: Report, drawn: Sequence[Chart]) -> str:
    """Return the page: tiles, charts, groups, waste, the dearest calls."""
    span = f"{when(report.period.since)} to {when(report.period.until)} UTC"
    header = element("header", element("h1", "LLM calls"), element("p", span))
    if report.groups:
        parts = [document.tiles(tuple(_tiles(report)))]
        if drawn:
            parts += [element("h2", "Over time"), element("div", *map(document.drawn, drawn), class_="charts")]
        parts += [
            element("h2", "In figures"),
            element("div", *map(document.table, _tables(report)), class_="stack"),
            element("ul", *(element("li", line) for line in sentences(report)), class_="lines"),
        ]
    else:
        parts, drawn = [element("p", "No calls in this period.", class_="card")], ()
    body = element("div", header, element("main", *parts), element("footer", _FOOT))
    scripts = (library(), static("charts.js"))
    return document.document(f"LLM calls, {span}", body, drawn, styles=static("page.css"), scripts=scripts)


def _tiles(report: Report) -> Iterator[Tile]:
    total, before, unknown = report.total, report.previous, report.unknown
    if "cost" not in unknown:
        unpriced = f"and {count(total.unpriced, 'call')} of unknown cost" if total.unpriced else ""
        earlier = f"{format_usd(before.known_cost)} the period before" if before.cost else ""
        note = "; ".join(filter(None, (unpriced, earlier)))
        yield Tile(
            name="Spend", value=format_usd(total.known_cost), note=note, tone="warn" if total.unpriced else "ink"
        )
    if "calls" not in unknown:
        note = f"{before.calls:,} the period before" if before.calls else ""
        yield Tile(name="Calls", value=f"{total.calls:,}", note=note)
    if total.calls and "ok" not in unknown:
        lost = f"{count(total.calls - total.ok, 'call')} not"
        yield Tile(name="Answered", value=f"{total.ok / total.calls:.1%}", note=lost)
    if "waste" not in unknown:
        unpriced = f", {total.wasted_unpriced:,} at an unknown price" if total.wasted_unpriced else ""
        note = f"{count(total.wasted_calls, 'call')} without a whole answer{unpriced}" if total.wasted_calls else ""
        yield Tile(name="Wasted", value=wasted(total), note=note)
    half, most, nearly_all = (total.percentile(share) for share in SHARES)
    if half is not None:
        yield Tile(name="p95", value=f"{most:.2f} s", note=f"p50 {half:.2f} s, p99 {nearly_all:.2f} s")
    if report.forecast is not None:
        month = report.forecast
        note = f"{format_usd(month.so_far)} so far; 95 %: {format_usd(month.low)} to {format_usd(month.high)}"
        yield Tile(name="This month, expected", value=format_usd(month.expected), note=note)


def _tables(report: Report) -> Iterator[Table]:
    by = f"By {', '.join(map(shown, report.by))}" if report.by else "In all"
    yield _groups(report, by, [column for column in COLUMNS if not column.wide])
    yield _groups(report, f"{by}, in detail", [column for column in COLUMNS if column.wide])
    if wastes := waste(report):
        rows = tuple(tuple(map(shown, row)) for row in wastes)
        yield Table(title="Paid for without a whole answer", headings=WASTE_HEADINGS, rows=rows)
    if report.top:
        yield Table(
            title="Dearest calls",
            headings=("when", "model", "outcome", "request", "spend", "took", "attempts", "tokens in", "tokens out"),
            rows=tuple(
                (
                    when(call.started),
                    shown(call.model),
                    shown(call.outcome),
                    shown(call.request_id),
                    format_usd(call.cost),
                    f"{call.duration:.2f} s",
                    str(call.attempts),
                    _tokens(call.input_tokens),
                    _tokens(call.output_tokens),
                )
                for call in report.top
            ),
            left=4,
        )


def _groups(report: Report, title: str, columns: Sequence[Column]) -> Table:
    keys = report.by or ("",)
    blank = ("",) * (len(keys) - 1)
    groups, rest = foremost(report)
    rows = [(*map(shown, key or ("all",)), *cells(group, columns, report)) for key, group in groups]
    if rest is not None:
        rows.append((f"{len(report.groups) - len(groups):,} more", *blank, *cells(rest, columns, report)))
    return Table(
        title=title,
        headings=(*map(shown, keys), *(column.heading for column in columns)),
        rows=tuple(rows),
        left=len(keys),
        total=("all", *blank, *cells(report.total, columns, report)) if len(report.groups) > 1 else None,
    )


def _tokens(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
