"""Who retries and who stops: the headers by which one layer, ours, owns both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from huddle_otel import RetryPolicy
from huddle_otel.gateway import Rule, faults
from tests.litellm.cases import SHORT, WHOLE

if TYPE_CHECKING:
    from tests.litellm.lab import Lab

pytestmark = [pytest.mark.litellm, pytest.mark.timeout(240)]  # the first test waits for the gateway to start

ONCE = RetryPolicy(max_attempts=1)
HALF_A_SECOND = {"x-litellm-timeout": "0.5"}
A_MINUTE = {"x-litellm-timeout": "60"}


def test_the_gateway_does_not_retry_below_us(lab: Lab) -> None:
    lab.script(Rule(faults.status(500)))
    assert len(lab.ask("priced", retry=ONCE).calls) == 1
    assert len(lab.ask("priced", retry=ONCE, stream=True).calls) == 1


def test_left_alone_it_does(lab: Lab) -> None:
    """Its default of 2, which our own attempts would multiply: 9 calls of the upstream for 3 of ours."""
    lab.script(Rule(faults.status(500)))
    seen = lab.ask("priced", retry=RetryPolicy(max_attempts=1, gateway_retries=None))
    assert len(seen.calls) == 3
    assert seen.attributes["huddle.attempts"] == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_the_app_may_ask_the_gateway_to_retry(stream: bool, lab: Lab) -> None:
    lab.script(Rule(faults.status(500), model="priced", calls={0}))
    seen = lab.ask("priced", retry=ONCE, stream=stream, extra_headers={"x-litellm-num-retries": "1"})
    assert len(seen.calls) == 2
    assert seen.attributes["huddle.outcome"] == "ok"
    assert seen.attributes["huddle.gateway.attempted_retries"] == 1


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_timeout_the_gateway_knows_stops_the_upstream(stream: bool, lab: Lab) -> None:
    lab.script(Rule(faults.hang(), model="priced", calls={0}))
    seen = lab.ask("priced", stream=stream, extra_headers=HALF_A_SECOND)
    assert [call.disconnected for call in seen.calls] == [True, False]
    # the 408 leaves time for a second attempt, and may have been billed: both are on the record
    assert seen.content == WHOLE
    assert seen.classes == "C"
    assert seen.attributes["huddle.retry.causes"] == ("408",)
    assert seen.attributes["huddle.possible_double_billing"] is True


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_timeout_it_does_not_know_does_not(stream: bool, lab: Lab) -> None:
    """Why the header is sent: that a client just leaves goes unnoticed; its upstream call goes on, and is billed."""
    lab.script(Rule(faults.hang()))
    seen = lab.ask("priced", stream=stream, timeout=SHORT, settled=False, extra_headers=A_MINUTE)
    assert type(seen.error).__name__ == "DeadlineExceeded"
    assert seen.attributes["error.type"] == "deadline_exceeded"
    assert not lab.upstream.wait_for(lambda: lab.upstream.calls[0].disconnected, 0.5)
