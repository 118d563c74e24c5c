"""Faults that answer something else: the errors of a LiteLLM gateway, of its upstreams, and of proxies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from huddle_otel.gateway.kinds import Reply, header_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY_HASH: Final = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"
"""SHA-256 as LiteLLM prints it for a virtual key (this one belongs to no key)."""

_KNOWN: Final[Mapping[int, tuple[str, str | None, str]]] = {
    400: ("BadRequestError", "invalid_request_error", "The request could not be understood."),
    401: ("AuthenticationError", "invalid_request_error", "Incorrect API key provided."),
    403: ("PermissionDeniedError", "invalid_request_error", "You are not allowed to do this."),
    404: ("NotFoundError", "invalid_request_error", "The model does not exist or you do not have access to it."),
    408: ("Timeout", "timeout_error", "Request timed out."),
    409: ("BadRequestError", "invalid_request_error", "The request conflicts with another one."),
    422: ("UnprocessableEntityError", "invalid_request_error", "The request could not be processed."),
    429: ("RateLimitError", "requests", "Rate limit reached. Please try again later."),
    500: ("InternalServerError", "server_error", "The server had an error while processing your request."),
    502: ("BadGatewayError", "server_error", "Bad gateway."),
    503: ("ServiceUnavailableError", "service_unavailable_error", "The server is overloaded or not ready yet."),
    504: ("Timeout", "timeout_error", "Request timed out."),
    529: ("InternalServerError", "overloaded_error", "Overloaded"),
}


def status(  # noqa: PLR0913 -- one argument per thing a test may want to choose, all optional
    code: int,
    *,
    type: str | None = None,  # noqa: A002 -- the field's own name in the error object
    message: str | None = None,
    headers: Mapping[str, str] | None = None,
    retry_after: float | None = None,
    hint_headers: tuple[str, ...] | None = ("retry-after",),
    body: bytes | None = None,
    content_type: str = "application/json",
) -> Reply:
    """Any status with the body usual for it; a given `message` is sent word for word."""
    exception, upstream_type, usual = _KNOWN.get(code, ("APIError", "server_error", "Unexpected answer."))
    return Reply(
        name=f"status_{code}",
        code=code,
        message=usual if message is None else message,
        exception=exception if message is None else None,
        type=type or ("throttling_error" if code == 429 else None),  # noqa: PLR2004 -- as LiteLLM types every 429
        upstream_type=type or upstream_type,
        retry_after=retry_after,
        hint_headers=hint_headers,
        headers=header_pairs(headers),
        body=body,
        content_type=content_type,
    )


def bad_gateway() -> Reply:
    """502 with the HTML page of a proxy in front of the gateway."""
    page = "<html>\r\n<head><title>{0}</title></head>\r\n<body><center><h1>{0}</h1></center></body>\r\n</html>\r\n"
    body = page.format("502 Bad Gateway").encode()
    return Reply(name="bad_gateway", code=502, bare=True, body=body, content_type="text/html")


def overloaded() -> Reply:
    """529, the upstream is overloaded."""
    return Reply(
        name="overloaded",
        code=529,
        exception="InternalServerError",
        message="Overloaded",
        upstream_type="overloaded_error",
    )


def rate_limited(retry_after: float | None = None, *, hint_headers: tuple[str, ...] | None = None) -> Reply:
    """429 of the upstream; the hint (s) travels in the persona's header unless `hint_headers` names others."""
    return Reply(
        name="rate_limited",
        code=429,
        exception="RateLimitError",
        message="Rate limit reached for requests per min (RPM): Limit 500, Used 500, Requested 1.",
        type="throttling_error",
        upstream_type="requests",
        upstream_code="rate_limit_exceeded",
        retry_after=retry_after,
        hint_headers=hint_headers,
    )


def key_rate_limited(retry_after: float = 60) -> Reply:
    """429 of the gateway's own limit for the key; the message contains the hash of a key."""
    return Reply(
        name="key_rate_limited",
        code=429,
        message=f"Rate limit exceeded for api_key: {KEY_HASH}. Limit type: requests. Current limit: 2, Remaining: 0.",
        type="throttling_error",
        retry_after=retry_after,
        headers=(("rate_limit_type", "requests"),),
    )


def cooldown(seconds: float = 5, *, header: bool = True) -> Reply:
    """429, every deployment of the model is cooling down; older gateways say the seconds only in the message."""
    return Reply(
        name="cooldown",
        code=429,
        message=f"No deployments available for selected model, Try again in {seconds:g} seconds. model={{model}}.",
        type="all_deployments_in_cooldown",
        retry_after=seconds if header else None,
    )


def insufficient_quota() -> Reply:
    """429, the gateway's upstream account is out of money; only the message tells it from a rate limit."""
    return Reply(
        name="insufficient_quota",
        code=429,
        exception="RateLimitError",
        message="You exceeded your current quota, please check your plan and billing details.",
        type="throttling_error",
        upstream_type="insufficient_quota",
        upstream_code="insufficient_quota",
    )


def budget_exceeded(code: int = 422) -> Reply:
    """422 (400 before LiteLLM 1.106), the key's budget is spent."""
    message = "Budget has been exceeded! Current cost: 10.02, Max budget: 10.0"
    return Reply(name="budget_exceeded", code=code, message=message, type="budget_exceeded", bare=True)


def context_window() -> Reply:
    """400, the prompt is longer than the model's context."""
    return Reply(
        name="context_window",
        code=400,
        exception="ContextWindowExceededError",
        message="This model's maximum context length is 128000 tokens. Your messages resulted in 130001 tokens.",
        param="messages",
        upstream_type="invalid_request_error",
        upstream_code="context_length_exceeded",
    )


def content_policy() -> Reply:
    """400, the content filter refused the prompt."""
    return Reply(
        name="content_policy",
        code=400,
        exception="ContentPolicyViolationError",
        message="Your request was rejected as a result of our safety system.",
        upstream_type="invalid_request_error",
        upstream_code="content_policy_violation",
    )


def upstream_key_bad() -> Reply:
    """401 about the gateway's own upstream key: the message names the upstream exception, the caller's key is fine."""
    return Reply(
        name="upstream_key_bad",
        code=401,
        exception="AuthenticationError",
        message="Incorrect API key provided: sk-upst****************abcd.",
        upstream_type="invalid_request_error",
        upstream_code="invalid_api_key",
    )


def expired_key() -> Reply:
    """401, the caller's key has expired."""
    message = (
        "Authentication Error - Expired Key. Key Expiry time 2026-01-01 00:00:00+00:00, now 2026-01-02 00:00:00+00:00"
    )
    return Reply(name="expired_key", code=401, message=message, type="expired_key", param="key", bare=True)


def model_denied(code: int = 403) -> Reply:
    """403 (401 before LiteLLM 1.106), the key may not use the model."""
    message = (
        "key not allowed to access model. This key can only access models=['another-model']. Tried to access {model}"
    )
    return Reply(
        name="model_denied", code=code, message=message, type="key_model_access_denied", param="model", bare=True
    )


def upstream_timeout() -> Reply:
    """408, the gateway gave up waiting for the upstream."""
    return Reply(
        name="upstream_timeout",
        code=408,
        exception="Timeout",
        message="Request timed out.",
        upstream_type="timeout_error",
    )


def unparsable_body() -> Reply:
    """200 whose JSON body breaks off."""
    return Reply(name="unparsable_body", code=200, body=b'{"id": "chatcmpl-1", "object": "chat.comp')


def redirect(location: str, *, code: int = 307) -> Reply:
    """307 or 302 to `location`."""
    return Reply(
        name="redirect", code=code, headers=(("location", location),), bare=True, body=b"", content_type="text/plain"
    )
