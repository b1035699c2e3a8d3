"""Tables in files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot import tables
from tradebot.errors import UsageError

TABLE = {"symbol": ["BTCUSDT", 'A,"B"'], "bar_time": [1_750_000_000_000, 1], "score": [0.1 + 0.2, math.nan]}


def test_a_csv_file_has_a_header_and_an_empty_field_for_a_missing_number(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.csv", TABLE)
    assert (tmp_path / "t.csv").read_text() == (
        'symbol,bar_time,score\nBTCUSDT,1750000000000,0.30000000000000004\n"A,""B""",1,\n'
    )
    back = tables.read(tmp_path / "t.csv")
    assert back == {"symbol": TABLE["symbol"], "bar_time": ["1750000000000", "1"], "score": ["0.30000000000000004", ""]}


def test_parquet_keeps_the_types(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", TABLE)
    back = tables.read(tmp_path / "t.parquet")
    assert back["symbol"] == TABLE["symbol"]
    assert back["bar_time"] == TABLE["bar_time"]
    assert back["score"][0] == 0.1 + 0.2
    assert math.isnan(back["score"][1])


@given(st.lists(st.floats(allow_nan=False, width=64), max_size=8))
def test_numbers_come_back_exactly(values: list[float]) -> None:
    text = tables._csv({"x": values})
    assert [float(each) for each in tables.read_csv(text, "x")["x"]] == values


def test_another_suffix_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"t\.xlsx: a table is written to a file that ends in \.csv or \.parquet"):
        tables.write(tmp_path / "t.xlsx", TABLE)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory; choose another place"):
        tables.write(tmp_path / "none" / "t.csv", TABLE)
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        tables.write(tmp_path / "t.csv", TABLE)
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n3\n", "line 3: 1 fields for 2 columns"),
        ("a,a\n1,2\n", "must name the columns, each once"),
        ("", "must name the columns"),
        ('a\n"x\n', "not a CSV table"),
    ],
)
def test_a_broken_csv_file_is_refused_with_its_line(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UsageError, match=rf"t\.csv.*{why}"):
        tables.read(tmp_path / "t.csv")


def test_a_file_that_is_not_parquet_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match=r"t\.parquet: not a Parquet table"):
        tables.read(tmp_path / "t.parquet")
    with pytest.raises(UsageError, match=r"none\.csv: No such file"):
        tables.read(tmp_path / "none.csv")
