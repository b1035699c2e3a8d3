from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from exchanging import NOW, D, Tape, marked
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.market.bars import FIELDS, Klines
from tradebot.market.venue import Side
from tradebot.sim.exact import Exact
from tradebot.sim.matching import around
from tradebot.sim.prices import Synthetic
from tradebot.sim.resting import Bars, Level, Path, Touch, limit_level

PRICES = Synthetic(1, 3)
PATH = Path(PRICES)
FAR = NOW + 10 * DAY


@pytest.mark.parametrize(
    ("level", "met", "unmet", "ticks"),
    [
        (Level(D("10.05"), falling=True, through=False), "10.05", "10.06", 1005),
        (Level(D("10.05"), falling=True, through=True), "10.04", "10.05", 1004),
        (Level(D("10.05"), falling=False, through=False), "10.05", "10.04", 1005),
        (Level(D("10.05"), falling=False, through=True), "10.06", "10.05", 1006),
        (Level(D("10.055"), falling=True, through=False), "10.05", "10.06", 1005),
        (Level(D("10.055"), falling=True, through=True), "10.05", "10.06", 1005),
        (Level(D("10.055"), falling=False, through=False), "10.06", "10.05", 1006),
        (Level(D("10.055"), falling=False, through=True), "10.06", "10.05", 1006),
    ],
)
def test_a_stop_is_touched_and_a_limit_is_traded_through(level: Level, met: str, unmet: str, ticks: int) -> None:
    assert (level.met(D(met)), level.met(D(unmet)), level.ticks(2)) == (True, False, ticks)


@given(
    st.integers(1_000, 10**7), st.integers(-300, 300), st.sampled_from(["0.0001", "0.0004", "0.002", "0.01"]),
    st.sampled_from(Side),
)  # fmt: skip
def test_a_limit_is_met_exactly_when_the_other_side_of_the_book_has_come_to_it(
    cents: int, away: int, spread: str, side: Side
) -> None:
    last, limit = D(cents) / 100, D(cents + away) / 100
    quote = around(last, D(spread), D("0.01"))
    reached = quote.ask <= limit if side is Side.BUY else quote.bid >= limit
    assert limit_level(limit, side, D(spread)).met(last) == reached


@pytest.mark.parametrize("side", Side)
def test_without_a_spread_a_limit_is_traded_through(side: Side) -> None:
    assert limit_level(D(100), side, D(0)) == Level(D(100), falling=side is Side.BUY, through=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 3 * MINUTE), st.integers(1, 4 * MINUTE), st.integers(-60, 60), st.booleans(), st.booleans())
def test_the_search_finds_what_looking_at_every_instant_finds(
    start: int, length: int, ticks: int, falling: bool, through: bool
) -> None:
    after = NOW + start
    level = Level(PRICES.price("ETHUSDT", after) + ticks * D("0.01"), falling, through)
    found = PATH.first("ETHUSDT", level, after, after + length)
    # Every 200 ms is enough to see that nothing was missed, and every ms before the find that it is the first.
    looked = range(after + 1, after + length + 1, 200)
    if found is None:
        assert not any(level.met(PRICES.price("ETHUSDT", moment)) for moment in looked)
    else:
        assert after < found.time <= after + length
        assert level.met(found.price)
        assert found.price == PRICES.price("ETHUSDT", found.time)
        near = range(max(after + 1, found.time - 100), found.time)
        assert not any(level.met(PRICES.price("ETHUSDT", m)) for m in [*near, *looked] if m < found.time)


def test_a_touch_months_away_is_found_and_the_same_in_pieces() -> None:
    level = Level(PRICES.price("BTCUSDT", NOW) * D("0.9"), falling=True, through=True)
    whole = PATH.first("BTCUSDT", level, NOW, NOW + 60 * DAY)
    assert whole is not None
    pieces = (PATH.first("BTCUSDT", level, at, at + 7 * HOUR) for at in range(NOW, NOW + 60 * DAY, 7 * HOUR))
    assert next(each for each in pieces if each) == whole


def test_orders_that_are_played_to_one_instant_look_their_bars_up_once() -> None:
    class Counted(Synthetic):
        asked = 0

        def exact(self, *which: Any) -> Exact:
            self.asked += 1
            return super().exact(*which)

    prices = Counted(1, 3)
    path = Path(prices)
    path.grain("ETHUSDT")
    last, asked = prices.price("ETHUSDT", NOW), prices.asked
    for share in range(1, 50):
        assert path.first("ETHUSDT", Level(last * share / 100, falling=True, through=False), NOW, NOW + HOUR) is None
    assert prices.asked == asked + 1
    assert path.first("ETHUSDT", Level(last, falling=True, through=False), NOW, NOW + 2 * HOUR) is not None


def test_nothing_is_found_where_no_time_passes() -> None:
    level = Level(D(10**9), falling=True, through=False)
    assert PATH.first("ETHUSDT", level, NOW, NOW) is None
    assert PATH.first("ETHUSDT", level, NOW, NOW - 1) is None
    assert PATH.first("ETHUSDT", level, NOW, NOW + 1) == Touch(NOW + 1, PRICES.price("ETHUSDT", NOW + 1))


def test_every_extreme_of_a_bar_is_reached_even_between_two_milliseconds() -> None:
    for seconds in range(40):
        tape = Tape(*[None] * seconds, (100, 9_000, 0.07, 200), interval="1s", length=1000)
        low = Path(tape).first("ETHUSDT", Level(D("0.07"), falling=True, through=False), 0, FAR)
        high = Path(tape).first("ETHUSDT", Level(D("9000"), falling=False, through=False), 0, FAR)
        assert low is not None
        assert high is not None
        assert {low.time % 1000, high.time % 1000} == {334, 667}
        assert (low.price, high.price) == (D("0.07"), D(9000))


def test_the_extremes_come_in_the_order_of_the_path() -> None:
    for minutes in range(8):
        bar = Tape(*[None] * minutes, (100, 109, 91, 100))
        found = Path(bar).first("ETHUSDT", Level(D(91), falling=True, through=False), NOW - MINUTE, FAR)
        begin = bar.opened(minutes)
        third = 20_000 if bar.price("ETHUSDT", begin + 1000) < 100 else 40_000
        assert found is not None
        assert 0 <= begin + third - found.time < 20, "a price is there half a tick before it is exact"


def test_a_gap_is_met_at_the_price_after_it() -> None:
    tape = Tape((100, 100, 100, 100), None, None, (90, 90, 90, 90))
    level = Level(D(95), falling=True, through=False)
    assert Path(tape).first("ETHUSDT", level, 0, tape.opened(3) - 1) is None
    assert Path(tape).first("ETHUSDT", level, 0, FAR) == Touch(tape.opened(3), D(90))


def test_prices_that_are_set_from_outside_are_met_when_they_are_looked_at() -> None:
    prices = marked({"ETHUSDT": "2000"})
    level = Level(D(1990), falling=True, through=False)
    assert Path(prices).first("ETHUSDT", level, NOW, NOW + 5) is None
    assert Path(prices).first("BTCUSDT", level, NOW, NOW + 5) is None, "no price yet"
    prices.mark({"ETHUSDT": D(1980)})
    assert Path(prices).first("ETHUSDT", level, NOW, NOW + 5) == Touch(NOW + 5, D(1980))


def klines(*rows: tuple[float, float, float, float]) -> Klines:
    data = np.zeros((len(FIELDS), len(rows)))
    data[0] = [NOW + place * MINUTE for place in range(len(rows))]
    data[1:5] = np.array(rows).T
    return Klines(data)


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (Level(D(95), falling=True, through=False), (1, D(95))),
        (Level(D(94), falling=True, through=False), (1, D(94))),
        (Level(D(94), falling=True, through=True), (2, D(90))),
        (Level(D(91), falling=True, through=False), (2, D(90))),
        (Level(D("100.5"), falling=False, through=False), (0, D("100.5"))),
        (Level(D(101), falling=False, through=True), None),
        (Level(D(1), falling=True, through=False), None),
    ],
)
def test_bars_of_unknown_inside_tell_the_first_that_reaches_a_level(
    level: Level, expected: tuple[int, Decimal] | None
) -> None:
    bars = Bars(klines((100, 101, 99, 100), (100, 100, 94, 95), (90, 96, 89, 95)), D("0.01"))
    found = bars.first("X", level, NOW - 1, NOW + DAY)
    assert (found and ((found.time - NOW) // MINUTE, found.price)) == expected


def test_within_a_bar_of_unknown_inside_gaps_come_first() -> None:
    bars = Bars(klines((100, 110, 90, 100)), D("0.01"))
    levels: list[tuple[Any, ...]] = [(100, True, False), (95, True, False), (105, False, True)]
    times = [bars.first("X", Level(D(price), *rest), NOW - 1, NOW) for price, *rest in levels]
    assert [each and each.time - NOW for each in times] == [0, 1, 1]
    assert bars.first("X", Level(D(95), falling=True, through=False), NOW, NOW + DAY) is None, "it opened before"
