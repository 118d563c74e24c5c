"""Good answers about pictures and sound, and moderations: usage in the shapes that the API reference gives them."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from huddle_otel.gateway.completions import tokens
from huddle_otel.gateway.loose import Json, as_list, dumps, positive
from huddle_otel.gateway.models import Model, Usage
from huddle_otel.gateway.serving import Asked, Events, Served, event, json_of

if TYPE_CHECKING:
    from collections.abc import Callable

PICTURE: Final = bytes.fromhex("89504e470d0a1a0a") + bytes(range(256))
"""The start of a PNG, then every byte there is."""
SOUND: Final = b"ID3\x04\x00" + bytes(range(256)) * 64
"""The start of an MP3, then every byte there is; longer than what anyone would keep of it."""
WORDS: Final = ("The", " rain", " in", " Spain.")
_PICTURE_TOKENS: Final = 196
"""Tokens of one picture, read or made."""
_SECOND_TOKENS: Final = 14
"""Tokens of the sound of the tests, one second."""


def generate(asked: Asked) -> Served:
    """`POST /images/generations`."""
    return _pictures(asked, "image_generation", read=0)


def edit(asked: Asked) -> Served:
    """`POST /images/edits`."""
    given = asked.body.get("image", asked.body.get("image[]"))
    return _pictures(asked, "image_edit", read=max(len(as_list(given)), 1))


def vary(asked: Asked) -> Served:
    """`POST /images/variations`: of a model that counts no tokens."""
    return json_of({"created": asked.now, "data": [{"url": "https://images.example/0.png"}]})


def _pictures(asked: Asked, kind: str, *, read: int) -> Served:
    count = int(asked.body.get("n") or 1)
    text, image = tokens(asked.body.get("prompt")), read * _PICTURE_TOKENS
    usage = Usage(text + image, count * _PICTURE_TOKENS)
    counts: Json = {
        "total_tokens": usage.prompt + usage.completion,
        "input_tokens": usage.prompt,
        "output_tokens": usage.completion,
        "input_tokens_details": {"text_tokens": text, "image_tokens": image},
    }
    picture = base64.b64encode(PICTURE).decode()
    how: Json = {"background": "opaque", "output_format": "png", "quality": "low", "size": "1024x1024"}
    if asked.body.get("stream") not in {True, "true"}:
        data = [{"b64_json": picture}] * count
        body = dumps({"created": asked.now, "data": data, **how, "usage": counts}).encode()
        return Served(body=body, model=asked.model, usage=usage)
    partial: Json = {"type": f"{kind}.partial_image", "b64_json": picture, "created_at": asked.now, **how}
    number = positive(int(asked.body.get("partial_images") or 0), 0)
    content = [event({**partial, "partial_image_index": index}) for index in range(number)]
    last = event({**partial, "type": f"{kind}.completed", "usage": counts})
    return Served(model=asked.model, script=Events(asked.model, content=content, finish=[last]))


def speak(asked: Asked) -> Served:
    """`POST /audio/speech`: bytes, or events with `stream_format="sse"`."""
    if asked.body.get("stream_format") != "sse":
        return Served(body=SOUND, content_type="audio/mpeg", model=asked.model)
    sound = base64.b64encode(SOUND[:100]).decode()
    said, heard = tokens(asked.body.get("input")), _SECOND_TOKENS
    counts = {"input_tokens": said, "output_tokens": heard, "total_tokens": said + heard}
    content = [event({"type": "speech.audio.delta", "audio": sound}) for _ in range(2)]
    last = event({"type": "speech.audio.done", "usage": counts})
    return Served(model=asked.model, script=Events(asked.model, content=content, finish=[last]))


def transcribe(asked: Asked) -> Served:
    """`POST /audio/transcriptions`: tokens are counted by the newer models, seconds by `whisper-1`."""
    if asked.body.get("stream") in {True, "true"}:
        content = [event({"type": "transcript.text.delta", "delta": word}) for word in WORDS]
        last = event({"type": "transcript.text.done", "text": "".join(WORDS), "usage": _heard(asked.model)})
        return Served(model=asked.model, script=Events(asked.model, content=content, finish=[last]))
    return _text(asked, "transcribe", _heard(asked.model))


def translate(asked: Asked) -> Served:
    """`POST /audio/translations`: no usage at all."""
    return _text(asked, "translate", None)


def _text(asked: Asked, task: str, usage: Json | None) -> Served:
    text, counts = "".join(WORDS), {} if usage is None else {"usage": usage}
    match asked.body.get("response_format"):
        case "text":
            return Served(body=f"{text}\n".encode(), content_type="text/plain; charset=utf-8", model=asked.model)
        case "srt" | "vtt":
            lines = f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n\n"
            return Served(body=lines.encode(), content_type="text/plain; charset=utf-8", model=asked.model)
        case "verbose_json":
            whole: Json = {"task": task, "language": "english", "duration": 1.0, "text": text, "segments": []}
            body = {**whole, "usage": {"type": "duration", "seconds": 1}}
        case _:
            body = {"text": text, **counts}
    return Served(body=dumps(body).encode(), model=asked.model)


def _heard(model: Model) -> Json:
    if model.id.startswith("whisper"):
        return {"type": "duration", "seconds": 1}
    counts = {"input_tokens": _SECOND_TOKENS, "output_tokens": len(WORDS), "total_tokens": _SECOND_TOKENS + len(WORDS)}
    return {"type": "tokens", **counts, "input_token_details": {"text_tokens": 0, "audio_tokens": _SECOND_TOKENS}}


def moderate(asked: Asked) -> Served:
    """`POST /moderations`: nothing is ever flagged, and nothing is charged."""
    given = as_list(asked.body.get("input")) or [asked.body.get("input")]
    names = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(names, False),
        "category_scores": dict.fromkeys(names, 0.0),
        "category_applied_input_types": {name: ["text"] for name in names},
    }
    model = asked.model.id or "omni-moderation-latest"
    return json_of({"id": f"modr-{asked.number}", "model": model, "results": [result for _ in given]})


HANDLERS: Final[dict[tuple[str, ...], Callable[[Asked], Served]]] = {
    ("POST", "images", "generations"): generate,
    ("POST", "images", "edits"): edit,
    ("POST", "images", "variations"): vary,
    ("POST", "audio", "speech"): speak,
    ("POST", "audio", "transcriptions"): transcribe,
    ("POST", "audio", "translations"): translate,
    ("POST", "moderations"): moderate,
}
