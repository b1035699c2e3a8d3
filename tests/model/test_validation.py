"""What is judged is later than all that was learnt from, and a margin over noise is told from noise."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from histories import BEGIN, planted
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR
from tradebot.model.validation import Part, Walk, known, margin, parts

DATA = planted(count=4_000)
SINCE, UNTIL = BEGIN, int(DATA.ends.max())


def walked(walk: Walk) -> list[Part]:
    return list(parts(DATA, walk, SINCE, UNTIL))


class TestWalk:
    @settings(max_examples=25)
    @given(st.integers(2, 8), st.floats(0.05, 0.5) | st.just(0.0), st.integers(0, 8 * HOUR))
    def test_nothing_that_is_judged_was_begun_before_all_learning_had_ended(
        self, folds: int, test: float, embargo: int
    ) -> None:
        for part in walked(Walk(folds, test, embargo)):
            assert part.fit.ends.max() + embargo <= part.watch.times.min()
            assert part.watch.ends.max() + embargo <= part.start <= part.judge.times.min()
            assert part.judge.times.max() < part.end

    def test_each_fold_knows_more_than_the_one_before(self) -> None:
        steps = walked(Walk())
        assert [part.name for part in steps] == ["fold 1", "fold 2", "fold 3", "fold 4", "fold 5", "test"]
        for before, after in pairwise(steps):
            assert before.end == after.start
            assert len(before.fit) < len(after.fit)
        assert steps[-1].end == UNTIL

    def test_the_test_part_is_a_share_of_the_period(self) -> None:
        test = walked(Walk(test=0.3))[-1]
        assert test.start == pytest.approx(UNTIL - 0.3 * (UNTIL - SINCE), abs=1)
        assert len(test.judge) == pytest.approx(0.3 * len(DATA), rel=0.02)

    def test_without_one_the_folds_reach_to_the_end(self) -> None:
        steps = walked(Walk(folds=3, test=0))
        assert [part.name for part in steps] == ["fold 1", "fold 2", "fold 3"]
        assert steps[-1].end == UNTIL

    def test_every_signal_is_judged_once_from_the_first_fold_on(self) -> None:
        steps = walked(Walk(embargo=0))
        judged = np.concatenate([part.judge.times for part in steps])
        assert (judged == DATA.times[DATA.times >= steps[0].start]).all()

    def test_the_watch_is_the_last_part_of_what_is_known(self) -> None:
        fit, watch = known(DATA, UNTIL, 0)
        assert len(watch) == pytest.approx(0.2 * len(DATA), rel=0.02)
        assert len(fit) == pytest.approx(0.8 * len(DATA), rel=0.02)


class TestMargin:
    def test_a_gain_of_every_day_is_above_nothing(self) -> None:
        random = np.random.default_rng(0)
        times = np.sort(random.integers(0, 60 * DAY, 3_000))
        result = margin(random.normal(0.05, 0.2, 3_000), times, DAY, 1)
        assert 0 < result.low < 0.05 < result.high < 0.1
        assert result.blocks == 60

    def test_one_lucky_day_is_not(self) -> None:
        # 900 rows of a gain on one day, 100 of a small loss on all others: the mean is far above 0.
        times = np.concatenate([np.full(900, 10 * DAY), np.arange(100) % 20 * DAY])
        result = margin(np.where(np.arange(1_000) < 900, 0.1, -0.05), times, DAY, 1)
        assert result.mean > 0.05
        assert result.low < 0

    def test_its_interval_is_the_textbooks_for_equal_days(self) -> None:
        days = np.random.default_rng(2).normal(0, 1, 400)
        result = margin(days, np.arange(400) * DAY, DAY, 3)
        assert (result.high - result.low) / 2 == pytest.approx(1.96 / math.sqrt(400), rel=0.1)
        assert result.mean == pytest.approx(days.mean())

    def test_the_seed_decides(self) -> None:
        values, times = np.random.default_rng(2).normal(0, 1, 50), np.arange(50) * DAY
        assert margin(values, times, DAY, 3) == margin(values, times, DAY, 3) != margin(values, times, DAY, 4)

    def test_without_days_there_is_none(self) -> None:
        assert math.isnan(margin(np.empty(0), np.empty(0, np.int64), DAY, 0).low)
        one = margin(np.ones(5), np.arange(5, dtype=np.int64), DAY, 0)
        assert (one.mean, one.blocks) == (1, 1)
        assert math.isnan(one.low)
