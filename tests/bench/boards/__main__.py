"""`python -m tests.bench.boards`: build the data, start Prometheus, time every board, print a table."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import huddle_otel_dashboards
from huddle_otel_dashboards.reading import Asked, asked
from huddle_otel_dashboards.substitution import Window
from tests.bench.boards.fleet import BLOCK, Fleet, build
from tests.dashboards.server import prometheus

PROMISED: Final = 1.0
"""Seconds that all queries of a board may take together."""
_SCRAPES_ITSELF: Final = """
global: {scrape_interval: 5s}
scrape_configs: [{job_name: bench, static_configs: [{targets: []}]}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What a query took."""

    panel: str
    seconds: float
    samples: int
    """Samples that Prometheus read for it."""
    empty: bool


def main() -> None:
    """Measure, and print."""
    options = _options()
    fleet = Fleet(
        models=options.models, instances=options.instances, each=options.each, hours=options.hours, step=options.step
    )
    end = int(time.time()) // BLOCK * BLOCK
    with tempfile.TemporaryDirectory() as name:
        folder = options.keep or Path(name)
        if not (folder / "end").exists():
            begun = time.monotonic()
            count = build(fleet, folder / "data", end)
            (folder / "end").write_text(str(end))
            print(f"{count} series x {fleet.samples} samples, built in {time.monotonic() - begun:.0f} s")
        end = int((folder / "end").read_text())
        with prometheus(folder, _SCRAPES_ITSELF, "--storage.tsdb.retention.time=10y") as url:
            for span in options.spans:
                _show(url, Window(end=end - fleet.step, seconds=span * 3_600, scrape=fleet.step), options.rounds)


def _show(url: str, window: Window, rounds: int) -> None:
    print(f"\n{window.seconds / 3_600:g} h, a point every {window.step} s, the best of {rounds}")
    print(f"{'board':18}{'queries':>8}{'seconds':>9}{'cpu':>7}{'samples':>10}{'empty':>7}  slowest")
    for name in huddle_otel_dashboards.names():
        queries = [
            each for each in asked(json.loads(huddle_otel_dashboards.read(name)), window) if each.source == "prometheus"
        ]
        tries = [_timed(url, queries) for _ in range(rounds)]
        cpu, timings = min(tries, key=lambda each: sum(timing.seconds for timing in each[1]))
        total, slowest = sum(each.seconds for each in timings), max(timings, key=lambda each: each.seconds)
        samples, empty = sum(each.samples for each in timings), sum(each.empty for each in timings)
        verdict = "" if total <= PROMISED else "  OVER"
        print(
            f"{name:18}{len(queries):8}{total:9.2f}{cpu:7.2f}{samples / 1e6:9.2f}M{empty:7}"
            f"  {slowest.panel} {slowest.seconds:.2f}{verdict}"
        )


def _timed(url: str, queries: list[Asked]) -> tuple[float, list[Timing]]:
    """Return the CPU time that Prometheus took for some queries, and each one's time."""
    before = _cpu(url)
    timings = [_time(url, each) for each in queries]
    return _cpu(url) - before, timings


def _time(url: str, each: Asked) -> Timing:
    path, window = ("query" if each.instant else "query_range"), each.window
    when = {"time": window.end} if each.instant else {"start": window.start, "end": window.end, "step": window.step}
    begun = time.perf_counter()
    data = _ask(f"{url}/api/v1/{path}?{urllib.parse.urlencode({'query': each.query, 'stats': 'all', **when})}")
    seconds = time.perf_counter() - begun
    samples = data["stats"]["samples"]["totalQueryableSamples"]
    return Timing(panel=each.panel, seconds=seconds, samples=samples, empty=not data["result"])


def _ask(url: str) -> Any:
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - on 127.0.0.1
        return json.load(answer)["data"]


def _cpu(url: str) -> float:
    """Return the CPU time that Prometheus has taken, s: on a busy machine it says more than the clock."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:  # noqa: S310 - on 127.0.0.1
        lines = answer.read().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("process_cpu_seconds_total"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--each", type=int, default=3, help="models that each instance calls (default: %(default)s)")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--step", type=int, default=60, help="seconds between samples (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spans", type=float, nargs="+", default=[1, 24], help="ranges that the boards show, hours")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="make the data there, or take what is there")
    return parser.parse_args()


if __name__ == "__main__":
    main()
