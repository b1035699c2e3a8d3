"""The algo service: where conditional orders are placed, cancelled and looked up."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from tradebot.market.venue import Side
from tradebot.sim.futures import conditional, counts, trailing
from tradebot.sim.futures import contracts as rules
from tradebot.sim.futures.engine import SHORTLY, Futures
from tradebot.sim.futures.ledger import ALGOS, Algo, Range
from tradebot.sim.futures.positions import PositionSide
from tradebot.sim.refusals import Refused

_MOST_BACK, _LEAST_BACK = Decimal(10), Decimal("0.1")


class Algos:
    """Conditional orders of the futures account."""

    def __init__(self, futures: Futures) -> None:
        self.futures = futures

    def place(self, algo: Algo) -> Algo:
        """Let an order wait for its price; `Refused` -2021 if that is there already."""
        now = self.futures.settle()
        last = self.futures.last(algo.symbol)
        counts.check(self.futures.ledger, now)
        self.futures.check_sides(algo.position_side, reduce_only=algo.reduce_only)
        self._check(algo, last)
        ledger = self.futures.ledger
        if len(ledger.open_algos(algo.symbol)) >= rules.MAX_ALGOS:
            raise Refused(-4045, "Reach max stop order limit.")
        known = ledger.find(ALGOS, algo.symbol, None, algo.client_id)
        if known is not None and (known.status == "NEW" or now - known.created < SHORTLY):
            raise Refused(-4116, "ClientOrderId is duplicated.")
        if algo.type == conditional.TRAILING and not algo.activation:
            algo = replace(algo, extreme=last)
        return ALGOS.enter(ledger.db, replace(algo, created=now, updated=now))

    def _check(self, algo: Algo, last: Decimal) -> None:
        each = self.futures.contracts.instrument(algo.symbol)
        if algo.close_position:
            self._check_close(algo)
        else:
            rules.check_quantity(each, algo.quantity, market=algo.type not in conditional.LIMITS)
        if algo.type in conditional.LIMITS:
            rules.check_price(each, algo.price)
        if algo.type != conditional.TRAILING:
            rules.check_price(each, algo.trigger, "Stop price")
            if conditional.waits_for(algo).met(last):
                raise Refused(-2021, "Order would immediately trigger.")
        else:
            self._check_trail(algo, last)
        if not (algo.reduce_only or algo.close_position):
            rules.check_notional(each, algo.price or algo.trigger or last, algo.quantity)

    def _check_trail(self, algo: Algo, last: Decimal) -> None:
        if not _LEAST_BACK <= algo.callback <= _MOST_BACK:
            raise Refused(-2007, "Invalid callBack rate.")
        if algo.activation:
            rules.check_price(self.futures.contracts.instrument(algo.symbol), algo.activation, "Activation price")
            if trailing.activation(algo).met(last):
                raise Refused(-2021, "Order would immediately trigger.")

    def _check_close(self, algo: Algo) -> None:
        """One order may close a position from either side of the market."""
        if algo.quantity:
            raise Refused(-4137, "Quantity must be zero with closePosition equals true.")
        if algo.reduce_only:
            raise Refused(-4138, "Reduce only must be true with closePosition equals true.")
        if algo.type not in {"STOP_MARKET", "TAKE_PROFIT_MARKET"}:
            raise Refused(-4136, f"Target strategy invalid for orderType {algo.type},closePosition true.")
        wrong = {PositionSide.LONG: Side.BUY, PositionSide.SHORT: Side.SELL}.get(algo.position_side)
        if algo.side is wrong:
            raise Refused(-2022, "ReduceOnly Order is rejected.")
        same = (algo.side, algo.position_side, conditional.waits_for(algo).falling)
        for other in self.futures.ledger.open_algos(algo.symbol):
            if other.close_position and same == (
                other.side, other.position_side, conditional.waits_for(other).falling,
            ):  # fmt: skip
                raise Refused(-4130, "An open stop or take profit order with GTE and closePosition in the direction "
                                     "is existing.")  # fmt: skip

    def find(self, symbol: str | None, number: int | None, client_id: str | None) -> Algo:
        """An algo order by either id, whatever became of it; `Refused` -2013 if there is none."""
        self.futures.settle()
        found = self.futures.ledger.find(ALGOS, symbol, number, client_id)
        if found is None:
            raise Refused(-2013, "Order does not exist.")
        return found

    def cancel(self, symbol: str | None, number: int | None, client_id: str | None) -> Algo:
        """Stop waiting; `Refused` -2011 if it does not wait."""
        now = self.futures.settle()
        found = self.futures.ledger.find(ALGOS, symbol, number, client_id)
        if found is None or found.status != "NEW":
            raise Refused(-2011, "Unknown order sent.")
        done = replace(found, status="CANCELED", updated=now)
        ALGOS.put(self.futures.ledger.db, done)
        return done

    def cancel_all(self, symbol: str) -> None:
        """Cancel all that wait of a contract."""
        waiting = self.open(self.futures.contracts.instrument(symbol).symbol)
        with self.futures.ledger.db.transaction():
            for each in waiting:
                self.cancel(symbol, each.algo_id, None)

    def open(self, symbol: str | None) -> list[Algo]:
        """What waits, oldest first."""
        self.futures.settle()
        return self.futures.ledger.open_algos(symbol and self.futures.contracts.instrument(symbol).symbol)

    def listed(self, wanted: Range) -> list[Algo]:
        """Algo orders, whatever became of them, oldest first."""
        self.futures.settle()
        return self.futures.ledger.listed(ALGOS, wanted)
