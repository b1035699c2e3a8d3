"""The trend strategy."""

from __future__ import annotations

import numpy as np
from markets import INTERVALS, NOON
from test_strategies import NAMES, features

from tradebot.analysis import features as formulas
from tradebot.analysis.strategies import make
from tradebot.clock import DAY
from tradebot.market.bars import aggregate, last_closed, panel
from tradebot.sim.prices import Synthetic


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


def test_on_the_synthetic_venue_it_finds_some_of_thirty_symbols_at_most_closes() -> None:
    venue = Synthetic(1, 30)
    series = {name: venue.klines(name, "5m", NOON - 7 * DAY, NOON - 1, NOON) for name in venue.instruments()}
    panels = [
        panel(
            interval, last_closed(interval, NOON), bars, [(name, aggregate(k, interval)) for name, k in series.items()]
        )
        for interval, bars in zip(INTERVALS, (600, 300, 160), strict=True)
    ]
    rows = formulas.align(panels)[-500:]
    found = (np.abs(make("trend", {}).score(features(rows))) >= 0.3).sum(axis=1)
    assert 2 <= np.median(found) <= 10
    assert (found > 0).mean() > 0.9
