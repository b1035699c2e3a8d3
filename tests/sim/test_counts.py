from __future__ import annotations

import pytest
from exchanging import NOW
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY, SECOND
from tradebot.sim.books import Books
from tradebot.sim.counts import WINDOWS, OrderCounts
from tradebot.sim.refusals import Refused

NOON = NOW - NOW % DAY + DAY // 2


def used(counts: OrderCounts, now: int) -> list[int]:
    return list(counts.used(now).values())


def test_orders_count_in_fixed_windows_of_the_venues_time() -> None:
    counts = OrderCounts(Books(None))
    counts.add(1, NOON + 9 * SECOND)
    counts.add(2, NOON + 9 * SECOND)
    assert used(counts, NOON + 9 * SECOND) == [3, 3]
    assert used(counts, NOON + 10 * SECOND) == [0, 3]
    counts.add(1, NOON + 10 * SECOND)
    assert used(counts, NOON + 19 * SECOND) == [1, 4]
    assert used(counts, NOON + DAY) == [0, 0]


def test_what_is_filled_is_given_back_but_never_more_than_was_counted() -> None:
    counts = OrderCounts(Books(None))
    counts.add(3, NOON)
    counts.give_back(1, NOON)
    assert used(counts, NOON) == [2, 2]
    counts.give_back(5, NOON + 10 * SECOND)
    assert used(counts, NOON + 10 * SECOND) == [0, 0]
    counts.add(1, NOON + 10 * SECOND)
    assert used(counts, NOON + 10 * SECOND) == [1, 1]


def test_one_more_than_the_limit_is_refused_without_saying_when_to_come_back() -> None:
    counts = OrderCounts(Books(None))
    counts.add(WINDOWS[0].limit - 1, NOON + 1)
    with pytest.raises(Refused) as caught:
        counts.add(2, NOON + 2500)
    assert (caught.value.code, caught.value.status, caught.value.headers) == (-1015, 429, {})
    assert caught.value.text == "Too many new orders; current limit is 100 orders per 10 SECOND."
    counts.add(1, NOON + 2500)


@given(st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 5), st.booleans()), max_size=30))
def test_a_count_is_that_of_its_own_window(steps: list[tuple[int, int, bool]]) -> None:
    counts, now, expected = OrderCounts(Books(None)), NOON, dict.fromkeys(WINDOWS, (0, 0))
    for wait, orders, back in steps:
        now += wait
        for each, (window, count) in expected.items():
            fresh = count if window == now // each.length else 0
            expected[each] = now // each.length, max(fresh - orders, 0) if back else fresh + orders
        (counts.give_back if back else counts.add)(orders, now)
        assert dict(counts.used(now)) == {each: count for each, (_, count) in expected.items()}
