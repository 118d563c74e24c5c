"""Usage, prices, spend and tags. Pure: no clock, lock, thread, network or OpenTelemetry. Amounts are nano-dollars."""

from huddle_otel.spend.catalogue import CatalogueModel, catalogue
from huddle_otel.spend.money import cost_header, format_usd, nano, usd
from huddle_otel.spend.prices import Price, PriceTable
from huddle_otel.spend.spend import UNKNOWN, Part, Source, Spend, parts_of, spend_of
from huddle_otel.spend.tags import TagScope, TagValue, current_tags, shared_tags, tags
from huddle_otel.spend.usage import Usage, usage_of

__all__ = [
    "UNKNOWN",
    "CatalogueModel",
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
    "format_usd",
    "nano",
    "parts_of",
    "shared_tags",
    "spend_of",
    "tags",
    "usage_of",
    "usd",
]
