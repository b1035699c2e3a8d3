"""The reversion strategy."""

from __future__ import annotations

import numpy as np
from test_strategies import NAMES, features

from tradebot.analysis.strategies import make


def scored(stretch: float, trend: float = 0.0) -> float:
    values = np.zeros((1, 31))
    for name in ("bollinger_20_5m", "rsi_7_5m", "stoch_14_5m"):
        values[0, NAMES.index(name)] = stretch
    values[0, NAMES.index("ret_24_1h")] = trend
    return float(make("reversion", {}).score(features(values))[0])


def test_what_ran_too_far_is_expected_back() -> None:
    assert scored(-0.9) > 0.5
    assert scored(0.9) < -0.5


def test_an_ordinary_place_is_no_reason() -> None:
    assert scored(0.4) == scored(-0.4) == 0


def test_a_move_with_a_trend_behind_it_need_not_come_back() -> None:
    assert scored(-0.9, trend=-3) < 0.05
    assert scored(-0.9, trend=-1) < scored(-0.9)
