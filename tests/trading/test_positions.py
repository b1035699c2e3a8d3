"""What fills make of a position, its levels, its end, and its state machine."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import ImpossibleTransition
from tradebot.market.venue import Fill, Side
from tradebot.trading.orders import OrderState
from tradebot.trading.positions import (
    BUSY,
    GONE,
    POSITION,
    Position,
    PositionEvent,
    PositionState,
    exit_reason,
)

amounts = st.decimals(min_value=Decimal("0.001"), max_value=Decimal(1000), places=3)
sides = st.sampled_from(Side)


def position(side: Side = Side.BUY, **more: object) -> Position:
    made = Position(
        id="tb-1",
        symbol="XUSDT",
        base="X",
        quote="USDT",
        side=side,
        bar_time=0,
        opened=1000,
        until=2000,
        stop_share=Decimal("0.02"),
        target_share=Decimal("0.03"),
    )
    return replace(made, **more)  # type: ignore[arg-type]


def fill(side: Side, quantity: str | Decimal, price: str | Decimal, fee: str = "0", asset: str = "BNB") -> Fill:
    return Fill(1, "XUSDT", 7, side, Decimal(price), Decimal(quantity), Decimal(fee), asset, 1500)


def opened(side: Side = Side.BUY, quantity: str = "10", price: str = "100") -> Position:
    return position(side).entering().booked(fill(side, quantity, price)).followed(OrderState.FILLED)


class TestFills:
    def test_with_a_fee_in_the_base_coin_leave_less_than_was_executed(self):
        held = position().entering().booked(fill(Side.BUY, "10", "100", "0.01", "X"))
        assert held.quantity == held.bought == Decimal("9.99")
        assert held.cost == 1000
        assert held.entry == 1000 / Decimal("9.99")

    def test_with_a_fee_in_another_coin_leave_all_of_it(self):
        held = position().entering().booked(fill(Side.BUY, "10", "100", "0.5", "BNB"))
        assert (held.quantity, held.cost) == (10, 1000)

    def test_with_a_fee_in_the_quote_coin_cost_more(self):
        held = position().entering().booked(fill(Side.BUY, "10", "100", "1", "USDT"))
        assert (held.quantity, held.cost) == (10, 1001)

    def test_of_an_exit_bring_what_is_left_after_the_fee(self):
        sold = opened().exiting().booked(fill(Side.SELL, "10", "110", "1.1", "USDT")).followed(OrderState.FILLED)
        assert (sold.state, sold.quantity, sold.proceeds) == (PositionState.CLOSED, 0, Decimal("1098.9"))

    def test_move_stop_and_target_with_the_entry_price(self):
        held = position().entering().booked(fill(Side.BUY, "1", "100")).booked(fill(Side.BUY, "1", "200"))
        assert (held.entry, held.stop, held.target) == (150, 147, Decimal("154.5"))

    @given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=6), amounts)
    def test_in_any_number_conserve_coins_and_money(self, parts, exit_price):
        held = position().entering()
        for quantity, price in parts:
            held = held.booked(fill(Side.BUY, quantity, price))
        held = held.followed(OrderState.FILLED).exiting()
        bought, cost = sum(q for q, _ in parts), sum(q * p for q, p in parts)
        for quantity, _ in parts:
            held = held.booked(fill(Side.SELL, quantity, exit_price))
        assert (held.quantity, held.bought, held.cost) == (0, bought, cost)
        assert held.proceeds == bought * exit_price

    def test_gain_when_the_mark_is_on_their_side(self):
        assert opened(Side.BUY).unrealized(Decimal(110)) == 100
        assert opened(Side.SELL).unrealized(Decimal(110)) == -100

    def test_count_only_the_part_still_held(self):
        half = opened().exiting().booked(fill(Side.SELL, "4", "110"))
        assert half.unrealized(Decimal(110)) == 60
        assert half.open_cost == 600


class TestOrders:
    @pytest.mark.parametrize(
        ("bought", "state", "then"),
        [
            ("1", OrderState.FILLED, PositionState.OPEN),
            ("1", OrderState.EXPIRED, PositionState.OPEN),
            ("0", OrderState.EXPIRED, PositionState.FLAT),
            ("0", OrderState.REJECTED, PositionState.FLAT),
            ("0", OrderState.ABANDONED, PositionState.FLAT),
            ("1", OrderState.PARTIAL, PositionState.ENTERING),
            ("0", OrderState.SENT, PositionState.ENTERING),
            ("1", OrderState.UNKNOWN, PositionState.IN_DOUBT),
        ],
    )
    def test_of_an_entry_lead_on(self, bought, state, then):
        held = position().entering()
        held = held.booked(fill(Side.BUY, bought, "100")) if bought != "0" else held
        assert held.followed(state).state is then

    @pytest.mark.parametrize(
        ("sold", "state", "then"),
        [
            ("10", OrderState.FILLED, PositionState.CLOSED),
            ("4", OrderState.EXPIRED, PositionState.OPEN),
            ("0", OrderState.REJECTED, PositionState.OPEN),
            ("4", OrderState.PARTIAL, PositionState.EXITING),
            ("4", OrderState.UNKNOWN, PositionState.IN_DOUBT),
        ],
    )
    def test_of_an_exit_lead_on(self, sold, state, then):
        held = opened().exiting()
        held = held.booked(fill(Side.SELL, sold, "100")) if sold != "0" else held
        assert held.followed(state).state is then

    def test_in_doubt_keep_the_position_in_doubt_until_settled(self):
        doubt = position().entering().followed(OrderState.UNKNOWN)
        assert doubt.followed(OrderState.UNKNOWN) == doubt
        assert doubt.followed(OrderState.ACCEPTED) == doubt
        assert doubt.followed(OrderState.ABANDONED).state is PositionState.FLAT
        assert doubt.booked(fill(Side.BUY, "1", "1")).followed(OrderState.FILLED).state is PositionState.OPEN

    def test_to_leave_are_numbered(self):
        assert opened().exiting().followed(OrderState.REJECTED).exiting().exits == 2


class TestDust:
    @given(amounts, amounts, amounts)
    def test_taken_over_keeps_coins_and_cost(self, quantity, price, sold):
        held = opened(Side.BUY, str(quantity + sold), str(price)).exiting().booked(fill(Side.SELL, sold, price))
        dust = held.followed(OrderState.FILLED).step(PositionEvent.SHRINK)
        fresh, old = position(id="tb-2").entering(dust), dust.absorbed()
        assert (fresh.quantity, old.quantity, old.state) == (quantity, 0, PositionState.CLOSED)
        assert fresh.cost + old.cost == held.cost
        assert old.bought == sold

    def test_is_left_again_when_nothing_came_of_the_new_entry(self):
        dust = opened(Side.BUY, "0.1").step(PositionEvent.SHRINK)
        assert position().entering(dust).followed(OrderState.REJECTED).state is PositionState.OPEN


class TestExits:
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
    def test_have_a_reason(self, side, mark, now, reason):
        assert exit_reason(opened(side), None if mark is None else Decimal(mark), now) == reason

    @given(st.sampled_from(PositionState), amounts)
    def test_are_for_open_positions_only(self, state, mark):
        if exit_reason(replace(opened(), state=state), mark, 5000):
            assert state is PositionState.OPEN


class TestTheMachine:
    @given(st.lists(st.sampled_from(PositionEvent), max_size=12))
    def test_allows_nothing_but_its_table(self, events):
        held = position()
        for event in events:
            if (held.state, event) in POSITION.table:
                held = held.step(event)
            else:
                with pytest.raises(ImpossibleTransition, match="position"):
                    held.step(event)

    def test_lets_every_state_that_holds_something_come_to_its_end(self):
        ways = {state: {target for (origin, _), target in POSITION.table.items() if origin is state} for state in BUSY}
        reached = set(GONE)
        for _ in BUSY:
            reached |= {state for state, targets in ways.items() if targets & reached}
        assert reached >= BUSY

    def test_sends_exits_from_open_alone(self):
        assert [state for state in PositionState if PositionEvent.EXIT in POSITION.events(state)] == [
            PositionState.OPEN
        ]

    def test_is_what_the_documentation_draws(self):
        text = (Path(__file__).parents[2] / "docs" / "states.md").read_text(encoding="utf-8")
        assert f"```mermaid\n{POSITION.mermaid()}\n```" in text


class TestWriteOffs:
    @given(quantity=amounts, price=amounts, share=st.decimals(0, 1, places=3))
    def test_are_at_cost_so_that_what_was_sold_keeps_its_result(self, quantity, price, share):
        held = opened(quantity=str(quantity), price=str(price)).booked(fill(Side.SELL, quantity / 2, price * 2))
        left = held.quantity * share
        after = held.released(left)
        assert (after.quantity, after.bought) == (left, held.bought - held.quantity + left)
        assert abs(after.proceeds - (after.cost - after.open_cost) - quantity / 2 * price) < Decimal("1e-9")

    def test_of_all_that_is_held_are_its_end(self):
        doubtful = replace(opened(), state=PositionState.IN_DOUBT)
        assert (doubtful.released(Decimal(0)).state, doubtful.released(Decimal(0)).cost) == (PositionState.CLOSED, 0)
        assert doubtful.released(Decimal(3)).state is PositionState.OPEN
        assert opened().released(Decimal(3)).state is PositionState.OPEN

    def test_wait_for_orders_that_are_under_way(self):
        with pytest.raises(ImpossibleTransition):
            opened().exiting().released(Decimal(0))


class TestDocuments:
    def test_have_the_agreed_keys_and_amounts_as_strings(self):
        document = opened().document(Decimal(105))
        keys = "symbol side quantity entry mark stop target opened state unrealized".split()
        assert set(keys) <= document.keys()
        assert (document["entry"], document["stop"], document["unrealized"]) == ("100", "98", "50")
        assert (document["opened"], document["state"], document["side"]) == (1000, "open", "BUY")

    def test_say_null_where_there_is_no_mark(self):
        document = opened().document(None)
        assert (document["mark"], document["unrealized"]) == (None, None)
