"""The packaged model catalogue, as records. Data only: what the numbers mean for a bill is decided in ``prices``."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueModel:
    """One row of ``catalogue.json``. Prices are decimal text, USD per 1M tokens; ``None`` means not stated."""

    id: str
    """The model id the gateway takes, without prefix."""
    vendor: str
    """Who trains the model, such as ``OpenAI``."""
    input: str | None
    output: str | None
    cache_read: str | None
    cache_write: str | None
    context_window: int | None
    """Tokens."""
    max_output: int | None
    """Tokens."""
    aliases: tuple[str, ...]
    """Names people use for it. Most name a family, not a model; see ``prices`` for the few that price a call."""
    as_of: str | None
    """ISO date of the price; ``None`` when there is no price."""
    estimate: bool
    """Whether the price is an estimate, that is, not from an official price list."""


@functools.cache
def catalogue() -> tuple[CatalogueModel, ...]:
    """Load the packaged catalogue, once per process.

    Returns:
        All rows, in the file's order, those without a price included.
    """
    text = resources.files("huddle_otel.spend").joinpath("catalogue.json").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = json.loads(text)["models"]
    for row in rows:
        row["aliases"] = tuple(row["aliases"])
    return tuple(CatalogueModel(**row) for row in rows)
