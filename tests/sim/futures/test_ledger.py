from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from exchanging import NOW, D
from hypothesis import given
from hypothesis import strategies as st

from tradebot.market.venue import Side
from tradebot.sim.futures.ledger import ENTRIES, ORDERS, POSITIONS, TERMS, Entry, Income, Ledger, Placed, Range
from tradebot.sim.futures.positions import Position, PositionSide, Terms

BOTH = PositionSide.BOTH
ORDER = Placed(0, "BTCUSDT", "mine", Side.BUY, BOTH, "LIMIT", "GTC", D("0.1"), D(40_000), NOW, NOW)


def ledger(path: Path | None = None) -> Ledger:
    return Ledger(path, D(1000), NOW)


@given(st.lists(st.decimals(-100, 100, places=8), max_size=12))
def test_the_wallet_is_its_start_and_all_entries(amounts: list[Decimal]) -> None:
    books = ledger()
    for amount in amounts:
        books.book(Entry(0, "BTCUSDT", Income.REALIZED, amount, NOW))
    assert books.wallet == 1000 + sum(amounts)
    assert len(books.listed(ENTRIES, Range())) == sum(amount != 0 for amount in amounts)


def test_everything_is_there_again_after_a_restart(tmp_path: Path) -> None:
    first = ledger(tmp_path / "a.db")
    entered = ORDERS.enter(first.db, ORDER)
    held = Position("BTCUSDT", BOTH, D("-0.1"), D(-4000), D(200), NOW)
    first.hold(held)
    TERMS.put(first.db, Terms("BTCUSDT", 7, isolated=True))
    first.seen, first.dual = NOW + 5, True
    first.db.close()
    again = Ledger(tmp_path / "a.db", D(5), NOW)
    assert (again.wallet, again.seen, again.dual) == (1000, NOW + 5, True)
    assert again.open_orders() == [entered]
    assert again.positions() == {("BTCUSDT", BOTH): held}
    assert again.terms("BTCUSDT") == Terms("BTCUSDT", 7, isolated=True)


def test_a_position_that_is_closed_is_forgotten() -> None:
    books = ledger()
    books.hold(Position("BTCUSDT", BOTH, D("0.1"), D(4000)))
    books.hold(Position("BTCUSDT", BOTH, D("0.0")))
    assert POSITIONS.select(books.db) == []
    assert books.position("BTCUSDT", BOTH) == Position("BTCUSDT")


def test_orders_are_found_by_either_id_and_the_newest_of_one_name() -> None:
    books = ledger()
    first = ORDERS.enter(books.db, replace(ORDER, status="CANCELED"))
    second = ORDERS.enter(books.db, ORDER)
    assert books.find(ORDERS, "BTCUSDT", first.order_id, None) == first
    assert books.find(ORDERS, "BTCUSDT", None, "mine") == second
    assert books.find(ORDERS, None, None, "mine") == second
    assert books.find(ORDERS, "BTCUSDT", first.order_id, "other") is None
    assert books.find(ORDERS, "ETHUSDT", None, "mine") is None


def test_listings_are_bounded_on_both_sides_and_oldest_first() -> None:
    books = ledger()
    for place in range(6):
        ORDERS.enter(books.db, replace(ORDER, created=NOW + place, symbol="BTCUSDT" if place % 2 else "ETHUSDT"))

    def told(**wanted: int) -> list[int]:
        return [each.created - NOW for each in books.listed(ORDERS, Range(**wanted))]  # type: ignore[arg-type]

    assert told() == [0, 1, 2, 3, 4, 5]
    assert told(limit=2) == [4, 5]
    assert told(limit=2, newest=False) == [0, 1]
    assert told(start=NOW + 1, end=NOW + 3) == [1, 2, 3]
    assert told(from_id=5) == [4, 5]
    assert [each.created - NOW for each in books.listed(ORDERS, Range("BTCUSDT"))] == [1, 3, 5]
    assert books.listed(ORDERS, Range(), status="FILLED") == []


def test_names_for_unnamed_orders_differ_and_are_the_same_in_every_run() -> None:
    names = []
    for books in (ledger(), ledger()):
        for _ in range(3):
            names.append(books.fresh(ORDERS))
            ORDERS.enter(books.db, ORDER)
    assert names[:3] == names[3:]
    assert len(set(names)) == 3
