"""Market data under every fault that is known: `python scripts/soak_market.py [--short] [--seed N] [--cycles N]`.

The venue is `tradebot sim serve` in a process of its own with a stepped clock, over loopback. A second
process refreshes the store once a cycle, as `fetch --watch` does. In each cycle some kinds of faults
together hit one request in five, and one cycle in five leaves a mark in the market for good. Half of the
runs kill the fetching process (SIGKILL) at random moments and start another.

In the end the faults of requests are switched off, the venue's clock moves on to the next hour, and one
more refresh must make the store the same as what the venue then tells: bar by bar wherever the store
says that it knows all, with nothing unknown in the newest bars. Anything else, a crash, or a request
while the venue had asked for silence ends it with 6.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeAlias

from bench_market import BARS, INTERVALS, MINUTE, NO_LIMIT, Venue, settings_of, venue

from tradebot.clock import HOUR, SECOND, format_time
from tradebot.errors import Regression, TradebotError
from tradebot.identity import venue_key
from tradebot.intake import fetch, revisions
from tradebot.market.bars import Klines, interval_ms, last_closed, merge
from tradebot.market.scout import RULES_MS
from tradebot.market.store import KlineStore, Stored
from tradebot.market.wire import klines
from tradebot.session import open_session
from tradebot.sim.fault_plan import FAULTS

Row: TypeAlias = dict[str, Any]
RATE = 0.2
KINDS = 3  # of request faults in one cycle
TIMEOUT_S = 1.0
DEADLINE_S = 20.0
SILENCES = 0.3  # share of cycles in which a fault may ask for silence: in silence nothing is soaked
# Faults of orders and of the account; all others must be in one of the tables below.
NOT_OF_DATA = {"duplicated-trades", "filters", "partial-fill"}


class Moment(NamedTuple):
    """What a fault is made for: some luck, the venue's time and a symbol."""

    luck: Random
    now: int
    symbol: str


Make: TypeAlias = Callable[[Moment], Row]


def _lasts(it: Moment, longest: int) -> Row:
    since = it.now // MINUTE * MINUTE
    return {"since": since, "until": since + it.luck.randint(1, longest) * MINUTE}


# What decides a reply: together they hit RATE of the requests of a cycle.
REQUESTS: dict[str, Make] = {
    "refused": lambda it: {"ms": it.luck.choice([0, 0, 50, 300])},
    "dropped": lambda it: {"how": it.luck.choice(["close", "reset"])},
    "executed-dropped": lambda it: {"how": it.luck.choice(["close", "reset"])},
    "backend-timeout": lambda it: {"executed": it.luck.random() < 0.5},
    "server-error": lambda it: {
        "status": it.luck.choice([500, 502, 504]), "code": it.luck.choice([0, -1000, -1001, -1006]),
    },
    "unavailable": lambda it: {"says": it.luck.choice(["unknown", "unavailable", "internal"])},
    "restricted": lambda _: {},
    "html": lambda _: {},
    "truncated": lambda it: {"share": it.luck.random(), "clean": it.luck.random() < 0.5},
}  # fmt: skip
# The same, after which nothing may be sent for a while.
SILENT: dict[str, Make] = {
    "limited": lambda it: {"seconds": it.luck.randint(1, 90), "times": it.luck.randint(1, 3)},
    "banned": lambda it: {"seconds": it.luck.randint(2, 400), "header": it.luck.random() < 0.5, "times": 1},
    "forbidden": lambda _: {"times": 1},
    "unavailable": lambda _: {"says": "throttled", "times": 1},
}
# What only adds to a reply.
ADDED: dict[str, Make] = {
    "latency": lambda it: {"ms": it.luck.choice([20, 50, 1_500]), "rate": 0.05},
    "slow-body": lambda it: {"pieces": it.luck.randint(2, 9), "pause_ms": it.luck.randint(1, 30), "rate": 0.1},
    "unknown-fields": lambda _: {},
    "unknown-status": lambda it: {"symbol": it.symbol},
}
# What the market or its clock does for this cycle only.
PASSING: dict[str, Make] = {
    "late-klines": lambda it: {"seconds": it.luck.randint(1, 700), "symbol": it.luck.choice(["", it.symbol])},
    "revised-kline": lambda it: {
        "seconds": it.luck.randint(1, 290), "early_s": it.luck.randint(1, 200),
        "symbol": it.luck.choice(["", it.symbol]),
    },
    "skew": lambda it: {"ms": it.luck.randint(-6_000, 6_000)},
}  # fmt: skip
# What leaves a mark in history. Bars beside the grid are so in all intervals: where a venue's hours were and its five
# minutes were not, hours made of those would not be its own.
LASTING: dict[str, Make] = {
    "holes": lambda it: _lasts(it, 12),
    "stalled": lambda it: _lasts(it, 30),
    "off-grid": lambda it: {"offset_s": it.luck.choice([15, 200]), **_lasts(it, 40)},
    "halted": lambda it: {"status": it.luck.choice(["HALT", "BREAK"]), **_lasts(it, 150)},
    "delisted": lambda it: _lasts(it, 150),
}


@dataclass
class Story:
    """What happened in a run."""

    cycles: int = 0
    refreshed: int = 0
    kills: int = 0
    starts: int = 0
    requests: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    revised: int = 0
    quiet: int = 0


class Fetcher:
    """A process that refreshes when it is told to, and is replaced when it is dead."""

    def __init__(self, url: str, folder: str, symbols: int) -> None:
        self._command = [sys.executable, __file__, "--child", url, folder, str(symbols)]
        self._process: subprocess.Popen[str] | None = None
        self._log = Path(folder) / "log"
        self.starts = 0

    def begin(self, until: int) -> None:
        """Have it refresh at the venue's time `until`."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log.open("w"), text=True
            )
            self.starts += 1
        assert self._process.stdin is not None
        self._process.stdin.write(f"{until}\n")
        self._process.stdin.flush()

    def ended(self) -> Row:
        """What it tells of its refresh."""
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Regression(f"the fetching process died with {self._process.wait()}:\n{self._log.read_text()}")
        told: Row = json.loads(line)
        return told

    def kill(self) -> None:
        """End it at once, whatever it does."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None


async def fetching(url: str, folder: str, symbols: int) -> None:
    """The fetching process: a refresh and a line of JSON for each moment that stdin names."""
    settings = settings_of(Venue(url), folder, symbols, timeout_s=TIMEOUT_S)
    loop = asyncio.get_running_loop()
    line = await loop.run_in_executor(None, sys.stdin.readline)
    while line:
        try:
            async with open_session(settings) as session:
                while line:
                    await session.clock.sleep_until(int(line))
                    universe, requests, told = await session.scout.current(), session.feed.requests, Counter[str]()
                    series = []
                    stream = fetch(session, universe.symbols, session.clock.now(), DEADLINE_S)
                    async with aclosing(stream):
                        async for ready in stream:
                            series.append(ready)
                            told[type(ready.error).__name__ if ready.error else ""] += 1
                    await session.store.saved()  # only what is on disk is told: who hears it may kill us
                    if session.store.trouble is not None:
                        raise Regression(str(session.store.trouble))
                    _tell({
                        "requests": session.feed.requests - requests, "told": told, "warnings": revisions(series),
                        "revised": sum(len(ready.revised) for ready in series), "symbols": len(universe.symbols),
                    })  # fmt: skip
                    line = await loop.run_in_executor(None, sys.stdin.readline)
        except TradebotError as error:
            if isinstance(error, Regression):
                raise
            _tell({"requests": 0, "told": {f"open: {type(error).__name__}": 1}, "revised": 0, "symbols": 0})
            line = await loop.run_in_executor(None, sys.stdin.readline)


def _tell(row: Row) -> None:
    print(json.dumps(row), flush=True)


class Soak:
    """One run: `cycles` refreshes of `symbols`, with `killed` by a process that does not live long."""

    def __init__(self, seed: int, symbols: int, *, killed: bool) -> None:
        self.luck = Random(f"{seed} {killed}")  # noqa: S311 (a soak run, and to be had again)
        self.symbols = symbols
        self.killed = killed
        self.story = Story()
        self.lasting: list[Row] = []
        self._silent_until = 0

    def run(self, cycles: int, report: Callable[[str], None]) -> Story:
        """All of it; `Regression` for what may not be."""
        with venue(self.symbols, weight=NO_LIMIT) as served, tempfile.TemporaryDirectory() as folder:
            fetcher = Fetcher(served.url, folder, self.symbols)
            try:
                self._names = [row["symbol"] for row in served.ask("/api/v3/exchangeInfo")["symbols"]]
                started = served.now
                for cycle in range(cycles):
                    self._cycle(served, fetcher)
                    if not (cycle + 1) % 25:
                        report(self._progress(served, cycle + 1))
                self._end(served, fetcher)
            finally:
                fetcher.kill()
                self.story.starts = fetcher.starts
            checked, bars, gaps = self._compare(served, folder, started)
            report(f"  {checked} series of {bars:,} bars are as the venue has them; {gaps} bars known to be unknown")
        return self.story

    def _progress(self, served: Venue, cycle: int) -> str:
        story = self.story
        return (
            f"  cycle {cycle}, {format_time(served.now)}: {story.requests} requests, {story.hits.total()} hit, "
            f"{story.kills} kills, {story.refreshed} refreshes, {dict(story.errors)}"
        )

    def _plan(self, now: int) -> list[Row]:
        luck = self.luck
        one = 1 - (1 - RATE) ** (1 / KINDS)
        rows = []
        it = Moment(luck, now, luck.choice(self._names))
        silent = luck.random() < SILENCES
        for table, number in ((SILENT, silent), (REQUESTS, KINDS - silent), (ADDED, 1), (PASSING, 1)):
            for kind in luck.sample(sorted(table), number):
                row = {"kind": kind, **table[kind](it)}
                rows.append(row | ({"rate": one} if table in (SILENT, REQUESTS) else {}))
        if luck.random() < RATE:
            kind = luck.choice(sorted(LASTING))
            row = {"kind": kind, **LASTING[kind](it)}
            if kind in ("halted", "delisted") or luck.random() < 0.5:
                row["symbol"] = luck.choice(self._names)
            self.lasting.append(row)
        return rows

    def _cycle(self, served: Venue, fetcher: Fetcher) -> None:
        luck, story = self.luck, self.story
        served.step(luck.choice([20 * SECOND, MINUTE, MINUTE, 3 * MINUTE, 5 * MINUTE, 7 * MINUTE]))
        now, passing = served.now, self._plan(served.now)
        served.ask("/sim/faults", {"seed": luck.randrange(10**6), "fault": [*passing, *self.lasting]})
        fetcher.begin(now)
        story.cycles += 1
        if self.killed and luck.random() < 0.3:
            time.sleep(luck.uniform(0, 2.5))
            fetcher.kill()
            story.kills += 1
            self._count(served.ask("/sim/faults"), now, [])
            return
        told = fetcher.ended()
        story.refreshed += 1
        story.revised += told["revised"]
        story.errors.update({kind: number for kind, number in told["told"].items() if kind})
        late = any(row["kind"] == "latency" for row in passing)  # nobody may have waited for the refusal
        self._count(served.ask("/sim/faults"), now, [] if late else passing)

    def _count(self, plan: Row, now: int, passing: Sequence[Row]) -> None:
        """Note what was hit, and the silence that was heard of; in one of before nothing may have been sent."""
        self.story.requests += plan["requests"]
        if now < self._silent_until:
            self.story.quiet += 1
            if plan["requests"]:
                raise Regression(f"{plan['requests']} requests at {format_time(now)}, in a silence: {plan['hits'][:3]}")
        for hit in plan["hits"]:
            self.story.hits[hit["kind"]] += 1
        for made, row in zip(passing, plan["faults"], strict=False):
            if row["struck"] and made["kind"] in ("banned", "limited"):
                self._silent_until = max(self._silent_until, now + made["seconds"] * SECOND)

    def _end(self, served: Venue, fetcher: Fetcher) -> None:
        """All that passes is over, and so is every silence; the rules are due to be read anew; then once more."""
        now = served.now
        over = max([now, self._silent_until, *(row["until"] for row in self.lasting)]) + RULES_MS
        served.step((over // HOUR + 1) * HOUR + 2 * MINUTE - now)
        served.ask("/sim/faults", {"seed": 1, "fault": self.lasting})
        fetcher.begin(served.now)
        told = fetcher.ended()
        if told["symbols"] != self.symbols or told["told"] != {"": self.symbols * len(INTERVALS)}:
            raise Regression(f"the refresh without faults: {told}")

    def _compare(self, served: Venue, folder: str, started: int) -> tuple[int, int, int]:
        settings, now = settings_of(served, folder, self.symbols), served.now
        bars = gaps = 0
        with closing(sqlite3.connect(Path(folder) / "klines" / "cache.db")) as database:
            if (said := database.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                raise Regression(f"the database: {said}")
        if (Path(folder) / "klines" / "aside").exists():
            raise Regression("something was set aside")
        with KlineStore(Path(folder) / "klines", venue_key(settings)) as store:
            known = {(each.symbol, each.interval): each for each in store.status()}
            for symbol in self._names:
                for interval in INTERVALS:
                    one = self._as_truth(served, store, known[symbol, interval], started, now)
                    bars, gaps = bars + one[0], gaps + one[1]
        return len(known), bars, gaps

    def _as_truth(self, served: Venue, store: KlineStore, known: Stored, started: int, now: int) -> tuple[int, int]:
        """Bars compared and bars not known of one series; `Regression` where they differ."""
        symbol, interval = known.symbol, known.interval
        step, last = interval_ms(interval), last_closed(interval, now)
        name, first = f"{symbol} {interval}", last_closed(interval, started) - (BARS - 1) * step
        truth = history(served, symbol, interval, first, now).between(first, last + step - 1)
        if known.spans[-1][1] < last:
            raise Regression(f"{name} ends at {format_time(known.spans[-1][1])}, not at {format_time(last)}")
        if known.spans[-1][0] > last - (BARS - 1) * step:
            raise Regression(f"{name}: the newest {BARS} bars are not known whole: {known.spans}")
        compared = 0
        for since, newest in known.spans:
            there, held = (
                truth.between(since, newest + step - 1),
                store.read(symbol, interval, since, newest + step - 1),
            )
            held = held.between(first, last + step - 1)
            if held.data.tobytes() != there.data.tobytes():
                raise Regression(f"{name} differs: {_difference(held, there)}")
            compared += len(there)
        holes = store.missing(symbol, interval, last_closed(interval, started), last)
        return compared, sum((b - a) // step + 1 for a, b in holes)


def _difference(held: Klines, there: Klines) -> str:
    have, want = set(held.open_time.tolist()), set(there.open_time.tolist())
    _, changed = merge(held, there)
    rows = [("extra", have - want), ("missing", want - have), ("other", set(changed.tolist()))]
    return "; ".join(f"{len(found)} {word}, {format_time(min(found))}" for word, found in rows if found)


def history(served: Venue, symbol: str, interval: str, start: int, now: int) -> Klines:
    """All that the venue has, page by page, closed or not."""
    found = Klines.empty()
    while start <= now:
        path = f"/api/v3/klines?symbol={symbol}&interval={interval}&startTime={start}&limit=1000"
        page = klines(served.raw(path))
        if not len(page):
            break
        found, start = merge(found, page)[0], int(page.data[0, -1]) + 1
    return found


def unnamed() -> Iterator[str]:
    """Kinds of faults that no table knows."""
    named = {*SILENT, *REQUESTS, *ADDED, *PASSING, *LASTING} | NOT_OF_DATA
    yield from sorted(set(FAULTS) ^ named)


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--short", action="store_true", help="few cycles and symbols, for CI")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--cycles", type=int, help="500 if not given")
    parser.add_argument("--child", nargs=3, metavar=("URL", "FOLDER", "SYMBOLS"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        url, folder, symbols = asked.child
        asyncio.run(fetching(url, folder, int(symbols)))
        return 0
    cycles, symbols = (asked.cycles or 6, 4) if asked.short else (asked.cycles or 500, 20)
    if strange := list(unnamed()):
        print(f"soak_market: fault kinds that are not soaked: {', '.join(strange)}", file=sys.stderr)
        return Regression.exit_code
    for seed in range(asked.seed, asked.seed + asked.seeds):
        for killed in (False, True):
            print(f"seed {seed}, {cycles} cycles, {symbols} symbols x {','.join(INTERVALS)}, {BARS} bars, "
                  f"{RATE:.0%} of requests hit{', killed at random' if killed else ''}", flush=True)  # fmt: skip
            begun, cpu = time.monotonic(), os.times()
            try:
                story = Soak(seed, symbols, killed=killed).run(cycles, lambda line: print(line, flush=True))
            except Regression as error:
                print(f"soak_market: seed {seed}{', killed' if killed else ''}: {error}", file=sys.stderr)
                return error.exit_code
            used = os.times()
            print(f"  {time.monotonic() - begun:.0f} s, CPU {used.children_user - cpu.children_user:.0f} s: "
                  f"{story.requests} requests, {story.hits.total()} hit ({len(story.hits)} kinds), "
                  f"{story.starts} processes, {story.kills} killed, {story.revised} revisions reported, "
                  f"{story.quiet} cycles in silence", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
