"""Tables in files."""

from __future__ import annotations

import math
import tempfile
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
    (back,) = tables.read(tmp_path / "t.csv")
    assert back == {"symbol": TABLE["symbol"], "bar_time": ["1750000000000", "1"], "score": ["0.30000000000000004", ""]}


def test_parquet_keeps_the_types(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.parquet", TABLE)
    (back,) = tables.read(tmp_path / "t.parquet")
    assert back["symbol"] == TABLE["symbol"]
    assert back["bar_time"] == TABLE["bar_time"]
    assert back["score"][0] == 0.1 + 0.2
    assert math.isnan(back["score"][1])


@given(st.lists(st.floats(allow_nan=False, width=64), max_size=8))
def test_numbers_come_back_exactly(values: list[float]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tables.write(path := Path(folder) / "x.csv", {"x": values})
        (back,) = tables.read(path)
    assert [float(each) for each in back["x"]] == values


@pytest.mark.parametrize("suffix", tables.SUFFIXES)
@pytest.mark.parametrize("rows", [0, 1, tables.BLOCK, tables.BLOCK + 1])
def test_a_long_table_comes_and_goes_in_blocks(tmp_path: Path, suffix: str, rows: int) -> None:
    table = {"n": [str(row) for row in range(rows)], "none": [None] * rows, "x": [row / 7 for row in range(rows)]}
    tables.write(tmp_path / f"whole{suffix}", table)
    blocks = list(tables.read(tmp_path / f"whole{suffix}"))
    assert len(blocks) == max(1, -(-rows // tables.BLOCK))
    assert all(len(block["n"]) <= tables.BLOCK for block in blocks)
    assert [each for block in blocks for each in block["n"]] == table["n"]
    assert [float(each) for block in blocks for each in block["x"]] == table["x"]
    with tables.written(tmp_path / f"parts{suffix}") as put:
        for block in blocks:
            put(block)
    assert (tmp_path / f"parts{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_what_fails_half_way_leaves_what_was_there_before(tmp_path: Path) -> None:
    tables.write(tmp_path / "t.csv", TABLE)
    before = (tmp_path / "t.csv").read_bytes()
    with pytest.raises(ValueError, match="shorter"), tables.written(tmp_path / "t.csv") as put:
        put({"x": [1, 2], "y": [1]})
    assert (tmp_path / "t.csv").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["t.csv"]


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
        list(tables.read(tmp_path / "t.csv"))


def test_a_file_that_is_not_parquet_or_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(UsageError, match=r"t\.parquet: not a Parquet table"):
        list(tables.read(tmp_path / "t.parquet"))
    with pytest.raises(UsageError, match=r"none\.csv: No such file"):
        list(tables.read(tmp_path / "none.csv"))
