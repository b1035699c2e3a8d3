"""When a position is left, how much of it, and where its stop goes."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.config import Trading
from tradebot.market.venue import Fill, Instrument, Side
from tradebot.trading import exits
from tradebot.trading.exits import Exit
from tradebot.trading.positions import Position, PositionState

D = Decimal
RULES = Instrument("XUSDT", "X", "USDT", step=D("0.1"), min_quantity=D("0.1"), min_notional=D(5))
prices = st.decimals(min_value=D(50), max_value=D(200), places=2)


def opened(side: Side = Side.BUY, quantity: str = "10", **more: object) -> Position:
    """Ten coins at 100, a stop of 2 %, a target of 3 %, over at 2000."""
    bare = Position("tb-1", "XUSDT", "X", "USDT", side, 0, 1000, 2000, D("0.02"), D("0.03"))
    fill = Fill(1, "XUSDT", 7, side, D(100), D(quantity), D(0), "BNB", 1500)
    return replace(bare.entering().booked(fill).followed([]), **more)  # type: ignore[arg-type]


def due(position: Position, mark: str | None, now: int = 1999, **settings: object) -> Exit | None:
    target = bool(settings.pop("target", True))
    price = None if mark is None else D(mark)
    return exits.due(position, price, now, RULES, Trading.model_validate(settings), target=target)


class TestWhole:
    @pytest.mark.parametrize(
        ("side", "mark", "now", "reason"),
        [
            (Side.BUY, "98.01", 1999, None),
            (Side.BUY, "98", 1999, "stop-loss"),
            (Side.BUY, "102.99", 1999, None),
            (Side.BUY, "103", 1999, "take-profit"),
            (Side.BUY, "100", 2000, "time"),
            (Side.BUY, "90", 2000, "stop-loss"),
            (Side.SELL, "102", 1999, "stop-loss"),
            (Side.SELL, "101.99", 1999, None),
            (Side.SELL, "97", 1999, "take-profit"),
            (Side.BUY, "0", 1999, None),
            (Side.BUY, None, 1999, None),
            (Side.BUY, None, 2000, "time"),
        ],
    )
    def test_has_a_reason(self, side, mark, now, reason):
        leave = due(opened(side), mark, now)
        assert (leave and leave.reason) == reason
        assert leave is None or leave.quantity == 10

    @given(st.sampled_from(PositionState), prices)
    def test_is_for_what_is_held_only(self, state, mark):
        if due(replace(opened(), state=state), str(mark), 5000):
            assert state in {PositionState.OPEN, PositionState.ENTERING}
        assert due(replace(opened(), quantity=D(0)), str(mark), 5000) is None

    def test_leaves_the_target_to_the_venue_where_it_waits_there(self):
        assert due(opened(), "110", target=False) is None
        assert due(opened(), "90", target=False) == Exit("stop-loss", D(10))

    def test_tells_a_stop_that_was_moved_from_the_first_one(self):
        held = opened().watched(D(110), D("108.9"))
        assert due(held, "108.9") == Exit("trailing-stop", D(10))


class TestLadder:
    LADDER = ("0.02:0.5", "0.04:0.3")

    @pytest.mark.parametrize(
        ("held", "mark", "part"),
        [("10", "101.9", None), ("10", "102", "5.0"), ("5", "103", None), ("10", "104", "8.0"), ("5", "104", "3.0"),
         ("2", "110", None)],
    )  # fmt: skip
    def test_sells_what_its_rungs_say_and_is_not_sold_yet(self, held, mark, part):
        leave = due(replace(opened(), quantity=D(held)), mark, ladder=self.LADDER)
        assert leave == (None if part is None else Exit("ladder", D(part)))

    def test_sells_all_where_the_rest_could_not_be_sold(self):
        assert due(opened(quantity="10.04"), "102", ladder=("0.02:0.999",)) == Exit("ladder", D("10.04"))
        assert due(opened(quantity="10.04"), "102", ladder=("0.02:0.98",)) == Exit("ladder", D("9.8"))

    def test_waits_where_a_rung_is_too_little_to_sell(self):
        assert due(opened(quantity="0.1"), "102", ladder=("0.02:0.4", "0.03:0.6")) is None
        assert due(opened(quantity="0.1"), "103", ladder=("0.02:0.4", "0.03:0.6")) == Exit("ladder", D("0.1"))

    def test_takes_the_place_of_the_target(self):
        assert due(opened(), "103.5", ladder=("0.05:1",)) is None

    @given(st.lists(prices, min_size=1, max_size=8))
    def test_never_sells_more_than_its_shares_or_than_is_held(self, marks):
        held, settings = opened(), Trading.model_validate({"ladder": self.LADDER})
        for mark in marks:
            leave = exits.due(held, mark, 0, RULES, settings)
            if leave is None or leave.reason != "ladder":
                continue
            fill = Fill(2, "XUSDT", 8, Side.SELL, mark, leave.quantity, D(0), "BNB", 1600)
            held = held.booked(fill)
            assert held.quantity >= 2


class TestFollowing:
    def test_does_nothing_unless_asked_for(self):
        assert exits.watched(opened(), D(150), Trading()) is None

    @pytest.mark.parametrize(
        ("side", "mark", "settings", "best", "stop"),
        [
            (Side.BUY, "110", {"trail": "0.01"}, "110", "108.90"),
            (Side.SELL, "90", {"trail": "0.01"}, "90", "90.90"),
            (Side.BUY, "101", {"trail": "0.01", "trail_after": "0.02"}, "101", "0"),
            (Side.BUY, "102", {"trail": "0.01", "trail_after": "0.02"}, "102", "100.98"),
            (Side.BUY, "101", {"break_even_after": "0.01"}, "101", "100"),
            (Side.SELL, "99", {"break_even_after": "0.01"}, "99", "100"),
            (Side.BUY, "100.9", {"break_even_after": "0.01"}, "100.9", "0"),
            (Side.BUY, "100.5", {"trail": "0.05"}, "100.5", "0"),
        ],
    )
    def test_moves_the_stop_once_the_price_was_good_enough(self, side, mark, settings, best, stop):
        found = exits.watched(opened(side), D(mark), Trading.model_validate(settings))
        assert found == (D(best), D(stop))

    def test_leaves_small_gains_for_later(self):
        settings = Trading.model_validate({"trail": "0.01"})
        held = opened().watched(D(110), D("108.9"))
        assert exits.watched(held, D("110.05"), settings) == (D("110.05"), D("108.9"))
        assert exits.watched(held, D("110.2"), settings) == (D("110.2"), D("109.098"))

    @given(st.sampled_from(Side), st.lists(prices, max_size=12), st.sampled_from(["0", "0.01", "0.05"]))
    def test_never_moves_against_the_position(self, side, marks, even):
        settings = Trading.model_validate({"trail": "0.02", "break_even_after": even})
        held = opened(side)
        for mark in marks:
            before = held
            if seen := exits.watched(held, mark, settings):
                held = held.watched(*seen)
            assert held.sign * (held.stop - before.stop) >= 0
            assert held.best == (max if held.sign > 0 else min)([before.best or mark, mark])
