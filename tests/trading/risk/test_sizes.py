"""Sizes: what each gives, and what none ever does."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.trading.orders import floor_to
from tradebot.trading.risk import SIZES, Outlook, budget, sized
from tradebot.trading.risk.sizes import share

from .views import RULES_OF_X, account, bars, candidate, outlook

amounts = st.decimals(min_value=0, max_value=10**9, places=2)
prices = st.decimals(min_value=Decimal("0.00000001"), max_value=10**6, places=8)
chances = st.floats(0, 1)


def moving(size: float) -> Outlook:
    """XUSDT goes up and down by `size` an hour."""
    return outlook(XUSDT=np.where(np.arange(199) % 2, size, -size))


def by(size: str, **more: object):
    return account(risk={"size": size}, **{"outlook": moving(0.01), **more})


class TestEach:
    def test_fixed_is_the_share_of_the_settings(self):
        assert share(candidate(), account()) == Decimal("0.1")

    def test_volatility_gives_calm_coins_more_in_proportion(self):
        restless, calm = (share(candidate(), by("volatility", outlook=moving(size))) for size in (0.04, 0.02))
        assert float(calm) == pytest.approx(2 * float(restless), rel=1e-6)
        assert float(calm) == pytest.approx(0.005 / (0.02 * 24**0.5), rel=1e-6)

    def test_volatility_is_capped(self):
        assert share(candidate(), by("volatility", outlook=moving(0.0001))) == Decimal("0.2")

    @pytest.mark.parametrize("view", [Outlook(), moving(0.0), Outlook((bars(XUSDT=np.ones(20)),))])
    def test_volatility_gives_nothing_where_it_is_not_known(self, view):
        assert share(candidate(), by("volatility", outlook=view)) == "how much it moves is not known"

    def test_kelly_is_its_part_of_the_formula(self):
        b = (0.03 - 0.0024) / (0.02 + 0.0024)
        assert float(share(candidate(0.5), by("kelly"))) == pytest.approx(0.5 * (0.5 - 0.5 / b), abs=1e-9)

    def test_kelly_is_capped(self):
        assert share(candidate(0.99), by("kelly")) == Decimal("0.2")

    @pytest.mark.parametrize("probability", [0.0, 0.4, float("nan")])
    def test_kelly_gives_nothing_where_there_is_no_gain_to_expect(self, probability):
        reason = share(candidate(probability), by("kelly"))
        assert reason == f"no gain to expect at probability {probability:.4g} with 0.0276 against 0.0224"

    def test_kelly_gives_nothing_where_costs_eat_the_target(self):
        wide = Outlook(spreads={"XUSDT": Decimal("0.05")})
        assert share(candidate(), by("kelly", outlook=wide)) == "a target of 0.03 does not cover costs of 0.052"


class TestAll:
    @pytest.mark.parametrize("size", SIZES)
    @given(equity=amounts, free=st.decimals(-100, 10**9, places=2), price=prices, probability=chances)
    def test_never_cost_more_than_is_free_or_than_their_cap(self, size, equity, free, price, probability):
        state = by(size, equity=equity, free=free)
        quantity = sized(candidate(probability, mark=price), state)
        most = state.limits.fraction if size == "fixed" else state.risk.max_fraction
        assert 0 <= quantity * price <= max(free, 0)
        assert quantity * price <= most * equity
        assert quantity == floor_to(quantity, RULES_OF_X.step)

    @pytest.mark.parametrize("size", SIZES)
    @given(equity=amounts, more=amounts, low=chances, high=chances)
    def test_grow_with_equity_and_probability(self, size, equity, more, low, high):
        low, high = sorted((low, high))
        small = budget(candidate(low), by(size, equity=equity, free=equity))
        assert small <= budget(candidate(low), by(size, equity=equity + more, free=equity + more))
        assert small <= budget(candidate(high), by(size, equity=equity, free=equity))

    @pytest.mark.parametrize("size", SIZES)
    @given(equity=amounts, probability=chances, scale=st.integers(1, 10**6))
    def test_are_free_of_scale(self, size, equity, probability, scale):
        asking, state = candidate(probability), by(size, equity=equity, free=equity)
        larger = replace(state, equity=scale * equity, free=scale * equity)
        assert budget(asking, larger) == scale * budget(asking, state)

    @pytest.mark.parametrize("size", SIZES)
    def test_are_nothing_without_a_price(self, size):
        assert sized(candidate(mark=None), by(size)) == 0

    def test_are_reduced_to_what_is_free_less_a_reserve(self):
        assert budget(candidate(), account(free=Decimal(50))) == Decimal("49.5")

    def test_shrink_with_what_entries_before_them_spend(self):
        after = account().after(candidate(), Decimal(950))
        assert (after.free, after.held, budget(candidate(), after)) == (50, {"XUSDT"}, Decimal("49.5"))
