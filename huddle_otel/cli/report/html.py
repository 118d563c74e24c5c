"""A report as one HTML page that needs nothing else: no server, no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from huddle_otel.cli.page import Chart, Table, Tile, document, element, shown, static
from huddle_otel.cli.report import charts, series
from huddle_otel.cli.report.figures import Report
from huddle_otel.cli.report.forms import _HEADINGS, _cells, _known, _lines, _when, count
from huddle_otel.cli.report.ledger import _daily
from huddle_otel.spend import format_usd

_FOOT: Final = (
    "Made by huddle-otel report. Times are UTC. Spend is the gateway's figure where it gave one, else the price "
    "table's; a cost nobody knows is never counted as zero. Percentiles are the upper edge of a step: 5 ms wide up to "
    "a second, 50 ms up to ten, then a second."
)


def of_ledger(path: Path, report: Report, *, now: float) -> str:
    """Return the page of a report, with charts from the same ledger.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    drawn = charts.over_time(series.read(path, report.period)) if report.total.calls else ()
    if report.forecast is not None:
        drawn += (charts.month(_daily(path, now), report.forecast, now=now),)
    return page(report, drawn)


def page(report: Report, drawn: Sequence[Chart]) -> str:
    """Return the page: tiles, charts, groups, the dearest calls."""
    span = f"{_when(report.period.since)} to {_when(report.period.until)} UTC"
    header = element("header", element("h1", "LLM calls"), element("p", span))
    if report.total.calls:
        inside = element(
            "main",
            document.tiles(tuple(_tiles(report))),
            element("h2", "Over time"),
            element("div", *map(document.drawn, drawn), class_="charts"),
            element("h2", "In figures"),
            element("div", *map(document.table, _tables(report)), class_="stack"),
            element("ul", *(element("li", line) for line in _lines(report)), class_="lines"),
        )
    else:
        inside, drawn = element("main", element("p", "No calls in this period.", class_="card")), ()
    body = element("div", header, inside, element("footer", _FOOT))
    scripts = (static("chart.umd.min.js"), static("charts.js"))
    return document.document(f"LLM calls, {span}", body, drawn, styles=static("page.css"), scripts=scripts)


def _tiles(report: Report) -> Iterator[Tile]:
    total, before = report.total, report.previous
    unpriced = f"and {count(total.unpriced, 'call')} of unknown cost" if total.unpriced else ""
    earlier = f"{format_usd(before.cost)} the period before" if before.calls else ""
    yield Tile(
        name="Spend",
        value=_known(total.cost, total.calls - total.unpriced),
        note="; ".join(filter(None, (unpriced, earlier))),
        tone="warn" if total.unpriced else "ink",
    )
    yield Tile(
        name="Calls",
        value=f"{total.calls:,}",
        note=f"{before.calls:,} the period before" if before.calls else "",
    )
    yield Tile(
        name="Answered", value=f"{total.ok / total.calls:.1%}", note=f"{count(total.calls - total.ok, 'call')} not"
    )
    yield Tile(
        name="Wasted",
        value=_known(total.wasted, total.wasted_calls - total.wasted_unpriced) if total.wasted_calls else format_usd(0),
        note=f"{count(total.wasted_calls, 'call')} without a whole answer"
        + (f", {total.wasted_unpriced:,} at an unknown price" if total.wasted_unpriced else ""),
    )
    half, most, nearly_all = (total.percentile(share) for share in series.SHARES)
    if half is not None:
        yield Tile(name="p95", value=f"{most:.2f} s", note=f"p50 {half:.2f} s, p99 {nearly_all:.2f} s")
    if report.forecast is not None:
        month = report.forecast
        yield Tile(
            name="This month, expected",
            value=format_usd(month.expected),
            note=f"{format_usd(month.so_far)} so far; 95 %: {format_usd(month.low)} to {format_usd(month.high)}",
        )


def _tables(report: Report) -> Iterator[Table]:
    keys = report.by or ("",)
    rows = tuple((*map(shown, key or ("all",)), *_cells(group)) for key, group in report.groups.items())
    total = ("all", *[""] * (len(keys) - 1), *_cells(report.total)) if len(rows) > 1 else None
    by = f"By {', '.join(map(shown, report.by))}" if report.by else "In all"
    yield Table(title=by, headings=(*map(shown, keys), *_HEADINGS), rows=rows, left=len(keys), total=total)
    if report.top:
        yield Table(
            title="Dearest calls",
            headings=("when", "model", "outcome", "request", "spend", "took", "attempts", "tokens in", "tokens out"),
            rows=tuple(
                (
                    _when(call.started),
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


def _tokens(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
