"""What every framework must hold over us: the right answer, one span a call, and our retries and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.trace import StatusCode

from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.support import COST, TEXT, Recorded

_LOOP: Final = asyncio.Runner()
"""One for all: langchain keeps its async HTTP client for the life of the process."""
Ask = Callable[[Gateway], str] | Callable[[Gateway], Coroutine[Any, Any, str]]
"""Makes one call and returns the text that the framework got."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a call should come to."""

    text: str = TEXT
    operation: str = "chat"
    model: str = "gpt-4.1"
    output_tokens: int = 8
    cost: float | None = COST
    """None: whatever it is, it is known."""
    retries_itself: bool = False
    """It makes its clients with `max_retries=0`, which turns our retries off, and each of its attempts is a call."""


def check(ask: Ask, expected: Expected, gateway: Gateway, recorded: Recorded) -> None:
    """Make a good call, and one that the gateway fails once."""
    for attempts in (1, 2):
        gateway.reset()
        recorded.exporter.clear()
        gateway.script([Rule(faults.status(503), calls={0})] if attempts > 1 else [])
        answer = ask(gateway)
        text = _LOOP.run(answer) if isinstance(answer, Coroutine) else answer
        assert expected.text in text
        assert len(gateway.calls) == attempts
        again = attempts > 1 and expected.retries_itself
        *failed, last = recorded.spans
        assert [span.status.status_code for span in failed] == [StatusCode.ERROR] * again
        attributes: dict[str, Any] = dict(last.attributes or {})
        found = {name: attributes.get(name) for name in ("gen_ai.operation.name", "gen_ai.request.model")}
        assert found == {"gen_ai.operation.name": expected.operation, "gen_ai.request.model": expected.model}
        assert attributes["huddle.attempts"] == (1 if again else attempts)
        assert attributes["huddle.outcome"] == "ok"
        assert attributes["gen_ai.usage.output_tokens"] == expected.output_tokens
        assert attributes["gen_ai.usage.cost"] > 0
        assert expected.cost is None or attributes["gen_ai.usage.cost"] == expected.cost
        assert attributes["huddle.cost.source"] == "gateway"
    assert recorded.total("huddle.telemetry.errors") == 0
