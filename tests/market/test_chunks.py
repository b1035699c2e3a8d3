"""How klines lie on disk, and what happens to what does not belong there."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diskcache
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.errors import ConfigError, MarketError
from tradebot.market.bars import Klines
from tradebot.market.chunks import CHUNK, Change, Chunks, Coverage, Series, Stretch, chunk_open, in_line
from tradebot.market.coverage import followed
from tradebot.market.seals import seal

STEP = 300_000
T0 = 1_516_406_400_000
START = chunk_open("5m", T0)
SERIES = ("A", "5m")


def klines(count: int, start: int = START) -> Klines:
    times = start + STEP * np.arange(count, dtype=np.float64)
    data = np.outer(np.arange(1, 11) / 7, times // 1000 % 9973)
    data[0] = times
    return Klines(data)


def change(part: Klines, base: Coverage | None = None, *, replaces: bool = False, series: Series = SERIES) -> Change:
    first, newest = int(part.data[0, 0]), int(part.data[0, -1])
    return Change(series, part, Coverage(first, first, newest), base, replaces)


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


@given(st.integers(1, 3 * CHUNK), st.integers(0, 2 * CHUNK))
def test_the_chunk_of_a_bar_begins_at_or_before_it(count: int, offset: int) -> None:
    moment = T0 + offset * STEP + count
    assert chunk_open("5m", moment) <= moment < chunk_open("5m", moment) + CHUNK * STEP


def same(one: Klines, other: Klines) -> bool:
    return bool(np.array_equal(one.data, other.data))


@pytest.fixture
def chunks(tmp_path: Path) -> Iterator[Chunks]:
    chunks = Chunks(tmp_path, "test")
    yield chunks
    chunks.close()


def test_any_part_of_a_series_comes_back(chunks: Chunks, tmp_path: Path) -> None:
    truth = filled(tmp_path)
    assert chunks.index() == {SERIES: Coverage(START, START, START + (3 * CHUNK - 1) * STEP)}
    for left, right in [(0, 3 * CHUNK), (1, CHUNK), (CHUNK - 1, CHUNK), (-9, 9_999), (5, 4), (9_999, 10_000)]:
        start, end = START + left * STEP, START + right * STEP
        part, whole = chunks.load(SERIES, start, end)
        assert whole
        assert same(part, truth.between(start, end))


def test_many_series_are_loaded_at_once(chunks: Chunks) -> None:
    parts = {(name, "5m"): klines(count, START + count * STEP) for name, count in (("A", 3), ("B", 700), ("C", 1_400))}
    chunks.commit([change(part, series=series) for series, part in parts.items()])
    asked = [(("Z", "5m"), START, START), *((series, START, START + 3_000 * STEP) for series in reversed(parts))]
    (nothing, _), *loaded = chunks.load_many(asked)
    assert len(nothing) == 0
    assert all(same(found, part) for (found, _), part in zip(loaded, reversed(parts.values()), strict=True))


def test_a_read_takes_what_is_there_in_the_order_asked_for(
    chunks: Chunks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebot.market.chunks.READ_AT_ONCE", 2)
    truth = filled(tmp_path)
    chunks.commit([change(klines(5), series=("B", "5m"))])
    found = dict(chunks.read([("B", "5m"), ("Z", "1h"), SERIES, ("B", "15m")], START + STEP, None))
    assert list(found) == [("B", "5m"), ("Z", "1h"), SERIES, ("B", "15m")]
    assert [len(part) for part in found.values()] == [4, 0, 3 * CHUNK - 1, 0]
    assert same(found[SERIES], Klines(truth.data[:, 1:]))


def test_live_entries_stay_in_the_database(tmp_path: Path) -> None:
    filled(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} <= {"cache.db", "cache.db-wal", "cache.db-shm"}


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
    poison(folder, f"test|A|5m|{START:015d}", Trap(mark), minimum)
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


def test_an_index_that_is_a_pickle_does_not_stop_a_read(tmp_path: Path) -> None:
    truth, mark = filled(tmp_path / "klines"), tmp_path / "executed"
    poison(tmp_path / "klines", "test|index", Trap(mark), 1 << 20)
    chunks = Chunks(tmp_path / "klines", "test")
    ((_, part),) = chunks.read([SERIES], START, None)
    assert same(part, Klines(truth.data[:, : len(part)]))
    chunks.close()
    assert not mark.exists()


@pytest.mark.parametrize("value", [b"", b"short", b"x" * 99, "text", 7, seal(b"odd"), seal(b"odd")[:-1]])
def test_a_damaged_entry_is_set_aside_reported_and_no_longer_covered(
    chunks: Chunks, tmp_path: Path, value: object, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path)
    middle = START + CHUNK * STEP
    poison(tmp_path, f"test|A|5m|{middle:015d}", value, 1 << 20)
    with caplog.at_level(logging.WARNING):
        part, whole = chunks.load(SERIES, START, START + 2 * CHUNK * STEP)
    assert (len(part), whole) == (CHUNK + 1, False)
    assert len(list((tmp_path / "aside").iterdir())) == 1
    assert f"test|A|5m|{middle:015d}" in caplog.text
    assert chunks.index()[SERIES].spans == (
        (START, middle - STEP),
        (START + 2 * CHUNK * STEP, START + (3 * CHUNK - 1) * STEP),
    )
    caplog.clear()
    assert chunks.load(SERIES, middle, middle)[1]
    assert not caplog.text


@pytest.mark.parametrize("value", [b"{}", b"x" * 50, seal(b"odd"), seal(zlib.compress(b"[1]"))])
def test_a_damaged_index_is_built_anew_and_claims_nothing(chunks: Chunks, tmp_path: Path, value: bytes) -> None:
    filled(tmp_path)
    poison(tmp_path, "test|index", value, 1 << 20)
    newest = START + 2 * CHUNK * STEP
    assert chunks.index() == {SERIES: Coverage(START, newest, newest)}
    assert len(list((tmp_path / "aside").iterdir())) == 1


def test_a_full_disk_is_one_clear_line_and_loses_nothing(tmp_path: Path) -> None:
    filled(tmp_path, CHUNK)
    with diskcache.Cache(str(tmp_path), sqlite_max_page_count=30):
        pass
    chunks = Chunks(tmp_path, "test")
    before = chunks.index()[SERIES]
    with pytest.raises(MarketError, match=r"kline store .*: database or disk is full; .*--data-dir"):
        chunks.commit([change(klines(9 * CHUNK), before)])
    assert chunks.index()[SERIES] == before
    assert len(chunks.load(SERIES, START, START + CHUNK * STEP)[0]) == CHUNK
    chunks.close()


def test_a_commit_is_seen_whole_or_not_at_all(chunks: Chunks, tmp_path: Path) -> None:
    filled(tmp_path, CHUNK)
    reader = Chunks(tmp_path, "test")
    bad = Change(("B", "no interval"), klines(1), Coverage(0, 0, 0), None)
    with pytest.raises(ConfigError):
        chunks.commit([change(klines(2 * CHUNK)), bad])
    assert list(reader.index()) == [SERIES]
    assert reader.index()[SERIES].newest == START + (CHUNK - 1) * STEP
    assert len(reader.load(SERIES, START, START + 2 * CHUNK * STEP)[0]) == CHUNK
    reader.close()


WRITER = """
import sys
from pathlib import Path
import numpy as np
from tradebot.market.bars import Klines
from tradebot.market.chunks import Change, Chunks, Coverage

chunks, start, base = Chunks(Path(sys.argv[1]), "test"), int(sys.argv[2]), None
for count in range(1, 100_000):
    data = np.full((10, count), float(count))
    data[0] = start + 300_000 * np.arange(count)
    coverage = Coverage(start, start, start + 300_000 * (count - 1))
    chunks.commit([Change((name, "5m"), Klines(data), coverage, base) for name in "ABCDE"])
    base = coverage
    print(count, flush=True)
"""


def test_a_process_killed_in_the_middle_of_its_commits_leaves_whole_ones(tmp_path: Path) -> None:
    for kill in range(3):
        folder = tmp_path / str(kill)
        command = [sys.executable, "-c", WRITER, str(folder), str(START)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout
            reported = 0
            while reported < 10 + 7 * kill:
                reported = int(writer.stdout.readline())
            writer.kill()
        chunks = Chunks(folder, "test")
        index = chunks.index()
        stored = [klines for _, klines in chunks.read([(name, "5m") for name in "ABCDE"], None, None)]
        chunks.close()
        assert len(set(index.values())) == 1
        count = len(stored[0])
        assert count >= reported
        assert index["A", "5m"].newest == START + (count - 1) * STEP
        assert all(len(klines) == count and (klines.data[1:] == count).all() for klines in stored)


def test_readers_always_see_whole_commits(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(START)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout
        writer.stdout.readline()
        reader = Chunks(tmp_path, "test")
        names = [(name, "5m") for name in "ABCDE"]
        for _ in range(50):
            counts = {
                (len(klines), klines.data[1:].min(), klines.data[1:].max())
                for _, klines in reader.read(names, None, None)
            }
            ((count, least, most),) = counts
            assert count == least == most
        reader.close()
        writer.kill()


def test_what_another_process_stored_meanwhile_is_kept(chunks: Chunks) -> None:
    chunks.commit([change(klines(10))])
    chunks.commit([change(klines(4))])  # built on nothing, as if it had not seen the first
    assert chunks.index()[SERIES].newest == START + 9 * STEP
    assert len(chunks.load(SERIES, START, START + CHUNK * STEP)[0]) == 10


def test_what_was_dropped_meanwhile_is_not_claimed_by_who_did_not_see_it(chunks: Chunks) -> None:
    chunks.commit([change(klines(2 * CHUNK + 9))])
    base = chunks.index()[SERIES]
    chunks.prune([SERIES], 0)
    border = START + 2 * CHUNK * STEP
    longer = Change(SERIES, klines(10, border), base._replace(newest=border + 9 * STEP), base)
    chunks.commit([longer])
    assert chunks.index()[SERIES] == Coverage(border, border, border + 9 * STEP)


def test_a_window_after_a_long_pause_is_a_span_of_its_own(chunks: Chunks) -> None:
    chunks.commit([change(klines(100))])
    base, later = chunks.index()[SERIES], START + 5 * CHUNK * STEP
    known = followed(base, Coverage(START, later, later + 8 * STEP), STEP)
    chunks.commit([Change(SERIES, klines(9, later), known, base)])
    assert chunks.index()[SERIES] == Coverage(START, later, later + 8 * STEP, ((START, START + 99 * STEP),))


def test_bars_from_after_the_present_are_dropped(chunks: Chunks) -> None:
    chunks.commit([change(klines(3 * CHUNK))])
    base = chunks.index()[SERIES]
    now = START + 9 * STEP
    chunks.commit([Change(SERIES, klines(10), Coverage(START, START, now), base)])
    assert chunks.index()[SERIES] == Coverage(START, START, now)
    assert len(chunks.load(SERIES, START, START + 3 * CHUNK * STEP)[0]) == 10


def test_a_series_of_another_venue_is_replaced_with_its_history(chunks: Chunks, tmp_path: Path) -> None:
    filled(tmp_path)
    base, later = chunks.index()[SERIES], START + 2 * CHUNK * STEP
    chunks.commit([change(klines(5, later), base, replaces=True)])
    assert chunks.index()[SERIES].first == later
    assert same(chunks.load(SERIES, START, START + 3 * CHUNK * STEP)[0], klines(5, later))


def test_history_is_stored_beside_the_newest_bars(chunks: Chunks) -> None:
    truth = klines(3 * CHUNK)
    times = truth.open_time
    chunks.commit([change(truth.last(200))])
    newest = chunks.index()[SERIES]
    for page in (slice(0, 700), slice(700, 1_300)):
        part = Klines(truth.data[:, page])
        chunks.add([Stretch(SERIES, part, int(part.open_time[0]), int(part.open_time[-1]))])
    assert chunks.index()[SERIES] == newest._replace(first=START, older=((START, int(times[1_299])),))
    rest = Klines(truth.data[:, 1_300:1_400])
    chunks.add([Stretch(SERIES, rest, int(rest.open_time[0]), int(rest.open_time[-1]))])
    assert chunks.index()[SERIES] == Coverage(START, START, int(times[-1]))
    assert same(chunks.load(SERIES, START, int(times[-1]))[0], truth)


def test_a_time_without_a_bar_is_covered_too(chunks: Chunks) -> None:
    chunks.add([Stretch(SERIES, Klines.empty(), START, START + 9 * STEP), Stretch(SERIES, klines(1), START, START)])
    assert chunks.index()[SERIES].spans == ((START, START + 9 * STEP),)
    assert len(chunks.load(SERIES, START, START + 9 * STEP)[0]) == 1


@given(st.lists(st.tuples(st.integers(0, 1500), st.integers(1, 700), st.integers(0, 3)), min_size=1, max_size=6))
@settings(max_examples=25, deadline=None)
def test_many_stretches_at_once_are_as_one_after_the_other(pieces: list[tuple[int, int, int]]) -> None:
    stretches = []
    for first, count, shift in pieces:
        part = klines(count, START + first * STEP)
        part.data[4] += shift  # so that it matters which of two that overlap is the last
        held = Klines(part.data[:, :: shift + 1])  # with holes
        stretches.append(Stretch(SERIES, held, int(part.data[0, 0]), int(part.data[0, -1])))
    with tempfile.TemporaryDirectory() as folder:
        one, other = Chunks(Path(folder) / "one", "test"), Chunks(Path(folder) / "other", "test")
        one.add(stretches)
        for each in stretches:
            other.add([each])
        assert one.index() == other.index()
        read = [next(each.read([SERIES], None, None))[1].data.tobytes() for each in (one, other)]
        assert read[0] == read[1]
        one.close()
        other.close()


def test_what_follows_without_a_gap_is_stored_as_one() -> None:
    pages = [Stretch(SERIES, klines(5, start), start, start + 4 * STEP) for start in (START + 5 * STEP, START)]
    apart = START + 20 * STEP
    whole = list(in_line([*pages, Stretch(SERIES, klines(1, apart), apart, apart)]))
    assert [(each.since, each.newest, len(each.klines)) for each in whole] == [
        (START, START + 9 * STEP, 10),
        (apart, apart, 1),
    ]


def test_added_bars_that_differ_replace_the_old(chunks: Chunks) -> None:
    chunks.commit([change(klines(9))])
    revised = Klines(klines(3, START + 3 * STEP).data * np.array([[1.0]] + 9 * [[2.0]]))
    chunks.add([Stretch(SERIES, revised, START + 3 * STEP, START + 5 * STEP)])
    assert same(chunks.load(SERIES, START + 3 * STEP, START + 5 * STEP)[0], revised)
    assert same(chunks.load(SERIES, START, START + 2 * STEP)[0], klines(3))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1_500), st.integers(1, 700), st.sampled_from("AB")), max_size=8))
def test_in_whatever_pieces_history_comes_it_ends_as_the_truth(pieces: list[tuple[int, int, str]]) -> None:
    truth, known = klines(2_300), {"A": set[int](), "B": set[int]()}
    with tempfile.TemporaryDirectory() as folder:
        chunks = Chunks(Path(folder), "test")
        for left, count, name in pieces:
            part = Klines(truth.data[:, left : left + count])
            chunks.add([Stretch((name, "5m"), part, int(part.open_time[0]), int(part.open_time[-1]))])
            known[name] |= set(part.open_time.tolist())
        for (name, _), coverage in chunks.index().items():
            covered = {t for a, b in coverage.spans for t in range(a, b + 1, STEP)}
            stored = chunks.load((name, "5m"), START, START + 2_300 * STEP)[0]
            assert covered == set(stored.open_time.tolist()) == known[name]
            assert np.isin(stored.data[1], truth.data[1]).all()
        chunks.close()


def test_pruning_takes_whole_series_and_old_chunks(chunks: Chunks) -> None:
    chunks.commit([change(klines(3 * CHUNK)), change(klines(9), series=("B", "5m"))])
    chunks.commit([change(klines(9), series=("C", "5m"))])
    border = START + CHUNK * STEP
    chunks.prune([("B", "5m")], border + 7 * STEP)
    assert chunks.index() == {SERIES: Coverage(border, border, START + (3 * CHUNK - 1) * STEP)}
    assert len(chunks.load(SERIES, START, START + 3 * CHUNK * STEP)[0]) == 2 * CHUNK
    assert list(chunks.amounts()) == [SERIES]


def test_amounts_say_how_much_is_stored_of_each_series(chunks: Chunks, tmp_path: Path) -> None:
    filled(tmp_path)
    chunks.commit([change(klines(9), series=("B", "5m"))])
    amounts = chunks.amounts()
    assert [bars for bars, *_ in amounts.values()] == [3 * CHUNK, 9]
    assert 0 < amounts["B", "5m"][1] < amounts[SERIES][1] < tmp_path.joinpath("cache.db").stat().st_size + 100_000


def test_six_thousand_series_have_a_small_index(chunks: Chunks) -> None:
    names = [(f"S{index}USDT", interval) for index in range(2_000) for interval in ("5m", "15m", "1h")]
    chunks.add([Stretch(series, Klines.empty(), START, START + 200 * STEP) for series in names])
    assert set(chunks.index()) == set(names)
    assert len(chunks.entries.get("test|index")) < 100_000
