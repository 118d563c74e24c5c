"""A simple value for a JSON schema, so that structured outputs and tool arguments parse."""

from __future__ import annotations

from typing import Any, Final

from huddle_otel.gateway.loose import Json, as_list, as_object

_DEEPEST: Final = 6
"""From here on optional values are null and arrays empty, which ends recursive schemas."""

_DEADEND: Final = 32
"""A schema that refers to itself beyond this has no value at all; it gets null."""
_NULL: Final = {"type": "null"}
_FORMATS: Final = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1S",
    "email": "someone@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
}


def example(schema: object) -> Any:
    """A value that fits `schema`: the JSON-schema subset of structured outputs (types, enums, `anyOf`, `$ref`)."""
    root = as_object(schema)
    return _value(root, root, 0)


def _value(schema: Json, root: Json, depth: int) -> Any:
    if "$ref" in schema and depth <= _DEADEND:
        return _value(_resolve(str(schema["$ref"]), root), root, depth + 1)
    fixed = [schema["const"]] if "const" in schema else as_list(schema.get("enum"))
    if fixed:
        return fixed[0]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            return _value(_choose(as_list(schema[union]), depth), root, depth)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if as_list(kind):
        kind = _choose([{"type": each} for each in as_list(kind)], depth)["type"]
    match kind:
        case "object":
            properties = as_object(schema.get("properties"))
            return {name: _value(as_object(part), root, depth + 1) for name, part in properties.items()}
        case "array":
            least = int(schema.get("minItems", 0))
            count = least if depth >= _DEEPEST else max(1, least)
            return [_value(as_object(schema.get("items")), root, depth + 1) for _ in range(count)]
        case _:
            return _scalar("null" if "$ref" in schema else str(kind), schema)


def _scalar(kind: str, schema: Json) -> str | float | bool | None:
    match kind:
        case "integer":
            return max(1, int(schema.get("minimum", 1)))
        case "number":
            return max(1.5, float(schema.get("minimum", 1.5)))
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _FORMATS.get(str(schema.get("format")), "text")


def _choose(options: list[Any], depth: int) -> Json:
    others = [option for option in options if option != _NULL]
    nullable = len(others) < len(options)
    return _NULL if nullable and (depth >= _DEEPEST or not others) else as_object(others[0])


def _resolve(reference: str, root: Json) -> Json:
    found = root
    for step in filter(None, reference.removeprefix("#").split("/")):
        found = as_object(found.get(step))
    return found
