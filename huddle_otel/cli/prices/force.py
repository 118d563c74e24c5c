"""The prices in force, as an app with this environment has them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from huddle_otel.errors import ConfigurationError
from huddle_otel.settings import PREFIX
from huddle_otel.spend import PriceTable, genai_table, read_prices

VARIABLE: Final = f"{PREFIX}PRICES"


def own_prices() -> Mapping[str, object]:
    """Return what `HUDDLE_OTEL_PRICES` says; empty when it is not set.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    named = os.environ.get(VARIABLE, "").strip()
    return from_file(Path(named), VARIABLE) if named else {}


def from_file(path: Path, field: str) -> Mapping[str, object]:
    """Read a price file, and see that it is one.

    Args:
        path: The file.
        field: Who named it.

    Raises:
        ConfigurationError: The file cannot be read, or does not say prices.
    """
    try:
        prices = read_prices(path)
        PriceTable({}).with_overrides(prices)
    except ValueError as error:
        raise ConfigurationError(field=field, value=str(path), permitted=str(error)) from None
    return prices


def table() -> PriceTable:
    """Return the table: own prices, the catalogue, `genai-prices` if installed.

    Raises:
        ConfigurationError: The file of own prices is not one.
    """
    return PriceTable.catalogue().before(genai_table()).with_overrides(own_prices())
