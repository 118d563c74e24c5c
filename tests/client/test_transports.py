"""A transport of the app's own below the client, and answers that come in pages: each request is one call."""

from __future__ import annotations

import importlib
import json
from typing import Any, Final

import openai
import pytest

from tests.client.support import FLAVOURS, KEY, SDK, Instrument, Recorded, run

HTTP: Final[Any] = importlib.import_module("httpx2" if SDK > 2 else "httpx")


def _page(request: Any) -> Any:
    """Two pages of files, the second behind a failure."""
    assert request.headers["authorization"] == f"Bearer {KEY}"
    after = request.url.params.get("after")
    if after and request.headers["x-stainless-retry-count"] == "0":
        return HTTP.Response(503, json={"error": {"message": "busy"}})
    file = {"object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "batch", "status": "processed"}
    names = ["c"] if after else ["a", "b"]
    body = {"object": "list", "has_more": not after, "data": [{**file, "id": name} for name in names]}
    return HTTP.Response(200, content=json.dumps(body), headers={"content-type": "application/json"})


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_pages_over_a_transport_of_the_apps_own(instrument: Instrument, recorded: Recorded, flavour: str) -> None:
    instrument()

    async def later() -> list[str]:
        async with openai.AsyncOpenAI(http_client=HTTP.AsyncClient(transport=HTTP.MockTransport(_page))) as client:
            return [file.id async for file in client.files.list()]

    if flavour == "async":
        names = run(later())
    else:
        with openai.OpenAI(http_client=HTTP.Client(transport=HTTP.MockTransport(_page))) as client:
            names = [file.id for file in client.files.list()]
    assert names == ["a", "b", "c"]
    assert [(span.name, (span.attributes or {})["huddle.attempts"]) for span in recorded.spans] == [
        ("files.list", 1),
        ("files.list", 2),
    ]
