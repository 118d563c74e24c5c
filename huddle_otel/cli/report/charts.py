"""A report's charts: what is spent, how calls end, how long they take, and where the month is heading."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import accumulate
from typing import Final

from huddle_otel.cli.page import Chart, Series, Style, Unit, shown
from huddle_otel.cli.report.figures import DAY, Forecast
from huddle_otel.cli.report.series import Timeline, largest
from huddle_otel.spend import usd

_MODELS: Final = 7
"""Models with a colour of their own; the eighth colour is for the rest."""
_REST: Final = "other models"
_OUTCOMES: Final = {
    "ok": "good",
    "error": "bad",
    "truncated": "warn",
    "rejected": "hue-4",
    "blocked": "hue-5",
    "cancelled": "calm",
    "abandoned": "hue-7",
}
"""Outcome -> tone, in the order they are stacked."""
_PERCENTILES: Final = {"p50": "hue-1", "p95": "hue-2", "p99": "hue-5"}
_HOUR: Final = 3600


def over_time(timeline: Timeline) -> tuple[Chart, ...]:
    """Return a period's charts; one that has nothing to show is left out."""
    labels = tuple(_label(start, timeline.width) for start in timeline.starts)
    step = _length(timeline.width)
    tones = (f"hue-{number}" for number in range(1, 9))
    models = largest(timeline.spend, most=_MODELS, rest=_REST)
    spend = tuple(
        Series(name=shown(name), values=tuple(map(usd, sums)), tone="hue-8" if name == _REST else next(tones))
        for name, sums in models.items()
    )
    percentiles = tuple(
        Series(name=name, values=values, tone=tone, style=Style.LINE)
        for (name, tone), values in zip(_PERCENTILES.items(), timeline.durations, strict=True)
    )
    charts = (
        Chart(title="Spend by model", note=f"USD {step}", unit=Unit.USD, labels=labels, series=spend),
        Chart(
            title="Latency", note="whole calls, retries included", unit=Unit.SECONDS, labels=labels, series=percentiles
        ),
        Chart(
            title="Outcomes",
            note=f"calls {step}",
            unit=Unit.CALLS,
            labels=labels,
            series=tuple(_by_outcome({name: tuple(map(float, sums)) for name, sums in timeline.outcomes.items()})),
        ),
        Chart(
            title="Waste",
            note=f"USD {step} on calls without a whole answer",
            unit=Unit.USD,
            labels=labels,
            series=tuple(_by_outcome({name: tuple(map(usd, sums)) for name, sums in timeline.wasted.items()})),
        ),
    )
    return tuple(chart for chart in charts if any(any(series.values) for series in chart.series))


def month(daily: Mapping[int, int], forecast: Forecast, *, now: float) -> Chart:
    """Return the current month's spend as it adds up, and the way to its foreseen end with the interval of 95 %.

    Args:
        daily: Day since 1970 (UTC) -> nano-dollars.
        forecast: Of the month.
        now: Unix time, s.
    """
    moment = datetime.fromtimestamp(now, UTC)
    days = monthrange(moment.year, moment.month)[1]
    today = int(now // DAY)
    first = today - moment.day + 1
    past = [usd(total) for total in accumulate(daily.get(day, 0) for day in range(first, today + 1))]
    ahead = days - moment.day
    so_far = (*past, *[None] * ahead)

    def way(end: int) -> tuple[float | None, ...]:
        """Return a straight line from today to an end."""
        rise = usd(end) - past[-1]
        return (*[None] * (moment.day - 1), *(past[-1] + rise * step / max(1, ahead) for step in range(ahead + 1)))

    return Chart(
        title=f"{moment:%B}",
        note=f"USD since the 1st; foreseen from {forecast.days} whole days, with the interval of 95 %",
        unit=Unit.USD,
        labels=tuple(str(day) for day in range(1, days + 1)),
        series=(
            Series(name="low", values=way(forecast.low), tone="accent", style=Style.EDGE),
            Series(name="95 %", values=way(forecast.high), tone="accent", style=Style.BAND),
            Series(name="expected", values=way(forecast.expected), tone="accent", style=Style.DASHED),
            Series(name="so far", values=so_far, tone="accent", style=Style.LINE),
        ),
    )


def _by_outcome(values: Mapping[str, tuple[float, ...]]) -> Iterator[Series]:
    known = [name for name in _OUTCOMES if name in values]
    for name in [*known, *(name for name in values if name not in _OUTCOMES)]:
        yield Series(name=shown(name), values=values[name], tone=_OUTCOMES.get(name, "hue-8"))


def _label(start: int, step: int) -> str:
    moment = datetime.fromtimestamp(start, UTC)
    if step >= DAY:
        return f"{moment.day} {moment:%b}"
    return f"{moment.day} {moment:%b %H:%M}" if step >= _HOUR else f"{moment:%H:%M}"


def _length(step: int) -> str:
    if step >= DAY:
        return "a day" if step == DAY else f"per {step // DAY} days"
    if step >= _HOUR:
        return "an hour" if step == _HOUR else f"per {step // _HOUR} hours"
    return "a minute" if step == 60 else f"per {step // 60} minutes"  # noqa: PLR2004 - seconds
