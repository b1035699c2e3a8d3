"""`fetch` as its users meet it: what goes together, what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tradebot.cli import main
from tradebot.cli_fetch import asked
from tradebot.clock import parse_time
from tradebot.config import load
from tradebot.errors import UsageError
from tradebot.identity import venue_key
from tradebot.market.bars import Klines
from tradebot.market.chunks import Stretch
from tradebot.market.store import KlineStore

from .conftest import AT

Run = Callable[..., tuple[int, str, str]]
Start = Callable[..., "subprocess.Popen[str]"]
SMALL = ("--set", "sim.symbols=2", "--set", f"sim.at={AT}", "--set", "sim.clock=stepped")
NOTHING: dict[str, Any] = dict.fromkeys(
    "since until watch status verify repair export format import prune drop yes".split()
)  # fmt: skip
TIMES = {"since": "2023-01-01", "until": "2023-01-02"}


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
    values = {name: TIMES.get(name, "x") for name in given}
    assert asked({**NOTHING, **values}).mode == mode


def test_symbols_are_dropped_however_they_are_written() -> None:
    assert asked({**NOTHING, "drop": "btc/usdt, ETH-USDT,"}).symbols == {"BTC-USDT", "ETH-USDT"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--status", "--watch"), "--watch and --status exclude each other; leave one of them out"),
        (("--export", "x", "--import", "y"), "--export and --import exclude each other"),
        (("--until", "2023-01-01"), "--until goes with --since or --verify or --export or --prune only"),
        (("--status", "--since", "2023-01-01"), "--since goes alone or with --verify or --export only"),
        (("--since", ""), "--since names nothing"),
        (("--export", ""), "--export names nothing"),
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
        asked({**NOTHING, "format": "csv"})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--import", "nowhere"), "nowhere: no such file or folder"),
        (("--verify",), "nothing is stored of what is asked for"),
        (("--export", "out"), "nothing is stored of what is asked for"),
        (("--export", "out", "--symbols", "ABC,DEF"), "nothing is stored of what is asked for (ABC,DEF 5m,15m,1h)"),
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
    assert document("--drop", "ETHUSDT, BTCUSDT")["done"] is False
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


def test_a_store_that_another_process_has_locked_is_read_and_one_clear_line_for_who_writes(
    tradebot: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tradebot("--since", "2025-06-02")[0] == 0
    monkeypatch.setattr("tradebot.market.store.BRIEF_S", 0.1)
    with closing(sqlite3.connect(tmp_path / "data" / "klines" / "cache.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert tradebot("--status")[0] == tradebot("--export", "out")[0] == tradebot("--verify")[0] == 0
        code, out, err = tradebot()
        assert (code, out) == (3, "")
        assert "locked by another process that goes on writing; try again later" in err.splitlines()[-1]
    assert tradebot()[0] == 0


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
    assert re.search(r"still differs from the venue \(\d+\); --repair takes over the venue's klines", err)
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


class Exchange:
    """A simulated exchange on a socket, whose clock stands until it is stepped."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.options = ("--venue", "binance", "--base-url", url)

    def ask(self, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data)) as reply:
            return json.load(reply)

    def step(self, ms: int) -> None:
        self.ask("/sim/clock", {"advance": ms})

    def under(self, *faults: dict[str, Any]) -> None:
        self.ask("/sim/faults", {"seed": 1, "fault": faults})

    def asked(self, requests: int) -> None:
        """Wait until so many requests have come under the present faults."""
        until(lambda: self.ask("/sim/faults")["requests"] >= requests)

    def stored(self, folder: Path) -> int:
        """How many of its bars are stored."""
        name = venue_key(load(None, {"venue.name": ("test", "binance"), "venue.base_url": ("test", self.url)}, {}))
        with KlineStore(folder / "klines", name) as store:
            return sum(each.bars for each in store.status())


@pytest.fixture(scope="module")
def serving() -> Iterator[Exchange]:
    command = [sys.executable, "-m", "tradebot", "sim", "serve", "--port", "0", "--json", "--symbols", "2"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*command, "--at", AT, "--clock", "stepped", "--data-dir", folder], stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout is not None
        yield Exchange(json.loads(process.stdout.readline())["url"])
        process.kill()


@pytest.fixture
def exchange(serving: Exchange) -> Iterator[Exchange]:
    yield serving
    serving.under()


def until(happened: Callable[[], bool]) -> None:
    """Wait for something that must happen."""
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def told(ended: tuple[int, str, str]) -> dict[str, Any]:
    code, out, err = ended
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def in_order(process: subprocess.Popen[str], code: int) -> str:
    """It ends soon, with this exit code and without a traceback; what it said on stderr."""
    assert process.wait(30) == code
    assert process.stderr is not None
    said = process.stderr.read()
    assert "Traceback" not in said
    return said


DAYS = ("--since", "2025-05-28", "--until", "2025-06-01", "--intervals", "1m,5m", "--json")
WHOLE = 4 * 1440


def test_killed_outright_it_goes_on_where_it_was(
    tradebot: Run, start: Start, exchange: Exchange, tmp_path: Path
) -> None:
    exchange.under({"kind": "limited", "path": "*klines", "nth": 6, "seconds": 60})
    process = start("fetch", *exchange.options, *DAYS, "--set", "venue.connections=1")
    exchange.asked(6)
    until(lambda: exchange.stored(tmp_path / "data") > 0)  # it waits for a clock that stands
    process.kill()
    process.wait()
    before = exchange.stored(tmp_path / "data")
    exchange.under()
    exchange.step(60_000)
    again = told(tradebot(*exchange.options, *DAYS))
    fine = [row for row in again["series"] if row["interval"] == "1m"]
    assert [(row["rows"], row["gaps"], row["missing"]) for row in fine] == [(WHOLE, [], [])] * 2
    assert sum(row["new"] for row in fine) == 2 * WHOLE - before, "the rest, and only that"
    assert told(tradebot("--verify", *exchange.options, "--intervals", "1m,5m", "--json"))["remaining"] == 0


def test_a_signal_ends_history_and_what_came_is_kept(start: Start, exchange: Exchange, tmp_path: Path) -> None:
    exchange.under({"kind": "latency", "path": "*klines", "nth": 3, "ms": 60_000})
    process = start("fetch", *exchange.options, *DAYS, "--set", "venue.connections=1")
    exchange.asked(3)
    until(lambda: exchange.ask("/sim/faults")["faults"][0]["struck"] == 1)
    process.send_signal(signal.SIGINT)
    said = in_order(process, 130)
    assert said == "tradebot: stopped; what has come in is stored, and the same command goes on from there\n"
    assert exchange.stored(tmp_path / "data") == 2_000


def test_a_watch_follows_a_clock_that_others_move_and_ends_in_order(start: Start, exchange: Exchange) -> None:
    process = start("fetch", "--watch", *exchange.options, "--json")
    assert process.stdout is not None
    rounds = [json.loads(process.stdout.readline())]
    exchange.step(300_000)
    rounds.append(json.loads(process.stdout.readline()))
    assert rounds[1]["now"] >= rounds[0]["next"]
    assert [row["errors"] for row in rounds] == [[], []]
    assert [sum(row["new"] for row in each["series"]) >= 2 for each in rounds] == [True, True]
    process.terminate()
    in_order(process, 143)


def test_two_fetches_at_once_leave_one_whole_store(tradebot: Run, start: Start, exchange: Exchange) -> None:
    both = [start("fetch", *exchange.options, *DAYS) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=60)
        fine = [row for row in told((process.returncode, out, err))["series"] if row["interval"] == "1m"]
        assert [(row["rows"], row["missing"]) for row in fine] == [(WHOLE, [])] * 2
    assert told(tradebot("--verify", *exchange.options, *DAYS))["remaining"] == 0
