from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from exchanging import D, marked
from hypothesis import given
from hypothesis import strategies as st

from futures.test_conditional import STOP
from futures.trading import START, Leg, Script, flat
from tradebot.clock import MINUTE
from tradebot.market.venue import Side
from tradebot.sim.futures.ledger import Algo
from tradebot.sim.futures.trailing import Trail, activation, active, better, stop_price
from tradebot.sim.resting import Path

SELLS = replace(STOP, type="TRAILING_STOP_MARKET", callback=D(1), extreme=D(40_000))
BUYS = replace(SELLS, side=Side.BUY)
MOVES = st.lists(st.tuples(st.integers(-300, 300), st.integers(0, 90), st.integers(0, 90)), min_size=1, max_size=12)


def trail(*legs: Leg) -> Trail:
    prices = Script({"BTCUSDT": legs})
    return Trail(Path(prices))


def test_the_stop_stands_a_part_of_the_extreme_behind_it() -> None:
    assert (stop_price(SELLS, D(50_000)), stop_price(BUYS, D(50_000))) == (49_500, 50_500)
    assert better(SELLS, D(2), D(1))
    assert better(BUYS, D(1), D(2))


def test_it_is_active_once_it_has_an_extreme_and_waits_on_its_own_side_of_the_market() -> None:
    assert active(SELLS)
    assert not active(replace(SELLS, extreme=D(0)))
    assert not activation(replace(SELLS, activation=D(41_000))).falling
    assert activation(replace(BUYS, activation=D(39_000))).falling


def test_the_extreme_is_seen_even_if_the_price_came_back_since() -> None:
    touch, extreme = trail((40_000, 40_200, 39_990, 40_000), *flat(40_000, 3)).follow(SELLS, START, START + 2 * MINUTE)
    assert (touch, extreme) == (None, 40_200)


def test_a_buyer_follows_the_price_down() -> None:
    legs = trail((40_000, 40_000, 38_000, 38_000), (38_000, 39_000, 38_000, 39_000))
    touch, extreme = legs.follow(BUYS, START, START + 2 * MINUTE)
    assert extreme == 38_000
    assert touch is not None
    assert 38_380 <= touch.price < 38_390


def test_without_klines_only_the_last_price_counts() -> None:
    source = marked({"BTCUSDT": "41000"})
    algo = replace(SELLS, extreme=D(40_000))
    assert Trail(Path(source)).follow(algo, START, START + 1) == (None, 41_000)
    source.mark({"BTCUSDT": D(39_000)})
    touch, _ = Trail(Path(source)).follow(algo, START, START + 1)
    assert touch is not None
    assert touch.price == 39_000


def scripted(moves: list[tuple[int, int, int]]) -> Script:
    price, legs = 40_000, []
    for move, up, down in moves:
        legs.append((price, max(price, price + move) + up, min(price, price + move) - down, price + move))
        price += move
    return Script({"BTCUSDT": legs})


@given(MOVES, st.sampled_from([SELLS, BUYS]), st.integers(1, 12 * MINUTE))
def test_following_in_two_steps_is_following_in_one(moves: list[tuple[int, int, int]], algo: Algo, middle: int) -> None:
    prices = scripted(moves)
    follow = Trail(Path(prices)).follow
    end = START + len(moves) * MINUTE
    whole = follow(algo, START, end)
    first, seen = follow(algo, START, min(START + middle, end))
    assert whole == ((first, seen) if first else follow(replace(algo, extreme=seen), min(START + middle, end), end))


@given(MOVES)
def test_it_fires_where_the_price_is_first_so_far_below_its_highest(moves: list[tuple[int, int, int]]) -> None:
    prices = scripted(moves)
    end = START + len(moves) * MINUTE - 1
    touch, _ = Trail(Path(prices)).follow(SELLS, START, end)
    # The turning points of a minute are at its thirds; a second is fine enough for those between.
    seen = [prices.price("BTCUSDT", moment) for moment in range(START, end + 1, 1000)]
    highest, fallen = Decimal(40_000), None
    for place, price in enumerate(seen):
        highest = max(highest, price)
        if price <= highest * D("0.99"):
            fallen = START + 1000 * place
            break
    assert (touch is None) is (fallen is None) or (touch is not None and touch.time > end - 1000)
    if touch and fallen:
        assert fallen - 1000 < touch.time <= fallen
