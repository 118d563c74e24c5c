"""The telemetry contract: every span attribute and metric we emit, as data.

Conventional names follow the OpenTelemetry GenAI conventions (repository semantic-conventions-genai, status
Development); `gen_ai.usage.cost` is the de-facto name other tools read. Everything of ours starts with `huddle.`.
Nothing else in the code base writes a name: a change here is a change of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCOPE: Final = "huddle_otel"

# --- attributes -----------------------------------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
REQUEST_STREAM: Final = "gen_ai.request.stream"
REQUEST_CHOICES: Final = "gen_ai.request.choice.count"
REQUEST_STOP: Final = "gen_ai.request.stop_sequences"
REQUEST_ENCODING: Final = "gen_ai.request.encoding_formats"
OUTPUT_TYPE: Final = "gen_ai.output.type"
CONVERSATION: Final = "gen_ai.conversation.id"
API_TYPE: Final = "openai.api.type"

REQUEST_FIELDS: Final = {
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "reasoning_effort": "gen_ai.request.reasoning.level",
    "previous_response_id": "gen_ai.request.previous_response.id",
    "dimensions": "gen_ai.embeddings.dimension.count",
    "service_tier": "openai.request.service_tier",
}
"""Request body field -> attribute, for fields whose value is taken as it is."""

RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
RESPONSE_TIER: Final = "openai.response.service_tier"
FINGERPRINT: Final = "openai.response.system_fingerprint"

USAGE_FIELDS: Final = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_write.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "input_audio_tokens": "gen_ai.usage.audio.input_tokens",
    "input_image_tokens": "gen_ai.usage.image.input_tokens",
    "input_text_tokens": "gen_ai.usage.text.input_tokens",
    "output_audio_tokens": "gen_ai.usage.audio.output_tokens",
    "output_image_tokens": "gen_ai.usage.image.output_tokens",
    "output_text_tokens": "gen_ai.usage.text.output_tokens",
}
"""Field of `spend.Usage` -> attribute."""

COST: Final = "gen_ai.usage.cost"
COST_SOURCE: Final = "huddle.cost.source"
COST_FIELDS: Final = {
    "input": "huddle.cost.input",
    "output": "huddle.cost.output",
    "cache_read": "huddle.cost.cache_read",
    "cache_write": "huddle.cost.cache_write",
}
"""Field of `spend.Spend` -> attribute, USD."""

ERROR_TYPE: Final = "error.type"
STATUS_CODE: Final = "http.response.status_code"
OUTCOME: Final = "huddle.outcome"
ATTEMPTS: Final = "huddle.attempts"
RETRY_CAUSES: Final = "huddle.retry.causes"
WAIT: Final = "huddle.wait.seconds"
ATTEMPT_FIRST_CHUNK: Final = "huddle.attempt.time_to_first_chunk"
DOUBLE_BILLING: Final = "huddle.possible_double_billing"
REQUEST_ID: Final = "huddle.request.id"
TAG_PREFIX: Final = "huddle.tag."

GATEWAY_HEADERS: Final = {
    "x-litellm-model-id": "huddle.gateway.model_id",
    "x-litellm-version": "huddle.gateway.version",
    "x-litellm-attempted-retries": "huddle.gateway.attempted_retries",
    "x-litellm-attempted-fallbacks": "huddle.gateway.attempted_fallbacks",
    "x-litellm-overhead-duration-ms": "huddle.gateway.overhead_ms",
    "x-litellm-response-duration-ms": "huddle.gateway.duration_ms",
}
"""Response header -> attribute. Headers that are numbers become numbers, except the two named below."""
TEXT_HEADERS: Final = frozenset({"x-litellm-model-id", "x-litellm-version"})
REQUEST_ID_HEADERS: Final = ("x-litellm-call-id", "x-request-id")
"""The first one present is the call's `huddle.request.id`."""

INPUT_MESSAGES: Final = "gen_ai.input.messages"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
TOOL_DEFINITIONS: Final = "gen_ai.tool.definitions"
CONTENT_EVENT: Final = "gen_ai.client.inference.operation.details"
"""Name of the log event that carries content, when asked for."""

ATTEMPT_EVENT: Final = "huddle.attempt"
ATTEMPT_NUMBER: Final = "huddle.attempt.number"
ATTEMPT_CLASS: Final = "huddle.attempt.class"
ATTEMPT_DELAY: Final = "huddle.attempt.delay"

FALLBACK_FROM: Final = "huddle.fallback.from"
FALLBACK_TO: Final = "huddle.fallback.to"
FALLBACK_EVENT: Final = "huddle.fallback"
BREAKER_STATE: Final = "huddle.breaker.state"
BREAKER_EVENT: Final = "huddle.breaker.transition"
BREAKER_FROM: Final = "from"
BREAKER_TO: Final = "to"
CIRCUIT: Final = "circuit"

MODEL: Final = "model"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105 - a token of text
OTHER_MODEL: Final = "other"
"""Stands for every model beyond the limit on metrics; the span keeps the real name."""

# --- metrics --------------------------------------------------------------------------------------------------------


class Kind(StrEnum):
    """How a metric is recorded. Counters and gauges are observed from our own tallies when a reader collects."""

    HISTOGRAM = "histogram"
    COUNTER = "counter"
    UP_DOWN = "updowncounter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric of the contract."""

    name: str
    kind: Kind
    unit: str
    """UCUM; `s`, or an annotation in braces, so that scraped and pushed names agree."""
    description: str
    attributes: tuple[str, ...]
    buckets: tuple[float, ...] = ()


SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(float(4**power) for power in range(14))
_SERIES: Final = (OPERATION, PROVIDER, REQUEST_MODEL, RESPONSE_MODEL, SERVER_ADDRESS, SERVER_PORT)

DURATION: Final = Metric(
    name="gen_ai.client.operation.duration",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Duration of a call as the app sees it: all attempts and waits, a stream to its end.",
    attributes=(*_SERIES, ERROR_TYPE),
    buckets=SECONDS,
)
TOKEN_USAGE: Final = Metric(
    name="gen_ai.client.token.usage",
    kind=Kind.HISTOGRAM,
    unit="{token}",
    description="Tokens of a call, input (cached included) and output (reasoning included).",
    attributes=(*_SERIES, TOKEN_TYPE),
    buckets=TOKENS,
)
FIRST_CHUNK: Final = Metric(
    name="gen_ai.client.operation.time_to_first_chunk",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="From the start of a streamed call to its first content.",
    attributes=_SERIES,
    buckets=SECONDS,
)
ATTEMPT_CHUNK: Final = Metric(
    name="huddle.client.attempt.time_to_first_chunk",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="From the sending of a streamed call's last attempt to its first content: the upstream's own share.",
    attributes=_SERIES,
    buckets=SECONDS,
)
PER_CHUNK: Final = Metric(
    name="gen_ai.client.operation.time_per_output_chunk",
    kind=Kind.HISTOGRAM,
    unit="s",
    description="Mean time between the content chunks of a stream, recorded once at its end.",
    attributes=_SERIES,
    buckets=SECONDS,
)
CALLS: Final = Metric(
    name="huddle.client.calls",
    kind=Kind.COUNTER,
    unit="{call}",
    description="Calls that ended, by outcome.",
    attributes=(OPERATION, MODEL, OUTCOME, ERROR_TYPE),
)
COST_USD: Final = Metric(
    name="huddle.client.cost.usd",
    kind=Kind.COUNTER,
    unit="{USD}",
    description="Spend, by who says so.",
    attributes=(MODEL, "source", "tags"),
)
COST_UNKNOWN: Final = Metric(
    name="huddle.client.cost.unknown",
    kind=Kind.COUNTER,
    unit="{call}",
    description="Calls that cost something, or may have, and that nobody could price.",
    attributes=(MODEL, OUTCOME),
)
COST_WASTE: Final = Metric(
    name="huddle.client.cost.waste.usd",
    kind=Kind.COUNTER,
    unit="{USD}",
    description="The part of the spend that went into calls without a whole answer.",
    attributes=(MODEL, OUTCOME),
)
COST_DIFFERENCE: Final = Metric(
    name="huddle.client.cost.difference.usd",
    kind=Kind.UP_DOWN,
    unit="{USD}",
    description="What the gateway reported less what the price table says, for calls where both are known.",
    attributes=(MODEL,),
)
TOKENS_USED: Final = Metric(
    name="huddle.client.tokens",
    kind=Kind.COUNTER,
    unit="{token}",
    description="Tokens by kind; input and output are all of them, every other type is a part of one of these.",
    attributes=(MODEL, "type", "tags"),
)
ATTEMPTS_MADE: Final = Metric(
    name="huddle.client.attempts",
    kind=Kind.COUNTER,
    unit="{attempt}",
    description="Requests sent, by result and retry class of the failure.",
    attributes=(MODEL, "result", "class"),
)
WAITED: Final = Metric(
    name="huddle.client.wait",
    kind=Kind.COUNTER,
    unit="s",
    description="Time that calls waited between attempts.",
    attributes=(MODEL,),
)
IN_FLIGHT: Final = Metric(
    name="huddle.client.in_flight",
    kind=Kind.UP_DOWN,
    unit="{call}",
    description="Calls begun and not yet ended.",
    attributes=(MODEL,),
)
STREAM_FAULTS: Final = Metric(
    name="huddle.client.stream.faults",
    kind=Kind.COUNTER,
    unit="{fault}",
    description="Streams that broke.",
    attributes=(MODEL, "kind"),
)
DOUBLE_BILLINGS: Final = Metric(
    name="huddle.client.double_billing.possible",
    kind=Kind.COUNTER,
    unit="{call}",
    description="Calls retried after a failure that may have been billed.",
    attributes=(MODEL,),
)
RATELIMIT: Final = Metric(
    name="huddle.client.ratelimit.remaining",
    kind=Kind.GAUGE,
    unit="{unit}",
    description="What the gateway last said is left of its limit.",
    attributes=(MODEL, "type"),
)
TELEMETRY_ERRORS: Final = Metric(
    name="huddle.telemetry.errors",
    kind=Kind.COUNTER,
    unit="{error}",
    description="Failures inside huddle_otel's own telemetry; the calls were not affected.",
    attributes=("component",),
)

REJECTIONS: Final = Metric(
    name="huddle.client.rejections",
    kind=Kind.COUNTER,
    unit="{call}",
    description="Calls refused by a policy, without a request.",
    attributes=(MODEL, "reason"),
)
BREAKER: Final = Metric(
    name="huddle.client.breaker.state",
    kind=Kind.GAUGE,
    unit="{state}",
    description="State of a circuit: 0 closed, 1 half-open, 2 open.",
    attributes=(CIRCUIT,),
)
TRANSITIONS: Final = Metric(
    name="huddle.client.breaker.transitions",
    kind=Kind.COUNTER,
    unit="{transition}",
    description="Changes of state of a circuit.",
    attributes=(CIRCUIT, BREAKER_FROM, BREAKER_TO),
)
RETRY_BUDGET: Final = Metric(
    name="huddle.client.retry.budget",
    kind=Kind.GAUGE,
    unit="{token}",
    description="What is left of a circuit's retry budget; a retry takes 1, one that may bill twice takes 2.",
    attributes=(CIRCUIT,),
)
BUDGET_USED: Final = Metric(
    name="huddle.client.budget.used.usd",
    kind=Kind.GAUGE,
    unit="{USD}",
    description="Spent and reserved in the current period of a limit on spend.",
    attributes=("budget", "key"),
)
BUDGET_LIMIT: Final = Metric(
    name="huddle.client.budget.limit.usd",
    kind=Kind.GAUGE,
    unit="{USD}",
    description="The limit on spend.",
    attributes=("budget", "key"),
)

METRICS: Final = (
    BUDGET_USED,
    BUDGET_LIMIT,
    REJECTIONS,
    BREAKER,
    TRANSITIONS,
    RETRY_BUDGET,
    DURATION,
    TOKEN_USAGE,
    FIRST_CHUNK,
    ATTEMPT_CHUNK,
    PER_CHUNK,
    CALLS,
    COST_USD,
    COST_UNKNOWN,
    COST_WASTE,
    COST_DIFFERENCE,
    TOKENS_USED,
    ATTEMPTS_MADE,
    WAITED,
    IN_FLIGHT,
    STREAM_FAULTS,
    DOUBLE_BILLINGS,
    RATELIMIT,
    TELEMETRY_ERRORS,
)
