"""Whether a kline database is damaged beyond use, and how whoever opens it next hears of it.

What is damaged may be noticed only when its page is read, while other processes have it open. It
cannot be moved then, so that a mark is left beside it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tradebot.errors import MarketError

MARK = "damaged"
_CODES = frozenset({sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_STATES = ("cannot ",)  # of transactions: "cannot commit - no transaction is active"


class Damaged(sqlite3.DatabaseError):
    """What SQLite can read, but nobody can make sense of."""


@contextmanager
def understood() -> Iterator[None]:
    """What diskcache stumbles over are the settings that it finds in the database."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise Damaged(f"its settings make no sense: {error}") from None


def _root(error: BaseException) -> BaseException:
    # diskcache says no more than "timeout", and fails to roll back what a full disk has ended.
    while isinstance(error.__context__, sqlite3.Error | OSError | MarketError):
        error = error.__context__
    return error


def reason(error: BaseException) -> str:
    """What was at the root of an error, in few words; `locked` for a lock that was waited for in vain."""
    error = _root(error)
    return "locked" if isinstance(error, TimeoutError) else getattr(error, "strerror", None) or str(error)


def tells(error: BaseException, database: Path) -> bool:
    """Whether an error says that the file `database` is damaged, rather than locked, full, or not to be written.

    All statements are our own: one that SQLite cannot understand means that its tables are others now.
    """
    error = _root(error)
    if isinstance(error, Damaged | UnicodeDecodeError):  # the second in a key, or in what SQLite quotes of the schema
        return True
    if not isinstance(error, sqlite3.DatabaseError) or str(error).startswith(_STATES):
        return False
    code = getattr(error, "sqlite_errorcode", None)  # none where Python itself could not read a text
    if code == sqlite3.SQLITE_READONLY:
        return _of_another_format(database)
    return str(error).startswith("Could not decode") if code is None else code & 0xFF in _CODES


def _of_another_format(database: Path) -> bool:
    """Whether a file is of a version that SQLite may only read, which its 19th byte says."""
    with suppress(OSError), database.open("rb") as file:
        head = file.read(20)
        return len(head) == 20 and not {*head[18:]} <= {1, 2}
    return False


def mark(folder: Path, why: str) -> bool:
    """Have the database of `folder` set aside when it is opened next; False where that cannot be written down."""
    with suppress(OSError):
        (folder / MARK).write_text(why, errors="replace")
        return True
    return False


def marked(folder: Path) -> str:
    """Why the database of `folder` is to be set aside; empty if it is not."""
    with suppress(OSError, ValueError):
        return (folder / MARK).read_text() or "damaged"
    return ""


def unmark(folder: Path) -> None:
    """The database has been set aside."""
    (folder / MARK).unlink(missing_ok=True)
