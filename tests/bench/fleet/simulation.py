"""A fleet of processes and their upstream as a discrete-event simulation: the real policies, a clock that jumps.

Nothing is sent and nobody waits: each call is the programme of `huddle_otel.policy.call` on the real `Circuits` of its
process, and the upstream is a queue before a number of places. So an hour of a thousand processes takes seconds, and
what depends on many processes shows: herds, probes in step, load that stays up after its cause is gone.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from huddle_otel import BreakerPolicy, RetryPolicy
from huddle_otel.client.circuits import Circuits, Pass
from huddle_otel.events import CircuitChanged, Failure, Fault, Finished, Outcome
from huddle_otel.policy.call import (
    Admit,
    Answered,
    Await,
    Effect,
    Emit,
    Failed,
    Paid,
    Programme,
    Record,
    Reply,
    Send,
    Sleep,
    Withdraw,
    Woken,
    call,
)
from huddle_otel.settings import Settings

KEY: Final = ("gateway", "model", "chat")
_DOWN: Final = Failure(fault=Fault.STATUS, error_type="503", status=503)
_LATE: Final = Failure(fault=Fault.TIMEOUT, error_type="read_timeout")
_NO_LIMIT: Final = float("inf")

NOTHING: Final = Settings(retry=None, breaker=None, bulkhead=None, rate_limit=None)
RETRIES: Final = Settings(
    retry=RetryPolicy(max_ambiguous=20, budget=None), breaker=None, bulkhead=None, rate_limit=None
)
"""As a client without a budget makes them: up to 3 attempts a call, whatever the rest of the calls come to."""
BUDGET: Final = Settings(breaker=None, bulkhead=None, rate_limit=None)
BREAKER: Final = Settings(bulkhead=None, rate_limit=None)
DEFAULTS: Final = Settings()
IN_STEP: Final = Settings(breaker=BreakerPolicy(jitter=0.0))
"""Breakers without jitter: an outage begins for all at once, so all probe at once."""


class Clock:
    """The time, s, and what is to happen at which."""

    def __init__(self) -> None:
        """Start at 0."""
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Have something done later."""
        heapq.heappush(self._due, (self.now + seconds, next(self._order), do))

    def run(self, until: float) -> None:
        """Let everything happen up to a time."""
        while self._due and self._due[0][0] <= until:
            self.now, _, do = heapq.heappop(self._due)
            do()
        self.now = until


@dataclass(slots=True)
class _Job:
    """A request in the upstream's hands."""

    answer: Callable[[Failure | None], None]
    given_up: bool = False


class Upstream:
    """So many places, each taken for a while; a queue before them. It finishes what it began, also for nobody.

    Attributes:
        share: Part of the places in working order, 0 to 1.
        down: Refuses everything at once.
        faults: Share of requests refused at random.
        arrivals: When each request came, s.
        worked: Requests that took a place.
    """

    def __init__(self, clock: Clock, places: int, service: float, draws: random.Random) -> None:
        """Start well."""
        self.share, self.down, self.faults = 1.0, False, 0.0
        self.arrivals: list[float] = []
        self.worked = 0
        self._clock, self._places, self._service, self._draws = clock, places, service, draws
        self._busy = 0
        self._queue: deque[_Job] = deque()

    def send(self, answer: Callable[[Failure | None], None], patience: float) -> None:
        """Take a request; exactly one answer comes, at the latest when the sender's patience ends."""
        self.arrivals.append(self._clock.now)
        if self.down or (self.faults and self._draws.random() < self.faults):
            self._clock.after(0.005, lambda: answer(_DOWN))
            return
        job = _Job(answer)
        self._queue.append(job)
        if patience < _NO_LIMIT:
            self._clock.after(patience, lambda: self._give_up(job))
        self._serve()

    def _give_up(self, job: _Job) -> None:
        if not job.given_up:
            job.given_up = True
            job.answer(_LATE)

    def _serve(self) -> None:
        while self._queue and self._busy < max(self._places * self.share, 1):
            job = self._queue.popleft()
            if job.given_up:
                continue
            self._busy += 1
            self.worked += 1
            self._clock.after(self._draws.expovariate(1 / self._service), lambda job=job: self._done(job))  # type: ignore[misc]

    def _done(self, job: _Job) -> None:
        self._busy -= 1
        if not job.given_up:
            job.given_up = True
            job.answer(None)
        self._serve()


@dataclass(slots=True)
class Fleet:
    """Processes that call one upstream, and what came of their calls."""

    settings: Settings
    processes: int
    rate: float
    """Calls a second of each process, at random moments."""
    seed: int
    places: int
    """Of the upstream."""
    service: float = 1.0
    """Seconds an answer takes on average."""
    patience: float = 10.0
    """Seconds an attempt is waited for."""
    total: float = 10.0
    """Seconds a call may take in all."""
    offered: list[float] = field(default_factory=list[float])
    good: list[float] = field(default_factory=list[float])
    """When the calls that were answered well had been made."""
    outcomes: dict[Outcome, int] = field(default_factory=dict[Outcome, int])
    trips: list[float] = field(default_factory=list[float])
    clock: Clock = field(init=False)
    upstream: Upstream = field(init=False)
    circuits: list[Circuits] = field(init=False)
    _draws: random.Random = field(init=False)
    _stopped: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        """Set the processes up."""
        self.clock = Clock()
        self._draws = random.Random(self.seed)
        self.upstream = Upstream(self.clock, self.places, self.service, self._draws)
        self.circuits = [
            Circuits(self.settings, self.clock, self._changed, self._draws.random) for _ in range(self.processes)
        ]
        for circuits in self.circuits:
            self._next_of(circuits)

    def _changed(self, change: CircuitChanged, _caller: object) -> None:
        if change.after == "open":
            self.trips.append(self.clock.now)

    def _next_of(self, circuits: Circuits) -> None:
        def arrive() -> None:
            if self._stopped:
                return
            self._next_of(circuits)
            _Running(self, circuits).step(None)

        self.clock.after(self._draws.expovariate(self.rate), arrive)

    def stop(self) -> None:
        """Make no more calls; those under way go on."""
        self._stopped = True

    def programme(self) -> Programme:
        """Return a call that begins now."""
        return call(
            ("model",),
            self.settings.retry,
            self.settings.rate_limit,
            max_retries=_NO_LIMIT,
            started=self.clock.now,
            total=self.total,
            draw=self._draws.random,
        )

    def goodput(self, after: float, until: float) -> float:
        """Return the share of the calls made then that were answered well."""
        return count(self.good, after, until) / max(count(self.offered, after, until), 1)

    def busiest(self, after: float, until: float, seconds: int = 1) -> int:
        """Return the most requests that arrived in any stretch of so many seconds."""
        stretches = Counter(int(at) // seconds for at in self.upstream.arrivals if after <= at < until)
        return max(stretches.values(), default=0)

    def amplification(self, after: float, until: float) -> float:
        """Return requests over calls."""
        return count(self.upstream.arrivals, after, until) / max(count(self.offered, after, until), 1)

    def recovery(self, healthy: float, until: float, step: float = 5.0) -> float | None:
        """Return the seconds from `healthy` on after which goodput stays at 95 % and above, in steps; None: never."""
        at, recovered = until, until
        while at - step >= healthy and self.goodput(at - step, at) >= 0.95:
            at = recovered = at - step
        return None if recovered == until else recovered - healthy


def count(times: list[float], after: float, until: float) -> int:
    """Count what happened in a stretch of time."""
    return sum(after <= at < until for at in times)


class _Running:
    """One call under way: the driver, as `huddle_otel.client.drive` is for real ones."""

    __slots__ = ("_circuits", "_fleet", "_leave", "_made", "_programme")

    def __init__(self, fleet: Fleet, circuits: Circuits) -> None:
        self._fleet, self._circuits = fleet, circuits
        self._leave: Pass | None = None
        self._made = fleet.clock.now
        self._programme = fleet.programme()
        fleet.offered.append(self._made)

    def step(self, reply: Reply) -> None:
        """Go on until something takes time."""
        try:
            while True:
                effect = self._programme.send(reply)
                if isinstance(effect, Send | Sleep | Await):
                    self._wait(effect)
                    return
                reply = self._perform(effect)
        except StopIteration:
            pass

    def _perform(self, effect: Effect) -> Reply:
        reply: Reply = None
        if isinstance(effect, Admit):
            reply, self._leave = self._circuits.admit(KEY, past_gate=effect.past_gate)
        elif isinstance(effect, Record) and self._leave is not None:
            self._circuits.record(self._leave, effect.verdict, effect.failure, slow=effect.slow)
        elif isinstance(effect, Withdraw) and self._leave is not None:
            reply = Paid(self._circuits.withdraw(self._leave, ambiguous=effect.ambiguous))
        elif isinstance(effect, Emit) and isinstance(effect.event, Finished):
            outcome = effect.event.outcome
            self._fleet.outcomes[outcome] = self._fleet.outcomes.get(outcome, 0) + 1
            if outcome is Outcome.OK:
                self._fleet.good.append(self._made)
        return reply

    def _wait(self, effect: Send | Sleep | Await) -> None:
        clock = self._fleet.clock
        if isinstance(effect, Send):
            self._fleet.upstream.send(self._answered, min(effect.remaining, self._fleet.patience))
        elif isinstance(effect, Sleep):
            clock.after(effect.seconds, lambda: self.step(Woken(clock.now)))
        elif self._leave is not None and (ticket := self._leave.ticket) is not None:
            waiting, once = self._leave, iter((True,))

            def placed(_: object = None) -> None:
                if next(once, False):
                    reply, self._leave = self._circuits.place(waiting)
                    self.step(reply)

            # in a turn of its own: the ticket is resolved with the circuits' lock held
            ticket.add_done_callback(lambda _: clock.after(0.0, placed))
            clock.after(effect.seconds, placed)

    def _answered(self, failure: Failure | None) -> None:
        self.step(Answered() if failure is None else Failed(failure, self._fleet.clock.now))
