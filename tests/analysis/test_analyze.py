"""One look at the universe: the same to the last bit however it is cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markets import INTERVALS, random_panels

from tradebot.analysis.analyze import Analysis, analyze, conclude, own_features, own_of
from tradebot.analysis.features import FEATURES, latest
from tradebot.analysis.pool import WorkerPool
from tradebot.analysis.strategies import STRATEGIES, make
from tradebot.market.bars import Panel

TREND = make("trend", {})
SYMBOLS = 23


@pytest.fixture(scope="module")
def panels() -> list[Panel]:
    return random_panels(SYMBOLS, 120)


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(2, "always") as pool:
        yield pool


def spoiled(panels: Sequence[Panel], interval: int, symbol: int, **changes: object) -> list[Panel]:
    """The panels with one symbol's bars of one interval changed: `known` of them, `filled` ones, or a zero price."""
    out = list(panels)
    data, filled = panels[interval].data.copy(), panels[interval].filled.copy()
    if "known" in changes:
        data[:, symbol, : data.shape[2] - int(str(changes["known"]))] = np.nan
    if "filled" in changes:
        filled[symbol, changes["filled"]] = True
    if "zero" in changes:
        data[:4, symbol, -3] = 0.0
    out[interval] = Panel(panels[interval].interval, panels[interval].end, panels[interval].symbols, data, filled)
    return out


def assert_same(one: Analysis, other: Analysis) -> None:
    np.testing.assert_array_equal(one.features.values, other.features.values)
    np.testing.assert_array_equal(one.scores, other.scores)
    assert [(s.symbol, s.side, s.score) for s in one.signals] == [(s.symbol, s.side, s.score) for s in other.signals]
    assert (one.skipped, one.bar_time) == (other.skipped, other.bar_time)


def test_a_look_goes_from_panels_to_signals(panels: list[Panel]) -> None:
    look = analyze(panels, TREND, 0.2, 20)
    assert look.features.names[0] == "ret_1_5m"
    assert look.features.symbols == panels[0].symbols
    assert look.bar_time == panels[0].end
    assert not look.skipped
    assert look.signals
    for signal in look.signals:
        row = panels[0].symbols.index(signal.symbol)
        assert signal.score == look.scores[row]
        assert abs(signal.score) >= 0.2
        np.testing.assert_array_equal(signal.row, look.features.values[row].astype(np.float32))


@pytest.mark.parametrize("name", STRATEGIES)
async def test_workers_give_the_same_to_the_last_bit(name: str, panels: list[Panel], pool: WorkerPool) -> None:
    strategy = make(name, {})
    own, _ = await own_features(pool, panels[0].symbols, [each.data for each in panels])
    assert_same(conclude(panels, own, strategy, 0.3, 20), analyze(panels, strategy, 0.3, 20))


@given(st.sets(st.integers(1, SYMBOLS - 1)))
@settings(max_examples=40)
def test_batches_of_symbols_give_the_same_to_the_last_bit(panels: list[Panel], cuts: set[int]) -> None:
    ends = [0, *sorted(cuts), SYMBOLS]
    batches = [list(range(a, b)) for a, b in pairwise(ends)]
    parts = [own_of([panel.take(batch).data for panel in panels]) for batch in batches]
    own = [np.concatenate([part[i] for part in parts]) for i in range(3)]
    assert_same(conclude(panels, own, TREND, 0.2, 20), analyze(panels, TREND, 0.2, 20))


async def test_own_features_are_each_panels_latest(panels: list[Panel], pool: WorkerPool) -> None:
    own, _ = await own_features(pool, panels[0].symbols, [each.data for each in panels])
    for each, panel in zip(own, panels, strict=True):
        np.testing.assert_array_equal(each, latest(panel))


async def test_a_universe_of_one_or_of_none_is_no_special_case(panels: list[Panel], pool: WorkerPool) -> None:
    for rows in ([4], []):
        few = [panel.take(rows) for panel in panels]
        own, _ = await own_features(pool, few[0].symbols, [each.data for each in few])
        assert [each.shape for each in own] == [(len(rows), len(FEATURES))] * 3
        look = conclude(few, own, TREND, 0.0, 20)
        assert look.scores.shape == (len(rows),)
        assert {signal.symbol for signal in look.signals} <= set(few[0].symbols)


async def test_small_work_stays_in_this_process(panels: list[Panel]) -> None:
    def engine() -> None:
        raise AssertionError("no worker is needed")

    with WorkerPool(2, "never", engine=engine) as pool:  # type: ignore[arg-type]
        assert len((await own_features(pool, panels[0].symbols, [each.data for each in panels]))[0]) == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"interval": 2, "known": 40}, "1h: 40 of 96 bars"),
        ({"interval": 1, "known": 0}, "15m: 0 of 96 bars"),
        ({"interval": 0, "filled": [-1]}, "5m: no kline for 2025-06-15 11:55:00 yet"),
        ({"interval": 0, "filled": [-2, -3, -4]}, "5m: 3 of the last 96 klines are missing, 2 may be"),
        ({"interval": 1, "zero": True}, "its klines give no number for ret_1_15m"),
    ],
)
def test_a_symbol_that_is_not_warm_is_skipped_with_its_reason_and_no_other_is(
    panels: list[Panel], changes: dict[str, object], reason: str
) -> None:
    interval = int(str(changes["interval"]))
    rest = {key: value for key, value in changes.items() if key != "interval"}
    whole, look = analyze(panels, TREND, 0.0, 2), analyze(spoiled(panels, interval, 7, **rest), TREND, 0.0, 2)
    assert look.skipped == {panels[0].symbols[7]: reason}
    assert np.isnan(look.scores[7])
    assert panels[0].symbols[7] not in [signal.symbol for signal in look.signals]
    np.testing.assert_array_equal(np.delete(look.scores, 7), np.delete(whole.scores, 7))


def test_names_follow_the_panels_intervals(panels: list[Panel]) -> None:
    assert analyze(panels, TREND, 0.3, 20).features["vol_ratio_1h"].shape == (SYMBOLS,)
    assert tuple(panel.interval for panel in panels) == INTERVALS
