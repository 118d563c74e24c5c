"""Good answers to chats and their elders: chat completions, kept ones too, legacy completions, embeddings, models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from huddle_otel.gateway.completions import DONE, ChatScript, completion, plain_json, tokens, usage_json
from huddle_otel.gateway.embeddings import embeddings_json
from huddle_otel.gateway.loose import Json, as_object, dumps
from huddle_otel.gateway.models import Usage
from huddle_otel.gateway.serving import Asked, Events, Served, json_of, listed, missing

if TYPE_CHECKING:
    from collections.abc import Callable

    from huddle_otel.gateway.kinds import Reply
    from huddle_otel.gateway.models import Model


def chat(asked: Asked) -> Served:
    """`POST /chat/completions`; with `store` the answer is kept."""
    request = asked.body
    answer = completion(request, asked.model, number=asked.number, created=asked.now)
    if request.get("stream"):
        script = ChatScript(
            answer,
            usage=_wants_usage(request),
            cost=asked.cost(answer.usage),
            with_choice=asked.persona.usage_with_choice,
            so_far=asked.persona.usage_so_far,
        )
        return Served(model=asked.model, script=script)
    body = plain_json(answer)
    if request.get("store"):
        asked.store.put(answer.id, {**json.loads(body), "metadata": request.get("metadata")})
    return Served(body=body, model=asked.model, usage=answer.usage)


def kept_chats(asked: Asked) -> Served:
    """`GET /chat/completions`."""
    return listed(asked.store.all("chatcmpl-"))


def kept_chat(asked: Asked) -> Served | Reply:
    """`GET /chat/completions/{id}`, and the POST that changes its metadata: with the usage it had."""
    kept = asked.store.get(asked.parts[2])
    if kept is None:
        return missing(asked.parts[2])
    return json_of(kept | ({"metadata": asked.body["metadata"]} if "metadata" in asked.body else {}))


def delete_chat(asked: Asked) -> Served | Reply:
    """`DELETE /chat/completions/{id}`."""
    if asked.store.drop(asked.parts[2]) is None:
        return missing(asked.parts[2])
    return json_of({"id": asked.parts[2], "object": "chat.completion.deleted", "deleted": True})


def complete(asked: Asked) -> Served:
    """`POST /completions`."""
    request, model = asked.body, asked.model
    answer = completion(request, model, number=asked.number, created=asked.now)
    usage = Usage(tokens(request.get("prompt")), answer.usage.completion)
    made: Json = {"id": f"cmpl-{asked.number:012d}", "object": "text_completion", "created": asked.now}
    made["model"] = model.id

    def choices(text: str, reason: str | None) -> list[Json]:
        return [{"index": index, "text": text, "logprobs": None, "finish_reason": reason} for index in range(answer.n)]

    if not request.get("stream"):
        whole = {**made, "choices": choices("".join(answer.pieces), "stop"), "usage": json.loads(usage_json(usage))}
        return Served(body=dumps(whole).encode(), model=model, usage=usage)
    content = [_data({**made, "choices": choices(piece, None)}) for piece in answer.pieces]
    finish = [_data({**made, "choices": choices("", "stop")})]
    told: Json = {**made, "choices": [], "usage": json.loads(usage_json(usage, asked.cost(usage)))}
    done = [_data(told), DONE] if _wants_usage(request) else [DONE]
    return Served(model=model, script=Events(model, content=content, finish=finish, done=done))


def embed(asked: Asked) -> Served:
    """`POST /embeddings`."""
    body, usage = embeddings_json(asked.body, asked.model)
    return Served(body=body, model=asked.model, usage=usage)


def models(asked: Asked) -> Served:
    """`GET /models`."""
    return json_of({"object": "list", "data": [_row(model) for model in asked.models]})


def model(asked: Asked) -> Served | Reply:
    """`GET /models/{id}`."""
    name = asked.parts[1]
    return next((json_of(_row(each)) for each in asked.models if each.id == name), None) or missing(name)


def model_info(asked: Asked) -> Served | Reply:
    """`GET /model/info`, which only LiteLLM has: prices in USD per token, 0 where it knows none."""
    if not asked.persona.litellm:
        return missing("info")
    return json_of({"data": [_info(model) for model in asked.models]})


def _info(model: Model) -> Json:
    prices = {
        "input_cost_per_token": model.input_per_1m or 0,
        "output_cost_per_token": model.output_per_1m or 0,
        "cache_read_input_token_cost": model.cached_per_1m,
    }
    info = {name: None if price is None else float(price / 1_000_000) for name, price in prices.items()}
    params = {"model": f"openai/{model.id}"}
    return {"model_name": model.id, "litellm_params": params, "model_info": {"id": model.id, **info}}


def _row(model: Model) -> Json:
    # LiteLLM says this constant for every model, whoever made it.
    return {"id": model.id, "object": "model", "created": 1_677_610_602, "owned_by": "openai"}


def _wants_usage(request: Json) -> bool:
    return bool(as_object(request.get("stream_options")).get("include_usage"))


def _data(value: Json) -> bytes:
    return f"data: {dumps(value)}\n\n".encode()


HANDLERS: Final[dict[tuple[str, ...], Callable[[Asked], Served | Reply]]] = {
    ("POST", "chat", "completions"): chat,
    ("GET", "chat", "completions"): kept_chats,
    ("GET", "chat", "completions", "*"): kept_chat,
    ("POST", "chat", "completions", "*"): kept_chat,
    ("DELETE", "chat", "completions", "*"): delete_chat,
    ("POST", "completions"): complete,
    ("POST", "embeddings"): embed,
    ("GET", "models"): models,
    ("GET", "models", "*"): model,
    ("GET", "model", "info"): model_info,
}
