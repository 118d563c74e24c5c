"""Template variables, put in as Grafana does it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from huddle_otel_dashboards.substitution import Window, chosen, substitute


def test_variables_are_replaced_in_every_way_they_are_written() -> None:
    values = {"job": "shop", "__range": "60s"}
    assert substitute('x{job=~"$job"}[$__range] ${job} ${job:raw}', values) == 'x{job=~"shop"}[60s] shop shop'


def test_what_is_no_variable_stays() -> None:
    query = 'label_replace(x, "tag", "$1", "$tag", "(.*)$")'
    assert substitute(query, {"tag": "team"}) == 'label_replace(x, "tag", "$1", "team", "(.*)$")'


def test_a_longer_name_is_not_taken_for_a_shorter_one() -> None:
    assert substitute("$__rate_interval $__range_s", {"__rate_interval": "4m", "__range": "1h"}) == "4m $__range_s"


@pytest.mark.parametrize(
    ("seconds", "scrape", "expected"),
    [
        (3_600, 15, {"__interval": "15s", "__rate_interval": "60s", "__range": "3600s"}),
        (86_400, 15, {"__interval": "87s", "__rate_interval": "102s", "__range": "86400s"}),
        (60, 1, {"__interval": "1s", "__rate_interval": "4s", "__range": "60s"}),
        (60, 0.3, {"__interval": "1s", "__rate_interval": "4s", "__range": "60s"}),
    ],
)
def test_grafanas_own_variables_follow_from_range_and_scrape_interval(
    seconds: float, scrape: float, expected: dict[str, str]
) -> None:
    assert Window(end=1_700_000_000, seconds=seconds, scrape=scrape).variables() == expected


@pytest.mark.parametrize(("beginning", "seconds"), [("now/d", 80_000), ("now/M", 13 * 86_400 + 80_000)])
def test_a_panel_may_show_the_day_or_the_month_so_far(beginning: str, seconds: float) -> None:
    window = Window(end=1_700_000_000, seconds=3_600, scrape=5)  # 2023-11-14 22:13:20 UTC
    assert window.since(beginning) == Window(end=1_700_000_000, seconds=seconds, scrape=5)


def test_another_beginning_is_refused() -> None:
    with pytest.raises(ValueError, match="beginning must be now/d or now/M, got 'now/y'"):
        Window(end=1).since("now/y")


@pytest.mark.parametrize(("field", "value"), [("seconds", 0), ("scrape", -1), ("end", float("nan"))])
def test_a_window_without_length_is_refused(field: str, value: float) -> None:
    given: dict[str, Any] = {"end": 1.0, field: value}
    with pytest.raises(ValueError, match=rf"{field} must be a number above 0, got {value}"):
        Window(**given)


def _variable(*values: str) -> dict[str, object]:
    return {"name": "model", "allValue": ".*", "query": "", "current": {"value": list(values)}}


def _of_model(*values: str) -> str:
    return chosen({"templating": {"list": [_variable(*values)]}})["model"]


def test_all_is_what_the_board_says_it_is() -> None:
    assert _of_model("$__all") == ".*"


def test_one_model_is_itself_and_several_are_alternatives() -> None:
    assert _of_model("gpt-4.1") == r"gpt-4\\.1"
    assert _of_model("o3", "gpt-4.1") == r"(o3|gpt-4\\.1)"


def test_what_was_typed_in_or_is_constant_is_taken_as_it_is() -> None:
    board = {"templating": {"list": [{"name": "tag", "query": "team"}, {"name": "slow", "current": {"value": "20s"}}]}}
    assert chosen(board) == {"tag": "team", "slow": "20s"}


@given(st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1), min_size=1, unique=True))
def test_alternatives_match_the_values_and_nothing_else(values: list[str]) -> None:
    pattern = _of_model(*values).replace(r"\\", "\\")  # as Prometheus reads a string
    for value in values:
        assert re.fullmatch(pattern, value)
    assert not re.fullmatch(pattern, "no such model")
