from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.database import Database
from tradebot.errors import JournalError
from tradebot.market.venue import Side
from tradebot.sim.tables import Table, open_account


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    name: str
    side: Side
    amount: Decimal
    done: bool = False


ROWS = Table("things", Row, indexes=("name",))
PAIRS = Table("pairs", Row, key=2)


ROW = Row(0, "a", Side.BUY, Decimal("0.00000001"))


STEPS = [f"{ROWS.schema} {PAIRS.schema}"]


def database() -> Database:
    return open_account(None, STEPS)[0]


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8), st.text(max_size=9), st.booleans())
def test_a_row_comes_back_as_it_went_in(amount: Decimal, name: str, done: bool) -> None:
    db = database()
    row = ROWS.enter(db, Row(0, name.replace("\0", ""), Side.SELL, amount, done))
    assert ROWS.select(db) == [row]
    assert type(ROWS.select(db)[0].done) is bool
    db.close()


def test_amounts_are_written_as_plain_text() -> None:
    db = database()
    ROWS.enter(db, ROW)
    assert db.execute("SELECT amount FROM things").fetchone() == ("0.00000001",)


def test_rows_are_numbered_as_they_come_and_replaced_by_number() -> None:
    db = database()
    first, second = ROWS.enter(db, ROW), ROWS.enter(db, replace(ROW, name="b"))
    assert (first.number, second.number) == (1, 2)
    ROWS.put(db, replace(first, done=True))
    assert [(row.number, row.done) for row in ROWS.select(db)] == [(1, True), (2, False)]
    assert ROWS.select(db, "name = ?", ("b",)) == [second]
    assert ROWS.select(db, "1", (), "ORDER BY number DESC LIMIT 1") == [second]


def test_a_key_may_be_of_two_columns() -> None:
    db = database()
    for row in (ROW, replace(ROW, done=True), replace(ROW, name="b")):
        PAIRS.put(db, row)
    assert [(row.name, row.done) for row in PAIRS.select(db)] == [("a", True), ("b", False)]
    PAIRS.drop(db, 0, "a")
    assert [row.name for row in PAIRS.select(db)] == ["b"]


def test_a_file_keeps_its_rows_and_is_its_owners_alone(tmp_path: Path) -> None:
    first, new = open_account(tmp_path / "a.db", STEPS)
    assert new
    ROWS.enter(first, ROW)
    first.close()
    second, new = open_account(tmp_path / "a.db", STEPS)
    assert not new
    assert len(ROWS.select(second)) == 1
    assert (tmp_path / "a.db").stat().st_mode & 0o077 == 0
    second.close()


def test_a_file_of_an_earlier_version_gets_what_came_since(tmp_path: Path) -> None:
    open_account(tmp_path / "a.db", STEPS)[0].close()
    later, new = open_account(tmp_path / "a.db", [*STEPS, "CREATE TABLE more (x); CREATE TABLE most (y)"])
    assert not new
    assert later.rows("SELECT * FROM more") == later.rows("SELECT * FROM most") == []
    later.close()


def test_a_file_of_a_later_version_is_refused(tmp_path: Path) -> None:
    open_account(tmp_path / "a.db", [*STEPS, "CREATE TABLE more (x)"])[0].close()
    with pytest.raises(JournalError, match="newer"):
        open_account(tmp_path / "a.db", STEPS)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"nothing of the kind" * 99)
    with pytest.raises(JournalError, match=r"account .*a\.db"):
        open_account(tmp_path / "a.db", STEPS)
