"""A real trace UI, Arize Phoenix, takes our spans and understands them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = [pytest.mark.phoenix, pytest.mark.timeout(240)]

BINARY: Final = os.environ.get("HUDDLE_TEST_PHOENIX", "phoenix")
PICTURE: Final = os.environ.get("HUDDLE_TEST_PICTURE")
"""Where to put a picture of the trace, if anywhere; needs chromium."""
_PATIENCE: Final = 120.0
_PROJECT: Final = "v1/projects/default/spans?limit=100"


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - on 127.0.0.1
        return json.load(answer)


@pytest.fixture
def phoenix(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """The UI's own server on two free ports; yields its URL."""
    port = free_port()
    environment = {
        **os.environ,
        "PHOENIX_WORKING_DIR": str(tmp_path),
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([BINARY, "serve"], env=environment, stdout=log, stderr=log)
    try:
        _until(lambda: bool(_get(f"{url}/v1/projects")["data"]), process)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _until(done: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends and process.poll() is None:
        try:
            if done():
                return
        except OSError:
            pass
        time.sleep(0.2)
    pytest.fail(f"it did not come up or did not take the spans (exit code {process.poll()})")


def test_spans_are_understood(phoenix: str) -> None:
    subprocess.run([sys.executable, "-m", "tests.exporters.phoenix_app", phoenix], check=True, timeout=60)
    spans: list[dict[str, Any]] = []
    ends = time.monotonic() + _PATIENCE
    while len(spans) < 10 and time.monotonic() < ends:
        spans = _get(f"{phoenix}/{_PROJECT}")["data"]
    assert Counter(span["name"] for span in spans) == {"answer a question": 1, "chat gpt-4.1": 4, "POST": 5}
    by_id = {span["context"]["span_id"]: span for span in spans}
    for request in (span for span in spans if span["name"] == "POST"):
        assert by_id[request["parent_id"]]["name"] == "chat gpt-4.1"
    calls = sorted((span for span in spans if span["name"] == "chat gpt-4.1"), key=lambda span: str(span["start_time"]))
    assert [span["span_kind"] for span in calls] == ["LLM"] * 4
    assert [span["status_code"] for span in calls] == ["UNSET"] * 3 + ["ERROR"]
    assert [span["attributes"]["huddle.attempts"] for span in calls] == [1, 1, 2, 1]
    assert [len(span["events"]) for span in calls] == [0, 0, 1, 1]
    for span in calls[:3]:
        told = span["attributes"]
        assert (told["llm.token_count.prompt"], told["llm.token_count.completion"]) == (11, 8)
        assert told["llm.model_name"] == "gpt-4.1"
        assert told["llm.input_messages.1.message.content"] == "How long is a day on Mars?"
        assert told["llm.output_messages.0.message.content"].startswith("A steady answer")
        assert told["gen_ai.usage.cost"] == 8.6e-05
    assert calls[0]["attributes"]["huddle.tag.team"] == "search"
    if PICTURE:
        _take_picture(
            f"{phoenix}/projects/{_project(phoenix)}/traces/{calls[2]['context']['trace_id']}", calls[2]["id"]
        )


def _project(phoenix: str) -> str:
    return str(_get(f"{phoenix}/v1/projects")["data"][0]["id"])


def _take_picture(url: str, span: str) -> None:
    command = ["chromium", "--headless=new", "--no-sandbox", "--hide-scrollbars", "--window-size=1500,950"]
    command += ["--virtual-time-budget=20000", f"--screenshot={PICTURE}", f"{url}?selectedSpanNodeId={span}"]
    subprocess.run(command, check=True, capture_output=True, timeout=90)
