"""Usage, prices, spend and tags. No clock, lock, thread, network or OpenTelemetry. Amounts are nano-dollars."""

from huddle_otel.spend.catalogue import CatalogueModel, catalogue
from huddle_otel.spend.genai import genai_table
from huddle_otel.spend.money import cost_header, format_usd, nano, usd
from huddle_otel.spend.overrides import entry_of, read_prices
from huddle_otel.spend.price import Price
from huddle_otel.spend.prices import Match, PriceTable
from huddle_otel.spend.spend import UNKNOWN, Part, Source, Spend, parts_of, spend_of
from huddle_otel.spend.tags import TagScope, TagValue, current_tags, shared_tags, tags
from huddle_otel.spend.usage import Usage, usage_of

__all__ = [
    "UNKNOWN",
    "CatalogueModel",
    "Match",
    "Part",
    "Price",
    "PriceTable",
    "Source",
    "Spend",
    "TagScope",
    "TagValue",
    "Usage",
    "catalogue",
    "cost_header",
    "current_tags",
    "entry_of",
    "format_usd",
    "genai_table",
    "nano",
    "parts_of",
    "read_prices",
    "shared_tags",
    "spend_of",
    "tags",
    "usage_of",
    "usd",
]
