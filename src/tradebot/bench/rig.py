"""What is measured on: a simulated venue in a process of its own, and bots with a folder and account each."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tradebot.clock import monotonic_ms, parse_time
from tradebot.config import Model, Risk, Settings, Trading, inherited_environment
from tradebot.errors import MarketError
from tradebot.market.binance import BinanceClient
from tradebot.market.store import KlineStore, Terms
from tradebot.market.ttl import Bounds
from tradebot.market.venue import ZERO
from tradebot.session import Session, open_session
from tradebot.trading.desk import Desk
from tradebot.trading.journal import Journal

START = parse_time("2025-06-02T12:00:00Z")
WEIGHT_LIMIT = 6_000
"""Of the venue for each bot, a minute."""

KLINES_WEIGHT, WEIGHT_SHARE = 2, 0.6
"""Of a request for klines; and the part of the limit that they may take: what is left is for all else, and margins."""

HELD_S = 180
"""Venue seconds for which positions are held: so there are places for new ones at every 5m close."""

FRESH = 0.2
"""Age of a bar, in bars, up to which it is entered on: places that come free stay so until the next close."""

TASKS = Path("/proc/self/task")
"""Where a system tells of threads that can be kept on a processor."""

WORK, TRIES = 5_000, 5
"""By which processors are compared: about half a millisecond for each of them."""


@dataclass(frozen=True)
class Workload:
    """What is measured. `cycles` serial ones; the pipeline runs every minute of one hour."""

    symbols: int
    intervals: tuple[str, ...]
    bars: int
    latency_ms: float
    connections: int
    cycles: int

    @property
    def serial_fits(self) -> bool:
        """Whether a minute's weight lets a loop that keeps nothing look at all of them, with room for all else."""
        return self.symbols * len(self.intervals) * KLINES_WEIGHT <= WEIGHT_SHARE * WEIGHT_LIMIT

    @property
    def minutes(self) -> list[int]:
        """Minutes of the hour at which both loops look: the cold start, then 5m closes."""
        return [5 * index for index in range(self.cycles)]


class Venue(NamedTuple):
    """A simulated venue: its address, and what finds it and the bots their processors anew (see `apart`)."""

    url: str
    place: Callable[[], None]


def pace(processor: int) -> float:
    """How long a little work takes on it just now, real ms, undisturbed; this thread is left there.

    Infinite for a processor that cannot be had any more.
    """
    try:
        os.sched_setaffinity(0, {processor})
    except OSError:
        return math.inf

    def work() -> float:
        begun = monotonic_ms()
        sum(range(WORK))
        return monotonic_ms() - begun

    return min(work() for _ in range(TRIES))


@contextmanager
def apart(venue: int, pace: Callable[[int], float] = pace) -> Iterator[Callable[[], None]]:
    """Give the process `venue` a processor to itself, and this one with all that it has made the others.

    Two processes that wake each other are often put on one processor, where each waits for the other's work while
    another has none; a venue elsewhere never does that to a bot. The venue's is the one that is slowest now, and
    when what is yielded is called: on a machine that is shared, each is 1.6 times as slow for seconds when others
    use it. Where there is only one nothing changes.
    """
    if not TASKS.is_dir() or len(before := os.sched_getaffinity(0)) < 2:  # macOS has no such thing
        yield lambda: None
        return

    def place() -> None:
        slowest = max(sorted(before), key=pace)
        _keep(venue, {slowest})
        _keep(os.getpid(), before - {slowest}, but=venue)

    try:
        place()
        yield place
    finally:
        _keep(os.getpid(), before)


def _keep(process: int, processors: set[int], but: int = 0) -> None:
    """Have all threads of a process, and of those that it has made `but` one, use these processors only."""
    with contextlib.suppress(OSError):  # ended meanwhile
        for task in Path(f"/proc/{process}/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(task.name), processors)
                for child in map(int, (task / "children").read_text().split()):
                    if child != but:
                        _keep(child, processors, but)


@asynccontextmanager
async def served_venue(workload: Workload, weight_limit: int = WEIGHT_LIMIT) -> AsyncIterator[Venue]:
    """A simulated venue in a process and on a processor of its own, its clock standing at `START`."""
    command = [sys.executable, "-m", "tradebot", "sim", "serve", "--json", "--port", "0", "--clock", "stepped"]
    options = ["--at", str(START), "--symbols", str(workload.symbols), "--latency", str(workload.latency_ms)]
    with tempfile.NamedTemporaryFile(prefix="tradebot-bench-", suffix=".toml") as defaults:
        options += ["--config", defaults.name, "--set", f"sim.weight_limit={weight_limit}"]
        process = await asyncio.create_subprocess_exec(
            *command, *options, stdout=asyncio.subprocess.PIPE, env=inherited_environment()
        )
        try:
            import orjson

            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            if not line:
                raise MarketError("the simulated venue did not start; `tradebot sim serve` says why")
            with apart(process.pid) as place:
                yield Venue(orjson.loads(line)["url"], place)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


class Bot:
    """One of the two loops with a data folder, an account and a journal of its own."""

    def __init__(self, session: Session, desk: Desk, workload: Workload, venue: Venue) -> None:
        self.session, self.desk, self.workload = session, desk, workload
        self.place = venue.place

    async def advance(self, now: int) -> None:
        """Move the venue's clock, and the bot's own with it, on to `now` (UTC ms)."""
        assert isinstance(self.session.feed, BinanceClient)
        await self.session.feed.sim_advance(now)
        await self.session.feed.time()

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: Settings, folder: Path, venue: Venue, workload: Workload, connections: int | None = None
    ) -> AsyncIterator[Bot]:
        """A bot that trades at `venue`, all it keeps below `folder`, with the workload's connections or others."""
        changed = {
            "data_dir": str(folder),
            "venue": settings.venue.model_copy(
                update={"name": "binance", "base_url": venue.url, "connections": connections or workload.connections}
            ),
            "universe": settings.universe.model_copy(update={"symbols": (), "quote": "", "top": workload.symbols}),
            "market": settings.market.model_copy(update={"bars": workload.bars}),
            # The demo model: the serial loop needs its XGBoost form beside it. All that it predicts may be entered.
            "model": Model(threshold=0.0),
            "trading": Trading(max_hold_s=HELD_S),
            "risk": Risk(cool_down_s=0, max_losses=0, daily_loss=ZERO, drawdown=ZERO, max_bar_age=FRESH),
            "sim": settings.sim.model_copy(update={"latency_ms": workload.latency_ms}),
        }
        own = settings.model_copy(update=changed)
        async with open_session(own, trading=True) as session:
            with Journal(own.data_path / "state.db") as journal:
                assert session.broker is not None
                quote = next(iter(session.instruments.values())).quote
                desk = Desk(
                    session.broker, journal, session.clock, own, session.instruments, quote, session.account
                )  # fmt: skip
                yield cls(session, desk, workload, venue)


async def fill(session: Session, store: KlineStore | None = None, bounds: Bounds | None = None) -> None:
    """Bring a store (the session's own unless another is given) up to date over the whole venue.

    With `bounds` open klines too, where their time to live has passed.
    """
    market = session.settings.market
    stream = (store or session.store).refresh(
        session.feed, session.clock.now(), sorted(session.instruments), market.intervals, market.bars,
        terms=Terms(bounds=bounds),
    )  # fmt: skip
    async with aclosing(stream):
        async for ready in stream:
            if ready.error is not None:
                raise ready.error


async def prewarm(session: Session) -> None:
    """Let the venue make its prices and pages first: its own work is not what is measured.

    The serial loop keeps no store, so its own takes the pages that the pipeline will ask for.
    """
    market = session.settings.market
    await fill(session)
    pairs = [(symbol, interval) for symbol in session.instruments for interval in market.intervals]
    await asyncio.gather(*(session.feed.klines(*pair, None, market.bars + 1) for pair in pairs))
