"""The file of the trading state: its tables, and how it is opened and made."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

from tradebot.database import Database

APPLICATION = 0x74726462  # "trdb"
BUSY_S = 5.0
"""Real seconds to wait for another process's transaction."""

SCHEMA: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE events (seq INTEGER PRIMARY KEY, account TEXT NOT NULL, time INTEGER NOT NULL,
           kind TEXT NOT NULL, body TEXT NOT NULL)""",
        """CREATE TRIGGER events_stay BEFORE UPDATE ON events
           BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END""",
        """CREATE TRIGGER events_last BEFORE DELETE ON events
           BEGIN SELECT RAISE(ABORT, 'events are only ever added'); END""",
        """CREATE TABLE orders (account TEXT NOT NULL, client_id TEXT NOT NULL, symbol TEXT NOT NULL,
           settled INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, client_id))""",
        "CREATE INDEX orders_open ON orders (account) WHERE NOT settled",
        """CREATE TABLE positions (account TEXT NOT NULL, id TEXT NOT NULL, symbol TEXT NOT NULL,
           gone INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, id))""",
        "CREATE INDEX positions_held ON positions (account) WHERE NOT gone",
        """CREATE TABLE fills (account TEXT NOT NULL, symbol TEXT NOT NULL, trade_id INTEGER NOT NULL,
           client_id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (account, symbol, trade_id))""",
        "CREATE INDEX fills_of ON fills (account, client_id)",
    ),
    ("CREATE INDEX orders_of ON orders (account, json_extract(body, '$.position'))",),
    (
        """CREATE TABLE payments (account TEXT NOT NULL, id TEXT NOT NULL, time INTEGER NOT NULL,
           position TEXT NOT NULL, amount TEXT NOT NULL, PRIMARY KEY (account, id))""",
    ),
    (),  # fills with what the venue says was paid
)
"""The statements that lead from each schema version to the next; the file's `user_version` counts them.

The rows of an older file are made anew from its facts: what is new in them has its default there.
"""


QUICKER = "CREATE INDEX IF NOT EXISTS orders_at ON orders (account, json_extract(body, '$.bar_time'))"
"""What only saves time is no version: files that have it are those of older programs too, and nothing is made anew."""


def opened(path: Path) -> Database:
    """The file at `path`, made if it is not there, and its owner's alone."""

    def connect() -> sqlite3.Connection:
        if not path.exists():
            _create(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
        return _connect(path)

    return Database(connect, f"trading state {path}", "; no order is sent without it")


def _connect(path: Path) -> sqlite3.Connection:
    """The file, which must exist: a lost one is not to come back empty."""
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_S)


def _create(path: Path) -> None:
    """An empty journal, complete from the moment it has its name.

    An empty file under that name is therefore never a journal about to be made, but one that was lost.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    draft = Path(name)
    try:
        db = Database(lambda: _connect(draft), f"trading state {path}")
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.migrate(SCHEMA)
        finally:
            db.close()
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return  # another process was faster, with the same content
    finally:
        draft.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A new name is safe only when its folder is on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
