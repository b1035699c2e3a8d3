"""The figures are the textbook's, and the threshold is the best of those that may be chosen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.model.validation import auc, choose_threshold, figures, log_loss

RANDOM = np.random.default_rng(4)
CHANCES = RANDOM.random(400).astype(np.float32).round(2)
LABELS = (RANDOM.random(400) < 0.3 + 0.4 * CHANCES).astype(np.float32)
RETURNS = np.where(LABELS > 0, 0.03, -0.02)


def test_they_equal_scikit_learns() -> None:
    from sklearn import metrics

    result = figures(CHANCES, LABELS, RETURNS, 0.6, base_rate=0.5)
    assert result.log_loss == pytest.approx(metrics.log_loss(LABELS, CHANCES.astype(np.float64).clip(1e-7, 1 - 1e-7)))
    assert result.auc == pytest.approx(metrics.roc_auc_score(LABELS, CHANCES))
    assert result.brier == pytest.approx(metrics.brier_score_loss(LABELS, CHANCES), abs=1e-6)
    assert result.base_log_loss == pytest.approx(math.log(2))
    assert result.base_brier == pytest.approx(0.25)


def test_what_passes_the_threshold_is_what_is_traded() -> None:
    chances, labels = np.array([0.2, 0.5, 0.5, 0.9], np.float32), np.array([1, 0, 1, 1], np.float32)
    result = figures(chances, labels, np.array([0.03, -0.02, 0.01, 0.03]), 0.5, 0.5)
    assert result.signals == 4
    assert result.base_rate == 0.75
    assert result.share == 0.75
    assert result.hit_rate == pytest.approx(2 / 3)
    assert result.expectancy == pytest.approx(0.02 / 3)
    assert result.all_expectancy == pytest.approx(0.0125)


def test_where_nothing_passes_there_is_no_expectancy() -> None:
    result = figures(CHANCES, LABELS, RETURNS, 1.1, 0.5)
    assert result.share == 0
    assert math.isnan(result.expectancy)
    assert math.isnan(result.hit_rate)


def test_certainty_that_is_wrong_costs_much_but_not_infinity() -> None:
    assert 10 < log_loss(np.array([0.0], np.float32), np.array([1], np.float32)) < 20


class TestAuc:
    def test_knows_perfect_reversed_and_useless(self) -> None:
        labels = np.array([0, 0, 1, 1], np.float32)
        assert auc(np.array([0.1, 0.2, 0.3, 0.4], np.float32), labels) == 1
        assert auc(np.array([0.4, 0.3, 0.2, 0.1], np.float32), labels) == 0
        assert auc(np.array([0.5, 0.5, 0.5, 0.5], np.float32), labels) == 0.5

    @pytest.mark.parametrize("label", [0, 1])
    def test_needs_both_outcomes(self, label: int) -> None:
        assert math.isnan(auc(CHANCES, np.full(400, label, np.float32)))


class TestThreshold:
    def test_finds_where_returns_turn(self) -> None:
        chances = np.linspace(0, 1, 1_000).astype(np.float32)
        returns = np.where(chances < 0.4, -0.02, 0.02 - 0.01 * chances)
        assert choose_threshold(chances, returns, 0.2) == pytest.approx(0.4, abs=0.02)

    @given(st.integers(0, 2**32), st.floats(0.05, 1.0))
    def test_leaves_the_share_that_was_asked_for_and_is_no_worse_than_taking_all(self, seed: int, share: float) -> None:
        random = np.random.default_rng(seed)
        chances, returns = random.random(200).astype(np.float32), random.normal(0, 0.02, 200)
        passed = chances >= choose_threshold(chances, returns, share)
        assert passed.mean() >= share - 1e-9
        assert returns[passed].mean() >= returns.mean() - 1e-12
