"""What replies change in memory, and what is handed out then."""

from __future__ import annotations

import numpy as np
import pytest
from supply import BARS, STEP, T0, Desk, same

from tradebot.market.bars import Klines
from tradebot.market.due import Group, groups, reaches
from tradebot.market.findings import Findings, extended, foreign
from tradebot.market.memory import Memory


def bars(*numbers: int, value: float = 1.0) -> Klines:
    data = np.full((10, len(numbers)), value)
    data[0] = [T0 + STEP * number for number in numbers]
    return Klines(data)


def test_a_reply_that_begins_with_the_newest_bar_lengthens_a_series() -> None:
    longer = extended(bars(1, 2), bars(2, 3, 4))
    assert longer is not None
    assert longer.open_time.tolist() == bars(1, 2, 3, 4).open_time.tolist()


@pytest.mark.parametrize(
    "reply", [bars(), bars(3), bars(2, 3, value=2.0), bars(1, 2)], ids=["none", "gap", "other", "old"]
)
def test_a_reply_without_the_same_overlap_does_not(reply: Klines) -> None:
    assert extended(bars(1, 2), reply) is None


@pytest.mark.parametrize(
    ("shared", "revised", "verdict"), [(0, 0, False), (1, 1, False), (10, 5, False), (10, 6, True), (2, 2, True)]
)
def test_a_folder_is_foreign_when_most_shared_bars_differ(shared: int, revised: int, verdict: bool) -> None:
    assert foreign(shared, revised) is verdict


class Stage:
    """A symbol of which 5m and 15m are stored, and what a refresh ten minutes later finds out."""

    def __init__(self, desk: Desk) -> None:
        desk.pass_bars(2)
        self.desk = desk
        self.memory: Memory = desk.store._memory
        self.memory.refreshed()
        (self.group,) = groups("A", ["5m", "15m"], BARS, desk.clock.now())
        self.findings = Findings(self.memory, desk.clock.now(), None)
        self.findings.following[self.group.leader.series] = Group(self.group.leader, self.group.coarser)

    def truth(self) -> Klines:
        return self.desk.window()


@pytest.fixture
async def stage(desk: Desk) -> Stage:
    await desk.refresh("A", ("5m", "15m"))
    return Stage(desk)


def test_a_reply_without_bars_changes_nothing(stage: Stage) -> None:
    before = stage.memory.held(stage.group.leader)
    stage.findings.replace(stage.group.leader, Klines.empty())
    assert stage.memory.held(stage.group.leader) is before
    assert stage.memory.unsaved == {}


def test_new_bars_are_counted_and_kept_for_saving(stage: Stage) -> None:
    leader = stage.group.leader
    stage.findings.replace(leader, stage.truth())
    ready = stage.findings.done(leader)
    assert (ready.new, ready.error, same(ready.klines, stage.truth())) == (2, None, True)
    assert set(stage.memory.unsaved) == {leader.series}


def test_with_a_revised_bar_what_was_made_of_it_is_withdrawn_at_the_same_moment(stage: Stage) -> None:
    leader, (coarse,) = stage.group
    held = stage.memory.held(coarse)
    assert held is not None
    reply = Klines(stage.truth().data.copy())
    within = int(np.searchsorted(reply.data[0], held.coverage.newest + STEP))
    reply.data[5, within] += 0.5
    stage.findings.replace(leader, reply)
    assert stage.memory.index[coarse.series].newest == held.coverage.newest - 3 * STEP
    assert set(stage.memory.unsaved) == {leader.series, coarse.series}
    assert stage.findings.derived(coarse, leader)
    ready = stage.findings.done(coarse)
    assert (ready.revised.tolist(), ready.new, ready.requests) == ([held.coverage.newest], 0, 0)


def test_of_another_venue_s_coarse_bars_no_more_than_the_last_is_left_in_doubt(stage: Stage) -> None:
    leader, (coarse,) = stage.group
    stage.findings.replace(leader, Klines(np.concatenate([stage.truth().data[:1], stage.truth().data[1:] * 2])))
    coverage = stage.memory.index[coarse.series]
    assert coverage.first == coverage.since == coverage.newest
    assert stage.memory.unsaved[coarse.series].replaces
    assert not reaches(coverage, coarse), "all of its window will be asked for"


def test_a_silent_series_is_handed_out_with_its_error(stage: Stage) -> None:
    ready = stage.findings.done(stage.group.leader)
    assert "has not come yet" in str(ready.error)
    assert len(ready.klines) == BARS - 2
