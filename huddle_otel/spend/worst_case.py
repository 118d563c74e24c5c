"""What a call may use at most, from its request alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from huddle_otel.spend.usage import Usage

_CHARS_PER_TOKEN: Final = 3
"""English text has about four, code three: an estimate from above."""
_FILE_TOKENS: Final = 1500
"""What an image or file is taken to be that comes as a `data:` URL."""
_BOUNDS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_PROMPTS: Final = ("messages", "input", "prompt", "instructions", "tools")


def worst_case(body: Mapping[str, Any], *, output_tokens: int) -> Usage:
    """Return what a request may use: its text at three characters a token, and the longest answer it permits.

    Args:
        body: The request's fields. Walked once.
        output_tokens: The answer's length where the request does not bound it.
    """
    bounds = [bound for name in _BOUNDS if type(bound := body.get(name)) is int and bound >= 0]
    choices = body.get("n")
    times = choices if type(choices) is int and choices > 0 else 1
    characters = sum(_length(body.get(name)) for name in _PROMPTS)
    return Usage(
        input_tokens=-(-characters // _CHARS_PER_TOKEN),
        output_tokens=times * (min(bounds) if bounds else output_tokens),
    )


def _length(value: Any) -> int:
    """Count the characters of all text in a value; a number is a token of its own."""
    total = 0
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            total += len(each) if not each.startswith("data:") else _FILE_TOKENS * _CHARS_PER_TOKEN
        elif isinstance(each, Mapping):
            waiting.extend(cast("Any", each).values())
        elif isinstance(each, list | tuple):
            waiting.extend(cast("list[Any]", each))
        elif isinstance(each, int):
            total += _CHARS_PER_TOKEN
    return total
