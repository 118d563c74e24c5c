"""A fleet's boards on a real Prometheus: what they show of two real processes is what the other boards show of them.

The processes' pages are kept, four a second, and given to Prometheus as if it had scraped one every 15 s. So rules and
boards are tried as they are shipped, and on the very same samples.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

import huddle_otel_dashboards
from huddle_otel.cli.prometheus import Prometheus
from huddle_otel.cli.stack.processes import answers, free_port
from huddle_otel_dashboards.alerts import Fleet, render_rules
from huddle_otel_dashboards.reading import Asked, asked
from huddle_otel_dashboards.substitution import Window
from tests.dashboards.server import playing, prometheus
from tests.exporters.conftest import missing

pytestmark = pytest.mark.backend

SCRAPE: Final = 15
BEGIN: Final = 1_700_006_400
"""Unix time of the first page: 00:00 UTC, so that panels of the day look back as far as those of the range."""
HOUR: Final = 3_600
MOMENTS: Final = tuple(BEGIN + 60 * minutes for minutes in (4, 6, 8, 10, 12))
"""About when rates and levels are compared: the traffic takes a quarter of an hour, as it is stretched."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that has an hour of both processes, and what the rules record of it."""
    for binary in ("prometheus", "promtool"):
        if shutil.which(binary) is None:
            missing(binary)
    folder = tmp_path_factory.mktemp("fleet")
    ports = [free_port(), free_port()]
    with ExitStack() as apps:
        said = [apps.enter_context(playing(port, 15)) for port in ports]
        pages = list(watched([f"http://127.0.0.1:{port}/metrics" for port in ports], said))
    pages += [pages[-1]] * (HOUR // SCRAPE - len(pages))  # quiet for the rest of the hour
    (folder / "pages.om").write_text("".join(samples(pages)) + "# EOF\n")
    (folder / "rules.yml").write_text(render_rules(fleet=Fleet()))
    create_blocks("openmetrics", folder / "pages.om", folder / "data")
    with prometheus(folder, "", "--storage.tsdb.retention.time=10y") as url:
        times = [f"--start={BEGIN}", f"--end={BEGIN + HOUR}", "--eval-interval=1m", f"--url={url}"]
        create_blocks("rules", *times, f"--output-dir={folder / 'data'}", folder / "rules.yml")
    with prometheus(folder, "", "--storage.tsdb.retention.time=10y") as url:
        yield url


def create_blocks(*arguments: str | Path) -> None:
    subprocess.run(["promtool", "tsdb", "create-blocks-from", *arguments], check=True, capture_output=True)


def watched(urls: Sequence[str], said: Sequence[Future[str]]) -> Iterator[list[str]]:
    """Yield what each process exposes, four times a second, from its first page to its last call."""
    while not all(answers(url) for url in urls):
        wait(said, timeout=0.1)
    busy = set(said)
    while busy:
        _, busy = wait(said, timeout=0.25)
        yield [urllib.request.urlopen(url).read().decode() for url in urls]  # noqa: S310 - on 127.0.0.1
    assert {each.result() for each in said} == {"done\n"}


def samples(pages: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield the pages' samples as of one scrape after the other, with the labels that a scrape adds."""
    for number, page in enumerate(pages):
        for instance, text in enumerate(page):
            for line in text.splitlines():
                if not line.startswith("#"):
                    name, _, value = line.rpartition(" ")
                    metric, _, labels = name.partition("{")
                    target = f'{metric}{{job="shop",instance="{instance}",{labels or "}"}'
                    yield f"{target} {value} {BEGIN + number * SCRAPE}\n"


def pairs(end: int, *, over_range: bool) -> Iterator[tuple[Asked, Asked]]:
    """Yield the queries of panels that read a fleet, each after the one that reads processes."""
    window = Window(end=end, seconds=HOUR, scrape=75)  # with which rates look back 5 minutes, as recorded ones do
    for names in zip(huddle_otel_dashboards.names(), huddle_otel_dashboards.names(fleet=True), strict=True):
        queries = [asked(json.loads(huddle_otel_dashboards.read(name)), window) for name in names]
        for raw, fleet in zip(*queries, strict=True):
            recorded = ":" in fleet.query and fleet.query != raw.query
            if recorded and not raw.mark and over_range == ("increase(" in raw.query):
                yield raw, fleet


def values(server: str, query: str, at: float) -> dict[frozenset[tuple[str, str]], float]:
    return {frozenset(labels.items()): value for labels, value in Prometheus(server).instant(query, time=at)}


def worked_out(server: str, query: str, about: float) -> float:
    """Return when what a query reads was recorded last: each group of rules has moments of its own."""
    (name, *_) = re.findall(r"\w+:\w+:\w+", query)
    return max(values(server, f"timestamp({name})", about).values(), default=about)


def test_rates_levels_and_percentiles_of_a_fleet_are_those_of_its_processes(server: str) -> None:
    shown = 0
    for raw, fleet in pairs(BEGIN + HOUR, over_range=False):
        for about in MOMENTS:
            at = worked_out(server, fleet.query, about)
            expected = values(server, raw.query, at)
            assert values(server, fleet.query, at) == pytest.approx(expected, rel=1e-6, abs=1e-9), raw.panel
            shown += bool(expected)
    assert shown > 200


def test_sums_over_a_fleets_range_are_those_of_its_processes(server: str) -> None:
    end = BEGIN + HOUR
    sums = {
        raw.panel: [sum(values(server, each.query, end).values()) for each in (raw, fleet)]
        for raw, fleet in pairs(end, over_range=True)
    }
    assert len(sums) == 5
    assert sums["In this range"][0] > 20
    for panel, (processes, fleet) in sums.items():
        # between two windows is a twentieth of the time, which Prometheus estimates from the rest
        assert fleet == pytest.approx(processes, rel=0.15), panel
