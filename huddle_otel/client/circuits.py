"""All circuits of the process: one dict, one lock, and on each circuit the policies that guard it.

The lock is held for an admission or a record, never during a call, and events go out after it is released.
"""

from __future__ import annotations

import os
import random
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

from huddle_otel.events import CircuitChanged, Failure, Fault
from huddle_otel.policy.breaker import Breaker, Permit, Rejection, State, Transition, Verdict
from huddle_otel.policy.budget import RetryBudget
from huddle_otel.policy.bulkhead import Bulkhead
from huddle_otel.policy.call import Admitted, Hold, Queued, Refused, Reply
from huddle_otel.policy.gate import Gate
from huddle_otel.settings import Settings
from huddle_otel.text import sound

MAX_CIRCUITS: Final = 1_000
"""Circuits kept. Model names are typed by users; beyond this the longest unused idle one is forgotten."""
_OVERLOAD: Final = frozenset({429, 503, 529})

Key = tuple[str, str, str]
"""Host, model, operation."""
Ticket = Future[bool]
"""A place in a waiting line; resolves to True with the place."""


@dataclass(slots=True)
class Circuit:
    """One circuit and its figures. `admitted == ok + failure + ignored + in_flight`, always."""

    name: str
    breaker: Breaker | None
    budget: RetryBudget | None
    gate: Gate | None
    bulkhead: Bulkhead[Ticket] | None
    admitted: int = 0
    ok: int = 0
    failure: int = 0
    ignored: int = 0
    last_cause: str | None = None
    limited_by: Exception | None = None
    """The 429 that closed the gate, for those who cannot wait."""

    @property
    def in_flight(self) -> int:
        """Attempts admitted and not yet recorded."""
        return self.admitted - self.ok - self.failure - self.ignored


@dataclass(slots=True)
class Pass:
    """Leave for one attempt; given back once."""

    circuit: Circuit
    permit: Permit | None
    caller: Any = None
    """Who asked, as `listen` is told."""
    ticket: Ticket | None = None
    held: bool = field(default=True)


class Circuits:
    """Admits attempts and learns from them."""

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], float],
        listen: Callable[[CircuitChanged, Any], None],
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Start with no circuits.

        Args:
            settings: Which policies guard a circuit.
            clock: The time, s.
            listen: Told of every change of state, and of the caller that brought it about, with the lock released.
            draw: Random numbers from 0 up to 1, for jitter.
        """
        self._settings = settings
        self._clock = clock
        self._draw = draw
        self._listen = listen
        self._lock = threading.Lock()
        self._circuits: OrderedDict[Key, Circuit] = OrderedDict()
        _alive.add(self)

    def renew(self) -> None:
        """Start afresh in a child process: what is under way, and who holds the lock, is the parent's affair."""
        self._lock = threading.Lock()
        self._circuits = OrderedDict()

    def _of(self, key: Key) -> Circuit:
        circuit = self._circuits.get(key)
        if circuit is not None:
            return circuit
        settings = self._settings
        budget = settings.retry.budget if settings.retry is not None else None
        circuit = self._circuits[key] = Circuit(
            name=sound("/".join(key)),
            breaker=Breaker(settings.breaker) if settings.breaker is not None else None,
            budget=RetryBudget(budget) if budget is not None else None,
            gate=Gate() if settings.rate_limit is not None else None,
            bulkhead=Bulkhead(settings.bulkhead) if settings.bulkhead is not None else None,
        )
        if len(self._circuits) > MAX_CIRCUITS:
            self._forget_one()
        return circuit

    def _forget_one(self) -> None:
        for key, circuit in self._circuits.items():
            if not circuit.in_flight and not (circuit.bulkhead is not None and circuit.bulkhead.waiting):
                del self._circuits[key]
                return

    # --- attempts ----------------------------------------------------------------------------------------------------

    def admit(self, key: Key, *, past_gate: bool, caller: Any = None) -> tuple[Reply, Pass | None]:
        """Ask for leave. With `Queued` the pass holds a ticket; `place` turns it into leave."""
        now, draw = self._clock(), self._draw()
        with self._lock:
            circuit = self._of(key)
            reply, leave = self._admit(circuit, now, draw, past_gate=past_gate)
            if leave is not None:
                leave.caller = caller
            changes = _changes(circuit)
        self._tell(circuit, changes, caller)
        return reply, leave

    def _admit(self, circuit: Circuit, now: float, draw: float, *, past_gate: bool) -> tuple[Reply, Pass | None]:
        breaker, gate, bulkhead = circuit.breaker, circuit.gate, circuit.bulkhead
        if breaker is not None and breaker.state(now) in {State.OPEN, State.FORCED_OPEN}:
            return _open(circuit, breaker, now), None
        if gate is not None and not past_gate:
            wait = gate.wait(now)
            if wait > 0:
                return Hold(now, wait), None
        if bulkhead is not None and not bulkhead.enter():
            ticket: Ticket = Future()
            bulkhead.waiting.append(ticket)
            policy = self._settings.bulkhead
            return Queued(now, policy.max_wait if policy is not None else 0.0), Pass(circuit, None, ticket=ticket)
        return self._enter(circuit, now, draw)

    def _enter(self, circuit: Circuit, now: float, draw: float) -> tuple[Reply, Pass | None]:
        """Pass the breaker, with a place in the bulkhead in hand."""
        permit: Permit | None = None
        if circuit.breaker is not None:
            admitted = circuit.breaker.admit(now, draw)
            if isinstance(admitted, Rejection):
                self._leave(circuit)
                return _open(circuit, circuit.breaker, now), None
            permit = admitted
        circuit.admitted += 1
        if circuit.breaker is None or permit is None:
            return Admitted(now, probe=False), Pass(circuit, permit)
        return Admitted(now, permit.probe, str(circuit.breaker.state(now))), Pass(circuit, permit)

    def place(self, waiting: Pass) -> tuple[Reply, Pass | None]:
        """Turn a ticket into leave after the wait for it, or give it up."""
        now, draw = self._clock(), self._draw()
        circuit, ticket = waiting.circuit, waiting.ticket
        with self._lock:
            if ticket is None or not waiting.held:
                return None, None
            waiting.held = False
            if ticket.done() or circuit.bulkhead is None:
                reply, leave = self._enter(circuit, now, draw)
            else:
                circuit.bulkhead.waiting.remove(ticket)
                message = f"{int(circuit.bulkhead.limit)} calls under way"
                refusal = Failure(fault=Fault.REJECTED, error_type="bulkhead_full", message=message)
                reply, leave = Refused(refusal), None
            if leave is not None:
                leave.caller = waiting.caller
            changes = _changes(circuit)
        self._tell(circuit, changes, waiting.caller)
        return reply, leave

    def give_up(self, waiting: Pass) -> None:
        """Leave the waiting line, or hand the place on that came meanwhile."""
        circuit, ticket = waiting.circuit, waiting.ticket
        with self._lock:
            if ticket is None or not waiting.held:
                return
            waiting.held = False
            if ticket.done():
                self._leave(circuit)
            elif circuit.bulkhead is not None:
                circuit.bulkhead.waiting.remove(ticket)

    def record(
        self, leave: Pass, verdict: Verdict, failure: Failure | None, *, slow: bool, error: Exception | None = None
    ) -> None:
        """Take leave back, with what became of the attempt; a second time does nothing."""
        now, draw = self._clock(), self._draw()
        circuit = leave.circuit
        with self._lock:
            if not leave.held:
                return
            leave.held = False
            self._count(circuit, verdict, failure)
            if leave.permit is not None and circuit.breaker is not None:
                circuit.breaker.record(leave.permit, verdict, slow=slow, now=now, draw=draw)
            if failure is not None and failure.status == 429 and failure.hint and circuit.gate is not None:  # noqa: PLR2004
                circuit.gate.close(now + failure.hint)
                circuit.limited_by = error
            if circuit.bulkhead is not None:
                timed_out = failure is not None and failure.fault in {Fault.TIMEOUT, Fault.DEADLINE}
                overloaded = failure is not None and (failure.status in _OVERLOAD or timed_out)
                if overloaded or verdict is Verdict.OK:
                    circuit.bulkhead.learn(overloaded=overloaded)
            self._leave(circuit)
            changes = _changes(circuit)
        self._tell(circuit, changes, leave.caller)

    def _count(self, circuit: Circuit, verdict: Verdict, failure: Failure | None) -> None:
        if verdict is Verdict.OK:
            circuit.ok += 1
            if circuit.budget is not None:
                circuit.budget.deposit()
        elif verdict is Verdict.FAILURE:
            circuit.failure += 1
            circuit.last_cause = failure.error_type if failure is not None else circuit.last_cause
        else:
            circuit.ignored += 1

    def _leave(self, circuit: Circuit) -> None:
        bulkhead = circuit.bulkhead
        if bulkhead is None:
            return
        bulkhead.leave()
        while (ticket := bulkhead.next()) is not None:
            # resolving a ticket runs its waker, which only sets a flag or schedules a callback
            ticket.set_result(True)

    def pause(self, leave: Pass, seconds: float) -> None:
        """Close the gate of a circuit whose limit is used up."""
        with self._lock:
            if leave.circuit.gate is not None:
                leave.circuit.gate.close(self._clock() + seconds)

    def withdraw(self, leave: Pass, *, ambiguous: bool) -> bool:
        """Pay for a retry."""
        budget = leave.circuit.budget
        if budget is None:
            return True
        with self._lock:
            return budget.withdraw(ambiguous=ambiguous)

    # --- by hand, and to look at -------------------------------------------------------------------------------------

    def force(self, name: str, state: State | None) -> None:
        """Force a circuit into a state, or with None reset it.

        Raises:
            KeyError: There is no circuit of that name.
        """
        with self._lock:
            circuit = next((each for each in self._circuits.values() if each.name == name), None)
            if circuit is None or circuit.breaker is None:
                raise KeyError(name)
            if state is None:
                circuit.breaker.reset(self._clock())
            else:
                circuit.breaker.force(state, self._clock())
            changes = _changes(circuit)
        self._tell(circuit, changes, None)

    def of(self, key: Key) -> Circuit:
        """Return a circuit, to read."""
        with self._lock:
            return self._of(key)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return every circuit's figures."""
        now = self._clock()
        with self._lock:
            return [_figures(circuit, now) for circuit in self._circuits.values()]

    def _tell(self, circuit: Circuit, changes: tuple[Transition, ...], caller: Any) -> None:
        for change in changes:
            event = CircuitChanged(circuit=circuit.name, before=str(change.before), after=str(change.after))
            self._listen(event, caller)


_alive: Final[weakref.WeakSet[Circuits]] = weakref.WeakSet()


def _renew_all() -> None:
    for each in _alive:
        each.renew()


os.register_at_fork(after_in_child=_renew_all)


def _changes(circuit: Circuit) -> tuple[Transition, ...]:
    return circuit.breaker.take_transitions() if circuit.breaker is not None else ()


def _open(circuit: Circuit, breaker: Breaker, now: float) -> Refused:
    message = f"circuit open, last failure: {circuit.last_cause}" if circuit.last_cause else "circuit open"
    failure = Failure(fault=Fault.REJECTED, error_type="breaker_open", message=message, hint=breaker.retry_in(now))
    return Refused(failure, str(breaker.state(now)))


def _figures(circuit: Circuit, now: float) -> dict[str, Any]:
    breaker = circuit.breaker
    calls, failures, slow = breaker.window(now) if breaker is not None else (0, 0, 0)
    return {
        "circuit": circuit.name,
        "state": str(breaker.state(now)) if breaker is not None else str(State.DISABLED),
        "retry_in": breaker.retry_in(now) if breaker is not None else 0.0,
        "calls": calls,
        "failures": failures,
        "slow": slow,
        "last_cause": circuit.last_cause,
        "in_flight": circuit.in_flight,
        "waiting": len(circuit.bulkhead.waiting) if circuit.bulkhead is not None else 0,
        "limit": int(circuit.bulkhead.limit) if circuit.bulkhead is not None else None,
        "retry_budget": circuit.budget.tokens if circuit.budget is not None else None,
        "paused_for": max(circuit.gate.until - now, 0.0) if circuit.gate is not None else 0.0,
        "admitted": circuit.admitted,
        "ok": circuit.ok,
        "failure": circuit.failure,
        "ignored": circuit.ignored,
    }
