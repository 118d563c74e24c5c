"""What one row of the ledger adds to the metrics of the contract: as `telemetry.metrics` counts a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

from huddle_otel.telemetry import contract
from huddle_otel.telemetry.contract import Metric
from huddle_otel.text import sound
from huddle_otel_exporters.ledger import COLUMNS

COUNTED: Final = (
    contract.CALLS,
    contract.COST_USD,
    contract.COST_UNKNOWN,
    contract.COST_WASTE,
    contract.COST_DIFFERENCE,
    contract.TOKENS_USED,
    contract.REJECTIONS,
    contract.DOUBLE_BILLINGS,
    contract.WAITED,
)
"""Sums that the ledger knows. Attempts are not among them: it has their number, not what became of each."""
MEASURED: Final = (contract.DURATION, contract.FIRST_CHUNK, contract.TOKEN_USAGE)
"""Histograms that it knows."""
MONEY: Final = frozenset({contract.COST_USD, contract.COST_WASTE, contract.COST_DIFFERENCE})
"""Of these the amounts are nano-dollars, so that sums are exact."""
_TOKENS: Final = tuple(name.removesuffix("_tokens") for name in COLUMNS if name.endswith("_tokens"))
_REFUSED: Final = ("rejected", "blocked")
Labels = tuple[tuple[str, str], ...]


class Call(NamedTuple):
    """The columns that metrics are made of; models are bounded already."""

    operation: str
    provider: str
    model: str
    response_model: str
    host: str
    outcome: str
    error_type: str | None
    duration: float | None
    first_chunk: float | None
    waited: float | None
    double_billing: int
    answered: int
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    input_audio_tokens: int | None
    input_image_tokens: int | None
    output_audio_tokens: int | None
    output_image_tokens: int | None
    cost: int | None
    cost_source: str
    cost_estimate: int | None
    tags: str | None


def changes(call: Call, tags: Labels = ()) -> Iterator[tuple[Metric, Labels, float]]:
    """Yield what a call adds to the sums; spend and tokens are told by tags, too."""
    model = (contract.MODEL, call.model)
    outcome = (contract.OUTCOME, call.outcome)
    error = ((contract.ERROR_TYPE, call.error_type),) if call.error_type else ()
    yield contract.CALLS, ((contract.OPERATION, call.operation), model, outcome, *error), 1
    if call.outcome in _REFUSED:
        yield contract.REJECTIONS, (model, ("reason", call.error_type or "")), 1
    if call.double_billing:
        yield contract.DOUBLE_BILLINGS, (model,), 1
    if call.waited:
        yield contract.WAITED, (model,), call.waited
    if call.cost is not None:
        yield contract.COST_USD, (model, ("source", call.cost_source), *tags), call.cost
        if call.outcome != "ok" and call.cost:
            yield contract.COST_WASTE, (model, outcome), call.cost
        if call.cost_source == "gateway" and call.cost_estimate is not None:
            yield contract.COST_DIFFERENCE, (model,), call.cost - call.cost_estimate
    elif call.answered:
        yield contract.COST_UNKNOWN, (model, outcome), 1
    for kind in _TOKENS:
        if tokens := getattr(call, f"{kind}_tokens"):
            yield contract.TOKENS_USED, (model, ("type", kind), *tags), tokens


def values(call: Call) -> Iterator[tuple[Metric, Labels, float]]:
    """Yield what a call adds to the histograms."""
    series = tuple(
        (name, value)
        for name, value in (
            (contract.OPERATION, call.operation),
            (contract.PROVIDER, call.provider),
            (contract.REQUEST_MODEL, call.model),
            (contract.RESPONSE_MODEL, call.response_model),
            (contract.SERVER_ADDRESS, call.host),
        )
        if value
    )
    if call.duration is not None:
        error = ((contract.ERROR_TYPE, call.error_type),) if call.error_type else ()
        yield contract.DURATION, (*series, *error), call.duration
    if call.first_chunk is not None:
        yield contract.FIRST_CHUNK, series, call.first_chunk
    for kind, tokens in (("input", call.input_tokens), ("output", call.output_tokens)):
        if tokens is not None:
            yield contract.TOKEN_USAGE, (*series, (contract.TOKEN_TYPE, kind)), tokens


def labels_of(text: str, names: tuple[str, ...]) -> Labels:
    """Return tags of these names, out of JSON, written as an exporter writes them; what is no object has none."""
    try:
        said: Any = json.loads(text)
    except ValueError:
        return ()
    tags = cast("dict[str, object]", said) if isinstance(said, dict) else {}
    values = ((name, tags[name]) for name in names if name in tags)
    return tuple((name, sound(value) if isinstance(value, str) else json.dumps(value)) for name, value in values)
