"""The trend strategy."""

from __future__ import annotations

import numpy as np
from test_strategies import NAMES, features

from tradebot.analysis.strategies import make


def scored(**columns: float) -> float:
    values = np.zeros((1, 31))
    for name, value in columns.items():
        values[0, NAMES.index(name)] = value
    return float(make("trend", {}).score(features(values))[0])


def test_a_rise_on_all_intervals_is_bought_and_a_fall_sold() -> None:
    assert scored(ret_24_5m=2, ret_24_15m=2, ret_24_1h=2) > 0.25
    assert scored(ret_24_5m=-2, ret_24_15m=-2, ret_24_1h=-2) < -0.25


def test_intervals_that_disagree_cancel_out() -> None:
    assert abs(scored(ret_24_5m=2, ret_24_1h=-1)) < 0.05


def test_the_coarser_interval_counts_more() -> None:
    assert scored(ret_24_1h=2) > scored(ret_24_15m=2) > scored(ret_24_5m=2) > 0


def test_a_price_beyond_its_bands_has_been_missed() -> None:
    assert scored(ret_24_1h=4, bollinger_20_5m=0.9) > 0.1
    assert scored(ret_24_1h=4, bollinger_20_5m=1.1) == 0
    assert scored(ret_24_1h=-4, bollinger_20_5m=-1.1) == 0
