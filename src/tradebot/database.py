"""SQLite behind a border: transactions that nest, and every failure one clear line."""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from types import TracebackType
from typing import Any

from tradebot.errors import JournalError

_WHOLE = ("BEGIN IMMEDIATE", "COMMIT", "ROLLBACK")
_PART = ("SAVEPOINT part", "RELEASE part", "ROLLBACK TO part; RELEASE part")


# A Decimal is held as plain text, never with an exponent.
sqlite3.register_adapter(Decimal, "{:f}".format)


class _Border:
    """Around what SQLite does: its errors, and those of the disk, become `JournalError`s. One does for all blocks."""

    def __init__(self, name: str, so: str) -> None:
        self._name, self._so = name, so

    def __enter__(self) -> None:
        """Nothing is held."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.Error | OSError):
            raise JournalError(f"{self._name}: {error}{self._so}") from error


class Database:
    """What `connect` opens, which must be in autocommit mode (`isolation_level=None`).

    Any `sqlite3.Error` and `OSError`, of connecting too, is a `JournalError` that begins with `name` and
    ends with `so`.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], name: str, so: str = "") -> None:
        self.name = name
        self._translated = _Border(name, so)
        with self._translated:
            self._connection = connect()
        weakref.finalize(self, self._connection.close)

    def close(self) -> None:
        """Release the file; its write-ahead log is merged."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing; within another transaction it can fail by itself."""
        begin, done, undone = _PART if self._connection.in_transaction else _WHOLE
        with self._translated:
            self._connection.execute(begin)
            try:
                yield
                self._connection.execute(done)
            except BaseException:
                # A disk that is full may have ended it already.
                if self._connection.in_transaction:
                    for statement in undone.split("; "):
                        self._connection.execute(statement)
                raise

    def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Carry out one statement; a Decimal becomes plain text."""
        with self._translated:
            return self._connection.execute(sql, values)

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows that a statement finds."""
        with self._translated:
            return self._connection.execute(sql, values).fetchall()

    def migrate(self, steps: Sequence[Sequence[str]]) -> int:
        """Carry out the statements of those `steps` that the file's `user_version` does not count, all or nothing.

        Returns the version that was found, 0 for an empty file; `JournalError` for one beyond `steps`.
        """
        found = self._version()
        if found > len(steps):
            raise JournalError(
                f"{self.name} was written by a newer tradebot (version {found}); use that one, or another file"
            )
        if found < len(steps):
            with self.transaction():
                for step in steps[self._version() :]:  # another process may have been faster
                    for statement in step:
                        self.execute(statement)
                self.execute(f"PRAGMA user_version = {len(steps)}")
        return found

    def _version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0][0])
