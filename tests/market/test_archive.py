"""Kline files in and out."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import DAY, parse_time, wall_ms
from tradebot.errors import BadKlines
from tradebot.market.archive import (
    KlineFile,
    file_name,
    kline_files,
    off_grid,
    plain,
    read_file,
    runs,
    series_of,
    take_in,
    write_file,
)
from tradebot.market.bars import Klines, open_of
from tradebot.market.chunks import Stretch
from tradebot.market.store import KlineStore

SERIES = ("ETHBTC", "5m")
T0 = 1_515_560_100_000
STEP = 300_000
HEADER = "open_time,open,high,low,close,volume"
ROW = f"{T0},0.09840000,0.09947660,0.09828605,0.09947660,1820.54447418"
ARCHIVE = f"{T0},2.10,2.30,2.00,2.20,100.500,1515560399999,215.07500000,42,60.250,128.93500000,0"


def bars(opens: list[int]) -> Klines:
    data = np.outer(np.arange(1, 11) / 7, [t // 1000 % 9973 for t in opens])
    data[0], data[2], data[3] = opens, data[1:5].max(axis=0), data[1:5].min(axis=0)
    data[7] = np.rint(data[7])
    return Klines(data)


def write(folder: Path, *lines: str, name: str = "ETHBTC-5m.csv") -> KlineFile:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return KlineFile(path, SERIES)


def read(file: KlineFile, rows: int = 3) -> Klines:
    return Klines(np.concatenate([Klines.empty().data, *(each.data for each in read_file(file, rows))], axis=1))


amounts = st.floats(0, 1e15)
prices = st.floats(1e-12, 1e12)


@st.composite
def series(draw: st.DrawFn) -> Klines:
    rows = []
    for n in draw(st.lists(st.integers(0, 200), max_size=10, unique=True).map(sorted)):
        low, one, other, high = sorted(draw(st.tuples(prices, prices, prices, prices)))
        trades = float(draw(st.integers(0, 10**12)))
        volume = draw(st.tuples(amounts, amounts, amounts, amounts))
        rows.append([T0 + n * STEP, one, high, low, other, *volume[:2], trades, *volume[2:]])
    return Klines(np.array(rows).reshape(-1, 10).T.copy())


@settings(max_examples=40, deadline=None)
@given(series(), st.sampled_from([".csv", ".parquet"]))
def test_what_is_written_is_read_back_to_the_last_bit(klines: Klines, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / file_name(SERIES, suffix)
        halves = [Klines(part) for part in np.array_split(klines.data, 2, axis=1)]
        assert write_file(path, SERIES, halves, "test") == len(klines)
        assert read(KlineFile(path, SERIES)).data.tobytes() == klines.data.tobytes()


@given(st.floats(0, 1e300))
def test_numbers_are_written_without_exponent(value: float) -> None:
    text = plain(value)
    assert float(text) == value
    assert "e" not in text


def test_the_venues_archive_is_read_zipped_or_not_in_ms_or_us(tmp_path: Path) -> None:
    expected = [T0, 2.1, 2.3, 2.0, 2.2, 100.5, 215.075, 42, 60.25, 128.935]
    assert read(write(tmp_path, ARCHIVE, name="ETHBTC-5m-2018-01.csv")).data[:, 0].tolist() == expected
    packed = tmp_path / "ETHBTC-5m-2018-01.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("ETHBTC-5m-2018-01.csv", ARCHIVE.replace(str(T0), f"{T0}000") + "\n")
    assert read(KlineFile(packed, SERIES)).data[:, 0].tolist() == expected


def test_what_a_file_does_not_say_is_what_playback_makes_of_it(tmp_path: Path) -> None:
    from tradebot.sim.files import read_klines

    file = write(tmp_path, HEADER, ROW, ROW.replace(str(T0), str(T0 + STEP)))
    assert np.array_equal(read(file, 100).data, read_klines(file.path).klines().data)


@pytest.mark.parametrize(
    ("line", "place", "problem"),
    [
        (ROW.replace("0.09947660", "abc", 1), "column 3 (high)", "'abc' is not a number"),
        (ROW.replace("1820.54447418", ""), "column 6 (volume)", "'' is not a number"),
        (ROW.replace("1820.54447418", "nan"), "column 6 (volume)", "'nan' is not a number"),
        (ROW.replace("1820.54447418", "inf"), "column 6 (volume)", "'inf' is not a number"),
        (ROW.replace("1820.54447418", "-1"), "column 6 (volume)", "'-1' is negative"),
        (ROW.replace("1820.54447418", "-0"), "column 6 (volume)", "'-0' is negative"),
        (ROW.replace("1820.54447418", "1e999"), "column 6 (volume)", "'1e999' is too large"),
        (ROW.replace("1820.54447418", '"1,5"'), "column 6 (volume)", "'1,5' is not a number"),
        (ROW.replace(str(T0), "1515560100"), "column 1 (open_time)", "is not a time in ms"),
        (ROW.replace(str(T0), str(T0 - STEP)), "column 1 (open_time)", "does not come after"),
        (ROW.replace(str(T0), str(T0 - 1)), "column 1 (open_time)", "opens in the same 5m bar"),
        (ROW.replace("0.09947660", "0.09", 1), "column 3 (high)", "is below open or close"),
        (ROW.replace("0.09828605", "0.099"), "column 4 (low)", "at most open and close"),
        (ROW.replace("0.09828605", "0"), "column 4 (low)", "is not above 0"),
        (ROW + ",1", "column 7", "7 values instead of 6"),
    ],
)
@pytest.mark.parametrize("rows", [1, 100])
def test_a_bad_cell_is_named_with_line_and_column(
    tmp_path: Path, line: str, place: str, problem: str, rows: int
) -> None:
    file = write(tmp_path, HEADER, ROW.replace(str(T0), str(T0 - STEP)), line)
    with pytest.raises(BadKlines) as caught:
        read(file, rows)
    assert f"{file.path} line 3, {place}" in str(caught.value)
    assert problem in str(caught.value)


def test_of_two_bad_lines_the_first_is_named(tmp_path: Path) -> None:
    low, late = ROW.replace("0.09828605", "0"), ROW.replace(str(T0), "1415560100000")
    with pytest.raises(BadKlines, match=r"line 2, column 4 \(low\)"):
        read(write(tmp_path, HEADER, low, late), 100)


def test_numbers_may_be_written_in_several_ways(tmp_path: Path) -> None:
    klines = read(
        write(tmp_path, HEADER + ",quote_volume,trades,taker_base,taker_quote", f"{T0},1,1,1,1, 7 ,5.,2,.5,1E3")
    )
    assert klines.data[5:, 0].tolist() == [7, 5, 2, 0.5, 1000]


def test_rows_of_a_coarser_interval_are_told_by_their_distance(tmp_path: Path) -> None:
    lines = [ROW.replace(str(T0), str(T0 + 3 * n * STEP)) for n in range(12)]
    with pytest.raises(BadKlines, match=r"its rows are 15m apart, not 5m"):
        read(write(tmp_path, HEADER, *lines))


def test_few_or_scattered_rows_of_a_quiet_market_are_no_coarser_interval(tmp_path: Path) -> None:
    for places in (range(0, 30, 3), (0, 2, 5, 7, 10, 13, 15, 17, 20, 22, 25, 27)):
        assert len(read(write(tmp_path, HEADER, *(ROW.replace(str(T0), str(T0 + n * STEP)) for n in places)))) >= 10


def test_bars_beside_the_grid_are_kept_and_counted(tmp_path: Path) -> None:
    file = write(tmp_path, HEADER, ROW, ROW.replace(str(T0), str(T0 + STEP + 15_000)))
    klines = read(file)
    assert len(klines) == 2
    assert off_grid(klines, "5m") == 1


def test_runs_are_what_holds_together() -> None:
    opens = [T0 + n * STEP for n in (0, 1, 2, 5, 6, 9)]
    opens[1] += 15_000
    found = [run.open_time.tolist() for run in runs(bars(opens), "5m")]
    assert found == [opens[:3], opens[3:5], opens[5:]]
    assert list(runs(Klines.empty(), "5m")) == []


@pytest.mark.parametrize(
    "symbol", ["BTCUSDT", "BTC/USDT:USDT", "BTC-USDT", "币安人生USDT", "BTCUSDT_250627", "..", "%41"]
)
def test_a_files_name_tells_its_series(symbol: str) -> None:
    name = file_name((symbol, "1h"), ".csv")
    assert "/" not in name
    assert not name.startswith(".")
    assert series_of(Path(name)) == (symbol, "1h")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTCUSDT-1m-2024-01.zip", ("BTCUSDT", "1m")),
        ("BTCUSDT-1m-2024-01-31.csv", ("BTCUSDT", "1m")),
        ("BTCUSDT-5m.parquet", ("BTCUSDT", "5m")),
        ("BTCUSDT-7m.csv", None),
        ("BTCUSDT.csv", None),
        ("README.md", None),
    ],
)
def test_names_of_archives_are_known(name: str, expected: object) -> None:
    assert series_of(Path(name)) == expected


@pytest.mark.parametrize(
    ("name", "opens", "wrong"),
    [
        ("A-1h-2024-01.csv", ("2024-01-01T00:00", "2024-01-31T23:00"), None),
        ("A-1w-2024-05.csv", ("2024-04-29T00:00", "2024-05-27T00:00"), None),  # a week may begin before
        ("A-1h-2024-01.csv", ("2024-01-31T23:00", "2024-02-01T00:00"), "line 3, .* is not of 2024-01, which"),
        ("A-1h-2024-01-15.csv", ("2024-01-14T23:00", "2024-01-15T00:00"), "line 2, .* is not of 2024-01-15, which"),
        ("A-1h-2024-02-31.csv", ("2024-02-01T00:00", "2024-02-02T00:00"), "2024-02-31 in its name is no date"),
    ],
)
def test_rows_are_of_the_time_that_the_files_name_tells(
    tmp_path: Path, name: str, opens: tuple[str, ...], wrong: str | None
) -> None:
    (tmp_path / name).write_text(
        "open_time,open,high,low,close,volume\n" + "".join(f"{parse_time(each)},1,1,1,1,1\n" for each in opens)
    )
    (file,) = kline_files(tmp_path)
    if wrong is None:
        assert sum(map(len, read_file(file))) == 2
    else:
        with pytest.raises(BadKlines, match=wrong):
            list(read_file(file))


def test_a_folder_gives_its_kline_files_by_name(tmp_path: Path) -> None:
    for name in ("B-5m-2024-02.csv", "B-5m-2024-01.csv", "A-1h.parquet", "notes.csv", "README.md"):
        (tmp_path / name).touch()
    assert [file.path.name for file in kline_files(tmp_path)] == [
        "A-1h.parquet",
        "B-5m-2024-01.csv",
        "B-5m-2024-02.csv",
    ]
    assert kline_files(tmp_path / "A-1h.parquet")[0].series == ("A", "1h")


def test_the_archives_own_folders_are_looked_into(tmp_path: Path) -> None:
    for name in ("monthly/klines/A/1h/A-1h-2024-01.zip", "daily/klines/A/1h/A-1h-2024-02-01.zip", "A-1m.csv/x"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "monthly/klines/A/1h/A-1h-2024-01.zip.CHECKSUM").touch()
    assert [file.path.name for file in kline_files(tmp_path)] == ["A-1h-2024-02-01.zip", "A-1h-2024-01.zip"]


def test_where_there_is_no_kline_file_that_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadKlines, match="no such file or folder"):
        kline_files(tmp_path / "nowhere")
    with pytest.raises(BadKlines, match="no kline files in it"):
        kline_files(tmp_path)
    (tmp_path / "notes.csv").touch()
    with pytest.raises(BadKlines, match="its name tells no series"):
        kline_files(tmp_path / "notes.csv")


def test_a_file_that_could_not_be_finished_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "ETHBTC-5m.csv"
    path.write_text("as it was")

    def parts() -> object:
        yield bars([T0])
        raise BadKlines("the store broke")

    with pytest.raises(BadKlines, match="the store broke"):
        write_file(path, SERIES, parts(), "test")  # type: ignore[arg-type]
    assert [each.name for each in tmp_path.iterdir()] == ["ETHBTC-5m.csv"]
    assert path.read_text() == "as it was"
    with pytest.raises(BadKlines, match="cannot be written"):
        write_file(tmp_path / "nowhere" / "ETHBTC-5m.csv", SERIES, [], "test")


def test_real_klines_go_out_and_in_to_the_digit(real_klines: Path, tmp_path: Path) -> None:
    for file in kline_files(real_klines):
        there = read(file, 10_000)
        path = tmp_path / file_name(file.series, ".parquet")
        write_file(path, file.series, [there], "test")
        assert np.array_equal(read(KlineFile(path, file.series), 1_000).data, there.data)
        lines = file.path.read_text().splitlines()
        assert len(there) == len(lines) - 1
        assert [plain(value) for value in there.data[:6, -1].tolist()] == [
            plain(float(cell)) for cell in lines[-1].split(",")
        ]


places = st.lists(st.integers(0, 40), max_size=12, unique=True).map(sorted)


@settings(max_examples=40, deadline=None)
@given(places, st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted), places)
def test_what_is_stored_stays_and_the_file_fills_the_rest(stored: list[int], span: list[int], filed: list[int]) -> None:
    first, last = span
    ours = bars([T0 + n * STEP for n in stored if first <= n <= last])
    theirs = Klines(bars([T0 + n * STEP for n in filed]).data * np.array([1.0, *[2.0] * 9])[:, None])
    with tempfile.TemporaryDirectory() as folder, KlineStore(Path(folder), "test") as store:
        store.add([Stretch(SERIES, ours, T0 + first * STEP, T0 + last * STEP)])
        path = Path(folder) / "ETHBTC-5m.parquet"
        write_file(path, SERIES, [theirs], "test")
        told = take_in(store, KlineFile(path, SERIES))
        outside = [n for n in filed if not first <= n <= last]
        assert (told.rows, told.new, told.conflicts) == (len(filed), len(outside), len(filed) - len(outside))
        held = store.read(*SERIES)
        assert held.between(T0 + first * STEP, T0 + last * STEP).data.tobytes() == ours.data.tobytes()
        assert {int(t) for t in held.open_time} == {*ours.open_time.tolist(), *(T0 + n * STEP for n in outside)}
        known = {n for n in range(41) if not store.missing(*SERIES, T0 + n * STEP, T0 + n * STEP)}
        assert known == {*range(first, last + 1), *outside}


def test_a_bar_that_has_not_closed_is_not_taken_for_a_final_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now = open_of("1d", wall_ms())
    path = tmp_path / "ETHBTC-1d.csv"
    rows = [f"{now + day * DAY},1,2,0.5,1,1" for day in (-2, -1, 0, 1)]
    path.write_text("\n".join(["open_time,open,high,low,close,volume", *rows]))
    with KlineStore(tmp_path / "klines", "test") as store:
        told = take_in(store, KlineFile(path, ("ETHBTC", "1d")))
        assert store.spans("ETHBTC", "1d") == ((now - 2 * DAY, now - DAY),)
    assert (told.rows, told.new, told.last_open) == (2, 2, now - DAY)
    assert "2 rows that have not closed yet are left out" in caplog.text
