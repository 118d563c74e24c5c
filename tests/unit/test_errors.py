"""The error tree: what an app already catches still catches it."""

from __future__ import annotations

from importlib import import_module

import openai
import pytest

import huddle_otel
from huddle_otel import errors
from huddle_otel.errors import ConfigurationError, DeadlineExceeded, MissingKeyError
from tests.client.support import SDK

TREE: list[tuple[type[Exception], tuple[type[Exception], ...]]] = [
    (ConfigurationError, (openai.OpenAIError, ValueError)),
    (MissingKeyError, (ConfigurationError, openai.OpenAIError, ValueError)),
    (DeadlineExceeded, (openai.APITimeoutError, openai.APIConnectionError, openai.APIError, openai.OpenAIError)),
]


@pytest.mark.parametrize(("error", "parents"), TREE)
def test_the_tree(error: type[Exception], parents: tuple[type[Exception], ...]) -> None:
    assert all(issubclass(error, parent) for parent in parents)
    assert error.__name__ in (errors.__doc__ or ""), "drawn in the module's docstring"
    assert error.__name__ in huddle_otel.__all__


def test_a_deadline_tells_its_limit_and_keeps_the_request() -> None:
    request = import_module("httpx2" if SDK >= 3 else "httpx").Request("POST", "https://x.example/v1")
    error = DeadlineExceeded(request=request, limit=2.5)
    assert (error.limit, error.request) == (2.5, request)
    assert str(error) == error.message == "Call exceeded its total time of 2.5 s."


@pytest.mark.parametrize(
    ("sources", "field"),
    [({}, "x"), ({"x": "argument"}, "x"), ({"x": "HUDDLE_OTEL_X"}, "HUDDLE_OTEL_X (x)"), ({"y": "Y"}, "x")],
)
def test_an_error_is_named_after_the_variable_it_came_from(sources: dict[str, str], field: str) -> None:
    error = ConfigurationError(field="x", value=1, permitted="two").named_after(sources)
    assert (error.field, error.value, error.permitted) == (field, 1, "two")
    assert str(error) == f"{field} = 1 is not permitted: it must be two"
