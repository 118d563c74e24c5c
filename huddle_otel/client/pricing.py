"""The price table in force: the user's own prices before the catalogue, `genai-prices` behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from huddle_otel.errors import ConfigurationError
from huddle_otel.settings import PriceFunction, Settings
from huddle_otel.spend import Price, PriceTable, Usage, entry_of, genai_table, read_prices
from huddle_otel.spend.prices import Ask

Trouble = Callable[[str, BaseException, str], object]
"""Takes the component, what went wrong, and how to say it."""


def price_table(settings: Settings, trouble: Trouble) -> PriceTable:
    """Put the table together. A file is read here, once, and `genai-prices` is imported, if installed.

    Args:
        settings: With the user's `prices`.
        trouble: Told of faults that cost a price and nothing else.

    Raises:
        ConfigurationError: The user's prices are not as they must be.
    """
    table = PriceTable.catalogue().before(_lists(trouble))
    given: Any = settings.prices
    if given is None:
        return table
    if not isinstance(given, Mapping) and callable(given):
        return table.asking(guarded(given, trouble))
    try:
        if isinstance(given, Mapping):
            return table.with_overrides(given)
        return table.with_overrides(read_prices(Path(given)))
    except ValueError as error:
        value = "(as given)" if isinstance(given, Mapping) else str(given)
        wrong = ConfigurationError(field="prices", value=value, permitted=str(error))
        raise wrong.named_after(settings.sources) from error


def _lists(trouble: Trouble) -> PriceTable | None:
    try:
        return genai_table()
    except Exception as error:  # noqa: BLE001 - another version may hold anything; the catalogue is still there
        trouble("spend", error, "genai-prices is of an unknown version")
        return None


def guarded(function: PriceFunction, trouble: Trouble) -> Ask:
    """Return a price function as the table asks it.

    When it raises, or returns what is no price, `trouble` is told, and the next source is asked as if it had returned
    None.
    """

    def ask(model: str, usage: Usage | None, when: float | None) -> Price | None:
        moment = time.time() if when is None else when
        try:
            said = function(model, usage, datetime.fromtimestamp(moment, UTC))
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything; the app's call goes on
            # by its type: its text may hold whatever the function works with
            trouble("spend", error, f"the function prices= raised {type(error).__name__} for {model!r}")
            return None
        try:
            return None if said is None else entry_of(model, said).at(moment)
        except Exception as error:  # noqa: BLE001 - a mapping of the user's own may raise anything, too
            trouble("spend", error, f"the function prices= returned no price: {error}")
            return None

    return ask
