"""Every fault there is, over real sockets: what the app sees, what was sent, what circuit and span say of it."""

from __future__ import annotations

import inspect
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Self

import openai
import pytest

import huddle_otel
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.fault_table import (
    CALM,
    CONNECT,
    HTTP,
    HURRIED,
    LOST,
    LOST_EARLY,
    NO_CONTENT,
    ROWS,
    TOO_LATE,
    WORDS,
    End,
    Row,
    fails,
)
from tests.client.support import FLAVOURS, SAY, SDK, Instrument, Recorded, with_async

PATIENCE: Final = 15.0
"""Seconds that no row takes, on the slowest machine."""
CLIENT: Final[dict[str, Any]] = {
    # made once: a client that makes its own takes longer over it than over the call
    "verify": ssl.create_default_context(),
    # a pooled connection may be closed by the other side just as the next attempt is sent on it
    "limits": HTTP.Limits(max_keepalive_connections=0),
}
ASKED: Final = {"responses": {"model": SAY["model"], "input": "hi there"}, "chat": SAY}


def _text(piece: Any) -> str:
    """What a complete answer, a chunk or an event says."""
    if hasattr(piece, "choices"):
        parts = (getattr(choice, "delta", None) or choice.message for choice in piece.choices)
        return "".join(part.content or "" for part in parts)
    if hasattr(piece, "output_text"):
        return str(piece.output_text)
    return str(piece.delta) if piece.type == "response.output_text.delta" else ""


def _play(flavour: str, *, stream: bool, api: str = "chat") -> tuple[str, Exception | None]:
    """Make one call, read a stream to its end; return what reached the app and what it caught."""
    heard: list[Any] = []
    asked = {**ASKED[api], "stream": stream}

    async def later(client: Any) -> None:
        create = client.responses.create if api == "responses" else client.chat.completions.create
        answer = await create(**asked)
        if not stream:
            heard.append(answer)
            return
        async for chunk in answer:
            heard.append(chunk)

    def now(client: Any) -> None:
        create = client.responses.create if api == "responses" else client.chat.completions.create
        answer = create(**asked)
        heard.extend(answer if stream else [answer])

    caught: Exception | None = None
    try:
        if flavour == "async":
            with_async(later, http_client=openai.DefaultAsyncHttpxClient(**CLIENT))
        else:
            with openai.OpenAI(http_client=openai.DefaultHttpxClient(**CLIENT)) as client:
                now(client)
    except Exception as error:  # noqa: BLE001 - which one is what is tested
        caught = error
    return "".join(map(_text, heard)), caught


def _check(end: End, recorded: Recorded, text: str, caught: Exception | None, took: float) -> None:
    """Compare what the app, the circuit, the span and the metrics say with the table."""
    if end.error:
        assert type(caught) in end.error, repr(caught)
    else:
        assert caught is None, repr(caught)
    assert getattr(caught, "status_code", None) == end.status
    assert text.split() == list(WORDS[: end.words])
    assert took < PATIENCE

    (circuit,) = huddle_otel.current_health()["circuits"]
    assert {name: circuit[name] for name in end.counts} == end.counts
    assert circuit["admitted"] == end.sent == sum(end.counts.values())
    assert (circuit["in_flight"], circuit["waiting"]) == (0, 0)

    attributes = recorded.attributes
    assert attributes["huddle.outcome"] == end.outcome
    assert attributes.get("error.type") == end.kind
    assert attributes.get("http.response.status_code") == end.status
    assert attributes["huddle.attempts"] == end.sent
    assert attributes.get("huddle.possible_double_billing", False) is end.billed_twice
    told = [event.attributes or {} for event in recorded.span.events if event.name == "huddle.attempt"]
    assert "".join(str(each["huddle.attempt.class"]) for each in told) == end.classes
    assert len(recorded.span.events) == len(told)

    assert recorded.total("huddle.client.attempts") == end.sent
    for letter in "ABCDE":
        assert recorded.total("huddle.client.attempts", **{"class": letter}) == end.classes.count(letter)
    assert recorded.total("huddle.client.double_billing.possible") == end.billed_twice
    assert recorded.total("huddle.client.calls", huddle__outcome=end.outcome) == 1
    assert recorded.total("huddle.client.in_flight") == 0


# --- the gateway's faults ---------------------------------------------------------------------------------------------


def _cases(*, retried: bool = False) -> list[Any]:
    return [
        pytest.param(row, end, shape == "stream", id=f"{row.name}-{shape}")
        for row in ROWS
        for shape, end in (("plain", row.plain), ("stream", row.stream))
        if end is not None and (end.retried or not retried)
    ]


def test_the_table_has_every_fault() -> None:
    makers = {name for name in faults.__all__ if inspect.isfunction(getattr(faults, name))}
    assert {row.maker for row in ROWS} == makers
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("row", "end", "stream"), _cases())
def test_a_fault(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, row: Row, end: End, stream: bool, flavour: str
) -> None:
    instrument(timeout=end.clocks)
    gateway.script([Rule(row.fault, calls=row.calls)])
    started = time.monotonic()
    text, caught = _play(flavour, stream=stream, api=row.api)
    _check(end, recorded, text, caught, time.monotonic() - started)
    arrived, expected = len(gateway.calls), end.sent + row.hops
    assert arrived == expected or (arrived < expected and end.clocks in HURRIED)


@pytest.mark.parametrize(("row", "end", "stream"), _cases(retried=True))
def test_a_fault_that_passes(
    gateway: Gateway, instrument: Instrument, recorded: Recorded, row: Row, end: End, stream: bool
) -> None:
    """What is tried again brings the good answer when the fault is gone; the app never knows."""
    flavour = FLAVOURS[stream]  # either is in the table above; this is about what follows
    instrument(timeout=CALM)
    gateway.script([Rule(row.fault, calls={0})])
    started = time.monotonic()
    text, caught = _play(flavour, stream=stream, api=row.api)
    once = End(classes=end.classes[0], verdict=end.verdict)
    _check(once, recorded, text, caught, time.monotonic() - started)
    assert len(gateway.calls) == once.sent


# --- faults of the connection -----------------------------------------------------------------------------------------

Behave = Callable[[socket.socket], None]
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


class Peer:
    """Somebody on loopback who treats every connection alike; without a behaviour, a port where nobody listens."""

    def __init__(self, behave: Behave | None) -> None:
        self.connections = 0
        self._behave = behave
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))  # held to the end, so that nobody else gets the port
        self._threads: list[threading.Thread] = []

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        if self._behave is not None:
            self._listener.listen()
            self._start(self._accept, self._behave)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the client has not hung up"

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self, behave: Behave) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._start(self._serve, behave, connection)

    @staticmethod
    def _serve(behave: Behave, connection: socket.socket) -> None:
        with connection, suppress(OSError):  # the client may be the first to leave
            connection.settimeout(PATIENCE)
            behave(connection)


def _hear(connection: socket.socket) -> None:
    """Read a whole request: what is left unread turns the end of a connection into a reset."""
    heard = b""
    while not heard.endswith(b"}"):  # of the JSON body
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError
        heard += piece


def _hold(connection: socket.socket) -> None:
    """Say nothing until the client leaves."""
    while connection.recv(65536):
        pass


def _says(words: bytes) -> Behave:
    """Hears the request, says this, and ends its own half of the connection."""

    def behave(connection: socket.socket) -> None:
        _hear(connection)
        connection.sendall(words)
        connection.shutdown(socket.SHUT_WR)
        _hold(connection)

    return behave


def _silent(connection: socket.socket) -> None:
    _hear(connection)
    _hold(connection)


def _endless_head(connection: socket.socket) -> None:
    """Headers, a few bytes at a time, without an end; every one of them restarts the socket's own timeout."""
    _hear(connection)
    connection.sendall(HEAD)
    connection.settimeout(0.02)
    for number in range(100):
        connection.sendall(b"x-%d: 1\r\n" % number)
        with suppress(TimeoutError):
            if not connection.recv(1):
                return


def _plain_text(connection: socket.socket) -> None:
    connection.recv(1)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
    _hold(connection)


def _reset_when_spoken_to(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


NEVER: Final = fails(openai.APIConnectionError, "connect_error", "AAA")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A row: what a peer does, and what becomes of a call."""

    name: str
    behave: Behave | None
    plain: End
    stream: End | None = None
    """None: the same."""
    scheme: str = "http"
    flavours: tuple[str, ...] = FLAVOURS


TROUBLES: Final = (
    # nothing was sent
    Trouble(name="refused", behave=None, plain=NEVER),
    Trouble(name="tls-refused", behave=None, plain=NEVER, scheme="https"),
    Trouble(name="tls-to-plain-text", behave=_plain_text, plain=NEVER, scheme="https"),
    Trouble(name="tls-reset", behave=_reset_when_spoken_to, plain=NEVER, scheme="https"),
    Trouble(
        name="tls-silence",
        behave=_hold,
        plain=fails(openai.APITimeoutError, "connect_timeout", "AAA", clocks=CONNECT),
        scheme="https",
    ),
    # connected: whatever was sent may have been worked on
    Trouble(name="closed-at-once", behave=lambda _: None, plain=LOST),
    Trouble(name="reset-when-spoken-to", behave=_reset_when_spoken_to, plain=LOST),
    Trouble(name="half-closed", behave=_says(b""), plain=LOST),
    Trouble(name="half-closed-in-head", behave=_says(HEAD), plain=LOST),
    Trouble(name="not-http", behave=_says(b"SSH-2.0-OpenSSH_9.9\r\n"), plain=LOST),
    Trouble(
        name="bad-chunk",
        behave=_says(HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n"),
        plain=LOST,
        stream=LOST_EARLY,
    ),
    Trouble(
        name="not-gzip",
        behave=_says(HEAD + b"content-encoding: gzip\r\n\r\nnot gzip"),
        plain=fails(openai.APIConnectionError, "malformed_response", "CC"),
        stream=fails(openai.APIConnectionError if SDK >= 3 else HTTP.DecodingError, "malformed_response", "CC"),
    ),
    Trouble(name="silent", behave=_silent, plain=TOO_LATE, stream=NO_CONTENT),
    # before the headers are complete nothing shows the connection, so a thread waits as long as they take
    Trouble(name="endless-head", behave=_endless_head, plain=TOO_LATE, stream=NO_CONTENT, flavours=("async",)),
)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("trouble", "flavour"),
    [pytest.param(trouble, each, id=f"{trouble.name}-{each}") for trouble in TROUBLES for each in trouble.flavours],
)
def test_a_broken_connection(
    instrument: Instrument, recorded: Recorded, trouble: Trouble, stream: bool, flavour: str
) -> None:
    end = (stream and trouble.stream) or trouble.plain
    with Peer(trouble.behave) as peer:
        instrument(base_url=f"{trouble.scheme}://{peer.host}/v1", timeout=end.clocks)
        started = time.monotonic()
        text, caught = _play(flavour, stream=stream)
        took = time.monotonic() - started
    _check(end, recorded, text, caught, took)
    expected = 0 if trouble.behave is None else end.sent
    assert peer.connections == expected or (peer.connections < expected and end.clocks in HURRIED)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_name_that_nobody_knows(
    instrument: Instrument, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, stream: bool, flavour: str
) -> None:
    asked: list[str] = []

    def unknown(host: Any, *_: Any, **__: Any) -> None:
        """Answer at once, as a resolver does that is there; without a network, a real one may take its time."""
        asked.append(host.decode() if isinstance(host, bytes) else host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    instrument(base_url="https://nobody.invalid/v1", timeout=CALM)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", unknown)
        started = time.monotonic()
        text, caught = _play(flavour, stream=stream)
    _check(NEVER, recorded, text, caught, time.monotonic() - started)
    assert asked == ["nobody.invalid"] * NEVER.sent
