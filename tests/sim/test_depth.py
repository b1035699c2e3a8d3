from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from exchanging import NOW, D, instrument, marked
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY
from tradebot.market.venue import Side
from tradebot.sim.depth import LEVELS, REACH, SHARE, Depths, Level, walk
from tradebot.sim.matching import Quote, around
from tradebot.sim.prices import Prices, Synthetic

QUOTE = Quote(D("1999.60"), D("2000.40"))
ASKS = [(D(100), D(2)), (D(101), D(3)), (D(105), D(4))]
BIDS = [(D(99), D(2)), (D(98), D(3)), (D(90), D(4))]


class Untold(Synthetic):
    """Prices of which only the klines tell how much is traded."""

    def turnover(self, symbol: str) -> Decimal:
        return D(0)


def synthetic() -> Synthetic:
    return Synthetic(1, 3)


def test_the_same_time_has_the_same_book_and_another_second_another_one() -> None:
    first, again = (Depths(synthetic()).at("ETHUSDT", QUOTE, NOW) for _ in range(2))
    assert first.levels(Side.BUY) == again.levels(Side.BUY)
    assert first.levels(Side.BUY) != Depths(synthetic()).at("ETHUSDT", QUOTE, NOW + 1000).levels(Side.BUY)
    assert first.levels(Side.BUY, 5) == first.levels(Side.BUY)[:5]


@pytest.mark.parametrize("symbol", ["BTCUSDT", "ETHUSDT", "BNBUSDT"])
@pytest.mark.parametrize("side", Side)
def test_levels_leave_the_best_price_on_the_grid_and_end_within_reach(symbol: str, side: Side) -> None:
    prices = synthetic()
    rules = prices.instruments()[symbol]
    quote = around(prices.price(symbol, NOW), D("0.0004"), rules.tick)
    levels = Depths(prices).at(symbol, quote, NOW).levels(side)
    best, sign = (quote.bid, -1) if side is Side.BUY else (quote.ask, 1)
    assert levels[0][0] == best
    assert all((after - before) * sign > 0 for (before, _), (after, _) in pairwise(levels))
    assert 0.9 * REACH < abs(float(levels[-1][0] / best) - 1) <= REACH
    assert all(price % rules.tick == 0 and size % rules.step == 0 and size > 0 for price, size in levels)
    assert len(levels) <= LEVELS


def test_a_side_holds_a_fiftieth_of_what_is_usual_in_a_day() -> None:
    prices = synthetic()
    held = sum(size for _, size in Depths(prices).at("ETHUSDT", QUOTE, NOW).levels(Side.SELL))
    assert held == pytest.approx(prices.turnover("ETHUSDT") / QUOTE.ask / SHARE, rel=D("0.05"))
    weeks = [prices.exact("ETHUSDT", "1d", NOW - k * DAY, NOW, NOW).data[6].mean() for k in (300, 600, 900)]
    scale = 10.0 ** prices.exact("ETHUSDT", "1d", NOW - DAY, NOW, NOW).scale.quote
    assert [each / scale for each in weeks] == pytest.approx([float(prices.turnover("ETHUSDT"))] * 3, rel=0.5)


def test_where_only_klines_tell_a_side_holds_a_fiftieth_of_the_day_before() -> None:
    prices = Untold(1, 3)
    today = NOW - NOW % DAY
    bars = prices.exact("ETHUSDT", "1d", today - DAY, today - DAY, NOW)
    volume = Decimal(int(bars.data[5, 0])).scaleb(-bars.scale.amount)
    held = sum(size for _, size in Depths(prices).at("ETHUSDT", QUOTE, NOW).levels(Side.SELL))
    assert held == pytest.approx(volume / SHARE, rel=D("0.05"))


@pytest.mark.parametrize(("most", "expected"), [("500", 500), ("0", 1_000_000 / 2000.4)])
def test_where_nobody_tells_how_much_is_traded_the_rules_of_the_symbol_do(most: str, expected: float) -> None:
    prices: Prices = marked(max_market_quantity=D(most))
    held = sum(size for _, size in Depths(prices).at("ETHUSDT", QUOTE, NOW).levels(Side.BUY))
    assert float(held) == pytest.approx(expected, rel=0.05)


def test_a_symbol_of_large_ticks_has_few_large_levels() -> None:
    prices = marked({"ETHUSDT": "0.40"})
    levels = Depths(prices).at("ETHUSDT", Quote(D("0.40"), D("0.41")), NOW).levels(Side.BUY)
    assert [price for price, _ in levels] == [D("0.40"), D("0.39"), D("0.38")]


def test_bids_stay_positive() -> None:
    levels = Depths(marked({"ETHUSDT": "0.01"})).at("ETHUSDT", Quote(D("0.01"), D("0.02")), NOW).levels(Side.BUY)
    assert [price for price, _ in levels] == [D("0.01")]


@pytest.mark.parametrize(
    ("side", "how", "fills"),
    [
        (Side.BUY, {"quantity": D(1)}, [(100, 1)]),
        (Side.BUY, {"quantity": D(2)}, [(100, 2)]),
        (Side.BUY, {"quantity": D(4)}, [(100, 2), (101, 2)]),
        (Side.BUY, {"quantity": D(99)}, [(100, 2), (101, 3), (105, 4)]),
        (Side.BUY, {"quantity": D(4), "limit": D(100)}, [(100, 2)]),
        (Side.BUY, {"quantity": D(4), "limit": D("99.9")}, []),
        (Side.SELL, {"quantity": D(4), "limit": D(98)}, [(99, 2), (98, 2)]),
        (Side.SELL, {"quantity": D(4), "limit": D(99)}, [(99, 2)]),
        (Side.BUY, {"quote": D(352)}, [(100, 2), (101, 1)]),
        (Side.BUY, {"quote": D(352), "step": D("0.1")}, [(100, 2), (101, D("1.5"))]),
        (Side.BUY, {"quote": D(9), "step": D("0.1")}, []),
        (Side.BUY, {"quote": D(9999)}, [(100, 2), (101, 3), (105, 4)]),
        (Side.BUY, {"quote": D(9999), "quantity": D(1)}, [(100, 1)]),
        (Side.BUY, {"quote": D(150), "quantity": D(2), "step": D(1)}, [(100, 1)]),
    ],
)
def test_an_order_walks_the_book(side: Side, how: dict[str, Decimal], fills: list[tuple[int, int]]) -> None:
    step = how.pop("step", D(1))
    assert list(walk(ASKS if side is Side.BUY else BIDS, side, step=step, **how)) == fills


levels = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 50)), max_size=8)


@given(levels, st.integers(1, 200))
def test_nothing_is_taken_twice_nor_skipped(steps: list[tuple[int, int]], wanted: int) -> None:
    book: list[Level] = []
    for up, size in steps:
        book.append(((book[-1][0] if book else D(10)) + up, D(size)))
    fills = walk(book, Side.BUY, quantity=D(wanted))
    assert sum(size for _, size in fills) == min(wanted, sum(size for _, size in steps))
    assert list(fills[:-1]) == book[: max(len(fills) - 1, 0)]
    spent = walk(book, Side.BUY, quote=D(wanted), step=D("0.001"))
    assert sum(price * size for price, size in spent) <= wanted


def test_the_rules_of_a_symbol_without_steps_give_eight_places() -> None:
    prices = marked(tick=D(0), step=D(0), min_quantity=D(0))
    depth = Depths(prices).at("ETHUSDT", QUOTE, NOW)
    assert walk(depth.facing(Side.BUY), Side.BUY, quote=D(100), step=depth.step) == ((QUOTE.ask, D("0.04999000")),)
    assert instrument(tick=D(0)).tick == depth.tick


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("tick", ["0.01", "5"])
def test_the_best_level_alone_is_the_first_of_all(side: Side, tick: str) -> None:
    source = marked(tick=D(tick))
    for moment in range(NOW, NOW + 20_000, 977):
        depth = Depths(source).at("ETHUSDT", around(D(2000), D("0.001"), D(tick)), moment)
        assert [depth.best(side)] == depth.levels(side, 1)


@pytest.mark.parametrize("side", list(Side))
def test_what_is_gone_is_missing_from_the_best_price_on(side: Side) -> None:
    depths = Depths(synthetic())
    levels = depths.at("ETHUSDT", QUOTE, NOW).levels(side)
    part = levels[0][1] + levels[1][1] / 4 + D("0.0000001")
    left = depths.at("ETHUSDT", QUOTE, NOW, {("ETHUSDT", side): part, ("ETHUSDT", side.opposite): D(1)})
    step = left.step
    assert left.best(side) == (levels[1][0], levels[1][1] - (part - levels[0][1]) // step * step)
    assert left.levels(side, 9)[1:] == levels[2:10]


def test_of_a_side_that_is_gone_altogether_nothing_is_left() -> None:
    whole = Depths(marked()).at("ETHUSDT", QUOTE, NOW)
    empty = Depths(marked()).at("ETHUSDT", QUOTE, NOW, {("ETHUSDT", Side.SELL): D(10**9)})
    assert (empty.best(Side.SELL), empty.levels(Side.SELL)) == ((0, 0), [])
    assert whole.crossed(Side.BUY, D(3000))
    assert not empty.crossed(Side.BUY, D(3000))
    assert empty.levels(Side.BUY) == whole.levels(Side.BUY)


@pytest.mark.parametrize(
    ("side", "price", "crosses"),
    [(Side.BUY, "2000.39", False), (Side.BUY, "2000.40", True), (Side.SELL, "1999.61", False),
     (Side.SELL, "1999.60", True)],
)  # fmt: skip
def test_a_limit_crosses_where_it_meets_the_best_price_of_the_other_side(side: Side, price: str, crosses: bool) -> None:
    assert Depths(marked()).at("ETHUSDT", QUOTE, NOW).crossed(side, D(price)) is crosses


@given(st.integers(1, 60_000), st.integers(1, 60_000), st.sampled_from(Side))
def test_two_orders_at_one_instant_get_what_one_of_both_sizes_would(first: int, second: int, side: Side) -> None:
    depths = Depths(marked())
    sizes = [D(size) / 1000 for size in (first, second)]
    one, two = [], []
    gone = {("ETHUSDT", side.opposite): D(0)}
    for size in sizes:
        two += walk(depths.at("ETHUSDT", QUOTE, NOW, gone).facing(side), side, quantity=size)
        gone = {("ETHUSDT", side.opposite): sum((taken for _, taken in two), D(0))}
    one += walk(depths.at("ETHUSDT", QUOTE, NOW).facing(side), side, quantity=sum(sizes))

    def by_price(fills: list[Level]) -> dict[Decimal, Decimal]:
        return {price: sum((size for at, size in fills if at == price), D(0)) for price, _ in fills}

    assert by_price(one) == by_price(two)
