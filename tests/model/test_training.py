"""Training sees only the past, gives the same bytes twice, finds a rule that is there, and says so if there is none."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from histories import BARRIER, BEGIN, INTERVALS, planted, reader, recipe, walks

from tradebot.analysis import features
from tradebot.clock import DAY, MINUTE
from tradebot.errors import ModelError
from tradebot.model.dataset import Dataset, Recipe, gather
from tradebot.model.metrics import lowest
from tradebot.model.training import Trained, fit, train
from tradebot.model.validation import Walk, known

WALK = Walk(folds=3, embargo=5 * MINUTE)


def about(data: Dataset) -> Recipe:
    """The recipe of made-up signals: their period."""
    return replace(recipe(1), since=int(data.times.min()), until=int(data.ends.max()))


@cache
def trained(rule: float = 2.0, *, seed: int = 1, test: float = 0.2, shuffles: int = 0) -> Trained:
    data = planted(rule=rule)
    return train(data, about(data), replace(WALK, test=test), seed=seed, shuffles=shuffles)


class TestTraining:
    def test_two_runs_give_the_same_bytes(self) -> None:
        data = planted()
        again = train(data, about(data), WALK, seed=1)
        assert again.booster.save_raw("ubj") == trained().booster.save_raw("ubj")
        assert again.booster.save_raw("ubj") != trained(seed=2).booster.save_raw("ubj")
        assert (again.pooled, again.margin, again.test) == (trained().pooled, trained().margin, trained().test)

    def test_a_planted_rule_is_found(self) -> None:
        found = trained()
        assert found.pooled.auc > 0.8
        assert found.test is not None
        assert found.test.figures.auc > 0.8
        assert found.margin.low > 0.1
        assert found.doubts == ()
        assert found.choice.profitable

    def test_without_a_rule_it_says_that_it_should_not_trade(self) -> None:
        found = trained(rule=0.0)
        assert 0.45 < found.pooled.auc < 0.55
        assert found.margin.low < 0
        assert "does not beat the base rate" in found.doubts[0]

    def test_a_rule_that_ends_before_the_test_part_is_a_doubt(self) -> None:
        data = planted()
        turned = np.where(data.times < data.times[2_400], data.returns, -data.returns)
        found = train(replace(data, returns=turned), about(data), WALK, seed=1)
        assert found.pooled.auc > 0.8
        assert any("test part" in doubt for doubt in found.doubts)

    def test_a_rule_that_does_not_pay_is_a_doubt(self) -> None:
        data = planted(rule=0.7)
        poor = replace(data, returns=np.where(data.returns > 0, 0.0001, -0.02))
        found = train(poor, about(data), WALK, seed=1)
        assert found.margin.low > 0
        assert "none is profitable" in found.doubts[0]

    def test_trades_of_the_test_part_that_lost_are_a_doubt(self) -> None:
        data, known_good = planted(rule=0.7), trained(rule=0.7)
        assert known_good.test is not None
        assert known_good.doubts == ()
        late = (data.times >= known_good.test.start) & (data.returns > 0)
        found = train(replace(data, returns=np.where(late, 1e-6, data.returns)), about(data), WALK, seed=1)
        assert len(found.doubts) == 1
        assert re.fullmatch(r"at that threshold its \d+ trades of the test part lost 0\.\d+% .*", found.doubts[0])

    def test_the_model_has_seen_nothing_of_the_test_part(self) -> None:
        data = planted()
        late = data.times >= trained().test.start  # type: ignore[union-attr]
        spoiled = replace(data, returns=np.where(late, -data.returns, data.returns))
        again = train(spoiled, about(data), WALK, seed=1)
        assert again.booster.save_raw("ubj") == trained().booster.save_raw("ubj")
        assert again.told == trained().told

    def test_without_a_test_part_it_learns_from_all_of_the_period(self) -> None:
        found, data = trained(test=0), planted()
        assert found.test is None
        assert found.tested is None
        assert found.told.trained_to == data.ends.max()
        assert trained().told.trained_to < data.ends.max() - 3 * DAY

    def test_the_figures_are_the_boosters_at_the_chosen_threshold(self) -> None:
        data, found = planted(rule=0.7), trained(rule=0.7)
        assert found.test is not None
        judge = data.begun(found.test.start, found.test.end)
        passed = found.booster.inplace_predict(judge.rows) >= found.told.threshold
        assert found.tested is not None
        assert found.tested.trades == passed.sum()
        assert found.tested.expectancy == pytest.approx(judge.returns[passed].mean())
        assert found.test.figures.signals == len(judge)
        assert found.chosen.threshold == found.choice.threshold == found.told.threshold

    def test_who_chooses_the_threshold_can_be_told(self) -> None:
        data = planted()
        assert train(data, about(data), WALK, choose=lowest).chosen.trades == trained().pooled.signals

    def test_the_booster_carries_its_description(self) -> None:
        told = json.loads(trained().booster.attr("tradebot"))
        assert told["schema"] == features.schema_hash(INTERVALS)
        assert told["intervals"] == list(INTERVALS)
        assert told["strategy"] == "rising"
        assert told["label"] == str(BARRIER)
        assert told["threshold"] == trained().told.threshold
        assert told["trained_from"] == BEGIN
        assert told["trained_to"] == trained().told.trained_to

    def test_rounds_stop_when_they_no_longer_help(self) -> None:
        easy, noise = planted(), planted(rule=0.0)
        until = int(easy.ends.max())
        assert (
            fit(*known(noise, until, 0), 1).num_boosted_rounds() < fit(*known(easy, until, 0), 1).num_boosted_rounds()
        )

    def test_progress_tells_folds_and_shuffles(self) -> None:
        data, told = planted(count=2_000), []
        train(data, about(data), WALK, shuffles=2, progress=lambda *step: told.append(step))
        assert told == [*(("folds", done, 4) for done in range(5)), *(("shuffled", done, 2) for done in range(3))]


class TestShuffled:
    def test_twenty_shuffles_are_chance(self) -> None:
        data = planted(count=1_500)
        found = train(data, about(data), Walk(folds=2, test=0, embargo=0), shuffles=20).shuffled
        mean, error = np.mean(found.aucs), np.std(found.aucs, ddof=1) / math.sqrt(20)
        assert len(set(found.aucs)) == len(found.gains) == 20
        assert abs(mean - 0.5) < 3 * error < 0.05

    def test_none_are_asked_for(self) -> None:
        assert trained().shuffled.aucs == ()


class TestRefusals:
    @pytest.mark.parametrize("count", [3, 29, 70])
    def test_too_few_signals(self, count: int) -> None:
        data = planted(count=count)
        with pytest.raises(ModelError, match=r"too few signals to train on: \d+ .*; take a longer period"):
            train(data, about(data), WALK)

    @pytest.mark.parametrize(("value", "ended"), [(0.01, "gains"), (-0.01, "losses")])
    def test_one_outcome_only(self, value: float, ended: str) -> None:
        data = planted()
        with pytest.raises(ModelError, match=f"all 3,000 signals ended as {ended}.*change trading.take_profit"):
            train(replace(data, returns=np.full(len(data), value)), about(data), WALK)

    def test_one_outcome_in_a_part(self) -> None:
        data = planted()
        early = np.where(data.times < data.times[800], -0.01, data.returns)
        with pytest.raises(ModelError, match=r"only one outcome among the \d+ signals to fit in fold 1"):
            train(replace(data, returns=early), about(data), WALK)


def test_a_rule_in_prices_is_found_from_klines_on() -> None:
    plan = replace(recipe(24), min_score=0.0)
    data, _ = gather(reader(walks(24, rule=0.003)), plan)
    found = train(data, plan, Walk(folds=3, embargo=0))
    assert found.pooled.auc > 0.8
    assert found.test is not None
    assert found.test.figures.auc > 0.8
    assert found.doubts == ()
