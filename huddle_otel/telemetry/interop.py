"""Other instrumentations of the same call: found through the current context, so that tokens and spend count once.

Where another instrumentation has an open span for the model call, that span is where tokens and spend belong; what it
lacks is added to it, and our span below keeps to attempts, breaker and gateway. Where its span has ended before us,
ours carries everything.
"""

from __future__ import annotations

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
_MODEL_CALLS: Final = frozenset({"chat", "text_completion", "generate_content", "embeddings", None})
"""Operations that are a call of a model; others (an agent's, a tool's) contain calls, and ours is one of these."""
_OPENINFERENCE: Final = frozenset({"LLM", "EMBEDDING"})


@dataclass(frozen=True, slots=True)
class Outer:
    """Another instrumentation's view of the call that is about to be made."""

    span: Span
    records_metrics: bool
    """It records the conventional metrics itself."""


def outer() -> Outer | None:
    """Return the instrumentation around us that takes the current call for its own, if there is one."""
    span = trace.get_current_span()
    by_util_genai = context.get_value(_CONTEXT_KEY) is not None
    if by_util_genai or _is_model_call(getattr(span, "attributes", None)):
        return Outer(span, by_util_genai)
    return None


def _is_model_call(attributes: Mapping[str, Any] | None) -> bool:
    if not attributes:
        return False
    if attributes.get("openinference.span.kind") in _OPENINFERENCE or "llm.request.type" in attributes:
        return True
    return contract.REQUEST_MODEL in attributes and attributes.get(contract.OPERATION) in _MODEL_CALLS


def add_missing(span: Span, attributes: Mapping[str, Any]) -> bool:
    """Add what an open span of another instrumentation lacks; False when it has ended and takes nothing."""
    if not span.is_recording():
        return False
    there: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    span.set_attributes({name: value for name, value in attributes.items() if name not in there})
    return True


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
