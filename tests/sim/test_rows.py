from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import HOUR, MINUTE
from tradebot.market.bars import MONTH
from tradebot.sim.exact import Exact, Scale
from tradebot.sim.rows import Closed, Rows, length

BARS = sorted({*range(0, 60, 3), *range(1, 60, 7), 30, 31, 32, 33, 34})  # a series with holes, in minutes


def row(bar: int) -> bytes:
    return b'[%d,"%d"]' % (bar * MINUTE, 10**bar)


def written(bars: Sequence[int]) -> bytes:
    return b",".join(map(row, bars))


def asked(start: int | None, end: int, wanted: int) -> Closed:
    """All bars from the minute `start` to before the minute `end`."""
    return Closed("ETHBTC", "1m", None if start is None else start * MINUTE, end * MINUTE - 1, wanted)


def wanted_of(start: int | None, end: int, number: int) -> list[int]:
    found = [bar for bar in BARS if (start or 0) <= bar < end]
    return found[max(len(found) - number, 0) :] if start is None else found[:number]


def newest(end: int, number: int) -> Rows:
    found = wanted_of(None, end, number)
    return Rows.of(written(found), len(found), asked(None, end, number))


bars, numbers = st.integers(0, 60), st.integers(1, 40)


@given(bars, numbers, st.none() | bars, bars, numbers)
def test_what_is_cut_is_what_would_have_been_written(
    known: int, most: int, start: int | None, end: int, number: int
) -> None:
    rows, right = newest(known, most), wanted_of(start, end, number)
    found, since = rows.cut(asked(start, end, number)), rows.since // MINUTE
    assert found in (None, (written(right), len(right)))
    enough = since == 0 or (len(right) == number and right[0] >= since) if start is None else start >= since
    assert (found is not None) == (end <= known and enough)


@given(bars, numbers, st.lists(st.integers(0, 9), max_size=8), st.none() | bars, numbers)
def test_rows_that_grow_are_those_that_were_written_at_once(
    known: int, most: int, steps: list[int], start: int | None, number: int
) -> None:
    rows, at = newest(known, most), known
    for step in steps:
        lacking = rows.lacking(asked(None, at + step, 1))
        if lacking is None:
            assert step == 0 or step > most, "only what is there already, or more than is kept, does not help"
            continue
        right = wanted_of(at, at + step, lacking.wanted)
        assert len(right) < lacking.wanted, "one row more is asked for than there can be"
        rows, at = rows.then(written(right), len(right), lacking), at + step
        assert len(rows.ends) == rows.count <= most
        found, cut = rows.cut(asked(start, at, number)), wanted_of(start, at, number)
        assert found in (None, (written(cut), len(cut)))
        assert rows.cut(asked(None, at, 1)) == (written(wanted_of(None, at, 1)), len(wanted_of(None, at, 1)))


def test_what_begins_before_the_rows_is_not_known_and_nothing_after_them_helps() -> None:
    rows = newest(40, 3)
    assert rows.since == 34 * MINUTE
    assert rows.cut(asked(33, 40, 1)) is None
    assert rows.cut(asked(None, 40, 4)) is None
    assert rows.lacking(asked(33, 41, 1)) is None
    assert rows.lacking(asked(None, 40, 4)) is None
    assert rows.lacking(asked(34, 41, 1)) == asked(40, 41, 2)


def test_without_rows_before_them_any_start_is_known() -> None:
    rows = newest(4, 9)
    assert rows.since == 0
    assert rows.cut(asked(0, 4, 9)) == rows.cut(asked(None, 4, 20)) == (written([0, 1, 3]), 3)


def test_its_size_is_what_it_takes() -> None:
    rows = newest(4, 9)
    assert rows.size == len(rows.text) + 3 * 4


@pytest.mark.parametrize(("interval", "ms"), [("1m", MINUTE), ("1h", HOUR), (MONTH, 31 * 24 * HOUR)])
def test_a_length_is_never_too_short(interval: str, ms: int) -> None:
    assert length(interval) == ms


def test_what_is_asked_for_knows_when_its_last_bar_closes_and_where_to_look() -> None:
    page = Closed("ETHBTC", "1h", None, 5 * HOUR - 1, 2)
    assert page.moment == 5 * HOUR
    assert page.series == ("ETHBTC", "1h")
    assert page.reach == 2 * HOUR
    assert page.within(0) == (3 * HOUR - 1, 5 * HOUR - 1)
    assert page.within(0, HOUR) == (4 * HOUR - 1, 5 * HOUR - 1)
    assert page._replace(start=90 * MINUTE).within(0) == (90 * MINUTE, 210 * MINUTE)
    for start in (None, 0):
        assert page._replace(start=start).within(3 * HOUR + 5, 9 * HOUR) == (3 * HOUR, 5 * HOUR - 1), (
            "not before listing"
        )


@pytest.mark.parametrize(("start", "kept"), [(None, [3, 4]), (0, [1, 2])])
def test_of_more_bars_than_are_wanted_the_newest_stay_or_from_a_start_the_oldest(
    start: int | None, kept: list[int]
) -> None:
    found = Exact(np.tile(np.arange(1, 5), (10, 1)), Scale(2, 3, 5))
    page = Closed("ETHBTC", "1h", start, 5 * HOUR - 1, 2)
    assert page.of(found).data[0].tolist() == kept
    assert len(page._replace(wanted=9).of(found)) == 4
