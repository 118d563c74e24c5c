"""What one call cost, and who says so.

The order of belief:

1. The gateway's own amount. A reported 0 on a successful call is believed: free models and a gateway-side cache hit are
   real, and replacing a statement by an estimate would invent a charge. The estimate stays beside it in ``estimate``,
   so a gateway that wrongly says 0 shows up as a difference. Callers pass no header for streams and failed calls, where
   the gateway's header is known to be wrong.
2. The price table: the user's own prices, else the catalogue, else ``genai-prices``; when both input and output tokens
   are known, and the price has a rate for each kind of them.
3. Nothing: ``total`` is ``None``. Unknown is never written as 0.

What a price makes of the tokens is in ``costs``. Neither it nor a price list knows of tool fees, discounts, batch and
priority tiers of service.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from huddle_otel.spend.costs import costs_of
from huddle_otel.spend.money import cost_header, divide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huddle_otel.spend.price import Price
    from huddle_otel.spend.prices import PriceTable
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
    """Input neither read from nor written to a prompt cache, audio and images included."""
    output: int | None = None
    """Output; reasoning, audio and images included."""
    cache_read: int | None = None
    cache_write: int | None = None
    """Each part is rounded by itself: the four may differ from ``total`` by 2 nano-dollars, and a price per call, or a
    gateway's tool fees, margins and discounts, are in none of them."""
    estimate: int | None = None
    """What the table says, also when the gateway reported, so that the difference can be measured."""


UNKNOWN: Final = Spend()
"""The spend of a call nobody has priced."""


def spend_of(  # noqa: PLR0913 - all but the first by name, and most have a default
    usage: Usage | None,
    *,
    models: tuple[str | None, ...],
    reported: int | None,
    table: PriceTable,
    when: float | None = None,
    text: bool = True,
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
        when: When the call began, Unix time, s; ``None``: prices that change with time are taken as they were last.
        text: The call's tokens are text, as far as usage does not say otherwise. Those of images and sound may be
            anything: the prices of lists are used only if usage says of each token what it is; a user's own always.
        reported_parts: The gateway's own split, see :func:`parts_of`. Used only under a gateway total.

    Returns:
        The spend. Table amounts are exact sums, rounded once, half to even, to a nano-dollar.
    """
    if reported is None and usage is not None:
        reported = usage.cost
    price = None if usage is None else _first_price(models, table, usage, when)
    costs = None
    if usage is not None and price is not None and (text or _applies(price, usage)):
        costs = costs_of(usage, price)
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
        cache_read=costs[2] and divide(costs[2], TOKENS_PER_RATE),  # mostly 0
        cache_write=costs[3] and divide(costs[3], TOKENS_PER_RATE),
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


def _first_price(models: tuple[str | None, ...], table: PriceTable, usage: Usage, when: float | None) -> Price | None:
    for model in models:
        if model and (price := table.find(model, usage=usage, when=when)) is not None:
            return price
    return None


def _applies(price: Price, usage: Usage) -> bool:
    """Tell whether a price is one for tokens that may be anything: a list's input and output are those of text."""
    return price.source == "override" or usage.is_split
