"""The seam: where the openai client calls us. Installed once, at class level, and taken out without a trace."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from typing import Any, Final

import openai
import wrapt
from openai import _base_client, _streaming

from huddle_otel.client.drive import adrive, drive
from huddle_otel.client.exchange import current
from huddle_otel.client.runtime import Runtime

_LOG: Final = logging.getLogger("huddle_otel")
_lock = threading.RLock()
_runtime: Runtime | None = None
_undo: list[tuple[type, str, bool, Any]] = []
"""Class, attribute, whether the class itself had it, and what it was."""

_REQUEST: Final = ("self", "cast_to", "options", "stream", "stream_cls")
_RESPONSE: Final = frozenset({"cast_to", "options", "response", "stream", "stream_cls"})


def active() -> Runtime | None:
    """Return what is in force, or None."""
    return _runtime


def lock() -> threading.RLock:
    """Return the lock under which installing, changing and removing happen."""
    return _lock


def supported() -> bool:
    """Tell whether the installed openai client can be patched; says why not in one warning."""
    problem = unknown_shape()
    if problem is not None:
        _LOG.warning(
            "huddle_otel: openai %s is not supported (%s); the client is left untouched", openai.__version__, problem
        )
    return problem is None


def install(runtime: Runtime) -> None:
    """Put a runtime in force; the openai client must be `supported()`."""
    global _runtime  # noqa: PLW0603 - one per process: the classes that are patched are, too
    with _lock:
        _runtime = runtime
        if not _undo:
            for base, seam in ((_base_client.SyncAPIClient, _request), (_base_client.AsyncAPIClient, _arequest)):
                _patch(base, "request", seam)
                for owner in _overriding(base):
                    _patch(owner, "request", seam)
            for client in (_base_client.SyncAPIClient, _base_client.AsyncAPIClient):
                _patch(client, "_process_response", _process_response)
            _patch(_base_client.SyncAPIClient, "_should_stream_response_body", _should_stream)
            for constructed in (openai.OpenAI, openai.AsyncOpenAI):
                _patch(constructed, "__init__", _construct)


def remove() -> Runtime | None:
    """Take everything back, clients included. Returns what was in force."""
    global _runtime
    with _lock:
        removed, _runtime = _runtime, None
        while _undo:
            owner, name, own, original = _undo.pop()
            if own:
                setattr(owner, name, original)
            else:
                delattr(owner, name)
        if removed is not None:
            removed.close()
    return removed


def unknown_shape() -> str | None:
    """Say what about the installed openai client is not as the seam needs it; None when all is."""
    try:
        for client in (_base_client.SyncAPIClient, _base_client.AsyncAPIClient):
            if tuple(inspect.signature(client.request).parameters) != _REQUEST:
                return f"{client.__name__}.request has other parameters"
            if not set(inspect.signature(client._process_response).parameters) >= _RESPONSE:
                return f"{client.__name__}._process_response has other parameters"
            if not hasattr(client, "_should_stream_response_body"):
                return f"{client.__name__} reads bodies in another way"
        for stream in (_streaming.Stream, _streaming.AsyncStream):
            if not (hasattr(stream, "__stream__") and hasattr(stream, "_iter_events")):
                return f"{stream.__name__} reads in another way"
    except (AttributeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _overriding(base: type) -> list[type]:
    """Return the subclasses with a `request` of their own.

    Another instrumentation that wrapped it there before us goes on to the original it found, past our seam on the base.
    """
    children: list[type] = base.__subclasses__()
    below = [each for child in children for each in (child, *_overriding(child))]
    return [each for each in dict.fromkeys(below) if "request" in vars(each)]


def _patch(owner: type, name: str, wrapper: Callable[..., Any]) -> None:
    own = name in vars(owner)
    _undo.append((owner, name, own, vars(owner).get(name)))
    setattr(owner, name, wrapt.FunctionWrapper(getattr(owner, name), wrapper))


def _request(wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    exchange, cast_to, stream_cls = _begin(client, args, kwargs)
    return wrapped(*args, **kwargs) if exchange is None else drive(exchange, wrapped, cast_to, stream_cls)


def _arequest(wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    exchange, cast_to, stream_cls = _begin(client, args, kwargs)
    return wrapped(*args, **kwargs) if exchange is None else adrive(exchange, wrapped, cast_to, stream_cls)


def _begin(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any, Any]:
    runtime = _runtime
    if runtime is None:
        return None, None, None
    cast_to = args[0] if args else kwargs["cast_to"]
    options = args[1] if len(args) > 1 else kwargs["options"]
    sending = current.get()
    if sending is not None and sending.sent is options:
        return None, None, None  # our own attempt, come to the seam again through a class with a `request` of its own
    exchange = runtime.begin(client, options, stream=bool(kwargs.get("stream")))
    return exchange, cast_to, kwargs.get("stream_cls")


def _process_response(wrapped: Callable[..., Any], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    exchange = current.get()
    if exchange is not None and "response" in kwargs:
        exchange.responded(kwargs["response"])
    return wrapped(*args, **kwargs)


def _should_stream(wrapped: Callable[..., bool], _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    # the sync client would read a plain body in one go, with no clock but the socket's; `Exchange.responded` reads it
    return current.get() is not None or wrapped(*args, **kwargs)


def _construct(wrapped: Callable[..., Any], client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    runtime = _runtime
    if runtime is None or isinstance(client, _AZURE):
        wrapped(*args, **kwargs)
        return
    settled = runtime.targets.arguments(kwargs)
    wrapped(*args, **settled)
    runtime.targets.constructed(client, settled)


_AZURE: Final = (openai.AzureOpenAI, openai.AsyncAzureOpenAI)
