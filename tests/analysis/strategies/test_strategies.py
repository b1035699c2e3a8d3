"""What every strategy keeps to, and the signals that follow from scores."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markets import INTERVALS, random_panels

from tradebot.analysis import features as formulas
from tradebot.analysis.features import FEATURES, Features
from tradebot.analysis.strategies import STRATEGIES, Strategy, make, signals
from tradebot.errors import ConfigError, UnknownName
from tradebot.market.bars import Floats
from tradebot.market.venue import Side

NAMES = formulas.names(INTERVALS)
LOW = np.array([*(entry.low for _ in INTERVALS for entry in FEATURES.values()), -1.0])
HIGH = np.array([*(entry.high for _ in INTERVALS for entry in FEATURES.values()), 1.0])


def features(values: Floats) -> Features:
    return Features(NAMES, tuple(f"S{i:03d}" for i in range(values.shape[-2])), values)


def random_features(*shape: int, seed: int = 1) -> Floats:
    """Values over the whole of each column's range."""
    return np.random.default_rng(seed).uniform(LOW, HIGH, (*shape, 31))


@pytest.fixture(params=STRATEGIES)
def strategy(request: pytest.FixtureRequest) -> Strategy:
    return make(request.param, {})


def test_strategies_are_found_by_being_in_the_package() -> None:
    assert {"trend", "reversion", "momentum"} <= set(STRATEGIES)


def test_a_strategy_says_what_it_does_in_a_line(strategy: Strategy) -> None:
    assert 10 < len(strategy.text) <= 80
    assert isinstance(strategy.local, bool)


def test_a_strategy_is_frozen_and_its_fields_are_numbers(strategy: Strategy) -> None:
    for field in fields(strategy):
        assert isinstance(getattr(strategy, field.name), float)
        with pytest.raises(FrozenInstanceError):
            setattr(strategy, field.name, 1.0)


def test_scores_have_the_shape_of_the_features_and_stay_in_range(strategy: Strategy) -> None:
    for shape in ((40,), (7, 40), (1,), (0,), (3, 1)):
        score = strategy.score(features(random_features(*shape)))
        assert score.shape == shape
        known = score[~np.isnan(score)]
        assert (np.abs(known) <= 1).all()


def test_every_row_is_scored_for_itself(strategy: Strategy) -> None:
    values = random_features(9, 25)
    values[4, 3], values[5] = np.nan, np.nan
    together = strategy.score(features(values))
    for row in range(9):
        np.testing.assert_array_equal(strategy.score(features(values[row])), together[row])


def test_a_symbol_without_features_has_no_score_and_takes_no_other_with_it(strategy: Strategy) -> None:
    values = random_features(20)
    values[4] = np.nan
    score = strategy.score(features(values))
    assert np.isnan(score[4])
    assert not np.isnan(np.delete(score, 4)).any()


def test_a_strategy_changes_nothing_and_gives_the_same_again(strategy: Strategy) -> None:
    values = random_features(30)
    before = values.copy()
    first = strategy.score(features(values))
    np.testing.assert_array_equal(strategy.score(features(values)), first)
    np.testing.assert_array_equal(values, before)


def test_scores_go_with_the_symbol_wherever_it_stands(strategy: Strategy) -> None:
    values = random_features(30)
    order = np.random.default_rng(5).permutation(30)
    np.testing.assert_array_equal(strategy.score(features(values[order])), strategy.score(features(values))[order])


def test_a_local_strategy_needs_no_other_symbol(strategy: Strategy) -> None:
    values = random_features(30)
    alone = np.concatenate([strategy.score(features(values[row : row + 1])) for row in range(30)])
    assert np.array_equal(alone, strategy.score(features(values))) == strategy.local


def test_a_strategy_does_not_depend_on_what_the_intervals_are_called(strategy: Strategy) -> None:
    values = random_features(10)
    other = Features(formulas.names(("1m", "5m", "4h")), features(values).symbols, values)
    np.testing.assert_array_equal(strategy.score(other), strategy.score(features(values)))


def test_a_mirrored_market_gives_mirrored_scores(strategy: Strategy) -> None:
    values = random_features(30)
    mirrored = values.copy()
    for column, name in enumerate(NAMES):
        if not name.startswith(("vol_ratio", "volume_ratio")):
            mirrored[:, column] *= -1
    np.testing.assert_allclose(
        strategy.score(features(mirrored)), -strategy.score(features(values)), rtol=0, atol=1e-12
    )


def test_a_strategy_gives_signals_on_some_symbols_of_a_random_market_and_not_on_most(strategy: Strategy) -> None:
    panels = random_panels(30, 400)
    rows = formulas.align(panels)
    warm = rows[~np.isnan(rows).any(axis=(1, 2))]
    fired = np.abs(strategy.score(features(warm))) >= 0.3
    assert 1 <= fired.sum(axis=1).mean() <= 12
    assert (fired.any(axis=1)).mean() > 0.8


def test_parameters_are_given_by_name() -> None:
    assert make("trend", {"strength": 2}).strength == 2  # type: ignore[attr-defined]


def test_an_unknown_strategy_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownName, match=r"unknown strategy 'trand'; did you mean 'trend'\?"):
        make("trand", {})


def test_an_unknown_parameter_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"strategy 'trend' has no parameter 'strenght'; did you mean 'strength'\?"):
        make("trend", {"strenght": 1.0})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_parameter_is_a_finite_number(value: float) -> None:
    with pytest.raises(ConfigError, match=r"strength = \w+ is not a finite number"):
        make("trend", {"strength": value})


def test_signals_are_sorted_by_strength_then_by_symbol_and_carry_their_row() -> None:
    table = features(random_features(5))
    found = signals(table, np.array([0.3, -0.9, np.nan, 0.29, -0.3]), 0.3, 1_700_000_000_000)
    assert [(signal.symbol, signal.side, signal.score) for signal in found] == [
        ("S001", Side.SELL, -0.9),
        ("S000", Side.BUY, 0.3),
        ("S004", Side.SELL, -0.3),
    ]
    assert found[0].row.dtype == np.float32
    assert found[0].bar_time == 1_700_000_000_000
    np.testing.assert_array_equal(found[0].row, table.values[1].astype(np.float32))


def test_no_view_is_no_signal_even_where_every_score_counts() -> None:
    assert signals(features(random_features(3)), np.array([0.0, np.nan, -0.0]), 0.0, 0) == []


@given(st.lists(st.one_of(st.floats(-1, 1), st.just(float("nan"))), max_size=12), st.floats(0, 1))
def test_a_signal_is_exactly_what_reaches_the_least_score(scores: list[float], least: float) -> None:
    found = signals(features(random_features(len(scores))), np.array(scores), least, 0)
    assert sorted(signal.score for signal in found) == sorted(s for s in scores if abs(s) >= least and s != 0)
    assert all((signal.side is Side.BUY) == (signal.score > 0) for signal in found)
