from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from huddle_otel.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def shared() -> Iterator[Gateway]:
    with Gateway() as gateway:
        yield gateway


@pytest.fixture
def gateway(shared: Gateway) -> Gateway:
    shared.reset()
    return shared
