"""Shared fixtures: a clean environment, real servers on loopback, clients that are closed, recorded telemetry."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from huddle_otel.gateway import Gateway
from tests.client.support import KEY, Instrument, Recorded, instrumented

if TYPE_CHECKING:
    from tests.redis_server import RedisServer

_STORES = ("redis-server", os.environ.get("HUDDLE_TEST_VALKEY", "valkey-server"))  # the environment is clean in tests
_FOREIGN_PREFIXES = ("OPENAI_", "AZURE_OPENAI_", "HUDDLE_", "OTEL_")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")
_MODULE_SETTINGS = ("api_key", "organization", "project", "base_url", "default_headers", "api_type", "azure_endpoint")


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script; what is started inherits it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the developer's keys, and none leaves the openai client patched for the next."""
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name in _PROXIES:
            monkeypatch.delenv(name)
    openai = sys.modules.get("openai")
    before = {name: getattr(openai, name, None) for name in _MODULE_SETTINGS} if openai else {}
    yield
    if "huddle_otel.client.patch" in sys.modules:
        from huddle_otel import uninstrument

        uninstrument()
    for name, value in before.items():
        setattr(openai, name, value)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """The gateway: takes only the Huddle01 key."""
    with Gateway(key=KEY) as server:
        yield server


@pytest.fixture
def other() -> Iterator[Gateway]:
    """Another provider's host: takes any key."""
    with Gateway(key=None, persona="openai") as server:
        yield server


@pytest.fixture
def make() -> Iterator[Callable[..., Any]]:
    """`make(openai.OpenAI, ...)`: a sync client that is closed at the end of the test."""
    made: list[Any] = []

    def build(cls: type[Any], **arguments: Any) -> Any:
        client = cls(**arguments)
        made.append(client)
        return client

    yield build
    for client in made:
        client.close()


@pytest.fixture
def recorded() -> Recorded:
    """Spans and metrics in memory."""
    return Recorded()


@pytest.fixture
def instrument(gateway: Gateway, recorded: Recorded) -> Instrument:
    """`instrument(**changes)`: `huddle_otel.instrument()` on the embedded gateway, recorded, with fast retries."""
    return instrumented(gateway, recorded)


@pytest.fixture(params=_STORES, ids=["redis", "valkey"])
def redis_server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    """A Redis, then a Valkey, of this test's own, running."""
    from tests.redis_server import RedisServer  # its client is not in every environment

    server = RedisServer(tmp_path, request.param)
    server.start()
    yield server
    server.kill()
