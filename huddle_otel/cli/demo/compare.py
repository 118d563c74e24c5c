"""The closing comparison: the same calls, the same script, with and without huddle_otel, as the app felt them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from huddle_otel.cli.demo import figures, scenario, traffic
from huddle_otel.cli.demo.run import Run
from huddle_otel.errors import CircuitOpenError


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table, as text."""

    label: str
    bare: str
    ours: str
    section: bool = False
    """A rule stands above it."""
    bold: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What became of the calls that began while one upstream was down."""

    calls: int
    """For the model that was down."""
    answered: int
    upstream: int
    """Requests that reached the upstream that was down."""
    lost: float
    """Seconds that these calls took beyond a healthy one's; all of them, for a call that failed."""
    rejection: float | None
    """What a rejected call takes the app, the openai client's own share included, s: the median."""
    recovery: float
    """Seconds from the upstream's return to the end of the last call that failed."""
    others: float
    """Share of the other models' calls that were answered, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a run was worth to the app."""

    calls: int
    answered: int
    cut_short: int
    errors: Counter[str]
    """Exceptions the app had to handle, by class."""
    upstream: int
    """Requests that reached the gateway."""
    lost: float
    """Seconds spent in calls that brought no whole answer."""
    late: float
    """Seconds that answered calls took beyond a healthy one's."""
    elsewhere: float
    """Goodput without the calls to the model that was down, while it was."""
    outage: Outage | None
    """None: the scenario has none."""

    @property
    def goodput(self) -> float:
        """Share of the calls that got a whole answer, 0 to 1."""
        return self.answered / self.calls if self.calls else 0.0


def score(run: Run) -> Score:
    """Add up the results of a run."""
    usual = {model.id: _usual(run, model.id) for model in scenario.MODELS}
    answered = [result for result in run.results if result.ended == traffic.ANSWERED]
    ends = Counter(result.ended for result in run.results)
    return Score(
        calls=len(run.results),
        answered=len(answered),
        cut_short=ends.pop(traffic.CUT_SHORT, 0),
        errors=Counter({name: count for name, count in ends.items() if name != traffic.ANSWERED}),
        upstream=run.upstream,
        lost=sum(result.seconds for result in run.results if result.ended != traffic.ANSWERED),
        late=sum(max(result.seconds - usual[result.ask.model], 0) for result in answered),
        elsewhere=_share(result for result in run.results if not _hit(result, scenario.down(run.seconds))),
        outage=_outage(run, usual[scenario.DOWN]),
    )


def _outage(run: Run, usual: float) -> Outage | None:
    times = scenario.down(run.seconds)
    if times is None:
        return None
    start, back = times
    meanwhile = [result for result in run.results if start <= result.ask.at < back]
    hit = [result for result in meanwhile if _hit(result, times)]
    rejected = sorted(result.seconds for result in run.results if result.ended == CircuitOpenError.__name__)
    failed = [
        result.ask.at + result.seconds
        for result in run.results
        if result.ask.model == scenario.DOWN
        and result.ended != traffic.ANSWERED
        and scenario.phase_at(result.ask.at, run.seconds) is scenario.phase_at(start, run.seconds)
    ]
    return Outage(
        calls=len(hit),
        answered=sum(result.ended == traffic.ANSWERED for result in hit),
        upstream=run.outage,
        lost=sum(max(result.seconds - usual * (result.ended == traffic.ANSWERED), 0) for result in hit),
        rejection=figures.percentile(rejected, 0.5),
        recovery=max(max(failed, default=back) - back, 0),
        others=_share(result for result in meanwhile if not _hit(result, times)),
    )


def _hit(result: traffic.Result, times: tuple[float, float] | None) -> bool:
    """Whether a call went to the model that was down, between these two times."""
    return times is not None and result.ask.model == scenario.DOWN and times[0] <= result.ask.at < times[1]


def _share(results: Iterable[traffic.Result]) -> float:
    """Return the share of calls that were answered; 1 of none."""
    answered = [result.ended == traffic.ANSWERED for result in results]
    return sum(answered) / len(answered) if answered else 1.0


def rows(bare: Score, ours: Score) -> list[Row]:
    """Lay two scores side by side."""

    def row(label: str, show: str, name: str, *, section: bool = False, bold: bool = False) -> Row:
        bare_text, our_text = (show.format(getattr(each, name)) for each in (bare, ours))
        return Row(label=label, bare=bare_text, ours=our_text, section=section, bold=bold)

    errors = sorted({*bare.errors, *ours.errors}, key=lambda name: -bare.errors[name] - ours.errors[name])
    return [
        row("calls made by the app", "{}", "calls"),
        row("got a whole answer (goodput)", "{:.1%}", "goodput", bold=True),
        *([row("not counting calls to what was down", "{:.1%}", "elsewhere")] if ours.outage is not None else ()),
        row("cut short, and no error raised", "{}", "cut_short"),
        *(Row(label=f"raised {name}", bare=str(bare.errors[name]), ours=str(ours.errors[name])) for name in errors),
        Row(label="requests sent per call", bare=_ratio(bare), ours=_ratio(ours), section=True),
        row("seconds spent in calls that failed", "{:.1f}", "lost"),
        row("extra seconds in calls that were answered", "{:.1f}", "late"),
        *(_outage_rows(bare.outage, ours.outage) if bare.outage is not None and ours.outage is not None else ()),
    ]


def _outage_rows(bare: Outage, ours: Outage) -> list[Row]:
    def row(label: str, show: Callable[[Outage], str], *, section: bool = False, bold: bool = False) -> Row:
        return Row(label=label, bare=show(bare), ours=show(ours), section=section, bold=bold)

    return [
        row(f"calls to {scenario.DOWN} while it was down", lambda each: str(each.calls), section=True),
        row("of them answered in the end", lambda each: str(each.answered)),
        row("requests sent to it while it was down", lambda each: str(each.upstream), bold=True),
        row("seconds its callers lost", lambda each: f"{each.lost:.1f}", bold=True),
        row("microseconds of the app per rejected call", lambda each: _micro(each.rejection)),
        row("seconds until no call failed any more", lambda each: f"{each.recovery:.1f}"),
        row("other models' calls answered meanwhile", lambda each: f"{each.others:.1%}"),
    ]


def _micro(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e6:.0f}"


def _ratio(each: Score) -> str:
    return f"{each.upstream / each.calls:.2f}" if each.calls else "-"


def _usual(run: Run, model: str) -> float:
    """How long an answered call of the model takes while the gateway is healthy, s."""
    healthy = scenario.PHASES[0].share * run.seconds
    return figures.median(
        result.seconds
        for result in run.results
        if result.ask.model == model and result.ask.at < healthy and result.ended == traffic.ANSWERED
    )
