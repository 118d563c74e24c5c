"""A thousand calls of every kind, and what the two accounts of each should have to do with each other: as data.

A row of `KINDS` is a way to call a model and a way for it to end. Each has a model of its own, since a rule of the
scripted upstream knows a call only by its model.
"""

from __future__ import annotations

import json
import random
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from huddle_otel.gateway import Model, Rule, faults
from tests.litellm.proxy import Deployment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from huddle_otel.gateway.kinds import Fault

LONGEST: Final = 60
"""Words of a prompt, at most."""


class Way(StrEnum):
    """How the app asks, and how long it listens."""

    PLAIN = "plain"
    STREAM = "stream"
    EMBEDDINGS = "embeddings"
    RESPONSE = "response"
    RESPONSE_STREAM = "response-stream"
    LEFT = "left"
    """A stream, closed by the app after two chunks."""
    CANCELLED = "cancelled"
    """A plain call in a task that is cancelled while the upstream works; async only."""


class Verdict(StrEnum):
    """What our account of a call and the proxy's have to do with each other."""

    EQUAL = "equal"
    """The gateway told the app a cost, and wrote down the same."""
    FREE = "free"
    """The gateway refused, or its upstream did: both accounts say that nothing was used."""
    UNKNOWN = "unknown"
    """Nobody told the app, so that our account says unknown, whatever is in the other."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One row."""

    name: str
    """Of its model, too."""
    way: Way
    share: int
    """Calls of a thousand."""
    verdict: Verdict
    _: KW_ONLY
    prices: Mapping[str, float] = field(default_factory=dict)
    """The proxy's, USD per token by LiteLLM's names; none: what LiteLLM's own table says of the model, if anything."""
    own: Mapping[str, float] = field(default_factory=dict)
    """The app's override for the estimate, USD per 1M tokens; none: the catalogue's, if it has the model."""
    fault: Fault | None = None
    rate: float = 1.0
    """Share of the upstream's calls that get the fault."""
    outcome: str = "ok"
    """What the row says, with `|` where it is up to chance."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the call."""
    cached: int = 0
    reasoning: int = 0

    @property
    def exact(self) -> bool:
        """Whether the app's override states every price that the proxy has for the model, so that both must agree."""
        return bool(self.own) and all(_OWN_NAMES.get(name) in self.own for name in self.prices)

    @property
    def rules(self) -> list[Rule]:
        """What the upstream does with its calls."""
        return [] if self.fault is None else [Rule(self.fault, model=self.name, rate=self.rate)]

    @property
    def deployment(self) -> Deployment:
        """At the proxy."""
        return Deployment(self.name, prices=self.prices)

    @property
    def model(self) -> Model:
        """At the upstream."""
        return Model(self.name, cached_tokens=self.cached, reasoning_tokens=self.reasoning)


_OWN_NAMES: Final = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write",
}
TEXT: Final = {"input_cost_per_token": 3e-6, "output_cost_per_token": 15e-6}
CACHE: Final = {**TEXT, "cache_read_input_token_cost": 3e-7, "cache_creation_input_token_cost": 3.75e-6}
LONG: Final = {
    **TEXT,
    "input_cost_per_token_above_200k_tokens": 6e-6,
    "output_cost_per_token_above_200k_tokens": 22.5e-6,
}
ODD: Final = {"input_cost_per_token": 1.23456789e-7, "output_cost_per_token": 9.87654321e-7}
"""Costs that do not end at a nano-dollar."""
OWN: Final = {"input": 3, "output": 15}
OWN_CACHE: Final = {**OWN, "cache_read": 0.3, "cache_write": 3.75}


def usage(tokens_in: int, tokens_out: int, **details: int) -> dict[str, Any]:
    """A chat's usage."""
    total = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
    return {**total, "prompt_tokens_details": details}


def saying(told: dict[str, Any]) -> Fault:
    """A plain answer that tells a usage of our choice."""
    message = {"role": "assistant", "content": "Steady."}
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "usage": told}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return faults.status(200, body=json.dumps({**answer, "choices": [choice]}).encode())


def streaming(told: dict[str, Any]) -> Fault:
    """A stream that tells a usage of our choice at its end."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    first = {"index": 0, "delta": {"role": "assistant", "content": "Steady."}, "finish_reason": None}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    chunks = ({"choices": [first]}, {"choices": [last]}, {"choices": [], "usage": told})
    lines = [*(json.dumps({**head, **chunk}) for chunk in chunks), "[DONE]"]
    body = "".join(f"data: {line}\n\n" for line in lines).encode()
    return faults.status(200, body=body, content_type="text/event-stream")


_WRITES: Final = usage(1500, 20, cached_tokens=200, cache_creation_tokens=1000)
_LONG: Final = usage(250_000, 1_000, cached_tokens=0)

_E, _F, _U = Verdict.EQUAL, Verdict.FREE, Verdict.UNKNOWN
KINDS: Final = (
    Kind("mix-plain", Way.PLAIN, 150, _E, prices=TEXT, own=OWN),
    Kind("mix-stream", Way.STREAM, 150, _E, prices=TEXT, own=OWN),
    Kind("mix-odd", Way.PLAIN, 40, _E, prices=ODD),
    Kind("mix-odd-stream", Way.STREAM, 40, _E, prices=ODD),
    Kind("mix-cached", Way.PLAIN, 50, _E, prices=CACHE, own=OWN_CACHE, cached=6),
    Kind("mix-cached-stream", Way.STREAM, 50, _E, prices=CACHE, own=OWN, cached=6),
    Kind("mix-reasoning", Way.STREAM, 50, _E, prices=TEXT, own=OWN, reasoning=40),
    Kind("mix-writes", Way.PLAIN, 30, _E, prices=CACHE, own=OWN_CACHE, fault=saying(_WRITES)),
    Kind("mix-writes-stream", Way.STREAM, 30, _E, prices=CACHE, own=OWN_CACHE, fault=streaming(_WRITES)),
    Kind("mix-long", Way.PLAIN, 20, _E, prices=LONG, own=OWN, fault=saying(_LONG)),
    Kind("mix-long-stream", Way.STREAM, 20, _E, prices=LONG, own=OWN, fault=streaming(_LONG)),
    Kind("mix-embeddings", Way.EMBEDDINGS, 50, _E, prices=TEXT, own=OWN),
    Kind("mix-response", Way.RESPONSE, 40, _E, prices=TEXT, own=OWN),
    Kind("mix-response-stream", Way.RESPONSE_STREAM, 30, _E, prices=TEXT, own=OWN),
    # by name in LiteLLM's table and in our catalogue, which are other people's and need not agree
    Kind("gpt-4.1", Way.PLAIN, 30, _E, cached=6),
    Kind("gpt-4.1-mini", Way.STREAM, 30, _E),
    Kind("o4-mini", Way.PLAIN, 20, _E, reasoning=40),
    Kind("mix-unpriced", Way.PLAIN, 20, _U),
    Kind("mix-untold", Way.STREAM, 20, _U, prices=TEXT, call={"stream_options": {"include_usage": False}}),
    Kind("mix-400", Way.PLAIN, 20, _F, prices=TEXT, fault=faults.status(400), outcome="error"),
    Kind("mix-429", Way.STREAM, 20, _F, prices=TEXT, fault=faults.rate_limited(0.01), outcome="error"),
    Kind("mix-500", Way.PLAIN, 10, _U, prices=TEXT, fault=faults.status(500), outcome="error"),
    Kind("mix-cut", Way.STREAM, 20, _U, prices=TEXT, fault=faults.error_frame(2), outcome="error"),
    Kind("mix-shaky", Way.PLAIN, 20, _E, prices=TEXT, own=OWN, fault=faults.status(500), rate=0.3, outcome="ok|error"),
    Kind("mix-left", Way.LEFT, 20, _U, prices=TEXT, fault=faults.slow_drip(0.02), outcome="abandoned"),
    Kind("mix-cancelled", Way.CANCELLED, 20, _U, prices=TEXT, fault=faults.slow_headers(0.5), outcome="cancelled"),
)
RULES: Final = [rule for kind in KINDS for rule in kind.rules]
OWN_PRICES: Final = {kind.name: dict(kind.own) for kind in KINDS if kind.own}


@dataclass(frozen=True, slots=True)
class Planned:
    """One call of the mix."""

    kind: Kind
    driver: str
    """`sync` or `async`."""
    prompt: str


def plan(calls: int, *, seed: int) -> list[Planned]:
    """Return so many calls in a random order, each kind in its share and by both drivers."""
    draw = random.Random(seed)
    planned = [
        Planned(
            kind,
            "async" if kind.way is Way.CANCELLED or number % 2 else "sync",
            " ".join(["steady"] * draw.randint(1, LONGEST)),
        )
        for kind in KINDS
        for number in range(max(kind.share * calls // 1000, 2))
    ]
    draw.shuffle(planned)
    return planned
