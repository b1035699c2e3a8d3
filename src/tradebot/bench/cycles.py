"""One cycle of either loop, measured: times, requests, CPU, and what it decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tradebot.bench.rig import Bot
from tradebot.bench.serial import Serial
from tradebot.bench.timeline import Strip
from tradebot.clock import cpu_seconds
from tradebot.documents import Document
from tradebot.loop import Cycle, Loop
from tradebot.market.binance import BinanceClient
from tradebot.market.line import Spans

TOLERANCE = 1e-6


@dataclass(eq=False)
class Sample:
    """One measured cycle: times in ms, CPU of all the bot's processes in seconds.

    `spans` are `(stage, start, end)` and `flights` `(start, end)` of requests, ms since the cycle's start.
    """

    minute: int
    total_ms: float
    stages: dict[str, float]
    requests: int
    cpu_s: float
    signals: dict[tuple[str, str, int], float] = field(default_factory=dict)
    spans: list[tuple[str, float, float]] = field(default_factory=list)
    flights: list[tuple[float, float]] = field(default_factory=list)

    def drawn(self, title: str) -> Strip:
        """The cycle as a picture's strip."""
        return Strip(title, self.spans, self.flights)


def difference(serial: Sample, pipelined: Sample) -> str | None:
    """How the decisions of two cycles of one minute differ, if they do."""
    if serial.signals.keys() != pipelined.signals.keys():
        odd = serial.signals.keys() ^ pipelined.signals.keys()
        return f"minute {serial.minute}: signals differ: {sorted(odd)[:3]}"
    worst = max((abs(p - pipelined.signals[key]) for key, p in serial.signals.items()), default=0.0)
    return f"minute {serial.minute}: probabilities differ by {worst:.1e}" if worst > TOLERANCE else None


async def measured(bot: Bot, minute: int, work: Callable[[], Awaitable[Cycle]]) -> Sample:
    """The figures of a cycle and its decisions by (symbol, side, bar); its error is raised."""
    flights: Spans = deque()
    feed = bot.session.feed
    if isinstance(feed, BinanceClient):
        feed.spans = flights
    before, requests = cpu_seconds(), feed.requests
    cycle = await work()
    cpu_s, requests = cpu_seconds() - before, feed.requests - requests
    if cycle.error is not None:
        raise cycle.error
    begun, watch = cycle.watch.started, cycle.watch
    predictions = cycle.look.predictions if cycle.look else []
    return Sample(
        minute,
        watch.total_ms,
        watch.stages,
        requests,
        cpu_s,
        {(each.symbol, str(each.side), each.bar_time): each.probability for each in predictions},
        [(stage, start - begun, end - begun) for stage, start, end in watch.spans],
        [(start - begun, end - begun) for start, end, _ in flights],
    )


def _unheard(document: Document) -> None:
    """Where a cycle's document goes that nobody reads."""


async def run_serial(bot: Bot, serial: Serial, minute: int) -> Sample:
    """One serial cycle."""
    return await measured(bot, minute, lambda: serial.cycle(minute))


async def run_pipelined(bot: Bot, loop: Loop, minute: int) -> Sample:
    """One cycle of the pipeline, executed to its end.

    The comparison of the account that is due after it is no part of its time, but of its CPU time.
    """

    async def whole() -> Cycle:
        cycle = await loop.begin(minute)
        await loop.finish(cycle, None, _unheard)
        await loop.guard.compared()
        return cycle

    return await measured(bot, minute, whole)
