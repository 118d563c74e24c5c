"""An outage on real parts: openai client, metrics, Prometheus, rules, Alertmanager, webhook. Windows are short."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import Final

import pytest

from huddle_otel.cli.dashboards import Status
from huddle_otel.cli.stack.processes import free_port
from huddle_otel.gateway import Gateway
from huddle_otel_dashboards.alerts import alerts
from huddle_otel_dashboards.series import label
from tests.dashboards.lab.outage import EXPECTED, KEY, Expected, Story, models, play
from tests.exporters.collector import Rotel
from tests.exporters.conftest import missing
from tests.exporters.contract_points import scraped_name

pytestmark = [pytest.mark.backend, pytest.mark.timeout(240)]
TABLE: Final = alerts()
LOUD: Final = [each for each in EXPECTED if not each.quiet]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    for binary in ("prometheus", "prometheus-alertmanager"):
        if shutil.which(binary) is None:
            missing(binary)
    with Gateway(models=models(), key=KEY) as gateway:
        collector = Rotel(tmp_path_factory.mktemp("rotel"), grpc=free_port(), http=free_port())
        try:
            played = play(gateway, collector.http, tmp_path_factory.mktemp("outage"))
            played.pushed = [each for each in collector.metrics if each.points]
        finally:
            collector.stop()
        return played


def test_the_outage_tries_every_alert_that_needs_no_history() -> None:
    tried = {(each.labels["alertname"], each.labels.get("burn", "")) for each in EXPECTED}
    table = {(each.name, each.labels.get("burn", "")) for each in TABLE}
    assert table - tried == {("HuddleSpendAnomaly", "")}


def test_quiet_traffic_fires_nothing(story: Story) -> None:
    start, end = story.quiet
    assert end - start == pytest.approx(10)
    assert not [at for at in story.moments("firing", {}) if start <= at <= end]
    assert not [told for told in story.receiver.told if told.at <= end]


@pytest.mark.parametrize("expected", EXPECTED, ids=str)
def test_it_fires_in_prometheus(expected: Expected, story: Story) -> None:
    fired = story.moments("firing", expected.labels)
    assert fired
    assert fired[0] > story.began
    (alert,) = (each for each in TABLE if each.labels.items() <= expected.labels.items() and each.name in str(expected))
    if alert.hold:
        assert story.moments("pending", expected.labels)[0] < fired[0]


@pytest.mark.parametrize("expected", LOUD, ids=str)
def test_its_receiver_is_told(expected: Expected, story: Story) -> None:
    told = story.receiver.first("firing", expected, story.began)
    assert told is not None
    assert told.receiver == told.labels["severity"]


@pytest.mark.parametrize("expected", [each for each in LOUD if not each.lasts], ids=str)
def test_it_resolves_after_the_recovery(expected: Expected, story: Story) -> None:
    assert story.receiver.is_over(expected)


@pytest.mark.parametrize("expected", [each for each in EXPECTED if each.quiet], ids=str)
def test_what_a_graver_alert_explains_is_not_told(expected: Expected, story: Story) -> None:
    told = story.receiver.first("firing", expected, story.began)
    assert told is None or told.at > story.recovered


def test_a_page_arrives_within_ten_seconds(story: Story, record_property: Callable[[str, object], None]) -> None:
    (expected,) = (each for each in EXPECTED if each.labels["alertname"] == "HuddleCircuitOpen")
    told = story.receiver.first("firing", expected, story.began)
    assert told is not None
    seconds = told.at - story.began
    record_property("seconds to the page", round(seconds, 1))
    print(f"{seconds:.1f} s from the first failure to the page")  # noqa: T201 - `pytest -rP` shows it
    assert seconds < 10


def test_boards_have_their_metrics_while_all_is_failing(story: Story) -> None:
    assert len(story.checks) > 100
    assert [check for check in story.checks if check.bad()] == []
    shown = {check.panel for check in story.checks if check.status is Status.OK}
    assert shown >= {
        "Alerts firing now",
        "State of each circuit",
        "Failures of our own",
        "Used of each limit",
        "By kind",
    }


def test_annotations_are_filled_in(story: Story) -> None:
    texts = [text for told in story.receiver.told for text in told.annotations.values()]
    assert len(texts) > 60
    assert not [text for text in texts if re.search("<no value>|<error|{{|}}|%!", text)]
    (page,) = (each for each in EXPECTED if each.labels["alertname"] == "HuddleCircuitOpen")
    told = story.receiver.first("firing", page, story.began)
    assert told is not None
    assert told.annotations["summary"] == "down is down for shop: its calls are refused"
    assert told.annotations["runbook_url"] == "docs/runbook.md#huddlecircuitopen"


def test_pushed_and_scraped_names_are_the_same(story: Story) -> None:
    ours = [each for each in story.pushed if each.points[0].resource["service.name"] == "batch"]
    pushed = {
        (scraped_name(each.name, each.unit, monotonic=each.monotonic and each.kind == "Sum"), _labels(point.attributes))
        for each in ours
        for point in each.points
    }
    scraped = {(re.sub("_(bucket|count|sum)$", "", each.pop("__name__")), _labels(each)) for each in story.scraped}
    assert len(scraped) > 15
    assert scraped <= pushed


def _labels(attributes: dict[str, str]) -> frozenset[str]:
    """Return the names of labels, without those that Prometheus adds; to it an empty one is none."""
    added = ("job", "instance", "le", "otel_scope")
    names = (label(name) for name, value in attributes.items() if value)
    return frozenset(name for name in names if not name.startswith(added))
