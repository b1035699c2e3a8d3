"""What a process keeps in memory of the store, and what it has not saved yet."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from supply import BARS, STEP, T0, Desk, same

from tradebot.market.bars import Klines
from tradebot.market.chunks import Change, Coverage, chunk_open
from tradebot.market.due import groups
from tradebot.market.memory import joined
from tradebot.market.ttl import Bounds

BOUNDS = Bounds(60.0, 300.0)
SERIES = ("A", "5m")


def change(first: int, count: int, value: float, *, replaces: bool = False) -> Change:
    data = np.full((10, count), value)
    data[0] = T0 + STEP * np.arange(first, first + count)
    newest = int(data[0, -1])
    return Change(SERIES, Klines(data), Coverage(T0, T0, newest), Coverage(T0, T0, first), replaces)


@given(st.integers(0, 10), st.integers(1, 10), st.integers(0, 10), st.integers(1, 10))
def test_two_changes_are_as_one_after_the_other(first: int, count: int, then: int, more: int) -> None:
    one, other = change(first, count, 1.0), change(then, more, 2.0)
    both = joined(one, other)
    times = both.klines.open_time.tolist()
    assert times == sorted(
        {*(t for t in one.klines.open_time.tolist() if t < T0 + then * STEP), *other.klines.open_time}
    )
    assert (both.klines["close"] == np.where(both.klines.open_time >= T0 + then * STEP, 2.0, 1.0)).all()
    assert (both.base, both.coverage) == (one.base, other.coverage)


def test_a_change_that_replaces_leaves_nothing_of_the_one_before() -> None:
    both = joined(change(0, 5, 1.0), change(3, 2, 2.0, replaces=True))
    assert both.replaces
    assert both.klines.open_time.tolist() == [T0 + 3 * STEP, T0 + 4 * STEP]
    assert joined(change(3, 2, 1.0, replaces=True), change(3, 4, 2.0)).replaces


async def test_only_what_is_asked_for_stays(desk: Desk) -> None:
    await desk.refresh("ABC", bounds=BOUNDS)
    await desk.refresh("B", bounds=BOUNDS)
    assert list(desk.store._memory._held) == list(desk.store._memory.opens) == [("B", "5m")]


async def test_what_is_not_saved_yet_is_laid_on_what_is(desk: Desk) -> None:
    await desk.refresh(bars=600)
    memory = desk.store._memory
    (group,) = groups("A", ["5m"], BARS, desk.clock.now() + STEP)
    held = memory.held(group.leader)
    assert held is not None
    longer = Klines(np.concatenate([held.klines.data, held.klines.last(1).data + STEP], axis=1))
    newest = int(longer.data[0, -1])
    memory.put(group.leader, longer, held.coverage._replace(newest=newest), chunk_open("5m", newest))
    memory._held.clear()
    memory.refreshed()
    again = memory.held(group.leader)
    assert again is not None
    assert same(again.klines, longer.between(again.start, newest))
    memory.save(0.0)
    assert memory.unsaved == {}
    assert same(desk.store.read("A", "5m").last(BARS), longer.last(BARS))


async def test_a_price_of_a_series_that_nobody_has_seen_lives_shortly(desk: Desk) -> None:
    await desk.refresh("A", bars=100)
    assert desk.store.ttl_s("Z", "5m", BOUNDS) == 60.0
    flat = Klines(np.ones((10, 201)))
    desk.store._memory._held["A", "5m"] = desk.store._memory._held["A", "5m"]._replace(klines=flat)
    assert desk.store.ttl_s("A", "5m", BOUNDS) == 300.0
