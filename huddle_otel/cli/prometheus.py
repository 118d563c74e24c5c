"""The few questions that commands put to Prometheus' HTTP API, or to what speaks it.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPException
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import unquote_to_bytes, urlencode, urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, UnknownHandler

from huddle_otel.cli.commands.shape import PROMETHEUS_TOKEN

T = TypeVar("T")
Labels: TypeAlias = Mapping[str, str]
"""What tells a series from the others."""

_PATIENCE: Final = 30
"""Seconds to connect, for each silence while reading, and for Prometheus to work out a query."""
_MOST: Final = 64 * 2**20
"""Bytes of an answer."""
_SHOWN: Final = 500
"""Characters of what a server says that are shown."""
_UNAUTHORISED: Final = (401, 403)
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_HANDLERS: Final = (ProxyHandler, UnknownHandler, HTTPHandler, HTTPSHandler)
"""What `urllib` does for us. Any status is an answer, and no redirect is followed: a token is for its host alone."""


class PrometheusError(Exception):
    """Prometheus cannot be asked. The message says why, and never holds a token or password."""


class QueryError(PrometheusError):
    """Prometheus refuses a query; the message is what it says."""


class Prometheus:
    """One server. What it is asked with is in no error and no repr."""

    __slots__ = ("_headers", "_opener", "url")

    def __init__(self, url: str, *, token: str = "") -> None:
        """Take where it is.

        Args:
            url: The server's, such as `http://127.0.0.1:9090`, with `user:password@` if need be; a path in front of
                `/api/v1` belongs to it.
            token: Bearer token, which is sent instead of user and password; empty for none.

        Raises:
            PrometheusError: One of them cannot be used.
        """
        if token and not _VISIBLE.fullmatch(token):
            raise PrometheusError(f"{PROMETHEUS_TOKEN} must be ASCII text without spaces")
        self.url, pair = _apart(url)
        """Without user and password."""
        self._headers: dict[str, str] = {}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        elif pair:
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._opener = OpenerDirector()
        for handler in _HANDLERS:
            self._opener.add_handler(handler())

    def instant(self, query: str, *, time: float) -> list[tuple[Labels, float]]:
        """Return the series that a query has at a moment, or the one number it is, without labels.

        Args:
            query: PromQL.
            time: Unix time, s.

        Raises:
            QueryError: The query is refused.
            PrometheusError: No answer, or none that can be used.
        """
        return self._query("query", _values, query=query, time=_number(time))

    def range(self, query: str, *, start: float, end: float, step: float) -> list[Labels]:
        """Return the labels of the series that a query has over a time.

        Args:
            query: PromQL.
            start: Unix time, s.
            end: Unix time, s.
            step: Between two points, s.

        Raises:
            QueryError: The query is refused.
            PrometheusError: No answer, or none that can be used.
        """
        times = {"start": _number(start), "end": _number(end), "step": _number(step)}
        return self._query("query_range", _labels, query=query, **times)

    def existing(self, names: Iterable[str], *, start: float, end: float) -> set[str]:
        """Return those of some metrics of which there is any series between two Unix times, s.

        Raises:
            QueryError: The server does not tell.
            PrometheusError: No answer, or none that can be used.
        """
        wanted = set(names)
        matches = f'{{__name__=~"{"|".join(sorted(wanted))}"}}'
        arguments = urlencode({"start": _number(start), "end": _number(end), "match[]": matches})
        # by GET: Prometheus takes no other here
        return self._ask(f"label/__name__/values?{arguments}", None, wanted.intersection)

    def _query(self, path: str, take: Callable[[Any], T], **arguments: str) -> T:
        """Ask by POST: a query may be longer than a URL can be."""
        return self._ask(path, urlencode({**arguments, "timeout": f"{_PATIENCE}s"}).encode(), take)

    def _ask(self, path: str, form: bytes | None, take: Callable[[Any], T]) -> T:
        """Return what `take` makes of the data of an answer."""
        status, text = self._fetch(Request(f"{self.url}/api/v1/{path}", form, self._headers))  # noqa: S310 - see _apart
        if status in _UNAUTHORISED:
            raise PrometheusError(
                f"{self.url} answers {status}: set {PROMETHEUS_TOKEN} to a bearer token that it takes"
            )
        try:
            body = json.loads(text)
            if body["status"] == "success":
                return take(body["data"])
            said = str(body["error"])
        except (ValueError, LookupError, TypeError, RecursionError):
            raise PrometheusError(f"{self.url} answers {status}, and not as Prometheus' API does") from None
        raise QueryError(_shown(said))

    def _fetch(self, request: Request) -> tuple[int, bytes]:
        """Return status and body."""
        try:
            with self._opener.open(request, timeout=_PATIENCE) as answer:
                status, body = int(answer.status), bytes(answer.read(_MOST + 1))
        except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise PrometheusError(f"no answer from {self.url}: {_shown(str(reason))}") from None
        if len(body) > _MOST:
            raise PrometheusError(f"{self.url} answers with more than {_MOST // 2**20} MiB: ask for less")
        return status, body


def _apart(url: str) -> tuple[str, bytes]:
    """Return a URL without user and password, and these as `user:password`, empty if there are none."""
    wrong = PrometheusError(
        "the address must be an http or https URL, such as https://user:password@host:9090/path, with what is special "
        "in a password percent-encoded"
    )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise wrong from None  # without its text, which may hold the password
    if parts.scheme not in {"http", "https"} or not host or not _VISIBLE.fullmatch(url):
        raise wrong
    if "@" in parts.path or parts.query or parts.fragment:  # the rest of a password with a / or ? in it, maybe
        raise wrong
    where = f"[{host}]" if ":" in host else host
    netloc = where if port is None else f"{where}:{port}"
    user, password = parts.username, parts.password or ""
    pair = b"" if user is None else unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
    return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}", pair


def _number(value: float) -> str:
    return f"{value:.3f}"


def _shown(said: str) -> str:
    """Return what somebody else said, fit for a terminal."""
    return "".join(each if each.isprintable() else " " for each in said[:_SHOWN])


def _values(data: Any) -> list[tuple[Labels, float]]:
    if data["resultType"] == "scalar":
        return [({}, float(data["result"][1]))]
    return [(dict(series["metric"]), float(series["value"][1])) for series in data["result"]]


def _labels(data: Any) -> list[Labels]:
    return [dict(series["metric"]) for series in data["result"]]
