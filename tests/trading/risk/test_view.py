"""What rules and sizes look at."""

from __future__ import annotations

import math
from decimal import Decimal

from tradebot.market.venue import Instrument
from tradebot.trading.risk import Costs, Outlook

from .views import account, candidate


def test_a_probability_that_is_not_a_number_is_null_in_documents():
    assert candidate(0.6).prediction.document()["probability"] == 0.6
    assert candidate(math.nan).prediction.document()["probability"] is None


def test_a_symbol_that_the_venue_does_not_offer_forbids_nothing_by_itself():
    unknown = candidate(instrument=None, mark=None)
    assert unknown.rules == Instrument("XUSDT", "", "")
    assert unknown.price == 0


def test_a_trade_costs_two_fees_and_the_spread_of_its_symbol_or_a_usual_one():
    state = account(costs=Costs(Decimal("0.001"), Decimal("0.0004")), outlook=Outlook(spreads={"Y": Decimal("0.01")}))
    assert (state.cost("X"), state.cost("Y")) == (Decimal("0.0024"), Decimal("0.012"))


def test_an_entry_takes_money_a_place_and_exposure():
    before = account(worth={"X": Decimal(5), "Y": Decimal(7)})
    after = before.after(candidate(), Decimal(100))
    assert (after.free, after.held, after.worth) == (900, {"XUSDT"}, {"X": 105, "Y": 7})
    assert (before.exposure, after.exposure) == (12, 112)
