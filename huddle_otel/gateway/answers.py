"""Answer one request: check it, find what it asks for, and play the good answer or the fault in its place."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from huddle_otel.gateway import completions, personas
from huddle_otel.gateway.embeddings import embeddings_json
from huddle_otel.gateway.kinds import Reply, Shape, Silence
from huddle_otel.gateway.loose import as_object
from huddle_otel.gateway.models import Model, Usage
from huddle_otel.gateway.streams import Stream, wait_for_content
from huddle_otel.gateway.wire import Connection, Request, head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huddle_otel.gateway.kinds import Fault
    from huddle_otel.gateway.personas import Persona
    from huddle_otel.gateway.rules import Call

CHAT: Final = "/v1/chat/completions"
EMBEDDINGS: Final = "/v1/embeddings"
MODELS: Final = "/v1/models"

_ROUTES: Final = frozenset({("POST", CHAT), ("POST", EMBEDDINGS), ("GET", MODELS)})
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


class Exchange:
    """One request and its answer."""

    __slots__ = ("_began", "_body", "_call", "_connection", "_request", "_terms")

    def __init__(self, terms: Terms, connection: Connection, request: Request, body: object, call: Call) -> None:
        self._terms = terms
        self._connection = connection
        self._request = request
        self._body = body
        self._call = call
        self._began = time.monotonic()

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
        if problem is not None:
            return await self._reply(problem)
        if shape.before_head:
            await self._connection.pause(shape.before_head)
        if self._request.path == MODELS:
            return await self._plain(completions.models_json(self._terms.models.values()), Model(""), None, shape)
        request = as_object(self._body)
        model = self._terms.models.get(self._call.model) or Model(self._call.model)
        if self._request.path == EMBEDDINGS:
            body, counted = embeddings_json(request, model)
            return await self._plain(body, model, counted, shape)
        answer = completions.completion(request, model, number=self._call.number, created=int(time.time()))
        if not request.get("stream"):
            return await self._plain(completions.plain_json(answer), model, answer.usage, shape)
        await self._send_head("text/event-stream; charset=utf-8", self._good_headers(model, None, shape), length=None)
        usage = bool(as_object(request.get("stream_options")).get("include_usage"))
        return await Stream(self._connection, answer, shape, self._terms.persona, usage=usage).play()

    async def _plain(self, body: bytes, model: Model, usage: Usage | None, shape: Shape) -> bool:
        pace = model.per_chunk if shape.per_chunk is None else shape.per_chunk
        thinking = model.first_token + pace * model.chunks if usage is not None else 0.0
        broken = shape.ending in _BROKEN_BODY
        if not broken and not shape.before_content:
            if thinking:
                await self._connection.pause(thinking)
            fields = self._good_headers(model, usage, shape)  # after the pause, so that the duration includes it
            await self._send_head("application/json", fields, length=len(body), body=body)
            return True
        await self._send_head("application/json", self._good_headers(model, usage, shape), length=len(body))
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
        if (request.method, request.path) not in _ROUTES:
            return _refusal(404, f"Not found: {request.method} {request.path}", name="not_found")
        authorization = request.headers.get("authorization", "")
        if key is not None and authorization != f"Bearer {key}":
            return _wrong_key(authorization)
        return None if request.path == MODELS else self._problem_of_body()

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


def _refusal(code: int, message: str, *, name: str = "bad_request", param: str | None = None) -> Reply:
    return Reply(name=name, code=code, message=message, type="invalid_request_error", param=param)


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
