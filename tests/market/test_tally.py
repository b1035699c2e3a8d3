"""What is used of the limits, kept in a file that processes share."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.clock import DAY, MINUTE
from tradebot.market.tally import SIZE, FileTally, Tally, decode, encode
from tradebot.market.usage import LONGEST_SILENCE, ORDERS, WEIGHT, Silence, Traffic, Usage, Window

T0 = 1_516_406_400_000
USAGE = Usage(
    (Window(WEIGHT, MINUTE, 6000, T0, 41), Window(ORDERS, DAY, 200_000, T0, 7)),
    (Silence(T0 + 5, 5), Silence(), Silence(T0, 10)),
    -86_400_000,
    own_time=True,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "limits" / "venue"


def add(tally: Tally, used: int = 1) -> int:
    """Count something; what is used in all."""
    return tally.update(lambda usage: usage._replace(windows=(usage.windows[0].taken(used),))).windows[0].used


def begun(path: Path) -> FileTally:
    tally = FileTally(path)
    tally.update(lambda known: known if known.windows else Usage((Window(WEIGHT, MINUTE, 100, T0),)))
    return tally


times = st.integers(0, 10**14 - 1)
windows = st.builds(Window, st.sampled_from([WEIGHT, ORDERS]), st.integers(1, DAY), times, times, times)
silences = st.tuples(*[st.builds(Silence, times, st.integers(0, LONGEST_SILENCE))] * len(Traffic))


@given(
    st.builds(Usage, st.lists(windows, max_size=8).map(tuple), silences, st.integers(-(10**13), 10**13), st.booleans())
)
def test_what_is_written_is_read_again(usage: Usage) -> None:
    raw = encode(usage)
    assert len(raw) == SIZE
    assert decode(raw) == usage


DAMAGED = [
    b"\0" * SIZE, b"", b"{", b"[]", b"7", b"{}", b"not ours at all\n" * 100, encode(USAGE)[: SIZE // 8],
    encode(USAGE).replace(b'"version":1', b'"version":2'), encode(USAGE).replace(b",41]", b",-1]"),
    encode(USAGE).replace(b",41]", b",4.1]"), encode(USAGE).replace(b"60000", b"0"),
    encode(USAGE).replace(b",5]", b",999999999999]"), encode(USAGE).replace(b"[0,0],", b""),
    encode(USAGE).replace(b'"REQUEST_WEIGHT"', b"[]"), encode(USAGE).replace(b"-86400000", b"null"),
]  # fmt: skip


@pytest.mark.parametrize("raw", DAMAGED, ids=lambda raw: repr(raw[:24]))
def test_what_is_damaged_or_foreign_is_said_to_be_that(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode(raw)


@given(st.binary(max_size=80))
def test_no_bytes_are_anything_but_usage_or_an_error(raw: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(decode(raw), Usage)


def test_two_that_share_a_file_count_together(path: Path) -> None:
    one, two = begun(path), begun(path)
    assert [add(one), add(two), add(two), add(one)] == [1, 2, 3, 4]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    one.close()
    assert add(two) == 5


def test_it_stands_until_another_process_changes_it(path: Path) -> None:
    one, two = begun(path), begun(path)
    assert one.stands()
    add(one)
    assert one.stands()
    assert not two.stands()
    add(two, 0)
    assert two.stands()
    path.write_bytes(b"")
    assert not two.stands()
    two.close()
    assert not two.stands()
    assert Tally().stands()


COUNT = """
import sys
from pathlib import Path
from tradebot.market.tally import FileTally
tally = FileTally(Path(sys.argv[1]))
for _ in range(300):
    tally.update(lambda usage: usage._replace(windows=(usage.windows[0].taken(1),)))
"""


def test_of_what_processes_count_at_the_same_time_nothing_is_lost(path: Path) -> None:
    tally = begun(path)
    counting = [subprocess.Popen([sys.executable, "-c", COUNT, str(path)]) for _ in range(3)]
    assert [each.wait(30) for each in counting] == [0, 0, 0]
    assert add(tally, 0) == 900


@pytest.mark.parametrize("raw", [raw for raw in DAMAGED if raw], ids=lambda raw: repr(raw[:24]))
def test_a_damaged_file_is_kept_aside_told_and_begun_anew(
    path: Path, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.mkdir()
    path.write_bytes(raw)
    tally = begun(path)
    assert "begun anew" in caplog.text
    assert path.with_name("venue.damaged").read_bytes() == raw[: SIZE + 1]
    assert add(tally) == add(begun(path), 0) == 1


def test_damage_while_it_runs_loses_nothing_of_what_the_process_knows(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tally = begun(path)
    add(tally, 40)
    path.write_bytes(b"x")
    assert add(tally) == 41
    assert "begun anew" in caplog.text
    assert add(begun(path), 0) == 41


@pytest.mark.parametrize("how", ["removed", "replaced", "folder gone"])
def test_a_file_that_somebody_takes_away_is_made_again(path: Path, how: str) -> None:
    tally = begun(path)
    add(tally, 40)
    if how == "replaced":
        _copy(path).replace(path)
    else:
        path.unlink()
        if how == "folder gone":
            path.parent.rmdir()
    assert add(tally) == 41
    assert add(begun(path)) == 42


def _copy(path: Path) -> Path:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    return copy


@pytest.fixture(params=["a folder", "a link", "no folder", "a pipe"])
def unusable(request: pytest.FixtureRequest, path: Path) -> Path:
    if request.param == "no folder":
        path.parent.write_bytes(b"")
    else:
        path.parent.mkdir()
        if request.param == "a folder":
            path.mkdir()
        elif request.param == "a pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/etc/hostname")
    return path


def test_where_no_file_can_be_used_it_counts_by_itself_and_says_so_once(
    unusable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tally = begun(unusable)
    assert [add(tally) for _ in range(3)] == [1, 2, 3]
    assert add(begun(unusable)) == 1  # a client of its own for orders
    assert caplog.text.count("requests of other processes are not counted") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_told_once_and_counting_goes_on(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tally = begun(path)
    os.dup2(os.open("/dev/full", os.O_RDWR), tally._fd)
    assert [add(tally) for _ in range(3)] == [1, 2, 3]
    assert caplog.text.count("No space left on device") == 1


def test_a_holder_of_the_lock_that_does_not_go_on_holds_nobody_up(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tally = begun(path)
    add(tally)
    with path.open("rb+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with caplog.at_level(logging.WARNING):
            assert [add(tally) for _ in range(3)] == [2, 3, 4]
    assert caplog.text.count("locked by a process that does not go on") == 1
    assert add(tally) == add(begun(path), 0) == 5
