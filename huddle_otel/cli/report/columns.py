"""What can be told of a group of calls: the columns of a table for people, and a flat record for programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from huddle_otel.cli.output import seconds
from huddle_otel.cli.report.figures import Group
from huddle_otel.cli.report.ledger import PARTS, TOKENS
from huddle_otel.spend import format_usd

WASTES: Final = ("error", "truncated", "cancelled", "abandoned")
"""Outcomes of calls that may cost something without a whole answer."""
_RANKS: Final = {"p50": 5, "p95": 3, "p99": 6}
_QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table."""

    heading: str
    cell: Callable[[Group], str]
    of: str
    """The field of `Group` it stands on."""
    wide: bool = False
    """Left out where 80 columns must do."""
    rank: int = 0
    """Where names leave too little room, the column with the highest rank goes first: no number is ever cut."""


def _quantiles(of: str, prefix: str, told: Callable[[Group, float], float | None], *, wide: bool) -> tuple[Column, ...]:
    def cell(share: float) -> Callable[[Group], str]:
        return lambda group: seconds(told(group, share))

    return tuple(
        Column(heading=f"{prefix}{name} s", cell=cell(share), of=of, wide=wide, rank=_RANKS[name])
        for name, share in _QUANTILES
    )


def known_waste(group: Group, *outcomes: str) -> int | None:
    """Return what calls with these outcomes, by default all, cost without a whole answer; None when nobody knows."""
    calls, unpriced, cost = (
        sum(each[name] for name in outcomes or each) for each in (group.waste_calls, group.waste_unpriced, group.waste)
    )
    return None if unpriced >= calls and unpriced and not cost else cost


def wasted(group: Group) -> str:
    """Write the same for people; `-` is none."""
    any_of_it = group.wasted_calls or group.wasted_unpriced or group.wasted
    return format_usd(known_waste(group)) if any_of_it else "-"


def short(count: int) -> str:
    """Write a number in four places or so."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def _count(number: int) -> str:
    return f"{number:,}" if number else "-"


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole:.2f}" if whole else "-"


def _money(costs: Mapping[str, int], name: str) -> str:
    return format_usd(costs[name]) if name in costs else "-"


def _estimated(group: Group) -> str:
    others = [cost for name, cost in group.sources.items() if name != "gateway"]
    return format_usd(sum(others)) if others else "-"


COLUMNS: Final = (
    Column(heading="calls", cell=lambda group: f"{group.calls:,}", of="calls"),
    Column(heading="ok", cell=lambda group: f"{group.ok / group.calls:.0%}" if group.calls else "-", of="ok", rank=2),
    Column(heading="tries", cell=lambda group: _ratio(group.attempts, group.calls), of="attempts", wide=True),
    Column(heading="spend", cell=lambda group: format_usd(group.known_cost), of="cost"),
    Column(heading="reported", cell=lambda group: _money(group.sources, "gateway"), of="sources", wide=True),
    Column(heading="estimated", cell=_estimated, of="sources", wide=True),
    Column(heading="unpriced", cell=lambda group: _count(group.unpriced), of="unpriced", wide=True),
    Column(
        heading="rep-est",
        cell=lambda group: format_usd(group.difference) if group.compared else "-",
        of="difference",
        wide=True,
    ),
    Column(heading="wasted", cell=wasted, of="waste", rank=1),
    Column(heading="tokens", cell=lambda group: short(group.input_tokens + group.output_tokens), of="tokens", rank=4),
    Column(heading="in", cell=lambda group: short(group.input_tokens), of="tokens", wide=True),
    Column(heading="cached", cell=lambda group: short(group.tokens["cache_read_tokens"]), of="tokens", wide=True),
    Column(heading="out", cell=lambda group: short(group.output_tokens), of="tokens", wide=True),
    *_quantiles("durations", "", Group.percentile, wide=False),
    *_quantiles("first_chunks", "1st ", Group.first_chunk, wide=True),
)
"""Of a table, in order. `rep-est` is what was reported less what was estimated, `1st` the time to the first content."""


def record(group: Group, unknown: AbstractSet[str] = frozenset()) -> dict[str, Any]:
    """Return everything that is known of a group. Money is in nano-dollars, times are in seconds; None is unknown.

    Args:
        group: The calls.
        unknown: Fields of `Group` that nobody knows.
    """
    told: dict[str, tuple[str, Any]] = {
        **{name: (name, getattr(group, name)) for name in ("calls", "ok", "attempts")},
        **{name: ("tokens", group.tokens[name]) for name in TOKENS},
        "cost": ("cost", group.known_cost),
        "cost_reported": ("sources", group.sources["gateway"]),
        "cost_estimated": ("sources", group.sources.total() - group.sources["gateway"]),
        **{name: ("parts", group.parts[name] if group.split else None) for name in PARTS},
        **{name: (name, getattr(group, name)) for name in ("split", "unpriced", "compared")},
        "difference": ("difference", group.difference if group.compared else None),
        "wasted_calls": ("waste_calls", group.wasted_calls),
        "wasted_unpriced": ("waste_unpriced", group.wasted_unpriced),
        "wasted": ("waste", known_waste(group)),
    }
    for outcome in WASTES:
        told[f"wasted_calls_{outcome}"] = ("waste_calls", group.waste_calls[outcome])
        told[f"wasted_{outcome}"] = ("waste", known_waste(group, outcome))
    told["double_billing"] = ("double_billing", group.double_billing)
    for name, share in _QUANTILES:
        told[name] = ("durations", group.percentile(share))
        told[f"first_chunk_{name}"] = ("first_chunks", group.first_chunk(share))
    return {name: None if of in unknown else value for name, (of, value) in told.items()}
