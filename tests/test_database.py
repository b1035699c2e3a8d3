from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import pytest

from tradebot.database import Database
from tradebot.errors import JournalError

TABLE = ["CREATE TABLE things (name TEXT UNIQUE)"]


def database(path: Path | None = None, steps: Sequence[Sequence[str]] = (TABLE,)) -> Database:
    made = Database(lambda: sqlite3.connect(path or ":memory:", isolation_level=None), "file a", "; stop")
    made.migrate(steps)
    return made


def enter(db: Database, *names: str, fail: bool = False) -> None:
    with db.transaction():
        for name in names:
            db.execute("INSERT INTO things VALUES (?)", (name,))
        if fail:
            raise KeyError


def names(db: Database) -> list[str]:
    return [name for (name,) in db.rows("SELECT name FROM things ORDER BY rowid")]


def test_a_transaction_is_all_or_nothing() -> None:
    db = database()
    with pytest.raises(KeyError):
        enter(db, "a", "b", fail=True)
    assert names(db) == []
    with pytest.raises(JournalError, match="UNIQUE"):
        enter(db, "a", "a")
    assert names(db) == []
    enter(db, "a")
    assert names(db) == ["a"]


def test_a_part_of_a_transaction_can_fail_by_itself() -> None:
    db = database()
    with db.transaction():
        enter(db, "a")
        with pytest.raises(KeyError):
            enter(db, "b", fail=True)
        enter(db, "c")
    assert names(db) == ["a", "c"]


def test_a_part_that_was_done_goes_with_the_whole() -> None:
    db = database()

    def fail_after_a_part() -> None:
        with db.transaction():
            enter(db, "a")
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_a_part()
    assert names(db) == []


def test_a_transaction_that_the_full_disk_has_ended_leaves_the_file_usable(tmp_path: Path) -> None:
    db = database(tmp_path / "a.db")
    ((pages,),) = db.rows("PRAGMA page_count")
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalError, match="full"):
        enter(db, *(f"{number:09999}" for number in range(9)))
    enter(db, "a")
    assert names(db) == ["a"]
    db.close()


def test_every_trouble_of_the_file_is_one_line_that_names_it() -> None:
    db = database()
    with pytest.raises(JournalError, match=r"^file a: no such table: nowhere; stop$") as caught:
        db.rows("SELECT * FROM nowhere")
    assert isinstance(caught.value.__cause__, sqlite3.Error)

    def denied() -> sqlite3.Connection:
        raise PermissionError(13, "Permission denied", "b.db")

    with pytest.raises(JournalError, match=r"^file b: .*Permission denied"):
        Database(denied, "file b")


def test_what_is_refused_within_a_transaction_is_not_translated_twice() -> None:
    db = database()
    with pytest.raises(JournalError, match=r"^file a: no such table: nowhere; stop$"), db.transaction():
        db.execute("DELETE FROM nowhere")


def test_steps_are_counted_and_carried_out_once(tmp_path: Path) -> None:
    more = ["CREATE TABLE more (x)", "CREATE TABLE most (x)"]
    first = database(tmp_path / "a.db")
    assert first.migrate([TABLE]) == 1
    assert first.migrate([TABLE, more]) == 1
    assert first.migrate([TABLE, more]) == 2
    first.close()


def test_a_step_that_fails_leaves_everything_as_it_was() -> None:
    db = database()
    with pytest.raises(JournalError, match="already exists"):
        db.migrate([TABLE, ["CREATE TABLE more (x)", "CREATE TABLE things (x)"]])
    assert db.rows("PRAGMA user_version") == [(1,)]
    with pytest.raises(JournalError, match="no such table"):
        db.rows("SELECT * FROM more")


def test_a_file_of_a_later_version_is_left_alone() -> None:
    db = database(steps=[TABLE, TABLE[:0]])
    with pytest.raises(JournalError, match=r"^file a was written by a newer tradebot \(version 2\)"):
        db.migrate([TABLE])


@pytest.mark.parametrize("text", ["0.00000001", "92233720368.54775807", "0E-8"])
def test_a_decimal_is_plain_text(text: str) -> None:
    db = database()
    db.execute("INSERT INTO things VALUES (?)", (Decimal(text),))
    assert names(db) == [format(Decimal(text), "f")]
