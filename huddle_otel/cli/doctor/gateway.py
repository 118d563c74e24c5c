"""Checks of the gateway: is it there, does it take the key, and what does it send."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import openai
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

import huddle_otel
from huddle_otel.cli.doctor import reach
from huddle_otel.cli.doctor.check import Check, Status
from huddle_otel.client import patch
from huddle_otel.client.failures import redact
from huddle_otel.settings import KEY_VARIABLE, Secret, Settings

TIMEOUT: Final = 5.0
"""Seconds for each step."""
_HEADERS: Final = ("x-litellm-", "x-ratelimit-", "llm_provider-", "retry-after", "x-request-id", "server")
"""Beginnings of the header names worth showing."""
_UNAUTHORIZED: Final = 401
_REDIRECTS: Final = range(300, 400)


def checks(settings: Settings, *, key: bool, chat: str | None) -> Iterator[Check]:
    """Look at the gateway.

    Args:
        settings: Where it is.
        key: There is a key to send; without one only the connection is tried.
        chat: A model to make one smallest call to.
    """
    parts = urlsplit(settings.base_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if not reach.goes_through_a_proxy(settings.base_url):
        problem = reach.problem_with(host, port, timeout=TIMEOUT)
        if problem is not None:
            yield Check(
                name="gateway",
                status=Status.PROBLEM,
                detail=f"cannot connect to {host}, port {port}: {problem}",
                fix="check the network and HUDDLE_OTEL_BASE_URL",
            )
            return
    if not key:
        detail = f"{host}, port {port}, can be reached; not asked for anything, since there is no key"
        yield Check(name="gateway", status=Status.SKIPPED, detail=detail)
        return
    yield from _ask(settings, host, chat)


def _ask(settings: Settings, host: str, chat: str | None) -> Iterator[Check]:
    """Ask for the models, and perhaps for a chat, through instrument(), which is what the app will do."""
    before = patch.active()
    try:
        huddle_otel.instrument(retry=None, tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider())
        # redirects are not followed: where one leads is for the user to see, and nothing to send a key to
        with (
            openai.DefaultHttpxClient(follow_redirects=False) as http,
            openai.OpenAI(base_url=settings.base_url, timeout=TIMEOUT, max_retries=0, http_client=http) as client,
        ):
            yield _tell("gateway", host, client.models.with_raw_response.list, _listed)
            if chat is not None:
                yield _tell("chat", host, lambda: _chat(client, chat), _answered)
    finally:
        huddle_otel.uninstrument()
        if before is not None:
            patch.install(before)


def _chat(client: openai.OpenAI, model: str) -> Any:
    return client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": "Hi"}], max_tokens=1
    )


def _tell(name: str, host: str, send: Callable[[], Any], read: Callable[[Any], str]) -> Check:
    """Send one request and tell what came back."""
    try:
        response = send()
        return Check(name=name, status=Status.OK, detail=f"{host}: {read(response)}", facts=_facts(response.headers))
    except openai.APIStatusError as error:
        return _refused(name, host, error)
    except openai.APIConnectionError as error:
        cause = error.__cause__ or error
        detail = f"{host}: {type(cause).__name__}: {redact(str(cause))}"
        return Check(name=name, status=Status.PROBLEM, detail=detail, fix="check the network and HUDDLE_OTEL_BASE_URL")
    except Exception as error:  # noqa: BLE001 - whatever answers there may answer anything
        detail = f"{host} answers, but not as an OpenAI-compatible API: {type(error).__name__}: {redact(str(error))}"
        return Check(name=name, status=Status.PROBLEM, detail=detail, fix="check HUDDLE_OTEL_BASE_URL; it ends in /v1")


def _listed(response: Any) -> str:
    return f"takes the key and lists {len(response.parse().data)} models"


def _answered(response: Any) -> str:
    answer = response.parse()
    tokens = (
        "unknown" if answer.usage is None else f"{answer.usage.prompt_tokens} in, {answer.usage.completion_tokens} out"
    )
    return f"{answer.model} answered; tokens: {tokens}"


def _refused(name: str, host: str, error: openai.APIStatusError) -> Check:
    status, said = error.status_code, redact(str(error.message))
    fix = "the message is the gateway's own"
    if status == _UNAUTHORIZED and "litellm." in said:
        fix = "the gateway's own upstream key was refused, not yours: tell whoever runs the gateway"
    elif status == _UNAUTHORIZED:
        masked = Secret(os.environ.get(KEY_VARIABLE, "").strip())
        said = f"refused the key {masked}: {said}"
        fix = f"other Huddle01 products use the name {KEY_VARIABLE} too; this host needs a key of the AI gateway"
    elif status in _REDIRECTS:
        said = f"redirects to {urlsplit(error.response.headers.get('location', '')).hostname or 'itself'}; not followed"
        fix = "if that is where the gateway now lives, set HUDDLE_OTEL_BASE_URL"
    return Check(
        name=name,
        status=Status.PROBLEM,
        detail=f"{host}: {status}: {said}",
        fix=fix,
        facts=_facts(error.response.headers),
    )


def _facts(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: redact(value) for name, value in sorted(headers.items()) if name.lower().startswith(_HEADERS)}
