"""One pass of the loop, as far as it has come, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from tradebot import latency
from tradebot.clock import Clock
from tradebot.documents import SCHEMA, Document, signal_document, skipped_document
from tradebot.eager import Eager
from tradebot.errors import TradebotError
from tradebot.guard import Seen
from tradebot.look import Look, Watch
from tradebot.market.bars import interval_ms
from tradebot.trading.desk import Outcome
from tradebot.trading.orders import ENTER


@dataclass(frozen=True)
class Bar:
    """The newest closed bar of the finest interval, which a cycle is about; times are venue UTC ms.

    `before` is the open time of the bar of the last cycle of this account that went well, in this process
    or another, and None if there was none. `acted` are the symbols with a signal on this bar that were
    entered earlier, whatever came of it.
    """

    interval: str
    opened: int
    before: int | None
    acted: Sequence[str]

    @property
    def closed(self) -> int:
        """When it closed."""
        return self.opened + interval_ms(self.interval)

    @property
    def unseen(self) -> int:
        """How many bars have closed since the one before, without it and this one."""
        step = interval_ms(self.interval)
        return 0 if self.before is None else max((self.opened - self.before) // step - 1, 0)

    def document(self, now: int) -> Document:
        """As in docs/reference.md."""
        return {
            "interval": self.interval, "open": self.opened, "close": self.closed, "age_ms": now - self.closed,
            "before": self.before, "unseen": self.unseen, "again": self.before == self.opened, "acted": self.acted,
        }  # fmt: skip


@dataclass(eq=False)
class Cycle:
    """One pass. `missed` are the cycles that should have been between this one and the one before."""

    number: int
    started: int
    watch: Watch
    requests: int
    weight: int
    missed: int = 0
    look: Look | None = None
    marks: Mapping[str, Decimal] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    offered: set[str] = field(default_factory=set)
    """Symbols whose predictions were handed to the desk."""
    warnings: list[str] = field(default_factory=list)
    slow: list[str] = field(default_factory=list)
    latency: list[Document] = field(default_factory=list)
    orders: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """When its orders were intended, sent and acknowledged, real ms by client id."""
    bar: Bar | None = None
    error: TradebotError | None = None
    eager: Eager | None = None

    def fail(self, error: TradebotError) -> None:
        """Note what kept the cycle from doing all of its work; the first cause counts."""
        self.error = self.error or error
        if str(error) not in self.warnings:
            self.warnings.append(str(error))

    def guarded(self, seen: Seen) -> None:
        """Take over what a pass over the positions has found and done."""
        self.outcomes += seen.outcomes
        self.warnings += [each for each in seen.warnings if each not in self.warnings]
        self.error = self.error or seen.error

    def follow(self, clock: Clock) -> None:
        """Work out `latency` from `orders`: the way of every signal whose bar has come in with this cycle."""
        look = self.look
        if look is None or look.analysis is None or not look.fresh:
            return
        step = interval_ms(look.analysis.features.panels[0].interval)
        first = min(look.moments.of(symbol)["received"] for symbol in look.fresh)
        entered = {each.symbol: self.orders.get(each.client_id, {}) for each in self.outcomes if each.intent == ENTER}
        self.latency = [
            latency.row(
                each.symbol, each.bar_time, clock.real_ms(each.bar_time + step),
                {"available": first, **look.moments.of(each.symbol), **entered.get(each.symbol, {})},
            )
            for each in look.signals if each.symbol in look.fresh
        ]  # fmt: skip

    def document(self) -> Document:
        """What the cycle itself knows of the document in docs/reference.md."""
        return {
            "schema": SCHEMA,
            "cycle": self.number,
            "missed": self.missed,
            "started": self.started,
            "total_ms": self.watch.total_ms,
            "stages": self.watch.stages,
            "slow": self.slow,
            "bar": self.bar.document(self.started) if self.bar else None,
            **_seen(self.look),
            "latency": self.latency,
            "orders": [outcome.document() for outcome in self.outcomes],
            "skipped": skipped_document({**(self.look.skipped if self.look else {}), **self.skipped}),
            "warnings": self.warnings,
        }


def _seen(look: Look | None) -> Document:
    """The part of a cycle's document that its look gives; empty where there was none."""
    if look is None or look.analysis is None:
        return {"symbols": 0, "joined": [], "left": [], "signals": [], "predictions": []}
    names = look.analysis.features.names
    return {
        "symbols": len(look.universe.symbols),
        "joined": list(look.joined),
        "left": skipped_document(look.left),
        "signals": [signal_document(signal, names) for signal in look.signals],
        "predictions": [prediction.document() for prediction in look.predictions],
    }
