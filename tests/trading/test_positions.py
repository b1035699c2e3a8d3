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
from tradebot.trading.orders import ORDER, Duty, OrderState
from tradebot.trading.positions import (
    BUSY,
    GONE,
    POSITION,
    Position,
    PositionEvent,
    PositionState,
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


def followed(held: Position, state: OrderState, duty: Duty = Duty.EXIT) -> Position:
    """The position after its only order came to a state."""
    return held.followed([] if state in ORDER.terminal else [(duty, state)])


def opened(side: Side = Side.BUY, quantity: str = "10", price: str = "100") -> Position:
    return followed(position(side).entering().booked(fill(side, quantity, price)), OrderState.FILLED)


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
        sold = opened().exiting().booked(fill(Side.SELL, "10", "110", "1.1", "USDT")).followed([])
        assert (sold.state, sold.quantity, sold.proceeds) == (PositionState.CLOSED, 0, Decimal("1098.9"))

    def test_move_stop_and_target_with_the_entry_price(self):
        held = position().entering().booked(fill(Side.BUY, "1", "100")).booked(fill(Side.BUY, "1", "200"))
        assert (held.entry, held.stop, held.target) == (150, 147, Decimal("154.5"))

    @given(st.lists(st.tuples(amounts, amounts), min_size=1, max_size=6), amounts)
    def test_in_any_number_conserve_coins_and_money(self, parts, exit_price):
        held = position().entering()
        for quantity, price in parts:
            held = held.booked(fill(Side.BUY, quantity, price))
        held = held.followed([]).exiting()
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
        assert followed(held, state, Duty.ENTRY).state is then

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
        assert followed(held, state).state is then

    def test_in_doubt_keep_the_position_in_doubt_until_settled(self):
        doubt = position().entering().followed([(Duty.ENTRY, OrderState.UNKNOWN)])
        assert doubt.state is PositionState.IN_DOUBT
        assert followed(doubt, OrderState.UNKNOWN, Duty.ENTRY) == doubt
        assert followed(doubt, OrderState.ACCEPTED, Duty.ENTRY).state is PositionState.ENTERING
        assert followed(doubt, OrderState.ABANDONED).state is PositionState.FLAT
        assert followed(doubt.booked(fill(Side.BUY, "1", "1")), OrderState.FILLED).state is PositionState.OPEN

    @pytest.mark.parametrize(
        ("live", "then"),
        [
            ([(Duty.GUARD, OrderState.ACCEPTED)], PositionState.OPEN),
            ([(Duty.GUARD, OrderState.CANCELING)], PositionState.OPEN),
            ([(Duty.GUARD, OrderState.UNKNOWN)], PositionState.IN_DOUBT),
            ([(Duty.GUARD, OrderState.ACCEPTED), (Duty.GUARD, OrderState.UNKNOWN)], PositionState.IN_DOUBT),
        ],
    )
    def test_that_protect_leave_it_open_while_they_are_certain(self, live, then):
        assert opened().followed(live).state is then

    def test_that_protect_close_it_when_the_last_of_them_is_settled(self):
        sold = opened().booked(fill(Side.SELL, "10", "98"))
        assert sold.followed([(Duty.GUARD, OrderState.ACCEPTED)]).state is PositionState.OPEN
        assert sold.followed([]).state is PositionState.CLOSED

    def test_that_protect_a_part_keep_an_entry_going(self):
        part = position().entering().booked(fill(Side.BUY, "4", "100"))
        live = [(Duty.ENTRY, OrderState.PARTIAL), (Duty.GUARD, OrderState.ACCEPTED)]
        assert part.followed(live).state is PositionState.ENTERING
        assert part.booked(fill(Side.SELL, "4", "98")).followed([]).state is PositionState.CLOSED

    @given(st.sampled_from(PositionState), st.lists(st.tuples(st.sampled_from(Duty), st.sampled_from(OrderState))))
    def test_never_lead_out_of_what_is_over(self, state, live):
        if state in GONE or state is PositionState.DUST:
            held = replace(opened(), state=state)
            assert held.followed(live) == held

    def test_to_leave_are_numbered(self):
        assert opened().exiting().followed([]).exiting().exits == 2
        assert position().entering().followed([]).reentering().entries == 1
        assert opened().guarding().guarding().guards == 2


class TestDust:
    @given(amounts, amounts, amounts)
    def test_taken_over_keeps_coins_and_cost(self, quantity, price, sold):
        held = opened(Side.BUY, str(quantity + sold), str(price)).exiting().booked(fill(Side.SELL, sold, price))
        dust = held.followed([]).step(PositionEvent.SHRINK)
        fresh, old = position(id="tb-2").entering(dust), dust.absorbed()
        assert (fresh.quantity, old.quantity, old.state) == (quantity, 0, PositionState.CLOSED)
        assert fresh.cost + old.cost == held.cost
        assert old.bought == sold

    def test_is_left_again_when_nothing_came_of_the_new_entry(self):
        dust = opened(Side.BUY, "0.1").step(PositionEvent.SHRINK)
        assert position().entering(dust).followed([]).state is PositionState.OPEN


class TestStops:
    @given(sides, st.lists(st.tuples(amounts, amounts), max_size=6))
    def test_move_in_favour_of_the_position_only(self, side, seen):
        held = opened(side)
        for best, stop in seen:
            after = held.watched(best, stop)
            assert after.sign * (after.stop - held.stop) >= 0
            assert not held.best or after.sign * (after.best - held.best) >= 0
            held = after

    def test_that_were_moved_stay_when_more_is_bought(self):
        held = opened().watched(Decimal(120), Decimal(110)).booked(fill(Side.BUY, "10", "90"))
        assert (held.entry, held.stop) == (95, 110)


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
