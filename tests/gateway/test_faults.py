from __future__ import annotations

import time
from typing import Any, get_args

import pytest

from huddle_otel.gateway import Gateway, Rule, faults, kinds, streams
from tests.gateway.wiring import CHAT, HELLO, STREAM, USAGE, Answer, ask, connect, play, read, request

NONE_IN_TIME = 0.15
"""Seconds of silence that stand for forever."""


def test_hang(gateway: Gateway) -> None:
    assert play(gateway, faults.hang(), timeout=NONE_IN_TIME) == Answer(b"", "silence")
    assert gateway.wait_for(lambda: gateway.calls[0].disconnected)
    assert not gateway.calls[0].finished
    assert gateway.calls[0].status is None


def test_reset_before_first_byte(gateway: Gateway) -> None:
    assert play(gateway, faults.reset_before_first_byte()) == Answer(b"", "reset")
    assert gateway.wait_for(lambda: gateway.calls[0].finished)


@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_reset_after_headers(gateway: Gateway, body: Any) -> None:
    answer = play(gateway, faults.reset_after_headers(), body)
    assert (answer.status, answer.body, answer.ending) == (200, b"", "reset")


def test_reset_after_chunks(gateway: Gateway) -> None:
    answer = play(gateway, faults.reset(after=3))
    assert (len(answer.texts), answer.finish, answer.complete, answer.ending) == (3, None, False, "reset")


@pytest.mark.parametrize("tidy", [True, False])
def test_cut(gateway: Gateway, tidy: bool) -> None:
    answer = play(gateway, faults.cut(after=2, tidy=tidy))
    assert (len(answer.texts), answer.finish, answer.done) == (2, None, False)
    assert (answer.complete, answer.ending) == (tidy, "fin")


def test_cut_inside_a_chunk(gateway: Gateway) -> None:
    answer = play(gateway, faults.cut_in_chunk(after=2))
    assert (answer.complete, answer.ending) == (True, "fin")
    assert len(answer.events) == 4
    assert answer.events[-1].startswith('{"id"')
    with pytest.raises(ValueError, match="line 1"):
        _ = answer.chunks


def test_half_close(gateway: Gateway) -> None:
    gateway.script([Rule(faults.half_close(after=1))])
    with connect(gateway) as sock:
        sock.sendall(request(STREAM))
        answer = read(sock)
        assert (len(answer.texts), answer.complete, answer.ending) == (1, False, "fin")
        sock.sendall(b"still read")  # a closed socket would answer with a reset
        assert read(sock).ending == "fin"
        assert gateway.in_flight == 1
    assert gateway.wait_for(lambda: gateway.in_flight == 0)


@pytest.mark.parametrize("fault", [faults.truncated_body(), faults.cut(after=0), faults.half_close(after=0)])
def test_half_of_a_plain_body(gateway: Gateway, fault: faults.Fault) -> None:
    gateway.script([Rule(fault)])
    with connect(gateway) as sock:
        sock.sendall(request(HELLO))
        answer = read(sock)
    assert answer.ending == "fin"
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


def test_reset_in_a_plain_body(gateway: Gateway) -> None:
    answer = play(gateway, faults.reset(after=1), HELLO)
    assert answer.ending == "reset"
    assert 0 < len(answer.body) < int(answer.headers["content-length"])


def test_malformed_chunk(gateway: Gateway) -> None:
    answer = play(gateway, faults.malformed_chunk(after=1))
    assert answer.events[2] == "{not json"
    assert answer.done


@pytest.mark.parametrize("after", [0, 2])
def test_error_frame(gateway: Gateway, after: int) -> None:
    answer = play(gateway, faults.error_frame(after=after, message="gone"))
    assert (answer.status, answer.complete, answer.done, len(answer.texts)) == (200, True, False, after)
    assert "gone" in answer.chunks[-1]["error"]["message"]


def test_error_frame_alone(gateway: Gateway) -> None:
    assert len(play(gateway, faults.error_frame(role=False)).events) == 1


def test_fake_finish(gateway: Gateway) -> None:
    answer = play(gateway, faults.fake_finish(after=2), USAGE)
    assert (len(answer.texts), answer.finish, answer.done, answer.complete) == (2, "stop", True, True)
    assert answer.chunks[-1]["usage"]["cost"] > 0


@pytest.mark.parametrize(("fault", "texts"), [(faults.stall(after=2), 2), (faults.role_only(), 0)])
def test_stall(gateway: Gateway, fault: faults.Fault, texts: int) -> None:
    answer = play(gateway, fault, timeout=NONE_IN_TIME)
    assert (len(answer.texts), answer.ending) == (texts, "silence")
    assert answer.chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert gateway.wait_for(lambda: gateway.calls[0].disconnected)


@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_a_short_stall_ends_well(gateway: Gateway, body: Any) -> None:
    answer = play(gateway, faults.stall(after=2, seconds=0.02), body)
    assert answer.complete
    assert body is HELLO or answer.done


def test_pings_before_content(gateway: Gateway) -> None:
    answer = play(gateway, faults.pings(every=0.01, before=0.04))
    assert answer.body.startswith(b": ping\n\n" * 4 + b"data: ")
    assert answer.done
    assert not any("litellm" in name for name in answer.headers)


def read_until(gateway: Gateway, fault: faults.Fault, mark: bytes, times: int) -> bytes:
    """What an endless answer sends until `mark` came so often; then the client leaves."""
    gateway.script([Rule(fault)])
    with connect(gateway) as sock:
        sock.sendall(request(STREAM))
        raw = b""
        while raw.count(mark) < times:
            raw += sock.recv(65536)
    assert gateway.wait_for(lambda: gateway.calls[0].disconnected)
    return raw


def test_pings_for_ever(gateway: Gateway) -> None:
    assert b'"content":"A"' not in read_until(gateway, faults.pings(every=0.001), b": ping\n\n", 20)


def test_pings_for_ever_after_content(gateway: Gateway) -> None:
    raw = read_until(gateway, faults.ping_forever(every=0.001, after=1), b": ping\n\n", 20)
    assert raw.count(b'"content":') == 2  # the role chunk and one of content


@pytest.mark.parametrize("every", [0.0, 0.001])
def test_empty_deltas_for_ever(gateway: Gateway, every: float) -> None:
    raw = read_until(gateway, faults.empty_deltas(every), b'"delta":{}', 50)
    assert b'"content":"A"' not in raw


def test_no_done(gateway: Gateway) -> None:
    answer = play(gateway, faults.no_done(), USAGE)
    assert (answer.finish, answer.done, answer.complete, len(answer.texts)) == ("stop", False, True, 8)


def test_no_finish(gateway: Gateway) -> None:
    answer = play(gateway, faults.no_finish())
    assert (answer.finish, answer.done, answer.complete, len(answer.texts)) == (None, True, True, 8)


SLOW = 0.08


@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_slow_headers(gateway: Gateway, body: Any) -> None:
    began = time.monotonic()
    assert play(gateway, faults.slow_headers(SLOW), body).complete
    assert time.monotonic() - began >= SLOW


@pytest.mark.parametrize("body", [HELLO, STREAM])
def test_slow_success(gateway: Gateway, body: Any) -> None:
    gateway.script([Rule(faults.slow_success(SLOW))])
    with connect(gateway) as sock:
        began = time.monotonic()
        sock.sendall(request(body, Connection="close"))
        head = sock.recv(65536)
        assert head.endswith(b"\r\n\r\n")  # all headers, nothing of the body
        assert Answer(head + read(sock).raw, "fin").complete
        assert time.monotonic() - began >= SLOW


def test_slow_drip(gateway: Gateway) -> None:
    began = time.monotonic()
    assert play(gateway, faults.slow_drip(0.01)).done
    assert time.monotonic() - began >= 8 * 0.01


def test_good_with_headers(gateway: Gateway) -> None:
    answer = play(gateway, faults.good({"x-litellm-response-cost": "0.0"}))
    assert answer.done
    assert answer.headers["x-litellm-response-cost"] == "0.0"


@pytest.mark.parametrize(
    "fault", [faults.no_done(), faults.fake_finish(), faults.malformed_chunk(), faults.error_frame()]
)
def test_faults_of_streams_leave_plain_answers_good(gateway: Gateway, fault: faults.Fault) -> None:
    assert play(gateway, fault, HELLO).json["choices"]


def test_a_bent_answer_still_checks_the_request(gateway: Gateway) -> None:
    gateway.script([Rule(faults.cut(after=1))])
    assert ask(gateway, STREAM, CHAT, key="sk-wrong-key").status == 401


def test_every_ending_can_be_played() -> None:
    assert set(streams._ENDINGS) == set(get_args(kinds.Ending))


def test_the_tree_names_every_fault() -> None:
    tree = faults.__doc__ or ""
    assert [name for name in faults.__all__ if name.islower() and f"── {name}" not in tree] == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: faults.status(99),
        lambda: faults.slow_headers(-1),
        lambda: faults.slow_drip(float("nan")),
        lambda: faults.cut(-1),
        lambda: faults.pings(0),
        lambda: faults.reset_before_first_byte(-1),
    ],
)
def test_faults_are_checked(make: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()
