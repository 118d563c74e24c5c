"""The handle of an embedded gateway: a server in a thread of its own, and what it saw."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from huddle_otel.gateway.answers import Terms
from huddle_otel.gateway.models import DEFAULT_MODELS
from huddle_otel.gateway.personas import PERSONAS, Persona
from huddle_otel.gateway.rules import Book
from huddle_otel.gateway.server import Server
from huddle_otel.gateway.serving import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from huddle_otel.gateway.models import Model
    from huddle_otel.gateway.rules import Call, Rule

_PATIENCE = 5.0
"""Seconds for the server's thread to do what it is told; it needs milliseconds."""


class Gateway:
    """An OpenAI-compatible gateway on loopback that answers like LiteLLM, or fails as its rules say.

    Example:
        >>> with Gateway(rules=[Rule(faults.status(503, retry_after=1), calls={0})]) as gateway:
        ...     client = openai.OpenAI(base_url=gateway.url, api_key="sk-huddle-test")

    Args:
        rules: Faults and the calls that get them; the first match wins, no match is a good answer.
        models: The only models there are; None: a few priced ones, and any other name is answered unpriced.
        key: The key every request must bring; None: no check.
        persona: `litellm`, `openai`, or a `Persona` changed with `dataclasses.replace`.
        seed: Of all random draws.
        host: A loopback address.
        port: TCP port; 0: a free one.
        capacity: Answers in service at once, others queue; None: no bound.
        remember: Calls kept in `calls`; older ones are forgotten.
        max_seconds: Stop by itself after this long (s); None: only `stop()` ends it.
        refuse_stream_options: Answer 400 to a request that has `stream_options`.

    Raises:
        ValueError: an argument is out of range, the host is not loopback, or two models share an id.
    """

    def __init__(  # noqa: PLR0913 -- all optional, and a test names the one it needs
        self,
        rules: Iterable[Rule] = (),
        *,
        models: Iterable[Model] | None = None,
        key: str | None = "sk-huddle-test",
        persona: str | Persona = "litellm",
        seed: int = 0,
        host: str = "127.0.0.1",
        port: int = 0,
        capacity: int | None = None,
        remember: int = 10_000,
        max_seconds: float | None = None,
        refuse_stream_options: bool = False,
    ) -> None:
        _at_least_one(capacity=capacity, remember=remember)
        if max_seconds is not None and not max_seconds > 0:
            raise ValueError(f"max_seconds must be above 0, got {max_seconds}")
        self._host = _loopback(host)
        self._port = port
        self._capacity = capacity
        self._max_seconds = max_seconds
        self._terms = Terms(
            models=_by_id(DEFAULT_MODELS if models is None else models),
            closed=models is not None,
            key=key,
            persona=_persona(persona),
            refuse_stream_options=refuse_stream_options,
            store=Store(),
        )
        self._book = Book(rules, seed=seed, remember=remember)
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Self:
        """Listen; returns once connections are accepted.

        Raises:
            OSError: the port is taken.
            RuntimeError: it was started before.
        """
        if self._thread is not None:
            raise RuntimeError("a Gateway starts only once; make another")
        self._thread = threading.Thread(target=self._run, name="huddle-otel-gateway", daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """End at once, hanging answers included. Harmless when stopped, stopping or never started."""
        if self._thread is None or self._loop is None or self._stopping is None:
            return
        with suppress(RuntimeError):  # the loop is closed: it stopped by itself
            self._loop.call_soon_threadsafe(self._stopping.set)
        if threading.current_thread() is not self._thread:
            self._thread.join(_PATIENCE)

    def pause(self, *, drop: bool = False) -> None:
        """Refuse connections and close idle ones; calls in service end well, or with `drop` in a reset."""
        self._tell(lambda server: server.deafen(drop=drop))

    def resume(self) -> None:
        """Listen again on the same port.

        Raises:
            OSError: another program took the port meanwhile.
        """
        self._tell(lambda server: server.listen())

    def script(self, rules: Iterable[Rule]) -> None:
        """Replace the rules; their counters, draws and time windows start anew."""
        self._book.script(rules)

    def reset(self) -> None:
        """Forget recorded calls and start the rules' counters and draws anew."""
        self._book.reset()

    def wait_for(self, condition: Callable[[], bool], timeout: float = _PATIENCE) -> bool:
        """Wait until `condition` holds, looked at whenever a call arrives or ends; False after `timeout` seconds.

        A client has its answer a moment before the call counts as finished, so tests of `finished`, `disconnected` and
        `in_flight` wait: `gateway.wait_for(lambda: gateway.calls[0].finished)`.
        """
        with self._book.changed:
            return self._book.changed.wait_for(condition, timeout)

    @property
    def calls(self) -> list[Call]:
        """The calls so far in order of arrival, at most `remember`."""
        return self._book.calls()

    @property
    def in_flight(self) -> int:
        """Calls that arrived and have not ended, queued ones included."""
        return self._book.in_flight

    @property
    def port(self) -> int:
        """The TCP port, known once started."""
        return self._port

    @property
    def url(self) -> str:
        """What a client takes as `base_url`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    @property
    def running(self) -> bool:
        """Whether the server's thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            # Not the platform's loop: only this one can watch a listening socket everywhere, and no policy may swap it.
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._main())
        except Exception as error:  # noqa: BLE001 -- `start` raises it in the caller's thread
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        server = Server(self._host, self._port, self._book, self._terms, self._capacity)
        self._port = server.listen()
        self._loop, self._server, self._stopping = loop, server, asyncio.Event()
        if self._max_seconds is not None:
            loop.call_later(self._max_seconds, self._stopping.set)
        self._ready.set()
        try:
            await self._stopping.wait()
        finally:
            await server.close()

    def _tell(self, order: Callable[[Server], object]) -> None:
        """Have the server do something in its own thread, and wait until it is done."""
        if self._server is None or self._loop is None or not self.running:
            raise RuntimeError("the gateway is not running")

        async def obey(server: Server) -> None:
            order(server)

        asyncio.run_coroutine_threadsafe(obey(self._server), self._loop).result(_PATIENCE)


def _at_least_one(**fields: int | None) -> None:
    for field, value in fields.items():
        if value is not None and value < 1:
            raise ValueError(f"{field} must be at least 1, got {value}")


def _loopback(host: str) -> str:
    if host == "localhost":
        return "127.0.0.1"  # not whatever the name resolves to
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(f"host must be a loopback address, got {host!r}: an embedded gateway is not for the network")
    return host


def _by_id(models: Iterable[Model]) -> dict[str, Model]:
    listed = tuple(models)
    twice = [name for name, count in Counter(model.id for model in listed).items() if count > 1]
    if twice:
        raise ValueError(f"models must have different ids, got twice: {', '.join(twice)}")
    return {model.id: model for model in listed}


def _persona(persona: str | Persona) -> Persona:
    if isinstance(persona, Persona):
        return persona
    if persona not in PERSONAS:
        raise ValueError(f"persona must be one of {', '.join(PERSONAS)} or a Persona, got {persona!r}")
    return PERSONAS[persona]
