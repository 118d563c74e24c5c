"""`huddle-otel prices update`: what the gateway charges, as a price file. The only command that fetches prices."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from huddle_otel.cli.output import plain
from huddle_otel.cli.prices import force
from huddle_otel.cli.prices.litellm import Found, prices_of
from huddle_otel.errors import ConfigurationError
from huddle_otel.settings import KEY_VARIABLE, Secret, Settings, secret

if TYPE_CHECKING:
    import httpx
    from rich.console import Console

TIMEOUT: Final = 10.0
"""Seconds to connect, and for each silence while reading."""
_SHOWN: Final = 5


class GatewayError(Exception):
    """The gateway did not tell what was asked; the message says what it did."""


def default_path() -> Path:
    """Return where the file goes: `huddle-otel/prices.json` in the user's configuration folder."""
    config = os.environ.get("XDG_CONFIG_HOME", "").strip() or "~/.config"
    return Path(config).expanduser() / "huddle-otel" / "prices.json"


def run(console: Console, output: Path | None) -> int:
    """Fetch the gateway's models and prices, and write them.

    Args:
        console: Where to print.
        output: The file to write; None is `default_path()`.

    Returns:
        The exit code: 1 when the gateway did not tell prices, or the file cannot be written.

    Raises:
        ConfigurationError: There is no key, or a setting is wrong.
    """
    settings = Settings.load()
    given = os.environ.get(KEY_VARIABLE, "").strip()
    if not given:
        raise ConfigurationError(field=KEY_VARIABLE, value=None, permitted="set: a gateway tells prices to its users")
    key = secret(given, field=KEY_VARIABLE)
    path = (output or default_path()).expanduser()
    try:
        listed, deployments = _ask(settings.base_url, key)
    except GatewayError as error:
        console.print(plain(f"{error}. Nothing is written."))
        return 1
    found = prices_of(deployments, as_of=datetime.now(UTC).date().isoformat())
    if not found.prices:
        console.print(plain(f"{_host(settings.base_url)} prices none of its {len(listed)} models. Nothing is written."))
        return 1
    try:
        kept = write(path, found.prices)
    except OSError as error:
        console.print(plain(f"{path}: cannot be written ({error.strerror})."))
        return 1
    _tell(console, path, found, listed, kept)
    return 0


def _ask(base_url: str, key: Secret) -> tuple[list[str], list[object]]:
    """Return the ids of the gateway's models, and what it says of its deployments."""
    import httpx  # noqa: PLC0415 - a dependency, and slow to import

    base = base_url.rstrip("/")
    headers = {"authorization": f"Bearer {key.reveal()}"}
    # no redirects: where one leads is for the user to see, and nothing to send a key to
    with httpx.Client(headers=headers, timeout=TIMEOUT, follow_redirects=False) as client:
        status, models = _get(client, f"{base}/models")
        if status != HTTPStatus.OK:
            raise GatewayError(_refused(f"{base}/models", status, key))
        listed = [str(each["id"]) for each in _data(models) if isinstance(each, Mapping) and "id" in each]
        url = f"{base}/model/info"
        status, info = _get(client, url)
        if status == HTTPStatus.NOT_FOUND and base.endswith("/v1"):
            url = f"{base.removesuffix('/v1')}/model/info"
            status, info = _get(client, url)
    if status != HTTPStatus.OK:
        raise GatewayError(f"{_refused(url, status, key)}; it lists {len(listed)} models without prices")
    return listed, _data(info)


def _get(client: httpx.Client, url: str) -> tuple[int, Any]:
    """Return the status, and the JSON of the body, None if it is none."""
    import httpx  # noqa: PLC0415 - as above

    try:
        answer = client.get(url)
    except httpx.HTTPError as error:
        # not its text: it may hold whatever the network put there
        raise GatewayError(f"no answer from {url} ({type(error).__name__})") from None
    try:
        return answer.status_code, json.loads(answer.text, parse_float=Decimal)
    except (ValueError, RecursionError):
        return answer.status_code, None


def _data(body: Any) -> list[Any]:
    data = body.get("data") if isinstance(body, Mapping) else None
    return data if isinstance(data, list) else []


def _refused(url: str, status: int, key: Secret) -> str:
    host = _host(url)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"{host} refuses the key {key} for {url} ({status})"
    if status == HTTPStatus.NOT_FOUND:
        return f"{host} has no {url} (404): it does not tell prices this way"
    return f"{host} answers {url} with {status}"


def _host(url: str) -> str:
    return urlsplit(url).hostname or url


def write(path: Path, prices: Mapping[str, Mapping[str, Any]]) -> Path | None:
    """Write a price file in one step, so that no reader sees half of it.

    Returns:
        Where the file that was there before is now, if it said something else.

    Raises:
        OSError: It cannot be written.
    """
    text = json.dumps(dict(sorted(prices.items())), indent=2) + "\n"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = None
    if path.exists() and path.read_bytes() != text.encode():
        kept = path.with_name(f"{path.name}.before")
        copyfile(path, kept)
    made = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        made.write_text(text, encoding="utf-8")
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return kept


def _tell(console: Console, path: Path, found: Found, listed: list[str], kept: Path | None) -> None:
    console.print(plain(f"{len(found.prices)} prices written to {path}"))
    if kept is not None:
        console.print(plain(f"What was there before: {kept}"))
    missing = set(listed) - found.prices.keys() - found.free - found.unclear
    for names, why in (
        (found.free, "listed at $0, which also means that the gateway does not know; left out"),
        (found.unclear, "priced differently by their deployments; left out"),
        (missing, "without a price"),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            console.print(plain(f"{', '.join(sorted(names)[:_SHOWN])}{more}: {why}"))
    console.print(plain(f"\nTo use them: export {force.VARIABLE}={path}", "dim"))
