"""How fast the simulated exchange answers over loopback: `python scripts/bench_sim.py [--short] [--json]`.

One server process, as `tradebot sim serve` runs it but without a limit on request weight, and this
process with raw sockets as its load: every connection sends its next request when the answer is
complete. It prints the workload with every figure, and passes no judgement on time.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import math
import os
import platform
import random
import resource
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import uvloop

AT = "2026-06-02T15:00:00Z"
NOW = 1_780_412_400_000
MINUTE, DAY = 60_000, 86_400_000
SYMBOLS, CONNECTIONS = 2_000, 32


@dataclass(frozen=True)
class Figure:
    """One measurement; `limit` is what it is compared with, in the same unit, `most` whether that is an upper one.

    `cpu` is the same of the server's CPU time instead of the clock's, where that is told.
    """

    name: str
    workload: str
    measured: float
    unit: str
    limit: float | None = None
    most: bool = False
    cpu: float | None = None

    @property
    def met(self) -> str:
        """In words."""
        if self.limit is None:
            return ""
        good = self.measured <= self.limit if self.most else self.measured >= self.limit
        return f"{'at most' if self.most else 'at least'} {self.limit:g}: {'met' if good else 'MISSED'}"


class Connection(asyncio.Protocol):
    """Sends requests from a common queue one after another and counts the answers."""

    def __init__(self, requests: deque[bytes], done: asyncio.Future[None]) -> None:
        self.requests = requests
        self.done = done
        self.answers = 0
        self.bytes = 0
        self._head = b""
        self._left = -1
        self._sent = 0.0
        self.waits: list[float] = []
        self.last = b""
        self._parts: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by descent
        self._next()

    def _next(self) -> None:
        if not self.requests:
            self.done.set_result(None)
            self.transport.close()
            return
        self._sent = time.perf_counter()
        self.transport.write(self.requests.popleft())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self.bytes += len(data)
        if self._left < 0:
            data = self._head + data
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._head = data
                return
            head = data[:end].lower()
            if not head.startswith(b"http/1.1 200"):
                self.connection_lost(ConnectionError(f"refused: {data[:300]!r}"))
                return
            length = int(head[head.index(b"content-length:") + 15 :].split(b"\r\n", 1)[0])
            self._head, self._left, data = b"", length, data[end + 4 :]
            self._parts = []
        self._left -= len(data)
        self._parts.append(data)
        if self._left == 0:
            self._left = -1
            self.answers += 1
            self.waits.append((time.perf_counter() - self._sent) * 1e3)
            self.last = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._next()


def get(path: str) -> bytes:
    """A GET request as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n".encode()


@dataclass(frozen=True)
class Load:
    """What came of some requests; `waits` has the ms that each took, in no order."""

    answers: int
    seconds: float
    bytes: int
    waits: list[float]
    last: bytes

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def used(server: int) -> float:
    """Seconds of CPU time that a process has used; NaN where the system does not tell."""
    try:
        told = Path(f"/proc/{server}/schedstat").read_text()
    except OSError:
        return math.nan
    return int(told.split()[0]) / 1e9


async def load(port: int, requests: Iterable[bytes], connections: int = CONNECTIONS) -> Load:
    """Send all requests over so many connections."""
    queue = requests if isinstance(requests, deque) else deque(requests)
    loop = asyncio.get_running_loop()
    ends = [loop.create_future() for _ in range(min(connections, len(queue)))]
    begin = time.perf_counter()
    made = [
        (await loop.create_connection(lambda end=end: Connection(queue, end), "127.0.0.1", port))[1]  # type: ignore[misc]
        for end in ends
    ]
    await asyncio.gather(*ends)
    seconds = time.perf_counter() - begin
    last = next(each.last for each in made if each.last)
    waits = [wait for each in made for wait in each.waits]
    return Load(sum(m.answers for m in made), seconds, sum(m.bytes for m in made), waits, last)


async def one(port: int, path: str) -> tuple[float, bytes]:
    """Milliseconds and body of a single request on a connection of its own."""
    told = await load(port, [get(path)], 1)
    return told.waits[0], told.last


async def advance(port: int, ms: int) -> None:
    """Move the exchange's clock on."""
    body = json.dumps({"advance": ms})
    head = f"POST /sim/clock HTTP/1.1\r\nHost: sim\r\nContent-Length: {len(body)}\r\n\r\n"
    await load(port, [(head + body).encode()], 1)


def klines(symbol: str, interval: str, end: int, limit: int = 100) -> bytes:
    """Closed bars up to an open time."""
    return get(_path(symbol, interval, end, limit))


def _path(symbol: str, interval: str, end: int, limit: int, api: str = "/api/v3") -> str:
    return f"{api}/klines?symbol={symbol}&interval={interval}&endTime={end}&limit={limit}"


def serve(symbols: int) -> int:
    """The server process."""
    from tradebot import sim
    from tradebot.config import load as configure
    from tradebot.sim.app import create_app
    from tradebot.sim.fault_plan import Plan
    from tradebot.sim.server import serve as listen
    from tradebot.sim.sockets import Door

    keys = {"sim.symbols": symbols, "sim.clock": "stepped", "sim.at": AT, "data_dir": os.devnull}
    settings = configure(None, {key: ("bench", value) for key, value in keys.items()}, {})
    clock = sim.sim_clock(settings)
    plan = Plan()
    exchange = sim.open_exchange(settings, clock, None, plan)
    exchange.prices.expect(clock.now())
    app = create_app(exchange, weight_limit=10**12)
    gc.set_threshold(50_000)  # as the command line does
    return listen(app, "127.0.0.1", 0, lambda url: print(url, flush=True), Door(plan, clock))


@dataclass(frozen=True)
class Server:
    """Where it listens, and its process."""

    pid: int
    port: int


def start(symbols: int) -> tuple[subprocess.Popen[str], int]:
    """The server and its port, as soon as it listens."""
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", "--symbols", str(symbols)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, int(server.stdout.readline().rsplit(":", 1)[1])


async def starting(symbols: int) -> tuple[subprocess.Popen[str], Server, Figure]:
    """Start the server, and how long it took until it had answered."""
    begin = time.perf_counter()
    server, port = start(symbols)
    await one(port, "/api/v3/ping")
    took, work = time.perf_counter() - begin, f"{symbols} symbols, until the first answer"
    return server, Server(server.pid, port), Figure("start", work, took, "s", 2, most=True, cpu=used(server.pid))


async def timed(at: Server, name: str, path: str, work: str, limit: float | None = None) -> Figure:
    """A single request."""
    before = used(at.pid)
    took, _ = await one(at.port, path)
    return Figure(name, work, took, "ms", limit, most=True, cpu=(used(at.pid) - before) * 1e3)


_JUMPS = (
    ("a second later", 1_000), ("a minute later", MINUTE), ("two hours later", 120 * MINUTE),
    ("four hours later", 240 * MINUTE), ("a day later", DAY), ("nine days later", 9 * DAY + 7 * 60 * MINUTE),
)  # fmt: skip


async def tickers(at: Server, symbols: int) -> list[Figure]:
    """24 hours of all symbols at once; the clock jumps between."""
    path, work = "/api/v3/ticker/24hr", f"{symbols} symbols"
    figures = [await timed(at, "ticker/24hr, first", path, work, 300)]
    for name, ms in _JUMPS:
        await advance(at.port, ms)
        figures.append(await timed(at, f"ticker/24hr, {name}", path, work, 300))
    return figures


async def unseen(at: Server, requests: Sequence[bytes], what: str, limit: float | None = 2_000) -> Figure:
    """Pages of series that nobody asked for before."""
    before = used(at.pid)
    told = await load(at.port, requests)
    work = f"{told.answers} pages of 100 closed bars, {CONNECTIONS} connections"
    return Figure(f"klines unseen, {what}", work, told.rate, "/s", limit, cpu=told.answers / (used(at.pid) - before))


async def all_unseen(at: Server, names: Sequence[str]) -> list[Figure]:
    """Each row looks at days of its own."""
    drawn = random.Random(1)  # noqa: S311 - an order of requests, not a secret
    figures = []
    for place, (interval, share) in enumerate((("5m", 1), ("15m", 1), ("1h", 1), ("1m", 1), ("4h", 8), ("1d", 40))):
        for order in ("listing", "shuffled")[: 2 if share == 1 else 1]:
            chosen = list(names[:: 2 * share])
            if order == "shuffled":
                drawn.shuffle(chosen)
            back = 30 + 20 * place + 10 * (order == "shuffled")
            pages = [klines(name, interval, NOW - back * DAY - 1) for name in chosen]
            limit = 2_000 if interval in {"5m", "15m", "1h"} else None
            figures.append(await unseen(at, pages, f"{interval}, {order}", limit))
    # As a bot asks that starts: each symbol on three intervals.
    for back, order in ((200, "by symbol"), (220, "shuffled")):
        pages = [klines(name, each, NOW - back * DAY - 1) for name in names[::2] for each in ("5m", "15m", "1h")]
        if order == "shuffled":
            drawn.shuffle(pages)
        figures.append(await unseen(at, pages, f"three intervals, {order}"))
    anywhere = [
        klines(name, drawn.choice(("5m", "15m", "1h")), NOW - drawn.randrange(300 * DAY, 400 * DAY)) for name in names
    ]
    drawn.shuffle(anywhere)
    figures.append(await unseen(at, anywhere, "any range, mixed"))
    return figures


async def cached(at: Server, names: Sequence[str], requests: int) -> Figure:
    """Pages that were asked for before."""
    pages = [klines(name, interval, NOW - 1) for name in names[:200] for interval in ("5m", "15m", "1h")]
    await load(at.port, pages)
    before = used(at.pid)
    told = await load(at.port, (pages[k % len(pages)] for k in range(requests)))
    work = f"{told.answers} pages of 100 closed bars, {len(pages)} series, {CONNECTIONS} connections"
    cpu = told.answers / (used(at.pid) - before)
    return Figure(
        "klines cached", f"{work}, {told.bytes / told.seconds / 1e6:.0f} MB/s", told.rate, "/s", 6_000, cpu=cpu
    )


async def newest(at: Server, names: Sequence[str]) -> list[Figure]:
    """What bots ask for: the newest rows with the open bar, again at the same instant and after the clock has moved."""
    figures = []
    for limit in (101, 201):
        pages = [
            get(f"/api/v3/klines?symbol={name}&interval={interval}&limit={limit}")
            for name in names[:200]
            for interval in ("5m", "15m", "1h")
        ]
        await load(at.port, pages)
        for moved, ms in (("the same instant", 0), ("a second later", 1_000), ("after a 5m close", 5 * MINUTE)):
            await advance(at.port, ms)
            before = used(at.pid)
            told = await load(at.port, pages)
            work = f"{told.answers} pages of {limit} bars, the open one too, {CONNECTIONS} connections"
            cpu = told.answers / (used(at.pid) - before)
            figures.append(Figure(f"klines newest, {limit}, {moved}", work, told.rate, "/s", cpu=cpu))
    return figures


async def cold_pages(at: Server, names: Sequence[str]) -> list[Figure]:
    """Long pages of single series."""
    hours = sorted([(await one(at.port, _path(names[-9 * k - 1], "1h", NOW - 200 * DAY, 200)))[0] for k in range(10)])
    work = "10 series of 1h, 200 bars each, one after another, nothing known of their days; median"
    weeks = await timed(at, "1w page, cold", _path(names[3], "1w", NOW - 1, 1000), "1 series, all of its weeks")
    return [Figure("1h page, cold", work, hours[len(hours) // 2], "ms", 3, most=True), weeks]


class _While(deque[bytes]):
    """A light request again and again, as long as something goes on."""

    def __init__(self, going: asyncio.Task[Load]) -> None:
        super().__init__([get("/api/v3/time")])
        self._going = going

    def __bool__(self) -> bool:
        return not self._going.done()

    def popleft(self) -> bytes:
        return self[0]


async def beside(at: Server, name: str, heavy: Sequence[str], limit: float | None = 15) -> list[Figure]:
    """How long `/time` takes others while heavy requests are answered."""
    going = asyncio.create_task(load(at.port, [get(path) for path in heavy], 2))
    waits = sorted((await load(at.port, _While(going), 1)).waits)
    work = f"{len(waits)} requests one after another, beside {len(heavy)} over 2 connections"
    return [
        Figure(
            f"beside {name}, p{share}", work, waits[min(len(waits) * share // 100, len(waits) - 1)], "ms", most, True
        )
        for share, most in ((50, None), (99, limit))
    ]


async def all_beside(at: Server, names: Sequence[str]) -> list[Figure]:
    """Light requests beside heavy ones of each kind; before each the clock jumps, so that nothing is known."""
    figures = []
    for name, heavy in (
        ("ticker/24hr", ["/api/v3/ticker/24hr"] * 4),
        ("bookTicker", ["/api/v3/ticker/bookTicker"] * 4),
        ("ticker/price", ["/api/v3/ticker/price"] * 4),
        ("futures ticker/24hr", ["/fapi/v1/ticker/24hr"] * 4),
        ("futures bookTicker", ["/fapi/v1/ticker/bookTicker"] * 4),
        ("premiumIndex", ["/fapi/v1/premiumIndex"] * 4),
        ("1w pages", [_path(each, "1w", NOW - 1, 1000) for each in names[7:10]]),
        ("futures 1w pages", [_path(each, "1w", NOW - 1, 1000, "/fapi/v1") for each in names[17:20]]),
    ):
        await advance(at.port, 3 * DAY)
        figures += await beside(at, name, heavy)
    return figures


async def measure(short: bool, symbols: int) -> list[Figure]:
    """All figures, in the order in which they are taken: nothing is known to the server that is called unseen."""
    server, at, started = await starting(symbols)
    try:
        _, body = await one(at.port, "/api/v3/exchangeInfo")
        names = [each["symbol"] for each in json.loads(body)["symbols"]]
        figures = [started]
        figures += await all_unseen(at, names[:: 4 if short else 1])
        figures.append(await cached(at, names, 6_000 if short else 40_000))
        figures += await tickers(at, len(names))
        figures += await newest(at, names)
        figures += await cold_pages(at, names)
        figures += await all_beside(at, names)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)
    figures.append(Figure("memory", f"{symbols} symbols, peak of all of the above", peak, "MB", 250, most=True))
    return figures


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer requests, for CI")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--symbols", type=int, default=SYMBOLS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        return serve(asked.symbols)
    figures = uvloop.run(measure(asked.short, asked.symbols))
    where: dict[str, Any] = {"python": platform.python_version(), "machine": platform.machine(), "cpus": os.cpu_count()}
    if asked.json:
        print(json.dumps({"environment": where, "figures": [asdict(each) for each in figures]}))
        return 0
    print(f"{where['cpus']} CPUs, Python {where['python']}; 1 server process, load from another one over loopback")
    for each in figures:
        cpu = "" if each.cpu is None else f"CPU {each.cpu:.1f}"
        print(f"{each.name:38} {each.measured:8.1f} {each.unit:3} {each.met:22} {cpu:11} {each.workload}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
