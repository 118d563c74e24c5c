"""Zero-code use: an app that never heard of us, under `opentelemetry-instrument`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from huddle_otel.gateway import Gateway
from tests.client.support import KEY
from tests.exporters.collector import Rotel

COMMAND: Final = Path(sys.executable).with_name("opentelemetry-instrument")
APP: Final = """
import openai
with openai.OpenAI() as client:
    answer = client.chat.completions.create(model="gpt-4.1", messages=[{"role": "user", "content": "hi there"}])
    print(answer.choices[0].message.content)
"""


def _run(gateway: Gateway, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "HUDDLE_API_KEY": KEY, "HUDDLE_OTEL_BASE_URL": gateway.url, **environment}
    done = subprocess.run(
        [COMMAND, sys.executable, "-c", APP], env=variables, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "A steady answer from the embedded gateway arrives" in done.stdout
    (call,) = gateway.calls
    assert call.headers["authorization"] == f"Bearer {KEY}"
    return done


def test_the_entry_point_instruments_and_our_variable_names_where_it_is_seen(gateway: Gateway) -> None:
    done = _run(gateway, HUDDLE_OTEL_EXPORTERS="console")
    assert "huddle_otel: 1 call, 0 errors" in done.stderr
    assert "2 tokens in, 8 out, 0.0001 USD" in done.stderr


def test_an_otlp_endpoint_in_the_environment_is_enough(gateway: Gateway, rotel: Rotel) -> None:
    _run(gateway, OTEL_EXPORTER_OTLP_ENDPOINT=rotel.http, OTEL_SERVICE_NAME="shop")
    rotel.wait_for(lambda: rotel.calls)
    (span,) = rotel.calls
    assert (span.name, span.resource["service.name"]) == ("chat gpt-4.1", "shop")
