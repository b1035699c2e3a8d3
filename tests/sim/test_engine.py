from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from exchanging import NOW, D, exchange, instrument, marked, synthetic
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import SteppedClock
from tradebot.market.venue import Balance, Order, OrderType, Side
from tradebot.sim.books import Slice
from tradebot.sim.coins import LISTED
from tradebot.sim.engine import ARCHIVED, Exchange
from tradebot.sim.filters import Limits
from tradebot.sim.prices import Marked
from tradebot.sim.refusals import INSUFFICIENT, Refused


def market(
    side: Side, quantity: str | None = None, *, spend: str | None = None, symbol: str = "ETHUSDT", name: str = "a"
) -> Order:
    return Order(
        symbol, side, name, quantity=D(quantity) if quantity else None, quote_quantity=D(spend) if spend else None
    )


def refused(venue: Exchange, order: Order) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        venue.place(order)
    return caught.value.code, caught.value.text


def free(venue: Exchange) -> dict[str, Decimal]:
    return {asset: held.free for asset, held in venue.balances().items()}


def test_the_starting_balance_is_given_once(tmp_path: Path) -> None:
    path = tmp_path / "account.db"
    first = exchange(account=path)
    first.place(market(Side.BUY, "1"))
    first.close()
    again = exchange(account=path, start={"USDT": D(777)})
    assert free(again) == {"ETH": D("0.999"), "USDT": D(8000)}
    assert exchange(start={"USDT": D(777)}).balances() == {"USDT": Balance(D(777))}


def test_a_buy_pays_in_quote_and_its_fee_in_base() -> None:
    venue = exchange(spread="0.001")
    entry, (fill,) = venue.place(market(Side.BUY, "1.5"))
    assert (fill.price, fill.quantity, fill.fee, fill.fee_asset) == (D("2001.00"), D("1.5"), D("0.0015"), "ETH")
    assert (entry.status, entry.executed, entry.quote_executed) == ("FILLED", D("1.5"), D("3001.5"))
    assert free(venue) == {"ETH": D("1.4985"), "USDT": D("6998.5")}


def test_a_sell_pays_in_base_and_its_fee_in_quote() -> None:
    venue = exchange(spread="0.001", start={"ETH": D(2)})
    _, (fill,) = venue.place(market(Side.SELL, "1.5"))
    assert (fill.price, fill.fee, fill.fee_asset) == (D("1999.00"), D("2.9985"), "USDT")
    assert free(venue) == {"ETH": D("0.5"), "USDT": D("2995.5015")}


def test_a_quote_amount_is_spent_to_the_step() -> None:
    entry, _ = exchange().place(market(Side.BUY, spend="333.33"))
    assert (entry.quantity, entry.quote_executed, entry.quote_quantity) == (D("0.166"), D("332"), D("333.33"))


def test_more_than_one_has_cannot_be_traded_and_leaves_no_trace() -> None:
    venue = exchange()
    answer = (-2010, "Account has insufficient balance for requested action.")
    assert refused(venue, market(Side.BUY, "5.001")) == answer
    assert refused(venue, market(Side.SELL, "1")) == answer
    assert free(venue) == {"USDT": D(10_000)}
    assert venue.orders(Slice("ETHUSDT")) == []


def test_selling_what_was_bought_before_the_fee_is_too_much() -> None:
    venue = exchange()
    venue.place(market(Side.BUY, "1"))
    assert refused(venue, market(Side.SELL, "1"))[0] == -2010
    venue.place(market(Side.SELL, "0.999"))


def test_an_id_can_be_used_again_once_its_order_is_filled() -> None:
    """As at the venue: an id of the client is no protection against doing something twice."""
    venue = exchange()
    first, second = (venue.place(market(Side.BUY, "1", name="same"))[0] for _ in range(2))
    assert first.order_id != second.order_id
    assert venue.order("ETHUSDT", None, "same") == second


def test_orders_and_trades_are_remembered_after_a_restart(tmp_path: Path) -> None:
    venue = exchange(account=tmp_path / "account.db")
    entry, fills = venue.place(market(Side.BUY, "1"))
    venue.close()
    again = exchange(account=tmp_path / "account.db")
    assert again.order("ETHUSDT", entry.order_id, None) == entry
    assert again.trades(Slice("ETHUSDT")) == fills
    following, _ = again.place(market(Side.BUY, "1"))
    assert following.order_id > entry.order_id


def test_unknown_symbols_and_orders_are_refused() -> None:
    venue = exchange()
    assert refused(venue, market(Side.BUY, "1", symbol="NOSUCH")) == (-1121, "Invalid symbol.")
    with pytest.raises(Refused, match="-2013"):
        venue.order("ETHUSDT", 7, None)
    with pytest.raises(Refused, match="-1121"):
        venue.trades(Slice("NOSUCH"))


def test_a_filled_order_cannot_be_canceled() -> None:
    venue = exchange()
    entry, _ = venue.place(market(Side.BUY, "1"))
    with pytest.raises(Refused, match="-2011"):
        venue.cancel("ETHUSDT", entry.order_id, None)
    assert venue.open_orders() == venue.open_orders("ETHUSDT") == []


def test_a_market_that_is_closed_takes_no_orders() -> None:
    assert refused(exchange(marked(status="BREAK")), market(Side.BUY, "1")) == (-2010, "Market is closed.")
    silent = Marked({"ETHUSDT": instrument()})
    assert refused(exchange(silent), market(Side.BUY, "1")) == (-2010, "Market is closed.")


def test_symbols_are_on_offer_from_their_listing_on() -> None:
    venue = synthetic(now=LISTED - 1)
    assert isinstance(venue.clock, SteppedClock)
    assert venue.instruments() == {}
    assert free(venue) == {"USDT": D(10_000)}
    venue.clock.advance(LISTED)
    assert list(venue.instruments()) == ["BTCUSDT", "ETHUSDT", "BNBUSDT"]


sizes = st.decimals(min_value=D("0.001"), max_value=D(9000), places=3)
marks = st.decimals(min_value=D(100), max_value=D(60_000), places=2)
orders = st.lists(
    st.tuples(st.sampled_from(Side), st.sampled_from(["ETHUSDT", "BTCUSDT"]), st.booleans(), sizes, marks), max_size=25
)


@settings(max_examples=60, deadline=None)
@given(orders, st.sampled_from(["0", "0.001", "0.0375"]))
def test_balances_conserve_over_any_sequence_of_market_orders(
    sequence: list[tuple[Side, str, bool, Decimal, Decimal]], fee: str
) -> None:
    prices = marked()
    venue = exchange(prices, fee=fee, spread="0.0004", start={"USDT": D(50_000), "ETH": D(3)})
    expected = {"USDT": D(50_000), "ETH": D(3), "BTC": D(0)}
    for side, symbol, by_quote, amount, price in sequence:
        prices.mark({symbol: price})
        before = free(venue)
        order = Order(symbol, side, "x", **{"quote_quantity" if by_quote else "quantity": amount})
        try:
            _, fills = venue.place(order)
        except Refused:
            assert free(venue) == before, "what is refused changes nothing"
            continue
        for fill in fills:
            sign = 1 if side is Side.BUY else -1
            expected[symbol.removesuffix("USDT")] += sign * fill.quantity
            expected["USDT"] -= sign * fill.quantity * fill.price
            expected[fill.fee_asset] -= fill.fee
            assert fill.fee <= D(fee) * (fill.quantity if side is Side.BUY else fill.quantity * fill.price)
    held = venue.balances()
    assert {asset: held.get(asset, Balance()).total for asset in expected} == expected
    assert all(each.free >= 0 and each.locked == 0 for each in held.values())
    venue.close()


def test_the_clock_stamps_what_happens() -> None:
    venue = exchange()
    assert isinstance(venue.clock, SteppedClock)
    venue.clock.advance(NOW + 5000)
    entry, (fill,) = venue.place(market(Side.BUY, "1"))
    assert entry.created == entry.updated == fill.time == NOW + 5000


def limited(**rules: Any) -> Exchange:
    start = {"USDT": D(10_000), "ETH": D(1)}
    return Exchange(
        marked(), SteppedClock(NOW), None, fee=D(0), spread=D(0), start=start, limits=Limits(**rules)
    )  # fmt: skip


def resting(name: str, kind: OrderType = OrderType.LIMIT_MAKER, symbol: str = "ETHUSDT") -> Order:
    if kind is OrderType.STOP_LOSS:
        return Order(symbol, Side.BUY, name, kind, D("0.1"), stop_price=D(50_000))
    return Order(symbol, Side.BUY, name, kind, D("0.1"), price=D(1900 if symbol == "ETHUSDT" else 39_000))


@pytest.mark.parametrize(
    ("rules", "allowed", "one_more", "name"),
    [
        ({"orders": 2}, ["a", "b"], resting("c"), "MAX_NUM_ORDERS"),
        ({"exchange_orders": 2}, ["a", "b"], resting("c", symbol="BTCUSDT"), "EXCHANGE_MAX_NUM_ORDERS"),
        ({"algo_orders": 0, "orders": 1}, ["a"], resting("b", OrderType.STOP_LOSS), "MAX_NUM_ORDERS"),
        ({"position": D("1.25")}, ["a", "b"], resting("c"), "MAX_POSITION"),
    ],
)
def test_what_is_open_counts_against_the_filters(
    rules: dict[str, Any], allowed: list[str], one_more: Order, name: str
) -> None:
    venue = limited(**rules)
    for each in allowed:
        venue.place(resting(each))
    assert refused(venue, one_more) == (-1013, f"Filter failure: {name}")
    venue.cancel("ETHUSDT", None, allowed[0])
    venue.place(one_more)


def test_only_so_many_stops_may_wait() -> None:
    venue = limited(algo_orders=1, up=D(0), down=D(0))
    stop = Order("ETHUSDT", Side.SELL, "a", OrderType.STOP_LOSS, D("0.1"), stop_price=D(1900))
    venue.place(stop)
    assert refused(venue, replace(stop, client_id="b")) == (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS")
    venue.place(resting("c"))


def test_an_order_is_gone_from_the_market_with_all_that_it_locked() -> None:
    venue = exchange()
    entry, _ = venue.place(resting("a"))
    assert venue.balances()["USDT"] == Balance(D(9810), D(190))
    gone = venue.cancel("ETHUSDT", entry.order_id, None)
    assert (gone.status, venue.balances()["USDT"]) == ("CANCELED", Balance(D(10_000)))
    assert refused(venue, replace(resting("a"), quantity=D(6))) == (-2010, INSUFFICIENT)


def test_an_order_of_which_nothing_was_executed_is_put_away_in_time() -> None:
    clock = SteppedClock(NOW)
    venue = exchange(clock=clock)
    bought, _ = venue.place(market(Side.BUY, "1"))
    waiting, dropped = (venue.place(resting(name))[0] for name in "bc")
    venue.cancel("ETHUSDT", dropped.order_id, None)
    clock.advance(NOW + ARCHIVED)
    assert venue.order("ETHUSDT", dropped.order_id, None).status == "CANCELED"
    clock.advance(NOW + ARCHIVED + 1)
    with pytest.raises(Refused, match="-2026"):
        venue.order("ETHUSDT", dropped.order_id, None)
    assert [venue.order("ETHUSDT", each.order_id, None).open for each in (bought, waiting)] == [False, True]


THIN = {"max_market_quantity": D(0), "max_quantity": D(0), "min_notional": D("0.2")}  # a side holds about 20 ETH
RICH = {"USDT": D(10**7), "ETH": D(1000)}


def thin(clock: SteppedClock | None = None, account: Path | None = None) -> Exchange:
    return exchange(marked(**THIN), clock, account, start=RICH, spread="0.0004")


def bought(venue: Exchange, quantity: str, name: str, side: Side = Side.BUY) -> list[tuple[Decimal, Decimal]]:
    _, fills = venue.place(market(side, quantity, name=name))
    return [(fill.price, fill.quantity) for fill in fills]


def test_what_was_taken_is_gone_for_the_next_one_at_the_same_instant() -> None:
    levels = thin().depth("ETHUSDT").levels(Side.SELL)
    venue = thin()
    first, second = bought(venue, "3", "a"), bought(venue, "3", "b")
    assert first[-1][0] <= second[0][0]
    assert sum(size for _, size in first + second) == 6
    assert venue.depth("ETHUSDT").best(Side.SELL)[0] >= second[-1][0] > levels[0][0]
    assert venue.depth("ETHUSDT").levels(Side.BUY) == thin().depth("ETHUSDT").levels(Side.BUY)


def test_an_order_that_empties_the_book_leaves_the_next_one_nothing_until_time_moves_on() -> None:
    venue = thin(SteppedClock(NOW))
    got = sum(size for _, size in bought(venue, "50", "a"))
    assert 15 < got < 25
    assert bought(venue, "1", "b") == []
    assert venue.order("ETHUSDT", None, "b").reason == "INSUFFICIENT_LIQUIDITY"
    venue.clock.advance(NOW + 30_000)  # type: ignore[attr-defined]
    half = sum(size for _, size in bought(venue, "50", "c"))
    assert half == pytest.approx(got / 2, rel=D("0.2"))
    venue.clock.advance(NOW + 90_000)  # type: ignore[attr-defined]
    fresh = thin(SteppedClock(NOW + 90_000))
    assert venue.depth("ETHUSDT").levels(Side.SELL) == fresh.depth("ETHUSDT").levels(Side.SELL)


def test_what_was_taken_is_remembered_over_a_restart(tmp_path: Path) -> None:
    clock = SteppedClock(NOW)
    told = []
    for restart in (False, True):
        path = tmp_path / str(restart)
        venue = thin(clock, path)
        bought(venue, "5", "a")
        if restart:
            venue.close()
            venue = thin(clock, path)
        told.append(bought(venue, "5", "b"))
        venue.close()
    assert told[0] == told[1]


def test_a_maker_may_come_in_where_the_book_was_taken_away() -> None:
    venue = thin()
    best, _ = venue.depth("ETHUSDT").best(Side.SELL)
    rests = Order("ETHUSDT", Side.BUY, "m", OrderType.LIMIT_MAKER, D(1), price=best)
    assert refused(venue, rests)[0] == -2010
    bought(venue, "3", "a")
    assert venue.place(rests)[0].status == "NEW"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 9000), st.integers(0, 40_000)), max_size=8))
def test_nobody_gets_more_than_a_side_holds_however_it_is_asked(steps: list[tuple[Side, int, int]]) -> None:
    clock = SteppedClock(NOW)
    venue = thin(clock)
    for place, (side, size, wait) in enumerate(steps):
        clock.advance(clock.now() + wait)
        there = venue.depth("ETHUSDT").levels(side.opposite)
        fills = bought(venue, f"{size}E-3", f"order-{place}", side)
        got = sum((quantity for _, quantity in fills), D(0))
        assert got == min(D(size) / 1000, sum((quantity for _, quantity in there), D(0)))
        assert [price for price, _ in fills] == [price for price, _ in there[: len(fills)]]
