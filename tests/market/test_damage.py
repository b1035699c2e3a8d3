"""What tells that a database is damaged, and the mark that is left for who opens it next."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tradebot.market import damage


def error(path: Path, *statements: str) -> BaseException:
    try:
        with closing(sqlite3.connect(path, 0.01, isolation_level=None)) as database:
            for statement in statements:
                database.execute(statement).fetchall()
    except sqlite3.Error as raised:
        return raised
    return AssertionError("nothing was raised")


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + bytes(2_000)])
def test_a_file_that_sqlite_cannot_read_is_damaged(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.db").write_bytes(content)
    assert damage.tells(error(tmp_path / "a.db", "SELECT * FROM sqlite_master"), tmp_path / "a.db")


def test_tables_that_are_others_than_ours_are_damaged(tmp_path: Path) -> None:
    assert damage.tells(error(tmp_path / "a.db", "SELECT key FROM Cache"), tmp_path / "a.db")
    assert damage.tells(error(tmp_path / "a.db", "CREATE TABLE Cache (k)", "SELECT key FROM Cache"), tmp_path / "a.db")


def test_a_text_that_cannot_be_read_is_damaged(tmp_path: Path) -> None:
    assert damage.tells(error(tmp_path / "a.db", "SELECT CAST(x'c3' AS TEXT)"), tmp_path / "a.db")
    with pytest.raises(UnicodeDecodeError) as raised:
        b"\xc3".decode()
    assert damage.tells(raised.value, tmp_path / "a.db")


def test_a_file_of_a_format_that_may_only_be_read_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    assert isinstance(error(path, "CREATE TABLE t (k)"), AssertionError)
    content = bytearray(path.read_bytes())
    content[18] = 3  # of a version to come, which may only be read
    path.write_bytes(content)
    refused = error(path, "CREATE TABLE u (k)")
    assert damage.tells(refused, path)
    assert not damage.tells(refused, tmp_path / "none.db")


def test_what_is_locked_cannot_be_opened_or_was_rolled_back_is_not_damaged(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "a.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert not damage.tells(error(tmp_path / "a.db", "BEGIN IMMEDIATE"), tmp_path / "a.db")
    assert not damage.tells(error(tmp_path / "a.db", "COMMIT"), tmp_path / "a.db")
    assert not damage.tells(error(tmp_path / "none" / "a.db"), tmp_path / "a.db")
    assert not damage.tells(OSError("no space left"), tmp_path / "a.db")


def test_what_diskcache_stumbles_over_is_damage(tmp_path: Path) -> None:
    with pytest.raises(damage.Damaged, match="make no sense: 'x'") as raised, damage.understood():
        {}["x"]
    assert damage.tells(raised.value, tmp_path / "a.db")
    with pytest.raises(OSError, match="full"), damage.understood():
        raise OSError("full")


def test_the_reason_is_the_one_at_the_root() -> None:
    failure = sqlite3.OperationalError("cannot rollback")
    failure.__context__ = OSError(28, "No space left on device")
    assert damage.reason(failure) == "No space left on device"
    assert damage.reason(TimeoutError()) == "locked"
    assert damage.reason(sqlite3.OperationalError("malformed")) == "malformed"


def test_a_mark_is_there_until_it_is_taken_away(tmp_path: Path) -> None:
    assert damage.marked(tmp_path) == ""
    assert damage.mark(tmp_path, "malformed")
    assert damage.marked(tmp_path) == "malformed"
    damage.unmark(tmp_path)
    damage.unmark(tmp_path)
    assert damage.marked(tmp_path) == ""


def test_a_mark_that_cannot_be_left_or_read_does_no_harm(tmp_path: Path) -> None:
    assert not damage.mark(tmp_path / "none", "malformed")
    (tmp_path / damage.MARK).write_bytes(b"\xff")
    assert damage.marked(tmp_path) == ""
