"""What an installed package brings: the boards by name, and written to a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import huddle_otel_dashboards


def test_a_board_is_read_by_its_uid() -> None:
    assert json.loads(huddle_otel_dashboards.read("huddle-slo"))["uid"] == "huddle-slo"


@pytest.mark.parametrize("name", ["", "slo", "../limits", "alerts"])
def test_a_board_there_is_not_is_refused_with_the_names_there_are(name: str) -> None:
    with pytest.raises(KeyError, match=r"no board .*; there are huddle-latency, huddle-overview, huddle-slo"):
        huddle_otel_dashboards.read(name)


def test_an_export_without_choices_is_what_is_shipped(tmp_path: Path) -> None:
    written = huddle_otel_dashboards.export(tmp_path / "deep" / "grafana")
    assert [path.name for path in written] == [f"{name}.json" for name in huddle_otel_dashboards.names()] + [
        "provider.yaml"
    ]
    for name in huddle_otel_dashboards.names():
        assert (tmp_path / "deep" / "grafana" / f"{name}.json").read_text() == huddle_otel_dashboards.read(name)


def test_a_fleets_export_has_its_boards_and_no_others(tmp_path: Path) -> None:
    written = huddle_otel_dashboards.export(tmp_path, fleet=True)
    assert [path.stem for path in written] == [*huddle_otel_dashboards.names(fleet=True), "provider"]
    assert all(path.stem.startswith("huddle-fleet-") for path in written[:-1])
    assert (tmp_path / "huddle-fleet-slo.json").read_text() == huddle_otel_dashboards.read("huddle-fleet-slo")


def test_an_export_chooses_data_sources_and_the_runbook(tmp_path: Path) -> None:
    huddle_otel_dashboards.export(
        tmp_path, datasource_uid="prom-1", traces_uid="tempo-1", runbook_url="https://wiki.example/llm"
    )
    board = json.loads((tmp_path / "huddle-traces.json").read_text())
    chosen = {variable["name"]: variable.get("current", {}).get("value") for variable in board["templating"]["list"]}
    assert (chosen["datasource"], chosen["traces"], chosen["runbook"]) == (
        "prom-1",
        "tempo-1",
        "https://wiki.example/llm",
    )
    (runbook,) = [each for each in board["templating"]["list"] if each["name"] == "runbook"]
    assert runbook["query"] == "https://wiki.example/llm"


def test_the_provider_file_holds_folder_and_path_whatever_their_names(tmp_path: Path) -> None:
    folder = tmp_path / 'of "us": {all}'
    huddle_otel_dashboards.export(folder, grafana_folder='LLM: "calls"')
    lines = (folder / "provider.yaml").read_text().splitlines()
    assert [
        json.loads(line.partition(": ")[2]) for line in lines if line.lstrip().startswith(("folder:", "path:"))
    ] == [
        'LLM: "calls"',
        str(folder),
    ]
