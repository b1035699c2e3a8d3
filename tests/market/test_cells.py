"""The cells of kline files. What is wrong in one is tested where files are read to the end, in `test_archive`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tradebot.errors import BadKlines
from tradebot.market.cells import REQUIRED, Cells, blocks, whole

HEADER = "open_time,open,high,low,close,volume"


def rows(first: int, last: int) -> list[str]:
    return [f"{1_515_560_100_000 + 60_000 * n},1,1,1,1,{n}" for n in range(first, last)]


def csv_file(folder: Path, *lines: str) -> Path:
    path = folder / "ETHBTC-1m.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def parquet_file(folder: Path, count: int) -> Path:
    path = folder / "ETHBTC-1m.parquet"
    columns = {name: [1.0] * count for name in REQUIRED[1:5]}
    times = pa.array([1_515_560_100_000 + 60_000 * n for n in range(count)], pa.timestamp("ms", "UTC"))
    pq.write_table(pa.table({"open_time": times, **columns, "volume": list(range(count))}), path, row_group_size=3)
    return path


def volumes(found: list[Cells]) -> list[list[str]]:
    return [list(each.columns.get("volume", ())) for each in found]


def test_rows_come_in_blocks_of_bounded_size(tmp_path: Path) -> None:
    path = csv_file(tmp_path, HEADER, *rows(0, 7))
    assert volumes(list(blocks(path, 3))) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert volumes([whole(path)]) == [list("0123456")]


def test_parquet_comes_in_blocks_as_well(tmp_path: Path) -> None:
    path = parquet_file(tmp_path, 7)
    assert [cell for block in volumes(list(blocks(path, 4))) for cell in block] == list("0123456")
    assert max(map(len, blocks(path, 4))) <= 4
    first = next(blocks(path, 4))
    assert first.columns["open_time"][0] == "1515560100000000", "whatever the unit of a timestamp, microseconds"


def test_a_zip_holds_one_file(tmp_path: Path) -> None:
    path = tmp_path / "ETHBTC-1m-2018-01.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("ETHBTC-1m-2018-01.csv", "\n".join(rows(0, 2)))
    assert volumes([whole(path)]) == [["0", "1"]]
    with zipfile.ZipFile(path, "a") as packed:
        packed.writestr("another.csv", "")
    with pytest.raises(BadKlines, match="holds 2 CSV files"):
        whole(path)


@pytest.mark.parametrize("name", ["ETHBTC-1m.zip", "ETHBTC-1m.parquet"])
def test_what_is_damaged_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"damaged")
    with pytest.raises(BadKlines, match=rf"{name}: cannot be read"):
        whole(path)


def test_a_zip_whose_bytes_were_changed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ETHBTC-1m.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("ETHBTC-1m.csv", "\n".join(rows(0, 50)))
    raw = bytearray(path.read_bytes())
    raw[200] ^= 1
    path.write_bytes(raw)
    with pytest.raises(BadKlines, match=r"cannot be read: Bad CRC-32"):
        whole(path)


def test_a_line_is_counted_over_blocks(tmp_path: Path) -> None:
    path = csv_file(tmp_path, HEADER, *rows(0, 5), "x")
    with pytest.raises(BadKlines, match="line 7, column 2: 1 values instead of 6"):
        list(blocks(path, 2))


def test_blank_lines_end_a_file_but_do_not_stand_in_it(tmp_path: Path) -> None:
    assert len(whole(csv_file(tmp_path, HEADER, *rows(0, 2), "", ""))) == 2
    with pytest.raises(BadKlines, match="line 4, column 1: 0 values instead of 6"):
        whole(csv_file(tmp_path, HEADER, *rows(0, 2), "", *rows(2, 3)))


def test_an_empty_file_is_one_empty_block(tmp_path: Path) -> None:
    (found,) = blocks(csv_file(tmp_path), 5)
    assert len(found) == 0
