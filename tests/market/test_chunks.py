"""How klines lie on disk, and what happens to what does not belong there."""

from __future__ import annotations

import logging
import os
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import diskcache
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.errors import BadKlines, MarketError
from tradebot.market.bars import Klines
from tradebot.market.chunks import CHUNK, HEADER, BytesDisk, Change, Chunks, Coverage, chunk_open, seal, unseal

STEP = 300_000
T0 = 1_516_406_400_000
START = chunk_open("5m", T0)
SERIES = ("A", "5m")


def klines(count: int, start: int = START) -> Klines:
    times = start + STEP * np.arange(count, dtype=np.float64)
    data = np.outer(np.arange(1, 11) / 7, times // 1000 % 9973)
    data[0] = times
    return Klines(data)


def change(part: Klines, base: Coverage | None = None, *, replaces: bool = False) -> Change:
    first, newest = int(part.data[0, 0]), int(part.data[0, -1])
    return Change(SERIES, part, Coverage(first, first, newest), base, replaces)


def filled(folder: Path, count: int = 3 * CHUNK) -> Klines:
    """A folder with one series."""
    chunks = Chunks(folder, "test")
    chunks.commit([change(klines(count))])
    chunks.close()
    return klines(count)


class Trap:
    """Unpickling it leaves a mark on the disk."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@given(st.binary(max_size=100))
def test_what_was_sealed_comes_back(payload: bytes) -> None:
    assert bytes(unseal(seal(payload))) == payload


@given(st.binary(min_size=1, max_size=100), st.data())
def test_a_changed_byte_is_noticed(payload: bytes, data: st.DataObject) -> None:
    raw = bytearray(seal(payload))
    place = data.draw(st.sampled_from([i for i in range(len(raw)) if i not in (6, 7)]))  # padding
    raw[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadKlines):
        unseal(bytes(raw))


@given(st.binary(max_size=40))
def test_foreign_bytes_and_short_ones_are_refused(raw: bytes) -> None:
    with pytest.raises(BadKlines):
        unseal(raw)


def test_an_entry_of_another_version_says_so() -> None:
    with pytest.raises(BadKlines, match="of version 9"):
        unseal(HEADER.pack(b"TBKL", 9, 0, 0))


@given(st.integers(1, 3 * CHUNK), st.integers(0, 2 * CHUNK))
def test_the_chunk_of_a_bar_begins_at_or_before_it(count: int, offset: int) -> None:
    moment = T0 + offset * STEP + count
    assert chunk_open("5m", moment) <= moment < chunk_open("5m", moment) + CHUNK * STEP


def test_a_series_comes_back_in_whole_chunks(tmp_path: Path) -> None:
    truth = filled(tmp_path)
    chunks = Chunks(tmp_path, "test")
    assert chunks.index() == {SERIES: Coverage(START, START, START + (3 * CHUNK - 1) * STEP)}
    part, whole = chunks.load(SERIES, START + STEP, START + CHUNK * STEP)
    assert whole
    assert (part.data == truth.data[:, : 2 * CHUNK]).all()
    chunks.close()


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "klines"
    Chunks(folder, "test").close()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_live_entries_stay_in_the_database(tmp_path: Path) -> None:
    filled(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


def test_nothing_is_ever_dropped_for_its_size(tmp_path: Path) -> None:
    chunks = Chunks(tmp_path, "test")
    assert (chunks._cache.eviction_policy, chunks._cache.cull_limit) == ("none", 0)
    chunks.close()


@pytest.mark.parametrize("value", ["text", 7, 1.5, None, ("t",), {"k": 1}, bytearray(b"x")])
def test_only_bytes_go_in(tmp_path: Path, value: object) -> None:
    with diskcache.Cache(str(tmp_path), disk=BytesDisk) as cache:
        with pytest.raises(TypeError, match="values are bytes"):
            cache["key"] = value
        with pytest.raises(TypeError, match="keys are text"):
            cache[value if value != "text" else b"key"] = b""


def poison(folder: Path, key: str, value: object, minimum: int) -> None:
    """What somebody without our care could leave in the folder."""
    with diskcache.Cache(str(folder), disk_min_file_size=minimum) as cache:
        cache[key] = value


@pytest.mark.parametrize("minimum", [0, 1 << 20], ids=["in a file", "in the database"])
def test_a_pickle_is_never_executed_but_set_aside(
    tmp_path: Path, minimum: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder, mark = tmp_path / "klines", tmp_path / "executed"
    filled(folder)
    poison(folder, f"test|A|5m|{START}", Trap(mark), minimum)
    poison(folder, "test|index", Trap(mark), minimum)
    chunks = Chunks(folder, "test")
    with caplog.at_level(logging.WARNING):
        assert chunks.index()[SERIES].since > START  # rebuilt, and claims nothing
        part, whole = chunks.load(SERIES, START, START + (3 * CHUNK - 1) * STEP)
    chunks.close()
    assert not mark.exists()
    assert (len(part), whole) == (2 * CHUNK, False)
    assert "set aside" in caplog.text
    kept = [path.read_bytes() for path in (folder / "aside").iterdir()]
    assert len(kept) == 2
    assert all(b"mkdir" in raw for raw in kept)


def test_a_pickled_key_is_not_read(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    with diskcache.Cache(str(tmp_path / "klines")) as cache:
        cache["plain"] = b""
        cache._sql("UPDATE Cache SET key = ?, raw = 0", (sqlite3.Binary(pickle.dumps(Trap(mark))),))
    chunks = Chunks(tmp_path / "klines", "test")
    assert chunks.index() == {}
    chunks.close()
    assert not mark.exists()


@pytest.mark.parametrize("value", [b"", b"short", b"x" * 99, "text", 7, seal(b"odd")[:-1]])
def test_a_damaged_entry_is_set_aside_and_reported(
    tmp_path: Path, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path)
    poison(tmp_path, f"test|A|5m|{START}", value, 1 << 20)
    chunks = Chunks(tmp_path, "test")
    with caplog.at_level(logging.WARNING):
        assert chunks.load(SERIES, START, START)[1] is False
    assert len(list((tmp_path / "aside").iterdir())) == 1
    assert f"test|A|5m|{START}" in caplog.text
    caplog.clear()
    assert chunks.load(SERIES, START, START)[1] is False
    assert not caplog.text
    chunks.close()


def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache.db").write_bytes(b"this is not a database at all" * 100)
    with caplog.at_level(logging.WARNING):
        assert filled(tmp_path)
    assert "set aside" in caplog.text
    assert list((tmp_path / "aside").iterdir())


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MarketError, match=r"kline store .*file/klines: Not a directory; .*--data-dir"):
        Chunks(tmp_path / "file" / "klines", "test")


def test_a_full_disk_is_one_clear_line_and_loses_nothing(tmp_path: Path) -> None:
    filled(tmp_path, CHUNK)
    with diskcache.Cache(str(tmp_path), sqlite_max_page_count=30):
        pass
    chunks = Chunks(tmp_path, "test")
    before = chunks.index()[SERIES]
    with pytest.raises(MarketError, match=r"kline store .*: database or disk is full; .*--data-dir"):
        chunks.commit([change(klines(9 * CHUNK), before)])
    assert chunks.index()[SERIES] == before
    assert len(chunks.load(SERIES, START, START)[0]) == CHUNK
    chunks.close()


def test_a_lock_that_is_held_too_long_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradebot.market.chunks.LOCK_TIMEOUT_S", 0.05)
    chunks, other = Chunks(tmp_path, "test"), sqlite3.connect(tmp_path / "cache.db")
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(MarketError, match="locked by another process"):
        chunks.commit([change(klines(1))])
    other.close()
    chunks.close()


def test_a_commit_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    filled(tmp_path, CHUNK)
    writer, reader = Chunks(tmp_path, "test"), Chunks(tmp_path, "test")
    bad = Change(("B", "5m"), Klines.empty(), Coverage(0, 0, 0), None)
    with pytest.raises(IndexError):
        writer.commit([change(klines(2 * CHUNK)), bad])
    assert list(reader.index()) == [SERIES]
    assert reader.index()[SERIES].newest == START + (CHUNK - 1) * STEP
    assert len(reader.load(SERIES, START, START + CHUNK * STEP)[0]) == CHUNK
    writer.close()
    reader.close()


def test_what_another_process_stored_meanwhile_is_kept(tmp_path: Path) -> None:
    chunks = Chunks(tmp_path, "test")
    chunks.commit([change(klines(10))])
    chunks.commit([change(klines(4))])  # built on nothing, as if it had not seen the first
    assert chunks.index()[SERIES].newest == START + 9 * STEP
    assert len(chunks.load(SERIES, START, START)[0]) == 10
    chunks.close()


def test_a_series_of_another_venue_is_replaced_with_its_history(tmp_path: Path) -> None:
    filled(tmp_path)
    chunks = Chunks(tmp_path, "test")
    base = chunks.index()[SERIES]
    chunks.commit([change(klines(5, START + 2 * CHUNK * STEP), base, replaces=True)])
    assert chunks.index()[SERIES].first == START + 2 * CHUNK * STEP
    assert [len(chunks.load(SERIES, START + i * CHUNK * STEP, START + i * CHUNK * STEP)[0]) for i in range(3)] == [
        0,
        0,
        5,
    ]
    chunks.close()
