"""Where a call goes, and whose key it carries.

The rule that keeps keys at home: **no client object ever holds the Huddle01 key.** A client that is pointed at the
gateway holds a `StandIn` instead, and the real key is written onto a request only when the request's own origin
(scheme, host, port) is the gateway's. So a copy of the client, a changed `base_url`, an absolute URL or a redirect to
another host carries nothing of value; and at the gateway, whatever key, organisation or project the app
configured for OpenAI is replaced before the request is built.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from huddle_otel.errors import MissingKeyError
from huddle_otel.settings import KEY_VARIABLE, Secret, Settings, secret

OPENAI_HOST: Final = "api.openai.com"
OPENAI_URL: Final = "https://api.openai.com/v1"
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_FOREIGN_HEADERS: Final = frozenset({"authorization", "api-key", "openai-organization", "openai-project"})
"""Headers that belong to another provider's account. Lower case."""


class StandIn(str):  # noqa: SLOT000 - a str cannot have both a value and slots that are set later
    """Stands where a redirected client's key would be. Holds what the app gave, for the way back.

    A `str`, since the client puts it into a header; the text says where the real key comes from.
    """

    original: Any
    """The key, callable key or None that the app gave."""
    home: str
    """The base URL the client had, or would have had, without us."""
    before: _Before | None
    """What was taken off the client, for copies of it; None until something was."""

    @classmethod
    def of(cls, original: Any, *, home: str = OPENAI_URL) -> StandIn:
        """Return a stand-in for a key, a callable key or None; of a stand-in, the same."""
        if isinstance(original, cls):
            return original
        made = cls("added-per-request-by-huddle-otel")
        made.original, made.home, made.before = original, home, None
        return made


@dataclass(frozen=True, slots=True)
class Target:
    """Where the calls of one client go. Made once per client and base URL."""

    url: str
    """Base URL, without a slash at its end."""
    host: str
    port: int | None
    """None when it is the scheme's own."""
    provider: str
    gateway: bool
    """The configured gateway: its key and its own headers apply."""
    own_key: bool = False
    """The app named the gateway and gave a key for it: that key stays."""


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL, in lower case, the scheme's own port filled in."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _set_base_url(client: Any, url: Any) -> None:
    """Set a base URL without passing the module-level client's setter, which openai 3.x cannot call."""
    kind = type(client._base_url)
    client._base_url = url if isinstance(url, kind) else client._enforce_trailing_slash(kind(url))


def _is_openai(home: str) -> bool:
    return home.rstrip("/") == OPENAI_URL


def _without_us(key: StandIn, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the constructor would have set, had it been given the app's key and not our stand-in."""
    provider = key.original if callable(key.original) else None
    plain = "" if provider else key.original or os.environ.get("OPENAI_API_KEY") or ""
    restored = {"api_key": plain, "_api_key_provider": provider, "_base_url_was_default": _is_openai(key.home)}
    return {name: value for name, value in restored.items() if name in values}


@dataclass(slots=True)
class _Before:
    """What a redirected client was, to make it that again."""

    base_url: str
    attributes: dict[str, Any]


_REDIRECTED_ATTRIBUTES: Final = (
    "api_key",
    "_api_key_provider",
    "admin_api_key",
    "organization",
    "project",
    "_custom_headers",
    "_base_url_was_default",
)


def _with_account(given: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a copy with the account that was taken off the client it is a copy of."""
    account = {name: before[name] for name in ("organization", "project", "admin_api_key") if before.get(name)}
    headers = given.get("default_headers") or {}
    free = _FOREIGN_HEADERS - {name.lower() for name in headers}
    taken = {name: value for name, value in (before.get("_custom_headers") or {}).items() if name.lower() in free}
    changed = {name: value for name, value in given.items() if value is not None}
    return {**given, **account, **changed, "default_headers": {**taken, **headers}}


class Targets:
    """Knows, per client, where its calls go. Moves clients to the gateway and, at the end, back."""

    def __init__(self, settings: Settings, *, redirect_defaults: bool) -> None:
        """Prepare for a set of settings; with `redirect_defaults` off only named clients are moved."""
        self._settings = settings
        self.redirect_defaults = redirect_defaults
        self._origin = origin_of(settings.base_url)
        self._urls: dict[
            type, Any
        ] = {}  # one object for all moved clients: a copy that inherits it is told by identity
        self._hosts = frozenset(host.lower() for host in settings.hosts)
        self._known: weakref.WeakKeyDictionary[Any, tuple[Any, Target | None]] = weakref.WeakKeyDictionary()
        self._before: weakref.WeakKeyDictionary[Any, _Before] = weakref.WeakKeyDictionary()

    def key(self) -> Secret:
        """Return the Huddle01 key: the configured one, else the environment's as it stands now.

        Raises:
            ConfigurationError: There is none (`MissingKeyError`), or it is not one that a header can carry.
        """
        if self._settings.api_key is not None:
            return self._settings.api_key
        value = os.environ.get(KEY_VARIABLE, "").strip()
        if not value:
            raise MissingKeyError(host=self._origin[1])
        return secret(value, field=KEY_VARIABLE)

    # --- construction ------------------------------------------------------------------------------------------------

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:  # noqa: PLR0911 - one return per way to be made
        """Return the constructor arguments of a client, with the gateway where nothing else was asked for.

        A copy of a redirected client hands its stand-in on; made for another host, it gets the app's own key back.

        Raises:
            MissingKeyError: The client goes to the gateway and there is no Huddle01 key.
        """
        url = given.get("base_url") or os.environ.get("OPENAI_BASE_URL")
        key = given.get("api_key")
        # each of these is a way of its own to reach a host or to sign in
        if any(given.get(name) for name in ("provider", "workload_identity", "data_residency")):
            return {**given, "api_key": key.original} if isinstance(key, StandIn) else dict(given)
        if isinstance(key, StandIn) and key.before is not None:
            given = _with_account(given, key.before.attributes)
        if not url:
            if not self.redirect_defaults:
                return dict(given)
            self.key()
            return {**given, "base_url": self._settings.base_url, "api_key": StandIn.of(key)}
        if url is self._urls.get(type(url)):
            self.key()  # a copy of a moved client: whatever key it was given is not for the gateway
            return {**given, "api_key": StandIn.of(key)}
        at_gateway = origin_of(str(url)) == self._origin
        if at_gateway and (key is None or key == os.environ.get("OPENAI_API_KEY")):
            self.key()
            return {**given, "api_key": StandIn.of(key, home=str(url))}
        if isinstance(key, StandIn) and not at_gateway:
            return {**given, "api_key": key.original}
        return dict(given)

    def constructed(self, client: Any, arguments: Mapping[str, Any]) -> None:
        """Finish a new client that was made with `arguments()`."""
        if isinstance(arguments.get("api_key"), StandIn):
            self.redirect(client)

    def redirect(self, client: Any) -> None:
        """Point a client at the gateway and take every other provider's credentials off it."""
        if client in self._before:
            return
        values = {name: getattr(client, name) for name in _REDIRECTED_ATTRIBUTES if hasattr(client, name)}
        key = values["api_key"]
        if isinstance(key, StandIn):
            before = _Before(key.home, {**values, **_without_us(key, values)})
            key = StandIn.of(key.original, home=key.home)
        else:
            before = _Before(str(client.base_url), dict(values))
            key = StandIn.of(values.get("_api_key_provider") or key, home=str(client.base_url))
        self._before[client] = key.before = before
        kind = type(client._base_url)
        if kind not in self._urls:
            _set_base_url(client, self._settings.base_url)
            self._urls[kind] = client._base_url
        _set_base_url(client, self._urls[kind])
        client.api_key = key
        for name in ("_api_key_provider", "admin_api_key", "organization", "project"):
            if name in values:
                setattr(client, name, None)
        headers = values.get("_custom_headers") or {}
        if any(name.lower() in _FOREIGN_HEADERS for name in headers):
            client._custom_headers = {k: v for k, v in headers.items() if k.lower() not in _FOREIGN_HEADERS}
        self._known.pop(client, None)

    def take_over(self, other: Targets) -> None:
        """Move the clients that another instance had moved."""
        clients = list(other._before)
        other.restore()
        for client in clients:
            self.redirect(client)

    def restore(self) -> None:
        """Give every redirected client that is still alive its own URL and credentials back."""
        for client, before in list(self._before.items()):
            _set_base_url(client, before.base_url)
            for name, value in before.attributes.items():
                setattr(client, name, value)
        self._before.clear()
        self._known.clear()

    # --- calls -------------------------------------------------------------------------------------------------------

    def of(self, client: Any, url: str) -> Target | None:
        """Return where a call goes, or None when it is none of ours.

        Args:
            client: The client that makes the call.
            url: The call's URL as the client has it: a path, or absolute.

        Raises:
            MissingKeyError: The client was made before `instrument()`, goes to OpenAI by default, and there is no key.
        """
        if url.startswith(("http:", "https:", "ws:", "wss:")):
            return self._resolve(client, url)
        base = client.base_url
        known = self._known.get(client)
        if known is not None and known[0] is base:
            return known[1]
        if self.redirect_defaults and self._is_default(client):
            self.key()
            self.redirect(client)
            base = client.base_url
        target = self._resolve(client, str(base))
        self._known[client] = (base, target)
        return target

    def _is_default(self, client: Any) -> bool:
        """Tell whether a client made before us goes to OpenAI because nobody said otherwise."""
        if os.environ.get("OPENAI_BASE_URL") or hasattr(client, "_azure_deployment"):
            return False
        said = getattr(client, "_base_url_was_default", None)  # openai 3.x knows
        plain = origin_of(str(client.base_url)) == ("https", OPENAI_HOST, 443)
        identity = getattr(client, "_provider", None) or getattr(client, "workload_identity", None)
        return plain and identity is None and said is not False

    def _resolve(self, client: Any, url: str) -> Target | None:
        url = url.rstrip("/")
        scheme, host, port = origin_of(url)
        shown = None if port == _DEFAULT_PORTS.get(scheme) else port
        if (scheme, host, port) == self._origin and not hasattr(client, "_azure_deployment"):
            openais = isinstance(client.api_key, StandIn) or client.api_key == os.environ.get("OPENAI_API_KEY")
            own = client not in self._before and not openais
            return Target(url, host, shown, self._settings.provider_name, gateway=True, own_key=own)
        if host in self._hosts or f"{host}:{port}" in self._hosts:
            return Target(url, host, shown, _provider_of(host), gateway=False)
        return None

    def headers(self, client: Any, target: Target, given: Mapping[str, Any], omit: Any) -> dict[str, Any]:
        """Return a call's own headers with the credentials the target takes, and no one else's.

        Args:
            client: The client that makes the call; its default headers are looked at, as openai 1.x and 2.x would send
                one that is spelled in another case beside ours, and as it may be restored while a call is under way.
            target: Where the call goes.
            given: The headers the app gave for this call.
            omit: The openai client's marker for "leave this header out".
        """
        if not target.gateway:
            return dict(given)
        headers = {name: omit for name in client._custom_headers or () if name.lower() in _FOREIGN_HEADERS}
        headers.update((name, value) for name, value in given.items() if name.lower() not in _FOREIGN_HEADERS)
        headers["OpenAI-Organization"] = headers["OpenAI-Project"] = omit
        if not target.own_key:
            headers["Authorization"] = f"Bearer {self.key().reveal()}"
        elif getattr(client, "_api_key_provider", None) is None:  # else the client asks the app for it as it sends
            headers["Authorization"] = f"Bearer {client.api_key}"
        else:
            headers.pop("Authorization", None)
        return headers


_PROVIDERS: Final = ((OPENAI_HOST, "openai"), (".openai.azure.com", "azure.ai.openai"))


def _provider_of(host: str) -> str:
    """Return the convention's provider name of a host that is not the gateway; the API's own name if unknown."""
    return next((name for suffix, name in _PROVIDERS if host.endswith(suffix)), "openai")
