"""The journal keeps what it was told, once, whatever happens to the process or the disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.errors import ImpossibleTransition, JournalError
from tradebot.market.venue import Fill, OrderType, Payment, Side
from tradebot.trading.facts import Audited, Fact, Filled, Funded, Identified, Intended, Judged, Released, Watched
from tradebot.trading.journal import Journal
from tradebot.trading.orders import GUARD_STOP, Moved, OrderEvent, OrderState, Outcome
from tradebot.trading.positions import Position, PositionEvent, PositionState
from tradebot.trading.state_file import APPLICATION, SCHEMA

ACCOUNT = "sim-paper"


def intended(name: str = "tb-1", symbol: str = "XUSDT") -> Intended:
    order = Outcome(name, symbol, Side.BUY, Decimal("1E+1"), Decimal("0.00000001"), "enter", 0, 5, name)
    share = Decimal("0.02")
    position = Position(name, symbol, "X", "USDT", Side.BUY, 0, 5, 9, share, share)
    return Intended(order, (position.entering(),))


def filled(trade: int = 1, name: str = "tb-1", symbol: str = "XUSDT") -> Filled:
    fill = Fill(trade, symbol, 7, Side.BUY, Decimal(100), Decimal("2.5"), Decimal("0.0025"), "X", 6)
    return Filled(name, fill)


SENT = Moved("tb-1", OrderEvent.SEND)
DONE = Moved("tb-1", OrderEvent.FILL, "", 7, Decimal(5), Decimal(500))
BOUGHT = replace(
    intended().positions[0], state=PositionState.OPEN, quantity=Decimal("4.995"), bought=Decimal("4.995"),
    cost=Decimal(500), stop=Decimal(98), target=Decimal(103), guards=1,
)  # fmt: skip
STOP, TARGET = (
    replace(intended(name).order, intent=f"guard-{name}", side=Side.SELL, position="tb-1", pair="tb-list")
    for name in ("stop", "target")
)
STORY: list[Fact] = [
    intended(), intended("tb-2", "YUSDT"), SENT, filled(), Moved("tb-2", OrderEvent.SEND), filled(2), DONE,
    Intended(STOP, (BOUGHT,)), Intended(TARGET, (BOUGHT,)), Moved("stop", OrderEvent.SEND),
    Moved("target", OrderEvent.SEND), Moved("tb-2", OrderEvent.DOUBT), Moved("stop", OrderEvent.ACCEPT),
    Moved("target", OrderEvent.ACCEPT), filled(), Moved("stop", OrderEvent.EXPIRE), Moved("target", OrderEvent.DOUBT),
    Moved("target", OrderEvent.CANCEL), Moved("tb-2", OrderEvent.MISS), Moved("tb-2", OrderEvent.ABSENT),
]  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "state.db") as opened:
        yield opened


def rows(path: Path) -> dict[str, list[object]]:
    """All rows of all tables, read by somebody else."""
    with sqlite3.connect(path) as db:
        tables = ("events", "orders", "positions", "fills")
        found: dict[str, list[object]] = {t: sorted(db.execute(f"SELECT * FROM {t}").fetchall()) for t in tables}
    db.close()
    return found


class FailingOnce:
    """A database whose disk fails to take what waits for it, and then works as before."""

    def __init__(self, journal, whole, code):
        self.journal, self.whole, self.code = journal, whole, code

    def execute(self, sql):
        if "application_id" not in sql:
            return self.whole.execute(sql)
        self.journal._db = self.whole
        cause = sqlite3.OperationalError("disk I/O error")
        cause.sqlite_errorcode = self.code
        raise JournalError("no order is sent without it") from cause


class TestRecording:
    def test_survives_a_reopening_to_the_last_digit(self, journal, tmp_path):
        journal.record(ACCOUNT, 5, intended())
        with Journal(tmp_path / "state.db") as again:
            assert again.order(ACCOUNT, "tb-1") == journal.order(ACCOUNT, "tb-1")
            order = again.order(ACCOUNT, "tb-1")
            assert order is not None
            assert (order.quantity, order.price, order.side) == (10, Decimal("0.00000001"), Side.BUY)
            assert again.positions(ACCOUNT) == list(intended().positions)

    def test_writes_amounts_as_digits_without_exponents(self, journal, tmp_path):
        journal.record(ACCOUNT, 5, intended())
        assert "E-" not in str(rows(tmp_path / "state.db"))
        assert '"quantity":"10"' in str(rows(tmp_path / "state.db"))

    def test_brings_orders_positions_and_fees_up_to_date(self, journal):
        journal.record(ACCOUNT, 5, intended())
        journal.record(ACCOUNT, 6, SENT)
        journal.record(ACCOUNT, 7, filled(1), filled(2), DONE)
        order, position = journal.order(ACCOUNT, "tb-1"), journal.positions(ACCOUNT)[0]
        assert order is not None
        assert (order.state, order.executed, order.fees) == (OrderState.FILLED, 5, {"X": Decimal("0.0050")})
        assert (position.state, position.quantity) == (PositionState.OPEN, Decimal("4.9950"))
        assert journal.unresolved(ACCOUNT) == []

    def test_books_a_fill_once_however_often_it_is_told(self, journal, tmp_path):
        journal.record(ACCOUNT, 5, intended(), SENT, filled(1))
        before = rows(tmp_path / "state.db")
        journal.record(ACCOUNT, 6, filled(1), filled(1))
        assert rows(tmp_path / "state.db") == before
        assert journal.booked(ACCOUNT, "XUSDT") == {1}

    def test_takes_the_same_trade_id_of_another_symbol_for_another_fill(self, journal):
        journal.record(ACCOUNT, 5, intended(), intended("tb-2", "YUSDT"), filled(1), filled(1, "tb-2", "YUSDT"))
        assert len(journal.fills(ACCOUNT, "tb-1")) == len(journal.fills(ACCOUNT, "tb-2")) == 1

    def test_tells_a_doubt_from_an_order_that_is_awaited(self, journal):
        journal.record(ACCOUNT, 5, intended(), SENT, filled(), Moved("tb-1", OrderEvent.DOUBT, "read timed out"))
        assert journal.positions(ACCOUNT)[0].state is PositionState.IN_DOUBT
        assert journal.doubtful(ACCOUNT) == []
        journal.record(ACCOUNT, 6, filled(2), DONE, Judged("tb-1", PositionEvent.DOUBT))
        assert journal.doubtful(ACCOUNT) == journal.positions(ACCOUNT)

    def test_keeps_accounts_apart(self, journal):
        journal.record(ACCOUNT, 5, intended())
        journal.record("binance-paper", 5, intended())
        journal.record("binance-paper", 6, SENT, Moved("tb-1", OrderEvent.REJECT, "no"))
        assert [order.state for order in journal.unresolved(ACCOUNT)] == [OrderState.INTENDED]
        assert journal.unresolved("binance-paper") == []
        assert journal.accounts() == ["binance-paper", ACCOUNT]

    def test_follows_prices_and_orders_that_protect_and_finds_them_by_position(self, journal):
        stop = replace(
            intended().order, client_id="tb-s", intent="guard-stop", side=Side.SELL, type=OrderType.STOP_LOSS,
            stop_price=Decimal(98), pair="tb-l",
        )  # fmt: skip
        journal.record(ACCOUNT, 5, intended(), SENT, filled(1), filled(2), DONE)
        journal.record(ACCOUNT, 6, Intended(stop, (journal.positions(ACCOUNT)[0].guarding(),)))
        journal.record(ACCOUNT, 7, Moved("tb-s", OrderEvent.SEND), Moved("tb-s", OrderEvent.ACCEPT, list_id=3))
        journal.record(ACCOUNT, 8, Watched("tb-1", Decimal(120), Decimal(110)), Moved("tb-s", OrderEvent.RECALL))
        (live,) = journal.live(ACCOUNT, "tb-1")
        assert (live.state, live.list_id, live.stop_price) == (OrderState.CANCELING, 3, 98)
        assert [order.client_id for order in journal.orders_of(ACCOUNT, "tb-1")] == ["tb-1", "tb-s"]
        held = journal.position(ACCOUNT, "tb-1")
        assert held is not None
        assert (held.state, held.best, held.stop, held.guards) == (PositionState.OPEN, 120, 110, 1)
        assert journal.position(ACCOUNT, "tb-9") is None
        before = journal.rows()
        journal.rebuild()
        assert journal.rows() == before

    def test_knows_which_orders_were_ever_intended(self, journal):
        journal.record(ACCOUNT, 5, intended())
        assert journal.known(ACCOUNT, ["tb-1", "tb-2"]) == {"tb-1"}
        assert journal.known(ACCOUNT, []) == frozenset()
        assert journal.order(ACCOUNT, "tb-2") is None

    def test_knows_who_was_entered_on_a_bar_whatever_came_of_it(self, journal):
        journal.record(ACCOUNT, 5, intended(), intended("tb-2", "YUSDT"))
        journal.record(ACCOUNT, 6, SENT, Moved("tb-1", OrderEvent.REJECT, "no"))
        guard = intended("tb-s", "ZUSDT").order
        journal.record(ACCOUNT, 7, Intended(replace(guard, intent=GUARD_STOP), ()))
        bar = guard.bar_time
        assert journal.entered(ACCOUNT, bar) == {"XUSDT", "YUSDT"}, "what protects is no entry"
        assert journal.entered(ACCOUNT, bar + 1) == journal.entered("another", bar) == frozenset()
        assert journal.entered(ACCOUNT, np.int64(bar)) == {"XUSDT", "YUSDT"}

    def test_tells_what_is_held_from_what_is_over(self, journal):
        journal.record(ACCOUNT, 5, intended(), intended("tb-2", "YUSDT"))
        journal.record(ACCOUNT, 6, SENT, Moved("tb-1", OrderEvent.REJECT, "no"))
        assert [position.id for position in journal.positions(ACCOUNT)] == ["tb-2"]
        assert [position.id for position in journal.history(ACCOUNT)] == ["tb-1"]
        assert [order.client_id for order in journal.orders(ACCOUNT)] == ["tb-1", "tb-2"]

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.booleans(), min_size=len(STORY), max_size=len(STORY)))
    def test_has_the_same_rows_however_its_facts_are_put_together(self, tmp_path_factory, cuts):
        folder = tmp_path_factory.mktemp("cuts")
        with Journal(folder / "one.db") as one, Journal(folder / "other.db") as other:
            together = list[Fact]()
            for fact, cut in zip(STORY, cuts, strict=True):
                one.record(ACCOUNT, 6, fact)
                together.append(fact)
                if cut:
                    other.record(ACCOUNT, 6, *together)
                    together.clear()
            other.record(ACCOUNT, 6, *together)
            assert one.rows() == other.rows()
            other.rebuild()
            assert one.rows() == other.rows()

    @given(st.lists(st.booleans(), min_size=len(STORY), max_size=len(STORY)))
    def test_what_is_at_hand_is_what_another_process_reads(self, tmp_path_factory, cuts):
        folder = tmp_path_factory.mktemp("hand")
        with Journal(folder / "one.db") as one:
            for fact, look in zip(STORY, cuts, strict=True):
                one.record(ACCOUNT, 6, fact)
                if look:
                    with Journal(folder / "one.db") as other:
                        assert one.orders(ACCOUNT) == other.orders(ACCOUNT)
                        assert one.positions(ACCOUNT) == other.positions(ACCOUNT)
                        assert one.fills(ACCOUNT, "tb-1") == other.fills(ACCOUNT, "tb-1")

    def test_rows_that_are_at_hand_are_not_many(self, journal, monkeypatch):
        monkeypatch.setattr("tradebot.trading.journal.KEPT", 5)
        for number in range(20):
            journal.record(ACCOUNT, 5, intended(f"tb-{number}", f"X{number}USDT"))
            assert len(journal.orders(ACCOUNT)) == len(journal.positions(ACCOUNT)) == number + 1
            assert len(journal._kept) <= 5

    def test_a_rebuild_reads_no_more_of_a_positions_orders_than_can_still_move(self, journal):
        journal.record(ACCOUNT, 5, intended(), SENT, filled(), filled(2), DONE)
        for number in range(9):
            stop = replace(STOP, client_id=f"stop-{number}")
            steps = (OrderEvent.SEND, OrderEvent.ACCEPT, OrderEvent.CANCEL)
            moves = [Moved(stop.client_id, event) for event in steps]
            journal.record(ACCOUNT, 6, Intended(stop, (replace(BOUGHT, guards=number),)), *moves)
        live, read = journal.live, []
        journal.live = lambda *of: read.append(live(*of)) or read[-1]
        journal.rebuild()
        assert max(map(len, read)) == 1

    def test_rebuilds_the_same_rows_from_its_facts(self, journal, tmp_path):
        journal.record(ACCOUNT, 5, intended(), SENT, filled(1))
        journal.record(ACCOUNT, 6, filled(1), filled(2), DONE)
        journal.record(ACCOUNT, 7, Judged("tb-1", PositionEvent.SHRINK))
        before = rows(tmp_path / "state.db")
        with sqlite3.connect(tmp_path / "state.db") as db:
            db.execute("DELETE FROM fills")
            db.execute("UPDATE orders SET body = '{}'")
        db.close()
        journal.rebuild()
        assert rows(tmp_path / "state.db") == before


class TestRefusing:
    def test_keeps_whose_account_it_is_and_what_was_found_there_last(self, journal):
        assert (journal.identity(ACCOUNT), journal.audit(ACCOUNT)) == (None, Audited({}, ()))
        journal.record(ACCOUNT, 5, Identified("77"), Audited({"XUSDT": "an order"}, ("X: too little",)))
        journal.record("other", 6, Identified("78"), Audited({}, ()))
        journal.rebuild()
        assert journal.identity(ACCOUNT) == "77"
        assert journal.audit(ACCOUNT) == Audited({"XUSDT": "an order"}, ("X: too little",))

    def test_writes_off_what_a_person_says_is_gone(self, journal):
        journal.record(ACCOUNT, 5, intended(), SENT, filled(1), filled(2), DONE)
        journal.record(ACCOUNT, 6, Released("tb-1", Decimal("1.5"), Decimal(350)))
        journal.rebuild()
        assert [each.quantity for each in journal.positions(ACCOUNT)] == [Decimal("1.5")]
        assert {name: len(fills) for name, fills in journal.all_fills(ACCOUNT).items()} == {"tb-1": 2}

    def test_an_impossible_step_leaves_everything_as_it_was(self, journal, tmp_path):
        journal.record(ACCOUNT, 5, intended())
        before = rows(tmp_path / "state.db")
        with pytest.raises(ImpossibleTransition):
            journal.record(ACCOUNT, 6, SENT, filled(1), Moved("tb-1", OrderEvent.ABANDON))
        assert rows(tmp_path / "state.db") == before

    def test_the_same_intent_a_second_time(self, journal):
        journal.record(ACCOUNT, 5, intended())
        with pytest.raises(JournalError, match="UNIQUE"):
            journal.record(ACCOUNT, 6, intended())

    @pytest.mark.parametrize("fact", [SENT, filled(), Judged("tb-1", PositionEvent.SHRINK)])
    def test_facts_about_what_was_never_intended(self, journal, fact):
        with pytest.raises(JournalError, match=r"no (order|position) tb-1 in account sim-paper"):
            journal.record(ACCOUNT, 5, fact)

    @pytest.mark.parametrize("statement", ["DELETE FROM events", "UPDATE events SET time = 0"])
    def test_anyone_who_would_change_the_past(self, journal, tmp_path, statement):
        journal.record(ACCOUNT, 5, intended())
        db = sqlite3.connect(tmp_path / "state.db")
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            db.execute(statement)
        db.close()


class TestTheFile:
    def test_is_for_its_owner_only(self, journal, tmp_path):
        journal.record(ACCOUNT, 5, intended())
        for path in tmp_path.iterdir():
            assert path.stat().st_mode & 0o777 == 0o600

    def test_is_closed_to_others_again_if_somebody_opened_it(self, tmp_path):
        Journal(tmp_path / "state.db").close()
        (tmp_path / "state.db").chmod(0o644)
        Journal(tmp_path / "state.db").close()
        assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize(
        ("fact", "level"),
        [
            (SENT, 1),
            (intended("tb-2"), 1),
            (DONE, 1),
            (filled(), 1),
            (Moved("tb-1", OrderEvent.REJECT), 2),
            (Moved("tb-1", OrderEvent.DOUBT), 2),
            (Judged("tb-1", PositionEvent.DOUBT), 2),
        ],
    )
    def test_waits_for_the_disk_unless_it_is_to_be_secured_or_the_venue_can_tell_it_again(self, journal, fact, level):
        journal.record(ACCOUNT, 5, intended(), *(() if fact == SENT else (SENT,)))
        journal.record(ACCOUNT, 6, fact)
        assert journal._db.rows("PRAGMA synchronous") == [(level,)]
        journal.record(ACCOUNT, 7, Audited({}, ()))
        assert journal._db.rows("PRAGMA synchronous") == [(2,)]

    def test_waits_for_the_disk_with_what_only_we_know_beside_what_the_venue_knows(self, journal):
        journal.record(ACCOUNT, 5, intended(), SENT, filled(), Watched("tb-1", Decimal(1), Decimal(1)))
        assert journal._db.rows("PRAGMA synchronous") == [(2,)]

    def test_is_secured_with_one_write_however_much_was_recorded(self, journal, tmp_path):
        def written() -> int:
            return (tmp_path / "state.db-wal").stat().st_size

        journal.record(ACCOUNT, 5, intended())
        journal.record(ACCOUNT, 5, intended("tb-2"))
        before = written()
        journal.secure()
        assert journal._db.rows("PRAGMA synchronous") == [(2,)], "a write that waits for the disk, and"
        assert before < (once := written()) < before + 3 * 4096, "for all that was written before it"
        journal.secure()
        assert written() == once

    def test_is_not_taken_for_secure_because_of_a_fact_that_is_known_already(self, journal, tmp_path):
        funding = Funded("tb-1", Payment("p", "XUSDT", Decimal(1), "USDT", 5))
        journal.record(ACCOUNT, 5, intended(), funding)
        journal.secure()
        journal.record(ACCOUNT, 5, intended("tb-2"))
        journal.record(ACCOUNT, 6, funding)
        before = (tmp_path / "state.db-wal").stat().st_size
        journal.secure()
        assert (tmp_path / "state.db-wal").stat().st_size > before

    def test_says_nothing_of_its_version_when_it_is_secured(self, journal, tmp_path):
        journal.record(ACCOUNT, 5, intended())
        with sqlite3.connect(tmp_path / "state.db") as newer:
            newer.execute(f"PRAGMA user_version = {len(SCHEMA) + 1}")
        newer.close()
        journal.secure()
        assert journal._db.rows("PRAGMA user_version") == [(len(SCHEMA) + 1,)], "another program has brought it on"

    @pytest.mark.parametrize(
        ("code", "gone_for_good"), [(sqlite3.SQLITE_IOERR_FSYNC, True), (sqlite3.SQLITE_FULL, False)]
    )
    def test_a_disk_that_failed_once_to_take_what_waits_is_not_believed_again(self, journal, code, gone_for_good):
        journal.record(ACCOUNT, 5, intended())
        journal._db = FailingOnce(journal, journal._db, code)
        with pytest.raises(JournalError):
            journal.secure()
        for again in (journal.secure, lambda: journal.record(ACCOUNT, 6, intended("tb-2"))):
            if gone_for_good:
                with pytest.raises(JournalError, match="no order is sent"):
                    again()
            else:
                again()

    def test_syncs_fully_and_lets_others_read_while_it_writes(self, journal, tmp_path):
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        journal.record(ACCOUNT, 5, intended())
        journal._db.execute("BEGIN IMMEDIATE")
        try:
            with Journal(tmp_path / "state.db") as reader:
                assert len(reader.positions(ACCOUNT)) == 1
        finally:
            journal._db.execute("ROLLBACK")

    @pytest.mark.parametrize("content", [b"", b"not a database at all, but long enough to be one" * 100])
    def test_that_is_damaged_is_an_error_and_stays_as_it_is(self, tmp_path, content):
        path = tmp_path / "state.db"
        path.write_bytes(content)
        with pytest.raises(JournalError, match=r"state\.db"):
            Journal(path)
        assert path.read_bytes() == content

    def test_of_another_program_is_an_error_and_stays_as_it_is(self, tmp_path):
        path = tmp_path / "state.db"
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE mine (x)")
        db.close()
        before = path.read_bytes()
        with pytest.raises(JournalError, match="not a tradebot journal"):
            Journal(path)
        assert path.read_bytes() == before

    def test_of_a_newer_version_is_an_error(self, tmp_path):
        path = tmp_path / "state.db"
        Journal(path).close()
        with sqlite3.connect(path) as db:
            db.execute(f"PRAGMA user_version = {len(SCHEMA) + 1}")
        db.close()
        with pytest.raises(JournalError, match="newer tradebot"):
            Journal(path)

    def test_of_an_older_version_is_brought_up_to_date(self, tmp_path, monkeypatch):
        path = tmp_path / "state.db"
        with Journal(path) as old:
            old.record(ACCOUNT, 5, intended())
        monkeypatch.setattr("tradebot.trading.state_file.SCHEMA", (*SCHEMA, ("CREATE TABLE later (x)",)))
        with Journal(path) as new:
            assert new._db.execute("SELECT count(*) FROM later").fetchone() == (0,)
            assert len(new.positions(ACCOUNT)) == 1

    def test_of_before_there_was_an_index_by_bars_finds_who_was_entered(self, tmp_path):
        path = tmp_path / "state.db"
        with Journal(path) as old:
            old.record(ACCOUNT, 5, intended())
            old._db.execute("DROP INDEX orders_at")
            version = old._db.rows("PRAGMA user_version")
        with Journal(path) as new:
            assert new.entered(ACCOUNT, intended().order.bar_time) == {"XUSDT"}
            plan = "EXPLAIN QUERY PLAN SELECT 1 FROM orders WHERE account = '' AND json_extract(body, '$.bar_time') = 1"
            assert "orders_at" in str(new._db.rows(plan))
            assert new._db.rows("PRAGMA user_version") == version, "older programs read it too"

    def test_of_the_first_version_is_read_and_its_rows_are_made_anew(self, tmp_path):
        """Files of before know nothing of stops at the venue; what they hold is kept to the last digit."""
        path = tmp_path / "state.db"
        order = (
            '{"client_id":"tb-1","symbol":"XUSDT","side":"BUY","quantity":"5","price":"100","intent":"enter",'
            '"bar_time":0,"created":5,"position":"tb-1","type":"MARKET","state":"INTENDED","order_id":null,'
            '"executed":"0","quote_executed":"0","fees":{},"doubted":0,"missed":0,"reason":""}'
        )
        position = (
            '{"id":"tb-1","symbol":"XUSDT","base":"X","quote":"USDT","side":"BUY","bar_time":0,"opened":5,"until":9,'
            '"stop_share":"0.02","target_share":"0.02","state":"entering","quantity":"0","bought":"0","cost":"0",'
            '"proceeds":"0","stop":"0","target":"0","exits":0}'
        )
        moved = '{"client_id":"tb-1","event":"%s","reason":"","order_id":7,"executed":"%s","quote_executed":"%s"}'
        fill = (
            '{"client_id":"tb-1","fill":{"trade_id":1,"symbol":"XUSDT","order_id":7,"side":"BUY","price":"100",'
            '"quantity":"5","fee":"0.005","fee_asset":"X","time":6,"maker":false}}'
        )
        events = [
            ("intended", f'{{"order":{order},"positions":[{position}]}}'),
            ("moved", moved % ("send", 0, 0)),
            ("moved", moved % ("outcome unknown", 0, 0)),
            ("filled", fill),
            ("moved", moved % ("filled", 5, 500)),
        ]
        with sqlite3.connect(path) as db:
            for statement in SCHEMA[0]:
                db.execute(statement)
            db.executemany("INSERT INTO events (account, time, kind, body) VALUES ('sim-paper', 5, ?, ?)", events)
            db.execute("INSERT INTO orders VALUES ('sim-paper', 'tb-1', 'XUSDT', 1, ?)", (order,))
            db.execute(f"PRAGMA application_id = {APPLICATION}")
            db.execute("PRAGMA user_version = 1")
        db.close()
        with Journal(path) as journal:
            found, held = journal.order(ACCOUNT, "tb-1"), journal.positions(ACCOUNT)[0]
            assert found is not None
            assert (found.state, found.executed, found.pair) == (OrderState.FILLED, 5, "")
            assert (held.state, held.quantity, held.guards) == (PositionState.OPEN, Decimal("4.995"), 0)
            before = journal.rows()
            journal.rebuild()
            assert journal.rows() == before

    def test_in_a_folder_that_is_not_there_is_an_error(self, tmp_path):
        with pytest.raises(JournalError, match="nowhere"):
            Journal(tmp_path / "nowhere" / "state.db")

    def test_made_by_several_at_once_is_one(self, tmp_path):
        failures: list[Exception] = []

        def make() -> None:
            try:
                with Journal(tmp_path / "state.db"):
                    pass
            except Exception as error:
                failures.append(error)

        threads = [threading.Thread(target=make) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert {path.name for path in tmp_path.iterdir()} <= {"state.db", "state.db-wal", "state.db-shm"}

    def test_that_can_no_longer_be_written_says_so_and_can_still_be_read(self, journal):
        journal.record(ACCOUNT, 5, intended())
        journal._db.execute("PRAGMA query_only = ON")
        with pytest.raises(JournalError, match="no order is sent without it"):
            journal.record(ACCOUNT, 6, SENT)
        assert [order.state for order in journal.unresolved(ACCOUNT)] == [OrderState.INTENDED]

    def test_on_a_full_disk_keeps_what_it_had(self, journal):
        journal.record(ACCOUNT, 5, intended())
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count = {pages}")

        def fill_it_up() -> None:
            for number in range(200):
                journal.record(ACCOUNT, 6, intended(f"tb-x{number}"))

        with pytest.raises(JournalError, match="full"):
            fill_it_up()
        journal._db.execute("PRAGMA max_page_count = 100000")
        journal.record(ACCOUNT, 7, SENT)
        assert journal.unresolved(ACCOUNT)[0].state is OrderState.SENT

    def test_holds_what_was_recorded_when_the_process_is_killed(self, tmp_path):
        code = """if True:
            import os, signal, sys
            from pathlib import Path
            sys.path.insert(0, sys.argv[2])
            import test_journal as t
            journal = t.Journal(Path(sys.argv[1]))
            journal.record(t.ACCOUNT, 5, t.intended(), t.SENT)
            journal._db.execute("BEGIN IMMEDIATE")
            journal._project(t.ACCOUNT, 6, t.filled(1))
            os.kill(os.getpid(), signal.SIGKILL)
        """
        here = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "state.db"), here], env=os.environ, check=False
        )
        assert done.returncode == -9
        with Journal(tmp_path / "state.db") as again:
            assert [order.state for order in again.unresolved(ACCOUNT)] == [OrderState.SENT]
            assert again.fills(ACCOUNT, "tb-1") == []

    @pytest.mark.parametrize("odd", [{"reason": object()}, {"price": Decimal("NaN")}, {"price": Decimal("Infinity")}])
    def test_refuses_what_it_could_not_read_back(self, journal, odd):
        order = replace(intended().order, **odd)
        with pytest.raises(TypeError, match="not JSON serializable"):
            journal.record(ACCOUNT, 5, Intended(order, ()))
        assert journal.orders(ACCOUNT) == []


def test_a_trade_number_of_another_order_tells_of_an_account_made_anew(journal):
    journal.record(ACCOUNT, 5, intended(), SENT, filled())
    journal.record(ACCOUNT, 6, intended("tb-2"))
    with pytest.raises(JournalError, match="the account 'sim-paper' was made anew"):
        journal.record(ACCOUNT, 7, filled(name="tb-2"))
    assert journal.fills(ACCOUNT, "tb-2") == []
