"""`huddle-otel serve` keeps strangers out: other names, other methods, no token, and clients without end."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel.cli.serve import server as sockets
from huddle_otel.cli.serve.access import VARIABLE, Access, decide, is_loopback
from huddle_otel.errors import ConfigurationError
from tests.cli.serving import Served, put, serving
from tests.exporters.test_ledger import RECORD

TOKEN: Final = "correct-horse-battery"
STRICT: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ledger = tmp_path / "ledger.db"
    put(ledger, replace(RECORD, started=time.time()))
    return ledger


@pytest.fixture
def served(path: Path) -> Iterator[Served]:
    with serving(path) as running:
        yield running


@pytest.fixture
def guarded(path: Path) -> Iterator[Served]:
    with serving(path, Access(remote=True, token=TOKEN)) as running:
        yield running


# --- headers and methods ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/live.js", 200),
        ("GET", "/api/now", 200),
        ("GET", "/metrics", 200),
        ("GET", "/api/window?window=soon", 400),
        ("GET", "/../../etc/passwd", 404),
        ("GET", "//[", 404),
        ("HEAD", "/", 200),
        ("POST", "/api/now", 405),
        ("BREW", "/", 405),
    ],
)
def test_every_answer_is_strict(served: Served, method: str, target: str, status: int) -> None:
    told = served.ask(target, method)
    assert told.status == status
    assert {name: told.headers[name] for name in STRICT} == STRICT
    assert int(told.headers["Content-Length"]) == len(told.body) or method == "HEAD"
    assert "Python" not in told.headers["Server"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_nothing_can_be_written(served: Served, method: str) -> None:
    told = served.ask("/", method)
    assert (told.status, told.headers["Allow"]) == (405, "GET, HEAD")


def test_head_is_get_without_the_body(served: Served) -> None:
    got, headed = served.ask("/page.css"), served.ask("/page.css", "HEAD")
    assert headed.body == b""
    assert headed.headers["Content-Length"] == got.headers["Content-Length"] == str(len(got.body))


def test_a_request_that_is_none_gets_a_strict_answer_without_an_echo(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(b"<script>alert(1)</script> / HTTP/9.9\r\n\r\n")
        told = b"".join(iter(lambda: connection.recv(4096), b""))
    assert told.startswith(b"HTTP/1.0 505 ")
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in told
    assert b"<script>" not in told


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9463", "127.0.0.1:1", "127.1.2.3", "[::1]", "[::1]:9463"])
def test_names_of_this_machine_are_answered(served: Served, host: str) -> None:
    assert served.ask("/api/now", Host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example", "10.0.0.1", "0.0.0.0", "", "::2", "a:b:c"],  # noqa: S104
)
def test_a_name_that_points_here_is_refused(served: Served, host: str) -> None:
    told = served.ask("/api/now", Host=host)
    assert told.status == 421
    assert b"tiles" not in told.body


def test_a_request_without_a_name_is_refused(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(b"GET /api/now HTTP/1.0\r\n\r\n")
        assert b" 421 " in connection.recv(4096)


@given(st.text(max_size=40) | st.from_regex(r"(localhost|127\.0\.0\.1)[a-z.:@/]{1,9}", fullmatch=True))
def test_only_loopback_names_pass(host: str) -> None:
    named = Access(remote=False).named(host)
    bare = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    assert not named or is_loopback(bare.strip("[]").rstrip(":")) or is_loopback(host.strip("[]"))


# --- token ------------------------------------------------------------------------------------------------------------


def test_without_the_token_there_is_nothing_to_see(guarded: Served) -> None:
    for target in ("/api/now", "/metrics", "/live.js", "/api/calls"):
        told = guarded.ask(target)
        assert (told.status, told.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert told.text == "401 Unauthorized\n"
    told = guarded.ask("/")
    assert told.status == 401
    assert 'name="token" type="password"' in told.text
    assert guarded.ask("/page.css").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer \xe9"},
        {"Cookie": f"huddle_otel_session={TOKEN}"},
        {"Cookie": "huddle_otel_session="},
        {"Cookie": "=;;huddle"},
    ],
)
def test_what_is_not_the_token_opens_nothing(guarded: Served, headers: dict[str, str]) -> None:
    assert guarded.ask("/api/now", **headers).status == 401


def test_a_scraper_shows_the_token_in_a_header(guarded: Served) -> None:
    assert guarded.ask("/metrics", Authorization=f"Bearer {TOKEN}", Host="any.example").status == 200
    assert guarded.ask("/metrics", Authorization=f"bearer  {TOKEN}").status == 200


def test_a_browser_changes_the_token_for_a_cookie_that_does_not_hold_it(guarded: Served) -> None:
    told = guarded.ask(f"/?token={TOKEN}")
    assert (told.status, told.headers["Location"]) == (303, "/")
    cookie, *flags = told.headers["Set-Cookie"].split("; ")
    assert set(flags) == {"Path=/", "HttpOnly", "SameSite=Strict"}
    assert TOKEN not in str(told)
    assert guarded.ask("/api/now", Cookie=f"theme=dark; {cookie}").status == 200
    assert guarded.ask(f"/api/now?token={TOKEN}").status == 401
    assert guarded.ask("/?token=wrong-wrong-wrong").status == 401


def test_a_cookie_of_another_process_opens_nothing(path: Path) -> None:
    with (
        serving(path, Access(remote=False, token=TOKEN)) as one,
        serving(path, Access(remote=False, token=TOKEN)) as two,
    ):
        cookie = one.ask(f"/?token={TOKEN}").headers["Set-Cookie"].partition(";")[0]
        assert one.ask("/api/now", Cookie=cookie).status == 200
        assert two.ask("/api/now", Cookie=cookie).status == 401


def test_no_repr_holds_the_token_or_the_session() -> None:
    access = Access(remote=True, token=TOKEN)
    assert TOKEN not in repr(access)
    assert access.session not in repr(access)


# --- where it listens -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_this_machine_needs_no_token(host: str) -> None:
    access = decide(host=host, allow_remote=False, token_file=None)
    assert (access.remote, access.token) == (False, None)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", ""])  # noqa: S104 - to be refused
def test_an_address_others_reach_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError, match="--allow-remote"):
        decide(host=host, allow_remote=False, token_file=None)
    with pytest.raises(ConfigurationError, match=f"--token-file or {VARIABLE}"):
        decide(host=host, allow_remote=True, token_file=None)


def test_remote_use_always_needs_a_token() -> None:
    with pytest.raises(ConfigurationError, match="--allow-remote"):
        decide(host="127.0.0.1", allow_remote=True, token_file=None)


def test_an_address_others_reach_is_served_with_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, f" {TOKEN} ")
    assert decide(host="0.0.0.0", allow_remote=True, token_file=None).token == TOKEN  # noqa: S104 - with a token
    assert decide(host="127.0.0.1", allow_remote=True, token_file=None).named("any.example")  # behind a proxy
    file = tmp_path / "token"
    file.write_text("another-token-of-ours\n")
    assert decide(host="127.0.0.1", allow_remote=False, token_file=file).token == "another-token-of-ours"


@pytest.mark.parametrize(
    "content", [b"", b"short", b"with a space inside it", "umlaut-tökens-are-odd".encode(), b"\xff" * 20]
)
def test_a_poor_token_is_refused_and_not_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        decide(host="127.0.0.1", allow_remote=False, token_file=file)
    assert "--token-file" in str(refused.value)
    assert not content or content.decode("utf-8", "replace") not in str(refused.value)
    with pytest.raises(ConfigurationError, match="can be read"):
        decide(host="127.0.0.1", allow_remote=False, token_file=tmp_path / "none")


# --- patience ---------------------------------------------------------------------------------------------------------


def test_a_silent_client_is_cut(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets._Handler, "timeout", 0.1)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
        connection.sendall(b"GET / HTT")
        assert connection.recv(4096) == b""


def test_a_client_that_drips_is_cut_after_half_a_minute(path: Path) -> None:
    times = [0.0]
    with serving(path, clock=lambda: times[0]) as served:
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nX-Drip: ")
            _until(lambda: len(served.server._open) == 1)
            times[0] = 29.9
            connection.sendall(b"a")
            assert served.ask("/page.css").status == 200
            times[0] = 30.1
            assert connection.recv(4096) == b""
        _until(lambda: not served.server._open)


def test_connections_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "CONNECTIONS", 3)
    held = [socket.create_connection(("127.0.0.1", served.port), timeout=10) for _ in range(3)]
    _until(lambda: len(served.server._open) == 3)
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as one_more:
        assert one_more.recv(4096) == b""
    for connection in held:
        connection.close()
    _until(lambda: not served.server._open)
    assert served.ask("/page.css").status == 200


def _until(done: Callable[[], bool]) -> None:
    """Wait for another thread's doing."""
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.005)
