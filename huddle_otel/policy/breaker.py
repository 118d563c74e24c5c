"""The circuit breaker: a state machine over a time window of outcomes.

::

                 rate ≥ limit, calls ≥ minimum, on a failed or slow call
       CLOSED ───────────────────────────────────────────────────────► OPEN ◄─┐
          ▲                                                             │ time │ a bad probe,
          │ enough good probes                                          ▼      │ or half-open too long
          └─────────────────────────────────────────────────────── HALF_OPEN ──┘

    force():  FORCED_OPEN rejects all, DISABLED admits and does not record, METRICS_ONLY admits and records

A success never trips it, unless it was slow. Each change of state starts a new generation, and what an older generation
reports changes nothing: neither a late failure of before the trip nor a probe that was given up. After resilience4j,
Polly and gobreaker.

Holds no lock and reads no clock: callers pass the time, s, and a random draw, and serialise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from huddle_otel.settings import BreakerPolicy


class State(StrEnum):
    """What a circuit does with calls."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    METRICS_ONLY = "metrics_only"


class Verdict(StrEnum):
    """What the end of a call says about its circuit."""

    OK = "ok"
    FAILURE = "failure"
    IGNORED = "ignored"
    """Says nothing: the app's own mistake, a cancellation, a rate limit. Gives its permit back and counts nowhere."""


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make a call; to be handed back with `record`, exactly once."""

    generation: int
    probe: bool


@dataclass(frozen=True, slots=True)
class Rejection:
    """No leave."""

    retry_in: float
    """Seconds until a probe may be let through; infinity when forced open."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of state."""

    before: State
    after: State


class Window:
    """Calls, failures and slow calls of the last `size` seconds, in a ring of buckets with running totals: O(1)."""

    __slots__ = ("_buckets", "_index", "_width", "calls", "failures", "slow")

    def __init__(self, size: float, buckets: int) -> None:
        """Start empty; `size` in seconds."""
        self._width = size / buckets
        self._buckets: list[list[int]] = [[0, 0, 0] for _ in range(buckets)]
        self._index = 0
        self.calls = self.failures = self.slow = 0

    def advance(self, now: float) -> None:
        """Let go of what is older than the window."""
        index = int(now // self._width)
        for gone in range(min(index - self._index, len(self._buckets))):
            bucket = self._buckets[(index - gone) % len(self._buckets)]
            self.calls -= bucket[0]
            self.failures -= bucket[1]
            self.slow -= bucket[2]
            bucket[:] = (0, 0, 0)
        self._index = max(self._index, index)  # a clock that steps back adds to the newest bucket

    def add(self, now: float, *, failed: bool, slow: bool) -> None:
        """Count one call."""
        self.advance(now)
        bucket = self._buckets[self._index % len(self._buckets)]
        self.calls += 1
        self.failures += failed
        self.slow += slow
        bucket[0] += 1
        bucket[1] += failed
        bucket[2] += slow


class Breaker:
    """One circuit."""

    __slots__ = (
        "_failed_rounds",
        "_generation",
        "_good_probes",
        "_open_for",
        "_policy",
        "_probe_at",
        "_probes",
        "_since",
        "_state",
        "_transitions",
        "_window",
    )

    def __init__(self, policy: BreakerPolicy) -> None:
        """Start closed."""
        self._policy = policy
        self._state = State.METRICS_ONLY if policy.shadow else State.CLOSED
        self._generation = 0
        self._window = Window(policy.window, policy.buckets)
        self._since = 0.0
        self._open_for = policy.open_for
        self._failed_rounds = 0
        self._probes = 0
        self._probe_at = 0.0
        self._good_probes = 0
        self._transitions: list[Transition] = []

    # --- asking ------------------------------------------------------------------------------------------------------

    def state(self, now: float) -> State:
        """Return the state; an open circuit whose time is up is half-open, whether or not anyone has called."""
        if self._state is State.OPEN and now - self._since >= self._open_for:
            return State.HALF_OPEN
        return self._state

    def window(self, now: float) -> tuple[int, int, int]:
        """Return calls, failures and slow calls in the window."""
        self._window.advance(now)
        return self._window.calls, self._window.failures, self._window.slow

    def retry_in(self, now: float) -> float:
        """Return the seconds until a probe may be let through."""
        if self._state is State.FORCED_OPEN:
            return float("inf")
        if self._state is State.OPEN:
            return max(self._since + self._open_for - now, 0.0)
        if self._state is State.HALF_OPEN:
            return max(self._probe_at + self._open_for - now, 0.0)
        return 0.0

    def take_transitions(self) -> tuple[Transition, ...]:
        """Return the changes of state since last asked."""
        taken, self._transitions = tuple(self._transitions), []
        return taken

    # --- calls -------------------------------------------------------------------------------------------------------

    def admit(self, now: float, draw: float) -> Permit | Rejection:
        """Let a call through, or not.

        Args:
            now: The time, s.
            draw: A random number from 0 up to 1, for the jitter of the open time.
        """
        self._tick(now, draw)
        if self._state is State.FORCED_OPEN or self._state is State.OPEN:
            return Rejection(self.retry_in(now))
        if self._state is not State.HALF_OPEN:
            return Permit(self._generation, probe=False)
        room = self._probes < self._policy.concurrent_probes and self._probes + self._good_probes < self._policy.probes
        if not room:
            if now - self._probe_at < self._open_for:
                return Rejection(self.retry_in(now))
            # the probes out there hang: give them up, in this generation nobody hears of them any more
            self._generation += 1
            self._probes = 0
        self._probes += 1
        self._probe_at = now
        return Permit(self._generation, probe=True)

    def record(self, permit: Permit, verdict: Verdict, *, slow: bool, now: float, draw: float) -> None:
        """Take a permit back, with what became of the call.

        Args:
            permit: What `admit` gave.
            verdict: What became of it.
            slow: It took longer than `slow_after`.
            now: The time, s.
            draw: A random number from 0 up to 1.
        """
        if permit.generation != self._generation or self._state is State.DISABLED:
            return
        if self._state is State.HALF_OPEN:
            self._record_probe(verdict, slow=slow, now=now, draw=draw)
        elif verdict is not Verdict.IGNORED:
            failed = verdict is Verdict.FAILURE
            self._window.add(now, failed=failed, slow=slow)
            if self._state is State.CLOSED and self._trips(failed=failed, slow=slow):
                self._open(now, draw)

    def _record_probe(self, verdict: Verdict, *, slow: bool, now: float, draw: float) -> None:
        self._probes -= 1
        if verdict is Verdict.IGNORED:
            return
        if verdict is Verdict.FAILURE or (slow and self._policy.slow_rate is not None):
            self._failed_rounds += 1
            self._open(now, draw)
            return
        self._good_probes += 1
        if self._good_probes >= self._policy.probes:
            self._failed_rounds = 0
            self._go(State.CLOSED, now)

    def _trips(self, *, failed: bool, slow: bool) -> bool:
        policy, window = self._policy, self._window
        if window.calls < policy.min_calls:
            return False
        if failed and window.failures >= policy.failure_rate * window.calls:
            return True
        return slow and policy.slow_rate is not None and window.slow >= policy.slow_rate * window.calls

    # --- changes of state --------------------------------------------------------------------------------------------

    def _tick(self, now: float, draw: float) -> None:
        """Make the changes that only time makes."""
        limit = self._policy.max_half_open
        while True:
            if self._state is State.OPEN and now - self._since >= self._open_for:
                self._go(State.HALF_OPEN, now)
                return
            if self._state is not State.HALF_OPEN or limit is None or now - self._since <= limit:
                return
            self._failed_rounds += 1
            self._open(self._since + limit, draw)

    def _open(self, now: float, draw: float) -> None:
        policy = self._policy
        wait = min(policy.open_for * policy.backoff**self._failed_rounds, max(policy.max_open, policy.open_for))
        self._open_for = wait * (1 + policy.jitter * (2 * draw - 1))
        self._go(State.OPEN, now)

    def _go(self, state: State, now: float) -> None:
        self._transitions.append(Transition(self._state, state))
        self._state = state
        self._since = now
        self._generation += 1
        self._probes = self._good_probes = 0
        self._window = Window(self._policy.window, self._policy.buckets)

    def force(self, state: State, now: float) -> None:
        """Put the circuit into a state by hand; it stays there until `reset` or the next `force`.

        Raises:
            ValueError: A state that only the machine itself can be in.
        """
        if state not in {State.FORCED_OPEN, State.DISABLED, State.METRICS_ONLY}:
            message = f"a circuit can be forced into forced_open, disabled or metrics_only, not into {state}"
            raise ValueError(message)
        self._go(state, now)

    def reset(self, now: float) -> None:
        """Close the circuit and forget everything."""
        self._failed_rounds = 0
        self._go(State.METRICS_ONLY if self._policy.shadow else State.CLOSED, now)
