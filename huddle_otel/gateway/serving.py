"""What an endpoint is asked and what it answers: the words that `answers` and the endpoints share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from huddle_otel.gateway.kinds import Reply
from huddle_otel.gateway.loose import Json, dumps
from huddle_otel.gateway.models import Model, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from huddle_otel.gateway.kinds import Shape
    from huddle_otel.gateway.personas import Persona
    from huddle_otel.gateway.streams import Script

_MOST: Final = 1000
_NOBODY: Final = Model("")


@dataclass(slots=True)
class Store:
    """What a gateway was given to keep, by id; the oldest is forgotten first."""

    _kept: dict[str, Any] = field(default_factory=dict[str, Any])
    _nonce: str = field(default_factory=lambda: secrets.token_hex(8))
    _made: int = 0

    def new_id(self, prefix: str) -> str:
        """An id that no other gateway of the process gives."""
        self._made += 1
        return f"{prefix}{self._nonce}{self._made:06d}"

    def put(self, key: str, value: Any) -> None:
        """Keep `value`."""
        self._kept[key] = value
        while len(self._kept) > _MOST:
            del self._kept[next(iter(self._kept))]

    def get(self, key: str) -> Any:
        """What is kept under `key`, or None."""
        return self._kept.get(key)

    def drop(self, key: str) -> Any:
        """Forget `key`; what was kept there, or None."""
        return self._kept.pop(key, None)

    def all(self, prefix: str) -> list[Any]:
        """Everything whose id begins so, oldest first."""
        return [value for key, value in self._kept.items() if key.startswith(prefix)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request for an endpoint."""

    parts: tuple[str, ...]
    """The path below `/v1`, cut at its slashes."""
    query: str
    body: Json
    """The JSON object, or the fields of the form."""
    model: Model
    number: int
    """Order of arrival, which makes ids."""
    now: int
    """Unix time (s)."""
    shape: Shape
    persona: Persona
    store: Store
    models: Sequence[Model]
    """All there are."""

    def cost(self, usage: Usage) -> float | None:
        """USD that a stream of this persona says for `usage`."""
        cost = self.model.cost(usage) if self.persona.usage_cost else None
        return None if cost is None else float(cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One good answer: a body, or a script for a stream."""

    body: bytes = b""
    content_type: str = "application/json"
    model: Model = _NOBODY
    """Whose name is in the headers."""
    usage: Usage | None = None
    """What the headers tell the cost of; None: nothing."""
    script: Script | None = None


class Events:
    """A script made of events that are known beforehand."""

    __slots__ = ("_content", "_done", "_failure", "_finish", "_opening", "model")

    def __init__(
        self,
        model: Model,
        *,
        opening: Sequence[bytes] = (),
        content: Sequence[bytes] = (),
        finish: Sequence[bytes] = (),
        done: Sequence[bytes] = (),
        failure: Callable[[str, str], bytes] | None = None,
    ) -> None:
        self.model = model
        self._opening = opening
        self._content = content
        self._finish = finish
        self._done = done
        self._failure = failure

    def opening(self) -> list[bytes]:
        """What comes before any content."""
        return list(self._opening)

    def content(self) -> list[bytes]:
        """The content chunks in order."""
        return list(self._content)

    def closing(self, *, finish: bool = True, done: bool = True, reason: str | None = None) -> list[bytes]:  # noqa: ARG002 -- they have only their own
        """What comes after the content."""
        return [*(self._finish if finish else ()), *(self._done if done else ())]

    def empty(self) -> bytes:
        """A chunk without content."""
        return b": nothing\n\n"

    def failure(self, code: str, message: str) -> list[bytes]:
        """The event that tells of a failed answer."""
        return [] if self._failure is None else [self._failure(code, message)]


def event(data: Json) -> bytes:
    """An event that is named after its type."""
    return f"event: {data['type']}\ndata: {dumps(data)}\n\n".encode()


def json_of(value: Json) -> Served:
    """An object that no model had to work for."""
    return Served(body=dumps(value).encode())


def listed(rows: Sequence[Json]) -> Served:
    """One page with everything."""
    ids = [row.get("id") for row in rows] or [None]
    return json_of({"object": "list", "data": list(rows), "first_id": ids[0], "last_id": ids[-1], "has_more": False})


def missing(key: str) -> Reply:
    """There is nothing under this id."""
    return Reply(name="missing", code=404, message=f"No such object: {key}", type="invalid_request_error", param="id")
