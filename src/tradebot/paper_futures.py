"""The paper account of a futures venue: as of spot, and what is held is funded and can be liquidated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from tradebot.clock import Clock
from tradebot.market.bars import COLUMN, Klines
from tradebot.paper import PaperAccount
from tradebot.sim.engine import Exchange
from tradebot.sim.futures.engine import Futures
from tradebot.sim.futures.funding import PERIOD, next_funding
from tradebot.sim.prices import Marked


class PaperContracts(PaperAccount):
    """As `PaperAccount`, for contracts. It must have been shown marks before it is asked for anything."""

    def __init__(
        self,
        futures: Futures,
        exchange: Exchange,
        marked: Marked,
        clock: Clock,
        intervals: Iterable[str],
        *,
        patience_s: float,
    ) -> None:
        super().__init__(exchange, marked, clock, intervals, patience_s=patience_s)
        self._futures = futures
        self._played = futures.ledger.seen

    def _waiting(self) -> list[str]:
        return sorted(self._futures.at_stake() & self.exchange.instruments().keys())

    def _show(self, klines: Mapping[str, Klines], now: int) -> None:
        """Bars carry out what waits; funding is paid at the closes of its time."""
        marks = {symbol: self._marked.price(symbol, now) for symbol in klines}
        moment = next_funding(self._futures.ledger.seen)
        while klines and moment <= now:
            past = {symbol: bars.between(0, moment - 1) for symbol, bars in klines.items()}
            self._futures.show(past, moment)
            self._marked.mark({symbol: _last_close(bars) for symbol, bars in past.items() if len(bars)})
            self._futures.pass_to(moment)
            moment += PERIOD
        self._marked.mark(marks)
        self._futures.show(klines, now)


def _last_close(bars: Klines) -> Decimal:
    """The close of the last bar, a float, as the decimal that it was."""
    return Decimal(repr(float(bars.data[COLUMN["close"], -1])))
