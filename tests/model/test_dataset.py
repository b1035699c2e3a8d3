"""A row is what live would have seen, its outcome what came after, and every bar is accounted for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from histories import BARRIER, BEGIN, INTERVALS, STEP, SYMBOLS, Rising, planted, reader, recipe, walk, walks

from tradebot.analysis import features
from tradebot.analysis.analyze import analyze
from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.errors import MarketError
from tradebot.market.bars import Klines, Panel, aggregate, interval_ms, last_closed, panel
from tradebot.market.venue import Side
from tradebot.model import dataset
from tradebot.model.dataset import Dataset, gather
from tradebot.model.labels import outcomes

DAYS = 9
WALKS = walks(DAYS)
# A hole of an hour, a symbol that is listed late, and one with a bar missing here and there.
WALKS["BUSDT"] = Klines(np.delete(WALKS["BUSDT"].data, slice(2_000, 2_012), axis=1))
WALKS["CUSDT"] = Klines(np.delete(WALKS["CUSDT"].data[:, 300:], np.arange(1_700, 1_900, 5), axis=1))
DATA, COUNTS = gather(reader(WALKS), recipe(DAYS))


def seen_live(until: int) -> list[Panel]:
    """The panels that a cycle keeps at `until`."""
    read = reader(WALKS)
    kept = []
    for interval in INTERVALS:
        end, step = last_closed(interval, until), interval_ms(interval)
        kept.append(panel(interval, end, 200, read(SYMBOLS, interval, end - 199 * step, end)))
    return kept


def test_each_bar_gives_the_signals_that_a_cycle_would_have_seen() -> None:
    checked = 0
    for moment in range(BEGIN + 4 * DAY, BEGIN + (DAYS - 1) * DAY, 7 * STEP):
        live = analyze(seen_live(moment + STEP), Rising(), 0.3, 20)
        buys = {signal.symbol: signal.row for signal in live.signals if signal.side is Side.BUY}
        at = moment == DATA.times
        untraded = {symbol for symbol in buys if not len(WALKS[symbol].between(moment + STEP, moment + STEP))}
        assert set(DATA.symbols[at].tolist()) == set(buys) - untraded
        for symbol, row in zip(DATA.symbols[at].tolist(), DATA.rows[at], strict=True):
            np.testing.assert_allclose(row, buys[symbol], atol=1e-6)
            checked += 1
    assert checked > 100


def test_outcomes_are_those_of_the_whole_series() -> None:
    whole = panel("5m", BEGIN + DAYS * DAY - STEP, DAYS * 288, list(WALKS.items()))
    bars = ((DATA.times - BEGIN) // STEP).astype(np.intp)
    rows = np.array([SYMBOLS.index(symbol) for symbol in DATA.symbols])
    returns, ends = outcomes(whole, rows, bars, BARRIER)
    np.testing.assert_allclose(DATA.returns, returns, rtol=1e-12)
    assert (DATA.ends == ends).all()
    assert (DATA.labels == (DATA.returns > 0)).all()
    assert 0.1 < DATA.labels.mean() < 0.9


def test_rows_are_ordered_by_time_and_hold_numbers_only() -> None:
    assert (np.diff(DATA.times) >= 0).all()
    assert DATA.rows.shape == (len(DATA), 31)
    assert DATA.rows.dtype == np.float32
    assert not np.isnan(DATA.rows).any()
    assert not np.isnan(DATA.returns).any()


def test_every_bar_is_counted_once_with_what_became_of_it() -> None:
    bars = panel("5m", BEGIN + DAYS * DAY - STEP, DAYS * 288, list(WALKS.items()))
    assert sum(COUNTS.values()) == (~np.isnan(bars.close)).sum()
    assert COUNTS[dataset.KEPT] == len(DATA) > 500
    assert COUNTS[dataset.COLD] >= 3 * (12 * features.WARMUP - 1)
    for reason in (dataset.HOLES, dataset.SILENT, dataset.SELLS, dataset.UNENDED, dataset.UNTRADED):
        assert COUNTS[reason] > 0, reason


@pytest.mark.parametrize("bars", [97, 1_000])
def test_how_the_period_is_cut_does_not_show(bars: int) -> None:
    cut, counts = gather(reader(WALKS), recipe(DAYS), stretch=3 * bars)
    assert counts == COUNTS
    assert (cut.times == DATA.times).all()
    assert (cut.returns == DATA.returns).all()
    assert (cut.symbols == DATA.symbols).all()
    np.testing.assert_allclose(cut.rows, DATA.rows, atol=1e-6)


def test_what_comes_after_the_period_changes_nothing() -> None:
    end = 6.5
    part, _ = gather(reader(WALKS), recipe(end))
    assert 100 < len(part) < len(DATA)
    assert part.ends.max() <= BEGIN + round(end * DAY)
    same = DATA.times < BEGIN + end * DAY - HOUR - STEP
    np.testing.assert_array_equal(part.rows[: same.sum()], DATA.rows[same])
    assert (part.returns[: same.sum()] == DATA.returns[same]).all()
    spoiled = {symbol: Klines(klines.data * (klines.data[0] < BEGIN + end * DAY)) for symbol, klines in WALKS.items()}
    times = {symbol: np.concatenate([WALKS[symbol].data[:1], spoiled[symbol].data[1:]]) for symbol in SYMBOLS}
    other, _ = gather(reader({symbol: Klines(data) for symbol, data in times.items()}), recipe(end))
    np.testing.assert_array_equal(other.rows, part.rows)


def test_a_later_begin_warms_up_on_what_comes_before_it() -> None:
    part, counts = gather(reader(WALKS), recipe(DAYS, first=6))
    later = DATA.times >= BEGIN + 6 * DAY
    np.testing.assert_allclose(part.rows, DATA.rows[later], atol=1e-6)
    assert counts[dataset.COLD] == 0


def test_no_more_bars_may_be_missing_than_live() -> None:
    strict, counts = gather(reader(WALKS), recipe(DAYS, max_filled=0))
    assert counts[dataset.HOLES] > COUNTS[dataset.HOLES]
    assert len(strict) < len(DATA)


def test_progress_tells_how_far_it_is() -> None:
    told: list[tuple[str, int, int]] = []
    gather(reader(WALKS), recipe(DAYS), lambda *step: told.append(step), stretch=3_000)
    assert told == [("dataset", done, 3) for done in (1, 2, 3)]


def test_a_period_without_klines_is_an_error() -> None:
    with pytest.raises(MarketError, match=r"no klines of AUSDT, BUSDT, CUSDT in the period"):
        gather(lambda symbols, *_: [(symbol, Klines.empty()) for symbol in symbols], recipe(3))


class TestDataset:
    def test_what_ended_before_something_else_began_is_apart_from_it(self) -> None:
        data = planted(count=500)
        middle = int(data.times[250])
        before, after = data.during(0, middle), data.during(middle, 10**15)
        assert before.ends.max() <= after.times.min() == middle
        assert len(before) + len(after) == 500 - HOUR // (10 * MINUTE) + 1

    def test_what_began_before_something_else_is_apart_from_it_too(self) -> None:
        data = planted(count=500)
        middle = int(data.times[250])
        assert (len(data.begun(0, middle)), len(data.begun(middle, 10**15))) == (250, 250)

    def test_shuffled_outcomes_are_the_same_ones_elsewhere(self) -> None:
        data = planted(count=500)
        shuffled = data.shuffled(3)
        assert (np.sort(shuffled.returns) == np.sort(data.returns)).all()
        assert (shuffled.returns != data.returns).mean() > 0.9
        assert (shuffled.rows == data.rows).all()
        assert (shuffled.returns == data.shuffled(3).returns).all()

    def test_stretches_join_to_the_whole(self) -> None:
        data = planted(count=500)
        early = data.times < data.times[100]
        joined = Dataset.join([data.take(early), data.take(~early)])
        assert (joined.rows == data.rows).all()
        assert (joined.ends == data.ends).all()


def test_coarser_bars_that_are_not_closed_are_not_seen() -> None:
    fine = walk(5)
    read = reader(dict.fromkeys(SYMBOLS, fine))
    until = recipe(4.99).until

    def closed_only(*asked: Any) -> Iterable[tuple[str, Klines]]:
        for symbol, klines in read(*asked):
            assert not len(klines) or klines.data[0, -1] + interval_ms(asked[1]) <= until
            yield symbol, klines

    assert len(gather(closed_only, recipe(4.99))[0])
    assert len(aggregate(fine, "1h")) == 120
