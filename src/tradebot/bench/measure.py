"""Run both loops on one venue, compare what they decided, and collect what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from tradebot import __version__
from tradebot.analysis.pool import WorkerPool
from tradebot.bench.claims import claims, micro
from tradebot.bench.serial import Serial
from tradebot.clock import MINUTE, cpu_seconds, monotonic_ms, parse_time
from tradebot.commands import make_pool
from tradebot.config import Model, Settings, inherited_environment
from tradebot.documents import SCHEMA, Document
from tradebot.errors import MarketError, Regression
from tradebot.loop import Cycle, Loop
from tradebot.market.binance import BinanceClient
from tradebot.model import predictor
from tradebot.pipeline import Pipeline, model_path
from tradebot.progress import Progress, unseen
from tradebot.session import Session, open_session
from tradebot.trading.desk import Desk
from tradebot.trading.journal import Journal

START = parse_time("2025-06-02T12:00:00Z")
HOUR_OF_CYCLES = 60
TOLERANCE = 1e-6


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
    def minutes(self) -> list[int]:
        """Minutes of the hour at which both loops look: the cold start, then 5m closes."""
        return [5 * index for index in range(self.cycles)]


@dataclass(eq=False)
class Sample:
    """One measured cycle: times in ms, CPU of all the bot's processes in seconds."""

    minute: int
    total_ms: float
    stages: dict[str, float]
    requests: int
    cpu_s: float
    signals: dict[tuple[str, str, int], float] = field(default_factory=dict)


def sample(minute: int, cycle: Cycle, cpu_s: float, requests: int) -> Sample:
    """The figures of a cycle that has ended, and its decisions by (symbol, side, bar)."""
    if cycle.error is not None:
        raise cycle.error
    predictions = cycle.look.predictions if cycle.look else []
    chances = {(each.symbol, str(each.side), each.bar_time): each.probability for each in predictions}
    return Sample(minute, cycle.watch.total_ms, cycle.watch.stages, requests, cpu_s, chances)


def difference(serial: Sample, pipelined: Sample) -> str | None:
    """How the decisions of two cycles of one minute differ, if they do."""
    if serial.signals.keys() != pipelined.signals.keys():
        odd = serial.signals.keys() ^ pipelined.signals.keys()
        return f"minute {serial.minute}: signals differ: {sorted(odd)[:3]}"
    worst = max((abs(p - pipelined.signals[key]) for key, p in serial.signals.items()), default=0.0)
    return f"minute {serial.minute}: probabilities differ by {worst:.1e}" if worst > TOLERANCE else None


@asynccontextmanager
async def served_venue(workload: Workload) -> AsyncIterator[str]:
    """Address of a simulated venue in a process of its own, its clock standing at `START`."""
    command = [sys.executable, "-m", "tradebot", "sim", "serve", "--json", "--port", "0", "--clock", "stepped"]
    options = ["--at", str(START), "--symbols", str(workload.symbols), "--latency", str(workload.latency_ms)]
    with tempfile.NamedTemporaryFile(prefix="tradebot-bench-", suffix=".toml") as defaults:
        options += ["--config", defaults.name]
        process = await asyncio.create_subprocess_exec(
            *command, *options, stdout=asyncio.subprocess.PIPE, env=inherited_environment()
        )
        try:
            import orjson

            assert process.stdout is not None
            line = await asyncio.wait_for(process.stdout.readline(), 30)
            if not line:
                raise MarketError("the simulated venue did not start; `tradebot sim serve` says why")
            yield str(orjson.loads(line)["url"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


class Bot:
    """One of the two loops with a data folder, an account and a journal of its own."""

    def __init__(self, session: Session, desk: Desk) -> None:
        self.session, self.desk = session, desk

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings, folder: Path, url: str, workload: Workload) -> AsyncIterator[Bot]:
        """A bot that trades at `url` and keeps everything below `folder`."""
        changed = {
            "data_dir": str(folder),
            "venue": settings.venue.model_copy(update={"name": "binance", "base_url": url}),
            "universe": settings.universe.model_copy(update={"symbols": (), "quote": "", "top": workload.symbols}),
            "market": settings.market.model_copy(update={"bars": workload.bars}),
            "model": Model(),  # the demo model: the serial loop needs its XGBoost form beside it
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
                yield cls(session, desk)


def _unheard(document: Document) -> None:
    """Where a cycle's document goes that nobody reads."""


async def run_serial(bot: Bot, serial: Serial, minute: int) -> Sample:
    """One serial cycle."""
    before, requests = cpu_seconds(), bot.session.feed.requests
    cycle = await serial.cycle(minute)
    return sample(minute, cycle, cpu_seconds() - before, bot.session.feed.requests - requests)


async def run_pipelined(bot: Bot, loop: Loop, minute: int) -> Sample:
    """One cycle of the pipeline, executed to its end."""
    before, requests = cpu_seconds(), bot.session.feed.requests
    cycle = await loop.begin(minute)
    await loop.finish(cycle, None, _unheard)
    return sample(minute, cycle, cpu_seconds() - before, bot.session.feed.requests - requests)


async def measure(settings: Settings, workload: Workload, progress: Progress = unseen) -> Document:
    """The whole bench as the document of docs/reference.md. `Regression` if the loops disagree."""
    start = monotonic_ms()
    with tempfile.TemporaryDirectory(prefix="tradebot-bench-") as name:
        folder = Path(name)
        async with (
            served_venue(workload) as url,
            Bot.open(settings, folder / "serial", url, workload) as one,
            Bot.open(settings, folder / "pipelined", url, workload) as two,
        ):
            with make_pool(settings) as pool:
                serial, pipelined, pool_ms = await _both(workload, (one, two), pool, progress)
    found = [text for a in serial for b in pipelined if a.minute == b.minute and (text := difference(a, b))]
    if found:
        raise Regression(f"serial and pipelined disagree: {found[0]}")
    figures = await micro()
    rows = claims(workload, serial, pipelined, pool_ms, figures)
    return _document(workload, serial, pipelined, rows, monotonic_ms() - start)


async def _both(
    workload: Workload, bots: tuple[Bot, Bot], pool: WorkerPool, progress: Progress
) -> tuple[list[Sample], list[Sample], list[float]]:
    """Every minute of the hour for the pipeline, those of the workload for the serial loop too."""
    one, two = bots
    pipeline = Pipeline(two.session, pool)
    loop = Loop(pipeline, two.desk)
    model = Path(model_path(two.session.settings))
    old = Serial(one.session, one.desk, model.with_suffix(".ubj"), pipeline.threshold)
    serial, pipelined = [], []
    await _prewarm(one.session)
    for minute in range(HOUR_OF_CYCLES + 1):
        progress("bench", minute, HOUR_OF_CYCLES)
        for bot in bots:
            venue = bot.session.feed
            assert isinstance(venue, BinanceClient)
            await venue.sim_advance(START + minute * MINUTE)
            await venue.time()
        if minute in workload.minutes:
            serial.append(await run_serial(one, old, minute))
        pipelined.append(await run_pipelined(two, loop, minute))
    return serial, pipelined, old.pool_ms


async def _prewarm(session: Session) -> None:
    """Let the venue make its prices and pages first: its own work is not what is measured.

    The serial loop keeps no store, so its own takes the pages that the pipeline will ask for.
    """
    market = session.settings.market
    stream = session.store.refresh(
        session.feed, session.clock.now(), sorted(session.instruments), market.intervals, market.bars
    )  # fmt: skip
    async for _ in stream:
        pass
    pairs = [(symbol, interval) for symbol in session.instruments for interval in market.intervals]
    await asyncio.gather(*(session.feed.klines(*pair, None, market.bars + 1) for pair in pairs))


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"p50": round(float(np.percentile(values, 50)), 3), "p95": round(float(np.percentile(values, 95)), 3)}


def summary(samples: Sequence[Sample]) -> Document:
    """Figures of several cycles: medians, requests and CPU seconds a cycle."""
    return {
        "total_ms": percentiles([each.total_ms for each in samples]),
        "stages": {stage: float(np.median([each.stages[stage] for each in samples])) for stage in samples[0].stages},
        "requests": sum(each.requests for each in samples) / len(samples),
        "cpu_s": round(float(np.mean([each.cpu_s for each in samples])), 4),
    }


def environment() -> Document:
    """What the figures were measured on."""
    return {
        "tradebot": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def _document(
    workload: Workload, serial: list[Sample], pipelined: list[Sample], rows: list[Document], elapsed_ms: float
) -> Document:
    same = [each for each in pipelined if each.minute in workload.minutes]
    old, new = summary(serial), summary(same)
    return {
        "schema": SCHEMA,
        "environment": environment(),
        "workload": {
            **asdict(workload),
            "pipelined_cycles": len(pipelined),
            "model": predictor.demo_path().name,
            "elapsed_ms": round(elapsed_ms),
        },
        "serial": old,
        "pipelined": new,
        "kinds": kinds(serial, pipelined),
        "speedup": round(old["total_ms"]["p50"] / new["total_ms"]["p50"], 2),
        "claims": rows,
        "regressions": [],
    }  # fmt: skip


def kinds(serial: Sequence[Sample], pipelined: Sequence[Sample]) -> Document:
    """Median cycle of each kind, ms: cold, at a 5m close, and when nothing has closed."""
    of_kind: dict[str, list[float]] = {"cold": [], "close": [], "idle": []}
    for each in pipelined:
        of_kind["cold" if each.minute == 0 else "idle" if each.minute % 5 else "close"].append(each.total_ms)
    full = float(np.median([each.total_ms for each in serial]))
    return {
        kind: {"serial_ms": round(full, 3), "pipelined_ms": round(float(np.median(times)), 3)}
        for kind, times in of_kind.items()
        if times
    }
