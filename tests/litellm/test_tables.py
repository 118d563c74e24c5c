"""Every row of `cases`, through the real gateway, by both kinds of client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from huddle_otel.gateway import Rule
from tests.litellm.cases import PLAIN, STATUSES, STREAMS
from tests.litellm.conftest import model_of

if TYPE_CHECKING:
    from tests.litellm.cases import Case
    from tests.litellm.lab import Lab, Seen

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(240)]  # the first test waits for the gateway to start


@pytest.mark.parametrize("case", [*STATUSES, *PLAIN], ids=str)
def test_plain(case: Case, lab: Lab) -> None:
    check(case, play(case, "plain", lab))


@pytest.mark.parametrize("case", [*STATUSES, *STREAMS], ids=str)
def test_stream(case: Case, lab: Lab) -> None:
    check(case, play(case, "stream", lab))


def play(case: Case, mode: str, lab: Lab) -> Seen:
    model = model_of(case, mode, lab.driver)
    # only for this model: the gateway may still be sending on a request whose client has run out of time
    lab.script(Rule(case.fault, model=model, calls=case.calls))
    return lab.ask(model, stream=mode == "stream", timeout=case.timeout)


def check(case: Case, seen: Seen) -> None:
    check_app(case, seen)
    check_span(case, seen)
    check_upstream(case, seen)


def check_app(case: Case, seen: Seen) -> None:
    error = seen.error
    assert ("" if error is None else type(error).__name__) in case.error.split("|"), error
    if error is not None and not case.racing:
        assert getattr(error, "status_code", None) == case.status
        assert getattr(error, "type", None) == case.kind
        assert case.says in str(error)
    assert seen.content == case.content
    assert seen.finish == case.finish
    # the chunk that carries usage was asked for by us: the app must not see it
    assert not any(chunk.usage for chunk in seen.chunks)


def check_span(case: Case, seen: Seen) -> None:
    span = seen.attributes
    assert span["huddle.outcome"] == case.outcome
    assert span.get("error.type") in ((case.error_type or "").split("|") if case.error_type else (None,))
    assert re.fullmatch(case.classes, seen.classes)
    assert span["huddle.attempts"] == len(seen.classes) + (case.outcome == "ok")
    assert span.get("huddle.possible_double_billing", False) == ("C" in retried(case, seen))
    if not case.racing:
        assert span.get("http.response.status_code") == case.status
        assert ("huddle.gateway.version" in span) == case.headers
    if case.headers and case.outcome == "ok":
        assert span["huddle.gateway.model_id"]
        assert span["huddle.gateway.attempted_retries"] == 0
    # echoed where the gateway answers, else the one that was sent
    assert span["huddle.request.id"] == seen.headers.get("x-litellm-call-id", span["huddle.request.id"])
    if case.cost:
        assert span["huddle.cost.source"] == "gateway"
        assert span["gen_ai.usage.cost"] > 0
        assert span["gen_ai.usage.input_tokens"] > 0


def check_upstream(case: Case, seen: Seen) -> None:
    attempts = seen.attributes["huddle.attempts"]
    # a second attempt that begins as the time runs out need not get that far
    assert len(seen.calls) in ((attempts - 1, attempts) if case.racing else (attempts,))
    if case.disconnected:
        assert all(call.disconnected for call in seen.calls)


def retried(case: Case, seen: Seen) -> str:
    """Classes of the failed attempts that another one followed."""
    return seen.classes if case.outcome == "ok" else seen.classes[:-1]
