from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tradebot.sim.asks import Asks, Need
from tradebot.sim.path import MINUTES


class Works:
    """Makes two needs at a step and remembers in which batches they came."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, int]]] = []

    def __call__(self, needs: Sequence[Need]) -> Iterator[None]:
        self.batches.append([(need.place, need.day) for need in needs])
        for at in range(0, len(needs), 2):
            for need in needs[at : at + 2]:
                need.made = dict.fromkeys(need.bars, np.zeros(1, np.int64))
            yield


def needs(place: int, days: range, bars: int = 24) -> list[Need]:
    return [Need(place, day, 0, MINUTES, {bars}) for day in days]


def test_who_needs_nothing_waits_for_nothing() -> None:
    assert list(Asks(4, 2, Works()).steps([])) == []


def test_what_is_asked_for_in_one_turn_is_made_in_one_batch() -> None:
    works = Works()
    asks = Asks(8, 4, works)
    waiting = [asks.steps(needs(place, range(1))) for place in range(3)]
    for each in waiting:
        next(each)
    for each in waiting:
        list(each)
    assert works.batches == [[(0, 0), (1, 0), (2, 0)]]


def test_the_same_day_for_two_is_made_once_as_both_want_it() -> None:
    works = Works()
    asks = Asks(8, 4, works)
    one, other = Need(0, 7, 60, 240, {MINUTES}), Need(0, 7, 180, 300, {24})
    waiting = [asks.steps([one]), asks.steps([other])]
    for each in waiting:
        next(each)
    for each in waiting:
        list(each)
    assert works.batches == [[(0, 7)]]
    assert one.made.keys() == {MINUTES, 24}
    assert (one.first, one.last) == (60, 300)
    assert one.hours == (1, 5)


def test_who_needs_little_does_not_wait_for_who_needs_much() -> None:
    works = Works()
    asks = Asks(4, 2, works)
    much, little = asks.steps(needs(0, range(20))), asks.steps(needs(1, range(1)))
    next(much)
    next(much)
    next(little)
    turns = sum(1 for _ in zip(little, much, strict=False))
    assert turns <= 3
    assert works.batches[1] == [(0, 4), (0, 5), (1, 0), (0, 6)], "no more than fit"
    list(much)
    assert sorted(each for batch in works.batches for each in batch if each[0] == 0) == [(0, day) for day in range(20)]


def test_of_many_who_need_much_one_does_a_step_at_a_time() -> None:
    works = Works()
    asks = Asks(4, 2, works)
    going = [asks.steps(needs(place, range(6))) for place in range(3)]
    for each in going:
        next(each)
    begun = []
    while going:
        going = [each for each in going if next(each, "done") is None]
        begun.append(len(works.batches))
    assert begun[:4] == [1, 1, 2, 2], "a batch of four is two steps"
    assert sum(map(len, works.batches)) == 18


def test_the_next_one_goes_on_when_the_first_of_them_goes_away() -> None:
    works = Works()
    asks = Asks(4, 2, works)
    gone, stays = asks.steps(needs(0, range(6))), asks.steps(needs(1, range(6)))
    for each in (gone, stays, gone, stays):
        next(each)
    gone.close()
    list(stays)
    assert {(1, day) for day in range(6)} <= {each for batch in works.batches for each in batch}


def test_who_goes_away_leaves_the_others_what_they_need() -> None:
    works = Works()
    asks = Asks(4, 2, works)
    gone, stays = asks.steps(needs(0, range(3))), asks.steps(needs(0, range(2, 5)))
    next(gone)
    next(stays)
    gone.close()
    list(stays)
    made = [each for batch in works.batches for each in batch]
    assert {(0, 2), (0, 3), (0, 4)} <= set(made)
    assert len(made) == len(set(made))


def test_work_that_ends_before_all_is_made_leaves_nobody_waiting() -> None:
    asks = Asks(4, 2, lambda _: iter(()))
    assert len(list(asks.steps(needs(0, range(3))))) == 1
