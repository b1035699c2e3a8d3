"""The program as a process: signals, workers, locks, and what is left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests import hammer as hammering
from tests.conftest import AT
from tradebot.clock import RealClock
from tradebot.market.binance import VENUES, BinanceClient, Credentials
from tradebot.market.venue import Order, Side
from tradebot.sim.app import PAPER_KEY, PAPER_SECRET

PROC = Path("/proc")
SMALL = ("--set", "sim.symbols=4")
POOL = ("--set", "pool.use=always", "--set", "pool.workers=2")
needs_proc = pytest.mark.skipif(not PROC.is_dir(), reason="tells processes by /proc")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the program with a data folder of its own, in a session of its own."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tradebot", *arguments, "--data-dir", str(tmp_path / "data")]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def family(leader: int) -> set[int]:
    """Living processes of the session that `leader` leads."""
    found = set()
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (OSError, ValueError):
                continue
            if int(session) == leader and state != "Z":
                found.add(int(entry.name))
    return found


def workers(leader: int) -> set[int]:
    """Processes of the family that the fork server has made."""
    found = set()
    for pid in family(leader) - {leader}:
        try:
            parent = int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent not in (leader, 1):
            found.add(pid)
    return found


def gone(leader: int, seconds: float) -> bool:
    """Whether nothing is left of the family within so many seconds."""
    deadline = time.monotonic() + seconds
    while family(leader) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not family(leader)


def cycles(process: subprocess.Popen[str], number: int) -> list[int]:
    """The numbers of the next cycles that it prints."""
    assert process.stdout is not None
    return [json.loads(process.stdout.readline())["cycle"] for _ in range(number)]


@needs_proc
def test_ten_cycles_keep_the_same_workers_and_leave_none(start: Callable[..., subprocess.Popen[str]]) -> None:
    venue = start("sim", "serve", "--port", "0", "--json", "--symbols", "4", "--clock", "stepped", "--at", AT)
    assert venue.stdout is not None
    url = json.loads(venue.stdout.readline())["url"]
    process = start("run", "--cycles", "10", "--json", "--venue", "binance", "--base-url", url, *POOL)
    seen = []
    for number in range(1, 11):
        assert cycles(process, 1) == [number]
        if number < 10:
            seen.append(workers(process.pid))
            httpx.post(f"{url}/sim/clock", json={"advance": 60_000}, trust_env=False).raise_for_status()
    assert process.wait(20) == 0
    assert len(seen[0]) == 2
    assert all(pids == seen[0] for pids in seen)
    assert gone(process.pid, 5)


@needs_proc
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_in_order(start: Callable[..., subprocess.Popen[str]], number: int, code: int) -> None:
    process = start("run", "--json", *SMALL, *POOL)
    cycles(process, 1)
    os.killpg(process.pid, number)  # as a terminal does: the whole group hears it
    assert process.wait(5) == code
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    assert gone(process.pid, 5)


@needs_proc
def test_killed_outright_it_leaves_no_worker(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("run", "--json", *SMALL, *POOL)
    cycles(process, 1)
    assert workers(process.pid)
    process.kill()
    assert gone(process.pid, 5)


def test_a_second_run_is_told_to_come_back(start: Callable[..., subprocess.Popen[str]]) -> None:
    first = start("run", "--json", *SMALL)
    cycles(first, 1)
    second = start("run", "--once", "--json", *SMALL)
    assert second.wait(20) == 75
    first.kill()
    first.wait(5)
    third = start("run", "--once", "--json", *SMALL)
    assert third.wait(20) == 0, "the lock is the kernel's: it goes with its holder"


def test_the_served_venue_ends_with_its_signal(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("sim", "serve", "--port", "0", "--json")
    assert process.stdout is not None
    document = json.loads(process.stdout.readline())
    assert document["url"].startswith("http://127.0.0.1:")
    assert document["loopback"] is True
    process.terminate()
    assert process.wait(5) == 143


def test_the_served_venue_keeps_its_accounts_over_a_restart(start: Callable[..., subprocess.Popen[str]]) -> None:
    def funds(port: str) -> dict[str, Decimal]:
        venue = start("sim", "serve", "--port", port, "--json", "--symbols", "2")
        assert venue.stdout is not None
        url = json.loads(venue.stdout.readline())["url"]
        found = asyncio.run(trade(url))
        venue.terminate()
        assert venue.wait(5) == 143
        return found

    async def trade(url: str) -> dict[str, Decimal]:
        clock = RealClock()
        paper = Credentials(PAPER_KEY, PAPER_SECRET)
        async with BinanceClient(VENUES["binance"], clock=clock, base_url=url, credentials=paper) as client:
            await client.time()
            before = (await client.balances())["USDT"].free
            await client.submit(Order("BTCUSDT", Side.BUY, f"at-{clock.now()}", quote_quantity=Decimal(100)))
            return {"before": before, "after": (await client.balances())["USDT"].free}

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    first, second = funds(port), funds(port)
    assert first["before"] == Decimal(10_000)
    assert second["before"] == first["after"] < first["before"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_documents_that_cannot_be_written_do_not_end_the_trading(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tradebot", "run", "--cycles", "2", "--json", "--data-dir", str(tmp_path), *SMALL]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--set", "sim.clock=stepped"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
        )
    assert done.returncode == 0
    assert done.stderr.count("a document could not be written: No space left on device") == 2


def test_without_standard_streams_it_works_all_the_same(tmp_path: Path) -> None:
    command = f"{sys.executable} -m tradebot run --once --data-dir {tmp_path} {' '.join(SMALL)} <&- >&- 2>&-"
    assert subprocess.run(command, shell=True, timeout=30, check=False).returncode == 0
    assert (tmp_path / "state.db").exists()


def test_a_reader_that_has_gone_is_no_error(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start("run", "--cycles", "3", "--json", *SMALL, "--set", "sim.clock=stepped")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr is not None
    assert process.stderr.read() == "tradebot: whoever read the output has gone, so this ends\n"


def test_beyond_loopback_the_served_venue_warns_and_keeps_its_own_endpoints_to_itself(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start(
        "sim", "serve", "--host", "0.0.0.0", "--port", "0", "--json", "--symbols", "2", "--fault", "latency"
    )
    assert process.stdout is not None
    assert process.stderr is not None
    document = json.loads(process.stdout.readline())
    url = document["url"].replace("0.0.0.0", "127.0.0.1")
    with httpx.Client(base_url=url, trust_env=False) as client:
        assert client.get("/sim/faults").status_code == 200
        assert client.post("/sim/faults", json={}).status_code == 200
        assert client.get("/sim/log").status_code == 200
        others = {"X-Forwarded-For": "192.0.2.1"}
        assert client.post("/sim/faults", json={}, headers=others).status_code == 403
        assert client.post("/sim/clock", json={"advance": 1}, headers=others).status_code == 403
        assert client.get("/sim/log", headers=others).status_code == 403
    process.terminate()
    assert process.wait(5) == 143
    assert "anybody who reaches this address can trade here" in process.stderr.read()


@pytest.fixture
def hammer(tmp_path: Path) -> Iterator[Callable[..., Callable[[], dict[str, int]]]]:
    """Start a process that asks for klines as fast as it may; what reads its lines."""
    started: list[subprocess.Popen[str]] = []

    def begin(url: str, share: float, folder: str = "data") -> Callable[[], dict[str, int]]:
        command = [sys.executable, hammering.__file__, url, str(tmp_path / folder), str(share)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
        started.append(process)
        assert process.stdout is not None
        stream = process.stdout
        return lambda: json.loads(stream.readline())

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def venue_of(start: Callable[..., subprocess.Popen[str]], *options: str) -> tuple[str, httpx.Client]:
    """A stepped venue on a socket of its own, and a client of its control endpoints."""
    served = start("sim", "serve", "--port", "0", "--json", "--clock", "stepped", "--at", AT, *SMALL, *options)
    assert served.stdout is not None
    url = json.loads(served.stdout.readline())["url"]
    return url, httpx.Client(base_url=url, trust_env=False)


def step(control: httpx.Client, seconds: int) -> None:
    control.post("/sim/clock", json={"advance": seconds * 1000}).raise_for_status()


@pytest.mark.parametrize("folders", [("data", "data"), ("one", "two")], ids=["one folder", "a folder each"])
def test_two_processes_with_half_the_margin_each_are_never_refused(
    start: Callable[..., subprocess.Popen[str]],
    hammer: Callable[..., Callable[[], dict[str, int]]],
    folders: tuple[str, str],
) -> None:
    url, control = venue_of(start, "--set", "sim.weight_limit=600")
    with control:
        both = [hammer(url, 0.45, folder) for folder in folders]
        for _ in range(5):
            seen = [line() for line in both]
            assert [each["code"] for each in seen] == [0, 0], "held up by itself, not by the venue"
            assert all(each["asked"] >= 90 for each in seen), "each has its part of 600"
            step(control, 60)


def test_after_a_ban_neither_a_running_nor_a_new_process_sends_anything_before_its_end(
    start: Callable[..., subprocess.Popen[str]], hammer: Callable[..., Callable[[], dict[str, int]]]
) -> None:
    fault = "banned seconds=120 nth=30 path=klines"
    url, control = venue_of(start, "--fault", fault, "--set", "sim.weight_limit=600")

    def requests() -> int:
        return int(control.get("/sim/faults").json()["requests"])

    def fetch() -> tuple[int, str]:
        process = start("fetch", "--venue", "binance", "--base-url", url, "--json")
        _, told = process.communicate(timeout=30)
        return process.returncode, told

    with control:
        running = hammer(url, 0.5)
        assert running()["code"] == -1003
        before = requests()
        code, told = fetch()
        assert (code, requests()) == (3, before)
        assert "its limit allows no request until" in told
        step(control, 119)
        held_up = running()
        assert (held_up["asked"], held_up["code"], requests()) == (0, 0, before)
        assert fetch()[0] == 3
        assert requests() == before
        step(control, 61)
        assert running()["asked"] > 0
        assert fetch()[0] == 0
