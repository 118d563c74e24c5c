"""Token usage, folded from every shape the gateway answers with into one record.

Shapes read (a pydantic model of any supported ``openai`` release, with extra fields, or a plain mapping):

========================  =======================================================================================
chat, text completion     ``prompt_tokens``, ``completion_tokens``, ``prompt_tokens_details``,
                          ``completion_tokens_details``
responses, images, audio  ``input_tokens``, ``output_tokens``, ``input_tokens_details`` (transcriptions:
                          ``input_token_details``), ``output_tokens_details``
embeddings                ``prompt_tokens``, ``total_tokens``
transcriptions by time    ``seconds``: no tokens, so no usage
LiteLLM extras            ``cost`` (USD), ``cache_read_input_tokens``, ``cache_creation_input_tokens``,
                          ``prompt_tokens_details.cache_creation_tokens``
========================  =======================================================================================

Rules:

* A counter is an ``int`` with ``0 <= n <= 2**53``. Anything else (negative, ``bool``, float, text, larger) is dropped
  to ``None``: an odd counter costs one number, never the call.
* ``output_tokens`` is 0, not ``None``, when no output counter was sent and ``total_tokens`` equals the input: the sum
  proves it. Embeddings are the usual case.
* The shape's own detail wins over LiteLLM's extra of the same meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from huddle_otel.spend.money import nano

MAX_TOKENS: Final = 2**53
"""Largest counter believed: integers beyond it do not survive JSON readers that use doubles."""

Fields = Mapping[object, Any]
_NO_FIELDS: Final[Fields] = {}
_MISSING: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one call consumed. All counts are tokens; ``None`` means not stated, which differs from 0."""

    input_tokens: int | None = None
    """Prompt tokens, cached ones included."""
    output_tokens: int | None = None
    """Generated tokens, reasoning included."""
    cache_read_tokens: int | None = None
    """The part of the input served from a prompt cache."""
    cache_write_tokens: int | None = None
    """The part of the input written to a prompt cache."""
    reasoning_tokens: int | None = None
    """The part of the output spent on reasoning."""
    input_audio_tokens: int | None = None
    input_image_tokens: int | None = None
    input_text_tokens: int | None = None
    output_audio_tokens: int | None = None
    output_image_tokens: int | None = None
    output_text_tokens: int | None = None
    cost: int | None = None
    """The gateway's own ``usage.cost``, in nano-dollars."""

    @property
    def is_split(self) -> bool:
        """Whether it says of every token whether it is text, sound or picture."""
        into = (self.input_text_tokens or 0) + (self.input_audio_tokens or 0) + (self.input_image_tokens or 0)
        out = (self.output_text_tokens or 0) + (self.output_audio_tokens or 0) + (self.output_image_tokens or 0)
        return self.input_tokens == into and self.output_tokens == out


def usage_of(usage: object) -> Usage | None:
    """Fold the ``usage`` object of a response, whatever its shape.

    Reads the fields directly: no dump, no copy proportional to the answer. Bad values are dropped, see the module
    rules.

    Args:
        usage: ``response.usage`` (or the same object of a stream's last chunk), a mapping, or ``None``.

    Returns:
        The usage, or ``None`` when the object states neither input nor output tokens nor a cost.
    """
    fields = fields_of(usage)
    get = fields.get
    tokens_in = _count(get("prompt_tokens"))
    if tokens_in is None:
        tokens_in = _count(get("input_tokens"))
    raw_out = get("completion_tokens")
    if raw_out is None:
        raw_out = get("output_tokens")
    tokens_out = _count(raw_out)
    if raw_out is None and tokens_in is not None and _count(get("total_tokens")) == tokens_in:
        tokens_out = 0
    raw_cost = get("cost")
    cost = None if raw_cost is None else nano(raw_cost)
    if tokens_in is None and tokens_out is None and cost is None:
        return None

    into = fields_of(get("prompt_tokens_details") or get("input_tokens_details") or get("input_token_details")).get
    out = fields_of(get("completion_tokens_details") or get("output_tokens_details")).get
    return Usage(
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        cache_read_tokens=_first(into("cached_tokens"), get("cache_read_input_tokens"), None),
        cache_write_tokens=_first(
            into("cache_write_tokens"), into("cache_creation_tokens"), get("cache_creation_input_tokens")
        ),
        reasoning_tokens=_count(out("reasoning_tokens")),
        input_audio_tokens=_count(into("audio_tokens")),
        input_image_tokens=_count(into("image_tokens")),
        input_text_tokens=_count(into("text_tokens")),
        output_audio_tokens=_count(out("audio_tokens")),
        output_image_tokens=_count(out("image_tokens")),
        output_text_tokens=_count(out("text_tokens")),
        cost=cost,
    )


def _count(value: object) -> int | None:
    # type() and not isinstance(): bool is an int, and True is no token count.
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None


def _first(first: object, second: object, third: object) -> int | None:
    if first is second is third is None:
        return None
    for value in (first, second, third):
        if (count := _count(value)) is not None:
            return count
    return None


def fields_of(value: object) -> Fields:
    """Give the fields of a model or mapping, pydantic extras included; empty for anything else."""
    if value is None:
        return _NO_FIELDS
    if type(value) is dict:
        return cast("Fields", value)
    # Models before other mappings: the abstract isinstance() is ten times dearer than reading the instance dict. And
    # never getattr() by field name: a miss on a pydantic model costs 2 µs.
    extra: object = getattr(value, "__pydantic_extra__", _MISSING)
    if extra is _MISSING and isinstance(value, Mapping):
        return cast("Fields", value)
    own: object = getattr(value, "__dict__", None)
    if type(own) is not dict:
        return _NO_FIELDS
    fields = cast("Fields", own)
    return {**fields, **cast("Fields", extra)} if extra and type(extra) is dict else fields
