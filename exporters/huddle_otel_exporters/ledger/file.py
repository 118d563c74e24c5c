"""The ledger's file: where it is, what is in it, and opening it without harm to a file that is not one."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import fields
from itertools import count
from pathlib import Path
from typing import Final

from huddle_otel.events import CallRecord
from huddle_otel_exporters.environment import text

APPLICATION_ID: Final = 0x48554444
"""`HUDD`, at byte 68 of the file: what tells a ledger from any other SQLite file."""
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE calls (
        id INTEGER PRIMARY KEY,
        started REAL, duration REAL, first_chunk REAL,
        operation TEXT, model TEXT, response_model TEXT, provider TEXT, host TEXT, stream INT,
        outcome TEXT, error_type TEXT, status INT, attempts INT, waited REAL,
        double_billing INT, answered INT, fell_back_from TEXT,
        input_tokens INT, output_tokens INT, cache_read_tokens INT, cache_write_tokens INT, reasoning_tokens INT,
        cost INT, cost_source TEXT,
        cost_input INT, cost_output INT, cost_cache_read INT, cost_cache_write INT, cost_estimate INT,
        request_id TEXT, response_id TEXT, trace_id TEXT, span_id TEXT, tags TEXT
    );
    CREATE INDEX calls_started ON calls (started)
    """,
    """
    ALTER TABLE calls ADD COLUMN input_audio_tokens INT;
    ALTER TABLE calls ADD COLUMN input_image_tokens INT;
    ALTER TABLE calls ADD COLUMN output_audio_tokens INT;
    ALTER TABLE calls ADD COLUMN output_image_tokens INT
    """,
    "ALTER TABLE calls ADD COLUMN finish_reason TEXT",
)
"""Statements that lead from one schema version to the next; the version is how many have been applied."""
COLUMNS: Final = tuple(field.name for field in fields(CallRecord))
"""Columns of `calls` beside `id`, in the record's order."""
BUSY: Final = 1.0
"""Seconds SQLite waits for another process's lock, on the writer's thread; what is not written is tried again."""
LOG_BYTES: Final = 16 * 2**20
"""What the write-ahead log shrinks to, after a reader that took long has made it grow: four times its usual size."""
_SETTLING: Final = 1.0
"""Seconds to try turning on the write-ahead log, for which SQLite does not wait: all make the file at once, one can."""
_MAGIC: Final = b"SQLite format 3\x00"
_MARK_AT: Final = 68
_CODE: Final = 0xFF
"""The low byte of SQLite's result codes: the kind, without the detail."""
_WHAT_IT_IS: Final = """
    SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master)
    FROM pragma_application_id, pragma_user_version
"""
"""One statement, so that it sees one moment of a file that another process is just making a ledger."""
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class LedgerError(Exception):
    """A ledger cannot be used. The message says which file, what is wrong with it, and what to do."""


class CorruptLedgerError(LedgerError):
    """A ledger of ours whose content is damaged."""


def default_path() -> Path:
    """Return where the ledger is: `HUDDLE_OTEL_LEDGER`, else `huddle-otel/ledger.db` in the user's state folder."""
    named = text("HUDDLE_OTEL_LEDGER")
    if named:
        return Path(named).expanduser()
    state = Path(text("XDG_STATE_HOME") or "~/.local/state").expanduser()
    return state / "huddle-otel" / "ledger.db"


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a ledger for reading only. One thread at a time may use the connection.

    Raises:
        LedgerError: There is none, or it is damaged, of another program, or of another schema version than this one.
    """
    if not path.exists():
        raise LedgerError(f"{path}: there is no ledger yet; exporters=['ledger'] or HUDDLE_OTEL_EXPORTERS=ledger")
    try:
        where = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(where, uri=True, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            version = _version(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise explained(path, error) from error
    if version < len(MIGRATIONS):
        connection.close()
        raise LedgerError(
            f"{path}: schema version {version}, and this huddle-otel reads {len(MIGRATIONS)}; "
            "a process that writes to the ledger brings it up to date"
        )
    return connection


def open_writer(path: Path) -> sqlite3.Connection:
    """Open a ledger for writing, made or migrated if need be. Transactions are the caller's.

    Raises:
        LedgerError: It is damaged, of another program, or of a newer schema version; it is not touched.
        OSError: Its folder or the file cannot be made.
        sqlite3.OperationalError: It is locked, or the disk is full.
    """
    _make(path)
    where = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(where, uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False)
    try:
        if _version(connection, path) < len(MIGRATIONS):
            _migrate(connection, path)
        _write_ahead(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error as error:
        connection.close()
        if is_corrupt(error):
            raise explained(path, error) from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def reading(path: Path) -> Generator[sqlite3.Connection]:
    """Open a ledger for reading only, until the end of the block; what fails in it is explained.

    Raises:
        LedgerError: As `open_reader`, or it cannot be read to the end.
    """
    try:
        with closing(open_reader(path)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise explained(path, error) from error


def is_corrupt(error: sqlite3.Error) -> bool:
    """Return whether SQLite says that the file is damaged."""
    return int(getattr(error, "sqlite_errorcode", 0)) & _CODE in _CORRUPT  # an error of Python's own has no code


def explained(path: Path, error: sqlite3.Error) -> LedgerError:
    """Return what an error of SQLite's means for whoever wants to use this ledger."""
    if not is_corrupt(error):
        return LedgerError(f"{path}: cannot be used now ({error}); see that its folder and disk are, and try again")
    if _is_marked(path):
        return CorruptLedgerError(
            f"{path}: the ledger is damaged ({error}); `sqlite3 {path.name} .recover` saves what can be read"
        )
    return LedgerError(f"{path}: not a ledger ({error}), so it is left alone; name another file in HUDDLE_OTEL_LEDGER")


def set_aside(path: Path, *, inode: int, now: float) -> Path | None:
    """Rename a damaged ledger and what belongs to it; nothing in it is lost.

    Args:
        path: The ledger.
        inode: Of the file that was found damaged. If another process has put a new one in its place, that one stays.
        now: Unix time, s, for the new name.

    Returns:
        The new path; None when there was nothing to do.
    """
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
            names = (f"{path.name}.corrupt-{stamp}{f'-{number}' if number else ''}" for number in count())
            aside = next(each for each in map(path.with_name, names) if not each.exists())
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                with suppress(OSError):
                    path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
            return aside
    return None


def _make(path: Path) -> None:
    """Make the file and its folder, for this user only. One that exists is not opened: closing it would drop locks."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """Return the schema version of a ledger, 0 of an empty file."""
    mark, version, objects = connection.execute(_WHAT_IT_IS).fetchone()
    if mark != APPLICATION_ID and (mark or version or objects):
        raise LedgerError(
            f"{path}: a database of another program, so it is left alone; name another file in HUDDLE_OTEL_LEDGER"
        )
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{path}: schema version {version}, and this huddle-otel knows {len(MIGRATIONS)}; "
            "upgrade it, or name another file in HUDDLE_OTEL_LEDGER"
        )
    return int(version)


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # heeded only before the first page is written
    connection.execute("BEGIN IMMEDIATE")
    version = _version(connection, path)  # another process may have been faster
    for migration in MIGRATIONS[version:]:
        for statement in migration.split(";"):
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn the write-ahead log on, unless it is: whoever made the file may have been killed before it could."""
    connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
    until = time.monotonic() + _SETTLING
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(_SETTLING / 200)
        else:
            return


def _is_marked(path: Path) -> bool:
    """Return whether a file's first bytes say that it is, or was, a ledger."""
    try:
        with path.open("rb") as file:
            head = file.read(_MARK_AT + 4)
    except OSError:
        return False
    return head.startswith(_MAGIC) and head[_MARK_AT:] == APPLICATION_ID.to_bytes(4, "big")
