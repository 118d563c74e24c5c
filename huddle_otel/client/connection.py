"""The connection to a Redis or Valkey that keeps shared accounts. The only module that knows the redis package."""

from __future__ import annotations

from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from huddle_otel.errors import ConfigurationError
from huddle_otel.settings import StoreUrl
from huddle_otel.spend.shared import SCRIPT, Command

FAILURES: Final = (redis.RedisError, OSError)
"""What `Connection.send` raises."""
_DAMAGE: Final = ("WRONGTYPE", "not an integer", "attempt to")


def is_damage(error: Exception) -> bool:
    """Tell whether a command found something under an account's key that is no account; all others are well."""
    return type(error) is redis.ResponseError and any(each in str(error) for each in _DAMAGE)


class Connection:
    """One connection, opened when it is needed. For one thread."""

    def __init__(self, url: StoreUrl, timeout: float) -> None:
        """Take the URL, and the seconds that connecting, and each answer, may take.

        Raises:
            ConfigurationError: The URL has a query that redis does not understand.
        """
        self._url, self._used = url, False
        once = Retry(NoBackoff(), 0)
        try:
            self._client: Any = redis.Redis.from_url(
                url.reveal(), socket_timeout=timeout, socket_connect_timeout=timeout, retry=once
            )
        except (ValueError, TypeError):
            permitted = "a URL that redis.from_url() understands"
            raise ConfigurationError(field="SpendGuard.store", value=url, permitted=permitted) from None

    def send(self, commands: list[Command]) -> list[Any]:
        """Make one round trip, with no command only to see whether there is an answer.

        Returns:
            The reply to each command; an error of one command stands in the place of its reply.

        Raises:
            redis.RedisError: The store cannot be reached, does not answer in time, or lets nobody in.
        """
        try:
            return self._round_trip(commands)
        except redis.ConnectionError:
            if not self._used:
                raise
            self.drop()  # it stood, and something has closed it while nobody used it
            return self._round_trip(commands)

    def version(self) -> str:
        """Return what the server says it is: `redis 7.0.15`, `valkey 8.1.0`.

        Raises:
            redis.RedisError: As `send`.
        """
        told: dict[str, Any] = self._client.info("server")
        names = [name for name in ("valkey", "redis") if f"{name}_version" in told]
        return f"{names[0]} {told[f'{names[0]}_version']}" if names else "unknown"

    def drop(self) -> None:
        """Close the connection; the next command opens another."""
        self._used = False
        self._client.connection_pool.disconnect()

    def reason(self, error: BaseException) -> str:
        """Say what went wrong, without the user and the password."""
        text = (str(error).splitlines() or [""])[0][:200]
        credentials, at, _ = self._url.reveal().partition("://")[2].rpartition("@")
        for secret in credentials.split(":", maxsplit=1) if at else ():
            text = text.replace(secret, "****") if secret else text
        return f"{type(error).__name__}: {text}"

    def _round_trip(self, commands: list[Command]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipe:
            for each in commands:
                if each.keys:  # as a whole, every time: a store that has forgotten its scripts is nothing special
                    pipe.eval(SCRIPT, len(each.keys), *each.keys, *each.arguments)
                else:
                    pipe.ping()
            if not commands:
                pipe.ping()
            replies: list[Any] = pipe.execute(raise_on_error=False)
        self._used = True
        return replies[: len(commands)]
