"""The few questions that are put to Prometheus' HTTP API.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from http.client import HTTPException
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from huddle_otel_dashboards.substitution import Window

_PATIENCE: Final = 30.0
"""Seconds for one answer."""
_UNAUTHORISED: Final = (401, 403)


class PrometheusError(Exception):
    """Prometheus cannot be asked at all. The message says why, and never holds a token or password."""


class QueryError(Exception):
    """Prometheus refuses a query; the message is what it says."""


class _Stay(HTTPRedirectHandler):
    """Follows no redirect: the token is for the host it was given for."""

    def redirect_request(self, *_arguments: Any, **_named: Any) -> None:
        """Decline."""


class Prometheus:
    """One server."""

    def __init__(self, url: str, *, token: str = "") -> None:
        """Take where it is.

        Args:
            url: The server's, such as `http://127.0.0.1:9090`, with `user:password@` if need be; a path in front of
                `/api/v1` belongs to it.
            token: Bearer token; empty for none.

        Raises:
            PrometheusError: That is not an HTTP URL.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise PrometheusError(f"the address is not a URL: {error}") from None
        if parts.scheme not in {"http", "https"} or not host:
            raise PrometheusError("the address is not an http or https URL")
        where = f"[{host}]" if ":" in host else host
        netloc = where if port is None else f"{where}:{port}"
        self.url: Final = urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", ""))
        """Without user and password."""
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        if parts.username is not None and not token:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._open = build_opener(_Stay).open

    def instant(self, query: str, window: Window) -> list[Any]:
        """Return the series, or the one number, that a query has at the window's end.

        Raises:
            PrometheusError: No answer.
            QueryError: The query is refused.
        """
        return _series(self._ask("query", query=query, time=window.end))

    def range(self, query: str, window: Window) -> list[Any]:
        """Return the series that a query has over a window. Raises what `instant` does."""
        return _series(
            self._ask("query_range", query=query, start=window.start, end=window.end, step=f"{window.step}s")
        )

    def existing(self, names: Iterable[str], window: Window) -> set[str]:
        """Return those of some metrics of which there is any series in a window. Raises what `instant` does."""
        wanted = set(names)
        matches = [f'{{__name__=~"{"|".join(sorted(wanted))}"}}']
        answer = self._ask("label/__name__/values", start=window.start, end=window.end, **{"match[]": matches})
        return wanted.intersection(answer)

    def _ask(self, path: str, **arguments: Any) -> Any:
        status, text = self._get(f"{self.url}/api/v1/{path}?{urlencode(arguments, doseq=True)}")
        if status in _UNAUTHORISED:
            raise PrometheusError(
                f"{self.url} answers {status}: set HUDDLE_OTEL_PROMETHEUS_TOKEN to a bearer token that it takes"
            )
        try:
            body = json.loads(text)
            succeeded = body["status"] == "success"
            said = body["data"] if succeeded else str(body["error"])
        except (ValueError, KeyError, TypeError):
            raise PrometheusError(f"{self.url} answers {status}, and not as Prometheus' API does") from None
        if not succeeded:
            raise QueryError(said)
        return said

    def _get(self, url: str) -> tuple[int, bytes]:
        """Return status and body."""
        request = Request(url, headers=self._headers)  # noqa: S310 - http or https, see the constructor
        try:
            with self._open(request, timeout=_PATIENCE) as answer:
                return answer.status, answer.read()
        except HTTPError as answer:
            with answer:
                return answer.code, answer.read()
        except (OSError, HTTPException, UnicodeError) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise PrometheusError(f"no answer from {self.url}: {reason}") from None


def _series(data: Any) -> list[Any]:
    result = data["result"]
    return [result] if data["resultType"] == "scalar" else list(result)
