from __future__ import annotations

import dataclasses
import io
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import openai
import pytest
from rich.console import Console

from huddle_otel.cli import demo
from huddle_otel.cli.demo import figures, run, scenario, screens, traffic
from huddle_otel.client import patch
from huddle_otel.gateway import Gateway
from huddle_otel.settings import BreakerPolicy
from huddle_otel.telemetry import contract
from tests.cli.conftest import KEY

if TYPE_CHECKING:
    from tests.cli.conftest import Command

SECONDS = 4.0
OUTAGE_SECONDS = 8.0
DOWN_UNTIL = 0.6 * OUTAGE_SECONDS / 2


@pytest.fixture(scope="module")
def ran() -> tuple[demo.Report, str]:
    """One short run into a file; every test below reads it."""
    file = io.StringIO()
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HUDDLE_API_KEY", KEY)
        patched.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
        patched.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        patched.setenv("HUDDLE_OTEL_RETRY", "off")
        inside = dict(os.environ)
        report = demo.perform(Console(file=file, width=80), seconds=SECONDS, seed=1)
        assert dict(os.environ) == inside
    assert dict(os.environ) == before
    return report, file.getvalue()


def test_every_call_has_one_result_one_span_and_one_count(ran: tuple[demo.Report, str]) -> None:
    report, _ = ran
    total = report.models[-1]
    assert total.calls == report.ours.calls == report.bare.calls == report.counted == len(report.spans)
    assert total.calls == len(scenario.plan(SECONDS / 2, seed=1))


def test_the_rows_add_up(ran: tuple[demo.Report, str]) -> None:
    report, _ = ran
    *models, total = report.models
    for rows in (models, report.phases):
        for name in ("calls", "ok", "failed", "rejected", "sends", "retried", "tokens_in", "tokens_out", "unknown"):
            assert sum(getattr(row, name) for row in rows) == getattr(total, name)
        assert sum(row.spend for row in rows) == pytest.approx(total.spend)
    for score in (report.ours, report.bare):
        assert score.answered + score.cut_short + score.errors.total() == score.calls


def test_telemetry_agrees_with_what_the_app_and_the_gateway_saw(ran: tuple[demo.Report, str]) -> None:
    report, _ = ran
    total = report.models[-1]
    assert total.ok == report.ours.answered
    assert total.sends == report.ours.upstream
    assert total.retried > 0
    assert total.spend > 0
    house = next(row for row in report.models if row.name == "house-llama")
    assert house.spend == 0
    assert screens.spend(house) == "unknown"


def test_a_healthy_gateway_is_called_once_per_call(ran: tuple[demo.Report, str]) -> None:
    """Only calls that were over in good time: on a busy machine the last ones arrive in the next phase."""
    spans = ran[0].spans
    over = (ran[0].began + 0.9 * scenario.PHASES[0].share * SECONDS / 2) * 1e9
    early = [span for span in spans if (span.end_time or 0) < over]
    assert [span for span in early if figures.attribute(span, contract.ATTEMPTS) != 1] == []
    assert {figures.attribute(span, contract.OUTCOME) for span in early} <= {"ok"}


def test_it_leaves_nothing_behind(ran: tuple[demo.Report, str]) -> None:
    assert patch.active() is None


def test_a_file_gets_plain_lines_of_eighty_columns(ran: tuple[demo.Report, str]) -> None:
    _, text = ran
    assert "\x1b" not in text
    assert "\r" not in text
    assert max(map(len, text.splitlines())) <= 80
    for phase in scenario.PHASES:
        assert phase.story in text
    for words in ("goodput", "unknown", "gen_ai.usage.cost", "huddle.retry.causes", "event huddle.attempt"):
        assert words in text
    assert KEY not in text


def test_no_line_of_ours_is_broken(ran: tuple[demo.Report, str]) -> None:
    """The texts are written for 80 columns; a wrapped one shows as a line of a word or two."""
    lines = [line for line in ran[1].splitlines() if line and not line.startswith((" ", "│", "├", "└", "─"))]
    assert [line for line in lines if len(line.split()) == 1] == []


def test_on_a_terminal_it_is_live_and_a_rate_limit_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the phase whose outcome does not depend on the order in which threads run."""
    limited = next(phase for phase in scenario.PHASES if phase.name == "rate-limited")
    monkeypatch.setattr(scenario, "PHASES", (dataclasses.replace(limited, share=1.0),))
    file = io.StringIO()
    console = Console(file=file, width=80, height=40, force_terminal=True, _environ={"TERM": "xterm-256color"})
    report = demo.perform(console, seconds=6, seed=2)
    frames = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    assert "in flight:" in frames
    assert "Lately retried or failed" in frames
    assert max(len(line.split("\r")[-1]) for line in frames.splitlines()) <= 80
    assert report.changes == []
    assert report.ours.outage is report.bare.outage is None
    assert report.ours.goodput >= report.bare.goodput
    assert report.ours.errors["RateLimitError"] <= report.bare.errors["RateLimitError"]
    assert report.bare.errors["RateLimitError"] > 0


@pytest.fixture(scope="module")
def outage() -> tuple[demo.Report, str]:
    """One run of nothing but the outage, on a terminal: the report, and all frames without their colours."""
    phase = next(phase for phase in scenario.PHASES if phase.name == "outage")
    file = io.StringIO()
    console = Console(file=file, width=80, height=24, force_terminal=True, _environ={"TERM": "xterm-256color"})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scenario, "PHASES", (dataclasses.replace(phase, share=1.0),))
        report = demo.perform(console, seconds=OUTAGE_SECONDS, seed=1)
    return report, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())


def test_the_circuit_opens_probes_and_closes(outage: tuple[demo.Report, str]) -> None:
    changes = outage[0].changes
    states = ["closed", *(change.after for change in changes)]
    assert [change.before for change in changes] == states[:-1]
    assert states[1:3] == ["open", "half_open"]
    assert states.index("closed", 1) == len(changes)
    assert states[-2] == "half_open"
    assert [change.at for change in changes] == sorted(change.at for change in changes)
    assert changes[0].at < DOWN_UNTIL < changes[-1].at
    assert {change.model for change in changes} == {scenario.DOWN}


def test_while_it_is_open_only_probes_are_sent(outage: tuple[demo.Report, str]) -> None:
    """Between the first opening and the upstream's return, a round of probes is one failed request."""
    report, _ = outage
    meanwhile = [
        span
        for span in report.spans
        if figures.attribute(span, contract.REQUEST_MODEL) == scenario.DOWN
        and report.changes[0].at < (span.start_time or 0) / 1e9 - report.began < DOWN_UNTIL
    ]
    rejected = [span for span in meanwhile if figures.attribute(span, contract.OUTCOME) == "rejected"]
    assert {figures.attribute(span, contract.ATTEMPTS) for span in rejected} == {0}
    sent = sum(figures.attribute(span, contract.ATTEMPTS) for span in meanwhile)
    assert 0 < sent <= sum(change.after == "half_open" for change in report.changes)
    assert len(rejected) >= len(meanwhile) - sent
    assert report.ours.errors["CircuitOpenError"] == report.models[-1].rejected >= len(rejected)


def test_an_open_circuit_costs_its_callers_little_and_the_others_nothing(outage: tuple[demo.Report, str]) -> None:
    report, _ = outage
    ours, bare = report.ours.outage, report.bare.outage
    assert ours is not None
    assert bare is not None
    assert ours.calls == bare.calls > 0
    assert 0 < ours.upstream < bare.upstream / 2
    assert ours.lost < bare.lost / 2
    assert bare.rejection is None
    assert ours.rejection is not None
    assert ours.rejection < 0.02  # far above what it takes: it shall only be no request's duration
    assert 0 < ours.recovery < OUTAGE_SECONDS / 2
    assert ours.others == bare.others == 1
    assert report.ours.goodput < report.ours.elsewhere <= 1
    others = [row for row in report.models if row.name not in {scenario.DOWN, "all"}]
    assert [row.name for row in others if row.rejected or row.failed or row.retried] == []


def test_the_screen_shows_the_circuit(outage: tuple[demo.Report, str]) -> None:
    _, frames = outage
    assert frames.index("● closed") < frames.index("○ open 0.") < frames.index("◐ half-open")
    assert frames.rindex("○ open") < frames.rindex("◐ half-open") < frames.rindex("● closed")
    assert f"s  {scenario.DOWN}: closed → open" in frames
    assert f"s  {scenario.DOWN}: half-open → closed" in frames
    for words in ("calls rejected, none sent", "requests sent to it while it was down", "BreakerPolicy(open_for="):
        assert words in frames
    assert max(len(line.split("\r")[-1]) for line in frames.splitlines()) <= 80
    assert max(frame.count("\n") for frame in frames.split("in flight:")[1:-1]) < 24


@pytest.mark.parametrize(
    ("state", "sign", "ascii_sign"),
    [
        ("closed", " ● closed", " * closed"),
        ("open", " ○ open 3.2 s", " o open 3.2 s"),
        ("half_open", " ◐ half-open", " ~ half-open"),
    ],
)
def test_a_console_without_the_signs_gets_others(state: str, sign: str, ascii_sign: str) -> None:
    assert screens.circuit(state, 3.2, ascii_only=False).plain == sign
    assert screens.circuit(state, 3.2, ascii_only=True).plain == ascii_sign
    change = figures.Change(at=12.3, model="m", before="half_open", after=state)
    assert screens.change(change, ascii_only=True).isascii()


def test_changes_between_two_looks_are_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    telemetry = figures.Telemetry()
    changes = figures.Changes(telemetry)
    counts: dict[tuple[str, str], int] = {}

    def points(_metric: object) -> list[tuple[dict[str, str], float]]:
        return [({"circuit": "host/m/chat", "from": a, "to": b}, count) for (a, b), count in counts.items()]

    monkeypatch.setattr(telemetry, "points", points)
    assert changes.look(0.0) == []
    counts.update(
        {("half_open", "closed"): 1, ("half_open", "open"): 2, ("open", "half_open"): 3, ("closed", "open"): 1}
    )
    states = ["open", "half_open", "open", "half_open", "open", "half_open", "closed"]
    assert [change.after for change in changes.look(1.0)] == states
    counts["closed", "open"] = 2
    assert changes.look(2.0) == [figures.Change(at=2.0, model="m", before="closed", after="open")]
    assert len(changes.seen) == 8
    telemetry.close()


def test_a_long_run_has_the_default_breaker() -> None:
    assert scenario.breaker(1_000) == BreakerPolicy()
    assert scenario.breaker(10).open_for < scenario.breaker(20).open_for


def test_the_plan_is_the_same_for_the_same_seed() -> None:
    assert scenario.plan(10, seed=3) == scenario.plan(10, seed=3)
    assert scenario.plan(10, seed=3) != scenario.plan(10, seed=4)
    assert sum(phase.share for phase in scenario.PHASES) == pytest.approx(1)


def test_the_client_is_whole_again_when_the_app_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(traffic, "play", broken)
    before = vars(openai.OpenAI)["__init__"]
    telemetry = figures.Telemetry()
    with pytest.raises(RuntimeError, match="broken"):
        run.instrumented(1, seed=1, telemetry=telemetry, tick=lambda _moment, _results: None)
    telemetry.close()
    assert patch.active() is None
    assert vars(openai.OpenAI)["__init__"] is before


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([1.0], 0.95, 1.0), ([1.0, 2.0], 0.5, 1.0), ([float(n) for n in range(1, 21)], 0.95, 19.0)],
)
def test_percentiles(values: list[float], share: float, expected: float | None) -> None:
    assert figures.percentile(values, share) == expected


def test_an_interrupt_ends_it_quietly() -> None:
    command = [sys.executable, "-m", "huddle_otel.cli", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("healthy" in line for line in process.stdout)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert errors == "huddle-otel: interrupted\n"


def test_live_makes_one_call_and_shows_its_span(
    command: Command, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", gateway.url)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    done = command("demo", "--live", "--model", "gpt-4.1")
    assert done.code == 0
    assert [call.model for call in gateway.calls] == ["gpt-4.1"]
    assert "chat gpt-4.1" in done.out
    assert f"{contract.OUTCOME} = ok" in done.out
    assert KEY not in done.out + done.err
    assert patch.active() is None


def test_live_tells_why_it_failed(command: Command, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", "sk-of-another-product-1234")
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", gateway.url)
    done = command("demo", "--live")
    assert done.code == 1
    assert len(gateway.calls) == 1
    assert "AuthenticationError" in done.out
    assert "sk-of-another-product-1234" not in done.out + done.err


def test_live_without_a_key_is_one_clear_line(command: Command) -> None:
    done = command("demo", "--live")
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert "HUDDLE_API_KEY" in done.err
