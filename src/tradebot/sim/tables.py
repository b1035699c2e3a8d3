"""An account file: SQLite whose rows are frozen dataclasses, amounts as decimal text."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, get_type_hints

from tradebot.database import Database

R = TypeVar("R")
_COLUMN = {int: "INTEGER", bool: "INTEGER"}


def open_account(path: Path | None, steps: Sequence[str]) -> tuple[Database, bool]:
    """An account file, readable by its owner only (None keeps it in memory), and whether it is new.

    `steps` is the SQL that leads from each version of its tables to the next, without semicolons within
    statements. `JournalError` for any trouble with it, now or later.
    """

    def connect() -> sqlite3.Connection:
        if path is not None:
            # Made here, so that nobody else can read it even for a moment; SQLite's own files follow its mode.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        return sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)

    db = Database(connect, f"account {path or 'in memory'}")
    db.execute("PRAGMA journal_mode = WAL")
    found = db.migrate([[each for each in step.split(";") if each.strip()] for step in steps])
    return db, not found


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
        cursor = db.execute(f"INSERT INTO {self.name} ({', '.join(self._names[1:])}) VALUES ({marks})", values)  # noqa: S608
        return replace(row, **{self._names[0]: int(cursor.lastrowid or 0)})  # type: ignore[type-var]

    def put(self, db: Database, row: R) -> None:
        """Insert a row or replace the one of the same key."""
        values = [getattr(row, name) for name in self._names]
        db.execute(f"INSERT OR REPLACE INTO {self.name} VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608

    def drop(self, db: Database, *key: Any) -> None:
        """Delete the row of this key."""
        where = " AND ".join(f"{name} = ?" for name in self._keys)
        db.execute(f"DELETE FROM {self.name} WHERE {where}", key)  # noqa: S608

    def select(self, db: Database, where: str = "1", values: Sequence[Any] = (), rest: str = "") -> list[R]:
        """The rows `where` something holds, by key unless `rest` (ORDER BY, LIMIT) says otherwise."""
        rest = rest or f"ORDER BY {', '.join(self._keys)}"
        rows = db.rows(f"SELECT * FROM {self.name} WHERE {where} {rest}", values)  # noqa: S608
        return [self._row(row) for row in rows]

    def _row(self, row: tuple[Any, ...]) -> R:
        return self._kind(*(kind(value) for kind, value in zip(self._types.values(), row, strict=True)))
