from __future__ import annotations

import numpy as np
import pytest

from tradebot.sim.shapes import LENGTH, NUMBER, shapes

SOME = shapes()
# What the shocks were, but for their mean in each hour.
STEPS = np.diff(SOME.bridge, axis=1, prepend=np.float32(0))


@pytest.mark.parametrize("name", SOME.__slots__)
def test_each_curve_has_a_value_for_each_minute_of_each_shape(name: str) -> None:
    curve = getattr(SOME, name)
    assert curve.shape == (NUMBER, LENGTH)
    assert curve.dtype == np.float32
    assert np.isfinite(curve).all()


def test_a_bridge_comes_back_and_is_brownian_in_between() -> None:
    assert (SOME.bridge[:, -1] == 0).all()
    passed = np.arange(1, LENGTH + 1) / LENGTH
    expected = np.sqrt(LENGTH * passed * (1 - passed))
    assert SOME.bridge.std(axis=0) == pytest.approx(expected, rel=0.1, abs=0.01)
    assert np.abs(SOME.bridge.mean(axis=0)).max() < 0.35


def test_shapes_differ() -> None:
    assert len(np.unique(SOME.bridge, axis=0)) == NUMBER
    likeness = np.corrcoef(SOME.bridge[:200, :-1])[np.triu_indices(200, 1)]
    assert np.abs(likeness).max() < 0.99


def test_lively_minutes_come_together_and_move_more() -> None:
    assert SOME.lively.mean() == pytest.approx(0.78, abs=0.02)
    assert np.corrcoef(SOME.lively.ravel(), np.abs(STEPS).ravel())[0, 1] > 0.4
    assert np.corrcoef(np.abs(STEPS[:, 1:]).ravel(), np.abs(STEPS[:, :-1]).ravel())[0, 1] > 0.1


def test_takers_lean_with_the_move() -> None:
    assert np.corrcoef(SOME.taken.ravel(), STEPS.ravel())[0, 1] > 0.4
    assert SOME.taken.min() >= np.float32(0.1)
    assert SOME.taken.max() <= np.float32(0.9)


def test_no_minute_is_busier_than_prices_are_computed_for() -> None:
    assert (SOME.lively.max() * SOME.size.max()) < 32
    assert SOME.lively.min() > 0
