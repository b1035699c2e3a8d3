from __future__ import annotations

from decimal import Decimal

from exchanging import D
from hypothesis import given
from hypothesis import strategies as st

from tradebot.sim.futures.positions import Account, Position, PositionSide, Stake, Terms
from tradebot.sim.matching import worth

CROSS, ISOLATED = Terms("BTCUSDT", 10), Terms("BTCUSDT", 10, isolated=True)
PRICES = st.integers(1, 10**7).map(lambda ticks: Decimal(ticks) / 100)
SIZES = st.integers(-(10**6), 10**6).filter(bool).map(lambda lots: Decimal(lots) / 1000)
FILLS = st.lists(st.tuples(SIZES, PRICES), max_size=12)
KEY = ("BTCUSDT", PositionSide.BOTH)


def after(fills: list[tuple[Decimal, Decimal]], terms: Terms = CROSS) -> tuple[Position, Decimal]:
    position, profit = Position("BTCUSDT"), Decimal(0)
    for size, price in fills:
        position, realized = position.filled(size, worth(price, abs(size)), terms)
        profit += realized
    return position, profit


@given(FILLS)
def test_a_position_is_the_sum_of_its_fills(fills: list[tuple[Decimal, Decimal]]) -> None:
    assert after(fills)[0].amount == sum(size for size, _ in fills)


@given(FILLS, PRICES)
def test_all_profit_is_what_came_in_less_what_went_out_to_the_last_digit(
    fills: list[tuple[Decimal, Decimal]], last: Decimal
) -> None:
    position, profit = after(fills)
    flows = [worth(price, abs(size)).copy_sign(-size) for size, price in fills]
    assert profit + position.unrealized(last) == sum(flows) + position.notional(last)


@given(FILLS)
def test_isolated_margin_is_there_exactly_while_something_is_held(fills: list[tuple[Decimal, Decimal]]) -> None:
    position, _ = after(fills, ISOLATED)
    assert position.margin >= 0
    assert (position.margin == 0) is (position.amount == 0) or abs(position.cost) < D("0.0000001")
    assert abs(position.margin - abs(position.cost) / 10) <= D("0.0000001") * (len(fills) + 1)


@given(SIZES, PRICES, st.integers(1, 50))
def test_at_the_liquidation_price_margin_and_profit_are_down_to_the_maintenance_margin(
    size: Decimal, price: Decimal, leverage: int
) -> None:
    position, _ = Position("BTCUSDT").filled(size, worth(price, abs(size)), Terms("BTCUSDT", leverage, isolated=True))
    mark = position.liquidation(position.margin)
    assert (mark < position.entry) is (size > 0) or leverage == 1
    if mark:
        left = position.margin + size * mark - position.cost
        assert abs(left - abs(size) * mark / 100) < D("0.0001")


def test_a_flat_position_has_neither_entry_nor_liquidation_price() -> None:
    assert Position("BTCUSDT").entry == Position("BTCUSDT").liquidation(D(100)) == 0


def stake(amount: str, cost: str, mark: str, *, terms: Terms = CROSS, **more: Decimal) -> Stake:
    margin = D(cost).copy_abs() / terms.leverage if terms.isolated else D(0)
    return Stake(Position("BTCUSDT", PositionSide.BOTH, D(amount), D(cost), margin), terms, D(mark), **more)


def test_margin_is_the_notional_over_the_leverage() -> None:
    assert stake("0.1", "4000", "50000").initial == 500
    assert stake("-0.1", "-4000", "30000").initial == 300


def test_orders_need_margin_for_the_worse_side_alone() -> None:
    assert stake("0.1", "4000", "40000", bids=D(1000), asks=D(9000)).ordered == 100
    assert stake("0.1", "4000", "40000", asks=D(8000)).ordered == 0
    assert stake("0", "0", "40000", bids=D(1000), asks=D(3000)).ordered == 300


def test_cross_profits_and_losses_count_for_what_is_available_and_isolated_ones_do_not() -> None:
    cross = Account(D(1000), {KEY: stake("0.1", "4000", "41000")})
    assert cross.available == 1000 + 100 - 410
    isolated = Account(D(1000), {KEY: stake("0.1", "4000", "41000", terms=ISOLATED)})
    assert isolated.available == isolated.cross_wallet == 600


def test_in_cross_margin_the_whole_wallet_stands_behind_a_position() -> None:
    alone = Account(D(1000), {KEY: stake("0.1", "4000", "40000")})
    assert abs(alone.liquidation(KEY) - D(3000) / D("0.099")) < D("0.0001")
    other = ("ETHUSDT", PositionSide.BOTH)
    both = Account(D(1000), {KEY: stake("0.1", "4000", "40000"), other: stake("1", "2500", "2000")})
    assert both.liquidation(KEY) > alone.liquidation(KEY)
