"""What is stored against what the venue says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import MINUTE
from tradebot.market.bars import Klines
from tradebot.market.chunks import Stretch
from tradebot.market.history import PAGE
from tradebot.market.store import KlineStore
from tradebot.market.verify import Check, covered, sample

T0 = 1_516_406_400_000
SERIES = ("A", "1m")
SPAN = (T0, T0 + 9 * MINUTE)


def bars(*places: int, close: float = 1.0) -> Klines:
    data = np.ones((10, len(places)))
    data[0] = [T0 + place * MINUTE for place in places]
    data[4] = close
    return Klines(data)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[KlineStore]:
    with KlineStore(tmp_path, "test") as store:
        store.add([Stretch(SERIES, bars(0, 1, 2, 3, 5), *SPAN)])
        yield store


def compared(store: KlineStore, theirs: Klines, *, mend: bool = False) -> tuple[int, ...]:
    check = Check(store, {SERIES: [SPAN]}, mend=mend)
    assert check.missing(*SERIES, 0, 0) == [SPAN]
    check.add([Stretch(SERIES, theirs, *SPAN)])
    found = check.found[SERIES]
    return found.missing, found.extra, found.revised, found.remaining


def test_what_is_the_same_is_no_difference(store: KlineStore) -> None:
    assert compared(store, bars(0, 1, 2, 3, 5)) == (0, 0, 0, 0)


def test_each_kind_of_difference_is_counted(store: KlineStore) -> None:
    theirs = Klines(np.concatenate([bars(0, 1).data, bars(2, close=7).data, bars(4, 5).data], axis=1))
    check = Check(store, {SERIES: [SPAN]})
    check.add([Stretch(SERIES, theirs, *SPAN)])
    found = check.found[SERIES]
    assert (found.checked, found.missing, found.extra, found.revised, found.remaining) == (5, 1, 1, 1, 3)
    assert (found.first, found.last) == (T0 + 2 * MINUTE, T0 + 4 * MINUTE)
    assert store.read(*SERIES).open_time.tolist() == bars(0, 1, 2, 3, 5).open_time.tolist(), "a check changes nothing"


def test_what_can_be_mended_is_mended(store: KlineStore) -> None:
    theirs = bars(0, 1, 2, 3, 4, 5, close=7)
    assert compared(store, theirs, mend=True) == (1, 0, 5, 0)
    assert compared(store, theirs) == (0, 0, 0, 0)


def test_a_bar_that_the_venue_does_not_have_stays_and_remains_a_difference(store: KlineStore) -> None:
    assert compared(store, bars(0, 1, 2, 3), mend=True) == (0, 1, 0, 1)
    assert len(store.read(*SERIES)) == 5


def test_nothing_is_made_of_finer_bars_in_a_check(store: KlineStore) -> None:
    assert len(Check(store, {}).read(*SERIES)) == 0


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 5_000)), min_size=1, max_size=5), st.text(max_size=3))
def test_a_sample_is_at_most_three_pages_of_what_is_covered(lengths: list[tuple[int, int]], seed: str) -> None:
    spans, at = [], 0
    for gap, length in lengths:
        spans.append((at + gap + 2, at + gap + 2 + length))
        at += gap + 2 + length
    pages = sample(spans, 1, seed)
    assert 1 <= len(pages) <= 3
    assert pages[0][0] == spans[0][0]
    assert pages[-1][1] == spans[-1][1]
    assert len(set(pages)) == len(pages)
    for first, last in pages:
        assert last - first < PAGE
        assert any(since <= first <= last <= newest for since, newest in spans)


def test_only_the_covered_part_of_a_range_is_compared() -> None:
    assert covered([(0, 10), (20, 30), (40, 50)], 5, 25) == [(5, 10), (20, 25)]
