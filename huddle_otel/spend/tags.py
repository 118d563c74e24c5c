"""Tags: who and what a call was for, carried to its span, metrics and ledger row.

    with tags(team="search"):
        with tags(feature="answer"):        # team and feature; the inner value wins when both set a key
            client.chat.completions.create(...)

    @tags(team="search")
    async def answer(question): ...

Tags live in a context variable. Tasks started inside a block inherit them; a plain thread does not, unless run through
``contextvars.copy_context()`` (``asyncio.to_thread`` does that).
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
import re
from contextvars import ContextVar
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar, cast

from huddle_otel.text import sound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

TagValue = str | int | float | bool
P = ParamSpec("P")
R = TypeVar("R")

MAX_TAGS: Final = 16
"""Most tags one call carries."""

_KEY: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.]{0,63}")
_LOG: Final = logging.getLogger(__name__)
_EMPTY: Final[Mapping[str, TagValue]] = MappingProxyType({})


class _Layer:
    """One entered block: who entered it, what is in force inside it, and the layer around it."""

    __slots__ = ("merged", "outer", "scope", "shared")

    def __init__(self, scope: TagScope, outer: _Layer | None) -> None:
        self.scope = scope
        self.outer = outer
        self.merged: Mapping[str, TagValue] = _merge(_EMPTY if outer is None else outer.merged, scope.added)
        around = frozenset[str]() if outer is None else outer.shared
        added = frozenset(scope.added)
        self.shared: frozenset[str] = around | added if scope.baggage else around - added
        """Tags that may leave the process; one set again inside without baggage may not."""


_innermost: ContextVar[_Layer | None] = ContextVar("huddle_otel_tags", default=None)


def current_tags() -> Mapping[str, TagValue]:
    """Return the tags in force here: an immutable mapping, and always the same empty one when there are none."""
    layer = _innermost.get()
    return _EMPTY if layer is None else layer.merged


def shared_tags() -> Mapping[str, TagValue]:
    """Return the tags in force here that may leave the process, as baggage of the requests."""
    layer = _innermost.get()
    if layer is None or not layer.shared:
        return _EMPTY
    return {name: value for name, value in layer.merged.items() if name in layer.shared}


class TagScope:
    """Tags to put in force, as a ``with`` block or as a decorator. Made by :func:`tags`.

    It keeps no state between enter and exit, so one object may be entered again while it is open, and from any number
    of threads and tasks at once.
    """

    __slots__ = ("added", "baggage")

    def __init__(self, added: Mapping[str, TagValue], *, baggage: bool = False) -> None:
        """Keep checked tags; use :func:`tags` to check them."""
        self.added, self.baggage = added, baggage

    def __repr__(self) -> str:
        """Show the tags."""
        return f"tags({', '.join(f'{key}={value!r}' for key, value in self.added.items())})"

    def __enter__(self) -> Mapping[str, TagValue]:
        """Put the tags in force.

        Returns:
            All tags now in force.
        """
        layer = _Layer(self, _innermost.get())
        _innermost.set(layer)
        return layer.merged

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the tags back, and let any exception pass."""
        # No ContextVar token: resetting one raises when a generator is closed in another context than it started in.
        _innermost.set(_without(_innermost.get(), self))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Run every call of a sync or async function under the tags.

        Raises:
            TypeError: For a generator function or a class, whose body would run outside the tags.
        """
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function) or inspect.isclass(function):
            msg = f"tags() decorates functions and async functions, got {function!r}; use a with block inside it"
            raise TypeError(msg)

        if inspect.iscoroutinefunction(function):
            asynchronous = cast("Callable[P, Awaitable[object]]", function)

            @functools.wraps(asynchronous)
            async def run_async(*args: P.args, **kwargs: P.kwargs) -> object:
                with self:
                    return await asynchronous(*args, **kwargs)

            return cast("Callable[P, R]", run_async)

        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            with self:
                return function(*args, **kwargs)

        return run


def tags(*, baggage: TagValue = False, **values: TagValue) -> TagScope:
    """Make a scope that puts tags in force; use it with ``with`` or as a decorator.

    Nested scopes merge, the inner value winning. At most 16 tags are in force: nesting beyond that drops the outermost
    ones and logs one warning, since a tag must not break the call it describes.

    Args:
        baggage: Send these tags along with the requests, in the W3C ``baggage`` header, for whoever is downstream to
            read. Needs the requests to have spans (``http_spans``). Without it nothing of a tag leaves the process.
        **values: Tags. A key has a letter or underscore first, then up to 63 letters, digits, underscores or dots
            (``tags(**{"team.name": "search"})``). A value is a ``str``, ``int``, finite ``float`` or ``bool``.

    Raises:
        TypeError: A value has another type; the message names the key.
        ValueError: A key is malformed, a float is not finite, or there are more than 16.
    """
    if len(values) > MAX_TAGS:
        msg = f"tags() takes at most {MAX_TAGS} tags, got {len(values)}"
        raise ValueError(msg)
    for key, value in values.items():
        _check(key, value)
    if not isinstance(baggage, bool):  # annotated as a tag, or `tags(**some_dict)` would not type-check
        msg = f"tags(baggage=...) takes True or False, got {baggage!r}; a tag cannot have that name"
        raise TypeError(msg)
    kept = {key: sound(value) if isinstance(value, str) else value for key, value in values.items()}
    return TagScope(MappingProxyType(kept), baggage=baggage)


def _check(key: str, value: object) -> None:
    if _KEY.fullmatch(key) is None:
        msg = f"tag key {key!r}: expected a letter or underscore, then up to 63 letters, digits, underscores or dots"
        raise ValueError(msg)
    if not isinstance(value, (str, int, float)):  # bool is an int
        msg = f"tag {key!r}: expected str, int, float or bool, got {type(value).__name__}"
        raise TypeError(msg)
    if isinstance(value, float) and not math.isfinite(value):
        msg = f"tag {key!r}: expected a finite number, got {value!r}"
        raise ValueError(msg)


def _merge(outer: Mapping[str, TagValue], added: Mapping[str, TagValue]) -> Mapping[str, TagValue]:
    if not added:
        return outer
    merged = {**outer, **added}
    if len(merged) > MAX_TAGS:
        _warn_dropped()
        for key in [key for key in outer if key not in added][: len(merged) - MAX_TAGS]:
            del merged[key]
    return MappingProxyType(merged)


def _without(layer: _Layer | None, scope: TagScope) -> _Layer | None:
    """Remove the innermost layer of a scope, wherever it is: an async generator may be closed out of order."""
    above: list[TagScope] = []
    found = layer
    while found is not None and found.scope is not scope:
        above.append(found.scope)
        found = found.outer
    if found is None:
        return layer  # entered in another context: nothing of it is in force here
    rest = found.outer
    for kept in reversed(above):
        rest = _Layer(kept, rest)
    return rest


@functools.cache
def _warn_dropped() -> None:
    _LOG.warning("more than %d nested tags: the outermost are dropped (reported once)", MAX_TAGS)
