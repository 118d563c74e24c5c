"""JSON of unknown shape, which is what requests are made of."""

from __future__ import annotations

import json
from typing import Any, Final, TypeGuard

Json = dict[str, Any]

dumps: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
"""Compact JSON; one encoder for all, `json.dumps` would make one for each call."""


def as_object(value: object) -> Json:
    """`value` if it is a JSON object, else an empty one."""
    return value if _is_object(value) else {}


def as_list(value: object) -> list[Any]:
    """`value` if it is a JSON array, else an empty one."""
    return value if _is_list(value) else []


def positive(value: object, otherwise: int) -> int:
    """`value` if it is a whole number above 0, else the other one."""
    return value if isinstance(value, int) and value > 0 else otherwise


def parsed(body: bytes) -> object:
    """The JSON in `body`, or None."""
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None


def _is_object(value: object) -> TypeGuard[Json]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
