"""How fast the simulated exchange answers over loopback: `python scripts/bench_sim.py [--short] [--json]`.

One server process, as `tradebot sim serve` runs it but without a limit on request weight, and this
process with raw sockets as its load: every connection sends its next request when the answer is
complete. It prints the workload with every figure, and passes no judgement on time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
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
from typing import Any, cast

import uvloop

AT = "2026-06-02T15:00:00Z"
NOW = 1_780_412_400_000
MINUTE, DAY = 60_000, 86_400_000
SYMBOLS, CONNECTIONS = 2_000, 32


@dataclass(frozen=True)
class Figure:
    """One measurement; `limit` is what it is compared with, in the same unit, `most` whether that is an upper one."""

    name: str
    workload: str
    measured: float
    unit: str
    limit: float | None = None
    most: bool = False

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
        self.slowest = 0.0
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
            self.slowest = max(self.slowest, time.perf_counter() - self._sent)
            self.last = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._next()


def get(path: str) -> bytes:
    """A GET request as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n".encode()


@dataclass(frozen=True)
class Load:
    """What came of some requests."""

    answers: int
    seconds: float
    bytes: int
    slowest_ms: float
    last: bytes

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


async def load(port: int, requests: Iterable[bytes], connections: int = CONNECTIONS) -> Load:
    """Send all requests over so many connections."""
    queue = deque(requests)
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
    return Load(
        sum(m.answers for m in made), seconds, sum(m.bytes for m in made), max(m.slowest for m in made) * 1e3, last
    )


async def one(port: int, path: str) -> tuple[float, bytes]:
    """Milliseconds and body of a single request on a connection of its own."""
    told = await load(port, [get(path)], 1)
    return told.slowest_ms, told.last


async def advance(port: int, ms: int) -> None:
    """Move the exchange's clock on."""
    body = json.dumps({"advance": ms})
    head = f"POST /sim/clock HTTP/1.1\r\nHost: sim\r\nContent-Length: {len(body)}\r\n\r\n"
    await load(port, [(head + body).encode()], 1)


def klines(symbol: str, interval: str, end: int, limit: int = 100) -> bytes:
    """Closed bars up to an open time."""
    return get(f"/api/v3/klines?symbol={symbol}&interval={interval}&endTime={end}&limit={limit}")


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
    return listen(app, "127.0.0.1", 0, lambda url: print(url, flush=True), Door(plan, clock))


def start(symbols: int) -> tuple[subprocess.Popen[str], int]:
    """The server and its port, as soon as it listens."""
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve", "--symbols", str(symbols)], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    return server, int(server.stdout.readline().rsplit(":", 1)[1])


async def starting(symbols: int) -> tuple[subprocess.Popen[str], int, Figure]:
    """Start the server, and how long it took until it had answered."""
    begin = time.perf_counter()
    server, port = start(symbols)
    await one(port, "/api/v3/ping")
    took = time.perf_counter() - begin
    return server, port, Figure("start", f"{symbols} symbols, until the first answer", took, "s", 2, most=True)


async def tickers(port: int, symbols: int, limit: float = 300) -> list[Figure]:
    """24 hours of all symbols at once."""
    first, body = await one(port, "/api/v3/ticker/24hr")
    found = len(json.loads(body))
    figures = [Figure("ticker/24hr, first", f"{found} symbols", first, "ms", limit, most=True)]
    for name, ms in (("a second later", 1_000), ("a minute later", MINUTE), ("four hours later", 240 * MINUTE),
                     ("a day later", DAY)):  # fmt: skip
        await advance(port, ms)
        took, _ = await one(port, "/api/v3/ticker/24hr")
        figures.append(Figure(f"ticker/24hr, {name}", f"{symbols} symbols", took, "ms", limit, most=True))
    return figures


async def unseen(port: int, names: Sequence[str], interval: str, back: int, order: str) -> Figure:
    """Pages of series that nobody asked for before."""
    chosen = list(names)
    if order == "shuffled":
        random.Random(1).shuffle(chosen)  # noqa: S311 - an order of requests, not a secret
    told = await load(port, [klines(name, interval, NOW - back * DAY - 1) for name in chosen])
    work = f"{told.answers} series of {interval}, 100 closed bars each, {order} order, {CONNECTIONS} connections"
    return Figure(f"klines unseen, {interval}, {order}", work, told.rate, "/s", 2_000 if interval == "5m" else None)


async def cached(port: int, names: Sequence[str], requests: int) -> Figure:
    """Pages that were asked for before."""
    pages = [klines(name, interval, NOW - 1) for name in names[:200] for interval in ("5m", "15m", "1h")]
    await load(port, pages)
    told = await load(port, (pages[k % len(pages)] for k in range(requests)))
    work = f"{told.answers} answers of 100 closed bars, {len(pages)} series, {CONNECTIONS} connections"
    return Figure("klines cached", f"{work}, {told.bytes / told.seconds / 1e6:.0f} MB/s", told.rate, "/s", 6_000)


async def cold_pages(port: int, names: Sequence[str]) -> list[Figure]:
    """Long pages of single series, and how long others wait meanwhile."""
    hours = sorted(
        [(await load(port, [klines(name, "1h", NOW - 200 * DAY, 200)], 1)).slowest_ms for name in names[-60::6]]
    )
    weeks = asyncio.create_task(load(port, [klines(names[3], "1w", NOW - 1, 1000)], 1))
    waits = []
    while not weeks.done():
        waits.append((await one(port, "/api/v3/time"))[0])
    work = "10 series of 1h, 200 bars each, one after another, nothing known of their days; median"
    return [
        Figure("1h page, cold", work, hours[len(hours) // 2], "ms", 3, most=True),
        Figure("1w page, cold", "1 series, all of its weeks", weeks.result().slowest_ms, "ms"),
        Figure("1w page, others wait", f"longest of {len(waits)} requests meanwhile", max(waits), "ms"),
    ]


async def measure(short: bool, symbols: int) -> list[Figure]:
    """All figures, in the order in which they are taken: nothing is known to the server that is called unseen."""
    server, port, started = await starting(symbols)
    try:
        _, body = await one(port, "/api/v3/exchangeInfo")
        names = [each["symbol"] for each in json.loads(body)["symbols"]]
        share = 4 if short else 1
        figures = [started]
        figures.append(await unseen(port, names[: len(names) // share], "5m", 30, "listing"))
        figures.append(await unseen(port, names[: len(names) // share], "5m", 60, "shuffled"))
        for place, interval in enumerate(("1m", "15m", "1h")):
            figures.append(await unseen(port, names[: len(names) // (2 * share)], interval, 90 + 30 * place, "listing"))
        figures.append(await cached(port, names, 6_000 if short else 40_000))
        figures += await tickers(port, len(names))
        figures += await cold_pages(port, names)
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
        print(f"{each.name:28} {each.measured:9.1f} {each.unit:3} {each.met:24} {each.workload}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
