"""What one call cost, and who says so.

The order of belief:

1. The gateway's own amount. A reported 0 on a successful call is believed: free models and a gateway-side cache hit are
   real, and replacing a statement by an estimate would invent a charge. The estimate stays beside it in ``estimate``,
   so a gateway that wrongly says 0 shows up as a difference. Callers pass no header for streams and failed calls, where
   the gateway's header is known to be wrong.
2. The price table, when both input and output tokens are known.
3. Nothing: ``total`` is ``None``. Unknown is never written as 0.

What the table's amount is, and is not:

* Reasoning tokens are inside the output and priced as output.
* Cached input without a stated cache price is priced as plain input. For reads that is an upper bound. Cache writes can
  cost more than plain input at some vendors, so for them it is only the nearest stated price.
* Audio and image tokens are priced as text: the table states one input and one output price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from huddle_otel.spend.money import cost_header, divide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huddle_otel.spend.prices import Price, PriceTable
    from huddle_otel.spend.usage import Usage

Source = Literal["gateway", "override", "catalogue", "genai-prices", "unknown"]
Part = Literal["input", "output", "cache_read", "cache_write"]

TOKENS_PER_RATE: Final = 1_000_000
"""Prices are per this many tokens."""

PART_HEADERS: Final[Mapping[Part, str]] = {
    "input": "x-litellm-response-cost-input",
    "output": "x-litellm-response-cost-output",
    "cache_read": "x-litellm-response-cost-cache-read",
    "cache_write": "x-litellm-response-cost-cache-creation",
}
"""LiteLLM's cost headers (USD). They do not overlap: input is the uncached part, output includes reasoning."""

_NO_PARTS: Final[Mapping[Part, int | None]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spend:
    """The cost of one call, in nano-dollars. ``None`` means unknown, never free."""

    total: int | None = None
    source: Source = "unknown"
    input: int | None = None
    """Input neither read from nor written to a prompt cache."""
    output: int | None = None
    """Output, reasoning included."""
    cache_read: int | None = None
    cache_write: int | None = None
    """Each part is rounded by itself: the four may differ from ``total`` by 2 nano-dollars, and a gateway's total may
    hold tool fees, margins and discounts that are in none of them."""
    estimate: int | None = None
    """What the table says, also when the gateway reported, so that the difference can be measured."""


UNKNOWN: Final = Spend()
"""The spend of a call nobody has priced."""


def spend_of(
    usage: Usage | None,
    *,
    models: tuple[str | None, ...],
    reported: int | None,
    table: PriceTable,
    reported_parts: Mapping[Part, int | None] | None = None,
) -> Spend:
    """Decide what one call cost. See the module for the order of belief.

    Args:
        usage: Token counts, or ``None`` when the answer held none.
        models: Ids to look up, most telling first: the request's model, as the gateway prices by that name, then the
            response's. The first id with a price decides.
        reported: The gateway's cost header in nano-dollars, for calls that were not streamed. Without one,
            ``usage.cost`` is the gateway's word.
        table: Prices for the estimate.
        reported_parts: The gateway's own split, see :func:`parts_of`. Used only under a gateway total.

    Returns:
        The spend. Table amounts are exact sums, rounded once, half to even, to a nano-dollar.
    """
    if reported is None and usage is not None:
        reported = usage.cost
    price = None if usage is None else _first_price(models, table)
    costs = None if usage is None or price is None else _costs(usage, price)
    estimate = None if costs is None else divide(sum(costs), TOKENS_PER_RATE)
    if reported is not None:
        # No table split under a gateway total: the two need not agree, and a mixed record explains nothing.
        part = (reported_parts or _NO_PARTS).get
        return Spend(
            total=reported,
            source="gateway",
            input=part("input"),
            output=part("output"),
            cache_read=part("cache_read"),
            cache_write=part("cache_write"),
            estimate=estimate,
        )
    if price is None or costs is None:
        return UNKNOWN
    return Spend(
        total=estimate,
        source=price.source,
        input=divide(costs[0], TOKENS_PER_RATE),
        output=divide(costs[1], TOKENS_PER_RATE),
        cache_read=divide(costs[2], TOKENS_PER_RATE),
        cache_write=divide(costs[3], TOKENS_PER_RATE),
        estimate=estimate,
    )


def parts_of(headers: Mapping[str, str]) -> dict[Part, int | None]:
    """Read the gateway's split of the cost.

    Args:
        headers: Response headers of a call that was not streamed; lower-case names, or a case-insensitive mapping.

    Returns:
        Nano-dollars per part; ``None`` where the gateway states nothing.
    """
    return {part: cost_header(headers.get(name)) for part, name in PART_HEADERS.items()}


def _first_price(models: tuple[str | None, ...], table: PriceTable) -> Price | None:
    for model in models:
        if model and (price := table.find(model)) is not None:
            return price
    return None


def _costs(usage: Usage, price: Price) -> tuple[int, int, int, int] | None:
    """Cost of plain input, output, cache reads and cache writes, in nano-dollars times TOKENS_PER_RATE: still exact."""
    tokens_in, tokens_out = usage.input_tokens, usage.output_tokens
    if tokens_in is None or tokens_out is None:
        return None  # half a bill is not a total
    read = usage.cache_read_tokens or 0
    written = usage.cache_write_tokens or 0
    plain = tokens_in - read - written
    if plain < 0:
        # More cached than input: this answer counts cached tokens beside the input, not inside it.
        plain = tokens_in
    rate = price.input
    rate_read = rate if price.cache_read is None else price.cache_read
    rate_written = rate if price.cache_write is None else price.cache_write
    return plain * rate, tokens_out * price.output, read * rate_read, written * rate_written
