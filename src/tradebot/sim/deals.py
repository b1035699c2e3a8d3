"""The trade endpoints: the tape as the venue writes it."""

from __future__ import annotations

from typing import Any

from tradebot.sim.digits import text
from tradebot.sim.engine import Exchange
from tradebot.sim.params import Params
from tradebot.sim.refusals import Refused
from tradebot.sim.slices import in_steps
from tradebot.sim.tape import Tape, Tapes


class Deals:
    """The handlers of trades, historicalTrades and aggTrades; each takes the parameters and returns the body."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._tapes = Tapes(exchange.prices)

    def recent(self, params: Params) -> Any:
        """The newest trades, oldest first."""
        symbol, now = self.exchange.instrument(params.symbol()).symbol, self.exchange.clock.now()
        return in_steps(self._tapes.newest(symbol, now, params.limit(500, 1000), whole=False)).then(_singles)

    def historical(self, params: Params) -> Any:
        """Trades from number `fromId` on, else the newest ones."""
        symbol, now = self.exchange.instrument(params.symbol()).symbol, self.exchange.clock.now()
        limit, number = params.limit(500, 1000), params.integer("fromId")
        if number is None:
            return in_steps(self._tapes.newest(symbol, now, limit, whole=False)).then(_singles)
        return in_steps(self._tapes.oldest(symbol, 0, now, limit, number=number, whole=False)).then(_singles)

    def aggregated(self, params: Params) -> Any:
        """Trades of one order at one price as one; bounds are inclusive, `startTime` or `fromId` lead."""
        symbol, now = self.exchange.instrument(params.symbol()).symbol, self.exchange.clock.now()
        limit, number = params.limit(500, 1000), params.integer("fromId")
        start, end = params.time("startTime"), params.time("endTime")
        if number is not None and (start is not None or end is not None):
            raise Refused(-1128, "Combination of optional parameters invalid.")
        until = now if end is None else min(end, now)
        if start is None and number is None:
            return in_steps(self._tapes.newest(symbol, until, limit, whole=True)).then(_aggregates)
        found = self._tapes.oldest(symbol, start or 0, until, limit, number=number or 0, whole=True)
        return in_steps(found).then(_aggregates)


def _singles(tape: Tape) -> list[dict[str, Any]]:
    places, lots, scale = tape.scale.price, tape.scale.amount, tape.scale.price + tape.scale.amount
    return [
        {
            "id": number, "price": text(price, places), "qty": text(amount, lots),
            "quoteQty": text(price * amount, scale), "time": time, "isBuyerMaker": bool(maker), "isBestMatch": True,
        }
        for number, price, amount, _, _, time, maker in tape.data.T.tolist()
    ]  # fmt: skip


def _aggregates(tape: Tape) -> list[dict[str, Any]]:
    places, lots = tape.scale.price, tape.scale.amount
    return [
        {
            "a": number, "p": text(price, places), "q": text(amount, lots), "f": first, "l": last, "T": time,
            "m": bool(maker), "M": True,
        }
        for number, price, amount, first, last, time, maker in tape.data.T.tolist()
    ]  # fmt: skip
