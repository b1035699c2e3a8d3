"""Order names, quantities and the order's state machine."""

from __future__ import annotations

import base64
import hashlib
import re
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import ImpossibleTransition
from tradebot.market.venue import ZERO, Fill, Instrument, OrderReport, Side
from tradebot.trading.orders import (
    FINEST,
    ORDER,
    Moved,
    OrderEvent,
    OrderState,
    Outcome,
    client_id,
    event_of,
    figure,
    floor_to,
    plain,
    quantize,
    refusal,
)

steps = st.sampled_from([ZERO, *(Decimal(s) for s in ("0.00000001", "0.00001000", "0.01", "1", "5", "100", "0.25"))])
amounts = st.decimals(min_value=0, max_value=Decimal(92233720368), places=12, allow_nan=False, allow_infinity=False)
prices = st.decimals(min_value=Decimal("0.00000001"), max_value=Decimal(10**6), places=8)
bounds = st.one_of(st.just(ZERO), st.decimals(min_value=Decimal("0.001"), max_value=Decimal(10**9), places=3))


@st.composite
def instruments(draw: st.DrawFn) -> Instrument:
    """Any trading rules, each of them possibly absent."""
    limits = {
        name: draw(bounds)
        for name in ("min_quantity", "max_quantity", "max_market_quantity", "min_notional", "max_notional")
    }
    return Instrument("XUSDT", "X", "USDT", step=draw(steps), **limits)


def outcome(state: OrderState = OrderState.INTENDED, **more: object) -> Outcome:
    made = Outcome("tb-1", "XUSDT", Side.BUY, Decimal(2), Decimal(100), "enter", 0, 5, "tb-1", state=state)
    return made.__class__(**{**vars(made), **more})  # type: ignore[arg-type]


def report(status: str, executed: str = "0") -> OrderReport:
    done = Decimal(executed)
    return OrderReport("XUSDT", "tb-1", 7, Side.BUY, "MARKET", status, Decimal(2), done, done * 100, ZERO, 6)


class TestNames:
    @given(st.text(), st.text(), st.integers(), st.text(), st.integers(0, 99))
    def test_keep_to_the_venues_charset_whatever_the_symbol_is_written_in(self, venue, symbol, bar, intent, attempt):
        assert re.fullmatch(r"[a-zA-Z0-9\-_]{1,36}", client_id(venue, symbol, bar, intent, attempt))

    def test_are_the_same_for_the_same_decision_in_any_process(self):
        assert client_id("binance", "BTCUSDT", 1516406400000, "enter", 0) == "tb-BTCUSDT-2dsxpqmqzz6rkqxdqwur"

    @given(st.text(), st.integers())
    def test_end_with_a_hundred_bits_of_their_hash_in_base32(self, symbol, bar):
        digest = hashlib.sha256(f"sim|{symbol}|{bar}|enter|0".encode()).digest()
        assert client_id("sim", symbol, bar, "enter", 0)[-20:] == base64.b32encode(digest[:15]).decode()[:20].lower()

    def test_differ_when_any_part_differs(self):
        base = ("binance", "BTCUSDT", 1516406400000, "enter", 0)
        others = ("sim", "ETHUSDT", 1516406700000, "stop-loss", 1)
        names = {client_id(*base[:i], other, *base[i + 1 :]) for i, other in enumerate(others)}  # type: ignore[arg-type]
        assert len(names | {client_id(*base)}) == 6


class TestQuantities:
    @given(instruments(), amounts, prices)
    def test_are_on_the_step_never_more_than_asked_and_within_the_maxima(self, rules, asked, price):
        quantity = quantize(rules, asked, price)
        assert 0 <= quantity <= asked
        assert not rules.step or quantity % rules.step == 0
        assert not rules.max_quantity or quantity <= rules.max_quantity
        assert not rules.max_market_quantity or quantity <= rules.max_market_quantity
        assert not rules.max_notional or quantity * price <= rules.max_notional

    @given(instruments(), amounts, prices)
    def test_lose_less_than_one_step_where_no_maximum_binds(self, rules, asked, price):
        free = Instrument("XUSDT", "X", "USDT", step=rules.step)
        lost = asked - quantize(free, asked, price)
        assert lost < (rules.step or FINEST)

    @given(instruments(), amounts, prices, st.sampled_from([ZERO, Decimal("0.05")]))
    def test_that_pass_satisfy_the_minima(self, rules, asked, price, margin):
        quantity = quantize(rules, asked, price)
        if refusal(rules, quantity, price, margin) is None:
            assert quantity > 0
            assert quantity >= rules.min_quantity
            assert quantity * price >= rules.min_notional * (1 + margin)

    def test_are_floored_not_rounded(self):
        rules = Instrument("XUSDT", "X", "USDT", step=Decimal("0.001"))
        assert quantize(rules, Decimal("0.085914"), Decimal(1)) == Decimal("0.085")

    def test_on_a_step_too_coarse_come_to_nothing_and_are_refused(self):
        rules = Instrument("XUSDT", "X", "USDT", step=Decimal(1))
        assert quantize(rules, Decimal("0.999"), Decimal(1)) == 0
        assert refusal(rules, ZERO, Decimal(1)) == "nothing left on the step of 1 X"

    @pytest.mark.parametrize(
        ("quantity", "margin", "reason"),
        [
            ("0.5", "0", "quantity 0.5 below the least of 1 X"),
            ("1.5", "0", "worth 15 USDT, below the least of 20"),
            ("2", "0", None),
            ("2", "0.1", "worth 20 USDT, below the least of 22"),
        ],
    )
    def test_below_a_minimum_are_refused_with_what_it_is(self, quantity, margin, reason):
        rules = Instrument("XUSDT", "X", "USDT", min_quantity=Decimal(1), min_notional=Decimal(20))
        assert refusal(rules, Decimal(quantity), Decimal(10), Decimal(margin)) == reason

    def test_of_a_single_step_are_no_entry_since_the_fee_would_make_them_unsellable(self):
        rules = Instrument("XUSDT", "X", "USDT", step=Decimal("0.1"))
        assert refusal(rules, Decimal("0.1"), Decimal(10)) is None
        assert refusal(rules, Decimal("0.1"), Decimal(10), Decimal("0.05")) is not None

    @given(st.decimals(allow_nan=False, allow_infinity=False, min_value=Decimal("-1e30"), max_value=Decimal("1e30")))
    def test_are_written_in_digits_and_read_back_the_same(self, value):
        assert re.fullmatch(r"-?\d+(\.\d+)?", plain(value))
        assert Decimal(plain(value)) == value

    def test_of_quotients_are_written_to_twelve_figures(self):
        assert figure(Decimal(2) / 3) == "0.666666666667"
        assert figure(Decimal("1E-8") / 3) == "0.00000000333333333333"

    def test_toward_zero_means_so_for_negative_values_too(self):
        assert floor_to(Decimal("-1.7"), Decimal("0.5")) == Decimal("-1.5")


class TestTheMachine:
    @given(st.lists(st.sampled_from(OrderEvent), max_size=12))
    def test_allows_nothing_but_its_table(self, events):
        state = ORDER.initial
        for event in events:
            if (state, event) in ORDER.table:
                state = ORDER.step(state, event)
            else:
                with pytest.raises(ImpossibleTransition, match="order"):
                    ORDER.step(state, event)

    def test_ends_in_exactly_the_states_that_settle_an_order(self):
        assert {str(state) for state in ORDER.terminal} == {"FILLED", "CANCELED", "EXPIRED", "REJECTED", "ABANDONED"}

    def test_can_leave_every_other_state_for_a_settled_one(self):
        for state in set(OrderState) - ORDER.terminal:
            assert any(ORDER.step(state, event) in ORDER.terminal for event in ORDER.events(state))

    def test_takes_back_only_what_rests(self):
        assert {state for state in OrderState if OrderEvent.RECALL in ORDER.events(state)} == {
            OrderState.ACCEPTED,
            OrderState.PARTIAL,
        }

    def test_of_what_is_taken_back_only_the_venue_says_that_it_has_ended(self):
        ends = {
            event
            for event in ORDER.events(OrderState.CANCELING)
            if ORDER.step(OrderState.CANCELING, event) in ORDER.terminal
        }
        assert ends == {OrderEvent.FILL, OrderEvent.CANCEL, OrderEvent.EXPIRE, OrderEvent.REJECT}

    def test_never_sends_twice(self):
        assert [state for state in OrderState if OrderEvent.SEND in ORDER.events(state)] == [OrderState.INTENDED]

    def test_gives_up_only_an_intent_that_was_not_sent_was_bounced_or_is_certainly_absent(self):
        ways = {(o, e) for (o, e), target in ORDER.table.items() if target is OrderState.ABANDONED}
        assert ways == {
            (OrderState.INTENDED, OrderEvent.ABANDON),
            (OrderState.SENT, OrderEvent.BOUNCE),
            (OrderState.UNKNOWN, OrderEvent.ABSENT),
        }

    def test_is_what_the_documentation_draws(self):
        text = (Path(__file__).parents[2] / "docs" / "states.md").read_text(encoding="utf-8")
        assert f"```mermaid\n{ORDER.mermaid()}\n```" in text


class TestReports:
    @pytest.mark.parametrize(
        ("status", "executed", "event"),
        [
            ("NEW", "0", OrderEvent.ACCEPT),
            ("NEW", "1", OrderEvent.PART),
            ("PENDING_NEW", "0", OrderEvent.ACCEPT),
            ("PARTIALLY_FILLED", "1", OrderEvent.PART),
            ("FILLED", "2", OrderEvent.FILL),
            ("CANCELED", "1", OrderEvent.CANCEL),
            ("EXPIRED", "1", OrderEvent.EXPIRE),
            ("EXPIRED_IN_MATCH", "0", OrderEvent.EXPIRE),
            ("REJECTED", "0", OrderEvent.REJECT),
            ("SOMETHING_OF_2027", "2", OrderEvent.DOUBT),
        ],
    )
    def test_say_what_happened(self, status, executed, event):
        assert event_of(report(status, executed)) is event


class TestOutcomes:
    def test_follow_what_the_venue_says(self):
        fact = Moved("tb-1", OrderEvent.EXPIRE, "", 7, Decimal(1), Decimal(100))
        after = outcome(OrderState.SENT).moved(fact, 9)
        assert (after.state, after.order_id, after.executed, after.average) == (OrderState.EXPIRED, 7, 1, 100)
        assert after.settled

    def test_remember_since_when_they_are_in_doubt_and_not_later(self):
        once = outcome(OrderState.SENT).moved(Moved("tb-1", OrderEvent.DOUBT, "lost"), 9)
        again = once.moved(Moved("tb-1", OrderEvent.DOUBT, "still lost"), 99)
        assert (once.doubted, again.doubted) == (9, 9)

    def test_sum_fees_by_coin(self):
        def fill(trade: int, fee: str, asset: str) -> Fill:
            return Fill(trade, "XUSDT", 7, Side.BUY, Decimal(100), Decimal(1), Decimal(fee), asset, 6)

        one = outcome().booked(fill(1, "0.001", "X")).booked(fill(2, "0.002", "X"))
        assert one.document()["fee"] == "0.003"
        two = one.booked(fill(3, "0.1", "BNB"))
        assert two.document()["fee"] is None
        assert two.document()["fees"] == {"X": "0.003", "BNB": "0.1"}

    def test_are_documents_with_the_agreed_keys_and_amounts_as_strings(self):
        document = outcome(quantity=Decimal("1E+2"), executed=Decimal(3), quote_executed=Decimal(200)).document()
        keys = "client_id symbol side type quantity price status executed average fee intent".split()
        assert set(keys) <= document.keys()
        assert document["quantity"] == "100"
        assert document["average"] == "66.6666666667"
        assert document["status"] == "INTENDED"

    def test_ask_the_venue_for_a_market_order_under_their_name(self):
        order = outcome().order()
        assert (order.client_id, order.quantity, order.price, order.type) == ("tb-1", 2, None, "MARKET")
