from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from exchanging import NOW, D, exchange

from tradebot.errors import JournalError
from tradebot.market.venue import Balance, Order, Side
from tradebot.sim import schema
from tradebot.sim.books import Slice


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """An account as tradebot wrote it before orders could rest: one filled order."""
    path = tmp_path / "account.db"
    database = sqlite3.connect(path)
    database.executescript(f"BEGIN; {schema._FIRST} PRAGMA user_version = 1; COMMIT;")
    database.execute("INSERT INTO balances VALUES ('USDT', '8000', '0'), ('ETH', '0.999', '0')")
    order = ("ETHUSDT", "bot-1", "BUY", "MARKET", "FILLED", "1", "0", "0", "GTC", "1", "2000", NOW - 9, NOW - 9)
    database.execute(f"INSERT INTO orders VALUES (7, {', '.join('?' * len(order))})", order)
    database.execute(
        "INSERT INTO trades VALUES (3, 'ETHUSDT', 7, 'BUY', '2000', '1', '0.001', 'ETH', ?, 0)", (NOW - 9,)
    )
    database.commit()
    database.close()
    return path


def test_an_account_of_the_first_version_opens_with_all_that_it_holds(first_version: Path) -> None:
    venue = exchange(account=first_version, start={"USDT": D(1)})
    assert venue.balances() == {"ETH": Balance(D("0.999")), "USDT": Balance(D(8000))}
    (entry,), (fill,) = venue.orders(Slice("ETHUSDT")), venue.trades(Slice("ETHUSDT"))
    assert (entry.order_id, entry.client_id, entry.status, entry.working) == (7, "bot-1", "FILLED", NOW - 9)
    assert (entry.stop_price, entry.list_id, entry.reason, entry.strategy_id) == (0, -1, "", None)
    assert (fill.trade_id, fill.order_id) == (3, 7)
    placed, _ = venue.place(Order("ETHUSDT", Side.BUY, "bot-2", quantity=D(1)))
    assert placed.order_id == 8
    venue.close()


def test_it_is_brought_up_once_and_is_then_like_a_new_one(first_version: Path, tmp_path: Path) -> None:
    for path in (first_version, first_version, tmp_path / "new.db"):
        exchange(account=path).close()

    def columns(path: Path) -> list[str]:
        database = sqlite3.connect(path)
        found = [str(row[1:]) for table in ("orders", "trades", "lists", "log", "notes")
                 for row in database.execute(f"PRAGMA table_info({table})")]  # fmt: skip
        assert database.execute("PRAGMA user_version").fetchone() == (len(schema.STEPS),)
        database.close()
        return found

    assert columns(first_version) == columns(tmp_path / "new.db")


def test_a_file_that_cannot_be_brought_up_is_left_as_it_was(first_version: Path) -> None:
    database = sqlite3.connect(first_version)
    database.execute("CREATE TABLE notes (other TEXT)")
    with pytest.raises(JournalError, match="notes already exists"):
        exchange(account=first_version)
    assert database.execute("PRAGMA user_version").fetchone() == (1,)
    assert "stop_price" not in str(database.execute("PRAGMA table_info(orders)").fetchall())
    database.close()
