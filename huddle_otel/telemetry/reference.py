"""What the names of the contract mean, for `docs/telemetry.md`. Read by its generator and by tests, not at run time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from huddle_otel.telemetry import contract


@dataclass(frozen=True, slots=True)
class Attribute:
    """One span attribute, or attribute of a span event."""

    name: str
    type: str
    when: str
    """When it is there, and what it says."""
    example: str


def _a(name: str, kind: str, when: str, example: str) -> Attribute:
    return Attribute(name, kind, when, example)


START: Final = (
    _a(contract.OPERATION, "string", "always; `chat` for chat and responses, else the endpoint's own name", "chat"),
    _a(contract.PROVIDER, "string", "always; for the gateway what `provider_name` says", "huddle01"),
    _a(contract.REQUEST_MODEL, "string", "the call names a model", "gpt-4.1"),
    _a(contract.SERVER_ADDRESS, "string", "always; the host", "gru.huddle01.io"),
    _a(contract.SERVER_PORT, "int", "not the scheme's own port", "8443"),
    _a(contract.API_TYPE, "string", "chat completions and responses", "chat_completions"),
    _a(contract.REQUEST_STREAM, "boolean", "only when true", "true"),
    _a("gen_ai.request.max_tokens", "int", "given, under whichever of its names", "1024"),
    _a("gen_ai.request.temperature", "double", "given", "0.2"),
    _a("gen_ai.request.top_p", "double", "given", "0.9"),
    _a("gen_ai.request.frequency_penalty", "double", "given", "0.1"),
    _a("gen_ai.request.presence_penalty", "double", "given", "0.1"),
    _a("gen_ai.request.seed", "int", "given", "7"),
    _a(contract.REQUEST_STOP, "string[]", "given", '["END"]'),
    _a(contract.REQUEST_CHOICES, "int", "`n`, when not 1", "3"),
    _a("gen_ai.request.reasoning.level", "string", "`reasoning_effort` given", "low"),
    _a("gen_ai.request.previous_response.id", "string", "given", "resp_67cc"),
    _a(contract.REQUEST_ENCODING, "string[]", "embeddings, given", '["base64"]'),
    _a("gen_ai.embeddings.dimension.count", "int", "embeddings, given", "256"),
    _a(contract.OUTPUT_TYPE, "string", "`response_format` given", "json"),
    _a(contract.CONVERSATION, "string", "the call names a conversation", "conv_68f1"),
    _a("openai.request.service_tier", "string", "given", "flex"),
)
ANSWER: Final = (
    _a(contract.RESPONSE_ID, "string", "answered", "chatcmpl-B9M"),
    _a(contract.RESPONSE_MODEL, "string", "answered; the model that did", "gpt-4.1-2025-04-14"),
    _a(contract.FINISH_REASONS, "string[]", "answered; one per choice", '["stop"]'),
    _a(contract.TIME_TO_FIRST_CHUNK, "double, s", "streams; from the start of the call to the first content", "0.41"),
    _a(contract.ATTEMPT_FIRST_CHUNK, "double, s", "streams; from the sending of the last attempt", "0.38"),
    _a(contract.RESPONSE_TIER, "string", "told", "default"),
    _a(contract.FINGERPRINT, "string", "told; on spans only", "fp_44"),
    _a("gen_ai.usage.input_tokens", "int", "told; cached ones included", "812"),
    _a("gen_ai.usage.output_tokens", "int", "told; reasoning included", "164"),
    _a("gen_ai.usage.cache_read.input_tokens", "int", "told", "512"),
    _a("gen_ai.usage.cache_write.input_tokens", "int", "told", "0"),
    _a("gen_ai.usage.reasoning.output_tokens", "int", "told", "64"),
    _a("gen_ai.usage.text.input_tokens", "int", "told", "800"),
    _a("gen_ai.usage.image.input_tokens", "int", "told", "12"),
    _a("gen_ai.usage.audio.input_tokens", "int", "told", "0"),
    _a("gen_ai.usage.text.output_tokens", "int", "told", "164"),
    _a("gen_ai.usage.image.output_tokens", "int", "told", "0"),
    _a("gen_ai.usage.audio.output_tokens", "int", "told", "0"),
    _a(contract.COST, "double, USD", "known; the name other tools read, not part of the conventions", "0.002936"),
    _a("huddle.cost.input", "double, USD", "known apart", "0.0016"),
    _a("huddle.cost.output", "double, USD", "known apart", "0.0013"),
    _a("huddle.cost.cache_read", "double, USD", "known apart", "0.000036"),
    _a("huddle.cost.cache_write", "double, USD", "known apart", "0"),
    _a(
        contract.COST_SOURCE,
        "string",
        "answered, or perhaps billed: `gateway`, `override`, `catalogue`, `genai-prices` or `unknown`",
        "gateway",
    ),
)
END: Final = (
    _a(
        contract.OUTCOME,
        "string",
        "always: `ok`, `error`, `rejected`, `blocked`, `cancelled`, `abandoned`, `truncated`",
        "ok",
    ),
    _a(contract.ERROR_TYPE, "string", "not ok; see below", "429"),
    _a(contract.STATUS_CODE, "int", "failed with a status", "429"),
    _a(contract.ATTEMPTS, "int", "always; requests sent, 0 when a policy refused", "2"),
    _a(contract.RETRY_CAUSES, "string[]", "retried; `error.type` of each attempt that was", '["503"]'),
    _a(contract.WAIT, "double, s", "retried; waits between attempts", "0.51"),
    _a(contract.DOUBLE_BILLING, "boolean", "true when a failure was retried that may have been billed", "true"),
    _a(contract.BREAKER_STATE, "string", "with a breaker; the circuit's state at the last admission", "half_open"),
    _a(contract.FALLBACK_FROM, "string", "another model answered; the one asked first", "claude-sonnet-4.6"),
    _a(contract.REQUEST_ID, "string", "known: `x-litellm-call-id`, else `x-request-id`", "66ef49ef-f244"),
    _a("huddle.gateway.model_id", "string", "told by a LiteLLM gateway", "a1b2"),
    _a("huddle.gateway.version", "string", "told", "1.106.2"),
    _a("huddle.gateway.attempted_retries", "int", "told; the gateway's own retries below ours", "0"),
    _a("huddle.gateway.attempted_fallbacks", "int", "told", "0"),
    _a("huddle.gateway.overhead_ms", "double, ms", "told", "3.4"),
    _a("huddle.gateway.duration_ms", "double, ms", "told", "812.5"),
    _a(contract.TAG_PREFIX + "*", "any", "one per tag in force, `huddle_otel.tags(team=…)`", "search"),
)
CONTENT: Final = (
    _a(contract.INPUT_MESSAGES, "string, JSON", "asked for with `content=`; see below", '[{"role": "user", …}]'),
    _a(contract.OUTPUT_MESSAGES, "string, JSON", "asked for", '[{"role": "assistant", …}]'),
    _a(contract.SYSTEM_INSTRUCTIONS, "string, JSON", "asked for; `instructions` of the Responses API", "[…]"),
    _a(contract.TOOL_DEFINITIONS, "string, JSON", "asked for", "[…]"),
)
EVENTS: Final = {
    contract.ATTEMPT_EVENT: (
        "an attempt failed",
        (
            _a(contract.ATTEMPT_NUMBER, "int", "always; from 1", "1"),
            _a(contract.ERROR_TYPE, "string", "always", "503"),
            _a(contract.STATUS_CODE, "int", "it was a status", "503"),
            _a(contract.ATTEMPT_CLASS, "string", "always; the retry class, A to E", "B"),
            _a(contract.ATTEMPT_DELAY, "double, s", "retried; the wait before the next", "0.51"),
        ),
    ),
    contract.FALLBACK_EVENT: (
        "the call goes on with another model",
        (
            _a(contract.FALLBACK_FROM, "string", "always", "claude-sonnet-4.6"),
            _a(contract.FALLBACK_TO, "string", "always", "gpt-4.1"),
            _a(contract.ERROR_TYPE, "string", "always; why", "breaker_open"),
        ),
    ),
    contract.BREAKER_EVENT: (
        "this call changed its circuit's state",
        (
            _a(contract.CIRCUIT, "string", "always; host/model/operation", "gru.huddle01.io/gpt-4.1/chat"),
            _a(contract.BREAKER_FROM, "string", "always", "closed"),
            _a(contract.BREAKER_TO, "string", "always", "open"),
        ),
    ),
}
ERROR_TYPES: Final = {
    "a status, `429`": "the answer's HTTP status",
    "`connect_error`, `connect_timeout`": "no connection: nothing was sent",
    "`pool_timeout`": "the app's own connection pool is full",
    "`disconnect`": "the connection broke after the request was sent",
    "`read_timeout`, `write_timeout`, `timeout`": "a socket's timeout",
    "`first_token_timeout`, `stall_timeout`, `deadline_exceeded`": "one of the clocks; which is in the exception, too",
    "`stream_truncated`": "a stream ended without saying that it was over",
    "`stream_error`": "an error event inside a stream",
    "`server_error`, `rate_limit_exceeded`, `vector_store_timeout`, `invalid_prompt`, `response_failed`": (
        "a response that says itself that it failed, in a 200"
    ),
    "`malformed_response`": "a body, or a chunk, that is not JSON, or cannot be decompressed",
    "`too_many_redirects`": "the host sends the request round in circles",
    "`breaker_open`, `bulkhead_full`, `rate_limited`, `budget_exceeded`": "refused by a policy, nothing was sent",
    "the name of a class": "raised on the app's side: a hook, a validator",
}
