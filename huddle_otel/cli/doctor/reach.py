"""Whether a host can be reached, within a bounded time."""

from __future__ import annotations

import socket
import threading
import urllib.request
from urllib.parse import urlsplit


def problem_with(host: str, port: int, *, timeout: float) -> str | None:
    """Try a TCP connection. Returns what went wrong, None when nothing did.

    Args:
        host: Name or address.
        port: TCP port.
        timeout: Seconds for the name and the connection together.
    """
    said: list[str | None] = []

    def attempt() -> None:
        try:
            socket.create_connection((host, port), timeout=timeout).close()
        except (OSError, UnicodeError) as error:  # UnicodeError: a host name that cannot be one
            said.append(getattr(error, "strerror", None) or str(error) or type(error).__name__)
        else:
            said.append(None)

    # in a thread of its own, since nothing bounds the time that looking up a name takes
    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(timeout)
    return said[0] if said else f"no answer in {timeout:g} s"


def goes_through_a_proxy(url: str) -> bool:
    """Tell whether the environment names a proxy for a URL."""
    parts = urlsplit(url)
    return parts.scheme in urllib.request.getproxies() and not urllib.request.proxy_bypass(parts.hostname or "")
