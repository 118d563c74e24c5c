"""Asking a Prometheus server, or what speaks its API, and saying clearly why there is no answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import IO, Any, Final, NoReturn, TypeAlias, cast
from urllib.error import HTTPError
from urllib.parse import urlencode, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from huddle_otel.cli.report.figures import ReportError

TOKEN: Final = "HUDDLE_OTEL_PROMETHEUS_TOKEN"  # noqa: S105 - the variable's name
"""Environment variable of the bearer token: arguments are seen by everyone on a machine."""
Row: TypeAlias = tuple[Mapping[str, str], float]
"""Labels and value of a series."""
_PATIENCE: Final = 30.0
"""Seconds for one question."""
_MOST: Final = 64 * 2**20
"""Bytes of an answer."""
_UNAUTHORISED: Final = (401, 403)
_EXPLAINED: Final = (400, 422, 503)
"""Statuses with which Prometheus answers in JSON what is wrong: https://prometheus.io/docs/prometheus/latest/querying/api/"""


_HANDLERS: Final = (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, HTTPErrorProcessor)
"""What `urllib` does for us: all but following redirects, for the token must not go to another host."""


class Server:
    """A server. Its token is in no error and no repr."""

    __slots__ = ("_opener", "_token", "url")

    def __init__(self, url: str, token: str | None) -> None:
        """Take a URL, http or https, and a bearer token.

        Raises:
            ReportError: One of them cannot be used.
        """
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - raises when it is no number
        except ValueError:
            raise ReportError("--prometheus: not a URL") from None
        if parts.username is not None or parts.password is not None:
            raise ReportError(f"--prometheus: credentials do not belong into a URL; put a token into {TOKEN}")
        if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or not url.isprintable():
            raise ReportError(f"--prometheus must be the http or https URL of a server, not {url!r}")
        if token and not (token.isascii() and token.isprintable() and " " not in token):
            raise ReportError(f"{TOKEN} must be ASCII text without spaces")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._token = token
        self._opener = OpenerDirector()
        for handler in _HANDLERS:
            self._opener.add_handler(handler())

    def query(self, expression: str, at: float) -> list[Row]:
        """Return the value of every series an expression has at a moment, Unix time, s.

        Raises:
            ReportError: There is no answer, or none that can be used.
        """
        given = urlencode({"query": expression, "time": f"{at:.3f}", "timeout": f"{_PATIENCE:.0f}s"})
        request = Request(f"{self.url}/api/v1/query", data=given.encode(), method="POST")  # noqa: S310 - http or https
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with self._opener.open(request, timeout=_PATIENCE) as answer:
                said = self._read(answer)
        except HTTPError as error:
            with error:
                self._refused(error)
        except (OSError, HTTPException) as error:
            why = getattr(error, "reason", None) or error
            raise ReportError(f"{self.url}: cannot be reached ({why or type(error).__name__})") from None
        try:
            return [(series["metric"], float(series["value"][1])) for series in said["data"]["result"]]
        except (KeyError, IndexError, TypeError, ValueError):
            raise self._foreign() from None

    def _read(self, answer: IO[bytes]) -> Any:
        body = answer.read(_MOST + 1)
        if len(body) > _MOST:
            raise ReportError(f"{self.url}: an answer is larger than {_MOST // 2**20} MiB; name coarser groups")
        try:
            return json.loads(body)
        except ValueError:
            raise self._foreign() from None

    def _refused(self, error: HTTPError) -> NoReturn:
        if error.code in _UNAUTHORISED:
            raise ReportError(
                f"{self.url}: refused with status {error.code}; the bearer token comes from {TOKEN}"
            ) from None
        if error.code in _EXPLAINED:
            said: Any = self._read(error)
            told = cast("dict[str, object]", said).get("error") if isinstance(said, dict) else None
            if told:
                text = "".join(each if each.isprintable() else " " for each in str(told)[:200])
                raise ReportError(f"{self.url}: {text}") from None
        raise self._foreign(f"; status {error.code}") from None

    def _foreign(self, detail: str = "") -> ReportError:
        return ReportError(f"{self.url}: does not answer as Prometheus does at /api/v1/query{detail}")
