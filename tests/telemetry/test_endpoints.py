"""Every endpoint of the client, through the client: what its span is called, what it says, and what is counted."""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from huddle_otel.client import reading, sse
from huddle_otel.client.request import _endpoint_name
from huddle_otel.gateway import Gateway, Model, Rule, faults, media
from huddle_otel.gateway.kinds import Reply
from tests.client.support import COST, FLAVOURS, KEY, SAY, SDK, Instrument, Recorded, run, with_async
from tests.gateway.wiring import ask

USAGE = "gen_ai.usage."
IN, OUT = f"{USAGE}input_tokens", f"{USAGE}output_tokens"
FINISH = "gen_ai.response.finish_reasons"
SOURCE = "huddle.cost.source"
ASK: dict[str, Any] = {"model": "gpt-4.1", "input": "hi there"}
PICTURE: dict[str, Any] = {"model": "gpt-image-1", "prompt": "a cat"}
WAV = ("a.wav", b"RIFF\x00\xff\r\n--not-a-boundary\r\n", "audio/wav")
LINES = b'{"object":"chat.completion","id":"x","usage":{"prompt_tokens":7,"completion_tokens":7}}'


class Answer(BaseModel):
    text: str


@pytest.fixture
def ids(gateway: Gateway) -> dict[str, str]:
    """Things that exist already, made by someone else."""
    form = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
    form += b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n' + LINES + b"\r\n--b--\r\n"
    made = {
        "file": ask(gateway, form, "/v1/files", key=KEY, Content_Type="multipart/form-data; boundary=b"),
        "batch": ask(gateway, {"input_file_id": "file-1"}, "/v1/batches", key=KEY),
        "store": ask(gateway, {"name": "mine"}, "/v1/vector_stores", key=KEY),
        "response": ask(gateway, ASK, "/v1/responses", key=KEY),
        "chat": ask(gateway, {**SAY, "store": True}, key=KEY),
    }
    gateway.reset()
    return {name: answer.json["id"] for name, answer in made.items()}


def _use(flavour: str, use: Callable[[Any], Any]) -> Any:
    """Make a call with either client; `use` returns what is to be awaited, or a function that reads a result."""

    async def later(client: Any) -> Any:
        result = use(client)
        return await result if isinstance(result, Awaitable) else result

    if flavour == "async":
        return with_async(later)
    with openai.OpenAI() as client:
        return use(client)


async def _drain_later(stream: Any) -> list[Any]:
    return [each async for each in await stream]


def drained(stream: Any) -> Any:
    """Read a stream of either client to its end."""
    return _drain_later(stream) if isinstance(stream, Awaitable) else list(stream)


# --- one row per endpoint --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """A call, the name of its span's operation, and what else the span says."""

    name: str
    use: Callable[[Any, dict[str, str]], Any]
    operation: str
    model: str = ""
    says: dict[str, Any] = field(default_factory=dict)
    counted: tuple[int, int] | None = None
    source: str | None = None
    """Who prices it; None: there is nothing to price."""
    since: int = 1
    """The first generation of the client that has it."""

    def __str__(self) -> str:
        return self.name


IMAGE = {f"{USAGE}text.input_tokens": 2, f"{USAGE}image.input_tokens": 0}
HEARD = {f"{USAGE}audio.input_tokens": 14, f"{USAGE}text.input_tokens": 0}
DONE = {FINISH: ("completed",), "gen_ai.response.model": "gpt-4.1"}
PRICED: dict[str, Any] = {"model": "gpt-4.1", "counted": (2, 8), "source": "gateway"}
VECTOR: dict[str, Any] = {"model": "text-embedding-3-small", "input": "hi there"}
VECTORS: dict[str, Any] = {"operation": "embeddings", "model": VECTOR["model"], "counted": (2, 0), "source": "gateway"}
PICTURES: dict[str, Any] = {"model": "gpt-image-1", "source": "unknown"}
TRANSCRIBE: dict[str, Any] = {"model": "gpt-4o-transcribe", "file": WAV}
WHISPER: dict[str, Any] = {"model": "whisper-1", "file": WAV}
SOUND: dict[str, Any] = {"operation": "transcription", "source": "unknown"}
ROWS = [
    Row(
        name="response",
        use=lambda c, _: c.responses.create(**ASK),
        operation="chat",
        says={**DONE, "openai.api.type": "responses", "openai.response.service_tier": None},
        **PRICED,
    ),
    Row(
        name="response-parse",
        use=lambda c, _: c.responses.parse(**ASK, text_format=Answer),
        operation="chat",
        says=DONE,
        **PRICED,
    ),
    Row(
        name="response-stream",
        use=lambda c, _: drained(c.responses.create(**ASK, stream=True)),
        operation="chat",
        says={**DONE, "gen_ai.request.stream": True},
        **PRICED,
    ),
    Row(
        name="response-retrieve",
        use=lambda c, ids: c.responses.retrieve(ids["response"]),
        operation="responses.retrieve",
        says=DONE,
    ),
    Row(
        name="response-cancel",
        use=lambda c, ids: c.responses.cancel(ids["response"]),
        operation="responses.cancel.create",
        says=DONE,
    ),
    Row(
        name="response-delete",
        use=lambda c, ids: c.responses.delete(ids["response"]),
        operation="responses.delete",
    ),
    Row(
        name="response-items",
        use=lambda c, ids: c.responses.input_items.list(ids["response"]),
        operation="responses.input_items.list",
        says={"gen_ai.response.id": None},
    ),
    Row(
        name="response-count",
        use=lambda c, _: c.responses.input_tokens.count(**ASK),
        operation="responses.input_tokens.create",
        model="gpt-4.1",
        source="unknown",
        since=2,
    ),
    Row(
        name="response-compact",
        use=lambda c, _: c.responses.compact(**ASK),
        operation="responses.compact.create",
        since=2,
        **PRICED,
    ),
    Row(
        name="legacy",
        use=lambda c, _: c.completions.create(model="gpt-4.1", prompt="hi there"),
        operation="text_completion",
        says={FINISH: ("stop",)},
        **PRICED,
    ),
    Row(
        name="legacy-stream",
        use=lambda c, _: drained(c.completions.create(model="gpt-4.1", prompt="hi there", stream=True)),
        operation="text_completion",
        says={FINISH: ("stop",)},
        **PRICED,
    ),
    Row(name="embeddings", use=lambda c, _: c.embeddings.create(**VECTOR), **VECTORS),
    Row(
        name="embeddings-float",
        use=lambda c, _: c.embeddings.create(**VECTOR, encoding_format="float"),
        says={"gen_ai.request.encoding_formats": ("float",)},
        **VECTORS,
    ),
    Row(
        name="image",
        use=lambda c, _: c.images.generate(**PICTURE),
        operation="image_generation",
        says=IMAGE,
        counted=(2, 196),
        **PICTURES,
    ),
    Row(
        name="image-stream",
        use=lambda c, _: drained(c.images.generate(**PICTURE, stream=True, partial_images=2)),
        operation="image_generation",
        says=IMAGE,
        counted=(2, 196),
        **PICTURES,
    ),
    Row(
        name="image-edit",
        use=lambda c, _: c.images.edit(**PICTURE, image=[media.PICTURE, media.PICTURE]),
        operation="image_edit",
        says={f"{USAGE}image.input_tokens": 392},
        counted=(394, 196),
        **PICTURES,
    ),
    Row(
        name="image-variation",
        use=lambda c, _: c.images.create_variation(image=media.PICTURE, model="dall-e-2"),
        operation="image_variation",
        model="dall-e-2",
        source="unknown",
    ),
    Row(
        name="speech",
        use=lambda c, _: c.audio.speech.create(model="tts-1", voice="alloy", input="hi there"),
        operation="speech",
        model="tts-1",
        source="unknown",
    ),
    Row(
        name="transcription",
        use=lambda c, _: c.audio.transcriptions.create(**TRANSCRIBE),
        says=HEARD,
        model="gpt-4o-transcribe",
        counted=(14, 4),
        **SOUND,
    ),
    Row(
        name="transcription-stream",
        use=lambda c, _: drained(c.audio.transcriptions.create(**TRANSCRIBE, stream=True)),
        says=HEARD,
        model="gpt-4o-transcribe",
        counted=(14, 4),
        **SOUND,
    ),
    Row(
        name="transcription-seconds",
        use=lambda c, _: c.audio.transcriptions.create(**WHISPER),
        model="whisper-1",
        **SOUND,
    ),
    Row(
        name="transcription-verbose",
        use=lambda c, _: c.audio.transcriptions.create(**WHISPER, response_format="verbose_json"),
        model="whisper-1",
        **SOUND,
    ),
    Row(
        name="transcription-text",
        use=lambda c, _: c.audio.transcriptions.create(**WHISPER, response_format="text"),
        model="whisper-1",
        **SOUND,
    ),
    Row(
        name="translation",
        use=lambda c, _: c.audio.translations.create(**WHISPER),
        operation="translation",
        model="whisper-1",
        source="unknown",
    ),
    Row(
        name="moderation",
        use=lambda c, _: c.moderations.create(model="omni-moderation-latest", input="hi"),
        operation="moderation",
        model="omni-moderation-latest",
        source="unknown",
    ),
    Row(
        name="model",
        use=lambda c, _: c.models.retrieve("gpt-4.1"),
        operation="models.retrieve",
        says={"gen_ai.response.id": None},
    ),
    Row(name="models", use=lambda c, _: c.models.list(), operation="models.list"),
    Row(
        name="file-create",
        use=lambda c, _: c.files.create(file=("x.jsonl", LINES), purpose="batch"),
        operation="files.create",
        says={"gen_ai.response.id": None},
        source="unknown",
    ),
    Row(name="file", use=lambda c, ids: c.files.retrieve(ids["file"]), operation="files.retrieve"),
    Row(name="file-list", use=lambda c, _: c.files.list(), operation="files.list"),
    Row(name="file-content", use=lambda c, ids: c.files.content(ids["file"]), operation="files.content.retrieve"),
    Row(name="file-delete", use=lambda c, ids: c.files.delete(ids["file"]), operation="files.delete"),
    Row(name="batch", use=lambda c, ids: c.batches.retrieve(ids["batch"]), operation="batches.retrieve"),
    Row(name="batch-list", use=lambda c, _: c.batches.list(), operation="batches.list"),
    Row(name="batch-cancel", use=lambda c, ids: c.batches.cancel(ids["batch"]), operation="batches.cancel.create"),
    Row(
        name="batch-create",
        use=lambda c, _: c.batches.create(
            input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h"
        ),
        operation="batches.create",
        source="unknown",
    ),
    Row(
        name="store-create",
        use=lambda c, _: c.vector_stores.create(name="mine"),
        operation="vector_stores.create",
        source="unknown",
    ),
    Row(
        name="store-search",
        use=lambda c, ids: c.vector_stores.search(ids["store"], query="hi"),
        operation="vector_stores.search.create",
    ),
    Row(name="chat-list", use=lambda c, _: c.chat.completions.list(), operation="chat.completions.list"),
    Row(
        name="chat-retrieve",
        use=lambda c, ids: c.chat.completions.retrieve(ids["chat"]),
        operation="chat.completions.retrieve",
        says={FINISH: ("stop",), "gen_ai.response.model": "gpt-4.1"},
    ),
    Row(
        name="chat-update",
        use=lambda c, ids: c.chat.completions.update(ids["chat"], metadata={"a": "b"}),
        operation="chat.completions.update",
    ),
    Row(
        name="chat-delete",
        use=lambda c, ids: c.chat.completions.delete(ids["chat"]),
        operation="chat.completions.delete",
    ),
    Row(
        name="response-beta",
        use=lambda c, _: c.beta.responses.create(**ASK),
        operation="chat",
        says={**DONE, "openai.api.type": "responses"},
        since=3,
        **PRICED,
    ),
]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("row", ROWS, ids=str)
@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
def test_an_endpoint(instrument: Instrument, recorded: Recorded, ids: dict[str, str], row: Row, flavour: str) -> None:
    if row.since > SDK:
        pytest.skip(f"openai {SDK} has no such method")
    instrument()
    _use(flavour, lambda client: row.use(client, ids))
    span, said = recorded.span, recorded.attributes
    assert said["gen_ai.operation.name"] == row.operation
    assert span.name == f"{row.operation} {row.model}".strip()
    assert said.get("gen_ai.request.model") == (row.model or None)
    assert (said["huddle.outcome"], said["huddle.attempts"]) == ("ok", 1)
    assert span.status.is_unset
    for name, value in row.says.items():
        assert said.get(name) == value, name
    counted = None if IN not in said else (said[IN], said[OUT])
    assert counted == row.counted
    told = sum(recorded.total("huddle.client.tokens", type=kind) for kind in ("input", "output"))
    assert told == sum(row.counted or ())
    assert said.get(SOURCE) == row.source
    assert ("gen_ai.usage.cost" in said) == (row.source == "gateway"), "unknown is never zero"
    assert recorded.total("huddle.client.cost.unknown") == (row.source == "unknown")
    assert recorded.total("huddle.telemetry.errors") == 0


@pytest.mark.parametrize("row", [row for row in ROWS if row.source is None], ids=str)
def test_a_cost_of_looking_is_not_believed(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, ids: dict[str, str], row: Row
) -> None:
    """A gateway that works it out from the usage in the answer tells the cost of the call that made the answer."""
    gateway.script([Rule(faults.good({"x-litellm-response-cost": "0.5"}))])
    instrument()
    _use("sync", lambda client: row.use(client, ids))
    assert "gen_ai.usage.cost" not in recorded.attributes
    assert recorded.points("huddle.client.cost.usd") == {}


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("get", "/chat/completions?limit=3", "chat.completions.list"),
        ("get", "/chat/completions/mine", "chat.completions.retrieve"),
        ("get", "/chat/completions/mine/messages", "chat.completions.messages.list"),
        ("get", "/responses/resp_abc", "responses.retrieve"),
        ("get", "/responses/conversation", "responses.retrieve"),
        ("get", "/files/notes/content", "files.content.retrieve"),
        ("post", "/vector_stores/mine", "vector_stores.update"),
        ("post", "/vector_stores/mine/file_batches", "vector_stores.file_batches.create"),
        ("get", "/vector_stores/mine/files/yours/content", "vector_stores.files.content.retrieve"),
        ("post", "/threads/runs", "threads.runs.create"),
        ("post", "/threads/thread_a/runs/run_b/submit_tool_outputs", "threads.runs.submit_tool_outputs.create"),
        ("get", "/fine_tuning/jobs", "fine_tuning.jobs.list"),
        ("get", "/fine_tuning/jobs/mine/events", "fine_tuning.jobs.events.list"),
        ("post", "/fine_tuning/alpha/graders/run", "fine_tuning.alpha.graders.create"),
        ("post", "/realtime/client_secrets", "realtime.client_secrets.create"),
        ("post", "/videos/edits", "videos.edits.create"),
        ("post", "/videos/video_a/remix", "videos.remix.create"),
        ("get", "/models/meta/llama", "models.retrieve"),
        ("get", "/organization/usage/costs?start=1", "organization.usage.costs.list"),
        ("delete", "/organization/projects/proj_1/users/u1", "organization.projects.users.delete"),
        ("post", "/never_seen_before", "never_seen_before.create"),
        ("get", "/never_seen_before/9a0364b9e99bb480dd25e1f0284c8555", "never_seen_before.retrieve"),
        ("get", "https://host.example/gateway/v1/files/notes", "files.retrieve"),
        ("post", "/", "update"),
    ],
)
def test_names_have_no_ids(method: str, path: str, name: str) -> None:
    assert _endpoint_name(path, method) == name


@pytest.mark.parametrize("path", ["/responses?beta=true", "/responses/"])
def test_a_query_is_no_part_of_the_endpoint(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any], path: str
) -> None:
    instrument()
    gateway_path = "/responses" + path.removeprefix("/responses").strip("/")
    make(openai.OpenAI).post(gateway_path, cast_to=object, body=ASK)
    assert recorded.span.name == "chat gpt-4.1"
    assert recorded.attributes["openai.api.type"] == "responses"


RERANKED = b'{"results":[],"usage":{"prompt_tokens":7,"completion_tokens":1,"total_tokens":8}}'


@pytest.mark.parametrize(
    ("method", "path", "name", "counted"),
    [
        ("post", "/rerank?fast=1", "rerank.create", 7),
        ("post", "/rerank/jobs", "rerank.jobs.create", 7),
        ("post", "/rerank/7f2c", "rerank.update", None),
        ("get", "/rerank/7f2c", "rerank.retrieve", None),
        ("delete", "/rerank/7f2c", "rerank.delete", None),
    ],
)
@pytest.mark.parametrize("cast", ["object", "response"])
def test_an_endpoint_nobody_knows(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    make: Callable[..., Any],
    method: str,
    path: str,
    name: str,
    counted: int | None,
    cast: str,
) -> None:
    """Work is what is posted to a name; whatever is addressed by an id tells of work that was counted elsewhere."""
    gateway.script([Rule(Reply(name="reranked", code=200, body=RERANKED, bare=True))])
    instrument()
    client = make(openai.OpenAI)
    http = __import__(type(client._client).__mro__[-2].__module__.partition(".")[0])
    body = {} if method == "get" else {"body": {"model": "gpt-4.1"}}
    answer = getattr(client, method)(path, cast_to=object if cast == "object" else http.Response, **body)
    assert (answer if cast == "object" else answer.json()) == json.loads(RERANKED)
    said = recorded.attributes
    assert said["gen_ai.operation.name"] == name
    assert said.get(IN) == counted
    assert "gen_ai.usage.cost" not in said, "the prices we know are those of chats"
    assert said.get(SOURCE) == ("unknown" if counted else None)


# --- responses: background, failures ---------------------------------------------------------------------------------


def _spent(recorded: Recorded) -> tuple[float, float, float]:
    total = recorded.total
    return (
        total("huddle.client.tokens", type="input", model="gpt-4.1"),
        total("huddle.client.tokens", type="output", model="gpt-4.1"),
        total("huddle.client.cost.usd", model="gpt-4.1", source="catalogue"),
    )


@pytest.fixture
def background(instrument: Instrument) -> Iterator[Gateway]:
    """A gateway that says no cost itself, instrumented."""
    with Gateway(key=KEY, persona="openai") as server:
        instrument(base_url=server.url)
        yield server


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.usefixtures("background")
def test_a_background_response_is_counted_once_when_first_seen_complete(
    recorded: Recorded, flavour: str, raw: bool
) -> None:
    def of(client: Any) -> Any:
        return client.responses.with_raw_response if raw else client.responses

    async def later(client: Any) -> None:
        made = await of(client).create(**ASK, background=True)
        made = made.parse() if raw else made
        for _ in range(5):
            await of(client).retrieve(made.id)

    if flavour == "async":
        with_async(later)
    else:
        with openai.OpenAI() as client:
            made = of(client).create(**ASK, background=True)
            made = made.parse() if raw else made
            for _ in range(5):
                of(client).retrieve(made.id)
    created, *looks = [dict(span.attributes or {}) for span in recorded.spans]
    assert recorded.spans[0].name == "chat gpt-4.1"
    assert {span.name for span in recorded.spans[1:]} == {"responses.retrieve gpt-4.1"}, "its model is known here"
    assert [each.get(FINISH) for each in (created, *looks)] == [None, None, *[("completed",)] * 4]
    assert [each.get(IN) for each in (created, *looks)] == [None, None, 2, None, None, None]
    assert [each.get(SOURCE) for each in (created, *looks)] == [None, None, "catalogue", None, None, None]
    assert _spent(recorded) == (2, 8, COST)
    assert recorded.total("huddle.client.cost.unknown") == 0


@pytest.mark.usefixtures("background")
def test_many_looks_at_once_count_once(recorded: Recorded, make: Callable[..., Any]) -> None:
    client = make(openai.OpenAI)
    made = client.responses.create(**ASK, background=True)
    client.responses.retrieve(made.id)
    barrier = threading.Barrier(8)

    def look() -> None:
        barrier.wait()
        client.responses.retrieve(made.id)

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _spent(recorded) == (2, 8, COST)


@pytest.mark.usefixtures("background")
def test_a_response_that_was_counted_when_it_was_made_is_not_counted_again(
    recorded: Recorded, make: Callable[..., Any]
) -> None:
    client = make(openai.OpenAI)
    made = client.responses.create(**ASK)
    client.responses.retrieve(made.id)
    assert list(client.responses.retrieve(made.id, stream=True))
    assert _spent(recorded) == (2, 8, COST)


def test_a_response_made_elsewhere_is_shown_but_not_counted(
    background: Gateway, recorded: Recorded, make: Callable[..., Any]
) -> None:
    """It was counted where it was made; counting it wherever it is looked at would bill it many times."""
    made = ask(background, ASK, "/v1/responses", key=KEY).json
    client = make(openai.OpenAI)
    client.responses.retrieve(made["id"])
    said = recorded.attributes
    assert said["gen_ai.response.id"] == made["id"]
    assert said["gen_ai.response.model"] == "gpt-4.1"
    assert said[FINISH] == ("completed",)
    assert not {IN, OUT, "gen_ai.usage.cost", SOURCE, "gen_ai.request.model"} & set(said)
    assert recorded.points("huddle.client.tokens") == recorded.points("huddle.client.cost.usd") == {}


@pytest.mark.usefixtures("background")
def test_a_background_stream_that_was_left_is_counted_when_taken_up_again(
    recorded: Recorded, make: Callable[..., Any]
) -> None:
    client = make(openai.OpenAI)
    with client.responses.create(**ASK, background=True, stream=True) as stream:
        first = next(iter(stream))
    for _ in range(2):
        assert list(client.responses.retrieve(first.response.id, stream=True))[-1].type == "response.completed"
    outcomes = [(span.attributes or {})["huddle.outcome"] for span in recorded.spans]
    assert outcomes == ["abandoned", "ok", "ok"]
    assert _spent(recorded) == (2, 8, COST)


@pytest.mark.usefixtures("background")
def test_a_cancelled_background_response_cost_nothing_we_know_of(recorded: Recorded, make: Callable[..., Any]) -> None:
    client = make(openai.OpenAI)
    made = client.responses.create(**ASK, background=True)
    assert client.responses.cancel(made.id).status == "cancelled"
    said = dict(recorded.spans[-1].attributes or {})
    assert said["gen_ai.operation.name"] == "responses.cancel.create"
    assert said[FINISH] == ("cancelled",)
    assert _spent(recorded) == (0, 0, 0)


def test_the_memory_of_responses_is_bounded() -> None:
    known = reading.Responses()
    for number in range(known.MOST + 10):
        known.add(f"resp_{number}", "m")
    assert len(known._known) == known.MOST
    assert not known.count("/responses/resp_0")
    newest = f"/responses/resp_{known.MOST + 9}"
    assert known.model(f"{newest}/cancel") == "m"
    assert [known.count(newest), known.count(f"{newest}/cancel")] == [True, False]
    known.add("resp_a=b", "m")
    assert known.count("/responses/resp_a%3Db"), "ids are escaped in paths"
    assert not known.count("/files/resp_1")
    assert known.model("/chat/completions") == ""


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_incomplete_response_says_why(
    instrument: Instrument, recorded: Recorded, flavour: str, stream: bool
) -> None:
    instrument()
    call: dict[str, Any] = {**ASK, "max_output_tokens": 3}
    _use(flavour, lambda c: drained(c.responses.create(**call, stream=True)) if stream else c.responses.create(**call))
    said = recorded.attributes
    assert said[FINISH] == ("max_output_tokens",)
    assert said["huddle.outcome"] == "ok"
    assert (said[IN], said[OUT]) == (2, 3)
    assert said["gen_ai.request.max_tokens"] == 3


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("code", "error_type"), [("rate_limit_exceeded", "rate_limit_exceeded"), ("image_too_small", "response_failed")]
)
def test_a_failed_response_is_an_error_that_the_app_gets_as_it_is(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    flavour: str,
    stream: bool,
    code: str,
    error_type: str,
) -> None:
    gateway.script([Rule(faults.failed_response(2, code=code, message=f"sorry, {KEY}"))])
    instrument()

    def use(client: Any) -> Any:
        return drained(client.responses.create(**ASK, stream=True)) if stream else client.responses.create(**ASK)

    answer = _use(flavour, use)
    failed = answer[-1].response if stream else answer
    assert (failed.status, failed.error.code) == ("failed", code)
    assert len(gateway.calls) == 1, "the app has it: it is not tried again"
    span, said = recorded.span, recorded.attributes
    assert said["huddle.outcome"] == "error"
    assert said["error.type"] == error_type
    assert said[FINISH] == ("failed",)
    assert span.status.description is not None
    assert span.status.description.startswith(f"{code}: sorry")
    assert KEY not in span.status.description
    assert recorded.total("huddle.client.calls", outcome="error", error__type=error_type) in {0, 1}
    assert recorded.total("huddle.client.in_flight") == 0
    assert recorded.total("huddle.client.stream.faults", kind="error_event") == stream


def test_a_look_at_a_failed_response_went_well(
    background: Gateway, recorded: Recorded, make: Callable[..., Any]
) -> None:
    background.script([Rule(faults.failed_response(), calls={0})])
    client = make(openai.OpenAI)
    made = client.responses.create(**ASK, background=True)
    for _ in range(3):
        client.responses.retrieve(made.id)
    said = dict(recorded.spans[-1].attributes or {})
    assert (said["huddle.outcome"], said[FINISH]) == ("ok", ("failed",))


def test_an_error_event_is_an_error_too(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    """The client raises for error frames, and hands on the events of the Responses API that are named `error`."""
    event = {"type": "error", "code": "server_error", "message": "sorry", "param": None, "sequence_number": 1}
    body = f"event: error\ndata: {json.dumps(event)}\n\n".encode()
    gateway.script([Rule(Reply(name="event", code=200, body=body, content_type="text/event-stream"))])
    instrument(truncated_stream="raise")
    (seen,) = make(openai.OpenAI).responses.create(**ASK, stream=True)
    assert seen.type == "error"
    said = recorded.attributes
    assert (said["huddle.outcome"], said["error.type"], said[FINISH]) == ("error", "server_error", ("error",))


# --- bodies that are not JSON ----------------------------------------------------------------------------------------


async def _streamed_later(method: Any, call: dict[str, Any], how: str) -> bytes:
    async with method.with_streaming_response.create(**call) as response:
        if how == "read":
            return bytes(await response.read())
        return b"".join([each async for each in response.iter_bytes(1000)])


def _streamed(method: Any, call: dict[str, Any], how: str) -> bytes:
    with method.with_streaming_response.create(**call) as response:
        return bytes(response.read()) if how == "read" else b"".join(response.iter_bytes(1000))


def _whole(answer: Any) -> bytes:
    return answer.encode() if isinstance(answer, str) else bytes(answer.content)


async def _whole_later(answer: Any) -> bytes:
    return _whole(await answer)


TEXT = "".join(media.WORDS)
SPEAK: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "hi"}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("how", ["whole", "raw", "read", "iter"])
@pytest.mark.parametrize("kind", ["speech", "text", "srt"])
def test_other_bodies_are_not_looked_at(
    instrument: Instrument,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    how: str,
    flavour: str,
) -> None:
    parsed: list[Any] = []

    class Watching:
        loads = staticmethod(parsed.append)
        JSONDecoder = json.JSONDecoder

    for module in (reading, sse):
        monkeypatch.setattr(module, "json", Watching)
    instrument()
    call = SPEAK if kind == "speech" else {**WHISPER, "response_format": kind}

    def use(client: Any) -> Any:
        method = client.audio.speech if kind == "speech" else client.audio.transcriptions
        later = flavour == "async"
        if how in {"whole", "raw"}:
            answer = (method.with_raw_response if how == "raw" else method).create(**call)
            return _whole_later(answer) if later else _whole(answer)
        return (_streamed_later if later else _streamed)(method, call, how)

    got = _use(flavour, use)
    assert got == media.SOUND if kind == "speech" else TEXT.encode() in got
    assert parsed == []
    said = recorded.attributes
    assert said["huddle.outcome"] == "ok"
    assert said[SOURCE] == "unknown"
    assert IN not in said


@pytest.mark.parametrize("how", ["whole", "raw", "streamed"])
def test_a_file_that_looks_like_an_answer_is_none(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any], ids: dict[str, str], how: str
) -> None:
    instrument()
    files = make(openai.OpenAI).files
    if how == "streamed":
        with files.with_streaming_response.content(ids["file"]) as response:
            got = response.read()
    else:
        got = (files.with_raw_response if how == "raw" else files).content(ids["file"]).content
    assert got == LINES
    assert not {IN, SOURCE, "gen_ai.response.id"} & set(recorded.attributes)


def test_an_upload_that_is_tried_again_is_sent_whole(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    gateway.script([Rule(faults.rate_limited(), calls={0})])
    instrument()
    made = make(openai.OpenAI).files.create(file=("x", media.SOUND), purpose="batch")
    assert made.bytes == len(media.SOUND)
    assert [call.body for call in gateway.calls] == [{"purpose": "batch", "file": media.SOUND}] * 2
    assert recorded.attributes["huddle.attempts"] == 2


def test_speech_as_events_tells_its_tokens(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any]
) -> None:
    instrument()
    with make(openai.OpenAI).audio.speech.with_streaming_response.create(**SPEAK, stream_format="sse") as response:
        assert b"speech.audio.done" in response.read()
    said = recorded.attributes
    assert (said[IN], said[OUT], said["huddle.outcome"]) == (1, 14, "ok")


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_pictures_are_not_held_back(gateway: Gateway, instrument: Instrument, flavour: str) -> None:
    """The first one may be all there is for a minute."""
    gateway.script([Rule(faults.stall(1))])
    instrument()
    call: dict[str, Any] = {**PICTURE, "stream": True, "partial_images": 2}

    async def later() -> Any:
        async with openai.AsyncOpenAI() as client, await client.images.generate(**call) as stream:
            return await anext(aiter(stream))

    if flavour == "async":
        event = run(later())
    else:
        with openai.OpenAI() as client, client.images.generate(**call) as stream:
            event = next(iter(stream))
    assert event.type == "image_generation.partial_image"


# --- what answers tell in detail -------------------------------------------------------------------------------------


def _answering(gateway: Gateway, body: dict[str, Any], *, stream: bool) -> None:
    """Have every call answered with this chat completion."""
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4.1", **body}
    data = json.dumps(whole).encode()
    if stream:
        message, reason = body["choices"][0]["message"], body["choices"][0]["finish_reason"]
        delta = {"index": 0, "delta": message, "finish_reason": None}
        end = {"index": 0, "delta": {}, "finish_reason": reason}
        base = {**whole, "object": "chat.completion.chunk", "usage": None}
        parts = [{**base, "choices": [delta]}, {**base, "choices": [end]}, {**whole, **base, "choices": []}]
        parts[-1]["usage"] = body["usage"]
        data = b"".join(f"data: {json.dumps(part)}\n\n".encode() for part in parts) + b"data: [DONE]\n\n"
    kind = "text/event-stream" if stream else "application/json"
    gateway.script([Rule(Reply(name="answer", code=200, body=data, content_type=kind, bare=True))])


def _said(client: Any, *, stream: bool, **call: Any) -> Any:
    answer = client.chat.completions.create(**SAY, **call, stream=stream)
    return list(answer) if stream else answer


PLAIN_USAGE = {"prompt_tokens": 2, "completion_tokens": 8, "total_tokens": 10}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_refusal_is_an_answer(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, make: Callable[..., Any], stream: bool
) -> None:
    message = {"role": "assistant", "content": None, "refusal": "I would rather not."}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    _answering(gateway, {"choices": [choice], "usage": PLAIN_USAGE}, stream=stream)
    instrument()
    _said(make(openai.OpenAI), stream=stream)
    said = recorded.attributes
    assert (said["huddle.outcome"], said[FINISH], said[OUT]) == ("ok", ("stop",), 8)
    assert ("gen_ai.response.time_to_first_chunk" in said) == stream


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("part", "modality", "priced"),
    [("prompt", "audio", False), ("prompt", "image", True), ("completion", "audio", False)],
)
def test_tokens_of_other_kinds_are_told_apart_and_not_priced_as_text(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    make: Callable[..., Any],
    part: str,
    modality: str,
    priced: bool,
    stream: bool,
) -> None:
    usage = {**PLAIN_USAGE, f"{part}_tokens_details": {f"{modality}_tokens": 1, "text_tokens": 1}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    _answering(gateway, {"choices": [choice], "usage": usage}, stream=stream)
    instrument()
    _said(make(openai.OpenAI), stream=stream)
    said = recorded.attributes
    side = "input" if part == "prompt" else "output"
    assert said[f"{USAGE}{modality}.{side}_tokens"] == said[f"{USAGE}text.{side}_tokens"] == 1
    assert said[SOURCE] == ("catalogue" if priced else "unknown")
    assert ("gen_ai.usage.cost" in said) == priced


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_tiers_and_logprobs_of_a_chat(
    instrument: Instrument, recorded: Recorded, make: Callable[..., Any], stream: bool
) -> None:
    instrument()
    answer = _said(make(openai.OpenAI), stream=stream, service_tier="auto", logprobs=True, n=2)
    choice = answer[3].choices[0] if stream else answer.choices[0]
    assert choice.logprobs.content[0].logprob == -0.25
    said = recorded.attributes
    assert said["openai.request.service_tier"] == "auto"
    assert said["openai.response.service_tier"] == "default"
    assert (said[FINISH], said[OUT]) == (("stop", "stop"), 16)


TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}, "strict": True}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_what_a_response_tells(instrument: Instrument, recorded: Recorded, stream: bool) -> None:
    model = Model("m", Decimal(1), Decimal(2), cached_tokens=1, reasoning_tokens=3)
    with Gateway(key=KEY, models=[model]) as server, openai.OpenAI(base_url=server.url, api_key=KEY) as client:
        instrument(base_url=server.url)
        responses: Any = client.responses
        answer = responses.create(
            model="m",
            input="hi there",
            tools=[TOOL],
            tool_choice="required",
            service_tier="flex",
            previous_response_id="resp_0",
            temperature=0.5,
            stream=stream,
        )
        if stream:
            list(answer)
    wanted = {
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.previous_response.id": "resp_0",
        "openai.request.service_tier": "flex",
        "openai.response.service_tier": "flex",
        FINISH: ("completed",),
        IN: 2,
        OUT: 11,
        f"{USAGE}cache_read.input_tokens": 1,
        f"{USAGE}reasoning.output_tokens": 3,
    }
    assert wanted.items() <= recorded.attributes.items()
    assert recorded.attributes["gen_ai.response.id"].startswith("resp_")
    assert recorded.attributes["gen_ai.usage.cost"] == pytest.approx(24e-6)
    assert ("gen_ai.response.time_to_first_chunk" in recorded.attributes) == stream
