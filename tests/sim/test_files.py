from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.errors import BadKlines
from tradebot.sim.exact import Scale
from tradebot.sim.files import read_klines

HEADER = "open_time,open,high,low,close,volume"
ROW = "1515560100000,0.09840000,0.09947660,0.09828605,0.09947660,1820.54447418"
ARCHIVE = "1515560100000,2.10,2.30,2.00,2.20,100.500,1515560399999,215.07500000,42,60.250,128.93500000,0"


def write(folder: Path, *lines: str) -> Path:
    path = folder / "ETHBTC-5m.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_digit_is_kept(tmp_path: Path) -> None:
    series = read_klines(write(tmp_path, HEADER, ROW))
    assert series.data[:6, 0].tolist() == [1515560100000, 9840000, 9947660, 9828605, 9947660, 182054447418]
    assert series.scale == Scale(8, 8, 8)


def test_what_the_file_does_not_say_follows_from_what_it_says(tmp_path: Path) -> None:
    series = read_klines(write(tmp_path, HEADER, "1515560100000,2,4,1,3,10"))
    quote = Decimal(int(series.data[6, 0])).scaleb(-series.scale.quote)
    assert quote == Decimal(10) * (2 + 4 + 1 + 3) / 4
    assert series.data[7, 0] == 0, "trades are not known"
    klines = series.klines()
    assert (klines["taker_base"][0], klines["taker_quote"][0]) == (5.0, 12.5)


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 10**12)] * 4), st.integers(0, 10**14))
def test_quote_volume_is_rounded_to_eight_places(
    tmp_path_factory: pytest.TempPathFactory, prices: tuple[int, ...], volume: int
) -> None:
    cells = [Decimal(value).scaleb(-8) for value in (min(prices), max(prices), min(prices), max(prices), volume)]
    series = read_klines(
        write(tmp_path_factory.mktemp("k"), HEADER, "1515560100000," + ",".join(f"{c:f}" for c in cells))
    )
    exact = cells[4] * sum(cells[:4]) / 4
    got = Decimal(int(series.data[6, 0])).scaleb(-series.scale.quote)
    assert abs(got - exact) <= Decimal("0.000000005")


def test_the_venues_archive_has_no_header(tmp_path: Path) -> None:
    series = read_klines(write(tmp_path, ARCHIVE, ARCHIVE.replace("1515560100000", "1515560400000")))
    assert series.klines().data[:, 0].tolist() == [
        1515560100000,
        2.1,
        2.3,
        2.0,
        2.2,
        100.5,
        215.075,
        42,
        60.25,
        128.935,
    ]
    assert series.scale == Scale(1, 2, 3), "places that are always zero are no places"


def test_archive_times_in_microseconds_are_understood(tmp_path: Path) -> None:
    path = write(tmp_path, ARCHIVE.replace("1515560100000", "1735689600000000"))
    assert read_klines(path).data[0, 0] == 1735689600000


def test_columns_are_found_by_name_and_others_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path, "close,open_time,open,high,low,volume,count,colour", "3,1515560100000,2,4,1,10,7,red")
    klines = read_klines(path).klines()
    assert klines.data[:8, 0].tolist() == [1515560100000, 2, 4, 1, 3, 10, 25, 7]


def test_scientific_notation_is_a_number(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, "1515560100000,5.33e-05,5.4e-05,5.2E-05,5.3e-5,1e3")
    assert read_klines(path).klines().data[1:6, 0].tolist() == [5.33e-05, 5.4e-05, 5.2e-05, 5.3e-05, 1000]


def test_amounts_beyond_eight_places_of_64_bits_fit_when_they_have_fewer_places(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, "1515560100000,0.00001,0.00001,0.00001,0.00001,9300000000000.50")
    assert read_klines(path).klines()["volume"][0] == 9300000000000.5


@pytest.mark.parametrize(
    ("line", "place", "problem"),
    [
        (ROW.replace("0.09947660", "abc", 1), "column 3 (high)", "'abc' is not a number"),
        (ROW.replace("1820.54447418", ""), "column 6 (volume)", "'' is not a number"),
        (ROW.replace("1820.54447418", "nan"), "column 6 (volume)", "'nan' is not a number"),
        (ROW.replace("1820.54447418", "-1"), "column 6 (volume)", "'-1' is negative"),
        (ROW.replace("1820.54447418", "1e999999999"), "column 6 (volume)", "'1e999999999' is not a number"),
        (ROW.replace("1820.54447418", "1e-999999999"), "column 6 (volume)", "'1e-999999999' is not a number"),
        (ROW.replace("1820.54447418", "1e-99"), "column 6 (volume)", "'1e-99' has more than 8 decimal places"),
        (ROW.replace("1820.54447418", "1e99"), "column 6 (volume)", "'1e99' is too large"),
        (ROW.replace("1820.54447418", str(2**62)), "column 6 (volume)", "is too large"),
        (ROW.replace("1820.54447418", "1." + "0" * 30 + "1"), "column 6 (volume)", "has more than 8 decimal places"),
        (ROW.replace("1820.54447418", "1_0"), "column 6 (volume)", "'1_0' is not a number"),
        (ROW.replace("1820.54447418", "."), "column 6 (volume)", "'.' is not a number"),
        (ROW.replace("1820.54447418", "\uff11"), "column 6 (volume)", "'\uff11' is not a number"),
        (ROW.replace("1820.54447418", "7" * 5000), "column 6 (volume)", f"'{'7' * 39}…' is not a number"),
        (ROW.replace("1515560100000", "1515_560_100_000"), "column 1 (open_time)", "is not a time in ms"),
        (ROW.replace("1515560100000", "9" * 5000), "column 1 (open_time)", f"'{'9' * 39}…' is not a time in ms"),
        (ROW.replace("0.09840000", "0.098400001"), "column 2 (open)", "has more than 8 decimal places"),
        (ROW.replace("1515560100000", "1515560100"), "column 1 (open_time)", "'1515560100' is not a time in ms"),
        (ROW.replace("1515560100000", "1515559800000"), "column 1 (open_time)", "does not come after"),
        (ROW.replace("0.09947660", "0.09", 1), "column 3 (high)", "is below open or close"),
        (ROW.replace("0.09828605", "0.099"), "column 4 (low)", "at most open and close"),
        (ROW.replace("0.09828605", "0"), "column 4 (low)", "is not above 0"),
        (ROW + ",1", "column 7", "7 values instead of 6"),
        ("\n" + ROW, "column 1", "0 values instead of 6"),
        ("1515560100000,1", "column 3", "2 values instead of 6"),
    ],
)
def test_a_bad_cell_is_named_with_line_and_column(tmp_path: Path, line: str, place: str, problem: str) -> None:
    before = ROW.replace("1515560100000", "1515559800000")
    path = write(tmp_path, HEADER, before, line)
    with pytest.raises(BadKlines) as caught:
        read_klines(path)
    message = str(caught.value)
    assert f"{path} line 3, {place}" in message
    assert problem in message
    assert message.endswith("mend or remove the line")


@pytest.mark.parametrize("trades", ["-5", "1.5", "1_0", "\uff11", "", "x", "1" * 19])
def test_trades_are_whole_numbers(tmp_path: Path, trades: str) -> None:
    with pytest.raises(BadKlines) as caught:
        read_klines(write(tmp_path, HEADER + ",trades", f"{ROW},{trades}"))
    assert f"line 2, column 7 (trades): '{trades}' is not a whole number" in str(caught.value)


@pytest.mark.parametrize(("cell", "value"), [("5.", 5), (".5", 0.5), ("1.50000000000000000000", 1.5), (" 7 ", 7)])
def test_numbers_may_be_written_in_several_ways(tmp_path: Path, cell: str, value: float) -> None:
    klines = read_klines(write(tmp_path, HEADER, f"1515560100000,1,1,1,1,{cell}")).klines()
    assert klines["volume"][0] == value


def test_a_line_is_counted_as_in_the_file_even_after_cells_of_several_lines(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER + ",note", ROW + ',"one\ntwo"', "x" + ROW + ',"three\nfour"')
    with pytest.raises(BadKlines, match=r"line 4, column 1 \(open_time\)"):
        read_klines(path)


@pytest.mark.parametrize(
    ("more", "name"), [("volume", "volume"), ("Open", "open"), ("count,trades", "trades"), ("trades,trades", "trades")]
)
def test_a_column_that_stands_there_twice_is_named(tmp_path: Path, more: str, name: str) -> None:
    with pytest.raises(BadKlines, match=f"line 1: more than one column is '{name}'"):
        read_klines(write(tmp_path, f"{HEADER},{more}", ROW + ",1" * (more.count(",") + 1)))


def test_columns_that_do_not_count_may_share_a_name(tmp_path: Path) -> None:
    assert len(read_klines(write(tmp_path, HEADER + ",,", ROW + ",a,b"))) == 1


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadKlines, match=r"line 1: column 'volume' is missing"):
        read_klines(write(tmp_path, HEADER.removesuffix(",volume"), ROW))


def test_a_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ETHBTC-5m.csv"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadKlines, match=r"ETHBTC-5m\.csv: cannot be read"):
        read_klines(path)


def test_sums_that_pass_64_bits_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEADER, "1515560100000,1,1,1,1,99999999999.00000001")
    with pytest.raises(BadKlines, match="sum of a column passes what 64 bits hold"):
        read_klines(path)


def test_an_empty_file_has_no_bars(tmp_path: Path) -> None:
    assert len(read_klines(write(tmp_path, HEADER))) == 0
    (tmp_path / "ETHBTC-5m.csv").write_text("")
    assert len(read_klines(tmp_path / "ETHBTC-5m.csv")) == 0


def parquet(folder: Path, **columns: pa.Array) -> Path:
    path = folder / "ETHBTC-5m.parquet"
    pq.write_table(pa.table(columns), path)
    return path


TIMES = [1515560100000, 1515560400000]
PRICES = {name: pa.array(["0.0984", "0.0985"]) for name in ("open", "high", "low", "close")}


@pytest.mark.parametrize(
    "times",
    [
        pa.array(TIMES),
        pa.array(TIMES, pa.timestamp("ms")),
        pa.array([each * 1000 for each in TIMES], pa.timestamp("us", "UTC")),
        pa.array([each * 1_000_000 for each in TIMES], pa.timestamp("ns")),
        pa.array([each * 1000 for each in TIMES]),
    ],
)
def test_parquet_has_its_times_as_numbers_or_timestamps(tmp_path: Path, times: pa.Array) -> None:
    path = parquet(tmp_path, open_time=times, volume=pa.array([1.5, 0.00000001]), **PRICES)
    assert read_klines(path).data[0].tolist() == TIMES


def test_parquet_and_csv_are_the_same_series_to_the_last_digit(tmp_path: Path) -> None:
    cells = ["0.09840000", "0.09947660", "0.09828605", "0.09947660", "1820.54447418"]
    wanted = read_klines(write(tmp_path, HEADER, ROW))
    names = HEADER.split(",")
    for kind in (str, float, Decimal):
        values = {name: pa.array([kind(cell)]) for name, cell in zip(names[1:], cells, strict=True)}
        found = read_klines(parquet(tmp_path, **values, open_time=pa.array(TIMES[:1])))
        assert (found.data.tolist(), found.scale) == (wanted.data.tolist(), wanted.scale)


def test_parquet_knows_the_names_of_columns_that_others_use(tmp_path: Path) -> None:
    asked = {"open_time": pa.array(TIMES), **PRICES, "volume": pa.array([2, 3]), "Number of trades": pa.array([7, 8])}
    assert read_klines(parquet(tmp_path, **asked)).klines()["trades"].tolist() == [7, 8]


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("high", pa.array(["1", "x"]), "row 2, column 3 (high): 'x' is not a number"),
        ("volume", pa.array([1.0, None]), "row 2, column 6 (volume): '' is not a number"),
        ("volume", pa.array([1.0, float("nan")]), "row 2, column 6 (volume): 'nan' is not a number"),
        ("low", pa.array([1e-9, 1.0]), "row 1, column 4 (low): '1e-09' has more than 8 decimal places"),
        ("low", pa.array([1e-300, 1.0]), "row 1, column 4 (low): '1e-300' has more than 8 decimal places"),
        ("volume", pa.array([1.0, 1e300]), "row 2, column 6 (volume): '1e+300' is too large"),
        ("open_time", pa.array([5, 6]), "row 1, column 1 (open_time): '5' is not a time in ms"),
    ],
)
def test_a_bad_value_of_parquet_is_named_with_row_and_column(
    tmp_path: Path, column: str, values: pa.Array, problem: str
) -> None:
    columns = {"open_time": pa.array(TIMES), **PRICES, "volume": pa.array([1.0, 2.0]), column: values}
    path = parquet(tmp_path, **columns)
    with pytest.raises(BadKlines) as caught:
        read_klines(path)
    assert str(caught.value) == f"{path} {problem}; mend or remove the row"


def test_parquet_with_a_column_under_two_names_is_named(tmp_path: Path) -> None:
    twice = {"count": pa.array([1, 2]), "trades": pa.array([3, 4])}
    path = parquet(tmp_path, open_time=pa.array(TIMES), **PRICES, volume=pa.array([1, 2]), **twice)
    with pytest.raises(BadKlines, match="more than one column is 'trades'"):
        read_klines(path)


def test_parquet_without_a_column_or_without_sense_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadKlines, match=r"ETHBTC-5m\.parquet row 1: column 'volume' is missing"):
        read_klines(parquet(tmp_path, open_time=pa.array(TIMES), **PRICES))
    (tmp_path / "ETHBTC-5m.parquet").write_text("PAR1 not really")
    with pytest.raises(BadKlines, match=r"ETHBTC-5m\.parquet: cannot be read"):
        read_klines(tmp_path / "ETHBTC-5m.parquet")


def test_without_pyarrow_parquet_says_what_to_install(tmp_path: Path) -> None:
    path = parquet(tmp_path, open_time=pa.array(TIMES), volume=pa.array([1.0, 2.0]), **PRICES)
    # A process in which that package cannot be imported.
    program = (
        "import sys, pathlib; sys.modules['pyarrow'] = None\n"
        "from tradebot.sim.files import read_klines\n"
        "read_klines(pathlib.Path(sys.argv[1]))"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert "install it, for example as tradebot[parquet]" in ended.stderr
