"""The boards, held against the rules of Grafana's dashboard-linter and some of our own.

https://github.com/grafana/dashboard-linter
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import huddle_otel_dashboards
from huddle_otel_dashboards.alerts import alerts
from huddle_otel_dashboards.boards.board import Row
from huddle_otel_dashboards.boards.catalogue import boards, text
from huddle_otel_dashboards.boards.colours import BAD, GOOD, OUTCOMES
from huddle_otel_dashboards.boards.figures import Stat
from huddle_otel_dashboards.boards.panels import Query
from huddle_otel_dashboards.boards.readers import Raw, Recorded
from huddle_otel_dashboards.limits import Limits

NAMES: Final = ("latency", "overview", "slo", "spend", "traces", "upstream")
"""Links and bookmarks hold them: a uid that changes breaks them."""
RAW: Final = {name: json.loads(huddle_otel_dashboards.read(name)) for name in huddle_otel_dashboards.names()}
FLEET: Final = {
    name: json.loads(huddle_otel_dashboards.read(name)) for name in huddle_otel_dashboards.names(fleet=True)
}
BOARDS: Final = {**RAW, **FLEET}
PANELS: Final = [
    pytest.param(board, panel, id=f"{name}/{panel['title']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_panel = pytest.mark.parametrize(("board", "panel"), PANELS)


def test_the_shipped_json_is_what_the_boards_are_made_into() -> None:
    made = {board.uid: text(board) for read in (Raw(), Recorded()) for board in boards(read=read)}
    assert {name: huddle_otel_dashboards.read(name) for name in BOARDS} == made, "make dashboards"


def test_uids_stay_as_they_are() -> None:
    assert huddle_otel_dashboards.names() == tuple(f"huddle-{name}" for name in NAMES)
    assert huddle_otel_dashboards.names(fleet=True) == tuple(f"huddle-fleet-{name}" for name in NAMES)
    assert [board["uid"] for board in BOARDS.values()] == list(BOARDS)


def test_a_fleets_boards_are_the_same_boards() -> None:
    for name in NAMES:
        one, many = RAW[f"huddle-{name}"], FLEET[f"huddle-fleet-{name}"]
        assert many["title"] == one["title"].replace("LLM calls / ", "LLM fleet / ")
        assert [_looks(panel) for panel in many["panels"]] == [_looks(panel) for panel in one["panels"]]


def test_a_board_says_that_it_reads_rules_only_where_it_does() -> None:
    said = {name for name, board in BOARDS.items() if board["description"].endswith("from recording rules.")}
    assert said == {f"huddle-fleet-{name}" for name in NAMES} - {"huddle-fleet-traces"}


def _looks(panel: dict[str, Any]) -> tuple[Any, ...]:
    config = json.dumps(panel.get("fieldConfig")).replace("/d/huddle-fleet-", "/d/huddle-")
    return (panel["title"], panel["type"], panel["gridPos"], len(panel.get("targets", ())), config)


@each_board
def test_a_board_is_classic_of_schema_version_42_and_asks_nothing_at_import(board: dict[str, Any]) -> None:
    assert board["schemaVersion"] == 42
    assert board["editable"] is True
    assert "id" not in board
    assert not {"__inputs", "__requires", "__elements"} & set(board)
    assert board["tags"] == ["huddle_otel", "llm"]
    assert board["timezone"] == "utc"


@each_board
def test_data_sources_job_model_and_operation_are_variables(board: dict[str, Any]) -> None:
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    chosen = ("job", "model", "operation") if board["uid"] in FLEET else ("job", "instance", "model", "operation")
    assert [each["name"] for each in board["templating"]["list"] if each["type"] == "query"] == list(chosen)
    for name in chosen:
        variable = variables[name]
        assert (variable["type"], variable["multi"], variable["includeAll"], variable["allValue"]) == (
            "query",
            True,
            True,
            ".*",
        )
        assert variable["refresh"] == 2, "a new model must appear when the time range changes"
        assert variable["definition"] == variable["query"]["query"]
        assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


@each_panel
def test_a_panel_says_what_it_is_and_in_what_unit(board: dict[str, Any], panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert len(panel["description"]) > 40
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]


@each_panel
def test_a_panel_takes_its_data_from_a_variable(board: dict[str, Any], panel: dict[str, Any]) -> None:
    sources = {"prometheus": "${datasource}", "tempo": "${traces}"}
    for source in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
        assert source["uid"] == sources[source["type"]]
        assert source["uid"].strip("${}") in {variable["name"] for variable in board["templating"]["list"]}


@each_panel
def test_a_panel_has_queries_with_letters_of_their_own(board: dict[str, Any], panel: dict[str, Any]) -> None:
    letters = [target["refId"] for target in panel["targets"]]
    assert letters == sorted(set(letters))
    assert letters[0] == "A"
    for target in panel["targets"]:
        assert (target.get("expr") or target.get("query", "")).strip()


@pytest.mark.parametrize(("board", "panel"), [each for each in PANELS if each.values[1]["type"] == "timeseries"])  # type: ignore[index]
def test_a_graph_names_its_lines_and_shows_their_last_value(board: dict[str, Any], panel: dict[str, Any]) -> None:
    legend, tooltip = panel["options"]["legend"], panel["options"]["tooltip"]
    assert legend["displayMode"] == "table"
    assert "last" in legend["calcs"]
    assert (tooltip["mode"], tooltip["sort"]) == ("multi", "desc")
    grouped = [target for target in panel["targets"] if " by (" in target["expr"].split("(le", 1)[0]]
    assert all("{{" in target["legendFormat"] for target in grouped)
    assert len({target["legendFormat"] for target in panel["targets"]}) == len(panel["targets"])


@each_board
def test_panels_fill_the_grid_without_overlap(board: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    bottom = max(y for _, y in taken)
    assert taken == {(x, y) for x in range(24) for y in range(bottom + 1)}


@each_board
def test_panels_have_numbers_and_titles_of_their_own(board: dict[str, Any]) -> None:
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    for titles in _titles_by_row(board):
        assert len(set(titles)) == len(titles)


def _titles_by_row(board: dict[str, Any]) -> Iterator[list[str]]:
    row: list[str] = []
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield row
            row = []
        else:
            row.append(panel["title"])
    yield row


def _links(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield value["url"]
        for each in value.values():
            yield from _links(each)
    elif isinstance(value, list):
        for each in value:
            yield from _links(each)


@each_board
def test_links_lead_to_a_board_or_into_the_runbook(board: dict[str, Any]) -> None:
    links = list(_links(board))
    assert links
    for url in links:
        to_board = re.match(r"/d/([\w-]+)\?", url)
        assert url.startswith("${runbook:raw}") if to_board is None else to_board[1] in BOARDS


def test_a_fleets_boards_lead_to_each_other() -> None:
    assert {url.partition("?")[0] for board in FLEET.values() for url in _links(board) if url.startswith("/d/")} == {
        "/d/huddle-fleet-upstream"
    }


def test_links_into_the_runbook_find_their_section() -> None:
    anchors = {url.partition("#")[2] for board in BOARDS.values() for url in _links(board["panels"]) if "#" in url}
    assert anchors
    assert anchors <= {alert.anchor for alert in alerts()}


@each_board
def test_boards_link_to_each_other_and_keep_time_and_variables(board: dict[str, Any]) -> None:
    (link,) = [link for link in board["links"] if link["type"] == "dashboards"]
    assert (link["tags"], link["keepTime"], link["includeVars"]) == (["huddle_otel"], True, True)


@each_board
def test_circuits_that_open_and_close_are_marked_in_every_graph(board: dict[str, Any]) -> None:
    marks = {mark["name"]: mark for mark in board["annotations"]["list"]}
    assert (marks["Circuit opened"]["iconColor"], marks["Circuit closed"]["iconColor"]) == ("red", "green")
    assert all(mark["enable"] and mark["datasource"]["uid"] == "${datasource}" for mark in marks.values())


def test_percentiles_show_exemplars() -> None:
    queries = [target for param in PANELS for target in param.values[1]["targets"] if target.get("exemplar")]  # type: ignore[index]
    assert len(queries) >= 5
    assert all("_bucket{" in target["expr"] for target in queries)  # what is recorded has none


def test_green_is_answered_and_red_is_failed() -> None:
    assert (OUTCOMES["ok"], OUTCOMES["error"]) == (GOOD, BAD) == ("green", "red")


def test_thresholds_follow_the_limits() -> None:
    (board,) = [
        board for board in boards(Limits(slo=99.9, p95=7, budget_usd_day=200)) if board.uid == "huddle-overview"
    ]
    made = json.loads(text(board))
    steps = {
        panel["title"]: [
            (step["value"], step["color"]) for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        ]
        for panel in made["panels"]
        if panel["type"] == "stat"
    }
    assert steps["Answered"] == [(None, "red"), (0.995, "orange"), (0.999, "green")]
    assert steps["Duration, p95"] == [(None, "green"), (5.25, "orange"), (7, "red")]
    assert steps["Spend today"] == [(None, "green"), (160, "orange"), (200, "red")]


def test_a_row_with_a_gap_is_refused() -> None:
    narrow = Stat(title="narrow", description="one", unit="s", width=20, queries=(Query(expr="up"),))
    with pytest.raises(ValueError, match="must fill 24 columns at one height"):
        Row(title="row", panels=(narrow,))


@pytest.mark.parametrize("width", [0, 25])
def test_a_panel_that_does_not_fit_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match=f"width of 'wide' must be from 1 to 24, got {width}"):
        Stat(title="wide", description="one", unit="s", width=width)


def test_a_panel_without_a_description_is_refused() -> None:
    with pytest.raises(ValueError, match="description of 'bare' must not be empty"):
        Stat(title="bare", description="", unit="s")


def test_the_shipped_files_hold_no_path_and_no_host() -> None:
    folder = Path(huddle_otel_dashboards.__file__).parent / "generated"
    for file in folder.rglob("*.json"):
        assert not re.search(r"https?://|/hom[e]/|/tm[p]/|/wor[k]/", file.read_text()), file.name
