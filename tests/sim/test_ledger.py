from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from exchanging import NOW, D, instrument

from tradebot.market.venue import Balance, OrderType, Side
from tradebot.sim.books import Books, Entry, Slice
from tradebot.sim.ledger import Fees, Ledger, locked, reserved
from tradebot.sim.refusals import Refused

ZERO = D(0)
BUY = Entry(
    0, "ETHUSDT", "a", Side.BUY, OrderType.LIMIT, "NEW", D(2), ZERO, D("99.99"), "GTC", ZERO, ZERO, NOW, NOW
)  # fmt: skip
SELL = replace(BUY, side=Side.SELL)


@pytest.fixture
def ledger() -> Ledger:
    books = Books(None)
    for asset, amount in (("USDT", 1000), ("ETH", 5)):
        books.change(asset, D(amount))
    return Ledger(books, Fees(taker=D("0.001"), maker=D("0.0002")))


@pytest.mark.parametrize(
    ("entry", "amount"),
    [
        (BUY, "199.98"),
        (replace(BUY, executed=D("0.5")), "149.985"),
        (replace(BUY, price=ZERO, stop_price=D(120), working=-1), "240"),
        (SELL, "2"),
        (replace(SELL, executed=D("0.5")), "1.5"),
        (replace(BUY, status="FILLED"), "0"),
        (replace(BUY, status="CANCELED"), "0"),
    ],
)
def test_an_open_order_locks_what_it_may_have_to_pay(entry: Entry, amount: str) -> None:
    assert reserved(entry) == D(amount)


def test_of_orders_that_exclude_each_other_only_the_dearest_is_locked() -> None:
    assert locked([BUY, replace(BUY, price=D(120))]) == 240
    assert locked([]) == 0


def test_money_is_locked_with_the_order_and_freed_with_its_end(ledger: Ledger) -> None:
    (entry,), _ = ledger.settle(instrument(), (), [BUY])
    assert ledger.books.balance("USDT") == Balance(D("800.02"), D("199.98"))
    ledger.settle(instrument(), [entry], [replace(entry, status="CANCELED")])
    assert ledger.books.balance("USDT") == Balance(D(1000))
    assert ledger.books.open_orders() == []


def test_a_part_that_trades_is_paid_and_the_rest_stays_locked(ledger: Ledger) -> None:
    after = replace(BUY, status="PARTIALLY_FILLED")
    (entry,), (fill,) = ledger.settle(instrument(), (), [after], [(D(90), D("0.5"))])
    assert (entry.executed, entry.quote_executed, fill.fee, fill.maker) == (D("0.5"), D(45), D("0.0005"), False)
    assert ledger.books.balance("USDT") == Balance(D("805.015"), D("149.985"))
    _, (rest,) = ledger.settle(
        instrument(), [entry], [replace(entry, status="FILLED")], [(entry.price, entry.left)], maker=True
    )
    assert (rest.fee, rest.maker) == (D("0.0003"), True)
    assert ledger.books.balance("USDT") == Balance(D("805.015"))
    assert ledger.books.balance("ETH") == Balance(D("6.9992"))


def test_a_better_price_than_was_locked_gives_the_difference_back(ledger: Ledger) -> None:
    (entry,), _ = ledger.settle(instrument(), (), [replace(BUY, stop_price=D(80), working=-1)])
    ledger.settle(instrument(), [entry], [replace(entry, status="FILLED", working=NOW)], [(D(90), D(2))])
    assert ledger.books.balance("USDT") == Balance(D(820))


@pytest.mark.parametrize(
    ("entry", "asset"), [(replace(BUY, quantity=D(11)), "USDT"), (replace(SELL, quantity=D(6)), "ETH")]
)
def test_what_the_account_does_not_have_can_be_neither_locked_nor_paid(
    ledger: Ledger, entry: Entry, asset: str
) -> None:
    before = ledger.books.balance(asset)
    with pytest.raises(Refused, match="insufficient balance"):
        ledger.settle(instrument(), (), [entry])
    with pytest.raises(Refused, match="insufficient balance"):
        ledger.settle(instrument(), (), [replace(entry, status="FILLED")], [(entry.price, entry.quantity)])
    assert ledger.books.balance(asset) == before
    assert ledger.books.orders(Slice("ETHUSDT")) == []


def test_the_log_tells_each_step(ledger: Ledger) -> None:
    waits = replace(SELL, stop_price=D(80), working=-1, type=OrderType.STOP_LOSS_LIMIT)
    (first, second), _ = ledger.settle(instrument(), (), [waits, replace(SELL, client_id="b")])
    gone = replace(second, status="EXPIRED", reason="OCO_TRIGGER")
    part = replace(first, status="EXPIRED", working=NOW, reason="UNFILLED_IOC_QUANTITY_EXPIRED")
    ledger.settle(instrument(), [first, second], [part, gone], [(D(80), D("0.5")), (D(79), D("0.5"))])
    told: list[tuple[str, int, str, Decimal]] = [
        (event.event, event.order_id, event.status, event.executed) for event, _ in ledger.books.log()
    ]
    assert told == [
        ("NEW", 1, "NEW", ZERO),
        ("NEW", 2, "NEW", ZERO),
        ("TRIGGERED", 1, "NEW", ZERO),
        ("TRADE", 1, "PARTIALLY_FILLED", D("0.5")),
        ("TRADE", 1, "PARTIALLY_FILLED", D(1)),
        ("EXPIRED", 1, "EXPIRED", D(1)),
        ("EXPIRED", 2, "EXPIRED", ZERO),
    ]
