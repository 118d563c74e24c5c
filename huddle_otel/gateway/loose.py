"""JSON of unknown shape, which is what requests are made of."""

from __future__ import annotations

import json
import re
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


def parsed(body: bytes, content_type: str = "") -> object:
    """The JSON in `body`, or the fields of a form; None for anything else."""
    if content_type.startswith("multipart/form-data"):
        return _form(body, content_type)
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None


def _form(body: bytes, content_type: str) -> Json:
    """Texts as `str`, files as `bytes`; a list for a name that comes more than once."""
    boundary = content_type.partition("boundary=")[2].strip('"').encode()
    fields: Json = {}
    for part in body.split(b"--" + boundary)[1:-1]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        found = _NAME.search(head)
        value = content.removesuffix(b"\r\n")
        if found is not None:
            name = found[1].decode("utf-8", "replace")
            told = value if b"filename=" in head else value.decode("utf-8", "replace")
            fields[name] = told if name not in fields else [*(as_list(fields[name]) or [fields[name]]), told]
    return fields


_NAME: Final = re.compile(rb'; name="([^"]*)"')


def _is_object(value: object) -> TypeGuard[Json]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)
