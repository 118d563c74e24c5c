from __future__ import annotations

import pytest

from huddle_otel.gateway import Gateway, Rule, faults
from tests.gateway.wiring import HELLO, ask, play

REPLIES = [
    (faults.status(500), 500, None, "InternalServerError"),
    (faults.status(418), 418, None, "APIError"),
    (faults.overloaded(), 529, None, "Overloaded"),
    (faults.rate_limited(), 429, "throttling_error", "litellm.RateLimitError"),
    (faults.key_rate_limited(), 429, "throttling_error", faults.KEY_HASH),
    (faults.cooldown(7), 429, "all_deployments_in_cooldown", "Try again in 7 seconds"),
    (faults.insufficient_quota(), 429, "throttling_error", "exceeded your current quota"),
    (faults.budget_exceeded(), 422, "budget_exceeded", "Budget has been exceeded"),
    (faults.context_window(), 400, None, "litellm.ContextWindowExceededError"),
    (faults.content_policy(), 400, None, "litellm.ContentPolicyViolationError"),
    (faults.upstream_key_bad(), 401, None, "litellm.AuthenticationError: AuthenticationError: OpenAIException"),
    (faults.expired_key(), 401, "expired_key", "Expired Key"),
    (faults.model_denied(), 403, "key_model_access_denied", "Tried to access gpt-4.1"),
    (faults.upstream_timeout(), 408, None, "litellm.Timeout"),
]


@pytest.mark.parametrize(("fault", "code", "kind", "words"), REPLIES, ids=lambda value: getattr(value, "name", ""))
def test_replies(gateway: Gateway, fault: faults.Reply, code: int, kind: str | None, words: str) -> None:
    answer = play(gateway, fault, HELLO)
    assert answer.status == code
    assert answer.json["error"]["type"] == kind
    assert answer.json["error"]["code"] == str(code)
    assert words in answer.json["error"]["message"]
    assert gateway.calls[0].fault == fault.name
    assert gateway.calls[0].status == code
    assert ("x-litellm-call-id" in answer.headers) is not fault.bare


def test_replies_in_the_words_of_openai() -> None:
    with Gateway(
        [Rule(faults.insufficient_quota(), calls={0}), Rule(faults.context_window())], persona="openai"
    ) as gateway:
        quota, context = ask(gateway), ask(gateway)
    assert quota.json["error"]["type"] == quota.json["error"]["code"] == "insufficient_quota"
    assert context.json["error"]["code"] == "context_length_exceeded"
    assert not any("litellm" in answer.body.decode() for answer in (quota, context))


def test_status_takes_every_word_from_its_caller(gateway: Gateway) -> None:
    fault = faults.status(400, type="strange", message="just so", headers={"x-should-retry": "false"})
    answer = play(gateway, fault)
    assert answer.json["error"] == {"message": "just so", "type": "strange", "param": None, "code": "400"}
    assert answer.headers["x-should-retry"] == "false"


def test_hints(gateway: Gateway) -> None:
    assert play(gateway, faults.status(503, retry_after=1)).headers["retry-after"] == "1"
    assert play(gateway, faults.key_rate_limited()).headers["retry-after"] == "60"
    assert "retry-after" not in play(gateway, faults.cooldown(header=False)).headers
    upstream = play(gateway, faults.rate_limited(2.5)).headers
    assert upstream["llm_provider-retry-after"] == "2.5"
    assert "retry-after" not in upstream
    chosen = play(gateway, faults.rate_limited(3, hint_headers=("retry-after", "x-hint"))).headers
    assert chosen["retry-after"] == chosen["x-hint"] == "3"
    with Gateway([Rule(faults.rate_limited(2))], persona="openai") as plain:
        assert ask(plain).headers["retry-after"] == "2"


def test_pages_and_redirects(gateway: Gateway) -> None:
    page = play(gateway, faults.bad_gateway())
    assert (page.status, page.headers["content-type"]) == (502, "text/html")
    assert page.body.startswith(b"<html>")
    for code in (302, 307):
        moved = play(gateway, faults.redirect("/v1/elsewhere", code=code))
        assert (moved.status, moved.headers["location"], moved.body) == (code, "/v1/elsewhere", b"")


def test_unparsable_body(gateway: Gateway) -> None:
    answer = play(gateway, faults.unparsable_body(), HELLO)
    assert (answer.status, answer.complete) == (200, True)
    with pytest.raises(ValueError, match="Unterminated"):
        _ = answer.json
