"""Training sees only the past, gives the same bytes twice, and finds a rule that is there."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest

from tradebot.analysis import features
from tradebot.analysis.features import Features
from tradebot.clock import DAY, MINUTE
from tradebot.errors import ModelError
from tradebot.market.bars import Floats, Panel, interval_ms
from tradebot.model.labels import Barrier, outcomes
from tradebot.model.training import Dataset, dataset, fit, train

INTERVALS = ("5m", "15m", "1h")
SYMBOLS = ("AUSDT", "BUSDT")
BARRIER = Barrier(horizon=60 * MINUTE)


def history(days: int, seed: int = 0) -> list[Panel]:
    """Two random walks on three intervals."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.004, (2, days * 288)), axis=1))
    volume = random.random(close.shape) + 0.5
    return [_panel(interval, close, volume) for interval in INTERVALS]


def _panel(interval: str, close: Floats, volume: Floats) -> Panel:
    size = interval_ms(interval) // (5 * MINUTE)
    group = close.reshape(2, -1, size)
    opened = np.concatenate([np.full((2, 1), 100.0), group[:, :-1, -1]], axis=1)
    high, low = np.maximum(group.max(axis=2), opened), np.minimum(group.min(axis=2), opened)
    data = np.stack([opened, high, low, group[:, :, -1], volume.reshape(2, -1, size).sum(axis=2)])
    end = close.shape[1] * 5 * MINUTE - interval_ms(interval)
    return Panel(interval, end, SYMBOLS, data, np.zeros(data.shape[1:], bool))


@dataclass(frozen=True)
class Rising:
    """Buys what has risen for two hours."""

    local: ClassVar[bool] = True
    text: ClassVar[str] = "rising"

    def score(self, given: Features) -> Floats:
        return np.tanh(given["ret_24_5m"])


def planted(count: int = 6_000, seed: int = 0, rule: float = 3.0) -> Dataset:
    """Signals a minute apart whose returns follow the first feature."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, 31)).astype(np.float32)
    gains = rows[:, 0] * rule + random.normal(size=count)
    times = np.arange(count, dtype=np.int64) * MINUTE
    return Dataset(INTERVALS, rows, gains / 100, times, times + 60 * MINUTE, np.full(count, "AUSDT"))


class TestDataset:
    PANELS = history(8)
    DATA = dataset(PANELS, Rising(), 0.3, BARRIER)

    def test_has_a_row_for_each_signal_whose_outcome_is_known(self) -> None:
        scores = Rising().score(Features(features.names(INTERVALS), SYMBOLS, features.align(self.PANELS)))
        bars = scores.shape[0] - BARRIER.horizon // (5 * MINUTE)
        warm = ~np.isnan(features.align(self.PANELS)).any(axis=2)
        assert len(self.DATA) == ((scores >= 0.3) & warm)[:bars].sum() > 100
        assert self.DATA.rows.shape == (len(self.DATA), 31)
        assert self.DATA.rows.dtype == np.float32

    def test_rows_are_the_features_of_their_signal(self) -> None:
        values = features.align(self.PANELS)
        for at in (0, len(self.DATA) // 2, len(self.DATA) - 1):
            bar = int(np.searchsorted(self.PANELS[0].times, self.DATA.times[at]))
            symbol = SYMBOLS.index(self.DATA.symbols[at])
            np.testing.assert_array_equal(self.DATA.rows[at], values[bar, symbol].astype(np.float32))
            returned, ended = outcomes(self.PANELS[0], np.array([symbol]), np.array([bar]), BARRIER)
            assert (self.DATA.returns[at], self.DATA.ends[at]) == (returned[0], ended[0])

    def test_labels_are_gains_after_fees(self) -> None:
        assert (self.DATA.labels == (self.DATA.returns > 0)).all()
        assert 0.1 < self.DATA.labels.mean() < 0.9

    def test_cutting_off_the_future_changes_no_row(self) -> None:
        bars = 6 * 288
        cut = [
            Panel(p.interval, bars * 5 * MINUTE - interval_ms(p.interval), p.symbols, p.data[:, :, :count], p.filled)
            for p, count in zip(self.PANELS, (bars, bars // 3, bars // 12), strict=True)
        ]
        part = dataset(cut, Rising(), 0.3, BARRIER)
        assert 0 < len(part) < len(self.DATA)
        np.testing.assert_allclose(part.rows, self.DATA.rows[: len(part)], atol=1e-6)
        assert (part.returns == self.DATA.returns[: len(part)]).all()

    def test_stretches_join_to_the_whole(self) -> None:
        middle = self.DATA.times < 5 * DAY
        joined = Dataset.join([self.DATA.take(middle), self.DATA.take(~middle)])
        assert (joined.rows == self.DATA.rows).all()
        assert (joined.times == self.DATA.times).all()


class TestParts:
    def test_no_outcome_reaches_into_the_next_part(self) -> None:
        data = planted()
        parts = data.parts(0.6, 0.8)
        for before, after in pairwise(parts):
            assert before.ends.max() <= after.times.min()
        left_out = ~np.isin(data.times, np.concatenate([part.times for part in parts]))
        starts = [part.times.min() for part in parts[1:]]
        running = [(data.times < start) & (data.ends >= start) for start in starts]
        assert (left_out <= (running[0] | running[1])).all()
        assert left_out.sum() > 100

    def test_the_cuts_are_shares_of_the_time(self) -> None:
        first, second, third = (len(part) for part in planted().parts(0.6, 0.8))
        assert first == pytest.approx(3_600, abs=70)
        assert third == pytest.approx(1_200, abs=70)
        assert second == pytest.approx(1_200, abs=70)


class TestTraining:
    def test_two_runs_give_the_same_bytes(self) -> None:
        one, two, other = (train(planted(), "rising", BARRIER, seed) for seed in (1, 1, 2))
        assert one.booster.save_raw("ubj") == two.booster.save_raw("ubj")
        assert one.booster.save_raw("ubj") != other.booster.save_raw("ubj")
        assert (one.validation, one.test) == (two.validation, two.test)

    def test_a_planted_rule_is_found(self) -> None:
        trained = train(planted(), "rising", BARRIER, 1)
        assert trained.test.auc > 0.85
        assert trained.test.log_loss < trained.test.base_log_loss
        assert trained.test.expectancy > trained.test.all_expectancy + 0.01

    def test_shuffled_outcomes_teach_nothing(self) -> None:
        data = planted()
        order = np.random.default_rng(7).permutation(len(data))
        trained = train(replace(data, returns=data.returns[order]), "rising", BARRIER, 1)
        assert trained.test.auc == pytest.approx(0.5, abs=0.06)

    def test_the_test_part_has_no_say(self) -> None:
        data = planted()
        spoiled = replace(data, returns=np.where(data.times >= 0.81 * data.times.max(), -data.returns, data.returns))
        one, two = (train(part, "rising", BARRIER, 1) for part in (data, spoiled))
        assert one.booster.save_raw("ubj") == two.booster.save_raw("ubj")
        assert one.told.threshold == two.told.threshold
        assert two.test.auc < 0.2

    def test_the_figures_are_the_boosters_at_the_chosen_threshold(self) -> None:
        data = planted(rule=0.7)
        trained, parts = train(data, "rising", BARRIER, 1), data.parts(0.6, 0.8)
        for told, part in zip((trained.validation, trained.test), parts[1:], strict=True):
            passed = trained.booster.inplace_predict(part.rows) >= trained.told.threshold
            assert told.share == passed.mean()
            assert told.expectancy == part.returns[passed].mean()
        assert trained.signals == tuple(map(len, parts))
        assert 1 / 3 <= trained.validation.share < 0.9

    def test_the_booster_carries_its_description(self) -> None:
        trained = train(planted(), "rising", BARRIER, 1)
        told = json.loads(trained.booster.attr("tradebot"))
        assert told["schema"] == features.schema_hash(INTERVALS)
        assert told["intervals"] == list(INTERVALS)
        assert told["strategy"] == "rising"
        assert told["label"] == str(BARRIER)
        assert told["threshold"] == trained.told.threshold
        assert told["trained_to"] == trained.told.trained_to <= 0.6 * 6_000 * MINUTE

    def test_rounds_stop_when_they_no_longer_help(self) -> None:
        easy, noise = planted(), planted(rule=0.0)
        first, watch, _ = noise.parts(0.6, 0.8)
        assert fit(first, watch, 1).num_boosted_rounds() < fit(*easy.parts(0.6, 0.8)[:2], 1).num_boosted_rounds()

    def test_too_few_signals_are_refused(self) -> None:
        with pytest.raises(ModelError, match="too few signals"):
            train(planted(count=70), "rising", BARRIER, 1)
