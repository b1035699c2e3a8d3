"""Checked bytes in a folder that others may write to as well."""

from __future__ import annotations

import logging
import os
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import diskcache
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from tradebot.clock import wall_ms
from tradebot.errors import BadKlines, MarketError
from tradebot.market.seals import HEADER, VERSION, Entries, seal, unseal


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


class Trap:
    """Unpickling it leaves a mark on the disk."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def entries(tmp_path: Path) -> Iterator[Entries]:
    entries = Entries(tmp_path)
    yield entries
    entries.close()


def test_what_was_put_is_found_by_any_process(entries: Entries, tmp_path: Path) -> None:
    entries.put("a|1", b"one")
    entries.put("a|2", b"two")
    other = Entries(tmp_path)
    assert {key: bytes(unseal(raw)) for key, raw in other.find(["a|2", "a|1", "a|3"]).items()} == {
        "a|1": b"one",
        "a|2": b"two",
    }
    assert other.get("a|3") == b""
    other.close()


def test_many_keys_are_found_at_once(entries: Entries) -> None:
    keys = [f"key|{index}" for index in range(3_000)]
    with entries.transaction():
        for key in keys:
            entries.put(key, key.encode())
    assert len(entries.find(keys)) == 3_000
    assert entries.keys("key|299") == ["key|299", *(f"key|299{digit}" for digit in range(10))]


def test_many_are_put_at_once_over_what_was_there_or_none_of_them(entries: Entries, tmp_path: Path) -> None:
    entries.put("a|1", b"old", tag=1)
    entries.put_all((f"a|{index}", b"new", 2) for index in range(3))
    with pytest.raises(MarketError), entries.transaction():
        entries.put_all([("a|3", b"new", 2), (("no", "key"), b"new", 2)])  # type: ignore[list-item]
    assert {bytes(unseal(raw)) for raw in entries.find(["a|0", "a|1", "a|2"]).values()} == {b"new"}
    assert entries.groups("a|")[0].tags == 6
    with closing(diskcache.Cache(str(tmp_path))) as same:
        assert len(same) == 3
        assert same.check() == []


def test_groups_add_up_what_differs_in_its_number_only(entries: Entries) -> None:
    entries.put("a|x|1", b"123", tag=7)
    entries.put("a|x|22", b"12345", tag=3)
    entries.put("a|y|1", b"", tag=1)
    entries.put("b|x|1", b"")
    (x, y) = entries.groups("a|")
    assert x[:3] == ("a|x|", 10, 8 + 2 * HEADER.size)
    assert y[:3] == ("a|y|", 1, HEADER.size)
    assert abs(x.written - wall_ms()) < 60_000


def test_a_range_of_keys_is_dropped(entries: Entries) -> None:
    for key in ("a1", "a2", "a3", "b"):
        entries.put(key, b"")
    assert entries.drop("a2", "b") == 2
    assert entries.keys("") == ["a1", "b"]


def test_a_transaction_that_fails_leaves_no_trace_and_the_next_one_works(entries: Entries) -> None:
    def fail() -> None:
        with entries.transaction():
            entries.put("a", b"")
            with entries.transaction():
                entries.put("b", b"")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert entries.keys("") == []
    entries.put("c", b"")
    assert entries.keys("") == ["c"]


def test_a_snapshot_does_not_change_while_others_write(entries: Entries, tmp_path: Path) -> None:
    entries.put("a", b"old")
    other = Entries(tmp_path)
    with entries.snapshot():
        before = entries.get("a")
        other.put("a", b"new")
        assert entries.get("a") == before
    assert bytes(unseal(entries.get("a"))) == b"new"
    other.close()


def test_deleting_gives_the_space_back(entries: Entries) -> None:
    with entries.transaction():
        for index in range(100):
            entries.put(f"a|{index}", bytes(10_000))
    entries.shrink()
    full = entries.size()
    assert full > 1_000_000
    entries.drop("a|", "b")
    entries.shrink()
    assert entries.size() < 200_000


@pytest.mark.parametrize("content", [b"this is not a database at all" * 100, b"SQLite format 3\0" + bytes(2_000)])
def test_a_file_that_is_no_database_is_set_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache.db").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        Entries(tmp_path).close()
    assert "set aside" in caplog.text
    (kept,) = (tmp_path / "aside").iterdir()
    assert kept.read_bytes() == content


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"CREATE TRIGGER", b"CREATE TRIG\xc5ER"),
        (b"CREATE TABLE Settings", b"CREATE TUBLE Settings"),
        (b"CREATE TABLE Cache (", b"CREATE TABLE Cachy ("),
    ],
)
def test_a_database_whose_schema_is_damaged_is_set_aside_as_soon_as_it_is_opened(
    tmp_path: Path, old: bytes, new: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with closing(Entries(tmp_path)) as entries:
        entries.put("a", b"1")
    path = tmp_path / "cache.db"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    with closing(Entries(tmp_path)) as entries:
        assert entries.keys("") == []
        entries.put("b", b"2")
    assert "set aside" in caplog.text
    with closing(Entries(tmp_path)) as entries:
        assert entries.keys("") == ["b"]
        assert not entries.damaged


@pytest.mark.parametrize(
    "change",
    ["UPDATE Settings SET key = 'disk_qickle_protocol' WHERE key = 'disk_pickle_protocol'",
     "UPDATE Settings SET value = 'x'", "UPDATE Settings SET key = 'x' || key", "DELETE FROM Settings"],
)  # fmt: skip
def test_a_database_whose_settings_are_damaged_is_set_aside_or_mended(tmp_path: Path, change: str) -> None:
    with closing(Entries(tmp_path)) as entries:
        entries.put("a", b"1")
    with closing(sqlite3.connect(tmp_path / "cache.db")) as database, database:
        database.execute(change)
    for _ in range(2):
        with suppress(MarketError), closing(Entries(tmp_path)) as entries:
            entries.put("b", b"2")
    with closing(Entries(tmp_path)) as entries:
        assert unseal(entries.get("b")) == b"2"


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 1 << 30), st.integers(0, 7)), min_size=1, max_size=40))
def test_whatever_bits_are_wrong_the_next_but_one_who_opens_it_can_store(flips: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(Entries(folder)) as entries:
            for number in range(20):
                entries.put(f"test|A|5m|{number:015d}", bytes(900))
        content = bytearray((folder / "cache.db").read_bytes())
        for place, bit in flips:
            content[place % len(content)] ^= 1 << bit
        (folder / "cache.db").write_bytes(content)
        for _ in range(2):
            with suppress(MarketError), closing(Entries(folder)) as entries:
                entries.find(entries.keys(""))
                entries.groups("")
                entries.put("new", b"1")
        with closing(Entries(folder)) as entries:
            entries.put("new", b"2")
            assert unseal(entries.get("new")) == b"2"


def test_damage_that_is_noticed_while_others_have_the_database_open_is_mended_when_they_have_gone(
    tmp_path: Path,
) -> None:
    with closing(Entries(tmp_path)) as entries:
        for number in range(200):
            entries.put(f"a|{number:015d}", bytes(900))
    path = tmp_path / "cache.db"
    content = path.read_bytes()
    path.write_bytes(content[: 8 * 4096] + bytes(len(content) - 8 * 4096))
    with closing(Entries(tmp_path)) as entries:
        with pytest.raises(MarketError, match="malformed; it is set aside when it is opened next"):
            entries.find(entries.keys("a"))
        assert entries.damaged
        with pytest.raises(MarketError, match="locked by another process"):
            Entries(tmp_path)
    with closing(Entries(tmp_path)) as entries:
        assert entries.keys("") == []
        assert not entries.damaged


def test_the_database_of_an_older_version_is_set_aside_whole_and_can_still_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mark = tmp_path / "executed"
    with diskcache.Cache(str(tmp_path / "klines")) as cache:
        cache["test|A|5m|0"] = HEADER.pack(b"TBKL", 1, 0, 0)
        cache["trap"] = Trap(mark)
    with caplog.at_level(logging.WARNING):
        entries = Entries(tmp_path / "klines")
    assert "of another version" in caplog.text
    assert entries.keys("") == []
    entries.close()
    caplog.clear()
    Entries(tmp_path / "klines").close()
    assert not caplog.text
    (kept,) = (tmp_path / "klines" / "aside").glob("*.db")
    with closing(sqlite3.connect(kept)) as database:
        assert database.execute("SELECT count(*) FROM Cache").fetchone() == (2,)
    assert not mark.exists()


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A folder with a database of another version and its log, as a process that was killed leaves them."""
    with diskcache.Cache(str(tmp_path / "live")) as cache:
        cache["a"] = b""
        return shutil.copytree(tmp_path / "live", tmp_path / "klines")


def test_processes_that_open_an_older_database_at_once_set_it_aside_once(older: Path) -> None:
    opened = []
    threads = [Thread(target=lambda: opened.append(Entries(older))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened[0].put("b", b"")
    assert [one.keys("") for one in opened] == [["b"]] * 4
    assert len(list((older / "aside").glob("*.db"))) == 1
    for one in opened:
        one.close()


def test_nothing_is_touched_while_another_process_sets_the_database_aside(
    older: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebot.market.seals.PATIENCE_S", 0.01)

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in older.iterdir() if path.name != "open.lock"}

    before = content()
    assert before["cache.db-wal"]
    with FileLock(older / "open.lock"), pytest.raises(MarketError, match="locked by another process"):
        Entries(older)
    assert content() == before


def test_a_database_that_somebody_has_open_is_not_moved(older: Path) -> None:
    with closing(sqlite3.connect(older / "cache.db")) as other:
        assert other.execute("SELECT count(*) FROM Cache").fetchone() == (1,)
        with pytest.raises(MarketError, match="locked by another process"):
            Entries(older)
        assert not (older / "aside").exists()
    with closing(Entries(older)) as entries:
        assert entries.keys("") == []


def test_a_database_that_was_left_half_made_is_made_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = tmp_path / "cache.db-journal"
    with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as maker:
        maker.execute("BEGIN IMMEDIATE")
        maker.execute(f"PRAGMA user_version = {VERSION}")
        begun = journal.read_bytes()
        maker.execute("COMMIT")
    journal.write_bytes(begun)
    Entries(tmp_path).close()
    with closing(Entries(tmp_path)) as entries:
        entries.put("a", b"")
    assert not caplog.text
    with closing(sqlite3.connect(tmp_path / "cache.db")) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MarketError, match=r"kline store .*file/klines: Not a directory; .*--data-dir"):
        Entries(tmp_path / "file" / "klines")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    Entries(tmp_path).close()
    tmp_path.chmod(0o500)
    with pytest.raises(MarketError, match=r"kline store .*--data-dir"):
        Entries(tmp_path)


READER = """
import sys
from pathlib import Path
from tradebot.errors import MarketError
from tradebot.market.seals import Entries, unseal

entries = Entries(Path(sys.argv[1]))
print(bytes(unseal(entries.get("a"))), len(entries.groups("")))
try:
    entries.put("b", b"")
except MarketError as error:
    print(error)
entries.close()
"""
MOUNT = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && echo mounted && exec "$2" -c "$3" "$1"'


@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare")
def test_on_a_read_only_file_system_what_is_there_is_read(tmp_path: Path) -> None:
    with closing(Entries(tmp_path)) as entries:
        entries.put("a", b"safe")
    command = ["unshare", "-rm", "sh", "-c", MOUNT, "sh", str(tmp_path), sys.executable, READER]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "mounted" not in done.stdout:
        pytest.skip(f"nothing may be mounted here: {done.stderr}")
    read, error = done.stdout.splitlines()[1:]
    assert read == "b'safe' 1"
    assert re.fullmatch(r"kline store .*: attempt to write a readonly database; .*--data-dir", error)


WRITER = """
import resource, sys
from pathlib import Path
from tradebot.errors import MarketError
from tradebot.market.seals import Entries, unseal

entries = Entries(Path(sys.argv[1]))
entries.put("before", b"safe")
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
try:
    with entries.transaction():
        for index in range(100):
            entries.put(f"new|{index}", bytes(10_000))
except MarketError as error:
    print(error)
print(entries.keys(""), bytes(unseal(entries.get("before"))))
entries.put("after", b"works")
"""


def test_a_file_that_cannot_grow_is_one_clear_line_and_loses_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, str(tmp_path)], capture_output=True, text=True, check=True)
    error, left = done.stdout.splitlines()
    assert re.fullmatch(r"kline store .*: (disk I/O error|database or disk is full); .*--data-dir", error)
    assert left == "['before'] b'safe'"
    entries = Entries(tmp_path)
    assert entries.keys("") == ["after", "before"]
    entries.close()


def test_a_database_that_cannot_be_written_is_one_clear_line(entries: Entries) -> None:
    entries.put("a", b"safe")
    entries._database.execute("PRAGMA query_only = 1")  # as a file system that has become read-only, for root too
    with pytest.raises(MarketError, match=r"kline store .*: attempt to write a readonly database; .*--data-dir"):
        entries.put("a", b"other")
    with pytest.raises(MarketError, match="readonly"), entries.transaction():
        entries.put("a", b"other")
    assert bytes(unseal(entries.get("a"))) == b"safe"


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Path]:
    """A folder with one entry, whose write lock another process holds and does not give back."""
    with closing(Entries(tmp_path)) as entries:
        entries.put("a", b"safe")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "cache.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        yield tmp_path
        holder.kill()


HOLDER = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
database.execute("DELETE FROM Cache")
print("held", flush=True)
sys.stdin.read()
"""


def test_neither_opening_nor_reading_has_to_wait_for_a_process_that_writes(busy: Path) -> None:
    with closing(Entries(busy)) as entries:
        assert bytes(unseal(entries.get("a"))) == b"safe"
        assert entries.keys("") == ["a"]
        assert len(entries.groups("")) == 1
        with entries.snapshot():
            assert entries.size() > 0


def test_a_lock_that_is_held_too_long_is_one_clear_line(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradebot.market.seals.STEP_S", 0.02)
    with closing(Entries(busy)) as entries:
        with pytest.raises(MarketError, match=r"kline store .*: locked by another process .*; try again later"):
            entries.put("a", b"")
        with pytest.raises(MarketError, match="locked by another process"), entries.transaction(0.05):
            entries.put("a", b"")
        assert bytes(unseal(entries.get("a"))) == b"safe"


def test_a_store_that_has_to_be_changed_when_it_is_opened_waits_a_while_only(
    busy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tradebot.market.seals.BRIEF_S", 0.05)
    monkeypatch.setattr("tradebot.market.seals.STEP_S", 0.02)
    monkeypatch.setattr("tradebot.market.seals.INLINE", 1 << 20)  # another setting than the one that is there
    with pytest.raises(MarketError, match="locked by another process"):
        Entries(busy)


def test_what_waits_for_a_lock_goes_on_when_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradebot.market.seals.STEP_S", 0.02)
    with closing(Entries(tmp_path)) as entries, closing(Entries(tmp_path)) as other:
        begun, done = Event(), Event()

        def hold() -> None:
            with other.transaction():
                begun.set()
                done.wait(0.2)

        holder = Thread(target=hold)
        holder.start()
        begun.wait()
        with entries.transaction():
            entries.put("a", b"after")
        done.set()
        holder.join()
        assert bytes(unseal(entries.get("a"))) == b"after"


def test_a_pickled_key_is_not_read(entries: Entries, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    entries.put("plain", b"")
    with closing(sqlite3.connect(tmp_path / "cache.db", isolation_level=None)) as database:
        database.execute("UPDATE Cache SET key = ?, raw = 0", (sqlite3.Binary(pickle.dumps(Trap(mark))),))
    assert entries.keys("") == []
    assert not mark.exists()


def test_nothing_is_ever_dropped_for_its_size(entries: Entries) -> None:
    assert (entries._cache.eviction_policy, entries._cache.cull_limit) == ("none", 0)


def test_the_folder_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "klines"
    Entries(folder).close()
    assert folder.stat().st_mode & 0o777 == 0o700
