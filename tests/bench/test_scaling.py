"""How the cost grows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.bench.scaling import exponent, scaling

SIZES = (50, 200, 1000, 2000)


@given(power=st.floats(0, 2.5), cost=st.floats(1, 50))
def test_a_power_law_is_found_again(power: float, cost: float) -> None:
    assert exponent(SIZES, [cost * size**power for size in SIZES]) == pytest.approx(power, abs=1e-9)


def test_what_is_too_short_to_measure_says_nothing_of_growth() -> None:
    assert exponent(SIZES, [0.01, 0.02, 0.4, 10.0]) is None
    assert exponent(SIZES, [0.01, 0.02, 10.0, 20.0]) == pytest.approx(1)
    assert exponent((50,), [10.0]) is None


def test_every_figure_has_a_row_with_its_values_by_size() -> None:
    first, second = scaling((10, 100), {"fetch": [10.0, 100.0], "predict": [0.1, 0.1]})
    assert first == {"name": "fetch", "values": {"10": 10.0, "100": 100.0}, "exponent": 1.0}
    assert second["exponent"] is None
