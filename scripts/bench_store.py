"""How small and how fast the kline store is: `python scripts/bench_store.py [--short] [--json]`.

It fills a store in a temporary folder with klines of the simulated exchange (years of 1m, and the
live series of 200 symbols), grows it as cycles do, and reads it in fresh processes. It prints the
workload with every figure, and passes no judgement on time.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tradebot.market.bars import Klines, interval_ms
from tradebot.market.chunks import CHUNK, Change, Chunks, Series, Stretch, chunk_open
from tradebot.market.store import KlineStore
from tradebot.sim.prices import Synthetic

NOW = 1_780_412_400_000
MINUTE = 60_000
MONTH = 43_200  # bars of 1m
MONTHS, VENUE = 11, "bench"
LIVE = ("5m", "15m", "1h")
BARS = 200


@dataclass(frozen=True)
class Figure:
    """One measurement; `cpu` is the CPU time of the measuring process in the same unit, where it is a time."""

    name: str
    workload: str
    measured: float
    unit: str
    cpu: float | None = None

    def line(self) -> str:
        """For people."""
        cpu = "" if self.cpu is None else f"  (CPU {self.cpu:.4g})"
        return f"{self.name:<34}{self.measured:>10.4g} {self.unit:<10}{cpu:<16}{self.workload}"


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU milliseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return 1000 * (time.perf_counter() - wall), 1000 * (time.process_time() - cpu)


def best(name: str, workload: str, work: Callable[[], object], times: int = 5) -> Figure:
    """The quickest of some runs, in ms."""
    wall, cpu = (min(run) for run in zip(*(timed(work) for _ in range(times)), strict=True))
    return Figure(name, workload, wall, "ms", cpu)


def stretch(series: Series, klines: Klines) -> Stretch:
    """All that there is from the first to the last of `klines`."""
    return Stretch(series, klines, int(klines.open_time[0]), int(klines.open_time[-1]))


def fill(folder: Path, klines: int) -> list[Figure]:
    """Months of 1m up to so many `klines`, as history is fetched, and the live series."""
    prices = Synthetic(1, 200)
    names = list(prices.instruments())
    months = [(name, back) for name in names for back in range(MONTHS, 0, -1)][: max(1, klines // MONTH)]
    wall = cpu = 0.0
    with KlineStore(folder, VENUE) as store:
        for name, back in months:
            first = NOW - back * MONTH * MINUTE
            bars = prices.klines(name, "1m", first, first + MONTH * MINUTE - 1, NOW)
            took = timed(partial(store.add, [stretch((name, "1m"), bars)]))
            wall, cpu = wall + took[0], cpu + took[1]
        live = [
            stretch((name, interval), prices.klines(name, interval, NOW - 300 * interval_ms(interval), NOW - 1, NOW))
            for name in names
            for interval in LIVE
        ]
        store.add(live)
    with KlineStore(folder, VENUE) as store:
        stored, size = sum(one.bars for one in store.status()), store.size()
    work = f"{len(months)} months of 1m, {len(live)} live series of 300 bars; chunks of {CHUNK}"
    return [
        Figure("klines stored", work, stored, ""),
        Figure("folder, bytes a kline", "all files, after closing", size / stored, "bytes"),
        Figure("history in", "a month of 1m at a time", wall / len(months), "ms/month", cpu / len(months)),
    ]


def dense(folder: Path) -> Figure:
    """Prices, volumes and quote volumes with all eight decimals, and many trades: the largest there are."""
    rng = np.random.default_rng(1)
    data = np.round(rng.lognormal(0, 1, (10, 200 * CHUNK)) * np.array([[1e4]] * 5 + [[1e5]] * 5), 8)
    data[6], data[9] = np.round(data[6] * 1e4, 8), np.round(data[9] * 1e4, 8)
    data[0], data[7] = NOW - MINUTE * np.arange(data.shape[1], 0, -1), rng.integers(1, 2_000_000, data.shape[1])
    with KlineStore(folder, VENUE) as store:
        store.add([stretch(("DENSE", "1m"), Klines(data))])
    with KlineStore(folder, VENUE) as store:
        size = store.size()
    work = f"{data.shape[1]} klines, 8 decimals everywhere, volumes without order, a store of its own"
    return Figure("folder, bytes a kline, worst", work, size / data.shape[1], "bytes")


def grow(folder: Path, symbols: int, intervals: Sequence[str], cycles: int) -> Figure:
    """Cycles in which all these series have grown by a bar."""
    chunks = Chunks(folder, VENUE)
    index = chunks.index()
    series = [one for one in index if one[1] in intervals][: symbols * len(intervals)]
    held = {one: chunks.load(one, index[one].first, index[one].newest)[0] for one in series}

    def cycle() -> list[Change]:
        changes = []
        known = chunks.index()
        for one, klines in held.items():
            bar = klines.data[:, -1:] + interval_ms(one[1]) * (np.arange(10) == 0)[:, None]
            held[one] = longer = Klines(np.concatenate([klines.data, bar], axis=1))
            tail = longer.between(chunk_open(one[1], known[one].newest), NOW * 2)
            changes.append(Change(one, tail, known[one]._replace(newest=int(bar[0, 0])), known[one]))
        return changes

    runs = []
    for _ in range(cycles):
        changes = cycle()
        runs.append(timed(partial(chunks.commit, changes)))
    chunks.close()
    wall, cpu = (min(run) for run in zip(*runs, strict=True))
    tail = np.mean([len(change.klines) for change in changes])
    return Figure(f"commit of {len(series)} series", f"a bar each; chunks of {tail:.0f} bars", wall, "ms", cpu)


def index(folder: Path, series: int) -> list[Figure]:
    """What the one record costs that says what is stored."""
    names = [(f"S{number}USDT", interval) for number in range(series // 3) for interval in LIVE]
    with KlineStore(folder, VENUE) as store:
        store.add([Stretch(one, Klines.empty(), NOW - BARS * interval_ms(one[1]), NOW) for one in names])
    chunks = Chunks(folder, VENUE)
    size = len(chunks.entries.get(f"{VENUE}|index"))
    known = best("index unchanged", f"{series} series, {size} bytes", chunks.index)
    written = best("index written", f"{series} series", lambda: chunks.commit([]))

    def anew() -> None:
        other = Chunks(folder, VENUE)
        other.index()
        other.close()

    opened = best("store opened, index read", f"{series} series", anew)
    chunks.close()
    return [written, known, opened]


def read(folder: Path) -> list[Figure]:
    """In a fresh process: months of 1m, first and later ones, and all live series."""
    rng = np.random.default_rng()
    with KlineStore(folder, VENUE) as store:
        fine = [one for one in store.stored() if one[1] == "1m"]
        live = [one for one in store.stored() if one[1] != "1m"]

        def month() -> None:
            symbol, interval = fine[rng.integers(len(fine))]
            (first, last) = store.spans(symbol, interval)[0]
            start = first + int(rng.integers(0, max(1, (last - first) // MINUTE - MONTH + 2))) * MINUTE
            assert len(store.read(symbol, interval, start, start + (MONTH - 1) * MINUTE)) == MONTH

        def windows() -> None:
            for interval in LIVE:
                some = [one for one in live if one[1] == interval]
                newest = store.spans(*some[0])[-1][1]
                for _, klines in store.read_many(some, newest - (BARS - 1) * interval_ms(interval)):
                    assert len(klines) == BARS

        months = [timed(month) for _ in range(20)]
        wall, cpu = np.median(months, axis=0)
        first, again = timed(windows), best("", "", windows)
    return [
        Figure("month of 1m, first read", "fresh process, any month", months[0][0], "ms", months[0][1]),
        Figure("month of 1m, second read", "another one", months[1][0], "ms", months[1][1]),
        Figure("month of 1m, median", "20 months", float(wall), "ms", float(cpu)),
        Figure("live windows, first read", f"fresh process, {len(live)} series x {BARS}", first[0], "ms", first[1]),
        Figure("live windows, read again", f"{len(live)} series x {BARS}", again.measured, "ms", again.cpu),
    ]


def fresh(folder: Path) -> list[Figure]:
    """`read` in a process of its own."""
    command = [sys.executable, __file__, "--read", str(folder)]
    return [Figure(**one) for one in json.loads(subprocess.run(command, capture_output=True, check=True).stdout)]


def upkeep(folder: Path) -> list[Figure]:
    """Status, and giving half of the space back."""
    with KlineStore(folder, VENUE) as store:
        stored = store.stored()
        status = best("status", f"{len(stored)} series", store.status)
        before = store.size()
        wall, cpu = timed(lambda: store.prune(stored[::2]))
        work = f"{before / 1e6:.0f} MB before, {store.size() / 1e6:.0f} MB after"
    return [status, Figure("prune of every second series", work, wall, "ms", cpu)]


def measure(folder: Path, klines: int) -> list[Figure]:
    """All figures over a store of so many klines."""
    figures = [*fill(folder / "store", klines), dense(folder / "dense")]
    figures += [grow(folder / "store", 200, ["5m"], 5), grow(folder / "store", 200, LIVE, 5)]
    figures += fresh(folder / "store")
    figures += index(folder / "index", 6_000)
    return figures + upkeep(folder / "store")


def main() -> int:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="half a million klines, for CI")
    parser.add_argument("--klines", type=int, help="of 1m; 10 million if not given")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        print(json.dumps([asdict(figure) for figure in read(asked.read)]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder), asked.klines or (500_000 if asked.short else 10_000_000))
    about = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    if asked.json:
        print(json.dumps({"schema": 1, "environment": about, "figures": [asdict(figure) for figure in figures]}))
    else:
        print(*about.values())
        print("\n".join(figure.line() for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
