from __future__ import annotations

import sqlite3
import stat
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from exchanging import NOW

from tradebot.errors import JournalError
from tradebot.market.venue import Balance, Fill, OrderType, Side
from tradebot.sim.books import Books, Entry, OrderList, Slice

ZERO, ONE = Decimal(0), Decimal(1)
ENTRY = Entry(
    0, "ETHUSDT", "a-1", Side.BUY, OrderType.LIMIT, "NEW", ONE, ZERO, Decimal("1999.99"), "GTC", ZERO, ZERO, NOW, NOW
)
FILL = Fill(0, "ETHUSDT", 1, Side.BUY, Decimal("1999.99"), ONE, Decimal("0.001"), "ETH", NOW)


@pytest.fixture
def books(tmp_path: Path) -> Books:
    return Books(tmp_path / "account.db")


def test_only_its_owner_can_read_an_account(tmp_path: Path) -> None:
    books = Books(tmp_path / "account.db")
    with books.transaction():
        books.change("BTC", ONE)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes["account.db"] == 0o600
    assert set(modes.values()) == {0o600}
    books.close()


def test_amounts_keep_every_digit(books: Books) -> None:
    with books.transaction():
        books.change("BTC", Decimal("0.10000000"), Decimal("1E-8"))
        books.change("BTC", Decimal("12345678901234567890.00000001"))
    assert books.balance("BTC") == Balance(Decimal("12345678901234567890.10000001"), Decimal("0.00000001"))
    assert books.balance("ETH") == Balance()


def test_what_was_entered_is_there_after_a_restart(tmp_path: Path) -> None:
    books = Books(tmp_path / "account.db")
    with books.transaction():
        books.change("USDT", Decimal("9.5"))
        number = books.enter(ENTRY)
        trade = books.book(FILL)
    books.close()
    again = Books(tmp_path / "account.db")
    assert (books.new, again.new) == (True, False)
    assert again.balances() == {"USDT": Balance(Decimal("9.5"))}
    assert again.order("ETHUSDT", number, None) == replace(ENTRY, order_id=number)
    assert again.trades(Slice("ETHUSDT")) == [replace(FILL, trade_id=trade)]
    again.close()


def test_a_transaction_is_all_or_nothing(books: Books) -> None:
    def half() -> None:
        with books.transaction():
            books.change("BTC", ONE)
            books.enter(ENTRY)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert (books.balances(), books.orders(Slice("ETHUSDT"))) == ({}, [])


def test_an_id_of_a_client_is_unique_among_open_orders_only(books: Books) -> None:
    first = books.enter(ENTRY)
    with pytest.raises(JournalError, match="UNIQUE"):
        books.enter(ENTRY)
    books.amend(replace(ENTRY, order_id=first, status="CANCELED"))
    second = books.enter(ENTRY)
    assert second > first
    assert books.order("ETHUSDT", None, "a-1") == replace(ENTRY, order_id=second)


def test_of_several_orders_with_one_id_the_open_one_is_meant(books: Books) -> None:
    still_open = books.enter(ENTRY)
    books.enter(replace(ENTRY, status="FILLED"))
    found = books.order("ETHUSDT", None, "a-1")
    assert found is not None
    assert found.order_id == still_open
    assert books.order("ETHUSDT", still_open, "b") is None, "both ids must match"
    assert books.order("BTCUSDT", still_open, None) is None


def test_open_orders_are_those_that_can_still_be_filled(books: Books) -> None:
    for status in ("NEW", "FILLED", "PARTIALLY_FILLED", "EXPIRED"):
        books.enter(replace(ENTRY, status=status, client_id=status))
    books.enter(replace(ENTRY, symbol="BTCUSDT"))
    assert [entry.client_id for entry in books.open_orders("ETHUSDT")] == ["NEW", "PARTIALLY_FILLED"]
    assert len(books.open_orders()) == 3
    assert all(entry.open for entry in books.open_orders())
    for leg, (working, list_id) in enumerate(((-1, 7), (NOW, 7), (-1, 8))):
        books.enter(replace(ENTRY, client_id=f"leg {leg}", working=working, list_id=list_id))
    assert (books.load("ETHUSDT"), books.load("BTCUSDT"), books.load()) == ((5, 2, 2), (1, 0, 0), (6, 2, 2))
    assert books.load("XRPUSDT") == (0, 0, 0)


def test_slices_are_oldest_first_whichever_end_they_come_from(books: Books) -> None:
    for place in range(6):
        books.enter(replace(ENTRY, client_id=str(place), created=NOW + place))

    def ids(wanted: Slice) -> list[str]:
        return [entry.client_id for entry in books.orders(wanted)]

    assert ids(Slice("ETHUSDT", limit=2)) == ["4", "5"]
    assert ids(Slice("ETHUSDT", limit=2, newest=False)) == ["0", "1"]
    assert ids(Slice("ETHUSDT", limit=2, from_id=3, newest=False)) == ["2", "3"]
    assert ids(Slice("ETHUSDT", start=NOW + 1, end=NOW + 3)) == ["1", "2", "3"], "both bounds count"


def test_trades_can_be_asked_for_by_order(books: Books) -> None:
    for order_id in (1, 2, 1):
        books.book(replace(FILL, order_id=order_id))
    assert [fill.trade_id for fill in books.trades(Slice("ETHUSDT"), 1)] == [1, 3]


def test_a_file_that_is_no_account_is_named_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "account.db"
    path.write_text("this is not a database, and long enough to be looked at by one")
    with pytest.raises(JournalError, match=r"account\.db"):
        Books(path)
    assert path.read_text().startswith("this is not")


def test_what_changes_of_an_order_is_written_down(books: Books) -> None:
    number = books.enter(replace(ENTRY, stop_price=ONE, working=-1, strategy_id=5))
    changed = replace(
        ENTRY, order_id=number, stop_price=ONE, strategy_id=5, status="EXPIRED", executed=ONE, quote_executed=ONE,
        updated=NOW + 5, working=NOW + 4, reason="OCO_TRIGGER",
    )  # fmt: skip
    books.amend(changed)
    assert books.order("ETHUSDT", number, None) == changed


def test_a_list_is_found_by_either_id_and_knows_its_orders(books: Books) -> None:
    made = OrderList(0, "ETHUSDT", "list-1", NOW)
    made = replace(made, list_id=books.enter_list(made))
    for place in range(2):
        books.enter(replace(ENTRY, client_id=str(place), list_id=made.list_id))
    books.enter(replace(ENTRY, client_id="alone"))
    assert books.order_list(made.list_id, None) == books.order_list(None, "list-1") == made
    assert books.order_list(made.list_id, "other") is None
    assert [leg.client_id for leg in books.legs(made.list_id)] == ["0", "1"]
    assert books.lists(Slice("")) == books.open_lists() == [made]
    for leg in books.legs(made.list_id):
        books.amend(replace(leg, status="CANCELED"))
    assert books.open_lists() == []
    assert (books.last_id("lists"), books.last_id("orders"), books.last_id("trades")) == (1, 3, 0)


def test_the_log_tells_everything_in_order(books: Books) -> None:
    entries = (replace(ENTRY, client_id=name) for name in "ab")
    first, second = (replace(entry, order_id=books.enter(entry)) for entry in entries)
    trade = replace(FILL, order_id=second.order_id)
    trade = replace(trade, trade_id=books.book(trade))
    books.tell(first, "NEW")
    books.tell(replace(second, executed=ONE, status="FILLED"), "TRADE", trade.trade_id)
    told = [(event.event, event.status, event.executed, event.fill, entry.client_id) for event, entry in books.log()]
    assert told == [("NEW", "NEW", ZERO, None, "a"), ("TRADE", "FILLED", ONE, trade, "b")]


def test_numbers_are_kept_by_name(books: Books) -> None:
    books.keep({"seen": NOW})
    books.keep({"seen": NOW + 1, "other": 2})
    assert books.notes() == {"seen": NOW + 1, "other": 2}


def test_an_account_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "account.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(JournalError, match="newer tradebot"):
        Books(tmp_path / "account.db")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="nowhere"):
        Books(tmp_path / "nowhere" / "account.db")
