"""A trade ends at the first barrier it touches, costs its fees, and knows nothing that comes later."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import MINUTE
from tradebot.config import Settings
from tradebot.market.bars import Panel
from tradebot.model.labels import Barrier, outcomes

STEP = 5 * MINUTE
FREE = Barrier(stop_loss=0.02, take_profit=0.03, horizon=4 * STEP, fee=0.0, spread=0.0)


def panel(bars: list[tuple[float, float, float, float]]) -> Panel:
    """One symbol; `bars` are open, high, low, close."""
    data = np.ones((5, 1, len(bars)))
    data[:4, 0] = np.array(bars).T
    return Panel("5m", (len(bars) - 1) * STEP, ("A",), data, np.zeros((1, len(bars)), bool))


def outcome(*bars: tuple[float, float, float, float], barrier: Barrier = FREE) -> tuple[float, int]:
    """Return of buying on the close of a first bar at 100, and the bars until its end."""
    returns, ends = outcomes(panel([FLAT, *bars]), np.array([0]), np.array([0]), barrier)
    return float(returns[0]), int(ends[0] // STEP) - 1


FLAT = (100.0, 100.0, 100.0, 100.0)
UP, DOWN = (100.0, 103.5, 99.0, 101.0), (100.0, 101.0, 97.0, 99.0)


@pytest.mark.parametrize(
    ("bars", "expected"),
    [
        ((FLAT, UP, FLAT, FLAT), (0.03, 2)),
        ((FLAT, DOWN, FLAT, FLAT), (-0.02, 2)),
        ((UP, DOWN, FLAT, FLAT), (0.03, 1)),
        ((DOWN, UP, FLAT, FLAT), (-0.02, 1)),
        ((FLAT, (100.0, 104.0, 97.0, 101.0), FLAT, FLAT), (-0.02, 2)),
        ((FLAT, FLAT, FLAT, (100.0, 102.0, 99.0, 101.5)), (0.015, 4)),
        ((FLAT, (90.0, 91.0, 89.0, 90.0), FLAT, FLAT), (-0.10, 2)),
        ((FLAT, (110.0, 111.0, 109.0, 110.0), FLAT, FLAT), (0.10, 2)),
        (((50.0, 50.0, 50.0, 50.0), (50.0, 51.6, 50.0, 51.0), FLAT, FLAT), (0.03, 2)),
        ((FLAT, FLAT, FLAT, FLAT, UP), (0.0, 4)),
    ],
    ids=[
        "target", "stop", "target before stop", "stop before target", "both in one bar is a stop", "time",
        "opens below the stop", "opens above the target", "entry is the next open", "beyond the horizon is nothing",
    ],
)  # fmt: skip
def test_a_trade_ends_at_the_first_barrier(
    bars: tuple[tuple[float, float, float, float], ...], expected: tuple
) -> None:
    returned, ended = outcome(*bars)
    assert returned == pytest.approx(expected[0], abs=1e-12)
    assert ended == expected[1]


def test_both_fills_pay_the_fee() -> None:
    returned, _ = outcome(FLAT, UP, FLAT, FLAT, barrier=replace(FREE, fee=0.001))
    assert returned == pytest.approx(1.03 * 0.999 / 1.001 - 1, abs=1e-12)


def test_it_is_bought_above_the_klines_price_and_sold_below_it() -> None:
    returned, _ = outcome(FLAT, FLAT, FLAT, FLAT, barrier=replace(FREE, spread=0.002))
    assert returned == pytest.approx(0.999 / 1.001 - 1, abs=1e-12)


def test_barriers_follow_what_was_paid() -> None:
    nearly = (100.0, 103.0, 99.0, 101.0)  # 3 % above the klines' price, but not above the ask
    assert outcome(nearly, FLAT, FLAT, FLAT)[1] == 1
    assert outcome(nearly, FLAT, FLAT, FLAT, barrier=replace(FREE, spread=0.002))[1] == 4


def test_where_nothing_was_traded_nothing_could_be_bought() -> None:
    history = panel([FLAT] * 7)
    history.filled[0, 1] = True
    returns, ends = outcomes(history, np.array([0, 0]), np.array([0, 1]), FREE)
    assert np.isnan(returns[0])
    assert returns[1] == 0
    assert ends[0] == 5 * STEP


def test_the_settings_say_how_trades_end() -> None:
    settings = Settings.model_validate(
        {"trading": {"stop_loss": "0.01", "take_profit": "0.02", "max_hold_s": 600}, "paper": {"spread": "0.001"}}
    )
    assert Barrier.of(settings) == Barrier(0.01, 0.02, 10 * MINUTE, 0.001, 0.001)


@pytest.mark.parametrize("after", range(4))
def test_a_horizon_that_is_not_complete_has_no_outcome(after: int) -> None:
    # Not even where a barrier was touched: keeping only the early ends would tilt the labels.
    assert np.isnan(outcome(*[UP, FLAT, FLAT][:after])[0])


def test_missing_prices_have_no_outcome() -> None:
    nothing = (np.nan,) * 4
    assert np.isnan(outcome(nothing, FLAT, FLAT, FLAT)[0])
    assert np.isnan(outcome(FLAT, FLAT, FLAT, nothing)[0])


def test_the_label_tells_its_barriers_and_fee() -> None:
    assert str(Barrier()) == (
        "net gain > 0 at the first of +0.03, -0.02 and 240 min; "
        "fee 0.001 each side, spread 0.0004; stop before target within a bar"
    )


def walk(seed: int, bars: int = 60, symbols: int = 3) -> Panel:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, (symbols, bars)), axis=1))
    opened = np.concatenate([np.full((symbols, 1), 100.0), close[:, :-1]], axis=1)
    spread = np.exp(np.abs(random.normal(0, 0.004, (2, symbols, bars))))
    high, low = np.maximum(opened, close) * spread[0], np.minimum(opened, close) / spread[1]
    data = np.stack([opened, high, low, close, np.ones_like(close)])
    return Panel("5m", (bars - 1) * STEP, ("A", "B", "C"), data, np.zeros((symbols, bars), bool))


def plainly(history: Panel, symbol: int, bar: int, barrier: Barrier) -> float:
    """The same, one trade at a time, as one would tell it."""
    opened, high, low, close = (row[symbol] for row in history.data[:4])
    length = barrier.horizon // STEP
    if bar + length >= len(close):
        return np.nan
    half = barrier.spread / 2
    entry = opened[bar + 1] * (1 + half)
    price = close[bar + length]
    for at in range(bar + 1, bar + length + 1):
        if low[at] <= entry * (1 - barrier.stop_loss):
            price = min(opened[at], entry * (1 - barrier.stop_loss))
            break
        if high[at] >= entry * (1 + barrier.take_profit):
            price = max(opened[at], entry * (1 + barrier.take_profit))
            break
    return float(price * (1 - half) * (1 - barrier.fee) / (entry * (1 + barrier.fee)) - 1)


@given(st.integers(0, 2**32), st.integers(1, 20), st.floats(0.001, 0.05), st.floats(0.001, 0.05))
def test_all_trades_at_once_are_the_trades_one_by_one(seed: int, length: int, stop: float, target: float) -> None:
    history, barrier = walk(seed), Barrier(stop, target, length * STEP)
    symbols, bars = (grid.ravel() for grid in np.indices(history.data.shape[1:]))
    returns, _ = outcomes(history, symbols, bars, barrier)
    expected = [plainly(history, *place, barrier) for place in zip(symbols, bars, strict=True)]
    np.testing.assert_allclose(returns, expected, rtol=0, atol=1e-12)


@given(st.integers(0, 2**32), st.integers(20, 50))
def test_what_comes_after_the_horizon_changes_nothing(seed: int, bar: int) -> None:
    history = walk(seed)
    cut = Panel("5m", (bar + 4) * STEP, history.symbols, history.data[:, :, : bar + 5], history.filled[:, : bar + 5])
    at = np.arange(3), np.full(3, bar)
    for whole, part in zip(outcomes(history, *at, FREE), outcomes(cut, *at, FREE), strict=True):
        assert (whole == part).all()


def test_a_time_far_beyond_the_data_is_answered_at_once() -> None:
    years = replace(FREE, horizon=10**6 * STEP)
    returns, ends = outcomes(panel([FLAT, UP, FLAT]), np.array([0]), np.array([0]), years)
    assert np.isnan(returns).all()
    assert ends == [(10**6 + 1) * STEP]
