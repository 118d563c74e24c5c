"""What the gateway says to keys it does not serve, and limits of its own: no call of the upstream, nothing to retry."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from huddle_otel import TimeoutPolicy
from huddle_otel.gateway import Rule, faults

if TYPE_CHECKING:
    from tests.litellm.lab import Lab, Seen

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(240)]  # the first test waits for the gateway to start

# Shorter than any hint of the gateway's limits (60 s) and cooldowns (5 s): waiting for them is not an option.
HASTY = TimeoutPolicy(connect=2, first_token=4, stall=4, total=4)


@dataclass(frozen=True, slots=True)
class Refusal:
    key: str
    error: str
    status: int
    kind: str
    says: str

    def __str__(self) -> str:
        return self.key


_SPENT = "Budget has been exceeded"
REFUSALS = (
    Refusal("unheard-of", "AuthenticationError", 401, "token_not_found_in_db", "not found in db"),
    Refusal("expired", "AuthenticationError", 401, "expired_key", "Expired Key"),
    Refusal("other-model", "PermissionDeniedError", 403, "key_model_access_denied", "not available for this API key"),
    # One status per version, and a setting for it: the type is what they share.
    Refusal("spent", "UnprocessableEntityError", 422, "budget_exceeded", _SPENT),
    Refusal("spent-400", "BadRequestError", 400, "budget_exceeded", _SPENT),
    Refusal("spent-429", "RateLimitError", 429, "budget_exceeded", _SPENT),
)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_refused_key(refusal: Refusal, stream: bool, lab: Lab) -> None:
    seen = lab.ask("priced", key=refusal.key, stream=stream)
    check_refused(seen, refusal.error, refusal.status, refusal.kind, refusal.says, retry_class="E")
    # these answers carry none of the gateway's headers, so the id is the one that was sent
    assert "x-litellm-call-id" not in seen.headers
    assert len(seen.attributes["huddle.request.id"]) == 36
    check_no_key(seen, lab.proxy.key(refusal.key))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_unknown_model(stream: bool, lab: Lab) -> None:
    seen = lab.ask("no-such-model", stream=stream)
    check_refused(seen, "BadRequestError", 400, "invalid_request_error", "Invalid model name", retry_class="E")


def test_key_rate_limit(lab: Lab) -> None:
    key = f"limited.{lab.driver}"
    assert lab.ask("priced", key=key).error is None
    seen = lab.ask("priced", key=key, timeout=HASTY)
    check_refused(seen, "RateLimitError", 429, "throttling_error", "Rate limit exceeded for api_key", retry_class="B")
    assert float(seen.headers["retry-after"]) > HASTY.total
    assert seen.attributes["huddle.request.id"] == seen.headers["x-litellm-call-id"]
    # the gateway's message has the key's digest in it
    assert sha256(lab.proxy.key(key).encode()).hexdigest() in str(seen.error)
    check_no_key(seen, lab.proxy.key(key))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_model_rate_limit(stream: bool, lab: Lab) -> None:
    seen = lab.ask("no-requests", stream=stream, timeout=HASTY)
    check_refused(seen, "RateLimitError", 429, "throttling_error", "Model rate limit exceeded", retry_class="B")
    # the gateway's own hint, under the name it uses for an upstream's
    assert seen.headers["llm_provider-retry-after"] == "60"
    assert "retry-after" not in seen.headers


def test_all_deployments_in_cooldown(lab: Lab) -> None:
    model = f"cooling.{lab.driver}"
    lab.script(Rule(faults.upstream_key_bad(), model=model, calls={0}))
    assert lab.ask(model).classes == "E"
    for stream in (False, True):  # one 401 of the upstream, and for 5 s nobody gets through
        seen = lab.ask(model, stream=stream, timeout=HASTY)
        check_refused(seen, "RateLimitError", 429, "all_deployments_in_cooldown", "Try again in 5 s", retry_class="B")
        assert seen.headers["retry-after"] == "5"


def check_refused(seen: Seen, error: str, status: int, kind: str, says: str, *, retry_class: str) -> None:
    assert type(seen.error).__name__ == error
    assert getattr(seen.error, "status_code", None) == status
    assert getattr(seen.error, "type", None) == kind
    assert getattr(seen.error, "code", None) == str(status)
    assert says in str(seen.error)
    assert seen.classes == retry_class
    assert seen.calls == []
    span = seen.attributes
    assert span["huddle.outcome"] == "error"
    assert span["error.type"] == str(status)
    assert span["http.response.status_code"] == status
    assert span["huddle.attempts"] == 1
    assert "gen_ai.usage.input_tokens" not in span


def check_no_key(seen: Seen, key: str) -> None:
    """Neither the key nor its digest, by which the gateway knows it, is in the span."""
    exported = seen.span.to_json()
    assert key not in exported
    assert sha256(key.encode()).hexdigest() not in exported
