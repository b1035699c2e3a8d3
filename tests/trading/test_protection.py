"""What is to wait at the venue, when it does, and what a refusal means."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import HOUR, MINUTE
from tradebot.config import Trading
from tradebot.market.venue import Fill, Instrument, OrderType, Side
from tradebot.trading import protection
from tradebot.trading.orders import GUARD_STOP, GUARD_TARGET, OrderState, Outcome
from tradebot.trading.positions import Position
from tradebot.trading.protection import Shield

D = Decimal
RULES = Instrument("XUSDT", "X", "USDT", tick=D("0.01"), step=D("0.001"), min_quantity=D("0.001"), min_notional=D(5))
BOTH = Shield(D("9.990"), D("98.09"), None, D("103.11"))
positive = st.decimals(min_value=D("0.001"), max_value=D(1000), places=3)


def held(side: Side = Side.BUY, quantity: str = "9.99", price: str = "100.1001001") -> Position:
    bare = Position("tb-1", "XUSDT", "X", "USDT", side, 0, 1000, 2000, D("0.02"), D("0.03"))
    fill = Fill(1, "XUSDT", 7, side, D(price), D(quantity), D(0), "BNB", 1500)
    return bare.entering().booked(fill).followed([])


def wanted(position: Position, rules: Instrument = RULES, mark: str = "100", **settings: object) -> Shield | str:
    limited = bool(settings.pop("limited", False))
    return protection.wanted(position, rules, Trading.model_validate(settings), D(mark), limited=limited)


def waiting(shield: Shield = BOTH, state: OrderState = OrderState.ACCEPTED) -> list[Outcome]:
    return [replace(order, state=state) for order in protection.orders(held(), shield, "sim", 5)]


def refused(reason: str, *times: int) -> list[Outcome]:
    tried = waiting(Shield(D(1), D(98)), OrderState.REJECTED)
    return [replace(order, reason=reason, created=time) for time in times for order in tried]


class TestWanted:
    def test_is_a_stop_and_a_target_outward_on_the_ticks(self):
        assert wanted(held()) == BOTH

    def test_of_a_short_position_lies_the_other_way_round(self):
        assert wanted(held(Side.SELL)) == Shield(D("9.990"), D("102.11"), None, D("97.09"))

    @pytest.mark.parametrize("settings", [{"trail": "0.01"}, {"ladder": ["0.02:1"]}])
    def test_is_a_stop_alone_where_the_bot_looks_after_the_gain(self, settings):
        assert wanted(held(), **settings) == replace(BOTH, target=None)

    def test_leaves_a_target_that_is_too_far_away_to_the_bot(self):
        assert wanted(held(), replace(RULES, sell_up=D("1.02"))) == replace(BOTH, target=None)
        assert wanted(held(), replace(RULES, max_price=D(101))) == replace(BOTH, target=None)

    def test_with_a_limit_lies_a_little_beyond_the_stop(self):
        assert wanted(held(), limited=True) == replace(BOTH, limit=D("97.10"))

    @pytest.mark.parametrize(
        ("rules", "settings", "reason"),
        [
            ({"min_notional": D(985)}, {}, "worth 979"),
            ({"min_quantity": D(10)}, {}, "quantity 9.99"),
            ({"sell_down": D("0.98")}, {"limited": True}, "a price of 97.10 is too far from 100"),
            ({"min_price": D(99)}, {}, "a price of 98.09 is out of bounds"),
            ({"tick": D(200)}, {}, "worth 0"),
        ],
    )
    def test_is_a_reason_where_the_venue_would_not_take_it(self, rules, settings, reason):
        found = wanted(held(), replace(RULES, **rules), **settings)
        assert isinstance(found, str)
        assert found.startswith(reason)

    @given(positive, positive, st.sampled_from(["0.001", "0.5", "7"]), st.sampled_from(["0", "0.01", "0.3"]))
    def test_never_covers_more_than_is_held_and_never_comes_nearer(self, quantity, price, step, tick):
        position = held(quantity=str(quantity), price=str(price))
        found = wanted(position, replace(RULES, step=D(step), tick=D(tick)), str(price))
        if isinstance(found, Shield):
            assert found.quantity <= position.quantity
            assert found.stop <= position.stop
            assert found.target is not None
            assert found.target >= position.target


class TestStanding:
    def test_is_just_what_is_wanted(self):
        assert protection.stands(BOTH, waiting())
        alone = replace(BOTH, target=None)
        assert protection.stands(alone, waiting(alone))
        assert protection.stands(replace(BOTH, limit=D(97)), waiting(replace(BOTH, limit=D(97))))

    @pytest.mark.parametrize(
        "other",
        [
            replace(BOTH, quantity=D("9.98")),
            replace(BOTH, stop=D("98.10")),
            replace(BOTH, target=D("103.12")),
            replace(BOTH, target=None),
            replace(BOTH, limit=D(97)),
        ],
    )
    def test_is_nothing_else(self, other):
        assert not protection.stands(BOTH, waiting(other))

    def test_is_nothing_at_all_where_that_is_wanted_and_never_what_cannot_be_had(self):
        assert protection.stands(None, [])
        assert not protection.stands(None, waiting())
        assert not protection.stands("too little", [])

    def test_is_not_what_is_missing_ending_or_partly_gone(self):
        stop, target = waiting()
        assert not protection.stands(BOTH, [])
        assert not protection.stands(BOTH, [target])
        assert not protection.stands(BOTH, [stop])
        assert not protection.stands(BOTH, [stop, stop, target])
        assert not protection.stands(BOTH, [stop, replace(target, state=OrderState.CANCELING)])
        assert not protection.stands(BOTH, [stop, replace(target, executed=D(1), state=OrderState.PARTIAL)])


class TestOrders:
    def test_of_a_pair_have_names_of_their_own_and_one_in_common(self):
        stop, target = protection.orders(held(), BOTH, "sim", 5)
        assert (stop.intent, stop.type, stop.stop_price, stop.side) == (
            GUARD_STOP,
            OrderType.STOP_LOSS,
            D("98.09"),
            Side.SELL,
        )
        assert (target.intent, target.type, target.price, target.stop_price) == (
            GUARD_TARGET,
            OrderType.LIMIT_MAKER,
            D("103.11"),
            0,
        )
        assert stop.pair == target.pair
        assert len({stop.client_id, target.client_id, stop.pair}) == 3

    def test_are_named_anew_at_each_try(self):
        again = protection.orders(held().guarding(), BOTH, "sim", 5)
        assert not {o.client_id for o in again} & {o.client_id for o in protection.orders(held(), BOTH, "sim", 5)}

    def test_say_to_the_venue_what_their_types_need(self):
        stop, target = (order.order() for order in waiting(replace(BOTH, limit=D(97))))
        assert (stop.type, stop.price, stop.stop_price) == (OrderType.STOP_LOSS_LIMIT, D(97), D("98.09"))
        assert (target.price, target.stop_price) == (D("103.11"), None)
        assert waiting()[0].order().price is None


class TestRefusals:
    def test_are_waited_for_ever_longer(self):
        for count, wait in ((1, 1), (2, 2), (3, 4), (7, 60), (20, 60)):
            tried = refused("Filter failure: MAX_NUM_ALGO_ORDERS", *range(count))
            assert protection.again_at(tried) == count - 1 + wait * MINUTE
        assert protection.again_at([]) == 0
        assert protection.again_at(waiting(state=OrderState.CANCELED)) == 0
        assert protection.AGAIN_MS < HOUR

    def test_are_forgotten_when_one_was_taken(self):
        assert protection.again_at([*refused("no", 1), *waiting(state=OrderState.CANCELED)]) == 0

    @pytest.mark.parametrize(
        ("text", "means"),
        [
            ("Order would trigger immediately.", True),
            ("Order would immediately match and take.", True),
            ("The relationship of the prices for the orders is not correct.", True),
            ("Filter failure: PERCENT_PRICE", False),
        ],
    )
    def test_may_say_that_the_market_is_past_it(self, text, means):
        assert protection.beyond(refused(text, 1)) is means
        assert not protection.beyond(waiting())

    def test_of_stops_that_end_at_the_market_ask_for_a_limit_at_once(self):
        tried = refused("Stop loss orders are not supported for this symbol.", 1)
        assert protection.needs_limit(tried)
        assert protection.again_at(tried) == 0
        assert not protection.needs_limit(refused("Filter failure: LOT_SIZE", 1))
