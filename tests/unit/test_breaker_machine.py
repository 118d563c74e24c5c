"""The breaker against a naive model, on random histories: every outcome kept with its time, nothing kept running.

All times are multiples of 1/8 s and all factors powers of two, so both sides compute exactly and `==` may compare them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from huddle_otel.policy.breaker import Breaker, Permit, Rejection, State, Verdict
from huddle_otel.settings import BreakerPolicy

POLICIES = st.builds(
    BreakerPolicy,
    window=st.sampled_from([4.0, 8.0]),
    buckets=st.sampled_from([1, 2, 4, 8]),
    min_calls=st.integers(1, 5),
    failure_rate=st.sampled_from([0.25, 0.5, 1.0]),
    slow_rate=st.sampled_from([None, None, 0.5]),
    open_for=st.sampled_from([1.0, 2.0]),
    backoff=st.sampled_from([1.0, 2.0]),
    max_open=st.sampled_from([0.5, 4.0]),
    jitter=st.sampled_from([0.0, 0.25]),
    probes=st.integers(1, 3),
    concurrent_probes=st.integers(1, 3),
    max_half_open=st.sampled_from([None, None, 3.0]),
    shadow=st.sampled_from([False, False, False, True]),
)
STEPS = st.sampled_from([0.0, 0.125, 0.5, 1.0, 2.5, 9.0])
DRAWS = st.sampled_from([0.0, 0.5, 0.75])
VERDICTS = st.sampled_from([Verdict.OK, Verdict.FAILURE, Verdict.FAILURE, Verdict.IGNORED])
ALIKE = st.sampled_from([Verdict.OK, Verdict.FAILURE, Verdict.FAILURE])
BY_HAND = st.sampled_from([None, None, None, State.FORCED_OPEN, State.DISABLED, State.METRICS_ONLY])
"""None is a reset."""


@dataclass(eq=False)
class Leave:
    """A permit as the model knows it: the era it belongs to, not a number."""

    era: Era
    probe: bool


@dataclass(eq=False)
class Era:
    """What counts since the last change of state, or since hanging probes were given up."""

    outcomes: list[tuple[float, bool, bool]] = field(default_factory=list)
    probes_out: list[Leave] = field(default_factory=list)


class Naive:
    """What the documentation of the breaker says, in the simplest words."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.home = State.METRICS_ONLY if policy.shadow else State.CLOSED
        self.state, self.era = self.home, Era()
        self.since = self.last_probe = 0.0
        self.open_until = 0.0
        self.pause = policy.open_for
        self.good = self.bad_rounds = self.eras = self.trips = 0

    def enter(self, state: State, now: float) -> None:
        self.state, self.since, self.good, self.era = state, now, 0, Era()
        self.eras += 1

    def trip(self, now: float, draw: float) -> None:
        longest = max(self.policy.open_for, self.policy.max_open)
        pause = min(longest, self.policy.open_for * self.policy.backoff**self.bad_rounds)
        self.pause = pause + pause * self.policy.jitter * (draw + draw - 1)
        self.open_until = now + self.pause
        self.trips += 1
        self.enter(State.OPEN, now)

    def counted(self, now: float) -> tuple[int, int, int]:
        part = self.policy.window / self.policy.buckets
        oldest = now // part - self.policy.buckets + 1
        inside = [each for each in self.era.outcomes if each[0] // part >= oldest]
        return len(inside), sum(failed for _, failed, _ in inside), sum(slow for _, _, slow in inside)

    def seen(self, now: float) -> State:
        return State.HALF_OPEN if self.state is State.OPEN and now >= self.open_until else self.state

    def admit(self, now: float, draw: float) -> Leave | None:
        half_open_limit = self.policy.max_half_open
        if self.state is State.HALF_OPEN and half_open_limit is not None and now > self.since + half_open_limit:
            self.bad_rounds += 1
            self.trip(self.since + half_open_limit, draw)
        if self.seen(now) is State.HALF_OPEN and self.state is State.OPEN:
            self.enter(State.HALF_OPEN, now)
            self.last_probe = now
        if self.state in {State.OPEN, State.FORCED_OPEN}:
            return None
        if self.state is not State.HALF_OPEN:
            return Leave(self.era, probe=False)
        out = len(self.era.probes_out)
        if out >= self.policy.concurrent_probes or out + self.good >= self.policy.probes:
            if now < self.last_probe + self.pause:
                return None
            self.era = Era()  # those out there hang; good ones of before still count
            self.eras += 1
        leave = Leave(self.era, probe=True)
        self.era.probes_out.append(leave)
        self.last_probe = now
        return leave

    def record(self, leave: Leave, verdict: Verdict, *, slow: bool, now: float, draw: float) -> None:
        if leave.era is not self.era or self.state is State.DISABLED:
            return
        failed = verdict is Verdict.FAILURE
        counts_slow = slow and self.policy.slow_rate is not None
        if self.state is State.HALF_OPEN:
            self.era.probes_out.remove(leave)
            if verdict is Verdict.IGNORED:
                return
            if failed or counts_slow:
                self.bad_rounds += 1
                self.trip(now, draw)
                return
            self.good += 1
            if self.good == self.policy.probes:
                self.bad_rounds = 0
                self.enter(State.CLOSED, now)
            return
        if verdict is Verdict.IGNORED:
            return
        self.era.outcomes.append((now, failed, slow))
        calls, failures, slow_calls = self.counted(now)
        if self.state is not State.CLOSED or calls < self.policy.min_calls:
            return
        too_slow = counts_slow and slow_calls / calls >= (self.policy.slow_rate or 0)
        if (failed and failures / calls >= self.policy.failure_rate) or too_slow:
            self.trip(now, draw)


class BreakerMachine(RuleBasedStateMachine):
    @initialize(policy=POLICIES)
    def start(self, policy: BreakerPolicy) -> None:
        self.policy = policy
        self.now = 0.0
        self.breaker, self.naive = Breaker(policy), Naive(policy)
        self.held: list[tuple[Permit, Leave]] = []
        self.opened = 0
        self.last = self.breaker.state(0)
        self.generation = 0

    @rule(step=STEPS)
    def wait(self, step: float) -> None:
        self.now += step

    @rule(draw=DRAWS)
    def admit(self, draw: float) -> None:
        admitted, leave = self.breaker.admit(self.now, draw), self.naive.admit(self.now, draw)
        assert isinstance(admitted, Rejection) is (leave is None)
        if isinstance(admitted, Rejection):
            assert admitted.retry_in > 0  # else the caller would come back at once, for nothing
        elif leave is not None:
            assert admitted.probe is leave.probe
            self.held.append((admitted, leave))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), verdict=VERDICTS, slow=st.booleans(), draw=DRAWS)
    def record(self, data: st.DataObject, verdict: Verdict, slow: bool, draw: float) -> None:
        permit, leave = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.breaker.record(permit, verdict, slow=slow, now=self.now, draw=draw)
        self.naive.record(leave, verdict, slow=slow, now=self.now, draw=draw)

    @precondition(lambda self: self.policy.min_calls < 4)
    @rule(verdict=ALIKE, slow=st.booleans(), draw=DRAWS)
    def row(self, verdict: Verdict, slow: bool, draw: float) -> None:
        """A row of calls that end alike: single steps alone trip it too seldom."""
        for _ in range(self.policy.min_calls):
            self.admit(draw)
            if self.held:
                permit, leave = self.held.pop()
                self.breaker.record(permit, verdict, slow=slow, now=self.now, draw=draw)
                self.naive.record(leave, verdict, slow=slow, now=self.now, draw=draw)

    @precondition(lambda self: self.naive.state in {State.OPEN, State.HALF_OPEN})
    @rule(times=st.integers(1, 4), draw=DRAWS)
    def come_back(self, times: int, draw: float) -> None:
        """Ask again when told to, while no probe ends: single steps alone reach that too seldom."""
        for _ in range(times):
            self.now += self.breaker.retry_in(self.now)
            self.same_state_and_window()
            self.admit(draw)

    @rule(state=BY_HAND)
    def override(self, state: State | None) -> None:
        if state is not None:
            self.breaker.force(state, self.now)
            self.naive.enter(state, self.now)
            return
        self.breaker.reset(self.now)
        self.naive.bad_rounds, self.naive.pause = 0, self.policy.open_for
        self.naive.enter(self.naive.home, self.now)

    @invariant()
    def same_state_and_window(self) -> None:
        assert self.breaker.state(self.now) is self.naive.seen(self.now)
        assert self.breaker.window(self.now) == self.naive.counted(self.now)

    @invariant()
    def never_too_many_live_probes(self) -> None:
        live = [permit for permit, leave in self.held if permit.probe and leave.era is self.naive.era]
        assert len(live) == len(self.naive.era.probes_out) <= self.policy.concurrent_probes

    @invariant()
    def permits_are_conserved(self) -> None:
        """A permit is in force exactly when it is of the current generation, whoever still holds it."""
        for permit, leave in self.held:
            assert (permit.generation == self.naive.eras) is (leave.era is self.naive.era)

    @invariant()
    def changes_are_a_chain_and_opened_comes_once_per_trip(self) -> None:
        for change in self.breaker.take_transitions():
            assert change.before is self.last
            self.last = change.after
            self.opened += change.after is State.OPEN
        assert self.opened == self.naive.trips
        assert self.breaker.take_transitions() == ()

    @invariant()
    def retry_in_is_told_only_when_it_rejects(self) -> None:
        wait = self.breaker.retry_in(self.now)
        assert wait >= 0
        if self.breaker.state(self.now) not in {State.OPEN, State.FORCED_OPEN, State.HALF_OPEN}:
            assert wait == 0
        if self.breaker.state(self.now) is State.OPEN:
            assert wait == self.naive.open_until - self.now


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
