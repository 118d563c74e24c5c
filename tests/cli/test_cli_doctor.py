from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from huddle_otel.cli.doctor import Status, examine, reach
from huddle_otel.client import patch
from huddle_otel.gateway import Gateway, Rule, faults
from tests.cli.conftest import KEY

if TYPE_CHECKING:
    from tests.cli.conftest import Command, Done
    from tests.redis_server import RedisServer

OTHER_KEY = "sk-of-another-product-1234"


def check(done: Done, name: str) -> dict[str, Any]:
    """The worst check of that name in JSON output."""
    order = ["problem", "warn", "skipped", "ok"]
    found = [each for each in json.loads(done.out)["checks"] if each["name"] == name]
    return min(found, key=lambda each: order.index(each["status"]))


@pytest.fixture
def at_gateway(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Gateway:
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", gateway.url)
    return gateway


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_all_is_well_at_a_working_gateway(command: Command, at_gateway: Gateway) -> None:
    done = command("doctor", "--json")
    report = json.loads(done.out)
    assert done.code == 0, done.out
    assert report["ok"] is True
    gateway = check(done, "gateway")
    assert gateway["status"] == "ok"
    assert "lists 6 models" in gateway["detail"]
    assert gateway["facts"]["x-litellm-version"] == "1.106.2"
    assert "x-ratelimit-remaining-requests" in gateway["facts"]
    assert [call.path for call in at_gateway.calls] == ["/v1/models"]
    assert check(done, "settings")["facts"]["base_url"] == f"{at_gateway.url}  (HUDDLE_OTEL_BASE_URL)"
    assert check(done, "key")["detail"] == "HUDDLE_API_KEY = ****cdef"
    assert KEY not in done.out
    assert patch.active() is None


def test_it_reads_well_at_eighty_columns(command: Command, at_gateway: Gateway) -> None:
    done = command("doctor")
    assert done.code == 0
    assert max(map(len, done.out.splitlines())) <= 80
    assert "\x1b" not in done.out
    assert "0 problems" in done.out
    assert KEY not in done.out


def test_a_chat_is_made_only_when_asked_for(command: Command, at_gateway: Gateway) -> None:
    done = command("doctor", "--json", "--chat", "gpt-4.1")
    assert done.code == 0
    assert check(done, "chat")["detail"].endswith("gpt-4.1 answered; tokens: 1 in, 1 out")
    assert "x-litellm-response-cost" in check(done, "chat")["facts"]
    assert [call.path for call in at_gateway.calls] == ["/v1/models", "/v1/chat/completions"]


def test_a_wrong_key_names_the_host_and_hides_the_key(
    command: Command, at_gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", OTHER_KEY)
    for arguments in (["--json"], []):
        done = command("doctor", *arguments)
        assert done.code == 1
        assert OTHER_KEY not in done.out
    done = command("doctor", "--json")
    refused = check(done, "gateway")
    assert refused["detail"].startswith("127.0.0.1: 401: refused the key ****1234")
    assert "other Huddle01 products use the name HUDDLE_API_KEY" in refused["fix"]


def test_the_gateways_own_bad_key_is_not_blamed_on_the_user(command: Command, at_gateway: Gateway) -> None:
    at_gateway.script([Rule(faults.upstream_key_bad(), path="*completions")])
    done = command("doctor", "--json", "--chat", "gpt-4.1")
    assert done.code == 1
    assert check(done, "gateway")["status"] == "ok"
    assert "not yours" in check(done, "chat")["fix"]


def test_the_key_does_not_follow_a_redirect(command: Command, at_gateway: Gateway) -> None:
    with Gateway(key=None) as elsewhere:
        at_gateway.script([Rule(faults.redirect(f"{elsewhere.url}/models"))])
        done = command("doctor", "--json")
        assert elsewhere.calls == []
    assert done.code == 1
    assert "redirects to 127.0.0.1; not followed" in check(done, "gateway")["detail"]


def test_no_gateway_there(command: Command, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", f"http://127.0.0.1:{closed_port}/v1")
    done = command("doctor", "--json")
    assert done.code == 1
    assert f"cannot connect to 127.0.0.1, port {closed_port}" in check(done, "gateway")["detail"]


@pytest.mark.parametrize(
    "fault", [faults.unparsable_body(), faults.bad_gateway(), faults.reset_before_first_byte(), faults.status(500)]
)
def test_a_broken_gateway_is_a_problem_and_no_crash(command: Command, at_gateway: Gateway, fault: Any) -> None:
    at_gateway.script([Rule(fault)])
    done = command("doctor", "--json")
    assert done.code == 1
    assert check(done, "gateway")["status"] == "problem"
    assert len(at_gateway.calls) == 1


def test_without_a_key_the_gateway_is_only_tried(
    command: Command, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_BASE_URL", gateway.url)
    done = command("doctor", "--json")
    assert done.code == 1
    assert check(done, "key")["status"] == "problem"
    assert "HUDDLE_API_KEY" in check(done, "key")["fix"]
    assert check(done, "gateway")["status"] == "skipped"
    assert gateway.calls == []


def test_a_key_that_cannot_be_sent(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", "sk-with a space")
    done = command("doctor", "--json", "--no-network")
    assert check(done, "key")["status"] == "problem"
    assert "sk-with a space" not in done.out


def test_a_bad_variable_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    monkeypatch.setenv("HUDDLE_OTEL_RETRY_MAX_ATTEMPTS", "many")
    done = command("doctor", "--json")
    assert done.code == 1
    assert check(done, "settings")["fix"] == "change or unset HUDDLE_OTEL_RETRY_MAX_ATTEMPTS"
    assert check(done, "gateway")["status"] == "skipped"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("HUDDLE_BASE_URL", "another Huddle01 product"),
        ("OPENAI_BASE_URL", "your own choice"),
        ("HUDDLE_OTEL_RETRYS", "nothing reads HUDDLE_OTEL_RETRYS"),
        ("HUDDLE_OTEL_API_KEY", "nothing reads HUDDLE_OTEL_API_KEY"),
    ],
)
def test_variables_that_are_not_what_they_seem(
    command: Command, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    monkeypatch.setenv(name, f"x-{KEY}")
    done = command("doctor", "--json", "--no-network")
    assert done.code == 0
    assert check(done, "environment")["status"] == "warn"
    assert words in check(done, "environment")["detail"]
    assert KEY not in done.out


def test_settings_that_exist_are_not_called_misspelt(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_RETRY_MAX_ATTEMPTS", "2")
    monkeypatch.setenv("HUDDLE_OTEL_TIMEOUT_STALL", "2")
    monkeypatch.setenv("HUDDLE_OTEL_HOSTS", "api.example.com")
    done = command("doctor", "--json", "--no-network")
    assert "environment" not in {each["name"] for each in json.loads(done.out)["checks"]}
    assert "max_attempts=2" in check(done, "settings")["facts"]["retry"]


def test_a_collector_is_tried(command: Command, closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", f"http://user:secret@127.0.0.1:{closed_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://host:port")
        checks = examine(network=True, chat=None)
    told = {each.detail.split(" (")[-1]: each.status for each in checks if each.name == "OTLP" and "(" in each.detail}
    assert told["OTEL_EXPORTER_OTLP_ENDPOINT) takes connections"] is Status.OK
    assert [each.status for each in checks if "METRICS_ENDPOINT" in each.detail] == [Status.PROBLEM]
    assert [each.status for each in checks if "TRACES_ENDPOINT" in each.detail] == [Status.PROBLEM]
    assert not any("secret" in each.detail for each in checks)


def test_no_network_opens_no_connection(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "create_connection", never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    monkeypatch.setenv("HUDDLE_API_KEY", KEY)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
    done = command("doctor", "--json", "--no-network")
    assert done.code == 0
    assert check(done, "gateway")["status"] == check(done, "OTLP")["status"].replace("warn", "skipped") == "skipped"


def test_a_disabled_sdk_is_a_problem(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    done = command("doctor", "--json", "--no-network")
    assert check(done, "telemetry")["status"] == "problem"


def test_an_unknown_client_is_a_problem(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patch, "unknown_shape", lambda: "SyncAPIClient.request has other parameters")
    done = command("doctor", "--json", "--no-network")
    assert done.code == 1
    assert "other parameters" in check(done, "openai client")["detail"]


def test_reaching_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    over = threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        over.wait(5)
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", slow)
    assert reach.problem_with("slow.example", 443, timeout=0.05) == "no answer in 0.05 s"
    over.set()


@pytest.mark.backend
def test_the_store_of_shared_limits_is_asked(
    command: Command, at_gateway: Gateway, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_SPEND_GUARD_LIMIT", "5")
    monkeypatch.setenv("HUDDLE_OTEL_SPEND_GUARD_STORE", redis_server.url)
    done = command("doctor", "--json")
    shown = f"redis://****@127.0.0.1:{redis_server.port}/0"
    assert done.code == 0
    assert check(done, "spend store")["detail"].startswith(f"{shown} answers in ")
    assert re.fullmatch(rf"{redis_server.name} [0-9.]+", check(done, "spend store")["facts"]["version"])
    assert f"store={shown}" in check(done, "settings")["facts"]["spend_guard"]
    assert "hunter2" not in done.out + command("doctor").out


def test_a_store_that_cannot_be_reached_is_a_problem(
    command: Command, at_gateway: Gateway, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUDDLE_OTEL_SPEND_GUARD_LIMIT", "5")
    monkeypatch.setenv("HUDDLE_OTEL_SPEND_GUARD_STORE", f"redis://:hunter2@127.0.0.1:{closed_port}")
    done = command("doctor", "--json")
    assert done.code == 1
    assert "refused" in check(done, "spend store")["detail"]
    assert "hunter2" not in done.out
    assert check(command("doctor", "--json", "--no-network"), "spend store")["status"] == "skipped"


def test_without_a_store_nothing_is_said_of_one(command: Command, at_gateway: Gateway) -> None:
    assert "spend store" not in command("doctor", "--json").out
