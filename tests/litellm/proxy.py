"""A real LiteLLM proxy as a child process: its configuration, its start, and its end."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from tests.litellm import book

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

START_SECONDS: Final = 150.0
"""Usually 15 to 20 s; a busy machine with cold files takes several times that."""
LIFETIME_SECONDS: Final = 1800
"""The proxy ends by itself after this, should the test run be killed before it can stop it."""
_STOP_SECONDS: Final = 5.0
_LOG_TAIL: Final = 8_000

# An alarm outlives exec and, left alone, ends the process: a bound that needs nobody to be alive for it.
_BOUNDED: Final = "import os, signal, sys; signal.alarm(int(sys.argv[1])); os.execv(sys.argv[2], sys.argv[2:])"

_AUTH: Final = '''
"""Stands for the table of virtual keys, which needs a database: a key names its limits. The checks are the proxy's."""

import os

from litellm import BudgetExceededError
from litellm.proxy import proxy_server
from litellm.proxy._types import UserAPIKeyAuth, hash_token
from litellm.proxy.auth.auth_checks import virtual_key_max_budget_check
from litellm.proxy.auth.resolvers.exceptions import KeyNotFoundError

FIELDS = {
    "good": {},
    "expired": {"expires": "2026-01-01T00:00:00+00:00"},
    "other-model": {"models": ["another-model"]},
    "spent": {"max_budget": 10.0, "spend": 10.02},
    "spent-400": {"max_budget": 10.0, "spend": 10.02},
    "spent-429": {"max_budget": 10.0, "spend": 10.02},
    "limited": {"rpm_limit": 1},
}


async def authenticate(request, api_key):
    prefix = os.environ["TEST_KEY_PREFIX"]
    situation = api_key.removeprefix(prefix).partition(".")[0] if api_key.startswith(prefix) else None
    if situation not in FIELDS:
        raise KeyNotFoundError(hash_token(api_key))
    key = UserAPIKeyAuth(api_key=api_key, token=hash_token(api_key), **FIELDS[situation])
    try:
        # with a hook, the proxy checks expiry, models and limits itself, but leaves this one to the hook
        await virtual_key_max_budget_check(key, proxy_server.proxy_logging_obj)
    except BudgetExceededError as spent:
        spent.status_code = int(situation.partition("-")[2] or spent.status_code)  # as other versions and settings say
        raise
    return key
'''


@dataclass(frozen=True, slots=True)
class Deployment:
    """A model of the proxy, served by the scripted upstream under the same name."""

    name: str
    _: KW_ONLY
    prices: Mapping[str, float] = field(default_factory=dict)
    """USD per token, by LiteLLM's own names; none: the model has no price."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further `litellm_params`."""


class Proxy:
    """A LiteLLM proxy on loopback.

    Args:
        program: The `litellm` command of a virtual environment of its own.
        folder: For the configuration and the output.
        upstream: Base URL of what stands for the model provider.
        deployments: The models.
    """

    def __init__(self, program: Path, folder: Path, upstream: str, deployments: Iterable[Deployment]) -> None:
        self._folder = folder
        self._port = _free_port()
        self._key_prefix = f"sk-{secrets.token_hex(8)}-"
        config = {
            "model_list": [_entry(deployment, upstream) for deployment in deployments],
            # num_retries stays the gateway's own default: stopping it is what x-litellm-num-retries is for
            "router_settings": {"optional_pre_call_checks": ["enforce_model_rate_limits"]},
            "litellm_settings": {
                "telemetry": False,
                "enable_post_custom_auth_checks": True,
                "callbacks": ["book.book"],
            },
            "general_settings": {
                "master_key": f"sk-{secrets.token_hex(16)}",
                "custom_auth": "auth_hook.authenticate",
                "custom_auth_run_common_checks": True,
            },
        }
        (folder / "auth_hook.py").write_text(_AUTH, "utf-8")
        (folder / "book.py").write_text(book.MODULE, "utf-8")
        (folder / "config.yaml").write_text(json.dumps(config, indent=1), "utf-8")  # JSON is YAML
        self._command = [sys.executable, "-c", _BOUNDED, str(LIFETIME_SECONDS), str(program)]
        self._command += ["--config", str(folder / "config.yaml"), "--host", "127.0.0.1", "--port", str(self._port)]
        self._command += ["--num_workers", "1", "--telemetry", "False"]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What a client takes as `base_url`."""
        return f"http://127.0.0.1:{self._port}/v1"

    def book(self) -> dict[str, list[book.Entry]]:
        """What the proxy says each request came to, by call id; it writes a moment after its answer."""
        return book.read(self._folder / "book.jsonl")

    def key(self, situation: str = "good") -> str:
        """A key the proxy answers in this way; `limited.x` and `limited.y` are two keys of one kind."""
        return self._key_prefix + situation

    def __enter__(self) -> Self:
        with (self._folder / "output.txt").open("wb") as output:
            # A session of its own is a process group of its own: stopping it cannot miss a child nor hit anyone else.
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=output, env=self._environment(), start_new_session=True
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Kill the whole process group: it has nothing to save, and asked politely it waits for upstreams that hang."""
        if self._process is not None:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(_STOP_SECONDS)

    def died(self) -> int | None:
        """The exit status of a proxy that ended by itself; None while it runs."""
        return None if self._process is None else self._process.poll()

    def output(self, *, since: int = 0) -> str:
        """The end of what the proxy wrote, from byte `since` on."""
        written = (self._folder / "output.txt").read_bytes()[since:]
        return written[-_LOG_TAIL:].decode("utf-8", "replace")

    def written(self) -> int:
        """Bytes of output so far."""
        return (self._folder / "output.txt").stat().st_size

    def _environment(self) -> dict[str, str]:
        """Only what it needs: neither keys nor settings of whoever runs the tests."""
        return {
            "HOME": str(self._folder),
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "NO_PROXY": "*",
            "PATH": os.defpath,
            "PYTHONUNBUFFERED": "1",
            "TEST_BOOK": str(self._folder / "book.jsonl"),
            "TEST_KEY_PREFIX": self._key_prefix,
        }

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        pause = threading.Event()
        while not self._alive():
            if self._process.poll() is not None:
                raise RuntimeError(f"the proxy ended with {self._process.returncode}:\n{self.output()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the proxy was not ready after {START_SECONDS:g} s:\n{self.output()}")
            pause.wait(0.2)

    def _alive(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request("GET", "/health/liveliness")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _entry(deployment: Deployment, upstream: str) -> dict[str, Any]:
    params = {"model": f"openai/{deployment.name}", "api_base": upstream, "api_key": "sk-upstream-test"}
    return {"model_name": deployment.name, "litellm_params": {**params, **deployment.prices, **deployment.extra}}
