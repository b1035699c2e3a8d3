"""What every strategy promises, and that breaking a promise is noticed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from tradebot.analysis.features import Features, align
from tradebot.analysis.promises import BARS, SYMBOLS, broken, invented
from tradebot.analysis.strategies import STRATEGIES, Strategy, make
from tradebot.market.bars import Floats

INTERVALS = ("5m", "15m", "1h")


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_of_ours_keeps_them_on_whatever_intervals(name: str) -> None:
    assert broken(make(name, {}), INTERVALS) is None
    assert broken(make(name, {}), ("1m", "1h", "1d")) is None


def test_the_invented_bars_are_warm_at_their_end_and_a_shorter_history_is_the_beginning_of_the_longer() -> None:
    whole, cut = invented(INTERVALS), invented(INTERVALS, 17)
    assert not np.isnan(align(whole)[-1]).any()
    assert whole[0].data.shape == (5, SYMBOLS, BARS)
    for long, short in zip(whole, cut, strict=True):
        kept = short.data.shape[2]
        np.testing.assert_array_equal(short.data, long.data[:, :, :kept])
        np.testing.assert_array_equal(short.times, long.times[:kept])


@dataclass(frozen=True)
class Bad:
    local: ClassVar[bool] = False
    text: ClassVar[str] = "breaks a promise"

    def score(self, features: Features) -> Floats:
        raise NotImplementedError


class Moody(Bad):
    rng: ClassVar[np.random.Generator] = np.random.default_rng(1)

    def score(self, features: Features) -> Floats:
        return self.rng.uniform(-1, 1, features.values.shape[:-1])


class Vandal(Bad):
    def score(self, features: Features) -> Floats:
        scores: Floats = np.zeros(features.values.shape[:-1])
        features.panels[1].data[0] += 1
        return scores


class Prophet(Bad):
    def score(self, features: Features) -> Floats:
        closes = features.panels[0].close.T
        ahead = np.sign(np.concatenate([closes[1:], closes[-1:]]) - closes)
        found: Floats = ahead if features.values.ndim == 3 else ahead[-1]
        return found


class Normed(Bad):
    """Looks ahead by a mean over all of the history."""

    def score(self, features: Features) -> Floats:
        column = features["rsi_7_5m"]
        return np.tanh(column - np.nanmean(column))


class Forgetful(Bad):
    def score(self, features: Features) -> Floats:
        column: Floats = features["rsi_7_5m"]
        return column * (0.5 if column.ndim == 1 else 1.0)


class Herd(Bad):
    local: ClassVar[bool] = True

    def score(self, features: Features) -> Floats:
        column = features["rsi_7_5m"]
        return np.tanh(column - column.mean(axis=-1, keepdims=True))


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (Moody(), "gives other scores for the same bars"),
        (Vandal(), "changes the features or bars"),
        (Prophet(), "looks ahead"),
        (Normed(), "looks ahead"),
        (Forgetful(), "another score for the newest bar alone"),
        (Herd(), "says that it is local"),
    ],
)
def test_a_broken_promise_is_named(strategy: Strategy, reason: str) -> None:
    found = broken(strategy, INTERVALS)
    assert found is not None
    assert reason in found


@dataclass(frozen=True)
class Channel:
    """Looks at bars instead of features, on two intervals."""

    local: ClassVar[bool] = True
    text: ClassVar[str] = "breaks out of a channel"

    def score(self, features: Features) -> Floats:
        highs, closes = features.window("high", 21)[..., :-1], features.window("close", 1)[..., 0]
        hour = features.window("close", 4, interval=2)
        score: Floats = np.tanh((closes / highs.max(axis=-1) - 1) * 100 + hour[..., -1] / hour[..., 0] - 1)
        return score


def test_a_strategy_on_bars_keeps_all_promises_by_itself() -> None:
    assert broken(Channel(), INTERVALS) is None
