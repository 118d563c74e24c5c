"""The tables of a reconciliation, as Markdown: they go into the log of a test run, and into docs/reconciliation.md."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from huddle_otel.spend import format_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.litellm.book import Entry


def estimates(calls: Iterable[tuple[str, int, int | None]]) -> str:
    """Say how far estimates are from what the gateway reported.

    Args:
        calls: Model, reported cost and estimate of each, nano-dollars; None: no price.
    """
    models: defaultdict[str, list[tuple[int, int | None]]] = defaultdict(list)
    for model, reported, estimate in calls:
        models[model].append((reported, estimate))
    rows = [(model, *_compared(models[model])) for model in sorted(models)]
    return _table(("model", "calls", "reported", "estimated", "error", "worst call"), rows)


def _compared(costs: Sequence[tuple[int, int | None]]) -> tuple[str, ...]:
    reported = sum(cost for cost, _ in costs)
    known = [(cost, estimate) for cost, estimate in costs if estimate is not None]
    told = (str(len(costs)), format_usd(reported))
    if not known:
        return (*told, "no price", "", "")
    estimated = sum(estimate for _, estimate in known)
    worst = max((estimate - cost for cost, estimate in known), key=abs)
    return (*told, format_usd(estimated), f"{(estimated - reported) / reported:+.1%}", format_usd(worst))


def unknowns(calls: Iterable[tuple[str, dict[str, Any], Sequence[Entry]]]) -> str:
    """Say of calls whose cost we do not know what the gateway says among its own."""
    kinds: defaultdict[tuple[str, str], list[Sequence[Entry]]] = defaultdict(list)
    for model, row, entries in calls:
        kinds[model, row["outcome"]].append(entries)
    rows = [
        (model, outcome, str(len(found)), format_usd(sum(entry.cost or 0 for each in found for entry in each)))
        for (model, outcome), found in sorted(kinds.items())
    ]
    return _table(("model", "outcome", "calls", "in the gateway's account"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
