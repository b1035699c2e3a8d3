"""Every rule refuses with a reason, and only what it is about."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.config import Trading
from tradebot.market.venue import Instrument, Side
from tradebot.trading.risk import RULES, Account, Candidate, Prediction, budget, refused, sized

RULES_OF_X = Instrument("XUSDT", "X", "USDT", step=Decimal("0.001"), min_notional=Decimal(5))


def account(**more: object) -> Account:
    made = Account("USDT", Decimal(1000), Decimal(1000), frozenset(), frozenset(), frozenset(), 0.55, Trading())
    return replace(made, **more)  # type: ignore[arg-type]


def candidate(probability: float = 0.9, side: Side = Side.BUY, **more: object) -> Candidate:
    prediction = Prediction("XUSDT", side, 1_516_406_400_000, probability)
    return replace(Candidate(prediction, "tb-1", RULES_OF_X, Decimal(10)), **more)  # type: ignore[arg-type]


CASES = {
    "threshold": (candidate(0.41), account(), "probability 0.41 below 0.55"),
    "side": (candidate(side=Side.SELL), account(), "a short position is not possible on spot"),
    "bar": (candidate(), account(acted=frozenset({"tb-1"})), "this bar was acted on already"),
    "unresolved": (candidate(), account(unresolved=frozenset({"XUSDT"})), "an earlier order is not resolved yet"),
    "one-per-symbol": (candidate(), account(held=frozenset({"XUSDT"})), "a position is held already"),
    "max-positions": (candidate(), account(held=frozenset("ABCDE")), "5 of 5 positions held"),
    "tradable": (
        candidate(instrument=replace(RULES_OF_X, status="HALT")),
        account(),
        "not trading (status HALT)",
    ),
    "cash": (candidate(), account(free=Decimal(0)), "no free USDT"),
}


class TestRules:
    def test_let_a_good_prediction_through(self):
        assert refused(candidate(), account()) is None

    def test_each_have_a_case_here(self):
        assert set(CASES) == set(RULES)

    @pytest.mark.parametrize("name", RULES)
    def test_each_refuse_their_case_with_their_reason(self, name):
        asking, state, reason = CASES[name]
        assert RULES[name](asking, state) == refused(asking, state) == reason

    @pytest.mark.parametrize("name", RULES)
    def test_each_are_silent_on_the_cases_of_the_others(self, name):
        for other, (asking, state, _) in CASES.items():
            assert other == name or RULES[name](asking, state) is None

    def test_take_no_prediction_for_a_probability_that_is_not_a_number(self):
        assert refused(candidate(math.nan), account()) == "probability nan below 0.55"

    def test_take_a_probability_that_just_reaches_the_threshold(self):
        assert refused(candidate(0.55), account()) is None

    @pytest.mark.parametrize(
        ("more", "reason"),
        [
            ({"instrument": None}, "not offered by the venue"),
            ({"instrument": replace(RULES_OF_X, quote="BTC")}, "paid in BTC, not USDT"),
            ({"mark": None}, "no price"),
            ({"mark": Decimal(0)}, "no price"),
        ],
    )
    def test_need_a_price_and_somebody_who_trades_it(self, more, reason):
        assert refused(candidate(**more), account()) == reason

    def test_say_what_is_too_little_for_the_venue(self):
        reason = refused(candidate(), account(equity=Decimal(40)))
        assert reason == "4 USDT are too little: worth 4 USDT, below the least of 5.35714285714"

    def test_keep_an_entry_sellable_after_its_stop(self):
        deep = Trading(stop_loss=Decimal("0.5"))
        assert refused(candidate(), account(equity=Decimal(100), limits=deep)) is not None
        assert refused(candidate(), account(equity=Decimal(110), limits=deep)) is None


class TestSizes:
    def test_are_a_share_of_the_equity(self):
        assert budget(account(equity=Decimal(2000))) == 200
        assert sized(candidate(), account(equity=Decimal(2000))) == 20

    def test_are_reduced_to_what_is_free_less_a_reserve(self):
        assert budget(account(free=Decimal(50))) == Decimal("49.5")

    def test_are_nothing_without_a_price(self):
        assert sized(candidate(mark=None), account()) == 0

    @given(
        st.decimals(min_value=0, max_value=10**6, places=2),
        st.decimals(min_value=-5, max_value=10**6, places=2),
        st.decimals(min_value=Decimal("0.01"), max_value=10**5, places=2),
    )
    def test_never_cost_more_than_is_free_or_than_their_share(self, equity, free, mark):
        state = account(equity=equity, free=free)
        worth = sized(candidate(mark=mark), state) * mark
        assert 0 <= worth <= max(free, 0)
        assert worth <= state.limits.fraction * equity

    def test_shrink_with_what_entries_before_them_spend(self):
        after = account().after("XUSDT", Decimal(950))
        assert (after.free, after.held, budget(after)) == (50, {"XUSDT"}, Decimal("49.5"))


class TestPredictions:
    def test_are_documents_and_say_null_for_not_a_number(self):
        assert candidate(0.41).prediction.document() == {
            "symbol": "XUSDT",
            "side": "BUY",
            "bar_time": 1_516_406_400_000,
            "probability": 0.41,
        }
        assert candidate(math.nan).prediction.document()["probability"] is None
