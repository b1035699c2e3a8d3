"""What outlives a process: exactly as it was told, or not at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradebot.market import memo
from tradebot.market.memo import Memo, rules_in, rules_out, universe_in, universe_out
from tradebot.market.universe import Universe
from tradebot.market.venue import Instrument

AT = 1_748_876_400_000
BOUNDS = st.decimals(min_value=0, max_value=10**12, allow_nan=False, places=8)
WORDS = st.text("ABC-1", min_size=1, max_size=8)
INSTRUMENTS = st.builds(
    Instrument,
    WORDS,
    WORDS,
    WORDS,
    WORDS,
    st.booleans(),
    st.booleans(),
    BOUNDS,
    BOUNDS,
    BOUNDS,
    BOUNDS,
    BOUNDS,
    BOUNDS,
    BOUNDS,
)
ONE = Instrument("BTCUSDT", "BTC", "USDT", tick=Decimal("0.010"), step=Decimal("0.00001"), min_notional=Decimal(5))


def through(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def kept(folder: Path) -> Path:
    """A file of rules as we write it."""
    Memo(folder, "binance").keep("rules", AT, rules_out([ONE]))
    (path,) = folder.iterdir()
    return path


@given(st.lists(INSTRUMENTS, min_size=1, unique_by=lambda each: each.symbol))
def test_rules_come_back_exactly(instruments: list[Instrument]) -> None:
    back = rules_in(through(rules_out(instruments)))
    assert list(back.values()) == instruments
    assert list(back) == [each.symbol for each in instruments]
    assert [str(each.tick) for each in back.values()] == [str(each.tick) for each in instruments]


def test_a_universe_comes_back_without_what_was_new_about_it() -> None:
    universe = Universe(("A", "B"), "X", {"C": "venue status HALT"}, ("B",), {"D": "no longer listed"})
    assert universe_in(through(universe_out(universe))) == universe.without(())


def test_what_is_kept_is_there_for_the_next_process_with_its_time(tmp_path: Path) -> None:
    folder = tmp_path / "known"
    Memo(folder, "binance").keep("rules", AT, rules_out([ONE]))
    assert Memo(folder, "binance").load("rules", rules_in) == (AT, {"BTCUSDT": ONE})
    assert folder.stat().st_mode & 0o777 == 0o700
    assert Memo(folder, "binance@127.0.0.1:8080").load("rules", rules_in) is None
    Memo(folder, "binance").drop("rules")
    assert Memo(folder, "binance").load("rules", rules_in) is None


def test_without_a_folder_nothing_is_kept() -> None:
    forgetful = Memo(None, "sim")
    forgetful.keep("rules", AT, rules_out([ONE]))
    forgetful.drop("rules")
    assert forgetful.load("rules", rules_in) is None


def other(document: dict[str, Any], **changes: Any) -> bytes:
    return orjson.dumps(document | changes)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "cut": lambda raw: raw[:-9],
    "not ours": lambda raw: b"[1, 2]",
    "of another venue": lambda raw: other(orjson.loads(raw), venue="kraken"),
    "of another kind": lambda raw: other(orjson.loads(raw), kind="universe"),
    "a pickle": lambda raw: b"\x80\x04]\x94.",
    "without rows": lambda raw: other(orjson.loads(raw), body={"columns": [], "rows": []}),
    "a negative step": lambda raw: raw.replace(b'"0.00001"', b'"-1"'),
    "a step that is no number": lambda raw: raw.replace(b'"0.00001"', b'"NaN"'),
    "a step that is a float": lambda raw: raw.replace(b'"0.00001"', b"0.00001"),
    "a word that is none": lambda raw: raw.replace(b'"USDT"', b"7"),
    "a row too short": lambda raw: raw.replace(b',"5"', b"", 1),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_file_that_cannot_be_used_is_set_aside_with_a_warning(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = kept(tmp_path)
    damaged = damage(path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    assert Memo(tmp_path, "binance").load("rules", rules_in) is None
    assert "the venue is asked instead" in caplog.text
    assert not path.exists()
    assert path.with_suffix(".damaged").read_bytes() == damaged


def test_a_file_of_another_version_is_not_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = kept(tmp_path)
    path.write_bytes(other(orjson.loads(path.read_bytes()), schema=memo.SCHEMA + 1))
    assert Memo(tmp_path, "binance").load("rules", rules_in) is None
    assert not caplog.records


def test_a_folder_that_cannot_be_used_costs_a_warning_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "known"
    blocked.write_text("a file where the folder should be")
    memory = Memo(blocked, "binance")
    memory.keep("rules", AT, rules_out([ONE]))
    assert memory.load("rules", rules_in) is None
    assert [record.levelno for record in caplog.records] == [logging.WARNING, logging.WARNING]
