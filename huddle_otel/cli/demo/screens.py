"""What the demo shows: the panel, the phases, one span, and the comparison. Layout only; the figures come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from huddle_otel.cli.demo.figures import Change, Figures, attribute, percentile, seconds_of
from huddle_otel.cli.demo.scenario import PHASES, Phase
from huddle_otel.cli.output import plain, seconds, table
from huddle_otel.events import Outcome
from huddle_otel.policy.breaker import State
from huddle_otel.spend import format_usd
from huddle_otel.telemetry import contract

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from rich.table import Table

    from huddle_otel.cli.demo.compare import Row


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the panel."""

    title: str
    show: Callable[[Figures], str]
    style: str = ""
    width: int = 3
    """Columns at least, so that the live table does not jump as its figures grow."""


def _count(value: int) -> str:
    return str(value) if value else "-"


def _tokens(value: int) -> str:
    return f"{value / 1000:.0f}k" if value >= 10_000 else f"{value / 1000:.1f}k" if value >= 1_000 else str(value)  # noqa: PLR2004 - thousands


def spend(figures: Figures) -> str:
    """Write what is known to be spent; what is not known is said, and never a zero."""
    if not figures.spend:
        return "unknown" if figures.unknown else "-"
    return format_usd(round(figures.spend * 1e9)) + ("+?" if figures.unknown else "")


COLUMNS: Final = (
    Column("calls", lambda row: _count(row.calls)),
    Column("ok", lambda row: _count(row.ok), "green"),
    Column("fail", lambda row: _count(row.failed), "red"),
    Column("rej", lambda row: _count(row.rejected), "magenta"),
    Column("sent", lambda row: _count(row.sends)),
    Column("retry", lambda row: _count(row.retried), "yellow"),
    Column("p50", lambda row: seconds(row.median)),
    Column("p95", lambda row: seconds(row.slow)),
    Column("1st", lambda row: seconds(row.first_chunk)),
    Column("in", lambda row: _tokens(row.tokens_in)),
    Column("out", lambda row: _tokens(row.tokens_out)),
    Column("spend", spend, "cyan", 10),
)
"""Of the panel and of the table of phases; times in seconds. With the model's name they fill 80 columns."""
_NOT_LIVE: Final = frozenset({"1st", "in", "out"})
"""Columns that make room for the circuit while it is live."""
_CIRCUIT_WIDTH: Final = len(" ○ open 5.0 s")


def panel(title: str | None, first: str, rows: Iterable[Figures], circuits: Mapping[str, Text] | None = None) -> Table:
    """Return the table of figures, one line per row, the row of all in bold; live, with the circuits by row."""
    columns = [column for column in COLUMNS if circuits is None or column.title not in _NOT_LIVE]
    screen = table(title, first, *(column.title for column in columns), gap=1)
    for column, made in zip(columns, screen.columns[1:], strict=True):
        made.style, made.min_width = column.style, column.width
    if circuits is not None:
        screen.add_column(" circuit", header_style="dim", min_width=_CIRCUIT_WIDTH, no_wrap=True)
    for row in rows:
        cells: list[RenderableType] = [column.show(row) for column in columns]
        if circuits is not None:
            cells.append(circuits.get(row.name, ""))
        screen.add_row(row.name, *cells, style="bold" if row.name == "all" else None)
    return screen


_SIGNS: Final = {State.CLOSED: ("●", "green"), State.OPEN: ("○", "red bold"), State.HALF_OPEN: ("◐", "yellow")}
_ASCII: Final = str.maketrans({"●": "*", "○": "o", "◐": "~", "→": "->"})
"""For consoles that cannot write more."""


def circuit(state: str, retry_in: float, *, ascii_only: bool) -> Text:
    """Return the state of a circuit as a cell, an open one with the seconds until its next probe."""
    sign, style = _SIGNS[State(state)]
    left = f" {retry_in:.1f} s" if state == State.OPEN else ""
    text = f" {sign} {_state(state)}{left}"
    return Text(text.translate(_ASCII) if ascii_only else text, style)


def change(each: Change, *, ascii_only: bool) -> str:
    """Return a change of state as a line."""
    text = f"{each.at:5.1f} s  {each.model}: {_state(each.before)} → {_state(each.after)}"
    return text.translate(_ASCII) if ascii_only else text


def _state(state: str) -> str:
    return state.replace("_", "-")


def rejected(spans: Iterable[ReadableSpan]) -> str:
    """Tell how the calls fared that open circuits refused."""
    durations = sorted(seconds_of(span) for span in spans if attribute(span, contract.OUTCOME) == Outcome.REJECTED)
    median = percentile(durations, 0.5)
    return (
        "" if median is None else f": {len(durations)} calls rejected, none sent, a span of {median * 1e3:.1f} ms each"
    )


def live(  # noqa: PLR0913 - the parts of the screen
    phase: Phase,
    moment: float,
    rows: Iterable[Figures],
    in_flight: float,
    circuits: Mapping[str, Text],
    *,
    changes: Sequence[str],
    spans: Sequence[ReadableSpan],
) -> RenderableType:
    """Return the whole live screen at a moment (s) of the run. It fits 24 lines."""
    trail = Text("\n")
    for each in PHASES:
        trail.append(f" {each.name} ", "reverse bold" if each is phase else "dim").append(" ")
    trail.append(f" {moment:4.1f} s  in flight: {in_flight:.0f}")
    return Group(
        trail,
        plain(f" The gateway: {phase.story}.\n", "italic"),
        panel(None, "model", rows, circuits),
        plain(f"\n Circuits{rejected(spans)}", "dim"),
        *(plain(f"  {line}") for line in _last(changes)),
        plain("\n Lately retried or failed:", "dim"),
        *(plain(f"  {line}") for line in lately(spans)),
    )


def _last(lines: Sequence[str], count: int = 4) -> list[str]:
    """Return the last lines; always that many, so that the screen does not jump."""
    return ([""] * count + list(lines))[-count:]


def lately(spans: Sequence[ReadableSpan]) -> list[str]:
    """Tell the story of the last calls that were sent and did not simply succeed, in one line each."""
    return _last(
        [
            _story(span)
            for span in spans
            if attribute(span, contract.RETRY_CAUSES)
            or (attribute(span, contract.ERROR_TYPE) and attribute(span, contract.OUTCOME) != Outcome.REJECTED)
        ]
    )


def _story(span: ReadableSpan) -> str:
    causes = attribute(span, contract.RETRY_CAUSES) or ()
    parts = [f"{attribute(span, contract.REQUEST_MODEL):<14}"]
    if causes:
        parts.append(f"{', '.join(causes)}, waited {attribute(span, contract.WAIT) or 0:.1f} s,")
    error = attribute(span, contract.ERROR_TYPE)
    outcome = attribute(span, contract.OUTCOME)
    parts.append(f"{outcome}" if error is None else f"{outcome}: {error}")
    return " ".join(parts)


_SHOWN: Final = (
    contract.PROVIDER,
    contract.SERVER_ADDRESS,
    contract.REQUEST_STREAM,
    contract.RESPONSE_MODEL,
    contract.FINISH_REASONS,
    contract.TIME_TO_FIRST_CHUNK,
    contract.USAGE_FIELDS["input_tokens"],
    contract.USAGE_FIELDS["output_tokens"],
    contract.COST,
    contract.COST_SOURCE,
    contract.OUTCOME,
    contract.ERROR_TYPE,
    contract.ATTEMPTS,
    contract.RETRY_CAUSES,
    contract.WAIT,
    contract.REQUEST_ID,
)
"""Attributes of the example, in this order; a span has more."""


def span_tree(span: ReadableSpan) -> Tree:
    """Return a span as a tree: key attributes, then what became of its attempts."""
    tree = Tree(plain(f"{span.name}   {seconds_of(span):.3f} s", "bold"), guide_style="dim")
    for name in _SHOWN:
        value = attribute(span, name)
        if value is not None:
            tree.add(Text.assemble((f"{name} = ", "dim"), _value(value)))
    for event in span.events:
        facts = ", ".join(
            f"{name.rpartition('.')[2]} {f'{value:.3g}' if isinstance(value, float) else value}"
            for name, value in (event.attributes or {}).items()
            if name != contract.STATUS_CODE  # error.type says it
        )
        tree.add(Text.assemble((f"event {event.name}: ", "yellow"), facts))
    if span.status.description:
        tree.add(plain(f"status ERROR: {span.status.description}", "red"))
    return tree


def example(spans: Iterable[ReadableSpan]) -> ReadableSpan | None:
    """Return the span that shows most: an answered, priced stream that was retried, or what comes closest."""

    def merit(span: ReadableSpan) -> tuple[bool, ...]:
        wanted = (contract.RETRY_CAUSES, contract.COST, contract.TIME_TO_FIRST_CHUNK)
        return (attribute(span, contract.OUTCOME) == "ok", *(attribute(span, name) is not None for name in wanted))

    return max(spans, key=merit, default=None)


def comparison(title: str, rows: Iterable[Row]) -> Table:
    """Return the closing table."""
    screen = table(title, "", "without", "with huddle_otel", gap=3)
    for row in rows:
        if row.section:
            screen.add_section()
        screen.add_row(row.label, row.bare, row.ours, style="bold" if row.bold else None)
    return screen


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        return ", ".join(map(str, cast("tuple[object, ...]", value)))
    return str(value)
