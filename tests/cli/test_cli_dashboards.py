"""`huddle-otel dashboards`: list, export, alerts; validate against servers that are not what they should be."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import huddle_otel_dashboards
from huddle_otel.cli.commands.dashboards import LIMITS
from huddle_otel.cli.commands.shape import PROMETHEUS_TOKEN
from huddle_otel_dashboards import Limits
from tests.cli.odd_server import Odd

if TYPE_CHECKING:
    from tests.cli.conftest import Command

SECRET = "prom-0123456789abcdef"


def test_list_shows_every_board(command: Command) -> None:
    done = command("dashboards", "list")
    assert done.code == 0
    for name in huddle_otel_dashboards.names():
        assert name in done.out
    assert "Upstream & resilience" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_export_writes_boards_provider_and_rules(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "grafana"
    done = command(
        "dashboards", "export", str(folder), "--datasource-uid", "p1", "--runbook-url", "https://wiki.example/r"
    )
    assert (done.code, done.err) == (0, "")
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["alerts.yml", *(f"{name}.json" for name in huddle_otel_dashboards.names()), "provider.yaml"]
    assert done.out.splitlines() == [f"wrote {folder / name}" for name in (*files[1:], files[0])]
    assert "https://wiki.example/r#huddlecircuitopen" in (folder / "alerts.yml").read_text()
    assert '"value": "p1"' in (folder / "huddle-slo.json").read_text()


def test_fleet_lists_its_own_boards(command: Command) -> None:
    done = command("dashboards", "list", "--fleet")
    assert done.code == 0
    assert all(name in done.out for name in huddle_otel_dashboards.names(fleet=True))
    assert "huddle-overview" not in done.out


def test_fleet_exports_its_boards_and_the_rules_they_read(command: Command, tmp_path: Path) -> None:
    done = command("dashboards", "export", str(tmp_path), "--fleet", "--tag", "app", "--tag", "team")
    assert (done.code, done.err) == (0, "")
    files = [*(f"{name}.json" for name in huddle_otel_dashboards.names(fleet=True)), "provider.yaml", "alerts.yml"]
    assert done.out.splitlines() == [f"wrote {tmp_path / name}" for name in files]
    rules = (tmp_path / "alerts.yml").read_text()
    assert 'record: "job_model:huddle_client_cost_usd:rate5m"' in rules
    assert "sum by (job, model, source, app, team) (rate(huddle_client_cost_usd_total[5m]))" in rules


def test_fleet_adds_to_the_rules(command: Command) -> None:
    plain, fleet = command("dashboards", "alerts"), command("dashboards", "alerts", "--fleet")
    assert "huddle_otel_fleet" not in plain.out
    assert set(plain.out.splitlines()) < set(fleet.out.splitlines())
    assert "source, team) (rate(huddle_client_cost_usd_total[5m]))" in fleet.out


@pytest.mark.parametrize("action", [["alerts"], ["export", "grafana"]])
def test_a_tag_without_a_fleet_is_refused(action: list[str], command: Command) -> None:
    done = command("dashboards", *action, "--tag", "team")
    assert (done.code, done.out) == (2, "")
    assert done.err == "huddle-otel: --tag goes with --fleet: other boards can split spend by every tag\n"


def test_a_tag_that_is_none_is_refused(command: Command) -> None:
    done = command("dashboards", "alerts", "--fleet", "--tag", "team}")
    assert (done.code, done.out) == (2, "")
    assert done.err == "huddle-otel: tags must be names of letters, digits, _ and ., got 'team}'\n"


def test_export_into_a_file_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    done = command("dashboards", "export", str(tmp_path / "taken"))
    assert done.code == 2
    assert done.err.startswith("huddle-otel: cannot write: ")


def test_alerts_are_made_with_ones_own_limits(command: Command) -> None:
    done = command("dashboards", "alerts", "--slo", "99.9", "--runbook-url", "https://wiki.example/r")
    assert done.code == 0
    assert "> 14.4 * 0.001" in done.out
    assert "https://wiki.example/r#huddleerrorbudgetburn" in done.out


def test_alerts_can_be_written_with_their_routing(command: Command, tmp_path: Path) -> None:
    done = command("dashboards", "alerts", "--output", str(tmp_path / "rules"))
    assert done.code == 0
    assert sorted(path.name for path in (tmp_path / "rules").iterdir()) == ["alertmanager.yml", "alerts.yml"]


def test_a_limit_that_makes_no_sense_is_refused(command: Command) -> None:
    done = command("dashboards", "alerts", "--slo", "100")
    assert (done.code, done.out) == (2, "")
    assert done.err == "huddle-otel: slo must be above 93.1 and below 100 (percent), got 100.0\n"


def test_every_limit_has_an_option() -> None:
    assert list(LIMITS) == list(asdict(Limits()))


def test_validate_says_what_is_wrong_with_each_panel(command: Command, odd: Odd) -> None:
    odd.find()
    done = command("dashboards", "validate", odd.url)
    assert done.code == 1
    assert "huddle-overview" in done.out
    assert "missing  Calls: huddle_client_calls_total" in done.out
    assert "empty    Used of each limit: no spend limit is set" in done.out
    assert "skipped" in done.out.splitlines()[-1]


def test_validate_tries_a_fleets_boards_and_rules(command: Command, odd: Odd) -> None:
    odd.find()
    done = command("dashboards", "validate", odd.url, "--fleet")
    assert done.code == 1
    assert "missing  Calls: job_model:huddle_client_calls:rate5m" in done.out
    assert "the recording rules are not loaded: huddle-otel dashboards alerts --fleet" in done.out
    assert "huddle-overview" not in done.out


def test_validate_says_why_it_cannot_ask(command: Command, odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROMETHEUS_TOKEN, SECRET)
    odd.status, odd.text = 401, "who are you?"
    done = command("dashboards", "validate", odd.url)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"huddle-otel: {odd.url} answers 401: set HUDDLE_OTEL_PROMETHEUS_TOKEN to a bearer token that it takes\n"
    )
    assert [each.authorization for each in odd.asked] == [f"Bearer {SECRET}"]


def test_validate_says_which_address_it_takes(command: Command) -> None:
    done = command("dashboards", "validate", "localhost:9090")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("huddle-otel: the address must be an http or https URL")


def test_validate_takes_user_and_password_from_the_address(command: Command, odd: Odd) -> None:
    odd.status = 403
    done = command("dashboards", "validate", odd.url.replace("//", "//ops:p%40ss@"))
    assert done.err.startswith(f"huddle-otel: {odd.url} answers 403")
    assert odd.asked[0].authorization == "Basic b3BzOnBAc3M="


def test_validate_must_know_which_metrics_there_are(command: Command, odd: Odd) -> None:
    odd.status, odd.text = 503, '{"status": "error", "error": "not ready"}'
    done = command("dashboards", "validate", odd.url)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"huddle-otel: {odd.url} does not say which metrics it has: not ready\n"


@pytest.mark.parametrize("value", ["0", "-1", "soon", "inf", "nan"])
def test_a_range_that_is_none_is_refused(command: Command, value: str) -> None:
    done = command("dashboards", "validate", "http://127.0.0.1:9", f"--seconds={value}")
    assert done.code == 2
    assert f"'{value}' is not a number above 0" in done.err
