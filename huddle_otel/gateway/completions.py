"""Good answers as JSON: chat completions, plain and as stream events.

Everything follows from the request and the model alone: equal requests get equal answers but for id and time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from huddle_otel.gateway.examples import example
from huddle_otel.gateway.loose import Json, as_list, as_object, dumps, positive
from huddle_otel.gateway.models import Model, Usage

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
    logprobs: bool = False
    tier: str | None = None
    """The service tier that served it, told only when one was asked for."""

    @property
    def finish_reason(self) -> str:
        """How a good answer ends."""
        return "tool_calls" if self.tool else "stop"


def completion(request: Json, model: Model, *, number: int, created: int) -> Completion:
    """The answer to a chat request; `number` makes its id."""
    n = min(positive(request.get("n"), 1), _MOST_CHOICES)
    tool, pieces = _content(request, model.chunks)
    tier = request.get("service_tier")
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    each = positive(limit, model.chunks + model.reasoning_tokens)
    prompt = _prompt_tokens(request.get("messages"))
    usage = Usage(prompt, each * n, min(model.cached_tokens, prompt), min(model.reasoning_tokens, each) * n)
    return Completion(
        f"chatcmpl-{number:012d}",
        created,
        model,
        pieces,
        tool,
        n,
        usage,
        logprobs=request.get("logprobs") is True,
        tier="default" if tier == "auto" else tier,
    )


def plain_json(answer: Completion) -> bytes:
    """The whole answer as one JSON object."""
    choices = _plain_choices(answer.pieces, answer.tool, answer.n, answer.logprobs)
    return (
        f'{{"id":"{answer.id}","object":"chat.completion","created":{answer.created},"model":{quoted(answer.model.id)},'
        f'{_tier_json(answer)}"choices":{choices},"usage":{usage_json(answer.usage)}}}'
    ).encode()


class Events:
    """The events of a streamed answer, each ready to send."""

    __slots__ = ("_answer", "_head")

    def __init__(self, answer: Completion) -> None:
        self._answer = answer
        self._head = (
            f'data: {{"id":"{answer.id}","object":"chat.completion.chunk",'
            f'"created":{answer.created},"model":{quoted(answer.model.id)},{_tier_json(answer)}'
        ).encode()

    def role(self) -> bytes:
        """Each choice's first chunk, without content."""
        return self._each(*_same_for_all('{"role":"assistant","content":""}', self._answer.n))

    def content(self, *, so_far: bool = False) -> list[bytes]:
        """The content chunks in order, with the usage up to each if so wished; the choices take turns."""
        answer = self._answer
        tails = _content_choices(answer.pieces, answer.tool, answer.n, answer.logprobs)
        if so_far:
            prompt, cached = answer.usage.prompt, answer.usage.cached
            told = (usage_json(Usage(prompt, number, cached)) for number in range(1, len(tails) + 1))
            tails = tuple(tail + f',"usage":{usage}'.encode() for tail, usage in zip(tails, told, strict=True))
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
        return self._event(f'"choices":{choices},"usage":{usage_json(self._answer.usage, cost)}'.encode())

    def _event(self, tail: bytes) -> bytes:
        return self._head + tail + b"}\n\n"

    def _each(self, *tails: bytes) -> bytes:
        return b"".join(self._event(tail) for tail in tails)


class ChatScript:
    """A chat's stream as `streams.Stream` plays it."""

    __slots__ = ("_answer", "_cost", "_events", "_so_far", "_usage", "_with_choice", "model")

    def __init__(
        self, answer: Completion, *, usage: bool, cost: float | None, with_choice: bool, so_far: bool = False
    ) -> None:
        """Of `answer`; with `usage`, a chunk tells it, with its cost (USD) if known and a choice if so wished.

        With `so_far`, every content chunk tells the usage up to it.
        """
        self.model = answer.model
        self._answer = answer
        self._events = Events(answer)
        self._usage = usage
        self._cost = cost
        self._with_choice = with_choice
        self._so_far = so_far

    def opening(self) -> list[bytes]:
        """Each choice's first chunk, without content."""
        return [self._events.role()]

    def content(self) -> list[bytes]:
        """The content chunks in order."""
        return self._events.content(so_far=self._so_far)

    def empty(self) -> bytes:
        """A chunk with an empty delta."""
        return self._events.empty()

    def closing(self, *, finish: bool = True, done: bool = True, reason: str | None = None) -> list[bytes]:
        """Each choice's last chunk, the usage, and `[DONE]`."""
        events = [self._events.finish(reason or self._answer.finish_reason)] if finish else []
        if self._usage:
            events.append(self._events.usage(with_choice=self._with_choice, cost=self._cost))
        return [*events, DONE] if done else events

    def failure(self, code: str, message: str) -> list[bytes]:  # noqa: ARG002 - as in every script
        """Nothing: a chat has no event for it."""
        return []


def error_json(error: Json) -> bytes:
    """An error object as the API words it."""
    return dumps({"error": error}).encode()


def _tier_json(answer: Completion) -> str:
    return "" if answer.tier is None else f'"service_tier":{quoted(answer.tier)},'


def _content(request: Json, chunks: int) -> tuple[str | None, tuple[str, ...]]:
    choice, wanted = request.get("tool_choice"), as_object(request.get("response_format"))
    return pieces_of(
        functions=[as_object(as_object(tool).get("function")) for tool in as_list(request.get("tools"))],
        forced=as_object(as_object(choice).get("function")).get("name") or choice,
        wanted=wanted.get("type"),
        schema=as_object(wanted.get("json_schema")).get("schema"),
        chunks=chunks,
    )


def pieces_of(
    *, functions: list[Json], forced: object, wanted: object, schema: object, chunks: int
) -> tuple[str | None, tuple[str, ...]]:
    """The name of the tool that is called, if one is, and the text or the arguments in pieces.

    `forced` is `required` or a function's name; `wanted` is the type of the format asked for, with its `schema`.
    """
    if forced == "required":
        tool = functions[0] if functions else None
    else:
        tool = next((function for function in functions if forced and function.get("name") == forced), None)
    if tool is not None:
        return str(tool.get("name", "tool")), _split(dumps(example(tool.get("parameters", {"type": "object"}))), chunks)
    match wanted:
        case "json_schema":
            return None, _split(dumps(example(schema)), chunks)
        case "json_object":
            return None, _split('{"answer":"text"}', chunks)
        case _:
            return None, _text(chunks)


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


def usage_json(usage: Usage, cost: float | None = None) -> str:
    """The usage of a chat or a legacy completion, with its cost (USD) if known."""
    spend = "" if cost is None else f',"cost":{cost!r}'
    return (
        f'{{"prompt_tokens":{usage.prompt},"completion_tokens":{usage.completion},'
        f'"total_tokens":{usage.prompt + usage.completion},'
        f'"prompt_tokens_details":{{"cached_tokens":{usage.cached}}},'
        f'"completion_tokens_details":{{"reasoning_tokens":{usage.reasoning}}}{spend}}}'
    )


def _tool_call(index: int, name: str, arguments: str) -> Json:
    return {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _likely(*pieces: str) -> Json:
    rows = [{"token": piece, "logprob": -0.25, "bytes": list(piece.encode()), "top_logprobs": []} for piece in pieces]
    return {"content": rows, "refusal": None}


@lru_cache(maxsize=256)
def _plain_choices(pieces: tuple[str, ...], tool: str | None, n: int, logprobs: bool) -> str:
    text = "".join(pieces)
    choices: list[Json] = []
    for index in range(n):
        message: Json = {"role": "assistant", "content": None if tool else text}
        if tool:
            message["tool_calls"] = [_tool_call(index, tool, text)]
        likely = _likely(*pieces) if logprobs else None
        choices.append(
            {"index": index, "message": message, "logprobs": likely, "finish_reason": "tool_calls" if tool else "stop"}
        )
    return dumps(choices)


@lru_cache(maxsize=256)
def _content_choices(
    pieces: tuple[str, ...],
    tool: str | None,
    n: int,
    logprobs: bool,
) -> tuple[bytes, ...]:
    tails: list[bytes] = []
    for position, piece in enumerate(pieces):
        for index in range(n):
            delta: Json = {"content": piece}
            if tool:  # the first piece names the call, the others only add to its arguments
                call = _tool_call(index, tool, piece) if position == 0 else {"function": {"arguments": piece}}
                delta = {"tool_calls": [{"index": 0, **call}]}
            choice: Json = {"index": index, "delta": delta, "finish_reason": None}
            if logprobs:
                choice["logprobs"] = _likely(piece)
            tails.append(dumps({"choices": [choice]})[1:-1].encode())
    return tuple(tails)


@lru_cache(maxsize=256)
def _same_for_all(delta: str, n: int, finish_reason: str = "null") -> tuple[bytes, ...]:
    return tuple(
        f'"choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish_reason}}}]'.encode()
        for index in range(n)
    )
