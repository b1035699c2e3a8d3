"""One cycle of either loop, measured: times, requests, CPU, and what it decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from tradebot.bench.rig import Bot, Workload
from tradebot.bench.serial import Serial
from tradebot.bench.timeline import Strip
from tradebot.clock import cpu_seconds
from tradebot.documents import Document
from tradebot.loop import Cycle, Loop
from tradebot.market.binance import BinanceClient
from tradebot.market.line import Spans
from tradebot.trading.orders import ENTER

TOLERANCE = 1e-6
KLINES = "klines"
UNIVERSE = ("exchangeInfo", "24hr")
Flight: TypeAlias = tuple[float, float, str]
Told: TypeAlias = Callable[[Cycle], None]


def _untold(_: Cycle) -> None:
    """Where cycles go that nobody asks for."""


@dataclass(eq=False)
class Sample:
    """One measured cycle: times in ms, CPU of all the bot's processes in seconds.

    `spans` are `(stage, start, end)` and `flights` `(start, end)` of requests, ms since the cycle's start. `floor_ms`
    is what the network alone must take (`floor`), `latency` the rows of bar close to order.
    """

    minute: int
    total_ms: float
    stages: dict[str, float]
    requests: int
    cpu_s: float
    signals: dict[tuple[str, str, int], float] = field(default_factory=dict)
    spans: list[tuple[str, float, float]] = field(default_factory=list)
    flights: list[tuple[float, float]] = field(default_factory=list)
    floor_ms: float = 0.0
    latency: list[Document] = field(default_factory=list)

    @property
    def idle(self) -> float:
        """Share of the wall time in which neither the network nor the processor can be what was waited for."""
        return max(0.0, self.total_ms - max(self.floor_ms, 1e3 * self.cpu_s)) / self.total_ms

    def drawn(self, title: str) -> Strip:
        """The cycle as a picture's strip."""
        return Strip(title, self.spans, self.flights)


def by_kind(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The pipeline's samples of an hour: `cold`, at a 5m `close`, and `idle` where nothing has closed."""
    found: dict[str, list[Sample]] = {"cold": [], "close": [], "idle": []}
    for each in samples:
        found["cold" if each.minute == 0 else "idle" if each.minute % 5 else "close"].append(each)
    return found


def waits(samples: Iterable[Sample]) -> list[Document]:
    """The rows of bar close to order at the 5m closes after the cold cycle."""
    return [row for each in by_kind(samples)["close"] for row in each.latency]


def difference(serial: Sample, pipelined: Sample) -> str | None:
    """How the decisions of two cycles of one minute differ, if they do."""
    if serial.signals.keys() != pipelined.signals.keys():
        odd = serial.signals.keys() ^ pipelined.signals.keys()
        return f"minute {serial.minute}: signals differ: {sorted(odd)[:3]}"
    worst = max((abs(p - pipelined.signals[key]) for key, p in serial.signals.items()), default=0.0)
    return f"minute {serial.minute}: probabilities differ by {worst:.1e}" if worst > TOLERANCE else None


def floor(cycle: Cycle, flights: Iterable[Flight], workload: Workload) -> float:
    """The ms that the requests of a cycle must take on the workload's network, however they are sent.

    Only what needs another's reply waits for it: klines for the universe where that had to be asked for,
    klines for a free connection, entries for the klines, protection for the entries.
    """
    asked = [(start, end, target.partition("?")[0].rpartition("/")[2]) for start, end, target in flights]
    klines = [start for start, _, name in asked if name == KLINES]
    universe = [end for _, end, name in asked if name in UNIVERSE and klines and end <= min(klines)]
    sent = {each.intent == ENTER for each in cycle.outcomes if "sent" in cycle.orders.get(each.client_id, {})}
    rounds = bool(universe) - (-len(klines) // workload.connections) + len(sent)
    return max(rounds, bool(asked)) * workload.latency_ms


async def measured(bot: Bot, minute: int, work: Callable[[], Awaitable[Cycle]], told: Told) -> Sample:
    """The figures of a cycle and its decisions by (symbol, side, bar); its error is raised. `told` gets the cycle."""
    flights: Spans = deque()
    feed = bot.session.feed
    if isinstance(feed, BinanceClient):
        feed.spans = flights
    bot.place()
    before, requests = cpu_seconds(), feed.requests
    cycle = await work()
    cpu_s, requests = cpu_seconds() - before, feed.requests - requests
    if cycle.error is not None:
        raise cycle.error
    begun, watch = cycle.watch.started, cycle.watch
    predictions = cycle.look.predictions if cycle.look else []
    found = Sample(
        minute,
        watch.total_ms,
        watch.stages,
        requests,
        cpu_s,
        {(each.symbol, str(each.side), each.bar_time): each.probability for each in predictions},
        [(stage, start - begun, end - begun) for stage, start, end in watch.spans],
        [(start - begun, end - begun) for start, end, _ in flights],
        floor(cycle, flights, bot.workload),
        cycle.latency,
    )
    told(cycle)
    return found


def _unheard(document: Document) -> None:
    """Where a cycle's document goes that nobody reads."""


async def run_serial(bot: Bot, serial: Serial, minute: int) -> Sample:
    """One serial cycle."""
    return await measured(bot, minute, lambda: serial.cycle(minute), _untold)


async def run_pipelined(bot: Bot, loop: Loop, minute: int, told: Told = _untold) -> Sample:
    """One cycle of the pipeline, executed to its end.

    The comparison of the account that is due after it is no part of its time, but of its CPU time.
    """

    async def whole() -> Cycle:
        cycle = await loop.begin(minute)
        await loop.finish(cycle, None, _unheard)
        await loop.guard.compared()
        return cycle

    return await measured(bot, minute, whole, told)
