"""What a call is, read off the client's own request options, and what each attempt of it sends."""

from __future__ import annotations

import math
import re
import uuid
from typing import Any, Final
from urllib.parse import urlsplit

import openai
from openai._constants import DEFAULT_MAX_RETRIES, DEFAULT_TIMEOUT
from openai._models import FinalRequestOptions
from openai._types import NotGiven, Omit

from huddle_otel.client.reading import responses
from huddle_otel.client.targets import Target, Targets
from huddle_otel.events import Request
from huddle_otel.settings import RetryPolicy, TimeoutPolicy

RAW_HEADER: Final = "X-Stainless-Raw-Response"
_OMIT: Final = Omit()
_OPERATIONS: Final = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/images/generations": "image_generation",
    "/images/edits": "image_edit",
    "/images/variations": "image_variation",
    "/audio/speech": "speech",
    "/audio/transcriptions": "transcription",
    "/audio/translations": "translation",
    "/moderations": "moderation",
}
"""What a POST to these is called; they are the calls in which a model works."""
_VERBS: Final = {"get": "retrieve", "post": "create", "delete": "delete", "put": "update", "patch": "update"}
_WORD: Final = re.compile(r"[a-z]+(?:_[a-z]+)*")
_COLLECTIONS: Final = frozenset(
    {
        "assistants",
        "batches",
        "containers",
        "conversations",
        "evals",
        "files",
        "models",
        "responses",
        "skills",
        "threads",
        "uploads",
        "vector_stores",
        "videos",
    }
)
"""First parts of a path that are followed by an id."""
_NAMESPACES: Final = frozenset({"audio", "chat", "chatkit", "fine_tuning", "realtime"})
"""First parts of a path that are followed by a name, and only then by an id."""
_ACTIONS: Final = frozenset(
    {"characters", "client_secrets", "compact", "edits", "extensions", "graders", "input_tokens", "runs"}
)
"""Names that stand where an id would."""
_USAGE_ON_REQUEST: Final = frozenset({"/chat/completions", "/completions"})
"""Endpoints whose streams tell usage only when asked to."""


def describe(options: FinalRequestOptions, target: Target, *, stream: bool) -> Request:
    """Describe a call. Reads fields by reference, copies nothing, is not proportional to the prompt."""
    body = options.json_data if isinstance(options.json_data, dict) else _NOTHING
    path, method = _endpoint(options.url), options.method.lower()
    model = body.get("model") or responses.model(path)
    return Request(
        operation=(_OPERATIONS.get(path) if method == "post" else None) or _endpoint_name(path, method),
        model=model if isinstance(model, str) else "",
        host=target.host,
        port=target.port,
        provider=target.provider,
        stream=stream,
        body=body,
        path=path,
    )


_NOTHING: Final[dict[str, Any]] = {}


def _endpoint(url: str) -> str:
    """Return the path below the API's root: without query, and of an absolute URL without host and version."""
    if url in _OPERATIONS:
        return url
    path = urlsplit(url).path
    _, versioned, rest = path.partition("/v1/")
    return "/" + (rest if versioned else path).strip("/")


def _endpoint_name(path: str, method: str) -> str:
    """Name an endpoint without its ids: `GET /files/file-123/content` is `files.content.retrieve`."""
    parts = _endpoint(path)[1:].split("/")
    named = [_is_name(parts, index) for index in range(len(parts))]
    names = [part for part, is_name in zip(parts, named, strict=True) if is_name]
    verb = _VERBS.get(method.lower(), method.lower())
    if verb == "retrieve" and named[-1] and parts[-1].endswith("s"):
        verb = "list"
    elif verb == "create" and not named[-1]:
        verb = "update"  # a POST to something that is there
    return ".".join([*names[:3], verb])


def _is_name(parts: list[str], index: int) -> bool:
    """Tell a name from an id. Where the API is known, names and ids take turns; elsewhere, ids do not look like words.

    A model's id may look like anything, and have slashes: nothing below `/models` is a name.
    """
    part, first = parts[index], parts[0]
    if not _WORD.fullmatch(part) or (first == "models" and index):
        return False
    deep = index - (first in _NAMESPACES)
    return deep <= 0 or deep % 2 == 0 or part in _ACTIONS or not (first in _COLLECTIONS or first in _NAMESPACES)


def asks_usage(options: FinalRequestOptions, *, stream: bool) -> bool:
    """Tell whether we have to ask for a stream's usage, since the app did not say either way."""
    body, extra = options.json_data, options.extra_json
    if not stream or options.url not in _USAGE_ON_REQUEST or not isinstance(body, dict):
        return False
    if extra and "stream_options" in extra:
        return False
    asked = body.get("stream_options")
    return not asked or (isinstance(asked, dict) and "include_usage" not in asked)


def with_usage(body: Any) -> dict[str, Any]:
    """Return a request body that also asks for usage."""
    return {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}


class Attempts:
    """Makes the request options of each attempt of one call from those the app's call came with."""

    __slots__ = (
        "_app_ceiling",
        "_client",
        "_given",
        "_headers",
        "_idempotency_key",
        "_limits",
        "_own_retry_count",
        "_retry",
        "_stream",
        "_target",
        "_targets",
        "_timeouts",
        "call_id",
        "first_token",
    )

    def __init__(  # noqa: PLR0913 - what a call is made of
        self,
        options: FinalRequestOptions,
        client: Any,
        target: Target,
        targets: Targets,
        retry: RetryPolicy | None,
        timeout: TimeoutPolicy | None,
        *,
        stream: bool,
    ) -> None:
        """Read what does not change between attempts."""
        self._retry = retry
        self._timeouts = timeout
        self.first_token = timeout.first_token if timeout is not None else math.inf
        self._stream = stream
        self._client = client
        self._given = options
        self._target = target
        self._targets = targets
        given = options.headers if isinstance(options.headers, dict) else {}
        self._headers = given
        self._own_retry_count = any(name.lower() == "x-stainless-retry-count" for name in given)
        key = options.idempotency_key
        self._idempotency_key = key if key or options.method.lower() == "get" else client._idempotency_key()
        given_timeout = client.timeout if isinstance(options.timeout, NotGiven) else options.timeout
        self._limits = _limits(given_timeout)
        read = self._limits[1]
        self._app_ceiling = math.inf if given_timeout == DEFAULT_TIMEOUT or read is None else read
        self.call_id: str | None = None
        """The id the last attempt was sent with (`x-litellm-call-id`); the gateway echoes it."""

    def total(self) -> float:
        """Return the seconds the whole call may take: the policy's total, and for plain calls the app's own timeout.

        For a stream the app's timeout means, as in the bare client, the longest silence, not the length.
        """
        policy = self._timeouts
        total = policy.total if policy is not None else math.inf
        return total if self._stream else min(total, self._app_ceiling)

    def options(self, number: int, remaining: float, *, model: str, ask_usage: bool) -> FinalRequestOptions:
        """Return the options of attempt `number` with `model`, `remaining` seconds before the call's end.

        The client's own retries are off, since ours is the only loop; the idempotency key is the same for all.
        """
        headers = self._targets.headers(self._client, self._target, self._headers, _OMIT)
        timeout = self._timeout(remaining)
        if number > 1 and not self._own_retry_count:
            headers["x-stainless-retry-count"] = str(number - 1)
        url = self._given.url
        if self._target.gateway:
            self._add_gateway_headers(headers, timeout)
            if "://" not in url:
                # key and host in one object: a client moved by another thread meanwhile cannot part them
                url = self._target.url + url
        changes: dict[str, Any] = {
            "url": url,
            "headers": headers,
            "max_retries": 0,
            "idempotency_key": self._idempotency_key,
            "timeout": timeout,
        }
        body = self._given.json_data
        if isinstance(body, dict) and model != body.get("model") and "model" in body:
            body = changes["json_data"] = {**body, "model": model}
        if ask_usage:
            changes["json_data"] = with_usage(body)
        return self._given.model_copy(update=changes)

    def _add_gateway_headers(self, headers: dict[str, Any], timeout: Any) -> None:
        """Tell the gateway how many retries and how much time it has, unless the app told it itself."""
        policy = self._retry
        said = {name.lower() for name in self._headers}
        if policy is not None and policy.gateway_retries is not None and "x-litellm-num-retries" not in said:
            headers["x-litellm-num-retries"] = str(policy.gateway_retries)
        read = getattr(timeout, "read", None)
        if read is not None and "x-litellm-timeout" not in said:
            # a little less than our own read timeout, so that the gateway stops its upstream, which else is billed; its
            # answer takes up to 70 ms to get here
            headers["x-litellm-timeout"] = f"{max(min(read * 0.95, read - 0.25), read * 0.5):.3g}"
        if "x-litellm-call-id" in said:
            self.call_id = next(str(v) for k, v in self._headers.items() if k.lower() == "x-litellm-call-id")
        else:
            self.call_id = headers["x-litellm-call-id"] = str(uuid.uuid4())

    def _timeout(self, remaining: float) -> openai.Timeout | None:
        """Return the socket timeouts of an attempt: the smallest of the app's, the policy's and the time left."""
        policy = self._timeouts
        connect, read, write, pool = self._limits
        if policy is not None:
            connect = _least(connect, policy.connect, remaining)
            write, pool = _least(write, remaining), _least(pool, remaining)
            # up to the headers of a stream, silence is what the first token's clock counts
            read = _least(read, remaining, self.first_token if self._stream else None)
        if connect is read is write is pool is None:
            return None
        return openai.Timeout(connect=connect, read=read, write=write, pool=pool)

    def widen(self, response: Any) -> None:
        """Let reads of an open stream take as long as the app and the body's clocks allow, which count from here.

        The socket's timeout is set a little behind the clocks: it is what ends a silence where the clocks cannot.
        """
        timeouts, policy = response.request.extensions.get("timeout"), self._timeouts
        if isinstance(timeouts, dict) and "read" in timeouts and policy is not None:
            timeouts["read"] = _least(self._limits[1], max(self.first_token, policy.stall) + 1.0)


def _least(*values: float | None) -> float | None:
    given = [value for value in values if value is not None and value != math.inf]
    return max(min(given), 0.001) if given else None


def _limits(given: Any) -> tuple[float | None, float | None, float | None, float | None]:
    """Return a timeout's connect, read, write and pool parts, s; None is no limit."""
    if given is None or isinstance(given, int | float):
        return given, given, given, given
    return given.connect, given.read, given.write, given.pool


def max_retries(options: FinalRequestOptions, client: Any) -> float:
    """Return the app's own bound on retries: per call, else per client; infinity when nobody chose one.

    A client that holds the openai client's default counts as nobody's choice.
    """
    given = client.max_retries if isinstance(options.max_retries, NotGiven) else options.max_retries
    return math.inf if isinstance(options.max_retries, NotGiven) and given == DEFAULT_MAX_RETRIES else given
