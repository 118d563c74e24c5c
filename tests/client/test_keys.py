"""Keys stay home: no other provider's credential reaches the gateway, the Huddle01 key reaches nothing else.

Every foreign credential holds the word FOREIGN, every byte a client sends is kept, so one look tells.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import openai
import pytest

import huddle_otel
from huddle_otel import MissingKeyError
from huddle_otel.client import patch
from huddle_otel.errors import ConfigurationError
from huddle_otel.gateway import Gateway, Rule, faults
from huddle_otel.settings import Secret, Settings
from tests.client.support import FAST, KEY, SAY, SDK, Instrument, Recorded, run
from tests.client.wire import Wire

ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-FOREIGN-environment",
    "OPENAI_ORG_ID": "org-FOREIGN-environment",
    "OPENAI_PROJECT_ID": "proj-FOREIGN-environment",
    "OPENAI_ADMIN_KEY": "sk-FOREIGN-admin-environment",
    "OPENAI_CUSTOM_HEADERS": "authorization: Bearer FOREIGN-custom\nOpenAI-Organization: org-FOREIGN-custom",
}
PER_CALL: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer FOREIGN-call"},
    {"authorization": "Bearer FOREIGN-call", "OPENAI-ORGANIZATION": "org-FOREIGN-call"},
    {"AUTHORIZATION": "Bearer FOREIGN-call", "openai-project": "proj-FOREIGN-call", "Api-Key": "FOREIGN-call"},
]
CLASSES = (openai.OpenAI, openai.AsyncOpenAI)


class _Sync(openai.OpenAI):
    pass


class _Async(openai.AsyncOpenAI):
    def __init__(self) -> None:
        super().__init__(api_key="sk-FOREIGN-subclass", organization="org-FOREIGN-subclass")


def _provider(cls: type[Any]) -> Callable[[], Any]:
    async def later() -> str:
        return "sk-FOREIGN-callable"

    return later if issubclass(cls, openai.AsyncOpenAI) else lambda: "sk-FOREIGN-callable"


def _set(client: Any, **attributes: Any) -> Any:
    for name, value in attributes.items():
        setattr(client, name, value)
    return client


_HEADERS = {
    "Authorization": "Bearer FOREIGN-default",
    "OpenAI-Organization": "org-FOREIGN-default",
    "OpenAI-Project": "proj-FOREIGN-default",
    "api-key": "FOREIGN-default",
}
_LOWER = {name.lower(): value for name, value in _HEADERS.items()}

MAKERS: dict[str, Callable[[type[Any]], Any]] = {
    "nothing": lambda cls: cls(),
    "key": lambda cls: cls(api_key="sk-FOREIGN-argument"),
    "callable-key": lambda cls: cls(api_key=_provider(cls)),
    "account": lambda cls: cls(organization="org-FOREIGN-argument", project="proj-FOREIGN-argument"),
    "default-headers": lambda cls: cls(default_headers=_HEADERS),
    "default-headers-lower": lambda cls: cls(default_headers=_LOWER),
    "with-options": lambda cls: cls(api_key="sk-FOREIGN-1", organization="org-FOREIGN").with_options(timeout=9),
    "copy-of-copy": lambda cls: cls(api_key="sk-FOREIGN-1").copy(timeout=9).copy(max_retries=1),
    "copy-of-callable": lambda cls: cls(api_key=_provider(cls)).copy(timeout=9),
    "copy-with-key": lambda cls: cls(api_key="sk-FOREIGN-1").copy(api_key="sk-FOREIGN-2"),
    "copy-with-account": lambda cls: cls().copy(organization="org-FOREIGN-2", project="proj-FOREIGN-2"),
    "copy-with-headers": lambda cls: cls().copy(default_headers=_HEADERS),
    "copy-with-headers-lower": lambda cls: cls().copy(set_default_headers=_LOWER),
    "key-set-later": lambda cls: _set(cls(), api_key="sk-FOREIGN-later", organization="org-FOREIGN-later"),
    "copy-of-key-set-later": lambda cls: _set(cls(), api_key="sk-FOREIGN-later").copy(timeout=9),
    "subclass": lambda cls: (_Async if cls is openai.AsyncOpenAI else _Sync)(),
    **({"admin-key": lambda cls: cls(admin_api_key="sk-FOREIGN-admin")} if SDK >= 3 else {}),
}


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Wire]:
    with Wire(gateway) as made:
        yield made


@pytest.fixture
def elsewhere(other: Gateway) -> Iterator[Wire]:
    with Wire(other) as made:
        yield made


@pytest.fixture
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def _calls(client: Any) -> None:
    """Make calls of each kind with each set of headers, and close the client."""
    if isinstance(client, openai.AsyncOpenAI):
        run(_async_calls(client))
        return
    with client:
        for headers in PER_CALL:
            client.chat.completions.create(**SAY, extra_headers=headers)
        for _ in client.chat.completions.create(**SAY, stream=True, extra_headers=PER_CALL[-1]):
            pass
        client.models.with_raw_response.list(extra_headers=PER_CALL[1])


async def _async_calls(client: Any) -> None:
    async with client:
        for headers in PER_CALL:
            await client.chat.completions.create(**SAY, extra_headers=headers)
        async for _ in await client.chat.completions.create(**SAY, stream=True, extra_headers=PER_CALL[-1]):
            pass
        await client.models.with_raw_response.list(extra_headers=PER_CALL[1])


def _only_huddle(wire: Wire, calls: int) -> None:
    assert len(wire.gateway.calls) == calls
    assert "FOREIGN" not in wire.sent
    assert {call.headers["authorization"] for call in wire.gateway.calls} == {f"Bearer {KEY}"}
    assert wire.sent.lower().count("authorization:") == calls, "one Authorization header per request"


# --- default-targeted clients ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("made", ["after", "before"])
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("maker", MAKERS)
def test_no_foreign_credential_reaches_the_gateway(
    wire: Wire, instrument: Instrument, maker: str, cls: type[Any], made: str
) -> None:
    client = MAKERS[maker](cls) if made == "before" else None
    instrument(base_url=wire.url)
    client = client or MAKERS[maker](cls)
    _calls(client)
    assert str(client.base_url).rstrip("/") == wire.url
    assert KEY not in repr(vars(client)), "a client never holds the key itself"
    _only_huddle(wire, len(PER_CALL) + 2)


@pytest.mark.parametrize("cls", CLASSES)
def test_no_openai_key_is_needed_at_all(wire: Wire, instrument: Instrument, cls: type[Any]) -> None:
    instrument(base_url=wire.url)
    _calls(cls())
    _only_huddle(wire, len(PER_CALL) + 2)


def test_the_key_comes_from_the_environment_as_it_stands_when_called(
    wire: Wire, instrument: Instrument, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", "sk-huddle-old")
    instrument(base_url=wire.url, api_key=None)
    client = make(openai.OpenAI)
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    client.chat.completions.create(**SAY)
    _only_huddle(wire, 1)


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("settings", [{}, {"api_key": "sk-FOREIGN-module", "organization": "org-FOREIGN-module"}])
def test_the_module_level_client(
    wire: Wire, instrument: Instrument, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str]
) -> None:
    monkeypatch.setattr(openai, "_client", None)
    monkeypatch.setattr(openai, "http_client", None)
    for name in ("api_key", "organization", "project"):
        monkeypatch.setattr(openai, name, settings.get(name))
    instrument(base_url=wire.url)
    openai.chat.completions.create(**SAY)
    _only_huddle(wire, 1)
    huddle_otel.uninstrument()
    assert openai.api_key in {settings.get("api_key"), ENVIRONMENT["OPENAI_API_KEY"]}
    assert "openai.com" in str(openai._load_client().base_url)
    openai._load_client().close()


@pytest.mark.usefixtures("_environment")
def test_a_module_level_client_from_before_is_redirected(
    wire: Wire, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai, "_client", None)
    monkeypatch.setattr(openai, "http_client", None)
    monkeypatch.setattr(openai, "api_key", "sk-FOREIGN-module")
    client: Any = openai._load_client()
    instrument(base_url=wire.url)
    openai.chat.completions.create(**SAY)
    _only_huddle(wire, 1)
    huddle_otel.uninstrument()
    assert client.api_key == "sk-FOREIGN-module"
    client.close()


# --- explicit choices ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["argument", "environment", "attribute", "before"])
def test_an_explicit_base_url_is_left_alone(
    elsewhere: Wire, instrument: Instrument, monkeypatch: pytest.MonkeyPatch, recorded: Recorded, how: str
) -> None:
    arguments: dict[str, Any] = {"api_key": "sk-app", "organization": "org-app"}
    if how == "environment":
        monkeypatch.setenv("OPENAI_BASE_URL", elsewhere.url)
    elif how != "attribute":
        arguments["base_url"] = elsewhere.url
    client = openai.OpenAI(**arguments) if how == "before" else None
    instrument()
    client = client or openai.OpenAI(**arguments)
    if how == "attribute":
        client.base_url = elsewhere.url
    _calls_plain(client)
    call = elsewhere.gateway.calls[0]
    assert KEY not in elsewhere.sent
    assert "litellm" not in elsewhere.sent.lower()
    assert recorded.spans == ()
    if how == "attribute":  # it was the gateway's client; what it holds is worth nothing, and it is the app's to set
        return
    assert call.headers["authorization"] == "Bearer sk-app"
    assert call.headers["openai-organization"] == "org-app"


def _plain(value: Any) -> Any:
    """Make what the client holds comparable: markers for "leave this out" are equal when they are of a kind."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return str(value) if type(value).__name__ in {"str", "URL", "bool"} else repr(type(value))


def _calls_plain(client: Any) -> None:
    with client:
        client.chat.completions.create(**SAY)
        for _ in client.chat.completions.create(**SAY, stream=True):
            pass


@pytest.mark.parametrize("how", ["after", "before"])
def test_hosts_adds_telemetry_and_touches_neither_url_nor_key(
    elsewhere: Wire, instrument: Instrument, recorded: Recorded, how: str
) -> None:
    arguments: dict[str, Any] = {"base_url": elsewhere.url, "api_key": "sk-app", "organization": "org-app"}
    client = openai.OpenAI(**arguments) if how == "before" else None
    instrument(hosts=[f"127.0.0.1:{elsewhere.port}"])
    _calls_plain(client or openai.OpenAI(**arguments))
    assert KEY not in elsewhere.sent
    assert "litellm" not in elsewhere.sent.lower()
    assert {call.headers["authorization"] for call in elsewhere.gateway.calls} == {"Bearer sk-app"}
    assert {call.headers["openai-organization"] for call in elsewhere.gateway.calls} == {"org-app"}
    assert [span.attributes["gen_ai.provider.name"] for span in recorded.spans if span.attributes] == ["openai"] * 2


@pytest.mark.parametrize("name", ["AzureOpenAI", "AsyncAzureOpenAI"])
@pytest.mark.parametrize("how", ["after", "before"])
def test_azure_is_left_alone(elsewhere: Wire, instrument: Instrument, recorded: Recorded, name: str, how: str) -> None:
    arguments = {
        "azure_endpoint": elsewhere.url.removesuffix("/v1"),
        "azure_deployment": "deployed",
        "api_version": "2025-01-01",
        "api_key": "azure-app",
    }
    cls: type[Any] = getattr(openai, name)
    client = cls(**arguments) if how == "before" else None
    instrument()
    client = client or cls(**arguments)

    async def later() -> None:
        async with client:
            with suppress(openai.NotFoundError):  # the embedded gateway has no Azure paths; that it was asked is enough
                await client.chat.completions.create(**SAY)

    if name.startswith("Async"):
        run(later())
    else:
        with client, suppress(openai.NotFoundError):
            client.chat.completions.create(**SAY)
    (call,) = elsewhere.gateway.calls
    assert call.headers["api-key"] == "azure-app"
    assert KEY not in elsewhere.sent
    assert recorded.spans == ()


@pytest.mark.parametrize("how", ["after", "before"])
def test_the_gateway_named_with_a_key_of_its_own_keeps_it(
    wire: Wire, instrument: Instrument, recorded: Recorded, how: str
) -> None:
    """The app asked for this host with this key: nothing to replace, but other accounts' headers are taken out."""
    arguments: dict[str, Any] = {
        "base_url": wire.url,
        "api_key": "sk-huddle-second",
        "organization": "org-FOREIGN",
        "default_headers": {"openai-organization": "org-FOREIGN", "OPENAI-PROJECT": "proj-FOREIGN"},
    }
    client = openai.OpenAI(**arguments) if how == "before" else None
    instrument(base_url=wire.url)
    client = client or openai.OpenAI(**arguments)
    with client, pytest.raises(openai.AuthenticationError):  # this gateway knows one key only
        client.chat.completions.create(**SAY)
    (call,) = wire.gateway.calls
    assert call.headers["authorization"] == "Bearer sk-huddle-second"
    assert KEY not in wire.sent
    assert "FOREIGN" not in wire.sent
    assert recorded.attributes["gen_ai.provider.name"] == "huddle01"


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("made", ["after", "before"])
@pytest.mark.parametrize(
    "maker",
    [
        lambda cls, url: cls(base_url=url),
        lambda cls, url: cls(base_url=url, api_key="sk-FOREIGN-environment"),
        lambda cls, url: cls(base_url=url).with_options(timeout=9),
        lambda cls, url: cls(base_url=url, default_headers=_LOWER, organization="org-FOREIGN"),
        lambda cls, url: _set(cls(base_url="http://127.0.0.1:1/v1"), base_url=url),
    ],
    ids=["no-key", "openai-key", "copy", "headers", "base-url-set-later"],
)
def test_the_gateway_named_without_a_key_of_its_own_never_gets_openais(
    wire: Wire, instrument: Instrument, cls: type[Any], made: str, maker: Callable[[type[Any], str], Any]
) -> None:
    client = maker(cls, wire.url) if made == "before" else None
    instrument(base_url=wire.url)
    _calls(client or maker(cls, wire.url))
    _only_huddle(wire, len(PER_CALL) + 2)


@pytest.mark.usefixtures("_environment")
def test_the_gateway_named_in_the_environment(
    wire: Wire, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", wire.url)
    instrument(base_url=wire.url)
    _calls(openai.OpenAI())
    _only_huddle(wire, len(PER_CALL) + 2)


@pytest.mark.skipif(SDK < 3, reason="admin keys came with openai 3")
def test_an_admin_key_never_reaches_the_gateway_beside_a_key_of_its_own(
    wire: Wire, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-FOREIGN-admin")
    instrument(base_url=wire.url)
    with openai.OpenAI(base_url=wire.url, api_key=KEY) as client, suppress(openai.APIStatusError, openai.OpenAIError):
        client.admin.organization.projects.list()
    assert "FOREIGN" not in wire.sent


# --- leaving the gateway: the Huddle01 key does not come along --------------------------------------------------------


def _after_copy(client: Any, url: str) -> Any:
    return client.with_options(base_url=url)


def _after_assignment(client: Any, url: str) -> Any:
    client.base_url = url
    return client


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("leave", [_after_copy, _after_assignment])
@pytest.mark.parametrize("used", [False, True])
def test_a_client_that_leaves_the_gateway_takes_no_huddle_key_along(
    wire: Wire, elsewhere: Wire, instrument: Instrument, cls: type[Any], leave: Callable[[Any, str], Any], used: bool
) -> None:
    instrument(base_url=wire.url)

    async def later(first: Any) -> None:
        if used:
            await first.chat.completions.create(**SAY)
        second = leave(first, elsewhere.url)
        await second.chat.completions.create(**SAY)
        await second.chat.completions.create(**SAY, extra_headers={"x-mine": "1"})
        await first.close()

    client = cls(api_key="sk-app")
    if isinstance(client, openai.AsyncOpenAI):
        run(later(client))
    else:
        with client:
            if used:
                client.chat.completions.create(**SAY)
            second = leave(client, elsewhere.url)
            second.chat.completions.create(**SAY)
            second.chat.completions.create(**SAY, extra_headers={"x-mine": "1"})
    assert len(elsewhere.gateway.calls) == 2
    assert KEY not in elsewhere.sent
    assert "litellm" not in elsewhere.sent.lower()
    if leave is _after_copy:
        assert {call.headers["authorization"] for call in elsewhere.gateway.calls} == {"Bearer sk-app"}


@pytest.mark.parametrize("key", [lambda: "sk-app", "sk-app", None], ids=["callable", "text", "environment"])
def test_a_copy_for_another_host_gets_the_apps_own_key_back(
    elsewhere: Wire, instrument: Instrument, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, key: Any
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-app")
    instrument()
    make(openai.OpenAI, api_key=key).copy(base_url=elsewhere.url).chat.completions.create(**SAY)
    assert elsewhere.gateway.calls[0].headers["authorization"] == "Bearer sk-app"
    assert KEY not in elsewhere.sent


def test_an_absolute_url_to_another_host_carries_no_huddle_key(
    elsewhere: Wire, instrument: Instrument, make: Callable[..., Any]
) -> None:
    instrument()
    make(openai.OpenAI).get(f"{elsewhere.url}/models", cast_to=object)
    assert len(elsewhere.gateway.calls) == 1
    assert KEY not in elsewhere.sent
    assert "litellm" not in elsewhere.sent.lower()


@pytest.mark.usefixtures("_environment")
def test_an_absolute_url_to_the_gateway_carries_only_the_huddle_key(
    wire: Wire, elsewhere: Wire, instrument: Instrument, make: Callable[..., Any]
) -> None:
    instrument(base_url=wire.url)
    make(openai.OpenAI).get(f"{wire.url}/models", cast_to=object)
    _only_huddle(wire, 1)


@pytest.mark.parametrize(
    "near", ["HTTP://127.0.0.1:{port}/v1", "http://127.0.0.1:{port}/v1/", "http://127.0.0.1:{port}/v1//"]
)
def test_the_gateway_is_known_however_its_url_is_spelled(
    wire: Wire, instrument: Instrument, make: Callable[..., Any], recorded: Recorded, near: str
) -> None:
    instrument(base_url=wire.url)
    with suppress(openai.NotFoundError):
        make(openai.OpenAI, base_url=near.format(port=wire.port)).chat.completions.create(**SAY)
    assert wire.gateway.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert len(recorded.spans) == 1


@pytest.mark.parametrize("code", [302, 307, 308])
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_redirect_to_another_host_carries_no_huddle_key(
    wire: Wire, elsewhere: Wire, instrument: Instrument, cls: type[Any], code: int, stream: bool
) -> None:
    wire.gateway.script([Rule(faults.redirect(f"{elsewhere.url}/chat/completions", code=code))])
    instrument(base_url=wire.url)

    async def later(client: Any) -> None:
        async with client:
            with suppress(openai.APIError):
                answer = await client.chat.completions.create(**SAY, stream=stream)
                if stream:
                    async for _ in answer:
                        pass

    client = cls()
    if isinstance(client, openai.AsyncOpenAI):
        run(later(client))
    else:
        with client, suppress(openai.APIError):
            answer = client.chat.completions.create(**SAY, stream=stream)
            if stream:
                list(answer)
    assert elsewhere.gateway.calls, "the redirect was followed"
    assert KEY not in elsewhere.sent


# --- moving and restoring clients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_instrument_client_moves_one_client_and_its_copies(
    wire: Wire, elsewhere: Wire, cls: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", wire.url)
    arguments = {"base_url": elsewhere.url, "api_key": "sk-FOREIGN", "organization": "org-FOREIGN"}
    moved, bystander = cls(**arguments), openai.OpenAI(base_url=elsewhere.url, api_key="sk-app")
    huddle_otel.instrument_client(moved)
    huddle_otel.instrument_client(moved)  # again: nothing to do
    copied = moved.with_options(timeout=9)
    _calls(moved)
    _only_huddle(wire, len(PER_CALL) + 2)
    assert KEY not in repr(vars(copied))
    assert str(copied.base_url).startswith(wire.url)
    _calls_plain(bystander)
    assert KEY not in elsewhere.sent
    huddle_otel.uninstrument()
    for client in (moved, copied):
        assert str(client.base_url).rstrip("/") == elsewhere.url
        assert client.api_key == "sk-FOREIGN"
        assert client.organization == "org-FOREIGN"


@pytest.mark.parametrize("wrong", ["azure", "text", "none"])
def test_instrument_client_refuses_what_is_not_an_openai_client(wrong: str, make: Callable[..., Any]) -> None:
    given: Any = {"text": "client", "none": None}.get(wrong)
    if wrong == "azure":
        given = make(openai.AzureOpenAI, azure_endpoint="https://a.invalid", api_version="1", api_key="azure-app")
    with pytest.raises(TypeError, match=type(given).__name__):
        huddle_otel.instrument_client(given)
    assert patch.active() is None


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("made", ["after", "before"])
def test_uninstrument_gives_live_clients_everything_back(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, cls: type[Any], made: str
) -> None:
    """A client, and a copy of it, are afterwards as they would have been without us."""
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-environment")
    arguments = {
        "api_key": "sk-app",
        "organization": "org-app",
        "default_headers": {"authorization": "Bearer app", "x-mine": "1"},
    }
    bare = cls(**arguments)
    names = [name for name in vars(bare) if isinstance(vars(bare)[name], str | bool | dict | type(None))]
    expected = {name: getattr(bare, name) for name in [*names, "base_url", "default_headers"]}
    expected.pop("_platform", None)  # the async client looks it up at its first call
    client = cls(**arguments) if made == "before" else None
    instrument()
    client = client or cls(**arguments)

    async def later() -> None:
        await client.chat.completions.create(**SAY)
        await client.close()

    if isinstance(client, openai.AsyncOpenAI):
        run(later())
    else:
        client.chat.completions.create(**SAY)
        client.close()
    copied = client.copy()
    huddle_otel.uninstrument()
    for each in (client, copied):
        for name, value in expected.items():
            assert _plain(getattr(each, name)) == _plain(value), name
        assert type(each.api_key) is str


def test_uninstrument_gives_a_callable_key_back(instrument: Instrument, make: Callable[..., Any]) -> None:
    def provide() -> str:
        return "sk-app"

    instrument()
    client = make(openai.OpenAI, api_key=provide)
    client.chat.completions.create(**SAY)
    huddle_otel.uninstrument()
    assert client._api_key_provider is provide


def test_new_settings_move_live_clients_along(
    wire: Wire, elsewhere: Wire, instrument: Instrument, make: Callable[..., Any]
) -> None:
    """The second gateway gets the second key, the first never sees it, and neither sees OpenAI's."""
    instrument(base_url=wire.url)
    client = make(openai.OpenAI, api_key="sk-FOREIGN")
    copied = client.copy()
    client.chat.completions.create(**SAY)
    instrument(base_url=elsewhere.url, api_key="sk-huddle-second")
    client.chat.completions.create(**SAY)
    copied.chat.completions.create(**SAY)
    make(openai.OpenAI).chat.completions.create(**SAY)
    _only_huddle(wire, 1)
    assert {call.headers["authorization"] for call in elsewhere.gateway.calls} == {"Bearer sk-huddle-second"}
    assert len(elsewhere.gateway.calls) == 3
    assert "FOREIGN" not in elsewhere.sent
    huddle_otel.uninstrument()
    assert (client.api_key, copied.api_key) == ("sk-FOREIGN", "sk-FOREIGN")
    assert str(client.base_url) == str(copied.base_url) == "https://api.openai.com/v1/"


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("change", ["uninstrument", "instrument"])
def test_a_call_under_way_keeps_host_and_key_together(
    wire: Wire, elsewhere: Wire, instrument: Instrument, change: str
) -> None:
    """The first attempt breaks after the settings have changed; the second still goes where the call was begun."""
    wire.gateway.script([Rule(faults.reset_before_first_byte(0.2), calls={0})])
    instrument(base_url=wire.url)
    client = openai.OpenAI(api_key="sk-FOREIGN", default_headers=_LOWER, organization="org-FOREIGN")
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(client.chat.completions.create(**SAY)))
    thread.start()
    assert wire.gateway.wait_for(lambda: wire.gateway.in_flight == 1)
    if change == "uninstrument":
        huddle_otel.uninstrument()
    else:
        instrument(base_url=elsewhere.url, api_key="sk-huddle-second")
    thread.join(10)
    client.close()
    assert answers[0].choices[0].finish_reason == "stop"
    _only_huddle(wire, 2)
    assert elsewhere.sent == ""


# --- no key ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("blank", [None, "", "  "])
def test_no_key_is_said_at_construction(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, cls: type[Any], blank: str | None
) -> None:
    if blank is not None:
        monkeypatch.setenv("HUDDLE_API_KEY", blank)
    instrument(api_key=None)
    with pytest.raises(MissingKeyError, match="HUDDLE_API_KEY") as caught:
        cls(api_key="sk-FOREIGN")
    assert isinstance(caught.value, openai.OpenAIError | ConfigurationError)
    assert "FOREIGN" not in str(caught.value)


@pytest.mark.usefixtures("_environment")
def test_no_key_is_said_at_the_call_of_a_client_from_before(
    wire: Wire, instrument: Instrument, make: Callable[..., Any]
) -> None:
    client = make(openai.OpenAI)
    instrument(base_url=wire.url, api_key=None)
    with pytest.raises(MissingKeyError, match="HUDDLE_API_KEY"):
        client.chat.completions.create(**SAY)
    assert wire.sent == ""
    assert "openai.com" in str(client.base_url)


def test_no_key_is_said_at_the_call_when_it_was_taken_away(
    wire: Wire, instrument: Instrument, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, recorded: Recorded
) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    instrument(base_url=wire.url, api_key=None)
    client = make(openai.OpenAI)
    monkeypatch.delenv("HUDDLE_API_KEY")
    with pytest.raises(MissingKeyError, match="HUDDLE_API_KEY"):
        client.chat.completions.create(**SAY)
    assert wire.sent == ""
    assert recorded.total("huddle.client.in_flight") == 0


@pytest.mark.parametrize("broken", ["sk two", "sk-\nsecond line", "sk-schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(
    wire: Wire, instrument: Instrument, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """As a copied key often is; the client's own error for it would be a bare `UnicodeEncodeError` or worse."""
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    instrument(base_url=wire.url, api_key=None)
    client = make(openai.OpenAI)
    monkeypatch.setenv("HUDDLE_API_KEY", broken)
    for use in (lambda: client.chat.completions.create(**SAY), openai.OpenAI, openai.AsyncOpenAI):
        with pytest.raises(ConfigurationError, match="HUDDLE_API_KEY") as caught:
            use()
        assert broken not in str(caught.value)
    assert wire.sent == ""


def test_no_key_for_instrument_client(make: Callable[..., Any]) -> None:
    with pytest.raises(MissingKeyError, match="HUDDLE_API_KEY"):
        huddle_otel.instrument_client(make(openai.OpenAI, api_key="sk-app"))


@pytest.mark.parametrize("bad", ["with space", "line\nbreak", "schlüssel", "", 7])
def test_an_unusable_key_is_refused_without_being_shown(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        huddle_otel.instrument(api_key=bad)
    if bad:
        assert str(bad) not in str(caught.value)
    assert patch.active() is None


# --- masks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "shown"), [("short", "****"), ("elevenchars", "****"), (KEY, "****cdef")])
def test_a_secret_shows_itself_to_nobody(key: str, shown: str) -> None:
    secret = Secret(key)
    assert [repr(secret), str(secret), f"{secret}", "%s" % secret] == [shown] * 4  # noqa: UP031 - one of the ways
    assert secret.reveal() == key
    assert secret == Secret(key) != Secret("another")
    assert hash(secret) == hash(Secret(key))
    assert key not in repr(Settings.load({}, api_key=key))


@pytest.mark.parametrize("kind", ["echo", "wrong-key", "hash"])
@pytest.mark.parametrize("stream", [False, True])
def test_the_key_is_in_no_span_metric_log_or_error_of_ours(
    wire: Wire, instrument: Instrument, recorded: Recorded, caplog: pytest.LogCaptureFixture, kind: str, stream: bool
) -> None:
    """Even when the gateway echoes the key in its 401, or prints its hash in a 429."""
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "huddle_otel"):
        caplog.set_level(logging.DEBUG, logger=name)
    reply = {
        "echo": faults.status(401, message=f"Invalid key: {KEY} (Bearer {KEY})"),
        "wrong-key": faults.expired_key(),
        "hash": faults.key_rate_limited(0.0),
    }[kind]
    wire.gateway.script([Rule(reply)])
    instrument(base_url=wire.url)
    with openai.OpenAI() as client, pytest.raises(openai.APIStatusError):
        client.chat.completions.create(**SAY, stream=stream)
    told = repr([(span.attributes, span.events, span.status.description) for span in recorded.spans])
    told += "".join(span.to_json() for span in recorded.spans) + str(recorded.metrics())
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("huddle_otel"))
    for text in (told, ours):
        assert KEY not in text
        assert faults.KEY_HASH not in text
    # what others log is theirs, but it must not hold the header: the 401's body is the gateway's own doing
    headers = [record.getMessage() for record in caplog.records if "authorization" in record.getMessage().lower()]
    assert [line for line in headers if f"Bearer {KEY}" in line and "Invalid key" not in line] == []


def test_the_key_is_in_no_log_of_a_good_call(
    wire: Wire, instrument: Instrument, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("openai", "httpx", "httpx2", "huddle_otel"):
        caplog.set_level(logging.DEBUG, logger=name)
    instrument(base_url=wire.url, retry=FAST)
    client = make(openai.OpenAI)
    client.chat.completions.create(**SAY)
    assert KEY not in repr(client) + str(client.default_headers) + str(client.auth_headers)
    assert caplog.records, "the client logs at this level, so there was something to look through"
    assert KEY not in caplog.text
