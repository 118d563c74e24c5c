"""What a run comes to: goodput, amplification, recovery, money; and the targets held against it. Model seconds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from tests.bench.storm.scenarios import FAULT_AT, PATIENCE, TOTAL, Scenario, price

GOOD: Final = 0.95
"""Share of offered calls answered well that counts as recovered."""
BIN: Final = 3.0
"""Seconds over which goodput is judged: at 200 calls/s and a scale of 6, a hundred calls."""
WINDOW: Final = 30.0
BURST: Final = 10
_MARGIN: Final = 2.0
"""Seconds at the end that are not judged: calls offered there may not have had the time to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came out of one scenario with one contender."""

    scenario: Scenario
    contender: str
    scale: float
    late: float
    """Seconds of real time by which the load generator ran late at worst."""
    calls: Sequence[tuple[float, float, str]]
    """Due after so many model seconds, took so many real seconds, outcome."""
    leaked: int
    """Permits that were not given back."""
    upstream: Sequence[tuple[float, bool]]
    """Arrived after so many model seconds, billed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The numbers of one run."""

    scenario: str
    contender: str
    offered: int
    rate: float
    """Calls offered per real second."""
    upstream_calls: int
    amplification: float
    worst_window: float
    """Upstream calls above 1.10 x offered in the worst 30 s; T1 permits 10."""
    before: float
    during: float
    after: float
    recovery: float | None
    """Seconds from the upstream's recovery to lasting goodput; None: not within the run."""
    rejected: int
    rejected_p99_ms: float | None
    """Real time of calls refused at once because the circuit was open."""
    opened_on: int
    """Calls that waited for a place in the bulkhead when the circuit opened, and were refused then."""
    full: int
    """Calls refused because the bulkhead was full, after the wait for a place."""
    late_outage_calls: int
    """Upstream calls in the second half of the fault."""
    late_outage_offered: int
    fault_calls: int
    fault_offered: int
    longest: float
    """Model seconds that the longest call took."""
    leaked: int
    too_late: int
    """Answers that came after the app's timeout, in a later attempt."""
    wasted_usd: float
    late_ms: float
    curve: list[float]
    """Goodput per second of offered calls."""

    def as_json(self) -> dict[str, Any]:
        """Return them as plain data."""
        return asdict(self)


def measure(run: Run) -> Figures:
    """Count one run."""
    healthy = run.scenario.healthy_at
    due = [at for at, _, _ in run.calls]
    good = [at for at, took, outcome in run.calls if outcome == "ok" and took * run.scale <= PATIENCE]
    arrived = [at for at, _ in run.upstream]
    half = (FAULT_AT + healthy) / 2
    open_for = [took * 1e3 for _, took, outcome in run.calls if outcome == "open"]
    billed = sum(billed for _, billed in run.upstream)
    return Figures(
        scenario=run.scenario.name,
        contender=run.contender,
        offered=len(due),
        rate=round(len(due) / TOTAL * run.scale, 1),
        upstream_calls=len(arrived),
        amplification=round(len(arrived) / len(due), 3),
        worst_window=round(worst_excess(due, arrived), 1),
        before=_goodput(due, good, 0, FAULT_AT - 1),
        during=_goodput(due, good, FAULT_AT, healthy),
        after=_goodput(due, good, healthy, TOTAL - _MARGIN),
        recovery=recovery(due, good, healthy),
        rejected=len(open_for),
        rejected_p99_ms=round(statistics.quantiles(open_for, n=100)[98], 3) if len(open_for) > 1 else None,
        opened_on=sum(outcome == "open, queued" for _, _, outcome in run.calls),
        full=sum(outcome == "full" for _, _, outcome in run.calls),
        late_outage_calls=_count(arrived, half, healthy),
        late_outage_offered=_count(due, half, healthy),
        fault_calls=_count(arrived, FAULT_AT, healthy),
        fault_offered=_count(due, FAULT_AT, healthy),
        longest=round(max(took for _, took, _ in run.calls) * run.scale, 2),
        leaked=run.leaked,
        too_late=sum(outcome == "ok" for _, _, outcome in run.calls) - len(good),
        wasted_usd=round((billed - len(good)) * price(), 6),
        late_ms=round(run.late * 1e3, 1),
        curve=[_goodput(due, good, at, at + 1) for at in range(int(TOTAL))],
    )


def worst_excess(offered: Iterable[float], attempts: Iterable[float]) -> float:
    """Return by how much attempts went above 1.10 x offered in the worst 30 s (windows begin every second)."""
    starts = [float(at) for at in range(int(TOTAL - WINDOW) + 1)]
    offered, attempts = list(offered), list(attempts)
    return max(_count(attempts, at, at + WINDOW) - 1.1 * _count(offered, at, at + WINDOW) for at in starts)


def recovery(offered: Sequence[float], good: Sequence[float], healthy: float) -> float | None:
    """Return the seconds after which goodput reaches 95 % for good, in steps of one second."""
    last_bad = -1.0
    at = healthy
    while at + BIN <= TOTAL - _MARGIN:
        if _goodput(offered, good, at, at + BIN) < GOOD:
            last_bad = at - healthy
        at += 1.0
    return last_bad + 1 if last_bad + 1 + healthy + BIN <= TOTAL - _MARGIN else None


def _count(times: Iterable[float], after: float, until: float) -> int:
    return sum(after <= at < until for at in times)


def _goodput(offered: Iterable[float], good: Iterable[float], after: float, until: float) -> float:
    total = _count(offered, after, until)
    return round(_count(good, after, until) / total, 4) if total else 1.0


# --- targets --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One target against one run."""

    target: str
    scenario: str
    promise: str
    figure: float | None
    limit: float
    met: bool

    def __str__(self) -> str:
        """Say met or missed, and by how much."""
        if self.figure is None:
            verdict = "MISSED, not within the run"
        else:
            verdict = f"{'met' if self.met else 'MISSED'} by {abs(self.limit - self.figure):.4g}"
        shown = "never" if self.figure is None else f"{self.figure:.4g}"
        return f"{self.target} {self.scenario:10} {self.promise:37} {shown:>7} {verdict}"


def check(scenario: Scenario, ours: Figures) -> list[Check]:
    """Hold T1 to T7 against our figures, each where it applies; T8 is in the tests, for it takes cancelling."""

    def at_most(target: str, promise: str, figure: float | None, limit: float) -> Check:
        met = figure is not None and figure <= limit
        return Check(target=target, scenario=scenario.name, promise=promise, figure=figure, limit=limit, met=met)

    checks = [at_most("T1", "worst 30 s above 1.10 x offered <= 10", ours.worst_window, BURST)]
    if scenario.total_outage:
        checks.append(at_most("T2", "attempts / offered in outage <= 1", ours.fault_calls / ours.fault_offered, 1.0))
        checks.append(at_most("T2", "attempts / offered from 15 s on <= .02", _late_share(ours), 0.02))
    limit = 30.0 if scenario.name == "brown-out" else 15.0
    target = "T5" if scenario.name == "brown-out" else "T3"
    checks.append(at_most(target, f"s to 95 % goodput <= {limit:g}", ours.recovery, limit))
    if ours.rejected:
        checks.append(at_most("T4", "p99 ms of a rejected call <= 5", ours.rejected_p99_ms, 5.0))
    checks.append(at_most("T6", "longest call, s <= total + a read", ours.longest, 2 * PATIENCE))
    checks.append(at_most("T7", "permits not given back <= 0", ours.leaked, 0))
    return checks


def _late_share(ours: Figures) -> float:
    """Return upstream calls over offered in the outage's second half, which begins 15 s into it."""
    return ours.late_outage_calls / ours.late_outage_offered
