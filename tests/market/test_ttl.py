"""The time to live of open klines and prices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tradebot.market.bars import Floats
from tradebot.market.ttl import BLOCK, Bounds, movement, open_ttl_s

BOUNDS = Bounds(60.0, 300.0)
RETURNS = arrays(np.float64, 200, elements=st.floats(-0.05, 0.05))


def prices(returns: Floats, first: float = 100.0) -> Floats:
    return first * np.cumprod(np.concatenate([[1.0], 1.0 + returns]))


def walk(recent: float, normal: float = 0.01, bars: int = 200) -> Floats:
    """Prices that go up and down by `normal` a bar, and by `recent` in the last 20."""
    returns = np.where(np.arange(bars) % 2, 1.0, -1.0) * normal
    returns[-BLOCK:] *= recent / normal
    return prices(returns)


def ttl(closes: Floats) -> float:
    return float(open_ttl_s(closes, BOUNDS))


@given(RETURNS)
def test_it_stays_within_its_bounds(returns: Floats) -> None:
    assert 60.0 <= ttl(prices(returns)) <= 300.0


@given(RETURNS, st.sampled_from([1e-6, 1e-3, 3.0, 1e3, 1e5]))
def test_prices_in_another_coin_change_nothing(returns: Floats, factor: float) -> None:
    returns = np.where(np.abs(returns) < 1e-4, 1e-4, returns)  # far from the border between rounding and trading
    assert ttl(prices(returns) * factor) == pytest.approx(ttl(prices(returns)), rel=1e-6)


@given(RETURNS, st.floats(1.0, 10.0))
def test_more_unrest_never_lengthens_it(returns: Floats, factor: float) -> None:
    closes = prices(returns)
    wilder = returns.copy()
    wilder[-BLOCK:] = np.clip(wilder[-BLOCK:] * factor, -0.5, 0.5)
    assert ttl(prices(wilder)) <= ttl(closes) + 1e-9


@given(RETURNS, st.floats(1.0, 10.0))
def test_a_series_that_is_used_to_unrest_keeps_it_longer(returns: Floats, factor: float) -> None:
    used = returns.copy()
    used[:-BLOCK] = np.clip(used[:-BLOCK] * factor, -0.5, 0.5)
    assert ttl(prices(used)) >= ttl(prices(returns)) - 1e-6


@pytest.mark.parametrize(
    ("recent", "seconds"), [(0.001, 300.0), (0.01, 300.0), (0.01 * 2**0.5, 150.0), (0.02, 75.0), (0.1, 60.0)]
)
def test_it_is_inverse_to_how_much_more_than_normal_the_variance_is(recent: float, seconds: float) -> None:
    assert ttl(walk(recent)) == pytest.approx(seconds, rel=1e-9)


@pytest.mark.parametrize("price", [0.00001, 1.0, 0.1, 64_000.0])
def test_a_flat_series_has_the_longest(price: float) -> None:
    assert ttl(np.full(200, price)) == 300.0


def test_one_that_wakes_up_has_the_shortest() -> None:
    closes = np.full(200, 5.0)
    closes[-1] = 5.1
    assert ttl(closes) == 60.0


def test_one_outlier_long_ago_does_not_become_the_normal() -> None:
    closes = walk(0.05)
    closes[50] *= 3.0
    assert ttl(closes) == 60.0


@pytest.mark.parametrize("bars", [0, 1, 2 * BLOCK])
def test_what_is_too_short_to_have_a_normal_has_the_shortest(bars: int) -> None:
    assert ttl(np.full(bars, 5.0)) == 60.0
    assert ttl(np.full(2 * BLOCK + 1, 5.0)) == 300.0


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0])
def test_what_is_no_price_leads_to_the_shortest(bad: float) -> None:
    closes = np.full(200, 5.0)
    closes[120] = bad
    assert ttl(closes) == 60.0


def test_many_series_at_once_have_what_each_has_alone() -> None:
    many = np.stack([walk(0.001), walk(0.015), walk(0.02), np.full(201, 1.0)])
    assert open_ttl_s(many, BOUNDS).tolist() == [ttl(closes) for closes in many]
    assert open_ttl_s(many.reshape(2, 2, -1), BOUNDS).shape == (2, 2)


def test_movement_counts_from_the_newest_bar() -> None:
    closes = prices(np.concatenate([np.full(7, 0.5), np.full(BLOCK, 0.01), np.full(BLOCK, 0.02)]))
    assert movement(closes) == pytest.approx([1e-4, 4e-4])
