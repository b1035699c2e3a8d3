"""How market data is fetched: `python scripts/bench_market.py [--short] [--json]`.

The venue is `tradebot sim serve` in a process of its own with a stepped clock, over loopback. What is
compared is compared in one run. It prints the workload with every figure, and passes no judgement on
time; a difference from the venue's own klines, or a request where none may be sent, ends it with 6.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import uvloop
from bench_sim import Figure, get, load

from tradebot import sim
from tradebot.clock import RealClock
from tradebot.config import Settings
from tradebot.config import load as configured
from tradebot.errors import Regression
from tradebot.intake import fetch
from tradebot.market.bars import last_closed
from tradebot.market.binance import VENUES, BinanceClient
from tradebot.session import Session, open_session

AT = "2026-06-02T15:02:00Z"
MINUTE, FIVE = 60_000, 300_000
INTERVALS, BARS = ("5m", "15m", "1h"), 200
CONNECTIONS, LATENCY_MS = 50, 50
NO_LIMIT = 10**9
HAMMER = Path(__file__).parent.parent / "tests" / "hammer.py"
PROGRAM = (sys.executable, "-m", "tradebot")


class Venue:
    """A served exchange and its control endpoints."""

    def __init__(self, url: str) -> None:
        self.url = url

    def raw(self, path: str, body: Any = None) -> bytes:
        """What it answers, also if a fault has closed its door for a moment."""
        data = None if body is None else json.dumps(body).encode()
        for left in reversed(range(100)):
            try:
                with urllib.request.urlopen(urllib.request.Request(self.url + path, data=data)) as reply:  # noqa: S310
                    return bytes(reply.read())
            except (OSError, http.client.HTTPException):
                if not left:
                    raise
                time.sleep(0.05)
        raise AssertionError

    def ask(self, path: str, body: Any = None) -> Any:
        """What it answers, as JSON."""
        return json.loads(self.raw(path, body))

    def step(self, ms: int) -> None:
        """Move its clock on."""
        self.ask("/sim/clock", {"advance": ms})

    @property
    def now(self) -> int:
        """Its time."""
        return int(self.ask("/sim/clock")["now"])

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def symbols(self) -> list[str]:
        """What it lists."""
        return [each["symbol"] for each in self.ask("/api/v3/exchangeInfo")["symbols"]]

    @property
    def requests(self) -> int:
        """How many it was sent, those to its control endpoints left out."""
        return int(self.ask("/sim/faults")["requests"])


@contextmanager
def venue(symbols: int, *, latency: float = 0.0, weight: int = NO_LIMIT, fault: str = "") -> Iterator[Venue]:
    """A venue in a process of its own."""
    options = {"--symbols": symbols, "--latency": latency, "--at": AT, "--clock": "stepped", "--port": 0}
    command = [*PROGRAM, "sim", "serve", "--json", "--set", f"sim.weight_limit={weight}"]
    command += [str(part) for pair in options.items() for part in pair] + (["--fault", fault] if fault else [])
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen([*command, "--data-dir", folder], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            yield Venue(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()
            process.wait(10)


def measured(command: Sequence[str]) -> tuple[dict[str, Any], float, float, int]:
    """A process's document with its wall and CPU seconds and its exit code."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    told = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begin
    return json.loads(told or "{}"), wall, used.ru_utime + used.ru_stime, process.returncode


async def cold(symbols: int, runs: int) -> list[Figure]:
    """A cold fetch, and the same requests by our client and by another one; the best of some runs each.

    The venue has been asked for every page before, so that nobody waits for it to work them out.
    """
    number = symbols * len(INTERVALS)
    limit = number / CONNECTIONS * LATENCY_MS / 1000
    ours, clients = [], {"own": list[dict[str, float]](), "ccxt": list[dict[str, float]]()}
    with venue(symbols, latency=LATENCY_MS) as served, tempfile.TemporaryDirectory() as folder:
        names = served.symbols
        for run in range(runs):
            pages = [get(f"/api/v3/klines?symbol={s}&interval={i}&limit={BARS}") for s in names for i in INTERVALS]
            await load(served.port, pages)
            command = [*PROGRAM, "fetch", "--json", "--venue", "binance", "--base-url", served.url, "--bars", str(BARS)]
            options = ["--set", f"universe.top={symbols}", "--data-dir", f"{folder}/{run}"]
            document, wall, cpu, _ = measured([*command, *options])
            if len(document["series"]) != number or document["errors"]:
                raise Regression(f"cold fetch: {len(document['series'])} of {number} series")
            ours.append((document["elapsed_ms"] / 1000, cpu, wall))
            for name, told in clients.items():
                told.append(measured([sys.executable, __file__, "--client", name, served.url])[0])
            served.step(MINUTE)  # a client that does not know the limit yet keeps to the usual one
    wall, cpu, process = (min(column) for column in zip(*ours, strict=True))
    own, other = ({key: min(each[key] for each in told) for key in ("wall", "cpu")} for told in clients.values())
    work = f"{number} series of {BARS} bars, {CONNECTIONS} connections, {LATENCY_MS} ms; best of {runs}"
    return [
        Figure("cold fetch", f"{work}; limit {limit:.2f} s", wall / limit, "x", 1.5, most=True),
        Figure("cold fetch, CPU", "all of that process", cpu, "s", 0.9, most=True),
        Figure("cold fetch, process", "from its start to its end", process, "s"),
        Figure("same requests, our client", "parsed, not stored", own["wall"], "s", cpu=own["cpu"]),
        Figure("same requests, ccxt", "its markets loaded before", other["wall"], "s", cpu=other["cpu"]),
        Figure("ccxt / our client", "wall", other["wall"] / own["wall"], "x", 1.0),
        Figure("ccxt / our client, CPU", "of these requests", other["cpu"] / own["cpu"], "x"),
    ]


Ask: TypeAlias = Callable[[str, str], Awaitable[object]]


async def timed(symbols: Iterable[str], ask: Ask) -> dict[str, float]:
    """Wall and CPU seconds of the requests of a cold fetch."""
    series = iter([(symbol, interval) for symbol in symbols for interval in INTERVALS])

    async def work() -> None:
        for symbol, interval in series:
            await ask(symbol, interval)

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


async def ccxt_client(url: str) -> dict[str, float]:
    """The asynchronous one of ccxt."""
    import ccxt.async_support as ccxt

    client = ccxt.binance({"options": {"fetchMarkets": {"types": ["spot"]}, "fetchCurrencies": False}})
    api = client.urls["api"]
    api |= {name: at.replace("https://api.binance.com", url) for name, at in api.items() if isinstance(at, str)}
    client.enableRateLimit = False
    try:
        await client.load_markets()
        return await timed(client.markets, lambda symbol, interval: client.fetch_ohlcv(symbol, interval, limit=BARS))
    finally:
        await client.close()


async def own_client(url: str) -> dict[str, float]:
    """Our own."""
    async with BinanceClient(VENUES["binance"], clock=RealClock(), base_url=url, connections=CONNECTIONS) as client:
        return await timed(
            await client.instruments(), lambda symbol, interval: client.klines(symbol, interval, None, BARS)
        )


CLIENTS = {"own": own_client, "ccxt": ccxt_client}


def settings_of(served: Venue, folder: str, symbols: int, **more: float) -> Settings:
    """A client's settings; `more` are those of `[venue]`."""
    keys = {
        "venue.name": "binance", "venue.base_url": served.url, "venue.connections": CONNECTIONS, "data_dir": folder,
        "universe.top": symbols, "market.intervals": ",".join(INTERVALS), "market.bars": BARS,
        "run.step": True, "run.fetch_deadline_s": 600, **{f"venue.{name}": value for name, value in more.items()},
    }  # fmt: skip
    return configured(None, {key: ("bench", value) for key, value in keys.items()}, {})


async def refreshed(session: Session) -> tuple[int, float, int]:
    """One refresh of the universe: series, ms and requests."""
    symbols = (await session.scout.universe()).symbols
    begin, before, number = time.perf_counter(), session.feed.requests, 0
    async with aclosing(fetch(session, symbols, session.clock.now())) as stream:
        async for ready in stream:
            if ready.error is not None:
                raise Regression(f"{ready.symbol} {ready.interval}: {ready.error}")
            number += 1
    return number, (time.perf_counter() - begin) * 1e3, session.feed.requests - before


async def warm(symbols: int) -> list[Figure]:
    """A refresh when nothing is due, by a process that has read the store and by one that has not."""
    with venue(symbols) as served, tempfile.TemporaryDirectory() as folder:
        settings = settings_of(served, folder, symbols)
        async with open_session(settings) as session:
            number, _, _ = await refreshed(session)
            again = [await refreshed(session) for _ in range(7)]
        async with open_session(settings) as session:
            _, first, asked = await refreshed(session)
    work = f"{number} series of {BARS} bars"
    return [
        Figure("warm refresh", f"{work}, nothing due; best of 7", min(ms for _, ms, _ in again), "ms", 10, most=True),
        Figure("warm refresh, requests", "", float(sum(each[2] for each in again) + asked), "", 0, most=True),
        Figure("warm refresh, new process", f"{work}, from disk", first, "ms"),
    ]


def differs(session: Session, symbols: int) -> str:
    """The first series of the store that is not the venue's, or nothing."""
    prices, now = sim.open_prices(configured(None, {"sim.symbols": ("bench", symbols)}, {})), session.clock.now()
    for symbol in prices.instruments():
        for interval in INTERVALS:
            last = last_closed(interval, now)
            truth = prices.klines(symbol, interval, last - (BARS - 1) * (last - last_closed(interval, last)), last, now)
            held = session.store.read(symbol, interval).last(BARS)
            if truth.data.tobytes() != held.data.tobytes():
                return f"{symbol} {interval}"
    return ""


async def stepped(symbols: int, cycles: int) -> list[Figure]:
    """A cycle a minute, the store compared with the venue's own prices after each."""
    asked, slowest = 0, 0.0
    with venue(symbols, latency=LATENCY_MS) as served, tempfile.TemporaryDirectory() as folder:
        settings = settings_of(served, folder, symbols)
        async with open_session(settings) as session:
            _, _, first = await refreshed(session)
            closes = 0
            for _ in range(cycles):
                now = session.clock.now()
                await session.clock.sleep_until(now + MINUTE)
                closes += session.clock.now() // FIVE - now // FIVE
                _, ms, requests = await refreshed(session)
                asked, slowest = asked + requests, max(slowest, ms)
                if wrong := differs(session, symbols):
                    raise Regression(f"{wrong} is not as the venue has it")
    floor = symbols * closes
    work = f"{cycles} cycles of a minute, {symbols} symbols x {','.join(INTERVALS)}, {BARS} bars, {LATENCY_MS} ms"
    return [
        Figure("kline requests / floor", f"{work}; {asked} of {floor}", asked / floor, "x", 1.05, most=True),
        Figure("share of a full refetch", f"{symbols * 3 * cycles}", 100 * asked / (symbols * 3 * cycles), "%"),
        Figure("cold fetch before that", "requests", first, ""),
        Figure("slowest cycle's refresh", "store = venue after each", slowest, "ms"),
    ]


async def close(symbols: int) -> list[Figure]:
    """From the close of an hour until every closed kline is stored."""
    with venue(symbols, latency=LATENCY_MS) as served, tempfile.TemporaryDirectory() as folder:
        settings = settings_of(served, folder, symbols)
        async with open_session(settings) as session:
            await refreshed(session)
            took = []
            for _ in range(2):
                await session.clock.sleep_until(-(-(session.clock.now() + 1) // FIVE) * FIVE)
                cpu = time.process_time()
                number, ms, requests = await refreshed(session)
                took.append((ms / 1000, requests, time.process_time() - cpu))
                if symbols <= 200 and (wrong := differs(session, symbols)):
                    raise Regression(f"{wrong} is not as the venue has it")
    seconds, requests, cpu = min(took)
    work = f"{number} series, {requests} requests, {LATENCY_MS} ms, {CONNECTIONS} connections; best of 2"
    limit = 1.0 if symbols <= 200 else 3.0
    return [Figure(f"close to stored, {symbols}", work, seconds, "s", limit, most=True, cpu=cpu)]


def shared(minutes: int) -> list[Figure]:
    """Two processes of half the margin each, under a limit that one of them could use up."""
    with venue(2, weight=600) as served, tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HAMMER), served.url, folder, "0.45"]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        refusals, asked = 0, []
        for _ in range(minutes):
            for each in both:
                assert each.stdout is not None
                told = json.loads(each.stdout.readline())
                refusals += told["code"] != 0
                asked.append(told["asked"])
            served.step(MINUTE)
        for each in both:
            each.kill()
            each.communicate()
    if refusals:
        raise Regression(f"{refusals} refusals for weight")
    work = f"2 processes of 0.45 each, {minutes} stepped minutes, 600 weight a minute; {min(asked)}-{max(asked)} klines"
    return [Figure("refusals for weight", work, float(refusals), "", 0, most=True)]


def banned() -> list[Figure]:
    """What is sent between a 418 and the end of its ban."""
    fault = "banned seconds=120 nth=30 path=klines"
    with venue(2, weight=600, fault=fault) as served, tempfile.TemporaryDirectory() as folder:
        running = subprocess.Popen(
            [sys.executable, str(HAMMER), served.url, folder, "0.9"], stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        running.stdout.readline()
        before, codes = served.requests, []
        for seconds in (0, 60, 59):
            served.step(seconds * 1000)
            if seconds == 60:  # the other steps end within the minute that it waits for
                running.stdout.readline()
            codes.append(measured([*PROGRAM, "fetch", "--json", "--venue", "binance", "--base-url", served.url,
                                   "--data-dir", folder])[3])  # fmt: skip
        sent = served.requests - before
        running.kill()
        running.communicate()
    if sent or codes != [3, 3, 3]:
        raise Regression(f"{sent} requests in a ban, exit codes {codes}")
    work = "418 with Retry-After 120: one process runs on, three begin, until 119 s of the venue have passed"
    return [Figure("requests in a ban", work, float(sent), "", 0, most=True)]


async def measure(short: bool) -> list[Figure]:
    """All figures."""
    figures = await cold(200, 1 if short else 3)
    figures += await warm(200)
    figures += await stepped(10 if short else 50, 12 if short else 60)
    for symbols in (200,) if short else (200, 2_000):
        figures += await close(symbols)
    return figures + shared(5) + banned()


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer cycles and runs, for CI")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--client", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.client:
        name, url = asked.client
        print(json.dumps(uvloop.run(CLIENTS[name](url))))
        return 0
    try:
        figures = uvloop.run(measure(asked.short))
    except Regression as error:
        print(f"bench_market: {error}", file=sys.stderr)
        return error.exit_code
    where: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
    if asked.json:
        print(json.dumps({"environment": where, "figures": [asdict(each) for each in figures]}))
        return 0
    print(f"{where['cpus']} CPUs, Python {where['python']}; the venue in a process of its own, over loopback")
    for each in figures:
        cpu = "" if each.cpu is None else f"CPU {each.cpu:.2f}"
        print(f"{each.name:26} {each.measured:8.2f} {each.unit:3} {each.met:22} {cpu:9} {each.workload}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
