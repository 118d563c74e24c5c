"""Good answers as JSON: chat completions (plain and as stream events) and the list of models.

Everything follows from the request and the model alone: equal requests get equal answers but for id and time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from huddle_otel.gateway.examples import example
from huddle_otel.gateway.loose import Json, as_list, as_object, dumps, positive
from huddle_otel.gateway.models import Model, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

CHARS_PER_TOKEN: Final = 4
"""Characters counted as one prompt token; each message has at least one."""
DONE: Final = b"data: [DONE]\n\n"

_WORDS: Final = (
    "A",
    " steady",
    " answer",
    " from",
    " the",
    " embedded",
    " gateway",
    " arrives",
    " in",
    " small",
    " pieces",
    ".",
)
_MOST_CHOICES: Final = 128  # the API's own bound for `n`
quoted = lru_cache(maxsize=1024)(dumps)
"""A string as JSON, remembered: model names repeat."""


@dataclass(frozen=True, slots=True)
class Completion:
    """One chat answer: what it says, how often, and what it counts."""

    id: str
    created: int
    model: Model
    pieces: tuple[str, ...]
    """Text of the content chunks, or the arguments of the tool call."""
    tool: str | None
    """Name of the called tool."""
    n: int
    usage: Usage

    @property
    def finish_reason(self) -> str:
        """How a good answer ends."""
        return "tool_calls" if self.tool else "stop"


def completion(request: Json, model: Model, *, number: int, created: int) -> Completion:
    """The answer to a chat request; `number` makes its id."""
    n = min(positive(request.get("n"), 1), _MOST_CHOICES)
    tool, pieces = _content(request, model.chunks)
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    each = positive(limit, model.chunks + model.reasoning_tokens)
    prompt = _prompt_tokens(request.get("messages"))
    usage = Usage(prompt, each * n, min(model.cached_tokens, prompt), min(model.reasoning_tokens, each) * n)
    return Completion(f"chatcmpl-{number:012d}", created, model, pieces, tool, n, usage)


def plain_json(answer: Completion) -> bytes:
    """The whole answer as one JSON object."""
    choices = _plain_choices(answer.pieces, answer.tool, answer.n)
    return (
        f'{{"id":"{answer.id}","object":"chat.completion","created":{answer.created},"model":{quoted(answer.model.id)},'
        f'"choices":{choices},"usage":{_usage_json(answer.usage)}}}'
    ).encode()


class Events:
    """The events of a streamed answer, each ready to send."""

    __slots__ = ("_answer", "_head")

    def __init__(self, answer: Completion) -> None:
        self._answer = answer
        self._head = (
            f'data: {{"id":"{answer.id}","object":"chat.completion.chunk",'
            f'"created":{answer.created},"model":{quoted(answer.model.id)},'
        ).encode()

    def role(self) -> bytes:
        """Each choice's first chunk, without content."""
        return self._each(*_same_for_all('{"role":"assistant","content":""}', self._answer.n))

    def content(self) -> list[bytes]:
        """The content chunks in order; the choices take turns."""
        tails = _content_choices(self._answer.pieces, self._answer.tool, self._answer.n)
        return [self._event(tail) for tail in tails]

    def empty(self) -> bytes:
        """A chunk with an empty delta."""
        return self._event(b'"choices":[{"index":0,"delta":{},"finish_reason":null}]')

    def finish(self, reason: str) -> bytes:
        """Each choice's last chunk."""
        return self._each(*_same_for_all("{}", self._answer.n, f'"{reason}"'))

    def usage(self, *, with_choice: bool, cost: float | None) -> bytes:
        """The chunk after the last, with usage and perhaps its cost (USD)."""
        choices = '[{"index":0,"delta":{}}]' if with_choice else "[]"
        return self._event(f'"choices":{choices},"usage":{_usage_json(self._answer.usage, cost)}'.encode())

    def _event(self, tail: bytes) -> bytes:
        return self._head + tail + b"}\n\n"

    def _each(self, *tails: bytes) -> bytes:
        return b"".join(self._event(tail) for tail in tails)


def models_json(models: Iterable[Model]) -> bytes:
    """The answer to `GET /v1/models`."""
    # LiteLLM says this constant for every model, whoever made it.
    rows = [{"id": model.id, "object": "model", "created": 1_677_610_602, "owned_by": "openai"} for model in models]
    return dumps({"object": "list", "data": rows}).encode()


def error_json(error: Json) -> bytes:
    """An error object as the API words it."""
    return dumps({"error": error}).encode()


def _content(request: Json, chunks: int) -> tuple[str | None, tuple[str, ...]]:
    tool = _forced_tool(request)
    if tool is not None:
        return str(tool.get("name", "tool")), _split(dumps(example(tool.get("parameters", {"type": "object"}))), chunks)
    wanted = as_object(request.get("response_format"))
    match wanted.get("type"):
        case "json_schema":
            return None, _split(dumps(example(as_object(wanted.get("json_schema")).get("schema"))), chunks)
        case "json_object":
            return None, _split('{"answer":"text"}', chunks)
        case _:
            return None, _text(chunks)


def _forced_tool(request: Json) -> Json | None:
    choice = request.get("tool_choice")
    functions = [as_object(as_object(tool).get("function")) for tool in as_list(request.get("tools"))]
    if choice == "required":
        return functions[0] if functions else None
    name = as_object(as_object(choice).get("function")).get("name")
    return next((function for function in functions if name and function.get("name") == name), None)


@lru_cache(maxsize=256)
def _text(chunks: int) -> tuple[str, ...]:
    return tuple(_WORDS[i % len(_WORDS)] for i in range(chunks))


def _split(text: str, chunks: int) -> tuple[str, ...]:
    step = -(-len(text) // chunks)
    return tuple(text[i : i + step] for i in range(0, len(text), step))


def _prompt_tokens(messages: object) -> int:
    return sum(tokens(as_object(message).get("content")) for message in as_list(messages))


def tokens(content: object) -> int:
    """Prompt tokens of a text, of a list of content parts, or of a list of token numbers."""
    if isinstance(content, str):
        return -(-len(content) // CHARS_PER_TOKEN) or 1
    parts = as_list(content)
    return sum(tokens(as_object(part).get("text")) for part in parts) or 1


def _usage_json(usage: Usage, cost: float | None = None) -> str:
    spend = "" if cost is None else f',"cost":{cost!r}'
    return (
        f'{{"prompt_tokens":{usage.prompt},"completion_tokens":{usage.completion},'
        f'"total_tokens":{usage.prompt + usage.completion},'
        f'"prompt_tokens_details":{{"cached_tokens":{usage.cached}}},'
        f'"completion_tokens_details":{{"reasoning_tokens":{usage.reasoning}}}{spend}}}'
    )


def _tool_call(index: int, name: str, arguments: str) -> Json:
    return {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}


@lru_cache(maxsize=256)
def _plain_choices(pieces: tuple[str, ...], tool: str | None, n: int) -> str:
    text = "".join(pieces)
    choices: list[Json] = []
    for index in range(n):
        message: Json = {"role": "assistant", "content": None if tool else text}
        if tool:
            message["tool_calls"] = [_tool_call(index, tool, text)]
        choices.append(
            {"index": index, "message": message, "logprobs": None, "finish_reason": "tool_calls" if tool else "stop"}
        )
    return dumps(choices)


@lru_cache(maxsize=256)
def _content_choices(pieces: tuple[str, ...], tool: str | None, n: int) -> tuple[bytes, ...]:
    tails: list[bytes] = []
    for position, piece in enumerate(pieces):
        for index in range(n):
            delta: Json = {"content": piece}
            if tool:  # the first piece names the call, the others only add to its arguments
                call = _tool_call(index, tool, piece) if position == 0 else {"function": {"arguments": piece}}
                delta = {"tool_calls": [{"index": 0, **call}]}
            tails.append(dumps({"choices": [{"index": index, "delta": delta, "finish_reason": None}]})[1:-1].encode())
    return tuple(tails)


@lru_cache(maxsize=256)
def _same_for_all(delta: str, n: int, finish_reason: str = "null") -> tuple[bytes, ...]:
    return tuple(
        f'"choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish_reason}}}]'.encode()
        for index in range(n)
    )
