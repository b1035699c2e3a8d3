"""The figures are the textbook's, and the threshold is the best of those that may be chosen."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY, HOUR
from tradebot.model.metrics import (
    LEAST_TRADES,
    Judged,
    auc,
    by_days,
    calibration,
    choose_threshold,
    figures,
    gain,
    lowest,
    table,
    trades,
)


def judged(count: int = 800, seed: int = 4, *, skill: float = 0.4, edge: float = 0.0) -> Judged:
    """Predictions an hour apart that come true the more often the higher they are; two parts."""
    random = np.random.default_rng(seed)
    chances = random.random(count).astype(np.float32)
    labels = (random.random(count) < 0.5 + skill * (chances - 0.5)).astype(np.float32)
    returns = np.where(labels > 0, 0.02, -0.02) + edge
    part = (np.arange(count) >= count // 2).astype(np.intp)
    return Judged(chances, np.full(count, 0.5), labels, returns, np.arange(count) * HOUR, part)


def few(chances: list[float], labels: list[float]) -> Judged:
    """Predictions of one part, a day apart."""
    count = len(chances)
    truth = np.array(labels, np.float32)
    times = np.arange(count, dtype=np.int64) * DAY
    return Judged(
        np.array(chances, np.float32), np.full(count, 0.5), truth, np.where(truth > 0, 0.03, -0.02), times,
        np.zeros(count, np.intp),
    )  # fmt: skip


class TestFigures:
    def test_they_are_the_textbooks(self) -> None:
        result = figures(few([0.8, 0.4, 0.4], [1, 0, 1]))
        assert result.signals == 3
        assert result.base_rate == pytest.approx(2 / 3)
        assert result.log_loss == pytest.approx(-(math.log(0.8) + math.log(0.6) + math.log(0.4)) / 3)
        assert result.base_log_loss == pytest.approx(math.log(2))
        assert result.brier == pytest.approx((0.04 + 0.16 + 0.36) / 3)
        assert result.base_brier == pytest.approx(0.25)
        assert result.auc == pytest.approx(0.75)

    def test_the_gain_is_the_difference_of_the_log_losses(self) -> None:
        told = judged()
        result = figures(told)
        assert gain(told).mean() == pytest.approx(result.base_log_loss - result.log_loss, abs=1e-6)

    def test_certainty_that_is_wrong_costs_much_but_not_infinity(self) -> None:
        assert -20 < gain(few([0.0], [1]))[0] < -10

    def test_one_outcome_has_no_auc(self) -> None:
        assert math.isnan(figures(few([0.2, 0.4], [1, 1])).auc)


class TestAuc:
    def test_knows_perfect_reversed_and_useless(self) -> None:
        labels = [0.0, 0.0, 1.0, 1.0]
        assert auc(few([0.1, 0.2, 0.3, 0.4], labels)) == 1
        assert auc(few([0.4, 0.3, 0.2, 0.1], labels)) == 0
        assert auc(few([0.5, 0.5, 0.5, 0.5], labels)) == 0.5

    def test_compares_within_a_part_only(self) -> None:
        # The second model says more of everything; that alone must not look like knowledge.
        told = few([0.1, 0.2, 0.8, 0.9], [1, 0, 0, 1])
        apart = replace(told, part=np.array([0, 0, 1, 1]))
        assert auc(apart) == 0.5
        assert auc(replace(apart, chances=apart.chances[::-1])) == 0.5

    def test_leaves_out_a_part_with_one_outcome(self) -> None:
        told = replace(few([0.1, 0.2, 0.8, 0.9], [0, 1, 1, 1]), part=np.array([0, 0, 1, 1]))
        assert auc(told) == 1


class TestCalibration:
    def test_honest_predictions_come_true(self) -> None:
        random = np.random.default_rng(1)
        chances = random.random(20_000)
        bins = calibration(chances, (random.random(20_000) < chances).astype(np.float32))
        assert [each.signals for each in bins] == pytest.approx([2_000] * 10, abs=2)
        assert all(abs(each.predicted - each.observed) < 0.04 for each in bins)
        assert [each.predicted for each in bins] == pytest.approx(np.arange(0.05, 1, 0.1), abs=0.02)

    def test_the_error_is_how_far_they_are_off(self) -> None:
        assert figures(few([0.9] * 10, [1] * 4 + [0] * 6)).calibration_error == pytest.approx(0.5)

    @given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.9]), min_size=1, max_size=60))
    def test_equal_predictions_stay_together_and_none_is_lost(self, chances: list[float]) -> None:
        bins = calibration(np.array(chances), np.zeros(len(chances), np.float32))
        assert sum(each.signals for each in bins) == len(chances)
        assert len(bins) <= len(set(chances))


class TestTrades:
    def test_what_passes_the_threshold_is_what_is_traded(self) -> None:
        result = trades(few([0.2, 0.5, 0.5, 0.9], [1, 0, 1, 1]), 0.5)
        assert (result.trades, result.days) == (3, 3)
        assert result.hit_rate == pytest.approx(2 / 3)
        assert result.expectancy == pytest.approx(0.04 / 3)
        assert result.error == pytest.approx(np.std([-0.02, 0.03, 0.03], ddof=1) / math.sqrt(3))

    def test_where_nothing_passes_there_is_no_expectancy(self) -> None:
        result = trades(judged(), 1.1)
        assert (result.trades, result.days) == (0, 0)
        assert math.isnan(result.expectancy)
        assert math.isnan(result.hit_rate)

    def test_a_thousand_trades_of_one_day_are_one_day(self) -> None:
        mean, error, days = by_days(np.full(1_000, 0.01), np.arange(1_000, dtype=np.int64))
        assert (mean, days) == (pytest.approx(0.01), 1)
        assert math.isnan(error)
        spread = by_days(np.repeat([0.01, -0.01], 500), np.repeat(np.array([0, DAY]), 500))[1]
        assert spread == pytest.approx(0.01)

    def test_the_table_goes_from_all_signals_to_the_most_probable(self) -> None:
        rows = table(judged())
        assert rows[0].trades == 800
        assert [row.trades for row in rows] == sorted((row.trades for row in rows), reverse=True)
        assert rows[-1].trades == pytest.approx(8, abs=2)


class TestThreshold:
    def test_finds_where_returns_turn(self) -> None:
        told = judged(4_000)
        told = replace(told, returns=np.where(told.chances < 0.4, -0.02, 0.02 - 0.01 * told.chances))
        choice = choose_threshold(told)
        assert choice.threshold == pytest.approx(0.4, abs=0.03)
        assert choice.profitable
        assert f"at least {LEAST_TRADES} trades" in choice.why

    def test_says_so_if_none_is_profitable(self) -> None:
        choice = choose_threshold(judged(edge=-0.03))
        assert not choice.profitable
        assert "none is profitable" in choice.why

    def test_luck_is_no_profit(self) -> None:
        lucky = [choose_threshold(judged(2_000, seed, skill=0.0)).profitable for seed in range(20)]
        assert sum(lucky) <= 4

    def test_does_not_choose_by_a_handful_of_trades(self) -> None:
        told = judged(1_000)
        rich = replace(told, returns=np.where(told.chances > 0.99, 1.0, -0.01))
        assert trades(rich, choose_threshold(rich).threshold).trades >= LEAST_TRADES

    @pytest.mark.parametrize("told", [judged(LEAST_TRADES - 1), replace(judged(), times=np.zeros(800, np.int64))])
    def test_takes_all_and_says_so_where_there_is_too_little_to_choose_by(self, told: Judged) -> None:
        choice = choose_threshold(told)
        assert trades(told, choice.threshold).trades == len(told)
        assert "has less than" in choice.why
        assert not choice.profitable

    @given(st.integers(0, 2**32), st.integers(LEAST_TRADES, 400))
    def test_leaves_enough_trades_whatever_the_predictions(self, seed: int, count: int) -> None:
        random = np.random.default_rng(seed)
        told = replace(judged(count), chances=random.choice([0.1, 0.30004, 0.5], count).astype(np.float32))
        assert trades(told, choose_threshold(told).threshold).trades >= LEAST_TRADES

    def test_the_lowest_refuses_nothing(self) -> None:
        told = judged()
        assert trades(told, lowest(told).threshold).trades == 800
        assert not lowest(told).profitable


def test_judgements_of_several_models_join() -> None:
    one, two = judged(10), judged(20, seed=5)
    both = Judged.join([one, two])
    assert len(both) == 30
    assert (both.chances[10:] == two.chances).all()
