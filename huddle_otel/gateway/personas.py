"""How an answer is dressed: the headers, error objects and usage chunks of a LiteLLM proxy, or of plain OpenAI."""

from __future__ import annotations

import hashlib
import math
import time
import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from huddle_otel.gateway.completions import error_json

if TYPE_CHECKING:
    from decimal import Decimal

    from huddle_otel.gateway.kinds import Reply
    from huddle_otel.gateway.loose import Json

Fields = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """Whose answers these are. Change one with `dataclasses.replace` and hand it to `Gateway(persona=...)`."""

    name: str
    """For messages."""
    litellm: bool
    """Whether headers and error objects are LiteLLM's."""
    usage_with_choice: bool
    """Whether the usage chunk has one choice with an empty delta (LiteLLM) or `choices: []` (OpenAI)."""
    usage_cost: bool
    """Whether the usage chunk says `usage.cost` (USD) for priced models."""
    hint_headers: tuple[str, ...]
    """Headers that carry an upstream's `Retry-After`."""
    usage_so_far: bool = False
    """Whether every content chunk tells the usage up to it, as vLLM does with `continuous_usage_stats`."""
    version: str = ""
    """LiteLLM's version."""


LITELLM: Final = Persona(
    name="litellm",
    litellm=True,
    usage_with_choice=True,
    usage_cost=True,
    hint_headers=("llm_provider-retry-after",),
    version="1.106.2",
)
OPENAI: Final = Persona(
    name="openai", litellm=False, usage_with_choice=False, usage_cost=False, hint_headers=("retry-after",)
)
PERSONAS: Final = {persona.name: persona for persona in (LITELLM, OPENAI)}

_LIMITS: Final = "".join(
    f"x-ratelimit-{name}: {value}\r\n"
    for name, value in (
        ("limit-requests", 10_000),
        ("remaining-requests", 9_999),
        ("limit-tokens", 2_000_000),
        ("remaining-tokens", 1_999_000),
    )
)


def good_headers(persona: Persona, model: str, *, call_id: str | None, cost: Decimal | None, began: float) -> str:
    """Header lines of a good answer. `began` is when the request arrived (`time.monotonic()`, s)."""
    took = (time.monotonic() - began) * 1000
    if not persona.litellm:
        return f"{_openai_lines()}openai-processing-ms: {math.ceil(took)}\r\n"
    # str of a float is what LiteLLM sends: "0.000141", and "5.4e-05" below 1e-4
    spend = "" if cost is None else f"x-litellm-response-cost: {float(cost)}\r\n"
    return (
        f"x-litellm-call-id: {call_id or uuid.uuid4()}\r\n{_litellm_lines(persona.version, model)}{spend}"
        f"x-litellm-response-duration-ms: {took + _OVERHEAD_MS:.3f}\r\n"
        f"x-litellm-overhead-duration-ms: {_OVERHEAD_MS}\r\n"
    )


def error_headers(persona: Persona, reply: Reply, model: str, *, call_id: str | None) -> str:
    """Header lines of another answer: the persona's, the hint, and the reply's own."""
    lines = "".join(f"{name}: {_one_line(value)}\r\n" for name, value in (*_hint(persona, reply), *reply.headers))
    if reply.bare:
        return lines
    if not persona.litellm:
        return _openai_lines() + lines
    return (
        f"x-litellm-call-id: {call_id or uuid.uuid4()}\r\nx-litellm-model-group: {_one_line(model)}\r\n"
        f"x-litellm-version: {persona.version}\r\nx-litellm-response-cost: 0\r\n{lines}"
    )


def error_body(persona: Persona, reply: Reply, model: str) -> bytes:
    """The body of another answer."""
    return error_json(_error(persona, reply, model)) if reply.body is None else reply.body


def stream_error(persona: Persona, message: str, model: str) -> bytes:
    """The data of an error event inside a stream."""
    if not persona.litellm:
        return error_json({"message": message, "type": "server_error", "param": None, "code": None})
    wrapped = (
        f"litellm.MidStreamFallbackError: litellm.APIConnectionError: APIConnectionError: OpenAIException - {message}"
    )
    return error_json(
        {"message": f"{wrapped} Received Model Group={model}", "type": None, "param": None, "code": "500"}
    )


def _error(persona: Persona, reply: Reply, model: str) -> Json:
    message = reply.message.replace("{model}", model)
    if not persona.litellm:
        return {
            "message": message,
            "type": reply.upstream_type or reply.type,
            "param": reply.param,
            "code": reply.upstream_code,
        }
    if reply.exception:
        # The router puts its own class, the mapped class and the provider in front of the upstream's words.
        message = (
            f"litellm.{reply.exception}: {reply.exception}: OpenAIException - {message.rstrip('.')}. "
            f"Received Model Group={model}\n"
            "Available Model Group Fallbacks=None"
        )
    return {"message": message, "type": reply.type, "param": reply.param, "code": str(reply.code)}


def _hint(persona: Persona, reply: Reply) -> Fields:
    if reply.retry_after is None:
        return ()
    names = persona.hint_headers if reply.hint_headers is None else reply.hint_headers
    return tuple((name, f"{reply.retry_after:g}") for name in names)


def _openai_lines() -> str:
    return f"x-request-id: req_{uuid.uuid4().hex}\r\nopenai-version: 2020-10-01\r\n{_LIMITS}"


_OVERHEAD_MS: Final = 0.5


@lru_cache(maxsize=1024)
def _litellm_lines(version: str, model: str) -> str:
    deployment = hashlib.sha256(model.encode()).hexdigest()
    return (
        f"x-litellm-model-id: {deployment}\r\nx-litellm-model-group: {_one_line(model)}\r\n"
        f"x-litellm-version: {version}\r\nx-litellm-attempted-retries: 0\r\n"
        f"x-litellm-attempted-fallbacks: 0\r\n{_LIMITS}"
    )


def _one_line(value: str) -> str:
    """`value` as it may stand in a header: a model name with a line break must not start another header."""
    return (
        value
        if value.isascii() and value.isprintable()
        else value.encode("ascii", "backslashreplace").decode().translate(_BREAKS)
    )


_BREAKS: Final = dict.fromkeys(range(32), " ")
