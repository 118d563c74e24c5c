"""The two drivers: they perform what the programme asks for. The only place with a sleep, an await or a send."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import anyio
import sniffio

from huddle_otel.client.body import AsyncWatch
from huddle_otel.client.clock import clock
from huddle_otel.client.exchange import Exchange, current
from huddle_otel.policy.call import Await, Deliver, Opened, Reply, Send, Sleep, Woken
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
            if isinstance(effect, Send):
                reply, result, error = _send(exchange, effect, request, cast_to, stream_cls)
            elif isinstance(effect, Sleep | Await):
                reply, error = _pause(exchange, effect, error)
            elif isinstance(effect, Deliver):
                exchange.delivered()
                return result
            else:
                reply = exchange.perform(effect)
    except StopIteration:
        pass
    finally:
        exchange.close()
    error = exchange.error(error)
    if error is not None:
        raise error
    return result


def _pause(exchange: Exchange, effect: Sleep | Await, error: Raised) -> tuple[Reply, Raised]:
    """Wait, for the time to pass or for a place in the bulkhead; what raised before is still what raised."""
    try:
        if isinstance(effect, Sleep):
            time.sleep(effect.seconds)
            return Woken(clock()), error
        if exchange.ticket is not None:
            with contextlib.suppress(FutureTimeoutError):
                exchange.ticket.result(effect.seconds)
        return exchange.place(), error
    except BaseException as interrupt:  # noqa: BLE001 - raised again when the call is accounted for
        return exchange.interrupted(), interrupt


def _send(
    exchange: Exchange, effect: Send, request: Callable[..., Any], cast_to: Any, stream_cls: Any
) -> tuple[Reply, Any, Raised]:
    token, span = current.set(exchange), attach(exchange.recording.span)
    try:
        while True:
            try:
                result = request(
                    cast_to,
                    exchange.options(effect),
                    stream=exchange.request.stream,
                    stream_cls=exchange.stream_cls(stream_cls),
                )
                reply = exchange.answered(result)
                if isinstance(reply, Opened) and hasattr(result, "_iterator"):
                    _prime(exchange, result)
                    reply = exchange.primed()
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


def _waker(event: anyio.Event) -> Callable[[], object]:
    """Return a function that sets an event of this event loop from any thread."""
    if sniffio.current_async_library() == "trio":
        trio = importlib.import_module("trio")  # there, since we run under it; not a dependency of ours

        token = trio.lowlevel.current_trio_token()
        return lambda: token.run_sync_soon(event.set)
    loop = asyncio.get_running_loop()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(event.set)

    return wake


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
            if isinstance(effect, Send):
                reply, result, error = await _asend(exchange, effect, request, cast_to, stream_cls)
            elif isinstance(effect, Sleep | Await):
                reply, error = await _apause(exchange, effect, error)
            elif isinstance(effect, Deliver):
                exchange.delivered()
                return result
            else:
                reply = exchange.perform(effect)
    except StopIteration:
        pass
    finally:
        exchange.close()
    error = exchange.error(error)
    if error is not None:
        raise error
    return result


async def _apause(exchange: Exchange, effect: Sleep | Await, error: Raised) -> tuple[Reply, Raised]:
    """As `_pause`, without holding the event loop up."""
    try:
        if isinstance(effect, Sleep):
            await anyio.sleep(effect.seconds)
            return Woken(clock()), error
        if exchange.ticket is not None:
            free = anyio.Event()
            wake = _waker(free)
            exchange.ticket.add_done_callback(lambda _: wake())
            with anyio.move_on_after(effect.seconds):
                await free.wait()
        return exchange.place(), error
    except BaseException as interrupt:  # noqa: BLE001 - raised again when the call is accounted for
        return exchange.interrupted(), interrupt


async def _asend(
    exchange: Exchange, effect: Send, request: Callable[..., Awaitable[Any]], cast_to: Any, stream_cls: Any
) -> tuple[Reply, Any, Raised]:
    token, span = current.set(exchange), attach(exchange.recording.span)
    try:
        while True:
            try:
                options = exchange.options(effect)
                with anyio.move_on_after(exchange.patience) as scope:
                    result = await request(
                        cast_to,
                        options,
                        stream=exchange.request.stream,
                        stream_cls=exchange.stream_cls(stream_cls),
                    )
                    reply = exchange.answered(result)
                    if isinstance(reply, Opened) and isinstance(getattr(result, "_iterator", None), AsyncWatch):
                        await _aprime(exchange, result)
                        reply = exchange.primed()
                if scope.cancelled_caught:
                    late = exchange.late() or TimeoutError()
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
    body, watch = exchange.open_body, stream._iterator
    held = []
    async for chunk in watch:
        held.append(chunk)
        if body is None or body.fold.chunks:
            break
    watch.held.extend(held)
