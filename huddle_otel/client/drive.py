"""The two drivers: they perform what the programme asks for. The only place with a sleep, an await or a send."""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio

from huddle_otel.client.exchange import Exchange, clock, current
from huddle_otel.policy.call import Emit, Opened, Reply, Send, Sleep, Woken
from huddle_otel.telemetry.recorder import attach, detach

Raised = BaseException | None


def drive(exchange: Exchange, request: Callable[..., Any], cast_to: Any, stream_cls: Any) -> Any:
    """Run a call through the sync client's own `request`.

    Raises:
        openai.OpenAIError: What the last attempt raised, untouched, unless a policy has a name for it.
    """
    programme, reply = exchange.programme, None
    result: Any = None
    error: Raised = None
    try:
        while True:
            effect = programme.send(reply)
            reply = None
            if isinstance(effect, Send):
                reply, result, error = _send(exchange, effect, request, cast_to, stream_cls)
            elif isinstance(effect, Emit):
                exchange.emit(effect.event)
            elif isinstance(effect, Sleep):
                try:
                    time.sleep(effect.seconds)
                    reply = Woken(clock())
                except BaseException as interrupt:  # noqa: BLE001 - raised again below, when the call is accounted for
                    reply, error = exchange.interrupted(), interrupt
            else:
                exchange.delivered()
                return result
    except StopIteration:
        pass
    if error is not None:
        raise error
    return result


def _send(
    exchange: Exchange, effect: Send, request: Callable[..., Any], cast_to: Any, stream_cls: Any
) -> tuple[Reply, Any, Raised]:
    token, span = current.set(exchange), attach(exchange.span)
    try:
        while True:
            try:
                result = request(
                    cast_to,
                    exchange.options(effect.number, effect.remaining),
                    stream=exchange.request.stream,
                    stream_cls=exchange.stream_cls(stream_cls),
                )
                reply = exchange.answered(result)
                if isinstance(reply, Opened) and hasattr(result, "_iterator"):
                    _prime(exchange, result)
            except Exception as error:  # noqa: BLE001 - the programme decides what becomes of it
                if not exchange.refused_usage(error):
                    named = exchange.named(error)
                    return exchange.failed(named), None, named
            else:
                return reply, result, None
    except BaseException as interrupt:  # noqa: BLE001 - raised again when the call is accounted for
        return exchange.interrupted(), None, interrupt
    finally:
        detach(span)
        current.reset(token)


def _prime(exchange: Exchange, stream: Any) -> None:
    """Read a stream up to its first content, so that one that dies before it can be tried again."""
    body = exchange.open_body
    held = []
    for chunk in stream._iterator:
        held.append(chunk)
        if body is None or body.fold.chunks:
            break
    stream._iterator = itertools.chain(held, stream._iterator)


async def adrive(exchange: Exchange, request: Callable[..., Awaitable[Any]], cast_to: Any, stream_cls: Any) -> Any:
    """Run a call through the async client's own `request`. The twin of `drive`, under asyncio or trio.

    Raises:
        openai.OpenAIError: What the last attempt raised, untouched, unless a policy has a name for it.
    """
    programme, reply = exchange.programme, None
    result: Any = None
    error: Raised = None
    try:
        while True:
            effect = programme.send(reply)
            reply = None
            if isinstance(effect, Send):
                reply, result, error = await _asend(exchange, effect, request, cast_to, stream_cls)
            elif isinstance(effect, Emit):
                exchange.emit(effect.event)
            elif isinstance(effect, Sleep):
                try:
                    await anyio.sleep(effect.seconds)
                    reply = Woken(clock())
                except BaseException as interrupt:  # noqa: BLE001 - raised again below, when the call is accounted for
                    reply, error = exchange.interrupted(), interrupt
            else:
                exchange.delivered()
                return result
    except StopIteration:
        pass
    if error is not None:
        raise error
    return result


async def _asend(
    exchange: Exchange, effect: Send, request: Callable[..., Awaitable[Any]], cast_to: Any, stream_cls: Any
) -> tuple[Reply, Any, Raised]:
    token, span = current.set(exchange), attach(exchange.span)
    try:
        while True:
            try:
                with anyio.move_on_after(effect.remaining) as scope:
                    result = await request(
                        cast_to,
                        exchange.options(effect.number, effect.remaining),
                        stream=exchange.request.stream,
                        stream_cls=exchange.stream_cls(stream_cls),
                    )
                    reply = exchange.answered(result)
                    if isinstance(reply, Opened) and hasattr(result, "_iterator"):
                        await _aprime(exchange, result)
                if scope.cancelled_caught:
                    late = exchange.deadline_exceeded()
                    return exchange.failed(late), None, late
            except Exception as error:  # noqa: BLE001 - the programme decides what becomes of it
                if not exchange.refused_usage(error):
                    named = exchange.named(error)
                    return exchange.failed(named), None, named
            else:
                return reply, result, None
    except BaseException as interrupt:  # noqa: BLE001 - raised again when the call is accounted for
        return exchange.interrupted(), None, interrupt
    finally:
        detach(span)
        current.reset(token)


async def _aprime(exchange: Exchange, stream: Any) -> None:
    body = exchange.open_body
    held = []
    async for chunk in stream._iterator:
        held.append(chunk)
        if body is None or body.fold.chunks:
            break
    stream._iterator = _achain(held, stream._iterator)


async def _achain(held: list[Any], rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    for chunk in held:
        yield chunk
    async for chunk in rest:
        yield chunk
