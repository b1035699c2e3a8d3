"""Every rule refuses with a reason, and only what it is about."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from tradebot.config import Trading, leaves
from tradebot.market.venue import Side
from tradebot.trading.risk import RULES, SIZES, Outlook, Record, refused

from .views import NOW, RULES_OF_X, account, bars, candidate, noise, outlook

MINUTE = 60_000
SAME = noise(1)


CASES = {
    "threshold": (candidate(0.41), account(), "probability 41.00% below 55.00%"),
    "side": (candidate(side=Side.SELL), account(), "a short position is not possible on spot"),
    "bar": (candidate(), account(acted=frozenset({("XUSDT", NOW)})), "this bar was acted on already"),
    "unresolved": (candidate(), account(unresolved=frozenset({"XUSDT"})), "an earlier order is not resolved yet"),
    "one-per-symbol": (candidate(), account(held=frozenset({"XUSDT"})), "a position is held already"),
    "max-positions": (candidate(), account(held=frozenset("ABCDE")), "5 of 5 positions held"),
    "tradable": (
        candidate(instrument=replace(RULES_OF_X, status="HALT")),
        account(),
        "not trading (status HALT)",
    ),
    "cash": (candidate(), account(free=Decimal(0)), "no free USDT"),
    "halt": (candidate(), account(halted="stopped by hand"), "stopped by hand"),
    "clock": (candidate(), account(outlook=Outlook(clock_doubt="the clock jumped")), "the clock jumped"),
    "size": (candidate(), account(risk={"size": "volatility"}), "no size: how much it moves is not known"),
    "stale-data": (
        candidate(),
        account(outlook=Outlook((bars(NOW - 11 * 5 * MINUTE, "5m", XUSDT=SAME),))),
        "its newest 5m bar closed 3000 s ago",
    ),
    "cool-down": (
        candidate(),
        account(record=Record(bad={"XUSDT": NOW - MINUTE})),
        "840 s to wait after its last loss",
    ),
    "losing-streak": (
        candidate(),
        account(record=Record(losses=6, last_loss=NOW - MINUTE)),
        "6 losses in a row: 3540 s to wait",
    ),
    "daily-loss": (
        candidate(),
        account(record=Record(opened_equity=Decimal(1000), total=Decimal(-60))),
        "6.00% lost today, the limit is 5.00%",
    ),
    "drawdown": (
        candidate(),
        account(record=Record(equity=Decimal(750), peak=Decimal(100), total=Decimal(-150))),
        "25.00% below the highest equity, the limit is 20.00%",
    ),
    "correlated": (
        candidate(),
        account(
            held=frozenset({"YUSDT", "ZUSDT"}),
            risk={"max_correlated": 1},
            outlook=outlook(XUSDT=SAME, YUSDT=SAME * 2, ZUSDT=noise(2)),
        ),
        "moves with what is held: YUSDT 1.00",
    ),
    "edge": (
        candidate(0.5),
        account(threshold=0.5, risk={"min_edge": "0.005"}),
        "0.260% to expect after costs, below 0.500%",
    ),
    "exposure": (
        candidate(),
        account(worth={"Y": Decimal(450)}, risk={"max_exposure": "0.5"}),
        "450 USDT held, 100 more would be above 500",
    ),
    "coin": (
        candidate(),
        account(worth={"X": Decimal(50)}, risk={"max_coin": "0.1"}),
        "50 USDT of X held, 100 more would be above 100",
    ),
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
            if (name, other) == ("cash", "size"):
                continue  # what has no size has no money either
            assert other == name or RULES[name](asking, state) is None, other

    def test_take_no_prediction_for_a_probability_that_is_not_a_number(self):
        assert refused(candidate(math.nan), account()) == "probability nan% below 55.00%"

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

    def test_refuse_nothing_for_what_nobody_knows(self):
        """No bars, no record, no spreads, no worth: only the sizes that need them say so."""
        strict = {"max_correlated": 1, "min_edge": "-1", "cool_down_all_s": 60}
        assert refused(candidate(), account(risk=strict, held=frozenset({"YUSDT"}))) is None

    @pytest.mark.parametrize("size", SIZES)
    @pytest.mark.parametrize("name", RULES)
    def test_each_answer_a_candidate_of_which_nothing_is_known(self, name, size):
        unknown = candidate(math.nan, instrument=None, mark=None)
        nothing = account(equity=Decimal(0), free=Decimal(0), outlook=Outlook(), risk={"size": size, "min_edge": "0"})
        reason = RULES[name](unknown, nothing)
        assert reason is None or reason

    def test_stand_in_the_documentation_in_their_order_with_keys_that_exist(self):
        page = (Path(__file__).parents[3] / "docs" / "risk.md").read_text()
        rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", page, re.MULTILINE)
        assert [name for name, _ in rows] == [*SIZES, *RULES]
        keys = set(re.findall(r"`(risk\.[a-z_]+)`", page))
        assert keys == {key for key, _ in leaves() if key.startswith("risk.")}


class TestLimits:
    """Both sides of each."""

    @pytest.mark.parametrize(
        ("risk", "more"),
        [
            ({"max_bar_age": 0}, CASES["stale-data"][1]),
            ({"cool_down_s": 60}, CASES["cool-down"][1]),
            ({"max_losses": 7}, CASES["losing-streak"][1]),
            ({"max_losses": 0}, CASES["losing-streak"][1]),
            ({"pause_s": 60}, CASES["losing-streak"][1]),
            ({"daily_loss": "0.0601"}, CASES["daily-loss"][1]),
            ({"daily_loss": 0}, CASES["daily-loss"][1]),
            ({"drawdown": "0.2501"}, CASES["drawdown"][1]),
            ({"drawdown": 0}, CASES["drawdown"][1]),
            ({"max_correlated": 2}, CASES["correlated"][1]),
            ({"max_correlated": 0}, CASES["correlated"][1]),
            ({"max_exposure": "0.55"}, CASES["exposure"][1]),
            ({"max_coin": "0.15"}, CASES["coin"][1]),
        ],
    )
    def test_let_through_what_is_just_within_them_and_everything_when_they_are_off(self, risk, more):
        assert refused(candidate(), replace(more, risk=account(risk=risk).risk)) is None

    def test_rest_all_symbols_after_a_loss_of_one_where_that_is_asked_for(self):
        lost = Record(bad={"YUSDT": NOW - MINUTE})
        assert refused(candidate(), account(record=lost)) is None
        reason = refused(candidate(), account(record=lost, risk={"cool_down_all_s": 100}))
        assert reason == "40 s to wait after the last loss"

    def test_reckon_with_the_symbols_own_spread_where_it_is_known(self):
        wide = Outlook(spreads={"XUSDT": Decimal("0.02")})
        assert refused(candidate(0.6), account(risk={"min_edge": 0})) is None
        assert refused(candidate(0.6), account(risk={"min_edge": 0}, outlook=wide)) is not None

    def test_take_no_edge_from_a_probability_that_is_not_a_number(self):
        assert RULES["edge"](candidate(math.nan), account(risk={"min_edge": "-1"})) is not None

    def test_count_the_age_of_data_from_the_newest_bar_that_was_not_filled_in(self):
        panel = bars(NOW - 5 * MINUTE, "5m", XUSDT=SAME)
        assert refused(candidate(), account(outlook=Outlook((panel,)))) is None
        panel.filled[0, -3:] = True
        assert refused(candidate(), account(outlook=Outlook((panel,)))) == "its newest 5m bar closed 900 s ago"

    def test_take_each_entry_into_account_for_the_next(self):
        state = account(risk={"max_exposure": "0.15"})
        assert refused(candidate(), state) is None
        after = state.after(candidate(), Decimal(100))
        assert after.worth == {"X": 100}
        assert RULES["exposure"](candidate(), after) is not None
