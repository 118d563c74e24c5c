"""Running with parts of the environment out of sight."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def without(*prefixes: str, proxies: bool = False) -> Generator[None]:
    """Take variables out of the environment for a while.

    Args:
        prefixes: Beginnings of the names to take out.
        proxies: Take out the proxy variables as well: a proxy cannot reach this machine's loopback.
    """
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(prefixes) or (proxies and name.lower().endswith("_proxy"))
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
