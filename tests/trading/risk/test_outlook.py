"""What bars say about risk, and that they say nothing where there are too few."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tradebot.trading.risk import NOTHING, Outlook

from .views import NOW, bars, noise, outlook


def test_a_move_of_a_day_is_that_of_an_hour_times_the_root_of_24():
    view = outlook(X=np.where(np.arange(199) % 2, 0.01, -0.01))
    assert view.volatility("X") == pytest.approx(0.01 * math.sqrt(24))


def test_the_coarsest_panel_tells_moves_and_the_finest_tells_age():
    fine, coarse = bars(NOW - 300_000, "5m", X=noise(1, 0.001)), bars(X=noise(2, 0.01))
    view = Outlook((fine, coarse))
    assert view.volatility("X") == Outlook((coarse,)).volatility("X")
    assert view.closed("X") == NOW


def test_bars_that_were_filled_in_count_for_nothing():
    panel = bars(X=noise(1), Y=noise(1))
    before = Outlook((panel,)).volatility("X")
    panel.data[:, 0, 50] *= 5  # what a filled bar says is not what happened
    panel.filled[0, 50] = True
    view = Outlook((panel,))
    assert view.volatility("X") == pytest.approx(before, rel=0.05)
    assert view.correlation("X", "Y") == pytest.approx(1.0)


def test_correlation_is_symmetric_free_of_scale_and_signed():
    x = noise(1)
    view = outlook(X=x, Y=3 * x, Z=-x, W=noise(9))
    assert view.correlation("X", "Y") == pytest.approx(1.0)
    assert view.correlation("X", "Z") == pytest.approx(-1.0)
    assert view.correlation("X", "W") == pytest.approx(view.correlation("W", "X"))
    assert view.correlation("X", "W") == pytest.approx(np.corrcoef(x, noise(9))[0, 1])


@pytest.mark.parametrize("view", [NOTHING, outlook(Y=noise(1)), outlook(X=noise(1, count=20), Y=noise(2, count=20))])
def test_what_has_no_bars_or_too_few_is_not_known(view):
    assert view.volatility("X") is None
    assert view.correlation("X", "Y") is None


def test_what_does_not_move_has_neither_volatility_nor_company():
    view = outlook(X=np.zeros(199), Y=noise(1))
    assert view.volatility("X") is None
    assert view.correlation("X", "Y") is None


def test_a_symbol_without_one_real_bar_has_no_age():
    panel = bars(X=noise(1))
    panel.filled[:] = True
    assert Outlook((panel,)).closed("X") is None
    assert NOTHING.closed("X") is None


def test_prices_from_before_a_listing_are_not_known():
    panel = bars(X=noise(1))
    panel.data[:, 0, :100] = np.nan
    assert Outlook((panel,)).volatility("X") == pytest.approx(0.01 * math.sqrt(24), rel=0.3)
