"""`huddle-otel demo`: an ordinary app in a bad minute, with and without huddle_otel, measured in one run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import openai
from rich.live import Live

import huddle_otel
from huddle_otel.cli.demo import compare, figures, run, scenario, screens
from huddle_otel.cli.demo.figures import Changes, Telemetry
from huddle_otel.cli.demo.real import live
from huddle_otel.cli.output import plain
from huddle_otel.telemetry import contract

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from rich.console import Console

    from huddle_otel.cli.demo.traffic import Result

__all__ = ["Report", "live", "perform", "show"]

_OPENING: Final = """\
An ordinary app, {calls} chat calls, half of them streamed, four models, one client:

    quick = BreakerPolicy(open_for={open_for:g}, max_open={max_open:g})  # default: 5 and 10 s
    huddle_otel.instrument(base_url=gateway.url, breaker=quick)
    client = openai.OpenAI()  # no arguments

The gateway is a small server inside this process, on {host}. It answers like
a LiteLLM proxy and misbehaves on schedule. No key, no network.
"""
_CLOSING: Final = """\
Both columns: the same {calls} calls at the same moments, the same scripted gateway,
openai {version} on its defaults. This gateway makes no retries of its own; a real
one may (LiteLLM: 2), below the client's; huddle_otel asks it not to. After a
failure that may be billed, such as a broken connection, it retries only once.
An outage as short as this one ends before the openai client's retries do, for
some calls. An open circuit refuses them at once, leaves the upstream alone, and
hears of its return from the next probe, a little late.

In your app, instrument() uses the OpenTelemetry providers the app has set, or
those that `opentelemetry-instrument` sets, here to send to a collector:

    pip install opentelemetry-distro 'huddle-otel[otlp]'
    export OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318
    export OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
    opentelemetry-instrument python app.py

Check your set-up with: huddle-otel doctor
With Prometheus and alerts: huddle-otel demo --stack; Grafana: stack/README.md
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything the demo measured."""

    models: list[figures.Figures]
    """With huddle_otel, by model; the last one is all of them."""
    phases: list[figures.Figures]
    spans: list[ReadableSpan]
    changes: list[figures.Change]
    """Of the circuits' states."""
    began: float
    """Start of the run with huddle_otel, s since the epoch."""
    counted: float
    """Calls by the counter `huddle.client.calls`, which the spans must agree with."""
    ours: compare.Score
    bare: compare.Score


def show(console: Console, *, seconds: float, seed: int) -> int:
    """Run the demo and print everything. Returns the exit code."""
    perform(console, seconds=seconds, seed=seed)
    return 0


def perform(console: Console, *, seconds: float, seed: int) -> Report:
    """Run the demo, print everything, and return what was measured.

    Args:
        console: Live on a terminal; plain lines elsewhere.
        seconds: Length of both runs together.
        seed: Of the traffic.
    """
    half = seconds / 2
    calls, breaker = len(scenario.plan(half, seed=seed)), scenario.breaker(half)
    console.print(
        plain(
            _OPENING.format(calls=calls, open_for=breaker.open_for, max_open=breaker.max_open, host="127.0.0.1"),
        )
    )
    telemetry = Telemetry()
    changes = Changes(telemetry)
    try:
        first = _watch_instrumented(console, half, seed, telemetry, changes)
        spans, counted = telemetry.spans, telemetry.total(contract.CALLS)
    finally:
        telemetry.close()
    models = figures.by_model(spans, (model.id for model in scenario.MODELS))
    phases = [figures.of(phase.name, run.spans_of(phase, spans, first)) for phase in scenario.PHASES]
    _tell(console, models, phases, screens.example(spans))
    if console.is_terminal:  # elsewhere they are told as they come
        _tell_changes(console, changes.seen, screens.rejected(spans))
    second = _watch_bare(console, half, seed)
    ours, bare = compare.score(first), compare.score(second)
    console.print()
    console.print(screens.comparison("The same calls", compare.rows(bare, ours)))
    console.print()
    console.print(plain(_CLOSING.format(calls=ours.calls, version=openai.__version__)), end="")
    return Report(
        models=models,
        phases=phases,
        spans=spans,
        changes=changes.seen,
        began=first.began,
        counted=counted,
        ours=ours,
        bare=bare,
    )


def _watch_instrumented(console: Console, seconds: float, seed: int, telemetry: Telemetry, changes: Changes) -> run.Run:
    """Run the app with huddle_otel and show the panel, or, off a terminal, a line as each phase begins."""
    names = [model.id for model in scenario.MODELS]
    ascii_only = console.options.ascii_only
    if not console.is_terminal:
        announce = _Announcer(console, seconds, changes)
        return run.instrumented(seconds, seed=seed, telemetry=telemetry, tick=announce)
    with Live(console=console, auto_refresh=False, transient=True) as screen:

        def tick(moment: float, _results: list[Result]) -> None:
            spans = telemetry.spans
            changes.look(moment)
            health = huddle_otel.current_health()["circuits"]
            screen.update(
                screens.live(
                    scenario.phase_at(moment, seconds),
                    moment,
                    figures.by_model(spans, names),
                    telemetry.total(contract.IN_FLIGHT),
                    {
                        figures.model_of(each["circuit"]): screens.circuit(
                            each["state"], each["retry_in"], ascii_only=ascii_only
                        )
                        for each in health
                    },
                    changes=[screens.change(each, ascii_only=ascii_only) for each in changes.seen],
                    spans=spans,
                ),
                refresh=True,
            )

        return run.instrumented(seconds, seed=seed, telemetry=telemetry, tick=tick)


def _watch_bare(console: Console, seconds: float, seed: int) -> run.Run:
    """Run the app without huddle_otel. There is little to show: it emits nothing."""
    console.print(plain("Now the same calls without huddle_otel.", "bold"))
    if not console.is_terminal:
        return run.bare(seconds, seed=seed, tick=_Announcer(console, seconds))
    with Live(console=console, auto_refresh=False, transient=True) as screen:

        def tick(moment: float, results: list[Result]) -> None:
            phase = scenario.phase_at(moment, seconds).name
            screen.update(plain(f"  {moment:4.1f} s   {phase:<13} {len(results)} calls over"), refresh=True)

        return run.bare(seconds, seed=seed, tick=tick)


class _Announcer:
    """Prints a line when a phase begins, and when a circuit changes."""

    def __init__(self, console: Console, seconds: float, changes: Changes | None = None) -> None:
        self._console = console
        self._seconds = seconds
        self._changes = changes
        self._told: set[str] = set()

    def __call__(self, moment: float, _results: list[Result]) -> None:
        phase = scenario.phase_at(moment, self._seconds)
        if phase.name not in self._told:
            self._told.add(phase.name)
            self._console.print(plain(f"  {moment:5.1f} s  {phase.name:<13} {phase.story}"))
        for change in self._changes.look(moment) if self._changes is not None else ():
            self._console.print(plain(f"  {screens.change(change, ascii_only=self._console.options.ascii_only)}"))


def _tell(
    console: Console, models: list[figures.Figures], phases: list[figures.Figures], example: ReadableSpan | None
) -> None:
    """Print what the telemetry of the instrumented run says."""
    console.print()
    console.print(screens.panel("By model; times in s", "model", models))
    console.print()
    console.print(screens.panel("By the phase in which a call began", "phase", phases))
    unknown = models[-1].unknown
    if unknown:
        line = f"\n+? the cost of {unknown} answers is unknown; it is not counted as zero"
        console.print(plain(line, "dim"))
    if example is not None:
        console.print(plain("\nOne call, as its span tells it", "bold"))
        console.print(screens.span_tree(example))
    console.print()


def _tell_changes(console: Console, changes: list[figures.Change], rejected: str) -> None:
    """Print how the circuits changed."""
    console.print(plain(f"Circuits{rejected}", "bold"))
    for change in changes:
        console.print(plain(screens.change(change, ascii_only=console.options.ascii_only)))
    console.print()
