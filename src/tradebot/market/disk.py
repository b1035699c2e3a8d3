"""What a cache may hold: bytes under text keys. Nothing is ever unpickled, and no file outside its folder touched."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import diskcache

DATABASE = diskcache.core.DBNAME


class Foreign(bytes):
    """The bytes of an entry that somebody else pickled; they are never unpickled."""

    __slots__ = ()


class BytesDisk(diskcache.Disk):  # type: ignore[misc]
    """Text keys and bytes values only, in both directions."""

    def put(self, key: Any) -> tuple[Any, bool]:
        """A key as the database holds it."""
        if not isinstance(key, str):
            raise TypeError(f"keys are text, not {type(key).__name__}")
        return key, True

    def get(self, key: Any, raw: bool) -> str:
        """A key of the database; empty if somebody pickled it."""
        return key if raw and isinstance(key, str) else ""

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, str | None, Any]:
        """A value as the database holds it, always in the row."""
        if not isinstance(value, bytes):
            raise TypeError(f"values are bytes, not {type(value).__name__}")
        return 0, diskcache.core.MODE_RAW, None, sqlite3.Binary(value)

    def fetch(self, mode: int, filename: str | None, value: Any, read: bool) -> bytes:
        """A value of the database; `Foreign` if it was stored in any other way."""
        if mode == diskcache.core.MODE_RAW and isinstance(value, bytes):
            return value
        if filename:
            path = self._inside(filename)
            value = path.read_bytes() if path else b""
        return Foreign(value if isinstance(value, bytes) else repr(value).encode())

    def remove(self, filename: str) -> None:
        """Delete the file of a foreign entry."""
        if self._inside(filename):
            super().remove(filename)

    def _inside(self, filename: object) -> Path | None:
        """The file of an entry; None if there is none, what stands there is no name, or one that leads out of here."""
        if not isinstance(filename, str) or "\0" in filename:
            return None
        folder = Path(self._directory).resolve()
        path = (folder / filename).resolve()
        return path if path.is_relative_to(folder) and path.is_file() else None


def unchanging(folder: Path) -> sqlite3.Connection:
    """The database's file alone, without its log and without a lock."""
    uri = f"{(folder / DATABASE).absolute().as_uri()}?mode=ro&immutable=1"
    return sqlite3.connect(uri, uri=True, isolation_level=None)
