"""Settings: every field from every source, and every refusal names where, what and what would do."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import openai
import pytest

from huddle_otel import ConfigurationError, MissingKeyError, RetryPolicy, TimeoutPolicy
from huddle_otel.settings import DEFAULT_BASE_URL, Secret, Settings, is_loopback


def test_the_defaults() -> None:
    settings = Settings.load({})
    assert settings.base_url == DEFAULT_BASE_URL == "https://gru.huddle01.io/v1"
    assert settings.timeout == TimeoutPolicy(connect=5, first_token=60, stall=30, total=600)
    assert settings.retry == RetryPolicy(max_attempts=3, base=0.5, cap=8, max_ambiguous=1, gateway_retries=0)
    assert settings.provider_name == "huddle01"
    assert (settings.api_key, settings.hosts, settings.tag_metrics, settings.prices) == (None, (), (), None)
    assert settings.sources == {}


FROM_ENVIRONMENT: list[tuple[dict[str, str], str, Any]] = [
    ({"HUDDLE_OTEL_BASE_URL": "https://other.example/v1"}, "base_url", "https://other.example/v1"),
    ({"HUDDLE_OTEL_HOSTS": "a.example, b.example:8443,"}, "hosts", ("a.example", "b.example:8443")),
    ({"HUDDLE_OTEL_TAG_METRICS": "team,feature"}, "tag_metrics", ("team", "feature")),
    ({"HUDDLE_OTEL_PROVIDER_NAME": "mine"}, "provider_name", "mine"),
    ({"HUDDLE_OTEL_RETRY": "off"}, "retry", None),
    ({"HUDDLE_OTEL_RETRY": "OFF"}, "retry", None),
    ({"HUDDLE_OTEL_RETRY": "0"}, "retry", None),
    ({"HUDDLE_OTEL_RETRY": "none"}, "retry", None),
    ({"HUDDLE_OTEL_RETRY": "false", "HUDDLE_OTEL_RETRY_BASE": "1"}, "retry", None),
    ({"HUDDLE_OTEL_RETRY": "on"}, "retry", RetryPolicy()),
    ({"HUDDLE_OTEL_RETRY": ""}, "retry", RetryPolicy()),
    ({"HUDDLE_OTEL_RETRY": "true", "HUDDLE_OTEL_RETRY_MAX_ATTEMPTS": "2"}, "retry", RetryPolicy(max_attempts=2)),
    ({"HUDDLE_OTEL_RETRY_MAX_ATTEMPTS": " 5 "}, "retry", RetryPolicy(max_attempts=5)),
    ({"HUDDLE_OTEL_RETRY_BASE": "0.25"}, "retry", RetryPolicy(base=0.25)),
    ({"HUDDLE_OTEL_RETRY_CAP": "20"}, "retry", RetryPolicy(cap=20)),
    ({"HUDDLE_OTEL_RETRY_MAX_AMBIGUOUS": "0"}, "retry", RetryPolicy(max_ambiguous=0)),
    ({"HUDDLE_OTEL_RETRY_GATEWAY_RETRIES": "2"}, "retry", RetryPolicy(gateway_retries=2)),
    ({"HUDDLE_OTEL_RETRY_GATEWAY_RETRIES": "none"}, "retry", RetryPolicy(gateway_retries=None)),
    ({"HUDDLE_OTEL_TIMEOUT": "off"}, "timeout", None),
    ({"HUDDLE_OTEL_TIMEOUT_CONNECT": "2"}, "timeout", TimeoutPolicy(connect=2)),
    ({"HUDDLE_OTEL_TIMEOUT_FIRST_TOKEN": "20"}, "timeout", TimeoutPolicy(first_token=20)),
    ({"HUDDLE_OTEL_TIMEOUT_STALL": "9.5"}, "timeout", TimeoutPolicy(stall=9.5)),
    ({"HUDDLE_OTEL_TIMEOUT_TOTAL": "120"}, "timeout", TimeoutPolicy(total=120)),
]


@pytest.mark.parametrize(("environ", "field", "expected"), FROM_ENVIRONMENT)
def test_from_the_environment(environ: dict[str, str], field: str, expected: Any) -> None:
    assert getattr(Settings.load(environ), field) == expected


def test_every_field_of_a_policy_has_its_variable() -> None:
    read = {name for environ, _, _ in FROM_ENVIRONMENT for name in environ}
    for kind, prefix in ((TimeoutPolicy, "HUDDLE_OTEL_TIMEOUT"), (RetryPolicy, "HUDDLE_OTEL_RETRY")):
        by_code = {"per_model", "budget"}  # policies inside policies
        assert {f"{prefix}_{each.name.upper()}" for each in fields(kind) if each.name not in by_code} <= read


@pytest.mark.parametrize("blank", ["", "   "])
def test_an_empty_variable_is_not_set(blank: str) -> None:
    environ = {name: blank for each, _, _ in FROM_ENVIRONMENT for name in each}
    assert Settings.load(environ) == Settings()


def test_arguments_win_and_the_source_is_known() -> None:
    environ = {
        "HUDDLE_OTEL_BASE_URL": "https://environment.example/v1",
        "HUDDLE_OTEL_RETRY": "off",
        "HUDDLE_OTEL_TIMEOUT_TOTAL": "120",
        "HUDDLE_OTEL_PROVIDER_NAME": "environment",
    }
    settings = Settings.load(environ, base_url="https://argument.example/v1", retry=RetryPolicy(max_attempts=2))
    assert settings.base_url == "https://argument.example/v1"
    assert settings.retry == RetryPolicy(max_attempts=2)
    assert settings.provider_name == "environment"
    assert settings.sources == {
        "base_url": "argument",
        "retry": "argument",
        "provider_name": "HUDDLE_OTEL_PROVIDER_NAME",
        "timeout": "HUDDLE_OTEL_TIMEOUT_TOTAL",
    }


@pytest.mark.parametrize("given", ["a, b", ["a", "b"], ("a", "b")])
def test_names_may_be_a_text_a_list_or_a_tuple(given: Any) -> None:
    assert Settings.load({}, hosts=given, tag_metrics=given).hosts == ("a", "b")
    assert set(Settings.load({}, tag_metrics={"a", "b"}).tag_metrics) == {"a", "b"}


def test_the_sources_do_not_make_settings_different() -> None:
    assert Settings.load({"HUDDLE_OTEL_PROVIDER_NAME": "x"}) == Settings.load({}, provider_name="x")


BAD_VARIABLES: list[tuple[dict[str, str], str, str, str]] = [
    ({"HUDDLE_OTEL_BASE_URL": "ftp://x"}, "HUDDLE_OTEL_BASE_URL", "ftp://x", "https://"),
    ({"HUDDLE_OTEL_HOSTS": "https://a.example"}, "HUDDLE_OTEL_HOSTS", "https://a.example", "name:port"),
    ({"HUDDLE_OTEL_RETRY": "sometimes"}, "HUDDLE_OTEL_RETRY", "sometimes", "on or off"),
    ({"HUDDLE_OTEL_TIMEOUT": "5"}, "HUDDLE_OTEL_TIMEOUT", "5", "on or off"),
    ({"HUDDLE_OTEL_RETRY_MAX_ATTEMPTS": "two"}, "HUDDLE_OTEL_RETRY_MAX_ATTEMPTS", "two", "whole number"),
    ({"HUDDLE_OTEL_RETRY_MAX_ATTEMPTS": "2.5"}, "HUDDLE_OTEL_RETRY_MAX_ATTEMPTS", "2.5", "whole number"),
    ({"HUDDLE_OTEL_RETRY_MAX_ATTEMPTS": "0"}, "HUDDLE_OTEL_RETRY_MAX_ATTEMPTS", "0", "from 1 to 20"),
    ({"HUDDLE_OTEL_RETRY_BASE": "fast"}, "HUDDLE_OTEL_RETRY_BASE", "fast", "a number"),
    ({"HUDDLE_OTEL_RETRY_BASE": "nan"}, "HUDDLE_OTEL_RETRY_BASE", "nan", "from 0 to 60"),
    ({"HUDDLE_OTEL_RETRY_CAP": "0.1"}, "HUDDLE_OTEL_RETRY_CAP", "0.1", "at least RetryPolicy.base"),
    ({"HUDDLE_OTEL_RETRY_MAX_AMBIGUOUS": "-1"}, "HUDDLE_OTEL_RETRY_MAX_AMBIGUOUS", "-1", "from 0 to 20"),
    ({"HUDDLE_OTEL_RETRY_GATEWAY_RETRIES": "many"}, "HUDDLE_OTEL_RETRY_GATEWAY_RETRIES", "many", "or none"),
    ({"HUDDLE_OTEL_TIMEOUT_CONNECT": "0"}, "HUDDLE_OTEL_TIMEOUT_CONNECT", "0", "above 0"),
    ({"HUDDLE_OTEL_TIMEOUT_FIRST_TOKEN": "-1"}, "HUDDLE_OTEL_TIMEOUT_FIRST_TOKEN", "-1", "above 0"),
    ({"HUDDLE_OTEL_TIMEOUT_STALL": "1e9"}, "HUDDLE_OTEL_TIMEOUT_STALL", "1000000000.0", "86400"),
    ({"HUDDLE_OTEL_TIMEOUT_STALL": "700"}, "HUDDLE_OTEL_TIMEOUT_STALL", "700", "at most TimeoutPolicy.total"),
    ({"HUDDLE_OTEL_TIMEOUT_TOTAL": "inf"}, "HUDDLE_OTEL_TIMEOUT_TOTAL", "inf", "86400"),
]


@pytest.mark.parametrize(("environ", "variable", "value", "permitted"), BAD_VARIABLES)
def test_a_bad_variable_is_named_with_its_value_and_what_is_permitted(
    environ: dict[str, str], variable: str, value: str, permitted: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(environ)
    error = caught.value
    assert variable in error.field
    assert variable in str(error)
    assert value in str(error)
    assert permitted in str(error)


_URL = "an https:// URL"
BAD_ARGUMENTS: list[tuple[str, Any, str]] = [
    *(
        ("base_url", value, _URL)
        for value in (
            "",
            "gru.huddle01.io/v1",
            "http://gru.huddle01.io/v1",
            "https://",
            "https://x/v1?a=1",
            "https://x/#a",
        )
    ),
    *(("base_url", value, _URL) for value in ("https://x:port/v1", "https://[::1", None, 7)),
    *(("hosts", value, "tuple") for value in (7, ("",), (7,))),
    ("hosts", ("a/b",), "no scheme or path"),
    ("hosts", ("user@a",), "no scheme or path"),
    ("tag_metrics", 7, "tuple"),
    ("provider_name", "", "non-empty"),
    ("provider_name", None, "non-empty"),
    ("timeout", 5, "TimeoutPolicy"),
    ("retry", 3, "RetryPolicy"),
]


@pytest.mark.parametrize(("field", "value", "permitted"), BAD_ARGUMENTS)
def test_a_bad_argument_is_named_with_its_value_and_what_is_permitted(field: str, value: Any, permitted: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({}, **{field: value})
    assert caught.value.field == field
    assert permitted in caught.value.permitted
    assert (
        str(caught.value) == f"{field} = {caught.value.value!r} is not permitted: it must be {caught.value.permitted}"
    )


_NOT_NUMBERS = (True, "1", None, math.nan, math.inf, -1)
BAD_POLICIES: list[tuple[type[Any], str, Any]] = [
    *((TimeoutPolicy, each.name, value) for each in fields(TimeoutPolicy) for value in (*_NOT_NUMBERS, 0, 86_401)),
    *((RetryPolicy, name, value) for name in ("base", "cap") for value in (*_NOT_NUMBERS, 601)),
    *((RetryPolicy, name, value) for name in ("max_attempts", "max_ambiguous") for value in (*_NOT_NUMBERS, 1.0, 21)),
    *((RetryPolicy, "gateway_retries", value) for value in (True, "1", -1, 21, 1.5)),
    (RetryPolicy, "max_attempts", 0),
    (RetryPolicy, "base", 61),
    (RetryPolicy, "cap", 0.4),
    (TimeoutPolicy, "connect", 601),
    (TimeoutPolicy, "first_token", 601),
    (TimeoutPolicy, "total", 1),
]


@pytest.mark.parametrize(("kind", "field", "value"), BAD_POLICIES)
def test_a_policy_that_exists_is_a_policy_that_works(kind: type[Any], field: str, value: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=rf"^{kind.__name__}\.\w+ = .+ is not permitted: it must be "
    ) as caught:
        kind(**{field: value})
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, openai.OpenAIError)


@pytest.mark.parametrize(
    "url",
    [
        "https://x.example",
        "https://x.example:8443/v1",
        "http://localhost:4000",
        "http://127.0.0.1:1/v1",
        "http://[::1]:80/v1",
    ],
)
def test_urls_that_are_permitted(url: str) -> None:
    assert Settings.load({}, base_url=url).base_url == url


def test_a_url_with_a_password_is_refused_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.load({}, base_url="https://user:pass-word@x.example/v1")
    assert "pass-word" not in str(caught.value)
    assert "hidden" in str(caught.value)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("::1", True), ("127.9.9.9", True), ("128.0.0.1", False), ("127.0.0.1.evil.example", False)],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize("kind", [TimeoutPolicy, RetryPolicy, Settings])
def test_settings_are_frozen_slotted_and_keyword_only(kind: type[Any]) -> None:
    made = kind()
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(made, fields(kind)[0].name, 1)
    assert not hasattr(made, "__dict__")
    with pytest.raises(TypeError):
        kind(1)


def test_a_secret_may_be_given_as_one() -> None:
    assert Settings.load({}, api_key=Secret("x")).api_key == Secret("x")
    assert Settings.load({}, api_key=None).api_key is None


def test_the_missing_key_says_host_and_remedy() -> None:
    error = MissingKeyError(host="gru.huddle01.io")
    for part in ("gru.huddle01.io", "HUDDLE_API_KEY", "api_key="):
        assert part in str(error)
    assert (error.field, error.value) == ("HUDDLE_API_KEY", None)
