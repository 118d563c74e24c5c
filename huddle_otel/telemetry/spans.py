"""The span of a call: attributes at its start, events on its way, the rest at its end."""

from __future__ import annotations

from typing import Any, Final, cast

from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from huddle_otel.events import AttemptFailed, CircuitChanged, FellBack, Finished, Outcome, Request
from huddle_otel.spend import usd
from huddle_otel.telemetry import contract
from huddle_otel.telemetry.answer import Answer
from huddle_otel.telemetry.interop import Outer, add_missing
from huddle_otel.text import sound

_SCALARS: Final = (str, bool, int, float)
_API_TYPES: Final = {"/chat/completions": "chat_completions", "/responses": "responses"}
_FAILED: Final = frozenset({Outcome.ERROR, Outcome.REJECTED, Outcome.TRUNCATED, Outcome.BLOCKED})


def start(tracer: Tracer, request: Request, within: Outer | None) -> Span:
    """Start the span of a call with everything a sampler may want to see.

    Within another instrumentation's span of the same call it must not look like a second call of the model.
    """
    return tracer.start_span(
        sound(f"{request.operation} {request.model}") if request.model else request.operation,
        kind=SpanKind.CLIENT,
        attributes=_sound(_request_attributes(request)) if within is None else {contract.SERVER_ADDRESS: request.host},
    )


def _sound(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes that any exporter can encode; one that it cannot would cost it a whole batch."""
    return {name: kept for name, value in attributes.items() if (kept := _encodable(value)) is not None}


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return sound(value)
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else None
    if isinstance(value, list | tuple):
        return [_encodable(each) for each in cast("list[Any]", value)]
    return value


def _request_attributes(request: Request) -> dict[str, Any]:
    body = request.body
    attributes: dict[str, Any] = {
        contract.OPERATION: request.operation,
        contract.PROVIDER: request.provider,
        contract.SERVER_ADDRESS: request.host,
    }
    if request.model:
        attributes[contract.REQUEST_MODEL] = request.model
    if request.port is not None:
        attributes[contract.SERVER_PORT] = request.port
    if request.stream:
        attributes[contract.REQUEST_STREAM] = True
    api_type = _API_TYPES.get(request.path)
    if api_type is not None:
        attributes[contract.API_TYPE] = api_type
    for field, value in body.items():
        name = contract.REQUEST_FIELDS.get(field)
        if name is not None and isinstance(value, _SCALARS):
            attributes[name] = value
        elif field in _SHAPED:
            _SHAPED[field](attributes, value)
    return attributes


def _choices(attributes: dict[str, Any], value: Any) -> None:
    if isinstance(value, int) and value != 1:
        attributes[contract.REQUEST_CHOICES] = value


def _stop(attributes: dict[str, Any], value: Any) -> None:
    stops = cast("list[Any]", [value] if isinstance(value, str) else value)
    if isinstance(value, str | list) and all(isinstance(each, str) for each in stops):
        attributes[contract.REQUEST_STOP] = stops


def _encoding(attributes: dict[str, Any], value: Any) -> None:
    if isinstance(value, str):
        attributes[contract.REQUEST_ENCODING] = [value]


def _format(attributes: dict[str, Any], value: Any) -> None:
    kind = cast("dict[str, Any]", value).get("type") if isinstance(value, dict) else None
    if kind == "text":
        attributes[contract.OUTPUT_TYPE] = "text"
    elif isinstance(kind, str) and kind.startswith("json"):
        attributes[contract.OUTPUT_TYPE] = "json"


def _conversation(attributes: dict[str, Any], value: Any) -> None:
    known: Any = cast("dict[str, Any]", value).get("id") if isinstance(value, dict) else value
    if isinstance(known, str):
        attributes[contract.CONVERSATION] = known


_SHAPED: Final = {
    "n": _choices,
    "stop": _stop,
    "encoding_format": _encoding,
    "response_format": _format,
    "conversation": _conversation,
}
"""Request fields whose attribute needs more than a copy."""


def attempt_failed(span: Span, event: AttemptFailed) -> None:
    """Add the event of a failed attempt."""
    attributes: dict[str, Any] = {
        contract.ATTEMPT_NUMBER: event.number,
        contract.ERROR_TYPE: event.failure.error_type,
        contract.ATTEMPT_CLASS: str(event.retry_class),
    }
    if event.failure.status is not None:
        attributes[contract.STATUS_CODE] = event.failure.status
    if event.delay is not None:
        attributes[contract.ATTEMPT_DELAY] = event.delay
    span.add_event(contract.ATTEMPT_EVENT, attributes)


def fell_back(span: Span, event: FellBack) -> None:
    """Tell from which model the call fell back, to which, and why; the attribute keeps the first."""
    attributes = {
        contract.FALLBACK_FROM: event.before,
        contract.FALLBACK_TO: event.after,
        contract.ERROR_TYPE: event.why,
    }
    span.add_event(contract.FALLBACK_EVENT, attributes)


def circuit_changed(span: Span, event: CircuitChanged) -> None:
    """Add the event of a circuit's change of state."""
    attributes = {
        contract.CIRCUIT: event.circuit,
        contract.BREAKER_FROM: event.before,
        contract.BREAKER_TO: event.after,
    }
    span.add_event(contract.BREAKER_EVENT, attributes)


def finish(span: Span, event: Finished, answer: Answer, within: Outer | None) -> None:
    """Set what is known at the end, and end the span."""
    if span.is_recording():
        attributes: dict[str, Any] = {contract.OUTCOME: str(event.outcome), contract.ATTEMPTS: event.attempts}
        _add_reliability(attributes, event)
        _add_gateway(attributes, answer)
        attributes.update({contract.TAG_PREFIX + name: value for name, value in answer.tags.items()})
        answered: dict[str, Any] = {}
        _add_response(answered, answer)
        _add_usage(answered, answer)
        if answer.answered or event.may_be_billed or answer.spend.total is not None:
            answered[contract.COST_SOURCE] = answer.spend.source
        attributes, answered = _sound(attributes), _sound(answered)
        attributes.update(answered if within is None else add_missing(within.span, answered))
        span.set_attributes(attributes)
        if event.outcome in _FAILED:
            failure = event.failure
            span.set_status(Status(StatusCode.ERROR, failure.message if failure is not None else str(event.outcome)))
    span.end()


def _add_reliability(attributes: dict[str, Any], event: Finished) -> None:
    if event.failure is not None:
        attributes[contract.ERROR_TYPE] = event.failure.error_type
        if event.failure.status is not None:
            attributes[contract.STATUS_CODE] = event.failure.status
    if event.causes:
        attributes[contract.RETRY_CAUSES] = event.causes
        attributes[contract.WAIT] = event.waited
    if event.double_billing:
        attributes[contract.DOUBLE_BILLING] = True
    if event.circuit:
        attributes[contract.BREAKER_STATE] = event.circuit
    if event.fell_back_from:
        attributes[contract.FALLBACK_FROM] = event.fell_back_from


def _add_response(attributes: dict[str, Any], answer: Answer) -> None:
    known = {
        contract.RESPONSE_ID: answer.id,
        contract.RESPONSE_MODEL: answer.model,
        contract.FINISH_REASONS: answer.finish_reasons or None,
        contract.RESPONSE_TIER: answer.service_tier,
        contract.FINGERPRINT: answer.fingerprint,
        contract.TIME_TO_FIRST_CHUNK: answer.first_chunk,
    }
    attributes.update({name: value for name, value in known.items() if value is not None})
    if answer.first_chunk is not None:
        attributes[contract.ATTEMPT_FIRST_CHUNK] = answer.first_chunk - answer.sent_after


def _add_usage(attributes: dict[str, Any], answer: Answer) -> None:
    if answer.usage is not None:
        counts = ((name, getattr(answer.usage, field)) for field, name in contract.USAGE_FIELDS.items())
        attributes.update({name: count for name, count in counts if count is not None})
    spend = answer.spend
    if spend.total is not None:
        attributes[contract.COST] = usd(spend.total)
        for field, name in contract.COST_FIELDS.items():
            part = getattr(spend, field)
            if part is not None:
                attributes[name] = usd(part)


def _add_gateway(attributes: dict[str, Any], answer: Answer) -> None:
    headers = answer.headers
    request_id = answer.named()
    if request_id:
        attributes[contract.REQUEST_ID] = request_id
    for header, name in contract.GATEWAY_HEADERS.items():
        text = headers.get(header)
        if text is not None:
            attributes[name] = text if header in contract.TEXT_HEADERS else _number(text)


def _number(text: str) -> int | float | str:
    try:
        return int(text) if text.isdigit() else float(text)
    except ValueError:
        return text
