"""Which call gets which fault: rules, their counters, and the record of calls."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import deque
from dataclasses import KW_ONLY, dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from huddle_otel.gateway.loose import as_object

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from huddle_otel.gateway.kinds import Fault


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault and the calls that get it; of all rules that pick a call, the first wins.

    A rule numbers the calls that match its model, path and time window from 0, whether or not another rule wins them:
    `[Rule(a, calls={0}), Rule(b, calls={1})]` is a sequence.

    Raises:
        ValueError: `rate` is not in 0..1, or `after` is not before `until`.
    """

    fault: Fault
    _: KW_ONLY
    model: str = "*"
    """Pattern for the requested model (`*`, `?`, `[...]`)."""
    path: str = "*"
    """Pattern for the whole path, such as `/v1/embeddings` or `*completions`."""
    calls: Container[int] | None = None
    """Numbers of the matching calls that get the fault; None: all."""
    after: float = 0.0
    """Start of the window, seconds since the server's start or the last `script()`."""
    until: float = math.inf
    """End of the window (s), exclusive."""
    rate: float = 1.0
    """Share of the picked calls that get the fault, drawn from the server's seed."""

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"rate must be in 0..1, got {self.rate}")
        if not 0 <= self.after < self.until:
            raise ValueError(f"after must be at least 0 and before until, got after={self.after}, until={self.until}")

    def covers(self, model: str, path: str, now: float) -> bool:
        """Whether a call for `model` on `path`, `now` seconds into the script, is one of those the rule numbers."""
        return (
            self.after <= now < self.until
            and (self.model == "*" or fnmatchcase(model, self.model))
            and (self.path == "*" or fnmatchcase(path, self.path))
        )


@dataclass(slots=True)
class Call:
    """What arrived and what became of it. Neither `finished` nor `disconnected`: in service, or ended by `stop()`."""

    number: int
    """Order of arrival from 0."""
    at: float
    """Seconds since the server started."""
    method: str
    path: str
    headers: dict[str, str] = field(repr=False)
    """All headers, names in lower case. Not in the repr: it holds the caller's key."""
    body: Any
    """The parsed JSON body, or the fields of a form, files as bytes; None if there was neither."""
    model: str
    """The requested model, or an empty string."""
    fault: str | None = None
    """Name of the fault, or None for a good answer."""
    status: int | None = None
    """Status sent so far; None: no status line was sent."""
    disconnected: bool = False
    """The client went away before the answer was complete."""
    served: bool = False
    """It got a place among the `capacity`: from there on an upstream works on it, and bills."""
    finished: bool = False
    """The answer, or the fault in its place, was played to its end."""


class _Counted:
    """A rule with its counter and its own random numbers, so that rules do not disturb each other's draws."""

    __slots__ = ("_next", "_random", "_rule")

    def __init__(self, rule: Rule, seed: str) -> None:
        self._rule = rule
        self._next = 0
        self._random = random.Random(seed)  # noqa: S311 -- reproducible faults, not secrets

    def pick(self, model: str, path: str, now: float) -> Fault | None:
        rule = self._rule
        if not rule.covers(model, path, now):
            return None
        number = self._next
        self._next += 1
        # Drawn for every numbered call, so that changing `calls` does not move the draws of the others.
        hit = rule.rate >= 1 or self._random.random() < rule.rate
        return rule.fault if hit and (rule.calls is None or number in rule.calls) else None


class Book:
    """The script and the record of one server. Thread-safe; `changed` is notified when a call arrives or ends."""

    def __init__(
        self, rules: Iterable[Rule], *, seed: int, remember: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.changed = threading.Condition()  # its lock is re-entrant: a waiting predicate may read `calls`
        self.in_flight = 0
        self._clock = clock
        self._seed = seed
        self._started = clock()
        self._number = 0
        self._calls: deque[Call] = deque(maxlen=remember)
        self.script(rules)

    def script(self, rules: Iterable[Rule]) -> None:
        """Replace the rules; their counters, draws and time windows start anew."""
        with self.changed:
            self._rules = tuple(rules)
            self._scripted = self._clock()
            self._recount()

    def reset(self) -> None:
        """Forget recorded calls, start counters and draws anew, keep rules and their time windows."""
        with self.changed:
            self._calls.clear()
            self._number = 0
            self._recount()

    def calls(self) -> list[Call]:
        """The remembered calls in order of arrival."""
        with self.changed:
            return list(self._calls)

    def open(self, method: str, path: str, headers: dict[str, str], body: object) -> tuple[Call, Fault | None]:
        """Record an arrival and find its fault."""
        wanted = as_object(body).get("model")
        model = wanted if isinstance(wanted, str) else ""
        with self.changed:
            now = self._clock()
            call = Call(self._number, now - self._started, method, path, headers, body, model)
            fault = self._fault(model, path, now - self._scripted)
            call.fault = fault.name if fault else None
            self._number += 1
            self._calls.append(call)
            self.in_flight += 1
            self.changed.notify_all()
        return call, fault

    def close(self, call: Call, *, finished: bool, disconnected: bool) -> None:
        """Record the end of a call."""
        with self.changed:
            call.finished, call.disconnected = finished, disconnected
            self.in_flight -= 1
            self.changed.notify_all()

    def _fault(self, model: str, path: str, now: float) -> Fault | None:
        winner: Fault | None = None
        for counted in self._counted:  # to the end: later rules number this call too
            fault = counted.pick(model, path, now)
            winner = winner or fault
        return winner

    def _recount(self) -> None:
        self._counted = [_Counted(rule, f"{self._seed}:{index}") for index, rule in enumerate(self._rules)]
