"""The few questions that are put to Prometheus' HTTP API.

https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, Self

import httpx

from huddle_otel_dashboards.substitution import Window

_PATIENCE: Final = 30.0
"""Seconds for one answer."""
_UNAUTHORISED: Final = (401, 403)


class PrometheusError(Exception):
    """Prometheus cannot be asked at all. The message says why, and never holds the token."""


class QueryError(Exception):
    """Prometheus refuses a query; the message is what it says."""


class Prometheus:
    """A client of one server; a context manager."""

    def __init__(self, url: str, *, token: str = "") -> None:
        """Take where it is.

        Args:
            url: The server's, such as `http://127.0.0.1:9090`; a path in front of `/api/v1` belongs to it.
            token: Bearer token; empty for none.

        Raises:
            PrometheusError: That is not an HTTP URL.
        """
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            base = httpx.URL(url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise PrometheusError(f"{url!r} is not a URL: {error}") from None
        if base.scheme not in {"http", "https"} or not base.host:
            raise PrometheusError(f"{url!r} is not an http or https URL")
        self._base = base
        self._client = httpx.Client(headers=headers, timeout=_PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

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
        url = f"{self._base}/api/v1/{path}"
        try:
            answer = self._client.get(url, params=arguments)
        except httpx.HTTPError as error:
            raise PrometheusError(f"no answer from {self._shown()}: {str(error) or type(error).__name__}") from None
        if answer.status_code in _UNAUTHORISED:
            raise PrometheusError(
                f"{self._shown()} answers {answer.status_code}: "
                "set HUDDLE_OTEL_PROMETHEUS_TOKEN to a bearer token that it takes"
            )
        try:
            body = answer.json()
            succeeded = body["status"] == "success"
            said = body["data"] if succeeded else str(body["error"])
        except (ValueError, KeyError, TypeError):
            raise PrometheusError(
                f"{self._shown()} answers {answer.status_code}, and not as Prometheus' API does"
            ) from None
        if not succeeded:
            raise QueryError(said)
        return said

    def _shown(self) -> str:
        """Return the URL without what may be a password."""
        return str(self._base.copy_with(username=None, password=None))


def _series(data: Any) -> list[Any]:
    result = data["result"]
    return [result] if data["resultType"] == "scalar" else list(result)
