from __future__ import annotations

from decimal import Decimal

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.sim.digits import Template

ROW = Template([b"[", False, b',"', True, b'","', True, b'"]'])


def written(rows: list[tuple[int, int, int]], places: tuple[int, int]) -> list[list[object]]:
    raw = ROW.fill(np.array(rows, np.int64).T, np.array([0, *places])[:, None])
    found: list[list[object]] = orjson.loads(b"[" + raw + b"]")
    return found


@given(
    st.lists(st.tuples(*[st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 20_000))] * 3), min_size=1, max_size=9),
    st.tuples(*[st.integers(0, 8)] * 2),
)
def test_every_digit_of_every_number_is_written(rows: list[tuple[int, int, int]], places: tuple[int, int]) -> None:
    texts = [
        [whole, *(f"{Decimal(value).scaleb(-place):.8f}" for value, place in zip(row, places, strict=True))]
        for whole, *row in rows
    ]
    assert written(rows, places) == texts


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.00000000"), (7, "0.00000007"), (10**8, "1.00000000"), (10**12, "10000.00000000")]
)
def test_zeros_lead_only_where_a_number_needs_one(value: int, text: str) -> None:
    assert written([(0, value, value)], (8, 8)) == [[0, text, text]]


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(*[st.integers(0, 10**15)] * 3), max_size=4), *[st.integers(0, 8)] * 2), max_size=5
    )
)
def test_pages_side_by_side_are_those_that_are_written_alone(
    pages: list[tuple[list[tuple[int, int, int]], int, int]],
) -> None:
    columns = [np.array(rows, np.int64).reshape(-1, 3).T for rows, *_ in pages]
    places = [np.array([0, *scales])[:, None] for _, *scales in pages]
    together = ROW.pages(
        np.concatenate([np.empty((3, 0), np.int64), *columns], axis=1),
        np.concatenate([np.empty((3, 0), np.int64), *places], axis=1),
        [column.shape[1] for column in columns],
    )
    assert together == [ROW.fill(column, scale) for column, scale in zip(columns, places, strict=True)]


def test_no_rows_are_no_text() -> None:
    assert ROW.fill(np.empty((3, 0), np.int64), np.zeros((3, 1), np.int64)) == b""


def test_texts_longer_than_a_word_stay_whole() -> None:
    template = Template([b'{"symbol":"ETHUSDT","id":', False, b"}"])
    assert template.fill(np.array([[5]]), np.zeros((1, 1), np.int64)) == b'{"symbol":"ETHUSDT","id":5}'


@given(st.tuples(*[st.integers(0, 2**63 - 1)] * 3), st.tuples(*[st.integers(0, 8)] * 2))
def test_a_line_is_a_row_of_a_page(row: tuple[int, int, int], places: tuple[int, int]) -> None:
    assert ROW.line(row, (0, *places)) == ROW.fill(np.array([row]).T, np.array([0, *places])[:, None])
