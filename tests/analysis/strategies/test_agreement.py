"""The agreement strategy."""

from __future__ import annotations

import numpy as np
import pytest
from test_strategies import NAMES, features

from tradebot.analysis.strategies import make

ALL = ("5m", "15m", "1h")


def scored(**columns: float) -> float:
    values = np.zeros((1, 31))
    for name, value in columns.items():
        values[0, NAMES.index(name)] = value
    return float(make("agreement", {}).score(features(values))[0])


def test_where_all_intervals_say_the_same_it_acts() -> None:
    assert scored(**{f"rsi_7_{interval}": 0.9 for interval in ALL}) == pytest.approx(0.3)
    assert scored(**{f"rsi_7_{interval}": -0.9 for interval in ALL}) == pytest.approx(-0.3)


def test_the_weakest_vote_counts() -> None:
    assert scored(rsi_7_5m=0.9, rsi_7_15m=0.6, rsi_7_1h=0.3) == pytest.approx(0.1)


@pytest.mark.parametrize("odd", [-0.1, 0.0])
def test_one_that_is_against_it_or_does_not_care_is_a_veto(odd: float) -> None:
    assert scored(rsi_7_5m=0.9, rsi_7_15m=0.9, rsi_7_1h=odd) == 0


def test_each_vote_is_the_mean_of_three_opinions() -> None:
    columns = {f"{name}_{interval}": 0.6 for name in ("rsi_7", "mfi_14") for interval in ALL}
    moves = {f"ret_6_{interval}": 9.0 for interval in ALL}
    assert scored(**columns, **moves) == pytest.approx((0.6 + 0.6 + 1) / 3, abs=1e-6)
