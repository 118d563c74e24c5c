"""What was said: messages, instructions, tools and answers in the conventions' JSON parts. Off unless asked for.

Nothing here runs, and nothing is kept, while capture is off. Media is never captured, only what kind it was and how
much. The shapes are those of the GenAI conventions (`gen_ai.input.messages` and its like).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from huddle_otel.events import Request
from huddle_otel.settings import ContentPolicy
from huddle_otel.telemetry import contract

Message = dict[str, Any]
_TRIES: Final = (4096, 1024, 256, 64)
"""Lengths to which texts are cut, in turn, until all fits."""
_CHAT: Final = frozenset({"/chat/completions", "/completions", "/responses"})


# --- what is asked ---------------------------------------------------------------------------------------------------


def asked(request: Request) -> dict[str, Any]:
    """Return what a request says, by attribute: messages, instructions, tools. Empty for other endpoints."""
    body = request.body
    if request.path not in _CHAT:
        return {}
    found: dict[str, Any] = {}
    given = body.get("messages") or body.get("input") or body.get("prompt")
    if given:
        found[contract.INPUT_MESSAGES] = _messages(given)
    if isinstance(body.get("instructions"), str):
        found[contract.SYSTEM_INSTRUCTIONS] = [_text(body["instructions"])]
    if body.get("tools"):
        found[contract.TOOL_DEFINITIONS] = [_definition(each) for each in _list(body["tools"])]
    return found


def _messages(given: Any) -> list[Message]:
    """Return messages for a prompt, chat messages, or the items of the Responses API."""
    return [_message(each) for each in _list(given)]


def _message(item: Any) -> Message:
    if isinstance(item, str):
        return {"role": "user", "parts": [_text(item)]}
    kind = _get(item, "type")
    if kind in _ITEMS:
        role = "tool" if str(kind).endswith("_output") else "assistant"
        return {"role": role, "parts": [_ITEMS[kind](item)]}
    role = str(_get(item, "role") or "user")
    if role in {"tool", "function"}:
        return {"role": "tool", "parts": [_tool_answer(_get(item, "tool_call_id"), _get(item, "content"))]}
    return {"role": role, "parts": _parts(item)}


def _parts(item: Any) -> list[Message]:
    """Return the parts of a message: its content, what it refused, reasoned, and which tools it called."""
    parts: list[Message] = []
    reasoning = _get(item, "reasoning_content") or _get(item, "reasoning")
    if isinstance(reasoning, str):
        parts.append({"type": "reasoning", "content": reasoning})
    content = _get(item, "content")
    if isinstance(content, str):
        if content:
            parts.append(_text(content))
    else:
        parts += [_part(each) for each in _list(content)]
    if isinstance(_get(item, "refusal"), str):
        parts.append({"type": "refusal", "content": _get(item, "refusal")})
    parts += [_tool_call(each) for each in _list(_get(item, "tool_calls"))]
    if _get(item, "function_call") is not None:
        parts.append(_tool_call({"function": _get(item, "function_call")}))
    return parts


def _part(part: Any) -> Message:
    if isinstance(part, str):
        return _text(part)
    kind = str(_get(part, "type") or "")
    text = _get(part, "text") if "text" in kind else _get(part, "refusal") if kind == "refusal" else None
    if isinstance(text, str):
        return {"type": "refusal", "content": text} if kind == "refusal" else _text(text)
    for name, modality in _MEDIA:
        media = _get(part, name)
        if media is not None:
            return _medium(media, modality)
    return {"type": kind or "unknown"}


_MEDIA: Final = (
    ("image_url", "image"),
    ("input_audio", "audio"),
    ("audio", "audio"),
    ("file", "file"),
    ("file_data", "file"),
    ("file_id", "file"),
)


def _medium(media: Any, modality: str) -> Message:
    """Say of what kind a medium is, and how large; an address is kept, unless the medium itself is in it."""
    address = media if isinstance(media, str) else _get(media, "url") or _get(media, "file_id")
    if isinstance(address, str) and not address.startswith("data:") and len(address) < 2048:  # noqa: PLR2004 - a URL's
        kind, field = ("uri", "uri") if "://" in address else ("file", "file_id")
        return {"type": kind, "modality": modality, field: address}
    data = address or _get(media, "data") or _get(media, "file_data") or ""
    mime_type = str(data)[5:80].partition(";")[0] if str(data).startswith("data:") else str(_get(media, "format") or "")
    return {"type": "blob", "modality": modality, "mime_type": mime_type, "content": _note(len(str(data)))}


def _text(text: str) -> Message:
    return {"type": "text", "content": text}


def _tool_call(call: Any) -> Message:
    function = _get(call, "function") or _get(call, "custom") or call
    arguments = _get(function, "arguments")
    if arguments is None:
        arguments = _get(function, "input")
    return {
        "type": "tool_call",
        "id": _get(call, "call_id") or _get(call, "id"),
        "name": _get(function, "name"),
        "arguments": _parsed(arguments),
    }


def _tool_answer(call_id: Any, content: Any) -> Message:
    response = content if isinstance(content, str) else [_part(each) for each in _list(content)]
    return {"type": "tool_call_response", "id": call_id, "response": response}


def _reasoning(item: Any) -> Message:
    summary = _list(_get(item, "summary")) or _list(_get(item, "content"))
    return {"type": "reasoning", "content": "\n".join(str(_get(each, "text") or "") for each in summary)}


_ITEMS: Final[Mapping[Any, Callable[[Any], Message]]] = {
    "function_call": _tool_call,
    "custom_tool_call": _tool_call,
    "function_call_output": lambda item: _tool_answer(_get(item, "call_id"), _get(item, "output")),
    "custom_tool_call_output": lambda item: _tool_answer(_get(item, "call_id"), _get(item, "output")),
    "reasoning": _reasoning,
}
"""Items of the Responses API that are no messages."""


def _definition(tool: Any) -> Message:
    function = _get(tool, "function") or tool
    known = {name: _get(function, name) for name in ("name", "description", "parameters")}
    return {"type": _get(tool, "type") or "function"} | {name: value for name, value in known.items() if value}


def _parsed(arguments: Any) -> Any:
    """Return a tool's arguments as the JSON they are, or the text where they are none (a stream may be cut in it)."""
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments, parse_constant=str)
    except ValueError:
        return arguments


# --- what is answered ------------------------------------------------------------------------------------------------


def answered(result: Any) -> list[Message]:
    """Return the output messages of a complete answer of whichever endpoint."""
    choices = _list(_get(result, "choices"))
    if choices:
        return [
            {
                "role": "assistant",
                "parts": _parts(_get(each, "message")) if _get(each, "message") else [_text(_get(each, "text") or "")],
                "finish_reason": _get(each, "finish_reason") or "error",
            }
            for each in choices
        ]
    return [
        {**message, "finish_reason": str(_get(result, "status") or "")}
        for message in _messages(_get(result, "output") if _get(result, "object") == "response" else ())
    ]


class Transcript:
    """Puts the answer of a stream together, chunk by chunk."""

    def __init__(self) -> None:
        """Start with nothing said."""
        self._choices: dict[int, dict[str, list[str]]] = {}
        self._tools: dict[int, dict[int, dict[str, str]]] = {}
        self._whole: Any = None

    def see(self, chunk: Any) -> None:
        """Take a chunk of any of the endpoints' streams in."""
        for choice in _list(_get(chunk, "choices")):
            index = _get(choice, "index") or 0
            said = self._choices.setdefault(index, {})
            delta = _get(choice, "delta")
            for name in ("content", "refusal", "reasoning_content", "reasoning"):
                _collect(said, name, _get(delta, name))
            _collect(said, "content", _get(choice, "text"))
            for call in _list(_get(delta, "tool_calls")):
                self._see_tool(self._tools.setdefault(index, {}), call)
        kind = _get(chunk, "type")
        if kind in {"response.completed", "response.failed", "response.incomplete"}:
            self._whole = _get(chunk, "response")
        elif kind in _DELTAS:
            said = self._choices.setdefault(_get(chunk, "output_index") or 0, {})
            _collect(said, _DELTAS[kind], _get(chunk, "delta"))

    def _see_tool(self, tools: dict[int, dict[str, str]], call: Any) -> None:
        tool = tools.setdefault(_get(call, "index") or 0, {"id": "", "name": "", "arguments": ""})
        function = _get(call, "function")
        tool["id"] += _get(call, "id") or ""
        tool["name"] += _get(function, "name") or ""
        tool["arguments"] += _get(function, "arguments") or ""

    def messages(self, finish_reasons: tuple[str, ...]) -> list[Message]:
        """Return what has been said so far; a choice without a finish reason was cut short."""
        if self._whole is not None:
            return answered(self._whole)
        messages: list[Message] = []
        for place, index in enumerate(sorted({*self._choices, *self._tools})):
            said: dict[str, Any] = {name: "".join(texts) for name, texts in self._choices.get(index, {}).items()}
            tools = self._tools.get(index, {})
            said["tool_calls"] = [{"id": each["id"], "function": each} for _, each in sorted(tools.items())]
            reason = finish_reasons[place] if place < len(finish_reasons) else "error"
            messages.append({"role": "assistant", "parts": _parts(said), "finish_reason": reason})
        return messages


_DELTAS: Final[Mapping[Any, str]] = {
    "response.output_text.delta": "content",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
}


def _collect(said: dict[str, list[str]], name: str, text: Any) -> None:
    if isinstance(text, str) and text:
        said.setdefault(name, []).append(text)


# --- what is recorded of it ------------------------------------------------------------------------------------------


def recorded(policy: ContentPolicy, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what may be recorded, by attribute, redacted and cut to size."""
    found: dict[str, Any] = {}
    for name, value in said.items():
        kept = value if policy.redact is None else policy.redact(name, value)
        if kept is not None:
            found[name] = fitted(kept, policy.max_chars)
    return found


def fitted(value: Any, limit: int) -> Any:
    """Return messages whose JSON is at most `limit` characters: first long texts are cut, then messages left out."""
    if len(as_json(value)) <= limit:
        return value
    for length in _TRIES:
        cut = _shortened(value, length)
        if len(as_json(cut)) <= limit:
            return cut
    kept: list[Any] = []
    left = limit - 100  # for the note
    rest = list(_shortened(value, _TRIES[-1]))
    while rest and (left := left - len(as_json(rest[-1])) - 2) > 0:  # the newest say most
        kept.insert(0, rest.pop())
    note = _text(f"[{len(rest)} left out]")
    return [{"role": "system", "parts": [note]} if "role" in (rest or [{}])[0] else note, *kept]


def _shortened(value: Any, length: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= length else value[:length] + _note(len(value) - length)
    if isinstance(value, list):
        return [_shortened(each, length) for each in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, dict):
        return {name: _shortened(each, length) for name, each in cast("dict[str, Any]", value).items()}
    return value


def _note(characters: int) -> str:
    return f"[{characters} characters left out]"


def as_json(value: Any) -> str:
    """Return JSON that any exporter can encode: a lone surrogate is written as its escape."""
    return json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode()


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _get(value: Any, name: str) -> Any:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else getattr(value, name, None)
