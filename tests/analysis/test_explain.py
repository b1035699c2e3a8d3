"""Why a symbol has a signal or none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from markets import random_panels

from tradebot.analysis.analyze import Analysis, analyze, judged
from tradebot.analysis.explain import explain
from tradebot.analysis.features import Features
from tradebot.analysis.strategies import make
from tradebot.errors import UnknownName

PANELS = random_panels(9, 110)
ANALYSIS = analyze(PANELS, make("trend", {}), 0.15, 20)


def with_scores(*scores: float) -> Analysis:
    whole = np.resize(np.array(scores), len(ANALYSIS.features.symbols))
    return judged(ANALYSIS.features, whole, 0.15, 20)


def test_a_signal_is_told_with_its_side_and_the_bar_that_it_reaches() -> None:
    assert explain(with_scores(0.4), "S000", 0.15).reason == "buy: score +0.400 reaches the least size of 0.15"
    told = explain(with_scores(-0.4), "S000", 0.15)
    assert told.signal
    assert told.reason.startswith("sell: score -0.400")


def test_a_weak_score_is_told_with_what_it_would_have_been() -> None:
    told = explain(with_scores(-0.1), "S003", 0.15)
    assert not told.signal
    assert told.reason == "score -0.100 would be a sell, but is below the least size of 0.15 (strategy.min_score)"


def test_no_view_and_nothing_to_do_are_two_reasons() -> None:
    assert explain(with_scores(math.nan), "S001", 0.15).reason == "the strategy has no view"
    assert explain(with_scores(0.0), "S001", 0.15).reason == "the strategy sees nothing to do (score 0)"


def test_a_symbol_that_is_not_warm_gives_that_as_its_reason() -> None:
    young = [panel.take(range(9)) for panel in PANELS]
    young[2].data[:, 4, :50] = np.nan
    analysis = analyze(young, make("trend", {}), 0.15, 20)
    assert explain(analysis, "S004", 0.15).reason == "1h: 60 of 96 bars"


def test_each_feature_is_placed_among_the_universe() -> None:
    values = np.tile(np.arange(9.0)[:, None], (1, 31))
    values[8] = np.nan
    values[1, 3] = 0.0  # shares its place with symbol 0
    features = Features(ANALYSIS.features.names, ANALYSIS.features.symbols, values, PANELS)
    told = explain(judged(features, np.zeros(9), 0.15, 20), "S000", 0.15)
    assert [(place.value, place.rank, place.median) for place in told.places[:1]] == [(0.0, 0.0, 3.5)]
    assert told.places[3].rank == pytest.approx(0.5 / 7)
    assert explain(judged(features, np.zeros(9), 0.15, 20), "S007", 0.15).places[0].rank == 1.0
    lost = explain(judged(features, np.zeros(9), 0.15, 20), "S008", 0.15)
    assert lost.places[0].rank is None
    assert math.isnan(lost.places[0].value)


def test_all_31_features_are_told_by_name() -> None:
    assert [place.name for place in explain(ANALYSIS, "S002", 0.15).places] == list(ANALYSIS.features.names)


def test_a_symbol_outside_the_universe_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match=r"symbol 'S0O1' is not in the universe; did you mean 'S0\d\d'\?"):
        explain(ANALYSIS, "S0O1", 0.15)
