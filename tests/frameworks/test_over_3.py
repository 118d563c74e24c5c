"""Frameworks that take openai 3.x."""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
# the frameworks are in virtual environments of their own

from __future__ import annotations

from typing import Any, Final

import openai
import pytest
from agents import Agent, Runner, set_tracing_disabled
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from llama_index.embeddings.openai import OpenAIEmbedding
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from huddle_otel import StallTimeout, TimeoutPolicy
from huddle_otel.gateway import Gateway, Rule, faults
from tests.client.support import FAST, KEY, SAY, Instrument, Recorded, text_of
from tests.frameworks.over import Ask, Expected, check

MODEL: Final = "gpt-4.1"
EMBEDDER: Final = "text-embedding-3-small"
APP_KEY: Final = "sk-app-own-0123456789abcdef"
"""What the framework wants; it goes nowhere."""
EMBEDDED: Final = Expected(text="8", operation="embeddings", model=EMBEDDER, output_tokens=0, cost=None)


def _langchain(_: Gateway) -> str:
    return str(ChatOpenAI(model=MODEL, api_key=APP_KEY).invoke("hi there").content)


def _langchain_stream(_: Gateway) -> str:
    return "".join(str(chunk.content) for chunk in ChatOpenAI(model=MODEL, api_key=APP_KEY).stream("hi there"))


async def _langchain_async(_: Gateway) -> str:
    return str((await ChatOpenAI(model=MODEL, api_key=APP_KEY).ainvoke("hi there")).content)


async def _langchain_async_stream(_: Gateway) -> str:
    model = ChatOpenAI(model=MODEL, api_key=APP_KEY)
    return "".join([str(chunk.content) async for chunk in model.astream("hi there")])


def _langchain_embedding(_: Gateway) -> str:
    # otherwise it fetches a tokenizer from the network
    embeddings = OpenAIEmbeddings(model=EMBEDDER, api_key=APP_KEY, check_embedding_ctx_length=False)
    return str(len(embeddings.embed_query("hi there")))


def _agent() -> Any:
    set_tracing_disabled(disabled=True)  # it would send traces to its maker
    from agents import OpenAIChatCompletionsModel

    return Agent(name="A", model=OpenAIChatCompletionsModel(MODEL, openai.AsyncOpenAI()))


async def _agents(_: Gateway) -> str:
    return str((await Runner.run(_agent(), "hi there")).final_output)


async def _agents_responses(_: Gateway) -> str:
    from agents import OpenAIResponsesModel

    set_tracing_disabled(disabled=True)
    agent: Any = Agent(name="A", model=OpenAIResponsesModel(MODEL, openai.AsyncOpenAI()))
    return str((await Runner.run(agent, "hi there")).final_output)


async def _agents_stream(_: Gateway) -> str:
    result = Runner.run_streamed(_agent(), "hi there")
    async for _event in result.stream_events():
        pass
    return str(result.final_output)


def _pydantic_agent() -> Any:
    return PydanticAgent(OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=openai.AsyncOpenAI())))


async def _pydantic(_: Gateway) -> str:
    return str((await _pydantic_agent().run("hi there")).output)


async def _pydantic_stream(_: Gateway) -> str:
    async with _pydantic_agent().run_stream("hi there") as result:
        return str(await result.get_output())


def _llama_embedding(gateway: Gateway) -> str:
    # it names its own base URL, so the gateway and its key are to be named too
    embedding = OpenAIEmbedding(model=EMBEDDER, api_base=gateway.url, api_key=KEY)
    return str(len(embedding.get_text_embedding("hi there")))


async def _aiohttp(_: Gateway) -> str:
    async with openai.AsyncOpenAI(http_client=openai.DefaultAioHttpClient()) as client:
        answer = await client.chat.completions.create(**SAY)
        return str(answer.choices[0].message.content)


async def _aiohttp_stream(_: Gateway) -> str:
    async with openai.AsyncOpenAI(http_client=openai.DefaultAioHttpClient()) as client:
        return text_of([chunk async for chunk in await client.chat.completions.create(**SAY, stream=True)])


CALLS: Final[dict[str, tuple[Ask, Expected]]] = {
    "langchain": (_langchain, Expected()),
    "langchain, streamed": (_langchain_stream, Expected()),
    "langchain, async": (_langchain_async, Expected()),
    "langchain, async streamed": (_langchain_async_stream, Expected()),
    "langchain, embeddings": (_langchain_embedding, EMBEDDED),
    "openai-agents": (_agents, Expected()),
    "openai-agents, responses": (_agents_responses, Expected()),
    "openai-agents, streamed": (_agents_stream, Expected()),
    "pydantic-ai": (_pydantic, Expected()),
    "pydantic-ai, streamed": (_pydantic_stream, Expected()),
    "aiohttp below the client": (_aiohttp, Expected()),
    "aiohttp below the client, streamed": (_aiohttp_stream, Expected()),
    "llama-index, embeddings": (_llama_embedding, EMBEDDED),
}


@pytest.mark.filterwarnings("ignore")  # the frameworks' own, sockets left open among them
@pytest.mark.parametrize("name", CALLS)
def test_over(name: str, gateway: Gateway, instrument: Instrument, recorded: Recorded) -> None:
    ask, expected = CALLS[name]
    instrument(retry=FAST)
    check(ask, expected, gateway, recorded)


async def test_a_stall_over_aiohttp_ends_in_time(gateway: Gateway, instrument: Instrument, recorded: Recorded) -> None:
    instrument(timeout=TimeoutPolicy(connect=1, first_token=2, stall=0.3, total=10), retry=None)
    gateway.script([Rule(faults.stall(2))])
    async with openai.AsyncOpenAI(http_client=openai.DefaultAioHttpClient()) as client:
        stream = await client.chat.completions.create(**SAY, stream=True)
        with pytest.raises(StallTimeout):
            async for _chunk in stream:
                pass
    assert recorded.attributes["error.type"] == "stall_timeout"
