"""What happens in the demo, as data: the models, the phases, and the calls the app makes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from huddle_otel.gateway import Model, Rule, faults
from huddle_otel.gateway.kinds import Fault
from huddle_otel.settings import BreakerPolicy
from huddle_otel.spend import catalogue

_FOREVER: Final = 1_000_000


def _model(name: str, *, first_token: float, per_chunk: float) -> Model:
    """A model of the catalogue at its catalogue price; any other name is unpriced."""
    row = next((row for row in catalogue() if row.id == name), None)
    rates = () if row is None or not row.input or not row.output else (Decimal(row.input), Decimal(row.output))
    return Model(name, *rates, first_token=first_token, per_chunk=per_chunk, chunks=12)


MODELS: Final = (
    _model("gpt-4.1-mini", first_token=0.12, per_chunk=0.010),
    _model("deepseek-v3.2", first_token=0.20, per_chunk=0.016),
    _model("kimi-k2.5", first_token=0.16, per_chunk=0.012),
    _model("house-llama", first_token=0.08, per_chunk=0.008),  # in no price list: its spend is unknown
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the run."""

    name: str
    share: float
    """Part of the run's length, 0 to 1."""
    story: str
    """What the gateway does, for the screen."""
    rules: Callable[[float, float], Iterator[Rule]]
    """The gateway's faults between two moments of the run, s."""
    crowd: float = 0.0
    """Calls to `DOWN` that come on top, as a share of all others: a breaker needs calls to see anything."""


def _healthy(_start: float, _end: float) -> Iterator[Rule]:
    yield from ()


def _rate_limited(start: float, end: float) -> Iterator[Rule]:
    """Closed, open, closed, open, as a limit per minute is; each 429 says how long the door stays closed."""
    length, slices = end - start, 20
    for opens, closes in ((0.6, 0.0), (0.95, 0.7)):
        until = start + opens * length
        first = start + closes * length
        step = (until - first) / slices
        for index in range(slices):
            at = first + index * step
            yield Rule(faults.rate_limited(retry_after=round(until - at, 2)), after=at, until=at + step)


DOWN: Final = "gpt-4.1-mini"
"""The model whose upstream goes down, and no other."""
OUTAGE: Final = faults.bad_gateway()
"""What its callers get meanwhile. No other phase uses it, so that the gateway's record tells how often it was asked."""
_DOWN_SHARE: Final = 0.6
"""Of the phase; the rest of it shows the recovery."""


def _outage(start: float, end: float) -> Iterator[Rule]:
    yield Rule(OUTAGE, model=DOWN, after=start, until=start + _DOWN_SHARE * (end - start))


_FAILING: Final[tuple[Fault | None, ...]] = (
    faults.status(503, retry_after=0.4),
    None,
    faults.error_frame(after=0),  # a stream that dies before its first word; plain answers do not feel it
    None,
    faults.status(500),
    None,
    None,
    faults.cut(after=0, tidy=False),
    None,
    faults.cut(after=6),  # mid-stream, and tidily: nothing is raised, the answer is just short
    None,
    None,
    faults.reset_before_first_byte(0.05),
    None,
    faults.reset(after=5),  # mid-stream, loudly
    None,
)
_RECOVERING: Final[tuple[Fault | None, ...]] = (faults.status(503, retry_after=0.2), None, None, None, None)


def _dealt(deck: tuple[Fault | None, ...]) -> Callable[[float, float], Iterator[Rule]]:
    """Deal faults to the calls of each model in turn: with drawn ones, so few calls would show mostly luck."""

    def rules(start: float, end: float) -> Iterator[Rule]:
        for number, model in enumerate(MODELS):
            for index, fault in enumerate(deck):
                if fault is not None:
                    turns = range((index + 3 * number) % len(deck), _FOREVER, len(deck))
                    yield Rule(fault, model=model.id, calls=turns, after=start, until=end)

    return rules


PHASES: Final = (
    Phase(name="healthy", share=0.15, story="every call is answered", rules=_healthy),
    Phase(name="outage", share=0.3, story=f"{DOWN} is down, 502; then it is back", rules=_outage, crowd=1.0),
    Phase(name="rate-limited", share=0.22, story="429 in waves; says when to come back", rules=_rate_limited),
    Phase(name="failing", share=0.21, story="503, 500, resets, streams cut off", rules=_dealt(_FAILING)),
    Phase(name="recovering", share=0.12, story="a 503 now and then", rules=_dealt(_RECOVERING)),
)
"""In order; the shares add up to 1. A phase added here is in the script, on the screens and in the tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One call the app will make."""

    at: float
    """Seconds after the start of the run."""
    model: str
    stream: bool
    prompt: str
    max_tokens: int


def rules(seconds: float) -> list[Rule]:
    """Return the gateway's script of a run of that length (s)."""
    return [rule for phase, start, end in windows(seconds) for rule in phase.rules(start, end)]


def windows(seconds: float) -> Iterator[tuple[Phase, float, float]]:
    """Yield each phase with its start and end in a run of that length, s."""
    start = 0.0
    for phase in PHASES:
        end = start + phase.share * seconds
        yield phase, start, end
        start = end


def down(seconds: float) -> tuple[float, float] | None:
    """Return when the upstream of `DOWN` goes down and when it is back in a run of that length, s."""
    return next(((rule.after, rule.until) for rule in rules(seconds) if rule.fault is OUTAGE), None)


def breaker(seconds: float) -> BreakerPolicy:
    """Return the default breaker with open times that fit the outage of a run of that length (s)."""
    usual, outage = BreakerPolicy(), down(seconds)
    if outage is None:
        return usual
    length = outage[1] - outage[0]
    return BreakerPolicy(
        open_for=min(round(length / 6, 2), usual.open_for), max_open=min(round(length / 4, 2), usual.max_open)
    )


def phase_at(moment: float, seconds: float) -> Phase:
    """Return the phase of a moment of the run; after its end, the last one."""
    return next((phase for phase, _, end in windows(seconds) if moment < end), PHASES[-1])


_PER_SECOND: Final = 12
_FEWEST: Final = 60
"""Calls even of a short run, so that its shares mean something."""


def plan(seconds: float, *, seed: int) -> list[Ask]:
    """Return the calls of a run: the same ones for the same length (s) and seed, evenly spread with some jitter."""
    draw = random.Random(seed)  # noqa: S311 - repeatable traffic, not secrets
    count = max(_FEWEST, round(_PER_SECOND * seconds))
    names = [model.id for model in MODELS]
    asks = _spread(draw, names, count, 0.0, seconds)
    for phase, start, end in windows(seconds):
        asks += _spread(draw, [DOWN], round(phase.crowd * phase.share * count), start, end)
    return sorted(asks, key=lambda ask: ask.at)


def _spread(draw: random.Random, models: list[str], count: int, start: float, end: float) -> list[Ask]:
    return [
        Ask(
            at=start + (index + draw.random()) * (end - start) / count,
            model=models[index % len(models)],
            stream=draw.random() < 0.5,  # noqa: PLR2004 - half of the calls
            prompt="word " * draw.randrange(100, 1_500),
            max_tokens=draw.randrange(60, 400),
        )
        for index in range(count)
    ]
