from __future__ import annotations

import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from huddle_otel.gateway import Gateway, Model, Rule, faults
from huddle_otel.gateway.wire import MAX_BODY
from tests.gateway.wiring import CHAT, HELLO, KEY, STREAM, ask, connect, read, request


def post(connection: http.client.HTTPConnection, body: dict[str, Any] = HELLO) -> int:
    connection.request("POST", CHAT, json.dumps(body), {"Authorization": f"Bearer {KEY}"})
    response = connection.getresponse()
    response.read()
    return response.status


def test_connections_are_kept_alive() -> None:
    with Gateway([Rule(faults.status(500), calls={1})]) as gateway:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
        connection.connect()
        sock = connection.sock
        assert [post(connection, body) for body in (HELLO, HELLO, STREAM, HELLO)] == [200, 500, 200, 200]
        assert connection.sock is sock
        connection.close()


def test_many_at_once() -> None:
    with Gateway(models=[Model("gpt-4.1", first_token=0.2)]) as gateway:
        began = time.monotonic()
        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(lambda _: ask(gateway).status, range(50)))
        assert time.monotonic() - began < 50 * 0.2 / 4
    assert answers == [200] * 50
    assert sorted(call.number for call in gateway.calls) == list(range(50))


def test_a_plain_answer_takes_as_long_as_its_stream() -> None:
    model = Model("gpt-4.1", Decimal(1), Decimal(1), first_token=0.03, per_chunk=0.01, chunks=4)
    with Gateway(models=[model]) as gateway:
        for body in (HELLO, STREAM):
            began = time.monotonic()
            answer = ask(gateway, body)
            assert answer.complete
            assert time.monotonic() - began >= 0.07
            assert body is STREAM or float(answer.headers["x-litellm-response-duration-ms"]) >= 70


def test_capacity_queues() -> None:
    with Gateway([Rule(faults.hang(), calls={0})], capacity=1) as gateway, connect(gateway) as first:
        first.sendall(request(HELLO))
        assert gateway.wait_for(lambda: gateway.in_flight == 1)
        with connect(gateway) as second, connect(gateway) as third:
            second.sendall(request(HELLO, Connection="close"))
            third.sendall(request(HELLO))
            assert gateway.wait_for(lambda: gateway.in_flight == 3)
            third.close()  # gives up its turn
            assert gateway.wait_for(lambda: gateway.in_flight == 2)
            first.close()  # makes room
            assert read(second).status == 200
        assert gateway.wait_for(lambda: gateway.in_flight == 0)
        assert ask(gateway).status == 200


def test_in_flight_and_disconnect() -> None:
    with Gateway([Rule(faults.hang())]) as gateway:
        with connect(gateway) as sock:
            sock.sendall(request(HELLO))
            assert gateway.wait_for(lambda: gateway.in_flight == 1)
            assert not gateway.wait_for(lambda: gateway.in_flight == 0, timeout=0.01)
        assert gateway.wait_for(lambda: gateway.in_flight == 0)
        assert gateway.calls[0].disconnected


def test_stop_ends_hanging_calls_at_once() -> None:
    rules = [Rule(faults.hang(), calls={0}), Rule(faults.stall(after=1), calls={1}), Rule(faults.half_close(after=1))]
    gateway = Gateway(rules)
    with gateway, connect(gateway) as silent, connect(gateway) as stalled, connect(gateway) as half:
        for number, sock in enumerate((silent, stalled, half), start=1):
            sock.sendall(request(STREAM))
            assert gateway.wait_for(lambda number=number: gateway.in_flight == number)  # type: ignore[misc]
        began = time.monotonic()
        gateway.stop()
        assert time.monotonic() - began < 1
        assert not gateway.running
        assert all(read(sock).ending in {"fin", "reset"} for sock in (silent, stalled, half))
        with pytest.raises(ConnectionRefusedError):
            connect(gateway)
        gateway.stop()
    assert gateway.in_flight == 0
    assert not any(call.finished or call.disconnected for call in gateway.calls)


def test_stop_before_start_and_second_start() -> None:
    gateway = Gateway()
    gateway.stop()
    with gateway, pytest.raises(RuntimeError, match="once"):
        gateway.start()


def test_it_stops_by_itself() -> None:
    gateway = Gateway(max_seconds=0.05).start()
    threads = [thread for thread in threading.enumerate() if thread.name == "huddle-otel-gateway"]
    assert all(thread.daemon for thread in threads)
    for thread in threads:
        thread.join(5)
    assert not gateway.running
    with pytest.raises(RuntimeError, match="not running"):
        gateway.pause()
    gateway.stop()


def test_pause_and_resume() -> None:
    with Gateway([Rule(faults.slow_headers(0.05), calls={1})]) as gateway:
        idle = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
        assert post(idle) == 200
        assert gateway.wait_for(lambda: gateway.in_flight == 0)
        with connect(gateway) as busy:
            busy.sendall(request(HELLO))
            assert gateway.wait_for(lambda: gateway.in_flight == 1)
            gateway.pause()
            with pytest.raises(ConnectionRefusedError):
                connect(gateway)
            answer = read(busy)
            assert (answer.status, answer.ending) == (200, "fin")
        assert idle.sock.recv(1) == b""
        idle.close()
        port = gateway.port
        gateway.resume()
        gateway.resume()
        assert gateway.port == port
        assert ask(gateway).status == 200


def test_pause_can_drop_calls() -> None:
    with Gateway([Rule(faults.hang())]) as gateway, connect(gateway) as sock:
        sock.sendall(request(HELLO))
        assert gateway.wait_for(lambda: gateway.in_flight == 1)
        gateway.pause(drop=True)
        assert read(sock).ending == "reset"
        assert gateway.wait_for(lambda: gateway.in_flight == 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])  # noqa: S104 -- refused
def test_only_loopback(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Gateway(host=host)


@pytest.mark.parametrize(("host", "url"), [("localhost", "http://127.0.0.1:0/v1"), ("::1", "http://[::1]:0/v1")])
def test_loopback_names(host: str, url: str) -> None:
    assert Gateway(host=host).url == url


@pytest.mark.parametrize(
    ("field", "value"),
    [("capacity", 0), ("remember", 0), ("max_seconds", 0), ("persona", "nobody"), ("models", [Model("a"), Model("a")])],
)
def test_arguments_are_checked(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        Gateway(**{field: value})


def test_a_taken_port_is_said_at_once() -> None:
    with Gateway() as gateway, pytest.raises(OSError, match="in use"):
        Gateway(port=gateway.port).start()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET /v1/models HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1), 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", 413),
        (b"GET / HTTP/1.1\r\nx: " + b"x" * 70_000 + b"\r\n\r\n", 431),
    ],
)
def test_unreadable_requests(raw: bytes, code: int) -> None:
    with Gateway() as gateway, connect(gateway) as sock:
        sock.sendall(raw)
        answer = read(sock)
        assert answer.raw.startswith(b"HTTP/1.1 %d " % code)
        assert gateway.calls == []


def test_chunked_request_with_expectation() -> None:
    with Gateway() as gateway, connect(gateway) as sock:
        data = json.dumps(HELLO).encode()
        sock.sendall(
            f"POST {CHAT} HTTP/1.1\r\nAuthorization: Bearer {KEY}\r\nTransfer-Encoding: chunked\r\n"
            "Expect: 100-continue\r\nConnection: close\r\n\r\n".encode()
        )
        assert sock.recv(1024).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"5\r\n%b\r\n%x;note=1\r\n%b\r\n0\r\ntrailer: 1\r\n\r\n" % (data[:5], len(data) - 5, data[5:]))
        assert read(sock).status == 200
        assert gateway.calls[0].body == HELLO


def test_a_query_is_no_part_of_the_path() -> None:
    with Gateway() as gateway:
        assert ask(gateway, HELLO, f"{CHAT}?api-version=1").status == 200
        assert gateway.calls[0].path == CHAT
