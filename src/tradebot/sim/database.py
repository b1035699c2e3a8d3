"""An account file: SQLite whose rows are frozen dataclasses, amounts as decimal text."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from tradebot.errors import JournalError

R = TypeVar("R")
_COLUMN = {int: "INTEGER", bool: "INTEGER"}


def as_column(value: Any) -> Any:
    """A value as SQLite holds it: a Decimal as plain text, never with an exponent."""
    return format(value, "f") if isinstance(value, Decimal) else value


class Database:
    """One file, readable by its owner only; None keeps it in memory. `JournalError` for any trouble with it.

    A new one gets the tables of `schema` and has `new` set; one that a later `version` wrote is refused.
    """

    def __init__(self, path: Path | None, schema: str, version: int) -> None:
        self.path = path
        with self._translated():
            if path is not None:
                # Made here, so that nobody else can read it even for a moment; SQLite's own files follow its mode.
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            weakref.finalize(self, self._db.close)
            self._db.execute("PRAGMA journal_mode = WAL")
            found = self._db.execute("PRAGMA user_version").fetchone()[0]
            if found > version:
                raise JournalError(f"account {path} was written by a newer tradebot; use that one, or another file")
            self.new = found == 0
            if self.new:
                self._db.executescript(f"BEGIN; {schema} PRAGMA user_version = {version}; COMMIT;")

    def close(self) -> None:
        """Release the file; its write-ahead log is merged."""
        self._db.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"account {self.path or 'in memory'}: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing; within another transaction it can fail by itself."""
        inner = self._db.in_transaction
        begin, undo = ("SAVEPOINT part", "ROLLBACK TO part") if inner else ("BEGIN IMMEDIATE", "ROLLBACK")
        with self._translated():
            self._db.execute(begin)
            try:
                yield
            except BaseException:
                self._db.execute(undo)
                if inner:
                    self._db.execute("RELEASE part")
                raise
            self._db.execute("RELEASE part" if inner else "COMMIT")

    def run(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Carry out one statement."""
        with self._translated():
            return self._db.execute(sql, [as_column(value) for value in values])


class Table(Generic[R]):
    """Rows of one frozen dataclass, whose fields are the columns and the first of which is the key.

    An integer key of 0 means: not yet entered; `enter` gives it the next number.
    """

    def __init__(self, name: str, kind: type[R], *, key: int = 1, indexes: Sequence[str] = ()) -> None:
        self.name = name
        self._kind = kind
        hints = get_type_hints(kind)
        self._types = {field.name: hints[field.name] for field in fields(kind)}  # type: ignore[arg-type]
        self._names = list(self._types)
        self._keys = self._names[:key]
        self._indexes = indexes

    @property
    def schema(self) -> str:
        """The statements that make it."""
        columns = [f"{name} {_COLUMN.get(kind, 'TEXT')} NOT NULL" for name, kind in self._types.items()]
        if len(self._keys) == 1 and self._types[self._keys[0]] is int:
            columns[0] = f"{self._keys[0]} INTEGER PRIMARY KEY AUTOINCREMENT"
        else:
            columns.append(f"PRIMARY KEY ({', '.join(self._keys)})")
        made = [f"CREATE TABLE {self.name} ({', '.join(columns)});"]
        made += [f"CREATE INDEX {self.name}_{at} ON {self.name} ({each});" for at, each in enumerate(self._indexes)]
        return " ".join(made)

    def enter(self, db: Database, row: R) -> R:
        """Insert a row without a key; the same row with the key it got."""
        values = [getattr(row, name) for name in self._names[1:]]
        marks = ", ".join("?" * len(values))
        cursor = db.run(f"INSERT INTO {self.name} ({', '.join(self._names[1:])}) VALUES ({marks})", values)  # noqa: S608
        return replace(row, **{self._names[0]: int(cursor.lastrowid or 0)})  # type: ignore[type-var]

    def put(self, db: Database, row: R) -> None:
        """Insert a row or replace the one of the same key."""
        values = [getattr(row, name) for name in self._names]
        db.run(f"INSERT OR REPLACE INTO {self.name} VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608

    def drop(self, db: Database, *key: Any) -> None:
        """Delete the row of this key."""
        where = " AND ".join(f"{name} = ?" for name in self._keys)
        db.run(f"DELETE FROM {self.name} WHERE {where}", key)  # noqa: S608

    def select(self, db: Database, where: str = "1", values: Sequence[Any] = (), rest: str = "") -> list[R]:
        """The rows `where` something holds, by key unless `rest` (ORDER BY, LIMIT) says otherwise."""
        rest = rest or f"ORDER BY {', '.join(self._keys)}"
        rows = db.run(f"SELECT * FROM {self.name} WHERE {where} {rest}", values)  # noqa: S608
        return [self._row(row) for row in rows]

    def _row(self, row: tuple[Any, ...]) -> R:
        return self._kind(*(kind(value) for kind, value in zip(self._types.values(), row, strict=True)))
