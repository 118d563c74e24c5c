"""From a path to an answer. It knows nothing of sockets; `server` knows nothing of what is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from huddle_otel.cli.page import Chart, library, static
from huddle_otel.cli.serve import calls, overview
from huddle_otel.cli.serve.cache import Cache
from huddle_otel.cli.serve.counters import Counters
from huddle_otel.cli.serve.days import Days
from huddle_otel.cli.serve.metrics import exposition
from huddle_otel_exporters.ledger import LedgerError

_HTML: Final = "text/html; charset=utf-8"
_CSS: Final = "text/css; charset=utf-8"
_JS: Final = "text/javascript; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"
_WORDS: Final = 200
"""Characters of a search, at most."""
_IDS: Final = 2**63
_NO_EXTRA: Final = "/metrics needs prometheus-client: pip install 'huddle-otel[prometheus]'\n"
Query = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent back."""

    body: bytes
    type: str = _TEXT
    status: HTTPStatus = HTTPStatus.OK
    headers: dict[str, str] = field(default_factory=dict[str, str])


class Site:
    """The pages of one ledger. Safe for threads."""

    def __init__(self, path: Path, *, tags: tuple[str, ...] = (), wall: Callable[[], float] = time.time) -> None:
        """Take the ledger, the tags that `/metrics` tells spend and tokens by, and the clock, Unix time, s."""
        self._path, self._wall = path, wall
        self._cache = Cache()
        self._days = Days(path)
        self._counters = Counters(path, tags=tags)
        self._files = {
            "/": (_HTML, _own("index.html")),
            "/live.js": (_JS, _own("live.js")),
            "/page.css": (_CSS, static("page.css") + _own("live.css")),
            "/charts.js": (_JS, static("charts.js")),
            "/chart.umd.min.js": (_JS, library()),
        }
        self._questions: dict[str, Callable[[Query], Any]] = {
            "/api/now": self._now,
            "/api/window": self._window,
            "/api/month": self._month,
            "/api/calls": self._calls,
            "/api/call": self._call,
        }

    def begin(self) -> None:
        """Note where the ledger ends, for the counters of `/metrics`; one that cannot be read yet is tried again."""
        try:
            self._counters.begin()
        except LedgerError:
            return

    def answer(self, target: str, *, accept: str) -> Answer:
        """Return the answer to a GET of a path with its query."""
        path, query = split(target)
        if path in self._files:
            kind, text = self._files[path]
            return Answer(body=text.encode(), type=kind)
        try:
            if path == "/metrics":
                return self._metrics(accept)
            if path in self._questions:
                return as_json(self._questions[path](query))
        except LedgerError as error:
            return as_json({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
        except _BadQueryError as error:
            return as_json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        return plain(HTTPStatus.NOT_FOUND)

    def _metrics(self, accept: str) -> Answer:
        try:
            body, kind = exposition(self._counters, accept)
        except ImportError:
            return Answer(body=_NO_EXTRA.encode(), status=HTTPStatus.NOT_IMPLEMENTED)
        return Answer(body=body, type=kind)

    def _now(self, _query: Query) -> Any:
        if not self._path.exists():
            return {"waiting": str(self._path)}

        def make() -> Any:
            now = self._wall()
            tiles, circuits = overview.now_tiles(self._path, now), overview.circuits(self._path, now)
            return {"tiles": list(map(asdict, tiles)), "circuits": asdict(circuits)}

        return self._cache.get("now", make)

    def _window(self, query: Query) -> Any:
        window = query.get("window", "1h")
        if window not in overview.WINDOWS:
            raise _BadQueryError(f"window must be one of {', '.join(overview.WINDOWS)}")

        def make() -> Any:
            now = self._wall()
            charts, models = overview.over_time(self._path, window, now)
            return {"charts": list(map(_chart, charts)), "models": asdict(models)}

        return self._cache.get(("window", window), make)

    def _month(self, _query: Query) -> Any:
        def make() -> Any:
            now = self._wall()
            tiles, charts = overview.month(self._days.read(now), now)
            return {"tiles": list(map(asdict, tiles)), "charts": list(map(_chart, charts))}

        return self._cache.get("month", make)

    def _calls(self, query: Query) -> Any:
        words, outcome = query.get("q", "")[:_WORDS], query.get("outcome", "")[:_WORDS]
        below = _number(query["below"]) if "below" in query else None

        def make() -> Any:
            found = calls.search(self._path, words=words, outcome=outcome, below=below)
            return {"headings": calls.HEADINGS, "left": calls.LEFT, **asdict(found)}

        return self._cache.get(("calls", words, outcome, below), make)

    def _call(self, query: Query) -> Any:
        columns = calls.detail(self._path, _number(query.get("id", "")))
        if columns is None:
            raise _BadQueryError("there is no such call; it may have been trimmed")
        return {"columns": columns}


class _BadQueryError(ValueError):
    """What is asked for makes no sense; the message can be shown."""


def split(target: str) -> tuple[str, Query]:
    """Return a request's path, and its query with the last value of each name."""
    try:
        parts = urlsplit(target)
        return parts.path, {name: found[-1] for name, found in parse_qs(parts.query, max_num_fields=10).items()}
    except ValueError:  # no URL at all, or too many fields
        return "", {}


def as_json(value: Any, status: HTTPStatus = HTTPStatus.OK) -> Answer:
    """Return an answer in JSON."""
    return Answer(body=json.dumps(value).encode(), type="application/json", status=status)


def plain(status: HTTPStatus, **headers: str) -> Answer:
    """Return an answer that only says what its status means."""
    return Answer(body=f"{status.value} {status.phrase}\n".encode(), status=status, headers=headers)


def login() -> Answer:
    """Return the page that asks for the token."""
    return Answer(body=_own("login.html").encode(), type=_HTML, status=HTTPStatus.UNAUTHORIZED)


def style() -> Answer:
    """Return the style sheet, which the page that asks for the token needs too."""
    return Answer(body=static("page.css").encode(), type=_CSS)


def _chart(chart: Chart) -> dict[str, Any]:
    """Return a chart as data, with the table of its figures."""
    return {**asdict(chart), "table": asdict(chart.table())}


def _number(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) < _IDS:
        return int(text)
    raise _BadQueryError("an id is a number")


def _own(name: str) -> str:
    return files("huddle_otel.cli.serve").joinpath("static", name).read_text("utf-8")
