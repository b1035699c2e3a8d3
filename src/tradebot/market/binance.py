"""The client of the Binance protocol: market data and the account over httpx.

A venue that speaks the same protocol with other paths, weights and limits is a `Profile`, not a
class of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from functools import cache, partial
from types import TracebackType
from typing import Any, TypeVar

import httpx
import orjson

from tradebot.clock import Clock, wall_ms
from tradebot.errors import (
    BadReply,
    MarketError,
    OrderRejected,
    VenueBusy,
    VenueRejected,
)
from tradebot.market import failures, wire
from tradebot.market.account import Holder, KeyRights, read_holder, read_rights
from tradebot.market.bars import Klines
from tradebot.market.limits import CEILING, retry_delay_ms
from tradebot.market.line import PATIENCE_MS, Line
from tradebot.market.profiles import VENUES, Endpoint, Profile
from tradebot.market.request import Times
from tradebot.market.signing import Credentials, Parameters
from tradebot.market.tally import Tally
from tradebot.market.usage import Cost
from tradebot.market.venue import Balance, Broker, Feed, Fill, Instrument, Order, OrderPair, OrderReport, Ticker

__all__ = ["VENUES", "BinanceClient", "Credentials", "Profile"]

T = TypeVar("T")
log = logging.getLogger(__name__)
ORDER_TIMEOUT_S = 15.0  # the venue itself gives up on its matching engine after 10 s and says so
PAGE = 1_000
OWN_TIME = ("stepped", "scaled")  # clocks that do not go with the machine's
NO_SUCH_PATH = 404
OPEN = ("NEW", "PARTIALLY_FILLED", "PENDING_NEW")


class BinanceClient(Line, Feed, Broker):
    """A venue of the Binance protocol; an async context manager.

    Reads are tried again (`retries` times, with growing jittered delays) where that can help;
    orders are sent once. With `transport` given nothing leaves the process but through it. Raises
    what `Feed` and `Broker` promise.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        base_url: str = "",
        timeout_s: float = 10.0,
        connections: int = 50,
        retries: int = 3,
        credentials: Credentials | None = None,
        seed: int = 0,
        share: float = CEILING,
        tally: Tally | None = None,
    ) -> None:
        super().__init__(
            profile, base_url, clock=clock, transport=transport, connections=connections, credentials=credentials,
            share=share, tally=tally,
        )  # fmt: skip
        self.profile = profile
        self._kline_cost = cache(profile.kline_cost)
        self.sim_speed = 1.0
        self._retries = retries
        self._seed = seed
        # Half the time for the connection, so that a request which never left is known as such.
        times = {"connect": timeout_s / 2, "pool": timeout_s / 2, "read": timeout_s, "write": timeout_s}
        self._read_times = times
        self._order_times = times | {"read": max(timeout_s, ORDER_TIMEOUT_S)}

    async def __aenter__(self) -> BinanceClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- market data

    async def time(self) -> int:
        """The venue's clock, UTC ms; sets the program's clock, and `sim_clock` for a simulated venue."""

        def synced(reply: Any) -> int:
            server = wire.server_time(reply)
            self._clock.sync(server, self.rtt_ms)
            self.budget.heard(self._clock.now() - wall_ms(), own_time=self.sim_clock in OWN_TIME)
            return server

        return await self._read("time", read_json(synced))

    async def instruments(self) -> Mapping[str, Instrument]:
        """All symbols with their rules; the venue's own limits are taken over."""

        def rules(reply: Any) -> Mapping[str, Instrument]:
            self.budget.learn(wire.limits(reply))
            return wire.instruments(reply)

        return await self._read("instruments", read_json(rules))

    async def tickers(self) -> Mapping[str, Ticker]:
        """24 h statistics of all symbols."""
        return await self._read("tickers", read_json(wire.tickers))

    async def prices(self) -> Mapping[str, Decimal]:
        """Last price of all symbols."""
        return await self._read("prices", read_json(wire.prices))

    async def klines(self, symbol: str, interval: str, start: int | None, limit: int) -> Klines:
        """Up to `limit` bars (and the venue's own most) from open time `start` on, or the newest if None."""
        limit = min(limit, self.profile.kline_limit)
        parameters: Parameters = [("symbol", symbol), ("interval", interval), ("limit", limit)]
        if start is not None:
            parameters = [*parameters, ("startTime", start)]
        return await self._read("klines", wire.klines, parameters, self._kline_cost(limit))

    # --- the account

    async def balances(self) -> Mapping[str, Balance]:
        """What is held, by asset; assets of which there is nothing are left out."""
        return await self._read("balances", read_json(wire.balances))

    async def holder(self) -> Holder:
        """Whose account it is, with its balances."""
        return await self._read("balances", read_json(read_holder))

    async def key_rights(self) -> KeyRights | None:
        """What our key may do; None where the venue does not tell, as testnets do not."""
        try:
            return await self._read("rights", read_json(read_rights))
        except VenueRejected as refusal:
            if refusal.status == NO_SUCH_PATH:
                return None
            raise

    async def submit(self, order: Order) -> OrderReport:
        """Send once; see `Broker.submit` and `failures.order_failure`."""
        return await self._command("submit", wire.order_parameters(order), order.client_id, wire.order_report)

    async def submit_pair(self, pair: OrderPair) -> list[OrderReport]:
        """Send two orders, of which one cancels the other, once; see `Broker.submit_pair`."""
        return await self._command("submit_pair", wire.pair_parameters(pair), pair.client_id, wire.pair_reports)

    async def cancel(self, symbol: str, client_id: str) -> OrderReport:
        """Cancel an open order; its final report, also if it was filled or cancelled meanwhile."""
        parameters = [("symbol", symbol), ("origClientOrderId", client_id)]
        try:
            return await self._command("cancel", parameters, client_id, wire.order_report)
        except OrderRejected as refusal:
            if refusal.code != failures.CANCEL_REJECTED:
                raise
            report = await self.order(symbol, client_id)
            if report is None or report.status in OPEN:
                raise
            return report

    async def order(self, symbol: str, client_id: str) -> OrderReport | None:
        """The order as it is now; None if the venue does not know it, which is no proof right after sending."""
        parameters = [("symbol", symbol), ("origClientOrderId", client_id)]
        try:
            return await self._read("order", read_json(wire.order_report), parameters)
        except VenueRejected as error:
            if error.code == failures.UNKNOWN_ORDER:
                return None
            raise

    async def open_orders(self) -> list[OrderReport]:
        """All orders that can still be filled, of all symbols."""
        return await self._read("open_orders", read_json(wire.order_reports))

    async def trades(self, symbol: str, since: int) -> list[Fill]:
        """Fills of a symbol from `since` (UTC ms) on, oldest first."""
        found: dict[int, Fill] = {}
        start, now, window = since, self._clock.now(), self.profile.trades_window
        while start <= max(now, since):
            # The venue wants bounds not too far apart; a full page is followed by id instead.
            bounds: Parameters = [("startTime", start), ("endTime", start + window - 1), ("limit", PAGE)]
            page = await self._read("trades", read_json(wire.fills), [("symbol", symbol), *bounds])
            found |= {fill.trade_id: fill for fill in page}
            while len(page) == PAGE:
                follow: Parameters = [("symbol", symbol), ("fromId", page[-1].trade_id + 1), ("limit", PAGE)]
                page = await self._read("trades", read_json(wire.fills), follow)
                found |= {fill.trade_id: fill for fill in page}
                start = now
            start += window
        return sorted(found.values(), key=lambda fill: (fill.time, fill.trade_id))

    # --- the simulated venue's own

    async def sim_now(self) -> int:
        """The simulated venue's time from its control endpoint; takes over `sim_clock` and `sim_speed`."""
        return await self._sim_clock("GET", b"")

    async def sim_advance(self, to: int) -> int:
        """Move a stepped simulated venue on to `to` (UTC ms); its time after that."""
        return await self._sim_clock("POST", orjson.dumps({"now": to}))

    async def _sim_clock(self, method: str, body: bytes) -> int:
        def clock(reply: Any) -> int:
            with wire.reading("sim clock"):
                self.sim_clock, self.sim_speed = str(reply["mode"]), float(reply.get("speed", 1.0))
                return int(reply["now"])

        ask = partial(self._control, method, "/sim/clock", body, self._read_times)
        return await self._patiently("sim clock", ask, read_json(clock))  # to say a time twice does no harm

    # --- one request

    async def _read(
        self, name: str, parse: Callable[[bytes], T], parameters: Parameters = (), cost: Cost | None = None
    ) -> T:
        """Ask, and ask again where that can help."""
        endpoint = self._endpoint(name)
        ask = partial(self._ask, endpoint, parameters, cost or endpoint.cost, self._read_times)
        return await self._patiently(name, ask, parse)

    async def _patiently(self, name: str, ask: Callable[[], Awaitable[bytes]], parse: Callable[[bytes], T]) -> T:
        """Do it, and again, up to `retries` times, where that can help."""
        requests, attempt = self.requests, 0
        while True:
            attempt += 1
            try:
                return self._understood(parse, await ask())
            except MarketError as fault:
                delay = retry_delay_ms(fault, attempt, f"{self._seed}/{requests}")
                if delay is None or attempt > self._retries or _too_long(fault):
                    raise
                log.debug("try %d of %s failed: %s", attempt, name, fault)
                await asyncio.sleep(delay / 1000)

    async def _command(self, name: str, parameters: Parameters, client_id: str, parse: Callable[[Any], T]) -> T:
        """Send an order request once."""
        try:
            endpoint = self._endpoint(name)
            reply = await self._ask(endpoint, parameters, endpoint.cost, self._order_times)
            return self._understood(read_json(parse), reply)
        except MarketError as error:
            raise failures.order_failure(error, client_id, self.profile.refusals) from None

    def _endpoint(self, name: str) -> Endpoint:
        """`VenueRejected` where the venue has no such endpoint, or we have no key for it: nothing is sent then."""
        endpoint = self.profile.endpoints.get(name)
        if endpoint is None:
            raise VenueRejected(f"{self.where}: {name} is not supported on this venue", code=0, status=404)
        if endpoint.signed and self._credentials is None:
            raise VenueRejected(f"{self.where}: this needs an API key", code=0, status=401)
        return endpoint

    async def _ask(self, endpoint: Endpoint, parameters: Parameters, cost: Cost, times: Times) -> bytes:
        """One exchange; a signed one that comes too early or late is signed again after one look at the clock."""
        try:
            return await self._once(endpoint, parameters, cost, times)
        except VenueRejected as refusal:
            if refusal.code not in failures.CLOCK_CODES:
                raise
            try:
                await self.time()
            except MarketError:
                raise refusal from None
        return await self._once(endpoint, parameters, cost, times)

    def _understood(self, parse: Callable[[bytes], T], reply: bytes) -> T:
        """What a reply says; names the venue in what `wire` complains of."""
        try:
            return parse(reply)
        except BadReply as error:
            raise BadReply(f"{self.where}: {error}") from None


def read_json(parse: Callable[[Any], T]) -> Callable[[bytes], T]:
    """`parse` for the body of a reply."""
    return lambda raw: parse(wire.parsed(raw))


def _too_long(fault: MarketError) -> bool:
    return isinstance(fault, VenueBusy) and fault.wait_ms > PATIENCE_MS
