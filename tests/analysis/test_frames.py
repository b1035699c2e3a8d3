"""Strategies that want pandas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from markets import random_panels

from tradebot.analysis.frames import frames_of, scores_of
from tradebot.errors import StrategyError

PANELS = random_panels(3, 110)


@dataclass(frozen=True)
class Crossing:
    text: ClassVar[str] = "crosses two means"

    def frame(self, frames: Mapping[str, pd.DataFrame]) -> pd.Series[float]:
        close = next(iter(frames.values()))["close"]
        return np.tanh(100 * (close.rolling(5).mean() / close.rolling(20).mean() - 1))


def test_a_frame_holds_the_bars_of_each_interval_by_open_time() -> None:
    frames = frames_of(PANELS, 1)
    assert list(frames) == ["5m", "15m", "1h"]
    assert list(frames["5m"].columns) == ["open", "high", "low", "close", "volume", "filled"]
    np.testing.assert_array_equal(frames["15m"]["close"], PANELS[1].close[1])
    assert frames["1h"].index[-1] == pd.Timestamp(PANELS[2].end, unit="ms", tz="UTC")


def test_bars_from_before_a_listing_are_not_in_the_frame_and_have_no_score() -> None:
    young = [panel.take([0, 1]) for panel in PANELS]
    young[0].data[:, 1, :70] = np.nan
    assert len(frames_of(young, 1)["5m"]) == 40
    scores = scores_of(Crossing(), young)
    assert scores.shape == (110, 2)
    assert np.isnan(scores[:89, 1]).all()  # 70 bars are not there, 19 warm the mean
    assert not np.isnan(scores[89:, 1]).any()
    np.testing.assert_array_equal(scores[:, 0], scores_of(Crossing(), PANELS)[:, 0])


def test_a_symbol_without_a_bar_has_no_score() -> None:
    unlisted = [panel.take([0, 1]) for panel in PANELS]
    unlisted[0].data[:, 0] = np.nan
    scores = scores_of(Crossing(), unlisted)
    assert np.isnan(scores[:, 0]).all()
    assert not np.isnan(scores[-1, 1])


class Short(Crossing):
    def frame(self, frames: Mapping[str, pd.DataFrame]) -> pd.Series[float]:
        return super().frame(frames).dropna()


def test_a_series_that_does_not_fit_its_frame_is_refused() -> None:
    with pytest.raises(StrategyError, match=r"of S000 it gives \(91,\) scores for 110 bars"):
        scores_of(Short(), PANELS)
