"""Checked bytes under text keys, in one diskcache that all processes share.

Every value is a small header (magic, version, CRC, length) and its payload. Nothing is ever
unpickled, since whoever can write to the folder could run code that way; what is not ours is set
aside in `aside/`, reported and fetched anew. Every trouble with the folder is a `MarketError`.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from string import digits
from typing import Any, NamedTuple, TypeVar

import diskcache
import orjson

from tradebot.clock import SECOND, monotonic_ms, wall_ms
from tradebot.errors import BadKlines, MarketError
from tradebot.market import damage
from tradebot.market.disk import DATABASE, BytesDisk, Foreign, unchanging

T = TypeVar("T")
log = logging.getLogger(__name__)
VERSION = 2
MAGIC = b"TBKL"
HEADER = struct.Struct("<4sHxxII")
INLINE = 1 << 24  # diskcache's own files can be deleted between its look-up and its reading of them
# How long another process's lock is waited for: in steps, between which a signal is heard.
STEP_S = 0.5
BRIEF_S = 2.0  # who reads, opens, or is in a cycle
PATIENCE_S = 10.0
SHRINK = 1_000  # pages at once
INCREMENTAL = 2  # auto_vacuum: diskcache's own FULL moves pages about in every commit
_FIND = """
SELECT key, mode, filename, value FROM Cache WHERE raw = 1 AND key IN (SELECT value FROM json_each(?))
"""
_KEYS = "SELECT key FROM Cache WHERE raw = 1 AND key >= ? AND key < ? ORDER BY key"
_AMOUNTS = """
SELECT key, coalesce(CAST(tag AS INTEGER), 0), coalesce(length(value), 0), coalesce(CAST(store_time AS REAL), 0)
FROM Cache WHERE raw = 1 AND key >= ? AND key < ? ORDER BY key
"""
# As diskcache does it, but for one thing: it looks up each key before, and each in a transaction, which takes thrice as
# long. So where somebody else has put a file under a key of ours, that file stays.
_PUT = """
INSERT INTO Cache (key, raw, store_time, access_time, tag, mode, value) VALUES (?, 1, ?, ?, ?, ?, ?)
ON CONFLICT (key, raw) DO UPDATE SET store_time = excluded.store_time, expire_time = NULL,
access_time = excluded.access_time, access_count = 0, tag = excluded.tag, size = 0, mode = excluded.mode,
filename = NULL, value = excluded.value
"""
_DROP = "DELETE FROM Cache WHERE raw = 1 AND key >= ? AND key < ?"
# What diskcache writes whenever it is opened, and where in its values the key and the value stand.
_SETTINGS = {
    "INSERT OR REPLACE INTO Settings VALUES (?, ?)": (0, 1),
    "UPDATE Settings SET value = ? WHERE key = ?": (1, 0),
    "INSERT OR IGNORE INTO Settings VALUES (?, ?)": (0, None),
}
_END = "\U0010ffff"  # after every key that begins alike


class Group(NamedTuple):
    """What the entries of one key but for its trailing digits amount to.

    `tags` is the sum of their tags, `size` that of their bytes; `written` is when the last was
    written, in UTC ms of this machine's clock.
    """

    key: str
    tags: int
    size: int
    written: int


class Cache(diskcache.Cache):  # type: ignore[misc]
    """One that writes nothing when it is opened and all its settings are there already.

    diskcache writes them anew each time and waits a minute for each behind another process's write.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        try:
            with damage.understood():
                super().__init__(*args, **settings)
        except BaseException:
            self.close()  # or it would delete the log of the file that is put in its place
            raise

    @property
    def _con(self) -> sqlite3.Connection:
        with damage.understood():
            made: sqlite3.Connection = super()._con
        return made

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor]:
        return self._settle

    def _settle(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Carry out a statement of the start, unless it would set what is set."""
        database: sqlite3.Connection = self._con
        database.execute(f"PRAGMA busy_timeout = {round(1000 * STEP_S)}")
        return tried(lambda: _set(database, statement, values), BRIEF_S)


class Frozen(Cache):
    """One on a read-only file system, where the usual way to open it fails: it would make a log."""

    @property
    def _con(self) -> sqlite3.Connection:
        if getattr(self._local, "con", None) is None:
            self._local.con = unchanging(Path(self._directory))
        found: sqlite3.Connection = self._local.con
        return found


def _set(database: sqlite3.Connection, statement: str, values: Sequence[Any]) -> sqlite3.Cursor:
    if where := _SETTINGS.get(statement):
        key, value = where
        row = database.execute("SELECT value FROM Settings WHERE key = ?", (values[key],)).fetchone()
        if row and (value is None or row[0] == values[value]):
            return database.cursor()
    return database.execute(statement, values)


def tried(act: Callable[[], T], longest_s: float) -> T:
    """What `act` returns, which is tried anew for `longest_s` while another process holds the lock."""
    until = monotonic_ms() + longest_s * SECOND
    while True:
        try:
            return act()
        except (diskcache.Timeout, sqlite3.OperationalError) as error:
            if "locked" not in damage.reason(error) or monotonic_ms() >= until:
                raise


def seal(payload: bytes) -> bytes:
    """`payload` behind its header."""
    return HEADER.pack(MAGIC, VERSION, zlib.crc32(payload), len(payload)) + payload


def unseal(raw: bytes) -> memoryview:
    """The payload of a sealed entry; `BadKlines` if it is foreign, of another version or damaged."""
    if isinstance(raw, Foreign) or len(raw) < HEADER.size or raw[:4] != MAGIC:
        raise BadKlines("not written by this program")
    _, version, checksum, length = HEADER.unpack_from(raw)
    if version != VERSION:
        raise BadKlines(f"of version {version}")
    payload = memoryview(raw)[HEADER.size :]
    if len(payload) != length or zlib.crc32(payload) != checksum:
        raise BadKlines("damaged")
    return payload


class Entries:
    """The entries in `folder`, which is made where it is missing, for its owner alone.

    Each thread has a connection of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._open()
        except MarketError:
            if not damage.marked(folder):
                raise
            self._open()

    def _open(self) -> None:
        with self._guarded():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            frozen = self._frozen()
            if not frozen and self.folder.stat().st_mode & 0o077:
                self.folder.chmod(0o700)
            if not frozen and (damage.marked(self.folder) or not (self._ours() or self._made())):
                self._settle()
            self._cache = (Frozen if frozen else Cache)(
                str(self.folder),
                timeout=STEP_S,
                disk=BytesDisk,
                disk_min_file_size=INLINE,
                eviction_policy="none",
                cull_limit=0,
                sqlite_auto_vacuum=INCREMENTAL,
            )

    def _settle(self) -> None:
        """Set the database aside if it cannot be used, and make one that can."""
        from filelock import FileLock

        with FileLock(self.folder / "open.lock", timeout=PATIENCE_S):
            if why := self._unusable(damage.marked(self.folder)):  # still: another process may have been here
                self._set_database_aside(why)
                self._unusable()

    @property
    def damaged(self) -> bool:
        """Whether the database has turned out to be damaged, and is set aside when it is opened next."""
        return bool(damage.marked(self.folder))

    def _frozen(self) -> bool:
        """Whether the file system is read-only, and the database as it is can be read."""
        log = self.folder / f"{DATABASE}-wal"
        read_only = os.statvfs(self.folder).f_flag & os.ST_RDONLY
        return bool(read_only) and self._ours() and not (log.exists() and log.stat().st_size)

    def _ours(self) -> bool:
        """Whether the database is of this version; False where that cannot be told.

        Nothing but the file itself is opened: whoever opens its log makes, reads or deletes files that
        another process may be setting aside at that moment.
        """
        try:
            with closing(unchanging(self.folder)) as database:
                # With a journal it is half made, by another process or by one that was killed.
                return self._version(database) == VERSION and not (self.folder / f"{DATABASE}-journal").exists()
        except sqlite3.DatabaseError:
            return False

    def _made(self) -> bool:
        """Make the database if there is none: that needs no lock, since what is new is never set aside."""
        return not (self.folder / DATABASE).exists() and not self._unusable()

    def _unusable(self, damaged: str = "") -> str:
        """Why the database is not ours, or `damaged`; empty if it is, or is new, and then made ours."""
        with closing(sqlite3.connect(self.folder / DATABASE, BRIEF_S, isolation_level=None)) as database:
            try:
                if not damaged and self._claimed(database):
                    return ""
                # Fails while anybody has it open: who goes on with a file that was moved would later
                # delete the log of the one that took its place.
                database.execute("PRAGMA journal_mode = DELETE")
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if damage.tells(error, self.folder / DATABASE):
                    return damaged or str(error)
                raise
            return damaged or "of another version or another program"

    def _claimed(self, database: sqlite3.Connection) -> bool:
        """Whether it is of this version, which a new one is made now."""
        if self._version(database) == VERSION:
            return True
        database.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        database.execute("PRAGMA synchronous = OFF")  # there is nothing yet to be lost
        database.execute("BEGIN IMMEDIATE")
        version = self._version(database)
        if version == 0 and not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            database.execute(f"PRAGMA user_version = {VERSION}")
            version = VERSION
        database.execute("COMMIT")
        return version == VERSION

    @staticmethod
    def _version(database: sqlite3.Connection) -> int:
        return int(database.execute("PRAGMA user_version").fetchone()[0])

    def _aside(self) -> Path:
        aside = self.folder / "aside"
        aside.mkdir(mode=0o700, exist_ok=True)
        return aside

    def _set_database_aside(self, why: str) -> None:
        path = self.folder / DATABASE
        name = self._aside() / f"cache-{path.stat().st_mtime_ns}.db"
        for tail in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + tail).rename(name.with_name(name.name + tail))
        damage.unmark(self.folder)
        log.warning("kline store: %s: %s; set aside as %s, all is fetched anew", path, why, name)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        # The lock's time-out is an OSError.
        except (diskcache.Timeout, sqlite3.Error, OSError, UnicodeDecodeError) as error:
            reason = damage.reason(error)
            if "locked" in reason:
                raise MarketError(
                    f"kline store {self.folder}: locked by another process that goes on writing; try again later"
                ) from None
            if damage.tells(error, self.folder / DATABASE) and damage.mark(self.folder, reason):
                raise MarketError(
                    f"kline store {self.folder}: {reason}; it is set aside when it is opened next, and fetched anew"
                ) from None
            raise MarketError(
                f"kline store {self.folder}: {reason}; mend that, or name another folder with --data-dir"
            ) from None

    @property
    def _database(self) -> sqlite3.Connection:
        """This thread's connection: one query for many keys, and all that diskcache has no word for."""
        connection: sqlite3.Connection = self._cache._con  # noqa: SLF001
        return connection

    def close(self) -> None:
        """Close this thread's connection."""
        self._cache.close()

    @contextmanager
    def transaction(self, longest_s: float = PATIENCE_S) -> Iterator[None]:
        """All that the block writes is seen at once, or nothing of it. Transactions nest.

        The outermost one waits `longest_s` at most for the end of another process's.
        """
        with self._guarded():
            connection = self._database
            outermost = not connection.in_transaction
            try:
                with ExitStack() as stack:
                    tried(lambda: stack.enter_context(self._cache.transact()), longest_s)
                    yield
            finally:
                if outermost and connection.in_transaction:  # the commit itself failed
                    connection.execute("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All that the block reads is of one moment; it must not write."""
        with self._guarded():
            connection = self._database
            if connection.in_transaction:
                yield
                return
            connection.execute("BEGIN")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    def get(self, key: str) -> bytes:
        """The sealed bytes under `key`; empty if there are none."""
        return self.find([key]).get(key, b"")

    def find(self, keys: Sequence[str]) -> dict[str, bytes]:
        """The sealed bytes under those of `keys` that are there."""
        found = {}
        with self._guarded():
            for key, mode, filename, value in self._rows(_FIND, orjson.dumps(keys).decode()):
                found[key] = self._cache.disk.fetch(mode, filename, value, False)
        return found

    def put(self, key: str, payload: bytes, tag: int = 0) -> None:
        """Seal and store `payload`; `tag` is a number that `groups` adds up."""
        self.put_all([(key, payload, tag)])

    def put_all(self, entries: Iterable[tuple[str, bytes, int]]) -> None:
        """`put` for many `(key, payload, tag)`, all of them or none."""
        now = wall_ms() / SECOND
        rows = [(key, now, now, tag, diskcache.core.MODE_RAW, seal(payload)) for key, payload, tag in entries]
        with self._guarded(), self._cache.transact():
            self._database.executemany(_PUT, rows)

    def keys(self, prefix: str) -> list[str]:
        """All keys that begin with `prefix`, sorted."""
        with self._guarded():
            return [key for (key,) in self._rows(_KEYS, prefix, prefix + _END)]

    def groups(self, prefix: str) -> list[Group]:
        """The entries whose keys begin with `prefix`, by key without its trailing digits."""
        with self._guarded():
            rows = self._rows(_AMOUNTS, prefix, prefix + _END)
        # SQLite's own GROUP BY carries the values along, and takes ten times as long.
        return [
            Group(
                key,
                sum(row[1] for row in some),
                sum(row[2] for row in some),
                int(1000 * max(row[3] for row in some)),
            )
            for key, some in ((key, list(each)) for key, each in groupby(rows, lambda row: row[0].rstrip(digits)))
        ]

    def drop(self, first: str, stop: str) -> int:
        """Delete the entries with `first <= key < stop`; how many there were."""
        with self._guarded():
            return self._database.execute(_DROP, (first, stop)).rowcount

    def set_aside(self, key: str, raw: bytes, why: BadKlines) -> None:
        """Keep an entry that cannot be used as a file, outside the cache."""
        name = "".join(char if char.isalnum() else "_" for char in key)
        with self._guarded():
            aside = self._aside()
            (aside / f"{name}-{zlib.crc32(raw):08x}").write_bytes(raw)
            tried(lambda: self._cache.delete(key), BRIEF_S)
        log.warning("kline store: entry %s is %s; set aside in %s and fetched anew", key, why, aside)

    def size(self) -> int:
        """Bytes of all files in the folder."""
        with self._guarded():
            return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def shrink(self) -> None:
        """Give the space of what was deleted back to the file system, in steps between which others can write."""
        step = f"PRAGMA incremental_vacuum({SHRINK})"
        with self._guarded():
            for _ in range(-(-self._number("PRAGMA freelist_count") // SHRINK)):
                tried(lambda: self._database.executescript(step), PATIENCE_S)  # `execute` stops after a page
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _number(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        return tried(lambda: self._database.execute(query, values).fetchall(), BRIEF_S)
