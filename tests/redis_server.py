"""A real Redis or Valkey on a free loopback port, started, stopped, killed and spoiled at will."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import redis

from huddle_otel.cli.stack.processes import free_port
from huddle_otel.spend.shared import SCRIPT, Command, Word, read
from tests.exporters.conftest import missing

PASSWORD: Final = "hunter2-of-the-store"
_PATIENCE: Final = 10.0


def until(come: Callable[[], object]) -> None:
    """Wait for something to come true, with a bound."""
    ends = time.monotonic() + _PATIENCE
    while not come():
        assert time.monotonic() < ends
        time.sleep(0.01)


class RedisServer:
    """Runs below a folder, without persistence; its data ends with the process."""

    def __init__(self, folder: Path, program: str = "redis-server") -> None:
        """Choose a port. Nothing runs yet."""
        found = shutil.which(program)
        if found is None:
            missing(program)
        self._program, self.port = found, free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def name(self) -> str:
        """What it is, `redis` or `valkey`."""
        return Path(self._program).name.partition("-")[0]

    @property
    def url(self) -> str:
        """For a limit on spend."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def start(self, *options: str) -> None:
        """Start it, and wait until it answers."""
        command = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--dir"]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self._folder), "--requirepass", PASSWORD, *options], stdout=log, stderr=log
            )
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                self.ask("PING")
            except redis.ConnectionError:
                assert time.monotonic() < until, (self._folder / "redis.log").read_text()
                time.sleep(0.02)
            else:
                return

    def ask(self, *command: Any) -> Any:
        """Run a command on a connection of its own; texts come as `str`."""
        with redis.Redis(port=self.port, password=PASSWORD, decode_responses=True, protocol=2) as client:
            return client.execute_command(*command)

    def account(self, name: str) -> dict[str, int]:
        """Return the figures of an account, `day:team:search`; nothing when there is none."""
        with redis.Redis(port=self.port, password=PASSWORD, decode_responses=True) as client:
            held: Any = client.hgetall(f"{{huddle_otel:spend}}:1:{name}")
        return {field: int(value) for field, value in held.items() if field != "began"}

    def run(self, command: Command) -> Word:
        """Run a command of ours."""
        keys, arguments = command.keys, command.arguments
        with redis.Redis(port=self.port, password=PASSWORD) as client:
            return read(client.eval(SCRIPT, len(keys), *keys, *arguments))

    def leases(self, name: str) -> int:
        """Return how many reservations an account has."""
        return int(self.ask("ZCARD", f"{{huddle_otel:spend}}:1:{name}:leases"))

    def kill(self) -> None:
        """End it at once, as a power cut does."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """Have it accept connections, through the kernel, and never answer."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
