"""YAML for Prometheus and Alertmanager: mappings, lists and scalars, in the order they are given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

Value: TypeAlias = "Mapping[str, Value] | Sequence[Value] | str | int | float | bool"


def dump(value: Mapping[str, Value]) -> str:
    """Return the document. Texts of several lines become blocks; others are quoted."""
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Value) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _entry(f"{key}:", each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            first, *rest = _lines(each)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, value: Value) -> Iterator[str]:
    if isinstance(value, str) and "\n" in value:
        yield f"{key} |-"
        yield from (f"  {line}" for line in value.splitlines())
    elif isinstance(value, str | int | float):
        yield f"{key} {_scalar(value)}"
    elif not value:
        yield f"{key} {{}}" if isinstance(value, Mapping) else f"{key} []"
    else:
        yield key
        yield from (f"  {line}" for line in _lines(value))


def _scalar(value: Value) -> str:
    if isinstance(value, str) and '"' in value and "'" not in value:
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False)  # YAML reads a JSON scalar as it is
