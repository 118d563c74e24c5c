"""Answer one request: check it, find what it asks for, and play the good answer or the fault in its place."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from huddle_otel.gateway import chats, media, personas, responses, things
from huddle_otel.gateway.kinds import Reply, Shape, Silence
from huddle_otel.gateway.loose import as_object
from huddle_otel.gateway.models import Model, Usage
from huddle_otel.gateway.serving import Asked, Served, Store
from huddle_otel.gateway.streams import Stream, wait_for_content
from huddle_otel.gateway.wire import Connection, Request, head

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from huddle_otel.gateway.kinds import Fault
    from huddle_otel.gateway.personas import Persona
    from huddle_otel.gateway.rules import Call

_HANDLERS: Final[Mapping[tuple[str, ...], Callable[[Asked], Served | Reply]]] = {
    **chats.HANDLERS,
    **responses.HANDLERS,
    **media.HANDLERS,
    **things.HANDLERS,
}
"""Method and parts of the path below `/v1`, with `*` for an id -> what answers."""
_NEED_MODEL: Final = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/audio/speech",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
    }
)
"""Paths of which a POST must name a model."""
_GOOD: Final = Shape(name="good")
_BROKEN_BODY: Final = frozenset({"reset", "cut", "half_close", "stall"})
"""Endings that a plain answer has too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a server was told about its answers."""

    models: Mapping[str, Model]
    closed: bool
    """Whether only these models exist; open, any other name is answered, unpriced."""
    key: str | None
    persona: Persona
    refuse_stream_options: bool
    store: Store


class Exchange:
    """One request and its answer."""

    __slots__ = ("_began", "_body", "_call", "_connection", "_handler", "_parts", "_request", "_terms")

    def __init__(self, terms: Terms, connection: Connection, request: Request, body: object, call: Call) -> None:
        self._terms = terms
        self._connection = connection
        self._request = request
        self._body = body
        self._call = call
        self._began = time.monotonic()
        self._parts = tuple(unquote(part) for part in request.path.removeprefix("/v1/").split("/"))
        self._handler = _handler(request, self._parts)

    async def play(self, fault: Fault | None) -> bool:
        """Send the answer. Whether the connection can serve another request.

        Raises:
            ClientGone: the client left.
        """
        match fault:
            case Reply():
                return await self._reply(fault)
            case Silence():
                await self._connection.pause(fault.seconds)
                self._connection.reset()
                return False
            case Shape():
                return await self._good(fault)
            case _:
                return await self._good(_GOOD)

    async def _good(self, shape: Shape) -> bool:
        problem = self._problem()
        if problem is not None or self._handler is None:
            return await self._reply(problem or _not_found(self._request))
        if shape.before_head:
            await self._connection.pause(shape.before_head)
        served = self._handler(self._asked(shape))
        if isinstance(served, Reply):
            return await self._reply(served)
        if served.script is None:
            return await self._plain(served, shape)
        headers = self._good_headers(served.model, None, shape)
        await self._send_head("text/event-stream; charset=utf-8", headers, length=None)
        return await Stream(self._connection, served.script, shape, self._terms.persona).play()

    def _asked(self, shape: Shape) -> Asked:
        terms = self._terms
        return Asked(
            parts=self._parts,
            query=self._request.query,
            body=as_object(self._body),
            model=terms.models.get(self._call.model) or Model(self._call.model),
            number=self._call.number,
            now=int(time.time()),
            shape=shape,
            persona=terms.persona,
            store=terms.store,
            models=tuple(terms.models.values()),
        )

    async def _plain(self, served: Served, shape: Shape) -> bool:
        body, model, usage, kind = served.body, served.model, served.usage, served.content_type
        pace = model.per_chunk if shape.per_chunk is None else shape.per_chunk
        thinking = model.first_token + pace * model.chunks if usage is not None else 0.0
        broken = shape.ending in _BROKEN_BODY
        if not broken and not shape.before_content:
            if thinking:
                await self._connection.pause(thinking)
            fields = self._good_headers(model, usage, shape)  # after the pause, so that the duration includes it
            await self._send_head(kind, fields, length=len(body), body=body)
            return True
        await self._send_head(kind, self._good_headers(model, usage, shape), length=len(body))
        await wait_for_content(self._connection, shape, thinking)
        if not broken:
            await self._connection.send(body)
            return True
        return await self._broken(body, shape)

    async def _broken(self, body: bytes, shape: Shape) -> bool:
        half = len(body) // 2
        if shape.role:  # a shape without it breaks right after the headers
            await self._connection.send(body[:half])
        match shape.ending:
            case "stall":
                await self._connection.pause(shape.seconds)
                await self._connection.send(body[half:])
                return True
            case "reset":
                self._connection.reset()
            case "half_close":
                await self._connection.half_close()
            case _:
                pass  # a cut: closing is all that is left
        return False

    async def _reply(self, reply: Reply) -> bool:
        terms, model = self._terms, self._call.model
        body = personas.error_body(terms.persona, reply, model)
        fields = personas.error_headers(terms.persona, reply, model, call_id=self._call_id())
        await self._send_head(reply.content_type, fields, length=len(body), body=body, code=reply.code)
        return True

    async def _send_head(
        self, content_type: str, fields: str, *, length: int | None, body: bytes = b"", code: int = 200
    ) -> None:
        self._call.status = code
        await self._connection.send(head(code, content_type, fields, length=length) + body)

    def _good_headers(self, model: Model, usage: Usage | None, shape: Shape) -> str:
        extra = "".join(f"{name}: {value}\r\n" for name, value in shape.headers)
        if shape.ping_every is not None:  # the gateway sent its headers before it knew anything to put there
            return extra
        cost = model.cost(usage) if usage is not None else None
        good = personas.good_headers(
            self._terms.persona, model.id, call_id=self._call_id(), cost=cost, began=self._began
        )
        return good + extra

    def _call_id(self) -> str | None:
        return self._request.headers.get("x-litellm-call-id")

    def _problem(self) -> Reply | None:
        """What is wrong with the request, in the order in which the gateway looks."""
        request, key = self._request, self._terms.key
        if self._handler is None:
            return _not_found(request)
        authorization = request.headers.get("authorization", "")
        if key is not None and authorization != f"Bearer {key}":
            return _wrong_key(authorization)
        return self._problem_of_body() if request.method == "POST" and request.path in _NEED_MODEL else None

    def _problem_of_body(self) -> Reply | None:
        terms, model = self._terms, self._call.model
        body = as_object(self._body)
        if not body:
            return _refusal(400, "The request body is not a JSON object.")
        if not model:
            return _refusal(400, "model is required.", param="model")
        if terms.closed and model not in terms.models:
            message = (
                f"Invalid model name passed in model={model}. Call `/v1/models` to view available models for your key."
            )
            return _refusal(400, f"{self._request.path}: {message}", param="model")
        if terms.refuse_stream_options and "stream_options" in body:
            return _refusal(400, "Unknown parameter: 'stream_options'.", param="stream_options")
        return None


def _handler(request: Request, parts: tuple[str, ...]) -> Callable[[Asked], Served | Reply] | None:
    if not request.path.startswith("/v1/"):
        return None
    wanted = (request.method, *parts)
    if wanted in _HANDLERS:
        return _HANDLERS[wanted]
    fits = (each for each in _HANDLERS if len(each) == len(wanted))
    return next((_HANDLERS[r] for r in fits if all(a in {"*", b} for a, b in zip(r, wanted, strict=True))), None)


def _refusal(code: int, message: str, *, name: str = "bad_request", param: str | None = None) -> Reply:
    return Reply(name=name, code=code, message=message, type="invalid_request_error", param=param)


def _not_found(request: Request) -> Reply:
    return _refusal(404, f"Not found: {request.method} {request.path}", name="not_found")


def _wrong_key(authorization: str) -> Reply:
    key = authorization.removeprefix("Bearer ")
    shown, digest = key[-4:] if len(key) > 8 else "", hashlib.sha256(key.encode()).hexdigest()  # noqa: PLR2004 -- as LiteLLM masks
    message = (
        f"Authentication Error, Invalid proxy server token passed. Received API Key = sk-...{shown}, "
        f"Key Hash (Token) ={digest}. Unable to find token in cache or `LiteLLM_VerificationTable`"
    )
    return Reply(
        name="wrong_key",
        code=401,
        message=message,
        type="token_not_found_in_db",
        param="key",
        upstream_type="invalid_request_error",
        upstream_code="invalid_api_key",
        bare=True,
    )
