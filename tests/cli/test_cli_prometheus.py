"""The client of Prometheus' API: what it sends, what it makes of any answer, and what it never shows."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

import pytest

from huddle_otel.cli.commands.shape import PROMETHEUS_TOKEN
from huddle_otel.cli.prometheus import Prometheus, PrometheusError, QueryError
from tests.cli.odd_server import Asked, Odd

TOKEN = "prom-0123456789abcdef"
NOT_PROMETHEUS = "and not as Prometheus' API does"
Question = Callable[[Prometheus], object]
QUESTIONS = pytest.mark.parametrize(
    "ask",
    [
        lambda server: server.instant("up", time=60),
        lambda server: server.range("up", start=0, end=60, step=15),
        lambda server: server.existing({"up"}, start=0, end=60),
    ],
    ids=["instant", "range", "existing"],
)


def ask_once(url: str, token: str = "") -> list[object]:
    return list(Prometheus(url, token=token).instant("up", time=60))


# --- what is asked ----------------------------------------------------------------------------------------------------


def test_values_at_a_moment(odd: Odd) -> None:
    odd.find({"metric": {"job": "a"}, "value": [60, "1.5"]}, {"metric": {}, "value": [60, "+Inf"]})
    assert Prometheus(odd.url).instant("up", time=60) == [({"job": "a"}, 1.5), ({}, float("inf"))]
    assert odd.asked == [
        Asked("POST", "/api/v1/query", None, {"query": ["up"], "time": ["60.000"], "timeout": ["30s"]})
    ]


def test_a_number_is_a_value_without_labels(odd: Odd) -> None:
    odd.succeed({"resultType": "scalar", "result": [60, "0.5"]})
    assert Prometheus(odd.url).instant("scalar(up)", time=60) == [({}, 0.5)]


def test_series_over_a_time(odd: Odd) -> None:
    odd.find({"metric": {"job": "a"}, "values": [[0, "1"], [15, "1"]]}, kind="matrix")
    assert Prometheus(odd.url).range("up", start=0.25, end=60, step=15) == [{"job": "a"}]
    times = {"start": ["0.250"], "end": ["60.000"], "step": ["15.000"], "timeout": ["30s"]}
    assert odd.asked == [Asked("POST", "/api/v1/query_range", None, {"query": ["up"], **times})]


def test_metrics_that_exist(odd: Odd) -> None:
    odd.succeed(["up", "other"])
    assert Prometheus(f"{odd.url}/behind/").existing(["up", "down"], start=0, end=60) == {"up"}
    arguments = {"start": ["0.000"], "end": ["60.000"], "match[]": ['{__name__=~"down|up"}']}
    assert odd.asked == [Asked("GET", "/behind/api/v1/label/__name__/values", None, arguments)]


def test_a_query_longer_than_any_url(odd: Odd) -> None:
    odd.find()
    query = " or ".join(["up"] * 50_000)
    assert Prometheus(odd.url).instant(query, time=60) == []
    assert odd.asked[0].arguments["query"] == [query]


@pytest.mark.parametrize(
    ("user", "token", "sent"),
    [
        ("", "", None),
        ("", TOKEN, f"Bearer {TOKEN}"),
        ("ops:p%40ss@", "", "Basic b3BzOnBAc3M="),
        ("ops@", "", "Basic b3BzOg=="),
        ("ops:%C3%A4@", "", "Basic b3BzOsOk"),
        ("ops:p%40ss@", TOKEN, f"Bearer {TOKEN}"),
    ],
)
def test_who_asks(odd: Odd, user: str, token: str, sent: str | None) -> None:
    odd.find()
    server = Prometheus(odd.url.replace("//", f"//{user}"), token=token)
    assert server.instant("up", time=60) == []
    assert [each.authorization for each in odd.asked] == [sent]
    assert server.url == odd.url
    assert TOKEN not in repr(server)


# --- what is answered -------------------------------------------------------------------------------------------------


@QUESTIONS
@pytest.mark.parametrize(
    ("status", "text", "why"),
    [
        (401, "who are you?", f"401: set {PROMETHEUS_TOKEN} to a bearer token that it takes"),
        (403, '{"status": "success", "data": []}', f"403: set {PROMETHEUS_TOKEN} to a bearer token that it takes"),
        (404, "nothing here", f"404, {NOT_PROMETHEUS}"),
        (502, "bad gateway", f"502, {NOT_PROMETHEUS}"),
        (503, "<html>busy</html>", f"503, {NOT_PROMETHEUS}"),
        (200, "<html>a login page</html>", f"200, {NOT_PROMETHEUS}"),
        (200, "[]", f"200, {NOT_PROMETHEUS}"),
        (200, "[" * 200_000, f"200, {NOT_PROMETHEUS}"),
        (200, "\xff", f"200, {NOT_PROMETHEUS}"),
        (200, '{"status": "success"}', f"200, {NOT_PROMETHEUS}"),
        (200, '{"status": "success", "data": null}', f"200, {NOT_PROMETHEUS}"),
        (422, '{"status": "error"}', f"422, {NOT_PROMETHEUS}"),
    ],
)
def test_what_is_no_answer_is_told_apart(odd: Odd, ask: Question, status: int, text: str, why: str) -> None:
    odd.status, odd.text = status, text
    with pytest.raises(PrometheusError) as caught:
        ask(Prometheus(odd.url, token=TOKEN))
    assert str(caught.value) == f"{odd.url} answers {why}"
    assert not isinstance(caught.value, QueryError)


@pytest.mark.parametrize("series", [{"metric": {}}, {"metric": {}, "value": [1]}, {"metric": 1, "value": [1, "1"]}, 1])
def test_series_that_are_none(odd: Odd, series: object) -> None:
    odd.find(series)
    with pytest.raises(PrometheusError, match=NOT_PROMETHEUS):
        ask_once(odd.url)


@QUESTIONS
@pytest.mark.parametrize("status", [400, 422, 503])
def test_a_refusal_is_told_in_the_servers_words(odd: Odd, ask: Question, status: int) -> None:
    odd.status, odd.text = status, '{"status": "error", "errorType": "execution", "error": "too\\u001b[31m many"}'
    with pytest.raises(QueryError) as caught:
        ask(Prometheus(odd.url))
    assert str(caught.value) == "too [31m many"


def test_a_long_refusal_is_cut(odd: Odd) -> None:
    odd.status, odd.text = 400, '{"status": "error", "error": "%s"}' % ("no" * 1_000)
    with pytest.raises(QueryError) as caught:
        ask_once(odd.url)
    assert str(caught.value) == "no" * 250


def test_no_redirect_is_followed(odd: Odd) -> None:
    odd.status, odd.location = 302, f"{odd.url}/elsewhere"
    with pytest.raises(PrometheusError, match=f"answers 302, {NOT_PROMETHEUS}"):
        ask_once(odd.url, TOKEN)
    assert [each.path for each in odd.asked] == ["/api/v1/query"]


def test_an_answer_is_bounded(odd: Odd) -> None:
    odd.text = " " * (64 * 2**20 + 1)
    with pytest.raises(PrometheusError, match="answers with more than 64 MiB: ask for less"):
        ask_once(odd.url)


# --- nobody answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
        ("http://[::1]:9/prometheus/", "http://[::1]:9/prometheus"),
        ("http://user:secret-0123@127.0.0.1:9", "http://127.0.0.1:9"),
        (f"http://{'a' * 64}.example", f"http://{'a' * 64}.example"),
    ],
)
def test_nobody_is_there(address: str, shown: str) -> None:
    with pytest.raises(PrometheusError) as caught:
        ask_once(address, TOKEN)
    assert str(caught.value).startswith(f"no answer from {shown}: ")
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "said", [b"\x1b[31mhello\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{", b""], ids=repr
)
def test_something_else_is_there(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_say, args=(listener, said))
        thread.start()
        with pytest.raises(PrometheusError) as caught:
            ask_once(f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread.join()
    assert str(caught.value).startswith("no answer from http://127.0.0.1:")
    assert str(caught.value).isprintable()


def _say(listener: socket.socket, said: bytes) -> None:
    with listener.accept()[0] as connection:
        connection.recv(65_536)
        connection.sendall(said)


def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5h://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(PrometheusError) as caught:
        ask_once("http://prometheus.example")
    assert str(caught.value) == "no answer from http://prometheus.example: unknown url type: socks5h"


# --- what cannot be asked ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("", "localhost:9090", "prometheus:9090", "ftp://host", "file:///etc/hosts", "http://", "http://[::1"),
        *(
            "http://host:port",
            "http://127.0.0.1:99999",
            "http://host/\x1b[31m",
            "http://h\u00f6st",
            "http://host/?tenant=1",
        ),
        *(
            "http://u:hunter2/34@host",
            "http://u:12/hunter2@host",
            "http://u:12?hunter2@host",
            "http://u:12#hunter2@host",
        ),
        "http://u:hunter2@host\u2100",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(PrometheusError) as caught:
        Prometheus(address)
    assert str(caught.value) == (
        "the address must be an http or https URL, such as https://user:password@host:9090/path, with what is special "
        "in a password percent-encoded"
    )


@pytest.mark.parametrize("token", ["two words", "line\nX-Evil: 1", "gr\u00fcn", "\x7f"])
def test_a_token_that_is_none_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(PrometheusError) as caught:
        Prometheus("http://host", token=token)
    assert str(caught.value) == "HUDDLE_OTEL_PROMETHEUS_TOKEN must be ASCII text without spaces"
