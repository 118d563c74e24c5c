"""Prometheus' own tools on the rules, and Alertmanager's on its routing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from huddle_otel_dashboards.alerts import Fleet, alerts, render_routing, render_rules
from huddle_otel_dashboards.limits import Limits
from tests.dashboards.alert_cases import CASES, Case
from tests.dashboards.promtool import judge
from tests.exporters.conftest import missing

pytestmark = pytest.mark.backend
TABLE: Final = {alert.key: alert for alert in alerts()}
ODD: Final = Limits(slo=93.5, p95=81, first_chunk=0.01, budget_usd_day=1e6, spend_factor=1e-3, minimum=1e9)


@pytest.fixture(autouse=True)
def tools() -> None:
    for binary in ("promtool", "amtool"):
        if shutil.which(binary) is None:
            missing(binary)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert} at {case.at}")
def test_it_fires_and_it_stays_silent(case: Case, tmp_path: Path) -> None:
    wrong = judge(tmp_path, case, TABLE[case.alert])
    assert not wrong, wrong


@pytest.mark.parametrize(
    ("limits", "fleet", "count"),
    [(Limits(), None, 37), (ODD, None, 37), (Limits(), Fleet(tags=("team", "feature")), 66)],
    ids=["defaults", "odd", "fleet"],
)
def test_promtool_reads_the_rules(limits: Limits, fleet: Fleet | None, count: int, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(render_rules(limits, fleet=fleet))
    done = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", "rules.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} rules found" in done.stdout


@pytest.fixture
def routing(tmp_path: Path) -> Path:
    file = tmp_path / "alertmanager.yml"
    file.write_text(render_routing(webhook="https://chat.example/hook"))
    return file


def test_amtool_reads_the_routing(routing: Path) -> None:
    done = subprocess.run(["amtool", "check-config", routing], capture_output=True, text=True, check=True)
    assert "SUCCESS" in done.stdout
    assert "6 inhibit rules" in done.stdout
    assert "2 receivers" in done.stdout


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=HuddleCircuitOpen", "severity=page", "model=gpt-4.1"], "page"),
        (["alertname=HuddleTimeouts", "severity=ticket"], "ticket"),
        (["alertname=SomebodyElses"], "ticket"),
    ],
)
def test_an_alert_goes_to_its_receiver(routing: Path, labels: list[str], receiver: str) -> None:
    command = ["amtool", "config", "routes", "test", f"--config.file={routing}", f"--verify.receivers={receiver}"]
    done = subprocess.run([*command, *labels], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
