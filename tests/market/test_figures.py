"""Figures from text."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.market.figures import LIMIT, count, decimal, fill, moment, places, scaled

BAD = ["", "abc", "nan", "inf", "-1", "1_0", "１", ".", "1,5", "0x10"]


@pytest.mark.parametrize("text", BAD)
def test_only_plain_numbers_are_read(text: str) -> None:
    for reader in (decimal, scaled, count):
        with pytest.raises(ValueError, match=r"is (not a|negative)"):
            reader(text)


@given(st.floats(0, 1e300))
def test_a_decimal_is_the_nearest_float(value: float) -> None:
    assert decimal(repr(value)) == value


def test_what_passes_all_floats_is_too_large() -> None:
    with pytest.raises(ValueError, match="too large"):
        decimal("1e999")


@given(st.integers(0, LIMIT - 1))
def test_a_scaled_number_keeps_every_digit(value: int) -> None:
    assert scaled(f"{Decimal(value).scaleb(-8):f}") == value


def test_a_time_is_in_ms_or_us() -> None:
    assert moment("1735689600000") == moment("1735689600000000") == 1735689600000
    for text in ("1735689600", "x", "1_735_689_600_000"):
        with pytest.raises(ValueError, match="not a time in ms"):
            moment(text)


def test_places_are_those_that_are_needed() -> None:
    assert places([150_000_000], [100_000_000]) == 1
    assert places([1]) == 8
    assert places([0]) == 0


def test_what_is_not_said_is_filled_from_what_is() -> None:
    columns = {
        name: [value * 10**8] for name, value in zip(("open", "high", "low", "close"), (2, 4, 1, 3), strict=True)
    }
    columns["volume"] = [10 * 10**8]
    fill(columns)
    assert {name: columns[name][0] / 10**8 for name in ("quote_volume", "trades", "taker_base", "taker_quote")} == {
        "quote_volume": 25.0,
        "trades": 0,
        "taker_base": 5.0,
        "taker_quote": 12.5,
    }
    told = {**columns, "quote_volume": [7], "trades": [3], "taker_base": [1], "taker_quote": [2]}
    fill(told)
    assert [told[name] for name in ("quote_volume", "trades", "taker_base", "taker_quote")] == [[7], [3], [1], [2]]
