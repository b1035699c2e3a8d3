"""The breakout strategy."""

from __future__ import annotations

import numpy as np
from test_strategies import NAMES, features

from tradebot.analysis.strategies import make


def scored(**columns: float) -> float:
    values = np.zeros((1, 31))
    for name, value in columns.items():
        values[0, NAMES.index(name)] = value
    return float(make("breakout", {}).score(features(values))[0])


def test_a_close_at_the_top_of_its_range_with_volume_is_bought_and_at_the_bottom_sold() -> None:
    assert scored(stoch_14_5m=1.0, stoch_14_15m=0.5, volume_ratio_5m=1.0) > 0.9
    assert scored(stoch_14_5m=-1.0, stoch_14_15m=-0.5, volume_ratio_5m=1.0) < -0.9


def test_a_quiet_break_is_no_break() -> None:
    assert scored(stoch_14_5m=1.0, stoch_14_15m=0.5, volume_ratio_5m=0.0) == 0
    assert scored(stoch_14_5m=1.0, stoch_14_15m=0.5, volume_ratio_5m=-0.5) == 0


def test_more_volume_counts_more_and_so_does_a_close_nearer_to_the_edge() -> None:
    quiet, busy = (scored(stoch_14_5m=1.0, stoch_14_15m=0.5, volume_ratio_5m=volume) for volume in (0.2, 0.6))
    assert 0 < quiet < busy
    inner, outer = (scored(stoch_14_5m=place, stoch_14_15m=0.5, volume_ratio_5m=0.6) for place in (0.7, 0.95))
    assert 0 < inner < outer


def test_inside_the_channel_there_is_nothing_to_do() -> None:
    assert scored(stoch_14_5m=0.55, stoch_14_15m=0.5, volume_ratio_5m=1.0) == 0


def test_a_price_that_comes_back_in_the_wider_range_does_not_break_out() -> None:
    assert scored(stoch_14_5m=1.0, stoch_14_15m=-0.5, volume_ratio_5m=1.0) == 0
