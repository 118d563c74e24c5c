"""A storm: faults on the embedded gateway under open-loop load, for the bare client, with official telemetry, and ours.

Every contender gets the same calls at the same moments, the same `timeout`, and the same faults, one after the other.
All waiting times are divided by a scale, so that 84 s of a scenario fit into a few; counts and shares are not scaled.
Figures are in model seconds, but for the times of rejected calls and for how late the load was offered: where that is
much, the contender's retries had used the machine up, and part of what it lost is the machine's. Money is what the
gateway would bill for work it began, at its own prices, less the answers that arrived.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import openai

from tests.bench.storm import scenarios
from tests.bench.storm.clients import official
from tests.bench.storm.figures import Check, Figures, Run, check, measure
from tests.bench.storm.picture import NAMES, draw
from tests.bench.storm.scenarios import Scenario

DOCS = Path(__file__).parents[3] / "docs"


@contextmanager
def _child(module: str, *arguments: object) -> Iterator[tuple[IO[str], IO[str]]]:
    """Run a module of this package; yields its stdin and stdout."""
    command = [sys.executable, "-m", f"tests.bench.storm.{module}", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdin, process.stdout
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _order(pipe: tuple[IO[str], IO[str]], order: str) -> Any:
    """Give a child an order and return what it answers."""
    into, out = pipe
    into.write(order + "\n")
    into.flush()
    answer = out.readline()
    if not answer:
        raise SystemExit(f"a process of the benchmark ended at the order {order!r}")
    return json.loads(answer)


def play(scenario: Scenario, contender: str, scale: float, rate: float, seed: int) -> Run:
    """Play one scenario with one contender, in two processes of their own."""
    service = scenarios.SERVICE / scale
    capacity = max(round(rate * service / scenarios.LOAD), 1)
    with _child("upstream", scale, capacity) as upstream:
        url = upstream[1].readline().strip()
        with _child("clients", contender, url, scale, rate, seed) as client:
            if client[1].readline().strip() != "ready":
                raise SystemExit(f"the clients of {contender} did not start")
            began = _order(upstream, f"go {scenario.name}")
            load = _order(client, repr(began))
            seen = _order(upstream, "report")
    return Run(
        scenario=scenario,
        contender=contender,
        scale=scale,
        late=load["late"],
        calls=[(at * scale, took, outcome) for at, took, outcome in load["calls"]],
        leaked=load["leaked"],
        upstream=[(at * scale, billed) for at, billed in seen],
    )


_HEAD = (
    " " * 33 + "requests  answered in time, %      recovery requests in  rejected   failed   load",
    " " * 33 + "  a call  before  fault  after            s    2nd half    p99 ms   work $   late s",
)


def _table(runs: Sequence[Figures]) -> str:
    """Return the figures in 110 columns."""
    lines: list[str] = [*_HEAD]
    for number, run in enumerate(runs):
        if number == 0 or run.scenario != runs[number - 1].scenario:
            lines.append(scenarios.BY_NAME[run.scenario].title)
        recovery = "never" if run.recovery is None else f"{run.recovery:.0f}"
        p99 = "-" if run.rejected_p99_ms is None else f"{run.rejected_p99_ms:.2f}"
        good = "  ".join(f"{share * 100:5.1f}" for share in (run.before, run.during, run.after))
        lines.append(
            f"  {NAMES[run.contender]:30} {run.amplification:8.2f}   {good} {recovery:>8} {run.late_outage_calls:11} "
            f"{p99:>9} {run.wasted_usd:8.4f} {run.late_ms / 1e3:8.2f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Run, print, write `storm.json` and `storm.svg`; the exit status is 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two scenarios, no telemetry column, under a minute")
    parser.add_argument("--rate", type=float, default=220.0, help="calls offered per second of real time")
    parser.add_argument("--scale", type=float, help="model seconds per real second (default 6, quick 8)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=list(scenarios.BY_NAME), action="append", help="a scenario; may be repeated")
    parser.add_argument("--out", type=Path, help="folder for storm.json and storm.svg (default docs/; quick: none)")
    args = parser.parse_args()
    scale: float = args.scale or (8.0 if args.quick else 6.0)
    contenders = ["bare", "ours"] if args.quick or official() is None else ["bare", "otel", "ours"]
    chosen = args.only or (["brown-out", "outage"] if args.quick else list(scenarios.BY_NAME))
    print(f"openai {openai.__version__}, Python {sys.version.split()[0]}; time scaled 1:{scale:g}", flush=True)
    if official() is None:
        print("(no column for the official OpenTelemetry instrumentation: it is not installed)")
    started = time.monotonic()
    runs: list[Figures] = []
    checks: list[Check] = []
    for scenario in (scenarios.BY_NAME[name] for name in chosen):
        for contender in contenders:
            runs.append(measure(play(scenario, contender, scale, args.rate, args.seed)))
            print(f"  {scenario.name}, {NAMES[contender]}: {runs[-1].rate:g} calls/s offered", flush=True)
        checks += check(scenario, runs[-1])
    print(f"\n{_table(runs)}\n\n" + "\n".join(map(str, checks)))
    reached, late = min(run.rate for run in runs), max(run.late_ms for run in runs)
    print(
        f"\nrate reached {reached:g} calls/s, generator late by at most {late:g} ms, {time.monotonic() - started:.0f} s"
    )
    out = args.out or (None if args.quick else DOCS)
    if out is not None:
        _write(out, runs, checks, scale)
    raise SystemExit(not all(each.met for each in checks))


def _write(out: Path, runs: Sequence[Figures], checks: Sequence[Check], scale: float) -> None:
    settings = {
        "scale": scale,
        "service_s": scenarios.SERVICE,
        "timeout_s": scenarios.PATIENCE,
        "load": scenarios.LOAD,
        "openai": openai.__version__,
        "python": sys.version.split()[0],
    }
    document = {
        "settings": settings,
        "runs": [run.as_json() for run in runs],
        "targets": [
            {"target": c.target, "scenario": c.scenario, "promise": c.promise, "figure": c.figure, "met": c.met}
            for c in checks
        ],
    }
    (out / "storm.json").write_text(json.dumps(document, indent=1) + "\n")
    rate = min(run.rate for run in runs)
    note = (
        f"Load {scenarios.LOAD:.0%} of capacity, timeout {scenarios.PATIENCE:g} s, defaults otherwise; "
        f"time scaled 1:{scale:g}, {rate:.0f} calls/s of real time. Shaded: the fault."
    )
    (out / "storm.svg").write_text(draw(runs, note))
    print(f"wrote {out / 'storm.json'} and {out / 'storm.svg'}")


if __name__ == "__main__":
    main()
