"""The client of a futures venue of the Binance protocol: market data as everywhere, an account of its own kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from tradebot.errors import MarketError, OrderRejected, TradingError, VenueBusy, VenueRejected
from tradebot.market import failures
from tradebot.market import futures_wire as words
from tradebot.market.account import Holder
from tradebot.market.binance import OPEN, PAGE, BinanceClient, read_json
from tradebot.market.signing import Parameters
from tradebot.market.venue import ZERO, Balance, ContractBroker, Order, OrderPair, OrderReport, Payment

ALREADY_SO = frozenset({-4046, -4059})
"""What the venue says where a setting is already as it should be."""

PAYMENTS = ("FUNDING_FEE", "INSURANCE_CLEAR")
"""Kinds of income that are no part of a trade."""

IN_THE_WAY = frozenset({-4067, -4068})
"""What it says where orders or positions keep it from being changed."""


class FuturesClient(BinanceClient, ContractBroker):
    """An account with one position a contract, long or short, each with a margin of its own.

    `prepare` first. Margin and leverage of a contract are set before its first entry; where that fails the
    entry is refused. Conditional orders wait with the venue's algo service, where other orders are unknown.
    """

    _leverage = 1
    _isolated: frozenset[str] = frozenset()
    _algos: frozenset[str] = frozenset()

    async def prepare(self, leverage: int) -> None:
        """See that longs and shorts are not held side by side, and note `leverage`.

        `TradingError` where what is open keeps that from being set.
        """
        self._leverage = leverage
        known = await self._read("terms", read_json(words.terms))
        self._isolated = frozenset(symbol for symbol, each in known.items() if each == (True, leverage))
        if await self._read("sides", read_json(lambda reply: bool(reply["dualSidePosition"]))):
            try:
                await self._set("set_sides", [("dualSidePosition", "false")])
            except VenueRejected as refusal:
                if refusal.code not in IN_THE_WAY:
                    raise
                raise TradingError(
                    f"{self.where}: the account is in hedge mode and has open orders or positions; close them there, "
                    "and the bot switches it to one-way mode"
                ) from None

    async def _set(self, name: str, parameters: Parameters) -> None:
        """Change a setting of the account; where it is so already nothing happens."""
        try:
            await self._read(name, read_json(lambda reply: reply), parameters)
        except VenueRejected as refusal:
            if refusal.code not in ALREADY_SO:
                raise

    async def _isolate(self, symbol: str) -> None:
        """Give a contract a margin of its own and our leverage; `OrderRejected` where that cannot be."""
        if symbol in self._isolated:
            return
        try:
            await self._set("set_margin", [("symbol", symbol), ("marginType", "ISOLATED")])
            await self._set("set_leverage", [("symbol", symbol), ("leverage", self._leverage)])
        except VenueBusy:
            raise
        except MarketError as error:
            code = error.code if isinstance(error, VenueRejected) else 0
            text = f"isolated margin with leverage {self._leverage} could not be set: {error}"
            raise OrderRejected(text, code=code) from None
        self._isolated |= {symbol}

    # --- the account

    async def balances(self) -> Mapping[str, Balance]:
        """The wallet by coin, and what is held of each contract by its symbol, below 0 for shorts."""
        wallet = await self._read("wallet", read_json(words.balances))
        return {**wallet, **await self._read("positions", read_json(words.positions))}

    async def holder(self) -> Holder:
        """Whose account it is, with its balances."""
        may = await self._read("account", read_json(lambda reply: bool(reply["canTrade"])))
        alias = await self._read("wallet", read_json(lambda reply: str(reply[0]["accountAlias"])))
        return Holder(alias, may, await self.balances())

    async def submit(self, order: Order) -> OrderReport:
        """Send once; see `Broker.submit`. What was paid is asked for; where that fails it is told as open yet."""
        if not order.reduce_only:
            await self._isolate(order.symbol)
        if order.type in words.ALGO:
            self._algos |= {order.client_id}
            return await self._command("submit_algo", words.algo_parameters(order), order.client_id, words.algo_report)
        parameters = words.order_parameters(order)
        report = await self._command("submit", parameters, order.client_id, words.order_report)
        if not report.executed:
            return report
        with suppress(MarketError):
            if found := await self._plain(order.symbol, "origClientOrderId", order.client_id):
                return found
        return replace(report, status="NEW", executed=ZERO, quote_executed=ZERO)

    async def submit_pair(self, pair: OrderPair) -> list[OrderReport]:
        """Futures know no pairs: nothing is sent."""
        raise OrderRejected(f"{self.where}: pairs of orders are not supported", code=0)

    async def order(self, symbol: str, client_id: str) -> OrderReport | None:
        """The order as it is now, wherever it waits; None if neither service knows it."""
        if client_id in self._algos:
            return await self._algo(symbol, client_id) or await self._plain(symbol, "origClientOrderId", client_id)
        return await self._plain(symbol, "origClientOrderId", client_id) or await self._algo(symbol, client_id)

    async def numbered(self, symbol: str, order_id: int) -> OrderReport | None:
        """The order of that number, also one that the venue itself has made."""
        return await self._plain(symbol, "orderId", order_id)

    async def _plain(self, symbol: str, which: str, name: str | int) -> OrderReport | None:
        try:
            return await self._read("order", read_json(words.order_report), [("symbol", symbol), (which, name)])
        except VenueRejected as error:
            if error.code != failures.UNKNOWN_ORDER:
                raise
        return None

    async def _algo(self, symbol: str, client_id: str) -> OrderReport | None:
        """A conditional order, or the order that it has become under the name that we gave it."""
        parameters = [("symbol", symbol), ("clientAlgoId", client_id)]
        try:
            report, order_id = await self._read(
                "algo", read_json(lambda reply: (words.algo_report(reply), words.became(reply))), parameters
            )
        except VenueRejected as error:
            if error.code != failures.UNKNOWN_ORDER:
                raise
            return None
        self._algos |= {client_id}
        order = order_id and await self._plain(symbol, "orderId", order_id)
        return replace(order, client_id=client_id) if order else report

    async def cancel(self, symbol: str, client_id: str) -> OrderReport:
        """Cancel an open order, wherever it waits; its final report, also if it was filled or cancelled meanwhile."""
        ways = {"cancel": "origClientOrderId", "cancel_algo": "clientAlgoId"}
        names: Sequence[str] = [*ways] if client_id not in self._algos else [*ways][::-1]
        refused: OrderRejected | None = None
        for name in names:
            try:
                await self._command(name, [("symbol", symbol), (ways[name], client_id)], client_id, lambda reply: reply)
                break
            except OrderRejected as refusal:
                if refusal.code not in (failures.CANCEL_REJECTED, failures.UNKNOWN_ORDER):
                    raise
                refused = refusal
        report = await self.order(symbol, client_id)
        if report is None or (refused and report.status in OPEN):
            raise refused or OrderRejected(f"{self.where}: order {client_id} is not known", code=0)
        return report

    async def open_orders(self) -> list[OrderReport]:
        """All orders that can still be filled, those that wait for a price among them."""
        waiting = await self._read("open_algos", read_json(words.algo_reports))
        return [*await self._read("open_orders", read_json(words.order_reports)), *waiting]

    async def funding(self, since: int) -> list[Payment]:
        """Funding, and what liquidations took or left, from `since` (UTC ms) on, oldest first."""
        found = [each for kind in PAYMENTS for each in await self._income(kind, since)]
        return sorted(found, key=lambda each: (each.time, each.id))

    async def _income(self, kind: str, since: int) -> list[Payment]:
        found: dict[str, Payment] = {}
        window, now = self.profile.trades_window, self._clock.now()
        while since <= now:
            bounds = [("startTime", since), ("endTime", since + window - 1), ("limit", PAGE)]
            page = await self._read("income", read_json(words.payments), [("incomeType", kind), *bounds])
            more = len(page) == PAGE and any(each.id not in found for each in page)
            found |= {each.id: each for each in page}
            since = page[-1].time if more else since + window
        return list(found.values())
