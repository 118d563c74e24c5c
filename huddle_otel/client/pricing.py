"""The price table in force: the user's own prices before the catalogue, `genai-prices` behind it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from huddle_otel.errors import ConfigurationError
from huddle_otel.settings import PriceFunction, Settings
from huddle_otel.spend import Price, PriceTable, Usage, entry_of, genai_table, read_prices
from huddle_otel.spend.prices import Ask

_LOG: Final = logging.getLogger("huddle_otel")
Trouble = Callable[[str, BaseException], object]
"""Takes the component and what went wrong."""


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
        return table.with_overrides(read_prices(Path(given).expanduser()))
    except ValueError as error:
        value = "(as given)" if isinstance(given, Mapping) else str(given)
        wrong = ConfigurationError(field="prices", value=value, permitted=str(error))
        raise wrong.named_after(settings.sources) from error


def _lists(trouble: Trouble) -> PriceTable | None:
    try:
        return genai_table()
    except Exception as error:  # noqa: BLE001 - another version may hold anything; the catalogue is still there
        trouble("spend", error)
        return None


def guarded(function: PriceFunction, trouble: Trouble) -> Ask:
    """Return a price function as the table asks it.

    What it raises, or returns that is no price, is told to `trouble`, the first time also logged with what it is; then
    the next source is asked, as if it had returned None.
    """
    told = False

    def ask(model: str, usage: Usage | None, when: float | None) -> Price | None:
        nonlocal told
        moment = time.time() if when is None else when
        try:
            stated = function(model, usage, datetime.fromtimestamp(moment, UTC))
            return None if stated is None else entry_of(model, stated).at(moment)
        except Exception as error:  # noqa: BLE001 - the user's function may raise anything; the app's call goes on
            if not told:
                told = True
                _LOG.warning("huddle_otel: prices= has failed for %r and is passed over: %r (said once)", model, error)
            trouble("spend", error)
            return None

    return ask
