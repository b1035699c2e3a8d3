from __future__ import annotations

from exchanging import NOW, D
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR
from tradebot.sim.futures.funding import PERIOD, coming_rate, funding_rate, index_price, next_funding

MOMENTS = st.integers(0, 2**42)


@given(MOMENTS)
def test_funding_is_due_every_eight_hours_from_midnight(now: int) -> None:
    due = next_funding(now)
    assert now < due <= now + 8 * HOUR
    assert due % DAY in {0, 8 * HOUR, 16 * HOUR}


@given(MOMENTS)
def test_rates_are_small_and_the_same_whenever_they_are_asked_for(now: int) -> None:
    rate = coming_rate("BTCUSDT", now)
    assert D("-0.00005") <= rate <= D("0.00025")
    assert rate == funding_rate("BTCUSDT", next_funding(now)) == coming_rate("BTCUSDT", next_funding(now) - 1)


def test_rates_differ_between_contracts_and_times_and_take_both_signs() -> None:
    rates = [funding_rate("BTCUSDT", place * PERIOD) for place in range(200)]
    assert len(set(rates)) > 190
    assert min(rates) < 0 < max(rates)
    assert funding_rate("ETHUSDT", 0) != funding_rate("BTCUSDT", 0)


def test_the_mark_stands_above_the_index_by_the_coming_rate() -> None:
    index = index_price("BTCUSDT", D(40_000), NOW)
    assert abs(index * (1 + coming_rate("BTCUSDT", NOW)) - 40_000) < D("0.00001")
