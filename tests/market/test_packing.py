"""Klines as few bytes: all values come back bit for bit, in little room."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tradebot.errors import BadKlines
from tradebot.market import packing
from tradebot.market.bars import Floats

STEP = 60_000
T0 = 1_516_406_400_000
ALL = (-(2**62), 2**62)

finite = st.floats(allow_nan=False, allow_infinity=False)
decimals = st.builds(lambda digits, places: digits / 10**places, st.integers(0, 10**15), st.integers(0, 8))
special = st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 1.7976931348623157e308, -1e308, 2.0**53, 2.0**53 + 2, 0.1, 1e-8])
values = st.one_of(finite, decimals, decimals, special)


@st.composite
def stretches(draw: st.DrawFn) -> tuple[Floats, int]:
    """A stretch of any values, whose times may lie off the grid or anywhere."""
    bars = draw(st.integers(1, 40))
    data = np.array([draw(st.lists(values, min_size=bars, max_size=bars)) for _ in range(10)])
    if draw(st.booleans()):
        places = np.array(sorted(draw(st.sets(st.integers(0, 3 * bars), min_size=bars, max_size=bars))))
        data[0] = T0 + STEP * places + draw(st.sampled_from([0, 0, 1, 59_999]))
    if draw(st.booleans()):
        data[draw(st.integers(1, 9))] = draw(values)  # one that never changes
    return data, STEP


def bits(data: Floats) -> NDArray[np.int64]:
    return np.ascontiguousarray(data).view(np.int64)


def unpacked(payloads: list[bytes], first: int = ALL[0], last: int = ALL[1]) -> list[Floats]:
    views = [memoryview(payload) for payload in payloads]
    for view in views:
        packing.check(view)
    count = len(views)
    data, counts = packing.unpack(views, np.full(count, first), np.full(count, last))
    return np.split(data, np.cumsum(counts)[:-1], axis=1)


@settings(max_examples=300, deadline=None)
@given(st.lists(stretches(), min_size=1, max_size=4))
def test_whatever_is_packed_comes_back_bit_for_bit(parts: list[tuple[Floats, int]]) -> None:
    for (data, _), back in zip(parts, unpacked(packing.pack(parts)), strict=True):
        assert (bits(back) == bits(data)).all()


@settings(max_examples=100, deadline=None)
@given(st.lists(stretches(), min_size=1, max_size=4))
def test_stretches_are_packed_the_same_alone_and_together(parts: list[tuple[Floats, int]]) -> None:
    assert packing.pack(parts) == [payload for part in parts for payload in packing.pack([part])]


def regular(bars: int, start: int = T0) -> Floats:
    data = np.outer(np.arange(1, 11), np.arange(1, bars + 1)) / 100
    data[0] = start + STEP * np.arange(bars)
    return data


@given(st.integers(1, 60), st.integers(-5, 70), st.integers(-5, 70), st.integers(0, STEP - 1))
def test_of_a_stretch_without_a_gap_only_what_is_wanted_is_unpacked(bars: int, left: int, right: int, off: int) -> None:
    data = regular(bars)
    first, last = T0 + left * STEP - off, T0 + right * STEP + off
    (back,) = unpacked(packing.pack([(data, STEP)]), first, last)
    wanted = (data[0] >= first) & (data[0] <= last)
    assert (bits(back) == bits(data[:, wanted])).all()


def test_a_grid_without_a_gap_and_constant_columns_take_no_room() -> None:
    data = np.full((10, 500), 0.12345678)
    data[0] = T0 + STEP * np.arange(500)
    assert len(packing.pack([(data, STEP)])[0]) == packing.HEAD_SIZE


@pytest.mark.parametrize(
    ("column", "width"),
    [
        ([0.0, 2.55], 1), ([0.0, 2.56], 2), ([100.0, 100.00000001], 1), ([7.0, 7.0], 0), ([0.0, 655.36], 3),
        ([0.0, 4294967296.0], 5), ([-1.0, 1.0], 1), ([0.1 + 0.2, 0.3], 1), ([-0.0, 0.0], 8), ([1e300, 1.0], 8),
    ],
)  # fmt: skip
def test_a_column_takes_the_least_bytes_that_hold_its_range(column: list[float], width: int) -> None:
    data = regular(2)
    data[1:] = column
    assert len(packing.pack([(data, STEP)])[0]) == packing.HEAD_SIZE + 9 * 2 * width


def test_a_value_with_more_places_late_in_a_stretch_is_not_overlooked() -> None:
    data = regular(500)
    data[4, 497] = 0.00000001
    (back,) = unpacked(packing.pack([(data, STEP)]))
    assert (bits(back) == bits(data)).all()


def test_many_stretches_of_different_widths_come_back_in_their_order() -> None:
    parts = [(regular(1 + index % 7) * np.array([[1]] + 9 * [[10.0 ** (index % 12)]]), STEP) for index in range(5_000)]
    for (data, _), back in zip(parts, unpacked(packing.pack(parts)), strict=True):
        assert (bits(back) == bits(data)).all()


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(raw: bytes) -> None:
    with pytest.raises(BadKlines):
        packing.check(memoryview(raw))


@pytest.mark.parametrize("length", [0, 5, packing.HEAD_SIZE, -1])
def test_a_payload_that_was_cut_is_refused(length: int) -> None:
    with pytest.raises(BadKlines):
        packing.check(memoryview(packing.pack([(regular(9), STEP)])[0])[:length])
