"""`fetch` as its users meet it: what goes together, what it prints, and how it ends."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tradebot.cli import main
from tradebot.cli_fetch import mode_of
from tradebot.clock import parse_time
from tradebot.config import load
from tradebot.errors import UsageError
from tradebot.market.bars import Klines
from tradebot.market.chunks import Stretch
from tradebot.market.store import KlineStore
from tradebot.session import venue_key

from .conftest import AT

Run = Callable[..., tuple[int, str, str]]
Start = Callable[..., "subprocess.Popen[str]"]
SMALL = ("--set", "sim.symbols=2", "--set", f"sim.at={AT}", "--set", "sim.clock=stepped")
NOTHING = dict.fromkeys(
    "since until watch status verify repair export format import prune drop yes".split(), False
)  # fmt: skip


@pytest.fixture
def tradebot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`fetch` in an empty folder, with a data folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRADEBOT_DATA_DIR", str(tmp_path / "data"))

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            main(["fetch", *arguments, *SMALL])
        printed = capsys.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, printed.out, printed.err

    return run


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ((), "refresh"),
        (("since",), "since"),
        (("since", "until"), "since"),
        (("verify", "since", "repair"), "verify"),
        (("prune", "until", "yes"), "prune"),
        (("drop", "yes"), "drop"),
        (("export", "since", "until"), "export"),
        (("import",), "import"),
        (("watch",), "watch"),
    ],
)
def test_options_say_what_is_asked_for(given: tuple[str, ...], mode: str) -> None:
    assert mode_of({**NOTHING, **dict.fromkeys(given, "x"), "format": None}) == mode


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--status", "--watch"), "--watch and --status exclude each other; leave one of them out"),
        (("--export", "x", "--import", "y"), "--export and --import exclude each other"),
        (("--until", "2023-01-01"), "--until goes with --since or --verify or --export or --prune only"),
        (("--status", "--since", "2023-01-01"), "--since goes with"),
        (("--repair",), "--repair goes with --verify only"),
        (("--yes",), "--yes goes with --prune or --drop only"),
        (("--export", "x", "--format", "xls"), "--format xls: write csv or parquet"),
        (("--since", "2023-01-02", "--until", "2023-01-01"), "--since 2023-01-02 is not before --until 2023-01-01"),
        (("--since", "yesterday"), "'yesterday' is not a time"),
    ],
)
def test_what_does_not_go_together_gets_one_line(tradebot: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = tradebot(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_the_format_may_not_stand_alone() -> None:
    with pytest.raises(UsageError, match="--format goes with --export only"):
        mode_of({**NOTHING, "format": "csv"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--import", "nowhere"), "nowhere: no such file or folder"),
        (("--verify",), "nothing is stored of what is asked for"),
        (("--export", "out"), "nothing is stored of what is asked for"),
    ],
)
def test_what_is_not_there_is_no_market_data(tradebot: Run, arguments: tuple[str, ...], said: str) -> None:
    code, out, err = tradebot(*arguments)
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert said in err


def test_a_whole_round_through_the_command_line(tradebot: Run, tmp_path: Path) -> None:
    def document(*arguments: str) -> dict[str, Any]:
        code, out, err = tradebot(*arguments, "--json")
        assert (code, err) == (0, "")
        found: dict[str, Any] = json.loads(out)
        assert found["schema"] == 1
        return found

    fetched = document("--since", "2025-05-30", "--until", "2025-06-01")
    assert {"venue", "now", "elapsed_ms", "requests", "weight", "series", "errors"} <= fetched.keys()
    assert {row["rows"] for row in fetched["series"]} == {576, 192, 48}
    assert document("--status")["bars"] == 2 * (576 + 192 + 48)
    assert document("--verify")["remaining"] == 0
    assert len(document("--export", "out")["files"]) == 6
    assert document("--prune")["series"] == []
    assert document("--drop", "ETHUSDT, XRPUSDT")["done"] is False
    assert document("--drop", "ETHUSDT", "--yes")["bars"] == 576 + 192 + 48
    brought = {(row["symbol"], row["interval"]): row["new"] for row in document("--import", "out")["files"]}
    assert (brought["BTCUSDT", "5m"], brought["ETHUSDT", "5m"]) == (0, 576)
    assert document("--prune", "--until", "2025-05-31T12:00", "--yes")["done"] is True
    for row in document("--status")["series"]:
        assert row["last_open"] < parse_time("2025-06-01")


def test_people_get_tables(tradebot: Run) -> None:
    code, out, err = tradebot("--since", "2025-05-31")
    assert (code, out) == (0, "")
    assert "History (6 series)" in err
    assert "klines fetched" in err
    assert "Stored (6 series)" in tradebot("--status")[2]
    assert "all as at the venue" in tradebot("--verify")[2]


def test_differences_that_remain_are_told_by_the_exit_code(tradebot: Run, tmp_path: Path) -> None:
    tradebot("--since", "2025-06-01")
    settings = load(None, {"data_dir": ("test", str(tmp_path / "data"))}, {})
    with KlineStore(tmp_path / "data" / "klines", venue_key(settings)) as store:
        held = store.read("BTCUSDT", "1h")
        data = held.data.copy()
        data[4] += 1
        first, last = int(data[0, 0]), int(data[0, -1])
        store.add([Stretch(("BTCUSDT", "1h"), Klines(data), first, last)])
    code, _, err = tradebot("--verify")
    assert code == 3
    assert "differences from the venue remain; --repair takes over the venue's klines" in err
    assert tradebot("--verify", "--repair")[0] == 0
    assert tradebot("--verify")[0] == 0


def test_a_bad_file_is_told_by_the_exit_code_and_the_good_ones_are_stored(tradebot: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    header = "open_time,open,high,low,close,volume"
    (tmp_path / "in" / "GOODUSDT-1h.csv").write_text(f"{header}\n1516406400000,1,1,1,1,1\n")
    (tmp_path / "in" / "BADUSDT-1h.csv").write_text(f"{header}\n1516406400000,1,1,1,1,x\n")
    code, out, err = tradebot("--import", "in", "--json")
    assert code == 3
    assert [row["symbol"] for row in json.loads(out)["files"]] == ["GOODUSDT"]
    assert "BADUSDT-1h.csv line 2, column 6 (volume): 'x' is not a number" in err
    assert "(1 of 2 files left out)" in err


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start the program as a process, with a data folder of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tradebot", *arguments, "--data-dir", str(tmp_path / "data")]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def served(start: Start, *arguments: str) -> tuple[str, ...]:
    """A simulated exchange on a socket; the options that lead to it."""
    venue = start("sim", "serve", "--port", "0", "--json", "--symbols", "2", "--at", AT, *arguments)
    assert venue.stdout is not None
    return "--venue", "binance", "--base-url", json.loads(venue.stdout.readline())["url"]


def ended(process: subprocess.Popen[str], seconds: float = 60) -> dict[str, Any]:
    out, err = process.communicate(timeout=seconds)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def until_stored(folder: Path) -> None:
    """Wait until a part of a history has been written."""
    database, deadline = folder / "klines" / "cache.db-wal", time.monotonic() + 30
    while not (database.exists() and database.stat().st_size > 300_000) and time.monotonic() < deadline:
        time.sleep(0.02)


def test_killed_outright_it_goes_on_where_it_was(start: Start, tmp_path: Path) -> None:
    there = served(start, "--clock", "scaled", "--speed", "60", "--latency", "30")
    since = ("--since", "2025-04-01", "--until", "2025-06-01", "--intervals", "1m,5m", "--json")
    process = start("fetch", *there, *since, "--set", "venue.connections=1")
    until_stored(tmp_path / "data")
    process.kill()
    process.wait()
    again = ended(start("fetch", *there, *since))
    whole = 61 * 1440
    fine = [row for row in again["series"] if row["interval"] == "1m"]
    assert [(row["rows"], row["gaps"], row["missing"]) for row in fine] == [(whole, [], [])] * 2
    fetched = sum(row["new"] for row in fine)
    assert 0 < fetched < 2 * whole, "the rest, and only that"
    assert ended(start("fetch", "--verify", *there, "--intervals", "1m,5m", "--json"))["remaining"] == 0


def test_a_signal_ends_history_and_what_came_is_kept(start: Start, tmp_path: Path) -> None:
    there = served(start, "--latency", "100")
    slow = ("--set", "venue.connections=2")
    process = start("fetch", *there, "--since", "2025-01-01", "--intervals", "1m", "--json", *slow)
    until_stored(tmp_path / "data")
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert process.wait(10) == 130
    assert time.monotonic() - begun < 5
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert ended(start("fetch", "--status", *there, "--json"))["bars"] > 1_000


def test_a_watch_follows_a_clock_that_others_move_and_ends_in_order(start: Start) -> None:
    there = served(start, "--clock", "scaled", "--speed", "1000")
    process = start("fetch", "--watch", *there, "--json")
    assert process.stdout is not None
    rounds = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert rounds[1]["now"] >= rounds[0]["next"]
    assert all(row["errors"] == [] for row in rounds)
    process.terminate()
    begun = time.monotonic()
    assert process.wait(10) == 143
    assert time.monotonic() - begun < 5
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


def test_two_fetches_at_once_leave_one_whole_store(start: Start) -> None:
    there = served(start, "--clock", "scaled", "--speed", "60", "--latency", "5")
    since = ("--since", "2025-05-25", "--until", "2025-06-01", "--intervals", "1m", "--json")
    both = [start("fetch", *there, *since) for _ in range(2)]
    for process in both:
        assert [(row["rows"], row["missing"]) for row in ended(process)["series"]] == [(7 * 1440, [])] * 2
    assert ended(start("fetch", "--verify", *there, *since))["remaining"] == 0
