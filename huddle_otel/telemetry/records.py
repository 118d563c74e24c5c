"""A call that ended, as a ledger keeps it."""

from __future__ import annotations

from opentelemetry.trace import Span

from huddle_otel.events import CallRecord, Finished, Request, finish_reason
from huddle_otel.spend import Usage
from huddle_otel.telemetry.answer import Answer

_NOTHING = Usage()


def record_of(
    span: Span, request: Request, event: Finished, answer: Answer, *, ended: float, duration: float
) -> CallRecord:
    """Put together what is known of a call.

    Args:
        span: The call's span, sampled or not.
        request: What was asked.
        event: How it ended.
        answer: What came back.
        ended: Unix time, s.
        duration: Seconds, by a clock that does not jump.
    """
    usage, spend, failure, within = answer.usage or _NOTHING, answer.spend, event.failure, span.get_span_context()
    return CallRecord(
        started=ended - duration,
        duration=duration,
        first_chunk=answer.first_chunk,
        operation=request.operation,
        model=request.model,
        response_model=answer.model,
        provider=request.provider,
        host=request.host,
        stream=request.stream,
        outcome=str(event.outcome),
        error_type=failure.error_type if failure is not None else None,
        status=failure.status if failure is not None else None,
        finish_reason=finish_reason(answer.finish_reasons),
        attempts=event.attempts,
        waited=event.waited,
        double_billing=event.double_billing,
        answered=answer.answered or event.may_be_billed,
        fell_back_from=event.fell_back_from or None,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        input_image_tokens=usage.input_image_tokens,
        output_audio_tokens=usage.output_audio_tokens,
        output_image_tokens=usage.output_image_tokens,
        cost=spend.total,
        cost_source=spend.source,
        cost_input=spend.input,
        cost_output=spend.output,
        cost_cache_read=spend.cache_read,
        cost_cache_write=spend.cache_write,
        cost_estimate=spend.estimate,
        request_id=answer.named(),
        response_id=answer.id,
        trace_id=within.trace_id,
        span_id=within.span_id,
        tags=answer.tags,
    )
