"""Other instrumentations of the same call: found through the current context, so that tokens and spend count once.

Where another instrumentation has an open span for the model call, that span is where tokens and spend belong; what it
lacks is added to it, and our span below keeps to attempts, breaker and gateway. Where its span has ended before us,
ours carries what it did not say. A conventional metric that it records, we do not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span

from huddle_otel.spend import shared_tags
from huddle_otel.telemetry import contract

_UTIL_GENAI: Final = "opentelemetry.util.genai.invocation"
_CONTEXT_KEY: Final = "opentelemetry.genai.client.inference.context"
"""Under which util-genai tells those inside a call that it is being recorded; a plain text, so no import is needed."""
_CONTEXT_KEYS: Final = (
    _CONTEXT_KEY,
    "opentelemetry.genai.client.embedding.context",
    "opentelemetry.genai.client.fetch_response.context",
)
_SCOPE: Final = "opentelemetry.instrumentation.openai"
"""OpenLLMetry's scopes begin so, and those of the community's older instrumentation."""
_THEIRS: Final = frozenset({contract.DURATION.name, contract.TOKEN_USAGE.name})
_UTIL_GENAIS: Final = _THEIRS | {contract.FIRST_CHUNK.name}
_NONE: Final = frozenset[str]()
_MODEL_CALLS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings", None})
"""Operations that are a call of a model; others (an agent's, a tool's) contain calls, and ours is one of these."""
_OPENINFERENCE: Final = frozenset({"LLM", "EMBEDDING"})


@dataclass(frozen=True, slots=True)
class Outer:
    """Another instrumentation's view of the call that is about to be made."""

    span: Span
    records: frozenset[str] = _NONE
    """The conventional metrics that it records itself."""


def outer() -> Outer | None:
    """Return the instrumentation around us that takes the current call for its own, if there is one."""
    span = trace.get_current_span()
    if any(context.get_value(key) is not None for key in _CONTEXT_KEYS):
        return Outer(span, _UTIL_GENAIS)
    if not _is_model_call(getattr(span, "attributes", None)):
        return None
    scope = getattr(getattr(span, "instrumentation_scope", None), "name", "")
    switched_on = os.environ.get("TRACELOOP_METRICS_ENABLED", "true").lower() == "true"
    return Outer(span, _THEIRS if scope.startswith(_SCOPE) and switched_on else _NONE)


def _is_model_call(attributes: Mapping[str, Any] | None) -> bool:
    if not attributes:
        return False
    if attributes.get("openinference.span.kind") in _OPENINFERENCE or "llm.request.type" in attributes:
        return True
    return contract.REQUEST_MODEL in attributes and attributes.get(contract.OPERATION) in _MODEL_CALLS


def add_missing(span: Span, attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what another instrumentation's span lacks; return what it takes no more, as it has ended."""
    there: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    missing = {name: value for name, value in attributes.items() if name not in there}
    if not span.is_recording():
        return missing
    span.set_attributes(missing)
    return {}


def around(span: Span) -> Context:
    """Return the context in which a call is sent: its span is current, and util-genai, if in use, told of it.

    Tags that may leave the process are baggage in it, and so on the requests.
    """
    ours = trace.set_span_in_context(span)
    for name, value in shared_tags().items():
        ours = baggage.set_baggage(name, str(value), ours)
    util_genai = sys.modules.get(_UTIL_GENAI)
    data = getattr(util_genai, "InferenceData", None)
    return ours if data is None or context.get_value(_CONTEXT_KEY) else context.set_value(_CONTEXT_KEY, data(), ours)
