"""The door: in once, out without a trace, from any thread, and soft on a client of unknown shape."""

from __future__ import annotations

import inspect
import logging
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import _base_client, _streaming

import huddle_otel
from huddle_otel import RetryPolicy, TimeoutPolicy
from huddle_otel.client import patch
from huddle_otel.errors import ConfigurationError
from huddle_otel.gateway import Gateway
from huddle_otel.settings import Settings
from tests.client.support import KEY, SAY, Instrument, Recorded, with_async

PATCHED = [
    (_base_client.SyncAPIClient, "request"),
    (_base_client.AsyncAPIClient, "request"),
    (_base_client.SyncAPIClient, "_process_response"),
    (_base_client.AsyncAPIClient, "_process_response"),
    (_base_client.SyncAPIClient, "_should_stream_response_body"),
    (openai.OpenAI, "__init__"),
    (openai.AsyncOpenAI, "__init__"),
]
SUBCLASSES = [
    each
    for name in dir(openai)
    if isinstance(each := getattr(openai, name), type)
    and issubclass(each, _base_client.BaseClient)
    and each not in {owner for owner, _ in PATCHED}
]


def _snapshot() -> dict[tuple[str, str], Any]:
    """Every attribute of every class that is, or may be, patched: the objects themselves."""
    classes = {owner for owner, _ in PATCHED} | set(SUBCLASSES) | {_streaming.Stream, _streaming.AsyncStream}
    return {(owner.__qualname__, name): value for owner in classes for name, value in vars(owner).items()}


def _same(first: dict[tuple[str, str], Any], second: dict[tuple[str, str], Any]) -> bool:
    return first.keys() == second.keys() and all(first[key] is second[key] for key in first)


# --- the public names ------------------------------------------------------------------------------------------------


def test_all_is_sorted_and_exactly_what_imports() -> None:
    assert list(huddle_otel.__all__) == sorted(huddle_otel.__all__)
    assert set(dir(huddle_otel)) >= set(huddle_otel.__all__)
    assert all(getattr(huddle_otel, name) is not None for name in huddle_otel.__all__)
    public = {
        name
        for name, value in vars(huddle_otel).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public | {"__version__"} == set(huddle_otel.__all__)


def test_the_door_takes_exactly_the_settings() -> None:
    taken = set(inspect.signature(huddle_otel.instrument).parameters)
    assert taken == set(Settings.__dataclass_fields__) - {"sources"}
    assert all(p.kind is p.KEYWORD_ONLY for p in inspect.signature(huddle_otel.instrument).parameters.values())
    assert "<not given>" in str(inspect.signature(huddle_otel.instrument)), "defaults show as what they are"


# --- in and out ------------------------------------------------------------------------------------------------------


def test_what_is_patched_is_patched_once_and_put_back_identically(instrument: Instrument) -> None:
    before = _snapshot()
    instrument()
    instrumented = _snapshot()
    changed = {key for key in instrumented if before.get(key) is not instrumented[key]}
    assert changed == {(owner.__qualname__, name) for owner, name in PATCHED}
    instrument(provider_name="other")
    assert _same(_snapshot(), instrumented), "new settings patch nothing again"
    huddle_otel.uninstrument()
    assert _same(_snapshot(), before)
    assert patch.active() is None


@pytest.mark.parametrize("times", [1, 2])
def test_uninstrument_may_be_called_at_any_time(instrument: Instrument, times: int) -> None:
    before = _snapshot()
    for _ in range(times):
        huddle_otel.uninstrument()
    instrument()
    for _ in range(times):
        huddle_otel.uninstrument()
    assert _same(_snapshot(), before)


def test_the_same_settings_again_change_nothing(instrument: Instrument) -> None:
    instrument(hosts="a.example")
    runtime = patch.active()
    instrument(hosts=["a.example"])
    assert patch.active() is runtime


@pytest.mark.parametrize(
    "change",
    [
        {"provider_name": "x"},
        {"retry": None},
        {"timeout": TimeoutPolicy(total=60)},
        {"hosts": "a.example"},
        {"api_key": "k"},
    ],
)
def test_other_settings_are_in_force_from_then_on(
    instrument: Instrument, change: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="huddle_otel")
    instrument()
    runtime = patch.active()
    instrument(**change)
    assert patch.active() is not runtime
    assert [record.getMessage() for record in caplog.records] == ["huddle_otel: new settings are in force"]


def test_a_bad_setting_changes_nothing(instrument: Instrument) -> None:
    instrument()
    runtime, snapshot = patch.active(), _snapshot()
    for bad in ({"retry": 3}, {"base_url": "ftp://x"}, {"prices": {"m": {"input": "free"}}}):
        with pytest.raises(ConfigurationError):
            instrument(**bad)
    assert patch.active() is runtime
    assert _same(_snapshot(), snapshot)


def test_environment_and_arguments_meet_at_the_door(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_RETRY", "off")
    monkeypatch.setenv("HUDDLE_OTEL_PROVIDER_NAME", "environment")
    huddle_otel.instrument(provider_name="argument")
    runtime = patch.active()
    assert runtime is not None
    assert (runtime.settings.retry, runtime.settings.provider_name) == (None, "argument")
    huddle_otel.instrument(provider_name="argument", retry=RetryPolicy())
    assert patch.active() is not runtime


def test_a_wrapped_method_still_looks_like_itself(instrument: Instrument) -> None:
    before = inspect.signature(openai.OpenAI), openai.OpenAI.__init__.__doc__
    instrument()
    assert (inspect.signature(openai.OpenAI), openai.OpenAI.__init__.__doc__) == before
    assert inspect.iscoroutinefunction(openai.AsyncOpenAI.request)


def test_after_uninstrument_calls_are_the_clients_own(
    instrument: Instrument, gateway: Gateway, recorded: Recorded, make: Callable[..., Any]
) -> None:
    instrument()
    huddle_otel.uninstrument()
    make(openai.OpenAI, base_url=gateway.url, api_key=KEY).chat.completions.create(**SAY)
    assert recorded.spans == ()
    assert [name for name in gateway.calls[0].headers if "litellm" in name] == []


def test_objects_from_before_are_covered(
    instrument: Instrument, gateway: Gateway, recorded: Recorded, make: Callable[..., Any]
) -> None:
    """Bound methods and raw-response wrappers that were made before are reached by the class-level seam."""
    client = make(openai.OpenAI, base_url=gateway.url, api_key=KEY)
    create = client.chat.completions.create
    raw = client.chat.completions.with_raw_response
    instrument()
    create(**SAY)
    raw.create(**SAY)
    assert len(recorded.spans) == 2


# --- threads ---------------------------------------------------------------------------------------------------------


def test_threads_may_instrument_and_uninstrument_at_once(instrument: Instrument) -> None:
    before = _snapshot()
    barrier = threading.Barrier(32)
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            barrier.wait()
            for turn in range(5):
                if (number + turn) % 2:
                    instrument(provider_name=f"p{number % 3}")
                    with openai.OpenAI() as client:
                        assert client is not None
                else:
                    huddle_otel.uninstrument()
        except openai.OpenAIError as error:  # made while nothing was in force, so it wants a key of its own
            if "OPENAI_API_KEY" not in str(error):
                problems.append(error)
        except BaseException as error:  # noqa: BLE001 - the main thread tells
            problems.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    huddle_otel.uninstrument()
    assert _same(_snapshot(), before)


# --- an openai client of unknown shape -------------------------------------------------------------------------------


def _other_parameters(self: Any, cast_to: Any, options: Any) -> None: ...


@pytest.fixture
def _logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING, logger="huddle_otel"):
        yield


@pytest.mark.usefixtures("_logged")
@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (_base_client.SyncAPIClient, "request", _other_parameters),
        (_base_client.AsyncAPIClient, "request", _other_parameters),
        (_base_client.SyncAPIClient, "_process_response", _other_parameters),
        (_base_client.AsyncAPIClient, "request", None),
        (_streaming.Stream, "_iter_events", None),
        (_streaming.AsyncStream, "__stream__", None),
    ],
)
def test_an_unknown_shape_leaves_the_client_untouched(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    gateway: Gateway,
    recorded: Recorded,
    make: Callable[..., Any],
    instrument: Instrument,
    owner: type[Any],
    name: str,
    value: Any,
) -> None:
    with monkeypatch.context() as changed:
        if value is None:
            changed.delattr(owner, name)
        else:
            changed.setattr(owner, name, value)
        snapshot = _snapshot()
        instrument()
        assert _same(_snapshot(), snapshot)
        assert patch.active() is None
    (record,) = caplog.records
    assert openai.__version__ in record.getMessage()
    assert "untouched" in record.getMessage()
    make(openai.OpenAI, base_url=gateway.url, api_key=KEY).chat.completions.create(**SAY)
    assert recorded.spans == ()


@pytest.mark.usefixtures("_logged")
def test_an_unknown_shape_leaves_earlier_clients_where_they_are(
    monkeypatch: pytest.MonkeyPatch, instrument: Instrument, make: Callable[..., Any]
) -> None:
    instrument()
    client = make(openai.OpenAI, api_key="sk-app")
    url = str(client.base_url)
    with monkeypatch.context() as changed:
        changed.delattr(_streaming.Stream, "_iter_events")
        instrument(provider_name="other")
    client.chat.completions.create(**SAY)
    assert str(client.base_url) == url
    huddle_otel.uninstrument()
    assert client.api_key == "sk-app"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_class_whose_request_somebody_wrapped_before_us(
    gateway: Gateway,
    instrument: Instrument,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    asynchronous: bool,
    stream: bool,
) -> None:
    """As other instrumentations do: what they found is what they go on to, not what stands on the base class later."""
    owner: Any = openai.AsyncOpenAI if asynchronous else openai.OpenAI
    found, passed = owner.request, []

    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        passed.append(1)
        return found(self, *args, **kwargs)

    monkeypatch.setattr(owner, "request", request, raising=False)
    instrument()

    async def later(client: Any) -> None:
        answer = await client.chat.completions.create(**SAY, stream=stream)
        if stream:
            assert [chunk async for chunk in answer]

    if asynchronous:
        with_async(later)
    else:
        with openai.OpenAI() as client:
            answer: Any = client.chat.completions.create(**SAY, stream=stream)
            assert not stream or list(answer)
    assert passed == [1]
    assert len(gateway.calls) == len(recorded.spans) == 1
    assert gateway.calls[0].headers["authorization"] == f"Bearer {KEY}"
    huddle_otel.uninstrument()
    assert vars(owner)["request"] is request
