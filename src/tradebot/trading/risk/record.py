"""What the past has brought: a projection of the journal, and of the prices that were seen.

Results are those of positions: what they received less what they paid, and what is held at its mark. So
deposits and withdrawals are no gains and no losses. Amounts are quote coin, times venue UTC ms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tradebot.clock import DAY
from tradebot.market.venue import ZERO, Fill

NEW_PEAK = Decimal("0.001")
"""Share of the equity by which a peak must be higher to be written down: what a lost process may forget of it."""


@dataclass(frozen=True)
class Ending:
    """How a position ended. `stopped`: by a stop, whatever that brought."""

    symbol: str
    time: int
    result: Decimal
    stopped: bool = False

    @property
    def bad(self) -> bool:
        """Whether it was a loss or a stop."""
        return self.result < 0 or self.stopped


@dataclass(frozen=True)
class Last:
    """The last fill of a position that is not gone yet, whether a stop caused it, and whether its end is counted."""

    time: int
    stopped: bool = False
    counted: bool = False


@dataclass(frozen=True)
class Record:
    """The past in figures.

    `closed` is what all positions together have brought that are gone; `total` that and what the others have
    brought so far, at their marks of the last look; `peak` the most that `total` ever was. `equity` is as of
    the last look at the balances, carried on by `total` since (0: not known yet). `opened` is `total` at the
    first look of the UTC day number `day`, and `opened_equity` the equity then. `losses` counts those in a
    row, `bad` holds the time of the last loss or stop by symbol, `pending` the positions with fills that are
    not gone yet. `upto` is the number of the last fact that is in it.
    """

    upto: int = 0
    closed: Decimal = ZERO
    total: Decimal = ZERO
    peak: Decimal = ZERO
    equity: Decimal = ZERO
    day: int = -1
    opened: Decimal = ZERO
    opened_equity: Decimal = ZERO
    losses: int = 0
    last_loss: int = 0
    bad: Mapping[str, int] = field(default_factory=dict)
    pending: Mapping[str, Last] = field(default_factory=dict)

    @property
    def today(self) -> Decimal:
        """Result since 00:00 UTC, realised and not; below 0: a loss."""
        return self.total - self.opened

    @property
    def daily_loss(self) -> Decimal:
        """Today's loss as a share of the equity at the day's start; 0 without one, or where that is not known."""
        return max(-self.today, ZERO) / self.opened_equity if self.opened_equity > 0 else ZERO

    @property
    def drawdown(self) -> Decimal:
        """What is lost since the peak, as a share of the equity at the peak; 0 where the equity is not known."""
        fallen = self.peak - self.total
        return fallen / (self.equity + fallen) if self.equity > 0 and fallen > 0 else ZERO

    @property
    def last_bad(self) -> int:
        """When the last loss or stop was, of any symbol; 0: never."""
        return max(self.bad.values(), default=0)

    def filled(self, seq: int, fill: Fill, position: str, stopped: bool) -> Record:
        """With one more fill, of fact number `seq`; `position` is pending until it is gone."""
        before = self.pending.get(position)
        last = Last(fill.time, stopped, before is not None and before.counted)
        return replace(self, upto=seq, pending={**self.pending, position: last})

    def ended(self, position: str, ending: Ending) -> Record:
        """With the end of a pending position counted."""
        loss, symbol = ending.result < 0, ending.symbol
        bad = {**self.bad, symbol: max(ending.time, self.bad.get(symbol, 0))} if ending.bad else self.bad
        return replace(
            self,
            losses=self.losses + 1 if loss else 0,
            last_loss=ending.time if loss else self.last_loss,
            bad=bad,
            pending={**self.pending, position: Last(ending.time, ending.stopped, counted=True)},
        )

    def gone(self, position: str, brought: Decimal) -> Record:
        """With what a pending position has brought in all: nothing is left of it."""
        pending = {each: last for each, last in self.pending.items() if each != position}
        return replace(self, closed=self.closed + brought, pending=pending)

    def looked(self, now: int, held: Decimal, equity: Decimal | None = None) -> Record:
        """As of now, where what is held has brought `held` by now; `equity` where the balances were read too."""
        total, day = self.closed + held, now // DAY
        carried = self.equity + total - self.total if self.equity else ZERO
        seen = replace(self, total=total, equity=carried if equity is None else equity, peak=max(self.peak, total))
        if day != self.day or not self.opened_equity:
            return replace(
                seen,
                day=day,
                opened=total if day != self.day else self.opened,
                opened_equity=seen.equity,
            )
        return seen

    def level(self) -> Record:
        """With the peak where we are: what a drawdown is counted from after it has stopped the trading."""
        return replace(self, peak=self.total)

    def differs(self, written: Record) -> bool:
        """Whether it is worth writing down, beside what fills tell anyway."""
        higher = self.peak - written.peak > NEW_PEAK * self.equity
        return higher or self.peak < written.peak or (self.day, bool(self.opened_equity)) != (
            written.day, bool(written.opened_equity)
        )  # fmt: skip
