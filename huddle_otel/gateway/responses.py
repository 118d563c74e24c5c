"""Good answers of the Responses API: at once, as a stream, or in the background, and what is asked of them later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from huddle_otel.gateway.completions import pieces_of, tokens
from huddle_otel.gateway.loose import Json, as_list, as_object, positive
from huddle_otel.gateway.models import Model, Usage
from huddle_otel.gateway.serving import Asked, Events, Served, event, json_of, listed, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from huddle_otel.gateway.kinds import Reply

_PROGRESS: Final = ("queued", "in_progress")
"""What a background response says when it is made and at the first look; from the second on it is complete."""


@dataclass(slots=True)
class _Response:
    """One response, made when it was asked for."""

    id: str
    asked: Json
    created: int
    model: Model
    pieces: tuple[str, ...]
    tool: str | None
    usage: Usage
    cost: float | None
    code: str
    """Why it fails in the end; empty: it does not."""
    message: str
    looks: int = 0
    cancelled: bool = False

    @property
    def background(self) -> bool:
        return self.asked.get("background") is True

    @property
    def end(self) -> str:
        """The status it comes to."""
        if self.code:
            return "failed"
        limit = self.asked.get("max_output_tokens")
        return "incomplete" if isinstance(limit, int) and limit <= self.usage.completion else "completed"

    @property
    def status(self) -> str:
        if self.cancelled:
            return "cancelled"
        return _PROGRESS[self.looks] if self.background and self.looks < len(_PROGRESS) else self.end

    def item(self) -> Json:
        """The one item of its output."""
        text = "".join(self.pieces)
        if self.tool is not None:
            call = {"id": f"fc_{self.id}", "type": "function_call", "call_id": "call_0", "name": self.tool}
            return {**call, "arguments": text, "status": "completed"}
        content: list[Json] = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        return {
            "id": f"msg_{self.id}",
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": content,
        }

    def json(self, status: str) -> Json:
        """The object as it is in this state."""
        asked, whole = self.asked, status in {"completed", "incomplete"}
        return {
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": self.background,
            "error": {"code": self.code, "message": self.message} if status == "failed" else None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": asked.get("instructions"),
            "max_output_tokens": asked.get("max_output_tokens"),
            "model": self.model.id,
            "output": [self.item()] if whole else [],
            "parallel_tool_calls": True,
            "previous_response_id": asked.get("previous_response_id"),
            "reasoning": asked.get("reasoning") or {"effort": None, "summary": None},
            "service_tier": tier_of(asked),
            "store": True,
            "temperature": 1.0,
            "text": asked.get("text") or {"format": {"type": "text"}},
            "tool_choice": asked.get("tool_choice") or "auto",
            "tools": as_list(asked.get("tools")),
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": _usage(self.usage, self.cost) if whole else None,
            "user": None,
            "metadata": {},
        }


def create(asked: Asked) -> Served:
    """`POST /responses`."""
    made = _made(asked)
    asked.store.put(made.id, made)
    if asked.body.get("stream"):
        return Served(model=asked.model, script=_script(made))
    status = made.status
    whole = status in {"completed", "incomplete"}
    served = json_of(made.json(status))
    return Served(body=served.body, model=asked.model, usage=made.usage if whole else None)


def retrieve(asked: Asked) -> Served | Reply:
    """`GET /responses/{id}`, also as a stream; each look at a background response finds it further on."""
    made = asked.store.get(asked.parts[1])
    if made is None:
        return missing(asked.parts[1])
    if parse_qs(asked.query).get("stream") == ["true"]:
        return Served(script=_script(made))
    made.looks += 1
    return json_of(made.json(made.status))


def cancel(asked: Asked) -> Served | Reply:
    """`POST /responses/{id}/cancel`; one that is complete stays so."""
    made = asked.store.get(asked.parts[1])
    if made is None:
        return missing(asked.parts[1])
    made.cancelled = made.status in _PROGRESS
    return json_of(made.json(made.status))


def delete(asked: Asked) -> Served | Reply:
    """`DELETE /responses/{id}`."""
    if asked.store.drop(asked.parts[1]) is None:
        return missing(asked.parts[1])
    return json_of({"id": asked.parts[1], "object": "response", "deleted": True})


def input_items(asked: Asked) -> Served | Reply:
    """`GET /responses/{id}/input_items`."""
    made = asked.store.get(asked.parts[1])
    if made is None:
        return missing(asked.parts[1])
    given = made.asked.get("input")
    content = [{"type": "input_text", "text": given if isinstance(given, str) else "…"}]
    return listed([{"id": "msg_0", "type": "message", "role": "user", "status": "completed", "content": content}])


def input_tokens(asked: Asked) -> Served:
    """`POST /responses/input_tokens`: what a request would take; nothing is used."""
    return json_of({"object": "response.input_tokens", "input_tokens": _tokens(asked.body.get("input"))})


def compact(asked: Asked) -> Served:
    """`POST /responses/compact`."""
    usage = Usage(_tokens(asked.body.get("input")), asked.model.chunks)
    item = {"id": "cmp_0", "type": "compaction", "encrypted_content": "…"}
    made: Json = {
        "id": asked.store.new_id("resp_"),
        "object": "response.compaction",
        "created_at": asked.now,
    }
    served = json_of({**made, "output": [item], "usage": _usage(usage, None)})
    return Served(body=served.body, model=asked.model, usage=usage)


def tier_of(request: Json) -> str | None:
    """The service tier that served a request: the one asked for, where one was."""
    tier = request.get("service_tier")
    return "default" if tier == "auto" else tier


def _made(asked: Asked) -> _Response:
    body, model = asked.body, asked.model
    choice, wanted = body.get("tool_choice"), as_object(as_object(body.get("text")).get("format"))
    tool, pieces = pieces_of(
        functions=[as_object(tool) for tool in as_list(body.get("tools"))],
        forced=as_object(choice).get("name") or choice,
        wanted=wanted.get("type"),
        schema=wanted.get("schema"),
        chunks=model.chunks,
    )
    prompt = _tokens(body.get("input"))
    most = positive(body.get("max_output_tokens"), model.chunks + model.reasoning_tokens)
    completion = min(most, model.chunks + model.reasoning_tokens)
    usage = Usage(prompt, completion, min(model.cached_tokens, prompt), min(model.reasoning_tokens, completion))
    failed = asked.shape.ending == "failed"
    return _Response(
        asked.store.new_id("resp_"),
        body,
        asked.now,
        model,
        pieces,
        tool,
        usage,
        asked.cost(usage) if body.get("stream") else None,
        asked.shape.code if failed else "",
        asked.shape.message if failed else "",
    )


def _script(made: _Response) -> Events:
    """The events of a response; those of one that fails are sent by whoever bends the stream."""
    sequence = 0

    def numbered(kind: str, **fields: Any) -> bytes:
        nonlocal sequence
        sequence += 1
        return event({"type": kind, "sequence_number": sequence, **fields})

    item = made.item()
    begun: Json = {**item, "status": "in_progress", **({"arguments": ""} if made.tool else {"content": []})}
    place: Json = {"item_id": item["id"], "output_index": 0}
    opening = [
        numbered("response.created", response=made.json("in_progress")),
        numbered("response.in_progress", response=made.json("in_progress")),
        numbered("response.output_item.added", output_index=0, item=begun),
    ]
    text = "".join(made.pieces)
    if made.tool:
        content = [numbered("response.function_call_arguments.delta", **place, delta=piece) for piece in made.pieces]
        done = numbered("response.function_call_arguments.done", **place, name=made.tool, arguments=text)
    else:
        place["content_index"] = 0
        part: Json = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        opening.append(numbered("response.content_part.added", **place, part=part))
        content = [numbered("response.output_text.delta", **place, delta=piece, logprobs=[]) for piece in made.pieces]
        done = numbered("response.output_text.done", **place, text=text, logprobs=[])
        done += numbered("response.content_part.done", **place, part={**part, "text": text})
    end = "incomplete" if made.end == "incomplete" else "completed"
    finish = [
        done + numbered("response.output_item.done", output_index=0, item=item),
        numbered(f"response.{end}", response=made.json(end)),
    ]

    def failure(code: str, message: str) -> bytes:
        made.code, made.message = code, message
        return numbered("response.failed", response=made.json("failed"))

    return Events(made.model, opening=opening, content=content, finish=finish, failure=failure)


def _tokens(given: object) -> int:
    if isinstance(given, str):
        return tokens(given)
    return sum(tokens(as_object(item).get("content")) for item in as_list(given)) or 1


def _usage(usage: Usage, cost: float | None) -> Json:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": usage.cached},
        "output_tokens": usage.completion,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.prompt + usage.completion,
    } | ({} if cost is None else {"cost": cost})


HANDLERS: Final[dict[tuple[str, ...], Callable[[Asked], Served | Reply]]] = {
    ("POST", "responses"): create,
    ("POST", "responses", "input_tokens"): input_tokens,
    ("POST", "responses", "compact"): compact,
    ("GET", "responses", "*"): retrieve,
    ("DELETE", "responses", "*"): delete,
    ("POST", "responses", "*", "cancel"): cancel,
    ("GET", "responses", "*", "input_items"): input_items,
}
