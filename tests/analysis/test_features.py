"""The 31 features: warm, causal, scale-free, the same live and over years."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from markets import INTERVALS, NOON, random_klines, random_panel, random_panels, real_panel

from tradebot.analysis import features
from tradebot.analysis import indicators as ta
from tradebot.analysis.features import FEATURES, FORMULAS, MARKET, MARKET_TEXT, WARMUP, Feature, Features, Formula
from tradebot.analysis.indicators import Last
from tradebot.clock import MINUTE
from tradebot.errors import UnknownName
from tradebot.market.bars import Floats, Panel, panel

DOCS = Path(__file__).parents[2] / "docs" / "features.md"


def cut(whole: Panel, end: int, bars: int) -> Panel:
    """The `bars` bars of `whole` before position `end`."""
    part = slice(max(end - bars, 0), end)
    last = int(whole.times[end - 1])
    return Panel(whole.interval, last, whole.symbols, whole.data[:, :, part], whole.filled[:, part])


def test_there_are_ten_features_of_each_interval_and_one_of_the_market() -> None:
    names = features.names(INTERVALS)
    assert len(FEATURES) == 10
    assert len(set(names)) == 31
    assert names[0] == "ret_1_5m"
    assert names[13] == "rsi_7_15m"
    assert names[-1] == MARKET


def test_columns_stand_where_their_names_say() -> None:
    panels = random_panels(3, 120)
    values = features.assemble([features.latest(each) for each in panels])
    table = Features(features.names(INTERVALS), panels[0].symbols, values)
    for panel_, interval in zip(panels, INTERVALS, strict=True):
        for column, name in enumerate(FEATURES):
            np.testing.assert_array_equal(table[f"{name}_{interval}"], features.latest(panel_)[:, column])
    np.testing.assert_array_equal(table.across("rsi_7")[:, 2], table["rsi_7_1h"])


def test_an_unknown_column_is_answered_with_the_nearest_one() -> None:
    table = Features(features.names(INTERVALS), ("A",), np.zeros((1, 31)))
    with pytest.raises(UnknownName, match=r"'rsi_7_5n'; did you mean 'rsi_7_5m'"):
        table["rsi_7_5n"]
    with pytest.raises(UnknownName, match="did you mean 'rsi_7'"):
        table.across("rsi_8")


def test_the_schema_hash_depends_on_the_intervals_and_on_nothing_that_changes_by_itself() -> None:
    assert features.schema_hash(INTERVALS) == features.schema_hash(list(INTERVALS))
    assert features.schema_hash(INTERVALS) != features.schema_hash(("5m", "15m", "4h"))


# A model knows its columns by these: whoever changes a formula raises FORMULAS and adds its line here.
DIGESTS = {1: "625486515afd9fe7"}


def test_a_changed_formula_has_a_new_version() -> None:
    values = features.latest(random_panel(20, 100, seed=42))
    digest = hashlib.sha256(np.round(values, 6).astype("<f4").tobytes()).hexdigest()[:16]
    assert digest == DIGESTS[FORMULAS], "the formulas differ from their version"


@pytest.mark.parametrize("bars", [100, 200])
def test_a_live_window_gives_the_values_that_years_give(bars: int) -> None:
    whole = random_panel(4, 700)
    history = features.every(whole)
    for end in (bars, 333, 512, 700):
        np.testing.assert_allclose(features.latest(cut(whole, end, bars)), history[end - 1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("file", ["ETHBTC-5m", "XRPETH-1m"])
def test_a_live_window_gives_the_values_that_real_history_gives(file: str, real_klines: Path) -> None:
    whole = real_panel(real_klines / f"{file}.csv")
    history = features.every(whole)
    assert not np.isnan(history[WARMUP - 1 :]).any()
    for end in range(200, whole.data.shape[2], 97):
        for bars in (100, 200):
            np.testing.assert_allclose(features.latest(cut(whole, end, bars)), history[end - 1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("feature", FEATURES.values(), ids=FEATURES)
def test_a_feature_is_known_exactly_from_its_warm_up_on(feature: Feature) -> None:
    history = features.every(random_panel(3, 130))[:, :, list(FEATURES).index(feature.name)]
    assert np.isnan(history[: feature.warmup - 1]).all()
    assert not np.isnan(history[feature.warmup - 1 :]).any()
    assert feature.warmup <= WARMUP <= 100


def test_no_value_changes_when_later_bars_arrive() -> None:
    whole = random_panel(3, 400)
    history = features.every(whole)
    for end in (1, 96, 97, 250, 399):
        np.testing.assert_allclose(features.every(cut(whole, end, end)), history[:end], rtol=0, atol=1e-12)


def test_a_long_history_is_computed_in_blocks_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = random_panel(2, 500)
    at_once = features.every(whole)
    monkeypatch.setattr(features, "_BLOCK", 1)
    np.testing.assert_allclose(features.every(whole), at_once, rtol=0, atol=1e-12)


@pytest.mark.parametrize("factor", [1000.0, 1e-3, 1e9, 1e-9])
def test_the_unit_of_the_price_changes_nothing(factor: float) -> None:
    whole = random_panel(5, 300)
    scaled = whole.data.copy()
    scaled[:4] *= factor
    other = Panel(whole.interval, whole.end, whole.symbols, scaled, whole.filled)
    np.testing.assert_allclose(features.every(other), features.every(whole), rtol=0, atol=1e-6)


@pytest.mark.parametrize("file", ["ADABTC-5m", "LTCBTC-5m", "XRPETH-1m"])
def test_the_unit_of_a_real_price_changes_nothing(file: str, real_klines: Path) -> None:
    whole = real_panel(real_klines / f"{file}.csv")
    scaled = whole.data.copy()
    scaled[:4] *= 1000
    other = Panel(whole.interval, whole.end, whole.symbols, scaled, whole.filled)
    np.testing.assert_allclose(features.every(other), features.every(whole), rtol=0, atol=1e-6)


def test_the_unit_of_the_volume_changes_nothing() -> None:
    whole = random_panel(5, 150)
    scaled = whole.data.copy()
    scaled[4] *= 1e-6
    other = Panel(whole.interval, whole.end, whole.symbols, scaled, whole.filled)
    np.testing.assert_allclose(features.latest(other), features.latest(whole), rtol=0, atol=1e-9)


@pytest.mark.parametrize("price", [1e-9, 0.1, 1e9])
def test_a_flat_line_has_no_move_no_trend_and_no_surprise(price: float) -> None:
    data = np.full((5, 1, 120), price)
    data[4] = 0.0
    flat = Panel("5m", NOON, ("FLAT",), data, np.zeros((1, 120), bool))
    np.testing.assert_array_equal(features.latest(flat), np.zeros((1, 10)))
    np.testing.assert_allclose(features.every(flat)[-1], np.zeros((1, 10)), atol=1e-12)


NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1e-9, 1e9, 1e-300, 1e300, 5e-324, -1.0, float("nan")]), st.floats(1e-9, 1e9)
)


@given(
    hnp.arrays(np.float64, st.tuples(st.just(5), st.integers(0, 3), st.sampled_from([1, 2, 96, 97])), elements=NUMBERS)
)
def test_whatever_comes_in_a_feature_is_a_number_in_its_range_or_nan(data: Floats) -> None:
    odd = Panel("5m", NOON, tuple("ABC"[: data.shape[1]]), data, np.zeros(data.shape[1:], bool))
    values = features.latest(odd)
    assert values.shape == (data.shape[1], 10)
    for column, feature in enumerate(FEATURES.values()):
        known = values[~np.isnan(values[:, column]), column]
        assert ((known >= feature.low) & (known <= feature.high)).all(), feature.name
    assert features.every(odd).shape == (data.shape[2], data.shape[1], 10)


@given(st.data())
def test_prices_from_the_smallest_to_the_largest_give_numbers(data: st.DataObject) -> None:
    price = 10.0 ** data.draw(st.integers(-9, 9))
    factors = data.draw(hnp.arrays(np.float64, (1, 100), elements=st.sampled_from([1.0, 1.0001, 0.9, 2.0])))
    close = price * factors
    bars = np.stack([close, close * 1.01, close * 0.99, close, factors - 1])
    bars[4] = bars[4].clip(0)
    odd = Panel("5m", NOON, ("ODD",), bars, np.zeros((1, 100), bool))
    assert np.isfinite(features.latest(odd)).all()


def test_a_symbols_values_do_not_depend_on_which_others_are_computed_with_it() -> None:
    whole = random_panel(23, 130)
    together = features.latest(whole)
    for rows in ([0], [22], [3, 4, 5], list(range(7, 20)), [9, 2, 17]):
        np.testing.assert_array_equal(features.latest(whole.take(rows)), together[rows])


def test_the_market_column_is_the_mean_trend_of_the_symbols_that_are_warm() -> None:
    own = np.zeros((3, 10))
    own[:, list(FEATURES).index("ret_24")] = [2.0, np.nan, -1.0]
    market = features.assemble([own, own, own])[:, -1]
    np.testing.assert_allclose(market, (np.tanh(2.0) - np.tanh(1.0)) / 2)


def test_without_a_warm_symbol_there_is_no_market() -> None:
    cold = np.full((4, 2, 10), np.nan)
    assert np.isnan(features.assemble([cold, cold, cold])).all()


def test_history_takes_of_the_coarser_intervals_what_was_closed_at_the_time() -> None:
    panels = random_panels(2, 400)
    table = Features(features.names(INTERVALS), panels[0].symbols, features.align(panels))
    closes = panels[0].times + 300_000
    for name, each in zip(INTERVALS[1:], panels[1:], strict=True):
        own = features.every(each)[..., list(FEATURES).index("ret_1")]
        step = int(each.times[1] - each.times[0])
        for bar in (0, 150, 151, 152, 388, 397, 398, 399):
            newest = int(np.flatnonzero(each.times + step <= closes[bar])[-1])
            np.testing.assert_array_equal(table[f"ret_1_{name}"][bar], own[newest])


def test_history_at_a_bar_is_what_was_seen_live_at_its_close() -> None:
    until = NOON
    history = features.align(random_panels(3, 300, until=until))
    panels = random_panels(3, 300, until=until)
    live = features.assemble([features.latest(each) for each in panels])
    np.testing.assert_allclose(history[-1], live, rtol=0, atol=1e-9)


def test_a_coarser_panel_that_ends_early_leaves_nothing_to_go_by() -> None:
    fine, middle, coarse = random_panels(2, 200)
    table = features.align([fine, middle, cut(coarse, 199, 198)])
    assert np.isnan(table[-1, :, 20:30]).all()
    assert not np.isnan(table[-13, :, 20:30]).any()


def test_panels_of_different_symbols_are_refused() -> None:
    fine, middle, coarse = random_panels(2, 100)
    with pytest.raises(ValueError, match="1h panel holds other symbols"):
        features.align([fine, middle, coarse.take([1, 0])])


def with_holes(*holes: int, bars: int = 120) -> Panel:
    klines = random_klines(bars)
    there = np.setdiff1d(np.arange(bars), np.array(holes) % bars)
    return panel("5m", int(klines.data[0, -1]), bars, [("HOLED", type(klines)(klines.data[:, there]))])


def test_a_full_window_of_real_bars_is_warm() -> None:
    assert features.not_warm([with_holes()], 0, 0) is None


def test_too_few_bars_are_a_reason() -> None:
    klines = random_klines(40)
    young = panel(
        "1h", int(klines.data[0, -1]) // 3_600_000 * 3_600_000, 200, [("NEW", random_klines(40, interval="1h"))]
    )
    assert features.not_warm([young], 0, 20) == "1h: 40 of 96 bars"
    assert features.not_warm([random_panel(1, 50)], 0, 20) == "5m: 50 of 96 bars"


def test_a_newest_bar_that_is_not_there_yet_is_a_reason() -> None:
    assert features.not_warm([with_holes(-1)], 0, 20) == "5m: no kline for 2025-06-15 11:55:00 yet"


def test_more_missing_bars_than_allowed_are_a_reason() -> None:
    holed = with_holes(-5, -6, -7)
    assert features.not_warm([holed], 0, 3) is None
    assert features.not_warm([holed], 0, 2) == "5m: 3 of the last 96 klines are missing, 2 may be"


def test_bars_that_no_feature_looks_at_may_be_missing() -> None:
    assert features.not_warm([with_holes(3, 4, 5)], 0, 0) is None


@given(st.sets(st.integers(1, 119), max_size=12), st.integers(0, 6))
def test_history_says_usable_exactly_where_live_gives_no_reason(holes: set[int], max_filled: int) -> None:
    whole = with_holes(*holes)
    history = features.usable([whole], max_filled)
    for end in (1, 95, 96, 97, 110, 119, 120):
        window = cut(whole, end, 110)
        assert history[end - 1, 0] == (features.not_warm([window], 0, max_filled) is None)
        assert history[end - 1, 0] == (features.unusable([window], max_filled) == {})


def test_the_documented_table_is_the_registry() -> None:
    rows = {
        cells[0].strip("`"): cells[1:]
        for line in DOCS.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `") and len(cells := [cell.strip() for cell in line.strip("|").split(" | ")]) == 5
    }
    expected = {
        entry.name: [entry.text, entry.source, str(entry.warmup), f"{entry.low:.4g} … {entry.high:.4g}"]
        for entry in FEATURES.values()
    }
    expected[MARKET] = [MARKET_TEXT, "market breadth", "49", "-1 … 1"]
    assert rows == expected


@pytest.mark.parametrize("interval", [0, 1, 2])
@pytest.mark.parametrize(
    "formula",
    [
        lambda ops, b: ta.cci(ops, b.high, b.low, b.close, 20),
        lambda ops, b: ta.natr(ops, b.high, b.low, b.close, 14),  # recursive
        lambda ops, b: ta.volatility(ops, b.moves, 48),
    ],
    ids=["cci", "natr", "volatility"],
)
def test_an_indicator_is_the_same_live_as_in_a_history(formula: Formula, interval: int) -> None:
    panels = random_panels(3, 210)
    rows = features.align(panels)
    history = Features(features.names(INTERVALS), panels[0].symbols, rows, panels).indicator(formula, interval)
    live = Features(features.names(INTERVALS), panels[0].symbols, rows[-1], panels).indicator(formula, interval)
    assert history.shape == (210, 3)
    np.testing.assert_allclose(history[-1], live, rtol=1e-12)
    window = panels[interval].data[:, :, -WARMUP:]
    np.testing.assert_array_equal(live, formula(Last(), features.Bars(window)))


def test_an_indicator_of_a_history_that_is_computed_in_parts_is_that_of_the_whole() -> None:
    panels = random_panels(200, 400)
    unneeded = np.empty((400, 200, 31))
    history = Features(features.names(INTERVALS), panels[0].symbols, unneeded, panels)
    found = history.indicator(lambda ops, b: ta.sma(ops, b.close, 20))
    windows = np.lib.stride_tricks.sliding_window_view(panels[0].close, 20, axis=1)
    np.testing.assert_allclose(found[19:], windows.mean(axis=-1).T, rtol=1e-12)
    assert np.isnan(found[:19]).all()


def test_a_window_is_the_bars_up_to_the_row_live_as_in_a_history() -> None:
    panels = random_panels(3, 120)
    rows = features.align(panels)
    history = Features(features.names(INTERVALS), panels[0].symbols, rows, panels)
    live = Features(features.names(INTERVALS), panels[0].symbols, rows[-1], panels)
    for interval, bars in ((0, 20), (1, 5), (2, 30)):
        whole = history.window("close", bars, interval)
        assert whole.shape == (120, 3, bars)
        np.testing.assert_array_equal(whole[-1], live.window("close", bars, interval))
        np.testing.assert_array_equal(whole[-1], panels[interval].close[:, -bars:])
    np.testing.assert_array_equal(history.window("high", 3)[50], panels[0].high[:, 48:51])


def test_a_window_of_a_coarser_interval_holds_what_was_closed_then() -> None:
    panels = random_panels(2, 120)
    history = Features(features.names(INTERVALS), panels[0].symbols, features.align(panels), panels)
    closes = history.window("close", 2, 2)
    moment = panels[0].times[77] + 5 * MINUTE
    bar = int(np.searchsorted(panels[2].times + 60 * MINUTE, moment, side="right")) - 1
    np.testing.assert_array_equal(closes[77], panels[2].close[:, bar - 1 : bar + 1])


def test_a_window_that_begins_before_the_panel_begins_with_nan() -> None:
    panels = random_panels(2, 100)
    history = Features(features.names(INTERVALS), panels[0].symbols, features.align(panels), panels)
    window = history.window("close", 10)
    assert np.isnan(window[3, :, :6]).all()
    np.testing.assert_array_equal(window[3, :, 6:], panels[0].close[:, :4])
