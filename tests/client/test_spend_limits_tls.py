"""A real Redis behind TLS: told whom to trust, limits work; else the store is away, and the password stays here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import huddle_otel
from huddle_otel import SpendGuard
from huddle_otel.cli.stack.processes import free_port
from tests.client.spend_calls import COST, ask
from tests.client.support import Instrument
from tests.exporters.conftest import missing
from tests.redis_server import PASSWORD, RedisServer

pytestmark = pytest.mark.backend
_CERTIFICATE = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
_NAMES = ["-addext", "subjectAltName=DNS:localhost"]


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate that signs itself, for localhost, beside its key."""
    if shutil.which("openssl") is None:
        missing("openssl")
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    subprocess.run(["openssl", "req", *_CERTIFICATE, *_NAMES, *files], capture_output=True, check=True)
    return tmp_path / "certificate.pem"


@pytest.fixture
def url(redis_server: RedisServer, authority: Path) -> str:
    """The same server by its port for TLS."""
    port, key = free_port(), authority.with_name("key.pem")
    redis_server.ask(
        "CONFIG", "SET", "tls-cert-file", str(authority), "tls-key-file", str(key), "tls-auth-clients", "no"
    )
    redis_server.ask("CONFIG", "SET", "tls-port", port)
    return f"rediss://:{PASSWORD}@localhost:{port}/0"


def test_a_store_whose_certificate_is_trusted_keeps_limits(
    instrument: Instrument, redis_server: RedisServer, url: str, authority: Path
) -> None:
    store = f"{url}?ssl_ca_certs={authority}"
    instrument(spend_guard=SpendGuard(limit=1, action="block", store=store, store_timeout=5.0))
    ask()
    assert huddle_otel.flush()
    assert redis_server.account("day::") == {"spent": COST, "reserved": 0}


def test_one_whose_certificate_is_not_trusted_is_told_nothing(
    instrument: Instrument, redis_server: RedisServer, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    instrument(
        spend_guard=SpendGuard(limit=1, action="block", store=url, store_timeout=5.0, on_store_failure="closed"),
    )
    with pytest.raises(huddle_otel.SpendLimitError, match="cannot be used"):
        ask()
    assert redis_server.account("day::") == {}
    assert "certificate verify failed" in caplog.text
    assert PASSWORD not in caplog.text
