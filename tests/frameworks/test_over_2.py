"""Frameworks that need openai below 3."""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# the frameworks are in virtual environments of their own

from __future__ import annotations

import os
from typing import Any, Final

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # read on import; it fetches a price list otherwise

import dspy
import instructor
import openai
import pydantic
import pytest
from llama_index.llms.openai import OpenAI as LlamaOpenAI

from huddle_otel.gateway import Gateway
from tests.client.support import FAST, KEY, Instrument, Recorded
from tests.frameworks.over import Ask, Expected, check

MODEL: Final = "gpt-4.1"


class _City(pydantic.BaseModel):
    city: str


def _llama(gateway: Gateway) -> Any:
    # it names its own base URL, so the gateway and its key are to be named too
    return LlamaOpenAI(model=MODEL, api_base=gateway.url, api_key=KEY)


def _llama_plain(gateway: Gateway) -> str:
    return str(_llama(gateway).complete("hi there").text)


def _llama_stream(gateway: Gateway) -> str:
    return "".join(part.delta or "" for part in _llama(gateway).stream_complete("hi there"))


async def _llama_async(gateway: Gateway) -> str:
    return str((await _llama(gateway).acomplete("hi there")).text)


def _instructor(_: Gateway) -> str:
    client: Any = instructor.from_openai(openai.OpenAI())
    messages = [{"role": "user", "content": "hi there"}]
    return str(client.chat.completions.create(model=MODEL, response_model=_City, messages=messages))


async def _instructor_async(_: Gateway) -> str:
    client: Any = instructor.from_openai(openai.AsyncOpenAI())
    messages = [{"role": "user", "content": "hi there"}]
    return str(await client.chat.completions.create(model=MODEL, response_model=_City, messages=messages))


def _dspy(gateway: Gateway) -> str:
    # its own engine speaks HTTP by itself, past the openai client
    model = dspy.LM(f"openai/{MODEL}", engine="litellm", cache=False, api_base=gateway.url, api_key=KEY)
    return str(model("hi there"))


CALLS: Final[dict[str, tuple[Ask, Expected]]] = {
    "llama-index": (_llama_plain, Expected()),
    "llama-index, streamed": (_llama_stream, Expected()),
    "llama-index, async": (_llama_async, Expected()),
    "instructor": (_instructor, Expected(text="city=", cost=None)),
    "instructor, async": (_instructor_async, Expected(text="city=", cost=None)),
    "dspy": (_dspy, Expected(retries_itself=True)),
}


@pytest.mark.filterwarnings("ignore")  # the frameworks' own, sockets left open among them
@pytest.mark.parametrize("name", CALLS)
def test_over(name: str, gateway: Gateway, instrument: Instrument, recorded: Recorded) -> None:
    ask, expected = CALLS[name]
    instrument(retry=FAST)
    check(ask, expected, gateway, recorded)
