"""The closing comparison: the same calls, the same script, with and without huddle_otel, as the app felt them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from huddle_otel.cli.demo import figures, scenario, traffic
from huddle_otel.cli.demo.run import Run


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
    )


def rows(bare: Score, ours: Score) -> list[Row]:
    """Lay two scores side by side."""

    def row(label: str, show: str, name: str, *, section: bool = False, bold: bool = False) -> Row:
        bare_text, our_text = (show.format(getattr(each, name)) for each in (bare, ours))
        return Row(label=label, bare=bare_text, ours=our_text, section=section, bold=bold)

    errors = sorted({*bare.errors, *ours.errors}, key=lambda name: -bare.errors[name] - ours.errors[name])
    return [
        row("calls made by the app", "{}", "calls"),
        row("got a whole answer (goodput)", "{:.1%}", "goodput", bold=True),
        row("cut short, and no error raised", "{}", "cut_short"),
        *(Row(label=f"raised {name}", bare=str(bare.errors[name]), ours=str(ours.errors[name])) for name in errors),
        Row(label="requests sent per call", bare=_ratio(bare), ours=_ratio(ours), section=True),
        row("seconds spent in calls that failed", "{:.1f}", "lost"),
        row("extra seconds in calls that were answered", "{:.1f}", "late"),
    ]


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
