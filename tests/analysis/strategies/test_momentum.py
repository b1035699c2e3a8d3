"""The momentum strategy and its ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_strategies import NAMES, features

from tradebot.analysis.strategies import make
from tradebot.analysis.strategies.momentum import ranks

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0, 1.0, 2.0], [1, -1, 0]),
        ([5.0, NAN, 1.0], [1, NAN, -1]),
        ([1.0, 1.0, 2.0, 0.0], [0, 0, 1, -1]),
        ([7.0, 7.0, 7.0], [0, 0, 0]),
        ([7.0], [NAN]),
        ([NAN, NAN], [NAN, NAN]),
        ([], []),
    ],
)
def test_ranks_run_from_minus_one_to_one_and_equals_share(values: list[float], expected: list[float]) -> None:
    np.testing.assert_allclose(ranks(np.array(values)), np.array(expected, float), atol=1e-12)


@given(st.lists(st.one_of(st.integers(-3, 3).map(float), st.just(NAN)), min_size=2, max_size=9))
def test_a_rank_counts_those_below_and_half_of_the_equals(values: list[float]) -> None:
    known = [value for value in values if value == value]
    for value, rank in zip(values, ranks(np.array(values)), strict=True):
        if value != value or len(known) < 2:
            assert np.isnan(rank)
        else:
            below, equal = sum(other < value for other in known), sum(other == value for other in known)
            assert rank == pytest.approx(2 * (below + (equal - 1) / 2) / (len(known) - 1) - 1, abs=1e-12)


def test_the_strongest_are_bought_the_weakest_sold_and_the_rest_left_alone() -> None:
    values = np.zeros((21, 31))
    for name in ("ret_24_15m", "ret_24_1h"):
        values[:, NAMES.index(name)] = np.linspace(-2, 2, 21)
    score = make("momentum", {}).score(features(values))
    assert score[-1] == 1
    assert score[0] == -1
    np.testing.assert_array_equal(np.flatnonzero(np.abs(score) > 1e-12), [0, 1, 2, 18, 19, 20])


def test_the_share_of_the_universe_is_a_parameter() -> None:
    values = np.random.default_rng(1).normal(size=(100, 31))
    assert (np.abs(make("momentum", {"share": 0.05}).score(features(values))) > 1e-12).sum() == 10
