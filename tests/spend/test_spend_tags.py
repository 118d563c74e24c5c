"""Tags: nesting, tasks, threads, decorators, and leaving in the wrong order."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from huddle_otel.spend import current_tags, shared_tags, tags
from huddle_otel.spend import tags as door_tags
from huddle_otel.spend.tags import MAX_TAGS, _warn_dropped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    assert dict(current_tags()) == {}
    yield
    assert dict(current_tags()) == {}


def test_no_tags_is_one_empty_immutable_mapping() -> None:
    assert current_tags() is current_tags()
    with pytest.raises(TypeError):
        current_tags()["a"] = 1  # type: ignore[index]


def test_nesting_merges_and_the_inner_value_wins() -> None:
    with tags(team="search", tier=1) as outer:
        assert dict(outer) == {"team": "search", "tier": 1}
        with tags(tier=2, beta=True):
            assert dict(current_tags()) == {"team": "search", "tier": 2, "beta": True}
        assert current_tags() is outer
        with pytest.raises(TypeError):
            outer["a"] = 1  # type: ignore[index]


def test_empty_tags_change_nothing() -> None:
    with tags():
        assert dict(current_tags()) == {}
    with tags(a=1) as outer, tags():
        assert current_tags() is outer


def test_exceptions_pass_and_the_tags_go() -> None:
    with pytest.raises(ZeroDivisionError), tags(a=1):
        _ = 1 / 0
    assert "a" not in current_tags()


def test_one_scope_entered_twice() -> None:
    scope = tags(a=1)
    with scope, tags(b=2), scope:
        assert dict(current_tags()) == {"a": 1, "b": 2}
    assert repr(scope) == "tags(a=1)"


def test_left_in_the_wrong_order() -> None:
    first, second, third = tags(a=1), tags(b=2), tags(c=3)
    for scope in (first, second, third):
        scope.__enter__()
    first.__exit__(None, None, None)
    assert dict(current_tags()) == {"b": 2, "c": 3}
    third.__exit__(None, None, None)
    assert dict(current_tags()) == {"b": 2}
    second.__exit__(None, None, None)


def test_left_in_a_context_that_never_entered() -> None:
    scope = tags(a=1)
    contextvars.copy_context().run(scope.__enter__)
    with tags(b=2) as inside:
        scope.__exit__(None, None, None)
        assert current_tags() is inside
    scope.__exit__(None, None, None)


def test_thousands_of_layers_unwind_from_the_bottom() -> None:
    bottom = tags(a=1)
    above = [tags(b=number) for number in range(3000)]

    def body() -> dict[str, Any]:
        for scope in (bottom, *above):
            scope.__enter__()
        bottom.__exit__(None, None, None)
        return dict(current_tags())

    assert contextvars.copy_context().run(body) == {"b": 2999}


@pytest.mark.parametrize("value", ["text", "", 0, -1, 1.5, True, False])
def test_values(value: Any) -> None:
    with tags(key=value):
        assert current_tags()["key"] is value


@pytest.mark.parametrize("value", [None, b"x", [], {}, (), object(), 1j])
def test_other_types_are_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match="tag 'feature'") as caught:
        tags(feature=value)
    assert type(value).__name__ in str(caught.value)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_floats_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match="tag 'rate'"):
        tags(rate=value)


@pytest.mark.parametrize("key", ["a", "_", "A.b_9", "a" * 64])
def test_keys(key: str) -> None:
    with tags(**{key: 1}):
        assert dict(current_tags()) == {key: 1}


@pytest.mark.parametrize("key", ["", "9a", ".a", "a-b", "a b", "a\n", "é", "a" * 65])
def test_malformed_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="tag key"):
        tags(**{key: 1})


def test_too_many_tags_at_once_are_refused() -> None:
    with tags(**{f"k{number}": number for number in range(MAX_TAGS)}):
        assert len(current_tags()) == MAX_TAGS
    with pytest.raises(ValueError, match="at most 16 tags, got 17"):
        tags(**{f"k{number}": number for number in range(MAX_TAGS + 1)})


def test_too_many_nested_tags_drop_the_outermost_and_warn_once(caplog: pytest.LogCaptureFixture) -> None:
    _warn_dropped.cache_clear()
    names = [f"k{number}" for number in range(MAX_TAGS)]
    with caplog.at_level(logging.WARNING), tags(**dict.fromkeys(names, 0)) as full:
        for _ in range(2):
            with tags(k0=1, new=2, newer=3):
                assert dict(current_tags()) == {"k0": 1, **dict.fromkeys(names[3:], 0), "new": 2, "newer": 3}
        assert current_tags() is full
    assert len(caplog.records) == 1


@tags(layer="decorator")
def sync_function(a: int, *, b: int = 2) -> tuple[int, dict[str, Any]]:
    """Documented."""
    return a + b, dict(current_tags())


@tags(layer="decorator")
async def async_function(name: str) -> dict[str, Any]:
    with tags(name=name):
        await asyncio.sleep(0)
        return dict(current_tags())


def test_decorated_function() -> None:
    assert sync_function(1, b=3) == (4, {"layer": "decorator"})
    assert sync_function.__name__ == "sync_function"
    assert sync_function.__doc__ == "Documented."
    with tags(layer="outer", team="x"):
        assert sync_function(1)[1] == {"layer": "decorator", "team": "x"}


def test_decorated_method_and_recursion() -> None:
    class Service:
        @tags(kind="service")
        def depth(self, number: int) -> int:
            assert dict(current_tags()) == {"kind": "service"}
            return 0 if number == 0 else 1 + self.depth(number - 1)

    assert Service().depth(5) == 5


def test_decorated_async_function_runs_concurrently() -> None:
    async def body() -> list[dict[str, Any]]:
        return await asyncio.gather(*(async_function(str(number)) for number in range(20)))

    assert inspect.iscoroutinefunction(async_function)
    assert asyncio.run(body()) == [{"layer": "decorator", "name": str(number)} for number in range(20)]


def test_decorated_functions_let_exceptions_pass() -> None:
    @tags(a=1)
    def fail() -> None:
        raise KeyError

    @tags(a=1)
    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise KeyError

    with pytest.raises(KeyError):
        fail()

    async def body() -> None:
        with pytest.raises(KeyError):
            await fail_later()
        assert dict(current_tags()) == {}

    asyncio.run(body())


def test_a_partial_of_an_async_function() -> None:
    decorated = tags(a=1)(functools.partial(async_function, "p"))
    assert asyncio.run(decorated()) == {"a": 1, "layer": "decorator", "name": "p"}


def test_generators_and_classes_are_refused() -> None:
    def generator() -> Iterator[int]:
        yield 1

    async def async_generator() -> AsyncIterator[int]:
        yield 1

    refused: list[Callable[[], object]] = [generator, async_generator, int]
    for function in refused:
        with pytest.raises(TypeError, match="use a with block"):
            tags(a=1)(function)


def test_tasks_inherit_and_do_not_leak() -> None:
    async def child(name: str) -> dict[str, Any]:
        with tags(child=name):
            await asyncio.sleep(0)
            return dict(current_tags())

    async def body() -> None:
        with tags(parent=True):
            tasks = [asyncio.create_task(child(name)) for name in "ab"]
        assert dict(current_tags()) == {}
        assert [await task for task in tasks] == [{"parent": True, "child": name} for name in "ab"]
        with tags(parent=True):
            assert await asyncio.to_thread(lambda: dict(current_tags())) == {"parent": True}

    asyncio.run(body())


def test_cancelled_task_leaves_nothing() -> None:
    async def body() -> None:
        async def wait() -> None:
            with tags(a=1):
                await asyncio.Event().wait()

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert dict(current_tags()) == {}

    asyncio.run(body())


def test_async_generator_closed_in_another_task() -> None:
    async def numbers() -> AsyncIterator[int]:
        with tags(source="generator"):
            yield 1
            yield 2

    async def body() -> None:
        generator = numbers()
        assert await generator.__anext__() == 1
        with tags(consumer=True):
            # A `with` in an async generator runs in the consumer's context, as for every context variable.
            assert current_tags()["source"] == "generator"
            await generator.aclose()  # type: ignore[attr-defined]
            assert dict(current_tags()) == {"consumer": True}
        other = numbers()
        await asyncio.create_task(other.__anext__())  # type: ignore[arg-type]
        await other.aclose()  # type: ignore[attr-defined]
        assert dict(current_tags()) == {}

    asyncio.run(body())


def test_threads_start_clean_and_inherit_through_copy_context() -> None:
    seen: list[dict[str, Any]] = []
    with tags(team="x"):
        bare = threading.Thread(target=lambda: seen.append(dict(current_tags())))
        bare.start()
        bare.join()
        context = contextvars.copy_context()
        carried = threading.Thread(target=lambda: context.run(lambda: seen.append(dict(current_tags()))))
        carried.start()
        carried.join()
    assert seen == [{}, {"team": "x"}]


def test_one_decorator_in_many_threads() -> None:
    barrier = threading.Barrier(8)

    @tags(shared=True)
    def work(number: int) -> dict[str, Any]:
        with tags(number=number):
            barrier.wait(timeout=10)
            return dict(current_tags())

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [{"shared": True, "number": number} for number in range(8)]


def test_the_door_name_is_the_function() -> None:
    assert door_tags is tags


def test_baggage_is_a_switch_and_no_tag() -> None:
    assert dict(shared_tags()) == {}
    with pytest.raises(TypeError, match="baggage"):
        tags(baggage="yes")
    with tags(baggage=True, team="search"), tags(plan="pro"):
        assert dict(shared_tags()) == {"team": "search"}
        with tags(baggage=True, plan="free"):
            assert dict(shared_tags()) == {"team": "search", "plan": "free"}
        with tags(team="other"):
            assert dict(shared_tags()) == {}
