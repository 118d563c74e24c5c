"""Good answers to embeddings requests: small vectors that follow from the text alone."""

from __future__ import annotations

import base64
import struct
import zlib
from functools import lru_cache
from typing import Any, Final

from huddle_otel.gateway.completions import tokens
from huddle_otel.gateway.loose import Json, as_list, dumps, positive
from huddle_otel.gateway.models import Model, Usage

DIMENSIONS: Final = 8
"""Length of an embedding when the request sets no `dimensions`."""


def embeddings_json(request: Json, model: Model) -> tuple[bytes, Usage]:
    """The answer to an embeddings request, in floats or base64, and its usage."""
    inputs = _inputs(request.get("input"))
    size = positive(request.get("dimensions"), DIMENSIONS)
    vectors = [_vector(dumps(text), size) for text in inputs]
    encoded = [_base64(vector) for vector in vectors] if request.get("encoding_format") == "base64" else vectors
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(encoded)]
    usage = Usage(sum(tokens(text) for text in inputs), 0)
    counts = {"prompt_tokens": usage.prompt, "total_tokens": usage.prompt}
    return dumps({"object": "list", "data": data, "model": model.id, "usage": counts}).encode(), usage


def _inputs(value: object) -> list[Any]:
    # A list of numbers is one text already cut into tokens; any other list is several texts.
    items = as_list(value)
    return items if items and not all(isinstance(item, int) for item in items) else [value]


@lru_cache(maxsize=256)
def _vector(text: str, size: int) -> tuple[float, ...]:
    seed = zlib.crc32(text.encode())
    # Eighths are exact in 32 bits: both encodings give the same numbers.
    return tuple(((seed + i) % 17 - 8) / 8 for i in range(size))


def _base64(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
