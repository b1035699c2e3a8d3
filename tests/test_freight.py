"""Klines as files, out and in."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tradebot.clock import DAY, HOUR, MINUTE
from tradebot.config import Settings
from tradebot.errors import MarketError, UsageError
from tradebot.freight import export, take
from tradebot.keeping import open_store
from tradebot.market.archive import kline_files, read_file
from tradebot.market.bars import Klines

from .conftest import MakeSettings
from .test_keeping import T0, bars, stretch


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """A store with two symbols on 5m, one on 1h."""
    found = make_settings()
    with open_store(found) as store:
        store.add([stretch("BTCUSDT", "5m", 2_000, 7), stretch("ETHUSDT", "5m", 100), stretch("BTCUSDT", "1h", 30)])
    return found


@pytest.mark.parametrize("suffix", [None, "parquet"])
def test_what_is_exported_is_imported_to_the_last_bit(
    make_settings: MakeSettings, settings: Settings, tmp_path: Path, suffix: str | None
) -> None:
    told: list[tuple[str, int, int]] = []
    document = export(settings, tmp_path / "out", suffix, None, None, progress=lambda *each: told.append(each))
    ending = suffix or "csv"
    names = [f"BTCUSDT-5m.{ending}", f"BTCUSDT-1h.{ending}", f"ETHUSDT-5m.{ending}"]
    assert [Path(row["path"]).name for row in document["files"]] == names
    assert [row["rows"] for row in document["files"]] == [1_999, 30, 100]
    other = make_settings(data_dir=str(tmp_path / "other"))
    imported = take(other, tmp_path / "out", lambda *each: told.append(each))
    assert told == [(stage, done, 3) for stage in ("export", "import") for done in (1, 2, 3)]
    assert imported["errors"] == []
    assert sum(row["new"] for row in imported["files"]) == 2_129
    with open_store(settings) as one, open_store(other) as two:
        for series in one.stored():
            assert one.read(*series).data.tobytes() == two.read(*series).data.tobytes()


def test_an_export_names_the_stored_intervals_that_were_not_asked_for(
    make_settings: MakeSettings, settings: Settings, tmp_path: Path
) -> None:
    with open_store(settings) as store:
        store.add([stretch("BTCUSDT", "1m", 50), stretch("ETHUSDT", "4h", 5)])
    assert export(settings, tmp_path / "all", None, None, None)["others"] == ["1m", "4h"]
    one = make_settings(universe__symbols="ETHUSDT", market__intervals="5m,4h")
    assert export(one, tmp_path / "one", None, None, None)["others"] == []


def test_a_part_of_one_series_goes_to_a_file(make_settings: MakeSettings, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "ETHUSDT-5m.csv"
    one = make_settings(universe__symbols="ETHUSDT", market__intervals="5m")
    export(one, path, None, T0 + HOUR, T0 + 2 * HOUR)
    (klines,) = read_file(kline_files(path)[0])
    assert klines.open_time.tolist() == [T0 + HOUR + n * 5 * MINUTE for n in range(12)]


def test_a_time_of_which_nothing_is_stored_leaves_the_file_that_is_there_alone(
    make_settings: MakeSettings, settings: Settings, tmp_path: Path
) -> None:
    export(settings, tmp_path, None, None, None)
    before = (tmp_path / "ETHUSDT-5m.csv").read_bytes()
    with pytest.raises(MarketError, match="nothing is stored of that time"):
        export(settings, tmp_path, None, T0 - HOUR, T0)
    only = export(settings, tmp_path, None, T0 + 100 * 5 * MINUTE, None)["files"]
    assert [(row["symbol"], row["interval"]) for row in only] == [("BTCUSDT", "5m"), ("BTCUSDT", "1h")]
    assert (tmp_path / "ETHUSDT-5m.csv").read_bytes() == before


def test_an_export_counts_what_is_missing_also_what_it_finds_damaged(settings: Settings, tmp_path: Path) -> None:
    with open_store(settings) as store:
        store.add(
            [
                stretch("NEWUSDT", "5m", 10),
                stretch("NEWUSDT", "5m", 10)._replace(since=T0 + DAY, newest=T0 + DAY, klines=Klines.empty()),
            ]
        )
    found = export(settings, tmp_path, None, None, None)
    assert {(row["symbol"], row["interval"]): row["missing"] for row in found["files"]} == {
        ("BTCUSDT", "5m"): 0, ("BTCUSDT", "1h"): 0, ("ETHUSDT", "5m"): 0, ("NEWUSDT", "5m"): 288 - 10,
    }  # fmt: skip
    with closing(sqlite3.connect(settings.data_path / "klines" / "cache.db")) as database, database:
        database.execute("UPDATE Cache SET value = 'x' WHERE key LIKE '%ETHUSDT|5m|%'")
    row = next(row for row in export(settings, tmp_path, None, None, None)["files"] if row["symbol"] == "ETHUSDT")
    assert (row["rows"], row["missing"]) == (0, 100)


def test_a_file_takes_one_series_and_its_own_format(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 series do not fit in one file; name a folder"):
        export(settings, tmp_path / "all.csv", None, None, None)
    with pytest.raises(UsageError, match=r"all\.csv is not --format parquet"):
        export(settings, tmp_path / "all.csv", "parquet", None, None)
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match="taken: File exists; choose another place"):
        export(settings, tmp_path / "taken", None, None, None)


def test_a_bad_file_is_named_and_left_out_whole(
    make_settings: MakeSettings, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    export(settings, folder, None, None, None)
    lines = (folder / "BTCUSDT-5m.csv").read_text().splitlines()
    lines[1_500] = lines[1_499]
    (folder / "BTCUSDT-5m.csv").write_text("\n".join(lines))
    other = make_settings(data_dir=str(tmp_path / "other"))
    document = take(other, folder)
    assert len(document["files"]) == 2
    (error,) = document["errors"]
    assert error["path"].endswith("BTCUSDT-5m.csv")
    assert "line 1501, column 1 (open_time)" in error["error"]
    with open_store(other) as store:
        assert store.stored() == [("BTCUSDT", "1h"), ("ETHUSDT", "5m")]


def test_what_is_stored_wins_over_a_file_and_that_is_told(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-5m.csv"
    rows = ["open_time,open,high,low,close,volume"]
    rows += [f"{T0 + n * 5 * MINUTE},1,2,1,2,3" for n in (6, 7, 1_999, 2_000, 2_001, 2_004)]
    path.write_text("\n".join(rows))
    (told,) = take(settings, path)["files"]
    assert (told["rows"], told["new"], told["conflicts"]) == (6, 3, 3)
    with open_store(settings) as store:
        assert len(store.read("BTCUSDT", "5m")) == 1_999 + 3
        assert (
            store.read("BTCUSDT", "5m", T0, T0 + 1_999 * 5 * MINUTE).data.tobytes()
            == bars("5m", 2_000, 7).data.tobytes()
        )
        hole = (T0 + 2_002 * 5 * MINUTE, T0 + 2_003 * 5 * MINUTE)
        assert store.missing("BTCUSDT", "5m", T0, T0 + 2_004 * 5 * MINUTE) == (hole,), "who knows what a file lacks?"
    (again,) = take(settings, path)["files"]
    assert (again["new"], again["conflicts"]) == (0, 3)


def test_a_file_may_hold_bars_beside_the_grid(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "LTCUSDT-5m.csv"
    moments = [T0, T0 + 5 * MINUTE + 15_000, T0 + 10 * MINUTE]
    path.write_text("\n".join(f"{moment},1,2,1,2,3" for moment in moments))
    (told,) = take(settings, path)["files"]
    assert (told["new"], told["off_grid"], told["conflicts"]) == (3, 1, 0)
    with open_store(settings) as store:
        assert store.read("LTCUSDT", "5m").open_time.tolist() == moments
        assert store.missing("LTCUSDT", "5m", T0, T0 + 10 * MINUTE) == ()
    assert take(settings, path)["files"][0]["conflicts"] == 0


def test_real_klines_come_in_and_go_out_as_they_are(
    make_settings: MakeSettings, real_klines: Path, tmp_path: Path
) -> None:
    settings = make_settings(market__intervals="1m,5m")
    assert take(settings, real_klines)["errors"] == []
    export(settings, tmp_path / "out", None, None, None)
    for file in kline_files(real_klines):
        before = [line.split(",") for line in file.path.read_text().splitlines()[1:]]
        after = [line.split(",") for line in (tmp_path / "out" / file.path.name).read_text().splitlines()[1:]]
        assert [list(map(float, row)) for row in before] == [list(map(float, row[:6])) for row in after]
