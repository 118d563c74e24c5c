"""Who may ask: by what name the page is called, and with which token. Pure; nothing here opens a socket."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from pathlib import Path
from secrets import compare_digest, token_urlsafe
from typing import Final

from huddle_otel.errors import ConfigurationError
from huddle_otel_exporters.environment import text

VARIABLE: Final = "HUDDLE_OTEL_SERVE_TOKEN"
COOKIE: Final = "huddle_otel_session"
SHORTEST: Final = 16
"""Characters of a token, at least."""
_PORT: Final = re.compile(r":\d*\Z")
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
"""What an HTTP header can carry without a question: printable ASCII, no space."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a request needs to be answered."""

    remote: bool
    """Asked for from other machines, or through a proxy, so by any name; then there is a token."""
    token: str | None = field(default=None, repr=False)
    session: str = field(default_factory=token_urlsafe, repr=False)
    """What the cookie of who has shown the token holds: not the token, and of this process only."""

    def named(self, host: str | None) -> bool:
        """Return whether a Host header is one of this machine's own loopback names.

        Another name is that of a site whose owner lets it point here (DNS rebinding): a browser would hand our answers
        to that site's scripts.
        """
        return self.remote or (host is not None and is_loopback(_PORT.sub("", host).strip("[]")))

    def is_token(self, value: str) -> bool:
        """Return whether a text is the token, in time that says nothing about it."""
        return self.token is not None and compare_digest(value.encode(), self.token.encode())

    def permits(self, *, authorization: str, cookie: str) -> bool:
        """Return whether two headers, empty when missing, let a request in."""
        if self.token is None:
            return True
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer" and self.is_token(value.strip()):
            return True
        return compare_digest(_session(cookie).encode(), self.session.encode())


def decide(*, host: str, allow_remote: bool, token_file: Path | None) -> Access:
    """Return what is asked of requests to an address.

    Raises:
        ConfigurationError: The address is not loopback, and remote use is not allowed or has no token; or the token
            cannot be read, or is no good. The message does not hold it.
    """
    token = _token(token_file)
    if not allow_remote and not is_loopback(host):
        raise ConfigurationError(
            field="--host", value=host, permitted="a loopback address, or come with --allow-remote"
        )
    if allow_remote and token is None:
        raise ConfigurationError(
            field="--allow-remote", value=True, permitted=f"accompanied by a token, from --token-file or {VARIABLE}"
        )
    return Access(remote=allow_remote, token=token)


def is_loopback(host: str) -> bool:
    """Return whether a name or an address is this machine's own, without asking any name server."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _token(file: Path | None) -> str | None:
    try:
        value = text(VARIABLE) if file is None else file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            field="--token-file", value=str(file), permitted=f"a text file that can be read ({type(error).__name__})"
        ) from None
    if file is None and not value:
        return None
    if len(value) < SHORTEST or not _TOKEN.fullmatch(value):
        source = VARIABLE if file is None else "--token-file"
        raise ConfigurationError(
            field=source, value="***", permitted=f"at least {SHORTEST} printable ASCII characters without spaces"
        )
    return value


def _session(cookie: str) -> str:
    try:
        found = SimpleCookie(cookie).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""
