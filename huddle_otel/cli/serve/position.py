"""How far a ledger has been read: rows come in the order of their ids, so what is new is what has a larger one."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Position:
    """The last row that was read, of a file."""

    inode: int = 0
    id: int = 0
    started: float | None = None

    @classmethod
    def at_end(cls, path: Path, connection: sqlite3.Connection) -> Position:
        """Return the position behind the newest row."""
        inode = path.stat().st_ino
        row = connection.execute("SELECT id, started FROM calls ORDER BY id DESC LIMIT 1").fetchone()
        return cls(inode) if row is None else cls(inode, *row)

    def holds(self, path: Path, connection: sqlite3.Connection) -> bool:
        """Return whether what was read is still what comes before the new rows.

        It is not when another file is in this one's place, or when this one was emptied: SQLite then gives the same ids
        again. Rows that were trimmed at the old end change nothing.
        """
        (newest,) = connection.execute("SELECT ifnull(max(id), 0) FROM calls").fetchone()
        row = connection.execute("SELECT started FROM calls WHERE id = ?", (self.id,)).fetchone()
        return path.stat().st_ino == self.inode and newest >= self.id and row in {None, (self.started,)}
