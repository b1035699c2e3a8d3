from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from exchanging import NOW, D, exchange, marked
from hypothesis import given
from hypothesis import strategies as st

from tradebot.market.venue import Side
from tradebot.sim.futures.desk import MAKER, TAKER, Desk, reduces, signed
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.ledger import ENTRIES, ORDERS, TRADES, Placed
from tradebot.sim.futures.positions import PositionSide
from tradebot.sim.refusals import Refused

BOTH, LONG, SHORT = PositionSide
PRICE = D(40_000)


def desk() -> Desk:
    return Futures(exchange(marked())).desk


def order(side: Side = Side.BUY, quantity: str = "0.1", price: str = "0", **changes: Any) -> Placed:
    kind, tif = ("LIMIT", "GTC") if price != "0" else ("MARKET", "GTC")
    made = Placed(0, "BTCUSDT", "c", side, BOTH, kind, tif, D(quantity), D(price), NOW, NOW)
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, False), ({"reduce_only": True}, True), ({"position_side": LONG}, False), ({"position_side": SHORT}, True),
        ({"position_side": LONG, "side": Side.SELL}, True), ({"position_side": SHORT, "side": Side.SELL}, False),
    ],
)  # fmt: skip
def test_an_order_reduces_if_it_says_so_or_goes_against_its_side(changes: dict[str, Any], expected: bool) -> None:
    assert reduces(order(**changes)) is expected


def test_what_is_sold_counts_below_zero() -> None:
    assert (signed(Side.BUY, D(2)), signed(Side.SELL, D(2))) == (2, -2)


def test_a_fill_is_booked_as_trade_profit_and_fee() -> None:
    at = desk()
    at.submit(order(), PRICE, NOW)
    at.submit(order(Side.SELL), PRICE, NOW)
    trades = TRADES.select(at.ledger.db)
    assert [(trade.side, trade.fee, trade.maker) for trade in trades] == [
        (Side.BUY, PRICE * D("0.1") * TAKER, False), (Side.SELL, PRICE * D("0.1") * TAKER, False),
    ]  # fmt: skip
    assert at.ledger.wallet == 10_000 - sum(trade.fee for trade in trades)


def test_an_order_that_is_refused_leaves_no_trace() -> None:
    at = desk()
    with pytest.raises(Refused, match="-2019"):
        at.submit(order(quantity="100"), PRICE, NOW)
    for table in (ORDERS, TRADES, ENTRIES):
        assert table.select(at.ledger.db) == []  # type: ignore[attr-defined]
    assert at.submit(order(), PRICE, NOW).order_id == 1


def test_who_has_no_margin_left_may_still_close() -> None:
    at = desk()
    at.submit(order(quantity="4.9"), PRICE, NOW)
    at.ledger.wallet = D(9_000)
    assert at.account(NOW).available < 0
    with pytest.raises(Refused, match="-2019"):
        at.submit(order(), PRICE, NOW)
    assert at.submit(order(Side.SELL), PRICE, NOW).status == "FILLED"


def test_a_resting_order_is_filled_as_maker_at_its_own_price() -> None:
    at = desk()
    resting = at.submit(order(price="39000"), PRICE, NOW)
    assert resting.status == "NEW"
    assert at.account(NOW).ordered == 195
    done = at.rested(resting, D(1), NOW + 5)
    assert (done.status, done.updated) == ("FILLED", NOW + 5)
    (trade,) = TRADES.select(at.ledger.db)
    assert (trade.price, trade.fee, trade.maker) == (39_000, 3900 * MAKER, True)


def test_a_resting_order_that_only_reduces_ends_with_the_position() -> None:
    at = desk()
    at.submit(order(), PRICE, NOW)
    resting = at.submit(order(Side.SELL, price="41000", reduce_only=True), PRICE, NOW)
    at.submit(order(Side.SELL, "0.06"), PRICE, NOW)
    done = at.rested(resting, D(1), NOW)
    assert (done.status, done.executed) == ("EXPIRED", D("0.04"))
    assert at.ledger.positions() == {}


@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 300), st.booleans()), max_size=8))
def test_reduce_only_never_makes_a_position_larger_nor_turns_it(steps: list[tuple[Side, int, bool]]) -> None:
    at = desk()
    for side, lots, only in steps:
        before = at.ledger.position("BTCUSDT", BOTH).amount
        try:
            at.submit(order(side, f"{D(lots) / 1000}", reduce_only=only), PRICE, NOW)
        except Refused as no:
            if no.code != -2022:
                raise
        after = at.ledger.position("BTCUSDT", BOTH).amount
        assert not only or (abs(after) <= abs(before) and after * before >= 0)
    trades = TRADES.select(at.ledger.db)
    assert at.ledger.position("BTCUSDT", BOTH).amount == sum(signed(trade.side, trade.quantity) for trade in trades)
