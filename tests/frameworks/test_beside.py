"""Beside another instrumentation of the openai client: calls work, nothing is counted twice, no key gets about."""

from __future__ import annotations

from typing import Final

import pytest

from tests.frameworks.beside import CONVENTIONAL, INSTRUMENTATIONS, ORDERS, WAYS, Seen, watch

_INSIDE: Final = frozenset(WAYS) - {"chat, streamed", "chat, streamed with usage", "chat, async streamed"}
TOLD_TWICE: Final[dict[tuple[str, str], frozenset[str]]] = {
    # set up before us they sit inside our call, and learn the tokens as we do
    ("openinference", "before"): _INSIDE | {"chat, streamed with usage"},
    ("logfire", "before"): _INSIDE - {"responses, streamed"},
    ("logfire, not suppressing", "before"): _INSIDE - {"responses, streamed"},
    # a stream is told of in a log record of its own, after its span
    ("logfire", "after"): frozenset(way for way in WAYS if "streamed" in way),
    ("logfire, not suppressing", "after"): frozenset(way for way in WAYS if "streamed" in way),
    # its span of a response is begun when that is over, beside ours
    ("openllmetry", "before"): frozenset({"responses", "responses, streamed"}),
    ("openllmetry", "after"): frozenset({"responses", "responses, streamed"}),
}
"""Calls whose tokens two spans tell; docs/interop.md says so."""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", INSTRUMENTATIONS)
def test_beside(name: str, order: str) -> None:
    rows = watch(name, order)
    assert [seen.way for seen in rows] == list(WAYS)
    for seen in rows:
        _check(seen)
    assert {seen.way for seen in rows if seen.counted == 2} == TOLD_TWICE.get((name, order), frozenset())
    assert {seen.counted for seen in rows} <= {1, 2}


def _check(seen: Seen) -> None:
    assert seen.answer, seen
    assert seen.calls == 1, seen
    assert seen.cost > 0, seen
    assert seen.tokens["input"] == 2, seen
    assert not seen.leaked, seen
    assert seen.errors == 0, seen
    assert len(seen.ours) <= 1, seen
    for metric in CONVENTIONAL:
        owners = {key.split()[0] for key in seen.metrics if key.endswith(metric)}
        # one that wants its usage asked for does not count the tokens of other streams; our own counter does
        assert len(owners) == 1 or (metric == "gen_ai.client.token.usage" and "streamed" in seen.way), seen
