"""A client on a plain socket that says exactly what came over the wire, and how it ended."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from typing import Any, Literal

from huddle_otel.gateway import Gateway, Rule, faults

CHAT = "/v1/chat/completions"
KEY = "sk-huddle-test"
HELLO = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "hi there"}]}
STREAM = HELLO | {"stream": True}
USAGE = STREAM | {"stream_options": {"include_usage": True}}

Ending = Literal["fin", "reset", "silence"]


@dataclass(frozen=True, slots=True)
class Answer:
    raw: bytes
    ending: Ending

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def headers(self) -> dict[str, str]:
        lines = self.raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def body(self) -> bytes:
        return self._decoded()[0]

    @property
    def complete(self) -> bool:
        """Whether HTTP says that the body is whole."""
        return self._decoded()[1]

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        """Data of the stream's events, comments left out, an event cut short included."""
        blocks = self.body.decode().split("\n\n")
        return [block.removeprefix("data: ") for block in blocks if block.startswith("data: ")]

    @property
    def chunks(self) -> list[Any]:
        return [json.loads(event) for event in self.events if event != "[DONE]"]

    @property
    def texts(self) -> list[str]:
        """The content of all content chunks."""
        deltas = [choice["delta"] for chunk in self.chunks for choice in chunk.get("choices", ())]
        return [delta["content"] for delta in deltas if delta.get("content")]

    @property
    def finish(self) -> str | None:
        reasons = [choice.get("finish_reason") for chunk in self.chunks for choice in chunk.get("choices", ())]
        return next(filter(None, reasons), None)

    @property
    def done(self) -> bool:
        return self.events[-1:] == ["[DONE]"]

    def _decoded(self) -> tuple[bytes, bool]:
        rest = self.raw.partition(b"\r\n\r\n")[2]
        if "content-length" in self.headers:
            return rest, len(rest) == int(self.headers["content-length"])
        body = b""
        while True:
            size, found, rest = rest.partition(b"\r\n")
            if not found:
                return body, False
            if int(size, 16) == 0:
                return body, rest == b"\r\n"
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


def request(
    body: Any = None, path: str = CHAT, *, method: str = "POST", key: str | None = KEY, **headers: str
) -> bytes:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway", f"Content-Length: {len(data)}"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def connect(gateway: Gateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=5)


def read(sock: socket.socket, timeout: float = 5) -> Answer:
    """Everything that comes until the gateway closes, resets, or says nothing for `timeout` seconds."""
    sock.settimeout(timeout)
    raw = b""
    while True:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            return Answer(raw, "reset")
        except TimeoutError:
            return Answer(raw, "silence")
        if not data:
            return Answer(raw, "fin")
        raw += data


def ask(gateway: Gateway, body: Any = HELLO, path: str = CHAT, *, timeout: float = 5, **how: Any) -> Answer:
    """One request on a connection of its own."""
    with connect(gateway) as sock:
        sock.sendall(request(body, path, Connection="close", **how))
        return read(sock, timeout)


def play(gateway: Gateway, fault: faults.Fault, body: Any = STREAM, timeout: float = 5) -> Answer:
    gateway.script([Rule(fault)])
    return ask(gateway, body, timeout=timeout)
