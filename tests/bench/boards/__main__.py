"""`python -m tests.bench.boards`: build the data, start Prometheus, time every board, print a table."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import huddle_otel_dashboards
from huddle_otel.telemetry import contract
from huddle_otel_dashboards.alerts import Fleet, Intervals
from huddle_otel_dashboards.alerts.fleet import groups
from huddle_otel_dashboards.reading import Asked, asked
from huddle_otel_dashboards.series import series
from huddle_otel_dashboards.substitution import Window
from tests.bench.boards.blocks import BLOCK, Stretch, build
from tests.bench.boards.fleet import Line, Size, exposed, objective, recorded
from tests.dashboards.server import prometheus

PROMISED: Final = 1.0
"""Seconds that all queries of a board may take together."""
_LAST: Final = 600
"""Seconds of the full mesh that there are: twice what a recording looks back."""
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
    for board in options.boards:
        with tempfile.TemporaryDirectory() as name:
            _BENCHES[board](options, Path(name))


def _raw(options: argparse.Namespace, folder: Path) -> None:
    """Time the boards that read each process: all it exposes for the whole time."""
    size = Size(models=options.models, instances=options.instances, each=options.each)
    print(f"\n{size.instances} processes that call {size.each} of {size.models} models each, boards that read them")
    lines = [*exposed(size), *objective(size)]
    with _serving(folder, [_stretch(lines, options)]) as (url, end):
        _show(url, huddle_otel_dashboards.names(), end, options)


def _fleet(options: argparse.Namespace, folder: Path) -> None:
    """Time the boards that read what is recorded, and the recording.

    A day of all that the processes expose would be too much text: of what boards do not read over time, there are the
    last minutes.
    """
    size = Size(models=options.models, instances=options.instances, each=options.models)
    print(f"\n{size.instances} processes that call each of {size.models} models, boards that read what is recorded")
    lines, rare = exposed(size), {"up", series(contract.TELEMETRY_ERRORS)}
    whole = [*(line for line in lines if line.name in rare), *recorded(lines), *objective(size)]
    last = [line for line in lines if line.name not in rare]
    stretches = [
        _stretch([line for line in whole if "_bucket:" not in line.name], options),
        _stretch([line for line in whole if "_bucket:" in line.name], options, slower=2),
        Stretch(lines=last, seconds=_LAST, step=options.step),
    ]
    with _serving(folder, stretches) as (url, end):
        _show(url, huddle_otel_dashboards.names(fleet=True), end, options)
        rules = [rule for group in groups(Fleet(), Intervals()) for rule in group.rules]
        queries = [
            Asked(panel=rule.name, query=rule.expr, window=Window(end=end), instant=True, source="prometheus")
            for rule in rules
        ]
        cpu, timings = min((_timed(url, queries) for _ in range(options.rounds)), key=lambda each: each[0])
        slowest = max(timings, key=lambda each: each.seconds)
        print(
            f"\nrecording it once: {len(rules)} rules, {cpu:.2f} s of CPU, most {slowest.panel} {slowest.seconds:.2f}"
        )


def _stretch(lines: list[Line], options: argparse.Namespace, *, slower: int = 1) -> Stretch:
    """Return series over the whole time."""
    return Stretch(lines=lines, seconds=options.hours * 3_600, step=options.step * slower)


_BENCHES: Final = {"raw": _raw, "fleet": _fleet}


@contextmanager
def _serving(folder: Path, stretches: list[Stretch]) -> Iterator[tuple[str, int]]:
    """Run Prometheus on some series; yield its URL, and the Unix time of their last sample."""
    begun, end = time.monotonic(), int(time.time()) // BLOCK * BLOCK
    samples = build(stretches, folder / "data", end=end)
    counts = " and ".join(f"{len(stretch.lines)} for {stretch.seconds / 3_600:g} h" for stretch in stretches)
    print(f"series: {counts}; {samples / 1e6:.1f}M samples, built in {time.monotonic() - begun:.0f} s")
    with prometheus(folder, _SCRAPES_ITSELF, "--storage.tsdb.retention.time=10y") as url:
        yield url, end - stretches[-1].step


def _show(url: str, names: Iterable[str], end: int, options: argparse.Namespace) -> None:
    for span in options.spans:
        window = Window(end=end, seconds=span * 3_600, scrape=options.step)
        print(f"\n{span:g} h, a point every {window.step} s at most, the best of {options.rounds}")
        print(f"{'board':22}{'queries':>8}{'seconds':>9}{'cpu':>7}{'samples':>10}{'empty':>7}  slowest")
        for name in names:
            _show_board(url, name, window, options.rounds)


def _show_board(url: str, name: str, window: Window, rounds: int) -> None:
    board = json.loads(huddle_otel_dashboards.read(name))
    queries = [each for each in asked(board, window) if each.source == "prometheus"]
    cpu, timings = min((_timed(url, queries) for _ in range(rounds)), key=lambda each: each[0])
    total, slowest = sum(each.seconds for each in timings), max(timings, key=lambda each: each.seconds)
    samples, empty = sum(each.samples for each in timings), sum(each.empty for each in timings)
    verdict = "" if total <= PROMISED else "  OVER"
    print(
        f"{name:22}{len(queries):8}{total:9.2f}{cpu:7.2f}{samples / 1e6:9.2f}M{empty:7}"
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
    parser.add_argument("--boards", nargs="+", choices=_BENCHES, default=list(_BENCHES), help="which to time")
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--instances", type=int, default=20)
    parser.add_argument("--each", type=int, default=3, help="models that each instance calls, for raw boards")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--step", type=int, default=60, help="seconds between samples (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--spans", type=float, nargs="+", default=[1, 24], help="ranges that the boards show, hours")
    return parser.parse_args()


if __name__ == "__main__":
    main()
