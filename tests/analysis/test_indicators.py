"""Base indicators against TA-Lib, and against themselves: for the last bar and for every bar."""

# ruff: noqa: E741 (high, low, close, volume)
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import talib
from markets import in_ticks, random_klines, read_csv

from tradebot.analysis import indicators as ta
from tradebot.analysis.indicators import Every, Last, Ops
from tradebot.market.bars import Floats

FILES = ["ADABTC-5m", "DASHBTC-5m", "ETCBTC-5m", "ETHBTC-5m", "LTCBTC-5m", "TRXBTC-5m", "XMRBTC-5m", "XRPETH-1m"]
MEMORY = 600  # long enough for a Wilder average of 14 to have forgotten its start to 1e-18


def band_place(close: Floats) -> Floats:
    upper, middle, _ = talib.BBANDS(close, 20, 2.0, 2.0)
    return (close - middle) / (upper - middle)


Ours = Callable[[Ops, Floats, Floats, Floats, Floats], Floats]
Theirs = Callable[[Floats, Floats, Floats, Floats], Floats]
TWINS: dict[str, tuple[Ours, Theirs]] = {
    "sma": (lambda ops, h, l, c, v: ta.sma(ops, c, 20), lambda h, l, c, v: talib.SMA(c, 20)),
    "sum": (lambda ops, h, l, c, v: ta.total(ops, c, 9), lambda h, l, c, v: talib.SUM(c, 9)),
    "ema": (lambda ops, h, l, c, v: ta.ema(ops, c, 12), lambda h, l, c, v: talib.EMA(c, 12)),
    "rsi": (lambda ops, h, l, c, v: ta.rsi(ops, c, 7), lambda h, l, c, v: talib.RSI(c, 7)),
    "highest": (lambda ops, h, l, c, v: ta.highest(ops, h, 30), lambda h, l, c, v: talib.MAX(h, 30)),
    "lowest": (lambda ops, h, l, c, v: ta.lowest(ops, l, 30), lambda h, l, c, v: talib.MIN(l, 30)),
    "stddev": (lambda ops, h, l, c, v: ta.stddev(ops, c, 20), lambda h, l, c, v: talib.STDDEV(c, 20)),
    "bollinger": (lambda ops, h, l, c, v: ta.bollinger(ops, c, 20, 2.0), lambda h, l, c, v: band_place(c)),
    "stochastic_k": (
        lambda ops, h, l, c, v: ta.stochastic_k(ops, h, l, c, 14),
        lambda h, l, c, v: talib.STOCHF(h, l, c, 14, 3)[0],
    ),
    "mfi": (lambda ops, h, l, c, v: ta.mfi(ops, h, l, c, v, 14), lambda h, l, c, v: talib.MFI(h, l, c, v, 14)),
    "atr": (lambda ops, h, l, c, v: ta.atr(ops, h, l, c, 14), lambda h, l, c, v: talib.ATR(h, l, c, 14)),
    "natr": (lambda ops, h, l, c, v: ta.natr(ops, h, l, c, 14), lambda h, l, c, v: talib.NATR(h, l, c, 14)),
    "roc": (lambda ops, h, l, c, v: ta.roc(ops, c, 10), lambda h, l, c, v: talib.ROC(c, 10)),
    "cci": (lambda ops, h, l, c, v: ta.cci(ops, h, l, c, 20), lambda h, l, c, v: talib.CCI(h, l, c, 20)),
    "aroon": (lambda ops, h, l, c, v: ta.aroon(ops, h, l, 25), lambda h, l, c, v: talib.AROONOSC(h, l, 25)),
}
RECURSIVE = {"ema", "rsi", "atr", "natr"}


def theirs_of(name: str, bars: Floats) -> Floats:
    return TWINS[name][1](*bars[1:, 0])


def ours_of(name: str, ops: Ops, bars: Floats) -> Floats:
    return TWINS[name][0](ops, *bars[1:])


def assert_twins(name: str, bars: Floats) -> None:
    expected = theirs_of(name, bars)
    values = ours_of(name, Every(MEMORY), bars)[0]
    compared = ~np.isnan(values) & ~np.isnan(expected)
    assert compared.sum() >= bars.shape[2] - MEMORY
    np.testing.assert_allclose(values[compared], expected[compared], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("file", FILES)
def test_every_bar_of_real_klines_has_the_value_that_talib_gives(name: str, file: str, real_klines: Path) -> None:
    assert_twins(name, in_ticks(read_csv(real_klines / f"{file}.csv")))


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("seed", range(3))
def test_every_bar_of_a_random_walk_has_the_value_that_talib_gives(name: str, seed: int) -> None:
    assert_twins(name, in_ticks(random_klines(MEMORY + 400, seed=seed)))


@pytest.mark.parametrize("name", TWINS)
def test_the_last_bar_of_any_window_has_the_value_that_talib_gives_for_that_window(name: str) -> None:
    bars = in_ticks(random_klines(200, seed=7))
    for length in (*range(1, 60), 200):
        window = bars[:, :, :length]
        value, expected = ours_of(name, Last(), window)[0], theirs_of(name, window)[-1]
        if np.isnan(expected):
            # TA-Lib gives the fast %K only when its average %D is warm too.
            assert np.isnan(value) or (name == "stochastic_k" and length >= 14)
        else:
            assert value == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", TWINS)
def test_every_bar_has_the_value_that_the_last_bar_of_its_window_has(name: str) -> None:
    bars = in_ticks(random_klines(130, seed=3))
    every = ours_of(name, Every(60), bars)[0]
    for end in range(1, 131):
        window = bars[:, :, max(end - 60, 0) : end]
        last = ours_of(name, Last(), window)[0]
        if name in RECURSIVE and end < 60:
            assert np.isnan(every[end - 1])
        else:
            np.testing.assert_allclose(every[end - 1], last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TWINS)
def test_no_value_is_known_where_the_window_holds_an_unknown_bar(name: str) -> None:
    bars = in_ticks(random_klines(120, seed=5))
    bars[:, :, [109, 115]] = np.nan
    assert np.isnan(ours_of(name, Last(), bars)).all()


FLAT = {"sma": 7.0, "sum": 63.0, "ema": 7.0, "rsi": 50.0, "highest": 7.0, "lowest": 7.0, "stddev": 0.0,
        "bollinger": 0.0, "stochastic_k": 50.0, "mfi": 50.0, "atr": 0.0, "natr": 0.0, "roc": 0.0, "cci": 0.0,
        "aroon": 0.0}  # fmt: skip


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("price", [7.0, 7e-9, 7e9])
def test_a_flat_line_has_the_values_that_are_stated_for_it(name: str, price: float) -> None:
    bars = np.full((5, 1, 100), price)
    scale = price / 7 if name in {"sma", "sum", "ema", "highest", "lowest"} else 1.0
    assert ours_of(name, Last(), bars)[0] == pytest.approx(FLAT[name] * scale, rel=1e-12, abs=1e-300)


def test_a_crash_that_has_left_the_memory_has_left_a_recursive_average() -> None:
    calm = np.full((1, 120), 5.0)
    crashed = calm.copy()
    crashed[:, :20] = 5e6
    both = np.concatenate([calm, crashed])
    averages = ta.ema(Every(50), both, 10)[:, -1]
    assert averages[0] == averages[1]


def test_volatility_is_the_root_mean_square_of_returns() -> None:
    moves = ta.returns(np.array([[1.0, np.e, np.e**3]]))
    np.testing.assert_allclose(moves, [[np.nan, 1, 2]])
    assert ta.volatility(Last(), moves, 2)[0] == pytest.approx(np.sqrt(2.5))
